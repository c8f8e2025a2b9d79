"""Quoted-printable pieces, and the letter made of them beside one of the standard library."""

import email.policy
import quopri
import re
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.merge.fast_fill import (
    are_whole,
    encode,
    encode_value,
    encode_values,
    print_plain,
)
from petition.template.fields import in_html, lines_in_html
from tests.unit.merge.letters import NOW, merger_of, parts_of, person_of

ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
PIECES = st.lists(st.one_of(ANY, st.from_regex(r"[. =\n\tab\u00e4\u0436]{0,200}", fullmatch=True)))

ENDINGS = st.sampled_from(["", "a", "\r", "\n", "\r\n", ".", "a\r\nb"])


def decoded(encoded):
    return quopri.decodestring(encoded.encode("ascii")).decode().replace("\r\n", "\n")


def assert_lines_hold(encoded):
    assert encoded == "" or encoded.endswith("\r\n")
    assert not re.search(r"\r(?!\n)|(?<!\r)\n", encoded)
    for line in encoded.split("\r\n"):
        assert len(line) <= 76
        assert not line.startswith(".")
        assert not line.endswith((" ", "\t"))
        assert re.fullmatch(r"(?:[ -<>-~\t]|=[0-9A-F]{2})*=?", line)


@given(pieces=PIECES)
def test_pieces_in_a_row_read_back_as_their_text(pieces):
    encoded = "".join(map(encode, pieces))
    assert_lines_hold(encoded)
    assert decoded(encoded) == "".join(pieces)


@given(text=ANY)
def test_values_are_encoded_as_all_text_is(text):
    assert decoded(encode_value(text)) == text
    assert_lines_hold(encode_value(text))


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_printed_values_read_back(text):
    assert decoded(print_plain(text)) == text
    assert decoded(encode_value(in_html(text))) == text.translate(
        {34: "&quot;", 38: "&amp;", 39: "&#x27;", 60: "&lt;", 62: "&gt;"}
    )


@pytest.mark.parametrize(
    "text",
    [".", "..", "." * 200, ".a" * 100, "=" * 100, " " * 100, "ж" * 100, "\n.\n.", "a \nb\t\n"],
)
def test_lines_never_begin_with_a_dot(text):
    assert_lines_hold(encode(text))
    assert decoded(encode(text)) == text


BODY = """# {{ recipient.title }}

Dear {{ recipient.name }}, жж {{ recipient.salutation or "." }}

.begins with a dot {{ recipient.title }}.

{% for demand in demands %}
- {{ demand.title }} {{ recipient.title }}
{% endfor %}

[{{ recipient.name }}](https://a.example/{{ recipient.title }}) {{ "=" * 90 }}

{{ signatories }}
"""


def built(merger, person):
    """The letter as the standard library builds it."""
    shown = merger.show(person, 1, NOW)
    message = EmailMessage(policy=email.policy.SMTP)
    for name, value in shown.headers:
        if name not in {"MIME-Version", "Content-Type"}:
            message[name] = value
    message.set_content(re.sub("[\x02\x03]", "", shown.text), cte="quoted-printable")
    message.add_alternative(merger.html(person, 1), subtype="html", cte="quoted-printable")
    return message.as_bytes()


@pytest.mark.parametrize(
    "title", ["Chair", ".", "x" * 300, "ж" * 90, "a\nb\n", " a ", "<&'\">", "=3D"]
)
def test_letter_is_the_one_that_the_standard_library_builds(title):
    merger, person = merger_of(BODY, "To {{ recipient.name }}"), person_of(title=title)
    ours = merger.merge(person, 1, NOW, full=True)
    message, text, html = parts_of(ours.data)
    oracle, oracle_text, oracle_html = parts_of(built(merger, person))
    assert (text, html) == (oracle_text, oracle_html)
    for name in ("Date", "From", "To", "Subject", "Message-ID", "MIME-Version"):
        assert str(message[name]) == str(oracle[name])


def test_no_line_of_a_letter_needs_dot_stuffing():
    data = merger_of(BODY).merge(person_of(title="."), 1, NOW, full=False).data
    lines = data.decode("ascii").split("\r\n")
    assert lines[-1] == ""
    assert max(map(len, lines)) <= 76
    assert not [line for line in lines if line.startswith(".") or "\r" in line or "\n" in line]


@pytest.mark.parametrize(
    "tag",
    [
        "{% if 1 %}x{% endif %}",
        "{% for a in 'ab' %}{{ a }}{% endfor %}",
        "{% set a = 1 %}x",
        "{% with a = 1 %}x{% endwith %}",
    ],
)
def test_what_is_sent_is_what_is_shown(tag):
    merger = merger_of(f"{tag} {{{{ recipient.name }}}}")
    sent = merger.merge(person_of(), 1, NOW, full=False)
    assert sent.is_whole
    _, text, html = parts_of(sent.data)
    shown = merger.show(person_of(), 1, NOW).text
    assert "\x02" in shown
    assert text == re.sub("[\x02\x03]", "", shown)
    assert html == merger.html(person_of(), 1)


@given(pieces=st.lists(st.text("a.=\r\n\0", max_size=8).map(lambda text: text + "\r\n") | ENDINGS))
def test_pieces_that_are_whole_make_a_letter_without_a_bare_end_or_a_leading_dot(pieces):
    """The short way of looking a letter over, beside the long one: bytes with whatever ends."""
    together = "".join(pieces)
    if are_whole(pieces):
        assert not re.search(r"\r(?!\n)|(?<!\r)\n|^\.|\n\.", together)
        assert together == "" or together.endswith("\r\n")
    # None but these are turned away: the short way would be of no use else.
    if "\0" not in together:
        assert are_whole(pieces) == all(
            not re.search(r"\r(?!\n)|(?<!\r)\n|^\.|\n\.", piece) and piece[-2:] in {"", "\r\n"}
            for piece in pieces
        )


@pytest.mark.parametrize("bad", [".", "\r", "\n", "a\r\n.", "\0", "a"])
def test_a_long_piece_is_looked_at_like_a_short_one(bad):
    line = "a" * 200 + "\r\n"
    assert are_whole([line, line])
    assert not are_whole([line, bad + line[len(bad) :] if bad != "a" else line + bad])


@given(pieces=PIECES)
def test_what_is_encoded_is_whole(pieces):
    plain, page = encode_values(pieces, in_html)
    assert are_whole([*map(encode, pieces), *map(encode_value, pieces), *plain, *page])


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.text("a'.<=&")))
def test_values_are_encoded_together_as_they_are_one_by_one(texts):
    for to_html in (in_html, lines_in_html):
        pages = [encode_value(to_html(text)) for text in texts]
        assert encode_values(texts, to_html) == ([*map(print_plain, texts)], pages)
