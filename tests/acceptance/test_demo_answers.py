"""The whole story on the example campaign, as `make demo-answers` plays it."""

import email
import email.policy
import re
import shlex
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.acceptance.demo import made
from tests.acceptance.small import SmallCampaign
from tests.forkserver import put_program

ROOT = Path(__file__).parents[2]
STALL = "Nobody is here at the moment, but they know about your letter."


@pytest.fixture
def played(tmp_path: Path) -> tuple[SmallCampaign, str]:
    """The campaign after the story, and what was said on the way."""
    campaign = SmallCampaign(tmp_path / "demo")
    (tmp_path / "bin").mkdir()
    programs = put_program(tmp_path / "bin", campaign.environment)
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return campaign, made("demo-answers", campaign, programs)


def letters(campaign: SmallCampaign) -> dict[str, list[EmailMessage]]:
    """What everybody got, the letter and then what follows it."""
    found: dict[str, list[EmailMessage]] = {}
    for path in (campaign.root / "outbox" / "new").iterdir():
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        found.setdefault(letter["To"].addresses[0].username, []).append(letter)
    for sent in found.values():
        sent.sort(key=lambda letter: letter["In-Reply-To"] is not None)
    return found


def test_the_follow_up_goes_to_the_right_people_in_the_right_threads_and_the_report_shows_it(
    played: tuple[SmallCampaign, str],
):
    campaign, said = played
    assert "3 new mails about your letters: 1 auto-reply, 1 bounce, 1 answer" in said
    found = letters(campaign)
    # Who offers to meet and who was not reached get no follow-up; all others do, in their thread.
    assert {who for who, sent in found.items() if len(sent) == 1} == {
        "joerg.weissenfels",
        "siobhan.odowd",
    }
    followed = [sent for sent in found.values() if len(sent) == 2]
    assert len(followed) == 10
    for first, second in followed:
        assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
        assert second["Subject"] == f"Re: {first['Subject']}"
    kim = found["vladimir.kim"][1].get_body(("plain",))
    assert kim is not None
    assert STALL in " ".join(kim.get_content().split())
    people = campaign.petition("status", "open-letter", "--answers", "--json").json["people"]
    assert {one["id"]: one["answer"] for one in people if one["answer"] != "none"} == {
        "kim": "stalled", "hartwell": "acknowledged", "weissenfels": "meeting",
    }  # fmt: skip
    page = (campaign.root / "report.html").read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "sent 21 not delivered 1 answered 1 unanswered 10 overdue 0 times stalled 1" in text
    assert STALL in text
    assert "Jörg Weißenfels Senior Independent Director meeting" in text
    site = [path.read_text(encoding="utf-8") for path in (campaign.root / "site").rglob("*.html")]
    assert len(site) == 12
    for private in ("Vladimir Kim", "Daniyar Abenov", "@kaz-minerals.example"):
        assert private not in "".join(site)
    front = (campaign.root / "site" / "index.html").read_text(encoding="utf-8")
    assert STALL in front
    assert "Chairman" in front
