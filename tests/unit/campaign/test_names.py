import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.names import column_name, curly_hint, language_tag, nearest, quoted, slug


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("First Name", "first_name"),
        (" E-mail ", "e_mail"),
        ("email", "email"),
        ("Имя и отчество", "имя_и_отчество"),
        ("Prénom", "prénom"),
        ("हिन्दी", "हिन्दी"),
        ("__class__", "class"),
        ("2nd phone", "column_2nd_phone"),
        ("", "column_7"),
        ("***", "column_7"),
        ("a.b/c", "a_b_c"),
    ],
)
def test_a_header_becomes_a_name_that_a_letter_can_use(header, name):
    assert column_name(header, 7) == name


@given(st.text())
def test_every_column_name_is_an_identifier_without_underscores_before_it(header):
    name = column_name(header, 1)
    assert name.isidentifier()
    assert not name.startswith("_")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Stop it, now!", "stop-it-now"),
        ("Открытое письмо", "открытое-письмо"),
        ("?!", ""),
    ],
)
def test_a_slug_keeps_letters_and_digits(title, expected):
    assert slug(title) == expected


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("ru", "ru"),
        ("ru_KZ", "ru-kz"),
        (" pt-BR ", "pt-br"),
        ("zh-Hant-TW", "zh-hant-tw"),
        ("Russian", None),
        ("r", None),
        ("ru-", None),
        ("", None),
        ("русский", None),
    ],
)
def test_a_language_tag_is_told_from_the_name_of_a_language(text, tag):
    assert language_tag(text) == tag


def test_the_nearest_name_is_found_or_none():
    assert nearest("subjet", ["to", "subject"]) == "subject"
    assert nearest("xyzzy", ["to", "subject"]) is None
    assert nearest("a" * 1_000_000, ["subject"]) is None


def test_a_long_text_is_cut_in_a_message():
    assert quoted("short") == '"short"'
    assert len(quoted("x" * 1_000_000)) < 70


@pytest.mark.parametrize(
    ("text", "at", "is_meant"),
    [
        ("“Save the library”", "", True),
        ("„Rettet die Bücherei“", "", True),
        ("“Now” or “never”", "", False),
        ("Save “our” library", "", False),
        ("title = “Save", "“", True),
        ('title = "Save”', "", True),
        ('title = "Save the “library”" x', "x", False),
        ("", "", False),
    ],
)
def test_curly_quotation_marks_in_place_of_straight_ones(text: str, at: str, is_meant: bool):
    assert bool(curly_hint(text, at)) == is_meant
