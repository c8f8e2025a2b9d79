"""petition inbox on an IMAP server that refuses a mail, or hangs up."""

import hashlib
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from petition.campaign.settings import Inbox
from petition.errors import ServerTrouble
from petition.inbox import imap
from tests import PATIENCE
from tests.acceptance.returning import Returns, watching
from tests.acceptance.small import SmallCampaign
from tests.servers.authority import ELSEWHERE, Authority
from tests.servers.imap_scripted import PASSWORD, ScriptedImap, scripted_imap


@pytest.fixture
def server(authority: Authority) -> Iterator[ScriptedImap]:
    with scripted_imap(authority) as server:
        yield server


@pytest.fixture
def returns(campaign: SmallCampaign, server: ScriptedImap) -> Returns:
    returns = Returns(campaign)
    campaign.change("petition.toml", "maildir:answers", server.url)
    campaign.env |= {
        "PETITION_INBOX_PASSWORD": PASSWORD,
        "SSL_CERT_FILE": str(server.authority.certificate),
    }
    campaign.trust()
    return returns


def test_reading_stops_before_a_mail_that_is_refused_and_goes_on_there(
    returns: Returns, server: ScriptedImap
):
    server.mails = {
        uid: returns.reply("p2", f"Number {uid}.").encode().replace(b"\n", b"\r\n")
        for uid in (1, 2, 3, 4)
    }
    server.refusals = {2: "[EXPUNGEISSUED] gone", 3: "[LIMIT] try later"}
    answer = returns.campaign.petition("inbox", "--json", status=4)
    assert [one["words"] for one in answer.json["mails"]] == ["Number 1."]
    assert "refuses mail 3" in answer.err
    assert "[LIMIT] try later" in answer.err
    del server.mails[2]
    server.refusals = {}
    answer = returns.campaign.petition("inbox", "--json", status=0)
    words = [one["words"] for one in answer.json["mails"]]
    assert words == ["Number 3.", "Number 4."]


SAYS_OK = "STARTTLS", lambda tag: [f"{tag} OK go\r\n* 1 EXISTS\r\n".encode()]
SAYS_NO = "STARTTLS", lambda tag: [f"{tag} NO not today\r\n".encode()]
PREAUTH = "greeting", b"* PREAUTH welcome\r\n"


@pytest.mark.parametrize(
    ("host", "offers", "does"),
    [
        ("localhost", "LOGINDISABLED", None),
        (ELSEWHERE, "", None),
        (ELSEWHERE, "STARTTLS", PREAUTH),
        (ELSEWHERE, "STARTTLS", SAYS_NO),
        (ELSEWHERE, "STARTTLS", SAYS_OK),
    ],
    ids=["not offered here", "not offered there", "logged in already", "refused", "injected"],
)
def test_without_starttls_no_password_is_sent(
    returns: Returns, server: ScriptedImap, host: str, offers: str, does
):
    url, server.starts_plain, server.capabilities = server.url, True, offers
    if does == PREAUTH:
        server.greeting = does[1]
    elif does:
        server.script = dict([does])
    returns.campaign.change("petition.toml", url, server.url_at(host))
    returns.campaign.trust()
    told = returns.campaign.petition("inbox", status=4).err
    assert f"{host}:{server.port}" in told
    assert "STARTTLS" in told
    assert server.connections == 0
    assert {command.split()[0] for command in server.heard_plain} <= {
        *("CAPABILITY", "STARTTLS", "LOGOUT")
    }


@pytest.fixture
def forbidding(server: ScriptedImap, monkeypatch: pytest.MonkeyPatch) -> ScriptedImap:
    """The server, which takes no password without TLS, not even on this machine."""
    monkeypatch.setenv("PETITION_INBOX_PASSWORD", PASSWORD)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority.certificate))
    server.starts_plain, server.capabilities = True, "STARTTLS LOGINDISABLED"
    return server


def test_a_server_on_this_machine_can_demand_starttls(forbidding: ScriptedImap):
    with imap.Imap(Inbox(url=forbidding.url)) as box:
        assert box.count(0, None) == 0
    assert forbidding.heard_plain == ["CAPABILITY", "STARTTLS"]
    assert forbidding.connections == 1


def test_what_a_server_said_before_starttls_does_not_count(forbidding: ScriptedImap):
    told = b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n"
    forbidding.script = {
        "STARTTLS": lambda tag: [told, f"{tag} OK go\r\n".encode()],
        "CAPABILITY": lambda tag: [
            *([] if "STARTTLS" in forbidding.heard_plain else [told]),
            f"{tag} OK done\r\n".encode(),
        ],
    }
    with pytest.raises(ServerTrouble):
        imap.Imap(Inbox(url=forbidding.url))
    assert forbidding.connections == 0


def test_a_line_that_comes_in_two_pieces_without_tls_does_not_end_a_watch(
    returns: Returns, server: ScriptedImap
):
    def idles(tag: str) -> Iterator[bytes]:
        server.mails[2] = returns.reply("p2", "Second.").encode()
        for piece in ("+ idling\r\n", "* 2 EX", "ISTS\r\n", f"{tag} OK done\r\n"):
            yield piece.encode()
            time.sleep(0.3)

    url, server.starts_plain = server.url, True
    server.mails = {1: returns.reply("p1", "First.").encode()}
    server.script = {"IDLE": idles}
    returns.campaign.change("petition.toml", url, server.url)
    returns.campaign.trust()
    with watching(returns.campaign) as watch:
        assert watch.words() == "First."
        assert watch.words() == "Second."
    assert server.connections == 1


def test_a_password_command_that_prints_nothing_is_named(returns: Returns):
    del returns.campaign.env["PETITION_INBOX_PASSWORD"]
    toml = (returns.campaign.root / "petition.toml").read_text()
    returns.campaign.write("petition.toml", f'{toml}password_command = "false"\n')
    returns.campaign.trust()
    told = returns.campaign.petition("inbox", status=4).err
    assert "[inbox] password_command" in " ".join(told.split())


def test_watch_reconnects(returns: Returns, server: ScriptedImap):
    server.hang_ups = 1
    server.mails = {1: returns.reply("p1", "First.").encode()}
    with watching(returns.campaign) as watch:
        assert watch.words() == "First."
        assert "closed the connection" in watch.told()
        server.mails[2] = returns.reply("p2", "Second.").encode()
        assert watch.words() == "Second."
        server.idling.wait(PATIENCE)
        assert watch.interrupt(30) == 130  # the server does not answer to the end of IDLE


def test_watch_polls_if_the_server_refuses_idle(returns: Returns, server: ScriptedImap):
    server.refuses_idle = True
    server.mails = {1: returns.reply("p1", "First.").encode()}
    running = returns.campaign.begin("inbox", "--watch", "--json")
    try:
        deadline = time.monotonic() + PATIENCE
        while server.connections < 2:
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=PATIENCE)[1]
        assert running.returncode == 130
        assert "trying again" not in told
    finally:
        running.kill()
        running.communicate()


def test_mail_that_was_set_aside_for_time_is_fetched_again(returns: Returns, server: ScriptedImap):
    texts = {uid: returns.reply("p2", f"Number {uid}.") for uid in (1, 2, 3)}
    server.mails = {
        uid: text.encode().replace(b"\n", b"\r\n") for uid, text in texts.items() if uid != 2
    }
    returns.campaign.petition("inbox", status=0)
    server.mails[2] = texts[2].encode()
    with sqlite3.connect(returns.campaign.root / "rehearsal.db") as database:
        database.execute(
            "INSERT INTO mail (sha256, source, place, message_id, sender, subject, reason, seen_at)"
            " SELECT ?, source, '7:2', '', '', '', 'set aside: it takes longer than 2 s to read',"
            " seen_at FROM mail LIMIT 1",
            (hashlib.sha256(texts[2].encode()).hexdigest(),),
        )
    database.close()
    answer = returns.campaign.petition("inbox", "--json", status=0)
    assert [one["words"] for one in answer.json["mails"]] == ["Number 2."]
    assert returns.campaign.petition("inbox", "--json", status=0).json["mails"] == []
    with sqlite3.connect(returns.campaign.root / "rehearsal.db") as database:
        assert database.execute("SELECT validity, uid FROM inbox_position").fetchall() == [(7, 3)]
    database.close()


def fetched(uid: int, mail: bytes, more: bytes = b"") -> bytes:
    head = f"* 1 FETCH (UID {uid} BODY[] {{{len(mail)}}}\r\n".encode()
    return head + mail + b")\r\n" + more


def lines(piece: bytes, times: int) -> Callable[[str], Iterator[bytes]]:
    """A reply that says the same again and again, and then that all is well."""

    def reply(tag: str) -> Iterator[bytes]:
        for _ in range(times // 1_000):
            yield piece * 1_000
        yield f"\r\n{tag} OK done\r\n".encode()

    return reply


ENDLESS = {
    "an endless line": ("UID SEARCH", lines(b"* SEARCH 1 2 3 4 5 6 7 8 9 10", 2_000_000)),
    "a flood of lines": ("UID SEARCH", lines(b"* 1 EXISTS " + b"x" * 100 + b"\r\n", 400_000)),
    "a long literal": ("UID SEARCH", lambda _: [b"* SEARCH {3000000000}\r\n", b"x" * 1_000_000]),
    "a number of many digits": ("UID SEARCH", lambda _: [b"* SEARCH {" + b"9" * 9_000 + b"}\r\n"]),
    "no number at all": (
        "EXAMINE",
        lambda tag: [f"* OK [UIDVALIDITY x] x\r\n{tag} A\r\n".encode()],
    ),
    "another command's end": ("UID SEARCH", lambda _: [b"XYZ1 OK done\r\n"]),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_malformed_reply_stops_the_run_but_not_the_next(
    returns: Returns, server: ScriptedImap, what: str
):
    command, reply = ENDLESS[what]
    server.mails = {1: returns.reply("p2", "Yes.").encode()}
    server.script = {command: reply}
    told = returns.campaign.petition("inbox", status=4).err
    assert f"localhost:{server.port}" in told
    assert "Internal error" not in told
    server.script = {}
    answer = returns.campaign.petition("inbox", "--json", status=0)
    assert [one["words"] for one in answer.json["mails"]] == ["Yes."]


def test_an_endless_mail_is_set_aside_and_those_after_it_are_read(
    returns: Returns, server: ScriptedImap
):
    server.mails = {uid: returns.reply("p2", f"Number {uid}.").encode() for uid in (1, 2, 3)}
    first, third = (fetched(uid, server.mails[uid]) for uid in (1, 3))
    bomb = b"* 2 FETCH (UID 2 BODY[] {3000000000}\r\n" + b"x" * 1_000_000
    server.script = {
        "UID FETCH 1,2,3 (UID BODY": lambda _: [first, bomb],
        "UID FETCH 2,3 (UID BODY": lambda _: [bomb],
        "UID FETCH 3 (UID BODY": lambda tag: [third, f"{tag} OK done\r\n".encode()],
    }
    found: list[str] = []
    for status in (4, 4, 0):
        mails = returns.campaign.petition("inbox", "--json", status=status).json["mails"]
        found += [one["words"] or one["reason"] for one in mails]
    aside = "set aside: the server sends too much for it, or too slowly"
    assert found == ["Number 1.", aside, "Number 3."]


def test_mails_after_an_endless_mail_are_read_later(returns: Returns, server: ScriptedImap):
    server.mails = {uid: returns.reply("p2", f"Number {uid}.").encode() for uid in (1, 2, 3)}
    whole = {uid: fetched(uid, mail) for uid, mail in server.mails.items()}
    bomb = b"* 2 FETCH (UID 2 BODY[] {3000000000}\r\n" + b"x" * 1_000_000
    server.script = {"UID FETCH 1,2,3 (UID BODY": lambda _: [whole[3], whole[1], bomb]}
    answer = returns.campaign.petition("inbox", "--json", status=4)
    found = [one["words"] for one in answer.json["mails"]]
    answer = returns.campaign.petition("inbox", "--json", status=0)
    found += [one["words"] for one in answer.json["mails"]]
    assert list(filter(None, found)) == ["Number 1.", "Number 2.", "Number 3."]


def test_odd_uids_and_unrequested_mails_are_ignored(returns: Returns, server: ScriptedImap):
    server.mails = {1: returns.reply("p2", "Yes.").encode()}
    stranger = fetched(4_294_967_295, returns.reply("p3", "No.").encode())
    odd = b"* SEARCH 99999999999999999999 -7 x 0 4294967296 " + b"9" * 5_000 + b" 1 1\r\n"
    server.script = {
        "UID SEARCH": lambda tag: [odd, f"{tag} OK done\r\n".encode()],
        "UID FETCH 1 (UID BODY": lambda tag: [
            *(stranger, fetched(1, server.mails[1]), fetched(1, server.mails[1])),
            f"{tag} OK done\r\n".encode(),
        ],
    }
    answer = returns.campaign.petition("inbox", "--json", status=0)
    assert [one["words"] for one in answer.json["mails"]] == ["Yes."]
    with sqlite3.connect(returns.campaign.root / "rehearsal.db") as database:
        assert database.execute("SELECT uid FROM inbox_position").fetchall() == [(1,)]
    database.close()


def test_a_server_that_trickles_bytes_is_given_up(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
):
    def slowly(tag: str) -> Iterator[bytes]:
        for byte in f"* SEARCH 1\r\n{tag} OK done\r\n".encode():
            time.sleep(0.2)
            yield bytes([byte])

    monkeypatch.setattr(imap._Client, "patience", 2)
    monkeypatch.setenv("PETITION_INBOX_PASSWORD", PASSWORD)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority.certificate))
    server.script = {"UID SEARCH": slowly}
    with imap.Imap(Inbox(url=server.url)) as box, pytest.raises(ServerTrouble, match="too long"):
        box.count(0, None)


def test_mails_before_a_lost_connection_count_and_the_next_one_is_named(
    returns: Returns, server: ScriptedImap
):
    server.mails = {uid: returns.reply("p2", f"Number {uid}.").encode() for uid in (1, 2)}
    first, second = (fetched(*one) for one in server.mails.items())
    server.script = {
        "UID FETCH 1,2 (UID BODY": lambda _: [first, second[:-30], b"\r\n* BYE corrupted\r\n"],
        "UID FETCH 2 (UID BODY": lambda _: [second.replace(b"{", b"{1\r\n", 1)],
    }
    answer = returns.campaign.petition("inbox", "--json", status=4)
    assert "Number 1." in answer.out
    assert "mail 2" in returns.campaign.petition("inbox", "--json", status=4).err
    server.script = {}
    answer = returns.campaign.petition("inbox", "--json", status=0)
    assert [one["words"] for one in answer.json["mails"]] == ["Number 2."]


def test_a_server_that_does_not_answer_logout_is_not_waited_for(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PETITION_INBOX_PASSWORD", PASSWORD)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority.certificate))
    monkeypatch.setattr(imap, "_GOODBYE_SECONDS", 0.2)
    released = threading.Event()
    server.script = {"LOGOUT": lambda _: [b""] if released.wait(PATIENCE) else []}
    begun = time.monotonic()
    imap.Imap(Inbox(url=server.url)).close()
    assert time.monotonic() - begun < imap._SECONDS / 2
    released.set()


def test_a_server_without_uidvalidity_is_read_from_the_start(
    returns: Returns, server: ScriptedImap
):
    server.script = {"EXAMINE": lambda tag: [f"* 1 EXISTS\r\n{tag} OK done\r\n".encode()]}
    words: list[str] = []
    for uid, text in ((5, "First."), (3, "Second.")):
        server.mails = {uid: returns.reply("p2", text).encode()}
        answer = returns.campaign.petition("inbox", "--json", status=0)
        words += [one["words"] for one in answer.json["mails"]]
    assert words == ["First.", "Second."]
