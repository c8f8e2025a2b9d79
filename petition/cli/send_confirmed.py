"""Carries out a `send` that was confirmed: at once, later, or as its moment comes in each zone.

Nothing is queued before that. After a wait the letter and its list are read again, and what a
person did not confirm is not sent.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import zip_longest

from petition.campaign.folder import load_campaign, read_settings
from petition.cli import output, run_delivery, send_later, send_report
from petition.cli.approval import Permission
from petition.cli.local_time import ReadersHolidays, Waves, holidays_of
from petition.cli.progress import Progress
from petition.cli.run_delivery import Secrets
from petition.cli.workspace import Workspace
from petition.errors import ExitStatus, UsageError
from petition.merge.document import differences
from petition.outbox.states import State
from petition.planning.plan import SendOptions
from petition.planning.prepare import (
    READ_BACK_BEFORE_RUN,
    Prepared,
    differs_only_by_who_left,
    enqueue,
    prepare,
)
from petition.sending.circuit_breaker import CopyResult, RunResult


@dataclass(frozen=True, slots=True)
class ConfirmedSend:
    """What a person agreed to send, and what it takes to do that."""

    prepared: Prepared
    permission: Permission
    secrets: Secrets
    place: Workspace
    wait: bool  # run until nothing is left to send

    def carry_out(self, at: datetime | None) -> ExitStatus:
        """Send it: at its moment, or without one after the grace of [pace], or at once."""
        prepared = self.prepared
        if at:
            prepared = self._later(at, f"before {output.when(at)}")
        elif grace := _grace(prepared):
            when = f"for {output.duration(grace.total_seconds())}"
            prepared = self._later(datetime.now(UTC) + grace, when)
        holidays = holidays_of(prepared.options)
        ending = self._deliver(prepared, self.secrets, holidays=holidays)
        return max(send_report.report(prepared, ending), _status_of_holidays(holidays))

    def carry_out_in_waves(self, waves: Waves) -> ExitStatus:
        """Send to each time zone when its moment has come; what is deferred goes meanwhile."""
        prepared, secrets = self.prepared, self.secrets
        confirmed, now, ending = _hashes_of(prepared), prepared, RunResult()
        output.say("No copy is queued before its moment. Until then Ctrl-C takes it back.")
        begins_at = datetime.now(UTC) + (_grace(prepared) or timedelta(0))
        for wave, following in zip_longest(waves.all, waves.all[1:]):
            if (at := max(wave.at, begins_at)) > datetime.now(UTC):
                stopped = "What was not due yet is not queued. Run the same command again to go on."
                send_later.wait_until(at, what=stopped, hint="Look at the plan that it shows then")
            newest = prepared.log.newest(prepared.letter)
            has_begun = newest is not None and newest.revision == prepared.plan.revision
            is_due = waves.due_by(wave.at)
            now = self._prepared_again(replace(prepared.options, is_due=is_due, goes_on=has_begun))
            self._require(now, confirmed, is_part=True)
            if prepared.server and prepared.server.auth != "password":  # a token lasts for an hour
                secrets = run_delivery.secrets_for(prepared)
            if now.comparison.waiting:
                ending = self._deliver(
                    now,
                    secrets,
                    until=following.at if following else None,
                    holidays=waves.holidays,
                    is_part=wave is not waves.all[0],
                )
            else:
                enqueue(now)  # opt-outs are recorded all the same
            if ending.stopped or ending.is_final:
                break
            if following:
                counted = send_report.counted(now.letter, now.listing.states())
                output.say(f"{counted} Next: {following.line(wave.at)}.")
        return max(send_report.report(now, ending), _status_of_holidays(waves.holidays))

    def _later(self, at: datetime, when: str) -> Prepared:
        """Wait, and prepare the same again; UsageError if it is not what was confirmed."""
        confirmed, options = _hashes_of(self.prepared), self.prepared.options
        output.say(f"Nothing is queued {when}. Until then Ctrl-C takes everything back.")
        send_later.wait_until(at, what="Nothing was queued, and nothing was sent.")
        if holidays := holidays_of(options):
            options = replace(options, is_due=ReadersHolidays(holidays.day))  # counts from zero
        now = self._prepared_again(options)
        self._require(now, confirmed)
        return now

    def _prepared_again(self, options: SendOptions) -> Prepared:
        place = self.place
        place.count_noted_clicks()
        campaign = load_campaign(place.root, read_settings(place.root))
        return prepare(
            campaign,
            self.prepared.letter,
            place.log,
            place.server,
            options,
            read_back=READ_BACK_BEFORE_RUN,
        )

    def _require(self, now: Prepared, confirmed: frozenset[int], *, is_part: bool = False) -> None:
        """UsageError if it is not what was confirmed, or may not go by now.

        Whoever asked to leave, answered or was withdrawn meanwhile gets nothing, as always; with
        `is_part` most of the others have it already, or get it later.
        """
        before, rows = self.prepared, _hashes_of(now)
        changes = differences(before.plan.frozen, now.plan.frozen)
        if changes and differs_only_by_who_left(before, now):
            changes = []
            output.say(
                "In the meantime somebody who signed has withdrawn, or is not to be named any more."
            )
        if before.plan.revision != now.plan.revision and not changes:
            changes = ["the revision"]
        if before.listed != now.listed or not rows <= confirmed:
            changes.append("the list, or who is to get the letter")
        if changes:
            what = f"nothing {'more ' if is_part else ''}was sent"
            what += f": this has changed since you confirmed it: {'; '.join(changes)}"
            raise UsageError(what, "Look at it again, and run the same command once more")
        left = 0 if is_part else len(confirmed) - len(rows)
        if left:
            output.say(f"{output.count(left, 'person', 'people')} will not get it any more.")
        self.permission.require(now, is_part=is_part)

    def _deliver(
        self,
        prepared: Prepared,
        secrets: Secrets,
        *,
        until: datetime | None = None,
        holidays: ReadersHolidays | None,
        is_part: bool = False,
    ) -> RunResult:
        """Queue and deliver what was prepared."""
        # Once more, in the transaction: an approver may have said no while a person was asked.
        enqueue(prepared, partial(self.permission.use, prepared, is_part=is_part))
        kept: CopyResult | None = None
        with Progress(prepared.comparison.to_send) as progress:

            def tell(result: CopyResult) -> None:
                nonlocal kept
                kept = kept or (result if result.state is State.SENT else None)
                progress.count(result.state, result.copy.id)

            ending = run_delivery.deliver(
                prepared,
                secrets,
                tell,
                progress.note,
                wait=self.wait or until is not None,
                until=until,
                closed=holidays.closed() if holidays else (),
            )
        if kept:
            copies = prepared.log.copies_to(prepared.letter, kept.copy.mailbox)
            send_report.say_if_sandbox(
                prepared, *(one.reply or "" for one in copies if one.id == kept.copy.id)
            )
        return ending


def _hashes_of(prepared: Prepared) -> frozenset[int]:
    """Hashes of the people who are about to get it, with what their copies are made of."""
    # A copy that was deferred meanwhile is the same, though the log has a row for it by then.
    rows = (row._replace(queued_as="") for row in prepared.listing.to_send())
    digests = (hashlib.sha256(repr(row).encode()) for row in rows)
    # Cut, so that a list of a million takes little memory.
    return frozenset(int.from_bytes(one.digest()[:8], "big") for one in digests)


def _grace(prepared: Prepared) -> timedelta | None:
    """How long to wait before anything is queued for a server, by [pace]."""
    return prepared.campaign.settings.pace.grace if prepared.server else None


def _status_of_holidays(holidays: ReadersHolidays | None) -> ExitStatus:
    if not (holidays and holidays.later):
        return ExitStatus.DONE
    people = output.count(holidays.later.total(), "person", "people")
    output.say(f"{people} on holiday: run the same command again on another day.")
    return ExitStatus.LEFT
