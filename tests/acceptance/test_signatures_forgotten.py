"""What is kept of who signs: shown, erased, moved, counted."""

import json
import sqlite3
import zipfile
from pathlib import Path

import pytest

from petition.outbox import signatures
from petition.outbox.log import Log
from petition.outbox.signatures import Review
from tests.acceptance.signing import WORDS, log_of, sign, taking_signatures, withdraw
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres

ADDRESS = "Eva.Szabo@x.example"
NAME = "Éva Szabó-Reed"


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    campaign = taking_signatures(SmallCampaign.at(tmp_path))
    campaign.petition("send", "open-letter", status=0)
    sign(campaign, ADDRESS, NAME, role="nurse", review=Review.APPROVED)
    sign(campaign, "bea@y.example", "Bea Ray")
    return campaign


def test_an_export_shows_what_was_agreed_to(campaign: SmallCampaign):
    held = campaign.petition("export", ADDRESS.lower(), "--json", status=0).json["logs"][0]
    assert [one["name"] for one in held["signatures"]] == [NAME]
    steps = held["signature_steps"]
    assert [one["what"] for one in steps] == ["signed", "confirmed", "approved"]
    assert {one["text"] for one in steps} == {WORDS.text}
    assert "signed open-letter: confirmed" in campaign.petition("export", ADDRESS, status=0).out


def test_nothing_of_a_signature_is_left_of_who_is_forgotten(campaign: SmallCampaign):
    told = campaign.petition("forget", ADDRESS, "--yes", "--json", status=0).json
    assert [one["erased"]["signatures"] for one in told["logs"]] == [1]
    for path in campaign.root.glob("rehearsal.db*"):
        data = path.read_bytes().lower()
        assert NAME.lower().encode() not in data
        assert ADDRESS.lower().encode() not in data
    with log_of(campaign) as log:
        assert [one.mailbox for one in signatures.signatures(log)] == ["bea@y.example"]


@pytest.mark.parametrize("others", ["", "ann@x.example"])
@pytest.mark.parametrize("own", ["", "Ann Reed,individual,eve@y.example,yes\n"])
def test_the_name_of_another_signatory_stays_in_the_letter(tmp_path: Path, others: str, own: str):
    campaign = taking_signatures(SmallCampaign.at(tmp_path))
    row = f"Ann Reed,individual,{others},yes\n"
    campaign.write("signatories.csv", f"name,kind,email,publish\n{row}{own}")
    campaign.petition("send", "open-letter", status=0)
    sign(campaign, "eve@y.example", "ANN Reed")
    campaign.petition("forget", "eve@y.example", "--yes", status=0)
    with log_of(campaign) as log:
        newest = log.newest("open-letter")
        assert newest
        assert "Ann Reed" in newest.document
        assert not signatures.signatures_of(log, "eve@y.example")


def test_what_nobody_touched_for_long_is_erased_but_a_withdrawal_stays(campaign: SmallCampaign):
    withdraw(campaign, "bea@y.example")
    text = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    campaign.write("petition.toml", f'{text}\n[privacy]\nkeep = "2 years"\n')
    old = "2020-01-01T00:00:00.000000Z"
    with sqlite3.connect(campaign.root / "rehearsal.db") as connection:
        connection.execute("UPDATE signature SET updated_at = ?", (old,))
    connection.close()
    told = campaign.petition("forget", "--expired", "--yes", "--json", status=0).json
    assert [one["signatures"] for one in told["logs"]] == [1]
    with log_of(campaign) as log:
        assert set(signatures.who_left(log).withdrew) == {"bea@y.example"}


def test_an_evidence_pack_counts_and_names_nobody(campaign: SmallCampaign):
    campaign.petition("evidence", "pack.zip", "--rehearsal", status=0)
    with zipfile.ZipFile(campaign.root / "pack.zip") as pack:
        lines = pack.read("signatures.jsonl").decode().splitlines()
        everything = b"".join(map(pack.read, pack.namelist()))
    assert [tuple(json.loads(one).values()) for one in lines] == [
        ("confirmed", "approved", 1),
        ("confirmed", "waiting", 1),
    ]
    assert ADDRESS.lower().encode() not in everything.lower()


def test_status_tells_how_many_signed(campaign: SmallCampaign):
    assert "Signatures: 1 to approve, 1 count" in campaign.petition("status", status=0).out


def test_signatures_move_with_the_log_both_ways(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = taking_signatures(SmallCampaign.at(tmp_path)).through(server.port)
        campaign.petition("send", "open-letter", "--yes", status=0)
    sign(campaign, ADDRESS, NAME, review=Review.APPROVED)
    sign(campaign, "bea@y.example", "Bea Ray")
    withdraw(campaign, "bea@y.example")

    def everything(url: str) -> list[object]:
        with Log(url) as log:
            found = list(signatures.signatures(log))
            tokens = [signatures.token_of(log, one) for one in found]
            assert [signatures.find(log, one) for one in tokens] == found
            return [found, tokens, [signatures.events(log, one.id) for one in found]]

    here, there = f"sqlite:///{tmp_path}/petition.db", postgres.new_log()
    before = everything(here)
    campaign.petition("migrate", there, status=0)
    assert everything(there) == before
    campaign.env["PETITION_DATABASE"] = there
    campaign.petition("migrate", here, status=0)
    assert everything(here) == before
    sign_again = SmallCampaign(tmp_path, {"PETITION_SMTP_HOST": "127.0.0.1"})
    assert sign(sign_again, "cid@y.example", "Cid").id > max(one.id for one in before[0])
