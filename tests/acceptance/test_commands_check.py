"""petition check: everything that is wrong, in all files at once."""

import re

import pytest

from tests.acceptance.small import SmallCampaign

BAD_PEOPLE = (
    b"id,email,name,town\n"
    b"p1,p1@x.example,P1,Leeds\n"
    b"p2,not-an-address,P2,Leeds\n"
    b"p3,p3@x.example,P3\n"
    b"p4,P4@X.example,P4,Leeds\n"
    b"p5,P4@x.EXAMPLE,P5,Leeds\n"
    b"p6,p6@b\xc3\xbccher.example,P6,Leeds\n"
    b"p7,p6@xn--bcher-kva.example,P7,Leeds\n"
    b"p8,p8@x.example,P\x008,Leeds\n"
    b"p9,[email protected],P9,Leeds\n"
    b"p10,p10@x.example,,Leeds\n"
)


def places(text: str) -> list[str]:
    return re.findall(r"^(\S+?)(?:: )", text, re.MULTILINE)


def test_a_sound_campaign_is_ready(campaign: SmallCampaign):
    answer = campaign.petition("check", status=0)
    assert "1 letter, 3 people: ready." in answer.out
    assert "nobody received anything" in answer.out
    assert campaign.petition("check", "--json", status=0).json["problems"] == []
    assert not (campaign.root / "rehearsal.db").exists()


def test_a_server_with_a_mistake_makes_no_rehearsal(campaign: SmallCampaign):
    settings = campaign.root / "petition.toml"
    settings.write_text(settings.read_text() + "\n[smtp]\nhost = 1\n")
    assert "nobody received" not in campaign.petition("check", status=1).out
    answer = campaign.petition("check", "--json", status=1).json
    assert (answer["rehearsal"], answer["log"]) == (False, None)


def test_ten_mistakes_are_all_reported_with_file_and_line(campaign: SmallCampaign):
    campaign.change("petition.toml", "reply_to", "replyto")
    campaign.change("letters/open-letter.md", "recipient.town", "recipient.twon")
    campaign.write("letters/broken.md", "---\nsubject: [\n---\nText\n")
    campaign.write("letters/syntax.md", '---\nsubject: "S"\n---\nText\n\n{% if %}\n')
    campaign.write("letters/bulk.md", '---\nsubject: "S"\nto: nobody\nkind: bulky\n---\nText\n')
    campaign.write("recipients.csv", BAD_PEOPLE)
    campaign.write("signatories.csv", "name,publish\nRiver Friends,perhaps\n")
    answer = campaign.petition("check", "--json", status=1)
    found = {(problem["file"], problem["line"]) for problem in answer.json["problems"]}
    assert found >= {
        ("petition.toml", 7),
        ("letters/open-letter.md", 8),
        ("letters/broken.md", 2),
        ("letters/syntax.md", 6),
        ("letters/bulk.md", 3),
        ("letters/bulk.md", 4),
        *(("recipients.csv", line) for line in (3, 4, 5, 6, 7, 8, 9, 10)),
        ("signatories.csv", 2),
    }
    assert list(answer.json["problems"][0]) == ["file", "line", "what", "hint", "level"]
    text = campaign.petition("check", status=1).out
    assert [place for place in places(text) if place.startswith("recip")] == [
        f"recipients.csv:{line}" for line in (3, 4, 5, 6, 7, 8, 9, 10)
    ]
    assert "\x00" not in text


def test_a_named_letter_shows_only_its_own_problems(campaign: SmallCampaign):
    campaign.write("letters/draft.md", '---\nsubject: "S"\n---\n{{ recipient.nothing }}\n')
    assert "ready" in campaign.petition("check", "open-letter", status=0).out
    assert "letters/draft.md:4" in campaign.petition("check", "draft", status=1).out
    answer = campaign.petition("check", "open-leter", status=2)
    assert "Did you mean open-letter" in answer.err


def test_a_warning_stops_nothing(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "14 days", "2015-10-01")
    answer = campaign.petition("check", status=0)
    assert "letters/open-letter.md:4: warning: the reply-by date 2015-10-01 is past" in answer.out
    campaign.env["PETITION_SMTP_HOST"] = "mail.somewhere.net"
    answer = campaign.petition("check", status=1)
    assert "letters/open-letter.md:4: the reply-by date" in answer.out


def test_a_live_send_to_reserved_domains_is_refused(campaign: SmallCampaign):
    campaign.env["PETITION_SMTP_HOST"] = "mail.somewhere.net"
    text = campaign.petition("check", status=1).out
    assert text.count("reserved for examples") == 5  # three people, From and Reply-To
    assert "Rehearsal" not in text


def test_a_signatory_under_a_reserved_domain_is_an_error_in_a_live_send(campaign: SmallCampaign):
    rows = "name,email,publish\nAnn Reed,ann@example.org,yes\nBo Li,bo@somewhere.net,yes\n"
    campaign.write("signatories.csv", rows)
    campaign.write("letters/second.md", '---\nsubject: "S"\n---\nText\n')
    campaign.petition("check", status=0)
    campaign.env["PETITION_SMTP_HOST"] = "mail.somewhere.net"
    text = campaign.petition("check", status=1).out
    assert [place for place in places(text) if place.startswith("sign")] == ["signatories.csv:2"]


def test_a_login_without_a_password_is_told_beforehand(campaign: SmallCampaign):
    campaign.env |= {"PETITION_SMTP_HOST": "127.0.0.1", "PETITION_SMTP_USERNAME": "kim"}
    assert "no password for kim" in campaign.petition("check", status=0).out
    campaign.env["PETITION_SMTP_PASSWORD"] = "secret"
    assert "password" not in campaign.petition("check", status=0).out


def test_a_server_that_replaces_the_message_id_is_told_without_a_token(campaign: SmallCampaign):
    campaign.env["PETITION_SMTP_HOST"] = "email-smtp.eu-west-1.amazonaws.com"
    assert "replaces the Message-ID" in campaign.petition("check").out
    token = 'return_path = "b+{token}@campaign.example"\nreply_to'
    campaign.change("petition.toml", "reply_to", token)
    assert "replaces the Message-ID" not in campaign.petition("check").out


def test_an_impossible_server_is_a_problem(campaign: SmallCampaign):
    campaign.env["PETITION_SMTP_HOST"] = "127.0.0.1"
    campaign.env["PETITION_SMTP_PORT"] = "many"
    assert 'environment: PETITION_SMTP_PORT is "many"' in campaign.petition("check", status=1).out


def test_without_a_letter_in_their_language_people_are_named(campaign: SmallCampaign):
    campaign.write("recipients.csv", "email,name,town,language\np1@x.example,P1,,de\n")
    text = campaign.petition("check", status=0).out
    assert 'open-letter: no letter in "de": P1 <p1@x.example> gets it in "en"' in text


def test_everybody_who_gets_another_language_is_named(campaign: SmallCampaign):
    rows = "".join(f"p{n}@x.example,P{n},,de\n" for n in range(1, 8))
    campaign.write("recipients.csv", f"email,name,town,language\n{rows}q@x.example,Q,,fr\n")
    people = [f"P{n} <p{n}@x.example>" for n in range(1, 6)]
    german = f'no letter in "de": {", ".join(people)} and 2 more get it in "en"'
    french = 'no letter in "fr": Q <q@x.example> gets it in "en"'
    for answer in (
        campaign.petition("check", status=0).out,
        campaign.petition("send", "open-letter", "--dry-run", status=0).out,
    ):
        said = " ".join(answer.split())
        assert german in said
        assert french in said
    shown = campaign.petition("preview", "open-letter", "--to", "q@x.example", status=0).err
    assert 'There is no letter in "fr": Q <q@x.example> gets it in "en".' in shown


def test_slips_are_warnings_and_do_not_stop_a_letter(campaign: SmallCampaign):
    campaign.change(
        "letters/open-letter.md", "Dear {{ recipient.name }},", "Dear {{ recipient.town or '' }},"
    )
    campaign.write(
        "signatories.csv", "name,kind,publish\nRiver Friends,organisation,yes\nANNA JONES,,yes\n"
    )
    found = campaign.petition("check", "--json", status=0).json["problems"]
    assert [(one["file"], one["line"], one["level"]) for one in found] == [
        ("letters/open-letter.md", 6, "warning"),
        ("signatories.csv", 3, "warning"),
    ]
    assert "recipients.csv:2, 3, 4" in found[0]["what"]
    assert '"ANNA JONES"' in found[1]["what"]
    assert "3 sent" in campaign.petition("send", "open-letter", "--yes", status=0).out


def test_a_synchronised_folder_is_a_warning(campaign: SmallCampaign):
    (campaign.root / ".stfolder").mkdir()
    text = campaign.petition("check", status=0).out
    assert "warning: the folder is synchronised by Syncthing" in text


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"name\nKim\n", 'has no column "email"'),
        (b"", "no header"),
        ("email,name,town\nk@x.example,Jörg,".encode() + b"\xff\n", "not saved as UTF-8"),
        (b"PK\x03\x04", "spreadsheet"),
        (b"email,email,town\nk@x.example,K,\n", 'both called "email"'),
        (b'email,name,town\nk@x.example,"K,\n', "never closed"),
    ],
)
def test_a_list_that_cannot_be_read(campaign: SmallCampaign, content: bytes, what: str):
    campaign.write("recipients.csv", content)
    text = campaign.petition("check", status=1).out
    line = next(line for line in text.splitlines() if what in line)
    assert line.startswith("recipients.csv:")
    answer = campaign.petition("send", "open-letter", status=1)
    assert what in answer.err
    assert not (campaign.root / "outbox").exists()


def test_an_empty_name_is_not_merged_into_dear_comma(campaign: SmallCampaign):
    campaign.write("recipients.csv", "email,name,town\nk@x.example,,\n")
    text = campaign.petition("check", status=1).out
    assert "name" in text
    assert "recipients.csv:2" in text


def test_a_wrong_setting_does_not_hide_problems_of_other_files(campaign: SmallCampaign):
    campaign.write("petition.toml", "this is = = no TOML\n")
    campaign.write("letters/broken.md", "---\nsubject: [\n---\nText\n")
    campaign.write("recipients.csv", BAD_PEOPLE)
    text = campaign.petition("check", status=1).out
    assert {"petition.toml:1", "letters/broken.md:2", "recipients.csv:3"} <= set(places(text))


def test_an_unusable_log_is_a_problem(campaign: SmallCampaign):
    campaign.write("rehearsal.db", "no database" * 100)
    text = campaign.petition("check", status=1).out
    assert "rehearsal.db" in text
    assert "not a log of petition" in text


@pytest.mark.parametrize(("key", "header"), [("reply_to", "Reply-To"), ("from", "From")])
def test_a_letter_can_have_a_sender_of_its_own(campaign: SmallCampaign, key: str, header: str):
    campaign.change(
        "letters/open-letter.md",
        "reply_by: 14 days",
        f"{key}: Desk <desk@campaign.example>\nreply_by: 14 days",
    )
    campaign.petition("check", status=0)
    shown = campaign.petition("preview", "--as", "headers", status=0).out
    assert f"{header}: Desk <desk@campaign.example>" in shown


@pytest.mark.parametrize(
    "line",
    [
        "reply_to: desk@elsewhere.example",
        "reply_to: desk@notcampaign.example",
        'reply_to: "{{ x }}"',
        "from: desk@elsewhere.example",
        "from: desk@sub.campaign.example",
        'from: "{{ sender.name }} <desk@campaign.example>"',
    ],
)
def test_a_sender_of_a_letter_is_in_the_senders_domain(campaign: SmallCampaign, line: str):
    campaign.change("letters/open-letter.md", "reply_by: 14 days", f"{line}\nreply_by: 14 days")
    found = campaign.petition("check", "--json", status=1).json["problems"]
    assert [(one["file"], one["line"]) for one in found] == [("letters/open-letter.md", 4)]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('mailto = "sign@campaign.example"', "no confirmation"),
        ('page = "http://campaign.example/sign"', "no https"),
        ('letter = "open-leter"', "no letter"),
        ('letter = "news"', "goes to a list"),
    ],
)
def test_what_keeps_people_from_signing_is_a_warning(campaign: SmallCampaign, lines, what):
    settings = (campaign.root / "petition.toml").read_text("utf-8")
    campaign.write("petition.toml", f"{settings}\n[sign]\n{lines}\n")
    news = "---\nto: recipients\nkind: bulk\nsubject: News\n---\nNews.\n"
    campaign.write("letters/news.md", news)
    answer = campaign.petition("check", "open-letter", "--json", status=0)
    [found] = answer.json["problems"]
    assert (found["line"], found["level"]) == (len(settings.split("\n")) + 2, "warning")
    assert what in found["what"]
    campaign.change("petition.toml", lines, 'url = "https://forms.example/1"')
    assert campaign.petition("check", "open-letter", "--json", status=0).json["problems"] == []
