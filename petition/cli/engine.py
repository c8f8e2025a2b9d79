"""The engine that gives out jobs, where it is installed."""

from types import ModuleType

from petition.errors import LogUnusable


def engine() -> ModuleType:
    """The module that knows it (delivery/workers.py).

    Raises:
        LogUnusable: It is not installed.
    """
    try:
        from petition.sending import job_queue
    except ImportError as fault:
        raise LogUnusable(
            "workers need a library that is not installed",
            "Run: pip install 'petition[postgres]'",
        ) from fault
    return job_queue
