"""What a person wrote themselves: a mail's text without quotations, signature and disclaimer.

Mail programs announce a quotation in the reader's language: by one line ("On Monday, A wrote:") or
by the headers of the quoted mail. Both are known by their shape first (a date, an address, a colon
at the end; three lines "Name: value"), and by the words of patterns.txt.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache

from petition.inbox import alternatives, pattern
from petition.mail_parser import ALL_TEXT_LENGTH, QUOTE_MARK, MailPart

_LINES = 5_000
_LINE = 500  # characters of a line that are compared with patterns
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_RULE = re.compile(r"[ >]*[-_=*]{20,}\s*$")

_DIVIDER = pattern("divider")
_SIGNATURE = pattern("signature")
_SENT_FROM = pattern("sent from")
_DISCLAIMER = pattern("disclaimer")
_HEADER = re.compile(
    rf"^[ >]*\*?(?:{alternatives('quoted header')})\s?[:：]\*?\s*\S", re.IGNORECASE
)
_ANY_HEADER = re.compile(r"^[ >]*\*?[^\W\d_][^:：@\n]{0,24}[:：]\*?\s*\S")
_INITIALS = re.compile(r"^ ?[A-ZА-Я]{1,4}> ?", re.MULTILINE)  # as The Bat! quotes

_WROTE = re.compile(rf"(?:{alternatives('wrote')})", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[./-]\s?\d{1,2}[./-]\s?\d{1,4}|(?<!\d)(?:19|20)\d\d(?!\d)")
_TIME = re.compile(r"(?<!\d)\d{1,2}[:.h]\d{2}(?!\d)")
_ADDRESS = re.compile(r"[^\s<>\"(),:;\[\]]{1,64}@[^\s<>\"(),:;\[\]]{1,255}")
_END = re.compile(r"(?:[:：]|-{2,10}|>\s?:)\s*$")
_OPENING = re.compile(rf"^[ >*]*-{{0,10}}\s?(?:{alternatives('before a date')})\b", re.IGNORECASE)
_ATTRIBUTION = 600  # characters
_WRAPPED = 3  # lines that an attribution goes over at most


@lru_cache(maxsize=1)  # several questions about one mail look at them
def own_words(mail: MailPart) -> str:
    """What the sender of a mail wrote themselves, from its text, else from its HTML."""
    ours = [found[0] for found in _ADDRESS.finditer(mail.headers.text("to")[:2_000])]
    domains = tuple({one.rpartition("@")[2].lower().rstrip(".") for one in ours[:20]})
    words = (own_lines(text, domains) for text in _texts(mail))
    return "\n\n".join(filter(None, words))


def _texts(part: MailPart) -> Iterator[str]:
    """The texts that a reader sees, one after the other; one of those that are alternatives."""
    left = ALL_TEXT_LENGTH
    waiting = [part]
    while waiting and left > 0:
        part = waiting.pop()
        disposition = part.headers.get("content-disposition").strip().lower()
        if part.inside_message or disposition.startswith("attachment"):
            continue
        if part.content_type == "multipart/alternative":
            waiting += [one for one in [next(filter(_has_text, part.children), None)] if one]
        elif part.content_type in {"text/plain", "text/html"} and not part.children:
            yield part.text[:left]
            left -= len(part.text)
        else:
            waiting += reversed(part.children)


def _has_text(part: MailPart) -> bool:
    return any(
        one.content_type in {"text/plain", "text/html"} and one.text.strip() for one in part.walk()
    )


def own_lines(text: str, domains: tuple[str, ...] = ()) -> str:
    """The lines that are not quoted, nor part of a signature or a disclaimer.

    `domains` are those that the mail was sent to: a letter of theirs is what it quotes.
    """
    text = _INITIALS.sub("> ", _INVISIBLE.sub("", text))
    lines = text.split("\n")[:_LINES]
    quotes = [number for number, line in enumerate(lines) if line.lstrip().startswith(">")]
    last_quote = quotes[-1] if quotes else -1
    is_written_below = any(line.strip() for line in lines[last_quote + 1 :])
    kept: list[str] = []
    below = ""  # what follows an attribution without quotation marks
    has_words = False
    at = 0
    while at < len(lines):
        line = lines[at]
        start = line[:_LINE]
        if _is_divider(start) or _is_header_block(lines, at, domains):
            break
        if span := _attribution(lines, at):
            at += span
            if not next((one for one in lines[at:] if one.strip()), "").lstrip().startswith(">"):
                below = "\n".join(lines[at:])  # all of it is quoted, or is the answer
                break
        elif line.lstrip(" ").startswith(">"):
            at += 1
        elif _ends_in_signature(lines, at, has_words=has_words):
            if at > last_quote or not is_written_below:
                break
            at = quotes[bisect_left(quotes, at)]
        elif has_words and _DISCLAIMER.search(start):
            break
        else:
            kept.append(line.rstrip())
            has_words = has_words or bool(line.strip())
            at += 1
    if kept and _RULE.match(kept[-1]):  # above the headers of a quoted mail
        kept.pop()
    found = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return found or (own_lines(below, domains) if below else "")


def _is_divider(line: str) -> bool:
    return line.startswith(QUOTE_MARK) or bool(_DIVIDER.match(line))


def _attribution(lines: list[str], at: int) -> int:
    """Over how many lines the announcement of a quotation goes that begins at a line, or 0."""
    joined = ""
    for span, line in enumerate(lines[at : at + _WRAPPED], 1):
        if not line.strip() or len(line) > _LINE:
            return 0
        joined = f"{joined} {line.strip()}".strip()
        if not _END.search(line):
            continue
        dated = [one for one in range(span) if _DATE.search(lines[at + one])]
        begins_here = dated[-1] == 0 or _ADDRESS.search(lines[at]) if dated else span == 1
        follows = next((one for one in lines[at + span :] if one.strip()), "")
        is_marked = follows.lstrip().startswith(">")
        is_it = begins_here and _announces(joined[:_ATTRIBUTION], is_marked=is_marked)
        return span if is_it else 0
    return 0


def _announces(line: str, *, is_marked: bool) -> bool:
    """Whether a line announces a quotation, whose lines have marks (`>`) or not."""
    # Without marks all that follows is taken for quoted, so that the line must be a program's.
    who, date, time = _ADDRESS.search(line), _DATE.search(line), _TIME.search(line)
    wrote = _WROTE.search(line)
    if who and (wrote or date):
        return True
    if is_marked:
        return bool(wrote and (date or time or _OPENING.match(line)))
    return bool(wrote and date and time)


def _is_header_block(lines: list[str], at: int, domains: tuple[str, ...]) -> bool:
    """Whether the headers of a quoted mail begin here, as Outlook writes them."""
    if not _ANY_HEADER.match(lines[at][:_LINE]):
        return False
    block: list[str] = []
    for line in lines[at : at + 10]:
        if line.strip() and not _ANY_HEADER.match(line[:_LINE]):
            break
        block += [line[:_LINE].lower()] if line.strip() else []
    if sum(bool(_HEADER.match(line)) for line in block[:5]) >= 3:
        return True
    is_ours = any(f"@{domain}" in line for line in block[:4] for domain in domains)
    return len(block) >= 3 and is_ours


def _ends_in_signature(lines: list[str], at: int, *, has_words: bool) -> bool:
    start = lines[at][:_LINE]
    if _SIGNATURE.match(start):
        return has_words or "-" in start[:3]
    if has_words and _SENT_FROM.match(start):
        after = next((one for one in lines[at + 1 :] if one.strip()), ">")
        return after.startswith((">", QUOTE_MARK)) or bool(_RULE.match(after))
    return False
