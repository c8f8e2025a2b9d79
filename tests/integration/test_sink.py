"""Postfix's smtp-sink with its fault switches: each one leaves the letters in the right state."""

import asyncio
import time
from pathlib import Path

import pytest

from petition.sending.rate_limit import Clock
from tests.integration.scene import Scene
from tests.servers.sink import running_sink

pytestmark = pytest.mark.component("smtp-sink")

# The switch and the command that it is for -> the states of three letters over one connection.
QUEUED, DEFERRED, FAILED = ["queued"] * 3, ["deferred"] * 3, ["failed"] * 3
FAULTS = {
    **{("-q", at): QUEUED for at in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA")},
    ("-q", "."): ["uncertain"] * 3,
    **{("-Q", at): QUEUED for at in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA")},
    ("-p", "-Q", "."): DEFERRED,
    **{("-r", at): QUEUED for at in ("CONNECT", "EHLO")},
    **{("-r", at): DEFERRED for at in ("MAIL", "RCPT", "DATA", ".")},
    **{("-f", at): QUEUED for at in ("CONNECT", "EHLO")},
    ("-e",): QUEUED,  # no ESMTP: there is no falling back to HELO
    **{("-f", at): FAILED for at in ("MAIL", "RCPT", "DATA", ".")},
}
SENT = ["sent"] * 3
# A server that hangs up is asked more and more slowly; a second of that is a hundredth here.
HASTY = Clock(
    monotonic=lambda: 100 * time.monotonic(), sleep=lambda seconds: asyncio.sleep(seconds / 100)
)
GOOD = {
    "as it is": (),
    "no 8BITMIME": ("-8",),
    "no PIPELINING": ("-p",),
    "no enhanced codes": ("-E",),
    "no SASL, DSN, XCLIENT, XFORWARD": ("-a", "-N", "-C", "-F"),
    "slow to DATA": ("-w", "1"),
    "slow to the dot": ("-W", ".:1"),
    "slow to read": ("-H", "1"),
    "a small window": ("-T", "512"),
    "it loses its temper at QUIT": ("-q", "QUIT"),
    "it refuses QUIT": ("-f", "QUIT"),
}


def outcome(tmp_path: Path, *switches: str, timeout: float = 60.0):
    """The states of the letters, and whom the sink has letters for."""
    scene = Scene(tmp_path, timeout=timeout)
    scene.pace_clock = HASTY
    with running_sink(*switches) as sink:
        ending = asyncio.run(scene.run(sink, dot_seconds=timeout))
        return scene.states, sink.recipients, ending


@pytest.mark.parametrize("switches", FAULTS, ids=" ".join)
def test_a_fault(tmp_path: Path, switches: tuple[str, ...]):
    states, recipients, _ = outcome(tmp_path, *switches)
    assert states == FAULTS[switches]
    assert len(set(recipients)) == len(recipients)


def test_421_at_the_dot_while_the_next_commands_are_unread(tmp_path: Path):
    """A server that hangs up on what it has not read resets the connection: 421 may get lost."""
    states, recipients, _ = outcome(tmp_path, "-Q", ".")
    assert set(states) <= {"deferred", "uncertain"}
    assert len(set(recipients)) == len(recipients)


@pytest.mark.parametrize("switches", GOOD.values(), ids=GOOD)
def test_what_is_no_fault(tmp_path: Path, switches: tuple[str, ...]):
    states, recipients, ending = outcome(tmp_path, *switches)
    assert states == SENT
    assert sorted(recipients) == [f"p{number}@x.example" for number in (1, 2, 3)]
    assert not ending.is_over


def test_a_550_before_the_dot_and_nothing_read(tmp_path: Path):
    """It says 354, then 550, and never reads the letter: whichever comes first, nothing is sent."""
    states, recipients, _ = outcome(tmp_path, "-A", "0", timeout=2.0)
    assert set(states) <= {"failed", "queued", "uncertain"}
    assert recipients == []
