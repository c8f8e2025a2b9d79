"""Errors of Jinja and Python in the words of whoever writes letters.

Its messages speak of tokens and statements. Each is known here by its beginning; one that is not is
passed on as it is, which a test would find.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError

from petition.campaign.names import nearest
from petition.merge.template.sandbox import template_syntax
from petition.merge.template.tags import open_block

_TAGS = ("if", "elif", "else", "for", "set", "macro", "call", "filter", "with", "raw", "comment")
_OPENING = frozenset({"if", "for", "macro", "call", "filter", "with", "raw"})
_SIGNS = {"end of print statement": "}}", "end of statement block": "%}", "name": "a name"}
_SIGNS |= {"integer": "a number", "float": "a number", "string": "a text in quotes"}
_ABOUT_BLOCKS = re.compile(
    "encountered|unexpected end of template\\.|unexpected '}'$|missing", re.IGNORECASE
)
_OPEN_TAG = re.compile(
    r"\{\{(?:(?!\}\}|\{\{|\{%|\n[ \t]*\n).)*|\{%(?:(?!%\}|\{\{|\{%|\n[ \t]*\n).)*", re.DOTALL
)
_CURLY = "“”„«»‘’‚"

# What authors write who know another language, and how it is written here.
_HINTS = {
    "=": 'Write == to compare: {% if recipient.town == "Leeds" %}',
    "&": 'Write "and"',
    "|": 'Write "or"',
    "!": 'Write "not"',
    "?": 'Write {{ "one text" if recipient.town else "another" }}',
    ">": "Write a dot, as in recipient.name",
    "then": 'Take "then" out',
    "of": "Write it as {% for demand in demands %}",
    "if": "Write {% elif ... %} in place of {% else if ... %}",
    "elseif": "Write {% elif ... %}",
    "elsif": "Write {% elif ... %}",
    ";": 'Take the ";" out',
    **dict.fromkeys("$@#", "Write the name alone, as in {{ recipient.name }}"),
    **dict.fromkeys(_CURLY, "Write straight quotation marks in a field"),
}


class TemplateFault(NamedTuple):
    """What is wrong with a template.

    Args:
        what: A sentence without its full stop.
        hint: What to do about it, the same.
        mark: What of its line is meant; "": all of it.
        line: The line, if it is another one than Jinja says.
    """

    what: str
    hint: str
    mark: str = ""
    line: int | None = None


def of_syntax(fault: TemplateSyntaxError, source: str) -> TemplateFault:
    """Why a template cannot be read."""
    message = (fault.message or "it cannot be read").rstrip(".")
    if not _ABOUT_BLOCKS.match(message) and (said := _left_open(source, fault.lineno)):
        return said
    for pattern, say in _SYNTAX:
        if found := re.match(pattern, message, re.DOTALL | re.IGNORECASE):
            return say(found, source)
    what = f"the template cannot be read: {message[:1].lower()}{message[1:]}"
    return TemplateFault(what, "Look at the signs and words of its tags")


def _left_open(source: str, fault_line: int) -> TemplateFault | None:
    """A tag that has no end before the next one or the end of its paragraph."""
    for found in _OPEN_TAG.finditer(source):
        line = source.count("\n", 0, found.start()) + 1
        behind = source[found.end() : found.end() + 2]
        is_closed = behind in {"}}", "%}"}
        if not is_closed and line <= fault_line and ("\n" in found[0] or behind[:1] in {"", "\n"}):
            sign = found[0][:2]
            end = "}}" if sign == "{{" else "%}"
            return TemplateFault(
                f'"{sign}" is never closed', f'Write "{end}" where it ends', sign, line
            )
    return None


def _missing(found: re.Match[str], source: str) -> TemplateFault:
    """Something stands where something else must."""
    wanted = _SIGNS.get(found[1], found[1])
    # A word of the author's is given as it is, and may be "name".
    got = found[2] if found[2] == "name" else _SIGNS.get(found[2], found[2])
    if wanted in {"}}", "%}"}:
        return _surplus(got, wanted)
    if wanted == "a name":
        if got == "|":
            return TemplateFault('"||" means nothing here', _HINTS["|"], "||")
        hint = 'Behind "|" stands a filter such as upper, behind "is" a test such as defined'
        return TemplateFault(f'a name is missing before "{got}"', hint, got)
    if wanted == "in":
        return TemplateFault('the loop has no "in"', _HINTS["of"], got)
    if wanted == ":" and "{{" in re.sub(r"^.*?\{\{", "", source, count=1, flags=re.DOTALL):
        nested = re.search(r"\{\{[^{}]*\{\{", source)
        if nested:
            line = source.count("\n", 0, nested.start()) + 1
            hint = "Write {{ and }} once around it"
            return TemplateFault("a field stands within a field", hint, "{{", line)
    return TemplateFault(
        f'"{wanted}" is missing before {_quoted(got)}', f'Put the "{wanted}" there', got
    )


def _quoted(sign: str) -> str:
    return sign if sign.startswith("a ") else f'"{sign}"'


def _surplus(got: str, end: str) -> TemplateFault:
    """A word or a sign behind which, or in place of which, the tag should end."""
    if got == "=" and end == "}}":
        hint = "Give a name a value with {% set town = ... %}, and compare with =="
        return TemplateFault('"=" does not belong into a field', hint, got)
    if got in _HINTS:
        return TemplateFault(f'"{got}" does not belong there', _HINTS[got], got)
    hint = f'Write a name as one word, as in recipient.first_name, and "{end}" behind it'
    return TemplateFault(f'"{got}" does not belong there', hint, got)


def _unclosed(found: re.Match[str], source: str) -> TemplateFault:
    del found
    begin = max(source.rfind("{{"), source.rfind("{%"))
    sign = source[begin : begin + 2] if begin >= 0 else "{{"
    end = "}}" if sign == "{{" else "%}"
    line = source.count("\n", 0, max(begin, 0)) + 1
    return TemplateFault(f'"{sign}" is never closed', f'Write "{end}" where it ends', sign, line)


def _unexpected(found: re.Match[str], source: str) -> TemplateFault:
    sign = _SIGNS.get(found[1], found[1])
    if sign == "}":
        return TemplateFault('a field ends with "}" alone', 'Write "}}" there', sign)
    if sign in {"}}", "%}"}:
        return TemplateFault(
            f'something is missing before "{sign}"', "Complete it, or take it out", sign
        )
    if sign in {")", "]"}:
        opening = {")": "(", "]": "["}[sign]
        return TemplateFault(
            f'"{sign}" closes nothing', f'Take it out, or write "{opening}" before', sign
        )
    if sign == "%" and "{{%" in source:
        return TemplateFault('"{{%" means nothing', "Write {{ ... }} or {% ... %}", "{{%")
    if sign == "=":
        return TemplateFault('"===" means nothing here', _HINTS["="], "=")
    return TemplateFault(f'"{sign}" does not belong there', _HINTS.get(sign, "Take it out"), sign)


def _unpaired(found: re.Match[str], source: str) -> TemplateFault:
    del source
    got, wanted = found.groups()
    got = "}}" if got == "}" else got
    return TemplateFault(f'"{wanted}" is missing', f'Write it before "{got}"', got)


def _strange(found: re.Match[str], source: str) -> TemplateFault:
    del source
    sign = found[1] if found[1] != "\\\\" else "\\"
    if sign in {"'", '"'}:
        return TemplateFault(
            "a quotation mark is never closed", f"Write {sign} behind the text", sign
        )
    return TemplateFault(f'"{sign}" means nothing in a tag', _HINTS.get(sign, "Take it out"), sign)


def _unknown_tag(found: re.Match[str], source: str) -> TemplateFault:
    del source
    word, inner = found[1], found[2]
    if word in {"elseif", "elsif"}:
        return TemplateFault(f'there is no tag "{word}"', _HINTS[word], word)
    if word.startswith("end") or word in {"else", "elif"}:
        if inner:
            what = f"{{% {word} %}} stands where {{% end{inner} %}} is missing"
            return TemplateFault(what, f"Write {{% end{inner} %}} first", word)
        what = f"{{% {word} %}} belongs to nothing"
        begun = "if" if word in {"else", "elif"} else word.removeprefix("end")
        hint = f"Write {{% {begun} ... %}} before it, or take it out"
        return TemplateFault(what, hint if begun in _OPENING else "Take it out", word)
    near = nearest(word, _TAGS)
    hint = f"Did you mean {near}" if near else "Known are if, for and set; a field stands in {{ }}"
    return TemplateFault(f'there is no tag "{word}"', hint, word)


def _open_block(found: re.Match[str], source: str) -> TemplateFault:
    name = found[1]
    line = open_block(source, template_syntax())
    if name == "set":
        what = "{% set %} gives no value"
        return TemplateFault(what, 'Write it as {% set town = "Leeds" %}', name, line)
    what, hint = f"{{% {name} %}} is never closed", f"Write {{% end{name} %}} where it ends"
    return TemplateFault(what, hint, name, line)


def _nothing(found: re.Match[str], source: str) -> TemplateFault:
    del source
    sign = _SIGNS.get(found[1], found[1])
    if sign == "}}":
        return TemplateFault("the field is empty", "Name what it is to print, or take it out", sign)
    return TemplateFault(
        f'something is missing before "{sign}"', "Complete it, or take it out", sign
    )


def simply(what: str, hint: str, mark: str = "") -> Callable[[re.Match[str], str], TemplateFault]:
    """What is said of a message whatever it was found in; `what` may hold its groups."""
    return lambda found, _: TemplateFault(found.expand(what), hint, mark)


Rule = tuple[str, Callable[[re.Match[str], str], TemplateFault]]

_SYNTAX: tuple[Rule, ...] = (
    (r"unexpected end of template, expected", _unclosed),
    (r"unexpected end of template\..*that needs to be closed is '(\w+)'", _open_block),
    (r"encountered unknown tag '(\w+)'(?:\..*that needs to be closed is '(\w+)')?", _unknown_tag),
    (r"expected token '(.+)', got '(.+)'$", _missing),
    (r"unexpected '(.+)', expected '(.+)'$", _unpaired),
    (r"unexpected char [\"'](.+)[\"'] at \d+", _strange),
    (r"unexpected '(.+)'$", _unexpected),
    (r"Expected an expression, got '(.+)'$", _nothing),
    ("tag name expected", simply("the tag is empty", "Write if, for or set into it", "{%")),
    (
        "expected name or number",
        simply("no name stands behind the dot", "Write the column's name"),
    ),
    (
        "can't assign to",
        simply("a value cannot be given to that", "Write a new name, as in {% set town = ... %}"),
    ),
    (
        "Can't assign to special loop variable",
        simply('"loop" is already something else in a loop', "Choose another name", "loop"),
    ),
    ("Missing end of comment", simply('"{#" is never closed', 'Write "#}" behind it', "{#")),
    (
        "Missing end of raw",
        simply("{% raw %} is never closed", "Write {% endraw %} behind it", "raw"),
    ),
    ("You cannot chain", simply('two tests stand behind one "is"', 'Join them with "and"', "is")),
    (
        "block '?(.+?)'? defined twice",
        simply(r'there are two blocks "\1"', "Give one of them another name"),
    ),
    (
        "Block names|Required blocks",
        simply("a letter needs no {% block %}", "Take it out", "block"),
    ),
    (
        "non-default argument",
        simply("a name without a value stands behind one with a value", "Put it before it"),
    ),
    (
        "expected call",
        simply("{% call %} calls nothing", "Name a macro, as in {% call box() %}", "call"),
    ),
    (
        "When defining macros",
        simply("a macro cannot name an argument caller", "Call it otherwise"),
    ),
    (
        "(?:unknown Unicode|truncated|illegal|malformed|.*escape)",
        simply(
            "a backslash in quotes begins a code, and this one is none",
            r"Write \\ for a backslash",
            "\\",
        ),
    ),
    (
        "invalid syntax for function call|expected subscript",
        simply("what stands in the brackets cannot be read", "Separate it with commas"),
    ),
    ("Invalid character in identifier", simply("a name holds a strange sign", "Type it anew")),
)


_EXAMPLES = {
    "default": 'default("friend")',
    "divisibleby": "divisibleby(3)",
    "join": 'join(", ")',
    "limit": "limit(40)",
    "replace": 'replace("old", "new")',
    "round": "round(2)",
    "truncate": "truncate(40)",
    "map": 'map("title")',
    "where": 'where(country="KZ")',
    "range": "range(3)",
}
_LISTLESS = (
    r"object is not iterable|argument of type|must be an iterable|argument must be iterable"
    r"|has no len\(\)|Can only get item pairs|not a container or iterable"
)
_MIXED = (
    r"arg must be|must be str|cannot be interpreted as an integer|unsupported operand"
    r"|not supported between|can only concatenate|can't multiply|bad operand type"
    r"|doesn't define __round__|all arguments converted|format string|could not convert"
)
_CELLS_ARE_TEXTS = "Cells are texts: make a number with |int, and put texts together with ~"


def of_failure(fault: Exception) -> TemplateFault:
    """Why a template that can be read fails for a person."""
    if isinstance(fault, RecursionError):
        return TemplateFault("the template calls itself without end", "Take one of the calls out")
    if isinstance(fault, ZeroDivisionError):
        return TemplateFault(
            "a number is divided by zero", "Ask with {% if %} first whether it is zero"
        )
    if isinstance(fault, OverflowError):
        return TemplateFault("a number is too large", "Reckon with smaller ones")
    message = (getattr(fault, "message", None) or str(fault) or type(fault).__name__).rstrip(".")
    for pattern, say in _FAILURES:
        if found := re.search(pattern, message, re.DOTALL):
            return say(found, message)
    is_text = not isinstance(fault, TemplateError | TypeError)
    what = "this cannot be worked out" + (f": {message}" if is_text else "")
    return TemplateFault(what, "Compare it with docs/write-a-letter.md")


_KINDS = {"str": "a text", "Markup": "a text", "int": "a number", "float": "a number"}
_KINDS |= {"list": "a list", "tuple": "a list", "dict": "a list of pairs"}
_KINDS |= {"bool": "a yes or no", "None": "an empty value"}


def _no_such(found: re.Match[str], message: str) -> TemplateFault:
    del message
    thing, kind, name = found[1].rpartition(".")[2], found[2], found[3].strip("'")
    if kind == "element":
        what = f"there is nothing at [{name}]"
        return TemplateFault(what, "Count from 0, and ask with {% if %} first how many there are")
    if thing == "LoopContext":
        hint = "Known are loop.index, loop.first and loop.last"
        return TemplateFault(f"there is no loop.{name}", hint, f"loop.{name}")
    what = f"{_KINDS.get(thing, thing)} has no {name}"
    hint = "Write recipient.COLUMN for a column, and |FILTER for a filter such as upper"
    return TemplateFault(what, hint, name)


def _of_calls(found: re.Match[str], message: str) -> TemplateFault:
    """A filter, a test or a macro that is given too much or too little."""
    name = found[1].rpartition(".")[2]
    name = "listed" if name == "in_a_row" else re.sub(r"^(?:do_|test_|sync_do_|_)", "", name)
    is_less = "missing" in message or "at least" in message
    what = f"{name} needs more in its brackets" if is_less else f"{name} is given too much"
    return TemplateFault(what, f"Write it as {_EXAMPLES.get(name, name)}", name)


def _undefined(found: re.Match[str], message: str) -> TemplateFault:
    del message
    name = found[1]
    if name == "loop":
        return TemplateFault("loop is there only within {% for %}", "Move it into the loop", name)
    return TemplateFault(f"there is no {name} here", "Take it out", name)


def _mixed(found: re.Match[str], message: str) -> TemplateFault:
    del found
    if "LetterDate" in message:
        hint = "Write the day itself, or reply_by: 14 days in the front matter"
        return TemplateFault("a day cannot be reckoned with", hint)
    if "Named" in message:
        return TemplateFault(
            "this needs a field, such as title", 'Take it out first, with map("title")'
        )
    what = "a text stands where a number is needed, or a number in place of a text"
    return TemplateFault(what, _CELLS_ARE_TEXTS)


def _forbidden(found: re.Match[str], message: str) -> TemplateFault:
    del message
    what = f"a letter cannot use .{found[1]}"
    return TemplateFault(what, "Use a filter such as upper, replace or truncate", found[1])


_FAILURES: tuple[Rule, ...] = (
    (r"access to attribute '(\w+)'", _forbidden),
    (r"^'?([\w.]+?)'?(?: object)?'? has no (attribute|element) (.+)$", _no_such),
    (r"^(\w+) has no (\w+)$", simply(r"there is no \1.\2", "Write a field that it has")),
    (r"^'(\w+)' is undefined", _undefined),
    (
        r"No (filter|test) named '(\w+)'",
        simply(r'there is no \1 "\2"', "Compare it with docs/write-a-letter.md"),
    ),
    (
        r"sequence was empty|arg is an empty sequence",
        simply("the list is empty", "Ask first, as in {% if demands %}"),
    ),
    (r"parameter '(\w+)' was not provided", simply(r"the macro's \1 is not given", "Give it")),
    (
        r"macro '(\w+)' takes",
        simply(r"the macro \1 is given too much", "Give it what it names alone"),
    ),
    (
        r"not enough values to unpack|too many values to unpack|cannot unpack",
        simply("the loop has several names for one thing", "Write one name, as in for x in"),
    ),
    (
        _LISTLESS,
        simply("this is a single value, and no list", "Write a list there, such as demands"),
    ),
    (
        r"object is not callable|not safely callable",
        simply("brackets stand behind what is no function", "Take the brackets out"),
    ),
    (r"(?:type object )?([\w.<>]+)\(\) (?:takes|missing|got)", _of_calls),
    (r"^(\w+) expected at (?:least|most)", _of_calls),
    (
        r"^(map) requires a filter|Missing parameter for attribute",
        simply("map is not told what to take", 'Write it as map("title")', "map"),
    ),
    (r"Unexpected keyword argument '(\w+)'", simply(r"\1= means nothing there", "Take it out")),
    (r"no items for cycling", simply("loop.cycle is given nothing", 'Write loop.cycle("a", "b")')),
    (r"must have the 'recursive' marker", simply("loop is no function", "Write loop.index")),
    (r"slice step cannot be zero", simply("the step of a slice is zero", "Write 1")),
    (_MIXED, _mixed),
)
