"""Signatures in the log: a mailbox once, and what was agreed to is kept."""

from datetime import timedelta

import pytest

from petition.outbox import service, signatures
from petition.outbox.log import Log, utc_now
from petition.outbox.service import ServiceKind
from petition.outbox.signatures import (
    Review,
    SignatureEntry,
    SignatureStatus,
    SignatureStep,
    Wording,
)

ANN = SignatureEntry("Ann Lee", role="Teacher", country="KZ", publish=True)
WORDS = Wording("en", "I sign this letter. My name may be shown.")


def sign(log: Log, mailbox: str = "ann@x.example", entry: SignatureEntry = ANN, how: str = "form"):
    """Somebody signs, and the mail is queued as the program does it."""
    with log.writing():
        signature, kind = signatures.submit(log, "open", mailbox, entry, WORDS, how)
        if kind:
            service.add(
                *(log, kind, mailbox, signature.id, "x.example"),
                lambda message_id: f"Message-ID: {message_id}\r\n\r\n".encode(),
                campaign="campaign",
            )
    return signature, kind


def later(log: Log, **ago: float) -> None:
    log.clock = lambda: utc_now() + timedelta(**ago)


def test_a_signature_counts_once_its_owner_and_the_campaign_have_said_so(log: Log):
    signature, kind = sign(log)
    assert (kind, signature.status, signature.counts) == (
        ServiceKind.CONFIRM,
        SignatureStatus.UNCONFIRMED,
        False,
    )
    assert signatures.confirm(log, signature, "link")
    assert not signatures.confirm(log, signature, "link")
    assert not signatures.one(log, signature.id).counts
    with log.writing():
        assert signatures.review(log, signature.id, Review.APPROVED, "a person")
        assert not signatures.review(log, signature.id, Review.APPROVED, "a person")
    assert signatures.one(log, signature.id).counts
    assert signatures.counts(log) == {(SignatureStatus.CONFIRMED, Review.APPROVED): 1}


def test_what_was_agreed_to_is_kept_with_its_time_and_wording(log: Log):
    signature, _ = sign(log)
    signatures.confirm(log, signature, "reply")
    other = Wording("en", "I sign this letter.")
    signatures.store_change(log, signature, ANN._replace(publish=False), other, "link")
    first, second, third = signatures.events(log, signature.id)
    assert (first.what, first.how, first.publish, first.wording) == (
        SignatureStep.SIGNED,
        "form",
        True,
        WORDS,
    )
    assert (second.what, second.how) == (SignatureStep.CONFIRMED, "reply")
    assert (third.what, third.publish, third.wording) == (SignatureStep.CHANGED, False, other)
    assert first.at <= second.at <= third.at


def test_a_link_finds_its_signature_and_no_other(log: Log):
    ann, _ = sign(log)
    bea, _ = sign(log, "bea@x.example")
    token = signatures.token_of(log, ann)
    assert signatures.find(log, token) == ann
    assert signatures.find(log, token.upper()) == ann
    forged = token[:16] + signatures.token_of(log, bea)[16:]
    for wrong in (forged, token[:-1], "", token + "0", "é" * 32):
        assert signatures.find(log, wrong) is None


def test_one_address_gets_one_mail_a_day_whatever_is_typed(log: Log):
    first, _ = sign(log)
    again, kind = sign(log, "ANN@x.example", ANN._replace(name="A Stranger"))
    assert (kind, again) == (None, first)
    later(log, hours=25)
    changed, kind = sign(log, entry=ANN._replace(name="Ann B. Lee"))
    assert (kind, changed.id, changed.entry.name) == (ServiceKind.CONFIRM, first.id, "Ann B. Lee")
    assert len(list(signatures.signatures(log))) == 1


def test_who_has_signed_is_sent_the_link_and_a_stranger_changes_nothing(log: Log):
    signature, _ = sign(log)
    signatures.confirm(log, signature, "link")
    later(log, hours=25)
    again, kind = sign(log, entry=ANN._replace(name="A Stranger"))
    assert (kind, again.entry) == (ServiceKind.SIGNED, ANN)


def test_a_change_of_what_others_see_is_reviewed_again(log: Log):
    signature, _ = sign(log)
    signatures.confirm(log, signature, "link")
    with log.writing():
        signatures.review(log, signature.id, Review.APPROVED, "a person")
    quiet = signatures.store_change(log, signature, ANN._replace(updates=True), WORDS, "link")
    assert quiet.review is Review.APPROVED
    loud = signatures.store_change(log, signature, ANN._replace(name="Buy Now"), WORDS, "link")
    assert (loud.review, loud.counts) == (Review.WAITING, False)


def test_of_who_withdraws_only_the_mailbox_is_kept_and_they_can_sign_again(log: Log):
    signature, _ = sign(log)
    signatures.confirm(log, signature, "link")
    assert signatures.mark_withdrawn(log, signature, "link")
    assert not signatures.mark_withdrawn(log, signature, "link")
    gone = signatures.one(log, signature.id)
    assert (gone.status, gone.entry) == (SignatureStatus.WITHDRAWN, SignatureEntry(""))
    assert signatures.store_change(log, gone, ANN, WORDS, "link") == gone
    later(log, hours=25)
    again, kind = sign(log)
    assert (kind, again.id, again.status) == (
        ServiceKind.CONFIRM,
        signature.id,
        SignatureStatus.UNCONFIRMED,
    )


def test_what_nobody_confirms_vanishes_with_its_mail(log: Log):
    sign(log)
    kept, _ = sign(log, "bea@x.example")
    signatures.confirm(log, kept, "link")
    later(log, days=6.9)
    assert signatures.expire(log) == 0
    later(log, days=7.1)
    assert signatures.expire(log) == 1
    assert [one.mailbox for one in signatures.signatures(log)] == ["bea@x.example"]
    assert service.mails_about(log, signatures.SIGNATURE_MAILS, kept.id) != []
    assert len(service.due(log, 10)) == 1


def test_a_serial_is_never_given_again(log: Log):
    sign(log)
    [before] = service.due(log, 10)
    later(log, days=8)
    signatures.expire(log)
    sign(log)
    [after] = service.due(log, 10)
    assert after.serial > before.serial
    assert after.message_id != before.message_id


def test_nothing_is_added_where_the_mail_cannot_be(log: Log):
    def fail(message_id: str) -> bytes:
        raise ValueError(message_id)

    with pytest.raises(ValueError, match="@"), log.writing():  # noqa: PT012
        signature, kind = signatures.submit(log, "open", "ann@x.example", ANN, WORDS, "form")
        assert kind
        service.add(
            log, kind, "ann@x.example", signature.id, "x.example", fail, campaign="campaign"
        )
    assert list(signatures.signatures(log)) == []


def test_who_has_withdrawn_signs_nothing_whatever_strangers_type(log: Log):
    signature, _ = sign(log)
    signatures.confirm(log, signature, "link")
    assert signatures.who_left(log).withdrew == {}
    signatures.mark_withdrawn(log, signature, "link")
    assert set(signatures.who_left(log).withdrew) == {"ann@x.example"}
    later(log, days=2)
    typed, _ = sign(log, entry=ANN._replace(name="Somebody Else"))
    assert typed.status is SignatureStatus.UNCONFIRMED
    assert set(signatures.who_left(log).withdrew) == {"ann@x.example"}
    later(log, days=10)
    signatures.expire(log)
    kept = signatures.one(log, typed.id)
    assert (kept.status, kept.entry.name) == (SignatureStatus.WITHDRAWN, "")
    assert set(signatures.who_left(log).withdrew) == {"ann@x.example"}
    # The owner can sign again.
    again, _ = sign(log)
    signatures.confirm(log, again, "link")
    assert signatures.who_left(log).withdrew == {}


def test_who_agreed_to_be_named_and_no_longer_does_is_known(log: Log):
    signature, _ = sign(log, entry=ANN._replace(publish=False))
    signatures.confirm(log, signature, "link")
    assert signatures.who_left(log).unnamed == set()
    named = signatures.store_change(log, signature, ANN, WORDS, "link")
    assert signatures.who_left(log).unnamed == set()
    signatures.store_change(log, named, ANN._replace(publish=False), WORDS, "link")
    assert signatures.who_left(log).unnamed == {"ann@x.example"}
    with log.writing():
        signatures.review(log, signature.id, Review.HIDDEN, "a person")
    assert signatures.who_left(log).hidden == {"ann@x.example"}
