"""What is known of mail providers' DNS: what SPF must include, and where their DKIM keys lie."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A mail provider.

    Args:
        host: The end of its servers' names.
        title: What people call it.
        spf: The domain that SPF must include; "": it sends under a return path of its own.
        selectors: The selectors of DKIM keys that it has its customers publish; where they are
            each customer's own, none.
        own: The domains of addresses that it gives to everybody.
    """

    host: str
    title: str
    spf: str = ""
    selectors: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


_ALL = (
    Known("gmail.com", "Gmail", "_spf.google.com", ("google",), ("gmail.com", "googlemail.com")),
    Known(
        "office365.com", "Microsoft 365", "spf.protection.outlook.com", ("selector1", "selector2")
    ),
    Known("outlook.com", "Outlook.com", own=("outlook.com", "hotmail.com", "live.com", "msn.com")),
    Known("yahoo.com", "Yahoo", own=("yahoo.com", "ymail.com", "rocketmail.com", "aol.com")),
    Known("icloud.com", "iCloud", own=("icloud.com", "me.com", "mac.com")),
    Known("mail.ru", "Mail.ru", own=("mail.ru", "inbox.ru", "list.ru", "bk.ru")),
    Known("yandex.ru", "Yandex", own=("yandex.ru", "yandex.com", "yandex.kz", "ya.ru")),
    Known(
        "fastmail.com",
        "Fastmail",
        "spf.messagingengine.com",
        ("fm1", "fm2", "fm3"),
        ("fastmail.com", "fastmail.fm"),
    ),
    Known("mailgun.org", "Mailgun", "mailgun.org"),
    Known("amazonaws.com", "Amazon SES"),
    Known("postmarkapp.com", "Postmark"),
)


def giver_of(domain: str) -> Known | None:
    """The provider that gives everybody addresses of a domain.

    Args:
        domain: A domain in lower case.
    """
    return next((one for one in _ALL if domain in one.own), None)


def known_of(host: str) -> Known | None:
    """The provider that a server belongs to.

    Args:
        host: The server's name.
    """
    name = f".{host.lower()}"
    return next((one for one in _ALL if name.endswith(f".{one.host}")), None)
