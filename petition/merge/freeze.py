"""Freezes a letter: compiles it, with everything that its copies are made of."""

import copy as copying
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any

from petition.address import Mailbox, is_of
from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.holidays import HolidaysUnknown, after_working_days
from petition.campaign.letter import UNANSWERED, Demand, Letter, LetterText, WorkingDays
from petition.campaign.names import quoted
from petition.campaign.settings import EventSettings
from petition.campaign.signatories import Signatory, SignedSince, name_key, signed_since
from petition.errors import CampaignError, Problem
from petition.merge.attachments import Files, Gathering, shown_picture
from petition.merge.document import DUE, Frozen
from petition.template import fields
from petition.template.bodies import write_plain
from petition.template.check_names import counted, names_new
from petition.template.compile import (
    Surroundings,
    blocks_of,
    compile_again,
    compile_path,
    compile_text,
    names_in,
)
from petition.template.fields import EVENT_FIELDS, PREVIOUS_FIELDS, ValueRefused
from petition.template.markdown import ShownPicture, read_plain
from petition.template.signatories import CHOICE_FIELDS, in_order, signatories_in
from petition.template.tags import Marked, find_reserved


def freeze(
    campaign: Campaign,
    letter: Letter,
    *,
    campaign_id: str,
    today: date,
    columns: Sequence[str],
    files: Files | None = None,
    before: Frozen | None = None,
) -> Frozen:
    """Compile a letter in all its languages; CampaignError has all problems of its templates.

    `campaign_id` is the one that the log has fixed; `today` is in the campaign's time zone.
    Without `files`, the campaign's are read. `before` is the letter that a follow-up follows, as it
    was frozen last; without it everybody is new among the signatories, so that it can be previewed.
    """
    freezing = _Freezing(campaign, letter, columns, files or Files.of(campaign))
    freezing.look_for_new(before, today)
    document = freezing.document() | freezing.due(today)
    if freezing.problems:
        problems = set(freezing.problems)
        raise CampaignError(sorted(problems, key=lambda one: (one.file, one.line or 0, one.what)))
    return Frozen(letter.name, campaign_id, today, document)


class AnyColumn(tuple[str, ...]):
    """The columns of a list that cannot be read: any name that a letter uses could be one."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return True


class _Freezing:
    def __init__(
        self, campaign: Campaign, letter: Letter, columns: Sequence[str], files: Files
    ) -> None:
        self.problems: list[Problem] = []
        self._gathering = Gathering(letter, files, self.problems)
        self._campaign = campaign
        self._letter = letter
        self._columns = columns
        named = [names_in(text) for text in letter.texts.values()]
        self._names_demands = any({"demands", "open_demands"} & names for names in named)
        self._names_signatories = any("signatories" in names for names in named)
        self._signed = self._signatories()

    def look_for_new(self, before: Frozen | None, today: date) -> None:
        """Add those who have signed since the letter before, if a follow-up names them."""
        if not (self._letter.front.follows and names_new(self._letter)):
            return
        new: Sequence[Signatory] = self._campaign.signatories
        if before:
            found = signed_since_letter(self._campaign, before, today)
            new = found.new
            self.problems += self._unclear(found, before)
        since = (before.today if before else today).isoformat()
        self._signed |= {fields.NEW: {fields.SINCE: since, **self._listed(new)}}

    def _unclear(self, found: SignedSince, before: Frozen) -> Iterator[Problem]:
        """Of whom it is not known whether they have signed since."""
        file = self._campaign.settings.people["signatories"]
        since = f"signed since {quoted(before.letter)} was frozen ({before.today}) is not known"
        if found.unclear and not any(one.signed_on for one in self._campaign.signatories):
            hint = "Add a column signed_on with the day on which each of them signed"
            yield Problem(file, None, f"no row has a day in signed_on, so who has {since}", hint)
            return
        for one in found.unclear:
            what = f"whether this signatory has {since}"
            if one.signed_on:
                what = f"signed_on is {one.signed_on}, a day to come"
            hint = 'Write the day in signed_on, as "2015-09-28"'
            yield Problem(file, one.line, what, hint, gathers=not one.signed_on)

    def document(self) -> dict[str, Any]:
        settings, front = self._campaign.settings, self._letter.front
        sender, texts = settings.sender, self._letter.texts
        self._check(settings.campaign.title, SETTINGS_FILE, None)
        from_ = front.from_ or sender.from_
        reply_to, answers = front.reply_to or sender.reply_to, list(front.where or UNANSWERED)
        return {
            "kind": front.kind,
            "languages": list(texts),
            "campaign": _table(settings.campaign, "title", "languages", "timezone"),
            "sender": {
                "from": [from_.display_name, from_.addr_spec],
                "reply_to": reply_to and [reply_to.display_name, reply_to.addr_spec],
                "return_path": sender.return_path,
                **({"postal_address": sender.postal_address} if sender.postal_address else {}),
            },
            "events": {name: _event(event) for name, event in settings.events.items()},
            "unsubscribe": _table(settings.unsubscribe, "url", "mailto"),
            "cc": list(map(_copied, front.mailboxes("cc"))),
            "bcc": list(map(_copied, front.bcc)),
            **({"cc_fields": self._cc_fields()} if front.cc_fields else {}),
            "reply_by": _reply_by_as_json(front.reply_by),
            "texts": {language: self._text(text) for language, text in texts.items()},
            "demands": {
                language: [self._demand(one, language) for one in self._demands(language)]
                for language in texts
            },
            "signatories": self._signed,
            **({"event": front.event} if front.event in settings.events else {}),
            **self._enclosed(),
            **({"follows": front.follows, "answers": answers} if front.follows else {}),
        }

    def due(self, today: date) -> dict[str, str]:
        """The day that a number of working days leads to, for a letter that asks for one."""
        reply_by, text = self._letter.front.reply_by, self._letter.default_text
        if not isinstance(reply_by, WorkingDays):
            return {}
        try:
            day = after_working_days(today, reply_by.number, reply_by.calendar)
        except HolidaysUnknown as why:
            line = text.line_of("reply_by")
            self.problems.append(Problem(text.file, line, why.what, why.hint, mark="reply_by"))
            return {}
        return {DUE: day.isoformat()}

    def _cc_fields(self) -> list[dict[str, Any]]:
        text = self._letter.default_text
        line, known = text.line_of("cc"), self._known()
        templates = [
            compile_path(text.file, line, one, known, self.problems) for one in text.front.cc_fields
        ]
        return [
            {"line": line, "template": one.source, "lines": list(one.lines)} for one in templates
        ]

    def _enclosed(self) -> dict[str, Any]:
        """The attachments and pictures of the letter, whose texts are compiled by now."""
        attachments = self._gathering.attachments(self._known())
        files = self._gathering.contents()
        if not (attachments or files):
            return {}
        return {"enclosures": {"attachments": attachments, "files": files}}

    def _text(self, text: LetterText) -> dict[str, Any]:
        language = text.language
        blocks = blocks_of(self._demands(language), signatories_in(self._signed, language))
        around = Surroundings(self._known(), blocks, self._gathering.picture)
        compiled = compile_text(text, around, self.problems)
        parts = compiled._asdict() if compiled else {}
        pictures = self._gathering.pictures_in(compiled.html.source) if compiled else []
        return {
            "file": text.file,
            "breaks": True,
            "source": f"{text.subject}\n{text.body}",
            **{
                name: {"template": source, "lines": list(lines)}
                for name, (source, lines) in parts.items()
            },
            **({"pictures": pictures} if pictures else {}),
        }

    def _known(self) -> dict[str, Sequence[str]]:
        """The names that a letter can use, each with its fields."""
        known: dict[str, Sequence[str]] = {
            "recipient": self._columns,
            "campaign": fields.CAMPAIGN_FIELDS,
            "sender": fields.SENDER_FIELDS,
            "today": fields.DATE_FIELDS,
            "demands": (),
            "signatories": (),
        }
        front = self._letter.front
        if front.kind == "bulk":
            known["unsubscribe"] = ()
        if front.reply_by:
            known["reply_by"] = fields.DATE_FIELDS
        if front.event:  # one that petition.toml lacks is a problem already
            known["event"] = EVENT_FIELDS
        if front.follows:
            known["signatories"] = (fields.NEW, fields.SINCE)
            known["previous"] = PREVIOUS_FIELDS
            known["open_demands"] = ()
        return known

    def _demands(self, language: str) -> Sequence[Demand]:
        if not self._names_demands:
            return ()
        return self._campaign.demands.get(self._language_of_demands(language), ())

    def _language_of_demands(self, language: str) -> str:
        """The language itself, or the first that has demands."""
        known = [tag for tag, demands in self._campaign.demands.items() if demands]
        return language if language in known else next(iter(known), "")

    def _demand(self, demand: Demand, language: str) -> dict[str, Any]:
        written_in = self._language_of_demands(language)
        file = self._campaign.demands_file(written_in)
        for words in (demand.title, demand.text):
            self._check(words, file, demand.line)

        def report(_line: int, what: str, hint: str) -> None:
            self.problems.append(Problem(file, demand.line, what, hint))

        return {
            "number": demand.number,
            "id": demand.id,
            "title": demand.title,
            "text": write_plain(read_plain(demand.text, report), Marked()).strip(),
            "source": demand.text,
        }

    def _signatories(self) -> dict[str, Any]:
        """Those who signed, as JSON has it; of those who are not to be named only the numbers."""
        if not self._names_signatories:
            return {"published": [], "total": 0}
        return self.signed()

    def signed(self) -> dict[str, Any]:
        """The same, whether the letter names them or not."""
        return self._listed(self._campaign.signatories)

    def _listed(self, everybody: Sequence[Signatory]) -> dict[str, Any]:
        language = self._campaign.languages[0]
        published = [self._published(one) for one in everybody if one.publish]
        hidden = [
            {name: getattr(one, name) for name in CHOICE_FIELDS}
            for one in everybody
            if not one.publish
        ]
        sources = chain(*((text.subject, text.body) for text in self._letter.texts.values()))
        unnamed = counted(hidden, sources, language)
        return {
            # In a fixed order: the letter is the same when the rows of the file change places.
            "published": in_order(published, language),
            "total": len(everybody),
            **({"unnamed": unnamed} if unnamed else {}),
        }

    def _published(self, signatory: Signatory) -> dict[str, str]:
        named = {name: getattr(signatory, name) for name in fields.SIGNATORY_FIELDS}
        if signatory.last_name:
            named["last_name"] = signatory.last_name
        file = self._campaign.settings.people["signatories"]
        self._check("\n".join(named.values()), file, signatory.line)
        return named

    def _check(self, text: str, file: str, line: int | None) -> None:
        try:
            fields.clean(text)
        except ValueRefused as refusal:
            self.problems.append(Problem(file, line, refusal.what, refusal.hint))
        if find_reserved(text):
            what = "the text holds a character of the last private-use plane"
            self.problems.append(Problem(file, line, what, "Delete it"))


def signed_since_letter(campaign: Campaign, before: Frozen, today: date) -> SignedSince:
    """Who among the signatories has signed since a letter was frozen."""
    published = before.document["signatories"]["published"]
    named = {name_key(one["kind"], one["name"]) for one in published}
    return signed_since(campaign.signatories, before.today, today, named)


def _table(settings: object, *keys: str) -> dict[str, Any]:
    values = {key: getattr(settings, key, None) for key in keys} if settings else {}
    return {key: _json_value(value) for key, value in values.items()}


def _copied(mailbox: Mailbox) -> str | list[str]:
    name, address = mailbox.display_name, mailbox.addr_spec
    return [name, address] if name else address


def _event(event: EventSettings) -> dict[str, Any]:
    table = _table(event, "title", "starts", "ends", "place", "url")
    return table if event.status == "confirmed" else {**table, "status": event.status}


def _json_value(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _reply_by_as_json(reply_by: timedelta | WorkingDays | date | None) -> Mapping[str, Any] | None:
    if isinstance(reply_by, timedelta):
        return {"days": reply_by.days}
    if isinstance(reply_by, WorkingDays):
        return {"working_days": reply_by.number, "calendar": reply_by.calendar}
    return {"date": reply_by.isoformat()} if reply_by else None


def without(
    frozen: Frozen,
    addr_spec: str,
    is_signature: Callable[[dict[str, str]], bool],
    *,
    still_counts: bool = False,
) -> Frozen | None:
    """The letter as it would have been frozen without a person; None if they are not in it.

    It is made only of what was frozen, whatever has become of the files since. `is_signature`
    tells whether a published signatory is the person, who `still_counts` as one that is not named.
    """
    document = copying.deepcopy(frozen.document)
    signatories = document["signatories"]
    gone = 0
    for part in filter(None, (signatories.get(fields.NEW), signatories)):
        theirs = [one for one in part["published"] if is_signature(one)]
        part["published"] = [one for one in part["published"] if one not in theirs]
        gone = len(theirs)
        if still_counts:
            _count_unnamed(part, theirs, document)
        else:
            part["total"] -= gone
    for key in ("cc", "bcc"):
        boxes = zip(document[key], frozen.copied(key), strict=True)
        document[key] = [one for one, box in boxes if not is_of(box.addr_spec, addr_spec)]
    if document == frozen.document:
        return None
    if gone:
        for language, text in document["texts"].items():
            _recompile(document, language, text)
    return replace(frozen, document=document)


def _count_unnamed(
    part: dict[str, Any], more: list[dict[str, str]], document: dict[str, Any]
) -> None:
    """Count more people among those who are not to be named, as if it had been frozen so."""
    sources = chain(*(text["source"].split("\n", 1) for text in document["texts"].values()))
    counts = Counter[tuple[tuple[str, str | None], ...]]()
    language = document["campaign"]["languages"][0]
    for one, number in (*part.get("unnamed", ()), *counted(more, sources, language)):
        counts[tuple(one.items())] += number
    if counts:
        part["unnamed"] = [[dict(one), number] for one, number in sorted(counts.items(), key=repr)]


def with_fewer_signatories(old: Frozen, now: Frozen) -> Frozen | None:
    """The old letter with the signatories of today; None if something else differs, or any is new.

    `now` is the same letter as it would be frozen today.
    """
    before, after = old.document["signatories"], now.document["signatories"]
    if before == after or not (
        _is_less(before, after) and _is_less(*map(_new_in, (before, after)))
    ):
        return None
    document = copying.deepcopy(old.document) | {"signatories": copying.deepcopy(after)}
    for language, text in document["texts"].items():
        _recompile(document, language, text)
    fewer = replace(old, document=document)
    return fewer if fewer.is_same_as(now) else None


def _is_less(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    known = [_named(one) for one in before["published"]]
    is_known = all(_named(one) in known for one in after["published"])
    return is_known and after["total"] <= before["total"]


def _new_in(signatories: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those who are new in a follow-up; in another letter nobody is."""
    return signatories.get(fields.NEW) or {"published": [], "total": 0}


def _named(published: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(published.items()))


def signed_now(frozen: Frozen, campaign: Campaign, shown: Callable[[str], str]) -> Frozen:
    """The letter with those who have signed by now, for readers who get no copy; its words stay.

    `shown` is what everybody may read of a text of theirs.
    CampaignError if a signatory cannot be printed.
    """
    letter = campaign.letters.get(frozen.letter) or Letter(frozen.letter, {}, {})
    freezing = _Freezing(campaign, letter, (), Files.of(campaign))
    signed = freezing.signed()
    signed["published"] = [
        {name: shown(text) for name, text in one.items()} for one in signed["published"]
    ]
    if freezing.problems:
        raise CampaignError(sorted(freezing.problems))
    document = copying.deepcopy(frozen.document) | {"signatories": signed}
    for language, text in document["texts"].items():
        _recompile(document, language, text)
    return replace(frozen, document=document)


def _recompile(document: dict[str, Any], language: str, text: dict[str, Any]) -> None:
    demands = [
        Demand(one["number"], one["id"], one["title"], one["source"], 1)
        for one in document["demands"].get(language, ())
    ]
    signatories = signatories_in(document["signatories"], language)
    blocks = blocks_of(demands, signatories)
    pictures = {(one["path"], one.get("asked")): one for one in text.get("pictures", ())}

    def picture(path: str, width: int | None) -> ShownPicture:
        return shown_picture(pictures.get((path, width)) or pictures[path, None])

    around = Surroundings({}, blocks, picture)
    for part, template in zip(
        ("text", "html"), compile_again(text["file"], text["source"], around, language), strict=True
    ):
        before = text[part]["lines"]
        # The lines are those of the file again: the body ends where it ended.
        shift = before[-1] - template.lines[-1] if before and template.lines else 0
        lines = [line + shift for line in template.lines]
        text[part] = {"template": template.source, "lines": lines}
