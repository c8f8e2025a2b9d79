"""A provider that asks for it is slowed down alone; a server's limit of letters is learned."""

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from petition.campaign.pace import PaceSettings
from petition.sending import circuit_breaker
from petition.sending.circuit_breaker import Slowed
from petition.sending.prefetch import HELD
from petition.sending.rate_limit import Clock, Pace
from tests.integration.scene import Scene, play
from tests.servers.counting import counting_server
from tests.servers.scripted import Act, Phase, answer


def run(scene: Scene, server):
    return asyncio.run(scene.run(server, dot_seconds=5))


def stand_still(scene: Scene) -> None:
    """Let time pass for the pace only when a letter waits for its turn."""
    seconds = 0.0

    async def sleep(wait: float) -> None:
        nonlocal seconds
        seconds += wait

    scene.pace_clock = Clock(monotonic=lambda: seconds, sleep=sleep)


def list_people(scene: Scene, *addresses: str) -> None:
    rows = "".join(f"{address},{address.partition('@')[0]},\n" for address in addresses)
    scene.campaign.write("recipients.csv", "email,name,town\n" + rows)


def test_a_provider_that_asks_for_it_is_slowed_down_alone(tmp_path: Path):
    scene = Scene(tmp_path)
    list_people(scene, "a@slow.test", "b@slow.test", *(f"p{n}@fast.test" for n in range(30)))
    stand_still(scene)
    with counting_server(answers={"a": "450 4.7.1 Not so fast"}) as server:
        run(scene, server)
        # One that asked waits; those to others went past it, and then it went too.
        assert list(server.accepted)[-1] == "b@slow.test"
        assert len(server.accepted) == 31
        assert scene.states == ["deferred"] + ["sent"] * 31


def test_others_pass_a_provider_that_is_slowed_down_at_a_rate_for_all_too(tmp_path: Path):
    scene = Scene(tmp_path)
    scene.pace = PaceSettings(rate="10/s")
    slow = [f"s{n}@slow.test" for n in range(8)]
    others = [f"p{n}@fast.test" for n in range(8)]
    list_people(scene, *(one for pair in zip(slow, others, strict=True) for one in pair))
    stand_still(scene)
    told: list[str] = []
    scene.tell = lambda one: told.append(one.copy.mailbox)
    with counting_server(answers={f"s{n}": "450 4.7.1 Not so fast" for n in range(8)}) as server:
        run(scene, server)
        assert set(server.accepted) == set(others)
    assert set(others) <= set(told[:10])


def test_a_provider_that_breaks_off_is_not_asked_first_again(tmp_path: Path):
    scene = Scene(tmp_path)
    list_people(scene, *(f"s{n}@slow.test" for n in range(20)), "a@fast.test")
    # A second of the pace is as long as one of the rests.
    scene.pause = 0.02
    scene.pace_clock = Clock(
        monotonic=lambda: time.monotonic() / scene.pause,
        sleep=lambda seconds: asyncio.sleep(seconds * scene.pause),
    )
    with counting_server(answers={f"s{n}": "421 4.7.0 Try later" for n in range(20)}) as server:
        run(scene, server)
        assert set(server.accepted) == {"a@fast.test"}


def test_a_rate_of_one_domain_lets_the_others_pass(tmp_path: Path):
    scene = Scene(tmp_path)
    scene.pace = PaceSettings(per_domain={"slow.test": "2/s"})
    stand_still(scene)
    list_people(
        scene, "a@slow.test", "b@slow.test", "c@slow.test", *(f"p{n}@fast.test" for n in range(30))
    )
    with counting_server() as server:
        run(scene, server)
        order = [address for address in server.accepted if address.endswith("slow.test")]
        assert next(iter(server.accepted)) == "a@slow.test"
        assert list(server.accepted)[-1] == order[-1] == "c@slow.test"
        assert scene.states == ["sent"] * 33


def test_a_long_list_of_one_slow_domain_does_not_keep_the_others_back(tmp_path: Path):
    scene = Scene(tmp_path)
    scene.pace = PaceSettings(per_domain={"slow.test": "2/s"})
    stand_still(scene)
    slow = [f"s{number}@slow.test" for number in range(HELD + 40)]
    list_people(scene, *slow, *(f"p{number}@fast.test" for number in range(20)))
    with counting_server() as server:
        run(scene, server)
        domains = [address.partition("@")[2] for address in server.accepted]
        assert domains[:21] == ["slow.test"] + ["fast.test"] * 20
        assert scene.states == ["sent"] * (HELD + 60)


def test_a_server_s_limit_of_letters_on_a_connection_is_learned(tmp_path: Path):
    scene = Scene(tmp_path, people=15)
    with counting_server() as server:
        server.most = 3
        run(scene, server)
        assert scene.states == ["sent"] * 15
        assert [copy.attempts for copy in scene.copies()] == [1] * 15
        # Twice the server said so; from then on we said goodbye before it.
        assert server.commands["EHLO"] == 5
        assert server.commands["QUIT"] == 3


@pytest.mark.parametrize("pace", [{"rate": "120/min"}, {"per_domain": {"x.example": "120/min"}}])
def test_a_server_that_hangs_up_while_a_letter_waits_for_its_turn(tmp_path: Path, pace):
    scene = Scene(tmp_path, people=4)
    scene.pace = PaceSettings(**pace)
    with counting_server() as server:
        server.patience = 0.2
        ending = run(scene, server)
        assert not ending.is_over
        assert scene.states == ["sent"] * 4
        # The turn that had come is not lost with the connection, and none comes too early.
        gaps = [after - before for before, after in itertools.pairwise(server.begun)]
        assert all(0.45 <= gap <= 0.9 for gap in gaps)
        assert server.commands["EHLO"] == 4


def test_no_connection_is_kept_idle_until_the_turn_of_a_letter_comes(tmp_path: Path):
    scene = Scene(tmp_path, people=4)
    scene.pace = PaceSettings(rate="60/h")
    stand_still(scene)
    with counting_server() as server:
        run(scene, server)
        assert scene.states == ["sent"] * 4
        assert server.commands["QUIT"] == server.commands["EHLO"] == 4
    assert scene.pace_clock is not None
    assert scene.pace_clock.monotonic() == pytest.approx(180)


def test_who_watches_is_told_once_that_a_provider_is_slowed_down(tmp_path: Path):
    scene = Scene(tmp_path)
    list_people(scene, *(f"{name}@slow.test" for name in "abc"), "p@fast.test")
    stand_still(scene)
    refusal = "450 4.7.1 Not so fast"
    with counting_server(answers={"a": refusal, "b": refusal}) as server:
        run(scene, server)
    assert scene.notes == [Slowed("slow.test", refusal, 1.0)]


def test_a_server_that_wants_fewer_letters_is_given_a_pause_and_charges_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """4.7.x to MAIL is for us and not for a letter: nothing is deferred, and it is told."""
    scene = Scene(tmp_path, people=6)
    scene.pause = 0.01
    monkeypatch.setattr(circuit_breaker, "_NOTED_SECONDS", 0.0)
    refusal = answer("450 4.7.1 Error: too much mail from 127.0.0.1")
    ending, _ = play(scene, {Phase.MAIL: [Act(), Act(), refusal, refusal]})
    assert scene.states == ["sent"] * 6
    assert [copy.attempts for copy in scene.copies()] == [1] * 6
    assert not ending.is_over
    said = "450 4.7.1 Error: too much mail from 127.0.0.1"
    assert [slowed.said for slowed in scene.notes] == [said, said]


def test_a_provider_that_refuses_by_its_policy_is_left_alone_and_the_others_go_on(tmp_path: Path):
    scene = Scene(tmp_path)
    walls = [f"w{number}@wall.test" for number in range(40)]
    opens = [f"p{number}@open.test" for number in range(40)]
    list_people(scene, *(one for pair in zip(opens, walls, strict=True) for one in pair))
    refusals = {f"w{number}": "550 5.7.26 Not authenticated" for number in range(40)}
    with counting_server(answers=refusals) as server:
        run(scene, server)
        assert set(server.accepted) == set(opens)
    refused = scene.states.count("failed")
    # Those that were on their way when it was clear; the rest is left for another day.
    assert 5 <= refused < 30
    assert scene.states.count("queued") == 40 - refused


def test_the_domains_of_one_provider_are_left_alone_together(tmp_path: Path):
    pace = Pace.of(PaceSettings(), "UTC")
    for domain in ("hotmail.com", "outlook.com", "live.com", "msn.com"):
        assert not pace.refused_by_policy(domain)
    pace.ease("outlook.com")  # one was taken: it is no wall
    assert [pace.refused_by_policy("hotmail.com") for _ in range(6)] == [False] * 4 + [True, False]
    assert pace.is_paused("live.com")
    assert not pace.is_paused("gmail.com")
    assert {"outlook.com", "msn.com"} <= pace.paused
