"""petition check: everything that is wrong, in all files at once."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from petition.address import folded
from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.pace import PaceSettings
from petition.campaign.people import Person
from petition.campaign.server import Server, ServerMisnamed
from petition.checks import campaign as campaign_checks
from petition.checks.campaign import Examined, examine, in_order
from petition.checks.letter import is_live, unchanged
from petition.cli import output
from petition.cli.problems import show_problems
from petition.cli.provider import providers
from petition.cli.send_plan import fallback_lines
from petition.cli.workspace import Json, Workspace
from petition.credentials import SecretSource
from petition.errors import (
    CampaignError,
    ExitStatus,
    Level,
    LogUnusable,
    PetitionError,
    Problem,
    ServerTrouble,
    UsageError,
)
from petition.identity import Signer, new_key
from petition.merge.message import Merger
from petition.oauth import find_login, has_login
from petition.outbox.expiry import expired
from petition.outbox.log import Log
from petition.outbox.states import MAY_HAVE_ARRIVED, State
from petition.planning.follow_up import FollowUp, following_of
from petition.planning.plan import SendOptions, last_in, plan_of, suppose_as_frozen, text_to_send
from petition.planning.prepare import KEEP_BYTES_UP_TO, campaign_id_of, suppressed_copies
from petition.planning.selection import check_list
from petition.planning.signatories import prune_signatories
from petition.smtp.dkim import KeyRefused, load_key, public_record
from petition.smtp.login import secret_of
from petition.trust import LogUntrusted, Section
from petition.user_state import UserStateUnusable

if TYPE_CHECKING:
    from petition.checks.sender import Limits, Visit

SIGNATURE_BYTES = 1_200  # of the header DKIM-Signature, at most
_REPLACES_MESSAGE_ID = ".amazonaws.com"  # the end of such servers' names
ENVIRONMENT = "environment"  # in place of a file, for environment variables


def check(
    context: typer.Context,
    letter: Annotated[
        list[str] | None,
        typer.Argument(metavar="LETTER", help="Only these letters (default: all)."),
    ] = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Ask DNS and the mail server too; nothing is sent."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Find everything that is wrong, in all files at once."""
    with Workspace.open(context, reads_on=True) as place:
        inspection = inspect(place, letter or [], online=online, asks=not as_json)
        found = [*inspection.problems, *inspection.online]
        if as_json:
            origin = {"rehearsal": inspection.is_rehearsal, "log": inspection.log}
            output.json({**origin, "problems": map(output.json_of, found)})
        else:
            show_problems(found)
            _sum_up(inspection)
            if errors := inspection.online_errors:  # the last word, even if the files are ready
                said = f"{output.count(errors, 'error')} online: letters may not arrive."
                output.say(said, "bold")
            if inspection.is_rehearsal:
                place.say_rehearsal()
    if inspection.is_refused:
        raise typer.Exit(ExitStatus.SERVER)
    if inspection.errors or inspection.online_errors:
        raise typer.Exit(ExitStatus.PROBLEMS)
    held, is_all = inspection.held.keys(), len(inspection.held) == inspection.letters
    stops = is_all if held == inspection.waits else bool(held)
    raise typer.Exit(ExitStatus.NOTHING_DONE if held and stops else ExitStatus.DONE)


@dataclass
class Inspection:
    """A look at everything that letters are made of, and what was found."""

    place: Workspace
    measures: bool = False  # how large the copies are
    problems: list[Problem] = field(default_factory=list)
    letters: int = 0
    lists: dict[str, int] = field(default_factory=dict)  # people on each
    fallbacks: list[str] = field(default_factory=list)  # who gets a letter in another language
    is_rehearsal: bool = False
    server_is_known: bool = False
    log: str | None = None  # None: it is not clear which one that is
    held: dict[str, str] = field(default_factory=dict)  # letters without errors, and what they need
    waits: set[str] = field(default_factory=set)  # of these: follow-ups to letters nobody has got
    idle: dict[str, str] = field(default_factory=dict)  # letters that would go to nobody, and why
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each letter's largest copy
    recipients: dict[str, int] = field(default_factory=dict)
    is_refused: bool = False  # the server could not be reached or refused the login
    online: list[Problem] = field(default_factory=list)  # what DNS and the server said

    @property
    def people(self) -> int:
        """How many there are; a list that several letters go to counts once."""
        return sum(self.lists.values())

    @property
    def errors(self) -> int:
        """How many problems stop a letter from being sent."""
        return sum(problem.count for problem in self.problems if problem.is_error)

    @property
    def warnings(self) -> int:
        """How many of all problems are warnings."""
        found = (*self.problems, *self.online)
        return sum(problem.count for problem in found if problem.level is Level.WARNING)

    @property
    def online_errors(self) -> int:
        """How many problems stop letters from arriving, though not from being sent."""
        return sum(problem.is_error for problem in self.online)

    def look(self, names: list[str]) -> None:
        """Look at some letters, or at all."""
        campaign = self.place.campaign
        letters = [campaign.find_letter(name).name for name in names]
        if not names:
            self.problems += campaign.problems
        log = None if self._is_without_its_server() else self._open_log()
        campaign_id = self._campaign_id(campaign, log)
        if log:
            prune_signatories(campaign, log)
        for name in letters or sorted(campaign.letters):
            self.letters += 1
            self._look_at(name, log, campaign_id)
        if not names:
            self.problems += _not_to_publish(campaign)

    def _look_at(self, name: str, log: Log | None, campaign_id: str) -> None:
        campaign = self.place.campaign
        server = self.place.server if self.server_is_known else None
        examined = examine(
            campaign,
            name,
            server=server,
            campaign_id=campaign_id,
            frozen_last=last_in(log),
        )
        if examined.letter.texts and not is_live(server):
            examined.problems += unchanged(campaign, examined.letter, server)
        merger, revision, following = None, 1, None
        if examined.frozen:
            if log:
                following = following_of(examined, log)
                examined.problems += suppressed_copies(examined, log)
                suppose_as_frozen(examined, log)
            frozen, revision = text_to_send(campaign, examined.frozen, log)
            signer = Signer(log.key if log else new_key())
            merger = Merger(frozen, signer, examined.files)
        self._count(examined, merger, revision, log)
        if examined.frozen:
            self._tell_first(examined, following)
        if examined.frozen and log and not campaign.stands_in:
            examined.frozen = examined.frozen.counting(examined.bare.yes_no)
            # A revision that nobody has had.
            if text_to_send(campaign, examined.frozen, log)[1] != revision:
                self.idle.pop(examined.letter.name, None)
            self._tell_refusal(examined, log)
        if self.measures and merger and not examined.has_errors:
            self.sizes[examined.letter.name] = examined.largest_copy
        self.problems += examined.problems
        if merger:
            self.fallbacks += [
                f"{name}: {line}" for line in fallback_lines(merger, examined.fallbacks)
            ]

    def _tell_refusal(self, examined: Examined, log: Log) -> None:
        plan = plan_of(examined, log, SendOptions(), begins=False)
        if plan and (why := plan.refusal()):
            text = examined.letter.default_text
            warning = Problem(text.file, None, why.what, why.hint, Level.WARNING)
            examined.problems.append(warning)
            self.held[examined.letter.name] = why.needs

    def _tell_first(self, examined: Examined, following: FollowUp | None) -> None:
        letter = examined.letter
        if letter.front.follows and not (following and following.has_begun):
            self.held[letter.name] = f"{letter.front.follows} to be sent first"
            self.waits.add(letter.name)

    def _count(
        self, examined: Examined, merger: Merger | None, revision: int, log: Log | None
    ) -> None:
        name, count, to_write_to = examined.letter.name, 0, set[str]()
        had = _who_had(log, name, revision) if log else set()
        with output.counter(f"{examined.letter.name}: people checked") as show:

            def look_at(people: list[Person]) -> None:
                nonlocal count
                count += len(people)
                for person in people:
                    examined.note_fallback(merger, person)
                    if not person.excluded and len(to_write_to) <= len(had):
                        to_write_to.add(folded(person.mailbox.addr_spec))
                show(count)

            check_list(examined, merger, revision, look_at)
        if examined.people:
            self.lists[examined.people.file] = count
            self.recipients[name] = count
            if to_write_to <= had:
                done = "nobody is left to send it to"
                why = done if to_write_to else "there is nobody to write to"
                self.idle[name] = why

    def _is_without_its_server(self) -> bool:
        """Whether [smtp] has errors and was left out: that makes no rehearsal."""
        campaign = self.place.campaign
        is_named = campaign.lines.line_of(("smtp",)) is not None
        return campaign.stands_in and is_named and campaign.settings.smtp is None

    def _open_log(self) -> Log | None:
        log = None
        try:
            self.is_rehearsal = self.place.is_rehearsal
            self.server_is_known = True
            self.log = self.place.log_name
            self._tell_unconfirmed()
            self._tell_approval()
            self._tell_no_password()
            self._tell_no_login()
            self._tell_no_token()
            if file := self.place.log_file:
                self.problems += campaign_checks.folder_warnings(file.parent)
            log = self.place.log_if_any
            if doubt := self.place.doubt:
                name = self.place.log_file.name if self.place.log_file else self.place.log_name
                hint = f"{doubt.hint}. If it is the right log: petition send LETTER --this-log"
                self._add(name, LogUnusable(doubt.what, hint))
            if log and not self.place.is_rehearsal:
                log.database.examine()
            self._tell_expired(log)
        except LogUntrusted as fault:
            self._add(SETTINGS_FILE, fault, "log", "database")
        except LogUnusable as fault:
            self._tell_unusable(fault)
        except CampaignError as fault:  # of sent.toml
            self.problems += fault.problems
        except UserStateUnusable as fault:
            self._add(ENVIRONMENT, fault)
        except ServerMisnamed as fault:
            self._add(SETTINGS_FILE if fault.key else ENVIRONMENT, fault, "smtp", fault.key)
        except UsageError as fault:  # of the log: PETITION_DATABASE
            self._add(ENVIRONMENT, fault)
        return log

    def _tell_expired(self, log: Log | None) -> None:
        """What the log holds for longer than [privacy] keep says."""
        before = self.place.settings.kept_since(log.clock()) if log else None
        found = expired(log, before) if log and before else None
        if before and found and not found.is_nothing:
            line = self.place.campaign.lines.line_of(("privacy", "keep"))
            what = f"the log has {output.count(found.copies, 'copy', 'copies')},"
            what += f" {output.count(found.answers, 'answer')} and"
            what += f" {output.count(found.mails, 'mail')} of people"
            what += f" about whom nothing is younger than {before:%Y-%m-%d}"
            hint = "Run petition forget --expired"
            warning = Problem(SETTINGS_FILE, line, what, hint, Level.WARNING, mark="keep")
            self.problems.append(warning)

    def _tell_no_password(self) -> None:
        """That `send` will need a password; no command is run to find out."""
        server = self.place.server
        if not (server and server.username) or server.auth != "password" or server.password_command:
            return
        if self.place.unconfirmed(Section.SERVER):  # the keyring is for confirmed hosts
            return
        try:
            secret = secret_of(server)
        except ServerTrouble:  # the keyring is locked: it may have one
            return
        if secret is None:
            line = self.place.campaign.lines.line_of(("smtp", "username"))
            what = f"there is no password for {server.username} yet"
            hint = "send asks for it in a terminal; else set PETITION_SMTP_PASSWORD"
            self.problems.append(Problem(SETTINGS_FILE, line, what, hint, Level.WARNING))

    def _tell_no_login(self) -> None:
        """That `petition login` is still to be run; no connection is opened to find out."""
        settings, server = self.place.settings, self.place.server
        for account in (server.account if server else None, settings.inbox_account):
            if account is None or SecretSource(account.use, "token").given(os.environ):
                continue
            try:
                is_there = has_login(account)
            except ServerTrouble as fault:
                self._add(ENVIRONMENT, fault)
                return
            if not is_there:
                line = self.place.campaign.lines.line_of((account.use, "auth"))
                what = f"nobody has logged in as {account.username} to {account.host} yet"
                hint = f"Run {account.command}"
                warning = Problem(SETTINGS_FILE, line, what, hint, Level.WARNING, mark="auth")
                self.problems.append(warning)

    def _tell_no_token(self) -> None:
        """That a server gives letters another Message-ID, by which bounces cannot be matched."""
        server, sender = self.place.server, self.place.settings.sender
        replaces = server is not None and server.host.lower().endswith(_REPLACES_MESSAGE_ID)
        if replaces and "{token}" not in str(sender.return_path or ""):
            line = self.place.campaign.lines.line_of(("sender",))
            what = "Amazon SES replaces the Message-ID, and return_path has no {token}"
            hint = "Set a return_path with {token} in [sender], so that each bounce finds its copy"
            self.problems.append(Problem(SETTINGS_FILE, line, what, hint, Level.WARNING))

    def _tell_unconfirmed(self) -> None:
        """What `send` would ask about before it sends anything."""
        uses = () if self.place.is_rehearsal else (Section.SERVER, Section.SIGNATURE)
        for one in self.place.unconfirmed(*uses):
            table, _, key = one.key.partition("] ")
            line = self.place.campaign.lines.line_of((table.removeprefix("["), key))
            what = f"{one.key} is not confirmed yet: send will ask before it {one.effect}"
            hint = "Run petition trust to see what the folder asks for"
            warning = Problem(SETTINGS_FILE, line, what, hint, Level.WARNING, mark=key)
            self.problems.append(warning)

    def _tell_approval(self) -> None:
        """Who has to approve a letter before it goes, and whether their answers can be read."""
        settings = self.place.settings
        if settings.approval is None or self.place.is_rehearsal:
            return
        line = self.place.campaign.lines.line_of(("approval",))
        whom = ", ".join(one.addr_spec for one in settings.approval.by)
        what = f"no letter goes before {settings.approval.needed} of {whom} approved it"
        hint = "petition send asks them by mail"
        self.problems.append(Problem(SETTINGS_FILE, line, what, hint, Level.NOTE))
        if settings.inbox is None:
            what = "there is no [inbox] in which petition could read that an approver agrees"
            hint = "Add [inbox]; or have them tell you their code, and type it: petition approve"
            self.problems.append(Problem(SETTINGS_FILE, line, what, hint, Level.WARNING))

    def _tell_unusable(self, fault: LogUnusable) -> None:
        try:
            path = self.place.log_file
            file = path.name if path else self.place.log_name
        except LogUnusable:  # not a file: petition.toml names another kind of log
            self._add(SETTINGS_FILE, fault, "log", "database")
            return
        # Both the error and the place of the problem name the file.
        what = fault.what.removeprefix(f"{file}: ")
        what = f"it {what[len(file) + 1 :]}" if what.startswith(f"{file} ") else what
        self._add(file, LogUnusable(what, fault.hint))

    def _campaign_id(self, campaign: Campaign, log: Log | None) -> str:
        try:
            if log:
                return campaign_id_of(campaign, log)
        except UsageError as fault:
            self._add(SETTINGS_FILE, fault, "campaign", "id")
        return campaign.settings.campaign.id

    def _add(self, file: str, fault: PetitionError, *path: str | None) -> None:
        line = None
        if file == SETTINGS_FILE:
            line = self.place.campaign.lines.line_of(tuple(filter(None, path)))
        hint = fault.hint or "Correct it"
        mark = path[-1] if path else None
        self.problems.append(Problem(file, line, fault.what, hint, mark=mark))


def inspect(
    place: Workspace, names: list[str], *, online: bool = False, asks: bool = True
) -> Inspection:
    """Look at everything that the letters are made of."""
    inspection = Inspection(place, measures=online)
    try:
        inspection.look(names)
    except CampaignError as fault:
        inspection.problems += fault.problems
        online = False
    inspection.problems = in_order(inspection.problems)
    if online:
        with suppress(ServerMisnamed):  # reported above
            inbox = (Section.INBOX,) if place.settings.inbox_account else ()
            place.allow(Section.SERVER, Section.SIGNATURE, *inbox, asks=asks)
            seen = look_online(place, inspection.sizes, inspection.recipients)
            inspection.online, inspection.is_refused = seen
    return inspection


def _not_to_publish(campaign: Campaign) -> list[Problem]:
    """What petition publish would refuse; letters can be sent all the same."""
    fronts = [one.front for one in campaign.letters.values() if one.texts]
    names = sorted({front.to for front in fronts if front.kind == "personal"})
    lists = [people for name in names if (people := campaign.people(name, []))]
    lists = [people for people in lists if "public" in people.columns]
    if not (lists or campaign.settings.publish.documents):
        return []
    from petition.report.site import documents_of, unclear_public  # noqa: PLC0415 (few need it)

    problems = list(chain.from_iterable(map(unclear_public, lists)))
    try:
        documents_of(campaign)
    except CampaignError as fault:
        problems += fault.problems
    return [replace(one, level=Level.WARNING) for one in problems]


def _who_had(log: Log, name: str, revision: int) -> set[str]:
    """The mailboxes (address.folded) that get a letter from no further `send`; of many, none."""
    counts = log.counts(name)
    if counts.revision != revision or counts.total > KEEP_BYTES_UP_TO:
        return set()
    states = (*MAY_HAVE_ARRIVED, State.FAILED)
    return {copy.folded for state in states for copy in log.copies(name, state)}


def _sum_up(inspection: Inspection) -> None:
    for line in inspection.fallbacks:
        output.say(line)
    errors, warnings = inspection.errors, inspection.warnings
    warned = f", {output.count(warnings, 'warning')}" if warnings else ""
    if errors:
        until = "it is" if errors == 1 else "they are"
        output.say(f"{output.count(errors, 'error')}{warned}: nothing is sent until {until} fixed.")
        return
    parts = [f"{name} needs {needs}" for name, needs in inspection.held.items()]
    verdict = "not ready: " if parts and len(parts) == inspection.letters else ""
    idle = {name: why for name, why in inspection.idle.items() if name not in inspection.held}
    parts += [why if inspection.letters == 1 else f"{name}: {why}" for name, why in idle.items()]
    if len(parts) < inspection.letters:
        parts.append("the others are ready" if parts else "ready")
    verdict += "; ".join(parts)
    letters = output.count(inspection.letters, "letter")
    people = output.count(inspection.people, "person", "people")
    output.say(f"{letters}, {people}{warned}: {verdict}.", "bold")


def look_online(
    place: Workspace, sizes: Mapping[str, int], recipients: Mapping[str, int]
) -> "Visit":
    """Look at what only DNS and the server know."""
    # Here, since dnspython and aiosmtplib take longer to load than a short list takes to check.
    from petition.checks import dns, sender  # noqa: PLC0415
    from petition.smtp.session import run_loop  # noqa: PLC0415

    campaign, server = place.campaign, place.server
    if campaign.stands_in:  # the settings are not those of petition.toml, which has errors
        return sender.Visit([])
    resolver = dns.Resolver(os.environ.get(dns.VARIABLE, ""))
    domain = sender.SenderDomain.of(campaign.settings, server, _key_record(place))
    found = list(sender.look_at_sender(domain, resolver))
    lost = False
    if account := campaign.settings.inbox_account:
        try:
            if find_login(account, SecretSource("inbox", "token"), os.environ):
                what = f"the login of {account.username} for the inbox is good"
                found.append(sender.well(account.host, what))
        except ServerTrouble as trouble:
            found.append(sender.wrong(account.host, trouble.what, trouble.hint))
            lost = True
    if server is None:
        hint = "Name it in [smtp] of petition.toml"
        what = "no mail server is set that could be checked"
        return sender.Visit([*found, sender.well(SETTINGS_FILE, what, hint)], lost)
    if campaign.settings.dkim:
        sizes = {letter: size + SIGNATURE_BYTES for letter, size in sizes.items()}
    try:
        secret = secret_of(server)
    except ServerTrouble as trouble:
        refusal = sender.wrong(server.name, trouble.what, trouble.hint)
        seen = sender.Visit([refusal], is_refused=True)
    else:
        seen = run_loop(sender.visit(server, secret, sizes, hello_name=domain.domain))
    if limits := _limits(server):
        pace = campaign.settings.pace
        found += sender.look_at_pace(server.name, limits, pace, server.connections, recipients)
    return sender.Visit([*found, *seen.found], lost or seen.is_refused)


def _key_record(place: Workspace) -> str | None:
    dkim = place.campaign.settings.dkim
    if dkim is None:
        return None
    try:
        key = load_key(dkim, place.campaign.root)
        return public_record(key) if key else None
    except KeyRefused:  # `check` reports it
        return None


def _limits(server: Server) -> "Limits | None":
    from petition.checks.dns import known_of  # noqa: PLC0415 (as above)
    from petition.checks.sender import Limits  # noqa: PLC0415

    known = known_of(server.host)
    for one in providers().values():
        host = str(one.smtp["host"])
        if host == server.host or (known and known is known_of(host)):
            return Limits(
                one.title, PaceSettings.model_validate(one.pace), one.smtp.get("connections")
            )
    return None
