"""PIPELINING over letters: the dot of one and the commands of the next in one write (RFC 2920)."""

import asyncio
from pathlib import Path

import pytest

from petition.campaign.pace import PaceSettings
from petition.outbox.models import Copy
from petition.sending.merging import CopyMerger, MergedCopy
from petition.smtp.replies import Outcome, Stage
from petition.smtp.session import Session
from tests.integration.scene import Scene, play
from tests.servers.scripted import (
    EXTRA,
    GARBAGE,
    HANG_UP,
    SILENT,
    Act,
    Phase,
    ScriptedServer,
    Then,
    answer,
    closing,
)
from tests.servers.visitor import address, allow, letter, until

NEXT = letter(to="next@kaz.test")
NEXT_GROUP = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<next@kaz.test>\r\nDATA\r\n"


async def two_letters(server):
    """Two letters, the commands of the second with the dot of the first; and the session."""
    where = address(server, timeout=server.reply_seconds)
    session = await Session.open(where, dot_timeout=server.reply_seconds)
    first = await session.transact(letter(), allow, lambda: NEXT)
    was_open = session.is_open
    second = await session.transact(NEXT, allow) if was_open else None
    is_open = session.is_open
    await session.close()
    return first, second, is_open


def visit_two(script, extensions=("PIPELINING",), **options):
    async def main():
        async with ScriptedServer(script, extensions=extensions, **options) as server:
            return *await two_letters(server), server

    return asyncio.run(main())


def test_the_dot_and_the_next_commands_share_a_write():
    # A server that stays silent at the first dot has heard what went with it.
    *_, server = visit_two({Phase.DOT: SILENT})
    assert bytes(server.conversations[0].raw).endswith(b"yours\r\n.\r\n" + NEXT_GROUP)


def test_both_letters_arrive_and_the_connection_is_closed_politely():
    first, second, is_open, server = visit_two({})
    assert [done.verdict.outcome for done in (first, second)] == [Outcome.SENT] * 2
    assert is_open
    assert [each.rcpt_to for each in server.letters] == [[b"kim@kaz.test"], [b"next@kaz.test"]]
    assert server.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA", "QUIT"]


def test_without_the_extension_one_command_at_a_time():
    first, second, _, server = visit_two({Phase.MAIL: [Act(), SILENT]}, extensions=("HELP",))
    assert first.verdict.outcome is Outcome.SENT
    assert second.verdict.outcome is Outcome.RELEASED
    assert bytes(server.conversations[0].raw).endswith(b"\r\n.\r\nMAIL FROM:<a@b.test>\r\n")


@pytest.mark.parametrize(
    ("script", "outcome", "stage", "goes_on"),
    [
        ({Phase.MAIL: [Act(), answer("550 5.7.1 no")]}, Outcome.FAILED, Stage.MAIL, True),
        ({Phase.RCPT: [Act(), answer("550 5.1.1 nobody")]}, Outcome.FAILED, Stage.RCPT, True),
        ({Phase.RCPT: [Act(), answer("450 4.2.0 later")]}, Outcome.DEFERRED, Stage.RCPT, True),
        ({Phase.DATA: [Act(), answer("451 4.3.0 later")]}, Outcome.DEFERRED, Stage.DATA, True),
        ({Phase.MAIL: [Act(), closing()]}, Outcome.RELEASED, Stage.MAIL, False),
        ({Phase.MAIL: [Act(), HANG_UP]}, Outcome.RELEASED, Stage.MAIL, False),
        ({Phase.RCPT: [Act(), HANG_UP]}, Outcome.RELEASED, Stage.RCPT, False),
        ({Phase.DATA: [Act(), HANG_UP]}, Outcome.RELEASED, Stage.DATA, False),
        ({Phase.RCPT: [Act(), SILENT]}, Outcome.RELEASED, Stage.RCPT, False),
        ({Phase.DATA: [Act(), GARBAGE]}, Outcome.RELEASED, Stage.DATA, False),
    ],
)
def test_what_befalls_the_next_letter_does_not_touch_the_first(script, outcome, stage, goes_on):
    first, second, is_open, server = visit_two(script)
    assert first.verdict.outcome is Outcome.SENT
    assert (second.verdict.outcome, second.verdict.stage) == (outcome, stage)
    assert is_open is goes_on
    assert [each.rcpt_to for each in server.accepted] == [[b"kim@kaz.test"]]


@pytest.mark.parametrize(
    ("dot", "outcome"),
    [
        (answer("554 5.7.1 spam"), Outcome.FAILED),
        (answer("451 4.3.0 later"), Outcome.DEFERRED),
        (answer("251 2.1.5 forwarded"), Outcome.SENT),
    ],
)
def test_the_reply_to_a_dot_is_not_taken_for_one_of_the_next(dot, outcome):
    first, second, _, server = visit_two({Phase.DOT: dot})
    assert first.verdict.outcome is outcome
    assert second.verdict.outcome is Outcome.SENT
    assert server.letters[-1].rcpt_to == [b"next@kaz.test"]


@pytest.mark.parametrize("dot", [HANG_UP, SILENT, GARBAGE, closing()])
def test_where_the_dot_ends_the_connection_the_next_letter_is_not_begun(dot):
    first, second, is_open, server = visit_two({Phase.DOT: dot})
    expected = Outcome.DEFERRED if dot.say.startswith(b"421") else Outcome.UNCERTAIN
    assert first.verdict.outcome is expected
    assert second is None
    assert not is_open
    assert len(server.letters) == 1


@pytest.mark.parametrize("extra", [b"250 2.0.0 nobody asked", b"550 5.1.1 nobody asked"])
def test_a_reply_that_nobody_asked_for_decides_on_no_letter(extra):
    first, second, is_open, server = visit_two({Phase.DOT: Act(extra=extra + b"\r\n")})
    assert first.verdict.outcome is Outcome.SENT
    assert second is None or second.verdict.outcome is Outcome.RELEASED
    assert not is_open
    assert len(server.letters) == 1


def test_354_although_the_recipient_was_refused_is_ended_by_a_lone_dot():
    script = {
        Phase.RCPT: [Act(), answer("550 5.1.1 Nobody")],
        Phase.DATA: [Act(), answer("354 Go")],
    }
    first, second, is_open, server = visit_two(script)
    assert first.verdict.outcome is Outcome.SENT
    assert (second.verdict.outcome, second.verdict.stage) == (Outcome.FAILED, Stage.RCPT)
    assert is_open
    assert [each.wire for each in server.letters][1:] == [b""]


def test_a_letter_that_was_announced_and_must_not_go_ends_with_the_connection():
    async def main():
        async with ScriptedServer({}, extensions=("PIPELINING",)) as server:
            session = await Session.open(address(server), dot_timeout=5)
            await session.transact(letter(), allow, lambda: NEXT)
            await until(lambda: server.verbs.count("DATA") == 2)
            await session.close()
            return server

    server = asyncio.run(main())
    assert len(server.letters) == 1
    assert "QUIT" not in server.verbs  # behind 354 it would have been a line of the letter
    assert bytes(server.conversations[0].raw).endswith(NEXT_GROUP)


def test_another_letter_than_the_one_announced_is_a_fault_of_ours():
    async def main():
        async with ScriptedServer({}, extensions=("PIPELINING",)) as server:
            session = await Session.open(address(server), dot_timeout=5)
            await session.transact(letter(), allow, lambda: NEXT)
            with pytest.raises(ValueError, match="announced"):
                await session.transact(letter(), allow)
            await session.close()
            return server

    assert len(asyncio.run(main()).letters) == 1


# ---- servers that take no command together with a dot (Haraka since 3.3.4: GHSA-rp4q-8m6x-c43c)

AHEAD = b"503 Bad sequence of commands - pipelined after end of DATA"


@pytest.mark.parametrize(
    "refusal",
    [
        AHEAD,
        b"500 Unrecognized command",
        b"502 ESMTP command error",
        b"550 5.5.1 Command out of sequence",
    ],
)
def test_a_refusal_of_commands_that_came_with_a_dot_is_none_of_the_letter(refusal):
    first, second, is_open, server = visit_two({}, refuses_ahead=refusal)
    assert [done.verdict.outcome for done in (first, second)] == [Outcome.SENT] * 2
    assert second.refused_ahead == refusal.decode()
    assert is_open
    assert [each.rcpt_to for each in server.letters] == [[b"kim@kaz.test"], [b"next@kaz.test"]]
    assert len(server.conversations) == 1


@pytest.mark.parametrize(
    ("script", "outcome", "stage", "goes_on"),
    [
        ({Phase.MAIL: [Act(), answer("503 5.5.1 no")]}, Outcome.FAILED, Stage.MAIL, True),
        ({Phase.MAIL: [Act(), answer("550 5.7.1 no")]}, Outcome.FAILED, Stage.MAIL, True),
        ({Phase.RCPT: [Act(), answer("550 5.1.1 nobody")]}, Outcome.FAILED, Stage.RCPT, True),
        ({Phase.RCPT: [Act(), answer("451 4.2.0 later")]}, Outcome.DEFERRED, Stage.RCPT, True),
        ({Phase.MAIL: [Act(), HANG_UP]}, Outcome.RELEASED, Stage.MAIL, False),
        ({Phase.RSET: HANG_UP}, Outcome.RELEASED, Stage.DATA, False),
        ({Phase.RSET: answer("500 5.5.1 no")}, Outcome.RELEASED, Stage.DATA, False),
    ],
)
def test_what_is_said_to_the_commands_in_a_group_of_their_own_counts(
    script, outcome, stage, goes_on
):
    first, second, is_open, server = visit_two(script, refuses_ahead=AHEAD)
    assert first.verdict.outcome is Outcome.SENT
    assert (second.verdict.outcome, second.verdict.stage) == (outcome, stage)
    assert is_open is goes_on
    assert [each.rcpt_to for each in server.accepted] == [[b"kim@kaz.test"]]


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.DATA])
def test_a_server_may_object_to_the_later_commands_alone(phase):
    script = {phase: [Act(), answer("503 5.5.1 Out of sequence")]}
    first, second, is_open, server = visit_two(script)
    assert [done.verdict.outcome for done in (first, second)] == [Outcome.SENT] * 2
    assert is_open
    assert len(server.accepted) == 2


def test_a_run_goes_on_without_commands_ahead_and_says_so_once(tmp_path: Path):
    scene = Scene(tmp_path, people=12)
    ending, server = play(scene, {}, refuses_ahead=AHEAD)
    assert not ending.is_over
    assert scene.states == ["sent"] * 12
    assert [copy.attempts for copy in scene.copies()] == [1] * 12
    assert len(server.conversations) == 1
    assert len(server.conversations[0].refused_ahead) == 3  # MAIL, RCPT, DATA of one letter
    assert [(note.domain, note.said, note.seconds) for note in scene.notes] == [
        ("", AHEAD.decode(), 0)
    ]


@pytest.mark.parametrize("ignored", [1, 2, 3])
def test_commands_that_a_server_discards_with_a_dot_charge_no_letter(tmp_path: Path, ignored: int):
    scene = Scene(tmp_path, people=12, timeout=2)
    _, server = play(scene, {}, refuses_ahead=b"502 ESMTP command error", ignores_ahead=ignored)
    assert scene.states == ["sent"] * 12
    assert [copy.attempts for copy in scene.copies()] == [1] * 12
    assert sorted(each.rcpt_to[0] for each in server.accepted) == sorted(
        copy.mailbox.encode() for copy in scene.copies()
    )
    assert sum(len(each.refused_ahead) for each in server.conversations) == 3
    assert any(note.seconds == 0 for note in scene.notes)


def test_all_connections_of_a_run_learn_it(tmp_path: Path):
    scene = Scene(tmp_path, people=30, connections=3)
    _, server = play(scene, {}, refuses_ahead=AHEAD)
    assert scene.states == ["sent"] * 30
    assert [copy.attempts for copy in scene.copies()] == [1] * 30
    assert all(len(each.refused_ahead) <= 3 for each in server.conversations)
    assert len(scene.notes) == 1


# ---- whole runs


def test_a_run_of_many_letters_is_one_round_trip_each(tmp_path: Path):
    scene = Scene(tmp_path, people=10)
    _, server = play(scene, {})
    assert scene.states == ["sent"] * 10
    assert bytes(server.conversations[0].raw).count(b"\r\n.\r\nMAIL FROM") == 9
    assert [copy.attempts for copy in scene.copies()] == [1] * 10


def test_no_reading_ahead_while_paced(tmp_path: Path):
    scene = Scene(tmp_path, people=3, timeout=5)
    scene.pace = PaceSettings(rate="1000/s")
    _, server = play(scene, {Phase.DOT: SILENT})
    assert bytes(server.conversations[0].raw).endswith(b"\r\n.\r\n")


def test_a_letter_that_was_read_ahead_when_the_run_stops_is_queued_again(tmp_path: Path):
    scene = Scene(tmp_path, people=9)

    async def main():
        async with ScriptedServer({Phase.DATA: [Act(), Act(b"", Then.STAY_SILENT)]}) as server:
            running = asyncio.ensure_future(scene.run(server))
            await until(lambda: server.verbs.count("DATA") == 2)
            scene.mailer.stop()
            return await running, server

    ending, server = asyncio.run(main())
    assert ending.stopped
    assert scene.states == ["sent"] + ["queued"] * 8
    assert [copy.attempts for copy in scene.copies()] == [1] + [0] * 8
    assert len(server.letters) == 1


@pytest.mark.parametrize("act", [HANG_UP, SILENT, GARBAGE, EXTRA, closing()])
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA])
def test_a_connection_that_ends_in_the_middle_of_a_group_costs_no_letter(
    tmp_path: Path, phase: Phase, act: Act
):
    scene = Scene(tmp_path, people=4)
    _, server = play(scene, {phase: [Act(), act]})
    assert scene.states == ["sent"] * 4
    assert [copy.attempts for copy in scene.copies()] == [1] * 4
    assert len({letter.rcpt_to[0] for letter in server.accepted}) == len(server.accepted) == 4


def test_the_mark_of_a_letter_is_durable_before_its_dot(tmp_path: Path):
    """When a letter arrives it is marked, and of those after it at most the next one."""
    scene = Scene(tmp_path, people=12)
    marked: list[int] = []

    async def main():
        async with ScriptedServer({}) as server:
            running = asyncio.ensure_future(scene.run(server))
            seen = 0
            while not running.done():
                await asyncio.sleep(0)
                if len(server.letters) > seen:
                    seen = len(server.letters)
                    rows = scene.log.database._connection.execute(
                        "SELECT COUNT(*) FROM copy WHERE state IN ('sending', 'sent')"
                    )
                    marked.append(rows.fetchone()[0] - seen)
            return await running

    asyncio.run(main())
    assert len(marked) >= 2
    assert min(marked) >= 0  # whatever arrived was marked before
    assert max(marked) <= 1  # and no more than one letter ahead of it


@pytest.mark.parametrize("pace", [PaceSettings(), PaceSettings(rate="1000/s")])
def test_a_fault_of_the_letter_after_it_keeps_no_letter_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pace: PaceSettings
):
    scene = Scene(tmp_path, people=3)
    scene.pace = pace
    merged = CopyMerger.letter

    def breaks(self: CopyMerger, copy: Copy) -> MergedCopy | None:
        if copy.row_id == "p2":
            raise ValueError("a fault of ours")
        return merged(self, copy)

    monkeypatch.setattr(CopyMerger, "letter", breaks)
    with pytest.raises(ValueError, match="a fault of ours"):
        play(scene, {})
    assert scene.states == ["sent", "queued", "queued"]
