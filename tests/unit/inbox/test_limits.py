"""Mails beyond the limits are set aside; whatever else they are, nothing goes wrong."""

import base64
import re
import time
from collections.abc import Iterator
from email.message import Message
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition import mail_parser
from petition.inbox import Finding, Kind, bounce, classify
from petition.inbox.bounce import bounce_of
from petition.inbox.classify import explain
from petition.inbox.mailboxes import Fetched, received
from petition.mail_parser import MailPart
from tests.unit.inbox.test_classify import SAMPLES

HEAD = b"From: a@kaz.example\nTo: b@campaign.example\nSubject: x\nMIME-Version: 1.0\n"


def nested(depth: int) -> bytes:
    parts = [
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth)
    ]
    return HEAD + b"".join(parts) + b"Content-Type: text/plain\n\nhello\n"


def forwarded(depth: int) -> bytes:
    return b"Content-Type: message/rfc822\n\n" * depth + HEAD + b"\nhello\n"


def of_parts(number: int) -> bytes:
    return HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nhello\n" * number


def quoted(depth: int, size: int) -> bytes:
    """Mails within mails, each with a transfer encoding that has to be undone."""
    head = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n=\n"
    mail = b"\nhello\n" + b"x" * size
    for _ in range(depth):
        mail = head + mail.replace(b"=", b"=3D")
    return HEAD + mail


LONG = b"X: " + b"y" * 200_000 + b"\n\nhello\n"


@pytest.mark.parametrize(
    ("mail", "word"),
    [
        (HEAD + b"\n" + b"x" * mail_parser.BYTES, "25 MB"),
        (HEAD + b"X-Long: " + b"x" * mail_parser.HEADER_BYTES + b"\n\nhello\n", "256 KB"),
        (HEAD + b"X: y\n" * 60_000 + b"\nhello\n", "256 KB"),
        (nested(51), "50 deep"),
        (nested(5_000), "50 deep"),
        (forwarded(60), "50 deep"),
        (HEAD + b"Content-Type: multipart/mixed; boundary=b\n" + (b"\n--b\n" + LONG) * 9, "1 MB"),
        (quoted(40, 1_000_000), "the mails in it are larger"),
        (of_parts(1_001), "1,000 parts"),
        (of_parts(300_000), "1,000 parts"),
    ],
    ids=[
        "size",
        "a header",
        "headers",
        "deep",
        "deeper",
        "forwarded",
        "all headers",
        "encoded",
        "parts",
        "more parts",
    ],
)
def test_a_mail_beyond_a_limit_is_set_aside_with_its_reason(mail: bytes, word: str):
    found = explain(mail)
    assert found.kind is None
    assert found.reason.startswith("set aside: ")
    assert word in found.reason


@pytest.mark.parametrize(
    "mail", [nested(49), forwarded(49), of_parts(900), HEAD + b"\n" + b"x\n" * 12_000_000]
)
def test_a_mail_within_the_limits_is_read(mail: bytes):
    assert explain(mail).kind is Kind.ANSWER


def test_a_long_text_is_cut_between_two_characters():
    for more in range(4):
        words = "Мы встретимся. ".encode() * 20_000
        found = explain(HEAD + b"\n" + b"x" * more + words)
        assert "Мы встретимся." in found.reason


def test_a_busy_or_sleeping_machine_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    def late(mail: MailPart) -> Finding | None:
        time.sleep(2.1)
        return bounce_of(mail)

    monkeypatch.setattr(classify, "bounce_of", late)
    assert explain(HEAD + b"\nhello\n").kind is Kind.ANSWER


def test_every_repetition_in_the_patterns_is_bounded():
    """A pattern that goes on to the end of a text from each of its places takes its square."""
    text = (files("petition.inbox") / "patterns.txt").read_text(encoding="utf-8")
    lines = text.partition("\n== ")[2].splitlines()
    endless = re.compile(r"(?<!\\)(?:\\[a-zA-Z]|[\])]|[^\s(|\\])(?:[*+]|\{\d+,\})")
    assert [line for line in lines if not line.startswith("==") and endless.search(line)] == []


def test_patterns_of_others_see_no_line_that_takes_the_square_of_its_length(
    monkeypatch: pytest.MonkeyPatch,
):
    seen: list[bytes] = []

    def looks(mail: Message) -> Iterator[bytes]:
        seen.append(mail.as_bytes())
        return iter(())

    monkeypatch.setattr(bounce, "all_failures", looks)
    explain(b"From: mailer-daemon@mx.example\nSubject: Undelivered\n\n" + b"," * SIZE)
    assert max(map(len, seen[0].splitlines())) == 998


SIZE = 256 * 2**10
# Pieces that some pattern begins with, and goes on with for as long as it can.
REPEATED = [
    *(
        b"On ",
        b"On\n",
        b"a",
        b"a@",
        b"a@a.",
        b"a@a.aa ",
        b"<",
        b"<a@",
        b"<a@b.c> ",
        b"> ",
        b"> x\n",
    ),
    *(
        b" ",
        b"\n",
        b" \n",
        b"\t",
        b"\r",
        b"--\n",
        b"-- \n",
        b"-",
        b"_",
        b"_\n",
        b"=\n",
        b"=3D",
        b"*",
    ),
    *(
        b"<style>",
        b"<!--",
        b"<a ",
        b"<div ",
        b"<div gmail_quote",
        b"&",
        b"&amp;",
        b"&#1",
        b"(",
        b"[",
    ),
    *(b"\xff\x00\x1b[2J", b"=?", b"=?utf-8?q?a?= ", b"10.10.2010 ", b"1.1.1 wrote", b"wrote:\n"),
    *(b"user ", b"user", b"550 ", b"550-5.1.1 ", b"5.", b"error", b"exceed", b"over!", b"to: <"),
    *(
        "адрес".encode(),
        "получател".encode(),
        b"sent to a@",
        b"rcpt to: \n",
        b"To:\n",
        b"from: x\n",
    ),
    *(b"final-recipient:\n\n", b"Final-Recipient: rfc822; a@b.c\nAction: failed\n\n"),
    *(b"Message-ID: <", b"Message-ID: <a@", b"x-auto-reply-", b"the following address ", b"<\n"),
]
SECONDS = 5.0  # of the processor, so that other programs on the machine do not count


def seconds_for(mail: bytes) -> float:
    before = time.thread_time()
    received(Fetched("x", mail), "maildir:x")
    return time.thread_time() - before


FIELDS = [
    *(b"Subject", b"From", b"To", b"Content-Type", b"Message-ID", b"References", b"In-Reply-To"),
    *(b"X-Failed-Recipients", b"Delivered-To", b"Auto-Submitted", b"Return-Path"),
]
DSN = b"message/delivery-status"
TYPES = [
    *(b"text/plain", b"text/html", DSN, b"message/rfc822"),
    *(b"application/octet-stream", b"text/rfc822-headers", b"message/feedback-report"),
]


def parts(piece: bytes) -> list[bytes]:
    """900 parts of all types in turn, and of the one that says most; 5 MB together."""
    content = piece * (5_500 // len(piece))
    of_each = [b"--c\nContent-Type: " + one + b"\n\n" + content + b"\n" for one in TYPES]
    return [b"".join(of_each) * (900 // len(TYPES)), of_each[TYPES.index(DSN)] * 900]


@pytest.mark.slow
@pytest.mark.parametrize("piece", REPEATED)
def test_malicious_mail_takes_a_few_seconds_at_most(piece: bytes):
    body = b"Unable to deliver. User unknown\n" + piece * (SIZE // len(piece))
    field = piece.replace(b"\n", b"\n ") * (SIZE // len(piece) // 2)
    daemon = HEAD.replace(b"a@kaz", b"mailer-daemon@kaz")
    report = daemon + b"Content-Type: multipart/report; boundary=c\n\n"
    mails = [
        *(daemon + b"Content-Type: text/" + kind + b"\n\n" + body for kind in (b"plain", b"html")),
        HEAD + b"\n" + body,
        HEAD + b"\n" + piece * (mail_parser.BYTES // len(piece) - 1_000),
        *(name + b": " + field + b"\n" + daemon + b"\nhello\n" for name in FIELDS),
        *(report + part for part in parts(piece)),
    ]
    took = {number: seconds_for(mail) for number, mail in enumerate(mails)}
    slowest = max(took, key=lambda number: took[number])
    assert took[slowest] < SECONDS, mails[slowest][:300]


@given(st.binary(max_size=3_000))
def test_any_bytes_can_be_classified(data: bytes):
    found = explain(data)
    assert found.kind is not None or found.reason


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/report; boundary=b; report-type=delivery-status\n",
        b"Content-Type: message/delivery-status\n",
        b"Content-Type: message/rfc822\n",
        b"Content-Type: text/html; charset=unicode_escape\n",
        b"Content-Type: text/plain; charset*0*=%FF''x; =\"\n",
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: quoted-printable\n",
        b"From: =?utf-8?b?\xff?= <mailer-daemon@\xff>\n",
        b"Subject: =?hz?q?=~{?= undeliverable\n",
        b"Final-Recipient: utf-8; \\x{110000}\\x{d800}@x\n",
        b"Action: failed\n",
        b"Auto-Submitted: \x1b[31m\n",
        b"\n",
        b"--b\n",
        b"--b--\n",
        b"550 5.1.1 <x@y.example>: user unknown\n",
        b"=ZZ=\n",
        b"<blockquote><style><!--\n",
        base64.b64encode(b"--b\nAction: failed\n") + b"\n",
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=30))
def test_any_mail_of_broken_pieces_can_be_classified(pieces: list[bytes]):
    found = explain(b"".join(pieces))
    assert found.kind is not None or found.reason


@given(st.data())
def test_any_damaged_sample_can_be_classified(data: st.DataObject):
    path = data.draw(st.sampled_from(sorted(SAMPLES.glob("*.eml"))))
    mail = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        mail[data.draw(st.integers(0, len(mail) - 1))] = data.draw(st.integers(0, 255))
    found = explain(bytes(mail))
    assert found.kind is not None or found.reason
