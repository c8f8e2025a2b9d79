"""petition send: prepare, ask, deliver or queue for workers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import typer

from petition.checks.campaign import READ_BACK_FIRST
from petition.cli import (
    approval,
    output,
    run_delivery,
    send_later,
    send_plan,
    send_report,
    send_to_workers,
)
from petition.cli.approval import Asking
from petition.cli.local_time import ReadersHolidays, Waves, holidays_of
from petition.cli.problems import show_problems
from petition.cli.send_confirmed import ConfirmedSend
from petition.cli.send_later import Moment
from petition.cli.send_trial import send_trial, trial_address
from petition.cli.workspace import WHO, LetterName, ThisLog, Workspace, Yes, named_letter
from petition.errors import ExitStatus, LogChanged, UsageError, listed
from petition.outbox.log_file import size
from petition.outbox.states import State
from petition.planning.plan import SendOptions
from petition.planning.prepare import READ_BACK_BEFORE_RUN, Prepared, enqueue, prepare
from petition.sending.circuit_breaker import RunResult
from petition.sending.rate_limit import Pace
from petition.sending.retry import RetrySchedule
from petition.trust import Section

_LARGE = 100  # megabytes; to check a log of this size takes more than a second
_ALL = 1_000_000_000  # more copies than there can be; a database counts no further than 2^63

_APART = (
    ("--revise", "--again"),
    ("--workers", "--wait"),
    ("--workers", "--to-me"),
    ("--at", "--workers"),
    ("--at", "--to-me"),
    ("--each-in-their-zone", "--limit"),
    ("--override", "--ask-again"),
    ("--override", "--attach-book"),
    ("--override", "--to-me"),
)
_NEEDS = {
    "--each-in-their-zone": ("--at", "Add --at with the time"),
    "--print-schedule": ("--at", "Add --at with the time"),
    "--reason": ("--override", "Add --override"),
}


class Flags(NamedTuple):
    """The options of a `send` that do not change its plan."""

    dry_run: bool
    yes: bool
    wait: bool
    at: datetime | None = None  # when it is to go; None: now
    local: Moment | None = None  # when it is to go by each recipient's own clock
    prints: bool = False  # how the system does it
    asking: Asking = Asking()  # about the approval


def send(
    context: typer.Context,
    letter: LetterName = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="WHO", help=f"Only to WHO: {WHO}."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only to those who match: \"country == 'GB'\".",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="At most N letters now.")
    ] = None,
    to_me: Annotated[
        str | None,
        typer.Option("--to-me", metavar="ADDR", help="Send one trial copy to ADDR instead."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("-n", "--dry-run", help="Show what would be sent; queue and send nothing."),
    ] = False,
    yes: Yes = False,
    revise: Annotated[
        bool,
        typer.Option("--revise", help="Send the changed letter to those who do not have it yet."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Send the letter to everyone once more.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Keep running until there is nothing left to send.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help='Ask now, and send at "2026-12-01 09:00" or "09:00".'
        ),
    ] = None,
    each_in_their_zone: Annotated[
        bool,
        typer.Option("--each-in-their-zone", help="With --at: by each recipient's own clock."),
    ] = False,
    print_schedule: Annotated[
        bool,
        typer.Option("--print-schedule", help="With --at: only print how the system does it."),
    ] = False,
    workers: Annotated[
        bool, typer.Option("--workers", help="Queue it for petition worker (PostgreSQL).")
    ] = False,
    ask_again: Annotated[
        bool,
        typer.Option("--ask-again", help="Mail the approvers who have not answered once more."),
    ] = False,
    attach_book: Annotated[
        bool,
        typer.Option("--attach-book", help="Send the approvers all copies, with addresses."),
    ] = False,
    override: Annotated[
        bool,
        typer.Option("--override", help="Send without the approval; the reason is recorded."),
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="The reason, with --override."),
    ] = None,
    this_log: ThisLog = False,
) -> None:
    """Send a letter to everyone on its list who does not have it yet."""
    _require_fitting(
        {
            "--revise": revise,
            "--again": again,
            "--workers": workers,
            "--wait": wait,
            "--to-me": to_me is not None,
            "--limit": limit is not None,
            "--at": at is not None,
            "--each-in-their-zone": each_in_their_zone,
            "--print-schedule": print_schedule,
            "--ask-again": ask_again,
            "--attach-book": attach_book,
            "--override": override,
            "--reason": reason is not None,
        }
    )
    asking = Asking(
        yes=yes,
        override=override,
        reason=" ".join((reason or "").split()) or None,
        again=ask_again,
        attach_book=attach_book,
        owns_log=not workers,
    )
    with Workspace.open(context, writes=letter is not None) as place:
        letter = named_letter(place, "send", letter, "nothing was sent")
        zone = ZoneInfo(place.settings.campaign.timezone)
        now = datetime.now(UTC)
        asked = Moment.parse(at) if at is not None else None
        local = asked if each_in_their_zone else None
        if print_schedule and local and local.day is None:
            what = "--print-schedule with --each-in-their-zone needs a day"
            raise UsageError(what, 'Write --at "2026-12-01 09:00"')
        moment = asked.ahead(zone, now) if asked and not local else None
        if print_schedule and moment:
            if not (wait or place.is_rehearsal):
                _require_open(Pace.of(place.settings.pace, zone.key), moment)
            send_later.print_schedule(moment, place.root)
            return
        flags = Flags(dry_run, yes, wait, moment, local, print_schedule, asking)
        options = SendOptions(
            who=tuple(to or ()),
            where=where,
            limit=limit and min(limit, _ALL),
            revise=revise,
            again=again,
            trial=to_me is not None,
            today=asked.date(zone, now) if asked else now.astimezone(zone).date(),
        )
        if not place.is_rehearsal:
            to_send = () if dry_run or print_schedule else (Section.SERVER, Section.SIGNATURE)
            place.allow(Section.LOG, *to_send, asks=not yes)
        if to_me is None:
            place.vouch(this_log=this_log, only_tells=dry_run or print_schedule)
        if workers:
            status = _hand_out(place, letter, options, flags)
        else:
            status = _send_letter(place, letter, options, flags, to_me=to_me)
    raise typer.Exit(status)


def _require_fitting(given: Mapping[str, bool]) -> None:
    """UsageError if these options cannot be combined, or one lacks another."""
    for one, other in _APART:
        if given[one] and given[other]:
            raise UsageError(f"{one} and {other} cannot be combined", "Omit one of them")
    for one, (other, hint) in _NEEDS.items():
        if given[one] and not given[other]:
            raise UsageError(f"{one} needs {other}", hint)


def _send_letter(
    place: Workspace, letter: str, options: SendOptions, flags: Flags, *, to_me: str | None
) -> ExitStatus:
    """Prepare a letter, ask, deliver it, and say what became of it."""
    carry_out = partial(_ask_and_send, flags=flags, place=place)
    if to_me is not None:
        to = trial_address(to_me)
        carry_out = partial(send_trial, to=to, dry_run=flags.dry_run, yes=flags.yes)
    only_looks = flags.dry_run or flags.prints or to_me is not None
    read_back = READ_BACK_FIRST if only_looks else READ_BACK_BEFORE_RUN
    by_zone = flags.local is not None
    with nullcontext() if only_looks else _ownership(place):
        if not only_looks:
            place.count_noted_clicks()
        return _plan_and(
            carry_out, place, letter, options, read_back, yes=flags.yes, by_zone=by_zone
        )


@contextmanager
def _ownership(place: Workspace) -> Iterator[None]:
    """Own the log, and check all of it: one wrong bit in an index could make a person look new."""
    with place.log.owned():
        if (megabytes := (size(place.log_file) if place.log_file else 0) // 1_000_000) > _LARGE:
            output.say_error(f"Checking the log for damage ({megabytes:,} MB).")
        place.log.database.examine()
        retry = RetrySchedule.of(place.settings.pace)
        place.log.look_at_deferred(retry.give_up, retry.longest)
        yield


def _hand_out(place: Workspace, letter: str, options: SendOptions, flags: Flags) -> ExitStatus:
    """Queue a letter for workers."""
    server = send_to_workers.server_of_workers(place)
    if not flags.dry_run:
        place.count_noted_clicks()
        retry = RetrySchedule.of(place.settings.pace)
        place.log.look_at_deferred(retry.give_up, retry.longest)

    def queue(prepared: Prepared) -> ExitStatus:
        if not prepared.comparison.waiting:
            return _end_without_letters(prepared, flags)
        return send_to_workers.queue(prepared, server, place, flags.asking, dry_run=flags.dry_run)

    return _plan_and(queue, place, letter, options, READ_BACK_FIRST, yes=flags.yes)


def _plan_and(
    carry_out: Callable[[Prepared], ExitStatus],
    place: Workspace,
    letter: str,
    options: SendOptions,
    read_back: int,
    *,
    yes: bool,
    by_zone: bool = False,
) -> ExitStatus:
    """Plan a letter and carry the plan out; plan again if the log has changed in between."""
    while True:
        asked = options if by_zone else _on_its_day(place, options)
        prepared = prepare(
            place.campaign, letter, place.log, place.server, asked, read_back=read_back
        )
        show_problems(prepared.examined.problems)
        try:
            return carry_out(prepared)
        except LogChanged:
            if not yes:  # a person confirmed something else
                raise
            output.say_error("The log has changed in the meantime: planning again.")


def _on_its_day(place: Workspace, options: SendOptions) -> SendOptions:
    """The same options, without those who have a holiday on the day on which it is to go."""
    is_asked = place.settings.pace.holidays is True and not place.is_rehearsal
    if not is_asked or options.trial or options.today is None:
        return options
    return replace(options, is_due=ReadersHolidays(options.today))


def _ask_and_send(prepared: Prepared, flags: Flags, place: Workspace) -> ExitStatus:
    """Show the plan, ask, and carry it out."""
    waves = _waves(prepared, flags.local) if flags.local else None
    holidays = waves.holidays if waves else holidays_of(prepared.options)
    count = waves.people if waves else prepared.comparison.to_send
    if not count and holidays and holidays.later:
        output.facts(holidays.lines())
        output.say("Nothing was sent. Run the same command again on another day.")
        return ExitStatus.LEFT
    if not count:
        return _end_without_letters(prepared, flags)
    if flags.at and not flags.wait:
        _require_open(run_delivery.pace_of(prepared), flags.at)
    if flags.prints and waves:
        return _print_schedule(waves, place)
    with_letter = flags.dry_run or not (flags.yes or prepared.server is None)
    more = [*(holidays.lines() if holidays else ()), *(waves.lines() if waves else ())]
    approved = approval.plan_line(prepared)
    send_plan.show(prepared, with_letter=with_letter, more=[*more, *approved])
    if flags.dry_run:
        output.say("Dry run: nothing was queued and nothing was sent.")
        return ExitStatus.DONE
    permission = approval.settle(prepared, place, flags.asking, more)
    when = f"from {output.when(waves.first)} on" if waves else ""
    when = f"at {output.when(flags.at)}" if flags.at else when
    send_plan.confirm(prepared, send_plan.question(prepared, count, when), yes=flags.yes)
    secrets = run_delivery.secrets_for(prepared)  # before anything is queued
    confirmed = ConfirmedSend(prepared, permission, secrets, place, wait=flags.wait)
    return confirmed.carry_out_in_waves(waves) if waves else confirmed.carry_out(flags.at)


def _print_schedule(waves: Waves, place: Workspace) -> ExitStatus:
    if waves.first <= datetime.now(UTC):
        what = f"--at: {output.when(waves.first)} is past, where some of the recipients are"
        raise UsageError(what, "Omit --print-schedule to begin now")
    send_later.print_schedule(waves.first, place.root, keeps_at=True)
    return ExitStatus.DONE


def _waves(prepared: Prepared, moment: Moment) -> Waves:
    """When each copy is due by its recipient's clock; UsageError if [pace] holds one of them."""
    now = datetime.now(UTC)
    rows, of_zone = prepared.listing.to_send(), partial(moment.of, now=now)
    is_asked = prepared.server and prepared.campaign.settings.pace.holidays is True
    holidays = ReadersHolidays(prepared.options.today or now.date()) if is_asked else None
    waves = Waves(rows, of_zone, holidays)
    if waves.all and waves.last <= now:
        what = "--at: that is past where any of the recipients are"
        raise UsageError(what, "Write another time, or omit --at and --each-in-their-zone")
    for wave in waves.all:
        zones = listed(wave.zones[:1], len(wave.zones))
        _require_open(run_delivery.pace_of(prepared), max(wave.at, now), f", in {zones}")
    return waves


def _require_open(pace: Pace, at: datetime, where: str = "") -> None:
    """UsageError if [pace] holds letters at a moment."""
    if opens_at := pace.opens_after(at):
        what = f"[pace] allows no letters at {output.when(at)}{where}"
        hint = f"It does from {output.when(opens_at)}: change [pace], or the time"
        raise UsageError(what, hint)


def _end_without_letters(prepared: Prepared, flags: Flags) -> ExitStatus:
    """There is nobody to send to: skip those who left the list, and say why."""
    comparison = prepared.comparison
    removed = comparison.gone + comparison.newly_excluded
    if removed:
        output.facts(send_plan.plan_lines(prepared))
    if flags.dry_run:
        output.say("Dry run: nothing was changed.")
    else:
        if removed:
            send_plan.confirm(
                prepared, f"Skip {output.count(removed, 'waiting letter')} now?", yes=flags.yes
            )
        if removed or comparison.actions:
            enqueue(prepared)  # opt-outs are recorded all the same
    states = prepared.listing.states()
    _say_why_nothing(prepared, states, is_shown=removed > 0)
    send_report.next_steps(prepared, states)
    send_report.say_rehearsal(prepared)
    return send_report.status_of(states, RunResult())


def _say_why_nothing(prepared: Prepared, states: dict[State, int], *, is_shown: bool) -> None:
    have = sum(states.get(state, 0) for state in (State.SENT, State.BOUNCED))
    total = sum(prepared.comparison.actions.values())
    if total and have == total:
        who = "Everybody on the list" if total > 1 else "This person"
        output.say(f'{who} already has "{prepared.letter}": {have} sent. Nothing was sent.')
        return
    output.say(f'There is nobody to send "{prepared.letter}" to. Nothing was sent.')
    if not is_shown:
        output.facts(send_plan.plan_lines(prepared))
