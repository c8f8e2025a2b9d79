"""petition publish: what the site tells, of whom, and what becomes of the folder."""

import re
import shutil
import stat
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zipfile import ZipFile

import pytest

from petition.report.site_pages import WORDS
from tests.acceptance.bulk_campaign import bulk_campaign
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server

PEOPLE = (
    "id,email,name,town,role,organisation,public\n"
    "p1,p1@x.example,Ann Bold,,Chair <b>of</b> the Board,Water plc,\n"
    "p2,p2@x.example,Ben Private,Leeds,,,no\n"
    "p3,p3@x.example,Cid Office,,Clerk p3@x.example,,yes\n"
    "p4,p4@x.example,Dee Other,,Chair <b>of</b> the Board,Water plc,\n"
)
HOSTILE = "evil <script>alert(1)</script> [x](https://evil.example) {{ 7*7 }}"
SETTINGS = """
[sign]
mailto = "sign@campaign.example"

[publish]
url = "https://campaign.example/letter/"
documents = ["press note.txt"]
"""
NAMESPACE = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path)
    campaign.write("recipients.csv", PEOPLE)
    campaign.write("press note.txt", "For the press.\n")
    text = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    campaign.write("petition.toml", text + SETTINGS)
    campaign.petition("send", "open-letter", status=0)
    return campaign


def publish(campaign: SmallCampaign, *options: str, status: int = 0) -> Path:
    campaign.petition("publish", "site", "--rehearsal", *options, status=status)
    return campaign.root / "site"


def pages(site: Path) -> dict[str, str]:
    """Each page and feed by its path."""
    found = [*site.rglob("*.html"), *site.rglob("*.xml")]
    return {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in found}


def write_sheet(path: Path, rows: list[list[str]]) -> None:
    """A workbook with one sheet of texts."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    parts = {
        "_rels/.rels": ("officeDocument", "xl/workbook.xml"),
        "xl/_rels/workbook.xml.rels": ("worksheet", "s.xml"),
    }
    with ZipFile(path, "w") as packed:
        for name, (kind, target) in parts.items():
            link = f"<Relationship Id='r' Type='{office}/{kind}' Target='{target}'/>"
            packed.writestr(name, f"<Relationships>{link}</Relationships>")
        sheet = "<sheets><sheet name='S' sheetId='1' r:id='r'/></sheets>"
        packed.writestr("xl/workbook.xml", f"<workbook xmlns:r='{office}'>{sheet}</workbook>")
        filled = ("".join(f"<c t='str'><v>{cell}</v></c>" for cell in cells) for cells in rows)
        data = "".join(f"<row>{cells}</row>" for cells in filled)
        packed.writestr("xl/s.xml", f"<worksheet><sheetData>{data}</sheetData></worksheet>")


def text_of(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def content(site: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def test_a_recipient_is_shown_by_office_and_named_only_where_the_row_says_so(campaign):
    site = publish(campaign)
    text = text_of(pages(site)["answers.html"])
    assert "Chair &lt;b&gt;of&lt;/b&gt; the Board Water plc, Recipient 1" in text
    assert "Water plc, Recipient 4" in text
    assert "Recipient 2 no answer yet" in text
    assert "Cid Office Clerk [address]" in text
    everything = "".join(pages(site).values())
    for private in ("Ann Bold", "Ben Private", "Dee Other", "@x.example"):
        assert private not in everything
    # A row that says no is not named, whatever the settings say.
    campaign.change("petition.toml", "[publish]", "[publish]\nnames = true")
    text = text_of(pages(publish(campaign))["answers.html"])
    assert "Ann Bold Chair" in text
    assert "Ben Private" not in text


def test_what_the_list_says_today_counts_and_is_not_guessed(campaign):
    campaign.change("recipients.csv", "the Board,Water plc,\np2", "the Board,Water plc,yes\np2")
    campaign.change("recipients.csv", ",,yes\n", ",,no\n")
    text = text_of(pages(publish(campaign))["answers.html"])
    assert "Ann Bold" in text
    assert "Cid Office" not in text
    campaign.change("recipients.csv", "plc,yes", "plc,perhaps")
    answer = campaign.petition("publish", "site", "--rehearsal", status=1)
    assert "recipients.csv:2" in answer.err
    assert "perhaps" in answer.err


def test_who_is_not_found_in_the_list_of_today_is_shown_by_office_only(campaign):
    campaign.change("petition.toml", "[publish]", "[publish]\nnames = true")
    campaign.change("recipients.csv", "p2,p2@", "p2,new@")  # the no is found by the id
    text = text_of(pages(publish(campaign))["answers.html"])
    assert "Dee Other Chair" in text
    assert "Ben Private" not in text
    campaign.change("recipients.csv", "p4,p4@", "p5,p5@")
    for go_on in (lambda: None, (campaign.root / "recipients.csv").unlink):
        go_on()
        answer = campaign.petition("publish", "site", "--rehearsal", "--json", status=0)
        assert len(answer.json["notes"]) == 1
        everything = "".join(pages(campaign.root / "site").values())
        assert "Dee Other" not in everything
        assert "Ben Private" not in everything
        assert "Water plc" in everything


@pytest.mark.parametrize("name", ["gone", "renamed"])
def test_a_list_that_is_gone_is_told_and_names_nobody(campaign, name):
    if name == "renamed":
        campaign.change("petition.toml", "[publish]", '[people]\nrecipients = "all.csv"\n[publish]')
    (campaign.root / "recipients.csv").rename(campaign.root / "all.csv")
    answer = campaign.petition("publish", "site", "--rehearsal", status=0)
    assert "The letter was sent from recipients.csv" in " ".join(answer.out.split())
    assert "Cid Office" not in "".join(pages(campaign.root / "site").values())


def test_an_id_that_is_somebody_elses_by_now_names_nobody(campaign):
    campaign.change("recipients.csv", "p3,p3@x.example,Cid", "p3,new@x.example,Cid")
    assert "Cid Office" in text_of(pages(publish(campaign))["answers.html"])
    campaign.change("recipients.csv", "Cid Office", "Fay New")
    text = text_of(pages(publish(campaign))["answers.html"])
    assert "Cid Office" not in text
    assert "Fay New" not in text


def test_what_a_sheet_that_is_not_named_says_today_counts(campaign):
    settings = '[people]\nrecipients = "a.xlsx"\n\n[sender]'
    campaign.change("petition.toml", "[sender]", settings)
    heading, row = ["email", "town", "name", "public"], ["p8@x.example", "", "Eve Sheet", "yes"]
    write_sheet(campaign.root / "a.xlsx", [heading, row])
    campaign.petition("send", "open-letter", status=0)
    assert "Eve Sheet" in "".join(pages(publish(campaign)).values())
    write_sheet(campaign.root / "a.xlsx", [heading, [*row[:-1], "no"]])
    assert "Eve Sheet" not in "".join(pages(publish(campaign)).values())


@pytest.mark.parametrize(
    "wrong",
    [
        b"id,email\n\xff\xfe",
        b"id,email,name\np3,p3 at x.example,Cid Office\n",
        b"id,email,name\np3,p3@x.example,Cid Office\np9,p3@x.example,Cid Office\n",
        b"id,name\np3,Cid Office\n",
        "email,name,role\np3@x.example,Cid Office,Clerk \u202eevil\n".encode(),
    ],
)
def test_a_list_with_errors_is_not_published(campaign, wrong):
    campaign.write("recipients.csv", wrong)
    answer = campaign.petition("publish", "site", "--rehearsal", status=1)
    assert "recipients.csv:" in answer.err
    assert not (campaign.root / "site").exists()


def test_the_letter_is_there_without_a_recipient_and_signed_by_who_has_agreed_today(campaign):
    campaign.write(
        "signatories.csv",
        "name,kind,email,publish,role\nRiver Friends,organisation,,no,\n"
        "Bea New,individual,bea@y.example,yes,bea@y.example\n",
    )
    site = publish(campaign)
    text = text_of(pages(site)["letter.html"])
    assert "Dear …, the water of our town must be clean" in text
    assert "Clean the river" in text
    for page in ("letter.html", "signatories.html"):
        assert "Bea New" in pages(site)[page]
        assert "River Friends" not in pages(site)[page]
        assert "Ann Reed" not in pages(site)[page]
    assert "2 signatures" in text_of(pages(site)["signatories.html"])
    assert "bea@y.example" not in "".join(pages(site).values())
    campaign.petition("forget", "bea@y.example", "--yes", status=0)
    assert "Bea New" not in "".join(pages(publish(campaign)).values())


def test_a_list_of_signatories_with_errors_is_not_published(campaign):
    campaign.write("signatories.csv", "name,publish\nBea New,perhaps\nCid Old,yes\n")
    answer = campaign.petition("publish", "site", "--rehearsal", status=1)
    assert "signatories.csv:2" in answer.err
    assert not (campaign.root / "site").exists()


def test_recipients_are_said_to_be_shown_by_office_only_if_nobody_is_named(campaign):
    words = WORDS["en"]["by_office"]
    assert words not in pages(publish(campaign))["answers.html"]  # Cid Office is named
    campaign.change("recipients.csv", ",,yes\n", ",,no\n")
    assert words in pages(publish(campaign))["answers.html"]
    campaign.change("petition.toml", "[publish]", "[publish]\nnames = true")
    assert words not in pages(publish(campaign))["answers.html"]


def test_it_says_so_when_all_who_had_signed_are_gone(campaign):
    def notes() -> list[str]:
        return campaign.petition("publish", "site", "--rehearsal", "--json", status=0).json["notes"]

    assert notes() == []
    campaign.write("signatories.csv", "name,kind,publish\n")
    assert len(notes()) == 1
    (campaign.root / "signatories.csv").unlink()
    assert len(notes()) == 1
    assert "signatories.csv" in notes()[0]


def test_a_letter_that_is_written_anew_does_not_change_what_was_sent(campaign):
    campaign.write("letters/open-letter.md", "---\nto: recipients\nsubject: X\n---\n{{ broken\n")
    assert "must be clean" in text_of(pages(publish(campaign))["letter.html"])


def test_nothing_of_a_rehearsal_is_published_unasked_and_every_page_says_so(campaign):
    refused = campaign.petition("publish", "site", status=2)
    assert "nobody received anything" in refused.err
    assert not (campaign.root / "site").exists()
    site = publish(campaign)
    assert len(pages(site)) == 6
    assert all("nobody received anything" in page for page in pages(site).values())


def test_a_rehearsal_does_not_replace_the_real_site(campaign):
    with counting_server() as server:
        live = campaign.through(server.port)
        live.petition("send", "open-letter", "--yes", status=0)
        live.petition("publish", "site", status=0)
        site = campaign.root / "site"
        assert not any("ehearsal" in text_of(page) for page in pages(site).values())
        before = content(site)
        refused = campaign.petition("publish", "site", "--rehearsal", status=2)
        assert "the real site" in refused.err
        assert content(site) == before


def test_publishing_again_writes_only_what_changed(campaign):
    site = publish(campaign)
    before = content(site)
    times = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    again = campaign.petition("publish", "site", "--rehearsal", "--json", status=0).json
    assert again["written"] == []
    assert content(site) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    campaign.petition("publish", "other", "--rehearsal", status=0)
    other = {
        path.replace("/other/", "/site/"): data
        for path, data in content(campaign.root / "other").items()
    }
    assert other == before
    campaign.petition("answer", "p1", "refused", "--quote", "No.", status=0)
    third = campaign.petition("publish", "site", "--rehearsal", "--json", status=0).json
    assert {"answers.html", "feed.xml", "index.html"} <= set(third["written"])
    assert "letter.pdf" not in third["written"]


def test_only_files_that_it_made_are_removed(campaign):
    site = publish(campaign)
    (site / "mine.html").write_text("mine")
    (site / "documents" / "mine.pdf").write_text("mine")
    campaign.change("petition.toml", '["press note.txt"]', "[]")
    campaign.change("petition.toml", "[sign]\nmailto", "# ")
    (site / "sign.html").write_text("edited by hand")
    done = campaign.petition("publish", "site", "--rehearsal", "--json", status=0).json
    assert done["removed"] == ["documents/press note.txt"]
    assert done["kept"] == ["sign.html"]
    assert (site / "mine.html").read_text() == "mine"
    assert (site / "documents" / "mine.pdf").exists()
    assert (site / "sign.html").read_text() == "edited by hand"


def test_a_folder_that_it_did_not_make_stays_as_it_is(campaign):
    (campaign.root / "mine").mkdir()
    (campaign.root / "mine" / "index.html").write_text("mine")
    (campaign.root / "link").symlink_to("mine")
    for folder in ("mine", "link", ".", "petition.toml"):
        before = content(campaign.root)
        campaign.petition("publish", folder, "--rehearsal", status=2)
        assert content(campaign.root) == before
    # Nor does it write through a link, or over a file that came into its own folder since.
    site = publish(campaign)
    shutil.rmtree(site / "documents")
    (site / "documents").symlink_to(campaign.root / "mine")
    refused = campaign.petition("publish", "site", "--rehearsal", status=2)
    assert "documents" in refused.err
    assert [path.name for path in (campaign.root / "mine").iterdir()] == ["index.html"]


def test_everybody_can_read_the_files(campaign):
    site = publish(campaign)
    for path in (site, *site.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


class Links(HTMLParser):
    """Everything that a page leads to, and what would make it load or run something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in {"a", "link"} and given.get("rel") not in {"canonical", "icon"}:
            self.found.append(given["href"])
        if tag in {"script", "iframe", "object", "embed", "form", "base"} or "src" in given:
            self.loads.append(tag)
        self.loads += [name for name in given if name.startswith("on")]


def test_links_within_the_site_are_relative_and_lead_somewhere(campaign):
    campaign.write(
        "petition.toml",
        (campaign.root / "petition.toml")
        .read_text()
        .replace('id = "water"', 'id = "water"\nlanguages = ["en", "ru"]'),
    )
    text = (campaign.root / "letters/open-letter.md").read_text(encoding="utf-8")
    campaign.write("letters/open-letter.ru.md", text.replace("Dear", "Уважаемые"))
    campaign.petition("send", "open-letter", status=0)
    site = publish(campaign)
    for name, page in pages(site).items():
        if name.endswith(".xml"):
            continue
        links = Links(page)
        assert links.loads == []
        for link in links.found:
            parts = urlsplit(link)
            if parts.scheme == "mailto":
                continue
            assert (parts.scheme, parts.netloc) == ("", "")
            assert ((site / name).parent / unquote(parts.path)).is_file() or parts.fragment, link
    assert 'lang="ru"' in pages(site)["ru/index.html"]
    assert "Уважаемые …" in text_of(pages(site)["ru/letter.html"])


def test_cells_and_settings_stay_data(campaign):
    cell = '"=1+1 <img src=x onerror=alert(1)> https://evil.example"'
    campaign.write("recipients.csv", PEOPLE.replace("Water plc", cell))
    answer = ("answer", "p3", "stalled", "--quote", "Later \u202eevil \u2066.", "--public")
    campaign.petition(*answer, status=0)
    signed = f'name,role,publish\n"{HOSTILE}","</li><script>alert(2)</script>",yes\n'
    campaign.write("signatories.csv", signed)
    site = publish(campaign)
    for page in pages(site).values():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
        assert "<script" not in page
        assert "<img" not in page
        assert 'href="https://evil' not in page
    shown = "&lt;script&gt;alert(1)&lt;/script&gt; [x](https://evil.example) {{ 7*7 }}"
    assert shown in pages(site)["signatories.html"]


def test_documents_are_files_of_the_folder_that_run_nothing(campaign):
    campaign.write("page.html", "<script>")
    campaign.write("inner/press note.txt", "Another.")
    bad = (
        "petition.toml",
        "recipients.csv",
        "rehearsal.db",
        "page.html",
        ".hidden.txt",
        "gone.pdf",
    )
    for name in (*bad, 'press note.txt", "inner/press note.txt'):
        campaign.change("petition.toml", '["press note.txt"]', f'["{name}"]')
        answer = campaign.petition("publish", "site", "--rehearsal", status=1)
        assert "petition.toml:" in answer.err, name
        campaign.change("petition.toml", f'["{name}"]', '["press note.txt"]')
    assert not (campaign.root / "site").exists()


def packed(first: str, content: str = "") -> bytes:
    whole = BytesIO()
    with ZipFile(whole, "w") as archive:
        archive.writestr(first, content)
    return whole.getvalue()


ODF = "application/vnd.oasis.opendocument."
PNG = b"\x89PNG\r\n\x1a\n"
LIST = "name,email\n" + "".join(f"P{number},p{number}@x.org\n" for number in range(9))


def test_a_list_or_a_log_under_another_name_is_no_document(campaign):
    log = (campaign.root / "rehearsal.db").read_bytes()
    right = {
        "a.pdf": b"%PDF-1.7\n",
        "a.txt": "Write to press@x.org\nor to Ann, ann@x.org.\nЗдравствуйте.\n".encode(),
        "a.odt": packed("mimetype", f"{ODF}text"),
        "a.docx": packed("word/document.xml"),
        "a.jpg": b"\xff\xd8\xff\xe0",
        "a.jpeg": b"\xff\xd8\xff\xe1",
        "a.png": PNG,
    }
    wrong = [(name, data) for name in right for data in (LIST.encode(), log)]
    wrong += [("a.odt", packed("mimetype", f"{ODF}spreadsheet")), ("a.docx", packed("xl/s.xml"))]
    campaign.change("petition.toml", '["press note.txt"]', str([*right]))
    for name, data in right.items():
        campaign.write(name, data)
    site = publish(campaign)
    assert {path.name for path in (site / "documents").iterdir()} == set(right)
    for name, data in wrong:
        campaign.write(name, data)
        answer = campaign.petition("publish", "site", "--rehearsal", status=1)
        assert f'documents: "{name}" is not what' in answer.err
        campaign.write(name, right[name])


def test_why_a_document_is_refused_is_a_sentence(campaign):
    (campaign.root / "link.pdf").symlink_to("/etc/passwd")
    campaign.change("petition.toml", "press note.txt", "link.pdf")
    answer = campaign.petition("publish", "site", "--rehearsal", status=1)
    assert 'documents: "link.pdf" is outside the campaign folder.' in answer.err


def test_a_feed_tells_what_changed(campaign):
    campaign.petition("answer", "p3", "stalled", "--quote", "Later & later.", status=0)
    campaign.petition("answer", "p1", "acknowledged", "--quote", "Got it.", status=0)
    site = publish(campaign)
    feed = ET.fromstring((site / "feed.xml").read_text(encoding="utf-8"))
    entries = feed.findall(f"{NAMESPACE}entry")
    titles = [one.findtext(f"{NAMESPACE}title") for one in entries]
    assert any("Cid Office" in one and "put off" in one for one in titles)
    assert any("The letter was sent" in one for one in titles)
    ids = [one.findtext(f"{NAMESPACE}id") for one in (feed, *entries)]
    assert len(set(ids)) == len(ids)
    updated = [one.findtext(f"{NAMESPACE}updated") for one in entries]
    assert updated == sorted(updated, reverse=True)
    # An entry keeps its id, so that no reader shows it twice.
    campaign.petition("answer", "p1", "met", "--quote", "Yes.", status=0)
    publish(campaign)
    feed = ET.fromstring((site / "feed.xml").read_text(encoding="utf-8"))
    assert set(ids) <= {
        one.findtext(f"{NAMESPACE}id") for one in (feed, *feed.findall(f"{NAMESPACE}entry"))
    }


def test_the_site_is_about_the_letter_that_is_named(campaign):
    campaign.write(
        "letters/after.md", "---\nfollows: open-letter\n---\nWe still wait, {{ recipient.name }}.\n"
    )
    campaign.petition("send", "after", status=0)
    assert "must be clean" in text_of(pages(publish(campaign))["letter.html"])
    campaign.change("petition.toml", "[publish]", '[publish]\nletter = "after"')
    assert "no open letter" in campaign.petition("publish", "site", "--rehearsal", status=2).err
    campaign.write("letters/second.md", "---\nsubject: More\n---\nMore.\n")
    campaign.change("petition.toml", '"after"', '"second"')
    told = campaign.petition("publish", "site", "--rehearsal", status=2).err
    assert "petition send second" in told
    campaign.change("petition.toml", '"second"', '"open-leter"')
    assert "open-letter" in campaign.petition("publish", "site", "--rehearsal", status=2).err


def test_without_a_way_to_sign_the_site_names_none(campaign):
    campaign.change("petition.toml", '[sign]\nmailto = "sign@campaign.example"', "")
    site = publish(campaign)
    assert not (site / "sign.html").exists()
    assert "sign.html" not in "".join(pages(site).values())
    campaign.change(
        "petition.toml", "[publish]", '[sign]\nurl = "https://forms.example/1"\n[publish]'
    )
    assert 'href="https://forms.example/1"' in pages(publish(campaign))["sign.html"]


def test_words_are_quoted_only_where_a_person_made_them_public(campaign):
    words = "Ask BEN\nprivate, desk@y.example <script>alert(1)</script>"
    say = ("answer", "p1", "stalled", "--channel", "phone", "--quote", words)
    campaign.petition(*say, status=0)
    text = text_of(pages(publish(campaign))["answers.html"])
    assert "put off" in text
    assert "Recipient 1 put off To the letter as a whole" in text  # and not "no answer yet"
    assert "The words are not public." in text
    assert "Ask" not in text
    told = campaign.petition(*say, "--public", "--json", status=0).json
    assert told["public"] is True
    # The same words are marked, not recorded a second time.
    people = campaign.petition("status", "--answers", "--json", status=0).json["letters"][0][
        "people"
    ]
    (recorded,) = [one["answers"] for one in people if one["answers"]]
    assert [one["public"] for one in recorded] == [True]
    for page in ("answers.html", "index.html", "feed.xml"):
        shown = pages(publish(campaign))[page]
        assert "Ask […], [address] &lt;script&gt;" in shown
    # Other words are not recorded beside those that were to be taken back.
    campaign.petition(*say[:-1], "Ask BEN private", "--not-public", status=2)
    assert "Ask […]" in "".join(pages(publish(campaign)).values())
    campaign.petition(*say, "--not-public", status=0)
    assert "Ask" not in text_of("".join(pages(publish(campaign)).values()))


def test_of_nothing_but_letters_to_many_there_is_no_site(tmp_path):
    campaign = bulk_campaign(tmp_path)
    campaign.petition("send", "news", "--yes", status=0)
    told = campaign.petition("publish", "site", "--rehearsal", status=2).err
    assert "no open letter has been sent" in told
    assert "petition send open-letter" in told


def test_a_surname_alone_is_no_more_to_be_read_than_the_name(campaign):
    words = "Mrs Bold and Mr PRIVATE are away; be bold. Cid Office will call."
    say = ("answer", "p3", "stalled", "--quote", words, "--public")
    campaign.petition(*say, status=0)
    shown = "Mrs [Chair &lt;b&gt;of&lt;/b&gt; the Board] and Mr […] are away; be bold. Cid Office"
    assert shown in pages(publish(campaign))["answers.html"]


def test_an_answer_without_a_channel_is_told_to_be_recorded(campaign):
    say = ("answer", "p1", "refused", "--quote", "No.")
    for marked in ((), ("--public",), ("--not-public",)):
        told = campaign.petition(*say, *marked, status=0).out
        assert "open-letter: recorded as refused." in told


def test_what_was_said_to_a_demand_is_quoted_with_it(campaign):
    campaign.petition("answer", "p3", "met", "--demand", "river", "--quote", "We do.", status=0)
    assert "We do." not in "".join(pages(publish(campaign)).values())
    public = ("--quote", "We do.", "--demand", "river", "--public")
    campaign.petition("answer", "p3", "met", *public, status=0)
    text = text_of(pages(publish(campaign))["answers.html"])
    assert "We do. Cid Office Clerk [address] " in text
    assert "met ( Clean the river )" in text


def test_check_warns_of_documents_that_publish_refuses(campaign):
    campaign.change("petition.toml", "press note.txt", "recipients.csv")
    refused = campaign.petition("publish", "site", "--rehearsal", status=1).err
    assert "recipients.csv" in refused
    warned = campaign.petition("check", "--json", status=0).json["problems"]
    assert [one["level"] for one in warned if "recipients.csv" in one["what"]] == ["warning"]


def test_check_warns_of_a_column_public_that_publish_refuses(campaign):
    campaign.change("petition.toml", 'mailto = "sign@campaign.example"\n', "")
    assert campaign.petition("check", "--json", status=0).json["problems"] == []
    campaign.change("recipients.csv", ",,yes\n", ",,maybe\n")
    campaign.petition("publish", "site", "--rehearsal", status=1)
    warned = campaign.petition("check", "--json", status=0).json["problems"]
    assert [(one["level"], one["file"], one["line"]) for one in warned] == [
        ("warning", "recipients.csv", 4)
    ]
    campaign.petition("send", "open-letter", status=0)  # letters can be sent all the same
