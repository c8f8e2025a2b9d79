"""A disk that is full: the run stops, nobody gets it twice, and what is left is explained."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.queued import leave_marked
from tests.acceptance.small import Answer, SmallCampaign
from tests.privileges import bound_by_permissions
from tests.servers.counting import CountingServer, counting_server

SEND = ("send", "open-letter", "--yes")
LIMITED = """
import resource, sys
from petition.cli.main import run
resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))
sys.argv = ["petition", *{arguments!r}]
run()
"""


def limited(campaign: SmallCampaign, most: int, *arguments: str) -> Answer:
    """Run petition where no file may grow beyond so many bytes."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(most=most, arguments=arguments)],
        cwd=campaign.root,
        env=campaign.environment | {"COLUMNS": "300"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


def check_end(campaign: SmallCampaign, server: CountingServer, people: int) -> None:
    """With room again: nobody twice, nobody lost."""
    campaign.petition(*SEND)
    counts = campaign.petition("status", "open-letter", "--json").json
    assert set(server.accepted.values()) <= {1}
    assert counts["sent"] + counts["uncertain"] == counts["total"] == people
    assert counts["sent"] <= server.accepted.total() <= people
    assert counts["uncertain"] + server.accepted.total() >= people


def test_a_full_disk_stops_the_run_and_nobody_gets_it_twice(tmp_path: Path):
    """The files of the log may not grow beyond what they have; then the disk is given back."""
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path, people=40).through(server.port)
        statuses = set()
        for most in (20_000, 120_000, 160_000, 240_000, 320_000):
            answer = limited(campaign, most, *SEND)
            if answer.status:
                assert "petition.db" in answer.err
                assert "disk" in answer.err
            statuses.add(answer.status)
            assert set(server.accepted.values()) <= {1}
        assert statuses - {0}
        check_end(campaign, server, 40)


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A disk of so many KiB, mounted on a folder; skips the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "petition-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk of its own cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave nothing of a disk free."""
    path = folder / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


@pytest.mark.component("root", "mount")
def test_what_a_run_left_on_a_full_disk_is_explained(tmp_path: Path):
    with counting_server(hold_after=5) as server, small_disk(tmp_path / "disk", 4096) as disk:
        campaign = SmallCampaign.at(disk, people=60).through(server.port)
        campaign.env["COLUMNS"] = "300"
        run = campaign.begin(*SEND)
        server.wait_for(letters=5)
        filler = fill(disk)
        server.hold_after = None
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 3, err
        assert "the log could not be written: petition.db: database or disk is full" in err
        said = campaign.petition("status", "open-letter", status=0).out
        assert "sending" in said
        assert "a run that ended" in said
        assert "may have arrived" in said
        assert "Free some space" in said
        assert "is running" not in said
        assert "open-letter, sending: left behind" in campaign.petition("status", status=0).out
        refused = campaign.petition(*SEND, status=1)
        assert "Free some space on the disk" in refused.err
        filler.unlink()
        said = campaign.petition("status", "open-letter", status=0).out
        assert "sending" not in said
        assert "uncertain" in said
        check_end(campaign, server, 60)


def test_what_a_run_left_is_explained_where_the_log_may_only_be_read(tmp_path: Path):
    folder = tmp_path / "campaign"
    campaign = SmallCampaign.at(folder)
    leave_marked(campaign, "p1")
    campaign.env["COLUMNS"] = "300"
    for name in ("rehearsal.db", "."):
        (folder / name).chmod(0o555)
    try:
        done = subprocess.run(
            [*bound_by_permissions(), sys.executable, "-m", "petition", "status", "open-letter"],
            cwd=folder,
            env=campaign.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "may have arrived" in done.stdout
    assert "write access" in done.stdout
