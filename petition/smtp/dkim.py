"""Signs letters on their way out (DKIM, RFC 6376, RFC 8463).

The hash and bytes in the log are those before the signature.
"""

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.settings import Dkim
from petition.credentials import DKIM_KEY, KeyMisplaced, Secret, find_printed_key, read_key
from petition.errors import Level, PetitionError, Problem, ServerTrouble
from petition.extras import how_to_install
from petition.merge.headers import BULK_HEADERS
from petition.merge.message import Email

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SMALLEST_RSA = 1024  # bits: below that no verifier may accept it (RFC 8301 3.2)

# Signed once more than present, so that one added on the way breaks the signature (RFC 6376 8.15):
# mail programs show these, or interpret the letter by them.
_OVERSIGNED = (
    "From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "In-Reply-To", "References",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
)  # fmt: skip
# Signed if present. RFC 8058 4 requires it of the first two.
_SIGNED = (*BULK_HEADERS, "Content-Language")

_LINE = 76  # characters of a folded line
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n")
_BLANKS = re.compile(rb"[ \t]+")


class KeyRefused(PetitionError):
    """The private key of [dkim] is missing or unusable; `key` is the setting that is to blame."""

    def __init__(self, what: str, hint: str, key: str = "domain") -> None:
        super().__init__(what, hint)
        self.key = key


class DkimSigner:
    """Puts a DKIM-Signature before a letter; KeyRefused if the private key (PEM) is unusable."""

    def __init__(self, domain: str, selector: str, key: Secret) -> None:
        self._domain = domain
        self._selector = selector
        self._algorithm, self._seal = _sealing(key)

    def signed(self, data: bytes, at: float) -> bytes:
        """A letter with its signature before it; `at` is the time in seconds since 1970."""
        head, _, body = data.partition(b"\r\n\r\n")
        fields: list[tuple[bytes, bytes]] = _FIELD.findall(head + b"\r\n")
        header = (
            f" v=1; a={self._algorithm}; c=relaxed/relaxed; d={self._domain};"
            f"\r\n\ts={self._selector}; t={int(at)};\r\n\th={_folded(_named(fields))};"
            f"\r\n\tbh={_hash_of_body(body)};\r\n\tb="
        )
        unsigned = _relaxed(b"DKIM-Signature", header.encode()).removesuffix(b"\r\n")
        mark = base64.b64encode(self._seal(_chosen(fields) + unsigned)).decode("ascii")
        lines = (mark[at : at + _LINE - 4] for at in range(0, len(mark), _LINE - 4))
        header += "\r\n\t".join(lines)
        return f"DKIM-Signature:{header}\r\n".encode() + data

    def email(self, email: Email, at: float) -> Email:
        """The signed email."""
        return email._replace(data=self.signed(email.data, at))


def load_signer(dkim: Dkim, root: Path, *, runs_command: bool = True) -> DkimSigner | None:
    """The signer of a campaign's letters; arguments, None and errors as in `load_key`."""
    key = load_key(dkim, root, runs_command=runs_command)
    return DkimSigner(dkim.domain, dkim.selector, key) if key else None


def _require_cryptography(what: str) -> None:
    if find_spec("cryptography") is None:
        raise KeyRefused(f"{what} needs a part that is not installed", how_to_install("dkim"))


def load_key(dkim: Dkim, root: Path, *, runs_command: bool = True) -> Secret | None:
    """The private key in PEM; None if only the command, which may not be run, could print it.

    `root` is the campaign folder, which must not hold the key. KeyRefused if there is no key,
    it is unusable, or cryptography is not installed.
    """
    _require_cryptography("[dkim]")
    try:
        if text := DKIM_KEY.given(os.environ):
            return Secret(text)
        if dkim.key_command:
            return find_printed_key(dkim.key_command) if runs_command else None
        if dkim.key_file:
            return read_key(dkim.key_file, root)
    except KeyMisplaced as fault:
        raise KeyRefused(fault.what, fault.hint, "key_file") from None
    except ServerTrouble as fault:
        raise KeyRefused(fault.what, fault.hint, "key_command") from None
    hint = "Write key_file or key_command under it"
    raise KeyRefused("[dkim] names no key", f"{hint}, or set {DKIM_KEY.variable}")


def key_of_worker(file: Path | None) -> Secret | None:
    """A worker's private key: from the environment, else from a file; KeyRefused if unusable."""
    text = DKIM_KEY.given(os.environ)
    if not text and file is None:
        return None
    _require_cryptography("signing letters")
    try:
        key = Secret(text) if text else read_key(str(file), None, "--dkim-key")
    except KeyMisplaced as fault:
        raise KeyRefused(fault.what, fault.hint) from None
    _read(key)
    return key


def problems_of(campaign: Campaign, *, is_live: bool) -> list[Problem]:
    """The problems of [dkim]; no command is run. A rehearsal (not `is_live`) signs nothing."""
    dkim, sender = campaign.settings.dkim, campaign.settings.sender.from_.domain
    if dkim is None:
        return []
    level = Level.ERROR if is_live else Level.WARNING
    try:
        load_signer(dkim, campaign.root, runs_command=False)
    except KeyRefused as why:
        line = campaign.lines.line_of(("dkim", why.key))
        return [Problem(SETTINGS_FILE, line, why.what, why.hint, level, why.key)]
    if are_related(dkim.domain, sender) or campaign.stands_in:
        return []
    what = f"[dkim] signs for {dkim.domain}, but the letters come from {sender}"
    hint = "Sign for the domain of the From address: DMARC does not count any other"
    line = campaign.lines.line_of(("dkim", "domain"))
    return [Problem(SETTINGS_FILE, line, what, hint, Level.WARNING, "domain")]


def are_related(one: str, other: str) -> bool:
    """Whether two domains are the same, or one is below the other."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def public_record(key_text: Secret) -> str:
    """The DNS record of a key in PEM (RFC 6376 3.6.1, RFC 8463 4); KeyRefused if it is unusable."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415

    key = _read(key_text)
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        raw = public.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(raw).decode('ascii')}"
    raw = public.public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode('ascii')}"


# Canonicalisation: RFC 6376 3.4.2, 3.4.4, 3.5, 5.4.2.
def _relaxed(name: bytes, value: bytes) -> bytes:
    unfolded = _BLANKS.sub(b" ", value.replace(b"\r\n", b""))
    return name.lower() + b":" + unfolded.strip(b" ") + b"\r\n"


def _hash_of_body(body: bytes) -> str:
    if b"  " in body or b"\t" in body:  # the pattern costs more than the signature
        body = _BLANKS.sub(b" ", body)
    body = body.replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    if body:
        body += b"\r\n"
    return base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")


def _named(fields: list[tuple[bytes, bytes]]) -> list[str]:
    """The names for h=, each as often as it is signed."""
    there = Counter(name.lower() for name, _ in fields)
    names = [name for name in _OVERSIGNED for _ in range(there[name.lower().encode()] + 1)]
    return names + [name for name in _SIGNED for _ in range(there[name.lower().encode()])]


def _chosen(fields: list[tuple[bytes, bytes]]) -> bytes:
    """The fields that h= names; of one name the last one comes first."""
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in reversed(fields):
        by_name.setdefault(name.lower(), []).append(_relaxed(name, value))
    names = (name.lower().encode() for name in (*_OVERSIGNED, *_SIGNED))
    return b"".join(field for name in names for field in by_name.get(name, ()))


def _folded(names: Iterable[str]) -> str:
    lines, line = [], ""
    for name in names:
        if line and len(line) + len(name) + 3 > _LINE:
            lines.append(line)
            line = ""
        line += f":{name}" if line or lines else name
    return "\r\n\t".join([*lines, line])


def _sealing(text: Secret) -> tuple[str, Callable[[bytes], bytes]]:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    key = _read(text)
    if isinstance(key, RSAPrivateKey):
        rsa, padding, digest = key, PKCS1v15(), SHA256()
        return "rsa-sha256", lambda content: rsa.sign(content, padding, digest)
    edwards = key
    # RFC 8463 3: the hash is signed.
    return "ed25519-sha256", lambda content: edwards.sign(hashlib.sha256(content).digest())


def _read(text: Secret) -> "RSAPrivateKey | Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    hint = "Make one: openssl genrsa -out KEYFILE 2048"
    try:
        key = load_pem_private_key(text.text.encode(), password=None)
    except TypeError:
        what = "the key of [dkim] is encrypted with a password"
        raise KeyRefused(what, "Let key_command print it decrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused("the key of [dkim] is not a private key in PEM", hint) from None
    if isinstance(key, RSAPrivateKey):
        if key.key_size < SMALLEST_RSA:
            what = f"the key of [dkim] has only {key.key_size} bits, which no receiver accepts"
            raise KeyRefused(what, hint)
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise KeyRefused("the key of [dkim] is neither RSA nor Ed25519", hint)
