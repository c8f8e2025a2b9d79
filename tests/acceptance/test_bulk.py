"""A letter to many: who gets it, what it must have, and how they leave its list."""

import csv
import io
import re
from pathlib import Path

import pytest

from petition.merge.headers import BULK_HEADERS
from petition.outbox.log import Log
from petition.outbox.unsubscribe import unsubscribe_all
from tests.acceptance.bulk_campaign import BULK, bulk_campaign, kept
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    return bulk_campaign(tmp_path)


def reasons(campaign: SmallCampaign) -> dict[str, tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(campaign.petition("status", "news", "--csv").out))
    return {row["email"]: (row["state"], row["reason"]) for row in rows}


def test_only_who_agreed_gets_it_and_every_row_is_accounted_for(campaign: SmallCampaign):
    planned = campaign.petition("send", "news", "--dry-run", status=0)
    assert "2 no consent, 1 duplicate, 1 invalid" in planned.out
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == {"ann@x.example", "eve@x.example"}
    assert reasons(campaign) == {
        "ann@x.example": ("sent", ""),
        "bob@x.example": ("skipped", "no consent"),
        "cyd@x.example": ("skipped", "no consent"),
        "not an address (invalid)": ("skipped", "invalid"),
        "Ann@x.example (duplicate)": ("skipped", "duplicate"),
        "eve@x.example": ("sent", ""),
    }
    again = campaign.petition("send", "news", status=0)
    assert "Nothing was sent" in again.out
    assert campaign.petition("status", "news", "--json").json["total"] == 6


def test_what_the_rows_of_one_person_say_counts_together(campaign: SmallCampaign):
    campaign.write(
        "supporters.csv",
        "email,name,updates,unsubscribed\n"
        "ann@x.example,Ann,,\n"  # says nothing here, and yes below
        "ann@x.example,Ann,yes,\n"
        "bob@x.example,Bob,yes,\n"  # says yes here, and left below
        "BOB@x.example,Bob,yes,yes\n"
        "cyd@x.example,Cyd,yes,\n"  # says yes here, and no below
        "cyd@x.example,Cyd,no,\n",
    )
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == {"ann@x.example"}
    told = {email: reason for email, (_, reason) in reasons(campaign).items()}
    assert told["bob@x.example"] == "unsubscribed"
    assert told["cyd@x.example"] == "no consent"


@pytest.mark.parametrize(
    "second",
    [
        "ann@xn--mnchen-3ya.example,Ann,no,,",  # the same address, as it is on the wire
        "ANN@MÜNCHEN.example,Ann,yes,yes,",
        "ann@münchen.example,Ann,no,no,in plain words",  # there is no such language
        "ann@münchen.example,Ann\u202e,yes,yes,",  # a name that no letter can have
        "ann@münchen.example,Ann,yes,perhaps,",  # what can be read neither way is no yes
    ],
)
def test_a_refusal_counts_in_whatever_row_of_an_address_it_stands(
    campaign: SmallCampaign, second: str
):
    header, first = "email,name,updates,unsubscribed,language", "ann@münchen.example,Ann,yes,,"
    rows = (header, first, second, "eve@x.example,Eve,yes,,")
    campaign.write("supporters.csv", "\n".join(rows) + "\n")
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == {"eve@x.example"}


@pytest.mark.parametrize(
    ("column", "cell"), [("updates", "yes"), ("subscription_status", "subscribed")]
)
def test_consent_is_read_from_the_columns_that_say_it(
    campaign: SmallCampaign, column: str, cell: str
):
    campaign.write("supporters.csv", f"email,name,{column}\na@x.example,A,{cell}\nb@x.example,B,\n")
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == {"a@x.example"}


def test_a_list_that_says_nothing_of_consent_must_be_declared(campaign: SmallCampaign):
    campaign.write("supporters.csv", "email,name\na@x.example,A\nb@x.example,B\n")
    refused = campaign.petition("check", "news", status=1)
    assert "supporters.csv:1: the list says nothing about consent" in refused.out
    toml = (campaign.root / "petition.toml").read_text()
    campaign.write("petition.toml", toml + '\n[lists.supporters]\nconsent = "all"\n')
    assert "reason" in campaign.petition("check", "news", status=1).out
    declared = '\n[lists.supporters]\nconsent = "all"\nreason = "each signed for it in March"\n'
    campaign.write("petition.toml", toml + declared)
    assert "each signed for it in March" in campaign.petition("send", "news", status=0).out
    assert set(kept(campaign)) == {"a@x.example", "b@x.example"}


def test_a_declaration_does_not_outweigh_a_no(campaign: SmallCampaign):
    toml = (campaign.root / "petition.toml").read_text()
    campaign.write(
        "petition.toml", toml + '\n[lists.supporters]\nconsent = "all"\nreason = "signed"\n'
    )
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == {"ann@x.example", "cyd@x.example", "eve@x.example"}


def test_a_declaration_does_not_outweigh_a_no_in_words_that_are_not_known(
    campaign: SmallCampaign,
):
    toml = (campaign.root / "petition.toml").read_text()
    campaign.write(
        "petition.toml", toml + '\n[lists.supporters]\nconsent = "all"\nreason = "signed"\n'
    )
    refusals = ("nein", "ні", "No.", "no thanks", "unsubscribed")
    rows = [f"a{number}@x.example,A,{said}" for number, said in enumerate(refusals)]
    rows += ["bob@x.example,B,", "cyd@x.example,C,YES"]
    campaign.write("supporters.csv", "email,name,updates\n" + "\n".join(rows) + "\n")
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == {"bob@x.example", "cyd@x.example"}


def test_the_headers_that_providers_ask_for(campaign: SmallCampaign):
    campaign.petition("send", "news", status=0)
    letter = kept(campaign)["ann@x.example"]
    found = re.fullmatch(
        r"<https://campaign\.example/water/u/([0-9a-f]{32})>,\s*"
        r"<mailto:leave\+([0-9a-f]{32})@campaign\.example\?subject=unsubscribe>",
        letter["List-Unsubscribe"],
    )
    assert found is not None
    assert found[1] == found[2]
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert letter["List-ID"] == "<water.campaign.example>"
    assert letter["Feedback-ID"] == "news:water:bulk:campaignexample"
    assert letter["Precedence"] == "bulk"
    link = f"https://campaign.example/water/u/{found[1]}"
    for kind in ("plain", "html"):
        body = letter.get_body((kind,))
        assert body is not None
        assert link in body.get_content()
        assert "1 Mill Lane, Leeds" in body.get_content()
        assert set(re.findall(r"https?://[^\s\"<>]+", body.get_content())) == {link}
        assert "<img" not in body.get_content()


def test_a_personal_letter_has_none_of_them(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", status=0)
    for letter in kept(campaign).values():
        assert not set(BULK_HEADERS) & set(letter.keys())
        assert "unsubscribe" not in letter.as_string().lower()


def test_a_preview_shows_what_is_sent(campaign: SmallCampaign):
    headers = campaign.petition("preview", "news", "--as", "headers", status=0).out
    campaign.petition("send", "news", status=0)
    letter = kept(campaign)["ann@x.example"]
    assert f"List-Unsubscribe: {letter['List-Unsubscribe']}" in " ".join(headers.split())
    assert all(f"{name}: " in headers for name in BULK_HEADERS)


BROKEN = {
    "line": ("[Unsubscribe]({{ unsubscribe }})", "Goodbye", "no unsubscribe link"),
    "address": (", {{ sender.postal_address }}", "", "no postal address of the sender"),
    "condition": (
        "[Unsubscribe]({{ unsubscribe }})",
        "{% if recipient.name %}[Unsubscribe]({{ unsubscribe }}){% endif %}",
        "unsubscribe is in a condition",
    ),
    "cc": ("kind: bulk", 'kind: bulk\ncc: ["z@x.example"]', "a bulk letter cannot have cc"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_bulk_letter_lacks_is_a_problem_with_its_line(campaign: SmallCampaign, name: str):
    old, new, what = BROKEN[name]
    campaign.write("letters/news.md", BULK.replace(old, new))
    (problem,) = (
        one
        for one in campaign.petition("check", "news", "--json", status=1).json["problems"]
        if one["level"] == "error"
    )
    assert problem["file"] == "letters/news.md"
    assert problem["line"] in {5, 12}
    assert what in problem["what"]
    campaign.petition("send", "news", "--yes", status=1)
    assert not (campaign.root / "outbox").exists()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("https://campaign.example/water/", "http://campaign.example", "https"),
        ("/water/", "/?list=water", "query"),
        ("postal_address", "return_path = 'b@campaign.example'#", "has no postal_address"),
        ("[unsubscribe]\nurl", "[inbox]\nurl = 'maildir:in'\n#", "no [unsub"),
        ("[people]", "[lists.suporters]\nconsent='all'\nreason='x'\n[people]", 'no list "suport'),
    ],
)
def test_what_petition_toml_lacks_is_a_problem(
    campaign: SmallCampaign, old: str, new: str, what: str
):
    toml = (campaign.root / "petition.toml").read_text().replace(old, new)
    toml = toml.replace("mailto =", "#") if "no [unsub" in what else toml
    campaign.write("petition.toml", toml)
    assert what in " ".join(campaign.petition("check", "news", status=1).out.split())


def test_the_link_cannot_stand_in_a_personal_letter(campaign: SmallCampaign):
    campaign.write("letters/news.md", BULK.replace("kind: bulk\n", ""))
    assert "a personal letter has no list to leave" in campaign.petition("check", "news").out


def test_without_a_page_the_link_is_a_mail(campaign: SmallCampaign):
    campaign.change("petition.toml", 'url = "https://campaign.example/water/"\n', "")
    campaign.change("petition.toml", "leave+{token}@", "leave@")
    campaign.petition("send", "news", status=0)
    letter = kept(campaign)["ann@x.example"]
    link = r"mailto:leave@campaign\.example\?subject=unsubscribe%20[0-9a-f]{32}"
    assert re.fullmatch(f"<{link}>", letter["List-Unsubscribe"])
    assert "List-Unsubscribe-Post" not in letter
    body = letter.get_body(("plain",))
    assert body is not None
    assert re.search(link, body.get_content())


def test_who_leaves_between_two_letters_gets_no_other(campaign: SmallCampaign):
    campaign.petition("send", "news", status=0)
    way = kept(campaign)["ann@x.example"]["List-Unsubscribe"]
    token = way.partition("/u/")[2][:32]
    with Log(f"sqlite:///{campaign.root}/rehearsal.db") as log:
        [copy] = unsubscribe_all(log, [token])
        assert copy is not None
    campaign.write("letters/more.md", BULK)
    campaign.petition("send", "more", status=0)
    rows = csv.DictReader(io.StringIO(campaign.petition("status", "more", "--csv").out))
    told = {row["email"]: row["reason"] for row in rows}
    assert told["ann@x.example"] == "opted out"
    assert told["eve@x.example"] == ""


def test_a_trial_copy_has_a_link_that_takes_nobody_off(campaign: SmallCampaign):
    with counting_server() as server:
        through = campaign.through(server.port)
        through.petition("send", "news", "--to-me", "me@x.example", "--yes", status=0)
        assert dict(server.accepted) == {"me@x.example": 1}
    assert through.petition("suppress", "--json").json["addresses"] == []


def test_reserved_addresses_of_supporters_are_passed_over_before_a_real_server(
    campaign: SmallCampaign,
):
    env = {"PETITION_SMTP_HOST": "192.0.2.1"}
    answer = SmallCampaign(campaign.root, env).petition("check", "news")
    assert "3 rows" in " ".join(answer.out.split())


def test_a_share_that_is_gone_stops_a_bulk_letter_and_fails_no_row(campaign: SmallCampaign):
    campaign.change(
        "letters/news.md",
        "kind: bulk",
        'kind: bulk\nattachments: ["maps/{{ recipient.name }}.txt"]',
    )
    campaign.write("maps/Ann.txt", "the way")
    campaign.write("maps/Eve.txt", "the way")
    away = (campaign.root / "maps").rename(campaign.root / "away")
    stopped = campaign.petition("send", "news", "--yes", status=1)
    assert "supporters.csv:2" in stopped.err
    assert not (campaign.root / "outbox/new").exists()
    away.rename(campaign.root / "maps")
    campaign.petition("send", "news", "--yes", status=0)
    assert set(kept(campaign)) == {"ann@x.example", "eve@x.example"}


EXPORTS = {
    "table": ("email,reason\nann@x.example,asked by letter\nzed@x.example,\n", "asked by letter"),
    "mailchimp": (
        (
            "Email Address,First Name,UNSUB_TIME,UNSUB_REASON\n"
            "ANN@x.example,Ann,2026-01-02 10:00:00,N/A (Unsubscribed by admin)\n"
        ),
        "N/A (Unsubscribed by admin)",
    ),
    "action network": (
        "email,can2_subscription_status\nann@x.example,unsubscribed\neve@x.example,subscribed\n",
        "unsubscribed",
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_a_suppression_list_is_taken_over_with_its_reasons(campaign: SmallCampaign, name: str):
    text, reason = EXPORTS[name]
    campaign.write("out.csv", text)
    campaign.petition("suppress", "--from", "out.csv", status=0)
    kept_reasons = {
        row["email"].lower(): row["reason"]
        for row in campaign.petition("suppress", "--json", status=0).json["addresses"]
    }
    assert kept_reasons["ann@x.example"] == reason
    assert "eve@x.example" not in kept_reasons
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == {"eve@x.example"}


def test_a_suppression_list_counts_whatever_else_is_wrong_in_its_rows(campaign: SmallCampaign):
    rows = "ann@x.example,Ann,in plain words\neve@x.example,Eve\u202e,en\n"
    campaign.write("out.csv", f"email,name,language\n{rows}")
    campaign.petition("suppress", "--from", "out.csv", status=0)
    suppressed = campaign.petition("suppress", "--json", status=0).json["addresses"]
    assert {row["email"] for row in suppressed} == {"ann@x.example", "eve@x.example"}


def test_what_of_a_suppression_list_cannot_be_read_is_told_and_the_rest_counts(
    campaign: SmallCampaign,
):
    campaign.write("out.csv", "email\nann@x.example\nno address\n")
    answer = campaign.petition("suppress", "--from", "out.csv", status=1)
    assert "out.csv:3" in answer.err
    assert [row["email"] for row in campaign.petition("suppress", "--json").json["addresses"]] == [
        "ann@x.example"
    ]


def test_an_opt_out_under_what_is_no_address_is_told_and_fails_nothing(campaign: SmallCampaign):
    campaign.write("out.csv", "email,unsubscribed\nann@x.example,yes\nno address,yes\n")
    answer = campaign.petition("suppress", "--from", "out.csv", status=0)
    assert "out.csv:3" in answer.err
    assert "marked" in answer.err


def test_a_new_login_stops_at_the_cap_of_its_first_day(campaign: SmallCampaign):
    people = "".join(f"p{number}@x.example,yes\n" for number in range(5))
    campaign.write("supporters.csv", "email,updates\n" + people)
    campaign.change("letters/news.md", "recipient.name or", "recipient.email or")
    toml = (campaign.root / "petition.toml").read_text()
    campaign.write("petition.toml", toml + "\n[pace]\nwarm_up = [2, 4]\nper_day = 3\n")
    with counting_server() as server:
        through = campaign.through(server.port)
        answer = through.petition("send", "news", "--yes", status=3)
        assert "2, then 4 a day" in " ".join(answer.out.split())
        assert server.accepted.total() == 2
        through.petition("send", "news", "--yes", status=3)  # a restart does not free it
        assert server.accepted.total() == 2


def test_a_provider_that_refuses_by_its_policy_is_named_on_the_screen_and_in_the_status(
    campaign: SmallCampaign,
):
    people = "".join(f"p{n}@wall.example,yes\nq{n}@open.example,yes\n" for n in range(30))
    campaign.write("supporters.csv", "email,updates\n" + people)
    campaign.change("letters/news.md", "recipient.name or", "recipient.email or")
    refusals = {f"p{number}": "550 5.7.1 Not wanted here" for number in range(30)}
    with counting_server(answers=refusals) as server:
        through = campaign.through(server.port)
        answer = through.petition("send", "news", "--yes")
        assert {box.partition("@")[2] for box in server.accepted} == {"open.example"}
        assert server.accepted.total() == 30
    assert "wall.example refuses letters by policy (550 5.7.1" in answer.err
    status = through.petition("status", "news", status=0).out
    assert re.search(r"wall\.example: \d+ refused by policy \(", status)
    assert "queued" in status


def test_a_condition_and_yes_or_no_are_asked_of_rows_that_get_a_letter(campaign: SmallCampaign):
    campaign.write(
        "supporters.csv",
        "email,name,updates,member\nann@x.example,Ann,yes,no\nbob@x.example\n"
        "cyd@x.example,Cyd,no,perhaps\nd@,D,yes,maybe\neve@x.example,Eve,yes,yes\n",
    )
    for condition, chosen in (("member", "eve"), ("not member and name", "ann")):
        campaign.petition("send", "news", "--where", condition, status=0)
        assert f"{chosen}@x.example" in kept(campaign)
    assert len(kept(campaign)) == 2
