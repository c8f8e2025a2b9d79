"""Everything that is wrong with a campaign and its list, at once, before anything is sent.

They are pointed out and never dropped: two people may well have one name.

A program that synchronises a folder copies a database while it is written; a network file system
may neither lock nor flush it (https://www.sqlite.org/howtocorrupt.html, 1.1 and 2.1).
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path, PurePath

from petition.address import folded
from petition.campaign.folder import LETTERS_FOLDER, Campaign
from petition.campaign.letter import Letter
from petition.campaign.names import quoted
from petition.campaign.people import FirstLines, ListJudge, PeopleList, Person
from petition.campaign.server import Server
from petition.campaign.signatories import Signatory
from petition.campaign.supporters import INVALID, BulkJudge, Consent, PassedOver
from petition.campaign.tables import TableRow
from petition.checks import letter as letter_checks
from petition.checks.letter import DEMANDS, CopiedTwice, refused_by, takes_all, unfit, zone_of
from petition.checks.style import Lint, slips_of_campaign
from petition.errors import (
    CampaignError,
    Level,
    MergeHindered,
    MergeRefused,
    Problem,
    Problems,
    UsageError,
)
from petition.merge.attachments import Files
from petition.merge.document import Frozen
from petition.merge.freeze import freeze
from petition.merge.message import Merger

_TOLD = 20  # warnings of each kind that are written out; the others are counted


class Duplicates:
    """Looks at one person after the other for those who were there before.

    Args:
        signatories: Who signs.
        signatories_file: The file that names them.
    """

    def __init__(self, signatories: Iterable[Signatory], signatories_file: str) -> None:
        self._signatories_file = signatories_file
        self._signed: dict[str, Signatory] = {}
        for one in signatories:
            self._signed.setdefault(_folded(one.name), one)
            if one.email:
                self._signed.setdefault(folded(one.email), one)
        self._names = FirstLines()
        self._namesakes = _Told("more people have a name that stands in the list before")
        self._signing = _Told("more recipients sign the letter as well")

    def look_at(self, people: list[Person]) -> None:
        """Look at the next people of the list."""
        names = [_folded(person.mailbox.display_name) for person in people]
        if self._signed:
            for person, name in zip(people, names, strict=True):
                key = folded(person.mailbox.addr_spec)
                signatory = self._signed.get(key) or self._signed.get(name)
                if signatory and (name or signatory.email):
                    self._signing.tell(person, *self._signs(person, signatory))
        whole = [name if " " in name else "" for name in names]  # a first name alone says nothing
        repeats = self._names.repeats(whole, [person.line for person in people])
        for at, line in repeats.items():
            what = f"{quoted(people[at].mailbox.display_name)} stands in line {line} as well"
            what += ", with another address"
            hint = "Delete one of the rows if both are one person"
            self._namesakes.tell(people[at], what, hint)

    def problems(self) -> list[Problem]:
        """What was found, as warnings."""
        return [*self._namesakes.problems(), *self._signing.problems()]

    def _signs(self, person: Person, signatory: Signatory) -> tuple[str, str]:
        place = f"{self._signatories_file}:{signatory.line}"
        if folded(signatory.email) == folded(person.mailbox.addr_spec):
            what = f"{quoted(person.mailbox.addr_spec)} signs the letter as well ({place})"
        else:
            what = f"{quoted(person.mailbox.display_name)} signs the letter as well ({place})"
        return what, "Look whether the letter should go to somebody who signs it"


class _Told:
    """Warnings of one kind, of which no more than some are written out."""

    def __init__(self, rest: str) -> None:
        self._rest = rest
        self._problems: list[Problem] = []
        self._more = 0
        self._file = ""

    def tell(self, person: Person, what: str, hint: str) -> None:
        if len(self._problems) >= _TOLD:
            self._more += 1
            return
        self._file = person.file
        self._problems.append(Problem(person.file, person.line, what, hint, Level.WARNING))

    def problems(self) -> list[Problem]:
        if not self._more:
            return self._problems
        what = f"{self._more:,} {self._rest}"
        hint = "Mend the ones that are named first"
        return [*self._problems, Problem(self._file, None, what, hint, Level.WARNING)]


def _folded(name: str) -> str:
    """A name by which two spellings of it are the same."""
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return " ".join(plain.casefold().split())


MOUNTS = Path("/proc/mounts")

_NETWORK = {"afs", "cifs", "davfs", "fuse.davfs2", "fuse.rclone", "fuse.sshfs", "nfs", "nfs4"}
_NETWORK |= {"afpfs", "ceph", "fuse.glusterfs", "fuse.google-drive-ocamlfuse", "fuse.gvfsd-fuse"}
_NETWORK |= {"fuse.onedriver", "fuse.s3fs", "smb3", "smbfs"}
# The name of a folder, or how it begins, and whose it is.
_FOLDERS = {
    "dropbox": "Dropbox",
    "onedrive": "OneDrive",
    "google drive": "Google Drive",
    "googledrive": "Google Drive",
    "my drive": "Google Drive",
    "icloud drive": "iCloud",
    "iclouddrive": "iCloud",
    "mobile documents": "iCloud",
    "com~apple~clouddocs": "iCloud",
    "cloudstorage": "macOS for a cloud",  # ~/Library/CloudStorage holds all of them
    "megasync": "MEGA",
    "nextcloud": "Nextcloud",
    "pclouddrive": "pCloud",
    "proton drive": "Proton Drive",
    "seafile": "Seafile",
    "yandex.disk": "Yandex Disk",
    "owncloud": "ownCloud",
}
_MARKERS = {
    ".dropbox": "Dropbox",
    ".dropbox.cache": "Dropbox",
    ".stfolder": "Syncthing",
    ".stignore": "Syncthing",
    ".owncloudsync.log": "Nextcloud",
    ".nextcloudsync.log": "Nextcloud",
}


def warnings(folder: Path) -> list[Problem]:
    """What is doubtful about the place where a log is kept.

    Args:
        folder: The log's folder.
    """
    return [
        Problem(
            str(folder),
            None,
            f"{why}, and a log there can lose what it wrote",
            "Keep the campaign in a folder of this machine alone, or name one in [log] database",
            Level.WARNING,
        )
        for why in _doubts(folder.resolve())
    ]


def _doubts(folder: Path) -> Iterator[str]:
    if owner := _synced_by(folder):
        yield f"the folder is synchronised by {owner}"
    if kind := _network_kind(folder):
        yield f"the folder lies on a network file system ({kind})"


def _synced_by(folder: Path) -> str | None:
    for place in (folder, *folder.parents):
        if owner := _owner_of_name(place.name.lower()):
            return owner
        for marker, owner in _MARKERS.items():
            if _exists(place / marker):
                return owner
        if _has_sync_log(place):
            return "Nextcloud"
    return None


def _owner_of_name(name: str) -> str | None:
    for beginning, owner in _FOLDERS.items():
        # "OneDrive - Example Ltd", "Dropbox (Personal)", but no "dropbox-client".
        if name == beginning or name.startswith((f"{beginning} -", f"{beginning} (")):
            return owner
    return None


def _has_sync_log(folder: Path) -> bool:
    """Whether Nextcloud or ownCloud keeps its journal there: `.sync_5f3a9c.db`."""
    try:
        return any(folder.glob(".sync_*.db"))
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _network_kind(folder: Path) -> str | None:
    """The kind of the file system that a folder lies on, if other machines write to it too."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return None
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = PurePath(_unescaped(fields[1]))
        # The last one of two mounts on one place is the one that is seen.
        if folder.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), fields[2]
    return kind if kind in _NETWORK else None


def _unescaped(place: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(code, char)
    return place


READ_BACK_FIRST = 100  # copies that are parsed in full; of the others the header block is looked at

_HINT_ROW = "Write the real address or delete the row"

PERSONS_NAMED = 5  # so many rows are named in a problem that many have; the rest are counted


class Fallbacks:
    """Those for whom there is no letter in their language: some by name, and their number."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[list[Person], int]] = {}

    def look_at(self, merger: Merger | None, person: Person) -> None:
        """Count somebody for whom there is no letter in their language."""
        if not merger or not person.language or person.excluded:
            return
        if not merger.language_of(person)[1]:
            return
        named, count = self._found.get(person.language, ([], 0))
        if len(named) < PERSONS_NAMED:
            named.append(person)
        self._found[person.language] = named, count + 1

    def __iter__(self) -> Iterator[tuple[str, list[Person], int]]:
        """The languages, the most wanted first, each with its first persons and their number."""
        found = sorted(self._found.items(), key=lambda pair: -pair[1][1])
        return ((language, named, count) for language, (named, count) in found)


@dataclass
class Examined:
    """A letter, its list, and what is wrong with them so far.

    Args:
        files: Reads what the letter carries.
        frozen: The letter as it would be frozen now; None where its problems forbid it. Where
            there are errors it serves to find further ones, and must not be sent.
        people: Its list; None where it cannot be read.
        fallbacks: For whom there is no letter in their language, of those asked about.
        complete: Adds to a person what the log knows (prepare.py).
        consent: Of a bulk letter, reads the consent of the list's people.
        passed_over: Of a bulk letter, the rows that cannot be used.
        largest_copy: The size in bytes of the largest copy that was parsed in full.
    """

    campaign: Campaign
    letter: Letter
    server: Server | None
    files: Files
    frozen: Frozen | None = None
    people: PeopleList | None = None
    problems: list[Problem] = field(default_factory=Problems)
    fallbacks: Fallbacks = field(default_factory=Fallbacks)
    complete: Callable[[Person], Person] = lambda person: person
    consent: Consent | None = None
    passed_over: PassedOver = field(default_factory=lambda: PassedOver(""))
    largest_copy: int = 0

    @property
    def has_errors(self) -> bool:
        """Whether the letter may not be sent as it is."""
        return any(problem.is_error for problem in self.problems)

    @property
    def is_bulk(self) -> bool:
        """Whether a row that cannot be used is left out, and keeps no letter from leaving."""
        return self.consent is not None

    def judge(
        self, people: PeopleList
    ) -> Callable[[list[TableRow]], tuple[list[Person], list[Problem]]]:
        """What judges the rows of the list, in one pass, and completes its people."""
        self.passed_over = PassedOver(people.file)
        judge = ListJudge(people)
        if self.consent:
            judge = BulkJudge(people, self.consent, self.passed_over)

        def judge_and_complete(rows: list[TableRow]) -> tuple[list[Person], list[Problem]]:
            people, problems = judge(rows)
            return [self.complete(one) for one in people], problems

        return judge_and_complete

    def rows(self) -> Iterator[Person]:
        """The list's people as they are read; of a bulk letter all of them."""
        if self.people is None:
            return
        judge = self.judge(self.people)
        for rows in self.people.table.blocks():
            people, problems = judge(rows)
            self.problems += problems
            yield from people


class CopyCheck:
    """Merges a letter for the people of its list, some at a time, and looks at each copy.

    Args:
        examined: The letter and its list; its rows that cannot be used are counted there.
        merger: Merges the letter; None: only the rows are looked at.
        revision: The revision that is to be sent.
        read_back: How many copies are parsed in full.
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
        self._lint = Lint(letter)
        signatories_file = campaign.settings.people["signatories"]
        self._duplicates = Duplicates(campaign.signatories, signatories_file)
        self._copied = CopiedTwice(letter)
        self._refusals = Refusals()
        self._judges_address = not takes_all(examined.server)

    def __call__(self, people: list[Person]) -> tuple[list[Person], list[Problem]]:
        """The same people, each with the files that their copy alone carries; and what is wrong.

        Of a bulk letter, those whose row cannot be used are excluded. Who is excluded is not looked
        at: nobody writes to them, and their cells may be in any condition.
        """
        if not self._examined.is_bulk:  # who sign that themselves are the ones to write to
            self._duplicates.look_at([one for one in people if not one.excluded])
        problems: list[Problem] = []
        checked = [one if one.excluded else self._checked(one, problems) for one in people]
        return checked, problems

    def summary(self) -> list[Problem]:
        """What is told once for the whole list, after its last row."""
        found = [*self._refusals.problems(), *self._duplicates.problems()]
        return [*found, *self._copied.problems, *self._lint.problems()]

    def _checked(self, person: Person, problems: list[Problem]) -> Person:
        self._copied.look_at(person)
        fault = self._fault_of_address(person) if self._judges_address else None
        copy = None
        if self._merger:
            full = self._left_to_parse > 0
            self._left_to_parse -= 1
            try:
                copy = self._merger.check(person, self._revision, self._date, full=full)
            except MergeRefused as refusal:
                if refusal.problem.file != person.file:
                    self._refusals.add(refusal.problem, person)
                elif isinstance(refusal, MergeHindered) or not self._examined.is_bulk:
                    problems.append(refusal.problem)  # for a file that is away no row is to blame
                else:
                    fault = fault or refusal.problem
        if fault and self._examined.is_bulk:
            self._examined.passed_over.add(fault)
            return person._replace(excluded=INVALID)
        if fault:
            problems.append(fault)
        self._lint.look_at(person, copy)
        if not copy:
            return person
        self._examined.largest_copy = max(self._examined.largest_copy, copy.size or 0)
        if copy.own_files:
            person = person._replace(fields={**person.fields, **copy.own_files})
        return person

    def _fault_of_address(self, person: Person) -> Problem | None:
        if what := refused_by(self._examined.server, person.mailbox):
            return Problem(person.file, person.line, what, _HINT_ROW, mark=self._email)
        return None

    @cached_property
    def _email(self) -> int | None:
        return self._examined.people.cell("email") if self._examined.people else None


def nobody_on(people: PeopleList) -> Problem:
    """A list without a row."""
    what = "there is nobody on this list"
    hint = "Write a row for each person under the header"
    return Problem(people.file, people.table.header_line, what, hint, Level.WARNING)


class Refusals:
    """Merges that the letter is to blame for, one problem for all the rows that have it."""

    def __init__(self) -> None:
        self._places: dict[Problem, list[str]] = {}
        self._counts: Counter[Problem] = Counter()

    def add(self, problem: Problem, person: Person) -> None:
        """One more row with a problem."""
        self._counts[problem] += 1
        places = self._places.setdefault(problem, [])
        if len(places) < PERSONS_NAMED:
            places.append(f"{person.file}:{person.line}")

    def problems(self) -> list[Problem]:
        """The problems, each with the rows that have it."""
        return [self._with_rows(problem) for problem in self._places]

    def _with_rows(self, problem: Problem) -> Problem:
        more = self._counts[problem] - PERSONS_NAMED
        named = ", ".join(self._places[problem]) + (f" and {more} more" if more > 0 else "")
        return replace(problem, what=f"{problem.what} (for {named})")


def examine(
    campaign: Campaign, name: str, *, server: Server | None, campaign_id: str, today: date
) -> Examined:
    """Examine a letter, all but the rows of its list.

    Args:
        campaign: The loaded campaign.
        name: The letter's name.
        server: Where it would go; None: the sandbox.
        campaign_id: The campaign's id, as the log has fixed it.
        today: The day it would be frozen on.

    Raises:
        UsageError: There is no such letter.
    """
    letter = find_letter(campaign, name)
    examined = Examined(campaign, letter, server, Files.of(campaign))
    examined.problems += concerning(campaign, letter.name)
    examined.problems += letter_checks.unknown_lists(campaign)
    if not letter.texts:
        return examined
    if letter.front.to in campaign.settings.people:  # else the campaign has said so
        examined.people = campaign.people(letter.front.to, examined.problems)
    if examined.people and letter.front.kind == "bulk":
        examined.consent = letter_checks.consent_of(campaign, letter, examined.people)
    columns = examined.people.columns if examined.people else _AnyColumn(["email"])
    try:
        examined.frozen = freeze(
            campaign,
            letter,
            campaign_id=campaign_id,
            today=today,
            columns=columns,
            files=examined.files,
        )
    except CampaignError as fault:
        examined.problems += fault.problems
    if letter.front.event and letter.front.event not in campaign.settings.events:
        examined.frozen = None  # the event was told of; that every copy lacks it follows
    examined.problems += unfit(campaign, letter, server, today)
    examined.problems += letter_checks.problems_of(
        campaign, letter, examined.frozen, examined.people, server
    )
    examined.problems += slips_of_campaign(campaign, letter)
    return examined


class _AnyColumn(tuple[str, ...]):
    """The columns of a list that cannot be read: whatever a letter names could be there."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return True


def find_letter(campaign: Campaign, name: str) -> Letter:
    """A letter by its name, or by its file's.

    Raises:
        UsageError: There is none.
    """
    stem = name.removeprefix(f"{LETTERS_FOLDER}/").removesuffix(".md")
    if stem in campaign.letters:
        return campaign.letters[stem]
    near = get_close_matches(stem, campaign.letters, n=1)
    known = ", ".join(sorted(campaign.letters)) or "none"
    hint = f"Did you mean {near[0]}" if near else f"Letters here: {known}"
    raise UsageError(f'there is no letter "{name}" ({LETTERS_FOLDER}/{stem}.md)', hint)


def concerning(campaign: Campaign, letter: str) -> list[Problem]:
    """The campaign's problems that concern a letter: all but those of other letters.

    Args:
        campaign: The loaded campaign.
        letter: The letter's name.
    """
    own = {None, letter, DEMANDS}
    return [problem for problem in campaign.problems if _letter_of(problem.file) in own]


def _letter_of(file: str) -> str | None:
    """The name of the letter that a file belongs to, or None where it is no letter's."""
    folder, _, name = file.rpartition("/")
    return name.split(".")[0] if folder == LETTERS_FOLDER else None


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems by file and line, each once."""
    return sorted(
        set(problems), key=lambda one: (one.file, one.line or 0, one.level, one.what, one.hint)
    )


def today_of(campaign: Campaign) -> date:
    """The day it is for the campaign."""
    return datetime.now(zone_of(campaign)).date()
