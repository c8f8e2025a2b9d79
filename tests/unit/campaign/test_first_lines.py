from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.people import FirstLines


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
