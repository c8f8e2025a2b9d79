import string
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.web.pages import HEADERS, STYLE, WORDS, Pages, Words, language_for

HOSTILE = Pages('<script>"&{sender}', 'a"><b>@x.example')


@pytest.mark.parametrize("language", WORDS)
def test_each_language_says_everything_and_names_only_what_is_there(language):
    for each in fields(Words):
        text = getattr(WORDS[language], each.name)
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        wanted = {"explain": {"sender"}, "after": {"sender"}, "hint": {"address"},
                  "again": {"address"}}  # fmt: skip
        assert names == wanted.get(each.name, set())
        assert text.strip() == text != ""


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("page", ["asking", "done", "unknown", "later"])
def test_a_sender_cannot_add_markup(language, page):
    text = getattr(HOSTILE, page)(language)
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count("<h1>") == 1
    assert f"<style>{STYLE}</style>" in text  # the very text that the policy has the hash of


def test_the_policy_allows_no_source_of_another_site():
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
def test_the_row_speaks_where_the_browser_wants_none_of_ours(accepted, others, language):
    assert language_for(accepted, others) == language


@given(st.text(max_size=200))
def test_whatever_a_browser_asks_for_there_is_a_page(accepted):
    assert language_for(accepted, []) in WORDS
