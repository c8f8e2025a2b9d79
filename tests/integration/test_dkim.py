"""Signed letters, as a program that is not ours verifies them (dkimpy), and on the wire."""

import hashlib
import re
import subprocess
from email import message_from_bytes
from pathlib import Path

import dkim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.settings import Dkim
from petition.credentials import Secret
from petition.smtp.dkim import DkimSigner, KeyRefused, load_signer, public_record
from tests.integration.scene import Scene, play

AT = 1_790_000_000
LETTER = (
    b"From: Water <letter@campaign.example>\r\nTo: Kim <kim@kaz.example>\r\n"
    b"Subject: Four\r\n demands\r\nDate: Mon, 28 Sep 2015 16:00:00 +0000\r\n"
    b"Message-ID: <1@campaign.example>\r\nMIME-Version: 1.0\r\n"
    b"List-Unsubscribe: <https://campaign.example/u/0>,\r\n <mailto:out@campaign.example>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Dear  Kim, \t\r\n\r\n.the  water\tmust be clean.\r\n\r\n\r\n"
)


def made(folder: Path, *words: str) -> Path:
    file = folder / "key.pem"
    subprocess.run(["openssl", *words, "-out", str(file)], check=True, capture_output=True)
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module", params=["rsa", "ed25519"])
def key(request, tmp_path_factory) -> Secret:
    folder = tmp_path_factory.mktemp("key")
    words = {
        "rsa": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ed25519": ["genpkey", "-algorithm", "ed25519"],
    }
    return Secret(made(folder, *words["ed25519"]).read_text())


def zone(key: Secret):
    record = public_record(key).encode()
    return lambda name, timeout=5: record if name == b"s1._domainkey.campaign.example." else None


def verified(data: bytes, key: Secret) -> bool:
    return dkim.verify(data, dnsfunc=zone(key))


@pytest.fixture(scope="module")
def signer(key) -> DkimSigner:
    return DkimSigner("campaign.example", "s1", key)


def test_another_program_verifies_the_signature(signer, key):
    assert verified(signer.signed(LETTER, AT), key)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"must be clean", b"may be dirty"),
        (b"Subject: Four", b"Subject: Five"),
        (b"To: Kim", b"To: Tim"),
        (b"Water <letter@", b"Fire <letter@"),
        (b"/u/0", b"/u/1"),
        (b"=One-Click", b"=Two-Click"),
        (b"Date: Mon, 28", b"Date: Tue, 29"),
        # Oversigned: a second one that somebody adds is what a program might show.
        (b"\r\nTo: ", b"\r\nFrom: Evil <evil@x.example>\r\nTo: "),
        (b"\r\nTo: ", b"\r\nTo: Evil <evil@x.example>\r\nTo: "),
        (b"\r\nTo: ", b"\r\nSubject: Buy\r\nTo: "),
        (b"\r\nTo: ", b"\r\nCc: evil@x.example\r\nTo: "),
        (b"\r\nTo: ", b"\r\nReply-To: evil@x.example\r\nTo: "),
        (b"\r\nTo: ", b"\r\nContent-Type: text/html\r\nTo: "),
    ],
)
def test_what_is_changed_or_added_on_the_way_breaks_it(signer, key, old, new):
    data = signer.signed(LETTER, AT)
    assert data.count(old) >= 1
    head, mark, rest = data.partition(b"\r\nFrom: ")
    assert not verified(head + mark + rest.replace(old.removeprefix(b"From: "), new, 1), key)


def test_what_servers_change_on_the_way_does_not(signer, key):
    data = signer.signed(LETTER, AT)
    data = data.replace(b"Subject: Four\r\n demands", b"SUBJECT:  Four demands")
    data = b"Received: from a by b\r\n" + data.removesuffix(b"\r\n\r\n\r\n") + b"\r\n"
    assert verified(data, key)


def test_the_headers_that_one_click_needs_are_signed(signer):
    signature = message_from_bytes(signer.signed(LETTER, AT))["DKIM-Signature"]
    tags = dict(tag.strip().split("=", 1) for tag in re.sub(r"\s", "", signature).split(";"))
    names = tags["h"].lower().split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(names)
    assert [names.count(name) for name in ("from", "to", "subject")] == [2, 2, 2]
    assert (tags["d"], tags["s"], tags["t"]) == ("campaign.example", "s1", str(AT))


def test_the_signature_is_a_header_of_short_lines_before_the_letter(signer):
    data = signer.signed(LETTER, AT)
    assert data.endswith(LETTER)
    lines = data.removesuffix(LETTER).removesuffix(b"\r\n").split(b"\r\n")
    assert max(map(len, lines)) <= 80
    assert all(line.startswith((b"DKIM-Signature:", b"\t")) for line in lines)


TEXT = st.text(st.sampled_from(" \tab.é=\r\n".replace("\r", "").replace("\n", "")), max_size=20)


@given(subject=TEXT, lines=st.lists(TEXT, max_size=6))
def test_any_letter_is_verified(subject, lines):
    key = _EDWARDS
    body = "".join(f"{line}\r\n" for line in lines).encode()
    data = f"From: a@campaign.example\r\nSubject: x{subject}\r\n\r\n".encode() + body
    assert verified(DkimSigner("campaign.example", "s1", key).signed(data, AT), key)


_EDWARDS = Secret(
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True
    ).stdout.decode()
)


# ---- over the wire


def signed_scene(root: Path, people: int) -> Scene:
    scene = Scene(root, people)
    scene.signer = DkimSigner("campaign.example", "s1", _EDWARDS)
    return scene


def test_a_run_signs_every_letter_and_still_pipelines(tmp_path):
    scene = signed_scene(tmp_path, people=5)
    ending, server = play(scene, {}, extensions=("PIPELINING",))
    assert not ending.is_over
    assert len(server.letters) == 5
    assert all(verified(unstuffed(letter.data), _EDWARDS) for letter in server.letters)
    # One write carries the dot of a letter and the commands of the next.
    assert b"\r\n.\r\nMAIL FROM:" in bytes(server.conversations[0].raw)


def unstuffed(data: bytes) -> bytes:
    return data.replace(b"\r\n..", b"\r\n.")


def test_the_log_keeps_the_letter_as_it_was_before_it_was_signed(tmp_path):
    scene = signed_scene(tmp_path, people=2)
    _, server = play(scene, {}, extensions=("PIPELINING",))
    hashes = {copy.sha256 for copy in scene.copies()}
    for letter in server.letters:
        signature, _, rest = letter.data.partition(b"\r\nDate: ")
        assert signature.startswith(b"DKIM-Signature: ")
        assert hashlib.sha256(b"Date: " + rest).hexdigest() in hashes


def test_a_letter_that_is_too_large_with_its_signature_is_not_sent(tmp_path):
    scene = signed_scene(tmp_path, people=1)
    _, server = play(scene, {}, extensions=("PIPELINING",))
    size = len(server.letters[0].data)
    again = tmp_path / "again"
    again.mkdir()
    small = signed_scene(again, people=1)
    _, server = play(small, {}, extensions=("PIPELINING", f"SIZE {size - 1}"))
    assert small.states == ["failed"]


# ---- the key


def dkim_table(**values) -> Dkim:
    return Dkim.model_validate({"domain": "campaign.example", "selector": "s1"} | values)


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    file = made(tmp_path, "genpkey", "-algorithm", "ed25519")
    table = dkim_table(key_file=str(file))
    assert load_signer(table, campaign)
    file.chmod(0o640)
    with pytest.raises(KeyRefused, match=r"key_file .*0640"):
        load_signer(table, campaign)


def test_a_key_in_the_campaign_or_its_repository_is_refused(tmp_path):
    (tmp_path / ".git").mkdir()
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    for folder in (campaign, tmp_path):
        file = made(folder, "genpkey", "-algorithm", "ed25519")
        with pytest.raises(KeyRefused, match=r"in.* the campaign"):
            load_signer(dkim_table(key_file=str(file)), campaign)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "neither RSA nor"),
        (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:768"], "768 bits"),
        (["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"], "password"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(tmp_path, content, said):
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    file = made(tmp_path, *content)
    with pytest.raises(KeyRefused, match=said):
        load_signer(dkim_table(key_file=str(file)), campaign)


def test_a_command_may_print_the_key_and_is_not_run_for_a_look(tmp_path):
    file = made(tmp_path, "genpkey", "-algorithm", "ed25519")
    table = dkim_table(key_command=f"cat {file}")
    assert load_signer(table, tmp_path)
    file.unlink()
    assert load_signer(table, tmp_path, runs_command=False) is None
    with pytest.raises(KeyRefused, match="key_command ended with status 1") as refusal:
        load_signer(table, tmp_path)
    assert "[dkim]" in refusal.value.hint
