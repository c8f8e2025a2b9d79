"""petition inbox on a real Dovecot: read-only, verified, and going on where it stood."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.returning import Returns, watching
from tests.acceptance.small import SmallCampaign
from tests.servers.authority import ELSEWHERE
from tests.servers.imap_server import (
    PASSWORD,
    Dovecot,
    Mailbox,
    running_courier,
    running_dovecot,
)
from tests.servers.mail_servers import Unavailable

SAMPLES = Path(__file__).parents[1] / "samples/mail"

pytestmark = pytest.mark.component("dovecot", "root")


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with running_dovecot() as dovecot:
        yield dovecot


@pytest.fixture
def dovecot(server: Dovecot) -> Dovecot:
    for folder in ("new", "cur"):
        for path in (server.root / "mail" / folder).iterdir():
            path.unlink()
    return server


@pytest.fixture
def returns(campaign: SmallCampaign, dovecot: Dovecot) -> Returns:
    returns = Returns(campaign)
    campaign.change("petition.toml", "maildir:answers", dovecot.url)
    campaign.env |= {
        "PETITION_INBOX_PASSWORD": PASSWORD,
        "SSL_CERT_FILE": str(dovecot.authority),
    }
    campaign.trust()
    return returns


def read(returns: Returns) -> list[dict[str, object]]:
    answer = returns.campaign.petition("inbox", "--json", status=0)
    mails: list[dict[str, object]] = answer.json["mails"]
    return mails


def test_mails_are_read_once_and_left_unread(returns: Returns, dovecot: Dovecot):
    dovecot.deliver("1.a", returns.dsn("p1", "5.1.1", "550 5.1.1 User unknown").encode())
    dovecot.deliver("2.b", returns.reply("p2", "We can meet.").encode())
    assert [(one["kind"], one["email"]) for one in read(returns)] == [
        ("bounce", "p1@x.example"),
        ("answer", "p2@x.example"),
    ]
    assert read(returns) == []
    dovecot.deliver("3.c", returns.reply("p3", "No.").encode())
    assert [one["words"] for one in read(returns)] == ["No."]
    assert len(dovecot.names()) == 3
    # Not even looked at, as a mail program sees it: EXAMINE leaves them where they arrived.
    assert sorted(path.name for path in (dovecot.root / "mail/new").iterdir()) == dovecot.names()


def test_a_mailbox_with_a_new_uidvalidity_is_read_again_and_counts_once(
    returns: Returns, dovecot: Dovecot
):
    first = returns.reply("p1", "First.").encode()
    dovecot.deliver("1.a", first)
    assert [one["words"] for one in read(returns)] == ["First."]
    # Without its list Dovecot begins another one, with another UIDVALIDITY, which is the second in
    # which it does, and UID 1.
    time.sleep(1)
    for path in (dovecot.root / "mail").glob("dovecot*"):
        path.unlink()
    dovecot.deliver("2.b", returns.reply("p2", "Second.").encode())
    assert [one["words"] for one in read(returns)] == ["Second."]
    assert read(returns) == []


def test_a_large_mail_is_set_aside_without_fetching_it(returns: Returns, dovecot: Dovecot):
    dovecot.deliver("1.a", b"Subject: big\n\n" + b"x" * 70 + b"\n" + b"x\n" * 13 * 2**20)
    dovecot.deliver("2.b", returns.reply("p2", "No.").encode())
    first, second = read(returns)
    assert "25 MB" in str(first["reason"])
    assert second["email"] == "p2@x.example"
    assert read(returns) == []


def test_more_mails_than_one_portion_are_all_read(returns: Returns, dovecot: Dovecot):
    for number in range(620):
        dovecot.deliver(f"{number}.x", returns.reply("p2", f"No, {number} times.").encode())
    words = [one["words"] for one in read(returns)]
    assert sorted(words) == sorted(f"No, {number} times." for number in range(620))


def test_a_server_with_an_untrusted_certificate_is_refused(returns: Returns):
    del returns.campaign.env["SSL_CERT_FILE"]
    answer = returns.campaign.petition("inbox", status=4)
    assert "is not trusted" in answer.err
    assert "SSL_CERT_FILE" in answer.err


@pytest.mark.parametrize(("host", "begins_tls"), [("localhost", False), (ELSEWHERE, True)])
def test_starttls_is_used_except_on_this_machine(
    returns: Returns, dovecot: Dovecot, host: str, *, begins_tls: bool
):
    returns.campaign.change("petition.toml", dovecot.url, dovecot.plain_url(host))
    returns.campaign.trust()
    dovecot.deliver("1.a", returns.reply("p2", "No.").encode())
    before = len(dovecot.log)
    assert [one["words"] for one in read(returns)] == ["No."]
    assert read(returns) == []
    logins = [line for line in dovecot.log[before:].splitlines() if " Login: " in line]
    assert ["TLS" in line for line in logins] == [begins_tls, begins_tls]


def test_the_hint_for_a_server_that_does_not_begin_with_tls_is_imap(
    returns: Returns, dovecot: Dovecot
):
    plain = dovecot.plain_url("localhost")
    returns.campaign.change("petition.toml", dovecot.url, plain.replace("imap:", "imaps:"))
    returns.campaign.trust()
    assert "imap://" in returns.campaign.petition("inbox", status=4).err


def test_a_server_with_an_untrusted_certificate_is_refused_after_starttls(
    returns: Returns, dovecot: Dovecot
):
    del returns.campaign.env["SSL_CERT_FILE"]
    returns.campaign.change("petition.toml", dovecot.url, dovecot.plain_url(ELSEWHERE))
    returns.campaign.trust()
    assert "is not trusted" in returns.campaign.petition("inbox", status=4).err


def test_a_wrong_password_is_reported_but_not_shown(returns: Returns):
    returns.campaign.env["PETITION_INBOX_PASSWORD"] = "wrong horse"
    answer = returns.campaign.petition("inbox", status=4)
    assert "refuses the login" in answer.err
    assert "horse" not in answer.err


def test_without_a_password_it_says_where_to_put_it(returns: Returns):
    del returns.campaign.env["PETITION_INBOX_PASSWORD"]
    assert "Set PETITION_INBOX_PASSWORD" in returns.campaign.petition("inbox", status=4).err


def test_a_missing_folder_is_reported(returns: Returns):
    returns.campaign.change("petition.toml", "/INBOX", "/Elsewhere")
    returns.campaign.trust()
    assert 'no folder "Elsewhere"' in returns.campaign.petition("inbox", status=4).err


def test_watch_shows_new_mail_until_ctrl_c(returns: Returns, dovecot: Dovecot):
    with watching(returns.campaign) as watch:
        dovecot.deliver("1.a", returns.reply("p1", "First.").encode())
        assert watch.words() == "First."
        time.sleep(1)  # in which IDLE begins, as a rule: what comes just then is seen a poll later
        dovecot.deliver("2.b", returns.reply("p2", "Second.").encode())
        assert watch.words() == "Second."
        assert watch.interrupt(PATIENCE) == 130


@pytest.mark.slow
def test_two_makers_servers_give_the_same_rows_and_mark_nothing(tmp_path: Path, dovecot: Dovecot):
    try:
        with running_courier() as courier:
            ours, theirs = (
                rows_of(mailbox, tmp_path / name, dovecot.authority)
                for name, mailbox in (("dovecot", dovecot), ("courier", courier))
            )
            seen = [name for name in courier.names() if "S" in name.partition(":")[2]]
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert len(ours) == 300
    assert ours == theirs
    assert seen == []
    assert sorted(path.name for path in (dovecot.root / "mail/new").iterdir()) == dovecot.names()


def rows_of(mailbox: Mailbox, root: Path, authority: Path) -> list[dict[str, object]]:
    """What is read of 300 mails: the first hundred at once, and the others by --watch."""
    returns = Returns(SmallCampaign.at(root))
    returns.campaign.change("petition.toml", "maildir:answers", mailbox.url)
    returns.campaign.env |= {"PETITION_INBOX_PASSWORD": PASSWORD, "SSL_CERT_FILE": str(authority)}
    returns.campaign.trust()
    mails = [path.read_bytes() for path in sorted(SAMPLES.glob("*.eml"))]
    while len(mails) < 300:
        who, text = f"p{len(mails) % 3 + 1}", f"Number {len(mails)}."
        mails.append(returns.reply(who, text).encode())
    assert len(mails) == 300
    deliver(mailbox, mails[:100])
    rows = read(returns)
    deliver(mailbox, mails[100:200])
    with watching(returns.campaign) as watch:
        rows += [watch.row() for _ in range(100)]
        deliver(mailbox, mails[200:])
        rows += [watch.row() for _ in range(100)]
        assert watch.interrupt(PATIENCE) == 130
    return [{key: row[key] for key in row.keys() - {"log", "rehearsal"}} for row in rows]


def deliver(mailbox: Mailbox, mails: list[bytes]) -> None:
    for number, mail in enumerate(mails):
        # A Maildir has plain line feeds; Courier puts a carriage return before each one it finds.
        mailbox.deliver(f"{number}.x", mail.replace(b"\r\n", b"\n"))
