"""Mailbox providers that have several domains: what one of these says holds for the others too."""

_DOMAINS = {
    "gmail.com": ("gmail.com", "googlemail.com"),
    "outlook.com": ("outlook.com", "hotmail.com", "hotmail.co.uk", "live.com", "msn.com"),
    "yahoo.com": ("yahoo.com", "yahoo.co.uk", "ymail.com", "rocketmail.com", "aol.com"),
    "mail.ru": ("mail.ru", "bk.ru", "inbox.ru", "list.ru", "internet.ru"),
    "yandex.ru": ("yandex.ru", "yandex.com", "yandex.kz", "ya.ru"),
    "icloud.com": ("icloud.com", "me.com", "mac.com"),
    "gmx.net": ("gmx.net", "gmx.de", "gmx.com", "web.de"),
}
_PROVIDER = {domain: name for name, domains in _DOMAINS.items() for domain in domains}


def provider_of(domain: str) -> str:
    """The provider's name: that of its best-known domain; else the domain itself.

    Args:
        domain: A domain in lower case.
    """
    return _PROVIDER.get(domain, domain)


def domains_of(provider: str) -> tuple[str, ...]:
    """The domains of a provider, as far as they are known."""
    return _DOMAINS.get(provider, (provider,))
