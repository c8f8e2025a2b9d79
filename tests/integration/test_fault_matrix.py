"""Every cell of the fault matrix in docs/delivery.md, met by a run; the page is the source."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from petition.credentials import Secret
from petition.smtp.replies import Outcome
from petition.smtp.session import Session
from tests.integration.scene import Scene, play
from tests.servers.scripted import (
    EXTRA,
    GARBAGE,
    HALF,
    HANG_UP,
    SILENT,
    Phase,
    ScriptedServer,
    answer,
    closing,
)
from tests.servers.visitor import LARGE, Permit, address, letter

PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"
FAULTS = {
    "4xx": answer("451 4.3.0 Try later"),
    "5xx": answer("554 5.3.0 No"),
    "421": closing(),
    "dropped": HANG_UP,
    "silence": SILENT,
    "garbage": GARBAGE,
    "half a reply": HALF,
    "extra lines": EXTRA,
}
OPENING = ("greeting", "ehlo", "starttls", "auth")
STATES = {
    Outcome.SENT: "sent",
    Outcome.DEFERRED: "deferred",
    Outcome.FAILED: "failed",
    Outcome.RELEASED: "queued",
    Outcome.UNCERTAIN: "uncertain",
}
GREEDY = ("PIPELINING", "AUTH PLAIN", "SIZE 50000000")
PLAIN = ("AUTH PLAIN", "SIZE 50000000")


def matrix() -> dict[tuple[str, str], tuple[str, ...]]:
    """(stage, fault) -> what becomes of the letter, of the connection and of the run."""
    lines = PAGE.read_text(encoding="utf-8").split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("| at | 4xx |"))
    head = [cell.strip() for cell in lines[start].strip("|").split("|")]
    cells = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        stage, *found = (cell.strip() for cell in line.strip("|").split("|"))
        for fault, cell in zip(head[1:], found, strict=True):
            cells[stage.lower(), fault] = tuple(part.strip() for part in cell.split(","))
    return cells


CELLS = matrix()


def test_the_matrix_is_whole():
    stages = (*OPENING, "mail", "rcpt", "data", "body", "dot")
    assert set(CELLS) == {(stage, fault) for stage in stages for fault in FAULTS}


def cells(*stages: str):
    return [
        pytest.param(stage, fault, expected, id=f"{stage}, {fault}")
        for (stage, fault), expected in CELLS.items()
        if stage in stages
    ]


both_ways = pytest.mark.parametrize("extensions", [GREEDY, PLAIN], ids=["pipelined", "one by one"])


def seen(scene: Scene, ending, server: ScriptedServer) -> tuple[str, str, str]:
    """What became of the first letter, its connection and the run."""
    [first, *_] = sorted(scene.copies(), key=lambda copy: copy.id)
    went = [
        event.to_state
        for event in scene.events()
        if event.mailbox == first.mailbox and event.from_state == "sending"
    ]
    run = "goes on"
    if scene.mailer._breaker.episode:
        run = "ends" if ending.is_over else "pauses"
    letter_is = went[0] if went else "queued"
    is_second = first.reply is not None and first.mailbox.encode() not in _first_heard(server)
    if letter_is == "sent" and is_second:
        letter_is = "queued"  # the connection that met the fault never heard of it
    elif letter_is == "sent":
        run = "goes on"  # what was not asked for may cost the next letter its connection
    is_kept = len(server.conversations) == 1 and not ending.is_over
    return letter_is, "kept" if is_kept else "closed", run


def _first_heard(server: ScriptedServer) -> bytes:
    return bytes(server.conversations[0].raw)


@both_ways
@pytest.mark.parametrize(("stage", "fault", "expected"), cells("mail", "rcpt", "data", "dot"))
def test_a_fault_at_a_letter(tmp_path: Path, stage, fault, expected, extensions):
    scene = Scene(tmp_path)
    ending, server = play(scene, {Phase(stage): FAULTS[fault]}, extensions=extensions)
    assert seen(scene, ending, server) == expected
    # What was not accepted was not told as sent, and nobody was written to twice.
    taken = [letter.rcpt_to[0] for letter in server.accepted]
    assert len(taken) == len(set(taken)) == scene.states.count("sent")
    # A letter that was queued again is charged for the attempt that went well alone.
    assert scene.copies()[0].attempts == 1


@pytest.mark.parametrize(("stage", "fault", "expected"), cells("greeting", "ehlo", "auth"))
def test_a_fault_at_the_opening(tmp_path: Path, stage, fault, expected):
    scene = Scene(tmp_path, username="kim")
    scene.secret = Secret("canary")
    ending, server = play(scene, {Phase(stage): FAULTS[fault]}, extensions=GREEDY)
    assert seen(scene, ending, server) == expected
    assert all(copy.attempts <= 1 for copy in scene.copies())
    assert len(server.accepted) == scene.states.count("sent")


@pytest.mark.component("openssl")
@pytest.mark.skipif(
    shutil.which("openssl") is None and os.environ.get("CI") != "true",
    reason="needs the openssl program",
)
@pytest.mark.parametrize(("stage", "fault", "expected"), cells("starttls"))
def test_a_fault_at_starttls(tmp_path: Path, authority, stage, fault, expected):
    scene = Scene(tmp_path, security="starttls", timeout=1)
    scene.tls_context = authority.trust()
    script = {Phase.STARTTLS: FAULTS[fault]}
    ending, server = play(scene, script, extensions=GREEDY, starttls=authority.server())
    assert seen(scene, ending, server) == expected
    assert len(server.accepted) == scene.states.count("sent")


@both_ways
@pytest.mark.parametrize(("stage", "fault", "expected"), cells("body"))
def test_a_fault_in_the_middle_of_a_letter(stage, fault, expected, extensions):
    """Only a letter that is larger than what lies between us and the server has a middle."""

    async def main():
        async with ScriptedServer({Phase.BODY: FAULTS[fault]}, extensions=extensions) as server:
            session = await Session.open(address(server, timeout=2), dot_timeout=2)
            done = await session.transact(letter(data=LARGE), Permit())
            is_open = session.is_open
            await session.close()
            return done.verdict, is_open, server

    verdict, is_open, server = asyncio.run(main())
    run = "pauses" if verdict.scope == "server" else "goes on"
    assert (STATES[verdict.outcome], "kept" if is_open else "closed", run) == expected
    assert server.letters == []
