"""What a person sees in a sheet: formats, error cells, hidden rows and sheets."""

import zipfile

import pytest

from petition.campaign.csv_file import Reading
from petition.campaign.people import open_people
from petition.campaign.tables import open_table
from petition.errors import Level
from tests.unit.campaign.samples import SAMPLES, judged, read_rows

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEADER = "<row><c t='str'><v>email</v></c><c t='str'><v>note</v></c></row>"
FORMATS = ("General", "00000", '#,##0.00 "EUR"', "0%", "d mmmm yyyy", "h:mm")
ODS = """<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"
 ><office:body><office:spreadsheet><table:table table:name="S">{}</table:table
 ></office:spreadsheet></office:body></office:document-content>"""


def write_xlsx(root, sheets, formats=FORMATS):
    """A workbook; each sheet is its state and its rows, each style one of the formats."""
    numbers = range(164, 164 + len(formats))
    codes = "".join(
        f"<numFmt numFmtId='{number}' formatCode='{code}'/>"
        for number, code in zip(numbers, formats, strict=True)
    )
    styles = "".join(f"<xf numFmtId='{number}'/>" for number in numbers)
    links = book = ""
    with zipfile.ZipFile(root / "a.xlsx", "w") as packed:
        for at, (state, rows) in enumerate(sheets, 1):
            links += f"<Relationship Id='r{at}' Type='{OFFICE}/worksheet' Target='s{at}.xml'/>"
            book += f"<sheet name='S{at}' sheetId='{at}' state='{state}' r:id='r{at}'/>"
            data = f"<worksheet><sheetData>{HEADER}{rows}</sheetData></worksheet>"
            packed.writestr(f"xl/s{at}.xml", data)
        root = f"<Relationship Id='r1' Type='{OFFICE}/officeDocument' Target='xl/workbook.xml'/>"
        packed.writestr("_rels/.rels", f"<Relationships>{root}</Relationships>")
        packed.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{links}</Relationships>")
        book = f"<workbook xmlns:r='{OFFICE}'><sheets>{book}</sheets></workbook>"
        packed.writestr("xl/workbook.xml", book)
        styles = f"<numFmts>{codes}</numFmts><cellXfs>{styles}</cellXfs>"
        packed.writestr("xl/styles.xml", f"<styleSheet>{styles}</styleSheet>")


def write_ods(root, rows):
    with zipfile.ZipFile(root / "a.ods", "w") as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        packed.writestr("META-INF/manifest.xml", "<manifest/>")
        head = '<table:table-row><table:table-cell office:value-type="string"><text:p>email'
        head += '</text:p></table:table-cell><table:table-cell office:value-type="string">'
        head += "<text:p>note</text:p></table:table-cell></table:table-row>"
        packed.writestr("content.xml", ODS.format(head + rows))


def xlsx_row(note, attributes=""):
    return f"<row {attributes}><c t='str'><v>a@x.example</v></c>{note}</row>"


def ods_row(value, shown, attributes=""):
    return (
        f'<table:table-row {attributes}><table:table-cell office:value-type="string">'
        "<text:p>a@x.example</text:p></table:table-cell>"
        f"<table:table-cell {value}><text:p>{shown}</text:p>"
        "</table:table-cell></table:table-row>"
    )


def notes(root, file, problems, **reading):
    table = open_table(root, file, problems, Reading(**reading))
    return [row.cells["note"] for row in read_rows(table, problems)]


@pytest.mark.parametrize(
    ("style", "value", "shown"),
    [
        (1, "2110", "02110"),
        (2, "1234.5", "1,234.50 EUR"),
        (3, "0.15", "15%"),
        (4, "46027", "2026-01-05"),
        (5, "0.7708333333333334", "18:30"),
        (0, "0.30000000000000004", "0.3"),
        (0, "9.9999999999999645E-2", "0.1"),
    ],
)
def test_a_number_of_an_xlsx_is_as_its_format_shows_it(folder, problems, style, value, shown):
    write_xlsx(folder.root, [("visible", xlsx_row(f"<c s='{style}'><v>{value}</v></c>"))])
    assert notes(folder.root, "a.xlsx", problems) == [shown]
    assert problems == []


@pytest.mark.parametrize(
    ("value", "shown", "read"),
    [
        ('office:value-type="float" office:value="2110"', "02110", "02110"),
        ('office:value-type="currency" office:value="1234.5"', "1.234,50 €", "1.234,50 €"),
        ('office:value-type="percentage" office:value="0.15"', "15 %", "15 %"),
        ('office:value-type="float" office:value="447700000000"', "4.477E+11", "447700000000"),
        ('office:value-type="float" office:value="12"', "###", "12"),
        ('office:value-type="date" office:date-value="2026-01-05"', "5.1.2026", "2026-01-05"),
    ],
)
def test_a_number_of_an_ods_is_the_text_that_is_shown(folder, problems, value, shown, read):
    write_ods(folder.root, ods_row(value, shown))
    assert notes(folder.root, "a.ods", problems) == [read]


def test_a_comment_at_a_cell_is_not_what_it_shows(folder, problems):
    note = "</text:p><office:annotation><text:p>no</text:p></office:annotation><text:p>"
    write_ods(folder.root, ods_row('office:value-type="float" office:value="2110"', f"02110{note}"))
    assert notes(folder.root, "a.ods", problems) == ["02110"]


def test_an_error_cell_is_an_error_with_its_cell(folder, problems):
    good = xlsx_row("<c t='str'><v>x</v></c>")
    bad = xlsx_row("<c t='e'><f>VLOOKUP(1)</f><v>#N/A</v></c>")
    write_xlsx(folder.root, [("visible", good + bad)])
    assert notes(folder.root, "a.xlsx", problems) == ["x"]
    (problem,) = problems
    assert (problem.line, problem.is_error) == (3, True)
    assert "B3" in problem.what
    assert "#N/A" in problem.what


def test_an_error_cell_of_an_ods(folder, problems):
    error = 'office:value-type="string" office:string-value="" calcext:value-type="error"'
    write_ods(folder.root, ods_row(error, "#REF!"))
    assert notes(folder.root, "a.ods", problems) == []
    (problem,) = problems
    assert problem.line == 2
    assert "#REF!" in problem.what


def test_an_error_cell_is_found_by_a_search(folder, problems):
    write_xlsx(folder.root, [("visible", xlsx_row("<c t='e'><v>#N/A</v></c>"))])
    assert notes(folder.root, "a.xlsx", problems, is_search=True) == ["#N/A"]
    assert problems == []


def write_hidden(root, kind):
    """Six rows, of which three are hidden."""
    if kind == "xlsx":
        rows = (xlsx_row(f"<c><v>{at}</v></c>", "hidden='1'" if at % 2 else "") for at in range(6))
        write_xlsx(root, [("visible", "".join(rows))])
        return
    value = 'office:value-type="float" office:value="{0}"'
    hidden = ('table:visibility="filter"', 'table:visibility="collapse"')
    rows = (ods_row(value.format(at), at, hidden[at == 1] if at % 2 else "") for at in range(6))
    write_ods(root, "".join(rows))


BOTH = pytest.mark.parametrize("kind", ["xlsx", "ods"])


@BOTH
def test_hidden_rows_stop_until_somebody_chooses(folder, problems, kind):
    write_hidden(folder.root, kind)
    notes(folder.root, f"a.{kind}", problems)
    (problem,) = problems
    assert problem.is_error
    assert "3 rows (3, 5, 7)" in problem.what
    assert 'hidden = "skip"' in problem.hint
    assert 'hidden = "include"' in problem.hint


@BOTH
@pytest.mark.parametrize(("choice", "left"), [("skip", list("024")), ("include", list("012345"))])
def test_hidden_rows_are_left_out_or_used(folder, problems, kind, choice, left):
    write_hidden(folder.root, kind)
    assert notes(folder.root, f"a.{kind}", problems, hidden=choice) == left
    (note,) = problems
    assert note.level is Level.NOTE
    assert "3 rows" in note.what


def test_a_sheet_that_is_hidden_is_not_the_first(folder, problems):
    row = xlsx_row("<c><v>{}</v></c>")
    write_xlsx(folder.root, [("hidden", row.format(1)), ("visible", row.format(2))])
    assert notes(folder.root, "a.xlsx", problems) == ["2"]
    (note,) = problems
    assert note.file == "a.xlsx#S2"
    assert '"S1"' in note.what
    assert notes(folder.root, "a.xlsx#S1", []) == ["1"]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0 and so on", ".xls"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "password"),
        ("a.xlsb", {"xl/workbook.bin": ""}, ".xlsb"),
        ("a.numbers", {"Index/Document.iwa": ""}, "Numbers"),
        ("a.ods", {"META-INF/manifest.xml": "<manifest:encryption-data/>"}, "password"),
    ],
)
def test_other_kinds_of_spreadsheet_are_named(folder, problems, name, content, word):
    if isinstance(content, bytes):
        folder.write(name, content)
    else:
        with zipfile.ZipFile(folder.root / name, "w") as packed:
            for part, text in content.items():
                packed.writestr(part, text)
    assert open_table(folder.root, name, problems) is None
    (problem,) = problems
    assert word in problem.what
    assert problem.hint


def test_people_of_a_sample_are_read_with_their_formats(problems):
    people = open_people(SAMPLES, "people.xlsx", problems)
    assert [one.fields["share"] for one in judged(people, problems)][:1] == ["0.1"]
