"""`petition`, which kills itself at a named point: `python killable.py POINT TIMES ARGUMENT...`.

The points lie between every two durable steps of a letter's way. At the point that is named the
process dies by SIGKILL when it comes there for the given time; nothing of it runs any more.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from petition import user_state
from petition.cli import service_mails
from petition.cli.main import run
from petition.outbox import service
from petition.outbox.enqueue import Listing
from petition.outbox.known_logs import FILE
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.outbox.sqlite import SqliteDatabase
from petition.smtp.conversation import Conversation

Function = Callable[..., Any]


class Point:
    def __init__(self, times: int) -> None:
        self.left = times

    def pass_by(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, point: Point, when: Function = lambda *_: True) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            point.pass_by()
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, point: Point, when: Function = lambda *_: True) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        if when(*args):
            point.pass_by()
        return answer

    setattr(owner, name, wrapped)


def after_awaiting(owner: Any, name: str, point: Point) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        # Begun at once, as without us: what is written first is written first.
        answer = asyncio.ensure_future(original(*args, **kwargs))
        answer.add_done_callback(lambda _: point.pass_by())
        return answer

    setattr(owner, name, wrapped)


def before_telling(owner: Any, name: str, point: Point) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, row: Any, told: Function) -> Any:
        def then(answer: Any, fault: Any) -> None:
            point.pass_by()
            told(answer, fault)

        return original(self, row, then)

    setattr(owner, name, wrapped)


def is_result(_database: Any, name: str, rows: Any, *_: Any) -> bool:
    return name == "log_events" and any(row[1] == "sending" for row in rows)


def runs(query: str) -> Function:
    return lambda _database, name, *_: name == query


def writes(piece: bytes) -> Function:
    return lambda _conversation, data: piece in bytes(data)


POINTS: dict[str, Function] = {
    "before anything is queued": lambda point: before(Listing, "carry_out", point),
    "in the middle of queueing": lambda point: before(
        SqliteDatabase, "run", point, runs("log_enqueued")
    ),
    "when all is queued": lambda point: after(Listing, "carry_out", point),
    "behind reading ahead": lambda point: after_awaiting(Run, "fetch", point),
    "before DATA": lambda point: before(Conversation, "_write", point, writes(b"DATA\r\n")),
    "behind DATA": lambda point: after(Conversation, "_write", point, writes(b"DATA\r\n")),
    "before the mark": lambda point: before(Run, "mark", point),
    "in the middle of the mark": lambda point: before(
        SqliteDatabase, "run", point, runs("add_attempt")
    ),
    "behind the mark": lambda point: before_telling(Run, "mark", point),
    "before the dot": lambda point: before(Conversation, "_write", point, writes(b"\r\n.\r\n")),
    "behind the dot": lambda point: after(Conversation, "_write", point, writes(b"\r\n.\r\n")),
    "before the record": lambda point: before(Run, "record", point),
    "in the middle of the record": lambda point: before(
        SqliteDatabase, "run_rows", point, is_result
    ),
    "behind the record": lambda point: before_telling(Run, "record", point),
}

# And of what the next run does first with what a killed one left marked.
RECOVERY: dict[str, Function] = {
    "before tidying up": lambda point: before(SqliteDatabase, "run", point, runs("pick_orphans")),
    "in the middle of tidying up": lambda point: after(SqliteDatabase, "run", point, runs("adopt")),
    "behind tidying up": lambda point: after(Log, "recover", point),
}


# And where it turns out that the server refused us and not those who were charged.
TAKING_BACK: dict[str, Function] = {
    "before taking back": lambda point: before(Run, "take_back", point),
    "in the middle of taking back": lambda point: before(
        SqliteDatabase, "run", point, runs("queue_again")
    ),
    "behind taking back": lambda point: after_awaiting(Run, "take_back", point),
}


def is_known(path: Path, _text: str) -> bool:
    return path.name == FILE


# Of the epoch (known.py): 1 when letters are queued, 2 before the first dot, 3 at the end.
EPOCH: dict[str, Function] = {
    "when it is in the log": lambda point: before(user_state, "_replace", point, is_known),
    "when it is in both": lambda point: after(user_state, "_replace", point, is_known),
}

# And of the mail that asks an approver.
ASKING: dict[str, Function] = {
    "when the request is in the log": lambda point: before(service_mails, "deliver_service", point),
    "before the mark of a mail": lambda point: before(service, "mark", point),
    "behind the mark of a mail": lambda point: after(service, "mark", point),
    "before the record of a mail": lambda point: before(service, "record", point),
}

if __name__ == "__main__":
    _, name, times, *arguments = sys.argv
    (POINTS | RECOVERY | TAKING_BACK | EPOCH | ASKING)[name](Point(int(times)))
    sys.argv = ["petition", *arguments]
    run()
