"""What comes back is written down mail by mail, and none of them holds up the others."""

from collections.abc import Callable

import pytest

from petition.outbox.listing import Listing
from petition.outbox.log import Log
from petition.outbox.mail import Incoming, Received
from petition.outbox.records import Copy
from petition.outbox.states import State
from tests.unit.outbox.hand import bring_to


def answer_to(copy: int, words: str) -> Received:
    data = f"answer {copy} {words}".encode()
    ids = (f"<{copy}@x>",)
    return Received(data, "maildir:x", words, kind="answer", words=words, message_ids=ids)


@pytest.fixture
def sent(log: Log, queue: Callable[..., Listing]) -> Log:
    queue("ann")
    bring_to(log, "ann", State.SENT)
    return log


def test_a_mail_that_the_program_fails_on_is_set_aside_and_the_others_count(
    sent: Log, monkeypatch: pytest.MonkeyPatch
):
    incoming = Incoming(sent)
    apply = incoming._apply

    def failing(mail: Received, copy: Copy, *rest: object) -> tuple[str, ...]:
        done = apply(mail, copy, *rest)
        if mail.words == "second":
            raise TypeError("unhashable")
        return done

    monkeypatch.setattr(incoming, "_apply", failing)
    mails = [answer_to(1, words) for words in ("first", "second", "third")]
    recorded = incoming.record(mails, "imaps://x", (7, 3))
    assert [one.effects for one in recorded] == [("unclassified",), (), ("unclassified",)]
    assert "TypeError: unhashable" in recorded[1].mail.reason
    assert incoming.position("imaps://x") == (7, 3)
    quotes = sent.database._connection.execute("SELECT quote FROM answer ORDER BY id").fetchall()
    assert [row[0] for row in quotes] == ["first", "third"]
    assert incoming.record(mails) == []
