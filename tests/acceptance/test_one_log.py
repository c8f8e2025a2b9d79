"""From a log that was emptied, deleted, restored or made elsewhere nothing is sent unconfirmed."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from petition.outbox.log import Log
from tests.acceptance.crew import PATIENCE
from tests.acceptance.killable import EPOCH
from tests.acceptance.small import SmallCampaign, Terminal
from tests.servers.counting import CountingServer, counting_server
from tests.servers.postgres import Postgres

SEND = ("send", "open-letter", "--yes")
WORKERS = ("send", "open-letter", "--workers", "--yes")
PEOPLE = 3
KILLABLE = (str(Path(__file__).with_name("killable.py")),)


@pytest.fixture
def sent(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    """A campaign whose letter everybody has."""
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    campaign.petition(*SEND, status=0)
    assert server.accepted.total() == PEOPLE
    return campaign


def files(campaign: SmallCampaign) -> list[Path]:
    return [path for path in campaign.root.glob("petition.db*") if path.suffix != ".lock"]


def delete(campaign: SmallCampaign) -> None:
    for path in files(campaign):
        path.unlink()


def empty(campaign: SmallCampaign) -> None:
    for path in files(campaign):
        path.write_bytes(b"")


def begin_anew(campaign: SmallCampaign) -> None:
    """A log of another key, in which there is a letter that waits."""
    delete(campaign)
    nowhere = SmallCampaign(campaign.root).through(1)
    nowhere.env["XDG_STATE_HOME"] = str(campaign.root.parent / "away")
    nowhere.petition(*SEND, "--this-log", status=4)


def name_another(campaign: SmallCampaign) -> None:
    campaign.env["PETITION_DATABASE"] = "sqlite:///another.db"


def refuses(campaign: SmallCampaign, *command: str) -> None:
    """`send` stops and names the way out; `check` says so; a dry run sends nothing and says so."""
    refused = campaign.petition(*(command or SEND), status=2)
    assert "--this-log" in refused.err
    checked = campaign.petition("check", status=1)
    assert "ready" not in checked.out
    assert "--this-log" in checked.out


LOSSES = [delete, empty, begin_anew, name_another]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_log_that_is_gone_is_noticed(
    sent: SmallCampaign, server: CountingServer, lose: Callable[[SmallCampaign], None]
):
    lose(sent)
    for _ in range(2):  # what a command makes of an empty file is no other log
        refuses(sent)
    assert "--this-log" in sent.petition(*SEND[:2], "--dry-run", status=0).err
    assert server.accepted.total() == PEOPLE
    sent.petition(*SEND, "--this-log", status=0)
    assert server.accepted.total() == 2 * PEOPLE
    sent.petition("check", status=0)
    assert "already" in sent.petition(*SEND, status=0).out  # one word is enough


def test_an_older_copy_is_noticed(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    campaign.petition(*SEND, "--limit", "1", status=0)
    shutil.copy(campaign.root / "petition.db", tmp_path)
    campaign.petition(*SEND, status=0)
    shutil.copy(tmp_path / "petition.db", campaign.root)
    refuses(campaign)
    campaign.petition("status", status=0)  # which tidies up, and hides nothing by that
    refuses(campaign)
    assert server.accepted.total() == PEOPLE
    campaign.petition(*SEND, "--this-log", status=0)
    assert server.accepted.total() == 2 * PEOPLE - 1
    campaign.petition("check", status=0)


@pytest.mark.parametrize(
    "command",
    [("retry", "open-letter"), ("resolve", "--all", "--not-sent")],
    ids=lambda one: one[0],
)
def test_nothing_is_queued_again_in_an_older_copy(
    sent: SmallCampaign, tmp_path: Path, command: tuple[str, ...]
):
    shutil.copy(sent.root / "petition.db", tmp_path)
    sent.list_people("p1", "p2", "p3", "p4")
    sent.petition(*SEND, status=0)
    shutil.copy(tmp_path / "petition.db", sent.root)
    refuses(sent, *command)
    sent.petition("resolve", "--all", "--sent", status=0)
    sent.petition(*command, "--this-log", status=0)
    sent.petition("check", status=0)


def test_of_two_copies_of_a_folder_one_goes_on(
    tmp_path: Path, server: CountingServer, sent: SmallCampaign
):
    shutil.copytree(sent.root, tmp_path / "copy")
    copy = SmallCampaign(tmp_path / "copy", sent.env)
    for campaign in (copy, sent):
        campaign.list_people("p1", "p2", "p3", "p4")
    copy.petition(*SEND, status=0)
    refuses(sent)
    copy.petition("check", status=0)
    assert server.accepted["p4@x.example"] == 1


def at_the_prompt(campaign: SmallCampaign) -> Terminal:
    """A `send` that has looked at everything and waits for the person's yes."""
    run = campaign.on_terminal(*SEND[:2])
    run.expect("y/N")
    return run


def says_yes(run: Terminal) -> int:
    run.sendline("y")
    return run.end()[0]


@pytest.mark.parametrize("is_queued", [False, True])
def test_of_two_copies_at_the_prompt_one_goes_on(
    tmp_path: Path, server: CountingServer, is_queued: bool
):
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    if is_queued:
        campaign.through(1).petition(*SEND, status=4)
    else:
        campaign.petition(*SEND, "--limit", "1", status=0)
    shutil.copytree(campaign.root, tmp_path / "copy")
    copy = SmallCampaign(tmp_path / "copy", campaign.env)
    runs = [at_the_prompt(one) for one in (campaign, copy)]
    assert says_yes(runs[0]) == 0
    assert says_yes(runs[1]) == 1
    assert set(server.accepted.values()) == {1}
    assert server.accepted.total() == PEOPLE
    refuses(copy)
    campaign.petition("check", status=0)


def test_a_copy_of_a_log_in_the_middle_of_a_run_sends_nothing(tmp_path: Path):
    with counting_server(pause=0.05) as server:
        campaign = SmallCampaign.at(tmp_path / "campaign", 30).through(server.port)
        with campaign.begin(*SEND) as run:
            server.wait_for(2)
            shutil.copytree(campaign.root, tmp_path / "copy")
            copy = SmallCampaign(tmp_path / "copy", campaign.env)
            refuses(copy)
            assert run.wait(PATIENCE) == 0
        refuses(copy)
        assert set(server.accepted.values()) == {1}
        campaign.petition("check", status=0)


def test_an_older_copy_is_not_moved(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    campaign.petition(*SEND, "--limit", "1", status=0)
    shutil.copy(campaign.root / "petition.db", tmp_path)
    campaign.petition(*SEND, status=0)
    shutil.copy(tmp_path / "petition.db", campaign.root)
    refuses(campaign, "migrate", "sqlite:///z.db")
    assert not (campaign.root / "z.db").exists()
    refuses(campaign)
    campaign.petition("migrate", "sqlite:///z.db", "--this-log", status=0)
    campaign.env["PETITION_DATABASE"] = "sqlite:///z.db"
    campaign.petition("check", status=0)


def delete_rows(campaign: SmallCampaign, rows: str) -> None:
    database = sqlite3.connect(campaign.root / "petition.db")
    with database:
        for statement in ("DELETE FROM event", f"DELETE FROM copy WHERE {rows}"):
            database.execute(statement)
    database.close()


def test_a_log_without_its_copies_is_empty(sent: SmallCampaign, server: CountingServer):
    delete_rows(sent, "true")
    refuses(sent)
    assert server.accepted.total() == PEOPLE


@pytest.mark.parametrize("rows", ["state = 'sent'", "id = 1"])
def test_a_log_without_some_of_its_copies_is_noticed(
    sent: SmallCampaign, server: CountingServer, rows: str
):
    sent.list_people("p1", "p2", "p3", "p4")
    sent.through(1).petition(*SEND, status=4)
    delete_rows(sent, rows)
    refuses(sent)
    assert server.accepted.total() == PEOPLE


def test_a_log_whose_only_person_was_forgotten_is_not_empty(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path, 1).through(server.port)
    campaign.petition(*SEND, status=0)
    campaign.petition("forget", "p1@x.example", "--yes")
    campaign.list_people("p2")
    campaign.petition("check", status=0)
    campaign.petition(*SEND, status=0)
    assert set(server.accepted.values()) == {1}


def test_a_real_server_does_not_share_the_log_of_the_rehearsals(
    tmp_path: Path, server: CountingServer
):
    campaign = SmallCampaign.at(tmp_path, PEOPLE)
    (tmp_path / "alias").symlink_to(tmp_path)
    for name in ("rehearsal.db", "letters/../rehearsal.db", "alias/rehearsal.db"):
        campaign.env["PETITION_DATABASE"] = f"sqlite:///{name}"
        assert "rehearsal.db" in campaign.through(server.port).petition(*SEND, status=2).err
        campaign.petition(*SEND, status=0)  # a rehearsal
    assert not server.accepted
    del campaign.env["PETITION_DATABASE"]
    campaign.through(server.port).petition(*SEND, status=0)
    refused = campaign.through(server.port).petition("migrate", "sqlite:///rehearsal.db", status=2)
    assert "rehearsal.db" in refused.err


def test_a_folder_that_was_renamed_goes_on(tmp_path: Path, sent: SmallCampaign):
    sent.root.rename(tmp_path / "renamed")
    renamed = SmallCampaign(tmp_path / "renamed", sent.env)
    assert "already" in renamed.petition(*SEND, status=0).out
    delete(renamed)
    refuses(renamed)  # the account does not know this folder, which tells by itself
    (renamed.root / "sent.toml").unlink()
    renamed.petition(*SEND, status=0)  # nobody knows that it had a log


def test_a_log_of_another_account_is_asked_for_once(tmp_path: Path, sent: SmallCampaign):
    sent.env["XDG_STATE_HOME"] = str(tmp_path / "another account")
    refuses(sent)
    assert "new here" in sent.petition(*SEND, status=2).err
    asked = sent.on_terminal(*SEND)
    asked.expect("new here")
    asked.expect("y/N")
    asked.sendline("")
    assert asked.end()[0] == 2
    refuses(sent)
    sent.petition(*SEND, "--this-log", status=0)
    sent.petition(*SEND, status=0)


def test_where_nothing_was_attempted_nothing_is_asked(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path, PEOPLE)
    campaign.through(1).petition(*SEND, status=4)
    for lose in (empty, delete):
        lose(campaign)
        campaign.through(1).petition("check", status=0)
    campaign.through(server.port).petition(*SEND, status=0)
    assert server.accepted.total() == PEOPLE


def test_a_rehearsal_asks_nothing(campaign: SmallCampaign, state_home: Path):
    for _ in range(2):
        campaign.petition("send", "open-letter", status=0)
        (campaign.root / "rehearsal.db").unlink()
    assert not (state_home / "petition" / "logs.json").exists()


def test_a_state_folder_that_cannot_be_written_sends_nothing(
    tmp_path: Path, server: CountingServer
):
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    (tmp_path / "file").write_text("")
    campaign.env["XDG_STATE_HOME"] = str(tmp_path / "file")
    assert "logs.json" in campaign.petition(*SEND, status=1).err
    campaign.petition("status", status=0)
    assert not server.accepted
    del campaign.env["XDG_STATE_HOME"]
    campaign.petition(*SEND, status=0)
    assert set(server.accepted.values()) == {1}


KNOWN = '{"logs": {"a": {"attempted": true, "run": "", "epoch": %s}}}'


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "{", '{"logs": 1}', '{"logs": {"a": {}}}', '{"places": 1}'),
        *(KNOWN % epoch for epoch in ("Infinity", "NaN", "-1", "9" * 23, "1.5", '"1"', "true")),
    ],
)
def test_a_damaged_state_file_is_told(sent: SmallCampaign, state_home: Path, text: str):
    (state_home / "petition" / "logs.json").write_text(text)
    assert "damaged" in sent.petition(*SEND, status=1).err
    sent.petition("status", status=0)


def epoch_without_wal(campaign: SmallCampaign) -> int:
    database = sqlite3.connect(f"file:{campaign.root}/petition.db?immutable=1", uri=True)
    try:
        row = database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    except sqlite3.OperationalError:  # it has no tables yet
        return 0
    finally:
        database.close()
    return int(row[0]) if row else 0


@pytest.mark.slow
@pytest.mark.parametrize("people", [12, 600])
def test_a_killed_run_whose_journal_was_lost_is_noticed(
    tmp_path: Path, state_home: Path, people: int
):
    """Of a long run a part is in the file itself, with the epoch that it began with."""
    with counting_server(pause=0.002) as server:
        campaign = SmallCampaign.at(tmp_path, people).through(server.port)
        with campaign.begin(*SEND) as run:
            server.wait_for(people * 3 // 4)
            run.kill()
        server.wait_until_alone()
        (campaign.root / "petition.db-wal").unlink()
        (campaign.root / "petition.db-shm").unlink()
        known = json.loads((state_home / "petition" / "logs.json").read_text())
        (about,) = known["logs"].values()
        assert (epoch_without_wal(campaign) == about["epoch"]) == (people > 12)
        for _ in range(2):
            refuses(campaign)
            campaign.petition("status")
        refuses(campaign, "migrate", "sqlite:///z.db")
        assert set(server.accepted.values()) == {1}


FRAME = 24 + 4096


def end_of(wal: bytearray) -> int:
    """Where the frames of this round end; behind them can be some of the round before."""
    end = 32
    while wal[end + 8 : end + 16] == wal[16:24]:
        end += FRAME
    return end


def flip_a_bit(wal: bytearray) -> None:
    wal[end_of(wal) * 3 // 4] ^= 1


def cut_between_frames(wal: bytearray) -> None:
    del wal[max(32, end_of(wal) - 10 * FRAME) :]


@pytest.mark.parametrize("damage", [flip_a_bit, cut_between_frames])
def test_a_killed_run_whose_journal_was_damaged_is_noticed(
    tmp_path: Path, damage: Callable[[bytearray], None]
):
    """SQLite takes a frame with a wrong checksum for the end, and says nothing."""
    with counting_server(pause=0.01) as server:
        campaign = SmallCampaign.at(tmp_path, 60).through(server.port)
        with campaign.begin(*SEND) as run:
            server.wait_for(40)
            run.kill()
        server.wait_until_alone()
        wal = campaign.root / "petition.db-wal"
        data = bytearray(wal.read_bytes())
        damage(data)
        wal.write_bytes(data)
        for _ in range(2):
            refuses(campaign)
            campaign.petition("status")
        assert set(server.accepted.values()) == {1}


@pytest.mark.parametrize("look", [("status",), ("check",), SEND], ids=lambda one: one[0])
def test_a_killed_run_is_gone_on_with(tmp_path: Path, look: tuple[str, ...]):
    with counting_server(pause=0.01) as server:
        campaign = SmallCampaign.at(tmp_path, 30).through(server.port)
        with campaign.begin(*SEND) as run:
            server.wait_for(10)
            run.kill()
        campaign.petition(*look)
        campaign.petition("check", status=0)
        campaign.petition(*SEND)
        assert set(server.accepted.values()) == {1}


def test_a_killed_run_is_gone_on_with_in_a_folder_that_was_renamed(tmp_path: Path):
    with counting_server(pause=0.01) as server:
        campaign = SmallCampaign.at(tmp_path / "campaign", 30).through(server.port)
        with campaign.begin(*SEND) as run:
            server.wait_for(10)
            run.kill()
        campaign.root.rename(tmp_path / "renamed")
        renamed = SmallCampaign(tmp_path / "renamed", campaign.env)
        renamed.petition("check", status=0)
        renamed.petition(*SEND)
        assert set(server.accepted.values()) == {1}


def test_who_looked_on_while_a_run_was_killed_hides_nothing(tmp_path: Path):
    """The last one to close the log takes the `-wal` in, as a page for leaving does."""
    with counting_server(pause=0.01) as server:
        campaign = SmallCampaign.at(tmp_path, 30).through(server.port)
        campaign.petition(*SEND, "--limit", "1", status=0)
        with Log(f"sqlite:///{tmp_path}/petition.db") as log:
            assert log.letters()
            with campaign.begin(*SEND) as run:
                server.wait_for(10)
                run.kill()
        assert not (tmp_path / "petition.db-wal").exists()
        campaign.petition("check", status=0)
        campaign.petition(*SEND)
        assert set(server.accepted.values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("point", EPOCH)
def test_a_crash_between_the_log_and_what_is_known_is_no_doubt(
    tmp_path: Path, server: CountingServer, point: str, times: int
):
    campaign = SmallCampaign.at(tmp_path, PEOPLE).through(server.port)
    with campaign.begin(point, str(times), *SEND, program=KILLABLE) as killed:
        assert killed.wait(PATIENCE) == -9
    campaign.petition("check", status=0)
    campaign.petition(*SEND, status=0)
    assert set(server.accepted.values()) == {1}
    campaign.petition("check", status=0)


def test_a_database_that_was_made_anew_is_noticed(
    tmp_path: Path, server: CountingServer, postgres: Postgres
):
    url = postgres.new_log()
    campaign = SmallCampaign.at(tmp_path, PEOPLE).through(server.port)
    campaign.env["PETITION_DATABASE"] = url
    campaign.petition(*SEND, status=0)
    schema = url.rpartition("%3D")[2]
    postgres.run(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")
    refuses(campaign)
    refuses(campaign, *WORKERS)
    other = SmallCampaign.at(tmp_path / "other folder", PEOPLE)  # the address is known too
    other.env = campaign.env
    refuses(other)
    assert server.accepted.total() == PEOPLE


def test_a_database_whose_rows_were_deleted_is_noticed(
    tmp_path: Path, server: CountingServer, postgres: Postgres
):
    url = postgres.new_log()
    campaign = SmallCampaign.at(tmp_path, PEOPLE).through(server.port)
    campaign.env["PETITION_DATABASE"] = url
    campaign.petition(*SEND, status=0)
    schema = url.rpartition("%3D")[2]
    postgres.run(f"TRUNCATE {schema}.copy, {schema}.event CASCADE")
    refuses(campaign)
    assert server.accepted.total() == PEOPLE


def test_a_log_that_was_moved_is_the_same_log(
    sent: SmallCampaign, tmp_path: Path, postgres: Postgres
):
    shutil.copy(sent.root / "petition.db", tmp_path)
    there = postgres.new_log()
    sent.petition("migrate", there, status=0)
    sent.env["PETITION_DATABASE"] = there
    sent.petition("check", status=0)
    assert "already" in sent.petition(*SEND, status=0).out
    del sent.env["PETITION_DATABASE"]
    shutil.copy(tmp_path / "petition.db", sent.root)  # as it was before
    refuses(sent)


@pytest.mark.slow
def test_a_worker_stops_at_an_older_log(tmp_path: Path, server: CountingServer, postgres: Postgres):
    url = postgres.new_log()
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    campaign.env["PETITION_DATABASE"] = url
    campaign.petition(*WORKERS, status=0)
    campaign.petition("worker", "--once", status=0, timeout=PATIENCE)
    assert server.accepted.total() == PEOPLE
    schema = url.rpartition("%3D")[2]
    postgres.run(f"UPDATE {schema}.meta SET value = '1' WHERE name = 'epoch'")
    campaign.list_people("p1", "p2", "p3", "p4")
    assert "--this-log" in campaign.petition("worker", "--once", status=2).err
    campaign.petition(*WORKERS, "--this-log", status=0)
    campaign.petition("worker", "--once", status=0, timeout=PATIENCE)
    assert set(server.accepted.values()) == {1}
    campaign.env["XDG_STATE_HOME"] = str(tmp_path / "another machine")
    said = campaign.petition("worker", "--once", status=0, timeout=PATIENCE)
    assert "new here" in said.out + said.err  # a worker is on other machines as a rule


def test_through_two_names_nothing_is_sent(
    sent: SmallCampaign, tmp_path: Path, server: CountingServer
):
    other = SmallCampaign.at(tmp_path / "other", PEOPLE)
    other.env = sent.env
    (other.root / "petition.db").hardlink_to(sent.root / "petition.db")
    for campaign in (sent, other):
        assert "hard link" in campaign.petition(*SEND, status=1).err
        assert "ready" not in campaign.petition("check", status=1).out
    assert server.accepted.total() == PEOPLE
