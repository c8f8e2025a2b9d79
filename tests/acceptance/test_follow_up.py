"""A letter that follows another: to whom it goes, in which thread, and what it quotes."""

import email
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from email.message import Message
from typing import TYPE_CHECKING

import pytest
from pypdf import PdfReader

from petition.template.fields import long_date
from tests.acceptance.returning import DSN
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server

if TYPE_CHECKING:
    from collections.abc import Callable

DEMANDS = "## Clean the river {#river}\n\nAll of it.\n\n## Open the books {#books}\n\nNow.\n"
FOLLOW_UP = """\
---
follows: open-letter
---
Dear {{ recipient.name }},

we wrote on {{ previous.sent_on.iso }}, {{ previous.days }} days ago, and got
{{ previous.answers|length }} answers.

{% for stall in previous.stalls %}
- {{ stall.channel or "somehow" }}: {{ stall.quote }}
{% endfor %}

{% for demand in open_demands %}
**{{ demand.number }}. {{ demand.title }}**
{% endfor %}
"""


@pytest.fixture
def campaign(campaign: SmallCampaign) -> SmallCampaign:
    campaign.write("letters/demands.md", DEMANDS)
    campaign.write("letters/follow-up.md", FOLLOW_UP)
    return campaign


def sent(campaign: SmallCampaign, who: str) -> list[Message]:
    """What somebody got in the sandbox: the letter, then what followed it."""
    found = []
    for path in (campaign.root / "outbox" / "new").iterdir():
        letter = email.message_from_bytes(path.read_bytes())
        if f"{who}@" in letter["To"]:
            found.append(letter)
    return sorted(found, key=lambda letter: len((letter["References"] or "").split()))


def text_of(letter: Message) -> str:
    part = next(part for part in letter.walk() if part.get_content_type() == "text/plain")
    return part.get_payload(decode=True).decode()  # type: ignore[union-attr]


def answer(campaign: SmallCampaign, *arguments: str) -> None:
    campaign.petition("answer", *arguments, status=0)


def test_it_goes_to_the_unanswered_in_the_thread_of_their_letter(campaign: SmallCampaign):
    campaign.list_people("p1", "p2", "p3", "p4")
    campaign.petition("send", "open-letter", "--to", "p1", "--to", "p2", "--to", "p3", status=0)
    answer(campaign, "p1", "stalled", "--channel", "phone", "--quote", "Not <b>here</b>\x1b[1m.")
    answer(campaign, "p1", "met", "--demand", "river", "--quote", "Done.")
    answer(campaign, "p2", "meeting", "--quote", "Come.")
    campaign.petition("send", "follow-up", status=0)
    assert campaign.states("follow-up") == {
        "p1": "sent", "p2": "skipped", "p3": "sent", "p4": "skipped",
    }  # fmt: skip
    rows = campaign.petition("status", "follow-up", "--state", "skipped", "--json").json["copies"]
    assert [row["reason"] for row in rows] == ["answered", "did not get open-letter"]
    first, second = sent(campaign, "p1")
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
    assert str(make_header(decode_header(second["Subject"]))) == "Re: P1: one demand"
    words = text_of(second)
    assert "0 days ago, and got 2 answers" in " ".join(words.split())
    assert "- phone: Not <b>here</b> [1m." in words
    assert "2. Open the books" in words
    assert "Clean the river" not in words
    assert "Clean the river" in text_of(sent(campaign, "p3")[1])


class AtP2(dict[str, str]):
    """Does something once, while the server is told that a letter is for p2."""

    def __init__(self) -> None:
        super().__init__(nobody="")
        self.told: Callable[[], None] | None = None

    def get(self, who: str, default: object = None) -> None:  # type: ignore[override]
        if who == "p2" and self.told:
            told, self.told = self.told, None
            told()


def test_who_answers_while_it_is_handed_over_does_not_get_it(campaign: SmallCampaign):
    answers = AtP2()
    with counting_server(answers=answers) as server:
        real = campaign.through(server.port)
        real.petition("send", "open-letter", "--yes", status=0)
        answers.told = lambda: answer(real, "p2", "refused", "--quote", "No.")
        real.petition("send", "follow-up", "--yes")
        assert server.accepted == {"p1@x.example": 2, "p2@x.example": 1, "p3@x.example": 2}
    (row,) = real.petition("status", "follow-up", "--state", "skipped", "--json").json["copies"]
    assert (row["email"], row["reason"]) == ("p2@x.example", "answered")


def test_whose_letter_bounces_while_it_is_handed_over_does_not_get_it(campaign: SmallCampaign):
    answers = AtP2()
    for name in ("cur", "new", "tmp"):
        (campaign.root / "answers" / name).mkdir(parents=True)
    with counting_server(answers=answers) as server:
        real = campaign.through(server.port)
        settings = (real.root / "petition.toml").read_text("utf-8")
        real.write("petition.toml", settings + '\n[inbox]\nurl = "maildir:answers"\n')
        real.petition("send", "open-letter", "--yes", status=0)
        (message_id,) = server.message_ids["p2@x.example"]

        def bounce() -> None:
            mail = DSN.format(
                to="answers@campaign.example", number=1, who="p2@x.example", action="failed",
                status="5.2.2", said="552 5.2.2 Full", returned=f"Message-ID: {message_id}",
            )  # fmt: skip
            real.write("answers/new/1.1.host", mail)
            real.petition("inbox", status=0)

        answers.told = bounce
        real.petition("send", "follow-up", "--yes")
        assert server.accepted == {"p1@x.example": 2, "p2@x.example": 1, "p3@x.example": 2}
    (row,) = real.petition("status", "follow-up", "--state", "skipped", "--json").json["copies"]
    assert (row["email"], row["reason"]) == ("p2@x.example", "did not get open-letter")


def test_an_unclassified_answer_holds_it_back_until_it_is_classified(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", status=0)
    answer(campaign, "p1", "unclassified", "--quote", "Hm.")
    said = campaign.petition("send", "follow-up", status=0).out
    assert "1 answer to be classified" in said
    assert campaign.states("follow-up")["p1"] == "skipped"
    answer(campaign, "p1", "stalled", "--letter", "open-letter", "--quote", "Hm.")
    campaign.petition("send", "follow-up", status=0)
    assert campaign.states("follow-up")["p1"] == "sent"
    assert [len(sent(campaign, who)) for who in ("p1", "p2", "p3")] == [2, 2, 2]


def test_it_says_itself_which_answers_it_is_for(campaign: SmallCampaign):
    campaign.change("letters/follow-up.md", "---\nDear", "where: answer in (refused)\n---\nDear")
    campaign.petition("send", "open-letter", status=0)
    answer(campaign, "p2", "refused", "--quote", "No.")
    campaign.petition("send", "follow-up", status=0)
    assert campaign.states("follow-up") == {"p1": "skipped", "p2": "sent", "p3": "skipped"}


def test_what_was_attempted_stays_as_it_was_whatever_is_answered(campaign: SmallCampaign):
    with counting_server() as server:
        campaign.through(server.port).petition("send", "open-letter", "--yes", status=0)
    with counting_server(answers={"p1": "451 4.7.1 Greylisted"}) as server:
        real = campaign.through(server.port)
        real.petition("send", "follow-up", "--yes", status=3)
        before = real.petition("preview", "follow-up", "--to", "p1", "--as", "source", status=0)
        answer(real, "p1", "stalled", "--quote", "Nobody is here.")
        after = real.petition("preview", "follow-up", "--to", "p1", "--as", "source", status=0)
    assert before.out == after.out
    assert "Nobody is here" not in after.out


def test_an_answer_to_the_follow_up_counts_for_the_letter(campaign: SmallCampaign):
    campaign.write(
        "letters/last.md", FOLLOW_UP.replace("open-letter", "follow-up") + "\nOnce more.\n"
    )
    campaign.petition("send", "open-letter", status=0)
    campaign.petition("send", "follow-up", status=0)
    answer(campaign, "p1", "met", "--demand", "books", "--quote", "Here.")
    answer(campaign, "p2", "refused", "--quote", "No.")
    people = campaign.petition("status", "open-letter", "--answers", "--json").json["people"]
    assert [one["answer"] for one in people] == ["none", "refused", "none"]
    campaign.petition("send", "last", status=0)
    first, second, third = sent(campaign, "p1")
    assert third["References"].split() == [first["Message-ID"], second["Message-ID"]]
    assert third["In-Reply-To"] == second["Message-ID"]
    assert third["Subject"] == second["Subject"] == "Re: P1: one demand"
    assert len(sent(campaign, "p2")) == 2


def test_nothing_follows_a_letter_that_nobody_has_got(campaign: SmallCampaign):
    campaign.petition("check", status=0)
    shown = campaign.petition("preview", "follow-up", status=0)
    assert "open-letter" in shown.err
    assert "Subject: Re: Clean water for Leeds" in shown.out
    said = campaign.petition("send", "follow-up", status=2)
    assert "petition send open-letter" in said.err


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("follows: open-letter", "follows: open-leter", "Did you mean open-letter"),
        ("follows: open-letter", "follows: follow-up", "follow each other in a circle"),
        ("stall.quote", "stall.quoted", "there is no stall.quoted"),
        ("previous.days", "previous.day", "there is no previous.day"),
        ("demand.title", "demand.titel", "Did you mean"),
        ("follows: open-letter", "subject: x", "the letter follows no other"),
    ],
)
def test_what_is_wrong_with_it_is_found_before_anything_is_sent(
    campaign: SmallCampaign, old: str, new: str, told: str
):
    campaign.change("letters/follow-up.md", old, new)
    assert told in campaign.petition("check", "follow-up", status=1).out


SIGNED = "name,kind,publish,email,signed_on\n"
NEWS = """\
---
follows: open-letter
---
{{ signatories | length }} have signed, {{ signatories.new | length }} of them new.

{% if signatories.new %}
{{ signatories.new | limit(2) }}
{% endif %}
"""


def signed_by(campaign: SmallCampaign, *rows: str) -> None:
    campaign.write("signatories.csv", SIGNED + "".join(f"{row}\n" for row in rows))


def plain(words: str) -> str:
    return " ".join(words.split())


def test_it_says_who_has_signed_since_the_letter_before(campaign: SmallCampaign):
    today = datetime.now(UTC).date()
    long_ago, lately = today - timedelta(days=30), today - timedelta(days=2)
    old = [f"Ann Reed,individual,yes,,{long_ago}", f"Hidden Hana,individual,no,,{long_ago}"]
    new = [
        f"River Friends,organisation,yes,river@friends.org,{lately}",
        f"Bo Li,individual,yes,bo@li.org,{lately}",
        f"Cy Moss,individual,yes,cy@moss.org,{lately}",
        f"Hidden Hugo,individual,no,,{lately}",
    ]
    signed_by(campaign, *old)
    campaign.write("letters/follow-up.md", NEWS)
    with counting_server() as server:
        real = campaign.through(server.port)
        assert real.days_off(-9, "send", "open-letter", "--yes").status == 0

        # Somebody without a day, whom the letter before does not name, may be new or not.
        signed_by(campaign, *old, *new, "Dee Fox,individual,yes,,")
        refused = real.petition("check", "follow-up", status=1)
        assert "signatories.csv:8: whether this signatory has signed since" in refused.out
        real.petition("send", "follow-up", "--yes", status=1)
        assert server.accepted.total() == 3

        old[0] = "ANN REED,individual,yes,,"
        signed_by(campaign, *old, *new)
        real.petition("check", "follow-up", status=0)
        text = real.petition("preview", "follow-up", "--to", "p1", status=0).out
        real.petition("preview", "follow-up", "--to", "p1", "--pdf", "p1.pdf", status=0)
        pages = PdfReader(campaign.root / "p1.pdf").pages
        real.petition("send", "follow-up", "--limit", "1", "--yes")
        said = plain(text_of(email.message_from_bytes(server.last["p1@x.example"])))
        begin, _, day = said.rpartition(" since ")
        assert begin == "6 have signed, 4 of them new. River Friends Bo Li and 2 more"
        assert day in {long_date(today - timedelta(days=ago), "en") for ago in (8, 9)}
        assert said in plain(text)
        assert said in plain(" ".join(page.extract_text() for page in pages))

        # What was begun is not sent otherwise to the rest, whoever has signed meanwhile.
        signed_by(campaign, *old, *new, f"Eve Ash,individual,yes,,{today}")
        real.petition("send", "follow-up", "--yes", status=2)
        signed_by(campaign, *old, *new)
        real.petition("forget", "bo@li.org", "--yes", status=0)
        real.petition("send", "follow-up", "--yes", status=0)
        said = plain(text_of(email.message_from_bytes(server.last["p2@x.example"])))
        assert said == f"5 have signed, 3 of them new. River Friends Cy Moss and 1 more since {day}"


def test_a_letter_that_follows_none_cannot_say_who_is_new(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "{{ signatories }}", "{{ signatories.new }}")
    said = campaign.petition("check", "open-letter", status=1).out
    assert "letters/open-letter.md:12: the letter follows no other" in said
    campaign.petition("send", "open-letter", "--yes", status=1)
    assert not (campaign.root / "outbox").exists()
