"""How fast a list is read, validated and queued, and in how much memory.

    python benchmarks/lists.py [--rows 10000 100000 1000000] [--folder DIR]

Every step is a process of its own, whose peak memory is its alone. Python's csv module and polars
(left out by name where it is missing) read the same file in the same run: what counts is the
ratio. Time is the processor's, so that a busy machine changes it less than the clock's.
"""

import argparse
import csv
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

WHOLE_UP_TO = 100_000  # rows; checking a million copies takes long, and no more memory
SIZES = (10_000, 100_000, 1_000_000)
COLUMNS = ("id", "email", "name", "salutation", "language", "city", "joined_on")
SETTINGS = """\
[campaign]
title = "A list of many"
languages = ["en", "ru"]

[sender]
from = "Campaign <letter@campaign.example>"
reply_to = "answers@campaign.example"
"""
LETTER = """\
---
to: recipients
subject: "{{ recipient.name }}: what we ask of you"
---
Dear {{ recipient.salutation }},

people of {{ recipient.city }} ask you to sign.
"""
EXAMPLE = Path(__file__).parents[1]
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
                (f"s{number}", address, name, f"friend {name}", language, city, "2026-01-01")
            )


def write_example(folder: Path, rows: int) -> None:
    """The example campaign with many invented people: three languages, two scripts, one annex."""
    for name in ("letters", "annex"):
        shutil.copytree(EXAMPLE / name, folder / name, dirs_exist_ok=True)
    for name in ("petition.toml", "signatories.csv"):
        shutil.copy(EXAMPLE / name, folder)
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


def whole(folder: Path) -> int:
    """All that `petition send` does before its first connection: every copy is merged as well."""
    from petition.campaign.folder import load_campaign
    from petition.outbox.log import Log
    from petition.prepare import SendOptions, enqueue, prepare

    (folder / "petition.toml").write_text(SETTINGS, "utf-8")
    (folder / "letters").mkdir(exist_ok=True)
    (folder / "letters" / "letter.md").write_text(LETTER, "utf-8")
    with Log(f"sqlite:///{folder / 'whole.db'}") as log:
        prepared = prepare(load_campaign(folder), "letter", log, None, SendOptions())
        enqueue(prepared)
        return prepared.comparison.to_send


def check(folder: Path) -> int:
    """What `petition check` does with the example's open letter."""
    from petition.campaign.folder import load_campaign
    from petition.checks.campaign import examine
    from petition.identity import Signer, new_key
    from petition.merge.message import Merger
    from petition.prepare import check_list

    campaign, today = load_campaign(folder / "example"), datetime.now(UTC).date()
    examined = examine(campaign, "open-letter", server=None, campaign_id="many", today=today)
    assert examined.frozen
    merger = Merger(examined.frozen, Signer(new_key()), examined.files)
    counts: list[int] = []
    check_list(examined, merger, 1, lambda people: counts.append(len(people)))
    assert not examined.has_errors, examined.problems[:3]
    return sum(counts)


STEPS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "csv": ("Python's csv module alone", python_csv),
    "polars": ("polars `read_csv` alone", polars),
    "polars-rows": ("polars, rows handed to Python", polars_rows),
    "read": ("petition: read", read),
    "validate": ("petition: read, validate", validate),
    "queue": ("petition: read, validate, queue", queue),
    "whole": ("petition: the same, the letter checked", whole),
    "check": ("petition check of the example letter", check),
}


def measure(name: str, folder: Path) -> dict[str, float]:
    """One step in a process of its own."""
    for old in (*folder.glob("queue.db*"), *folder.glob("whole.db*")):
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


def line_of(name: str, took: dict[str, float], base: float) -> str:
    """A row of a table in Markdown."""
    rate = round(took["rows"] / took["cpu"], -2 if took["rows"] > 10_000 else -1)
    return (
        f"| {STEPS[name][0]} | {took['cpu']:.2f} | {took['cpu'] / base:.1f} "
        f"| {rate:,.0f} | {took['megabytes']:.0f} |"
    )


def table(rows: int, names: list[str], folder: Path) -> None:
    """Measure all steps with a list of so many rows, and print each when it is done."""
    write_list(folder / "recipients.csv", rows)
    write_example(folder / "example", min(rows, WHOLE_UP_TO))
    print(f"| {rows:,} rows | processor, s | times csv | rows a second | peak memory, MB |")
    print("|---|--:|--:|--:|--:|")
    base = 0.0
    for name in names:
        if name in {"whole", "check"} and rows > WHOLE_UP_TO:
            continue
        took = measure(name, folder)
        assert took["rows"] == rows, (name, took)
        base = base or took["cpu"]
        print(line_of(name, took, base), flush=True)
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        run_step(asked.step, asked.folder)
        return
    print("Load of the machine:", *(f"{load:.1f}" for load in os.getloadavg()), "\n")
    names = [name for name in STEPS if find_spec("polars") or not name.startswith("polars")]
    if len(names) < len(STEPS):
        print("polars is not installed and is left out (pip install polars).\n")
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for rows in asked.rows:
            table(rows, names, Path(folder))


if __name__ == "__main__":
    main()
