"""What `petition send` does, in the order in which a person sees it."""

from collections.abc import Iterator
from contextlib import contextmanager

from petition.address import Mailbox, parse_address
from petition.checks.campaign import READ_BACK_FIRST
from petition.cli import console, deliver, summary
from petition.cli.progress import Progress
from petition.cli.workplace import Workplace
from petition.errors import AddressRefused, ExitStatus, LogChanged, LogDamaged, UsageError
from petition.merge.message import Shown
from petition.outbox.enqueue import ListedRow
from petition.outbox.log_file import size
from petition.outbox.states import State
from petition.plan import Wish
from petition.prepare import READ_BACK_BEFORE_RUN, Prepared, enqueue, prepare, refuse_trial
from petition.sending.results import Ending, Told
from petition.sending.retry import RetrySchedule
from petition.sending.sender import person_of
from petition.smtp.replies import NOBODY, Outcome, advice

_LARGE = 100  # megabytes, from which on it takes more than a second to look a log through
LEFT = (State.QUEUED, State.SENDING, State.DEFERRED, State.UNCERTAIN)


def send(
    place: Workplace,
    letter: str,
    wish: Wish,
    *,
    to_me: str | None,
    dry_run: bool,
    yes: bool,
    wait: bool = False,
) -> ExitStatus:
    """Prepare a letter, ask, deliver it, and say what became of it.

    Args:
        place: The campaign, its server and its log.
        letter: The letter's name.
        wish: For whom.
        to_me: Send a trial to this address instead.
        dry_run: Stop before anything is queued or sent.
        yes: Nobody needs to be asked.
        wait: Stay until nothing is left that could still be sent.

    Returns:
        How the command ends.

    Raises:
        UsageError: `to_me` is no address.
    """
    trial_to = _trial_address(to_me) if to_me is not None else None
    only_looks = dry_run or to_me is not None
    read_back = READ_BACK_FIRST if only_looks else READ_BACK_BEFORE_RUN
    with _ownership(place, only_looks=only_looks):
        if not only_looks:
            place.count_noted_clicks()
        while True:
            prepared = prepare(
                place.campaign, letter, place.log, place.server, wish, read_back=read_back
            )
            console.problems(prepared.warnings)
            if trial_to is not None:
                return _trial(prepared, trial_to, dry_run=dry_run, yes=yes)
            try:
                return _send(prepared, dry_run=dry_run, yes=yes, wait=wait)
            except LogChanged:
                if not yes:  # a person confirmed something else
                    raise
                console.say_error("The log has changed meanwhile: planning again.")


@contextmanager
def _ownership(place: Workplace, *, only_looks: bool) -> Iterator[None]:
    """Own the log while it is sent from, after a look at all of it.

    One wrong bit in an index can make somebody new who has the letter.
    """
    if only_looks:
        yield
        return
    with place.log.owned():
        if (megabytes := (size(place.log_file) if place.log_file else 0) // 1_000_000) > _LARGE:
            console.say_error(f"Looking the log through for damage ({megabytes:,} MB).")
        place.log.database.examine()
        retry = RetrySchedule.of(place.settings.pace)
        place.log.look_at_deferred(retry.give_up, retry.longest)
        yield


def _send(prepared: Prepared, *, dry_run: bool, yes: bool, wait: bool) -> ExitStatus:
    if not prepared.comparison.to_send:
        return nothing_to_do(prepared, dry_run=dry_run, yes=yes)
    show_plan(prepared, with_letter=dry_run or not (yes or prepared.server is None))
    if dry_run:
        console.say("Dry run: nothing was queued and nothing was sent.")
        return ExitStatus.DONE
    confirm(prepared, sends(prepared, prepared.comparison.to_send), yes=yes)
    secrets = deliver.secrets_for(prepared)  # while nothing is queued that would wait for them
    enqueue(prepared)
    kept: Told | None = None
    with Progress(prepared.comparison.to_send) as progress:

        def tell(told: Told) -> None:
            nonlocal kept
            kept = kept or (told if told.state is State.SENT else None)
            progress.told(told.state, told.copy.id)

        ending = deliver.deliver(prepared, secrets, tell, progress.note, wait=wait)
    status = _report(prepared, ending)
    if kept and _is_of_sandbox(prepared, kept):
        _say_sandbox(prepared)
    return status


def nothing_to_do(prepared: Prepared, *, dry_run: bool, yes: bool) -> ExitStatus:
    """Where there is nobody to send to: suppress whom the list has no more, and say why."""
    comparison = prepared.comparison
    removed = comparison.gone + comparison.newly_excluded
    if removed:
        console.facts(summary.plan_lines(prepared))
    if dry_run:
        console.say("Dry run: nothing was changed.")
    else:
        if removed:
            confirm(prepared, f"Suppress {console.count(removed, 'waiting letter')} now?", yes=yes)
        if removed or comparison.actions:
            enqueue(prepared)  # those who opted out are written down all the same
    states = prepared.listing.states()
    _say_why_nothing(prepared, states, is_shown=removed > 0)
    _next_steps(prepared, states)
    _say_rehearsal(prepared)
    return status_of(states, Ending())


def _say_why_nothing(prepared: Prepared, states: dict[State, int], *, is_shown: bool) -> None:
    have = sum(states.get(state, 0) for state in (State.SENT, State.BOUNCED))
    total = sum(prepared.comparison.actions.values())
    if total and have == total:
        who = "Everybody on the list has" if total > 1 else "The one chosen has"
        console.say(f'{who} "{prepared.letter}" already: {have} sent. Nothing was sent.')
        return
    console.say(f'"{prepared.letter}": there is nobody to send to. Nothing was sent.')
    if not is_shown:
        console.facts(summary.plan_lines(prepared))


def show_plan(prepared: Prepared, *, with_letter: bool) -> None:
    """Show what is about to be done."""
    if with_letter and (row := next(prepared.listing.to_send(), None)):
        console.letter(_for_reading(_shown(prepared, row)))
    if prepared.resumes:
        console.say(
            f"Revision {prepared.revision} is not finished: going on with it."
            " --again begins another one when it is."
        )
    console.facts(summary.plan_lines(prepared))


def sends(prepared: Prepared, count: int) -> str:
    """The question whether so many letters are to be sent."""
    name = prepared.server.name if prepared.server else "the sandbox"
    what = console.count(count, "letter")
    if prepared.lost_names:
        what += ", without the name that was forgotten,"
    return f"Send {what} through {name} now?"


def confirm(prepared: Prepared, question: str, *, yes: bool) -> None:
    """P6: nothing leaves the machine that nobody confirmed; a rehearsal does not leave it."""
    if yes or prepared.server is None:
        return
    if not console.can_ask():
        raise UsageError(
            "nothing was sent: nobody is there to confirm it",
            "Run it in a terminal, or add --yes",
        )
    if not console.ask(question):
        raise UsageError("nothing was sent: it was declined")


def _report(prepared: Prepared, ending: Ending) -> ExitStatus:
    states = prepared.listing.states()
    counted = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    console.say(f"{prepared.letter}: {counted}.")
    if ending.stopped:
        console.say("Stopped; everything is recorded. The same command goes on where this ended.")
    if ending.trouble:
        console.say_error(str(ending.trouble))
    if ending.broken:
        console.say_error(f"The server kept breaking off: {ending.broken}.")
        _say_advice(prepared, ending.broken)
    if ending.refused:
        console.say_error(f"Stopped after several letters in a row were refused: {ending.refused}.")
        _say_advice(prepared, ending.refused)
    if ending.unknown:
        console.say_error(
            f"Stopped: too many recipients in a row were refused, as a broken server does it:"
            f" {ending.unknown}. Look at the list and ask the provider; then petition retry"
            f" {prepared.letter}."
        )
    if ending.hindrance:
        letters = console.count(ending.hindered, "letter")
        console.say_error(
            f"{'Stopped: ' if ending.is_hindered else ''}{letters} could not be put together on"
            f" this machine and will wait. The last one: {ending.hindrance} Then run the same"
            f" command again."
        )
    if fault := ending.log_fault:
        why = "" if isinstance(fault, LogDamaged) else ", for the log could not be written"
        console.say_error(
            f"Stopped{why}: {fault} The next command tells which letters are uncertain, if any."
        )
    _say_waiting(ending)
    _say_refused_copies(ending)
    _next_steps(prepared, states)
    _say_rehearsal(prepared)
    return status_of(states, ending)


def _say_advice(prepared: Prepared, said: str) -> None:
    if prepared.server and (mend := advice(prepared.server.host, said)):
        console.say_error(f"{mend}.")


def _say_waiting(ending: Ending) -> None:
    if ending.clock_was_ahead:
        console.say_error(
            "Warning: the clock was more than a day ahead when letters were sent. They count"
            " against the daily cap from now on."
        )
    if ending.capped:
        console.say(f"The daily cap is reached; it frees at {console.when(ending.capped)}.")
    if ending.closed:
        console.say(f"It is outside the hours of sending until {console.when(ending.closed)}.")


def _say_refused_copies(ending: Ending) -> None:
    """A letter counts as sent when its To was taken; that a cc was not must be said."""
    by_address = dict(ending.also_refused)
    for who, reply in by_address.items():
        number = sum(one == who for one, _ in ending.also_refused)
        letters = console.count(number, "letter")
        console.say_error(f"Warning: the server refused {who} as cc or bcc of {letters}: {reply}.")


def _next_steps(prepared: Prepared, states: dict[State, int]) -> None:
    letter = prepared.letter
    if states.get(State.UNCERTAIN):
        console.say(
            f"Uncertain: the answer to the last dot is not known. Ask the person or the server,"
            f" then: petition resolve ADDR --sent | --not-sent --letter {letter}"
        )
    if states.get(State.DEFERRED) and (due := prepared.log.next_due(letter)):
        console.say(
            f"Deferred: the server said later. Run the same command from {console.when(due)} on."
        )
    if states.get(State.FAILED):
        console.say(
            f"Failed: see petition status {letter} --state failed; then petition retry {letter}"
        )


def _is_of_sandbox(prepared: Prepared, told: Told) -> bool:
    """Whether the server that took a copy said that nobody receives it."""
    copies = prepared.log.copies_to(prepared.letter, told.copy.mailbox)
    return any(copy.id == told.copy.id and (copy.reply or "").endswith(NOBODY) for copy in copies)


def _say_sandbox(prepared: Prepared) -> None:
    if prepared.server:
        console.say(f"{prepared.server.name} is a sandbox: nobody received anything.")


def _say_rehearsal(prepared: Prepared) -> None:
    if prepared.server is None:
        console.say(
            f"This was a rehearsal: nobody received anything. The letters are in"
            f" {prepared.campaign.root / deliver.OUTBOX}."
        )


def status_of(states: dict[State, int], ending: Ending) -> ExitStatus:
    """The exit status of a run: the highest that applies to the rows it chose.

    Args:
        states: How many of them are in each state.
        ending: How the run ended.
    """
    applies = [ExitStatus.DONE]
    if states.get(State.FAILED) or ending.refused or ending.hindrance:
        applies.append(ExitStatus.PROBLEMS)
    if any(states.get(state) for state in LEFT):
        applies.append(ExitStatus.LEFT)
    if ending.log_fault:
        applies.append(ExitStatus.LEFT)
    if ending.trouble:
        applies.append(ExitStatus.SERVER)
    if ending.stopped:
        applies.append(ExitStatus.INTERRUPTED)
    return max(applies)


def _trial_address(text: str) -> Mailbox:
    try:
        return parse_address(text)
    except AddressRefused as refusal:
        raise UsageError(f"--to-me: {refusal.what}", refusal.mend) from None


def _trial(prepared: Prepared, to: Mailbox, *, dry_run: bool, yes: bool) -> ExitStatus:
    """One copy to oneself, with an identity of its own; no row, nothing frozen."""
    refuse_trial(prepared.log, prepared.server, to)
    row = prepared.listing.first()
    if row is None:
        raise UsageError("there is nobody on the list to make a trial copy for")
    email, shown = prepared.merger.trial(
        person_of(row), prepared.log.clock(), to, prepared.revision
    )
    console.letter(_for_reading(shown))
    console.say(f"This copy, made for {row.name or row.mailbox}, goes to {to.addr_spec} alone.")
    console.facts([("through", summary.through(prepared))])
    if dry_run:
        console.say("Dry run: nothing was sent.")
        return ExitStatus.DONE
    bar = deliver.bar_to_trial(prepared)
    if bar.is_over:
        _say_waiting(bar)
        console.say("The trial copy was not sent.")
        return ExitStatus.LEFT
    confirm(prepared, sends(prepared, 1), yes=yes)
    verdict = deliver.deliver_trial(prepared, deliver.secrets_for(prepared), email)
    if verdict.outcome is Outcome.RELEASED and (bar := deliver.bar_to_trial(prepared)).is_over:
        _say_waiting(bar)  # others have reached the cap meanwhile
        console.say("The trial copy was not sent.")
        return ExitStatus.LEFT
    said = str(verdict.reply or verdict.reason)
    console.say(f"The trial copy: {_TRIAL_WORDS[verdict.outcome]}: {said}.")
    _say_rehearsal(prepared)
    if verdict.reply and NOBODY in str(verdict.reply):
        _say_sandbox(prepared)
    return _TRIAL_STATUS[verdict.outcome]


def _shown(prepared: Prepared, row: ListedRow) -> Shown:
    return prepared.merger.show(person_of(row), prepared.revision, prepared.log.clock())


def _for_reading(shown: Shown) -> Shown:
    headers = [(name, value) for name, value in shown.headers if name in _CONFIRMED]
    return Shown(headers, shown.text, shown.attached)


_CONFIRMED = ("From", "To", "Cc", "Subject")
_TRIAL_WORDS = {
    Outcome.SENT: "the server took it",
    Outcome.DEFERRED: "the server said later",
    Outcome.FAILED: "the server refused it",
    Outcome.RELEASED: "it was not sent",
    Outcome.UNCERTAIN: "it is not known whether the server took it",
}
_TRIAL_STATUS = {
    Outcome.SENT: ExitStatus.DONE,
    Outcome.DEFERRED: ExitStatus.LEFT,
    Outcome.FAILED: ExitStatus.PROBLEMS,
    Outcome.RELEASED: ExitStatus.LEFT,
    Outcome.UNCERTAIN: ExitStatus.LEFT,
}
