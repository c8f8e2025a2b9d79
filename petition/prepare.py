"""The only way into the log: check, plan, freeze, enqueue.

`prepare` reads and compares and writes nothing; `enqueue` carries out what `prepare` showed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from petition.address import Mailbox, folded
from petition.campaign.folder import Campaign
from petition.campaign.letter import UNANSWERED
from petition.campaign.people import Choice
from petition.campaign.server import Server
from petition.checks.campaign import READ_BACK_FIRST, Examined, examine, in_order, today_of
from petition.checks.letter import COPIES, refused_by
from petition.errors import CampaignError, Problem, UsageError
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.fill import captured_in
from petition.merge.message import Merger
from petition.outbox.enqueue import Action, Comparison, Listing
from petition.outbox.erasure import Rehashed, rehashed
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten, suppressions
from petition.outbox.models import FrozenLetter
from petition.outbox.states import WAITING, Mode
from petition.plan import FollowUp, Plan, PlanRefused, RowFilter, SendOptions, plan_of, rows_of

KEEP_BYTES_UP_TO = 1000  # copies; of a longer list the log keeps their hashes alone
# Copies that are parsed in full before a run, which does so itself with each of its first hundred.
READ_BACK_BEFORE_RUN = 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """A letter that is ready to be queued.

    Args:
        frozen: What will be sent.
        revision: In which revision.
        merger: What makes the copies.
        is_new: Whether this revision has yet to be frozen.
        mode: For whom this revision is meant.
        widens: It was meant for fewer before.
        resumes: A new revision was asked for, and an unfinished one goes on instead.
        comparison: What is to be done, in counts.
        listed: How many rows the list has.
    """

    campaign: Campaign
    log: Log
    server: Server | None
    examined: Examined
    frozen: Frozen
    merger: Merger
    revision: int
    is_new: bool
    mode: Mode
    widens: bool
    resumes: bool
    listing: Listing
    comparison: Comparison
    listed: int

    @property
    def letter(self) -> str:
        """The letter's name."""
        return self.frozen.letter

    @property
    def warnings(self) -> list[Problem]:
        """What a person should look at."""
        return self.examined.problems

    @property
    def lost_names(self) -> list[Rehashed]:
        """When this revision lost names that were forgotten, after it was frozen."""
        return [] if self.is_new else rehashed(self.log, self.letter, self.revision)

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


def leave_out_forgotten(campaign: Campaign, log: Log) -> None:
    """Take those who were forgotten off the signatories, whose file may still have them.

    Of those who are not to be named a letter has a number alone, and keeps it.

    Args:
        campaign: The loaded campaign.
        log: Its log.
    """
    forgotten = Forgotten(log)
    if len(forgotten):
        campaign.signatories = tuple(
            one
            for one in campaign.signatories
            if not (one.publish and one.email and one.email in forgotten)
        )


def prepare(
    campaign: Campaign,
    name: str,
    log: Log,
    server: Server | None,
    wish: SendOptions,
    *,
    read_back: int = READ_BACK_FIRST,
) -> Prepared:
    """Check a letter and its list, and lay the list beside the log.

    Args:
        campaign: The loaded campaign.
        name: The letter's name.
        log: Its log; nothing but temporary tables is written.
        server: Where it would go; None: the sandbox.
        wish: What was asked for.
        read_back: How many copies are parsed in full.

    Raises:
        CampaignError: Something is wrong in the files.
        UsageError: The wish cannot be met: another hash, nobody chosen, a renamed letter.
    """
    reading = _Reading(campaign, name, log, server, wish, read_back)
    read = reading.read()
    if read.plan.may_begin_another and not _is_unfinished(read):
        read = reading.read(begins=True)
    plan = read.plan
    return Prepared(
        campaign=campaign,
        log=log,
        server=server,
        examined=read.examined,
        frozen=plan.frozen,
        merger=read.merger,
        revision=plan.revision,
        is_new=plan.is_new,
        mode=plan.meant_for,
        widens=plan.widens,
        resumes=plan.may_begin_another,
        listing=read.listing,
        comparison=read.listing.compare(plan.revision, plan.mode, wish.limit),
        listed=read.listed,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """A letter and its list, read and staged for one plan."""

    examined: Examined
    plan: Plan
    merger: Merger
    listing: Listing
    listed: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads a letter and its list, as often as the plan asks for it."""

    campaign: Campaign
    name: str
    log: Log
    server: Server | None
    wish: SendOptions
    read_back: int

    def read(self, *, begins: bool = False) -> _Read:
        """Check, stage, and refuse what is wrong."""
        campaign, log, wish = self.campaign, self.log, self.wish
        campaign_id = campaign_id_of(campaign, log)
        leave_out_forgotten(campaign, log)
        today = today_of(campaign)
        examined = examine(
            campaign, self.name, server=self.server, campaign_id=campaign_id, today=today
        )
        examined.problems += suppressed_copies(examined, log)
        examined.problems += begun_with_a_capture(examined, log)
        following = following_of(examined, log)
        plan = plan_of(examined, log, wish, begins=begins)
        merger = Merger(plan.frozen, Signer(log.key), examined.files) if plan else None
        choice = examined.people.choice(wish.who) if examined.people else Choice(wish.who)
        fits = RowFilter(examined, wish.where)
        listing = Listing(log, examined.letter.name)
        persons = examined.persons(merger, plan.revision if plan else 1, read_back=self.read_back)
        listing.stage(rows_of(examined, persons, merger, choice, fits))
        if examined.has_errors or plan is None or merger is None:
            raise CampaignError(in_order(examined.problems))
        if following:
            following.require(examined.letter.name)
        if missed := choice.missed():
            near = choice.nearest(missed[0])
            hint = f"Did you mean {near}" if near else "Name an address, an id or a row number"
            raise UsageError(f"nobody on the list is {', '.join(missed)}", hint)
        fits.refuse_nobody()
        if plan.refusal:
            raise plan.refusal
        return _Read(examined, plan, merger, listing, choice.seen)


def following_of(examined: Examined, log: Log) -> FollowUp | None:
    """Complete the rows of a letter that follows another with what the log knows.

    Args:
        examined: The letter.
        log: Its log.

    Returns:
        What completes them; None: it follows no other.
    """
    front = examined.letter.front if examined.letter.texts else None
    if front is None or not front.follows or examined.has_errors:
        return None
    following = FollowUp(log, front.follows, front.where or UNANSWERED)
    if following.has_begun:
        examined.complete = following.complete
    return following


def _is_unfinished(read: _Read) -> bool:
    """Whether the newest revision is still on its way to some of the chosen people.

    Then `--again` goes on with it, so that the same command, run again after a crash or with a
    `--limit`, sends nobody the letter twice.
    """
    comparison = read.listing.compare(read.plan.revision, read.plan.mode)
    if read.plan.mode is Mode.AGAIN:
        return comparison.waiting > 0
    on_their_way = (Action.WAITING, Action.REFRESHED, Action.DEFERRED)
    return any(comparison[action] for action in on_their_way)


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


def refusal_of(examined: Examined, log: Log) -> PlanRefused | None:
    """Why `send` would stop at a letter that is frozen already.

    Args:
        examined: The letter as it is now.
        log: Its log.
    """
    plan = plan_of(examined, log, SendOptions(), begins=False)
    return plan.refusal if plan else None


def suppressed_copies(examined: Examined, log: Log) -> Iterator[Problem]:
    """Those in cc and bcc who are never to be written to, a problem each.

    Args:
        examined: The letter.
        log: Knows them.
    """
    if not examined.letter.texts:
        return
    text = examined.letter.default_text
    suppressed = {folded(one.mailbox) for one in suppressions(log)}
    forgotten = Forgotten(log)
    for key in COPIES:
        for mailbox in getattr(text.front, key):
            box = mailbox.addr_spec
            if folded(box) in suppressed or box in forgotten:
                what = f"{mailbox.addr_spec} is never to be written to (petition suppress)"
                hint = f"Take it out of {key}"
                yield Problem(text.file, text.line_of(key), what, hint, mark=mailbox.addr_spec)


def begun_with_a_capture(examined: Examined, log: Log) -> Iterator[Problem]:
    """That a letter still has a statement with which an older petition froze and began it.

    Args:
        examined: The letter.
        log: Knows whether copies of it wait.
    """
    letter = examined.letter
    newest = log.newest(letter.name) if examined.frozen is None and letter.texts else None
    keyword = captured_in(Frozen.from_json(newest.document)) if newest else ""
    if not keyword:
        return
    counts = log.counts(letter.name)
    if waiting := sum(counts[state] for state in WAITING):
        copies = "1 copy is" if waiting == 1 else f"{waiting:,} copies are"
        what = f'{copies} still queued with "{keyword}", which older versions of petition allowed'
        hint = (
            "Nothing is lost. Take it out of the letter, then send the new text to those who have"
            f" not had the letter: petition send {letter.name} --revise"
        )
        yield Problem(letter.default_text.file, None, what, hint)


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
    if to.addr_spec in Forgotten(log):
        raise UsageError(f"{to.addr_spec} was forgotten", "Write another address")
    if folded(to.addr_spec) in {folded(one.mailbox) for one in suppressions(log)}:
        what = f"{to.addr_spec} is never to be written to"
        hint = f"Write another address, or allow it with petition suppress --remove {to.addr_spec}"
        raise UsageError(what, f"{hint}; nothing was sent")


def enqueue(
    prepared: Prepared, also: Callable[[], None] | None = None, *, beside_workers: bool = False
) -> Comparison:
    """Freeze the letter where its revision is new, and queue its copies: one transaction.

    Args:
        prepared: What was prepared.
        also: What else is written in that transaction, when the copies are there.
        beside_workers: Whether workers may have gone on since it was prepared.

    Returns:
        What was done: less than was prepared, where workers have gone on.

    Raises:
        UsageError: The log has changed since it was prepared: nothing was done.
    """
    mode, frozen = prepared.mode, prepared.frozen
    freeze = frozen_letter(frozen, prepared.revision, mode) if prepared.is_new else None
    widen = mode if prepared.widens else None
    return prepared.listing.carry_out(
        prepared.comparison,
        frozen.campaign_id,
        freeze,
        widen=widen,
        also=also,
        beside_workers=beside_workers,
    )


def frozen_letter(frozen: Frozen, revision: int, mode: Mode) -> FrozenLetter:
    """A frozen letter as the log keeps it."""
    return FrozenLetter(
        letter=frozen.letter,
        revision=revision,
        hash=frozen.hash,
        content_hash=frozen.content_hash,
        document=frozen.to_json(),
        frozen_at=datetime.now(UTC),
        mode=mode,
    )
