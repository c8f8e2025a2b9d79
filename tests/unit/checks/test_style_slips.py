"""What looks wrong in a copy, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.checks import style

# \x02 and \x03 stand around each merged value.
WRONG = [
    ("en", "Dear \x02\x03,\n", 'an empty field leaves a gap after "Dear"'),
    ("en", "the \x02\x03 of Kaz", 'an empty field leaves a gap after "the"'),
    ("en", "\x02Kim\x03 (\x02\x03) of", 'leaves a gap after "Kim"'),
    ("en", "\x02\x03, Kaz", "gap at the beginning of a line"),
    ("en", "Dear ,\n", 'before the "," after "Dear"'),
    (
        "en",
        "we said .\n",
        'before the "." after "we said"',
    ),
    ("en", "Kim ( ) of", 'empty brackets after "Kim"'),
    ("en", "Dear \x02Anna\x03,we write", 'the comma in "Anna,we"'),
    ("ru", "Уважаемая Анна,пишем", 'the comma in "Анна,пишем"'),
    ("en", "Dear {{ name }},", '"{{ name }}" is left'),
    ("en", "Dear \x02*|FNAME|*\x03,", '"*|FNAME|*" is left'),
    *(
        ("en", f"the {mark}, and", f'"{mark}" is left')
        for mark in (
            *("{recipient.name}", "{ recipient.name }", "{recipient.name}}", "{{recipient.name}"),
            *("%FIRSTNAME%", "${name}", "$name$", "$$name$$", "{City}", "[Organisation]"),
            *("|FIRST_NAME|", "<First Name>", "<name>", "@@name@@", "##name##", "«First_Name»"),
            "_____",
        )
    ),
    ("en", "**Bold words", '"**" is shown'),
    ("en", "and bold** words", '"**" is shown'),
    ("en", "#Title", '"#" is shown'),
    ("en", "-item", '"-" is shown'),
    ("en", "• item", '"•" is shown'),
    ("en", "the (page)[https://a.example/]", "is text in the letter"),
    ("en", "Dear [First Name],", '"[First Name]" is left'),
    ("en", "Dear {name},", '"{name}" is left'),
    ("en", "on [insert date]", '"[insert date]" is left'),
    ("en", "Dear <<Last Name>>", '"<<Last Name>>" is left'),
    ("ru", "Уважаемый [имя отчество]!", '"[имя отчество]" is left'),
    ("en", "TODO: ask Berik", '"TODO" is left'),
    ("en", "XXX pounds", '"XXX" is left'),
    ("en", "Lorem ipsum dolor", '"Lorem ipsum" is left'),
    ("en", "at ??? o'clock", '"???" is left'),
    ("en", "Dear \x02Dear Mr Kim\x03,", '"Dear Dear" greets twice'),
    ("ru", "Уважаемый \x02уважаемый Иван\x03!", "greets twice"),
    ("kk", "Құрметті Құрметті Айгүл!", '"Құрметті Құрметті" greets twice'),
    ("en", "see https://host", 'the link "https://host" is not valid'),
    ("en", "https://a..example/x", "is not valid"),
    ("en", "https:/a.example/x", "is not valid"),
    ("en", "http://a.example:port/", "is not valid"),
    ("en", "http://[::1/", "is not valid"),
    ("en", "the [page] (https://a.example/)", "is text in the letter"),
    ("en", "the [page](https://a.example/a b)", "is text in the letter"),
    ("en", "by Friday, 28 September 2015", "2015-09-28 is a Monday"),
    ("en", "by Friday 28th of September 2015", "2015-09-28 is a Monday"),
    ("en", "Friday, September 28, 2015", "2015-09-28 is a Monday"),
    (
        "ru",
        "в пятницу, \x0228 сентября 2015\x03",
        "09-28 is a Monday",
    ),
    ("ru", "28 сентября 2015 г., пятница", "2015-09-28 is a Monday"),
    ("kk", "2015 ж. 28 қыркүйек, жұма", "2015-09-28 is a Monday"),
    ("de", "Freitag, 28. September 2015", "2015-09-28 is a Monday"),
]
RIGHT = [
    ("en", "Dear \x02Mr Kim\x03, and so on. And \x02x\x03."),
    ("en", "\x02\x03\n\nA line of its own may be empty."),
    ("en", "the .org and the .5 and ... so on"),
    ("en", "prefix\x02\x03, joined to its word"),
    ("fr", "Pourquoi ? Voici : ceci ; cela !"),
    ("en", "f() is a call"),
    ("en", "Dear Anna, we; 1,000 people, 51,5 %; a, b"),
    ("en", "https://a.example/x,y and a,b@x.example"),
    ("en", "[1] the name {a} <b> 100 % of [our] names"),
    ("en", "Todo is a word; what? why??? XX"),
    ("en", "50 % of 20%, $5 and $6$, 2**3, [T]he, a | b | c, snake_case and <a@b.example>"),
    ("en", "- item\n\n______\n\n* * *\n\n#one #two\n\n[Title: x] [sic] «слово»"),
    ("es", "TODO el mundo"),
    ("en", "Dear friends, hello."),
    (
        "en",
        "https://a.example, (https://a.example/x(y)) <https://b.example/?q=1#z>.",
    ),
    (
        "en",
        "http://localhost:8000/ and http://[::1]/ and https://münchen.example/ü",
    ),
    ("en", "[1] (see below) and [words]"),
    ("en", "Monday, 28 September 2015; Monday 28th September 2015"),
    ("en", "on Friday, or by 28 September 2015; Friday, 31 June 2015"),
    ("ru", "в понедельник, 28 сентября 2015 года"),
    ("ru", "28 сентября 2015 г., понедельник"),
    ("kk", "2015 ж. 28 қыркүйек, дүйсенбі"),
]


@pytest.mark.parametrize(("language", "text", "told"), WRONG)
def test_a_slip(language, text, told):
    (slip,) = style.slips_of(text, language)
    assert told in slip.what
    assert 0 <= slip.start < slip.end <= len(text)


@pytest.mark.parametrize(("language", "text"), RIGHT)
def test_no_slip(language, text):
    assert style.slips_of(text, language) == ()


@given(st.text(alphabet=st.sampled_from("aЯ ,.\n\x02\x03[](){}<>:/1?*|%https"), max_size=60))
def test_every_text_can_be_searched(text):
    for slip in style.slips_of(text, "en"):
        assert 0 <= slip.start <= slip.end <= len(text)
        assert "\x02" not in slip.what


def test_a_paragraph_full_of_slips_is_reported_a_few_times():
    assert len(style.slips_of("Dear " * 500, "en")) == 20
    assert len(style.slips_of("a," * 500, "en")) == 20
