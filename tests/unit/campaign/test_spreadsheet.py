"""Spreadsheets; people.ods and people.xlsx were made by LibreOffice 7.4 of people.fods."""

import shutil
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.spreadsheet import split_name
from petition.errors import Level, Problem
from tests.unit.campaign.samples import SAMPLES, people_of, read_rows, rows_of

BOTH = pytest.mark.parametrize("kind", ["ods", "xlsx"])


def changed(folder, kind, old, new):
    """A sample with something else in its sheets."""
    with (
        zipfile.ZipFile(SAMPLES / f"people.{kind}") as source,
        zipfile.ZipFile(folder.root / f"people.{kind}", "w") as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old, new))


@BOTH
def test_cells_are_what_a_person_reads(kind):
    # The first row of the sheet is empty, and .xlsx leaves it out.
    rows, _ = rows_of(f"people.{kind}")
    assert [row.line for row in rows] == [3, 5, 6]
    assert [row.number for row in rows] == [1, 2, 3]
    columns = ("member_number", "joined", "last_seen", "share")
    assert [tuple(row.cells[name] for name in columns) for row in rows] == [
        ("1", "2015-09-28", "2026-01-02 14:30:00", "0.1"),
        ("447911123456", "2020-02-29", "", "100000000000000000000"),
        ("-2.5", "", "", ""),
    ]
    assert [row.cells["last_name"] for row in rows] == ["Okonkwo", "Ахметова", "Peña"]


@BOTH
def test_the_first_sheet_is_read_and_the_others_are_named(kind):
    people, (note,) = people_of(f"people.{kind}")
    assert people[0].file == note.file == f"people.{kind}#Supporters"
    assert note.level is Level.NOTE
    assert '"Directors"' in note.what
    assert f"people.{kind}#SHEET" in note.hint


@BOTH
def test_a_sheet_is_asked_for_by_name(kind):
    people, problems = people_of(f"people.{kind}#Directors")
    assert problems == []
    assert [(one.file, one.line, one.language) for one in people] == [
        (f"people.{kind}#Directors", 2, "en"),
        (f"people.{kind}#Directors", 3, "ru"),
    ]


@BOTH
def test_a_sheet_that_is_not_there(kind):
    file = f"people.{kind}#Directrs"
    people, (problem,) = people_of(file)
    assert people == []
    assert problem.file == file
    assert '"Directrs"' in problem.what
    assert '"Directors"' in problem.hint


def test_a_problem_names_the_sheet_and_the_row(folder):
    changed(folder, "ods", b"v.kim@mines.example", b"v.kim")
    _, (problem,) = people_of("people.ods#Directors", folder.root)
    assert str(problem).startswith('people.ods#Directors:3: email: "v.kim" is not a mail address')


def test_a_stray_cell_far_away_is_told_of_before_it_takes_all_memory(folder):
    stray = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    changed(folder, "xlsx", b"</sheetData>", stray)
    _, (problem,) = rows_of("people.xlsx", folder.root)
    assert "1,048,576 rows" in problem.what
    far = b'<table:table-row table:number-rows-repeated="1048000"><table:table-cell/>'
    far += b'</table:table-row><table:table-row><table:table-cell table:number-columns-repeated="'
    far += b'16000"/><table:table-cell office:value-type="string"><text:p>x</text:p>'
    changed(
        folder,
        "ods",
        b"</table:table>",
        far + b"</table:table-cell></table:table-row></table:table>",
    )
    _, (problem,) = rows_of("people.ods", folder.root)
    assert problem.is_error


def moved(folder, sheet, part="worksheets/sheet1.xml", around=b""):
    """A workbook whose sheet is this one, in any part of the archive."""
    links = f'<Relationship Id="r1" Type="{OFFICE}/worksheet" Target="{part}"/>'
    book = f'<sheets><sheet name="S" sheetId="1" xmlns:r="{OFFICE}" r:id="r1"/></sheets>'
    with zipfile.ZipFile(folder.root / "people.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        root = f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        packed.writestr("_rels/.rels", f"<Relationships>{root}</Relationships>")
        packed.writestr("xl/workbook.xml", f"<workbook>{book}</workbook>")
        packed.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{links}</Relationships>")
        packed.writestr("xl/media/image1.png", b"\x89PNG\r\n\x1a\n\0\0<c r='XFD1048576'>")
        data = around + b"<worksheet><sheetData>" + sheet + b"</sheetData></worksheet>"
        packed.writestr(f"xl/{part}", data)


def cell(attributes=b"", text=b"x"):
    return b'<c %s t="inlineStr"><is><t>%s</t></is></c>' % (attributes, text)


@pytest.fixture
def calamine_must_not_be_called(monkeypatch):
    """It would take all memory, and abort the tests."""

    def called(_):
        raise SystemExit("calamine was called")

    monkeypatch.setattr("python_calamine.CalamineWorkbook.from_path", called, raising=False)


OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
FAR = b'<row r="9">' + cell(b'r="XFD1048576"') + b"</row>"
FIRST = b"<row>" + cell(text=b"email") + b"</row>"


@pytest.mark.parametrize(
    ("sheet", "part"),
    [
        (FAR, "other/sheet1.xml"),
        (FAR, "other/sheet1.dat"),
        (FAR, "worksheets/sheet1.XML"),
        *(
            (b'<row r="9">' + cell(reference) + b"</row>", "worksheets/sheet1.xml")
            for reference in (
                b"r='XFD1048576'",
                b'r = "XFD1048576"',
                b'r="xfd1048576"',
                b'r="XFD01048576"',
                b'r="A4294967295"',
            )
        ),
        (b'<row r="1048576">' + cell() * 16_000 + b"</row>", "worksheets/sheet1.xml"),
        (b"<row/>" * 1_000 + b"<row>" + cell() * 2_001 + b"</row>", "worksheets/sheet1.xml"),
        (b'<row r="1">' * 1_000 + b"</row>" * 1_000 + cell() * 2_001, "worksheets/sheet1.xml"),
        (FAR.replace(b"<", b"<x:").replace(b"<x:/", b"</x:"), "other/sheet1.dat"),
    ],
)
def test_a_cell_far_away_is_found_however_it_is_written(
    folder, calamine_must_not_be_called, sheet, part
):
    moved(folder, FIRST + sheet, part)
    _, (problem,) = rows_of("people.xlsx", folder.root)
    assert "rows and" in problem.what
    assert problem.is_error


@pytest.mark.parametrize(
    "around",
    [
        b"no XML",
        b"\xff\xfe",
        b"<!DOCTYPE worksheet [<!ENTITY a 'b'>]>",
        b"\x89PNG\0" + b"a" * 2**20,
        b"a" * (2**20 - 14),  # "sheetData" ends in the next piece that is read
    ],
)
def test_a_sheet_that_is_not_quite_xml_is_refused(folder, calamine_must_not_be_called, around):
    moved(folder, FIRST + FAR, "other/sheet1.dat", around)
    _, (problem,) = rows_of("people.xlsx", folder.root)
    assert problem.is_error


def test_cells_that_do_not_say_where_they_are_are_read(folder):
    sheet = FIRST + b'<row r="3">' + cell(text=b"a@b.example") + b"</row>" + FIRST * 2_000
    moved(folder, sheet, "other/sheet1.dat")
    rows, problems = rows_of("people.xlsx", folder.root)
    assert problems == []
    assert len(rows) == 2_001
    assert (rows[0].line, rows[0].cells) == (3, {"email": "a@b.example"})


@pytest.mark.parametrize(
    "content", [b"", b"email,name\n", b"\xd0\xcf\x11\xe0" + b"\0" * 600], ids=["", "csv", "xls"]
)
def test_a_file_that_is_not_a_spreadsheet_is_refused(folder, content):
    folder.write("people.xlsx", content)
    _, (problem,) = rows_of("people.xlsx", folder.root)
    assert problem.file == "people.xlsx"
    assert problem.is_error


@pytest.mark.parametrize("name", ["people.XLSX", "people.xlsx", "people.Ods"])
@pytest.mark.parametrize("before", [b"", b"MZ"], ids=["binary workbook", "something before it"])
def test_the_content_and_not_the_name_says_what_a_file_is(
    folder, calamine_must_not_be_called, name, before
):
    """Calamine would open either as a kind of workbook whose cells nothing here counts."""
    moved(folder, FIRST)
    packed = folder.root / "people.xlsx"
    if not before:
        with zipfile.ZipFile(packed, "a") as archive:
            archive.writestr("xl/Workbook.BIN", b"")
    (folder.root / "content").write_bytes(before + packed.read_bytes())
    (folder.root / "content").replace(folder.root / name)
    _, (problem,) = rows_of(name, folder.root)
    assert problem.is_error


def test_a_sheet_of_a_workbook_cannot_hide_behind_the_name_of_the_content_of_an_ods(
    folder, calamine_must_not_be_called
):
    moved(folder, FIRST + FAR, "../content.xml")
    with zipfile.ZipFile(folder.root / "people.xlsx", "a") as archive:
        archive.writestr(
            "content.xml", b"<worksheet><sheetData>" + FAR + b"</sheetData></worksheet>"
        )
    _, (problem,) = rows_of("people.xlsx", folder.root)
    assert problem.is_error


def test_a_sheet_that_changes_after_its_header_was_read_is_refused(folder):
    shutil.copy(SAMPLES / "people.ods", folder.root)
    from petition.campaign.tables import open_table

    problems = []
    table = open_table(folder.root, "people.ods#Directors", problems)
    assert len(read_rows(table, problems)) == 2
    (folder.root / "people.ods").write_bytes(b"")
    assert read_rows(table, problems) == []
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("people.xlsx", ("people.xlsx", None)),
        ("a/b.ODS#Two words", ("a/b.ODS", "Two words")),
        ("a.xlsx#", ("a.xlsx", None)),
        ("a.csv#b", None),
        ("a.xls", ("a.xls", None)),
        ("a.txt", None),
    ],
)
def test_a_name_with_a_sheet(name, parts):
    assert split_name(name) == parts


@BOTH
def test_any_bytes_as_a_spreadsheet(folder, kind):
    whole = (SAMPLES / f"people.{kind}").read_bytes()
    with zipfile.ZipFile(SAMPLES / f"people.{kind}") as packed:
        part = "content.xml" if kind == "ods" else "xl/worksheets/sheet1.xml"
        text = packed.read(part)

    @given(st.data())
    def check(data):
        at = data.draw(st.integers(0, len(whole)))
        folder.write(f"people.{kind}", whole[:at] + data.draw(st.binary(max_size=9)) + whole[at:])
        _, problems = people_of(f"people.{kind}", folder.root)
        at = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(at, min(at + 30, len(text))))
        changed(folder, kind, text, text[:at] + data.draw(st.binary(max_size=9)) + text[end:])
        _, more = people_of(f"people.{kind}", folder.root)
        assert all(isinstance(problem, Problem) for problem in problems + more)

    check()


@BOTH
@given(content=st.binary(max_size=80))
def test_chance_bytes_as_a_spreadsheet(tmp_path_factory, kind, content):
    root = tmp_path_factory.getbasetemp()
    (root / f"chance.{kind}").write_bytes(content)
    rows, problems = rows_of(f"chance.{kind}", root)
    assert rows == []
    assert len(problems) == 1


CELL = b'<table:table-cell office:value-type="string"%s><text:p>%s</text:p></table:table-cell>'
ODS = (
    b'<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    b' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    b' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body>'
    b'<office:spreadsheet><table:table table:name="S"><table:table-row>%s</table:table-row>'
    b"%%s</table:table></office:spreadsheet></office:body></office:document-content>"
) % (CELL % (b"", b"email"))


def ods(folder, rows):
    with zipfile.ZipFile(folder.root / "people.ods", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        packed.writestr("META-INF/manifest.xml", "<manifest/>")
        packed.writestr("content.xml", ODS % rows)


ROW = b"<table:table-row%s>%s</table:table-row>"


@pytest.mark.parametrize(
    "rows",
    [
        ROW % (b"", CELL % (b"", b'<text:s text:c="59999999"/>')),
        ROW % (b"", CELL % (b"", b'<text:s text:c="999999"/>') * 60),
        ROW % (b"", CELL % (b' table:number-columns-repeated="9999"', b"a" * 9_999)),
        ROW % (b' table:number-rows-repeated="9999"', CELL % (b"", b"a" * 9_999)),
        ROW % (b' table:number-rows-repeated="9999"', CELL % (b"", b"a@b.example")),
        ROW % (b' table:number-rows-repeated="1000"', CELL % (b"", b"a@b.example")) * 20,
    ],
)
def test_a_sheet_that_would_be_much_larger_than_its_file_is_refused(folder, rows):
    ods(folder, rows)
    found, (problem,) = rows_of("people.ods", folder.root)
    assert found == []
    assert problem.is_error
    assert problem.line is None


def test_a_sheet_that_repeats_rows_is_refused_in_other_encodings_too(
    folder, calamine_must_not_be_called
):
    content = ODS % (ROW % (b' table:number-rows-repeated="9999"', CELL % (b"", b"a@b.example")))
    with zipfile.ZipFile(folder.root / "people.ods", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("content.xml", content.decode().encode("utf-16"))
    _, (problem,) = rows_of("people.ods", folder.root)
    assert problem.is_error


def test_empty_rows_that_are_repeated_and_blanks_are_no_fault(folder):
    empty = ROW % (b' table:number-rows-repeated="1048570"', b"<table:table-cell/>")
    person = CELL % (b"", b'a@b.example<text:s text:c="3"/>')
    ods(folder, ROW % (b"", person) + empty)
    (row,), problems = rows_of("people.ods", folder.root)
    assert problems == []
    assert row.cells == {"email": "a@b.example"}


def test_a_row_with_a_very_long_cell_is_told(folder):
    long = CELL % (b"", b"a" * 200_000)
    ods(folder, ROW % (b"", CELL % (b"", b"a@b.example")) + ROW % (b"", long))
    (row,), (problem,) = rows_of("people.ods", folder.root)
    assert row.line == 2
    assert problem.line == 3
    assert "131,072" in problem.what


def test_a_text_of_many_bytes_is_refused_before_it_is_read(folder):
    ods(folder, ROW % (b"", CELL % (b"", b"a" * 1_500_000)))
    _, (problem,) = rows_of("people.ods", folder.root)
    assert "131,072" in problem.what
