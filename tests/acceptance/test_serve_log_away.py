"""petition serve outlives its log: a database that is restarted, a log that is moved away."""

from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.endpoint import give_token, running_endpoint
from tests.servers.postgres import Postgres, running_postgres


def click(base: str, token: str) -> int:
    parts = urlsplit(base)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    body, form = "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"
    connection.request("POST", f"/u/{token}", body, {"Content-Type": form})
    status = connection.getresponse().status
    connection.close()
    return status


def sent(folder: Path) -> SmallCampaign:
    with counting_server() as server:
        campaign = SmallCampaign.at(folder, 2).through(server.port)
        campaign.petition("send", "open-letter", "--yes", status=0)
    return campaign


def test_a_restart_of_postgresql_is_survived(tmp_path: Path):
    campaign = sent(tmp_path)
    token = give_token(tmp_path, "p1@x.example")
    with running_postgres() as postgres:
        there = postgres.new_log()
        campaign.petition("migrate", there, status=0)
        campaign.env["PETITION_DATABASE"] = there
        with running_endpoint(campaign) as (base, _):
            postgres.stop()
            assert click(base, token) == 202  # it is kept
            postgres.start()
        assert "p1@x.example" in campaign.petition("suppress", status=0).out


def test_a_click_is_not_written_into_a_log_that_was_moved(tmp_path: Path, postgres: Postgres):
    campaign = sent(tmp_path)
    token = give_token(tmp_path, "p1@x.example")
    with running_endpoint(campaign) as (base, said):
        there = postgres.new_log()
        campaign.petition("migrate", there, status=0)
        assert click(base, token) == 202
    assert "petition.db.clicks" in said[-1] + said[-2]
    campaign.env["PETITION_DATABASE"] = there
    with running_endpoint(campaign) as (base, _):
        assert click(base, "0" * 32) == 404
    assert "p1@x.example" in campaign.petition("suppress", status=0).out
