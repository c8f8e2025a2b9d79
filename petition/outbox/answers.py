"""What people answered: each answer is recorded once, and where a person stands follows from it.

A record is never changed, but for whether its words are public. The newest one of a person, a
letter and a demand counts; an automatic reply counts only until a person has answered.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from petition.address import folded, is_of
from petition.outbox.database import Database, Row, moment
from petition.outbox.log import Log
from petition.outbox.models import Copy, copy_of
from petition.outbox.states import Reason, State

INBOX = "petition inbox"  # the author of answers that came by mail


class Status(StrEnum):
    """What somebody answered."""

    NONE = "none"  # never recorded
    UNCLASSIFIED = "unclassified"  # no person has classified it yet
    ACKNOWLEDGED = "acknowledged"  # the letter arrived, no more
    STALLED = "stalled"  # put off
    CLARIFICATION = "clarification"  # they asked a question
    MEETING = "meeting"  # they offered to meet
    REFUSED = "refused"
    PARTIAL = "partial"  # some of it is met
    MET = "met"
    WITHDRAWN = "withdrawn"  # the demand was dropped


RECORDED = tuple(status for status in Status if status is not Status.NONE)
UNANSWERED = frozenset({Status.NONE, Status.ACKNOWLEDGED, Status.STALLED})
# Said of a letter as a whole, these leave no demand open.
SETTLED = frozenset({Status.MET, Status.REFUSED, Status.WITHDRAWN})


class Channel(StrEnum):
    """How an answer came."""

    PHONE = "phone"
    DOOR = "door"
    LETTER = "letter"
    MAIL = "mail"


class Answer(NamedTuple):
    """One thing that somebody said to a letter."""

    id: int
    mail: int | None  # the number of the mail that it came in
    at: datetime
    status: Status
    demand: str  # its id; empty: the letter as a whole
    channel: str  # empty: unknown
    quote: str
    author: str  # who recorded it
    letter: str
    folded: str  # who said it (address.folded)
    message_id: str  # that of the mail
    sender: str  # of the mail, where it is not their own address
    is_public: bool = False  # whether a person has said that its words may be quoted in public

    @property
    def is_automatic(self) -> bool:
        """Whether a program sent it."""
        return self.author == INBOX and self.status is Status.ACKNOWLEDGED


class NewAnswer(NamedTuple):
    """What a person records."""

    status: Status
    demands: tuple[str, ...]  # their ids; none: the letter as a whole
    channel: str  # empty: unknown
    quote: str
    mail: int | None  # its number
    author: str
    is_public: bool = False


class StoredMail(NamedTuple):
    """A mail in the log, with the first words of the answer that it is."""

    id: int
    message_id: str
    sender: str
    subject: str
    copy: int | None
    matched_by: str  # leave token, token, Message-ID or sender
    quote: str


class AnswerHistory:
    """Where one person stands with one letter, by their answers, oldest first."""

    def __init__(self, answers: Sequence[Answer] = ()) -> None:
        self.answers = tuple(answers)
        self.pending = [one for at, one in enumerate(answers) if self._is_pending(at, one)]

    def _is_pending(self, at: int, answer: Answer) -> bool:
        if answer.status is not Status.UNCLASSIFIED:
            return False
        later = [one for one in self.answers[at + 1 :] if one.status is not Status.UNCLASSIFIED]
        if answer.mail is not None:
            return not any(one.mail == answer.mail for one in later)
        return not any(
            (one.demand == answer.demand or one.quote == answer.quote != "")
            and not one.is_automatic
            for one in later
        )

    @property
    def stalls(self) -> list[Answer]:
        """The answers that put it off."""
        return [answer for answer in self.answers if answer.status is Status.STALLED]

    def said(self, demand: str = "") -> Status:
        """The last answer to one demand itself; "": to the letter as a whole."""
        if any(one.demand == demand for one in self.pending):
            return Status.UNCLASSIFIED
        said = [
            one
            for one in self.answers
            if one.demand == demand and one.status is not Status.UNCLASSIFIED
        ]
        by_persons = [one for one in said if not one.is_automatic]
        last = (by_persons or said)[-1:]
        return last[0].status if last else Status.NONE

    def to_demand(self, demand: str) -> Status:
        """Where a demand stands: what was said to it, or to the whole letter for good."""
        own, whole = self.said(demand), self.said()
        return whole if own in UNANSWERED and whole in SETTLED else own

    def is_open(self, demand: str) -> bool:
        """Whether a demand has no final answer yet."""
        return self.to_demand(demand) in UNANSWERED

    def overall(self, demands: Iterable[str]) -> Status:
        """Where the person stands, in one word, given the ids of the letter's demands.

        Unclassified while any answer is; else a final answer to the letter as a whole; else the
        answers to the demands, once each has one (`partial` where they differ); else how far it has
        come.
        """
        whole = self.said()
        if self.pending:
            return Status.UNCLASSIFIED
        if whole not in UNANSWERED:
            return whole
        states = {self.to_demand(demand) for demand in demands}
        if states and not states & UNANSWERED:
            return states.pop() if len(states) == 1 else Status.PARTIAL
        so_far = {whole, *states}
        return next(
            (one for one in (Status.STALLED, Status.ACKNOWLEDGED) if one in so_far), Status.NONE
        )


def answers(log: Log, letters: Iterable[str]) -> dict[str, AnswerHistory]:
    """Where everybody stands, by folded mailbox; an answer to any of the letters counts."""
    wanted, found = set(letters), dict[str, list[Answer]]()
    for row in log.database.each("answers"):
        if row["letter"] in wanted:
            found.setdefault(row["folded"], []).append(_answer_of(row))
    return {mailbox: AnswerHistory(said) for mailbox, said in found.items()}


def thread(log: Log, letter: str) -> list[str]:
    """A letter and all that follow it, directly or one after the other."""
    follows = {row["letter"]: row["follows"] for row in log.database.all("follows")}
    found = [letter]
    for name in found:
        found += [one for one, first in follows.items() if first == name and one not in found]
    return found


def copies_had(log: Log, letter: str) -> Iterator[tuple[Copy, datetime | None]]:
    """Everybody's newest copy of a letter that may have arrived, and when it was sent."""
    for row in log.database.each("had", {"letter": letter}):
        yield copy_of(row), moment(row["had_at"]) if row["had_at"] else None


def copies_got(log: Log, mailbox: str) -> list[Copy]:
    """The copies that somebody may have got, the latest last."""
    return [copy_of(row) for row in log.database.all("sent_to", {"folded": folded(mailbox)})]


def stored_mails(log: Log, which: str) -> list[StoredMail]:
    """The mails with a number (`3`) or a Message-ID (`<id@host>`, angle brackets optional)."""
    number = int(which) if which.isascii() and which.isdigit() and len(which) < 19 else None
    message_id = "" if "@" not in which else f"<{which.strip().strip('<>')}>"
    values = {"number": number, "message_id": message_id}
    return [
        StoredMail(**(dict(row) | {"quote": row["quote"] or ""}))
        for row in log.database.all("stored_mails", values)
    ]


class Gate:
    """Who may get a follow-up to a letter: those whose answer to it so far is one of `allowed`."""

    def __init__(self, log: Log, follows: str, allowed: Iterable[str]) -> None:
        self._follows = follows
        self._letters = frozenset(thread(log, follows))
        self._allowed = frozenset(allowed)
        self._demands = _demand_ids(log, follows)

    @classmethod
    def of(cls, log: Log, letter: str) -> "Gate | None":
        """The gate of a letter as it was last frozen; None: it is not a follow-up."""
        document = _document(log, letter)
        follows = document.get("follows")
        return cls(log, follows, document["answers"]) if follows else None

    def bars(self, history: AnswerHistory) -> str:
        """Why somebody with this history does not get the letter, or ""."""
        status = history.overall(self._demands)
        if status is Status.UNCLASSIFIED:
            return Reason.UNCLASSIFIED
        return "" if status in self._allowed else Reason.ANSWERED

    def look(self, database: Database, folded_mailbox: str) -> str:
        """The same for a mailbox now; also where it has not got the letter before."""
        newest = database.one("newest_had", {"letter": self._follows, "folded": folded_mailbox})
        if newest and newest["state"] == State.BOUNCED:
            return did_not_get(self._follows)
        rows = database.all("answers_from", {"folded": folded_mailbox})
        return self.bars(
            AnswerHistory([_answer_of(r) for r in rows if r["letter"] in self._letters])
        )


_DID_NOT_GET = "did not get "


def did_not_get(letter: str) -> str:
    """Why somebody gets no follow-up of a letter that they have not got."""
    return f"{_DID_NOT_GET}{letter}"


def follows_from_answers(reason: str) -> bool:
    """Whether it is for a reason of these that somebody gets no follow-up."""
    return reason in {Reason.ANSWERED, Reason.UNCLASSIFIED} or reason.startswith(_DID_NOT_GET)


def _document(log: Log, letter: str) -> dict[str, Any]:
    newest = log.newest(letter)
    return newest.content if newest else {}


def _demand_ids(log: Log, letter: str) -> list[str]:
    """The demands of a letter, or else of the one that it follows."""
    document = _document(log, letter)
    listed: list[dict[str, Any]] = next(iter(document.get("demands", {}).values()), [])
    if not listed and (first := document.get("follows")):
        return _demand_ids(log, first)
    return [one["id"] for one in listed]


def record_answer(log: Log, copy: Copy, said: NewAnswer) -> str:
    """Record an answer, once for each demand, all or none; returns when, as the log keeps it."""
    with log.writing():
        return _add(log, copy, said)


def mark_public(log: Log, copy: Copy, said: NewAnswer) -> bool:
    """Let the words of a recorded answer be quoted in public or not; False: there is none like it.

    All or none of its demands are marked.
    """
    with log.writing():
        rows = log.database.all("answers_from", {"folded": copy.folded})
        known = {
            row["demand"]
            for row in rows
            if (row["copy"], row["status"], row["quote"]) == (copy.id, said.status, said.quote)
        }
        demands = said.demands or ("",)
        if not known.issuperset(demands):
            return False
        values = {"copy": copy.id, "status": said.status, "quote": said.quote}
        values |= {"public": int(said.is_public)}
        for demand in demands:
            log.database.run("mark_public", values | {"demand": demand})
    return True


def is_pending(log: Log, letter: str, answer: Answer) -> bool:
    """Whether nobody has classified an answer to a letter by now, nor forgotten the person."""
    letters = thread(log, letter)
    rows = log.database.all("answers_from", {"folded": answer.folded})
    said = AnswerHistory([_answer_of(row) for row in rows if row["letter"] in letters])
    return any(one.id == answer.id for one in said.pending)


def classify(log: Log, letter: str, answer: Answer, copy: Copy, said: NewAnswer) -> bool:
    """Record what an answer to a letter is; False: it is no longer pending, nothing was done."""
    with log.writing():
        if found := is_pending(log, letter, answer):
            _add(log, copy, said)
    return found


def _add(log: Log, copy: Copy, said: NewAnswer) -> str:
    now = log.now
    values = {"copy": copy.id, "mail": said.mail, "status": said.status, "channel": said.channel}
    values |= {"quote": said.quote, "author": said.author, "now": now}
    values |= {"public": int(said.is_public)}
    for demand in said.demands or ("",):
        log.database.run("add_answer", values | {"demand": demand})
    return now


def _answer_of(row: Row) -> Answer:
    sender = row["sender"] or ""
    values: dict[str, Any] = dict(row) | {
        "is_public": bool(row["public"]),
        "at": moment(row["at"]),
        "status": Status(row["status"]),
        "message_id": row["message_id"] or "",
        "sender": "" if is_of(sender, row["folded"]) else sender,
    }
    del values["public"], values["copy"]
    return Answer(**values)
