#!/usr/bin/env python3
"""Measures how people sign by the form while letters go out, and what that costs the letters.

    python benchmarks/sign.py [--rate 500] [--seconds 45] [--letters 150000] [--rounds 1]

So many people a minute open the form of `petition serve --sign`, send it after three seconds, open
the link in the mail that they get, and press the button; each begins when it is time, however long
the others wait. Meanwhile `petition send` sends a bulk letter as fast as it can, and their mails
too. It also does so with nobody signing, in turn. Mails go to a server of this program, which takes
some of the processor as well, as do the people. Linux alone.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlencode

from measure import PETITION, ROOT, environment_of

sys.path.insert(0, str(ROOT))

from tests.acceptance.bulk_campaign import bulk_campaign

PAGE = '\n[sign]\npage = "https://campaign.example/sign"\nletter = "open-letter"\n'
PERSON = {"name": "Ann Reed", "role": "Nurse", "place": "Leeds", "country": "GB", "publish": "yes"}
LINK = re.compile(rb"https://campaign\.example/sign/([0-9a-f]{32})")
STAMP = re.compile(r'name="stamp" value="([^"]*)"')
FILLING_SECONDS = 3.2  # the form takes nothing that comes sooner than three seconds
STEPS = ("the form", "the form, sent", "the link", "the button")
CONNECTIONS = 32  # of the send, as in run.py
TICKS = os.sysconf("SC_CLK_TCK")
INTERRUPTED = 130


@dataclass
class Turn:
    """What was measured in one turn; seconds, and letters a second."""

    letters: float
    send: float  # of the processor, for each second
    serve: float = 0.0
    signed: int = 0
    slowest: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0  # MB of serve


# ---- where the mails go


class Conversation(asyncio.Protocol):
    """One connection; counts letters, and passes on the links of those who sign."""

    def __init__(self, counted: "Counted", links: Connection) -> None:
        self._counted = counted
        self._links = links
        self._left = b""
        self._to = ""
        self._is_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        left, replies = self._left + data, []
        while True:
            end = b"\r\n.\r\n" if self._is_data else b"\r\n"
            said, found, rest = left.partition(end)
            if not found:
                break
            replies.append(self._reply(said))
            left = rest
        self._left = left
        if replies:
            self._transport.write(b"".join(replies))

    def _reply(self, said: bytes) -> bytes:
        if self._is_data:
            self._is_data = False
            if link := LINK.search(said):
                self._links.send((self._to, link[1].decode()))
            else:
                self._counted.value += 1
            return b"250 2.0.0 Ok\r\n"
        verb = said[:4].upper()
        if verb == b"DATA":
            self._is_data = True
            return b"354 go on\r\n"
        if verb == b"RCPT":
            self._to = said.partition(b"<")[2].partition(b">")[0].decode()
        if verb == b"EHLO":
            return b"250-sink.test\r\n250 PIPELINING\r\n"
        return b"221 2.0.0 Bye\r\n" if verb == b"QUIT" else b"250 2.0.0 Ok\r\n"


class Counted:
    """A number that two processes see."""

    def __init__(self) -> None:
        self._shared = multiprocessing.RawValue("q", 0)

    @property
    def value(self) -> int:
        return int(self._shared.value)

    @value.setter
    def value(self, number: int) -> None:
        self._shared.value = number


@contextmanager
def mail_server() -> Iterator[tuple[int, Counted, Connection]]:
    """A server in a process of its own: its port, its letters, and (address, token) of mails."""
    counted, (ours, theirs) = Counted(), multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve_mails, args=(counted, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv(), counted, ours
    finally:
        process.terminate()
        process.join()


def _serve_mails(counted: Counted, links: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Conversation(counted, links), "127.0.0.1", 0)
        links.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


# ---- the people


class People:
    """Those who sign, at so many a minute."""

    def __init__(self, port: int, links: Connection) -> None:
        self._port = port
        self._links = links
        self._mails: dict[str, asyncio.Future[str]] = {}
        self.slowest = dict.fromkeys((*STEPS, "the mail"), 0.0)
        self.signed = 0

    async def sign(self, rate: float, seconds: float) -> None:
        """Begin one after another for so many seconds, and wait until all have signed."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._links.fileno(), self._take_mail)
        began, crew = loop.time(), []
        for number in range(round(rate / 60 * seconds)):
            await asyncio.sleep(began + number * 60 / rate - loop.time())
            crew.append(asyncio.create_task(self._one(number)))
        await asyncio.gather(*crew)
        loop.remove_reader(self._links.fileno())

    def _take_mail(self) -> None:
        address, token = self._links.recv()
        self._mails[address].set_result(token)

    async def _one(self, number: int) -> None:
        address = f"signatory{number}@mail.example"
        network = f"10.{number // 250}.{number % 250}.7"
        self._mails[address] = asyncio.get_running_loop().create_future()
        page = await self._ask("the form", "/sign", network)
        await asyncio.sleep(FILLING_SECONDS)
        [stamp] = STAMP.findall(page)
        cells = PERSON | {"email": address, "stamp": stamp}
        await self._ask("the form, sent", "/sign", network, cells)
        sent = time.monotonic()
        token = await self._mails[address]
        self._note("the mail", time.monotonic() - sent)
        await self._ask("the link", f"/sign/{token}", network)
        await self._ask("the button", f"/sign/{token}", network, PERSON | {"do": "confirm"})
        self.signed += 1

    async def _ask(
        self, step: str, path: str, network: str, cells: dict[str, str] | None = None
    ) -> str:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        body = urlencode(cells).encode() if cells else b""
        more = f"Content-Length: {len(body)}\r\n" if cells else ""
        head = (
            f"{'POST' if cells else 'GET'} {path} HTTP/1.1\r\nHost: campaign.example\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\n{more}"
            f"X-Forwarded-For: {network}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = (await reader.read()).decode()
        writer.close()
        self._note(step, time.monotonic() - began)
        status = answer.partition("\r\n")[0]
        if " 200 " not in status:
            sys.exit(f"{step} was answered with {status}")
        return answer

    def _note(self, step: str, seconds: float) -> None:
        self.slowest[step] = max(self.slowest[step], seconds)


# ---- a turn


def processor_of(process: int) -> float:
    """Seconds that a process has used so far."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / TICKS


def memory_of(process: int) -> float:
    """The most memory that it had, in MB."""
    told = Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2]
    return int(told.split()[0]) / 1024


@contextmanager
def petition(
    folder: Path, environment: dict[str, str], *words: str
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until the block is left."""
    with (
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(
            [*PETITION, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if words[0] == "serve" else subprocess.DEVNULL,
            stderr=err,
            text=True,
        ) as running,
    ):
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                running.send_signal(signal.SIGTERM)
            running.communicate()
        if running.returncode not in {0, INTERRUPTED}:
            err.seek(0)
            sys.exit(f"petition {words[0]} ended with {running.returncode}: {err.read()[-500:]}")


def port_of(serve: subprocess.Popen[str]) -> int:
    """Where it listens, once it does."""
    assert serve.stdout
    for line in serve.stdout:
        if line.startswith("Listening "):
            return int(line.split()[2].split(":")[2].partition("/")[0])
    sys.exit("petition serve has not begun")


def turn(options: argparse.Namespace, *, with_people: bool) -> Turn:
    """Send for a while, with people who sign or with none."""
    with tempfile.TemporaryDirectory() as made, mail_server() as (port, counted, links):
        folder = Path(made)
        bulk_campaign(folder)
        with (folder / "petition.toml").open("a") as settings:
            settings.write(PAGE)
        rows = "".join(f"p{n}@x{n % 50}.example,P{n},yes\n" for n in range(options.letters))
        (folder / "supporters.csv").write_text(f"email,name,updates\n{rows}")
        environment = environment_of(ROOT, folder, port)
        environment["PETITION_SMTP_CONNECTIONS"] = str(CONNECTIONS)
        serving = ("serve", "--sign", "--port", "0", "--proxy", "127.0.0.1")
        with (
            petition(folder, environment, *serving) as serve,
            petition(folder, environment, "send", "news", "--yes") as send,
        ):
            people = People(port_of(serve), links)
            while not counted.value and send.poll() is None:
                time.sleep(0.05)
            found = asyncio.run(measured(options, people, send, serve, counted, with_people))
            if send.poll() is not None:
                sys.exit(f"the send ended too soon, with {send.returncode}: more --letters")
        with sqlite3.connect(folder / "petition.db") as log:
            of_log = "SELECT count(*) FROM signature WHERE status = 'confirmed'"
            [(kept,)] = log.execute(of_log).fetchall()
        log.close()
        if kept != found.signed:
            sys.exit(f"{found.signed} have signed, and the log has {kept}")
    return found


async def measured(
    options: argparse.Namespace,
    people: People,
    send: subprocess.Popen[str],
    serve: subprocess.Popen[str],
    counted: Counted,
    with_people: bool,
) -> Turn:
    """What goes on in the seconds in which people begin to sign."""

    def now() -> tuple[float, float, float, float]:
        used = processor_of(send.pid), processor_of(serve.pid)
        return (time.monotonic(), counted.value, *used)

    before = now()
    signing = people.sign(options.rate if with_people else 0, options.seconds)
    everybody = asyncio.create_task(signing)
    await asyncio.sleep(options.seconds)
    seconds, letters, of_send, of_serve = (b - a for a, b in zip(before, now(), strict=True))
    await everybody
    return Turn(
        letters / seconds,
        of_send / seconds,
        of_serve / seconds,
        people.signed,
        people.slowest,
        memory_of(serve.pid),
    )


def main() -> None:
    """Measure in turn, and print tables."""
    given = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    given.add_argument("--rate", type=float, default=500, help="signatures a minute")
    given.add_argument("--seconds", type=float, default=45)
    given.add_argument("--letters", type=int, default=150_000, help="more than are sent meanwhile")
    given.add_argument("--rounds", type=int, default=1)
    options = given.parse_args()
    alone, signed = list[Turn](), list[Turn]()
    for _ in range(options.rounds):
        alone.append(turn(options, with_people=False))
        signed.append(turn(options, with_people=True))
    load = os.getloadavg()[0]
    print(
        f"{options.rate:,.0f} a minute for {options.seconds:.0f} s, load {load:.0f},"
        f" {CONNECTIONS} connections\n"
    )
    print("| | letters/s | processor of send | us a letter |")
    print("|---|--:|--:|--:|")
    for name, turns in (("nobody signs", alone), ("people sign", signed)):
        letters, send, each = (
            statistics.median(one)
            for one in zip(*((t.letters, t.send, t.send / t.letters) for t in turns), strict=True)
        )
        print(f"| {name} | {letters:,.0f} | {100 * send:.0f} % | {1e6 * each:,.0f} |")
    print(f"\n{sum(one.signed for one in signed):,} signatures made and confirmed")
    of_serve = statistics.median(one.serve for one in signed)
    each = 1_000 * of_serve * 60 / options.rate
    print(f"processor of serve: {100 * of_serve:.0f} %, {each:.0f} ms a signature")
    print(f"memory of serve, at most: {max(one.memory for one in signed):.0f} MB")
    for step in (*STEPS, "the mail"):
        print(f"slowest, {step}: {max(one.slowest[step] for one in signed):.2f} s")


if __name__ == "__main__":
    main()
