"""Where `send` stops until a letter is approved: it asks the approvers by mail, and waits.

Nothing is queued before that. What is approved is the text, the list and the server as they are:
`Prepared.bindings`. A rehearsal and a trial need no approval, since nobody receives them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import typer

from petition import system
from petition.address import Mailbox, folded
from petition.cli import output, run_delivery, send_plan, service_mails
from petition.cli.approval_mail import ApprovalMail, book_of
from petition.cli.approve import approval_lines, said_words
from petition.cli.run_delivery import Secrets
from petition.cli.workspace import Workspace
from petition.errors import ExitStatus, UsageError
from petition.merge.service_mail import ServiceSender, ServiceText
from petition.outbox import approvals, service
from petition.outbox.approvals import Approval, ApprovalRequest, Decision
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.service import ServiceKind
from petition.outbox.states import WAITING, State
from petition.planning.prepare import Prepared


class Asking(NamedTuple):
    """What the caller of `send` said about the approval, and how mails go from it."""

    yes: bool = False  # ask nothing at the terminal
    override: bool = False  # send without it
    reason: str | None = None  # why
    again: bool = False  # mail those once more who have not answered
    attach_book: bool = False  # with all copies
    owns_log: bool = True  # else it sends mails beside workers

    @property
    def options(self) -> list[str]:
        """Those that were given and ask for something where an approval is needed."""
        given = {
            "--override": self.override,
            "--ask-again": self.again,
            "--attach-book": self.attach_book,
        }
        return [option for option, is_given in given.items() if is_given]


class Permission(NamedTuple):
    """What lets a letter go: its approval, or a person's reason to send it without one."""

    reason: str = ""  # of an override
    copies: int = 0  # of the whole list, whatever the limit
    heard: int = 0  # the id of the last thing that was said when the reason was given

    def require(self, prepared: Prepared, *, is_part: bool = False) -> None:
        """UsageError unless it may go by now: somebody may have said no while `send` waited.

        With `is_part` others may have been sent before.
        """
        self._goes_by_reason(prepared, is_part=is_part)

    def use(self, prepared: Prepared, *, is_part: bool = False) -> None:
        """The same in the transaction that queues it; an override is recorded where it is used."""
        if not self._goes_by_reason(prepared, is_part=is_part):
            return
        found = _found(prepared)
        asked = [one.request for one in found if one.refused] or [one.request for one in found[-1:]]
        for request in asked or [_record(prepared, self.copies)]:
            approvals.say(
                prepared.log,
                request.id,
                Decision.OVERRIDDEN,
                approvals.OVERRIDE,
                words=self.reason,
                author=system.account_name(),
            )

    def _goes_by_reason(self, prepared: Prepared, *, is_part: bool) -> bool:
        """Whether it goes for the reason alone; UsageError if it may not go at all."""
        found = _found(prepared) if prepared.bindings else []
        approval = _deciding(found)
        if not prepared.bindings or (approval and approval.is_released):
            return False
        refusals = [one for asked in found for one in asked.refused.values()]
        if self.reason and all(one.id <= self.heard for one in refusals):
            return True
        if approval and approval.refused:
            raise _stopped(prepared, approval, is_part=is_part)
        what = f'{_nothing(is_part)} was sent: "{prepared.letter}" is no longer approved'
        raise UsageError(what, "Run the same command again")


def plan_line(prepared: Prepared) -> Iterator[tuple[str, str]]:
    """How far the approval is, for the plan."""
    if not prepared.bindings:
        return
    approval = _approval(prepared)
    if approval is None:
        yield "approval", f"needed from {_whom(prepared)}, and not asked for yet"
    elif approval.is_released:
        told = [*_what_counts(approval), *_doubts(approval)]
        yield "approval", "; ".join(f"{said_words(one)} ({output.when(one.at)})" for one in told)
    elif approval.refused:
        yield "approval", f"stopped by {', '.join(approval.refused)}"
    else:
        yield "approval", f"asked for on {output.when(approval.request.at)}, and not given yet"


def settle(
    prepared: Prepared, place: Workspace, asking: Asking, plan: Iterable[tuple[str, str]]
) -> Permission:
    """Return what lets the letter go.

    If it may not, ask the approvers, if a person agrees and they were not asked yet, and end the
    command: typer.Exit or UsageError, with status 2.
    """
    if not prepared.bindings:
        if asking.options:
            raise UsageError(f"{asking.options[0]}: this needs no approval", "Omit it")
        return Permission()
    found = _found(prepared)
    approval = _deciding(found)
    if approval and approval.is_released:
        if asking.again:  # who wants to ask does not want to send
            what = f'nothing was sent: "{prepared.letter}" is approved, and nobody is asked again'
            raise UsageError(what, "Omit --ask-again to send it")
        return Permission()
    if asking.override:
        if approval:
            output.facts(approval_lines(place, approval))
        heard = max((one.id for asked in found for one in asked.said), default=0)
        reason = asking.reason or _reason(prepared)
        return Permission(reason, prepared.comparison.without_limit, heard)
    if approval and approval.refused:
        raise _stopped(prepared, approval)
    _refuse_forgotten(prepared)
    if approval is None:
        _ask(prepared, asking, plan)
        approval = _approval(prepared)
    else:
        _go_on_asking(prepared, asking, approval, plan)
    if approval:
        output.facts(approval_lines(place, approval))
    output.say(
        f"Nothing is queued before it is approved. Next: petition inbox reads the answers; then"
        f" petition send {prepared.letter}"
    )
    raise typer.Exit(ExitStatus.NOTHING_DONE)


def _approval(prepared: Prepared) -> Approval | None:
    return _deciding(_found(prepared))


def _found(prepared: Prepared) -> list[Approval]:
    """The requests for what was prepared, oldest first."""
    return approvals.approvals_for(prepared.log, prepared.letter, prepared.bindings)


def _deciding(found: list[Approval]) -> Approval | None:
    """The request that decides: one that somebody stopped, else a granted one; the newest of each.

    Else the newest of all.
    """
    stopped = [one for one in found if one.refused]
    granted = [one for one in found if one.is_released]
    ranked = [*found, *granted, *stopped]
    return ranked[-1] if ranked else None


def _what_counts(approval: Approval) -> list[approvals.ApprovalSaid]:
    if approval.override and not approval.is_approved:
        return [approval.override]
    return list(approval.approved.values())


def _doubts(approval: Approval) -> list[approvals.ApprovalSaid]:
    """The last words of approvers that are neither a yes nor a no, which a person must read."""
    last = {folded(one.approver): one for one in approval.said if one.how == approvals.MAIL}
    return [one for one in last.values() if one.decision is Decision.UNDECIDED]


def _stopped(prepared: Prepared, approval: Approval, *, is_part: bool = False) -> UsageError:
    said = "; ".join(map(said_words, approval.refused.values()))
    hint = (
        "Change what they object to, and send again: that asks them again. Anyone who changes their"
        " mind can reply with the code. To send it anyway: --override"
    )
    what = f'{_nothing(is_part)} was sent: "{prepared.letter}" is stopped. {said}'
    return UsageError(what, hint)


def _nothing(is_part: bool) -> str:
    return "nothing more" if is_part else "nothing"


def _reason(prepared: Prepared) -> str:
    if not output.can_ask():
        hint = 'Add --reason "why it cannot wait"'
        raise UsageError("nothing was sent: --override needs a reason", hint)
    whom = _whom(prepared)
    return output.ask_words(f"Why is it sent without {whom}? (recorded)", "nothing was sent")


def _whom(prepared: Prepared) -> str:
    settings = prepared.campaign.settings.approval
    words = ", ".join(one.addr_spec for one in _approvers(prepared))
    if settings and settings.needed < len(settings.by):
        words = f"{settings.needed} of {words}"
    return words


def _approvers(prepared: Prepared) -> Sequence[Mailbox]:
    settings = prepared.campaign.settings.approval
    return settings.by if settings else ()


# ---- asking by mail


def _refuse_forgotten(prepared: Prepared) -> None:
    """UsageError if an approver was forgotten: they must not be written to any more."""
    forgotten = Forgotten(prepared.log)
    for one in _approvers(prepared):
        if one.addr_spec in forgotten:
            what = f"nothing was sent: {one.addr_spec} was forgotten, and cannot be asked"
            raise UsageError(what, "Name another approver in [approval] of petition.toml")


def _ask(prepared: Prepared, asking: Asking, plan: Iterable[tuple[str, str]]) -> None:
    """Ask all approvers, once a person has agreed to that, unless somebody else did meanwhile."""
    _confirm(asking, [one.addr_spec for one in _approvers(prepared)])
    secrets = run_delivery.secrets_for(prepared)
    mail = _mail(prepared, asking, plan)
    with prepared.log.writing():
        request = None
        if _approval(prepared) is None:
            request = _record(prepared, prepared.comparison.without_limit)
            _queue(prepared, mail, request, request.approvers)
    if request:
        _send(prepared, secrets, asking, request)
    else:
        output.say_error("Another process has asked them in the meantime.")


def _go_on_asking(
    prepared: Prepared,
    asking: Asking,
    approval: Approval,
    plan: Iterable[tuple[str, str]],
) -> None:
    """Send the mails that wait, of a `send` that was killed; with --ask-again, new ones too."""
    request = approval.request
    mails = service.mails_about(prepared.log, [ServiceKind.APPROVAL], request.id)
    waiting = {folded(one.mailbox) for one in mails if one.state in WAITING}
    had = {folded(one.mailbox) for one in mails}
    settled = waiting if asking.again else had
    to_mail = [one for one in approval.open if folded(one) not in settled]
    if not (to_mail or waiting):
        return
    if to_mail:
        going = {*map(folded, to_mail), *waiting}
        _confirm(asking, [one for one in request.approvers if folded(one) in going])
    secrets = run_delivery.secrets_for(prepared)
    if to_mail:
        mail = _mail(prepared, asking, plan)
        with prepared.log.writing():
            _queue(prepared, mail, request, to_mail)
    _send(prepared, secrets, asking, request)


def _confirm(asking: Asking, whom: Iterable[str]) -> None:
    if not asking.yes:
        book = ", with the book of copies and all addresses in it" if asking.attach_book else ""
        question = f"Mail {', '.join(whom)} now, to ask for approval{book}?"
        output.confirm(question, "nobody was asked")


def _record(prepared: Prepared, copies: int) -> ApprovalRequest:
    """Write a request into the log, in a transaction."""
    settings, frozen = prepared.campaign.settings.approval, prepared.plan.frozen
    return approvals.ask(
        prepared.log,
        prepared.letter,
        prepared.plan.revision,
        frozen.hash,
        prepared.bindings[0],
        copies=copies,
        through=prepared.server.name if prepared.server else "",
        needed=settings.needed if settings else 0,
        approvers=[one.addr_spec for one in _approvers(prepared)],
        author=system.account_name(),
    )


def _mail(prepared: Prepared, asking: Asking, plan: Iterable[tuple[str, str]]) -> ApprovalMail:
    lines = [*send_plan.plan_lines(prepared), *plan]
    files = [book_of(prepared)] if asking.attach_book else []
    return ApprovalMail(prepared, lines, files)


def _queue(
    prepared: Prepared,
    mail: ApprovalMail,
    request: ApprovalRequest,
    approvers: Iterable[str],
) -> None:
    """Queue the mails to some approvers, in a transaction."""
    log, frozen = prepared.log, prepared.plan.frozen
    boxes = {folded(one.addr_spec): one for one in _approvers(prepared)}
    sender = ServiceSender(frozen.sender, frozen.sender_reply_to)
    date = log.clock()
    for approver in approvers:
        box = boxes[folded(approver)]
        said = mail.to(box, request, approvals.code_of(log, request, approver))

        def write(message_id: str, box: Mailbox = box, said: ServiceText = said) -> bytes:
            return sender.mail(box, said, message_id, date, is_reply=False)

        service.add(
            log,
            ServiceKind.APPROVAL,
            box.addr_spec,
            request.id,
            frozen.sender.domain,
            write,
            campaign=frozen.campaign_id,
        )


def _send(prepared: Prepared, secrets: Secrets, asking: Asking, request: ApprovalRequest) -> None:
    """Send what waits, and say what became of it."""
    results = service_mails.deliver_service(prepared, secrets, owns_log=asking.owns_log)
    for one in results:
        if one.mail.kind is ServiceKind.APPROVAL and one.state is not State.SENT:
            output.say_error(f"The mail to {one.mail.mailbox} is {one.state}: {one.said}.")
    if not results:
        output.say_error(why_none_went(prepared.log, request))


def why_none_went(log: Log, request: ApprovalRequest) -> str:
    """Why there was no mail to send: the server asked us to wait, or another process sends."""
    mails = service.mails_about(log, [ServiceKind.APPROVAL], request.id)
    states = {one.state for one in mails}
    if State.DEFERRED in states and not service.waits(log):
        return "The server asked us to wait before we mail them: send again later."
    if states & {*WAITING, State.SENDING}:
        return "Another process sends from this log, and mails them too."
    return "Another process has tried to mail them in the meantime."
