"""petition answer and status --answers: what is written down, and what it comes to."""

import os
import pwd
import sqlite3
from datetime import timedelta

import pytest

from petition.outbox.log import Log, utc_now
from petition.report.ledger import Ledger, ledger
from tests.acceptance.returning import Returns
from tests.acceptance.small import Answer, SmallCampaign
from tests.servers.counting import counting_server

TWO_DEMANDS = "## Clean the river {#river}\n\nAll of it.\n\n## Open the books {#books}\n\nNow.\n"


@pytest.fixture
def returns(campaign: SmallCampaign) -> Returns:
    campaign.write("letters/demands.md", TWO_DEMANDS)
    return Returns(campaign)


def people(campaign: SmallCampaign) -> dict[str, dict[str, object]]:
    found = campaign.petition("status", "open-letter", "--answers", "--json", status=0).json
    return {person["id"]: person for person in found["people"]}


def recorded(campaign: SmallCampaign) -> list[tuple[object, ...]]:
    with sqlite3.connect(campaign.root / "rehearsal.db") as database:
        query = "SELECT status, demand, channel, quote, mail, author FROM answer ORDER BY id"
        rows = database.execute(query).fetchall()
    database.close()
    return rows


def after(campaign: SmallCampaign, days: int) -> Ledger:
    """The answers as they stand so many days from now."""
    url = f"sqlite:///{campaign.root}/rehearsal.db"
    with Log(url, clock=lambda: utc_now() + timedelta(days=days)) as log:
        found = ledger(log, "open-letter")
    assert found
    return found


def test_an_answer_is_recorded_with_its_words_channel_and_author(returns: Returns):
    campaign = returns.campaign
    told = campaign.petition(
        "answer", "P1@X.example", "stalled", "--channel", "phone", "--quote", "Nobody is here.",
        "--json", status=0,
    ).json  # fmt: skip
    me = pwd.getpwuid(os.getuid()).pw_name
    assert (told["email"], told["letter"], told["status"]) == (
        "p1@x.example",
        "open-letter",
        "stalled",
    )
    assert (told["author"], told["demands"]) == (me, [])
    campaign.petition(
        "answer",
        "p2",
        "MET",
        "--demand",
        "river",
        "--demand",
        "books",
        "--quote",
        "Done.",
        status=0,
    )
    assert recorded(campaign) == [
        ("stalled", "", "phone", "Nobody is here.", None, me),
        ("met", "river", "", "Done.", None, me),
        ("met", "books", "", "Done.", None, me),
    ]
    found = people(campaign)
    assert {who: one["answer"] for who, one in found.items()} == {
        "p1": "stalled", "p2": "met", "p3": "none",
    }  # fmt: skip
    assert found["p2"]["demands"] == {"river": "met", "books": "met"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["p1@x.example", "stalled"], "evidence"),
        (["p1@x.example", "stalled", "--quote", "  "], "evidence"),
        (["p1@x.example", "stald", "--quote", "x"], "Did you mean stalled"),
        (["p1@x.example", "none", "--quote", "x"], '"none" is not'),
        (["p1@x.example", "met", "--quote", "x", "--channel", "fax"], '"fax" is not'),
        (["p1@x.example", "met", "--quote", "x", "--demand", "rivr"], "Did you mean river"),
        (["p9@x.example", "met", "--quote", "x"], "no letter has been sent to p9@x.example"),
        (["p9", "met", "--quote", "x"], "P1 <p1@x.example>"),
        (["p1@x.example", "met", "--quote", "x", "--letter", "nothing"], "there is no letter"),
        (["p1@x.example", "met", "--mail", "77"], 'the log has no mail "77"'),
    ],
)
def test_an_answer_that_cannot_be_recorded_is_a_usage_error(
    returns: Returns, arguments: list[str], said: str
):
    answer = returns.campaign.petition("answer", *arguments, status=2)
    assert said in answer.err
    assert recorded(returns.campaign) == []


def test_people_without_a_letter_cannot_answer(campaign: SmallCampaign):
    answer = campaign.petition("answer", "p1@x.example", "met", "--quote", "x", status=2)
    assert "nothing has been sent yet" in answer.err
    assert not (campaign.root / "rehearsal.db").exists()


def test_who_waits_for_a_letter_is_not_taken_for_somebody_else(campaign: SmallCampaign):
    with counting_server() as server:
        campaign = campaign.through(server.port)
    campaign.petition("send", "open-letter", "--yes", status=4)
    answer = campaign.petition("answer", "p1@x.example", "met", "--quote", "x", status=2)
    assert "Did you mean" not in answer.err


def test_an_answer_belongs_to_the_latest_letter_unless_one_is_named(returns: Returns):
    campaign = returns.campaign
    text = (campaign.root / "letters/open-letter.md").read_text().replace("one demand", "again")
    campaign.write("letters/second.md", text + "\nOnce more, and in other words than before.\n" * 9)
    campaign.petition("send", "second", "--to", "p1", status=0)
    first = campaign.petition("answer", "p1", "met", "--quote", "x", "--json", status=0).json
    assert first["letter"] == "second"
    to_first = ("--letter", "open-letter", "--quote", "x", "--json")
    assert campaign.petition("answer", "p1", "met", *to_first).json["letter"] == "open-letter"
    missed = campaign.petition(
        "answer", "p2", "met", "--letter", "second", "--quote", "x", status=2
    )
    assert "second was not sent to p2" in missed.err


def test_a_mail_is_classified_once_and_its_words_are_the_evidence(returns: Returns):
    campaign = returns.campaign
    returns.arrive(returns.reply("p1", "We can meet.", more="Message-ID: <a@x.example>\n"))
    campaign.petition("inbox", status=0)
    before = people(campaign)["p1"]
    assert before["answer"] == "unclassified"
    assert before["unclassified"] == ["petition answer p1@x.example STATUS --mail 1"]
    shown = campaign.petition("status", "--answers", status=0).out
    assert "petition answer p1@x.example STATUS --mail 1" in shown
    told = campaign.petition("answer", "p1", "meeting", "--mail", "a@x.example", "--json", status=0)
    assert (told.json["quote"], told.json["channel"]) == ("We can meet.", "mail")
    assert told.json["message_id"] == "<a@x.example>"
    found = people(campaign)["p1"]
    assert (found["answer"], found["unclassified"]) == ("meeting", [])
    wrong = campaign.petition("answer", "p2", "met", "--mail", "1", status=2)
    assert "answers no letter to p2" in wrong.err


def test_an_unmatched_mail_leaves_the_list_when_a_person_says_whose_it_is(returns: Returns):
    campaign = returns.campaign
    stranger = (
        "From: office@y.example\nSubject: \x1b[31mRe\nMessage-ID: <b@y.example>\n\nWe know.\n"
    )
    returns.arrive(stranger, "From: ann@y.example\nSubject: hello\n\nHello.\n")
    campaign.petition("inbox", status=0)
    unmatched = campaign.petition("inbox", "--unmatched", "--json", status=0).json["mails"]
    assert [(one["id"], one["sender"]) for one in unmatched] == [
        (2, "ann@y.example"), (1, "office@y.example"),
    ]  # fmt: skip
    shown = campaign.petition("inbox", "--unmatched", status=0).out
    assert "office@y.example" in shown
    assert "\x1b" not in shown
    campaign.petition("answer", "p3", "stalled", "--mail", "1", status=0)
    assert [
        one["id"] for one in campaign.petition("inbox", "--unmatched", "--json").json["mails"]
    ] == [2]
    (said,) = people(campaign)["p3"]["answers"]  # type: ignore[misc]
    assert (said["status"], said["message_id"]) == ("stalled", "<b@y.example>")
    without_id = campaign.petition("answer", "p3", "met", "--mail", "2", status=2)
    assert "mail 2 has neither words nor a Message-ID" in without_id.err


def test_an_automatic_reply_neither_answers_nor_undoes_an_answer(returns: Returns):
    campaign = returns.campaign
    automatic = "Auto-Submitted: auto-replied\n"
    returns.arrive(returns.reply("p1", "Away.", more=automatic))
    campaign.petition("inbox", status=0)
    assert people(campaign)["p1"]["answer"] == "acknowledged"
    assert "p1" in {entry.copy.row_id for entry in after(campaign, 20).overdue}
    campaign.petition("answer", "p1", "refused", "--quote", "No.", status=0)
    returns.arrive(returns.reply("p1", "Away again.", more=automatic))
    campaign.petition("inbox", status=0)
    assert people(campaign)["p1"]["answer"] == "refused"
    assert "p1" not in {entry.copy.row_id for entry in after(campaign, 20).overdue}


def test_what_is_overdue_is_computed_from_the_letter_as_it_was_sent(returns: Returns):
    campaign = returns.campaign
    campaign.petition("answer", "p1", "stalled", "--quote", "Later.", status=0)
    campaign.petition("answer", "p2", "meeting", "--quote", "Come.", status=0)
    campaign.petition("answer", "p3", "unclassified", "--quote", "Hm.", status=0)
    campaign.change("letters/open-letter.md", "14 days", "90 days")  # what they have says 14
    assert [entry.overdue for entry in after(campaign, 14).entries] == [0, 0, 0]
    late = after(campaign, 21)
    assert [entry.overdue for entry in late.entries] == [7, 0, 0]
    assert [entry.days for entry in late.entries] == [21, 0, 21]
    assert [entry.working_days for entry in late.entries] == [15, 0, 15]


def test_people_whose_letter_bounced_are_not_waited_for(returns: Returns):
    campaign = returns.campaign
    returns.arrive(returns.dsn("p1", "5.1.1", "550 5.1.1 User unknown"))
    campaign.petition("inbox", status=0)
    shown = campaign.petition("status", "--answers", status=0).out
    assert "sent to 3 people: 2 unanswered, 1 bounced." in shown
    assert [entry.copy.row_id for entry in after(campaign, 30).overdue] == ["p2", "p3"]


def test_an_answer_from_another_address_says_so(returns: Returns):
    campaign = returns.campaign
    returns.arrive(
        returns.reply("p1", "Yes.", sender="somebody.else@y.example"),
        returns.reply("p2", "No.", sender="P2@x.example"),
    )
    told = campaign.petition("inbox", status=0).out
    campaign.write("letters/second.md", "---\nsubject: two\nreply_by: 14 days\n---\nHello.\n")
    campaign.petition("send", "second", status=0)
    assert "answer from somebody.else@y.example: Yes." in told
    assert "answer: No." in told
    shown = campaign.petition("status", "--answers", status=0).out
    assert "by mail from somebody.else@y.example: “Yes.”" in " ".join(shown.split())
    assert "by mail: “No.”" in shown
    assert "\n\nsecond, sent to 3 people" in shown
    said = people(campaign)
    assert [said[who]["answers"][0]["sender"] for who in ("p1", "p2")] == [
        "somebody.else@y.example", None,
    ]  # fmt: skip


def test_a_forgotten_person_counts_without_a_name(returns: Returns):
    campaign = returns.campaign
    campaign.petition("forget", "p2@x.example", "--yes", status=0)
    shown = campaign.petition("status", "--answers", status=0).out
    assert "sent to 3 people: 3 unanswered." in shown
    assert "somebody forgotten" in shown
    assert "forgotten-" not in shown


def test_no_control_character_of_a_quote_reaches_the_terminal(returns: Returns):
    campaign = returns.campaign
    quote = "\x1b]52;c;eA==\x07 \u202e\x9b31m nobody\nis here"
    said: list[Answer] = [
        campaign.petition("answer", "p1", "stalled", "--quote", quote, status=0),
        campaign.petition("answer", "p2", "unclassified", "--quote", quote, status=0),
        campaign.petition("status", "--answers", status=0),
        campaign.petition("status", "--answers", "--json", status=0),
    ]
    for answer in said:
        assert set("\x1b\x07\x9b\u202e").isdisjoint(answer.out)
    (kept,) = said[-1].json["letters"][0]["people"][0]["answers"]
    assert kept["quote"] == quote


def test_a_mailbox_that_a_shell_would_run_is_quoted_in_the_command(campaign: SmallCampaign):
    campaign.write("recipients.csv", "id,email,name,town\n1,a`id`@x.example,A,B\n")
    campaign.petition("send", "open-letter", status=0)
    campaign.petition("answer", "1", "unclassified", "--quote", "?", status=0)
    shown = campaign.petition("status", "--answers", status=0).out
    assert "petition answer 'a`id`@x.example' STATUS" in shown


def test_answers_go_with_no_other_table(campaign: SmallCampaign):
    for other in (["--csv"], ["--state", "sent"]):
        answer = campaign.petition("status", "--answers", *other, status=2)
        assert "--answers" in answer.err
    campaign.petition("inbox", "--unmatched", "--watch", status=2)
    assert campaign.petition("status", "--answers", "--json", status=0).json["letters"] == []
    assert campaign.petition("inbox", "--unmatched", "--json", status=0).json["mails"] == []
