"""Reads the inbox into the log, and tells what came."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from petition.campaign.settings import Inbox
from petition.cli import console
from petition.errors import UsageError
from petition.inbox.reading import read_into
from petition.inbox.source import Maildir, Mbox
from petition.outbox.log import Log
from petition.outbox.mail import Incoming, Recorded, sent_since

_POLL_SECONDS = 60
_TELL_EVERY = 1_000  # mails
_PILE_SHOWN = 20


def listen(log: Log, settings: Inbox, root: Path, *, watch: bool, as_json: bool) -> None:
    """Read the inbox; with `watch` until the person stops it.

    Args:
        log: Where it is written down.
        settings: Those of [inbox].
        root: The campaign folder, which relative paths are counted from.
        watch: Go on reading what comes.
        as_json: One object a mail, and one line each.

    Raises:
        ServerTrouble: The mail server cannot be reached or refuses.
        UsageError: Nothing was sent yet, or the inbox is not there.
    """
    incoming = Incoming(log)
    since = sent_since(incoming.first_sent())
    if since is None:
        raise UsageError("nothing has been sent yet", "There is nothing to wait an answer for")
    rounds = _rounds(incoming, settings, root, since, watch=watch)
    total: Counter[str] = Counter()
    for new in rounds:
        if as_json:
            for one in new:
                console.json_line(_as_json(one))
        elif new or not watch or not total["rounds"]:
            _say(new, incoming)
        total["rounds"] += 1


def _rounds(
    incoming: Incoming, settings: Inbox, root: Path, since: str, *, watch: bool
) -> Iterator[list[Recorded]]:
    """What is new, again and again as long as it is watched."""
    kind, _, path = settings.url.partition(":")
    if kind == "imaps":
        yield from _of_imap(incoming, settings, since, watch=watch)
        return
    source = Maildir(root / path) if kind == "maildir" else Mbox(root / path)
    while True:
        incoming.log.tidy()  # what a dead run had in hand is so no more
        told = _Told()
        mails = source.mails(incoming.known_places(source.name) if kind == "maildir" else set())
        yield list(read_into(incoming, mails, source.name, told=told))
        if not watch:
            return
        time.sleep(_POLL_SECONDS)


def _of_imap(
    incoming: Incoming, settings: Inbox, since: str, *, watch: bool
) -> Iterator[list[Recorded]]:
    from petition.inbox.imap import Imap

    with Imap(settings.url, settings.password_command) as box:
        while True:
            incoming.log.tidy()  # what a dead run had in hand is so no more
            known = incoming.position(box.name)
            # Another UIDVALIDITY: the numbers mean other mails now, and all are looked at again.
            after = known[1] if known and known[0] == box.validity else 0
            told = _Told(box.count(after, since))
            mails = box.mails(after, since)
            yield list(read_into(incoming, mails, box.name, box.validity, told))
            if not watch:
                return
            box.wait()


class _Told:
    """Tells now and then how far a long inbox is read.

    Args:
        total: How many mails there are, where that is known.
    """

    def __init__(self, total: int = 0) -> None:
        self._total = total
        self._done = 0

    def __call__(self) -> None:
        self._done += 1
        if self._done % _TELL_EVERY == 0:
            of = f" of {self._total:,}" if self._total else ""
            console.say_error(f"{self._done:,}{of} mails read")
            sys.stderr.flush()


def _say(new: list[Recorded], incoming: Incoming) -> None:
    ours = [one for one in new if one.copy]
    if not new:
        console.say("Nothing new has come.")
    else:
        kinds = Counter(one.mail.kind or "set aside" for one in ours)
        told = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        of_them = f", {len(ours)} of them about our letters: {told}" if ours else ""
        console.say(f"{console.count(len(new), 'new mail')}{of_them}.")
    if ours:
        console.table(["who", "letter", "what", "so"], [_row(one) for one in ours])
    _say_pile(new, incoming)


def _row(one: Recorded) -> tuple[str, str, str, str]:
    copy, mail = one.copy, one.mail
    assert copy is not None  # noqa: S101 (only those that belong to a copy are shown)
    said = " ".join((mail.words or mail.reason).split())[:80]
    return (
        copy.mailbox,
        copy.letter,
        f"{mail.kind or 'set aside'}: {said}",
        ", ".join(one.effects),
    )


def _say_pile(new: list[Recorded], incoming: Incoming) -> None:
    unmatched = [one for one in new if not one.copy]
    if not unmatched:
        return
    console.say(
        f"{console.count(len(unmatched), 'mail')} could not be matched with a letter and changed"
        f" nothing ({incoming.pile_size():,} so far):"
    )
    console.table(
        ["from", "what", "subject"],
        [
            (one.mail.sender, one.mail.kind or "set aside", one.mail.subject[:60])
            for one in unmatched[:_PILE_SHOWN]
        ],
    )


def _as_json(one: Recorded) -> dict[str, object]:
    mail, copy = one.mail, one.copy
    return {
        "kind": mail.kind,
        "email": copy.mailbox if copy else None,
        "letter": copy.letter if copy else None,
        "matched_by": one.matched_by or None,
        "changed": list(one.effects),
        "status": mail.status,
        "permanent": mail.permanent,
        "reason": mail.reason,
        "words": mail.words,
        "sender": mail.sender,
        "subject": mail.subject,
        "message_id": mail.message_id or None,
    }
