"""What a letter carries: read, refused, frozen, attached, and read back as it was."""

import base64
import email
import io
import os
import re
import sys
import tempfile
import zlib
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image

from petition.checks.letter import heavy_pictures
from petition.errors import Level, MergeRefused
from petition.extras import how_to_install
from petition.identity import Signer
from petition.merge import attachments
from petition.merge.attachments import OWN_FILES
from petition.merge.document import Frozen, differences
from petition.merge.freeze import without
from petition.merge.message import Merger, read_back
from petition.merge.mime_parts import attachment_of, plain_name, type_of
from petition.template.fields import CellRefused
from tests.unit.merge.enclosed import (
    GIF,
    JPEG,
    PNG,
    Enclosing,
    chunk,
    gif,
    jpeg,
    png,
    read,
    tree,
)
from tests.unit.merge.letters import NOW, campaign_of, person_of, text_of

OWN = "briefings/{{ recipient.id }}.pdf"


@pytest.fixture
def letter(tmp_path):
    return Enclosing(tmp_path)


def test_letter_without_files_is_what_it_was(letter):
    sent = letter.merged()
    assert tree(read(sent.data)) == ["multipart/alternative", "text/plain", "text/html"]


def test_shared_attachment_stands_behind_the_words(letter):
    data = bytes(range(256)) * 9
    letter.write("annex/report.pdf", data)
    sent = letter.merged("annex/report.pdf")
    message = read(sent.data)
    words = ["multipart/alternative", "text/plain", "text/html"]
    assert tree(message) == ["multipart/mixed", *words, "application/pdf"]
    (part,) = message.iter_attachments()
    assert part.get_content_disposition() == "attachment"
    assert part.get_filename() == "report.pdf"
    assert part.get_content() == data
    assert part["Content-Transfer-Encoding"] == "base64"
    assert max(len(line) for line in sent.data.split(b"\r\n")) <= 78
    encoded = part.get_payload().split("\n")
    assert {len(line.rstrip("\r")) for line in encoded[:-2]} == {76}


def test_own_attachment_is_of_its_row(letter):
    letter.write("briefings/kim.pdf", b"for Kim")
    letter.write("briefings/lee.pdf", b"for Lee")
    merger = letter.merger(OWN)
    for name in ("kim", "lee"):
        sent = merger.merge(person_of(id=name), 1, NOW, full=True)
        (part,) = read(sent.data).iter_attachments()
        assert (part.get_filename(), part.get_content()) == (
            f"{name}.pdf",
            f"for {name.title()}".encode(),
        )


@pytest.mark.parametrize(
    "path",
    [
        "{{ recipient.page or '' }}",
        "{% if recipient.page %}{{ recipient.page }}{% endif %}",
    ],
)
@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("", []),
        ("a.pdf", ["a.pdf"]),
        ("a.pdf; b.pdf;a.pdf;", ["a.pdf", "b.pdf"]),
        ("one;two.pdf", ["one;two.pdf"]),
    ],
)
def test_a_row_has_no_file_or_one_or_several(letter, path, cell, names):
    for name in ("a.pdf", "b.pdf", "one;two.pdf"):
        letter.write(name)
    sent = letter.merged(path, person=person_of(page=cell))
    assert [part.get_filename() for part in read(sent.data).iter_attachments()] == names
    queued = letter.merger(path).check(person_of(page=cell), 1, NOW).own_files
    assert letter.merged(path, person=person_of(page=cell, **queued)).data == sent.data


@pytest.mark.parametrize("cell", ["a.pdf; ../x", "a.pdf;petition.toml", "a.pdf;none.pdf"])
def test_each_of_several_files_is_checked(letter, cell):
    for name in ("a.pdf", "petition.toml"):
        letter.write(name)
    with pytest.raises(MergeRefused, match=r"recipients\.csv:7"):
        letter.merged("{{ recipient.page }}", person=person_of(page=cell))
    many = ";".join(f"{number}.pdf" for number in range(21))
    with pytest.raises(MergeRefused, match="at most 20"):
        letter.merged("{{ recipient.page }}", person=person_of(page=many))


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.pdf", b"x", "application/pdf"),
        ("a.docx", b"x", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.txt", "ж".encode(), "text/plain; charset=utf-8"),
        ("a.txt", b"\xff", "text/plain"),
        ("a.unheardof", b"x", "application/octet-stream"),
        ("a", b"x", "application/octet-stream"),
        ("a.eml", b"x", "application/octet-stream"),
        ("a.tar.gz", b"x", "application/gzip"),
        ("a.PNG", b"x", "image/png"),
    ],
)
def test_type_is_that_of_the_name(name, data, kind):
    assert type_of(name, data) == kind


def test_files_that_cannot_be_carried_are_problems_with_the_line(letter):
    outside = letter.root.parent / "outside.pdf"
    outside.write_bytes(b"x")
    (letter.root / "folder").mkdir()
    (letter.root / "link.pdf").symlink_to(outside)
    (letter.root / "loop.pdf").symlink_to("loop.pdf")
    os.mkfifo(letter.root / "pipe.pdf")
    letter.write("empty.pdf", b"")
    letter.write("large.pdf", bytes(attachments.FILE_LIMIT + 1))
    for name in ("petition.toml", "recipients.csv", "petition.db", ".env", "outbox/new/1"):
        letter.write(name)
    (letter.root / "people.pdf").symlink_to("recipients.csv")
    refused = {
        "missing.pdf": "does not exist",
        "folder": "file",
        "link.pdf": "outside the campaign folder",
        "../outside.pdf": "leads out of the campaign folder",
        str(outside): "leads out of the campaign folder",
        "a\\b.pdf": "leads out of the campaign folder",
        "loop.pdf": "is a link to itself",
        "pipe.pdf": "file",
        "empty.pdf": "is empty",
        "large.pdf": "is larger than 10 MB",
        "petition.toml": "one of the campaign's own files",
        "recipients.csv": "one of the campaign's own files",
        "people.pdf": "one of the campaign's own files",
        "petition.db": "one of the campaign's own files",
        "outbox/new/1": "one of the campaign's own files",
        ".env": "is a hidden file",
    }
    for path, why in refused.items():
        (problem,) = letter.problems(path)
        assert (problem.file, problem.line) == ("letters/open-letter.md", 1)
        assert why in problem.what, path
    assert len(letter.problems("missing.pdf", "folder", "empty.pdf")) == 3


def test_unreadable_file_is_a_problem(letter, monkeypatch):
    letter.write("a.pdf")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(attachments, "_read", refuse)
    (problem,) = letter.problems("a.pdf")
    assert "cannot be read: Permission denied" in problem.what


def test_too_much_in_all_is_a_problem(letter):
    for name in "abc":
        letter.write(f"{name}.pdf", bytes(7_000_000))
    (problem,) = letter.problems("a.pdf", "b.pdf", "c.pdf")
    assert "more than 20 MB" in problem.what
    letter.write("briefings/kim.pdf", bytes(7_000_000))
    with pytest.raises(MergeRefused, match=r"recipients.csv:7: .* more than 20 MB"):
        letter.merged("a.pdf", "b.pdf", OWN, person=person_of(id="kim"))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("nobody", r'the attachment "briefings/nobody.pdf" does not exist'),
        ("../x", "leads out of the campaign folder"),
        ("a\nb", r"U\+000A"),
        ("", "recipient.id is empty"),
        ("x" * 2000, "too long for a path"),
    ],
)
def test_own_file_that_cannot_be_carried_is_a_problem_of_the_row(letter, row, why):
    merger = letter.merger(OWN)
    with pytest.raises(MergeRefused, match=why) as refusal:
        merger.merge(person_of(id=row), 1, NOW, full=False)
    problem = refusal.value.problem
    if row:
        assert (problem.file, problem.line) == ("recipients.csv", 7)
        assert "(letters/open-letter.md:1 attaches it)" in problem.what
    else:
        assert problem.file == "letters/open-letter.md"


def test_path_is_checked_like_any_template(letter):
    (problem,) = letter.problems("{{ recipient.idd }}.pdf")
    assert problem.what == "there is no recipient.idd"
    (problem,) = letter.problems("{{ recipient.id }.pdf")
    assert problem.file == "letters/open-letter.md"


def test_shared_file_is_frozen_with_the_letter_bytes_and_all(letter):
    path = letter.write("annex/report.pdf", b"first")
    frozen = letter.freeze("annex/report.pdf")
    kept = Frozen.from_json(frozen.to_json())
    assert kept.hash == frozen.hash
    path.unlink()
    sent = Merger(kept, Signer(b"k" * 32)).merge(person_of(), 1, NOW, full=True)
    assert next(read(sent.data).iter_attachments()).get_content() == b"first"
    letter.write("annex/report.pdf", b"second")
    changed = letter.freeze("annex/report.pdf")
    assert differences(frozen, changed) == ["the attachment annex/report.pdf"]
    assert differences(frozen, letter.freeze()) == ["the attachment annex/report.pdf (taken out)"]
    assert differences(letter.freeze(), frozen) == ["the attachment annex/report.pdf (new)"]
    letter.write("b.pdf")
    orders = (("annex/report.pdf", "b.pdf"), ("b.pdf", "annex/report.pdf"))
    assert differences(*(letter.freeze(*one) for one in orders)) == ["the order of the attachments"]
    letter.write("briefings/kim.pdf")
    assert differences(frozen, letter.freeze("annex/report.pdf", OWN))[-1].endswith(
        "briefings/{{ recipient.id }}.pdf (new)"
    )


def test_bytes_changed_in_the_log_are_not_sent(letter):
    letter.write("a.pdf", b"first")
    text = letter.freeze("a.pdf").to_json()
    forged = text.replace(base64.b64encode(b"first").decode(), base64.b64encode(b"other").decode())
    with pytest.raises(ValueError, match="has changed in the log"):
        Merger(Frozen.from_json(forged), Signer(b"k")).merge(person_of(), 1, NOW, full=False)


def test_own_file_that_changed_since_it_was_queued_is_refused(letter):
    path = letter.write("briefings/kim.pdf", b"first")
    frozen = letter.freeze(OWN)
    person = person_of(id="kim")
    queued = Merger(frozen, Signer(b"k"), letter.files).check(person, 1, NOW).own_files
    assert re.fullmatch(r"[0-9a-f]{64}  briefings/kim\.pdf\n", queued[OWN_FILES])
    later = person._replace(fields={**person.fields, **queued})
    before = Merger(frozen, Signer(b"k"), letter.files).merge(later, 1, NOW, full=False)
    path.write_bytes(b"second")
    with pytest.raises(MergeRefused, match=r'"briefings/kim.pdf" has changed since'):
        Merger(frozen, Signer(b"k"), letter.files).merge(later, 1, NOW, full=False)
    path.write_bytes(b"first")
    again = Merger(frozen, Signer(b"k"), letter.files).merge(later, 1, NOW, full=False)
    assert again.data == before.data


def test_each_file_is_read_once_a_run(letter, monkeypatch):
    read_paths = []
    real = attachments._read

    def counted(path):
        read_paths.append(path.name)
        return real(path)

    monkeypatch.setattr(attachments, "_read", counted)
    letter.write("a.pdf")
    letter.write("briefings/kim.pdf")
    merger = letter.merger("a.pdf", OWN)
    for _ in range(5):
        merger.merge(person_of(id="kim"), 1, NOW, full=True)
    assert sorted(read_paths) == ["a.pdf", "kim.pdf"]


def test_large_files_are_not_all_kept(letter, monkeypatch):
    monkeypatch.setattr(attachments, "_KEPT", 24_000)
    files = letter.files
    for number in range(20):
        letter.write(f"{number}.pdf", bytes(1_000))
        files.read(f"{number}.pdf")
    assert len(files._kept) == 10


# ---- names


def name_read(name):
    part = attachment_of(name, b"x")
    assert part.head.isascii()
    assert max(map(len, part.head.split(b"\r\n"))) <= 78 or len(name) > 60
    whole = part.head + b"\r\n" + part.body
    for policy in (email.policy.default, email.policy.compat32):
        message = email.message_from_bytes(whole, policy=policy)
        assert message.get_filename() == (name.strip() or "attachment")
        assert message.keys() == [
            "Content-Type",
            "Content-Transfer-Encoding",
            "Content-Disposition",
        ]


@example("отчёт о шахте.pdf")
@example('a"b\\c.pdf')
@example("=?utf-8?q?x?=.pdf")
@example("Жезқазған " * 12 + ".pdf")
@example("a" * 250)
@example(" a ; b = c.pdf ")
@example("%41''x*0*.pdf")
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=80))
def test_any_file_name_reads_back(name):
    assume(not (name.startswith("<") and name.endswith(">")))  # Python's reader takes these off
    name_read(name)


def test_fallback_name_keeps_the_extension():
    assert plain_name("отчёт.pdf") == "attachment.pdf"
    assert plain_name("Rapport été 2015.pdf") == "Rapport-ete-2015.pdf"
    assert b'name="attachment.pdf"' in attachment_of("отчёт.pdf", b"x").head


# ---- pictures


def test_picture_is_in_the_html_and_its_words_in_the_text(letter):
    letter.write("pictures/map.png", PNG)
    letter.write("a.pdf")
    body = "See\n\n![The way to {{ recipient.name }}](pictures/map.png)\n"
    sent = letter.merged("a.pdf", body=body)
    message = read(sent.data)
    assert tree(message) == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    parts = list(message.walk())
    assert "[The way to Vladimir Kim]" in parts[2].get_content()
    page = parts[4].get_content()
    (link,) = re.findall(r'<img [^>]*src="cid:([^"]+)"', page)
    assert 'alt="The way to Vladimir Kim"' in page
    assert parts[5]["Content-ID"] == f"<{link}>"
    assert parts[5].get_content() == PNG
    assert parts[3].get_param("type") == "text/html"
    assert letter.merger(body=body).html(person_of(), 1).count("data:image/png;base64,") == 1


def test_picture_shown_twice_is_one_part(letter):
    letter.write("a.gif", GIF)
    letter.write("b.jpg", JPEG)
    sent = letter.merged(body="![x](a.gif) ![y](b.jpg) ![z](a.gif)")
    assert tree(read(sent.data))[2:] == [
        *("multipart/related", "text/html", "image/gif", "image/jpeg"),
    ]


def test_alternative_text_cannot_leave_its_attribute(letter):
    letter.write("a.gif", GIF)
    person = person_of(title='x" onerror="y')
    page = letter.merger(body="![{{ recipient.title }}](a.gif)").html(person, 1)
    assert 'onerror="' not in page


@pytest.mark.parametrize(
    "data",
    [
        png(30_000, 30_000),
        gif(30_000, 30_000),
        gif(9, 9, (30_000, 30_000)),
        jpeg(30_000, 30_000),
        png(9, 9, chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(5_000_000)))),
    ],
)
def test_a_small_file_that_is_a_large_picture_is_refused(letter, data):
    letter.write("a", data)
    (problem,) = letter.problems(body="a\n\n![x](a)")
    assert (problem.file, problem.line) == ("letters/open-letter.md", 7)
    assert re.search("megapixels|profile", problem.what)


def test_pictures_are_counted_together_and_each_once(letter):
    for name in "ab":
        letter.write(name, png(6_000, 6_000, chunk(b"tEXt", name.encode())))
    assert not letter.problems(body="![x](a) ![x](a)")
    assert "megapixels" in letter.problems(body="![x](a) ![y](b)")[0].what


@pytest.mark.parametrize("data", [PNG[:15], GIF[:9], JPEG[:12], gif(0, 0, (0, 0)), PNG[:8]])
def test_a_broken_picture_is_a_problem(letter, data):
    letter.write("a", data)
    assert len(letter.problems(body="![x](a)")) == 1


@pytest.mark.parametrize(
    "path", ["my plan.gif", "plan (1).gif", "Ann's plan.gif", "a plan (2) of.gif", "a%20b c.gif"]
)
def test_a_path_with_blanks_is_found_or_named(letter, path):
    for body in (f"![A *plan*]({path}) here", f"![A *plan*]( <{path}> ) here"):
        letter.write(unquote(path), GIF)
        page = letter.merger(body=body).html(person_of(), 1)
        assert page.count('alt="A plan"') == 1
        assert "plan" not in page.replace('alt="A plan"', "")
    (problem,) = letter.problems(body="a\n\n![A plan](no plan.gif) here")
    assert (problem.line, "no plan.gif" in problem.what) == (7, True)


@pytest.mark.parametrize("title", ['"A title"', "'A title'"])
def test_a_title_is_no_part_of_the_path(letter, title):
    letter.write("a.gif", GIF)
    assert "<img" in letter.merger(body=f"![x](a.gif {title})").html(person_of(), 1)


def photo(width: int, height: int, kind: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    noise = Image.effect_noise((width, height), 60).convert(mode)
    file = io.BytesIO()
    noise.save(file, kind, **options)
    return file.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation
    exif[0x010F] = "Camera of Anna"
    return exif


@pytest.mark.parametrize(
    ("data", "asked", "shown"),
    [
        (png(1_200, 600), "", (580, 290)),
        (gif(100, 50), "", (100, 50)),
        (jpeg(100, 50), "{width=300}", (300, 150)),
        (png(9_000, 1), "", (580, 1)),
        (photo(400, 200, exif=turned()), "", (200, 400)),
        (photo(400, 200, exif=turned()), "{width=50px}", (50, 100)),
    ],
)
def test_a_picture_says_how_large_it_is(letter, data, asked, shown):
    letter.write("a", data)
    page = letter.merger(body=f"See ![x](a){asked} here.").html(person_of(), 1)
    (found,) = re.findall("<img[^>]*>", page)
    assert (f'width="{shown[0]}"' in found, f'height="{shown[1]}"' in found) == (True, True)
    assert re.search(r"> here\.", page)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_picture_is_scaled_down_where_the_letter_asks_for_it(letter, kind, mode):
    exif = {"exif": turned()} if kind != "GIF" else {}
    if (kind, mode) == ("JPEG", "P"):
        mode = "CMYK"
    data = photo(900, 600, kind, mode, **exif)
    letter.write("a b", data)
    sent = read(letter.merged(body="![x](a b){width=200}").data)
    part = next(part for part in sent.walk() if part.get_content_maintype() == "image")
    made = Image.open(io.BytesIO(part.get_content()))
    assert made.size == ((400, 267) if kind == "GIF" else (400, 600))
    assert part.get_content_subtype() == ("jpeg" if kind == "JPEG" else "png")
    assert b"Camera of Anna" not in part.get_content()
    assert len(part.get_content()) < len(data)


def test_a_letter_is_the_same_though_another_pillow_scales_otherwise(letter, monkeypatch):
    letter.write("a.jpg", photo(900, 600))
    body = "![x](a.jpg){width=200}\n\n{{ signatories }}"
    before = letter.freeze(body=body)
    other = photo(400, 266)
    monkeypatch.setattr(attachments.mime_parts, "scaled", lambda *_: other)
    after = letter.freeze(body=body)
    assert (after.hash != before.hash, after.is_same_as(before)) == (True, True)
    letter.write("a.jpg", photo(900, 601))
    assert not letter.freeze(body=body).is_same_as(before)
    left = without(before, "nobody@x.example", lambda one: one["name"] == "Hazel Thorn")
    assert left
    page = left.compiled("en").html.source
    assert 'width="200"' in page
    assert before.pictures("en")[0]["sha256"][:32] in page


@pytest.mark.parametrize("asked", ["{width=0}", "{width=581}", "{width=50%}", "{height=3}", "{x}"])
def test_what_is_no_width_is_refused(letter, asked):
    letter.write("a.gif", GIF)
    (problem,) = letter.problems(body=f"a\n\n![x](a.gif){asked}")
    assert (problem.line, asked in problem.what) == (7, True)


def test_a_picture_that_moves_or_cannot_be_read_is_not_scaled(letter):
    frames = [Image.new("RGB", (900, 9), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    letter.write("a", file.getvalue())
    letter.write("b", png(900, 9) + bytes(90))
    for name in "ab":
        assert not letter.problems(body=f"![x]({name})")
        (problem,) = letter.problems(body=f"a\n\n![x]({name}){{width=200}}")
        assert problem.line == 7


def test_without_pillow_the_letter_says_what_to_install(letter, monkeypatch):
    letter.write("a.jpg", photo(900, 600))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert not letter.problems(body="![x](a.jpg) ![x](a.jpg){width=450}")
    (problem,) = letter.problems(body="![x](a.jpg){width=200}")
    assert problem.hint == how_to_install("pictures")


def test_a_heavy_picture_is_warned_of(letter):
    letter.write("a b.png", photo(900, 600, "PNG") + bytes(1_000_000))
    text = text_of("a\n\n![x](a b.png) ![x](a b.png)")
    campaign = campaign_of(text, root=letter.root)
    frozen = letter.freeze(body=text.body)
    (problem,) = heavy_pictures(campaign.letters["open-letter"], frozen)
    assert (problem.level, problem.file, problem.line) == (Level.WARNING, text.file, 7)
    assert "{width=580}" in problem.hint
    scaled = letter.freeze(body="![x](a b.png){width=400}")
    assert not list(heavy_pictures(campaign.letters["open-letter"], scaled))


def test_no_more_is_read_than_a_letter_can_carry(letter, monkeypatch):
    real, read_files = attachments._read, []
    monkeypatch.setattr(attachments, "_read", lambda path: read_files.append(path) or real(path))
    numbers = range(5)
    for number in numbers:
        letter.write(f"p{number}", PNG + bytes([number]) + bytes(9_000_000))
    (problem,) = letter.problems(*(f"p{number}" for number in numbers))
    assert "more than 20 MB" in problem.what
    body = " ".join(f"![x](p{number})" for number in numbers)
    assert "more than 20 MB" in letter.problems(body=body)[0].what
    read_files.clear()
    merger = letter.merger(*(f"{{{{ recipient.id }}}}{number}" for number in numbers))
    with pytest.raises(MergeRefused, match="more than 20 MB"):
        merger.merge(person_of(id="p"), 1, NOW, full=True)
    assert len(read_files) == 3


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("![](a.gif)", 'the image "a.gif" has no alternative text'),
        ("![x](https://a.example/x.png)", "is not in the campaign folder"),
        ("![x](//a.example/x.png)", "is not in the campaign folder"),
        ("![x](data:image/png;base64,AAAA)", "is not in the campaign folder"),
        ("![x](missing.png)", "does not exist"),
        ("![x](../a.gif)", "leads out of the campaign folder"),
        ("![x](a.svg)", "PNG"),
        ("![x]({{ recipient.id }}.png)", "the path of an image"),
    ],
)
def test_image_that_cannot_be_shown_is_a_problem_with_its_line(letter, image, why):
    letter.write("a.gif", GIF)
    letter.write("a.svg", b"<svg/>")
    (problem,) = letter.problems(body=f"a\n\n{image}")
    assert (problem.file, problem.line) == ("letters/open-letter.md", 7)
    assert why in problem.what


def test_changed_picture_is_named(letter):
    letter.write("a.png", PNG)
    old = letter.freeze(body="![x](a.png)")
    letter.write("a.png", PNG + b"!")
    assert differences(old, letter.freeze(body="![x](a.png)")) == ["the picture a.png"]


# ---- as a whole


@given(data=st.binary(min_size=1, max_size=3000), name=st.text(max_size=20))
def test_bytes_are_the_same_on_every_build(data, name):
    with tempfile.TemporaryDirectory() as folder:
        letter = Enclosing(Path(folder))
        letter.write("a.bin", data)
        letter.write("m.png", PNG + data)
        letter.write("briefings/kim.pdf", data[::-1])
        person = person_of(id="kim", title=name)

        def build():
            return letter.merged(
                "a.bin", OWN, body="![{{ recipient.title or '-' }}](m.png)", person=person
            )

        try:
            first = build()
        except MergeRefused:
            return
        assert build().data == first.data
        contents = [part.get_payload(decode=True) for part in read(first.data).iter_attachments()]
        assert contents == [data, data[::-1]]


def test_read_back_finds_what_is_different(letter):
    letter.write("a.pdf", b"attached")
    letter.write("a.gif", GIF)
    merger = letter.merger("a.pdf", body="![x](a.gif)")
    sent = merger.merge(person_of(), 1, NOW, full=True)
    copy = merger._copy_for(person_of(), 1)
    carried = merger._attachments.of(person_of(), merger._text_for(person_of()), 1)
    meant = merger._assembler.meant(copy, sent.subject, carried)
    read_back(sent.data, meant)
    for old, new in [
        (b'filename="a.pdf"', b'filename="b.pdf"'),
        (b"Content-Disposition: attachment", b"Content-Disposition: inline"),
        (b"application/pdf", b"application/zip"),
        (b"Content-ID: <", b"Content-ID: <x"),
        (base64.b64encode(b"attached"), base64.b64encode(b"attacked")),
        (b"image/gif", b"image/png"),
    ]:
        assert old in sent.data
        with pytest.raises(CellRefused):
            read_back(sent.data.replace(old, new), meant)
