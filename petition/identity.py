"""The identity of a copy, and what is derived from it.

Everything that must be the same after a crash, in another run and on another machine (Message-ID,
MIME boundary, return path, unsubscribe link) is an HMAC of the identity under a random key, which
is made with the log and kept in it. Each use has its own label, or its own part of one HMAC: no
value reveals anything about another.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

KEY_BYTES = 32
_UNSUBSCRIBE_BYTES = 16
_BINDING_BYTES = 16
# Of an approval's code: no vowels, and no two that look alike.
_CODE_LETTERS = "CDFGHJKMNPQRTWXY34679"
_CODE_LENGTH = 10  # 44 bits
_MOST_DIGITS = 15  # of a moment
_SELECTOR_LENGTH = 16  # in hexadecimal: the first half of an unsubscribe token
_HALF_CODE = f"[{_CODE_LETTERS}]{{{_CODE_LENGTH // 2}}}"
_CODE = re.compile(rf"(?<!\w){_HALF_CODE}[ \u2010-\u2015-]{{0,3}}{_HALF_CODE}(?!\w)", re.IGNORECASE)


class Identity(NamedTuple):
    """One letter in one revision to one mailbox of one campaign."""

    campaign: str
    letter: str
    revision: int
    mailbox: str


def new_key() -> bytes:
    """A random key for a new log."""
    return secrets.token_bytes(KEY_BYTES)


class Signer:
    """Derives what belongs to a copy from its identity, under the log's key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def message_id(self, identity: Identity, domain: str) -> str:
        """The Message-ID of a copy in the sender's domain, in angle brackets (RFC 5322 3.6.4)."""
        return self.message_id_and_boundary(identity, domain)[0]

    def message_id_and_boundary(self, identity: Identity, domain: str) -> tuple[str, str]:
        """The Message-ID of a copy, and its MIME boundary (RFC 2046 5.1.1).

        The boundary begins with `=_`, which quoted-printable text and base64 never hold (RFC 2045
        6.7), so that no part can contain it.
        """
        mark = self._mark("message-id", identity)
        return f"<{mark[:32]}@{domain}>", f"=_{mark[32:56]}"

    def return_path_token(self, identity: Identity) -> str:
        """What replaces `{token}` in a return path."""
        return self._mark("return-path", identity)[:24]

    def binder(self, letter: str) -> Callable[[str], bytes]:
        """Makes the hashes that tie the addresses of a letter's rows to the log's key.

        The hash is a keyed BLAKE2b (RFC 7693 2.9) of the address as it goes on the wire. It takes a
        third of the time of an HMAC, and every row of a list has one.
        """
        begun = hashlib.blake2b(
            _measured(letter), key=self._key, digest_size=_BINDING_BYTES, person=b"mailbox"
        )

        def bind(mailbox: str) -> bytes:
            hashed = begun.copy()
            hashed.update(mailbox.encode())
            return hashed.digest()

        return bind

    def stand_in(self, addr_spec: str) -> str:
        """What the log keeps in place of an address that was forgotten.

        It is not an address, and only somebody with the key and the address can tell whose
        it was.
        """
        text = _measured("forgotten") + _measured(addr_spec)
        return f"forgotten-{hmac.digest(self._key, text, 'sha256')[:16].hex()}"

    def unsubscribe_token(self, identity: Identity) -> str:
        """What an unsubscribe link and address carry.

        The log finds the copy by the first half, `selector_of`; the second half is stored nowhere,
        and `proves` compares it.
        """
        return self._mark("unsubscribe", identity)[: 2 * _UNSUBSCRIBE_BYTES]

    def proves(self, token: str, identity: Identity) -> bool:
        """Whether an unsubscribe token belongs to a copy, compared in constant time."""
        own = self.unsubscribe_token(identity)
        return hmac.compare_digest(token.encode(), own.encode())

    def approval_code(self, binding: str, request: int, approver: str) -> str:
        """What one approver (folded) writes to let one letter go: `K7QM9-HXTRC`.

        It belongs to a request, and to what the request is bound to.
        """
        text = b"".join(map(_measured, ("approval", binding, str(request), approver)))
        number = int.from_bytes(hmac.digest(self._key, text, "sha256"))
        letters = []
        for _ in range(_CODE_LENGTH):
            number, at = divmod(number, len(_CODE_LETTERS))
            letters.append(_CODE_LETTERS[at])
        half = _CODE_LENGTH // 2
        return f"{''.join(letters[:half])}-{''.join(letters[half:])}"

    def signature_token(self, selector: str) -> str:
        """What the link to a signature carries: its selector, and the proof that it is ours."""
        proof = hmac.digest(self._key, _measured_all("signature", selector), "sha256").hex()
        return selector + proof[: 2 * _UNSUBSCRIBE_BYTES - _SELECTOR_LENGTH]

    def stamp(self, seconds: int) -> str:
        """A moment, in whole seconds, as a form carries it; `moment_of` reads it back."""
        proof = hmac.digest(self._key, _measured_all("form", str(seconds)), "sha256").hex()
        return f"{seconds}.{proof[:32]}"

    def moment_of(self, stamp: str) -> int | None:
        """The moment of a stamp that this key made; None: it is none."""
        digits = stamp.partition(".")[0]
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
            return None
        own = self.stamp(int(digits))
        return int(digits) if hmac.compare_digest(stamp.encode(), own.encode()) else None

    def _mark(self, label: str, identity: Identity) -> str:
        shared = _measured_all(label, identity.campaign, identity.letter, str(identity.revision))
        # In hexadecimal, because mail systems on the way may change the case of letters.
        return hmac.digest(self._key, shared + _measured(identity.mailbox), "sha256").hex()


@lru_cache(maxsize=64)
def _measured_all(*parts: str) -> bytes:
    return b"".join(map(_measured, parts))


def _measured(part: str) -> bytes:
    """A text after its length: ("ab", "c") and ("a", "bc") must differ."""
    encoded = part.encode()
    return len(encoded).to_bytes(4) + encoded


def selector_of(token: str) -> str:
    """The part of an unsubscribe token that is looked up; the rest is in no index."""
    return token[:_SELECTOR_LENGTH]


def is_code(typed: str, code: str) -> bool:
    """Whether somebody wrote an approval's code, in either case, compared in constant time."""
    return hmac.compare_digest(_bare(typed).encode(), _bare(code).encode())


def codes_in(text: str) -> list[str]:
    """What may be codes of approvals in a text."""
    return _CODE.findall(text)


def _bare(code: str) -> str:
    return re.sub(r"[\s\u2010-\u2015-]", "", code).upper()


def chance_message_id(domain: str) -> str:
    """A Message-ID in the sender's domain that belongs to no copy: for trial letters."""
    return f"<{secrets.token_hex(16)}@{domain}>"


def chance_boundary() -> str:
    """A MIME boundary that belongs to no copy."""
    return f"=_{secrets.token_hex(12)}"


def chance_unsubscribe_token() -> str:
    """An unsubscribe token that belongs to no copy: its link unsubscribes nobody."""
    return secrets.token_hex(_UNSUBSCRIBE_BYTES)
