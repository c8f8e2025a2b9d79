"""Lists and letters that went wrong in other programs, each with what must come of it.

Made after public reports of people who merge letters from lists. Each gives its right value, or
an error or warning with its place. What stands in expectations is key words, between three dots.
"""

import email
import email.policy
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from petition.campaign.folder import load_campaign
from petition.campaign.people import Person
from petition.checks.campaign import examine, in_order
from petition.cli.problems import gathered
from petition.errors import PetitionError
from petition.identity import Signer
from petition.merge.message import Merger
from petition.planning.selection import check_list
from petition.template.condition import Condition
from tests.acceptance.small import SmallCampaign
from tests.unit.campaign.samples import SAMPLES, Said

SETTINGS = """\
[campaign]
title = "Harbour"
id = "harbour"
[sender]
from = "Friends of the Harbour <letters@friends.example>"
reply_to = "answers@friends.example"
[people]
"""
LETTER = '---\nsubject: "Keep the library open"\n---\n'
DEAR = "Dear {{ recipient.name }},\n\nhello.\n"
ANN = "email,name\nann@mail.example,Ann Reed\n"
NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
OPEN = "letters/open-letter.md"


class Case(NamedTuple):
    """What somebody wrote, and what must come of it.

    Args:
        people: The list, or the name of a sample.
        body: The letter, with its front matter if that has more than a subject.
        told: What is told of it; an error stops all mails.
        mails: What the mail to each address holds.
        settings: What [people] says.
        files: Other files.
        where: Conditions, and the line numbers that each one chooses, or why it is refused.
    """

    people: str | bytes
    body: str = DEAR
    told: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()
    settings: str = ""
    files: tuple[str, ...] = ()
    where: tuple[tuple[str, list[int] | str], ...] = ()


def sheet(name: str) -> str:
    return f"lists/{name}.xlsx"


CASES = {
    "blanks before quotes": Case(
        'email, name, town\n"john@mail.example", "John Doe", "Leeds"\n'
        'ann@mail.example, "Ann ""Annie"" Reed", York\n',
        "Dear {{ recipient.name }} of {{ recipient.town }},\n",
        mails=(
            "To: John Doe <john@mail.example> ... Dear John Doe of Leeds,",
            'Dear Ann "Annie" Reed of York,',
        ),
    ),
    "lines in a cell": Case(
        sheet("lines-in-a-cell"),
        "> {{ recipient.address }}\n\n- {{ recipient.address }}\n",
        mails=(
            "> 12 High Street\n> Leeds ... - 12 High Street\n  Leeds ... <br>Leeds<br>LS1 4AB<",
        ),
    ),
    "a cell compared with a number": Case(
        "email,name,ward\nann@mail.example,Ann,3\nbob@mail.example,Bob,4\n",
        "Dear\n\n{% if recipient.ward == 3 %}\nyours\n{% endif %}\n",
        told=(f'{OPEN}:6: error: ... compared with a number ... recipient.ward == "3"',),
        where=(
            ("ward != 3", "is a text ... ward|int == 3"),
            ("ward == 3", "is a text"),
            ("ward == '3'", [2]),
            ("ward|int != 3", [3]),
        ),
    ),
    "no that counted as yes": Case(
        sheet("yes-and-no"),
        "{% if recipient.member %}\nDear member,\n{% else %}\nDear neighbour,\n{% endif %}\n",
        told=(f'{OPEN}:4: note: recipient.member is read as yes or no ... "no" ... #Sheet1:3',),
        mails=("\nDear member,", "\nDear neighbour,"),
        where=(("member", [2]), ("not member", [3])),
    ),
    "no in a CSV file": Case(
        "email,member\na@mail.example,TRUE\nb@mail.example,FALSE\nc@mail.example,0\n"
        "d@mail.example,нет\ne@mail.example,жоқ\nf@mail.example,\n",
        "Dear {{ 'member' if recipient.member else 'neighbour' }},\n",
        told=(f"{OPEN}:4: note: ...",),
        mails=("Dear member,", *["Dear neighbour,"] * 5),
        where=(("member", [2]),),
    ),
    "yes and no beside other words": Case(
        "email,member\na@mail.example,gold\nb@mail.example,no\n",
        "Dear {{ 'member' if recipient.member else 'neighbour' }},\n",
        told=(f"{OPEN}:4: error: recipient.member ... recipients.csv:3 ... recipients.csv:2",),
        where=(("member", "recipients.csv:3 ... recipients.csv:2"), ("member == 'gold'", [2])),
    ),
    "numbers as the sheet shows them": Case(
        sheet("numbers"),
        "{{ recipient.zip }}; {{ recipient.due }}; {{ recipient.share }}; {{ recipient.since }};"
        " {{ recipient.call_at }}",
        told=(
            f"{OPEN}:4: warning: a date from a cell ...",
            "lists/numbers.xlsx#Sheet1:1: note: ... zip",
        ),
        mails=("\n02110; 1,234.50 EUR; 15%; 2026-01-05; 18:30\n",),
    ),
    "a sum that is not quite 0.3": Case(
        sheet("float-noise"),
        "Dear {{ recipient.name }}, {{ recipient.due }} pounds.",
        mails=("Dear Ann, 0.3 pounds.", "Dear Bob, 0.1 pounds."),
    ),
    "an error cell": Case(
        sheet("error-cell"),
        "Dear {{ recipient.salutation or 'Sir' }},",
        told=("lists/error-cell.xlsx#Sheet1:2: error: the cell C2 ... #N/A",),
    ),
    "a list from Excel for Mac": Case(
        "email,name\na@mail.example,José Muñoz\nb@mail.example,Zoë Grüner\n".encode("mac-roman"),
        told=('recipients.csv: error: ... encoding = "mac-roman"',),
    ),
    "a list from Excel for Mac, declared": Case(
        "email,name\na@mail.example,José Muñoz\nb@mail.example,Zoë Grüner\n".encode("mac-roman"),
        settings='encoding = "mac-roman"\n',
        told=("recipients.csv: note: ... José Muñoz",),
        mails=("Dear José Muñoz,", "Dear Zoë Grüner,"),
    ),
    "a list from DOS": Case(
        "email,name\np0@mail.example,Jörg Müller\np1@mail.example,Zoë Grüner\n".encode("cp850"),
        told=('recipients.csv: error: ... encoding = "cp850" (Zoë)',),
    ),
    "a list from a Polish Windows": Case(
        "email,name\np0@mail.example,Łukasz Wiśniewski\np1@mail.example,Jiří Dvořák\n".encode(
            "cp1250"
        ),
        told=('recipients.csv: error: ... encoding = "cp1250" (Wiśniewski)',),
    ),
    "no header": Case(
        "ann@mail.example,Ann\nbob@mail.example,Bob\n",
        told=("recipients.csv:1: error: ... no column names ... above it",),
    ),
    "bars between cells": Case(
        "email|name\nann@mail.example|Ann\n",
        told=("recipients.csv: note: ... vertical bars",),
        mails=("Dear Ann,",),
    ),
    "a hashtag in the subject": Case(
        ANN,
        f"---\nsubject: Save our library #SaveOurLibrary\n---\n{DEAR}",
        told=(f'{OPEN}:2: error: ... comment ... "Save our library #SaveOurLibrary"',),
    ),
    "an attachment for some": Case(
        "email,name,file\nann@mail.example,Ann,a.pdf\nbob@mail.example,Bob,\n"
        "cy@mail.example,Cy,a.pdf; b.pdf\n",
        "---\nsubject: Hello\nattachments: [\"{{ recipient.file or '' }}\"]\n---\n" + DEAR,
        files=("a.pdf", "b.pdf"),
        mails=("Attached: a.pdf\n", "Attached: none ... Dear Bob,", "Attached: a.pdf, b.pdf\n"),
    ),
    "lines of a signature": Case(
        ANN,
        f"{DEAR}\nBest regards,\nDion Example\n12 High Street, Leeds\n",
        told=(f"{OPEN}:8: warning: ... one line ... backslash",),
        mails=("Dear Ann Reed,",),
    ),
    "dashes above a signature": Case(
        ANN,
        f"{DEAR}\nAnn Reed\n-- \nFriends\n\n    Indented by its author, and no code.\n",
        mails=("\n\n-- \nFriends\n ... <p>-- </p> ... <p>Indented by its author",),
    ),
    "HTML in the letter": Case(
        ANN,
        "Dear Ann,<br>\nplease <u>keep</u> it.\n\n<!-- not for the mayor -->\n",
        told=(
            f"{OPEN}:4: error: ... <br> ... backslash",
            f"{OPEN}:5: error: ... <u>",
            f"{OPEN}:7: error: ... <!-- --> ... {{#",
        ),
    ),
    "placeholders of other programs": Case(
        ANN,
        "Dear {recipient.name}, { recipient.name }, ${name}, $$name$$, %FIRSTNAME%, {City},"
        " [Organisation], |FIRST_NAME|,\n",
        told=(
            *(f"{OPEN}:4: error: {mark}" for mark in ('"$$name$$', '"${name}', '"{ recipient.')),
            f'{OPEN}:4: error: "{{recipient.name}}"',
            *(f"{OPEN}:4: warning: {mark}" for mark in ('"%FIRST', '"[Org', '"{City}', '"|FIRST')),
        ),
    ),
    "hidden rows": Case(
        sheet("hidden-rows"),
        told=('lists/hidden-rows.xlsx#Sheet: error: 3 rows (... are hidden ... hidden = "skip"',),
    ),
    "hidden rows that are left out": Case(
        sheet("hidden-rows"),
        settings='hidden = "skip"\n',
        told=("lists/hidden-rows.xlsx#Sheet: note: 3 rows",),
        mails=("p1@mail.example", "p3@mail.example", "p5@mail.example"),
    ),
    "one mailbox for two": Case(
        "email,name\noffice@mail.example,Cllr Ann Reed\noffice@mail.example,Cllr Bob Lee\n",
        told=tuple(
            f"recipients.csv:{line}: error: ... in line {other} ... join their rows ..."
            ' "Cllr Ann Reed and Cllr Bob Lee" ... column'
            for line, other in ((2, 3), (3, 2))
        ),
    ),
    "one letter to both": Case(
        'email,name,greeting\noffice@mail.example,Ann Reed and Bob Lee,"Ann and Bob"\n',
        "Dear {{ recipient.greeting or recipient.name }},\n",
        mails=("To: Ann Reed and Bob Lee <office@mail.example> ... Dear Ann and Bob,",),
    ),
    "a date in a cell": Case(
        "email,name,since\nann@mail.example,Ann,2026-01-05\n",
        "Dear {{ recipient.name }}, member since {{ recipient.since|date }}.\n",
        mails=("member since 5 January 2026.",),
    ),
    "a Cyrillic letter in an address": Case(
        "email,name\nаnn@mail.example,Ann\nbob@mаil.example,Bob\n",
        told=(
            "recipients.csv:2: error: ... Cyrillic letter а (U+0430)",
            "recipients.csv:3: error: ... Cyrillic letter а (U+0430)",
        ),
    ),
    "spoilt cells": Case(
        'email,name,note\na@mail.example,Jos√© Ruiz,"=""00123"""\n'
        "b@mail.example,Fran\ufffdois,'00123\nc@mail.example,Fran?ois,4.477E+11\n"
        "d@mail.example,Ann_x000D_Reed,O\\'Brien\n'e@mail.example,Eve,x\n",
        "Dear {{ recipient.name }}, {{ recipient.note }}.\n",
        told=(
            "recipients.csv:2: warning: name ... encoded twice",
            "recipients.csv:2: warning: note ... formula",
            "recipients.csv:3: warning: name ... a letter is lost (in 2 rows",
            "recipients.csv:3: warning: note ... apostrophe",
            "recipients.csv:4: warning: note ... cut off",
            "recipients.csv:5: warning: name ... code of a character",
            "recipients.csv:5: warning: note ... backslash",
            "recipients.csv:6: warning: email ... apostrophe",
        ),
        mails=("a@mail", "b@mail", "c@mail", "d@mail", "'e@mail"),
    ),
    "cc of each row": Case(
        "email,name,assistant\nann@mail.example,Ann,pa@mail.example\nbob@mail.example,Bob,\n",
        f'---\nsubject: Hello\ncc: ["{{{{ recipient.assistant }}}}"]\n---\n{DEAR}',
        mails=("Cc: pa@mail.example\n ... Dear Ann,", "Cc: none ... Dear Bob,"),
    ),
    "cc of each row that says yes": Case(
        "email,name,copy,pa\na@mail.example,A,yes,pa@mail.example\nb@mail.example,B,no,x@mail.example\n",
        "---\nsubject: Hello\ncc: [\"{{ recipient.pa if recipient.copy else '' }}\"]\n---\n" + DEAR,
        told=(f"{OPEN}:3: note: recipient.copy is read as yes or no",),
        mails=("Cc: pa@mail.example\n", "Cc: none ... Dear B,"),
    ),
    "cc of a row that is no address": Case(
        "email,name,assistant\nann@mail.example,Ann,pa at mail\n",
        f'---\nsubject: Hello\ncc: ["{{{{ recipient.assistant }}}}"]\n---\n{DEAR}',
        told=(f'recipients.csv:2: error: cc: "pa at mail" ... {OPEN}:3',),
    ),
    "a sender of one letter": Case(
        ANN,
        "---\nsubject: Hello\nfrom: Ann Lee <ann@friends.example>\n"
        f"reply_to: lee@friends.example\n---\n{DEAR}",
        mails=("From: Ann Lee <ann@friends.example>\nReply-To: lee@friends.example\n",),
    ),
    "a sender from elsewhere": Case(
        ANN,
        f"---\nsubject: Hello\nfrom: ann@elsewhere.example\n---\n{DEAR}",
        told=(f"{OPEN}:3: error: from ... friends.example",),
    ),
    "rows without an address": Case(
        sheet("rows-without-address"),
        told=("lists/rows-without-address.xlsx#Sheet:5: error: ... empty ... rows 6 to 304",),
    ),
    "a title above the header": Case(
        "Members of the council,,\n,,\nemail,name,ward\nann@mail.example,Ann,North\n",
        told=("recipients.csv:1: error: ... in line 3: delete the lines above",),
    ),
    "a row that is commented out": Case(
        "email,name\n#bob@mail.example,Bob\n",
        told=("recipients.csv:2: error: ... commented out",),
    ),
    "a file name from a Mac": Case(
        ANN,
        f'---\nsubject: Hello\nattachments: ["Übersicht.pdf"]\n---\n{DEAR}',
        files=("U\u0308bersicht.pdf",),
        mails=("Attached: Übersicht.pdf\n",),
    ),
    "bare addresses": Case(
        ANN,
        "Sign at https://host.example/library or write to info@host.example.\n",
        mails=('<a href="https://host.example/library"> ... <a href="mailto:info@host.example">',),
    ),
    "Outlook's headings": Case(
        "First Name,Last Name,E-mail Address\nAnn,Reed,ann@mail.example\n",
        told=('recipients.csv:1: note: ... "E-mail Address" as email',),
        mails=("To: Ann Reed <ann@mail.example>",),
    ),
    "Google's headings": Case(
        "First Name,Last Name,E-mail 1 - Label,E-mail 1 - Value\nAnn,Reed,Work,ann@mail.example\n"
        "Bo,Lee,Work,bo@mail.example ::: bo@home.example\n",
        told=(
            'recipients.csv:1: note: ... "E-mail 1 - Value" as email',
            "recipients.csv:3: error: E-mail 1 - Value ... bo@mail.example, bo@home.example",
        ),
    ),
    "Apple's headings": Case(
        "first\tlast\temail (home)\nAnn\tReed\tann@mail.example\n",
        told=("recipients.csv: note: ... tabs", 'recipients.csv:1: note: ... "email (home)"'),
        mails=("To: Ann Reed <ann@mail.example>",),
    ),
    "a form that asks twice": Case(
        "Timestamp,Email Address,Name,Email Address\n2026-01-02,ann@mail.example,Ann,"
        "ann@mail.example\n",
        told=("recipients.csv:1: note: ... as email",),
        mails=("To: Ann <ann@mail.example>",),
    ),
    "a form that asks twice and is told two things": Case(
        "Timestamp,Email Address,Name,Email Address\n2026-01-02,ann@mail.example,Ann,"
        "bob@mail.example\n",
        told=(
            "recipients.csv:1: note: ... as email",
            'recipients.csv:2: error: columns 2 and 4 ... "email_address"',
        ),
    ),
}


def begin(root: Path, case: Case) -> None:
    """Write the campaign of a case."""
    campaign = SmallCampaign(root)
    file = case.people if isinstance(case.people, str) and "\n" not in case.people else ""
    if file:
        (root / file).parent.mkdir()
        shutil.copy(SAMPLES / file, root / file)
    else:
        campaign.write("recipients.csv", case.people)
    listed = f'recipients = "{file}"\n' if file else ""
    campaign.write("petition.toml", SETTINGS + listed + case.settings)
    letter = case.body if case.body.startswith("---") else LETTER + case.body
    campaign.write(OPEN, letter)
    for name in case.files:
        campaign.write(name, "%PDF-1.4\n")


def shown(data: bytes) -> str:
    """A mail as a person sees it: headers, names of files, plain text, HTML without styles."""
    mail = email.message_from_bytes(data, policy=email.policy.default)
    headers = [f"{name}: {mail[name] or 'none'}" for name in ("From", "Reply-To", "To", "Cc")]
    attached = ", ".join(str(one.get_filename()) for one in mail.iter_attachments())
    texts = [
        mail.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html")
    ]
    page = re.sub(r' style="[^"]*"', "", texts[1].partition("<body")[2])
    return "\n".join([*headers, f"Attached: {attached or 'none'}", "", texts[0], page])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_list_gives_its_right_value_or_an_error_with_its_place(case: Case, tmp_path: Path):
    begin(tmp_path, case)
    campaign = load_campaign(tmp_path)
    examined = examine(campaign, "open-letter", server=None, campaign_id="harbour")
    people: list[Person] = []
    merger = Merger(examined.frozen, Signer(b"k" * 32), examined.files) if examined.frozen else None
    check_list(examined, merger, 1, people.extend)
    told = [
        f"{one.file}:{one.line}: {one.level}: {one.what}. {one.hint}".replace(":None:", ":")
        for one in gathered(in_order(examined.problems))
    ]
    assert list(map(Said, told)) == list(case.told)
    if not examined.has_errors:
        assert merger
        mails = [shown(merger.merge(one, 1, NOW, full=True).data) for one in people]
        assert list(map(Said, mails)) == list(case.mails)
    else:
        assert case.mails == ()
    for text, expected in case.where:
        assert chosen(text, people, examined.people.columns) == expected


def chosen(text: str, people: list[Person], columns: tuple[str, ...]) -> list[int] | Said:
    """The lines of those whom a condition chooses, or why it is refused."""
    try:
        condition = Condition(text, columns)
        condition.judge(people)
        return [one.line for one in people if condition.holds(one)]
    except PetitionError as why:
        return Said(f"{why.what} {why.hint}")


def test_a_misspelt_field_of_a_mailmerge_campaign_is_told_with_its_lines(tmp_path: Path):
    campaign = SmallCampaign(tmp_path)
    campaign.write("old/mailmerge_database.csv", "email,name \nann@mail.example,Ann\n")
    campaign.write("old/mailmerge_server.conf", "[smtp_server]\nhost = localhost\nport = 25\n")
    template = "TO: {{email}}\nSUBJECT: Hello {{nmae}}\nFROM: Me <me@x.example>\n\nHi, {{nmae}},\n"
    campaign.write("old/mailmerge_template.txt", template)
    refused = campaign.petition("init", "--from-mailmerge", "old", "new", status=1).err
    for line in (2, 5):
        told = f'old/mailmerge_template.txt:{line}: the database has no column "nmae". Did you mean'
        assert told in refused
    assert not (tmp_path / "new").exists()
    campaign.change("old/mailmerge_template.txt", "nmae", "name")
    campaign.petition("init", "--from-mailmerge", "old", "new", status=0)  # `name ` is `name`
