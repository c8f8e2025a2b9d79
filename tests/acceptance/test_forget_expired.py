"""[privacy] keep: check says what is older, petition forget --expired erases it."""

from pathlib import Path

import pytest

from petition.outbox.database import tables
from tests.acceptance.signing import log_of, sign
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.counting import CountingServer, counting_server
from tests.servers.postgres import Postgres

KEEPS = f'{SETTINGS}\n[privacy]\nkeep = "2 years"\n'
LATER = 800  # days


@pytest.fixture
def server():
    with counting_server(answers={"p3": "451 4.3.0 later"}) as server:
        yield server


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    """A letter was sent to p1 and p2, and p3's is deferred; p1 has answered."""
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    campaign.write("petition.toml", KEEPS)
    campaign.petition("send", "open-letter", "--yes", status=3)
    campaign.petition("answer", "p1", "refused", "--quote", "Never, says Ann.", status=0)
    return campaign


def in_files(campaign: SmallCampaign, *texts: str) -> list[str]:
    """Which of these texts the files of the log still have."""
    data = b"".join(path.read_bytes() for path in campaign.root.glob("petition.db*"))
    return [text for text in texts if text.encode() in data]


def expire(campaign: SmallCampaign, *more: str, days: int = LATER):
    return campaign.days_off(days, "forget", "--expired", "--yes", *more)


def test_check_says_what_is_older(campaign: SmallCampaign):
    assert "forget --expired" not in campaign.petition("check", status=0).out
    answer = campaign.days_off(LATER, "check")
    assert answer.status == 0, answer.out
    assert "petition.toml:10: " in answer.out
    assert "2 copies, 1 answer" in " ".join(answer.out.split())


def test_what_is_older_is_erased_with_a_receipt(campaign: SmallCampaign):
    before = sorted(campaign.states().values())
    answer = expire(campaign)
    assert answer.status == 0, answer.err
    assert "2 copies to 2 people" in answer.out
    assert not in_files(campaign, "p1@x.example", "P2", "Never, says Ann")
    assert in_files(campaign, "p3@x.example")  # their letter waits
    assert sorted(campaign.states().values()) == before
    again = expire(campaign, "--json")
    assert again.json["logs"][0] | {"log": ""} == {
        "log": "", "people": 0, "copies": 0, "answers": 0, "mails": 0, "signatures": 0,
        "staying": 1,
    }  # fmt: skip


def test_it_is_erased_in_postgresql_as_well(
    tmp_path: Path, server: CountingServer, postgres: Postgres
):
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    campaign.write("petition.toml", KEEPS)
    campaign.env["PETITION_DATABASE"] = postgres.new_log()
    campaign.petition("send", "open-letter", "--yes", status=3)
    campaign.petition("answer", "p1", "refused", "--quote", "Never, says Ann.", status=0)
    sign(campaign, "fay@x.example", "Fay Lee")
    answer = expire(campaign, "--json")
    assert answer.json["logs"][0] | {"log": ""} == {
        "log": "", "people": 2, "copies": 2, "answers": 1, "mails": 0, "signatures": 1,
        "staying": 1,
    }  # fmt: skip
    with log_of(campaign) as log:
        held = repr([[*map(tuple, log.database.all(f"whole_{table}"))] for table in tables()])
    texts = ("p1@x.example", "P2", "Never, says Ann", "fay@x.example", "Fay Lee")
    assert [text for text in texts if text in held] == []
    assert "p3@x.example" in held


def test_nobody_gets_a_letter_again_who_had_it(campaign: SmallCampaign, server: CountingServer):
    assert expire(campaign).status == 0
    for more in ([], ["--again"]):
        campaign.petition("send", "open-letter", "--yes", *more, status=3)
    assert server.accepted["p1@x.example"] == server.accepted["p2@x.example"] == 1
    assert not in_files(campaign, "p1@x.example", "p2@x.example")
    # Another letter they get.
    campaign.write(
        "letters/news.md", "---\nto: recipients\nsubject: News\n---\nDear {{ recipient.name }}\n"
    )
    campaign.petition("send", "news", "--yes", status=3)
    assert server.accepted["p1@x.example"] == 2


def test_who_must_not_be_written_to_stays(campaign: SmallCampaign, server: CountingServer):
    campaign.petition("suppress", "p2@x.example", status=0)
    assert expire(campaign).status == 0
    assert in_files(campaign, "p2@x.example")
    campaign.write(
        "letters/news.md", "---\nto: recipients\nsubject: News\n---\nDear {{ recipient.name }}\n"
    )
    campaign.petition("send", "news", "--yes", status=3)
    assert server.accepted["p2@x.example"] == 1


def test_somebody_about_whom_anything_is_younger_is_kept(campaign: SmallCampaign):
    said = campaign.days_off(LATER - 30, "answer", "p2", "refused", "--quote", "No.")
    assert said.status == 0, said.err
    assert expire(campaign).status == 0
    assert in_files(campaign, "p2@x.example")
    assert not in_files(campaign, "p1@x.example")


def test_it_asks_first(campaign: SmallCampaign):
    campaign.change("petition.toml", "2 years", "1 day")
    child = campaign.on_terminal("forget", "--expired")
    status, said = child.end()
    assert status == 0  # nothing is as old
    assert "[y/N]" not in said
    answer = campaign.days_off(LATER, "forget", "--expired")
    assert answer.status == 2
    assert in_files(campaign, "p1@x.example")


def test_without_a_time_it_says_so(campaign: SmallCampaign):
    campaign.write("petition.toml", SETTINGS)
    assert "keep" in campaign.petition("forget", "--expired", "--yes", status=2).err
    campaign.petition("forget", "p1@x.example", "--expired", "--yes", status=2)
    campaign.petition("forget", "--yes", status=2)


@pytest.mark.parametrize("keep", ["two years", "0 days", "2", "101 years", ""])
def test_what_is_no_time_is_an_error(campaign: SmallCampaign, keep: str):
    campaign.change("petition.toml", "2 years", keep)
    assert "petition.toml:10: " in campaign.petition("check", status=1).out


def test_letters_of_a_rehearsal_go_too(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.write("petition.toml", KEEPS)
    campaign.petition("send", "open-letter", status=0)
    assert len(list((tmp_path / "outbox").rglob("*.eml"))) == 3
    assert expire(campaign).status == 0
    assert not list((tmp_path / "outbox").rglob("*.eml"))
