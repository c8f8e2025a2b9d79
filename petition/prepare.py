"""The only way into the log: check, plan, freeze, enqueue.

`prepare` reads and compares, and writes nothing; `enqueue` carries out what `prepare` showed. The
steps that a list goes through, for `check` and `send` alike, are in `check_list`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from petition.address import Mailbox
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
from petition.outbox.manual import Forgotten, is_suppressed
from petition.outbox.models import FrozenLetter
from petition.outbox.states import WAITING, Mode
from petition.plan import FollowUp, Plan, Selection, SendOptions, plan_of

KEEP_BYTES_UP_TO = 1000  # copies; of a longer list the log keeps their hashes alone
# Copies that are parsed in full before a run, which does so itself with each of its first hundred.
READ_BACK_BEFORE_RUN = 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """A letter that is ready to be queued."""

    campaign: Campaign
    log: Log
    server: Server | None
    examined: Examined
    plan: Plan
    merger: Merger
    listing: Listing
    comparison: Comparison
    listed: int  # rows of the list

    @property
    def letter(self) -> str:
        """The letter's name."""
        return self.plan.frozen.letter

    @property
    def lost_names(self) -> list[Rehashed]:
        """When names were erased from this revision after it was frozen."""
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
    """Read a letter's list, judge its rows, check their copies and stage them, a block at a time.

    Afterwards `examined.problems` is complete. Without a merger, of a letter that cannot be merged,
    only the rows are judged. `stage` gets those who are excluded too; `read_back` is the number of
    copies that are parsed in full.
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

    UsageError if petition.toml names another one.
    """
    settings, fixed = campaign.settings.campaign, log.campaign_id
    if fixed and "id" in settings.model_fields_set and settings.id != fixed:
        raise UsageError(
            f'petition.toml says id = "{settings.id}", but letters were queued as "{fixed}"',
            f'Write id = "{fixed}" in [campaign], or use a new database in [log]',
        )
    return fixed or settings.id


def leave_out_forgotten(campaign: Campaign, log: Log) -> None:
    """Drop forgotten people from the signatories; unnamed ones stay: a letter only counts them."""
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

    With `begins` a new revision begins even if the text is the same.

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
    if refusal := plan.refusal():
        revised = listing.compare(revision + 1, Mode.REVISE)
        raise plan.refusal(can_revise=revised.waiting > 0) or refusal
    if plan.may_begin_another and not _is_unfinished(listing, plan):
        return prepare(campaign, name, log, server, options, read_back=read_back, begins=True)
    comparison = listing.compare(revision, plan.mode, options.limit)
    return Prepared(
        campaign, log, server, examined, plan, merger, listing, comparison, selection.seen
    )


def _is_unfinished(listing: Listing, plan: Plan) -> bool:
    """Whether `--again` continues the newest revision, which some of the chosen people wait for.

    The same command, run again after a crash or with a `--limit`, must send nobody a second copy.
    """
    comparison = listing.compare(plan.revision, plan.mode)
    if plan.mode is Mode.AGAIN:
        return comparison.waiting > 0
    return comparison.has_any(Action.WAITING, Action.REFRESHED, Action.DEFERRED)


def following_of(examined: Examined, log: Log) -> FollowUp | None:
    """For a follow-up, what completes its rows with what the log knows; else None."""
    front = examined.letter.front if examined.letter.texts else None
    if front is None or not front.follows or examined.has_errors:
        return None
    following = FollowUp(log, front.follows, front.where or UNANSWERED)
    if following.has_begun:
        examined.complete = following.complete
    return following


def text_to_send(now: Frozen, log: Log | None) -> tuple[Frozen, int]:
    """The text that a copy would be made of now, and its revision.

    If the letter has not changed, that is the text frozen before, with its `today`.
    """
    newest = log.newest(now.letter) if log else None
    if newest is None:
        return now, 1
    old = Frozen.from_json(newest.document)
    return (old, newest.revision) if old.hash == now.hash else (now, newest.revision + 1)


def suppressed_copies(examined: Examined, log: Log) -> Iterator[Problem]:
    """A problem for each address in cc and bcc that must not be written to."""
    if not examined.letter.texts:
        return
    text = examined.letter.default_text
    forgotten = Forgotten(log)
    for key in COPIES:
        for mailbox in getattr(text.front, key):
            box = mailbox.addr_spec
            if is_suppressed(log, box) or box in forgotten:
                what = f"{box} must not be written to (petition suppress)"
                hint = f"Remove it from {key}"
                yield Problem(text.file, text.line_of(key), what, hint, mark=box)


def begun_with_a_capture(examined: Examined, log: Log) -> Iterator[Problem]:
    """The statement that an older petition allowed in a letter whose copies still wait."""
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
            "Nothing is lost. Remove it from the letter, then send the new text to those who have"
            f" not had the letter: petition send {letter.name} --revise"
        )
        yield Problem(letter.default_text.file, None, what, hint)


def refuse_trial(log: Log, server: Server | None, to: Mailbox) -> None:
    """Refuse a trial copy to a mailbox that is reserved, forgotten or suppressed (UsageError)."""
    if what := refused_by(server, to):
        raise UsageError(what, "Nothing was sent; use an address of your own")
    if to.addr_spec in Forgotten(log):
        raise UsageError(f"{to.addr_spec} was forgotten", "Nothing was sent; use another address")
    if is_suppressed(log, to.addr_spec):
        allow = f"petition suppress --remove {to.addr_spec}"
        hint = f"Nothing was sent; use another address, or allow it with {allow}"
        raise UsageError(f"{to.addr_spec} must not be written to", hint)


def enqueue(
    prepared: Prepared, also: Callable[[], None] | None = None, *, beside_workers: bool = False
) -> Comparison:
    """Freeze the letter if its revision is new, and queue its copies, in one transaction.

    `also` writes something else in that transaction, once the copies are there. Returns what
    was done: less than was prepared if `beside_workers`, who may have carried on since.
    UsageError if the log has changed otherwise: nothing was done.
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
