"""`make demo-sign`: three people sign, one withdraws, and the letter is read in public."""

import csv
import email
import email.policy
import re
from pathlib import Path

import pytest

from tests.acceptance.demo import made
from tests.acceptance.small import SmallCampaign

SIGNED = ("Tomasz Wierzba", "Ines Vauquelin")  # by mail, and with a form elsewhere
WITHDREW = "Nora Whitcombe"  # who signed with the form
ANSWER = "I can receive Mr Zhagiparov on Thursday at ten, for an hour."


@pytest.mark.slow
def test_the_letter_and_the_site_name_whoever_signed_and_not_who_withdrew(tmp_path: Path):
    campaign = SmallCampaign(tmp_path / "demo")
    made("demo-sign", campaign)
    letters, service = [], []
    for path in (campaign.root / "outbox" / "new").iterdir():
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        (service if mail["Auto-Submitted"] == "auto-replied" else letters).append(mail)
    assert len(letters) == 12
    for letter in letters:
        text = " ".join(letter.get_body(("plain",)).get_content().split())
        assert all(name in text for name in SIGNED)
        assert WITHDREW not in letter.as_string() + text
    # Whoever signed here was asked once, and told nothing more.
    asked = {str(mail["To"]) for mail in service}
    assert asked == {"nora.whitcombe@mail.example", "t.wierzba@mail.example"}
    assert len(service) == 2
    found = campaign.petition("signatures", "--json", status=0).json["signatures"]
    assert {one["email"]: one["standing"] for one in found} == {
        "nora.whitcombe@mail.example": "withdrawn", "t.wierzba@mail.example": "approved",
    }  # fmt: skip
    with (campaign.root / "signatories.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["Full name"]: row for row in csv.DictReader(file)}
    assert rows["Tomasz Wierzba"]["City"] == "Gdynia"
    site = {
        path.relative_to(campaign.root / "site").as_posix(): path.read_bytes()
        for path in (campaign.root / "site").rglob("*")
        if path.is_file()
    }
    for name, data in site.items():
        assert WITHDREW.encode() not in data, name
        assert b"mail.example" not in data, name
    pages = {name: text_of(data) for name, data in site.items() if name.endswith(".html")}
    assert pages
    for name in SIGNED:
        assert any(name in text for text in pages.values())
    assert ANSWER in pages["answers.html"]
    shown = [row for row in rows.values() if row["Full name"] != WITHDREW]
    assert f"signatures {len(shown)}" in pages["index.html"]


def text_of(data: bytes) -> str:
    """What a page says."""
    return " ".join(re.sub(r"<[^>]+>", " ", data.decode()).split())
