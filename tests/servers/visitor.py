"""What the tests of a session have in common: a letter, a server's address, one visit to it."""

import asyncio

from petition.campaign.server import Server
from petition.merge.message import Email, Envelope
from petition.smtp.session import Session

TO = "kim@kaz.test"
DATA = b"From: a@b.test\r\nTo: kim@kaz.test\r\nSubject: hello\r\n\r\nDear Kim,\r\n\r\nyours\r\n"
# More than the buffers of both ends of a loopback connection hold.
LARGE = DATA + (b"x" * 70 + b"\r\n") * 170_000


def letter(*copies, to=TO, data=DATA, mail_from="a@b.test", smtputf8=False):
    return Email(
        envelope=Envelope(mail_from, (to, *copies), smtputf8),
        data=data,
        message_id="<1@b.test>",
        subject="hello",
        language="en",
    )


def address(running, **settings):
    """How a session reaches a server of the tests."""
    settings = {"host": "127.0.0.1", "security": "none", "timeout": 5.0, **settings}
    return Server(port=running.port, **settings)


async def until(is_met):
    """Wait for what the other end is about to do; the test's own time limit ends a vain wait."""
    while not is_met():  # noqa: ASYNC110 (of another program's making: no event to wait for)
        await asyncio.sleep(0.005)


async def allow():
    return True


class Permit:
    """Allows the letter or not, and remembers that it was asked."""

    def __init__(self, answer=True):
        self.answer = answer
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def visit(running, *letters, permit=allow, secret=None, tls_context=None, dot_timeout=5.0,
                **settings):  # fmt: skip
    """Open a session, hand over each letter, close; what became of them."""
    session = await Session.open(
        address(running, **settings),
        secret,
        tls_context=tls_context,
        dot_timeout=dot_timeout,
    )
    try:
        return [await session.transact(each, permit) for each in letters]
    finally:
        await session.close()
