"""Two people work on one campaign: sent.toml keeps the second from sending it all again."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from petition.outbox.log import Log
from petition.outbox.sent_file import FILE, read_sent
from tests import PATIENCE
from tests.acceptance.killable import POINTS
from tests.acceptance.small import LETTER, SmallCampaign
from tests.acceptance.test_kill import KILLABLE
from tests.privileges import bound_by_permissions
from tests.servers.counting import CountingServer
from tests.servers.postgres import Postgres

SEND = ("send", "open-letter", "--yes")
NEXT = ("send", "next-letter", "--yes")
PEOPLE = 3


@pytest.fixture
def ann(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    """Whoever began: everybody has the letter."""
    campaign = SmallCampaign.at(tmp_path / "ann", PEOPLE).through(server.port)
    campaign.petition(*SEND, status=0)
    return campaign


def cloned(ann: SmallCampaign, *, with_log: bool = False) -> SmallCampaign:
    """The folder on a colleague's machine: what git has of it, and on request the log."""
    root = ann.root.parent / "ben"
    leave_out = shutil.ignore_patterns(*([] if with_log else ["petition.db*"]))
    shutil.copytree(ann.root, root, ignore=leave_out, dirs_exist_ok=True)
    return SmallCampaign(root, ann.env | {"XDG_STATE_HOME": str(root.parent / "ben's account")})


def lines(campaign: SmallCampaign) -> list[tuple[str, int, str]]:
    return [(one.letter, one.revision, one.log) for one in read_sent(campaign.root)]


def everything(*folders: Path) -> dict[Path, tuple[int, bytes]]:
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def write_next_letter(campaign: SmallCampaign) -> None:
    campaign.write("letters/next-letter.md", LETTER.replace("one demand", "one more"))


def stops(campaign: SmallCampaign, *command: str, says: str) -> None:
    answer = campaign.petition(*(command or SEND), status=2)
    assert says in " ".join(answer.err.split())
    assert "--this-log" in answer.err
    assert f"{FILE}:4" in answer.err
    checked = " ".join(campaign.petition("check", status=1).out.split())
    assert says in checked
    assert "--this-log" in checked


@pytest.mark.parametrize("looking", [("status",), ("status", "open-letter"), ("log",)])
def test_a_log_that_is_not_the_one_is_not_shown_as_if_nothing_was_sent(
    ann: SmallCampaign, looking: tuple[str, ...]
):
    ben = cloned(ann)
    stops(ben, says="from a log that is not here")  # there is an empty log now
    shown = ben.petition(*looking, status=0)
    assert "yet" not in shown.out
    assert "Next" not in shown.out
    assert "from a log that is not here" in " ".join(shown.err.split())


def test_a_live_run_notes_once_what_went_out_and_nothing_of_anybody(ann: SmallCampaign):
    with Log(f"sqlite:///{ann.root}/petition.db", looks=True) as log:
        assert [one.campaign for one in read_sent(ann.root)] == [log.campaign_id] == ["water"]
    [(letter, revision, _)] = lines(ann)
    assert (letter, revision) == ("open-letter", 1)
    text = (ann.root / FILE).read_text()
    assert "@" not in text
    assert "p1" not in text.lower()
    ann.list_people("p1", "p2", "p3", "p4")
    ann.petition(*SEND, status=0)
    assert (ann.root / FILE).read_text() == text
    ann.change("letters/open-letter.md", "Dear", "Good day")
    ann.list_people("p5")
    ann.petition(*SEND, "--revise", status=0)
    assert [one[:2] for one in lines(ann)] == [("open-letter", 1), ("open-letter", 2)]


def test_who_has_no_log_is_stopped_until_a_person_says_so(
    ann: SmallCampaign, server: CountingServer
):
    ben = cloned(ann)
    for command in (SEND, SEND[:2], ("retry", "open-letter")):
        stops(ben, *command, says="from a log that is not here")
    assert not list(ben.root.glob("petition.db*"))
    assert "not here" in ben.petition(*SEND[:2], "--dry-run", status=0).err
    stops(ben, *SEND, says="from a log that is not here")
    assert server.accepted.total() == PEOPLE
    ben.petition(*SEND, "--this-log", status=0)
    assert server.accepted.total() == 2 * PEOPLE
    ben.petition("check", status=0)  # one word is enough
    assert "already" in ben.petition(*SEND, status=0).out
    assert len({log for _, _, log in lines(ben)}) == 2
    # And Ann hears of it, as soon as her copy has the line.
    shutil.copy(ben.root / FILE, ann.root)
    assert f"{FILE}:5" in ann.petition(*SEND, status=2).err
    # One who then gets a letter from another log again is asked again.
    write_next_letter(ann)
    ann.petition(*NEXT, "--this-log", status=0)
    shutil.copy(ann.root / FILE, ben.root)
    assert "next-letter" in ben.petition(*SEND, status=2).err


def test_who_has_no_log_is_not_told_that_nothing_went_out(ann: SmallCampaign):
    ben = cloned(ann)
    for command in (("resolve", "--all", "--sent"), ("retry", "open-letter")):
        assert FILE in ben.petition(*command, status=2).err
    for looking in (("status",), ("status", "open-letter"), ("log",)):
        assert FILE in ben.petition(*looking, status=0).out
        assert FILE not in ann.petition(*looking, status=0).out


def test_who_looks_writes_nothing(ann: SmallCampaign):
    ben = cloned(ann)
    state = Path(ben.env["XDG_STATE_HOME"])
    before = everything(ben.root, state)
    ben.petition("check", status=1)
    for looking in (("preview", "open-letter", "--to", "p1"), ("status",), ("log",)):
        ben.petition(*looking, status=0)
    assert everything(ben.root) == before
    assert not [path for path in everything(state) if path.name == "logs.json"]


def test_who_gets_the_log_goes_on(ann: SmallCampaign, server: CountingServer):
    ben = cloned(ann, with_log=True)
    assert "new here" in ben.petition(*SEND, status=2).err
    assert "already" in ben.petition(*SEND, "--this-log", status=0).out
    write_next_letter(ben)
    ben.petition(*NEXT, status=0)
    assert server.accepted.total() == 2 * PEOPLE
    assert len({log for _, _, log in lines(ben)}) == 1


def test_an_older_copy_of_the_log_is_known_by_what_it_does_not_know(
    ann: SmallCampaign, server: CountingServer
):
    ben = cloned(ann, with_log=True)
    ben.petition(*SEND, "--this-log", status=0)
    for each in (ann, ben):
        write_next_letter(each)
    ann.petition(*NEXT, status=0)
    shutil.copy(ann.root / FILE, ben.root)
    answer = ben.petition(*NEXT, status=2)
    assert "older copy" in " ".join(answer.err.split())
    assert "next-letter" in answer.err
    assert server.accepted.total() == 2 * PEOPLE
    shutil.copy(ann.root / "petition.db", ben.root)
    assert "already" in ben.petition(*NEXT, status=0).out


def test_a_log_that_is_shared_serves_both(
    ann: SmallCampaign, server: CountingServer, postgres: Postgres
):
    url = postgres.new_log()
    ann.petition("migrate", url, status=0)
    ann.env["PETITION_DATABASE"] = url
    assert "already" in ann.petition(*SEND, status=0).out
    ben = cloned(ann)
    assert "new here" in ben.petition(*SEND, status=2).err
    ben.petition(*SEND, "--this-log", status=0)
    for each in (ann, ben):
        write_next_letter(each)
    ben.petition(*NEXT, status=0)
    assert "already" in ann.petition(*NEXT, status=0).out
    assert server.accepted.total() == 2 * PEOPLE
    assert lines(ben)[0] == lines(ann)[0]


def test_what_workers_are_given_is_noted_before_they_can_send_it(
    tmp_path: Path, server: CountingServer, postgres: Postgres
):
    campaign = SmallCampaign.at(tmp_path / "ann", PEOPLE).through(server.port)
    campaign.env["PETITION_DATABASE"] = postgres.new_log()
    campaign.petition("send", "open-letter", "--workers", "--yes", status=0)
    assert [one[:2] for one in lines(campaign)] == [("open-letter", 1)]
    campaign.petition("worker", "--once", status=0)
    campaign.petition("check", status=0)
    ben = cloned(campaign)
    ben.env["PETITION_DATABASE"] = postgres.new_log()
    stops(ben, *SEND, "--workers", says="from a log that is not here")


def test_a_rehearsal_writes_nothing_and_is_not_stopped(ann: SmallCampaign, tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path / "new")
    campaign.petition(*SEND, status=0)
    assert not (campaign.root / FILE).exists()
    ben = cloned(ann)
    rehearsing = SmallCampaign(ben.root, {"XDG_STATE_HOME": ben.env["XDG_STATE_HOME"]})
    before = (ben.root / FILE).read_bytes()
    rehearsing.petition("check", status=0)
    rehearsing.petition(*SEND, status=0)
    assert (ben.root / FILE).read_bytes() == before


def test_a_trial_and_a_server_that_is_away_are_not_noted(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path)
    campaign.through(1).petition(*SEND, status=4)
    trial = ("send", "open-letter", "--to-me", "me@x.example", "--yes")
    campaign.through(server.port).petition(*trial, status=0)
    assert not (campaign.root / FILE).exists()


@pytest.mark.parametrize("point", [one for one in POINTS if "dot" in one or "mark" in one])
def test_it_is_noted_before_the_first_dot(tmp_path: Path, server: CountingServer, point: str):
    campaign = SmallCampaign.at(tmp_path, PEOPLE).through(server.port)
    killed = campaign.begin(point, "1", *SEND, program=KILLABLE)
    _, err = killed.communicate(timeout=PATIENCE)
    assert killed.returncode == -9, err
    assert [one[:2] for one in lines(campaign)] == [("open-letter", 1)]
    campaign.petition(*SEND)  # nobody is asked anything after a crash
    assert max(server.accepted.values()) == 1


def test_a_merge_that_git_could_not_finish_is_named(ann: SmallCampaign, server: CountingServer):
    text = (ann.root / FILE).read_text().splitlines(keepends=True)
    torn = [*text[:3], "<<<<<<< HEAD\n", text[3], "=======\n", ">>>>>>> x\n", "]\n"]
    ann.write(FILE, "".join(torn))
    for command in (SEND, ("check",), ("retry", "open-letter")):
        answer = ann.petition(*command, status=1)
        assert f"{FILE}:4" in answer.out + answer.err
    ann.write(FILE, "".join(text))
    ann.petition(*SEND, status=0)


def test_where_it_cannot_be_written_nothing_goes(tmp_path: Path, server: CountingServer):
    """A line that is not there could not stop anybody."""
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    campaign.env["PETITION_DATABASE"] = f"sqlite:///{tmp_path}/elsewhere.db"
    campaign.root.chmod(0o500)
    program = (*bound_by_permissions(), sys.executable, "-m", "petition", *SEND)
    done = subprocess.run(
        program, cwd=campaign.root, env=campaign.environment, capture_output=True, check=False
    )
    campaign.root.chmod(0o700)
    assert done.returncode == 3, done.stderr
    assert FILE in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert not server.accepted
    campaign.petition(*SEND, status=0)
    assert server.accepted.total() == PEOPLE


def test_who_works_with_git_is_told_to_commit_it(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path / "campaign", PEOPLE).through(server.port)
    (tmp_path / ".git").mkdir()
    assert f"commit {FILE}" in campaign.petition(*SEND, "--limit", "1", status=0).out
    assert FILE not in campaign.petition(*SEND, status=0).out
