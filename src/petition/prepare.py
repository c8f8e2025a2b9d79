"""The only way into the log: check, plan, freeze, enqueue.

`prepare` reads and compares and writes nothing; `enqueue` carries out what `prepare` showed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher

from petition.address import Mailbox
from petition.campaign.folder import Campaign
from petition.campaign.people import Choice, Person
from petition.campaign.server import Server
from petition.check import COPIES, Examined, examine, in_order, refused_by, today_of
from petition.errors import CampaignError, Level, MergeRefused, Problem, UsageError
from petition.identity import Signer
from petition.merge.condition import Condition
from petition.merge.frozen import Frozen, differences
from petition.merge.message import Merger
from petition.outbox.listing import Comparison, ListedRow, Listing, Mode
from petition.outbox.log import Log
from petition.outbox.person import suppressions
from petition.outbox.records import FrozenLetter
from petition.outbox.states import State

KEEP_BYTES_UP_TO = 1000  # copies; of a longer list the log keeps their hashes alone
_ALIKE = 0.6  # share of the text that a renamed and edited letter has in common with what was sent


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asked for.

    Args:
        who: Addresses, ids or row numbers; empty: everybody.
        where: Only those for whom this condition holds (merge.condition); None: all.
        limit: At most so many copies; None: all.
        revise: A changed letter goes to those who have not had it.
        again: The letter goes to everyone, also to those who have it.
        trial: Only to look at it: the text as it is now, whatever was frozen.
    """

    who: tuple[str, ...] = ()
    where: str | None = None
    limit: int | None = None
    revise: bool = False
    again: bool = False
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A letter that is ready to be queued.

    Args:
        frozen: What will be sent.
        revision: In which revision.
        is_new: Whether this revision has yet to be frozen.
        resumes_again: `--again` was asked for, and an unfinished revision goes on instead.
        comparison: What is to be done, in counts.
        listed: How many rows the list has.
    """

    campaign: Campaign
    log: Log
    server: Server | None
    examined: Examined
    frozen: Frozen
    revision: int
    is_new: bool
    resumes_again: bool
    listing: Listing
    comparison: Comparison
    listed: int

    @property
    def letter(self) -> str:
        """The letter's name."""
        return self.frozen.letter

    @property
    def merger(self) -> Merger:
        """What makes the copies."""
        return Merger(self.frozen, Signer(self.log.key), self.examined.files)

    @property
    def warnings(self) -> list[Problem]:
        """What a person should look at."""
        return self.examined.problems

    @property
    def keeps_bytes(self) -> bool:
        """Whether the log keeps every copy's bytes."""
        return self.listed <= KEEP_BYTES_UP_TO


def campaign_id_of(campaign: Campaign, log: Log) -> str:
    """The campaign's id: the log's, once a letter was queued.

    Raises:
        UsageError: petition.toml names another one.
    """
    settings, fixed = campaign.settings.campaign, log.campaign_id
    if fixed and "id" in settings.model_fields_set and settings.id != fixed:
        raise UsageError(
            f'petition.toml says id = "{settings.id}", but letters were queued as "{fixed}"',
            f'Write id = "{fixed}" in [campaign], or use a new database in [log]',
        )
    return fixed or settings.id


def prepare(campaign: Campaign, name: str, log: Log, server: Server | None, wish: Wish) -> Prepared:
    """Check a letter and its list, and lay the list beside the log.

    Args:
        campaign: The loaded campaign.
        name: The letter's name.
        log: Its log; nothing but temporary tables is written.
        server: Where it would go; None: the sandbox.
        wish: What was asked for.

    Raises:
        CampaignError: Something is wrong in the files.
        UsageError: The wish cannot be met: another hash, nobody chosen, a renamed letter.
    """
    campaign_id = campaign_id_of(campaign, log)
    examined = examine(
        campaign, name, server=server, campaign_id=campaign_id, today=today_of(campaign)
    )
    examined.problems += suppressed_copies(examined, log)
    plan = _plan(examined, log, wish)
    choice = examined.people.choice(wish.who) if examined.people else Choice(wish.who)
    fits = _Fits(examined, wish.where)
    listing = Listing(log, examined.letter.name)
    listing.stage(_rows(examined, plan, Signer(log.key), choice, fits))
    if examined.has_errors or plan is None:
        raise CampaignError(in_order(examined.problems))
    if missed := choice.missed():
        near = choice.nearest(missed[0])
        mend = f"Did you mean {near}" if near else "Name an address, an id or a row number"
        raise UsageError(f"nobody on the list is {', '.join(missed)}", mend)
    fits.refuse_nobody()
    plan.refuse()
    mode = plan.mode(wish)
    comparison = listing.compare(plan.revision, mode, wish.limit)
    return Prepared(
        campaign=campaign,
        log=log,
        server=server,
        examined=examined,
        frozen=plan.frozen,
        revision=plan.revision,
        is_new=plan.is_new,
        resumes_again=wish.again and not plan.is_new,
        listing=listing,
        comparison=comparison,
        listed=choice.seen,
    )


def text_to_send(now: Frozen, log: Log | None) -> tuple[Frozen, int]:
    """The text that a copy would be made of now, and its revision.

    Args:
        now: The letter as it would be frozen now.
        log: Its log, if there is one.

    Returns:
        What was frozen before, with its `today`, where the letter has not changed since.
    """
    newest = log.newest(now.letter) if log else None
    if newest is None:
        return now, 1
    old = Frozen.from_json(newest.document)
    return (old, newest.revision) if old.hash == now.hash else (now, newest.revision + 1)


def refusal_of(examined: Examined, log: Log) -> Iterator[Problem]:
    """Why `send` would stop at a letter that is frozen already, as a warning.

    Args:
        examined: The letter as it is now.
        log: Its log.
    """
    plan = _plan(examined, log, Wish())
    try:
        if plan:
            plan.refuse()
    except UsageError as why:
        text = examined.letter.default_text
        yield Problem(text.file, None, why.what, why.mend, Level.WARNING)


def suppressed_copies(examined: Examined, log: Log) -> Iterator[Problem]:
    """Those in cc and bcc who are never to be written to, a problem each.

    Args:
        examined: The letter.
        log: Knows them.
    """
    if not examined.letter.texts:
        return
    text = examined.letter.default_text
    suppressed = {one.mailbox for one in suppressions(log)}
    for key in COPIES:
        for mailbox in getattr(text.front, key):
            if mailbox.addr_spec in suppressed:
                what = f"{mailbox.addr_spec} is never to be written to (petition suppress)"
                mend = f"Take it out of {key}"
                yield Problem(text.file, text.line_of(key), what, mend, mark=mailbox.addr_spec)


def refuse_trial(log: Log, server: Server | None, to: Mailbox) -> None:
    """Refuse a trial copy to a mailbox that may not be written to.

    Args:
        log: Knows who is never to be written to.
        server: Where it would go; None: the sandbox.
        to: The mailbox.

    Raises:
        UsageError: It is under a reserved domain, or suppressed.
    """
    if what := refused_by(server, to):
        raise UsageError(what, "Write an address of your own; nothing was sent")
    if to.addr_spec in {one.mailbox for one in suppressions(log)}:
        what = f"{to.addr_spec} is never to be written to"
        mend = f"Write another address, or allow it with petition suppress --remove {to.addr_spec}"
        raise UsageError(what, f"{mend}; nothing was sent")


def enqueue(prepared: Prepared) -> None:
    """Freeze the letter where its revision is new, and queue its copies: one transaction."""
    freeze = frozen_letter(prepared.frozen, prepared.revision) if prepared.is_new else None
    prepared.listing.carry_out(prepared.comparison, prepared.frozen.campaign_id, freeze)


def frozen_letter(frozen: Frozen, revision: int) -> FrozenLetter:
    """A frozen letter as the log keeps it."""
    return FrozenLetter(
        letter=frozen.letter,
        revision=revision,
        hash=frozen.hash,
        content_hash=frozen.content_hash,
        document=frozen.to_json(),
        frozen_at=datetime.now(UTC),
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which text goes out in which revision, and why it may not."""

    frozen: Frozen
    revision: int
    is_new: bool
    changes: tuple[str, ...] = ()
    frozen_at: datetime | None = None
    renamed_from: str | None = None

    def refuse(self) -> None:
        """Stop where a person must first say what they mean."""
        if self.renamed_from:
            raise UsageError(
                f"letters/{self.frozen.letter}.md is the letter that was sent as"
                f' "{self.renamed_from}", under another name: everyone would get it twice',
                f"Rename it back to letters/{self.renamed_from}.md",
            )
        if self.changes and self.frozen_at:
            day = self.frozen_at.strftime("%Y-%m-%d %H:%M UTC")
            raise UsageError(
                f'"{self.frozen.letter}" has changed since its first copy was queued ({day}): '
                + "; ".join(self.changes),
                "Undo the change, or send the new text to those who have not had the letter"
                " with --revise, or to everyone with --again",
            )

    def mode(self, wish: Wish) -> Mode:
        if not self.is_new or self.revision == 1:
            return Mode.CONTINUE
        return Mode.AGAIN if wish.again else Mode.REVISE


def _plan(examined: Examined, log: Log, wish: Wish) -> _Plan | None:
    now = examined.frozen
    if now is None:
        return None
    if wish.trial:
        return _Plan(now, 1, is_new=True)
    if newest := log.newest(now.letter):
        return _plan_after(newest, now, log, wish)
    return _Plan(now, 1, is_new=True, renamed_from=_renamed(examined, now, log))


def _plan_after(newest: FrozenLetter, now: Frozen, log: Log, wish: Wish) -> _Plan:
    """The plan for a letter that was frozen before."""
    old = Frozen.from_json(newest.document)
    is_same = old.hash == now.hash
    is_wished = wish.again or (wish.revise and not is_same)
    if is_same and wish.again and _unfinished(log, now.letter, newest.revision):
        is_wished = False
    if is_wished:
        return _Plan(now, newest.revision + 1, is_new=True)
    if is_same:
        return _Plan(old, newest.revision, is_new=False)
    changes = tuple(differences(old, now))
    return _Plan(now, newest.revision, is_new=False, changes=changes, frozen_at=newest.frozen_at)


def _unfinished(log: Log, letter: str, revision: int) -> bool:
    """Whether copies of this revision still wait: `--again` then goes on with them.

    So the same command, run again after a crash, sends nobody the letter twice.
    """
    waiting = (State.QUEUED, State.SENDING, State.DEFERRED)
    return any(copy.revision == revision for state in waiting for copy in log.copies(letter, state))


def _renamed(examined: Examined, now: Frozen, log: Log) -> str | None:
    """The name under which this very letter was frozen before, if its file is gone."""
    for name in log.letters():
        newest = log.newest(name)
        if name in examined.campaign.letters or newest is None:
            continue
        if newest.content_hash == now.content_hash:
            return name
        old = Frozen.from_json(newest.document)
        if SequenceMatcher(None, old.source, now.source, autojunk=False).ratio() > _ALIKE:
            return name
    return None


class _Fits:
    """Whether the wish's condition holds for a person, and whether it did for anybody."""

    def __init__(self, examined: Examined, where: str | None) -> None:
        self._condition: Condition | None = None
        if where is not None and examined.people:
            self._condition = Condition(where, examined.people.columns)
        self._has_held = False

    def __call__(self, person: Person) -> bool:
        if self._condition is None:
            return True
        holds = self._condition.holds(person)
        self._has_held = self._has_held or holds
        return holds

    def refuse_nobody(self) -> None:
        if self._condition and not self._has_held:
            mend = "Compare it with the list; capitals count"
            raise UsageError(f"nobody on the list fits --where {self._condition}", mend)


def _rows(
    examined: Examined, plan: _Plan | None, signer: Signer, choice: Choice, fits: _Fits
) -> Iterator[ListedRow]:
    merger = Merger(plan.frozen, signer, examined.files) if plan else None
    for person in examined.persons(merger, plan.revision if plan else 1):
        chosen = choice.matches(person) and fits(person)
        if chosen:
            examined.tell_language(merger, person)
        yield ListedRow(
            mailbox=person.mailbox.addr_spec,
            name=person.mailbox.display_name,
            language=person.language,
            row_id=person.id,
            file=person.file,
            line=person.line,
            fields={**person.fields, **_own_files(merger, person)},
            chosen=chosen,
            excluded=person.excluded,
        )


def _own_files(merger: Merger | None, person: Person) -> dict[str, str]:
    try:
        return merger.own_files(person) if merger else {}
    except MergeRefused:
        return {}  # `examined` has told of it, and nothing is queued
