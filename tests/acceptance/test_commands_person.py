"""petition resolve, retry, withdraw, suppress: what a person says of copies."""

import pytest

from petition.outbox.states import State
from tests.acceptance.queued import queue
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server


@pytest.fixture
def uncertain(campaign: SmallCampaign) -> SmallCampaign:
    """p1 and p2 uncertain, p3 failed."""
    queue(campaign, p1=State.UNCERTAIN, p2=State.UNCERTAIN, p3=State.FAILED)
    return campaign


def test_they_arrived(uncertain: SmallCampaign):
    said = uncertain.petition("resolve", "p1@X.example", "--sent", status=0).out
    assert "1 letter recorded as sent" in said
    assert "nobody received anything" in said
    assert uncertain.states() == {"p1": "sent", "p2": "uncertain", "p3": "failed"}


def test_a_letter_in_the_place_of_a_person_is_called_one(uncertain: SmallCampaign):
    said = " ".join(uncertain.petition("log", "open-letter", status=2).err.split())
    assert "That is a letter" in said
    assert "Did you mean" not in said


def test_they_did_not_arrive(uncertain: SmallCampaign):
    said = uncertain.petition("resolve", "--all", "--not-sent", status=0).out
    assert "2 letters queued again" in said
    assert "Next: petition send open-letter" in said
    assert uncertain.states() == {"p1": "queued", "p2": "queued", "p3": "failed"}


def test_resolve_as_json(uncertain: SmallCampaign):
    answer = uncertain.petition("resolve", "--all", "--sent", "--json", status=0).json
    assert answer["log"] == str(uncertain.root / "rehearsal.db")
    assert answer["moved"][0] == {
        "letter": "open-letter",
        "revision": 1,
        "email": "p1@x.example",
        "from": "uncertain",
        "to": "sent",
    }
    assert uncertain.petition("resolve", "--all", "--sent", "--json", status=0).json["moved"] == []


def test_a_call_that_is_not_clear_moves_nothing(uncertain: SmallCampaign):
    for arguments in (
        ["--sent"],
        ["--all"],
        ["p1@x.example"],
        ["p1@x.example", "--all", "--sent"],
        ["--all", "--sent", "--not-sent"],
        ["p1@x.example", "p3@x.example", "--sent"],  # p3 is failed
        ["p1@x.example", "nobody@x.example", "--sent"],
        ["p1@x.example", "no address", "--sent"],
        ["--all", "--sent", "--letter", "another"],
    ):
        assert uncertain.petition("resolve", *arguments, status=2).out == ""
    assert uncertain.states() == {"p1": "uncertain", "p2": "uncertain", "p3": "failed"}


def test_an_address_that_does_not_fit_is_told_what_it_has(uncertain: SmallCampaign):
    answer = uncertain.petition("resolve", "p3@x.example", "q@x.example", "--sent", status=2)
    assert "p3@x.example (open-letter: failed)" in answer.err
    assert "q@x.example (not in the log)" in answer.err
    assert "Nothing was done" in answer.err


def test_retry_queues_what_failed(uncertain: SmallCampaign):
    said = uncertain.petition("retry", "open-letter", status=0).out
    assert "1 letter queued again." in said
    assert uncertain.states() == {"p1": "uncertain", "p2": "uncertain", "p3": "queued"}
    said = uncertain.petition("retry", "open-letter", status=0).out
    assert "nothing to retry" in said
    assert "suppressed" not in said
    uncertain.petition("retry", "open-letter", "p1@x.example", status=2)


def test_retry_says_if_what_failed_is_suppressed(uncertain: SmallCampaign):
    uncertain.petition("suppress", "p3@x.example", status=0)
    assert "suppressed" in uncertain.petition("retry", "open-letter", status=0).out
    assert uncertain.states() == {"p1": "uncertain", "p2": "uncertain", "p3": "failed"}


def test_withdraw_and_take_it_back(campaign: SmallCampaign):
    queue(campaign, p1=State.SENT, p2=State.DEFERRED)
    campaign.petition("withdraw", "open-letter", "p1@x.example", "p3@x.example", status=2)
    assert campaign.states() == {"p1": "sent", "p2": "deferred", "p3": "queued"}
    said = campaign.petition("withdraw", "open-letter", "P3@x.example", status=0).out
    assert "1 letter withdrawn: it will not be sent." in said
    campaign.petition("retry", "open-letter", "p3@X.EXAMPLE", status=0)
    said = campaign.petition("withdraw", "open-letter", status=0).out
    assert "2 letters withdrawn: they will not be sent." in said
    assert campaign.states() == {"p1": "sent", "p2": "skipped", "p3": "skipped"}
    campaign.petition("retry", "open-letter", "p2@x.example", status=0)
    assert campaign.states() == {"p1": "sent", "p2": "queued", "p3": "skipped"}
    moved = campaign.petition("withdraw", "open-letter", "--json", status=0).json["moved"]
    assert [(one["email"], one["from"], one["to"]) for one in moved] == [
        ("p2@x.example", "queued", "skipped")
    ]


def test_suppressed_is_never_written_to(campaign: SmallCampaign):
    assert "Nobody is suppressed." in campaign.petition("suppress", status=0).out
    assert not (campaign.root / "rehearsal.db").exists()
    queue(campaign, p1=State.SENT)
    said = campaign.petition("suppress", "p2@x.example", "new@y.example", status=0).out
    assert "2 addresses are suppressed" in said
    assert "1 waiting letter will not be sent." in said
    assert "A real send has" in said
    assert campaign.states() == {"p1": "sent", "p2": "skipped", "p3": "queued"}
    listed = campaign.petition("suppress", "--json", status=0).json["addresses"]
    assert [(one["email"], one["reason"]) for one in listed] == [
        ("new@y.example", "opted out"),
        ("p2@x.example", "opted out"),
    ]
    assert "new@y.example" in campaign.petition("suppress", status=0).out


def test_a_suppression_is_taken_back(campaign: SmallCampaign):
    campaign.petition("suppress", "p1@x.example", "p2@x.example", status=0)
    campaign.petition("suppress", "--remove", "p1@x.example", "p3@x.example", status=2)
    assert len(campaign.petition("suppress", "--json").json["addresses"]) == 2
    removed = campaign.petition("suppress", "--remove", "p1@x.example", "--json", status=0).json
    assert removed["removed"] == ["p1@x.example"]
    said = campaign.petition("suppress", "--remove", "P2@x.example", status=0).out
    assert "nothing is queued before the next petition send" in " ".join(said.split())
    campaign.petition("suppress", "--remove", status=2)
    campaign.petition("suppress", "no address", status=2)


def test_before_anything_was_sent_there_is_nothing_to_say(campaign: SmallCampaign):
    for arguments in (
        ["resolve", "--all", "--sent"],
        ["retry", "open-letter"],
        ["withdraw", "open-letter"],
    ):
        assert "nothing has been sent yet" in campaign.petition(*arguments, status=2).err
    assert not (campaign.root / "rehearsal.db").exists()


def test_who_was_forgotten_may_have_got_it_and_is_not_said_to_be_queued(uncertain: SmallCampaign):
    told = uncertain.petition("forget", "p1@x.example", "--yes", status=0).out
    assert "possibly sent" in told
    said = uncertain.petition("resolve", "--all", "--not-sent", status=0).out
    assert "1 letter not queued again: forgotten." in said
    assert "1 letter queued again" in said
    told = uncertain.petition("forget", "p3@x.example", "--yes", status=0).out
    assert "lready sent" not in told


def test_what_a_newer_revision_replaced_is_not_said_to_be_queued(uncertain: SmallCampaign):
    uncertain.change("letters/open-letter.md", "must be", "has to be")
    uncertain.petition("send", "open-letter", "--again", status=0)
    said = uncertain.petition("resolve", "p1@x.example", "--not-sent", status=0).out
    assert "1 letter not queued again" in said
    assert "Next" not in said
    moved = uncertain.petition("resolve", "--all", "--not-sent", "--json", status=0).json["moved"]
    assert [(one["email"], one["revision"], one["to"]) for one in moved] == [
        ("p2@x.example", 1, "skipped")
    ]
    assert uncertain.states() == {"p1": "sent", "p2": "sent", "p3": "sent"}


def test_an_opt_out_of_somebody_who_failed_is_not_undone_by_retry(uncertain: SmallCampaign):
    uncertain.petition("suppress", "P3@x.example", "P1@x.example", status=0)
    said = uncertain.petition("retry", "open-letter", "p3@x.example", status=0).out
    assert "Nothing was queued" in said
    said = uncertain.petition("retry", "open-letter", status=0).out
    assert "suppressed" in said
    said = uncertain.petition("resolve", "p1@x.example", "--not-sent", status=0).out
    assert "1 letter not queued again: opted out." in said
    assert uncertain.states() == {"p1": "skipped", "p2": "uncertain", "p3": "failed"}


def test_who_is_an_id_a_name_or_a_line_and_is_named_before_anything_is_done(
    campaign: SmallCampaign,
):
    queue(campaign, p1=State.UNCERTAIN, p2=State.FAILED)
    said = campaign.petition("resolve", "recipients.csv:2", "--sent", status=0).out
    assert said.startswith("P1 <p1@x.example>")
    said = campaign.petition("retry", "letters/open-letter.md", "p2", status=0).out
    assert said.startswith("P2 <p2@x.example>")
    said = campaign.petition("withdraw", "./letters/open-letter.md", "P3", status=0).out
    assert said.startswith("P3 <p3@x.example>")
    said = campaign.petition("answer", "P1", "met", "--quote", "Yes.", status=0).out
    assert said.startswith("P1 <p1@x.example>")
    assert campaign.states() == {"p1": "sent", "p2": "queued", "p3": "skipped"}
    held = campaign.petition("export", "P2", "--json", status=0).json
    assert held["email"] == "p2@x.example"
    events = campaign.petition("log", "recipients.csv:4", "--json", status=0).json["events"]
    assert {event["email"] for event in events} == {"p3@x.example"}


def test_nobody_is_guessed(campaign: SmallCampaign):
    campaign.change("recipients.csv", "P2", "P1")
    queue(campaign, p3=State.DEFERRED)
    told = campaign.petition("withdraw", "open-letter", "P1", status=2).err
    assert "p1@x.example" in told
    assert "p2@x.example" in told
    told = campaign.petition("withdraw", "open-letter", "p33", status=2).err
    assert "P3 <p3@x.example>" in told
    told = campaign.petition("withdraw", "open-letter", "p33@x.example", status=2).err
    assert "P3 <p3@x.example>" in told
    told = campaign.petition("send", "open-letter", "--to", "P1", "--dry-run", status=2).err
    assert "p2@x.example" in told
    # What cannot be undone wants the address.
    campaign.petition("forget", "p3", "--yes", status=2)
    campaign.petition("suppress", "p3", status=2)
    campaign.petition("withdraw", "drafts/open-letter.md", "p3", status=2)
    assert campaign.states() == {"p1": "queued", "p2": "queued", "p3": "deferred"}


def test_an_address_that_does_not_exist_is_to_be_corrected_in_the_list(campaign: SmallCampaign):
    with counting_server(answers={"p2": "550 5.1.1 No such user"}) as server:
        campaign = campaign.through(server.port)
        where = "correct it in recipients.csv:4"
        campaign.list_people("p0", "p1", "p2")
        said = campaign.petition("send", "open-letter", "--yes", status=1).out
        assert where in " ".join(said.split())
        assert "nobody is left to send it to" in campaign.petition("check", status=0).out
        for command in (["status", "open-letter"], ["retry", "open-letter"]):
            said = campaign.petition(*command, status=0).out
            assert where in " ".join(said.split())
            assert "retry" not in said
        said = campaign.petition("retry", "open-letter", "p2", status=0).out
        assert where in " ".join(said.split())
        campaign.list_people("p0", "p1", "p3")
        assert campaign.petition("send", "open-letter", "--yes").out.count("recipients.csv") == 0
        assert campaign.states() == {"p0": "sent", "p1": "sent", "p2": "failed", "p3": "sent"}
