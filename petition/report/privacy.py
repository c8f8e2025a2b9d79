"""Finds, exports and forgets a person: in the log, in frozen letters, in the campaign's files."""

import csv
import email
import email.policy
import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from petition.address import addr_spec_in, folded
from petition.campaign.settings import Settings
from petition.campaign.signatories import Signatory
from petition.campaign.tables import open_table
from petition.campaign.text_file import read_text
from petition.merge import freeze
from petition.merge.document import Frozen
from petition.merge.template.fields import SIGNATORY_FIELDS
from petition.outbox.erasure import (
    Change,
    Erased,
    Redaction,
    erase,
    frozen_letters,
    gone_out,
    held,
    mentions,
    namesakes,
)
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.models import FrozenLetter, fields_of
from petition.outbox.states import MAY_HAVE_ARRIVED, State

_TEXTS = ("*.csv", "petition.toml", "letters/*.md")


class Trace(NamedTuple):
    """A line that names a person.

    Args:
        file: The file as the organiser would name it.
        line: Its line from 1, or the row of a spreadsheet.
        by_name: By their name alone: it could be somebody else of that name.
        cells: The row, where the file is a list of people.
    """

    file: str
    line: int
    by_name: bool
    cells: dict[str, str]


def traces(
    root: Path,
    settings: Settings,
    has_address: Callable[[str], bool],
    names_them: Callable[[str], bool],
) -> list[Trace]:
    """Every line of people files, letters and petition.toml that names a person.

    Args:
        root: The campaign folder.
        settings: Name the lists.
        has_address: Whether a text holds their address.
        names_them: Whether a text holds their address or their name.
    """
    lists = dict.fromkeys(settings.people.values())
    found = [trace for file in lists for trace in _in_list(root, file, has_address, names_them)]
    for pattern in _TEXTS:
        for path in sorted(root.glob(pattern)):
            file = path.relative_to(root).as_posix()
            if file not in lists:
                text = read_text(root, file, []) or ""
                for line, content in enumerate(text.split("\n"), 1):
                    if names_them(content):
                        found.append(Trace(file, line, not has_address(content), {}))
    return found


def _in_list(
    root: Path,
    file: str,
    has_address: Callable[[str], bool],
    names_them: Callable[[str], bool],
) -> Iterator[Trace]:
    table = None
    with suppress(OSError, ValueError, csv.Error):
        table = open_table(root, file, [])
    if table is None:
        return
    for row in table.rows():
        # As it is written, and as it stands on the wire: a domain may be spelled in both ways.
        whole = "\n".join([*row.cells.values(), addr_spec_in(row.cells.get("email", "")) or ""])
        if names_them(whole):
            yield Trace(file, row.line, not has_address(whole), row.cells)


_MAILDIR = ("new", "cur", "tmp")


@dataclass(frozen=True, slots=True)
class DataSubject:
    """Who is to be forgotten.

    Args:
        mailbox: The address (addr_spec).
        names: What they are called, by the people files and the log.
        signed: How they signed, by the file of the signatories.
        strangers: What others, with another address, are called, in lower case.
    """

    mailbox: str
    names: frozenset[str] = frozenset()
    signed: tuple[Signatory, ...] = ()
    strangers: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        mailbox: str,
        signatories: Iterable[Signatory],
        names: Iterable[str] = (),
        strangers: Iterable[str] = (),
    ) -> "DataSubject":
        """The person of an address, as the file of the signatories has them.

        Args:
            mailbox: The address.
            signatories: Everybody who signs.
            names: What else they are called.
            strangers: What others are called, in lower case.
        """
        everybody = list(signatories)
        signed = tuple(one for one in everybody if folded(one.email) == folded(mailbox))
        # Beside a row that is theirs, every other row of that name is somebody else.
        others = {
            one.name.casefold() for one in everybody if one not in signed and (one.email or signed)
        }
        called = {*names, *(one.name for one in signed)}
        others.update(strangers)
        return cls(mailbox, frozenset(filter(None, called)), signed, frozenset(others))

    @property
    def own_names(self) -> frozenset[str]:
        """The names that are nobody else's."""
        return frozenset(one for one in self.names if one.casefold() not in self.strangers)

    def is_signature(self, published: dict[str, str]) -> bool:
        """Whether an entry of a frozen signature block is theirs."""
        if self.signed:
            return any(
                all(published[name] == getattr(one, name) for name in SIGNATORY_FIELDS)
                for one in self.signed
            ) or self._is_named(published["name"], {one.name for one in self.signed})
        return self._is_named(published["name"], self.names)

    def _is_named(self, name: str, names: Iterable[str]) -> bool:
        key = name.casefold()
        return key in {one.casefold() for one in names} - self.strangers


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Where a name had gone before it was forgotten.

    Args:
        role: As what: recipient, signatory, cc or bcc.
        copies: How many copies that named them may have arrived.
        first: When the first one went, as the log has it.
        last: When the last one went.
    """

    letter: str
    revision: int
    role: str
    copies: int
    first: str | None
    last: str | None


@dataclass(slots=True)
class Receipt:
    """What was erased from one log, and where the name had gone."""

    log: str
    erased: Erased
    gone: list[Disclosure] = field(default_factory=list)
    is_uncertain: bool = False  # of some of these copies nobody knows whether they arrived
    rehashed: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # letters whose own words name them
    files: int = 0  # letters of the sandbox


def names_in_log(log: Log, mailbox: str) -> set[str]:
    """What the log calls the person of an address."""
    return {str(one["name"]) for one in held(log, mailbox)["copies"]} - {""}


def strangers_in_log(log: Log, mailbox: str, names: Iterable[str]) -> set[str]:
    """Those of some names that the log also calls others by, in lower case."""
    return {one.casefold() for one in names} & namesakes(log, mailbox)


def forget(log: Log, person: DataSubject, outbox: Path | None) -> Receipt:
    """Erase a person from a log and, where it is a rehearsal's, from the sandbox's letters.

    The caller owns the log. What was erased is overwritten on the disk before this returns.

    Args:
        log: The log.
        person: Whom.
        outbox: The sandbox's Maildir; None: this log has none.

    Raises:
        LogUnusable: The log could not be written.
    """
    receipt = Receipt(log.where, Erased())
    letters = frozen_letters(log)
    receipt.gone = [*_received(log, person), *_named_in(log, letters, person)]
    receipt.is_uncertain = any(_is_uncertain(log, person, one) for one in receipt.gone)
    redaction = Redaction(person.mailbox, person.own_names)
    changes = [change for one in letters if (change := without(one, person))]
    receipt.rehashed = [f"{one.after.letter}, revision {one.after.revision}" for one in changes]
    receipt.texts = sorted({one.letter for one in letters if redaction.names_them(_source(one))})
    receipt.erased = erase(log, person.mailbox, person.own_names, changes)
    log.database.scrub()
    if outbox:
        receipt.files = _erase_files(outbox, receipt.erased.digests, redaction)
    return receipt


def without(letter: FrozenLetter, person: DataSubject) -> Change | None:
    """A frozen letter that names a person no more; None where it does not name them.

    Args:
        letter: The letter.
        person: Whom.
    """
    new = freeze.without(
        Frozen.from_json(letter.document),
        person.is_signature,
        lambda mailbox: folded(mailbox) == folded(person.mailbox),
    )
    if new is None:
        return None
    after = replace(letter, document=new.to_json(), hash=new.hash, content_hash=new.content_hash)
    return Change(letter, after)


def _source(letter: FrozenLetter) -> str:
    frozen = Frozen.from_json(letter.document)
    demands = (one["source"] for name in frozen.languages for one in frozen.demands(name))
    return "\n".join([frozen.source, *demands])


def _is_box(entry: str | list[str], mailbox: str) -> bool:
    return folded(entry if isinstance(entry, str) else entry[-1]) == folded(mailbox)


def _received(log: Log, person: DataSubject) -> Iterator[Disclosure]:
    for row in held(log, person.mailbox)["copies"]:
        if row["state"] in MAY_HAVE_ARRIVED:
            day = str(row["letter_date"]) if row["letter_date"] else None
            yield Disclosure(
                str(row["letter"]), int(str(row["revision"])), "recipient", 1, day, day
            )


def _is_uncertain(log: Log, person: DataSubject, gone: Disclosure) -> bool:
    if gone.role != "recipient":
        return log.counts(gone.letter).by_state.get(State.UNCERTAIN, 0) > 0
    copies = held(log, person.mailbox)["copies"]
    return any(one["letter"] == gone.letter and one["state"] == State.UNCERTAIN for one in copies)


def _named_in(
    log: Log, letters: Iterable[FrozenLetter], person: DataSubject
) -> Iterator[Disclosure]:
    for letter in letters:
        document = Frozen.from_json(letter.document).document
        roles = [key for key in ("cc", "bcc") if _has_box(document[key], person.mailbox)]
        if any(map(person.is_signature, document["signatories"]["published"])):
            roles.append("signatory")
        copies, first, last = gone_out(log, letter) if roles else (0, None, None)
        for role in roles if copies else ():
            yield Disclosure(letter.letter, letter.revision, role, copies, first, last)


def _has_box(entries: Iterable[str | list[str]], mailbox: str) -> bool:
    return any(_is_box(entry, mailbox) for entry in entries)


def _erase_files(outbox: Path, digests: set[str], redaction: Redaction) -> int:
    """Delete the sandbox's letters to a person, and those that name them."""
    count = 0
    # A link could lead to mail that is not the sandbox's.
    own = [outbox / name for name in _MAILDIR if not (outbox / name).is_symlink()]
    for path in (path for one in own for path in sorted(one.glob("*")) if not outbox.is_symlink()):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() in digests or redaction.is_in_mail(data):
            path.unlink()
            count += 1
    return count


def export(log: Log, person: DataSubject) -> dict[str, Any]:
    """Everything that a log holds about a person, as JSON has it.

    Args:
        log: The log.
        person: Whom.
    """
    rows = held(log, person.mailbox)
    kept: dict[Any, Any] = {row["id"]: row["bytes"] for row in rows["copies"] if row["bytes"]}
    found: dict[str, Any] = {name: list(map(_readable, some)) for name, some in rows.items()}
    for copy in found["copies"]:
        copy["text"] = _plain(kept[copy["id"]]) if copy["id"] in kept else None
        copy["fields"] = fields_of(copy["fields"])
    named = _named_in(log, frozen_letters(log), person)
    return {
        "log": log.where,
        **found,
        "named_in": [asdict(one) for one in named],
        "mentions": [asdict(one) for one in mentions(log, person.mailbox, person.own_names)],
        "forgotten_at": Forgotten(log).day(person.mailbox),
    }


def _plain(data: bytes) -> str:
    """What a person reads of a letter."""
    body = email.message_from_bytes(data, policy=email.policy.default).get_body(("plain",))
    return str(body.get_content()) if body else ""


def _readable(row: dict[str, object]) -> dict[str, object]:
    return {
        name: _text(value) if isinstance(value, bytes) else value for name, value in row.items()
    }


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"base64:{b64encode(data).decode('ascii')}"
