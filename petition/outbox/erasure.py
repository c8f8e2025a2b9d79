"""Removes one person from the log; states, hashes and counts stay (P2)."""

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from petition.address import FORGOTTEN, folded
from petition.mail_parser import SetAside, decoded_header, decoded_text, read_mail
from petition.outbox import models, signatures
from petition.outbox.database import Row, intact, moment
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.models import FrozenLetter, fields_of, frozen_of
from petition.outbox.states import Reason

_AROUND = 60  # characters on either side
_OTHERS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+")
_MOST_BYTES = 40 * 2**20  # of a mail that is searched; a letter with all its files is smaller
_SHORTEST = 3  # characters of a local part that is looked for by itself


class Redaction:
    """One person, as texts can name them; a single word as a name would be found everywhere."""

    def __init__(self, mailbox: str, names: Iterable[str] = ()) -> None:
        local_part, _, domain = mailbox.rpartition("@")
        domains = {domain, _readable(domain)}
        spelled = {mailbox, *(f"{local_part}{at}{one}" for one in domains for at in ("@", "%40"))}
        addresses = [re.escape(one) for one in sorted(spelled)]
        # In the return paths of lists it follows their own name (VERP): list+ann=host@list.
        returned = "|".join(re.escape(f"{local_part}={one}") for one in sorted(domains))
        verp = rf"(?<![\w.])(?:{returned})(?![\w-])"
        full = sorted({form for name in names for form in _forms(name)})
        words = [r"\s+".join(map(re.escape, name.split())) for name in full]
        alone = [re.escape(local_part)] if len(local_part) >= _SHORTEST else []

        def pattern(*parts: str) -> re.Pattern[str]:
            return re.compile(rf"(?<![\w.+-])(?:{'|'.join(parts)})(?![\w-])|{verp}", re.IGNORECASE)

        self._key = folded(mailbox)
        self._address = pattern(*addresses)
        self._either = pattern(*addresses, *words)
        self._own = pattern(*addresses, *words, *alone)

    def is_them(self, mailbox: str | None) -> bool:
        """Whether an address is theirs, in any spelling."""
        return mailbox is not None and folded(mailbox) == self._key

    def names_them(self, text: str | None) -> bool:
        """Whether a text names them."""
        return text is not None and self._either.search(text) is not None

    def has_address(self, text: str) -> bool:
        """Whether a text contains their address."""
        return self._address.search(text) is not None

    def without(self, text: str | None, *, own: bool = False) -> str | None:
        """A text without them; if it is their `own`, without the local part alone too."""
        return None if text is None else (self._own if own else self._either).sub(FORGOTTEN, text)

    def without_in(self, fields: str) -> str:
        """The merge fields of somebody else (JSON) without them: a follow-up's contain answers."""
        if not self.names_them(fields):
            return fields
        known = fields_of(fields)
        less = {name: self._either.sub(FORGOTTEN, text) for name, text in known.items()}
        return json.dumps(less, ensure_ascii=False, sort_keys=True)

    def around(self, text: str | None) -> list[str]:
        """The words around each place where a text names them, without others' addresses."""
        found = self._either.finditer(text or "")
        return [_around(text or "", *one.span()) for one in found]

    def around_in_mail(self, data: bytes) -> list[str]:
        """The same for all parts of a mail; for one that cannot be searched, why not."""
        found: dict[str, None] = {}
        try:
            for text in _texts(data):
                found |= dict.fromkeys(self.around(text))
        except SetAside as fault:
            found[f"[this mail cannot be searched: {fault}]"] = None
        return list(found)

    def is_in_mail(self, data: bytes) -> bool:
        """Whether a mail names them in a header or a text, or cannot be searched for that."""
        try:
            return any(map(self.names_them, _texts(data)))
        except SetAside:
            return True


def _forms(name: str) -> Iterator[str]:
    """A full name as people and mail programs write it."""
    words = name.split()
    if len(words) > 1:
        for form in (" ".join(words), f"{words[-1]}, {' '.join(words[:-1])}"):
            yield from (unicodedata.normalize(shape, form) for shape in ("NFC", "NFD"))


def _around(text: str, start: int, end: int) -> str:
    before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
    if start > _AROUND:
        before = f"…{before.partition(' ')[2]}"
    if end + _AROUND < len(text):
        after = f"{after.rpartition(' ')[0]}…"
    before, after = (_OTHERS.sub("[address]", part) for part in (before, after))
    return " ".join(f"{before}{text[start:end]}{after}".split())


def _texts(data: bytes) -> Iterator[str]:
    """A mail as it is, then its headers and texts decoded; SetAside beyond a limit."""
    yield data.decode("utf-8", "replace")
    for part in read_mail(data, _MOST_BYTES).walk():
        yield from (decoded_header(value, None) for _, value in part.headers.fields)
        if part.children or part.content_type.partition("/")[0] not in {"text", "message"}:
            continue
        body = part.beginning(part.end - part.start)
        text = decoded_text(body, part.parameters.get("charset", ""))
        yield text
        if "<" in text:  # HTML may break a name by markup
            yield html.unescape(re.sub(r"<[^<>]*>", " ", text))  # linear, whatever the text


def _readable(domain: str) -> str:
    """A domain as people write it, without A-labels (RFC 5890)."""
    try:
        return domain.encode("ascii").decode("idna")
    except (UnicodeError, ValueError):
        return domain


_OWN = (
    *("held_copies", "held_events", "held_answers", "held_suppression"),
    *("held_signatures", "held_signature_steps", "held_service_mails"),
)
_TEXTS = {
    "copy": ("copy_texts", ("reason", "reply", "stopped")),
    "event": ("event_texts", ("reason", "reply")),
    "answer": ("answer_texts", ("quote",)),
    "approval": ("approvals", ("words",)),
    "mail": ("mail_texts", ("place", "message_id", "sender", "subject", "recipient", "reason")),
}


class Mention(NamedTuple):
    """A place in somebody else's row that names a person."""

    table: str
    row: int  # its id
    column: str
    text: str  # the words around it


def held(log: Log, mailbox: str) -> dict[str, list[dict[str, object]]]:
    """The rows about a person: copies, events, answers, mails, and whether they opted out."""
    values, database = {"folded": folded(mailbox)}, log.database
    found = {
        name.removeprefix("held_"): [dict(row) for row in database.all(name, values)]
        for name in _OWN
    }
    redaction, own = Redaction(mailbox), {int(str(copy["id"])) for copy in found["copies"]}
    numbers = [row["id"] for row in database.all("mail_texts") if is_theirs(row, redaction, own)]
    rows = [database.one("mail_row", {"mail": number}) for number in numbers]
    said = [dict(row) for row in database.all("approvals") if redaction.is_them(row["approver"])]
    return found | {"mails": [dict(row) for row in rows if row], "approvals": said}


def copies_of(log: Log, mailbox: str) -> list[Row]:
    """The copies to a person."""
    return log.database.all("held_copies", {"folded": folded(mailbox)})


def mentions(log: Log, mailbox: str, names: frozenset[str]) -> Iterator[Mention]:
    """Where others' rows name a person, by their address and the names that only they have."""
    redaction, rows = Redaction(mailbox, names), held(log, mailbox)
    own = {
        table: {row["id"] for row in rows[name]}
        for table, name in (
            *(("copy", "copies"), ("event", "events")),
            *(("answer", "answers"), ("approval", "approvals")),
        )
    } | {"mail": {row["id"] for row in rows["mails"]}}
    for table, (query, columns) in _TEXTS.items():
        for row in log.database.all(query):
            if row["id"] not in own[table]:
                for column in columns:
                    for text in redaction.around(row[column]):
                        yield Mention(table, row["id"], column, text)
                if table == "copy":
                    yield from _in_fields(row, redaction)
    yield from _in_bytes(log, redaction, own)


def namesakes(log: Log, mailbox: str) -> frozenset[str]:
    """The names of people with another address, in lower case."""
    rows = log.database.each("others_names", {"folded": folded(mailbox)})
    return frozenset(row[0].casefold() for row in rows)


def is_theirs(row: Row, redaction: Redaction, own: set[int]) -> bool:
    """Whether a mail came from a person, is about them, or belongs to a copy of theirs."""
    is_named = redaction.is_them(row["sender"]) or redaction.is_them(row["recipient"])
    return is_named or row["copy"] in own or redaction.has_address(row["sender"])


def _in_fields(row: Row, redaction: Redaction) -> Iterator[Mention]:
    if redaction.names_them(row["fields"]):
        for value in fields_of(row["fields"]).values():
            for text in redaction.around(value):
                yield Mention("copy", row["id"], "fields", text)


def _in_bytes(log: Log, redaction: Redaction, own: dict[str, set[object]]) -> Iterator[Mention]:
    for table, query in (("copy", "copies_kept"), ("mail", "mails_kept")):
        for row in log.database.each(query):
            if row["id"] not in own[table]:
                for text in redaction.around_in_mail(row["bytes"]):
                    yield Mention(table, row["id"], "bytes", text)


OF_OTHERS = "its bytes named somebody who was forgotten"
_OF_MAILS = ("place", "message_id", "sender", "subject", "reason")
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
NOTES = "hashed anew: "  # before the names of notes on frozen letters that lost a name


Change = tuple[FrozenLetter, FrozenLetter]  # a frozen letter before and after it loses a name


class Rehashed(NamedTuple):
    """A frozen letter that lost names: when, and its hash before and after."""

    letter: str
    revision: int
    at: str
    before: str
    after: str
    why: str = "forgotten"  # or "withdrew"
    is_complete: bool = False  # all who had left are out of it, also those who were only counted

    @property
    def when(self) -> datetime:
        """Its time, aware."""
        with intact():
            return moment(self.at)


@dataclass(slots=True)
class Erased:
    """What was erased, in numbers."""

    copies: int = 0  # to the person
    waiting: int = 0  # of these, those that will not be sent
    mails: int = 0  # from them or about them, whose text is gone
    answers: int = 0  # whose words are gone
    signatures: int = 0  # of the person
    letters: int = 0  # copies to others whose kept bytes named the person
    texts: int = 0  # other places that named them
    digests: set[str] = field(default_factory=set)  # SHA-256 of the bytes that are gone

    @property
    def is_nothing(self) -> bool:
        """Whether the log did not know the person."""
        others = self.signatures or self.letters or self.texts
        return not (self.copies or self.mails or self.answers or others)


def frozen_letters(log: Log) -> list[FrozenLetter]:
    """Every letter in every revision, in the order in which they were frozen."""
    return [frozen_of(row) for row in log.database.all("all_frozen")]


def gone_out(log: Log, letter: FrozenLetter) -> tuple[int, str | None, str | None]:
    """How many copies of a frozen letter may have arrived, and when the first and last went."""
    which = {"letter": letter.letter, "revision": letter.revision}
    row = log.database.one("gone_out", which)
    return (row[0], row[1], row[2]) if row else (0, None, None)


def erase(log: Log, mailbox: str, names: Iterable[str], changes: Iterable[Change]) -> Erased:
    """Remove a person, and the names that only they have, from the log, all in one transaction.

    The caller owns the log, so that no run is sending, and then calls `Database.scrub`.
    `changes` are the frozen letters that lose their name.
    """
    forgotten = Forgotten(log)
    forgotten.key(mailbox)  # reads the log's key, which needs a transaction of its own
    copies = held(log, mailbox)["copies"]
    redaction = Redaction(mailbox, names)
    with log.database.transaction():
        return _Erasing(log, mailbox, redaction, forgotten).erase(copies, changes)


def rehashed(log: Log, letter: str | None = None, revision: int | None = None) -> list[Rehashed]:
    """The frozen letters that lost names, or one of them, oldest first."""
    notes = [
        Rehashed(**json.loads(row["value"]))
        for row in log.database.all("notes", {"beginning": NOTES})
    ]
    fitting = (
        one for one in notes if letter in {None, one.letter} and revision in {None, one.revision}
    )
    return sorted(fitting, key=lambda one: one.at)


def refreeze(
    log: Log,
    before: FrozenLetter,
    after: FrozenLetter,
    why: str = "forgotten",
    *,
    is_complete: bool = False,
) -> None:
    """Replace a frozen letter by one that fewer people signed, in a transaction, and note that.

    `why` and `is_complete` are as in `Rehashed`.
    """
    which: dict[str, object] = {"letter": before.letter, "revision": before.revision}
    new = {"hash": after.hash, "content_hash": after.content_hash, "document": after.document}
    log.database.run("refreeze", which | new)
    note = which | {"at": log.now, "before": before.hash, "after": after.hash, "why": why}
    note |= {"is_complete": True} if is_complete else {}
    name = f"{NOTES}{log.now} {before.letter} {before.revision} {before.hash}"
    log.database.run("set_meta", {"name": name, "value": json.dumps(note)})


class _Erasing:
    def __init__(self, log: Log, mailbox: str, redaction: Redaction, forgotten: Forgotten) -> None:
        self._log = log
        self._database = log.database
        self._mailbox = mailbox
        self._redaction = redaction
        self._forgotten = forgotten
        self._done = Erased()
        self._own: set[int] = set()

    def erase(self, copies: list[dict[str, object]], changes: Iterable[Change]) -> Erased:
        self._own = {int(str(copy["id"])) for copy in copies}
        self._done.copies = len(copies)
        self._stop()
        for change in changes:
            self._refreeze(*change)
        self._redact_events()
        self._redact_copies()
        self._erase_letters()
        self._erase_mails()
        self._redact_answers()
        self._redact_approvals()
        self._drop_signatures()
        self._replace(copies)
        return self._done

    def _stop(self) -> None:
        """Skip what waits for them, and record an event for every copy, as its bytes go."""
        values = {"folded": folded(self._mailbox), "reason": Reason.FORGOTTEN, "letter": None}
        models.pick(self._database, "pick_waiting_to", values)
        models.move(self._database, self._log.now)
        moved = set(models.moved(self._database))
        self._done.waiting = len(moved)
        self._note(self._own - moved, Reason.FORGOTTEN)

    def _note(self, copies: Iterable[int], reason: str) -> None:
        values = {"copies": sorted(copies), "reason": reason, "now": self._log.now}
        self._database.run("log_forgotten", values)

    def _refreeze(self, before: FrozenLetter, after: FrozenLetter) -> None:
        which = {"letter": before.letter, "revision": before.revision}
        kept = self._database.all("copies_with_bytes", which)
        self._done.digests |= {row["sha256"] for row in kept}
        others = {row["id"] for row in kept} - self._own
        self._done.letters += len(others)
        self._note(others, OF_OTHERS)
        self._database.run("erase_bytes", which)
        refreeze(self._log, before, after)

    def _redact_events(self) -> None:
        own = {row["id"] for row in self._database.all("held_events", self._key)}
        for row in self._database.all("event_texts"):
            self._redact("redact_event", row, ("reason", "reply"), own=row["id"] in own)

    def _redact_copies(self) -> None:
        for row in self._database.all("copy_texts"):
            own = row["id"] in self._own
            fields = row["fields"] if own else self._redaction.without_in(row["fields"])
            names = ("reason", "reply", "stopped")
            self._redact("redact_copy", row, names, own=own, fields=fields)

    def _redact(
        self, query: str, row: Row, names: tuple[str, ...], *, own: bool, **more: object
    ) -> None:
        texts = {name: self._redaction.without(row[name], own=own) for name in names} | more
        if any(row[name] != text for name, text in texts.items()):
            self._database.run(query, texts | {"id": row["id"]})
            self._done.texts += not own

    def _erase_letters(self) -> None:
        named = [
            row["id"]
            for row in self._database.each("copies_kept")
            if row["id"] not in self._own and self._redaction.is_in_mail(row["bytes"])
        ]
        self._database.run_many("erase_bytes_of", [{"copy": copy} for copy in named])
        self._done.letters += len(named)
        self._note(named, OF_OTHERS)

    def _erase_mails(self) -> None:
        for row in self._database.all("mail_texts"):
            number = {"id": row["id"]}
            if is_theirs(row, self._redaction, self._own):
                place = self._redaction.without(row["place"], own=True)
                self._database.run("erase_mail", number | {"place": place})
                self._done.mails += 1
                continue
            mail = self._database.one("mail_row", {"mail": row["id"]}) if row["has_bytes"] else None
            named = mail is not None and self._redaction.is_in_mail(mail["bytes"])
            texts = {name: self._redaction.without(row[name]) for name in _OF_MAILS}
            if named or any(row[name] != text for name, text in texts.items()):
                self._database.run("redact_mail", number | texts | {"keeps_bytes": int(not named)})
                self._done.mails += 1

    def _redact_answers(self) -> None:
        for row in self._database.all("answer_texts"):
            own = row["copy"] in self._own
            quote = "" if own else self._redaction.without(row["quote"])
            if quote != row["quote"]:
                self._database.run("redact_answer", {"id": row["id"], "quote": quote})
                self._done.answers += 1

    def _redact_approvals(self) -> None:
        """An approver keeps their part under a stand-in; the words that name somebody go."""
        stand_in = self._forgotten.key(self._mailbox)
        for row in self._database.all("approvals"):
            own = self._redaction.is_them(row["approver"])
            words = "" if own else self._redaction.without(row["words"])
            who = stand_in if own else row["approver"]
            if (words, who) != (row["words"], row["approver"]):
                values = {"id": row["id"], "words": words, "approver": who}
                self._database.run("redact_approval", values)
                self._done.answers += own
                self._done.texts += not own
        for row in self._database.all("approval_requests"):
            if self._redaction.names_them(row["approvers"]):
                known = json.loads(row["approvers"])
                boxes = [stand_in if self._redaction.is_them(one) else one for one in known]
                values = {"id": row["id"], "approvers": json.dumps(boxes, ensure_ascii=False)}
                self._database.run("redact_approvers", values)
        self._database.run("erase_asking", self._key | {"stand_in": stand_in})

    def _drop_signatures(self) -> None:
        for row in self._database.all("held_signatures", self._key):
            signatures.delete(self._log, row["id"])
            self._done.signatures += 1
        self._database.run("drop_service_to", self._key)
        self._database.run("drop_unused_wordings")

    def _replace(self, copies: list[dict[str, object]]) -> None:
        key = self._forgotten.add(self._mailbox)
        self._done.digests |= {str(copy["sha256"]) for copy in copies if copy["sha256"]}
        for mailbox in {str(copy["mailbox"]) for copy in copies}:
            values = {**self._key, "mailbox": mailbox, "stand_in": key, "now": self._log.now}
            values["mailbox_stand_in"] = self._forgotten.stand_in(mailbox)
            self._database.run("erase_copies", values)
        hashes = {one for copy in copies for one in _SHA256.findall(str(copy["fields"]))}
        self._database.run_many("erase_enclosure", [{"sha256": one} for one in sorted(hashes)])

    @property
    def _key(self) -> dict[str, str]:
        return {"folded": folded(self._mailbox)}
