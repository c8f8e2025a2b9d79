"""Slips of a letter as its author wrote it, and of those who sign it."""

from collections.abc import Iterator, Sequence

from petition.campaign.folder import Campaign
from petition.campaign.letter import Letter, LetterText
from petition.errors import Level, Problem
from petition.lint.organisations import shouted_signatures, two_spellings
from petition.lint.promises import broken_promises
from petition.merge.template.compile import names_in

_BLOCKS = ("demands", "signatories", "reply_by")


def slips_of(campaign: Campaign, letter: Letter) -> Iterator[Problem]:
    """All slips that no row is needed for.

    Args:
        campaign: The loaded campaign.
        letter: One of its letters that has a text.
    """
    yield from broken_promises(letter)
    yield from untranslated(letter)
    if "signatories" in names_in(letter.default_text):
        file = campaign.settings.people["signatories"]
        yield from two_spellings(file, campaign.signatories)
        yield from shouted_signatures(file, campaign.signatories)


def untranslated(letter: Letter) -> Iterator[Problem]:
    """What a translation leaves out that the default text has: demands, signatories, the date.

    Args:
        letter: The letter.
    """
    default = letter.default_text
    for text in letter.texts.values():
        for name in _missing(default, text):
            what = f"{default.file} has {name}, and this translation has not"
            yield Problem(text.file, None, what, "Put it in, if it is missed", Level.WARNING)


def _missing(default: LetterText, text: LetterText) -> Sequence[str]:
    left_out = names_in(default) - names_in(text)
    return [f"{{{{ {name} }}}}" for name in _BLOCKS if name in left_out]
