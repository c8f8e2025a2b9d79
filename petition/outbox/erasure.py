"""Takes one person out of the log; states, hashes and counts stay (P2)."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from petition.address import folded
from petition.outbox import moving
from petition.outbox.database import Row
from petition.outbox.forgotten import Forgotten
from petition.outbox.holdings import held, is_theirs
from petition.outbox.log import Log
from petition.outbox.records import FrozenLetter, frozen_of
from petition.outbox.redaction import Redaction
from petition.outbox.states import Reason

OF_OTHERS = "its bytes named somebody who was forgotten"
_OF_MAILS = ("place", "message_id", "sender", "subject", "reason")
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
NOTES = "hashed anew: "  # before the names of notes on frozen letters that lost a name


@dataclass(frozen=True, slots=True)
class Change:
    """A frozen letter that is to lose a name.

    Args:
        before: The letter as it is.
        after: The letter without the name.
    """

    before: FrozenLetter
    after: FrozenLetter


@dataclass(frozen=True, slots=True)
class Rehashed:
    """A frozen letter that lost names: when, and its hash before and after."""

    letter: str
    revision: int
    at: str
    before: str
    after: str


@dataclass(slots=True)
class Erased:
    """What was erased, in numbers.

    Args:
        copies: Copies to the person.
        waiting: Those among them that waited and will not be sent.
        mails: Mails from them, or about them, whose text is gone.
        answers: Answers whose words are gone.
        letters: Copies to others whose kept bytes named the person.
        texts: Other places that named them.
        digests: SHA-256 of the bytes that are gone.
    """

    copies: int = 0
    waiting: int = 0
    mails: int = 0
    answers: int = 0
    letters: int = 0
    texts: int = 0
    digests: set[str] = field(default_factory=set)

    @property
    def is_nothing(self) -> bool:
        """Whether the log did not know the person."""
        return not (self.copies or self.mails or self.answers or self.letters or self.texts)


def frozen_letters(log: Log) -> list[FrozenLetter]:
    """Every letter in every revision, in the order in which they were frozen."""
    return [frozen_of(row) for row in log.database.all("all_frozen")]


def gone_out(log: Log, letter: FrozenLetter) -> tuple[int, str | None, str | None]:
    """How many copies of a frozen letter may have arrived, and when the first and last went."""
    which = {"letter": letter.letter, "revision": letter.revision}
    row = log.database.one("gone_out", which)
    return (row[0], row[1], row[2]) if row else (0, None, None)


def erase(log: Log, mailbox: str, names: Iterable[str], changes: Iterable[Change]) -> Erased:
    """Take a person out of the log, all in one transaction.

    The caller owns the log, so that no run has a copy in hand, and calls `Database.scrub`
    afterwards.

    Args:
        log: The log.
        mailbox: The address, however it is capitalised.
        names: What they alone are called, for texts that name them.
        changes: Frozen letters that lose their name.
    """
    forgotten = Forgotten(log)
    forgotten.key(mailbox)  # reads the log's key, which needs a transaction of its own
    copies = held(log, mailbox)["copies"]
    redaction = Redaction(mailbox, names)
    with log.database.transaction():
        return _Erasing(log, mailbox, redaction, forgotten).erase(copies, changes)


def rehashed(log: Log, letter: str | None = None, revision: int | None = None) -> list[Rehashed]:
    """The frozen letters that lost names, oldest first.

    Args:
        log: The log.
        letter: Only this one.
        revision: Only in this revision.
    """
    notes = [
        Rehashed(**json.loads(row["value"]))
        for row in log.database.all("notes", {"beginning": NOTES})
    ]
    fitting = (
        one for one in notes if letter in {None, one.letter} and revision in {None, one.revision}
    )
    return sorted(fitting, key=lambda one: one.at)


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
            self._refreeze(change)
        self._redact_events()
        self._redact_copies()
        self._erase_letters()
        self._erase_mails()
        self._redact_answers()
        self._replace(copies)
        return self._done

    def _stop(self) -> None:
        """What waits for them is not sent; every copy has its event, for its bytes go."""
        values = {"folded": folded(self._mailbox), "reason": Reason.FORGOTTEN, "letter": None}
        moving.pick(self._database, "pick_waiting_to", values)
        moving.move(self._database, self._log.now)
        moved = set(moving.moved(self._database))
        self._done.waiting = len(moved)
        self._note(self._own - moved, Reason.FORGOTTEN)

    def _note(self, copies: Iterable[int], reason: str) -> None:
        values = {"copies": sorted(copies), "reason": reason, "now": self._log.now}
        self._database.run("log_forgotten", values)

    def _refreeze(self, change: Change) -> None:
        before, after = change.before, change.after
        which = {"letter": before.letter, "revision": before.revision}
        kept = self._database.all("copies_with_bytes", which)
        self._done.digests |= {row["sha256"] for row in kept}
        others = {row["id"] for row in kept} - self._own
        self._done.letters += len(others)
        self._note(others, OF_OTHERS)
        self._database.run("erase_bytes", which)
        new = {"hash": after.hash, "content_hash": after.content_hash, "document": after.document}
        self._database.run("refreeze", which | new)
        note = which | {"at": self._log.now, "before": before.hash, "after": after.hash}
        name = f"{NOTES}{self._log.now} {before.letter} {before.revision} {before.hash}"
        self._database.run("set_meta", {"name": name, "value": json.dumps(note)})

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
        """The kept bytes of copies to others that name them, as their rows did."""
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
            named = row["has_bytes"] and self._is_in_mail(row["id"])
            texts = {name: self._redaction.without(row[name]) for name in _OF_MAILS}
            if named or any(row[name] != text for name, text in texts.items()):
                self._database.run("redact_mail", number | texts | {"keeps_bytes": int(not named)})
                self._done.mails += 1

    def _is_in_mail(self, number: int) -> bool:
        row = self._database.one("mail_row", {"mail": number})
        return row is not None and self._redaction.is_in_mail(row["bytes"])

    def _redact_answers(self) -> None:
        for row in self._database.all("answer_texts"):
            own = row["copy"] in self._own
            quote = "" if own else self._redaction.without(row["quote"])
            if quote != row["quote"]:
                self._database.run("redact_answer", {"id": row["id"], "quote": quote})
                self._done.answers += 1

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
