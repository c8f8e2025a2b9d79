"""No click is lost: many at once, beside a run that sends, beside whoever keeps the log locked."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import PATIENCE
from tests.acceptance.bulk_campaign import BULK, bulk_campaign
from tests.acceptance.small import SmallCampaign
from tests.servers.clicking import click_all, tokens_of
from tests.servers.counting import counting_server
from tests.servers.endpoint import running_endpoint
from tests.servers.postfix import free_port


def supporters(number: int) -> str:
    return "email,name,updates\n" + "".join(
        f"p{one}@x.example,P{one},yes\n" for one in range(1, number + 1)
    )


def sent_campaign(root: Path, port: int, people: int, database: str = "") -> SmallCampaign:
    """A bulk letter that all of them have, and another that nobody has."""
    campaign = bulk_campaign(root).through(port)
    if database:
        campaign.env["PETITION_DATABASE"] = database
    campaign.write("supporters.csv", supporters(people))
    campaign.write("letters/more.md", BULK)
    campaign.petition("send", "news", "--yes", status=0)
    return campaign


def suppressed(campaign: SmallCampaign) -> set[str]:
    return {line.split()[0] for line in campaign.petition("suppress", status=0).out.splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_2000_clicks_in_10_seconds_beside_a_run_all_count(tmp_path: Path, kind: str, request):
    database = request.getfixturevalue("postgres").new_log() if kind == "postgres" else ""
    with counting_server() as server:
        campaign = sent_campaign(tmp_path, server.port, 2500, database)
        tokens = tokens_of(database or f"sqlite:///{tmp_path}/petition.db", "news")
        leaving = [f"p{number}@x.example" for number in range(1, 2001)]
        server.pause = 0.01
        with running_endpoint(campaign) as (base, _):
            running = campaign.begin("send", "more", "--yes")
            server.wait_for(2600)
            clicked = click_all(base, [tokens[mailbox] for mailbox in leaving], seconds=10)
            assert running.poll() is None  # it was still on its way to the others
        server.pause = 0.0
        _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, said
    assert {one.status for one in clicked} <= {200, 202}
    assert set(leaving) <= suppressed(campaign)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Somebody keeps the log locked."""
    with closing(sqlite3.connect(root / "petition.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def wait_until_suppressed(campaign: SmallCampaign, mailboxes: set[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not mailboxes <= suppressed(campaign):
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.fixture
def mailed(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SmallCampaign, dict[str, str]]]:
    """A campaign whose letter 60 people have, or so many as are asked for, and their tokens."""
    with counting_server() as server:
        campaign = sent_campaign(tmp_path, server.port, getattr(request, "param", 60))
        yield campaign, tokens_of(f"sqlite:///{tmp_path}/petition.db", "news")


@pytest.mark.parametrize("mailed", [500], indirect=True)
def test_500_clicks_at_once_all_count(mailed):
    campaign, tokens = mailed
    leaving = list(tokens)
    with running_endpoint(campaign) as (base, _):
        clicked = click_all(base, [tokens[mailbox] for mailbox in leaving])
    assert {one.status for one in clicked} <= {200, 202}
    assert set(leaving) <= suppressed(campaign)


def test_clicks_are_kept_while_the_log_is_locked_and_count_afterwards(mailed):
    campaign, tokens = mailed
    leaving = list(tokens)[:50]
    with running_endpoint(campaign) as (base, said):
        with locked(campaign.root):
            clicked = click_all(base, [tokens[mailbox] for mailbox in leaving])
            assert {one.status for one in clicked} == {202}
        wait_until_suppressed(campaign, set(leaving))
    assert not (campaign.root / "petition.db.clicks").exists()
    assert any("POST 202" in line for line in said)


def test_the_next_send_counts_what_a_killed_endpoint_had_noted(mailed):
    campaign, tokens = mailed
    leaving = list(tokens)[:5]
    port = free_port()
    serving = campaign.begin("serve", "--port", str(port))
    until = time.monotonic() + PATIENCE
    while click_all(f"http://127.0.0.1:{port}", ["0" * 32])[0].status == 0:
        assert time.monotonic() < until
    with locked(campaign.root):
        clicked = click_all(f"http://127.0.0.1:{port}", [tokens[mailbox] for mailbox in leaving])
        serving.kill()
        serving.communicate(timeout=PATIENCE)
    assert {one.status for one in clicked} == {202}
    assert (campaign.root / "petition.db.clicks").stat().st_mode & 0o777 == 0o600
    campaign.petition("send", "more", "--yes", status=0)
    states = campaign.states("more")
    assert {states[mailbox.partition("@")[0]] for mailbox in leaving} == {"skipped"}
    assert set(leaving) <= suppressed(campaign)


def test_silent_connections_do_not_block_others(mailed):
    campaign, tokens = mailed
    with ExitStack() as idle, running_endpoint(campaign) as (base, _):
        parts = urlsplit(base)
        for number in range(600):
            silent = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)
            idle.enter_context(silent)
            if number % 2:
                silent.sendall(b"POST /u/")
        [clicked] = click_all(base, [tokens["p1@x.example"]])
    assert clicked.status == 200


def test_connections_without_a_body_make_room_for_others(mailed):
    campaign, tokens = mailed
    head = b"POST /u/0 HTTP/1.1\r\nHost: x.example\r\nContent-Length: 26\r\n\r\n"
    # However slow the machine is, none of them is answered 408 before it is dropped.
    patient = "from petition.web import responses; responses._BODY_SECONDS = 600"
    with ExitStack() as idle, running_endpoint(campaign, before=patient) as (base, _):
        parts = urlsplit(base)
        waiting = []
        for number in range(300):
            if number == 260:
                time.sleep(1.5)  # the first ones have had their time
            waiting.append(
                idle.enter_context(
                    socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)
                )
            )
            waiting[-1].sendall(head)
        [clicked] = click_all(base, [tokens["p2@x.example"]])
        assert clicked.status == 200
        dropped = 0
        for one in waiting[:40]:
            with suppress(ConnectionError):
                dropped += one.recv(12) == b""
                continue
            dropped += 1
        assert dropped >= 30


@pytest.mark.slow
def test_endless_headers_are_not_waited_for(mailed):
    campaign, _ = mailed
    with running_endpoint(campaign) as (base, _):
        parts = urlsplit(base)
        with socket.create_connection((parts.hostname, parts.port), timeout=0.5) as slow:
            slow.sendall(b"GET /u/0 HTTP/1.1\r\n")
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                try:
                    slow.sendall(b"X-Slow: yes\r\n")
                    if not slow.recv(1):
                        return
                except TimeoutError:
                    continue
                except OSError:
                    return
    raise AssertionError("it is still there")
