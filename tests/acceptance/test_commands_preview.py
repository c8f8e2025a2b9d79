"""petition preview: what is shown is what is sent."""

import email
import email.policy
import stat
from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign


def without_date(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if not line.startswith("Date: "))


def test_it_is_the_first_row_as_a_person_reads_it(campaign: SmallCampaign):
    text = campaign.petition("preview", status=0).out
    assert "To: P1 <p1@x.example>" in text
    assert "Subject: P1: one demand" in text
    assert "Dear P1," in text
    assert "the water of our town must be clean by" in text
    assert "Content-Type" not in text
    assert "nobody received anything" in text
    assert not any(char in text for char in "\x02\x03\x1b")


@pytest.mark.parametrize("who", ["2", "p2", "p2@x.example", " P2@X.EXAMPLE "[1:-1].lower()])
def test_who_is_a_number_an_id_or_an_address(campaign: SmallCampaign, who: str):
    assert "Dear P2," in campaign.petition("preview", "--to", who, status=0).out


def test_nobody_is_meant(campaign: SmallCampaign):
    answer = campaign.petition("preview", "--to", "p22", status=2)
    assert 'nobody in recipients.csv is "p22"' in answer.err
    assert "Did you mean" in answer.err
    assert answer.out == ""


def test_the_source_is_what_is_sent_but_for_the_date(campaign: SmallCampaign):
    shown = [
        campaign.petition("preview", "--to", who, "--as", "source", status=0).out
        for who in ("p1", "p2", "p3")
    ]
    campaign.petition("send", "open-letter", status=0)
    kept = [path.read_text() for path in (campaign.root / "outbox" / "new").iterdir()]
    assert sorted(map(without_date, kept)) == sorted(map(without_date, shown))
    again = campaign.petition("preview", "--as", "source", status=0).out
    assert without_date(again) == without_date(shown[0])


def test_a_pipe_gets_the_very_bytes(campaign: SmallCampaign):
    source = campaign.petition("preview", "--as", "source", status=0).out
    message = email.message_from_string(source, policy=email.policy.default)
    assert message["Subject"] == "P1: one demand"
    assert message.get_body(("plain",)) is not None
    headers = campaign.petition("preview", "--as", "headers", status=0).out
    assert without_date(source).startswith(without_date(headers))
    assert "Content-Type: multipart/alternative" in headers


def test_the_html_is_the_part_of_the_letter(campaign: SmallCampaign):
    html = campaign.petition("preview", "--as", "html", status=0).out
    assert "<strong" in html
    assert "P1" in html


def test_a_difference_shows_what_two_copies_do_not_share(campaign: SmallCampaign):
    campaign.list_people("p1", "p2", p2="Bradford")
    text = campaign.petition("preview", "--diff", "p1", "p2", status=0).out
    assert "-Dear P1," in text
    assert "+Dear P2," in text
    assert "+the water of Bradford must be clean" in text


def test_saved_copies_are_private_and_never_overwritten(campaign: SmallCampaign):
    said = campaign.petition("preview", "--save", "copies", status=0).out
    assert "3 letters saved in copies. Nothing was sent." in said
    folder = campaign.root / "copies"
    assert sorted(path.name for path in folder.iterdir()) == [
        "001-p1.eml",
        "002-p2.eml",
        "003-p3.eml",
    ]
    assert stat.S_IMODE((folder / "001-p1.eml").stat().st_mode) == 0o600
    assert b"To: P2 <p2@x.example>\r\n" in (folder / "002-p2.eml").read_bytes()
    (folder / "001-p1.eml").unlink()
    answer = campaign.petition("preview", "--save", "copies", status=2)
    assert "002-p2.eml, 003-p3.eml would be overwritten" in answer.err
    assert not (folder / "001-p1.eml").exists()
    campaign.petition("preview", "--save", "copies", "--to", "1", status=0)


def test_no_cell_leads_a_file_out_of_the_folder(campaign: SmallCampaign):
    campaign.write(
        "recipients.csv",
        "id,email,name,town\n../../etc/x,p1@x.example,P1,\n%00;|,p2@x.example,P2,\n",
    )
    campaign.petition("preview", "--save", "copies", status=0)
    names = sorted(path.name for path in (campaign.root / "copies").iterdir())
    assert names == ["001-etc-x.eml", "002-00.eml"]


def test_bad_rows_are_told_and_the_others_are_saved(campaign: SmallCampaign):
    campaign.write("recipients.csv", "email,name,town\nnobody,N,\np1@x.example,P1,\n")
    answer = campaign.petition("preview", "--save", "copies", status=1)
    assert "1 letter saved" in answer.out
    assert "recipients.csv:2" in answer.err
    answer = campaign.petition("preview", status=0)
    assert "Dear P1," in answer.out
    assert "Rows before this one" in answer.err


def test_a_browser_is_opened_with_a_private_file(campaign: SmallCampaign, tmp_path: Path):
    browser = campaign.write("browser", '#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    campaign.env |= {"BROWSER": f"{browser} %s", "TMPDIR": str(tmp_path)}
    said = campaign.petition("preview", "--browser", status=0).out
    file = Path(said.partition(": ")[2].strip())
    assert (campaign.root / "opened").read_text().strip() == file.as_uri()
    assert "P1" in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_letter_with_problems_is_not_shown(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "recipient.town", "recipient.twon")
    answer = campaign.petition("preview", status=1)
    assert "letters/open-letter.md:8" in answer.err
    assert answer.out == ""


def test_of_several_letters_the_first_is_shown_and_said(campaign: SmallCampaign):
    campaign.write("letters/appeal.md", '---\nsubject: "S"\n---\nAn appeal.\n')
    answer = campaign.petition("preview", status=0)
    assert "An appeal." in answer.out
    assert "open-letter" in answer.err
    assert campaign.petition("preview", "nothing", status=2).out == ""


def test_options_that_exclude_each_other(campaign: SmallCampaign):
    campaign.petition("preview", "--as", "html", "--browser", status=2)
    campaign.petition("preview", "--diff", "1", "2", "--to", "1", status=2)


def test_a_long_list_is_read_no_further_than_needed(campaign: SmallCampaign):
    rows = "email,name,town\n" + "p1@x.example,P1,\n" + "not an address\n" * 200_000
    campaign.write("recipients.csv", rows)
    answer = campaign.petition("preview", "open-letter", status=0)
    assert "Dear P1," in answer.out
    assert answer.err == ""


def test_the_book_has_every_copy_and_what_check_says(campaign: SmallCampaign):
    campaign.change("recipients.csv", "P3", "P3?")
    said = campaign.petition("preview", "open-letter", "--book", "book.html", status=0).out
    assert "3 copies" in said
    book = campaign.root / "book.html"
    assert stat.S_IMODE(book.stat().st_mode) == 0o600
    page = book.read_text(encoding="utf-8")
    for who in ("p1", "p2", "p3"):
        assert f"{who}@x.example" in page
        shown = campaign.petition("preview", "--to", who, status=0).out
        number = next(line for line in shown.splitlines() if line.startswith("Message-ID: "))
        assert number.removeprefix("Message-ID: <").removesuffix(">") in page
    assert "rehearse" in page


def test_the_book_of_a_letter_with_errors_says_so(campaign: SmallCampaign):
    with (campaign.root / "recipients.csv").open("a", encoding="utf-8") as file:
        file.write("p4,not an address,P4,\np5,p5@x.example,P5,a\x1bb\n")
    answer = campaign.petition("preview", "open-letter", "--book", "book.html", status=1)
    assert "recipients.csv:5" in answer.out + answer.err
    page = (campaign.root / "book.html").read_text(encoding="utf-8")
    assert "recipients.csv:5" in page
    assert "cannot be sent" in page


def test_the_book_shows_a_problem_of_the_letter_with_the_copies_that_have_it(
    campaign: SmallCampaign,
):
    campaign.change("letters/open-letter.md", "{{ recipient.town or", "{{ recipient.town }} {{")
    campaign.list_people("p1", "p2", "p3", p1="Leeds", p2="Hull", p3="<City>")
    campaign.petition("preview", "open-letter", "--book", "book.html", status=0)
    page = (campaign.root / "book.html").read_text(encoding="utf-8")
    first = page[page.index("<summary") : page.index("</summary")]
    assert "p3@x.example" in first
    assert "is left in the letter" in first


def test_the_book_counts_copies_that_cannot_be_made(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "{{ recipient.town or", "{{ recipient.town }} {{")
    campaign.list_people("p1", "p2", "p3", p1="Leeds", p2="Hull")
    campaign.petition("preview", "open-letter", "--book", "book.html", status=1)
    page = (campaign.root / "book.html").read_text(encoding="utf-8")
    assert "3 copies of" in page
    assert "Shown are 2: the others cannot be made." in page


def test_it_speaks_of_errors_in_rows_before_only_if_there_are_any(campaign: SmallCampaign):
    command = ("preview", "open-letter", "--book", "book.html")
    campaign.write("recipients.csv", "email,name,town,unsubscribed\np1@x.example,Ann,,\n")
    assert "before" not in campaign.petition(*command, status=0).err
    campaign.write("recipients.csv", "email,name,town\nnobody,Bo,\np1@x.example,Ann,\n")
    assert "before" in campaign.petition(*command, status=1).err


def test_a_book_that_cannot_be_written_is_named(campaign: SmallCampaign):
    refused = campaign.petition("preview", "open-letter", "--book", "nowhere/book.html", status=1)
    assert f"{Path('nowhere', 'book.html')}: " in refused.err


def test_the_book_of_a_few(campaign: SmallCampaign):
    campaign.petition("preview", "--to", "p2", "--book", "book.html", status=0)
    page = (campaign.root / "book.html").read_text(encoding="utf-8")
    assert "p2@x.example" in page
    assert "p1@x.example" not in page
