"""From what a person typed to what the log knows: letters and addresses."""

from collections.abc import Callable, Collection, Iterable

from petition.address import folded, parse_address
from petition.cli.workplace import Workplace
from petition.errors import AddressRefused, CampaignError, UsageError
from petition.outbox.log import Log
from petition.outbox.models import Copy

_NOTHING = "Nothing was done"


def letter_name(place: Workplace, text: str) -> str:
    """The name of a letter that the log knows, or that is in the campaign.

    Args:
        place: Where to look.
        text: A name, or a letter's file.

    Raises:
        UsageError: There is no such letter.
    """
    name = text.removeprefix("letters/").removesuffix(".md")
    known = place.log_if_any.letters() if place.log_if_any else []
    if name in known:
        return name
    from petition.checks.campaign import find_letter  # a letter that the log has needs no files

    try:
        return find_letter(place.campaign, name).name
    except CampaignError:
        there = ", ".join(known) or "none"
        raise UsageError(f'there is no letter "{text}"', f"Letters in the log: {there}") from None


def copies_named(
    place: Workplace,
    letter: str,
    texts: Iterable[str] | None,
    fits: Callable[[Copy], bool],
    what: str,
) -> tuple[str, list[str] | None]:
    """The letter and the addresses of a command that moves copies of one letter.

    Args:
        place: Where to look.
        letter: What the person typed for the letter.
        texts: What they typed for the addresses, if anything.
        fits: Whether a copy is one that the command is for.
        what: What such a copy is called: `waiting`.

    Returns:
        The letter's name, and the addresses; None: all.

    Raises:
        UsageError: There is no such letter, or an address has no such copy.
    """
    name = letter_name(place, letter)
    boxes = addresses(texts or [])
    require(place.existing_log, [name], boxes, fits, what)
    return name, boxes or None


def addresses(texts: Iterable[str]) -> list[str]:
    """Addresses as the log has them, each once, in the order in which they were typed.

    Raises:
        UsageError: One of them is no address.
    """
    try:
        boxes = [parse_address(text).addr_spec for text in texts]
        return list({folded(box): box for box in reversed(boxes)}.values())[::-1]
    except AddressRefused as refusal:
        raise UsageError(refusal.what, f"{refusal.mend}. {_NOTHING}") from None


def require(
    log: Log,
    letters: Collection[str],
    asked: Iterable[str],
    fits: Callable[[Copy], bool],
    what: str,
    *,
    newest: bool = True,
) -> None:
    """Make sure that every address has a copy that the command is for.

    Args:
        log: The log.
        letters: The letters that count.
        asked: Addresses as the log has them.
        fits: Whether a copy is one that the command is for.
        what: What such a copy is called: `uncertain`.
        newest: Only the newest copy of each letter counts.

    Raises:
        UsageError: Some have none; for each it says what they have.
    """
    faults = []
    for mailbox in asked:
        copies = [copy for letter in letters for copy in log.copies_to(letter, mailbox)]
        if newest:
            copies = list({(copy.letter, copy.twin): copy for copy in copies}.values())
        if not any(map(fits, copies)):
            states = {copy.letter: copy.state for copy in copies}
            has = ", ".join(f"{letter}: {state}" for letter, state in states.items())
            faults.append(f"{mailbox} ({has or 'not in the log'})")
    if faults:
        raise UsageError(f"no {what} letter to {', '.join(faults)}", _NOTHING)
