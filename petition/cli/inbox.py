"""petition inbox: reads what comes back."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from petition import mail_parser
from petition.address import is_of
from petition.campaign.settings import Inbox
from petition.cli import output
from petition.cli.answer import show_unmatched
from petition.cli.approve import quoted_words
from petition.cli.next_step import show_held
from petition.cli.service_mails import ServiceRun
from petition.cli.sign_by_mail import DOUBTFUL, SignByMail
from petition.cli.workspace import Json, Workspace
from petition.errors import ExitStatus, PetitionError, ServerTrouble, UsageError
from petition.inbox import Finding, Kind
from petition.inbox.classify import explain, set_aside
from petition.inbox.imap import IdleRefused, Imap
from petition.inbox.mailboxes import (
    Fetched,
    MaildirSource,
    Mbox,
    first_mail,
    mails_in,
    read_into,
    received,
)
from petition.inbox.signing_phrases import Stance, asked_in, stance_of
from petition.oauth import Account, LoginLost
from petition.outbox import service, signatures
from petition.outbox.approvals import Decision
from petition.outbox.inbound import APPROVAL, SIGNATURE, Incoming, Recorded, imap_day
from petition.outbox.log import Log
from petition.outbox.signatures import UNCONFIRMED_DAYS
from petition.outbox.states import State
from petition.sending.service import ServiceResult
from petition.signing import SigningDesk
from petition.trust import Section

_POLL_SECONDS = 60
_PAUSE_SECONDS = 5  # before a lost connection is made again; doubled each time that fails
_LONGEST_PAUSE_SECONDS = 600
_TELL_EVERY = 1_000  # mails
_UNMATCHED_SHOWN = 20
_OF_PEOPLE = frozenset({"answer", "auto-reply", "unsubscribe"})
_UNCLASSIFIED, _HELD = "unclassified", "held"
_PLURALS = {"auto-reply": "auto-replies", "set aside": "set aside"}


def inbox(
    context: typer.Context,
    file: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Mails for --explain.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what the mails in FILE are; record nothing.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Read what is there (the default).")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep reading what comes.")] = False,
    unmatched: Annotated[
        bool, typer.Option("--unmatched", help="List mails that could not be matched to a letter.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read what comes back: bounces, answers and requests to leave."""
    if sum((explain, once, watch, unmatched)) > 1:
        what = "--explain, --once, --watch and --unmatched cannot be combined"
        raise UsageError(what, "Choose one of them")
    if explain != bool(file):
        what = "--explain needs a file" if explain else "a file needs --explain"
        raise UsageError(what, "For example: petition inbox --explain mail.eml")
    if file:
        raise typer.Exit(explain_files(file, as_json=as_json))
    with Workspace.open(context, writes=not unmatched) as place:
        if unmatched:
            show_unmatched(place, as_json=as_json)
            return
        settings = place.settings.inbox
        if settings is None:
            hint = 'Name it in petition.toml: [inbox] and under it url = "imaps://user@host/INBOX"'
            raise UsageError("no inbox is set", hint)
        sends = place.settings.has_service_mails
        parts = (Section.SERVER, Section.SIGNATURE) if sends else ()
        place.allow(Section.LOG, Section.INBOX, *parts, asks=not as_json)
        _listen(place, settings, watch=watch, as_json=as_json)
        if not as_json:
            place.say_which()


def _listen(place: Workspace, settings: Inbox, *, watch: bool, as_json: bool) -> None:
    sign = place.settings.sign
    takes_signatures = bool(sign.mailto or sign.page)
    incoming = Incoming(place.log if takes_signatures else place.existing_log)
    if takes_signatures:
        desk = SigningDesk.of(incoming.log, place.campaign)
        incoming.handlers = (SignByMail(desk, incoming).handle,)
    since = incoming.sent_since()
    if since is None and takes_signatures:
        since = imap_day(incoming.log.clock() - timedelta(days=UNCONFIRMED_DAYS))
    if since is None:
        raise UsageError("nothing has been sent yet", "There can be no answers")
    account = place.settings.inbox_account
    reader = _Reader(incoming, settings, account, place.root, since, watch, as_json)
    post = _Post(place, incoming.log)
    shown = _Shown(place, incoming, post, as_json=as_json, watch=watch)
    is_first = True
    try:
        for batch in reader.batches():
            post.send()
            if batch is not None:
                shown.add(batch)
                continue
            signatures.expire(incoming.log)
            shown.end(even_nothing=is_first)
            is_first = False
    except ServerTrouble:
        post.send()
        shown.end(even_nothing=False)  # what was recorded before it
        raise


class _Post:
    """Sends the service messages that wait; what prevents it does not stop the reading."""

    def __init__(self, place: Workspace, log: Log) -> None:
        self._place = place
        self._log = log
        self._run: ServiceRun | None = None
        self._noted = ""
        self.results: list[ServiceResult] = []  # since they were last told

    def send(self) -> None:
        place = self._place
        if not (place.settings.has_service_mails and service.waits(self._log)):
            return
        try:
            if self._run is None:
                told = self.results.append
                self._run = ServiceRun(place.url, place.settings, place.server, place.root, told)
            self._run.send_now()
            self._noted = ""
        except PetitionError as trouble:
            if self._noted != (noted := str(trouble)):
                output.say_error(f"Service messages wait: {noted}")
                sys.stderr.flush()
            self._noted = noted

    def counts(self) -> Counter[State]:
        """What became of the mails about signatures since this was last asked."""
        found = Counter(
            one.state for one in self.results if one.mail.kind in signatures.SIGNATURE_MAILS
        )
        self.results.clear()
        return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads an inbox, once or until Ctrl-C: what is new, and None when there is no more for now."""

    incoming: Incoming
    settings: Inbox
    account: Account | None
    root: Path
    since: str
    watch: bool
    as_json: bool

    def batches(self) -> Iterator[list[Recorded] | None]:
        """All mail of the inbox."""
        if self.settings.is_imap:
            yield from self._of_imap()
            return
        kind, _, path = self.settings.url.partition(":")
        source = MaildirSource(self.root / path) if kind == "maildir" else Mbox(self.root / path)
        while True:
            self.incoming.log.tidy()  # what a dead run had marked is uncertain now
            known = self.incoming.known_places(source.name)
            with _progress(source.count(known), as_json=self.as_json) as progress:
                yield from read_into(self.incoming, source.mails(known), source.name, told=progress)
            yield None
            if not self.watch:
                return
            time.sleep(_POLL_SECONDS)

    def _of_imap(self) -> Iterator[list[Recorded] | None]:
        """Of an IMAP mailbox; with --watch, a lost connection is made again."""
        pause = 0
        may_idle = True
        while True:
            try:
                for new in self._of_connection(may_idle=may_idle):
                    yield new
                    pause = _PAUSE_SECONDS
                return  # noqa: TRY300 (the loop is repeated only after trouble)
            except IdleRefused:
                may_idle = False  # a new connection, which looks every minute
            except ServerTrouble as trouble:
                if not (self.watch and pause):  # what has never worked will not start to
                    raise
                yield None
                hint = f". {trouble.hint}" if isinstance(trouble, LoginLost) else ""
                output.say_error(f"{trouble.what}{hint}; trying again in {pause} seconds")
                sys.stderr.flush()
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _of_connection(self, *, may_idle: bool) -> Iterator[list[Recorded] | None]:
        incoming = self.incoming
        with Imap(self.settings, self.account, may_idle=may_idle) as box:
            while True:
                incoming.log.tidy()  # what a dead run had marked is uncertain now
                known = incoming.position(box.name)
                # With another UIDVALIDITY, or none, the numbers can mean other mails now, and all
                # are read again (RFC 9051 2.3.1.1).
                after = known[1] if known and known[0] == box.validity != 0 else 0
                with _progress(box.count(after, self.since), as_json=self.as_json) as progress:
                    mails = box.mails(after, self.since, incoming.timed_out(box.name))
                    yield from read_into(incoming, mails, box.name, box.validity, progress)
                yield None
                if not self.watch:
                    return
                box.wait()


@contextmanager
def _progress(total: int, *, as_json: bool) -> Iterator[Callable[[], None]]:
    """Tells how far a long inbox is read: a bar on a terminal, else a line now and then."""
    done = count(1)

    def say() -> None:
        if (number := next(done)) % _TELL_EVERY == 0:
            output.say_error(f"{number:,}{f' of {total:,}' if total else ''} mails read")
            sys.stderr.flush()

    # The JSON may go to the same terminal, and a bar would draw over it.
    if as_json or total < _TELL_EVERY or not sys.stderr.isatty():
        yield say
        return
    with output.bar() as bar:
        task = bar.add_task("", total=total, tally="mails")
        yield lambda: bar.advance(task)


class _Shown:
    """Shows what came when there is no more for now; JSON of --watch at once."""

    def __init__(
        self, place: Workspace, incoming: Incoming, post: _Post, *, as_json: bool, watch: bool
    ) -> None:
        self._place = place
        self._incoming = incoming
        self._post = post
        self._as_json = as_json
        self._watch = watch
        self._objects: list[dict[str, object]] = []
        self._forget()

    def _forget(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._ours: list[tuple[str, str, str, str]] = []
        self._others: list[tuple[str, str, str]] = []
        self._of_signatories: list[tuple[str, str, str]] = []
        self._of_approvers: list[Recorded] = []
        self._other_count = self._others_leave = 0
        self._is_held = self._is_other_held = False

    def add(self, batch: list[Recorded]) -> None:
        for one in batch:
            kind = one.mail.kind or "set aside"
            is_held = _HELD in one.effects
            self._is_held = self._is_held or is_held
            if self._as_json and self._watch:
                output.json_line(self._place.origin | _recorded_json(one))
            elif self._as_json:
                self._objects.append(_recorded_json(one))
            elif one.copy:
                self._kinds[kind] += 1
                self._ours.append(_row(one))
            elif one.matched_by == APPROVAL:
                self._of_approvers.append(one)
            elif one.matched_by == SIGNATURE or DOUBTFUL in one.effects:
                result = ", ".join(one.effects)
                self._of_signatories.append((one.mail.sender, one.mail.reason, result))
            elif kind != Kind.REPORT:
                self._other_count += 1
                self._is_other_held = self._is_other_held or is_held
                may_leave = kind == Kind.UNSUBSCRIBE or one.mail.may_leave
                self._others_leave += may_leave and not is_held
                if len(self._others) < _UNMATCHED_SHOWN:
                    self._others.append(
                        (one.mail.sender, kind, output.fitted(one.mail.subject, 60))
                    )

    def end(self, *, even_nothing: bool) -> None:
        if self._as_json:
            if not self._watch:
                sent = self._post.counts()[State.SENT]
                whole = {"mails": self._objects, "confirmations": sent}
                output.json(self._place.origin | whole)
            return
        number = len(self._ours) + len(self._of_signatories)
        number += len(self._of_approvers) + self._other_count
        if number:
            told = ", ".join(
                output.count(number, kind, _PLURALS.get(kind, ""))
                for kind, number in self._kinds.items()
            )
            some = f", {len(self._ours)} of them" if len(self._ours) < number else ""
            of_them = f"{some} about your letters: {told}" if told else ""
            output.say(f"{output.count(number, 'new mail')}{of_them}.")
        elif even_nothing:
            output.say("No new mail.")
        if self._ours:
            output.table(["who", "letter", "what", "result"], self._ours)
            if any(_UNCLASSIFIED in so for *_, so in self._ours):
                output.say("To classify the answers: petition answer")
        for one in self._of_approvers:
            _say_of_approver(one)
        self._say_signatories()
        self._say_others()
        if self._is_held:
            show_held(self._place.log)
        self._forget()

    def _say_signatories(self) -> None:
        """Say who signed, and which confirmations went."""
        if self._of_signatories:
            output.say(f"{output.count(len(self._of_signatories), 'mail')} about signatures:")
            output.table(["from", "what", "result"], self._of_signatories)
        for state, number in sorted(self._post.counts().items()):
            output.say(f"{output.count(number, 'confirmation mail')} {state}.")
        if any(DOUBTFUL in result for *_, result in self._of_signatories):
            output.say("What is doubtful has changed nothing: read it and write to them.")

    def _say_others(self) -> None:
        """Say what could not be matched to a letter."""
        if not self._others:
            return
        nothing = "" if self._is_other_held else " and changed nothing"
        output.say(
            f"{output.count(self._other_count, 'mail')} could not be matched to a letter"
            f"{nothing} ({self._incoming.unmatched_count():,} so far):"
        )
        output.table(["from", "what", "subject"], self._others)
        output.say("If one of them is an answer: petition inbox --unmatched")
        if self._others_leave:
            output.say(
                f"{self._others_leave:,} of them may ask for no more letters: find out to which"
                " address you wrote, then petition suppress ADDR"
            )


def _say_of_approver(one: Recorded) -> None:
    """Say what an approver wrote, and what to do next."""
    who, words = one.mail.sender, quoted_words(one.mail.words)
    if Decision.APPROVED in one.effects:
        output.say(f"{who} approved {one.letter}. Next: petition send {one.letter}", output.GOOD)
    elif Decision.REFUSED in one.effects:
        output.say(f"{who} stopped {one.letter}: {words}", output.BAD)
    else:
        output.say(f"{who} wrote about {one.letter}, and neither approved nor stopped it: {words}")
        output.say("If they approve: ask them for the code, then petition approve CODE")


def _row(one: Recorded) -> tuple[str, str, str, str]:
    copy, mail = one.copy, one.mail
    assert copy is not None  # noqa: S101 (only mails about a copy are shown)
    said = output.fitted(" ".join((mail.words or mail.reason).split()), 80)
    # Somebody whom the letter was passed on to can answer it.
    is_strange = mail.kind in _OF_PEOPLE and not is_of(mail.sender, copy.mailbox)
    by = f" from {mail.sender}" if is_strange and mail.sender else ""
    return (
        copy.mailbox,
        copy.letter,
        f"{mail.kind or 'set aside'}{by}: {said}",
        ", ".join(one.effects),
    )


def _recorded_json(one: Recorded) -> dict[str, object]:
    mail, copy = one.mail, one.copy
    return {
        "kind": mail.kind,
        "email": copy.mailbox if copy else None,
        "letter": copy.letter if copy else one.letter or None,
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
    """Say what each file is, and record nothing."""
    status = ExitStatus.DONE
    for file in files:
        try:
            data = _read(file)
        except (OSError, ValueError) as fault:
            what = (fault.strerror if isinstance(fault, OSError) else None) or "no such file"
            output.say_error(f"{file}: {what}. Name a file with one mail in it.")
            status = ExitStatus.PROBLEMS
            if as_json:
                aside = _finding_json(file, set_aside(f"not read: {what}"))
                output.json_line(aside | {"signing": None})
            continue
        if (number := mails_in(data)) > 1:
            output.say_error(f"{file}: read only the first of {number:,} mails.")
        mail = first_mail(data)
        found, signing = explain(mail), _signing_in(mail)
        if as_json:
            output.json_line(_finding_json(file, found) | {"signing": signing})
        else:
            _say(file, found)
            if signing:
                output.say(f"    {_SIGNING[signing]}")
    return status


_SIGNING = {
    "signs": "At the address in [sign] mailto it signs, and is asked to confirm.",
    "confirms": "If it is from the mailbox that signed, it confirms that.",
    "declines": "If it is from the mailbox that signed, it takes the signature back.",
    "unclear": "It has a code, but does not clearly confirm a signature: a person must decide.",
}


def _signing_in(data: bytes) -> str | None:
    """What a mail would be for the signatures; the key of a text in _SIGNING."""
    mail = received(Fetched("", data), "")
    if mail.kind not in {Kind.ANSWER, Kind.UNSUBSCRIBE} or mail.is_to_many:
        return None
    if mail.codes:
        is_request = mail.kind == Kind.UNSUBSCRIBE
        return (Stance.DECLINES if is_request else stance_of(mail.words, mail.subject)).value
    return "signs" if asked_in(mail.subject, mail.words, mail.display_name) else None


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(mail_parser.BYTES + 1)
    with Path(file).open("rb") as opened:
        return opened.read(mail_parser.BYTES + 1)


def _finding_json(file: str, found: Finding) -> dict[str, object]:
    names = ("kind", "recipient", "status", "permanent", "reason")
    return {"file": file} | {name: getattr(found, name) for name in names}


def _say(file: str, found: Finding) -> None:
    kind = str(found.kind or "set aside")
    if found.permanent is not None:
        kind += ", permanent" if found.permanent else ", not permanent"
    output.say(f"{output.clean(file)}: {kind}")
    who = " ".join(output.clean(one) for one in (found.recipient, found.status) if one)
    if who:
        output.say(f"    {who}")
    output.say(f"    {output.clean(found.reason.removeprefix('set aside: '))}")
    if found.may_leave:
        output.say("    It may ask for no more letters: a person must decide.")
