"""Markup made by functions that escape what they are given, and files of pages."""

from html import escape
from pathlib import Path

from petition.errors import PetitionError
from petition.whole_file import PRIVATE, replace_whole

# HTML does not allow control characters (13.1 of its standard), and a terminal that the page is
# printed on would obey them. A quotation should show that they were there.
SHOWN = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)}
SHOWN |= dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)
SHOWN |= dict.fromkeys(range(0xFDD0, 0xFDF0), 0xFFFD)  # noncharacters, which XML refuses in part
SHOWN |= dict.fromkeys(
    (plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)), 0xFFFD
)


class Html(str):
    """Markup; every other text that becomes part of an element is escaped."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element; empty attributes are left out, and `_` in their names is a hyphen."""
    inner = (one if isinstance(one, Html) else escape(str(one)) for one in children)
    return Html(f"{void(name, **attributes)}{''.join(inner)}</{name}>")


def void(name: str, /, **attributes: object) -> Html:
    """An element that has no content and no end, such as `br`; its attributes as of `tag`."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value != ""
    )
    return Html(f"<{name}{shown}>")


def write_page(path: Path, text: str, *, layout: str, what: str, is_public: bool = False) -> None:
    """Write a page into a new file, or over an older page that began with the same layout.

    Only its owner can read it unless it is public. PetitionError if the path is a symbolic link, or
    another file.
    """
    if path.is_symlink():
        raise PetitionError(f"{path} is a symbolic link", "Name the file itself")
    if path.exists() and not _begins_like(path, layout):
        raise PetitionError(f"{path} exists already, and is not {what}", "Name another file")
    replace_whole(path, text.encode(), 0o644 if is_public else PRIVATE)


def _begins_like(path: Path, layout: str) -> bool:
    if not path.is_file():
        return False
    beginning = layout.partition('<meta name="viewport"')[0].encode()
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning
