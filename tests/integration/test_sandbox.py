"""The sandbox keeps every letter byte for byte, for its owner alone, and delivers none."""

import asyncio
import email
import errno
import logging
import socket
import stat

import pytest

from petition.errors import PetitionError
from petition.smtp.replies import Outcome
from petition.smtp.sandbox import HOST, Maildir, Sandbox
from petition.smtp.session import Session
from tests.servers.visitor import DATA, Permit, address, letter, visit


def files(maildir, folder="new"):
    return sorted((maildir / folder).iterdir())


def test_a_letter_is_kept_byte_for_byte(tmp_path):
    maildir = tmp_path / "outbox"
    data = DATA + ".dots\r\n..\r\n. \r\nұлы\r\n".encode()

    async def scenario():
        async with Sandbox(maildir) as sandbox:
            done = await visit(sandbox, letter(data=data), letter())
            return done, sandbox.kept

    done, kept = asyncio.run(scenario())
    assert kept == 2
    assert [each.verdict.outcome for each in done] == [Outcome.SENT] * 2
    assert sorted(file.read_bytes() for file in files(maildir)) == sorted([data, DATA])
    assert files(maildir, "tmp") == files(maildir, "cur") == []
    reply = done[0].verdict.reply
    assert reply.enhanced == "2.0.0"
    assert reply.text.endswith("; nobody receives it")
    assert reply.text.split()[2].rstrip(";") in {file.name for file in files(maildir)}


def test_only_the_owner_can_read_it(tmp_path):
    maildir = tmp_path / "outbox"

    async def scenario():
        async with Sandbox(maildir) as sandbox:
            await visit(sandbox, letter())

    asyncio.run(scenario())
    folders = [maildir, *(maildir / name for name in ("tmp", "new", "cur"))]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files(maildir)} == {0o600}


def test_many_connections_at_once(tmp_path):
    async def scenario():
        async with Sandbox(tmp_path / "outbox") as sandbox:
            groups = await asyncio.gather(
                *(visit(sandbox, *[letter()] * 10) for _ in range(8)),
            )
            return sandbox.kept, groups

    kept, groups = asyncio.run(scenario())
    assert kept == 80
    assert len(files(tmp_path / "outbox")) == 80
    assert {each.verdict.outcome for group in groups for each in group} == {Outcome.SENT}


def test_it_listens_on_this_machine_alone_and_stops(tmp_path):
    async def scenario():
        async with Sandbox(tmp_path / "outbox") as sandbox:
            assert [each.getsockname()[0] for each in sandbox._listener.sockets] == [HOST]
            session = await Session.open(address(sandbox))
            port = sandbox.port
        done = await session.transact(letter(), Permit())
        await session.close()
        return port, done

    port, done = asyncio.run(scenario())
    assert done.verdict.outcome is Outcome.RELEASED
    with pytest.raises(ConnectionRefusedError), socket.create_connection((HOST, port)):
        pass


def test_a_port_that_is_asked_for_and_taken(tmp_path):
    async def scenario(port):
        async with Sandbox(tmp_path / "outbox", port) as sandbox:
            return sandbox.port

    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PetitionError, match=f"port {port}"):
            asyncio.run(scenario(port))
    assert asyncio.run(scenario(port)) == port


@pytest.mark.parametrize("inner", ["", "new", "tmp"])
def test_a_link_in_place_of_a_folder_is_refused(tmp_path, inner):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    maildir = tmp_path / "outbox"
    if inner:
        maildir.mkdir()
    (maildir / inner).symlink_to(elsewhere)
    with pytest.raises(PetitionError, match="not a folder"):
        Maildir(maildir)
    assert list(elsewhere.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "outbox").write_text("mine")
    with pytest.raises(PetitionError):
        Maildir(tmp_path / "outbox")
    assert (tmp_path / "outbox").read_text() == "mine"


def test_a_full_disk_is_a_passing_refusal(tmp_path, monkeypatch):
    maildir = tmp_path / "outbox"

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario():
        async with Sandbox(maildir) as sandbox:
            monkeypatch.setattr("petition.smtp.sandbox.os.fsync", full)
            [refused] = await visit(sandbox, letter())
            monkeypatch.undo()
            [sent] = await visit(sandbox, letter())
            return refused.verdict, sent.verdict, sandbox.kept

    refused, sent, kept = asyncio.run(scenario())
    assert refused.outcome is Outcome.DEFERRED
    assert str(refused.reply).startswith("452 4.3.1 ")
    assert "No space left" in refused.reply.text
    assert sent.outcome is Outcome.SENT
    assert kept == 1
    assert files(maildir, "tmp") == []


def test_the_server_s_own_log_is_silent(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)

    async def scenario():
        async with Sandbox(tmp_path / "outbox") as sandbox:
            reader, writer = await asyncio.open_connection(HOST, sandbox.port)
            writer.write(b"NONSENSE\r\n" * 7)
            await reader.read()
            writer.close()
            await writer.wait_closed()

    asyncio.run(scenario())
    assert [record for record in caplog.records if record.name.startswith("mail")] == []


def test_letters_that_mail_programs_can_read(tmp_path):
    async def scenario():
        async with Sandbox(tmp_path / "outbox") as sandbox:
            await visit(sandbox, letter())

    asyncio.run(scenario())
    [file] = files(tmp_path / "outbox")
    assert email.message_from_bytes(file.read_bytes())["Subject"] == "hello"
