"""petition.toml: its tables, and the reading of it with everything that is wrong."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from petition.address import Mailbox, folded
from petition.campaign import validation as kinds
from petition.campaign.csv_file import Reading
from petition.campaign.encoding import encoding_named
from petition.campaign.names import quoted, slug
from petition.campaign.pace import PaceSettings
from petition.campaign.text_file import read_text
from petition.campaign.toml import TomlLines, TomlRefused, parse_toml
from petition.campaign.validation import Faults, KeyPath, SettingsTable, fault, read_on
from petition.errors import Problem
from petition.oauth import Account, OAuthClient, hosts_for, misdirected

_LIMIT = 50_000  # characters; ten times the longest petition.toml that makes sense
_SECRETS = {"password", "passwd", "secret", "token", "client_secret", "refresh_token"}
_LONGEST_KEPT = 1200  # months
_MOST_APPROVERS = 20
_LISTS = {"recipients": "recipients.csv", "signatories": "signatories.csv"}


def _id_of_title(known: dict[str, Any]) -> str:
    # A title without letters has an empty slug, which is refused: a person must choose the id.
    return slug(known.get("title", "untitled"))[:100].rstrip("-")


class Lists(dict[str, str]):
    """[people]: the file of each list by its name, and how the files are read."""

    reading = Reading()

    @classmethod
    def of(cls, table: dict[str, str]) -> Self:
        """The lists of the table; for pydantic."""
        lists = cls(table)
        hidden = lists.pop("hidden", None)
        if hidden not in {None, "skip", "include"}:
            what = f'hidden is {quoted(str(hidden))}, not "skip" or "include"'
            raise fault(what, "Write one of them")
        encoding = lists.pop("encoding", None)
        if encoding and not encoding_named(encoding):
            what = f"encoding is {quoted(encoding)}, which is not known"
            raise fault(what, 'Write one as "cp1250" or "mac_roman"')
        lists.reading = Reading(hidden, encoding)
        return lists


class CampaignSettings(SettingsTable):
    """[campaign]: its title and languages."""

    title: kinds.OneLine = Field(examples=['title = "What the campaign is about"'])
    id: kinds.CampaignId = Field(default_factory=_id_of_title, validate_default=True)
    languages: kinds.LanguageTags = ("en",)
    timezone: kinds.TimeZoneName = "UTC"


class SenderSettings(SettingsTable):
    """[sender]: who the letters are from."""

    from_: kinds.MailboxText = Field(alias="from", examples=['from = "Name <name@your.domain>"'])
    reply_to: kinds.MailboxText | None = None
    return_path: kinds.ReturnPath | None = None
    postal_address: kinds.OneLine | None = None


class Smtp(SettingsTable):
    """[smtp]: the server that takes the letters."""

    host: kinds.Host = Field(examples=['host = "smtp.your.domain"'])
    port: int | None = Field(default=None, ge=1, le=65535)  # that of the security
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: kinds.OneLine | None = None
    password_command: kinds.OneLine | None = None
    auth: kinds.Auth = "password"
    token_command: kinds.OneLine | None = None
    connections: int = Field(default=4, ge=1, le=64)
    timeout: float = Field(default=60.0, gt=0)


class OAuthSettings(SettingsTable):
    """[oauth]: the organisation's own client at the provider that gives the tokens."""

    provider: Literal["google", "microsoft"] | None = None
    client_id: kinds.OneLine = Field(examples=['client_id = "the id that the provider shows"'])
    tenant: kinds.Tenant | None = None
    authorize_url: kinds.HttpsAddress | None = None
    token_url: kinds.HttpsAddress | None = None
    device_url: kinds.HttpsAddress | None = None
    scope: kinds.OneLine | None = None

    @model_validator(mode="after")
    def _one_provider(self) -> Self:
        own = (self.authorize_url, self.token_url, self.scope)
        if self.provider and any((*own, self.device_url)):
            what = f"{self.provider} is a known provider, and authorize_url, token_url, device_url"
            raise fault(f"{what} and scope are for others", "Remove these keys, or provider")
        if not (self.provider or all(own)):
            hint = 'Write provider = "google" or "microsoft"; for another one all three'
            raise fault("it names neither provider nor authorize_url, token_url and scope", hint)
        if self.tenant and self.provider != "microsoft":
            raise fault("tenant is for Microsoft alone", "Remove it")
        return self

    @property
    def client(self) -> OAuthClient:
        """What a login needs to know of it."""
        if self.provider:
            return OAuthClient.of_provider(self.provider, self.client_id, self.tenant or "common")
        scope = self.scope or ""
        return OAuthClient(
            self.client_id,
            urlsplit(self.token_url or "").netloc,
            self.authorize_url or "",
            self.token_url or "",
            self.device_url,
            {"smtp": scope, "inbox": scope},
            hosts_for(self.token_url or ""),
        )


class Dkim(SettingsTable):
    """[dkim]: who signs the letters, if no relay does."""

    domain: kinds.DomainName = Field(examples=['domain = "your.domain"'])
    selector: kinds.Selector = Field(examples=['selector = "petition"'])
    key_file: kinds.OuterPath | None = None
    key_command: kinds.OneLine | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.key_file and self.key_command:
            raise fault("key_file and key_command both name a key", "Remove one of them")
        return self


def _approvers(value: object) -> tuple[Mailbox, ...]:
    names = value if isinstance(value, list | tuple) else ()
    if not 0 < len(names) <= _MOST_APPROVERS:
        what = f"this is not a list of one to {_MOST_APPROVERS} mailboxes"
        raise fault(what, 'Write it as ["Bea Ash <bea@your.domain>"]')
    boxes = tuple(map(kinds.mailbox_of, names))
    if len({folded(one.addr_spec) for one in boxes}) < len(boxes):
        raise fault("this names somebody twice", "Name each approver once")
    return boxes


class ApprovalSettings(SettingsTable):
    """[approval]: who must agree before a letter goes."""

    by: Annotated[tuple[Mailbox, ...], PlainValidator(_approvers)] = Field(
        examples=['by = ["bea@your.domain"]']
    )
    needed: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.needed > len(self.by):
            what = f"needed is {self.needed}, but by names only {len(self.by)}"
            raise fault(what, "Name more approvers, or make needed smaller")
        return self


class EventSettings(SettingsTable):
    """[events.NAME]: where and when people meet; times are those of [campaign] timezone."""

    title: kinds.OneLine = Field(examples=['title = "What it is"'])
    starts: kinds.LocalTime = Field(examples=["starts = 2015-09-28T16:00:00"])
    ends: kinds.LocalTime | None = None
    place: kinds.OneLine | None = None
    url: kinds.WebAddress | None = None
    status: Literal["confirmed", "cancelled"] = "confirmed"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends is not None and self.ends <= self.starts:
            raise fault("it ends before it starts", "Correct starts or ends")
        return self


class Inbox(SettingsTable):
    """[inbox]: where answers and bounces arrive."""

    url: kinds.InboxUrl = Field(examples=['url = "imaps://user@host/INBOX"'])
    password_command: kinds.OneLine | None = None
    auth: kinds.Auth = "password"
    token_command: kinds.OneLine | None = None

    @property
    def is_imap(self) -> bool:
        """Whether the mailbox is on a server, and not in files."""
        return self.url.startswith(kinds.IMAP_SCHEMES)

    @property
    def host(self) -> str:
        """The server of the mailbox; empty for files."""
        return urlsplit(self.url).hostname or ""

    @property
    def username(self) -> str:
        """Who logs in there."""
        return unquote(urlsplit(self.url).username or "")


class ListTable(SettingsTable):
    """[lists.NAME]: what is true of everybody on a list in [people]."""

    consent: Literal["all", "proven", "soft opt-in"] = Field(examples=['consent = "all"'])
    reason: kinds.OneLine = Field(examples=['reason = "how they said yes, and when"'])
    words: kinds.OneLine | None = None  # which they agreed to, or could refuse by
    source: kinds.OneLine | None = None  # where they did


class Unsubscribe(SettingsTable):
    """[unsubscribe]: how people leave a bulk letter's list."""

    url: kinds.WebAddress | None = None
    mailto: kinds.Mailto | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long something is kept, by the calendar."""

    months: int
    days: int

    @classmethod
    def parse(cls, value: object) -> Self:
        """The time that "2 years", "18 months" or "90 days" says; for pydantic."""
        text = kinds.one_line(value)
        found = re.fullmatch(r"([1-9][0-9]{0,3})\s*(day|month|year)s?", text)
        number = int(found[1]) if found else 0
        months = {"year": 12 * number, "month": number}.get(found[2], 0) if found else 0
        if not number > 0 or months > _LONGEST_KEPT:
            what = f"{quoted(text)} is not how long something is kept"
            raise fault(what, 'Write it as "2 years", "18 months" or "90 days"')
        return cls(months, 0 if months else number)

    def start(self, today: date) -> date:
        """The first day that is not too long ago; of 29 February in other years, 28 February."""
        year, month = divmod(12 * today.year + today.month - 1 - self.months, 12)
        last = monthrange(year, month + 1)[1]
        return date(year, month + 1, min(today.day, last)) - timedelta(days=self.days)


class PrivacySettings(SettingsTable):
    """[privacy]: how long what the log holds about people is kept."""

    keep: Annotated[Retention, PlainValidator(Retention.parse)] | None = None


class SignatorySettings(SettingsTable):
    """[signatories]: how the answers in the signatories file are read."""

    yes: Annotated[tuple[kinds.OneLine, ...], Field(strict=False)] = ()  # TOML has lists


class SignSettings(SettingsTable):
    """[sign]: how people sign."""

    mailto: kinds.MailboxText | None = None
    url: kinds.WebAddress | None = None  # of a form elsewhere
    # Where `petition serve --sign` is reached, /sign included.
    page: kinds.FolderAddress | None = None
    letter: kinds.OneLine | None = None  # which is signed
    moderate: bool = True  # whether a person approves each signature


class PublishSettings(SettingsTable):
    """[publish]: the public site of the campaign."""

    letter: kinds.OneLine | None = None
    url: kinds.FolderAddress | None = None
    names: bool = False
    documents: Annotated[tuple[kinds.InnerPath, ...], Field(strict=False)] = ()


class LogSettings(SettingsTable):
    """[log]: where the delivery log is kept."""

    database: kinds.DatabaseUrl = "sqlite:///petition.db"


class Settings(SettingsTable):
    """All of petition.toml."""

    campaign: CampaignSettings = Field(examples=["[campaign] and under it a title"])
    sender: SenderSettings = Field(
        examples=['[sender] and under it from = "Name <name@your.domain>"']
    )
    people: Annotated[
        dict[str, kinds.InnerPath],
        BeforeValidator(lambda value: {**_LISTS, **value} if isinstance(value, dict) else value),
        AfterValidator(Lists.of),
    ] = Field(default_factory=lambda: Lists(_LISTS))
    lists: dict[str, ListTable] = Field(default_factory=dict)
    oauth: OAuthSettings | None = None  # before those that may need it
    smtp: Smtp | None = None
    dkim: Dkim | None = None
    pace: PaceSettings = Field(default_factory=PaceSettings)
    approval: ApprovalSettings | None = None
    events: dict[str, EventSettings] = Field(default_factory=dict)
    inbox: Inbox | None = None
    unsubscribe: Unsubscribe | None = None
    signatories: SignatorySettings = Field(default_factory=SignatorySettings)
    sign: SignSettings = Field(default_factory=SignSettings)
    publish: PublishSettings = Field(default_factory=PublishSettings)
    privacy: PrivacySettings = Field(default_factory=PrivacySettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @property
    def has_service_mails(self) -> bool:
        """Whether petition writes mails by itself."""
        return bool(self.sign.page or self.sign.mailto or self.approval)

    @field_validator("smtp", "inbox")
    @classmethod
    def _has_client(cls, table: Smtp | Inbox | None, info: ValidationInfo) -> Smtp | Inbox | None:
        is_known = "oauth" in info.data and "oauth" not in (info.context or ())
        if table is None or table.auth != "oauth" or not is_known:
            return table
        if info.data["oauth"] is None:
            what = 'auth = "oauth" needs a table [oauth] with provider and client_id'
            raise fault(what, "petition help login.md says how to get them")
        client = info.data["oauth"].client
        if isinstance(table, Inbox) and not table.is_imap:
            raise fault('auth = "oauth" is for a mailbox on a server', "Remove auth")
        if not client.may_log_in_to(table.host):
            refusal = misdirected(client, table.host)
            raise fault(refusal.what, refusal.hint)
        return table

    @field_validator("approval")
    @classmethod
    def _is_another_person(
        cls, table: ApprovalSettings | None, info: ValidationInfo
    ) -> ApprovalSettings | None:
        """An approver must not be the sender, whose own mailbox the campaign reads."""
        sender = info.data.get("sender")
        own = (sender.from_, sender.reply_to) if sender else ()
        keys = {folded(one.addr_spec) for one in own if one}
        for one in table.by if table else ():
            if folded(one.addr_spec) in keys:
                what = f"{one.addr_spec} is the sender, who cannot approve their own letters"
                raise fault(what, "Name the mailbox of another person")
        return table

    def kept_since(self, now: datetime) -> datetime | None:
        """The moment from which on the log is kept, by [privacy]; None: all of it is."""
        keep, zone = self.privacy.keep, ZoneInfo(self.campaign.timezone)
        if keep is None:
            return None
        return datetime.combine(keep.start(now.astimezone(zone).date()), time(), zone)

    @property
    def client(self) -> OAuthClient | None:
        """The client of [oauth], if there is one."""
        return self.oauth.client if self.oauth else None

    @property
    def inbox_account(self) -> Account | None:
        """Whose token from a provider the inbox's server gets; None: it gets none."""
        if self.inbox is None or self.client is None or self.inbox.auth != "oauth":
            return None
        return Account(self.client, "inbox", self.inbox.host, self.inbox.username)

    @property
    def reading(self) -> Reading:
        """How the files of [people] are read."""
        return self.people.reading if isinstance(self.people, Lists) else Reading()


_STAND_INS: dict[tuple[str, ...], Any] = {
    ("campaign",): {"title": "untitled"},
    ("campaign", "title"): "untitled",
    ("campaign", "id"): "untitled",
    ("sender",): {"from": "Nobody <nobody@sender.example>"},
    ("sender", "from"): "Nobody <nobody@sender.example>",
}


class LoadedSettings(NamedTuple):
    """What was read of petition.toml.

    If a problem is an error, the settings only serve to find further problems: a wrong value is
    left out, and a missing title or sender has a stand-in, so nothing may be sent with them.
    """

    settings: Settings | None  # None: the file cannot be read
    problems: list[Problem]
    lines: TomlLines

    @property
    def has_errors(self) -> bool:
        """Whether nothing may be sent with the settings."""
        return any(problem.is_error for problem in self.problems)


def load_settings(path: Path) -> LoadedSettings:
    """The settings of a campaign, with everything that is wrong in them."""
    file, problems = path.name, list[Problem]()
    text = read_text(path.parent, file, problems)
    if text is None:
        return LoadedSettings(None, problems, TomlLines())
    return judge_settings(text, file)


def judge_settings(text: str, file: str) -> LoadedSettings:
    """The settings that a text has, with everything that is wrong in them."""
    if len(text) > _LIMIT:
        what = f"is longer than {_LIMIT:,} characters"
        problem = Problem(file, None, what, "Remove everything that is not a setting")
        return LoadedSettings(None, [problem], TomlLines())
    problems = list[Problem]()
    try:
        document, lines = parse_toml(text), TomlLines(text)
    except TomlRefused as why:
        problem = Problem(file, why.line, why.what, why.hint, mark="")
        return LoadedSettings(None, [problem], TomlLines())
    for line, key, what, hint in _take_secrets(document, (), lines):
        problems.append(Problem(file, line, what, hint, mark=key))
    faults = Faults(Settings, file, lines.line_of, _place)
    settings, found = read_on(Settings, document, faults, _STAND_INS)
    in_order = sorted(problems + found, key=lambda problem: problem.line or 0)
    return LoadedSettings(settings, in_order, lines)


def stand_in_settings(languages: list[str]) -> Settings:
    """Settings for finding problems in other files when petition.toml cannot be read."""
    campaign = {"title": "untitled", "languages": ["en", *languages]}
    return Settings.model_validate({"campaign": campaign, "sender": _STAND_INS["sender",]})


def _take_secrets(
    table: dict[str, Any], path: tuple[str, ...], lines: TomlLines
) -> Iterator[tuple[int | None, str, str, str]]:
    """Remove what looks like a secret: its line and key, and what to say about it."""
    for key, value in list(table.items()):
        if isinstance(value, dict):
            yield from _take_secrets(value, (*path, key), lines)
        elif key.lower() in _SECRETS:
            what = f"{quoted(key)}{_place(path)} is a secret and does not belong in this file"
            yield lines.line_of((*path, key)), key, what, _hint_secret(path, key)
            del table[key]


def _place(table: KeyPath) -> str:
    return f" in [{'.'.join(map(str, table))}]" if table else ""


def _hint_secret(path: tuple[str, ...], key: str) -> str:
    table = ".".join(path) or "smtp"
    if table == "oauth":
        return "Remove it; petition login asks for a client secret, and keeps it with the login"
    command = "token_command" if key.lower() == "token" else "password_command"
    hint = f"Remove it, change it, and name a {command} in [{table}] that prints it"
    if (table, command) == ("smtp", "password_command"):
        hint += ", or set the environment variable PETITION_SMTP_PASSWORD"
    return hint
