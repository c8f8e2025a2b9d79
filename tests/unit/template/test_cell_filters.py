"""Dates, numbers and money of cells, as the language of the letter writes them."""

import pytest

from petition.errors import MergeRefused
from petition.identity import Signer
from petition.merge.message import Merger
from tests.unit.merge.letters import NOW, freeze_texts, person_of, plain_of, problems_of, text_of


def written(expression, cell, language):
    texts = [text_of(f"{{{{ {expression} }}}}", language=one) for one in ("en", language)]
    merger = Merger(freeze_texts(*texts[language == "en" :]), Signer(b"k" * 32))
    person = person_of(title=cell, language=language)
    return merger.show(person, 1, NOW).text.strip("\x02\x03\n").replace("\u202f", "\xa0")


@pytest.mark.parametrize(
    ("expression", "cell", "language", "expected"),
    [
        ("recipient.title | date", "2026-01-05", "en", "5 January 2026"),
        ("recipient.title | date", "2026-01-05 00:00:00", "en", "5 January 2026"),
        ("recipient.title | date", "5.1.2026", "ru", "5 января 2026\xa0г."),
        ("recipient.title | number", "1234.50", "en", "1,234.50"),
        ("recipient.title | number", "1,234.5", "de", "1.234,5"),
        ("recipient.title | number", "-7", "en", "-7"),
        ('recipient.title | money("GBP")', "1234.5", "en", "£1,234.50"),
        ('recipient.title | money("EUR")', "1234.5", "de", "1.234,50\xa0€"),
        ('recipient.title | date or "lately"', "", "en", "lately"),
    ],
)
def test_a_cell_is_written_as_the_language_does(expression, cell, language, expected):
    result = written(expression, cell, language)
    assert result == expected or result.replace("\xa0", " ") == expected.replace("\xa0", " ")


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *(("date", cell) for cell in ("05/01/2026", "2026-02-30", "soon", "2026")),
        *(("number", cell) for cell in ("1,234", "1.234,5", "12a", "1e9", "nan")),
        ('money("GBP")', "£5"),
    ],
)
def test_what_would_be_a_guess_is_refused_with_its_row_and_line(name, cell):
    with pytest.raises(MergeRefused) as refusal:
        plain_of(f"{{{{ recipient.title | {name} }}}}", person_of(title=cell))
    problem = refusal.value.problem
    assert (problem.file, problem.line) == ("recipients.csv", 7)
    assert "letters/open-letter.md:5" in problem.what


@pytest.mark.parametrize("name", ["money", 'money("XYZ")', "money(5)"])
def test_money_needs_a_currency(name):
    assert problems_of(text_of(f"{{{{ recipient.title | {name} }}}}")) == []
    with pytest.raises(MergeRefused) as refusal:
        plain_of(f"{{{{ recipient.title | {name} }}}}", person_of(title="5"))
    assert "GBP" in refusal.value.problem.hint


def test_an_empty_cell_stays_empty():
    with pytest.raises(MergeRefused, match="is empty"):
        plain_of("{{ recipient.title | date }}", person_of())
