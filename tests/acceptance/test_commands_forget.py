"""petition forget and export: what goes, what stays, what is said, and what never comes back."""

import email
import json
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.returning import Returns
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server

SIGNATORIES = (
    "name,kind,email,publish\nRiver Friends,organisation,,yes\n"
    "Ann Reed,individual,ann.reed@y.example,yes\nÉva Szabó,individual,eva@y.example,yes\n"
)

LOG_WITH_BRACKETS = '\n[log]\ndatabase = "sqlite:///a[1].db"\n'


@pytest.fixture
def signed(campaign: SmallCampaign) -> SmallCampaign:
    campaign.write("signatories.csv", SIGNATORIES)
    return campaign


@pytest.fixture
def returns(signed: SmallCampaign) -> Returns:
    return Returns(signed)


def kept_by_the_log(root: Path) -> bytes:
    """Every byte of the log and its side files, and of the sandbox's letters."""
    files = [*root.glob("*.db*"), *(root / "outbox").rglob("*")]
    return b"\n".join(path.read_bytes() for path in files if path.is_file())


def rows(root: Path, query: str, file: str = "rehearsal.db") -> list[tuple]:
    with sqlite3.connect(root / file) as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def test_a_recipient_is_gone_from_every_byte_of_the_log_and_the_states_stay(returns: Returns):
    campaign = returns.campaign
    # An answer, a bounce that names the address, and another person's answer that quotes it.
    returns.arrive(
        returns.reply("p1", "My private words."),
        returns.dsn("p2", "5.2.2", "552 5.2.2 <p2@x.example> full"),
        returns.reply("p3", "Ask P1@X.example, not me."),
    )
    campaign.petition("inbox", status=0)
    before = campaign.petition("status", "open-letter", "--json").json
    assert b"p1@x.example" in kept_by_the_log(campaign.root)
    said = campaign.petition("forget", "P1@x.EXAMPLE", "--yes", status=0).out
    left = kept_by_the_log(campaign.root)
    for trace in (b"p1@x.example", b"P1@X.example", b"My private words", b"Dear P1"):
        assert trace not in left, trace
    assert b"[forgotten], not me." in left
    assert campaign.petition("status", "open-letter", "--json").json == before
    assert "P1@x.example is forgotten" in said
    assert "recipients.csv:2" in said
    ((mailbox, digest),) = rows(
        campaign.root, "SELECT mailbox, sha256 FROM copy WHERE mailbox LIKE 'forgotten-%'"
    )
    assert "@" not in mailbox
    assert len(digest) == 64
    assert len(list((campaign.root / "outbox" / "new").iterdir())) == 2


def test_who_was_forgotten_is_not_written_to_again_by_any_letter(signed: SmallCampaign):
    signed.petition("forget", "p1@x.example", "--yes", status=0)
    assert "1 forgotten" in signed.petition("send", "open-letter", status=0).out
    assert signed.states() == {"p2": "sent", "p3": "sent"} | {
        name: "skipped" for name in signed.states() if name.startswith("forgotten-")
    }
    signed.write("letters/second.md", (signed.root / "letters/open-letter.md").read_text())
    signed.change("letters/second.md", "must be", "should be")
    signed.petition("send", "second", status=0)
    again = signed.petition("send", "open-letter", "--again", status=0).out
    assert "1 forgotten" in again
    letters = list((signed.root / "outbox" / "new").iterdir())
    assert len(letters) == 6
    assert b"p1@x.example" not in kept_by_the_log(signed.root)
    assert "forgotten" in signed.petition("suppress").out
    assert "for good" in signed.petition("suppress", "--remove", "P1@x.example", status=2).err
    signed.petition("suppress", "p1@x.example", status=0)
    assert b"p1@x.example" not in kept_by_the_log(signed.root)


def test_what_waits_for_them_is_not_sent(signed: SmallCampaign):
    with counting_server(answers={"p1": "451 4.7.1 later p1@x.example"}) as server:
        live = signed.through(server.port)
        live.petition("send", "open-letter", "--yes", status=3)
        said = live.petition("forget", "p1@x.example", "--yes", status=0).out
        assert "1 of them waited" in said
        counts = live.petition("status", "open-letter", "--json").json
        assert (counts["sent"], counts["skipped"], counts["total"]) == (2, 1, 3)
        live.petition("send", "open-letter", "--yes", status=0)
    assert b"p1@x.example" not in kept_by_the_log(signed.root)


def test_a_signatory_is_taken_out_of_the_letter_and_the_rest_go_without_the_name(
    signed: SmallCampaign,
):
    with counting_server(answers={"p3": "451 4.7.1 later"}) as server:
        live = signed.through(server.port)
        live.petition("send", "open-letter", "--yes", status=3)
        (before,) = rows(signed.root, "SELECT hash, document FROM frozen", "petition.db")
        assert "Éva Szabó" in before[1]
        receipt = live.petition("forget", "EVA@y.example", "--yes", "--json", status=0).json
    (log,) = receipt["logs"]
    assert log["gone"][0] | {"first": "", "last": ""} == {
        "letter": "open-letter", "revision": 1, "role": "signatory", "copies": 2,
        "first": "", "last": "",
    }  # fmt: skip
    assert {"file": "signatories.csv", "line": 4, "by_name": False} in receipt["files"]
    (after,) = rows(signed.root, "SELECT hash, document FROM frozen", "petition.db")
    assert after[0] != before[0]
    assert "Éva" not in after[1]
    assert rows(signed.root, "SELECT 1 FROM copy WHERE bytes IS NOT NULL", "petition.db") == []
    assert len(rows(signed.root, "SELECT sha256 FROM copy WHERE sha256 <> ''", "petition.db")) == 2
    with counting_server() as server:
        live = signed.through(server.port)
        past = "2020-01-01T00:00:00.000Z"
        rows(signed.root, f"UPDATE copy SET due_at = '{past}' WHERE due_at <> ''", "petition.db")
        # Nobody confirms it: nothing goes without the name before somebody was asked.
        declined = live.petition("send", "open-letter", status=2)
        assert "a name that was erased on" in declined.out
        live.petition("send", "open-letter", "--yes", status=0)
    ((letter,),) = rows(
        signed.root, "SELECT bytes FROM copy WHERE bytes IS NOT NULL", "petition.db"
    )
    text = email.message_from_bytes(letter).get_payload(0).get_payload(decode=True).decode()
    assert "Ann Reed" in text
    assert "Szab" not in text
    # The organiser takes the row out of the file: the letter is still the same one.
    signed.write("signatories.csv", SIGNATORIES.rpartition("Éva")[0])
    assert "already" in live.petition("send", "open-letter", "--yes", status=0).out


def test_a_mail_that_comes_later_brings_nothing_back(returns: Returns):
    reply = returns.reply("p1", "It is me again, p1@x.example.")
    returns.campaign.petition("forget", "p1@x.example", "--yes", status=0)
    returns.arrive(reply, "From: p1@x.example\nSubject: secret subject\n\nHello.\n")
    returns.campaign.petition("inbox", status=0)
    left = kept_by_the_log(returns.campaign.root)
    assert b"p1@x.example" not in left
    assert b"secret subject" not in left
    assert "No new mail" in returns.campaign.petition("inbox", status=0).out


def test_both_logs_forget(signed: SmallCampaign):
    signed.petition("send", "open-letter", status=0)
    with counting_server() as server:
        live = signed.through(server.port)
        live.petition("send", "open-letter", "--yes", status=0)
        logs = live.petition("forget", "p2@x.example", "--yes", "--json", status=0).json["logs"]
    assert [log["erased"]["copies"] for log in logs] == [1, 1]
    assert b"p2@x.example" not in kept_by_the_log(signed.root)


def test_nothing_is_erased_that_nobody_confirmed(signed: SmallCampaign):
    signed.petition("send", "open-letter", status=0)
    before = kept_by_the_log(signed.root)
    refused = signed.petition("forget", "p1@x.example", status=2)
    assert "nothing was erased" in refused.err
    assert "1 copy" in refused.out
    assert rows(signed.root, "SELECT 1 FROM copy WHERE mailbox = 'p1@x.example'") == [(1,)]
    assert b"p1@x.example" in before


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("no address", "is not a mail address"),
        ("Letter@campaign.example", "campaign's own address"),
    ],
)
def test_an_address_that_cannot_be_forgotten_is_refused(
    signed: SmallCampaign, address: str, word: str
):
    assert word in signed.petition("forget", address, "--yes", status=2).err


def test_of_two_people_with_one_name_only_the_one_who_asked_is_forgotten(signed: SmallCampaign):
    signed.list_people("p1", "p2")
    signed.change("recipients.csv", "p1@x.example,P1", "p1@x.example,Ann Reed")
    signed.petition("send", "open-letter", status=0)
    signed.petition("forget", "p1@x.example", "--yes", status=0)
    assert "Ann Reed" in rows(signed.root, "SELECT document FROM frozen")[0][0]


def test_forgetting_twice_and_forgetting_a_stranger_change_nothing_more(signed: SmallCampaign):
    signed.petition("send", "open-letter", status=0)
    signed.petition("forget", "p1@x.example", "--yes", status=0)
    states = signed.states()
    again = signed.petition("forget", "p1@x.example", "--yes", status=0).out
    assert "held nothing" in again
    signed.petition("forget", "stranger@y.example", "--yes", status=0)
    assert signed.states() == states


def test_export_gives_all_that_is_held(returns: Returns):
    returns.arrive(returns.reply("p1", "We can meet."))
    returns.campaign.petition("inbox", status=0)
    held = returns.campaign.petition("export", "P1@x.example", "--json", status=0).json
    (log,) = held["logs"]
    (copy,) = log["copies"]
    assert copy["fields"]["name"] == "P1"
    assert "Dear P1," in copy["text"]
    assert "To: P1 <p1@x.example>" in copy["bytes"]
    assert [event["to_state"] for event in log["events"]] == ["queued", "sending", "sent"]
    assert log["answers"][0]["quote"] == "We can meet."
    assert "We can meet." in log["mails"][0]["bytes"]
    assert held["files"][0] == {
        "file": "recipients.csv", "line": 2, "by_name": False,
        "cells": {"id": "p1", "email": "p1@x.example", "name": "P1", "town": ""},
    }  # fmt: skip
    shown = returns.campaign.petition("export", "p1@x.example", status=0).out
    assert "1 copy, 3 events, 1 answer, 1 mail" in shown
    assert "recipients.csv:2" in shown
    returns.campaign.petition("forget", "p1@x.example", "--yes", status=0)
    gone = returns.campaign.petition("export", "p1@x.example", "--json", status=0).json
    assert gone["logs"][0]["copies"] == gone["logs"][0]["mails"] == []
    assert gone["logs"][0]["forgotten_at"]
    assert "p1" not in json.dumps(gone["logs"])


def test_the_copy_that_an_upgrade_made_is_named(signed: SmallCampaign):
    signed.petition("send", "open-letter", "--yes", status=0)
    kept = signed.root / "rehearsal.schema-9.db"
    kept.write_bytes((signed.root / "rehearsal.db").read_bytes())
    assert kept.name in signed.petition("forget", "p1@x.example", "--yes", status=0).out
    found = signed.petition("forget", "p1@x.example", "--yes", "--json", status=0).json
    assert [Path(one).name for one in found["copies_of_logs"]] == [kept.name]


def test_that_copy_is_named_whatever_the_log_is_called(signed: SmallCampaign):
    signed.write("petition.toml", (signed.root / "petition.toml").read_text() + LOG_WITH_BRACKETS)
    with counting_server() as server:
        live = signed.through(server.port)
        live.petition("send", "open-letter", "--yes", status=0)
        kept = signed.root / "a[1].schema-9.db"
        kept.write_bytes((signed.root / "a[1].db").read_bytes())
        assert kept.name in live.petition("forget", "p1@x.example", "--yes", status=0).out
