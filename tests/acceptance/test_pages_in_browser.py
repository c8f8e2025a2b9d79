"""The pages for readers in a browser: with the keyboard alone, on a phone, at night, on paper."""

import csv
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfReader

from petition.identity import Signer
from petition.merge.message import Merger
from petition.outbox.answers import RECORDED
from petition.web.sign_pages import WORDS as SIGN_WORDS
from petition.web.unsubscribe import WORDS, Pages
from tests.acceptance.crew import wait_until
from tests.acceptance.small import SmallCampaign
from tests.servers.browser import NODE_MODULES, running_browser
from tests.servers.endpoint import give_token, running_endpoint
from tests.servers.signatory import ANN, AT_ONCE, ask, link_for, sign, signing_campaign
from tests.unit.merge.letters import freeze_texts, person_of, text_of

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


# ---- axe-core, the Nu Html Checker, narrow screens and paper

# Three scripts and two directions; a name and, in the last row, an address that are one long word.
PEOPLE = (
    ("Ann O’Neill-Featherstonehaugh", "en", "Chair of the Board"),
    ("Нұрлан Қайратұлы Бекжан", "kk", "Жезқазған теміржол көлігі басқармасының бастығы"),
    ("سلمى عبد الرحمن الهاشمي", "ar", "رئيسة مجلس الإدارة"),
    ("Donaudampfschifffahrtselektrizitätenhauptbetriebswerk", "de", ""),
    ("", "", "Clerk"),
)
LAST = 3 * len(PEOPLE)
LETTER = """\
---
to: recipients
subject: Our demands
reply_by: 2026-01-25
---
{{ demands }}

{{ signatories }}
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[Path, list[str]]:
    """The reports of campaigns with answers and failures of every kind, and their demands."""
    return dict(
        made for number in (1, 6, 12) for made in _reports(tmp_path_factory.mktemp("told"), number)
    )


def _reports(folder: Path, number: int) -> Iterator[tuple[Path, list[str]]]:
    campaign = SmallCampaign.at(folder)
    demands = [f"Clean river {one} of the Ertis basin" for one in range(1, number + 1)]
    headings = (f"## {title} {{#d{one}}}\n" for one, title in enumerate(demands))
    campaign.write("letters/demands.md", "\n".join(headings))
    campaign.write("letters/open-letter.md", LETTER)
    domain = f"{'-'.join(['long'] * 12)}.{'a' * 60}.example"
    with (folder / "recipients.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["email", "name", "language", "role"])
        rows.writerows([f"p{one}@{domain}", *PEOPLE[one % len(PEOPLE)]] for one in range(LAST))
    campaign.petition("send", "open-letter", status=0)
    said = [
        (copy, status, f"d{copy % number}" if to_demand else "", "«Позже» لاحقا " + "o" * 90)
        for copy in range(1, LAST - 3)
        for status in RECORDED[copy % 4 :: 4]
        for to_demand in (True, False)
    ]
    with sqlite3.connect(folder / "rehearsal.db") as log:
        log.execute("UPDATE event SET at = printf('2026-01-%02dT09:00:00.000Z', 1 + id % 20)")
        for copy, state in enumerate(("failed", "bounced", "uncertain"), start=LAST - 2):
            values = (state, copy)
            log.execute(
                "UPDATE event SET to_state = ? WHERE copy = ? AND to_state = 'sent'", values
            )
            log.execute("UPDATE copy SET state = ?, reply = 'no such user' WHERE id = ?", values)
        log.executemany(
            "INSERT INTO answer (copy, status, demand, channel, quote, at, author)"
            " VALUES (?, ?, ?, 'phone', ?, '2026-01-30T09:00:00.000Z', 'ann')",
            said,
        )
    log.close()
    for kind, options in (("private", []), ("public", ["--public"])):
        file = f"{kind}-{number}.html"
        campaign.petition("report", "--rehearsal", "--html", file, *options, status=0)
        yield folder / file, demands


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> list[Path]:
    """The pages of a site in two directions, with answers of every kind."""
    campaign = SmallCampaign.at(tmp_path_factory.mktemp("published"))
    about = 'id = "water"\nlanguages = ["en", "ru", "kk", "he"]'
    campaign.change("petition.toml", 'id = "water"', about)
    text = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    signing = '[sign]\nmailto = "sign@campaign.example"\nurl = "https://forms.example/sign"\n'
    more = '[publish]\nurl = "https://campaign.example/"\n'
    campaign.write("petition.toml", f"{text}\n{signing}{more}")
    headings = (f"## Clean river {one} of the Ertis basin {{#d{one}}}\n" for one in range(1, 5))
    campaign.write("letters/demands.md", "\n".join(headings))
    for language in ("", ".ru", ".kk", ".he"):
        campaign.write(f"letters/open-letter{language}.md", PUBLISHED)
    rows = [f"{name},{role},{'o' * 90},yes" for name, _, role in PEOPLE if name]
    campaign.write("signatories.csv", "\n".join(["name,role,place,publish", *rows]))
    with (campaign.root / "recipients.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["email", "name", "language", "role", "public"])
        for one in range(LAST):
            table.writerow([f"p{one}@x.example", *PEOPLE[one % len(PEOPLE)], "yes" * (one % 2)])
    campaign.petition("send", "open-letter", status=0)
    for one, status in enumerate(RECORDED):
        words = "«Позже» لاحقا " + "o" * 90
        said = ("answer", f"p{one}@x.example", status, "--quote", words, "--channel", "door")
        campaign.petition(*said, *(["--demand", "d1"] if one % 2 else []), status=0)
    campaign.petition("publish", "site", "--rehearsal", status=0)
    pages = sorted((campaign.root / "site").rglob("*.html"))
    assert len(pages) == 4 * 5
    return pages


PUBLISHED = """\
---
to: recipients
subject: Our demands
reply_by: 2026-01-25
---
Dear {{ recipient.name or "friend" }},

# Heading

### Deeper

| Works | Year | Injured | Compensation | Representative | Answered |
|---|--:|--:|---|---|---|
| Zhezkazgantsvetmet | 2014 | 1,200 | unconditional | someone@union.example | no |

> [Read](https://example.org/)

{{ demands }}

{{ signatories }}
"""


MAIL = """\
Dear {{{{ recipient.name }}}},

{word} and https://example.org/{word} `{word}`

# {word}

1. One
   - {word}

> {word}

| Works | Year | Injured | Compensation | Representative | Answered |
|---|--:|--:|---|---|---|
| Zhezkazgantsvetmet | 2014 | 1,200 | unconditional | someone@union.example | no |

![The plan](the plan.png) and ![again](the plan.png){{width=300}}

---

{{{{ demands }}}}

{{{{ signatories }}}}

-- \nAnn
"""


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> list[Path]:
    """The HTML of a letter in two directions."""
    folder = tmp_path_factory.mktemp("letters")
    Image.new("RGB", (1_200, 800)).save(folder / "the plan.png")
    body, pages = MAIL.format(word="Zhezkazgantsvetmet" * 8), []
    for language in ("en", "he"):
        text = text_of(body, "Re: {{ recipient.name }}", language)
        merger = Merger(freeze_texts(text, root=folder), Signer(b"k" * 32))
        pages.append(folder / f"{language}.html")
        page = merger.html(person_of(name="Нұрлан <b> سلمى"), 1)
        pages[-1].write_text(page, encoding="utf-8")
    return pages


DARK = {"name": "prefers-color-scheme", "value": "dark"}
SCREENS = [(width, dark) for width in (320, 390, 1280) for dark in (False, True)]


def faults(browser, name: str) -> list[str]:
    """What is wrong with a page on a phone and on a desk, light and dark."""
    found = []
    for width, dark in SCREENS:
        browser.become(width, 800, dark=dark)
        screen = f"{width}-{'dark' if dark else 'light'}"
        _keep(browser, f"{name}-{screen}")
        if browser.value("document.scrollingElement.scrollWidth") > width:
            found.append(f"{screen}: scrolls sideways")
        found += [f"{screen}: {violation}" for violation in browser.violations()]
    return found


@pytest.mark.component("axe-core")
def test_everybody_can_read_a_report_on_any_screen(browser, reports):
    for page in reports:
        browser.open(page.as_uri())
        assert faults(browser, page.stem) == []


@pytest.mark.component("axe-core")
def test_everybody_can_read_a_letter_on_any_screen(browser, letters):
    for page in letters:
        browser.open(page.as_uri())
        found = faults(browser, f"letter-{page.stem}")
        # The landmarks are those of the mail program's page, in which a letter is shown.
        assert [one for one in found if not re.search("landmark-one-main|region:", one)] == []


def test_a_wide_table_of_a_letter_scrolls_by_keyboard_too(browser, letters):
    browser.open(letters[0].as_uri())
    browser.become(390, 800)
    table = "document.querySelector('table').parentElement"
    assert browser.value(f"{table}.scrollWidth > {table}.clientWidth")
    browser.press("Tab")
    browser.press("Tab")  # after the link above it
    assert browser.value(f"document.activeElement === {table}")


@pytest.mark.component("axe-core")
def test_everybody_can_read_the_page_of_a_link_on_any_screen(browser, campaign, base):
    for language in WORDS:
        browser.speak(language)
        for token in (give_token(campaign.root, "p3@x.example"), "0"):
            browser.open(f"{base}/u/{token}")
            assert faults(browser, f"link-{len(token)}-{language}") == []
    browser.speak("en")


@pytest.fixture(scope="module")
def signing(tmp_path_factory):
    campaign = signing_campaign(tmp_path_factory.mktemp("signing"))
    with running_endpoint(campaign, "--sign", before=AT_ONCE) as (base, _):
        yield campaign, base


def type_in(browser, **cells: str) -> None:
    for name, text in cells.items():
        browser.value(f"document.getElementById('{name}').focus()")
        browser.call("Input.insertText", text=text)


@pytest.mark.component("axe-core")
def test_somebody_signs_on_any_screen_with_the_keyboard_alone(browser, signing):
    campaign, base = signing
    browser.speak("en")
    browser.become(390, 800)
    browser.requests.clear()
    browser.open(f"{base}/sign")
    assert [one for one in browser.requests if not one.startswith("data:")] == [f"{base}/sign"]
    assert faults(browser, "sign-form") == []
    type_in(browser, name="Ann Reed", email="ann at home")
    browser.press("Enter")
    browser.wait_for("Page.loadEventFired")
    assert browser.value("document.activeElement.className") == "faults"  # it is read out first
    browser.press("Tab")
    browser.press("Enter")  # the link to the field
    assert browser.value("document.activeElement.id") == "email"
    assert faults(browser, "sign-fault") == []
    browser.value("document.getElementById('email').value = ''")
    type_in(browser, email="ann@mail.example")
    browser.press("Enter")
    browser.wait_for("Page.loadEventFired")
    assert faults(browser, "sign-sent") == []
    browser.open(link := link_for(campaign, base))
    assert faults(browser, "sign-ask") == []
    for expected in ("sign-yours", "sign-withdrawn"):
        browser.value("[...document.querySelectorAll('button')].at(-1).focus()")
        browser.press("Enter")
        browser.wait_for("Page.loadEventFired")
        assert faults(browser, expected) == []
    browser.become(640, 400, zoom=2)  # 1280 by 800 at 200 %
    browser.open(link)
    assert browser.value("document.scrollingElement.scrollWidth") <= 640
    assert browser.value("document.cookie") == ""


def test_a_printed_report_holds_every_demand_and_person_on_white(browser, reports):
    browser.become(1280, 800, dark=True)
    expected = [name for name, language, _ in PEOPLE if language in ("en", "kk")]
    for page, demands in reports.items():
        browser.open(page.as_uri())
        sheets = PdfReader(BytesIO(browser.printed())).pages
        words = re.sub(r"\s", "", "".join(sheet.extract_text() for sheet in sheets))
        missing = [one for one in demands + expected if re.sub(r"\s", "", one) not in words]
        assert missing == []
        browser.call("Emulation.setEmulatedMedia", media="print", features=[DARK])
        assert style(browser, "body", "backgroundColor") == "rgb(255, 255, 255)"
        browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.component("axe-core")
def test_everybody_can_read_the_site_on_any_screen(browser, site):
    for page in site:
        browser.requests.clear()
        browser.open(page.as_uri())
        assert browser.requests == [page.as_uri()]
        assert faults(browser, f"site-{page.parent.name}-{page.stem}") == []


def test_the_keyboard_leads_past_the_navigation_of_the_site(browser, site):
    browser.become(390, 800)
    browser.open(site[0].as_uri())
    browser.press("Tab")
    assert browser.value("document.activeElement.hash") == "#content"
    assert browser.value("document.activeElement.getBoundingClientRect().left >= 0")
    browser.press("Enter")
    assert browser.value("document.activeElement.tagName") == "MAIN"


def test_a_printed_site_is_white_and_whole(browser, site):
    browser.become(1280, 800, dark=True)
    for page in site:
        browser.open(page.as_uri())
        words = PdfReader(BytesIO(browser.printed())).pages[0].extract_text()
        assert re.search(r"Rehearsal|Репетиция|Дайындық", words), page
        browser.call("Emulation.setEmulatedMedia", media="print", features=[DARK])
        assert style(browser, "body", "backgroundColor") == "rgb(255, 255, 255)"
        browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.component("java", "vnu-jar")
def test_every_page_is_valid(reports, letters, site, tmp_path):
    pages, made = (
        [*reports, *letters, *site],
        Pages("قافلة <b>الماء</b>", "answers@campaign.example"),
    )
    for language, words in WORDS.items():
        for name in words.keys() - {"button"}:
            pages.append(tmp_path / f"{language}-{name}.html")
            pages[-1].write_text(made.html(name, language), encoding="utf-8")
    assert invalid(pages) == ""


@pytest.mark.component("java", "vnu-jar")
@pytest.mark.parametrize("language", SIGN_WORDS)
def test_the_pages_of_signing_are_valid(signing, tmp_path, language):
    campaign, base = signing
    address = f"{language}@mail.example"
    spoken = {"Accept_Language": language}
    sent = sign(base, ANN | {"email": address}, **spoken)
    link = link_for(campaign, base, address)
    typed = {"name": '"><b>', "email": "x", "place": "see https://evil.example"}
    shown = {
        "form": ask(f"{base}/sign", **spoken),
        "sent": sent,
        "faults": sign(base, typed, **spoken),
        "trapped": sign(base, ANN | {"comment": "buy"}, **spoken),
        "large": sign(base, {"name": "x" * 40_000}, **spoken),
        "unknown": ask(f"{base}/sign/0", **spoken),
        "ask": ask(link),
    }
    fields = shown["ask"].form.fields
    shown["wrong"] = ask(link, fields | {"name": ""})
    shown["confirmed"] = ask(link, fields)
    shown["yours"] = ask(link)
    shown["withdrawn"] = ask(link, {"do": "withdraw"})
    statuses = [page.status for page in shown.values()]
    assert statuses == [200, 200, 422, 422, 413, 404, 200, 422, 200, 200, 200]
    pages = [tmp_path / f"{name}.html" for name in shown]
    for path, page in zip(pages, shown.values(), strict=True):
        assert page.headers["Content-Language"] == language
        path.write_text(page.text, encoding="utf-8")
    assert invalid(pages) == ""


def invalid(pages: Iterable[Path]) -> str:
    """What the Nu Html Checker finds wrong with pages."""
    checker = NODE_MODULES / "vnu-jar" / "build" / "dist" / "vnu.jar"
    checked = subprocess.run(
        ["java", "-jar", checker, *pages], capture_output=True, text=True, check=False
    )
    assert checked.stderr or checked.returncode == 0
    return checked.stderr


def _keep(browser, name: str) -> None:
    """Pictures to be looked at, where somebody wants them."""
    if folder := os.environ.get("KEEP_PICTURES"):
        browser.picture(Path(folder) / f"{name}.png")


@pytest.mark.component("axe-core")
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_the_book_of_copies_is_read_searched_and_printed(
    browser, tmp_path: Path, width: int, dark: bool
):
    campaign = SmallCampaign.at(tmp_path, people=4)
    campaign.write("recipients.csv", _hostile(campaign))
    campaign.change("letters/open-letter.md", "**clean**", "[clean](https://campaign.example/off)")
    campaign.petition("preview", "open-letter", "--book", "book.html", status=0)
    url = (campaign.root / "book.html").as_uri()
    browser.become(width, 900, dark=dark)
    browser.requests.clear()
    browser.open(url)
    assert not browser.violations()
    assert browser.value("document.documentElement.scrollWidth") <= width
    browser.value("document.querySelector('.copy').open = true")
    drawn = "document.querySelector('iframe')?.contentDocument?.body?.textContent.includes('Dear')"
    wait_until(lambda: browser.value(drawn) is True)
    _keep(browser, f"book-{width}")
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.querySelector('iframe').contentDocument.scripts.length") == 0
    link = "document.querySelector('iframe').contentDocument.querySelector('a')"
    assert browser.value(f"[{link}.title, {link}.href]") == ["https://campaign.example/off", ""]
    assert browser.requests == [url]
    browser.value("document.querySelector('#find').focus()")
    browser.call("Input.insertText", text="P3@X")
    assert browser.value("document.querySelectorAll('.copy:not([hidden])').length") == 1
    text = PdfReader(BytesIO(browser.printed())).pages[1].extract_text()
    assert "p3@x.example" in text
    assert "must be clean" in text
    assert browser.value("window.hurt") is None


def _hostile(campaign: SmallCampaign) -> str:
    rows = (campaign.root / "recipients.csv").read_text(encoding="utf-8")
    return rows.replace("P1,", "</script><img src=x onerror=window.hurt=1>,")
