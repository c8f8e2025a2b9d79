"""petition send --at and [pace] grace: wait for a moment, and then send what was confirmed.

Nothing is queued until the moment has come. Then the letter and its list are read again, and what
a person did not confirm is not sent.
"""

import hashlib
import os
import re
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import typer

from petition import system
from petition.campaign.server import VARIABLES
from petition.cli import output
from petition.errors import ExitStatus, UsageError
from petition.merge.document import differences
from petition.prepare import Prepared

_LATEST = timedelta(minutes=10)  # after the moment, if the machine was asleep when it came
_LOOK_SECONDS = 1.0  # the clock may be set, and the machine sleep
_FURTHEST = timedelta(days=366)


def moment_of(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The moment of "2026-12-01 09:00" or "09:00" (the next one) in a time zone.

    UsageError if it is none, is past, or is skipped by the change to summer time. Of a time that
    comes twice, as summer time ends, it is the first.
    """
    found = re.fullmatch(r"(?:(\d{4}-\d\d-\d\d)[ T]+)?(\d\d?:\d\d)", text.strip())
    try:
        clock = datetime.strptime(found[2], "%H:%M").time() if found else None  # noqa: DTZ007
        day = date.fromisoformat(found[1]) if found and found[1] else None
    except ValueError:
        clock = None
    if clock is None:
        raise UsageError(f'--at: "{text}" is no time', 'Write it as "2026-12-01 09:00" or "09:00"')
    today = now.astimezone(zone).date()
    at = datetime.combine(day or today, clock, zone)
    if day is None and at <= now:
        at = datetime.combine(today + timedelta(days=1), clock, zone)
    back = at.astimezone(UTC).astimezone(zone)
    if back.replace(tzinfo=None) != at.replace(tzinfo=None):
        what = f"--at: the clocks go forward in {zone.key}, and there is no {clock:%H:%M} that day"
        raise UsageError(what, f"Write {back:%H:%M}")
    if not now < at.astimezone(UTC) < now + _FURTHEST:
        when = "is past" if at.astimezone(UTC) <= now else "is more than a year away"
        raise UsageError(f"--at: {output.when(at)} {when}", "Write another time, or omit --at")
    return at


class Confirmed(NamedTuple):
    """What a person agreed to send."""

    prepared: Prepared
    rows: frozenset[int]  # hashes of the people, with what their copies are made of

    @classmethod
    def of(cls, prepared: Prepared) -> "Confirmed":
        """What is about to be sent now."""
        digests = (hashlib.sha256(repr(row).encode()) for row in prepared.listing.to_send())
        # Cut, so that a list of a million takes little memory.
        return cls(prepared, frozenset(int.from_bytes(one.digest()[:8], "big") for one in digests))

    def require(self, now: Prepared) -> None:
        """UsageError if something else is about to be sent by now.

        Whoever asked to leave, answered or was withdrawn meanwhile gets nothing, as always.
        """
        before, rows = self.prepared, Confirmed.of(now).rows
        changes = differences(before.plan.frozen, now.plan.frozen)
        if before.plan.revision != now.plan.revision and not changes:
            changes = ["the revision"]
        if before.listed != now.listed or not rows <= self.rows:
            changes.append("the list, or who is to get the letter")
        if changes:
            what = (
                f"nothing was sent: this has changed since you confirmed it: {'; '.join(changes)}"
            )
            raise UsageError(what, "Look at it again, and run the same command once more")
        if left := len(self.rows) - len(rows):
            output.say(f"{output.count(left, 'person', 'people')} will not get it any more.")


def wait_until(at: datetime, *, what: str) -> None:
    """Wait until a moment; `what` is said if Ctrl-C ends the wait.

    UsageError if the machine was asleep when the moment came.
    """
    try:
        while (left := at.timestamp() - time.time()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
    except KeyboardInterrupt:
        output.say_error(f"\n{what}")
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    if -left > _LATEST.total_seconds():
        late = output.duration(-left)
        raise UsageError(
            f"nothing was sent: the machine was asleep or its clock was set, and it is {late} late",
            "Run it again without --at to send it now",
        )


def print_schedule(at: datetime, folder: Path) -> None:
    """Print what has the system run this very command at a moment.

    UsageError if that would be something else without this environment.
    """
    if named := sorted(os.environ.keys() & VARIABLES):
        what = f"--print-schedule: {', '.join(named)} would not be set then"
        raise UsageError(what, "Write it into petition.toml: only that is read then")
    output.say_error(
        "It runs without your environment: a password must be in the keyring, or come from"
        " password_command. --yes confirms whatever petition check calls ready then."
    )
    output.say_error(
        "The machine must be on then, and you logged in (Linux: or loginctl enable-linger)."
    )
    program = Path(sys.argv[0]).resolve()
    start = (
        [str(program)] if program.stem == "petition" else [sys.executable, "-P", "-m", "petition"]
    )
    words = [*start, "-C", str(folder.resolve())]
    for line in system.schedule(at, [*words, *_without_moment(sys.argv[1:]), "--yes"]):
        output.source(f"{line}\n".encode())


def _without_moment(arguments: list[str]) -> list[str]:
    """A command line without the options that say when and where it runs."""
    kept: list[str] = []
    at = 0
    while at < len(arguments):
        one = arguments[at]
        at += 2 if one in {"--at", "-C"} else 1
        is_left_out = one in {"--at", "--print-schedule", "--yes", "-y"}
        if not is_left_out and not one.startswith(("-C", "--at=")):
            kept.append(one)
    return kept
