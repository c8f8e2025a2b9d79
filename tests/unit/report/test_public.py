"""What is taken out of a text that everybody may read."""

import pytest

from petition.report.public import Names, surname_of

HIDDEN = (
    "Margaret Lane",
    "Sinéad O’Neil",
    "Anne-Marie Lévy",
    "Ivan Li",
    "Иванов Иван Иванович",
    "Ann Bold",
    "Dee Bold",
)


def names() -> Names:
    found = Names()
    for number, one in enumerate(HIDDEN, 1):
        found.hide(one, f"[{number}]", surname=surname_of(one))
    found.keep("Tom Bold")
    found.keep("Park Lane Council")
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("MARGARET  LANE’s desk", "[1]’s desk"),
        ("Sinead O'Neil, sinéad o‘neil", "[2], [2]"),
        ("Sine\u0301ad O´Neil.", "[2]."),
        ("Anne Marie Levy", "[3]"),
        # a surname alone, as a word of its own with a capital
        ("Ask Lane, or LANE's aide: O’Neil", "Ask [1], or [1]'s aide: [2]"),
        ("the lane; Laneway; Lane2; Mr Lane-Fox", "the lane; Laneway; Lane2; Mr [1]-Fox"),
        ("Li is on it, as Ivan Li said", "Li is on it, as [4] said"),
        ("Иванов и Иван Иванов", "[5] и Иван [5]"),
        # whose it is is not known, and the names of others stay
        ("Bold, Ann Bold, Tom Bold", "[…], [6], Tom Bold"),
        ("Park Lane Council, Lane", "Park Lane Council, [1]"),
        ("nothing <b>at</b> all,\n\nhere", "nothing <b>at</b> all,\n\nhere"),
    ],
)
def test_names_go_in_any_spelling(text, shown):
    assert names().out_of(text) == shown


@pytest.mark.parametrize(
    ("name", "surname"),
    [
        ("Diane Abbott MP", "Abbott"),
        ("John Smith Jr.", "Smith"),
        ("Jean DUPONT", "DUPONT"),
        ("Александр Лукашевич", "Лукашевич"),
        ("Назарбаев Нұрсұлтан Әбішұлы", "Назарбаев"),
        ("Александр Сергеевич Пушкин", "Пушкин"),
        ("Secretariat", ""),
    ],
)
def test_the_word_that_is_a_surname(name, surname):
    assert surname_of(name) == surname
