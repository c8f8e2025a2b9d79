"""The HTML of a letter on a phone and on a desk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.browser import Browser, running_browser
from tests.unit.merge.letters import merger_of, person_of

pytestmark = [pytest.mark.slow, pytest.mark.component("chromium")]

WORD = "Zhezkazgantsvetmet" * 8
COLUMNS = "| Works | Year | Injured | Compensation | Representative | Answered |"
BODY = f"""Dear {{{{ recipient.name }}}},

{WORD} and https://example.org/{WORD}

1. One
   - {WORD}

> {WORD}

`{WORD}`

{COLUMNS}
|---|--:|--:|---|---|---|
| Zhezkazgantsvetmet | 2014 | 1,200 | unconditional | representative@union.example | no |

{{{{ demands }}}}

{{{{ signatories }}}}
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    page = merger_of(BODY).html(person_of(name="Kim"), 1)
    (folder / "letter.html").write_text(page, encoding="utf-8")
    with running_browser(folder) as browser:
        browser.become(1280, 900)
        browser.open((folder / "letter.html").as_uri())
        yield browser


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_runs_off_the_screen(browser: Browser, tmp_path: Path, width: int):
    browser.become(width, 800, dark=width == 390)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.querySelector('.letter').scrollWidth") <= width


def test_a_wide_table_scrolls_on_a_phone_by_keyboard_too(browser: Browser):
    browser.become(390, 800)
    table = "document.querySelector('table').parentElement"
    assert browser.value(f"{table}.scrollWidth > {table}.clientWidth")
    assert browser.value(f"{table}.focus(), document.activeElement === {table}")
