"""A mailbox: a display name and an addr-spec (RFC 5322 3.4)."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from petition.errors import AddressRefused

# RFC 2606 and RFC 6761: domains that nobody can receive mail at.
_RESERVED = re.compile(
    r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost)$", re.IGNORECASE
)

# `Name <address>` and `"Name" <address>` (RFC 5322 3.4).
_NAMED = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^"<>,;:@\\()\[\]]*))\s*<([^<>]*)>')

# Most addresses look like this. email-validator accepts all of them, takes fifty times as long, and
# decides about the others.
_PLAIN_LOCAL = re.compile(
    r"[A-Za-z0-9_+-]{1,20}(?:\.[A-Za-z0-9_+-]{1,20}){0,2}"
    r"|[A-Za-z0-9_+-]{1,64}"  # such as bounce+{token} with what stands in for a token
)
_PLAIN_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){0,40}(?<!-)\.){1,4}"
    r"(?!(?i:arpa|invalid|local|localhost|onion|test)$)[A-Za-z]{2,20}"
)
_PLAIN = re.compile(rf"(?:{_PLAIN_LOCAL.pattern})@{_PLAIN_DOMAIN.pattern.replace('A-Za-z', 'a-z')}")

# C0, DEL, C1, Unicode's line ends, and halves of surrogate pairs, which cannot be encoded: none can
# stand in one line of text.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
CONTROL = re.compile(f"[{_CONTROL}]")
# These, the marks that reorder text (UAX 9) and the byte order mark: a terminal obeys them, or they
# make a text look like another. Joiners and soft hyphens are not among them: words are written with
# them.
UNSEEN = re.compile(rf"[{_CONTROL}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

FORGOTTEN = "[forgotten]"  # stands where the name or address of an erased person was

# What the address protection of a web page leaves when its text is copied.
_OBSCURED = re.compile(r"\[email(?:\s|\u00a0)+protected\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where a letter goes to or comes from.

    The address is as on the wire: the domain in lower case and as A-labels (RFC 5890), the local
    part untouched (RFC 5321 2.4), perhaps in UTF-8 (RFC 6531). Two mailboxes are the same if their
    `folded` addresses are.
    """

    display_name: str  # may be empty
    addr_spec: str

    @property
    def local_part(self) -> str:
        """The part before the @."""
        return self.addr_spec.rpartition("@")[0]

    @property
    def domain(self) -> str:
        """The part after the @, in lower case and ASCII."""
        return self.addr_spec.rpartition("@")[2]

    @property
    def readable(self) -> str:
        """The address as a person writes it: its domain in the letters of its language."""
        try:
            domain = self.domain.encode().decode("idna")
        except UnicodeError:  # A-labels of IDNA 2008 that the library's IDNA 2003 does not know
            return self.addr_spec
        return f"{self.local_part}@{domain}"

    @property
    def is_reserved(self) -> bool:
        """Whether nobody can receive mail at the domain (RFC 2606)."""
        return is_reserved(self.domain)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the server must offer SMTPUTF8 (RFC 6531) for this address."""
        return not self.addr_spec.isascii()

    def __str__(self) -> str:
        return f"{self.display_name} <{self.addr_spec}>" if self.display_name else self.addr_spec


def find_obscured(text: str) -> str | None:
    """What the address protection of a web page left in place of an address, or None."""
    found = _OBSCURED.search(text) if "[" in text else None
    return found.group() if found else None


def folded(address: str) -> str:
    """The key of an address, or of any text: two spellings with one key are one person.

    NFC (UAX 15), the local part without case (str.casefold), the domain as A-labels in lower case.
    Dots and plus signs count. RFC 5321 2.4 leaves the case of a local part to its host, so a letter
    goes to the address as it is written; but hardly any host tells Ann@ from ann@, and nobody
    should get a letter twice.
    """
    text = address.strip()
    return text.lower() if text.isascii() else _folded(text)


def all_folded(addresses: Sequence[str]) -> list[str]:
    """The keys of many addresses, in their order: `folded` of each, in a third of the time."""
    if "".join(addresses).isascii():
        return [*map(str.lower, map(str.strip, addresses))]
    return [*map(folded, addresses)]


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    local_part, at, domain = text.rpartition("@")
    if not domain.isascii():
        domain = (addr_spec_in(f"x@{domain}") or domain).rpartition("@")[2]
    return f"{_caseless(local_part)}{at}{_caseless(domain)}"


def _caseless(text: str) -> str:
    # Once more in NFC: the folded form of one character can be several.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def is_of(text: str, addr_spec: str) -> bool:
    """Whether a text, such as the sender of a mail, is this address (`folded`)."""
    return folded(text) == folded(addr_spec)


_LOCAL_PART = re.compile(
    r"""(?<![\w.+-])[^\s<>"'(),:;\[\]@/=?&][^\s<>"(),:;\[\]@/=?&]{0,63}(?=(?:@|%40)[^\s@])"""
    r"""|"[^"\n]{1,64}"(?=@[^\s@])"""  # RFC 5321 4.1.2: a quoted one
)


def masked(text: str, keep: Collection[str] = ()) -> str:
    """A text in which the addresses cannot be written to: `m…@town.example`.

    Those in links too, where `@` may be `%40`. Those in `keep` stay.
    """
    known = {folded(one) for one in keep}

    def mask(found: re.Match[str]) -> str:
        domain = re.match(r"(?:@|%40)([\w.-]*\w)", text[found.end() :])
        whole = f"{found[0]}@{domain[1]}" if domain else found[0]
        return found[0] if folded(whole) in known else f"{found[0][0]}…"

    return _LOCAL_PART.sub(mask, text)


def addr_spec_in(text: str) -> str | None:
    """The address in a text, with its domain in ASCII; None if it is not an address."""
    try:
        return parse_address(text).addr_spec
    except AddressRefused:
        return None


@lru_cache(maxsize=4096)
def is_reserved(domain: str) -> bool:
    """Whether a domain is reserved for examples and tests (RFC 2606, RFC 6761)."""
    return _RESERVED.search(domain) is not None


def clean_name(name: str) -> str:
    """A display name without the blanks around it.

    AddressRefused if it holds a control character or a mark that reorders text.
    """
    trimmed = name.strip(" ")
    if not trimmed.isprintable() and (unseen := UNSEEN.search(trimmed)):
        code = f"U+{ord(unseen.group()):04X}"
        raise AddressRefused(
            f"the name contains the invisible character {code}", "Type the name again"
        )
    return trimmed


def is_plain(text: str) -> bool:
    """Whether a text is an address of the form that most have, just as it goes on the wire."""
    return _PLAIN.fullmatch(text) is not None


def parse_address(text: str, display_name: str = "") -> Mailbox:
    """The mailbox of a bare address, such as `kim@kaz.example`; white space around it is dropped.

    AddressRefused if it is not an address, or the name cannot be one.
    """
    return Mailbox(clean_name(display_name), _addr_spec(text.strip()))


def parse_mailbox(text: str) -> Mailbox:
    """The mailbox of `Name <address>`, `"Name, with a comma" <address>` or a bare address.

    AddressRefused if it is something else.
    """
    found = _NAMED.fullmatch(text.strip())
    if found is None:
        if "<" in text:
            raise AddressRefused(
                f'"{text.strip()}" is not a mailbox',
                'Write it as "Name <name@host.org>", with quotes around a name that has a comma',
            )
        return parse_address(text)
    in_quotes, bare, address = found.groups()
    name = bare if in_quotes is None else re.sub(r"\\(.)", r"\1", in_quotes)
    return parse_address(address, name)


def _addr_spec(text: str) -> str:
    local_part, _, domain = text.rpartition("@")
    if _PLAIN_LOCAL.fullmatch(local_part) and (plain := _plain_domain(domain)):
        return f"{local_part}@{plain}"
    return _validated(text)


@lru_cache(maxsize=4096)
def _plain_domain(text: str) -> str | None:
    """A plain domain in lower case; None if email-validator has to decide."""
    return text.lower() if _PLAIN_DOMAIN.fullmatch(text) else None


@lru_cache(maxsize=4096)
def _validated(text: str) -> str:
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 (48 ms)

    try:
        found = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as fault:
        raise _refusal(text, fault) from None
    return f"{found.local_part}@{found.ascii_domain.lower()}"


def _refusal(text: str, fault: Exception) -> AddressRefused:
    if find_obscured(text):
        return AddressRefused(
            f'"{text.strip()}" is what a web page shows instead of an address',
            "Copy the address itself from the page",
        )
    if not text.strip():
        return AddressRefused("the address is empty", "Write an address or delete the row")
    reason = str(fault).rstrip(".")
    return AddressRefused(f'"{text.strip()}" is not a mail address: {reason}', "Correct it")
