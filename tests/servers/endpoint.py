"""`petition serve` as a program of its own, and a log in which somebody has a token."""

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from petition.identity import Identity, Signer, selector_of
from petition.outbox.log import Log
from tests import PATIENCE
from tests.acceptance.small import SmallCampaign


@contextmanager
def running_endpoint(
    campaign: SmallCampaign, *words: str, before: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Run it until the block is left.

    Args:
        campaign: Whose log it uses.
        words: Further options.
        before: Python that runs before it, such as to change a limit.

    Yields:
        Where it listens, as "http://127.0.0.1:PORT"; and a list that holds, afterwards, every line
        that it wrote.
    """
    said: list[str] = []
    reading: threading.Thread | None = None
    serve = ("serve", "--port", "0", *words)
    running = campaign.begin(*serve, before=before, out=subprocess.PIPE, err=subprocess.STDOUT)
    try:
        for line in running.stdout:
            said.append(line)
            if line.startswith("Listening "):
                break
        else:
            raise AssertionError(said)
        base = said[-1].split()[2].partition("/u/")[0]
        reading = threading.Thread(target=lambda: said.extend(running.stdout))
        reading.start()  # a pipe that nobody reads would stop it
        yield base, said
    finally:
        running.terminate()
        running.wait(timeout=PATIENCE)
        if reading:
            reading.join(timeout=PATIENCE)
        running.stdout.close()
    assert running.returncode == 0, said


def give_token(root: Path, mailbox: str, letter: str = "open-letter") -> str:
    """The token of a copy, which the log knows it by as if it were of a bulk letter."""
    (file,) = (root / name for name in ("petition.db", "rehearsal.db") if (root / name).exists())
    with Log(f"sqlite:///{file}") as log:
        copy = next(one for one in log.copies(letter) if one.mailbox == mailbox)
        identity = Identity(log.campaign_id, letter, copy.revision, mailbox)
        token = Signer(log.key).unsubscribe_token(identity)
    with closing(sqlite3.connect(file)) as database, database:
        values = (selector_of(token), copy.id)
        database.execute("UPDATE copy SET unsubscribe = ? WHERE id = ?", values)
    return token
