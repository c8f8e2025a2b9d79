"""petition signatures: who signed by form or mail, and what the campaign decides about that."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from petition.address import folded
from petition.campaign.names import folded_name
from petition.campaign.signatories_file import Added, NewRow, add_rows, lines_by_address
from petition.cli import output
from petition.cli.workspace import Csv, Json, Workspace, Yes, one_format
from petition.errors import ExitStatus, UsageError
from petition.outbox import service
from petition.outbox import signatures as kept
from petition.outbox.database import stamp
from petition.outbox.log import Log
from petition.outbox.signatures import Review, SignatureRecord, SignatureStatus
from petition.outbox.states import State

BY_HAND = "by hand"
COLUMNS = (
    *("id", "signed_at", "standing", "name", "role", "organisation", "place", "country", "kind"),
    *("email", "publish", "updates", "letter", "language", "confirmed_at", "updated_at", "line"),
)
_ALL = "all"
_SHOWN = 1000  # signatures that a person is shown; for all of them there are --csv and --json
_NAMED = 5
_PAIR = 2


class SignatureStanding(StrEnum):
    """Where a signature is, in one word."""

    UNCONFIRMED = "unconfirmed"
    WAITING = "waiting"  # confirmed, and nobody has approved it
    APPROVED = "approved"
    HIDDEN = "hidden"
    WITHDRAWN = "withdrawn"


_STYLES = {SignatureStanding.APPROVED: output.GOOD, SignatureStanding.WAITING: output.CARE}


def signatures(
    context: typer.Context,
    who: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHO", help="Whose: an id, an address, or words of a name or organisation."
        ),
    ] = None,
    standing: Annotated[
        SignatureStanding | None,
        typer.Option("--standing", metavar="STANDING", help="Only those that are so."),
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Count these from now on; `all`: all that wait.")
    ] = False,
    hide: Annotated[
        bool, typer.Option("--hide", help="Count and name these no more; nobody is told.")
    ] = False,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Hide the first WHO: it is the second; or find such pairs."),
    ] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Add those that count to the file of the signatories.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List who signed by form or mail; approve, hide, merge, export."""
    one_format(as_json=as_json, as_csv=as_csv)
    asked = [approve, hide, merge, export].count(True)
    if asked > 1:
        raise UsageError("only one of --approve, --hide, --merge, --export", "Choose one of them")
    if asked and (as_csv or standing):
        raise UsageError("--csv and --standing are for the list", "Omit them")
    names = who or []
    with Workspace.open(context, writes=bool(asked)) as place:
        if export:
            _export(place, names, as_json=as_json)
        elif merge:
            _merge(place, names, yes=yes, as_json=as_json)
        elif approve or hide:
            decision = Review.APPROVED if approve else Review.HIDDEN
            _decide(place, names, decision, yes=yes, as_json=as_json)
        else:
            _list(place, names, standing, as_json=as_json, as_csv=as_csv)


def standing_of(one: SignatureRecord) -> SignatureStanding:
    """Where a signature is, in one word."""
    if one.status is SignatureStatus.CONFIRMED:
        return SignatureStanding(one.review)
    return SignatureStanding(one.status)


# ---- the list


def _list(
    place: Workspace,
    names: list[str],
    standing: SignatureStanding | None,
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    log = place.log_if_any
    lines = _lines(place) if as_json or as_csv else {}
    found = _found(log, names, standing)
    if as_json:
        rows = (_row(one, lines) for one in found)
        output.json(place.origin | {"counts": _counts(log), "signatures": rows})
    elif as_csv:
        output.csv(COLUMNS, (_row(one, lines) for one in found))
    else:
        _show(log, list(found), is_all=not (names or standing))
        place.say_which()


def _found(
    log: Log | None, names: list[str], standing: SignatureStanding | None
) -> Iterator[SignatureRecord]:
    if log is None:
        return
    fits = [_is_like(name) for name in names]
    for one in kept.signatures(log):
        if standing in {None, standing_of(one)} and (not fits or any(fit(one) for fit in fits)):
            yield one


def _is_like(text: str) -> Callable[[SignatureRecord], bool]:
    """Tells whether a signature is the one of an id or an address, or has words in its names."""
    if text.isdecimal():
        return lambda one: one.id == int(text)
    if "@" in text:
        return lambda one: one.folded == folded(text)
    words = f" {folded_name(text)}"
    return lambda one: any(
        words in f" {folded_name(name)}" for name in (one.entry.name, one.entry.organisation)
    )


def _row(one: SignatureRecord, lines: dict[str, int]) -> dict[str, object]:
    return {
        "id": one.id,
        "signed_at": stamp(one.signed_at),
        "standing": standing_of(one),
        **one.entry._asdict(),
        "email": one.mailbox,
        "letter": one.letter,
        "language": one.language,
        "confirmed_at": stamp(one.confirmed_at) if one.confirmed_at else None,
        "updated_at": stamp(one.updated_at),
        "line": lines.get(one.folded),
    }


def _counts(log: Log | None) -> dict[str, int]:
    counts = dict.fromkeys(map(str, SignatureStanding), 0)
    for (status, review), number in (kept.counts(log) if log else {}).items():
        name = review if status is SignatureStatus.CONFIRMED else status
        counts[str(name)] += number
    return counts


def counts_told(log: Log | None) -> str:
    """How many signed, in a line for `status`; "": nobody has."""
    counts = _counts(log)
    nouns = {SignatureStanding.APPROVED: "count", SignatureStanding.WAITING: "to approve"}
    told = [one for one in SignatureStanding if one is not SignatureStanding.WITHDRAWN]
    return ", ".join(f"{counts[one]:,} {nouns.get(one, str(one))}" for one in told if counts[one])


def mails_told(log: Log | None) -> str:
    """What has become of mails to signatories that are not sent; "": all are."""
    counts = Counter[State]()
    for (kind, state), number in (service.counts(log) if log else {}).items():
        if kind in kept.SIGNATURE_MAILS and state is not State.SENT:
            counts[state] += number
    return ", ".join(f"{counts[state]:,} {state}" for state in sorted(counts))


def _show(log: Log | None, found: list[SignatureRecord], *, is_all: bool) -> None:
    if not found:
        output.say("Nobody has signed by form or mail yet." if is_all else "There is none like it.")
        return
    _show_table(found)
    counts = _counts(log)
    if counts[SignatureStanding.WAITING]:
        waiting = output.count(counts[SignatureStanding.WAITING], "signature")
        output.say(f"{waiting} to approve: petition signatures --approve WHO, or all")


def _show_table(found: Sequence[SignatureRecord]) -> None:
    rows = [
        (
            *(one.id, f"{one.signed_at.astimezone():%Y-%m-%d}", standing_of(one)),
            *(_named(one), one.mailbox),
        )
        for one in found[:_SHOWN]
    ]
    styles = {str(one): style for one, style in _STYLES.items()}
    output.table(["id", "signed", "standing", "who", "email"], rows, styles=styles)
    if len(found) > _SHOWN:
        output.say(f"... and {len(found) - _SHOWN:,} more: --csv or --json lists all.")


def _named(one: SignatureRecord) -> str:
    """All that others would see of it."""
    entry = one.entry
    of = entry.organisation if entry.organisation != entry.name else ""
    return ", ".join(filter(None, (entry.name, entry.role, of, entry.place, entry.country)))


# ---- what the campaign decides


def _decide(
    place: Workspace, names: list[str], decision: Review, *, yes: bool, as_json: bool
) -> None:
    log = place.existing_log
    chosen = _chosen(log, names, decision)
    is_approval = decision is Review.APPROVED
    if is_approval and chosen and not (yes or as_json) and output.can_ask():
        _show_table(chosen)
        output.confirm(f"Approve {output.count(len(chosen), 'signature')}?", "nothing was approved")
    with log.writing():
        for one in chosen:
            if kept.still_there(log, one.id) != one:
                what = f"the signature of {one.mailbox} has changed in the meantime"
                hint = f"Nothing was done; look at it: petition signatures {one.id}"
                raise UsageError(what, hint)
        done = [one for one in chosen if kept.review(log, one.id, decision, BY_HAND)]
    lines = _lines(place)
    if as_json:
        changed = [_row(kept.one(log, one.id), lines) for one in done]
        output.json(place.origin | {"changed": changed})
        return
    output.say(f"{output.count(len(done), 'signature')} {'approved' if is_approval else 'hidden'}.")
    if is_approval and done:
        output.say("Next: petition signatures --export")
    file = place.settings.people["signatories"]
    for one in () if is_approval else done:
        if one.folded in lines:
            output.say(f"{file}:{lines[one.folded]} still has it: delete the row.", output.CARE)


def _chosen(log: Log, names: list[str], decision: Review) -> list[SignatureRecord]:
    """The signatures to decide on; UsageError if one of them was not confirmed."""
    everybody = list(kept.signatures(log))
    if names == [_ALL] and decision is Review.APPROVED:
        return [one for one in everybody if standing_of(one) is SignatureStanding.WAITING]
    if not names:
        option = "--approve" if decision is Review.APPROVED else "--hide"
        raise UsageError("it is not clear whose signature", f"petition signatures {option} WHO")
    chosen = [_one(everybody, name) for name in names]
    for one in chosen:
        if one.status is not SignatureStatus.CONFIRMED:
            is_new = one.status is SignatureStatus.UNCONFIRMED
            what = "has not been confirmed" if is_new else "was withdrawn"
            raise UsageError(f"the signature of {one.mailbox} {what}", "Nothing was done")
    return chosen


def _one(everybody: Sequence[SignatureRecord], text: str) -> SignatureRecord:
    """The signature that a WHO means; UsageError if it is none, or several."""
    fits = _is_like(text)
    found = [one for one in everybody if fits(one)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f'nobody who signed is "{text}"', "Nothing was done; petition signatures")
    ids = ", ".join(f"{one.id} ({one.mailbox})" for one in found[:_NAMED])
    raise UsageError(f'"{text}" means several signatures', f"Nothing was done; name one: {ids}")


# ---- duplicates


def _merge(place: Workspace, names: list[str], *, yes: bool, as_json: bool) -> None:
    log = place.existing_log
    everybody = list(kept.signatures(log))
    if names and len(names) != _PAIR:
        raise UsageError("--merge takes two, or none", "petition signatures --merge ID INTO")
    pairs = list(_duplicates(everybody))
    if names:
        pairs = [(_one(everybody, names[0]), _one(everybody, names[1]))]
        if pairs[0][0].id == pairs[0][1].id:
            raise UsageError("these two are one signature", "Nothing was done")
    asks = not (names or yes)
    if as_json and asks:
        output.json(place.origin | {"pairs": _pairs_json(pairs)})
        return
    merged = [pair for pair in pairs if not asks or _are_same(*pair)]
    with log.writing():
        for one, _ in merged:
            kept.merge(log, one.id, BY_HAND)
    if as_json:
        output.json(place.origin | {"merged": _pairs_json(merged)})
    elif merged:
        output.say(f"{output.count(len(merged), 'signature')} merged: hidden, and not deleted.")
    elif not pairs:
        output.say("No two signatures that count or wait have one name.")


def _are_same(one: SignatureRecord, into: SignatureRecord) -> bool:
    """Ask whether two signatures are one; where nobody can be asked, show how to say so."""
    told, other = (output.who(_named(each), each.mailbox) for each in (one, into))
    if output.can_ask():
        return output.ask(f"{one.id}, {told}, is {into.id}, {other}?")
    output.say(f"{one.id}, {told}, may be {into.id}, {other}:")
    output.say(f"  petition signatures --merge {one.id} {into.id}")
    return False


def _pairs_json(
    pairs: Sequence[tuple[SignatureRecord, SignatureRecord]],
) -> list[dict[str, object]]:
    return [{"id": one.id, "into": into.id} for one, into in pairs]


def _duplicates(
    everybody: Sequence[SignatureRecord],
) -> Iterator[tuple[SignatureRecord, SignatureRecord]]:
    """Signatures of one letter, kind and name, each with the first one, approved if any is."""
    alike = defaultdict[tuple[str, str, str], list[SignatureRecord]](list)
    for one in everybody:
        if standing_of(one) in {SignatureStanding.WAITING, SignatureStanding.APPROVED}:
            alike[one.letter, one.entry.kind, folded_name(one.entry.name)].append(one)
    for first, *others in (sorted(one, key=lambda one: not one.counts) for one in alike.values()):
        yield from ((one, first) for one in others)


# ---- into the file that letters are made from


def _export(place: Workspace, names: list[str], *, as_json: bool) -> None:
    log, settings = place.existing_log, place.settings
    everybody = [one for one in kept.signatures(log) if one.counts]
    chosen = [_one(everybody, name) for name in names] if names else everybody
    rows = {one.folded: _new_row(one) for one in chosen}  # a mailbox once, whatever it signed
    file = settings.people["signatories"]
    reading = settings.reading._replace(key="signatories")
    done = add_rows(place.root, file, reading, settings.signatories.yes, rows.values())
    if as_json:
        output.json(place.origin | {"file": file} | _export_json(done))
    else:
        _say_exported(file, done)
    if done.refused:
        raise typer.Exit(ExitStatus.PROBLEMS)


def _say_exported(file: str, done: Added) -> None:
    output.say(f"{file}: {output.count(len(done.added), 'row')} added.")
    for column, number in done.left_out.items():
        rows_told = output.count(number, "row")
        output.say(f"It has no column {column}: {rows_told} went without it.", output.CARE)
    for one in done.differing:
        columns = ", ".join(one.columns)
        output.say(f"{file}:{one.line} says otherwise ({columns}) than {one.email} by now.")
    if done.differing:
        output.say("Rows that are there are left as they are: correct them by hand.")
    for row in done.refused:
        output.say(
            f"Not added, as a spreadsheet would compute it: {output.who(row.name, row.email)}."
            " Add the row by hand.",
            output.CARE,
        )
    if done.added:
        output.say("Next: petition check")


def _new_row(one: SignatureRecord) -> NewRow:
    entry, at = one.entry, one.confirmed_at or one.signed_at
    return NewRow(
        *(entry.name, entry.role, entry.organisation, entry.place, entry.country),
        "organisation" if entry.kind == "organisation" else "individual",
        *(one.mailbox, f"{at:%Y-%m-%d}", entry.publish, entry.updates),
    )


def _export_json(done: Added) -> dict[str, object]:
    return {
        "added": [row.email for row in done.added],
        "differing": [
            {"line": one.line, "email": one.email, "columns": list(one.columns)}
            for one in done.differing
        ],
        "refused": [row.email for row in done.refused],
        "without": done.left_out,
    }


def _lines(place: Workspace) -> dict[str, int]:
    """The line of each address in the file of the signatories, if that can be read."""
    settings = place.settings
    file = settings.people["signatories"]
    if not (place.root / file.partition("#")[0]).exists():
        return {}
    reading = settings.reading._replace(key="signatories")
    return lines_by_address(place.root, file, reading, settings.signatories.yes)
