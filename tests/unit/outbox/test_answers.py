"""Where a person stands: which of the things that they said counts."""

from datetime import UTC, date, datetime

import pytest

from petition.outbox.answers import (
    INBOX,
    Answer,
    AnswerHistory,
    NewAnswer,
    Status,
    answers,
    mark_public,
    record_answer,
)
from petition.outbox.log import Log
from petition.report.ledger import working_days


def said(*told: str) -> AnswerHistory:
    """Answers such as `met river`, `unclassified - 3` (mail 3), `acknowledged - - inbox`."""
    answers = []
    for number, text in enumerate(told, 1):
        status, demand, mail, author = (*text.split(), "-", "-", "-")[:4]
        answers.append(
            Answer(
                id=number,
                mail=None if mail == "-" else int(mail),
                at=datetime(2015, 9, number, tzinfo=UTC),
                status=Status(status),
                demand="" if demand == "-" else demand,
                channel="",
                quote="",
                author=INBOX if author == "inbox" else "ann",
                letter="open",
                folded="p1@x.example",
                message_id="",
                sender="",
            )
        )
    return AnswerHistory(answers)


@pytest.mark.parametrize(
    ("told", "overall"),
    [
        ([], "none"),
        (["stalled", "acknowledged"], "acknowledged"),
        (["acknowledged", "stalled"], "stalled"),
        (["meeting", "stalled"], "stalled"),
        (["stalled river"], "stalled"),
        (["met river"], "none"),
        (["met river", "met books"], "met"),
        (["met river", "refused books"], "partial"),
        (["met river", "refused"], "refused"),
        (["meeting", "acknowledged - 4 inbox"], "meeting"),
        (["acknowledged - 4 inbox"], "acknowledged"),
        (["met", "unclassified - 4 inbox"], "unclassified"),
        (["unclassified - 4 inbox", "met - 5"], "unclassified"),
        (["unclassified - 4 inbox", "met river 4"], "none"),
        (["unclassified - 4 inbox", "acknowledged - 5 inbox"], "unclassified"),
        (["unclassified", "acknowledged - 5 inbox"], "unclassified"),
        (["unclassified", "refused"], "refused"),
        (["unclassified river", "refused"], "unclassified"),
    ],
)
def test_where_a_person_stands(told: list[str], overall: str):
    assert said(*told).overall(["river", "books"]) == overall


@pytest.mark.parametrize(
    ("told", "river", "books"),
    [
        (["met river"], False, True),
        (["refused"], False, False),
        (["meeting"], True, True),
        (["met river", "withdrawn"], False, False),
        (["stalled river", "acknowledged"], True, True),
        (["met river", "stalled river"], True, True),
        (["unclassified river"], False, True),
    ],
)
def test_which_demands_are_open(told: list[str], river: bool, books: bool):
    history = said(*told)
    assert (history.is_open("river"), history.is_open("books")) == (river, books)


def test_what_was_said_to_a_demand_outlives_what_settles_the_whole_letter():
    assert said("met river", "refused").to_demand("river") is Status.MET


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2015-09-11", "2015-09-11", 0),  # Friday
        ("2015-09-11", "2015-09-13", 0),
        ("2015-09-11", "2015-09-14", 1),
        ("2015-09-12", "2015-09-14", 1),
        ("2015-09-14", "2015-09-28", 10),
        ("2015-09-14", "2015-09-12", 0),
    ],
)
def test_working_days_are_those_from_monday_to_friday(start: str, end: str, days: int):
    assert working_days(date.fromisoformat(start), date.fromisoformat(end)) == days


def test_words_are_marked_as_public_and_not_recorded_again(log: Log, queue):
    queue("p1", "p2")
    first, second = log.copies("open")
    told = NewAnswer(Status.STALLED, ("river", "pay"), "phone", "Later.", None, "ann")
    public = told._replace(is_public=True)
    assert not mark_public(log, first, public)  # nothing of the kind was said
    record_answer(log, first, told)
    record_answer(log, second, told)
    assert not mark_public(log, first, public._replace(quote="Never."))
    assert not mark_public(log, first, public._replace(demands=("river", "peace")))
    assert not any(one.is_public for one in given(log, "p1"))
    assert mark_public(log, first, public)
    assert [one.is_public for one in given(log, "p1")] == [True, True]
    assert [one.is_public for one in given(log, "p2")] == [False, False]
    assert mark_public(log, first, told)
    assert not any(one.is_public for one in given(log, "p1"))


def given(log: Log, name: str) -> tuple[Answer, ...]:
    return answers(log, ["open"])[f"{name}@x.example"].answers
