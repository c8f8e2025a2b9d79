"""Approvals: who was asked whether a letter may go, and what they said.

A request is bound to the frozen letter, the list, the server and the approvers: with any of them
changed there is none, and the approvers have to be asked again. Each approver has a code of their
own (identity.py), which only their mail says. What was said is never changed; what it comes to is
worked out from all of it in order, in `Approval`.
"""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from petition.address import folded
from petition.identity import Signer, codes_in, is_code
from petition.outbox.database import Row, intact, moment, stamp
from petition.outbox.log import Log
from petition.outbox.service import ServiceKind, about_of, mails_about

MARK = "petition-approval"  # stands above the code in our mail
_MARK = re.compile(r"petition[\s>\u2010-\u2015-]{0,5}approval", re.IGNORECASE)
_KIND = ServiceKind.APPROVAL
MAIL, TYPED, OVERRIDE = "mail", "typed", "override"  # how something was said


class Decision(StrEnum):
    """What was said to a request."""

    APPROVED = "approved"  # with the code
    REFUSED = "refused"
    UNDECIDED = "undecided"  # an approver's mail with neither, or with both: it counts for nothing
    OVERRIDDEN = "overridden"  # somebody sent without the approval, for a reason


class ApprovalRequest(NamedTuple):
    """One time that approvers were asked."""

    id: int
    letter: str
    revision: int
    hash: str  # of the letter, as it would be frozen
    binding: str  # of the letter, the list, the server and the approvers
    copies: int  # that were to be sent then
    through: str  # the server
    needed: int
    approvers: tuple[str, ...]  # addresses
    author: str  # who asked
    at: datetime


class ApprovalSaid(NamedTuple):
    """What was said to a request."""

    id: int
    request: int
    at: datetime
    decision: Decision
    how: str  # MAIL, TYPED or OVERRIDE
    approver: str  # whose mail or code it was; "" of an override
    words: str  # what they wrote, or the reason of an override
    mail: int | None
    author: str  # who recorded it


class Approval:
    """A request, what was said to it, oldest first, and whether the letter may go by that."""

    def __init__(self, request: ApprovalRequest, said: Sequence[ApprovalSaid] = ()) -> None:
        self.request = request
        self.said = tuple(said)
        self.approved: dict[str, ApprovalSaid] = {}  # by approver
        self.refused: dict[str, ApprovalSaid] = {}
        self.override: ApprovalSaid | None = None
        for one in said:
            self._count(one)

    def _count(self, one: ApprovalSaid) -> None:
        key = folded(one.approver)
        if one.decision is Decision.OVERRIDDEN:
            self.override = one
            self.refused.clear()  # a later no stops it again
        elif one.decision is Decision.REFUSED:
            self.approved.pop(key, None)
            self.refused[key] = one
        elif one.decision is Decision.APPROVED:
            # What somebody else typed does not take back an approver's own no.
            if one.how == MAIL:
                self.refused.pop(key, None)
            if key not in self.refused:
                self.approved.setdefault(key, one)

    @property
    def is_approved(self) -> bool:
        """Whether enough have approved, whatever others said."""
        return len(self.approved) >= self.request.needed

    @property
    def is_released(self) -> bool:
        """Whether the letter may go."""
        return not self.refused and (self.is_approved or self.override is not None)

    @property
    def open(self) -> list[str]:
        """The approvers who have neither approved nor refused."""
        decided = {*self.approved, *self.refused}
        return [one for one in self.request.approvers if folded(one) not in decided]


def ask(  # noqa: PLR0913 (what a request is about)
    log: Log,
    letter: str,
    revision: int,
    frozen_hash: str,
    binding: str,
    *,
    copies: int,
    through: str,
    needed: int,
    approvers: Sequence[str],
    author: str,
) -> ApprovalRequest:
    """Record a request, in a transaction of the caller, who also mails it."""
    boxes = json.dumps(list(approvers), ensure_ascii=False)
    values = {"letter": letter, "revision": revision, "hash": frozen_hash, "binding": binding}
    values |= {"copies": copies, "through": through, "needed": needed, "approvers": boxes}
    now = log.now
    values |= {"author": author, "now": now}
    number = int(log.database.value("add_approval_request", values))
    return ApprovalRequest(
        *(number, letter, revision, frozen_hash, binding, copies, through, needed),
        *(tuple(approvers), author, moment(now)),
    )


def say(  # noqa: PLR0913 (who said what, and how)
    log: Log,
    request: int,
    decision: Decision,
    how: str,
    *,
    approver: str = "",
    words: str = "",
    mail: int | None = None,
    author: str,
) -> None:
    """Record what was said to a request, in a transaction of the caller."""
    values = {"request": request, "decision": decision, "how": how, "approver": approver}
    values |= {"words": words, "mail": mail, "author": author, "now": log.now}
    log.database.run("add_approval", values)


def code_of(log: Log, request: ApprovalRequest, approver: str) -> str:
    """The code by which one approver lets a letter go."""
    return Signer(log.key).approval_code(request.binding, request.id, folded(approver))


def all_approvals(log: Log, letter: str | None = None) -> list[Approval]:
    """All requests, or those for a letter, each with what was said to it; oldest first."""
    said: dict[int, list[ApprovalSaid]] = {}
    for row in log.database.all("approvals"):
        one = _said_of(row)
        said.setdefault(one.request, []).append(one)
    found = map(_request_of, log.database.all("approval_requests"))
    return [Approval(one, said.get(one.id, ())) for one in found if letter in {None, one.letter}]


def approvals_for(log: Log, letter: str, bindings: Collection[str]) -> list[Approval]:
    """The same of the requests that are bound to one of these."""
    values = {"letter": letter, "bindings": list(bindings)}
    rows = log.database.all("approval_requests_for", values)
    return [approval_of(log, _request_of(row)) for row in rows]


def approval_of(log: Log, request: ApprovalRequest) -> Approval:
    """A request with what was said to it."""
    rows = log.database.all("approvals_of", {"request": request.id})
    return Approval(request, list(map(_said_of, rows)))


def was_asked(log: Log, request: ApprovalRequest) -> bool:
    """Whether anybody was mailed; else the request is only what an override was recorded with."""
    return bool(mails_about(log, [_KIND], request.id))


def described(log: Log, approval: Approval) -> dict[str, object]:
    """A request with what was said to it, as JSON has it for scripts and in evidence packs."""
    request = approval.request
    mails = {folded(one.mailbox): str(one.state) for one in mails_about(log, [_KIND], request.id)}
    return {
        "letter": request.letter,
        "revision": request.revision,
        "hash": request.hash,
        "copies": request.copies,
        "through": request.through,
        "needed": request.needed,
        "asked_at": stamp(request.at),
        "asked_by": request.author,
        "approvers": [{"email": one, "mail": mails.get(folded(one))} for one in request.approvers],
        "released": approval.is_released,
        "said": [
            {
                "at": stamp(one.at),
                "decision": str(one.decision),
                "how": one.how,
                "approver": one.approver or None,
                "words": one.words,
                "mail": one.mail,
                "author": one.author,
            }
            for one in approval.said
        ],
    }


def with_code(
    log: Log, typed: Iterable[str], only: str | None = None
) -> tuple[ApprovalRequest, str] | None:
    """The request, and the approver (of `only` one, if given), whose code is among what was typed.

    The newest if there are several.
    """
    typed = list(typed)
    for row in reversed(log.database.all("approval_requests") if typed else []):
        request = _request_of(row)
        for approver in request.approvers:
            if only is None or folded(only) == folded(approver):
                code = code_of(log, request, approver)
                if any(is_code(one, code) for one in typed):
                    return request, approver
    return None


def asked(log: Log, mailbox: str) -> list[ApprovalRequest]:
    """The requests that an address was asked for, oldest first."""
    key = folded(mailbox)
    requests = map(_request_of, log.database.all("approval_requests"))
    return [one for one in requests if key in map(folded, one.approvers)]


def judge(
    log: Log,
    sender: str,
    words: str,
    message_ids: Iterable[str],
    *,
    refuses: bool,
    hedges: bool,
    is_loose: bool,
) -> tuple[ApprovalRequest, Decision] | None:
    """What a person's mail says to a request; None: to none.

    Only a mail from an approver's own mailbox counts. Their own `words` have to hold their code to
    approve; `refuses` says whether they begin with a no, `hedges` whether they have a but or an
    if, with which the code alone approves nothing. A no that answers no mail of ours, and
    belongs to no letter either (`is_loose`), stops what they were asked last.
    """
    requests = {one.id: one for one in asked(log, sender)}
    if not requests:
        return None
    codes = codes_in(above_mark(words))
    coded = with_code(log, codes, sender)
    answered = (about_of(log, one) for one in message_ids)
    replied = next(
        (requests[one[1]] for one in answered if one and one[0] is _KIND and one[1] in requests),
        None,
    )
    request = coded[0] if coded else replied
    if request is None and refuses and is_loose:
        request = max(requests.values(), key=lambda one: one.id)
    if request is None:
        return None
    if bool(coded) == refuses or (coded and hedges):  # neither, both, or a yes with a condition
        return request, Decision.UNDECIDED
    return request, Decision.REFUSED if refuses else Decision.APPROVED


def above_mark(words: str) -> str:
    """What stands above our own mail in a person's words, where it follows without quote marks."""
    return _MARK.split(words, maxsplit=1)[0]  # programs that fill lines break it at its hyphen


def _request_of(row: Row) -> ApprovalRequest:
    *most, approvers, author, at = row
    with intact():
        boxes = tuple(map(str, json.loads(approvers)))
    return ApprovalRequest._make([*most, boxes, author, moment(at)])


def _said_of(row: Row) -> ApprovalSaid:
    number, request, at, decision, *rest = row
    with intact():
        return ApprovalSaid(number, request, moment(at), Decision(decision), *rest)
