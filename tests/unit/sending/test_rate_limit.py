"""Rates, caps and hours against a clock that only the test moves."""

import asyncio
import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.pace import Between, PaceSettings, Rate
from petition.sending.rate_limit import NO_CAP, Clock, Pace, Turn


class FakeClock:
    """Stands still until everybody sleeps, then goes to the first one's waking."""

    def __init__(self, now=datetime(2026, 3, 2, 12, tzinfo=UTC)):
        self.start = now
        self.seconds = 0.0
        self.sleepers = []
        self.numbers = itertools.count()

    @property
    def clock(self):
        return Clock(self.now, lambda: self.seconds, self.sleep)

    def now(self):
        return self.start + timedelta(seconds=self.seconds)

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.seconds + seconds, next(self.numbers), woken))
        await woken

    async def run(self, *tasks):
        running = asyncio.gather(*tasks)
        while not running.done():
            for _ in range(20):
                await asyncio.sleep(0)
            if self.sleepers:
                self.sleepers.sort(reverse=True)
                self.seconds, _, woken = self.sleepers.pop()
                woken.set_result(None)
        return await running


def pace_of(clock, timezone="UTC", **table):
    return Pace.of(PaceSettings.model_validate(table), timezone, clock.clock)


def times(clock, pace, domains, connections=4, late=0.0):
    """When each letter goes, shared out over connections that each take `late` seconds a letter."""
    left = list(enumerate(domains))
    gone = []

    async def connection():
        while left:
            _, domain = left.pop(0)
            assert isinstance(await pace.wait(domain), Turn)
            gone.append((clock.seconds, domain))
            if late:
                await clock.sleep(late)

    asyncio.run(clock.run(*(connection() for _ in range(connections))))
    return gone


def test_without_a_rate_nobody_waits():
    clock = FakeClock()
    assert {when for when, _ in times(clock, pace_of(clock), ["a.test"] * 50)} == {0.0}


@pytest.mark.parametrize(
    ("rate", "interval"), [("10/s", 0.1), ("20/min", 3.0), ("500/h", 7.2), ("1000/s", 0.001)]
)
@pytest.mark.parametrize("connections", [1, 4])
def test_letters_are_spaced_evenly_from_the_first_one(rate, interval, connections):
    clock = FakeClock()
    gone = times(clock, pace_of(clock, rate=rate), ["a.test"] * 30, connections)
    assert [when for when, _ in gone] == pytest.approx([n * interval for n in range(30)])


def test_time_spent_on_a_letter_does_not_slow_the_rate():
    clock = FakeClock()
    gone = times(clock, pace_of(clock, rate="10/s"), ["a.test"] * 30, late=0.3)
    assert gone[-1][0] == pytest.approx(2.9)


def test_what_was_missed_is_not_made_up_for():
    clock = FakeClock()
    pace = pace_of(clock, rate="10/s")
    times(clock, pace, ["a.test"])
    clock.seconds = 60.0
    gone = times(clock, pace, ["a.test"] * 3)
    assert [when for when, _ in gone] == pytest.approx([60.0, 60.1, 60.2])


def test_a_domain_has_its_own_rate_and_does_not_hold_up_others():
    clock = FakeClock()
    pace = pace_of(clock, rate="10/s", per_domain={"slow.test": "1/s"})
    domains = ["slow.test", "slow.test", "a.test", "b.test", "slow.test", "c.test"]
    gone = times(clock, pace, domains, connections=6)
    slow = [when for when, domain in gone if domain == "slow.test"]
    others = [when for when, domain in gone if domain != "slow.test"]
    assert slow == pytest.approx([0.0, 1.0, 2.0])
    assert others == pytest.approx([0.1, 0.2, 0.3])


rates = st.builds(Rate, st.integers(1, 50), st.sampled_from([1, 60]))


@given(
    st.none() | rates,
    st.dictionaries(st.sampled_from(["a.test", "b.test"]), rates),
    st.lists(st.sampled_from(["a.test", "b.test", "c.test"]), min_size=2, max_size=40),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.05, 1.7]),
)
def test_no_two_letters_are_closer_than_any_rate_allows(rate, per_domain, domains, crew, late):
    clock = FakeClock()
    table = PaceSettings.model_construct(
        rate=rate, per_domain=per_domain, between=None, days=None, per_day=None
    )
    gone = times(clock, Pace(table, UTC, clock.clock), domains, crew, late)
    assert len(gone) == len(domains)
    for limit, whose in [(rate, None), *((limit, whose) for whose, limit in per_domain.items())]:
        if limit:
            when = [moment for moment, domain in gone if whose in {None, domain}]
            for earlier, later in itertools.pairwise(when):
                assert later - earlier >= limit.seconds / limit.count - 1e-6


# ---- hours


def opening(pace_settings, now, timezone="UTC"):
    return Pace(pace_settings, ZoneInfo(timezone), FakeClock(now).clock).opens_at()


def hours(start, end):
    return PaceSettings.model_construct(
        rate=None, per_domain={}, per_day=None, between=Between(start, end), days=None
    )


def off_days(**settings):
    return PaceSettings.model_validate(settings)


def on_days(days, between=None):
    return PaceSettings.model_validate({"days": days} | ({"between": between} if between else {}))


DAY, NIGHT = hours(time(8), time(20)), hours(time(22), time(6))


@pytest.mark.parametrize(
    ("settings", "now", "opens"),
    [
        (DAY, "2026-03-02 08:00", None),
        (DAY, "2026-03-02 19:59", None),
        (DAY, "2026-03-02 20:00", "2026-03-03 08:00"),
        (DAY, "2026-03-02 07:59", "2026-03-02 08:00"),
        (DAY, "2026-12-31 23:00", "2027-01-01 08:00"),
        (NIGHT, "2026-03-02 23:00", None),
        (NIGHT, "2026-03-02 05:59", None),
        (NIGHT, "2026-03-02 06:00", "2026-03-02 22:00"),
        (NIGHT, "2026-03-02 21:59", "2026-03-02 22:00"),
        # 2 March 2026 is a Monday.
        (on_days("mon-fri"), "2026-03-06 23:59", None),
        (on_days("mon-fri"), "2026-03-07 00:00", "2026-03-09 00:00"),
        (on_days("mon-fri", "08:00-20:00"), "2026-03-06 20:00", "2026-03-09 08:00"),
        (on_days("mon-fri", "08:00-20:00"), "2026-03-08 12:00", "2026-03-09 08:00"),
        (on_days("mon-fri", "22:00-06:00"), "2026-03-07 00:00", "2026-03-09 00:00"),
        (on_days("sun", "22:00-06:00"), "2026-03-02 12:00", "2026-03-08 00:00"),
        (on_days("wed", "12:00-13:00"), "2026-03-04 13:00", "2026-03-11 12:00"),
        (on_days("fri-mon"), "2026-03-03 10:00", "2026-03-06 00:00"),
        (off_days(holidays="GB-ENG"), "2026-12-24 23:59", None),
        (off_days(holidays="GB-ENG"), "2026-12-25 10:00", "2026-12-27 00:00"),
        (off_days(holidays="GB-ENG", days="mon-fri"), "2026-12-25 10:00", "2026-12-29 00:00"),
        (off_days(holidays="CH-GE", between="08:00-20:00"), "2026-12-31 09:00", "2027-01-02 08:00"),
    ],
)
def test_hours(settings, now, opens):
    found = opening(settings, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (found and f"{found:%Y-%m-%d %H:%M}") == opens


def test_no_letter_goes_on_a_day_that_is_closed():
    closed = {date(2026, 3, 2), date(2026, 3, 3)}
    moment = datetime(2026, 3, 2, 10, tzinfo=UTC)
    pace = Pace(PaceSettings(), UTC, FakeClock(moment).clock, closed)
    assert pace.opens_at() == datetime(2026, 3, 4, tzinfo=UTC)
    assert not pace.is_free
    # Even if none of the next days were open, there is a moment.
    closed = {moment.date() + timedelta(days=number) for number in range(90)}
    assert Pace(PaceSettings(), UTC, FakeClock(moment).clock, closed).opens_at()


def test_hours_are_those_of_the_campaign_s_zone():
    found = opening(DAY, datetime(2026, 3, 2, 16, tzinfo=UTC), "Asia/Almaty")  # 21:00 there
    assert found == datetime(2026, 3, 3, 3, tzinfo=UTC)
    assert f"{found:%H:%M}" == "08:00"


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        # In London the clock goes from 01:00 to 02:00 and, in autumn, from 02:00 to 01:00.
        (datetime(2026, 3, 28, 21, tzinfo=UTC), datetime(2026, 3, 29, 7, tzinfo=UTC)),
        (datetime(2026, 10, 24, 20, tzinfo=UTC), datetime(2026, 10, 25, 8, tzinfo=UTC)),
    ],
)
def test_a_night_in_which_the_clock_is_changed(now, opens):
    assert opening(DAY, now, "Europe/London") == opens


def test_a_monday_begins_where_the_campaign_is():
    saturday = datetime(2026, 3, 7, 12, tzinfo=UTC)
    found = opening(on_days("mon-fri"), saturday, "Asia/Almaty")
    assert found == datetime(2026, 3, 8, 19, tzinfo=UTC)


def test_an_opening_that_the_clock_skips_is_the_hour_after_it():
    settings = hours(time(1, 30), time(20))
    found = opening(settings, datetime(2026, 3, 29, 0, 30, tzinfo=UTC), "Europe/London")
    assert found == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 02:30 summer time


def test_outside_the_hours_no_letter_waits():
    clock = FakeClock(datetime(2026, 3, 2, 21, tzinfo=UTC))
    pace = pace_of(clock, rate="10/s", between="08:00-20:00")
    closed = asyncio.run(pace.wait("a.test"))
    assert closed == datetime(2026, 3, 3, 8, tzinfo=UTC)


def test_a_turn_after_closing_time_is_not_waited_for():
    clock = FakeClock(datetime(2026, 3, 2, 19, 59, 30, tzinfo=UTC))
    pace = pace_of(clock, rate="1/min", between="08:00-20:00")

    async def scenario():
        return [await pace.wait("a.test"), await pace.wait("a.test")]

    first, second = asyncio.run(scenario())
    assert isinstance(first, Turn)
    assert second == datetime(2026, 3, 3, 8, tzinfo=UTC)


def test_a_machine_that_slept_past_closing_time_sends_nothing():
    clock = FakeClock(datetime(2026, 3, 2, 19, tzinfo=UTC))
    pace = pace_of(clock, rate="1/s", between="08:00-20:00")

    async def scenario():
        assert isinstance(await pace.wait("a.test"), Turn)
        waiting = asyncio.create_task(pace.wait("a.test"))
        await asyncio.sleep(0)
        clock.start += timedelta(hours=3)
        return (await clock.run(waiting))[0]

    assert isinstance(asyncio.run(scenario()), datetime)


# ---- caps and connections


@pytest.mark.parametrize(
    ("rate", "connections"), [("1/h", 1), ("20/min", 1), ("1/s", 3), ("10/s", 30), (None, NO_CAP)]
)
def test_no_more_connections_than_a_rate_can_use(rate, connections):
    table = {"rate": rate} if rate else {}
    assert pace_of(FakeClock(), **table).connections == connections


def test_a_campaign_without_a_pace_sends_as_fast_as_it_goes():
    assert isinstance(asyncio.run(Pace.of(None, "Asia/Almaty").wait("a.test")), Turn)


@pytest.mark.parametrize("late", [0.0, 0.013])
def test_a_rate_is_exact_over_ten_minutes(late):
    clock = FakeClock()
    gone = [
        when for when, _ in times(clock, pace_of(clock, rate="5/s"), ["a.test"] * 3001, 4, late)
    ]
    assert max(sum(begin <= when < begin + 1 for when in gone) for begin in range(600)) <= 6
    for begin in range(0, 590, 10):
        assert 49 <= sum(begin <= when < begin + 10 for when in gone) <= 51
    assert 0.98 * 3000 <= sum(when < 600 for when in gone) <= 3001


def test_a_provider_that_was_slowed_down_is_eased_again():
    clock = FakeClock()
    pace = pace_of(clock)
    assert pace.is_free_for("slow.test")
    for _ in range(3):
        pace.slow_down("slow.test")
    assert pace.delay("slow.test") == 4.0
    assert pace.delay("other.test") == 0.0
    for _ in range(3):
        assert not pace.is_free_for("slow.test")
        pace.ease("slow.test")
    assert pace.is_free_for("slow.test")


def test_a_provider_is_never_slowed_down_for_ever():
    clock = FakeClock()
    pace = pace_of(clock)
    for _ in range(50):
        pace.slow_down("slow.test")
    assert pace.delay("slow.test") <= 64.0


def test_a_turn_that_is_handed_back_keeps_its_place():
    """A letter that is late by the time of opening a connection makes none after it later."""
    clock = FakeClock()
    pace = pace_of(clock, rate="60/h")
    gone = []

    async def letters():
        for opening in (0.0, 1.0, 1.0, 200.0, 0.0, 0.0):
            turn = await pace.wait("a.test")
            if opening:
                pace.hand_back(turn)
                await clock.sleep(opening)
                assert isinstance(await pace.wait("a.test"), Turn)
            gone.append(clock.seconds)

    asyncio.run(clock.run(letters()))
    # One that is late by more than the interval is not made up for.
    assert gone == [0, 61, 121, 380, 440, 500]


@pytest.mark.parametrize("table", [{}, {"rate": "30/min"}])
def test_a_turn_is_nobodys_when_the_provider_asked_for_fewer_letters_after_it(table):
    clock = FakeClock()
    pace = pace_of(clock, **table)
    pace.slow_down("a.test")

    async def letters():
        turn = await pace.wait("a.test")
        pace.slow_down("a.test")
        pace.hand_back(turn)
        return pace.delay("a.test")

    assert asyncio.run(clock.run(letters())) == [2.0]


def test_a_turn_that_was_handed_back_is_for_those_who_need_not_wait_for_their_domain():
    clock = FakeClock()
    pace = pace_of(clock, rate="30/min", per_domain={"slow.test": "1/min"})

    async def letters():
        await pace.wait("slow.test")
        pace.hand_back(await pace.wait("a.test"))
        await clock.sleep(0.5)
        return pace.delay("slow.test"), pace.delay("a.test")

    assert asyncio.run(clock.run(letters())) == [(57.5, -0.5)]


def test_a_turn_that_was_handed_back_is_not_used_after_the_hours():
    clock = FakeClock(datetime(2026, 3, 2, 19, 59, 30, tzinfo=UTC))
    pace = pace_of(clock, rate="1/min", between="08:00-20:00")

    async def letters():
        pace.hand_back(await pace.wait("a.test"))
        await clock.sleep(40)
        return await pace.wait("a.test")

    [closed] = asyncio.run(clock.run(letters()))
    assert closed == datetime(2026, 3, 3, 8, tzinfo=ZoneInfo("UTC"))
