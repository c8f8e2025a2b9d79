"""Terminal output: messages, tables, the letter, progress, JSON, CSV.

Whatever comes from a cell, a file, a server or a mail passes `clean` and reaches rich as `Text`,
never as markup: rich passes escape sequences through, and a cell with brackets in it would be a
style or an error. What a person or a script asked for goes to stdout; progress and errors go to
stderr.
"""

import csv as csv_format
import errno
import json as json_format
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from petition.address import UNSEEN
from petition.errors import (
    CampaignError,
    ExitStatus,
    Level,
    PetitionError,
    Problem,
    UsageError,
    sentence,
)

if TYPE_CHECKING:
    from rich.progress import Progress

_UNBROKEN = 10_000  # columns where there is no terminal: a pipe gets every line whole
NARROWEST = 20  # columns that a cut column has at the least

# Of the 256 colours those that are legible on light and on dark terminals: with a contrast of at
# least 3.9:1 to white and to black, where 4.6:1 is the most that one colour can have. None is
# faint, and what went wrong is bold too.
GOOD, BAD, CARE, NOTE = "good", "bad", "care", "note"
THEME = Theme(
    {
        GOOD: "color(28)",
        BAD: "bold color(196)",
        CARE: "bold color(130)",
        NOTE: "color(31)",
    }
)
STATE_STYLES = {"sent": GOOD, "failed": BAD, "bounced": BAD, "uncertain": CARE}

# A command in a sentence: its options, placeholders, quoted texts, names with a mark inside, and
# the letter behind it, unless that is a word of the sentence.
_COMMAND = re.compile(
    r"""petition\ [a-z]+
    (?:\ (?!(?:and|are|as|asks|can|does|for|has|if|in|is|it|lists?|on|once|or|runs?|says|shows?
        |then|there|they|to|will|with|would)\b)[\w-]+)?
    (?:\ (?:--?[a-z][\w-]*|[A-Z]+(?:\.\.\.)?|\||"[^"]*"|'[^']*'|\w[^\s]*[-.@/:][^\s]*))*""",
    re.VERBOSE,
)
_GLUE = "\ue000"  # in place of a blank at which no line may end

# What begins a line of its own in Markdown: a table, a heading, an item of a list.
_BEGINS = re.compile(r" *(?:[|#]|[-*] |\d+\. )")

_UNSEEN_BUT_LF = re.compile(f"(?!\n){UNSEEN.pattern}")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the beginning of a formula


def clean(text: str, *, lines: bool = False) -> str:
    """A text without anything that a terminal would obey."""
    if not lines:
        return UNSEEN.sub(_picture, text.replace("\t", " "))
    return _UNSEEN_BUT_LF.sub(_picture, text.replace("\r\n", "\n").replace("\t", "    "))


def _picture(found: re.Match[str]) -> str:
    number = ord(found.group())
    if number < 0x20:
        return chr(0x2400 + number)  # Unicode's block Control Pictures
    return "\u2421" if number == 0x7F else f"<U+{number:04X}>"


def harmless(text: str, style: str = "") -> Text:
    """A text of which neither rich nor the terminal obeys anything."""
    return Text(clean(text, lines=True), style)


# ---- words


def when(moment: datetime) -> str:
    """A moment by the person's own clock."""
    local = moment.astimezone()
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}".rstrip()


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 letter`, `2 letters`, `3 people`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def who(name: str, address: str) -> str:
    """A person: `Ann Lee <ann@x.example>`."""
    return clean(f"{name} <{address}>" if name else address)


def rate(letters_a_second: float) -> str:
    """A rate: `12/s`, `30/min`."""
    if letters_a_second >= 1:
        return f"{letters_a_second:,.0f}/s"
    return f"{letters_a_second * 60:.0f}/min" if letters_a_second else ""


def duration(seconds: float) -> str:
    """About how long: `12 s`, `5 min`, `1.5 h`."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


# ---- what a person reads


def say(text: str, style: str = "") -> None:
    """Tell the person something, on stdout."""
    for line in harmless(text, style).split("\n", allow_blank=True) or [harmless("")]:
        _print_indented(line)


def say_whole(text: str) -> None:
    """Tell the person something to be copied, such as an address, and break no line in it."""
    out().print(harmless(text), soft_wrap=True)


def markdown(text: str) -> None:
    """Show a page on a terminal: its paragraphs are wrapped to the width, its code is not."""
    for part in re.split(r"(^```.*?^```$)\n", text, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```"):
            say_whole(part)
        else:
            say("\n".join(_paragraphs(part.removesuffix("\n"))))


def _paragraphs(prose: str) -> list[str]:
    """The lines of Markdown without code, of which each paragraph and each list item is one."""
    lines = [""]
    for line in prose.split("\n"):
        goes_on = line and lines[-1] and not _BEGINS.match(line) and lines[-1][0] not in "|#"
        if goes_on:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return lines[1:]


def say_error(text: str) -> None:
    """Tell the person what went wrong, on stderr."""
    print_text(err(), harmless(text))


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Show headings with what belongs to each."""
    told = [(clean(heading), text) for heading, text in pairs]
    indent = 2 + max((cell_len(heading) for heading, _ in told), default=0)
    for heading, text in told:
        before = harmless("").append(heading.ljust(indent), "bold")
        for line in _wrapped(harmless(text), width() - indent):
            whole = before + line
            whole.rstrip()
            out().print(whole, soft_wrap=True)
            before = harmless(" " * indent)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    cut_last: bool = False,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Show a table, in which columns of numbers are set to the right and None is empty.

    With `cut_last` each row is one line, and what does not fit of its last column is left out.
    Columns of single words, such as addresses to be copied, are not broken if others can be.
    `styles` are rich's for cells with this very text.
    """
    cells = [["" if cell is None else cell for cell in row] for row in rows]
    styles = styles or {}
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    room = width() * 3 // 4  # the rest is for the columns that can be broken
    for at, heading in enumerate(columns):
        column = [row[at] for row in cells]
        has_numbers = any(isinstance(cell, int) for cell in column)
        is_number = has_numbers and all(isinstance(cell, int) or cell == "" for cell in column)
        is_cut = cut_last and at == len(columns) - 1
        longest = 2 + max((cell_len(str(cell)) for cell in column), default=0)
        is_whole = longest <= room and not any(" " in str(cell) for cell in column)
        room -= longest if is_whole else 0
        grid.add_column(
            harmless(heading),
            justify="right" if is_number else "left",
            overflow="ellipsis" if is_cut else "fold",
            no_wrap=is_cut or is_whole,
            max_width=_rest_of_line(columns, cells) if is_cut else None,
        )
    for row in cells:
        grid.add_row(*(harmless(clean(str(cell)), styles.get(str(cell), "")) for cell in row))
    _print_grid(grid)


def width() -> int:
    """How many columns a line of stdout has."""
    return out().width


def fitted(text: str, columns: int) -> str:
    """A text in so many columns of a terminal, cut with a mark where it is longer."""
    fitting = Text(clean(text))
    fitting.truncate(columns, overflow="ellipsis")
    return fitting.plain


def _rest_of_line(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    """How much of a line the columns before the last one leave."""
    before = [
        max(cell_len(clean(str(cell))) for cell in column)
        for column in zip(columns, *rows, strict=True)
    ]
    return max(NARROWEST, out().width - sum(width + 2 for width in before[:-1]))


def letter(headers: Iterable[tuple[str, str]], text: str, attached: Sequence[str]) -> None:
    """Show a letter as a person reads it; on a terminal its merge fields are highlighted."""
    for name, value in headers:
        print_text(
            out(), harmless("").append(f"{clean(name)}: ", "bold").append_text(_marked(value))
        )
    if attached:
        names = ", ".join(clean(name) for name in attached)
        print_text(out(), harmless("").append("Attached: ", "bold").append(names))
    print_text(out(), harmless(""))
    for line in _marked(text.rstrip("\n")).split("\n", allow_blank=True):
        _print_indented(line)
    print_text(out(), harmless(""))


def _marked(text: str) -> Text:
    # Here, since it brings Jinja2, which only the commands that show a letter need.
    from petition.merge.fill import MARK_BEGIN, MARK_END  # noqa: PLC0415

    line = harmless("")
    for at, piece in enumerate(re.split(f"[{MARK_BEGIN}{MARK_END}]", text)):
        # Marks do not nest: every second piece is between two of them.
        line.append_text(harmless(piece, "underline bold" if at % 2 and is_terminal() else ""))
    return line


def clear() -> None:
    """Begin a new screen, on a terminal."""
    out().clear()


def difference(lines: Iterable[str]) -> None:
    """Show a unified diff."""
    styles = {"+": GOOD, "-": BAD, "@": NOTE}
    for line in lines:
        print_text(out(), harmless(clean(line), styles.get(line[:1], "")))


def source(data: bytes) -> None:
    """Show bytes: as they are to a pipe or a file, as harmless text on a terminal."""
    if is_terminal():
        print_text(out(), harmless(data.decode("utf-8", "surrogateescape").rstrip("\r\n")))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def ask(question: str) -> bool:
    """Ask the person at the terminal; anything but y or yes is no."""
    err().print(harmless(f"{question} [y/N] "), end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def can_ask() -> bool:
    """Whether there is a person who sees what is shown and can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def confirm(question: str, undone: str) -> None:
    """Ask the person to confirm; UsageError if not: `undone`, such as "nothing was sent"."""
    if not can_ask():
        what = f"{undone}: there is no terminal to ask you in"
        raise UsageError(what, "Run it in a terminal, or add --yes")
    with interruptible(undone):
        agreed = ask(question)
    if not agreed:
        raise UsageError(f"{undone}: you declined")


def ask_words(question: str, undone: str) -> str:
    """Ask the person for a line of words; UsageError, with what is `undone`, if they write none."""
    with interruptible(undone):
        err().print(harmless(f"{question} "), end="")
        sys.stderr.flush()
        words = sys.stdin.readline().strip()
    if not words:
        raise UsageError(f"{undone}: you gave none")
    return words


@contextmanager
def interruptible(undone: str) -> Iterator[None]:
    """Ask the person something; Ctrl-C ends the program and says what is `undone`."""
    try:
        yield
    except KeyboardInterrupt:
        say_error(f"\n{sentence(undone[:1].upper() + undone[1:])}")
        raise typer.Exit(ExitStatus.INTERRUPTED) from None


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


# ---- consoles


class _Console(Console):
    """A console that leaves it to main.py what to do about a broken pipe."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@cache
def out() -> Console:
    """Where what was asked for is shown."""
    return _console(on_stderr=False)


@cache
def err() -> Console:
    """Where progress and errors are shown."""
    return _console(on_stderr=True)


def _console(*, on_stderr: bool) -> Console:
    is_seen = (sys.stderr if on_stderr else sys.stdout).isatty()
    return _Console(
        stderr=on_stderr,
        # rich would also take FORCE_COLOR for a terminal, and colour would end up in files.
        force_terminal=is_seen,
        width=None if is_seen else _UNBROKEN,
        highlight=False,
        markup=False,
        theme=THEME,
        emoji=False,
    )


def print_text(console: Console, text: Text) -> None:
    """Print a text, wrapped to a terminal's width."""
    lines = _wrapped(text, console.width) if console.is_terminal else [text]
    for line in lines:
        # Rich would cut a long line, and pad the lines of a pipe.
        console.print(line, soft_wrap=True)


def _print_indented(line: Text) -> None:
    """One line; where it is wrapped, the rest stays under its beginning."""
    indent = len(line.plain) - len(line.plain.lstrip(" "))
    if indent and out().is_terminal:
        for part in _wrapped(line[indent:], out().width - indent):
            out().print(line[:indent] + part, soft_wrap=True)
    else:
        print_text(out(), line)


def _wrapped(text: Text, columns: int) -> list[Text]:
    """The lines of a text in so many columns; none ends within a command, which is to be copied."""
    if text.plain.startswith("petition "):  # a command alone, which the terminal itself breaks
        return [text]
    glued = text.copy()
    glued.plain = _COMMAND.sub(
        lambda found: found[0].replace(" ", _GLUE) if len(found[0]) < columns else found[0],
        text.plain,
    )
    lines = list(glued.wrap(out(), columns)) or [glued]
    for line in lines:
        line.plain = line.plain.replace(_GLUE, " ").rstrip()
    return lines


def _print_grid(grid: Table) -> None:
    console = out()
    with console.capture() as drawn:
        console.print(grid)
    # rich fills the last column with blanks, which a pipe would carry along.
    sys.stdout.write("".join(line.rstrip() + "\n" for line in drawn.get().splitlines()))


# ---- progress


@contextmanager
def counter(label: str) -> Iterator[Callable[[int], None]]:
    """Counts on stderr while a list of more than 1,000 rows is read: on a terminal alone."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    status = err().status("")

    def show(count: int) -> None:
        if count >= 1_000:
            status.update(harmless(f"{label}: {count:,}"))
            status.start()

    try:
        yield show
    finally:
        status.stop()


def bar() -> "Progress":
    """A progress bar on stderr; its one task has a field `tally`."""
    # Here, since it takes as long to import as the rest of rich.
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn  # noqa: PLC0415

    class Done(ProgressColumn):
        """How many of them there are."""

        def render(self, task: Task) -> Text:
            return harmless(f"{task.completed:,.0f} of {task.total or 0:,.0f}:")

    class Pace(ProgressColumn):
        """How many a second, and the time that the rest will take."""

        max_refresh = 0.5  # seconds: figures that jump cannot be read

        def render(self, task: Task) -> Text:
            if not task.speed or task.finished:
                return harmless(rate(task.finished_speed or 0) if task.finished else "")
            left = duration(task.time_remaining or 0)
            return harmless(f"{rate(task.speed)}, {left} left")

    return Progress(
        BarColumn(bar_width=None),
        Done(),
        TextColumn("{task.fields[tally]}", markup=False),
        Pace(),
        console=err(),
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


# ---- what a script reads


def json(values: Mapping[str, object]) -> None:
    """Write an object as JSON, on stdout; an iterator in it is written as a list, as it comes."""
    divider = "{\n  "
    for name, value in values.items():
        _write_json(f"{divider}{_dumped(name)}: ")
        divider = ",\n  "
        if isinstance(value, Iterator):
            _write_json_list(value)
        else:
            _write_json(_dumped(value, indent=2).replace("\n", "\n  "))
    _write_json("\n}\n")


def json_of(problem: Problem) -> dict[str, object]:
    """A problem as a script reads it."""
    names = ("file", "line", "what", "hint", "level")
    return {name: getattr(problem, name) for name in names}


def json_error(error: PetitionError) -> None:
    """Write why a command ended as one line of JSON on stdout, unless other JSON was begun."""
    if _JSON.is_begun:
        return
    if isinstance(error, CampaignError):
        found = [json_of(problem) for problem in error.problems]
    else:
        what = {"file": None, "line": None, "what": error.what, "hint": error.hint}
        found = [{**what, "level": Level.ERROR}]
    json_line({"problems": found})


def json_line(value: object) -> None:
    """Write a value as JSON in one line that a script can read while the command runs on."""
    sys.stdout.write(_dumped(value) + "\n")
    sys.stdout.flush()


def _write_json_list(values: Iterator[object]) -> None:
    divider = "[\n    "
    for value in values:
        _write_json(divider + _dumped(value))
        divider = ",\n    "
    _write_json("[]" if divider.startswith("[") else "\n  ]")


def csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV, on stdout, with nothing that a spreadsheet would compute."""
    writer = csv_format.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])


class _JSON:
    """Whether stdout holds JSON already, to which nothing can be added."""

    is_begun = False


def _write_json(text: str) -> None:
    _JSON.is_begun = True
    sys.stdout.write(text)


def _dumped(value: object, indent: int | None = None) -> str:
    """JSON in which every control character is written as its escape (RFC 8259 7)."""
    is_unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json_format.dumps(value, ensure_ascii=not is_unicode, indent=indent)
    return _UNSEEN_BUT_LF.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
