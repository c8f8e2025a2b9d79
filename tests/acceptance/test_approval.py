"""[approval]: nobody gets a letter before its approvers have let it go."""

import json
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from petition.cli import approval
from petition.identity import codes_in
from petition.outbox import approvals
from tests import PATIENCE
from tests.acceptance.approving import APPROVAL, BEA, BOTH, CLEO, Approving
from tests.acceptance.killable import ASKING
from tests.acceptance.signing import log_of
from tests.acceptance.small import HELD
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres

EVERYBODY = {"p1@x.example", "p2@x.example", "p3@x.example"}
LETTER = "letters/open-letter.md"
FOLLOW_UP = """\
---
follows: open-letter
---
Dear {{ recipient.name }}, we wrote {{ previous.days }} days ago, and got
{{ previous.answers|length }} answers.
"""
KILLABLE = (str(Path(__file__).with_name("killable.py")),)


@pytest.fixture
def approving(tmp_path: Path) -> Iterator[Approving]:
    with counting_server() as server:
        yield Approving(tmp_path, server)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Approving]:
    with counting_server() as server:
        yield Approving(tmp_path, server, BOTH)


def said(approving: Approving) -> list[tuple[object, ...]]:
    """What was said to the newest request."""
    rows = approving.requests()[-1]["said"]
    assert isinstance(rows, list)
    return [(row["decision"], row["how"], row["approver"]) for row in rows]


def approve(approving: Approving, *approvers: str) -> None:
    """Ask, and have approvers answer with their codes."""
    approving.send(status=2)
    for approver in approvers or (BEA,):
        approving.answer(approving.code(approver), approver)


def test_nothing_is_queued_before_the_approver_has_answered_with_the_code(approving: Approving):
    approving.send(status=2)
    assert approving.sent == set()
    assert approving.campaign.petition("status", "--json").json["letters"] == []
    approving.send(status=2)
    assert approving.server.accepted[BEA] == 1  # who was asked is not asked again
    approving.answer(f"Fine with me.\n\n{approving.code()}\n\nBea")
    assert said(approving) == [("approved", "mail", BEA)]
    approving.send(status=0)
    assert approving.sent == EVERYBODY


def test_it_is_asked_before_anybody_is_mailed(approving: Approving):
    child = approving.campaign.on_terminal("send", "open-letter")
    child.expect_exact("[y/N]")
    child.send("n\n")
    assert child.end()[0] == 2
    assert not approving.server.accepted
    assert approving.requests() == []


def test_who_only_looks_asks_nobody(approving: Approving):
    assert "approval" in approving.send("--dry-run", status=0)
    assert told_by_check(approving) == ["note"]
    approving.campaign.change("petition.toml", "[inbox]", "[events.talk]")
    approving.campaign.change(
        "petition.toml", "url = ", 'title = "A"\nstarts = 2040-01-01T10:00:00\n#'
    )
    assert told_by_check(approving) == ["note", "warning"]
    assert not approving.server.accepted


def told_by_check(approving: Approving) -> list[str]:
    """The levels of what it says about the approval."""
    problems = approving.campaign.petition("check", "--json", status=0).json["problems"]
    return [one["level"] for one in problems if "approve" in one["what"]]


def test_a_rehearsal_and_a_trial_need_no_approval(approving: Approving):
    approving.send("--to-me", "ann@own.test", status=0)
    assert approving.server.accepted == {"ann@own.test": 1}
    campaign = approving.campaign
    campaign.env.clear()
    assert "--override" in campaign.petition("send", "open-letter", "--override", status=2).err
    campaign.petition("send", "open-letter", status=0)
    assert set(campaign.states().values()) == {"sent"}


def test_a_trial_goes_to_nobody_on_the_list(approving: Approving):
    assert "on the list" in approving.send("--to-me", "P1@x.example", status=2)
    assert not approving.server.accepted


# ---- what an approver's mail says


NO = (
    "No, because the river has another name.",
    "Dear Ann,\n\nno, please wait.\n\nBea",
    "NO!",
    "Нет, потому что это рано.",
    "Жоқ, әлі ерте.",
    "Nein, weil der Name falsch ist.",
    "Non, parce que la date est passée.",
    "No, porque falta la fecha.",
    "Ні, бо ще рано.",
    "Please don't send this yet.",
    "*No*, because the river has another name.",
    "- No: the date is wrong.",
    "Wait! There is a mistake in it.",
    "Sorry, no.",
    "I disagree.",
    "Not yet.",
    "Nicht freigegeben.",
    "Отклонено.",
)
NEITHER = ("OK!", "Thanks, I will look at it tonight.", "Yes, go ahead.", "No problem, tomorrow.")


def test_only_own_words_with_the_code_approve_and_a_no_stops(approving: Approving):
    approving.send(status=2)
    code = approving.code()
    yes = (code, f"Approved: {code.lower()}", f"Yes.\n\n{code.replace('-', ' ')}\n-- \nBea")
    no_changes = f"{code}\n\nNo changes from my side."
    for words in (*yes, no_changes, *NO, *NEITHER, f"No, wait. {code}"):
        approving.arrive(approving.reply(words))
    mails = approving.campaign.petition("inbox", "--json", status=0).json["mails"]
    assert {mail["matched_by"] for mail in mails} == {"approval"}
    expected = ["approved"] * 4 + ["refused"] * len(NO) + ["undecided"] * (len(NEITHER) + 1)
    assert [row[0] for row in said(approving)] == expected
    assert approving.campaign.petition("inbox", "--unmatched", "--json").json["mails"] == []


@pytest.mark.parametrize(
    "words",
    [
        "Yes, but change the date first.",
        "Approved only if you change the date.",
        "I don't want this to go out.",
        "This must not be sent.",
        "Да, но сначала исправьте дату.",
        "Иә, бірақ күнін өзгертіңіз.",
        "Ja, aber erst nächste Woche.",
        "Oui, à condition de changer la date.",
        "Sí, pero cambie la fecha.",
        "Так, але змініть дату.",
    ],
)
def test_a_code_with_a_condition_approves_nothing(approving: Approving, words: str):
    approving.send(status=2)
    approving.arrive(approving.reply(f"{words}\n\n{approving.code()}"))
    approving.campaign.petition("inbox", status=0)
    assert [row[0] for row in said(approving)] == ["undecided"]
    approving.send(status=2)


def test_a_quotation_without_marks_approves_nothing(approving: Approving):
    approving.send(status=2)
    bare = f"From: {BEA}\nTo: answers@campaign.example\nSubject: Re: approve\n"
    bare += f"In-Reply-To: {approving.mail()['Message-ID']}\n\n"
    approving.arrive(f"{bare}Looks good.\n\n{approving.text()}")
    broken = approving.text().replace("petition-approval", "petition-\napproval")
    approving.arrive(f"{bare}Looks good.\n\n{broken}")  # as a program that fills lines leaves it
    approving.arrive(f"{bare}{approving.code()}\n\n{approving.text()}")
    approving.campaign.petition("inbox", status=0)
    assert [row[0] for row in said(approving)] == ["undecided", "undecided", "approved"]


def test_nobody_else_and_no_program_approves(both: Approving):
    both.send(status=2)
    code = both.code(BEA)
    both.answer(code, sender="Bea Ash <bea@elsewhere.example>")
    both.answer(code, CLEO)  # the code of somebody else
    both.answer(f"I am away.\n{code}", more="Auto-Submitted: auto-replied\n")
    both.answer("YWCDT-CTGQ9")
    assert said(both) == [("undecided", "mail", CLEO), ("undecided", "mail", BEA)]
    both.send(status=2)
    assert both.sent == set()


def test_an_approver_who_says_no_stops_it_with_their_words(approving: Approving):
    approving.send(status=2)
    approving.answer("No, because the river has another name.")
    assert "because the river has another name" in approving.send(status=2)
    # Whoever changes their mind replies with the code.
    approving.answer(approving.code())
    approving.send(status=0)
    assert approving.sent == EVERYBODY


def test_a_no_in_a_mail_of_its_own_stops_it_too(approving: Approving):
    approve(approving)
    approving.arrive(f"From: {BEA}\nTo: letter@campaign.example\nSubject: Stop\n\nNo, not today!\n")
    approving.campaign.petition("inbox", status=0)
    assert "not today" in approving.send(status=2)
    assert approving.sent == set()


def test_doubts_after_an_approval_are_shown(approving: Approving):
    approve(approving)
    approving.answer("Is the name of the river right?")
    assert "name of the river" in approving.send("--dry-run", status=0)
    approving.answer(f"It is. {approving.code()}")
    assert "name of the river" not in approving.send("--dry-run", status=0)


# ---- several approvers


def test_two_who_disagree_send_nothing(both: Approving):
    approve(both, BEA)
    both.answer("No, because the date is wrong.", CLEO)
    assert "the date is wrong" in both.send(status=2)
    assert both.sent == set()
    both.answer(both.code(CLEO), CLEO)
    both.send(status=0)
    assert both.sent == EVERYBODY


def test_as_many_as_are_needed_must_approve(both: Approving):
    both.campaign.change("petition.toml", "[approval]\n", "[approval]\nneeded = 2\n")
    approve(both, BEA)
    assert both.server.accepted[BEA] == both.server.accepted[CLEO] == 1
    both.send(status=2)
    both.answer(both.code(BEA), BEA)  # twice is not two
    both.send(status=2)
    both.answer(both.code(CLEO), CLEO)
    both.send(status=0)
    assert both.sent == EVERYBODY


# ---- what an approval is bound to


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (LETTER, "must be **clean**", "has to be **clean**"),
        ("recipients.csv", "p2@x.example", "p4@x.example"),
        ("recipients.csv", "P2", "Pat"),
        ("recipients.csv", "p3,p3@x.example,P3,\n", ""),
        ("petition.toml", "Water Campaign", "Water"),
        ("petition.toml", "answers@campaign", "answer@campaign"),
        ("petition.toml", f'"Bea Ash <{BEA}>"', f'"Bea Ash <{BEA}>", "{CLEO}"'),
    ],
    ids=["text", "address", "name", "fewer", "sender", "reply-to", "approvers"],
)
def test_any_change_needs_a_new_approval(approving: Approving, file: str, old: str, new: str):
    approve(approving)
    before = approving.code()
    approving.campaign.change(file, old, new)
    approving.send(status=2)
    assert approving.sent == set()
    assert approving.server.accepted[BEA] == 2
    assert approving.code() != before
    approving.answer(before)  # the code of what was approved before
    approving.send(status=2)
    approving.answer(approving.code())
    approving.send(status=0)
    assert approving.sent


def test_another_server_needs_a_new_approval(approving: Approving):
    approve(approving)
    with counting_server() as other:
        campaign = approving.campaign.through(other.port)
        campaign.petition("send", "open-letter", "--yes", status=2)
        assert set(other.accepted) == {BEA}


def test_the_rest_of_an_approved_list_needs_no_other_approval(approving: Approving):
    approving.send("--limit", "1", status=2)
    assert approving.requests()[0]["copies"] == 3
    approving.answer(approving.code())
    approving.send("--limit", "1", status=0)
    assert approving.sent == {"p1@x.example"}
    rows = (approving.campaign.root / "recipients.csv").read_text().splitlines()
    turned = [rows[0], *rows[:0:-1]]  # in another order it is the same list
    approving.campaign.write("recipients.csv", "\n".join(turned) + "\n")
    approving.send("--to", "p2@x.example", status=0)
    approving.send(status=0)
    assert approving.sent == EVERYBODY
    assert approving.server.accepted[BEA] == 1
    approving.campaign.write("recipients.csv", "\n".join([*rows, "p4,p4@x.example,P4,"]) + "\n")
    approving.send(status=2)
    assert approving.server.accepted[BEA] == 2
    assert approving.sent == EVERYBODY


def test_an_approval_for_some_is_none_for_all(approving: Approving):
    approving.send("--to", "p1@x.example", status=2)
    approving.answer(approving.code())
    approving.send(status=2)
    assert approving.sent == set()
    assert len(approving.requests()) == 2
    approving.send("--to", "p1@x.example", status=0)
    assert approving.sent == {"p1@x.example"}


def test_answers_that_come_in_leave_a_follow_up_approved(approving: Approving):
    campaign = approving.campaign
    approve(approving)
    approving.send(status=0)
    campaign.write("letters/more.md", FOLLOW_UP)
    send = ("send", "more", "--yes")
    campaign.petition(*send, status=2)
    approving.answer(approving.code())
    campaign.petition("answer", "p1", "refused", "--quote", "No.", status=0)
    campaign.petition("answer", "p2", "acknowledged", "--quote", "Thanks.", status=0)
    campaign.petition(*send, "--limit", "1", status=0)
    assert approving.server.accepted["p2@x.example"] == 2
    assert approving.server.accepted["p1@x.example"] == 1
    campaign.change("recipients.csv", "P3", "Q3")
    campaign.petition(*send, status=2)
    assert approving.server.accepted["p3@x.example"] == 1
    assert approving.server.accepted[BEA] == 3


def test_sending_it_to_everyone_again_needs_another_approval(approving: Approving):
    approve(approving)
    approving.send(status=0)
    approving.send("--again", status=2)
    assert approving.requests()[-1]["revision"] == 2
    approving.answer(approving.code())
    approving.send("--again", status=0)
    assert {approving.server.accepted[who] for who in EVERYBODY} == {2}


# ---- without their mail


def test_a_code_that_was_typed_here_is_not_the_word_of_the_approver(approving: Approving):
    approving.send(status=2)
    campaign = approving.campaign
    assert "nothing was recorded" in campaign.petition("approve", "AAAAA-AAAAA", status=2).err
    approving.answer("No, because the date is wrong.")
    campaign.petition("approve", approving.code(), status=0)
    approving.send(status=2)  # their own no stays
    campaign.change(LETTER, "must be", "has to be")
    approving.send(status=2)
    typed = campaign.petition("approve", approving.code().lower(), "--json", status=0)
    assert typed.json["requests"][0]["released"] is True
    assert said(approving) == [("approved", "typed", BEA)]
    approving.send(status=0)
    assert approving.sent == EVERYBODY


def test_an_override_needs_a_reason_and_is_recorded(approving: Approving):
    approving.send("--override", status=2)
    assert approving.requests() == []
    approving.send("--override", "--reason", "The hearing is tomorrow.", status=0)
    assert approving.sent == EVERYBODY
    assert approving.server.accepted[BEA] == 0
    [row] = approving.requests()[0]["said"]
    assert (row["decision"], row["words"]) == ("overridden", "The hearing is tomorrow.")
    campaign = approving.campaign
    campaign.petition("evidence", "pack.zip", status=0)
    with zipfile.ZipFile(campaign.root / "pack.zip") as pack:
        timeline = pack.read("timeline.txt").decode()
    for told in (campaign.petition("log", status=0).out, timeline):  # nobody was asked
        assert "The hearing is tomorrow." in told
        assert BEA not in told


def test_an_override_asks_for_the_reason_and_a_later_no_stops_the_rest(approving: Approving):
    approving.send(status=2)
    approving.answer("No, because the date is wrong.")
    child = approving.campaign.on_terminal("send", "open-letter", "--override", "--limit", "1")
    child.expect_exact("(recorded)")
    child.send("She is mistaken.\n")
    child.expect_exact("[y/N]")
    child.send("y\n")
    child.end()
    assert approving.sent == {"p1@x.example"}
    assert said(approving)[-1] == ("overridden", "override", None)
    approving.answer("No! I am not.")
    assert "I am not" in approving.send(status=2)
    assert approving.sent == {"p1@x.example"}


def test_an_override_counts_for_every_request_that_was_stopped(approving: Approving):
    approving.campaign.change("petition.toml", "[approval]", '[pace]\ngrace = "1 s"\n\n[approval]')
    approving.send("--to", "p1@x.example", status=2)
    approving.answer("No, because she is away.")
    approving.send(status=2)
    approving.answer("No, because the date is wrong.")
    override = ("--override", "--reason", "They are mistaken.")
    approving.send("--to", "p1@x.example", *override, status=0)
    assert approving.sent == {"p1@x.example"}


def test_an_override_records_the_copies_of_the_list_as_a_request_does(approving: Approving):
    approving.send("--limit", "1", status=2)
    approving.campaign.change(LETTER, "must be", "has to be")
    approving.send("--limit", "1", "--override", "--reason", "It is late.", status=0)
    assert approving.sent == {"p1@x.example"}
    assert [one["copies"] for one in approving.requests()] == [3, 3]


def test_an_override_is_recorded_with_the_letters_it_lets_go(approving: Approving):
    approving.campaign.change("petition.toml", "[approval]", '[pace]\ngrace = "8 s"\n\n[approval]')
    override = ("send", "open-letter", "--yes", "--override", "--reason", "It is late.")
    child = approving.campaign.on_terminal(*override, before=HELD)
    child.expect_exact("Nothing is queued")
    child.send("\x03")
    assert child.end()[0] == 130
    assert approving.requests() == []
    approving.send(status=2)
    child = approving.campaign.on_terminal(*override, before=HELD)
    child.expect_exact("Nothing is queued")
    approving.answer("No, because there is news.")
    approving.campaign.write("go", "")
    status, told = child.end()
    assert (status, "there is news" in told) == (2, True)
    assert said(approving) == [("refused", "mail", BEA)]
    assert approving.sent == set()


def test_who_is_asked_once_more_is_named(both: Approving):
    both.send(status=2)
    both.answer(both.code(CLEO), CLEO)
    both.campaign.change("petition.toml", "[inbox]", "needed = 2\n\n[inbox]")
    both.send(status=2)
    both.answer(both.code(CLEO), CLEO)
    child = both.campaign.on_terminal("send", "open-letter", "--ask-again")
    child.expect_exact(f"Mail {BEA} now")
    child.expect_exact("[y/N]")
    child.send("y\n")
    child.end()
    assert both.server.accepted == {BEA: 3, CLEO: 2}


def test_who_was_not_mailed_is_told_why(approving: Approving, tmp_path: Path):
    away = approving.campaign.through(1)
    away.petition("send", "open-letter", "--yes", status=4)
    with log_of(approving.campaign) as log:
        [asked] = approvals.all_approvals(log)
        assert "Another process sends" in approval.why_none_went(log, asked.request)
    approving.campaign.petition("inbox", status=0)  # which sends it
    with log_of(approving.campaign) as log:
        told = approval.why_none_went(log, asked.request)
    assert "Another process" in told
    assert "asked us to wait" not in told


def test_who_asks_again_sends_nothing(approving: Approving):
    approve(approving)
    assert "approved" in approving.send("--ask-again", status=2)
    assert approving.sent == set()
    approving.campaign.change("petition.toml", APPROVAL, "")
    approving.send("--ask-again", status=2)
    assert approving.sent == set()


def test_a_forgotten_approver_is_not_asked(both: Approving):
    both.send(status=2)
    both.campaign.petition("forget", BEA, "--yes", status=0)
    assert "was forgotten" in both.send("--ask-again", status=2)
    both.campaign.change("letters/open-letter.md", "must be", "has to be")
    assert "was forgotten" in both.send(status=2)
    assert both.server.accepted == {BEA: 1, CLEO: 1}


# ---- while it waits, and when it is killed


def test_a_no_while_send_waits_stops_it(approving: Approving):
    approving.campaign.change("petition.toml", "[approval]", '[pace]\ngrace = "8 s"\n\n[approval]')
    approve(approving)
    child = approving.campaign.on_terminal("send", "open-letter", "--yes", before=HELD)
    child.expect_exact("Nothing is queued")
    approving.answer("No, because there is news.")
    approving.campaign.write("go", "")
    status, told = child.end()
    assert (status, "there is news" in told) == (2, True)
    assert approving.sent == set()


def test_a_no_while_send_asks_stops_it(approving: Approving):
    approve(approving)
    child = approving.campaign.on_terminal("send", "open-letter")
    child.expect_exact("[y/N]")
    approving.answer("No, because there is news.")
    child.send("y\n")
    status, told = child.end()
    assert (status, "there is news" in told) == (2, True)
    assert approving.sent == set()


def test_a_mail_that_the_server_puts_off_waits(tmp_path: Path):
    with counting_server(answers={"bea": "451 4.3.0 Later"}) as server:
        approving = Approving(tmp_path, server)
        approving.send(status=2)
        said = approving.send(status=2)
    assert "asked us to wait" in said
    assert "Another process" not in said


@pytest.mark.parametrize("point", ASKING)
def test_a_killed_send_asks_nobody_twice(approving: Approving, point: str):
    words = (point, "1", "send", "open-letter", "--yes")
    with approving.campaign.begin(*words, program=KILLABLE) as run:
        assert run.wait(PATIENCE) == -signal.SIGKILL
    approving.server.wait_until_alone()
    told = approving.send(status=2)
    assert len(approving.requests()) == 1
    [mail] = approving.requests()[0]["approvers"]
    may_have_gone = point in {"behind the mark of a mail", "before the record of a mail"}
    arrived = int(point != "behind the mark of a mail")
    assert approving.server.accepted[BEA] == arrived
    assert mail["mail"] == ("uncertain" if may_have_gone else "sent")
    if not may_have_gone:
        assert "has not answered yet" in told
    approving.send("--ask-again", status=2)
    assert approving.server.accepted[BEA] == arrived + 1
    approving.answer(approving.code())
    approving.send(status=0)
    assert approving.sent == EVERYBODY


def test_a_mail_that_could_not_be_sent_goes_once_the_server_is_back(approving: Approving):
    away = approving.campaign.through(1)
    away.petition("send", "open-letter", "--yes", status=4)
    assert approving.requests()[0]["approvers"] == [{"email": BEA, "mail": "queued"}]
    approving.campaign.petition("inbox", status=0)
    assert approving.server.accepted == {BEA: 1}


# ---- what the approver and others see


def test_the_mail_shows_plan_letter_and_copies_and_no_address(approving: Approving):
    campaign = approving.campaign
    people = "email,name,town,contact\n" + "".join(
        f"p{one}@x.example,P{one},Leeds,desk{one}@y.example\n" for one in range(1, 9)
    )
    campaign.write("recipients.csv", people)
    link = "[form](https://y.example/?for={{ recipient.email }})"
    campaign.change(
        LETTER, "{{ demands }}", f"{{{{ recipient.contact }}}} {link}\n\n{{{{ demands }}}}"
    )
    campaign.change(LETTER, "to: recipients\n", "to: recipients\nbcc: [archive@y.example]\n")
    approving.send(status=2)
    text = approving.text()
    assert "8 new" in text
    assert "{{ recipient.contact }}" in text
    assert text.count("Subject: P") == 3
    assert "desk1@" not in text
    assert "d…@y.example" in text
    assert "p1@" not in text
    assert "p…@x.example" in text
    assert "p1%40" not in text
    assert "p…%40x.example" in text
    assert "Bcc: a…@y.example" in text
    assert codes_in(text) == [approving.code()]
    assert [part.get_filename() for part in approving.mail().iter_attachments()] == []


def test_the_book_of_copies_goes_with_it_only_if_asked_for(approving: Approving):
    approving.send("--attach-book", status=2)
    [part] = approving.mail().iter_attachments()
    assert part.get_content_type() == "text/html"
    assert "p3@x.example" in part.get_content()


def test_log_status_and_evidence_tell_it(approving: Approving):
    campaign = approving.campaign
    approving.send(status=2)
    approving.answer("No, because the date is wrong.")
    approving.answer(approving.code())
    assert campaign.petition("status", "open-letter", "--json").json["approvals"][0]["released"]
    assert "it may go" in campaign.petition("status", "open-letter").out
    approving.send(status=0)
    [asked] = campaign.petition("log", "--json").json["approvals"]
    assert [one["decision"] for one in asked["said"]] == ["refused", "approved"]
    assert "the date is wrong" in campaign.petition("log").out
    campaign.petition("evidence", "pack.zip", status=0)
    campaign.petition("evidence", "pack.zip", "--verify", status=0)
    with zipfile.ZipFile(campaign.root / "pack.zip") as pack:
        [line] = pack.read("approvals.jsonl").decode().splitlines()
        kept = json.loads(line)
        frozen = json.loads(pack.read("letters.jsonl").decode().splitlines()[0])
        mails = [name for name in pack.namelist() if name.startswith("mails/")]
        assert mails == [f"mails/{one['mail']}.eml" for one in kept["said"]]
        timeline = pack.read("timeline.txt").decode()
    assert [kept] == approving.requests()
    assert kept["hash"] == frozen["hash"]
    assert [one["how"] for one in kept["said"]] == ["mail", "mail"]
    assert len(mails) == 2
    assert "the date is wrong" in timeline


def test_a_forgotten_approver_leaves_what_was_decided(approving: Approving):
    approve(approving)
    approving.send(status=0)
    campaign = approving.campaign
    [exported, *_] = campaign.petition("export", BEA, "--json", status=0).json["logs"]
    assert [one["decision"] for one in exported["approvals"]] == ["approved"]
    campaign.petition("forget", BEA, "--yes", status=0)
    assert said(approving)[0][:2] == ("approved", "mail")
    assert BEA not in json.dumps(approving.requests())
    assert BEA not in campaign.petition("log").out
    [held, *_] = campaign.petition("export", BEA, "--json", status=0).json["logs"]
    assert held["approvals"] == []


# ---- workers


def test_two_sends_at_once_ask_once(approving: Approving, postgres: Postgres):
    approving.campaign.env["PETITION_DATABASE"] = postgres.new_log()
    sends = [approving.campaign.on_terminal("send", "open-letter", "--workers") for _ in range(2)]
    for child in sends:
        child.expect_exact("[y/N]")
    for child in sends:
        child.send("y\n")
    assert [child.end()[0] for child in sends] == [2, 2]
    assert len(approving.requests()) == 1
    assert approving.server.accepted == {BEA: 1}


def test_workers_get_nothing_before_it_is_approved(approving: Approving, postgres: Postgres):
    campaign = approving.campaign
    campaign.env["PETITION_DATABASE"] = postgres.new_log()
    approving.send("--workers", status=2)
    campaign.petition("worker", "--once", status=0)
    assert approving.server.accepted == {BEA: 1}
    approving.answer(approving.code())
    approving.send("--workers", status=0)
    campaign.petition("worker", "--once", status=0)
    assert approving.sent == EVERYBODY
    assert approving.server.accepted[BEA] == 1
