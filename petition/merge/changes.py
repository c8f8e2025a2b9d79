"""What has changed between two frozen letters, told to an organiser."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from petition.merge.document import Frozen
from petition.merge.tags import BLOCK, VARIABLE

_TABLES = ("campaign", "sender", "unsubscribe")
_KEYS = ("kind", "cc", "bcc", "reply_by", "event")


def differences(old: Frozen, new: Frozen) -> list[str]:
    """What has changed, each in a few words: "the subject (en)".

    Args:
        old: The letter that was frozen.
        new: The letter as it would be frozen now.

    Returns:
        The changes; empty where both have the same hash.
    """
    if old.hash == new.hash:
        return []
    found = [*_names(old, new), *_texts(old, new), *_demands(old, new), *_signatories(old, new)]
    found += _files(old, new)
    return [*found, *_settings(old.document, new.document)] or ["how the letter is made"]


def _names(old: Frozen, new: Frozen) -> Iterator[str]:
    if old.letter != new.letter:
        yield f"the letter's name ({old.letter}, now {new.letter})"
    if old.campaign_id != new.campaign_id:
        yield f"the campaign's id ({old.campaign_id}, now {new.campaign_id})"


def _texts(old: Frozen, new: Frozen) -> Iterator[str]:
    before, after = old.document["texts"], new.document["texts"]
    for language in dict.fromkeys((*old.languages, *new.languages)):
        if language not in after:
            yield f"the letter in {language} (taken out)"
        elif language not in before:
            yield f"the letter in {language} (new)"
        else:
            yield from _parts(old, new, language)
    if set(before) == set(after) and old.languages != new.languages:
        yield "the order of the languages"


def _parts(old: Frozen, new: Frozen, language: str) -> Iterator[str]:
    before, after = old.document["texts"][language], new.document["texts"][language]
    if before["subject"]["template"] != after["subject"]["template"]:
        yield f"the subject ({language})"
    changed = {
        part for part in ("text", "html") if before[part]["template"] != after[part]["template"]
    }
    others = (*_demands(old, new), *_signatories(old, new), *_files(old, new))
    if changed and _body(before) != _body(after):
        yield f"the text ({language})"
    elif changed and not others and old.title == new.title:
        yield f"the look of the letter ({language})"


def _body(text: dict[str, Any]) -> str:
    """What the author wrote below the front matter."""
    return str(text["source"]).partition("\n")[2]


def _demands(old: Frozen, new: Frozen) -> Iterator[str]:
    for language in new.languages:
        before = {demand["id"]: demand for demand in old.demands(language)}
        after = {demand["id"]: demand for demand in new.demands(language)}
        if language not in old.languages:
            continue
        for name in dict.fromkeys((*before, *after)):
            if name not in after:
                yield f"demand {name} ({language}, taken out)"
            elif name not in before:
                yield f"demand {name} ({language}, new)"
            elif before[name] != after[name]:
                yield f"demand {name} ({language})"


def _signatories(old: Frozen, new: Frozen) -> Iterator[str]:
    before, after = _counted(old), _counted(new)
    added, removed = (after - before).total(), (before - after).total()
    unnamed = (new.signatory_count - after.total()) - (old.signatory_count - before.total())
    told = [
        f"{abs(number)} {what}"
        for number, what in (
            (added, "added"),
            (removed, "taken out"),
            (unnamed, f"{'more' if unnamed > 0 else 'fewer'} unnamed"),
        )
        if number
    ]
    if told:
        yield f"the signatories ({', '.join(told)})"
    elif old.signatories != new.signatories:
        yield "the order of the signatories"


def _counted(frozen: Frozen) -> Counter[tuple[tuple[str, str], ...]]:
    return Counter(tuple(sorted(signatory.items())) for signatory in frozen.signatories)


def _files(old: Frozen, new: Frozen) -> Iterator[str]:
    for kind, gather in (("attachment", _attached), ("picture", _pictured)):
        before, after = gather(old), gather(new)
        for path in dict.fromkeys((*before, *after)):
            if path not in after:
                yield f"the {kind} {path} (taken out)"
            elif path not in before:
                yield f"the {kind} {path} (new)"
            elif before[path] != after[path]:
                yield f"the {kind} {path}"
        if before == after and list(before) != list(after) and kind == "attachment":
            yield "the order of the attachments"


def _attached(frozen: Frozen) -> dict[str, str]:
    """The hash of each attachment by its path; those of single rows have none here."""
    return {
        one.get("path") or _readable(one["template"]): one.get("sha256", "")
        for one in frozen.attachments
    }


def _readable(template: str) -> str:
    signs = zip((*VARIABLE, *BLOCK), ("{{", "}}", "{%", "%}"), strict=True)
    for sign, shown in signs:
        template = template.replace(sign, shown)
    return template


def _pictured(frozen: Frozen) -> dict[str, str]:
    return {
        one["path"]: one["sha256"]
        for language in frozen.languages
        for one in frozen.pictures(language)
    }


def _settings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for key in _KEYS:
        if before.get(key) != after.get(key):
            yield f"{key} in the front matter"
    for table in _TABLES:
        old, new = before[table], after[table]
        for key in dict.fromkeys((*old, *new)):
            if old.get(key) != new.get(key):
                yield f"[{table}] {key}"
    for name in dict.fromkeys((*before["events"], *after["events"])):
        if before["events"].get(name) != after["events"].get(name):
            yield f"[events.{name}]"
