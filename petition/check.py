"""Everything that is wrong with a letter and its list, all at once, before anything is sent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property

from petition import bulk as letter_checks
from petition.campaign.alike import Alikes
from petition.campaign.folder import LETTERS_FOLDER, Campaign
from petition.campaign.letter import Letter
from petition.campaign.people import PeopleList, Person
from petition.campaign.server import Server
from petition.campaign.supporters import INVALID, PassedOver, Supporters
from petition.errors import CampaignError, Level, MergeRefused, Problem, UsageError
from petition.fitness import DEMANDS, CopiedTwice, refused_by, takes_all, unfit, zone_of
from petition.lint.campaign import slips_of
from petition.lint.letter import Lint
from petition.merge.attachments import Files
from petition.merge.document import Frozen
from petition.merge.freeze import freeze
from petition.merge.message import Merger

READ_BACK_FIRST = 100  # copies that are parsed in full; of the others the header block is looked at

_MEND_ROW = "Write the real address or delete the row"

PERSONS_NAMED = 5  # so many rows are named in a problem that many have; the rest are counted


class Fallbacks:
    """Those for whom there is no letter in their language: some by name, and their number."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[list[Person], int]] = {}

    def add(self, person: Person) -> None:
        """One more."""
        named, count = self._found.get(person.language, ([], 0))
        if len(named) < PERSONS_NAMED:
            named.append(person)
        self._found[person.language] = named, count + 1

    def __iter__(self) -> Iterator[tuple[str, list[Person], int]]:
        """The languages, the most wanted first, each with its first persons and their number."""
        found = sorted(self._found.items(), key=lambda pair: -pair[1][1])
        return ((language, named, count) for language, (named, count) in found)


def as_it_is(person: Person) -> Person:
    """A person to whom nothing is to be added."""
    return person


@dataclass
class Examined:
    """A letter, its list, and what is wrong with them so far.

    Args:
        files: Reads what the letter carries.
        frozen: The letter as it would be frozen now; None where its problems forbid it. Where
            there are errors it serves to find further ones, and must not be sent.
        people: Its list; None where it cannot be read.
        fallbacks: For whom there is no letter in their language, of those asked about.
        complete: Adds to a person what the log knows (following.py).
        supporters: Of a bulk letter, its list with the consent of its people.
    """

    campaign: Campaign
    letter: Letter
    server: Server | None
    files: Files
    frozen: Frozen | None = None
    people: PeopleList | None = None
    problems: list[Problem] = field(default_factory=list)
    fallbacks: Fallbacks = field(default_factory=Fallbacks)
    complete: Callable[[Person], Person] = as_it_is
    supporters: Supporters | None = None
    _passed_over: PassedOver = field(default_factory=lambda: PassedOver(""))

    @property
    def has_errors(self) -> bool:
        """Whether the letter may not be sent as it is."""
        return any(problem.is_error for problem in self.problems)

    def persons(
        self, merger: Merger | None, revision: int, *, read_back: int = READ_BACK_FIRST
    ) -> Iterator[Person]:
        """The list's persons, each examined as it is read.

        Args:
            merger: Merges the letter for each of them; None: only the rows are looked at.
            revision: The revision that is to be sent.
            read_back: How many copies are parsed in full.

        Yields:
            Every person whose row is sound; `problems` is complete when the last one was taken.
        """
        if self.people is None:
            return
        refusals = Refusals()
        now = datetime.now(zone_of(self.campaign)).replace(microsecond=0)
        lint = Lint(self.letter, merger, revision, now)
        alikes = Alikes(self.campaign.signatories, self.campaign.settings.people["signatories"])
        copied = CopiedTwice(self.letter)
        is_judged = not takes_all(self.server)
        before, read, merged = len(self.problems), 0, 0
        for read, person in enumerate(self.rows(), start=1):  # noqa: B007
            if person.excluded:  # nobody writes to it, and its cells may be in any condition
                yield person
                continue
            fault = self._fault_of_address(person) if is_judged else None
            subject = None
            if not self.supporters:  # who sign it themselves are the ones to write to
                alikes.look_at(person)
            copied.look_at(person)
            if merger is not None:
                merged += 1
                full = merged <= read_back
                subject, refused = self._merge(merger, person, revision, now, full=full)
                fault = fault or self._of_the_row(person, refused)
                if refused and refused is not fault:
                    refusals.add(refused, person)
            if fault and self.supporters:
                self._passed_over.add(fault)
                yield person._replace(excluded=INVALID)
                continue
            if fault:
                self.problems.append(fault)
            lint.look_at(person, subject)
            yield person
        if not read and len(self.problems) == before:
            self.problems.append(_nobody(self.people))
        self.problems += self._passed_over.problems()
        self.problems += refusals.problems()
        self.problems += alikes.problems()
        self.problems += copied.problems
        self.problems += lint.problems()

    def rows(self) -> Iterator[Person]:
        """The list's persons as they are read; of a bulk letter all of them."""
        if self.people is None:
            return iter(())
        self._passed_over = PassedOver(self.people.file)
        if self.supporters:
            rows = self.supporters.rows(self.problems, self._passed_over)
        else:
            rows = self.people.rows(self.problems)
        return rows if self.complete is as_it_is else map(self.complete, rows)

    def tell_language(self, merger: Merger | None, person: Person) -> None:
        """Count a person for whom there is no letter in their language."""
        if not person.language or person.excluded or not merger:  # most rows name no language
            return
        if merger.language_of(person)[1]:
            self.fallbacks.add(person)

    def _merge(
        self,
        merger: Merger,
        person: Person,
        revision: int,
        now: datetime,
        *,
        full: bool,
    ) -> tuple[str | None, Problem | None]:
        """The subject of a person's copy, or why it is refused."""
        try:
            if full:
                return merger.merge(person, revision, now, full=True).subject, None
            return merger.check(person, revision, now), None
        except MergeRefused as refusal:
            return None, refusal.problem

    def _of_the_row(self, person: Person, refused: Problem | None) -> Problem | None:
        """A refusal that a row of a bulk letter is to blame for, and not the letter."""
        is_row = self.supporters and refused and refused.file == person.file
        return refused if is_row else None

    def _fault_of_address(self, person: Person) -> Problem | None:
        if what := refused_by(self.server, person.mailbox):
            return Problem(person.file, person.line, what, _MEND_ROW, mark=self._email)
        return None

    @cached_property
    def _email(self) -> int | None:
        return self.people.cell("email") if self.people else None


def _nobody(people: PeopleList) -> Problem:
    what = "there is nobody on this list"
    mend = "Write a row for each person under the header"
    return Problem(people.file, people.table.header_line, what, mend, Level.WARNING)


class Refusals:
    """Merges that were refused, one problem for all the rows that have it."""

    def __init__(self) -> None:
        self._rows: dict[Problem, list[Person]] = {}

    def add(self, problem: Problem, person: Person) -> None:
        """One more row with a problem."""
        self._rows.setdefault(problem, []).append(person)

    def problems(self) -> list[Problem]:
        """The problems, each with the rows that have it."""
        return [self._with_rows(problem, rows) for problem, rows in self._rows.items()]

    def _with_rows(self, problem: Problem, rows: list[Person]) -> Problem:
        if problem.file == rows[0].file:  # it names its row itself
            return problem
        named = ", ".join(f"{row.file}:{row.line}" for row in rows[:PERSONS_NAMED])
        more = f" and {len(rows) - PERSONS_NAMED} more" if len(rows) > PERSONS_NAMED else ""
        what = f"{problem.what} (for {named}{more})"
        return replace(problem, what=what)


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
        consent = letter_checks.consent_of(campaign, letter, examined.people)
        examined.supporters = Supporters(examined.people, consent)
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
    examined.problems += slips_of(campaign, letter)
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
    mend = f"Did you mean {near[0]}" if near else f"Letters here: {known}"
    raise UsageError(f'there is no letter "{name}" ({LETTERS_FOLDER}/{stem}.md)', mend)


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
        set(problems), key=lambda one: (one.file, one.line or 0, one.level, one.what, one.mend)
    )


def today_of(campaign: Campaign) -> date:
    """The day it is for the campaign."""
    return datetime.now(zone_of(campaign)).date()
