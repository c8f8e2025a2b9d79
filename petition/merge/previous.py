"""What a follow-up can name of the letter before it, and the thread that it goes in.

It differs from person to person, and is kept with the fields of their row: a copy that was
attempted once stays the same, whatever is answered later.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from petition.campaign.people import Person
from petition.merge.fields import LetterDate, Named

PREVIOUS = "_previous"  # beside the columns of a row, none of which begins with _
PREVIOUS_FIELDS = ("subject", "sent_on", "days", "answers", "stalls")
ANSWER_FIELDS = ("status", "demand", "channel", "quote", "on")


@dataclass(frozen=True, slots=True)
class Previous:
    """The letter that somebody had before, and where they stand with it.

    Args:
        subject: Its subject, without the "Re:" of a follow-up.
        sent_on: The day of its sending.
        days: How many days ago that was.
        answers: What they said so far, each with `status`, `demand`, `channel`, `quote`, `on`.
        open_demands: The ids of the demands that wait for an answer.
        thread: The Message-IDs of the letters before, the latest last.
    """

    subject: str
    sent_on: date
    days: int
    answers: tuple[Mapping[str, str], ...] = ()
    open_demands: tuple[str, ...] | None = None
    thread: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The same as the log keeps it."""
        values = {
            "subject": self.subject,
            "sent_on": self.sent_on.isoformat(),
            "days": self.days,
            "answers": [dict(one) for one in self.answers],
            "open": self.open_demands,
            "thread": self.thread,
        }
        return json.dumps(values, ensure_ascii=False, sort_keys=True)


def stand_in(title: str, today: date) -> Previous:
    """What stands for a letter that nobody has got yet, so that a follow-up can be looked at.

    Args:
        title: Stands for its subject.
        today: The day it is.
    """
    stall = {"status": "stalled", "demand": "", "channel": "phone", "quote": "…"}
    return Previous(title, today, 0, ({**stall, "on": today.isoformat()},))


def thread_of(person: Person) -> tuple[str, ...]:
    """The Message-IDs of the letters that a person had before in this thread, the latest last."""
    kept = person.fields.get(PREVIOUS)
    return tuple(json.loads(kept)["thread"]) if kept else ()


def previous_names(
    person: Person, instead: Previous, demands: Sequence[Named], language: str
) -> dict[str, Any]:
    """What a follow-up can name for one person: `previous` and `open_demands`.

    Args:
        person: The person.
        instead: What counts for a person of whom nothing is known.
        demands: All demands, in the language of the letter.
        language: Its language tag.
    """
    kept = json.loads(person.fields.get(PREVIOUS) or instead.to_json())
    answers = [_answer(one, language) for one in kept["answers"]]
    stalls = [one for one in answers if one.field("status") == "stalled"]
    values = {
        "subject": kept["subject"],
        "sent_on": LetterDate("previous.sent_on", date.fromisoformat(kept["sent_on"]), language),
        "days": kept["days"],
        "answers": tuple(answers),
        "stalls": tuple(stalls),
    }
    is_open = [kept["open"] is None or one.field("id") in kept["open"] for one in demands]
    return {
        "previous": Named("previous", values),
        "open_demands": tuple(one for one, yes in zip(demands, is_open, strict=True) if yes),
    }


def _answer(one: Mapping[str, str], language: str) -> Named:
    on = LetterDate("answer.on", date.fromisoformat(one["on"]), language)
    return Named("answer", {**one, "on": on})
