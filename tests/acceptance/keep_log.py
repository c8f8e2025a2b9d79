"""Makes the campaigns that the tests keep of a release: `python -m tests.acceptance.keep_log`.

The program of this tree sends the example letter, gets into all kinds of trouble and is killed half
way, once with a log in a file and once in PostgreSQL. tests/samples/logs/VERSION.DATABASE has the
folder, the log as SQL, and how the letters that wait would go out, all as this version left them.
It is made once a release, and never again.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from email import message_from_bytes
from pathlib import Path

import petition
from tests import SHARED
from tests.acceptance.returning import DSN
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import Gate, counting_server
from tests.servers.postgres import BINARIES, running_postgres

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "tests" / "samples" / "logs"

# Older and newer versions of css-inline write the cells of its columns otherwise.
TABLE = "| 2014 | 2015 |\n|:----:|-----:|\n| 3 | **11** |\n\n"

# What the server says to whom; "": it hangs up on the final dot.
REPLIES = {
    "saule.ormanova": "550 5.7.1 Not from you",
    "sergei.vorontsov": "451 4.3.0 Try again later",
    "joerg.weissenfels": "",
}
ATTEMPTED = ("kim", "hartwell", "ormanova", "vorontsov", "weissenfels", "odowd")
KILLED = "ilyinskaya"
WITHDRAWN, SUPPRESSED = "secretariat", "abenov"
SCHEMA = "kept_log"
WAITING = ("zhumabek", "sabirov", "bekzhan")


def play(campaign: SmallCampaign) -> None:
    """Bring letters into each state, with answers to some and a bounce of another."""
    for name in ("letters", "annex"):
        shutil.copytree(ROOT / name, campaign.root / name)
    for path in (ROOT / "petition.toml", *ROOT.glob("*.csv")):
        shutil.copy(path, campaign.root)
    for path in campaign.root.glob("letters/open-letter*.md"):
        campaign.change(f"letters/{path.name}", "{{ demands }}", TABLE + "{{ demands }}")
    postal = 'postal_address = "1 Example Row, London, United Kingdom"\n'
    returns = 'return_path = "bounces+{token}@campaign-kazakhstan.example"\n'
    campaign.change("petition.toml", postal, postal + returns)
    inbox = '\n[inbox]\nurl = "maildir:answers"\n'
    campaign.write("petition.toml", (campaign.root / "petition.toml").read_text() + inbox)
    for name in ("cur", "new", "tmp"):
        (campaign.root / "answers" / name).mkdir(parents=True)

    campaign = campaign.through(1)  # nobody answers there, so that all are queued
    campaign.petition("send", "open-letter", "--yes", status=4)
    with counting_server(answers=REPLIES) as server:
        send = ("send", "open-letter", "--yes", "--limit", str(len(ATTEMPTED)))
        campaign.through(server.port).petition(*send, status=3)
        sent = {name.partition("@")[0]: letter for name, letter in server.last.items()}
    campaign.petition("withdraw", "open-letter", WITHDRAWN, status=0)
    campaign.petition("suppress", "d.abenov@example.org", status=0)
    arrive(campaign, sent["eleanor.hartwell"], sent["siobhan.odowd"])
    campaign.petition("inbox", status=0)
    met = ("--channel", "phone", "--quote", "We will meet them.")
    campaign.petition("answer", "kim", "meeting", *met, status=0)
    for who in (*WAITING, "vorontsov"):
        shown = campaign.petition("preview", "open-letter", "--to", who, "--as", "source", status=0)
        campaign.write(f"waiting/{who}.eml", shown.out)

    gate = Gate()
    with counting_server() as server:
        server.sleep = gate.wait
        run = campaign.through(server.port).begin(
            *("send", "open-letter", "--yes", "--to", KILLED), program=("-m", "petition")
        )
        gate.arrived.wait()  # the server has the final dot, and does not answer it
        run.send_signal(signal.SIGKILL)
        run.wait()
        gate.opened.set()


def arrive(campaign: SmallCampaign, bounced: bytes, answered: bytes) -> None:
    """Lay a bounce of one letter and an answer to another into the inbox."""
    returned = message_from_bytes(bounced)
    bounce = DSN.format(
        to=returned["Reply-To"],
        number="bounce",
        who=returned["To"].partition("<")[2].strip(">"),
        action="failed",
        status="5.2.1",
        said="550 5.2.1 This mailbox is closed",
        returned=f"Message-ID: {returned['Message-ID']}",
    )
    campaign.write("answers/new/1443431567.1.host", bounce)
    letter = message_from_bytes(answered)
    answer = (
        f"From: {letter['To']}\nTo: {letter['Reply-To']}\nSubject: Re: Open letter\n"
        f"Message-ID: <answer@kaz-minerals.example>\nIn-Reply-To: {letter['Message-ID']}\n\n"
        "Thank you. I have asked for a report on the second demand.\n"
    )
    campaign.write("answers/new/1443431568.2.host", answer)


def of_sqlite(path: Path) -> str:
    """A log as the statements that make it."""
    log = sqlite3.connect(path)
    try:
        ((application,),) = log.execute("PRAGMA application_id")  # which the dump leaves out
        return "\n".join([f"PRAGMA application_id = {application};", *log.iterdump()])
    finally:
        log.close()


def of_postgres(url: str) -> str:
    """The same, for a schema of any name."""
    assert BINARIES
    what = ("--inserts", "--no-owner", "--no-privileges", f"--schema={SCHEMA}")
    dump = [BINARIES / "pg_dump", *what, url.partition("&options")[0]]
    said = subprocess.run(dump, capture_output=True, check=True, text=True).stdout
    # No value has an end of line in it: JSON and bytes are written without.
    not_of_the_log = r"^(SET|CREATE SCHEMA|SELECT pg_catalog.set_config|--|\\|$).*\n"
    return re.sub(not_of_the_log, "", said.replace(f"{SCHEMA}.", ""), flags=re.MULTILINE)


def keep(folder: Path, url: str = "") -> None:
    """Play a campaign, and write it where it stays."""
    if folder.exists():
        sys.exit(f"{folder} is there already: what a release left is never changed.")
    with tempfile.TemporaryDirectory() as place:
        campaign = SmallCampaign(Path(place) / "campaign", {"XDG_STATE_HOME": f"{place}/state"})
        campaign.env |= {"PETITION_DATABASE": url} if url else {}
        campaign.root.mkdir()
        play(campaign)
        dump = of_postgres(url) if url else of_sqlite(campaign.root / "petition.db")
        left_out = shutil.ignore_patterns("*.db*", "tmp", "cur")
        shutil.copytree(campaign.root, folder, ignore=left_out)
    (folder / "petition.sql").write_text(f"{dump.strip()}\n", encoding="utf-8")
    print(f"Kept in {folder}.")  # noqa: T201 (a program)


def main() -> None:
    keep(LOGS / f"{petition.__version__}.sqlite")
    with tempfile.TemporaryDirectory() as shared:
        os.environ[SHARED] = shared  # where the data of a new server are made
        Path(shared).chmod(0o755)
        with running_postgres() as server:
            server.run(f"CREATE SCHEMA {SCHEMA}")
            keep(LOGS / f"{petition.__version__}.postgresql", server.url(SCHEMA))


if __name__ == "__main__":
    main()
