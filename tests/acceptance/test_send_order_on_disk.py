"""The mark of every letter is on the disk before its dot is on the wire, as the kernel saw it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server

pytestmark = pytest.mark.component("strace")

CALLS = "fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg,rename"
CALL = re.compile(
    r'(?P<thread>\d+) +(?P<name>\w+)\(\d+<(?P<file>[^>]*)>(?:, .*?"(?P<data>[^"]*)")?.*'
)
RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. (?P<name>\w+) resumed>.*= 0$")
MESSAGE_ID = re.compile(rb"^Message-ID: (<[^>]+>)\r$", re.MULTILINE)
DOT = b"\r\n.\r\n"
# A petition that does not wait for the disk: what the test below has to see.
CARELESS = """
import sys
from petition.outbox.sqlite import SqliteDatabase
prepare = SqliteDatabase._prepare
def careless(self):
    prepare(self)
    self._connection.execute("PRAGMA synchronous = OFF")
SqliteDatabase._prepare = careless
from petition.cli.main import run
sys.argv = ["petition", "send", "open-letter", "--yes"]
run()
"""
Step = tuple[str, bytes]  # "log", what was written to it; "disk"; or "wire", what was sent


def steps_of(trace: str) -> Iterator[Step]:
    """What was written to the log, what of it became durable, and what was sent, in order."""
    syncing: dict[str, str] = {}
    for line in trace.splitlines():
        if resumed := RESUMED.fullmatch(line):
            if syncing.pop(resumed["thread"], None):
                yield "disk", b""
            continue
        call = CALL.fullmatch(line)
        if call is None:
            continue
        data, file = unhexed(call["data"] or ""), unhexed(call["file"])
        if file.endswith(b"petition.db-wal"):
            if call["name"] in {"fdatasync", "fsync"} and line.endswith("<unfinished ...>"):
                syncing[call["thread"]] = line
            else:
                yield ("disk", b"") if "sync" in call["name"] else ("log", data)
        elif file.startswith((b"socket:", b"TCP:")):
            yield "wire", data


def unhexed(text: str) -> bytes:
    """What strace -xx shows; some versions leave the names of files as they are."""
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


def dots_of(steps: list[Step]) -> list[tuple[bool, bool]]:
    """Of each dot: whether its mark was durable, and whether the next letter's MAIL went with it.

    A mark is in the log from the first write there that holds the letter's Message-ID.
    """
    written = durable = b""
    dots = []
    for kind, data in steps:
        if kind == "log":
            written += data
        elif kind == "disk":
            durable, written = durable + written, b""
        elif DOT in data:
            [message_id] = MESSAGE_ID.findall(data)
            dots.append((message_id in durable, data.partition(DOT)[2].startswith(b"MAIL FROM:")))
    return dots


def traced(campaign: SmallCampaign, trace: Path, *program: str) -> list[tuple[bool, bool]]:
    done = subprocess.run(
        ["strace", "-f", "-y", "-xx", "-s", "100000", "-e", f"trace={CALLS}", "-o", str(trace),
         sys.executable, *program],
        cwd=campaign.root,
        env=campaign.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dots_of(list(steps_of(trace.read_text(encoding="ascii"))))


@pytest.mark.parametrize("connections", ["1", "4"])
def test_each_mark_is_on_the_disk_before_its_dot_goes(tmp_path: Path, connections: str):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path / "campaign", people=40).through(server.port)
        campaign.env["PETITION_SMTP_CONNECTIONS"] = connections
        send = ("-m", "petition", "send", "open-letter", "--yes")
        dots = traced(campaign, tmp_path / "trace", *send)
        assert len(dots) == server.accepted.total() == 40
        assert all(is_durable for is_durable, _ in dots)
        # With one connection only the last letter has no other one behind its dot.
        together = sum(with_next for _, with_next in dots)
        assert together == 39 if connections == "1" else together > 20


def test_the_same_is_seen_to_fail_where_the_disk_is_not_waited_for(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path / "campaign", people=5).through(server.port)
        dots = traced(campaign, tmp_path / "trace", "-c", CARELESS)
        assert len(dots) == 5
        assert not any(is_durable for is_durable, _ in dots)


def test_what_tells_others_is_on_the_disk_before_the_first_dot_goes(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path / "campaign", people=3).through(server.port)
        trace = tmp_path / "trace"
        traced(campaign, trace, "-m", "petition", "send", "open-letter", "--yes")
    lines = [unhexed_all(line) for line in trace.read_text(encoding="ascii").splitlines()]
    folder = str(campaign.root)
    draft = first(lines, f"write\\(\\d+<{folder}/\\.sent\\.toml\\.\\w+>")
    draft_synced = first(lines, f"fsync\\(\\d+<{folder}/\\.sent\\.toml\\.\\w+>")
    renamed = first(lines, 'rename\\("[^"]*sent\\.toml\\.\\w+", "[^"]*/sent\\.toml"')
    folder_synced = renamed + first(lines[renamed:], f"fsync\\(\\d+<{folder}>")
    # asyncio sends, uvloop writes.
    dot = first(lines, r"(?s)(send\w+|writev?)\(\d+<(socket|TCP):.*Message-ID: ")
    assert draft < draft_synced < renamed < folder_synced < dot


def unhexed_all(line: str) -> str:
    return re.sub(r"(?:\\x[0-9a-f]{2})+", lambda it: unhexed(it[0]).decode("latin-1"), line)


def first(lines: list[str], pattern: str) -> int:
    return next(number for number, line in enumerate(lines) if re.search(pattern, line))
