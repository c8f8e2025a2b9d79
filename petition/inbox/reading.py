"""From a source to the log: each mail is taken apart, sorted, and written down once."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from petition.errors import ServerTrouble
from petition.inbox.addresses import all_addresses, first_address, tokens_in
from petition.inbox.bounce import returned
from petition.inbox.complaint import feedback_report
from petition.inbox.finding import Finding, Kind
from petition.inbox.limits import SetAside
from petition.inbox.mail import Part, read_mail
from petition.inbox.own_words import own_words
from petition.inbox.sort import set_aside, sort
from petition.inbox.source import Fetched
from petition.outbox.inbound import Incoming, Received, Recorded, failed_on

BATCH = 200  # mails that are written down together, for each time costs a wait for the disk
_BATCH_BYTES = 16 * 2**20  # or fewer, where they are large
_ENVELOPE = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")
_ID = re.compile(r"<[^<>\s]{1,200}@[^<>\s]{1,200}>")
_ID_IN_TEXT = re.compile(rf"^[> ]*Message-I[Dd]:\s*({_ID.pattern})", re.MULTILINE)
_IDS = 100
# What a bulk letter's link writes, where the address for leaving has no token (merge/mailing.py).
_LEAVES = re.compile(r"^unsubscribe ([0-9a-f]{32})$", re.ASCII)
_WORDS_LENGTH = 20_000


def read_into(
    incoming: Incoming,
    mails: Iterable[Fetched],
    source: str,
    validity: int | None = None,
    told: Callable[[], None] = lambda: None,
) -> Iterator[list[Recorded]]:
    """Write down the mails of a source; what was written stays when it is interrupted.

    Args:
        incoming: Writes them down.
        mails: The mails, in their order.
        source: The source's name.
        validity: The UIDVALIDITY of a mailbox of IMAP, whose position is kept.
        told: Called for every mail, to show progress.

    Yields:
        What each new mail has changed, as many together as were written down together.
    """
    for waiting in incoming.waiting():
        again = received(Fetched(waiting.place, waiting.data), waiting.source)
        yield [incoming.settle(waiting, again)]
    batch: list[Received] = []
    known = incoming.position(source)
    begun = last = known[1] if known and known[0] == validity else 0
    weight = 0
    trouble: ServerTrouble | None = None
    try:
        for fetched in mails:
            last = max(last, fetched.uid)
            told()
            if incoming.knows(_without_reading(fetched, source)):
                continue  # to take it apart is what takes time
            batch.append(received(fetched, source))
            weight += len(fetched.data)
            if len(batch) >= BATCH or weight >= _BATCH_BYTES:
                yield incoming.record(batch, source, _position(validity, last))
                batch, weight = [], 0
    except ServerTrouble as fault:
        trouble = fault  # what came before it counts
    if batch or last > begun:
        yield incoming.record(batch, source, _position(validity, last))
    if trouble:
        raise trouble


def _position(validity: int | None, last: int) -> tuple[int, int] | None:
    return None if validity is None else (validity, last)


def received(fetched: Fetched, source: str) -> Received:
    """A mail with all that is known of it.

    Args:
        fetched: The mail.
        source: The source's name.
    """
    if fetched.aside:
        reason = set_aside(fetched.aside).reason
        return replace(_without_reading(fetched, source), reason=reason)
    try:
        mail = read_mail(fetched.data)
        return _received(fetched, source, mail, sort(mail))
    except SetAside as aside:
        reason = set_aside(aside.reason).reason
        return replace(_without_reading(fetched, source), reason=reason)
    except Exception as fault:  # noqa: BLE001 (one mail must not stop all later ones)
        return failed_on(_without_reading(fetched, source), fault)


def _without_reading(fetched: Fetched, source: str) -> Received:
    # Where its own bytes are not there, what the source calls it tells it from others.
    data = f"{source} {fetched.place}".encode() if fetched.aside else fetched.data
    return Received(data, source, fetched.place)


def _received(fetched: Fetched, source: str, mail: Part, found: Finding) -> Received:
    headers = mail.headers
    own = _ID.search(headers.get("message-id"))
    words = own_words(mail) if found.kind in _OF_PERSONS else ""
    return Received(
        fetched.data,
        source,
        fetched.place,
        message_id=own[0] if own else "",
        sender=first_address(headers.text("from")),
        subject=headers.text("subject")[:1_000],
        kind=found.kind,
        recipient=found.recipient,
        status=found.status,
        permanent=found.permanent,
        reason=found.reason,
        words=words[:_WORDS_LENGTH],
        is_notice=found.is_notice,
        tokens=(*_tokens(mail, found)[:_IDS], *_LEAVES.findall(headers.text("subject")[:100])),
        message_ids=tuple(_message_ids(mail, found)),
    )


def _tokens(mail: Part, found: Finding) -> list[str]:
    return tokens_in([*_addressees(mail), *_return_paths(mail, found)])


def _addressees(mail: Part) -> list[str]:
    fields = mail.headers.all(*_ENVELOPE, "to", "cc")
    return [address for text in fields[:50] for address in all_addresses(text)]


def _return_paths(mail: Part, found: Finding) -> list[str]:
    """Where the letter came from, as a complaint tells: it goes to an address without a token."""
    if found.kind != Kind.COMPLAINT:
        return []
    fields = [headers.get("return-path") for headers in returned(mail)]
    if report := feedback_report(mail):
        fields.append(report.get("original-mail-from"))
    return [address for text in fields for address in all_addresses(text)]


def _message_ids(mail: Part, found: Finding) -> list[str]:
    """The Message-IDs that a mail brings back or answers, the likeliest first."""
    ids: list[str] = []
    if found.kind not in {Kind.ANSWER, Kind.UNSUBSCRIBE}:
        for headers in returned(mail):
            ids += _ID.findall(headers.get("message-id")[:1_000])
        for text in mail.texts("text/plain"):
            ids += _ID_IN_TEXT.findall(text)
    # A field that may be there once is there twice in some mails, and either can name the letter.
    for field in mail.headers.all("in-reply-to", "original-message-id", "x-original-message-id"):
        ids += _ID.findall(field[:5_000])
    # The last reference is the mail that is answered (RFC 5322 3.6.4).
    for field in mail.headers.all("references")[:5]:
        ids += reversed(_ID.findall(field[:50_000]))
    return list(dict.fromkeys(ids))[:_IDS]


_OF_PERSONS = frozenset({Kind.ANSWER, Kind.UNSUBSCRIBE, Kind.AUTO_REPLY})
