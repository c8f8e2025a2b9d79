"""What comes back is written down mail by mail, and none of them holds up the others."""

import asyncio
from collections.abc import Callable

import pytest

from petition.identity import Identity, Signer
from petition.inbox.mailboxes import Fetched, read_into
from petition.outbox.enqueue import Listing
from petition.outbox.inbound import Incoming, Received
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.run import Run
from petition.outbox.states import State
from tests.unit.outbox.hand import bring_to, mark, outcome_of, record


def answer_to(copy: int, words: str) -> Received:
    data = f"answer {copy} {words}".encode()
    ids = (f"<{copy}@x>",)
    return Received(data, "maildir:x", words, kind="answer", words=words, message_ids=ids)


@pytest.fixture
def sent(log: Log, queue: Callable[..., Listing]) -> Log:
    queue("ann")
    bring_to(log, "ann", State.SENT)
    return log


def test_a_mail_that_the_program_fails_on_is_set_aside_and_the_others_count(
    sent: Log, monkeypatch: pytest.MonkeyPatch
):
    incoming = Incoming(sent)
    apply = incoming._apply

    def failing(mail: Received, copy: Copy, *rest: object) -> tuple[str, ...]:
        done = apply(mail, copy, *rest)
        if mail.words == "second":
            raise TypeError("unhashable")
        return done

    monkeypatch.setattr(incoming, "_apply", failing)
    mails = [answer_to(1, words) for words in ("first", "second", "third")]
    recorded = incoming.record(mails, "imaps://x", (7, 3))
    assert [one.effects for one in recorded] == [("unclassified",), (), ("unclassified",)]
    assert "TypeError: unhashable" in recorded[1].mail.reason
    assert {one.mail.data for one in recorded} == {b""}
    assert incoming.position("imaps://x") == (7, 3)
    quotes = sent.database._connection.execute("SELECT quote FROM answer ORDER BY id").fetchall()
    assert [row[0] for row in quotes] == ["first", "third"]
    assert incoming.record(mails) == []


def token_of(log: Log, mailbox: str) -> str:
    return Signer(log.key).return_path_token(Identity("campaign", "open", 1, mailbox))


def test_a_reader_that_began_before_a_letter_went_out_knows_its_token(
    log: Log, queue: Callable[..., Listing]
):
    incoming = Incoming(log)
    queue("ann", "ben")
    bring_to(log, "ann", State.SENT)
    early = Received(b"1", "x", "1", kind="bounce", tokens=(token_of(log, "ann@x.example"),))
    never = Received(b"2", "x", "2", kind="bounce", tokens=(token_of(log, "ben@x.example"),))
    (first,), (other,) = incoming.record([early]), incoming.record([never])
    assert (first.matched_by, first.effects) == ("token", ("bounced",))
    assert other.copy is None
    bring_to(log, "ben", State.SENT)
    late = Received(b"3", "x", "3", kind="bounce", tokens=(token_of(log, "ben@x.example"),))
    (second,) = incoming.record([late])
    assert (second.matched_by, second.effects) == ("token", ("bounced",))


BOUNCE = b"""\
Return-Path: <>
From: MAILER-DAEMON@mx.example
To: bounces+%s@campaign.example
Subject: Undelivered Mail Returned to Sender

<ann@x.example>: 550 5.1.1 User unknown
"""


def test_a_bounce_that_comes_before_the_servers_answer_counts_when_that_is_known(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")
    incoming = Incoming(log)
    bounce = Fetched("1", BOUNCE % token_of(log, "ann@x.example").encode())

    def read(*mails: Fetched) -> list[tuple[str, ...]]:
        batches = read_into(incoming, mails, "maildir:x")
        return [one.effects for batch in batches for one in batch]

    async def steps() -> list[list[tuple[str, ...]]]:
        run = Run(log, "open")
        (copy,) = await run.fetch(10)
        assert await mark(run, copy)
        seen = [read(bounce), read(bounce)]
        await record(run, outcome_of(copy, State.SENT))
        seen += [read(bounce), read(bounce)]
        await run.close()
        return seen

    first, second, third, fourth = asyncio.run(steps())
    assert (first, second, fourth) == ([("waits",)], [], [])
    assert third == [("bounced", "suppressed")]
    assert log.counts("open").by_state[State.BOUNCED] == 1


# As Exim reports two recipients.
OF_EXIM = b"""\
Return-Path: <>
X-Failed-Recipients: press@gazette.example,
  ann@x.example
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@host.campaign.example>
To: bounces+%s@campaign.example
Subject: Mail delivery failed: returning message to sender

A message that you sent could not be delivered to one or more of its
recipients. The following address(es) failed:

  press@gazette.example
    SMTP error from remote mail server after RCPT TO:<press@gazette.example>:
    552 5.2.2 Mailbox full
  ann@x.example
    SMTP error from remote mail server after RCPT TO:<ann@x.example>:
    550 5.1.1 User unknown
"""
OTHER = b"<press@gazette.example>: 550 5.1.1 User unknown\n\n"


@pytest.mark.parametrize(
    ("text", "effects"),
    [
        (BOUNCE.replace(b"<ann", OTHER + b"<ann"), ("bounced", "suppressed")),
        (OF_EXIM, ("bounced", "suppressed")),
        (BOUNCE.replace(b"<ann@x.example>", b"<old@elsewhere.example>"), ("bounced",)),
        (BOUNCE.replace(b"5.1.1 User unknown", b"5.7.1 Helo command rejected"), ("bounced",)),
    ],
)
def test_a_bounce_suppresses_only_whom_it_is_about(
    log: Log, queue: Callable[..., Listing], text: bytes, effects: tuple[str, ...]
):
    queue("ann")
    bring_to(log, "ann", State.SENT)
    bounce = Fetched("1", text % token_of(log, "ann@x.example").encode())
    batches = read_into(Incoming(log), [bounce], "maildir:x")
    assert [one.effects for batch in batches for one in batch] == [effects]


def test_a_cc_that_bounces_with_to_leaves_its_reason_to_to(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    bring_to(log, "ann", State.SENT)
    text = BOUNCE.replace(b"<ann", OTHER.replace(b"User unknown", b"is full") + b"<ann")
    bounce = Fetched("1", text % token_of(log, "ann@x.example").encode())
    ((recorded,),) = read_into(Incoming(log), [bounce], "maildir:x")
    assert (recorded.mail.recipient, recorded.mail.permanent) == ("ann@x.example", True)


def test_an_imap_server_of_any_zone_is_asked_for_the_first_evening(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")
    assert Incoming(log).sent_since() is None
    bring_to(log, "ann", State.SENT)  # on the first of March, as the log has it in UTC
    assert Incoming(log).sent_since() == "28-Feb-2026"


def test_a_letter_whose_message_id_was_replaced_is_known_by_what_the_server_said(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "ben")
    for who, said in (("ann", "Ok 0102019-000000"), ("ben", "2.0.0 queued")):
        bring_to(log, who, State.SENT)
        log.database._connection.execute(f"UPDATE copy SET reply = '{said}' WHERE row_id = '{who}'")
    id_ = "<0102019-000000@eu-west-1.amazonses.example>"
    bounce = Received(b"1", "x", "1", kind="bounce", message_ids=("<no@x>", id_))
    (recorded,) = Incoming(log).record([bounce])
    assert (recorded.matched_by, recorded.effects) == ("Message-ID", ("bounced",))
    assert recorded.copy is not None
    assert recorded.copy.row_id == "ann"
