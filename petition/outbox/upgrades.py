"""Upgrades of the schema, by number: each takes a log of either database to the next schema.

Schema 8 is the first. To change the schema, change `schema.sql`, which creates a new log, and add a
step to `_STEPS` for existing logs; its statements are in `upgrades.sql`. A log is upgraded by the
first command that opens it for writing: in one transaction, while nobody sends from it, and after a
file was copied.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from petition.address import folded
from petition.errors import LogUnusable
from petition.identity import Signer, new_key
from petition.outbox.database import Database, Upgraded, intact, meta, stamp

FIRST = 8


def newest() -> int:
    """The schema that this version of petition creates and uses."""
    return max(_STEPS, default=FIRST)


def schema_of(database: Database) -> int:
    """The number of a log's schema; 0: unknown."""
    with intact():
        return int(meta(database, "schema") or 0)


def bring_up_to_date(database: Database) -> Upgraded | None:
    """Upgrade a log to the newest schema."""
    if not _is_old(database):
        database.refuse_altered()
        return None
    if database.read_only or database.looks:
        why = "it can only be read here" if database.read_only else "this command only looks"
        raise LogUnusable(
            f"{database.where} was made by an older version of petition (schema"
            f" {schema_of(database)}) and must be upgraded, but {why}",
            "Run a command that writes to it, such as petition send or petition inbox, where it is"
            " writable: that upgrades it",
        )
    with database.ownership(), database.transaction():
        if not _is_old(database):  # another process upgraded it meanwhile
            return None
        before = schema_of(database)
        with database.copy_kept(f"schema-{before}") as kept:
            for number in range(before + 1, newest() + 1):
                _STEPS[number](database)
            database.run("set_schema", {"value": str(newest())})
            database.refuse_altered()
    return Upgraded(before, newest(), kept)


def refuse_other(database: Database) -> None:
    """Refuse a log that a newer version upgraded while this one had it open."""
    if schema_of(database) != newest():
        raise LogUnusable(
            f"{database.where} has been upgraded by a newer version of petition",
            "Nothing was done; run this command again with that version",
        )


def _to_9(database: Database) -> None:
    """One key for each person (address.folded), and a binding for each address (identity.py)."""
    columns = "to_9_queued_as", "to_9_twin", "to_9_binding"
    for query in (*columns, "to_9_drop_once", "to_9_drop_folded"):
        database.run(query)
    key = meta(database, "key")
    with intact():
        binder = cache(Signer(bytes.fromhex(key) if key else new_key()).binder)
    last = 0
    while some := database.all("to_9_some", {"last": last}):
        last = some[-1]["id"]
        known = [
            (row["id"], folded(row["folded"]), binder(row["letter"])(row["mailbox"]))
            for row in some
        ]
        database.run_rows("to_9_keys", known, {})
    for row in database.all("to_9_suppressions"):
        if (new := folded(row["folded"])) != row["folded"]:
            values = {"old": row["folded"], "new": new}
            database.run("to_9_merge_suppression", values)
            database.run("to_9_suppression", values)
    now = {"now": stamp(datetime.now(UTC))}
    for query in ("to_9_twins", "to_9_index", "to_9_had_before", "to_9_newest"):
        database.run(query)
    database.survey("copy")
    database.run("to_9_log_duplicates", now)
    database.run("to_9_duplicates", now)


def _to_10(database: Database) -> None:
    """The state `skipped` was called `suppressed`."""
    database.run("to_10_copies")
    database.run("to_10_events")


def _to_11(database: Database) -> None:
    """A copy is `sending` from its mark on: those that a dead run only had in hand wait again."""
    now = {"now": stamp(datetime.now(UTC))}
    for query in ("to_11_log_queued", "to_11_queued", "to_11_log_stopped", "to_11_stopped"):
        database.run(query, now)
    database.run("to_11_intended")


def _to_12(database: Database) -> None:
    """The words of an answer can be public; none are until a person says so."""
    database.run("to_12_answers")


_MADE_BY_13 = (
    *("to_13_service", "to_13_service_waits", "to_13_service_in_hand"),
    *("to_13_service_to", "to_13_service_message"),
    *("to_13_wording", "to_13_signature", "to_13_signature_once"),
    *("to_13_signature_event", "to_13_signature_event_of"),
    *("to_13_approval_request", "to_13_approval_request_for"),
    *("to_13_approval", "to_13_approval_of"),
)


def _to_13(database: Database) -> None:
    """Mails that petition writes by itself, people who sign, and who approved a letter."""
    for query in _MADE_BY_13:
        database.run(query)


# By the schema that a step leads to.
_STEPS: dict[int, Callable[[Database], None]] = {
    9: _to_9,
    10: _to_10,
    11: _to_11,
    12: _to_12,
    13: _to_13,
}


def _is_old(database: Database) -> bool:
    number = schema_of(database)
    if number > newest():
        raise LogUnusable(
            f"{database.where} was made or upgraded by a newer version of petition (schema"
            f" {number}; this one knows {newest()})",
            "Nothing was done; use that version",
        )
    if number < FIRST:
        raise LogUnusable(
            f"{database.where} was made by a version of petition from before its first release",
            "Use the version that made it",
        )
    return number < newest()
