from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.people import FirstLines
from petition.campaign.supporters import Repeated


@given(st.lists(st.lists(st.text(max_size=2), max_size=9)))
def test_each_text_that_stood_before_is_found_with_its_first_line(blocks):
    lines, first, line = FirstLines(), {}, 1
    for texts in blocks:
        numbers = list(range(line, line + len(texts)))
        line += len(texts)
        meant = {}
        for at, (text, number) in enumerate(zip(texts, numbers, strict=True)):
            if text and first.setdefault(text, number) != number:
                meant[at] = first[text]
        assert lines.repeats(texts, numbers) == meant


def test_a_hundred_thousand_texts_are_told_apart():
    lines = FirstLines()
    for begin in range(1, 100_001, 1_000):
        numbers = range(begin, begin + 1_000)
        assert lines.repeats(list(map(str, numbers)), numbers) == {}
    assert lines.repeats(["7", "x", "99999"], [200_001, 200_002, 200_003]) == {0: 7, 2: 99_999}


@given(st.lists(st.lists(st.text(max_size=2))))
def test_all_texts_that_are_repeated_are_found(blocks):
    repeated, seen, twice = Repeated(), set(), set()
    for texts in blocks:
        repeated.look_at(map(hash, texts))
        for text in texts:
            (twice if text in seen else seen).add(text)
    assert repeated.found >= {hash(text) for text in twice if text}
    assert hash("") not in repeated.found


def test_few_others_are_found():
    repeated = Repeated()
    repeated.look_at(hash(f"p{number}@x.example") for number in range(100_000))
    assert len(repeated.found) < 1_000
