"""petition.toml: every setting of a campaign, and what is wrong with any of them."""

import re
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from petition.address import parse_address
from petition.campaign import field_types as kinds
from petition.campaign.faults import fault, fault_of
from petition.campaign.names import quoted, slug
from petition.campaign.settings_file import SettingsFile
from petition.campaign.toml_lines import TomlLines
from petition.errors import AddressRefused, Problem

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
        """The rate of "10/s", "20/min" or "500/h".

        Raises:
            PydanticCustomError: It is none.
        """
        found = re.fullmatch(r"([0-9]{1,9})\s*/\s*(s|min|h)", text)
        if not found or int(found[1]) == 0:
            raise fault(f"{quoted(text)} is not a rate", 'Write it as "10/s", "20/min" or "500/h"')
        return cls(int(found[1]), _SECONDS[found[2]])


@dataclass(frozen=True, slots=True)
class Between:
    """The hours of the day in which letters go; `start` after `end` means over midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """The hours of "08:00-20:00"; "24:00" is midnight.

        Raises:
            PydanticCustomError: It is no such span, or an empty one.
        """
        clock = r"([01]?[0-9]|2[0-3]|24(?=:00)):([0-5][0-9])"
        found = re.fullmatch(rf"{clock}\s*-\s*{clock}", text)
        span = found and cls(
            time(int(found[1]) % 24, int(found[2])), time(int(found[3]) % 24, int(found[4]))
        )
        if not span or span.start == span.end:
            raise fault(f"{quoted(text)} is not a span of hours", 'Write it as "08:00-20:00"')
        return span

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def contains(self, moment: time) -> bool:
        """Whether letters go at a time of the day."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


_SPANS = {"s": 1, "min": 60, "h": 3600, "hour": 3600, "hours": 3600, "day": 86400, "days": 86400}
_LONGEST_WARM_UP = 100  # days
_LONGEST_SPAN = 30 * 86400  # seconds


def _span(value: object) -> timedelta:
    text = kinds.one_line(value)
    found = re.fullmatch(r"([0-9]{1,7})\s*(s|min|h|hours?|days?)", text)
    seconds = int(found[1]) * _SPANS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_SPAN:
        what = f"{quoted(text)} is not a span of time of at most 30 days"
        raise fault(what, 'Write it as "5 min", "2 h" or "5 days"')
    return timedelta(seconds=seconds)


def _spans(value: object) -> tuple[timedelta, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise fault("this is not a list of waits", 'Write it as ["5 min", "10 min", "1 h"]')
    return tuple(map(_span, value))


def _rates(value: object) -> dict[str, Rate]:
    if not isinstance(value, dict):
        raise fault("this is not a table of domains", 'Write it as { "host.org" = "2/s" }')
    return {_domain(name): Rate.parse(kinds.one_line(rate)) for name, rate in value.items()}


def _domain(name: str) -> str:
    try:
        return parse_address(f"a@{name}").domain
    except AddressRefused as refusal:
        raise fault_of(refusal) from None


def _id_of_title(known: dict[str, Any]) -> str:
    # A title of signs alone has an empty slug, which is refused: the id is then a person's to give.
    return slug(known.get("title", "untitled"))[:100].rstrip("-")


def _lists(value: object) -> object:
    return {**_LISTS, **value} if isinstance(value, dict) else value


def _warm_up(value: object) -> tuple[int, ...]:
    days = tuple(value) if isinstance(value, list | tuple) else ()
    is_right = days and all(type(day) is int and day > 0 for day in days)
    if not is_right or len(days) > _LONGEST_WARM_UP or sorted(days) != list(days):
        what = f"this is not a list of at most {_LONGEST_WARM_UP} numbers that grow"
        raise fault(what, "Write how many letters may go on each day: [200, 400, 800, 1500]")
    return days


WarmUp = Annotated[tuple[int, ...], PlainValidator(_warm_up)]
RateText = Annotated[Rate, PlainValidator(lambda value: Rate.parse(kinds.one_line(value)))]
RatesText = Annotated[dict[str, Rate], PlainValidator(_rates)]
SpanText = Annotated[timedelta, PlainValidator(_span)]
SpansText = Annotated[tuple[timedelta, ...], PlainValidator(_spans)]
HoursText = Annotated[Between, PlainValidator(lambda value: Between.parse(kinds.one_line(value)))]


class SettingsTable(BaseModel):
    """A table of petition.toml: frozen, and without keys that nobody knows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class About(SettingsTable):
    """[campaign]: what the campaign is called, and the languages that it speaks."""

    title: kinds.OneLine = Field(examples=['title = "What the campaign is about"'])
    id: kinds.CampaignId = Field(default_factory=_id_of_title, validate_default=True)
    languages: kinds.LanguageTags = ("en",)
    timezone: kinds.TimeZoneName = "UTC"


class Sender(SettingsTable):
    """[sender]: whom the letters come from."""

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
    auth: Literal["password", "xoauth2"] = "password"
    token_command: kinds.OneLine | None = None
    connections: int = Field(default=4, ge=1, le=64)
    timeout: float = Field(default=60.0, gt=0)


class Dkim(SettingsTable):
    """[dkim]: who signs the letters, where no relay does it."""

    domain: kinds.DomainName = Field(examples=['domain = "your.domain"'])
    selector: kinds.Selector = Field(examples=['selector = "petition"'])
    key_file: kinds.OuterPath | None = None
    key_command: kinds.OneLine | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.key_file and self.key_command:
            raise fault("key_file and key_command both name a key", "Leave one of them out")
        return self


class Pace(SettingsTable):
    """[pace]: how fast letters may go, and when."""

    rate: RateText | None = None
    per_day: int | None = Field(default=None, ge=1)
    warm_up: WarmUp | None = None
    per_domain: RatesText = Field(default_factory=dict)
    between: HoursText | None = None
    retry: SpansText | None = None
    give_up: SpanText | None = None


class Event(SettingsTable):
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
    auth: Literal["password", "xoauth2"] = "password"
    token_command: kinds.OneLine | None = None


class ListTable(SettingsTable):
    """[lists.NAME]: what is true of everybody on a list of [people]."""

    consent: Literal["all"] = Field(examples=['consent = "all"'])
    reason: kinds.OneLine = Field(examples=['reason = "how they said yes, and when"'])


class Unsubscribe(SettingsTable):
    """[unsubscribe]: how people leave a bulk letter's list."""

    url: kinds.WebAddress | None = None
    mailto: kinds.Mailto | None = None


class Log(SettingsTable):
    """[log]: where the delivery log is kept."""

    database: kinds.DatabaseUrl = "sqlite:///petition.db"


class Settings(SettingsTable):
    """All of petition.toml."""

    campaign: About = Field(examples=["[campaign] and under it a title"])
    sender: Sender = Field(examples=['[sender] and under it from = "Name <name@your.domain>"'])
    people: Annotated[dict[str, kinds.InnerPath], BeforeValidator(_lists)] = Field(
        default_factory=_LISTS.copy
    )
    lists: dict[str, ListTable] = Field(default_factory=dict)
    smtp: Smtp | None = None
    dkim: Dkim | None = None
    pace: Pace = Field(default_factory=Pace)
    events: dict[str, Event] = Field(default_factory=dict)
    inbox: Inbox | None = None
    unsubscribe: Unsubscribe | None = None
    log: Log = Field(default_factory=Log)


_STAND_INS: dict[tuple[str, ...], Any] = {
    ("campaign",): {"title": "untitled"},
    ("campaign", "title"): "untitled",
    ("campaign", "id"): "untitled",
    ("sender",): {"from": "nobody@sender.example"},
    ("sender", "from"): "nobody@sender.example",
}


class LoadedSettings(NamedTuple):
    """What was read of petition.toml.

    Args:
        settings: The settings. Where a problem is an error, they are there only to look for
            further ones: a wrong value is left out, and a missing title or sender has a stand-in,
            so that nothing may be sent with them. None where the file cannot be read at all.
        problems: Everything that is wrong in them.
        lines: Where its tables and keys stand.
    """

    settings: Settings | None
    problems: list[Problem]
    lines: TomlLines

    @property
    def has_errors(self) -> bool:
        """Whether nothing may be sent with the settings."""
        return any(problem.is_error for problem in self.problems)


def load_settings(path: Path) -> LoadedSettings:
    """The settings of a campaign, with everything that is wrong in them.

    Args:
        path: The campaign's petition.toml.
    """
    problems: list[Problem] = []
    document = SettingsFile.read(path, problems)
    if document is None:
        return LoadedSettings(None, problems, TomlLines())
    settings, problems = document.settings(Settings, _STAND_INS)
    in_order = sorted(problems, key=lambda problem: problem.line or 0)
    return LoadedSettings(settings, in_order, document.lines)


def stand_in_settings(languages: list[str]) -> Settings:
    """Settings to look for problems in other files with, where petition.toml cannot be read.

    Args:
        languages: The languages beside English.
    """
    about = {"title": "untitled", "languages": ["en", *languages]}
    return Settings.model_validate({"campaign": about, "sender": _STAND_INS["sender",]})
