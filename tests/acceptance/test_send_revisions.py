"""Revisions of a letter over several commands: limits, choices, crashes, and who is meant."""

from pathlib import Path
from string import Template

import pytest

from petition.outbox.states import State
from petition.template import bodies
from petition.template.condition import BareColumns
from tests.acceptance.queued import queue
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    return SmallCampaign.at(tmp_path).through(server.port)


def received(server: CountingServer) -> list[int]:
    return [server.accepted[f"p{number}@x.example"] for number in (1, 2, 3)]


def test_again_with_a_limit_reaches_one_after_the_other(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    again = ("send", "open-letter", "--yes", "--again", "--limit", "1")
    for expected in ([2, 1, 1], [2, 2, 1], [2, 2, 2]):
        campaign.petition(*again, status=0)
        assert received(server) == expected
    assert campaign.petition("status", "open-letter", "--json").json["revision"] == 2


def test_a_plain_send_finishes_what_again_began_for_everyone(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    campaign.petition("send", "open-letter", "--yes", "--again", "--limit", "1", status=0)
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert received(server) == [2, 2, 2]
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert received(server) == [2, 2, 2]


def test_again_for_one_is_not_given_to_the_others_by_a_plain_send(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    campaign.petition("send", "open-letter", "--yes", "--again", "--to", "p2", status=0)
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert received(server) == [1, 2, 1]
    campaign.petition("send", "open-letter", "--yes", "--again", "--limit", "1", status=0)
    assert received(server) == [2, 2, 1]
    campaign.petition("send", "open-letter", "--yes", status=0)  # meant for everyone by now
    assert received(server) == [2, 2, 2]


def test_revise_with_a_limit_is_continued(campaign: SmallCampaign, server: CountingServer):
    campaign.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
    campaign.change("letters/open-letter.md", "must be", "has to be")
    for expected in ([1, 1, 0], [1, 1, 1], [1, 1, 1]):
        campaign.petition("send", "open-letter", "--yes", "--revise", "--limit", "1", status=0)
        assert received(server) == expected


def test_a_revision_that_nobody_would_get_is_not_begun(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    campaign.change("letters/open-letter.md", "must be", "has to be")
    campaign.petition("send", "open-letter", "--yes", "--revise", status=0)
    assert campaign.petition("status", "open-letter", "--json").json["revision"] == 1
    assert received(server) == [1, 1, 1]


def test_a_changed_letter_is_rehearsed_again_without_a_question(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.petition("send", "open-letter", status=0)
    for old, new in (("must be", "has to be"), ("has to be", "shall be")):
        campaign.change("letters/open-letter.md", old, new)
        assert "ready" in campaign.petition("check", status=0).out
        campaign.petition("send", "open-letter", "--to", "p1", status=0)
        campaign.petition("send", "open-letter", status=0)
    mails = [mail.read_bytes() for mail in (campaign.root / "outbox/new").iterdir()]
    for text in (b"must be", b"has to be", b"shall be"):
        assert sum(text in mail for mail in mails) == 3
    campaign.petition("send", "open-letter", status=0)
    assert len(list((campaign.root / "outbox/new").iterdir())) == 9


def test_a_letter_that_was_never_attempted_is_frozen_anew(
    campaign: SmallCampaign, server: CountingServer
):
    nowhere = SmallCampaign(campaign.root).through(1)
    nowhere.petition("send", "open-letter", "--yes", status=4)
    campaign.change("letters/open-letter.md", "must be", "has to be")
    campaign.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
    assert received(server).count(1) == 1
    campaign.change("letters/open-letter.md", "has to be", "shall be")
    campaign.petition("send", "open-letter", "--yes", status=2)  # one copy has gone out
    assert received(server).count(1) == 1


def test_revise_is_offered_only_if_it_would_reach_somebody(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", "--yes", status=0)
    campaign.change("letters/open-letter.md", "must be", "has to be")
    refused = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "--again" in refused.err
    assert "--revise" not in refused.err
    campaign.list_people("p1", "p2", "p3", "p4")
    assert "--revise" in campaign.petition("send", "open-letter", "--yes", status=2).err


def test_a_letter_that_only_looks_renamed_can_be_sent(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--yes", status=0)
    letter = campaign.root / "letters/open-letter.md"
    text = letter.read_text(encoding="utf-8")
    letter.rename(campaign.root / "letters/appeal.md")
    answer = campaign.petition("send", "appeal", "--yes", status=2)
    assert "put letters/open-letter.md back beside it" in " ".join(answer.err.split())
    campaign.write("letters/open-letter.md", text)
    campaign.petition("send", "appeal", "--yes", status=0)
    assert received(server) == [2, 2, 2]


def test_nobody_leaves_the_queue_without_a_question(
    campaign: SmallCampaign, server: CountingServer
):
    SmallCampaign(campaign.root).through(1).petition("send", "open-letter", "--yes", status=4)
    campaign.petition("send", "open-letter", "--yes", "--to", "p1", "--to", "p2", status=0)
    campaign.list_people("p1", "p2")
    dry = campaign.petition("send", "open-letter", "--dry-run", status=0)
    assert "1 who is no longer on the list" in dry.out
    answer = campaign.petition("send", "open-letter", status=2)
    assert "1 who is no longer on the list" in answer.out
    assert "nothing was sent" in answer.err
    assert campaign.states()["p3"] == "queued"
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert campaign.states()["p3"] == "skipped"


def test_the_plan_tells_deferred_uncertain_and_attempted_copies_apart(tmp_path: Path):
    from petition.outbox.states import State
    from tests.acceptance.queued import queue

    campaign = SmallCampaign.at(tmp_path, people=4)
    queue(campaign, p1=State.DEFERRED, p2=State.UNCERTAIN, p3=State.SENT)
    said = " ".join(campaign.petition("send", "open-letter", "--dry-run", status=0).out.split())
    assert "send 1 waiting from before" in said
    assert "deferred 1, next due at 2099-01-01" in said
    assert "uncertain 1: " in said
    assert "petition resolve" in said
    assert "leave out 1 have it already" in said


def test_a_copy_that_was_attempted_is_shown_and_sent_as_it_was_queued(
    tmp_path: Path, server: CountingServer
):
    campaign = SmallCampaign.at(tmp_path, people=1).through(server.port)
    server.answers = {"p1": "451 4.7.1 later"}
    campaign.petition("send", "open-letter", "--yes", status=3)
    campaign.list_people("p1", p1="Hull")
    import sqlite3

    with sqlite3.connect(tmp_path / "petition.db") as connection:
        connection.execute("UPDATE copy SET due_at = '2020-01-01T00:00:00.000Z'")
    connection.close()
    said = campaign.petition("send", "open-letter", "--dry-run", status=0).out
    assert "the water of our town" in said
    assert "1 was attempted before and goes out unchanged" in " ".join(said.split())
    assert "Hull" not in said
    assert "Hull" not in campaign.petition("preview", "open-letter", status=0).out


GREETING = "{% if recipient.member %}Dear member{% else %}Dear neighbour{% endif %},"


def member(campaign: SmallCampaign, *cells: str) -> None:
    rows = (f"p{at}@x.example,P{at},{cell}\n" for at, cell in enumerate(cells, start=1))
    campaign.write("recipients.csv", "email,name,member\n" + "".join(rows))


def test_a_list_cannot_change_how_the_cells_of_a_frozen_letter_count(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.change("letters/open-letter.md", "Dear {{ recipient.name }},", GREETING)
    campaign.change("letters/open-letter.md", ' of {{ recipient.town or "our town" }}', "")
    member(campaign, "", "no", "yes")
    campaign.petition("send", "open-letter", "--yes", status=0)
    greeted = [b"Dear member" in server.last[f"p{at}@x.example"] for at in (1, 2, 3)]
    assert greeted == [False, False, True]
    member(campaign, "", "", "", "no")
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert server.accepted["p4@x.example"] == 1
    member(campaign, "gold", "", "", "", "silver")
    assert "not ready" in campaign.petition("check", status=2).out
    refused = campaign.petition("send", "open-letter", "--yes", status=2)
    assert "recipient.member" in refused.err
    assert "--revise" in refused.err
    member(campaign, "gold", "", "no", "", "silver")
    both = campaign.petition("send", "open-letter", "--yes", "--revise", status=1)
    assert "recipients.csv:2" in both.err + both.out
    member(campaign, "gold", "", "", "", "silver")
    campaign.petition("send", "open-letter", "--yes", "--revise", status=0)
    assert server.accepted == {f"p{at}@x.example": 1 for at in range(1, 6)}
    assert b"Dear member" in server.last["p5@x.example"]


def test_a_rehearsal_with_another_list_counts_its_cells_anew(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.change("letters/open-letter.md", "Dear {{ recipient.name }},", GREETING)
    campaign.change("letters/open-letter.md", ' of {{ recipient.town or "our town" }}', "")
    greeted = []
    for cells in (("no", "yes"), ("gold", ""), ("0", "FALSE")):
        member(campaign, *cells)
        assert "ready" in campaign.petition("check", status=0).out
        campaign.petition("send", "open-letter", status=0)
        mails = [mail.read_bytes() for mail in (campaign.root / "outbox/new").iterdir()]
        greeted.append(sum(b"Dear member" in mail for mail in mails))
    assert greeted == [1, 2, 2]


def test_a_letter_that_another_version_began_is_finished_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    campaign = SmallCampaign.at(tmp_path)
    campaign.change("letters/open-letter.md", "Dear {{ recipient.name }},", GREETING)
    campaign.change("letters/open-letter.md", ' of {{ recipient.town or "our town" }}', "")
    rows = "p1,p1@x.example,P1,yes\np2,p2@x.example,P2,gold\np3,p3@x.example,P3,\n"
    campaign.write("recipients.csv", f"id,email,name,member\n{rows}")
    with monkeypatch.context() as older:
        page = "<html lang=$language dir=$direction><title>$title</title><i>Older</i>$body"
        older.setattr(bodies, "_layout", lambda: (Template(page), "", ""))
        # Any text was true there, and "yes" beside another was no problem.
        older.setattr(BareColumns, "look_at", lambda _self, _people: frozenset())
        queue(campaign, p1=State.SENT)
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert campaign.petition("status", "open-letter", "--json").json["revision"] == 1
    sent = list((tmp_path / "outbox/new").iterdir())
    assert [b"<i>Older</i>" in one.read_bytes() for one in sent] == [True, True]
    assert "<i>Older</i>" in campaign.petition("preview", "--as", "html", status=0).out
    campaign.petition("send", "open-letter", "--yes", "--again", status=0)
    sent = list((tmp_path / "outbox/new").iterdir())
    assert sum(b"<i>Older</i>" not in one.read_bytes() for one in sent) == 3


def test_whoever_left_is_left_out_of_cc_of_a_copy_that_was_attempted(
    campaign: SmallCampaign, server: CountingServer
):
    import sqlite3

    copied = 'to: recipients\ncc: ["{{ recipient.town }}"]'
    campaign.change("letters/open-letter.md", "to: recipients", copied)
    campaign.change("letters/open-letter.md", ' of {{ recipient.town or "our town" }}', "")
    campaign.list_people("p1", "p2", p1="Jo <Jo@y.example>; al@y.example", p2="al@y.example")
    server.answers = {"p1": "451 4.7.1 later"}
    campaign.petition("send", "open-letter", "--yes", status=3)
    campaign.petition("suppress", "jo@y.example", status=0)
    campaign.list_people("p1", "p2", p2="al@y.example")
    server.answers = {}
    with sqlite3.connect(campaign.root / "petition.db") as connection:
        connection.execute("UPDATE copy SET due_at = '2020-01-01T00:00:00.000Z'")
    connection.close()
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert b"\r\nCc: al@y.example\r\n" in server.last["p1@x.example"]
    assert server.accepted == {"p1@x.example": 1, "p2@x.example": 1, "al@y.example": 2}
