"""A file of a campaign folder: found, decoded, leftovers of editing in it; our own data files."""

import codecs
import errno
import re
import stat
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from petition.address import find_obscured
from petition.errors import Level, Problem

# Of a letter, the demands or petition.toml. What a parser makes of one line takes kilobytes.
TEXT_LIMIT = 128_000  # bytes
LINE_LIMIT = 20_000

HINT_ENCODING = "Save it as UTF-8"
HINT_CSV_ENCODING = f'{HINT_ENCODING} (in a spreadsheet: as "CSV UTF-8, comma delimited")'
_ENDINGS = re.compile(r"(?:\.(?:csv|tsv|txt|md|xls[xmb]?|ods|numbers))+$")


def find_file(root: Path, file: str, problems: list[Problem], key: str = "") -> Path | None:
    """The path of an ordinary file within the campaign folder; None, and a problem, otherwise.

    A file is found whose name only has its accents composed otherwise (UAX 15), as on a Mac. If
    none is, the hint names one with a name much like it, and `key`, under which [people] has it.
    """
    try:
        named = root / file
        if not named.exists():
            named = _as_spelt(root, file)
        path = named.resolve()
        if not path.is_relative_to(root.resolve()):
            fault = "is outside the campaign folder", "Copy the file into the folder"
        elif not named.exists():
            with suppress(FileNotFoundError):
                named.stat()  # resolve() takes a link to itself since Python 3.13
            hint = "Create it, or correct the name"
            if other := next(_beside(named, _without_endings), None):
                inner = other.relative_to(root).as_posix()
                line = f'{key} = "{inner}" in [people]' if key else f'"{inner}"'
                hint = f'There is "{inner}": write {line}, or rename the file'
            fault = "does not exist", hint
        elif not stat.S_ISREG(path.stat().st_mode):
            # A FIFO or a device would be read forever.
            fault = "is not a regular file", "Put a file there, or correct the name"
        else:
            return path
    except (OSError, ValueError, RuntimeError) as why:
        fault = unreadable(why)
    problems.append(Problem(file, None, *fault))
    return None


def _as_spelt(root: Path, file: str) -> Path:
    here = root
    for part in Path(file).parts:
        step = here / part
        here = step if step.exists() else next(_beside(step, _composed), step)
    return here


def _beside(path: Path, form: Callable[[str], str]) -> Iterator[Path]:
    """The files in the folder of a path whose names have the same form."""
    with suppress(OSError):
        for other in sorted(path.parent.iterdir()):
            if form(other.name) == form(path.name):
                yield other


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _without_endings(name: str) -> str:
    """A name by which `Recipients.csv.csv` and `recipients.xlsx` are alike."""
    return _ENDINGS.sub("", _composed(name).casefold().strip())


def read_text(root: Path, file: str, problems: list[Problem]) -> str | None:
    """The text of a file in UTF-8, without a byte order mark, its line ends LF.

    None, and a problem, if it cannot be read.
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
    """What is wrong with a file that the system does not let us read, and what to do."""
    if isinstance(why, RuntimeError) or getattr(why, "errno", None) == errno.ELOOP:
        return "is a link to itself", "Replace it with the file"
    reason = why.strerror if isinstance(why, OSError) and why.strerror else "not a valid path"
    return f"cannot be read: {reason}", "Check the name and its permissions"


def _fault_of(content: bytes) -> tuple[int | None, str, str] | None:
    if len(content) > TEXT_LIMIT:
        return None, f"is larger than {TEXT_LIMIT // 1000} kB", "Shorten it"
    if max(content.count(b"\n"), content.count(b"\r")) > LINE_LIMIT:
        return None, f"has more than {LINE_LIMIT:,} lines", "Shorten it"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # UTF-32 too
        return 1, "is saved as UTF-16", HINT_ENCODING
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as why:
        what = f"is not saved as UTF-8: it contains the byte 0x{content[why.start]:02X}"
        return _line_at(content, why.start), what, HINT_ENCODING
    if (at := content.find(b"\0")) >= 0:
        return _line_at(content, at), "contains a NUL character", "Retype the line"
    return None


def _line_at(content: bytes, offset: int) -> int:
    before = content[:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1


# UAX 9: embeddings and overrides reorder the text around them, and no name needs them. Isolates do
# not, if each is closed.
_REORDERS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ISOLATES = "\u2066\u2067\u2068"
_END_OF_ISOLATE = "\u2069"

HINT_OBSCURED = "Copy the real address from the page"


def reorders(text: str) -> str | None:
    """The first character that would display a text in another order, or None."""
    opened = 0
    for found in _REORDERS.finditer(text):
        char = found.group()
        opened += (char in _ISOLATES) - (char == _END_OF_ISOLATE)
        if char not in f"{_ISOLATES}{_END_OF_ISOLATE}" or opened < 0:
            return f"U+{ord(char):04X}"
    return f"U+{ord(_ISOLATES[0]):04X}" if opened else None


def may_reorder(text: str) -> bool:
    """Whether `reorders` has anything to look at; most rows have not."""
    # What is printable in Python's sense has no control or format characters.
    return not (text.isascii() or text.isprintable()) and _REORDERS.search(text) is not None


def said_of_obscured(found: str) -> str:
    """What is wrong with `[email protected]`."""
    return f'"{found}" is what a web page shows instead of an address'


def obscured(file: str, lines: Iterable[tuple[int, str]]) -> Iterator[Problem]:
    """A warning for each line with `[email protected]` instead of an address."""
    for line, text in lines:
        if found := find_obscured(text):
            what = said_of_obscured(found)
            yield Problem(file, line, what, HINT_OBSCURED, Level.WARNING, found)


def packaged(name: str) -> str:
    """The text of a file that comes with petition, such as "report/style.css"."""
    return (files("petition") / name).read_text(encoding="utf-8")


def packaged_toml(name: str) -> dict[str, Any]:
    """A TOML file that comes with petition."""
    return tomllib.loads(packaged(name))
