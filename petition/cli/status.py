"""petition status: what became of each letter, as it is now."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated

import typer

from petition.cli import output
from petition.cli.approve import approval_lines
from petition.cli.next_step import is_for_workers, left_sending, next_step, show_held
from petition.cli.signatures import counts_told, mails_told
from petition.cli.workspace import (
    Csv,
    Json,
    Workspace,
    letter_name,
    one_format,
)
from petition.errors import UsageError
from petition.identity import Identity, Signer
from petition.outbox.approvals import all_approvals, described
from petition.outbox.database import stamp
from petition.outbox.log import Log
from petition.outbox.models import Copy, Counts, Event
from petition.outbox.states import WAITING, State
from petition.user_state import UserStateUnusable

COLUMNS = (
    "email",
    "name",
    "language",
    "state",
    "reason",
    "attempts",
    "reply_code",
    "enhanced_code",
    "reply",
    "message_id",
    "sha256",
    "updated_at",
)
_TABLE = 50  # copies of a letter that are shown one by one without being asked for
_SHOWN = 1000  # rows that a person is shown; for all of them there are --csv and --json


def status(
    context: typer.Context,
    letter: Annotated[
        str | None, typer.Argument(metavar="LETTER", help="Only this letter.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="List the letters in this state."),
    ] = None,
    answers: Annotated[
        bool, typer.Option("--answers", help="Show who answered what, and who has not.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show the progress until Ctrl-C.")] = False,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show how many letters are queued, sent, failed and so on."""
    one_format(as_json=as_json, as_csv=as_csv)
    if answers and (state is not None or as_csv):
        hint = "Use --answers alone or with --json"
        raise UsageError("--answers cannot be combined with --state or --csv", hint)
    if watch and (answers or state is not None or as_csv):
        raise UsageError("--watch can only be combined with --json", "Omit the other options")
    wanted = _state_of(state) if state is not None else None
    with Workspace.open(context) as place:
        name = letter_name(place, letter) if letter else None
        if answers:
            # Here, since it brings Jinja2, with which frozen letters are read.
            from petition.cli.answer import show_answers  # noqa: PLC0415

            show_answers(place, name, as_json=as_json)
        elif watch:
            from petition.cli.watch import watch_progress  # noqa: PLC0415 (brings asyncio)

            watch_progress(place, name, as_json=as_json)
        elif wanted or as_csv:
            _show_rows(place, name, wanted, as_json=as_json, as_csv=as_csv)
        elif as_json:
            found = [_counts_json(counts) for counts in _counts(place, name)]
            asked = {"approvals": _approvals_json(place, name)}
            output.json(place.origin | (found[0] if name else {"letters": found}) | asked)
        elif name:
            _show_letter(place, name)
        else:
            _show_letters(place)


def _state_of(text: str) -> State:
    try:
        return State(text.lower())
    except ValueError:
        raise UsageError(f'"{text}" is not a state', f"States: {', '.join(State)}") from None


# ---- counts


def _counts(place: Workspace, name: str | None) -> list[Counts]:
    log = place.log_if_any
    if log is None:
        return [Counts(name, 0, {})] if name else []
    return [log.counts(letter) for letter in ([name] if name else log.letters())]


def _counts_json(counts: Counts) -> dict[str, object]:
    last = (State.SKIPPED, State.BOUNCED)
    states = [state for state in State if state not in last] + list(last)
    return {
        "letter": counts.letter,
        "revision": counts.revision,
        "total": counts.total,
        **{str(state): counts[state] for state in states},
    }


def _approvals_json(place: Workspace, letter: str | None) -> list[dict[str, object]]:
    log = place.log_if_any
    found = all_approvals(log, letter) if log else []
    return [described(place.log, one) for one in found]


def _show_letters(place: Workspace) -> None:
    found = _counts(place, None)
    if not found:
        say_unsent(place)
    else:
        used = [state for state in State if any(counts[state] for counts in found)]
        rows = [
            (counts.letter, counts.total, *(counts[state] for state in used)) for counts in found
        ]
        output.table(["letter", "total", *used], rows)
        for counts in found:
            if counts[State.SENDING] and place.log.hindrance:
                output.say(f"{counts.letter}, sending: {left_sending(place.log)}")
    show_held(place.log_if_any)
    if signed := counts_told(place.log_if_any):
        output.say(f"Signatures: {signed}: petition signatures")
    if mails := mails_told(place.log_if_any):
        output.say(f"Mails to signatories: {mails}")
    place.say_which()


def say_unsent(place: Workspace, of: str = "", then: str = "") -> None:
    """Say that the log has nothing; if another log may have, also what `send` would say of that."""
    doubt = None
    with suppress(UserStateUnusable):  # send says so
        doubt = place.doubt
    if doubt:
        output.say(f"Nothing{of} has been sent from this log.")
        place.vouch(this_log=False, only_tells=True)
    else:
        output.say(f"Nothing{of} has been sent yet.{then}")


def _show_letter(place: Workspace, name: str) -> None:
    counts = _counts(place, name)[0]
    if 0 < counts.total <= _TABLE:
        _show_copies(place.log, name)
    asked = all_approvals(place.log, name) if place.log_if_any else []
    if asked:
        output.facts(approval_lines(place, asked[-1]))
    if not counts.total:
        say_unsent(place, f" of {name}", f" Next: petition send {name}")
    else:
        log = place.log
        revision = f", revision {counts.revision}" if counts.revision > 1 else ""
        output.say(f"{name}{revision}: {output.count(counts.total, 'letter')}")
        output.facts(
            (f"{counts[state]:>6,} {state}", next_step(log, name, state, lambda: place.campaign))
            for state in State
            if counts[state]
        )
        waits = any(counts[state] for state in WAITING)
        if waits and is_for_workers(log, name) and _is_pace_old(place, name):
            output.say(
                "The workers use an older [pace] than petition.toml has now."
                f" Next: petition send {name} --workers"
            )
        for domain, state, number, reply in log.slow_providers(name):
            what = "refused by policy" if state is State.FAILED else "deferred"
            output.say(f"{domain}: {number:,} {what} ({output.clean(reply)})")
        show_held(log)
    place.say_which()


def _show_copies(log: Log, name: str) -> None:
    """Each copy; above the counts, since only the end of what is shown stays on the screen."""
    rows = [
        (
            output.fitted(copy.name or copy.mailbox, output.width() // 2),
            str(copy.state),
            output.clean(reason_and_reply(copy)),
        )
        for copy in log.copies(name)
    ]
    output.table(
        ["to", "state", "reason or reply"], rows, cut_last=True, styles=output.STATE_STYLES
    )
    output.say("")


def _is_pace_old(place: Workspace, name: str) -> bool:
    """Whether workers keep to another [pace] than petition.toml has now."""
    # Here, since it brings Jinja2, with which letters are merged.
    from petition.sending.dispatch import Dispatch  # noqa: PLC0415

    kept, settings = Dispatch.of(place.log, name), place.settings
    return (kept.pace, kept.timezone) != (settings.pace, settings.campaign.timezone)


# ---- rows


def _show_rows(
    place: Workspace, name: str | None, state: State | None, *, as_json: bool, as_csv: bool
) -> None:
    log = place.log_if_any
    copies = log.copies(name, state) if log else iter(())
    # Without a name, and only then, a row must say which letter it is about.
    several = name is None and log is not None and len(log.letters()) > 1
    if not (as_json or as_csv):
        _list_rows(copies, state, with_letter=several)
        place.say_which()
        return
    columns = [*COLUMNS, "letter"] if several else COLUMNS
    rows = _rows(log, copies, columns) if log else iter(())
    if as_json:
        output.json(place.origin | {"copies": rows})
    else:
        output.csv(columns, rows)


def _list_rows(copies: Iterator[Copy], state: State | None, *, with_letter: bool) -> None:
    seen = 0
    for seen, copy in enumerate(copies, 1):
        if seen > _SHOWN:
            continue
        letter = f"  {copy.letter}" if with_letter else ""
        name = f"  {copy.name}" if copy.name else ""
        output.say(f"{output.clean(copy.mailbox + name)}{letter}", "bold")
        output.say(
            f"    {output.when(copy.updated_at)}  {output.clean(reason_and_reply(copy))}".rstrip()
        )
    if not seen:
        output.say(f"No letters are in state {state}.")
    if seen > _SHOWN:
        output.say(f"... and {seen - _SHOWN:,} more: --csv has all of them.")


def _rows(
    log: Log, copies: Iterable[Copy], columns: Iterable[str]
) -> Iterator[Mapping[str, object]]:
    """Copies as objects, with the Message-IDs of those too that have not been attempted (P4)."""
    # Here, since it brings Jinja2, with which frozen letters are read.
    from petition.merge.document import Frozen  # noqa: PLC0415

    domains: dict[tuple[str, int], str | None] = {}
    campaign, signer = log.campaign_id, Signer(log.key)
    for copy in copies:
        message_id = copy.message_id
        if not message_id and copy.state is not State.SKIPPED and campaign:
            key = copy.letter, copy.revision
            if key not in domains:
                kept = log.frozen(*key)
                domains[key] = Frozen.from_json(kept.document).sender.domain if kept else None
            if domain := domains[key]:
                identity = Identity(campaign, *key, copy.spelling)
                message_id = signer.message_id(identity, domain)
        values = {
            "email": copy.mailbox,
            "message_id": message_id,
            "updated_at": stamp(copy.updated_at),
        }
        yield {name: values[name] if name in values else getattr(copy, name) for name in columns}


def reason_and_reply(one: Copy | Event) -> str:
    """Why a copy or an event is what it is: the reason, and the server's reply."""
    if isinstance(one, Copy) and one.state is State.BOUNCED and one.reason:
        return one.reason  # the reply is the one with which the server accepted it
    reply = " ".join(str(part) for part in (one.reply_code, one.enhanced_code, one.reply) if part)
    return ", ".join(part for part in (one.reason, reply) if part)
