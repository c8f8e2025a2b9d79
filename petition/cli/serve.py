"""petition serve: the pages to leave a list, to sign, and to read, until Ctrl-C."""

import asyncio
import sys
from collections.abc import Container, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from petition import signing
from petition.campaign.folder import Campaign, load_campaign
from petition.checks.letter import refused_by
from petition.cli import output
from petition.cli.sandbox import Port
from petition.cli.service_mails import ServiceRun
from petition.cli.workspace import OUTBOX, Workspace
from petition.errors import LogUnusable, PetitionError, UsageError
from petition.extras import how_to_install
from petition.identity import Signer
from petition.outbox.log import Log, is_there
from petition.planning.signatories import prune_signatories
from petition.report import site, site_pages
from petition.sending.sender import first_of
from petition.sending.service import ServiceResult
from petition.trust import Section

if TYPE_CHECKING:  # they need an extra
    from petition.web.app import Part
    from petition.web.sign_pages import LetterToSign
    from petition.web.site import SiteFiles

_AGAIN_SECONDS = 5.0  # before a log that cannot be opened is tried again


def serve(
    context: typer.Context,
    sign: Annotated[
        bool, typer.Option("--sign", help="Serve the form to sign with, and send its mails.")
    ] = False,
    with_site: Annotated[
        bool, typer.Option("--site", help="Serve the public site, as publish writes it.")
    ] = False,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDR", help="Listen on ADDR.")
    ] = "127.0.0.1",
    port: Port = 8058,
    root_path: Annotated[
        str,
        typer.Option(
            "--root-path", metavar="PATH", help="The proxy's path before /u/.", show_default=False
        ),
    ] = "",
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy", metavar="ADDR", help="Believe the X-Forwarded-For of ADDR or a network."
        ),
    ] = None,
) -> None:
    """Serve the pages to leave a list and to sign, behind a web server."""
    with Workspace.open(context, writes=True) as place:
        path = root_path.strip("/")
        prefix = f"/{path}" if path else ""
        _Serving(place, prefix, proxy or ()).run(host, port, sign=sign, with_site=with_site)


@dataclass(frozen=True, slots=True)
class _Serving:
    place: Workspace
    prefix: str
    proxies: Sequence[str]

    def run(self, host: str, port: int, *, sign: bool, with_site: bool) -> None:
        try:
            from petition.web import app, log_thread, server, unsubscribe  # noqa: PLC0415 (an extra)
        except ImportError as fault:
            what = "petition serve needs libraries that are not installed"
            raise UsageError(what, how_to_install("serve")) from fault
        place, settings = self.place, self.place.settings
        mails = _ready_to_send(place) if sign else None
        log, campaign, sender = self._log(sign=sign), settings.campaign, settings.sender
        contact = sender.reply_to or sender.from_
        pages = unsubscribe.Pages(sender.from_.display_name or campaign.title, contact.addr_spec)
        with ExitStack() as closing, server.listen(host, port) as sock:
            thread = log_thread.LogThread(log, lambda: _reopened(place))
            clicks = unsubscribe.Clicks(thread, place.noted_clicks)
            parts: list[Part] = [unsubscribe.Endpoint(clicks, pages, campaign.languages, _note)]
            parts += self._more(closing, mails, with_site=with_site)
            self._say(host, sock.getsockname()[1], unsubscribe.WORDS, sign=sign)
            try:
                server.run(app.application(parts, self.prefix), sock)
            finally:
                is_left = clicks.close()
        if is_left:
            output.say(
                f"Stopped. Clicks that the log could not take are in {place.noted_clicks.name}: the"
                " next petition serve or petition send here will count them."
            )
        else:
            output.say("Stopped; every click is recorded.")

    def _log(self, *, sign: bool) -> Log:
        """The log; people may sign before anything was sent."""
        if not sign:
            return self.place.existing_log
        _ = self.place.log.key  # which a new log has not made yet
        return self.place.log

    def _more(
        self, closing: ExitStack, mails: ServiceRun | None, *, with_site: bool
    ) -> "list[Part]":
        """The form and the site."""
        from petition.web.limits import Proxies  # noqa: PLC0415 (an extra)
        from petition.web.live import Live  # noqa: PLC0415
        from petition.web.log_thread import LogThread  # noqa: PLC0415
        from petition.web.sign import Signing  # noqa: PLC0415
        from petition.web.site import LiveSite  # noqa: PLC0415

        place, proxies = self.place, Proxies(self.proxies)
        parts: list[Part] = []
        files: Live[SiteFiles] | None = None
        if with_site:
            files = Live(_SiteMaker(place, needs_one=mails is None).make, _note)
            closing.callback(files.close)
        if mails is not None:

            def show(_: object) -> "LetterToSign":
                return _shown(place, has_site=bool(files and files.latest.files))

            shown = Live(show, _note)
            closing.callback(shown.close)
            log = _reopened(place)
            thread = LogThread(log, lambda: _reopened(place))
            closing.callback(thread.close_log)
            closing.callback(thread.close)

            async def send(stopped: asyncio.Event) -> None:
                await _keep_sending(mails, stopped)

            parts.append(Signing(shown, thread, Signer(log.key), proxies, _note, [send]))
        return [*parts, LiveSite(files)] if files else parts

    def _say(self, host: str, port: int, known: Container[str], *, sign: bool) -> None:
        place, campaign = self.place, self.place.settings.campaign
        name = f"[{host}]" if ":" in host else host
        place.say_which()
        if sign:
            output.say(_what_is_sent(place))
            output.say(f"People sign at {place.settings.sign.page}")
        output.say(f"Listening on http://{name}:{port}{self.prefix}/u/TOKEN")
        lacks = [one for one in campaign.languages if one.partition("-")[0] not in known]
        if lacks:
            output.say(f"The page has no words in {', '.join(lacks)}: it is in English there.")
        output.say("Put a web server with TLS in front of it. Ctrl-C ends it.")
        sys.stdout.flush()


# ---- the mails that ask for a confirmation


def _ready_to_send(place: Workspace) -> ServiceRun:
    """What sends them, with its password, before anybody is asked to sign."""
    settings = place.settings
    if settings.sign.page is None:
        hint = 'Write [sign] and under it page = "https://your.domain/sign" in petition.toml'
        raise UsageError("the form has no address that a mail could name", hint)
    if what := refused_by(place.server, settings.sender.from_):
        raise UsageError(what, "Write an address under a domain of your own in [sender] from")
    place.allow(Section.SERVER, Section.SIGNATURE)
    return ServiceRun(place.url, settings, place.server, place.root, _tell)


def _what_is_sent(place: Workspace) -> str:
    """What starting it lets it do (P6)."""
    if place.server is None:
        return f"Mails that ask to confirm a signature go to ./{OUTBOX}; nobody receives anything."
    sender = place.settings.sender.from_.addr_spec
    return (
        f"While it runs, it sends mails from {sender} through {place.server.name} by itself, to"
        " those who sign: that is what you confirm by starting it."
    )


async def _keep_sending(mails: ServiceRun, stopped: asyncio.Event) -> None:
    noted = ""
    while not stopped.is_set():
        try:
            await mails.keep_sending(stopped, _note)
        except (PetitionError, OSError) as fault:  # the log cannot be opened, the sandbox not begun
            if noted != (noted := str(fault)):
                _note(f"mails wait: {noted}")
            await first_of(_AGAIN_SECONDS, stopped)


def _tell(result: ServiceResult) -> None:
    _note(f"mail {result.mail.kind} {result.mail.serial}: {result.state}")


# ---- what is shown


def _campaign_now(place: Workspace, log: Log) -> Campaign:
    """The campaign as its files are now, with all whose signatures count."""
    campaign = load_campaign(place.root)
    prune_signatories(campaign, log)
    return campaign


def _shown(place: Workspace, *, has_site: bool) -> "LetterToSign":
    from petition.web.sign_pages import letter_shown  # noqa: PLC0415 (an extra)

    with _reopened(place) as log:
        campaign = _campaign_now(place, log)
        desk = signing.SigningDesk.of(log, campaign)
        signing.add_signed(campaign, log, desk.letter)
        return letter_shown(desk, campaign, has_site=has_site)


class _SiteMaker:
    """Makes the site anew if what it tells has changed."""

    def __init__(self, place: Workspace, *, needs_one: bool) -> None:
        self._place = place
        self._needs_one = needs_one
        self._told: site.Site | None = None

    def make(self, before: "SiteFiles | None") -> "SiteFiles":
        """The files of the site; none if no letter was sent yet, unless it `needs_one`."""
        from petition.web.site import SiteFiles  # noqa: PLC0415 (an extra)

        with _reopened(self._place) as log:
            campaign = _campaign_now(self._place, log)
            try:
                letter = site.letter_to_publish(log, campaign)
            except UsageError:
                if self._needs_one:
                    raise
                return SiteFiles()
            signing.add_signed(campaign, log, letter)
            notes: list[str] = []
            found = site.gather(log, campaign, notes)
        told = replace(found, letters={})  # which follow from the rest
        if before is not None and told == self._told:
            return before
        files = site_pages.files_of(found, notes)
        made = SiteFiles({**files, **site_pages.pages_of(found, files)})
        self._told = told
        return made


# ---- the log


def _reopened(place: Workspace) -> Log:
    if not is_there(place.url):  # a new one would know nobody
        raise LogUnusable(f"there is no log in {place.log_name} any more", "Restore it")
    return Log(place.url, rehearses=place.url == place.rehearsal_url)


def _note(what: str) -> None:
    """A line for whoever runs the server; it identifies nobody."""
    output.say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {what}")
    sys.stdout.flush()
