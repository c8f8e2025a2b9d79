"""Replies cut from bytes, however these arrive."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.smtp.syntax import MAX_LINE, MAX_REPLY, NotAReplyError, ReplyParser


def replies(*pieces):
    parser = ReplyParser()
    found = [str(reply) for piece in pieces for reply in parser.feed(piece)]
    return found, parser.is_midway


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"250 ok\r\n", ["250 ok"]),
        (b"250\r\n", ["250"]),
        (b"250 \r\n", ["250"]),
        (b"250-\r\n250\r\n", ["250"]),
        (b"250 bare\n", ["250 bare"]),
        (b"250-2.1.0 one\r\n250-two\r\n250 2.1.0 three\r\n", ["250 2.1.0 one two three"]),
        (b"250 a\r\n550 b\r\n354 c\r\n", ["250 a", "550 b", "354 c"]),
        (b"250 a\rb\r\n", ["250 a\N{REPLACEMENT CHARACTER}b"]),
    ],
)
def test_replies_are_found_wherever_the_bytes_are_cut(sent, found):
    assert replies(sent) == (found, False)
    assert replies(*(sent[number : number + 1] for number in range(len(sent)))) == (found, False)


@pytest.mark.parametrize("sent", [b"2", b"250 half", b"250-one\r\n", b"250-one\r\n250"])
def test_half_a_reply_is_none_yet(sent):
    assert replies(sent) == ([], True)


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n",
        b"hello\r\n",
        b"25 x\r\n",
        b"2500 x\r\n",
        b"250_x\r\n",
        b"650 x\r\n",
        b"099 x\r\n",
        b" 250 x\r\n",
        "٢٥٠ x\r\n".encode(),
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n\r\n",
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"x" * (MAX_LINE + 1),
        (b"250-" + b"x" * 1000 + b"\r\n") * (MAX_REPLY // 1000),
    ],
)
def test_what_is_no_reply(sent):
    with pytest.raises(NotAReplyError):
        replies(sent)


def test_a_reply_before_garbage_counts():
    feed = ReplyParser().feed(b"250 2.0.0 taken\r\ngarbage\r\n")
    assert str(next(feed)) == "250 2.0.0 taken"
    with pytest.raises(NotAReplyError):
        next(feed)


@given(st.lists(st.binary(max_size=200)))
def test_any_bytes_are_replies_or_garbage(pieces):
    with suppress(NotAReplyError):
        found, _ = replies(*pieces)
        assert all(text.isprintable() for text in found)
