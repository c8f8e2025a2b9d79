"""petition send --to-me: one copy goes to oneself, no row is made, and nothing is frozen."""

from petition.address import Mailbox, parse_address
from petition.checks.letter import refused_by
from petition.cli import output, run_delivery, send_plan, send_report
from petition.cli.run_delivery import Secrets
from petition.errors import AddressRefused, ExitStatus, UsageError
from petition.merge.message import Email
from petition.outbox.log import DAY
from petition.outbox.manual import Forgotten, is_suppressed
from petition.planning.prepare import Prepared
from petition.sending.circuit_breaker import RunResult
from petition.sending.person import person_of
from petition.smtp.replies import Outcome, Verdict
from petition.smtp.session import run_loop

_ENDINGS = {
    Outcome.SENT: ("The server accepted the trial copy", ExitStatus.DONE),
    Outcome.DEFERRED: ("The server asked us to retry the trial copy later", ExitStatus.LEFT),
    Outcome.FAILED: ("The server refused the trial copy", ExitStatus.PROBLEMS),
    Outcome.RELEASED: ("The trial copy was not sent", ExitStatus.LEFT),
    Outcome.UNCERTAIN: ("The server may or may not have accepted the trial copy", ExitStatus.LEFT),
}


def trial_address(text: str) -> Mailbox:
    """The mailbox that gets the trial; UsageError if it is none."""
    try:
        return parse_address(text)
    except AddressRefused as refusal:
        raise UsageError(f"--to-me: {refusal.what}", refusal.hint) from None


def send_trial(prepared: Prepared, *, to: Mailbox, dry_run: bool, yes: bool) -> ExitStatus:
    """Show the copy of the first person who was chosen, ask, and send it to a mailbox."""
    _refuse(prepared, to)
    row = prepared.listing.first()
    if row is None:
        raise UsageError("there is nobody on the list whose copy could be the trial")
    email, shown = prepared.merger.trial(
        person_of(row), prepared.log.clock(), to, prepared.plan.revision
    )
    send_plan.show_letter(shown)
    output.say(f"This copy, made for {row.name or row.mailbox}, goes to {to.addr_spec} alone.")
    output.facts([("through", send_plan.through(prepared))])
    if dry_run:
        output.say("Dry run: nothing was sent.")
        return ExitStatus.DONE
    if _is_barred(prepared):
        return ExitStatus.LEFT
    send_plan.confirm(prepared, send_plan.question(prepared, 1), yes=yes)
    secrets = run_delivery.secrets_for(prepared)
    verdict = run_loop(_deliver(prepared, secrets, email))
    # Another process may have reached the cap meanwhile.
    if verdict.outcome is Outcome.RELEASED and _is_barred(prepared):
        return ExitStatus.LEFT
    what, status = _ENDINGS[verdict.outcome]
    output.say(f"{what}: {verdict.reply or verdict.reason}.")
    send_report.say_rehearsal(prepared)
    send_report.say_if_sandbox(prepared, str(verdict.reply or ""))
    return status


def _refuse(prepared: Prepared, to: Mailbox) -> None:
    """UsageError if a mailbox may not get it: reserved, forgotten, suppressed, or on the list."""
    log, server = prepared.log, prepared.server
    if what := refused_by(server, to):
        raise UsageError(what, "Nothing was sent; use an address of your own")
    if to.addr_spec in Forgotten(log):
        raise UsageError(f"{to.addr_spec} was forgotten", "Nothing was sent; use another address")
    if is_suppressed(log, to.addr_spec):
        allow = f"petition suppress --remove {to.addr_spec}"
        hint = f"Nothing was sent; use another address, or allow it with {allow}"
        raise UsageError(f"{to.addr_spec} must not be written to", hint)
    needs_approval = server is not None and prepared.campaign.settings.approval is not None
    if needs_approval and prepared.listing.has(to.addr_spec):
        what = f"--to-me: {to.addr_spec} is on the list, and gets nothing without the approval"
        raise UsageError(what, "Nothing was sent; use an address that is not on the list")


def _is_barred(prepared: Prepared) -> bool:
    """Whether [pace] keeps it from being sent now, which is said."""
    bar = _bar(prepared)
    if bar.is_over:
        send_report.say_waiting(bar)
        output.say("The trial copy was not sent.")
    return bar.is_over


def _bar(prepared: Prepared) -> RunResult:
    """What keeps it from being sent now: to the server it is a letter like any other."""
    bar, pace = RunResult(), run_delivery.pace_of(prepared)
    if prepared.server is None:
        return bar
    bar.closed = pace.opens_at()
    login = run_delivery.route_of(prepared, prepared.server, Secrets()).login
    if not prepared.log.database.read_only:
        with prepared.log.writing():
            bar.clock_was_ahead = prepared.log.count_from_now(login)
    spent, oldest = prepared.log.spent(login)
    cap = pace.cap(prepared.log.days_before(login))
    if cap is not None and spent >= cap:
        bar.capped = (oldest or prepared.log.clock()) + DAY
    return bar


async def _deliver(prepared: Prepared, secrets: Secrets, email: Email) -> Verdict:
    async with run_delivery.reachable(prepared.server, prepared.campaign.root) as server:
        route = run_delivery.route_of(prepared, server, secrets)

        async def permit() -> bool:
            recipients = len(email.envelope.rcpt_to)
            return prepared.log.count_attempt(route.login, recipients, route.pace.cap)

        session = await route.open()
        try:
            outgoing = route.outgoing(email, prepared.log.clock())
            done = await session.transact(outgoing, permit)
        finally:
            await session.close()
    if done.fault:
        raise done.fault
    return done.verdict
