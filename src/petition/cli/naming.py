"""From what a person typed to what the log knows: letters and addresses."""

from collections.abc import Callable, Collection, Iterable

from petition.address import parse_address
from petition.cli.workplace import Workplace
from petition.errors import AddressRefused, CampaignError, UsageError
from petition.outbox.log import Log
from petition.outbox.records import Copy

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
    from petition.check import find_letter  # a letter that the log has needs no files

    try:
        return find_letter(place.campaign, name).name
    except CampaignError:
        there = ", ".join(known) or "none"
        raise UsageError(f'there is no letter "{text}"', f"Letters in the log: {there}") from None


def addresses(texts: Iterable[str]) -> list[str]:
    """Addresses as the log has them, each once, in the order in which they were typed.

    Raises:
        UsageError: One of them is no address.
    """
    try:
        return list(dict.fromkeys(parse_address(text).addr_spec for text in texts))
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
        by_letter = [log.copies_to(letter, mailbox) for letter in letters]
        copies = [copy for copies in by_letter for copy in (copies[-1:] if newest else copies)]
        if not any(map(fits, copies)):
            states = {copy.letter: copy.state for copy in copies}
            has = ", ".join(f"{letter}: {state}" for letter, state in states.items())
            faults.append(f"{mailbox} ({has or 'not in the log'})")
    if faults:
        raise UsageError(f"no {what} letter to {', '.join(faults)}", _NOTHING)
