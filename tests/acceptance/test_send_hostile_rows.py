"""Rows full of SMTP and MIME, really sent: the wire shows one message a person and nothing else.

CVE-2023-51764 to 51766 (SMTP smuggling), CVE-2024-6923 and gh-80222 (header injection).
"""

import asyncio
import csv
import io
import re
from pathlib import Path

from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.scripted import ScriptedServer

SMUGGLED = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<victim@x.test>\r\nDATA\r\nSubject: x\r\n\r\nx"
ENDS = ["\r\n.\r\n", "\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r.\n", "\r\n\0.\r\n", "\r\n.\0\r\n"]
HOSTILE = [
    *(f"a{end}{SMUGGLED}{end}QUIT\r\n" for end in ENDS),
    *(end * 3 for end in ENDS),
    ".",
    "..",
    ".\r\n",
    "\r",
    "\n",
    "a\rb",
    "a\nb",
    "a\r\nBcc: evil@x.test\r\n\r\nb",
    "a\n\n<script>",
    "=?UTF-8?Q?=0A?=Bcc: evil@x.test",
    "=?utf-8?b?DQpCY2M6IGV2aWxAeC50ZXN0?=",
    'Kim, "V." <evil@x.test>, other@x.test',
    'Kim" <evil@x.test>, "x',
    "Long, Name of a Director, With Commas, Who Has More Titles, Than Fit, One Line <a@x.test>",
    "\u2028.\u2028",
    "a\x85.\x85b",
    "\x1b[2J\x07",
    "x" * 5000,
    "ж" * 2000,
    "line one\r\n.line two\r\n..line three",
    "{{ 1/0 }} {% raw %}",
    "--=_boundary--\r\n",
    "\ufeffa",
]
FIELDS = ("name", "salutation", "town", "page")
LETTER = """\
---
to: recipients
subject: "{{ recipient.town or 'x' }}: one demand"
reply_by: 14 days
---
Dear {{ recipient.salutation or "x" }},

{{ recipient.town or "x" }}

[a page](https://x.example/?q={{ recipient.page or "x" }})

{{ demands }}
"""
HEADER = re.compile(rb"^([!-9;-~]+):", re.MULTILINE)


def rows() -> list[dict[str, str]]:
    found = []
    for number, text in enumerate(HOSTILE):
        for field in FIELDS:
            ordinary = {"name": "Ann Reed", "salutation": "Ann", "town": "Leeds", "page": "p"}
            email = f"{field}-{number}@x.example"
            found.append({"email": email, **ordinary, field: text})
    return found


def as_csv(people: list[dict[str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["email", *FIELDS], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(people)
    return text.getvalue()


def first_lines(text: str) -> dict[int, int]:
    """The row that begins on each line, as a reader of CSV counts lines."""
    reader = csv.reader(io.StringIO(text, newline=""))
    begins, line = {}, 1
    for number, _ in enumerate(reader):
        begins[line] = number - 1
        line = reader.line_num + 1
    return begins


def test_the_wire_shows_one_message_a_person_whatever_stands_in_the_fields(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.write("petition.toml", SETTINGS)
    campaign.write("letters/open-letter.md", LETTER)
    people = rows()
    campaign.write("recipients.csv", as_csv(people))
    refused = refused_rows(campaign, as_csv(people))
    assert refused
    good = [person for number, person in enumerate(people) if number not in refused]
    assert len(good) > len(people) / 3
    campaign.write("recipients.csv", as_csv(good))
    server = asyncio.run(send(campaign))

    reached = [address for letter in server.accepted for address in letter.rcpt_to]
    assert sorted(reached) == sorted(person["email"].encode() for person in good)
    assert len(server.accepted) == len(good)
    names = {tuple(HEADER.findall(head_of(letter.wire))) for letter in server.accepted}
    assert len(names) == 1
    assert not {b"Bcc", b"Cc", b"Sender"} & set(*names)
    for each in server.conversations:
        assert set(each.verbs) <= {"EHLO", "MAIL", "RCPT", "DATA", "QUIT"}
        assert each.verbs.count("MAIL") == each.verbs.count("RCPT") == len(each.letters)
        assert all(b"evil" not in line and b"victim" not in line for line in each.commands)
        raw = bytes(each.raw)
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw)
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        # A lone dot ends each message, and there is no other.
        assert len(re.findall(rb"\r\n\.\r\n", raw)) == len(each.letters)


def head_of(wire: bytes) -> bytes:
    return wire.partition(b"\r\n\r\n")[0]


def refused_rows(campaign: SmallCampaign, text: str) -> set[int]:
    """The rows that check refuses, each by its line."""
    begins = first_lines(text)
    problems = campaign.petition("check", "open-letter", "--json", status=1).json["problems"]
    errors = [one for one in problems if one["level"] == "error"]
    assert all(one["file"] == "recipients.csv" and one["hint"] for one in errors), errors
    return {begins[one["line"]] for one in errors}


async def send(campaign: SmallCampaign) -> ScriptedServer:
    async with ScriptedServer() as server:
        live = campaign.through(server.port)
        await asyncio.to_thread(live.petition, "send", "open-letter", "--yes", status=0)
        return server


def test_a_path_from_a_cell_leads_nowhere_else(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    secret = tmp_path.parent / "outside.txt"
    secret.write_text("outside")
    head, _, body = LETTER.partition("reply_by")
    front = f'{head}attachments: ["files/{{{{ recipient.page }}}}.txt"]\nreply_by{body}'
    campaign.write("letters/open-letter.md", front)
    campaign.write("files/p.txt", "inside")
    paths = [
        "../../outside",
        "..\\..\\outside",
        "/etc/hostname",
        "a/../../../outside",
        "p\0",
        "C:p",
    ]
    paths += ["~/x", "p.txt\r\nX: y", "%2e%2e/outside", ".", "x" * 300, "\u202ep", "file:///p"]
    people = [
        {
            "email": f"p{number}@x.example",
            "name": "Ann",
            "salutation": "A",
            "town": "L",
            "page": page,
        }
        for number, page in enumerate(["p", *paths])
    ]
    text = as_csv(people)
    campaign.write("recipients.csv", text)
    assert refused_rows(campaign, text) == set(range(1, len(people)))
