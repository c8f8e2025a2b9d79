"""Takes over a mailmerge campaign: its template, its database, its server."""

import configparser
import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import getaddresses
from itertools import chain
from pathlib import Path

from petition.campaign.names import column_name, nearest_hint, quoted
from petition.campaign.tables import ALIASES
from petition.campaign.text_file import HINT_CSV_ENCODING, find_file, read_text, unreadable
from petition.checks.campaign import in_order
from petition.errors import CampaignError, Problem, UsageError
from petition.foreign_letter import (
    ForeignTemplate,
    as_yaml_or_toml,
    markdown_as_markdown,
    plain_as_markdown,
    written_out,
)

TEMPLATE = "mailmerge_template.txt"
DATABASE = "mailmerge_database.csv"
SERVER = "mailmerge_server.conf"
_HEADER = re.compile(r"([!-9;-~]+):[ \t]*(.*)", re.DOTALL)
_NAMED = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\s*", re.DOTALL)
_KNOWN_HEADERS = frozenset(
    {"to", "subject", "from", "reply-to", "cc", "bcc", "attachment", "content-type", "mime-version"}
)
_TYPES = ("text/plain", "text/markdown")
_HTML_HINT = "Write the letter in Markdown, from which petition makes the HTML"
# Columns that petition would act on, and that mailmerge only prints.
_ACTED_ON = {
    ours: frozenset({ours, *ALIASES[ours]})
    for ours in ("email", "name", "first_name", "last_name", "language", "id")
}


@dataclass(frozen=True, slots=True)
class Header:
    """A header of the template, or its body: its line, and its value with tags."""

    line: int
    value: ForeignTemplate


@dataclass
class MailmergeCampaign:
    """What mailmerge would send."""

    sender: str
    reply_to: str  # "": no header Reply-To
    cc: list[str]
    bcc: list[str]
    subject: ForeignTemplate
    attachments: list[ForeignTemplate]
    is_markdown: bool
    body: ForeignTemplate
    columns: dict[str, str]  # what a letter of petition calls each column of the database
    can_be_empty: dict[str, int]  # the columns with empty cells, and the first line with one
    rows: list[dict[str, str]]  # of the new list: `email`, `name` and the columns
    server: dict[str, str]  # the keys of [smtp_server]
    dropped_names: list[str] = field(default_factory=list)


def read_mailmerge(folder: Path) -> MailmergeCampaign:
    """The mailmerge campaign of a folder; only its three files are read.

    CampaignError if one is missing, cannot be read, or needs what petition cannot do: all of
    it, and nothing is left out silently.
    """
    return _Reading(folder).campaign()


class _Reading:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._problems: list[Problem] = []

    def campaign(self) -> MailmergeCampaign:
        texts = {name: self._text(name) for name in (TEMPLATE, SERVER, DATABASE)}
        self._stop_if_wrong()
        headers, body = self._template(texts[TEMPLATE])
        raw_columns, raw_rows = self._database(texts[DATABASE])
        self._judge_names(headers, body, raw_columns)
        self._stop_if_wrong()
        one = {name: found[0] for name, found in headers.items()}
        to = [self._recipient(one["to"], line, row) for line, row in raw_rows]
        self._stop_if_wrong()
        columns = _new_names(raw_columns, raw_rows, to)
        rows = [
            {"email": address, "name": name, **{columns[key]: row[key] for key in raw_columns}}
            for (name, address), (_, row) in zip(to, raw_rows, strict=True)
        ]
        copies = {key: self._same(one.get(key), key, raw_rows) for key in ("cc", "bcc")}
        sender = self._one(one["from"], "from", raw_rows)
        reply_to = self._one(one["reply-to"], "reply-to", raw_rows) if "reply-to" in one else ""
        empty = {
            key: next(line for line, row in raw_rows if not row[key].strip())
            for key in raw_columns
            if any(not row[key].strip() for _, row in raw_rows)
        }
        made = MailmergeCampaign(
            sender=sender,
            reply_to=reply_to,
            cc=[address for _, address in copies["cc"]],
            bcc=[address for _, address in copies["bcc"]],
            subject=one["subject"].value,
            attachments=[self._attachment(one) for one in headers.get("attachment", ())],
            is_markdown=self._is_markdown(one.get("content-type")),
            body=body.value,
            columns=columns,
            can_be_empty=empty,
            rows=rows,
            server=self._server(texts[SERVER]),
            dropped_names=[f"{name} <{address}>" for name, address in copies["cc"] if name],
        )
        self._stop_if_wrong()
        return made

    def _stop_if_wrong(self) -> None:
        if self._problems:
            raise CampaignError(in_order(self._problems))

    # ---- the template

    def _template(self, text: str) -> tuple[dict[str, list[Header]], Header]:
        head, _, rest = text.partition("\n\n")
        headers: dict[str, list[Header]] = {}
        for line, whole in _unfolded(head):
            found = _HEADER.fullmatch(whole)
            if not found:
                what = f"{quoted(whole)} is not a header, and the headers end with an empty line"
                self._complain(TEMPLATE, line, what, "Write NAME: VALUE, or move it into the text")
                continue
            name = found[1].lower()
            if name not in _KNOWN_HEADERS:
                what = f"petition does not set the header {found[1]}"
                self._complain(TEMPLATE, line, what, "Delete it if the letter does not need it")
                continue
            if name in headers and name != "attachment":
                what = f"there are two headers {found[1]}"
                self._complain(TEMPLATE, line, what, "Write them as one")
            headers.setdefault(name, []).append(Header(line, self._parsed(found[2], line)))
        for name in ("to", "subject", "from"):
            if name not in headers:
                what = f"has no header {name.upper()}"
                self._complain(TEMPLATE, None, what, f"Add a line {name.upper()}: at the top")
        line = head.count("\n") + 3
        body = Header(line, self._parsed(rest, line))
        self._stop_if_wrong()
        return headers, body

    def _parsed(self, text: str, first_line: int) -> ForeignTemplate:
        def report(line: int, what: str, hint: str, mark: str = "") -> None:  # noqa: ARG001
            self._complain(TEMPLATE, first_line + line - 1, what, hint)

        return ForeignTemplate.read(text, report)

    def _judge_names(
        self, headers: Mapping[str, list[Header]], body: Header, columns: list[str]
    ) -> None:
        for one in (*chain.from_iterable(headers.values()), body):
            line, part = one.line, one.value
            for name, at in part.names.items():
                if name in {*columns, "range"}:
                    continue
                known = f"Its columns are {', '.join(columns)}"
                hint = nearest_hint(name, columns, known, "{}")
                what = f"the database has no column {quoted(name)}"
                self._complain(TEMPLATE, line + at - 1, what, hint)
            for name in sorted(part.own_names & {*columns}):
                what = f"{quoted(name)} is both a column and a name that the template gives"
                self._complain(TEMPLATE, line, what, "Rename one of them")

    def _is_markdown(self, header: Header | None) -> bool:
        if header is None:
            return False
        kind, _, parameters = header.value.text.partition(";")
        kind = kind.strip().lower()
        charset = re.search(r'charset="?([\w-]+)', parameters)
        if kind not in _TYPES or (charset and charset[1].lower() not in {"utf-8", "us-ascii"}):
            what = f"a letter of the type {quoted(header.value.text)} cannot be taken over"
            self._complain(TEMPLATE, header.line, what, _HTML_HINT)
        return kind == "text/markdown"

    def _attachment(self, header: Header) -> ForeignTemplate:
        path = header.value.text.strip()
        if path.startswith(("/", "~")) or ".." in path.split("/") or "\\" in path:
            what = f"the attachment {quoted(path)} is not in the folder of the campaign"
            hint = "Copy it there, and write its path from there"
            self._complain(TEMPLATE, header.line, what, hint)
        return ForeignTemplate(path)

    # ---- the mailboxes

    def _recipient(self, header: Header, line: int, row: dict[str, str]) -> tuple[str, str]:
        """Name and address of a row; filled separately, so that a comma in a name stays one."""
        parts = _NAMED.fullmatch(header.value.text)
        source = (parts["name"].strip(), parts["address"]) if parts else ("", header.value.text)
        try:
            name, address = (ForeignTemplate(part).fill(row).strip() for part in source)
        except UsageError as fault:
            self._complain(DATABASE, line, fault.what, fault.hint)
            return "", ""
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        if "," in address or (not parts and "<" in address):
            found = getaddresses([address])
            if len(found) == 1 and "," not in found[0][1]:
                return found[0]
            what = "the row is sent to several people at once (TO)"
            hint = "Keep one address in TO, and put the others into rows of their own or into CC"
            self._complain(DATABASE, line, what, hint)
        if not address:
            self._complain(DATABASE, line, "the row has no address", "Fill or delete the row")
        return name, address

    def _same(
        self, header: Header | None, name: str, rows: list[tuple[int, dict[str, str]]]
    ) -> list[tuple[str, str]]:
        """The mailboxes of a header, which must be the same in every row."""
        if header is None:
            return []
        try:
            values = {header.value.fill(row).strip() for _, row in rows}
        except UsageError as fault:
            self._complain(TEMPLATE, header.line, fault.what, fault.hint)
            return []
        if len(values) > 1:
            what = f"{name.upper()} differs from row to row, which cannot be taken over"
            hint = "Make a letter and a list for each, or give those people their own rows"
            if name == "cc":
                hint = 'Delete it, and write cc: ["{{ recipient.COLUMN }}"] in the new letter'
            self._complain(TEMPLATE, header.line, what, hint)
            return []
        return [one for one in getaddresses(sorted(values)) if one[1]]

    def _one(self, header: Header, name: str, rows: list[tuple[int, dict[str, str]]]) -> str:
        before = len(self._problems)
        found = self._same(header, name, rows)
        if len(found) != 1:
            if len(self._problems) == before:
                what = f"{name.upper()} is not one address"
                self._complain(TEMPLATE, header.line, what, "Write it as Name <name@host.org>")
            return ""
        display, address = found[0]
        if not display:
            return address
        is_plain = not re.search(r'[",;:<>@\\()\[\]]', display)
        escaped = re.sub(r'(["\\])', r"\\\1", display)
        return f"{display} <{address}>" if is_plain else f'"{escaped}" <{address}>'

    # ---- the database and the server

    def _database(self, text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
        try:
            # As mailmerge does: guessed from the first 1,024 characters, or else commas.
            dialect = csv.Sniffer().sniff(text[:1024], delimiters=",;\t")
            delimiter, skips = dialect.delimiter, dialect.skipinitialspace
        except csv.Error:
            delimiter, skips = ",", False
        lines = text.splitlines(keepends=True)
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=skips, strict=True)
        columns: list[str] = []
        rows = []
        try:
            columns = [name.strip() for name in next(reader, [])]
            line = reader.line_num + 1
            for cells in reader:
                if cells and len(cells) != len(columns):
                    what = f"the row has {len(cells)} cells where the header has {len(columns)}"
                    self._complain(DATABASE, line, what, "Check its commas and quotes")
                elif cells:
                    rows.append((line, dict(zip(columns, cells, strict=True))))
                line = reader.line_num + 1
        except csv.Error as fault:
            self._complain(DATABASE, reader.line_num, str(fault), "Check the quotes of this row")
        if len(set(columns)) < len(columns):
            self._complain(DATABASE, 1, "two columns have the same name", "Rename one of them")
        if not rows and not self._problems:
            self._complain(DATABASE, None, "has no rows", "Add people to write to")
        self._stop_if_wrong()
        return columns, rows

    def _server(self, text: str) -> dict[str, str]:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
            found = dict(parser["smtp_server"])
        except (configparser.Error, KeyError):
            what = "has no readable table [smtp_server]"
            self._complain(SERVER, None, what, "Correct the file")
            return {}
        for key in found.keys() - {"host", "port", "security", "username", "ratelimit"}:
            self._complain(SERVER, None, f"the key {quoted(key)} is unknown", "Delete it")
        for key in ("host", "port"):
            if not found.get(key):
                self._complain(SERVER, None, f"has no {key}", f"Add it to [smtp_server]: {key} =")
        for key in ("port", "ratelimit"):
            if not found.get(key, "0").isdecimal():
                self._complain(SERVER, None, f"{key} is not a number", "Correct it")
        return found

    def _text(self, name: str) -> str:
        found: list[Problem] = []
        text, path = None, None
        if name == DATABASE:
            path = find_file(self._folder, name, found)
        else:
            text = read_text(self._folder, name, found)
        for one in found:
            self._complain(name, one.line, one.what, one.hint)
        try:
            if path:
                text = re.sub(r"\r\n?", "\n", path.read_bytes().decode("utf-8-sig"))
        except OSError as why:
            self._complain(name, None, *unreadable(why))
        except UnicodeDecodeError:
            self._complain(name, None, "is not saved as UTF-8", HINT_CSV_ENCODING)
        return text or ""

    def _complain(self, file: str, line: int | None, what: str, hint: str) -> None:
        self._problems.append(Problem(str(self._folder / file), line, what, hint))


def _unfolded(head: str) -> Iterator[tuple[int, str]]:
    """The headers, each with its first line; a line that begins with a blank continues one."""
    begun, whole = 1, ""
    for number, line in enumerate(head.split("\n"), 1):
        if line[:1] in {" ", "\t"} and whole:
            whole += f" {line.strip()}"
            continue
        if whole:
            yield begun, whole
        begun, whole = number, line.rstrip()
    if whole:
        yield begun, whole


def _new_names(
    columns: list[str], rows: list[tuple[int, dict[str, str]]], to: list[tuple[str, str]]
) -> dict[str, str]:
    """The name of each column in the new list, on which nothing acts that did not before."""
    taken: dict[str, str] = {}
    is_named = all(name for name, _ in to)
    for number, column in enumerate(columns, 1):
        cells = [row[column].strip() for _, row in rows]
        name = column_name(column, number)
        same = {"email": [one[1] for one in to], "name": [one[0] for one in to]}.get(name)
        acts = next((ours for ours, theirs in _ACTED_ON.items() if name in theirs), "")
        is_harmless = (
            not acts
            or same == cells
            or (acts in {"first_name", "last_name"} and is_named)
            or (acts == "id" and len(set(cells)) == len(cells) and all(cells))
        )
        if not is_harmless or (name in {"email", "name"} and same != cells):
            name += "_text"
        while name in taken.values():
            name += "_2"
        taken[column] = name
    return taken


LETTER = "letter"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SECURITY = {"SSL/TLS": "tls", "STARTTLS": "starttls", "XOAUTH": "starttls"}


def files_of(campaign: MailmergeCampaign, title: str) -> tuple[dict[str, str], list[str]]:
    """The files of the new folder, and notes on them for a person; `title` is the campaign's.

    CampaignError if the letter cannot be written in Markdown.
    """
    notes = [
        f'The column "{theirs}" is called {ours} here.'
        for theirs, ours in campaign.columns.items()
        if theirs != ours
    ]
    letter = _letter(campaign)
    notes += [
        f'The letter prints nothing where "{column}" is empty (first in line {line}).'
        for column, line in campaign.can_be_empty.items()
    ]
    notes += [f"In CC, only the address of {name} is kept." for name in campaign.dropped_names]
    if campaign.attachments:
        paths = ", ".join(one.text for one in campaign.attachments)
        notes.append(f"Copy the files that the letter attaches into the folder: {paths}.")
    settings = _settings(campaign, title, notes)
    files = {
        "petition.toml": settings,
        f"letters/{LETTER}.md": letter,
        "recipients.csv": _recipients(campaign),
    }
    return files, notes


def _letter(campaign: MailmergeCampaign) -> str:
    front = [f"subject: {as_yaml_or_toml(_line(campaign.subject, campaign))}"]
    for key, addresses in (("cc", campaign.cc), ("bcc", campaign.bcc)):
        if addresses:
            front.append(f"{key}: {as_yaml_or_toml(addresses)}")
    if campaign.attachments:
        paths = [_line(one, campaign) for one in campaign.attachments]
        front.append(f"attachments: {as_yaml_or_toml(paths)}")
    marked = campaign.body.marked()
    convert = markdown_as_markdown if campaign.is_markdown else plain_as_markdown
    try:
        body = convert(marked)
    except UsageError as refusal:
        raise CampaignError([Problem(TEMPLATE, None, refusal.what, refusal.hint)]) from None
    names, empty = _names(campaign), campaign.can_be_empty
    return "\n".join(["---", *front, "---", written_out(body, marked, names, empty)])


def _line(template: ForeignTemplate, campaign: MailmergeCampaign) -> str:
    marked = template.marked()
    return written_out(marked.text, marked, _names(campaign), campaign.can_be_empty)


def _names(campaign: MailmergeCampaign) -> dict[str, str]:
    return {theirs: f"recipient.{ours}" for theirs, ours in campaign.columns.items()}


def _recipients(campaign: MailmergeCampaign) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(campaign.rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(campaign.rows)
    return text.getvalue()


def _settings(campaign: MailmergeCampaign, title: str, notes: list[str]) -> str:
    server = campaign.server
    host, security = server["host"], server.get("security", "")
    lines = [
        "[campaign]",
        f"title = {as_yaml_or_toml(title)}",
        "",
        "# petition needs to know where answers go; in mailmerge they went to From.",
        "[sender]",
        f"from = {as_yaml_or_toml(campaign.sender)}",
        f"reply_to = {as_yaml_or_toml(campaign.reply_to or campaign.sender)}",
        "",
        "# The password comes from PETITION_SMTP_PASSWORD, or from a command: password_command.",
        "[smtp]",
        f"host = {as_yaml_or_toml(host)}",
        f"port = {int(server['port'])}",
    ]
    meant = _SECURITY.get(security)
    if not meant and host in _LOOPBACK:
        meant = "none"
    elif not meant:
        meant = "starttls"
        how = f"security = {security}" if security else "no security"
        notes.append(f"{SERVER} says {how}; petition encrypts the connection to {host}.")
    lines.append(f"security = {as_yaml_or_toml(meant)}")
    if security and server.get("username"):
        lines.append(f"username = {as_yaml_or_toml(server['username'])}")
    if security == "XOAUTH":
        lines.append('auth = "xoauth2"')
        notes.append("Set token_command in [smtp] to the command that prints the XOAUTH token.")
    if rate := int(server.get("ratelimit") or 0):
        lines += ["", "[pace]", f'rate = "{rate}/min"']
    return "\n".join([*lines, ""])
