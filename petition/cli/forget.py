"""petition forget and petition export: a person's data erased, or shown."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from petition.address import folded
from petition.cli import output, workspace
from petition.cli.workspace import Json, Workspace, logs
from petition.errors import CampaignError, UsageError
from petition.outbox.erasure import Erased, Redaction
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.report import privacy
from petition.report.privacy import DataSubject, Disclosure, Receipt, Trace, traces

if TYPE_CHECKING:
    from petition.campaign.signatories import Signatory


_SHOWN = ("copies", "events", "answers", "mails")


def forget_person(place: Workspace, address: str, *, yes: bool, as_json: bool) -> None:
    """Ask, erase a person from every log of the campaign, and print the receipt."""
    mailbox = _whom(place, address)
    with ExitStack() as owning:
        known = logs(place, make=True)
        for log, _ in known:
            owning.enter_context(log.owned())
        person = _person(place, mailbox, [log for log, _ in known])
        if not yes:
            _ask(mailbox, [log for log, _ in known])
        receipts = [privacy.forget(log, person, outbox) for log, outbox in known]
    found = _traces(place, person)
    if as_json:
        output.json(_receipt_json(mailbox, receipts, found))
    else:
        _show(mailbox, receipts, found)


def export_person(place: Workspace, address: str, *, as_json: bool) -> None:
    """Show everything that the logs and the people files hold about a person."""
    (mailbox,) = workspace.addresses([address])
    known = [log for log, _ in logs(place, make=False)]
    person = _person(place, mailbox, known)
    held = [privacy.export(log, person) for log in known]
    found = _traces(place, person)
    if as_json:
        files = [asdict_of(one) | {"cells": one.cells} for one in found]
        output.json({"email": mailbox, "logs": held, "files": files})
        return
    for log, one in zip(known, held, strict=True):
        output.say(f"{log.where}: {_counted(one)}", "bold")
        for copy in one["copies"]:
            output.say(f"  {copy['letter']}, revision {copy['revision']}: {copy['state']}")
        for signed in one["named_in"]:
            output.say(f"  named in {signed['letter']} as {signed['role']}")
        if day := one["forgotten_at"]:
            output.say(f"  forgotten on {day[:10]}: a salted hash of the address is kept")
    _say_files(found, "Your own files:")
    output.say(f"All of it: petition export {mailbox} --json")


def _whom(place: Workspace, address: str) -> str:
    (mailbox,) = workspace.addresses([address])
    sender = place.settings.sender
    own = {box.addr_spec for box in (sender.from_, sender.reply_to) if box}
    if folded(mailbox) in map(folded, own):
        raise UsageError(
            f"{mailbox} is the campaign's own address, which stands in every letter",
            "Change [sender] in petition.toml first",
        )
    return mailbox


def _person(place: Workspace, mailbox: str, known: Sequence[Log]) -> DataSubject:
    signatories: tuple[Signatory, ...] = ()
    try:
        signatories = place.campaign.signatories
    except CampaignError as fault:  # the log can be erased all the same
        output.problems(fault.problems, on_stderr=True)
    names = {name for log in known for name in privacy.names_in_log(log, mailbox)}
    redaction = Redaction(mailbox)
    named = {
        trace.cells.get("name", "")
        for trace in _traces(place, DataSubject(mailbox))
        if redaction.has_address(trace.cells.get("email", ""))
    }
    names |= named
    strangers = {one for log in known for one in privacy.strangers_in_log(log, mailbox, names)}
    return DataSubject.of(mailbox, signatories, names, strangers)


def _traces(place: Workspace, person: DataSubject) -> list[Trace]:
    redaction = Redaction(person.mailbox, person.names)
    return traces(place.root, place.settings, redaction.has_address, redaction.names_them)


def _ask(mailbox: str, known: Iterable[Log]) -> None:
    for log in known:
        output.say(f"{log.where}: {_counted(privacy.export(log, DataSubject(mailbox)))}")
        if day := Forgotten(log).day(mailbox):
            output.say(f"  forgotten before, on {day[:10]}")
    if not output.can_ask():
        raise UsageError(
            "nothing was erased: nobody is there to confirm it",
            "Run it in a terminal, or add --yes",
        )
    if not output.ask(f"Erase {mailbox} for good? It cannot be taken back."):
        raise UsageError("nothing was erased: it was declined")


def _counted(held: dict[str, list[object]]) -> str:
    nouns = {"copies": ("copy", "copies")}
    parts = [
        output.count(len(held[name]), *nouns.get(name, (name[:-1],)))
        for name in _SHOWN
        if held[name]
    ]
    return ", ".join(parts) or "nothing is held"


def _show(mailbox: str, receipts: list[Receipt], found: list[Trace]) -> None:
    output.say(f"{mailbox} is forgotten, and will not be written to again.", "bold")
    for receipt in receipts:
        output.say(f"{receipt.log}: {_erased(receipt.erased)}")
        if receipt.files:
            output.say(f"  {output.count(receipt.files, 'letter')} of the sandbox deleted")
        for letter in receipt.rehashed:
            output.say(f"  {letter}: the name is taken out, and what waits goes without it")
    if gone := [one for receipt in receipts for one in receipt.gone]:
        is_known = not any(receipt.is_uncertain for receipt in receipts)
        output.say(f"It had already gone{'' if is_known else ', or may have'}:")
        rows = [(one.letter, one.revision, one.role, one.copies, _days(one)) for one in gone]
        output.table(["letter", "revision", "as", "copies", "when"], rows)
    for letter in sorted({letter for receipt in receipts for letter in receipt.texts}):
        output.say(f"The words of {letter} name them: the log keeps that text as it was sent.")
    _say_files(found, "Your own files still hold it; they are yours to edit:")
    output.say(
        "Copies of the log, reports and packs of evidence made before, your inbox, and mail that"
        " has gone out are beyond this command."
    )


def _say_files(found: list[Trace], heading: str) -> None:
    if found:
        output.say(heading)
    for one in found:
        output.say(f"  {one.file}:{one.line}{' (the name alone)' if one.by_name else ''}")


def _erased(erased: Erased) -> str:
    if erased.is_nothing:
        return "nothing was held; the hash of the address is kept"
    parts = {
        ("copy to them", "copies to them"): erased.copies,
        ("mail", "mails"): erased.mails,
        ("answer", "answers"): erased.answers,
        ("letter to others", "letters to others"): erased.letters,
        ("other text", "other texts"): erased.texts,
    }
    told = ", ".join(output.count(number, *words) for words, number in parts.items() if number)
    stopped = f"; {erased.waiting:,} of them waited and will not go" if erased.waiting else ""
    return f"erased from {told}{stopped}"


def _days(gone: Disclosure) -> str:
    first, last = (gone.first or "")[:10], (gone.last or "")[:10]
    return first if first == last else f"{first} to {last}"


def asdict_of(trace: Trace) -> dict[str, object]:
    """A line that names somebody, as JSON has it."""
    return {"file": trace.file, "line": trace.line, "by_name": trace.by_name}


def _receipt_json(mailbox: str, receipts: list[Receipt], found: list[Trace]) -> dict[str, object]:
    return {
        "forgotten": mailbox,
        "logs": [
            {
                "log": receipt.log,
                "erased": {
                    name: getattr(receipt.erased, name)
                    for name in ("copies", "waiting", "mails", "answers", "letters", "texts")
                },
                "gone": [asdict(one) for one in receipt.gone],
                "hashed_anew": receipt.rehashed,
                "named_in_the_words_of": receipt.texts,
                "sandbox_letters_deleted": receipt.files,
            }
            for receipt in receipts
        ],
        "files": [asdict_of(one) for one in found],
    }


def forget(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDR", help="Whom.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, for a script.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a person from the log, and never write to them again."""
    from petition.cli.workspace import Workspace

    with Workspace.open(context, writes=True) as place:
        forget_person(place, address, yes=yes, as_json=as_json)


def export(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDR", help="About whom.")],
    as_json: Json = False,
) -> None:
    """Show everything that is held about a person."""
    from petition.cli.workspace import Workspace

    with Workspace.open(context) as place:
        export_person(place, address, as_json=as_json)
