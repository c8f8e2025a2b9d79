"""petition status, petition log: what became of each copy."""

import csv
import io
import sqlite3
import subprocess
import sys

import pytest

from petition.outbox.states import State
from tests.acceptance.queued import leave_marked, queue
from tests.acceptance.small import SmallCampaign
from tests.privileges import bound_by_permissions

COUNTS = "letter revision total queued sending sent deferred failed uncertain skipped bounced"
COLUMNS = (
    "email name language state reason attempts reply_code enhanced_code reply message_id sha256"
    " updated_at"
)
EVENTS = "at letter email from to reply_code enhanced_code reply server tls ms reason revision"


@pytest.fixture
def mixed(campaign: SmallCampaign) -> SmallCampaign:
    """One copy sent, one deferred, one failed, one uncertain, one queued."""
    campaign.list_people("p1", "p2", "p3", "p4", "p5")
    states = {"p1": State.SENT, "p2": State.DEFERRED, "p3": State.FAILED, "p4": State.UNCERTAIN}
    queue(campaign, **states)
    return campaign


def test_where_nothing_was_sent_looking_makes_no_log(campaign: SmallCampaign):
    assert "Nothing has been sent yet." in campaign.petition("status", status=0).out
    assert "Nothing of open-letter" in campaign.petition("status", "open-letter", status=0).out
    assert "Nothing has been sent yet." in campaign.petition("log", status=0).out
    assert campaign.petition("status", "--json", status=0).json["letters"] == []
    assert campaign.petition("log", "--json", status=0).json["events"] == []
    assert campaign.petition("status", "--csv", status=0).out == COLUMNS.replace(" ", ",") + "\n"
    assert campaign.petition("log", "--csv", status=0).out == EVENTS.replace(" ", ",") + "\n"
    assert campaign.petition("status", "open-letter", "--json", status=0).json["total"] == 0
    assert not list(campaign.root.glob("rehearsal.db*"))


def test_status_as_json_has_the_keys_of_the_contract(mixed: SmallCampaign):
    one = mixed.petition("status", "open-letter", "--json", status=0).json
    origin = {"rehearsal": True, "log": str(mixed.root / "rehearsal.db")}
    assert list(one) == [*origin, *COUNTS.split(), "approvals"]
    counts = {
        "letter": "open-letter",
        "revision": 1,
        "total": 5,
        "queued": 1,
        "sending": 0,
        "sent": 1,
        "deferred": 1,
        "failed": 1,
        "uncertain": 1,
        "skipped": 0,
        "bounced": 0,
    }
    assert one == origin | counts | {"approvals": []}
    assert mixed.petition("status", "--json", status=0).json == origin | {
        "letters": [counts],
        "approvals": [],
    }


def test_every_list_stands_in_an_object_that_names_the_log(campaign: SmallCampaign):
    lists = {
        ("check",): "problems",
        ("status",): "letters",
        ("status", "--answers"): "letters",
        ("status", "--state", "sent"): "copies",
        ("log",): "events",
        ("suppress",): "addresses",
        ("inbox", "--unmatched"): "mails",
    }
    origin = {"rehearsal": True, "log": str(campaign.root / "rehearsal.db")}
    for command, key in lists.items():
        said = campaign.petition(*command, "--json", status=0).json
        approvals = {"approvals": []} if command in {("log",), ("status",)} else {}
        approvals |= {"signature_steps": [], "service_mails": []} if command == ("log",) else {}
        assert said == origin | {key: []} | approvals
    campaign.petition("send", "open-letter", status=0)
    moved = campaign.petition("withdraw", "open-letter", "--json", status=0).json
    assert moved == origin | {"moved": [], "too_late": []}


def test_status_says_what_to_do_next(mixed: SmallCampaign):
    text = mixed.petition("status", "open-letter", status=0).out
    assert "open-letter: 5 letters" in text
    assert "petition retry open-letter" in text
    assert "petition resolve" in text
    assert "2099-01-01" in text
    assert "nobody received anything" in text
    assert "rehearsal.db" in text


def test_a_time_that_is_past_is_not_waited_for(mixed: SmallCampaign):
    with sqlite3.connect(mixed.root / "rehearsal.db") as log:
        log.execute("UPDATE copy SET due_at = replace(due_at, '2099', '2001')")
    text = mixed.petition("status", "open-letter", status=0).out
    assert "1 deferred" in text
    assert "2001" not in text


def test_one_row_a_copy(mixed: SmallCampaign):
    text = mixed.petition("status", "open-letter", "--csv", status=0).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == COLUMNS.split()
    assert [row["state"] for row in rows] == ["sent", "deferred", "failed", "uncertain", "queued"]
    failed = mixed.petition("status", "open-letter", "--state", "failed", "--json").json["copies"]
    assert [list(row) for row in failed] == [COLUMNS.split()]
    assert failed[0]["email"] == "p3@x.example"
    assert (failed[0]["reply_code"], failed[0]["attempts"]) == (550, 1)
    shown = mixed.petition("status", "--state", "failed", status=0).out
    assert "p3@x.example" in shown
    assert "550 5.1.1 No such mailbox" in shown
    assert "p1@x.example" not in shown
    said = mixed.petition("status", "--state", "bounced", status=0).out
    assert "bounced" in said
    assert "@" not in said


def test_several_letters_are_told_apart(mixed: SmallCampaign):
    mixed.write("letters/appeal.md", '---\nsubject: "S"\n---\nAn appeal.\n')
    queue(mixed, "appeal")
    found = mixed.petition("status", "--json", status=0).json["letters"]
    assert [(one["letter"], one["total"]) for one in found] == [("appeal", 5), ("open-letter", 5)]
    rows = mixed.petition("status", "--state", "queued", "--json", status=0).json["copies"]
    assert {row["letter"] for row in rows} == {"appeal", "open-letter"}
    assert "appeal" in mixed.petition("status", status=0).out
    assert "appeal" in mixed.petition("log", "p1", status=0).out


def test_a_wrong_letter_or_state_names_the_right_ones(mixed: SmallCampaign):
    answer = mixed.petition("status", "open-leter", status=2)
    assert "Did you mean open-letter" in answer.err
    answer = mixed.petition("status", "--state", "lost", status=2)
    assert "queued, sending, sent, deferred, failed, uncertain, bounced, skipped" in answer.err
    mixed.petition("status", "--json", "--csv", status=2)


def test_a_letter_whose_file_is_gone_is_still_known(mixed: SmallCampaign):
    (mixed.root / "letters" / "open-letter.md").unlink()
    assert mixed.petition("status", "open-letter", "--json", status=0).json["total"] == 5


def test_status_shows_the_true_state_after_a_crash(campaign: SmallCampaign):
    leave_marked(campaign, "p2")
    counts = campaign.petition("status", "open-letter", "--json", status=0).json
    assert (counts["sending"], counts["uncertain"], counts["queued"]) == (0, 1, 2)
    events = campaign.petition("log", "p2", "--json", status=0).json["events"]
    assert (events[-1]["from"], events[-1]["to"]) == ("sending", "uncertain")
    assert events[-1]["reason"] == "the program ended while the letter was being handed over"


def test_the_log_has_every_event_oldest_first(mixed: SmallCampaign):
    events = mixed.petition("log", "--json", status=0).json["events"]
    assert list(events[0]) == EVENTS.split()
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    mine = [event for event in events if event["email"] == "p1@x.example"]
    assert [(event["from"], event["to"]) for event in mine] == [
        (None, "queued"),
        ("queued", "sending"),
        ("sending", "sent"),
    ]
    assert mine[-1]["reply"] == "Ok: queued as 4711"
    assert (mine[-1]["server"], mine[-1]["ms"]) == ("mx.test:25", 12)
    rows = list(csv.DictReader(io.StringIO(mixed.petition("log", "--csv", status=0).out)))
    assert len(rows) == len(events)


@pytest.mark.parametrize("who", ["p3", "p3@x.example", "P3@X.EXAMPLE", "3"])
def test_who_is_an_id_an_address_or_a_row_number(mixed: SmallCampaign, who: str):
    events = mixed.petition("log", who, "--json", status=0).json["events"]
    assert {event["email"] for event in events} == {"p3@x.example"}
    assert "550 5.1.1 No such mailbox (mx.test:25, 12 ms)" in mixed.petition("log", who).out


def test_the_columns_of_the_log_stand_under_each_other(mixed: SmallCampaign):
    mixed.petition("withdraw", "open-letter", "p2@x.example", status=0)
    lines = mixed.petition("log", "p2", status=0).out.splitlines()
    assert any("deferred -> skipped" in line for line in lines)
    assert len({line.index("p2@x.example") for line in lines if "p2@x.example" in line}) == 1


@pytest.mark.parametrize("who", ["nobody", "nobody@x.example", "77", "a b@c"])
def test_somebody_the_log_does_not_know(mixed: SmallCampaign, who: str):
    assert mixed.petition("log", who, status=2).out == ""


def test_in_a_folder_that_can_only_be_read_everything_can_be_looked_at(mixed: SmallCampaign):
    folders = [mixed.root, *(path for path in mixed.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for command, found in (
            ("status open-letter", "5 letters"),
            ("status --state failed", "p3@x.example"),
            ("log p3", "sending -> failed"),
            ("preview open-letter --to p3", "Dear P3"),
        ):
            done = subprocess.run(
                [*bound_by_permissions(), sys.executable, "-m", "petition", *command.split()],
                cwd=mixed.root,
                env=mixed.environment | {"PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert found in done.stdout
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_spreadsheet_computes_nothing(campaign: SmallCampaign):
    campaign.write("recipients.csv", 'email,name,town\np1@x.example,"=HYPERLINK(""x"")",\n')
    queue(campaign)
    assert "\"'=HYPERLINK(" in campaign.petition("status", "--csv", status=0).out


def test_whoever_stops_reading_ends_it_quietly(mixed: SmallCampaign):
    command = f"{sys.executable} -m petition log --json | head -c 1"
    done = subprocess.run(
        command,
        shell=True,
        cwd=mixed.root,
        env=mixed.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_a_copy_has_its_message_id_from_the_first(mixed: SmallCampaign):
    def known() -> dict[str, str]:
        text = mixed.petition("status", "open-letter", "--csv", status=0).out
        return {row["email"]: row["message_id"] for row in csv.DictReader(io.StringIO(text))}

    queued = mixed.petition("status", "--state", "queued", "--json", status=0).json["copies"][0]
    assert (queued["email"], queued["sha256"]) == ("p5@x.example", None)
    before = known()
    assert len(set(before.values())) == 5
    assert before["p5@x.example"] == queued["message_id"]
    mixed.petition("send", "open-letter")
    assert mixed.states()["p5"] == "sent"
    assert known()["p5@x.example"] == queued["message_id"]
    mails = [mail.read_bytes() for mail in (mixed.root / "outbox/new").iterdir()]
    field = f"Message-ID: {queued['message_id']}\r\n".encode()
    assert len([mail for mail in mails if field in mail]) == 1
