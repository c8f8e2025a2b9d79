"""A draft of Thunderbird's Mail Merge, as Thunderbird saves it, and the letter made of it."""

import re
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote

import pytest

from petition.campaign.folder import load_campaign
from petition.checks.campaign import examine
from petition.errors import CampaignError, Level
from petition.identity import Signer
from petition.merge.message import Merger
from petition.thunderbird import files_of_draft
from tests.unit.campaign.samples import judged
from tests.unit.campaign.test_sheet_look import write_ods
from tests.unit.merge.letters import NOW, parts_of

LIST = """\
email;First Name;Last Name;Gender;Town
ann@mail.example;Ann;Reed;f;Leeds
bob@mail.example;Bob;Hill;m;
"""
HEAD = """\
Message-ID: <6b8c@mail.example>
Date: Mon, 30 Nov 2026 10:00:00 +0000
MIME-Version: 1.0
User-Agent: Mozilla Thunderbird
Content-Language: en-GB
To: "{{First Name}} {{Last Name}}" <{{email}}>
From: =?UTF-8?Q?Friends_of_the_Caf=C3=A9?= <letters@friends.example>
Subject: The plans, {{First Name}}
X-Mozilla-Draft-Info: internal/draft; vcard=0; receipt=0; DSN=0; uuencode=0;
 attachmentreminder=0; deliveryformat=0
X-Identity-Key: id1
"""
HTML = """\
Content-Type: text/html; charset=UTF-8
Content-Transfer-Encoding: 8bit

<!DOCTYPE html>
<html>
  <head>
    <meta http-equiv="content-type" content="text/html; charset=UTF-8">
    <title>not shown</title>
  </head>
  <body>
BODY
  </body>
</html>
"""


class Draft:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "draft.eml"
        self.people = folder / "people.csv"
        self.people.write_text(LIST, "utf-8")
        self.head = HEAD

    def html(self, body: str) -> "Draft":
        self.file.write_text(self.head + HTML.replace("BODY", body), "utf-8")
        return self

    def text(self, body: str, kind: str = "text/plain; charset=UTF-8; format=flowed") -> "Draft":
        self.file.write_text(f"{self.head}Content-Type: {kind}\n\n{body}", "utf-8")
        return self

    @property
    def files(self) -> dict[str, bytes]:
        return files_of_draft(self.file, self.people)[0]

    @property
    def letter(self) -> str:
        return self.files["letters/letter.md"].decode()

    @property
    def body(self) -> str:
        return self.letter.split("\n---\n", 1)[1].strip()

    def read(self) -> list[str]:
        """The plain text that each person on the list gets."""
        new = self.file.parent / "new"
        for name, content in self.files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)
        found = examine(
            load_campaign(new), "letter", server=None, campaign_id="x", today=NOW.date()
        )
        assert [one for one in found.problems if one.level is Level.ERROR] == []
        assert found.frozen is not None
        assert found.people is not None
        merger = Merger(found.frozen, Signer(b"k" * 32), found.files)
        people = judged(found.people, [])
        return [parts_of(merger.merge(one, 1, NOW, full=True).data)[1].strip() for one in people]

    def faults(self) -> list[str]:
        with pytest.raises(CampaignError) as refused:
            assert self.files
        return [problem.what for problem in refused.value.problems]


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    return Draft(tmp_path)


def test_html_becomes_markdown_with_merge_fields(draft: Draft):
    draft.html(
        "<p>Dear {{First&nbsp;Name}},</p>\n<p>it has <b>changed </b>for <i>all</i> of\n us.<br>\n"
        "Truly.</p><ul><li>one</li><li>two<ol><li>inner</li></ol></li></ul>"
        '<blockquote type="cite"><p>They said no.</p></blockquote><h2>What</h2>'
    )
    assert draft.body == (
        "Dear {{ recipient.first_name }},\n\nit has **changed** for *all* of us.\\\nTruly.\n\n"
        "- one\n- two\n  1. inner\n\n> They said no.\n\n## What"
    )


def test_lines_of_the_body_text_mode_are_paragraphs_where_an_empty_line_is(draft: Draft):
    draft.html("one<br>two<br><br><b>three<br><br>four</b><br>")
    assert draft.body == "one\\\ntwo\n\n**three**\n\n**four**"


@pytest.mark.parametrize(
    "typed",
    [
        "<b>Note:</b>this",
        "so<i>(this)</i>",
        "<b> a </b>b",
        "a<b></b>b",
        "<b>a<i>b</b>c</i>",
        "<i>a</i><b>b</b>",
    ],
)
def test_emphasis_leaves_no_asterisks(draft: Draft, typed: str):
    shown = re.sub("<[^>]*>", "", typed).strip()
    assert draft.html(f"<p>{typed}</p>").read()[0] == shown


@pytest.mark.parametrize(
    "typed",
    [
        "3 * 4 * 5",
        "# no heading",
        "1. no item",
        "- no item",
        "a_b_c",
        "[x](y)",
        "&lt;b&gt; &amp;amp;",
    ],
)
def test_what_was_typed_is_not_taken_for_markdown(draft: Draft, typed: str):
    shown = typed.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert draft.html(f"<p>{typed}</p>").read() == [shown, shown]
    assert draft.text(f"{shown}\n").read() == [shown, shown]


def test_a_tag_of_another_language_is_text(draft: Draft):
    assert draft.html("<p>100 {% of it {# so #}</p>").read()[0] == "100 {% of it {# so #}"


@pytest.mark.parametrize(
    "typed", ["{<span>{ 7 }}</span>", "{<b></b>% set a = 1 %}", "{<!-- -->{{First Name}}}", "{"]
)
def test_braces_that_meet_where_an_element_ends_make_no_tag(draft: Draft, typed: str):
    shown = re.sub("<[^>]*>", "", typed).replace("{{First Name}}", "Ann")
    assert draft.html(f"<p>{typed}</p>").read()[0] == shown


def test_a_brace_before_a_variable_stays_a_brace(draft: Draft):
    assert draft.text("{{{First Name}}}\n").read()[0] == "{Ann}"


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("https://host.example/a)b", "https://host.example/a%29b"),
        ("https://host.example/{%set a=1%}", "https://host.example/%7B%25set%20a=1%25%7D"),
        ("https://host.example/a&#10;&#10;b", "https://host.example/a%0A%0Ab"),
        ("https://host.example/?a&amp;copy;", "https://host.example/?a&copy;"),
        ("https://host.example/a>b", "https://host.example/a%3Eb"),
    ],
)
def test_no_address_ends_its_link_or_is_a_tag(draft: Draft, target: str, leads_to: str):
    assert draft.html(f'<p><a href="{target}">here</a></p>').read()[0] == f"here <{leads_to}>"
    shown = draft.html(f'<p><a href="{target}">{target}</a></p>').read()[0]
    assert unquote(leads_to) in unquote(shown)


def test_links_keep_where_they_lead(draft: Draft):
    draft.html(
        '<p><a href="https://host.example/?a=1&amp;b={{Town}}">the <b>plan</b></a>, '
        '<a class="moz-txt-link-freetext" href="https://host.example/">https://host.example/</a>, '
        '<a href="mailto:a@host.example">a@host.example</a></p>'
    )
    assert draft.body == (
        '[the plan](https://host.example/?a=1&b={{ recipient.town or "" }}), '
        "<https://host.example/>, <a@host.example>"
    )


def test_a_text_keeps_its_lines_and_flowed_ones_are_joined(draft: Draft):
    draft.text("Dear {{First Name}},\n\na long line that \ngoes on.\nAnother.\n\n-- \nAnn\n")
    ann, bob = draft.read()
    assert ann == "Dear Ann,\n\na long line that goes on.\nAnother.\n\n-- \nAnn"
    assert bob.startswith("Dear Bob,\n")


def test_a_condition_is_taken_over(draft: Draft):
    draft.html("<p>Dear {{Gender|m|Mr|Ms}} {{Last Name}}{{Town|Leeds| of Leeds}}</p>")
    assert draft.read() == ["Dear Ms Reed of Leeds", "Dear Mr Hill"]


def test_only_a_column_with_empty_cells_may_print_nothing(draft: Draft):
    assert draft.html("{{Town}} {{First Name}}").body == (
        '{{ recipient.town or "" }} {{ recipient.first_name }}'
    )


def test_headers_settings_list_and_attachments_come_along(draft: Draft):
    mail = EmailMessage()
    mail.set_content("Hello\n")
    mail.add_attachment(b"%PDF-1", maintype="application", subtype="pdf", filename="Plän/../x.pdf")
    head = HEAD.replace("MIME-Version: 1.0\n", "Cc: a@host.example\nBcc: b@host.example\n")
    draft.file.write_bytes(f"{head}Reply-To: c@host.example\n".encode() + bytes(mail))
    files = draft.files
    assert files["annex/x.pdf"] == b"%PDF-1"
    assert files["people.csv"] == LIST.encode()
    settings = files["petition.toml"].decode()
    assert 'from = "Friends of the Café <letters@friends.example>"' in settings
    assert 'reply_to = "c@host.example"' in settings
    assert 'recipients = "people.csv"' in settings
    assert draft.letter.startswith(
        '---\nsubject: "The plans, {{ recipient.first_name }}"\ncc: ["a@host.example"]\n'
        'bcc: ["b@host.example"]\nattachments: ["annex/x.pdf"]\n---\n'
    )


def test_a_mail_that_is_attached_is_named_and_not_taken_for_the_letter(draft: Draft):
    inner = EmailMessage()
    inner["Subject"] = "Fwd"
    inner.set_content("<p>theirs</p>", subtype="html")
    mail = EmailMessage()
    mail.set_content("ours\n")
    mail.add_attachment(inner)
    draft.file.write_bytes(HEAD.replace("MIME-Version: 1.0\n", "").encode() + bytes(mail))
    assert any("another mail is attached" in what for what in draft.faults())


def test_no_part_is_left_out_silently(draft: Draft):
    mail = EmailMessage()
    mail.set_content("ours\n")
    for content in (b"1", b"2"):
        mail.add_attachment(content, maintype="application", subtype="pdf", filename="a.pdf")
    mail.add_attachment(b"GIF", maintype="image", subtype="gif")
    mail.add_attachment("below the attachments\n")
    draft.file.write_bytes(HEAD.replace("MIME-Version: 1.0\n", "").encode() + bytes(mail))
    assert len(draft.faults()) == 3


@pytest.mark.parametrize("head", ["From: " + "(" * 9_000 + "\n", ""])
def test_a_draft_that_nests_too_deeply_is_refused(draft: Draft, head: str):
    parts = [f'Content-Type: multipart/mixed; boundary="{at}"\n\n--{at}\n' for at in range(3_000)]
    draft.file.write_text(f"{head}To: {{{{email}}}}\n{''.join(parts)}\nHello\n")
    assert len(draft.faults()) == 1


def test_a_sheet_is_named_and_its_file_copied(draft: Draft):
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    row = "".join(map(cell.format, ("ann@mail.example", "Ann")))
    write_ods(draft.file.parent, f"<table:table-row>{row}</table:table-row>")
    draft.people = draft.file.with_name("a.ods#S")
    draft.head = HEAD.replace("{{First Name}}", "{{note}}").replace("{{Last Name}}", "")
    files = draft.html("<p>Dear {{note}}</p>").files
    assert files["a.ods"] == draft.file.with_name("a.ods").read_bytes()
    assert 'recipients = "a.ods#S"' in files["petition.toml"].decode()
    assert b"Dear {{ recipient.note }}" in files["letters/letter.md"]


def test_a_cc_by_row_names_its_column(draft: Draft):
    draft.head = HEAD + "Cc: {{Town}}\n"
    assert 'cc: ["{{ recipient.town or \\"\\" }}"]' in draft.html("Hello").letter


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<table><tr><td>x</td></tr></table>", "<table>"),
        ('<img src="cid:1">', "<img>"),
        ('<a href="javascript:x()">x</a>', "javascript"),
        ("{{Citty}}", '"Citty"'),
        ("{{Town|*|ee|a|b}}", "compares"),
        ("{{First <b>Name}}</b>", "does not end"),
    ],
)
def test_what_cannot_be_taken_over_is_named(draft: Draft, body: str, fault: str):
    assert any(fault in what for what in draft.html(f"<p>x {body}</p>").faults())


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"{{First Name}} {{Last Name}}" <{{email}}>', "ann@mail.example", "To is"),
        ("<{{email}}>", "<{{Town}}>", '"Town"'),
        ("To: ", "To: b@mail.example, ", "To is"),
        ("To: ", "To: b@mail.example\nTo: ", "To is"),
        ("To: ", "X-To: ", "not a draft"),
        ("User-Agent:", "Bcc: {{Town}}\nUser-Agent:", "Bcc differs"),
    ],
)
def test_headers_that_cannot_be_taken_over_are_named(draft: Draft, old: str, new: str, fault: str):
    draft.head = HEAD.replace(old, new)
    assert any(fault in what for what in draft.html("Hello").faults())


def test_a_draft_and_a_list_that_are_not_there_are_named(draft: Draft):
    draft.people.unlink()
    assert len(draft.faults()) == 2
