"""How fast a list is read, validated and queued, and in how much memory.

    python benchmarks/lists.py [--rows 10000 100000 1000000] [--folder DIR]
        [--against FOLDER] [--rounds 1]

Every step is a process of its own, whose peak memory is its alone. Python's csv module and polars
(left out by name where it is missing) read the same file in the same run: what counts is the
ratio. Time is the processor's, so that a busy machine changes it less than the clock's. With
`--against` the commands alone are measured, in turn with those of another checkout; what is shown
are medians.
"""

import argparse
import csv
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from measure import PETITION, ROOT, checkouts, environment_of, run

WHOLE_UP_TO = 100_000  # rows; checking a million copies takes long, and no more memory
SIZES = (10_000, 100_000, 1_000_000)
COLUMNS = ("id", "email", "name", "salutation", "language", "city", "joined_on", "updates")
SETTINGS = """\
[campaign]
title = "A list of many"
languages = ["en", "ru"]

[sender]
from = "Campaign <letter@campaign.example>"
reply_to = "answers@campaign.example"
postal_address = "Campaign, 1 Mill Lane, Leeds"

[people]
supporters = "recipients.csv"

[unsubscribe]
url = "https://campaign.example/many/"
mailto = "leave+{token}@campaign.example"
"""
LETTER = """\
---
to: recipients
subject: "{{ recipient.name }}: what we ask of you"
---
Dear {{ recipient.salutation }},

people of {{ recipient.city }} ask you to sign.
"""
BULK = """\
---
to: supporters
subject: "News for {{ recipient.city }}"
kind: bulk
---
Dear {{ recipient.name or "friend" }},

people of {{ recipient.city }} ask you to sign.

{{ sender.name }}, {{ sender.postal_address }}

[Unsubscribe]({{ unsubscribe }})
"""
PEOPLE = (  # language, first name, beginning of the last one, title, greeting
    ("en", "Eleanor", "Hart", "Chief Executive", "Ms"),
    ("en", "Jörg", "Weißen", "Senior Independent Director", "Mr"),
    ("", "Siobhán", "O’Dow", "", "Ms"),
    ("ru", "Сергей Петрович", "Воронцов-", "финансовый директор", "Уважаемый господин"),
    ("kk", "Айгүл Серікқызы", "Жұмабек-", "еңбек қауіпсіздігі жөніндегі директор", "Құрметті"),
)
FIRST = ("Ann", "Bob", "Åsa", "Jörg", "Сергей", "Айгүл", "Siobhán", "Mary-Jane")
LAST = ("Smith", "O’Dowd", "Weißenfels", "Петров", "Жұмабек", "Reed", "Nowak, Jr")


def write_list(path: Path, rows: int) -> None:
    """Write invented people, the same at every run."""
    chance = random.Random(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for number in range(rows):
            name = f"{chance.choice(FIRST)} {chance.choice(LAST)}"
            address = f"person.{number}@host{number % 997}.example"
            language = chance.choice(("en", "en", "en", "ru", ""))
            city = chance.choice(("London", "Leeds", "Жезқазған", "Kraków"))
            writer.writerow(
                (f"s{number}", address, name, f"friend {name}", language, city, "2026-01-01", "yes")
            )


def write_example(folder: Path, rows: int) -> None:
    """The example campaign with many invented people: three languages, two scripts, one annex."""
    for name in ("letters", "annex"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    for name in ("petition.toml", "signatories.csv"):
        shutil.copy(ROOT / name, folder)
    chance = random.Random(rows)
    with (folder / "recipients.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("id", "email", "name", "title", "salutation", "language"))
        for number in range(rows):
            language, first, last, title, greeting = chance.choice(PEOPLE)
            last += "".join(chance.choice("aeiou") + chance.choice("klmnr") for _ in range(3))
            address = f"person.{number}@host{number % 997}.example"
            name, salutation = f"{first} {last}", f"{greeting} {last}".strip()
            writer.writerow((f"s{number}", address, name, title, salutation, language))


# ---- the steps; each gives how many rows it has seen


def python_csv(folder: Path) -> int:
    """Python's csv module: the rows as lists, nothing else."""
    with (folder / "recipients.csv").open(encoding="utf-8", newline="") as stream:
        return sum(1 for _ in csv.reader(stream)) - 1


def polars(folder: Path) -> int:
    """polars: all columns as text, in its own memory, on all processors."""
    import polars as pl

    return len(pl.read_csv(folder / "recipients.csv", infer_schema=False))


def polars_rows(folder: Path) -> int:
    """polars, and every row handed over to Python."""
    import polars as pl

    frame = pl.read_csv(folder / "recipients.csv", infer_schema=False)
    return sum(1 for _ in frame.iter_rows(named=True))


def read(folder: Path) -> int:
    """Read: encoding and separator found, every line checked, cells by column."""
    from petition.campaign.tables import open_table

    table = open_table(folder, "recipients.csv", [])
    assert table
    return sum(1 for _ in table.rows())


def validate(folder: Path) -> int:
    """Read and validate: addresses, names, languages, what stands twice."""
    from petition.campaign.people import ListJudge, open_people

    people = open_people(folder, "recipients.csv", [])
    assert people
    judge, count = ListJudge(people), 0
    for rows in people.table.blocks():
        found, problems = judge(rows)
        assert not problems, problems[:3]
        count += len(found)
    return count


def queue(folder: Path) -> int:
    """Read, validate and queue: compared with the log, one transaction, on the disk."""
    from petition.campaign.people import ListJudge, Person, open_people
    from petition.outbox.enqueue import ListedRow, Listing
    from petition.outbox.log import Log
    from petition.outbox.models import FrozenLetter
    from petition.outbox.states import Mode

    def listed(person: Person) -> ListedRow:
        return ListedRow(
            mailbox=person.mailbox.addr_spec,
            name=person.mailbox.display_name,
            language=person.language,
            row_id=person.id,
            file=person.file,
            line=person.line,
            fields=person.fields,
            chosen=True,
        )

    people = open_people(folder, "recipients.csv", [])
    assert people
    database = folder / "queue.db"
    with Log(f"sqlite:///{database}") as log:
        listing = Listing(log, "letter")
        judge = ListJudge(people)
        with listing.staging() as stage:
            for rows in people.table.blocks():
                stage([listed(person) for person in judge(rows)[0]])
        comparison = listing.compare(1, Mode.CONTINUE)
        now = datetime.now(UTC)
        listing.carry_out(
            comparison, "many", FrozenLetter("letter", 1, "hash", "content", "{}", now)
        )
        return comparison.to_send


STEPS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "csv": ("Python's csv module alone", python_csv),
    "polars": ("polars `read_csv` alone", polars),
    "polars-rows": ("polars, rows handed to Python", polars_rows),
    "read": ("petition: read", read),
    "validate": ("petition: read, validate", validate),
    "queue": ("petition: read, validate, queue", queue),
}
# Whole commands: what each does, in which folder, and how it ends; `send` does so at the first
# connection, which nobody takes.
COMMANDS: dict[str, tuple[str, str, tuple[str, ...], int]] = {
    "bulk": ("send of a bulk letter, up to its connections", "", ("send", "bulk", "--yes"), 4),
    "send": ("send of a personal one, up to its connections", "", ("send", "letter", "--yes"), 4),
    "check": ("check of the example letter", "example", ("check", "open-letter"), 0),
}


def write_campaign(folder: Path, rows: int) -> None:
    """A list, two letters to the people in it, and the example campaign with as many."""
    write_list(folder / "recipients.csv", rows)
    (folder / "petition.toml").write_text(SETTINGS, "utf-8")
    (folder / "letters").mkdir(exist_ok=True)
    (folder / "letters" / "letter.md").write_text(LETTER, "utf-8")
    (folder / "letters" / "bulk.md").write_text(BULK, "utf-8")
    write_example(folder / "example", min(rows, WHOLE_UP_TO))


def measure_command(name: str, folder: Path, checkout: Path, rows: int) -> dict[str, float]:
    """One command, with a log of its own."""
    for old in folder.glob("petition.db*"):
        old.unlink()
    shutil.rmtree(folder / "state", ignore_errors=True)
    _, place, words, end = COMMANDS[name]
    environment = environment_of(checkout, folder)
    used = run((*PETITION, *words), folder / place, environment, ends=(end,))
    return {"rows": rows, "cpu": used.processor, "megabytes": used.memory}


def measure(name: str, folder: Path) -> dict[str, float]:
    """One step in a process of its own."""
    for old in folder.glob("queue.db*"):
        old.unlink()
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def run_step(name: str, folder: Path) -> None:
    """Do a step and print what it took."""
    began, used = time.perf_counter(), time.process_time()
    rows = STEPS[name][1](folder)
    took = {"rows": rows, "wall": time.perf_counter() - began, "cpu": time.process_time() - used}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took["megabytes"] = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(json.dumps(took))


def line_of(title: str, took: dict[str, float], base: float) -> str:
    """A row of a table in Markdown."""
    rate = round(took["rows"] / took["cpu"], -2 if took["rows"] > 10_000 else -1)
    times = f"{took['cpu'] / base:.1f}" if base else ""
    return f"| {title} | {took['cpu']:.2f} | {times} | {rate:,.0f} | {took['megabytes']:.0f} |"


def table(rows: int, steps: list[str], rounds: int, against: Path | None, folder: Path) -> None:
    """Measure all steps with a list of so many rows, and print each when it is done."""
    write_campaign(folder, rows)
    print(f"| {rows:,} rows | processor, s | times csv | rows a second | peak memory, MB |")
    print("|---|--:|--:|--:|--:|")
    base = 0.0
    for name in steps:
        took = measure(name, folder)
        assert took["rows"] == rows, (name, took)
        base = base or took["cpu"]
        print(line_of(STEPS[name][0], took, base), flush=True)
    both = checkouts(against)
    for name, (title, *_) in COMMANDS.items():
        if name != "bulk" and rows > WHOLE_UP_TO:
            continue
        found: dict[str, list[dict[str, float]]] = {who: [] for who in both}
        for _ in range(rounds):
            for who, checkout in both.items():
                found[who].append(measure_command(name, folder, checkout, rows))
        for who, runs in found.items():
            took = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
            print(line_of(f"{who}: {title}", took, base), flush=True)
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        run_step(asked.step, asked.folder)
        return
    print("Load of the machine:", *(f"{load:.1f}" for load in os.getloadavg()), "\n")
    steps = [] if asked.against else list(STEPS)
    if steps and not find_spec("polars"):
        steps = [name for name in steps if not name.startswith("polars")]
        print("polars is not installed and is left out (pip install polars).\n")
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for rows in asked.rows:
            table(rows, steps, asked.rounds, asked.against, Path(folder))


if __name__ == "__main__":
    main()
