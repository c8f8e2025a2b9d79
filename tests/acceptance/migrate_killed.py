"""`petition migrate`, which kills itself at a commit: `python migrate_killed.py WHEN ARGUMENT...`.

WHEN is `before 3` or `after 3`: the third of the five commits of a move; or `amid`: the rows are
being written.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from petition.cli.main import run
from petition.outbox import transfer
from petition.outbox.database import Database
from petition.outbox.postgres import PostgresDatabase
from petition.outbox.sqlite import SqliteDatabase

COMMITS = range(1, 6)
MOMENTS = (*(f"{when} {number}" for number in COMMITS for when in ("before", "after")), "amid")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Counting:
    """Counts the commits of a move, from its first on."""

    def __init__(self, moment: str) -> None:
        self.moment = moment
        self.begun = False
        self.commits = 0

    def begin(self, *arguments: Any) -> None:
        self.begun = True
        move(*arguments)

    def wrap(self, kind: type[Database]) -> None:
        transaction: Callable[..., Any] = kind.transaction
        run_many: Callable[..., Any] = kind.run_many

        @contextmanager
        def counted(database: Database, *, temporary: bool = False) -> Iterator[None]:
            with transaction(database, temporary=temporary):
                yield
                # Here: the transaction that is inside another one is committed before it.
                self.commits += self.begun
                if self.begun and self.moment == f"before {self.commits}":
                    die()
            if self.begun and self.moment == f"after {self.commits}":
                die()

        def amid(database: Database, name: str, *rest: Any) -> Any:
            if self.begun and self.moment == "amid" and name == "put_event":
                die()
            return run_many(database, name, *rest)

        kind.transaction = counted  # type: ignore[method-assign]
        kind.run_many = amid  # type: ignore[method-assign]


move = transfer._move

if __name__ == "__main__":
    counting = Counting(sys.argv[1])
    counting.wrap(SqliteDatabase)
    counting.wrap(PostgresDatabase)
    transfer._move = counting.begin
    sys.argv = ["petition", *sys.argv[2:]]
    run()
