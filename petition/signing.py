"""How people sign the letter: what they agree to, what may be typed, and the mails they get.

Anybody can type anybody's address. So a mail repeats nothing that was typed but the name, cut and
without links; an address gets one mail a day; and to whoever typed it everything looks the same,
whether an address is known, forgotten or not to be written to.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from pathlib import Path
from textwrap import fill
from zoneinfo import ZoneInfo

from petition.address import UNSEEN, Mailbox, is_of, parse_address
from petition.campaign.folder import Campaign, signatory_rows
from petition.campaign.settings import Settings
from petition.campaign.signatories import STAND_IN, Signatory, count_once, with_unnamed
from petition.campaign.text_file import packaged_toml
from petition.errors import AddressRefused, CampaignError, UsageError
from petition.merge import frozen_signatures
from petition.merge.document import Frozen
from petition.merge.freeze import AnyColumn, freeze
from petition.merge.frozen_signatures import Gone
from petition.merge.open_letter import OpenLetter, is_open
from petition.merge.service_mail import ServiceSender, ServiceText
from petition.outbox import service, signatures
from petition.outbox.erasure import frozen_letters
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten, is_suppressed
from petition.outbox.service import ServiceKind
from petition.outbox.signatures import (
    UNCONFIRMED_DAYS,
    Review,
    SignatureEntry,
    SignatureRecord,
    Wording,
)

# By language: what is agreed to, why something is refused, and the mails.
WORDS: dict[str, dict[str, dict[str, str]]] = packaged_toml("signing.toml")
ORGANISATION = "organisation"
BY_PETITION = "petition"  # who approves where nobody moderates

_TEXTS = SignatureEntry._fields[:5]  # name, role, organisation, place, country
_SHOWN = ("name", "role", "organisation", "place", "country", "publish", "updates")

_NAME_LENGTH = 80  # characters
_LENGTH = 120  # of the other fields
_TYPED = 2_000  # of any text, before it is looked at
_TOLD_NAME = 60  # of a name in a mail
_TOLD_TITLE = 150
_WIDTH = 72
_ADDRESS_LENGTH = 320
_MARKS = 4  # combining marks on one letter; Vietnamese and Hebrew need two or three

# Marks that join letters belong to words (address.UNSEEN); other invisible ones make two names
# look the same.
_JOINERS = "\u200c\u200d"
_LINK = re.compile(
    r"://|\bwww\.|\w\.[^\W\d_]{2,}[/?#:]|\b(?:mailto|tel|javascript):", re.IGNORECASE
)
# What mail programs and sites make a link of by themselves: `example.com`, `t.me`; not
# `J.R.R.Tolkien`. After one letter in capitals it may be a name without its blanks: `J.de Vries`.
_BARE_LINK = re.compile(
    r"@|\w{2}\.(?:[a-zа-яёіїєґәғқңөұүһ]{2,}|[A-ZА-ЯЁІЇЄҐӘҒҚҢӨҰҮҺ]{2,})\b"
    r"|\w\.(?i:com|net|org|info)\b"
    r"|\b(?:[a-z\d]\.|\w\.(?!(?:a[flmn]|d[aeiou]|el|im|l[aei]|of|st|t[eo]|v[ao]n?|zu)\b))[a-z]{2}\b"
    r"|\b\w\.(?:app|dev|link|online|site|xyz|рф|рус|сайт|укр|бел|қаз)\b"
)
_UNSEEN_KINDS = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that show nothing
# Addresses of programs, which get no automatic mail (RFC 3834 2).
_OF_A_PROGRAM = re.compile(
    r"(?:owner-.+|.+-(?:owner|request|bounces)|bounces?[+=-].+|mailer-daemon)@", re.IGNORECASE
)
_OF_LINKS = re.compile(r"[:/@<>\[\](){}|\\#?&=%]")


class Admission(Enum):
    """What became of an entry, which nobody outside is told."""

    ASKED = "asked"  # a mail asks for a confirmation
    TOLD = "told"  # they had signed, and a mail tells how to change that
    KEPT = "kept"  # nothing has changed: the address had its mail of the day
    BARRED = "barred"  # the address must not be written to


_ADMISSIONS = {
    ServiceKind.CONFIRM: Admission.ASKED,
    ServiceKind.SIGNED: Admission.TOLD,
    None: Admission.KEPT,
}


class SignRefused(Exception):
    """What somebody typed cannot be taken: `field`, and `why`, a key of `refused` in WORDS."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


def entry_of(cells: Mapping[str, str]) -> SignatureEntry:
    """What a stranger typed, cleaned; SignRefused.

    The keys are the fields of a SignatureEntry: `kind` is "organisation" or something else,
    `publish` and `updates` are "yes" or something else.
    """
    kind = ORGANISATION if cells.get("kind") == ORGANISATION else "individual"
    texts = {field: _cleaned(field, cells.get(field, "")) for field in _TEXTS}
    if not texts["name"]:
        raise SignRefused("name", "missing")
    if not any(map(str.isalpha, texts["name"])):
        raise SignRefused("name", "no_letters")
    if kind == ORGANISATION and not texts[ORGANISATION]:
        raise SignRefused(ORGANISATION, "missing")
    name, role, organisation, place, country = texts.values()
    publish, updates = (cells.get(field) == "yes" for field in ("publish", "updates"))
    return SignatureEntry(name, role, organisation, place, country, kind, publish, updates)


def mailbox_of(text: str) -> Mailbox:
    """The mailbox that a stranger typed; SignRefused."""
    trimmed = text[: 2 * _ADDRESS_LENGTH].strip()
    if not trimmed:
        raise SignRefused("email", "missing")
    try:
        mailbox = parse_address(trimmed) if len(text) <= 2 * _ADDRESS_LENGTH else None
    except AddressRefused:
        mailbox = None
    if mailbox is None or len(mailbox.addr_spec) > _ADDRESS_LENGTH:
        raise SignRefused("email", "address")
    return mailbox


def language_of(*tags: str) -> str:
    """The first language of which there are words, else English."""
    return next((one for tag in tags if (one := tag.lower().partition("-")[0]) in WORDS), "en")


def letter_to_sign(log: Log, campaign: Campaign) -> Frozen:
    """The letter that people sign, as it was last sent or, before that, as its files have it.

    It is named by [sign] letter or [publish] letter, else the first open letter that was sent, else
    the only one there is. UsageError if it is not clear; CampaignError if it cannot be compiled.
    """
    settings = campaign.settings
    name = settings.sign.letter or settings.publish.letter or _only_letter(log, campaign)
    if newest := log.newest(name):
        return Frozen.from_json(newest.document)
    letter = campaign.find_letter(name)
    if not letter.texts:
        raise CampaignError(campaign.problems)
    people = campaign.people(letter.front.to, [])
    return freeze(
        campaign,
        letter,
        campaign_id=log.campaign_id or settings.campaign.id,
        today=datetime.now(ZoneInfo(settings.campaign.timezone)).date(),
        columns=people.columns if people else AnyColumn(["email"]),
    )


def add_signed(campaign: Campaign, log: Log, letter: str) -> None:
    """Add those whose signatures in the log count to the signatories of the file, each once.

    No name that is shown is hidden by somebody else of that name, who may have typed it.
    """
    zone = ZoneInfo(campaign.settings.campaign.timezone)
    found = [
        Signatory(
            line=0,
            **{name: getattr(one.entry, name) for name in _SHOWN},
            kind="organisation" if one.entry.kind == ORGANISATION else "individual",
            email=one.mailbox,
            signed_on=one.confirmed_at.astimezone(zone).date() if one.confirmed_at else None,
        )
        for one in signatures.signatures(log)
        if one.counts and one.letter == letter
    ]
    if found:
        shown = [*campaign.signatories, *(one for one in found if one.publish)]
        unnamed = [one for one in found if not one.publish]
        campaign.signatories = with_unnamed(count_once("", shown, []), unnamed)


@dataclass(frozen=True, slots=True)
class SigningDesk:
    """Takes signatures for one letter; `log` may be another connection for another thread."""

    log: Log
    root: Path  # the campaign's folder
    settings: Settings
    letter: str  # its name
    titles: Mapping[str, str]  # its subject by language; the default one comes first

    @classmethod
    def of(cls, log: Log, campaign: Campaign) -> "SigningDesk":
        """That of a campaign; errors as of `letter_to_sign`, and MergeRefused."""
        frozen = letter_to_sign(log, campaign)
        titles = {one: OpenLetter(frozen, one).subject for one in frozen.languages}
        return cls(log, campaign.root, campaign.settings, frozen.letter, titles)

    @property
    def takes_replies(self) -> bool:
        """Whether a reply to a mail can confirm."""
        return bool(self.settings.sign.mailto and self.settings.inbox)

    def title(self, language: str) -> str:
        """The letter's subject in a language, or in its first."""
        return self.titles.get(language) or next(iter(self.titles.values()))

    def agreed(self, language: str) -> dict[str, str]:
        """What a signatory agrees to, as the form shows it: sign, organisation, publish, ..."""
        told = {"title": self.title(language), "sender": self._sender}
        return {name: text.format(**told) for name, text in WORDS[language]["agreed"].items()}

    def wording(self, language: str) -> Wording:
        """The same as the log keeps it; `language` is one of WORDS."""
        return Wording(language, "\n".join(self.agreed(language).values()))

    def sign(
        self,
        mailbox_text: str,
        entry: SignatureEntry,
        wording: Wording,
        how: str,
        answers: str = "",
    ) -> None:
        """Somebody signs with an address; SignRefused if it is none.

        The mail that asks for a confirmation is queued; it answers the mail with the Message-ID
        `answers`. Nothing tells whether there is one.
        """
        self.admit(mailbox_text, entry, wording, how, answers)

    def admit(
        self, mailbox_text: str, entry: SignatureEntry, wording: Wording, how: str, answers: str
    ) -> tuple[Admission, SignatureRecord | None]:
        """The same, for the campaign's own eyes: what became of it, and what is in the log."""
        mailbox = mailbox_of(mailbox_text)
        with self.log.database.joined(self.log.writing):
            if self._is_barred(mailbox):
                return Admission.BARRED, None
            signature, kind = signatures.submit(
                self.log, self.letter, mailbox.addr_spec, entry, wording, how
            )
            if kind:
                self._write(kind, mailbox, signature, answers)
        return _ADMISSIONS[kind], signature

    def confirm(self, signature: SignatureRecord, how: str) -> bool:
        """The owner confirms; False: it was confirmed or withdrawn before."""
        with self.log.database.joined(self.log.writing):
            done = signatures.confirm(self.log, signature, how)
            if done and not self.settings.sign.moderate:
                signatures.review(self.log, signature.id, Review.APPROVED, BY_PETITION)
        return done

    def withdraw(self, signature: SignatureRecord, how: str) -> list[Gone] | None:
        """The owner takes the signature back, as `withdraw` of frozen_signatures.py does it."""
        return frozen_signatures.withdraw(self.log, signature, how, self._rows)

    def change(
        self, signature: SignatureRecord, entry: SignatureEntry, wording: Wording, how: str
    ) -> SignatureRecord:
        """The owner says something else, once it is confirmed."""
        return frozen_signatures.change(self.log, signature, entry, wording, how, self._rows)

    def _rows(self) -> Sequence[Signatory]:
        """The rows of the file of the signatories, as it is now."""
        try:
            return signatory_rows(self.root, self.settings, [])
        except CampaignError:  # it changes just now
            return (STAND_IN,)

    def link(self, signature: SignatureRecord) -> str:
        """The page of a signature, "" without one."""
        page = self.settings.sign.page
        token = signatures.token_of(self.log, signature)
        return f"{page.rstrip('/')}/{token}" if page else ""

    def is_own(self, address: str) -> bool:
        """Whether an address is one of the campaign's, which sign nothing."""
        sender = self.settings.sender
        own = (sender.from_, sender.reply_to, self.settings.sign.mailto)
        return any(is_of(address, one.addr_spec) for one in own if one)

    @property
    def _sender(self) -> str:
        sender = self.settings.sender.from_
        return sender.display_name or sender.addr_spec

    def _is_barred(self, mailbox: Mailbox) -> bool:
        """Whether an address must not be written to."""
        address = mailbox.addr_spec
        if self.is_own(address) or _OF_A_PROGRAM.match(address):
            return True
        return is_suppressed(self.log, address) or address in Forgotten(self.log)

    # ---- the mails

    def _write(
        self, kind: ServiceKind, to: Mailbox, signature: SignatureRecord, answers: str
    ) -> None:
        settings, language = self.settings, signature.language
        reply_to = settings.sign.mailto or settings.sender.reply_to
        sender = ServiceSender(settings.sender.from_, reply_to)
        lines = self._signed(signature) if kind is ServiceKind.SIGNED else self._asks(signature)
        subject = WORDS[language]["mail"][f"{kind}_subject"].format(title=self._told(language))
        said = ServiceText(language, subject, "\n\n".join(lines) + "\n", answers)
        domain = settings.sender.from_.domain
        campaign = self.log.campaign_id or settings.campaign.id

        def write(message_id: str) -> bytes:
            return sender.mail(to, said, message_id, self.log.clock(), is_reply=True)

        service.add(self.log, kind, to.addr_spec, signature.id, domain, write, campaign=campaign)

    def _asks(self, signature: SignatureRecord) -> Iterator[str]:
        """The paragraphs of the mail that asks for a confirmation."""
        say = self._speech(signature)
        yield say("hello")
        yield say("confirm_text")
        link = self.link(signature)
        if link:
            yield say("confirm_link")
            yield link
        if self.takes_replies:
            yield say("confirm_either" if link else "confirm_reply")
            yield say("code")
        yield say("confirm_means")
        entry = signature.entry
        marks = {
            ORGANISATION: entry.kind == ORGANISATION,
            "publish": entry.publish,
            "updates": entry.updates,
        }
        for name, text in self.agreed(signature.language).items():
            mark = "" if name not in marks else "[x] " if marks[name] else "[ ] "
            yield _wrapped(mark + text, "  ")
        yield say("confirm_else")
        yield from self._how_to_change(signature)
        yield self._sender

    def _signed(self, signature: SignatureRecord) -> Iterator[str]:
        """The paragraphs of the mail to somebody who has signed already."""
        say = self._speech(signature)
        yield say("hello")
        yield say("signed_text")
        yield from self._how_to_change(signature)
        if self.takes_replies:
            yield say("code")
        yield self._sender

    def _how_to_change(self, signature: SignatureRecord) -> Iterator[str]:
        say = self._speech(signature)
        if link := self.link(signature):
            yield say("later_link")
            yield link
        elif self.takes_replies:
            yield say("later_reply")

    def _speech(self, signature: SignatureRecord) -> Callable[[str], str]:
        """Says a paragraph of the mails by its name, in the language of a signature."""
        language = signature.language
        words = WORDS[language]["mail"]
        told = {
            "name": told_name(signature.entry.name),
            "title": self._told(language),
            "sender": self._sender,
            "token": signatures.token_of(self.log, signature),
            "days": UNCONFIRMED_DAYS,
            "yes": words["yes"],
            "withdraw": words["withdraw"],
        }
        return lambda name: _wrapped(words[name].format(**told))

    def _told(self, language: str) -> str:
        """The letter's title as a mail has it."""
        return shortened(self.title(language), _TOLD_TITLE)


def told_name(name: str) -> str:
    """A name as a mail repeats it: cut, without a number to call or a link that programs make."""
    plain = _in_plain_letters(name)
    bare = _OF_LINKS.sub(" ", re.sub(r"\.(?=\w)", ". ", re.sub(r"\d", "", plain)))
    return shortened(" ".join(bare.split()), _TOLD_NAME)


def shortened(text: str, length: int) -> str:
    """A text of so many characters at most."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


@lru_cache(maxsize=256)  # most paragraphs are the same for everybody
def _wrapped(text: str, indent: str = "") -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _only_letter(log: Log, campaign: Campaign) -> str:
    """The open letter that was sent first, or that can only be meant."""
    for name in dict.fromkeys(one.letter for one in frozen_letters(log)):
        newest = log.newest(name)
        if newest and is_open(Frozen.from_json(newest.document)):
            return name
    fronts = {name: one.front for name, one in campaign.letters.items() if one.texts}
    found = [name for name, one in fronts.items() if one.kind != "bulk" and not one.follows]
    if len(found) == 1:
        return found[0]
    what = "it is not clear which letter is signed" if found else "there is no letter to sign"
    hint = f"Name it in petition.toml: [sign] and under it letter = {_quoted(found)}"
    raise UsageError(what, hint)


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names) or '"its name"'


def _cleaned(field: str, text: str) -> str:
    """A cell in NFC, on one line, without what is not seen; SignRefused."""
    if len(text) > _TYPED:
        raise SignRefused(field, "too_long")
    seen = UNSEEN.sub(" ", unicodedata.normalize("NFC", text))
    shown = "".join(
        one
        for one in seen
        if one in _JOINERS or not (one in _FILLERS or unicodedata.category(one) in _UNSEEN_KINDS)
    )
    # A cell that begins with one of these is a formula to a spreadsheet.
    cleaned = " ".join(_stacked(shown).split()).strip(_JOINERS).lstrip("=+-@ ")
    if len(cleaned) > (_NAME_LENGTH if field == "name" else _LENGTH):
        raise SignRefused(field, "too_long")
    plain = _in_plain_letters(cleaned)
    if _LINK.search(plain) or (field == "name" and _BARE_LINK.search(plain)):
        raise SignRefused(field, "link")
    return cleaned


def _in_plain_letters(text: str) -> str:
    """A text as browsers read an address: a full-width dot or letter is a dot or letter."""
    return unicodedata.normalize("NFKC", text).replace("\u3002", ".")


def _stacked(text: str) -> str:
    """A text without more combining marks on a letter than a language writes."""
    kept, marks = [], 0
    for one in text:
        marks = marks + 1 if unicodedata.combining(one) else 0
        if marks <= _MARKS:
            kept.append(one)
    return "".join(kept)
