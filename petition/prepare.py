"""Which text goes to whom, and the only way into the log: check, plan, freeze, enqueue.

`prepare` reads and compares, and writes nothing; `enqueue` carries out what `prepare` showed. The
steps that a list goes through, for `check` and `send` alike, are in `check_list`.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import NamedTuple

from petition.address import UNSEEN, Mailbox, folded
from petition.campaign.folder import Campaign
from petition.campaign.letter import UNANSWERED
from petition.campaign.people import Choice, Person
from petition.campaign.server import Server
from petition.campaign.signatories import Signatory
from petition.checks.campaign import (
    READ_BACK_FIRST,
    CopyCheck,
    Examined,
    examine,
    in_order,
    nobody_on,
)
from petition.checks.letter import COPIES, refused_by, zone_of
from petition.errors import (
    CampaignError,
    Level,
    LogChanged,
    LogDamaged,
    MergeRefused,
    Problem,
    UsageError,
)
from petition.identity import Signer
from petition.merge.document import Frozen, differences
from petition.merge.fill import captured_in
from petition.merge.freeze import with_fewer_signatories
from petition.merge.message import Merger
from petition.merge.signed import frozen_again
from petition.outbox import erasure, signatures
from petition.outbox.answers import Answer, Gate, did_not_get, follows_from_answers
from petition.outbox.enqueue import Action, Comparison, ListedRow, Listing, as_json
from petition.outbox.erasure import Rehashed, rehashed
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten, is_suppressed
from petition.outbox.models import Copy, FrozenLetter
from petition.outbox.states import WAITING, Mode, State
from petition.report.ledger import Entry, ledger
from petition.template.condition import Condition
from petition.template.fields import PREVIOUS, Previous, thread_of

_QUOTE_LENGTH = 2_000
_RE_PREFIX = re.compile(r"^(?:re:\s*)+", re.IGNORECASE)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_ALIKE = 0.6  # of their lines: a renamed and edited letter and what was sent

KEEP_BYTES_UP_TO = 1000  # copies; of a longer list the log keeps their hashes alone
# Copies that are parsed in full before a run, which does so itself with each of its first hundred.
READ_BACK_BEFORE_RUN = 10


@dataclass(frozen=True, slots=True)
class SendOptions:
    """What the caller asked for."""

    who: tuple[str, ...] = ()  # addresses, ids or row numbers; empty: everybody
    where: str | None = None  # a condition; None: everybody
    limit: int | None = None  # at most so many copies
    revise: bool = False  # a changed letter goes to those who have not had it
    again: bool = False  # the letter goes to everyone, including those who have it
    trial: bool = False  # only to look at it: the text as it is now, whatever was frozen
    today: date | None = None  # the day on which it is to go; None: today
    is_due: Callable[[Person], bool] | None = None  # of them, who gets it now; None: all
    goes_on: bool = False  # it goes on with the newest revision, in spite of `again`

    @property
    def is_for_all(self) -> bool:
        """Whether it is for the whole list, even if a few at a time."""
        return not self.who and self.where is None

    @property
    def new_revision_is_for(self) -> Mode:
        """Whom a revision that begins now is meant for."""
        if not self.again:
            return Mode.REVISE
        return Mode.AGAIN if self.is_for_all else Mode.AGAIN_CHOSEN


class PlanRefused(UsageError):
    """A letter that was sent before is not sent as it is now; `needs` says what it would take."""

    def __init__(self, what: str, hint: str, *, needs: str) -> None:
        super().__init__(what, hint)
        self.needs = needs


@dataclass(frozen=True, slots=True)
class Plan:
    """Which text goes out in which revision, and why it may not."""

    frozen: Frozen
    revision: int
    is_new: bool
    mode: Mode = Mode.CONTINUE  # whom this send is for
    meant_for: Mode = Mode.CONTINUE  # whom the revision is for, in this send and later ones
    widens: bool = False  # the revision was meant for fewer before
    may_begin_another: bool = False  # `--again`: begin another revision if this one is finished
    changes: tuple[str, ...] = ()
    frozen_at: datetime | None = None
    renamed_from: str | None = None
    loses: FrozenLetter | None = None  # the letter in the log that `frozen` takes the place of

    def refusal(self, can_revise: Callable[[], bool] = lambda: True) -> PlanRefused | None:
        """Why a person must first say what they want; None: it can be sent.

        `can_revise` says whether there is anybody whom `--revise` would reach.
        """
        if self.renamed_from:
            return PlanRefused(
                f"letters/{self.frozen.letter}.md is the letter that was sent as"
                f' "{self.renamed_from}": under another name everyone would get it twice',
                f"Rename it back to letters/{self.renamed_from}.md; if it is another letter,"
                f" put letters/{self.renamed_from}.md back beside it",
                needs=f"the name {self.renamed_from}",
            )
        if self.changes and self.frozen_at:
            day = self.frozen_at.strftime("%Y-%m-%d %H:%M UTC")
            what = f'"{self.frozen.letter}" has changed since its first copy was queued ({day}): '
            what += "; ".join(self.changes)
            if not can_revise():
                hint = "Everyone has had the letter. Undo the change; or send everyone the new text"
                return PlanRefused(what, f"{hint} as well with --again", needs="--again")
            hint = "Undo the change; or send the new text with --revise to those who have not had"
            hint += " the letter, or with --again to everyone"
            return PlanRefused(what, hint, needs="--revise or --again")
        return None


class ListDigest:
    """What a list says, row by row and in any order, for an approval.

    What a follow-up says of earlier answers comes from the log, changes every day and is no part
    of it, nor is whom it leaves out because of their answer.
    """

    def __init__(self) -> None:
        self._sum = 0
        self._rows = 0

    def add(self, row: ListedRow) -> None:
        """Look at the next row."""
        fields = {name: cell for name, cell in row.fields.items() if name != PREVIOUS}
        left_out = "" if follows_from_answers(row.excluded) else row.excluded
        who = (folded(row.address or row.mailbox), row.name, row.language, left_out)
        text = json.dumps([*who, as_json(fields)])
        self._sum += int.from_bytes(hashlib.sha256(text.encode()).digest())
        self._rows += 1

    def __str__(self) -> str:
        return f"{self._rows}:{self._sum % 2**256:x}"


class Digests(NamedTuple):
    """The digests of a list: of the people who were chosen, and of all."""

    chosen: ListDigest
    all: ListDigest


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
    departed: int  # signatures that were withdrawn or changed before the files were read
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
    departed = signatures.withdrew_or_changed_since(log, _EVER)
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
        *(selection.seen, options, departed, digests),
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
        has_signatories = plan.frozen.document["signatories"]["total"]
        if (
            has_signatories
            and signatures.withdrew_or_changed_since(log, _EVER) != prepared.departed
        ):
            what = "somebody who signed has withdrawn or changed that meanwhile"
            raise LogChanged(what, "Nothing was done; look at it again, and send it")
        if plan.loses:
            erasure.refreeze(log, plan.loses, frozen_again(plan.loses, plan.frozen), "withdrew")
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
        people, wrong_copies = check([examined.complete(one) for one in people])
        stage(people)
        examined.problems += wrong_rows
        examined.problems += wrong_copies
        is_empty = is_empty and not (people or wrong_rows)
    if is_empty:
        examined.problems.append(nobody_on(examined.people))
    examined.problems += examined.passed_over.problems()
    examined.problems += check.summary()


class Selection:
    """Chooses people by `--to` and `--where`; ConditionRefused if that is not a condition."""

    def __init__(
        self,
        examined: Examined,
        options: SendOptions,
        merger: Merger | None,
        digests: Digests | None = None,
    ) -> None:
        self._digests = digests
        self._examined = examined
        self._merger = merger
        people = examined.people
        self._choice = people.choice(options.who) if people else Choice(options.who)
        self._condition: Condition | None = None
        if options.where is not None and people:
            self._condition = Condition(options.where, people.columns)
        self._is_due = options.is_due
        self._fits_somebody = False
        self.seen = 0

    def rows(self, people: list[Person]) -> list[ListedRow]:
        """The next people of the list as rows for the log, chosen or not."""
        self.seen += len(people)
        if self._condition:
            self._condition.judge(people)
        rows = []
        for person in people:
            is_meant = self._is_for(person)
            chosen = is_meant and (self._is_due is None or self._is_due(person))
            if chosen:
                self._examined.note_fallback(self._merger, person)
            mailbox = person.mailbox
            # In their order: a hundred thousand times by name would take a tenth of a second.
            row = ListedRow(
                mailbox.addr_spec,
                mailbox.display_name,
                person.language,
                person.id,
                person.file,
                person.line,
                person.fields,
                chosen,
                person.excluded,
                person.address,
            )
            rows.append(row)
            if self._digests:
                self._digests.all.add(row)
                if is_meant:
                    self._digests.chosen.add(row)
        return rows

    def _is_for(self, person: Person) -> bool:
        if not self._choice.matches(person):
            return False
        # A row of a bulk list that cannot be read has no cells.
        fits = self._condition is None or (bool(person.fields) and self._condition.holds(person))
        self._fits_somebody = self._fits_somebody or fits
        return fits

    def require_somebody(self) -> None:
        """After the last person: UsageError if `--to` or `--where` matched nobody on the list."""
        if missed := self._choice.missed():
            near = self._choice.nearest(missed[0])
            hint = f"Did you mean {near}" if near else "Use an address, an id, a name or FILE:LINE"
            raise UsageError(f"not on the list: {', '.join(missed)}", hint)
        if self._condition and not self._fits_somebody:
            hint = "Compare it with the list; it is case-sensitive"
            raise UsageError(f"--where {self._condition} matches nobody on the list", hint)


def plan_of(examined: Examined, log: Log, options: SendOptions, *, begins: bool) -> Plan | None:
    """Which text goes out in which revision; None: the letter cannot be frozen.

    With `begins` it is a new revision even if the text is the same.
    """
    now = examined.frozen
    if now is None:
        return None
    if options.trial:
        return Plan(now, 1, is_new=True)
    rehearses = examined.server is None
    if newest := log.newest(now.letter):
        # Nobody can be harmed: they have received nothing.
        unasked = None if log.was_attempted(now.letter) else Mode.REVISE
        unasked = Mode.AGAIN if rehearses else unasked
        return _plan_after(log, newest, now, options, begins=begins, unasked=unasked)
    renamed_from = None if rehearses else _renamed(examined, now, log)
    return Plan(now, 1, is_new=True, renamed_from=renamed_from)


def _plan_after(
    log: Log,
    newest: FrozenLetter,
    now: Frozen,
    options: SendOptions,
    *,
    begins: bool,
    unasked: Mode | None,
) -> Plan:
    """The plan for a letter that was frozen before."""
    # With `unasked` a changed text is sent as if the person had asked for it.
    old = Frozen.from_json(newest.document)
    if old.hash != newest.hash:
        raise LogDamaged(f'the text of "{newest.letter}" in the log is not the one that was sent')
    same = _same(old, newest, now, log)
    is_same = same is not None
    if begins or (not is_same and (options.again or options.revise)):
        meant_for = options.new_revision_is_for
        mode = Mode.AGAIN if options.again else meant_for
        return Plan(now, newest.revision + 1, is_new=True, mode=mode, meant_for=meant_for)
    if same:
        return _plan_going_on(newest, same, options)
    if unasked:
        return Plan(now, newest.revision + 1, is_new=True, mode=unasked, meant_for=unasked)
    changes = tuple(differences(old, now))
    return Plan(now, newest.revision, is_new=False, changes=changes, frozen_at=newest.frozen_at)


def _plan_going_on(newest: FrozenLetter, old: Frozen, options: SendOptions) -> Plan:
    """The plan for a letter that has not changed: its revision goes on, for whom it is meant."""
    mode = meant_for = newest.mode
    if mode in {Mode.AGAIN, Mode.AGAIN_CHOSEN}:
        if options.again:
            mode = Mode.AGAIN
            meant_for = Mode.AGAIN if options.is_for_all else meant_for
        elif options.revise:
            mode = Mode.REVISE
        elif mode is Mode.AGAIN_CHOSEN:
            mode = Mode.CONTINUE  # nobody said that the others are to get it once more
    return Plan(
        old,
        newest.revision,
        is_new=False,
        mode=mode,
        meant_for=meant_for,
        widens=meant_for is not newest.mode,
        may_begin_another=options.again and not options.goes_on,
        loses=newest if old.hash != newest.hash else None,
    )


def _same(old: Frozen, newest: FrozenLetter, now: Frozen, log: Log) -> Frozen | None:
    """The old letter if it is still the same, perhaps without those who withdrew since."""
    if old.is_same_as(now):
        return old
    fewer = with_fewer_signatories(old, now)
    is_by_them = fewer and _lost_signatories(old, fewer) <= signatures.withdrew_or_changed_since(
        log, newest.frozen_at
    )
    return fewer if is_by_them else None


def is_without_departed(before: Prepared, now: Prepared) -> bool:
    """Whether a letter differs from before only by those who withdrew since."""
    old, new = before.plan.frozen, now.plan.frozen
    is_less = with_fewer_signatories(old, new) is not None
    return is_less and _lost_signatories(old, new) <= now.departed - before.departed


def _lost_signatories(old: Frozen, now: Frozen) -> int:
    """How many fewer signed a letter, or are named in it."""
    before, after = (one.document["signatories"] for one in (old, now))
    named = len(before["published"]) - len(after["published"])
    return int(max(before["total"] - after["total"], named))


def _renamed(examined: Examined, now: Frozen, log: Log) -> str | None:
    """The name under which this letter was frozen before, if that file is gone."""
    for name in log.letters():
        newest = log.newest(name)
        if name in examined.campaign.letters or newest is None:
            continue
        if newest.content_hash == now.content_hash:
            return name
        old = Frozen.from_json(newest.document)
        if _likeness(old.source, now.source) > _ALIKE:
            return name
    return None


def _likeness(one: str, other: str) -> float:
    """The share of their lines that two texts have in common, in any order."""
    lines = [Counter(filter(None, map(str.strip, text.splitlines()))) for text in (one, other)]
    total = sum(counter.total() for counter in lines)
    return 2 * (lines[0] & lines[1]).total() / total if total else 0.0


def text_to_send(now: Frozen, log: Log | None) -> tuple[Frozen, int]:
    """The text that a copy would be made of now, and its revision.

    If the letter has not changed, that is the text frozen before, with its `today`.
    """
    newest = log.newest(now.letter) if log else None
    if newest is None:
        return now, 1
    same = _same(Frozen.from_json(newest.document), newest, now, log) if log else None
    return (same, newest.revision) if same else (now, newest.revision + 1)


class FollowUp:
    """Completes the rows of a follow-up's list, for those whose answer is one of `allowed`.

    `today` is the day on which it goes, if not now.
    """

    def __init__(
        self, log: Log, follows: str, allowed: Iterable[str], today: date | None = None
    ) -> None:
        self._log = log
        self._today = today
        self._follows = follows
        self._gate = Gate(log, follows, allowed)
        self._mergers: dict[int, Merger] = {}

    @property
    def has_begun(self) -> bool:
        """Whether anybody has got the letter that is followed."""
        return bool(self._entries)

    def complete(self, person: Person) -> Person:
        """A person with what their follow-up says of the letter before, or why they get none."""
        entry = self._entries.get(folded(person.mailbox.addr_spec))
        if entry is None or entry.copy.state is not State.SENT:
            reason = did_not_get(self._follows)
        else:
            fields = {**person.fields, PREVIOUS: self._previous(entry).to_json()}
            person, reason = person._replace(fields=fields), self._gate.bars(entry.standing)
        return person._replace(excluded=person.excluded or reason) if reason else person

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        found = ledger(self._log, self._follows)
        return {entry.copy.folded: entry for entry in found.entries} if found else {}

    def _previous(self, entry: Entry) -> Previous:
        copy, standing = entry.copy, entry.standing
        today = self._today or entry.today
        sent_on = entry.had_on or today
        return Previous(
            subject=_RE_PREFIX.sub("", self._subject(copy)),
            sent_on=sent_on,
            days=(today - sent_on).days,
            answers=tuple(_said(answer, entry) for answer in standing.answers),
            open_demands=tuple(one.id for one in entry.demands if standing.is_open(one.id)),
            thread=(*thread_of(_person_of(copy)), *([copy.message_id] if copy.message_id else [])),
        )

    def _subject(self, copy: Copy) -> str:
        if copy.revision not in self._mergers:
            kept = self._log.frozen(copy.letter, copy.revision)
            if kept is None:
                return ""
            frozen = Frozen.from_json(kept.document)
            self._mergers[copy.revision] = Merger(frozen, Signer(self._log.key))
        try:
            return self._mergers[copy.revision].subject(_person_of(copy))
        except MergeRefused:  # it was merged before it was sent
            return self._log.campaign_id or ""


def _person_of(copy: Copy) -> Person:
    mailbox = Mailbox(copy.name, copy.mailbox)
    return Person(copy.file, copy.line, 0, copy.row_id, mailbox, copy.language, dict(copy.fields))


def _said(answer: Answer, entry: Entry) -> dict[str, str]:
    return {
        "status": str(answer.status),
        "demand": answer.demand,
        "channel": answer.channel,
        "quote": re.sub(" +", " ", UNSEEN.sub(" ", answer.quote)).strip()[:_QUOTE_LENGTH],
        "on": answer.at.astimezone(entry.zone).date().isoformat(),
    }


def following_of(examined: Examined, log: Log, today: date | None = None) -> FollowUp | None:
    """For a follow-up, what completes its rows with what the log knows; else None.

    `today` is the day on which it goes, if not now.
    """
    front = examined.letter.front if examined.letter.texts else None
    if front is None or not front.follows or examined.has_errors:
        return None
    following = FollowUp(log, front.follows, front.where or UNANSWERED, today)
    if following.has_begun:
        examined.complete = following.complete
    return following


def last_in(log: Log | None) -> Callable[[str], Frozen | None]:
    """Gives a letter by its name as it was frozen last in a log; None: it never was."""

    def frozen_last(name: str) -> Frozen | None:
        newest = log.newest(name) if log else None
        return Frozen.from_json(newest.document) if newest else None

    return frozen_last


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


def prune_signatories(campaign: Campaign, log: Log) -> list[Problem]:
    """Drop from the signatories who was forgotten or withdrew, and names that are not to be shown.

    Returns the warnings, which are added to the campaign's problems. Forgotten people who are not
    named stay: a letter only counts them.
    """
    forgotten, gone = Forgotten(log), signatures.departures(log)
    file = campaign.settings.people["signatories"]
    kept, told = list[Signatory](), list[Problem]()

    def warn(one: Signatory, what: str, hint: str) -> None:
        problem = Problem(file, one.line, what, hint, Level.WARNING)
        if problem not in campaign.problems:
            told.append(problem)

    for one in campaign.signatories:
        key = folded(one.email)
        if one.publish and one.email and one.email in forgotten:
            continue
        if since := gone.withdrew.get(key):
            day = since.astimezone(zone_of(campaign)).date()
            warn(one, f"this signatory withdrew on {day} and is left out", "Delete the row")
            continue
        if one.publish and key in gone.unnamed:
            what = "this signatory does not want to be named any more, and is only counted"
            warn(one, what, 'Write "no" under publish')
            one = replace(one, publish=False)  # noqa: PLW2901
        elif key in gone.hidden:
            what = "this signature is hidden in the log, and counts because it is in the file"
            warn(one, what, f"Delete the row, or: petition signatures --approve {one.email}")
        kept.append(one)
    campaign.signatories = tuple(kept)
    campaign.problems += told
    return told


def suppose_as_frozen(examined: Examined, log: Log) -> None:
    """Suppose, until the list is read, that its columns count as when the letter was frozen."""
    newest = log.newest(examined.letter.name) if examined.bare else None
    if newest and examined.frozen:
        old = Frozen.from_json(newest.document)
        supposed = examined.frozen.counting(old.yes_no)
        if _same(old, newest, supposed, log):
            examined.frozen, examined.bare.before = supposed, old.yes_no


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
