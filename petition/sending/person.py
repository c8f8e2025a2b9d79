"""The person whom a row of the log is for, as a list's reader makes them."""

from petition.address import Mailbox
from petition.campaign.people import Person
from petition.outbox.enqueue import ListedRow
from petition.outbox.models import Copy


def person_of(row: Copy | ListedRow) -> Person:
    """The person whom a copy, or a row that is to become one, is for."""
    mailbox = Mailbox(row.name, row.mailbox)
    return Person(
        row.file,
        row.line,
        0,
        row.row_id,
        mailbox,
        row.language,
        dict(row.fields),
        queued_as=row.queued_as or "",
    )
