"""What is counted of recipients, where some refusals turn out to be about us."""

from types import SimpleNamespace

from petition.outbox.states import State
from petition.sending.circuit_breaker import CircuitBreaker, CopyResult, RunResult
from petition.smtp.replies import Outcome, Reply, Stage, judge

STATES = {Outcome.SENT: State.SENT, Outcome.DEFERRED: State.DEFERRED, Outcome.FAILED: State.FAILED}


def test_what_is_taken_back_is_taken_from_no_row_that_it_was_not_in():
    breaker, number = CircuitBreaker(RunResult()), 0

    def hear(mailbox: str, stage: Stage, line: str) -> None:
        nonlocal number
        number += 1
        verdict = judge(stage, Reply.of(int(line[:3]), [line[4:].encode()]))
        verdict = breaker.reconsider(verdict, mailbox)
        copy = SimpleNamespace(id=number, mailbox=mailbox)
        told = CopyResult(copy, STATES.get(verdict.outcome, State.QUEUED), "")
        breaker.charge(told, verdict)
        breaker.weigh(verdict, breaker.episode, mailbox)

    for at in range(20):
        hear(f"p@a{at}.example", Stage.DOT, "250 Ok")
    hear("p@b.example", Stage.RCPT, "550 5.7.0 Please authenticate first")
    hear("p@c.example", Stage.RCPT, "450 4.7.0 Please authenticate first")
    hear("p@d.example", Stage.RCPT, "550 5.7.0 Please authenticate first")
    hear("gone@e.example", Stage.RCPT, "550 5.1.1 No such user")
    assert breaker.to_suppress() == []  # until the next letter shows that it is the list
    hear("p@f.example", Stage.DOT, "250 Ok")
    assert breaker.to_suppress() == ["gone@e.example"]
