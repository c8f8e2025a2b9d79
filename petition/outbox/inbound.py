"""Mail that came back: whose copy it belongs to, and what it changes.

A mail changes a copy only if it proves that it answers a letter that went out: by the token of its
return path or by its Message-ID, which nobody can guess. The mail is about the mailbox of that
copy, whatever it says itself.

Everybody who has seen the letter knows the Message-ID, and who gets a copy of it (cc, bcc) knows
the token too. So only the token, of a letter that went to one mailbox alone, proves enough to
suppress an address; the Message-ID proves enough to change the state of the copy. Somebody who asks
to leave from the address that was written to is believed. If it is doubtful whether or who wants to
leave, the address is held: nothing is sent to it until a person decides.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from petition.address import addr_spec_in, folded, is_of
from petition.errors import LogUnusable
from petition.outbox import approvals, models
from petition.outbox.answers import INBOX
from petition.outbox.approvals import ApprovalRequest, Decision
from petition.outbox.database import make_inbound_indexes
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten, is_suppressed, stop_writing
from petition.outbox.models import Copy, copy_of
from petition.outbox.states import MAY_HAVE_ARRIVED, Reason, State
from petition.outbox.unsubscribe import copy_of_token

APPROVAL = "approval"  # how the mail of an approver was matched
LEAVE_TOKEN = "leave token"  # noqa: S105 (how a mail was matched, no secret)
SIGNATURE = "signature"  # how a mail about a signature was matched
WAITS = "waits"  # until its copy is no longer being sent
_REASON_LENGTH = 500
_CLOCK_WAS_AHEAD = timedelta(days=30)
_TIMED_OUT = "set aside: it takes longer than"  # the reason that versions with a timer gave

# Of a mail from somebody who was forgotten only its digest is kept, so that it is read once.
_NOBODY: dict[str, Any] = {
    **dict.fromkeys(("message_id", "sender", "subject", "words"), ""),
    "recipient": None,
    "reason": "forgotten",
}
_WORDS_OF_A_REQUEST = 12  # to leave; who writes more has answered too
_MUST_HAVE_GONE = frozenset({"bounce", "auto-reply", "answer"})
OF_A_PERSON = frozenset({"answer", "unsubscribe"})
_BY_SENDER = frozenset({"answer", "auto-reply", "unsubscribe"})
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Received:
    """A mail and what was found in it."""

    data: bytes
    source: str
    place: str  # what the source calls it
    message_id: str = ""
    sender: str = ""
    subject: str = ""  # decoded
    kind: str | None = None  # inbox.Kind; None: it was set aside
    recipient: str | None = None  # whom it names
    status: str | None = None  # the enhanced status code of a bounce or delay
    permanent: bool | None = None  # whether a bounce says that there is no such address
    reason: str = ""  # why it was classified so
    words: str = ""  # what its sender wrote themselves
    is_notice: bool = False  # it only says that the letter was delivered or opened
    may_leave: bool = False  # its words may ask for no more letters
    refuses: bool = False  # its words begin with a no
    hedges: bool = False  # they have a but or an if
    others: tuple[Any, ...] = ()  # findings on further recipients whom a bounce names
    tokens: tuple[str, ...] = ()  # possible tokens in the addresses that it was sent to
    message_ids: tuple[str, ...] = ()  # that it answers or returns, the likeliest first
    display_name: str = ""  # of its sender
    sent_to: tuple[str, ...] = ()  # addresses
    is_to_many: bool = False  # a list has sent it, or it says that it goes to many
    codes: tuple[str, ...] = ()  # possible tokens in its text, quoted text included

    @property
    def digest(self) -> str:
        """Its identity, whichever source it is read from."""
        return hashlib.sha256(self.data.replace(b"\r\n", b"\n")).hexdigest()


class Recorded(NamedTuple):
    """What a new mail has changed."""

    mail: Received  # without its bytes: there may be many
    copy: Copy | None  # as it was before; None: the mail belongs to no copy that is known
    matched_by: str  # leave token, token, Message-ID, sender, signature or approval
    effects: tuple[str, ...] = ()  # what was changed
    letter: str = ""  # that an approver's mail is about


class Handled(NamedTuple):
    """What became of a mail that is about something else than a copy."""

    matched_by: str  # what it is about; "": a person must look at it
    effects: tuple[str, ...] = ()
    reason: str = ""  # "": why it was classified as it was


# Takes a mail, in the transaction that records it; None: it is not about that.
MailHandler = Callable[[Received], Handled | None]


class Waiting(NamedTuple):
    """A mail that came while its copy was being sent."""

    id: int
    source: str
    place: str
    data: bytes
    matched_by: str
    copy: int  # its id


class Unmatched(NamedTuple):
    """A mail that belongs to no letter until a person says so."""

    id: int
    kind: str | None
    sender: str
    subject: str
    reason: str
    seen_at: str


@dataclass
class Incoming:
    """Records incoming mail."""

    log: Log
    handlers: Sequence[MailHandler] = ()  # of mails that do not prove to be about a copy
    _others: dict[tuple[str, int], tuple[frozenset[str], str]] = field(default_factory=dict)
    _again: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._forgotten = Forgotten(self.log)

    def position(self, source: str) -> tuple[int, int] | None:
        """UIDVALIDITY and the last UID that was read of an IMAP mailbox."""
        row = self.log.database.one("inbox_position", {"source": source})
        return (row[0], row[1]) if row else None

    def known_places(self, source: str) -> set[str]:
        """The places of the mails that were read from a source."""
        rows = self.log.database.all("known_places", {"source": source})
        return {row[0] for row in rows} - self.timed_out(source)

    def timed_out(self, source: str) -> set[str]:
        """Where mails are that an earlier version timed out on; `record` reads them again."""
        values = {"source": source, "reason": f"{_TIMED_OUT}%"}
        rows = self.log.database.all("timed_out", values)
        self._again |= {sha256: mail for mail, sha256, _ in rows}
        return {place for _, _, place in rows}

    def sent_since(self) -> str | None:
        """The day from which IMAP is searched (RFC 9051 6.4.4); None: no letter went.

        It is the day before the first letter: a server compares days of its own time zone.
        """
        day, now = self.log.database.moment("first_sent"), self.log.clock()
        if day and day > now:  # a clock was ahead
            day = now - _CLOCK_WAS_AHEAD
        return imap_day(day - timedelta(days=1)) if day else None

    def unmatched(self, limit: int) -> list[Unmatched]:
        """The mails that belong to no copy, the newest first."""
        return [Unmatched(*row) for row in self.log.database.all("unmatched", {"limit": limit})]

    def unmatched_count(self) -> int:
        """How many there are."""
        return int(self.log.database.value("count_unmatched"))

    def knows(self, mail: Received) -> bool:
        """Whether a mail was recorded before, from any source."""
        digest = mail.digest
        row = self.log.database.one("has_mail", {"sha256": digest})
        return row is not None and digest not in self._again

    def record(
        self, mails: list[Received], source: str = "", position: tuple[int, int] | None = None
    ) -> list[Recorded]:
        """Record mails, all or none, and return what they changed; known ones are ignored.

        `position` is the UIDVALIDITY and UID up to which `source` is read now.
        """
        with self.log.writing():
            if mails:
                make_inbound_indexes(self.log.database)
            done = [found for mail in mails if (found := self._record_or_set_aside(mail))]
            if position:
                values = {"source": source, "validity": position[0], "uid": position[1]}
                self.log.database.run("set_inbox_position", values | {"now": self.log.now})
        return done

    def find(self, mail: Received) -> tuple[Copy | None, str]:
        """Whose copy a mail belongs to, and how that is known."""
        database = self.log.database
        for token in mail.tokens:
            if copy := copy_of_token(self.log, token):
                return copy, LEAVE_TOKEN
            if row := database.one("copy_by_token", {"token": token}):
                return copy_of(row), "token"
        for message_id in mail.message_ids:
            # Amazon SES replaces the Message-ID by one that its reply to the letter names.
            reply = f"Ok {message_id.strip('<>').rpartition('@')[0]}"
            row = database.one("copy_by_message_id", {"message_id": message_id})
            if row := row or database.one("copy_by_reply", {"reply": reply}):
                return copy_of(row), "Message-ID"
        if mail.kind in _BY_SENDER and (box := addr_spec_in(mail.sender)):
            rows = database.all("sent_to", {"folded": folded(box)})
            if rows:
                return copy_of(rows[-1]), "sender"
        return None, ""

    def had_mail(self, mail: Received) -> bool:
        """Whether a mail about a signature was recorded before, if other programs changed it."""
        values = {"message_id": mail.message_id, "sender": mail.sender}
        return bool(mail.message_id) and self.log.database.one("signature_mail", values) is not None

    def _record_or_set_aside(self, mail: Received) -> Recorded | None:
        try:
            with self.log.database.attempt():
                return self._record_one(mail)
        except LogUnusable:
            raise  # the log failed, not the mail
        except Exception as fault:  # noqa: BLE001 (see above)
            return self._record_one(failed_on(mail, fault))

    def _record_one(self, mail: Received) -> Recorded | None:
        digest = mail.digest
        if digest in self._again:
            self.log.database.run("drop_mail", {"mail": self._again.pop(digest)})
        if self.log.database.one("has_mail", {"sha256": digest}):
            return None
        copy, matched_by = self.find(mail)
        if said := self._said_to_request(mail, matched_by):
            return self._record_approval(mail, digest, *said)
        if copy and mail.others:
            mail = _about(mail, copy)
        if matched_by == LEAVE_TOKEN:  # that address serves nothing else
            mail = replace(
                mail, kind="unsubscribe", reason="it was sent to the unsubscribe address"
            )
        handled = None
        if is_forgotten := self._is_forgotten(mail, copy):
            mail = replace(mail, **_NOBODY)
        elif matched_by in {"", "sender"} and (handled := self._handled(mail)):
            copy, matched_by = None, handled.matched_by
            mail = replace(mail, reason=handled.reason or mail.reason)
        # A copy that is being sent may have arrived already; only its run knows.
        waits = copy is not None and copy.state is State.SENDING and mail.kind in _MUST_HAVE_GONE
        keeps_bytes = copy is not None and not is_forgotten
        self._keep(mail, digest, copy, matched_by, keeps_bytes=keeps_bytes, waits=waits)
        if waits:
            return Recorded(_light(mail), copy, matched_by, (WAITS,))
        if copy is None:  # perhaps from somebody whose letter still waits
            asks = mail.may_leave or mail.kind == "unsubscribe"
            effects = handled.effects if handled else ()
            effects += self._hold(None, mail.sender) if asks else ()
            return Recorded(_light(mail), None, matched_by, effects)
        number = self.log.database.value("has_mail", {"sha256": digest})
        effects = self._apply(mail, copy, matched_by, number)
        return Recorded(_light(mail), copy, matched_by, effects)

    def _keep(
        self,
        mail: Received,
        digest: str,
        copy: Copy | None,
        matched_by: str,
        *,
        keeps_bytes: bool,
        waits: bool = False,
    ) -> None:
        names = ("source", "place", "message_id", "sender", "subject", "kind", "recipient")
        values = {name: getattr(mail, name) for name in names}
        values |= {"status": mail.status, "reason": mail.reason[:_REASON_LENGTH]}
        values |= {"permanent": None if mail.permanent is None else int(mail.permanent)}
        values |= {"copy": copy.id if copy else None, "matched_by": matched_by}
        values |= {"bytes": mail.data if keeps_bytes else None, "waits": int(waits)}
        self.log.database.run("add_mail", values | {"sha256": digest, "now": self.log.now})

    def _handled(self, mail: Received) -> Handled | None:
        """What a mail came to that is about something else than a copy."""
        return next((done for handle in self.handlers if (done := handle(mail))), None)

    def _said_to_request(
        self, mail: Received, matched_by: str
    ) -> tuple[ApprovalRequest, Decision] | None:
        """What an approver's mail says to a request; None: it is none."""
        if mail.kind not in OF_A_PERSON or not mail.sender:
            return None
        is_loose = matched_by in {"", "sender"}
        return approvals.judge(
            self.log,
            mail.sender,
            mail.words,
            mail.message_ids,
            refuses=mail.refuses,
            hedges=mail.hedges,
            is_loose=is_loose,
        )

    def _record_approval(
        self, mail: Received, digest: str, request: ApprovalRequest, what: Decision
    ) -> Recorded:
        self._keep(mail, digest, None, APPROVAL, keeps_bytes=True)
        number = self.log.database.value("has_mail", {"sha256": digest})
        approvals.say(
            self.log,
            request.id,
            what,
            approvals.MAIL,
            approver=mail.sender,
            words=mail.words,
            mail=number,
            author=INBOX,
        )
        return Recorded(_light(mail), None, APPROVAL, (str(what),), request.letter)

    def waiting(self) -> list[Waiting]:
        """The mails that came while their copy was being sent, and no longer is."""
        return [Waiting(*row) for row in self.log.database.all("waiting")]

    def settle(self, waiting: Waiting, mail: Received) -> Recorded:
        """Apply a mail that came while its copy was being sent, read once more."""
        database = self.log.database
        with self.log.writing():
            database.run("waits_no_more", {"mail": waiting.id})
            row = database.one("one_copy", {"copy": waiting.copy})
            copy = copy_of(row) if row else None
            try:
                with database.attempt():
                    effects = (
                        self._apply(mail, copy, waiting.matched_by, waiting.id) if copy else ()
                    )
            except LogUnusable:
                raise
            except Exception as fault:  # noqa: BLE001 (as above)
                return Recorded(_light(failed_on(mail, fault)), copy, waiting.matched_by)
            return Recorded(_light(mail), copy, waiting.matched_by, effects)

    def _is_forgotten(self, mail: Received, copy: Copy | None) -> bool:
        """Whether a mail is from, or about, somebody who was forgotten."""
        boxes = filter(None, map(addr_spec_in, (mail.sender, mail.recipient or "")))
        return (copy is not None and "@" not in copy.mailbox) or any(
            box in self._forgotten for box in boxes
        )

    def _apply(self, mail: Received, copy: Copy, matched_by: str, number: int) -> tuple[str, ...]:
        is_proven = matched_by != "sender"
        is_theirs = matched_by == "token" and not self._other_recipients(copy)
        if mail.kind == "bounce" and is_proven:
            return self._bounce(mail, copy, is_theirs=is_theirs)
        if mail.kind == "complaint" and is_proven:
            return self._complaint(mail, copy, is_theirs=is_theirs)
        if mail.kind == "unsubscribe" and self._may_leave(mail, copy, matched_by):
            done = self._suppress(copy.mailbox, Reason.OPTED_OUT)
            says_more = len(mail.words.split()) > _WORDS_OF_A_REQUEST
            return (*done, *(self._answer(mail, copy, number, "unclassified") if says_more else ()))
        if mail.kind not in _BY_SENDER or mail.is_notice:
            return ()
        is_doubtful = mail.may_leave or mail.kind == "unsubscribe"
        status = "acknowledged" if mail.kind == "auto-reply" else "unclassified"
        effects = self._answer(mail, copy, number, status)
        return (*effects, *(self._hold(copy, mail.sender) if is_doubtful else ()))

    def _bounce(self, mail: Received, copy: Copy, *, is_theirs: bool) -> tuple[str, ...]:
        claimed = folded(mail.recipient or "")
        if claimed != copy.folded and claimed in self._other_recipients(copy):
            return ()  # a cc bounced: the state of a copy follows To
        # That of somebody behind the address, of an alias or a list, says nothing against it.
        is_behind = claimed not in {"", copy.folded}
        is_theirs = is_theirs and not is_behind
        whose = f"{mail.recipient}, to whom it was passed on: " if is_behind else ""
        values = {"copy": copy.id, "reason": f"{whose}{mail.reason}"[:_REASON_LENGTH]}
        models.pick(self.log.database, "pick_bounced", values)
        if not models.move(self.log.database, self.log.now, by="bounce"):
            return ()
        more = (
            self._suppress(copy.mailbox, Reason.NO_MAILBOX) if mail.permanent and is_theirs else ()
        )
        return ("bounced", *more)

    def _complaint(self, mail: Received, copy: Copy, *, is_theirs: bool) -> tuple[str, ...]:
        if is_theirs:
            return self._suppress(copy.mailbox, Reason.COMPLAINED)
        return self._hold(copy, mail.recipient or "")

    def _hold(self, copy: Copy | None, by: str) -> tuple[str, ...]:
        """Hold the address of a copy, and that of the sender if letters go to it too."""
        is_other = copy is None or folded(by) in self._other_recipients(copy)
        boxes = [] if copy is None or is_other else [copy.mailbox]
        if by and (own := self.log.database.one("latest_to", {"folded": folded(by)})):
            boxes.append(copy_of(own).mailbox)
        boxes = [box for box in boxes if not is_suppressed(self.log, box)]
        if boxes:
            stop_writing(self.log, boxes, Reason.HELD)
        return ("held",) if boxes else ()

    def _suppress(self, mailbox: str, reason: Reason) -> tuple[str, ...]:
        stop_writing(self.log, [mailbox], reason)
        return ("suppressed",)

    def _may_leave(self, mail: Received, copy: Copy, matched_by: str) -> bool:
        """Whether a request to leave comes from the person who was written to."""
        # Who was passed the letter sees its Message-ID too.
        if matched_by == LEAVE_TOKEN:
            return True
        is_from_them = is_of(mail.sender, copy.mailbox)
        if matched_by == "token":
            return is_from_them or not self._other_recipients(copy)
        return is_from_them

    def _answer(self, mail: Received, copy: Copy, number: int, status: str) -> tuple[str, ...]:
        if copy.state not in MAY_HAVE_ARRIVED:
            return ()
        values = {"copy": copy.id, "mail": number, "status": status, "demand": ""}
        said = {"channel": "mail", "quote": mail.words, "author": INBOX, "now": self.log.now}
        self.log.database.run("add_answer", values | said | {"public": 0})
        return (status,)

    def _other_recipients(self, copy: Copy) -> frozenset[str]:
        """Whom else a letter went to with each copy (cc and bcc), folded."""
        key = (copy.letter, copy.revision)
        if key not in self._others:
            frozen = self.log.frozen(*key)
            document = frozen.content if frozen else {}
            everybody = [*document.get("cc", ()), *document.get("bcc", ())]
            # One with a name is frozen as [name, address] (merge/freeze.py).
            specs = (one if isinstance(one, str) else one[-1] for one in everybody)
            templates = "".join(one["template"] for one in document.get("cc_fields", ()))
            self._others[key] = frozenset(map(folded, specs)), templates
        others, templates = self._others[key]
        if not templates:
            return others
        # Any address in its row may be in cc; one that the letter puts together is not known.
        cells = (part for cell in copy.fields.values() for part in re.split(r"[\s<>;,]+", cell))
        own = {folded(box) for cell in cells if "@" in cell and (box := addr_spec_in(cell))}
        return others | (own - {copy.folded}) | ({"@"} if "@" in templates else set())


def imap_day(day: datetime) -> str:
    """A day as IMAP writes it (RFC 9051 9)."""
    return f"{day.day}-{_MONTHS[day.month - 1]}-{day.year}"


def failed_on(mail: Received, fault: Exception) -> Received:
    """A mail that could not be recorded because of an internal error, with the reason."""
    reason = f"set aside: internal error ({type(fault).__name__}: {fault})"
    return Received(
        mail.data,
        mail.source,
        mail.place,
        message_id=mail.message_id,
        sender=mail.sender,
        subject=mail.subject,
        reason=reason,
    )


def _about(mail: Received, copy: Copy) -> Received:
    """A bounce as it concerns the one to whom a copy went, if it names them beside others."""
    theirs = (one for one in mail.others if folded(one.recipient or "") == copy.folded)
    if folded(mail.recipient or "") == copy.folded or not (found := next(theirs, None)):
        return mail
    return replace(
        mail,
        recipient=found.recipient,
        status=found.status,
        permanent=found.permanent,
        reason=found.reason,
    )


def _light(mail: Received) -> Received:
    return replace(mail, data=b"")
