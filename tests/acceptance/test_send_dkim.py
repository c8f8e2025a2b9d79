"""[dkim] of petition.toml, through the real program to a server on this machine."""

import email
import subprocess
import sys

import dkim
import pytest

from petition.credentials import Secret
from petition.extras import how_to_install
from petition.smtp.dkim import public_record
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server


@pytest.fixture
def key(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "key.pem"
    words = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]
    subprocess.run(["openssl", *words, "-out", str(file)], check=True, capture_output=True)
    file.chmod(0o600)
    return file


@pytest.fixture
def signing(campaign: SmallCampaign, key) -> SmallCampaign:
    table = f'\n[dkim]\ndomain = "campaign.example"\nselector = "s1"\nkey_file = "{key}"\n'
    campaign.change("petition.toml", 'id = "water"\n', f'id = "water"\n{table}')
    return campaign.trust()


def is_verified(data: bytes, key) -> bool:
    record = public_record(Secret(key.read_text())).encode()
    zone = {b"s1._domainkey.campaign.example.": record}
    return dkim.verify(data, dnsfunc=lambda name, timeout=5: zone.get(name), minkey=1024)


def without(names: tuple[str, ...], data: bytes) -> bytes:
    message = email.message_from_bytes(data)
    for name in names:
        del message[name]
    return message.as_bytes()


def test_every_letter_is_signed_and_else_what_the_preview_showed(signing, key):
    with counting_server() as server:
        through = signing.through(server.port)
        answer = through.petition("send", "open-letter", "--yes", status=0)
        preview = through.petition("preview", "--to", "p2", "--as", "source", status=0).out
        letters = server.last
    assert "signed   by campaign.example (DKIM, selector s1)" in answer.out
    assert len(letters) == 3
    assert all(is_verified(data, key) for data in letters.values())
    sent = without(("Date", "DKIM-Signature"), letters["p2@x.example"])
    assert sent.replace(b"\r\n", b"\n") == without(("Date",), preview.encode())


def test_a_trial_is_signed_too(signing, key):
    with counting_server() as server:
        through = signing.through(server.port)
        through.petition("send", "open-letter", "--to-me", "me@y.example", "--yes", status=0)
    assert is_verified(server.last["me@y.example"], key)


def test_nothing_is_sent_without_the_key_and_check_says_so(signing, key):
    key.chmod(0o644)
    with counting_server() as server:
        through = signing.through(server.port)
        check = through.petition("check", status=1)
        assert "petition.toml:8: " in check.out
        assert "0644" in check.out
        through.petition("send", "open-letter", "--yes", status=1)
        assert server.last == {}
    assert "warning" in signing.petition("check", status=0).out.lower()  # a rehearsal


def test_a_command_that_gives_no_key_stops_before_anything_is_queued(signing, key):
    signing.change("petition.toml", f'key_file = "{key}"', 'key_command = "false"')
    signing.trust()
    with counting_server() as server:
        through = signing.through(server.port)
        through.petition("check", status=0)
        answer = through.petition("send", "open-letter", "--yes", status=1)
        assert "key_command ended with status 1" in answer.err
        assert server.last == {}
    assert through.petition("status", "open-letter", "--json").json["total"] == 0


def test_a_domain_that_is_not_the_senders_is_pointed_out(signing):
    signing.change("petition.toml", 'domain = "campaign.example"', 'domain = "other.example"')
    said = signing.petition("check", status=0).out
    assert "[dkim] signs for other.example, but the letters come from campaign.example" in said


def test_a_missing_extra_is_told_in_one_sentence(signing):
    hide = (
        "import importlib.util, sys; real = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda n, *a: None if n == 'cryptography' else real(n, *a);"
        "sys.modules['cryptography'] = None; from petition.cli.main import run; run()"
    )
    signing.write("hide.py", hide)
    done = subprocess.run(
        [sys.executable, "hide.py", "check"],
        cwd=signing.root,
        env=signing.environment | {"PYTHONPATH": "."},
        capture_output=True,
        check=False,
    )
    assert f"a part that is not installed. {how_to_install('dkim')}" in done.stdout.decode()


def test_the_key_stands_nowhere_but_in_its_file(signing, key):
    secret = max(key.read_text().splitlines(), key=len)[:30]
    signing.env["PETITION_DEBUG"] = "1"
    with counting_server() as server:
        through = signing.through(server.port)
        for words in (["check"], ["send", "open-letter", "--yes"], ["log"], ["status"]):
            answer = through.petition(*words, status=0)
            assert secret not in answer.out + answer.err
    written = [file for file in signing.root.rglob("*") if file.is_file()]
    assert any(file.name.startswith("petition.db") for file in written)
    assert not any(secret.encode() in file.read_bytes() for file in written)
