"""A letter's front matter as YAML with lines; the only door to PyYAML.

YAML's guesses are not wanted here (`no` is not False, 2015-10-01 is a text that we read ourselves),
nor its tags, which can make objects, nor its aliases, which can make a small file endless: only
texts, lists and mappings are built.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from petition.campaign.names import quoted

_LIMIT = 20_000  # characters: PyYAML is slow, and a front matter is a few lines

_BRACKETS = 200  # 5,000 of them in a row take PyYAML 5 s


class FrontMatterRefused(Exception):
    """A front matter cannot be read.

    Args:
        line: The line in the letter's file.
        what: What is wrong.
        mend: How to mend it.
    """

    def __init__(self, line: int, what: str, mend: str) -> None:
        super().__init__(what)
        self.line, self.what, self.mend = line, what, mend


@dataclass(frozen=True, slots=True)
class SplitLetter:
    """A letter's file in its two parts.

    Args:
        values: The front matter: texts, lists and mappings.
        lines: The line of each key.
        body: What stands below it.
        body_line: The line of the body's first line.
    """

    values: dict[str, Any]
    lines: dict[str, int]
    body: str
    body_line: int


def split_letter(text: str) -> SplitLetter:
    """The front matter and the body of a letter.

    Args:
        text: The file's text with LF line ends.

    Raises:
        FrontMatterRefused: There is none, it is not closed, or it is no mapping of YAML.
    """
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        mend = 'Begin it with a line ---, then subject: "...", then a line ---'
        raise FrontMatterRefused(1, "has no front matter", mend)
    end = next((at for at, line in enumerate(lines) if at and line.rstrip() == "---"), None)
    if end is None:
        raise FrontMatterRefused(1, "the front matter does not end", "Put a line --- behind it")
    values, keys = _mapping("\n".join(lines[1:end]))
    return SplitLetter(values, keys, "\n".join(lines[end + 1 :]), end + 2)


def _mapping(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    if len(text) > _LIMIT:
        what = f"the front matter is longer than {_LIMIT:,} characters"
        raise FrontMatterRefused(1, what, "Shorten it")
    if text.count("[") + text.count("{") > _BRACKETS:
        raise FrontMatterRefused(1, "the front matter has too many brackets", "Take some out")
    try:
        _refuse_aliases(text)
        loader = yaml.BaseLoader(text)
        node = loader.get_single_node()
        lines = _key_lines(node)
        return loader.construct_document(node) if lines else {}, lines
    except yaml.MarkedYAMLError as why:
        mark = why.problem_mark or why.context_mark
        line = mark.line + 2 if mark else 1
        raise FrontMatterRefused(line, f"this is not YAML: {_reason(why)}", _MEND) from None
    except yaml.reader.ReaderError as why:
        line = text.count("\n", 0, why.position) + 2
        what = f"holds the unseen character U+{why.character:04X}"
        raise FrontMatterRefused(line, what, "Type the line anew") from None
    except (RecursionError, ValueError, OverflowError):
        raise FrontMatterRefused(1, "this is not YAML", _MEND) from None


def _refuse_aliases(text: str) -> None:
    for token in yaml.scan(text, Loader=yaml.BaseLoader):
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
            mend = "Put a value that begins with & or * in quotes"
            raise FrontMatterRefused(token.start_mark.line + 2, "& and * have no use here", mend)


def _key_lines(node: yaml.Node | None) -> dict[str, int]:
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise FrontMatterRefused(node.start_mark.line + 2, "the front matter has no keys", _MEND)
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 2
        if not isinstance(key, yaml.ScalarNode):
            raise FrontMatterRefused(line, "this is not a key", _MEND)
        if key.value in lines:
            what = f"{quoted(key.value)} stands in line {lines[key.value]} as well"
            raise FrontMatterRefused(line, what, "Delete one of the two")
        lines[key.value] = line
    return lines


def _reason(why: yaml.MarkedYAMLError) -> str:
    return " ".join(str(why.problem or why.context).split())


_MEND = 'Write lines of key: value, and put a value that holds ": " or begins with a sign in quotes'
