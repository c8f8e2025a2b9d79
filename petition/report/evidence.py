"""Evidence: letters, events and answers in a ZIP archive that shows every change.

The seal depends on every byte of every entry and on their order. With a note of it, on paper or
with a witness, the pack can be told from any other; without it, damage is still found.
"""

import hashlib
import heapq
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from petition import system
from petition.address import UNSEEN
from petition.campaign.text_file import packaged
from petition.errors import LogUnusable, PetitionError
from petition.outbox import signatures
from petition.outbox.approvals import MAIL, all_approvals, described, was_asked
from petition.outbox.database import stamp
from petition.outbox.erasure import Rehashed, frozen_letters, rehashed
from petition.outbox.log import Log

FORMAT = "petition evidence 1"
MANIFEST = "manifest.json"
REHEARSAL = "REHEARSAL.txt"  # the first entry of a pack of letters that nobody received
_MANIFEST_LIMIT = 32 * 1024 * 1024  # bytes; an entry of it has about 300
_LINE_LIMIT = 4 << 20  # bytes of a line of copies.jsonl
_DAY = (1980, 1, 1, 0, 0, 0)  # the first of ZIP: the same log gives the same bytes
_BLOCK = 1 << 20
_MOST_INFLATED = 100  # times the archive's size; beyond that it is a zip bomb
_SMALL = 64 * 1024 * 1024  # bytes that are unpacked whatever the ratio
_END, _END_BYTES = b"PK\5\6", 22  # of an archive without a comment
_FAULTS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
    RuntimeError, KeyError, TypeError, AttributeError,
)  # fmt: skip


class PackRefused(PetitionError):
    """A pack cannot be written, or is not intact."""


@dataclass(slots=True)
class Verified:
    """What was found in a pack."""

    campaign: str = ""  # its id
    until: str = ""  # when the last thing in it happened
    entries: int = 0
    rehearsal: bool = False  # whether nobody received anything
    seal: str = ""
    faults: list[str] = field(default_factory=list)  # what differs; none: the pack is intact


def write_evidence(log: Log, path: Path) -> str:
    """Write all that a log can prove into a new file, and return its seal.

    PackRefused if the file exists already, LogUnusable if a copy's bytes are not those sent.
    """
    campaign = log.campaign_id or ""
    with log.at_one_moment():
        [last] = log.rows("evidence_until")
        until = str(last["until"] or "")
        return write_pack(path, campaign, until, _entries(log, campaign, until))


def _entries(log: Log, campaign: str, until: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    if log.rehearses:
        yield REHEARSAL, [b"This was a rehearsal: nobody received anything.\n"]
    readme = packaged("report/README.txt").format(campaign=campaign, until=until)
    yield "README.txt", [readme.encode()]
    yield "timeline.txt", _timeline(log)
    letters = frozen_letters(log)
    yield "letters.jsonl", _lines(
        {"letter": one.letter, "revision": one.revision, "hash": one.hash,
         "frozen_at": one.frozen_at.isoformat()}
        for one in letters
    )  # fmt: skip
    for one in letters:
        yield f"frozen/{one.letter}.{one.revision}.json", [one.document.encode()]
    yield "copies.jsonl", _lines(_copy(row) for row in log.rows("evidence_copies"))
    yield "events.jsonl", _lines(log.rows("evidence_events"))
    yield "answers.jsonl", _lines(log.rows("evidence_answers"))
    yield "approvals.jsonl", _lines(described(log, one) for one in all_approvals(log))
    yield "erasures.jsonl", _lines(
        {"letter": one.letter, "revision": one.revision, "at": one.at,
         "hash_before": one.before, "hash_after": one.after, "why": one.why}
        for one in rehashed(log)
    )  # fmt: skip
    yield "mails.jsonl", _lines(_mail(row) for row in log.rows("evidence_mails"))
    yield (
        "signatures.jsonl",
        _lines(
            {"status": status, "review": review, "signatures": number}
            for (status, review), number in sorted(signatures.counts(log).items())
        ),
    )
    for row in log.rows("evidence_bytes"):
        if hashlib.sha256(row["bytes"]).hexdigest() != row["sha256"]:
            raise LogUnusable(
                f"the bytes of copy {row['id']} are not those whose SHA-256 the log has",
                "Somebody has changed the log: compare it with a copy of it",
            )
        yield _file_of(row), [row["bytes"]]
    for row in log.rows("evidence_mails"):
        if row["bytes"]:
            yield f"mails/{row['id']}.eml", [row["bytes"]]


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    return (f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in rows)


def _copy(row: dict[str, Any]) -> dict[str, Any]:
    has_bytes, erased_at = row.pop("has_bytes"), row.pop("erased_at")
    return row | {
        "file": _file_of(row) if has_bytes and row["sha256"] else None,
        "erased_at": None if has_bytes else erased_at,
    }


def _file_of(row: dict[str, Any]) -> str:
    return f"letters/{row['letter']}/{row['revision']}/{row['id']}.eml"


def _mail(row: dict[str, Any]) -> dict[str, Any]:
    data = row.pop("bytes")
    # In the log a mail is known by its bytes with LF; here the hash of the entry itself counts.
    return row | {"file": f"mails/{row['id']}.eml" if data else None}


def _timeline(log: Log) -> Iterator[bytes]:
    answered = sorted(log.rows("evidence_answers"), key=lambda row: str(row["at"]))
    parts = (
        ((row["at"], _event_line(row)) for row in log.rows("evidence_events")),
        ((row["at"], _answer_line(row)) for row in answered),
        iter(_approval_steps(log)),
        ((one.at, _rehashed_line(one)) for one in rehashed(log)),
    )
    for at, line in heapq.merge(*parts, key=lambda one: one[0]):
        yield f"{at[:19].replace('T', ' ')}  {UNSEEN.sub('?', line)}\n".encode()


def _approval_steps(log: Log) -> list[tuple[str, str]]:
    """What became of approvals, oldest first."""
    steps = []
    for approval in all_approvals(log):
        request = approval.request
        about = f"{request.letter}, revision {request.revision}"
        if was_asked(log, request):
            whom = ", ".join(request.approvers)
            told = f"{about}: {request.author} asked {whom} for approval"
            steps.append((stamp(request.at), told))
        for one in approval.said:
            who = f"by {one.author}" if one.how != MAIL else f"by {one.approver}"
            words = f": “{' '.join(one.words.split())}”" if one.words else ""
            steps.append((stamp(one.at), f"{about}: {one.decision} {who} ({one.how}){words}"))
    return sorted(steps)


def _rehashed_line(one: Rehashed) -> str:
    is_forgotten = one.why == "forgotten"
    lost = "a name was forgotten" if is_forgotten else "a signature or a name was taken back"
    return f"{one.letter}, revision {one.revision}: {lost}; hashed again"


def _event_line(row: dict[str, Any]) -> str:
    before, after = row["from_state"], row["to_state"]
    step = after if before is None else f"{before} -> {after}"
    step = "bytes erased" if before == after else step
    codes = (row["reply_code"], row["enhanced_code"], row["reply"])
    said = " ".join(str(part) for part in codes if part)
    told = "; ".join(filter(None, (row["reason"], said, row["server"])))
    return f"{row['letter']} to {row['mailbox']}: {step}{f' ({told})' if told else ''}"


def _answer_line(row: dict[str, Any]) -> str:
    about = f" on {row['demand']}" if row["demand"] else ""
    quote = f": “{row['quote']}”" if row["quote"] else ""
    who = f"{row['mailbox']} on {row['letter']}, by {row['channel']}"
    return f"{who}: {row['status']}{about}{quote}"


def write_pack(
    path: Path, campaign: str, until: str, entries: Iterable[tuple[str, Iterable[bytes]]]
) -> str:
    """Write a pack that only its owner can read; nothing is overwritten."""
    try:
        handle = system.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        raise PackRefused(f"{path} exists already", "Name a new file") from None
    except OSError as fault:
        raise _unwritable(path, fault) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                seal = _write(archive, campaign, until, entries)
            stream.flush()
            system.sync(stream.fileno())
    except BaseException as fault:
        with suppress(OSError):
            path.unlink()  # it is ours: it did not exist before
        if isinstance(fault, OSError):
            raise _unwritable(path, fault) from None
        raise
    return seal


def _unwritable(path: Path, fault: OSError) -> PackRefused:
    hint = "Name a file in a folder that you may write to, on a disk with room for it"
    return PackRefused(f"{path} cannot be written: {fault.strerror or fault}", hint)


def _write(
    archive: zipfile.ZipFile,
    campaign: str,
    until: str,
    entries: Iterable[tuple[str, Iterable[bytes]]],
) -> str:
    """Write the entries and the manifest; returns the seal."""
    listed, seal = [], _first_link(campaign, until)
    for name, pieces in entries:
        digest, size = hashlib.sha256(), 0
        with archive.open(_info(name), "w", force_zip64=True) as stream:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                stream.write(piece)
        sha256 = digest.hexdigest()
        seal = _link(seal, name, size, sha256)
        listed.append({"name": name, "size": size, "sha256": sha256, "chain": seal})
    head = {"format": FORMAT, "campaign": campaign, "until": until}
    manifest = head | {"entries": listed, "seal": seal}
    data = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
    if len(data) > _MANIFEST_LIMIT:  # nobody could verify it
        what = f"{len(listed):,} entries are more than a pack can hold"
        raise PackRefused(what, "Keep the log file itself as evidence")
    archive.writestr(_info(MANIFEST), data)
    return seal


def verify(path: Path) -> Verified:
    """Check whether a pack is as it was written, without unpacking it to the disk.

    Whatever the file is, this ends: no entry is read beyond the size in its manifest, and a zip
    bomb is not unpacked. PackRefused if it is not a pack, or is made to do harm.
    """
    found = Verified()
    if path.exists() and not path.is_file():  # a device may have no end
        raise PackRefused(f"{path} is not a file", "Name an evidence pack")
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _refuse_hostile(infos, size)
            manifest = _manifest(archive)
            found.campaign, found.until = str(manifest["campaign"]), str(manifest["until"])
            _compare(archive, infos, manifest, found)
            if not _is_alone(archive, path, infos):
                found.faults.append("the file contains more than the archive")
    except PackRefused:
        raise
    except FileNotFoundError:
        raise PackRefused(f"there is no {path}", "Name an evidence pack") from None
    except (*_FAULTS, RecursionError) as fault:
        raise PackRefused(f"{path} is not an intact evidence pack: {fault}") from None
    return found


def _compare(
    archive: zipfile.ZipFile,
    infos: list[zipfile.ZipInfo],
    manifest: dict[str, Any],
    found: Verified,
) -> None:
    known = {info.filename: info for info in infos if info.filename != MANIFEST}
    seal, digests = _first_link(found.campaign, found.until), {}
    for entry in manifest["entries"]:
        name, size, sha256 = str(entry["name"]), int(entry["size"]), str(entry["sha256"])
        found.entries += 1
        found.rehearsal = found.rehearsal or name == REHEARSAL
        info = known.pop(name, None)
        if info is None:
            found.faults.append(f"{name}: is missing")
        elif (digest := _digest(archive, info, size)) != sha256:
            found.faults.append(f"{name}: is not what was packed")
        else:
            digests[name] = digest
        seal = _link(seal, name, size, sha256)
        if seal != entry["chain"]:
            found.faults.append(f"{name}: the chain of the manifest is broken here")
            seal = str(entry["chain"])
    found.faults += [f"{name}: was added later" for name in known]
    packed = [info.filename for info in infos]
    listed = [*(str(entry["name"]) for entry in manifest["entries"]), MANIFEST]
    if sorted(packed) == sorted(listed) and packed != listed:
        found.faults.append("the entries are not in the order in which they were packed")
    if seal != manifest["seal"]:
        found.faults.append(f"{MANIFEST}: its seal is not the end of its chain")
    found.seal = str(manifest["seal"])
    if "copies.jsonl" in digests:
        found.faults += _wrong_letters(archive, digests)


def _is_alone(archive: zipfile.ZipFile, path: Path, infos: list[zipfile.ZipInfo]) -> bool:
    """Whether there is nothing before the archive's first entry, after its end, or in a comment."""
    with path.open("rb") as stream:
        stream.seek(-_END_BYTES, os.SEEK_END)
        end = stream.read()
    first = min(info.header_offset for info in infos)
    return not archive.comment and end.startswith(_END) and first == 0


def _wrong_letters(archive: zipfile.ZipFile, digests: dict[str, str]) -> Iterator[str]:
    """Letters whose bytes are not those that were sent, by the SHA-256 of the log."""
    with archive.open("copies.jsonl") as lines:
        while line := lines.readline(_LINE_LIMIT):
            copy = json.loads(line)
            name = copy.get("file")
            if name and digests.get(name) not in {None, copy["sha256"]}:
                yield f"{name}: is not the letter whose SHA-256 is in the log"


def _refuse_hostile(infos: list[zipfile.ZipInfo], size: int) -> None:
    seen: set[str] = set()
    for info in infos:
        if info.filename in seen:
            raise PackRefused(f"two entries are called {info.filename!r}")
        if what := _hostile(info):
            raise PackRefused(f"{info.filename!r} {what}")
        seen.add(info.filename)
    if MANIFEST not in seen:
        raise PackRefused("it has no manifest: it is not an evidence pack")
    # Zip bombs: entries that share their bytes, and bytes that inflate too much.
    if sum(info.compress_size for info in infos) > size:
        raise PackRefused("its entries overlap")
    if sum(info.file_size for info in infos) > max(_SMALL, _MOST_INFLATED * size):
        raise PackRefused("it would inflate too much")


def _hostile(info: zipfile.ZipInfo) -> str | None:
    """Why no pack has such an entry; None: it is fine."""
    name, mode = info.filename, info.external_attr >> 16
    parts = name.split("/")
    leads_elsewhere = {"..", ".", ""} & set(parts) or "\\" in name or ":" in parts[0]
    if leads_elsewhere or "\0" in info.orig_filename:
        return "is a name outside of the pack"
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        return "is not a regular file"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "is not compressed as a pack is"
    return None


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    with archive.open(MANIFEST) as stream:
        text = stream.read(_MANIFEST_LIMIT + 1)
    if len(text) > _MANIFEST_LIMIT:
        raise PackRefused(f"its manifest is larger than {_MANIFEST_LIMIT >> 20} MB")
    # An entry has four values; any more would each take many times its bytes of memory.
    most = 8 * len(archive.infolist()) + 100
    if any(text.count(mark) > most for mark in (b",", b"[", b"{")):
        raise PackRefused("its manifest has more than the pack")
    manifest = json.loads(text)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise PackRefused("it is not an evidence pack, or one of an unsupported version")
    return manifest


def _digest(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> str | None:
    """The SHA-256 of an entry; None: its size is not as it should be."""
    digest, left = hashlib.sha256(), size
    try:
        with archive.open(info) as stream:
            while piece := stream.read(min(_BLOCK, left + 1)):
                left -= len(piece)
                if left < 0:
                    return None
                digest.update(piece)
    except _FAULTS:
        return None  # damaged
    return digest.hexdigest() if left == 0 else None


def _first_link(campaign: str, until: str) -> str:
    return hashlib.sha256(json.dumps([FORMAT, campaign, until]).encode()).hexdigest()


def _link(before: str, name: str, size: int, sha256: str) -> str:
    return hashlib.sha256(json.dumps([before, name, size, sha256]).encode()).hexdigest()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DAY)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, on every system
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    return info
