"""How what waits of a letter goes out: by the next send, or by workers."""

from petition.cli.workplace import Workplace
from petition.outbox.job_queue import settings_of
from petition.sending.dispatch import Dispatch


def is_for_workers(place: Workplace, letter: str) -> bool:
    """Whether a letter was given to workers; what is queued again of it has its job."""
    return settings_of(place.log.database, letter) is not None


def next_step(place: Workplace, letter: str) -> str:
    """What to run for what was just queued again."""
    if is_for_workers(place, letter):
        return f"The workers have {letter}: run petition worker where none is at work."
    return f"Next: petition send {letter}"


def is_pace_another(place: Workplace, letter: str) -> bool:
    """Whether workers keep to another [pace] than petition.toml has now."""
    settings = place.settings
    kept = Dispatch.of(place.log, letter)
    return (kept.pace, kept.timezone) != (settings.pace, settings.campaign.timezone)
