"""Letters with files in a folder, for tests."""

import email
import email.policy
import struct
import zlib
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from petition.errors import Problem
from petition.identity import Signer
from petition.merge.attachments import Files
from petition.merge.document import Frozen
from petition.merge.message import Email, Merger
from tests.unit.merge.letters import (
    NOW,
    campaign_of,
    freeze_texts,
    person_of,
    problems_of,
    text_of,
)


def png(width: int = 9, height: int = 9, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join((chunk(b"IHDR", header), *chunks))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(width: int = 9, height: int = 9, frame: tuple[int, int] = (9, 9)) -> bytes:
    comment = b"!\xfe\x02hi\0"
    start = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return start + comment + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02D\x01\0;"


def jpeg(width: int = 9, height: int = 9) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0"
    return b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2" + struct.pack(">H", 11) + frame + b"\xff\xda"


PNG, GIF, JPEG = png() + bytes(range(256)), gif() + bytes(100), jpeg() + bytes(100)


@dataclass
class Enclosing:
    """A letter in a folder of its own."""

    root: Path

    def write(self, name: str, data: bytes = b"content") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def freeze(self, *attachments: str, body: str = "Hello.", events=None, **front) -> Frozen:
        text = text_of(body, attachments=list(attachments), **front)
        return freeze_texts(text, root=self.root, events=events)

    def problems(self, *attachments: str, body: str = "Hello.") -> list[Problem]:
        return problems_of(text_of(body, attachments=list(attachments)), root=self.root)

    def merger(self, *attachments: str, body: str = "Hello.", events=None, **front) -> Merger:
        frozen = self.freeze(*attachments, body=body, events=events, **front)
        return Merger(frozen, Signer(b"k" * 32), self.files)

    @property
    def files(self) -> Files:
        return Files.of(campaign_of(text_of("x"), root=self.root))

    def merged(self, *attachments: str, person=None, body: str = "Hello.", **front) -> Email:
        merger = self.merger(*attachments, body=body, **front)
        return merger.merge(person or person_of(), 1, NOW, full=True)


def read(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not [part.defects for part in message.walk() if part.defects]
    return message


def tree(message: EmailMessage) -> list[str]:
    return [part.get_content_type() for part in message.walk()]
