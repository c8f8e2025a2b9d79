"""Small files that would take much memory or time: each is refused with a clear error."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.acceptance.small import SETTINGS, SmallCampaign

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage"),
]

MEMORY = 350  # MB, with the 60 or so that the program takes by itself
SECONDS = 60.0  # of processor time: what is refused must not take minutes, on a slow machine either


class Done(NamedTuple):
    status: int
    text: str
    megabytes: float
    seconds: float


# A process of its own measures: a child begins with the peak of memory of whoever starts it.
MEASURES = """
import json, resource, subprocess, sys
status = subprocess.run([sys.executable, "-m", "petition", *sys.argv[2:]]).returncode
took = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([status, took.ru_maxrss, took.ru_utime + took.ru_stime], file)
"""


def run(campaign: SmallCampaign, *arguments: str) -> Done:
    """Run petition, and see what it took."""
    told = campaign.root.parent / f"{campaign.root.name}.took"
    done = subprocess.run(
        [sys.executable, "-c", MEASURES, str(told), *arguments],
        cwd=campaign.root,
        env=campaign.environment | {"COLUMNS": "1000"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    status, peak, seconds = json.loads(told.read_text("utf-8"))
    unit = 1 if sys.platform == "darwin" else 1024
    return Done(status, done.stdout.decode("utf-8", "replace"), peak * unit / 2**20, seconds)


def is_bounded(done: Done, *words: str, statuses: tuple[int, ...] = (1,)) -> None:
    told = done.text[-1_000:]
    assert done.status in statuses, (done.status, told)
    assert "Traceback" not in done.text, told
    assert "Internal error" not in done.text, told
    assert all(word in done.text for word in words), told
    assert done.megabytes < MEMORY, done.megabytes
    assert done.seconds < SECONDS, done.seconds


def zipped(path: Path, parts: dict[str, Iterable[bytes]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, pieces in parts.items():
            with archive.open(name, "w", force_zip64=True) as stream:
                for piece in pieces:
                    stream.write(piece)


MAIN = b' xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def xlsx(path: Path, rows: Iterable[bytes], strings: Iterable[bytes]) -> None:
    """A spreadsheet of these rows and shared texts."""
    kinds = {"worksheet": "worksheets/sheet1.xml", "sharedStrings": "sharedStrings.xml"}
    links = "".join(
        f'<Relationship Id="r{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(kinds.items(), 1)
    )
    book = f'<sheets><sheet name="S" sheetId="1" xmlns:r="{OFFICE}" r:id="r1"/></sheets>'
    root = f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    around = f'<Relationships xmlns="{PACKAGE}">'
    zipped(
        path,
        {
            "[Content_Types].xml": [b"<Types/>"],
            "_rels/.rels": [f"{around}{root}</Relationships>".encode()],
            "xl/workbook.xml": [b"<workbook" + MAIN + b">" + book.encode() + b"</workbook>"],
            "xl/_rels/workbook.xml.rels": [f"{around}{links}</Relationships>".encode()],
            "xl/sharedStrings.xml": [b"<sst" + MAIN + b">", *strings, b"</sst>"],
            "xl/worksheets/sheet1.xml": [
                *(b"<worksheet" + MAIN + b"><sheetData>", *rows, b"</sheetData></worksheet>")
            ],
        },
    )


def times(piece: bytes, number: int) -> Iterable[bytes]:
    block = piece * 10_000
    return (block for _ in range(number // 10_000))


HEAD = b'<row r="1"><c r="A1" t="s"><v>0</v></c></row>'


def many_texts(path: Path) -> None:
    xlsx(path, [HEAD], times(b"<si><t>a</t></si>", 40_000_000))


def one_text_in_many_cells(path: Path) -> None:
    text = [b"<si><t>" + b"a" * 32_000 + b"</t></si>"]
    xlsx(path, [b'<row r="1">', *times(b'<c t="s"><v>0</v></c>', 190_000), b"</row>"], text)


def many_cells(path: Path) -> None:
    cells = times(b"<c><v>1</v></c>", 40_000_000)
    xlsx(path, [HEAD, b'<row r="2">', *cells, b"</row>"], [b"<si><t>email</t></si>"])


def large_rectangle(path: Path) -> None:
    rows = (b'<row r="%d"><c r="A%d"><v>1</v></c></row>' % (row, row) for row in range(1, 2_000))
    far = b'<row r="2000"><c r="XFD2000"><v>1</v></c></row>'
    xlsx(path, [*rows, far], [b"<si><t>email</t></si>"])


def large_rectangle_without_references(path: Path) -> None:
    cells = times(b"<c><v>1</v></c>", 10_000)
    rows = [HEAD, b'<row r="1048576">', *cells, b"</row>"]
    xlsx(path, rows, [b"<si><t>email</t></si>"])


def size_that_lies(path: Path) -> None:
    many_texts(path)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2", 0, data.find(b"xl/sharedStrings.xml", data.rfind(b"sheet1") - 2_000))
    data[at + 24 : at + 28] = (1_000).to_bytes(4, "little")
    path.write_bytes(data)


@pytest.mark.parametrize(
    "make",
    [
        many_texts,
        one_text_in_many_cells,
        many_cells,
        large_rectangle,
        large_rectangle_without_references,
        size_that_lies,
    ],
)
def test_a_spreadsheet(campaign: SmallCampaign, make: Callable[[Path], None]):
    make(campaign.root / "people.xlsx")
    campaign.write("petition.toml", SETTINGS + '\n[people]\nrecipients = "people.xlsx"\n')
    is_bounded(run(campaign, "check"), "people.xlsx")


def repeated_rows() -> Iterable[bytes]:
    cells = '<table:table-cell office:value-type="string"><text:p>a</text:p></table:table-cell>'
    yield (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
        ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body>'
        '<office:spreadsheet><table:table table:name="S">'
        '<table:table-row table:number-rows-repeated="1000000">'
        + cells.replace(
            "<table:table-cell", '<table:table-cell table:number-columns-repeated="900"'
        )
        + "</table:table-row></table:table></office:spreadsheet></office:body>"
        "</office:document-content>"
    ).encode()


def test_an_ods_with_repeated_rows(campaign: SmallCampaign):
    kind = [b"application/vnd.oasis.opendocument.spreadsheet"]
    zipped(campaign.root / "people.ods", {"mimetype": kind, "content.xml": repeated_rows()})
    campaign.write("petition.toml", SETTINGS + '\n[people]\nrecipients = "people.ods"\n')
    is_bounded(run(campaign, "check"), "people.ods")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"a{number} = 1\n" for number in range(90_000)),
        "".join(f"a{number} = 1\n" for number in range(4_900)),
        "a = {" + ", ".join(f"a{number} = 1" for number in range(3_900)) + "}\n",
        "".join(f"[a{number}]\n" for number in range(5_000)),
        "a = [" * 20_000,
    ],
    ids=["90,000 keys", "as many keys as may be", "inline", "tables", "deep"],
)
def test_settings_of_many_keys(campaign: SmallCampaign, text: str):
    campaign.write("petition.toml", text + SETTINGS if "=" in text[:9] else SETTINGS + text)
    is_bounded(run(campaign, "check"), "petition.toml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("recipients.csv", "email,name\n" + "p1@x.example," + "x" * 3_000_000 + "\n"),
        ("recipients.csv", "email,COLUMNS\na@b.example\n"),
        ("recipients.csv", "email,name" + ",x" * 450_000 + "\na@b.example,A" + ",y" * 450_000),
        ("recipients.csv", "email,name\n" + '"' * 3_000_000),
        ("recipients.csv", "email,name\n" + ",\n" * 3_000_000),
        ("signatories.csv", "name,COLUMNS\nA\n"),
        ("letters/open-letter.md", "---\n" + "a: &a [1]\n" + "b: [*a, *a]\n" * 1_000 + "---\n"),
        ("letters/open-letter.md", "---\n" + "a:\n " * 3_000 + "---\n"),
        ("letters/open-letter.md", "---\n" + "a: b\n" * 3_000 + "---\n"),
        ("letters/open-letter.md", "---\nsubject: a\n---\n" + "{{ recipient.name }}" * 6_000),
        ("letters/open-letter.md", "---\nsubject: a\n---\n" + "> " * 63_000),
        ("letters/open-letter.md", "---\nsubject: a\n---\n" + "|a" * 20_000 + "\n" + "|-" * 20_000),
        ("letters/open-letter.md", "---\nsubject: a\n---\n" + "[a](" * 30_000),
        ("letters/open-letter.md", "---\nsubject: a\n---\n|a|\n|-|\n" + "|\n" * 19_000),
        ("letters/open-letter.md", "---\nsubject: a\n---\n[a]: /x\n\n" + "[a] " * 30_000),
        ("letters/open-letter.md", "---\nsubject: a\n---\n" + "![a" * 42_000),
        (
            "letters/open-letter.md",
            "---\nsubject: a\n---\n{{ " + "recipient.name~" * 8_500 + "1 }}",
        ),
        ("letters/demands.md", "## a\n" * 19_000),
    ],
    ids=lambda value: value[:24] if "\n" in value else value,
)
def test_a_text_file(campaign: SmallCampaign, name: str, text: str):
    if "COLUMNS" in text:  # not made while tests are collected
        text = text.replace("COLUMNS", ",".join(f"c{n}" for n in range(1_000_000)))
    campaign.write(name, text)
    is_bounded(run(campaign, "check"), statuses=(0, 1))  # some of it can be read within bounds


def manifest(filling: bytes) -> Iterable[bytes]:
    yield b'{"format": "petition evidence 1", "campaign": "a", "until": "b", "seal": "c",'
    yield b'"entries": [], "more": ['
    yield from times(filling, 30_000_000 // len(filling))
    yield b"0]}"


@pytest.mark.parametrize("filling", [b"[],", b"{},", b"0.1,", b'"a",', b"[", b"0,"])
def test_a_pack_of_evidence(campaign: SmallCampaign, filling: bytes):
    path = campaign.root / "pack.zip"
    ballast = [os.urandom(2**20)]
    zipped(path, {"manifest.json": manifest(filling), "ballast": ballast})
    is_bounded(run(campaign, "evidence", "--verify", "pack.zip"), "manifest")


def test_a_pack_whose_letters_inflate(campaign: SmallCampaign):
    path = campaign.root / "pack.zip"
    size = 1_500 * 2**20
    digest = hashlib.sha256(b"").hexdigest()
    entry = {"name": "a", "size": size, "sha256": digest, "chain": digest}
    head = {"format": "petition evidence 1", "campaign": "a", "until": "b", "seal": "c"}
    text = json.dumps(head | {"entries": [entry]}).encode()
    zipped(path, {"manifest.json": [text], "a": (bytes(2**20) for _ in range(1_500))})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("ballast", os.urandom(6 * 2**20))
    is_bounded(run(campaign, "evidence", "--verify", "pack.zip"), "inflate")
