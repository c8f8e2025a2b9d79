"""DMARC: what a receiver is to do with a letter that proves nothing (RFC 7489, tree walk)."""

from dataclasses import dataclass, field

from petition.online.resolver import Resolver

POLICIES = ("none", "quarantine", "reject")
_MOST_STEPS = 8  # up the tree


@dataclass
class Dmarc:
    """The DMARC record that counts for a domain.

    Args:
        domain: Where it was found: the domain itself or one above it; "" for nowhere.
        records: What is published there; more than one count as none.
        tags: What it says.
        policy: What is to become of letters that prove nothing; "" where it does not say so.
    """

    domain: str = ""
    records: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    policy: str = ""

    def is_aligned(self, authenticated: str, sender: str, tag: str) -> bool:
        """Whether a proof for one domain counts for another.

        Args:
            authenticated: The domain that SPF or DKIM proves.
            sender: The domain of the From address.
            tag: "aspf" or "adkim", which may demand that both are the same.
        """
        if authenticated == sender:
            return True
        if self.tags.get(tag, "r").lower() == "s":
            return False
        if authenticated.endswith(f".{sender}") or sender.endswith(f".{authenticated}"):
            return authenticated.count(".") > 0
        above = self.domain
        return bool(above) and all(
            one == above or one.endswith(f".{above}") for one in (authenticated, sender)
        )


def read_dmarc(resolver: Resolver, domain: str) -> Dmarc:
    """Look for the record of a domain, and then of those above it.

    Args:
        resolver: Whom to ask.
        domain: The domain of the From address.

    Raises:
        DnsTrouble: A question was not answered.
    """
    labels = domain.split(".")
    for up in range(min(max(len(labels) - 1, 1), _MOST_STEPS)):
        above = ".".join(labels[up:])
        texts = resolver.txt(f"_dmarc.{above}")
        records = [text for text in texts if text.replace(" ", "").lower().startswith("v=dmarc1")]
        if records:
            return _read(above, records, is_above=above != domain)
    return Dmarc()


def _read(domain: str, records: list[str], *, is_above: bool) -> Dmarc:
    dmarc = Dmarc(domain, records)
    if len(records) > 1:
        return dmarc
    for part in records[0].split(";"):
        name, mark, value = part.partition("=")
        if mark:
            dmarc.tags.setdefault(name.strip().lower(), value.strip())
    policy = dmarc.tags.get("p", "")
    if is_above:
        policy = dmarc.tags.get("sp", policy)
    dmarc.policy = policy.lower() if policy.lower() in POLICIES else ""
    return dmarc
