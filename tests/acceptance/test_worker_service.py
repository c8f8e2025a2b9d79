"""docs/worker-service.md: its unit starts a worker, and its metrics are Prometheus'."""

import configparser
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import PATIENCE
from tests.acceptance.crew import SEND, campaign_on, wait_until_done
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres

PAGE = (Path(__file__).parents[2] / "docs/worker-service.md").read_text("utf-8")
PROGRAMS = Path(sys.executable).parent
UNIT = "petition-worker@.service"
# Runs a command under MemoryDenyWriteExecute, where the kernel knows it, without systemd.
DENY = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def file(name: str) -> str:
    found = re.search(
        rf"^<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
    assert found, name
    return found[1].replace("/opt/petition/bin/", f"{PROGRAMS}/")


@pytest.mark.component("systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path):
    (tmp_path / UNIT).write_text(file(UNIT), encoding="utf-8")
    for words in (("verify", UNIT.replace("@", "@1")), ("security", "--offline=yes", UNIT)):
        done = subprocess.run(
            ["systemd-analyze", *words[:-1], f"./{words[-1]}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr
    assert "Overall exposure level" in done.stdout
    assert "OK" in done.stdout.splitlines()[-1]


def test_the_unit_starts_a_worker_with_all_that_it_needs(tmp_path: Path, postgres: Postgres):
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(file(UNIT))
    service = unit["Service"]
    state = tmp_path / service["StateDirectory"]
    state.mkdir()
    with counting_server(login="235 2.7.0 Accepted") as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 3)
        campaign.petition(*SEND, status=0)
        given = dict(line.split("=", 1) for line in file("worker.env").splitlines())
        given |= {name: value for name, value in campaign.env.items() if name in given}
        given |= {"PETITION_SMTP_PORT": str(server.port), "PETITION_SMTP_SECURITY": "none"}
        name, _, value = service["Environment"].partition("=")
        given[name] = value.replace("%S", str(tmp_path))
        with subprocess.Popen(
            [sys.executable, "-c", DENY, *shlex.split(service["ExecStart"])],
            cwd="/",
            env=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            wait_until_done(campaign)
            run.send_signal(signal.SIGTERM)
            out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    assert out.count('"event": "letter"') == 3
    assert any(state.iterdir())  # what this machine knows of the log


def metrics(campaign: SmallCampaign) -> subprocess.CompletedProcess[str]:
    campaign.write("petition-metrics", file("petition-metrics"))
    environment = campaign.environment | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "petition-metrics", "petition.prom"],
        cwd=campaign.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_metrics_are_as_prometheus_reads_them(tmp_path: Path):
    answers = {"p1": "451 4.7.1 Try again later"}
    with counting_server(answers=answers) as server:
        campaign = SmallCampaign.at(tmp_path, people=3).through(server.port)
        campaign.petition("send", "open-letter", "--yes", status=3)
    done = metrics(campaign)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "petition.prom").read_text("utf-8")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["petition_letters", "open-letter", "sent"] == 2
    assert found["petition_letters", "open-letter", "deferred"] == 1
    assert found["petition_deferred", "x.example"] == 1
    assert found["petition_workers",] == 0
    assert not list(tmp_path.glob("petition.prom.*"))


def test_a_rehearsal_has_no_metrics(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path, people=3)
    campaign.petition("send", "open-letter", status=0)
    done = metrics(campaign)
    assert done.returncode == 1
    assert "rehearsal" in done.stderr
    assert not (tmp_path / "petition.prom").exists()


def test_alerts_name_metrics_that_there_are():
    shown = PAGE.partition("$ cat petition.prom\n")[2].partition("…\n")[0]
    there = {family.name for family in text_string_to_metric_families(shown)}
    alerts = PAGE.partition("## What to alert on")[2]
    named = set(re.findall(r"\b(petition_\w+)", alerts))
    assert named
    assert {name.removesuffix("_total") for name in named} <= there
