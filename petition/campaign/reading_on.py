"""Makes settings in spite of their faults, so that those of other files are found as well."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from petition.campaign.faults import Faults, KeyPath
from petition.errors import Problem

Model = TypeVar("Model", bound=BaseModel)
StandIns = Mapping[tuple[str, ...], Any]


def read_on(
    model: type[Model], document: dict[str, Any], faults: Faults, stand_ins: StandIns
) -> tuple[Model, list[Problem]]:
    """A model of a document, and everything that is wrong with the document.

    Each round takes out what was found wrong, and the next one finds what stood behind it.

    Args:
        model: What to make.
        document: What was read; left as it is.
        faults: Words the faults.
        stand_ins: A value for each required key, by its path.

    Returns:
        The model and the problems. Where there are any, the model is there only to look for
        further ones: what was wrong has its default or a stand-in.
    """
    draft = _copy(document)
    problems: list[Problem] = []
    healed: set[KeyPath] = set()
    while True:
        try:
            return model.model_validate(draft), problems
        except ValidationError as error:
            for path, problem in faults.problems(error):
                if not any(path[:depth] in healed for depth in range(len(path) + 1)):
                    problems.append(problem)
            paths = [detail["loc"] for detail in error.errors(include_url=False)]
            healed.update([_heal(draft, path, stand_ins) for path in paths])


def _heal(draft: dict[str, Any], path: KeyPath, stand_ins: StandIns) -> KeyPath:
    """Takes a wrong value out, or puts a stand-in there; the path of what it changed."""
    table, keys = draft, tuple(map(str, path))
    for depth, key in enumerate(keys, start=1):
        if depth == len(keys) and keys in stand_ins:
            stand_in = stand_ins[keys]
            table[key] = _copy(stand_in) if isinstance(stand_in, dict) else stand_in
        elif depth == len(keys) > 1 and key not in table:
            # A required key that nothing stands in for: the table goes with it.
            return _heal(draft, keys[:-1], stand_ins)
        elif depth == len(keys) or not isinstance(table.get(key), dict):
            table.pop(key, None)
            return keys[:depth]
        else:
            table = table[key]
    return keys


def _copy(table: dict[str, Any]) -> dict[str, Any]:
    # Of tables alone: copying lists that are nested deep could run out of stack.
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in table.items()}
