"""petition answer: records what somebody answered; and the table of answers."""

import shlex
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from petition import system
from petition.campaign.names import nearest
from petition.campaign.people import Known, nearest_people
from petition.cli import output
from petition.cli.next_step import show_held
from petition.cli.sort_answers import sort
from petition.cli.workspace import WHO, Json, Workspace, letter_name, people_named
from petition.errors import UsageError
from petition.merge.document import Frozen
from petition.outbox import answers
from petition.outbox.answers import RECORDED, Answer, Channel, NewAnswer, Status, StoredMail
from petition.outbox.database import stamp
from petition.outbox.inbound import Incoming
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.states import State
from petition.report.ledger import CHANNELS, Entry, Ledger, QuotedDemand, demands_of, ledger

_NARROWEST_NAME = 8  # columns
_WIDEST_NAME = 32
_QUOTED = 300  # characters of what somebody said; --json has all of it
_UNMATCHED_SHOWN = 200

_CELLS = {
    Status.NONE: ("·", ""),
    Status.UNCLASSIFIED: ("??", output.CARE),
    Status.ACKNOWLEDGED: ("ack", ""),
    Status.STALLED: ("stall", output.CARE),
    Status.CLARIFICATION: ("asks", ""),
    Status.MEETING: ("meet", output.GOOD),
    Status.REFUSED: ("no", output.BAD),
    Status.PARTIAL: ("part", output.GOOD),
    Status.MET: ("met", output.GOOD),
    Status.WITHDRAWN: ("wdrn", ""),
}
_WORDS = {status: word for status, (word, _) in _CELLS.items()}
_CELL_STYLES = dict(_CELLS.values())

_CLASSES = "acknowledged, stalled, clarification, meeting, refused, partial, met, withdrawn"
_STATUSES = f"unclassified, {_CLASSES}"
_NOTHING = "Nothing was recorded"


def answer(
    context: typer.Context,
    who: Annotated[
        str | None,
        typer.Argument(metavar="WHO", help=f"Who: {WHO} (default: whoever is to be classified)."),
    ] = None,
    status: Annotated[
        str | None, typer.Argument(metavar="STATUS", help=f"{_STATUSES.capitalize()}.")
    ] = None,
    letter: Annotated[
        str | None,
        typer.Option("--letter", metavar="LETTER", help="To this letter instead of the latest."),
    ] = None,
    demand: Annotated[
        list[str] | None,
        typer.Option(
            "--demand", metavar="DEMAND", help="About this demand; can be given several times."
        ),
    ] = None,
    quote: Annotated[
        str | None, typer.Option("--quote", metavar="TEXT", help="Their exact words.")
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            "--channel", metavar="CHANNEL", help="How it arrived: phone, door, letter or mail."
        ),
    ] = None,
    mail: Annotated[
        str | None,
        typer.Option(
            "--mail", metavar="MAIL", help="The mail they answered with: its number or Message-ID."
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="The public site may quote these words.")
    ] = False,
    not_public: Annotated[
        bool, typer.Option("--not-public", help="It may not, after all.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Record what somebody answered, or sort new answers by key."""
    if who is None:
        if demand or quote or channel or mail or as_json or public or not_public:
            raise UsageError("say who answered", f"Write petition answer WHO STATUS. {_NOTHING}")
        with Workspace.open(context, writes=True) as place:
            sort(place, letter and letter_name(place, letter), author=system.account_name())
        return
    if status is None:
        raise UsageError("say what they answered", f"STATUS is one of {_STATUSES}. {_NOTHING}")
    if public and not_public:
        raise UsageError("--public and --not-public cannot be combined", "Choose one of them")
    said = Status(_one_of(status, RECORDED, "statuses"))
    came = _one_of(channel, tuple(Channel), "channels") if channel else ""
    # A byte that is not UTF-8 comes as half a surrogate pair, which databases refuse.
    words = (quote or "").strip().encode("utf-8", "replace").decode("utf-8")
    if not words and mail is None:
        raise UsageError(
            "give the evidence for this answer",
            'Use --quote "their exact words", or --mail with the number of a mail',
        )
    with Workspace.open(context, writes=True) as place:
        log = place.existing_log
        stored = _mail(log, mail) if mail is not None else None
        copy = _copy(place, who, letter, stored)
        words = words or (stored.quote if stored else "")
        if stored and not words and not stored.message_id:
            what = f"mail {stored.id} has neither words nor a Message-ID"
            raise UsageError(what, f"Use --quote with its words. {_NOTHING}")
        answered = NewAnswer(
            Status(said),
            tuple(_demands(log, copy, demand or [])),
            came or ("mail" if stored else ""),
            words,
            stored.id if stored else None,
            system.account_name(),
            public,
        )
        at = _record(log, copy, answered, marks=public or not_public)
        if as_json:
            output.json(place.origin | _record_json(copy, answered, stored, at))
            return
        output.say(output.who(copy.name, copy.mailbox), "bold")
        _say(copy, answered, stored)
        if not_public:
            output.say("petition publish no longer quotes these words: publish the site again.")
        place.say_which()


def _record(log: Log, copy: Copy, answered: NewAnswer, *, marks: bool) -> str:
    """Write an answer down, or mark it if it is recorded already; the time of that."""
    if marks and answers.mark_public(log, copy, answered):
        return log.now
    if marks and not answered.is_public:  # or words that were to be taken back would stay public
        what = f"no answer of {copy.mailbox} has this status and these very words"
        raise UsageError(what, f"See petition status --answers. {_NOTHING}")
    return answers.record_answer(log, copy, answered)


def _one_of(text: str, known: tuple[StrEnum, ...], noun: str) -> StrEnum:
    for one in known:
        if text.lower() == one:
            return one
    near = nearest(text.lower(), known)
    hint = f"Did you mean {near}" if near else f"Use one of: {', '.join(known)}"
    raise UsageError(f'"{text}" is not one of the {noun}; nothing was recorded', hint)


def _mail(log: Log, which: str) -> StoredMail:
    found = answers.stored_mails(log, which)
    if not found:
        hint = "See petition status --answers and petition inbox --unmatched"
        raise UsageError(f'the log has no mail "{which}"', f"{hint}. {_NOTHING}")
    if len(found) > 1:
        numbers = ", ".join(str(one.id) for one in found)
        raise UsageError(f"mails {numbers} have this Message-ID", f"Name one of them. {_NOTHING}")
    return found[0]


def _copy(place: Workspace, who: str, letter: str | None, stored: StoredMail | None) -> Copy:
    """The copy that was answered: by the letter's name, by the mail, else the latest."""
    log = place.existing_log
    (named,) = people_named(place, [who])
    copies = answers.copies_got(log, named)
    if not copies:
        if any(log.copies_to(name, named) for name in log.letters()):
            hint = f"See petition log {shlex.quote(named)}. {_NOTHING}"
        else:
            near = nearest_people(named, (Known(*one) for one in log.people()))
            hint = f"Did you mean {near}? {_NOTHING}" if near else _NOTHING
        raise UsageError(f"no letter has been sent to {named}", hint)
    answered = None
    if stored and stored.copy is not None:
        answered = next((copy for copy in copies if copy.id == stored.copy), None)
        if answered is None:
            raise UsageError(
                f"mail {stored.id} from {stored.sender} answers no letter to {named}",
                f"See petition status --answers. {_NOTHING}",
            )
    if letter is None:
        return answered or copies[-1]
    name = letter_name(place, letter)
    fitting = [copy for copy in copies if copy.letter == name]
    if not fitting:
        got = ", ".join(dict.fromkeys(copy.letter for copy in copies))
        raise UsageError(f"{name} was not sent to {named}", f"They got: {got}. {_NOTHING}")
    return fitting[-1]


def _demands(log: Log, copy: Copy, asked: list[str]) -> list[str]:
    if not asked:
        return []
    frozen = log.frozen(copy.letter, copy.revision)
    known = [one.id for one in demands_of(log, Frozen.from_json(frozen.document))] if frozen else []
    for one in asked:
        if one in known:
            continue
        if not known:
            hint = f"Omit --demand. {_NOTHING}"
            raise UsageError(f"{copy.letter} quotes no demands", hint)
        near = nearest(one, known)
        hint = f"Did you mean {near}" if near else f"Its demands: {', '.join(known)}"
        raise UsageError(f'{copy.letter} has no demand "{one}"; nothing was recorded', hint)
    return list(dict.fromkeys(asked))


def _record_json(
    copy: Copy, said: NewAnswer, stored: StoredMail | None, at: str
) -> dict[str, object]:
    return {
        "email": copy.mailbox,
        "name": copy.name,
        "letter": copy.letter,
        "revision": copy.revision,
        "status": said.status,
        "demands": list(said.demands),
        "channel": said.channel or None,
        "quote": said.quote,
        "public": said.is_public,
        "mail": said.mail,
        "message_id": (stored.message_id or None) if stored else None,
        "at": at,
        "author": said.author,
    }


def _say(copy: Copy, said: NewAnswer, stored: StoredMail | None) -> None:
    about = f" ({', '.join(said.demands)})" if said.demands else ""
    # Without how it came, "refused" would look as if nothing had been recorded.
    told = (
        f"{said.status}, {CHANNELS[said.channel]}" if said.channel else f"recorded as {said.status}"
    )
    output.say(output.clean(f"{copy.letter}{about}: {told}."))
    words = " ".join(said.quote.split())
    evidence = f"“{words}”" if words else stored.message_id if stored else ""
    output.say(f"    {output.clean(evidence)}")
    if said.is_public:
        output.say("petition publish may quote these words.")


def show_answers(place: Workspace, name: str | None, *, as_json: bool) -> None:
    """Show who answered what to a letter, or to each."""
    log = place.log_if_any
    letters = [name] if name else log.letters() if log else []
    found = [one for letter in letters if log and (one := ledger(log, letter))]
    if as_json:
        objects = [_ledger_json(one) for one in found]
        empty: dict[str, object] = {"letter": name, "people": []}
        of_one = objects[0] if objects else empty
        output.json(place.origin | (of_one if name else {"letters": objects}))
        return
    if not found:
        output.say(f"Nothing{f' of {name}' if name else ''} has been sent yet.")
    for at, one in enumerate(found):
        if at:
            output.say("")
        _show(one)
    show_held(log)
    place.say_which()


def show_unmatched(place: Workspace, *, as_json: bool) -> None:
    """List the mails that could not be matched to a letter."""
    incoming = Incoming(place.log) if place.log_if_any else None
    size = incoming.unmatched_count() if incoming else 0
    if as_json:
        objects = (one._asdict() for one in (incoming.unmatched(size) if incoming else ()))
        output.json(place.origin | {"mails": objects})
        return
    mails = incoming.unmatched(_UNMATCHED_SHOWN) if incoming else []
    if not mails:
        output.say("Every mail was matched to a letter.")
    else:
        output.say(f"{output.count(size, 'mail')} could not be matched to a letter:")
        rows = [
            (one.id, one.seen_at[:10], one.sender, one.kind or "set aside", one.subject)
            for one in mails
        ]
        output.table(["mail", "read", "from", "what", "subject"], rows, cut_last=True)
        if size > len(mails):
            output.say(f"... and {size - len(mails):,} more: --json has all of them.")
        output.say("If one of them is an answer: petition answer WHO STATUS --mail NUMBER")
    place.say_which()


def _show(found: Ledger) -> None:
    output.say(_summary(found), "bold")
    if found.without:
        told = ", ".join(f"{number:,} {state}" for state, number in found.without.items())
        output.say(f"Not sent: {told}.")
    if found.entries:
        output.say("")
        used = {cell for demands in _fitting(found) for cell in _show_matrix(found, demands)}
        for line in _in_lines(_legend(found, used)):
            output.say(line)
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
    people = output.count(total, "person", "people")
    return f"{found.letter}, sent to {people}{': ' if told else ''}{told}{late}."


def _fitting(found: Ledger) -> list[Sequence[QuotedDemand]]:
    """The demands in groups that fit the terminal."""
    demand = max(map(len, _WORDS.values()))
    space = (
        output.width() - _NARROWEST_NAME - sum(map(len, _before(found))) - 2 * 5 - len("stall ×9")
    )
    each = max(1, space // (demand + 2))
    groups = [found.demands[at : at + each] for at in range(0, len(found.demands), each)]
    return list(groups) or [()]


def _before(found: Ledger) -> list[str]:
    """The headings between a name and the letter."""
    return ["days", "work", *(["late"] if found.overdue else [])]


def _show_matrix(found: Ledger, demands: Sequence[QuotedDemand]) -> set[object]:
    """Show the matrix of some demands, and their titles; returns its cells."""
    headings = ["who", *_before(found), "letter", *(str(one.number) for one in demands)]
    rows = [_row(entry, found, demands) for entry in found.entries]
    taken = sum(
        2 + max(len(str(cell or "")) for cell in column)
        for column in list(zip(headings, *rows, strict=True))[1:]
    )
    name = max(_NARROWEST_NAME, min(_WIDEST_NAME, output.width() - taken - 2))
    rows = [(output.fitted(str(row[0]), name), *row[1:]) for row in rows]
    said = set(map(_of_letter, found.entries))
    styles = {cell: _CELL_STYLES.get(cell.split(" ")[0], "") for cell in said}
    output.table(headings, rows, styles=_CELL_STYLES | styles)
    output.say("")
    if demands:
        titles = [(one.number, one.id, one.title) for one in demands]
        output.table(["", "demand", ""], titles, cut_last=True)
        output.say("")
    return {cell for row in rows for cell in row}


def _legend(found: Ledger, used: set[object]) -> list[str]:
    words = {cell.split(" ")[0] for cell in used if isinstance(cell, str)}
    legend = [f"{_WORDS[one]} {one}" for one in Status if _WORDS[one] in words]
    legend = [text.replace(f"· {Status.NONE}", "· nothing") for text in legend]
    late = ["late: days since the answer was due"] if found.overdue else []
    return [*legend, "work: working days", *late]


def _in_lines(parts: Sequence[str]) -> Iterator[str]:
    """Texts side by side, as many in a line as fit the terminal."""
    line = ""
    for part in parts:
        longer = f"{line}   {part}" if line else part
        if line and len(longer) > output.width():
            yield line
            longer = part
        line = longer
    yield line


def _row(entry: Entry, found: Ledger, demands: Sequence[QuotedDemand]) -> tuple[object, ...]:
    late = [entry.overdue or ""] if found.overdue else []
    cells = (_WORDS[entry.history.to_demand(one.id)] for one in demands)
    return (entry.who, entry.days, entry.working_days, *late, _of_letter(entry), *cells)


def _of_letter(entry: Entry) -> str:
    if entry.is_bounced:
        return "bounced"
    said = entry.history.said()
    if said is Status.STALLED and len(entry.history.stalls) > 1:
        return f"{_WORDS[said]} ×{len(entry.history.stalls)}"
    if said is Status.NONE and entry.copy.state is State.UNCERTAIN:
        return "uncertain"
    return _WORDS[said]


def _say_pending(found: Ledger) -> None:
    pending = list(found.pending)
    if not pending:
        return
    output.say("")
    output.say("To be classified (petition answer asks about each):", output.CARE)
    for entry, answer in pending:
        output.say(f"  {_said(entry, answer)}")
        output.say(f"    {command_for(entry, answer)}", "bold")
    output.say(f"STATUS is one of {_CLASSES}.")


def command_for(entry: Entry, answer: Answer) -> str:
    """The command that classifies an answer, without its status."""
    # An address may hold what a shell would run, such as a backquote (RFC 5322 3.2.3, atext).
    start = f"petition answer {shlex.quote(entry.copy.mailbox)} STATUS"
    if answer.mail is not None:
        return f"{start} --mail {answer.mail}"
    about = f" --demand {answer.demand}" if answer.demand else ""
    return f"{start} --letter {shlex.quote(answer.letter)}{about} --quote TEXT"


def _say_stalls(found: Ledger) -> None:
    stalled = [entry for entry in found.entries if entry.history.stalls]
    if not stalled:
        return
    times = sum(len(entry.history.stalls) for entry in stalled)
    who = output.count(len(stalled), "person", "people")
    output.say("")
    output.say(f"Stalled {output.count(times, 'time')}, by {who}:", "bold")
    for entry in stalled:
        for answer in entry.history.stalls:
            output.say(f"  {_said(entry, answer)}")


def _said(entry: Entry, answer: Answer) -> str:
    words = " ".join(answer.quote.split())
    words = words if len(words) <= _QUOTED else f"{words[: _QUOTED - 1]}…"
    quoted = f"“{words}”" if words else answer.message_id
    came = f" {CHANNELS[answer.channel]}" if answer.channel in CHANNELS else ""
    came += f" from {answer.sender}" if answer.sender else ""
    about = f" on {answer.demand}" if answer.demand else ""
    day = answer.at.astimezone(entry.zone)
    return output.clean(f"{entry.who}, {day:%Y-%m-%d}{came}{about}: {quoted}")


def _ledger_json(found: Ledger) -> dict[str, object]:
    return {
        "letter": found.letter,
        "demands": [
            {"number": one.number, "id": one.id, "title": one.title} for one in found.demands
        ],
        "people": [_entry_json(entry, found) for entry in found.entries],
        "not_sent": {str(state): number for state, number in found.without.items()},
    }


def _entry_json(entry: Entry, found: Ledger) -> dict[str, object]:
    history = entry.history
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
        "letter": history.said(),
        "demands": {one.id: history.to_demand(one.id) for one in found.demands},
        "stalls": len(history.stalls),
        "unclassified": [command_for(entry, answer) for answer in history.pending],
        "answers": [_answer_json(answer) for answer in history.answers],
    }


def _answer_json(answer: Answer) -> dict[str, object]:
    return {
        "at": stamp(answer.at),
        "status": answer.status,
        "letter": answer.letter,
        "demand": answer.demand or None,
        "channel": answer.channel or None,
        "quote": answer.quote,
        "public": answer.is_public,
        "mail": answer.mail,
        "message_id": answer.message_id or None,
        "sender": answer.sender or None,
        "author": answer.author,
    }
