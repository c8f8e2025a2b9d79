"""Slows a run down for those who ask for it, and says so once for each reason."""

import math
from collections.abc import Callable

from petition.delivery.ending import Slowed
from petition.delivery.pace import SLOWED_SECONDS, Pace
from petition.delivery.providers import provider_of
from petition.delivery.reply import Outcome, Reply, Stage, Verdict

_NOTED_SECONDS = 5.0  # a shorter rest is not worth a line


class Slowing:
    """Minds what a provider or the server says about how fast letters come.

    Args:
        pace: What is slowed.
        note: Is called when letters begin to go more slowly.
    """

    def __init__(self, pace: Pace, note: Callable[[Slowed], None]) -> None:
        self._pace = pace
        self._note = note
        self._noted: set[str | int] = set()  # domains, and episodes of trouble with the server

    def mind(self, domain: str, verdict: Verdict) -> None:
        """Slow down for a provider that asks for it, and for no other.

        Args:
            domain: Whose letter it was, in lower case.
            verdict: What became of it.
        """
        if verdict.outcome is Outcome.SENT:
            self._pace.ease(domain)
        elif verdict.reply and verdict.stage in {Stage.RCPT, Stage.DOT}:
            said = str(verdict.reply)
            if _asks_for_less(verdict.reply):
                self._pace.slow_down(domain)
                self._note_once(domain, Slowed(domain, said, SLOWED_SECONDS))
            elif _is_by_policy(verdict.reply) and self._pace.refused_by_policy(domain):
                self._note(Slowed(provider_of(domain), said, math.inf))

    def rest(self, episode: int, said: str, seconds: float) -> None:
        """The run is about to rest because the server is in trouble.

        Args:
            episode: Which trouble; it is noted once.
            said: What the server said.
            seconds: How long.
        """
        if seconds >= _NOTED_SECONDS:
            self._note_once(episode, Slowed("", said, seconds))

    def dot_goes_alone(self, reply: Reply) -> None:
        """The server refuses commands that come with a final dot: a letter is two round trips.

        Args:
            reply: What it said to them.
        """
        self._note(Slowed("", str(reply), 0))

    def _note_once(self, reason: str | int, slowed: Slowed) -> None:
        if reason not in self._noted:
            self._noted.add(reason)
            self._note(slowed)


def _asks_for_less(reply: Reply) -> bool:
    """Whether a provider wants letters more slowly (RFC 3463 3.8)."""
    if reply.code == 421:
        return True
    if "greylist" in reply.text.lower():
        return False  # each recipient waits by themselves: less haste helps nobody
    return (reply.enhanced or "").startswith("4.7.")


def _is_by_policy(reply: Reply) -> bool:
    """Whether a reply says that the provider does not want the letter (RFC 3463 3.8)."""
    return (reply.enhanced or "").startswith("5.7.")
