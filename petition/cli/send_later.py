"""petition send --at and [pace] grace: the moment, waiting for it, or having the system do that."""

import os
import re
import sys
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import typer

from petition import system
from petition.campaign.server import VARIABLES
from petition.cli import output
from petition.errors import ExitStatus, UsageError

_LATEST = timedelta(minutes=10)  # after the moment, if the machine was asleep when it came
_LOOK_SECONDS = 1.0  # the clock may be set, and the machine sleep
_FURTHEST = timedelta(days=366)
_WITHOUT = "Run it again without --at to send it now"
_ANOTHER = "Write another time, or omit --at"


class Moment(NamedTuple):
    """A time of day, on a date if one is given, else the next time that the clock shows it."""

    day: date | None
    clock: time_of_day

    @classmethod
    def parse(cls, text: str) -> "Moment":
        """The moment of "2026-12-01 09:00" or "09:00"; UsageError if it is none."""
        found = re.fullmatch(r"(?:(\d{4}-\d\d-\d\d)[ T]+)?(\d\d?:\d\d)", text.strip())
        try:
            clock = datetime.strptime(found[2], "%H:%M").time() if found else None  # noqa: DTZ007
            day = date.fromisoformat(found[1]) if found and found[1] else None
        except ValueError:
            clock = None
        if clock is None:
            hint = 'Write it as "2026-12-01 09:00" or "09:00"'
            raise UsageError(f'--at: "{text}" is no time', hint)
        return cls(day, clock)

    def of(self, zone: ZoneInfo, now: datetime) -> datetime:
        """The moment in a time zone; one with a date may be past.

        UsageError if the change to summer time skips it, or if it is more than a year away. Of a
        time that comes twice, as summer time ends, it is the first.
        """
        today = now.astimezone(zone).date()
        if self.day and abs(self.day - today) > _FURTHEST:
            away = "is past" if self.day < today else "is more than a year away"
            raise UsageError(f"--at: {self.day} {away}", _ANOTHER)
        at = datetime.combine(self.day or today, self.clock, zone)
        if self.day is None and at <= now:
            at = datetime.combine(today + timedelta(days=1), self.clock, zone)
        back = at.astimezone(UTC).astimezone(zone)
        if back.replace(tzinfo=None) != at.replace(tzinfo=None):
            what = f"--at: the clocks go forward in {zone.key}, and there is no {self.clock:%H:%M}"
            raise UsageError(f"{what} that day", f"Write {back:%H:%M}")
        return at

    def date(self, zone: ZoneInfo, now: datetime) -> date:
        """The date of the moment in a time zone."""
        return self.day or self.of(zone, now).date()

    def ahead(self, zone: ZoneInfo, now: datetime) -> datetime:
        """The moment in a time zone; UsageError if it is past."""
        at = self.of(zone, now)
        if at <= now:
            raise UsageError(f"--at: {output.when(at)} is past", _ANOTHER)
        return at


def wait_until(at: datetime, *, what: str, hint: str = _WITHOUT) -> None:
    """Wait until a moment; `what` is said if Ctrl-C ends the wait.

    UsageError with the hint if the machine was asleep when the moment came.
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
            f"stopped: the machine was asleep or its clock was set, and it is {late} late. {what}",
            hint,
        )


def print_schedule(at: datetime, folder: Path, *, keeps_at: bool = False) -> None:
    """Print what has the system run this very command at a moment, without its --at or with it.

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
    asked = _scheduled(sys.argv[1:], keeps_at=keeps_at)
    words = [*start, "-C", str(folder.resolve()), *asked, "--yes"]
    for line in system.schedule(at, words):
        output.source(f"{line}\n".encode())


def _scheduled(arguments: list[str], *, keeps_at: bool) -> list[str]:
    """A command line without the options that say where it runs, and, if the system does, when."""
    apart = {"-C"} if keeps_at else {"-C", "--at"}
    kept: list[str] = []
    at = 0
    while at < len(arguments):
        one = arguments[at]
        length = 2 if one in {"--at", "-C"} else 1
        is_left_out = one in {*apart, "--print-schedule", "--yes", "-y"}
        if not is_left_out and not one.startswith(("-C", "--at=")[: len(apart)]):
            kept += arguments[at : at + length]
        at += length
    return kept
