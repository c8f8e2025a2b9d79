"""What a command works on: the campaign folder, its server, its log, the copies it names.

What is held about a person may be in the log of the rehearsals too.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from petition.address import folded, parse_address
from petition.campaign.server import Server, database_of
from petition.cli import output
from petition.errors import AddressRefused, CampaignError, LogUnusable, PetitionError, UsageError
from petition.outbox.known_logs import Doubt
from petition.outbox.log import Log
from petition.outbox.models import Copy

if TYPE_CHECKING:
    from petition.campaign.folder import Campaign
    from petition.campaign.settings import LoadedSettings, Settings
    from petition.trust import Part, Request


Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for a script.")]
Csv = Annotated[bool, typer.Option("--csv", help="CSV on stdout, for a spreadsheet.")]
Letter = Annotated[str, typer.Argument(metavar="LETTER", help="The letter's name.")]

ThisLog = Annotated[
    bool,
    typer.Option(
        "--this-log", help="Go on with this log, though it is new here or not the newest known."
    ),
]


def one_format(*, as_json: bool, as_csv: bool) -> None:
    """Refuse two formats at once."""
    if as_json and as_csv:
        raise UsageError("--json and --csv are two formats", "Choose one of them")


class Workspace:
    """A campaign folder, of which each part is opened when it is first asked for.

    Args:
        root: The folder.
        writes: The command changes the log; one that does not makes and upgrades none either.
        reads_on: Where petition.toml has errors, go on with what can be read of it.
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
        """What a command works on; its log is closed when the block is left.

        Args:
            context: The command's context, whose `obj` is the campaign folder.
            writes: The command changes the log; one that does not makes and upgrades none either.
            reads_on: Where petition.toml has errors, go on with what can be read of it.
        """
        root = context.find_object(Path) or Path.cwd()
        place = cls(root, writes=writes, reads_on=reads_on)
        with place._closing:
            yield place

    @cached_property
    def settings(self) -> "Settings":
        """What petition.toml says.

        Raises:
            CampaignError: It is not there, or something in it is wrong: any key could decide which
                log and which server are meant.
        """
        if self._reads_on:
            return self.campaign.settings
        if self._loaded.settings is None or self._loaded.has_errors:
            raise CampaignError(self._loaded.problems)
        return self._loaded.settings

    @cached_property
    def _loaded(self) -> "LoadedSettings":
        from petition.campaign.folder import read_settings

        return read_settings(self.root)

    @cached_property
    def campaign(self) -> "Campaign":
        """The loaded campaign, with the problems of its files.

        Raises:
            CampaignError: petition.toml is not there or cannot be read.
        """
        from petition.campaign.folder import load_campaign

        return load_campaign(self.root, self._loaded)

    @property
    def files(self) -> set[str]:
        """The files of petition.toml and of the lists that it names, relative to the folder."""
        from petition.campaign.folder import SETTINGS_FILE

        known = vars(self).get("campaign")  # not to be loaded for this, and it may be broken
        lists = known.settings.people.values() if known else ()
        return {SETTINGS_FILE, *(name.partition("#")[0] for name in lists)}

    @cached_property
    def server(self) -> "Server | None":
        """The server that `send` would use now; None: the sandbox.

        Raises:
            UsageError: What names it is wrong.
        """
        from petition.campaign.server import find_server

        return find_server(self.settings.smtp, os.environ)

    @cached_property
    def url(self) -> str:
        """The address of the log that `send` would use now."""
        from petition.campaign.server import database_of

        return database_of(self.settings, os.environ, self.root, self.server)

    def url_of(self, database: str) -> str:
        """The address of another database, as PETITION_DATABASE would name it."""
        from petition.campaign.server import database_of

        environ = {"PETITION_DATABASE": database}
        return database_of(self.settings, environ, self.root, self.server)

    @property
    def is_rehearsal(self) -> bool:
        """Whether letters go to the sandbox, and nobody receives anything."""
        return self.server is None

    @property
    def log_file(self) -> Path | None:
        """The log's file, whether it is there or not; None: the log is in a server's database."""
        from petition.outbox.database import file_of

        return file_of(self.url)

    @property
    def log_name(self) -> str:
        """The log as a person would name it."""
        from petition.outbox.database import where

        return where(self.url)

    @cached_property
    def log(self) -> "Log":
        """The log, made where there is none; what a dead run left in it has its true state.

        Raises:
            LogUnusable: It cannot be opened, or there is none and the command only looks.
        """
        log = self.open_log(self.url)
        log.tidy()
        return log

    def open_log(self, url: str, *, even_closed: bool = False) -> "Log":
        """A log, which is closed with this place."""
        from petition.outbox.log import Log

        self._allow_log(url)
        log = Log(
            url,
            even_closed=even_closed,
            looks=not self._writes,
            first_key=lambda: self._first_key(url),
            rehearses=self._is_of_rehearsals(url),
            folder=self.root,
        )
        self._closing.enter_context(log)
        _say_upgraded(log)
        return log

    @cached_property
    def log_or_stand_in(self) -> "Log":
        """The log, or for who only looks and finds none an empty one that is gone afterwards."""
        if log := self.log_if_any:
            return log
        from tempfile import TemporaryDirectory

        from petition.outbox.log import Log

        folder = self._closing.enter_context(TemporaryDirectory(prefix="petition-"))
        log = Log(
            f"sqlite:///{folder}/petition.db",
            first_key=lambda: self._first_key(self.url),
            rehearses=True,
        )
        return self._closing.enter_context(log)

    def _first_key(self, url: str) -> bytes:
        """The key of a log that has none yet.

        It is kept from the first look on: what a preview shows before there is a log is what is
        sent when there is one (Message-IDs are made with the key). The log takes it for its own: if
        that is lost, the next one has another key, and is known as another log.
        """
        from petition.identity import new_key
        from petition.outbox.database import where
        from petition.user_state import UserStateUnusable, changed_state

        name, key = f"{self.root.resolve()} {where(url)}", new_key()
        try:
            with changed_state("first_keys.json") as keys:
                kept = keys.setdefault(name, key.hex())
                if self._writes:
                    del keys[name]
                return bytes.fromhex(kept)
        except UserStateUnusable:
            return key

    def has_log(self, url: str) -> bool:
        """Whether there is a log; nothing is made."""
        from petition.outbox.log import is_there

        self._allow_log(url)
        return is_there(url)

    def unconfirmed(self, *parts: "Part") -> "list[Request]":
        """What the folder asks for of these parts, and the person has not confirmed."""
        from petition.trust import requests, unconfirmed

        asked = requests(self.settings, os.environ, self.root)
        return unconfirmed([one for one in asked if one.part in parts], self.root)

    def allow(self, *parts: "Part", asks: bool = True) -> None:
        """Let nothing of these parts be used that the folder asks for and nobody has confirmed.

        Args:
            parts: What the command is about to use.
            asks: The person at the terminal may be asked.

        Raises:
            UsageError: There is something, and it was not confirmed.
        """
        from petition.cli import output

        if not (new := self.unconfirmed(*parts)):
            return
        if not (asks and output.can_ask()):
            keys = ", ".join(one.key for one in new)
            raise UsageError(
                f"nothing was done: you have not confirmed what this folder asks for ({keys})",
                "Look at it and confirm it with petition trust",
            )
        output.say("This folder asks for something that you have not confirmed:")
        show_requests(new, new)
        confirm_requests(new, self.root)

    def _allow_log(self, url: str) -> None:
        """Let no log be opened that is elsewhere, and that the folder alone names."""
        from petition.outbox.database import where
        from petition.trust import LogUntrusted, Part

        if self._is_of_rehearsals(url):
            return
        if self._writes:
            self.allow(Part.LOG)
        elif self.unconfirmed(Part.LOG):
            raise LogUntrusted(where(url))

    def _is_of_rehearsals(self, url: str) -> bool:
        from petition.campaign.server import database_of

        return url == database_of(self.settings, {}, self.root, None)

    @property
    def log_if_any(self) -> "Log | None":
        """The log, or None where there is none yet: whoever only looks makes no files."""
        return self.log if self.has_log(self.url) else None

    @property
    def existing_log(self) -> "Log":
        """The log, which must be there."""
        if log := self.log_if_any:
            return log
        raise self._no_log()

    @property
    def log_to_move(self) -> "Log":
        """The same, also where a move that was broken off has closed it."""
        if not self.has_log(self.url):
            raise self._no_log()
        self.log = self.open_log(self.url, even_closed=True)
        return self.log

    def _no_log(self) -> UsageError:
        here = f"no {self.log_file.name} here" if self.log_file else f"no log in {self.log_name}"
        return UsageError("nothing has been sent yet", f"There is {here}")

    @property
    def doubt(self) -> "Doubt | None":
        """Why `send` asks first whether this is the right log; None: it does not."""
        from petition.outbox.known_logs import doubt_of

        if self.is_rehearsal:
            return None
        log = self.log_if_any
        return doubt_of(log.database if log else None, self.url, self.root)

    def vouch(self, *, this_log: bool, only_tells: bool = False) -> None:
        """Before letters leave, are queued again or moved: stop if this may be the wrong log."""
        if not (doubt := self.doubt):
            return
        if only_tells:
            would_stop(doubt)
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
        from petition.errors import LogUnusable
        from petition.outbox.inbound import count_noted

        try:
            count_noted(self.log, self.noted_clicks)
        except OSError as fault:
            raise LogUnusable(
                f"{self.noted_clicks.name} cannot be read: {fault.strerror}",
                "It holds clicks of people who left the list; look at who may read it",
            ) from None

    def say_which(self) -> None:
        """Name the log, and say plainly when it is that of a rehearsal."""
        from petition.cli import output

        output.say(f"Log: {self.log_name}", "dim")
        self.say_rehearsal()

    def say_rehearsal(self) -> None:
        """Say plainly when nobody received anything."""
        from petition.cli import output

        if self.is_rehearsal:
            has_outbox = (self.root / OUTBOX).is_dir()
            output.say(REHEARSAL.format(f" (see ./{OUTBOX})" if has_outbox else ""), "yellow")


def _say_upgraded(log: "Log") -> None:
    """Say that opening a log has upgraded it, and where it is as it was; stdout may be JSON."""
    from petition.cli import output

    if done := log.database.upgraded:
        kept = f"; as it was before, it is kept in {done.kept}" if done.kept else ""
        output.say_error(f"Upgraded {log.where} from schema {done.before} to {done.after}{kept}.")


_NOTHING = "Nothing was done"


def letter_name(place: Workspace, text: str) -> str:
    """The name of a letter that the log knows, or that is in the campaign."""
    name = text.removeprefix("letters/").removesuffix(".md")
    known = place.log_if_any.letters() if place.log_if_any else []
    if name in known:
        return name
    from petition.checks.campaign import find_letter  # a letter that the log has needs no files

    try:
        return find_letter(place.campaign, name).name
    except CampaignError:
        there = ", ".join(known) or "none"
        raise UsageError(f'there is no letter "{text}"', f"Letters in the log: {there}") from None


def copies_named(
    place: Workspace,
    letter: str,
    texts: Iterable[str] | None,
    fits: Callable[[Copy], bool],
    what: str,
) -> tuple[str, list[str] | None]:
    """The letter and the addresses of a command that moves copies of one letter."""
    name = letter_name(place, letter)
    boxes = addresses(texts or [])
    require(place.existing_log, [name], boxes, fits, what)
    return name, boxes or None


def addresses(texts: Iterable[str]) -> list[str]:
    """Addresses as the log has them, each once, in the order in which they were typed.

    Raises:
        UsageError: One of them is no address.
    """
    try:
        boxes = [parse_address(text).addr_spec for text in texts]
        return list({folded(box): box for box in reversed(boxes)}.values())[::-1]
    except AddressRefused as refusal:
        raise UsageError(refusal.what, f"{refusal.hint}. {_NOTHING}") from None


def require(
    log: Log,
    letters: Collection[str],
    asked: Iterable[str],
    fits: Callable[[Copy], bool],
    what: str,
    *,
    newest: bool = True,
) -> None:
    """Make sure that every address has a copy that the command is for.

    Args:
        log: The log.
        letters: The letters that count.
        asked: Addresses as the log has them.
        fits: Whether a copy is one that the command is for.
        what: What such a copy is called: `uncertain`.
        newest: Only the newest copy of each letter counts.

    Raises:
        UsageError: Some have none; for each it says what they have.
    """
    faults = []
    for mailbox in asked:
        copies = [copy for letter in letters for copy in log.copies_to(letter, mailbox)]
        if newest:
            copies = list({(copy.letter, copy.twin): copy for copy in copies}.values())
        if not any(map(fits, copies)):
            states = {copy.letter: copy.state for copy in copies}
            has = ", ".join(f"{letter}: {state}" for letter, state in states.items())
            faults.append(f"{mailbox} ({has or 'not in the log'})")
    if faults:
        raise UsageError(f"no {what} letter to {', '.join(faults)}", _NOTHING)


def engine() -> ModuleType:
    """The module that knows it (sending/job_queue.py)."""
    try:
        from petition.sending import job_queue
    except ImportError as fault:
        raise LogUnusable(
            "workers need a library that is not installed",
            "Run: pip install 'petition[postgres]'",
        ) from fault
    return job_queue


def logs(place: Workspace, *, make: bool) -> list[tuple[Log, Path | None]]:
    """The logs of a campaign, that of the present server first."""
    found: list[tuple[Log, Path | None]] = []
    for is_rehearsal in (place.is_rehearsal, not place.is_rehearsal):
        is_present = is_rehearsal == place.is_rehearsal
        url = _url(place, is_rehearsal=is_rehearsal)
        if place.has_log(url) or (is_present and make):
            outbox = place.root / OUTBOX if is_rehearsal else None
            found.append((place.log if is_present else place.open_log(url), outbox))
    return found


def _url(place: Workspace, *, is_rehearsal: bool) -> str:
    if is_rehearsal == place.is_rehearsal:
        return place.url
    server = None if is_rehearsal else Server(host="localhost", port=25, security="none")
    return database_of(place.settings, os.environ, place.root, server)


def confirm_log(doubt: Doubt) -> None:
    """Ask whether this is the right log; --yes is no answer to that."""
    way = f"{doubt.hint}. If it is the right log, add --this-log; nothing was done"
    if not output.can_ask():
        raise UsageError(doubt.what, way)
    output.say_error(str(PetitionError(doubt.what, doubt.hint)))
    if not output.ask("Is this the right log?"):
        raise UsageError("nothing was done: it was declined")


def would_stop(doubt: Doubt) -> None:
    """Say to whoever only looks that a live `send` would ask."""
    what = f"send would stop here: {doubt.what}"
    output.say_error(str(PetitionError(what, f"{doubt.hint}. If it is right, add --this-log")))


REHEARSAL = "Rehearsal: no mail server is set; nobody received anything{}."
OUTBOX = "outbox"


def show_requests(asked: "Collection[Request]", new: "Collection[Request]") -> None:
    """Show requests, and which of them are new."""
    from petition.cli import output

    output.table(
        ["key", "value", "what petition does with it", ""],
        [(one.key, one.value, one.effect, "new" if one in new else "confirmed") for one in asked],
    )


def confirm_requests(new: "Collection[Request]", root: Path) -> None:
    """Ask the person to confirm what a folder asks for."""
    from petition.trust import confirm

    if not output.can_ask():
        raise UsageError(
            "nothing was confirmed: there is no terminal to ask you in",
            "Run it in a terminal, or add --yes",
        )
    if not output.ask("Do you trust this folder with it?"):
        raise UsageError("nothing was done: you declined")
    confirm(new, root)
