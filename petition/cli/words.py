"""Numbers and moments in the words of a person."""

from datetime import datetime


def when(moment: datetime) -> str:
    """A moment in the words of the person's own clock.

    Args:
        moment: An aware moment.
    """
    local = moment.astimezone()
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}".rstrip()


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 letter`, `2 letters`, `3 people`.

    Args:
        number: How many.
        noun: What one of them is called.
        plural: What several are called, where an s does not do it.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def rate(letters_a_second: float) -> str:
    """A rate in the words of a person: `12/s`, `30/min`."""
    if letters_a_second >= 1:
        return f"{letters_a_second:,.0f}/s"
    return f"{letters_a_second * 60:.0f}/min" if letters_a_second else ""


def duration(seconds: float) -> str:
    """About how long: `12 s`, `5 min`, `1.5 h`."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
