"""petition answer without WHO: the mails that nobody has classified, one after the other, by key.

A decision is recorded when the next one is made or the command ends, so that it can be undone
without a trace: what is recorded is never changed. Whatever ends the program before leaves the mail
unclassified, and it is shown again.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import typer

from petition import system
from petition.campaign.text_file import packaged_toml
from petition.cli import output
from petition.cli.workspace import Workspace
from petition.errors import UsageError
from petition.outbox import answers, manual
from petition.outbox.answers import Answer, Channel, NewAnswer, Status, StoredMail
from petition.outbox.inbound import Incoming
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.report.ledger import CHANNELS, Entry, QuotedDemand, ledger

_STATUSES = {
    "a": (Status.ACKNOWLEDGED, "it arrived, no more"),
    "l": (Status.STALLED, "later, not here, not me"),
    "c": (Status.CLARIFICATION, "a question to you"),
    "m": (Status.MEETING, "let us meet"),
    "r": (Status.REFUSED, "no"),
    "p": (Status.PARTIAL, "yes to some of it"),
    "y": (Status.MET, "yes"),
    "w": (Status.WITHDRAWN, "you no longer demand it"),
}
_OTHERS = {
    "1-9": "it is about this demand (again: it is not)",
    "0": "the same, for a demand by its number: there are more than nine",
    "q": "choose the words that count as the answer",
    "s": "skip this mail",
    "u": "undo the last decision",
    "e": "end",
}
_HELD = {"o": "they want no more letters", "k": "keep writing to them"}
_KEYS = (
    "[a] acknowledged [l] stalled [c] clarification [m] meeting [r] refused",
    "[p] partial [y] met [w] withdrawn",
    "[1-9] demand  [q] quote  [s] skip  [u] undo  [e] end  [?] help",
)
_MATCHED_BY = {
    "leave token": "by its unsubscribe address",
    "token": "by the address that it was sent to",
    "Message-ID": "by the letter that it replies to",
    "sender": "by its sender alone",
}
_SINGLE_KEYS = 9  # demands that have one
_MOST_WORDS = 2_000  # characters that are shown
_ESCAPE = "\x1b"
# What people call a demand, and numbers behind it: "demand 2", "points 1 and 3", "пункт 2".
_NUMBERED = re.compile(
    rf"(?<!\w)(?:{'|'.join(packaged_toml('cli/demand_words.toml')['words'])})\s*"
    r"((?:\d{1,3}\b(?:\s*(?:[,;&/+]|\w{1,3}\b)?\s*(?=\d))?)+)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Case:
    """A mail, or something else that was said, that a person has to classify."""

    entry: Entry
    answer: Answer
    mail: StoredMail | None
    chosen: set[str] = field(default_factory=set)  # ids of demands that it is about
    quote: str = ""  # the words that count
    status: Status | None = None  # as decided

    @property
    def letter(self) -> str:
        """The letter under which it is listed: the one that was answered, or that it follows."""
        return self.entry.copy.letter


def sort(place: Workspace, letter: str | None, *, author: str) -> None:
    """Show what is unclassified and take one key for each; UsageError without a terminal.

    `author` is who decides, for the log.
    """
    if not output.can_ask():
        what = "answers are sorted in a terminal, with one key for each"
        raise UsageError(what, "Run it in a terminal, or name WHO and STATUS")
    log = place.existing_log
    cases = list(_cases(log, letter))
    if not cases:
        output.say("Nothing waits to be classified.")
    else:
        recorded = _Sorting(log, cases, author).run()
        left = sum(1 for _ in _cases(log, letter))
        rest = f"; {left:,} left: petition answer" if left else ""
        output.say(f"{output.count(recorded, 'answer')} recorded{rest}.")
    if unmatched := sum(one.kind == "answer" for one in Incoming(log).unmatched(1_000)):
        mails = "1 mail matches" if unmatched == 1 else f"{unmatched:,} mails match"
        output.say(f"{mails} no letter: petition inbox --unmatched")
    place.say_which()


def _cases(log: Log, letter: str | None) -> Iterator[_Case]:
    known = set[int]()  # an answer to a follow-up is one to the letter that it follows too
    for name in [letter] if letter else log.letters():
        found = ledger(log, name)
        for entry, answer in found.pending if found else ():
            if answer.id not in known and "@" in entry.copy.mailbox:
                known.add(answer.id)
                mails = answers.stored_mails(log, str(answer.mail)) if answer.mail else []
                said = (
                    {answer.demand} if answer.demand else named_demands(answer.quote, entry.demands)
                )
                yield _Case(entry, answer, mails[0] if mails else None, said, answer.quote)


def named_demands(words: str, demands: Iterable[QuotedDemand]) -> set[str]:
    """The ids of the demands that a text names, by number or by title."""
    numbers = {
        int(number)
        for found in _NUMBERED.finditer(words)
        for number in re.findall(r"\d+", found[1])
    }
    text = _plain(words)
    return {
        one.id
        for one in demands
        if one.number in numbers or re.search(rf"\b{re.escape(_plain(one.title))}\b", text)
    }


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


class _Sorting:
    """The cases, the one that is shown, and the last decision."""

    def __init__(self, log: Log, cases: list[_Case], author: str) -> None:
        self._log = log
        self._author = author
        self._cases = cases
        self._at = 0
        self._last: _Case | None = None  # decided or skipped, and not yet recorded
        self._recorded = 0

    def run(self) -> int:
        """Go through them; returns how many were recorded."""
        output.say(f"{output.count(len(self._cases), 'answer')} to classify. ? explains the keys.")
        try:
            with system.single_keys():
                while self._at < len(self._cases):
                    case = self._cases[self._at]
                    if not answers.is_pending(self._log, case.letter, case.answer):
                        _tell_gone(self._cases.pop(self._at))
                        continue
                    self._show(case)
                    if not self._decide(case):
                        break
        except KeyboardInterrupt:
            output.say("")
        finally:
            self._record_last()
        return self._recorded

    def _decide(self, case: _Case) -> bool:
        """Take keys until the case is decided or left; False: end."""
        while True:
            key = system.read_key()
            if key in _STATUSES:
                self._go_on(case, _STATUSES[key][0])
                return True
            if key == "s":
                output.say("Skipped.")
                self._go_on(case, None)
                return True
            if key == "u":
                if self._undo():
                    return True
            elif key in {"e", _ESCAPE, ""}:
                return False
            elif key in _HELD and case.mail and self._is_held(case):
                self._decide_about_leaving(case, key)
            elif key == "q" and case.mail:  # what was recorded by hand is known by its words
                _choose_words(case)
            elif key.isdecimal() and key.isascii():
                _toggle(case, _asked_number() if key == "0" and _has_many(case) else int(key))
            else:
                _explain(case, is_held=self._is_held(case))

    def _go_on(self, case: _Case, status: Status | None) -> None:
        self._record_last()
        case.status, self._last = status, case
        self._at += 1
        if status:
            about = ", ".join(_titled(one) for one in case.entry.demands if one.id in case.chosen)
            about = about or "the letter as a whole"
            output.say(output.clean(f"{case.entry.who}: {status}, about {about}."))
        output.say("")

    def _undo(self) -> bool:
        if not self._last:
            output.say(
                "There is nothing to undo. What is recorded stays; petition answer WHO STATUS"
                " records something newer."
            )
            return False
        self._last.status, self._last = None, None
        self._at -= 1
        output.say("Undone.\n")
        return True

    def _record_last(self) -> None:
        case, self._last = self._last, None
        if not case or not case.status:
            return
        demands = tuple(one.id for one in case.entry.demands if one.id in case.chosen)
        came = case.answer.channel or (Channel.MAIL if case.mail else "")
        said = NewAnswer(case.status, demands, came, case.quote, case.answer.mail, self._author)
        if answers.classify(self._log, case.letter, case.answer, self._copy(case), said):
            self._recorded += 1
        else:
            _tell_gone(case)

    def _copy(self, case: _Case) -> Copy:
        """The copy that was answered."""
        got = answers.copies_got(self._log, case.entry.copy.mailbox)
        wanted = case.mail.copy if case.mail else None
        return next((one for one in got if one.id == wanted), case.entry.copy)

    def _is_held(self, case: _Case) -> bool:
        return case.entry.copy.mailbox in manual.held(self._log)

    def _decide_about_leaving(self, case: _Case, key: str) -> None:
        box = case.entry.copy.mailbox
        if key == "o":
            manual.suppress(self._log, [box])
            output.say(output.clean(f"{box} gets no more letters."))
        else:
            manual.unsuppress(self._log, [box])
            output.say(output.clean(f"{box} gets letters again, from the next petition send on."))

    def _show(self, case: _Case) -> None:
        entry, answer, mail = case.entry, case.answer, case.mail
        box = entry.copy.mailbox
        place = f"{self._at + 1} of {len(self._cases)}"
        output.say(f"{place}  {output.clean(output.who(entry.copy.name, box))}", "bold")
        day = answer.at.astimezone(entry.zone)
        had = f", sent {entry.had_on}" if entry.had_on else ""
        came = CHANNELS.get(answer.channel, "")
        output.say(output.clean(f"{answer.letter}{had}; answered {day:%Y-%m-%d} {came}".rstrip()))
        if answer.sender:
            output.say(output.clean(f"From {answer.sender}, another address"), output.CARE)
        if mail and mail.subject:
            output.say(output.clean(f"Subject: {mail.subject}"))
        output.say("")
        words = case.answer.quote.strip() or "(It has no words of its own.)"
        words = (
            words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…\n([q] shows all of it)"
        )
        for line in output.clean(words, lines=True).splitlines():
            output.say(f"    {line}")
        output.say("")
        output.say(_thought(case))
        if self._is_held(case):
            output.say("They may want no more letters: [o] no more, [k] keep writing.", output.CARE)
        _say_demands(case)
        for line in _KEYS:
            output.say(line.replace("[1-9]", "[0-9]") if _has_many(case) else line)


def _tell_gone(case: _Case) -> None:
    told = f"{case.entry.who}: classified or forgotten in the meantime."
    output.say(output.clean(told), output.CARE)


def _thought(case: _Case) -> str:
    """What the program takes it for, and why."""
    how = _MATCHED_BY.get(case.mail.matched_by, "") if case.mail else ""
    text = f"A person wrote it{f', and it is matched {how}' if how else ''}."
    text = text if case.mail else "It was recorded by hand."
    named = [str(one.number) for one in case.entry.demands if one.id in case.chosen]
    if named and not case.answer.demand:
        noun = "demand" if len(named) == 1 else "demands"
        text += f" It names {noun} {', '.join(named)}."
    return text


def _say_demands(case: _Case) -> None:
    for one in case.entry.demands:
        mark = "x" if one.id in case.chosen else " "
        output.say(output.clean(output.fitted(f"[{mark}] {_titled(one)}", output.width() - 1)))


def _titled(demand: QuotedDemand) -> str:
    return f"{demand.number} {demand.title}"


def _has_many(case: _Case) -> bool:
    return len(case.entry.demands) > _SINGLE_KEYS


def _asked_number() -> int | None:
    typed = _typed("Number of the demand", "")
    return int(typed) if re.fullmatch("[0-9]{1,4}", typed) else None


def _toggle(case: _Case, number: int | None) -> None:
    if number is None:  # nothing was typed
        return
    wanted = {one.id for one in case.entry.demands if one.number == number}
    if not wanted:
        output.say(f"There is no demand {number}.")
        return
    case.chosen ^= wanted
    _say_demands(case)


def _choose_words(case: _Case) -> None:
    """Ask which lines of a mail count as its words."""
    lines = [line for line in case.answer.quote.splitlines() if line.strip()]
    if len(lines) < 2:  # sentences of one line
        lines = re.split(r"(?<=[.!?…])\s+", case.answer.quote.strip())
    for number, line in enumerate(lines, 1):
        output.say(output.clean(f"{number:>3}  {line}"))
    typed = _typed("Lines that count, such as 2-3", "all")
    chosen = range(1, len(lines) + 1) if typed == "all" else _numbers(typed, len(lines))
    if not chosen:
        output.say(f"Nothing was changed: there are lines 1 to {len(lines)}.")
        return
    case.quote = "\n".join(lines[number - 1].strip() for number in chosen)
    output.say(f"“{output.clean(' '.join(case.quote.split()))}”")


def _typed(question: str, default: str) -> str:
    """The line that a person types; "" if they press Ctrl-C or Ctrl-D instead."""
    try:
        with system.whole_lines():
            return str(typer.prompt(question, default=default, show_default=bool(default)))
    except typer.Abort:
        output.say("")
        return ""


def _numbers(typed: str, most: int) -> list[int]:
    """The numbers that a person typed, as `2-3, 5`; empty if one is not there."""
    found: list[int] = []
    for part in re.split(r"[\s,;]+", typed.strip()):
        bounds = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if not bounds:
            return []
        first, last = int(bounds[1]), int(bounds[2] or bounds[1])
        if not 1 <= first <= last <= most:
            return []
        found += range(first, last + 1)
    return found


def _explain(case: _Case, *, is_held: bool) -> None:
    rows = [(key, f"{status}: {what}") for key, (status, what) in _STATUSES.items()]
    rows += [(key, what) for key, what in _OTHERS.items() if key != "0" or _has_many(case)]
    rows += _HELD.items() if is_held else ()
    for key, what in rows:
        output.say(f"  {key:>3}  {what}")
