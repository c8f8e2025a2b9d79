"""One file of a campaign folder: found, opened, decoded; and leftovers of editing in its text."""

import codecs
import errno
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from petition.address import find_obscured
from petition.errors import Level, Problem

TEXT_LIMIT = 1_000_000  # bytes of a letter, the demands or petition.toml

HINT_ENCODING = 'Save it as UTF-8 (in a spreadsheet: as "CSV UTF-8, comma delimited")'


def find_file(root: Path, file: str, problems: list[Problem]) -> Path | None:
    """The path of an ordinary file within the campaign folder.

    Args:
        root: The campaign folder.
        file: The file's name relative to it, with forward slashes.
        problems: Takes what is wrong: no such file, a folder, a device, or a link that leads out.

    Returns:
        The path, or None where there is a problem.
    """
    try:
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            fault = "lies outside the campaign folder", "Copy the file into the folder"
        elif not (root / file).exists():
            fault = "there is no such file", "Make it, or correct its name where it is asked for"
        elif not stat.S_ISREG(path.stat().st_mode):
            # A FIFO or a device would be read for ever.
            fault = "is no ordinary file", "Put a file there, or correct its name"
        else:
            return path
    except (OSError, ValueError, RuntimeError) as why:
        fault = unreadable(why)
    problems.append(Problem(file, None, *fault))
    return None


def read_text(root: Path, file: str, problems: list[Problem]) -> str | None:
    """The text of a small file in UTF-8, its line ends made LF.

    Args:
        root: The campaign folder.
        file: The file's name relative to it, with forward slashes.
        problems: Takes what is wrong: no readable file, over 1 MB, not UTF-8, or a NUL in it.

    Returns:
        The text without its byte order mark, or None where there is a problem.
    """
    path = find_file(root, file, problems)
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            content = stream.read(TEXT_LIMIT + 1)
    except OSError as why:
        problems.append(Problem(file, None, *unreadable(why)))
        return None
    if fault := _fault_of(content):
        problems.append(Problem(file, *fault))
        return None
    text = content.decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unreadable(why: Exception) -> tuple[str, str]:
    """What is wrong with a file that the system does not let us read, and how to mend it."""
    if isinstance(why, RuntimeError) or getattr(why, "errno", None) == errno.ELOOP:
        return "is a link that leads back to itself", "Put the file itself in its place"
    reason = why.strerror if isinstance(why, OSError) and why.strerror else "its name is no path"
    return f"cannot be read: {reason}", "Check the name and who may read the file"


def is_utf16(beginning: bytes) -> bool:
    """Whether a file begins with the byte order mark of UTF-16 (UTF-32's begins alike)."""
    return beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _fault_of(content: bytes) -> tuple[int | None, str, str] | None:
    if len(content) > TEXT_LIMIT:
        return None, "is larger than 1 MB", "Shorten it"
    if is_utf16(content):
        return 1, "is saved as UTF-16", HINT_ENCODING
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as why:
        what = f"is not saved as UTF-8: it holds the byte 0x{content[why.start]:02X}"
        return _line_at(content, why.start), what, HINT_ENCODING
    if (at := content.find(b"\0")) >= 0:
        return _line_at(content, at), "holds a NUL character", "Type the line anew"
    return None


def _line_at(content: bytes, offset: int) -> int:
    before = content[:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1


# UAX 9: embeddings and overrides reorder what stands around them, and no name needs them. Isolates
# keep their order to themselves where each is closed.
_REORDERS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ISOLATES = "\u2066\u2067\u2068"
_END_OF_ISOLATE = "\u2069"

HINT_OBSCURED = "Copy the address itself from the page"


def reorders(text: str) -> str | None:
    """The first character that would show a person a text in another order than it has, or None."""
    opened = 0
    for found in _REORDERS.finditer(text):
        char = found.group()
        opened += (char in _ISOLATES) - (char == _END_OF_ISOLATE)
        if char not in f"{_ISOLATES}{_END_OF_ISOLATE}" or opened < 0:
            return _named(char)
    return _named(_ISOLATES[0]) if opened else None


def may_reorder(text: str) -> bool:
    """Whether `reorders` has anything to look at: most rows are done with at once."""
    # What is printable in Python's sense has no control or format characters at all.
    return not (text.isascii() or text.isprintable()) and _REORDERS.search(text) is not None


def _named(char: str) -> str:
    return f"U+{ord(char):04X}"


def said_of_obscured(found: str) -> str:
    """What is wrong with such a text."""
    return f'"{found}" is what a web page shows in place of an address'


def obscured(file: str, lines: Iterable[tuple[int, str]]) -> Iterator[Problem]:
    """The lines that hold `[email protected]` in place of an address, a warning each."""
    for line, text in lines:
        if found := find_obscured(text):
            what = said_of_obscured(found)
            yield Problem(file, line, what, HINT_OBSCURED, Level.WARNING, found)
