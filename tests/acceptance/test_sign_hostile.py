"""Ten thousand hostile submissions: floods, markup, long names, look-alikes, others' addresses."""

import asyncio
import random
import re
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from petition.address import folded
from petition.outbox import service, signatures
from petition.outbox.log import Log
from petition.outbox.service import ServiceKind
from petition.outbox.signatures import SignatureRecord, SignatureStatus
from petition.outbox.states import State
from petition.signing import told_name
from petition.web.limits import FOR_ALL, PER_NETWORK
from tests.acceptance.crew import wait_until
from tests.acceptance.small import SmallCampaign
from tests.servers.endpoint import running_endpoint
from tests.servers.signatory import (
    ANN,
    TOKEN,
    ask,
    link_for,
    mails,
    signing_campaign,
    wait_for_mails,
)

NUMBER = 10_000
AT_A_TIME = 8
VICTIMS = 300
MOST_GROWTH = 100 * 1024  # KB of memory; each of the long names alone is 1 MB
WHOSE = "import os; print('Process', os.getpid(), flush=True)"

SIGNED, NEVER, OWN = "signed@mail.example", "never@mail.example", "answers@campaign.example"
# What must stand in no mail, as it is not a name.
TYPED = {"role": "Zq-role", "organisation": "Zq-union", "place": "Zq-place"}
NAMES = (
    "Ann Reed",
    "\u0410nn R\u0435\u0435d",  # some of the letters are Cyrillic
    "A\u202ednn\u2066 Reed\u0000\r\nBcc: all@mail.example",
    "A\u202ednn\u2066 Reed\u0000\r\nSubject: You have won",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }} {% if x %} {sender} %s $name",
    "Call +44 20 7946 0000 now",
    "Visit https://evil.example now",
    "evil.example/win",
    "a.b.c.evil",
    "Z" * 79,
    "Z" * 1_500,
    "Z\u0301" * 60,
    "Z" + "\u0301" * 1_500,
    "'; DROP TABLE signature;--",
    "=cmd|'/c calc'!A0",
    "\u200b",
    "",
)
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A form to be sent: from where, for which address, and its bytes."""

    network: str
    email: str
    sent: bytes
    is_large: bool


@dataclass
class Found:
    """How the attempts were answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    networks: Counter[str] = field(default_factory=Counter)  # of those that were taken
    taken: set[str] = field(default_factory=set)  # the folded addresses of those
    in_doubt: set[str] = field(default_factory=set)  # it was too busy to say what became of them
    seconds: float = 0.0


def attempts(host: str, stamp: str) -> list[Attempt]:
    """All of them, in any order."""
    chance = random.Random(17)
    large = urlencode(ANN | {"stamp": stamp, "name": "Z" * 1_000_000}).encode()
    made = []
    for number in range(NUMBER):
        # Some flood from a few networks, some have a network for each form.
        network = f"10.{number % 250}.{number // 250}" if number % 9 == 0 else f"192.0.{number % 7}"
        email, kind, more = _email(chance), FORM, ""
        cells = ANN | TYPED | {"stamp": stamp, "name": chance.choice(NAMES), "email": email}
        way = number % 20
        if way in {1, 2, 3}:
            more = "Sec-Fetch-Site: cross-site\r\n"
        elif way in {4, 5, 6}:
            kind = chance.choice(("text/plain", "application/json", "multipart/form-data"))
        elif way == 7:
            cells |= {f"x{one}": "1" for one in range(30)}
        elif way == 8:
            cells["comment"] = "buy"
        elif way == 9:
            cells["stamp"] = chance.choice(("", "0.0", f"{stamp[:-1]}-", "1" * 40))
        elif way == 10:
            cells["place"] = "see https://evil.example"
        is_large = number % 100 == 11
        body = large if is_large else urlencode(cells).encode()
        head = (
            f"POST /sign HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 203.0.113.1, {network}.7\r\n"
            f"Content-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(Attempt(network, email, head.encode() + body, is_large))
    chance.shuffle(made)
    return made


def _email(chance: random.Random) -> str:
    number = chance.randrange(VICTIMS)
    victim = chance.choice((f"v{number}@mail.example", f"V{number}@MAIL.example"))
    others = (
        *(SIGNED, SIGNED.upper(), NEVER, NEVER.upper(), OWN),
        *("x", "a@b", "", "v" * 400 + "@x.example"),
        *(f"{victim}, {NEVER}", f"{victim}\r\nBcc: {NEVER}"),
    )  # fmt: skip
    return chance.choice(others) if number % 5 == 0 else victim


async def _flood(base: str, all_of_them: list[Attempt]) -> Found:
    parts, found, waiting = urlsplit(base), Found(), iter(all_of_them)

    async def post(attempt: Attempt) -> int:
        """The status of the answer; 0: it hung up on what is too large."""
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        line = b""
        try:
            writer.write(attempt.sent)
            line = await reader.readline()
            while await reader.read(65_536):
                pass
        except ConnectionError:
            assert line or attempt.is_large
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        assert line or attempt.is_large
        return int(line.split()[1]) if line else 0

    async def one_after_another() -> None:
        for attempt in waiting:
            status = await post(attempt)
            found.statuses[status] += 1
            if status == 200:
                found.networks[attempt.network] += 1
                found.taken.add(folded(attempt.email))
            elif status == 503:
                found.in_doubt.add(folded(attempt.email))

    began = time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(AT_A_TIME)))
    found.seconds = time.monotonic() - began
    return found


def peak(process: int) -> int:
    """The most memory that a process has had, in KB."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(text.partition("VmHWM:")[2].split()[0])


def sign_slowly(base: str, address: str, network: str) -> None:
    """Open the form, fill it in as a person does, and send it again where that is asked for."""
    form = ask(f"{base}/sign", X_Forwarded_For=network).form.fields
    time.sleep(3.5)
    cells = form | ANN | {"email": address}
    wait_until(lambda: ask(f"{base}/sign", cells, X_Forwarded_For=network).status == 200)


def confirm(campaign: SmallCampaign, base: str, address: str) -> None:
    link = link_for(campaign, base, address)
    assert ask(link, ask(link).form.fields).status == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_ten_thousand_hostile_submissions_do_no_harm(tmp_path: Path):
    campaign = signing_campaign(tmp_path)
    campaign.petition("suppress", NEVER, status=0)
    options = ("--sign", "--proxy", "127.0.0.1")
    with running_endpoint(campaign, *options, before=WHOSE) as (base, said):
        process = int(said[0].split()[1])
        sign_slowly(base, SIGNED, "198.51.100.1")
        confirm(campaign, base, SIGNED)
        stamp = ask(f"{base}/sign").form.fields["stamp"]
        hostile = attempts(urlsplit(base).netloc, stamp)
        time.sleep(3.5)
        before = peak(process)
        found = asyncio.run(_flood(base, hostile))
        sign_slowly(base, "honest@mail.example", "198.51.100.2")
        confirm(campaign, base, "honest@mail.example")
        assert peak(process) - before < MOST_GROWTH
        page = ask(f"{base}/sign")
        expected = {one for one in found.taken if one not in {NEVER, OWN}} | {SIGNED}
        wait_for_mails(campaign, len(expected) + 1)
    assert page.status == 200
    assert "2 signatures" in page.words  # those of the file: nobody has approved any
    _assert_limits(found)
    _assert_rows(tmp_path, found, expected | {"honest@mail.example"})
    _assert_mails(tmp_path, mails(campaign))


def _assert_limits(found: Found) -> None:
    statuses = found.statuses
    assert statuses.total() == NUMBER
    assert set(statuses) <= {0, 200, 400, 413, 422, 429, 503}, statuses
    assert min(statuses[one] for one in (200, 400, 422, 429)) > 100, statuses
    minutes = found.seconds / 60
    assert statuses[200] <= FOR_ALL.at_once + FOR_ALL.per_minute * minutes
    most = PER_NETWORK.at_once + PER_NETWORK.per_minute * minutes
    assert max(found.networks.values()) <= most, found.networks


def _assert_rows(root: Path, found: Found, expected: set[str]) -> None:
    with Log(f"sqlite:///{root}/rehearsal.db") as log:
        kept = list(signatures.signatures(log))
        steps = Counter({one.folded: len(signatures.events(log, one.id)) for one in kept})
        queued = service.counts(log)
    keys = {one.folded for one in kept}
    assert len(keys) == len(kept)
    assert expected <= keys <= expected | found.in_doubt
    assert not keys & {NEVER, OWN}
    # One mail an address and day, however often it was typed, and nothing that goes on growing.
    assert set(queued) == {(ServiceKind.CONFIRM, State.SENT)}
    assert sum(queued.values()) == len(kept)
    confirmed = {one.folded for one in kept if one.status is SignatureStatus.CONFIRMED}
    assert confirmed == {SIGNED, "honest@mail.example"}
    assert steps.total() == len(kept) + len(confirmed)
    _assert_names(kept)
    with closing(sqlite3.connect(root / "rehearsal.db")) as database:
        [(wordings,)] = database.execute("SELECT count(*) FROM wording").fetchall()
    assert wordings == 1


def _assert_names(kept: list[SignatureRecord]) -> None:
    unseen = re.compile(r"[\u0000-\u001f\u200b\u202a-\u202e\u2066-\u2069]|https?:|^[=+@-]")
    for one in kept:
        assert not one.counts
        assert 0 < len(one.entry.name) <= 80
        assert not unseen.search(one.entry.name)
    [signed] = [one for one in kept if one.folded == SIGNED]
    assert signed.entry.name == ANN["name"]


def _assert_mails(root: Path, sent: list[EmailMessage]) -> None:
    """All mails are the same, but for the address, the link and the cut name."""
    with Log(f"sqlite:///{root}/rehearsal.db") as log:
        names = {one.folded: told_name(one.entry.name) for one in signatures.signatures(log)}
    to = [folded(one["To"].addresses[0].addr_spec) for one in sent]
    assert Counter(to) == Counter(names.keys())
    for name in names.values():
        assert len(name) <= 60
        assert not re.search(r"[\d@/:<>{}]|\.\w", name)
    told = set()
    for mail, address in zip(sent, to, strict=True):
        assert len(mail["To"].addresses) == 1
        words = " ".join(TOKEN.sub("LINK", mail.get_content()).split())
        name = " ".join(names[address].split())
        assert words.count(name) == 1
        told.add((words.replace(name, "NAME"), mail["Subject"], tuple(mail.keys())))
    assert len(told) == 1, told
    assert not [words for words, *_ in told if "Zq-" in words]
