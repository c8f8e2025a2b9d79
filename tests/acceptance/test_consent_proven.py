"""Consent of single rows that can be shown, and the soft opt-in of the UK's charities."""

from pathlib import Path

import pytest

from tests.acceptance.bulk_campaign import bulk_campaign, kept
from tests.acceptance.small import SmallCampaign

ROWS = """\
email,name,updates,consent_date,consent_words,consent_source
ann@x.example,Ann,yes,2026-03-01,Send me news,the form of March
bob@x.example,Bob,yes,2025-12-31,Send me news,the form of March
cyd@x.example,Cyd,yes,01/03/2026,Send me news,the form of March
dan@x.example,Dan,yes,,Send me news,the form of March
eve@x.example,Eve,yes,2026-03-01,,the form of March
fay@x.example,Fay,,2026-03-01,Send me news,the form of March
gus@x.example,Gus,no,2026-03-01,Send me news,the form of March
hal@x.example,Hal,yes,2126-03-01,Send me news,the form of March
"""


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    campaign = bulk_campaign(tmp_path)
    campaign.write("supporters.csv", ROWS)
    return campaign


def declares(campaign: SmallCampaign, *lines: str) -> None:
    toml = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    table = ("[lists.supporters]", 'reason = "as our policy says"', *lines)
    campaign.write("petition.toml", "\n".join((toml, *table, "")))


def names(campaign: SmallCampaign) -> str:
    """Who got the letter."""
    return " ".join(sorted(one.partition("@")[0] for one in kept(campaign)))


def test_only_those_get_it_whose_consent_can_be_shown(campaign: SmallCampaign):
    declares(campaign, 'consent = "proven"')
    said = campaign.petition("send", "news", "--yes", status=0)
    assert names(campaign) == "ann bob"
    states = campaign.petition("log", "--json", status=0).json["events"]
    reasons = {
        one["email"].partition("@")[0]: one["reason"] for one in states if one["to"] == "skipped"
    }
    assert reasons.pop("gus") == "no consent"
    assert reasons == dict.fromkeys(("cyd", "dan", "eve", "fay", "hal"), "consent not proven")
    assert "supporters.csv:4: " in said.out + said.err


def test_the_log_keeps_the_proof_with_the_copy(campaign: SmallCampaign):
    campaign.write(
        "supporters.csv", "email,name,consent_date\nann@x.example,Ann,2026-03-01T10:00:00+00:00\n"
    )
    declares(campaign, 'consent = "proven"', 'words = "Send me news"', 'source = "form 7"')
    campaign.petition("send", "news", "--yes", status=0)
    held = campaign.petition("export", "ann@x.example", "--json", status=0).json
    fields = held["logs"][0]["copies"][0]["fields"]
    assert fields["consent_words"] == "Send me news"
    assert fields["consent_source"] == "form 7"
    assert fields["consent_date"].startswith("2026-03-01")


def test_a_list_that_cannot_prove_anything_is_refused(campaign: SmallCampaign):
    declares(campaign, 'consent = "proven"')
    campaign.write(
        "supporters.csv", "email,name,updates,consent_date\na@x.example,A,yes,2026-03-01\n"
    )
    answer = campaign.petition("send", "news", "--yes", status=1)
    assert "consent_words" in answer.out + answer.err
    assert not (campaign.root / "outbox").exists()


def test_the_soft_opt_in_covers_nobody_from_before_it_began(campaign: SmallCampaign):
    declares(campaign, 'consent = "soft opt-in"')
    said = campaign.petition("send", "news", "--yes", status=0)
    assert names(campaign) == "ann fay"  # fay has not refused; bob came earlier
    assert "soft opt-in" in said.out


def test_without_a_declaration_nothing_has_changed(campaign: SmallCampaign):
    campaign.petition("send", "news", "--yes", status=0)
    assert names(campaign) == "ann bob cyd dan eve hal"
