from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.lines import FirstLines


@given(st.lists(st.text(max_size=3)))
def test_it_is_a_dictionary_of_first_places(texts):
    lines, meant = FirstLines(), {}
    for line, text in enumerate(texts, 1):
        assert lines.first(text, line) == meant.setdefault(text, line)
    assert len(lines) == len(meant)
    assert all(lines.get(text) == line for text, line in meant.items())
    assert lines.get("not there") is None


def test_it_grows():
    lines = FirstLines()
    for number in range(1, 20_001):
        assert lines.first(str(number), number) == number
    assert all(lines.first(str(number), 99_999) == number for number in range(1, 20_001))
