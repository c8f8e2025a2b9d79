"""Where a mail names a person, however it is encoded, and what cannot be searched."""

import base64

import pytest

from petition import mail_parser
from petition.outbox.erasure import Redaction

HEAD = b"From: a@kaz.example\nTo: b@campaign.example\nSubject: x\nMIME-Version: 1.0\n"
ANN = Redaction("ann@kaz.example", ["Анна Ли"])
TEXT = "Анна Ли, Bishkek".encode()


def base64_text(text: bytes, kind: bytes = b"text/plain") -> bytes:
    head = b"Content-Type: " + kind + b"; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    return head + base64.encodebytes(text)


def nested(depth: int) -> bytes:
    parts = [
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth)
    ]
    return HEAD + b"".join(parts) + base64_text(TEXT)


@pytest.mark.parametrize(
    "mail",
    [
        HEAD + base64_text(TEXT),
        HEAD + base64_text("<p>Анна <b>Ли</b></p>".encode(), b"text/html"),
        HEAD + base64_text(HEAD + base64_text(TEXT), b"message/rfc822"),
        HEAD + b"X-To: =?utf-8?b?" + base64.b64encode(TEXT) + b"?=\n\nhello\n",
        HEAD
        + b"X-To: "
        + b"x " * 9_000
        + b"=?utf-8?b?"
        + base64.b64encode(TEXT)
        + b"?=\n\nhello\n",
        HEAD + b"X-Was: list+ann=kaz.example@list.example\n\nhello\n",
        HEAD + base64_text(b"x " * mail_parser.TEXT_BYTES + TEXT),
        nested(20),
    ],
)
def test_a_mail_that_names_somebody_is_found(mail: bytes):
    assert ANN.is_in_mail(mail)
    assert ANN.around_in_mail(mail)


def test_a_mail_that_names_nobody_is_left_alone():
    mail = HEAD + base64_text("Анна Ким".encode())
    assert not ANN.is_in_mail(mail)
    assert ANN.around_in_mail(mail) == []


def test_a_mail_beyond_the_limits_is_erased_rather_than_kept():
    mail = nested(5_000)
    assert ANN.is_in_mail(mail)
    [why] = ANN.around_in_mail(mail)
    assert "50 deep" in why


def test_a_letter_with_as_many_files_as_it_may_have_is_searched():
    file = b"--b\nContent-Type: application/pdf\n\n" + b"x" * 28_000_000 + b"\n--b--\n"
    mail = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + file
    assert not ANN.is_in_mail(mail)
