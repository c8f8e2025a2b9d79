"""Leaving the list by the token of a letter: whose it is, and writing to them no more.

A token is an HMAC of its copy's identity (identity.py) and holds no personal data. Its first half,
the selector, is kept with the copy and has an index; the second half is kept nowhere: the copy that
the selector finds must give the whole token once more, which is compared in constant time. A token
works as long as the log and its key do.
"""

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from petition.identity import Identity, Signer, selector_of
from petition.outbox.log import Log
from petition.outbox.marks import index_marks
from petition.outbox.person import stop_writing
from petition.outbox.private_file import sync
from petition.outbox.records import Copy, copies_of
from petition.outbox.states import Reason

_TOKEN = re.compile(r"[0-9a-f]{32}")
_MOST_AT_ONCE = 500  # clicks in one commit
_MOST_BYTES = 100_000_000  # of clicks that wait: about three million


def is_token(text: str) -> bool:
    """Whether a text has the form of a token, in small letters or capitals."""
    return _TOKEN.fullmatch(text.lower()) is not None


def is_bulk(log: Log, letter: str) -> bool:
    """Whether a letter as it was last frozen is one that people can leave the list of."""
    newest = log.newest(letter)
    return bool(newest and newest.content.get("kind") == "bulk")


def copy_with(log: Log, token: str) -> Copy | None:
    """The copy that an unsubscribe token was made for; None: nobody's that is known.

    Args:
        log: The log.
        token: What stands in a link, or in an address; in capitals too.
    """
    return copies_with(log, [token])[0]


def copies_with(log: Log, tokens: Sequence[str]) -> list[Copy | None]:
    """The same for many tokens, in one query."""
    small = [token.lower() for token in tokens]
    selectors = [selector_of(token) for token in small if is_token(token)]
    signer, campaign = Signer(log.key), log.campaign_id or ""
    found: dict[str, list[tuple[Identity, Copy]]] = {}
    for copy in copies_of(log.database.all("copies_by_selector", {"selectors": selectors})):
        identity = Identity(campaign, copy.letter, copy.revision, copy.spelling)
        selector = selector_of(signer.unsubscribe_token(identity))
        found.setdefault(selector, []).append((identity, copy))
    return [
        next(
            (copy for one, copy in found.get(selector_of(token), ()) if signer.proves(token, one)),
            None,
        )
        for token in small
    ]


def leave_all(tokens: Sequence[str], log: Log) -> list[Copy | None]:
    """Never write to the mailboxes again that tokens were made for; any number of times.

    What waits for them is suppressed in the same transaction, and what a run has in hand is stopped
    where its final dot has not gone: there is no next letter.

    Args:
        tokens: The tokens.
        log: The log.

    Returns:
        The copy that each was made for; None: nobody's that is known, and nothing was done.
    """
    with log.writing():
        index_marks(log.database)
        copies = copies_with(log, tokens)
        stop_writing(log, [copy.mailbox for copy in copies if copy], Reason.OPTED_OUT)
    return copies


def leave(log: Log, token: str) -> Copy | None:
    """The same for one token."""
    return leave_all([token], log)[0]


# ---- clicks that wait for the log in a file, a token a line


def note(file: Path, tokens: Sequence[str]) -> Sequence[None]:
    """Write tokens to a file and sync it: they are not lost from here on.

    Args:
        file: It; made where it is not there.
        tokens: The tokens.

    Raises:
        OSError: They could not be written.
    """
    # A crash can have left half a line, which must not spoil the next one.
    lines = "".join(f"\n{token}\n" for token in tokens).encode()
    while True:
        opened = _open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            # Not patiently: a file that was taken away to be counted stays locked for long.
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(opened, file):
                _append(opened, lines)
                sync(file.parent)
                return [None] * len(tokens)
        except BlockingIOError:
            time.sleep(0.002)
        finally:
            os.close(opened)


def _append(opened: int, lines: bytes) -> None:
    if os.fstat(opened).st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, "too many clicks wait for the log")
    while lines:
        lines = lines[os.write(opened, lines) :]
    os.fsync(opened)


def count_noted(log: Log, file: Path) -> int:
    """Count the clicks that were noted in a file, and remove it.

    Args:
        log: The log.
        file: The file; it need not be there.

    Returns:
        How many there were that the log knows.

    Raises:
        LogUnusable: The log cannot be written to; nothing is lost.
    """
    found = 0
    taken = _taken(file)
    # What an earlier count left comes first, and then what gathered since.
    for path in (taken, file):
        with suppress(FileNotFoundError), os.fdopen(_open(path, os.O_RDONLY), "rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            if path == file:
                if taken.exists() or not _is_at(opened.fileno(), file):
                    continue  # another process counts
                file.rename(taken)
            lines = opened.read(2 * _MOST_BYTES).decode("ascii", "replace").split()
            tokens = [line for line in lines if is_token(line)]
            for begin in range(0, len(tokens), _MOST_AT_ONCE):
                copies = leave_all(tokens[begin : begin + _MOST_AT_ONCE], log)
                found += sum(copy is not None for copy in copies)
            if _is_at(opened.fileno(), taken):
                taken.unlink()
    return found


def waits(file: Path) -> bool:
    """Whether clicks that were noted in a file wait to be counted."""
    return file.exists() or _taken(file).exists()


def _taken(file: Path) -> Path:
    return file.with_name(f"{file.name}.counting")


def _open(path: Path, flags: int) -> int:
    """Open a file of our own: no link is followed, and no pipe is waited for."""
    opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return opened


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
