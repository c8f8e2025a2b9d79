"""Finds, exports and erases a person: in the log, in frozen letters, in the campaign's files."""

import email
import email.policy
import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from petition.address import addr_spec_in, folded, is_of
from petition.campaign.csv_file import Reading
from petition.campaign.settings import Settings
from petition.campaign.signatories import Signatory, name_key
from petition.campaign.tables import open_table
from petition.campaign.text_file import read_text
from petition.merge import freeze
from petition.merge.document import Frozen
from petition.outbox import erasure, expiry
from petition.outbox.database import Row
from petition.outbox.expiry import Expired
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.models import FrozenLetter, fields_of
from petition.outbox.states import MAY_HAVE_ARRIVED, State
from petition.template.fields import SIGNATORY_FIELDS

_EVERY_ROW = Reading(hidden="include", is_search=True)
_TEXTS = ("*.csv", "petition.toml", "letters/*.md")

_MAILDIR = ("new", "cur", "tmp")


@dataclass(frozen=True, slots=True)
class DataSubject:
    """The person who is to be forgotten."""

    mailbox: str  # addr_spec
    names: frozenset[str] = frozenset()  # in the people files and the log
    signed: tuple[Signatory, ...] = ()
    strangers: frozenset[str] = frozenset()  # the names of others, in lower case
    namesakes: frozenset[tuple[str, str]] = frozenset()  # of other rows of signatories (`name_key`)

    @classmethod
    def of(
        cls,
        mailbox: str,
        signatories: Iterable[Signatory],
        names: Iterable[str],
        strangers: Iterable[str],
    ) -> "DataSubject":
        """The person of an address, with what the signatories' file knows of them."""
        everybody = list(signatories)
        signed = tuple(one for one in everybody if folded(one.email) == folded(mailbox))
        # If a row is theirs, every other row with their name is somebody else's.
        rows = [one for one in everybody if one not in signed and (one.email or signed)]
        others = {one.name.casefold() for one in rows}
        called = {*names, *(one.name for one in signed)}
        others.update(strangers)
        namesakes = frozenset(name_key(one.kind, one.name) for one in rows)
        return cls(mailbox, frozenset(filter(None, called)), signed, frozenset(others), namesakes)

    @property
    def own_names(self) -> frozenset[str]:
        """The names that nobody else has."""
        return frozenset(one for one in self.names if one.casefold() not in self.strangers)

    def is_signature(self, published: dict[str, str]) -> bool:
        """Whether an entry of a frozen signature block is theirs, and nobody's of that name."""
        if name_key(published["kind"], published["name"]) in self.namesakes:
            return False
        if any(
            all(published[name] == getattr(one, name) for name in SIGNATORY_FIELDS)
            for one in self.signed
        ):
            return True
        names = {one.name for one in self.signed} or self.names
        return published["name"].casefold() in {one.casefold() for one in names} - self.strangers


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Where a name had been sent before it was forgotten."""

    letter: str
    revision: int
    role: str  # recipient, signatory, cc or bcc
    copies: int  # that named them and may have arrived
    first: str | None  # when the first one was sent, as the log has it
    last: str | None


@dataclass(slots=True)
class Receipt:
    """What was erased from one log, and where the name had been sent."""

    log: str
    erased: erasure.Erased
    gone: list[Disclosure] = field(default_factory=list)
    is_uncertain: bool = False  # whether all of these copies arrived is not known
    rehashed: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # letters whose own text names them
    files: int = 0  # letters of the sandbox


def forget(log: Log, person: DataSubject, outbox: Path | None) -> Receipt:
    """Erase a person from a log, and of a rehearsal from the sandbox's letters (`outbox`).

    The caller owns the log. What was erased is overwritten on the disk before this returns.
    LogUnusable if the log could not be written.
    """
    receipt = Receipt(log.where, erasure.Erased())
    letters, copies = erasure.frozen_letters(log), erasure.copies_of(log, person.mailbox)
    receipt.gone = [*_received(copies), *_named_in(log, letters, person)]
    uncertain = {one["letter"] for one in copies if one["state"] == State.UNCERTAIN}
    receipt.is_uncertain = any(
        one.letter in uncertain
        if one.role == "recipient"
        else log.counts(one.letter).by_state.get(State.UNCERTAIN, 0) > 0
        for one in receipt.gone
    )
    redaction = erasure.Redaction(person.mailbox, person.own_names)
    changes = [change for one in letters if (change := without(one, person))]
    receipt.rehashed = [f"{after.letter}, revision {after.revision}" for _, after in changes]
    receipt.texts = sorted({one.letter for one in letters if redaction.names_them(_source(one))})
    receipt.erased = erasure.erase(log, person.mailbox, person.own_names, changes)
    log.database.scrub()
    if outbox:
        receipt.files = _erase_files(outbox, receipt.erased.digests, redaction)
    return receipt


def expire(log: Log, before: datetime, outbox: Path | None) -> Expired:
    """Erase what is older than a moment from a log, as `forget` erases a person."""
    done = expiry.expire(log, before)
    log.database.scrub()
    if outbox:
        _erase_files(outbox, done.digests)
    return done


def without(letter: FrozenLetter, person: DataSubject) -> erasure.Change | None:
    """A frozen letter without a person; None: it does not name them."""
    frozen = Frozen.from_json(letter.document)
    new = freeze.without(frozen, person.mailbox, person.is_signature)
    if new is None:
        return None
    after = replace(letter, document=new.to_json(), hash=new.hash, content_hash=new.content_hash)
    return letter, after


def _source(letter: FrozenLetter) -> str:
    frozen = Frozen.from_json(letter.document)
    demands = (one["source"] for name in frozen.languages for one in frozen.demands(name))
    return "\n".join([frozen.source, *demands])


def _received(copies: Iterable[Row]) -> Iterator[Disclosure]:
    for row in copies:
        if row["state"] in MAY_HAVE_ARRIVED:
            day = row["letter_date"] or None
            yield Disclosure(row["letter"], row["revision"], "recipient", 1, day, day)


def _named_in(
    log: Log, letters: Iterable[FrozenLetter], person: DataSubject
) -> Iterator[Disclosure]:
    for letter in letters:
        frozen = Frozen.from_json(letter.document)
        copied = [(key, box) for key in ("cc", "bcc") for box in frozen.copied(key)]
        roles = [key for key, box in copied if is_of(box.addr_spec, person.mailbox)]
        if any(map(person.is_signature, frozen.document["signatories"]["published"])):
            roles.append("signatory")
        copies, first, last = erasure.gone_out(log, letter) if roles else (0, None, None)
        for role in roles if copies else ():
            yield Disclosure(letter.letter, letter.revision, role, copies, first, last)


def _erase_files(
    outbox: Path, digests: set[str], redaction: erasure.Redaction | None = None
) -> int:
    """Delete the sandbox's letters to a person, and those that name them."""
    count = 0
    # A link could lead to mail that does not belong to the sandbox.
    own = [outbox / name for name in _MAILDIR if not (outbox / name).is_symlink()]
    for path in (path for one in own for path in sorted(one.glob("*")) if not outbox.is_symlink()):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        is_named = redaction is not None and redaction.is_in_mail(data)
        if is_named or hashlib.sha256(data).hexdigest() in digests:
            path.unlink()
            count += 1
    return count


def export(log: Log, person: DataSubject) -> dict[str, Any]:
    """Everything that a log holds about a person, as JSON."""
    rows = erasure.held(log, person.mailbox)
    kept: dict[Any, Any] = {row["id"]: row["bytes"] for row in rows["copies"] if row["bytes"]}
    found: dict[str, Any] = {name: list(map(_readable, some)) for name, some in rows.items()}
    for copy in found["copies"]:
        copy["text"] = None
        if data := kept.get(copy["id"]):
            mail = email.message_from_bytes(data, policy=email.policy.default)
            body = mail.get_body(("plain",))
            copy["text"] = str(body.get_content()) if body else ""
        copy["fields"] = fields_of(copy["fields"])
    named = _named_in(log, erasure.frozen_letters(log), person)
    return {
        "log": log.where,
        **found,
        "named_in": [asdict(one) for one in named],
        "mentions": [
            one._asdict() for one in erasure.mentions(log, person.mailbox, person.own_names)
        ],
        "forgotten_at": Forgotten(log).day(person.mailbox),
    }


def _readable(row: dict[str, object]) -> dict[str, object]:
    found = dict(row)
    for name, value in row.items():
        if isinstance(value, bytes):
            try:
                found[name] = value.decode("utf-8")
            except UnicodeDecodeError:
                found[name] = f"base64:{b64encode(value).decode('ascii')}"
    return found


class Trace(NamedTuple):
    """A line that names a person."""

    file: str
    line: int  # from 1, or the row of a spreadsheet
    by_name: bool  # only by name: it could be a namesake
    cells: dict[str, str]  # the row of a list of people


def traces(root: Path, settings: Settings, person: erasure.Redaction) -> list[Trace]:
    """Every line of people files, letters and petition.toml that names a person."""
    lists = dict.fromkeys(settings.people.values())
    found = [trace for file in lists for trace in _in_list(root, file, person)]
    for pattern in _TEXTS:
        for path in sorted(root.glob(pattern)):
            file = path.relative_to(root).as_posix()
            if file not in lists:
                text = read_text(root, file, []) or ""
                for line, content in enumerate(text.split("\n"), 1):
                    if person.names_them(content):
                        found.append(Trace(file, line, not person.has_address(content), {}))
    return found


def _in_list(root: Path, file: str, person: erasure.Redaction) -> Iterator[Trace]:
    table = open_table(root, file, [], _EVERY_ROW)
    if table is None:
        return
    for row in table.rows():
        # The address as it is written, and as it is sent: the domain may be spelled in two ways.
        whole = "\n".join([*row.cells.values(), addr_spec_in(row.cells.get("email", "")) or ""])
        if person.names_them(whole):
            yield Trace(file, row.line, not person.has_address(whole), row.cells)
