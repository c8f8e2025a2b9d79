"""The indexes of what a mail's copy is found by: Message-ID, return path, request to leave.

Each of these marks is an HMAC, and so a place by chance in its index. While a run marks copies,
nearly every mark is a page of each index that its commit has to write. So the indexes are dropped
before a long run, and made of all copies at once for the first who asks; until then a mark is found
too, more slowly.
"""

from petition.outbox.database import Database

LONG_RUN = 10_000  # copies
INDEXING = ("index_message_ids", "index_tokens", "index_selectors")
_DROPPING = ("drop_index_of_message_ids", "drop_index_of_tokens", "drop_index_of_selectors")


def index_marks(database: Database) -> None:
    """Make the indexes that are not there.

    Args:
        database: The log, in a transaction.
    """
    for query in INDEXING:
        database.run(query)


def drop_indexes(database: Database, copies: int) -> None:
    """Drop them where that is worth making them again.

    Args:
        database: The log, in a transaction.
        copies: How many are to be marked.
    """
    if copies >= LONG_RUN:
        for query in _DROPPING:
            database.run(query)
