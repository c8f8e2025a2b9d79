"""A worker lives long: a provider that wants no letters is tried again after a while."""

import asyncio
from datetime import UTC, datetime

import pytest

from petition.campaign.pace import PaceSettings
from petition.sending.rate_limit import PAUSE_SECONDS, POLICY_REFUSALS, Clock, SharedPace, Turn


class Hours:
    """A clock that a test sets forward."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


async def no_turn(name: str, interval: float) -> float:
    raise AssertionError((name, interval))


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def pace(hours: Hours) -> SharedPace:
    return SharedPace(PaceSettings(), UTC, no_turn, Clock(lambda: NOW, hours.monotonic))


NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_pause_ends_and_one_refusal_begins_it_anew(pace: SharedPace, hours: Hours) -> None:
    assert pace.pause_left is None
    assert [pace.refused_by_policy("a.example") for _ in range(POLICY_REFUSALS)][-1]
    assert pace.is_paused("a.example")
    assert pace.pause_left == PAUSE_SECONDS
    hours.seconds = PAUSE_SECONDS - 1
    pace.try_paused_again()
    assert pace.is_paused("a.example")
    hours.seconds = PAUSE_SECONDS
    pace.try_paused_again()
    assert not pace.is_paused("a.example")
    assert pace.refused_by_policy("a.example")
    assert pace.pause_left == PAUSE_SECONDS


def test_a_letter_that_is_taken_after_a_pause_ends_the_count(
    pace: SharedPace, hours: Hours
) -> None:
    for _ in range(POLICY_REFUSALS):
        pace.refused_by_policy("a.example")
    hours.seconds = PAUSE_SECONDS
    pace.try_paused_again()
    pace.ease("a.example")
    assert not pace.refused_by_policy("a.example")


def test_what_providers_asked_for_holds_at_another_pace(pace: SharedPace) -> None:
    for _ in range(POLICY_REFUSALS):
        pace.refused_by_policy("a.example")
    pace.slow_down("b.example")
    pace.keep_to(PaceSettings(rate="1/s", per_day=7), UTC)
    assert pace.is_paused("a.example")
    assert pace.pause_left == PAUSE_SECONDS
    assert pace.own_delay("b.example") == 1.0
    assert pace.per_day == 7
    assert pace.connections == 3


def test_a_provider_that_wants_fewer_letters_has_one_bucket_for_all_workers(hours: Hours) -> None:
    asked: list[tuple[str, float]] = []

    async def take(name: str, interval: float) -> float:
        asked.append((name, interval))
        return 5.0

    async def sleep(seconds: float) -> None:
        hours.seconds += seconds

    pace = SharedPace(PaceSettings(), UTC, take, Clock(lambda: NOW, hours.monotonic, sleep))

    async def letters() -> None:
        await pace.wait("a.example")
        pace.slow_down("a.example")
        await pace.wait("b.example")
        assert asked == []
        await pace.wait("a.example")

    asyncio.run(letters())
    assert asked == [("provider a.example", 1.0)]
    assert hours.seconds >= 5.0
    assert pace.delay("b.example") == 0.0
    assert pace.delay("a.example") > 0.0


def test_a_turn_that_is_handed_back_is_the_next_one(hours: Hours) -> None:
    """Of a worker whose connection was lost meanwhile; it takes no other from the bucket."""
    asked: list[str] = []

    async def take(name: str, interval: float) -> float:
        asked.append(name)
        return 400.0 if len(asked) > 2 else 100.0

    async def sleep(seconds: float) -> None:
        hours.seconds += seconds

    settings = PaceSettings(rate="9/h", per_domain={"a.example": "9/h"})
    pace = SharedPace(settings, UTC, take, Clock(lambda: NOW, hours.monotonic, sleep))

    async def go() -> Turn:
        turn = await pace.wait("a.example")
        assert isinstance(turn, Turn)
        return turn

    turn = asyncio.run(go())
    for _ in range(3):
        assert hours.seconds == 200.0
        pace.hand_back(turn)
        turn = asyncio.run(go())
    assert asked == ["a.example", ""]
    asyncio.run(go())
    assert hours.seconds >= 600.0
    assert asked == ["a.example", ""] * 2


def test_a_turn_that_was_handed_back_long_ago_is_nobodys(hours: Hours) -> None:
    """Many workers come back to a server at once: none begins with a turn of before."""
    asked: list[str] = []

    async def take(name: str, interval: float) -> float:
        del interval
        asked.append(name)
        return 0.0

    pace = SharedPace(PaceSettings(rate="9/h"), UTC, take, Clock(lambda: NOW, hours.monotonic))
    turn = asyncio.run(pace.wait("a.example"))
    assert isinstance(turn, Turn)
    pace.hand_back(turn)
    hours.seconds += 400.0
    assert isinstance(asyncio.run(pace.wait("a.example")), Turn)
    assert asked == ["", ""]
