"""Signatures by mail, as `petition inbox` reads them: somebody signs, confirms or withdraws.

A mail is believed only if it is a person's, was not sent through a list, and, about a signature
that is there, comes from the mailbox that signed and proves that it answers our mail: it quotes the
token, or names the Message-ID. What is not clear changes nothing, and a person sees it.
"""

from collections.abc import Iterator

from petition.address import is_of
from petition.inbox import Kind
from petition.inbox.signing_phrases import SigningRequest, Stance, asked_in, stance_of
from petition.outbox import service, signatures
from petition.outbox.inbound import OF_A_PERSON, SIGNATURE, Handled, Incoming, Received
from petition.outbox.signatures import SIGNATURE_MAILS, SignatureRecord, SignatureStatus
from petition.signing import Admission, SigningDesk, SignRefused, entry_of

# The effects of a mail (`Handled`).
ASKED, TOLD, CONFIRMED, WITHDREW = "asked", "told", "confirmed", "withdrew"
DOUBTFUL = "doubtful"  # it changes nothing, and a person must look at it
_BY_MAIL, _BY_REPLY = "mail", "reply"


class SignByMail:
    """Handles the mails that are about signatures, in the transaction that records each."""

    def __init__(self, desk: SigningDesk, incoming: Incoming) -> None:
        self._desk = desk
        self._incoming = incoming

    def handle(self, mail: Received) -> Handled | None:
        """What became of a mail; None: it is about no signature."""
        if not mail.sender or self._desk.is_own(mail.sender) or mail.is_to_many:
            return None
        signature = self._answered(mail)
        if mail.kind not in OF_A_PERSON:
            return Handled(SIGNATURE) if signature else None
        if signature:
            return self._apply(mail, signature)
        if not self._is_to_sign(mail):
            return None
        request = asked_in(mail.subject, mail.words, mail.display_name)
        return self._sign(mail, request) if request else None

    def _answered(self, mail: Received) -> SignatureRecord | None:
        """The signature that a mail proves to be about, that of its sender first."""
        found = list(self._named_in(mail))
        own = (one for one in found if is_of(mail.sender, one.mailbox))
        return next(own, found[0] if found else None)

    def _named_in(self, mail: Received) -> Iterator[SignatureRecord]:
        log = self._desk.log
        for message_id in mail.message_ids:
            about = service.about_of(log, message_id)
            if (
                about
                and about[0] in SIGNATURE_MAILS
                and (one := signatures.still_there(log, about[1]))
            ):
                yield one
        for code in mail.codes:
            if one := signatures.find(log, code):
                yield one

    def _is_to_sign(self, mail: Received) -> bool:
        address = self._desk.settings.sign.mailto
        return address is not None and any(is_of(one, address.addr_spec) for one in mail.sent_to)

    def _apply(self, mail: Received, signature: SignatureRecord) -> Handled:
        if not is_of(mail.sender, signature.mailbox):
            return _doubt(f"it answers a mail to {signature.mailbox}, from another address")
        if self._incoming.had_mail(mail):
            return Handled(SIGNATURE, (), "it was read before")
        declines = mail.kind == Kind.UNSUBSCRIBE
        stance = Stance.DECLINES if declines else stance_of(mail.words, mail.subject)
        if stance is Stance.CONFIRMS and not mail.may_leave:
            if signature.status is SignatureStatus.WITHDRAWN:
                return _doubt("it confirms a signature that was withdrawn")
            done = self._desk.confirm(signature, _BY_REPLY)
            return Handled(SIGNATURE, (CONFIRMED,) if done else (), "it confirms the signature")
        if stance is Stance.DECLINES:
            gone = self._desk.withdraw(signature, _BY_REPLY)
            did = (WITHDREW,) if gone is not None else ()
            sent = f", after the name went out with {gone[-1].letter}" if gone else ""
            return Handled(SIGNATURE, did, f"it takes the signature back{sent}")
        return _doubt("it does not clearly say whether they sign")

    def _sign(self, mail: Received, request: SigningRequest) -> Handled:
        if self._incoming.had_mail(mail):
            return Handled(SIGNATURE, (), "it was read before")
        desk = self._desk
        try:
            entry = entry_of(request.cells)
            wording = desk.wording(request.language)
            became, signature = desk.admit(mail.sender, entry, wording, _BY_MAIL, mail.message_id)
        except SignRefused as why:
            return _doubt(f"it signs, but {_WHY[why.why].format(why.field)}")
        if became is Admission.ASKED:
            return Handled(SIGNATURE, (ASKED,), f"{entry.name} signs")
        if signature and signature.entry.name not in {"", entry.name}:  # "": withdrawn
            other = signature.entry.name
            return _doubt(f"{entry.name} signs, and {other} has signed with the same address")
        if became is Admission.TOLD:
            return Handled(SIGNATURE, (TOLD,), f"{entry.name} has signed before")
        is_barred = became is Admission.BARRED
        why_not = "must not be written to" if is_barred else "had a mail within the last day"
        return Handled(SIGNATURE, (), f"{entry.name} signs, and the address {why_not}")


_WHY = {
    "missing": "its {} is missing",
    "too_long": "its {} is too long",
    "no_letters": "its {} has no letters",
    "link": "its {} has an address in it",
    "address": "its {} is no address",
}


def _doubt(reason: str) -> Handled:
    return Handled("", (DOUBTFUL,), reason)
