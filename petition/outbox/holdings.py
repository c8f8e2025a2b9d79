"""What a log holds about a person: their own rows, and where others' rows name them."""

from collections.abc import Iterator
from dataclasses import dataclass

from petition.address import folded
from petition.outbox.database import Row
from petition.outbox.log import Log
from petition.outbox.records import fields_of
from petition.outbox.redaction import Redaction

_OWN = ("held_copies", "held_events", "held_answers", "held_suppression")
_TEXTS = {
    "copy": ("copy_texts", ("reason", "reply", "stopped")),
    "event": ("event_texts", ("reason", "reply")),
    "answer": ("answer_texts", ("quote",)),
    "mail": ("mail_texts", ("place", "message_id", "sender", "subject", "recipient", "reason")),
}


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in a row of somebody else that names a person.

    Args:
        table: The table.
        row: The row's id.
        column: The column.
        text: The words around it.
    """

    table: str
    row: int
    column: str
    text: str


def held(log: Log, mailbox: str) -> dict[str, list[dict[str, object]]]:
    """The rows about a person: copies, events, answers, mails, and whether they opted out.

    Args:
        log: The log.
        mailbox: The address, however it is capitalised.
    """
    values, database = {"folded": folded(mailbox)}, log.database
    found = {
        name.removeprefix("held_"): [dict(row) for row in database.all(name, values)]
        for name in _OWN
    }
    redaction, own = Redaction(mailbox), {int(str(copy["id"])) for copy in found["copies"]}
    numbers = [row["id"] for row in database.all("mail_texts") if is_theirs(row, redaction, own)]
    rows = [database.one("mail_row", {"mail": number}) for number in numbers]
    return found | {"mails": [dict(row) for row in rows if row]}


def mentions(log: Log, mailbox: str, names: frozenset[str]) -> Iterator[Mention]:
    """Where rows of others name a person.

    Args:
        log: The log.
        mailbox: Their address.
        names: What they alone are called.
    """
    redaction, rows = Redaction(mailbox, names), held(log, mailbox)
    own = {
        table: {row["id"] for row in rows[name]}
        for table, name in (("copy", "copies"), ("event", "events"), ("answer", "answers"))
    } | {"mail": {row["id"] for row in rows["mails"]}}
    for table, (query, columns) in _TEXTS.items():
        for row in log.database.all(query):
            if row["id"] not in own[table]:
                for column in columns:
                    for text in redaction.around(row[column]):
                        yield Mention(table, row["id"], column, text)
                if table == "copy":
                    yield from _in_fields(row, redaction)
    yield from _in_bytes(log, redaction, own)


def namesakes(log: Log, mailbox: str) -> frozenset[str]:
    """What people with another address are called, in lower case.

    Args:
        log: The log.
        mailbox: The address.
    """
    rows = log.database.each("others_names", {"folded": folded(mailbox)})
    return frozenset(row[0].casefold() for row in rows)


def is_theirs(row: Row, redaction: Redaction, own: set[int]) -> bool:
    """Whether a mail came from a person, is about them, or belongs to a copy of theirs."""
    is_named = redaction.is_them(row["sender"]) or redaction.is_them(row["recipient"])
    return is_named or row["copy"] in own or redaction.has_address(row["sender"])


def _in_fields(row: Row, redaction: Redaction) -> Iterator[Mention]:
    if redaction.names_them(row["fields"]):
        for value in fields_of(row["fields"]).values():
            for text in redaction.around(value):
                yield Mention("copy", row["id"], "fields", text)


def _in_bytes(log: Log, redaction: Redaction, own: dict[str, set[object]]) -> Iterator[Mention]:
    for table, query in (("copy", "copies_kept"), ("mail", "mails_kept")):
        for row in log.database.each(query):
            if row["id"] not in own[table]:
                for text in redaction.around_in_mail(row["bytes"]):
                    yield Mention(table, row["id"], "bytes", text)
