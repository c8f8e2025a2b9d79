"""A letter that brings itself as a PDF, through the real program into the sandbox."""

import email
import email.policy
import io
import re
import stat
from pathlib import Path

import pytest
from pypdf import PdfReader

from tests.acceptance.small import SmallCampaign


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path)
    campaign.change(
        "letters/open-letter.md", "reply_by: 14", 'attachments: ["letter.pdf"]\nreply_by: 14'
    )
    return campaign


def arrived(campaign: SmallCampaign) -> dict[str, bytes]:
    found = {}
    for file in (campaign.root / "outbox" / "new").iterdir():
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        (part,) = message.iter_attachments()
        found[message["To"].addresses[0].username] = part.get_payload(decode=True)
    return found


def test_everybody_gets_the_document_that_preview_saves(campaign):
    campaign.petition("check", status=0)
    campaign.petition("preview", "--to", "p2", "--pdf", "p2.pdf", status=0)
    campaign.petition("send", "open-letter", status=0)
    found = arrived(campaign)
    assert sorted(found) == ["p1", "p2", "p3"]
    assert found["p2"] == (campaign.root / "p2.pdf").read_bytes()
    for name, pdf in found.items():
        page = PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
        assert f"Dear {name.upper()}," in page
        assert "Clean the river" in page


def test_a_saved_document_is_private_and_overwrites_nothing(campaign):
    campaign.petition("preview", "--pdf", "one.pdf", status=0)
    saved = campaign.root / "one.pdf"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    before = saved.read_bytes()
    answer = campaign.petition("preview", "--to", "p2", "--pdf", "one.pdf", status=2)
    assert "one.pdf would be overwritten" in answer.err
    assert saved.read_bytes() == before


def test_a_document_that_cannot_be_written_is_told(campaign):
    answer = campaign.petition("preview", "--pdf", "nowhere/one.pdf", status=1)
    assert "nowhere/one.pdf" in answer.err
    assert "Traceback" not in answer.err


def test_a_letter_shape_that_is_missing_stops_the_letter_at_check(campaign):
    campaign.list_people("p1", "p2")
    people = (campaign.root / "recipients.csv").read_text("utf-8")
    (campaign.root / "recipients.csv").write_text(people.replace("P2", "王"), "utf-8")
    answer = campaign.petition("check", status=1)
    assert re.search('recipients.csv:3: .*"王"', answer.out + answer.err)
