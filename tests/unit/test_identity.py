import hmac

from hypothesis import given
from hypothesis import strategies as st

from petition.identity import (
    KEY_BYTES,
    Identity,
    Signer,
    chance_message_id,
    chance_unsubscribe_token,
    new_key,
    selector_of,
)

KIM = Identity("water", "open-letter", 1, "kim@kaz.example")
SIGNER = Signer(bytes(range(KEY_BYTES)))


def test_the_marks_of_a_copy_never_change():
    """P4: whoever changes these values changes the Message-ID of every letter that was sent."""
    message_id = "<05810167e9a4b4ec7be69579789a2365@x.example>"
    assert SIGNER.message_id(KIM, "x.example") == message_id
    assert SIGNER.message_id_and_boundary(KIM, "x.example") == (
        message_id,
        "=_e3c8317efae785609d8be947",
    )
    assert SIGNER.return_path_token(KIM) == "adaac81e4da6dfca9c1af8a1"
    assert SIGNER.unsubscribe_token(KIM) == "1215a1d5efa7ce60e21096f1dfcac76e"


def test_each_use_has_a_mark_of_its_own():
    marks = {
        SIGNER.message_id(KIM, "x")[1:25],
        SIGNER.message_id_and_boundary(KIM, "x")[1][2:],
        SIGNER.return_path_token(KIM),
        SIGNER.unsubscribe_token(KIM)[:24],
    }
    assert len(marks) == 4


def test_an_unsubscribe_token_proves_one_copy_alone():
    token = SIGNER.unsubscribe_token(KIM)
    assert SIGNER.proves(token, KIM)
    assert not SIGNER.proves(token, KIM._replace(revision=2))
    assert not SIGNER.proves(selector_of(token) + "0" * 16, KIM)
    assert not SIGNER.proves("tökén", KIM)
    assert not Signer(new_key()).proves(token, KIM)
    assert len(chance_unsubscribe_token()) == len(token)


def test_another_key_gives_other_marks():
    assert Signer(new_key()).message_id(KIM, "x") != SIGNER.message_id(KIM, "x")
    assert chance_message_id("x") != chance_message_id("x")


identities = st.builds(
    Identity,
    st.text(max_size=4),
    st.text(max_size=4),
    st.integers(1, 20),
    st.text(max_size=4),
)


@given(identities, identities)
def test_two_identities_share_no_mark(one, another):
    assert (one == another) == (SIGNER.message_id(one, "x") == SIGNER.message_id(another, "x"))


@given(identities, st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_a_mark_is_the_hmac_of_the_library(identity, key):
    """The short way beside the long one: each part of an identity stands behind its length."""

    def mark(label):
        parts = (label, identity.campaign, identity.letter, str(identity.revision))
        encoded = [part.encode() for part in (*parts, identity.mailbox)]
        text = b"".join(len(part).to_bytes(4) + part for part in encoded)
        return hmac.digest(key, text, "sha256").hex()

    signer, both = Signer(key), mark("message-id")
    names = (f"<{both[:32]}@x.example>", f"=_{both[32:56]}")
    assert signer.message_id_and_boundary(identity, "x.example") == names
    assert signer.return_path_token(identity) == mark("return-path")[:24]
    assert signer.unsubscribe_token(identity) == mark("unsubscribe")[:32]
