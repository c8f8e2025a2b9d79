"""The rules from reply to verdict, and what is kept of a reply's text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.smtp.replies import (
    TEXT_LIMIT,
    Loss,
    Outcome,
    Reply,
    Scope,
    Stage,
    judge,
    judge_dot,
    lost,
    unsendable,
    withheld,
)

OPENING = [Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH]
LETTER = [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY]


def reply(code, text=b"text"):
    return Reply.of(code, [text])


@pytest.mark.parametrize(
    ("lines", "enhanced", "text"),
    [
        ([b"5.1.1 No such user"], "5.1.1", "No such user"),
        ([b"5.1.1"], "5.1.1", ""),
        ([b"5.1.1 one", b"5.1.1 two", b"5.1.1 three"], "5.1.1", "one two three"),
        ([b"5.7.509 one", b"two"], "5.7.509", "one two"),
        ([b"4.1.1 of another class"], None, "4.1.1 of another class"),
        ([b"2.0.0 fine"], None, "2.0.0 fine"),
        ([b"5.1.1.1 no code"], None, "5.1.1.1 no code"),
        ([b"5.1.1: no blank"], None, "5.1.1: no blank"),
        ([b"5.1234.1 too long"], None, "5.1234.1 too long"),
        ([b"see 5.1.1"], None, "see 5.1.1"),
        (["5.١.1 other digits".encode()], None, "5.١.1 other digits"),
        ([], None, ""),
        ([b"", b"", b"last"], None, "last"),
    ],
)
def test_enhanced_status_codes(lines, enhanced, text):
    made = Reply.of(550, lines)
    assert (made.enhanced, made.text) == (enhanced, text)


def test_a_reply_shows_itself_as_it_came():
    assert str(reply(550, b"5.1.1 No such user")) == "550 5.1.1 No such user"
    assert str(reply(250, b"")) == "250"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (
            b"\x1b]52;c;ZXZpbA==\x07",
            "\N{REPLACEMENT CHARACTER}]52;c;ZXZpbA==\N{REPLACEMENT CHARACTER}",
        ),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        (b"a\x00b\rc\x1fd", "a\ufffdb\ufffdc\ufffdd"),
        ("a\u202eb\u2066c\u200bd\x9b".encode(), "a\ufffdb\ufffdc\ufffdd\ufffd"),
        (b"a\tb \xc2\xa0", "a b"),
        ("қабылданды".encode(), "қабылданды"),
    ],
)
def test_nothing_unseen_is_kept(sent, shown):
    assert reply(250, sent).text == shown


@given(st.integers(100, 599), st.lists(st.binary(max_size=2000), max_size=8))
def test_a_reply_is_printable_and_short_whatever_comes(code, lines):
    made = Reply.of(code, lines)
    assert made.text.isprintable()
    assert len(made.text) <= TEXT_LIMIT


def test_a_large_reply_is_cut():
    made = Reply.of(550, [b"5.1.1 " + b"x" * 60_000] * 17)
    assert made.text == "x" * TEXT_LIMIT


@given(st.sampled_from(Stage), st.integers(-(10**6), 10**6), st.binary(max_size=40))
def test_judge_never_raises_and_only_a_2xx_after_the_dot_is_sent(stage, code, text):
    verdict = judge(stage, Reply.of(code, [text]))
    is_sent = verdict is not None and verdict.outcome is Outcome.SENT
    assert is_sent == (stage is Stage.DOT and 200 <= code <= 299)
    if verdict is not None and verdict.outcome is Outcome.UNCERTAIN:
        assert stage is Stage.DOT
        assert not 400 <= code <= 599


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.GREETING, 220),
        (Stage.EHLO, 250),
        (Stage.STARTTLS, 220),
        (Stage.AUTH, 235),
        (Stage.AUTH, 334),
        (Stage.MAIL, 250),
        (Stage.RCPT, 250),
        (Stage.RCPT, 251),
        (Stage.RCPT, 252),
        (Stage.DATA, 354),
    ],
)
def test_what_is_hoped_for_decides_nothing(stage, code):
    assert judge(stage, reply(code)) is None


@pytest.mark.parametrize("stage", OPENING)
@pytest.mark.parametrize("code", [421, 450, 454, 500, 535, 554, 199, 300])
def test_trouble_while_opening_is_the_server_s(stage, code):
    verdict = judge(stage, reply(code))
    assert (verdict.outcome, verdict.scope) == (Outcome.RELEASED, Scope.SERVER)


@pytest.mark.parametrize(
    ("stage", "scope"),
    [
        (Stage.MAIL, Scope.MESSAGE),
        (Stage.RCPT, Scope.RECIPIENT),
        (Stage.DATA, Scope.MESSAGE),
        (Stage.BODY, Scope.MESSAGE),
        (Stage.DOT, Scope.MESSAGE),
    ],
)
def test_4xx_defers_and_5xx_fails(stage, scope):
    for code in (400, 450, 451, 452, 499):
        verdict = judge(stage, reply(code))
        assert (verdict.outcome, verdict.scope) == (Outcome.DEFERRED, scope)
    for code in (500, 550, 552, 554, 599):
        verdict = judge(stage, reply(code))
        assert (verdict.outcome, verdict.scope) == (Outcome.FAILED, scope)


@pytest.mark.parametrize("stage", LETTER)
def test_421_before_the_dot_charges_no_letter(stage):
    verdict = judge(stage, reply(421, b"4.7.0 Closing"))
    assert (verdict.outcome, verdict.scope) == (Outcome.RELEASED, Scope.SERVER)
    assert verdict.ends_connection


def test_421_after_the_dot_defers_and_ends_the_connection():
    verdict = judge_dot(reply(421))
    assert verdict.outcome is Outcome.DEFERRED
    assert verdict.ends_connection


@pytest.mark.parametrize("stage", [*LETTER, Stage.DOT])
@pytest.mark.parametrize(
    ("code", "text"),
    [(550, b"5.4.5 Daily user sending limit exceeded"), (530, b"5.7.0 Authentication required")],
)
def test_what_every_letter_would_meet_is_the_server_s(stage, code, text):
    verdict = judge(stage, reply(code, text))
    assert (verdict.outcome, verdict.scope) == (Outcome.RELEASED, Scope.SERVER)


@pytest.mark.parametrize("text", [b"4.4.5 Congestion", b"4.7.28 Unusual rate of mail"])
def test_a_passing_limit_is_a_deferral(text):
    assert judge(Stage.RCPT, reply(450, text)).outcome is Outcome.DEFERRED


def test_not_so_fast_before_any_recipient_is_the_server_s():
    verdict = judge(Stage.MAIL, reply(450, b"4.7.1 Error: too much mail from 192.0.2.1"))
    assert (verdict.outcome, verdict.scope) == (Outcome.RELEASED, Scope.SERVER)
    assert judge(Stage.MAIL, reply(451, b"4.3.0 Try later")).outcome is Outcome.DEFERRED
    assert judge(Stage.MAIL, reply(550, b"5.7.1 Not you")).outcome is Outcome.FAILED


@pytest.mark.parametrize("loss", Loss)
def test_only_after_the_dot_is_a_loss_uncertain(loss):
    for stage in Stage:
        verdict = lost(stage, loss)
        expected = Outcome.UNCERTAIN if stage is Stage.DOT else Outcome.RELEASED
        assert (verdict.outcome, verdict.scope) == (expected, Scope.SERVER)
        assert verdict.ends_connection
        assert verdict.reply is None


def test_a_verdict_says_what_happened():
    assert lost(Stage.DOT).reason == "the connection was lost after the final dot"
    assert lost(Stage.MAIL, Loss.SILENT).reason == f"{Loss.SILENT} at MAIL FROM"
    refused = judge(Stage.RCPT, reply(550, b"5.1.1 Nobody"))
    assert str(refused) == "the server refused the recipient: 550 5.1.1 Nobody"
    assert str(withheld("the letter was held back")) == "the letter was held back"


def test_what_stays_on_our_side_leaves_the_connection():
    assert not withheld("held back").ends_connection
    verdict = unsendable(Scope.MESSAGE, "too large")
    assert verdict.outcome is Outcome.FAILED
    assert not verdict.ends_connection
