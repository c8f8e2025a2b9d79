"""What a shell offers when Tab is pressed behind `petition`.

It is asked at every Tab, in whatever folder: it loads no command, runs nothing, writes nothing,
connects to nothing, and says nothing but what can be written there. What it knows of the commands
is in completions.json, which scripts/completions.py makes.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

WORDS = "PETITION_WORDS"  # the words of PowerShell, which cannot hand over every argument

FILES, FOLDERS = 10, 11  # exit statuses: the shell completes names of files or folders itself

# Lists beyond this are left out: reading them would take longer than a person waits for Tab.
_LIST_LIMIT = 1_000_000  # bytes of all lists; some 25,000 people take a quarter of a second
_COMPRESSED = 10  # as so many bytes a byte of a spreadsheet counts
_ENTRIES = 10_000  # of a folder
_SIGNATORIES = "signatories"  # a list that no letter goes to
_PLAIN = re.compile(r"[\w@%+=:,./-]")


class Candidate(NamedTuple):
    """A word that could stand here, and what it means."""

    word: str
    meaning: str = ""


class NamesWanted(Exception):
    """The name of a file or a folder is wanted."""

    def __init__(self, status: int) -> None:
        self.status = status


def answer(shell: str = "", *arguments: str) -> int:
    """Write what could stand at the end of a command line, as a shell's script expects it.

    `arguments` are the words behind `petition`, the last one unfinished; of bash, the line up to
    the cursor and what is replaced of it. Returns the exit status: FILES, FOLDERS or 0.
    """
    with suppress(Exception):  # whatever is wrong with the folder: there is nothing to offer
        if shell == "bash":
            lines = _for_bash(*arguments)
        else:
            words = (
                os.environ.get(WORDS, "").split("\n") if shell == "powershell" else list(arguments)
            )
            lines = map(_zsh_line if shell == "zsh" else _line, candidates(words))
        try:
            written = "".join(f"{line}\n" for line in lines)
        except NamesWanted as wanted:
            return wanted.status
        sys.stdout.buffer.write(written.encode())
        sys.stdout.buffer.flush()
    return 0


def candidates(words: list[str]) -> Iterator[Candidate]:
    """What could be written in place of the last word; NamesWanted if it is a file or folder."""
    *before, last = words
    table = json.loads(Path(__file__).with_name("completions.json").read_text(encoding="utf-8"))
    at = _Position(table)
    for word in before:
        at.go_on(word)
    prefix = ""
    kind = at.value_of()
    if kind is None and not at.is_ended and last.startswith("-"):
        name, is_value, _ = last.partition("=")
        option = at.option(name) if is_value else None
        if not option:
            found: Iterable[Candidate] = at.names()
        elif option["values"] != 1:
            return
        else:
            kind, prefix = option["kind"], f"{name}="
    if kind is None and not prefix and (at.is_ended or not last.startswith("-")):
        kind = at.argument()
        found = at.names() if kind is None and not at.is_ended else ()
    if kind is not None:
        found = _of_kind(kind, at.folder, last.removeprefix(prefix))
    for one in found:
        if f"{prefix}{one.word}".startswith(last):
            yield Candidate(f"{prefix}{one.word}", one.meaning)


class _Position:
    """Where the last word stands: which options and arguments are before it."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table
        self._here = table["program"]
        self._is_program = True
        self._given = 0  # arguments
        self._values: list[Any] = []  # kinds of the values that the last option still wants
        self._used: set[str] = set()
        self.is_ended = False  # by "--": no options follow
        self.folder = Path()

    def go_on(self, word: str) -> None:
        """Take a word that is finished."""
        if self._values:
            kind, *self._values = self._values
            self._see(kind, word)
        elif word == "--":
            self.is_ended = True
        elif word.startswith("-") and word != "-" and not self.is_ended:
            self._take_option(word)
        elif self._is_program:
            self._here = self._table["commands"].get(word, {"arguments": [], "options": []})
            self._is_program = False
        else:
            self._given += 1

    def _take_option(self, word: str) -> None:
        name, is_value, value = word.partition("=")
        if not word.startswith("--"):  # -Cdir
            name, value = word[:2], word[2:]
            is_value = value
        if option := self.option(name):
            self._used.update(option["names"])
            self._values = [option["kind"]] * option["values"]
            if is_value and self._values:
                kind, *self._values = self._values
                self._see(kind, value)

    def _see(self, kind: object, value: str) -> None:
        if self._is_program and kind == "folder":  # -C DIR
            self.folder = Path(value).expanduser()

    def option(self, name: str) -> dict[str, Any] | None:
        """An option of this command."""
        return next((one for one in self._here["options"] if name in one["names"]), None)

    def names(self) -> Iterator[Candidate]:
        """The options that were not given yet, or can be given again."""
        for one in self._here["options"]:
            if one["values"] or self._used.isdisjoint(one["names"]):
                yield Candidate(one["names"][-1], one["help"])  # the long one

    def value_of(self) -> Any:  # noqa: ANN401 (a kind, as in the table)
        """The kind of the value that the option before wants, or None."""
        return self._values[0] if self._values else None

    def argument(self) -> Any:  # noqa: ANN401
        """The kind of the argument that stands here, or None."""
        if self._is_program:
            return {name: one["help"] for name, one in self._table["commands"].items()}
        arguments = self._here["arguments"]
        if self._given < len(arguments):
            return arguments[self._given]["kind"]
        if arguments and arguments[-1]["repeats"]:
            return arguments[-1]["kind"]
        return None


def _of_kind(kind: Any, folder: Path, begun: str) -> Iterable[Candidate]:  # noqa: ANN401
    """The words of a kind in a campaign folder."""
    if isinstance(kind, dict):
        return [Candidate(*one) for one in kind.items()]
    if isinstance(kind, list):
        return map(Candidate, kind)
    if kind in {"file", "folder"}:
        raise NamesWanted(FILES if kind == "file" else FOLDERS)
    if kind == "letter" and "/" in begun:
        raise NamesWanted(FILES)
    find: Callable[[Path], Iterable[Candidate]] | None = {
        "letter": _letters,
        "person": _people,
        "address": _addresses,
        "demand": _demands,
    }.get(kind)
    return _harmless(find(folder)) if find else ()


def _harmless(found: Iterable[Candidate]) -> Iterator[Candidate]:
    """Those that are one word and no option; without characters that a terminal obeys."""
    from petition.address import UNSEEN  # noqa: PLC0415 (commands and options do not need it)

    for one in dict.fromkeys(found):
        if one.word and not one.word.startswith("-") and not UNSEEN.search(one.word):
            yield Candidate(one.word, UNSEEN.sub("\N{REPLACEMENT CHARACTER}", one.meaning))


def _letters(folder: Path) -> Iterator[Candidate]:
    from petition.campaign.names import DEMANDS, LETTER_FILE, LETTERS_FOLDER  # noqa: PLC0415

    with os.scandir(folder / LETTERS_FOLDER) as entries:
        names = sorted(entry.name for entry in islice(entries, _ENTRIES))
    for name in names:
        if (found := LETTER_FILE.fullmatch(name)) and found["name"] != DEMANDS:
            yield Candidate(found["name"])


def _people(folder: Path) -> Iterator[Candidate]:
    for one in _known(folder):
        yield Candidate(one.address, one.name)
        yield Candidate(one.id, one.name or one.address)


def _addresses(folder: Path) -> Iterator[Candidate]:
    for one in _known(folder):
        yield Candidate(one.address, one.name)


def _known(folder: Path) -> Iterator[Any]:
    """Everybody on the lists that letters go to."""
    import tomllib  # noqa: PLC0415

    from petition.campaign.people import open_people  # noqa: PLC0415
    from petition.campaign.text_file import find_file, read_text  # noqa: PLC0415

    text = read_text(folder, "petition.toml", [])
    if text is None:
        return
    left = _LIST_LIMIT
    lists = {"recipients": "recipients.csv", **tomllib.loads(text).get("people", {})}
    for name, file in lists.items():
        if name in {_SIGNATORIES, "hidden", "encoding"} or not isinstance(file, str):
            continue
        inner, sheet, _ = file.partition("#")
        path = find_file(folder, inner, [])
        if path is None:
            continue
        is_sheet = sheet or path.suffix.lower() in {".xlsx", ".ods"}
        size = path.stat().st_size * (_COMPRESSED if is_sheet else 1)
        if size > left:
            continue
        left -= size
        with suppress(Exception):  # the other lists can still be read
            if people := open_people(folder, file, []):
                yield from people.known()


def _demands(folder: Path) -> Iterator[Candidate]:
    from petition.campaign.letter import read_demands  # noqa: PLC0415
    from petition.campaign.names import DEMANDS, LETTERS_FOLDER  # noqa: PLC0415

    for one in read_demands(folder, f"{LETTERS_FOLDER}/{DEMANDS}.md", [], is_default=True):
        yield Candidate(one.id, one.title)


# ---- what each shell expects


def _line(one: Candidate) -> str:
    """Of fish and PowerShell: a word, a tab, its meaning."""
    return f"{one.word}\t{one.meaning}" if one.meaning else one.word


def _zsh_line(one: Candidate) -> str:
    """Of zsh, for its function _describe: a word, a colon, its meaning."""
    word = re.sub(r"([\\:])", r"\\\1", one.word)
    return f"{word}:{one.meaning}" if one.meaning else word


def _for_bash(line: str, replaced: str) -> Iterator[str]:
    """Of bash: words as they are typed, without what stands before the part that is replaced.

    bash begins a word anew at "@", "=" and ":", and inserts what it gets as it is.
    """
    words, raw, quote = _split(line)
    before = raw.removesuffix(replaced) if replaced else raw
    if quote:  # the quotation mark is not replaced either
        before = before.partition(quote)[2] if before.startswith(quote) else before
    for one in candidates(words[1:]):
        typed = _typed(one.word, quote)
        # In double quotes nothing keeps "!" from being taken for a command of the history.
        if typed.startswith(before) and not (quote == '"' and "!" in typed):
            yield typed.removeprefix(before)


def _typed(word: str, quote: str) -> str:
    """A word as it is typed in bash, within an open quotation mark or without one."""
    if quote == "'":
        return word.replace("'", "'\\''")
    if quote:
        return re.sub(r'([$`"\\])', r"\\\1", word)
    return "".join(char if _PLAIN.fullmatch(char) else f"\\{char}" for char in word)


def _split(line: str) -> tuple[list[str], str, str]:
    """The words of a line of bash, the last one as it was typed, and its open quotation mark."""
    words, word, start, quote, is_escaped = list[str](), "", 0, "", False
    is_begun = False
    for at, char in enumerate(line):
        if is_escaped:
            kept = "\\" if quote and char not in '$`"\\' else ""
            word, is_escaped = word + kept + char, False
        elif char == "\\" and quote != "'":
            is_begun, is_escaped = True, True
        elif quote:
            word, quote = (word, "") if char == quote else (word + char, quote)
        elif char in "\"'":
            is_begun, quote = True, char
        elif char.isspace():
            if is_begun:
                words.append(word)
            word, start, is_begun = "", at + 1, False
        else:
            word, is_begun = word + char, True
    return [*words, word], line[start:], quote
