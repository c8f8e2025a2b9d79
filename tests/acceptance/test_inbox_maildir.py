"""petition inbox on a Maildir and an mbox file: what each mail changes, and what none may."""

import hashlib
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.acceptance.returning import Returns
from tests.acceptance.small import SmallCampaign

UNKNOWN = "550 5.1.1 User unknown"
FULL = "552 5.2.2 Mailbox full"


@pytest.fixture
def returns(campaign: SmallCampaign) -> Returns:
    return Returns(campaign)


def read(returns: Returns) -> list[dict[str, object]]:
    answer = returns.campaign.petition("inbox", "--json", status=0)
    mails: list[dict[str, object]] = answer.json["mails"]
    return mails


def answers(returns: Returns) -> list[tuple[str, str, str]]:
    with sqlite3.connect(returns.campaign.root / "rehearsal.db") as database:
        rows = database.execute(
            "SELECT copy.row_id, answer.status, answer.quote FROM answer"
            " JOIN copy ON copy.id = answer.copy ORDER BY answer.id"
        ).fetchall()
    database.close()
    return rows


def test_each_kind_of_mail_has_its_effect(returns: Returns):
    returns.arrive(
        returns.dsn("p1", "5.1.1", UNKNOWN, to=f"bounces+{returns.token('p1')}@campaign.example"),
        returns.dsn("p2", "5.2.2", FULL, to=f"bounces+{returns.token('p2')}@campaign.example"),
        returns.dsn("p3", "4.7.1", "451 4.7.1 Greylisted", action="delayed"),
        returns.reply(
            "p3", "We can meet.\n\nOn Monday, Campaign <a@b.example> wrote:\n> unsubscribe"
        ),
        returns.reply("p3", "Away.", more="Auto-Submitted: auto-replied\n"),
    )
    found = [(one["kind"], one["email"], one["changed"]) for one in read(returns)]
    assert found == [
        ("bounce", "p1@x.example", ["bounced", "suppressed"]),
        ("bounce", "p2@x.example", ["bounced"]),
        ("delay", "p3@x.example", []),
        ("answer", "p3@x.example", ["unclassified"]),
        ("auto-reply", "p3@x.example", ["acknowledged"]),
    ]
    assert returns.campaign.states() == {"p1": "bounced", "p2": "bounced", "p3": "sent"}
    assert returns.suppressed == {"p1": "no such mailbox"}
    assert answers(returns) == [
        ("p3", "unclassified", "We can meet."),
        ("p3", "acknowledged", "Away."),
    ]
    assert "sent -> bounced" in returns.campaign.petition("log", "p1").out


def test_a_mail_that_is_read_twice_counts_once(returns: Returns):
    mails = (returns.dsn("p1", "5.1.1", UNKNOWN), returns.reply("p2", "No."))
    returns.arrive(*mails)
    assert len(read(returns)) == 2
    assert read(returns) == []
    returns.arrive(*(mail.replace("\n", "\r\n") for mail in mails))
    assert read(returns) == []
    assert len(answers(returns)) == 1


def test_nothing_of_the_maildir_is_changed(returns: Returns):
    paths = returns.arrive(returns.reply("p1", "No."))
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    read(returns)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before
    assert list((returns.maildir / "cur").iterdir()) == []


def test_a_token_proves_a_bounce_and_names_the_recipient(returns: Returns):
    to = [f"bounces+{returns.token(who)}@campaign.example" for who in ("p1", "p2")]
    forwarded = returns.dsn("p1", "5.1.1", UNKNOWN, to=to[0], returned="", named="inner@y.example")
    returns.arrive(forwarded, returns.dsn("p2", "5.1.1", UNKNOWN, to=to[1], returned=""))
    found = [(one["email"], one["matched_by"], one["changed"]) for one in read(returns)]
    assert ("p1@x.example", "token", ["bounced"]) in found  # who is behind p1 does not exist
    assert ("p2@x.example", "token", ["bounced", "suppressed"]) in found
    assert returns.suppressed == {"p2": "no such mailbox"}


def test_a_message_id_alone_bounces_a_copy_and_suppresses_nobody(returns: Returns):
    complaint = (
        "From: fbl@isp.example\nSubject: complaint\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\n\n'
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n{path}\n"
        "--b\nContent-Type: text/rfc822-headers\n\nSubject: one demand\n"
        f"Message-ID: {returns.sent('p2')['Message-ID']}\n\n--b--\n"
    )
    path = f"Original-Mail-From: <bounces+{returns.token('p2')}@campaign.example>\n"
    returns.arrive(returns.dsn("p1", "5.1.1", UNKNOWN), complaint.format(path=""))
    assert [one["changed"] for one in read(returns)] == [["bounced"], ["held"]]
    assert returns.campaign.states()["p1"] == "bounced"
    assert returns.suppressed == {"p2": "may want to leave"}
    returns.arrive(complaint.format(path=path))
    assert [one["changed"] for one in read(returns)] == [["suppressed"]]
    assert returns.suppressed == {"p2": "called it spam"}


def test_a_thousand_forged_bounces_change_nothing(returns: Returns):
    forged = [
        returns.dsn(
            "p1",
            "5.1.1",
            UNKNOWN,
            returned=f"Message-ID: <{number:032x}@campaign.example>",
            to=f"bounces+{number:024x}@campaign.example",
            number=str(number),
        )
        for number in range(1_000)
    ]
    returns.arrive(*forged)
    assert {(one["email"], tuple(one["changed"])) for one in read(returns)} == {(None, ())}
    assert set(returns.campaign.states().values()) == {"sent"}
    assert returns.suppressed == {}


def test_a_bounce_of_a_copy_that_was_not_sent_changes_nothing(returns: Returns):
    returns.campaign.list_people("p1", "p2", "p3", "p4")
    to = f"bounces+{returns.token('p4')}@campaign.example"
    returns.arrive(returns.dsn("p4", "5.1.1", UNKNOWN, to=to, returned=""))
    assert [one["email"] for one in read(returns)] == [None]
    assert returns.suppressed == {}


def test_an_answer_without_a_thread_is_matched_by_its_sender_and_a_bounce_is_not(returns: Returns):
    returns.arrive(
        "From: P2@X.example\nSubject: hello\n\nSir, we refuse.\n".replace("P2", "p2"),
        "From: stranger@y.example\nSubject: hello\n\nWho are you?\n",
        returns.dsn("p2", "5.1.1", UNKNOWN, returned=""),
    )
    found = [(one["email"], one["matched_by"]) for one in read(returns)]
    assert found == [("p2@x.example", "sender"), (None, None), (None, None)]
    assert returns.campaign.states()["p2"] == "sent"


def test_either_of_two_fields_names_the_letter_and_a_file_without_headers_is_not_an_answer(
    returns: Returns,
):
    to_other = "In-Reply-To: <other@y.example>\n"
    by = "From: home@y.example\n"
    theirs = returns.sent("p1")["Message-ID"]
    returns.arrive(
        f"{by}{to_other}In-Reply-To: {theirs}\n\nYes.\n",
        f"{by}{to_other}References: <a@y.example>\nReferences: {theirs}\n\nNo.\n",
        "",
        "\n\n",
    )
    found = [(one["kind"], one["email"], one["matched_by"]) for one in read(returns)]
    assert found == [
        ("answer", "p1@x.example", "Message-ID"),
        ("answer", "p1@x.example", "Message-ID"),
        (None, None, None),
        (None, None, None),
    ]


def test_an_unsubscribe_request_suppresses_the_recipient_and_nobody_it_was_forwarded_to(
    returns: Returns,
):
    returns.arrive(
        returns.reply("p1", "Please remove me from your list."),
        returns.reply("p2", "Unsubscribe me.", sender="passed.on@y.example"),
        "From: p3@x.example\nSubject: unsubscribe\n\nRemove me.\n",
    )
    changed = [one["changed"] for one in read(returns)]
    assert changed == [["suppressed"], ["unclassified", "held"], ["suppressed"]]
    assert returns.suppressed == {
        "p1": "opted out",
        "p2": "may want to leave",
        "p3": "opted out",
    }


def test_a_malicious_mail_is_set_aside_and_the_next_is_read(returns: Returns):
    returns.arrive("X: " + "y" * 300_000 + "\n\n", returns.reply("p1", "No."))
    first, second = read(returns)
    assert first["kind"] is None
    assert "256 KB" in str(first["reason"])
    assert second["kind"] == "answer"


def test_pipes_and_links_in_a_maildir_are_left_alone(returns: Returns):
    (path,) = returns.arrive(returns.reply("p1", "No."))
    elsewhere = returns.campaign.write("secret.eml", returns.reply("p2", "Private."))
    (returns.maildir / "new" / "0.link").symlink_to(elsewhere)
    os.mkfifo(returns.maildir / "new" / "1.pipe")
    assert [one["words"] for one in read(returns)] == ["No."]
    assert path.exists()


def test_an_mbox_file_is_read_from_its_beginning_and_not_changed(returns: Returns):
    mails = [returns.reply("p1", "No.\n\n>From here on nothing."), returns.reply("p2", "Yes.")]
    text = "".join(f"From x@y.example Mon Sep 28 09:12:43 2015\n{mail}\n" for mail in mails)
    file = returns.campaign.write("answers.mbox", text)
    returns.campaign.change("petition.toml", "maildir:answers", "mbox:answers.mbox")
    assert [one["words"] for one in read(returns)] == ["No.\n\nFrom here on nothing.", "Yes."]
    assert read(returns) == []
    assert file.read_text() == text


def test_it_shows_what_came_and_what_could_not_be_matched(returns: Returns):
    returns.arrive(
        returns.dsn("p1", "5.1.1", UNKNOWN), "From: s@y.example\nSubject: \x1b[31mhello\n\nWho?\n"
    )
    shown = returns.campaign.petition("inbox", status=0).out
    assert "2 new mails, 1 of them about your letters: 1 bounce." in shown
    assert "bounced" in shown
    assert "1 mail could not be matched to a letter and changed nothing (1 so far):" in shown
    assert "\x1b" not in shown
    assert "No new mail." in returns.campaign.petition("inbox", "--once", status=0).out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--explain", "--watch", "x"], "--explain"),
        (["--once", "--watch"], "--once"),
        (["x.eml"], "--explain"),
    ],
)
def test_contradicting_options_are_wrong_usage(returns: Returns, arguments: list[str], word: str):
    assert word in returns.campaign.petition("inbox", *arguments, status=2).err


def test_without_an_inbox_or_a_letter_there_is_nothing_to_read(campaign: SmallCampaign):
    assert "no inbox is set" in campaign.petition("inbox", status=2).err
    toml = (campaign.root / "petition.toml").read_text() + '\n[inbox]\nurl = "maildir:none"\n'
    campaign.write("petition.toml", toml)
    assert "nothing has been sent yet" in campaign.petition("inbox", status=2).err
    campaign.petition("send", "open-letter", status=0)
    assert "not a Maildir" in campaign.petition("inbox", status=2).err


TIMED_OUT = "set aside: it takes longer than 2 s to read"


def set_aside_for_time(returns: Returns, *mails: tuple[str, str]) -> None:
    """Record mails as versions did that had a time limit."""
    with sqlite3.connect(returns.campaign.root / "rehearsal.db") as database:
        for place, mail in mails:
            digest = hashlib.sha256(mail.encode()).hexdigest()
            database.execute(
                "INSERT INTO mail (sha256, source, place, message_id, sender, subject, reason,"
                " seen_at) VALUES (?, ?, ?, '', '', '', ?, '2026-01-01T00:00:00Z')",
                (digest, f"maildir:{returns.maildir}", place, TIMED_OUT),
            )
    database.close()


def test_mail_that_was_set_aside_for_time_is_read_again_once(returns: Returns):
    mail, gone = returns.reply("p1", "We can meet."), returns.reply("p2", "Yes.")
    returns.arrive(mail)
    (path,) = (returns.maildir / "new").iterdir()
    set_aside_for_time(returns, (path.name, mail), ("deleted meanwhile", gone))
    assert [(one["kind"], one["email"]) for one in read(returns)] == [("answer", "p1@x.example")]
    assert answers(returns) == [("p1", "unclassified", "We can meet.")]
    assert read(returns) == []


@pytest.mark.skipif(sys.platform != "linux", reason="file names are UTF-8 there")
def test_odd_files_in_a_maildir_do_not_stop_the_run(returns: Returns):
    returns.arrive(returns.reply("p1", "We can meet."))
    new = returns.maildir / "new"
    odd = Path(os.fsdecode(bytes(new) + b"/1.\xff\xfe.host:2,S"))
    odd.write_text(returns.reply("p2", "We have read it."))
    (new / "2.folder").mkdir()
    os.mkfifo(new / "3.fifo")
    (new / "4.nowhere").symlink_to("nowhere")
    assert sorted((one["kind"], one["email"]) for one in read(returns)) == [
        ("answer", "p1@x.example"),
        ("answer", "p2@x.example"),
    ]
    assert read(returns) == []
