import codecs
import re

import pytest

from petition.campaign.csv_file import Reading
from petition.campaign.encoding import (
    DOS_CYRILLIC,
    KOI8,
    MAC_CYRILLIC,
    UTF8,
    WINDOWS_1251,
    WINDOWS_1252,
    Encoding,
    encoding_named,
    find_encoding,
)
from petition.campaign.tables import open_table
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


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("José Muñoz\nZoë Grüner\nFrançois Lefèvre\n", "mac_roman"),
        ("Jörg Müller\nZoë Grüner\n", "cp850"),
        ("Łukasz Wiśniewski\nJiří Dvořák\n", "cp1250"),
        ("Małgorzata Zając\nMichał Wójcik\nŁukasz Stępień\n", "iso8859_2"),
        ("Erdős László\nLőrinc Szabó\n", "cp1250"),
        ("Şahin Yıldız\nOğuz Çelik\n", "cp1254"),
        ("Guðrún Þórðardóttir\nSigríður Jónsdóttir\n", "cp1252"),
        ("Jānis Bērziņš\nĒriks Kalniņš\n", "cp1257"),
        ("Γιάννης Παπαδόπουλος\nΜαρία Νικολάου\n", "cp1253"),
        ("יוסי כהן\nדוד לוי\n", "cp1255"),
        ("محمد علي\nحسن كريم\n", "cp1256"),
    ],
)
def test_what_makes_no_words_is_not_guessed(folder, problems, text, codec):
    folder.write("a.csv", f"name\n{text}".encode(codec))
    assert open_table(folder.root, "a.csv", problems) is None
    (problem,) = problems
    assert problem.is_error
    named = [encoding_named(name) for name in re.findall('"([^"]*)"', problem.hint)]
    readings = [text.encode(codec).decode(one.codec, "replace") for one in named]
    assert text in readings
    assert 1 <= len(readings) <= 4


def test_each_encoding_is_offered_with_a_name_that_tells_it_apart(folder, problems):
    folder.write("a.csv", "name\nŠimek\nŁukasz Wiśniewski\n".encode("cp1250"))
    open_table(folder.root, "a.csv", problems)
    shown = re.findall(r"\(([^)]*)\)", problems[0].hint)
    assert len(shown) == len(set(shown)) > 1


def test_the_encoding_that_is_declared_is_used(folder, problems):
    folder.write("a.csv", "name\nJosé Muñoz\n".encode("mac_roman"))
    table = open_table(folder.root, "a.csv", problems, Reading(encoding="mac_roman"))
    assert [row.cells["name"] for row in table.rows()] == ["José Muñoz"]
    (note,) = problems
    assert note.level is Level.NOTE
    assert "José Muñoz" in note.what


def test_utf8_is_utf8_whatever_is_declared(folder, problems):
    folder.write("a.csv", "name\nJosé\n")
    table = open_table(folder.root, "a.csv", problems, Reading(encoding="mac_roman"))
    assert [row.cells["name"] for row in table.rows()] == ["José"]


def test_a_search_reads_by_the_guess(folder, problems):
    folder.write("a.csv", "name,email\nJosé Muñoz,a@x.example\n".encode("mac_roman"))
    table = open_table(folder.root, "a.csv", problems, Reading(is_search=True))
    assert [row.cells["email"] for row in table.rows()] == ["a@x.example"]


@pytest.mark.parametrize("name", ["", "none-such", "base64", "hex", "utf-16"])
def test_what_is_not_an_encoding_of_lists(name):
    assert encoding_named(name) is None


@pytest.mark.parametrize(
    "text",
    [
        "José Muñoz, Zoë Grüner, François Lefèvre, Åse Sørensen, João Simões, Niamh O’Brien",
        "Agnès Lefèvre, Benoît Chênevert, Noël Fœssel, Søren Kierkegård",
        "Šimek, Žižka, Dušan, 5 €, “North” – South",
        "Strauß, Großkopf, Weiß",
    ],
)
def test_names_of_western_europe_are_windows_1252(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_bytes(f"name\n{text}\n".encode("cp1252"))
    assert find_encoding(path) == WINDOWS_1252


@pytest.mark.parametrize("one", [KOI8, MAC_CYRILLIC])
def test_an_offered_encoding_is_known_by_its_name(one: Encoding):
    assert encoding_named(one.codec) is one
