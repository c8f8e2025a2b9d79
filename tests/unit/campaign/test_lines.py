import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign import people as module
from petition.campaign.people import FirstLines


@pytest.fixture(params=["in memory", "in a file", "without a disk"])
def texts_apart(request, monkeypatch):
    """Few texts fit into memory, or there is no disk for the others."""
    if request.param != "in memory":
        monkeypatch.setattr(module, "_IN_HAND", 5)
        monkeypatch.setattr(module, "_BUCKET", 2)
    if request.param == "without a disk":
        monkeypatch.setattr(module.tempfile, "tempdir", "/nowhere")


@pytest.mark.usefixtures("texts_apart")
class TestFirstLines:
    @given(st.lists(st.text(max_size=2)))
    def test_it_is_a_dictionary_of_first_places(self, texts):
        lines, meant = FirstLines(), {}
        for line, text in enumerate(texts, 1):
            assert lines.first(text, line) == meant.setdefault(text, line)
        assert len(lines) == len(meant)
        assert all(lines.first(text, 999) == line for text, line in meant.items())


def test_it_goes_on_from_memory_to_a_file():
    lines = FirstLines()
    for number in range(1, 100_001):
        assert lines.first(str(number), number) == number
    assert all(lines.first(str(number), 999_999) == number for number in range(1, 100_001))
    assert len(lines) == 100_000


def test_what_the_filter_lets_through_by_chance_is_looked_for_in_vain(monkeypatch):
    monkeypatch.setattr(module, "_IN_HAND", 64)
    monkeypatch.setattr(module, "_MASK", 0xFF)
    lines = FirstLines()
    for number in range(1, 5_001):
        assert lines.first(str(number), number) == number
