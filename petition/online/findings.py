"""What was found out, as lines that say what to put where."""

from petition.errors import Level, Problem

WELL = "Nothing to do"

_STRING = 255  # bytes in one string of a TXT record (RFC 1035 3.3)


def wrong(place: str, what: str, mend: str) -> Problem:
    """Something that keeps letters from arriving.

    Args:
        place: The name in DNS, or the server.
        what: What is wrong.
        mend: What to put where.
    """
    return Problem(place, None, what, mend)


def doubtful(place: str, what: str, mend: str) -> Problem:
    """Something that a person should look at; arguments are those of `wrong`."""
    return Problem(place, None, what, mend, Level.WARNING)


def well(place: str, what: str, mend: str = WELL) -> Problem:
    """Something that is as it should be, or that cannot be told; arguments are those of `wrong`."""
    return Problem(place, None, what, mend, Level.NOTE)


def publish(name: str, text: str) -> str:
    """What to publish in DNS, as a line of a zone file.

    Args:
        name: The record's name.
        text: The record's text, of any length.
    """
    strings = (text[at : at + _STRING] for at in range(0, len(text), _STRING))
    quoted = " ".join(f'"{each}"' for each in strings)
    return f"Publish: {name}. TXT {quoted}"
