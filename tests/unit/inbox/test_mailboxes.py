from pathlib import Path

import pytest

from petition.inbox import mailboxes
from petition.inbox.mailboxes import Fetched, Mbox, first_mail, mails_in, read_into
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


def test_an_mbox_file_is_split_only_where_a_mail_begins(tmp_path: Path):
    first = b"From: a@x.example\n\nHello,\n\nFrom Monday on we meet at 10:00.\n\nFrom here.\n"
    second = b"From: b@x.example\n\nNo.\n"
    begin = b"From a@x.example Mon Nov 30 08:00:00 2026\n"
    data = begin + first + b"\n" + begin + second
    (tmp_path / "mbox").write_bytes(data)
    assert [one.data for one in Mbox(tmp_path / "mbox").mails(set())] == [first, second]
    assert mails_in(data) == 2
    assert first_mail(data) == (begin + first).rstrip(b"\n")
