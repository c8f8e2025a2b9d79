"""The headers of a bulk letter, written once and then only given each copy's token."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.merge.headers import BULK_HEADERS, Mailing, _folded
from petition.smtp import dkim
from tests.unit.merge.letters import freeze_texts, text_of

DOCS = Path(__file__).parents[3] / "docs"

TOKENS = st.text("0123456789abcdef", min_size=32, max_size=32)
URLS = st.from_regex(r"https://[a-z]{1,30}\.example(?:/[a-z]{0,60}){0,2}", fullmatch=True)
MAILTOS = st.from_regex(r"[a-z']{1,40}(?:\+\{token\})?@[a-z]{1,30}\.example", fullmatch=True)
FOR_ALL = dict.fromkeys(BULK_HEADERS[2:], "x" * 70)


@given(url=URLS | st.none(), mailto=MAILTOS, token=TOKENS)
def test_headers_are_those_that_are_written_with_the_token_itself(url, mailto, token):
    mailing = Mailing(url, mailto, FOR_ALL)
    written = (_folded(f"{name}:", words) for name, words in mailing._words(token).items())
    assert mailing.headers(token) == "".join(written)
    assert token in mailing.link(token)
    unfolded = mailing.headers(token).replace("\r\n ", " ").split("\r\n")[:-1]
    assert dict(line.split(": ", 1) for line in unfolded) == mailing.values(token)


@pytest.mark.parametrize("page", ["bulk.md", "deliverability.md"])
def test_every_header_of_a_bulk_letter_is_documented(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [name for name in BULK_HEADERS if not re.search(rf"{name}\b", text)] == []


def test_a_bulk_letter_has_every_header_and_dkim_signs_it():
    text = text_of("Hello {{ unsubscribe }}", kind="bulk")
    ways = {"url": "https://leave.example", "mailto": "leave@campaign.example"}
    mailing = Mailing.of(freeze_texts(text, unsubscribe=ways))
    assert mailing is not None
    assert mailing.names == BULK_HEADERS
    assert set(BULK_HEADERS) <= set(dkim._SIGNED)
