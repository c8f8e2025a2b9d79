"""The log of each release opens in this version, and the run that was killed in it is finished."""

import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.keep_log import ATTEMPTED, KILLED, LOGS, SUPPRESSED, WAITING, WITHDRAWN
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.unit.outbox import kept as kept_logs

ROOT = Path(__file__).parents[2]
RELEASES = sorted(path.parent for path in LOGS.glob("*/petition.sql"))
SEND = ("send", "open-letter", "--yes", "--this-log")  # another account's, so far
LEFT = {
    **dict.fromkeys(ATTEMPTED, "sent"),
    "hartwell": "bounced",
    "ormanova": "failed",
    "vorontsov": "deferred",
    "weissenfels": "uncertain",
    KILLED: "sending",
    **dict.fromkeys((SUPPRESSED, WITHDRAWN), "skipped"),
    **dict.fromkeys(WAITING, "queued"),
}


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def kept(request, tmp_path):
    """The campaign as the release left it."""
    root = tmp_path / "campaign"
    shutil.copytree(request.param, root)
    statements = (root / "petition.sql").read_text(encoding="utf-8")
    if request.param.name.endswith(".sqlite"):
        log = sqlite3.connect(root / "petition.db")
        log.execute("PRAGMA journal_mode = WAL")
        log.executescript(statements)
        log.close()
        return SmallCampaign(root).through(1)
    url = request.getfixturevalue("postgres").new_log()
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(statements.encode())
    return SmallCampaign(root, {"PETITION_DATABASE": url}).through(1)


def ask(campaign, query):
    file = f"sqlite:///{campaign.root}/petition.db"
    return kept_logs.ask(campaign.env.get("PETITION_DATABASE", file), query)


def states(campaign):
    return dict(ask(campaign, "SELECT row_id, state FROM copy WHERE newest = 1"))


def without_date(letter):
    head, _, body = letter.partition(b"\r\n\r\n")
    return re.sub(rb"(?m)^Date: .*\r\n", b"", head + b"\r\n"), body


def assert_finished(campaign, server, before, waited=(*WAITING, "vorontsov")):
    """Who waited has what the release would have sent them, and nobody else has anything."""
    assert states(campaign) == LEFT | {
        "vorontsov": "failed",  # after five days, unless
        **dict.fromkeys(waited, "sent"),
        KILLED: "uncertain",  # the server had its final dot
    }
    assert set(server.accepted.values()) == {1}
    assert len(server.accepted) == len(waited)
    for who in waited:
        ((mailbox,),) = ask(campaign, f"SELECT mailbox FROM copy WHERE row_id = '{who}'")
        (got,) = [letter for to, letter in server.last.items() if same_person(to, mailbox)]
        shown = (campaign.root / "waiting" / f"{who}.eml").read_bytes()
        assert without_date(got) == without_date(shown)
    assert (frozen(campaign), had(campaign)) == before


def same_person(one, other):
    return one.partition("@")[0] == other.partition("@")[0]


def frozen(campaign):
    return ask(campaign, "SELECT letter, revision, hash, content_hash, document FROM frozen")


def had(campaign):
    attempted = ", ".join(f"'{who}'" for who in ATTEMPTED if who != "vorontsov")
    return ask(
        campaign,
        "SELECT row_id, state, message_id, letter_date, sha256, bytes FROM copy"
        f" WHERE row_id IN ({attempted}) ORDER BY row_id",
    )


def test_there_is_a_log_of_a_release():
    assert RELEASES


def test_its_letters_are_in_every_state(kept):
    assert states(kept) == LEFT


def finish(campaign, day):
    """Send what waits, on some day after the release's; the server that it went to."""
    ((begun,),) = ask(campaign, "SELECT min(at) FROM event")
    days = (datetime.fromisoformat(begun) - datetime.now(UTC)).days + 1 + day
    with counting_server() as server:
        done = campaign.through(server.port).days_off(days, *SEND)
    assert done.status == 3, (done.out, done.err)  # two letters are uncertain
    return server


def test_the_run_that_was_killed_is_finished_in_the_words_of_its_release(kept):
    before = frozen(kept), had(kept)
    assert_finished(kept, finish(kept, 1), before)


def test_years_later_what_was_never_tried_is_still_sent(kept):
    before = frozen(kept), had(kept)
    assert_finished(kept, finish(kept, 2000), before, WAITING)


def test_what_came_back_is_told_as_before(kept):
    kept.petition("suppress", "stranger@elsewhere.test", status=0)  # the first to write upgrades it
    said = kept.petition("status", "--answers", status=0).out
    assert "1 answered, 1 to be classified, 2 unanswered, 1 bounced" in said
    page = kept.root / "report.html"
    kept.petition("report", "--html", str(page), status=0)
    assert "Vladimir Kim" in page.read_text(encoding="utf-8")
    assert "This mailbox is closed" in kept.petition("log", "hartwell", status=0).out
    kept.petition("evidence", "pack.zip", status=0)
    kept.petition("evidence", "pack.zip", "--verify", status=0)
    with zipfile.ZipFile(kept.root / "pack.zip") as pack:
        texts = b"".join(map(pack.read, pack.namelist()))
    assert b"We will meet them." in texts


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """The oldest versions that pyproject.toml allows of what makes the HTML of a letter."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = tmp_path_factory.mktemp("older")
    bounds = [
        one for one in project["dependencies"] if one.startswith(("css-inline", "markdown-it"))
    ]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder),
            *(one.replace(">=", "==") for one in bounds),
        ],
        check=True,
    )
    assert len(bounds) == 2
    return folder


def hash_of_a_rehearsal(campaign):
    environment = {key: each for key, each in campaign.env.items() if "PETITION" not in key}
    rehearsal = SmallCampaign(campaign.root, environment)
    rehearsal.petition("send", "open-letter", status=0)
    log = campaign.root / "rehearsal.db"
    ((found,),) = kept_logs.ask(f"sqlite:///{log}", "SELECT hash FROM frozen")
    log.unlink()
    return found


@pytest.mark.slow
def test_with_other_versions_of_what_made_it_a_letter_is_finished_as_it_was_begun(kept, older):
    before = frozen(kept), had(kept)
    other = SmallCampaign(kept.root, kept.env | {"PYTHONPATH": str(older)})
    # These do write it otherwise: of the same files, a letter that is begun now has another hash.
    assert hash_of_a_rehearsal(kept) != hash_of_a_rehearsal(other)
    assert_finished(kept, finish(other, 1), before)
