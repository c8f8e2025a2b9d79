"""The kinds of value that petition.toml and a front matter hold, each with its own refusals."""

import ipaddress
import re
import unicodedata
from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from petition.address import Mailbox, parse_address, parse_mailbox
from petition.campaign.faults import fault, fault_of
from petition.campaign.names import language_tag, nearest, quoted
from petition.database_url import (
    POSTGRESQL,
    AddressUnreadable,
    PostgresAddress,
    check_log_address,
)
from petition.errors import AddressRefused

_LENGTH = 1_000  # RFC 5322 2.1.1 ends a line at 998

# As long as identity.Signer's token and made of its letters, so that lengths are judged rightly.
_TOKEN_STAND_IN = "petition2token2stand2in2"  # noqa: S105 (a token's place, no secret)
_LEAVE_STAND_IN = "petition2token2stand2in2to2leave"  # the same of an unsubscribe token


def text_of(value: object) -> str:
    """A value that has to be a text.

    Raises:
        PydanticCustomError: It is a number, a date, a list or a table.
    """
    if not isinstance(value, str):
        raise fault("this is not a text", "Put it in quotes")
    return value


def one_line(value: object) -> str:
    """A text of one line without the blanks around it.

    Raises:
        PydanticCustomError: It is empty or longer than 1,000 characters, or holds a line
            break, another control character, or half of a surrogate pair (ways into a header).
    """
    text = text_of(value).strip()
    if not text:
        raise fault("this is empty", "Write something")
    if len(text) > _LENGTH:
        raise fault(f"this has {len(text):,} characters", f"Write at most {_LENGTH:,}")
    for char in text:
        if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}:
            what = f"this holds the unseen character U+{ord(char):04X}"
            raise fault(what, "Write it in one line of ordinary characters")
    return text


def mailbox_of(value: object) -> Mailbox:
    """A mailbox with or without a display name.

    Raises:
        PydanticCustomError: It is none.
    """
    try:
        return parse_mailbox(one_line(value))
    except AddressRefused as refusal:
        raise fault_of(refusal) from None


def bare_address(value: object) -> str:
    """An address without a display name, as it stands on the wire.

    Raises:
        PydanticCustomError: It is none.
    """
    try:
        return parse_address(one_line(value)).addr_spec
    except AddressRefused as refusal:
        raise fault_of(refusal) from None


def _return_path(value: object, stand_in: str = _TOKEN_STAND_IN) -> str:
    text = one_line(value)
    for name in re.findall(r"\{[^}]*\}", text):
        if name != "{token}":
            raise fault(f"{quoted(name)} is not known here", "Only {token} can stand there")
    address = bare_address(text.replace("{token}", stand_in))
    return address.replace(stand_in, "{token}")


def _list_of_languages(value: object) -> object:
    if not isinstance(value, list) or not value:
        raise fault("this is not a list of languages", 'Write it as ["en", "ru"]')
    return tuple(value)


def _language(value: object) -> str:
    text = text_of(value)
    if (tag := language_tag(text)) is None:
        raise fault(f"{quoted(text)} is not a language tag", 'Write one as "en" or "pt-BR"')
    return tag


def _each_once(tags: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({tag for tag in tags if tags.count(tag) > 1}):
        stand = "stands" if len(twice) == 1 else "stand"
        raise fault(f"{', '.join(map(quoted, twice))} {stand} there twice", "Leave one of them out")
    return tags


def _timezone(value: object) -> str:
    name = one_line(value)
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        near = nearest(name, available_timezones())
        mend = f'Did you mean "{near}"' if near else 'Write one as "Europe/London"'
        raise fault(f"{quoted(name)} is not a time zone", mend) from None
    return name


def _campaign_id(value: object) -> str:
    text = one_line(value)
    if not re.fullmatch(r"\w[\w.-]{0,99}", text):
        raise fault(f"{quoted(text)} is not an id", 'Use letters, digits, ".", "-" and "_" alone')
    return text


def _inner_path(value: object) -> str:
    text = one_line(value)
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    if posix.is_absolute() or windows.anchor or ".." in windows.parts:
        what = f"{quoted(text)} lies outside the campaign folder"
        raise fault(what, "Copy the file into the folder and write its name alone")
    return posix.as_posix()


def _host(value: object) -> str:
    text = one_line(value)
    address = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        pass
    if not re.fullmatch(r"[\w-]+(?:\.[\w-]+)*\.?", text):
        mend = 'Write the name alone, as "smtp.host.org"; the port is a key of its own'
        raise fault(f"{quoted(text)} is not the name of a server", mend)
    return text.lower().removesuffix(".")


def _domain_name(value: object) -> str:
    text = one_line(value)
    try:
        return parse_address(f"a@{text}").domain
    except AddressRefused:
        raise fault(f"{quoted(text)} is not a domain", 'Write it as "host.org"') from None


def _selector(value: object) -> str:
    text = one_line(value).lower()
    label = "[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
    if not re.fullmatch(rf"{label}(?:\.{label})*", text):
        mend = 'Use letters, digits and hyphens alone, as "petition"'
        raise fault(f"{quoted(text)} is not a selector", mend)
    return text


def _outer_path(value: object) -> str:
    text = one_line(value)
    if not text.startswith(("/", "~")):
        what = f"{quoted(text)} begins neither with / nor with ~"
        raise fault(what, "Keep the key outside the campaign and write its whole path")
    return text


def _url_parts(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # The text itself may hold a password: it is not quoted.
        raise fault("this is not a URL", "Correct it") from None
    if parts.password is not None:
        mend = "Leave the password out; name a password_command or use an environment variable"
        raise fault("a password stands in the file", mend)
    return parts


def _web_address(value: object) -> str:
    text = one_line(value)
    parts = _url_parts(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname or " " in text:
        raise fault(f"{quoted(text)} is not a web address", 'Write one as "https://host.org/page"')
    return text


def _local_time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise fault("this is not a day and a time", "Write it without quotes: 2015-09-28T16:00:00")
    if value.tzinfo is not None:
        mend = "Leave the offset out: the time zone is that of [campaign] timezone"
        raise fault("this time has an offset of its own", mend)
    return value


def _inbox_url(value: object) -> str:
    text = one_line(value)
    parts = _url_parts(text)
    is_imap = parts.scheme == "imaps" and parts.username and parts.hostname
    if not is_imap and not re.match(r"(?:maildir|mbox):.", text):
        mend = 'Write it as "imaps://user@host/INBOX", "maildir:PATH" or "mbox:PATH"'
        raise fault(f"{quoted(text)} is not a mailbox to read", mend)
    return text


def _mailto(value: object) -> str:
    return _return_path(one_line(value).removeprefix("mailto:"), _LEAVE_STAND_IN)


def _database_url(value: object) -> str:
    text = one_line(value)
    try:
        check_log_address(text)
    except AddressUnreadable as refusal:
        raise fault(refusal.what, refusal.mend) from None
    if not text.startswith(POSTGRESQL):
        return text
    address = PostgresAddress.parse(text)
    if address.has_password:
        mend = "Leave the password out: it belongs into PETITION_DATABASE or ~/.pgpass"
        raise fault("a password stands in the file", mend)
    if option := address.outlandish():
        mend = "Leave it out here; PETITION_DATABASE may name it"
        raise fault(f"{quoted(option)} in the address of a database may not stand here", mend)
    return text


OneLine = Annotated[str, BeforeValidator(one_line)]
MailboxText = Annotated[Mailbox, PlainValidator(mailbox_of)]
ReturnPath = Annotated[str, PlainValidator(_return_path)]
LanguageTag = Annotated[str, PlainValidator(_language)]
LanguageTags = Annotated[
    tuple[LanguageTag, ...], BeforeValidator(_list_of_languages), AfterValidator(_each_once)
]
TimeZoneName = Annotated[str, PlainValidator(_timezone)]
CampaignId = Annotated[str, PlainValidator(_campaign_id)]
InnerPath = Annotated[str, PlainValidator(_inner_path)]
Host = Annotated[str, PlainValidator(_host)]
WebAddress = Annotated[str, PlainValidator(_web_address)]
LocalTime = Annotated[datetime, PlainValidator(_local_time)]
InboxUrl = Annotated[str, PlainValidator(_inbox_url)]
Mailto = Annotated[str, PlainValidator(_mailto)]
DomainName = Annotated[str, PlainValidator(_domain_name)]
Selector = Annotated[str, PlainValidator(_selector)]
OuterPath = Annotated[str, PlainValidator(_outer_path)]
DatabaseUrl = Annotated[str, PlainValidator(_database_url)]
