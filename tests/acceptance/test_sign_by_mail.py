"""Signatures by mail: who signs is asked, who confirms counts, and nobody signs for others."""

import re
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from petition.database_url import SQLITE
from petition.outbox.log import Log
from tests import PATIENCE
from tests.acceptance.returning import watching
from tests.acceptance.signing import log_of
from tests.acceptance.signing_mails import SIGN, Asked, mail, signed, signing_campaign, statuses
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer

ANN = "Ann Lee <ann@x.example>"
FIELDS = "Name: Ann B. Lee\nRole: Teacher\nPlace and country: Leeds, UK\nMy name may be shown"


class Desk:
    """A campaign that reads a Maildir and mails through a server that keeps what it takes."""

    def __init__(self, root: Path, server: CountingServer, **more: str) -> None:
        self.server = server
        for name in ("cur", "new", "tmp"):
            (root / "mail" / name).mkdir(parents=True)
        self.maildir = root / "mail" / "new"
        campaign = SmallCampaign.at(root, people=1).through(server.port)
        self.campaign = signing_campaign(campaign, "maildir:mail", **more).trust()

    def get(self, *mails: EmailMessage | bytes) -> None:
        for one in mails:
            name = f"{time.time_ns()}.m.host"
            (self.maildir / name).write_bytes(one if isinstance(one, bytes) else bytes(one))

    def read(self, *mails: EmailMessage | bytes) -> list[list[str]]:
        """What new mails have changed, in their order."""
        self.get(*mails)
        rows = self.campaign.petition("inbox", "--json", status=0).json["mails"]
        return [row["changed"] for row in rows]

    def asked(self, who: str = "ann@x.example") -> Asked:
        return Asked(self.server.last[who])


@pytest.fixture
def desk(tmp_path: Path, server: CountingServer) -> Desk:
    return Desk(tmp_path, server)


@pytest.fixture
def asked(desk: Desk) -> Asked:
    assert desk.read(mail(ANN)) == [["asked"]]
    return desk.asked()


def test_who_signs_is_asked_and_a_reply_confirms(desk: Desk):
    told = desk.campaign.petition("inbox", status=0).out
    assert "No new mail" in told
    desk.get(mail(ANN, text=f"{FIELDS} (yes or no): yes\n"))
    told = desk.campaign.petition("inbox", status=0).out
    assert re.search(r"ann@x\.example +Ann B\. Lee signs +asked", told)
    assert "1 confirmation mail sent" in told
    entry = signed(desk.campaign)["ann@x.example"].entry
    assert (entry.name, entry.role, entry.place, entry.country, entry.publish, entry.updates) == (
        *("Ann B. Lee", "Teacher", "Leeds", "UK"),
        *(True, False),
    )
    asked = desk.asked()
    assert asked.mail["Reply-To"] == SIGN
    assert desk.read(asked.above(ANN, "Yes")) == [["confirmed"]]
    assert statuses(desk.campaign) == {"ann@x.example": "confirmed"}
    assert desk.server.accepted == {"ann@x.example": 1}


def test_the_log_tells_of_the_mails_to_who_signs(desk: Desk, server: CountingServer):
    server.answers = {"bea": "550 5.1.1 No such mailbox"}
    desk.read(mail(ANN), mail("Bea <bea@x.example>"))
    told = desk.campaign.petition("log", "--json", status=0).json["service_mails"]
    states = {one["email"]: (one["kind"], one["state"]) for one in told}
    assert states == {"ann@x.example": ("confirm", "sent"), "bea@x.example": ("confirm", "failed")}
    [bea] = desk.campaign.petition("log", "bea@x.example", "--json").json["service_mails"]
    shown = desk.campaign.petition("log", "bea@x.example", status=0).out
    assert bea["reply"] in shown


@pytest.mark.parametrize("way", ["above", "below", "in_html"])
def test_a_reply_confirms_wherever_it_is_written(desk: Desk, asked: Asked, way: str):
    assert desk.read(getattr(asked, way)("ann@x.example", "Yes, I confirm.")) == [["confirmed"]]


def test_a_reply_without_the_quotation_confirms_by_its_thread(desk: Desk, asked: Asked):
    assert desk.read(asked.reply(ANN, "Yes")) == [["confirmed"]]


def test_a_reply_without_its_thread_confirms_by_the_code(desk: Desk, asked: Asked):
    reply = asked.above("ANN@X.example", "Yes")
    del reply["In-Reply-To"], reply["References"]
    assert desk.read(reply) == [["confirmed"]]


def test_a_reply_with_nothing_of_its_own_confirms(desk: Desk, asked: Asked):
    assert desk.read(asked.above(ANN, "")) == [["confirmed"]]


@pytest.mark.parametrize("where", ["above", "below"])
def test_of_a_quotation_without_marks_only_a_clear_yes_confirms(desk: Desk, asked: Asked, where):
    texts = {"above": f"Yes\n\n{asked.text}", "below": f"{asked.text}\n\nThat is a lie"}
    found = desk.read(asked.reply(ANN, texts[where]))
    assert found == [["confirmed"] if where == "above" else ["doubtful"]]


@pytest.mark.parametrize(
    "words", ["I did not sign this.", "No", "Please remove me.", "That wasn't me, who are you?"]
)
def test_a_no_takes_back_what_nobody_confirmed(desk: Desk, asked: Asked, words: str):
    assert desk.read(asked.above(ANN, words)) == [["withdrew"]]
    [gone] = signed(desk.campaign).values()
    assert (gone.status, gone.entry.name) == ("withdrawn", "")
    assert desk.read(mail(ANN, text="Hello again")) == [[]]  # no second mail on one day
    assert desk.read(asked.above(ANN, "Yes")) == [["doubtful"]]


@pytest.mark.parametrize(
    "words", ["What is this?", "Yes, but do not show my name.", "Yes?", "Who gave you my address"]
)
def test_what_is_not_clear_counts_for_nothing_and_is_shown(desk: Desk, asked: Asked, words: str):
    desk.get(asked.above(ANN, words))
    told = desk.campaign.petition("inbox", status=0).out
    assert "doubtful" in told
    assert "has changed nothing" in told
    assert statuses(desk.campaign) == {"ann@x.example": "unconfirmed"}
    listed = desk.campaign.petition("inbox", "--unmatched", "--json", status=0).json["mails"]
    assert [one["sender"] for one in listed] == ["ann@x.example"]


def test_who_has_signed_withdraws_by_reply(desk: Desk, asked: Asked):
    desk.read(asked.above(ANN, "Yes"))
    assert desk.read(asked.above(ANN, "I withdraw my signature.")) == [["withdrew"]]
    assert statuses(desk.campaign) == {"ann@x.example": "withdrawn"}


def test_who_withdraws_by_reply_is_named_in_nothing_that_is_not_sent_yet(desk: Desk):
    ann = "Ann Reed <ann@x.example>"
    desk.campaign.write("signatories.csv", "name,email,publish\nAnn Reed,ann@x.example,yes\n")
    desk.read(mail(ann))
    desk.read(desk.asked().above(ann, "Yes"))
    desk.campaign.petition("send", "open-letter", "--yes", status=0)
    assert "Ann Reed" in frozen(desk.campaign)
    assert desk.read(desk.asked().above(ann, "I withdraw my signature.")) == [["withdrew"]]
    assert "Ann Reed" not in frozen(desk.campaign)


def frozen(campaign: SmallCampaign) -> str:
    """The letter that copies are made from."""
    with log_of(campaign) as log:
        letter = log.newest("open-letter")
        assert letter
        return letter.document


def test_without_the_code_nobody_withdraws(desk: Desk, asked: Asked):
    desk.read(asked.above(ANN, "Yes"))
    assert desk.read(mail(ANN, "My signature", "I withdraw my signature.")) == [[]]
    assert statuses(desk.campaign) == {"ann@x.example": "confirmed"}


def test_nobody_confirms_or_withdraws_for_others(desk: Desk, asked: Asked):
    mallory = "Mallory <mallory@y.example>"
    desk.get(mail(mallory, text="x"))
    forged = mail(ANN, "Re: Please confirm your signature", "Yes\n\n> Code: " + "0" * 32)
    assert desk.read(asked.above(mallory, "Yes"), asked.above(mallory, "No"), forged) == [
        ["asked"],
        ["doubtful"],
        ["doubtful"],
        [],
    ]
    with_own = desk.asked("mallory@y.example").above(ANN, "Yes")
    assert desk.read(with_own) == [["doubtful"]]
    assert set(statuses(desk.campaign).values()) == {"unconfirmed"}


def test_what_a_program_wrote_confirms_nothing_and_is_not_answered(desk: Desk, asked: Asked):
    assert (
        desk.read(
            asked.above(ANN, "Yes", Auto_Submitted="auto-replied"),
            asked.above(ANN, "Yes", List_Id="<news.x.example>"),
            asked.above(ANN, "Yes", Precedence="list"),
            mail("Bea <bea@x.example>", Auto_Submitted="auto-replied"),
            mail("Bea <bea@x.example>", List_Id="<news.x.example>"),
            mail("Bea <bea@x.example>", Precedence="bulk"),
            mail("MAILER-DAEMON@x.example", Return_Path="<>"),
            mail("Water Campaign <letter@campaign.example>"),
            mail(f"Sign <{SIGN}>"),
        )
        == [[]] * 9
    )
    assert statuses(desk.campaign) == {"ann@x.example": "unconfirmed"}
    assert desk.server.accepted == {"ann@x.example": 1}


def test_a_mail_without_a_name_that_can_be_used_is_shown(desk: Desk):
    assert desk.read(
        mail("bea@x.example"),
        mail("Cem <cem@x.example>", text="Name: http://buy.example\n"),
        mail('"1234" <dan@x.example>'),
        mail("Eve <eve@x.example>", text="Name: " + "x" * 1_000_000),
        mail("y" * 1_000_000 + " <fay@x.example>"),
    ) == [["doubtful"]] * 4 + [[]]
    assert signed(desk.campaign) == {}
    assert desk.server.accepted == {}


def test_two_people_with_one_mailbox_are_shown(desk: Desk, asked: Asked):
    assert desk.read(mail("Bob Lee <ann@x.example>", text="Hello")) == [["doubtful"]]
    desk.read(asked.above(ANN, "Yes"))
    assert [one.entry.name for one in signed(desk.campaign).values()] == ["Ann Lee"]


def test_each_mail_acts_once_however_often_it_is_read(desk: Desk, asked: Asked):
    confirmed = asked.above(ANN, "Yes")
    assert desk.read(confirmed) == [["confirmed"]]
    assert desk.read(asked.above(ANN, "I withdraw my signature")) == [["withdrew"]]
    changed = [b"X-Status: read\r\n" + bytes(one) for one in (mail(ANN), confirmed)]
    assert desk.read(bytes(confirmed)) == []
    assert desk.read(*changed) == [[], []]
    assert statuses(desk.campaign) == {"ann@x.example": "withdrawn"}
    assert desk.server.accepted == {"ann@x.example": 1}


@pytest.mark.parametrize(
    ("subject", "yes", "language"),
    [
        ("Подписываю: вода", "Да", "ru"),
        ("Қол қоямын: су", "Иә", "kk"),
        ("Ich unterschreibe: Wasser", "Ja", "de"),
        ("Je signe : l’eau", "Oui", "fr"),
        ("Firmo: agua", "Sí", "es"),
        ("Підписую: вода", "Так", "uk"),
    ],
)
def test_people_sign_in_their_language(desk: Desk, subject: str, yes: str, language: str):
    assert desk.read(mail(ANN, subject)) == [["asked"]]
    asked = desk.asked()
    assert asked.mail["Content-Language"] == language
    assert f"{yes}" in asked.text
    assert desk.read(asked.above(ANN, yes)) == [["confirmed"]]


def test_own_words_sign_too_and_other_mail_does_not(desk: Desk):
    assert desk.read(
        mail(ANN, "Your letter", "Hello,\n\nI would like to sign the letter.\n\nAnn"),
        mail("Bob <bob@x.example>", "Your letter", "Where can I sign?"),
        mail("Cem <cem@x.example>", "Your letter", "I will not sign it."),
        mail("Dan <dan@x.example>", To="answers@campaign.example"),
    ) == [["asked"], [], [], []]


def test_a_server_that_is_away_does_not_stop_the_reading(desk: Desk):
    away = desk.campaign.through(1)
    desk.get(mail(ANN))
    answer = away.petition("inbox", status=0)
    assert "asked" in answer.out
    assert answer.err
    assert "1 confirmation mail sent" in desk.campaign.petition("inbox", status=0).out
    assert desk.server.accepted == {"ann@x.example": 1}


def test_nothing_is_sent_through_a_server_that_nobody_confirmed(tmp_path, server):
    desk = Desk(tmp_path, server)
    settings = (tmp_path / "petition.toml").read_text()
    desk.campaign.write("petition.toml", settings + '[smtp]\nhost = "mx.other.example"\n')
    desk.campaign.env.clear()
    desk.get(mail(ANN))
    answer = desk.campaign.petition("inbox", "--json", status=2)
    assert "[smtp] host" in answer.err + answer.out


def test_a_rehearsal_asks_into_the_folder(tmp_path, server):
    desk = Desk(tmp_path, server)
    desk.campaign.env.clear()
    desk.get(mail(ANN))
    told = desk.campaign.petition("inbox", status=0).out
    assert "nobody received anything" in told
    [kept] = (tmp_path / "outbox" / "new").iterdir()
    assert b"ann@x.example" in kept.read_bytes()


def test_explain_says_what_a_mail_is_for_a_signature(desk: Desk, asked: Asked):
    def explained(one: EmailMessage) -> str | None:
        file = desk.campaign.write("one.eml", bytes(one))
        said = desk.campaign.petition("inbox", "--explain", str(file), "--json", status=0)
        signing: str | None = said.json["signing"]
        return signing

    assert explained(mail(ANN)) == "signs"
    assert explained(asked.above(ANN, "Yes")) == "confirms"
    assert explained(asked.above(ANN, "No")) == "declines"
    assert explained(asked.above(ANN, "Hm")) == "unclear"
    assert explained(mail(ANN, "Hello", "Hello")) is None
    assert explained(mail(ANN, List_Id="<a.b>")) is None
    assert statuses(desk.campaign) == {"ann@x.example": "unconfirmed"}


def test_who_signs_while_the_inbox_is_watched_is_asked_at_once(desk: Desk):
    desk.get(mail(ANN))
    with watching(desk.campaign) as watched:
        assert watched.row()["changed"] == ["asked"]
        desk.server.wait_for(1)
        assert watched.interrupt(PATIENCE) == 130
    assert desk.server.accepted == {"ann@x.example": 1}


def test_while_letters_are_sent_their_run_sends_the_confirmations(desk: Desk):
    desk.get(mail(ANN))
    url = f"{SQLITE}{desk.campaign.root / 'petition.db'}"
    with Log(url) as log, log.owned():
        assert "asked" in desk.campaign.petition("inbox", status=0).out
        assert desk.server.accepted == {}
    desk.campaign.petition("send", "open-letter", "--yes", status=0)
    assert desk.server.accepted == {"ann@x.example": 1, "p1@x.example": 1}


def test_a_reply_to_a_letter_is_an_answer_to_it_whatever_it_says(desk: Desk):
    desk.campaign.petition("send", "open-letter", "--yes", status=0)
    [message_id] = desk.server.message_ids["p1@x.example"]
    reply = mail("P1 <p1@x.example>", "Re: one demand", "I sign", In_Reply_To=message_id)
    assert desk.read(reply) == [["unclassified"]]
    assert desk.read(mail("P1 <p1@x.example>")) == [["asked"]]
