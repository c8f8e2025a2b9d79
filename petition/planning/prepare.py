"""Prepares a letter to be sent, and queues it.

`prepare` reads and compares, and writes nothing; `enqueue` carries out what `prepare` showed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from petition.address import folded
from petition.campaign.folder import Campaign
from petition.campaign.server import Server
from petition.checks.campaign import READ_BACK_FIRST, Examined, examine, in_order
from petition.checks.letter import COPIES
from petition.errors import CampaignError, LogChanged, Problem, UsageError
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.fill import captured_in
from petition.merge.freeze import with_fewer_signatories
from petition.merge.frozen_signatures import frozen_again
from petition.merge.message import Merger
from petition.outbox import erasure
from petition.outbox.enqueue import Action, Comparison, Listing
from petition.outbox.erasure import Rehashed, rehashed
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten, is_suppressed
from petition.outbox.models import FrozenLetter
from petition.outbox.states import WAITING, Mode
from petition.planning.follow_up import following_of
from petition.planning.plan import Plan, SendOptions, last_in, plan_of, suppose_as_frozen
from petition.planning.selection import Digests, ListDigest, Selection, check_list
from petition.planning.signatories import differs_by_who_left, prune_signatories, who_left

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
    options: SendOptions
    digests: Digests | None = None  # where [approval] asks for one

    @property
    def bindings(self) -> tuple[str, ...]:
        """What an approval of this has to be bound to: the people who were chosen, or all.

        None are needed where it is empty: nobody receives a rehearsal or a trial.
        """
        approval, server, frozen = self.campaign.settings.approval, self.server, self.plan.frozen
        if self.digests is None or approval is None or server is None:
            return ()
        bound = [
            *(frozen.campaign_id, self.letter, self.plan.revision, frozen.hash),
            *(self.plan.mode is Mode.AGAIN, server.host, server.port, server.username),
            *(approval.needed, sorted(folded(one.addr_spec) for one in approval.by)),
        ]
        texts = (json.dumps([*bound, str(one)]) for one in self.digests)
        return tuple(dict.fromkeys(hashlib.sha256(text.encode()).hexdigest() for text in texts))

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

    With `begins` a new revision begins even if the text is the same. CampaignError if something is
    wrong in the files; UsageError if it cannot be done as asked: another hash, nobody chosen.
    """
    campaign_id = campaign_id_of(campaign, log)
    prune_signatories(campaign, log)
    examined = examine(
        campaign,
        name,
        server=server,
        campaign_id=campaign_id,
        today=options.today,
        frozen_last=last_in(log),
    )
    examined.problems += suppressed_copies(examined, log)
    examined.problems += begun_with_a_capture(examined, log)
    following = following_of(examined, log, options.today)
    suppose_as_frozen(examined, log)
    plan = plan_of(examined, log, options, begins=begins)
    merger = Merger(plan.frozen, Signer(log.key), examined.files) if plan else None
    revision = plan.revision if plan else 1
    needs_approval = server is not None and campaign.settings.approval is not None
    digests = None
    if needs_approval and not options.trial:
        digests = Digests(ListDigest(), ListDigest())
    selection = Selection(examined, options, merger, digests)
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
    if plan.frozen.yes_no != examined.bare.yes_no and examined.frozen:  # the list is known by now
        examined.frozen = examined.frozen.counting(examined.bare.yes_no)
        plan = plan_of(examined, log, options, begins=begins) or plan
        merger, revision = Merger(plan.frozen, Signer(log.key), examined.files), plan.revision
    if following and not following.has_begun:
        follows = examined.letter.front.follows
        what = f"{examined.letter.name} follows {follows}, which has not been sent"
        raise UsageError(what, f"Send that first: petition send {follows}")
    selection.require_somebody()
    if refusal := plan.refusal(lambda: listing.compare(revision + 1, Mode.REVISE).waiting > 0):
        raise refusal
    if plan.may_begin_another and not _is_unfinished(listing, plan):
        return prepare(campaign, name, log, server, options, read_back=read_back, begins=True)
    comparison = listing.compare(revision, plan.mode, options.limit)
    return Prepared(
        *(campaign, log, server, examined, plan, merger, listing, comparison),
        *(selection.seen, options, digests),
    )


def _is_unfinished(listing: Listing, plan: Plan) -> bool:
    """Whether `--again` continues the newest revision, which some of the chosen people wait for."""
    # The same command, run again after a crash or with a `--limit`, must send nobody a second copy.
    comparison = listing.compare(plan.revision, plan.mode)
    if plan.mode is Mode.AGAIN:
        return comparison.waiting > 0
    return comparison.has_any(Action.WAITING, Action.REFRESHED, Action.DEFERRED)


def enqueue(
    prepared: Prepared, also: Callable[[], None] | None = None, *, beside_workers: bool = False
) -> Comparison:
    """Freeze the letter if its revision is new, and queue its copies, in one transaction.

    `also` writes something else in that transaction, once the copies are there. Returns what
    was done: less than was prepared if `beside_workers`, who may have carried on since.
    UsageError if the log has changed otherwise: nothing was done.
    """
    plan, log = prepared.plan, prepared.log

    def finish() -> None:
        _refuse_who_left(prepared)
        if plan.loses:
            text = frozen_again(plan.loses, plan.frozen)
            erasure.refreeze(log, plan.loses, text, "withdrew", is_complete=True)
        if also:
            also()

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
        also=finish,
        beside_workers=beside_workers,
    )


def _refuse_who_left(prepared: Prepared) -> None:
    """LogChanged if somebody left meanwhile who signs the letter, or the log took a name out."""
    campaign, plan, log = prepared.campaign, prepared.plan, prepared.log
    was = plan.loses.hash if plan.loses else plan.frozen.hash
    is_otherwise = not plan.is_new and log.frozen_hash(prepared.letter, plan.revision) != was
    has_signatories = plan.frozen.document["signatories"]["total"]
    if is_otherwise or (has_signatories and who_left(campaign.signatories, log)):
        what = "somebody who signed has withdrawn or changed their signature in the meantime"
        raise LogChanged(what, "Nothing was done; look at it again, and send it")


def differs_only_by_who_left(before: Prepared, now: Prepared) -> bool:
    """Whether a letter differs from before only by those who withdrew since."""
    old, new, log = before.plan.frozen, now.plan.frozen, now.log
    left = who_left(before.campaign.signatories, log)
    return with_fewer_signatories(old, new) is not None and differs_by_who_left(old, new, left, log)


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


def suppressed_copies(examined: Examined, log: Log) -> Iterator[Problem]:
    """A problem for each address in cc and bcc that must not be written to.

    Afterwards those in cc of single rows can be looked at too.
    """
    if not examined.letter.texts:
        return
    text = examined.letter.default_text
    forgotten = Forgotten(log)

    def is_barred(box: str) -> bool:
        return is_suppressed(log, box) or box in forgotten

    examined.is_barred = is_barred
    for key in COPIES:
        for mailbox in text.front.mailboxes(key):
            box = mailbox.addr_spec
            if is_barred(box):
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
