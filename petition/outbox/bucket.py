"""Whose turn it is, over all workers: one bucket in the database for all letters, one a domain.

A turn is given by the server's clock and answered as a wait, so that the clocks of the machines
need not agree.
"""

from collections.abc import Mapping

from petition.outbox.database import Database

ALL = ""


def keep_to(database: Database, intervals: Mapping[str, float]) -> None:
    """Let buckets be used with other intervals: turns of a slower pace are not waited for.

    Args:
        database: The log's, in a transaction.
        intervals: The interval of each bucket, in seconds.
    """
    for name, interval in intervals.items():
        database.run("pull_turn_in", {"name": name, "interval": interval})


def take_turn(database: Database, name: str, interval: float) -> float:
    """Take the next of the turns that lie at least an interval apart, whoever asks for them.

    Args:
        database: The log's, on a connection that no run commits through: a turn must not wait.
        name: Whose turns: a domain, or ALL.
        interval: How far they lie apart, in seconds.

    Returns:
        How many seconds it is until then.

    Raises:
        LogUnusable: The database does not answer.
    """
    row = database.one("take_turn", {"name": name, "interval": interval})
    return max(0.0, float(row["delay"])) if row else 0.0
