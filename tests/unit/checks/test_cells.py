"""What looks wrong in a row, and what does not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.campaign.signatories import Signatory
from petition.checks import cells as cell_checks
from petition.checks.cells import shouted_signatures, two_spellings

NAMED = frozenset({"name", "town", "salutation"})


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
    told = cell_checks.misfitting_salutation({"salutation": salutation, "name": name}, NAMED)
    assert told == (
        f'the salutation "{salutation}" does not fit the name "{name}"',
        "Correct one of the two cells",
    )


@pytest.mark.parametrize(
    "salutation", ["Уважаемый Ольга Андреевна", "Уважаемая Сергей Петрович", "Дорогая Иван Ильич!"]
)
def test_a_man_greeted_as_a_woman(salutation):
    cells = {"salutation": salutation, "name": salutation.split(" ", 1)[1].strip("!")}
    told = cell_checks.misfitting_salutation(cells, NAMED)
    assert told is not None
    assert "greets a man as a woman or a woman as a man" in told[0]


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
    assert (
        cell_checks.misfitting_salutation({"salutation": salutation, "name": name}, NAMED) is None
    )


@pytest.mark.parametrize(
    ("judge", "cells", "told"),
    [
        (
            cell_checks.shouted_name,
            {"name": "ANNA JONES"},
            'the name "ANNA JONES" is in capitals alone',
        ),
        (cell_checks.shouted_name, {"name": "ОЛЬГА ИЛЬИНСКАЯ"}, "is in capitals alone"),
        (cell_checks.shouted_name, {"name": "anna jones"}, "is in small letters alone"),
        (cell_checks.no_value, {"town": "#N/A"}, 'town is "#N/A"'),
        (cell_checks.no_value, {"town": "NULL"}, 'town is "NULL"'),
        (cell_checks.no_value, {"name": "nan"}, 'name is "nan"'),
        (cell_checks.spoilt_text, {"name": "JosÃ© PÃ©rez"}, "which was encoded twice"),
        (cell_checks.spoilt_text, {"name": "Oâ€™Dowd"}, "which was encoded twice"),
        (cell_checks.spoilt_text, {"name": "Ольга".encode().decode("cp1251")}, "was encoded twice"),
        (cell_checks.spoilt_text, {"town": "Tyne &amp; Wear"}, "as a web page writes it"),
        (cell_checks.odd_end, {"salutation": "Mr Kim,"}, "with a sign at its end"),
    ],
)
def test_a_cell_that_looks_wrong(judge, cells, told):
    verdict = judge(cells, NAMED)
    assert verdict is not None
    assert told in verdict[0]


@pytest.mark.parametrize(
    ("judge", "cells"),
    [
        (cell_checks.shouted_name, {"name": "Anna Jones"}),
        (cell_checks.shouted_name, {"name": "UNISON"}),
        (cell_checks.shouted_name, {"name": "BBC TV"}),
        (cell_checks.shouted_name, {"name": "J R R"}),
        (cell_checks.shouted_name, {"name": "毛 泽东"}),
        (cell_checks.no_value, {"town": "Nantwich"}),
        (cell_checks.no_value, {"note": "NULL"}),  # no letter names it
        (cell_checks.spoilt_text, {"name": "São Ângela Ðorđe Råå"}),
        (cell_checks.spoilt_text, {"name": "Рассказ о Смирнове", "town": "РСФСР"}),
        (cell_checks.spoilt_text, {"town": "Tyne & Wear; A&B"}),
        (cell_checks.odd_end, {"salutation": "Mr Kim", "name": "Bell & Sons, Inc."}),
    ],
)
def test_a_cell_that_is_right(judge, cells):
    assert judge(cells, NAMED) is None


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


def test_of_whom_nobody_reads_nothing_is_told():
    people = [signed(2, "A", "Friends of it"), signed(3, "B", "FRIENDS OF IT", publish=False)]
    assert not list(two_spellings("s.csv", people))
    assert not list(shouted_signatures("s.csv", [signed(2, "ANNA JONES", publish=False)]))


def test_signatures_in_capitals():
    people = [signed(2, "Ann"), signed(3, "ANNA JONES"), signed(4, "BERIK JONES")]
    (problem,) = shouted_signatures("s.csv", people)
    assert (problem.line, problem.what) == (
        3,
        'the name "ANNA JONES" is in capitals alone (in 2 rows, this is the first)',
    )


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
def test_a_row_that_nothing_is_odd_of_at_a_glance_has_nothing_odd(cells):
    if cell_checks.may_be_odd(cells):
        return
    by_column = {f"c{number}": cell for number, cell in enumerate(cells)}
    assert not any(judge(by_column, frozenset(by_column)) for judge in cell_checks.ODDITIES)
    assert not cell_checks.brings_along(cells)


@pytest.mark.parametrize(
    "cell",
    ["Ann Reed", "Жанна Ахметова", "Mary-Jane O’Dowd", "12/3 Quay St. (left)", "a@b.example", ""],
)
def test_what_most_cells_hold_is_seen_at_a_glance(cell):
    assert not cell_checks.may_be_odd([cell, "Hull"])
