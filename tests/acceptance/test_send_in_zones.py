"""petition send --at TIME --each-in-their-zone: at that time where each recipient is."""

import csv
import re
import shlex
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from petition.cli.local_time import Waves
from petition.cli.send_later import Moment
from petition.errors import CampaignError, UsageError
from petition.outbox.enqueue import ListedRow
from tests.acceptance.approving import BEA, Approving
from tests.acceptance.small import SET_CLOCK, SETTINGS, Answer, SmallCampaign
from tests.servers.counting import CountingServer, counting_server

# A machine on which every second of waiting is five minutes. When its clock is so far ahead,
# petition is killed, or the clock is set back by an hour.
IN_A_HURRY = """
import os, types
from petition.cli import send_later
def sleep(seconds):
    global ahead, set_back_after
    ahead += datetime.timedelta(seconds=seconds if seconds < 1 else 300)
    if killed_after and ahead > killed_after:
        os.kill(os.getpid(), 9)
    if set_back_after and ahead > set_back_after:
        ahead -= datetime.timedelta(hours=1)
        set_back_after = None
send_later.time = types.SimpleNamespace(time=lambda: Clock.now().timestamp(), sleep=sleep)
"""

ZONES = {"ana": "Pacific/Auckland", "ben": "Europe/Zurich", "cy": "America/New_York"}


@pytest.fixture
def server():
    with counting_server() as server:
        yield server


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    list_people(
        campaign, ana="Pacific/Auckland,", ben=",Switzerland", cy="America/New_York,US", kit=",CH"
    )
    return campaign


def list_people(campaign: SmallCampaign, **places: str) -> None:
    """People by their id, with the cells `timezone,country`."""
    rows = [f"{who},{who}@x.example,{who.title()},,{place}" for who, place in places.items()]
    campaign.write("recipients.csv", "\n".join(["id,email,name,town,timezone,country", *rows, ""]))


def day_after_tomorrow() -> str:
    return f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"


def run(
    campaign: SmallCampaign,
    at: str,
    *more: str,
    ahead: float = 0,
    killed_after: float = 0,
    set_back_after: float = 0,
) -> Answer:
    """Send at such a time, on a machine that is so many hours `ahead`; the others are hours too."""
    hours = {"ahead": ahead, "killed_after": killed_after, "set_back_after": set_back_after}
    set_all = "\n".join(f"{name} = datetime.timedelta(hours={hours[name]})" for name in hours)
    command = ("send", "open-letter", "--at", at, "--each-in-their-zone", *more)
    child = campaign.on_terminal(*command, before=f"{SET_CLOCK}\n{set_all}\n{IN_A_HURRY}")
    child.expect([re.escape("[y/N]"), "petition: ", r"\n.*?:\d+: "])
    shown = f"{child.before}{child.after}"
    if "[y/N]" in shown:
        child.send("y\n")
    status, said = child.end()
    return Answer(status, shown + said, "")


def sent_at(campaign: SmallCampaign) -> dict[str, str]:
    """When each letter went, by the clock in its recipient's zone, in steps of five minutes."""
    events = campaign.petition("log", "--json", status=0).json["events"]
    moments = {
        one["email"].partition("@")[0]: datetime.fromisoformat(one["at"])
        for one in events
        if one["to"] == "sent"
    }
    moments = {who: at - timedelta(minutes=at.minute % 5) for who, at in moments.items()}
    return {
        who: f"{at.astimezone(ZoneInfo(ZONES.get(who, 'Europe/Zurich'))):%Y-%m-%d %H:%M}"
        for who, at in moments.items()
    }


def test_each_gets_it_at_that_time_of_their_own_zone(
    campaign: SmallCampaign, server: CountingServer
):
    day = day_after_tomorrow()
    answer = run(campaign, f"{day} 09:00")
    assert answer.status == 0, answer.out
    assert all(zone in answer.out for zone in ZONES.values())
    assert sent_at(campaign) == dict.fromkeys(("ana", "ben", "cy", "kit"), f"{day} 09:00")
    assert next(iter(server.accepted)) == "ana@x.example"
    assert list(server.accepted.values()) == [1, 1, 1, 1]


def test_without_a_day_it_is_the_next_time_that_it_is_so_late(
    campaign: SmallCampaign, server: CountingServer
):
    answer = run(campaign, "09:00")
    assert answer.status == 0, answer.out
    assert {moment[-5:] for moment in sent_at(campaign).values()} == {"09:00"}
    assert server.accepted.total() == 4


def test_killed_and_repeated_nobody_gets_it_twice_and_nobody_is_missed(
    campaign: SmallCampaign, server: CountingServer
):
    # So late that Auckland and Zurich have had it, and New York has not.
    day = datetime.now(UTC) + timedelta(days=2)
    noon = day.replace(hour=12, minute=0, second=0) - datetime.now(UTC)
    hours = noon.total_seconds() / 3600
    assert run(campaign, f"{day:%Y-%m-%d} 09:00", killed_after=hours).status == -9
    assert {who.partition("@")[0] for who in server.accepted} == {"ana", "ben", "kit"}
    # Somebody who came meanwhile where it is past gets it at once; that is shown.
    with (campaign.root / "recipients.csv").open("a", encoding="utf-8") as file:
        csv.writer(file).writerow(["dan", "dan@x.example", "Dan", "", "Asia/Tokyo", ""])
    answer = run(campaign, f"{day:%Y-%m-%d} 09:00", ahead=hours)
    assert answer.status == 0, answer.out
    assert "Asia/Tokyo" in answer.out
    assert sent_at(campaign)["cy"] == f"{day:%Y-%m-%d} 09:00"
    assert sorted(server.accepted.values()) == [1] * 5


def test_a_clock_that_is_set_back_at_night_sends_nothing_twice(
    campaign: SmallCampaign, server: CountingServer
):
    day = datetime.now(UTC) + timedelta(days=2)
    midnight = day.replace(hour=0, minute=0, second=0) - datetime.now(UTC)
    answer = run(campaign, f"{day:%Y-%m-%d} 09:00", set_back_after=midnight.total_seconds() / 3600)
    assert answer.status == 0, answer.out
    assert set(sent_at(campaign).values()) == {f"{day:%Y-%m-%d} 09:00"}
    assert list(server.accepted.values()) == [1, 1, 1, 1]


def test_what_changes_between_two_zones_stops_the_rest(
    campaign: SmallCampaign, server: CountingServer
):
    day = datetime.now(UTC) + timedelta(days=2)
    noon = day.replace(hour=12, minute=0, second=0) - datetime.now(UTC)
    run(campaign, f"{day:%Y-%m-%d} 09:00", killed_after=noon.total_seconds() / 3600)
    campaign.change("letters/open-letter.md", "**clean**", "clear")
    answer = run(campaign, f"{day:%Y-%m-%d} 09:00", ahead=noon.total_seconds() / 3600)
    assert answer.status == 2
    assert server.accepted.total() == 3


def test_who_stops_it_between_two_zones_stops_the_rest(tmp_path: Path, server: CountingServer):
    approving = Approving(tmp_path, server)
    campaign = approving.campaign
    list_people(campaign, ana="Pacific/Auckland,", ben="Europe/Zurich,", cy="America/New_York,")
    day = datetime.now(UTC) + timedelta(days=2)
    noon = day.replace(hour=12, minute=0, second=0) - datetime.now(UTC)
    at, hours = f"{day:%Y-%m-%d} 09:00", noon.total_seconds() / 3600
    assert run(campaign, at).status == 2
    assert list(server.accepted) == [BEA]
    approving.answer(approving.code())
    run(campaign, at, killed_after=hours)
    assert list(server.accepted) == [BEA, "ana@x.example", "ben@x.example"]
    approving.answer("No, because there is news.")
    stopped = run(campaign, at, ahead=hours)
    assert stopped.status == 2
    assert "there is news" in stopped.out
    approving.answer(approving.code())
    assert run(campaign, at, ahead=hours).status == 0
    assert list(server.accepted.values()) == [1, 1, 1, 1]
    assert len(approving.requests()) == 1


class OnceBusy(dict[str, str]):
    """What a server says to each of these recipients once."""

    def get(self, who: str) -> str | None:  # type: ignore[override]
        return self.pop(who, None)


def test_what_is_deferred_goes_before_the_next_zone(
    campaign: SmallCampaign, server: CountingServer
):
    server.answers = OnceBusy(ana="451 4.3.0 later")
    campaign.write("petition.toml", f'{SETTINGS}\n[pace]\nretry = ["1 s"]\n')
    answer = run(campaign, f"{day_after_tomorrow()} 09:00")
    assert answer.status == 0, answer.out
    assert next(iter(server.accepted)) == "ana@x.example"
    assert list(server.accepted.values()) == [1, 1, 1, 1]


def test_again_sends_it_to_everybody_once_more_in_their_zone(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    answer = run(campaign, f"{day_after_tomorrow()} 09:00", "--again")
    assert answer.status == 0, answer.out
    assert list(server.accepted.values()) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (",US", "several time zones"),
        (",Atlantis", "Atlantis"),
        (",", "timezone"),
        ("Europe/Zurick,", "Europe/Zurich"),
        ("../../etc/passwd,", "not a time zone"),
    ],
)
def test_a_zone_that_is_not_clear_is_refused(
    campaign: SmallCampaign, server: CountingServer, place: str, told: str
):
    list_people(campaign, ana="Europe/Zurich,US", ben=place)
    answer = campaign.petition(
        "send", "open-letter", "--at", "09:00", "--each-in-their-zone", "--yes", status=1
    )
    assert "recipients.csv:3" in answer.out + answer.err
    assert told in " ".join((answer.out + answer.err).split())
    assert not campaign.states()
    assert server.accepted.total() == 0


def test_what_the_pace_would_hold_is_refused(campaign: SmallCampaign, server: CountingServer):
    campaign.write("petition.toml", f'{SETTINGS}\n[pace]\nbetween = "08:00-20:00"\n')
    at = f"{day_after_tomorrow()} 09:00"
    answer = campaign.petition(
        "send", "open-letter", "--at", at, "--each-in-their-zone", "--yes", status=2
    )
    assert "[pace]" in answer.err
    assert server.accepted.total() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--each-in-their-zone",),
        ("--at", "09:00", "--each-in-their-zone", "--limit", "1"),
        ("--at", "09:00", "--each-in-their-zone", "--workers"),
        ("--at", "09:00", "--each-in-their-zone", "--print-schedule"),
        ("--at", "2020-01-01 09:00", "--each-in-their-zone"),
    ],
)
def test_options_that_do_not_fit_are_refused(campaign: SmallCampaign, arguments: tuple[str, ...]):
    campaign.petition("send", "open-letter", "--yes", *arguments, status=2)
    assert not campaign.states()


def test_the_schedule_begins_with_the_first_zone(campaign: SmallCampaign, server: CountingServer):
    smtp = f'[smtp]\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\n'
    campaign.write("petition.toml", f"{SETTINGS}\n{smtp}")
    campaign.env.clear()
    day = day_after_tomorrow()
    first = datetime.fromisoformat(f"{day} 09:00").replace(tzinfo=ZoneInfo("Pacific/Auckland"))
    said = campaign.petition(
        "send", "open-letter", "--at", f"{day} 09:00", "--each-in-their-zone", "--print-schedule",
        status=0,
    )  # fmt: skip
    words = shlex.split(said.out)
    assert f"--on-calendar={first.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" in words
    at = words.index("send")
    assert words[at + 2 :] == ["--at", f"{day} 09:00", "--each-in-their-zone", "--yes"]
    assert not campaign.states()


NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


def waves(text: str, *places: tuple[str, str], now: datetime = NOW) -> dict[str, str]:
    """The moments in UTC, by zone, of rows with a time zone and a country."""
    rows = [
        ListedRow("", "", "en", "", "list.csv", 2, {"timezone": zone, "country": country}, True)
        for zone, country in places
    ]
    found = Waves(rows, partial(Moment.parse(text).of, now=now))
    return {zone: f"{wave.at:%m-%d %H:%M}" for wave in found.all for zone in wave.zones}


def test_a_switch_to_summer_time_moves_the_moment_where_it_is():
    # The United States switch on 14 March, Europe on the 28th.
    places = (("America/New_York", ""), ("", "Germany"), ("", "JP"))
    assert waves("2027-03-13 09:00", *places) == {
        "Asia/Tokyo": "03-13 00:00", "Europe/Berlin": "03-13 08:00",
        "America/New_York": "03-13 14:00",
    }  # fmt: skip
    assert waves("2027-03-15 09:00", *places)["America/New_York"] == "03-15 13:00"
    assert waves("2027-03-28 09:00", *places)["Europe/Berlin"] == "03-28 07:00"


def test_a_time_that_a_zone_skips_is_refused_and_one_that_comes_twice_is_the_first():
    with pytest.raises(UsageError, match="Europe/Berlin"):
        waves("2027-03-28 02:30", ("Asia/Tokyo", ""), ("Europe/Berlin", ""))
    assert waves("2027-03-28 02:30", ("Asia/Tokyo", "")) == {"Asia/Tokyo": "03-27 17:30"}
    assert waves("2027-10-31 02:30", ("Europe/Berlin", "")) == {"Europe/Berlin": "10-31 00:30"}


def test_zones_of_a_country_that_agree_then_are_one():
    assert waves("2027-03-02 09:00", ("", "DE"))  # Berlin and Busingen
    with pytest.raises(CampaignError):
        waves("2027-03-02 09:00", ("", "NZ"))  # Auckland and Chatham
