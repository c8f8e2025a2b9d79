"""A server may take ten minutes to answer the final dot (RFC 5321 4.5.3.2.6)."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from petition.smtp.conversation import LATE_SECONDS, LOOK_SECONDS
from petition.smtp.replies import Outcome
from petition.smtp.session import Session
from tests import PATIENCE
from tests.servers.counting import CountingServer, counting_server
from tests.servers.visitor import Permit, address, letter

# Hands over one letter, waits a second for the reply to its dot, and says what became of it.
VISITOR = """
import asyncio, sys
from petition.campaign.server import Server
from petition.smtp.session import Session
from tests.servers.visitor import Permit, letter

async def main():
    server = Server("127.0.0.1", int(sys.argv[1]), security="none")
    session = await Session.open(server, dot_timeout=1)
    done = await session.transact(letter(), Permit())
    await session.close()
    return done.verdict.outcome

print(asyncio.run(main()))
"""


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
        await asyncio.wait_for(asked.wait(), PATIENCE)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.ahead = seconds
        await asyncio.sleep(3 * LOOK_SECONDS)  # what is due by now comes
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


@pytest.mark.parametrize(("answers", "outcome"), [(True, "sent"), (False, "uncertain")])
def test_an_answer_that_came_while_the_program_was_stopped_counts(answers: bool, outcome: str):
    """It was there in time; whether the program or its clock looks first is chance."""
    has_dot, may_answer = threading.Event(), threading.Event()

    async def think(_: float) -> None:
        has_dot.set()
        while not may_answer.is_set():  # noqa: ASYNC110 (of another thread)
            await asyncio.sleep(0.01)

    with counting_server() as server:
        server.sleep = think
        visitor = subprocess.Popen(
            [sys.executable, "-c", VISITOR, str(server.port)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert has_dot.wait(PATIENCE)
        visitor.send_signal(signal.SIGSTOP)
        if answers:
            may_answer.set()
        time.sleep(1 + 3 * LATE_SECONDS)
        visitor.send_signal(signal.SIGCONT)
        said, _ = visitor.communicate(timeout=PATIENCE)
        may_answer.set()
        assert said.strip() == outcome
