"""send --to-me: one copy to oneself, to the server a letter like any other, to nobody else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.counting import counting_server

TO_ME = ("send", "open-letter", "--yes", "--to-me", "me@campaign.example")


def test_what_is_shown_is_the_trial_and_not_the_copy_of_the_recipient(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path).through(server.port)
        out = campaign.petition(*TO_ME, status=0).out
    assert "To: me@campaign.example" in out
    assert "p1@x.example" not in out.partition("\n\n")[0]
    assert "250 2.0.0 Ok: queued." in out


@pytest.mark.parametrize("address", ["me", "", "me@", "a b@x.example"])
def test_what_is_no_address_is_wrong_usage(tmp_path: Path, address: str):
    answer = SmallCampaign.at(tmp_path).petition(
        "send", "open-letter", "--to-me", address, status=2
    )
    assert "--to-me" in answer.err


def test_a_trial_counts_against_the_cap_and_is_kept_back_by_it(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path).through(server.port)
        campaign.write("petition.toml", SETTINGS + "\n[pace]\nper_day = 1\n")
        campaign.petition(*TO_ME, status=0)
        answer = campaign.petition(*TO_ME, status=3)
        assert "daily cap" in answer.out
        assert server.accepted.total() == 1


def test_a_trial_keeps_the_hours_of_sending(tmp_path: Path):
    hours = "12:00-12:01" if datetime.now(UTC).hour in {23, 0} else "00:00-00:01"
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path).through(server.port)
        campaign.write("petition.toml", SETTINGS + f'\n[pace]\nbetween = "{hours}"\n')
        answer = campaign.petition(*TO_ME, status=3)
        assert "sending hours" in answer.out.lower()
        assert server.accepted.total() == 0
