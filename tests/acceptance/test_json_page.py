"""docs/json.md lists every key that a command prints with --json, and no other."""

import ast
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.approving import Approving
from tests.acceptance.signing import sign
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/json.md").read_text("utf-8")
ORIGIN = {"rehearsal", "log"}
# What stands in the log's own tables is not promised; the page says so.
TABLES = "copies|events|answers|mails|suppression|signatures|signature_steps|service_mails"
OWN = rf"logs\[\]\.(?:{TABLES}|named_in|mentions)\[\]"


def listed(heading: str) -> set[str]:
    """The keys in the table under a heading."""
    section = re.search(
        rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert section, heading
    rows = re.findall(r"^\| (`.*?) \|", section[1], re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def keys(value: Any, place: str = "") -> Iterator[str]:
    """Where each value is: `letters[].people[].name`."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from keys(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        yield f"{place}[]"
        for inner in value:
            yield from keys(inner, f"{place}[]")
    else:
        yield place


def printed(out: str) -> set[str]:
    try:
        return set(keys(json.loads(out)))
    except json.JSONDecodeError:
        return {key for line in out.splitlines() for key in keys(json.loads(line))}


def compare(heading: str, seen: set[str], *, unseen: str = "-") -> None:
    """Every printed key is listed, and every listed key was printed.

    Args:
        heading: Of the page.
        seen: The keys that were printed.
        unseen: A pattern of the listed keys that these runs do not print.
    """
    known = listed(heading)
    pattern = {key: re.escape(key).replace("NAME", r"[^.\[]+") for key in known}
    inside = {key for key in known if key.endswith("[]")}

    def is_listed(key: str) -> bool:
        if any(re.fullmatch(pattern[one], key) for one in known):
            return True
        if any(key.startswith(f"{one}.") for one in inside) or re.match(OWN, key):
            return not any(other.startswith(f"{key.rpartition('.')[0]}.") for other in known)
        return any(one.startswith(f"{key}.") or one == key.removesuffix("[]") for one in known)

    assert {key for key in seen - ORIGIN if not is_listed(key)} == set(), heading
    missing = {
        one
        for one in known
        if not any(re.match(rf"{pattern[one]}(?:$|[.\[])", key) for key in seen)
    }
    assert {one for one in missing if not re.search(unseen, one)} == set(), heading


@pytest.fixture
def campaign(tmp_path):
    SmallCampaign(tmp_path).petition("init", "library", status=0)
    campaign = SmallCampaign(tmp_path / "library")
    for name in ("cur", "new", "tmp"):
        (campaign.root / "answers" / name).mkdir(parents=True)
    settings = (campaign.root / "petition.toml").read_text("utf-8")
    campaign.write("petition.toml", settings + '\n[inbox]\nurl = "maildir:answers"\n')
    for number, sender in enumerate(("k.osei@town-council.example", "ann@harbour.example")):
        mail = f"From: {sender}\nSubject: Hello\n\nWe can meet.\n"
        campaign.write(f"answers/new/{number}.mail", mail)
    return campaign


def test_what_looking_prints(campaign):
    say = campaign.petition
    compare("`petition trust`", printed(say("trust", "--json").out), unseen=r"requests")
    found = printed(say("check", "--json").out)
    compare("Errors", found)
    say("send", "open-letter", status=0)
    asked = r"approvals\[\]"
    compare("`petition status`", printed(say("status", "--json").out), unseen=asked)
    one = printed(say("status", "open-letter", "--json").out)
    one -= ORIGIN | {"approvals[]"}
    compare("`petition status`", {f"letters[].{key}" for key in one}, unseen=asked)
    copies = printed(say("status", "--state", "sent", "--json").out)
    compare("`petition status --state`", copies, unseen=r"copies\[\]\.letter")
    beside = rf"{asked}|signature_steps|service_mails"
    compare("`petition log`", printed(say("log", "--json").out), unseen=beside)
    compare("Errors", printed(say("status", "nothing", "--json").out))
    site = printed(say("publish", "site", "--rehearsal", "--json").out)
    compare("`petition publish`", site)
    held = printed(say("export", "k.osei@town-council.example", "--json").out)
    compare("`petition export`", held)


def test_what_is_asked_of_a_folder(campaign):
    settings = (campaign.root / "petition.toml").read_text("utf-8")
    campaign.write("petition.toml", settings + '\n[smtp]\nhost = "smtp.host.example"\n')
    compare("`petition trust`", printed(campaign.petition("trust", "--json").out))


def test_what_the_inbox_and_answers_print(campaign):
    say = campaign.petition
    say("send", "open-letter", status=0)
    compare("`petition inbox`", printed(say("inbox", "--json").out))
    compare("`petition inbox --unmatched`", printed(say("inbox", "--unmatched", "--json").out))
    explained = say("inbox", "--explain", "answers/new/0.mail", "answers/new/1.mail", "--json").out
    compare("`petition inbox --explain`", printed(explained))
    answer = ("answer", "k.osei@town-council.example", "meeting", "--mail", "1")
    compare("`petition answer`", printed(say(*answer, "--json").out))
    matrix = say("status", "--answers", "--json").out
    compare("`petition status --answers`", printed(matrix), unseen="not_sent")


def test_what_is_printed_of_what_a_person_decides(campaign):
    refused = {"m.lane": "", "k.osei": "550 5.7.1 No", "clerk": "451 4.7.1 Later"}
    with counting_server(answers=refused) as server:
        say = campaign.through(server.port).petition
        say("send", "open-letter", "--yes")
        moved = printed(say("resolve", "--all", "--sent", "--json").out)
        moved |= printed(say("retry", "open-letter", "--json").out)
        compare("`petition resolve` and `petition retry`", moved)
        compare("`petition withdraw`", printed(say("withdraw", "open-letter", "--json").out))
        say("retry", "open-letter", "clerk@town-council.example")
        seen = printed(say("suppress", "clerk@town-council.example", "--json").out)
        seen |= printed(say("suppress", "--json").out)
        seen |= printed(say("suppress", "--remove", "clerk@town-council.example", "--json").out)
        campaign.write("gone.csv", "email,reason\nx@host.example,left\n")
        seen |= printed(say("suppress", "--from", "gone.csv", "--json").out)
        compare("`petition suppress`", seen)


def test_what_approvals_print(tmp_path):
    with counting_server() as server:
        approving = Approving(tmp_path, server)
        approving.send(status=2)
        approving.answer("No, because the date is wrong.")
    say = approving.campaign.petition
    compare("`petition approve`", printed(say("approve", "--json").out))
    compare("`petition status`", printed(say("status", "--json").out), unseen="letters")
    compare("`petition log`", printed(say("log", "--json").out), unseen="events|signature_steps")


def test_what_moving_the_log_prints(campaign):
    with counting_server() as server:
        live = campaign.through(server.port)
        live.petition("send", "open-letter", "--yes", status=0)
        moved = live.petition("migrate", "sqlite:///other.db", "--json", status=0)
    compare("`petition migrate`", printed(moved.out))


def test_what_signatures_print(campaign):
    say = campaign.petition
    for number, name in enumerate(("Ann Lee", "Ann Lee", "Bea Ray", "=Cid"), start=1):
        sign(campaign, f"s{number}@x.example", name, role="nurse")
    beside = r"events|approvals\[\]|service_mails"
    compare("`petition log`", printed(say("log", "--json").out), unseen=beside)
    listed = printed(say("signatures", "--json").out)
    changed = printed(say("signatures", "--approve", "all", "--json").out)
    compare("`petition signatures`", listed)
    assert {key.replace("changed[]", "signatures[]") for key in changed} <= listed | {"changed[]"}
    seen = printed(say("signatures", "--merge", "--json").out)
    seen |= printed(say("signatures", "--merge", "2", "1", "--json").out)
    compare("`petition signatures --merge`", seen)
    campaign.write("signatories.csv", "name,email,publish\nAnn Ray,s1@x.example,yes\n")
    compare("`petition signatures --export`", printed(say("signatures", "--export", "--json").out))


def test_what_evidence_and_forgetting_print(campaign):
    say = campaign.petition
    say("send", "open-letter", status=0)
    seen = printed(say("evidence", "pack.zip", "--rehearsal", "--json").out)
    seen |= printed(say("evidence", "--verify", "pack.zip", "--json").out)
    compare("`petition evidence`", seen)
    receipt = say("forget", "k.osei@town-council.example", "--yes", "--json").out
    compare("`petition forget`", printed(receipt))
    toml = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    campaign.write("petition.toml", f'{toml}\n[privacy]\nkeep = "2 years"\n')
    expired = say("forget", "--expired", "--yes", "--json").out
    compare("`petition forget --expired`", printed(expired))


@pytest.mark.parametrize(
    ("heading", "arguments"),
    [
        ("`petition sandbox`", ("sandbox", "--json")),
        ("`petition status --watch`", ("status", "--watch", "--json")),
    ],
)
def test_what_runs_until_it_is_stopped_prints(campaign, heading, arguments):
    campaign.petition("send", "open-letter", status=0)
    with campaign.begin(*arguments, out=subprocess.PIPE) as run:
        first = run.stdout.readline()
        run.send_signal(signal.SIGINT)
        rest = run.stdout.read()
    compare(heading, printed(first + rest), unseen="workers|deferred")


def test_every_event_of_a_worker_is_listed_with_its_keys():
    source = (ROOT / "petition/cli/worker.py").read_text("utf-8")
    said = {
        node.args[0].value: {word.arg for word in node.keywords}
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_say"
        if isinstance(node.args[0], ast.Constant)
    }
    section = PAGE.split("## `petition worker`")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", section, re.MULTILINE)
    assert said
    assert said.keys() <= dict(rows).keys()
    for event, keys_said in said.items():
        assert keys_said <= set(re.findall(r"`(\w+)`", dict(rows)[event])), event
