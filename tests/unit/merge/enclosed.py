"""Letters with files in a folder, for tests."""

import email
import email.policy
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

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
GIF = b"GIF89a" + bytes(100)
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


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
