"""The commands and the bytes of one letter, and what keeps a letter from being written as such.

This is the last gate before the wire: an address that could end a command early, or a bare CR or
LF in a letter (SMTP smuggling, CVE-2023-51764), stops here. A letter that was looked over piece by
piece when it was put together (`Email.is_whole`) is not looked over a second time.
"""

import re
from dataclasses import dataclass

from petition.delivery.reply import Scope, Verdict, unsendable
from petition.merge.message import Email

# No quoted local part with these is ever written (RFC 5321 4.1.2 advises against them too).
_UNSAFE = re.compile(r"[\x00-\x20\x7f<>\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Offers:
    """What the server said that it can do (RFC 5321 2.2).

    Args:
        pipelining: Several commands in one write (RFC 2920).
        eight_bit: BODY=8BITMIME (RFC 6152).
        smtputf8: Addresses and headers in UTF-8 (RFC 6531).
        size: The largest letter in bytes, 0 for no limit, None where SIZE is unknown (RFC 1870).
    """

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    size: int | None = None


def obstacle(email: Email, offers: Offers) -> Verdict | None:
    """Why this server cannot be given this letter, or None.

    Args:
        email: The letter.
        offers: What the server can do.
    """
    envelope = email.envelope
    addresses = (envelope.mail_from, *envelope.rcpt_to)
    if any(map(_UNSAFE.search, addresses)) or not all(envelope.rcpt_to):
        return unsendable(Scope.RECIPIENT, "an address holds what no address may hold")
    if not (envelope.smtputf8 or all(map(str.isascii, addresses))):
        return unsendable(Scope.RECIPIENT, "an address needs SMTPUTF8 and is not marked so")
    if envelope.smtputf8 and not offers.smtputf8:
        return unsendable(
            Scope.RECIPIENT, "the server does not offer SMTPUTF8, which the address needs"
        )
    return _obstacle_in_data(email, offers)


def mail_command(email: Email, offers: Offers) -> bytes:
    """The MAIL command of a letter, with the parameters that the server understands.

    Args:
        email: A letter without an obstacle.
        offers: What the server can do.
    """
    command = f"MAIL FROM:<{email.envelope.mail_from}>"
    if offers.size is not None:
        command += f" SIZE={len(email.data)}"
    if offers.eight_bit and (email.envelope.smtputf8 or not email.data.isascii()):
        command += " BODY=8BITMIME"
    if email.envelope.smtputf8:
        command += " SMTPUTF8"
    return command.encode() + b"\r\n"


def rcpt_command(address: str) -> bytes:
    """The RCPT command of one recipient.

    Args:
        address: An addr-spec without an obstacle.
    """
    return f"RCPT TO:<{address}>\r\n".encode()


def stuffed(email: Email) -> bytes:
    """A letter as it stands on the wire: a dot before each leading dot (RFC 5321 4.5.2).

    Args:
        email: A letter without an obstacle.
    """
    data = email.data
    if email.is_whole:
        return data
    if b"\r\n." in data:
        data = data.replace(b"\r\n.", b"\r\n..")
    return b"." + data if data.startswith(b".") else data


def _has_bare_ends(data: bytes) -> bool:
    without_ends = b"".join(data.split(b"\r\n"))
    return not data.endswith(b"\r\n") or b"\r" in without_ends or b"\n" in without_ends


def _obstacle_in_data(email: Email, offers: Offers) -> Verdict | None:
    data = email.data
    if not email.is_whole and _has_bare_ends(data):
        return unsendable(Scope.MESSAGE, "the letter has a line that does not end in CRLF")
    if offers.size and len(data) > offers.size:
        reason = f"the letter has {len(data)} bytes and the server takes {offers.size}"
        return unsendable(Scope.MESSAGE, reason)
    if not (offers.eight_bit or data.isascii()):
        return unsendable(
            Scope.MESSAGE, "the server does not offer 8BITMIME, which the letter needs"
        )
    return None
