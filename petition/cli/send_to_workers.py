"""petition send --workers: a letter is queued, with all that workers need to send it."""

from petition.campaign.server import Server
from petition.cli import approval, output, send_plan, send_report
from petition.cli.approval import Asking
from petition.cli.workspace import Workspace, engine
from petition.errors import ExitStatus, UsageError
from petition.outbox.models import queue_job
from petition.outbox.workers import waiting_unchosen
from petition.planning.prepare import Prepared, enqueue
from petition.sending.dispatch import Dispatch, Signature, keep_own_files
from petition.smtp.dkim import load_key, public_record


def server_of_workers(place: Workspace) -> Server:
    """The server that is named; UsageError if workers cannot send from here."""
    server = place.server
    if server is None:
        raise UsageError(
            "workers need a mail server, and none is set",
            "Name one in [smtp] or PETITION_SMTP_HOST, or omit --workers",
        )
    if place.log_file:
        raise UsageError(
            "workers need a log in PostgreSQL, but this one is the SQLite file"
            f" {place.log_file.name}",
            "Move it: petition migrate postgresql://host/name",
        )
    if place.settings.pace.holidays:
        what = "workers keep no holidays, and [pace] holidays asks for it"
        raise UsageError(what, "Omit --workers, or remove holidays from [pace]")
    return server


def queue(
    prepared: Prepared, server: Server, place: Workspace, asking: Asking, *, dry_run: bool
) -> ExitStatus:
    """Show the plan, ask, and queue what waits with all that workers need to send it."""
    waiting = prepared.comparison.waiting
    approved = list(approval.plan_line(prepared))
    send_plan.show(prepared, with_letter=dry_run or not asking.yes, more=approved)
    if dry_run:
        output.say("Dry run: nothing was queued.")
        return ExitStatus.DONE
    permission = approval.settle(prepared, place, asking, ())
    log, letter = prepared.log, prepared.letter
    others = waiting_unchosen(log.database, letter)
    if others:
        output.say(
            f"Workers send all waiting copies, so {output.count(others, 'letter')} queued earlier"
            " will go too."
        )
    send_plan.confirm(prepared, send_plan.question(prepared, waiting + others), yes=asking.yes)
    dispatch = _dispatch(prepared, server)  # fails if there is no key
    engine().make_tables(log)

    def also() -> None:
        permission.use(prepared)  # once more: somebody may have said no meanwhile
        frozen, revision = prepared.plan.frozen, prepared.plan.revision
        log.memory.hand_out(frozen.campaign_id, letter, revision, log.clock().date())
        dispatch.keep(log, letter)
        keep_own_files(log.database, letter, prepared.plan.frozen, prepared.examined.files)
        queue_job(log.database, letter)

    waiting = enqueue(prepared, also, beside_workers=True).waiting  # workers send meanwhile
    if not waiting:
        output.say("Nothing is waiting any more: workers have taken all of them.")
        return ExitStatus.DONE
    send_report.say_noted(prepared)
    output.say(
        f"Queued {output.count(waiting + others, 'letter')} for workers. Next: run petition worker,"
        " on any machine that can reach the database."
    )
    if dispatch.signature:
        output.say(
            "Each worker needs the key of [dkim]: set PETITION_DKIM_KEY, or use --dkim-key FILE."
        )
    return ExitStatus.DONE


def _dispatch(prepared: Prepared, server: Server) -> Dispatch:
    settings = prepared.campaign.settings
    dkim = settings.dkim
    key = load_key(dkim, prepared.campaign.root) if dkim else None
    signature = Signature(dkim.domain, dkim.selector, public_record(key)) if dkim and key else None
    return Dispatch(
        pace=settings.pace,
        timezone=settings.campaign.timezone,
        keep_bytes=prepared.keeps_bytes,
        stays_here=server.is_loopback,
        signature=signature,
    )
