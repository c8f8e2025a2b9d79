"""Headers read back as they were written, by the readers of the standard library, new and old."""

import email
import email.policy
from datetime import datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.address import Mailbox
from petition.merge.headers import check_text, date_header, mailbox_header, subject_header
from petition.merge.message import check_block
from petition.template.fields import CellRefused

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=300
).filter(lambda text: text.strip())
NAME = TEXT.map(str.strip).filter(bool)

SAMPLES = [
    "plain",
    "=?UTF-8?Q?=0A?=Bcc: evil@x.test",
    "=?utf-8?B?aGFsbG8=?=",
    "a =?x",
    "=?",
    "?=",
    "Kim, Vladimir",
    "Kim, Vladimir " * 10,
    'A "quoted" \\ name',
    "a" * 200,
    "word " * 60 + "x",
    "Ж" * 200,
    "д, д " * 60 + ".",
    "a  b",
    "Ж  Ж",
    "\xa0  0",
    ":;<>@,[]()",
    "<evil@x.test>",
    "\u202eabc",
    "👩‍👩‍👧‍👦" * 20,
    "e\u0301" * 50,
]


def lines_of(header):
    assert header.endswith("\r\n")
    return header[:-2].split("\r\n")


def subject_read(header):
    """A subject, by both readers of the standard library."""
    new = email.message_from_string(header + "\r\n", policy=email.policy.default)
    old = email.message_from_string(header + "\r\n")
    unfolded = old["Subject"].replace("\r\n", "")
    return str(new["Subject"]), str(make_header(decode_header(unfolded)))


@given(subject=TEXT)
def test_subject_reads_back(subject):
    assert_subject(subject)


@pytest.mark.parametrize("subject", SAMPLES)
def test_subject_of_a_sample_reads_back(subject):
    assert_subject(subject)


def assert_subject(subject):
    header = subject_header(subject)
    assert header.isascii()
    assert all(len(line) <= 76 for line in lines_of(header))
    check_block(header.encode(), ("Subject",))
    new, old = subject_read(header)
    assert new == subject
    assert old == subject


@example(names=["000" + "\xa0" * 21 + " 0000" + "\xa0" * 16 + "0"])  # a word begins with the blank
@given(names=st.lists(NAME, min_size=1, max_size=3))
def test_mailboxes_read_back(names):
    assert_mailboxes(names)


@pytest.mark.parametrize("name", SAMPLES)
def test_mailbox_of_a_sample_reads_back(name):
    assert_mailboxes([name.strip(), "", name.strip()])


def assert_mailboxes(names):
    mailboxes = [Mailbox(name, f"a{number}@kaz.example") for number, name in enumerate(names)]
    header = mailbox_header("To", mailboxes)
    assert header.isascii()
    assert all(len(line) <= 76 for line in lines_of(header))
    check_block(header.encode(), ("To",))
    # The older reader keeps to RFC 2047 6.2 where the newer one of Python 3.11 does not.
    found = getaddresses([header.removeprefix("To: ").replace("\r\n", "")])
    read = [(str(make_header(decode_header(name))), address) for name, address in found]
    assert read == [(one.display_name, one.addr_spec) for one in mailboxes]


def test_simple_headers_are_simple():
    assert subject_header("Hello there") == "Subject: Hello there\r\n"
    assert mailbox_header("To", [Mailbox("Vladimir Kim", "kim@kaz.example")]) == (
        "To: Vladimir Kim <kim@kaz.example>\r\n"
    )
    assert mailbox_header(
        "Cc", [Mailbox("", "a@b.example"), Mailbox("Kim, V.", "c@d.example")]
    ) == ('Cc: a@b.example, "Kim, V." <c@d.example>\r\n')


def test_long_subject_is_folded_at_its_blanks():
    header = subject_header("word " * 30 + "end")
    assert "=?" not in header
    assert len(lines_of(header)) == 3


def test_address_with_utf8_is_written_raw():
    header = mailbox_header("To", [Mailbox("Дмитрий", "дмитрий@kaz.example")])
    assert header == "To: =?utf-8?B?0JTQvNC40YLRgNC40Lk=?= <дмитрий@kaz.example>\r\n"


def test_long_address_has_a_line_of_its_own():
    address = "a" * 64 + "@" + "b" * 60 + ".example"
    header = mailbox_header("To", [Mailbox("Vladimir Kim", address)])
    assert lines_of(header) == ["To: Vladimir Kim", f" <{address}>"]


@pytest.mark.parametrize(
    "code", ["\n", "\r", "\r\n", "\x00", "\x1b", "\t", "\x7f", "\x85", "\u2028", "\ud800"]
)
def test_control_characters_are_refused(code):
    with pytest.raises(CellRefused, match=f"U\\+{ord(code[0]):04X}"):
        check_text(f"a{code}b", "the subject")


def test_long_text_is_refused():
    with pytest.raises(CellRefused, match="longer than 900"):
        check_text("a" * 901, "the subject")
    assert check_text("a" * 900, "the subject")


def test_date():
    zone = timezone(timedelta(hours=5))
    assert date_header(datetime(2015, 10, 12, 9, 5, 3, tzinfo=zone)) == (
        "Date: Mon, 12 Oct 2015 09:05:03 +0500\r\n"
    )


@example(block=b"To: a\r\nBcc: b\r\n")
@example(block=b"To: a\r\n\r\nx")
@example(block=b"To: a\r\n \r\n")
@example(block=b"To: a\nb\r\n")
@example(block=b"To: a\rb\r\n")
@example(block=b"To: a\x0bb\r\n")
@example(block=b"To:\r\n")
@example(block=b"Subject: a\r\n")
@example(block=b"to: a\r\n")
@example(block=b"")
@example(block=b"To: a")
@given(block=st.binary())
def test_block_with_anything_else_is_refused(block):
    with pytest.raises(CellRefused):
        check_block(block, ("To",))


def test_a_long_name_is_torn_between_words_alone():
    """So that a reader which shows the blank between two encoded words shows the name rightly."""
    from email import message_from_string
    from email.policy import default

    name = "Сергей Петрович Воронцов"
    line = mailbox_header("To", [Mailbox(name, "sergei.vorontsov@kaz-minerals.example")])
    assert line.count("=?utf-8?B?") == 2
    [address] = message_from_string(line + "\n", policy=default)["To"].addresses
    assert address.display_name.split() == name.split()
