"""Numbers as a cell shows them: the format codes of spreadsheets (ECMA-376-1, 18.8.30 and 18.8.31).

Digits, grouping, decimals, percentages, currencies and other text around them are understood; what
a workbook leaves to the machine (the signs for decimals and thousands) is as in English. Dates are
none of its business, and a number with exponents or fractions is shown in full.
"""

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from math import isfinite

# The codes that a workbook does not write down; those of currencies and dates are left out, for
# they differ by country.
_BUILT_IN = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    9: "0%",
    10: "0.00%",
    37: "#,##0 ;(#,##0)",
    38: "#,##0 ;(#,##0)",
    39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)",
    41: "#,##0;-#,##0",
    43: "#,##0.00;-#,##0.00",
}
_CODE_LENGTH = 255  # of Excel
_EXACT = Context(prec=700, rounding=ROUND_HALF_UP)  # more digits than number and format have
_DECIMALS = 10  # of a number without a format
_SMALL = Decimal("0.0001")
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)[^\]]*\]'
    r"|\[(?:Black|Blue|Cyan|Green|Magenta|Red|White|Yellow|Color ?\d+)\]"
    r"|(?P<digit>[0#?])|(?P<point>\.)|(?P<group>,)|(?P<percent>%)"
    r"|(?P<sign>[-+$€£¥(): ']|[^\x00-\x7f])",
    re.IGNORECASE,
)
_IS_TIME = re.compile(r"[hH].*[mM]")
_UNSHOWN = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')  # in which letters have no meaning


def plain_number(value: float) -> str:
    """A number without a format: at most 15 digits and, unless it is small, 10 decimals.

    What comes after them is noise: 10 - 9.9 is 0.0999999999999996, and every sheet shows 0.1.
    """
    if not isfinite(value):
        return str(value)
    exact = Decimal(f"{value + 0:.15g}")
    if _SMALL <= abs(exact) < 10**15:
        exact = Decimal(f"{round(exact, _DECIMALS).normalize():f}")
    return format(exact, "f")


@lru_cache(maxsize=1024)
def code_of(number: int, written: str | None) -> str | None:
    """The code of a format by its number and the code that the workbook has for it, if we know it.

    Returns: None if a number is shown in full, or the format is one of a date.
    """
    code = _BUILT_IN.get(number, "") if written is None else written
    if not code or len(code) > _CODE_LENGTH:
        return None
    is_known = all(_is_known(section) for section in _sections(code)[:3])
    return code if is_known or shows_no_seconds(code) else None


def shows_no_seconds(code: str) -> bool:
    """Whether a format is that of a time of the day in hours and minutes."""
    letters = _UNSHOWN.sub("", code)
    return bool(_IS_TIME.search(letters)) and not re.search("[sdySDY]", letters)


def shown_number(value: float, code: str) -> str:
    """A number in a format."""
    if not isfinite(value) or shows_no_seconds(code):
        return plain_number(value)
    sections = _sections(code)
    number, sign = Decimal(f"{value:.15g}"), ""
    section = sections[0]
    if value < 0 and len(sections) > 1:
        section, number = sections[1], -number
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    elif value < 0:
        sign, number = "-", -number
    shown = _filled(section, number)
    return sign + shown if re.search("[1-9]", shown) else shown


def _sections(code: str) -> list[str]:
    return re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', code)


def _is_known(section: str) -> bool:
    rest = _TOKEN.sub("", section)
    return not rest and section.lower() != "general"


def _filled(section: str, number: Decimal) -> str:
    """The digits of a number in the places of a section."""
    tokens = list(_tokens(section))
    kinds = [kind for kind, _ in tokens]
    places = [at for at, kind in enumerate(kinds) if kind == "digit"]
    if not places:
        return "".join(text for kind, text in tokens if kind == "text").strip()
    point = kinds.index("point") if "point" in kinds else len(kinds)
    whole = [at for at in places if at < point]
    last = whole[-1] if whole else -1
    groups = [at for at, kind in enumerate(kinds) if kind == "group"]
    thousands = sum(1 for at in groups if places[-1] < at or last < at < point)
    number = number.scaleb(2 * kinds.count("percent") - 3 * thousands, _EXACT)
    decimals = len(places) - len(whole)
    rounded = number.quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
    digits, _, fraction = format(rounded, "f").partition(".")
    shown = dict(_whole_digits(digits.lstrip("0"), whole, tokens, any(at < last for at in groups)))
    optional = {at for at in places if tokens[at][1] != "0"}
    for at, digit in zip(reversed(places[len(whole) :]), reversed(fraction), strict=True):
        is_left_out = at in optional and digit == "0"
        optional = optional if is_left_out else set()
        shown[at] = "" if is_left_out else digit
    text = "".join(
        shown.get(at, "") if kind == "digit" else "" if kind == "group" else part
        for at, (kind, part) in enumerate(tokens)
    )
    return text.strip()


def _whole_digits(
    digits: str, places: list[int], tokens: list[tuple[str, str]], is_grouped: bool
) -> Iterator[tuple[int, str]]:
    """What stands in each place before the decimal point."""
    count = 0  # digits so far, from the right
    for at in reversed(places):
        here = len(digits) if at == places[0] else 1
        mine, digits = digits[len(digits) - here :], digits[: max(len(digits) - here, 0)]
        mine = mine or ("0" if tokens[at][1] == "0" else "")
        text = ""
        for digit in reversed(mine):
            text = digit + ("," if is_grouped and count and count % 3 == 0 else "") + text
            count += 1
        yield at, text


def _tokens(section: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(section):
        match found.lastgroup:
            case "digit" | "point" | "group" | "percent" as kind:
                yield kind, found.group()
            case "quoted" | "escaped" | "currency" | "sign" as kind:
                yield "text", found[kind]
