"""What is taken over from mailmerge is what mailmerge itself would have sent."""

import os
import re
import string
import textwrap
from dataclasses import dataclass
from datetime import date
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parseaddr
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mailmerge.__main__ import read_csv_database
from mailmerge.sendmail_client import SendmailClient
from mailmerge.template_message import TemplateMessage

from petition.campaign.folder import load_campaign
from petition.checks.campaign import examine
from petition.errors import CampaignError, Level
from petition.foreign_letter import ForeignTemplate, plain_as_markdown, renamed
from petition.identity import Signer
from petition.mailmerge import files_of, read_mailmerge
from petition.merge.message import Email, Merger
from tests.unit.campaign.samples import judged
from tests.unit.merge.enclosed import read
from tests.unit.merge.letters import NOW

DATABASE = "email,name,number\none@x.example,Ann,017\ntwo@x.example,Åsa Øst,42\n"
SERVER = "[smtp_server]\nhost = smtp.x.example\nport = 465\nsecurity = SSL/TLS\nusername = me\n"
HEADERS = "TO: {{email}}\nSUBJECT: Hello\nFROM: Me <me@x.example>\n"


@dataclass
class Old:
    """A mailmerge campaign in a folder."""

    root: Path

    def write(self, template: str, database: str = DATABASE, server: str = SERVER) -> "Old":
        self.root.mkdir(exist_ok=True)
        for name, text in (
            ("template.txt", template),
            ("database.csv", database),
            ("server.conf", server),
        ):
            (self.root / f"mailmerge_{name}").write_text(text, "utf-8")
        self.write_attachments(self.root)
        return self

    @staticmethod
    def write_attachments(root: Path) -> None:
        for name in ("a.txt", "own/017.pdf", "own/42.pdf"):
            path = root / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode())

    def sent_by_mailmerge(self) -> list[tuple[str, list[str], Message]]:
        template = TemplateMessage(self.root / "mailmerge_template.txt")
        SendmailClient(self.root / "mailmerge_server.conf", dry_run=True)
        rows = read_csv_database(self.root / "mailmerge_database.csv")
        return [template.render(row) for row in rows]

    def taken_over(self) -> list[Email]:
        new = self.root / "new"
        files, _ = files_of(read_mailmerge(self.root), "Taken over")
        for name, text in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        self.write_attachments(new)
        campaign = load_campaign(new)
        today = date(2026, 1, 1)
        found = examine(campaign, "letter", server=None, campaign_id="x", today=today)
        assert [one for one in found.problems if one.level is Level.ERROR] == []
        assert found.frozen is not None
        assert found.people is not None
        problems: list = []
        merger = Merger(found.frozen, Signer(b"k" * 32), found.files)
        made = [merger.merge(one, 1, NOW, full=True) for one in judged(found.people, problems)]
        assert [one for one in problems if one.is_error] == []
        return made

    def refused(self) -> list[tuple[str, int | None, str]]:
        with pytest.raises(CampaignError) as refused:
            files_of(read_mailmerge(self.root), "x")
        return [(Path(one.file).name, one.line, one.what) for one in refused.value.problems]


@pytest.fixture
def old(tmp_path: Path) -> Old:
    return Old(tmp_path / "old")


def shown(message: Message, header: str) -> str:
    return str(make_header(decode_header(message[header] or "")))


def mailboxes(message: Message, header: str) -> list[tuple[str, str]]:
    return getaddresses([shown(message, header)])


def text_of(message: Message) -> str:
    part = next(one for one in message.walk() if one.get_content_type() == "text/plain")
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    return raw.decode(part.get_content_charset() or "utf-8")


def settled(text: str) -> str:
    """A text without blanks at its line ends and without more than one empty line in a row."""
    lines = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n")


def attached(message: Message) -> list[tuple[str | None, object]]:
    parts = (one for one in message.walk() if one.get_filename())
    return [(one.get_filename(), one.get_payload(decode=True)) for one in parts]


def compare(old: Old, *, is_plain: bool = True) -> list[tuple[Message, Message]]:
    """Compare all letters, part by part."""
    theirs, ours = old.sent_by_mailmerge(), old.taken_over()
    assert len(theirs) == len(ours)
    pairs = []
    for (sender, recipients, message), email in zip(theirs, ours, strict=True):
        made = read(email.data)
        assert email.envelope.mail_from == parseaddr(sender)[1]
        assert sorted(email.envelope.rcpt_to) == sorted(recipients)
        assert shown(made, "Subject").split() == shown(message, "Subject").split()
        for header in ("From", "To"):
            assert mailboxes(made, header) == mailboxes(message, header)
        cc = [address for _, address in getaddresses([message["cc"] or ""]) if address]
        assert [address for _, address in getaddresses([str(made["cc"] or "")]) if address] == cc
        assert "bcc" not in made
        if is_plain:
            assert settled(text_of(made)) == settled(text_of(message))
        assert attached(made) == attached(message)
        pairs.append((message, made))
    return pairs


def test_the_sample_that_mailmerge_itself_makes(old: Old):
    template = textwrap.dedent("""\
        TO: {{email}}
        SUBJECT: Testing mailmerge
        FROM: My Self <myself@mydomain.example>
        BCC: myself@mydomain.example

        Hi, {{name}},

        Your number is {{number}}.
        """)
    compare(old.write(template))


def test_everything_at_once(old: Old):
    template = textwrap.dedent("""\
        TO: "{{name}}" <{{email}}>
        Subject: Grüße an {{ name|upper }},
          item #{{number}}
        FROM: "Me, Myself" <me@x.example>
        REPLY-TO: answers@x.example
        CC: dean@x.example
        BCC: secret@x.example, boss@x.example
        ATTACHMENT: a.txt
        ATTACHMENT: own/{{number}}.pdf

        Hi {{name}},

        {# nobody sees this #}
        Your number is {{number}}, {{ "high" if number|int > 20 else "low" }}.
          - an *indented* _line_ of snake_case with 2 * 3
        # no heading
        > no quote
        1. no list
        https://example.org/x?a=1&b=2, <tag> & {{"{{"}} [x](y) `code` \\ ![z](z)
        {% if number|int > 20 %}
        You are rich.
        {% else %}
        You are poor.
        {% endif %}
        {% for part in name.split(" ") %}[{{ part }}] {% endfor %}end
        ***
        Great. &amp; ~~~ a_b _c_
        ===
        --\x20
        Me
        """)
    for _, made in compare(old.write(template)):
        assert shown(made, "Reply-To") == "answers@x.example"


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_databases_as_spreadsheets_write_them(old: Old, mark: str, delimiter: str):
    database = mark + DATABASE.replace(",", delimiter).replace("\n", "\r\n")
    compare(old.write(HEADERS + "\nHi {{name}}, {{number}}.\n", database))


def test_columns_that_petition_would_act_on_are_called_otherwise(old: Old):
    database = "email,name,language,id,Lang\na@x.example,Ann,Klingon,7,de\nb@x.example,Bob,,7,\n"
    template = HEADERS + "\n{{name}} {{language}} {{id}} {{Lang}}.\n"
    compare(old.write(template, database))


def test_an_empty_cell_is_printed_as_nothing(old: Old):
    database = "email,name,more\na@x.example,Ann,\nb@x.example,Bob,well\n"
    compare(old.write(HEADERS + "\nHi {{name}}{{ more }}. {% if more %}Yes{% endif %}\n", database))
    _, notes = files_of(read_mailmerge(old.root), "x")
    assert any('"more" is empty' in note and "line 2" in note for note in notes)


class Words(HTMLParser):
    """The words of HTML with its breaks and elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        kept = {"strong", "em", "a", "li", "ul", "ol", "br", "h1", "h2", "blockquote", "p"}
        if tag in kept:
            self.found.append(f"<{tag}{dict(attrs).get('href') or ''}>")

    def handle_data(self, data):
        self.found += data.split()


def body_words(message: Message) -> list[str]:
    part = next(one for one in message.walk() if one.get_content_type() == "text/html")
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    words = Words()
    words.feed(re.split("<body[^>]*>", raw.decode(), maxsplit=1)[1])
    return words.found


def test_markdown_looks_the_same(old: Old):
    template = textwrap.dedent("""\
        TO: {{email}}
        SUBJECT: Hello
        FROM: me@x.example
        CONTENT-TYPE: text/markdown

        # Hi {{name}}

        This is **bold** and *emphasis*,
        on a second line, with [a link](https://example.org/).

        - one
        - two

        > quoted

        1. first
        2. second

        Bye {{number}}.
        """)
    for theirs, made in compare(old.write(template), is_plain=False):
        assert body_words(made) == body_words(theirs)


def test_what_mailmerge_gets_wrong_is_not_taken_over(old: Old):
    # A comma in a name: mailmerge writes to "Smith" and "Ann"; a newline in a cell: a header, or,
    # with a newer Python, no address at all.
    database = (
        'email,name,number\na@x.example,"Smith, Ann",1\nb@x.example,"Bob\nBcc: c@evil.example",2\n'
    )
    old.write("TO: {{name}} <{{email}}>\nSUBJECT: Hi\nFROM: me@x.example\n\nHello.\n", database)
    (_, first, _), (_, second, _) = old.sent_by_mailmerge()
    assert first == ["Smith", "a@x.example"]
    assert "c@evil.example" in second or "b@x.example" not in second
    campaign = read_mailmerge(old.root)
    assert campaign.rows[0]["name"] == "Smith, Ann"
    assert [row["email"] for row in campaign.rows] == ["a@x.example", "b@x.example"]
    assert campaign.bcc == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("CC: {{name}}@x.example", "CC differs from row to row"),
        ("X-Mailer: mine", "petition does not set the header X-Mailer"),
        ("CONTENT-TYPE: text/html", 'a letter of the type "text/html" cannot be taken over'),
        ("ATTACHMENT: /etc/passwd", 'the attachment "/etc/passwd" is not in the folder'),
        ("ATTACHMENT: ../x", 'the attachment "../x" is not in the folder'),
        ("BCC: {{nobody}}", 'the database has no column "nobody"'),
        ("{% if name %}CC: x@x.example", "is not a header"),
        ("CC: {{ name", '"{{" is never closed'),
        ("SUBJECT: again", "two headers SUBJECT"),
        ("REPLY-TO: {% include 'x' %}", "cannot include another"),
        ("REPLY-TO: {% filter lower %}A@X.EXAMPLE{% endfilter %}", "{% filter %} cannot be used"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_with_its_line(old: Old, line: str, what: str):
    old.write(f"{HEADERS}{line}\n\nHello.\n")
    (found,) = old.refused()
    assert found[:2] == ("mailmerge_template.txt", 4)
    assert what in found[2]


def test_each_block_that_a_letter_cannot_have_is_named_with_its_line(old: Old):
    two = "{% macro m() %}x{% endmacro %}\n\n{% set y %}z{% endset %}"
    old.write(f"{HEADERS}\nHello {{{{ m() }}}}.\n{two}\n{{% filter upper %}}a{{% endfilter %}}\n")
    found = old.refused()
    assert [one[:2] for one in found] == [("mailmerge_template.txt", line) for line in (6, 8, 9)]
    for (_, _, what), keyword in zip(found, ("macro", "set", "filter"), strict=True):
        assert f"{{% {keyword} %}}" in what


def test_html_in_markdown_is_refused(old: Old):
    old.write(f"{HEADERS}CONTENT-TYPE: text/markdown\n\nHello <b>you</b>.\n")
    ((_, _, what),) = old.refused()
    assert what.endswith(": <b>")


@pytest.mark.parametrize(
    ("database", "line", "what"),
    [
        ("email,name,number\na@x.example,Ann\n", 2, "the row has 2 cells"),
        ("email,name,number\n,Ann,1\n", 2, "the row has no address"),
        ('email,name,number\n"a@x.example, b@x.example",Ann,1\n', 2, "several people at once"),
        ("email,name,number\n", None, "has no rows"),
        ("email,name,name\na@x.example,Ann,1\n", 1, "two columns have the same name"),
    ],
)
def test_a_row_that_cannot_be_taken_over_is_told(old: Old, database: str, line, what: str):
    old.write(HEADERS + "\nHello.\n", database)
    found = old.refused()[0]
    assert found[:2] == ("mailmerge_database.csv", line)
    assert what in found[2]


@pytest.mark.parametrize("name", ["template.txt", "database.csv", "server.conf"])
def test_a_file_that_is_none_of_text_is_told_and_not_waited_for(old: Old, name: str):
    old.write(HEADERS + "\nHello.\n")
    path = old.root / f"mailmerge_{name}"
    path.write_bytes(b"\xff\xfe\x00")
    assert [file for file, _, _ in old.refused()] == [path.name]
    path.unlink()
    os.mkfifo(path)
    ((_, _, what),) = old.refused()
    assert "file" in what
    path.unlink()
    path.symlink_to("/etc/hostname")
    ((_, _, what),) = old.refused()
    assert "outside" in what


def test_all_files_are_missing_and_all_are_told(old: Old):
    old.root.mkdir()
    assert sorted(name for name, _, _ in old.refused()) == [
        "mailmerge_database.csv",
        "mailmerge_server.conf",
        "mailmerge_template.txt",
    ]


@pytest.mark.parametrize(
    ("conf", "lines"),
    [
        ("host=h.example\nport=465\nsecurity=SSL/TLS\nusername=me", ['security = "tls"']),
        (
            "host=h.example\nport=587\nsecurity=STARTTLS\nusername=me\nratelimit=30",
            ['security = "starttls"', 'username = "me"', 'rate = "30/min"'],
        ),
        ("host=h.example\nport=25\nsecurity=PLAIN\nusername=me", ['security = "starttls"']),
        ("host=h.example\nport=25", ['security = "starttls"']),
        ("host=localhost\nport=25\nratelimit=0", ['security = "none"', "port = 25"]),
        ("host=h.example\nport=587\nsecurity=XOAUTH\nusername=me", ['auth = "xoauth2"']),
    ],
)
def test_the_server_is_taken_over(old: Old, conf: str, lines: list[str]):
    old.write(HEADERS + "\nHello.\n", server=f"[smtp_server]\n{conf}\n")
    files, notes = files_of(read_mailmerge(old.root), "x")
    settings = files["petition.toml"].splitlines()
    assert [line for line in lines if line not in settings] == []
    assert ("rate =" in files["petition.toml"]) == ("ratelimit=30" in conf)
    is_changed = "PLAIN" in conf or "security" not in conf
    assert any("encrypts" in note for note in notes) == (is_changed and "localhost" not in conf)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("name", "recipient.n"),
        ("name | default(name, boolean=true)", "recipient.n | default(recipient.n, boolean=true)"),
        ("x.name", "x.name"),
        ("f(name=name)", "f(name=recipient.n)"),
        ('"name" ~ name', '"name" ~ recipient.n'),
        ("name is name", "recipient.n is name"),
        ("name is not name", "recipient.n is not name"),
        ("not name", "not recipient.n"),
        ("[name, {'name': name}]", "[recipient.n, {'name': recipient.n}]"),
        ("name == name", "recipient.n == recipient.n"),
        ("x | name", "x | name"),
    ],
)
def test_names_are_renamed_by_jinjas_own_lexer(source: str, expected: str):
    assert renamed(source, {"name": "recipient.n"}) == expected


LINES = st.lists(
    st.text(alphabet=string.punctuation + "ab1 \té", max_size=24), min_size=1, max_size=5
)


@example(["<!--"])
@given(LINES)
def test_any_plain_line_comes_out_as_it_was_typed(lines: list[str]):
    from petition.template.bodies import write_plain
    from petition.template.markdown import read_markdown
    from petition.template.tags import TAG

    text = "\n".join(lines)
    try:
        marked = ForeignTemplate(re.sub(r"\{[{%#]", "{", text)).marked()
    except Exception:  # noqa: BLE001 (a text that Jinja cannot read is refused)
        return
    marked.text = plain_as_markdown(marked)
    complaints: list = []
    tree = read_markdown(marked, lambda *told: complaints.append(told))
    made = TAG.sub("{", write_plain(tree, marked))
    wanted = re.sub(r"\{[{%#]", "{", text)
    assert settled(made) == settled(wanted)
    assert complaints == []
