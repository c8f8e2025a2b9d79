"""Which text of a letter goes out, in which revision, and why it may not.

A letter that has begun is finished as it was frozen, unless a person says otherwise.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from petition.campaign.folder import Campaign
from petition.campaign.people import Person
from petition.checks.campaign import Examined
from petition.errors import LogDamaged, UsageError
from petition.merge.document import Frozen, differences
from petition.merge.freeze import with_fewer_signatories
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.outbox.states import Mode
from petition.planning.signatories import differs_by_who_left_since

_ALIKE = 0.6  # of their lines: a renamed and edited letter and what was sent


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
        campaign = examined.campaign
        return _plan_after(campaign, log, newest, now, options, begins=begins, unasked=unasked)
    renamed_from = None if rehearses else _renamed(examined, now, log)
    return Plan(now, 1, is_new=True, renamed_from=renamed_from)


def _plan_after(
    campaign: Campaign,
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
    same = _same(old, newest, now, campaign, log)
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


def _same(
    old: Frozen, newest: FrozenLetter, now: Frozen, campaign: Campaign, log: Log
) -> Frozen | None:
    """The old letter if it is still the same, perhaps without those who withdrew since."""
    if old.is_same_as(now):
        return old
    fewer = with_fewer_signatories(old, now)
    is_by_them = fewer and differs_by_who_left_since(newest, old, fewer, campaign, log)
    return fewer if is_by_them else None


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


def text_to_send(campaign: Campaign, now: Frozen, log: Log | None) -> tuple[Frozen, int]:
    """The text that a copy would be made of now, and its revision.

    If the letter has not changed, that is the text frozen before, with its `today`.
    """
    newest = log.newest(now.letter) if log else None
    if log is None or newest is None:
        return now, 1
    old = Frozen.from_json(newest.document)
    same = _same(old, newest, now, campaign, log)
    return (same, newest.revision) if same else (now, newest.revision + 1)


def suppose_as_frozen(examined: Examined, log: Log) -> None:
    """Suppose, until the list is read, that its columns count as when the letter was frozen."""
    newest = log.newest(examined.letter.name) if examined.bare else None
    if newest and examined.frozen:
        old = Frozen.from_json(newest.document)
        supposed = examined.frozen.counting(old.yes_no)
        if _same(old, newest, supposed, examined.campaign, log):
            examined.frozen, examined.bare.before = supposed, old.yes_no


def last_in(log: Log | None) -> Callable[[str], Frozen | None]:
    """Gives a letter by its name as it was frozen last in a log; None: it never was."""

    def frozen_last(name: str) -> Frozen | None:
        newest = log.newest(name) if log else None
        return Frozen.from_json(newest.document) if newest else None

    return frozen_last
