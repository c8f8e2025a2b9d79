"""Mails beyond the limits are set aside; whatever else they are, nothing goes wrong."""

import base64
import itertools
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.inbox import limits
from petition.inbox.finding import Kind
from petition.inbox.limits import SetAside, time_limit
from petition.inbox.sort import explain
from tests.unit.inbox.test_mail_samples import SAMPLES

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


@pytest.mark.parametrize(
    ("mail", "word"),
    [
        (HEAD + b"\n" + b"x" * limits.BYTES, "25 MB"),
        (HEAD + b"X-Long: " + b"x" * limits.HEADER_BYTES + b"\n\nhello\n", "256 KB"),
        (HEAD + b"X: y\n" * 60_000 + b"\nhello\n", "256 KB"),
        (nested(51), "50 deep"),
        (nested(5_000), "50 deep"),
        (forwarded(60), "50 deep"),
        (of_parts(1_001), "1,000 parts"),
        (of_parts(300_000), "1,000 parts"),
    ],
    ids=["size", "a header", "headers", "deep", "deeper", "forwarded", "parts", "more parts"],
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


def test_the_time_limit_interrupts_whatever_is_going_on():
    with pytest.raises(SetAside, match="longer than"), time_limit(0.05):
        sum(number for number in itertools.count())


def test_the_time_limit_interrupts_a_pattern():
    with pytest.raises(SetAside), time_limit(0.05):
        re.fullmatch(r"(?:a|a)*b", "a" * 60)


def test_the_time_limit_is_over_with_its_block():
    with time_limit(0.05):
        pass
    sum(range(3_000_000))


def test_there_is_no_time_limit_beside_the_main_thread():
    ended: list[bool] = []

    def work() -> None:
        with time_limit(0.001):
            ended.append(sum(range(100_000)) > 0)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


@pytest.mark.parametrize(
    "body",
    [
        b"On " * 80_000,
        b"a@" * 120_000,
        b"<" * 250_000,
        b"> " * 120_000,
        b"<style>" * 30_000,
        b"\xff\x00\x1b[2J" * 40_000,
        b"user " * 50_000,
        b"--\n" * 80_000,
        b"from: x\n" * 30_000,
        b"wrote:\n" * 30_000,
    ],
)
@pytest.mark.parametrize("kind", [b"text/plain", b"text/html"])
def test_text_that_is_made_to_take_long_ends(body: bytes, kind: bytes):
    daemon = HEAD.replace(b"a@kaz", b"mailer-daemon@kaz")
    found = explain(daemon + b"Content-Type: " + kind + b"\n\n" + body)
    assert found.kind is not None or "longer" in found.reason


@given(st.binary(max_size=3_000))
def test_any_bytes_are_some_mail(data: bytes):
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
def test_any_mail_of_broken_pieces_is_some_mail(pieces: list[bytes]):
    found = explain(b"".join(pieces))
    assert found.kind is not None or found.reason


@given(st.data())
def test_any_damaged_sample_is_some_mail(data: st.DataObject):
    path = data.draw(st.sampled_from(sorted(SAMPLES.glob("*.eml"))))
    mail = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        mail[data.draw(st.integers(0, len(mail) - 1))] = data.draw(st.integers(0, 255))
    found = explain(bytes(mail))
    assert found.kind is not None or found.reason
