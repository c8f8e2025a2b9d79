"""The evidence of a campaign: letters as sent, what became of them, what was answered."""

import hashlib
import heapq
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from petition.errors import LogUnusable
from petition.outbox.erasure import frozen_letters, rehashed
from petition.outbox.log import Log, Record
from petition.report import pack

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

_README = """\
Evidence of the campaign "{campaign}", until {until} (all times are UTC).

timeline.txt   everything that happened, oldest first
letters.jsonl  the letters: each revision, its hash, and when it was frozen
frozen/        each revision as it was frozen, with its demands and signatories
copies.jsonl   every copy: for whom, its state, its Message-ID, the SHA-256 of its bytes, and the
               entry that holds these; or when they were erased; or neither, where the list was
               so long that only hashes are kept
letters/       the very bytes that were handed to the mail server (before a DKIM signature)
events.jsonl   every step of every copy, with the server's reply
answers.jsonl  what was answered
mails.jsonl    the mails that came back, their bytes in mails/
erasures.jsonl letters that lost a name because somebody asked to be forgotten
manifest.json  the SHA-256 of every entry, chained in this order; the end of the chain is the seal

Each link of the chain is the SHA-256 of a JSON array: the link before, name, size, SHA-256.
`petition evidence --verify FILE` does all of that by itself, on any machine, without the log.
A seal that was noted elsewhere on the day of the pack proves that nothing was changed since.
"""


def write(log: Log, path: Path) -> str:
    """Write all that a log can prove into a new file.

    Args:
        log: The log.
        path: The file.

    Returns:
        The seal of the pack.

    Raises:
        PackRefused: The file is there already.
        LogUnusable: The bytes of a copy are not those that were sent.
    """
    campaign, record = log.campaign_id or "", Record(log)
    with record.at_one_moment():
        until = record.until
        return pack.write(path, campaign, until, _entries(log, campaign, until))


def _entries(log: Log, campaign: str, until: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    record = Record(log)
    yield "README.txt", [_README.format(campaign=campaign, until=until).encode()]
    yield "timeline.txt", _timeline(log)
    letters = frozen_letters(log)
    yield (
        "letters.jsonl",
        _lines(
            {
                "letter": one.letter,
                "revision": one.revision,
                "hash": one.hash,
                "frozen_at": one.frozen_at.isoformat(),
            }
            for one in letters
        ),
    )
    for one in letters:
        yield f"frozen/{one.letter}.{one.revision}.json", [one.document.encode()]
    yield "copies.jsonl", _lines(_copy(row) for row in record.copies())
    yield "events.jsonl", _lines(record.events())
    yield "answers.jsonl", _lines(record.answers())
    yield "erasures.jsonl", _lines(
        {"letter": one.letter, "revision": one.revision, "at": one.at,
         "hash_before": one.before, "hash_after": one.after}
        for one in rehashed(log)
    )  # fmt: skip
    yield "mails.jsonl", _lines(_mail(row) for row in record.mails())
    for row in record.letters():
        if hashlib.sha256(row["bytes"]).hexdigest() != row["sha256"]:
            raise LogUnusable(
                f"the bytes of copy {row['id']} are not those whose SHA-256 the log has",
                "Somebody has changed the log: compare it with a copy of it",
            )
        yield _file_of(row), [row["bytes"]]
    for row in record.mails():
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
    record = Record(log)
    parts = (
        ((row["at"], _event_line(row)) for row in record.events()),
        ((row["at"], _answer_line(row)) for row in sorted(record.answers(), key=_moment)),
        (
            (one.at, f"{one.letter}, revision {one.revision}: a name was forgotten; hashed anew")
            for one in rehashed(log)
        ),
    )
    for at, line in heapq.merge(*parts, key=lambda one: one[0]):
        yield f"{at[:19].replace('T', ' ')}  {_UNSEEN.sub('?', line)}\n".encode()


def _moment(row: dict[str, Any]) -> str:
    return str(row["at"])


def _event_line(row: dict[str, Any]) -> str:
    step = (
        row["to_state"]
        if row["from_state"] is None
        else f"{row['from_state']} -> {row['to_state']}"
    )
    if row["from_state"] == row["to_state"]:
        step = "bytes erased"
    codes = (row["reply_code"], row["enhanced_code"], row["reply"])
    said = " ".join(str(part) for part in codes if part)
    told = "; ".join(filter(None, (row["reason"], said, row["server"])))
    return f"{row['letter']} to {row['mailbox']}: {step}{f' ({told})' if told else ''}"


def _answer_line(row: dict[str, Any]) -> str:
    about = f" on {row['demand']}" if row["demand"] else ""
    quote = f": “{row['quote']}”" if row["quote"] else ""
    return (
        f"{row['mailbox']} on {row['letter']}, by {row['channel']}: {row['status']}{about}{quote}"
    )
