"""A log that the disk, a copy or a person has damaged: each command says so, and nobody is sent
a letter twice."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer, counting_server

SEND = ("send", "open-letter", "--yes", "--this-log")
COMMANDS = (
    ("status",),
    ("status", "open-letter", "--csv"),
    ("status", "--answers"),
    ("log",),
    ("log", "p1"),
    ("check",),
    ("preview", "open-letter"),
    ("report",),
    ("inbox",),
    ("answer", "p1@x.example", "met", "--quote", "Yes."),
    ("resolve", "--all", "--sent"),
    ("suppress",),
    ("export", "p2@x.example"),
    ("evidence", "pack.zip", "--force"),
    ("retry", "open-letter"),
    ("withdraw", "open-letter", "--to", "p5"),
    SEND,
)
PEOPLE = 12


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with counting_server(answers={"p3": "550 5.1.1 No", "p4": "451 4.2.0 Later"}) as server:
        yield server


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, server: CountingServer) -> Path:
    """A campaign of which one half has been sent; its WAL still holds what came last."""
    root = tmp_path_factory.mktemp("whole")
    campaign = SmallCampaign.at(root, PEOPLE).through(server.port)
    campaign.petition(*SEND, "--limit", "8")
    campaign.petition("answer", "p1@x.example", "met", "--quote", "Yes.")
    with sqlite3.connect(root / "petition.db") as reading:
        reading.execute("SELECT * FROM copy").fetchone()  # keeps the WAL from being taken in
        campaign.petition("suppress", "p9@x.example")
        campaign.petition("suppress", "p10@x.example")
        shutil.copy(root / "petition.db-wal", root / "wal")
    reading.close()
    return root


def damaged(whole: Path, root: Path, damage: Callable[[Path], None], port: int) -> SmallCampaign:
    """A copy of the campaign with a damaged log."""
    if root.exists():
        shutil.rmtree(root)
    shutil.copytree(whole, root)
    damage(root / "petition.db")
    return SmallCampaign(root).through(port)


def flipped(*places: tuple[int, int]) -> Callable[[Path], None]:
    """Bits that have turned over, each by its byte and its place in that."""

    def damage(file: Path) -> None:
        data = bytearray(file.read_bytes())
        for at, bit in places:
            data[at % len(data)] ^= 1 << bit
        file.write_bytes(data)

    return damage


def truncated(share: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        data = file.read_bytes()
        file.write_bytes(data[: max(1, int(len(data) * share))])

    return damage


def zeroed(share: float, length: int = 4096) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        data = bytearray(file.read_bytes())
        begin = int(len(data) * share) // 4096 * 4096
        data[begin : begin + length] = bytes(len(data[begin : begin + length]))
        file.write_bytes(data)

    return damage


def headed(head: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        data = file.read_bytes()
        file.write_bytes(head + data[len(head) :])

    return damage


def with_wal(seed: int) -> Callable[[Path], None]:
    """A WAL of which bytes were damaged, cut off, or that is of another log."""

    def damage(file: Path) -> None:
        chance = random.Random(seed)
        data = bytearray((file.parent / "wal").read_bytes())
        for _ in range(20):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        cut = chance.choice([len(data), chance.randrange(len(data))])
        file.with_name("petition.db-wal").write_bytes(data[:cut])

    return damage


def random_damage(seed: int) -> Callable[[Path], None]:
    chance = random.Random(seed)
    kind = seed % 5
    if kind == 0:
        return truncated(chance.random())
    if kind == 1:
        return zeroed(chance.random(), chance.choice([64, 512, 4096, 8192]))
    if kind == 2:
        return with_wal(seed)
    count = 1 if kind == 3 else 200
    return flipped(*((chance.randrange(1 << 30), chance.randrange(8)) for _ in range(count)))


def changed(statement: str, *values: object) -> Callable[[Path], None]:
    """Values that petition never writes."""

    def damage(file: Path) -> None:
        with sqlite3.connect(file) as log:
            assert log.execute(statement, values).rowcount == 1
        log.close()

    return damage


def of_meta(name: str, value: object) -> Callable[[Path], None]:
    return changed("UPDATE meta SET value = ? WHERE name = ?", value, name)


FEW = {
    "header": headed(b"garbage in the place of a header"),
    "page size": headed(b"SQLite format 3\0\xff\xff"),
    "short": truncated(0.4),
    "odd": truncated(0.777),
    "schema": zeroed(0.0),
    "middle": zeroed(0.5, 16384),
    "zeros": zeroed(0.0, 1 << 30),
    "undecodable": random_damage(14),  # SQLite quotes what is no UTF-8
    "mailbox": changed("UPDATE copy SET mailbox = ? WHERE row_id = 'p2'", b"\xff\xfe"),
    "quote": changed("UPDATE answer SET quote = ? WHERE id = 1", b"\xff\xfe"),
    "document": changed("UPDATE frozen SET document = ?", b"\xff\xfe"),
    "key": of_meta("key", "zz"),
    "epoch": of_meta("epoch", b"x"),
    "campaign": of_meta("campaign", b"\xff\xfe"),
}


AT_ONCE = ("header", "middle", "undecodable", "mailbox", "key")


def try_all(campaign: SmallCampaign, server: CountingServer, what: object) -> None:
    """Run every command on a damaged log; each says what is wrong, and nobody gets it twice."""
    have = server.accepted.copy()
    for command in COMMANDS:
        answer = campaign.petition(*command)
        said = answer.out + answer.err
        assert "Traceback" not in said, (what, command, said)
        assert "Internal error" not in said, (what, command, said)
        assert answer.status in {0, 1, 2, 3}, (what, command, answer)
    new = server.accepted - have
    server.accepted.clear()
    server.accepted.update(have)
    assert not set(new) & set(have), (what, new)
    assert max(new.values(), default=1) == 1, (what, new)


@pytest.mark.parametrize(
    "name",
    [name if name in AT_ONCE else pytest.param(name, marks=pytest.mark.slow) for name in FEW],
)
def test_a_damaged_log_is_told(name: str, whole: Path, tmp_path: Path, server: CountingServer):
    campaign = damaged(whole, tmp_path / "campaign", FEW[name], server.port)
    try_all(campaign, server, name)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_damage_of_any_kind_is_told(part: int, whole: Path, tmp_path: Path, server: CountingServer):
    for seed in range(part, 60, 10):
        campaign = damaged(whole, tmp_path / "campaign", random_damage(seed), server.port)
        try_all(campaign, server, seed)


def test_one_bit_of_an_index_sends_nobody_twice(
    whole: Path, tmp_path: Path, server: CountingServer
):
    """The index finds somebody under another address: the list would call him new."""
    root = tmp_path / "campaign"

    def damage(file: Path) -> None:
        with sqlite3.connect(file) as log:
            log.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            found = log.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'copy_once'")
            [page] = found.fetchone()
            [size] = log.execute("PRAGMA page_size").fetchone()
        log.close()
        at = file.read_bytes().index(b"p2@x.example", (page - 1) * size)
        assert at < page * size
        flipped((at, 0))(file)

    campaign = damaged(whole, root, damage, server.port)
    have = server.accepted.copy()
    checked = campaign.petition("check", status=1)
    assert "is damaged" in checked.out
    assert "ready" not in checked.out
    answer = campaign.petition(*SEND)
    assert server.accepted == have
    assert (answer.status, "petition.db is damaged" in answer.err) == (1, True)
