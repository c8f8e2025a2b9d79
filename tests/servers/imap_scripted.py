"""A small IMAP server on loopback, with or without TLS, that does what it is told to."""

import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from tests import PATIENCE
from tests.servers.authority import Authority

USER, PASSWORD = "answers@campaign.example", "correct horse"


class ScriptedImap:
    """The server; one mailbox.

    Args:
        authority: Who signs its certificate.

    Attributes:
        mails: The mails by their UIDs.
        refusals: What it says after NO to a FETCH of these UIDs.
        hang_ups: How many times more it hangs up when it is asked to IDLE.
        idling: Whether somebody idles, or has.
        refuses_idle: Whether it says NO to IDLE, which it offers.
        connections: How many have logged in so far.
        greeting: The first thing it says.
        starts_plain: Whether TLS begins with STARTTLS only.
        capabilities: What it can, beside IMAP4rev1 and IDLE.
        heard_plain: What it was told without TLS.
        script: What it says instead to commands that begin so, made from their tag; behind BYE it
            hangs up.
    """

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self._context = self.authority.server()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.mails: dict[int, bytes] = {}
        self.refusals: dict[int, str] = {}
        self.hang_ups = 0
        self.idling = threading.Event()
        self.refuses_idle = False
        self.connections = 0
        self.greeting = b"* OK ready\r\n"
        self.starts_plain = False
        self.capabilities = ""
        self.heard_plain: list[str] = []
        self.script: dict[str, Callable[[str], Iterable[bytes]]] = {}

    @property
    def url(self) -> str:
        """The mailbox, as [inbox] url has it."""
        return self.url_at("localhost")

    def url_at(self, host: str) -> str:
        """The mailbox by another name of this machine."""
        scheme = "imap" if self.starts_plain else "imaps"
        return f"{scheme}://{USER.replace('@', '%40')}@{host}:{self.port}/INBOX"

    def serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(plain,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _converse(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            if self.starts_plain:
                plain.sendall(self.greeting)
                if not self._talk(plain, self.heard_plain):
                    return
            with self._context.wrap_socket(plain, server_side=True) as wire:
                if not self.starts_plain:
                    wire.sendall(self.greeting)
                self._talk(wire, [])

    def _talk(self, wire: socket.socket, heard: list[str]) -> bool:
        """Until it ends; whether TLS begins now."""
        with wire.makefile("rb") as lines:
            for line in lines:
                tag, _, command = line.decode().strip().partition(" ")
                heard.append(command)
                if command.startswith("IDLE") and self.hang_ups:
                    self.hang_ups -= 1
                    return False
                scripted = [say for start, say in self.script.items() if start in command]
                for piece in scripted[0](tag) if scripted else [self._answer(tag, command)]:
                    wire.sendall(piece)
                    if b"* BYE" in piece:
                        return False
                if command.startswith("IDLE"):
                    self.idling.set()
                if command.startswith("LOGOUT"):
                    return False
                if command.startswith("STARTTLS"):
                    return True
        return False

    def _answer(self, tag: str, command: str) -> bytes:
        done = f"{tag} OK done\r\n".encode()
        if command.startswith("CAPABILITY"):
            return f"* CAPABILITY IMAP4rev1 IDLE {self.capabilities}\r\n".encode() + done
        if command.startswith("LOGIN"):
            self.connections += 1
        if command.startswith("IDLE") and self.refuses_idle:
            return f"{tag} NO not today\r\n".encode()
        if command.startswith("EXAMINE"):
            return b"* OK [UIDVALIDITY 7] x\r\n* 0 EXISTS\r\n" + done
        if command.startswith("UID SEARCH"):
            return f"* SEARCH {' '.join(map(str, self.mails))}\r\n".encode() + done
        if found := re.match(r"UID FETCH ([\d,]+) (.*)", command):
            return self._fetched(tag, [int(uid) for uid in found[1].split(",")], found[2]) or done
        idle = {"IDLE": b"+ idling\r\n", "": b""}  # it is silent to DONE: nobody may wait for it
        return idle.get(command, done)

    def _fetched(self, tag: str, uids: list[int], parts: str) -> bytes:
        for uid in uids:
            if uid in self.refusals:
                return f"{tag} NO {self.refusals[uid]}\r\n".encode()
        answer = b""
        for number, uid in enumerate(uids, 1):
            data = self.mails[uid]
            if "SIZE" in parts:
                answer += f"* {number} FETCH (UID {uid} RFC822.SIZE {len(data)})\r\n".encode()
            else:
                head = f"* {number} FETCH (UID {uid} BODY[] {{{len(data)}}}\r\n"
                answer += head.encode() + data + b")\r\n"
        return answer + f"{tag} OK done\r\n".encode()


@contextmanager
def scripted_imap(authority: Authority) -> Iterator[ScriptedImap]:
    """Run the server while the block runs."""
    server = ScriptedImap(authority)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(timeout=PATIENCE)
