"""petition check: everything that is wrong, in all files at once."""

from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.options import Json

if TYPE_CHECKING:
    from petition.cli.inspection import Inspection


def check(
    context: typer.Context,
    letter: Annotated[
        list[str] | None,
        typer.Argument(metavar="LETTER", help="Only these letters; else all of them."),
    ] = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Ask DNS and the server too; nothing is sent."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Find everything that is wrong, in all files at once."""
    from petition.cli import console
    from petition.cli.inspection import inspect
    from petition.cli.workplace import Workplace
    from petition.errors import ExitStatus

    with Workplace.open(context, reads_on=True) as place:
        inspection = inspect(place, letter or [], online=online, asks=not as_json)
        found = [*inspection.problems, *inspection.online]
        if as_json:
            console.json([console.json_of(problem) for problem in found])
        else:
            console.problems(found)
            _sum_up(inspection)
            if inspection.is_rehearsal:
                place.say_rehearsal()
    if inspection.is_refused:
        raise typer.Exit(ExitStatus.SERVER)
    is_wrong = inspection.errors or inspection.online_errors
    raise typer.Exit(ExitStatus.PROBLEMS if is_wrong else ExitStatus.DONE)


def _sum_up(inspection: "Inspection") -> None:
    from petition.cli import console

    for line in inspection.fallbacks:
        console.say(line)
    if outside := inspection.online_errors:
        stand = "it stands" if outside == 1 else "they stand"
        found = console.count(outside, "problem")
        console.say(f"{found} online: letters may not arrive while {stand}.", "bold")
    errors, warnings = inspection.errors, inspection.warnings
    warned = f", {console.count(warnings, 'warning')}" if warnings else ""
    if errors:
        stand = "it stands" if errors == 1 else "they stand"
        console.say(f"{console.count(errors, 'problem')}{warned}: nothing is sent while {stand}.")
        return
    letters = console.count(inspection.letters, "letter")
    people = console.count(inspection.people, "person", "people")
    if not inspection.held:
        console.say(f"{letters}, {people}{warned}: ready.", "bold")
        return
    held = "; ".join(f"{name} needs {needs}" for name, needs in inspection.held.items())
    is_all = len(inspection.held) == inspection.letters
    ready = f"not ready: {held}" if is_all else f"{held}; the others are ready"
    console.say(f"{letters}, {people}{warned}: {ready}.", "bold")
