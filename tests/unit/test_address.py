import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition import address
from petition.address import (
    Mailbox,
    addr_spec_in,
    all_folded,
    clean_name,
    folded,
    is_of,
    is_plain,
    is_reserved,
    masked,
    parse_address,
    parse_mailbox,
)
from petition.errors import AddressRefused


@pytest.mark.parametrize(
    ("text", "addr_spec"),
    [
        ("kim@kaz.example", "kim@kaz.example"),
        (" Kim.Lee+x@KAZ.Example\n", "Kim.Lee+x@kaz.example"),
        ("kim@КАЗ.example", "kim@xn--80aoh.example"),
        ("kim@xn--80aoh.EXAMPLE", "kim@xn--80aoh.example"),
        ("ким@каз.example", "ким@xn--80aoh.example"),
        ("a@b.test", "a@b.test"),
    ],
)
def test_an_address_is_what_stands_on_the_wire(text, addr_spec):
    mailbox = parse_address(text)
    assert mailbox.addr_spec == addr_spec
    assert mailbox.needs_smtputf8 is not addr_spec.isascii()
    assert f"{mailbox.local_part}@{mailbox.domain}" == addr_spec


@pytest.mark.parametrize(
    "text",
    ["", "kim", "@kaz.example", "kim@", "kim@@kaz.example", "kim lee@kaz.example", "kim@kaz",
     "kim@kaz.example, lee@kaz.example", "<kim@kaz.example>", "kim@kaz.example\nBcc: x@y.example",
     "kim@[127.0.0.1]", "kim@kaz..example", "kim\0@kaz.example", "x" * 255 + "@kaz.example"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(AddressRefused):
        parse_address(text)


@pytest.mark.parametrize("gap", [" ", "\u00a0", "  "])
def test_an_obscured_address_is_known_for_what_it_is(gap):
    for parse in (parse_address, parse_mailbox):
        with pytest.raises(AddressRefused, match="what a web page shows"):
            parse(f"[email{gap}protected]")


def test_an_empty_address_is_called_empty():
    with pytest.raises(AddressRefused, match="the address is empty"):
        parse_address("  ")


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("kim@kaz.example", Mailbox("", "kim@kaz.example")),
        ("Kim Lee <kim@kaz.example>", Mailbox("Kim Lee", "kim@kaz.example")),
        ('"Lee, Kim" <kim@KAZ.example>', Mailbox("Lee, Kim", "kim@kaz.example")),
        ('"Ким Ли" <kim@каз.example>', Mailbox("Ким Ли", "kim@xn--80aoh.example")),
    ],
)
def test_a_mailbox_is_a_name_and_an_address(text, mailbox):
    assert parse_mailbox(text) == mailbox


@pytest.mark.parametrize(
    "text", ["Kim <kim>", "Kim <kim@kaz.example", "Lee, Kim <k@a.example>", ""]
)
def test_what_is_no_mailbox_is_refused(text):
    with pytest.raises(AddressRefused):
        parse_mailbox(text)


@pytest.mark.parametrize(
    ("domain", "reserved"),
    [
        ("example", True),
        ("kaz.example", True),
        ("example.org", True),
        ("mail.EXAMPLE.com", True),
        ("a.test", True),
        ("myexample.org", False),
        ("example.org.uk", False),
        ("test.org", False),
    ],
)
def test_reserved_domains_are_those_of_the_rfc(domain, reserved):
    assert is_reserved(domain) is reserved
    assert Mailbox("", f"kim@{domain}").is_reserved is reserved


@pytest.mark.parametrize("char", ["\n", "\r", "\0", "\x1b", "\x9b", "\u202e", "\u2028", "\u2066"])
def test_a_name_holds_nothing_unseen(char):
    with pytest.raises(AddressRefused, match=f"U\\+{ord(char):04X}"):
        clean_name(f"Kim{char}Lee")
    with pytest.raises(AddressRefused):
        parse_address("kim@kaz.example", f"Kim{char}Lee")


def test_a_name_stays_as_it_is():
    assert clean_name("  Қайрат O'Neill-Şen, Dr.  ") == "Қайрат O'Neill-Şen, Dr."
    assert str(Mailbox("Kim", "kim@kaz.example")) == "Kim <kim@kaz.example>"
    assert str(Mailbox("", "kim@kaz.example")) == "kim@kaz.example"


@given(st.text() | st.text('ab.@<>", \u0416\n\\[]', max_size=20))
def test_every_text_is_an_address_or_refused(text):
    for parse in (parse_address, parse_mailbox):
        try:
            mailbox = parse(text)
        except AddressRefused:
            continue
        assert parse_address(mailbox.addr_spec).addr_spec == mailbox.addr_spec
        assert mailbox.domain.isascii()
        assert not set(mailbox.addr_spec) & set("\r\n\0")


@pytest.mark.parametrize(
    ("text", "name", "addr_spec"),
    [
        ("Ким Ли <kim@каз.example>", "Ким Ли", "kim@xn--80aa0bq.example"),
        ("Zoë Ö <a@b.example>", "Zoë Ö", "a@b.example"),
        ('"Lee, Kim" <kim@KAZ.example>', "Lee, Kim", "kim@kaz.example"),
        ('"a \\"q\\" b" <a@b.example>', 'a "q" b', "a@b.example"),
        ("<a@b.example>", "", "a@b.example"),
    ],
)
def test_a_mailbox_has_a_name_of_any_script(text, name, addr_spec):
    mailbox = parse_mailbox(text)
    assert mailbox.display_name == name
    assert mailbox.addr_spec.rpartition("@")[0] == addr_spec.rpartition("@")[0]


def test_a_local_part_has_64_octets_at_most():
    assert parse_address("a" * 64 + "@b.example")
    with pytest.raises(AddressRefused):
        parse_address("a" * 65 + "@b.example")


PIECES = st.sampled_from(
    ["a", "Ann", "ann", ".", "-", "--", "+", "_", "@", "x", "X", "xn--", "xn--80aoh", "КАЗ", "каз",
     "ö", "o\u0308", "ß", "\u3002", "\uff21", "\u212b", ".example", ".org", ".test", "ARPA", " ",
     "\n", '"', "'", "0", "a" * 21]
)  # fmt: skip


@given(st.lists(PIECES, max_size=8).map("".join) | st.tuples(st.text(), st.text()).map("@".join))
def test_an_address_has_the_key_of_the_text_that_it_was_read_from(text):
    found = addr_spec_in(text)
    assert found is None or folded(found) == folded(text)
    if is_plain(text):
        assert found == text


@given(
    st.builds(
        "{}@{}".format,
        st.from_regex(address._PLAIN_LOCAL, fullmatch=True),
        st.from_regex(address._PLAIN_DOMAIN, fullmatch=True),
    )
    | st.text("abzAZ019._+-@", min_size=3, max_size=30)
    | st.from_regex(r"[a-z0-9._-]{1,30}@[a-z0-9.-]{1,60}\.[a-z]{2,8}", fullmatch=True)
)
def test_what_the_plain_pattern_takes_the_validator_takes_as_it_is(text):
    local_part, _, domain = text.rpartition("@")
    if address._PLAIN_LOCAL.fullmatch(local_part) and address._PLAIN_DOMAIN.fullmatch(domain):
        assert address._addr_spec(text) == address._validated(text)


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("Ann@KEYCE.example", False),
        ("ANN@кеңсе.example", True),
        ("ann@xn--e1aan3a16b.example", True),
        ("ann+more@кеңсе.example", False),
        ("", False),
        ("ann@", False),
    ],
)
def test_an_address_is_known_again_however_its_domain_is_written(text: str, is_same: bool):
    assert is_of(text, "ann@xn--e1aan3a16b.example") is is_same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@x.example", "ann@X.EXAMPLE"),
        ("ann@пример.example", "ANN@xn--e1afmkfd.example"),
        ("ann@ПРИМЕР.example", "ann@пример.example"),
        ("jose\u0301@x.example", "JOS\u00c9@x.example"),  # NFD and NFC
        ("stra\u00dfe@x.example", "STRASSE@x.example"),
        ("\u0390@x.example", "\u03aa\u0301@x.example"),  # folds to three characters
        ("АННА@x.example", "анна@x.example"),
    ],
)
def test_two_spellings_of_one_address_have_one_key(one: str, other: str):
    assert folded(one) == folded(other)
    assert folded(folded(one)) == folded(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann.reed@x.example", "annreed@x.example"),
        ("ann+water@x.example", "ann@x.example"),
        ("ann@x.example", "ann@y.example"),
        ("ann@пример.example", "ann@примеры.example"),
    ],
)
def test_no_rules_are_made_of_dots_and_plus_signs(one: str, other: str):
    assert folded(one) != folded(other)


@pytest.mark.parametrize("text", ["", "Ann", "не адрес", "@", "a@б..в", "ä@", "a@\ud800"])
def test_a_text_that_is_no_address_has_a_key_too(text: str):
    assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ann <ann.lee@x.example>", "Ann <a…@x.example>"),
        ("https://y.example/?for=ann%40x.example&b=1", "https://y.example/?for=a…%40x.example&b=1"),
        ('"odd one"@y.example', '"…@y.example'),
        ('"Ann" wrote', '"Ann" wrote'),
        ("our@own.example", "our@own.example"),
    ],
)
def test_a_masked_address_cannot_be_written_to(text: str, shown: str):
    assert masked(text, ["our@own.example"]) == shown


@given(st.lists(st.text(max_size=5) | st.sampled_from([" Ann@X.example", "b@КАЗ.example\n"])))
def test_many_addresses_are_folded_as_one_is(texts):
    assert all_folded(texts) == [*map(folded, texts)]
