"""Somebody who signs: opens the form, fills it in, finds the mail and its link."""

import email
import email.policy
import re
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests import PATIENCE
from tests.acceptance.crew import wait_until
from tests.acceptance.small import SmallCampaign

SETTINGS = """
[sign]
page = "https://campaign.example/sign"
"""
# The form need not be filled in slowly, and what has changed is shown at once.
AT_ONCE = "from petition.web import sign, live; sign._LEAST_SECONDS = 0; live._SECONDS = 0.0"
ANN = {
    "name": "Ann Reed",
    "email": "ann@mail.example",
    "role": "Nurse",
    "organisation": "",
    "place": "Leeds",
    "country": "GB",
    "publish": "yes",
}
TOKEN = re.compile(r"https://campaign\.example/sign/([0-9a-f]{32})")


def signing_campaign(root: Path, more: str = "") -> SmallCampaign:
    """A campaign whose letter can be signed."""
    campaign = SmallCampaign.at(root)
    text = (root / "petition.toml").read_text(encoding="utf-8")
    campaign.write("petition.toml", text + SETTINGS + more)
    return campaign


class _Form(HTMLParser):
    """What a browser would send of a page, and what it shows of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.names: list[str] = []
        self.described: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self._select = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag in {"input", "select"}:
            self.names.append(name)
            if described := given.get("aria-describedby"):
                self.described[name] = described
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.fields.setdefault(name, given.get("value") or "")
        if tag == "select":
            self._select = name
        if tag == "option" and "selected" in given:
            self.fields[self._select] = given.get("value") or ""
        if tag not in {"input", "meta", "link", "br", "img", "hr"}:
            self._open.append(given.get("id") or "")

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for one in filter(None, self._open):
            self.ids[one] = self.ids.get(one, "") + data


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: int
    headers: HTTPMessage
    text: str
    form: _Form = field(default_factory=_Form)

    @property
    def words(self) -> str:
        body = re.sub(r"<style>.*?</style>", "", self.text, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", body).split())

    def fault(self, name: str) -> str:
        """What is said beside a field, for screen readers too."""
        beside = self.form.described.get(name, "").split()
        return self.form.ids.get(f"{name}-fault", "") if f"{name}-fault" in beside else ""


def ask(url: str, body: dict[str, str] | bytes | None = None, **headers: str) -> Page:
    """GET a page, or POST a form there."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = urlencode(body) if isinstance(body, dict) else body
    if body is not None:
        named = {"Content-Type": "application/x-www-form-urlencoded"} | named
    try:
        where = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if body is None else "POST", where, data, named)
        response = connection.getresponse()
        page = Page(response.status, response.headers, response.read().decode("utf-8", "replace"))
    finally:
        connection.close()
    if str(page.headers["Content-Type"]).startswith("text/html"):
        page.form.feed(page.text)
    return page


def sign(base: str, cells: dict[str, str] | None = None, **headers: str) -> Page:
    """Open the form and send it, filled in."""
    form = ask(f"{base}/sign", **headers).form.fields
    return ask(f"{base}/sign", form | (ANN if cells is None else cells), **headers)


def mails(campaign: SmallCampaign) -> list[email.message.EmailMessage]:
    """The mails that the sandbox kept, the oldest first."""
    found = []
    for path in sorted((campaign.root / "outbox/new").glob("*")):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(mail, email.message.EmailMessage)
        found.append(mail)
    return found


def link_for(campaign: SmallCampaign, base: str, address: str = ANN["email"]) -> str:
    """The page that the newest mail to an address leads to, once it is there."""

    def to_them() -> list[str]:
        return [one.get_content() for one in mails(campaign) if address in one["To"]]

    wait_until(lambda: bool(to_them()))
    found = TOKEN.search(to_them()[-1])
    assert found
    return f"{base}/sign/{found[1]}"


def wait_for_mails(campaign: SmallCampaign, number: int) -> None:
    wait_until(lambda: len(mails(campaign)) >= number)
    time.sleep(0.2)  # one too many would come at once
