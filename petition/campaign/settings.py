"""petition.toml: its settings, and the line of each key."""

import re
import tomllib
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
    BaseModel,
    BeforeValidator,
    ConfigDict,
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
from petition.campaign.holidays import CODE, HOW_TO_WRITE
from petition.campaign.names import curly_hint, quoted, slug
from petition.campaign.text_file import read_text
from petition.campaign.validation import Faults, KeyPath, fault, read_on
from petition.errors import PetitionError, Problem
from petition.oauth import Account, OAuthClient, hosts_for, misdirected

_LIMIT = 50_000  # characters; ten times the longest petition.toml that makes sense
_SECRETS = {"password", "passwd", "secret", "token", "client_secret", "refresh_token"}

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_LISTS = {"recipients": "recipients.csv", "signatories": "signatories.csv"}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many letters in so many seconds."""

    count: int
    seconds: int

    @property
    def interval(self) -> float:
        """Seconds from one to the next."""
        return self.seconds / self.count

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rate of "10/s", "20/min" or "500/h"; for pydantic."""
        found = re.fullmatch(r"([0-9]{1,9})\s*/\s*(s|min|h)", text)
        if not found or int(found[1]) == 0:
            raise fault(f"{quoted(text)} is not a rate", 'Write it as "10/s", "20/min" or "500/h"')
        return cls(int(found[1]), _SECONDS[found[2]])

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.count}/{unit}"


@dataclass(frozen=True, slots=True)
class Between:
    """The hours of the day in which letters go; past midnight if `start` is after `end`."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """The hours of "08:00-20:00"; "24:00" is midnight; for pydantic."""
        clock = r"([01]?[0-9]|2[0-3]|24(?=:00)):([0-5][0-9])"
        found = re.fullmatch(rf"{clock}\s*-\s*{clock}", text)
        span = found and cls(
            time(int(found[1]) % 24, int(found[2])), time(int(found[3]) % 24, int(found[4]))
        )
        if not span or span.start == span.end:
            raise fault(f"{quoted(text)} is not a range of hours", 'Write it as "08:00-20:00"')
        return span

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def contains(self, moment: time) -> bool:
        """Whether letters go at a time of the day."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


@dataclass(frozen=True, slots=True)
class Weekdays:
    """The days of the week on which letters go."""

    numbers: frozenset[int]  # from Monday, 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """The days of "mon-fri" or "mon, wed, sat-sun"; for pydantic."""
        days = set[int]()
        for part in re.split(r"\s*,\s*", text.lower()):
            first, dash, last = (one.strip() for one in part.partition("-"))
            if first not in _DAYS or (dash and last not in _DAYS):
                what = f"{quoted(text)} does not name days of the week"
                raise fault(what, 'Write it as "mon-fri" or "mon, wed, sat"')
            start, end = _DAYS.index(first), _DAYS.index(last or first)
            days |= {day % 7 for day in range(start, end + (1 if start <= end else 8))}
        return cls(frozenset(days))

    def __str__(self) -> str:
        return ", ".join(_DAYS[day] for day in sorted(self.numbers))

    def contains(self, day: date) -> bool:
        """Whether letters go on a day."""
        return day.weekday() in self.numbers


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPANS = {"s": 1, "min": 60, "h": 3600, "hour": 3600, "hours": 3600, "day": 86400, "days": 86400}
_LONGEST_WARM_UP = 100  # days
_LONGEST_SPAN = 30 * 86400  # seconds


def _span(value: object) -> timedelta:
    text = kinds.one_line(value)
    found = re.fullmatch(r"([0-9]{1,7})\s*(s|min|h|hours?|days?)", text)
    seconds = int(found[1]) * _SPANS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_SPAN:
        what = f"{quoted(text)} is not a duration of at most 30 days"
        raise fault(what, 'Write it as "5 min", "2 h" or "5 days"')
    return timedelta(seconds=seconds)


def _spans(value: object) -> tuple[timedelta, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise fault("this is not a list of durations", 'Write it as ["5 min", "10 min", "1 h"]')
    return tuple(map(_span, value))


def _rates(value: object) -> dict[str, Rate]:
    if not isinstance(value, dict):
        raise fault("this is not a table of domains", 'Write it as { "host.org" = "2/s" }')
    return {
        kinds.domain_name(name): Rate.parse(kinds.one_line(rate)) for name, rate in value.items()
    }


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


def _warm_up(value: object) -> tuple[int, ...]:
    days = tuple(value) if isinstance(value, list | tuple) else ()
    is_right = days and all(type(day) is int and day > 0 for day in days)
    if not is_right or len(days) > _LONGEST_WARM_UP or sorted(days) != list(days):
        what = f"this is not a list of at most {_LONGEST_WARM_UP} increasing numbers"
        raise fault(what, "Write how many letters may go each day: [200, 400, 800, 1500]")
    return days


@dataclass(frozen=True, slots=True)
class Retention:
    """How long something is kept, by the calendar."""

    months: int
    days: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The time that "2 years", "18 months" or "90 days" says; for pydantic."""
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


_LONGEST_KEPT = 1200  # months
WarmUp = Annotated[tuple[int, ...], PlainValidator(_warm_up)]
RateText = Annotated[Rate, PlainValidator(lambda value: Rate.parse(kinds.one_line(value)))]
RatesText = Annotated[dict[str, Rate], PlainValidator(_rates)]
SpanText = Annotated[timedelta, PlainValidator(_span)]
SpansText = Annotated[tuple[timedelta, ...], PlainValidator(_spans)]


def _holidays(value: object) -> str | bool:
    if value is True:
        return True
    if not isinstance(value, str):
        raise fault("this is no country", f"{HOW_TO_WRITE}; or omit it")
    text = kinds.one_line(value)
    if not CODE.fullmatch(text):
        what = f"{quoted(text)} is neither a country nor a part of one"
        raise fault(what, f"{HOW_TO_WRITE}; or true for each reader's own country")
    return text


HolidaysText = Annotated[str | bool, PlainValidator(_holidays)]
DaysText = Annotated[Weekdays, PlainValidator(lambda value: Weekdays.parse(kinds.one_line(value)))]
RetentionText = Annotated[
    Retention, PlainValidator(lambda value: Retention.parse(kinds.one_line(value)))
]
HoursText = Annotated[Between, PlainValidator(lambda value: Between.parse(kinds.one_line(value)))]


class SettingsTable(BaseModel):
    """A table of petition.toml: frozen, and without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class About(SettingsTable):
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


class PaceSettings(SettingsTable):
    """[pace]: how fast letters may go, and when."""

    rate: RateText | None = None
    per_day: int | None = Field(default=None, ge=1)
    warm_up: WarmUp | None = None
    per_domain: RatesText = Field(default_factory=dict)
    between: HoursText | None = None
    days: DaysText | None = None
    holidays: HolidaysText | None = None  # of a calendar, or True: of each reader's country
    grace: SpanText | None = None
    retry: SpansText | None = None
    give_up: SpanText | None = None


_MOST_APPROVERS = 20


def _approvers(value: object) -> tuple[Mailbox, ...]:
    names = value if isinstance(value, list | tuple) else ()
    if not 0 < len(names) <= _MOST_APPROVERS:
        what = f"this is not a list of one to {_MOST_APPROVERS} mailboxes"
        raise fault(what, 'Write it as ["Bea Ash <bea@your.domain>"]')
    boxes = tuple(map(kinds.mailbox_of, names))
    if len({folded(one.addr_spec) for one in boxes}) < len(boxes):
        raise fault("this names somebody twice", "Name each approver once")
    return boxes


Approvers = Annotated[tuple[Mailbox, ...], PlainValidator(_approvers)]


class ApprovalSettings(SettingsTable):
    """[approval]: who must agree before a letter goes."""

    by: Approvers = Field(examples=['by = ["bea@your.domain"]'])
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


class PrivacySettings(SettingsTable):
    """[privacy]: how long what the log holds about people is kept."""

    keep: RetentionText | None = None


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

    campaign: About = Field(examples=["[campaign] and under it a title"])
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
        if table is None or table.auth != "oauth" or "oauth" not in info.data:
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


TomlPath = tuple[str | int, ...]

# Texts and comments, in which line breaks and brackets do not count; then those that do.
TOML_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*'''
    r"""|(?P<open>[\[{])|(?P<close>[\]}])|(?P<end>\n)""",
    re.DOTALL,
)

# tomllib's memory grows with the square of a dotted key's length: a small file could take it all.
_LONG_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){20}""", re.ASCII
)


class TomlRefused(PetitionError):
    """A text is not TOML: where reading failed, if that is known, and why."""

    def __init__(self, line: int | None, reason: str, hint: str | None = None) -> None:
        hint = hint or "Fix the syntax; strings need quotes"
        super().__init__(f"this is not TOML: {reason}", hint)
        self.line = line


class TomlLines:
    """The line of each table and key of a TOML text."""

    def __init__(self, text: str = "") -> None:
        self._lines: dict[TomlPath, int] = {}
        table: TomlPath = ()
        for line, statement in statements(text):
            paths = list(_paths(parse_toml(statement)))
            if statement.startswith("["):
                table = paths[-1]
            else:
                paths = [table + path for path in paths]
            for path in paths:
                self._lines.setdefault(path, line)

    def line_of(self, path: TomlPath) -> int | None:
        """The line of a key or table such as `("smtp", "port")`, or else of the table around it."""
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return line
        return None


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
    about = {"title": "untitled", "languages": ["en", *languages]}
    return Settings.model_validate({"campaign": about, "sender": _STAND_INS["sender",]})


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


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a TOML text."""
    if long_key := _LONG_KEY.search(text):
        raise TomlRefused(text.count("\n", 0, long_key.start()) + 1, "a key has too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlRefused(None, "it is nested too deeply") from None
    except ValueError as why:  # its own error, and an integer with too many digits
        raise _refusal(text, str(why)) from None


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Each table header and each assignment, with the line that it begins in."""
    start, line, depth = 0, 1, 0
    text += "\n"
    for token in TOML_TOKEN.finditer(text):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if token["end"] is None or depth > 0:
            continue
        statement = text[start : token.end()].strip()
        if statement and not statement.startswith("#"):
            yield line, statement
        line += text.count("\n", start, token.end())
        start = token.end()


def _paths(document: dict[str, Any]) -> Iterator[TomlPath]:
    for key, value in document.items():
        yield (key,)
        if isinstance(value, dict):
            for inner in _paths(value):
                yield (key, *inner)


def _refusal(text: str, message: str) -> TomlRefused:
    place = r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)"
    found = re.fullmatch(place, message, re.DOTALL)
    if not found:
        return TomlRefused(None, message)
    line = int(found[2]) if found[2] else text.rstrip("\n").count("\n") + 1
    # A table or key is shown as TOML has it, not as tomllib's tuple.
    keys = re.compile(r"\('([^()]*)',?\)")
    reason = keys.sub(lambda shown: "[{}]".format(shown[1].replace("', '", ".")), found[1])
    shown = text.split("\n")[line - 1]
    hint = curly_hint(shown, shown[int(found[3] or 0) - 1 :][:1])
    return TomlRefused(line, reason[:1].lower() + reason[1:], hint)
