"""A visit to a server, and what is known of its provider beside what the campaign will do."""

import asyncio

from petition.campaign.pace import PaceSettings
from petition.campaign.server import Server
from petition.checks.sender import Limits, look_at_pace, visit
from petition.credentials import Secret
from petition.errors import Level
from tests.servers.recorder import Recorder
from tests.servers.scripted import ScriptedServer


def visited(authority, password="right", sizes=None, trust=True):
    async def main():
        async with Recorder(starttls=authority.server(), passwords={"ann": "right"}) as server:
            where = Server("localhost", server.port, username="ann", timeout=5)
            seen = await visit(
                where,
                Secret(password),
                sizes or {"open-letter": 4_000},
                hello_name="campaign.example",
                tls_context=authority.trust() if trust else None,
            )
            return seen, server

    return asyncio.run(main())


def test_a_visit_logs_in_and_sends_nothing(authority):
    seen, server = visited(authority)
    assert not seen.is_refused
    assert [problem.level for problem in seen.found] == [Level.NOTE, Level.NOTE]
    assert "the login of ann" in seen.found[0].what
    assert "letters of up to 33.6 MB" in seen.found[1].what
    assert [login[1:] for login in server.logins] == [("ann", "right")]
    assert server.verbs == ["EHLO", "EHLO", "QUIT"]  # STARTTLS and AUTH have no hook there


def test_a_refused_login_is_reported_with_a_hint(authority):
    seen, server = visited(authority, password="wrong")
    assert seen.is_refused
    (problem,) = seen.found
    assert problem.is_error
    assert "refuses the login" in problem.what
    assert "wrong" not in str(problem)
    assert server.letters == []


def test_an_untrusted_certificate_ends_the_visit(authority):
    seen, server = visited(authority, trust=False)
    assert seen.is_refused
    assert "is not trusted" in seen.found[0].what
    assert server.logins == []


def test_a_letter_that_is_too_large_is_named(authority):
    seen, _ = visited(authority, sizes={"small": 1, "large": 40_000_000})
    (problem,) = [problem for problem in seen.found if problem.is_error]
    assert problem.what.startswith("large has 40.0 MB, but the server accepts at most 33.6 MB")


def test_a_server_without_size_is_not_checked_for_it():
    async def main():
        async with ScriptedServer({}, extensions=("PIPELINING",)) as server:
            where = Server("127.0.0.1", server.port, security="none", timeout=5)
            return await visit(where, None, {"a": 10**9}, hello_name="x.example")

    (note,) = asyncio.run(main()).found
    assert "on this machine, without encryption, and needs no login" in note.what


PACE = PaceSettings.model_validate({"per_day": 500, "rate": "30/min"})
LIMITS = Limits("Some Mail", PACE, connections=3)


def paced(connections=1, recipients=10, **pace):
    found = look_at_pace(
        "smtp.host.example:587",
        LIMITS,
        PaceSettings.model_validate(pace),
        connections,
        {"open-letter": recipients},
    )
    return [(problem.level, problem.what, problem.hint) for problem in found]


def test_limits_that_are_kept_are_not_mentioned():
    assert paced(rate="20/min", per_day=500) == []


def test_more_than_the_known_limit_is_a_note():
    found = paced(rate="1/s", per_day=2_000, recipients=2_000)
    assert [level for level, _, _ in found] == [Level.NOTE] * 2
    assert found[0][1].endswith("and per_day is more")


def test_exceeded_limits_say_what_to_write():
    hints = [hint for _, _, hint in paced(connections=4)]
    assert hints == [
        "Write per_day = 500 in [pace], or what your account allows",
        'Write rate = "30/min" in [pace]',
        "Write connections = 3 in [smtp]",
    ]


def test_a_list_that_takes_days_is_a_note():
    ((level, what, _),) = paced(rate="20/min", per_day=400, recipients=1_000)
    assert level is Level.NOTE
    assert what == "1,000 recipients take 3 days at 400 a day"
