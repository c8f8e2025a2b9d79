"""What a mail file is, for a person or a script."""

import sys
from collections.abc import Iterable
from pathlib import Path

from petition.cli import console
from petition.errors import ExitStatus
from petition.inbox import message
from petition.inbox.classify import explain, set_aside
from petition.inbox.patterns import Finding
from petition.inbox.sources import first_mail, mails_in


def explain_files(files: Iterable[str], *, as_json: bool) -> ExitStatus:
    """Say of each file what it is, one after the other, and record nothing.

    Args:
        files: Their names; `-` is what comes in.
        as_json: A JSON object a line instead of text.

    Returns:
        Whether all of them could be read.
    """
    status = ExitStatus.DONE
    for file in files:
        try:
            data = _read(file)
        except (OSError, ValueError) as fault:
            what = (fault.strerror if isinstance(fault, OSError) else None) or "no such file"
            console.say_error(f"{file}: {what}. Name a file that holds one mail.")
            status = ExitStatus.PROBLEMS
            if as_json:
                console.json_line(_as_json(file, set_aside(f"not read: {what}")))
            continue
        if number := _more_mails(data):
            console.say_error(f"{file}: the first of {number:,} mails. A file is for one mail.")
        found = explain(first_mail(data))
        if as_json:
            console.json_line(_as_json(file, found))
        else:
            _say(file, found)
    return status


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(message.BYTES + 1)
    with Path(file).open("rb") as opened:
        return opened.read(message.BYTES + 1)


def _more_mails(data: bytes) -> int:
    """How many mails an mbox file holds, where there are several."""
    number = mails_in(data)
    return number if number > 1 else 0


def _as_json(file: str, found: Finding) -> dict[str, object]:
    return {
        "file": file,
        "kind": found.kind,
        "recipient": found.recipient,
        "status": found.status,
        "permanent": found.permanent,
        "reason": found.reason,
    }


def _say(file: str, found: Finding) -> None:
    kind = str(found.kind or "set aside")
    if found.permanent is not None:
        kind += ", permanent" if found.permanent else ", not permanent"
    console.say(f"{console.clean(file)}: {kind}")
    who = " ".join(console.clean(one) for one in (found.recipient, found.status) if one)
    if who:
        console.say(f"    {who}")
    console.say(f"    {console.clean(found.reason.removeprefix('set aside: '))}", "dim")
