"""Where the files of a campaign folder name a person: file and line, and nothing is changed."""

import csv
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from petition.address import addr_spec_in
from petition.campaign.settings import Settings
from petition.campaign.source import read_text
from petition.campaign.tables import open_table

_TEXTS = ("*.csv", "petition.toml", "letters/*.md")


class Trace(NamedTuple):
    """A line that names a person.

    Args:
        file: The file as the organiser would name it.
        line: Its line from 1, or the row of a spreadsheet.
        by_name: By their name alone: it could be somebody else of that name.
        cells: The row, where the file is a list of people.
    """

    file: str
    line: int
    by_name: bool
    cells: dict[str, str]


def traces(
    root: Path,
    settings: Settings,
    has_address: Callable[[str], bool],
    names_them: Callable[[str], bool],
) -> list[Trace]:
    """Every line of people files, letters and petition.toml that names a person.

    Args:
        root: The campaign folder.
        settings: Name the lists.
        has_address: Whether a text holds their address.
        names_them: Whether a text holds their address or their name.
    """
    lists = dict.fromkeys(settings.people.values())
    found = [trace for file in lists for trace in _in_list(root, file, has_address, names_them)]
    for pattern in _TEXTS:
        for path in sorted(root.glob(pattern)):
            file = path.relative_to(root).as_posix()
            if file not in lists:
                text = read_text(root, file, []) or ""
                for line, content in enumerate(text.split("\n"), 1):
                    if names_them(content):
                        found.append(Trace(file, line, not has_address(content), {}))
    return found


def _in_list(
    root: Path,
    file: str,
    has_address: Callable[[str], bool],
    names_them: Callable[[str], bool],
) -> Iterator[Trace]:
    table = None
    with suppress(OSError, ValueError, csv.Error):
        table = open_table(root, file, [])
    if table is None:
        return
    for row in table.rows([]):
        # As it is written, and as it stands on the wire: a domain may be spelled in both ways.
        whole = "\n".join([*row.cells.values(), addr_spec_in(row.cells.get("email", "")) or ""])
        if names_them(whole):
            yield Trace(file, row.line, not has_address(whole), row.cells)
