"""Letters with files and an event, through the real program into the sandbox."""

import asyncio
import csv
import email
import email.policy
import hashlib
import io
import os
import re
import sqlite3
from email.message import EmailMessage
from pathlib import Path

import pytest

from petition.outbox.states import State
from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import Gate, counting_server

OWN = '"briefings/{{ recipient.id }}.pdf"'
EVENT = '\n[events.protest]\ntitle = "Protest"\nstarts = 2999-09-30T16:00:00\n'

# Runs petition as on a list whose files are more than it keeps in memory.
KEEPS_NO_FILE = """
from petition.merge import attachments
attachments._KEPT = 0
"""


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path)
    campaign.change(
        "letters/open-letter.md", "reply_by: 14", f'attachments: ["a.pdf", {OWN}]\nreply_by: 14'
    )
    campaign.write("a.pdf", b"for all")
    for number in (1, 2, 3):
        campaign.write(f"briefings/p{number}.pdf", f"for p{number}")
    return campaign


def arrived(campaign: SmallCampaign) -> dict[str, EmailMessage]:
    found = {}
    for file in sorted((campaign.root / "outbox" / "new").iterdir(), key=_written_at):
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        found[message["To"].addresses[0].username] = message
    return found


def _written_at(file: Path) -> int:
    return file.stat().st_mtime_ns  # the newest letter to somebody counts


def contents(message: EmailMessage) -> list[bytes]:
    return [part.get_payload(decode=True) for part in message.iter_attachments()]


def fields(campaign: SmallCampaign) -> list[str]:
    with sqlite3.connect(campaign.root / "rehearsal.db") as database:
        rows = database.execute("SELECT fields FROM copy ORDER BY id").fetchall()
    return [row[0] for row in rows]


def test_everybody_gets_the_shared_file_and_their_own(campaign):
    campaign.petition("send", "open-letter", status=0)
    assert {name: contents(message) for name, message in arrived(campaign).items()} == {
        f"p{number}": [b"for all", f"for p{number}".encode()] for number in (1, 2, 3)
    }
    for number, kept in enumerate(fields(campaign), 1):
        assert hashlib.sha256(f"for p{number}".encode()).hexdigest() in kept
        assert f"briefings/p{number}.pdf" in kept
    rows = csv.DictReader(io.StringIO(campaign.petition("status", "open-letter", "--csv").out))
    sums = {row["sha256"] for row in rows}
    files = (campaign.root / "outbox" / "new").iterdir()
    assert sums == {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_check_names_every_file_that_is_wrong(campaign):
    (campaign.root / "a.pdf").unlink()
    (campaign.root / "briefings/p1.pdf").unlink()
    (campaign.root / "briefings/p2.pdf").unlink()
    os.mkfifo(campaign.root / "briefings/p2.pdf")
    answer = campaign.petition("check", status=1)
    assert 'letters/open-letter.md:4: the attachment "a.pdf" does not exist' in answer.out
    campaign.write("a.pdf", b"again")
    answer = campaign.petition("check", status=1)
    assert 'recipients.csv:2: the attachment "briefings/p1.pdf" does not exist' in answer.out
    assert 'recipients.csv:3: the attachment "briefings/p2.pdf" ' in answer.out
    assert "(letters/open-letter.md:4 attaches it)" in answer.out
    assert campaign.petition("send", "open-letter", status=1)
    assert not (campaign.root / "outbox" / "new").exists()


def test_shared_file_that_changed_is_another_letter(campaign):
    campaign.petition("send", "open-letter", "--to", "p1", status=0)
    campaign.write("a.pdf", b"changed")
    campaign.petition("send", "open-letter", status=0)
    assert {name: contents(message)[0] for name, message in arrived(campaign).items()} == {
        "p1": b"changed",  # a rehearsal of a changed letter rehearses it again
        "p2": b"changed",
        "p3": b"changed",
    }


def test_event_comes_as_a_calendar_file(campaign):
    campaign.change("petition.toml", "[sender]", f"{EVENT}\n[sender]")
    campaign.change("letters/open-letter.md", "reply_by: 14", "event: protest\nreply_by: 14")
    campaign.change("letters/open-letter.md", "the water", "on Tuesday, {{ event.day }}, the water")
    answer = campaign.petition("check", status=0)
    assert 'letters/open-letter.md:10: warning: "Tuesday' in answer.out
    campaign.petition("send", "open-letter", "--to", "p1", status=0)
    calendar = arrived(campaign)["p1"].get_payload()[2]
    assert calendar.get_content_type() == "text/calendar"
    assert b"SEQUENCE:0" in calendar.get_payload(decode=True)


def test_unknown_event_and_past_event(campaign):
    campaign.change("petition.toml", "[sender]", f"{EVENT}\n[sender]")
    campaign.change("letters/open-letter.md", "reply_by: 14", "event: protset\nreply_by: 14")
    answer = campaign.petition("check", status=1)
    assert (
        'letters/open-letter.md:5: there is no event "protset" in petition.toml. Did' in answer.out
    )
    campaign.change("letters/open-letter.md", "protset", "protest")
    campaign.change("petition.toml", "2999-09-30", "2015-09-30")
    assert "warning: the event is past" in campaign.petition("check", status=0).out
    live = campaign.through(9)
    assert "open-letter.md:5: the event is past" in live.petition("check", status=1).out


def test_promise_without_a_file_is_a_warning(campaign):
    campaign.change("letters/open-letter.md", f'attachments: ["a.pdf", {OWN}]\n', "")
    campaign.change("letters/open-letter.md", "the water", "the report is attached; the water")
    answer = campaign.petition("check", status=0)
    assert 'letters/open-letter.md:8: warning: the text says "attached"' in answer.out


def test_preview_names_the_attachments(campaign):
    answer = campaign.petition("preview", "open-letter", "--to", "p2", status=0)
    assert "Attached: a.pdf, p2.pdf" in answer.out


def test_own_file_that_changed_after_an_attempt_fails_its_row(campaign):
    campaign.petition("send", "open-letter", "--dry-run", status=0)
    campaign.petition("send", "open-letter", status=0)
    with sqlite3.connect(campaign.root / "rehearsal.db") as database:
        database.execute(
            "UPDATE copy SET state = 'deferred', attempts = 1, due_at = '2015-01-01T00:00:00.000Z'"
            " WHERE mailbox = 'p2@x.example'"
        )
    campaign.write("briefings/p2.pdf", b"another")
    campaign.petition("send", "open-letter", status=1)
    rows = campaign.petition("status", "open-letter", "--state", "failed", "--json").json["copies"]
    (row,) = rows
    assert row["email"] == "p2@x.example"
    assert 'the attachment "briefings/p2.pdf" has changed since' in row["reason"]
    campaign.write("briefings/p2.pdf", b"for p2")
    campaign.petition("retry", "open-letter", status=0)
    campaign.petition("send", "open-letter", status=0)
    assert set(campaign.states().values()) == {"sent"}


def test_own_file_that_changed_before_an_attempt_is_brought_up_to_date(campaign):
    campaign.petition("send", "open-letter", status=0)
    with sqlite3.connect(campaign.root / "rehearsal.db") as database:
        database.execute(
            "UPDATE copy SET state = 'queued', attempts = 0 WHERE mailbox = 'p2@x.example'"
        )
    before = fields(campaign)[1]
    campaign.write("briefings/p2.pdf", b"another")
    campaign.petition("send", "open-letter", status=0)
    assert fields(campaign)[1] != before
    assert set(campaign.states().values()) == {"sent"}


def test_a_share_that_goes_away_fails_nobody(campaign: SmallCampaign):
    """Its files are gone in the middle of a run, and there again for the next one."""
    names = [f"p{number}" for number in range(1, 61)]
    campaign.list_people(*names)
    for name in names:
        campaign.write(f"briefings/{name}.pdf", f"for {name}")
    gate = Gate()
    with counting_server() as server:
        server.sleep = gate.wait
        live = campaign.through(server.port)
        with live.begin("send", "open-letter", "--yes", before=KEEPS_NO_FILE) as run:
            assert gate.arrived.wait(PATIENCE)
            (campaign.root / "briefings").rename(campaign.root / "away")
            gate.opened.set()
            _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 3
        states = live.states()
        assert set(states.values()) == {State.SENT, State.QUEUED}
        assert set(live_attempts(campaign)) == {0, 1}
        assert re.search(r"briefings/p\d+\.pdf", err)
        server.sleep = asyncio.sleep
        (campaign.root / "away").rename(campaign.root / "briefings")
        live.petition("send", "open-letter", "--yes", status=0)
        assert sorted(server.accepted.values()) == [1] * 60


def live_attempts(campaign: SmallCampaign) -> list[int]:
    with sqlite3.connect(campaign.root / "petition.db") as database:
        return [row[0] for row in database.execute("SELECT attempts FROM copy")]
