"""petition serve: the page, the one click, and what comes that is neither."""

import re
import socket
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from petition.extras import how_to_install
from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.servers.endpoint import give_token, running_endpoint

CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Answer:
    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, parts.path, body, named)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def click(url: str, body: bytes = CLICK, **headers: str) -> Answer:
    return ask(url, "POST", body, **{"Content_Type": FORM["Content-Type"]} | headers)


class Stand:
    """A campaign whose letter was sent, and the endpoint that serves its log."""

    def __init__(self, campaign: SmallCampaign, base: str, said: list[str]) -> None:
        self.campaign = campaign
        self.base = base
        self.said = said

    def url(self, who: str) -> str:
        return f"{self.base}/u/{give_token(self.campaign.root, f'{who}@x.example')}"

    def is_suppressed(self, who: str) -> bool:
        listed = self.campaign.petition("suppress", status=0).out
        return f"{who}@x.example" in listed


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    campaign = SmallCampaign.at(tmp_path_factory.mktemp("served"), people=6)
    campaign.petition("send", "open-letter", status=0)
    with running_endpoint(campaign) as (base, said):
        yield Stand(campaign, base, said)


@pytest.mark.parametrize("behind", [")", ".", ",%20", ";", "%3E", "%C2%A0", "/"])
def test_what_programs_take_for_a_part_of_the_link_is_left_out(stand, behind):
    assert ask(stand.url("p1") + behind).status == 200


@pytest.mark.parametrize("changed", ["{}0", "{}/x", "abc/{}", "{:.31}", ""])
def test_any_other_link_is_unknown_and_names_an_address(stand, changed):
    base, _, token = stand.url("p1").rpartition("/")
    page = ask(f"{base}/{changed.format(token)}")
    assert page.status == 404
    assert "mailto:" in page.text


def test_opening_the_page_unsubscribes_nobody(stand):
    url = stand.url("p1")
    page = ask(url)
    assert page.status == 200
    assert page.text.count("<button") == 1
    assert '<form method="post">' in page.text
    head = ask(url, "HEAD")
    assert (head.status, head.text) == (200, "")
    assert not stand.is_suppressed("p1")


def test_one_click_is_enough_and_can_be_repeated(stand):
    url = stand.url("p2")
    for _ in range(3):
        done = click(url)
        assert done.status == 200
        assert "Set-Cookie" not in done.headers
        assert "Location" not in done.headers
    assert stand.is_suppressed("p2")
    assert not stand.is_suppressed("p3")
    again = ask(url)
    assert again.text == done.text
    assert "<button" not in again.text


def test_a_click_can_be_multipart(stand):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
        b"One-Click\r\n--x--\r\n"
    )
    done = click(stand.url("p3"), body, Content_Type="multipart/form-data; boundary=x")
    assert done.status == 200
    assert stand.is_suppressed("p3")


@pytest.mark.parametrize("body", [b"", b"x=y", b"List-Unsubscribe=Two-Click", b"\xff\xfe\x00"])
def test_any_other_post_does_nothing(stand, body):
    assert click(stand.url("p4"), body).status == 400
    assert not stand.is_suppressed("p4")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_do_nothing(stand, method):
    answer = ask(stand.url("p4"), method, CLICK)
    assert answer.status == 405
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))  # RFC 9110 15.5.6
    assert not stand.is_suppressed("p4")


@pytest.mark.parametrize(
    "token",
    ["0" * 32, "abc", "x" * 5_000, "%00", "..%2f..%2fetc", "%F0%9F%92%A3", "'; DROP TABLE copy;--"],
)
@pytest.mark.parametrize("how", [ask, click])
def test_an_unknown_link_is_a_404(stand, token, how):
    page = how(f"{stand.base}/u/{token.replace(' ', '%20')}")
    assert page.status == 404
    if "%2f" not in token:
        assert "This link is not known" in page.text
        assert 'href="mailto:answers@campaign.example"' in page.text


def test_half_a_token_is_not_enough(stand):
    url = stand.url("p4")
    assert click(url[:-16] + "0" * 16).status == 404
    assert not stand.is_suppressed("p4")


def test_there_are_no_other_pages(stand):
    for path in ("/", "/u/", "/u", "/docs", "/openapi.json", "/u/a/b", "/favicon.ico"):
        assert ask(stand.base + path).status == 404, path


def test_a_slash_too_many_redirects_to_no_host(stand):
    answer = ask(stand.url("p4") + "/", Host="evil.example")
    assert (answer.status, answer.headers["Location"]) == (200, None)
    assert "evil.example" not in answer.text


def test_the_page_loads_nothing_and_runs_nothing(stand):
    for page in (ask(stand.url("p1")), ask(f"{stand.base}/u/0")):
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Server"] is None
        assert not re.search(r"<script|<img|<link|https?://|url\(", page.text)
        assert "x.example" not in page.text


@pytest.mark.parametrize(
    ("accepted", "language", "button"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru", "Отписаться"),
        ("kk", "kk", "Жазылымнан бас тарту"),
        ("xx, de;q=0.2, fr;q=0.7", "fr", "Se désabonner"),
        ("en;q=0, uk", "uk", "Відписатися"),
        ("", "en", "Unsubscribe"),
        ("*;q=1,,;;=", "en", "Unsubscribe"),
        ("zh", "en", "Unsubscribe"),
    ],
)
def test_the_page_speaks_the_readers_language(stand, accepted, language, button):
    page = ask(stand.url("p1"), Accept_Language=accepted)
    assert f'<html lang="{language}">' in page.text
    assert f"<button>{button}</button>" in page.text
    assert page.headers["Content-Language"] == language


def test_a_body_that_is_too_large_is_not_read_to_its_end(stand):
    assert click(stand.url("p4"), CLICK + b"&x=" + b"y" * 10_000).status == 413
    assert not stand.is_suppressed("p4")


def test_headers_that_are_too_large_are_refused(stand):
    parts = urlsplit(stand.url("p4"))
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        head = f"POST {parts.path} HTTP/1.1\r\nHost: a\r\nContent-Length: 26\r\nX-Long: "
        with suppress(ConnectionError):  # it hangs up before all of it is said
            connection.sendall(head.encode() + b"y" * 100_000 + b"\r\n\r\n" + CLICK)
            assert connection.recv(100)[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 431", b""}
    assert not stand.is_suppressed("p4")


def test_forwarded_and_host_headers_are_ignored(stand):
    page = ask(stand.url("p1"), X_Forwarded_For="6.6.6.6", X_Forwarded_Host="evil.example",
               Host="evil.example", X_Forwarded_Proto="https")  # fmt: skip
    assert page.status == 200
    assert "evil.example" not in page.text + str(page.headers)


def test_broken_requests_do_not_stop_it(stand):
    parts = urlsplit(stand.base)
    for noise in (b"", b"GET /u/", b"\x16\x03\x01\x00\xff", b"POST /u/0 HTTP/1.1\r\nHost: a\r\n"):
        with socket.create_connection((parts.hostname, parts.port), 10) as connection:
            connection.sendall(noise)
    assert ask(stand.url("p1")).status == 200


def test_an_unsubscribed_address_gets_no_next_letter(stand):
    text = (stand.campaign.root / "letters/open-letter.md").read_text(encoding="utf-8")
    stand.campaign.write("letters/second.md", text)
    assert click(stand.url("p5")).status == 200
    stand.campaign.petition("send", "second", status=0)
    states = stand.campaign.states("second")
    assert states["p5"] == "skipped"
    assert states["p6"] == "sent"


def test_its_output_identifies_nobody(tmp_path):
    campaign = SmallCampaign.at(tmp_path, people=2)
    campaign.petition("send", "open-letter", status=0)
    with running_endpoint(campaign) as (base, said):
        token = give_token(campaign.root, "p1@x.example")
        ask(f"{base}/u/{token}", User_Agent="Spy/1.0")
        click(f"{base}/u/{token}")
        ask(f"{base}/u/0123456789")
    text = "".join(said)
    assert "GET 200: asked, open-letter" in text
    assert "POST 200: unsubscribed, open-letter" in text
    assert "GET 404: unknown link" in text
    assert "nobody received anything" in text  # it is the log of a rehearsal
    for secret in (token, "p1", "x.example", "Spy", "0123456789"):
        assert secret not in text


def test_paths_are_answered_with_and_without_the_proxys_prefix(tmp_path):
    campaign = SmallCampaign.at(tmp_path, people=1)
    campaign.petition("send", "open-letter", status=0)
    with running_endpoint(campaign, "--root-path", "/water/") as (base, _):
        token = give_token(campaign.root, "p1@x.example")
        assert base.endswith("/water")
        assert ask(f"{base}/u/{token}").status == 200
        assert ask(f"{base.removesuffix('/water')}/u/{token}").status == 200
        assert click(f"{base}/u/{token}").status == 200


def test_it_says_why_it_cannot_serve(campaign: SmallCampaign):
    assert "nothing has been sent yet" in campaign.petition("serve", status=2).err
    campaign.petition("send", "open-letter", status=0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot listen" in campaign.petition("serve", "--port", port, status=2).err


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_without_its_libraries_it_says_what_to_install(campaign: SmallCampaign, library: str):
    hide = f"import sys; sys.modules['{library}'] = None; from petition.cli.main import run; run()"
    campaign.write("hide.py", hide)
    done = subprocess.run(
        [sys.executable, "hide.py", "serve"],
        cwd=campaign.root,
        env=campaign.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert how_to_install("serve") in done.stderr.decode()
    assert "Internal error" not in done.stderr.decode()
