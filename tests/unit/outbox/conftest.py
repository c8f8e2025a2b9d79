from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from petition.outbox.enqueue import ListedRow, Listing
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.outbox.states import Mode

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What the log promises it keeps in every kind of database."""
    if "log_url" in metafunc.fixturenames:
        is_sqlite = any(mark.name == "sqlite" for mark in metafunc.definition.iter_markers())
        kinds = ["sqlite"] if is_sqlite else ["sqlite", "postgresql"]
        metafunc.parametrize("log_url", kinds, indirect=True)


@pytest.fixture
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/petition.db"
    url: str = request.getfixturevalue("postgres").new_log()
    return url


@pytest.fixture
def log(log_url: str) -> Iterator[Log]:
    with Log(log_url) as log:
        yield log


def listed(*names: str, only: tuple[str, ...] | None = None, **fields: str) -> list[ListedRow]:
    """Rows of a list; `only` says who is chosen."""
    return [
        ListedRow(
            mailbox=f"{name}@x.example",
            name=name.title(),
            language="en",
            row_id=name,
            file="recipients.csv",
            line=line,
            fields={"name": name.title(), **fields},
            chosen=only is None or name in only,
        )
        for line, name in enumerate(names, 2)
    ]


def stage(listing: Listing, rows: Iterable[ListedRow]) -> None:
    """Stage a whole list at once."""
    with listing.staging() as add:
        add(list(rows))


def frozen(revision: int = 1, letter: str = "open", mode: Mode = Mode.CONTINUE) -> FrozenLetter:
    return FrozenLetter(letter, revision, f"hash-{revision}", "content", "{}", NOW, mode)


@pytest.fixture
def queue(log: Log) -> Callable[..., Listing]:
    """Queue a letter for people, as `send` would."""

    def queue(
        *names: str, revision: int = 1, mode: Mode = Mode.CONTINUE, limit: int | None = None
    ) -> Listing:
        listing = Listing(log, "open")
        stage(listing, listed(*names))
        comparison = listing.compare(revision, mode, limit)
        is_new = log.frozen("open", revision) is None
        listing.carry_out(comparison, "campaign", frozen(revision) if is_new else None)
        return listing

    return queue
