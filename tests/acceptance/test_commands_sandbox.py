"""petition sandbox: a server for whoever wants to try something out."""

import json
import signal
import smtplib
import subprocess
from pathlib import Path

from tests import PATIENCE
from tests.acceptance.small import Popen, SmallCampaign

LETTER = "From: a@x.example\r\nTo: b@x.example\r\nSubject: S\r\n\r\nText\r\n"


def start(place: SmallCampaign, *arguments: str) -> Popen:
    return place.begin("sandbox", *arguments, out=subprocess.PIPE)


def test_it_keeps_letters_and_says_where(tmp_path: Path):
    with start(SmallCampaign(tmp_path), "--json") as program:
        assert program.stdout is not None
        begun = json.loads(program.stdout.readline())
        assert begun["maildir"] == str(tmp_path / "outbox")
        assert begun["security"] == "none"
        assert begun["database"] == "sqlite:///sandbox.db"
        with smtplib.SMTP(begun["host"], begun["port"]) as client:
            client.sendmail("a@x.example", ["b@x.example"], LETTER)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=PATIENCE)
    assert (json.loads(out), err, program.returncode) == ({"kept": 1}, "", 0)
    assert [path.read_bytes() for path in (tmp_path / "outbox" / "new").iterdir()] == [
        LETTER.encode()
    ]


def test_it_names_the_environment_that_a_send_needs(campaign: SmallCampaign):
    with start(campaign) as program:
        assert program.stdout is not None
        words: list[str] = []
        while not words or not words[-1].startswith("PETITION_DATABASE"):
            words += program.stdout.readline().split()
        campaign.env |= dict(word.split("=", 1) for word in words if word.startswith("PETITION_"))
        out = campaign.petition("send", "open-letter", "--to-me", "a@b.example", "--yes").out
        assert "is a sandbox: nobody received anything." in out
        out = campaign.petition("send", "open-letter", "--yes", status=0).out
        assert "3 sent" in out
        assert "is a sandbox: nobody received anything." in out
        program.send_signal(signal.SIGTERM)
        out, _ = program.communicate(timeout=PATIENCE)
    assert "Kept 4 letters. Nobody received anything." in out
    assert not (campaign.root / "petition.db").exists()


def test_a_port_that_is_taken(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    with start(place, "--json") as program:
        assert program.stdout is not None
        port = json.loads(program.stdout.readline())["port"]
        answer = place.petition("sandbox", "--port", str(port), status=1)
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=PATIENCE)
    assert f"port {port}" in answer.err
    assert place.petition("sandbox", "--port", "70000", status=2).out == ""
