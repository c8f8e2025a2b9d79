"""What receivers can find out about the sender, and a visit to the mail server."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from petition.campaign.server import Server
from petition.campaign.settings import PaceSettings, Settings
from petition.checks.dns import (
    MOST_LOOKUPS,
    POLICIES,
    Dmarc,
    DnsTrouble,
    Known,
    Resolver,
    Spf,
    giver_of,
    is_spf,
    known_of,
    read_dmarc,
    read_spf,
    reverse_name,
)
from petition.credentials import Secret
from petition.errors import Level, Problem, ServerTrouble
from petition.smtp.session import Session
from petition.smtp.transaction import Offers

WELL = "Nothing to do"

_STRING = 255  # bytes in one string of a TXT record (RFC 1035 3.3)


def wrong(place: str, what: str, hint: str) -> Problem:
    """Something that keeps letters from arriving.

    Args:
        place: The name in DNS, or the server.
        what: What is wrong.
        hint: What to put where.
    """
    return Problem(place, None, what, hint)


def doubtful(place: str, what: str, hint: str) -> Problem:
    """Something that a person should look at; arguments are those of `wrong`."""
    return Problem(place, None, what, hint, Level.WARNING)


def well(place: str, what: str, hint: str = WELL) -> Problem:
    """Something that is as it should be, or that cannot be told; arguments are those of `wrong`."""
    return Problem(place, None, what, hint, Level.NOTE)


def publish(name: str, text: str) -> str:
    """What to publish in DNS, as a line of a zone file."""
    strings = (text[at : at + _STRING] for at in range(0, len(text), _STRING))
    quoted = " ".join(f'"{each}"' for each in strings)
    return f"Publish: {name}. TXT {quoted}"


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """Who sends, and through which server.

    Args:
        domain: The domain of the From address.
        answers: The domain of the Reply-To address.
        bounces: The domain of the return path.
        reports: Who should get DMARC reports, where nobody does.
        server: The server; None: the sandbox.
        key_name: The name in DNS of the key that signs here; "": nothing is signed here.
        key_domain: The domain that it signs for.
        key_record: What must be published there; None where the key is not known.
    """

    domain: str
    answers: str
    bounces: str
    reports: str
    server: Server | None = None
    key_name: str = ""
    key_domain: str = ""
    key_record: str | None = None

    @classmethod
    def of(
        cls, settings: Settings, server: Server | None, key_record: str | None
    ) -> "SenderDomain":
        """The sender of a campaign.

        Args:
            settings: Those of the campaign.
            server: The server; None: the sandbox.
            key_record: What [dkim] wants published; None where there is no key.
        """
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
    def known(self) -> Known | None:
        """The provider, if it is a known one."""
        return known_of(self.server.host) if self.server else None


def look_at_sender(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    """Everything that DNS says of the sender.

    Args:
        sender: The sender.
        resolver: Whom to ask.
    """
    if giver := giver_of(sender.domain):
        yield _given(sender, giver)
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


def _given(sender: SenderDomain, giver: Known) -> Problem:
    """What is to be said of an address that is under a provider's own domain."""
    if sender.server is None or sender.known == giver:
        what = f"{giver.title} looks after SPF, DKIM and DMARC of its own addresses"
        return well(sender.domain, what)
    what = f"the From address is {giver.title}'s, and its letters go through another server"
    hint = f"Send through {giver.title}, or write from a domain of your own"
    return wrong(sender.domain, f"{what}, which proves nothing", hint)


# ---- SPF


def _spf(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    domain, known = sender.bounces, sender.known
    if known and not known.spf:
        yield well(domain, f"SPF: {known.title} sends under a return path of its own")
        return
    spf = read_spf(resolver, domain)
    if not spf.records:
        yield doubtful(domain, "there is no SPF record", publish(domain, _new_spf(sender)))
    elif len(spf.records) > 1:
        what = f"there are {len(spf.records)} SPF records, and receivers heed neither of them"
        yield wrong(domain, what, f"Keep one. {publish(domain, _merged(spf.records))}")
    elif spf.faults:
        hint = "Mend it"
        if spf.lookups > MOST_LOOKUPS:
            hint = "Take out what you no longer send through, or write its addresses as ip4:"
        yield wrong(domain, f"the SPF record counts as broken: {'; '.join(spf.faults)}", hint)
    else:
        yield from _sound_spf(sender, spf, resolver)


def _sound_spf(sender: SenderDomain, spf: Spf, resolver: Resolver) -> Iterator[Problem]:
    domain, record = spf.domain, spf.records[0]
    if spf.ending == "+":
        hint = publish(domain, _with_ending(record, "~all"))
        yield wrong(domain, "SPF lets everybody send for the domain (+all)", hint)
    elif spf.unread:
        what = f'SPF has "{" ".join(spf.unread)}" behind "all", where receivers no longer look'
        hint = publish(domain, _with_ending(record, "-all" if spf.ending == "-" else "~all"))
        yield doubtful(domain, what, hint)
    elif spf.ending in {"?", ""}:
        hint = publish(domain, _with_ending(record, "~all"))
        yield doubtful(domain, "SPF does not say what becomes of mail from elsewhere", hint)
    if spf.unread:  # whom it lets in is seen when they are read
        return
    if missing := _not_covered(sender, spf, resolver):
        yield missing
    elif spf.ending in {"-", "~"}:
        cost = f"{spf.lookups} of {MOST_LOOKUPS} look-ups"
        yield well(domain, f'SPF is there, ends in "{spf.ending}all" and costs {cost}')


def _not_covered(sender: SenderDomain, spf: Spf, resolver: Resolver) -> Problem | None:
    """Whether the record leaves out whom the letters are sent through."""
    server, known = sender.server, sender.known
    if known:
        if known.spf in spf.includes:
            return None
        term = f"include:{known.spf}"
        hint = publish(spf.domain, _with_term(spf.records[0], term))
        return doubtful(spf.domain, f"SPF leaves out {known.title}", hint)
    if server is None or server.is_loopback:
        return None  # from which address the world sees this machine is not known here
    addresses = _addresses(server, resolver)
    if not addresses or any(map(spf.allows, addresses)):
        return None
    what = f"SPF names no address of {server.host}, which may send from others"
    term = f"a:{server.host}"
    hint = f"Ask the provider what to include; if nothing, {_lowered(spf, term)}"
    return doubtful(spf.domain, what, hint)


def _lowered(spf: Spf, term: str) -> str:
    text = publish(spf.domain, _with_term(spf.records[0], term))
    return text[0].lower() + text[1:]


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


def _merged(records: list[str]) -> str:
    """One record that lets in whom any of them lets in."""
    assert all(map(is_spf, records))  # noqa: S101 (`read_spf` keeps no others)
    terms = dict.fromkeys(one for record in records for one in _terms(record) if not _is_all(one))
    return " ".join(["v=spf1", *terms, "~all"])


# ---- DKIM


def _dkim(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    if sender.key_name:
        yield from _own_key(sender, resolver)
    elif (known := sender.known) and known.selectors:
        names = [f"{one}._domainkey.{sender.domain}" for one in known.selectors]
        found = next((name for name in names if resolver.txt(name)), None)
        if found:
            yield well(found, f"{known.title} has a DKIM key there, and signs with it")
        else:
            what = f"no DKIM key of {known.title} is published ({', '.join(names)})"
            hint = f"Turn DKIM on in {known.title}'s console and publish what it shows"
            yield doubtful(sender.domain, what, hint)
    else:
        what = "whether DKIM signs the letters cannot be told from here: the provider may"
        hint = f"Send a copy to yourself (--to-me) and look for dkim=pass and d={sender.domain}"
        yield well(sender.domain, what, hint)


def _own_key(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    name, wanted = sender.key_name, sender.key_record
    hint = publish(name, wanted) if wanted else "Publish the public half of the key there"
    records = [text for text in resolver.txt(name) if "p=" in text]
    if not records:
        yield wrong(name, "the DKIM key is not published, so no signature can be verified", hint)
        return
    if len(records) > 1:
        yield wrong(name, f"there are {len(records)} DKIM records", f"Keep one. {hint}")
        return
    tags = _tags(records[0])
    if not tags.get("p"):
        yield wrong(
            name, "the DKIM key is revoked (p= is empty)", f"Take another selector, or {hint}"
        )
    elif wanted and tags["p"] != _tags(wanted)["p"]:
        yield wrong(name, "another DKIM key is published than the one that signs", hint)
    elif tags.get("k", "rsa") != (_tags(wanted)["k"] if wanted else tags.get("k", "rsa")):
        yield wrong(name, "the DKIM record names another kind of key (k=)", hint)
    elif "sha256" not in tags.get("h", "sha256"):
        yield wrong(name, "the DKIM record does not allow sha256 (h=)", hint)
    elif "y" in tags.get("t", "").split(":"):
        what = "the DKIM record says that it is a test (t=y), and receivers may ignore it"
        yield doubtful(name, what, hint)
    elif not wanted:
        yield well(name, "a DKIM key is published; whether it is the one that signs is not known")
    else:
        yield well(name, "the DKIM key that signs is published")


def _tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): "".join(value.split()) for name, mark, value in pairs if mark}


# ---- DMARC


def _dmarc(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    place = f"_dmarc.{sender.domain}"
    dmarc = read_dmarc(resolver, sender.domain)
    new = publish(place, f"v=DMARC1; p=none; rua=mailto:{sender.reports}")
    if not dmarc.records:
        what = "there is no DMARC record, which large providers ask of those who write to many"
        yield doubtful(place, what, new)
        return
    place = f"_dmarc.{dmarc.domain}"
    if len(dmarc.records) > 1:
        what = f"there are {len(dmarc.records)} DMARC records, and receivers heed neither of them"
        yield wrong(place, what, f'Keep one. Publish: {place}. TXT "{dmarc.records[0]}"')
        return
    if not dmarc.policy:
        yield wrong(place, f"the DMARC record names no policy (p={' or p='.join(POLICIES)})", new)
        return
    yield from _alignment(sender, dmarc, place)
    if dmarc.policy == "none":
        hint = "Where its reports show your own mail alone, publish p=quarantine in place of p=none"
        yield well(place, "DMARC is there and only watches (p=none)", hint)
    else:
        yield well(place, f"DMARC is there, and what proves nothing is for p={dmarc.policy}")


def _alignment(sender: SenderDomain, dmarc: Dmarc, place: str) -> Iterator[Problem]:
    """Whether SPF or DKIM proves the very domain that readers see (RFC 7489 3.1)."""
    by_spf = dmarc.is_aligned(sender.bounces, sender.domain, "aspf")
    by_dkim = bool(sender.key_domain) and dmarc.is_aligned(
        sender.key_domain, sender.domain, "adkim"
    )
    by_return_path = sender.known is None or bool(sender.known.spf)
    by_spf = by_spf and by_return_path
    if by_spf and by_dkim:
        yield well(place, "both SPF and DKIM count for the From address")
    elif by_dkim:
        yield well(place, "DKIM counts for the From address; SPF does not, which one of them may")
    elif by_spf and not sender.key_domain:
        yield well(place, "SPF counts for the From address")
    elif sender.key_domain:
        what = f"DKIM proves {sender.key_domain}, which does not count for {sender.domain}"
        hint = f'Write domain = "{sender.domain}" in [dkim] and publish the key there'
        if by_spf:
            yield doubtful(place, f"{what}; SPF alone does, and not of forwarded mail", hint)
        else:
            tell = wrong if dmarc.policy != "none" else doubtful
            yield tell(place, f"{what}, and SPF proves {sender.bounces}, which does not", hint)
    else:
        proven = sender.bounces if by_return_path else f"a domain of {_title(sender)}'s own"
        what = f"SPF proves {proven}, which does not count for {sender.domain}"
        hint = "Have the provider sign with DKIM for that domain, or set up [dkim]"
        yield doubtful(place, what, hint)


def _title(sender: SenderDomain) -> str:
    return sender.known.title if sender.known else "the provider"


# ---- hosts


def _mx(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    roles: dict[str, list[str]] = {}
    for domain, what in (
        (sender.answers, "answers"),
        (sender.bounces, "bounces"),
        (sender.domain, "mail to the From address"),
    ):
        roles.setdefault(domain, []).append(what)
    for domain, kinds in roles.items():
        what = "mail" if len(kinds) == 3 else " and ".join(kinds)
        servers = resolver.mx(domain)
        if servers == ["."]:
            hint = "Write an address elsewhere, or publish an MX record for it"
            tell = wrong if domain == sender.answers else doubtful
            yield tell(domain, f"{what}: the domain takes no mail at all (MX .)", hint)
        elif servers:
            yield well(domain, f"{what}: the domain's mail server is {servers[0]}")
        elif resolver.addresses(domain):
            hint = f"Publish: {domain}. MX 10 {domain}."
            yield doubtful(domain, f"{what}: there is no MX record, only an address", hint)
        else:
            hint = f"Publish: {domain}. MX 10 mail.{domain}."
            tell = wrong if domain == sender.answers else doubtful
            yield tell(domain, f"{what}: the domain has no mail server (MX)", hint)


def _ptr(sender: SenderDomain, resolver: Resolver) -> Iterator[Problem]:
    server = sender.server
    if server is None or sender.known:
        return
    if server.is_loopback:
        what = "from which address this machine sends is not known here"
        hint = "See that it has a PTR record whose name leads back to it"
        yield well(server.name, what, hint)
        return
    for address in _addresses(server, resolver):
        names = resolver.names(address)
        name = next((one for one in names if address in resolver.addresses(one)), None)
        if name:
            yield well(server.host, f"{address} is {name}, and back (PTR)")
        else:
            what = f"{address} has no PTR record whose name leads back to it"
            hint = f"Ask whoever gives the address: {reverse_name(address)}. PTR {server.host}."
            yield doubtful(server.host, what, hint)


def _addresses(server: Server, resolver: Resolver) -> list[str]:
    if ":" in server.host or server.host.replace(".", "").isdigit():
        return [server.host]
    return resolver.addresses(server.host)


_YOUR_ACCOUNT = "See that your account has as much"


class Visit(NamedTuple):
    """What a visit showed.

    Args:
        found: What is to be said of it.
        is_refused: Whether the server could not be reached or refused the login.
    """

    found: list[Problem]
    is_refused: bool = False


async def visit(
    server: Server,
    secret: Secret | None,
    sizes: Mapping[str, int],
    *,
    hello_name: str,
    tls_context: ssl.SSLContext | None = None,
) -> Visit:
    """Log in at the server and leave again.

    Args:
        server: The server.
        secret: Its password or token.
        sizes: Of each letter, the bytes of its largest copy.
        hello_name: The name to give in EHLO.
        tls_context: Which certificates to trust; without it, those that the system trusts.
    """
    try:
        session = await Session.open(server, secret, hello_name=hello_name, tls_context=tls_context)
    except ServerTrouble as trouble:
        return Visit([wrong(server.name, trouble.what, trouble.hint)], is_refused=True)
    try:
        return Visit(list(_welcome(server, session, sizes)))
    finally:
        await session.close()


def _welcome(server: Server, session: Session, sizes: Mapping[str, int]) -> Iterator[Problem]:
    tls = f"over {session.tls}" if session.tls else "on this machine, without encryption,"
    login = f"takes the login of {server.username}" if server.username else "needs no login"
    yield well(server.name, f"the server answers {tls} and {login}")
    yield from _sizes(server, session.offers, sizes)


def _sizes(server: Server, offers: Offers, sizes: Mapping[str, int]) -> Iterator[Problem]:
    if not offers.size:
        return
    for letter, size in sizes.items():
        if size > offers.size:
            what = f"{letter} has {_size(size)}, and the server takes at most {_size(offers.size)}"
            hint = "Make its attachments smaller, or put them on the web and link to them"
            yield wrong(server.name, what, hint)
    if all(size <= offers.size for size in sizes.values()):
        yield well(server.name, f"the server takes letters of up to {_size(offers.size)}")


def _size(octets: int) -> str:
    return f"{octets / 1e6:.1f} MB" if octets >= 100_000 else f"{octets:,} bytes"


class Limits(NamedTuple):
    """What a provider takes.

    Args:
        title: What people call it.
        per_day: Recipients in 24 hours; None: it is not known.
        rate: As [pace] has it, "" where it is not known.
        per_minute: The same as a number of letters a minute; None likewise.
        connections: At once; None likewise.
    """

    title: str
    per_day: int | None = None
    rate: str = ""
    per_minute: float | None = None
    connections: int | None = None


def look_at_pace(
    place: str, limits: Limits, pace: PaceSettings, connections: int, recipients: Mapping[str, int]
) -> Iterator[Problem]:
    """What a provider's limits are, beside what the campaign will do.

    Args:
        place: How the server is called.
        limits: Those of its provider.
        pace: [pace] of petition.toml.
        connections: How many the campaign opens.
        recipients: How many each letter has.
    """
    title, cap = limits.title, limits.per_day
    if cap is not None:
        known = f"{title} takes {cap:,} recipients in 24 hours, as far as is known"
        if pace.per_day is None:
            hint = f"Write per_day = {cap} in [pace], or what your account has"
            yield doubtful(place, known, hint)
        elif pace.per_day > cap:
            yield well(place, f"{known}, and per_day is more", _YOUR_ACCOUNT)
        most, a_day = max(recipients.values(), default=0), pace.per_day or cap
        if most > a_day:
            what = f"{most:,} recipients take {-(-most // a_day)} days at {a_day:,} a day"
            yield well(place, what, "send --wait stays until they are through")
    if limits.per_minute is not None:
        known = f"{title} takes {limits.rate}, as far as is known"
        if pace.rate is None:
            yield doubtful(place, known, f'Write rate = "{limits.rate}" in [pace]')
        elif pace.rate.count * 60 / pace.rate.seconds > limits.per_minute:
            yield well(place, f"{known}, and rate is more", _YOUR_ACCOUNT)
    if limits.connections is not None and connections > limits.connections:
        what = f"{title} takes {limits.connections} connections at once"
        yield doubtful(place, what, f"Write connections = {limits.connections} in [smtp]")
