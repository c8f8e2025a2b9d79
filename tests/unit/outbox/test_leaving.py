"""Whoever brings the token of a letter leaves its list at once, and nobody else does."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from petition.identity import Identity, Signer, selector_of
from petition.inbox.mailboxes import Fetched, received
from petition.outbox.enqueue import Listing
from petition.outbox.inbound import Incoming
from petition.outbox.log import Log
from petition.outbox.manual import suppressions
from petition.outbox.models import Copy
from petition.outbox.run import Run
from petition.outbox.states import Mode, State
from petition.outbox.unsubscribe import copy_of_token, unsubscribe_all
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to, mark, outcome_of, record

BULK = '{"document": {"kind": "bulk"}}'


@pytest.fixture
def sent(log: Log) -> Log:
    """Ann has a bulk letter; Bob's waits."""
    listing = Listing(log, "open")
    stage(listing, listed("ann", "bob"))
    bulk = replace(frozen(), document=BULK)
    listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", bulk)
    bring_to(log, "ann", State.SENT)
    return log


def token_for(log: Log, name: str, revision: int = 1) -> str:
    identity = Identity("campaign", "open", revision, f"{name}@x.example")
    return Signer(log.key).unsubscribe_token(identity)


def leave(log: Log, token: str) -> Copy | None:
    return unsubscribe_all(log, [token])[0]


@pytest.mark.sqlite
def test_a_token_finds_its_copy_and_is_not_kept(sent: Log):
    token = token_for(sent, "ann")
    copy = copy_of_token(sent, token.upper())
    assert copy is not None
    assert copy.mailbox == "ann@x.example"
    kept = "\n".join(sent.database._connection.iterdump())
    assert selector_of(token) in kept
    assert token not in kept


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1] + "x", lambda t: t[:16] + "0" * 16, lambda t: ""]
)
def test_what_is_no_token_takes_nobody_off_the_list(sent: Log, spoil: Callable[[str], str]):
    token = spoil(token_for(sent, "ann"))
    assert leave(sent, token) is None
    assert leave(sent, token_for(sent, "bob")) is None  # his letter never went out
    assert suppressions(sent) == []


def test_a_personal_letter_has_no_token(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    bring_to(log, "ann", State.SENT)
    assert leave(log, token_for(log, "ann")) is None


def test_leaving_twice_is_leaving_once(sent: Log):
    token = token_for(sent, "ann")
    assert leave(sent, token) == leave(sent, token)
    assert [one.mailbox for one in suppressions(sent)] == ["ann@x.example"]


def test_the_next_letter_to_who_left_does_not_go(sent: Log):
    """Their copy is in a run's hand, one step before its final dot."""
    listing = Listing(sent, "open")
    stage(listing, listed("ann"))
    again = replace(frozen(2, mode=Mode.AGAIN), document=BULK)
    listing.carry_out(listing.compare(2, Mode.AGAIN), "campaign", again)

    async def steps() -> bool:
        run = Run(sent, "open")
        (copy,) = await run.fetch(10)
        assert leave(sent, token_for(sent, "ann")) is not None
        may_go = await mark(run, copy)
        await record(run, outcome_of(copy, State.QUEUED))
        await run.close()
        return may_go

    assert asyncio.run(steps()) is False
    ann = sent.copies_to("open", "ann@x.example")[-1]
    assert (ann.state, ann.reason) == (State.SKIPPED, "opted out")


@pytest.mark.parametrize("sender", ["ann@x.example", "no-reply@provider.example"])
def test_a_mail_to_the_tokened_address_suppresses_at_once(sent: Log, sender: str):
    """A provider asks in its customer's name, and marks that a program did."""
    mail = (
        f"From: {sender}\r\nTo: bye+{token_for(sent, 'ann')}@x.example\r\n"
        "Subject: unsubscribe\r\nAuto-Submitted: auto-generated\r\n\r\n"
    ).encode()
    (recorded,) = Incoming(sent).record([received(Fetched("1", mail), "maildir:x")])
    assert (recorded.mail.kind, recorded.matched_by) == ("unsubscribe", "leave token")
    assert recorded.effects == ("suppressed",)
    assert [one.mailbox for one in suppressions(sent)] == ["ann@x.example"]


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("***SPAM*** unsubscribe {}", ""),
        ("[EXT] Re: Unsubscribe  {}", ""),
        ("unsubscribe+{}", ""),
        ("unsubscribe%20{}", ""),
        ("UNSUBSCRIBE {}", ""),
        ("", "unsubscribe {}"),
    ],
)
@pytest.mark.parametrize("change", [str, str.upper])
def test_a_link_to_leave_holds_whatever_became_of_it_on_the_way(
    sent: Log, subject: str, body: str, change: Callable[[str], str]
):
    token = change(token_for(sent, "ann"))
    text = f"Subject: {subject.format(token)}\r\n\r\n{body.format(token)}"
    mail = f"From: x@elsewhere.example\r\nTo: bye@x.example\r\n{text}".encode()
    (recorded,) = Incoming(sent).record([received(Fetched("1", mail), "maildir:x")])
    assert recorded.effects == ("suppressed",)


@pytest.mark.parametrize("text", ["No.\n\n> Leave: https://x.example/u/{}\n", "Is {} my number?"])
def test_a_token_within_an_answer_takes_nobody_off_the_list(sent: Log, text: str):
    words = text.format(token_for(sent, "ann"))
    mail = f"From: ann@x.example\r\nSubject: Re: open\r\n\r\n{words}".encode()
    (recorded,) = Incoming(sent).record([received(Fetched("1", mail), "maildir:x")])
    assert recorded.effects == ("unclassified",)


def test_who_leaves_with_an_answer_has_answered_too(sent: Log):
    words = "Please remove me. The council has voted on it in March, and will not change its mind."
    mail = f"From: ann@x.example\r\nTo: bye+{token_for(sent, 'ann')}@x.example\r\n\r\n{words}"
    (recorded,) = Incoming(sent).record([received(Fetched("1", mail.encode()), "maildir:x")])
    assert recorded.effects == ("suppressed", "unclassified")
    assert recorded.mail.words == words
