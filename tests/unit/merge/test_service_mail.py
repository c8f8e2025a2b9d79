"""The bytes of the mails that petition writes by itself: nobody else adds to their headers."""

import email
from datetime import UTC, datetime
from email.policy import default

import pytest

from petition.address import Mailbox, parse_address
from petition.merge.service_mail import ServiceSender, ServiceText, service_email

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SENDER = ServiceSender(Mailbox("Water Campaign", "letter@campaign.example"), None)
ID = "<1@campaign.example>"


def written(subject: str = "Hello", answers: str = "", to: str = "ann@x.example") -> bytes:
    said = ServiceText("en", subject, "Text.\n", answers)
    return SENDER.mail(parse_address(to), said, ID, NOW, is_reply=True)


@pytest.mark.parametrize(
    "answers",
    [
        "<=?utf-8?q?a=0D=0ABcc:_eve=40x.example=0D=0A=0D=0Asee_evil.example?=@x.example>",
        "=?utf-8?q?a=0ABcc:_eve=40x.example?=",
        "<a@x.example>\r\nBcc: eve@x.example",
        "<\u00e9@x.example>",
        f"<{'a' * 2_000}@x.example>",
    ],
)
def test_a_strangers_message_id_adds_nothing(answers: str):
    assert written(answers=answers) == written()
    assert b"Bcc" not in written(answers=answers)


def test_an_ordinary_message_id_is_answered():
    mail = email.message_from_bytes(written(answers="<CA+b=c_1@mail.x.example>"), policy=default)
    assert mail["In-Reply-To"] == mail["References"] == "<CA+b=c_1@mail.x.example>"


def test_a_subject_that_only_looks_encoded_adds_nothing():
    subject = "Please: =?utf-8?q?a=0ABcc:_eve=40x.example=0A=0Atext?="
    head = written(subject).partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head
    assert b"\r\nContent-Type: text/plain" in head


def test_a_mailbox_with_other_letters_gets_its_mail():
    to = "юля@почта.рф"
    data = written(to=to)
    assert f"To: {parse_address(to)}\r\n".encode() in data
    assert service_email(parse_address(to).addr_spec, ID, data).envelope.smtputf8
    assert not service_email("ann@x.example", ID, written()).envelope.smtputf8
