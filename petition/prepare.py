"""The only way into the log: check, plan, freeze, enqueue.

`check_list` shows the way of a row; `prepare` reads and compares and writes nothing; `enqueue`
carries out what `prepare` showed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from petition.address import Mailbox, folded
from petition.campaign.folder import Campaign
from petition.campaign.letter import UNANSWERED
from petition.campaign.people import Person
from petition.campaign.server import Server
from petition.checks.campaign import (
    READ_BACK_FIRST,
    CopyCheck,
    Examined,
    examine,
    in_order,
    nobody_on,
    today_of,
)
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
from petition.plan import FollowUp, Plan, PlanRefused, Selection, SendOptions, plan_of

KEEP_BYTES_UP_TO = 1000  # copies; of a longer list the log keeps their hashes alone
# Copies that are parsed in full before a run, which does so itself with each of its first hundred.
READ_BACK_BEFORE_RUN = 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """A letter that is ready to be queued.

    Args:
        plan: Which text goes out in which revision.
        merger: What makes the copies.
        comparison: What is to be done, in counts.
        listed: How many rows the list has.
    """

    campaign: Campaign
    log: Log
    server: Server | None
    examined: Examined
    plan: Plan
    merger: Merger
    listing: Listing
    comparison: Comparison
    listed: int

    @property
    def letter(self) -> str:
        """The letter's name."""
        return self.plan.frozen.letter

    @property
    def lost_names(self) -> list[Rehashed]:
        """When this revision lost names that were forgotten, after it was frozen."""
        return [] if self.plan.is_new else rehashed(self.log, self.letter, self.plan.revision)

    @property
    def keeps_bytes(self) -> bool:
        """Whether the log keeps every copy's bytes."""
        return self.listed <= KEEP_BYTES_UP_TO


def check_list(
    examined: Examined,
    merger: Merger | None,
    revision: int,
    stage: Callable[[list[Person]], object],
    *,
    read_back: int = READ_BACK_FIRST,
) -> None:
    """Take a letter's list through all that comes before sending; its problems become complete.

    Args:
        examined: The letter and its list.
        merger: Merges each copy; None: the letter cannot be merged, and only rows are looked at.
        revision: The revision that is to be sent.
        stage: Takes the people of each block, those who are excluded too.
        read_back: How many copies are parsed in full.
    """
    if examined.people is None:
        return
    judge, check = examined.judge(examined.people), CopyCheck(examined, merger, revision, read_back)
    is_empty = True
    for rows in examined.people.table.blocks():
        people, wrong_rows = judge(rows)
        people, wrong_copies = check(people)
        stage(people)
        examined.problems += wrong_rows
        examined.problems += wrong_copies
        is_empty = is_empty and not (people or wrong_rows)
    if is_empty:
        examined.problems.append(nobody_on(examined.people))
    examined.problems += examined.passed_over.problems()
    examined.problems += check.summary()


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
    options: SendOptions,
    *,
    read_back: int = READ_BACK_FIRST,
    begins: bool = False,
) -> Prepared:
    """Check a letter and its list, and compare the list with the log.

    Args:
        campaign: The loaded campaign.
        name: The letter's name.
        log: Its log; nothing but temporary tables is written.
        server: Where it would go; None: the sandbox.
        options: What was asked for.
        read_back: How many copies are parsed in full.
        begins: Begin another revision, though the text is the same.

    Raises:
        CampaignError: Something is wrong in the files.
        UsageError: It cannot be done as asked: another hash, nobody chosen, a renamed letter.
    """
    campaign_id = campaign_id_of(campaign, log)
    leave_out_forgotten(campaign, log)
    examined = examine(
        campaign, name, server=server, campaign_id=campaign_id, today=today_of(campaign)
    )
    examined.problems += suppressed_copies(examined, log)
    examined.problems += begun_with_a_capture(examined, log)
    following = following_of(examined, log)
    plan = plan_of(examined, log, options, begins=begins)
    merger = Merger(plan.frozen, Signer(log.key), examined.files) if plan else None
    revision = plan.revision if plan else 1
    selection = Selection(examined, options, merger)
    listing = Listing(log, examined.letter.name)
    with listing.staging() as stage:
        check_list(
            examined,
            merger,
            revision,
            lambda people: stage(selection.rows(people)),
            read_back=read_back,
        )
    if examined.has_errors or plan is None or merger is None:
        raise CampaignError(in_order(examined.problems))
    if following:
        following.require(examined.letter.name)
    selection.require_somebody()
    if plan.refusal:
        raise plan.refusal
    if plan.may_begin_another and not _is_unfinished(listing, plan):
        return prepare(campaign, name, log, server, options, read_back=read_back, begins=True)
    comparison = listing.compare(revision, plan.mode, options.limit)
    return Prepared(
        campaign, log, server, examined, plan, merger, listing, comparison, selection.seen
    )


def _is_unfinished(listing: Listing, plan: Plan) -> bool:
    """Whether the newest revision is still on its way to some of the chosen people.

    Then `--again` goes on with it, so that the same command, run again after a crash or with a
    `--limit`, sends nobody the letter twice.
    """
    comparison = listing.compare(plan.revision, plan.mode)
    if plan.mode is Mode.AGAIN:
        return comparison.waiting > 0
    return comparison.has_any(Action.WAITING, Action.REFRESHED, Action.DEFERRED)


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
    plan = prepared.plan
    freeze = None
    if plan.is_new:
        freeze = FrozenLetter(
            letter=plan.frozen.letter,
            revision=plan.revision,
            hash=plan.frozen.hash,
            content_hash=plan.frozen.content_hash,
            document=plan.frozen.to_json(),
            frozen_at=datetime.now(UTC),
            mode=plan.meant_for,
        )
    return prepared.listing.carry_out(
        prepared.comparison,
        plan.frozen.campaign_id,
        freeze,
        widen=plan.meant_for if plan.widens else None,
        also=also,
        beside_workers=beside_workers,
    )
