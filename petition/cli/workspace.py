"""What a command works on: the campaign folder, its server, its log."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Annotated

import typer

from petition.address import folded, parse_address
from petition.campaign.folder import Campaign, load_campaign, name_of_letter, read_settings
from petition.campaign.people import Choice, Known
from petition.campaign.server import Server, database_of, find_server
from petition.campaign.settings import LoadedSettings, Settings
from petition.cli import output
from petition.errors import AddressRefused, CampaignError, LogUnusable, PetitionError, UsageError
from petition.extras import how_to_install
from petition.identity import new_key
from petition.outbox.database import file_of, where
from petition.outbox.known_logs import Doubt, doubt_of
from petition.outbox.log import Log, is_there
from petition.outbox.models import Counts
from petition.outbox.sent_file import FILE as SENT_FILE
from petition.outbox.sent_file import read_sent
from petition.outbox.signatures import signatures
from petition.outbox.states import State
from petition.outbox.unsubscribe import count_clicks
from petition.trust import LogUntrusted, Request, Section, confirm, requests, unconfirmed
from petition.user_state import UserStateUnusable, changed_state

OUTBOX = "outbox"  # the sandbox's Maildir, in the campaign folder

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, for scripts.")]
Csv = Annotated[bool, typer.Option("--csv", help="Write CSV to stdout, for a spreadsheet.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Skip the confirmation (for scripts).")]
LetterName = Annotated[
    str | None,
    typer.Argument(metavar="LETTER", help="Its name or file; without it, list the letters."),
]
WHO = "an address, an id, a name, FILE:LINE or a row number"
ThisLog = Annotated[
    bool,
    typer.Option("--this-log", help="Use this log even if it is new here or not the newest."),
]


def one_format(*, as_json: bool, as_csv: bool) -> None:
    """Refuse two formats at once."""
    if as_json and as_csv:
        raise UsageError("--json and --csv cannot be combined", "Choose one of them")


class Workspace:
    """A campaign folder, of which each part is opened when it is first asked for.

    A command that does not write makes and upgrades no log; one that `reads_on` goes on with what
    can be read of a petition.toml with errors.
    """

    def __init__(self, root: Path, *, writes: bool = False, reads_on: bool = False) -> None:
        self.root = root
        self._writes = writes
        self._reads_on = reads_on
        self._closing = ExitStack()

    @classmethod
    @contextmanager
    def open(
        cls, context: typer.Context, *, writes: bool = False, reads_on: bool = False
    ) -> Iterator["Workspace"]:
        """The workspace of a command; its log is closed when the block is left."""
        place = cls(context.find_object(Path) or Path.cwd(), writes=writes, reads_on=reads_on)
        with place._closing:
            yield place

    @cached_property
    def settings(self) -> Settings:
        """What petition.toml says; an error in it stops, since any key could name the log."""
        if self._reads_on:
            return self.campaign.settings
        if self._loaded.settings is None or self._loaded.has_errors:
            raise CampaignError(self._loaded.problems)
        return self._loaded.settings

    @cached_property
    def _loaded(self) -> LoadedSettings:
        return read_settings(self.root)

    @cached_property
    def campaign(self) -> Campaign:
        """The loaded campaign, with the problems of its files."""
        return load_campaign(self.root, self._loaded)

    @cached_property
    def server(self) -> Server | None:
        """The server that `send` would use now; None: the sandbox."""
        return find_server(self.settings.smtp, os.environ, self.settings.client)

    @property
    def is_rehearsal(self) -> bool:
        """Whether letters go to the sandbox, and nobody receives anything."""
        return self.server is None

    @cached_property
    def url(self) -> str:
        """The address of the log that `send` would use now."""
        return database_of(self.settings, os.environ, self.root, self.server)

    @property
    def rehearsal_url(self) -> str:
        """The address of the log of the rehearsals."""
        return database_of(self.settings, {}, self.root, None)

    @property
    def origin(self) -> dict[str, object]:
        """What every JSON object says first: whether anybody received anything, and which log."""
        return {"rehearsal": self.is_rehearsal, "log": self.log_name}

    @property
    def log_file(self) -> Path | None:
        """The log's file, whether it exists or not; None: the log is in PostgreSQL."""
        return file_of(self.url)

    @property
    def log_name(self) -> str:
        """The log as a person would name it."""
        return where(self.url)

    @cached_property
    def log(self) -> Log:
        """The log, made if need be and if the command writes; what a dead run left is put right."""
        log = self.open_log(self.url)
        log.tidy()
        return log

    def open_log(self, url: str, *, even_closed: bool = False) -> Log:
        """A log, which is closed with this workspace."""
        self._allow_log(url)
        log = Log(
            url,
            even_closed=even_closed,
            looks=not self._writes,
            first_key=lambda: self._first_key(url),
            rehearses=url == self.rehearsal_url,
            folder=self.root,
        )
        self._closing.enter_context(log)
        if done := log.database.upgraded:  # on stderr: stdout may be JSON
            kept = f"; a copy of the old one is in {done.kept}" if done.kept else ""
            output.say_error(
                f"Upgraded {log.where} from schema {done.before} to {done.after}{kept}."
            )
        return log

    @cached_property
    def log_or_stand_in(self) -> Log:
        """The log, or, if there is none, an empty one that is deleted afterwards."""
        if log := self.log_if_any:
            return log
        folder = self._closing.enter_context(TemporaryDirectory(prefix="petition-"))
        log = Log(
            f"sqlite:///{folder}/petition.db",
            first_key=lambda: self._first_key(self.url),
            rehearses=True,
        )
        return self._closing.enter_context(log)

    def _first_key(self, url: str) -> bytes:
        """The key of a log that has none yet."""
        # It is kept from the first look on: what a preview shows before there is a log is what is
        # sent when there is one (Message-IDs are made with the key). The log then takes it over; if
        # that log is lost, the next one has another key, and is known as another log.
        name, key = f"{self.root.resolve()} {where(url)}", new_key()
        try:
            with changed_state("first_keys.json") as keys:
                kept = keys.setdefault(name, key.hex())
                if self._writes:
                    del keys[name]
                return bytes.fromhex(kept)
        except UserStateUnusable:
            return key

    def unconfirmed(self, *parts: Section) -> list[Request]:
        """What the folder asks for of these parts, and the person has not confirmed."""
        asked = requests(self.settings, os.environ, self.root)
        return unconfirmed([one for one in asked if one.part in parts], self.root)

    def allow(self, *parts: Section, asks: bool = True) -> None:
        """Use nothing of these parts that the folder asks for and nobody has confirmed."""
        if not (new := self.unconfirmed(*parts)):
            return
        if not (asks and output.can_ask()):
            keys = ", ".join(one.key for one in new)
            raise UsageError(
                f"nothing was done: you have not confirmed what this folder asks for ({keys})",
                "Review and confirm it with petition trust",
            )
        output.say("This folder asks for something that you have not confirmed:")
        show_requests(new, new)
        confirm_requests(new, self.root)

    def _allow_log(self, url: str) -> None:
        """Open no log that is elsewhere and that the folder alone names."""
        if url == self.rehearsal_url:
            return
        if self._writes:
            self.allow(Section.LOG)
        elif self.unconfirmed(Section.LOG):
            raise LogUntrusted(where(url))

    def has_log(self, url: str) -> bool:
        """Whether there is a log; none is made."""
        self._allow_log(url)
        return is_there(url)

    @property
    def log_if_any(self) -> Log | None:
        """The log, or None if there is none yet."""
        return self.log if self.has_log(self.url) else None

    @property
    def existing_log(self) -> Log:
        """The log, which must exist."""
        if log := self.log_if_any:
            return log
        raise self._no_log()

    @property
    def log_to_move(self) -> Log:
        """The log, which must exist, even if an interrupted move has closed it."""
        if not self.has_log(self.url):
            raise self._no_log()
        self.log = self.open_log(self.url, even_closed=True)
        return self.log

    def _no_log(self) -> UsageError:
        here = f"no {self.log_file.name} here" if self.log_file else f"no log in {self.log_name}"
        what, hint = "nothing has been sent yet", f"There is {here}"
        if elsewhere := self._elsewhere:
            what, hint = f"{what} from here", f"{hint}. {elsewhere}"
        return UsageError(what, hint)

    @property
    def _elsewhere(self) -> str:
        """Where there is no log: that letters went out all the same."""
        if self.is_rehearsal or not read_sent(self.root):
            return ""
        return f"{SENT_FILE} says that letters went out: get their log from whoever sent them"

    @property
    def doubt(self) -> Doubt | None:
        """Why `send` first asks whether this is the right log; None: it does not."""
        if self.is_rehearsal:
            return None
        log = self.log_if_any
        return doubt_of(log.database if log else None, self.url, self.root)

    def vouch(self, *, this_log: bool, only_tells: bool = False) -> None:
        """Before letters are sent, queued again or moved: stop if this may be the wrong log."""
        if not (doubt := self.doubt):
            return
        if only_tells:
            hint = f"{doubt.hint}. If it is the right log, add --this-log"
            output.say_error(str(PetitionError(f"send would stop here: {doubt.what}", hint)))
            return
        if not this_log:
            confirm_log(doubt)
        self.log.accept()

    @property
    def noted_clicks(self) -> Path:
        """Where `serve` keeps clicks that the log could not take at once."""
        name = self.log_file.name if self.log_file else "petition.db"
        return self.root / f"{name}.clicks"

    def count_noted_clicks(self) -> None:
        """Count the clicks that `serve` could not, so that nobody who left is written to."""
        try:
            count_clicks(self.log, self.noted_clicks)
        except OSError as fault:
            raise LogUnusable(
                f"{self.noted_clicks.name} cannot be read: {fault.strerror}",
                "It holds the clicks of people who left the list; check its permissions",
            ) from None

    def say_which(self) -> None:
        """Name the log, and say so if it is that of a rehearsal."""
        if not self.has_log(self.url) and (elsewhere := self._elsewhere):
            output.say(f"{elsewhere}.", output.CARE)
        output.say(f"Log: {self.log_name}")
        self.say_rehearsal()

    def say_rehearsal(self) -> None:
        """In a rehearsal, say that nobody received anything."""
        if self.is_rehearsal:
            see = f" (see ./{OUTBOX})" if (self.root / OUTBOX).is_dir() else ""
            output.say(
                f"Rehearsal: no mail server is set; nobody received anything{see}.", output.CARE
            )


def named_letter(place: Workspace, command: str, letter: str | None, undone: str) -> str:
    """The letter that was named; UsageError if none was, after a list of the letters."""
    if letter is not None:
        return letter
    letters = place.campaign.letters
    if not letters:
        raise CampaignError(place.campaign.problems)
    log = place.log_if_any
    rows = [
        (name, one.front.to if one.texts else "", _so_far(log.counts(name) if log else None))
        for name, one in sorted(letters.items())
    ]
    output.table(["letter", "to", "so far"], rows)
    place.say_rehearsal()
    hint = f"For example: petition {command} {rows[0][0]}"
    raise UsageError(f"name a letter; {undone}", hint)


def _so_far(counts: Counts | None) -> str:
    if counts is None or not counts.total:
        return "not sent yet"
    return ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state])


def letter_name(place: Workspace, text: str) -> str:
    """The name of a letter that the log knows, or that is in the campaign."""
    known = place.log_if_any.letters() if place.log_if_any else []
    if (name := name_of_letter(text)) in known:  # then its files need not be read
        return name
    try:
        return place.campaign.find_letter(text).name
    except CampaignError:
        there = ", ".join(known) or "none"
        raise UsageError(f'there is no letter "{text}"', f"Letters in the log: {there}") from None


def people_named(
    place: Workspace, texts: Iterable[str], letter: str | None = None, *, several: bool = False
) -> list[str]:
    """The addresses of the people that WHOs mean, each once: of the log first, else of the lists.

    UsageError if one means nobody, or several people. With `several`, for commands that only look,
    it may mean several, and those who signed are known too.
    """
    texts = list(texts)
    choice = Choice(texts)
    if any("@" not in text for text in texts):
        if log := place.log_if_any:
            known = (Known(*one) for one in log.people(letter))
            signed = (Known(one.mailbox, one.entry.name, "") for one in signatures(log))
            choice.look_at(chain(known, signed if several else ()), several=several)
        if not all("@" in text or choice.found(text) for text in texts):
            choice.look_at(_on_lists(place, letter), several=several)
    found: list[str] = []
    for text in texts:
        people = [one.address for one in choice.found(text)]
        if not (people or "@" in text):
            near = choice.nearest(text)
            hint = f"Did you mean {near}" if near else f"Use {WHO}"
            if place.log_if_any and text in place.log_if_any.letters():
                hint = f"That is a letter; use {WHO}"
            raise UsageError(f'nobody in the log or on the list is "{text}"', hint)
        found += people or addresses([text])
    return list({folded(box): box for box in reversed(found)}.values())[::-1]


def _on_lists(place: Workspace, letter: str | None) -> Iterator[Known]:
    """What everybody on the list of a letter, or on any list, can be named by."""
    campaign = place.campaign
    letters = [one for one in campaign.letters.values() if one.texts]
    named = [one for one in letters if one.name == letter]
    for name in dict.fromkeys(one.front.to for one in named or letters):
        if people := campaign.people(name, []):
            yield from people.known()


def addresses(texts: Iterable[str]) -> list[str]:
    """Addresses as the log has them, each once, in the order in which they were typed."""
    try:
        boxes = [parse_address(text).addr_spec for text in texts]
    except AddressRefused as refusal:
        raise UsageError(refusal.what, f"{refusal.hint}. Nothing was done") from None
    return list({folded(box): box for box in reversed(boxes)}.values())[::-1]


def engine() -> ModuleType:
    """The module sending/job_queue.py, whose library may be missing."""
    try:
        from petition.sending import job_queue  # noqa: PLC0415 (needs an extra)
    except ImportError as fault:
        raise LogUnusable(
            "workers need a library that is not installed",
            how_to_install("postgres"),
        ) from fault
    return job_queue


def confirm_log(doubt: Doubt) -> None:
    """Ask whether this is the right log; --yes does not answer that."""
    if not output.can_ask():
        hint = f"{doubt.hint}. If it is the right log, add --this-log; nothing was done"
        raise UsageError(doubt.what, hint)
    output.say_error(str(PetitionError(doubt.what, doubt.hint)))
    output.confirm("Is this the right log?", "nothing was done")


def show_requests(asked: Collection[Request], new: Collection[Request]) -> None:
    """Show requests, and which of them are new."""
    output.table(
        ["key", "value", "what petition does with it", ""],
        [(one.key, one.value, one.effect, "new" if one in new else "confirmed") for one in asked],
    )


def confirm_requests(new: Collection[Request], root: Path) -> None:
    """Ask the person to confirm what a folder asks for."""
    output.confirm("Do you trust this folder with it?", "nothing was done")
    confirm(new, root)
