"""A list that was exported again with other capitals, and a log that others made."""

import re
import sqlite3
from pathlib import Path

from tests.acceptance.bulk_campaign import bulk_campaign, kept
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.unit.outbox.kept import keep


def exported_again(campaign: SmallCampaign, name: str) -> None:
    path = campaign.root / name
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"[^,\s]+@", lambda found: found[0].title(), text), encoding="utf-8")


def message_id(source: str) -> str:
    found = re.search(r"^Message-ID: (.*?)\r?$", source, re.MULTILINE)
    assert found
    return found[1]


def test_whoever_has_the_letter_does_not_get_it_again(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.petition("send", "open-letter", status=0)
    exported_again(campaign, "recipients.csv")
    assert "P1@x.example" in (tmp_path / "recipients.csv").read_text()
    assert "Nothing was sent" in campaign.petition("send", "open-letter", status=0).out
    assert len(list((tmp_path / "outbox/new").iterdir())) == 3


def test_a_whole_bulk_letter_does_not_go_twice(tmp_path: Path):
    campaign = bulk_campaign(tmp_path)
    campaign.petition("send", "news", status=0)
    had = set(kept(campaign))
    counts = campaign.petition("status", "news", "--json", status=0).json
    exported_again(campaign, "supporters.csv")
    campaign.petition("send", "news", status=0)
    assert set(kept(campaign)) == had
    after = campaign.petition("status", "news", "--json", status=0).json
    assert after == counts


def test_two_spellings_in_a_list_to_directors_stop_it(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    with (tmp_path / "recipients.csv").open("a") as file:
        file.write("p9,P1@X.example,Somebody,\n")
    checked = campaign.petition("check", "--json", status=1).json["problems"]
    lines = [one["line"] for one in checked if one["level"] == "error"]
    assert lines == [2, 5]
    campaign.petition("send", "open-letter", status=1)
    assert not (tmp_path / "outbox").exists()


def test_a_letter_that_waits_keeps_its_message_id_and_goes_as_it_is_written(tmp_path: Path):
    nowhere = SmallCampaign.at(tmp_path).through(1)
    nowhere.petition("send", "open-letter", "--yes", status=4)
    rows = nowhere.petition("status", "open-letter", "--csv").out
    assert rows.count(",queued,") == 3
    show = ("preview", "open-letter", "--to", "p2", "--as", "source")
    before = message_id(nowhere.petition(*show).out)
    exported_again(nowhere, "recipients.csv")
    assert message_id(nowhere.petition(*show).out) == before
    with counting_server() as server:
        nowhere.through(server.port).petition("send", "open-letter", "--yes", status=0)
    assert server.message_ids["P2@x.example"] == {before}
    assert set(server.accepted) == {"P1@x.example", "P2@x.example", "P3@x.example"}


def test_a_log_of_an_older_version_is_upgraded_with_a_word(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    keep(f"sqlite:///{tmp_path}/rehearsal.db")
    told = campaign.petition("preview", "open-letter", status=1)  # it only looks
    assert "older version of petition" in told.err
    told = campaign.petition("retry", "open-letter", "--json", status=0)
    assert "from schema 8 to" in told.err
    assert str(tmp_path / "rehearsal.schema-8.db") in told.err
    assert told.json["moved"] == []
    assert campaign.petition("status", "--json", status=0).err == ""


def test_a_log_of_a_newer_version_is_left_alone(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.petition("send", "open-letter", status=0)
    with sqlite3.connect(tmp_path / "rehearsal.db") as other:
        other.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    other.close()
    for command in (("status",), ("send", "open-letter"), ("log",)):
        told = campaign.petition(*command, status=1)
        assert "newer version of petition" in told.err


def test_a_log_that_came_with_a_trigger_sends_nothing(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.petition("send", "open-letter", "--limit", "1", status=0)
    with sqlite3.connect(tmp_path / "rehearsal.db") as stranger:
        stranger.execute(
            "CREATE TRIGGER divert AFTER INSERT ON copy BEGIN"
            " UPDATE copy SET mailbox = 'thief@evil.example' WHERE id = new.id; END"
        )
    stranger.close()
    told = campaign.petition("send", "open-letter", status=1)
    assert "trigger divert" in told.err
    assert len(list((tmp_path / "outbox/new").iterdir())) == 1


def test_a_row_whose_address_was_changed_stops_the_run(tmp_path: Path):
    nowhere = SmallCampaign.at(tmp_path).through(1)
    nowhere.petition("send", "open-letter", "--yes", status=4)
    with sqlite3.connect(tmp_path / "petition.db") as stranger:
        stranger.execute("UPDATE copy SET binding = x'00' WHERE row_id = 'p2'")
    stranger.close()
    with counting_server() as server:
        told = nowhere.through(server.port).petition("send", "open-letter", "--yes", status=3)
    assert "p2@x.example is not the address that petition queued" in told.err
    assert not server.accepted
