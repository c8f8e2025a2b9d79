"""What makes a copy this copy and no other: its identity, and what is derived from it.

Everything that must stay the same over crashes, runs and machines (Message-ID, MIME boundary,
return path, unsubscribe link) is an HMAC of the identity under one random key, which is made with
the log and kept in it. Each use has a label of its own, or a part of its own of one HMAC: no value
tells anything about another.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

KEY_BYTES = 32
_UNSUBSCRIBE_BYTES = 16
_BINDING_BYTES = 16
_SELECTOR_LENGTH = 16  # in hexadecimal: the first half of an unsubscribe token


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
    """Derives a copy's marks from its identity.

    Args:
        key: The log's key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def message_id(self, identity: Identity, domain: str) -> str:
        """The Message-ID of a copy, with its angle brackets (RFC 5322 3.6.4).

        Args:
            identity: Whose copy.
            domain: The sender's domain.
        """
        return self.message_id_and_boundary(identity, domain)[0]

    def message_id_and_boundary(self, identity: Identity, domain: str) -> tuple[str, str]:
        """The Message-ID of a copy, and its MIME boundary (RFC 2046 5.1.1).

        The boundary begins with `=_`, which quoted-printable text and base64 never hold (RFC 2045
        6.7), so that no part can contain it.

        Args:
            identity: Whose copy.
            domain: The sender's domain.
        """
        mark = self._mark("message-id", identity)
        return f"<{mark[:32]}@{domain}>", f"=_{mark[32:56]}"

    def return_path_token(self, identity: Identity) -> str:
        """What a return path carries in place of `{token}`."""
        return self._mark("return-path", identity)[:24]

    def binder(self, letter: str) -> Callable[[str], bytes]:
        """What ties addresses to the log's key, so that nothing but petition can change them.

        Args:
            letter: The letter whose rows they are in.

        Returns:
            Gives the binding of an address as it goes on the wire: a keyed BLAKE2b (RFC 7693 2.9),
            which takes a third of the time of an HMAC, and every row of a list has one.
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
        """What the log has in place of an address that it was told to forget.

        It is no address, and tells nobody whose it was who does not know both key and address.
        """
        text = _measured("forgotten") + _measured(addr_spec)
        return f"forgotten-{hmac.digest(self._key, text, 'sha256')[:16].hex()}"

    def unsubscribe_token(self, identity: Identity) -> str:
        """What an unsubscribe link and address carry: it says nothing of whose it is.

        Its first half, `selector_of`, is what the log finds the copy by; the second half is kept
        nowhere, and `proves` compares it.
        """
        return self._mark("unsubscribe", identity)[: 2 * _UNSUBSCRIBE_BYTES]

    def proves(self, token: str, identity: Identity) -> bool:
        """Whether an unsubscribe token belongs to a copy, in the same time whether it does or not.

        Args:
            token: What somebody brought.
            identity: The copy that its selector was found with.
        """
        own = self.unsubscribe_token(identity)
        return hmac.compare_digest(token.encode(), own.encode())

    def _mark(self, label: str, identity: Identity) -> str:
        begun_inner, begun_outer = _begun(self._key, label, *identity[:3])
        inner, outer = begun_inner.copy(), begun_outer.copy()
        inner.update(_measured(identity.mailbox))
        outer.update(inner.digest())
        # In hexadecimal: what carries it on the way may change the case of letters.
        return outer.hexdigest()


@lru_cache(maxsize=16)
def _begun(
    key: bytes, label: str, campaign: str, letter: str, revision: int
) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """The two hashes of an HMAC (RFC 2104 2), begun with what all copies of a letter have.

    The library's own reads the key anew for each copy, which takes five times as long.
    """
    block = key.ljust(hashlib.sha256().block_size, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
    inner.update(b"".join(map(_measured, (label, campaign, letter, str(revision)))))
    return inner, outer


def _measured(part: str) -> bytes:
    """A text behind its length: ("ab", "c") and ("a", "bc") must not be the same."""
    encoded = part.encode()
    return len(encoded).to_bytes(4) + encoded


def selector_of(token: str) -> str:
    """The part of an unsubscribe token that is looked up; no more of it comes near an index."""
    return token[:_SELECTOR_LENGTH]


def chance_message_id(domain: str) -> str:
    """A Message-ID that belongs to no copy: for a trial letter to oneself.

    Args:
        domain: The sender's domain.
    """
    return f"<{secrets.token_hex(16)}@{domain}>"


def chance_boundary() -> str:
    """A MIME boundary that belongs to no copy."""
    return f"=_{secrets.token_hex(12)}"


def chance_unsubscribe_token() -> str:
    """An unsubscribe token that belongs to no copy: its link takes nobody off a list."""
    return secrets.token_hex(_UNSUBSCRIBE_BYTES)
