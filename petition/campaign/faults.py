"""What pydantic finds wrong with a setting or a front matter, in the words of its author."""

import re
from collections.abc import Callable
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from petition.campaign.names import nearest, quoted
from petition.errors import PetitionError, Problem

KeyPath = tuple[str | int, ...]

_OWN = "petition"

# pydantic's kind of error -> what to say behind the key, and how to mend it.
_WORDS: list[tuple[str, str, str]] = [
    ("string_type", "must be a text", "Put it in quotes"),
    ("string_too_short", "is empty", "Write something, or leave the key out"),
    ("(int|float)_.*", "must be a number", "Write a number without quotes"),
    ("(list|tuple)_type", "must be a list", "Put it in square brackets"),
    ("(model|dict)_.*type", "must be a table", "Write it as a [table] with keys under it"),
    ("greater_than_equal", "must be at least {ge:g}", "Correct it"),
    ("greater_than", "must be more than {gt:g}", "Correct it"),
    ("less_than_equal", "must be at most {le:g}", "Correct it"),
    ("too_long", "holds more than {max_length}", "Shorten it"),
    ("too_short", "is empty", "Write something, or leave the key out"),
]


def fault(what: str, mend: str) -> PydanticCustomError:
    """An error for a validator to raise.

    Args:
        what: What is wrong with the value, as a clause that stands behind "key: ".
        mend: How to mend it.
    """
    return PydanticCustomError(_OWN, "{what}", {"what": what, "mend": mend})


def fault_of(refusal: PetitionError) -> PydanticCustomError:
    """The error for a validator to raise where one of our own was raised beneath it."""
    return fault(refusal.what, refusal.mend)


class Faults:
    """Turns pydantic's errors about one document into problems.

    Args:
        model: The model that was to be made.
        file: The document's file.
        line_of: The line of a key by its path.
        place: How the place of a key is called, by the path of the table around it.
    """

    def __init__(
        self,
        model: type[BaseModel],
        file: str,
        line_of: Callable[[KeyPath], int | None],
        place: Callable[[KeyPath], str],
    ) -> None:
        self._model = model
        self._file = file
        self._line_of = line_of
        self._place = place

    def problems(self, error: ValidationError) -> list[tuple[KeyPath, Problem]]:
        """The problems of a validation error, with the path of the key that each is about."""
        details = error.errors(include_url=False)
        unknown = {detail["loc"] for detail in details if detail["type"] == "extra_forbidden"}
        meant = {(*path[:-1], self._near(path)) for path in unknown}
        return [
            (detail["loc"], self._problem(detail["loc"], detail))
            for detail in details
            # A misspelt key is not missing as well, and a wrong title makes no id.
            if not (detail["type"] == "missing" and detail["loc"] in meant)
            and detail["type"] != "default_factory_not_called"
        ]

    def _problem(self, path: KeyPath, detail: ErrorDetails) -> Problem:
        if detail["type"] == "extra_forbidden":
            what, mend = self._unknown(path, is_table=isinstance(detail["input"], dict))
        elif detail["type"] == "missing":
            what, mend = self._missing(path)
        else:
            what, mend = _wrong(detail)
            what = f"{self._called(path)}{what}"
        keys = [part for part in path if isinstance(part, str) and part != "[key]"]
        mark = keys[-1] if keys and detail["type"] != "missing" else None
        if isinstance(path[-1] if path else None, int) and isinstance(detail["input"], str):
            mark = detail["input"]
        return Problem(self._file, self._line_of(path), what, mend, mark=mark)

    def _called(self, path: KeyPath) -> str:
        names = [part for part in path if isinstance(part, str) and part != "[key]"]
        place = self._place(tuple(names[:-1]))
        return f"{names[-1]}{place}" if names else "the document"

    def _unknown(self, path: KeyPath, *, is_table: bool) -> tuple[str, str]:
        table, key = path[:-1], str(path[-1])
        known = list(known_keys(self._model, table))
        what = f"unknown {'table' if is_table else 'key'} {quoted(key)}{self._place(table)}"
        if near := self._near(path):
            return what, f'Did you mean "{near}"'
        if elsewhere := self._table_with(key):
            return what, f"It belongs{self._place((elsewhere,))}"
        return what, f"Leave it out; known here are {', '.join(known)}"

    def _near(self, path: KeyPath) -> str | None:
        return nearest(str(path[-1]), known_keys(self._model, path[:-1]))

    def _missing(self, path: KeyPath) -> tuple[str, str]:
        table, key = path[:-1], str(path[-1])
        field = known_keys(self._model, table)[key]
        example = field.examples[0] if field.examples else "..."
        return f'"{key}" is missing{self._place(table)}', f"Write {example}"

    def _table_with(self, key: str) -> str | None:
        tables = known_keys(self._model, ())
        return next((name for name in tables if key in known_keys(self._model, (name,))), None)


def known_keys(model: type[BaseModel], table: KeyPath) -> dict[str, Any]:
    """The keys that a table may have, with their pydantic fields.

    Args:
        model: The model of the whole document.
        table: The path of the table.
    """
    here: object = model
    for part in table:
        fields = _fields(here)
        here = fields[part].annotation if part in fields else _value_type(here)
    return _fields(here)


def _fields(annotation: object) -> dict[str, Any]:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return {field.alias or name: field for name, field in kind.model_fields.items()}
    return {}


def _value_type(annotation: object) -> object:
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def _wrong(detail: ErrorDetails) -> tuple[str, str]:
    context = detail.get("ctx", {})
    if detail["type"] == _OWN:
        return f": {context['what']}", context["mend"]
    if detail["type"] == "literal_error":
        given = detail["input"]
        return _wrong_word(given if isinstance(given, str) else "", context["expected"])
    for kind, what, mend in _WORDS:
        if re.fullmatch(kind, detail["type"]):
            return f" {what.format(**context)}", mend
    return f": {detail['msg']}", "Correct it"


def _wrong_word(text: str, expected: str) -> tuple[str, str]:
    what = f": {quoted(text) if text else 'this'} is not {expected.replace(chr(39), chr(34))}"
    near = nearest(text, re.findall("'([^']*)'", expected))
    return what, f'Did you mean "{near}"' if near else "Write one of them"
