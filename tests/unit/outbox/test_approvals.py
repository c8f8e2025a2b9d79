"""What was said to a request for approval, and what it comes to."""

import pytest

from petition.outbox import approvals
from petition.outbox.approvals import MAIL, OVERRIDE, TYPED, Approval, Decision
from petition.outbox.log import Log

ANN, BEA = "ann@x.example", "bea@x.example"
YES, NO, UNCLEAR = Decision.APPROVED, Decision.REFUSED, Decision.UNDECIDED
ANYWAY = (Decision.OVERRIDDEN, OVERRIDE, "")


def ask(log: Log, needed: int = 1, binding: str = "b1") -> approvals.ApprovalRequest:
    _ = log.key
    with log.writing():
        return approvals.ask(
            log,
            "open",
            1,
            "hash",
            binding,
            copies=3,
            through="mx.example:25",
            needed=needed,
            approvers=[ANN, BEA],
            author="cleo",
        )


def approval(log: Log) -> Approval:
    [found] = approvals.approvals_for(log, "open", ["b1", "b2"])
    return found


@pytest.mark.parametrize(
    ("needed", "said", "is_released"),
    [
        (1, [], False),
        (1, [(UNCLEAR, MAIL, ANN)], False),
        (1, [(YES, MAIL, ANN)], True),
        (1, [(YES, MAIL, "Ann@X.example")], True),
        (1, [(YES, TYPED, ANN)], True),
        (2, [(YES, MAIL, ANN), (YES, MAIL, ANN)], False),
        (2, [(YES, MAIL, ANN), (YES, TYPED, BEA)], True),
        (1, [(YES, MAIL, ANN), (NO, MAIL, BEA)], False),
        (1, [(NO, MAIL, BEA), (YES, MAIL, ANN)], False),
        (1, [(NO, MAIL, BEA), (YES, TYPED, BEA)], False),
        (1, [(NO, MAIL, BEA), (YES, MAIL, BEA)], True),
        (1, [(YES, MAIL, BEA), (NO, MAIL, BEA)], False),
        (2, [(NO, MAIL, BEA), ANYWAY], True),
        (2, [ANYWAY, (NO, MAIL, BEA)], False),
        (2, [ANYWAY, (NO, MAIL, BEA), ANYWAY], True),
        (2, [ANYWAY, (UNCLEAR, MAIL, BEA)], True),
    ],
)
def test_what_was_said_in_order_decides(
    log: Log, needed: int, said: list[tuple[Decision, str, str]], is_released: bool
):
    request = ask(log, needed)
    with log.writing():
        for decision, how, approver in said:
            approvals.say(log, request.id, decision, how, approver=approver, author="cleo")
    assert approval(log).is_released is is_released
    assert [one.decision for one in approval(log).said] == [row[0] for row in said]


def test_each_approver_of_each_request_has_a_code_of_their_own(log: Log):
    first, second = ask(log), ask(log, binding="b2")
    codes = {approvals.code_of(log, one, who) for one in (first, second) for who in (ANN, BEA)}
    assert len(codes) == 4
    code = approvals.code_of(log, first, BEA)
    assert approvals.with_code(log, [code.lower()]) == (first, BEA)
    assert approvals.with_code(log, [code], "Bea@X.example") == (first, BEA)
    assert approvals.with_code(log, [code], ANN) is None
    assert approvals.with_code(log, [code[:-1] + "X", ""]) is None


def test_a_mail_counts_for_the_request_whose_code_it_has(log: Log):
    first, second = ask(log), ask(log, binding="b2")
    words = f"Fine.\n{approvals.code_of(log, first, BEA)}"

    def judge(sender: str, words: str, *, refuses: bool = False, hedges: bool = False) -> object:
        return approvals.judge(
            log, sender, words, (), refuses=refuses, hedges=hedges, is_loose=True
        )

    assert judge(BEA, words) == (first, Decision.APPROVED)
    assert judge(BEA, words, refuses=True) == (first, Decision.UNDECIDED)
    assert judge(BEA, words, hedges=True) == (first, Decision.UNDECIDED)
    assert judge(ANN, words) is None
    assert judge("else@x.example", words) is None
    assert judge(BEA, "No.", refuses=True) == (second, Decision.REFUSED)
    assert judge(BEA, f"{approvals.MARK}\n{words}") is None
