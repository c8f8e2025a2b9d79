"""petition report: what the page tells, to whom, and that a browser needs nothing else for it."""

import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from petition.report.public import office_of
from tests import PATIENCE
from tests.acceptance.small import SmallCampaign

# What Chromium asks for by itself, with every page or none.
_OWN = re.compile(rb"google|gstatic|gvt1|chromium")
PEOPLE = (
    "id,email,name,role\n"
    "p1,p1@x.example,Ann <b>Bold</b>,Chair of the Board\n"
    "p2,p2@x.example,Private Person,\n"
    "p3,p3@x.example,Cid Office,Clerk p3@x.example\n"
)


@pytest.fixture
def answered(campaign: SmallCampaign) -> SmallCampaign:
    """A campaign whose letter was sent a month ago, with answers to it."""
    campaign.write("recipients.csv", PEOPLE)
    campaign.change("letters/open-letter.md", "reply_by: 14 days", "reply_by: 2026-01-05")
    campaign.change("letters/open-letter.md", '{{ recipient.town or "our town" }}', "our town")
    campaign.petition("send", "open-letter", status=0)
    said = [
        (1, "stalled", "", "phone", "Call desk@y.example <script>alert(1)</script>"),
        (1, "meeting", "river", "phone", "Thursday."),
        (2, "stalled", "", "door", "My own private words."),
        (3, "stalled", "", "mail", "Not I. Ask PRIVATE\nPerson.\x1b]0;title\x07\x9b1m"),
    ]
    with sqlite3.connect(campaign.root / "rehearsal.db") as database:
        database.execute("UPDATE event SET at = '2026-01-01T09:00:00.000Z'")
        database.executemany(
            "INSERT INTO answer (copy, status, demand, channel, quote, at, author)"
            " VALUES (?, ?, ?, ?, ?, '2026-01-03T09:00:00.000Z', 'ann')",
            said,
        )
    database.close()
    return campaign


def page(campaign: SmallCampaign, *options: str) -> str:
    campaign.petition("report", "--html", "report.html", "--rehearsal", *options, status=0)
    return (campaign.root / "report.html").read_text(encoding="utf-8")


def test_a_report_of_a_rehearsal_says_so_and_is_not_published(answered: SmallCampaign):
    public = ("report", "--html", "public.html", "--public")
    assert "nobody received anything" in answered.petition(*public, status=2).err
    assert not (answered.root / "public.html").exists()
    for options in ([], ["--public"]):
        assert "nobody received anything" in page(answered, *options)
    assert "nobody received anything" in answered.petition("report", status=0).out


def text_of(markup: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", markup, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_the_page_shows_deliveries_answers_stalls_and_days(answered: SmallCampaign):
    markup = page(answered)
    text = text_of(markup)
    assert "sent 3 not delivered 0 answered 1 unanswered 2 overdue 2 times stalled 3" in text
    ann = "Ann &lt;b&gt;Bold&lt;/b&gt; Chair of the Board stalled the letter as a whole"
    assert f"{ann} meeting Clean the river" in text
    assert "Clean the river 1 meeting 2 no answer" in text
    assert "2 days, answered" in text
    assert re.search(r"Private Person \d+ days, overdue", text)
    assert "My own private words. Private Person , 2026-01-03 , at the door" in text
    assert "Thursday. Ann" in text
    assert stat.S_IMODE((answered.root / "report.html").stat().st_mode) == 0o600
    shown = answered.petition("report", status=0).out
    assert re.search(r"answered +1 of 3 people", shown)


def test_the_page_and_the_status_agree_on_who_is_overdue(answered: SmallCampaign):
    """A later revision with a later date, to others alone, gives nobody else more time."""
    answered.change("letters/open-letter.md", "reply_by: 2026-01-05", "reply_by: 2126-01-05")
    answered.write("recipients.csv", PEOPLE + "p4,p4@x.example,Dee New,\n")
    answered.petition("send", "open-letter", "--revise", status=0)
    letters = answered.petition("status", "--answers", "--json", status=0).json["letters"]
    late = [one["name"] for letter in letters for one in letter["people"] if one["overdue"]]
    assert re.findall(r"(\w+ \w+) \d+ days, overdue", text_of(page(answered))) == late
    assert late


def test_the_public_page_has_no_address_and_no_name_without_an_office(answered: SmallCampaign):
    markup = page(answered, "--public")
    assert "@" not in re.sub(r"<style>.*?</style>", "", markup, flags=re.DOTALL)
    for private in ("Private Person", "My own private words", "Thursday."):
        assert private not in markup
    assert "Recipient 2" in markup
    assert "Call [address]" in markup
    assert "Not I. Ask Recipient 2." in markup
    assert "Clerk [address]" in markup


def test_the_private_page_alone_names_who_was_not_delivered(answered: SmallCampaign):
    with sqlite3.connect(answered.root / "rehearsal.db") as database:
        database.execute(
            "UPDATE copy SET state = 'failed', reply_code = 550, reply = 'mailbox unknown'"
            " WHERE folded = 'p2@x.example'"
        )
    database.close()
    lost = "Private Person p2@x.example open-letter : failed 550"
    assert lost in text_of(page(answered))
    assert "mailbox unknown" not in page(answered, "--public")


def test_a_run_of_days_is_drawn_and_its_course_told_in_words(answered: SmallCampaign):
    with sqlite3.connect(answered.root / "rehearsal.db") as database:
        database.execute("UPDATE event SET at = printf('2026-01-%02dT09:00:00.000Z', id)")
    database.close()
    markup = page(answered)
    drawn = re.findall(r"<div>sent</div><div><svg [^>]*aria-label=\"(.*?)\"", markup)
    (course,) = [[int(number) for number in re.findall(r"(\d+) at 2026", one)] for one in drawn]
    assert course == sorted(course)
    assert (course[0], course[-1], len(set(course)) > 2) == (0, 3, True)


def test_cells_and_answers_are_escaped_and_nothing_is_loaded(
    answered: SmallCampaign,
):
    markup = page(answered)
    assert "<script" not in markup
    assert "<b>Bold" not in markup
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", markup)
    assert "\u241b]0;title\u2407" in markup
    assert not re.search(r"(?:src|href|action|data)=|url\(|@import|https?:", markup)


def test_a_forgotten_person_is_not_named(answered: SmallCampaign):
    answered.petition("forget", "p2@x.example", "--yes", status=0)
    markup = page(answered)
    assert "Private Person" not in markup
    assert "somebody who was forgotten" in markup


def test_a_page_is_replaced_but_not_through_a_link(answered: SmallCampaign):
    page(answered)
    page(answered, "--public")
    (answered.root / "link.html").symlink_to(answered.root / "petition.toml")
    refused = answered.petition("report", "--html", "link.html", status=1)
    assert "symbolic link" in refused.err
    assert "[campaign]" in (answered.root / "petition.toml").read_text()
    assert [one.name for one in answered.root.glob(".*report*")] == []


@pytest.mark.parametrize(
    ("fields", "office"),
    [
        ({"title": "Chairman"}, "Chairman"),
        ({"title": "Dr."}, ""),
        ({"title": "Ms", "role": "Mayor"}, "Mayor"),
        ({"title": " ", "name": "Ann"}, ""),
    ],
)
def test_a_form_of_address_is_not_an_office(fields: dict[str, str], office: str):
    assert office_of(fields) == office


# ---- colours


def palettes() -> list[dict[str, str]]:
    style = (files("petition.report") / "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", part)) for part in (light, dark)]
    assert set(found[0]) == set(found[1])
    return found


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa_and_areas_that_of_graphics(palette: dict[str, str]):
    pairs = [(text, ground) for text in ("ink", "soft", "accent") for ground in ("paper", "card")]
    pairs += [(f"{name[:-2]}-t", name) for name in palette if name.endswith("-b")]
    weak = [pair for pair in pairs if contrast(*(palette[name] for name in pair)) < 4.5]
    states = ("sent", "waiting", "bounced", "failed", "uncertain", "skipped")
    weak += [(name,) for name in states if contrast(palette[name], palette["paper"]) < 3]
    assert weak == []


# ---- a browser


@contextmanager
def counting_proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that lets nothing through, and keeps the first line of what it is asked for."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(4096).split(b"\r\n")[0])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def browse(path: Path, profile: Path) -> tuple[str, list[bytes]]:
    """What Chromium makes of a page, and what it asked for beyond the file."""
    with counting_proxy() as (port, asked):
        done = subprocess.run(
            [
                shutil.which("chromium") or "chromium",
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                f"--user-data-dir={profile}",
                f"--proxy-server=http://127.0.0.1:{port}",
                "--proxy-bypass-list=<-loopback>",
                "--virtual-time-budget=2000",
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    # A connection that it opens ahead and never uses asks for nothing.
    return done.stdout.decode(), [line for line in asked if line and not _OWN.search(line)]


@pytest.mark.component("chromium")
def test_a_browser_shows_the_page_and_loads_nothing(
    answered: SmallCampaign, tmp_path_factory: pytest.TempPathFactory
):
    markup = page(answered)
    profile = tmp_path_factory.mktemp("profile")
    shown, asked = browse(answered.root / "report.html", profile)
    assert asked == []
    assert "Chair of the Board" in text_of(shown)
    assert shown.count("<svg") == markup.count("<svg") == 3
    # An image that came in by mistake would be refused by the page's own policy...
    image = '<main><img src="http://tracker.example/x.png">'
    foreign = answered.write("foreign.html", markup.replace("<main>", image))
    assert browse(foreign, profile)[1] == []
    # ... and without the policy this test would see it.
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", foreign.read_text())
    assert browse(answered.write("bare.html", bare), profile)[1] != []


@pytest.mark.parametrize("file", ["rehearsal.db", "petition.toml", "letters"])
def test_it_replaces_no_file_that_is_not_a_report(answered: SmallCampaign, file: str):
    page(answered)
    page(answered)  # its own it replaces
    path = answered.root / file
    before = path.read_bytes() if path.is_file() else None
    refused = answered.petition("report", "--html", file, status=1)
    assert file in refused.err
    assert before == (path.read_bytes() if path.is_file() else None)
