"""Whoever withdraws is named in nothing that is not sent yet, and not counted in it."""

import email
import email.policy
import re
from pathlib import Path

import pytest

from petition.merge.document import Frozen
from petition.outbox.signatures import Review
from tests import PATIENCE
from tests.acceptance.queued import queue
from tests.acceptance.signing import hide_name, log_of, sign, taking_signatures, withdraw
from tests.acceptance.small import SmallCampaign, held
from tests.servers.counting import CountingServer, counting_server

ANN = "Ann Reed,individual,ann@x.example,yes\n"
BEA = "Bea Shy,individual,bea@x.example,no\n"
RIVER = "River Friends,organisation,river@x.example,yes\n"
OF_THAT_DAY = (
    "name,kind,email,publish,signed_on\nAnn Reed,individual,ann@x.example,yes,2015-09-01\n"
)
FOLLOW_UP = """\
---
follows: open-letter
subject: "{{ recipient.name }}: one more"
---
Dear {{ recipient.name }}, {{ signatories.new | length }} more have signed:

{{ signatories.new }}
"""
WITHDREW = "signatories.csv:3: warning: this signatory withdrew on"


@pytest.fixture
def small(tmp_path: Path) -> SmallCampaign:
    return taking_signatures(SmallCampaign.at(tmp_path, people=6))


@pytest.fixture
def campaign(small: SmallCampaign, server: CountingServer) -> SmallCampaign:
    campaign = small.through(server.port)
    campaign.env["PETITION_SMTP_CONNECTIONS"] = "1"
    return campaign


def text_to(server: CountingServer, who: str) -> str:
    mail = email.message_from_bytes(server.last[f"{who}@x.example"], policy=email.policy.default)
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def with_grace(campaign: SmallCampaign) -> None:
    text = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    campaign.write("petition.toml", f'{text}\n[pace]\ngrace = "1 s"\n')


def test_a_letter_is_made_without_whoever_has_withdrawn(small: SmallCampaign):
    sign(small, "ANN@x.example", "Ann Reed")
    withdraw(small, "ann@x.example")
    assert WITHDREW in small.petition("check", status=0).out
    shown = small.petition("preview", "open-letter", status=0).out
    assert "Ann Reed" not in shown
    assert "2 signed" in shown
    said = small.petition("send", "open-letter", status=0)
    assert WITHDREW in said.out
    site = small.petition("publish", "site", "--rehearsal", status=0)
    assert WITHDREW in site.err
    pages = [path.read_text(encoding="utf-8") for path in (small.root / "site").rglob("*.html")]
    assert any("River Friends" in page for page in pages)
    assert not any("Ann Reed" in page for page in pages)


def test_a_copy_that_waits_goes_without_the_name(campaign: SmallCampaign, server: CountingServer):
    sign(campaign, "ann@x.example", "Ann Reed")
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    withdraw(campaign, "ann@x.example")
    said = campaign.petition("send", "open-letter", "--yes", status=0)
    assert "name that was taken back" in said.out
    assert "Ann Reed" in text_to(server, "p1")
    assert "3 signed" in text_to(server, "p1")
    assert "Ann Reed" not in text_to(server, "p6")
    assert "2 signed" in text_to(server, "p6")
    assert server.accepted.total() == 6
    # The row can be deleted, and nothing has changed by that.
    campaign.change("signatories.csv", ANN, "")
    campaign.list_people(*(f"p{number}" for number in range(1, 8)))
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert "2 signed" in text_to(server, "p7")
    campaign.petition("evidence", "pack.zip", status=0)
    campaign.petition("evidence", "--verify", "pack.zip", status=0)


def test_who_was_only_counted_is_not_counted_any_more(
    campaign: SmallCampaign, server: CountingServer
):
    sign(campaign, "bea@x.example", "Bea Shy", publish=False)
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    withdraw(campaign, "bea@x.example")
    for limit in ("1", "6"):
        said = campaign.petition("send", "open-letter", "--yes", "--limit", limit, status=0)
        assert re.search(r"^changed +leaves out", said.out, re.MULTILINE)
    assert "3 signed" in text_to(server, "p1")
    assert "2 signed" in text_to(server, "p6")


def test_a_row_that_nobody_took_back_still_needs_a_word(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    campaign.change("signatories.csv", ANN, "")
    refused = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "has changed" in refused.err


@pytest.mark.parametrize(
    ("who", "deleted"), [("ann", RIVER), ("ann", BEA), ("cy", ANN), ("cy", BEA)]
)
def test_a_row_that_was_deleted_is_told_from_those_of_who_withdrew(
    campaign: SmallCampaign, who: str, deleted: str
):
    sign(campaign, "ann@x.example", "Ann Reed")
    sign(campaign, "cy@x.example", "Cy Ro", publish=False)  # not in the file
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    withdraw(campaign, f"{who}@x.example")
    campaign.change("signatories.csv", deleted, "")
    refused = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "has changed" in refused.err
    assert "has changed" in campaign.petition("check", "open-letter", status=2).out


def test_who_was_only_counted_can_be_deleted_after_withdrawing_and_nobody_else(
    campaign: SmallCampaign, server: CountingServer
):
    another = "Cy Shy,individual,cy@x.example,no\n"
    campaign.change("signatories.csv", BEA, BEA + another)
    sign(campaign, "bea@x.example", "Bea Shy", publish=False, review=Review.APPROVED)
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    withdraw(campaign, "bea@x.example")
    campaign.change("signatories.csv", BEA, "")
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    assert "4 signed" in text_to(server, "p1")
    assert "3 signed" in text_to(server, "p3")
    # What is frozen by now is without Bea, who is no reason for another one to be missing.
    campaign.change("signatories.csv", another, "")
    refused = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "1 fewer unnamed" in refused.err


def test_who_was_approved_after_the_letter_was_frozen_is_not_who_is_missing_in_it(
    campaign: SmallCampaign,
):
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    sign(campaign, "cy@x.example", "Cy Ro", publish=False, review=Review.APPROVED)
    withdraw(campaign, "cy@x.example")
    campaign.change("signatories.csv", BEA, "")
    refused = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "1 fewer unnamed" in refused.err


def test_a_name_that_the_file_spells_otherwise_is_left_out_too(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.change("signatories.csv", "Ann Reed", "Dr Ann B. Reed")
    sign(campaign, "ann@x.example", "Ann Reed")
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    withdraw(campaign, "ann@x.example")
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert "Ann B. Reed" in text_to(server, "p1")
    assert "Reed" not in text_to(server, "p6")
    assert "2 signed" in text_to(server, "p6")


def test_who_did_not_want_to_be_named_and_then_withdrew_is_not_counted(
    campaign: SmallCampaign, server: CountingServer
):
    sign(campaign, "ann@x.example", "Ann Reed")
    hide_name(campaign, "ann@x.example")
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    withdraw(campaign, "ann@x.example")
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert "3 signed" in text_to(server, "p1")
    assert "2 signed" in text_to(server, "p6")


def test_who_withdraws_while_a_confirmed_send_waits_does_not_stop_it(
    campaign: SmallCampaign, server: CountingServer
):
    sign(campaign, "ann@x.example", "Ann Reed")
    with_grace(campaign)
    with held(campaign) as child:
        withdraw(campaign, "ann@x.example")
        campaign.change("signatories.csv", ANN, "")
    status, said = child.end()
    assert status == 0, said
    assert "who signed has withdrawn" in said.replace("\n", " ")
    assert "Ann Reed" not in text_to(server, "p1")
    assert "2 signed" in text_to(server, "p1")


def test_a_row_that_is_deleted_while_a_confirmed_send_waits_stops_it_whoever_withdraws(
    campaign: SmallCampaign, server: CountingServer
):
    sign(campaign, "cy@x.example", "Cy Ro")  # not in the file
    with_grace(campaign)
    with held(campaign) as child:
        withdraw(campaign, "cy@x.example")
        campaign.change("signatories.csv", ANN, "")
    status, said = child.end()
    assert status == 2, said
    assert "1 taken out" in said
    assert not server.accepted


def test_who_does_not_want_to_be_named_any_more_is_only_counted(
    campaign: SmallCampaign, server: CountingServer
):
    sign(campaign, "ann@x.example", "Ann Reed")
    campaign.petition("send", "open-letter", "--limit", "2", "--yes")
    hide_name(campaign, "ann@x.example")
    said = campaign.petition("send", "open-letter", "--yes", status=0)
    assert "signatories.csv:3: warning: this signatory does not want to be named" in said.out
    assert "Ann Reed" not in text_to(server, "p6")
    assert "3 signed" in text_to(server, "p6")


@pytest.mark.parametrize("publish", ["yes", "no"])
def test_who_was_new_in_a_follow_up_and_does_not_want_to_be_named_any_more(
    campaign: SmallCampaign, server: CountingServer, publish: str
):
    campaign.write("signatories.csv", OF_THAT_DAY)
    campaign.petition("send", "open-letter", "--yes", status=0)
    with log_of(campaign) as log:
        newest = log.newest("open-letter")
        assert newest
        today = Frozen.from_json(newest.document).today
    new = "Cy Ro,individual,cy@x.example,yes"
    campaign.write("signatories.csv", f"{OF_THAT_DAY}{new},{today}\nDi Fu{new[5:]},{today}\n")
    campaign.change("signatories.csv", "Di Fu,individual,cy@", "Di Fu,individual,di@")
    campaign.write("letters/second.md", FOLLOW_UP)
    sign(campaign, "cy@x.example", "Cy Ro")
    campaign.petition("send", "second", "--yes", "--limit", "2", status=0)
    assert "Cy Ro" in text_to(server, "p1")
    hide_name(campaign, "cy@x.example")
    campaign.change("signatories.csv", new, new.replace("yes", publish))  # or as `check` says
    campaign.petition("send", "second", "--yes", status=0)
    assert "Cy Ro" not in text_to(server, "p6")
    assert "Di Fu" in text_to(server, "p6")


def test_a_hidden_signature_counts_while_it_is_in_the_file(small: SmallCampaign):
    sign(small, "ann@x.example", "Ann Reed", review=Review.HIDDEN)
    assert "signatories.csv:3: warning: this signature is hidden" in small.petition("check").out
    assert "Ann Reed" in small.petition("preview", "open-letter", status=0).out


def test_a_hidden_signature_can_be_withdrawn(small: SmallCampaign):
    sign(small, "ann@x.example", "Ann Reed", review=Review.HIDDEN)
    queue(small)
    withdraw(small, "ann@x.example")
    assert "Ann Reed" not in frozen_text(small)


def test_the_name_stays_for_another_signature_that_counts(small: SmallCampaign):
    sign(small, "ann@x.example", "Ann Reed", review=Review.APPROVED)
    sign(small, "ann@y.example", "Ann  REED")
    queue(small)
    small.petition("signatures", "--merge", "2", "1", status=0)
    withdraw(small, "ann@y.example")
    assert "Ann Reed" in frozen_text(small)
    withdraw(small, "ann@x.example")
    assert "Ann Reed" not in frozen_text(small)


def frozen_text(campaign: SmallCampaign) -> str:
    """The letter as the log has it."""
    with log_of(campaign) as log:
        newest = log.newest("open-letter")
        assert newest
        return newest.document


def test_a_run_goes_on_without_who_withdraws_meanwhile(tmp_path: Path):
    campaign = taking_signatures(SmallCampaign.at(tmp_path, people=60))
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.env["PETITION_SMTP_CONNECTIONS"] = "1"
        text = (tmp_path / "petition.toml").read_text(encoding="utf-8")
        campaign.write("petition.toml", f'{text}\n[pace]\nrate = "20/s"\n')
        server.hold_after = 3
        sign(campaign, "ann@x.example", "Ann Reed")
        sending = campaign.begin("send", "open-letter", "--yes")
        server.wait_for(3)
        withdraw(campaign, "ann@x.example")
        server.hold_after = None
        _, said = sending.communicate(timeout=PATIENCE)
        assert sending.returncode == 0, said
    assert server.accepted.total() == 60
    assert "Ann Reed" in text_to(server, "p1")
    assert "Ann Reed" not in text_to(server, "p60")
    assert "2 signed" in text_to(server, "p60")
    assert set(server.accepted.values()) == {1}
