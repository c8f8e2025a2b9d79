"""Whatever stands in any field: the letter reads back as it was meant, or its row is refused."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.errors import MergeRefused
from petition.merge.headers import check_text
from petition.merge.message import Assembler, read_back
from petition.merge.mime_parts import CarriedParts
from petition.template.fields import CellRefused
from tests.unit.merge.letters import NOW, merger_of, parts_of, person_of

NASTY = st.sampled_from(
    [
        *("\r\n", "\n", "\r", "\x00", "\x1b[31m", "\x1b]52;c;eA==\x07", "\x85", "\u2028", "\ud800"),
        *("=?UTF-8?Q?=0A?=Bcc: evil@x.test", "\r\nBcc: evil@x.test\r\n\r\n", "=?utf-8?B?", "?="),
        *(
            "{{ 7 * 7 }}",
            "{% for %}",
            "[a](javascript:x)",
            "<script>",
            "\u202e",
            "\ufeff",
            '"',
            "\\",
        ),
        *(
            ".\r\n",
            "\n.\n",
            "\r\n.\r\n",
            "=",
            "=\n",
            " ",
            "  ",
            ",",
            "<a@b.example>",
            "--=_",
            "\U00100000",
        ),
    ]
)
ANY = st.lists(st.one_of(st.text(max_size=40), NASTY), max_size=8).map("".join)
SUBJECT = "To {{ recipient.name or 'all' }}: {{ recipient.title or '-' }}"
BODY = """Dear {{ recipient.name or "all" }},

> {{ recipient.title or "-" }}

[{{ recipient.salutation or "x" }}](https://a.example/{{ recipient.title or "" }})

{{ recipient.salutation or "-" }}
"""
JINJA = BODY + "{% for x in [recipient.title or '-'] %}{{ x }}{% endfor %}"
FEW_SHAPES = BODY.partition("\n[")[0] + "\n\n{{ recipient.salutation or '-' }}\n"
MERGERS = {
    "of forms": merger_of(BODY, SUBJECT, reply_to='"Kim, A." <kim@a.example>'),
    "filled by Jinja": merger_of(JINJA, SUBJECT),
    "of few shapes": merger_of(FEW_SHAPES, SUBJECT),
    "with copies": merger_of(BODY, SUBJECT, cc=["a@b.example"], bcc=["c@d.example"]),
}


@given(name=ANY, title=ANY, salutation=ANY)
@pytest.mark.parametrize("kind", MERGERS)
def test_letter_reads_back_or_its_row_is_refused(kind, name, title, salutation):
    person = person_of(name=name, title=title, salutation=salutation)
    sent, refused = attempt(MERGERS[kind], person)
    assert checked(MERGERS[kind], person) == refused  # what `check` says is what `send` meets
    if refused:
        assert (refused.file, refused.line) == ("recipients.csv", 7)
        assert re.search("control character|longer than|ends with a space", refused.what)
        return
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\r\n\.", sent.data)
    assert sent.is_whole  # piece by piece the same was seen
    _, text, page = parts_of(sent.data)
    for value in filter(str.strip, (name, title, salutation)):
        plain = re.sub("\r\n?", "\n", value)
        assert plain in text.replace("\n> ", "\n")
        assert html.escape(plain) in page.replace("<br>", "\n")
    assert sent.subject == f"To {_or(name, 'all')}: {_or(title, '-')}"


def attempt(merger, person):
    try:
        return merger.merge(person, 1, NOW, full=True), None
    except MergeRefused as refusal:
        return None, refusal.problem


def checked(merger, person):
    try:
        merger.check(person, 1, NOW)
    except MergeRefused as refusal:
        return refusal.problem


def _or(text, other):
    return text if text.strip() else other


@given(
    name=ANY,
    subject=ANY.filter(str.strip),
)
def test_what_the_cheap_check_lets_through_reads_back(name, subject):
    merger = MERGERS["with copies"]
    copy = merger._copy_for(person_of(name=name), 1)
    filled = merger._text_for(person_of()).fill(person_of())._replace(subject=subject)
    assembler = Assembler(merger._frozen.sender, None)
    try:
        check_text(subject, "the subject")
        data = assembler.assemble(copy, filled, "en", NOW, CarriedParts(), full=False)
    except CellRefused:
        return
    assert assembler.assemble(copy, filled, "en", NOW, CarriedParts(), full=True) == data


def test_read_back_finds_what_is_different():
    merger = MERGERS["of forms"]
    sent = merger.merge(person_of(), 1, NOW, full=True)
    copy = merger._copy_for(person_of(), 1)
    meant = merger._assembler.meant(copy, sent.subject, CarriedParts())
    read_back(sent.data, meant)
    for old, new in [
        (b"Subject: To", b"Subject: Tu"),
        (b"Vladimir Kim <", b"Vladimir Kym <"),
        (b"<kim@kaz", b"<kym@kaz"),
        (b"MIME-Version", b"Bcc: a@b.example\r\nMIME-Version"),
        (b"text/html", b"text/plain"),
        (b"--\r\n", b"\r\n\r\nx\r\n" + b"--" + copy.boundary.encode() + b"--\r\n"),
        (b'Reply-To: "Kim, A."', b"Reply-To: Kim, A."),
    ]:
        assert old in sent.data
        with pytest.raises(CellRefused):
            read_back(sent.data.replace(old, new), meant)
