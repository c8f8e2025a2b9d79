"""A run against a scripted server: what stands in the log after each fault is what the table says.

The letters, the log and the sockets are the real ones; the server alone follows a script.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from petition.campaign.pace import PaceSettings
from petition.outbox import manual
from petition.outbox.committer import Told
from petition.outbox.database import moment, stamp
from petition.outbox.log import Log
from petition.outbox.run import CopyMark, Run
from petition.outbox.states import State
from petition.sending.retry import RetrySchedule
from tests.integration.scene import Scene, play
from tests.servers.scripted import (
    EXTRA,
    GARBAGE,
    HALF,
    HANG_UP,
    SILENT,
    Act,
    Phase,
    ScriptedServer,
    answer,
    closing,
)
from tests.servers.visitor import until

SENT3 = ["sent"] * 3
# What the first letter meets at a phase, and its state when the run is over. What was released is
# sent on the next connection.
BEFORE_THE_DOT = {
    "4xx": (answer("450 4.2.1 later"), "deferred"),
    "5xx": (answer("550 5.1.1 no such person"), "failed"),
    "421": (closing(), "sent"),
    "dropped": (HANG_UP, "sent"),
    "silent": (SILENT, "sent"),
    "garbage": (GARBAGE, "sent"),
    "half": (HALF, "sent"),
    "extra": (EXTRA, "sent"),
}
AT_THE_DOT = {
    "4xx": (answer("451 4.3.0 later"), "deferred"),
    "5xx": (answer("554 5.7.1 spam"), "failed"),
    "421": (closing(), "deferred"),
    "dropped": (HANG_UP, "uncertain"),
    "silent": (SILENT, "uncertain"),
    "garbage": (GARBAGE, "uncertain"),
    "half": (HALF, "uncertain"),
    "extra": (EXTRA, "sent"),
    "251": (answer("251 2.1.5 will forward"), "sent"),
}


@pytest.mark.parametrize("fault", BEFORE_THE_DOT)
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA])
def test_a_fault_before_the_dot(tmp_path: Path, phase: Phase, fault: str):
    act, state = BEFORE_THE_DOT[fault]
    scene = Scene(tmp_path)
    ending, server = play(scene, {phase: act})
    assert scene.states == [state, "sent", "sent"]
    accepted = [letter.rcpt_to[0] for letter in server.accepted]
    assert len(accepted) == len(set(accepted)) == scene.states.count("sent")
    assert not ending.is_over


@pytest.mark.parametrize("fault", AT_THE_DOT)
def test_a_fault_at_the_dot(tmp_path: Path, fault: str):
    act, state = AT_THE_DOT[fault]
    scene = Scene(tmp_path)
    _, server = play(scene, {Phase.DOT: act})
    assert scene.states == [state, "sent", "sent"]
    arrived = [letter.rcpt_to[0] for letter in server.letters]
    assert len(arrived) == len(set(arrived)) == 3  # nobody was tried twice


@pytest.mark.parametrize("act", [closing("421 4.3.2 busy"), HANG_UP, SILENT, GARBAGE])
@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO])
def test_a_server_that_is_out_of_breath_once_costs_no_letter(tmp_path: Path, phase, act: Act):
    scene = Scene(tmp_path)
    # The first connection is good and breaks off behind its first letter; the second meets it.
    script = {phase: (Act(), act), Phase.MAIL: (Act(), HANG_UP)}
    _, server = play(scene, script)
    assert scene.states == SENT3
    assert len(server.accepted) == 3
    assert all(copy.attempts == 1 for copy in scene.copies())


def test_a_server_that_is_not_there_ends_the_run_at_once(tmp_path: Path):
    class Nowhere:
        port = 1

    scene = Scene(tmp_path)
    ending = asyncio.run(scene.run(Nowhere()))
    assert ending.trouble is not None
    assert "refused" in ending.trouble.what
    assert scene.states == ["queued"] * 3
    assert all(copy.attempts == 0 for copy in scene.copies())


def test_a_server_that_always_breaks_off_ends_the_run(tmp_path: Path):
    scene = Scene(tmp_path)
    ending, _ = play(scene, {Phase.MAIL: [HANG_UP] * 99})
    assert ending.broken == "the connection was lost at MAIL FROM"
    assert scene.states == ["queued"] * 3


def test_five_refusals_of_the_message_in_a_row_end_the_run(tmp_path: Path):
    scene = Scene(tmp_path, people=9)
    ending, _ = play(scene, {Phase.DOT: [answer("554 5.6.0 no such letters here")] * 99})
    assert ending.refused == "554 5.6.0 no such letters here"
    assert scene.states == ["failed"] * 5 + ["queued"] * 4


def test_refusals_of_recipients_never_end_the_run(tmp_path: Path):
    scene = Scene(tmp_path, people=9)
    ending, _ = play(scene, {Phase.RCPT: [answer("550 5.1.1 unknown")] * 9})
    assert not ending.is_over
    assert scene.states == ["failed"] * 9


def test_a_deferred_letter_keeps_its_date_and_its_message_id(tmp_path: Path):
    scene = Scene(tmp_path, people=1)
    _, first = play(scene, {Phase.DOT: answer("451 4.3.0 later")})
    [copy] = scene.copies()
    assert copy.due_at is not None
    assert copy.due_at == copy.updated_at + timedelta(minutes=5)
    scene.now += timedelta(minutes=4)
    _, nothing = play(scene, {})
    assert nothing.letters == []
    scene.now += timedelta(minutes=2)
    _, second = play(scene, {})
    assert scene.states == ["sent"]
    assert first.letters[0].data == second.letters[0].data


def test_a_deferred_letter_that_falls_due_is_sent_while_the_command_runs(tmp_path: Path):
    scene = Scene(tmp_path)
    scene.retry = replace(RetrySchedule(), waits=(timedelta(0),))
    play(scene, {Phase.RCPT: answer("450 4.2.0 greylisted")})
    assert scene.states == SENT3
    assert [copy.attempts for copy in scene.copies()] == [2, 1, 1]


def test_a_letter_that_was_deferred_for_five_days_fails(tmp_path: Path):
    scene = Scene(tmp_path, people=1)
    play(scene, {Phase.RCPT: answer("450 4.2.0 later")})
    scene.now += timedelta(days=5, minutes=1)
    play(scene, {Phase.RCPT: answer("450 4.2.0 later")})
    [copy] = scene.copies()
    assert (copy.state, copy.reason) == (State.FAILED, "deferred for too long")


def test_a_person_who_queues_it_again_starts_the_five_days_anew(tmp_path: Path):
    scene = Scene(tmp_path, people=1)
    play(scene, {Phase.RCPT: answer("450 4.2.0 later")})
    scene.now += timedelta(days=5, minutes=1)
    with Log(f"sqlite:///{tmp_path}/petition.db", clock=lambda: scene.now) as log:
        log.look_at_deferred(scene.retry.give_up, scene.retry.longest)
        assert len(manual.retry(log, "open-letter", None)) == 1
    play(scene, {Phase.RCPT: answer("450 4.2.0 later")})
    assert scene.states == ["deferred"]


def test_what_is_withdrawn_while_the_server_is_asked_gets_no_dot(tmp_path: Path):
    scene = Scene(tmp_path)
    seen: list[str] = []
    withdrawn = iter([True])

    async def main():
        async with ScriptedServer({}) as server:
            original = Run.mark

            def withdrawn_first(run: Run, mark: CopyMark, told: Told) -> None:
                if next(withdrawn, False):
                    with Log(f"sqlite:///{tmp_path}/petition.db") as beside:
                        taken = manual.withdraw(beside, "open-letter", None)
                        seen.extend(one.mailbox for one in taken.moved)
                original(run, mark, told)

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(Run, "mark", withdrawn_first)
                await scene.run(server)
            return server

    server = asyncio.run(main())
    assert server.accepted == []
    assert "p1@x.example" in seen
    assert {(copy.state, copy.reason) for copy in scene.copies()} == {(State.SKIPPED, "withdrawn")}


def test_the_daily_cap_is_kept_over_runs_and_says_when_it_frees(tmp_path: Path):
    scene = Scene(tmp_path, connections=4)
    scene.pace = PaceSettings(per_day=2)
    ending, server = play(scene, {})
    assert len(server.accepted) == 2
    assert ending.capped is not None
    assert ending.capped - scene.now == pytest.approx(timedelta(hours=24), abs=timedelta(seconds=1))
    _, server = play(scene, {})
    assert server.letters == []
    scene.now += timedelta(hours=24, seconds=1)
    play(scene, {})
    assert scene.states == SENT3


def test_under_a_daily_cap_no_connection_is_opened_for_nothing(tmp_path: Path):
    """Eight letters, two a day, over four connections: never more connections than letters."""
    scene = Scene(tmp_path, people=8, connections=4)
    scene.pace = PaceSettings(per_day=2)

    class Waits(list):
        def append(self, wait):
            super().append(wait)
            scene.now = wait.until + timedelta(seconds=1)

    scene.waits = Waits()
    ending, server = play(scene, {})
    assert not ending.is_over
    assert scene.states == ["sent"] * 8
    assert len(scene.waits) == 3
    assert len(server.conversations) <= 8


def test_a_cap_is_waited_for_until_a_twentieth_of_it_is_free(tmp_path: Path):
    scene = Scene(tmp_path, people=50)
    scene.pace = PaceSettings(per_day=40)
    begun = scene.now
    with Log(f"sqlite:///{tmp_path}/petition.db", clock=lambda: scene.now) as log:
        for hours in range(40):
            scene.now = begun - timedelta(hours=23) + timedelta(minutes=30 * hours)
            log.count_attempt("@127.0.0.1", 1)
    scene.now = begun
    ending, server = play(scene, {})
    assert server.conversations == []
    assert ending.capped == moment(stamp(begun + timedelta(hours=1, minutes=30)))


@pytest.mark.parametrize(
    ("ahead", "warns", "waits"),
    [
        (timedelta(hours=20), False, timedelta(hours=44)),
        (timedelta(days=1500), True, timedelta(hours=24)),
    ],
)
def test_a_clock_that_was_ahead_keeps_the_cap_shut_for_a_day_at_the_most(
    tmp_path: Path, ahead: timedelta, warns: bool, waits: timedelta
):
    scene = Scene(tmp_path)
    scene.pace = PaceSettings(per_day=1)
    now = scene.now
    scene.now = now + ahead
    play(scene, {})
    scene.now = now
    ending, server = play(scene, {})
    assert server.letters == []
    assert ending.clock_was_ahead is warns
    assert ending.capped == moment(stamp(now + waits))
    scene.now = now + waits + timedelta(seconds=1)
    play(scene, {})
    assert scene.states.count("sent") == 2


def test_a_clock_that_was_right_after_all_stamps_no_letter_with_the_wrong_time(tmp_path: Path):
    with Log(f"sqlite:///{tmp_path}/petition.db", clock=lambda: now) as log:
        now = datetime(2030, 1, 1, tzinfo=UTC)
        log.count_attempt("login", 1)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        log.add_attempt("login", 1)
        now = datetime(2026, 1, 2, 1, tzinfo=UTC)
        assert log.frees("login", 1) == datetime(2030, 1, 1, tzinfo=UTC)
        log.count_attempt("login", 1)
        assert log.spent("login") == (2, now)


def test_a_run_that_is_stopped_finishes_what_is_in_flight(tmp_path: Path):
    scene = Scene(tmp_path, people=20)

    async def main():
        async with ScriptedServer({}) as server:
            running = asyncio.ensure_future(scene.run(server))
            await until(lambda: len(server.letters) >= 2)
            scene.mailer.stop()
            return await running, server

    ending, server = asyncio.run(main())
    assert ending.stopped
    sent = scene.states.count("sent")
    assert 2 <= sent == len(server.accepted) < 20
    assert scene.states == ["sent"] * sent + ["queued"] * (20 - sent)


def test_connections_are_kept_open_and_reused(tmp_path: Path):
    scene = Scene(tmp_path, people=12, connections=3)
    _, server = play(scene, {})
    assert len(server.accepted) == 12
    assert len(server.conversations) <= 3
    assert server.verbs.count("QUIT") == len(server.conversations)


def test_an_address_that_needs_smtputf8_fails_where_it_is_not_offered(tmp_path: Path):
    scene = Scene(tmp_path)
    (tmp_path / "recipients.csv").write_text(
        "email,name,town\nким@x.example,Ким,\nb@x.example,B,\n"
    )
    play(scene, {}, extensions=("PIPELINING",))
    by_address = {copy.mailbox: copy for copy in scene.copies()}
    assert by_address["b@x.example"].state is State.SENT
    assert by_address["ким@x.example"].state is State.FAILED
    assert "SMTPUTF8" in by_address["ким@x.example"].reason
