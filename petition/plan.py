"""Which text a send would put out, in which revision and for whom; and when it must not."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from petition.checks.campaign import Examined
from petition.errors import LogDamaged, UsageError
from petition.merge.document import Frozen, differences
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.outbox.states import Mode

_ALIKE = 0.6  # share of its lines that a renamed and edited letter has in common with what was sent


class PlanRefused(UsageError):
    """A letter that was sent before is not sent as it is now.

    Args:
        what: What is in the way.
        mend: What to do about it.
        needs: What it would take to send it, in a few words.
    """

    def __init__(self, what: str, mend: str, *, needs: str) -> None:
        super().__init__(what, mend)
        self.needs = needs


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

    @property
    def is_for_all(self) -> bool:
        """Whether it is for the whole list, be it a few at a time."""
        return not self.who and self.where is None


@dataclass(frozen=True, slots=True)
class Plan:
    """Which text goes out in which revision, and why it may not.

    Args:
        mode: For whom this send is.
        meant_for: For whom the revision is, this send and later ones.
        widens: The revision was meant for fewer before.
        may_begin_another: `--again` was asked for: where this revision is finished, begin another.
    """

    frozen: Frozen
    revision: int
    is_new: bool
    mode: Mode = Mode.CONTINUE
    meant_for: Mode = Mode.CONTINUE
    widens: bool = False
    may_begin_another: bool = False
    changes: tuple[str, ...] = ()
    frozen_at: datetime | None = None
    renamed_from: str | None = None

    @property
    def refusal(self) -> "PlanRefused | None":
        """Why nothing is sent before a person has said what they mean; None: nothing is amiss."""
        if self.renamed_from:
            return PlanRefused(
                f"letters/{self.frozen.letter}.md is the letter that was sent as"
                f' "{self.renamed_from}", under another name: everyone would get it twice',
                f"Rename it back to letters/{self.renamed_from}.md; or, if it is another letter,"
                f" put letters/{self.renamed_from}.md back beside it",
                needs=f"the name {self.renamed_from}",
            )
        if self.changes and self.frozen_at:
            day = self.frozen_at.strftime("%Y-%m-%d %H:%M UTC")
            return PlanRefused(
                f'"{self.frozen.letter}" has changed since its first copy was queued ({day}): '
                + "; ".join(self.changes),
                "Undo the change, or send the new text to those who have not had the letter"
                " with --revise, or to everyone with --again",
                needs="--revise or --again",
            )
        return None


def plan_of(examined: Examined, log: Log, wish: Wish, *, begins: bool) -> Plan | None:
    """Which text goes out in which revision.

    Args:
        examined: The letter as it is now.
        log: What was frozen before.
        wish: What was asked for.
        begins: Begin another revision, though the text is the same.

    Returns:
        The plan, which may have to be refused; None where the letter cannot be frozen at all.
    """
    now = examined.frozen
    if now is None:
        return None
    if wish.trial:
        return Plan(now, 1, is_new=True)
    if newest := log.newest(now.letter):
        return _plan_after(newest, now, wish, begins=begins)
    return Plan(now, 1, is_new=True, renamed_from=_renamed(examined, now, log))


def _plan_after(newest: FrozenLetter, now: Frozen, wish: Wish, *, begins: bool) -> Plan:
    """The plan for a letter that was frozen before."""
    old = Frozen.from_json(newest.document)
    if old.hash != newest.hash:
        raise LogDamaged(f'the log holds "{newest.letter}" with other words than it was sent with')
    is_same = old.hash == now.hash
    if begins or (not is_same and (wish.again or wish.revise)):
        meant_for = _meant_for(wish)
        mode = Mode.AGAIN if wish.again else meant_for
        return Plan(now, newest.revision + 1, is_new=True, mode=mode, meant_for=meant_for)
    if is_same:
        return _plan_going_on(newest, old, wish)
    changes = tuple(differences(old, now))
    return Plan(now, newest.revision, is_new=False, changes=changes, frozen_at=newest.frozen_at)


def _plan_going_on(newest: FrozenLetter, old: Frozen, wish: Wish) -> Plan:
    """The plan for a letter that has not changed: its revision goes on, for whom it is meant."""
    mode = meant_for = newest.mode
    if mode in {Mode.AGAIN, Mode.AGAIN_CHOSEN}:
        if wish.again:
            mode = Mode.AGAIN
            meant_for = Mode.AGAIN if wish.is_for_all else meant_for
        elif wish.revise:
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
        may_begin_another=wish.again,
    )


def _meant_for(wish: Wish) -> Mode:
    if not wish.again:
        return Mode.REVISE
    return Mode.AGAIN if wish.is_for_all else Mode.AGAIN_CHOSEN


def _renamed(examined: Examined, now: Frozen, log: Log) -> str | None:
    """The name under which this very letter was frozen before, if its file is gone."""
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
    """The share of their lines that two texts have in common, wherever these stand."""
    lines = [Counter(filter(None, map(str.strip, text.splitlines()))) for text in (one, other)]
    total = sum(counter.total() for counter in lines)
    return 2 * (lines[0] & lines[1]).total() / total if total else 0.0
