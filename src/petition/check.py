"""Everything that is wrong with a letter and its list, all at once, before anything is sent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property
from zoneinfo import ZoneInfo

from petition.address import Mailbox
from petition.campaign.alike import Alikes
from petition.campaign.folder import LETTERS_FOLDER, SETTINGS_FILE, Campaign
from petition.campaign.letter import Letter, LetterText
from petition.campaign.names import nearest
from petition.campaign.people import PeopleList, Person
from petition.campaign.server import Server
from petition.errors import CampaignError, Level, MergeRefused, Problem, UsageError
from petition.lint.campaign import slips_of
from petition.lint.letter import Lint
from petition.merge.files import Files
from petition.merge.frozen import Frozen, freeze
from petition.merge.invitation import wrong_weekdays
from petition.merge.message import Merger
from petition.merge.template import names_in

_DEMANDS = "demands"  # lies beside the letters and is none

COPIES = ("cc", "bcc")

READ_BACK_FIRST = 100  # copies that are parsed in full; of the others the header block is looked at

_MEND_ROW = "Write the real address or delete the row"
_MEND_COPY = "Write the real address or leave it out"

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

    @property
    def has_errors(self) -> bool:
        """Whether the letter may not be sent as it is."""
        return any(problem.is_error for problem in self.problems)

    def persons(self, merger: Merger | None, revision: int) -> Iterator[Person]:
        """The list's persons, each examined as it is read.

        Args:
            merger: Merges the letter for each of them; None: only the rows are looked at.
            revision: The revision that is to be sent.

        Yields:
            Every person whose row is sound; `problems` is complete when the last one was taken.
        """
        if self.people is None:
            return
        refusals = Refusals()
        now = datetime.now(zone_of(self.campaign)).replace(microsecond=0)
        lint = Lint(self.letter, merger, revision, now)
        alikes = Alikes(self.campaign.signatories, self.campaign.settings.people["signatories"])
        before, read, merged = len(self.problems), 0, 0
        rows = map(self.complete, self.people.rows(self.problems))
        for read, person in enumerate(rows, start=1):  # noqa: B007
            if not person.excluded:  # nobody writes to it, and its cells may be in any condition
                self._look_at(person.mailbox, person.file, person.line, _MEND_ROW)
                alikes.look_at(person)
                subject = None
                if merger is not None:
                    merged += 1
                    full = merged <= READ_BACK_FIRST
                    subject = self._merge(merger, person, revision, now, refusals, full=full)
                lint.look_at(person, subject)
            yield person
        if not read and len(self.problems) == before:
            self.problems.append(_nobody(self.people))
        self.problems += refusals.problems()
        self.problems += alikes.problems()
        self.problems += lint.problems()

    def tell_language(self, merger: Merger | None, person: Person) -> None:
        """Count a person for whom there is no letter in their language."""
        if merger and not person.excluded and merger.language_of(person)[1]:
            self.fallbacks.add(person)

    def _merge(
        self,
        merger: Merger,
        person: Person,
        revision: int,
        now: datetime,
        refusals: "Refusals",
        *,
        full: bool,
    ) -> str | None:
        """The subject of a person's copy; None: it is refused."""
        try:
            if full:
                return merger.merge(person, revision, now, full=True).subject
            return merger.check(person, revision, now)
        except MergeRefused as refusal:
            refusals.add(refusal.problem, person)
            return None

    def _look_at(self, mailbox: Mailbox, file: str, line: int | None, mend: str) -> None:
        if what := refused_by(self.server, mailbox):
            is_row = self.people and file == self.people.file
            mark = self._email if is_row else mailbox.addr_spec
            self.problems.append(Problem(file, line, what, mend, mark=mark))

    @cached_property
    def _email(self) -> int | None:
        return self.people.cell("email") if self.people else None

    def look_at_sender(self) -> None:
        """What must hold of the sender before a letter leaves for a real server."""
        if self.campaign.stands_in:  # petition.toml is wrong: nothing follows from what stands in
            return
        sender, lines = self.campaign.settings.sender, self.campaign.lines
        mend = "Write an address under a domain of your own"
        self._look_at(sender.from_, SETTINGS_FILE, lines.line_of(("sender", "from")), mend)
        if sender.reply_to:
            line = lines.line_of(("sender", "reply_to"))
            self._look_at(sender.reply_to, SETTINGS_FILE, line, mend)
        elif self.server:
            self.problems.append(
                Problem(
                    SETTINGS_FILE,
                    lines.line_of(("sender",)),
                    "[sender] has no reply_to, and answers would have nowhere to go",
                    'Write reply_to = "Name <an address that somebody reads>" under [sender]',
                    mark="",
                )
            )

    def look_at_copies(self) -> None:
        """Whether those in cc and bcc can receive mail."""
        text = self.letter.default_text
        for key in COPIES:
            for mailbox in getattr(text.front, key):
                self._look_at(mailbox, text.file, text.line_of(key), _MEND_COPY)

    def look_at_reply_by(self, today: date) -> None:
        """Whether the reply-by date is still to come."""
        reply_by = self.letter.front.reply_by
        if isinstance(reply_by, date) and reply_by < today:
            self.problems.append(self._too_late(reply_by))

    def look_at_event(self, today: date) -> None:
        """Whether the event is still to come, and whether the letter gives its weekday."""
        name = self.letter.front.event
        event = self.campaign.settings.events.get(name) if name else None
        if event is None:
            return
        for text in self.letter.texts.values():
            self.problems += wrong_weekdays(text, event.starts)
        end = event.ends or event.starts
        now = datetime.now(zone_of(self.campaign)).replace(tzinfo=None)
        if end.date() < today or (today == now.date() and end < now):
            text = self.letter.default_text
            self.problems.append(
                Problem(
                    text.file,
                    text.line_of("event"),
                    f"the event is past: it was on {event.starts:%Y-%m-%d}",
                    f"Set a day to come in [events.{name}], or leave the letter",
                    Level.ERROR if self.server else Level.WARNING,
                    name,
                )
            )

    def _too_late(self, reply_by: date) -> Problem:
        text = self.letter.default_text
        return Problem(
            text.file,
            text.line_of("reply_by"),
            f"the reply-by date {reply_by.isoformat()} is past",
            "Set a date that can still be kept",
            Level.ERROR if self.server else Level.WARNING,
            "reply_by",
        )

    def look_at_follows(self) -> None:
        """Whether the letter that it follows is there, and is not itself in a circle."""
        chain, letters = [self.letter.name], self.campaign.letters
        follows = self.letter.front.follows
        while follows in letters and follows not in chain and letters[follows].texts:
            chain.append(follows)
            follows = letters[follows].front.follows
        text = self.letter.default_text
        if follows in chain:
            what = f"the letters follow each other in a circle: {', '.join(chain)}"
            mend = "Let each follow one that was sent before it"
        elif follows and len(chain) == 1 and follows not in letters:
            near = nearest(follows, letters)
            what = f'there is no letter "{follows}" to follow'
            mend = f"Did you mean {near}" if near else f"Letters here: {', '.join(sorted(letters))}"
        else:
            return
        self.problems.append(Problem(text.file, text.line_of("follows"), what, mend, mark=follows))

    def look_at_demands(self) -> None:
        """Whether the demands stand in each language of the letter that shows them."""
        demands = self.campaign.demands
        for language, text in self.letter.texts.items():
            if not demands or language in demands or "demands" not in names_in(text):
                continue
            other = next(iter(demands))
            suffix = "" if language == self.campaign.languages[0] else f".{language}"
            file = f"{LETTERS_FOLDER}/{_DEMANDS}{suffix}.md"
            what = f'there is no {file}: this letter gives the demands in "{other}"'
            line = next((at for at, words in _lines(text) if "demands" in words), text.body_line)
            mend = "Translate them there, if the letter is to be in one language"
            self.problems.append(Problem(text.file, line, what, mend, Level.WARNING, _DEMANDS))


def refused_by(server: Server | None, mailbox: Mailbox) -> str | None:
    """Why a mailbox cannot be written to through a server, or None.

    Args:
        server: Where the letter would go; None: the sandbox, which takes every address.
        mailbox: The mailbox.
    """
    if server is None or server.is_loopback or not mailbox.is_reserved:
        return None
    why = "is under a domain reserved for examples (RFC 2606): nobody can receive mail there"
    return f"{mailbox.addr_spec} {why}"


def _nobody(people: PeopleList) -> Problem:
    what = "there is nobody on this list"
    mend = "Write a row for each person under the header"
    return Problem(people.file, people.table.header_line, what, mend, Level.WARNING)


def _lines(text: LetterText) -> Iterator[tuple[int, str]]:
    return enumerate(text.body.split("\n"), start=text.body_line)


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
    if not letter.texts:
        return examined
    if letter.front.to in campaign.settings.people:  # else the campaign has said so
        examined.people = campaign.people(letter.front.to, examined.problems)
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
    examined.look_at_sender()
    examined.look_at_copies()
    examined.look_at_reply_by(today)
    examined.look_at_event(today)
    examined.look_at_demands()
    examined.look_at_follows()
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
    own = {None, letter, _DEMANDS}
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


def zone_of(campaign: Campaign) -> ZoneInfo:
    """The campaign's time zone."""
    return ZoneInfo(campaign.settings.campaign.timezone)


def today_of(campaign: Campaign) -> date:
    """The day it is for the campaign."""
    return datetime.now(zone_of(campaign)).date()
