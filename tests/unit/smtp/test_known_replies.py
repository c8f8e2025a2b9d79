"""Real replies of providers, as their servers give them, and the advice that goes with each."""

import re

import pytest

from petition.campaign.server import Server
from petition.smtp.login import refused
from petition.smtp.replies import TOO_FAST, Reply, Stage, advice, known_replies

GMAIL = "smtp.gmail.com"
MICROSOFT = "smtp.office365.com"
SES = "email-smtp.eu-west-1.amazonaws.com"
BAD_GMAIL = [
    "5.7.8 Username and Password not accepted. For more information, go to",
    "5.7.8  https://support.google.com/mail/?p=BadCredentials a1-20020a.50 - gsmtp",
]
APP_GMAIL = [
    "5.7.9 Application-specific password required. For more information, go to",
    "5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor a1-20020a.50 - gsmtp",
]
UNSUCCESSFUL = "5.7.139 Authentication unsuccessful, "

REPLIES = [
    (GMAIL, 535, BAD_GMAIL, "app password"),
    ("relay.example.org", 535, BAD_GMAIL, "app password"),
    (GMAIL, 534, APP_GMAIL, "2-Step Verification"),
    (GMAIL, 550, ["5.4.5 Daily user sending limit exceeded."], "per_day"),
    (
        MICROSOFT,
        535,
        [UNSUCCESSFUL + "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms"],
        "administrator",
    ),
    (
        MICROSOFT,
        535,
        [UNSUCCESSFUL + "SmtpClientAuthentication is disabled for the Mailbox."],
        "Manage email apps",
    ),
    (
        "smtp-mail.outlook.com",
        535,
        [UNSUCCESSFUL + "basic authentication is disabled. [PN0PR01CA0024.PROD.OUTLOOK.COM]"],
        'auth = "oauth"',
    ),
    (
        MICROSOFT,
        535,
        [UNSUCCESSFUL + "user is locked by your organization's security defaults policy."],
        "security defaults",
    ),
    (
        MICROSOFT,
        535,
        [UNSUCCESSFUL + "the request did not meet the criteria to be authenticated successfully."],
        "conditional access",
    ),
    (MICROSOFT, 535, [UNSUCCESSFUL + "the user credentials were incorrect."], "full address"),
    (MICROSOFT, 535, ["5.7.3 Authentication unsuccessful [A.outlook.com]"], "own password"),
    (MICROSOFT, 550, ["5.7.57 Client not authenticated to send mail."], "Authenticated SMTP"),
    ("smtp.mail.yahoo.com", 535, ["5.7.0 (#AUTH005) Too many bad auth attempts."], "app password"),
    ("smtp.mail.yahoo.com", 535, ["5.7.0 (#MBR1212) Incorrect username or password."], "Yahoo"),
    (SES, 535, ["Authentication Credentials Invalid"], "not an AWS access key"),
    (
        SES,
        554,
        ["Message rejected: Email address is not verified. The following identities failed: a@b"],
        "SES sandbox",
    ),
    (SES, 454, ["Throttling failure: Maximum sending rate exceeded."], "[pace]"),
    (SES, 454, ["Throttling failure: Daily message quota exceeded."], "per_day"),
    ("smtp.mailgun.org", 535, ["5.7.0 Mailgun is not loving your login or password"], "not an API"),
    ("smtp.eu.mailgun.org", 535, ["Authentication failed"], "smtp.eu.mailgun.org"),
    ("smtp.postmarkapp.com", 535, ["5.7.8 Error: authentication failed"], "access key"),
    ("smtp.fastmail.com", 535, ["5.7.0 Incorrect username or password"], "Fastmail"),
    ("mail.example.org", 450, ["4.7.1 Error: too much mail from 192.0.2.1"], "a rate in [pace]"),
    ("mail.example.org", 530, ["5.7.0 Must issue a STARTTLS command first"], "starttls"),
    (
        MICROSOFT,
        554,
        ["5.2.252 SendAsDenied; ann@x.example not allowed to send as kim@x.example; STOREDRV."],
        "Send As",
    ),
    (
        "smtp-mail.outlook.com",
        554,
        ["5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied;"],
        "return_path",
    ),
    (
        MICROSOFT,
        550,
        ["5.7.60 SMTP; Client does not have permissions to send as this sender"],
        "Send As",
    ),
    (
        "mail.example.org",
        553,
        ["5.7.1 <kim@x.example>: Sender address rejected: not owned by user ann"],
        "{token}",
    ),
    ("smtp.yandex.com", 553, ["5.7.1 Sender address rejected: not owned by auth user."], "account"),
    ("mail.gmx.net", 550, ["Not taken", "Sender address is not allowed."], "account"),
    ("smtp.qq.com", 501, ["Mail from address must be same as authorization user."], "return_path"),
    ("mail.example.org", 554, ["5.7.0 Too many concurrent connections"], "connections in [smtp]"),
    ("mail.example.org", 421, ["4.7.0 too many connections from 192.0.2.1"], "connections in"),
    ("mail.example.org", 538, ["5.7.11 Encryption required for requested mechanism"], "port 465"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "code", "lines", "word"), REPLIES)
def test_the_advice_for_a_reply(host, code, lines, word):
    reply = Reply.of(code, [line.encode() for line in lines])
    found = advice(host, str(reply))
    assert found is not None
    assert word in found
    told = refused(Server(host, 587, username="kim"), Stage.AUTH, reply)
    assert told.hint == found
    assert str(reply) in told.what


def test_every_row_of_the_table_is_known_from_a_reply():
    said = {advice(host, str(Reply.of(code, [" ".join(lines).encode()])))
            for host, code, lines, _ in REPLIES}  # fmt: skip
    assert said - {known.hint for known in known_replies()} == {TOO_FAST}
    assert said >= {known.hint for known in known_replies()}


@pytest.mark.parametrize("known", known_replies())
def test_advice_is_one_sentence_or_two_without_a_full_stop(known):
    assert not known.hint.endswith(".")
    assert len(known.hint) < 240
    re.compile(known.reply), re.compile(known.of_host)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("mail.example.org", "535 5.7.8 Error: authentication failed"),
        ("notgmail.com", "535 5.7.8 no"),
        ("gmail.com.example.org", "535 5.7.8 no"),
        ("smtp.gmail.com", "421 4.7.0 Try again later"),
        ("mail.example.org", "550 5.1.1 No such user"),
    ],
)
def test_no_advice_where_nothing_is_known(host, text):
    assert advice(host, text) is None
