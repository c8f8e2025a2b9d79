"""What mail servers say when they refuse; `refusals.csv` has a row for each."""

import logging
from itertools import pairwise

import pytest

from petition.inbox import Kind, bounce
from petition.inbox.classify import explain
from petition.mail_parser import read_mail
from petition.smtp.replies import PHRASES, Cause, cause_of
from tests.unit.inbox.test_classify import rows

ANSWER = b"From: a@kaz.example\nTo: b@campaign.example\nSubject: Re: x\n\nWe have read it.\n"
# Words of each cause, in the order in which the causes count.
WORDS = {
    "sender refused": (Cause.SENDER, "relay denied"),
    "sending limit": (Cause.SENDER, "too many messages from you this hour"),
    "trouble": (Cause.EXPIRED, "name service error for kaz.example: host not found, try again"),
    "refused by choice": (Cause.POLICY, "blocked by the recipient"),
    "mailbox full": (Cause.FULL, "mailbox full"),
    "too large": (Cause.TOO_LARGE, "message too large"),
    "moved": (Cause.MOVED, "no longer with the company"),
    "closed": (Cause.DISABLED, "account is disabled"),
    "unknown domain": (Cause.UNKNOWN_DOMAIN, "host not found"),
    "unknown user": (Cause.UNKNOWN_USER, "no such user"),
    "disabled": (Cause.DISABLED, "recipient suspended"),
    "loop": (Cause.LOOP, "too many hops"),
    "expired": (Cause.EXPIRED, "retry timeout exceeded"),
    "policy": (Cause.POLICY, "message content rejected"),
}


@pytest.mark.parametrize("row", rows("refusals.csv"), ids=lambda row: row["words"][:60])
def test_a_refusal_says_whether_there_is_such_an_address(row: dict[str, str]):
    cause, _ = cause_of("", row["words"])
    assert cause.is_permanent is (row["permanent"] == "yes"), cause


@pytest.mark.parametrize(("first", "second"), [*pairwise(WORDS)])
def test_the_first_heading_that_matches_decides(first: str, second: str):
    (cause, words), (other, more) = WORDS[first], WORDS[second]
    assert cause_of("", words)[0] is cause
    assert cause_of("", more)[0] is other
    assert cause_of("", f"{more}; {words}")[0] is cause


def test_the_headings_are_in_the_order_in_which_they_count():
    assert [name for name in PHRASES.sections if name in WORDS] == list(WORDS)


@pytest.mark.parametrize("name", WORDS)
def test_a_code_outweighs_vague_words_but_not_clear_ones(name: str):
    cause, words = WORDS[name]
    is_vague = list(WORDS).index(name) >= list(WORDS).index("loop")
    assert cause_of("5.2.2", words)[0] is (Cause.FULL if is_vague else cause)


def test_a_persons_answer_is_not_searched_for_a_servers_words(
    monkeypatch: pytest.MonkeyPatch,
):
    searched: list[str] = []
    monkeypatch.setattr(bounce, "_says_so", searched.append)
    assert explain(ANSWER).kind is Kind.ANSWER
    assert searched == []
    explain(ANSWER.replace(b"a@kaz.example", b"MAILER-DAEMON@mx.example").replace(b"Re: ", b""))
    assert searched != []


def test_a_detector_that_fails_stops_no_other_and_logs_nothing(
    caplog: pytest.LogCaptureFixture,
):
    mail = (
        b"From: MAILER-DAEMON@mx.example (\xd0\x90)\nX-Mailer: \xd0\nSubject: Delivery failure\n\n"
        b"Unable to deliver message to the following address(es).\n\n"
        b"<kim@kaz.example>:\nno\n"
    )
    with caplog.at_level(logging.INFO):
        assert bounce._failures(mail) is None
        assert bounce._known_to_flufl(read_mail(mail), frozenset()) == "kim@kaz.example"
    assert caplog.records == []


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.UNKNOWN_USER, "kim@kaz.example: user unknown (from letters@campaign.example)"),
        (Cause.UNKNOWN_USER, "<kim@kaz.example>: Recipient address rejected: User unknown"),
        (Cause.UNKNOWN_USER, "Unknown user: kim@kaz.example (asked by mx.campaign.example)"),
        (Cause.SENDER, "letters@campaign.example: user unknown (for kim@kaz.example)"),
        (Cause.SENDER, "<kim@kaz.example>: sender letters@campaign.example: user unknown"),
        (Cause.SENDER, "unknown user letters@campaign.example, not sent to kim@kaz.example"),
        (Cause.SENDER, "kim@kaz.example: no mail from campaign.example, user unknown"),
        (Cause.SENDER, "kim@kaz.example: user unknown, your IP is blacklisted, campaign.example"),
    ],
)
def test_an_unknown_user_is_the_one_named_beside_the_words(cause: Cause, words: str):
    said = f"550 5.1.1 {words}"
    assert cause_of("5.1.1", said, ["campaign.example", "mx.campaign.example"])[0] is cause


def report(fields: str, text: str) -> bytes:
    return (
        "From: MAILER-DAEMON@mx.town.example\nSubject: Undelivered Mail Returned to Sender\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        f"--b\n\n{text}\n--b\nContent-Type: message/delivery-status\n\n"
        f"Reporting-MTA: dns; mx.town.example\n\n{fields}\nAction: failed\n\n--b--\n"
    ).encode()


def notice(text: str, failed: str = "clerk@town.example") -> bytes:
    head = "From: MAILER-DAEMON@mx.town.example\nSubject: Mail delivery failed\n"
    return f"{head}X-Failed-Recipients: {failed}\n\n{text}\n".encode()


CLERK = "Final-Recipient: rfc822; clerk@town.example"
UNKNOWN = "Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown"


@pytest.mark.parametrize(
    "mail",
    [
        report(
            "Original-Recipient: rfc822; clerk@town.example\n"
            f"Final-Recipient: rfc822; a.member@town.example\n{UNKNOWN}",
            "<a.member@town.example> (expanded from <clerk@town.example>): user unknown",
        ),
        report(f"{CLERK}\n{UNKNOWN}", "a member (expanded from: <clerk@town.example>)"),
        notice("an undisclosed address\n  (generated from clerk@town.example)\n  User unknown"),
    ],
)
def test_a_member_of_the_same_domain_says_nothing_of_the_address_that_was_written_to(mail: bytes):
    found = explain(mail)
    assert (found.kind, found.recipient) == (Kind.BOUNCE, "clerk@town.example")
    assert found.permanent is False


SENDMAIL = """----- The following addresses had permanent fatal errors -----
<clerk@town.example>
    (reason: {said})

----- Transcript of session follows -----
>>> {asked}
<<< {said}
550 5.1.1 <clerk@town.example>... User unknown
"""


@pytest.mark.parametrize(
    ("asked", "said", "is_permanent"),
    [
        ("DATA", "550 5.7.1 We would rather not", False),
        ("RCPT To:<clerk@town.example>", "550 5.7.1 We would rather not", False),
        ("MAIL From:<answers@campaign.example>", "550 We would rather not", False),
        ("DATA", "550 We would rather not", False),
        ("RCPT To:<clerk@town.example>", "550 5.1.1 User unknown", True),
        ("DATA", "550 no such user", True),
    ],
)
def test_what_a_server_adds_to_another_ones_words_does_not_count(
    asked: str, said: str, is_permanent: bool
):
    text = SENDMAIL.format(asked=asked, said=said)
    fields = f"{CLERK}\nStatus: 5.1.1\nDiagnostic-Code: SMTP; {said}"
    assert explain(report(fields, text)).permanent is is_permanent
    assert explain(notice(text)).permanent is is_permanent


def test_a_gloss_before_a_policy_does_not_count():
    fields = f"{CLERK}\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.7.1 Content restriction"
    assert explain(report(fields, "<clerk@town.example>: User unknown")).permanent is False
