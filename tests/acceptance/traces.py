"""Somebody with every kind of trace in a campaign, and a walk over whatever holds one.

The walk asks the database itself for its tables and columns, and takes mails and JSON apart by its
own means, so that it finds what the program may have overlooked.
"""

import base64
import email
import email.policy
import json
import quopri
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from petition.identity import Identity, Signer
from petition.outbox.log import Log
from tests.acceptance.small import LETTER, SETTINGS, SmallCampaign
from tests.servers.counting import counting_server

ADDRESS = "Eva.Szabo@x.example"
LOCAL_PART = "eva.szabo"
NAME = "Éva Szabó-Reed"
ROW_ID = "row-of-eva-17"
CELL = "Unicorn Lane 7"
WORDS = "purple elephants"  # that she alone has written

PEOPLE = (
    "id,email,name,town,assistant\n"
    f"{ROW_ID},{ADDRESS},{NAME},{CELL},\n"
    f"p2,p2@x.example,P Two,Leeds,{NAME} <{ADDRESS}>\n"
    "p3,p3@x.example,P Three,Leeds,\n"
    "p4,p4@x.example,P Four,Leeds,\n"
)
SIGNATORIES = (
    "name,kind,email,publish\nRiver Friends,organisation,,yes\n"
    f"{NAME},individual,{ADDRESS},yes\nAnn Reed,individual,ann@y.example,yes\n"
)
FOLLOW_UP = """\
---
follows: open-letter
---
Dear {{ recipient.name }},

{% for one in previous.answers %}
- {{ one.quote }}
{% endfor %}
"""
SECOND = f"""\
---
to: recipients
subject: "A second one"
cc: ["{NAME} <{ADDRESS}>"]
---
Dear {{{{ recipient.name }}}} (through {{{{ recipient.assistant or "nobody" }}}}), this is all.
"""


class Cell(NamedTuple):
    """A value of the log: where it stands, and what it is."""

    table: str
    column: str
    row: int
    value: str | bytes


@dataclass
class Scene:
    """The campaign, and what Éva is known by.

    Args:
        campaign: Reaches no server.
        database: Its log.
        tokens: Of the return paths of the letters to her.
    """

    campaign: SmallCampaign
    database: Path
    tokens: list[str]

    @property
    def needles(self) -> list[str]:
        """What must be found nowhere."""
        return [ADDRESS, LOCAL_PART, NAME, ROW_ID, CELL, WORDS, *self.tokens]

    def cells(self) -> Iterator[Cell]:
        """Every text and every blob of every table and column."""
        with sqlite3.connect(self.database) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                found = connection.execute(f'SELECT rowid, * FROM "{table}"')
                names = [one[0] for one in found.description][1:]
                for row, *values in found.fetchall():
                    for column, value in zip(names, values, strict=True):
                        if isinstance(value, str | bytes):
                            yield Cell(table, column, row, value)
        connection.close()

    def traces(self) -> list[Cell]:
        """The values that hold a trace of her."""
        needles = [needle.casefold() for needle in self.needles]
        return [
            cell
            for cell in self.cells()
            if any(needle in text.casefold() for text in texts(cell.value) for needle in needles)
        ]

    def raw_traces(self) -> list[str]:
        """What of her stands in the bytes of the log and its side files, in any usual encoding."""
        found = []
        for path in sorted(self.database.parent.glob(f"{self.database.name}*")):
            data = path.read_bytes().lower()
            found += [
                f"{needle} in {path.name}"
                for needle in self.needles
                for form in forms(needle)
                if form.lower() in data
            ]
        return found


def texts(value: str | bytes) -> Iterator[str]:
    """A value as it stands, and whatever it holds in JSON or in a mail."""
    if isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
        mail = email.message_from_bytes(value, policy=email.policy.default)
        for part in mail.walk():
            yield from (str(header) for header in part.values())
            if part.get_content_maintype() == "text":
                yield " ".join(str(part.get_content()).split())
        return
    yield value
    if value.startswith(("{", "[")):
        with suppress(ValueError):  # the template of a letter begins so too
            yield from leaves(json.loads(value))


def leaves(found: object) -> Iterator[str]:
    """Every text in a JSON value; one that is JSON again is taken apart too."""
    if isinstance(found, dict):
        for key, inner in found.items():
            yield from (str(key), *leaves(inner))
    elif isinstance(found, list):
        for inner in found:
            yield from leaves(inner)
    elif isinstance(found, str):
        yield from texts(found) if found.startswith(("{", "[")) else [found]


def forms(text: str) -> Iterator[bytes]:
    """A text as a mail or a database may hold it."""
    data = text.encode()
    yield data
    yield quopri.encodestring(data)
    yield json.dumps(text)[1:-1].encode()
    for shift in range(3):  # base64 has three shapes, by where in a group of three it begins
        coded = base64.b64encode(b"\0" * shift + data)[4 if shift else 0 : -4]
        yield coded[: len(coded) // 4 * 4]


def everywhere(campaign: SmallCampaign) -> Scene:
    """Leave a trace of Éva in whatever can hold one.

    She is recipient of three letters and cc of one, signed the published block, stands in another
    person's row, in a server's replies, in answers and mails of her own and of others, among the
    unmatched mails, and is suppressed.
    """
    path = 'return_path = "bounces+{token}@campaign.example"\n'
    campaign.write("petition.toml", SETTINGS + path + '\n[inbox]\nurl = "maildir:answers"\n')
    campaign.write("recipients.csv", PEOPLE)
    campaign.write("signatories.csv", SIGNATORIES)
    campaign.write("letters/follow-up.md", FOLLOW_UP)
    campaign.write("letters/second.md", SECOND)
    campaign.write("letters/third.md", LETTER)
    campaign.write("letters/fourth.md", LETTER)
    for name in ("cur", "new", "tmp"):
        (campaign.root / "answers" / name).mkdir(parents=True)
    with counting_server() as server:
        live = campaign.through(server.port)
        live.petition("send", "open-letter", "--yes", status=0)
        scene = Scene(live, campaign.root / "petition.db", _tokens(campaign))
        _arrive(scene)
        live.petition("inbox", status=0)
        said = ["--letter", "open-letter", "--channel", "phone", "--quote"]
        live.petition("answer", ADDRESS, "stalled", *said, f"My {WORDS} say no.", status=0)
        live.petition("answer", "p3", "stalled", *said, f"Ask {NAME}, not us.", status=0)
        live.petition("send", "follow-up", "--yes", status=0)
        live.petition("send", "second", "--to", "p2", "--yes", status=0)
    waits = f"451 4.2.1 <{ADDRESS}> come back later"
    with counting_server(answers={"Eva.Szabo": waits, "p3": waits}) as server:
        campaign.through(server.port).petition("send", "fourth", "--yes", status=3)
    refused = f"550 5.1.1 <{ADDRESS}>: eva.szabo is unknown to us"
    with counting_server(
        answers={"Eva.Szabo": refused, "p3": f"550 5.1.1 Ask <{ADDRESS}>"}
    ) as server:
        campaign.through(server.port).petition("send", "third", "--yes", status=1)
    live.petition("suppress", "EVA.Szabo@X.example", status=0)
    return scene


def _tokens(campaign: SmallCampaign) -> list[str]:
    """The tokens of the letters to her."""
    with Log(f"sqlite:///{campaign.root}/petition.db") as log:
        signer = Signer(log.key)
        letters = ("open-letter", "follow-up", "third", "fourth")
        return [
            signer.return_path_token(Identity("water", letter, 1, ADDRESS)) for letter in letters
        ]


def _arrive(scene: Scene) -> None:
    """Mails from her, about her, and from others who name her."""
    with sqlite3.connect(scene.database) as connection:
        query = "SELECT row_id, message_id, token, bytes FROM copy"
        sent = {row[0]: row[1:] for row in connection.execute(query)}
    connection.close()
    mine, p2, p4 = (sent[row_id] for row_id in (ROW_ID, "p2", "p4"))
    begin = "To: answers@campaign.example\nIn-Reply-To:"
    hers = f"Message-ID: <1={ADDRESS}>\nSubject: {NAME} answers\n\nMy {WORDS}.\n"
    others = f"Message-ID: <2={ADDRESS}>\nSubject: Ask {NAME}\n\nAsk {NAME} at {ADDRESS}.\n"
    mails = [
        f"From: {NAME} <{ADDRESS}>\n{begin} {mine[0]}\n{hers}",
        f"From: P Two <p2@x.example>\n{begin} {p2[0]}\n{others}",
        f"From: stranger@y.example\n{begin} <x@y.example>\nSubject: On {NAME}\n\nHm.\n",
        f"From: {ADDRESS}\nTo: bounces+{mine[1]}@campaign.example\nSubject: Later\n\n{WORDS}\n",
        report(ADDRESS, "<forged@y.example>", b"Subject: x"),
        report("p4@x.example", p4[0], p4[2]),
    ]
    for at, mail in enumerate(mails):
        name = f"{1443431567 + at}.1.host={ADDRESS}"
        (scene.campaign.root / "answers" / "new" / name).write_text(mail, encoding="utf-8")


def report(who: str, message_id: str, returned: bytes) -> str:
    """A notification that a mailbox is full, which brings the letter back."""
    return (
        "From: MAILER-DAEMON@mx.example\nTo: answers@campaign.example\n"
        "Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nNot delivered.\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
        f"Final-Recipient: rfc822; {who}\nAction: failed\nStatus: 5.2.2\n"
        f"Diagnostic-Code: smtp; 552 5.2.2 <{who}> is full\n\n"
        f"--b\nContent-Type: message/rfc822\n\nMessage-ID: {message_id}\n"
        f"{returned.decode().replace(chr(13), '')}\n--b--\n"
    )
