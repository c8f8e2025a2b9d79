from pathlib import Path

import pytest

from petition.inbox import mailboxes
from petition.inbox.mailboxes import Fetched, read_into
from petition.outbox.inbound import Incoming
from petition.outbox.log import Log

ANSWER = b"From: a@kaz.example\nTo: b@campaign.example\nSubject: Re: x\n\nWe have read it.\n"


def test_a_known_mail_is_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    parsed: list[bytes] = []
    read_mail = mailboxes.read_mail

    def counted(data: bytes) -> object:
        parsed.append(data)
        return read_mail(data)

    monkeypatch.setattr(mailboxes, "read_mail", counted)
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        incoming = Incoming(log)
        for uid in (4, 9):
            mails = [Fetched(f"7:{uid}", ANSWER, uid)]
            list(read_into(incoming, mails, "imaps://x", 7))
            assert incoming.position("imaps://x") == (7, uid)
    assert parsed == [ANSWER]
