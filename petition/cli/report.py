"""petition report and petition evidence: what became of the letters, as a page or sealed."""

from pathlib import Path
from typing import Annotated

import typer

from petition.cli import output
from petition.cli.workspace import Json, Workspace
from petition.errors import ExitStatus, UsageError
from petition.report import evidence as packs
from petition.report import page

Rehearsal = Annotated[
    bool, typer.Option("--rehearsal", help="Even though it was a rehearsal; it will say so.")
]


def refuse_rehearsal(place: Workspace, what: str) -> None:
    """Stop in a rehearsal, of which nothing is told that somebody could believe."""
    if place.is_rehearsal:
        raise UsageError(
            f"this was a rehearsal: nobody received anything, and {what}",
            "Name a mail server in [smtp] or PETITION_SMTP_HOST; to try it all the same, add"
            " --rehearsal",
        )


def report(
    context: typer.Context,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page to FILE.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="No addresses, and only names with a public office.")
    ] = False,
    rehearsal: Rehearsal = False,
) -> None:
    """Show on one page what became of the letters and the answers."""
    with Workspace.open(context) as place:
        if public and not rehearsal:
            refuse_rehearsal(place, "there is nothing to publish")
        title = place.settings.campaign.title
        found = page.figures(place.existing_log, title, is_public=public)
        if html is None:
            people = output.count(len(found.sent), "person", "people")
            output.facts(
                [
                    ("sent", f"{found.total('sent'):,}"),
                    ("not delivered", f"{found.total('bounced', 'failed'):,}"),
                    ("answered", f"{found.answered:,} of {people}"),
                    ("overdue", f"{found.overdue:,}"),
                    ("stalled", output.count(found.stalls, "time")),
                ]
            )
            output.say("As a page: petition report --html report.html")
        else:
            page.write(found, html)
            if public:
                output.say_error(
                    "petition publish DIR replaces --public, which the next version lacks."
                )
            who = "It names nobody without a public office." if public else "Keep it private."
            output.say(f"Wrote {html}. {who}")
        place.say_which()


def evidence(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The pack, such as pack.zip.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that a pack is as it was written.")
    ] = False,
    seal: Annotated[
        str | None, typer.Option(metavar="HASH", help="The seal that you noted, with --verify.")
    ] = None,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Pack letters, events and answers as evidence; or verify a pack."""
    if seal and not verify:
        raise UsageError("--seal is for checking a pack", "Add --verify")
    if verify:
        _verify(file, seal, as_json=as_json)
        return
    with Workspace.open(context) as place:
        if not rehearsal:
            refuse_rehearsal(place, "there is nothing to prove")
        made = packs.write_evidence(place.existing_log, file)
        if as_json:
            output.json(place.origin | {"file": str(file), "seal": made})
            return
        output.say(f"Wrote {file}. Keep it private: it holds names and addresses.")
        output.say(f"Its seal: {made}")
        output.say("Keep the seal somewhere safe: it proves that the pack is unchanged.")
        place.say_which()


def _verify(file: Path, seal: str | None, *, as_json: bool) -> None:
    found = packs.verify(file)
    if seal and seal.strip().lower() != found.seal:
        found.faults.append(f"{packs.MANIFEST}: the seal is not the one that you noted")
    if as_json:
        names = ("campaign", "until", "entries", "rehearsal", "seal", "faults")
        output.json({"file": str(file)} | {name: getattr(found, name) for name in names})
    elif found.faults:
        for fault in found.faults:
            output.say(fault)
        output.say_error(f"{file} was changed after it was written.")
    else:
        entries = output.count(found.entries, "entry", "entries")
        until = found.until[:16].replace("T", " ")
        output.say(f"{file} is unchanged: {entries} of {found.campaign}, until {until} UTC.")
        if found.rehearsal:
            output.say("It is of a rehearsal: nobody received anything.", output.CARE)
        output.say(f"Its seal: {found.seal}")
        output.say("It is the one you noted." if seal else "Compare it with the one you noted.")
    if found.faults:
        raise typer.Exit(ExitStatus.PROBLEMS)
