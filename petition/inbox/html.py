"""The words of an HTML part. Nothing of it is rendered, fetched or run."""

import re
from html import unescape

_DROPPED = re.compile(r"<(?:(script|style|head|title)\b|!--)", re.IGNORECASE)
_QUOTE = re.compile(
    r"<(blockquote\b|div[^<>]{1,200}(?:gmail_quote|moz-cite|yahoo_quoted|divRplyFwdMsg"
    r"|appendonsend|reply-intro)|hr\b[^<>]{0,200}divider)",
    re.IGNORECASE,
)
_LINE = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|/table|hr|/blockquote)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")
_BLANKS = re.compile(r"[ \t\xa0]+")

QUOTE_MARK = "\ue000"  # a private character: where the quoted text begins


def text_of_html(markup: str) -> str:
    """The text of HTML, a line for each of its lines.

    Args:
        markup: Anything that calls itself HTML.

    Returns:
        The text; a line of `QUOTE_MARK` stands where mail programs put the text they answer to.
    """
    text = _without_dropped(markup.replace(QUOTE_MARK, ""))
    text = _QUOTE.sub(lambda found: f"\n{QUOTE_MARK}\n{found[0]}", re.sub(r"\s+", " ", text))
    text = unescape(_TAG.sub("", _LINE.sub("\n", text)))
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _without_dropped(markup: str) -> str:
    """The markup without what no person sees; what is never closed goes on to its end."""
    lower = markup.lower()
    kept: list[str] = []
    at = 0
    while found := _DROPPED.search(markup, at):
        kept.append(markup[at : found.start()])
        closing = f"</{found[1].lower()}" if found[1] else "-->"
        end = lower.find(closing, found.end())
        if end < 0:
            return " ".join(kept)
        at = end + len(closing)
        if found[1]:
            at = markup.find(">", at) + 1 or len(markup)
    return " ".join([*kept, markup[at:]])
