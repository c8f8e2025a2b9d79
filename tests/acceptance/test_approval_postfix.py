"""The whole way of an approval: petition, a real Postfix, the approver's Maildir, and back."""

import email
import email.policy
import os
import smtplib
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.approving import APPROVAL, BEA, CODE
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.postfix import Postfix, running_postfix

pytestmark = pytest.mark.component("postfix", "root")

MAILBOXES = f"""\
virtual_mailbox_maps = inline:{{ {{ answers@campaign.example = answers/ }}, {{ {BEA} = bea/ }} }},
    static:others/
"""


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    with running_postfix(MAILBOXES) as postfix:
        for name in ("answers", "bea", "others"):
            for folder in (name, *(f"{name}/{part}" for part in ("cur", "new", "tmp"))):
                path = postfix.root / "mail" / folder
                path.mkdir()
                os.chown(path, 65534, 65534)
        yield postfix


@pytest.fixture
def campaign(tmp_path: Path, postfix: Postfix) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path).through(postfix.port)
    inbox = f'\n[inbox]\nurl = "maildir:{postfix.root}/mail/answers"\n'
    campaign.write("petition.toml", SETTINGS + APPROVAL + inbox)
    return campaign.trust()


def mails(postfix: Postfix, name: str, number: int) -> list[EmailMessage]:
    """So many mails that a mailbox has got, once they are there."""
    folder = postfix.root / "mail" / name / "new"
    wait_until(lambda: len(list(folder.iterdir())) >= number, postfix)
    found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    assert len(found) == number
    policy = email.policy.default
    return [email.message_from_bytes(path.read_bytes(), policy=policy) for path in found]


def wait_until(is_met: Callable[[], bool], postfix: Postfix) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_met():
        assert time.monotonic() < deadline, postfix.log[-3_000:]
        time.sleep(0.05)


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def reply(postfix: Postfix, mail: EmailMessage, words: str) -> None:
    """Answer as the approver's mail program does: to Reply-To, in the thread, with a quotation."""
    answer = EmailMessage()
    answer["From"], answer["To"] = f"Bea Ash <{BEA}>", mail["Reply-To"]
    answer["Subject"] = f"Re: {mail['Subject']}"
    answer["In-Reply-To"] = answer["References"] = mail["Message-ID"]
    quoted = "\n".join(f"> {line}" for line in text_of(mail).splitlines())
    answer.set_content(f"{words}\n\nOn Monday, {mail['From']} wrote:\n{quoted}\n")
    with smtplib.SMTP("127.0.0.1", postfix.port) as server:
        server.send_message(answer)


def test_an_answer_by_mail_releases_the_letter(campaign: SmallCampaign, postfix: Postfix):
    campaign.petition("send", "open-letter", "--yes", status=2)
    [asked] = mails(postfix, "bea", 1)
    assert asked["Return-Path"] == "<>"
    assert asked["Auto-Submitted"] == "auto-generated"
    reply(postfix, asked, "Looks good to me!")
    mails(postfix, "answers", 1)
    campaign.petition("inbox", status=0)
    campaign.petition("send", "open-letter", "--yes", status=2)
    code = CODE.search(text_of(asked).replace("\r\n", "\n"))
    assert code
    reply(postfix, asked, f"Yes, with pleasure: {code[1]}")
    mails(postfix, "answers", 2)
    campaign.petition("inbox", status=0)
    campaign.petition("send", "open-letter", "--yes", status=0)
    sent = {mail["To"].addresses[0].addr_spec for mail in mails(postfix, "others", 3)}
    assert sent == {"p1@x.example", "p2@x.example", "p3@x.example"}
    mails(postfix, "bea", 1)


def test_a_no_by_mail_stops_it_until_the_letter_is_changed(
    campaign: SmallCampaign, postfix: Postfix
):
    campaign.petition("send", "open-letter", "--yes", status=2)
    [asked] = mails(postfix, "bea", 1)
    reply(postfix, asked, "Hello Ann,\n\nno, because the river is called Aire.")
    mails(postfix, "answers", 1)
    campaign.petition("inbox", status=0)
    said = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "the river is called Aire" in said.err
    campaign.change("letters/demands.md", "Clean the river", "Clean the Aire")
    campaign.petition("send", "open-letter", "--yes", status=2)
    [_, again] = mails(postfix, "bea", 2)
    assert "Clean the Aire" in text_of(again)
    code = CODE.search(text_of(again).replace("\r\n", "\n"))
    assert code
    reply(postfix, again, code[1])
    mails(postfix, "answers", 2)
    campaign.petition("inbox", status=0)
    campaign.petition("send", "open-letter", "--yes", status=0)
    mails(postfix, "others", 3)
