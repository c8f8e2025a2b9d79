"""Dates are written as the letter's language writes them."""

import re
from datetime import date

import pytest

from petition.template.fields import LetterDate

DAY = date(2015, 10, 12)


@pytest.mark.parametrize(
    ("language", "long", "weekday"),
    [
        ("en", "12 October 2015", "Monday"),
        ("en-us", "October 12, 2015", "Monday"),
        ("ru", "12 октября 2015\u202fг.", "понедельник"),
        ("ru-kz", "12 октября 2015\u202fг.", "понедельник"),
        ("kk", "2015\u202fж. 12 қазан", "дүйсенбі"),
        ("de", "12. Oktober 2015", "Montag"),
        ("pt-br", "12 de outubro de 2015", "segunda-feira"),
        ("xx", "12 October 2015", "Monday"),
        ("not-a-language", "12 October 2015", "Monday"),
    ],
)
def test_long_date(language, long, weekday):
    day = LetterDate("today", DAY, language)
    # Which blank stands before an abbreviation depends on the edition of CLDR.
    assert re.sub("[ \xa0](?=[гж]\\.)", "\u202f", str(day)) == long
    assert day.field("weekday") == weekday
    assert (day.field("iso"), day.field("year")) == ("2015-10-12", 2015)


def test_date_has_no_other_field():
    with pytest.raises(KeyError):
        LetterDate("today", DAY, "en").field("month")
