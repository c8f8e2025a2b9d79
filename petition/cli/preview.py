"""petition preview: a letter as somebody would get it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class As(StrEnum):
    """In which form a letter is shown."""

    TEXT = "text"
    HTML = "html"
    HEADERS = "headers"
    SOURCE = "source"


def preview(
    context: typer.Context,
    letter: Annotated[
        str | None, typer.Argument(metavar="LETTER", help="The letter's name.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="WHO", help="For WHO: an address, an id or a row number; else row 1."
        ),
    ] = None,
    form: Annotated[
        As | None, typer.Option("--as", metavar="FORM", help="As text, html, headers or source.")
    ] = None,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option("--diff", metavar="WHO WHO", help="What differs between two copies."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open it in a web browser.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="DIR",
            help="Save each copy as a file for a mail program.",
            show_default=False,
        ),
    ] = None,
    pdf: Annotated[
        Path | None,
        typer.Option("--pdf", metavar="FILE", help="Typeset it as FILE.", show_default=False),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again whenever a file changes.")
    ] = False,
) -> None:
    """Show a letter as somebody would get it, byte for byte."""
    from petition.cli import previewing
    from petition.cli.workplace import Workplace
    from petition.errors import UsageError

    if sum(map(bool, (form, diff, browser, save, pdf))) > 1:
        what = "--as, --diff, --browser, --save and --pdf exclude each other"
        raise UsageError(what, "Choose one")
    if diff and to is not None:
        raise UsageError("--diff names its two people itself", "Leave out --to")
    if watch and any((browser, save, pdf)):
        raise UsageError("--watch shows a letter here", "Leave out --browser, --save and --pdf")

    def show(read: set[str]) -> None:
        with Workplace.open(context) as place:
            try:
                copies = previewing.open_copies(place, letter, read)
            finally:
                read |= place.files
            if diff:
                previewing.show_difference(copies, *diff)
            elif save or pdf or browser:
                previewing.make(copies, to, save, pdf)
            else:
                previewing.show(copies, to, form or As.TEXT)
                if form in {None, As.TEXT}:
                    place.say_rehearsal()

    if watch:
        from petition.cli.watching import show_again

        show_again(Path.cwd(), show)
    else:
        show(set())
