"""What `petition send --workers` does: prepare, ask, queue the letters and the jobs for them."""

from petition.campaign.server import Server
from petition.cli import console
from petition.cli.engine import engine
from petition.cli.sending import confirm, nothing_to_do, sends, show_plan
from petition.cli.workplace import Workplace
from petition.errors import ExitStatus, LogChanged, UsageError
from petition.outbox.job_queue import queue_jobs
from petition.plan import Wish
from petition.prepare import Prepared, enqueue, prepare
from petition.sending.dispatch import Dispatch, Signature, keep_own_files
from petition.sending.retry import RetrySchedule
from petition.smtp.dkim import load_key, public_record


def hand_out(place: Workplace, letter: str, wish: Wish, *, dry_run: bool, yes: bool) -> ExitStatus:
    """Queue a letter for workers, and say how to go on.

    Args:
        place: The campaign, its server and its log.
        letter: The letter's name.
        wish: For whom.
        dry_run: Stop before anything is queued.
        yes: Nobody needs to be asked.

    Returns:
        How the command ends.

    Raises:
        UsageError: Workers cannot send this letter.
    """
    if place.server is None:
        raise UsageError(
            "a rehearsal has no workers: no mail server is set",
            "Name one in [smtp] or PETITION_SMTP_HOST, or leave out --workers",
        )
    if place.log_file:
        raise UsageError(
            f"workers need a log in PostgreSQL, and this one is {place.log_file.name}",
            "Move it: petition migrate postgresql://host/name",
        )
    if not dry_run:
        place.count_noted_clicks()
        retry = RetrySchedule.of(place.settings.pace)
        place.log.look_at_deferred(retry.give_up, retry.longest)
    while True:
        prepared = prepare(place.campaign, letter, place.log, place.server, wish)
        console.problems(prepared.warnings)
        try:
            return _queue(prepared, place.server, dry_run=dry_run, yes=yes)
        except LogChanged:
            if not yes:  # a person confirmed something else
                raise
            console.say_error("The log has changed meanwhile: planning again.")


def _queue(prepared: Prepared, server: Server, *, dry_run: bool, yes: bool) -> ExitStatus:
    waiting = prepared.comparison.waiting
    if not waiting:
        return nothing_to_do(prepared, dry_run=dry_run, yes=yes)
    show_plan(prepared, with_letter=dry_run or not yes)
    if dry_run:
        console.say("Dry run: nothing was queued.")
        return ExitStatus.DONE
    confirm(prepared, sends(prepared, waiting), yes=yes)
    log, letter = prepared.log, prepared.letter
    dispatch = _dispatch(prepared, server)  # may say that there is no key
    engine().make_tables(log)
    jobs = 0

    def also() -> None:
        nonlocal jobs
        dispatch.keep(log, letter)
        keep_own_files(log.database, prepared.frozen, prepared.examined.files)
        jobs = queue_jobs(log.database, letter, prepared.revision)

    waiting = enqueue(prepared, also, beside_workers=True).waiting  # workers send meanwhile
    if not waiting:
        console.say("Nothing waits any more: workers had them all in hand meanwhile.")
        return ExitStatus.DONE
    queued = f"Queued {console.count(waiting, 'letter')} in {console.count(jobs, 'job')}."
    if not jobs:
        wait = "waits" if waiting == 1 else "wait"
        queued = f"{console.count(waiting, 'letter')} {wait} in jobs that were queued before."
    console.say(
        f"{queued} Nothing was sent here: run petition worker, on any machine that reaches the"
        " database."
    )
    if dispatch.signature:
        console.say(
            "Each worker needs the key of [dkim]: in PETITION_DKIM_KEY, or in a file that"
            " petition worker --dkim-key FILE names."
        )
    return ExitStatus.DONE


def _dispatch(prepared: Prepared, server: Server) -> Dispatch:
    settings = prepared.campaign.settings
    return Dispatch(
        pace=settings.pace,
        timezone=settings.campaign.timezone,
        keep_bytes=prepared.keeps_bytes,
        stays_here=server.is_loopback,
        signature=_signature(prepared),
    )


def _signature(prepared: Prepared) -> Signature | None:
    """Whose signature the workers put to it, by this campaign's key.

    Raises:
        KeyRefused: There is no usable key here.
    """
    dkim = prepared.campaign.settings.dkim
    key = load_key(dkim, prepared.campaign.root) if dkim else None
    return Signature(dkim.domain, dkim.selector, public_record(key)) if dkim and key else None
