"""A folder that somebody else made: looking at it changes nothing, and nothing in it is obeyed.

What it asks for beyond that has to be confirmed: commands, servers, and a log elsewhere.
"""

import os
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.small import SETTINGS, SmallCampaign, Terminal
from tests.servers.counting import counting_server

SEND = ("send", "open-letter", "--yes")
LOOKS = (
    ("check",),
    ("preview", "open-letter"),
    ("status",),
    ("status", "open-letter", "--json"),
    ("status", "--answers"),
    ("log",),
    ("report",),
    ("evidence", "pack.zip"),
    ("export", "p1@x.example"),
    ("suppress",),
    ("inbox", "--unmatched"),
)
WRITES = (
    SEND,
    ("send", "open-letter", "--dry-run"),
    ("suppress", "p1@x.example"),
    ("retry", "open-letter"),
    ("withdraw", "open-letter"),
    ("forget", "p1@x.example", "--yes"),
)
# Each opens the log in another place of the program; where all of them would only take longer.
SOME = (("check",), ("preview",), ("status",), ("export", "p1@x.example"))
SOME_WRITES = (SEND, ("suppress", "p1@x.example"))
SMTP = """
[smtp]
host = "127.0.0.1"
port = {port}
security = "none"
"""


def found_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: kind and rights of each file, and what is in it."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def another_programs(path: Path, *, wal: bool = False, number: int = 0) -> None:
    """A database of another program, which everybody may read."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA application_id = {number}")
        if wal:
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE meta (name, value)")
        database.execute("INSERT INTO meta VALUES ('schema', '8')")
    path.chmod(0o644)


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """A server that takes whatever connects, and keeps what it says first."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    heard.append(b"")
                    with connection:
                        connection.settimeout(5)
                        heard[-1] = connection.recv(1000)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


# ---- a command that only looks


@pytest.mark.parametrize("server", ["a server", "the sandbox"])
def test_looking_leaves_no_trace(campaign: SmallCampaign, server: str):
    if server == "a server":
        campaign = campaign.through(9)
    before = found_in(campaign.root)
    for command in LOOKS:
        campaign.petition(*command)
        assert found_in(campaign.root) == before, command


def test_a_folder_brings_no_modules(campaign: SmallCampaign):
    for name in ("platformdirs", "imaplib", "typer"):
        campaign.write(f"{name}.py", "open('seen', 'w')")
    with campaign.begin("check", program=("-m", "petition")) as check:
        check.communicate()
    assert check.returncode == 0
    assert not (campaign.root / "seen").exists()


def test_what_is_previewed_before_there_is_a_log_is_what_is_sent(campaign: SmallCampaign):
    with counting_server() as server:
        campaign = campaign.through(server.port)
        shown = campaign.petition("preview", "--to", "p2", "--as", "source", status=0).out
        campaign.petition(*SEND, status=0)
        sent = server.last["p2@x.example"].decode()

    def without_date(text: str) -> str:
        return re.sub(r"(?m)^Date: .*$", "", text.replace("\r\n", "\n")).rstrip()

    assert "Message-ID" in shown
    assert without_date(sent) == without_date(shown)
    # A log that is made later is another one.
    for name in ("petition.db", "petition.db-wal", "petition.db-shm"):
        (campaign.root / name).unlink(missing_ok=True)
    again = campaign.petition("preview", "--to", "p2", "--as", "headers", status=0).out
    assert re.findall("Message-ID.*", again) != re.findall("Message-ID.*", shown)


@pytest.mark.parametrize(
    ("name", "wal", "number"),
    [("petition.db", False, 0), ("petition.db", True, 7), ("rehearsal.db", True, 0)],
)
def test_another_programs_database_is_left_alone(
    campaign: SmallCampaign, name: str, wal: bool, number: int
):
    """`check` put its tables into it, turned it to WAL and made it 0600."""
    if name == "petition.db":
        campaign = campaign.through(9)
    another_programs(campaign.root / name, wal=wal, number=number)
    before = found_in(campaign.root)
    for command in (*SOME, *SOME_WRITES):
        answer = campaign.petition(*command, status=1)
        assert "another program" in answer.out + answer.err
        assert found_in(campaign.root) == before, command


def test_the_log_of_a_run_that_died_early_is_known(campaign: SmallCampaign):
    """All of it is in the -wal yet, of which a look at the file alone knows nothing."""
    program = (
        "import os; from petition.outbox.log import Log; log = Log('sqlite:///petition.db');"
        "log.key; os._exit(0)"
    )
    with campaign.begin(before=program) as run:
        assert run.wait(PATIENCE) == 0
    assert (campaign.root / "petition.db-wal").stat().st_size
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.petition("check", status=0)
        assert campaign.petition("status", status=0)
        campaign.petition(*SEND, status=0)
        assert server.accepted.total() == 3


def test_a_journal_cannot_name_a_file_to_be_deleted(campaign: SmallCampaign):
    """SQLite deletes the super-journal that a rollback journal names, once it is done."""
    campaign.petition("send", "open-letter", status=0)
    victim = campaign.root.parent / f"{campaign.root.name}.txt"
    victim.write_text("a year's work")
    name, magic = str(victim).encode(), bytes.fromhex("d9d505f920a163d7")
    numbers = (0, 0, 2, 512, 4096)  # no record, nonce, pages, bytes of a sector and of a page
    journal = (magic + b"".join(one.to_bytes(4, "big") for one in numbers)).ljust(512, b"\0")
    end = (0x40000000 // 4096 + 1).to_bytes(4, "big"), name, len(name).to_bytes(4, "big")
    journal += b"".join(end) + sum(name).to_bytes(4, "big") + magic
    campaign.write("rehearsal.db-journal", journal)
    for command in (("status",), ("send", "open-letter")):
        assert "rehearsal.db-journal" in campaign.petition(*command, status=1).err
    assert victim.read_text() == "a year's work"


def test_forget_deletes_no_mail_that_is_not_the_sandboxs(campaign: SmallCampaign, tmp_path: Path):
    campaign.petition("send", "open-letter", status=0)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-mail"
    (campaign.root / "outbox").rename(elsewhere)
    (campaign.root / "outbox").symlink_to(elsewhere)
    before = found_in(elsewhere)
    campaign.petition("forget", "p1@x.example", "--yes", status=0)
    assert found_in(elsewhere) == before


# ---- a log elsewhere


@pytest.mark.parametrize("way", ["absolute", "relative", "through a link"])
def test_a_log_elsewhere_counts_only_once_it_is_confirmed(campaign: SmallCampaign, way: str):
    elsewhere = campaign.root.parent / f"{campaign.root.name}-elsewhere"
    elsewhere.mkdir()
    if way == "through a link":
        (campaign.root / "data").symlink_to(elsewhere)
    path = {
        "absolute": f"{elsewhere}/log.db",
        "relative": f"../{elsewhere.name}/log.db",
        "through a link": "data/log.db",
    }[way]
    with counting_server() as server:
        campaign.write(
            "petition.toml",
            f'{SETTINGS}{SMTP.format(port=server.port)}[log]\ndatabase = "sqlite:///{path}"\n',
        )
        for command in LOOKS if way == "relative" else SOME:
            answer = campaign.petition(*command, status=1)
            assert "petition trust" in answer.out + answer.err, command
        for command in WRITES if way == "relative" else SOME_WRITES:
            assert "petition trust" in campaign.petition(*command, status=2).err, command
        assert not list(elsewhere.iterdir())
        campaign.petition("trust", "--yes", status=0)
        for command in SOME:
            campaign.petition(*command)
        assert not list(elsewhere.iterdir())
        campaign.petition(*SEND, status=0)
        assert server.accepted.total() == 3
        assert (elsewhere / "log.db").exists()
        campaign.change("petition.toml", "log.db", "log2.db")
        assert "[log] database" in campaign.petition(*SEND, status=2).err
        assert server.accepted.total() == 3


def test_what_the_environment_says_is_the_persons_own_word(campaign: SmallCampaign):
    elsewhere = campaign.root.parent / f"{campaign.root.name}-log.db"
    campaign = campaign.through(9)
    campaign.env["PETITION_DATABASE"] = f"sqlite:///{elsewhere}"
    campaign.petition("check", status=0)
    campaign.petition("suppress", "p1@x.example", status=0)
    assert elsewhere.exists()


def test_looking_opens_no_connection_that_the_folder_alone_names(campaign: SmallCampaign):
    with listening() as (port, heard):
        url = f"postgresql://127.0.0.1:{port}/letters"
        campaign.write(
            "petition.toml", f'{SETTINGS}{SMTP.format(port=port)}[log]\ndatabase = "{url}"\n'
        )
        for command in LOOKS:
            answer = campaign.petition(*command, status=1)
            assert "petition trust" in answer.out + answer.err, command
        for command in WRITES:
            assert "petition trust" in campaign.petition(*command, status=2).err, command
        assert "[log] database" in campaign.petition("trust", "--json", status=0).out
        assert heard == []
        campaign.petition("trust", "--yes", status=0)
        campaign.petition("status", status=1)  # it does not speak as PostgreSQL does
        assert heard


def test_a_folder_cannot_lead_the_password_of_one_host_to_another(campaign: SmallCampaign):
    with listening() as (port, heard):
        url = f"postgresql://trusted.example:{port}/letters?hostaddr=127.0.0.1&sslmode=disable"
        campaign.write(
            "petition.toml", f'{SETTINGS}{SMTP.format(port=port)}[log]\ndatabase = "{url}"\n'
        )
        for command in (*SOME, *SOME_WRITES):
            answer = campaign.petition(*command)
            assert answer.status in {1, 2}
        assert "hostaddr" in campaign.petition("check", status=1).out
        assert heard == []


class _AsksForPassword:
    """A server that speaks PostgreSQL so far as to ask for a password."""

    def __init__(self) -> None:
        self.passwords: list[bytes] = []

    @contextmanager
    def running(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=self._serve, args=(server,), daemon=True)
            thread.start()
            yield server.getsockname()[1]
            server.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)

    def _serve(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, connection.makefile("rwb") as stream:
                    connection.settimeout(5)
                    size = int.from_bytes(stream.read(4), "big")
                    while size == 8:  # no TLS, no GSSAPI
                        stream.read(4)
                        stream.write(b"N")
                        stream.flush()
                        size = int.from_bytes(stream.read(4), "big")
                    stream.read(size - 4)
                    stream.write(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))
                    stream.flush()
                    if stream.read(1) == b"p":
                        size = int.from_bytes(stream.read(4), "big")
                        self.passwords.append(stream.read(size - 4).rstrip(b"\0"))


def test_a_confirmed_database_gets_the_password_that_was_given_for_it(campaign: SmallCampaign):
    server = _AsksForPassword()
    with server.running() as port:
        url = f"postgresql://kim@localhost:{port}/letters"
        campaign.write("petition.toml", f'{SETTINGS}{SMTP.format(port=9)}[log]\ndatabase = "{url}"')
        passwords = campaign.write("../passwords", f"localhost:{port}:letters:kim:for-it\n")
        passwords.chmod(0o600)
        campaign.env |= {"PGPASSFILE": os.devnull, "PGPASSWORD": "of-production"}
        campaign.petition("trust", "--yes", status=0)
        campaign.petition("status", status=1)
        assert server.passwords == []
        campaign.env["PGPASSFILE"] = str(passwords)
        campaign.petition("status", status=1)
        assert set(server.passwords) == {b"for-it"}
        # The environment may say more, and then it is for this server.
        server.passwords.clear()
        campaign.env |= {"PETITION_DATABASE": url, "PGPASSFILE": os.devnull}
        campaign.petition("status", status=1)
        assert set(server.passwords) == {b"of-production"}


@pytest.mark.parametrize("misread", ["hun@ter2", "hun/ter2", "hun?ter2"])
def test_a_password_with_a_mark_in_it_is_not_shown(campaign: SmallCampaign, misread: str):
    campaign = campaign.through(9)
    campaign.env["PETITION_DATABASE"] = f"postgresql://kim:{misread}@127.0.0.1:9/letters"
    for command in (*SOME, SEND, ("trust",), ("worker",)):
        answer = campaign.petition(*command)
        assert "ter2" not in answer.out + answer.err, command
    answer = campaign.petition("status", status=2)
    assert "%40" in answer.err


# ---- commands and servers


def asking(campaign: SmallCampaign, port: int, marker: Path, login: str = "") -> None:
    command = f"sh -c 'touch {marker}; echo secret'"
    login = login or f'username = "me"\npassword_command = "{command}"\n'
    campaign.write("petition.toml", SETTINGS + SMTP.format(port=port) + login)


def test_a_command_is_run_only_once_it_is_confirmed(campaign: SmallCampaign, tmp_path: Path):
    marker = tmp_path.parent / f"{tmp_path.name}-was-here"
    with counting_server(login="235 2.7.0 Welcome") as server:
        asking(campaign, server.port, marker)
        campaign.petition("check")
        for command in (SEND, ("send", "open-letter"), ("check", "--online")):
            refused = campaign.petition(*command, status=2).err
            assert "petition trust" in refused
            assert "[smtp] password_command" in refused
        campaign.petition("trust", status=2)
        assert not marker.exists()
        assert server.commands.total() == 0
        campaign.petition("trust", "--yes", status=0)
        assert not marker.exists()
        campaign.petition(*SEND, status=0)
        assert marker.exists()
        marker.unlink()
        # What changes is asked for again, and nothing else.
        campaign.change("petition.toml", "echo secret", "echo other")
        refused = campaign.petition(*SEND, "--again", status=2).err
        assert "[smtp] password_command" in refused
        assert "[smtp] host" not in refused
        assert not marker.exists()


def test_a_script_of_the_folder_is_confirmed_as_it_is(campaign: SmallCampaign):
    with counting_server(login="235 2.7.0 Welcome") as server:
        login = 'username = "me"\npassword_command = "sh secret.sh"\n'
        campaign.write("petition.toml", SETTINGS + SMTP.format(port=server.port) + login)
        campaign.write("secret.sh", "echo secret\n")
        campaign.trust().petition(*SEND, status=0)
        campaign.write("secret.sh", "touch was-here; echo secret\n")
        assert "password_command" in campaign.petition(*SEND, "--again", status=2).err
        assert not (campaign.root / "was-here").exists()


def test_a_command_of_the_environment_is_not_needed(campaign: SmallCampaign, tmp_path: Path):
    marker = tmp_path / "was-here"
    with counting_server(login="235 2.7.0 Welcome") as server:
        asking(campaign, server.port, marker)
        campaign.env["PETITION_SMTP_PASSWORD"] = "secret"
        refused = campaign.petition(*SEND, status=2).err
        assert "[smtp] host" in refused
        assert "password_command" not in refused
        assert server.logins == []
        campaign.petition("trust", "--yes", status=0)
        campaign.petition(*SEND, status=0)
        assert not marker.exists()


def test_a_server_of_this_machine_that_gets_no_secret_needs_no_word(campaign: SmallCampaign):
    with counting_server() as server:
        campaign.write("petition.toml", SETTINGS + SMTP.format(port=server.port))
        assert campaign.petition("trust", "--json", status=0).json["requests"] == []
        campaign.petition(*SEND, status=0)


def test_a_confirmation_can_be_taken_back(campaign: SmallCampaign, tmp_path: Path):
    with counting_server(login="235 2.7.0 Welcome") as server:
        asking(campaign, server.port, tmp_path / "was-here")
        campaign.petition("trust", "--yes", "--revoke", status=2)
        campaign.petition("trust", "--yes", status=0)
        campaign.petition("trust", "--revoke", status=0)
        assert not any(
            one["confirmed"] for one in campaign.petition("trust", "--json").json["requests"]
        )
        campaign.petition(*SEND, status=2)
        campaign.petition("trust", "--yes", status=0)
        campaign.write("petition.toml", "broken")
        campaign.petition("trust", "--revoke", status=1)
        asking(campaign, server.port, tmp_path / "was-here")
        campaign.petition(*SEND, status=2)
        assert not (tmp_path / "was-here").exists()
        assert server.commands.total() == 0


def test_another_folder_is_another_matter(campaign: SmallCampaign, tmp_path: Path):
    marker = tmp_path.parent / f"{tmp_path.name}-was-here"
    asking(campaign, 9, marker)
    campaign.petition("trust", "--yes", status=0)
    copied = SmallCampaign.at(tmp_path / "copied")
    asking(copied, 9, marker)
    assert "petition trust" in copied.petition(*SEND, status=2).err
    (tmp_path / "linked").symlink_to(campaign.root)
    linked = SmallCampaign(tmp_path / "linked")
    assert linked.petition("trust", "--json", status=0).json["requests"][0]["confirmed"]


def test_the_inbox_is_not_asked_for_its_mails_before(campaign: SmallCampaign, tmp_path: Path):
    mail = tmp_path.parent / f"{tmp_path.name}-mail"
    for name in ("cur", "new", "tmp"):
        (mail / name).mkdir(parents=True)
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.petition(*SEND, status=0)
        for url in (
            f"maildir:{mail}",
            "imaps://me@127.0.0.1:9/INBOX",
            "imap://me@127.0.0.1:9/INBOX",
        ):
            campaign.write("petition.toml", f'{SETTINGS}[inbox]\nurl = "{url}"\n')
            assert "[inbox] url" in campaign.petition("inbox", status=2).err
        campaign.write("petition.toml", f'{SETTINGS}[inbox]\nurl = "maildir:{mail}"\n')
        campaign.petition("trust", "--yes", status=0)
        campaign.petition("inbox", status=0)


def test_a_key_file_signs_only_once_it_is_confirmed(campaign: SmallCampaign):
    campaign.write(
        "petition.toml",
        f"{SETTINGS}{SMTP.format(port=9)}"
        '[dkim]\ndomain = "campaign.example"\nselector = "s"\nkey_file = "~/key.pem"\n',
    )
    assert "[dkim] key_file" in campaign.petition(*SEND, status=2).err


def test_a_person_at_a_terminal_is_asked(campaign: SmallCampaign, tmp_path: Path):
    marker = tmp_path.parent / f"{tmp_path.name}-was-here"

    def begin() -> Terminal:
        child = campaign.on_terminal("send", "open-letter")
        child.expect(r"trust.*\[y/N\] ")
        assert "password_command" in child.before
        return child

    with counting_server(login="235 2.7.0 Welcome") as server:
        asking(campaign, server.port, marker)
        declining = begin()
        declining.sendline("")
        assert declining.end()[0] == 2
        assert not marker.exists()
        agreeing = begin()
        agreeing.sendline("y")
        agreeing.expect(r"Send 3 letters.*\[y/N\] ")
        agreeing.sendline("y")
        assert agreeing.end()[0] == 0
        assert server.accepted.total() == 3
    campaign.petition("trust", status=0)


def test_what_init_was_told_is_confirmed(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.petition("init", "--provider", "gmail", status=0)
    asked = place.petition("trust", "--json", status=0).json["requests"]
    assert [one["key"] for one in asked] == ["[smtp] host", "[inbox] url"]
    assert all(one["confirmed"] for one in asked)
