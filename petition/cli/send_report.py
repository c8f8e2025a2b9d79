"""What a run came to, shown after it."""

from collections import Counter
from collections.abc import Iterator

from petition.cli import output
from petition.cli.next_step import next_step
from petition.cli.workspace import OUTBOX
from petition.errors import ExitStatus, LogDamaged, sentence
from petition.outbox.sent_file import FILE as SENT_FILE
from petition.outbox.states import State
from petition.planning.prepare import Prepared
from petition.sending.circuit_breaker import RunResult
from petition.smtp.replies import NOBODY, advice

LEFT = (State.QUEUED, State.SENDING, State.DEFERRED, State.UNCERTAIN)
_ASK = (
    "Ask the provider what it allows, and set a rate in [pace] below that. If it means these"
    " people, take them out with petition withdraw"
)


def report(prepared: Prepared, ending: RunResult) -> ExitStatus:
    """Say what became of the copies of a run, and what to do next; returns its exit status."""
    states = prepared.listing.states()
    output.say(counted(prepared.letter, states))
    if ending.stopped:
        output.say("Stopped; everything is recorded. Run the same command again to go on.")
    for error in _errors(prepared.letter, ending):
        output.say_error(error)
    for reply in filter(None, (ending.broken, ending.refused)):
        hint = advice(prepared.server.host, reply) if prepared.server else None
        if hint or ending.is_refusing:
            output.say_error(f"{hint or _ASK}.")
    say_waiting(ending)
    # A letter counts as sent when its To was accepted; that a cc was not must be said.
    numbers = Counter(who for who, _ in ending.also_refused)
    for who, said in dict(ending.also_refused).items():
        letters = output.count(numbers[who], "letter")
        output.say_error(f"Warning: the server refused {who} as cc or bcc of {letters}: {said}.")
    next_steps(prepared, states)
    say_noted(prepared)
    say_rehearsal(prepared)
    return status_of(states, ending)


def counted(letter: str, states: dict[State, int]) -> str:
    """How many copies of a letter are in each state, as a sentence."""
    found = ", ".join(f"{states[one]:,} {one}" for one in State if states.get(one))
    return f"{letter}: {found}."


def say_noted(prepared: Prepared) -> None:
    """Where the folder is under version control: that others have to be told what went out."""
    root = prepared.campaign.root.resolve()
    is_versioned = any((folder / ".git").exists() for folder in (root, *root.parents))
    if prepared.log.memory.has_noted and is_versioned:
        output.say(f"Next: commit {SENT_FILE}, so that nobody else sends this again.")


def _errors(letter: str, ending: RunResult) -> Iterator[str]:
    if ending.trouble:
        yield f"Stopped: {ending.trouble}"
    if ending.broken:
        yield f"Stopped: {sentence(ending.breakdown)}"
    if ending.refused:
        yield f"Stopped: the server refused several letters in a row: {ending.refused}."
    if ending.unknown:
        yield (
            "Stopped: the server refused so many recipients in a row that it may be broken:"
            f" {ending.unknown}. Check the list and ask the provider; then petition retry {letter}."
        )
    if ending.hindrance:
        stopped = "Stopped: " if ending.is_hindered else ""
        yield (
            f"{stopped}{output.count(ending.hindered, 'letter')} could not be built on this machine"
            f" and are still queued. Last error: {ending.hindrance}"
            " Then run the same command again."
        )
    if fault := ending.log_fault:
        why = "" if isinstance(fault, LogDamaged) else "the log could not be written: "
        yield f"Stopped: {why}{fault} The next command shows which letters are uncertain, if any."


def say_waiting(ending: RunResult) -> None:
    """Say when what [pace] holds can go."""
    if ending.clock_was_ahead:
        output.say_error(
            "Warning: the clock was more than a day ahead when letters were sent. They count"
            " towards the daily cap from now on."
        )
    if ending.capped:
        output.say(
            f"The daily cap has been reached; sending can resume at {output.when(ending.capped)}."
        )
    if ending.closed:
        output.say(f"Sending hours begin again at {output.when(ending.closed)}.")


def next_steps(prepared: Prepared, states: dict[State, int]) -> None:
    """Say what to do about copies that are not final."""
    for state in (State.UNCERTAIN, State.DEFERRED, State.FAILED):
        if states.get(state):
            step = next_step(prepared.log, prepared.letter, state, lambda: prepared.campaign)
            output.say(f"{state.capitalize()}: {step}")


def say_if_sandbox(prepared: Prepared, *replies: str) -> None:
    """Say it if the server, by its replies, is a sandbox."""
    if prepared.server and any(reply.endswith(NOBODY) for reply in replies):
        output.say(f"{prepared.server.name} is a sandbox: nobody received anything.")


def say_rehearsal(prepared: Prepared) -> None:
    """Say it if nobody received anything."""
    if prepared.server is None:
        output.say(
            "This was a rehearsal: nobody received anything. The letters are in"
            f" {prepared.campaign.root / OUTBOX}."
        )


def status_of(states: dict[State, int], ending: RunResult) -> ExitStatus:
    """The exit status of a run: the highest that applies to the rows it chose."""
    applies = [ExitStatus.DONE]
    if states.get(State.FAILED) or ending.refused or ending.hindrance:
        applies.append(ExitStatus.PROBLEMS)
    if ending.log_fault or any(states.get(state) for state in LEFT):
        applies.append(ExitStatus.LEFT)
    if ending.trouble:
        applies.append(ExitStatus.SERVER)
    if ending.stopped:
        applies.append(ExitStatus.INTERRUPTED)
    return max(applies)
