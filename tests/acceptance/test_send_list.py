"""The life of a list: what is sent to whom when list, letter or server change between two runs."""

from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    return SmallCampaign.at(tmp_path).through(server.port)


def test_everybody_gets_it_once_and_a_second_send_says_so(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert dict(server.accepted) == {f"p{number}@x.example": 1 for number in (1, 2, 3)}
    again = campaign.petition("send", "open-letter", "--yes", status=0)
    assert "3 sent. Nothing was sent." in again.out
    assert server.accepted.total() == 3


def test_nothing_is_sent_that_nobody_confirmed(campaign: SmallCampaign, server: CountingServer):
    answer = campaign.petition("send", "open-letter", status=2)
    assert "nothing was sent" in answer.err
    assert server.commands.total() == 0
    assert campaign.petition("status", "open-letter", "--json").json["total"] == 0


def test_a_rehearsal_does_not_count_for_the_real_server(
    campaign: SmallCampaign, server: CountingServer
):
    rehearsal = SmallCampaign(campaign.root)
    answer = rehearsal.petition("send", "open-letter", status=0)
    assert "nobody received anything" in answer.out
    assert len(list((campaign.root / "outbox/new").iterdir())) == 3
    assert rehearsal.petition("status", "open-letter", "--json").json["sent"] == 3
    assert campaign.petition("status", "open-letter", "--json").json["sent"] == 0
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert server.accepted.total() == 3


def test_a_dry_run_leaves_everything_as_it_was(campaign: SmallCampaign, server: CountingServer):
    answer = campaign.petition("send", "open-letter", "--dry-run", status=0)
    assert "nothing was sent" in answer.out
    assert server.commands.total() == 0
    counts = campaign.petition("status", "open-letter", "--json").json
    assert (counts["total"], counts["revision"]) == (0, 0)


def test_a_person_added_corrected_and_removed(campaign: SmallCampaign, server: CountingServer):
    campaign.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
    assert campaign.states() == {"p1": "sent"}
    campaign.list_people("p1", "p2", "p4", p2="Hull")
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert campaign.states() == {"p1": "sent", "p2": "sent", "p4": "sent"}
    assert set(server.accepted) == {"p1@x.example", "p2@x.example", "p4@x.example"}


def test_one_who_is_removed_while_the_letter_waits_is_suppressed(
    campaign: SmallCampaign, server: CountingServer
):
    broken = SmallCampaign(campaign.root).through(1)  # nothing listens there
    broken.petition("send", "open-letter", "--yes", status=4)
    assert set(campaign.states().values()) == {"queued"}
    campaign.list_people("p1", "p3")
    answer = campaign.petition("send", "open-letter", "--yes", status=0)
    assert "1 who is no longer on the list" in answer.out
    assert campaign.states() == {"p1": "sent", "p2": "skipped", "p3": "sent"}
    assert "p2@x.example" not in server.accepted


def test_a_typo_mended_after_three_of_twelve(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path, people=12).through(server.port)
    campaign.petition("send", "open-letter", "--yes", "--limit", "3", status=0)
    campaign.change("letters/open-letter.md", "must be **clean**", "must be **pure**")
    refused = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "the text (en)" in refused.err
    assert "--revise" in refused.err
    assert server.accepted.total() == 3
    campaign.petition("send", "open-letter", "--yes", "--revise", status=0)
    assert set(server.accepted.values()) == {1}
    assert len(server.accepted) == 12
    counts = campaign.petition("status", "open-letter", "--json").json
    assert (counts["revision"], counts["total"], counts["sent"]) == (2, 12, 12)
    # The same command once more, as after a crash: there is no newer text.
    campaign.petition("send", "open-letter", "--yes", "--revise", status=0)
    assert server.accepted.total() == 12


def test_again_reaches_everyone_with_another_message_id(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    campaign.petition("send", "open-letter", "--yes", "--again", status=0)
    assert set(server.accepted.values()) == {2}
    assert all(len(ids) == 2 for ids in server.message_ids.values())
    assert campaign.petition("status", "open-letter", "--json").json["total"] == 3


def test_again_that_was_cut_short_goes_on_and_begins_nothing_new(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    SmallCampaign(campaign.root).through(1).petition(
        "send", "open-letter", "--yes", "--again", status=4
    )
    campaign.petition("send", "open-letter", "--yes", "--again", status=0)
    assert set(server.accepted.values()) == {2}


def test_a_renamed_letter_is_pointed_out(campaign: SmallCampaign, server: CountingServer):
    campaign.petition("send", "open-letter", "--yes", status=0)
    (campaign.root / "letters/open-letter.md").rename(campaign.root / "letters/appeal.md")
    answer = campaign.petition("send", "appeal", "--yes", status=2)
    assert 'sent as "open-letter"' in " ".join(answer.err.split())
    campaign.change("letters/appeal.md", "must be", "ought to be")
    campaign.petition("send", "appeal", "--yes", status=2)
    assert server.accepted.total() == 3


def test_a_changed_title_is_a_change_of_the_letter_and_not_of_the_campaign(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.change("petition.toml", 'id = "water"\n', "")
    campaign.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
    campaign.change("petition.toml", "Clean water for Leeds", "Pure water for Leeds")
    answer = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "title" in answer.err
    campaign.petition("send", "open-letter", "--yes", "--revise", status=0)
    assert set(server.accepted.values()) == {1}


def test_another_campaign_id_is_refused(campaign: SmallCampaign, server: CountingServer):
    campaign.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
    campaign.change("petition.toml", 'id = "water"', 'id = "rivers"')
    answer = campaign.petition("send", "open-letter", "--yes", status=2)
    assert 'queued as "water"' in " ".join(answer.err.split())
    assert server.accepted.total() == 1


def test_to_chooses_by_address_id_and_row_number(campaign: SmallCampaign, server: CountingServer):
    campaign.petition("send", "open-letter", "--yes", "--to", "p1@X.Example", "--to", "3", status=0)
    assert set(server.accepted) == {"p1@x.example", "p3@x.example"}
    answer = campaign.petition("send", "open-letter", "--yes", "--to", "nobody", status=2)
    assert "nobody" in answer.err
    assert server.accepted.total() == 2


def test_a_trial_goes_to_me_alone_and_leaves_no_trace(
    campaign: SmallCampaign, server: CountingServer
):
    answer = campaign.petition(
        "send", "open-letter", "--yes", "--to-me", "me@campaign.example", status=0
    )
    assert "me@campaign.example" in answer.out
    assert dict(server.accepted) == {"me@campaign.example": 1}
    counts = campaign.petition("status", "open-letter", "--json").json
    assert (counts["total"], counts["revision"]) == (0, 0)
    campaign.petition("send", "open-letter", "--yes", status=0)
    [trial_id] = server.message_ids["me@campaign.example"]
    assert trial_id not in set().union(*(server.message_ids[f"p{n}@x.example"] for n in (1, 2, 3)))


def test_what_a_preview_shows_is_what_is_sent(campaign: SmallCampaign):
    """P7, byte for byte, except Date."""
    rehearsal = SmallCampaign(campaign.root)
    before = rehearsal.petition("preview", "open-letter", "--to", "p2", "--as", "source").out
    rehearsal.petition("send", "open-letter", status=0)
    sent = {
        path.read_bytes().decode()
        for path in (campaign.root / "outbox/new").iterdir()
        if b"p2@x.example" in path.read_bytes()
    }

    def without_date(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("Date:")]

    assert [without_date(text) for text in sent] == [without_date(before)]
    after = rehearsal.petition("preview", "open-letter", "--to", "p2", "--as", "source").out
    assert [text.splitlines() for text in sent] == [after.splitlines()]


def test_the_log_has_the_hash_of_what_was_sent(campaign: SmallCampaign):
    import hashlib

    rehearsal = SmallCampaign(campaign.root)
    rehearsal.petition("send", "open-letter", status=0)
    rows = rehearsal.petition("status", "open-letter", "--state", "sent", "--json").json["copies"]
    kept = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (campaign.root / "outbox/new").iterdir()
    }
    assert {row["sha256"] for row in rows} == kept


def test_the_log_names_the_servers_reply_for_each_copy(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    events = campaign.petition("log", "--json").json["events"]
    sent = [event for event in events if event["to"] == "sent"]
    assert len(sent) == 3
    for event in sent:
        assert (event["reply_code"], event["enhanced_code"]) == (250, "2.0.0")
        assert event["reply"] == "Ok: queued"
        assert event["server"] == f"127.0.0.1:{server.port}"


def test_one_who_opts_out_between_two_letters_gets_no_second_one(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    campaign.petition("suppress", "p2@x.example", status=0)
    campaign.petition("send", "open-letter", "--yes", "--again", status=0)
    assert server.accepted == {"p1@x.example": 2, "p2@x.example": 1, "p3@x.example": 2}
