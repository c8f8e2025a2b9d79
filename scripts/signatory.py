"""Does what people do who sign, in a browser or a mail program: for `make demo-sign`.

    python signatory.py form BASE NAME=TEXT...           fill in the form and send it
    python signatory.py press BASE FOLDER EMAIL BUTTON   open the link of the mail; press a button
    python signatory.py mail FOLDER FROM                 send a mail that signs, read from stdin
    python signatory.py reply FOLDER FROM WORDS          answer the mail that asks, and quote it

BASE is where `petition serve` listens, FOLDER a campaign folder whose mails go to ./outbox and come
from the Maildir `answers`, and BUTTON is `confirm` or `withdraw`.
"""

import email
import email.policy
import re
import sys
import time
from email.message import EmailMessage
from email.utils import parseaddr
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

SIGN = "sign@campaign-kazakhstan.example"
PATIENCE = 60  # seconds for a page, or for a mail
LEAST_SECONDS = 3.5  # `petition serve` takes who fills in the form in less than 3 for a program


class _Page(HTMLParser):
    """A page: the fields of its forms, as a browser sends them, and what it tells first.

    Args:
        url: Where it is.
        fields: Of the form that is sent there; None: the page is only opened.
    """

    def __init__(self, url: str, fields: dict[str, str] | None = None) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.told = ""
        self._tells = False
        self._select = ""
        where = urlsplit(url)
        server = HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
        if fields is None:
            server.request("GET", where.path)
        else:
            body = urlencode(fields)
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            server.request("POST", where.path, body, kind)
        with server.getresponse() as answer:
            text = answer.read().decode()
            if answer.status != 200:
                sys.exit(f"{where.path}: {answer.status} {answer.reason}")
        server.close()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
        elif tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.forms[-1][given["name"]] = given.get("value", "")
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self.forms[-1][self._select] = given["value"]
        elif tag == "h1" or given.get("class") == "told":
            self._tells = True
        elif given.get("class") == "go":  # a link to another page
            self._tells = False

    def handle_endtag(self, tag: str) -> None:
        if self._tells and tag in {"h1", "p"}:
            self.told += "\n"
        if tag == "div":
            self._tells = False

    def handle_data(self, data: str) -> None:
        if self._tells:
            self.told += data


def fill_in(base: str, cells: list[str]) -> None:
    """Sign with the form."""
    [form] = _Page(f"{base}/sign").forms
    time.sleep(LEAST_SECONDS)
    _tell(_Page(f"{base}/sign", form | dict(cell.split("=", 1) for cell in cells)))


def press(base: str, root: Path, address: str, button: str) -> None:
    """Open the page that somebody's mail leads to, and press a button there."""
    [token] = set(re.findall(r"/sign/([0-9a-f]{32})", _text(_mail_to(root, address))))
    url = f"{base}/sign/{token}"
    [form] = [form for form in _Page(url).forms if form["do"] == button]
    _tell(_Page(url, form))


def send(root: Path, sender: str, text: str) -> None:
    """Sign by mail."""
    _deliver(root, sender, "I sign", text)


def reply(root: Path, sender: str, words: str) -> None:
    """Answer the mail that asks for a confirmation, above the quotation."""
    asked = _mail_to(root, parseaddr(sender)[1])
    quoted = "".join(f"> {line}\n" for line in _text(asked).splitlines())
    text = f"{words}\n\nOn Monday, {asked['From']} wrote:\n{quoted}"
    _deliver(root, sender, f"Re: {asked['Subject']}", text, asked["Message-ID"])


def _deliver(root: Path, sender: str, subject: str, text: str, to: str = "") -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, SIGN, subject
    if to:
        mail["In-Reply-To"] = mail["References"] = to
    mail.set_content(text)
    maildir = root / "answers"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    number = len(list((maildir / "new").iterdir())) + 1
    mail["Message-ID"] = f"<sign-{number}@mail.example>"
    (maildir / "new" / f"sign-{number}.example").write_bytes(bytes(mail))
    print(f"  From: {sender}\n  Subject: {subject}\n")
    print("".join(f"  {line}".rstrip() + "\n" for line in text.splitlines()))


def _mail_to(root: Path, address: str) -> EmailMessage:
    """The mail to an address, once it is there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for path in (root / "outbox" / "new").glob("*"):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if address in str(mail["To"]):
                return mail
        time.sleep(0.1)
    sys.exit(f"There is no mail to {address} in {root}/outbox.")


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""


def _tell(page: _Page) -> None:
    print("".join(f"  {line}\n" for line in page.told.splitlines()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["form", base, *cells]:
            fill_in(base, cells)
        case ["press", base, folder, address, button]:
            press(base, Path(folder), address, button)
        case ["mail", folder, sender]:
            send(Path(folder), sender, sys.stdin.read())
        case ["reply", folder, sender, words]:
            reply(Path(folder), sender, words)
        case _:
            sys.exit(__doc__)
