"""petition inbox: reads what comes back."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from petition import mail_parser
from petition.address import is_of
from petition.campaign.settings import Inbox
from petition.cli import output
from petition.cli.workspace import Json
from petition.errors import ExitStatus, ServerTrouble, UsageError
from petition.inbox.classify import explain, set_aside
from petition.inbox.mailboxes import MaildirSource, Mbox, first_mail, mails_in, read_into
from petition.inbox.patterns import Finding
from petition.outbox.inbound import Incoming, Recorded, sent_since
from petition.outbox.log import Log

if TYPE_CHECKING:
    from petition.cli.workspace import Workspace


_POLL_SECONDS = 60
_PAUSE_SECONDS = 5  # before a lost connection is made again; doubled each time that fails
_LONGEST_PAUSE_SECONDS = 600
_TELL_EVERY = 1_000  # mails
_PILE_SHOWN = 20
_OF_PEOPLE = frozenset({"answer", "auto-reply", "unsubscribe"})
_UNCLASSIFIED = "unclassified"
_PLURALS = {"auto-reply": "auto-replies", "set aside": "set aside"}


def listen(log: Log, settings: Inbox, root: Path, *, watch: bool, as_json: bool) -> None:
    """Read the inbox; with `watch` until the person stops it."""
    incoming = Incoming(log)
    since = sent_since(incoming.first_sent())
    if since is None:
        raise UsageError("nothing has been sent yet", "There is nothing to wait an answer for")
    shown = _Shown(incoming, as_json=as_json)
    is_first = True
    try:
        for batch in _batches(incoming, settings, root, since, watch=watch, as_json=as_json):
            if batch is not None:
                shown.add(batch)
                continue
            shown.end(even_nothing=is_first)
            is_first = False
    except ServerTrouble:
        shown.end(even_nothing=False)  # what was written down before it
        raise


def _batches(
    incoming: Incoming, settings: Inbox, root: Path, since: str, *, watch: bool, as_json: bool
) -> Iterator[list[Recorded] | None]:
    """What is new, as it is written down, and None where there is no more for now."""
    kind, _, path = settings.url.partition(":")
    if kind == "imaps":
        yield from _of_imap(incoming, settings, since, watch=watch, as_json=as_json)
        return
    source = MaildirSource(root / path) if kind == "maildir" else Mbox(root / path)
    while True:
        incoming.log.tidy()  # what a dead run had in hand is so no more
        known = incoming.known_places(source.name)
        with _Told(source.count(known), as_json=as_json) as told:
            yield from read_into(incoming, source.mails(known), source.name, told=told)
        yield None
        if not watch:
            return
        time.sleep(_POLL_SECONDS)


def _of_imap(
    incoming: Incoming, settings: Inbox, since: str, *, watch: bool, as_json: bool
) -> Iterator[list[Recorded] | None]:
    """The same of a mailbox of IMAP; who watches is connected again when the connection is lost."""
    from petition.inbox.imap import IdleRefused

    pause = 0
    may_idle = True
    while True:
        try:
            for new in _of_connection(
                incoming, settings, since, watch=watch, as_json=as_json, may_idle=may_idle
            ):
                yield new
                pause = _PAUSE_SECONDS
            return  # noqa: TRY300 (the loop begins anew only after trouble)
        except IdleRefused:
            may_idle = False  # a new connection, which looks every minute
        except ServerTrouble as trouble:
            if not (watch and pause):  # what has never worked does not begin to by itself
                raise
            yield None
            output.say_error(f"{trouble.what}; trying again in {pause} seconds")
            sys.stderr.flush()
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _of_connection(
    incoming: Incoming, settings: Inbox, since: str, *, watch: bool, as_json: bool, may_idle: bool
) -> Iterator[list[Recorded] | None]:
    from petition.inbox.imap import Imap

    with Imap(settings, may_idle=may_idle) as box:
        while True:
            incoming.log.tidy()  # what a dead run had in hand is so no more
            known = incoming.position(box.name)
            # Another UIDVALIDITY: the numbers mean other mails now, and all are looked at again.
            after = known[1] if known and known[0] == box.validity else 0
            with _Told(box.count(after, since), as_json=as_json) as told:
                mails = box.mails(after, since, incoming.timed_out(box.name))
                yield from read_into(incoming, mails, box.name, box.validity, told)
            yield None
            if not watch:
                return
            box.wait()


class _Told:
    """Tells how far a long inbox is read: a bar on a terminal, else now and then a line."""

    def __init__(self, total: int, *, as_json: bool) -> None:
        self._total = total
        self._done = 0
        # What a script reads may go to the same terminal, and a bar would draw over it.
        is_alone = sys.stderr.isatty() and not as_json
        self._bar = output.bar() if is_alone and total >= _TELL_EVERY else None
        self._task = self._bar.add_task("", total=total, tally="mails") if self._bar else None

    def __call__(self) -> None:
        self._done += 1
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self._done)
        elif self._done % _TELL_EVERY == 0:
            of = f" of {self._total:,}" if self._total else ""
            output.say_error(f"{self._done:,}{of} mails read")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


class _Shown:
    """Shows what came: with JSON at once, else when there is no more for now."""

    def __init__(self, incoming: Incoming, *, as_json: bool) -> None:
        self._incoming = incoming
        self._as_json = as_json
        self._forget()

    def _forget(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._ours: list[tuple[str, str, str, str]] = []
        self._others: list[tuple[str, str, str]] = []
        self._other_count = 0

    def add(self, batch: list[Recorded]) -> None:
        """Take in what was written down."""
        for one in batch:
            kind = one.mail.kind or "set aside"
            if self._as_json:
                output.json_line(_recorded_as_json(one))
            elif one.copy:
                self._kinds[kind] += 1
                self._ours.append(_row(one))
            else:
                self._other_count += 1
                if len(self._others) < _PILE_SHOWN:
                    self._others.append((one.mail.sender, kind, one.mail.subject[:60]))

    def end(self, *, even_nothing: bool) -> None:
        """Tell of all that was taken in; where it is nothing, only with `even_nothing`."""
        if self._as_json:
            return
        number = len(self._ours) + self._other_count
        if number:
            told = ", ".join(
                output.count(number, kind, _PLURALS.get(kind, ""))
                for kind, number in self._kinds.items()
            )
            of_them = f", {len(self._ours)} of them about our letters: {told}" if told else ""
            output.say(f"{output.count(number, 'new mail')}{of_them}.")
        elif even_nothing:
            output.say("Nothing new has come.")
        if self._ours:
            output.table(["who", "letter", "what", "so"], self._ours)
            if any(_UNCLASSIFIED in so for *_, so in self._ours):
                output.say("To say what they answered: petition status --answers")
        if self._others:
            output.say(
                f"{output.count(self._other_count, 'mail')} could not be matched with a letter and"
                f" changed nothing ({self._incoming.unmatched_count():,} so far):"
            )
            output.table(["from", "what", "subject"], self._others)
        self._forget()


def _row(one: Recorded) -> tuple[str, str, str, str]:
    copy, mail = one.copy, one.mail
    assert copy is not None  # noqa: S101 (only those that belong to a copy are shown)
    said = " ".join((mail.words or mail.reason).split())[:80]
    # Whoever the letter was passed on to can answer it, and is not the one who was written to.
    is_strange = mail.kind in _OF_PEOPLE and not is_of(mail.sender, copy.mailbox)
    by = f" from {mail.sender}" if is_strange and mail.sender else ""
    return (
        copy.mailbox,
        copy.letter,
        f"{mail.kind or 'set aside'}{by}: {said}",
        ", ".join(one.effects),
    )


def _recorded_as_json(one: Recorded) -> dict[str, object]:
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


def explain_files(files: Iterable[str], *, as_json: bool) -> ExitStatus:
    """Say of each file what it is, one after the other, and record nothing."""
    status = ExitStatus.DONE
    for file in files:
        try:
            data = _read(file)
        except (OSError, ValueError) as fault:
            what = (fault.strerror if isinstance(fault, OSError) else None) or "no such file"
            output.say_error(f"{file}: {what}. Name a file that holds one mail.")
            status = ExitStatus.PROBLEMS
            if as_json:
                output.json_line(_finding_as_json(file, set_aside(f"not read: {what}")))
            continue
        if number := _more_mails(data):
            output.say_error(f"{file}: the first of {number:,} mails. A file is for one mail.")
        found = explain(first_mail(data))
        if as_json:
            output.json_line(_finding_as_json(file, found))
        else:
            _say(file, found)
    return status


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(mail_parser.BYTES + 1)
    with Path(file).open("rb") as opened:
        return opened.read(mail_parser.BYTES + 1)


def _more_mails(data: bytes) -> int:
    """How many mails an mbox file holds, where there are several."""
    number = mails_in(data)
    return number if number > 1 else 0


def _finding_as_json(file: str, found: Finding) -> dict[str, object]:
    return {
        "file": file,
        "kind": found.kind,
        "recipient": found.recipient,
        "status": found.status,
        "permanent": found.permanent,
        "reason": found.reason,
    }


def _say(file: str, found: Finding) -> None:
    kind = str(found.kind or "set aside")
    if found.permanent is not None:
        kind += ", permanent" if found.permanent else ", not permanent"
    output.say(f"{output.clean(file)}: {kind}")
    who = " ".join(output.clean(one) for one in (found.recipient, found.status) if one)
    if who:
        output.say(f"    {who}")
    output.say(f"    {output.clean(found.reason.removeprefix('set aside: '))}", "dim")


def inbox(
    context: typer.Context,
    file: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Mails for --explain.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what the mails in FILE are; record nothing.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Read what is there (the default).")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on reading what comes.")] = False,
    unmatched: Annotated[
        bool, typer.Option("--unmatched", help="List the mails that belong to no letter.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read what comes back: bounces, answers and requests to leave."""
    from petition.cli.workspace import Workspace
    from petition.errors import UsageError

    if explain and (once or watch or unmatched):
        hint = "Leave --once, --watch and --unmatched out"
        raise UsageError("--explain reads files, not the inbox", hint)
    if once and watch:
        raise UsageError("--once and --watch are two wishes", "Choose one of them")
    if explain:
        if not file:
            raise UsageError("--explain needs a file", "Name the mails, such as mail.eml")
        raise typer.Exit(explain_files(file, as_json=as_json))
    if file:
        raise UsageError("a file alone is not understood", "Write --explain before it")
    if unmatched and (once or watch):
        raise UsageError("--unmatched reads the log, not the inbox", "Leave --once and --watch out")
    with Workspace.open(context, writes=not unmatched) as place:
        if unmatched:
            from petition.cli.answer import show_unmatched

            show_unmatched(place, as_json=as_json)
            return
        _listen(place, watch=watch, as_json=as_json)


def _listen(place: "Workspace", *, watch: bool, as_json: bool) -> None:
    from petition.errors import UsageError
    from petition.trust import Part

    settings = place.settings.inbox
    if settings is None:
        hint = 'Name it in petition.toml: [inbox] and under it url = "imaps://user@host/INBOX"'
        raise UsageError("no inbox is set", hint)
    place.allow(Part.LOG, Part.INBOX, asks=not as_json)
    log = place.existing_log
    listen(log, settings, place.root, watch=watch, as_json=as_json)
    if not as_json:
        place.say_which()
