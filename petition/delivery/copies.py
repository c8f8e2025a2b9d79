"""From a row of the log to a letter, and from what the server said to a row again."""

from datetime import datetime
from typing import NamedTuple

from petition.address import Mailbox
from petition.campaign.people import Person
from petition.delivery.reply import Outcome as Said
from petition.delivery.retry import RetrySchedule
from petition.delivery.session import Transaction
from petition.merge.message import Email
from petition.outbox.enqueue import ListedRow
from petition.outbox.models import Copy
from petition.outbox.run import Outcome
from petition.outbox.states import State

_STATE_OF = {
    Said.SENT: State.SENT,
    Said.DEFERRED: State.DEFERRED,
    Said.FAILED: State.FAILED,
    Said.UNCERTAIN: State.UNCERTAIN,
    Said.RELEASED: State.QUEUED,
}


class Letter(NamedTuple):
    """A copy that is merged and may be handed over.

    Args:
        copy: Its row.
        email: The letter as the log has it.
        outgoing: The same as it goes over the wire: signed, where letters are.
        date: Its Date.
    """

    copy: Copy
    email: Email
    outgoing: Email
    date: datetime


def person_of(row: Copy | ListedRow) -> Person:
    """The person that a copy, or a row that is to become one, is for."""
    mailbox = Mailbox(row.name, row.mailbox)
    return Person(
        row.file,
        row.line,
        0,
        row.row_id,
        mailbox,
        row.language,
        dict(row.fields),
        queued_as=row.queued_as or "",
    )


def outcome_of(letter: Letter, done: Transaction, retry: RetrySchedule, now: datetime) -> Outcome:
    """What the log is to keep of a letter that was handed over, or was to be.

    Args:
        letter: The letter.
        done: What became of it.
        retry: When it is due again, where it was deferred.
        now: The time.
    """
    verdict, reply = done.verdict, done.verdict.reply
    state, due = _STATE_OF[verdict.outcome], None
    reason = "" if state is State.SENT else verdict.reason  # there the reply says it all
    if state is State.DEFERRED:
        due = retry.due(letter.copy.attempts, letter.copy.waiting_since or now, now)
        if due is None:
            state, reason = State.FAILED, f"deferred for {retry.given_up_after}"
    refused = [f"the server refused {who}: {said}" for who, said in done.also_refused]
    return Outcome(
        copy=letter.copy.id,
        state=state,
        charge=state is not State.QUEUED,
        reason="; ".join(filter(None, [reason, *refused])),
        due_at=due,
        letter_date=None if state is State.QUEUED else letter.date,
        reply_code=reply.code if reply else None,
        enhanced_code=reply.enhanced if reply else None,
        reply=reply.text if reply else None,
        server=done.server,
        tls=done.tls,
        milliseconds=done.milliseconds,
    )
