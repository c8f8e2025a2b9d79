"""A name server with a zone of the tests' own, on loopback: UDP and TCP on one port."""

import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SERVFAIL, SILENT = "SERVFAIL", "SILENT"
UDP_LIMIT = 512  # without more, so that large answers must be asked for over TCP

Zone = Mapping[str, Mapping[str, list[str]] | str]


class NameServer:
    """Answers from a zone: {name: {kind: [texts]}}, or {name: SERVFAIL | SILENT}.

    A CNAME is followed within the zone, as a recursive server does. Names that are not there do
    not exist; names that are there without the kind have no data.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = {name.lower().rstrip("."): kinds for name, kinds in zone.items()}
        self.asked: list[str] = []
        self.port = 0

    @property
    def place(self) -> str:
        """What PETITION_RESOLVER is set to."""
        return f"127.0.0.1:{self.port}"

    def answer(self, wire: bytes, *, limit: int | None = None) -> bytes | None:
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, kind = question.name, dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name.to_text(omit_final_dot=True)} {kind}")
        response = dns.message.make_response(query, recursion_available=True)
        for _ in range(5):
            kinds = self.zone.get(name.to_text(omit_final_dot=True).lower())
            if kinds == SILENT:
                return None
            if kinds == SERVFAIL:
                response.set_rcode(dns.rcode.SERVFAIL)
                break
            if kinds is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            found = "CNAME" if "CNAME" in kinds else kind
            if not kinds.get(found):
                break
            texts = [_quoted(text) if found == "TXT" else text for text in kinds[found]]
            response.answer.append(dns.rrset.from_text(name, 60, "IN", found, *texts))
            if found == kind:
                break
            name = dns.name.from_text(kinds["CNAME"][0])
        made = response.to_wire()
        if limit and len(made) > limit:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            made = response.to_wire()
        return made


def _quoted(text: str) -> str:
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, max(len(text), 1), 255))


@contextmanager
def name_server(zone: Zone) -> Iterator[NameServer]:
    """Run it until the block is left."""
    server = NameServer(zone)

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, there = self.request
            if answer := server.answer(wire, limit=UDP_LIMIT):
                there.sendto(answer, self.client_address)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            if answer := server.answer(self.rfile.read(struct.unpack("!H", head)[0])):
                self.wfile.write(struct.pack("!H", len(answer)) + answer)

    with ExitStack() as closing:
        datagrams, streams = _on_one_port(Datagram, Stream, closing)
        server.port = datagrams.server_address[1]
        for each in (datagrams, streams):
            thread = threading.Thread(target=each.serve_forever, args=(0.02,))
            thread.start()
            closing.callback(thread.join)
            closing.callback(each.shutdown)
        yield server


def _on_one_port(datagram, stream, closing: ExitStack):
    for _ in range(50):
        datagrams = socketserver.ThreadingUDPServer(("127.0.0.1", 0), datagram)
        try:
            streams = socketserver.ThreadingTCPServer(datagrams.server_address, stream)
        except OSError:  # the port is taken for TCP
            datagrams.server_close()
            continue
        closing.callback(datagrams.server_close)
        closing.callback(streams.server_close)
        return datagrams, streams
    raise OSError("no port is free for both UDP and TCP")
