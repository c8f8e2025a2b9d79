"""SPF: who may send for a domain (RFC 7208)."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from petition.online.resolver import Resolver

MOST_LOOKUPS = 10  # RFC 7208 4.6.4; one more, and the record counts as broken
MOST_VOID = 2  # of them that find nothing
_ENOUGH = 40  # a record that asks for so many is not read to its end

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TERM = re.compile(
    r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)"
    r"(?::([^/]*))?((?:/[0-9]{1,3})?(?://[0-9]{1,3})?)",
    re.IGNORECASE,
)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_MACRO = "%"
_ASKS = {"include", "a", "mx", "ptr", "exists"}


class _Term(NamedTuple):
    qualifier: str
    name: str
    domain: str
    length: str  # of a prefix, as it stands
    word: str


@dataclass
class Spf:
    """What a domain's SPF record says, with all that it includes.

    Args:
        domain: The domain.
        records: Its SPF records; more than one count as none.
        includes: Every domain that was included, at any depth.
        networks: Who may send, as far as it stands in addresses.
        lookups: How many questions it costs a receiver.
        voids: How many of them find nothing.
        ending: What becomes of all others: "-", "~", "?", "+", or "" where that is not said.
        faults: Why a receiver takes it for broken.
        unread: What stands in the domain's own record behind `all`.
    """

    domain: str
    records: list[str] = field(default_factory=list)
    includes: set[str] = field(default_factory=set)
    networks: list[Network] = field(default_factory=list)
    lookups: int = 0
    voids: int = 0
    ending: str = ""
    faults: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def allows(self, address: str) -> bool:
        """Whether an address may send."""
        one = ipaddress.ip_address(address)
        return any(one.version == net.version and one in net for net in self.networks)


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record (RFC 7208 4.5)."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def read_spf(resolver: Resolver, domain: str) -> Spf:
    """Read a domain's record and everything that it includes.

    Args:
        resolver: Whom to ask.
        domain: The domain of the return path.

    Raises:
        DnsTrouble: A question was not answered.
    """
    spf = Spf(domain, [text for text in resolver.txt(domain) if is_spf(text)])
    if len(spf.records) == 1:
        begin = _Step((domain.lower(),), counts=True, decides=True)
        _Walk(resolver, spf).visit(spf.records[0], begin)
        if spf.lookups > MOST_LOOKUPS:
            asked = f"more than {_ENOUGH}" if spf.lookups > _ENOUGH else str(spf.lookups)
            spf.faults.append(f"it costs {asked} look-ups, and {MOST_LOOKUPS} are allowed")
        if spf.voids > MOST_VOID:
            found = f"{spf.voids} of its look-ups find nothing, and {MOST_VOID} may"
            spf.faults.append(found)
    return spf


class _Step(NamedTuple):
    """Where the walk is.

    Args:
        chain: The domains on the way, the present one last.
        counts: Whether who passes here passes in the end.
        decides: Whether what this record says of all others is said of them in the end.
    """

    chain: tuple[str, ...]
    counts: bool
    decides: bool

    @property
    def domain(self) -> str:
        return self.chain[-1]


class _Walk:
    """Goes through a record and those that it includes, as a receiver would that finds nobody."""

    def __init__(self, resolver: Resolver, spf: Spf) -> None:
        self._resolver = resolver
        self._spf = spf

    def visit(self, record: str, step: _Step) -> None:
        """Read one record."""
        redirect, has_all = "", False
        for word in filter(None, record.split(" ")[1:]):
            if found := _TERM.fullmatch(word):
                term = _Term(found[1] or "+", found[2].lower(), found[3] or "", found[4], word)
                if not has_all:
                    self._follow(term, step)
                elif len(step.chain) == 1 and term.name != "all":
                    self._spf.unread.append(word)  # RFC 7208 5.1
                has_all |= term.name == "all"
            elif found := _MODIFIER.fullmatch(word):
                redirect = found[2] if found[1].lower() == "redirect" else redirect
            else:
                self._fault(f'"{word}" of {step.domain} is no term of SPF')
        if redirect and not has_all:
            self._spf.lookups += 1
            self._enter(redirect, f"redirect={redirect}", step)

    def _follow(self, term: _Term, step: _Step) -> None:
        if term.name == "all":
            if step.decides:
                self._spf.ending = self._spf.ending or term.qualifier
            return
        self._spf.lookups += term.name in _ASKS
        if self._spf.lookups > _ENOUGH:
            return
        step = step._replace(counts=step.counts and term.qualifier == "+")
        if term.name == "include":
            self._enter(term.domain, term.word, step._replace(decides=False))
        elif term.name in {"ip4", "ip6"}:
            self._add_network(term, step)
        elif term.name in {"a", "mx"}:
            self._add_hosts(term, step)

    def _enter(self, domain: str, word: str, step: _Step) -> None:
        domain = domain.lower().removesuffix(".")
        if _MACRO in domain:  # it depends on the letter
            return
        if not domain:
            self._fault(f'"{word}" of {step.domain} names no domain')
        elif domain in step.chain:
            self._fault(f'"{word}" of {step.domain} leads back to where it began')
        elif self._spf.lookups <= _ENOUGH:
            records = [text for text in self._resolver.txt(domain) if is_spf(text)]
            self._spf.includes.add(domain)
            if len(records) == 1:
                self.visit(records[0], step._replace(chain=(*step.chain, domain)))
                return
            has = f"{len(records)} SPF records" if records else "no SPF record"
            self._fault(f'"{word}" of {step.domain} leads to {domain}, which has {has}')

    def _add_network(self, term: _Term, step: _Step) -> None:
        try:
            network = ipaddress.ip_network(term.domain + term.length, strict=False)
        except ValueError:
            self._fault(f'"{term.word}" of {step.domain} is no address')
            return
        if step.counts:
            self._spf.networks.append(network)

    def _add_hosts(self, term: _Term, step: _Step) -> None:
        name = term.domain or step.domain
        if _MACRO in name:
            return
        hosts = [name] if term.name == "a" else self._resolver.mx(name)
        if len(hosts) > MOST_LOOKUPS:
            self._fault(f'"{term.word}" of {step.domain} has more than {MOST_LOOKUPS} servers')
            hosts = hosts[:MOST_LOOKUPS]
        hosts = [host for host in hosts if host != "."]
        addresses = [one for host in hosts for one in self._resolver.addresses(host)]
        self._spf.voids += not addresses
        if step.counts:
            self._spf.networks += [_around(one, term.length) for one in addresses]

    def _fault(self, text: str) -> None:
        if text not in self._spf.faults:
            self._spf.faults.append(text)


def _around(address: str, length: str) -> Network:
    """The network of an address, by a dual prefix length (RFC 7208 5.6)."""
    short, _, long = length.partition("//")
    if ":" in address:
        return ipaddress.ip_network(f"{address}/{long or 128}", strict=False)
    return ipaddress.ip_network(address + short, strict=False)
