"""When a run goes on and when it gives up: troubles of the server, the log, and ourselves."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from petition.campaign.pace import PaceSettings
from petition.credentials import Secret
from petition.errors import LogUnusable
from petition.outbox.log import Log
from petition.outbox.manual import withdraw
from petition.outbox.states import State
from petition.sending.retry import RetrySchedule
from petition.smtp.replies import advice
from tests.acceptance.small import LETTER
from tests.integration.scene import Scene, play
from tests.servers.counting import counting_server
from tests.servers.scripted import (
    HANG_UP,
    SILENT,
    Act,
    Phase,
    ScriptedServer,
    Then,
    answer,
    closing,
)
from tests.servers.visitor import until

NOBODY = answer("550 5.1.1 no such person")
POLICY = answer("550 5.7.1 we do not like you")


def test_a_fault_of_our_own_lets_the_letters_behind_their_dot_have_their_reply(tmp_path: Path):
    scene = Scene(tmp_path, people=12, connections=4)
    told = []

    def tell(one):
        told.append(one)
        if len(told) == 2:
            raise RuntimeError("a fault of ours")

    scene.tell = tell
    with counting_server(pause=0.05) as server:
        with pytest.raises(RuntimeError, match="a fault of ours"):
            asyncio.run(scene.run(server, dot_seconds=5))
        with Log(f"sqlite:///{tmp_path}/petition.db") as log:
            log.recover()
        assert "uncertain" not in scene.states
        assert scene.states.count("sent") == server.accepted.total() < 12


def test_a_log_that_cannot_be_written_any_more_ends_the_run_and_is_told(tmp_path: Path):
    scene = Scene(tmp_path, people=12)

    def tell(told):
        scene.log.database._connection.execute("PRAGMA query_only = ON")

    scene.tell = tell
    ending, server = play(scene, {})
    assert isinstance(ending.log_fault, LogUnusable)
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        log.recover()
    # Whatever the server took is sent or uncertain; nothing of the others was tried.
    assert scene.states.count("sent") + scene.states.count("uncertain") >= len(server.accepted)
    assert len(server.accepted) < 12


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("530 5.7.0 Must issue a STARTTLS command first", 'security = "starttls"'),
        ("550 5.4.5 Daily user sending limit exceeded", "per_day"),
    ],
)
def test_what_the_server_said_to_a_letter_is_told_with_what_to_do(
    tmp_path: Path, said: str, hint: str
):
    scene = Scene(tmp_path)
    ending, _ = play(scene, {Phase.MAIL: [answer(said)] * 9})
    assert ending.broken == said, (ending, scene.states)
    assert hint in (advice("mail.example.org", ending.broken) or "")
    assert scene.states == ["queued"] * 3


def test_connections_that_are_lost_together_are_one_trouble(tmp_path: Path):
    scene = Scene(tmp_path, people=80, connections=4)
    # All four stand and work; then all are lost, and the first four that are opened after them.
    ending, _ = play(scene, {Phase.MAIL: [Act()] * 40 + [HANG_UP] * 8})
    assert not ending.is_over
    assert scene.states == ["sent"] * 80


def staying(root: Path, people: int, **settings: object) -> Scene:
    """A run that stays until nothing is left, waiting milliseconds in place of minutes."""
    scene = Scene(root, people, **settings)
    scene.clock = lambda: datetime.now(UTC)
    scene.pause = 0.0001
    scene.waits = []
    return scene


def test_who_waits_is_not_given_up_by_an_outage_and_hears_of_it_once(tmp_path: Path):
    scene = staying(tmp_path, people=5)
    ending, _ = play(scene, {Phase.MAIL: [Act()] + [HANG_UP] * 15})
    assert not ending.is_over
    assert scene.states == ["sent"] * 5
    assert [wait.is_for_server for wait in scene.waits] == [True]


def test_who_waits_hears_of_the_next_outage_too(tmp_path: Path):
    scene = staying(tmp_path, people=5)
    play(scene, {Phase.MAIL: [Act(), *[HANG_UP] * 7, Act(), *[HANG_UP] * 7]})
    assert scene.states == ["sent"] * 5
    assert [wait.is_for_server for wait in scene.waits] == [True, True]


def test_who_waits_is_told_of_a_refused_login_at_once(tmp_path: Path):
    scene = staying(tmp_path, people=2, username="me")
    scene.secret = Secret("wrong")
    script = {Phase.AUTH: [answer("535 5.7.8 wrong password")] * 9}
    ending, server = play(scene, script, extensions=("AUTH PLAIN",))
    assert "refuses the login" in ending.trouble.what
    assert server.verbs.count("AUTH") == 1
    assert scene.waits == []


def test_who_waits_does_not_wait_for_a_provider_that_wants_no_letters(tmp_path: Path):
    scene = staying(tmp_path, people=1)
    scene.retry = RetrySchedule((timedelta(milliseconds=300),))
    walls = "".join(f"w{number}@wall.test,Kim,\n" for number in range(12))
    scene.campaign.write("recipients.csv", f"email,name,town\n{walls}late@open.test,Ann,\n")
    refusals = {f"w{number}": "550 5.7.26 Not authenticated" for number in range(1, 12)}
    later = {"w0": "450 4.2.0 Later", "late": "450 4.2.0 Later"}
    with counting_server(answers=refusals | later) as server:

        def tell(told):
            server.answers = refusals  # from now on it takes the others

        scene.tell = tell
        asyncio.run(asyncio.wait_for(scene.run(server, dot_seconds=5), 30))
    # One that is due stands behind the wall: it is left, and nobody turns in circles for it.
    assert scene.states[0] == "deferred"
    assert scene.states[-1] == "sent"
    assert scene.states.count("queued") == 6
    assert len(scene.waits) <= 3


@pytest.mark.parametrize("is_waiting", [True, False])
def test_ctrl_c_ends_the_rest_after_trouble(tmp_path: Path, is_waiting: bool):
    scene = Scene(tmp_path, people=3)
    scene.pause = 3600.0
    scene.waits = [] if is_waiting else None

    async def main():
        async with ScriptedServer({Phase.MAIL: [HANG_UP] * 9}) as server:
            running = asyncio.ensure_future(scene.run(server))
            await until(lambda: scene.mailer is not None and scene.mailer._breaker.troubles)
            scene.mailer.stop()
            return await running

    assert asyncio.run(main()).stopped
    assert scene.states == ["queued"] * 3


def test_a_wrong_password_is_tried_once(tmp_path: Path):
    scene = Scene(tmp_path, people=8, connections=4, username="me")
    scene.secret = Secret("wrong")
    refusal = answer("535 5.7.8 wrong password")
    ending, server = play(scene, {Phase.AUTH: [refusal] * 9}, extensions=("AUTH PLAIN",))
    assert ending.trouble is not None
    assert "refuses the login" in ending.trouble.what
    assert server.verbs.count("AUTH") == 1
    assert scene.states == ["queued"] * 8


BUSY = [
    Act(b"421 4.7.0 Too many connections\r\n"),
    Act(b"554 5.7.0 Too many connections\r\n", Then.HANG_UP),
]


@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO])
@pytest.mark.parametrize("busy", BUSY)
def test_a_server_that_takes_fewer_connections_than_we_would_open(
    tmp_path: Path, busy: Act, phase: Phase
):
    scene = Scene(tmp_path, people=40, connections=4)
    ending, _ = play(scene, {phase: [Act(), *[busy] * 9]})
    assert not ending.is_over
    assert scene.states == ["sent"] * 40


def test_a_server_that_refuses_the_first_connection_for_good_ends_the_run(tmp_path: Path):
    scene = Scene(tmp_path, people=8, connections=4)
    ending, server = play(scene, {Phase.GREETING: [BUSY[1]] * 9})
    assert ending.trouble is not None
    assert "connections" in ending.trouble.hint
    assert len(server.conversations) == 1
    assert scene.states == ["queued"] * 8


def test_a_refusal_that_comes_when_the_working_connection_has_ended_is_no_trouble(tmp_path: Path):
    scene = Scene(tmp_path, people=20, connections=2)
    late = Act(b"554 5.7.0 Too many connections\r\n", Then.HANG_UP, seconds=1)
    ending, _ = play(scene, {Phase.GREETING: [Act(), *[late] * 9]})
    assert not ending.is_over
    assert scene.states == ["sent"] * 20


def test_a_connection_that_was_refused_while_others_work_is_tried_again(tmp_path: Path):
    scene = Scene(tmp_path, people=60, connections=2)
    scene.pause = 0.0001
    # The first connection waits for the reply to its dot; the other one does the rest.
    script = {Phase.GREETING: [Act(), *[BUSY[0]] * 3], Phase.DOT: SILENT}

    async def main():
        async with ScriptedServer(script) as server:
            running = asyncio.ensure_future(scene.run(server, dot_seconds=None))
            await until(lambda: len(server.accepted) >= 50 or running.done())
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return server

    assert len(asyncio.run(main()).conversations) == 5


def test_a_refused_cc_is_kept_in_the_log_and_told_at_the_end(tmp_path: Path):
    scene = Scene(tmp_path, people=1)
    cc = LETTER.replace("reply_by:", 'cc: ["copy@x.example"]\nreply_by:')
    scene.campaign.write("letters/open-letter.md", cc)
    ending, _ = play(scene, {Phase.RCPT: [Act(), NOBODY]})
    [copy] = scene.copies()
    assert copy.state is State.SENT
    reason = "the server refused copy@x.example: 550 5.1.1 no such person"
    assert scene.events()[-1].reason == reason
    assert [who for who, _ in ending.also_refused] == ["copy@x.example"]


def test_the_daily_cap_is_not_told_when_all_is_sent(tmp_path: Path):
    scene = Scene(tmp_path)
    scene.pace = PaceSettings(per_day=3)
    ending, _ = play(scene, {})
    assert scene.states == ["sent"] * 3
    assert ending.capped is None


# ---- the message


def list_of_two(scene: Scene, *, rest: tuple[str, ...]) -> None:
    """One person at a small place, then many at one provider, as in a list that is sorted."""
    many = "".join(f"p{number}@{rest[number % len(rest)]},Kim,\n" for number in range(40))
    scene.campaign.write("recipients.csv", f"email,name,town\na@small.test,Ann,\n{many}")


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (Phase.MAIL, "550 5.1.8 Sender rejected"),
        (Phase.MAIL, "550 5.7.1 Sender rejected"),
        (Phase.MAIL, "452 4.3.1 Insufficient system storage"),
        (Phase.DATA, "554 5.3.0 No"),
        (Phase.DOT, "554 5.6.0 No"),
        (Phase.DOT, "552 Too much"),
    ],
)
def test_five_refusals_in_a_row_end_the_run_also_where_all_are_for_one_provider(
    tmp_path: Path, phase: Phase, said: str
):
    scene = Scene(tmp_path)
    list_of_two(scene, rest=("large.test",))
    ending, _ = play(scene, {phase: [Act()] + [answer(said)] * 99})
    assert ending.refused
    assert len(scene.states) - scene.states.count("queued") == 6


def test_a_provider_that_refuses_the_letter_by_its_policy_does_not_end_the_run(tmp_path: Path):
    scene = Scene(tmp_path)
    list_of_two(scene, rest=("hotmail.com", "outlook.com"))
    wall = answer("554 5.7.1 Content rejected")
    ending, _ = play(scene, {Phase.DOT: [Act()] + [wall] * 99})
    assert not ending.is_over
    assert scene.states.count("failed") == 5  # the pace leaves it alone: two domains, one provider


def test_nor_does_it_where_the_list_begins_with_that_provider(tmp_path: Path):
    scene = Scene(tmp_path)
    many = "".join(f"p{number}@large.test,Kim,\n" for number in range(20))
    scene.campaign.write("recipients.csv", f"email,name,town\n{many}a@small.test,Ann,\n")
    wall = answer("550 5.7.26 Not authenticated")
    ending, _ = play(scene, {Phase.DOT: [wall] * 5 + [Act()] * 99})
    assert not ending.is_over
    assert scene.states == ["failed"] * 5 + ["queued"] * 15 + ["sent"]


def test_a_policy_that_refuses_the_letter_to_a_second_provider_ends_the_run(tmp_path: Path):
    scene = Scene(tmp_path)
    many = "".join(f"p{number}@large.test,Kim,\n" for number in range(20))
    scene.campaign.write("recipients.csv", f"email,name,town\n{many}a@x.test,A,\nb@y.test,B,\n")
    ending, _ = play(scene, {Phase.DOT: [answer("550 5.7.26 Not authenticated")] * 99})
    assert ending.refused
    assert scene.states[:21] == ["failed"] * 5 + ["queued"] * 15 + ["failed"]


# ---- recipients


def test_a_mailbox_that_does_not_exist_is_never_written_to_again(tmp_path: Path):
    scene = Scene(tmp_path, people=4)
    moved = answer("550 5.1.10 the domain takes no mail")
    play(scene, {Phase.RCPT: [NOBODY, POLICY, moved]})
    assert scene.states == ["failed"] * 3 + ["sent"]
    assert scene.suppressed() == ["p1@x.example", "p3@x.example"]


@pytest.mark.parametrize("refusal", [NOBODY, POLICY])
def test_half_of_the_first_twenty_refused_ends_the_run_and_suppresses_nobody(
    tmp_path: Path, refusal: Act
):
    scene = Scene(tmp_path, people=30)
    ending, _ = play(scene, {Phase.RCPT: [Act(), refusal] * 20})
    assert ending.unknown is not None
    assert scene.states.count("failed") == 10
    assert scene.states[20:] == ["queued"] * 10
    assert scene.suppressed() == []


def test_twenty_refused_in_a_row_end_the_run_and_suppress_nobody(tmp_path: Path):
    scene = Scene(tmp_path, people=60)
    ending, _ = play(scene, {Phase.RCPT: [Act()] * 25 + [NOBODY] * 99})
    assert ending.unknown == "550 5.1.1 no such person"
    assert scene.states == ["sent"] * 25 + ["failed"] * 20 + ["queued"] * 15
    assert scene.suppressed() == []


def test_nineteen_in_a_row_are_a_bad_list_and_not_a_broken_server(tmp_path: Path):
    scene = Scene(tmp_path, people=60)
    ending, _ = play(scene, {Phase.RCPT: [Act()] * 25 + [NOBODY] * 19})
    assert not ending.is_over
    assert len(scene.suppressed()) == 19


LIMITS = [
    "450 Too many requests. Try again later. #MS-ST-G",
    "550 5.1.1 <p4@x.example> - 192.0.2.7 has sent to too many recipients this hour. IB607",
    "550 5.7.1 Domain campaign.example has exceeded the max emails per hour (20/20) allowed",
    "550 5.1.1 Too many invalid recipients",
]


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT])
@pytest.mark.parametrize("said", LIMITS)
def test_a_limit_of_the_server_pauses_the_run_and_is_charged_to_nobody(
    tmp_path: Path, said: str, phase: Phase
):
    scene = Scene(tmp_path, people=6)
    ending, server = play(scene, {phase: [Act()] * 3 + [answer(said)] * 2})
    assert len(server.conversations) == 3  # each of the two has ended its own
    assert not ending.is_over
    assert scene.states == ["sent"] * 6
    assert scene.suppressed() == []
    assert {copy.attempts for copy in scene.copies()} == {1}


@pytest.mark.parametrize("said", LIMITS)
def test_a_limit_that_stays_ends_the_run_with_advice(tmp_path: Path, said: str):
    scene = Scene(tmp_path, people=30)
    ending, _ = play(scene, {Phase.RCPT: [Act()] * 3 + [answer(said)] * 99})
    assert ending.broken == said, (ending, scene.states)
    assert "rate" in (advice("mail.example.org", ending.broken) or "")
    assert scene.states == ["sent"] * 3 + ["queued"] * 27


@pytest.mark.parametrize(
    "said",
    [
        "452 mailbox full: too many messages",
        "452 4.2.0 Mailbox has too many messages",
        "450 4.7.1 recipient has exceeded the hourly limit of incoming mail",
        "550 5.2.3 too many messages for this user",
        "450 4.7.1 You have sent too many messages to this recipient",
    ],
)
def test_a_mailbox_that_takes_no_more_stops_nobody_else(tmp_path: Path, said: str):
    scene = Scene(tmp_path, people=4)
    ending, _ = play(scene, {Phase.RCPT: [answer(said)]})
    assert not ending.is_over
    assert scene.states == ["failed" if said[0] == "5" else "deferred", *["sent"] * 3]
    assert scene.suppressed() == []


def test_a_refusal_of_another_address_suppresses_nobody(tmp_path: Path):
    scene = Scene(tmp_path, people=5)
    others = ("<sender@campaign.example>", "<staff@int.x.example>")
    play(scene, {Phase.RCPT: [*(answer(f"550 5.1.1 {one}: user unknown") for one in others)]})
    assert scene.suppressed() == []
    named = "550 5.1.1 <P1@x.example>: user unknown, ask postmaster@x.example"
    scene = Scene(tmp_path / "named", people=5)
    play(scene, {Phase.RCPT: [answer(named)]})
    assert scene.suppressed() == ["p1@x.example"]


def at_three_providers(root: Path, **settings: object) -> Scene:
    """Nine people, three of them at each of three providers in turn."""
    scene = Scene(root, people=9, **settings)
    rows = "".join(f"p{one},p{one}@{'abc'[one % 3]}.example,P{one},X\n" for one in range(9))
    scene.campaign.write("recipients.csv", f"id,email,name,town\n{rows}")
    return scene


SLOW_DOWN = "451 4.3.0 Please slow down"
FOR_NOW = [
    (Phase.MAIL, SLOW_DOWN),
    (Phase.RCPT, SLOW_DOWN),
    (Phase.RCPT, "450 4.7.1 {}: no more of yours"),
    (Phase.RCPT, "550 Not today <{}>, goodbye"),
    (Phase.RCPT, "550 5.1.1 Not today, {}"),  # the code blames a mailbox, the words do not
    (Phase.DATA, SLOW_DOWN),
    (Phase.DOT, "451 4.3.0 Please slow down (in reply to {}, id 4f{}e)"),
]


@pytest.mark.parametrize(("phase", "said"), FOR_NOW)
def test_what_is_said_of_three_providers_in_a_row_is_about_us(
    tmp_path: Path, phase: Phase, said: str
):
    scene = at_three_providers(tmp_path)
    refusals = [answer(said.replace("{}", f"p{one}@{'abc'[one % 3]}.example")) for one in range(99)]
    told = []
    scene.tell = told.append
    ending, _ = play(scene, {phase: [Act(), *refusals]})
    assert ending.broken is not None
    assert ending.is_refusing
    assert said.partition("{")[0].strip("(<") in ending.broken
    assert sorted(scene.states) == ["queued"] * 8 + ["sent"]
    assert [copy.attempts for copy in scene.copies()] == [state == "sent" for state in scene.states]
    assert {copy.waiting_since for copy in scene.copies() if copy.state == "queued"} == {None}
    assert scene.suppressed() == []
    state = State.DEFERRED if said[0] == "4" else State.FAILED
    charged = [one.copy.mailbox for one in told if one.state is state]
    assert len(charged) == 2  # and the third never
    back = [one for one in scene.events() if one.from_state is state]
    assert [(one.mailbox, one.to_state) for one in back] == [(one, "queued") for one in charged]
    assert all(ending.broken[:3] in one.reason for one in back)
    # Whoever counts hears first that they were refused, and then that they were not.
    assert [one.state for one in told if one.copy.mailbox == charged[0]][:2] == [state, "queued"]


@pytest.mark.parametrize(("phase", "said"), FOR_NOW)
def test_after_three_providers_the_run_goes_on_when_the_server_does(
    tmp_path: Path, phase: Phase, said: str
):
    scene = at_three_providers(tmp_path)
    ending, _ = play(scene, {phase: [answer(said.replace("{}", "you@it.example"))] * 5})
    assert not ending.is_over
    assert scene.states == ["sent"] * 9
    assert {copy.attempts for copy in scene.copies()} == {1}


def test_it_is_about_us_over_several_connections_too(tmp_path: Path):
    scene = at_three_providers(tmp_path, connections=3)
    told: dict[int, State] = {}

    def tell(one):
        told[one.copy.id] = one.state

    scene.tell = tell
    ending, _ = play(scene, {Phase.RCPT: [answer(SLOW_DOWN)] * 99})
    assert ending.broken == SLOW_DOWN
    assert scene.states == ["queued"] * 9
    assert set(told.values()) == {State.QUEUED}  # the last that was said of each is true


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.DATA, Phase.DOT])
def test_a_letter_that_is_refused_for_good_for_three_providers_ends_the_run_uncharged(
    tmp_path: Path, phase: Phase
):
    scene = at_three_providers(tmp_path)
    said = "550 5.7.60 SMTP; Client does not have permissions to send as this sender"
    ending, server = play(scene, {phase: [answer(said)] * 99})
    assert ending.refused == said
    assert "Send As" in (advice("mail.example.org", ending.refused) or "")
    assert len(server.conversations) == 1  # waiting would not help
    assert scene.states == ["queued"] * 9
    assert {copy.attempts for copy in scene.copies()} == {0}


OF_THEM = [
    ["550 5.1.1 no such user"] * 3,
    ["452 4.2.2 mailbox full"] * 3,
    ["550 5.1.2 Not here"] * 3,  # a code for the domain, which no limit has
    ["450 4.2.0 Greylisted, come back later"] * 3,
    ["550 Not today", "550 Nor tomorrow", "550 Not today"],
]


@pytest.mark.parametrize("said", OF_THEM)
def test_what_is_about_each_of_them_is_charged(tmp_path: Path, said: list[str]):
    scene = at_three_providers(tmp_path)
    ending, _ = play(scene, {Phase.RCPT: [answer(one) for one in said]})
    assert not ending.is_over
    refused = "failed" if said[0][0] == "5" else "deferred"
    assert scene.states == [refused] * 3 + ["sent"] * 6
    assert {copy.attempts for copy in scene.copies()} == {1}


def test_what_somebody_did_to_a_letter_meanwhile_stands(tmp_path: Path):
    scene = at_three_providers(tmp_path)
    scene.pace = PaceSettings(rate="100/s")  # each letter is recorded before the next one's turn

    def tell(told):
        if told.state is State.DEFERRED and told.copy.row_id == "p0":
            with Log(f"sqlite:///{tmp_path}/petition.db") as log:
                withdraw(log, "open-letter", [told.copy.mailbox])

    scene.tell = tell
    play(scene, {Phase.RCPT: [answer(SLOW_DOWN)] * 4})
    assert scene.states == ["skipped"] + ["sent"] * 8
    assert scene.copies()[0].attempts == 1


def test_words_about_us_outweigh_the_code_of_an_unknown_mailbox(tmp_path: Path):
    scene = Scene(tmp_path, people=5)
    words = ("550 5.1.1 your IP has a bad reputation", "550 5.1.1 account temporarily locked")
    play(scene, {Phase.RCPT: [*map(answer, words), NOBODY]})
    assert scene.suppressed() == ["p3@x.example"]


@pytest.mark.parametrize("said", ["550 5.1.1", "550 5.1.1 IB607", "550 5.1.1 Sendekontingent leer"])
def test_the_code_of_an_unknown_mailbox_alone_suppresses_nobody(tmp_path: Path, said: str):
    scene = Scene(tmp_path, people=3)
    play(scene, {Phase.RCPT: [answer(said)] * 2})
    assert scene.states == ["failed"] * 2 + ["sent"]
    assert scene.suppressed() == []


@pytest.mark.parametrize("said", ["451 Please slow down", "550 Please slow down"])
def test_it_is_about_us_too_if_the_server_hangs_up_each_time(tmp_path: Path, said: str):
    scene = at_three_providers(tmp_path)
    ending, _ = play(scene, {Phase.DOT: [closing(said)] * 99})
    assert said in {ending.broken, ending.refused}
    assert scene.states == ["queued"] * 9
    assert {copy.attempts for copy in scene.copies()} == {0}


def test_the_same_words_count_with_either_code(tmp_path: Path):
    scene = at_three_providers(tmp_path)
    said = [answer("451 Please slow down"), answer("550 Please slow down")] * 50
    ending, _ = play(scene, {Phase.RCPT: said})
    assert ending.is_refusing
    assert scene.states == ["queued"] * 9
    assert {copy.attempts for copy in scene.copies()} == {0}


def test_a_letter_whose_connection_was_closed_keeps_its_attempt(tmp_path: Path):
    scene = Scene(tmp_path, people=4)
    rows = "".join(f"p{one},p{one}@{one}.example,P{one},X\n" for one in range(4))
    scene.campaign.write("recipients.csv", f"id,email,name,town\n{rows}")
    play(scene, {Phase.DOT: [answer(SLOW_DOWN), closing(), *[answer(SLOW_DOWN)] * 99]})
    assert scene.states == ["queued", "deferred", "queued", "queued"]
