"""When a run pauses, slows down or stops because of errors in a row, and what it reports.

Trouble with the server is counted in episodes, so that connections lost together count once. A new
episode begins when a connection fails that was opened after the last episode began. The run pauses
after each episode, longer each time, and stops after the sixth in a row.
"""

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from petition.address import folded
from petition.errors import LogUnusable, PetitionError
from petition.mail_parser import all_addresses
from petition.outbox.models import Copy
from petition.outbox.states import State
from petition.sending.rate_limit import SLOWED_SECONDS, Pace, provider_of
from petition.smtp.login import OpeningTrouble
from petition.smtp.replies import Cause, Outcome, Reply, Scope, Stage, Verdict, cause_of


class CopyResult(NamedTuple):
    """What became of one copy."""

    copy: Copy
    state: State
    reason: str


class Wait(NamedTuple):
    """A run waits and then continues."""

    until: datetime
    is_for_server: bool  # which could not be reached or kept closing connections


class Slowed(NamedTuple):
    """Letters go more slowly than they could.

    The seconds are between two letters to the provider, or until the server is tried again; 0
    if the server refuses commands that are pipelined after a final dot.
    """

    domain: str  # the provider that asked for it; "": the server itself
    said: str  # the reply, or what happened
    seconds: float
    is_refusal: bool = False  # the server refuses letters; their connection was all right


@dataclass(slots=True)
class RunResult:
    """How a run ended."""

    trouble: OpeningTrouble | None = None  # the server could not be reached or refused the login
    broken: str | None = None  # it kept closing connections, or refusing letters: how
    is_refusing: bool = False  # the latter
    refused: str | None = None  # its reply to the message, five times in a row
    unknown: str | None = None  # its reply to recipients, too often to be true of all
    capped: datetime | None = None  # the daily cap is reached: when the next letter may go
    closed: datetime | None = None  # outside the sending hours: when they begin
    hindrance: PetitionError | None = None  # why the last hindered copy could not be built here
    hindered: int = 0  # copies that could not be built here, and wait
    is_hindered: bool = False  # they were too many, and ended the run
    log_fault: LogUnusable | None = None  # the log could no longer be written
    stopped: bool = False  # by a person, or by a worker because the letter's settings changed
    clock_was_ahead: bool = False  # letters were counted by a clock over a day ahead
    # Recipients in cc or bcc that the server refused, of letters that were sent.
    also_refused: list[tuple[str, Reply]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether no further letter is to be begun."""
        return bool(self.is_final or self.trouble or self.broken or self.capped or self.closed)

    @property
    def breakdown(self) -> str:
        """Why the server was given up although it could be reached, as a clause."""
        if self.is_refusing:
            return f"the server refuses more letters for now: {self.broken}"
        return f"the server kept closing the connection: {self.broken}"

    @property
    def is_final(self) -> bool:
        """Whether waiting would not help."""
        return bool(
            self.stopped
            or self.refused
            or self.unknown
            or self.is_hindered
            or self.log_fault
            or (self.trouble and not self.trouble.is_passing)
        )


EPISODES_IN_A_ROW = 6  # of trouble with the server
# The wait after each but the last, in units of the route's pause: about two minutes in all.
RESTS = (1, 5, 15, 30, 60)
# With --wait, before the server is tried again; the last one repeats.
RETURNS = (2 * 60, 5 * 60, 10 * 60, 20 * 60, 30 * 60)
REFUSALS_IN_A_ROW = 5  # of the message
UNKNOWN_IN_A_ROW = 20  # recipients: a relay is broken, not the list
PROVIDERS_IN_A_ROW = 3  # to which letters are refused in the same words: the server means us
_CHARGED_KEPT = 1000  # letters whose attempt is taken back when that shows
_TAKING_KEPT = 100
_FIRST = 20  # letters of a run: half of them refused for their recipients end it
_ASK_AT = re.compile(r"\b(?:postmaster|abuse|support|help|helpdesk|admin)@\S+", re.IGNORECASE)
_REFUSED = frozenset({Outcome.FAILED, Outcome.DEFERRED})
_NO_MAILBOX = frozenset({"5.1.1", "5.1.10"})  # RFC 3463 3.2, RFC 7505 4.2


class CircuitBreaker:
    """Counts errors, and writes to the result of the run why it ends."""

    def __init__(self, result: RunResult) -> None:
        self.troubles = 0  # episodes in a row
        self.episode = 0  # the present one; a connection keeps that of its opening
        self.has_opened = False  # a connection, since the server was last given up
        self.said = ""  # the reply at the last trouble, or what happened
        self.is_refusal = False  # it was a reply to a letter
        self._result = result
        self.returns = 0  # waits for a server that was given up and took nothing since
        self._refusals = 0
        self._refusing: set[str] = set()  # the providers of those in a row; "": the server
        self._has_deferred = False  # one of them was not refused for good
        self._taking: set[str] = set()  # some providers that took letters
        self._tried = 0
        self._unknown = 0
        self._unknown_in_a_row = 0
        self._doubtful: list[str] = []
        # Of refusals in a row: their words, the providers of their recipients, and what each cost.
        self._same_words = ""
        self._same_providers: set[str] = set()
        self._charged: deque[CopyResult] = deque(maxlen=_CHARGED_KEPT)

    @property
    def is_calm(self) -> bool:
        """Whether the server is known to work, and the last letter met no trouble with it."""
        return self.has_opened and not self.troubles

    def give_time(self) -> int:
        """Start again after the server was given up; returns how many of its pauses to wait."""
        wait = RETURNS[min(self.returns, len(RETURNS) - 1)]
        self.returns += 1
        self.troubles = 0
        self.has_opened = False
        self._result.trouble = self._result.broken = None
        return wait

    def not_opened(self, trouble: OpeningTrouble) -> None:
        """A connection could not be opened."""
        self.said, self.is_refusal = str(trouble.reply or trouble.what), False
        self._begin_episode()
        # A server that was never reached is more likely misspelt than overloaded.
        is_hopeless = not trouble.is_passing or not (self.has_opened or trouble.reply)
        if is_hopeless or self.troubles >= EPISODES_IN_A_ROW:
            self._result.trouble = trouble

    def reconsider(self, verdict: Verdict, mailbox: str) -> Verdict:
        """The verdict on a letter; on the server, where it says the same of several providers."""
        if not _is_told_of_letter(verdict):  # a server may hang up after each refusal
            return verdict
        words = "" if verdict.is_sent else _words_for_anybody(verdict, mailbox)
        if words != self._same_words:
            self._same_words, self._same_providers = words, set()
            self._charged.clear()
        if words:
            self._same_providers.add(_provider_of(mailbox))
        if not self._means_us:
            return verdict
        # It may take letters later, unless it has seen this one and refuses it for good.
        is_final = verdict.scope is Scope.MESSAGE and verdict.outcome is Outcome.FAILED
        scope = Scope.MESSAGE if is_final else Scope.SERVER
        return verdict._replace(outcome=Outcome.RELEASED, scope=scope, reason=MEANS_US)

    @property
    def _means_us(self) -> bool:
        return len(self._same_providers) >= PROVIDERS_IN_A_ROW

    def charge(self, told: CopyResult, verdict: Verdict) -> list[CopyResult]:
        """Note what a letter came to; returns those that turn out to have been refused for us."""
        is_charged = self._same_words and told.state in {State.DEFERRED, State.FAILED}
        if is_charged and _is_told_of_letter(verdict):
            self._charged.append(told)
        if not (self._means_us and self._charged):
            return []
        back = {one.copy.id: one for one in self._charged}  # the last attempt of each
        self._charged.clear()
        existing = {one.copy.mailbox for one in back.values()}
        self._doubtful = [one for one in self._doubtful if one not in existing]
        failed = sum(one.state is State.FAILED for one in back.values())
        self._unknown = max(0, self._unknown - failed)
        # Those before a letter that was not refused for its recipient are out of the row already.
        self._unknown_in_a_row = max(0, self._unknown_in_a_row - failed)
        return [*back.values()]

    def weigh(self, verdict: Verdict, episode: int, mailbox: str) -> None:
        """Count what became of a letter, whose connection was opened in an episode."""
        if verdict.is_sent:
            self.troubles = self.returns = self._unknown_in_a_row = 0
            self._tried += 1
            self._end_refusals(mailbox)
            return
        said = str(verdict.reply or verdict.reason)
        if verdict.scope is Scope.SERVER:
            self.said = said
            self.is_refusal = verdict.is_refusal and not said.startswith("421")
            if episode >= self.episode:
                self._begin_episode()
            if self.troubles >= EPISODES_IN_A_ROW:
                self._result.broken, self._result.is_refusing = said, self.is_refusal
            return
        if verdict.reason == MEANS_US:
            self._result.refused = said
            return
        self.troubles = self.returns = 0
        if verdict.outcome in _REFUSED and verdict.scope is Scope.MESSAGE:
            self._weigh_refusal(verdict, mailbox, said)
        else:
            self._end_refusals(mailbox)
        if verdict.outcome is not Outcome.RELEASED:
            self._weigh_recipient(verdict, mailbox, said)

    def to_suppress(self, *, at_end: bool = False) -> list[str]:
        """The mailboxes that proved not to exist, each once."""
        if self._result.unknown:
            return []
        if not at_end and (self._unknown_in_a_row or self._tried < _FIRST):
            return []
        told, self._doubtful = self._doubtful, []
        return told

    def _weigh_refusal(self, verdict: Verdict, mailbox: str, said: str) -> None:
        is_by_policy = _is_letter_refused_by_policy(verdict)
        self._refusals += 1
        self._refusing.add(_provider_of(mailbox) if is_by_policy else "")
        self._has_deferred = self._has_deferred or verdict.outcome is Outcome.DEFERRED
        if self._refusals >= REFUSALS_IN_A_ROW and not self._is_of_one_provider:
            self._result.refused = said

    def _end_refusals(self, mailbox: str) -> None:
        self._refusals = 0
        self._refusing.clear()
        self._has_deferred = False
        if len(self._taking) < _TAKING_KEPT:
            self._taking.add(_provider_of(mailbox))

    @property
    def _is_of_one_provider(self) -> bool:
        """Whether only one provider refuses: the pace deals with that."""
        # One that refuses for good gets no more, and the next letter goes to another: a list may
        # begin with one provider. One that defers is tried again and again, so that others must
        # have taken letters.
        is_one = len(self._refusing) == 1 and "" not in self._refusing
        return is_one and (not self._has_deferred or bool(self._taking - self._refusing))

    def _weigh_recipient(self, verdict: Verdict, mailbox: str, said: str) -> None:
        self._tried += 1
        is_unknown = (
            verdict.stage is Stage.RCPT
            and verdict.outcome is Outcome.FAILED
            and verdict.reply is not None
        )
        if not is_unknown:
            self._unknown_in_a_row = 0
            return
        self._unknown += 1
        self._unknown_in_a_row += 1
        if verdict.reply and _denies_mailbox(verdict.reply, mailbox):
            self._doubtful.append(mailbox)
        half_of_the_first = self._tried <= _FIRST and self._unknown >= _FIRST // 2
        if self._unknown_in_a_row >= UNKNOWN_IN_A_ROW or half_of_the_first:
            self._result.unknown = said

    def _begin_episode(self) -> None:
        self.episode += 1
        self.troubles += 1


def _provider_of(mailbox: str) -> str:
    return provider_of(mailbox.rpartition("@")[2].lower())


def _denies_mailbox(reply: Reply, mailbox: str) -> bool:
    """Whether a reply says, in its code and its words, that there is no such mailbox."""
    text = _ASK_AT.sub("", reply.text)
    named = set(map(folded, all_addresses(text)))
    if named and folded(mailbox) not in named:  # the sender's, or one that it is an alias of
        return False
    if reply.enhanced not in _NO_MAILBOX:
        return False
    # 5.1.1 alone does not suffice: some say it of a limit, in words that nobody knows.
    code = "" if reply.enhanced == "5.1.1" else reply.enhanced
    return cause_of(code, reply.text)[0].is_permanent


MEANS_US = "the server says the same to letters for several providers: it means us"
_ABOUT_ANYBODY = frozenset({Cause.SENDER, Cause.POLICY, Cause.EXPIRED, Cause.OTHER})
_OF_ONE = r"<[^>]*>|\S*[@\d]\S*"  # addresses, times, numbers of letters


def _is_told_of_letter(verdict: Verdict) -> bool:
    """Whether a server took or refused a letter, and not the connection."""
    return verdict.is_sent or (verdict.reply is not None and verdict.scope is not Scope.SERVER)


def _words_for_anybody(verdict: Verdict, mailbox: str) -> str:
    """What a server said of a letter, if it may be about all of them; or ""."""
    reply = verdict.reply
    if reply is None or not verdict.is_refusal or _is_greylisting(reply):
        return ""
    # Some say 5.1.1 of a limit, and who is believed gone is never written to: the words decide.
    code = reply.enhanced or ""
    cause, _ = cause_of("" if code in _NO_MAILBOX else code, reply.text)
    domain = re.escape(mailbox.rpartition("@")[2].lower())
    words = " ".join(re.sub(rf"{_OF_ONE}|\S*{domain}\S*", " ", reply.text.lower()).split())
    return (words or str(reply.code)) if cause in _ABOUT_ANYBODY else ""


def _is_letter_refused_by_policy(verdict: Verdict) -> bool:
    """Whether the letter was read and refused by a policy (RFC 3463 3.8), not for its sender."""
    return verdict.stage is Stage.DOT and verdict.enhanced.startswith(("4.7.", "5.7."))


def rest_after(troubles: int) -> int:
    """How long to wait after so many troubles in a row, in units of the route's pause."""
    return RESTS[min(troubles, len(RESTS)) - 1] if troubles else 0


_NOTED_SECONDS = 5.0  # a shorter wait is not reported


class Slowing:
    """Slows the pace when a provider or the server asks for it, and reports that once."""

    def __init__(self, pace: Pace, note: Callable[[Slowed], None]) -> None:
        self._pace = pace
        self._note = note
        self._noted: set[str | int] = set()  # domains, and episodes of trouble

    def mind(self, domain: str, verdict: Verdict) -> None:
        """Slow down for the provider of a letter if it asks for that."""
        if verdict.is_sent:
            self._pace.ease(domain)
        elif verdict.reply and verdict.stage in {Stage.RCPT, Stage.DOT}:
            said = str(verdict.reply)
            if _asks_for_less(verdict.reply):
                self._pace.slow_down(domain)
                self._note_once(domain, Slowed(domain, said, SLOWED_SECONDS))
            elif _is_refused_for_good_by_policy(verdict) and self._pace.refused_by_policy(domain):
                self._note(Slowed(provider_of(domain), said, math.inf))

    def rest(self, episode: int, said: str, seconds: float, *, is_refusal: bool) -> None:
        """The run is about to wait because of trouble with the server."""
        slowed = Slowed("", said, seconds, is_refusal)
        if seconds >= _NOTED_SECONDS:
            self._note_once(episode, slowed)
        elif is_refusal:
            self._note_once(said, slowed)

    def dot_goes_alone(self, said: str) -> None:
        """The server accepts no commands with a final dot: one round trip more for each letter."""
        self._note(Slowed("", said, 0))

    def _note_once(self, reason: str | int, slowed: Slowed) -> None:
        if reason not in self._noted:
            self._noted.add(reason)
            self._note(slowed)


def _is_refused_for_good_by_policy(verdict: Verdict) -> bool:
    """Whether a provider refused this letter, and not the server all of them (RFC 3463 3.8)."""
    return verdict.scope is not Scope.SERVER and verdict.enhanced.startswith("5.7.")


def _asks_for_less(reply: Reply) -> bool:
    if reply.code == 421:
        return True
    if _is_greylisting(reply):
        return False
    return (reply.enhanced or "").startswith("4.7.")


def _is_greylisting(reply: Reply) -> bool:
    """Whether each recipient waits separately: going slower does not help."""
    return re.search("gr[ae]y.?list", reply.text.lower()) is not None
