"""The kinds of value in petition.toml and front matter, and pydantic's errors in plain words."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from petition import system
from petition.address import CONTROL, Mailbox, parse_address, parse_mailbox
from petition.campaign.names import language_tag, nearest, nearest_hint, quoted
from petition.database_url import (
    POSTGRESQL,
    SQLITE,
    AddressUnreadable,
    PostgresAddress,
    check_log_address,
)
from petition.errors import AddressRefused, PetitionError, Problem

KeyPath = tuple[str | int, ...]

_OWN = "petition"

# A kind of pydantic's errors, what to say after the key, and the hint.
_WORDS: list[tuple[str, str, str]] = [
    ("string_type", "must be a string", "Put it in quotes"),
    ("(string_)?too_short", "is empty", "Write something, or remove the key"),
    ("(int|float)_.*", "must be a number", "Write a number without quotes"),
    ("(list|tuple)_type", "must be a list", "Put it in square brackets"),
    ("(model|dict)_.*type", "must be a table", "Write it as a [table] with keys under it"),
    ("greater_than_equal", "must be at least {ge:g}", "Correct it"),
    ("greater_than", "must be more than {gt:g}", "Correct it"),
    ("less_than_equal", "must be at most {le:g}", "Correct it"),
    ("too_long", "has more than {max_length}", "Shorten it"),
]


class SettingsTable(BaseModel):
    """A table of petition.toml: frozen, and without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


def fault(what: str, hint: str) -> PydanticCustomError:
    """An error for a validator to raise: `what` follows "key: ", and `hint` says what to do."""
    return PydanticCustomError(_OWN, "{what}", {"what": what, "hint": hint})


def fault_of(refusal: PetitionError) -> PydanticCustomError:
    """The same from one of our own errors."""
    return fault(refusal.what, refusal.hint)


@dataclass(frozen=True, slots=True)
class Faults:
    """Turns pydantic's errors about a document into problems."""

    model: type[BaseModel]
    file: str
    line_of: Callable[[KeyPath], int | None]  # of a key by its path
    place: Callable[[KeyPath], str]  # where a key is, by the path of its table

    def problems(self, error: ValidationError) -> list[tuple[KeyPath, Problem]]:
        """The problems of a validation error, each with the path of its key."""
        details = error.errors(include_url=False)
        unknown = {detail["loc"] for detail in details if detail["type"] == "extra_forbidden"}
        meant = {
            (*path[:-1], nearest(str(path[-1]), known_keys(self.model, path[:-1])))
            for path in unknown
        }
        missing = [detail["loc"] for detail in details if detail["type"] == "missing"]
        # Under another name, such as that of another program: what is missing is probably meant.
        renamed = {
            path: left[0]
            for path in unknown
            if (*path[:-1], None) in meant
            and (left := [one for one in missing if one[:-1] == path[:-1] and one not in meant])
        }
        found = []
        for detail in details:
            path = detail["loc"]
            # A misspelt key is not also missing, and a wrong title makes no id.
            is_told = detail["type"] == "missing" and (path in meant or path in renamed.values())
            if is_told or detail["type"] == "default_factory_not_called":
                continue
            problem = self._problem(path, detail)
            if key := renamed.get(path):
                problem = replace(problem, hint=f'Did you mean "{key[-1]}", which is missing')
            found.append((path, problem))
        return found

    def _problem(self, path: KeyPath, detail: ErrorDetails) -> Problem:
        keys = tuple(part for part in path if isinstance(part, str) and part != "[key]")
        mark = keys[-1] if keys else None
        if isinstance(path[-1] if path else None, int) and isinstance(detail["input"], str):
            mark = detail["input"]
        if detail["type"] == "extra_forbidden":
            what, hint = self._unknown(path, is_table=isinstance(detail["input"], dict))
        elif detail["type"] == "missing":
            what, hint = self._missing(path)
            mark = None
        else:
            what, hint = _wrong(detail)
            what = (f"{keys[-1]}{self.place(keys[:-1])}" if keys else "the document") + what
        return Problem(self.file, self.line_of(path), what, hint, mark=mark)

    def _unknown(self, path: KeyPath, *, is_table: bool) -> tuple[str, str]:
        table, key = path[:-1], str(path[-1])
        known = known_keys(self.model, table)
        what = f"unknown {'table' if is_table else 'key'} {quoted(key)}{self.place(table)}"
        if near := nearest(key, known):
            return what, f'Did you mean "{near}"'
        for other in known_keys(self.model, ()):
            if key in known_keys(self.model, (other,)):
                return what, f"It belongs{self.place((other,))}"
        return what, f"Remove it; known here are {', '.join(known)}"

    def _missing(self, path: KeyPath) -> tuple[str, str]:
        table, key = path[:-1], str(path[-1])
        examples = known_keys(self.model, table)[key].examples
        return f'"{key}" is missing{self.place(table)}', f"Write {(examples or ['...'])[0]}"


def known_keys(model: type[BaseModel], table: KeyPath) -> dict[str, Any]:
    """The keys that a table may have, with their pydantic fields."""
    here: object = model
    for part in table:
        fields = _fields(here)
        if part in fields:
            here = fields[part].annotation
        else:
            here = get_args(here)[1] if get_origin(here) is dict else None
    return _fields(here)


def _fields(annotation: object) -> dict[str, Any]:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return {field.alias or name: field for name, field in kind.model_fields.items()}
    return {}


def _wrong(detail: ErrorDetails) -> tuple[str, str]:
    context = detail.get("ctx", {})
    if detail["type"] == _OWN:
        return f": {context['what']}", context["hint"]
    if detail["type"] == "literal_error":
        text = detail["input"] if isinstance(detail["input"], str) else ""
        expected = context["expected"].replace("'", '"')
        what = f": {quoted(text) if text else 'this'} is not {expected}"
        return what, nearest_hint(text, re.findall('"([^"]*)"', expected), "Write one of them")
    for kind, what, hint in _WORDS:
        if re.fullmatch(kind, detail["type"]):
            return f" {what.format(**context)}", hint
    return f": {detail['msg']}", "Correct it"


Model = TypeVar("Model", bound=BaseModel)
StandIns = Mapping[tuple[str, ...], Any]


def read_on(
    model: type[Model], document: dict[str, Any], faults: Faults, stand_ins: StandIns
) -> tuple[Model, list[Problem]]:
    """A model of a document, and everything that is wrong with it.

    Each round removes what is wrong, and the next one finds what was hidden behind it. What it
    finds of a table that has lost a value may only be so because of that, and is not told;
    validators get the names of such tables as their context.
    """
    draft = _copy(document)
    problems: list[Problem] = []
    healed: set[KeyPath] = set()
    lost: set[KeyPath] = set()
    while True:
        try:
            return model.model_validate(draft, context={path[0] for path in lost}), problems
        except ValidationError as error:
            for path, problem in faults.problems(error):
                is_below = any(path[:depth] in healed for depth in range(len(path) + 1))
                is_above = path and any(one[: len(path)] == path for one in lost)
                if not (is_below or is_above):
                    problems.append(problem)
            for detail in error.errors(include_url=False):
                gone, is_unknown = detail["loc"], detail["type"] == "extra_forbidden"
                healed.add(_heal(draft, gone, stand_ins))
                if gone and not (is_unknown and _is_surplus(model, gone)):
                    lost.add(gone)


def _is_surplus(model: type[BaseModel], path: KeyPath) -> bool:
    """Whether an unknown key is no misspelt one."""
    return nearest(str(path[-1]), known_keys(model, path[:-1])) is None


def _heal(draft: dict[str, Any], path: KeyPath, stand_ins: StandIns) -> KeyPath:
    """Remove or replace a wrong value; the path of what was changed."""
    table, keys = draft, tuple(map(str, path))
    for depth, key in enumerate(keys, start=1):
        if depth == len(keys) and keys in stand_ins:
            stand_in = stand_ins[keys]
            table[key] = _copy(stand_in) if isinstance(stand_in, dict) else stand_in
        elif depth == len(keys) > 1 and key not in table:
            # A required key without a stand-in: the table goes with it.
            return _heal(draft, keys[:-1], stand_ins)
        elif depth == len(keys) or not isinstance(table.get(key), dict):
            table.pop(key, None)
            return keys[:depth]
        else:
            table = table[key]
    return keys


def _copy(table: dict[str, Any]) -> dict[str, Any]:
    # Tables only: copying deeply nested lists could overflow the stack.
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in table.items()}


IMAP_SCHEMES = ("imaps://", "imap://")  # TLS at once; STARTTLS, or a server on this machine

_LENGTH = 1_000  # RFC 5322 2.1.1 ends a line at 998

# As long as identity.Signer's tokens and with their letters, so that lengths are checked correctly.
_TOKEN_STAND_IN = "petition2token2stand2in2"  # noqa: S105 (not a secret)
_LEAVE_STAND_IN = "petition2token2stand2in2to2leave"  # an unsubscribe token


def text_of(value: object) -> str:
    """A value that must be a string."""
    if not isinstance(value, str):
        raise fault("this is not a text", "Put it in quotes")
    return value


def one_line(value: object) -> str:
    """A text of one line, without surrounding whitespace."""
    text = text_of(value).strip()
    if not text:
        raise fault("this is empty", "Write something")
    if len(text) > _LENGTH:
        raise fault(f"this has {len(text):,} characters", f"Write at most {_LENGTH:,}")
    _refuse_unseen(text)
    return text


def _refuse_unseen(text: str) -> None:
    if unseen := CONTROL.search(text):
        what = f"this contains the invisible character U+{ord(unseen.group()):04X}"
        raise fault(what, "Retype it in one line")


def mailbox_of(value: object) -> Mailbox:
    """A mailbox with or without a display name."""
    try:
        return parse_mailbox(one_line(value))
    except AddressRefused as refusal:
        raise fault_of(refusal) from None


def _return_path(value: object, stand_in: str = _TOKEN_STAND_IN) -> str:
    text = one_line(value)
    for name in re.findall(r"\{[^}]*\}", text):
        if name != "{token}":
            raise fault(f"{quoted(name)} is not known here", "Use only {token}")
    try:
        address = parse_address(text.replace("{token}", stand_in)).addr_spec
    except AddressRefused as refusal:
        raise fault_of(refusal) from None
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


def each_once(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts of which none may be there twice."""
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise fault(f"{quoted(twice)} is listed twice", "Remove one of them")
    return texts


def _timezone(value: object) -> str:
    name = one_line(value)
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        hint = nearest_hint(name, available_timezones(), 'Write one as "Europe/London"')
        raise fault(f"{quoted(name)} is not a time zone", hint) from None
    return name


def _campaign_id(value: object) -> str:
    text = one_line(value)
    if not re.fullmatch(r"\w[\w.-]{0,99}", text):
        raise fault(f"{quoted(text)} is not an id", 'Use only letters, digits, ".", "-" and "_"')
    return text


def _inner_path(value: object) -> str:
    text = one_line(value)
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    if posix.is_absolute() or windows.anchor or ".." in windows.parts:
        what = f"{quoted(text)} is outside the campaign folder"
        raise fault(what, "Copy the file into the folder and write only its name")
    return posix.as_posix()


def _host(value: object) -> str:
    text = one_line(value)
    address = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        pass
    if not re.fullmatch(r"[\w-]+(?:\.[\w-]+)*\.?", text):
        hint = 'Write only the name, as "smtp.host.org"; the port is a separate key'
        raise fault(f"{quoted(text)} is not the name of a server", hint)
    _refuse_lookalike(text)
    return text.lower().removesuffix(".")


def _refuse_lookalike(host: str) -> None:
    """Letters of other alphabets look like ours, and a person confirms the server by its name."""
    if not host.isascii():
        what = f"{quoted(host)} has letters that are not ASCII, and could look like another server"
        raise fault(what, f'If it is the one that you mean, write "{domain_name(host)}"')


def domain_name(value: object) -> str:
    """A domain, in lower case and ASCII."""
    text = one_line(value)
    try:
        return parse_address(f"a@{text}").domain
    except AddressRefused:
        raise fault(f"{quoted(text)} is not a domain", 'Write it as "host.org"') from None


def _selector(value: object) -> str:
    text = one_line(value).lower()
    label = "[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
    if not re.fullmatch(rf"{label}(?:\.{label})*", text):
        hint = 'Use only letters, digits and hyphens, as "petition"'
        raise fault(f"{quoted(text)} is not a selector", hint)
    return text


def _outer_path(value: object) -> str:
    text = one_line(value)
    if not text.startswith(("/", "~")) and not Path(text).is_absolute():
        what = f"{quoted(text)} is not a full path"
        raise fault(what, "Keep the key outside the campaign folder and write its full path")
    _refuse_other_machine(text)
    return text


def _refuse_other_machine(path: str) -> None:
    """Refuse a path of Windows that begins with a server, before anything looks there."""
    # Windows would log in there, with a hash that can be cracked.
    if system.names_other_machine(path):
        hint = "Connect its folder as a drive with a letter, and name that"
        raise fault(f"{quoted(path)} is on another machine", hint)


def _url_parts(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # The text may contain a password: it is not quoted.
        raise fault("this is not a URL", "Correct it") from None
    if parts.password is not None:
        hint = "Remove the password; use a password_command or an environment variable"
        raise fault("this contains a password", hint)
    return parts


def _web_address(value: object) -> str:
    text = one_line(value)
    parts = _url_parts(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname or " " in text:
        raise fault(f"{quoted(text)} is not a web address", 'Write one as "https://host.org/page"')
    return text


def _folder_address(value: object) -> str:
    text = _web_address(value)
    if found := re.search(r"[?#]", text):
        what = f"{quoted(text)} is not the address of a folder: it has a {found[0]}"
        raise fault(what, 'Write one as "https://host.org/letter/"')
    return text


def _https_address(value: object) -> str:
    text = _web_address(value)
    parts = urlsplit(text)
    if parts.scheme != "https" or parts.username is not None or parts.fragment:
        what = f"{quoted(text)} is no address that begins with https:// and has no user name or #"
        raise fault(what, "Write it as the provider does")
    _refuse_lookalike(parts.hostname or "")
    return text


def _tenant(value: object) -> str:
    text = one_line(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", text):
        hint = "Write the Directory (tenant) ID that Microsoft Entra shows, or your domain there"
        raise fault(f"{quoted(text)} is not a tenant", hint)
    return text


def _local_time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise fault("this is not a date and time", "Write it without quotes: 2015-09-28T16:00:00")
    if value.tzinfo is not None:
        hint = "Remove the offset: the time zone is that of [campaign] timezone"
        raise fault("this time has an offset", hint)
    return value


def _inbox_url(value: object) -> str:
    text = one_line(value)
    parts = _url_parts(text)
    is_imap = text.startswith(IMAP_SCHEMES) and parts.username and parts.hostname
    if not is_imap and not re.match(r"(?:maildir|mbox):.", text):
        hint = 'Write it as "imaps://user@host/INBOX", "maildir:PATH" or "mbox:PATH"'
        raise fault(f"{quoted(text)} is not a mailbox that can be read", hint)
    if is_imap:
        _refuse_lookalike(parts.hostname or "")
        _refuse_unseen(unquote(text))  # a line end in it would start another command
    else:
        _refuse_other_machine(text.partition(":")[2])
    return text


def _database_url(value: object) -> str:
    text = one_line(value)
    try:
        check_log_address(text)
    except AddressUnreadable as refusal:
        raise fault(refusal.what, refusal.hint) from None
    if not text.startswith(POSTGRESQL):
        _refuse_other_machine(text.removeprefix(SQLITE))
        return text
    address = PostgresAddress.parse(text)
    if address.has_password:
        hint = f"Remove the password: it belongs in PETITION_DATABASE or {system.PGPASS}"
        raise fault("this contains a password", hint)
    if option := address.forbidden_option():
        hint = "Remove it here; PETITION_DATABASE may have it"
        raise fault(f"{quoted(option)} is not allowed here in the address of a database", hint)
    return text


def _mailto(value: object) -> str:
    return _return_path(one_line(value).removeprefix("mailto:"), _LEAVE_STAND_IN)


OneLine = Annotated[str, BeforeValidator(one_line)]
MailboxText = Annotated[Mailbox, PlainValidator(mailbox_of)]
ReturnPath = Annotated[str, PlainValidator(_return_path)]
LanguageTag = Annotated[str, PlainValidator(_language)]
LanguageTags = Annotated[
    tuple[LanguageTag, ...], BeforeValidator(_list_of_languages), AfterValidator(each_once)
]
TimeZoneName = Annotated[str, PlainValidator(_timezone)]
CampaignId = Annotated[str, PlainValidator(_campaign_id)]
InnerPath = Annotated[str, PlainValidator(_inner_path)]
Host = Annotated[str, PlainValidator(_host)]
WebAddress = Annotated[str, PlainValidator(_web_address)]
FolderAddress = Annotated[str, PlainValidator(_folder_address)]
HttpsAddress = Annotated[str, PlainValidator(_https_address)]
Tenant = Annotated[str, PlainValidator(_tenant)]
Auth = Literal["password", "xoauth2", "oauth"]
LocalTime = Annotated[datetime, PlainValidator(_local_time)]
InboxUrl = Annotated[str, PlainValidator(_inbox_url)]
Mailto = Annotated[str, PlainValidator(_mailto)]
DomainName = Annotated[str, PlainValidator(domain_name)]
Selector = Annotated[str, PlainValidator(_selector)]
OuterPath = Annotated[str, PlainValidator(_outer_path)]
DatabaseUrl = Annotated[str, PlainValidator(_database_url)]
