import codecs

import pytest

from petition.campaign.csv_file import (
    DOS_CYRILLIC,
    KOI8,
    MAC_CYRILLIC,
    UTF8,
    WINDOWS_1251,
    WINDOWS_1252,
    find_encoding,
)
from petition.errors import Level
from tests.unit.campaign.samples import rows_of

NAMES = {
    "windows-1251.csv": ("Windows-1251 (Cyrillic)", "Ольга", "Харків"),
    "utf-16.csv": ("UTF-16", "Ольга", "Харків"),
    "utf-16-le-without-mark.csv": ("UTF-16 without a byte order mark", "Ольга", "Харків"),
    "windows-1252.csv": ("Windows-1252 (Western European)", "José García", "Málaga"),
}


@pytest.mark.parametrize("file", NAMES)
def test_a_guess_is_told_with_a_name_to_judge_it_by(file):
    label, name, town = NAMES[file]
    rows, (note,) = rows_of(file)
    assert note.level is Level.NOTE
    assert note.what.startswith(f"read as {label}")
    assert f'"{name}"' in note.what
    assert "line 2" in note.what
    assert "UTF-8" in note.hint
    assert town in rows[0].cells.values()


@pytest.mark.parametrize("file", ["utf-8-mark.csv", "old-mac.csv"])
def test_what_is_utf8_with_commas_is_not_worth_a_word(file):
    rows, problems = rows_of(file)
    assert problems == []
    assert [row.cells["name"] for row in rows] == [
        "José García",
        "Zoë Müller",
        "Niamh O’Brien",
        "Ann Reed",
    ]
    assert [row.line for row in rows] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "codec", "encoding"),
    [
        ("", "utf-8", UTF8),
        ("email\nann@x.example\n", "utf-8", UTF8),
        ("Ольга", "utf-8", UTF8),
        ("Пётр Щукин", "cp1251", WINDOWS_1251),
        ("email,name\na@b.example,Їжак\n", "cp1251", WINDOWS_1251),
        ("email,name\na@b.example,Ольга Щукина\n", "koi8-r", KOI8),
        ("Тарас Шевченко\nЇжакевич Євген", "koi8-u", KOI8),
        ("email,name\na@b.example,Ольга Щукина\n", "mac-cyrillic", MAC_CYRILLIC),
        ("email,name\na@b.example,Ольга Щукина\n", "cp866", DOS_CYRILLIC),
        ("ОЛЬГА ЩУКИНА", "cp1251", WINDOWS_1251),
        ("ольга щукина", "cp1251", WINDOWS_1251),
        ("Zoë", "cp1252", WINDOWS_1252),
        ("François, Ørsted, O’Brien", "cp1252", WINDOWS_1252),
        ("name\nRené", "cp1252", WINDOWS_1252),
    ],
)
def test_the_likeliest_encoding(tmp_path, text, codec, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(codec))
    assert find_encoding(path) == encoding


def test_a_letter_on_the_edge_of_two_pieces_is_still_a_letter(tmp_path):
    path = tmp_path / "a.csv"
    for shift in range(3):
        path.write_bytes(b"x" * (4095 - shift) + "ж€".encode() * 200_000)
        assert find_encoding(path) == UTF8


@pytest.mark.parametrize("mark", [codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE])
def test_utf32_is_known_by_its_mark(tmp_path, mark):
    (tmp_path / "a.csv").write_bytes("email,name\na@b.example,Ольга\n".encode("utf-32"))
    assert rows_of("a.csv", tmp_path)[0][0].cells["name"] == "Ольга"


def test_a_few_broken_bytes_in_utf8_are_no_other_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("email,name\na@b.example,Ольга\n".encode() + b"b,\xe9\n")
    rows, (problem,) = rows_of("a.csv", tmp_path)
    assert len(rows) == 1
    assert (problem.line, problem.is_error) == (3, True)


def test_half_a_letter_of_utf16_is_told_with_its_line(tmp_path):
    (tmp_path / "a.csv").write_bytes("a,b\n1,2\n".encode("utf-16") + b"\x00\xd8\x41\x00")
    rows, problems = rows_of("a.csv", tmp_path)
    assert len(rows) == 1
    assert problems[-1].line == 3
    assert "UTF-16" in problems[-1].what


def test_a_word_of_a_million_letters_is_looked_at_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"x" * 1_000_000 + " Ольга Щукина".encode("cp1251"))
    assert find_encoding(path) == WINDOWS_1251
