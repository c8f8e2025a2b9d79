"""petition approve: type an approver's code on this machine, or see who was asked and said what."""

from collections.abc import Iterator
from typing import Annotated

import typer

from petition import system
from petition.address import folded
from petition.cli import output
from petition.cli.workspace import Json, Workspace
from petition.errors import UsageError
from petition.outbox import approvals
from petition.outbox.approvals import Approval, ApprovalSaid, Decision, described
from petition.outbox.service import ServiceKind, ServiceState, mails_about
from petition.outbox.states import State


def approve(
    context: typer.Context,
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="From an approver's mail; without it, list requests."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Type an approver's code, or show who was asked and what was said."""
    with Workspace.open(context, writes=code is not None) as place:
        if code is not None:
            _type(place, code, as_json=as_json)
        else:
            _list(place, as_json=as_json)


def _type(place: Workspace, code: str, *, as_json: bool) -> None:
    log, author = place.existing_log, system.account_name()
    _ = log.key  # read before the transaction
    with log.writing():
        found = approvals.with_code(log, [code])
        if found is None:
            hint = "It is in the approver's mail. See who was asked: petition approve"
            raise UsageError("no approver has this code; nothing was recorded", hint)
        request, approver = found
        approvals.say(
            log, request.id, Decision.APPROVED, approvals.TYPED, approver=approver, author=author
        )
    approval = approvals.approval_of(log, request)
    if as_json:
        output.json(place.origin | {"requests": [described(log, approval)]})
        return
    output.say(
        f"Recorded that {author} typed the code of {approver} on this machine. It does not count as"
        " their own word."
    )
    output.facts(approval_lines(place, approval))
    if approval.is_released:
        output.say(f"Next: petition send {request.letter}")
    place.say_which()


def _list(place: Workspace, *, as_json: bool) -> None:
    log = place.log_if_any
    found = approvals.all_approvals(log) if log else []
    if as_json:
        output.json(place.origin | {"requests": [described(place.log, one) for one in found]})
        return
    if not found:
        output.say("Nobody was asked for an approval yet: petition help approval.md")
    for number, approval in enumerate(found):
        if number:
            output.say("")
        output.facts(approval_lines(place, approval))
    if found:
        output.say("")
    place.say_which()


def approval_lines(place: Workspace, approval: Approval) -> Iterator[tuple[str, str]]:
    """A request for approval as pairs of a heading and its text."""
    request = approval.request
    revision = f", revision {request.revision}" if request.revision > 1 else ""
    what = output.count(request.copies, "letter")
    yield "request", f"{request.letter}{revision}: {what} through {request.through}"
    mails = {folded(one.mailbox): one for one in _mails(place, request.id)}
    if mails:
        yield "asked", f"{output.when(request.at)}, by {request.author}"
    for approver in request.approvers:
        yield approver, _said_by(approver, approval, mails.get(folded(approver)))
    if one := approval.override:
        yield "overridden", f"{output.when(one.at)}, by {one.author}: {quoted_words(one.words)}"
    yield "approval", _verdict(approval)


def _verdict(approval: Approval) -> str:
    needed = f"{len(approval.approved)} of {approval.request.needed} needed"
    if approval.refused:
        return f"stopped by {', '.join(approval.refused)}"
    if approval.is_released:
        return "it may go: " + (needed if approval.is_approved else "overridden")
    return f"not yet: {needed}"


def _said_by(approver: str, approval: Approval, mail: ServiceState | None) -> str:
    key = folded(approver)
    said = [one for one in approval.said if folded(one.approver) == key]
    if not said:
        return _mailed(mail)
    return "; ".join(f"{said_words(one, whose=False)} ({output.when(one.at)})" for one in said)


def said_words(one: ApprovalSaid, *, whose: bool = True) -> str:
    """What somebody said to a request, in words; with the approver's address if asked for."""
    if one.decision is Decision.OVERRIDDEN:
        return f"{one.author} sent it without the approval: {quoted_words(one.words)}"
    if one.how == approvals.TYPED:
        code = f"the code of {one.approver}" if whose else "their code"
        return f"{one.author} typed {code} on this machine"
    what = {
        Decision.APPROVED: "approved by mail",
        Decision.REFUSED: "said no",
        Decision.UNDECIDED: "wrote neither yes with the code nor no",
    }[one.decision]
    return f"{f'{one.approver} ' if whose else ''}{what}: {quoted_words(one.words)}"


def quoted_words(words: str) -> str:
    """Somebody's words in one line, in quotation marks."""
    line = output.fitted(" ".join(words.split()), _WORDS)
    return f'"{line}"' if line else "no words"


_WORDS = 300  # characters of an approver's words that are shown


def _mailed(mail: ServiceState | None) -> str:
    """What became of an approver's mail, who has not answered."""
    if mail is None:
        return "was not asked"
    if mail.state is State.SENT:
        return "has not answered yet"
    why = f" ({mail.reply or mail.reason})" if mail.reply or mail.reason else ""
    return {
        State.QUEUED: "the mail was not sent yet",
        State.SENDING: "the mail is being sent",
        State.DEFERRED: "the server asked us to send the mail later",
        State.UNCERTAIN: "the mail may or may not have arrived",
    }.get(mail.state, "the mail was not delivered") + why


def _mails(place: Workspace, request: int) -> list[ServiceState]:
    return mails_about(place.log, [ServiceKind.APPROVAL], request)
