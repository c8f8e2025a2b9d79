"""What is asked of each mail before it is taken apart, and what is not asked at all."""

import logging
from pathlib import Path

import pytest

from petition.inbox import bounce, mailboxes
from petition.inbox.classify import explain
from petition.inbox.mailboxes import Fetched, read_into
from petition.inbox.message import read_mail
from petition.inbox.patterns import Kind
from petition.outbox.inbound import Incoming
from petition.outbox.log import Log

ANSWER = b"From: a@kaz.example\nTo: b@campaign.example\nSubject: Re: x\n\nWe have read it.\n"


def test_a_mail_that_is_known_is_not_taken_apart_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    taken_apart: list[bytes] = []
    read_mail = mailboxes.read_mail

    def counted(data: bytes) -> object:
        taken_apart.append(data)
        return read_mail(data)

    monkeypatch.setattr(mailboxes, "read_mail", counted)
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        incoming = Incoming(log)
        for uid in (4, 9):
            mails = [Fetched(f"7:{uid}", ANSWER, uid)]
            list(read_into(incoming, mails, "imaps://x", 7))
            assert incoming.position("imaps://x") == (7, uid)
    assert taken_apart == [ANSWER]


def test_a_persons_answer_is_not_searched_for_what_mail_servers_say(
    monkeypatch: pytest.MonkeyPatch,
):
    searched: list[str] = []
    monkeypatch.setattr(bounce, "says_failed", searched.append)
    assert explain(ANSWER).kind is Kind.ANSWER
    assert searched == []
    explain(ANSWER.replace(b"a@kaz.example", b"MAILER-DAEMON@mx.example").replace(b"Re: ", b""))
    assert searched != []


def test_a_detector_that_fails_on_a_header_ends_neither_the_others_nor_the_silence(
    caplog: pytest.LogCaptureFixture,
):
    mail = (
        b"From: MAILER-DAEMON@mx.example (\xd0\x90)\nX-Mailer: \xd0\nSubject: Delivery failure\n\n"
        b"Unable to deliver message to the following address(es).\n\n"
        b"<kim@kaz.example>:\nno\n"
    )
    with caplog.at_level(logging.INFO):
        assert bounce._failures(mail) is None
        assert bounce._known_to_flufl(read_mail(mail), frozenset()) == "kim@kaz.example"
    assert caplog.records == []
