"""Everything that is wrong with a letter and its list, all at once, before anything is sent."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from petition.address import Mailbox
from petition.campaign.folder import Campaign
from petition.campaign.letter import Letter
from petition.campaign.people import PeopleList, Person
from petition.campaign.server import Server
from petition.errors import CampaignError, Level, MergeRefused, Problem, UsageError
from petition.merge.frozen import Frozen, freeze
from petition.merge.message import Merger

PERSONS_NAMED = 5  # so many rows are named in a problem that many have; the rest are counted


@dataclass
class Examined:
    """A letter, its list, and what is wrong with them so far.

    Args:
        frozen: The letter as it would be frozen now; None where its problems forbid it.
        people: Its list; None where it cannot be read.
        fallbacks: For whom there is no letter in their language, in the order of the list.
    """

    campaign: Campaign
    letter: Letter
    server: Server | None
    frozen: Frozen | None = None
    people: PeopleList | None = None
    problems: list[Problem] = field(default_factory=list)
    fallbacks: list[Person] = field(default_factory=list)

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
        for person in self.people.rows(self.problems):
            self._look_at(person.mailbox, person.file, person.line)
            if merger is not None:
                self._merge(merger, person, revision, now, refusals)
            yield person
        self.problems += refusals.problems()

    def _merge(
        self, merger: Merger, person: Person, revision: int, now: datetime, refusals: "Refusals"
    ) -> None:
        if merger.language_of(person)[1]:
            self.fallbacks.append(person)
        try:
            merger.merge(person, revision, now, full=False)
        except MergeRefused as refusal:
            refusals.add(refusal.problem, person)

    def _look_at(self, mailbox: Mailbox, file: str, line: int | None) -> None:
        if self.server and not self.server.is_loopback and mailbox.is_reserved:
            self.problems.append(
                Problem(
                    file,
                    line,
                    f"{mailbox.addr_spec} is under a domain reserved for examples (RFC 2606):"
                    " nobody can receive mail there",
                    "Write the real address or delete the row",
                )
            )

    def look_at_sender(self, today: date) -> None:
        """What must hold before a letter leaves for a real server."""
        sender, settings_file = self.campaign.settings.sender, "petition.toml"
        self._look_at(sender.from_, settings_file, None)
        if sender.reply_to:
            self._look_at(sender.reply_to, settings_file, None)
        elif self.server:
            self.problems.append(
                Problem(
                    settings_file,
                    None,
                    "[sender] has no reply_to, and answers would have nowhere to go",
                    'Write reply_to = "an address that somebody reads"',
                )
            )
        if self.frozen and self.frozen.reply_by and self.frozen.reply_by < today:
            self.problems.append(self._too_late(self.frozen.reply_by))

    def _too_late(self, reply_by: date) -> Problem:
        text = self.letter.default_text
        return Problem(
            text.file,
            text.line_of("reply_by"),
            f"the reply-by date {reply_by.isoformat()} is past",
            "Set a date that can still be kept",
            Level.ERROR if self.server else Level.WARNING,
        )


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
        named = ", ".join(f"{row.file}:{row.line}" for row in rows[:PERSONS_NAMED])
        more = f" and {len(rows) - PERSONS_NAMED} more" if len(rows) > PERSONS_NAMED else ""
        what = f"{problem.what} (for {named}{more})"
        return Problem(problem.file, problem.line, what, problem.mend, problem.level)


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
    examined = Examined(campaign, letter, server)
    examined.problems += concerning(campaign.problems, campaign, letter)
    if letter.texts:
        examined.people = campaign.people(letter.front.to, examined.problems)
    if examined.people and not examined.has_errors:
        try:
            examined.frozen = freeze(
                campaign,
                letter,
                campaign_id=campaign_id,
                today=today,
                columns=examined.people.columns,
            )
        except CampaignError as fault:
            examined.problems += fault.problems
    examined.look_at_sender(today)
    return examined


def find_letter(campaign: Campaign, name: str) -> Letter:
    """A letter by its name, or by its file's.

    Raises:
        UsageError: There is none.
    """
    stem = name.removeprefix("letters/").removesuffix(".md")
    if stem in campaign.letters:
        return campaign.letters[stem]
    near = get_close_matches(stem, campaign.letters, n=1)
    known = ", ".join(sorted(campaign.letters)) or "none"
    mend = f"Did you mean {near[0]}?" if near else f"Letters here: {known}"
    raise UsageError(f'there is no letter "{name}" (letters/{stem}.md)', mend.rstrip("?"))


def concerning(
    problems: Iterable[Problem], campaign: Campaign, letter: Letter
) -> Iterator[Problem]:
    """The problems that concern a letter: all but those in the files of other letters."""
    own = {text.file for text in letter.texts.values()}
    foreign = {
        text.file for other in campaign.letters.values() for text in other.texts.values()
    } - own
    return (problem for problem in problems if problem.file not in foreign)


def zone_of(campaign: Campaign) -> ZoneInfo:
    """The campaign's time zone."""
    return ZoneInfo(campaign.settings.campaign.timezone)


def today_of(campaign: Campaign) -> date:
    """The day it is for the campaign."""
    return datetime.now(zone_of(campaign)).date()
