"""A server may take ten minutes to answer the final dot (RFC 5321 4.5.3.2.6)."""

import asyncio

import pytest

from petition.delivery.reply import Outcome
from petition.delivery.session import Session
from tests.servers.counting import CountingServer
from tests.servers.visitor import Permit, address, letter


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def outcome_after(seconds: float) -> Outcome:
    """What becomes of a letter whose dot is answered so late."""

    async def main() -> Outcome:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def think(_: float) -> None:
            asked.set()
            await answer.wait()

        counting = CountingServer(sleep=think)
        listening = await asyncio.start_server(counting.converse, "127.0.0.1", 0)
        counting.port = listening.sockets[0].getsockname()[1]
        session = await Session.open(address(counting, timeout=30))
        transacting = asyncio.ensure_future(session.transact(letter(), Permit()))
        await asyncio.wait_for(asked.wait(), 30)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.ahead = seconds
        await asyncio.sleep(0.05)  # what is due by now comes
        answer.set()
        done = await transacting
        await session.close()
        listening.close()
        await listening.wait_closed()
        return done.verdict.outcome

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize(
    ("seconds", "outcome"), [(0, Outcome.SENT), (590, Outcome.SENT), (605, Outcome.UNCERTAIN)]
)
def test_a_late_answer_to_the_dot(seconds: float, outcome: Outcome):
    assert outcome_after(seconds) is outcome
