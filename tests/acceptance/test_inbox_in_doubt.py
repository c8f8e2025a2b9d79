"""Somebody may want to leave: a person is asked, and nothing more goes out to them meanwhile."""

from pathlib import Path

import pytest

from tests.acceptance.small import LETTER, SmallCampaign
from tests.servers.counting import CountingServer, counting_server

OPEN, MORE, LAST = "open-letter", "more", "last"
HELD = "may want to leave"
DOUBTFUL = "Thank you, but please take us off this list: we have a programme of our own."


@pytest.fixture(params=["sqlite", "postgresql"])
def campaign(request: pytest.FixtureRequest, tmp_path: Path) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path / "campaign")
    if request.param == "postgresql":
        campaign.env["PETITION_DATABASE"] = request.getfixturevalue("postgres").new_log()
    for name in (MORE, LAST):
        campaign.write(f"letters/{name}.md", LETTER)
    campaign.write("answers/cur/.keep", "")
    campaign.write("answers/tmp/.keep", "")
    campaign.change("petition.toml", "[campaign]", '[inbox]\nurl = "maildir:answers"\n\n[campaign]')
    return campaign


def arrive(campaign: SmallCampaign, number: int, sender: str, to: str, text: str) -> None:
    mail = f"From: {sender}\nSubject: Re: one demand\nIn-Reply-To: {to}\n\n{text}\n"
    campaign.write(f"answers/new/{number}.host", mail)


def suppressed(campaign: SmallCampaign) -> dict[str, str]:
    rows = campaign.petition("suppress", "--json", status=0).json["addresses"]
    return {row["email"].partition("@")[0]: row["reason"] for row in rows}


def got(server: CountingServer) -> list[int]:
    return [server.accepted[f"p{number}@x.example"] for number in (1, 2, 3)]


def test_a_person_decides_and_nothing_goes_out_meanwhile(campaign: SmallCampaign):
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.petition("send", OPEN, "--yes", status=0)
        ids = {who: next(iter(ids)) for who, ids in server.message_ids.items()}
        server.answers = {"p1": "450 4.2.0 not now"}
        campaign.petition("send", MORE, "--yes", status=3)
        assert campaign.states(MORE)["p1"] == "deferred"
        server.answers = {}
        arrive(campaign, 1, "p1@x.example", ids["p1@x.example"], DOUBTFUL)
        arrive(campaign, 2, "deputy@y.example", ids["p2@x.example"], "Unsubscribe me, please.")
        told = campaign.petition("inbox", status=0).out
        asked = ("petition suppress p1@x.example", "petition suppress p2@x.example")
        assert all(question in told for question in asked)
        assert campaign.states(MORE)["p1"] == "skipped"
        assert suppressed(campaign) == {"p1": HELD, "p2": HELD}

        for letter in (MORE, LAST):
            campaign.petition("send", letter, "--yes", status=0)
            assert campaign.states(letter)["p1"] == "skipped"
        assert got(server) == [1, 2, 3]
        assert campaign.states(LAST) == {"p1": "skipped", "p2": "skipped", "p3": "sent"}
        for view in ([], [LAST], ["--answers"]):
            told = campaign.petition("status", *view, status=0).out
            assert all(question in told for question in asked)
        campaign.petition("answer", "p1", "refused", "--mail", "1", status=0)
        assert suppressed(campaign)["p1"] == HELD  # what they said is another question

        campaign.petition("suppress", "p2@x.example", status=0)
        campaign.petition("suppress", "--remove", "p1@x.example", status=0)
        for letter in (MORE, LAST):
            campaign.petition("send", letter, "--yes", status=0)
        assert got(server) == [3, 2, 3]
        assert suppressed(campaign) == {"p2": "opted out"}
        told = campaign.petition("status", status=0).out
        assert not any(question in told for question in asked)


def test_a_wish_that_belongs_to_nobody_is_told(campaign: SmallCampaign):
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.petition("send", OPEN, "--yes", status=0)
        arrive(campaign, 1, "deputy@y.example", "<none@y.example>", DOUBTFUL)
        arrive(campaign, 2, "other@y.example", "<none@y.example>", "We agree.")
        told = campaign.petition("inbox", status=0).out
        assert "1 of them may ask for no more letters" in told
        assert suppressed(campaign) == {}


def test_whose_address_asks_is_believed_and_a_doubt_is_settled_by_proof(campaign: SmallCampaign):
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.petition("send", OPEN, "--yes", status=0)
        thread = next(iter(server.message_ids["p1@x.example"]))
        arrive(campaign, 1, "p1@x.example", thread, "How did you get my address?")
        arrive(campaign, 2, "p2@x.example", "<none@y.example>", "Please remove me from your list.")
        # Who writes in somebody else's thread may mean the own address.
        arrive(campaign, 3, "p3@x.example", thread, "Unsubscribe")
        mails = campaign.petition("inbox", "--json", status=0).json["mails"]
        changed = [["unclassified", "held"], ["suppressed"], ["unclassified", "held"]]
        assert [one["changed"] for one in mails] == changed
        assert suppressed(campaign) == {"p1": HELD, "p2": "opted out", "p3": HELD}
        arrive(campaign, 4, "p1@x.example", thread, "Unsubscribe")
        mails = campaign.petition("inbox", "--json", status=0).json["mails"]
        assert [one["changed"] for one in mails] == [["suppressed"]]
        assert suppressed(campaign)["p1"] == "opted out"


def test_who_asks_before_a_letter_could_arrive_gets_none(campaign: SmallCampaign):
    """p1 was refused for now, and knows of the letter from others."""
    with counting_server(answers={"p1": "451 4.2.0 later"}) as server:
        campaign = campaign.through(server.port)
        campaign.petition("send", OPEN, "--yes")
        assert campaign.states()["p1"] == "deferred"
        arrive(campaign, 1, "p1@x.example", "<none@y.example>", "Please remove me from your list.")
        told = campaign.petition("inbox", status=0).out
        assert "petition suppress p1@x.example" in told
        assert "to which address" not in " ".join(told.split())
        assert campaign.states()["p1"] == "skipped"
        assert suppressed(campaign) == {"p1": HELD}
