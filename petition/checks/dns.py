"""DNS: SPF (RFC 7208), DMARC (RFC 9989), and what we know about mail providers."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from petition.campaign.text_file import packaged_toml
from petition.errors import PetitionError, UsageError

VARIABLE = "PETITION_RESOLVER"
SECONDS = 5.0  # for one query, retries included
_MOST_UNANSWERED = 2  # queries in a row; after them no more are sent

_PLACE = re.compile(r"\[?([0-9a-fA-F:.]+?)\]?(?::([0-9]{1,5}))?")


class DnsTrouble(PetitionError):
    """A query was not answered, so we do not know what is published."""


class Resolver:
    """Queries DNS and caches the answers, which are empty if a name does not exist.

    `place` is the name server to ask, as "192.0.2.53:5353" or "[2001:db8::53]"; "": that of the
    system. It waits for `seconds`. UsageError if the place is no such address; DnsTrouble if there
    is no answer.
    """

    def __init__(self, place: str = "", seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._unanswered = 0
        self._resolver = _resolver_at(place)
        self._ask = lru_cache(maxsize=1_000)(self._asked)

    def txt(self, name: str) -> list[str]:
        """The TXT records of a name, each with its strings joined (RFC 7208 3.3), sorted."""
        found = self._ask(name, "TXT")
        texts = (b"".join(record.strings) for record in found if isinstance(record, TXT))
        # Servers rotate the records with every answer.
        return sorted(text.decode("utf-8", "replace") for text in texts)

    def mx(self, name: str) -> list[str]:
        """The mail servers of a domain by preference; "." is none (RFC 7505)."""
        found = [record for record in self._ask(name, "MX") if isinstance(record, MX)]
        found.sort(key=lambda record: (record.preference, record.exchange))
        names = (record.exchange.to_text().lower() for record in found)
        return [name.removesuffix(".") or "." for name in names]

    def addresses(self, name: str) -> list[str]:
        """The addresses of a host, of both families."""
        return [str(record) for kind in ("A", "AAAA") for record in self._ask(name, kind)]

    def names(self, address: str) -> list[str]:
        """The names of an address (PTR)."""
        found = self._ask(reverse_name(address), "PTR")
        return [str(record).lower().removesuffix(".") for record in found]

    def _asked(self, name: str, kind: str) -> list[object]:
        if not self._resolver.nameservers:
            hint = f"Go online, or set {VARIABLE} to the address of one"
            raise DnsTrouble("this machine knows no name server", hint)
        if self._unanswered >= _MOST_UNANSWERED:
            raise DnsTrouble("DNS does not answer", "Check whether this machine is online")
        try:
            answer = self._resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, lifetime=self._seconds
            )
        except dns.resolver.NXDOMAIN:
            answer = None
        except dns.resolver.NoNameservers:
            what = f"the name servers of {name} report an error"
            raise DnsTrouble(what, "Tell the administrators of its DNS") from None
        except (dns.resolver.LifetimeTimeout, dns.resolver.NoResolverConfiguration, OSError):
            self._unanswered += 1
            raise DnsTrouble(f"DNS does not answer for {name}", "Try again later") from None
        except dns.exception.DNSException:  # not a name, or not an answer
            raise DnsTrouble(f"DNS cannot look up {name}", "Correct the name") from None
        self._unanswered = 0
        return list(answer.rrset or ()) if answer else []


def reverse_name(address: str) -> str:
    """The name under which the PTR records of an address are published."""
    return dns.reversename.from_address(address).to_text(omit_final_dot=True)


def _resolver_at(place: str) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=False)
    if not place:
        with suppress(dns.resolver.NoResolverConfiguration):
            resolver = dns.resolver.Resolver()
        return resolver
    found = _PLACE.fullmatch(place)
    try:
        host, port = (found[1], int(found[2] or 53)) if found else ("", 0)
        if port not in range(1, 65536):
            host = ""
        resolver.nameservers = [dns.nameserver.Do53Nameserver(str(ip_address(host)), port)]
    except ValueError:
        hint = "Set it to an address such as 192.0.2.53 or 192.0.2.53:5353, or unset it"
        raise UsageError(f"{VARIABLE} is not the address of a name server", hint) from None
    return resolver


MOST_LOOKUPS = 10  # RFC 7208 4.6.4; with one more the record is not valid
MOST_VOID = 2  # of these that find nothing
_ENOUGH = 40  # a record that needs more is not read to its end

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
    """What a domain's SPF record says, with all that it includes."""

    domain: str
    records: list[str] = field(default_factory=list)  # more than one count as none
    includes: set[str] = field(default_factory=set)  # at any depth
    networks: list[Network] = field(default_factory=list)  # that may send
    lookups: int = 0  # queries that it costs a receiver
    voids: int = 0  # of these that find nothing
    ending: str = ""  # the qualifier of `all`: "-", "~", "?" or "+"
    faults: list[str] = field(default_factory=list)  # why it is not valid
    unread: list[str] = field(default_factory=list)  # terms of its own record after `all`
    is_open: bool = False  # it depends on the letter or on PTR records who else may send

    @property
    def allows_nobody(self) -> bool:
        """Whether no address may send."""
        return self.ending in {"-", "~"} and not (self.networks or self.is_open)

    def allows(self, address: str) -> bool:
        """Whether an address may send."""
        one = ip_address(address)
        return any(one.version == net.version and one in net for net in self.networks)


def _records(resolver: Resolver, domain: str) -> list[str]:
    """The SPF records of a domain (RFC 7208 4.5)."""
    return [text for text in resolver.txt(domain) if f"{text} ".lower().startswith("v=spf1 ")]


def read_spf(resolver: Resolver, domain: str) -> Spf:
    """Read a domain's record and everything that it includes."""
    spf = Spf(domain, _records(resolver, domain))
    if len(spf.records) == 1:
        begin = _Step((domain.lower(),), counts=True, decides=True)
        _Walk(resolver, spf).visit(spf.records[0], begin)
        if spf.lookups > MOST_LOOKUPS:
            asked = f"more than {_ENOUGH}" if spf.lookups > _ENOUGH else str(spf.lookups)
            spf.faults.append(f"it needs {asked} look-ups, but {MOST_LOOKUPS} are allowed")
        if spf.voids > MOST_VOID:
            found = f"{spf.voids} of its look-ups find nothing, but only {MOST_VOID} may"
            spf.faults.append(found)
    return spf


class _Step(NamedTuple):
    chain: tuple[str, ...]  # the domains from the first one to here
    counts: bool  # whether what is allowed here may send
    decides: bool  # whether `all` counts here

    @property
    def domain(self) -> str:
        return self.chain[-1]


class _Walk:
    """Reads a record and those that it includes, as for an address that none of them allows."""

    def __init__(self, resolver: Resolver, spf: Spf) -> None:
        self._resolver = resolver
        self._spf = spf

    def visit(self, record: str, step: _Step) -> None:
        """Read one record."""
        redirect, has_all = "", False
        for word in filter(None, record.split(" ")[1:]):
            if found := _TERM.fullmatch(word):
                term = _Term(found[1] or "+", found[2].lower(), found[3] or "", found[4], word)
                self._spf.is_open |= term.name in {"exists", "ptr"} or _MACRO in word
                if not has_all:
                    self._follow(term, step)
                elif len(step.chain) == 1 and term.name != "all":
                    self._spf.unread.append(word)  # RFC 7208 5.1
                has_all |= term.name == "all"
            elif found := _MODIFIER.fullmatch(word):
                redirect = found[2] if found[1].lower() == "redirect" else redirect
            else:
                self._fault(f'"{word}" of {step.domain} is not an SPF term')
        if redirect and not has_all:
            self._spf.lookups += 1
            self._spf.is_open |= _MACRO in redirect
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
            self._fault(f'"{word}" of {step.domain} includes itself')
        elif self._spf.lookups <= _ENOUGH:
            records = _records(self._resolver, domain)
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
            self._fault(f'"{term.word}" of {step.domain} is not an address')
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
        addresses = []
        for host in hosts:
            found = self._resolver.addresses(host)
            count = max(sum(":" in one for one in found), sum(":" not in one for one in found))
            if term.name == "mx" and count > MOST_LOOKUPS:  # of the family that a receiver asks for
                has = f"has {count} addresses, but {MOST_LOOKUPS} are allowed"
                self._fault(f'"{term.word}" of {step.domain} leads to {host}, which {has}')
            addresses += found
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


POLICIES = ("none", "quarantine", "reject")  # each stricter than the one before
_DMARC = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(;|$)")  # RFC 9989 4.8
_LONGEST_PARENT = 7  # labels (RFC 9989 4.10)


@dataclass
class Dmarc:
    """A DMARC record, and what it asks of the domain that it was looked up for."""

    domain: str = ""  # where it was found: the domain itself or one above it
    records: list[str] = field(default_factory=list)  # more than one count as none
    tags: dict[str, str] = field(default_factory=dict)  # none if there are several records
    published: str = ""  # the policy for mail that proves nothing; "": it has no valid one
    policy: str = ""  # the one that counts; "": receivers ignore the record

    def is_aligned(self, resolver: Resolver, authenticated: str, sender: str, tag: str) -> bool:
        """Whether a domain that SPF or DKIM proves is aligned with the sender's."""
        if authenticated == sender or self.tags.get(tag, "r").lower() == "s":
            return authenticated == sender
        return _organisation(resolver, authenticated) == _organisation(resolver, sender)


def read_dmarc(resolver: Resolver, domain: str) -> Dmarc:
    """The record of a domain, of its organisation or of its public suffix (RFC 9989 4.10.1)."""
    walk = _walk_up(resolver, domain)
    dmarc = next(walk, Dmarc())
    if dmarc.tags and dmarc.domain != domain:
        above, top = [dmarc, *walk], _organisation(resolver, domain)
        dmarc = next((one for one in above if one.domain == top), above[-1])
    tags = dmarc.tags
    given = {name: tags[name].lower() for name in ("p", "sp", "np") if name in tags}
    if "p" in given and set(given.values()) <= set(POLICIES):
        dmarc.published = given["p"]
        if dmarc.domain != domain:
            is_there = "np" not in given or resolver.mx(domain) or resolver.addresses(domain)
            dmarc.published = given.get("sp", given["p"]) if is_there else given["np"]
        is_test = tags.get("t", "").lower() == "y"
        dmarc.policy = POLICIES[max(POLICIES.index(dmarc.published) - is_test, 0)]
    elif tags and ("p" not in given or ":" in tags.get("rua", "")):
        dmarc.policy = "none"
    return dmarc


def _organisation(resolver: Resolver, domain: str) -> str:
    """The organisational domain of a domain (RFC 9989 4.10.2)."""
    found = [Dmarc(domain), *(one for one in _walk_up(resolver, domain) if one.tags)]
    last = found[-1]  # it decides, since the walk ends at psd=n and psd=y
    if _psd(last) != "y" or last.domain == domain:
        return last.domain
    return ".".join(domain.split(".")[-last.domain.count(".") - 2 :])


def _walk_up(resolver: Resolver, domain: str) -> Iterator[Dmarc]:
    """The records at a domain and above it, up to the top level (RFC 9989 4.10)."""
    labels = domain.split(".")
    for count in (len(labels), *range(min(len(labels) - 1, _LONGEST_PARENT), 0, -1)):
        name = ".".join(labels[-count:])
        dmarc = Dmarc(name, list(filter(_DMARC.match, resolver.txt(f"_dmarc.{name}"))))
        for part in dmarc.records[0].split(";") if len(dmarc.records) == 1 else ():
            key, mark, value = part.partition("=")
            if mark:
                dmarc.tags.setdefault(key.strip().lower(), value.strip())
        if dmarc.records:
            yield dmarc
        if _psd(dmarc) in {"y", "n"}:
            return


def _psd(dmarc: Dmarc) -> str:
    return dmarc.tags.get("psd", "u").lower()


@dataclass(frozen=True, slots=True)
class MailService:
    """A mail provider, as `mail_services.toml` describes it."""

    host: str
    title: str
    spf: str = ""
    selectors: Sequence[str] = ()
    own: Sequence[str] = ()


_SERVICES = packaged_toml("checks/mail_services.toml")
_ALL = [MailService(host, **known) for host, known in _SERVICES.items()]


def giver_of(domain: str) -> MailService | None:
    """The provider that gives anybody addresses in a domain."""
    return next((one for one in _ALL if domain in one.own), None)


def known_of(host: str) -> MailService | None:
    """The provider that a server belongs to, by its name."""
    name = f".{host.lower()}"
    return next((one for one in _ALL if name.endswith(f".{one.host}")), None)
