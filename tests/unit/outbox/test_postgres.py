"""What is particular to a log in PostgreSQL; what is not, the other tests ask of it too."""

import json
import re
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from petition.errors import LogBusy, LogUnusable
from petition.outbox import database, manual
from petition.outbox.database import POSTGRESQL_SQL, SQLITE_SQL, queries, tables, texts
from petition.outbox.enqueue import Listing
from petition.outbox.log import Log
from petition.outbox.postgres import _connect, is_there
from petition.outbox.states import Mode, State
from petition.outbox.workers import take_turn
from petition.sending.job_queue import make_tables
from tests import PATIENCE
from tests.servers.authority import Authority
from tests.servers.postgres import Postgres, running_postgres
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to

OWNER = """
    import sys, time
    from petition.outbox.log import Log
    with Log(sys.argv[1]) as log, log.owned():
        print("owned", flush=True)
        time.sleep(600)
"""


def columns_of(log: Log) -> dict[str, list[str]]:
    found = {}
    for table in tables():
        answer = log.database._connection.execute(f"SELECT * FROM {table}")
        found[table] = [column[0] for column in answer.description]
    return found


def test_both_databases_have_the_same_tables_and_columns(postgres: Postgres, tmp_path: Path):
    with Log(postgres.new_log()) as one, Log(f"sqlite:///{tmp_path}/petition.db") as other:
        assert columns_of(one) == columns_of(other)
        assert columns_of(one) == {table: list(columns) for table, columns in tables().items()}


def test_every_query_is_translated_for_both():
    for name, text in texts():
        lists = {part.split("[]")[0] for part in text.split("(:")[1:] if "[])" in part}
        for dialect in (SQLITE_SQL, POSTGRESQL_SQL):
            assert set(queries(dialect)[name].lists) == lists, name
        assert "%(" in queries(POSTGRESQL_SQL)[name].text or ":" not in text, name


def test_text_is_in_the_order_of_its_bytes(postgres: Postgres):
    with Log(postgres.new_log()) as log:
        manual.suppress(log, ["b@x.example", "B@y.example", "a@x.example", "ä@x.example"])
        found = [one.mailbox for one in manual.suppressions(log)]
        assert found == sorted(found, key=str.encode)


def test_what_postgresql_cannot_keep_is_replaced(postgres: Postgres):
    with Log(postgres.new_log()) as log, log.database.transaction():
        log.database.run("set_meta", {"name": "odd", "value": "a\0b"})
        row = log.database.one("meta", {"name": "odd"})
        assert row is not None
        assert row["value"] == "a\ufffdb"


def test_a_log_that_several_make_at_once_is_made_once(postgres: Postgres):
    url = postgres.new_log()
    together = threading.Barrier(6)

    def open_it(_: int) -> bytes:
        together.wait()
        with Log(url) as log:
            return log.key

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(open_it, range(6)))) == 1


def test_looking_makes_no_log(postgres: Postgres):
    url = postgres.new_log()
    assert not is_there(url)
    with Log(url):
        assert is_there(url)


def test_the_lock_is_freed_by_the_death_of_its_owner_and_by_nothing_else(postgres: Postgres):
    url = postgres.new_log()
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), url], stdout=subprocess.PIPE, text=True
    ) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "owned\n"
            with Log(url) as log, Log(postgres.new_log()) as other:
                with pytest.raises(LogBusy, match="from this machine"), log.owned(0):
                    pass
                log.tidy()  # somebody is at work: nothing to tidy
                with other.owned(0):  # another campaign in the same database
                    owner.kill()
                    owner.wait()
                with log.owned(10):  # the server learns of it a moment later
                    pass
        finally:
            owner.kill()


def test_one_writes_at_a_time(postgres: Postgres):
    url = postgres.new_log()
    with Log(url) as log, Log(url) as other:
        order: list[str] = []

        def write() -> None:
            manual.suppress(other, ["ann@x.example"])
            order.append("other")

        with log.database.transaction():
            late = threading.Thread(target=write)
            late.start()
            late.join(0.3)
            order.append("first")
        late.join()
        assert order == ["first", "other"]


def test_a_server_that_loses_what_it_committed_is_refused(postgres: Postgres):
    url = postgres.new_log().replace("-cs", "-csynchronous_commit%3Doff%20-cs")
    with pytest.raises(LogUnusable, match="synchronous_commit = off"):
        Log(url)


def test_a_schema_that_is_not_there_is_no_log_in_which_nothing_is(postgres: Postgres):
    with pytest.raises(LogUnusable, match="no schema that its search_path names"):
        is_there(postgres.url("misspelt"))


def test_a_connection_is_not_lost_for_having_nothing_to_write(postgres: Postgres):
    limits = quote(" -cidle_session_timeout=100 -cidle_in_transaction_session_timeout=100")
    with Log(postgres.new_log() + limits) as log, log.owned():
        time.sleep(0.5)
        with log.database.transaction():
            time.sleep(0.5)
        assert log.campaign_id is None


def test_an_address_is_named_without_its_password():
    for url in (
        "postgresql://ann:se%2Fcr%40t@db.example:5433/letters?sslmode=require",
        "postgresql://db.example:5433/letters?user=ann&password=secret",
        "postgres://ann:se%2Fcr%40t@db.example:5433/letters",
    ):
        assert database.where(url) == "postgresql://db.example:5433/letters"
    for misread in ("ann:se?cr@t@db.example", "ann:se/cr@t@db.example", "ann:se@cr@db.example"):
        assert database.where(f"postgresql://{misread}/letters") == "postgresql"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret@127.0.0.1:1/letters",
        "postgresql://ann:secret@127.0.0.1:1/letters?secret",
        "postgresql://ann:secret@[::1/letters",
    ],
)
def test_a_server_that_is_not_there_is_said_without_the_password(url: str):
    with pytest.raises(LogUnusable) as caught:
        Log(url)
    assert "secret" not in str(caught.value).replace("?secret", "")
    assert caught.value.hint


def test_a_table_of_somebody_else_is_left_alone(postgres: Postgres):
    url = postgres.new_log()
    schema = url.rpartition("%3D")[2]
    postgres.run(f"CREATE TABLE {schema}.copy (id int)")
    with pytest.raises(LogUnusable, match="not a log of petition"):
        Log(url)
    assert not is_there(url)


def test_a_log_of_another_version_is_refused(postgres: Postgres):
    url = postgres.new_log()
    with Log(url) as log:
        log.database._connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    with pytest.raises(LogUnusable, match="newer version"):
        Log(url)


@pytest.mark.postgres
def test_after_a_restart_of_the_server_nothing_is_written_and_nothing_lost():
    with running_postgres() as server:
        url = server.new_log()
        with Log(url) as log, log.owned():
            manual.suppress(log, ["ann@x.example"])
            server.stop()
            server.start()
            with pytest.raises(LogUnusable, match="run the same command again"):
                manual.suppress(log, ["bob@x.example"])
        with Log(url) as log, log.owned(0):
            assert [one.mailbox for one in manual.suppressions(log)] == ["ann@x.example"]


def test_millions_of_rows_are_read_some_at_a_time(
    postgres: Postgres, queue: Callable[..., Listing], log: Log
):
    queue(*(f"p{number}" for number in range(2500)))
    copies = log.copies("open")
    assert next(copies).row_id == "p0"
    bring_to(log, "p1", State.QUEUED)  # the connection is free for others meanwhile
    assert sum(1 for _ in copies) == 2499


def test_reading_ahead_walks_past_nothing_that_was_sent(postgres: Postgres):
    names = [f"p{number}" for number in range(3000)]
    with Log(postgres.new_log()) as log:
        listing = Listing(log, "open")
        stage(listing, listed(*names))
        listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", frozen())
        query = "EXPLAIN " + queries(POSTGRESQL_SQL)["queued"].text
        values = {"letter": "open", "past": 0, "full": [], "known": [], "limit": 100}
        steps = [row[0] for row in log.database._connection.execute(query, values)]
    plan = "\n".join(steps)
    assert "Index Scan using copy_queued" in plan
    assert "Merge Join" not in plan
    assert "Seq Scan" not in plan


@contextmanager
def over_tls(context: ssl.SSLContext) -> Iterator[tuple[int, list[bytes]]]:
    """A server that speaks PostgreSQL up to TLS, and keeps what it is told behind it."""
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(PATIENCE)
                        while connection.recv(8)[4:] != (80877103).to_bytes(4, "big"):
                            connection.sendall(b"N")  # GSSAPI
                        connection.sendall(b"S")
                        with context.wrap_socket(connection, server_side=True) as stream:
                            told.extend(filter(None, [stream.recv(1000)]))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], told
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


@pytest.mark.component("openssl")
def test_beyond_this_machine_a_server_is_told_nothing_that_cannot_prove_who_it_is(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")  # where "db.example" is, without a name server
    with over_tls(authority.server("DNS:db.example")) as (port, told):
        url = f"postgresql://kim@db.example:{port}/letters"
        known = f"sslrootcert={quote(str(authority.certificate))}"
        for refused in (url, f"{url}?{known}".replace("db.example", "other.example")):
            with pytest.raises(LogUnusable, match=r"certificate|SSL"):
                Log(refused)
        assert told == []
        for taken in (f"{url}?{known}", f"{url}?sslmode=require"):
            with pytest.raises(LogUnusable):  # it says no more
                Log(taken)
        assert len(told) == 2
        assert all(b"kim" in one for one in told)


def setting(log: Log, name: str) -> str:
    found = log.database._connection.execute(f"SHOW {name}").fetchone()
    assert found
    return str(found[0])


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """One whose settings a test may change."""
    with running_postgres() as server:
        yield server


def reload(server: Postgres, **settings: str) -> None:
    """Change settings of a running server, as its keeper does."""
    for name, value in settings.items():
        server.run(f"ALTER SYSTEM SET {name} = '{value}'")
    server.run("SELECT pg_reload_conf()")
    time.sleep(0.5)  # each process takes them in when it is idle


def test_what_a_server_or_a_role_limits_is_not_for_a_log(own_server: Postgres):
    url = own_server.new_log()
    limits = {"lock_timeout": "100", "statement_timeout": "300"}
    for name, value in limits.items():
        own_server.run(f"ALTER ROLE postgres SET {name} = '{value}'")
    with Log(url) as log, Log(url) as other:
        reload(own_server, idle_in_transaction_session_timeout="100", search_path="public")
        assert {setting(log, name) for name in limits} == {"0"}
        with ThreadPoolExecutor() as threads:
            with log.database.transaction():
                waiting = threads.submit(manual.suppress, other, ["a@x.example"])
                time.sleep(1)
                assert not waiting.done()
            waiting.result(PATIENCE)
        assert [one.mailbox for one in manual.suppressions(log)] == ["a@x.example"]


@pytest.mark.parametrize("name", ["standard_conforming_strings", "array_nulls"])
def test_how_a_role_reads_values_changes_none_of_the_log(own_server: Postgres, name: str):
    own_server.run(f"ALTER ROLE postgres SET {name} = off")
    written = b"\x00\\\xff'", [b"\x00\\\xff'"], ["a", None, "NULL"]
    with Log(own_server.new_log()) as log:
        asked = log.database._connection.execute(
            "SELECT %s::bytea, %s::bytea[], %s::text[]", written
        )
        assert tuple(asked.fetchone()) == written


def test_a_login_that_may_only_read_is_told_which_setting_says_so(own_server: Postgres):
    url = own_server.new_log()
    Log(url).close()
    own_server.run("ALTER ROLE postgres SET default_transaction_read_only = on")
    with Log(url) as log:
        with pytest.raises(LogUnusable, match="default_transaction_read_only"):
            stage(Listing(log, "open"), listed("ann"))
        with (
            pytest.raises(LogUnusable, match="default_transaction_read_only"),
            log.database.transaction(),
        ):
            raise AssertionError


def test_a_server_that_ends_the_connection_at_once_is_explained(
    own_server: Postgres, monkeypatch: pytest.MonkeyPatch
):
    url = own_server.new_log()
    connect = psycopg.connect

    def connect_and_lose(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        with connect(own_server.url(), autocommit=True) as other:
            other.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 10000)")
        return connection

    monkeypatch.setattr(psycopg, "connect", connect_and_lose)
    with pytest.raises(LogUnusable):
        is_there(url)


def test_no_limit_of_a_role_breaks_off_the_look_whether_there_is_a_log(own_server: Postgres):
    url = own_server.new_log()
    own_server.run("ALTER ROLE postgres SET statement_timeout = '1min'")
    with closing(_connect(url, "here")) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
    assert not is_there(url)


def test_durability_is_what_it_was_when_the_log_was_opened(own_server: Postgres):
    with Log(own_server.new_log()) as log:
        reload(own_server, synchronous_commit="off", default_transaction_read_only="on")
        with log.database.transaction():
            assert setting(log, "synchronous_commit") == "on"
            assert log.database.run("set_meta", {"name": "a", "value": "b"}) == 1


@pytest.mark.parametrize("kind", ["transaction", "shared_transaction"])
def test_durability_is_looked_at_in_each_transaction(own_server: Postgres, kind: str):
    with Log(own_server.new_log()) as log:
        log.database._connection.execute("SET synchronous_commit = off")
        begin = getattr(log.database, kind)
        with pytest.raises(LogUnusable, match="synchronous_commit = off"), begin():
            raise AssertionError
        log.database._connection.execute("SET synchronous_commit = on")
        reload(own_server, fsync="off")
        with pytest.raises(LogUnusable, match="fsync = off"), begin():
            raise AssertionError
        reload(own_server, fsync="on")
        with begin():
            pass


def test_a_transaction_that_cannot_begin_leaves_none(postgres: Postgres):
    url = postgres.new_log()
    with Log(url) as log, Log(url) as other:
        other.database._connection.execute("SET lock_timeout = 100")
        with log.database.transaction():
            with (
                pytest.raises(LogUnusable, match="lock timeout") as told,
                other.database.transaction(),
            ):
                raise AssertionError
            assert other.database.is_busy(told.value)
        with other.database.transaction():
            pass


def test_a_statement_that_was_cancelled_is_explained(postgres: Postgres):
    with Log(postgres.new_log()) as log:
        with log.database.transaction(), Log(log.url) as other:
            other.database._connection.execute("SET statement_timeout = 100")
            with pytest.raises(LogUnusable) as told, other.database.transaction():
                raise AssertionError
        assert "Run the same command again" in str(told.value)


def test_a_turn_that_a_wrong_clock_gave_is_not_waited_for(postgres: Postgres):
    with Log(postgres.new_log()) as log:
        make_tables(log)
        assert take_turn(log.database, "all", 10.0) == 0
        assert 9 < take_turn(log.database, "all", 10.0) <= 10
        log.database._connection.execute("UPDATE turn SET next_at = next_at + 365 * 86400")
        assert take_turn(log.database, "all", 10.0) == 0


MARKING = ("mark", "record", "write_all", "marked_by", "ready_in_block")
LOOKING = ("blocks_ready", "revision_due", "letters_without_job")


def test_workers_find_copies_by_an_index(postgres: Postgres):
    """Those of a commit by their number, and not by walking through what all workers send.

    Nor do workers walk past what was sent, which the server may not have counted yet.
    """
    with Log(postgres.new_log()) as log:
        make_tables(log)
        listing = Listing(log, "open")
        stage(listing, listed(*(f"p{number}" for number in range(5000))))
        listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", frozen())
        database = log.database
        for state in ("queued", "sending"):
            database._connection.execute("UPDATE copy SET state = %s WHERE id > 3000", [state])
            database.survey("copy")
            for name in MARKING:
                plan = plan_of(log, name)
                assert set(re.findall(r"(?:using|on) (copy_\w+)", plan)) == {"copy_pkey"}, plan
                assert "Seq Scan on copy" not in plan, plan
            for name in LOOKING:
                assert "Seq Scan on copy" not in plan_of(log, name), name


def plan_of(log: Log, name: str) -> str:
    query = queries(POSTGRESQL_SQL)[name]
    values: dict[str, object] = dict.fromkeys(re.findall(r"%\((\w+)\)s", query.text), "1")
    values |= {name: [] for name in ("full", "known", "others")}
    values |= {"copies": [3001, 3002, 3003], "first": 3072, "size": 256, "revision": 1, "limit": 32}
    values |= {"letter": "open", "horizon": log.now}
    for table, columns in query.tables:
        values[table] = json.dumps([dict.fromkeys(columns)] * 3)
    text = f"EXPLAIN {query.text}"
    return "\n".join(row[0] for row in log.database._connection.execute(text, values))
