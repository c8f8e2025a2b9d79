"""petition forget and export, over whatever the log can hold of somebody."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from petition.address import folded
from tests.acceptance.small import SmallCampaign
from tests.acceptance.traces import ADDRESS, NAME, ROW_ID, Cell, Scene, everywhere


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return everywhere(SmallCampaign.at(tmp_path_factory.mktemp("everywhere")))


@pytest.fixture
def scene(prepared: Scene, tmp_path: Path) -> Scene:
    """The same for each test, in a folder of its own."""
    root = shutil.copytree(prepared.campaign.root, tmp_path / "campaign")
    campaign = SmallCampaign(root, prepared.campaign.env)
    return Scene(campaign, root / "petition.db", prepared.tokens)


def places(cells: list[Cell]) -> set[tuple[str, str]]:
    return {(cell.table, cell.column) for cell in cells}


# Where the scene leaves a trace: whoever adds a column that can hold one adds it there too.
EVERYWHERE = {
    ("frozen", "document"),
    *(("copy", name) for name in ("mailbox", "folded", "name", "row_id", "fields", "token")),
    *(("copy", name) for name in ("bytes", "reply")),
    ("event", "reply"),
    *(("suppression", name) for name in ("folded", "mailbox")),
    *(("mail", name) for name in ("place", "message_id", "sender", "subject", "recipient")),
    *(("mail", name) for name in ("reason", "bytes")),
    ("answer", "quote"),
}


def test_nothing_of_somebody_is_left_anywhere_and_nothing_comes_back(scene: Scene):
    assert places(scene.traces()) == EVERYWHERE
    assert len(scene.raw_traces()) > len(scene.needles)
    campaign = scene.campaign
    letters = ("open-letter", "follow-up", "second", "third", "fourth")
    before = [campaign.petition("status", one, "--json").json for one in letters]
    said = campaign.petition("forget", ADDRESS.upper(), "--yes", status=0).out
    assert scene.traces() == []
    assert scene.raw_traces() == []
    after = [campaign.petition("status", one, "--json").json for one in letters]
    assert after == before
    assert "signatories.csv:3" in said
    assert "recipients.csv:2" in said
    # The files still have her, her mails still lie in the inbox, and every command still works.
    campaign.petition("inbox", status=0)
    campaign.petition("answer", ADDRESS, "met", "--quote", "x", status=2)
    campaign.petition("suppress", ADDRESS, status=0)
    campaign.petition("send", "fourth", "--dry-run", status=3)
    campaign.petition("status", "open-letter", "--answers", status=0)
    campaign.petition("evidence", "pack.zip", "--rehearsal", status=0)
    campaign.petition("report", "--html", "report.html", status=0)
    assert NAME not in (campaign.root / "report.html").read_text(encoding="utf-8")
    assert scene.traces() == []
    assert scene.raw_traces() == []


def test_a_mail_that_waits_for_its_copy_counts_no_more_once_it_is_erased(scene: Scene):
    with sqlite3.connect(scene.database) as connection:
        connection.execute("UPDATE mail SET waits = 1 WHERE copy IS NOT NULL")
    connection.close()
    scene.campaign.petition("forget", ADDRESS, "--yes", status=0)
    scene.campaign.petition("inbox", status=0)
    assert scene.traces() == []


def test_export_leaves_nothing_out_that_the_log_holds(scene: Scene):
    exported = scene.campaign.petition("export", ADDRESS, "--json", status=0).json
    (log,) = exported["logs"]
    rows = {"copies": "copy", "events": "event", "answers": "answer", "mails": "mail"}
    given = {(rows[name], row["id"]) for name in rows for row in log[name]}
    given |= {(one["table"], one["row"]) for one in log["mentions"]}
    missing = [
        cell
        for cell in scene.traces()
        if cell.table not in {"frozen", "suppression"} and (cell.table, cell.row) not in given
    ]
    assert missing == []
    assert folded(log["suppression"][0]["mailbox"]) == folded(ADDRESS)
    assert {(one["letter"], one["role"]) for one in log["named_in"]} == {
        ("open-letter", "signatory"),
        ("third", "signatory"),
        ("fourth", "signatory"),
        ("second", "cc"),
    }
    own = [cell for cell in scene.traces() if cell.table == "copy" and cell.column == "fields"]
    assert json.loads(str(own[0].value)) == log["copies"][0]["fields"]
    # Of others only what they say of her: their own address is theirs.
    assert all("p2@x.example" not in one["text"] for one in log["mentions"])
    assert ROW_ID not in json.dumps(log["mentions"])
