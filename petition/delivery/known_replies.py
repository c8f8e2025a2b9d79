"""What the replies of well-known providers mean, and what to do about them.

Providers say the same thing in words that only their own help pages explain. Each row of the table
is a reply as the provider gives it (docs/providers.md names where it is told of).
"""

import re
from dataclasses import dataclass

NOBODY = "nobody receives it"  # how the sandbox answers for every letter, and is known by

_GMAIL = (
    "Gmail wants an app password here: turn on 2-Step Verification, make an app password at"
    " https://myaccount.google.com/apppasswords and use it in place of the account's own"
)
_MICROSOFT_SWITCH = (
    "Authenticated SMTP is switched off: an administrator of the organisation turns it on for this"
    " mailbox (Microsoft 365 admin centre, Active users, Mail, Manage email apps)"
)
_MICROSOFT_OAUTH = (
    'Microsoft takes no password here: set auth = "xoauth2" and a token_command in [smtp]; an app'
    " password does not help"
)
_MICROSOFT_POLICY = (
    "A policy of the organisation stopped the login: ask an administrator about security defaults"
    ' and conditional access for this mailbox, or set auth = "xoauth2" and a token_command'
)
_MICROSOFT_CREDENTIALS = (
    "Use the mailbox's full address and its own password or token. If they are right,"
    " an administrator has to allow Authenticated SMTP for this mailbox"
)
_YAHOO = (
    "Yahoo wants an app password here: make one under Account security, Generate app password,"
    " and wait an hour if there were many attempts"
)
_SES_CREDENTIALS = (
    "Use the SMTP credentials that the SES console makes, not an AWS access key; they are good for"
    " one region, so host must be that region's"
)
_SES_UNVERIFIED = (
    "Verify the From address or its domain in the SES console, in the region that host names; while"
    " the account is in the SES sandbox every recipient must be verified too"
)
_SES_QUOTA = "Set rate and per_day in [pace] to what the SES console shows for the account"
_MAILGUN_CREDENTIALS = (
    "Use the SMTP credentials of the sending domain (Mailgun, Sending, Domain settings), not an API"
    " key; a domain in the EU needs host = smtp.eu.mailgun.org"
)
_POSTMARK_CREDENTIALS = (
    "Use the SMTP token of the message stream, its access key as username and its secret key as"
    " password, or the server API token as both"
)
_FASTMAIL = (
    "Fastmail wants an app password here: make one under Settings, Privacy & Security, with access"
    " to SMTP, and use the account's full address as username"
)
_ENCRYPT_FIRST = 'Set security = "starttls" with port 587, or "tls" with port 465, in [smtp]'
_DAILY_LIMIT = "Set per_day in [pace] to the provider's limit and go on in 24 hours"
_TOO_FAST = "Set a rate in [pace] below what the server allows"


@dataclass(frozen=True, slots=True)
class KnownReply:
    """A reply that a provider is known for.

    Args:
        host: A pattern for the end of the server's name; "" for any.
        reply: A pattern for the reply: code, enhanced status code, text.
        mend: What to do, a sentence without its full stop.
    """

    host: str
    reply: str
    mend: str


# The first that fits counts.
KNOWN = (
    KnownReply("", r"534 5\.7\.9 .*application-specific password", _GMAIL),
    KnownReply("", r"53[45] 5\.7\.(8|14) .*(support\.google|accounts\.google)", _GMAIL),
    KnownReply(r"gmail\.com", r"53[45] ", _GMAIL),
    KnownReply("", r"daily .*(limit|quota)", _DAILY_LIMIT),
    KnownReply("", r"535 5\.7\.139 .*SmtpClientAuthentication is disabled", _MICROSOFT_SWITCH),
    KnownReply("", r"535 5\.7\.139 .*basic authentication is disabled", _MICROSOFT_OAUTH),
    KnownReply("", r"535 5\.7\.139 .*(locked by|criteria|policy)", _MICROSOFT_POLICY),
    KnownReply("", r"535 5\.7\.(139|3) .*authentication unsuccessful", _MICROSOFT_CREDENTIALS),
    KnownReply("", r"client not authenticated to send mail", _MICROSOFT_CREDENTIALS),
    KnownReply("", r"535 .*#(AUTH|MBR)\d+", _YAHOO),
    KnownReply(r"yahoo\.com", r"535 ", _YAHOO),
    KnownReply("", r"535 authentication credentials invalid", _SES_CREDENTIALS),
    KnownReply(r"amazonaws\.com", r"535 ", _SES_CREDENTIALS),
    KnownReply("", r"address(es)? (is|are) not verified", _SES_UNVERIFIED),
    KnownReply("", r"throttling failure", _SES_QUOTA),
    KnownReply("", r"535 .*mailgun is not loving", _MAILGUN_CREDENTIALS),
    KnownReply(r"mailgun\.org", r"535 ", _MAILGUN_CREDENTIALS),
    KnownReply(r"postmarkapp\.com", r"535 ", _POSTMARK_CREDENTIALS),
    KnownReply(r"(fastmail|messagingengine)\.com", r"535 ", _FASTMAIL),
    KnownReply("", r"too (much|many) (mail|messages)|rate limit", _TOO_FAST),
    KnownReply("", r"53[08] .*(starttls|encryption required)", _ENCRYPT_FIRST),
)


def advice(host: str, reply: str) -> str | None:
    """What to do about a reply, where it is a well-known one.

    Args:
        host: The server's name.
        reply: The reply as it is shown: code, enhanced status code, text.

    Returns:
        A sentence without its full stop, or None.
    """
    for known in KNOWN:
        is_host = re.search(rf"(^|\.)({known.host})$", host.lower()) if known.host else True
        if is_host and re.search(known.reply, reply, re.IGNORECASE):
            return known.mend
    return None
