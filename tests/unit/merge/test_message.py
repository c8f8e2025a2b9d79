"""Envelope, headers, languages, trials and previews of a copy."""

import re
from datetime import UTC, datetime, timedelta, timezone
from html import unescape

import pytest

from petition.address import Mailbox, parse_mailbox
from petition.errors import MergeRefused
from petition.identity import Identity, Signer
from petition.merge.fill import MARK_BEGIN, MARK_END
from petition.merge.message import Envelope, Merger
from tests.unit.merge.letters import (
    NOW,
    SUBJECT_LINE,
    freeze_texts,
    merger_of,
    parts_of,
    person_of,
    text_of,
)

BODY = "Dear {{ recipient.name or 'all' }}, {{ recipient.title or 'x' }}"
SIGNER = Signer(b"k" * 32)
IDENTITY = Identity("four-demands", "open-letter", 1, "kim@kaz.example")
MESSAGE_ID, BOUNDARY = SIGNER.message_id_and_boundary(IDENTITY, "campaign.example")


def send(merger, person=None, **options):
    return merger.merge(person or person_of(), 1, NOW, **{"full": True, **options})


def test_headers_in_their_order():
    email = send(
        merger_of(BODY, reply_to="A <a@b.example>", cc=["c@d.example"], bcc=["e@f.example"])
    )
    message, _, _ = parts_of(email.data)
    assert list(message.items()) == [
        ("Date", "Mon, 12 Oct 2015 09:30:05 +0000"),
        ("From", "Campaign <letter@campaign.example>"),
        ("Reply-To", "A <a@b.example>"),
        ("To", "Vladimir Kim <kim@kaz.example>"),
        ("Cc", "c@d.example"),
        ("Subject", "Hello"),
        ("Message-ID", MESSAGE_ID),
        ("MIME-Version", "1.0"),
        ("Content-Language", "en"),
        ("Content-Type", f'multipart/alternative; boundary="{BOUNDARY}"'),
    ]
    assert b"e@f.example" not in email.data


def test_envelope():
    email = send(merger_of(BODY, cc=["c@d.example"], bcc=["e@f.example", "kim@kaz.example"]))
    everybody = ("kim@kaz.example", "c@d.example", "e@f.example")
    assert email.envelope == Envelope("letter@campaign.example", everybody, smtputf8=False)
    assert merger_of(BODY, cc=["c@d.example"], bcc=["e@f.example"]).recipients_each == 3
    assert merger_of(BODY).recipients_each == 1


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("pa@x.example", ["pa@x.example"]),
        ("", []),
        ("Pa, T. <pa@x.example>", None),
        ('"Pa, T." <pa@x.example>; two@X.example', ['"Pa, T." <pa@x.example>', "two@x.example"]),
        ("Жанна <ж@x.example>", ["Жанна <ж@x.example>"]),
        ("KIM@kaz.example; c@D.example; pa@x.example; PA@x.example", ["pa@x.example"]),
        ("a@x.example\nBcc: b@x.example", None),
        ("a@x.example, b@x.example", None),
        ("pа@x.example", None),  # a Cyrillic letter
        (";".join(f"a{number}@x.example" for number in range(10)), None),
        ("Pa <[forgotten]>", []),
    ],
)
def test_a_row_says_who_gets_a_copy_of_its_letter(cell, expected):
    merger = merger_of(BODY, cc=["c@d.example", "{{ recipient.page }}"], bcc=["e@f.example"])
    person = person_of(page=cell)
    if expected is None:
        for make in (lambda: merger.check(person, 1, NOW), lambda: send(merger, person)):
            with pytest.raises(MergeRefused) as refusal:
                make()
            assert (refusal.value.problem.file, refusal.value.problem.line) == ("recipients.csv", 7)
        return
    boxes = ["c@d.example", *map(parse_mailbox, expected)]
    own = tuple(box.addr_spec for box in boxes[1:])
    rcpt_to = ("kim@kaz.example", "c@d.example", *own, "e@f.example")
    assert send(merger, person).envelope.rcpt_to == rcpt_to
    assert dict(merger.show(person, 1, NOW).headers)["Cc"] == ", ".join(map(str, boxes))
    assert merger.check(person, 1, NOW).cc == tuple(boxes[1:])


def test_return_path_bears_the_token():
    email = send(merger_of(BODY, return_path="bounces+{token}@campaign.example"))
    token = SIGNER.return_path_token(IDENTITY)
    assert email.envelope.mail_from == f"bounces+{token}@campaign.example"
    assert token.encode() not in email.data


@pytest.mark.parametrize(
    ("around", "address"),
    [
        ({}, "дмитрий@kaz.example"),
        ({"from": "иван@campaign.example"}, "kim@kaz.example"),
        ({"reply_to": "иван@campaign.example"}, "kim@kaz.example"),
        ({"cc": ["иван@campaign.example"]}, "kim@kaz.example"),
        ({"bcc": ["иван@campaign.example"]}, "kim@kaz.example"),
    ],
)
def test_address_beyond_ascii_needs_smtputf8(around, address):
    email = send(merger_of(BODY, **around), person_of(address))
    assert email.envelope.smtputf8
    assert ("bcc" in around) == email.data.isascii()


def test_the_same_copy_has_the_same_bytes():
    one, other = (send(merger_of(BODY), full=full) for full in (True, False))
    assert one.data == other.data
    assert one.sha256 == other.sha256
    assert re.fullmatch("[0-9a-f]{64}", one.sha256)


def test_date_alone_differs_in_a_later_copy():
    merger = merger_of(BODY)
    later = merger.merge(person_of(), 1, NOW + timedelta(days=1), full=True)
    first, rest = send(merger).data.split(b"\r\n", 1)
    assert first == b"Date: Mon, 12 Oct 2015 09:30:05 +0000"
    assert later.data == b"Date: Tue, 13 Oct 2015 09:30:05 +0000\r\n" + rest


def test_date_keeps_its_zone():
    merger = merger_of(BODY)
    moment = datetime(2015, 10, 12, 9, 30, 5, 999, tzinfo=UTC)
    assert merger.merge(person_of(), 1, moment, full=False).data.startswith(b"Date: Mon, 12 Oct")
    east = moment.astimezone(timezone(timedelta(hours=6)))
    data = merger.merge(person_of(), 1, east, full=False).data
    assert data.startswith(b"Date: Mon, 12 Oct 2015 15:30:05 +0600\r\n")


def test_revision_is_another_copy():
    merger = merger_of(BODY)
    second = merger.merge(person_of(), 2, NOW, full=True)
    assert second.message_id != send(merger).message_id


@pytest.mark.parametrize(
    ("language", "chosen", "is_fallback"),
    [
        ("", "en", False),
        ("en", "en", False),
        ("ru", "ru", False),
        ("ru-kz", "ru", False),
        ("de", "en", True),
        ("r", "en", True),
    ],
)
def test_language(language, chosen, is_fallback):
    merger = Merger(freeze_texts(text_of("a"), text_of("б", language="ru")), SIGNER)
    person = person_of(language=language)
    assert merger.language_of(person) == (chosen, is_fallback)
    email = merger.merge(person, 1, NOW, full=True)
    assert email.language == chosen
    message, text, html = parts_of(email.data)
    assert message["Content-Language"] == chosen
    assert f'<html lang="{chosen}"' in html
    assert text == ("б\n" if chosen == "ru" else "a\n")


def test_letter_without_the_default_language():
    merger = Merger(freeze_texts(text_of("б", language="ru"), text_of("қ", language="kk")), SIGNER)
    assert merger.language_of(person_of()) == ("ru", False)
    assert merger.language_of(person_of(language="en")) == ("ru", True)
    assert merger.language_of(person_of(language="kk")) == ("kk", False)


def test_trial_goes_to_one_person_and_bears_no_mark():
    merger = merger_of(
        BODY, cc=["c@d.example"], bcc=["e@f.example"], return_path="b+{token}@campaign.example"
    )
    to = Mailbox("Me", "me@home.example")
    trial, again = (merger.trial(person_of(), NOW, to)[0] for _ in range(2))
    assert trial.envelope == Envelope(
        "letter@campaign.example", ("me@home.example",), smtputf8=False
    )
    message, text, _ = parts_of(trial.data)
    assert message["To"] == "Me <me@home.example>"
    assert message["Cc"] is None
    assert text == "Dear Vladimir Kim, x\n"
    own = send(merger)
    assert len({trial.message_id, again.message_id, own.message_id}) == 3
    assert BOUNDARY.encode() not in trial.data
    assert trial.message_id.endswith("@campaign.example>")


def test_shown_is_what_is_sent():
    merger = merger_of(BODY, "To {{ recipient.name }}, Жезказган", cc=["c@d.example"])
    shown, email = merger.show(person_of(), 1, NOW), send(merger)
    message, text, html = parts_of(email.data)
    assert [name for name, _ in shown.headers] == list(message.keys())
    assert all(str(message[name]) == value for name, value in shown.headers)
    assert shown.text == (f"Dear {MARK_BEGIN}Vladimir Kim{MARK_END}, {MARK_BEGIN}x{MARK_END}\n")
    assert re.sub(f"[{MARK_BEGIN}{MARK_END}]", "", shown.text) == text
    assert merger.html(person_of(), 1) == html


@pytest.mark.parametrize("make", ["merge", "show", "html", "trial"])
def test_refusal_is_the_same_however_the_copy_is_made(make):
    merger = merger_of("{{ recipient.title }}")
    arguments = {
        "merge": lambda: send(merger),
        "show": lambda: merger.show(person_of(), 1, NOW),
        "html": lambda: merger.html(person_of(), 1),
        "trial": lambda: merger.trial(person_of(), NOW, Mailbox("", "a@b.example")),
    }
    with pytest.raises(MergeRefused, match=r"letters/open-letter.md:5: recipient.title is empty"):
        arguments[make]()


def test_subject_is_one_line_of_text():
    merger = merger_of("x", "{{ recipient.title or '' }}")
    for title, told in [("", "is empty"), ("a\nb", "U\\+000A"), ("a" * 901, "longer than")]:
        with pytest.raises(MergeRefused, match=told) as refused:
            send(merger, person_of(title=title))
        assert (refused.value.problem.file, refused.value.problem.line) == ("recipients.csv", 7)


def test_name_that_cannot_stand_in_a_header_is_refused_with_its_row():
    with pytest.raises(MergeRefused, match=r"recipients\.csv:7: the name contains the control"):
        send(merger_of("x"), person_of(name="a\x85b"))


def test_merging_never_touches_the_persons_fields():
    person = person_of(title="x")
    before = dict(person.fields)
    send(merger_of(BODY), person)
    assert person.fields == before


@pytest.mark.parametrize("cell", ["Kim & Sons", "</title><script>x</script>", "<!-- a", "a &lt; b"])
def test_the_title_of_the_page_is_the_subject(cell):
    merger = merger_of(
        BODY, "{% if recipient.name %}To {{ recipient.title }}: <4> & more{% endif %}"
    )
    email = send(merger, person_of(title=cell))
    _, _, html = parts_of(email.data)
    found = re.findall("<title>(.*?)</title>", html)
    assert [unescape(title) for title in found] == [email.subject] == [f"To {cell}: <4> & more"]
    assert "<script" not in html


def test_a_fault_in_the_subject_is_told_with_its_own_line():
    merger = merger_of("Dear all,\n\nHello.", "{{ recipient.title | number }}")
    with pytest.raises(MergeRefused, match=f"open-letter.md:{SUBJECT_LINE}"):
        send(merger, person_of(title="x"))


@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("he", "rtl")])
def test_the_letters_own_element_has_its_language_and_direction(language, direction):
    merger = Merger(freeze_texts(text_of(BODY, language=language)), SIGNER)
    html = merger.html(person_of(), 1)
    (opening,) = re.findall("<div[^>]*>", html)
    assert f'lang="{language}"' in opening
    assert f'dir="{direction}"' in opening


@pytest.mark.parametrize("language", ["en", "he"])
def test_lists_are_indented_by_margins(language):
    body = "1. a\n   - b\n\n{{ demands }}\n\n{{ signatories }}"
    html = Merger(freeze_texts(text_of(body, language=language)), SIGNER).html(person_of(), 1)
    styles = re.findall('<(ol|ul|li)[^>]* style="([^"]*)"', html)
    assert {tag for tag, _ in styles} == {"ol", "ul", "li"}
    side = 1 if language == "he" else 3
    for tag, style in styles:  # Outlook ignores the padding of lists
        assert not re.search("padding[^;]*[1-9][0-9]px", style), style
        if tag in {"ol", "ul"} and "list-style-type: none" not in style:
            assert re.search("margin: ([^;]*)", style)[1].split()[side] == "28px"
