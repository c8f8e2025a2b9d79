"""What looks wrong in a copy, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.checks import style

# \x02 and \x03 stand around each merged value.
WRONG = [
    (style.empty_fields, "en", "Dear \x02\x03,\n", 'an empty field leaves a gap behind "Dear"'),
    (style.empty_fields, "en", "the \x02\x03 of Kaz", 'an empty field leaves a gap behind "the"'),
    (style.empty_fields, "en", "\x02Kim\x03 (\x02\x03) of", 'leaves a gap behind "Kim"'),
    (style.empty_fields, "en", "\x02\x03, Kaz", "leaves a gap where a line begins"),
    (style.empty_fields, "en", "Dear ,\n", 'a blank stands before the "," behind "Dear"'),
    (
        style.empty_fields,
        "en",
        "we said .\n",
        'before the "." behind "we said"',
    ),
    (style.empty_fields, "en", "Kim ( ) of", 'empty brackets stand behind "Kim"'),
    (style.tight_commas, "en", "Dear \x02Anna\x03,we write", 'the comma in "Anna,we"'),
    (style.tight_commas, "ru", "Уважаемая Анна,пишем", 'the comma in "Анна,пишем"'),
    (style.placeholders, "en", "Dear {{ name }},", '"{{ name }}" is left'),
    (style.placeholders, "en", "Dear \x02*|FNAME|*\x03,", '"*|FNAME|*" is left'),
    (style.placeholders, "en", "Dear [First Name],", '"[First Name]" is left'),
    (style.placeholders, "en", "Dear {name},", '"{name}" is left'),
    (style.placeholders, "en", "on [insert date]", '"[insert date]" is left'),
    (style.placeholders, "en", "Dear <<Last Name>>", '"<<Last Name>>" is left'),
    (style.placeholders, "ru", "Уважаемый [имя отчество]!", '"[имя отчество]" is left'),
    (style.drafts, "en", "TODO: ask Berik", '"TODO" is left'),
    (style.drafts, "en", "XXX pounds", '"XXX" is left'),
    (style.drafts, "en", "Lorem ipsum dolor", '"Lorem ipsum" is left'),
    (style.drafts, "en", "at ??? o'clock", '"???" is left'),
    (style.greeted_twice, "en", "Dear \x02Dear Mr Kim\x03,", '"Dear Dear" greets twice'),
    (style.greeted_twice, "ru", "Уважаемый \x02уважаемый Иван\x03!", "greets twice"),
    (style.greeted_twice, "kk", "Құрметті Құрметті Айгүл!", '"Құрметті Құрметті" greets twice'),
    (style.broken_links, "en", "see https://host", 'the link "https://host" does not parse'),
    (style.broken_links, "en", "https://a..example/x", "does not parse"),
    (style.broken_links, "en", "https:/a.example/x", "does not parse"),
    (style.broken_links, "en", "http://a.example:port/", "does not parse"),
    (style.broken_links, "en", "http://[::1/", "does not parse"),
    (style.broken_links, "en", "the [page] (https://a.example/)", "stands there as text"),
    (style.broken_links, "en", "the [page](https://a.example/a b)", "stands there as text"),
    (style.wrong_weekdays, "en", "by Friday, 28 September 2015", "2015-09-28 is a Monday"),
    (style.wrong_weekdays, "en", "by Friday 28th of September 2015", "2015-09-28 is a Monday"),
    (style.wrong_weekdays, "en", "Friday, September 28, 2015", "2015-09-28 is a Monday"),
    (
        style.wrong_weekdays,
        "ru",
        "в пятницу, \x0228 сентября 2015\x03",
        "09-28 is a Monday",
    ),
    (style.wrong_weekdays, "ru", "28 сентября 2015 г., пятница", "2015-09-28 is a Monday"),
    (style.wrong_weekdays, "kk", "2015 ж. 28 қыркүйек, жұма", "2015-09-28 is a Monday"),
    (style.wrong_weekdays, "de", "Freitag, 28. September 2015", "2015-09-28 is a Monday"),
]
RIGHT = [
    (style.empty_fields, "en", "Dear \x02Mr Kim\x03, and so on. And \x02x\x03."),
    (style.empty_fields, "en", "\x02\x03\n\nA line of its own may be empty."),
    (style.empty_fields, "en", "the .org and the .5 and ... so on"),
    (style.empty_fields, "en", "prefix\x02\x03, joined to its word"),
    (style.empty_fields, "fr", "Pourquoi ? Voici : ceci ; cela !"),
    (style.empty_fields, "en", "f() is a call"),
    (style.tight_commas, "en", "Dear Anna, we; 1,000 people, 51,5 %; a, b"),
    (style.tight_commas, "en", "https://a.example/x,y and a,b@x.example"),
    (style.placeholders, "en", "[1] the name {a} <b> 100 % of [our] names"),
    (style.drafts, "en", "Todo is a word; what? why??? XX"),
    (style.drafts, "es", "TODO el mundo"),
    (style.greeted_twice, "en", "Dear friends, hello."),
    (
        style.broken_links,
        "en",
        "https://a.example, (https://a.example/x(y)) <https://b.example/?q=1#z>.",
    ),
    (
        style.broken_links,
        "en",
        "http://localhost:8000/ and http://[::1]/ and https://münchen.example/ü",
    ),
    (style.broken_links, "en", "[1] (see below) and [words]"),
    (style.wrong_weekdays, "en", "Monday, 28 September 2015; Monday 28th September 2015"),
    (style.wrong_weekdays, "en", "on Friday, or by 28 September 2015; Friday, 31 June 2015"),
    (style.wrong_weekdays, "ru", "в понедельник, 28 сентября 2015 года"),
    (style.wrong_weekdays, "ru", "28 сентября 2015 г., понедельник"),
    (style.wrong_weekdays, "kk", "2015 ж. 28 қыркүйек, дүйсенбі"),
]


@pytest.mark.parametrize(("search", "language", "text", "told"), WRONG)
def test_a_slip(search, language, text, told):
    (slip,) = search(text, language)
    assert told in slip.what
    assert 0 <= slip.start < slip.end <= len(text)


@pytest.mark.parametrize(("search", "language", "text"), RIGHT)
def test_no_slip(search, language, text):
    assert list(search(text, language)) == []


@given(st.text(alphabet=st.sampled_from("aЯ ,.\n\x02\x03[](){}<>:/1?*|%https"), max_size=60))
def test_every_text_can_be_searched(text):
    for search in style.SEARCHES:
        for slip in search(text, "en"):
            assert 0 <= slip.start <= slip.end <= len(text)
            assert "\x02" not in slip.what


def test_a_paragraph_full_of_slips_is_told_of_a_few_times():
    assert len(style.slips_of("Dear " * 500, "en")) == 20
    assert len(style.slips_of("a," * 500, "en")) == 20
