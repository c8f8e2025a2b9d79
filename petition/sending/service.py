"""Sends service messages: those that wait, one after another over one connection.

Whoever may send letters sends them: a run beside its letters, and where there is none, `serve`,
`inbox` or the command that wrote them. They keep to the pace and the daily cap, but not to the
hours of letters: somebody waits for them.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from petition.errors import LogBusy, LogUnusable, ServerTrouble
from petition.merge.service_mail import service_email
from petition.outbox import service, workers
from petition.outbox.committer import on_thread
from petition.outbox.log import Log
from petition.outbox.service import ServiceMail, ServiceOutcome
from petition.outbox.states import State
from petition.sending.results import ending_of
from petition.sending.route import Route
from petition.sending.sender import first_of
from petition.smtp.conversation import Transaction
from petition.smtp.session import Session

_AT_ONCE = 50  # mails of one batch
# A batch without a run is over soon, and waits for the pace outside of it: a `send` that begins
# meanwhile waits for it, and gives up after some seconds (outbox/database.py).
_BATCH_SECONDS = 1.0
_SOON = 0.1  # seconds of waiting for the pace that a batch may hold
_BETWEEN_SECONDS = 0.25  # batches, which is when a `send` can begin
_LOOK_SECONDS = 1.0  # between two looks for what waits
_LONGEST_PAUSE = 300.0  # while the server or the log is away


class ServiceResult(NamedTuple):
    """What became of a service message."""

    mail: ServiceMail
    state: State
    said: str  # the server's reply, or why it has another state


Tell = Callable[[ServiceResult], None]


@contextmanager
def may_send(log: Log) -> Iterator[str | None]:
    """Be the one who sends, while the block runs: yields the owner of what is sent.

    None: another process is sending letters, and sends service messages too. Beside workers,
    which do not, the caller is one of them.
    """
    with ExitStack() as held:
        try:
            held.enter_context(log.owned(0))
        except LogBusy:
            owner = None
            if log.database.takes_workers and workers.join(log):
                owner = held.enter_context(workers.membership(log, workers.process_name()))
        else:
            owner = uuid.uuid4().hex
        yield owner


async def keep_sending(
    log: Log,
    route: Route,
    stopped: asyncio.Event,
    note: Callable[[str], None],
    tell: Tell = lambda _: None,
    *,
    owner: str | None = None,
) -> None:
    """Send what waits, and what comes, until `stopped`.

    The log, which needs a connection of its own, is used on other threads. `owner` is that of the
    run beside whose letters they are sent; without one they are sent as `may_send` allows. `note`
    gets the trouble that prevents it, once for each.
    """
    pause, noted = _LOOK_SECONDS, ""
    while not stopped.is_set():
        try:
            result = await send_waiting(log, route, tell, owner=owner, stopped=stopped)
            noted = noted if result is None else ""
            is_put_off, usual = (
                result is State.QUEUED,
                _BETWEEN_SECONDS if result else _LOOK_SECONDS,
            )
        except (ServerTrouble, LogUnusable) as fault:
            is_put_off, usual = True, _LOOK_SECONDS
            if noted != (noted := fault.what):
                note(f"Service messages wait: {fault.what}. {fault.hint}.")
        pause = min(max(2 * pause, _LOOK_SECONDS), _LONGEST_PAUSE) if is_put_off else usual
        await first_of(pause, stopped)


async def send_waiting(
    log: Log,
    route: Route,
    tell: Tell = lambda _: None,
    *,
    owner: str | None = None,
    stopped: asyncio.Event | None = None,
) -> State | None:
    """Send a batch of what waits; returns what the last mail came to.

    None: nothing was tried, as none waits, another process sends, or `stopped` is set. Queued: the
    daily cap is reached, the server wants no more for now, or the mail was changed meanwhile.
    OpeningTrouble: there is no connection to the server, and all of them wait as before. Arguments
    as in `keep_sending`.
    """
    stopped = stopped or asyncio.Event()
    if owner is not None:
        return await _send_batch(log, route, owner, tell, stopped)
    if not (first := await on_thread(service.due, log, 1)):
        return None
    if (delay := _delay(route, first[0])) > 0:
        await first_of(delay, stopped)
    held = ExitStack()
    own = await on_thread(held.enter_context, may_send(log))
    try:
        ends = time.monotonic() + _BATCH_SECONDS
        return await _send_batch(log, route, own, tell, stopped, ends) if own else None
    finally:
        await on_thread(held.close)


async def _send_batch(
    log: Log,
    route: Route,
    owner: str,
    tell: Tell,
    stopped: asyncio.Event,
    ends: float | None = None,
) -> State | None:
    session: Session | None = None
    state: State | None = None
    try:
        for mail in await on_thread(service.due, log, _AT_ONCE):
            must_end = ends is not None and (time.monotonic() > ends or _delay(route, mail) > _SOON)
            if stopped.is_set() or (must_end and state is not None):
                break
            if session is None or not session.is_open:
                session = await route.open()
            result = await _send(log, route, session, owner, mail)
            tell(result)
            state = result.state
            if state is State.QUEUED:
                break
    finally:
        if session is not None:
            await session.close()
    return state


def _delay(route: Route, mail: ServiceMail) -> float:
    """For how many seconds a mail would wait for its turn now."""
    return route.pace.delay(mail.domain)


async def _send(
    log: Log, route: Route, session: Session, owner: str, mail: ServiceMail
) -> ServiceResult:
    email = service_email(mail.mailbox, mail.message_id, mail.data)
    await route.pace.wait(mail.domain)

    async def permit() -> bool:
        return await on_thread(service.mark, log, mail, owner, route.login, route.pace.cap)

    done = await session.transact(route.outgoing(email, log.clock()), permit)
    if done.fault:
        raise done.fault
    outcome = _outcome(mail, done, route, log)
    await on_thread(service.record, log, mail, owner, outcome)
    return ServiceResult(mail, outcome.state, outcome.reply or outcome.reason)


def _outcome(mail: ServiceMail, done: Transaction, route: Route, log: Log) -> ServiceOutcome:
    verdict, reply = done.verdict, done.verdict.reply
    state, reason, due = ending_of(
        verdict, route.retry, mail.attempts, mail.waiting_since, log.clock
    )
    return ServiceOutcome(
        state,
        charge=state is not State.QUEUED,
        reason=reason,
        due_at=due,
        reply_code=reply.code if reply else None,
        enhanced_code=reply.enhanced if reply else None,
        reply=reply.text if reply else None,
    )
