"""Addresses in the headers of a mail that anybody wrote."""

import re

_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w.-]{1,255}")
_TOKEN = re.compile(r"(?<![0-9a-f])([0-9a-f]{24}|[0-9a-f]{32})(?![0-9a-f])")


def first_address(value: str) -> str:
    """The first address of a header, or an empty text; one in angle brackets comes first.

    Args:
        value: The header's value, decoded.
    """
    short = value[:4_000]
    found = re.search(r"<\s*([^<>\s]{1,320}@[^<>\s]{1,255})\s*>", short)
    if found:
        return found[1].strip("'\"")
    plain = _ADDRESS.search(short)
    return plain[0].strip(".'`") if plain else ""


def all_addresses(value: str) -> list[str]:
    """All addresses of a header."""
    return _ADDRESS.findall(value[:20_000])


def tokens_in(addresses: list[str]) -> list[str]:
    """What could be the token of a return path or of an address to leave by, in local parts."""
    found = (_TOKEN.findall(one.rpartition("@")[0].lower()) for one in addresses)
    return list(dict.fromkeys(token for tokens in found for token in tokens))
