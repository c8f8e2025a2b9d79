"""A letter that an older petition froze with a statement that no letter can have any more."""

from pathlib import Path

import pytest

from petition.merge import fast_fill
from petition.merge.document import Frozen
from petition.merge.fill import captured_in
from petition.merge.freeze import without
from petition.outbox.log import Log
from petition.outbox.states import State
from petition.template import compile as compiling
from tests.acceptance.queued import queue
from tests.acceptance.small import SmallCampaign
from tests.unit.merge.letters import freeze_texts, text_of

FILTERED = "{% filter upper %}the water{% endfilter %}"
SUBJECT = "one {% filter lower %}DEMAND{% endfilter %}"


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCampaign:
    """One of its three copies is sent."""
    campaign = SmallCampaign.at(tmp_path)
    campaign.change("letters/open-letter.md", "the water", FILTERED)
    campaign.change("letters/open-letter.md", "one demand", SUBJECT)
    with monkeypatch.context() as older:
        older.setattr(compiling, "check_statements", lambda *_: True)
        older.setattr(fast_fill, "captures", lambda _: [])
        queue(campaign, p1=State.SENT)
    return campaign


def without_filters(campaign: SmallCampaign) -> None:
    campaign.change("letters/open-letter.md", FILTERED, "THE WATER")
    campaign.change("letters/open-letter.md", SUBJECT, "one demand")


def states(campaign: SmallCampaign) -> dict[str, int]:
    with Log(f"sqlite:///{campaign.root}/rehearsal.db") as log:
        return {str(state): count for state, count in log.counts("open-letter").by_state.items()}


def test_what_captures_output_is_found_in_a_frozen_letter(campaign: SmallCampaign):
    with Log(f"sqlite:///{campaign.root}/rehearsal.db") as log:
        newest = log.newest("open-letter")
    assert newest
    assert captured_in(Frozen.from_json(newest.document)) == "filter"


@pytest.mark.parametrize("revise", [(), ("--revise",)])
def test_send_says_what_waits_and_how_to_finish_it(campaign: SmallCampaign, revise: tuple[str]):
    campaign.list_people("p1", "p2", "p3", "p4")
    refused = campaign.petition("send", "open-letter", "--yes", *revise, status=1)
    said = " ".join(refused.err.split())
    assert "letters/open-letter.md:8: {% filter %}" in said
    assert "2 copies" in said
    assert "petition send open-letter --revise" in said
    assert states(campaign) == {"sent": 1, "queued": 2}


def test_it_is_finished_with_a_new_text(campaign: SmallCampaign):
    without_filters(campaign)
    campaign.petition("send", "open-letter", "--yes", "--revise", status=0)
    assert states(campaign) == {"sent": 3}
    assert len(list((campaign.root / "outbox/new").iterdir())) == 2


def test_a_letter_that_was_sent_is_followed_and_reported_on(campaign: SmallCampaign):
    without_filters(campaign)
    campaign.write(
        "letters/again.md",
        "---\nfollows: open-letter\nsubject: Again\n---\n{{ previous.subject }}\n",
    )
    shown = campaign.petition("preview", "again", "--to", "p1", status=0).out
    assert "P1: one demand" in shown
    campaign.petition("status", "open-letter", status=0)
    campaign.petition("report", status=0)


def test_a_signatory_of_it_can_be_forgotten(monkeypatch: pytest.MonkeyPatch):
    body = f"{{% set x %}}x{{% endset %}}{FILTERED} {{{{ x }}}}\n\n{{{{ signatories }}}}\n"
    with monkeypatch.context() as older:
        older.setattr(compiling, "check_statements", lambda *_: True)
        frozen = freeze_texts(text_of(body))
    left = without(frozen, "nobody@x.example", lambda one: one["name"] == "Hazel Thorn")
    assert left
    assert "Hazel" in frozen.to_json()
    assert "Hazel" not in left.to_json()
    assert captured_in(left) == captured_in(frozen) != ""
