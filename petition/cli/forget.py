"""petition forget and petition export: a person's data erased, or shown."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from petition.address import folded
from petition.campaign.server import Server, database_of
from petition.campaign.signatories import Signatory
from petition.cli import output
from petition.cli.problems import show_problems
from petition.cli.workspace import OUTBOX, WHO, Json, Workspace, Yes, addresses, people_named
from petition.errors import CampaignError, UsageError
from petition.outbox import signatures
from petition.outbox.database import file_of
from petition.outbox.erasure import Erased, Redaction, copies_of, held, namesakes
from petition.outbox.expiry import Expired
from petition.outbox.expiry import expired as expired_in
from petition.outbox.log import Log
from petition.outbox.log_file import kept_copies
from petition.outbox.manual import Forgotten
from petition.report import privacy
from petition.report.privacy import DataSubject, Disclosure, Receipt, Trace, traces

_SHOWN = ("copies", "events", "answers", "mails", "signatures")


def forget(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Argument(metavar="ADDR", help="The person's address.")
    ] = None,
    expired: Annotated[
        bool,
        typer.Option("--expired", help="Erase what is older than [privacy] keep says instead."),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Erase a person from the log, and never write to them again."""
    if expired is (address is not None):
        raise UsageError("name one person, or --expired", "For example: petition forget ADDR")
    if address is None:
        _forget_expired(context, yes=yes, as_json=as_json)
        return
    with Workspace.open(context, writes=True) as place, ExitStack() as owning:
        (mailbox,) = addresses([address])
        sender = place.settings.sender
        own = {folded(box.addr_spec) for box in (sender.from_, sender.reply_to) if box}
        if folded(mailbox) in own:
            raise UsageError(
                f"{mailbox} is the campaign's own address, which is in every letter",
                "Change [sender] in petition.toml first",
            )
        known = _logs(place, make=True)
        for log, _ in known:
            owning.enter_context(log.owned())
        person = _person(place, mailbox, [log for log, _ in known])
        if not yes:
            _confirm(person, [log for log, _ in known])
        receipts = [privacy.forget(log, person, outbox) for log, outbox in known]
        owning.close()
        found = _traces(place, person)
        if as_json:
            output.json(
                place.origin
                | _receipt_json(mailbox, receipts, found)
                | {"copies_of_logs": [str(copy) for log, _ in known for copy in _old_copies(log)]}
            )
            return
        _show(mailbox, receipts, found)
        for log, _ in known:
            for copy in _old_copies(log):
                output.say(
                    f"{copy} is a copy of the log from before an upgrade, and may still hold them:"
                    " delete it."
                )


def _forget_expired(context: typer.Context, *, yes: bool, as_json: bool) -> None:
    with Workspace.open(context, writes=True) as place, ExitStack() as owning:
        before = place.settings.kept_since(datetime.now(UTC))
        if before is None:
            what = "nothing says how long to keep what the log holds"
            raise UsageError(what, 'Write keep = "2 years" under [privacy] in petition.toml')
        known = _logs(place, make=False)
        for log, _ in known:
            owning.enter_context(log.owned())
        done = {log.where: expired_in(log, before) for log, _ in known}
        if not as_json:
            for where, one in done.items():
                output.say(f"{where}, before {before:%Y-%m-%d}: {_told(one)}.")
        if not all(one.is_nothing for one in done.values()):
            if not yes:
                output.confirm("Erase this for good? This cannot be undone.", "nothing was erased")
            done = {log.where: privacy.expire(log, before, outbox) for log, outbox in known}
            if not as_json:
                output.say("It is erased.", "bold")
        owning.close()
        copies = [str(copy) for log, _ in known for copy in _old_copies(log)]
        if as_json:
            logs = [{"log": where, **_numbers(one)} for where, one in done.items()]
            told = {"before": f"{before:%Y-%m-%d}", "logs": logs, "copies_of_logs": copies}
            output.json(place.origin | told)
            return
        for copy in copies:
            output.say(f"{copy} is a copy of the log from before an upgrade: delete it.")


def _told(found: Expired) -> str:
    parts = [
        output.count(found.copies, "copy", "copies")
        + f" to {output.count(found.people, 'person', 'people')}",
        output.count(found.answers, "answer"),
        output.count(found.mails, "mail"),
        *([output.count(found.signatures, "signature")] if found.signatures else []),
    ]
    told = "nothing" if found.is_nothing else ", ".join(parts)
    if found.staying:
        people = output.count(found.staying, "person", "people")
        told += f"; {people} more stay, to whom letters wait or are uncertain"
    return told


def _numbers(found: Expired) -> dict[str, int]:
    return {
        name: getattr(found, name)
        for name in ("people", "copies", "answers", "mails", "signatures", "staying")
    }


def export(
    context: typer.Context,
    who: Annotated[str, typer.Argument(metavar="WHO", help=f"Whom: {WHO}.")],
    as_json: Json = False,
) -> None:
    """Show everything that is held about a person."""
    with Workspace.open(context) as place:
        (mailbox,) = people_named(place, [who])
        known = [log for log, _ in _logs(place, make=False)]
        person = _person(place, mailbox, known)
        held = [privacy.export(log, person) for log in known]
        found = _traces(place, person)
        if as_json:
            files = [_trace_json(one) | {"cells": one.cells} for one in found]
            output.json(place.origin | {"email": mailbox, "logs": held, "files": files})
            return
        output.say(output.who(_name(person), mailbox), "bold")
        for log, one in zip(known, held, strict=True):
            output.say(f"{log.where}: {_counted(one)}", "bold")
            for copy in one["copies"]:
                output.say(f"  {copy['letter']}, revision {copy['revision']}: {copy['state']}")
            for signature in one["signatures"]:
                output.say(f"  signed {signature['letter']}: {signature['status']}")
            for signed in one["named_in"]:
                output.say(f"  named in {signed['letter']} as {signed['role']}")
            if day := one["forgotten_at"]:
                output.say(f"  forgotten on {day[:10]}: a salted hash of the address is kept")
        _say_files(found, "Your own files:")
        output.say(f"For everything: petition export {mailbox} --json")


def _old_copies(log: Log) -> list[Path]:
    """The copies that upgrades of a log in a file have left beside it."""
    file = file_of(log.url)
    return kept_copies(file) if file else []


def _logs(place: Workspace, *, make: bool) -> list[tuple[Log, Path | None]]:
    """The logs of a campaign, that of the present server first; the rehearsals' has an outbox."""
    server = Server(host="localhost", port=25, security="none")  # any: there is one log for all
    real = database_of(place.settings, os.environ, place.root, place.server or server)
    found: list[tuple[Log, Path | None]] = []
    for url, outbox in ((real, None), (place.rehearsal_url, place.root / OUTBOX)):
        is_present = url == place.url
        if place.has_log(url) or (is_present and make):
            found.append((place.log if is_present else place.open_log(url), outbox))
    return found[::-1] if place.is_rehearsal else found


def _person(place: Workspace, mailbox: str, known: Sequence[Log]) -> DataSubject:
    signatories: tuple[Signatory, ...] = ()
    try:
        signatories = place.campaign.signatory_rows
    except CampaignError as fault:  # the log can be erased all the same
        show_problems(fault.problems, on_stderr=True)
    redaction = Redaction(mailbox)
    names = {copy["name"] for log in known for copy in copies_of(log, mailbox)} - {""}
    names |= {
        trace.cells.get("name", "")
        for trace in _traces(place, DataSubject(mailbox))
        if redaction.has_address(trace.cells.get("email", ""))
    }
    others = frozenset[str]().union(*(namesakes(log, mailbox) for log in known))
    typed = {one.entry.name for log in known for one in signatures.signatures_of(log, mailbox)}
    # Anybody can sign with anybody's name: a row with it and no address is not theirs.
    only_typed = {name.casefold() for name in typed} - {name.casefold() for name in names}
    others |= only_typed.intersection(one.name.casefold() for one in signatories)
    names |= typed - {""}
    strangers = others.intersection(name.casefold() for name in names)
    return DataSubject.of(mailbox, signatories, names, strangers)


def _traces(place: Workspace, person: DataSubject) -> list[Trace]:
    return traces(place.root, place.settings, Redaction(person.mailbox, person.names))


def _confirm(person: DataSubject, known: Iterable[Log]) -> None:
    for log in known:
        output.say(f"{log.where}: {_counted(held(log, person.mailbox))}")
        if day := Forgotten(log).day(person.mailbox):
            output.say(f"  forgotten before, on {day[:10]}")
    who = output.who(_name(person), person.mailbox)
    output.confirm(f"Erase {who} for good? This cannot be undone.", "nothing was erased")


def _name(person: DataSubject) -> str:
    return " / ".join(sorted(person.names))


def _counted(rows: Mapping[str, Sequence[object]]) -> str:
    nouns = {"copies": ("copy", "copies")}
    parts = [
        output.count(len(rows[name]), *nouns.get(name, (name[:-1],)))
        for name in _SHOWN
        if rows[name]
    ]
    return ", ".join(parts) or "holds nothing"


def _show(mailbox: str, receipts: list[Receipt], found: list[Trace]) -> None:
    output.say(f"{mailbox} is forgotten, and will not be written to again.", "bold")
    for receipt in receipts:
        output.say(f"{receipt.log}: {_erased(receipt.erased)}")
        if receipt.files:
            output.say(f"  deleted {output.count(receipt.files, 'letter')} in the sandbox's outbox")
        for letter in receipt.rehashed:
            output.say(f"  {letter}: removed the name; waiting copies will go without it")
    if gone := [one for receipt in receipts for one in receipt.gone]:
        is_known = not any(receipt.is_uncertain for receipt in receipts)
        output.say(f"Already sent{'' if is_known else ', or possibly sent'}:")
        rows = [(one.letter, one.revision, one.role, one.copies, _days(one)) for one in gone]
        output.table(["letter", "revision", "as", "copies", "when"], rows)
    for letter in sorted({letter for receipt in receipts for letter in receipt.texts}):
        output.say(f"The text of {letter} names them: the log keeps that text as it was sent.")
    _say_files(found, "Your own files still name them; edit them yourself:")
    output.say(
        "This command cannot reach copies of the log, earlier reports and evidence packs, a site"
        " until you publish it again, your inbox, or mail that was sent."
    )


def _say_files(found: list[Trace], heading: str) -> None:
    if found:
        output.say(heading)
    for one in found:
        output.say(f"  {one.file}:{one.line}{' (only the name)' if one.by_name else ''}")


def _erased(erased: Erased) -> str:
    if erased.is_nothing:
        return "held nothing; keeps a hash of the address"
    parts = {
        ("copy to them", "copies to them"): erased.copies,
        ("mail", "mails"): erased.mails,
        ("answer", "answers"): erased.answers,
        ("signature", "signatures"): erased.signatures,
        ("letter to others", "letters to others"): erased.letters,
        ("other text", "other texts"): erased.texts,
    }
    told = ", ".join(output.count(number, *words) for words, number in parts.items() if number)
    stopped = f"; {erased.waiting:,} of them waited and will not be sent" if erased.waiting else ""
    return f"erased from {told}{stopped}"


def _days(gone: Disclosure) -> str:
    first, last = (gone.first or "")[:10], (gone.last or "")[:10]
    return first if first == last else f"{first} to {last}"


def _trace_json(trace: Trace) -> dict[str, object]:
    return {"file": trace.file, "line": trace.line, "by_name": trace.by_name}


def _receipt_json(mailbox: str, receipts: list[Receipt], found: list[Trace]) -> dict[str, object]:
    return {
        "forgotten": mailbox,
        "logs": [
            {
                "log": receipt.log,
                "erased": {
                    name: getattr(receipt.erased, name)
                    for name in (
                        *("copies", "waiting", "mails", "answers", "signatures"),
                        *("letters", "texts"),
                    )
                },
                "gone": [asdict(one) for one in receipt.gone],
                "hashed_anew": receipt.rehashed,
                "named_in_the_words_of": receipt.texts,
                "sandbox_letters_deleted": receipt.files,
            }
            for receipt in receipts
        ],
        "files": [_trace_json(one) for one in found],
    }
