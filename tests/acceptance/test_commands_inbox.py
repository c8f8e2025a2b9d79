"""petition inbox --explain, as a script and a person see it."""

import json
from pathlib import Path

from tests.acceptance.small import SmallCampaign

SAMPLES = Path(__file__).parents[1] / "samples" / "mail"
KEYS = ["file", "kind", "recipient", "status", "permanent", "reason", "signing"]


def test_each_file_is_one_json_line(tmp_path: Path):
    files = [str(SAMPLES / f"{name}.eml") for name in ("qmail-quota", "answer-plain")]
    answer = SmallCampaign(tmp_path).petition("inbox", "--explain", *files, "--json", status=0)
    bounce, reply = map(json.loads, answer.out.splitlines())
    assert list(bounce) == list(reply) == KEYS
    assert bounce | {"reason": ""} == {
        "file": files[0],
        "kind": "bounce",
        "recipient": "s.reed@harbour.example",
        "status": None,
        "permanent": False,
        "reason": "",
        "signing": None,
    }
    assert (reply["kind"], reply["permanent"]) == ("answer", None)
    assert "We can meet on Thursday at ten." in reply["reason"]
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_file_does_not_stop_the_others(tmp_path: Path):
    file = str(SAMPLES / "qmail-quota.eml")
    place = SmallCampaign(tmp_path)
    answer = place.petition("inbox", "--explain", "none.eml", str(tmp_path), file, status=1)
    assert answer.err.splitlines() == [
        "none.eml: No such file or directory. Name a file with one mail in it.",
        f"{tmp_path}: Is a directory. Name a file with one mail in it.",
    ]
    assert "qmail-quota.eml: bounce, not permanent" in answer.out


def test_a_script_gets_an_object_for_every_file(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.write("empty.eml", b"")
    place.write("noise.eml", bytes(range(256)) * 40)
    answer = place.petition(
        "inbox", "--explain", "none.eml", ".", "empty.eml", "noise.eml", "--json", status=1
    )
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [row["file"] for row in rows] == ["none.eml", ".", "empty.eml", "noise.eml"]
    assert all(list(row) == KEYS for row in rows)
    assert all(value is None for row in rows for value in list(row.values())[1:5])
    assert [row["reason"] for row in rows] == [
        "set aside: not read: No such file or directory",
        "set aside: not read: Is a directory",
        "set aside: it is empty",
        "set aside: it is not a mail: it has no headers",
    ]


def test_of_an_mbox_file_only_the_first_mail_is_explained(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    mails = ((SAMPLES / f"{name}.eml").read_text() for name in ("qmail-quota", "answer-plain"))
    line = "From a@b.example Mon Sep 28 12:00:00 2015\n"
    place.write("saved.mbox", "".join(f"{line}{mail}\n" for mail in mails))
    answer = place.petition("inbox", "--explain", "saved.mbox", status=0)
    assert "saved.mbox: bounce, not permanent" in answer.out
    assert answer.err.startswith("saved.mbox: ")
    assert "2 mails" in answer.err


def test_a_mail_beyond_a_limit_is_set_aside(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.write("big.eml", b"Subject: x\n\n" + b"x" * 26 * 2**20)
    answer = place.petition("inbox", "--explain", "big.eml", "--json", status=0)
    assert answer.json == dict.fromkeys(KEYS) | {
        "file": "big.eml",
        "reason": "set aside: it is larger than 25 MB",
    }


def test_no_control_character_of_a_mail_is_shown(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.write("evil.eml", "From: \x1b]52;c;x\x07 <a\x1b@b.example>\n\n\x1b[2J\x9bH\u202eok\n")
    for more in ([], ["--json"]):
        shown = place.petition("inbox", "--explain", "evil.eml", *more, status=0).out
        assert not set("\x1b\x07\x9b\u202e") & set(shown)


def test_a_call_without_a_mail_is_wrong_usage(tmp_path: Path):
    SmallCampaign(tmp_path).petition("inbox", "--explain", status=2)
