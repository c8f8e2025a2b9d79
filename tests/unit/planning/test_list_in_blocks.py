"""A list is read and judged in blocks: what is told of each row is what is told of it alone."""

import csv
import io
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.campaign import csv_file, people
from petition.campaign.folder import Campaign, load_campaign
from petition.checks import style
from petition.checks.campaign import CopyCheck, examine, in_order
from petition.identity import Signer
from petition.merge.message import Merger
from petition.planning.selection import check_list
from tests.unit.campaign.conftest import Folder

SETTINGS = """\
[campaign]
title = "Harbour"
languages = ["en", "ru"]
[sender]
from = "Harbour <letters@friends.example>"
reply_to = "answers@friends.example"
postal_address = "1 Mill Lane, Leeds"
[unsubscribe]
mailto = "leave+{token}@friends.example"
"""
TEXT = """\
Dear {{ recipient.salutation }},

{% if recipient.member %}as a member {% endif %}you live in {{ recipient.town or "town" }}.
"""
LETTERS = {
    "a name in the subject": '---\nsubject: "{{ recipient.name }}: a letter"\n---\n' + TEXT,
    "a long subject": f'---\nsubject: "{"To you " * 10}{{{{ recipient.town }}}}"\n---\n' + TEXT,
    "a link": '---\nsubject: "A letter"\n---\nSee [this]({{ recipient.link }}).\n',
    "others in cc": '---\nsubject: "S"\ncc: ["{{ recipient.link }}", "p1@x.example"]\n---\n' + TEXT,
    "no fields": '---\nsubject: "A letter"\n---\nHello.\n',
    "bulk": '---\nsubject: "To {{ recipient.town }}"\nkind: bulk\n---\n' + TEXT
    + "\n{{ sender.name }}, {{ sender.postal_address }}\n\n[Leave]({{ unsubscribe }})\n",
}  # fmt: skip
COLUMNS = ("id", "email", "name", "salutation", "language", "town", "link", "member", "updates")
ODD = st.sampled_from(
    ["", " ", "Ann Reed", "ANN REED", "ann reed", "Mr Smith", "Dear Ann", "уважаемый Анна Петровна",
     "p1", "p1@x.example", "P1@X.example", "p2@КАЗ.example", "ö@x.example", "p2@x.example,", "#a",
     "'a@x.example", "a b@x.example", "Ann <p3@x.example>", "[email protected]", "p" * 400,
     "x" * 70, "x" * 1000, "two\nlines", "two\r\nlines", "tab\tbed",
     "zero\u200bwidth", "turned\u202e",
     "\u2067both\u2069", "nul\0", "\x1b[1m", "Ã©", "&amp;", "TODO", "null", "N/A", "a,b", "a, b",
     "a ,b", "a,", '="1"', "'1", "4.4E+11", "_x000D_", "O\\'B", "{{ x }}", "???", "www.x.example",
     "https://x.example/", "javascript:x", "en", "ru", "ru_KZ", "de", "English", "not a tag", "yes",
     "no", "maybe", "\xa0", "Жұмабек", "’t Hooft", "2026-01-31", "\ufffd", "\ud800", "١", "\u0301a"]
) | st.text(max_size=3)  # fmt: skip
ROWS = st.lists(st.dictionaries(st.sampled_from(COLUMNS), ODD, max_size=2), min_size=1, max_size=12)


def as_csv(rows: list[dict[str, str]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for number, odd in enumerate(rows):
        row = {
            "id": str(number), "email": f"p{number}@x.example", "name": f"Ann Reed{number}",
            "salutation": f"Ms Reed{number}", "language": ("en", "ru", "")[number % 3],
            "town": "Hull", "link": "https://x.example/", "member": "yes", "updates": "yes",
        } | odd  # fmt: skip
        writer.writerow(row[column] for column in COLUMNS)
    return stream.getvalue().encode("utf-8", "surrogatepass")


def told(campaign: Campaign) -> object:
    examined = examine(
        campaign, "open-letter", server=None, campaign_id="id", today=date(2026, 1, 1)
    )
    assert examined.frozen
    found = []
    merger = Merger(examined.frozen, Signer(b"k" * 32), examined.files)
    check_list(examined, merger, 1, found.extend, read_back=0)
    return found, in_order(examined.problems), examined.largest_copy


@pytest.mark.hypothesis
@pytest.mark.parametrize("letter", LETTERS)
def test_what_is_told_of_a_row_is_what_is_told_of_it_alone(tmp_path, monkeypatch, letter):
    folder = Folder(tmp_path)
    folder.write("petition.toml", SETTINGS)
    folder.write("letters/open-letter.md", LETTERS[letter])
    monkeypatch.setattr(csv_file, "BLOCK", 3)
    monkeypatch.setattr(style, "_READ", 1)
    campaign = load_campaign(folder.root)

    @given(ROWS)
    @example([{}] * 9)
    @example([{}, {}, {}, {"member": "no"}, {"member": "maybe"}, {}])
    def check(rows):
        folder.write("recipients.csv", as_csv(rows))
        found = told(campaign)
        with monkeypatch.context() as patch:
            patch.setattr(CopyCheck, "_are_like_others", lambda _, people: [False] * len(people))
            patch.setattr(people, "is_plain", lambda _: False)
            assert found == told(campaign)

    check()


def test_most_rows_are_judged_together(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    folder.write("petition.toml", SETTINGS)
    folder.write("letters/open-letter.md", LETTERS["a name in the subject"])
    folder.write("recipients.csv", as_csv([{}] * 3000))
    looked_at = []
    checked = CopyCheck._checked
    monkeypatch.setattr(
        CopyCheck, "_checked", lambda *of: looked_at.append(of[1].line) or checked(*of)
    )
    told(load_campaign(folder.root))
    assert 500 <= len(looked_at) < 1000
