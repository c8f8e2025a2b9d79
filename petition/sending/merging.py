"""Makes letters of the copies of a run, and leaves out those that this machine cannot make."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from petition.address import folded
from petition.errors import MergeHindered, MergeRefused, PetitionError
from petition.merge.attachments import OWN_FILES
from petition.merge.message import Email, Merger
from petition.outbox.manual import is_suppressed
from petition.outbox.models import Copy
from petition.outbox.run import CopyOutcome, Run
from petition.outbox.states import State
from petition.sending.person import person_of
from petition.sending.results import Results
from petition.sending.route import Route

HINDERED_IN_A_ROW = 5  # copies that cannot be put together on this machine
READ_BACK_FIRST = 100  # copies of a run that are parsed back in full


class MergedCopy(NamedTuple):
    """A copy that may be handed over."""

    copy: Copy
    email: Email  # as the log has it
    outgoing: Email  # as it goes over the wire: perhaps signed
    date: datetime


class CopyMerger:
    """Merges copies; `merged` counts those that the merger has made, also before this run.

    `provide` is awaited before a copy with files of its own is merged, to fetch them.
    """

    def __init__(
        self,
        merger: Merger,
        route: Route,
        run: Run,
        results: Results,
        clock: Callable[[], datetime],
        provide: Callable[[Copy], Awaitable[None]] | None,
        merged: int,
    ) -> None:
        self._merger = merger
        self._route = route
        self._run = run
        self._results = results
        self._clock = clock
        self._provide = provide
        self._providing = asyncio.Lock()  # what was got is there until it is merged
        self._has_cc_of_rows = bool(merger.frozen.cc_fields)
        self.merged = merged
        self._date = clock().replace(microsecond=0)
        self._hindered_in_a_row = 0

    def go_on_with(self, merger: Merger) -> None:
        """Merge what follows with another merger: a name was taken out of the letter."""
        merger.left_out |= self._merger.left_out
        self._merger = merger

    def has_to_wait(self, copy: Copy) -> bool:
        """Whether `letter` does not suffice for a copy."""
        return self._has_cc_of_rows or self._has_to_fetch(copy)

    def _has_to_fetch(self, copy: Copy) -> bool:
        return self._provide is not None and bool(copy.fields.get(OWN_FILES))

    async def provided_letter(self, copy: Copy) -> MergedCopy | None:
        """The letter of a copy, once all that it needs is there; None as in `letter`."""
        if self._has_cc_of_rows:
            await self._leave_out_of_cc(copy)
        if self._provide is None or not self._has_to_fetch(copy):
            return self.letter(copy)
        async with self._providing:
            await self._provide(copy)
            return self.letter(copy)

    def letter(self, copy: Copy) -> MergedCopy | None:
        """The letter of a copy; None if it cannot be made, which is then recorded or told."""
        now = self._date_now()
        date = copy.letter_date or now  # set at the first attempt and then kept
        self.merged += 1
        full = self.merged <= READ_BACK_FIRST
        try:
            email = self._merger.merge(person_of(copy), copy.revision, date, full=full)
            outgoing = self._route.outgoing(email, now)
        except (MergeHindered, OSError, MemoryError) as fault:
            self._hindered_in_a_row += 1
            is_too_many = self._hindered_in_a_row >= HINDERED_IN_A_ROW
            self._results.put_aside(copy, _hindrance(fault), is_too_many=is_too_many)
            return None
        except MergeRefused as refusal:
            self._results.record(CopyOutcome(copy, State.FAILED, False, str(refusal)))
            return None
        self._hindered_in_a_row = 0
        return MergedCopy(copy, email, outgoing, date)

    async def _leave_out_of_cc(self, copy: Copy) -> None:
        """Leave out whom the row names in cc and who left since the copy was queued."""
        with suppress(MergeRefused):  # merging says so again
            boxes = [one.addr_spec for one in self._merger.own_cc(person_of(copy))]
            barred = await self._run.ask(
                lambda log: [folded(one) for one in boxes if is_suppressed(log, one)]
            )
            self._merger.left_out.update(barred)

    def _date_now(self) -> datetime:
        """The Date of a letter that has none yet: one object for all letters of a second."""
        now = self._clock().replace(microsecond=0)
        if now != self._date:
            self._date = now
        return self._date


def _hindrance(fault: MergeHindered | OSError | MemoryError) -> PetitionError:
    if isinstance(fault, MergeHindered):
        return fault
    if isinstance(fault, MemoryError):
        return PetitionError("out of memory", "Close other programs, then send again")
    file = f"{fault.filename}: " if fault.filename else ""
    return PetitionError(f"{file}{fault.strerror or fault}", "Check the disk, then send again")
