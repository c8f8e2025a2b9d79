"""[pace] holidays, and reply-by dates in working days."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.counting import CountingServer, counting_server

TODAY = datetime.now(UTC).date()
CHRISTMAS = date(TODAY.year + (date(TODAY.year, 12, 20) < TODAY), 12, 25)

WITHOUT_LIBRARY = """
import sys
sys.modules["holidays"] = None
"""
SAYS_IF_LOADED = """
import runpy, sys
try:
    runpy.run_module("petition", run_name="__main__", alter_sys=True)
finally:
    print("loaded" if "holidays" in sys.modules else "not loaded")
"""


@pytest.fixture
def server():
    with counting_server() as server:
        yield server


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    rows = ["id,email,name,town,country"]
    places = {"ann": "United Kingdom", "bo": "JP", "cy": "", "dee": "GB"}
    rows += [f"{who},{who}@x.example,{who.title()},,{place}" for who, place in places.items()]
    campaign.write("recipients.csv", "\n".join([*rows, ""]))
    return campaign


def asks_for(campaign: SmallCampaign, holidays: str) -> None:
    campaign.write("petition.toml", f"{SETTINGS}\n[pace]\nholidays = {holidays}\n")


def days_until(day: date) -> int:
    return (day - TODAY).days


def who_has_it(server: CountingServer) -> str:
    return " ".join(sorted(who.partition("@")[0] for who in server.accepted))


def test_nothing_goes_on_a_holiday_of_the_calendar(campaign: SmallCampaign, server: CountingServer):
    asks_for(campaign, '"GB-ENG"')
    answer = campaign.days_off(days_until(CHRISTMAS), "send", "open-letter", "--yes")
    assert answer.status == 3, answer.err
    assert not server.accepted
    before = days_until(CHRISTMAS) - 1
    assert campaign.days_off(before, "send", "open-letter", "--yes").status == 0
    assert who_has_it(server) == "ann bo cy dee"


def test_nobody_gets_it_on_a_holiday_of_their_country(
    campaign: SmallCampaign, server: CountingServer
):
    asks_for(campaign, "true")
    answer = campaign.days_off(days_until(CHRISTMAS), "send", "open-letter", "--yes")
    assert answer.status == 3, answer.err
    assert who_has_it(server) == "bo cy"
    assert "Christmas Day" in answer.out
    assert set(campaign.states()) == {"bo", "cy"}
    before = days_until(CHRISTMAS) - 1
    assert campaign.days_off(before, "send", "open-letter", "--yes").status == 0
    assert sorted(server.accepted.values()) == [1] * 4


def test_all_on_holiday_nothing_is_sent(campaign: SmallCampaign, server: CountingServer):
    asks_for(campaign, "true")
    asked = ("send", "open-letter", "--to", "ann", "--yes")
    answer = campaign.days_off(days_until(CHRISTMAS), *asked)
    assert answer.status == 3, answer.err
    assert not server.accepted


def test_each_in_their_zone_keeps_the_holidays_too(campaign: SmallCampaign, server: CountingServer):
    asks_for(campaign, "true")
    at = ("--at", f"{CHRISTMAS} 09:00", "--each-in-their-zone", "--dry-run", "--where", "country")
    answer = campaign.petition("send", "open-letter", *at, status=0)
    plan = answer.out.splitlines()
    assert [line for line in plan if line.startswith("at ") and "Asia/Tokyo" in line]
    assert not [line for line in plan if line.startswith("at ") and "Europe/London" in line]


def test_a_rehearsal_knows_no_holidays(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    asks_for(campaign, '"GB"')
    assert campaign.days_off(days_until(CHRISTMAS), "send", "open-letter").status == 0


@pytest.mark.parametrize("holidays", ['"XX"', '"CH-XX"', '"Switzerland"', "false", "3"])
def test_a_calendar_that_is_not_known_is_an_error(campaign: SmallCampaign, holidays: str):
    asks_for(campaign, holidays)
    answer = campaign.petition("check", status=1)
    assert "petition.toml:10: " in answer.out
    campaign.petition("send", "open-letter", "--yes", status=1)


def test_without_the_library_it_says_how_to_install_it(
    campaign: SmallCampaign, server: CountingServer
):
    asks_for(campaign, "true")
    child = campaign.on_terminal("check", before=WITHOUT_LIBRARY)
    status, said = child.end()
    assert status == 1
    assert "install" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("holidays", "loaded"), [("", "not loaded"), ("holidays = true", "loaded")]
)
def test_the_library_is_loaded_where_it_is_asked_for(
    campaign: SmallCampaign, holidays: str, loaded: str
):
    campaign.write("petition.toml", f"{SETTINGS}\n[pace]\n{holidays}\n")
    said = campaign.on_terminal("check", program=("-c", SAYS_IF_LOADED)).end()[1]
    assert said.splitlines()[-1] == loaded


def test_a_reply_is_asked_for_in_working_days(campaign: SmallCampaign, server: CountingServer):
    campaign.change(
        "letters/open-letter.md", "reply_by: 14 days", "reply_by: 3 working days in GB-ENG"
    )
    start = days_until(CHRISTMAS) - 1
    assert campaign.days_off(start, "send", "open-letter", "--yes", "--limit", "1").status == 0
    # On another day it is the same letter with the same date.
    answer = campaign.days_off(start + 1, "send", "open-letter", "--yes")
    assert answer.status == 0, answer.err
    day, number = CHRISTMAS - timedelta(days=1), 0
    closed = {
        date(CHRISTMAS.year, 12, 25),
        date(CHRISTMAS.year, 12, 26),
        date(CHRISTMAS.year, 12, 28),
    }
    closed |= {date(CHRISTMAS.year, 12, 27)} if CHRISTMAS.weekday() in {4, 5} else set()
    while number < 3:
        day += timedelta(days=1)
        number += day.weekday() < 5 and day not in closed
    letters = [data.decode() for data in server.last.values()]
    dates = {re.search(r"\d{1,2} [A-Z]\w{3,} \d{4}", letter)[0] for letter in letters}
    assert len(letters) == 4
    assert dates == {f"{day.day} {day:%B %Y}"}


@pytest.mark.parametrize("text", ["3 working days in XX", "0 working days", "3 working days in"])
def test_working_days_of_no_calendar_are_an_error(campaign: SmallCampaign, text: str):
    campaign.change("letters/open-letter.md", "reply_by: 14 days", f"reply_by: {text}")
    answer = campaign.petition("check", status=1)
    assert "letters/open-letter.md:4: " in answer.out
