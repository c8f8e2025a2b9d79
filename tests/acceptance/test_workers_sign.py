"""A letter that [dkim] signs: each worker signs it with a key of its own, or does not send it."""

import subprocess
from pathlib import Path

import dkim
import pytest

from petition.credentials import Secret
from petition.outbox.states import State
from petition.smtp.dkim import public_record
from tests.acceptance.crew import SEND, campaign_on
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres


def new_key(path: Path) -> Path:
    words = ["genpkey", "-algorithm", "ed25519", "-out", str(path)]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    path.chmod(0o600)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    new_key(folder / "here.pem")
    new_key(folder / "other.pem")
    return folder


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.new_log()


def signing(folder: Path, url: str, port: int, key: Path) -> SmallCampaign:
    campaign = campaign_on(url, folder, port, 4)
    table = f'\n[dkim]\ndomain = "campaign.example"\nselector = "s1"\nkey_file = "{key}"\n'
    campaign.change("petition.toml", 'id = "water"\n', f'id = "water"\n{table}')
    return campaign.trust()


def test_workers_sign_with_their_own_key(tmp_path: Path, url: str, keys: Path):
    key = keys / "here.pem"
    text = key.read_text()
    with counting_server() as server:
        campaign = signing(tmp_path, url, server.port, key)
        said = campaign.petition(*SEND, "--limit", "2", status=0).out
        assert "PETITION_DKIM_KEY" in said
        away = SmallCampaign(tmp_path, campaign.env)
        away.petition("worker", "--once", "--dkim-key", str(key), status=0)
        campaign.petition(*SEND, status=0)
        key.rename(keys / "gone.pem")
        away = SmallCampaign(tmp_path, campaign.env | {"PETITION_DKIM_KEY": text})
        away.petition("worker", "--once", status=0)
    assert len(server.last) == 4
    zone = {b"s1._domainkey.campaign.example.": public_record(Secret(text)).encode()}
    for data in server.last.values():
        assert dkim.verify(data, dnsfunc=lambda name, timeout=5: zone.get(name))


def test_a_worker_without_the_key_sends_nothing(tmp_path: Path, url: str, keys: Path):
    with counting_server() as server:
        campaign = signing(tmp_path, url, server.port, keys / "here.pem")
        campaign.petition(*SEND, status=0)
        away = SmallCampaign(tmp_path, campaign.env)
        without = away.petition("worker", status=1).err
        other = away.petition("worker", "--dkim-key", str(keys / "other.pem"), status=1).err
        (keys / "here.pem").chmod(0o644)
        open_to_all = away.petition("worker", "--dkim-key", str(keys / "here.pem"), status=1).err
        assert server.accepted.total() == 0
    assert "campaign.example" in without
    assert "campaign.example" in other
    assert without != other
    assert "here.pem" in open_to_all
    assert set(campaign.states().values()) == {State.QUEUED}


def test_no_key_here_stops_it_before_anything_is_queued(tmp_path: Path, url: str, keys: Path):
    campaign = signing(tmp_path, url, 9, keys / "here.pem")
    campaign.change("petition.toml", f'key_file = "{keys}/here.pem"', 'key_command = "false"')
    campaign.trust()
    assert "key_command ended" in campaign.petition(*SEND, status=1).err
    assert campaign.petition("status", "open-letter", "--json").json["total"] == 0
