"""What a person wrote themselves: a mail's text without quotations, signature and disclaimer.

Mail programs announce a quotation in the reader's language: by one line ("On Monday, A wrote:") or
by the headers of the quoted mail. Both are known by their shape first (a date, an address, a colon
at the end; three lines "Name: value"), and by the words of patterns.txt.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile

from petition.inbox import alternatives, finder, pattern
from petition.mail_parser import ALL_TEXT_LENGTH, QUOTE_MARK, MailPart

_LINES = 5_000
_LINE = 500  # characters of a line that are compared with patterns
# The last is what a tracker of mails leaves below them.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|^\u1427$", re.MULTILINE)
_RULE = re.compile(r"[ >]{0,9}(?:[-_]{3,200}|[*=~#+]{2,200})\s*$")
_CONTACT = re.compile(r"@|://|\bwww\.|\+?\(?\d[\d ()/.-]{6,40}")
_NO_CONTACT = re.compile(r"^[*•-] |^(?!.{0,500}://).{0,500}[.,;:!?…。！？]$")
_SENTENCE = re.compile(r"[.,;:!?…。！？]$")

_DIVIDER = pattern("divider")
_DASHED = re.compile(r"[ >]{0,9}-{4,100}\s?[^\W\d_].{1,50}[^\W\d_]\s?-{4,100}\s*$")
_SIGNATURE = pattern("signature")
_POSTSCRIPT = pattern("postscript")
_SIGNATURE_LINES = 20
_SENT_BY = pattern("sent by a program")
_SENT_FROM = pattern("sent from")
_DISCLAIMER = pattern("disclaimer")
_HEADER = re.compile(
    rf"^[ >]*\*?(?:{alternatives('quoted header')})\s?[:：]\*?\s*\S", re.IGNORECASE
)
_HEADER_ALONE = re.compile(rf"\s*(?:{alternatives('quoted header')})\s*$", re.IGNORECASE)
_ANY_HEADER = re.compile(r"^[ >]*\*?[^\W\d_][^:：@\n]{0,24}[:：]\*?\s*\S")
_INITIALS = re.compile(r"^ ?[A-ZА-Я]{1,4}> ?", re.MULTILINE)  # as The Bat! quotes

_says_wrote = finder("wrote")
_DATE = re.compile(r"\d{1,4}[./-]\s?\d{1,2}[./-]\s?\d{1,4}|(?<!\d)(?:19|20)\d\d(?!\d)")
_DATE_ALONE = re.compile(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4},?\s\d{1,2}[:.]\d{2}\D{0,12}$")
_TIME = re.compile(r"(?<!\d)\d{1,2}[:.h]\d{2}(?!\d)")
_ADDRESS = re.compile(r"[^\s<>\"(),:;\[\]]{1,64}@[^\s<>\"(),:;\[\]]{1,255}")
_END = re.compile(r"(?:[:：]|-{2,10}|>\s?:)\s*$")
_BARE_END = re.compile(rf"(?:@[\w.-]{{1,255}}>|(?:{alternatives('wrote')}))\s*$", re.IGNORECASE)
_RUN_ON = re.compile(
    rf"(>\s?(?:{alternatives('wrote')})[:：])\s{{2,20}}\S.{{0,500}}", re.IGNORECASE
)
_WHO_WROTE = re.compile(rf"@[\w.-]{{1,255}}[>)]?\s?(?:{alternatives('wrote')})", re.IGNORECASE)
_ADDRESS_END = re.compile(r"@[\w.-]{1,255}[^\w@]{0,6}$")
_OPENING = re.compile(rf"^[ >*]*-{{0,10}}\s?(?:{alternatives('before a date')})\b", re.IGNORECASE)
_BEHIND_WORDS = re.compile(  # "No. On Mon, 23 Nov 2026, A wrote:", as some programs join lines
    r"^(.{1,300}?)[\s-]{1,9}(?:On|Am|Le|El|Il|Em|Op|Den|Dnia) (?:[^\W\d_]{1,12}[.,]{0,2} ){0,3}\d"
)
_ATTRIBUTION = 600  # characters
_WRAPPED = 4  # lines that an attribution goes over at most


@lru_cache(maxsize=1)  # several questions about one mail look at them
def own_words(mail: MailPart) -> str:
    """What the sender of a mail wrote themselves, from its text, else from its HTML."""
    ours = [found[0] for found in _ADDRESS.finditer(mail.headers.text("to")[:2_000])]
    domains = tuple({one.rpartition("@")[2].lower().rstrip(".") for one in ours[:20]} - {""})
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
    text = _INITIALS.sub("> ", _INVISIBLE.sub("", text)).rstrip()
    lines = text.split("\n")[:_LINES]
    quotes = [number for number, line in enumerate(lines) if line.lstrip().startswith(">")]
    is_written_below = bool(quotes) and quotes[-1] < len(lines) - 1
    kept: list[str] = []
    has_words = False
    at = 0
    while at < len(lines):
        if lines[at].lstrip(" ").startswith(">") and not _is_of_groupwise(lines[at]):
            at += 2 if _is_wrapped(lines, at) else 1
        elif end := _announcement(lines, at, domains):
            kept.append(_words_before(lines[at]))
            has_words = has_words or bool(kept[-1])
            if has_words and not _is_marked(lines, end):
                break  # all that follows is quoted; without words above it, it is the answer
            at = _past_bars(lines, end)
        elif has_words and _names_a_program(lines, at, domains):
            at += 1
        elif has_words and _ends_in_signature(lines, at):
            is_above = is_written_below and at < quotes[-1]
            end = quotes[bisect_left(quotes, at)] if is_above else len(lines)
            at = _postscript(lines, at, end, domains)
        else:
            kept.append(lines[at].rstrip())
            has_words = has_words or bool(kept[-1])
            at += 1
    while kept and (not kept[-1] or _RULE.match(kept[-1])):  # above the headers of a quoted mail
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _announcement(lines: list[str], at: int, domains: tuple[str, ...]) -> int:
    """Where a quotation begins whose announcement begins at a line, or 0."""
    if head := _head_of_notes(lines, at, domains):
        return at + head
    if _is_divider(lines, at) or _is_header_block(lines, at, domains):
        at += 1
        while _HEADER.match(_line(lines, at)):
            at += 1
        return at
    span = _attribution(lines, at, domains)
    return span and at + span


def _is_marked(lines: list[str], at: int) -> bool:
    """Whether the next line with words is marked as quoted."""
    is_end = _line(lines, at - 1).startswith(QUOTE_MARK)
    return not is_end and _line(lines, _next(lines, at)).lstrip().startswith((">", "|"))


def _past_bars(lines: list[str], at: int) -> int:
    """The line after those that `|` marks as quoted, if there are some."""
    if not _line(lines, _next(lines, at)).lstrip().startswith("|"):
        return at
    while at < len(lines) and (lines[at].lstrip() or "|").startswith("|"):
        at += 1
    return at


def _next(lines: list[str], at: int) -> int:
    """The number of the first line with words from a line on, or of none."""
    return next((number for number in range(at, len(lines)) if lines[number].strip()), len(lines))


def _line(lines: list[str], at: int) -> str:
    return lines[at][:_LINE] if at < len(lines) else ""


def _is_wrapped(lines: list[str], at: int) -> bool:
    """Whether the end of a long quoted line stands below it, where a server broke it off."""
    below, next_one = _line(lines, at + 1), _line(lines, at + 2)
    is_broken = len(lines[at]) >= 72 and not _SENTENCE.search(lines[at].rstrip())
    return is_broken and below[:1].islower() and next_one.startswith(">")


def _is_divider(lines: list[str], at: int) -> bool:
    line = _line(lines, at)
    if line.startswith(QUOTE_MARK) or _DIVIDER.match(line):
        return True
    return bool(_DASHED.match(line) and _HEADER.match(_line(lines, _next(lines, at + 1))))


def _is_of_groupwise(line: str) -> bool:
    """Whether a line is no quotation, but announces one, as Novell GroupWise does."""
    return line.rstrip().endswith(">>>") and bool(_DIVIDER.match(line[:_LINE]))


def _attribution(lines: list[str], at: int, domains: tuple[str, ...]) -> int:
    """Over how many lines the announcement of a quotation goes that begins at a line, or 0."""
    joined, number = "", 0
    for span, whole in enumerate(lines[at : at + 2 * _WRAPPED], 1):
        if not whole.strip() and number and _OPENING.match(joined) and _TIME.search(joined):
            continue  # an empty line before the address
        number += 1
        if not whole.strip() or len(whole) > _LINE or number > _WRAPPED:
            return 0
        line = _RUN_ON.sub(r"\1", whole)
        joined = f"{joined} {line.strip()}".strip()
        is_bare = not _END.search(line)
        if is_bare and not (_DATE.search(joined) and _BARE_END.search(line[-120:])):
            continue
        dated = [one for one in range(span) if _DATE.search(lines[at + one])]
        if dated and dated[-1]:
            begins_here = _begins_above_its_date(lines[at], lines[at + dated[-1]])
        else:
            begins_here = bool(dated or number == 1 or _OPENING.match(joined))
        is_marked = _is_marked(lines, at + span)
        said = joined[:_ATTRIBUTION]
        if begins_here and _announces(said, domains, is_marked=is_marked, is_bare=is_bare):
            return span
        if not is_bare:
            return 0
    return 0


def _begins_above_its_date(first: str, dated: str) -> bool:
    """Whether an attribution begins at a line before the one with its date, as a name may."""
    if first.rstrip().endswith("<"):
        return True
    is_another = _OPENING.match(dated) and dated.strip()[:1].isupper()
    if is_another or not _ADDRESS.search(first) or _ADDRESS.search(dated):
        return False
    return bool(_says_wrote(first) or not _SENTENCE.search(first.rstrip()))


def _announces(line: str, domains: tuple[str, ...], *, is_marked: bool, is_bare: bool) -> bool:
    """Whether a line announces a quotation, whose lines have marks (`>`) or not."""
    # Without marks all that follows is taken for quoted, so that the line must be a program's; so
    # it must where the colon at its end is missing.
    who, date, time = _ADDRESS.search(line), _DATE.search(line), _TIME.search(line)
    wrote = _says_wrote(line)
    if is_bare:
        return bool(who and date and ((wrote and time) or (is_marked and line[:1].isdigit())))
    is_opened = bool(_OPENING.match(line))
    if who and (_WHO_WROTE.search(line) or (date and (is_marked or (wrote and is_opened)))):
        return True
    if who and date and time:
        is_ours = any(f"@{domain}" in line.lower() for domain in domains)
        return bool(wrote or is_ours or _ADDRESS_END.search(line))
    name = line.split()[:-1]
    is_name = 1 <= len(name) <= 5 and all(word[0].isupper() for word in name)
    return is_marked and bool(wrote and (who or date or time or is_name or is_opened))


def _words_before(line: str) -> str:
    """What stands before an attribution on its line."""
    before = _BEHIND_WORDS.match(line[:_LINE])
    signs = (_ADDRESS.search, _DATE.search, _says_wrote)
    is_own = before and not any(is_there(before[1]) for is_there in signs)
    return before[1].strip() if before and is_own and re.search(r"\w", before[1]) else ""


def _is_header_block(lines: list[str], at: int, domains: tuple[str, ...]) -> bool:
    """Whether the headers of a quoted mail begin here, as Outlook writes them."""
    if not _ANY_HEADER.match(lines[at][:_LINE]):
        return False
    block: list[str] = []
    for line in lines[at : at + 10]:
        start = line[:_LINE].strip()
        if start and not start.startswith("<") and not _ANY_HEADER.match(start):
            break
        block += [start.lower()] if start and not start.startswith("<") else []
    known = [line for line in block[:5] if _HEADER.match(line)]
    text = "\n".join(block[:4])
    is_short = len(known) == 2 and known[0] == block[0] and _ADDRESS.search(block[0])
    # A list of one's own may have three such names too, but hardly an address or a time.
    is_of_mail = len(known) > 3 or any(_ADDRESS.search(one) or _TIME.search(one) for one in block)
    is_of_mail = is_of_mail or bool(at and _RULE.match(_line(lines, at - 1)))
    if (len(known) >= 3 and is_of_mail) or (is_short and _TIME.search(known[1])):
        return True
    return len(block) >= 3 and any(f"@{domain}" in text for domain in domains)


def _head_of_notes(lines: list[str], at: int, domains: tuple[str, ...]) -> int:
    """How many lines a head takes here, as older HCL Notes writes it, or 0.

    One of our addresses, the date below it, then names of headers with their values below them.
    """
    who = _ADDRESS.search(_line(lines, at))
    if not who or who[0].rpartition("@")[2].lower() not in domains:
        return 0
    if not _DATE_ALONE.match(_line(lines, at + 1)):
        return 0
    named = [one for one in range(at + 2, at + 12) if _HEADER_ALONE.match(_line(lines, one))]
    return named[-1] + 2 - at if len(named) > 1 else 0


def _names_a_program(lines: list[str], at: int, domains: tuple[str, ...]) -> bool:
    """Whether a line says what program or device the mail was sent with."""
    start = _line(lines, at)
    if _SENT_BY.match(start):
        return True
    if not _SENT_FROM.match(start):
        return False
    at = _next(lines, at + 1)
    after = _line(lines, at)
    is_last = not after or after.lstrip().startswith(">") or _RULE.match(after)
    return bool(is_last or _is_divider(lines, at) or _attribution(lines, at, domains))


def _ends_in_signature(lines: list[str], at: int) -> bool:
    start = _line(lines, at)
    if _SIGNATURE.match(start):
        return True
    if _RULE.match(start):
        return _is_contact(lines, at)
    if not _SENTENCE.search(start.rstrip()):  # it may be wrapped
        start = " ".join(lines[at : at + 3])[:_LINE]
    return bool(_DISCLAIMER.match(start))


def _postscript(lines: list[str], at: int, end: int, domains: tuple[str, ...]) -> int:
    """Where a postscript begins below a signature, or the end of it."""
    for number in range(at + 1, min(at + _SIGNATURE_LINES, end)):
        if _POSTSCRIPT.match(_line(lines, number)):
            return number
        if _announcement(lines, number, domains):  # what follows may be of the quoted letter
            break
    return end


def _is_contact(lines: list[str], at: int) -> bool:
    """Whether what follows a rule is who somebody is, and not more of what they say."""
    rest = [line.strip() for line in lines[at + 1 : at + 20] if line.strip()]
    rest = list(takewhile(lambda line: not line.startswith(">"), rest))
    above = lines[at - 1].strip()
    is_underline = lines[at].strip()[:1] not in "-_" or abs(len(above) - len(lines[at].strip())) < 3
    if is_underline or len(rest) > 8 or any(map(_NO_CONTACT.search, rest)):
        return False
    is_name = 1 <= len(rest) <= 3 and not above and lines[at + 1].strip()
    return bool(is_name or any(map(_CONTACT.search, rest)))
