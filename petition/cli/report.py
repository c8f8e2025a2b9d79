"""petition report: one page about what became of the letters."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    context: typer.Context,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page to FILE.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="No address, and only names with a public office.")
    ] = False,
) -> None:
    """Tell on one page what became of the letters and the answers."""
    from petition.cli import console
    from petition.cli.workplace import Workplace
    from petition.report import page
    from petition.report import page as pages

    with Workplace.open(context) as place:
        title = place.settings.campaign.title
        found = page.figures(place.existing_log, title, is_public=public)
        if html is None:
            console.facts(
                [
                    ("sent", f"{found.total('sent'):,}"),
                    ("not delivered", f"{found.total('bounced', 'failed'):,}"),
                    ("answered", f"{found.answered:,} of {len(found.sent):,} people"),
                    ("overdue", f"{found.overdue:,}"),
                    ("put off", console.count(len(found.stalls), "time")),
                ]
            )
            console.say("As a page: petition report --html report.html")
        else:
            pages.write(found, html)
            who = "It names nobody without a public office." if public else "For you alone to read."
            console.say(f"{html} is written. {who}")
        place.say_which()
