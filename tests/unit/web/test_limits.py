from ipaddress import ip_address

import pytest
from starlette.requests import Request

from petition.errors import UsageError
from petition.identity import Signer
from petition.web.limits import Allowance, FormLimits, Proxies, network_of


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def taken(limits: FormLimits, number: int, address: str = "192.0.2.1") -> int:
    return sum(limits.wait(ip_address(address)) == 0 for _ in range(number))


def test_a_network_may_take_some_at_once_and_then_one_after_another(clock):
    limits = FormLimits(Allowance(3, 2), Allowance(100, 100), clock)
    assert taken(limits, 5) == 3
    assert limits.wait(ip_address("192.0.2.1")) == 30
    assert taken(limits, 5, "198.51.100.1") == 3  # another one
    clock.now += 30
    assert taken(limits, 5, "192.0.2.200") == 1
    clock.now += 3_600
    assert taken(limits, 5) == 3


def test_all_together_may_take_only_so_many(clock):
    limits = FormLimits(Allowance(3, 2), Allowance(5, 60), clock)
    assert sum(taken(limits, 1, f"192.0.{one}.1") for one in range(20)) == 5
    clock.now += 1
    assert sum(taken(limits, 1, f"192.1.{one}.1") for one in range(20)) == 1
    assert taken(limits, 9, "192.0.0.1") == 0  # it has some left, but not all together


def test_networks_that_may_take_all_again_are_forgotten(clock):
    limits = FormLimits(Allowance(3, 60), Allowance(10_000, 10_000), clock)
    for one in range(200):
        taken(limits, 2, f"10.0.{one}.1")
    assert len(limits) == 200
    clock.now += 60
    taken(limits, 1)
    assert len(limits) == 1


def test_the_memory_is_bounded(clock, monkeypatch):
    monkeypatch.setattr("petition.web.limits._MOST_NETWORKS", 10)
    limits = FormLimits(for_all=Allowance(10_000, 10_000), clock=clock)
    for one in range(200):
        taken(limits, 2, f"10.0.{one}.1")
    assert len(limits) == 10


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.255", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:0:aa00::1", "2001:db8:0:aaff::1", True),
        ("2001:db8:0:aa00::1", "2001:db8:0:ab00::1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
    ],
)
def test_one_network_is_what_a_subscriber_has(one, other, is_same):
    assert (network_of(ip_address(one)) == network_of(ip_address(other))) is is_same


def asked(peer: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),  # a stranger is not believed
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.5, 198.51.100.1"], "198.51.100.1"),  # what a stranger wrote
        ("127.0.0.1", ["203.0.113.5", "198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, unknown"], None),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ],
)
def test_only_a_named_web_server_says_who_asks(peer, forwarded, client):
    found = Proxies(["127.0.0.1", "10.0.0.0/8", "::1"]).client(asked(peer, *forwarded))
    assert found == (ip_address(client) if client else None)


def test_a_web_server_is_named_by_its_address():
    with pytest.raises(UsageError):
        Proxies(["localhost"])


def test_a_stamp_is_read_by_the_key_that_made_it_alone():
    signer = Signer(b"k" * 32)
    stamp = signer.stamp(1_700_000_000)
    assert signer.moment_of(stamp) == 1_700_000_000
    assert Signer(b"x" * 32).moment_of(stamp) is None
    for wrong in (
        "",
        ".",
        "1",
        stamp[:-1],
        stamp.replace("17", "18", 1),
        "９" + stamp,
        "9" * 5_000,
    ):
        assert signer.moment_of(wrong) is None
