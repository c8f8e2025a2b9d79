"""The site of the documentation, as `make docs` builds it, read from the disk in a browser."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from petition.cli.commands import COMMANDS
from petition.cli.main import load
from tests.servers.browser import NODE_MODULES, running_browser

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "scripts/site/build.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("sphinx"), reason="needs Sphinx: make docs"),
]
in_browser = pytest.mark.component("chromium", "bash")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("built") / "docs"  # each process of a test run builds its own
    subprocess.run([sys.executable, BUILD, site], check=True)
    return site


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def found_by(browser, site: Path, words: str) -> list[str]:
    """The pages that a search finds."""
    browser.open(f"{(site / 'search.html').as_uri()}?q={words}")
    return browser.value(
        """new Promise((found) => {
            const look = () => {
                const summary = document.querySelector("#search-results .search-summary");
                if (/finished|did not match/.test(summary?.textContent))
                    return found([...document.querySelectorAll("#search-results li a")]
                        .map((link) => link.getAttribute("href").split(/[?#]/)[0]));
                setTimeout(look, 50);
            };
            look();
        })"""
    )


@in_browser
@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("Gmail", "gmail-and-40-directors.html"),
        ("crash", "it-crashed.html"),
        ("bounced", "somebody-bounced.html"),
        ("Windows", "windows.html"),
        ("Thunderbird", "coming-from-thunderbird.html"),
        ("warm_up", "settings.html"),
        ("--this-log", "commands.html"),
    ],
)
def test_a_search_without_a_server_finds(browser, site, words, page):
    assert page in found_by(browser, site, words)


@in_browser
def test_no_page_asks_for_anything_outside(browser, site):
    for page in site.glob("*.html"):
        browser.open(page.as_uri())
    assert browser.requests
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


@in_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_is_as_wide_as_the_screen(browser, site, width, dark):
    browser.become(width, 800, dark=dark)
    for page in ("index", "settings", "delivery", "json", "commands"):
        browser.open((site / f"{page}.html").as_uri())
        assert browser.value("document.documentElement.scrollWidth") <= width, page


@in_browser
@pytest.mark.skipif(not NODE_MODULES.exists(), reason="needs axe-core: make page-checkers")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_can_be_read_by_everybody(browser, site, width):
    browser.become(width, 800)
    for page in ("index", "delivery", "commands"):
        browser.open((site / f"{page}.html").as_uri())
        assert browser.violations() == [], page


def test_every_command_is_on_the_page_of_commands_with_its_options(site):
    shown = re.sub(r"<[^>]*>", "", (site / "commands.html").read_text("utf-8"))
    for name in COMMANDS:
        section = shown.partition(f"petition {name} [OPTIONS]")[2].partition(" [OPTIONS]")[0]
        options = [one for param in load(name).params for one in param.opts if one[0] == "-"]
        assert section, name
        assert [one for one in options if one not in section] == [], name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(json.md#exit-statuses)", "(json.md#exits)"),
        ("(json.md#exit-statuses)", "(jason.md#exit-statuses)"),
    ],
)
def test_a_broken_link_stops_the_build(tmp_path, old, new):
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("docs", "scripts", "petition", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    page = tmp_path / "docs" / "send-safely.md"
    text = page.read_text("utf-8")
    assert old in text
    page.write_text(text.replace(old, new), encoding="utf-8")
    built = subprocess.run(
        [sys.executable, tmp_path / "scripts/site/build.py"], capture_output=True, check=False
    )
    assert built.returncode != 0
    assert b"send-safely.md" in built.stderr
