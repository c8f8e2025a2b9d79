"""What receivers see of the sender in DNS, a visit to the mail server, and its limits."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from petition.campaign.pace import PaceSettings
from petition.campaign.server import Server
from petition.campaign.settings import Settings
from petition.checks import dns
from petition.checks.dns import MOST_LOOKUPS, DnsTrouble, Resolver, Spf
from petition.credentials import Secret
from petition.errors import Level, Problem, ServerTrouble
from petition.smtp.session import Session
from petition.smtp.syntax import Offers

_STRING = 255  # bytes in one string of a TXT record (RFC 1035 3.3)


def wrong(place: str, what: str, hint: str) -> Problem:
    """What keeps letters from arriving; the place is a name in DNS or a server."""
    return Problem(place, None, what, hint)


def doubtful(place: str, what: str, hint: str) -> Problem:
    """What a person should look at."""
    return Problem(place, None, what, hint, Level.WARNING)


def well(place: str, what: str, hint: str = "Nothing to do") -> Problem:
    """What is as it should be, or cannot be checked."""
    return Problem(place, None, what, hint, Level.NOTE)


def _publish(name: str, text: str) -> str:
    """What to publish in DNS, as a line of a zone file."""
    strings = (text[at : at + _STRING] for at in range(0, len(text), _STRING))
    quoted = " ".join(f'"{each}"' for each in strings)
    return f"Publish: {name}. TXT {quoted}"


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """The sender, and the server that it sends through."""

    domain: str  # of the From address
    answers: str  # the domain of the Reply-To address
    bounces: str  # the domain of the return path
    reports: str  # the address for DMARC reports, if there is no record yet
    server: Server | None = None  # None: the sandbox
    key_name: str = ""  # in DNS, of the key that signs here; "": nothing is signed here
    key_domain: str = ""  # that it signs for
    key_record: str | None = None  # what must be published there; None: the key is not known

    @classmethod
    def of(
        cls, settings: Settings, server: Server | None, key_record: str | None
    ) -> "SenderDomain":
        """The sender of a campaign."""
        one, dkim = settings.sender, settings.dkim
        path = one.return_path or one.from_.addr_spec
        return cls(
            domain=one.from_.domain,
            answers=(one.reply_to or one.from_).domain,
            bounces=path.rpartition("@")[2],
            reports=(one.reply_to or one.from_).addr_spec,
            server=server,
            key_name=f"{dkim.selector}._domainkey.{dkim.domain}" if dkim else "",
            key_domain=dkim.domain if dkim else "",
            key_record=key_record,
        )

    @property
    def known(self) -> dns.MailService | None:
        """The provider, if it is a known one."""
        return dns.known_of(self.server.host) if self.server else None


def look_at_sender(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    """Everything that DNS says about the sender."""
    if giver := dns.giver_of(sender.domain):
        if sender.server is None or sender.known == giver:
            what = f"{giver.title} manages SPF, DKIM and DMARC of its own addresses"
            yield well(sender.domain, what)
        else:
            what = f"the From address is from {giver.title}, but its letters go through another"
            hint = f"Send through {giver.title}, or write from a domain of your own"
            yield wrong(sender.domain, f"{what} server, which proves nothing", hint)
        return
    looks: tuple[tuple[str, Callable[[SenderDomain, Resolver], Iterator[Problem]]], ...] = (
        (sender.bounces, _spf),
        (sender.key_name or sender.domain, _dkim),
        (sender.domain, _dmarc),
        (sender.domain, _mx),
        (sender.server.host if sender.server else "", _ptr),
    )
    for place, look in looks:
        try:
            yield from look(sender, resolver)
        except DnsTrouble as trouble:
            yield doubtful(place, trouble.what, trouble.hint)


# ---- SPF


def _spf(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    domain, known = sender.bounces, sender.known
    if known and not known.spf:
        yield well(domain, f"SPF: {known.title} uses a return path of its own")
        return
    spf = dns.read_spf(resolver, domain)
    if not spf.records:
        yield doubtful(domain, "there is no SPF record", _publish(domain, _new_spf(sender)))
    elif len(spf.records) > 1:
        what = f"there are {len(spf.records)} SPF records, so receivers ignore them all"
        # One record that allows whatever any of them allows.
        terms = [one for record in spf.records for one in _terms(record) if not _is_all(one)]
        merged = " ".join(["v=spf1", *dict.fromkeys(terms), "~all"])
        yield wrong(domain, what, f"Keep one. {_publish(domain, merged)}")
    elif spf.faults:
        hint = "Correct it"
        if spf.lookups > MOST_LOOKUPS:
            hint = "Delete what you no longer send through, or write its addresses as ip4:"
        yield wrong(domain, f"the SPF record is not valid: {'; '.join(spf.faults)}", hint)
    else:
        yield from _sound_spf(sender, spf, resolver)


def _sound_spf(sender: SenderDomain, spf: Spf, resolver: Resolver) -> Iterator[Problem]:
    domain, record = spf.domain, spf.records[0]
    if spf.ending == "+":
        hint = _publish(domain, _with_ending(record, "~all"))
        yield wrong(domain, "SPF lets anybody send for the domain (+all)", hint)
    elif spf.unread:
        what = f'SPF has "{" ".join(spf.unread)}" after "all", where receivers ignore it'
        hint = _publish(domain, _with_ending(record, "-all" if spf.ending == "-" else "~all"))
        yield doubtful(domain, what, hint)
    elif spf.ending in {"?", ""}:
        hint = _publish(domain, _with_ending(record, "~all"))
        yield doubtful(domain, "SPF does not say what to do with mail from elsewhere", hint)
    if spf.unread:  # look again when it is corrected
        return
    if spf.allows_nobody:
        what = f"SPF says that nobody may send for the domain ({record})"
        terms = " ".join(_terms(_new_spf(sender))[:-1])
        yield doubtful(domain, what, _publish(domain, _with_term(record, terms)))
    elif missing := _not_covered(sender, spf, resolver):
        yield missing
    elif spf.ending in {"-", "~"}:
        cost = f"{spf.lookups} of {MOST_LOOKUPS} look-ups"
        yield well(domain, f'SPF is there, ends in "{spf.ending}all" and costs {cost}')


def _not_covered(sender: SenderDomain, spf: Spf, resolver: Resolver) -> Problem | None:
    """The warning that SPF does not allow the server that the letters are sent through."""
    server, known = sender.server, sender.known
    if known:
        if known.spf in spf.includes:
            return None
        hint = _publish(spf.domain, _with_term(spf.records[0], f"include:{known.spf}"))
        return doubtful(spf.domain, f"SPF does not include {known.title}", hint)
    if server is None or server.is_loopback:
        return None  # this machine does not know the address that others see
    addresses = _addresses(server, resolver)
    if not addresses or any(map(spf.allows, addresses)):
        return None
    what = f"SPF has no address of {server.host}, though that may send from others"
    record = _publish(spf.domain, _with_term(spf.records[0], f"a:{server.host}"))
    return doubtful(spf.domain, what, f"Ask the provider what to include. If nothing: {record}")


def _new_spf(sender: SenderDomain) -> str:
    server, known = sender.server, sender.known
    if known:
        return f"v=spf1 include:{known.spf} ~all"
    if server is None or server.is_loopback:
        return "v=spf1 mx ip4:THE.ADDRESS.YOU.SENDFROM ~all"
    return f"v=spf1 a:{server.host} ~all"


def _terms(record: str) -> list[str]:
    return [word for word in record.split(" ")[1:] if word]


def _is_all(term: str) -> bool:
    return term.lower().lstrip("+-~?") == "all"


def _with_ending(record: str, ending: str) -> str:
    return " ".join(["v=spf1", *(one for one in _terms(record) if not _is_all(one)), ending])


def _with_term(record: str, term: str) -> str:
    return " ".join(["v=spf1", term, *_terms(record)])


# ---- DKIM


def _dkim(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    if sender.key_name:
        yield from _own_key(sender, resolver)
    elif (known := sender.known) and known.selectors:
        names = [f"{one}._domainkey.{sender.domain}" for one in known.selectors]
        found = next((name for name in names if any(map(_is_key, resolver.txt(name)))), None)
        if found:
            yield well(found, f"{known.title} signs with the DKIM key there")
        else:
            what = f"no DKIM key of {known.title} is published ({', '.join(names)})"
            hint = f"Turn on DKIM in the console of {known.title} and publish what it shows"
            yield doubtful(sender.domain, what, hint)
    else:
        what = "whether the provider signs the letters (DKIM) is not known"
        hint = f"Send a copy to yourself (--to-me) and look for dkim=pass and d={sender.domain}"
        yield well(sender.domain, what, hint)


def _own_key(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    name, wanted = sender.key_name, sender.key_record
    hint = _publish(name, wanted) if wanted else "Publish the public half of the key there"
    records = [text for text in resolver.txt(name) if "p=" in text]
    tags = _tags(records[0]) if records else {}
    if not records:
        yield wrong(name, "the DKIM key is not published, so no signature can be verified", hint)
    elif len(records) > 1:
        yield wrong(name, f"there are {len(records)} DKIM records", f"Keep one. {hint}")
    elif fault := _key_fault(records[0]):
        yield wrong(name, f"receivers ignore the DKIM record: {fault}", hint)
    elif not tags.get("p"):
        hint = f"Use another selector. {hint}"
        yield wrong(name, "the DKIM key is revoked (p= is empty)", hint)
    elif wanted and tags["p"] != _tags(wanted)["p"]:
        yield wrong(name, "the published DKIM key is not the one that signs", hint)
    elif tags.get("k", "rsa") != (_tags(wanted)["k"] if wanted else tags.get("k", "rsa")):
        yield wrong(name, "the DKIM record is for another type of key (k=)", hint)
    elif "sha256" not in tags.get("h", "sha256"):
        yield wrong(name, "the DKIM record does not allow sha256 (h=)", hint)
    elif "y" in tags.get("t", "").split(":"):
        what = "the DKIM record says that it is a test (t=y), and receivers may ignore it"
        yield doubtful(name, what, hint)
    elif not wanted:
        what = "a DKIM key is published; it is not known whether it is the one that signs"
        yield well(name, what)
    else:
        yield well(name, "the DKIM key that signs is published")


def _is_key(record: str) -> bool:
    return bool(_tags(record).get("p")) and not _key_fault(record)


def _key_fault(record: str) -> str:
    """Why receivers ignore a key record (RFC 6376 3.6.1); "" if they do not."""
    tags = _tags(record)
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1"):
        return "if it has v=, it must begin with v=DKIM1"
    if not {"*", "email"} & set(tags.get("s", "*").split(":")):
        return f"it is not for mail (s={tags['s']})"
    return ""


def _tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): "".join(value.split()) for name, mark, value in pairs if mark}


# ---- DMARC


def _dmarc(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    place = f"_dmarc.{sender.domain}"
    dmarc = dns.read_dmarc(resolver, sender.domain)
    if not dmarc.records:
        what = "there is no DMARC record, which large providers require of bulk senders"
        hint = _publish(place, f"v=DMARC1; p=none; rua=mailto:{sender.reports}")
        if any("dmarc" in text.lower() for text in resolver.txt(place)):
            what = 'the DMARC record does not begin with "v=DMARC1;", so receivers ignore it'
            hint = "Correct its beginning"
        yield doubtful(place, what, hint)
        return
    place = f"_dmarc.{dmarc.domain}"
    if len(dmarc.records) > 1:
        what = f"there are {len(dmarc.records)} DMARC records, so receivers ignore them all"
        yield wrong(place, what, f'Keep one. Publish: {place}. TXT "{dmarc.records[0]}"')
        return
    if not dmarc.published:
        where = "sp= or np=" if dmarc.tags.get("p", "").lower() in dns.POLICIES else "p="
        what = f"the DMARC record has no policy in {where} ({', '.join(dns.POLICIES)})"
        tell = doubtful if dmarc.policy else wrong
        effect = "which counts as p=none" if dmarc.policy else "so receivers ignore it"
        yield tell(place, f"{what}, {effect}", _publish(place, _with_policy(dmarc.tags)))
    if dmarc.policy:
        yield from _alignment(sender, dmarc, place, resolver)
    if dmarc.published != dmarc.policy and dmarc.published:
        what = f"DMARC is there as a test (t=y): p={dmarc.published} counts as p={dmarc.policy}"
        yield well(place, what, "When its reports show only your own mail, remove t=y")
    elif dmarc.published == "none":
        hint = "When its reports show only your own mail, publish p=quarantine instead of p=none"
        yield well(place, "DMARC is there, and only reports (p=none)", hint)
    elif dmarc.published:
        yield well(place, f"DMARC is there, with p={dmarc.policy} for mail that proves nothing")


def _with_policy(tags: Mapping[str, str]) -> str:
    """A record with a valid policy in place of those that are not."""
    policies, rest = ("p", "sp", "np"), {"v": "DMARC1", "p": "none"}
    rest |= {k: v for k, v in tags.items() if k not in policies or v.lower() in dns.POLICIES}
    return "; ".join(f"{key}={value}" for key, value in rest.items())


def _alignment(
    sender: SenderDomain, dmarc: dns.Dmarc, place: str, resolver: Resolver
) -> Iterator[Problem]:
    """Whether SPF or DKIM is aligned with the domain that readers see (RFC 9989 4.4)."""
    uses_our_path = sender.known is None or bool(sender.known.spf)
    by_spf = uses_our_path and dmarc.is_aligned(resolver, sender.bounces, sender.domain, "aspf")
    key = sender.key_domain
    by_dkim = bool(key) and dmarc.is_aligned(resolver, key, sender.domain, "adkim")
    if by_spf and by_dkim:
        yield well(place, "both SPF and DKIM are aligned with the From address")
    elif by_dkim:
        yield well(place, "DKIM is aligned with the From address; SPF is not, but one is enough")
    elif by_spf and not key:
        yield well(place, "SPF is aligned with the From address")
    elif key:
        what = f"DKIM proves {key}, which is not aligned with {sender.domain}"
        hint = f'Write domain = "{sender.domain}" in [dkim] and publish the key there'
        if by_spf:
            yield doubtful(place, f"{what}; SPF is, but not for forwarded mail", hint)
        else:
            tell = wrong if dmarc.policy != "none" else doubtful
            yield tell(place, f"{what}; neither is {sender.bounces}, which SPF proves", hint)
    else:
        proven = sender.bounces
        if sender.known and not uses_our_path:
            proven = f"a domain of {sender.known.title}"
        what = f"SPF proves {proven}, which is not aligned with {sender.domain}"
        hint = "Let the provider sign with DKIM for that domain, or set up [dkim]"
        yield doubtful(place, what, hint)


# ---- hosts


def _mx(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    roles: dict[str, list[str]] = {}
    roles.setdefault(sender.answers, []).append("answers")
    roles.setdefault(sender.bounces, []).append("bounces")
    roles.setdefault(sender.domain, []).append("mail to the From address")
    for domain, kinds in roles.items():
        what = "mail" if len(kinds) == 3 else " and ".join(kinds)
        servers = resolver.mx(domain)
        tell = wrong if domain == sender.answers else doubtful
        if servers == ["."]:
            hint = "Use an address elsewhere, or publish an MX record for it"
            yield tell(domain, f"{what}: the domain accepts no mail (MX .)", hint)
        elif servers:
            yield well(domain, f"{what}: the domain's mail server is {servers[0]}")
        elif resolver.addresses(domain):
            hint = f"Publish: {domain}. MX 10 {domain}."
            yield doubtful(domain, f"{what}: there is no MX record, only an address", hint)
        else:
            hint = f"Publish: {domain}. MX 10 mail.{domain}."
            yield tell(domain, f"{what}: the domain has no mail server (MX)", hint)


def _ptr(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    server = sender.server
    if server is None or sender.known:
        return
    if server.is_loopback:
        what = "the address that this machine sends from is not known"
        hint = "Make sure that it has a PTR record whose name leads back to it"
        yield well(server.name, what, hint)
        return
    for address in _addresses(server, resolver):
        names = resolver.names(address)
        name = next((one for one in names if address in resolver.addresses(one)), None)
        if name:
            yield well(server.host, f"{address} has a matching PTR record ({name})")
        else:
            what = f"{address} has no PTR record whose name leads back to it"
            hint = f"Ask its network provider for: {dns.reverse_name(address)}. PTR {server.host}."
            yield doubtful(server.host, what, hint)


def _addresses(server: Server, resolver: Resolver) -> list[str]:
    if ":" in server.host or server.host.replace(".", "").isdigit():
        return [server.host]
    return resolver.addresses(server.host)


_YOUR_ACCOUNT = "Make sure that your account allows as much"


class Visit(NamedTuple):
    """What a visit to the mail server showed."""

    found: list[Problem]
    is_refused: bool = False  # it could not be reached, or refused the login


async def visit(
    server: Server,
    secret: Secret | None,
    sizes: Mapping[str, int],
    *,
    hello_name: str,
    tls_context: ssl.SSLContext | None = None,
) -> Visit:
    """Log in to the server and leave again; `sizes` has the bytes of each letter's largest copy."""
    try:
        session = await Session.open(server, secret, hello_name=hello_name, tls_context=tls_context)
    except ServerTrouble as trouble:
        what = trouble.what.removeprefix(f"{server.name} ")
        return Visit([wrong(server.name, what, trouble.hint)], is_refused=True)
    try:
        tls = f"over {session.tls}" if session.tls else "on this machine, without encryption,"
        login = f"accepts the login of {server.username}" if server.username else "needs no login"
        found = [well(server.name, f"the server answers {tls} and {login}")]
        return Visit([*found, *_sizes(server, session.offers, sizes)])
    finally:
        await session.close()


def _sizes(server: Server, offers: Offers, sizes: Mapping[str, int]) -> Iterator[Problem]:
    if not offers.size:
        return
    for letter, size in sizes.items():
        if size > offers.size:
            what = f"{letter} has {_size(size)}, but the server accepts at most"
            hint = "Make its attachments smaller, or put them on the web and link to them"
            yield wrong(server.name, f"{what} {_size(offers.size)}", hint)
    if all(size <= offers.size for size in sizes.values()):
        yield well(server.name, f"the server accepts letters of up to {_size(offers.size)}")


def _size(octets: int) -> str:
    return f"{octets / 1e6:.1f} MB" if octets >= 100_000 else f"{octets:,} bytes"


class Limits(NamedTuple):
    """What a provider accepts, as far as it is known."""

    title: str  # of the provider
    pace: PaceSettings
    connections: int | None  # at once


def look_at_pace(
    place: str, limits: Limits, pace: PaceSettings, connections: int, recipients: Mapping[str, int]
) -> Iterator[Problem]:
    """A provider's limits, compared with what the campaign will do.

    `place` is the server's name; `recipients` says how many each letter has.
    """
    title, cap, rate = limits.title, limits.pace.per_day, limits.pace.rate
    if cap is not None:
        known = f"{title} accepts {cap:,} recipients in 24 hours, as far as we know"
        if pace.per_day is None:
            hint = f"Write per_day = {cap} in [pace], or what your account allows"
            yield doubtful(place, known, hint)
        elif pace.per_day > cap:
            yield well(place, f"{known}, and per_day is more", _YOUR_ACCOUNT)
        most, a_day = max(recipients.values(), default=0), pace.per_day or cap
        if most > a_day:
            what = f"{most:,} recipients take {-(-most // a_day)} days at {a_day:,} a day"
            yield well(place, what, "send --wait goes on until all are sent")
    if rate is not None:
        known = f"{title} accepts {rate}, as far as we know"
        if pace.rate is None:
            yield doubtful(place, known, f'Write rate = "{rate}" in [pace]')
        elif pace.rate.interval < rate.interval:
            yield well(place, f"{known}, and rate is more", _YOUR_ACCOUNT)
    if limits.connections is not None and connections > limits.connections:
        what = f"{title} accepts {limits.connections} connections at once"
        yield doubtful(place, what, f"Write connections = {limits.connections} in [smtp]")
