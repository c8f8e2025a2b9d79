"""petition evidence: what is in a pack, that a change shows, and that no archive does harm."""

import hashlib
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from petition.report import evidence
from petition.report.evidence import MANIFEST, REHEARSAL, PackRefused, verify
from tests.acceptance.returning import Returns
from tests.acceptance.small import SmallCampaign


@pytest.fixture
def returns(campaign: SmallCampaign) -> Returns:
    campaign.write(
        "signatories.csv", "name,email,publish\nAnn Reed,ann@y.example,yes\nBo Li,,yes\n"
    )
    returns = Returns(campaign)
    returns.arrive(
        returns.reply("p1", "We can meet."), returns.dsn("p2", "5.2.2", "552 5.2.2 full")
    )
    campaign.petition("inbox", status=0)
    return returns


def packed(campaign: SmallCampaign, name: str = "pack.zip") -> Path:
    campaign.petition("evidence", name, "--rehearsal", status=0)
    return campaign.root / name


def lines(path: Path, name: str) -> list[dict]:
    with zipfile.ZipFile(path) as archive:
        return [json.loads(line) for line in archive.read(name).decode().splitlines()]


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The pack with some of its entries changed, its manifest as it was."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    change(entries)
    with zipfile.ZipFile(path.with_name("changed.zip"), "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path.with_name("changed.zip")


def test_a_pack_of_a_rehearsal_is_made_only_on_request_and_says_so(returns: Returns):
    refused = returns.campaign.petition("evidence", "pack.zip", status=2)
    assert "nobody received anything" in refused.err
    assert not (returns.campaign.root / "pack.zip").exists()
    with zipfile.ZipFile(packed(returns.campaign)) as archive:
        assert b"nobody received anything" in archive.read(REHEARSAL)
    verified = ("evidence", "--verify", "pack.zip")
    assert returns.campaign.petition(*verified, "--json", status=0).json["rehearsal"]
    assert "nobody received anything" in returns.campaign.petition(*verified, status=0).out


def test_a_pack_has_the_letters_as_sent_and_what_became_of_them(returns: Returns):
    path = packed(returns.campaign)
    copies = lines(path, "copies.jsonl")
    assert [copy["state"] for copy in copies] == ["sent", "bounced", "sent"]
    kept = {
        hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (returns.campaign.root / "outbox" / "new").iterdir()
    }
    with zipfile.ZipFile(path) as archive:
        sent = {hashlib.sha256(archive.read(copy["file"])).hexdigest() for copy in copies}
        timeline = archive.read("timeline.txt").decode().splitlines()
        assert b"We can meet." in archive.read("mails/1.eml")
    assert sent == kept == {copy["sha256"] for copy in copies}
    assert sum("sending -> sent (250 2.0.0" in line for line in timeline) == 3
    assert any("p1@x.example on open-letter, by mail: unclassified" in line for line in timeline)
    assert timeline == sorted(timeline, key=lambda line: line[:19])
    assert lines(path, "answers.jsonl")[0]["quote"] == "We can meet."
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_pack_is_verified_without_the_campaign_and_never_overwritten(
    returns: Returns, tmp_path_factory: pytest.TempPathFactory
):
    path = packed(returns.campaign)
    before = path.read_bytes()
    assert (
        "exists already"
        in returns.campaign.petition("evidence", "pack.zip", "--rehearsal", status=1).err
    )
    for nowhere in ("none/pack.zip", "recipients.csv/pack.zip"):
        refused = returns.campaign.petition("evidence", nowhere, "--rehearsal", status=1).err
        assert f"{nowhere} cannot be written" in refused
    assert path.read_bytes() == before
    elsewhere = SmallCampaign(tmp_path_factory.mktemp("another machine"))
    shutil.copy(path, elsewhere.root / "pack.zip")
    said = elsewhere.petition("evidence", "--verify", "pack.zip", "--json", status=0).json
    assert said["faults"] == []
    with zipfile.ZipFile(path) as archive:
        assert said["entries"] == len(archive.namelist()) - 1
    noted = elsewhere.petition("evidence", "--verify", "pack.zip", "--seal", said["seal"], status=0)
    assert "the one you noted" in noted.out
    other = elsewhere.petition("evidence", "--verify", "pack.zip", "--seal", "0" * 64, status=1)
    assert "not the one that you noted" in other.out
    assert [one.name for one in elsewhere.root.iterdir()] == ["pack.zip"]


def test_the_same_log_gives_the_same_bytes(returns: Returns):
    one, other = packed(returns.campaign), packed(returns.campaign, "other.zip")
    assert one.read_bytes() == other.read_bytes()


def _change_letter(entries: dict[str, bytes]) -> None:
    entries["letters/open-letter/1/1.eml"] = b"another" + entries["letters/open-letter/1/1.eml"][7:]


def _drop_event(entries: dict[str, bytes]) -> None:
    entries["events.jsonl"] = entries["events.jsonl"].partition(b"\n")[2]


def _add(entries: dict[str, bytes]) -> None:
    entries["letters/open-letter/1/9.eml"] = b"From: x\n\ny\n"


def _take_out(entries: dict[str, bytes]) -> None:
    del entries["answers.jsonl"]


def _forge_manifest(entries: dict[str, bytes]) -> None:
    manifest = json.loads(entries[MANIFEST])
    entries["timeline.txt"] = b"nothing\n"
    for entry in manifest["entries"]:
        if entry["name"] == "timeline.txt":
            entry |= {"size": 8, "sha256": hashlib.sha256(b"nothing\n").hexdigest()}
    entries[MANIFEST] = json.dumps(manifest).encode()


def _reorder(entries: dict[str, bytes]) -> None:
    entries["timeline.txt"] = entries.pop("timeline.txt")


def _reorder_manifest(entries: dict[str, bytes]) -> None:
    manifest = json.loads(entries[MANIFEST])
    manifest["entries"][:2] = manifest["entries"][1::-1]
    entries[MANIFEST] = json.dumps(manifest).encode()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_reorder, "the entries are not in the order in which they were packed"),
        (_change_letter, "letters/open-letter/1/1.eml: is not what was packed"),
        (_drop_event, "events.jsonl: is not what was packed"),
        (_add, "letters/open-letter/1/9.eml: was added later"),
        (_take_out, "answers.jsonl: is missing"),
        (_forge_manifest, "timeline.txt: the chain of the manifest is broken here"),
    ],
)
def test_every_change_shows_and_names_its_entry(
    returns: Returns, change: Callable[[dict[str, bytes]], None], fault: str
):
    path = rewritten(packed(returns.campaign), change)
    answer = returns.campaign.petition("evidence", "--verify", path.name, status=1)
    assert answer.out.splitlines() == [fault]
    assert "was changed" in answer.err


def test_a_manifest_in_another_order_breaks_the_chain(returns: Returns):
    path = rewritten(packed(returns.campaign), _reorder_manifest)
    assert "timeline.txt: the chain of the manifest is broken here" in verify(path).faults


def test_a_replaced_letter_shows_even_under_a_new_seal(
    returns: Returns,
):
    path = packed(returns.campaign)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    del entries[MANIFEST]
    _change_letter(entries)
    forged = path.with_name("forged.zip")
    evidence.write_pack(forged, "water", "2026", ((name, [data]) for name, data in entries.items()))
    (fault,) = verify(forged).faults
    assert fault.startswith("letters/open-letter/1/1.eml: is not the letter whose SHA-256")


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_a_flipped_byte_shows_wherever_it_changes_an_entry(returns: Returns):
    path = packed(returns.campaign)
    before, flipped, shown = contents(path), path.with_name("flipped.zip"), 0
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 150):
        flipped.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            is_whole = not verify(flipped).faults
        except PackRefused:
            is_whole = False
        shown += not is_whole
        # A date or an attribute of the archive itself is no part of what was packed.
        assert not is_whole or contents(flipped) == before, at
    assert shown > 100


@pytest.mark.parametrize(("before", "behind"), [(b"", b"more"), (b"#!/bin/sh\n", b"")])
def test_bytes_outside_of_the_archive_show(returns: Returns, before: bytes, behind: bytes):
    path = packed(returns.campaign)
    longer = path.with_name("longer.zip")
    longer.write_bytes(before + path.read_bytes() + behind)
    assert verify(longer).faults == ["the file contains more than the archive"]


def test_a_comment_of_the_archive_shows(returns: Returns):
    path = packed(returns.campaign)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"seen by a notary"
    assert verify(path).faults == ["the file contains more than the archive"]


def test_what_was_forgotten_is_listed_as_erased_with_its_hash(returns: Returns):
    before = lines(packed(returns.campaign), "copies.jsonl")
    returns.campaign.petition("forget", "ann@y.example", "--yes", status=0)
    returns.campaign.petition("forget", "p1@x.example", "--yes", status=0)
    path = packed(returns.campaign, "after.zip")
    after = lines(path, "copies.jsonl")
    assert [copy["sha256"] for copy in after] == [copy["sha256"] for copy in before]
    assert all(copy["file"] is None and copy["erased_at"] for copy in after)
    (erasure,) = lines(path, "erasures.jsonl")
    assert erasure["hash_before"] != erasure["hash_after"]
    with zipfile.ZipFile(path) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    for trace in (b"p1@x.example", b"ann@y.example", b"Ann Reed", b"We can meet"):
        assert trace not in everything
    assert b"bytes erased" in everything
    returns.campaign.petition("evidence", "--verify", "after.zip", status=0)


def test_a_letter_that_was_changed_in_the_log_is_not_packed(returns: Returns):
    import sqlite3

    with sqlite3.connect(returns.campaign.root / "rehearsal.db") as database:
        database.execute("UPDATE copy SET bytes = X'41' WHERE id = 2")
    database.close()
    assert (
        "copy 2" in returns.campaign.petition("evidence", "pack.zip", "--rehearsal", status=1).err
    )
    assert not (returns.campaign.root / "pack.zip").exists()


def hostile(tmp_path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def _link_info() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([("../../etc/passwd", b"x"), (MANIFEST, b"{}")], "outside of the pack"),
        ([("/etc/passwd", b"x"), (MANIFEST, b"{}")], "outside of the pack"),
        ([("c:\\x", b"x"), (MANIFEST, b"{}")], "outside of the pack"),
        ([(_link_info(), b"/etc/passwd"), (MANIFEST, b"{}")], "not a regular file"),
        ([("x", bytes(200_000_000)), (MANIFEST, b"{}")], "inflate too much"),
        ([("x", b"x")], "no manifest"),
        ([(MANIFEST, b"{}")], "not an evidence pack"),
        ([(MANIFEST, b"[" * 100_000)], "more than the pack"),
        (
            [(MANIFEST, b'{"format": "petition evidence 1", "entries": 3}')],
            "not an intact evidence pack",
        ),
        ([(MANIFEST, b"\xff\xfe")], "not an intact evidence pack"),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, entries: list, word: str):
    with pytest.raises(PackRefused, match=word):
        verify(hostile(tmp_path, *entries))


def test_duplicate_entries_and_files_that_are_not_archives_are_refused(tmp_path: Path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = hostile(tmp_path, ("x", b"x"), ("x", b"y"), (MANIFEST, b"{}"))
    with pytest.raises(PackRefused, match="two entries"):
        verify(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(PackRefused, match="not an intact evidence pack"):
        verify(path)
    with pytest.raises(PackRefused, match="there is no"):
        verify(tmp_path / "none.zip")
    with pytest.raises(PackRefused, match="is not a file"):
        verify(Path("/dev/zero"))


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path):
    path = hostile(tmp_path, ("a", os.urandom(50_000)), (MANIFEST, b"{}"))
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    first = data[start : data.index(b"PK\x01\x02", start + 4)]
    copies = b"".join(first.replace(b"a", bytes([98 + at]), 1) for at in range(20))
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (22).to_bytes(2, "little")
    tail[12:16] = (end - start + len(copies)).to_bytes(4, "little")
    path.write_bytes(data[:start] + data[start:end] + copies + bytes(tail))
    with pytest.raises(PackRefused, match="overlap"):
        verify(path)


def test_other_programs_can_verify_a_pack(returns: Returns):
    path = packed(returns.campaign)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        link = hashlib.sha256(
            json.dumps([manifest["format"], manifest["campaign"], manifest["until"]]).encode()
        ).hexdigest()
        for entry in manifest["entries"]:
            data = archive.read(entry["name"])
            row = [link, entry["name"], len(data), hashlib.sha256(data).hexdigest()]
            link = hashlib.sha256(json.dumps(row).encode()).hexdigest()
    assert link == manifest["seal"]
