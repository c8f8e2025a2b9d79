"""What a person wrote themselves: without what they quote, their signature and disclaimers."""

import re
from bisect import bisect_left

from petition.inbox.message import QUOTE_MARK, MailPart
from petition.inbox.patterns import alternatives, pattern

# The line that mail programs put before what is quoted; it may be wrapped to a second and third.
_ATTRIBUTION = re.compile(rf"^[ >*]*(?:{alternatives('attribution')})\s*$", re.IGNORECASE)
_DIVIDER = pattern("divider")
_FROM = re.compile(rf"^[ >]*\*?(?:{alternatives('quoted from')})\s?:\*?\s*\S", re.IGNORECASE)
_BESIDE = re.compile(rf"^[ >]*\*?(?:{alternatives('quoted beside')})\s?:\*?\s*\S", re.IGNORECASE)
_SIGNATURE = pattern("signature")
_DISCLAIMER = pattern("disclaimer")
_LINE = 500  # characters of a line that are compared with patterns
_MARKUP = re.compile("[\u200b\u200c\u200d\ufeff]")


def own_words(mail: MailPart) -> str:
    """What the sender of a mail wrote themselves, from its text, else from its HTML."""
    return own_lines(text_of(mail))


def text_of(mail: MailPart) -> str:
    """The text of a mail that a person reads first."""
    readable = [
        part
        for part in mail.walk()
        if part.content_type in {"text/plain", "text/html"}
        and not part.inside_message
        and not part.is_attached
    ]
    readable.sort(key=lambda part: part.content_type != "text/plain")
    return next((text for part in readable if (text := part.text).strip()), "")


def own_lines(text: str) -> str:
    """What is not quoted, no signature and no disclaimer."""
    lines = _MARKUP.sub("", text).split("\n")[:5_000]
    quotes = [number for number, line in enumerate(lines) if line.lstrip().startswith(">")]
    last_quote = quotes[-1] if quotes else -1
    is_written_below = any(line.strip() for line in lines[last_quote + 1 :])
    kept: list[str] = []
    has_words = False
    at = 0
    while at < len(lines):
        line = lines[at]
        start = line[:_LINE]
        if line.startswith(QUOTE_MARK) or _DIVIDER.match(start) or _is_header_block(lines, at):
            break
        if span := _attribution(lines, at):
            following = _next_filled(lines, at + span)
            if not following.lstrip().startswith(">"):
                break  # the quoted text bears no marks: all that follows is quoted
            at += span
            continue
        if line.lstrip(" ").startswith(">"):
            at += 1
            continue
        if _SIGNATURE.match(start) and (has_words or "-" in line[:3]):
            if at > last_quote or not is_written_below:
                break
            at = quotes[bisect_left(quotes, at)]
            continue
        if has_words and _DISCLAIMER.search(start):
            break
        kept.append(line.rstrip())
        has_words = has_words or bool(line.strip())
        at += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _attribution(lines: list[str], at: int) -> int:
    """Over how many lines an attribution goes that begins at a line; 0: there is none."""
    if not lines[at].strip() or len(lines[at]) > 400:
        return 0
    joined = ""
    for span in (1, 2, 3):
        if at + span > len(lines) or not lines[at + span - 1].strip():
            return 0
        joined = f"{joined} {lines[at + span - 1].strip()}".strip()
        if joined.endswith(":") and _ATTRIBUTION.match(joined[:600]):
            return span
    return 0


def _is_header_block(lines: list[str], at: int) -> bool:
    """Whether the headers of a quoted mail stand here, as Outlook writes them."""
    if not _FROM.match(lines[at]):
        return False
    following = [line for line in lines[at + 1 : at + 8] if line.strip()][:5]
    return sum(bool(_BESIDE.match(line)) for line in following) >= 2


def _next_filled(lines: list[str], at: int) -> str:
    return next((line for line in lines[at:] if line.strip()), "")
