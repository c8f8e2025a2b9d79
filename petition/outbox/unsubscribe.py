"""People who leave by the link or the address to unsubscribe: its token, and the clicks.

A token is an HMAC of its copy's identity (identity.py) and holds no personal data. Only its first
half, the selector, is kept: the token is computed again for the copy that the selector finds, and
compared in constant time. A token works as long as the log and its key do.

A click that finds the log busy is noted in a file, and counted later.
"""

import errno
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from petition import system
from petition.identity import Identity, Signer, selector_of
from petition.outbox.database import make_inbound_indexes
from petition.outbox.log import Log
from petition.outbox.manual import stop_writing
from petition.outbox.models import Copy, copies_of
from petition.outbox.states import Reason

_TOKEN = re.compile(r"[0-9a-f]{32}")
_MOST_AT_ONCE = 500  # clicks in one commit
_LINE_BYTES = 200  # of a noted click, which has 33
_MOST_BYTES = 100_000_000  # of noted clicks: about three million


def is_token(text: str) -> bool:
    """Whether a text has the form of a token, in either case."""
    return _TOKEN.fullmatch(text.lower()) is not None


def copy_of_token(log: Log, token: str) -> Copy | None:
    """The copy that an unsubscribe token was made for, in either case; None: unknown."""
    return _copies_of_tokens(log, [token])[0]


def _copies_of_tokens(log: Log, tokens: Sequence[str]) -> list[Copy | None]:
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


def unsubscribe_all(log: Log, tokens: Sequence[str]) -> list[Copy | None]:
    """Suppress the mailboxes that tokens were made for; returns their copies, None: unknown."""
    with log.writing():
        make_inbound_indexes(log.database)
        copies = _copies_of_tokens(log, tokens)
        stop_writing(log, [copy.mailbox for copy in copies if copy], Reason.OPTED_OUT)
    return copies


# ---- clicks noted in a file, a token a line


def note_clicks(file: Path, tokens: Sequence[str]) -> Sequence[None]:
    """Append tokens to a file and sync it, so that they cannot be lost; OSError if that fails."""
    # A crash may have left half a line, which must not spoil the next one.
    lines = "".join(f"\n{token}\n" for token in tokens).encode()
    while True:
        opened = system.open_file(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            # Without waiting: a file that was renamed to be counted stays locked for long.
            system.lock(opened)
            if _is_at(opened, file):
                _append(opened, lines)
                system.sync_path(file.parent)
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
    system.sync(opened)


def count_clicks(log: Log, file: Path) -> int:
    """Count the clicks noted in a file, if any, and remove it; returns how many are known."""
    found = 0
    counting = _being_counted(file)
    # What an earlier count left comes first.
    for path in (counting, file):
        with (
            suppress(FileNotFoundError),
            os.fdopen(system.open_file(path, os.O_RDONLY), "rb") as opened,
        ):
            system.lock(opened.fileno(), waits=True)
            if path == file:
                if counting.exists() or not _is_at(opened.fileno(), file):
                    continue  # another process counts
                file.rename(counting)
            lines = iter(partial(opened.readline, _LINE_BYTES), b"")
            tokens = filter(is_token, (line.decode("ascii", "replace").strip() for line in lines))
            while some := list(islice(tokens, _MOST_AT_ONCE)):
                copies = unsubscribe_all(log, some)
                found += sum(copy is not None for copy in copies)
            if _is_at(opened.fileno(), counting):
                counting.unlink()
    return found


def has_clicks(file: Path) -> bool:
    """Whether clicks that were noted in a file have yet to be counted."""
    return file.exists() or _being_counted(file).exists()


def _being_counted(file: Path) -> Path:
    return file.with_name(f"{file.name}.counting")


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        # In one folder the number is enough; Wine forgets the disk of a file that was renamed.
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    return False
