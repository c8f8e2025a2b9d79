"""What DNS says of a sender, asked of a name server on loopback with a zone of the tests' own."""

import pytest

from petition.campaign.server import Server
from petition.checks.dns import DnsTrouble, Resolver, read_dmarc, read_spf
from petition.checks.sender import SenderDomain, look_at_sender
from petition.errors import Level, UsageError
from tests.servers.zone import SERVFAIL, SILENT, name_server

KEY = "v=DKIM1; k=rsa; p=" + "QUJD" * 100
SERVER = Server("smtp.host.example", 587)
SOUND = {
    "water.example": {
        "TXT": ["v=spf1 include:_spf.host.example -all", "unrelated=1"],
        "MX": ["20 mx2.water.example.", "10 mx.water.example."],
    },
    "_spf.host.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all"]},
    "_dmarc.water.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:a@water.example"]},
    "s1._domainkey.water.example": {"TXT": [KEY]},
    "smtp.host.example": {"A": ["192.0.2.25"]},
    "25.2.0.192.in-addr.arpa": {"PTR": ["smtp.host.example."]},
}


def sender(**other) -> SenderDomain:
    return SenderDomain(
        **{
            "domain": "water.example",
            "answers": "water.example",
            "bounces": "water.example",
            "reports": "answers@water.example",
            "server": SERVER,
            "key_name": "s1._domainkey.water.example",
            "key_domain": "water.example",
            "key_record": KEY,
        }
        | other
    )


def without_key(**other) -> SenderDomain:
    return sender(key_name="", key_domain="", key_record=None, **other)


def looked(one: SenderDomain, **changes) -> list[tuple[Level, str]]:
    zone = {name: kinds for name, kinds in (SOUND | changes).items() if kinds is not None}
    with name_server(zone) as server:
        found = look_at_sender(one, Resolver(server.place, seconds=1))
        return [(problem.level, str(problem)) for problem in found]


def troubles(one: SenderDomain, **changes) -> list[tuple[Level, str]]:
    return [(level, said) for level, said in looked(one, **changes) if level is not Level.NOTE]


def txt(*texts: str) -> dict[str, list[str]]:
    return {"TXT": list(texts), "MX": ["10 mx.water.example."]}


def test_a_sound_sender_has_nothing_to_do():
    assert troubles(sender()) == []
    said = "\n".join(said for _, said in looked(sender()))
    assert 'ends in "-all" and costs 1 of 10 look-ups' in said
    assert "the DKIM key that signs is published" in said
    assert "both SPF and DKIM are aligned" in said
    assert "mail: the domain's mail server is mx.water.example" in said
    assert "192.0.2.25 has a matching PTR record (smtp.host.example)" in said


# ---- SPF


def test_without_spf_it_says_what_to_publish():
    ((level, said),) = troubles(sender(), **{"water.example": txt("unrelated=1")})
    assert level is Level.WARNING
    assert said == (
        "water.example: there is no SPF record."
        ' Publish: water.example. TXT "v=spf1 a:smtp.host.example ~all".'
    )


def test_two_spf_records_are_merged_into_one():
    two = txt("v=spf1 include:_spf.host.example -all", "v=spf1 mx ~all")
    ((level, said),) = troubles(sender(), **{"water.example": two})
    assert level is Level.ERROR
    assert '"v=spf1 include:_spf.host.example mx ~all"' in said


def chain(length: int) -> dict[str, object]:
    return {
        f"i{at}.example": {"TXT": [f"v=spf1 include:i{at + 1}.example -all"]}
        for at in range(length)
    } | {f"i{length}.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}}


@pytest.mark.parametrize(("length", "is_broken"), [(9, False), (10, True)])
def test_more_than_ten_look_ups_are_an_error(length, is_broken):
    zone = {"water.example": txt("v=spf1 include:i0.example -all")} | chain(length)
    found = troubles(sender(), **zone)
    assert bool(found) is is_broken
    if is_broken:
        assert found[0][0] is Level.ERROR
        assert "11 look-ups" in found[0][1]


def test_an_endless_record_is_not_read_to_its_end():
    many = {f"m{at}.example": {"TXT": [" ".join(["v=spf1"] + [
        f"include:m{next_}.example" for next_ in range(at + 1, 60)
    ])]} for at in range(60)}  # fmt: skip
    with name_server(SOUND | many | {"water.example": txt("v=spf1 include:m0.example -all")}) as at:
        spf = read_spf(Resolver(at.place), "water.example")
        assert len(at.asked) < 100
    assert "more than 40 look-ups" in spf.faults[-1]


@pytest.mark.parametrize(
    ("record", "more", "said"),
    [
        ("include:loop.example -all", "v=spf1 include:water.example", "includes itself"),
        ("include:loop.example -all", "v=spf1 include:loop.example", "includes itself"),
        ("redirect=loop.example", "v=spf1 redirect=water.example", "includes itself"),
        ("include:nobody.example -all", "", "nobody.example, which has no SPF record"),
        ("include:loop.example -all", "no spf", "loop.example, which has no SPF record"),
        ("ip4:192.0.2.999 -all", "", '"ip4:192.0.2.999" of water.example is not'),
        ("inlcude:a.example -all", "", '"inlcude:a.example" of water.example is not'),
        ("a:x1.example a:x2.example a:x3.example -all", "", "3 of its look-ups find nothing"),
    ],
)
def test_what_makes_a_record_invalid_is_named(record, more, said):
    zone = {"water.example": txt(f"v=spf1 {record}"), "loop.example": {"TXT": [more or "x"]}}
    ((level, what),) = troubles(sender(), **zone)
    assert level is Level.ERROR
    assert "not valid" in what
    assert said in what


LETS_IN = "+all"
SAYS_NOTHING = "mail from elsewhere"


@pytest.mark.parametrize(
    ("own", "all_between", "ending", "level", "said"),
    [
        ("", "", " +all", Level.ERROR, LETS_IN),
        ("", "", " all", Level.ERROR, LETS_IN),
        ("", "", " ?all", Level.WARNING, SAYS_NOTHING),
        ("", "", "", Level.WARNING, SAYS_NOTHING),
        ("ip4:192.0.2.1 ", "+all ", "", Level.ERROR, LETS_IN),
        ("ip4:192.0.2.1 ", "?all ", "", Level.WARNING, 'after "all"'),
    ],
)
def test_an_ending_that_protects_nothing_is_reported(own, all_between, ending, level, said):
    record = f"v=spf1 {own}{all_between}include:_spf.host.example{ending}"
    ((found, what),) = troubles(sender(), **{"water.example": txt(record)})
    assert found is level
    assert said in what
    assert f'"v=spf1 {own}include:_spf.host.example ~all"' in what


def test_terms_after_all_are_reported_with_a_correct_record():
    record = "v=spf1 mx -all include:_spf.host.example a:smtp.host.example"
    zone = {"water.example": txt(record), "mx.water.example": {"A": ["192.0.2.1"]}}
    [(level, said), *_] = troubles(sender(), **zone)
    assert level is Level.WARNING
    assert '"include:_spf.host.example a:smtp.host.example" after "all"' in said
    assert '"v=spf1 mx include:_spf.host.example a:smtp.host.example -all"' in said
    with name_server(zone) as server:
        found = read_spf(Resolver(server.place, seconds=1), "water.example")
    assert found.includes == set()
    assert not found.allows("192.0.2.25")


@pytest.mark.parametrize("record", ["-all", "~all", "-ip4:192.0.2.25 -all", "redirect=no.example"])
@pytest.mark.parametrize("server", [SERVER, Server("127.0.0.1", 2525), None])
def test_a_record_that_allows_nobody_is_reported(record, server):
    zone = {"water.example": txt(f"v=spf1 {record}"), "no.example": {"TXT": ["v=spf1 -all"]}}
    ((level, said),) = troubles(sender(server=server), **zone)
    assert level is Level.WARNING
    assert "nobody may send" in said


@pytest.mark.parametrize("record", ["exists:%{i}.x.example -all", "ptr ~all", "redirect=%{d2}.x"])
def test_a_record_that_depends_on_the_letter_may_allow_somebody(record):
    zone = {"water.example": txt(f"v=spf1 {record}")}
    found = troubles(sender(server=None), **zone)
    assert not any("nobody" in said for _, said in found)


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "is_broken"), [(11, 0, True), (0, 11, True), (10, 10, False)]
)
def test_a_mail_server_with_more_than_ten_addresses_is_an_error(ipv4, ipv6, is_broken):
    mx = {"A": [f"192.0.2.{at + 20}" for at in range(ipv4)],
          "AAAA": [f"2001:db8::{at + 1}" for at in range(ipv6)]}  # fmt: skip
    found = troubles(
        sender(server=None), **{"water.example": txt("v=spf1 mx -all"), "mx.water.example": mx}
    )
    assert [level for level, _ in found] == [Level.ERROR] * is_broken
    assert all("mx.water.example, which has 11 addresses" in said for _, said in found)


def test_the_ending_of_a_redirect_counts_and_that_of_an_include_does_not():
    zone = {"water.example": txt("v=spf1 redirect=_spf.host.example")}
    assert troubles(sender(), **zone) == []


def test_a_missing_provider_is_named_with_the_whole_new_record():
    known = without_key(server=Server("smtp.gmail.com", 587))
    zone = {"google._domainkey.water.example": {"TXT": ["v=DKIM1; p=QUJD"]}}
    ((level, said),) = troubles(known, **zone)
    assert level is Level.WARNING
    assert "Gmail" in said
    assert '"v=spf1 include:_spf.google.com include:_spf.host.example -all"' in said


def test_a_server_that_spf_does_not_cover_is_reported():
    zone = {"smtp.host.example": {"A": ["198.51.100.7"]},
            "7.100.51.198.in-addr.arpa": {"PTR": ["smtp.host.example."]}}  # fmt: skip
    ((level, said),) = troubles(sender(), **zone)
    assert level is Level.WARNING
    assert "no address of smtp.host.example" in said


def test_a_record_that_needs_tcp_is_read():
    long = "v=spf1 " + " ".join(f"ip4:192.0.2.{number}" for number in range(60)) + " -all"
    assert troubles(sender(), **{"water.example": txt(long)}) == []


# ---- DKIM


def test_a_missing_selector_is_an_error_and_its_record_is_split_as_in_a_zone_file():
    ((level, said),) = troubles(sender(), **{"s1._domainkey.water.example": None})
    assert level is Level.ERROR
    assert "Publish: s1._domainkey.water.example. TXT" in said
    strings = said.split(" TXT ")[1].removesuffix(".").strip('"').split('" "')
    assert "".join(strings) == KEY
    assert max(map(len, strings)) == 255


def test_a_key_that_a_cname_leads_to_is_found():
    zone = {
        "s1._domainkey.water.example": {"CNAME": ["k.host.example."]},
        "k.host.example": {"TXT": [KEY]},
    }
    assert troubles(sender(), **zone) == []


@pytest.mark.parametrize(
    ("record", "level", "said"),
    [
        (KEY.replace("QUJD", "QUJE"), Level.ERROR, "not the one that signs"),
        ("v=DKIM1; k=rsa; p=", Level.ERROR, "is revoked"),
        (KEY.replace("k=rsa", "k=ed25519"), Level.ERROR, "(k=)"),
        (KEY.replace("k=rsa", "k=rsa; h=sha1"), Level.ERROR, "does not allow sha256"),
        (KEY.replace("k=rsa", "k=rsa; t=y"), Level.WARNING, "it is a test"),
        (KEY.replace("k=rsa", "k=rsa; s=tlsrpt"), Level.ERROR, "not for mail"),
        (KEY.replace("DKIM1", "DKIM2"), Level.ERROR, "v=DKIM1"),
        (KEY.replace("v=DKIM1; k=rsa", "k=rsa; v=DKIM1"), Level.ERROR, "v=DKIM1"),
    ],
)
def test_a_wrong_key_record_is_reported(record, level, said):
    ((found, what),) = troubles(sender(), **{"s1._domainkey.water.example": txt(record)})
    assert found is level
    assert said in what


@pytest.mark.parametrize("record", ["k=rsa", "k=rsa; s=email:x", "v=DKIM1; s=*", "v=DKIM1;k=rsa"])
def test_a_sound_key_record_is_no_trouble(record):
    key = txt(f"{record}; {KEY.rsplit('; ', maxsplit=1)[-1]}")
    assert troubles(sender(), **{"s1._domainkey.water.example": key}) == []


@pytest.mark.parametrize(
    ("record", "is_there"),
    [("v=DKIM1; p=QUJD", True), ("v=DKIM1; p=", False), ("v=DKIM1; s=tlsrpt; p=QUJD", False),
     ("unrelated=1", False)],
)  # fmt: skip
def test_only_a_usable_key_of_a_provider_counts(record, is_there):
    known = without_key(server=Server("smtp.gmail.com", 587))
    zone = {"google._domainkey.water.example": {"TXT": [record]},
            "water.example": txt("v=spf1 include:_spf.google.com -all"),
            "_spf.google.com": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}}  # fmt: skip
    assert ("no DKIM key of Gmail" in str(troubles(known, **zone))) is not is_there


def test_an_unknown_signer_is_a_note():
    found = [said for _, said in looked(without_key())]
    assert any("look for dkim=pass and d=water.example" in said for said in found)


# ---- DMARC


@pytest.mark.parametrize(
    ("records", "level", "said"),
    [
        ([], Level.WARNING, '"v=DMARC1; p=none; rua=mailto:answers@water.example"'),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], Level.ERROR, "there are 2 DMARC records"),
        (["v=DMARC1; rua=mailto:a@b.example"], Level.WARNING, '"v=DMARC1; p=none; rua='),
        (["v=DMARC1; sp=reject"], Level.WARNING, "counts as p=none"),
        (["v=DMARC1; p=bogus; rua=mailto:a@b.example"], Level.WARNING, "counts as p=none"),
        (["v=DMARC1; p=bogus"], Level.ERROR, "has no policy"),
        (["v=DMARC1; p=reject; sp=bogus"], Level.ERROR, '"v=DMARC1; p=reject"'),
        (["v=dmarc1; p=none"], Level.WARNING, "does not begin with"),
        (["v=DMARC1 p=none"], Level.WARNING, "does not begin with"),
        (["p=none; v=DMARC1"], Level.WARNING, "does not begin with"),
    ],
)
def test_an_invalid_dmarc_record_is_reported(records, level, said):
    ((found, what),) = troubles(sender(), **{"_dmarc.water.example": {"TXT": records}})
    assert found is level
    assert said in what


def test_a_policy_that_only_reports_is_a_note_with_the_next_step():
    found = looked(sender(), **{"_dmarc.water.example": {"TXT": ["v=DMARC1; p=none"]}})
    (note,) = [said for level, said in found if "p=none" in said and level is Level.NOTE]
    assert "p=quarantine" in note


def dmarc_zone(**records: str) -> dict[str, dict[str, list[str]]]:
    return {f"_dmarc.{name}": {"TXT": [f"v=DMARC1; {record}"]} for name, record in records.items()}


DEEP = "a.b.c.d.e.f.g.h.i.j.k.example.com"
BANKS = {"bank.example": "p=none; psd=y", "giant.bank.example": "p=reject"}


# The examples of RFC 9989 4.10.2 and B.4, and siblings.
@pytest.mark.parametrize(
    ("records", "author", "authenticated", "is_aligned"),
    [
        (dict.fromkeys(("example.com", "signing.example.com"), "p=none"), "example.com",
         "signing.example.com", True),
        (dict.fromkeys(("example.com", "signing.example.com"), "p=none"), DEEP,
         "signing.example.com", True),
        ({"example.com": "p=none"}, DEEP, "example.com", True),
        (BANKS, "giant.bank.example", "mail.giant.bank.example", True),
        (BANKS, "giant.bank.example", "mail.mega.bank.example", False),
        (dict.fromkeys(("mail.example.com", "example.com"), "p=none"), "a.mail.example.com",
         "b.example.com", True),
        ({"mail.example.com": "p=none; psd=n", "example.com": "p=none"}, "a.mail.example.com",
         "mail.example.com", True),
        ({"mail.example.com": "p=none; psd=n", "example.com": "p=none"}, "a.mail.example.com",
         "example.com", False),
        ({"com": "p=none; psd=y"}, "a.mail.example.com", "example.com", True),
        ({"com": "p=none; psd=y"}, "a.mail.example.com", "other.com", False),
        (dict.fromkeys(("news.org.example", "org.example"), "p=none"), "news.org.example",
         "bounce.org.example", True),
        ({"news.org.example": "p=none"}, "news.org.example", "bounce.org.example", False),
        ({"org.example": "p=none; aspf=s"}, "news.org.example", "org.example", False),
    ],
)  # fmt: skip
def test_what_is_aligned_is_found_by_the_tree_walk(records, author, authenticated, is_aligned):
    with name_server(dmarc_zone(**records)) as server:
        resolver = Resolver(server.place)
        dmarc = read_dmarc(resolver, author)
        assert dmarc.is_aligned(resolver, authenticated, author, "aspf") is is_aligned


def test_a_long_name_costs_eight_queries():
    with name_server({}) as server:
        read_dmarc(Resolver(server.place), DEEP)
        parents = [DEEP, *(DEEP.split(".", at)[at] for at in range(6, 13))]
        assert server.asked == [f"_dmarc.{name} TXT" for name in parents]


@pytest.mark.parametrize(
    ("records", "found_at", "policies"),
    [
        ({"a.b.org.example": "p=reject", "org.example": "p=none"}, "a.b.org.example",
         ("reject", "reject")),
        ({"b.org.example": "p=reject", "org.example": "p=none"}, "org.example", ("none", "none")),
        ({"org.example": "p=reject; sp=quarantine; np=none"}, "org.example",
         ("quarantine", "quarantine")),
        ({"org.example": "p=none; sp=reject; t=y"}, "org.example", ("reject", "quarantine")),
        ({"org.example": "p=none; t=y"}, "org.example", ("none", "none")),
        ({"example": "p=reject; psd=y"}, "example", ("reject", "reject")),
        ({"example": "p=reject; psd=y", "org.example": "p=none"}, "org.example", ("none", "none")),
        ({"example": "p=reject; psd=y", "b.org.example": "p=none"}, "example",
         ("reject", "reject")),
    ],
)  # fmt: skip
def test_the_policy_is_that_of_the_domain_its_organisation_or_its_suffix(
    records, found_at, policies
):
    zone = dmarc_zone(**records) | {"a.b.org.example": {"MX": ["10 mx.org.example."]}}
    with name_server(zone) as server:
        dmarc = read_dmarc(Resolver(server.place), "a.b.org.example")
        assert (dmarc.domain, (dmarc.published, dmarc.policy)) == (found_at, policies)


def test_a_domain_that_does_not_exist_has_a_policy_of_its_own():
    with name_server(dmarc_zone(**{"org.example": "p=none; sp=quarantine; np=reject"})) as server:
        assert read_dmarc(Resolver(server.place), "no.org.example").policy == "reject"


def test_a_policy_in_test_counts_less():
    zone = {"_dmarc.water.example": {"TXT": ["v=DMARC1; p=quarantine; t=y"]}}
    assert any("p=quarantine counts as p=none" in said for _, said in looked(sender(), **zone))
    one = sender(key_domain="elsewhere.example", bounces="elsewhere.example")
    zone["elsewhere.example"] = txt("v=spf1 ip4:192.0.2.25 -all")
    assert [level for level, _ in troubles(one, **zone)] == [Level.WARNING]


def test_the_record_of_a_domain_above_counts():
    below = sender(domain="news.water.example", answers="water.example")
    found = looked(below, **{"news.water.example": {"MX": ["10 mx.water.example."]}})
    assert all(level is Level.NOTE for level, _ in found)
    assert any(said.startswith("_dmarc.water.example: DMARC is there") for _, said in found)


@pytest.mark.parametrize(
    ("policy", "bounces", "level"),
    [
        ("p=reject", "other.example", Level.ERROR),
        ("p=none", "other.example", Level.WARNING),
        ("p=reject", "water.example", Level.WARNING),
    ],
)
def test_a_key_that_is_not_aligned_is_reported(policy, bounces, level):
    one = sender(key_domain="elsewhere.example", bounces=bounces)
    zone = {"_dmarc.water.example": {"TXT": [f"v=DMARC1; {policy}"]},
            "other.example": txt("v=spf1 ip4:192.0.2.25 -all")}  # fmt: skip
    ((found, said),) = troubles(one, **zone)
    assert found is level
    assert "DKIM proves elsewhere.example" in said


def test_strict_alignment_requires_the_same_domain():
    one = sender(key_domain="mail.water.example", bounces="bounce.water.example")
    zone = {"bounce.water.example": txt("v=spf1 ip4:192.0.2.25 -all")}
    assert troubles(one, **zone) == []
    strict = {"_dmarc.water.example": {"TXT": ["v=DMARC1; p=reject; adkim=s; aspf=s"]}}
    ((level, _),) = troubles(one, **zone, **strict)
    assert level is Level.ERROR


def test_a_providers_own_return_path_is_not_aligned():
    one = without_key(server=Server("email-smtp.eu-west-1.amazonaws.com", 587))
    ((level, said),) = troubles(one)
    assert level is Level.WARNING
    assert "SPF proves a domain of Amazon SES" in said


@pytest.mark.parametrize(
    ("host", "level"), [("smtp.gmail.com", Level.NOTE), ("smtp.host.example", Level.ERROR)]
)
def test_a_freemail_address_must_be_sent_through_its_provider(host, level):
    one = without_key(domain="gmail.com", bounces="gmail.com", server=Server(host, 587))
    ((found, said),) = looked(one)
    assert found is level
    assert said.startswith("gmail.com: ")


# ---- hosts


@pytest.mark.parametrize(
    ("kinds", "level", "said"),
    [
        ({"MX": ["0 ."]}, Level.ERROR, "accepts no mail"),
        ({}, Level.ERROR, "has no mail server (MX). Publish: y.example. MX 10 mail.y.example."),
        ({"A": ["192.0.2.1"]}, Level.WARNING, "there is no MX record, only an address"),
    ],
)
def test_a_reply_domain_without_mail_is_reported(kinds, level, said):
    ((found, what),) = troubles(sender(answers="y.example"), **{"y.example": kinds})
    assert found is level
    assert said in what


@pytest.mark.parametrize("names", [[], ["other.example."]])
def test_an_address_without_a_matching_ptr_is_reported(names):
    ((level, said),) = troubles(sender(), **{"25.2.0.192.in-addr.arpa": {"PTR": names}})
    assert level is Level.WARNING
    assert "25.2.0.192.in-addr.arpa. PTR smtp.host.example" in said


# ---- DNS itself


def test_a_name_server_error_is_not_a_missing_record():
    ((level, said),) = troubles(sender(), **{"_dmarc.water.example": SERVFAIL})
    assert level is Level.WARNING
    assert "report an error" in said


def test_a_silent_name_server_is_asked_twice():
    zone = dict.fromkeys(SOUND, SILENT)
    with name_server(zone) as server:
        found = list(look_at_sender(sender(), Resolver(server.place, seconds=0.3)))
        names = {question.split(" ")[0] for question in server.asked}
    assert len(names) == 2
    assert all(problem.level is Level.WARNING for problem in found)
    assert "DNS does not answer" in found[-1].what


def test_a_machine_without_a_name_server_says_so():
    resolver = Resolver("192.0.2.53")
    resolver._resolver.nameservers = []
    with pytest.raises(DnsTrouble, match="this machine knows no name server"):
        resolver.txt("water.example")


def test_invalid_names_are_reported():
    with name_server(SOUND) as server:
        resolver = Resolver(server.place)
        for name in ("a..b", "x" * 64 + ".example", ".".join(["a" * 60] * 6)):
            with pytest.raises(DnsTrouble, match="Correct the name"):
                resolver.txt(name)


@pytest.mark.parametrize("place", ["name.example", "1.2.3.4:99999", "x:1", "1.2.3"])
def test_a_resolver_that_is_not_an_address_is_refused(place):
    with pytest.raises(UsageError, match="PETITION_RESOLVER"):
        Resolver(place)
