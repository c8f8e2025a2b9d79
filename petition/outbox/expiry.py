"""What the log holds about people of whom nothing is younger than it may be kept, and erasing it.

A person is kept as long as anything about them is younger: the last step of a copy, an answer, a
mail. States, hashes and counts stay (P2), and a stand-in of the address with each copy, so that
nobody gets a letter again who has had it (P1). Suppressions stay: they must not be written to. So
do withdrawn signatures: their mailboxes sign nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime

from petition.identity import Signer
from petition.outbox import signatures
from petition.outbox.database import stamp
from petition.outbox.log import Log
from petition.outbox.states import Reason


@dataclass(slots=True)
class Expired:
    """What is older than it may be kept, or was erased, in numbers."""

    people: int = 0
    copies: int = 0
    answers: int = 0
    mails: int = 0
    signatures: int = 0
    staying: int = 0  # older people whose copies still wait or are uncertain
    digests: set[str] = field(default_factory=set)  # SHA-256 of the letters to those people

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to erase."""
        return not (self.people or self.mails or self.signatures)


def expired(log: Log, before: datetime) -> Expired:
    """What is older than a moment, and could be erased."""
    database, values = log.database, {"before": stamp(before)}
    rows = database.all("expiring", values)
    copies = {"copies": [row["id"] for row in rows]}
    return Expired(
        people=len({row["folded"] for row in rows}),
        copies=len(rows),
        answers=database.value("count_answers_of", copies),
        mails=database.value("count_mails_of", copies) + database.value("count_strays", values),
        signatures=len(database.all("expiring_signatures", values)),
        staying=database.value("count_staying", values),
        digests={row["sha256"] for row in rows if row["sha256"]},
    )


def expire(log: Log, before: datetime) -> Expired:
    """Erase what is older than a moment, in one transaction; returns what that was.

    The caller owns the log, and then calls `Database.scrub`.
    """
    database, values = log.database, {"before": stamp(before)}
    stand_in = Signer(log.key).stand_in  # reads the key, in a transaction of its own
    with database.transaction():
        found = expired(log, before)
        rows = database.all("expiring", values)
        copies = {"copies": [row["id"] for row in rows]}
        known = copies | {"now": log.now, "reason": Reason.EXPIRED, "reasons": list(Reason)}
        for query in ("expire_mails", "expire_answers", "expire_events", "expire_copies"):
            database.run(query, known)
        database.run("log_forgotten", known)
        database.run("expire_strays", values)
        database.run("expire_approvals", values)
        for row in database.all("expiring_signatures", values):
            signatures.delete(log, row["id"])
        database.run("drop_unused_wordings")
        people = {(row["folded"], row["mailbox"]) for row in rows}
        database.run_many(
            "erase_copies",
            [
                {
                    "folded": key,
                    "mailbox": mailbox,
                    "stand_in": stand_in(key),
                    "mailbox_stand_in": stand_in(mailbox),
                    "now": log.now,
                }
                for key, mailbox in sorted(people)
            ],
        )
        database.run("erase_unused_enclosures")
    return found
