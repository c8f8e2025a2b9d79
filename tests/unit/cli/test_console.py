import csv
import io
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from petition.cli import output
from petition.cli.problems import gathered, show_problems
from petition.errors import Level, Problem

OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
HOSTILE = st.text(alphabet=st.characters() | st.sampled_from("\x1b\x07\x9b\u202e\u2028\ud800[/]\n"))


@given(HOSTILE)
def test_nothing_is_left_that_a_terminal_would_obey(text: str):
    assert not OBEYED.search(output.clean(text))
    assert not OBEYED.search(output.clean(text, lines=True).replace("\n", ""))


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"])))
def test_what_can_be_seen_stays_as_it_is(text: str):
    assert output.clean(text) == text
    assert output.clean(output.clean(text)) == text


def test_what_was_there_can_be_seen():
    assert output.clean("a\x1b[31mb\x07") == "a␛[31mb␇"
    assert output.clean("\x7f\x9b\u202e") == "␡<U+009B><U+202E>"
    assert output.clean("a\nb\tc") == "a␊b c"
    assert output.clean("a\r\nb\rc", lines=True) == "a\nb␍c"


@given(HOSTILE)
def test_json_says_the_same_and_commands_nothing(text: str):
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        output.json({"cell": text})
        output.json({"cells": iter([{"cell": text}])})
        output.json_line({"cell": text})
    assert not OBEYED.search(out.getvalue().replace("\n", ""))
    decoder, rest, found = json.JSONDecoder(), out.getvalue().strip(), []
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    assert found == [{"cell": text}, {"cells": [{"cell": text}]}, {"cell": text}]


def test_json_is_for_people_too(capsys):
    output.json({"name": "Айгүл"})
    assert capsys.readouterr().out == '{\n  "name": "Айгүл"\n}\n'


def test_rows_as_json(capsys):
    output.json({"log": "l", "rows": iter([])})
    assert json.loads(capsys.readouterr().out) == {"log": "l", "rows": []}
    output.json({"rows": ({"n": number} for number in range(3)), "log": {"a": [1]}})
    found = json.loads(capsys.readouterr().out)
    assert found == {"rows": [{"n": 0}, {"n": 1}, {"n": 2}], "log": {"a": [1]}}


@given(st.lists(HOSTILE, min_size=1, max_size=3))
def test_csv_computes_nothing_and_commands_nothing(cells: list[str]):
    columns = [f"c{number}" for number in range(len(cells))]
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        output.csv(columns, [dict(zip(columns, cells, strict=True))])
    assert not OBEYED.search(out.getvalue().replace("\n", ""))
    header, row = csv.reader(io.StringIO(out.getvalue()))
    assert header == columns
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_csv_keeps_numbers_and_leaves_nothing_empty(capsys):
    output.csv(["a", "b"], [{"a": -1, "b": None}])
    assert capsys.readouterr().out == "a,b\n-1,\n"


def test_problems_are_one_line_each(capsys):
    show_problems(
        [
            Problem("recipients.csv", 3, "what\x1b[2J is wrong", "Mend it"),
            Problem("petition.toml", None, "[smtp] looks odd", "Look", Level.WARNING),
        ]
    )
    assert capsys.readouterr().out == (
        "recipients.csv:3: what␛[2J is wrong. Mend it.\n"
        "petition.toml: warning: [smtp] looks odd. Look.\n"
    )
    show_problems([Problem("a", 1, "b", "c")], on_stderr=True)
    assert capsys.readouterr().err == "a:1: b. c.\n"


def test_markup_of_a_cell_is_text(capsys):
    output.say("[bold]Company[/red] Ltd :smile:")
    output.table(["a"], [("[/red] Ltd",)])
    output.facts([("[b]", "[/red]")])
    assert capsys.readouterr().out == (
        "[bold]Company[/red] Ltd :smile:\na\n[/red] Ltd\n[b]  [/red]\n"
    )


def test_a_pipe_gets_whole_lines_without_blanks_at_their_ends(capsys):
    output.say("word " * 100)
    output.table(["number", "text"], [(1, "x" * 200), (22, None)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "word " * 100
    assert lines[1:] == ["number  text", "     1  " + "x" * 200, "    22"]


def test_a_letter_loses_its_marks_where_there_is_no_terminal(capsys):
    output.letter([("To", "Kim <kim@x.example>")], "Dear \x02Kim\x03,\n\n  indented\n", ())
    assert capsys.readouterr().out == ("To: Kim <kim@x.example>\n\nDear Kim,\n\n  indented\n\n")


@pytest.mark.parametrize(
    ("answer", "is_yes"),
    [("y\n", True), (" YES \n", True), ("\n", False), ("no\n", False), ("", False)],
)
def test_anything_but_yes_is_no(answer: str, is_yes: bool, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert output.ask("Send 3 letters now?") is is_yes
    assert capsys.readouterr().err == "Send 3 letters now? [y/N] "


def test_nobody_can_be_asked_without_a_terminal():
    assert not output.can_ask()
    assert not output.is_terminal()


def test_an_address_in_a_table_is_not_broken(monkeypatch, capsys):
    monkeypatch.setattr(output, "out", lambda: Console(width=80))
    address = "irina.petrova@maslihat.example"
    words = "answer: the first demand yes, the second not yet, but we may talk about it"
    output.table(["who", "letter", "what", "result"], [(address, "open-letter", words, "met")])
    shown = capsys.readouterr().out
    assert address in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "talk" in shown
    long = "x" * 70 + "@host.example"
    output.table(["who", "what"], [(long, words)])
    assert "".join(line.split(" ")[0] for line in capsys.readouterr().out.splitlines()[1:]) == long


def test_counts_have_their_nouns():
    assert output.count(1, "letter") == "1 letter"
    assert output.count(1200, "letter") == "1,200 letters"
    assert output.count(0, "person", "people") == "0 people"


def test_a_moment_names_its_zone(monkeypatch):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d \S+", output.when(datetime.now(UTC)))


def test_a_problem_of_many_rows_is_told_once_with_their_numbers():
    lines = [3, *range(5, 305), 310, 400]
    what, hint = "the address is empty", "Write one"
    many = [Problem("a.csv", line, what, hint, gathers=True) for line in lines]
    few = [Problem("b.csv", line, what, hint, gathers=True) for line in (1, 2)]
    others = [Problem("a.csv", line, "is broken", "Correct it") for line in range(1, 20)]
    found = list(gathered([*many, *few, *others]))
    assert len(found) == 1 + 2 + 19
    (told,) = [problem for problem in found if problem not in [*few, *others]]
    assert (told.line, told.count) == (3, len(lines))
    assert "5 to 304, 310, 400" in told.what
    mixed = [few[0], others[0], few[1]]
    assert list(gathered(mixed)) == mixed
