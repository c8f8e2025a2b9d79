"""Asks DNS (RFC 1035). The only door to dnspython."""

import re
from functools import lru_cache
from ipaddress import ip_address

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from petition.errors import PetitionError, UsageError

VARIABLE = "PETITION_RESOLVER"
SECONDS = 5.0  # for one question, all tries
_NO_HOPE = 2  # so many questions without any answer: nobody is there to ask

_PLACE = re.compile(r"\[?([0-9a-fA-F:.]+?)\]?(?::([0-9]{1,5}))?")


class DnsTrouble(PetitionError):
    """A question was not answered: that says nothing of what is published."""


class Resolver:
    """Asks questions and remembers the answers.

    What a question finds nothing for has an empty answer, whether the name is there or not.

    Args:
        place: Where to ask, as "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"; "": as the
            system does.
        seconds: How long to wait for an answer.

    Raises:
        UsageError: `place` is no such address.
    """

    def __init__(self, place: str = "", seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._silent = 0
        self._resolver = _system_resolver() if not place else _resolver_at(place)
        self._ask = lru_cache(maxsize=1_000)(self._asked)

    def txt(self, name: str) -> list[str]:
        """The TXT records of a name, each with its strings joined (RFC 7208 3.3), sorted.

        Raises:
            DnsTrouble: There was no answer.
        """
        found = self._ask(name, "TXT")
        texts = (b"".join(record.strings) for record in found if isinstance(record, TXT))
        # Servers turn the order of records with every answer.
        return sorted(text.decode("utf-8", "replace") for text in texts)

    def mx(self, name: str) -> list[str]:
        """The mail servers of a domain, the first choice first; "." is none (RFC 7505).

        Raises:
            DnsTrouble: There was no answer.
        """
        found = [record for record in self._ask(name, "MX") if isinstance(record, MX)]
        found.sort(key=lambda record: (record.preference, record.exchange))
        return [_shown(record.exchange) for record in found]

    def addresses(self, name: str) -> list[str]:
        """The addresses of a host, of both families.

        Raises:
            DnsTrouble: There was no answer.
        """
        return [str(record) for kind in ("A", "AAAA") for record in self._ask(name, kind)]

    def names(self, address: str) -> list[str]:
        """The names that an address has (PTR).

        Raises:
            DnsTrouble: There was no answer.
        """
        found = self._ask(reverse_name(address), "PTR")
        return [str(record).lower().removesuffix(".") for record in found]

    def _asked(self, name: str, kind: str) -> list[object]:
        if not self._resolver.nameservers:
            mend = f"Go online, or set {VARIABLE} to the address of one"
            raise DnsTrouble("this machine knows no name server", mend)
        if self._silent >= _NO_HOPE:
            raise DnsTrouble("DNS does not answer", "See whether this machine is online")
        try:
            answer = self._resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, lifetime=self._seconds
            )
        except dns.resolver.NXDOMAIN:
            found: list[object] = []
        except dns.resolver.NoNameservers:
            what = f"the name servers of {name} answer with a fault"
            raise DnsTrouble(what, "Have whoever runs its DNS look") from None
        except (dns.resolver.LifetimeTimeout, dns.resolver.NoResolverConfiguration, OSError):
            self._silent += 1
            raise DnsTrouble(f"DNS does not answer for {name}", "Try again later") from None
        except dns.exception.DNSException:  # a name that can be none, an answer that is none
            raise DnsTrouble(f"DNS gives no sense for {name}", "Correct the name") from None
        else:
            found = list(answer.rrset or ())
        self._silent = 0
        return found


def reverse_name(address: str) -> str:
    """The name under which the names of an address are published.

    Args:
        address: An IPv4 or IPv6 address.
    """
    return dns.reversename.from_address(address).to_text(omit_final_dot=True)


def _shown(name: dns.name.Name) -> str:
    return name.to_text().lower().removesuffix(".") or "."


def _system_resolver() -> dns.resolver.Resolver:
    try:
        return dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.resolver.Resolver(configure=False)


def _resolver_at(place: str) -> dns.resolver.Resolver:
    found = _PLACE.fullmatch(place)
    resolver = dns.resolver.Resolver(configure=False)
    try:
        host, port = (found[1], int(found[2] or 53)) if found else ("", 0)
        if port not in range(1, 65536):
            host = ""
        resolver.nameservers = [dns.nameserver.Do53Nameserver(str(ip_address(host)), port)]
    except ValueError:
        mend = "Set it to the like of 192.0.2.53 or 192.0.2.53:5353, or unset it"
        raise UsageError(f"{VARIABLE} is no address of a name server", mend) from None
    return resolver
