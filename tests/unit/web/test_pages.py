import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.web.responses import language_for
from petition.web.unsubscribe import HEADERS, STYLE, WITH_BUTTON, WORDS, Pages


def texts_of(language: str) -> dict[str, str]:
    words = WORDS[language]
    pages = {name: page for name, page in words.items() if name != "button"}
    texts = {f"{name}.{kind}": text for name, page in pages.items() for kind, text in page.items()}
    return {"button": words["button"], **texts}


def fields_of(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


HOSTILE = Pages('<script>"&{sender}', 'a"><b>@x.example')


@pytest.mark.parametrize("language", WORDS)
def test_each_language_has_the_same_pages_and_names(language):
    assert texts_of(language).keys() == texts_of("en").keys()
    for key, text in texts_of(language).items():
        assert fields_of(text) == fields_of(texts_of("en")[key])
        assert text.strip() == text != ""


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("page", ["ask", "done", "unknown", "noted", "later"])
def test_a_sender_cannot_add_markup(language, page):
    text = HOSTILE.html(page, language)
    assert ("<button>" in text) is (page in WITH_BUTTON)
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count("<h1>") == 1
    assert f"<style>{STYLE}</style>" in text  # the very text that the policy has the hash of


def test_the_policy_allows_nothing_from_another_site():
    assert "http" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("accepted", "others", "language"),
    [
        ("", ["ru-KZ", "en"], "ru"),
        ("zh, ja", ["kk"], "kk"),
        ("de", ["kk"], "de"),
        ("", ["zh"], "en"),
        ("fr;q=0", ["es"], "es"),
    ],
)
def test_the_row_decides_if_the_browser_accepts_none_of_our_languages(accepted, others, language):
    assert language_for(accepted, others, WORDS) == language


@given(st.text(max_size=200))
def test_any_accept_language_gets_a_page(accepted):
    assert language_for(accepted, [], WORDS) in WORDS
