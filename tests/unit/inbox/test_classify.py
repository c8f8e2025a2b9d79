"""What each sample mail is: `expected.csv` and `replies.csv` beside them have the answers."""

import csv
from pathlib import Path

import pytest

from petition.inbox.classify import explain
from petition.web.unsubscribe import WORDS

SAMPLES = Path(__file__).parents[2] / "samples" / "mail"
PERMANENT = {"yes": True, "no": False, "": None}


def rows(name: str) -> list[dict[str, str]]:
    with (SAMPLES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "row", rows("expected.csv"), ids=lambda row: row["file"].removesuffix(".eml")
)
def test_a_sample_is_classified(row: dict[str, str]):
    found = explain((SAMPLES / row["file"]).read_bytes())
    assert found.kind == row["kind"], found.reason
    assert found.recipient == (row["recipient"] or None), found.reason
    assert found.status == (row["status"] or None), found.reason
    assert found.permanent is PERMANENT[row["permanent"]], found.reason


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_make_no_difference(ending: str):
    for row in rows("expected.csv"):
        data = (SAMPLES / row["file"]).read_bytes().replace(b"\n", ending.encode())
        found = explain(data)
        assert (found.kind, found.recipient) == (row["kind"], row["recipient"] or None)


def test_every_sample_has_an_answer():
    there = {path.name for path in SAMPLES.glob("*.eml")}
    assert there == {row["file"] for row in rows("expected.csv")}
    assert len(there) >= 60


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("answer-calendar-declined.eml", "declined the invitation: I am abroad that day."),
        ("answer-pdf-alone.eml", "it has no words of its own; attached: answer.pdf"),
        ("answer-winmail.eml", "it has no words of its own; attached: winmail.dat"),
    ],
)
def test_an_answer_without_text_says_what_is_there(file: str, reason: str):
    assert explain((SAMPLES / file).read_bytes()).reason == reason


def test_a_reaction_is_told():
    mail = (
        b"From: k@kaz.example\nContent-Type: multipart/alternative; boundary=a\n\n"
        b"--a\n\nKim reacted\n\n--a\nContent-Type: text/vnd.google.email-reaction+json\n\n"
        b'{"version": 1, "emoji": "\xf0\x9f\x91\x8d"}\n--a--\n'
    )
    found = explain(mail)
    assert (found.kind, found.reason) == ("answer", "reacted with \N{THUMBS UP SIGN}")


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("complaint", "abuse"),
        ("complaint", "x-unheard-of"),
        ("report", "virus"),
        ("report", "dmarc"),
    ],
)
def test_a_feedback_report_is_a_complaint_unless_its_type_says_otherwise(kind: str, type_: str):
    data = (SAMPLES / "arf-abuse.eml").read_text(encoding="utf-8")
    changed = data.replace("Feedback-Type: abuse", f"Feedback-Type: {type_}")
    assert changed != data or type_ == "abuse"
    assert explain(changed.encode()).kind == kind


@pytest.mark.parametrize("row", rows("replies.csv"), ids=lambda row: row["subject"][:60])
def test_automatic_replies_and_answers_are_told_apart(row: dict[str, str]):
    header = f"{row['header']}\n" if row["header"] else ""
    mail = (
        f"From: {row['sender']}\nTo: answers@campaign.example\nSubject: {row['subject']}\n"
        f"Content-Type: text/plain; charset=utf-8\n{header}\n{row['text']}\n"
    )
    found = explain(mail.encode())
    assert found.kind == row["kind"], found.reason


@pytest.mark.parametrize("language", WORDS)
def test_the_words_of_the_button_ask_for_no_more_letters(language: str):
    words = WORDS[language]["button"]
    mail = (
        f"From: a@reader.example\nSubject: Re\nContent-Type: text/plain; charset=utf-8\n\n{words}\n"
    )
    assert explain(mail.encode()).kind == "unsubscribe"


CARRIED_BY = {
    "a program": "Auto-Submitted: auto-generated",
    "a list": "Precedence: bulk",
    "a desk": "X-Mailer: Zendesk Mailer",
}
NOTES = """\
auto-reply Thank you for your mail. I will be back on Monday.
auto-reply Я у відпустці до 3 травня.
auto-reply 3 Mayıs'a kadar izindeyim.
auto-reply Olen lomalla 3. toukokuuta asti.
auto-reply Do 3. května mám dovolenou.
auto-reply Május 3-ig szabadságon vagyok.
auto-reply Απουσιάζω έως τις 3 Μαΐου.
auto-reply 5월 3일까지 휴가입니다.
auto-reply أنا في إجازة حتى 3 مايو.
auto-reply Sunt în concediu până la 3 mai.
auto-reply אני בחופשה עד 3 במאי.
auto-reply Thank you for your letter. We have received your request for support and will reply soon.
answer Thank you for your letter, which we received on Monday. We cannot agree to demand 2.
answer We have received your request, and refuse it.
answer Wir haben Ihr Schreiben erhalten und lehnen die Forderungen ab.
answer Ваше обращение получено. Мы согласны.
answer Nous avons bien reçu votre lettre et nous refusons.
answer Συμφωνούμε με το αίτημά σας."""


@pytest.mark.parametrize("carrier", CARRIED_BY)
@pytest.mark.parametrize("note", NOTES.splitlines())
def test_words_tell_an_answer_that_a_program_carries_from_its_own(carrier: str, note: str):
    kind, _, words = note.partition(" ")
    header = f"From: k@kaz.example\nSubject: Re: Water\nIn-Reply-To: <1@x>\n{CARRIED_BY[carrier]}"
    mail = f"{header}\nContent-Type: text/plain; charset=utf-8\n\n{words}\n"
    assert explain(mail.encode()).kind == kind


@pytest.mark.parametrize(
    ("kind", "subject", "words"),
    [
        ("unsubscribe", "***SPAM*** Re: [EXT] Unsubscribe", ""),
        ("unsubscribe", "AW: unsubscribe", "> Dear Kim"),
        ("answer", "Re: unsubscribe", "We agree."),
        ("unsubscribe", "Re: Water", "Bitte tragen Sie mich aus dem Verteiler aus."),
        ("unsubscribe", "Re: Water", "Désinscrivez-moi."),
        ("unsubscribe", "Re: Water", "No me escriban más, gracias"),
        ("answer", "Re: Water", "I do not want to unsubscribe."),
    ],
)
def test_a_request_to_leave_is_known_by_its_subject_or_its_words(
    kind: str, subject: str, words: str
):
    head = f"From: k@kaz.example\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8"
    assert explain(f"{head}\n\n{words}\n".encode()).kind == kind


_, *LEAVING = (SAMPLES.parent / "leaving.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("line", LEAVING)
def test_a_wish_to_leave_is_known_or_doubted(line: str):
    expected, _, words = line.partition(" ")
    head = "From: k@kaz.example\nSubject: Re: Stop sending us sewage\n"
    found = explain(f"{head}Content-Type: text/plain; charset=utf-8\n\n{words}\n".encode())
    is_request = found.kind == "unsubscribe"
    told = "leaves" if is_request else "doubt" if found.may_leave else str(found.kind)
    assert told == expected


def test_a_footer_asks_for_nothing():
    words = (
        "We will meet you.\n\nIf you received this e-mail in error, please delete it from your"
        " system.\nVi preghiamo di eliminare questo messaggio. Para darse de alta, escriba aquí."
    )
    mail = f"From: k@kaz.example\nSubject: Water\n\n{words}\n"
    assert not explain(mail.encode()).may_leave


BEGUN_BY_A_DESK = (
    "From: Office of M. Lane <noreply@casework.example>\nSubject: Your letter (ML77)\n"
)


@pytest.mark.parametrize(
    ("kind", "head", "words"),
    [
        ("answer", "Reply-To: ml77@casework.example\n", "The library stays open until May."),
        ("answer", "Reply-To: ml77@casework.example\n", "We have received it and refuse."),
        ("auto-reply", "Reply-To: ml77@casework.example\n", "Your letter has been received."),
        ("auto-reply", "Reply-To: noreply@casework.example\n", "The library stays open."),
        ("auto-reply", "", "The library stays open until May."),
    ],
)
def test_a_desk_that_names_a_person_to_reply_to_carries_an_answer(kind: str, head: str, words: str):
    mail = f"{BEGUN_BY_A_DESK}{head}Auto-Submitted: auto-generated\n\n{words}\n"
    assert explain(mail.encode()).kind == kind


def test_a_ticket_with_a_decision_in_it_is_an_answer():
    head = "From: k@kaz.example\nSubject: [Ticket 12] Your request has been received\n"
    assert explain(f"{head}\nIt has been received.\n".encode()).kind == "auto-reply"
    assert explain(f"{head}\nIt has been received. We refuse.\n".encode()).kind == "answer"


def test_a_comment_on_an_invitation_keeps_its_lines():
    head = "From: k@kaz.example\nSubject: Declined\nContent-Type: text/calendar\n\n"
    event = "METHOD:REPLY\nATTENDEE;PARTSTAT=DECLINED:mailto:k@kaz.example\n"
    mail = f"{head}{event}COMMENT:I am abroad\\, sorry\\nthat day.\n"
    assert explain(mail.encode()).reason == "declined the invitation: I am abroad, sorry that day."
