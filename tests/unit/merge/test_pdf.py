"""The letter as a document."""

import hashlib
import io
import re
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pypdf import PdfReader

from petition.campaign.people import Person
from petition.errors import MergeRefused
from petition.extras import how_to_install
from petition.identity import Signer
from petition.merge.attachments import OWN_FILES
from petition.merge.document import Frozen
from petition.merge.message import Merger
from petition.merge.pdf import Typesetter
from tests.unit.merge.enclosed import PNG, Enclosing, read, tree
from tests.unit.merge.letters import NOW, merger_of, person_of, problems_of, signatory, text_of


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# A picture that can be read: a white dot.
DOT = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\0\xff"))
    + chunk(b"IEND", b"")
)


@pytest.fixture
def enclosing(tmp_path):
    return Enclosing(tmp_path)


def words_in(pdf: bytes) -> str:
    """The words of a PDF in one line."""
    return " ".join(
        " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split()
    )


def typeset(body: str, subject: str = "Hello", *, person: Person | None = None, **around) -> str:
    merger = merger_of(body, subject, **around)
    return words_in(merger.typeset(person or person_of()))


def test_a_document_has_sender_day_addressee_subject_and_words():
    text = typeset("Dear Mr Kim,\n\nWe write to you.", "Four demands")
    order = (
        "Campaign",
        "12 October 2015",
        "Vladimir Kim",
        "Four demands",
        "Dear Mr Kim,",
        "We write",
    )
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert text.endswith("1/1")


def test_what_stands_above_the_salutation_is_not_said_twice():
    body = "London, {{ today }}\n\n{{ recipient.name }}, Chairman\n\nDear Mr Kim,\n\nWe write."
    text = typeset(body, "Four demands")
    assert text.count("12 October 2015") == 1
    assert text.count("Vladimir Kim") == 1
    assert text.index("Chairman") < text.index("Four demands") < text.index("Dear Mr Kim")


def test_demands_are_numbered_and_the_signatures_are_all_there():
    text = typeset("Dear all,\n\n{{ demands }}\n\n{{ signatories }}")
    for words in (
        "1. Stop it",
        "2. Pay <fairly> & in full",
        "Hazel Thorn, teacher",
        "Law & Centre",
    ):
        assert words in text
    assert "and 1 other" in text
    assert "Affiliations are given for identification only." in text
    assert "Hidden One" not in text


@pytest.mark.parametrize(
    "cell",
    [
        '#read("/etc/passwd")',
        "$x^2$ and $ alone",
        "*bold* _emph_ `raw` = heading",
        r"back\slash \u{41} #sys.version",
        "<label> @ref [link](https://evil.example)",
        "\"double\" 'single' -- --- ...",
        "// comment /* another */",
        '"]}, {"tag": "img", "src": "/etc/passwd"',
        "<b>bold</b> &amp; &#65;",
        "{{ recipient.email }} {% raw %}",
    ],
)
def test_a_cell_stands_as_it_was_typed(cell):
    person = person_of(name=cell, title=cell)
    text = typeset("Dear {{ recipient.title }},\n\nHello.", "{{ recipient.name }}", person=person)
    assert text.count(cell) == 3  # addressee, subject, salutation


def test_the_letters_own_signs_stand_as_they_are():
    text = typeset('Dear all,\n\n#eval("1+1") \\$5 @someone \\<label> = x // y')
    assert '#eval("1+1") $5 @someone <label> = x // y' in text


def test_where_a_link_leads_is_printed():
    body = "Dear all,\n\n[Words](https://example.org/a) and <https://example.org/b>."
    text = typeset(body)
    assert text.count("https://example.org/a") == 1
    assert text.count("https://example.org/b") == 1


def test_markdown_is_set():
    body = (
        "Dear all,\n\n# One\n\n### Three\n\n> quoted\n\n- a\n- b\n\n---\n\n7. seven\n8. eight\n\n"
        "| Year | Pay |\n|---|--:|\n| 2014 | 140 |\n\n    code  #x\n\nline\\\nbreak **b** *e* `c`\n"
    )
    text = typeset(body)
    for words in (
        "One Three quoted",
        "• a • b",
        "7. seven 8. eight",
        "Year Pay 2014 140",
        "code #x",
    ):
        assert words in text
    assert "line break b e c" in text


@pytest.mark.parametrize(
    "words",
    [
        "Ә Ғ Қ Ң Ө Ұ Ү Һ І ә ғ қ ң ө ұ ү һ і ₸",
        "Уважаемый Сергей Петрович, прошу подъёма — «так»",
        "Małgorzata Nguyễn Thị Bạch Vân Țurcănel Ελένη",
    ],
)
def test_no_font_of_the_system_is_needed(words):
    assert words in typeset(f"Dear all,\n\n{words}")


def test_what_no_font_can_show_is_refused_with_its_row():
    with pytest.raises(MergeRefused) as refused:
        typeset("Dear {{ recipient.name }},\n\nHello.", person=person_of(name="王"))
    problem = refused.value.problem
    assert (problem.file, problem.line) == ("recipients.csv", 7)
    assert "王" in problem.what


@pytest.mark.parametrize(
    ("word", "script"),
    [("السلام", "Arabic"), ("नमस्ते", "Devanagari"), ("王", "Chinese"), ("안녕", "Korean")],
)
def test_a_script_without_a_font_is_named_where_it_stands(word, script):
    with pytest.raises(MergeRefused) as refused:
        typeset(f"Dear all,\n\n{word}")
    problem = refused.value.problem
    assert (problem.file, script in problem.what) == ("letters/open-letter.md", True)


LONG = "Zhezkazgantsvetmet" * 20


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "`{}`",
        "# {}",
        "- {}",
        "> {}",
        "```\n{}\n```",
        "[Words](https://example.org/{})",
        "| a | b | c | d | e | f |\n|---|---|---|---|---|---|\n| {} | 2 | 3 | {} | 5 | 6 |",
        "{{{{ signatories }}}}",
    ],
)
def test_a_long_word_stays_on_the_paper(body):
    merger = merger_of(f"Dear all,\n\n{body.format(LONG, LONG)}", signatories=[signatory(LONG)])
    (page,) = PdfReader(io.BytesIO(merger.typeset(person_of()))).pages
    lines = page.extract_text().split("\n")
    widest = 48 if body.startswith(("|", "{{{{")) else 120
    assert LONG in "".join(lines)
    assert max(map(len, lines)) < widest


def of_many(number: int, lines: int) -> PdfReader:
    """A letter of so many lines with numbered signatories, some with more words than others."""
    signed = [
        signatory(f"No{at:03d}", role="a teacher and trade unionist of many years" * (at % 4 == 0))
        for at in range(number)
    ]
    body = "Dear all,\n\n" + "A line.\\\n" * lines + "The end.\n\n{{ signatories }}"
    return PdfReader(io.BytesIO(merger_of(body, signatories=signed).typeset(person_of())))


def test_signatures_are_one_list_in_columns_that_read_down():
    document = of_many(40, lines=1)
    places: list[tuple[int, float]] = []

    def note(text, matrix, *_):
        places.extend((round(matrix[4]), matrix[5]) for _ in re.findall(r"No\d+", text))

    words = document.pages[0].extract_text(visitor_text=note)
    assert re.findall(r"No(\d+)", words) == [f"{at:03d}" for at in range(40)]
    left, right = ([y for x, y in places if x == column] for column in sorted(set(dict(places))))
    assert left == sorted(left, reverse=True)
    assert right == sorted(right, reverse=True)
    assert abs(len(left) - len(right)) <= 2
    kinds = Counter(kinds_in(document.root_object["/StructTreeRoot"]["/K"]))
    assert (kinds["/L"], kinds["/LI"]) == (1, 40)


def kinds_in(part) -> Iterator[str]:
    part = part.get_object()
    for one in part if isinstance(part, list) else [part]:
        found = one.get_object()
        if isinstance(found, dict) and "/S" in found:
            yield found["/S"]
            yield from kinds_in(found.get("/K", []))


@pytest.mark.parametrize("number", [2, 7, 9, 31])
@pytest.mark.parametrize("lines", [18, 26, 34, 37, 40])
def test_the_last_page_has_no_lone_signatory(number, lines):
    pages = [re.findall(r"No\d+", page.extract_text()) for page in of_many(number, lines).pages]
    assert sum(map(len, pages)) == number
    assert len(pages[-1]) >= min(number, 4)


def test_the_bytes_are_the_same_in_another_process_at_another_time(enclosing):
    frozen = enclosing.freeze("letter.pdf", body="Dear {{ recipient.name }},\n\nHello.")
    here = Merger(frozen, Signer(b"k" * 32), enclosing.files).typeset(person_of())
    time.sleep(1.1)  # a PDF's own times are whole seconds
    program = (
        "import sys, hashlib\n"
        "from tests.unit.merge.letters import *\n"
        "from petition.merge.document import Frozen\n"
        "frozen = Frozen.from_json(sys.stdin.read())\n"
        "merger = Merger(frozen, Signer(b'x' * 32))\n"
        "merger.typeset(person_of(name='Somebody Else'))\n"
        "print(hashlib.sha256(merger.typeset(person_of())).hexdigest())\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        input=frozen.to_json(),
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "Asia/Almaty", "PYTHONPATH": ":".join(sys.path), "LC_ALL": "C.UTF-8"},
    )
    assert there.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_a_document_says_what_it_is_and_not_where_it_was_made(enclosing):
    pdf = enclosing.merger(body="Dear all,\n\nHello.").typeset(person_of())
    document = PdfReader(io.BytesIO(pdf))
    assert document.metadata is not None
    assert document.metadata.title == "Hello"
    assert document.metadata.author == "Campaign"
    assert document.metadata.get("/CreationDate") == "D:20151012000000Z"
    assert document.root_object["/Lang"] == "en"
    assert document.root_object["/MarkInfo"]["/Marked"]
    assert str(enclosing.root).encode() not in pdf
    assert b"petition-" not in pdf


def test_a_picture_of_the_letter_is_in_its_document(enclosing):
    enclosing.write("dot.png", DOT)
    merger = enclosing.merger(body="Dear all,\n\n![A dot](dot.png)\n\nText ![again](dot.png) on.")
    page = PdfReader(io.BytesIO(merger.typeset(person_of()))).pages[0]
    assert page.images
    assert "Text on." in " ".join(page.extract_text().split())


@pytest.mark.parametrize("body", ["**a** *b* " * 1_500, "- a\n" * 16_000])
def test_a_letter_of_very_many_elements_is_refused(enclosing, body):
    with pytest.raises(MergeRefused, match="too many elements"):
        enclosing.merger(body=body).typeset(person_of())


def test_a_picture_that_cannot_be_read_is_told_of_at_the_letter(enclosing):
    enclosing.write("bad.png", PNG)
    merger = enclosing.merger("letter.pdf", body="Dear all,\n\n![Bad](bad.png)")
    with pytest.raises(MergeRefused) as refused:
        merger.typeset(person_of())
    assert refused.value.problem.file == "letters/open-letter.md"
    assert "cannot be typeset" in refused.value.problem.what


def attached_to(merger: Merger, person: Person) -> bytes:
    message = read(merger.merge(person, 1, NOW, full=True).data)
    assert tree(message)[-1] == "application/pdf"
    *_, part = message.walk()
    assert part.get_filename() == "letter.pdf"
    return part.get_content()


def test_letter_pdf_is_the_letter_itself(enclosing):
    merger = enclosing.merger("letter.pdf", body="Dear {{ recipient.name }},\n\nHello.")
    pdf = attached_to(merger, person_of(name="Kim"))
    assert "Dear Kim," in words_in(pdf)
    assert pdf == merger.typeset(person_of(name="Kim"))


def test_a_file_of_that_name_comes_first(enclosing):
    enclosing.write("letter.pdf", b"%PDF- my own")
    assert attached_to(enclosing.merger("letter.pdf"), person_of()) == b"%PDF- my own"


def test_checking_reading_and_planning_a_copy_typeset_it_once(enclosing, monkeypatch):
    made = []
    real = Typesetter.document
    monkeypatch.setattr(Typesetter, "document", lambda *args: made.append(1) or real(*args))
    for full in (True, False):
        copy = enclosing.merger("letter.pdf").check(person_of(), 1, NOW, full=full)
        assert copy.text().strip()
        assert copy.own_files
        assert bool(copy.size) == full
        assert len(made) == 1
        made.clear()


def test_the_log_keeps_the_hash_of_a_copys_document(enclosing):
    merger = enclosing.merger("letter.pdf", body="Dear {{ recipient.name }},\n\nHello.")
    listed = merger.check(person_of(), 1, NOW).own_files[OWN_FILES]
    sha256 = hashlib.sha256(merger.typeset(person_of())).hexdigest()
    assert listed == f"{sha256}  letter.pdf\n"
    kept = merger.merge(person_of(**{OWN_FILES: listed}), 1, NOW, full=True)
    assert tree(read(kept.data))[-1] == "application/pdf"


def test_a_document_that_came_out_otherwise_is_not_sent(enclosing):
    merger = enclosing.merger("letter.pdf", body="Dear {{ recipient.name }},\n\nHello.")
    person = person_of(**{OWN_FILES: f"{'0' * 64}  letter.pdf\n"})
    with pytest.raises(MergeRefused) as refused:
        merger.merge(person, 1, NOW, full=True)
    assert "has changed since the letter was queued" in refused.value.problem.what
    assert "typst" in refused.value.problem.hint


def test_the_layout_is_frozen_with_the_letter(enclosing):
    frozen = enclosing.freeze("letter.pdf", body="Dear all,\n\nHello.")
    document = frozen.to_json().replace("paper: ", "fill: white, paper: ")
    changed = Frozen.from_json(document)
    assert changed.hash != frozen.hash
    assert changed.is_same_as(frozen)  # finished in the layout that it was begun in


def test_without_typst_the_letter_says_what_to_install(enclosing, monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)
    (problem,) = enclosing.problems("letter.pdf")
    assert problem.file == "letters/open-letter.md"
    assert problem.hint == how_to_install("pdf")
    with pytest.raises(MergeRefused) as refused:
        enclosing.merger().typeset(person_of())
    assert refused.value.problem.hint == how_to_install("pdf")
    assert tree(read(enclosing.merged().data))  # all else works


def test_a_bulk_letter_has_no_document_of_its_own(enclosing):
    text = text_of("Dear all,\n\nHello.", attachments=["letter.pdf"])
    bulk = replace(text, front=text.front.model_copy(update={"kind": "bulk"}))
    (problem,) = problems_of(bulk, root=enclosing.root)
    assert "bulk" in problem.what
    assert "preview --pdf" in problem.hint
