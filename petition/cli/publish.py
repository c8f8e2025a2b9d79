"""petition publish: the campaign as a site that any web space can carry."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from petition import signing
from petition.cli import output
from petition.cli.problems import show_problems
from petition.cli.report import Rehearsal, refuse_rehearsal
from petition.cli.workspace import Json, Workspace
from petition.extras import how_to_install
from petition.planning.signatories import prune_signatories
from petition.report import site, site_pages
from petition.report.site_folder import SiteFolder


def publish(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="The folder for the site: a new one, or one that this command made."
        ),
    ],
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Write the public site: the letter, who signed, who has answered."""
    with Workspace.open(context) as place:
        if not rehearsal:
            refuse_rehearsal(place, "there is nothing to publish")
        log, campaign = place.existing_log, place.campaign
        show_problems(prune_signatories(campaign, log), on_stderr=True)
        signing.add_signed(campaign, log, site.letter_to_publish(log, campaign))
        notes: list[str] = []
        found = site.gather(log, campaign, notes)
        target = SiteFolder(folder, found.campaign_id, is_rehearsal=found.is_rehearsal)
        files = site_pages.files_of(found, notes)
        outcome = target.write(
            files,
            lambda day: site_pages.pages_of(replace(found, made_on=day), files),
            found.made_on,
        )
        for library in site_pages.missing_libraries(found):
            missing = "PDFs and pictures" if library == "typst" else "QR code"
            how = how_to_install(site_pages.NEEDED[library])
            notes.append(f"The site has no {missing}: {library} is missing. {how}")
        if as_json:
            output.json(
                place.origin
                | {
                    "folder": str(folder),
                    "letter": found.frozen.letter,
                    "languages": list(found.letters),
                    "written": outcome.written,
                    "unchanged": outcome.unchanged,
                    "removed": outcome.removed,
                    "kept": outcome.kept,
                    "notes": notes,
                }
            )
            return
        written, unchanged = len(outcome.written), outcome.unchanged
        done = f"{output.count(written, 'file')} written, {unchanged:,} unchanged"
        removed = f", {len(outcome.removed):,} removed" if outcome.removed else ""
        output.say(f"{folder}: {done}{removed}.")
        for path in outcome.kept:
            output.say(f"{path} is no longer a part of the site; it was changed by hand and stays.")
        if not (found.sign_mailto or found.sign_url):
            output.say("It does not say how to sign: write [sign] mailto in petition.toml.")
        for note in notes:
            output.say(note, output.CARE)
        output.say(f"Look at it before you copy it to the web: {folder / 'index.html'}")
        place.say_which()
