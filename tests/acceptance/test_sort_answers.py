"""petition answer without WHO: the mails that nobody has classified, with one key for each."""

import re
from pathlib import Path

import pytest

from petition.cli.sort_answers import named_demands
from petition.outbox.answers import Status
from petition.report.ledger import QuotedDemand
from tests.acceptance.small import SmallCampaign, Terminal

DEMANDS = "## Clean the river {#river}\n\nAll of it.\n\n## Say who pays {#pays}\n\nIn public.\n"


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    """One from which p1, p2 and p3 have a letter, and p1 and p2 have answered."""
    campaign = SmallCampaign.at(tmp_path)
    campaign.write("letters/demands.md", DEMANDS)
    campaign.write("answers/cur/.keep", "")
    campaign.write("answers/tmp/.keep", "")
    campaign.change("petition.toml", "[campaign]", '[inbox]\nurl = "maildir:answers"\n\n[campaign]')
    campaign.petition("send", "open-letter", status=0)
    arrive(campaign, 1, "p1@x.example", "Good morning.\nOn demand 2: yes.\nKind regards")
    arrive(campaign, 2, "p2@x.example", "Later.")
    campaign.petition("inbox", status=0)
    return campaign


def arrive(campaign: SmallCampaign, number: int, sender: str, text: str) -> None:
    mail = f"From: {sender}\nSubject: Re: one demand\nMessage-ID: <{number}@x>\n\n{text}\n"
    campaign.write(f"answers/new/{number}.host", mail)


def sorting(campaign: SmallCampaign) -> Terminal:
    child = campaign.on_terminal("answer")
    child.expect_exact("[?] help")
    return child


def recorded(campaign: SmallCampaign) -> list[tuple[str, str, str | None, str]]:
    people = campaign.petition("status", "open-letter", "--answers", "--json").json["people"]
    return [
        (who["email"].partition("@")[0], one["status"], one["demand"], one["quote"])
        for who in people
        for one in who["answers"]
        if one["status"] != Status.UNCLASSIFIED
    ]


def test_one_key_records_an_answer_to_the_demands_that_it_names(campaign: SmallCampaign):
    child = sorting(campaign)
    assert "demand 2" in child.before
    child.send("y")
    child.expect_exact("[?] help")
    child.send("l")
    assert child.end()[0] == 0
    words = "Good morning.\nOn demand 2: yes.\nKind regards"
    assert recorded(campaign) == [("p1", "met", "pays", words), ("p2", "stalled", None, "Later.")]


def test_numbers_choose_demands(campaign: SmallCampaign):
    child = sorting(campaign)
    child.send("2")  # not this one
    child.expect_exact("[ ] 2")
    child.send("1r")
    child.expect_exact("[?] help")
    child.send("e")
    assert child.end()[0] == 0
    assert [one[:3] for one in recorded(campaign)] == [("p1", "refused", "river")]


def test_the_words_that_count_are_chosen_by_line(campaign: SmallCampaign):
    child = sorting(campaign)
    child.send("q")
    child.expect_exact("]: ")
    child.send("2\n")
    child.expect_exact("“On demand 2: yes.”")
    child.send("ye")
    child.end()
    assert recorded(campaign) == [("p1", "met", "pays", "On demand 2: yes.")]


def test_what_is_undone_was_never_recorded(campaign: SmallCampaign):
    child = sorting(campaign)
    child.send("r")
    child.expect_exact("[?] help")
    child.send("u")
    child.expect_exact("[?] help")
    child.send("m")
    child.expect_exact("[?] help")
    child.send("e")
    child.end()
    assert [one[:2] for one in recorded(campaign)] == [("p1", "meeting")]


@pytest.mark.parametrize("end", ["\x03", "\x04", "e", "\x1b"], ids=["ctrl-c", "ctrl-d", "e", "esc"])
def test_the_last_decision_is_kept_however_it_ends(campaign: SmallCampaign, end: str):
    child = sorting(campaign)
    child.send("r")
    child.expect_exact("[?] help")
    child.send(end)
    child.end()
    assert [one[:2] for one in recorded(campaign)] == [("p1", "refused")]


@pytest.mark.parametrize("end", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_who_chooses_no_words_goes_on(campaign: SmallCampaign, end: str):
    child = sorting(campaign)
    child.send("q")
    child.expect_exact("]: ")
    child.send(end)
    child.expect_exact("Nothing was changed")
    child.send("me")
    assert child.end()[0] == 0
    assert [one[1:] for one in recorded(campaign)] == [
        ("meeting", "pays", "Good morning.\nOn demand 2: yes.\nKind regards")
    ]


@pytest.mark.parametrize(
    "key",
    [
        "\x1b[A",
        "\x1bOQ",
        "\x1b[1;5r",
        "\x1br",
        "й",
        "🙂",
        "\x1b[200~Dear me,\nyes, we are!\x1b[201~",
    ],
    ids=["arrow", "f2", "ctrl", "alt-r", "cyrillic", "emoji", "pasted"],
)
def test_other_keys_and_pasted_text_decide_nothing(campaign: SmallCampaign, key: str):
    child = sorting(campaign)
    child.send(key)
    child.expect_exact("e  end")  # the keys are explained
    child.send("e")
    assert child.end()[0] == 0
    assert not recorded(campaign)


def test_what_another_process_has_recorded_is_not_recorded_again(campaign: SmallCampaign):
    child = sorting(campaign)
    child.send("r")
    child.expect_exact("[?] help")
    for number, who in enumerate(("p1", "p2"), 1):
        campaign.petition("answer", who, "met", "--mail", str(number), status=0)
    child.send("l")
    assert "0 answers recorded" in child.end()[1]
    assert [one[:2] for one in recorded(campaign)] == [("p1", "met"), ("p2", "met")]


def test_what_others_decide_meanwhile_is_not_asked_about(campaign: SmallCampaign):
    child = sorting(campaign)
    campaign.petition("answer", "p2", "met", "--mail", "2", status=0)
    child.send("r")
    assert "P2" in child.end()[1]
    assert [one[:2] for one in recorded(campaign)] == [("p1", "refused"), ("p2", "met")]


def test_words_of_somebody_who_was_forgotten_meanwhile_do_not_come_back(campaign: SmallCampaign):
    child = sorting(campaign)
    campaign.list_people("p2", "p3")
    campaign.petition("forget", "p1@x.example", "--yes", status=0)
    child.send("ye")
    child.end()
    assert b"Good morning" not in b"".join(
        file.read_bytes() for file in campaign.root.glob("rehearsal.db*")
    )


def test_what_was_recorded_by_hand_is_classified_whatever_it_is_about(campaign: SmallCampaign):
    note = ("--quote", "On demand 2: yes.", "--channel", "phone")
    campaign.petition("answer", "p3", "unclassified", *note, status=0)
    child = sorting(campaign)
    for key in "ss":
        child.send(key)
        child.expect_exact("[?] help")
    child.send("q")  # the words stay: by them it is known what is classified
    child.send("y")
    said = child.end()[1]
    assert "1 answer recorded; 2 left" in said
    assert recorded(campaign) == [("p3", "met", "pays", "On demand 2: yes.")]


def test_what_came_nobody_said_how_did_not_come_by_mail(campaign: SmallCampaign):
    campaign.petition("answer", "p3", "unclassified", "--quote", "Yes.", status=0)
    child = sorting(campaign)
    for key in "ssy":
        child.send(key)
    child.end()
    people = campaign.petition("status", "open-letter", "--answers", "--json").json["people"]
    assert [one["channel"] for one in people[2]["answers"]] == [None, None]


def test_a_demand_beyond_the_ninth_is_chosen_by_its_number(campaign: SmallCampaign):
    many = "".join(f"## Demand {number} {{#d{number}}}\n\nNow.\n\n" for number in range(1, 13))
    campaign.write("letters/demands.md", many)
    campaign.petition("send", "open-letter", status=0)
    child = sorting(campaign)
    for number in ("11", "1"):
        child.send("0")
        child.expect_exact("Number of the demand")
        child.send(f"{number}\n")
        child.expect_exact(f"[x] {number} Demand")
    child.send("re")
    assert child.end()[0] == 0
    about = {one[2] for one in recorded(campaign)}
    assert {"d1", "d11"} <= about
    assert "d10" not in about


def test_a_mail_that_is_skipped_is_shown_again(campaign: SmallCampaign):
    child = sorting(campaign)
    child.send("s")
    child.expect_exact("[?] help")
    child.send("s")
    assert "2 left" in child.end()[1]
    assert not recorded(campaign)
    again = sorting(campaign)
    assert "1 of 2" in again.before
    again.send("e")
    again.end()


def test_who_may_want_to_leave_is_asked_about(campaign: SmallCampaign):
    doubtful = "Thank you, but please take us off this list: we have a programme of our own."
    arrive(campaign, 3, "p3@x.example", doubtful)
    campaign.petition("inbox", status=0)
    child = sorting(campaign)
    child.send("s")
    child.expect_exact("[?] help")
    child.send("s")
    child.expect_exact("[k] keep writing")
    child.send("o")
    child.expect_exact("no more letters.")
    child.send("r")
    child.end()
    addresses = campaign.petition("suppress", "--json").json["addresses"]
    assert [(one["email"], one["reason"]) for one in addresses] == [("p3@x.example", "opted out")]


def test_what_a_mail_says_is_shown_and_not_obeyed(campaign: SmallCampaign):
    arrive(campaign, 3, "p3@x.example", "\x1b[2J\x1b]0;title\x07[bold]no[/red]\u202etxt")
    campaign.petition("inbox", status=0)
    child = campaign.on_terminal("answer")
    shown = ""
    for _ in range(3):
        child.expect_exact("[?] help")
        shown += re.sub(r"\x1b\[[0-9;]*m", "", child.before)
        child.send("s")
    assert child.end()[0] == 0
    shown = shown.replace("\x1b[?2004h", "")  # pasted text is to be marked
    assert "[bold]no" in shown
    assert not any(char in shown for char in "\x1b\x07\u202e")


def test_without_a_terminal_it_says_what_to_write(campaign: SmallCampaign):
    assert "WHO" in campaign.petition("answer", status=2).err
    assert "STATUS" in campaign.petition("answer", "p1", status=2).err
    assert "WHO" in campaign.petition("answer", "--quote", "No.", status=2).err


def test_nothing_to_sort(campaign: SmallCampaign):
    for who in ("p1", "p2"):
        campaign.petition("answer", who, "met", "--quote", "Yes.", status=0)
        number = {"p1": "1", "p2": "2"}[who]
        campaign.petition("answer", who, "met", "--mail", number, status=0)
    status, text = campaign.on_terminal("answer").end()
    assert status == 0
    assert "Nothing waits" in text


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("We accept demand 2.", {"pays"}),
        ("Points 1 and 2 are under way", {"river", "pays"}),
        ("About demands 1, 2: no", {"river", "pays"}),
        ("По требованию 1 и пункту 2", {"river", "pays"}),
        ("Zur Forderung 2", {"pays"}),
        ("On #2: yes", {"pays"}),
        ("Ответ на пункт № 2", {"pays"}),
        ("abc#2", set()),
        ("Re: “Clean the River” – yes", {"river"}),
        ("We say who pays, always", {"pays"}),
        ("Call us on 2 December at 1 pm", set()),
        ("In 2026 we cleaned the rivers", set()),
        ("demand 12", set()),
    ],
)
def test_demands_are_proposed_by_number_or_title(words: str, ids: set[str]):
    demands = (QuotedDemand(1, "river", "Clean the river"), QuotedDemand(2, "pays", "Say who pays"))
    assert named_demands(words, demands) == ids
