"""Where a link in a letter may lead, and how a field stands in it.

A field that begins a link is a whole address, and only the web and mail are let through; any other
field is a part of one, and can neither end it nor change its host.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote

from petition.merge.refusals import CellRefused
from petition.merge.tags import TAG, Marked, Role

_STATIC = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)
_WHOLE = re.compile(r"(?:https?://[^/?#@\s]+(?:[/?#].*)?|mailto:.+)", re.IGNORECASE)
_HOST_UNFINISHED = re.compile(r"https?://[^/?#]*", re.IGNORECASE)

# RFC 3986: what a whole URL is made of. A part of one keeps the unreserved characters alone.
_OF_A_URL = "%/:=&?~#+!$,;'@()*[]"
_AS_IT_IS = re.compile(f"[A-Za-z0-9_.{re.escape(_OF_A_URL)}-]*")


def whole_link(value: str) -> str:
    """A value as a whole link.

    Raises:
        CellRefused: It is neither of the web nor of mail.
    """
    if not _WHOLE.fullmatch(value):
        raise CellRefused(
            f"{value[:60]!a} is not a link that begins with https://, http:// or mailto:",
            "Correct it",
        )
    return value if _AS_IT_IS.fullmatch(value) else quote(value, safe=_OF_A_URL)


def link_part(value: str) -> str:
    """A value as a part of a link: every character with a meaning of its own is encoded."""
    return quote(value, safe="")


def mail_link_part(value: str) -> str:
    """A value as a part of a `mailto:` link, where @ means nothing but itself."""
    return quote(value, safe="@")


FILTERS = {"whole_link": whole_link, "link_part": link_part, "mail_link_part": mail_link_part}


def fault_of(link: str, marked: Marked) -> str | None:
    """Why a link cannot stand in a letter, or None.

    Args:
        link: The link, with the marks of its tags.
        marked: What the marks mean.
    """
    if not _is_balanced(link, marked):
        return "a statement begins in a link and ends outside of it"
    static, fields = _beginning(link, marked)
    if not static and fields:
        return None
    if not _STATIC.match(static):
        shown = TAG.sub(lambda mark: str(marked.tag(mark.group())), link)
        return f'the link "{shown}" does not begin with https://, http:// or mailto:'
    if fields and _HOST_UNFINISHED.fullmatch(static):
        return f"{marked.tag(fields[0])} would choose the host of a link"
    return None


def escape_link(link: str, marked: Marked) -> str:
    """A link whose fields pass the filter that makes each a whole link or a part of one.

    Args:
        link: A link that `fault_of` finds nothing wrong with.
        marked: What its marks mean; gets the filtered fields too.
    """
    part = "mail_link_part" if link.lower().startswith("mailto:") else "link_part"
    return "".join(_escaped(link, part, marked))


def _escaped(link: str, part: str, marked: Marked) -> Iterator[str]:
    is_first = True
    before: list[bool] = []  # for each statement that is open: whether nothing stood before it
    for char in link:
        role = marked.tag(char).role if TAG.match(char) else None
        if role is Role.OPEN:
            before.append(is_first)
        elif role is Role.MIDDLE and before:
            is_first = before[-1]
        elif role is Role.CLOSE and before:
            before.pop()
            is_first = False
        if role is Role.FIELD:
            yield marked.filtered(char, "whole_link" if is_first else part)
        else:
            yield char
        if role in {None, Role.FIELD}:
            is_first = False


def _is_balanced(link: str, marked: Marked) -> bool:
    depth = 0
    for mark in TAG.findall(link):
        role = marked.tag(mark).role
        if role in {Role.MIDDLE, Role.CLOSE} and depth == 0:
            return False
        depth += (role is Role.OPEN) - (role is Role.CLOSE)
    return depth == 0


def _beginning(link: str, marked: Marked) -> tuple[str, list[str]]:
    """What stands before the first field, statements left out; and the fields."""
    fields = [mark for mark in TAG.findall(link) if marked.tag(mark).role is Role.FIELD]
    static = link.split(fields[0], 1)[0] if fields else link
    return TAG.sub("", static), fields
