"""What the commands say of themselves and before they ask."""

import pytest

from petition.cli.commands import COMMANDS
from tests.acceptance.small import SmallCampaign


@pytest.mark.parametrize("command", COMMANDS)
def test_the_usage_names_what_to_write(campaign: SmallCampaign, command: str):
    usage = campaign.petition(command, "--help", status=0).out.partition("\n\n")[0]
    assert "{" not in usage


def test_a_letter_is_confirmed_by_what_a_person_reads_of_it(campaign: SmallCampaign):
    cc = 'cc: ["Анна Иванова <anna@x.example>"]\nreply_by:'
    campaign.change("letters/open-letter.md", "reply_by:", cc)
    lines = campaign.petition("send", "open-letter", "--dry-run", status=0).out.splitlines()
    assert [line.partition(":")[0] for line in lines[: lines.index("")]] == [
        "From",
        "To",
        "Cc",
        "Subject",
    ]
    assert "Cc: Анна Иванова <anna@x.example>" in lines


def test_a_name_in_cc_arrives(campaign: SmallCampaign):
    cc = "cc: ['Анна Иванова <anna@x.example>', '\"Reed, Ann\" <ann@x.example>']\nreply_by:"
    campaign.change("letters/open-letter.md", "reply_by:", cc)
    campaign.petition("send", "open-letter", "--limit", "1", status=0)
    (kept,) = (campaign.root / "outbox" / "new").iterdir()
    import email
    import email.policy

    message = email.message_from_bytes(kept.read_bytes(), policy=email.policy.default)
    found = [(one.display_name, one.addr_spec) for one in message["Cc"].addresses]
    assert found == [("Анна Иванова", "anna@x.example"), ("Reed, Ann", "ann@x.example")]


def test_a_rehearsal_names_the_outbox_when_there_is_one(campaign: SmallCampaign):
    assert "outbox" not in campaign.petition("check", status=0).out
    campaign.petition("send", "open-letter", status=0)
    assert "nobody received anything (see ./outbox)." in campaign.petition("check", status=0).out
