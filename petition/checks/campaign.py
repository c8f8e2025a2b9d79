"""Examines a letter and its list: everything that is wrong, at once, before anything is sent.

Beside that the folder of the log: a program that synchronises it copies a database while it is
written; a network file system may neither lock nor flush it
(https://www.sqlite.org/howtocorrupt.html, 1.1 and 2.1).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain, compress
from pathlib import Path

from petition import system
from petition.address import Mailbox
from petition.campaign.folder import Campaign
from petition.campaign.letter import Letter
from petition.campaign.names import DEMANDS, LETTERS_FOLDER, quoted
from petition.campaign.people import ListJudge, PeopleList, Person
from petition.campaign.server import Server
from petition.campaign.supporters import INVALID, BulkJudge, Consent, PassedOver
from petition.campaign.text_file import packaged_toml
from petition.checks import letter as letter_checks
from petition.checks.letter import CopiedTwice, is_live, refused_by, unfit, zone_of
from petition.checks.rows import Duplicates, FirstRows, SharedProblems, unlike_others
from petition.checks.style import SUBJECT_LIMIT, StyleCheck, slips_of_campaign
from petition.errors import CampaignError, Level, MergeHindered, MergeRefused, Problem, Problems
from petition.merge.attachments import Files
from petition.merge.document import Frozen
from petition.merge.fill import Settled
from petition.merge.freeze import AnyColumn, freeze
from petition.merge.message import Merger
from petition.template.check_names import SAYS_ABSENT, conditions_of
from petition.template.condition import BareColumns
from petition.template.syntax_tree import ROW

_NETWORK = re.compile(
    r"9p|afpfs|afs|ceph|cifs|davfs|drvfs|nfs4?|prl_fs|smb3|smbfs|vboxsf|virtiofs|vmhgfs|webdav"
    r"|network drive|(?:mac|osx)fuse(?:fs)?"
    r"|fuse\.(?:davfs2|glusterfs|google-drive-ocamlfuse|gvfsd-fuse|onedriver|rclone|s3fs|sshfs"
    r"|vmhgfs-fuse)"
)
_FOLDERS: dict[str, dict[str, str]] = packaged_toml("checks/synced_folders.toml")

READ_BACK_FIRST = 100  # copies that are parsed in full; of the others only the header


@dataclass
class Examined:
    """A letter, its list, and what is wrong with them so far.

    `frozen` is the letter as it would be frozen now, None if its problems forbid that. If there are
    errors, it serves to find further ones, and must not be sent.
    """

    campaign: Campaign
    letter: Letter
    server: Server | None
    files: Files  # of its attachments
    bare: BareColumns  # those of the letter, as far as the list was read
    frozen: Frozen | None = None
    people: PeopleList | None = None  # None: the list cannot be read
    problems: list[Problem] = field(default_factory=Problems)
    fallbacks: dict[str, FirstRows] = field(default_factory=dict)  # by the language they want
    complete: Callable[[Person], Person] = lambda person: person  # with what the log knows
    is_barred: Callable[[str], bool] = lambda _: False  # whether an address opted out
    consent: Consent | None = None  # of the people of a bulk letter; None: it is personal
    passed_over: PassedOver = field(default_factory=lambda: PassedOver(""))
    largest_copy: int = 0  # bytes, of those that were parsed in full

    @property
    def has_errors(self) -> bool:
        """Whether the letter may not be sent as it is."""
        return any(problem.is_error for problem in self.problems)

    @property
    def is_bulk(self) -> bool:
        """Whether an invalid row is left out, and does not stop the letter."""
        return self.consent is not None

    def note_fallback(self, merger: Merger | None, person: Person) -> None:
        """Note somebody for whom there is no letter in their language."""
        if merger and person.language and not person.excluded and merger.language_of(person)[1]:
            self.fallbacks.setdefault(person.language, FirstRows()).add(person)

    def judge(self, people: PeopleList) -> ListJudge | BulkJudge:
        """What turns rows of the list into people, not yet completed, and problems."""
        self.passed_over = PassedOver(people.file)
        if self.consent:
            return BulkJudge(people, self.consent, self.passed_over)
        return ListJudge(people)

    def rows(self) -> Iterator[Person]:
        """The list's people as they are read."""
        if self.people is None:
            return
        judge = self.judge(self.people)
        for rows in self.people.table.blocks():
            judged, problems = judge(rows)
            people = [self.complete(one) for one in judged]
            self.bare.look_at(people)
            self.problems += problems
            yield from people


class CopyCheck:
    """Merges a letter for the people of its list, a block at a time, and checks each copy.

    Without a merger only the rows are checked. Invalid rows of a bulk letter are counted in
    `examined`; `read_back` copies are parsed in full.
    """

    def __init__(
        self, examined: Examined, merger: Merger | None, revision: int, read_back: int
    ) -> None:
        campaign, letter = examined.campaign, examined.letter
        self._examined = examined
        self._merger = merger
        self._revision = revision
        self._left_to_parse = read_back
        self._date = datetime.now(zone_of(campaign)).replace(microsecond=0)
        self._style = StyleCheck(letter)
        self._conditions = conditions_of(letter)
        signatories_file = campaign.settings.people["signatories"]
        self._duplicates = Duplicates(campaign.signatories, signatories_file)
        self._copied = CopiedTwice(letter)
        self._refusals = SharedProblems()
        self._email = examined.people.cell("email") if examined.people else None

    def __call__(self, people: list[Person]) -> tuple[list[Person], list[Problem]]:
        """The same people, each with the files that their copy alone carries; and problems.

        Those with an invalid row of a bulk letter are excluded. Whoever is excluded is not checked:
        they get no letter, and their cells may hold anything.
        """
        if self._examined.bare and self._merger:
            self._merger.count_as_yes_no(self._examined.bare.look_at(people))
        wanted = [one for one in people if not one.excluded]
        if not self._examined.is_bulk:  # many supporters sign as well
            self._duplicates.look_at(wanted)
        problems: list[Problem] = []
        is_like_others = iter(self._are_like_others(wanted))
        checked = [
            one if one.excluded or next(is_like_others) else self._checked(one, problems)
            for one in people
        ]
        return checked, problems

    def _are_like_others(self, people: list[Person]) -> list[bool]:
        """Of whom there is nothing to tell, as most: `_checked` looks at the others.

        Their copies are like one that was read but for the words, and in these nothing is unusual.
        """
        nobody = [False] * len(people)
        has_one_form = len({len(one.fields) for one in people}) == 1
        if self._merger is None or self._left_to_parse > 0 or not has_one_form:
            return nobody
        columns = zip(*(one.fields.values() for one in people), strict=True)
        cells = dict(zip(people[0].fields, columns, strict=True))
        is_filled = zip(*(map(bool, column) for column in cells.values()), strict=True)
        said = [cells[column] for column in self._merger.frozen.yes_no & cells.keys()]
        shapes = list(zip((one.language for one in people), is_filled, *said, strict=True))
        known: dict[object, Settled] = {}
        for shape, person in dict(zip(shapes, people, strict=True)).items():
            settled = self._merger.settled(person)
            if settled and self._style.has_read(settled.language, shape[1]):
                known[shape] = settled
        if not known:
            return nobody
        named = chain(self._style.columns, *(one.named for one in known.values()))
        unlike = unlike_others(cells, set(named))
        forms = [known.get(shape) for shape in shapes]
        unlike.update(at for at, form in enumerate(forms) if form and _is_long(form, cells, at))
        server, boxes = self._examined.server, [one.mailbox for one in people]
        unlike.update(at for at, box in enumerate(boxes) if not box.addr_spec.isascii())
        if is_live(server):
            unlike.update(at for at, box in enumerate(boxes) if refused_by(server, box))
        if self._merger.frozen.cc_fields:  # a cell may name several
            unlike.update(
                at for row in cells.values() for at, cell in enumerate(row) if cell.count("@") > 1
            )
        found = [form is not None and at not in unlike for at, form in enumerate(forms)]
        for one in compress(people, found):
            self._copied.look_at(one)
        self._style.pass_over(sum(found))
        return found

    def summary(self) -> list[Problem]:
        """What is reported once for the whole list, after its last row."""
        found = [*self._refusals.problems(), *self._duplicates.problems(), *self._read_as()]
        return [*found, *self._copied.problems(), *self._style.problems()]

    def _refused_copies(self, person: Person, cc: Iterable[Mailbox]) -> Iterator[Problem]:
        """Those in cc of one row whom nobody can or may write to."""
        for box in cc:
            what = refused_by(self._examined.server, box)
            hint = "Write the real address, or empty the cell"
            if self._examined.is_barred(box.addr_spec):
                what = f"{box.addr_spec} must not be written to (petition suppress)"
                hint = "Remove it from the row"
            if what:
                yield Problem(person.file, person.line, f"cc: {what}", hint, mark=box.addr_spec)

    def _too_many(self, person: Person) -> Iterator[Problem]:
        """A copy that goes to more mailboxes than may get one in a day: it could never go."""
        per_day = self._examined.campaign.settings.pace.per_day
        if per_day is None or self._merger is None or not self._examined.server:
            return
        if (recipients := self._merger.recipients_of(person)) > per_day:
            what = f"a copy to {recipients} mailboxes can never go: [pace] per_day is {per_day}"
            hint = "Raise per_day, or name fewer in cc and bcc"
            yield Problem(person.file, person.line, what, hint)

    def _read_as(self) -> Iterator[Problem]:
        """How cells are read that are conditions by themselves."""
        bare, places = self._examined.bare, self._conditions
        for what, hint, column in bare.mixed(f"{ROW}."):
            yield Problem(*places[column], what, hint, mark=f"{ROW}.{column}")
        for column, row, cell in bare.examples():
            what = f"{ROW}.{column} is read as yes or no, as {quoted(cell)} in {row}"
            hint = f'Write {ROW}.{column} != "" to ask whether the cell is filled'
            yield Problem(*places[column], what, hint, Level.NOTE)

    def _checked(self, person: Person, problems: list[Problem]) -> Person:
        copy, fault = None, None
        if what := refused_by(self._examined.server, person.mailbox):
            hint = "Write the real address or delete the row"
            fault = Problem(person.file, person.line, what, hint, mark=self._email)
        if self._merger:
            full = self._left_to_parse > 0
            self._left_to_parse -= 1
            try:
                copy = self._merger.check(person, self._revision, self._date, full=full)
            except MergeRefused as refusal:
                if refusal.problem.file != person.file:
                    self._refusals.add(refusal.problem, person)
                elif isinstance(refusal, MergeHindered) or not self._examined.is_bulk:
                    problems.append(refusal.problem)  # a missing file is not the row's fault
                else:
                    fault = fault or refusal.problem
        if fault and self._examined.is_bulk:
            self._examined.passed_over.add(fault)
            return person._replace(excluded=INVALID)
        if fault:
            problems.append(fault)
        self._style.look_at(person, copy)
        if not copy:
            return person
        self._copied.look_at(person, copy.cc)
        problems += self._refused_copies(person, copy.cc) if copy.cc else ()
        problems += self._too_many(person)
        self._examined.largest_copy = max(self._examined.largest_copy, copy.size or 0)
        if copy.own_files:
            person = person._replace(fields={**person.fields, **copy.own_files})
        return person


def _is_long(form: Settled, cells: Mapping[str, Sequence[str]], at: int) -> bool:
    """Whether a row has a subject that `StyleCheck` tells of; `cells` are by column."""
    return form.own_length + sum([len(cells[one][at]) for one in form.in_subject]) > SUBJECT_LIMIT


def nobody_on(people: PeopleList) -> Problem:
    """The warning about a list without rows."""
    what, hint = "there is nobody on this list", "Write a row for each person under the header"
    return Problem(people.file, people.table.header_line, what, hint, Level.WARNING)


def examine(
    campaign: Campaign,
    name: str,
    *,
    server: Server | None,
    campaign_id: str,
    today: date | None = None,
    frozen_last: Callable[[str], Frozen | None] = lambda _: None,
) -> Examined:
    """Examine a letter, but not yet the rows of its list; UsageError if there is no such letter.

    Without a server it would go to the sandbox; `campaign_id` is as the log has it, and `today` the
    day on which the letter would be frozen, if not now. `frozen_last` gives another letter by its
    name, as it was frozen last; None: it never was.
    """
    today = today or datetime.now(zone_of(campaign)).date()
    letter = campaign.find_letter(name)
    bare = BareColumns(conditions_of(letter) if letter.texts else ())
    examined = Examined(campaign, letter, server, Files.of(campaign), bare)
    examined.problems += concerning(campaign, letter.name)
    examined.problems += letter_checks.unknown_lists(campaign)
    examined.problems += letter_checks.unknown_holidays(campaign)
    examined.problems += letter_checks.unclear_signing(campaign)
    if not letter.texts:
        return examined
    if letter.front.to in campaign.settings.people:  # else `campaign.problems` says so
        examined.people = campaign.people(letter.front.to, examined.problems)
    if examined.people and letter.front.kind == "bulk":
        examined.consent = letter_checks.consent_of(campaign, letter, examined.people)
    follows = letter.front.follows
    before = frozen_last(follows) if follows else None
    columns = examined.people.columns if examined.people else AnyColumn(["email"])
    try:
        examined.frozen = freeze(
            campaign,
            letter,
            campaign_id=campaign_id,
            today=today,
            columns=columns,
            files=examined.files,
            before=before,
        )
    except CampaignError as fault:
        # What is missing may be in the part of the front matter that was wrong.
        is_patched = len(letter.texts) < len(letter.files) or any(
            text.is_patched for text in letter.texts.values()
        )
        told = [one for one in fault.problems if not (is_patched and one.what in SAYS_ABSENT)]
        examined.problems += told
    if letter.front.event and letter.front.event not in campaign.settings.events:
        examined.frozen = None  # reported already; else every copy would lack it
    examined.problems += unfit(campaign, letter, server, today)
    examined.problems += letter_checks.counted_before(campaign, letter, before, today)
    examined.problems += letter_checks.bulk_problems(
        campaign, letter, examined.frozen, examined.people, server
    )
    examined.problems += letter_checks.heavy_pictures(letter, examined.frozen)
    examined.problems += slips_of_campaign(campaign, letter)
    return examined


def concerning(campaign: Campaign, letter: str) -> list[Problem]:
    """The campaign's problems that concern a letter: all but those of other letters."""
    found = []
    for problem in campaign.problems:
        folder, _, name = problem.file.rpartition("/")
        if folder != LETTERS_FOLDER or name.split(".")[0] in {letter, DEMANDS}:
            found.append(problem)
    return found


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems by file and line, each once."""
    return sorted(
        set(problems),
        key=lambda one: (one.file, one.line or 0, one.level, one.what, one.hint),
    )


def folder_warnings(folder: Path) -> list[Problem]:
    """What may be wrong with the folder that a log is kept in."""
    doubts = []
    if owner := _synced_by(folder.resolve()):
        doubts.append(f"the folder is synchronised by {owner}")
    if kind := _network_kind(folder.resolve()):
        doubts.append(f"the folder is on a shared file system ({kind})")
    hint = "Keep the campaign in a folder of this machine only, or name one in [log] database"
    return [
        Problem(str(folder), None, f"{why}: a log there can lose data", hint, Level.WARNING)
        for why in doubts
    ]


def _synced_by(folder: Path) -> str | None:
    for place in (folder, *folder.parents):
        name = place.name.lower()
        for beginning, owner in _FOLDERS["names"].items():
            # Not "dropbox-client".
            if name == beginning or name.startswith((f"{beginning} -", f"{beginning} (")):
                return owner
        with suppress(OSError):  # we may not read it
            for marker, owner in _FOLDERS["markers"].items():
                if any(place.glob(marker)):
                    return owner
    return None


def _network_kind(folder: Path) -> str | None:
    """The kind of a folder's file system, if another machine or system writes to it too."""
    kind = system.file_system(folder)
    return kind if _NETWORK.fullmatch(kind) else None
