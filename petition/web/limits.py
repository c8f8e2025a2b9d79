"""Limits for a form that anybody can send: how often from one network, and from everywhere.

What is counted is in memory alone, and nothing of it is written anywhere. One network is what one
subscriber gets, or a few: the first 24 bits of an IPv4 address, the first 56 of IPv6 (RFC 6177).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from starlette.requests import Request

from petition.errors import UsageError

Address = IPv4Address | IPv6Address

_MOST_NETWORKS = 50_000  # that are remembered, in about 10 MB


class Allowance(NamedTuple):
    """How many at once, and how many more each minute."""

    at_once: int
    per_minute: float


# A meeting at which sixty people sign on one network, and enough for a campaign in the news; but
# little for somebody who types the addresses of others.
PER_NETWORK = Allowance(60, 2)
FOR_ALL = Allowance(1_000, 600)


class _Bucket(NamedTuple):
    """What was left at a moment; it fills up evenly."""

    left: float
    at: float

    def now(self, allowance: Allowance, at: float) -> float:
        return min(allowance.at_once, self.left + (at - self.at) * allowance.per_minute / 60)


class FormLimits:
    """Counts what was taken by each network and by all; `clock` is in seconds."""

    def __init__(
        self,
        per_network: Allowance = PER_NETWORK,
        for_all: Allowance = FOR_ALL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_network = per_network
        self._for_all = for_all
        self._clock = clock
        self._all = _Bucket(for_all.at_once, clock())
        self._networks: OrderedDict[str, _Bucket] = OrderedDict()  # the one used last is last

    def wait(self, address: Address | None) -> float:
        """Take one for an address; 0, or, if that is not possible, in how many seconds it is."""
        now, network = self._clock(), network_of(address)
        own = self._networks.get(network, _Bucket(self._per_network.at_once, now))
        left, left_for_all = own.now(self._per_network, now), self._all.now(self._for_all, now)
        waits = (
            (1 - left) * 60 / self._per_network.per_minute,
            (1 - left_for_all) * 60 / self._for_all.per_minute,
        )
        if max(waits) > 0:
            return max(waits)
        self._all = _Bucket(left_for_all - 1, now)
        self._networks[network] = _Bucket(left - 1, now)
        self._networks.move_to_end(network)
        self._forget(now)
        return 0.0

    def __len__(self) -> int:
        return len(self._networks)

    def _forget(self, now: float) -> None:
        """Forget the networks that may take everything again, and the oldest beyond the most."""
        while self._networks:
            network, bucket = next(iter(self._networks.items()))
            is_full = bucket.now(self._per_network, now) >= self._per_network.at_once
            if not is_full and len(self._networks) <= _MOST_NETWORKS:
                break
            del self._networks[network]


def network_of(address: Address | None) -> str:
    """The network of an address, by which it is counted; "": it is not known."""
    if address is None:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(IPv6Network((int(address), 56), strict=False))
        address = address.ipv4_mapped
    return str(IPv4Network((int(address), 24), strict=False))


class Proxies:
    """The web servers whose word is taken for who asks; UsageError if one is no address."""

    def __init__(self, names: Iterable[str]) -> None:
        self._networks = []
        for name in names:
            try:
                self._networks.append(ip_network(name.strip(), strict=False))
            except ValueError:
                hint = "Write an address or a network, such as 127.0.0.1 or 10.0.0.0/8"
                raise UsageError(f"--proxy {name} is not an address", hint) from None

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client(self, request: Request) -> Address | None:
        """Who asks: the last address in X-Forwarded-For that is none of these, or the peer."""
        peer = _address(request.client.host) if request.client else None
        if not self._has(peer):
            return peer
        for text in reversed(",".join(request.headers.getlist("x-forwarded-for")).split(",")):
            said = _address(text.strip())
            if text.strip() and not self._has(said):
                return said
        return peer

    def _has(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
