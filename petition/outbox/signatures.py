"""Signatures: who signed a letter by form or by mail, and what each of them wanted and when.

A mailbox signs a letter once. Until its owner confirms, a signature counts for nobody and is
deleted after some days. What somebody agreed to is kept with its time, the wording that they read,
its language, and how it was confirmed (GDPR Art. 7(1)); no address of a computer, nothing else.

Links carry a token: the selector that the signature is found by, and an HMAC of it.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from petition.address import folded
from petition.identity import Signer, selector_of
from petition.outbox import service
from petition.outbox.database import Row, intact, moment, stamp
from petition.outbox.log import Log
from petition.outbox.service import ServiceKind

UNCONFIRMED_DAYS = 7
SIGNATURE_MAILS = [ServiceKind.CONFIRM, ServiceKind.SIGNED]
_BETWEEN_MAILS = timedelta(days=1)  # to one address, whoever types it


class SignatureStatus(StrEnum):
    """Where a signature is."""

    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"
    WITHDRAWN = (
        "withdrawn"  # name and texts are erased; the mailbox signs nothing until it signs anew
    )


class Review(StrEnum):
    """What the campaign decided about a signature."""

    WAITING = "waiting"
    APPROVED = "approved"
    HIDDEN = "hidden"  # it is not exported; a row that is in the file still counts


class SignatureStep(StrEnum):
    """What somebody did."""

    SIGNED = "signed"
    CONFIRMED = "confirmed"
    CHANGED = "changed"
    WITHDREW = "withdrew"
    APPROVED = "approved"
    HID = "hidden"
    MERGED = "merged"


class SignatureEntry(NamedTuple):
    """What somebody says of themselves; what is not known is ""."""

    name: str
    role: str = ""
    organisation: str = ""
    place: str = ""
    country: str = ""
    kind: str = "individual"  # or organisation
    publish: bool = False  # whether the name may be shown
    updates: bool = False  # whether they want to hear how it goes on

    @property
    def shown(self) -> tuple[str, ...]:
        """What others can see of it."""
        return self[:6]


class Wording(NamedTuple):
    """What somebody agreed to, as they read it."""

    language: str
    text: str

    @property
    def sha256(self) -> str:
        """What it is kept by."""
        return hashlib.sha256(f"{self.language}\n{self.text}".encode()).hexdigest()


class SignatureRecord(NamedTuple):
    """A signature as the log has it; times are aware."""

    id: int
    letter: str
    mailbox: str
    folded: str
    selector: str
    entry: SignatureEntry
    language: str
    status: SignatureStatus
    review: Review
    signed_at: datetime
    confirmed_at: datetime | None
    updated_at: datetime

    @property
    def counts(self) -> bool:
        """Whether it is one of the campaign's signatures."""
        return self.status is SignatureStatus.CONFIRMED and self.review is Review.APPROVED


class SignatureEvent(NamedTuple):
    """A step of a signature."""

    at: datetime
    what: SignatureStep
    how: str  # form, mail, link, reply, or who decided
    publish: bool
    updates: bool
    wording: Wording


class StepTaken(NamedTuple):
    """A step, and whose it is."""

    at: datetime
    letter: str
    mailbox: str
    what: SignatureStep
    how: str  # as in a SignatureEvent


class Withdrawal(NamedTuple):
    """That somebody signs nothing any more."""

    at: datetime  # aware
    was_named: bool  # whether they had agreed to have their name shown
    approved_at: datetime | None  # when it was first approved, and could come into the file


class WhoLeft(NamedTuple):
    """Who withdrew or is not to be named, by their folded mailboxes: files may still have them."""

    withdrew: Mapping[str, Withdrawal]
    unnamed: frozenset[str]  # who agreed to have their name shown, and no longer do
    hidden: frozenset[str]  # whom the campaign has hidden


def submit(
    log: Log, letter: str, mailbox: str, entry: SignatureEntry, wording: Wording, how: str
) -> tuple[SignatureRecord, ServiceKind | None]:
    """Somebody signs, in a transaction: the signature, and which mail to send; None: no mail.

    A mailbox gets one mail a day. Who has signed already is sent the link to change it, and nothing
    changes: anybody can type an address.
    """
    where = {"folded": folded(mailbox), "letter": letter}
    known = log.database.one("signature_of", where)
    may_mail = not service.mailed_since(log, mailbox, SIGNATURE_MAILS, _BETWEEN_MAILS)
    if known is None:
        new = where | {"mailbox": mailbox, "selector": secrets.token_hex(8)}
        log.database.run("add_signature", _kept_values(log, entry, wording) | new)
        signature = _required(log.database.one("signature_of", where))
        _note(log, signature.id, SignatureStep.SIGNED, how)
        return signature, ServiceKind.CONFIRM if may_mail else None
    signature = _signature(known)
    if signature.status is SignatureStatus.CONFIRMED:
        return signature, ServiceKind.SIGNED if may_mail else None
    if not may_mail:  # a mail with what was said first may be on its way
        return signature, None
    values = _kept_values(log, entry, wording) | {"id": signature.id, "review": Review.WAITING}
    log.database.run("change_signature", values)
    log.database.run("sign_again", {"id": signature.id, "now": log.now})
    _note(log, signature.id, SignatureStep.SIGNED, how)
    return one(log, signature.id), ServiceKind.CONFIRM


def token_of(log: Log, signature: SignatureRecord) -> str:
    """The token in the links that a signatory gets."""
    return Signer(log.key).signature_token(signature.selector)


def find(log: Log, token: str) -> SignatureRecord | None:
    """The signature that a token was made for, in either case; None: unknown."""
    selector = selector_of(token.lower())
    if not secrets.compare_digest(
        Signer(log.key).signature_token(selector).encode(), token.lower().encode()
    ):
        return None
    row = log.database.one("signature_by_selector", {"selector": selector})
    return _signature(row) if row else None


def one(log: Log, signature: int) -> SignatureRecord:
    """A signature by its id; LogDamaged if there is none."""
    return _required(log.database.one("one_signature", {"id": signature}))


def still_there(log: Log, signature: int) -> SignatureRecord | None:
    """The same; None: it was deleted."""
    row = log.database.one("one_signature", {"id": signature})
    return _signature(row) if row else None


def signatures_of(log: Log, mailbox: str) -> list[SignatureRecord]:
    """What a mailbox signed."""
    return [*map(_signature, log.database.all("signatures_of", {"folded": folded(mailbox)}))]


def signatures(log: Log) -> Iterator[SignatureRecord]:
    """All signatures, the oldest first."""
    return map(_signature, log.database.each("signatures"))


def events(log: Log, signature: int) -> list[SignatureEvent]:
    """What became of a signature, the oldest step first."""
    with intact():
        return [
            SignatureEvent(
                *(moment(at), SignatureStep(what), how, bool(publish), bool(updates)),
                Wording(language, text),
            )
            for at, what, how, publish, updates, language, text in log.database.all(
                "signature_events", {"id": signature}
            )
        ]


def steps(log: Log, mailbox: str | None = None) -> Iterator[StepTaken]:
    """All steps of all signatures, or of those of a mailbox, oldest first."""
    if mailbox is None:
        rows = log.database.each("signature_steps")
    else:
        rows = log.database.each("signature_steps_of", {"folded": folded(mailbox)})
    with intact():
        for at, letter, box, what, how in rows:
            yield StepTaken(moment(at), letter, box, SignatureStep(what), how)


def who_left(log: Log) -> WhoLeft:
    """Who withdrew, is not to be named any more, or was hidden."""
    withdrew: dict[str, Withdrawal] = {}
    unnamed, hidden = set[str](), set[str]()
    with intact():
        for key, status, decision, at, was_named, approved_at in log.database.each(
            "signatures_that_left"
        ):
            if status != SignatureStatus.CONFIRMED:
                approved = moment(approved_at) if approved_at else None
                withdrew[key] = Withdrawal(moment(at), bool(was_named), approved)
            elif decision == Review.HIDDEN:
                hidden.add(key)
            else:
                unnamed.add(key)
    return WhoLeft(withdrew, frozenset(unnamed), frozenset(hidden))


def signs_elsewhere(log: Log, signature: SignatureRecord) -> bool:
    """Whether the same mailbox has confirmed a signature of another letter."""
    return any(
        other.id != signature.id and other.status is SignatureStatus.CONFIRMED
        for other in signatures_of(log, signature.mailbox)
    )


def counts(log: Log) -> dict[tuple[SignatureStatus, Review], int]:
    """How many signatures have each status, and how they were reviewed."""
    with intact():
        rows = log.database.all("count_signatures")
        return {
            (SignatureStatus(status), Review(review)): number for status, review, number in rows
        }


# ---- what a signatory does; each in the transaction that is open, or one of its own


def confirm(log: Log, signature: SignatureRecord, how: str) -> bool:
    """The owner of the mailbox confirms; False: it was confirmed or withdrawn before."""
    with log.database.joined(log.writing):
        done = log.database.run("confirm_signature", {"id": signature.id, "now": log.now}) > 0
        if done:
            _note(log, signature.id, SignatureStep.CONFIRMED, how)
    return done


def store_change(
    log: Log, signature: SignatureRecord, entry: SignatureEntry, wording: Wording, how: str
) -> SignatureRecord:
    """The owner says something else; what others can see of it is reviewed anew.

    Once it is confirmed, call `change` of a SigningDesk (`signing.py`) instead, which also changes
    frozen letters.
    """
    with log.database.joined(log.writing):
        before = one(log, signature.id)
        if before.status is SignatureStatus.WITHDRAWN or before.entry == entry:
            return before
        decision = before.review if before.entry.shown == entry.shown else Review.WAITING
        values = _kept_values(log, entry, wording) | {"id": signature.id, "review": decision}
        log.database.run("change_signature", values)
        _note(log, signature.id, SignatureStep.CHANGED, how)
        return one(log, signature.id)


def mark_withdrawn(log: Log, signature: SignatureRecord, how: str) -> bool:
    """The owner takes the signature back; False: that was done before.

    Call `withdraw` of a SigningDesk (`signing.py`), which also changes frozen letters.
    """
    with log.database.joined(log.writing):
        done = log.database.run("withdraw_signature", {"id": signature.id, "now": log.now}) > 0
        if done:
            _note(log, signature.id, SignatureStep.WITHDREW, how)
    return done


# ---- what the campaign does


def review(log: Log, signature: int, decision: Review, by: str) -> bool:
    """Approve or hide a signature, in a transaction; False: that was decided before."""
    step = SignatureStep.HID if decision is Review.HIDDEN else SignatureStep.APPROVED
    return _decide(log, signature, decision, step, by)


def merge(log: Log, signature: int, by: str) -> None:
    """Hide a signature that is the same as another one, in a transaction."""
    _decide(log, signature, Review.HIDDEN, SignatureStep.MERGED, by)


def _decide(log: Log, signature: int, decision: Review, step: SignatureStep, by: str) -> bool:
    values = {"id": signature, "review": decision, "now": log.now}
    done = log.database.run("review_signature", values) > 0
    if done:
        _note(log, signature, step, by)
    return done


def expire(log: Log) -> int:
    """Delete what was not confirmed for days; returns how many.

    One that was confirmed once and then withdrawn is withdrawn again, and counted too: anybody can
    type its address anew.
    """
    since = {"since": stamp(log.clock() - timedelta(days=UNCONFIRMED_DAYS))}
    # First without a transaction that writes: this is asked often.
    if not log.database.one("stale_signatures", since):
        return 0
    with log.database.joined(log.writing):
        stale = log.database.all("stale_signatures", since)
        for signature, was_confirmed in stale:
            if was_confirmed:
                service.drop_about(log, SIGNATURE_MAILS, signature)
                log.database.run("withdraw_signature", {"id": signature, "now": log.now})
            else:
                delete(log, signature)
        log.database.run("drop_unused_wordings")
    return len(stale)


def delete(log: Log, signature: int) -> None:
    """Delete a signature, its steps and its mails, in a transaction."""
    service.drop_about(log, SIGNATURE_MAILS, signature)
    log.database.run("drop_signature_events", {"id": signature})
    log.database.run("drop_signature", {"id": signature})


def _kept_values(log: Log, entry: SignatureEntry, wording: Wording) -> dict[str, object]:
    """Keep the wording; returns the values of a signature that its owner decides."""
    kept = {"sha256": wording.sha256, "language": wording.language, "text": wording.text}
    log.database.run("add_wording", kept)
    said = {"publish": int(entry.publish), "updates": int(entry.updates)}
    agreed = {"language": wording.language, "wording": wording.sha256, "now": log.now}
    return entry._asdict() | said | agreed


def _note(log: Log, signature: int, what: SignatureStep, how: str) -> None:
    values = {"id": signature, "now": log.now, "what": what, "how": how}
    log.database.run("add_signature_event", values)


def _required(row: Row | None) -> SignatureRecord:
    with intact():
        if row is None:
            raise LookupError("a signature is missing")
        return _signature(row)


def _signature(row: Row) -> SignatureRecord:
    with intact():
        id_, letter, mailbox, key, selector, *rest = row
        name, role, organisation, place, country, kind, publish, updates, *rest = rest
        language, _, status, decision, signed_at, confirmed_at, updated_at = rest
        said = name, role, organisation, place, country, kind, bool(publish), bool(updates)
        return SignatureRecord(
            *(id_, letter, mailbox, key, selector, SignatureEntry(*said), language),
            *(SignatureStatus(status), Review(decision), moment(signed_at)),
            moment(confirmed_at) if confirmed_at else None,
            moment(updated_at),
        )
