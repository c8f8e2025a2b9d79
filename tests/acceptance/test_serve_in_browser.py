"""The page of `petition serve` in a browser, with the keyboard alone, on a phone and at night."""

import os
import re
from pathlib import Path

import pytest

from petition.web.app import WORDS
from tests.acceptance.small import SmallCampaign
from tests.servers.browser import running_browser
from tests.servers.endpoint import give_token, running_endpoint

pytestmark = [pytest.mark.slow, pytest.mark.component("chromium", "bash")]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    campaign = SmallCampaign.at(tmp_path_factory.mktemp("seen"), people=4)
    campaign.petition("send", "open-letter", status=0)
    return campaign


@pytest.fixture(scope="module")
def base(campaign):
    with running_endpoint(campaign) as (base, _):
        yield base


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of "rgb(1, 2, 3)"."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def style(browser, selector: str, name: str) -> str:
    return browser.value(f"getComputedStyle(document.querySelector('{selector}')).{name}")


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_is_enough(browser, campaign, base, key):
    who = {"Enter": "p1@x.example", "Space": "p2@x.example"}[key]
    browser.become(1280, 800)
    browser.open(f"{base}/u/{give_token(campaign.root, who)}")
    assert browser.value("document.activeElement.tagName") == "BODY"
    browser.press("Tab")
    assert browser.value("document.activeElement.tagName") == "BUTTON"
    assert style(browser, "button", "outlineStyle") == "solid"
    assert float(style(browser, "button", "outlineWidth").removesuffix("px")) >= 2
    browser.press(key)
    browser.wait_for("Page.loadEventFired")
    heading = browser.value("document.querySelector('h1').textContent")
    assert heading == WORDS["en"]["done"]["heading"]
    assert browser.value("document.cookie") == ""
    assert who in campaign.petition("suppress", status=0).out


def test_the_page_loads_nothing_else(browser, campaign, base):
    browser.requests.clear()
    url = f"{base}/u/{give_token(campaign.root, 'p3@x.example')}"
    browser.open(url)
    browser.press("Tab")
    assert [each for each in browser.requests if not each.endswith("/favicon.ico")] == [url]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("language", WORDS)
def test_a_phone_shows_all_of_it_with_contrast(browser, campaign, base, language, dark):
    browser.become(320, 568, dark=dark)
    browser.speak(language)
    browser.open(f"{base}/u/{give_token(campaign.root, 'p3@x.example')}")
    _keep(browser, f"ask-{language}-{'dark' if dark else 'light'}")
    assert browser.value("document.documentElement.lang") == language
    assert browser.value("document.documentElement.scrollWidth") <= 320
    assert browser.value("document.querySelector('button').getBoundingClientRect().bottom") < 568
    assert browser.value("document.querySelector('button').getBoundingClientRect().height") >= 44
    page = style(browser, "body", "backgroundColor")
    assert (luminance(page) < 0.1) is dark
    assert contrast(page, style(browser, "body", "color")) >= 7
    button = style(browser, "button", "backgroundColor")
    assert contrast(button, style(browser, "button", "color")) >= 7
    assert contrast(button, page) >= 3
    browser.speak("en")


def test_an_unknown_link_is_a_page_too(browser, base):
    browser.become(320, 568)
    browser.open(f"{base}/u/0")
    _keep(browser, "unknown-en-light")
    assert browser.value("document.documentElement.scrollWidth") <= 320
    browser.press("Tab")
    address = browser.value("document.activeElement.getAttribute('href')")
    assert address == "mailto:answers@campaign.example"


def _keep(browser, name: str) -> None:
    """Pictures to be looked at, where somebody wants them."""
    if folder := os.environ.get("KEEP_PICTURES"):
        browser.picture(Path(folder) / f"{name}.png")
