"""Moves a whole log from one database to another, of either kind.

Two databases have no common transaction, so a move is five commits, in an order in which at most
one of the two logs is ever open. The note of each step carries the id of the move.

    commit                         source               target
    0  before                      open                 empty, or closed
    1  target notes `arriving`     open                 closed, empty
    2  source notes `moving`       closed: moving       closed, empty
    3  target holds all rows       closed: moving       closed, complete
    4  source notes `moved`        closed: moved        closed, complete
    5  target loses its note       closed: moved        open

A crash after 1 leaves the source as it was. After 2 and 3 nothing is sent from either; the same
command does everything again, and moving the log to where it is undoes the move, which is safe: no
target opens before its source says `moved` with the id of the same move. After 4 the same command
does what is left, which is 5.
"""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import suppress

from petition.errors import LogUnusable, UsageError
from petition.outbox.database import Database, meta, tables
from petition.outbox.log import ARRIVING, MOVED, MOVING, Log, open_database

_MOVE = "move"  # the id of a move, beside the note of how far it is
_STEP = 5  # columns of an event: all but the words, which may be erased with a person
_NOTES = (MOVED, MOVING, ARRIVING, _MOVE)


def transfer(log: Log, url: str) -> dict[str, int]:
    """Move a log, and close it; or finish a move that was interrupted. Returns each table's rows.

    It may be closed by a move already (`Log(url, even_closed=True)`). `url` is a database
    without a log, or with one that this log was moved from; UsageError if it has another one.
    """
    source = log.database
    with log.owned(), open_database(url) as target:
        if target.read_only:
            raise LogUnusable(f"{target.where} can only be read", "Name another database")
        with target.ownership():
            if not _awaits(source, target):
                if (closure := log.closure) and closure[0] != MOVING:
                    log.refuse_closed()
                _move(log.key, source, target)
            with target.transaction():
                _note(target, None)
            return _counts(target)


def take_back(log: Log) -> bool:
    """Undo an interrupted move, if there is one; LogBusy if the move is still going on."""
    with log.owned():
        is_moving = log.closure is not None and log.closure[0] == MOVING
        if is_moving:
            with log.database.transaction():
                _note(log.database, None)
    return is_moving


def _awaits(source: Database, target: Database) -> bool:
    """Whether the target is complete and only has to be opened: its source says so."""
    move = meta(source, _MOVE)
    is_noted = meta(source, MOVED) is not None and meta(target, ARRIVING) is not None
    return is_noted and move is not None and meta(target, _MOVE) == move


def _move(key: bytes, source: Database, target: Database) -> None:
    move = uuid.uuid4().hex
    with target.transaction():
        _check(key, source, target)
        _note(target, ARRIVING, source.where, move)
    try:
        with source.transaction():
            _note(source, MOVING, target.where, move)
        with source.transaction():
            rows = _counts(source)
            with target.transaction():
                _replace(source, target)
                _note(target, ARRIVING, source.where, move)
                _require(rows, target)
            _note(source, MOVED, target.where, move)
    except BaseException:
        _undo(source, target)
        raise


def _undo(source: Database, target: Database) -> None:
    """Open the source again, and a target that is still empty; else the next command does it."""
    with suppress(LogUnusable):
        with source.transaction():
            _note(source, None)
        if not _holds_rows(target):
            with target.transaction():
                _note(target, None)


def _note(database: Database, name: str | None, where: str = "", move: str = "") -> None:
    """Write how far a move is, in a transaction; None: the log is open."""
    for old in _NOTES:
        database.run("drop_meta", {"name": old})
    if name:
        database.run("set_meta", {"name": name, "value": where})
        database.run("set_meta", {"name": _MOVE, "value": move})


def _check(own: bytes, source: Database, target: Database) -> None:
    """Refuse to overwrite a log that is not the past of this one."""
    if not _holds_rows(target) and meta(target, MOVED) is None:
        return  # looking at a letter there makes a key, which nobody has seen
    if meta(target, "key") != own.hex():
        raise UsageError(
            f"{target.where} holds the log of another campaign",
            "Name a database, or a schema of it, that is empty; nothing was done",
        )
    is_closed = any(meta(target, name) is not None for name in (MOVED, ARRIVING))
    is_past = _is_past(source, target) if is_closed else _digests(target) == _digests(source)
    if not is_past:
        raise UsageError(
            f"{target.where} holds another copy of this log, which differs from it",
            "Nothing was done. Find out which has all letters that went out; to keep this, empty"
            " the other database or name another",
        )


def _is_past(source: Database, target: Database) -> bool:
    """Whether all events of the target are the first ones of the source: none is ever deleted."""
    events = source.each("whole_event")
    return all(
        (mine := next(events, None)) is not None and mine[:_STEP] == theirs[:_STEP]
        for theirs in target.each("whole_event")
    )


def _holds_rows(database: Database) -> bool:
    return any(number for table, number in _counts(database).items() if table != "meta")


def _replace(source: Database, target: Database) -> None:
    for table in reversed(tables()):
        target.run(f"empty_{table}")
    for table in tables():
        target.run_many(f"put_{table}", _rows(source, table))
    target.renumber()


def _require(rows: dict[str, int], target: Database) -> None:
    if _counts(target) != rows:
        raise LogUnusable(
            f"{target.where} did not keep every row of the log",
            "Nothing was moved; see its server's log",
        )


def _rows(source: Database, table: str) -> Iterator[tuple[object, ...]]:
    for row in source.each(f"whole_{table}"):
        if table != "meta" or row[0] not in _NOTES:
            yield tuple(row)


def _digests(database: Database) -> dict[str, int]:
    """What each table holds, in any order of rows, without the notes and the epoch."""
    return {
        table: sum(
            int.from_bytes(hashlib.sha256(repr(row).encode()).digest())
            for row in _rows(database, table)
            if table != "meta" or row[0] != "epoch"
        )
        for table in tables()
    }


def _counts(database: Database) -> dict[str, int]:
    found: dict[str, int] = {table: database.value(f"size_{table}") for table in tables()}
    found["meta"] -= sum(meta(database, name) is not None for name in _NOTES)
    return found
