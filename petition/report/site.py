"""What the public site of a campaign tells, and of whom.

A recipient is somebody who holds an office; the name is shown only where `[publish] names` or the
row's own column `public` says so. No address is told, and an answer is quoted only if a person
marked its words as public. Everything that a page shows is in a `Site`, and nothing else is.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from io import BytesIO
from zipfile import BadZipFile, ZipFile
from zoneinfo import ZoneInfo

from petition.address import folded
from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.names import folded_name, nearest_hint, quoted
from petition.campaign.people import ListJudge, PeopleList, Person
from petition.campaign.tables import yes_or_no
from petition.errors import CampaignError, Problem, UsageError
from petition.merge.attachments import Files
from petition.merge.document import Frozen
from petition.merge.freeze import signed_now
from petition.merge.open_letter import OpenLetter, is_open
from petition.outbox.answers import Answer, Status
from petition.outbox.erasure import frozen_letters
from petition.outbox.log import Log
from petition.outbox.models import Copy, FrozenLetter
from petition.report.ledger import Entry, Ledger, ledger
from petition.report.public import (
    Names,
    office_of,
    organisation_of,
    surname_of,
    without_addresses,
)
from petition.template.fields import CellRefused

PUBLIC = "public"  # the column of a list

_ODT = b"mimetypeapplication/vnd.oasis.opendocument.text"  # ODF 1.3, part 2, 3.3
_LISTED = 3  # lines with an address; a note for the press has fewer


def _is_text(data: bytes) -> bool:
    """Whether it is a text, and no list of people."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    listed = sum(b"@" in line for line in lines)
    return b"\0" not in data and (listed < _LISTED or listed * 2 < len(lines))


def _is_docx(data: bytes) -> bool:
    with suppress(BadZipFile), ZipFile(BytesIO(data)) as packed:
        return "word/document.xml" in packed.namelist()
    return False


def _is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


# What a browser shows or saves, and what runs no script there; each with what tells it from a list
# or a log that was given its name.
_DOCUMENTS: Mapping[str, Callable[[bytes], bool]] = {
    ".pdf": lambda data: data.startswith(b"%PDF-"),
    ".txt": _is_text,
    ".odt": lambda data: data.startswith(b"PK\3\4") and data.startswith(_ODT, 30),
    ".docx": _is_docx,
    ".jpg": _is_jpeg,
    ".jpeg": _is_jpeg,
    ".png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
}


@dataclass(frozen=True, slots=True)
class ShownRecipient:
    """Somebody to whom the letter was sent, as everybody may read of them."""

    number: int  # from 1, of all who had the letter
    name: str  # "": not to be named
    office: str
    organisation: str
    language: str  # in which they got the letter, or ""
    had_on: date | None
    days: int | None  # until the first answer, or so far
    is_waiting: bool  # they have not answered
    overdue: int  # by how many days
    by_demand: Mapping[str, Status]  # "": the letter as a whole


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One thing that was answered."""

    id: int
    who: ShownRecipient
    at: datetime  # in the campaign's time zone
    status: Status
    demands: tuple[str, ...]  # their ids; none: the letter as a whole
    channel: str
    words: str  # "": they are not public


@dataclass(frozen=True, slots=True)
class Signed:
    """Those who signed and may be named, and how many there are altogether."""

    published: tuple[Mapping[str, str], ...]
    total: int
    by_day: Mapping[date, int]  # how many signed on each day, if the file says that


@dataclass(frozen=True, slots=True)
class Site:
    """All that the site of a campaign shows."""

    campaign_id: str
    title: str  # the campaign's
    sender: str  # the name in From
    made_on: date
    is_rehearsal: bool  # whether nobody received anything
    frozen: FrozenLetter
    frozen_on: date
    reply_by: date | None
    letters: Mapping[str, OpenLetter]  # by language; the default one comes first
    demands: Mapping[str, list[dict[str, str]]]  # the same
    signed: Signed
    sent_on: date | None  # to the first recipient
    recipients: tuple[ShownRecipient, ...]
    answers: tuple[ShownAnswer, ...]  # oldest first
    heard_on: date | None  # when the log last recorded an answer
    sign_mailto: str = ""
    sign_url: str = ""
    url: str = ""  # where the site will be, with a slash at its end
    documents: Mapping[str, bytes] = field(default_factory=dict)  # by file name

    @property
    def answered(self) -> int:
        """How many recipients have answered."""
        return sum(not one.is_waiting for one in self.recipients)

    @property
    def longest(self) -> int:
        """For how many days the longest of them has not answered."""
        return max((one.days or 0 for one in self.recipients if one.is_waiting), default=0)

    @property
    def stalls(self) -> list[ShownAnswer]:
        """The answers that put it off."""
        return [one for one in self.answers if one.status is Status.STALLED]


def letter_to_publish(log: Log, campaign: Campaign) -> str:
    """The name of the letter that the site is about; UsageError if there is none."""
    known = list(dict.fromkeys(one.letter for one in frozen_letters(log)))
    asked = campaign.settings.publish.letter
    if asked is not None and asked not in known:
        hint = nearest_hint(asked, known, f"Letters in the log: {', '.join(known) or 'none'}", "{}")
        if asked in campaign.letters:
            hint = f"Send it first: petition send {asked}"
        raise UsageError(f"no letter {quoted(asked)} has been sent ([publish] letter)", hint)
    for name in known if asked is None else [asked]:
        newest = log.newest(name)
        frozen = Frozen.from_json(newest.document) if newest else None
        if frozen and is_open(frozen):
            return name
    about = "a site is about a personal letter that follows no other"
    if asked is not None:
        raise UsageError(f"{asked} is no open letter: {about}", "Name one in [publish] letter")
    fronts = {name: one.front for name, one in campaign.letters.items() if one.texts}
    fit = sorted(name for name, one in fronts.items() if one.kind == "personal" and not one.follows)
    hint = f"Send one first: petition send {fit[0]}" if fit else "Write one, and send it"
    raise UsageError(f"no open letter has been sent: {about}", hint)


def gather(log: Log, campaign: Campaign, notes: list[str]) -> Site:
    """Everything that the site tells; `notes` gets what a person should know of it.

    CampaignError if the lists, the signatories, a document or the column `public` are not clear;
    MergeRefused if the letter cannot be shown without a recipient.
    """
    settings, name = campaign.settings, letter_to_publish(log, campaign)
    with log.at_one_moment():
        newest, book = log.newest(name), ledger(log, name)
        made_at = log.clock()
    if newest is None or book is None:
        raise UsageError(f"{name} is no longer in the log", "Try again")
    require_signatories(campaign)
    sent = Frozen.from_json(newest.document)
    frozen = signed_now(sent, campaign, without_addresses)
    if sent.document["signatories"]["published"] and not campaign.signatories:
        file = settings.people["signatories"]
        notes.append(f"The letter named signatories when it was sent; {file} has none any more.")
    zone = ZoneInfo(frozen.timezone)
    shown = [entry for entry in book.entries if not entry.is_bounced and _is_known(entry)]
    recipients = list(_recipients(shown, book, campaign, notes))
    hidden = _hide_names(recipients, book)
    heard = [one.at.astimezone(zone).date() for entry in shown for one in entry.history.answers]
    sign = settings.sign
    return Site(
        campaign_id=frozen.campaign_id,
        title=settings.campaign.title,
        sender=frozen.sender.display_name,
        made_on=made_at.astimezone(zone).date(),
        is_rehearsal=log.rehearses,
        frozen=newest,
        frozen_on=newest.frozen_at.astimezone(zone).date(),
        reply_by=frozen.reply_by,
        letters={one: OpenLetter(frozen, one) for one in frozen.languages},
        demands={one: frozen.demands(one) for one in frozen.languages},
        signed=signed_of(frozen, campaign),
        sent_on=min((one.had_on for one in shown if one.had_on), default=None),
        recipients=tuple(one for one, _, _ in recipients),
        answers=tuple(_answers(recipients, hidden, zone)),
        heard_on=max(heard, default=None),
        sign_mailto=sign.mailto.addr_spec if sign.mailto else "",
        sign_url=sign.page or sign.url or "",
        url=f"{settings.publish.url.rstrip('/')}/" if settings.publish.url else "",
        documents=documents_of(campaign),
    )


def _is_known(entry: Entry) -> bool:
    """Whether it is about a person who was not forgotten."""
    return "@" in entry.copy.mailbox


def require_signatories(campaign: Campaign) -> None:
    """CampaignError if the list has errors: then it is not known who may be named."""
    file = campaign.settings.people["signatories"]
    if wrong := [one for one in campaign.problems if one.file == file and one.is_error]:
        raise CampaignError(wrong)


def signed_of(frozen: Frozen, campaign: Campaign) -> Signed:
    """Those who have signed a letter (`signed_now`)."""
    part, by_day = frozen.document["signatories"], dict[date, int]()
    for one in campaign.signatories:
        if one.signed_on:
            by_day[one.signed_on] = by_day.get(one.signed_on, 0) + 1
    return Signed(tuple(part["published"]), part["total"], by_day)


_Told = tuple[ShownRecipient, Entry, str]  # with the name that the log has


def _recipients(
    shown: list[Entry], book: Ledger, campaign: Campaign, notes: list[str]
) -> Iterator[_Told]:
    rows = _Rows(campaign, {entry.copy.file for entry in shown})
    all_named = campaign.settings.publish.names
    numbers = {entry.copy.id: number for number, entry in enumerate(book.entries, start=1)}
    lost = 0
    for entry in shown:
        copy = entry.copy
        found = rows.of(copy)
        fields = found.fields if found else copy.fields
        said = fields.get(PUBLIC, "").strip()
        is_named = bool(yes_or_no(said)) or (all_named and not said)
        if is_named and not found:  # they may have been taken off the list to be named no more
            is_named, lost = False, lost + (copy.file not in rows.gone)
        is_named = is_named and not rows.forbid(copy)
        by_demand = {one.id: entry.history.to_demand(one.id) for one in book.demands}
        recipient = ShownRecipient(
            numbers[copy.id],
            without_addresses(copy.name) if is_named else "",
            office_of(fields),
            organisation_of(fields),
            copy.language,
            entry.had_on,
            entry.days,
            entry.is_waiting,
            entry.overdue,
            {"": entry.history.said()} | by_demand,
        )
        yield recipient, entry, copy.name
    for file in sorted(rows.gone):
        what = f"The letter was sent from {file}, which is no longer there or no longer in [people]"
        notes.append(f"{what}: nobody on it is named.")
    if lost:
        who = "1 recipient is" if lost == 1 else f"{lost:,} recipients are"
        notes.append(f"{who} no longer on the list, and not named.")


class _Rows:
    """The rows of the lists as they are now: what they say today counts."""

    def __init__(self, campaign: Campaign, files: set[str]) -> None:
        self._by_address: dict[str, Person] = {}
        self._by_id: dict[tuple[str, str], Person] = {}
        self._refused: set[str | tuple[str, str]] = set()  # addresses and ids of rows with a no
        sheets = {file.partition("#")[0] for file in files}  # of a book whose sheet is not said
        self.gone = set(files)  # lists that can say nothing any more
        for key, file in campaign.settings.people.items():
            path = campaign.root / file.partition("#")[0]
            if not (file in files or file in sheets) or not path.exists():
                continue
            self.gone -= {one for one in files if file in {one, one.partition("#")[0]}}
            for row in _read(campaign, key):
                address, said = folded(row.mailbox.addr_spec), row.fields.get(PUBLIC, "").strip()
                self._by_address[address] = row
                if row.id:
                    self._by_id[row.file, row.id] = row
                if said and not yes_or_no(said):
                    self._refused |= {address, (row.file, row.id)}

    def of(self, copy: Copy) -> Person | None:
        """Who has the address of a copy, or the id of its row and the same name."""
        if found := self._by_address.get(copy.folded):
            return found
        # The id alone may be somebody else's by now, where a list numbers its rows.
        found = self._by_id.get((copy.file, copy.row_id))
        same = found and folded_name(found.mailbox.display_name) == folded_name(copy.name)
        return found if same else None

    def forbid(self, copy: Copy) -> bool:
        """Whether a row with the address or the id says no."""
        by_id = bool(copy.row_id) and (copy.file, copy.row_id) in self._refused
        return by_id or copy.folded in self._refused


def _read(campaign: Campaign, key: str) -> list[Person]:
    """The people of a list; CampaignError if one of its rows has errors: who is it about?"""
    rows, problems = list[Person](), list[Problem]()
    if people := campaign.people(key, problems):
        judge = ListJudge(people)
        for block in people.table.blocks():
            found, wrong = judge(block)
            rows += found
            problems += wrong
        problems += unclear_public(people)
    if wrong := [one for one in problems if one.is_error]:
        raise CampaignError(wrong)
    return rows


def unclear_public(people: PeopleList) -> Iterator[Problem]:
    """The rows of which the column `public` says neither yes nor no."""
    if PUBLIC not in people.columns:
        return
    mark = people.cell(PUBLIC)
    for row in people.table.rows():
        if yes_or_no(said := row.cells[PUBLIC]) is None:
            what, hint = f"public is {quoted(said)}", 'Write "yes" or "no"'
            yield Problem(people.file, row.line, what, hint, mark=mark, gathers=True)


def _hide_names(recipients: list[_Told], book: Ledger) -> Names:
    """Take the names that nobody is to read out of the offices; what takes them out of answers."""
    named = {one.name for one, _, _ in recipients if one.name}
    hidden, instead = Names(), Names()
    for entry in book.entries:  # of those whom the letter did not reach, too
        if entry.copy.name not in named:
            hidden.hide(entry.copy.name, "[…]")
            instead.hide(entry.copy.name, "[…]", surname=_surname(entry.copy))
    for at, (one, entry, name) in enumerate(recipients):
        office, organisation = hidden.out_of(one.office), hidden.out_of(one.organisation)
        recipients[at] = replace(one, office=office, organisation=organisation), entry, name
        if not one.name and (known := office or organisation):
            instead.hide(name, f"[{known}]", surname=_surname(entry.copy))
        for known in (one.name, office, organisation):
            instead.keep(known)
    return instead


def _surname(copy: Copy) -> str:
    return copy.fields.get("last_name", "") or surname_of(copy.name)


def _answers(recipients: list[_Told], hidden: Names, zone: ZoneInfo) -> Iterator[ShownAnswer]:
    """What was said, oldest first; the same to several demands at once is one answer."""
    said: dict[tuple[object, ...], tuple[ShownRecipient, list[Answer]]] = {}
    for one, entry, _ in recipients:
        for answer in entry.history.answers:
            if answer.status is not Status.UNCLASSIFIED and not answer.is_automatic:
                key = (one.number, answer.at, answer.status, answer.quote)
                said.setdefault(key, (one, []))[1].append(answer)
    for one, answers in sorted(said.values(), key=lambda both: (both[1][0].at, both[1][0].id)):
        first = answers[0]
        words = first.quote if first.is_public else ""
        yield ShownAnswer(
            first.id,
            one,
            first.at.astimezone(zone),
            first.status,
            tuple(answer.demand for answer in answers if answer.demand),
            first.channel,
            hidden.out_of(without_addresses(words)),
        )


def documents_of(campaign: Campaign) -> dict[str, bytes]:
    """What [publish] documents offers, by file name; CampaignError if one of them cannot be."""
    files, found, problems = Files.of(campaign), dict[str, bytes](), list[Problem]()
    line = campaign.lines.line_of(("publish", "documents"))
    for path in campaign.settings.publish.documents:
        name = path.rpartition("/")[2]
        try:
            data = files.read(path).data
        except CellRefused as why:
            problems.append(Problem(SETTINGS_FILE, line, f"documents: {why.what}", why.hint))
            continue
        ending = next((one for one in _DOCUMENTS if name.lower().endswith(one)), "")
        if not ending:
            hint = f"Save it as one of {', '.join(_DOCUMENTS)}"
            what = f"documents: {quoted(path)} is of a kind that the site does not carry"
            problems.append(Problem(SETTINGS_FILE, line, what, hint))
        elif not _DOCUMENTS[ending](data):
            what = f"documents: {quoted(path)} is not what the site carries as {ending}"
            hint = "Look into it: a list or a log may have got this name; save a text as UTF-8"
            problems.append(Problem(SETTINGS_FILE, line, what, hint))
        elif name.casefold() in map(str.casefold, found):
            what = f"documents: two files are called {quoted(name)}"
            problems.append(Problem(SETTINGS_FILE, line, what, "Rename one of them"))
        else:
            found[name] = data
    if problems:
        raise CampaignError(problems)
    return found
