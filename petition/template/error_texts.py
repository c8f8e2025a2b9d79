"""Explains to authors why a template cannot be read or filled.

The slips that authors really make are found in the letter itself and explained. Anything else is
given in Jinja's or Python's own words, which differ between versions, with its line.
"""

import re
from typing import NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.exceptions import SecurityError, UndefinedError

from petition.campaign.names import nearest_hint
from petition.campaign.text_file import packaged_toml


class TemplateFault(NamedTuple):
    """What is wrong with a template, and what to do: sentences without their full stops."""

    what: str
    hint: str
    mark: str = ""  # what of its line is meant; "": all of it
    line: int | None = None  # if it is not the one that Jinja says


_TAGS = ("if", "elif", "else", "endif", "for", "endfor", "set", "with", "endwith", "raw", "endraw")
_OPENING = frozenset({"if", "for", "with", "macro", "call", "filter", "block"})

# A whole comment or raw block, or else a tag; in time linear in the length of the text.
_TAG = re.compile(
    r"\{\#(?:(?!\{\#).)*?\#\}"
    r"|\{%[-+]?\s*raw\b(?:(?!\{%[-+]?\s*raw\b).)*?\{%[-+]?\s*endraw\s*[-+]?%\}"
    r"|(?P<begin>\{[{%])[-+]?"
    r"(?P<inner>(?:\"[^\"\n]*\"|'[^'\n]*'|(?!\}\}|%\}|\{\{|\{%|\n[ \t]*\n).)*)"
    r"(?P<end>\}\}|%\}|)",
    re.DOTALL,
)
_TEXT = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
# What authors get wrong, and what is said about it.
ERROR_TEXTS = packaged_toml("template/error_texts.toml")
_OF_TAGS = [
    (re.compile(one["pattern"]), one["what"], one.get("hint", "")) for one in ERROR_TEXTS["tags"]
]


def of_syntax(fault: TemplateSyntaxError, source: str) -> TemplateFault:
    """Why a template cannot be read."""
    here: list[str] = []  # what is in the tags on the line that Jinja says
    begun: list[tuple[str, int]] = []  # the blocks that are open, each with its line
    for tag in _TAG.finditer(source):
        line = source.count("\n", 0, tag.start()) + 1
        if tag["begin"] is None:  # a comment
            continue
        found = _unclosed(tag, line) or _mispaired(tag, line, begun)
        if not found and line <= fault.lineno <= line + tag[0].count("\n"):
            here.append(tag["inner"].strip())
            found = _slip(tag, line)
        if found and line <= fault.lineno:
            return found
    if begun:
        keyword, line = begun[-1]
        if keyword == "set":
            what, hint = "{% set %} gives no value", 'Write it as {% set town = "Leeds" %}'
        else:
            what, hint = f"{{% {keyword} %}} is never closed", f"Write {{% end{keyword} %}}"
        return TemplateFault(what, hint, keyword, line)
    mark = here[0] if len(here) == 1 else ""
    return TemplateFault(_sentence(fault.message), "Check the syntax of the tag", mark)


def _unclosed(tag: re.Match[str], line: int) -> TemplateFault | None:
    """A tag that has no end before the next one or the end of its paragraph."""
    begin, inner = tag["begin"], tag["inner"]
    end = "}}" if begin == "{{" else "%}"
    if tag["end"] == end or inner.startswith("%"):
        return None
    if tag["end"]:
        what = f'"{begin}" is closed by "{tag["end"]}"'
        return TemplateFault(what, f'Write "{end}" there', tag["end"], line)
    if not inner.strip() and tag.string.startswith("{{", tag.end()):
        return TemplateFault("a field is inside another field", "Write {{ and }} once", begin, line)
    if begin == "{{" and re.match(r"[^{}\n]*\}", inner):
        return TemplateFault('a field ends with "}" alone', 'Write "}}" there', "}", line)
    return TemplateFault(f'"{begin}" is never closed', f'Write "{end}" where it ends', begin, line)


def _mispaired(tag: re.Match[str], line: int, begun: list[tuple[str, int]]) -> TemplateFault | None:
    """A tag that does not fit the block that is open."""
    word, last = _keyword(tag), begun[-1][0] if begun else ""
    if word in _OPENING or (word == "set" and "=" not in tag["inner"]):
        begun.append((word, line))
    elif last and word == f"end{last}":
        begun.pop()
    elif last and word.startswith("end"):
        what = f"{{% {word} %}} comes before {{% end{last} %}}"
        return TemplateFault(what, f"Write {{% end{last} %}} first", word, line)
    elif word.startswith("end") or (word in {"else", "elif"} and last not in {"if", "for"}):
        hint = "Write the tag that begins its block before it, or remove it"
        return TemplateFault(f"{{% {word} %}} has no opening tag", hint, word, line)
    return None


def _slip(tag: re.Match[str], line: int) -> TemplateFault | None:
    """What authors forget in a tag, or write as in another language."""
    if tag["inner"].startswith("%"):
        hint = "Write {{ ... }} or {% ... %}"
        return TemplateFault(f'"{tag["begin"]}%" means nothing', hint, f"{tag['begin']}%", line)
    plain = _TEXT.sub("_", tag[0])
    for pattern, what, hint in _OF_TAGS:
        if found := pattern.search(plain):
            mark = found["mark"]
            at = line + plain.count("\n", 0, found.start("mark"))
            foreign = (said for signs, said in ERROR_TEXTS["foreign"].items() if mark[0] in signs)
            said = hint.replace("{}", mark) or next(foreign)
            return TemplateFault(what.format(mark), said, mark, at)
    word = _keyword(tag)
    if tag["begin"] == "{{" or word in {*_TAGS, *_OPENING} or word.startswith("end"):
        return None
    known = "Known are if, for and set; a field is written in {{ }}"
    hint = nearest_hint(word, _TAGS, known, "{}")
    return TemplateFault(f'there is no tag "{word}"', hint, word, line)


def _keyword(tag: re.Match[str]) -> str:
    """The first word of a statement; empty in a field."""
    return re.split(r"\W", tag["inner"].strip(), maxsplit=1)[0] if tag["begin"] == "{%" else ""


_CELLS_ARE_TEXTS = "Cells are texts: make a number with |int, and put texts together with ~"
_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (SecurityError, "Use a filter such as upper, replace or truncate"),
    (UndefinedError, "Check its name, or ask with {% if %} whether it is there"),
    (ZeroDivisionError, "Ask with {% if %} first whether it is zero"),
    (TypeError, _CELLS_ARE_TEXTS),
    (ValueError, _CELLS_ARE_TEXTS),
)


def of_failure(fault: Exception) -> TemplateFault:
    """Why a template that can be read fails for a person."""
    message = getattr(fault, "message", None) or str(fault) or type(fault).__name__
    if "LetterDate" in message:
        hint = "Write the day itself, or reply_by: 14 days in the front matter"
        return TemplateFault("a day cannot be calculated with", hint)
    hint = next((hint for kind, hint in _HINTS if isinstance(fault, kind)), "")
    if called := re.search(r"(\w+)\(\) (?:takes|missing|got) ", message):
        # Python names the function of a filter: `do_truncate()`, `Operations._limit()`.
        message = f"{re.sub('^(?:sync_)?(?:do_|test_|_)', '', called[1])}{message[called.end(1) :]}"
        hint = ""
    told = message if isinstance(fault, TemplateError) else f"this cannot be evaluated: {message}"
    return TemplateFault(_sentence(told), hint or "Compare it with petition help write-a-letter.md")


def _sentence(message: str | None) -> str:
    text = (message or "it cannot be read").rstrip(".")
    for named, sign in (("end of print statement", "}}"), ("end of statement block", "%}")):
        text = text.replace(named, sign)
    return text[:1].lower() + text[1:]
