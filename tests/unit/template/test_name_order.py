"""Names stand where a reader looks for them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.template.signatories import name_order

KAZAKH = "А Ә Б В Г Ғ Д Е Ё Ж З И Й К Қ Л М Н Ң О Ө П Р С Т У Ұ Ү Ф Х Һ Ц Ч Ш Щ Ъ Ы І Ь Э Ю Я"
RUSSIAN = "А Б В Г Д Е Ж З И Й К Л М Н О П Р С Т У Ф Х Ц Ч Ш Щ Ъ Ы Ь Э Ю Я"


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("kk", KAZAKH.split()),
        ("kk-kz", KAZAKH.lower().split()),
        ("ru", RUSSIAN.split()),
        ("ru", ["Елена", "Ёлкин", "Ерёмин", "Ермак", "Жданов"]),
        ("kk", ["Елена", "Ермак", "Ёлкин", "Жданов"]),
        ("kk", ["Ахмет", "Әлия", "Баян", "Қуат", "Лаура", "Ыбырай", "Ілияс", "Anna"]),
        ("ru", ["Ахмет", "Әлия", "Иван", "Ілияс", "Йод", "Қуат", "Ларс", "Anna", "Ελένη", "毛"]),
        ("en", ["Anna", "Åsa", "Élan", "Łukasz", "Małgorzata", "Ørsted", "Żak", "Ελένη", "Анна"]),
        ("en", ["Ann Zoo", "Anna Bee", "Anna Bée", "Annabel"]),
        ("en", ["Branch 2", "Branch 9", "Branch 12", "Branch A"]),
        ("en", ["O’Dowd", "Odowda", "“Old” Bob", "Olden"]),
        ("en", ["3 Oaks", "Zoe", "محمد"]),
        ("sv", ["Zorn", "Åberg", "Ärla", "Öberg"]),
        ("pl", ["Lis", "Łoś", "Mak", "Zając", "Źródło", "Żaba"]),
        ("da", ["Zeuthen", "Æblegård", "Østermark", "Åberg"]),
        ("el", ["Ελένη", "Σοφία", "Anna", "Анна"]),
        ("uk", ["Ганна", "Ґалаґан", "Дмитро", "Євген", "Ірина", "Їжак", "Йосип", "Anna"]),
    ],
)
def test_order(language, names):
    shuffled = random.Random(3).sample(names, len(names))
    assert sorted(shuffled, key=name_order(language)) == names


@given(st.text(max_size=12), st.text(max_size=12), st.sampled_from(["en", "ru", "kk", "sv"]))
def test_every_text_has_a_place(one, other, language):
    order = name_order(language)
    assert (order(one) == order(other)) is (one == other)
    assert sorted([one, other], key=order) == sorted([other, one], key=order)
