"""Brings the copies of a letter to given states, by the very steps that a run takes."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

from petition.campaign.folder import load_campaign
from petition.outbox.log import Log
from petition.outbox.run import CopyMark, CopyOutcome, Run
from petition.outbox.states import State
from petition.planning.plan import SendOptions
from petition.planning.prepare import enqueue, prepare
from tests.acceptance.small import SmallCampaign
from tests.unit.outbox.hand import record, told_of

DUE = datetime(2099, 1, 1, tzinfo=UTC)
REPLIES = {
    State.SENT: (250, "2.0.0", "Ok: queued as 4711"),
    State.DEFERRED: (451, "4.7.1", "Greylisted, come back later"),
    State.FAILED: (550, "5.1.1", "No such mailbox"),
}


def queue(campaign: SmallCampaign, letter: str = "open-letter", **states: State) -> None:
    """Queue a letter in the log of the sandbox.

    Args:
        campaign: The campaign.
        letter: The letter's name.
        states: Where each copy is to be, by the recipient's id; the others stay queued.
    """
    with Log(f"sqlite:///{campaign.root}/rehearsal.db") as log, log.owned():
        enqueue(prepare(load_campaign(campaign.root), letter, log, None, SendOptions()))
        asyncio.run(_finish(log, letter, states))


async def _finish(log: Log, letter: str, states: dict[str, State]) -> None:
    run = Run(log, letter)
    for copy in await run.fetch(10_000):
        state = states.get(copy.row_id, State.QUEUED)
        now = datetime.now(UTC)
        if state is not State.QUEUED:
            mark = CopyMark(copy, now, f"<{copy.row_id}@x.example>", b"", True, "login", 1)
            assert await told_of(partial(run.mark, mark))
        code, enhanced, text = REPLIES.get(state, (None, None, None))
        await record(
            run,
            CopyOutcome(
                copy=copy,
                state=state,
                charge=state is not State.QUEUED,
                due_at=DUE if state is State.DEFERRED else None,
                letter_date=now,
                reply_code=code,
                enhanced_code=enhanced,
                reply=text,
                server="mx.test:25",
                milliseconds=12,
            ),
        )
    await run.close()


def leave_marked(campaign: SmallCampaign, *marked: str, letter: str = "open-letter") -> None:
    """Leave a log as a run that was killed leaves it: some copies marked."""

    async def steps(log: Log) -> None:
        run = Run(log, letter)
        for copy in await run.fetch(10_000):
            if copy.row_id in marked:
                moment = datetime.now(UTC) - timedelta(seconds=1)
                mark = CopyMark(copy, moment, "<m@x>", b"", True, "login", 1)
                assert await told_of(partial(run.mark, mark))
        await run.close()

    with Log(f"sqlite:///{campaign.root}/rehearsal.db") as log:
        enqueue(prepare(load_campaign(campaign.root), letter, log, None, SendOptions()))
        asyncio.run(steps(log))
