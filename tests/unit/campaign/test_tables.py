import csv
import io
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.csv_file import BLOCK
from petition.campaign.tables import TableRow, open_table
from tests.unit.campaign.samples import Said, read_rows


def read(folder, content, problems):
    folder.write("a.csv", content)
    table = open_table(folder.root, "a.csv", problems)
    return table, table and read_rows(table, problems)


def told(problems):
    assert all(problem.file == "a.csv" and problem.is_error for problem in problems)
    return [(problem.line, Said(problem.what)) for problem in problems]


def test_rows_know_where_they_begin(folder, problems):
    content = '\ufeffFirst Name, E-Mail \r\n\r\n Kim , k@a.example\r\n"two\r\nlines",b\r\n,,\r\nc,d'
    table, rows = read(folder, content.replace(",,", ","), problems)
    assert table.columns == ("first_name", "e_mail")
    assert table.header_line == 1
    assert rows == [
        TableRow(3, 1, {"first_name": "Kim", "e_mail": "k@a.example"}),
        TableRow(4, 2, {"first_name": "two\r\nlines", "e_mail": "b"}),
        TableRow(7, 3, {"first_name": "c", "e_mail": "d"}),
    ]
    assert problems == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_one(folder, problems, end):
    _, rows = read(folder, end.join(["a,b", "1,2", "", '"3\n3",4', "5,6"]), problems)
    assert [(row.line, row.number) for row in rows] == [(2, 1), (4, 2), (6, 3)]


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("", 1, "has no header"),
        ("\n \n,,\n", 1, "has no header"),
        ("a\0,b\n1,2", 1, "NUL"),
        ("имя,".encode() + b"\xff\n", 1, "UTF-8 ... 0xFF"),
        (b"caf\xe9 \x81\x98,b\n", 1, "UTF-8 ... 0xE9"),
        (b"PK\x03\x04 and so on", None, "spreadsheet"),
        (b"\xd0\xcf\x11\xe0 and so on", None, "spreadsheet"),
        ('"a"b,c\n', 1, "closing quote"),
    ],
)
def test_a_header_that_cannot_be_used(folder, problems, content, line, what):
    table, _ = read(folder, content, problems)
    assert table is None
    assert told(problems) == [(line, what)]


@pytest.mark.parametrize(
    ("content", "faults", "left"),
    [
        ("1,2\n3\n4,5\n", [(3, "1 cell, ... header 2")], ["1", "4"]),
        ("1,2,3\n4,5\n", [(2, "3 cells, ... header 2")], ["4"]),
        ("1,2\n\0,3\n4,5\n", [(3, "NUL")], ["1", "4"]),
        (
            b"1,2\n" + b"\xff,3\n" + "ё,Ё\n4,5\n".encode(),
            [(3, "UTF-8 ... 0xFF")],
            ["1"],
        ),
        (
            '1,2\n"3"x,4\n5,6\n',
            [(3, "closing quote")],
            ["1", "5"],
        ),
        ('1,2\n"3,4\n5,6\n', [(3, "never closed")], ["1"]),
        ('1,2\n"3,4', [(3, "never closed")], ["1"]),
        (
            "1,2\n" + "x" * 200_000 + ",3\n4,5\n",
            [(3, "131,072")],
            ["1", "4"],
        ),
        (
            "1,2\n" + "x" * 10_000_000 + ",3\n4,5\n",
            [(3, "1,000,000")],
            ["1"],
        ),
    ],
)
def test_a_row_that_cannot_be_used_does_not_hide_the_others(
    folder, problems, content, faults, left
):
    header = "a,b\n"
    content = header.encode() + content if isinstance(content, bytes) else header + content
    _, rows = read(folder, content, problems)
    assert told(problems) == faults
    assert [row.cells["a"] for row in rows] == left


def test_row_numbers_count_unusable_rows(folder, problems):
    _, rows = read(folder, "a,b\n1,2\n3\n4,5\n", problems)
    assert [row.number for row in rows] == [1, 3]


def test_a_file_that_goes_away_is_a_problem(folder, problems):
    table, _ = read(folder, "a\n1\n", problems)
    (folder.root / "a.csv").unlink()
    assert read_rows(table, problems) == []
    assert told(problems) == [(None, "No such file")]


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=6))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows):
    root = tmp_path_factory.getbasetemp()
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("a", "b"), *rows])
    (root / "round.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    problems = []
    table = open_table(root, "round.csv", problems)
    read_back = [tuple(row.cells.values()) for row in read_rows(table, problems)]
    stripped = [(one.strip(), two.strip()) for one, two in rows]
    assert read_back == [row for row in stripped if any(row)]
    assert problems == []


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('a, b\n1, "two, ""three"""\n', [("1", 'two, "three"')]),
        ('"a" , "b" \n"1" , "two"  \r\n"x"" , y" ,""\n', [("1", "two"), ('x" , y', "")]),
        ('a|b\n"1" | "two"\n', [("1", "two")]),
    ],
)
def test_blanks_around_quotes_are_not_part_of_a_cell(folder, problems, content, rows):
    table, found = read(folder, content, problems)
    assert table.columns == ("a", "b")
    assert [tuple(row.cells.values()) for row in found] == rows
    assert not [problem for problem in problems if problem.is_error]


@given(
    rows=st.lists(
        st.tuples(*[st.text('a", ;|\n', max_size=6).map(str.strip).map("x{}x".format)] * 2),
        max_size=4,
    ),
    blanks=st.tuples(*[st.sampled_from(["", " ", "  "])] * 2),
)
def test_blanks_change_no_quoted_cell(tmp_path_factory, rows, blanks):
    root, problems = tmp_path_factory.mktemp("any"), []
    before, behind = blanks
    lines = [
        ",".join(before + '"' + cell.replace('"', '""') + '"' + behind for cell in row) + "\n"
        for row in [("a", "b"), *rows]
    ]
    (root / "a.csv").write_text("".join(lines), newline="")
    found = read_rows(open_table(root, "a.csv", problems), problems)
    assert [tuple(row.cells.values()) for row in found] == rows
    assert problems == []


def test_a_separator_too_many_is_recognised(folder, problems):
    read(folder, "email,name\na@x.example,Ann,\nb@x.example,Bob,x\n", problems)
    empty, full = problems
    assert "empty" in empty.what
    assert "separator" in empty.hint
    assert "empty" not in full.what


def test_a_file_that_changes_after_its_header_was_read_is_refused(folder, problems):
    path = folder.write("list.csv", "email,name\na@x.example,Ann\nb@x.example,Bo\n")
    table = open_table(folder.root, "list.csv", problems)
    rows = chain.from_iterable(table.blocks())
    assert len(list(rows)) == 2
    path.write_text("email,name\na@x.example,Ann\n")
    (row,) = chain.from_iterable(table.blocks())
    assert (row.number, Said(row.fault.what)) == (0, "changed")


def test_a_file_that_changes_while_it_is_read_is_refused(folder, problems):
    lines = "".join(f"{number},Ann\n" for number in range(2 * BLOCK))
    path = folder.write("list.csv", "email,name\n" + lines)
    blocks = open_table(folder.root, "list.csv", problems).blocks()
    assert next(blocks)
    with path.open("a") as file:
        file.write("one more,Bo\n")
    *_, (*_, last) = blocks
    assert (last.number, Said(last.fault.what)) == (0, "changed")
