"""Shows answers: a matrix of people and demands, what is overdue, what nobody has classified."""

import shlex
from collections.abc import Iterator, Sequence

from petition.cli import console
from petition.cli.workplace import Workplace
from petition.outbox.answers import Answer, Status
from petition.outbox.inbound import Incoming, Unmatched
from petition.outbox.log import Log
from petition.outbox.models import stamp
from petition.outbox.states import State
from petition.report.ledger import Demanded, Entry, Ledger, ledger

_NARROWEST_NAME = 8  # columns
_WIDEST_NAME = 32
_QUOTED = 300  # characters of what somebody said; --json has all of it
_PILE_SHOWN = 200

_WORDS = {
    Status.NONE: "·",
    Status.UNCLASSIFIED: "??",
    Status.ACKNOWLEDGED: "ack",
    Status.STALLED: "stall",
    Status.CLARIFICATION: "asks",
    Status.MEETING: "meet",
    Status.REFUSED: "no",
    Status.PARTIAL: "part",
    Status.MET: "met",
    Status.WITHDRAWN: "wdrn",
}
_STYLES = {
    Status.NONE: "dim",
    Status.UNCLASSIFIED: "bold reverse yellow",
    Status.STALLED: "yellow",
    Status.MEETING: "green",
    Status.REFUSED: "red",
    Status.PARTIAL: "green",
    Status.MET: "bold green",
}
_CELL_STYLES = {_WORDS[status]: style for status, style in _STYLES.items()}
CAME = {"phone": "by phone", "door": "at the door", "letter": "by letter", "mail": "by mail"}


def show_answers(place: Workplace, name: str | None, *, as_json: bool) -> None:
    """Show who answered what to a letter, or to each.

    Args:
        place: Where to look.
        name: The letter; None: all.
        as_json: For a script.
    """
    log = place.log_if_any
    found = list(_ledgers(log, name)) if log else []
    if as_json:
        objects = [_as_json(one, place.log_name) for one in found]
        empty: dict[str, object] = {"letter": name, "people": [], "log": place.log_name}
        console.json((objects[0] if objects else empty) if name else objects)
        return
    if not found:
        console.say(f"Nothing{f' of {name}' if name else ''} has been sent yet.")
    for at, one in enumerate(found):
        if at:
            console.say("")
        _show(one)
    place.say_which()


def show_pile(place: Workplace, *, as_json: bool) -> None:
    """List the mails that belong to no letter as far as the log knows.

    Args:
        place: Where to look.
        as_json: For a script.
    """
    incoming = Incoming(place.log) if place.log_if_any else None
    size = incoming.pile_size() if incoming else 0
    if as_json:
        console.json_rows(map(_pile_json, incoming.pile(size) if incoming else ()))
        return
    mails = incoming.pile(_PILE_SHOWN) if incoming else []
    if not mails:
        console.say("The pile is empty: each mail that came belongs to a letter.")
    else:
        console.say(f"{console.count(size, 'mail')} could not be matched with a letter:")
        rows = [
            (one.id, one.seen_at[:10], one.sender, one.kind or "set aside", one.subject)
            for one in mails
        ]
        console.table(["mail", "read", "from", "what", "subject"], rows, cut_last=True)
        if size > len(mails):
            console.say(f"... and {size - len(mails):,} more: --json has all of them.")
        console.say("If one of them is an answer: petition answer ADDR STATUS --mail NUMBER")
    place.say_which()


def _pile_json(one: Unmatched) -> dict[str, object]:
    names = ("id", "kind", "sender", "subject", "reason", "seen_at")
    return {name: getattr(one, name) for name in names}


def _ledgers(log: Log, name: str | None) -> Iterator[Ledger]:
    for letter in [name] if name else log.letters():
        if found := ledger(log, letter):
            yield found


def _show(found: Ledger) -> None:
    console.say(_summary(found), "bold")
    if without := _without(found):
        console.say(without)
    if found.entries:
        console.say("")
        used = {cell for demands in _fitting(found) for cell in _show_matrix(found, demands)}
        for line in _in_lines(_legend(found, used)):
            console.say(line, "dim")
    _say_pending(found)
    _say_stalls(found)


def _summary(found: Ledger) -> str:
    total, waiting = len(found.entries), len(found.waiting)
    bounced = sum(entry.is_bounced for entry in found.entries)
    unclassified = sum(entry.status is Status.UNCLASSIFIED for entry in found.entries)
    parts = [
        (total - waiting - bounced, "answered"),
        (unclassified, "to be classified"),
        (waiting - unclassified, "unanswered"),
        (bounced, "bounced"),
    ]
    told = ", ".join(f"{number:,} {what}" for number, what in parts if number)
    late = f"; {len(found.overdue):,} overdue" if found.overdue else ""
    have = "has" if total == 1 else "have"
    people = f"{console.count(total, 'person', 'people')} {have} it"
    return f"{found.letter}: {people}{': ' if told else ''}{told}{late}."


def _without(found: Ledger) -> str:
    told = ", ".join(f"{number:,} {state}" for state, number in found.without.items())
    return f"Not sent: {told}." if told else ""


def _fitting(found: Ledger) -> list[Sequence[Demanded]]:
    """The demands in groups that the terminal has room for."""
    demand = max(map(len, _WORDS.values()))
    room = (
        console.width() - _NARROWEST_NAME - sum(map(len, _before(found))) - 2 * 5 - len("stall ×9")
    )
    each = max(1, room // (demand + 2))
    groups = [found.demands[at : at + each] for at in range(0, len(found.demands), each)]
    return list(groups) or [()]


def _before(found: Ledger) -> list[str]:
    """The headings of the columns between a name and the letter."""
    return ["days", "work", *(["late"] if found.overdue else [])]


def _show_matrix(found: Ledger, demands: Sequence[Demanded]) -> set[object]:
    """Show the matrix of some demands, and their titles; the cells that it has."""
    headings = ["who", *_before(found), "letter", *(str(one.number) for one in demands)]
    rows = [_row(entry, found, demands) for entry in found.entries]
    taken = sum(
        2 + max(len(str(cell or "")) for cell in column)
        for column in list(zip(headings, *rows, strict=True))[1:]
    )
    name = max(_NARROWEST_NAME, min(_WIDEST_NAME, console.width() - taken - 2))
    rows = [(console.fitted(str(row[0]), name), *row[1:]) for row in rows]
    said = set(map(_of_letter, found.entries))
    styles = {cell: _CELL_STYLES.get(cell.split(" ")[0], "") for cell in said}
    console.table(headings, rows, styles=_CELL_STYLES | styles)
    console.say("")
    if demands:
        titles = [(one.number, one.id, one.title) for one in demands]
        console.table(["", "demand", ""], titles, cut_last=True)
        console.say("")
    return {cell for row in rows for cell in row}


def _legend(found: Ledger, used: set[object]) -> list[str]:
    legend = [f"{_WORDS[one]} {one}" for one in Status if _is_used(_WORDS[one], used)]
    legend = [text.replace(f"· {Status.NONE}", "· nothing") for text in legend]
    late = ["late: days since the answer was due"] if found.overdue else []
    return [*legend, "work: working days", *late]


def _in_lines(parts: Sequence[str]) -> Iterator[str]:
    """Texts side by side, none of them broken, as many in a line as the terminal has room for."""
    line = ""
    for part in parts:
        longer = f"{line}   {part}" if line else part
        if line and len(longer) > console.width():
            yield line
            longer = part
        line = longer
    yield line


def _is_used(word: str, cells: set[object]) -> bool:
    return any(isinstance(cell, str) and cell.split(" ")[0] == word for cell in cells)


def _row(entry: Entry, found: Ledger, demands: Sequence[Demanded]) -> tuple[object, ...]:
    late = [entry.overdue or ""] if found.overdue else []
    cells = (_WORDS[entry.standing.to_demand(one.id)] for one in demands)
    return (entry.who, entry.days, entry.working_days, *late, _of_letter(entry), *cells)


def _of_letter(entry: Entry) -> str:
    if entry.is_bounced:
        return "bounced"
    said = entry.standing.said()
    if said is Status.STALLED and len(entry.standing.stalls) > 1:
        return f"{_WORDS[said]} ×{len(entry.standing.stalls)}"
    if said is Status.NONE and entry.copy.state is State.UNCERTAIN:
        return "uncertain"
    return _WORDS[said]


def _say_pending(found: Ledger) -> None:
    pending = list(found.pending)
    if not pending:
        return
    console.say("")
    console.say("To be classified: say what it is, with the command under it.", "bold yellow")
    for entry, answer in pending:
        console.say(f"  {_said(entry, answer)}")
        console.say(f"    {command_for(entry, answer)}", "cyan")


def command_for(entry: Entry, answer: Answer) -> str:
    """The command that classifies an answer, but for its status.

    Args:
        entry: Whose it is.
        answer: The answer.
    """
    # An address may hold what a shell would run, such as a backquote (RFC 5322 3.2.3, atext).
    start = f"petition answer {shlex.quote(entry.copy.mailbox)} STATUS"
    if answer.mail is not None:
        return f"{start} --mail {answer.mail}"
    about = f" --demand {answer.demand}" if answer.demand else ""
    return f"{start} --letter {shlex.quote(answer.letter)}{about} --quote TEXT"


def _say_stalls(found: Ledger) -> None:
    stalled = [entry for entry in found.entries if entry.standing.stalls]
    if not stalled:
        return
    times = sum(len(entry.standing.stalls) for entry in stalled)
    who = console.count(len(stalled), "person", "people")
    console.say("")
    console.say(f"Stalled {console.count(times, 'time')}, by {who}:", "bold")
    for entry in stalled:
        for answer in entry.standing.stalls:
            console.say(f"  {_said(entry, answer)}")


def _said(entry: Entry, answer: Answer) -> str:
    words = " ".join(answer.quote.split())
    words = words if len(words) <= _QUOTED else f"{words[: _QUOTED - 1]}…"
    quoted = f"“{words}”" if words else answer.message_id
    came = f" {CAME[answer.channel]}" if answer.channel in CAME else ""
    came += f" from {answer.sender}" if answer.sender else ""
    about = f" on {answer.demand}" if answer.demand else ""
    day = answer.at.astimezone(entry.zone)
    return console.clean(f"{entry.who}, {day:%Y-%m-%d}{came}{about}: {quoted}")


def _as_json(found: Ledger, log: str) -> dict[str, object]:
    return {
        "letter": found.letter,
        "demands": [
            {"number": one.number, "id": one.id, "title": one.title} for one in found.demands
        ],
        "people": [_entry_json(entry, found) for entry in found.entries],
        "not_sent": {str(state): number for state, number in found.without.items()},
        "log": log,
    }


def _entry_json(entry: Entry, found: Ledger) -> dict[str, object]:
    standing = entry.standing
    return {
        "email": entry.copy.mailbox,
        "name": entry.copy.name,
        "id": entry.copy.row_id,
        "state": entry.copy.state,
        "sent_on": entry.had_on.isoformat() if entry.had_on else None,
        "days": entry.days,
        "working_days": entry.working_days,
        "reply_by": entry.reply_by.isoformat() if entry.reply_by else None,
        "overdue": entry.overdue,
        "answer": entry.status,
        "letter": standing.said(),
        "demands": {one.id: standing.to_demand(one.id) for one in found.demands},
        "stalls": len(standing.stalls),
        "unclassified": [command_for(entry, answer) for answer in standing.pending],
        "answers": [_answer_json(answer) for answer in standing.answers],
    }


def _answer_json(answer: Answer) -> dict[str, object]:
    return {
        "at": stamp(answer.at),
        "status": answer.status,
        "letter": answer.letter,
        "demand": answer.demand or None,
        "channel": answer.channel or None,
        "quote": answer.quote,
        "mail": answer.mail,
        "message_id": answer.message_id or None,
        "sender": answer.sender or None,
        "author": answer.author,
    }
