"""P5: what was acknowledged as durable is there after a loss of power, and nothing half done is.

A loss of power leaves the write-ahead log cut off at any byte behind what was synced; here it is
cut off there, with and without rubbish behind the cut, and the log is opened again.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from petition.outbox.enqueue import Listing
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.outbox.states import Mode, State
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import mark, outcome_of, record

Step = tuple[str, str | None, str]  # of whom, from where, to where


@dataclass(frozen=True)
class Durable:
    """What had been acknowledged when the write-ahead log was so long."""

    length: int
    events: tuple[Step, ...]
    intended: frozenset[str]


@dataclass(frozen=True)
class Disk:
    """The files as a run left them, and what it was told in the course of it."""

    main: bytes
    ahead: bytes
    acknowledged: list[Durable]


def events_of(log: Log) -> tuple[Step, ...]:
    return tuple((event.mailbox, event.from_state, event.to_state) for event in log.events())


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    """Three letters on their way: sent, deferred, and one whose dot was allowed to go."""
    folder = tmp_path_factory.mktemp("disk")
    url = f"sqlite:///{folder}/petition.db"
    with Log(url) as log:
        assert log.key
    ahead = folder / "petition.db-wal"
    acknowledged: list[Durable] = []
    with Log(url) as log, Log(url) as beside:
        intended: set[str] = set()

        def acknowledge() -> None:
            acknowledged.append(
                Durable(ahead.stat().st_size, events_of(beside), frozenset(intended))
            )

        listing = Listing(log, "open")
        stage(listing, listed("ann", "bob", "cy"))
        listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", frozen())
        acknowledge()

        async def send() -> None:
            run = Run(log, "open")
            known: list[int] = []
            for end in (State.SENT, State.DEFERRED, None):
                [copy] = await run.fetch(1, known=known)
                known.append(copy.id)
                assert await mark(run, copy)
                intended.add(copy.mailbox)
                acknowledge()
                if end:
                    await record(run, outcome_of(copy, end))
                    intended.discard(copy.mailbox)
                    acknowledge()
            await run.close()

        asyncio.run(send())
        return Disk((folder / "petition.db").read_bytes(), ahead.read_bytes(), acknowledged)


WAL_HEADER, FRAME_HEADER, PAGE = (
    32,
    24,
    4096,
)  # bytes (https://www.sqlite.org/fileformat.html#walformat)


def cuts(disk: Disk) -> list[int]:
    """Each boundary between two frames, the bytes beside it, and the middle of each frame."""
    boundaries = range(WAL_HEADER, len(disk.ahead) + 1, FRAME_HEADER + PAGE)
    assert boundaries[-1] == len(disk.ahead)
    places = (-PAGE // 2, -1, 0, 1, FRAME_HEADER // 2, FRAME_HEADER)
    found = {boundary + place for boundary in boundaries for place in places}
    return sorted(cut for cut in found if 0 <= cut <= len(disk.ahead))


@pytest.mark.parametrize(
    "rubbish", [b"", bytes(5000), b"\xa5" * 5000], ids=["cut", "zeros", "noise"]
)
def test_a_loss_of_power_loses_nothing_that_was_acknowledged(
    tmp_path: Path, disk: Disk, rubbish: bytes
):
    whole = disk.acknowledged[-1].events
    for cut in cuts(disk):
        path = tmp_path / f"{cut}.db"
        path.write_bytes(disk.main)
        path.with_name(path.name + "-wal").write_bytes(disk.ahead[:cut] + rubbish)
        with Log(f"sqlite:///{path}") as log:
            found = events_of(log)
            [check] = log.database._connection.execute("PRAGMA integrity_check").fetchone()
            told = [one for one in disk.acknowledged if one.length <= cut]
            assert check == "ok"
            assert found == whole[: len(found)], cut
            assert found in {(), *(one.events for one in disk.acknowledged)}, cut
            if told:
                assert found == told[-1].events, cut
            log.tidy()
            uncertain = {copy.mailbox for copy in log.copies("open", State.UNCERTAIN)}
            assert uncertain == (told[-1].intended if told else set()), cut
            assert log.counts("open")[State.SENDING] == 0


def test_each_step_was_durable_when_it_was_acknowledged(disk: Disk):
    lengths = [one.length for one in disk.acknowledged]
    assert lengths == sorted(set(lengths))
    assert len(lengths) == 6
