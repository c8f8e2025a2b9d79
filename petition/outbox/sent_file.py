"""sent.toml: which letters went out from which log, for everybody who works on a campaign.

The log stays with whoever sends: it has names and addresses. A colleague's copy of the folder has
no log, or an older copy of it, and would send again. So before the first letter of a live run a
line is added here: campaign, letter, revision, the log's id and the day, and nothing of any person.

The file is meant to be committed. A line stands for itself and is never changed, so that git can
keep the lines of both sides (`merge=union`), some of them twice.
"""

import json
import re
import stat
import tomllib
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

from petition.errors import CampaignError, Problem
from petition.outbox.log_file import explained_file
from petition.whole_file import replace_whole

FILE = "sent.toml"
_HEAD = """\
# Which letters went out from which log. Commit it: whoever else works on this campaign is stopped
# before everybody gets a letter again. There is nothing of any person in it. Remove no line.
sent = [
"""
_END = "]"
_ATTRIBUTES = ".gitattributes"
_UNION = f"# Keeps the lines of both sides.\n{FILE} merge=union\n"
_LIMIT = 10_000_000  # bytes: some 50,000 lines
_RESTORE = "Restore it as it was, for example from git"
_MOST_PROBLEMS = 20  # that are told; another file in its place would have one a line
_LONGEST = 500  # characters of two names, which are shown
_LOG_ID = re.compile(r"[0-9a-f]{32}")


class Sent(NamedTuple):
    """That a letter went out, or was about to."""

    campaign: str  # its id
    letter: str
    revision: int
    log: str  # its id (known_logs.id_of)
    day: date
    line: int = 0  # of the file

    @property
    def key(self) -> str:
        """What it says, whatever the day."""
        return json.dumps([self.campaign, self.letter, self.revision, self.log])

    def __str__(self) -> str:
        campaign, letter, log = (
            json.dumps(text, ensure_ascii=False) for text in (self.campaign, self.letter, self.log)
        )
        what = f"campaign = {campaign}, letter = {letter}, revision = {self.revision}"
        return f"  {{ {what}, log = {log}, date = {self.day} }},"


def read_sent(folder: Path) -> list[Sent]:
    """What the file of a campaign folder says; CampaignError if it cannot be read."""
    return _read(folder)[1]


def _read(folder: Path) -> tuple[str, list[Sent]]:
    problems: list[Problem] = []
    text = _text_of(folder / FILE, problems)
    found, is_in_conflict = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if len(problems) == _MOST_PROBLEMS:
            break
        if line.startswith("<<<<<<<"):
            is_in_conflict = True
            hint = 'Keep the lines of both, and remove those with "<<<<<<<", "=======", ">>>>>>>"'
            problems.append(Problem(FILE, number, "git left two versions here", hint))
        elif is_in_conflict and line.startswith(("|||||||", "=======", ">>>>>>>")):
            is_in_conflict = not line.startswith(">>>>>>>")
        elif line.strip() not in {"", "sent = [", _END} and not line.lstrip().startswith("#"):
            try:
                found.append(_sent_of(line, number))
            except (ValueError, TypeError, KeyError, RecursionError):
                what = "petition did not write this line"
                problems.append(Problem(FILE, number, what, _RESTORE))
    if text.strip() and _END not in map(str.strip, text.splitlines()):
        problems.append(Problem(FILE, None, "its end is missing", 'Add a line with "]" alone'))
    if problems:
        raise CampaignError(problems)
    return text, found


def _text_of(path: Path, problems: list[Problem]) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a FIFO would be read forever
            problems.append(Problem(FILE, None, "is not a regular file", "Put the file there"))
        elif found.st_size > _LIMIT:
            what = f"is larger than {_LIMIT // 1_000_000} MB"
            problems.append(Problem(FILE, None, what, _RESTORE))
        else:
            return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        pass
    except OSError as fault:
        what = f"cannot be read: {fault.strerror or fault}"
        problems.append(Problem(FILE, None, what, "Check its permissions"))
    except UnicodeDecodeError:
        problems.append(Problem(FILE, None, "is not saved as UTF-8", _RESTORE))
    return ""


def _sent_of(line: str, number: int) -> Sent:
    entry = tomllib.loads(f"sent = {line.strip().removesuffix(',')}")["sent"]
    values = [entry[name] for name in ("campaign", "letter", "revision", "log", "date")]
    sent = Sent._make([*values, number])
    if list(map(type, values)) != [str, str, int, str, date] or not _LOG_ID.fullmatch(sent.log):
        raise TypeError(line)
    if len(sent.campaign + sent.letter) > _LONGEST:
        raise ValueError(line)
    return sent


def add_sent(folder: Path, sent: Sent) -> bool:
    """Add a line, unless it is there; durable when this returns whether it was added.

    CampaignError if the file cannot be read, LogUnusable if it cannot be written.
    """
    text, found = _read(folder)
    if sent.key in {one.key for one in found}:
        return False
    path = folder / FILE
    with explained_file(path):
        is_new = not path.exists()
        lines = (text if text.strip() else f"{_HEAD}{_END}\n").splitlines(keepends=True)
        at = max(number for number, line in enumerate(lines) if line.strip() == _END)
        ending = "\r\n" if "\r\n" in text else "\n"
        lines.insert(at, f"{sent}{ending}")
        mode = 0o644 if is_new else stat.S_IMODE(path.stat().st_mode)
        replace_whole(path, "".join(lines).encode(), mode)
        if is_new:
            with suppress(FileExistsError), (folder / _ATTRIBUTES).open("x") as file:
                file.write(_UNION)
    return True
