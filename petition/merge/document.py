"""A frozen letter as the log keeps it, and what changed between two of them.

A letter that was begun is finished with the words of its first copy, whatever has happened to the
files since.
"""

import hashlib
import json
from base64 import b64decode
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from petition.address import Mailbox
from petition.errors import LogDamaged
from petition.template.compile import CompiledText
from petition.template.tags import BLOCK, VARIABLE, Template

_FORMAT = 1

# Where something stood, and how it was written, is kept for people and is not part of the letter.
# Nor is `breaks`: a letter that was begun without it is finished so, and has not changed.
_NOT_HASHED = frozenset({"breaks", "file", "lines", "source"})
# What a version of petition makes of a letter, and the layout of the PDF that it has.
_MADE = frozenset({"text", "layout"})
# Files are hashed by their own hashes.
_NOT_HASHED_OF_ENCLOSURES = frozenset({"line", "lines", "files"})


DUE = "reply_by_day"  # the key of the day that a number of working days led to


@dataclass(frozen=True, slots=True)
class Frozen:
    """A letter that does not change any more."""

    letter: str  # its name
    campaign_id: str
    today: date  # the day on which it was frozen
    document: dict[str, Any]  # everything else, as JSON has it

    def to_json(self) -> str:
        """The letter as JSON."""
        whole = {
            "format": _FORMAT,
            "letter": self.letter,
            "campaign_id": self.campaign_id,
            "today": self.today.isoformat(),
            "document": self.document,
        }
        return json.dumps(whole, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Frozen":
        """The letter that `to_json` wrote; LogDamaged if the text is something else."""
        try:
            whole = json.loads(text)
            today = date.fromisoformat(whole["today"])
            return cls(whole["letter"], whole["campaign_id"], today, dict(whole["document"]))
        except (ValueError, TypeError, LookupError, RecursionError) as fault:
            raise LogDamaged(f"the log holds a letter that cannot be read ({fault})") from fault

    @property
    def hash(self) -> str:
        """The hash of all that its copies are made of."""
        return _hash(self.letter, self.campaign_id, self._content)

    @property
    def content_hash(self) -> str:
        """The same without the letter's name."""
        return _hash(self.campaign_id, self._content)

    def is_same_as(self, other: "Frozen") -> bool:
        """Whether both say the same; another version of petition may have made one of them."""
        return self.hash == other.hash or _made_of(self) == _made_of(other)

    @property
    def source(self) -> str:
        """The letter as its author wrote it, in all languages."""
        texts = (self.document["texts"][language] for language in self.languages)
        return "\n".join(text["source"] for text in texts)

    @property
    def languages(self) -> tuple[str, ...]:
        """Its languages, in the campaign's order."""
        return tuple(self.document["languages"])

    @property
    def title(self) -> str:
        """The campaign's title."""
        return str(self.document["campaign"]["title"])

    @property
    def sender(self) -> Mailbox:
        """The header From."""
        return Mailbox(*self.document["sender"]["from"])

    @property
    def sender_reply_to(self) -> Mailbox | None:
        """The header Reply-To."""
        reply_to = self.document["sender"]["reply_to"]
        return Mailbox(*reply_to) if reply_to else None

    @property
    def is_bulk(self) -> bool:
        """Whether it goes to a list that people can unsubscribe from."""
        return bool(self.document["kind"] == "bulk")

    def copied(self, key: str) -> tuple[Mailbox, ...]:
        """Who gets each copy besides its recipient, in `cc` or `bcc`."""
        # Each is an addr-spec, or a display name and an addr-spec.
        boxes = (("", one) if isinstance(one, str) else one for one in self.document[key])
        return tuple(Mailbox(*box) for box in boxes)

    @property
    def cc_fields(self) -> list[dict[str, Any]]:
        """Templates of further addresses in Cc, which each row fills in."""
        return list(self.document.get("cc_fields", ()))

    @property
    def yes_no(self) -> frozenset[str]:
        """The columns whose cells count as what they say where they are conditions by themselves.

        In other columns any filled cell is true.
        """
        return frozenset(self.document.get("yes_no", ()))

    def counting(self, yes_no: Collection[str]) -> "Frozen":
        """The same letter with other columns that count as yes or no."""
        document = {key: value for key, value in self.document.items() if key != "yes_no"}
        return replace(self, document=document | ({"yes_no": sorted(yes_no)} if yes_no else {}))

    @property
    def reply_by(self) -> date | None:
        """The day by which an answer is asked for."""
        rule = self.document["reply_by"]
        if not rule:
            return None
        if "working_days" in rule:  # of a calendar that only the machine that froze it need have
            return date.fromisoformat(self.document[DUE])
        if "date" in rule:
            return date.fromisoformat(rule["date"])
        return self.today + timedelta(days=rule["days"])

    @property
    def event(self) -> dict[str, Any] | None:
        """The event that the letter invites to, as petition.toml has it."""
        name = self.document.get("event")
        return self.document["events"][name] if name else None

    @property
    def timezone(self) -> str:
        """The time zone of its dates."""
        return str(self.document["campaign"]["timezone"])

    @property
    def attachments(self) -> list[dict[str, Any]]:
        """The attachments in their order; those of all copies have a `sha256`."""
        return list(self.document.get("enclosures", {}).get("attachments", ()))

    def pictures(self, language: str) -> list[dict[str, Any]]:
        """The pictures that a text shows, each once and in order."""
        shown = self.document["texts"][language].get("pictures", ())
        return list({one["sha256"]: one for one in shown}.values())

    def content(self, sha256: str) -> bytes:
        """The bytes of a file that all copies carry; ValueError if they are not those frozen."""
        data = b64decode(self.document["enclosures"]["files"][sha256])
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError("a file of the frozen letter has changed in the log")
        return data

    def demands(self, language: str) -> list[dict[str, Any]]:
        """The demands as the text in a language shows them."""
        return list(self.document["demands"].get(language, ()))

    def file(self, language: str) -> str:
        """The file of the text in a language."""
        return str(self.document["texts"][language]["file"])

    def compiled(self, language: str) -> CompiledText:
        """The templates of the text in a language."""
        text = self.document["texts"][language]
        parts = (text["subject"], text["text"], text["html"])
        return CompiledText(*(Template(part["template"], tuple(part["lines"])) for part in parts))

    @property
    def _content(self) -> dict[str, Any]:
        texts = self.document["texts"].items()
        demands = self.document["demands"].items()
        enclosures = self.document.get("enclosures")
        kept = {"enclosures": _without(enclosures, _NOT_HASHED_OF_ENCLOSURES)} if enclosures else {}
        if self.cc_fields:
            kept["cc_fields"] = _without(self.cc_fields, _NOT_HASHED_OF_ENCLOSURES)
        return {
            **_without_due(self.document),
            **kept,
            "texts": {language: _unplaced(text) for language, text in texts},
            "demands": {name: [_unplaced(one) for one in listed] for name, listed in demands},
        }


def _made_of(frozen: Frozen) -> dict[str, Any]:
    """What the author wrote, without what petition makes of it."""
    document = frozen.document
    enclosures, texts = document.get("enclosures", {}), document["texts"]
    return {
        **_without_due(document),
        "names": (frozen.letter, frozen.campaign_id),
        "enclosures": _without(enclosures.get("attachments", []), _MADE | {"line", "lines"}),
        "texts": {
            language: [
                text["source"],
                *(one.get("of", one["sha256"]) for one in text.get("pictures", ())),
            ]
            for language, text in texts.items()
        },
        "demands": _without(document["demands"], _MADE),
    }


def _without(part: Any, keys: frozenset[str]) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(part, dict):
        return {key: _without(inner, keys) for key, inner in part.items() if key not in keys}
    return [_without(inner, keys) for inner in part] if isinstance(part, list) else part


def _without_due(document: dict[str, Any]) -> dict[str, Any]:
    """A document without the day that follows from `today`, which is not hashed either."""
    return {key: value for key, value in document.items() if key != DUE}


def _unplaced(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a document without what is not hashed."""
    return {
        key: _unplaced(inner) if isinstance(inner, dict) else inner
        for key, inner in part.items()
        if key not in _NOT_HASHED
    }


def _hash(*parts: str | dict[str, Any]) -> str:
    canonical = json.dumps(parts, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def differences(old: Frozen, new: Frozen) -> list[str]:
    """What has changed, each in a few words such as "the subject (en)"; empty if nothing has."""
    if old.hash == new.hash:
        return []
    found = [*_names(old, new), *_texts(old, new), *_demands(old, new), *_signatories(old, new)]
    found += _files(old, new)
    columns = sorted(old.yes_no ^ new.yes_no)
    found += [f"whether the cells of recipient.{one} say yes or no" for one in columns]
    return [*found, *_settings(old.document, new.document)] or ["how the letter is made"]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys that differ, each with "taken out", "new", or "" where only the value changed."""
    for key in dict.fromkeys((*before, *after)):
        if key not in after:
            yield key, "taken out"
        elif key not in before:
            yield key, "new"
        elif before[key] != after[key]:
            yield key, ""


def _names(old: Frozen, new: Frozen) -> Iterator[str]:
    if old.letter != new.letter:
        yield f"the letter's name ({old.letter}, now {new.letter})"
    if old.campaign_id != new.campaign_id:
        yield f"the campaign's id ({old.campaign_id}, now {new.campaign_id})"


def _texts(old: Frozen, new: Frozen) -> Iterator[str]:
    before, after = old.document["texts"], new.document["texts"]
    for language, change in _changes(before, after):
        if change:
            yield f"the letter in {language} ({change})"
        else:
            yield from _parts(old, new, language)
    if set(before) == set(after) and old.languages != new.languages:
        yield "the order of the languages"


def _parts(old: Frozen, new: Frozen, language: str) -> Iterator[str]:
    before, after = old.document["texts"][language], new.document["texts"][language]
    if before["subject"]["template"] != after["subject"]["template"]:
        yield f"the subject ({language})"
    if all(before[part]["template"] == after[part]["template"] for part in ("text", "html")):
        return
    others = (*_demands(old, new), *_signatories(old, new), *_files(old, new))
    is_made_anew = before["subject"] == after["subject"] and not others
    if _body(before) != _body(after):
        yield f"the text ({language})"
    elif is_made_anew and old.title == new.title:
        yield f"the look of the letter ({language})"


def _body(text: dict[str, Any]) -> str:
    return str(text["source"]).partition("\n")[2]


def _demands(old: Frozen, new: Frozen) -> Iterator[str]:
    for language in new.languages:
        if language not in old.languages:
            continue
        before, after = (
            {demand["id"]: demand for demand in letter.demands(language)} for letter in (old, new)
        )
        for name, change in _changes(before, after):
            yield f"demand {name} ({', '.join(filter(None, (language, change)))})"


def _signatories(old: Frozen, new: Frozen) -> Iterator[str]:
    was, now = old.document["signatories"], new.document["signatories"]
    before, after = (
        Counter(tuple(sorted(one.items())) for one in signed["published"]) for signed in (was, now)
    )
    added, removed = (after - before).total(), (before - after).total()
    unnamed = (now["total"] - after.total()) - (was["total"] - before.total())
    more = "more" if unnamed > 0 else "fewer"
    numbers = ((added, "added"), (removed, "taken out"), (unnamed, f"{more} unnamed"))
    if told := [f"{abs(number)} {what}" for number, what in numbers if number]:
        yield f"the signatories ({', '.join(told)})"
    elif was["published"] != now["published"]:
        yield "the order of the signatories"
    elif was.get("new") != now.get("new"):
        yield "who is new among the signatories"


def _files(old: Frozen, new: Frozen) -> Iterator[str]:
    for kind, gather in (("attachment", _attached), ("picture", _pictured)):
        before, after = gather(old), gather(new)
        for path, change in _changes(before, after):
            yield f"the {kind} {path} ({change})" if change else f"the {kind} {path}"
        if before == after and list(before) != list(after) and kind == "attachment":
            yield "the order of the attachments"


def _attached(frozen: Frozen) -> dict[str, str]:
    """The hash of each attachment by its path; "" for those of single rows."""
    return {
        one.get("path") or _readable(one["template"]): one.get("sha256", "")
        for one in frozen.attachments
    }


def _readable(template: str) -> str:
    for sign, shown in zip((*VARIABLE, *BLOCK), ("{{", "}}", "{%", "%}"), strict=True):
        template = template.replace(sign, shown)
    return template


def _pictured(frozen: Frozen) -> dict[str, str]:
    return {
        one["path"]: one.get("of", one["sha256"])
        for text in frozen.document["texts"].values()
        for one in text.get("pictures", ())
    }


def _templates(document: dict[str, Any]) -> list[str]:
    return [one["template"] for one in document.get("cc_fields", ())]


def _settings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for key in ("kind", "cc", "bcc", "reply_by", "event"):
        if before.get(key) != after.get(key):
            yield f"{key} in the front matter"
    if _templates(before) != _templates(after):
        yield "cc in the front matter"
    for table in ("campaign", "sender", "unsubscribe"):
        for key, _ in _changes(before[table], after[table]):
            if before[table].get(key) != after[table].get(key):
                yield key if key in {"from", "reply_to"} else f"[{table}] {key}"
    for name, _ in _changes(before["events"], after["events"]):
        yield f"[events.{name}]"
