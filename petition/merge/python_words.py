"""What Python says of a template that fails for a person, in the words of its author."""

import re

from jinja2 import TemplateError

from petition.merge.jinja_words import Rule, Said, simply

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


def of_failure(fault: Exception) -> Said:
    """Why a template that can be read fails for a person.

    Args:
        fault: What an expression has raised.
    """
    if isinstance(fault, RecursionError):
        return Said("the template calls itself without end", "Take one of the calls out")
    if isinstance(fault, ZeroDivisionError):
        return Said("a number is divided by zero", "Ask with {% if %} first whether it is zero")
    if isinstance(fault, OverflowError):
        return Said("a number is too large", "Reckon with smaller ones")
    message = (getattr(fault, "message", None) or str(fault) or type(fault).__name__).rstrip(".")
    for pattern, say in _FAILURES:
        if found := re.search(pattern, message, re.DOTALL):
            return say(found, message)
    is_text = not isinstance(fault, TemplateError | TypeError)
    what = "this cannot be worked out" + (f": {message}" if is_text else "")
    return Said(what, "Compare it with docs/write-a-letter.md")


_KINDS = {"str": "a text", "Markup": "a text", "int": "a number", "float": "a number"}
_KINDS |= {"list": "a list", "tuple": "a list", "dict": "a list of pairs"}
_KINDS |= {"bool": "a yes or no", "None": "an empty value"}


def _no_such(found: re.Match[str], message: str) -> Said:
    del message
    thing, kind, name = found[1].rpartition(".")[2], found[2], found[3].strip("'")
    if kind == "element":
        what = f"there is nothing at [{name}]"
        return Said(what, "Count from 0, and ask with {% if %} first how many there are")
    if thing == "LoopContext":
        mend = "Known are loop.index, loop.first and loop.last"
        return Said(f"there is no loop.{name}", mend, f"loop.{name}")
    what = f"{_KINDS.get(thing, thing)} has no {name}"
    mend = "Write recipient.COLUMN for a column, and |FILTER for a filter such as upper"
    return Said(what, mend, name)


def _of_calls(found: re.Match[str], message: str) -> Said:
    """A filter, a test or a macro that is given too much or too little."""
    name = found[1].rpartition(".")[2]
    name = "listed" if name == "in_a_row" else re.sub(r"^(?:do_|test_|sync_do_|_)", "", name)
    is_less = "missing" in message or "at least" in message
    what = f"{name} needs more in its brackets" if is_less else f"{name} is given too much"
    return Said(what, f"Write it as {_EXAMPLES.get(name, name)}", name)


def _undefined(found: re.Match[str], message: str) -> Said:
    del message
    name = found[1]
    if name == "loop":
        return Said("loop is there only within {% for %}", "Move it into the loop", name)
    return Said(f"there is no {name} here", "Take it out", name)


def _mixed(found: re.Match[str], message: str) -> Said:
    del found
    if "LetterDate" in message:
        mend = "Write the day itself, or reply_by: 14 days in the front matter"
        return Said("a day cannot be reckoned with", mend)
    if "Named" in message:
        return Said("this needs a field, such as title", 'Take it out first, with map("title")')
    what = "a text stands where a number is needed, or a number in place of a text"
    return Said(what, _CELLS_ARE_TEXTS)


def _forbidden(found: re.Match[str], message: str) -> Said:
    del message
    what = f"a letter cannot use .{found[1]}"
    return Said(what, "Use a filter such as upper, replace or truncate", found[1])


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
