"""What looks wrong in a row, and what does not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.campaign.signatories import Signatory
from petition.checks.rows import (
    brings_along,
    may_be_odd,
    odd_cells,
    odd_names,
    shouted_signatures,
    two_spellings,
)

COLUMNS = ("name", "town", "salutation")


def found_in(cells: dict[str, str]) -> list[str]:
    names = odd_names(cells.get("salutation", ""), cells.get("name", ""))
    found = [*names, *odd_cells(cells, COLUMNS, COLUMNS)]
    return [what for what, _ in found]


@pytest.mark.parametrize(
    ("salutation", "name"),
    [
        ("Mr Smith", "Anna Jones"),
        ("Dear Mr. Smith", "Anna Jones"),
        ("Dr Anna Smith-Bell", "Berik Jones"),
        ("Councillor Lane", "Kwame Osei"),
        ("Уважаемый Иван Петрович", "Ольга Андреевна Ильинская"),
        ("Воронцов мырза", "Нұрлан Қайратұлы Бекжан"),
        ("Herr Schmidt", "Jörg Weißenfels"),
        ("Monsieur le Maire Dupont", "Jean-Luc Martin"),
        ("Señora Ministra García", "Ana Ruiz"),
        ("M. de Villiers", "Jean-Luc Martin"),
    ],
)
def test_a_salutation_for_somebody_else(salutation, name):
    [what] = found_in({"salutation": salutation, "name": name})
    assert f'"{salutation}" does not fit the name "{name}"' in what


@pytest.mark.parametrize(
    "salutation", ["Уважаемый Ольга Андреевна", "Уважаемая Сергей Петрович", "Дорогая Иван Ильич!"]
)
def test_a_man_greeted_as_a_woman(salutation):
    cells = {"salutation": salutation, "name": salutation.split(" ", 1)[1].strip("!")}
    [what] = found_in(cells)
    assert "greets" in what


@pytest.mark.parametrize(
    ("salutation", "name"),
    [
        ("Mr Kim", "Vladimir Kim"),
        ("Mr Kim", "KIM, Vladimir"),
        ("Ms O'Dowd", "Siobhán O’Dowd"),
        ("Mr Weissenfels", "Jörg Weißenfels"),
        ("Ms Bell", "Anna Smith-Bell"),
        ("Sir or Madam", "Town council"),
        ("Lord Mayor", "Jane Doe"),
        ("Prime Minister", "Jane Doe"),
        ("Dear colleagues", "Ward office"),
        ("Bill", "William Gates"),
        ("Commissioner Reed", "Anna Jones"),
        ("Monsieur le Maire", "Jean-Luc Martin"),
        ("Monsieur le Maire de Lyon", "Jean-Luc Martin"),
        ("Madame la Ministre", "Anne Petit"),
        ("Monsieur l’Ambassadeur", "Jean-Luc Martin"),
        ("Madame la Députée", "Anne Petit"),
        ("Dear Mr President", "Jean-Luc Martin"),
        ("Dear Madam Mayor of Leeds", "Anna Jones"),
        ("Herr Oberbürgermeister", "Jörg Weißenfels"),
        ("Frau Staatssekretärin", "Ute Krause"),
        ("Sehr geehrter Herr Ministerpräsident", "Jörg Weißenfels"),
        ("Frau Abgeordnete", "Ute Krause"),
        ("Señor Alcalde", "Juan Pérez"),
        ("Estimada señora Ministra", "Ana Ruiz"),
        ("Уважаемый господин Губернатор", "Сергей Петрович Воронцов"),
        ("Господин Премьер-министр", "Сергей Петрович Воронцов"),
        ("Құрметті Әкім мырза", "Нұрлан Қайратұлы Бекжан"),
        ("Құрметті Төраға", "Нұрлан Қайратұлы Бекжан"),
        ("Mr Kim", "Ким Владимир"),
        ("Уважаемый Сергей Петрович", "Сергей Петрович Воронцов"),
        ("Уважаемая Ольга Андреевна", "Ольга Андреевна Ильинская"),
        ("Уважаемая Анна Мицкевич", "Анна Мицкевич"),
        ("Уважаемые дамы и господа", "Секретариат"),
        ("Айгүл Серікқызы", "Айгүл Серікқызы Жұмабек"),
        ("Бекжан мырза", "Нұрлан Қайратұлы Бекжан"),
        ("Mr Kim", ""),
        ("", "Vladimir Kim"),
    ],
)
def test_a_salutation_that_fits(salutation, name):
    assert found_in({"salutation": salutation, "name": name}) == []


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"name": "ANNA JONES"}, '"ANNA JONES" is in capitals'),
        ({"name": "ОЛЬГА ИЛЬИНСКАЯ"}, "capitals"),
        ({"name": "anna jones"}, "lower case"),
        ({"town": "#N/A"}, 'town is "#N/A"'),
        ({"town": "NULL"}, 'town is "NULL"'),
        ({"name": "nan"}, 'name is "nan"'),
        ({"name": "JosÃ© PÃ©rez"}, "encoded twice"),
        ({"name": "Oâ€™Dowd"}, "encoded twice"),
        ({"name": "Ольга".encode().decode("cp1251")}, "encoded twice"),
        ({"town": "Tyne &amp; Wear"}, "HTML"),
        ({"salutation": "Mr Kim,"}, "punctuation"),
    ],
)
def test_a_cell_that_looks_wrong(cells, told):
    [what] = found_in(cells)
    assert told in what


@pytest.mark.parametrize(
    "cells",
    [
        {"name": "Anna Jones"},
        {"name": "UNISON"},
        {"name": "BBC TV"},
        {"name": "J R R"},
        {"name": "毛 泽东"},
        {"town": "Nantwich"},
        {"note": "NULL"},  # no letter names it
        {"name": "São Ângela Ðorđe Råå"},
        {"name": "Рассказ о Смирнове", "town": "РСФСР"},
        {"town": "Tyne & Wear; A&B"},
        {"name": "Bell & Sons, Inc."},
    ],
)
def test_a_cell_that_is_right(cells):
    assert found_in(cells) == []


def signed(line, name, organisation="", kind="individual", *, publish=True):
    return Signatory(line, name, "", organisation, "", "", kind, "", None, publish, False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Trades Council of Leeds", "The Trades Council, Leeds"),
        ("Friends of the Library", "Friends of the Libary"),
        ("Steel & Iron Workers", "Steel and Iron Workers"),
        ("Związek Hutników „Iskra”", "Zwiazek Hutnikow Iskra"),
        ("Harbour School Circle", "Habrour School Circle"),
        ("Профсоюз горняков", "Профсоюз  Горняков"),
        ("Trade Union Congress", "Tradeunion Congress"),
    ],
)
def test_one_organisation_in_two_spellings(one, other):
    people = [signed(2, "A", one), signed(3, other, kind="organisation")]
    (problem,) = two_spellings("s.csv", people)
    assert problem.line == 3
    assert not problem.is_error
    assert f'is spelt "{one}" in line 2' in problem.what


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Branch 12 of the Union", "Branch 13 of the Union"),
        ("Northgate Trades Council", "Southgate Trades Council"),
        ("Group A of the Workers", "Group B of the Workers"),
        ("Unite", "Unity"),
        ("Weavers’ Lane Centre", "Weavers’ Lane Centre"),
        ("Leeds", "Leeds Trades Council"),
    ],
)
def test_two_organisations(one, other):
    assert not list(two_spellings("s.csv", [signed(2, "A", one), signed(3, "B", other)]))


def test_signatories_who_are_not_shown_are_not_looked_at():
    people = [signed(2, "A", "Friends of it"), signed(3, "B", "FRIENDS OF IT", publish=False)]
    assert not list(two_spellings("s.csv", people))
    assert not list(shouted_signatures("s.csv", [signed(2, "ANNA JONES", publish=False)]))


def test_signatures_in_capitals():
    people = [signed(2, "Ann"), signed(3, "ANNA JONES"), signed(4, "BERIK JONES")]
    (problem,) = shouted_signatures("s.csv", people)
    assert problem.line == 3
    assert '"ANNA JONES"' in problem.what
    assert "2 rows" in problem.what


CELL = st.lists(
    st.sampled_from(
        ["a", "Ann", " ", ", ", ",", " ,", ";", ":", ".", "-", "--", "?", "x", "xx", "null", "N/A",
         "NaN", "none", "unknown", "#", "#N/A", "&amp;", "&", "Ã©", "â€™", "Ð°", "РђСЂ", "Р", "{",
         "<", "[", "TODO", "FIXME", "XXX", "Dear", "dear", "lorem", "Lorem", "www.", "https:", "\n",
         "\r", "é"]
    )
    | st.characters(),
    max_size=6,
).map("".join)  # fmt: skip


@given(st.lists(CELL, min_size=1, max_size=5))
@example(["a", "NULL", "b"])
@example(["a\nNULL\nb"])
@example(["x" * 99])
@example(["РђСЂ"])
def test_a_row_that_may_not_be_odd_is_not(cells):
    if may_be_odd(cells):
        return
    by_column = {f"c{number}": cell for number, cell in enumerate(cells)}
    assert list(odd_cells(by_column, by_column, by_column)) == []
    assert not brings_along(cells)


@pytest.mark.parametrize(
    "cell",
    ["Ann Reed", "Жанна Ахметова", "Mary-Jane O’Dowd", "12/3 Quay St. (left)", "a@b.example", ""],
)
def test_most_cells_need_no_closer_look(cell):
    assert not may_be_odd([cell, "Hull"])


@pytest.mark.parametrize(
    "cell",
    [
        "Jos√© Ruiz",
        "Fran\ufffdois",
        "Fran?ois",
        '="00123"',
        "'00123",
        "'+44 20 7946 0000",
        "4.477E+11",
        "4,477E+11",
        "Ann_x000D_Reed",
        "O\\'Brien",
        "first\\nsecond",
    ],
)
def test_a_cell_that_a_program_has_spoilt(cell):
    cells = {"name": "Ann", "town": cell}
    assert may_be_odd(cells.values())
    assert len(found_in(cells)) == 1


@pytest.mark.parametrize(
    "cell",
    [
        "How are you?",
        "https://x.example/page?id=a",
        "’t Hooft",
        "'t Hooft",
        "E+E",
        "2E5",
        "7E",
        "C\\O",
        "√2",
        "_x_",
    ],
)
def test_a_cell_that_only_looks_spoilt(cell):
    assert found_in({"name": "Ann", "town": cell}) == []
