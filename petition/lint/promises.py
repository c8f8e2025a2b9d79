"""A letter that promises an attachment and carries none."""

import re
from collections.abc import Iterator

from petition.campaign.letter import Letter
from petition.errors import Level, Problem

# How each language says that something comes with a letter; a language that is not here is not
# looked at.
_WORDS = {
    "en": r"attached|attachments?|enclosed|enclosures?|annex(?:ed|es)?",
    "ru": (
        r"прилага(?:ю|ем|ется|ются|ем\w{2,3})|прилож(?:ен|им)\w*|во\s+вложении|вложени[еяию]\w*"
        r"|вложенн\w+"
    ),
    "kk": (
        r"қоса\s+(?:беріл|тірке|жібер|ұсын)\w*|тіркел(?:ген|ді|е)\w*|тіркеме\w*|тіркеп"
        r"|қосымшада\w*|қосымшасы\w*"
    ),
}


def broken_promises(letter: Letter) -> Iterator[Problem]:
    """The first promise of each text of a letter that carries no file, as a warning.

    Args:
        letter: The letter.
    """
    front = letter.front
    if front.attachments or front.event:
        return
    for text in letter.texts.values():
        words = _WORDS.get(text.language.partition("-")[0])
        pattern = re.compile(rf"\b(?:{words})\b", re.IGNORECASE) if words else None
        body = re.sub(r"\r\n?", "\n", text.body)
        if pattern and (found := pattern.search(body)):
            line = text.body_line + body.count("\n", 0, found.start())
            shown = " ".join(found.group().split())
            what = f'"{shown}" stands here, and nothing is attached to the letter'
            mend = "Name the file in attachments of the front matter, if one is promised"
            yield Problem(text.file, line, what, mend, Level.WARNING)
