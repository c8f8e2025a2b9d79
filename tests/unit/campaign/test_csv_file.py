import json

import pytest

from petition.campaign.names import column_name
from petition.errors import Level
from tests.unit.campaign.samples import SAMPLES, rows_of

SPECTRUM = sorted(path.stem for path in (SAMPLES / "csv-spectrum/csvs").iterdir())


@pytest.mark.parametrize(
    ("content", "name", "columns"),
    [
        ("email;name\n", "semicolons", ("email", "name")),
        ("email\tname\n", "tabs", ("email", "name")),
        ('email;"name, as it is"\n', "semicolons", ("email", "name_as_it_is")),
        ('"a,b,c";d\n', "semicolons", ("a_b_c", "d")),
        ('\r\n"two\nlines, long";email\r\n', "semicolons", ("two_lines_long", "email")),
        ("sep=;\r\nemail,x;name\r\n", "semicolons", ("email_x", "name")),
    ],
)
def test_the_header_tells_the_separator(folder, content, name, columns):
    folder.write("a.csv", content + ("1;2\n" if name == "semicolons" else "1\t2\n"))
    (row,), (note,) = rows_of("a.csv", folder.root)
    assert tuple(row.cells) == columns
    assert list(row.cells.values()) == ["1", "2"]
    assert note.level is Level.NOTE
    assert name in note.what


@pytest.mark.parametrize(
    "content", ["email\nx\n", "a,b;\n1,2\n", 'email,"a;b;c"\n1,2\n', "a b\nx\n"]
)
def test_the_comma_is_what_is_meant_without_a_sign_of_another(folder, content):
    folder.write("a.csv", content)
    rows, problems = rows_of("a.csv", folder.root)
    assert len(rows) == 1
    assert problems == []


def test_excels_own_first_line_names_the_separator_and_is_no_row():
    rows, _ = rows_of("excel-hint.csv")
    assert [(row.line, row.cells["first_name"]) for row in rows] == [
        (3, "Ольга"),
        (4, "Иван"),
        (5, "Ann"),
    ]
    assert rows[1].cells["town"] == "Караганда; шахта"


def test_a_cell_may_hold_lines_quotes_and_commas():
    rows, problems = rows_of("quoted-newlines.csv")
    assert problems == []
    assert rows[0].cells["address"] == "14 Brudenell Road\r\nFlat 2\r\nLeeds"
    assert rows[1].cells["name"] == 'Tom "the boat" Birch'
    assert [row.line for row in rows] == [2, 5]


def test_a_row_is_mended_by_its_own_separator(folder):
    folder.write("a.csv", "a;b\n1;2;3\n")
    _, problems = rows_of("a.csv", folder.root)
    assert "semicolons" in problems[-1].hint


@pytest.mark.parametrize("name", SPECTRUM)
def test_csv_spectrum(name):
    rows, problems = rows_of(f"csv-spectrum/csvs/{name}.csv")
    meant = json.loads((SAMPLES / f"csv-spectrum/json/{name}.json").read_text(encoding="utf-8"))
    assert problems == []
    if name == "location_coordinates":  # its JSON is no list, and has another telephone number
        meant = [meant | {"Contact Phone Number": "2095257564"}]
    assert [list(row.cells.values()) for row in rows] == [list(one.values()) for one in meant]
    for row, one in zip(rows, meant, strict=True):
        assert list(row.cells) == [column_name(cell, at) for at, cell in enumerate(one, 1)]
