"""What a script or a spreadsheet reads, and text that no terminal obeys.

Everything that comes from a cell, a file, a server or a mail can hold control characters; nothing
of what is written here holds one.
"""

import csv as csv_format
import json as json_format
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

from petition.errors import CampaignError, Level, PetitionError, Problem

# C0, DEL, C1, the marks that reorder text (UAX 9), line and paragraph separators, the byte order
# mark, and halves of surrogate pairs, which cannot be written at all.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_UNSEEN_BUT_LF = re.compile(f"(?!\n){_UNSEEN.pattern}")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the beginning of a formula


def clean(text: str, *, lines: bool = False) -> str:
    """A text without anything that a terminal would obey.

    Args:
        text: Any text.
        lines: Keep its line ends.

    Returns:
        The text; each control character is replaced by a picture of itself or by its number.
    """
    if not lines:
        return _UNSEEN.sub(_picture, text.replace("\t", " "))
    return _UNSEEN_BUT_LF.sub(_picture, text.replace("\r\n", "\n").replace("\t", "    "))


def json(value: object) -> None:
    """Write a value as JSON, on stdout."""
    _write_json(_dumped(value, indent=2) + "\n")


def json_of(problem: Problem) -> dict[str, object]:
    """A problem as a script reads it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "what": problem.what,
        "mend": problem.mend,
        "level": problem.level,
    }


def json_error(error: PetitionError) -> None:
    """Write why a command ended as one line of JSON, on stdout, unless other JSON was begun there.

    Args:
        error: Why; what is wrong in no file has neither a file nor a line.
    """
    if _JSON.is_begun:
        return
    if isinstance(error, CampaignError):
        found = [json_of(problem) for problem in error.problems]
    else:
        what = {"file": None, "line": None, "what": error.what, "mend": error.mend}
        found = [{**what, "level": Level.ERROR}]
    json_line({"problems": found})


def json_line(value: object) -> None:
    """Write a value as JSON in one line that a script can read while the command runs on."""
    sys.stdout.write(_dumped(value) + "\n")
    sys.stdout.flush()


def json_rows(rows: Iterable[Mapping[str, object]]) -> None:
    """Write objects as a JSON array, one object a line, as they come: there may be a million."""
    divider = "[\n  "
    for row in rows:
        _write_json(divider + _dumped(row))
        divider = ",\n  "
    _write_json("[]\n" if divider.startswith("[") else "\n]\n")


def csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV, on stdout, with nothing that a spreadsheet would compute.

    Args:
        columns: The columns, which are keys of every row.
        rows: The rows, as they come.
    """
    writer = csv_format.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])


class _JSON:
    """Whether stdout holds JSON already, to which nothing can be added."""

    is_begun = False


def _write_json(text: str) -> None:
    _JSON.is_begun = True
    sys.stdout.write(text)


def _picture(found: re.Match[str]) -> str:
    number = ord(found.group())
    if number < 0x20:
        return chr(0x2400 + number)  # the pictures of Unicode's block Control Pictures
    return "\u2421" if number == 0x7F else f"<U+{number:04X}>"


def _dumped(value: object, indent: int | None = None) -> str:
    """JSON in which every control character is written as its escape (RFC 8259 7)."""
    is_unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json_format.dumps(value, ensure_ascii=not is_unicode, indent=indent)
    return _UNSEEN_BUT_LF.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
