"""The words of the site: each language has all of them, and they fit together."""

import re

import pytest

from petition.outbox.answers import Channel, Status
from petition.report.site_pages import _CHANNELS, WORDS
from petition.template.fields import counted, own_name
from petition.web.unsubscribe import WORDS as OTHERS

MORE = {"day": "1 May", "hash": "0"}


def test_the_site_speaks_the_languages_of_the_unsubscribe_page():
    assert WORDS.keys() == OTHERS.keys()


@pytest.mark.parametrize("language", WORDS)
def test_a_language_has_all_words(language):
    assert WORDS[language].keys() == WORDS["en"].keys()
    assert WORDS[language]["status"].keys() == set(Status)
    assert set(_CHANNELS) == set(Channel)
    assert all(WORDS[language][one] for one in _CHANNELS.values())
    assert own_name(language)


@pytest.mark.parametrize("language", WORDS)
def test_a_sentence_has_the_same_places_in_each_language(language):
    for name, text in WORDS[language].items():
        english = WORDS["en"][name]
        if isinstance(text, str):
            places = [sorted(re.findall(r"\{\w*\}", one)) for one in (text, english)]
            assert places[0] == places[1]
        elif name != "status":
            assert "other" in text
            for number in (0, 1, 2, 5, 21, 1234):
                assert "{" not in counted(text, number, language, **MORE)


def test_russian_counts_as_russians_do():
    days = [counted(WORDS["ru"]["waiting"], number, "ru") for number in (1, 2, 5, 11, 21)]
    assert days == [
        "нет ответа 1 день",
        "нет ответа 2 дня",
        "нет ответа 5 дней",
        "нет ответа 11 дней",
        "нет ответа 21 день",
    ]
