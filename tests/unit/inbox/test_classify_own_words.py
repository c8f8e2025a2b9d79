import re
from pathlib import Path

import pytest

from petition.inbox.own_words import own_lines, own_words
from petition.mail_parser import read_mail, text_of_html

QUOTED = "> Dear Mr Kim,\n> four demands\n"


@pytest.mark.parametrize(
    "line",
    [
        "On Mon, 28 Sep 2015 at 09:12, Campaign <letter@campaign.example> wrote:",
        "On Mon, 28 Sep 2015 at 09:12, Campaign Kazakhstan\n<letter@campaign.example> wrote:",
        "Am 28.09.2015 um 09:12 schrieb Campaign <letter@campaign.example>:",
        "Le lun. 28 sept. 2015 à 09:12, Campaign <letter@campaign.example> a écrit :",
        "28 сентября 2015 г., 09:12 пользователь Campaign <letter@campaign.example> написал:",
        '28.09.2015, 09:12, "Campaign" <letter@campaign.example>:',
        "пн, 28 сент. 2015 г. в 09:12, Campaign <letter@campaign.example>:",
        "Понедельник, 28 сентября 2015, 12:12 +03:00 от Campaign <letter@campaign.example>:",
        "2015 ж. 28 қыр., дс 09:12, Campaign <letter@campaign.example> жазды:",
        "Campaign Kazakhstan <letter@campaign.example> wrote:",
        "---- On Mon, 28 Sep 2015 09:12:43 +0100 letter@campaign.example wrote ----",
        "2015-09-28 09:12 GMT+02:00 Campaign <\nletter@campaign.example>:",
        '28 wrz 2015 09:12 "Komitet" <letter@campaign.example> napisał(a):',
        "pon., 28 wrz 2015 o 09:12 Campaign <letter@campaign.example> napisał(a):",
        "ma 28. syysk. 2015 klo 9.12 Campaign (letter@campaign.example) kirjoitti:",
        "man. 28. sep. 2015 kl. 09:12 skrev Campaign <letter@campaign.example\n>:",
        "po 28. 9. 2015 o 9:12 Campaign <letter@campaign.example> napísal(a):",
        "Campaign <letter@campaign.example>, 28 Eyl 2015 Pzt, 09:12 tarihinde şunu yazdı:",
        "Στις Δευ 28 Σεπ 2015 στις 9:12 π.μ., ο χρήστης Campaign <letter@c.example> έγραψε:",
        "Missatge de Campaign <letter@campaign.example> del dia dl., 28 de set. 2015 a les 9:12:",
        "Campaign <letter@campaign.example> 于2015年9月28日周一 09:12写道：",
        "pon, 28. ruj 2015. u 09:12 Campaign <letter@campaign.example> napisao je:",
    ],
)
@pytest.mark.parametrize("quoted", [QUOTED, QUOTED.replace("> ", "")])
@pytest.mark.parametrize("gap", ["\n\n", "\n"])
def test_text_after_an_attribution_is_quoted(line: str, quoted: str, gap: str):
    assert own_lines(f"We can meet.{gap}{line}{gap}{quoted}") == "We can meet."


@pytest.mark.parametrize(
    "line",
    [
        "At 28/9/2015 9:12 AM, you wrote:",
        "2015. 09. 28. 9:12 keltezéssel, Campaign írta:",
        "Am Montag, 28. September 2015 schrieb Campaign:",
    ],
)
def test_a_line_without_an_address_announces_lines_that_are_marked(line: str):
    assert own_lines(f"We can meet.\n\n{line}\n{QUOTED}") == "We can meet."
    said = "We can meet.\n\nOn 28 September 2015 the council said:\n\nWe refuse."
    assert own_lines(said) == said


def test_an_answer_below_an_unmarked_quotation_is_not_lost():
    text = 'On 5 Oct 2026 10:11, "C" <a@campaign.example> wrote:\n\nWe refuse all four.\n'
    assert own_lines(text) == "We refuse all four."


def test_lines_quoted_with_initials_are_quoted():
    assert own_lines("We refuse.\n\nCC> Dear Ms Osei,\nCC> read this.") == "We refuse."


def test_a_rule_within_a_table_ends_nothing():
    text = f"We offer:\n\nDay     Hour\n{'-' * 40}\nMonday  10:00\n\nPlease choose."
    assert own_lines(text) == text


@pytest.mark.parametrize(
    "block",
    [
        "-----Original Message-----\nFrom: Campaign\nDear Mr Kim",
        "________________________________\nFrom: Campaign\nSent: Monday\nTo: Kim\n\nDear",
        "From: Campaign\nSent: Monday, 28 September 2015\nTo: Kim\nSubject: Open letter\n\nDear",
        "От: Campaign\nОтправлено: 28 сентября 2015\nКому: Kim\nТема: Open letter\n\nDear",
        "Von: Campaign\nGesendet: Montag\nAn: Kim\nBetreff: Open letter\n\nDear",
        "De : Campaign\nEnvoyé : lundi\nÀ : Kim\nObjet : Open letter\n\nDear",
        "Кімнен: Campaign\nЖіберілді: дүйсенбі\nКімге: Kim\nТақырып: Open letter\n\nDear",
        "Date: Mon, 5 Oct 2026 10:11\nSubject: Letter\nFrom: a@campaign.example\nTo: Kim\n\nDear",
        "Van: Campaign\nVerzonden: maandag\nAan: Kim\nOnderwerp: Open letter\n\nDear",
        "Från: Campaign\nSkickat: den 5 oktober\nTill: Kim\nÄmne: Open letter\n\nDear",
        "Від: Campaign\nНадіслано: 23.11.2026\nКому: Kim\nТема: Open letter\n\nDear",
        "Από: Campaign\nΣτάλθηκε: 23.11.2026\nΠρος: Kim\nΘέμα: Open letter\n\nDear",
        "差出人: Campaign\n送信日時: 2026/11/23\n宛先: Kim\n件名: Open letter\n\nDear",
        f"{'_' * 32}\nDe la: Campaign\nTrimis: luni\nCătre: Kim\nSubiect: Letter\n\nDear",
        "Sendt fra min iPad",
        "Sent from TypeApp<https://typeapp.example/r?b=1>",
        "-- \nV. Kim\nChairman",
        "Sent from my iPhone",
        "Отправлено с iPhone",
        "This e-mail and any attachments are confidential and intended solely for the addressee.",
        "Данное сообщение содержит конфиденциальную информацию.",
        "Diese E-Mail enthält vertrauliche Informationen.",
        "Ce message est confidentiel.",
    ],
)
def test_signatures_and_disclaimers_are_left_out(block: str):
    assert own_lines(f"We can meet.\n\n{block}") == "We can meet."


def test_answers_between_the_quoted_lines_are_kept():
    text = f"On Monday, Campaign <a@b.example> wrote:\n{QUOTED}No.\n> and\nNever.\n"
    assert own_lines(text) == "No.\nNever."


@pytest.mark.parametrize(
    "text",
    [
        "On Friday I was told what you wrote.\nFrom: here we go on.\nWe refuse.",
        "On 5 May 2026 at 10:30 the council wrote:\n\nThe hall stays open.\n\nSo it is.",
    ],
)
def test_a_letter_about_what_somebody_wrote_is_kept_whole(text: str):
    assert own_lines(text) == text


def test_html_is_read_as_lines_with_its_quotation_marked():
    html = "<p>Yes &amp; no</p><script>alert(1)</script><blockquote>Dear Mr Kim</blockquote>"
    assert own_lines(text_of_html(html)) == "Yes & no"


def test_headers_in_an_unknown_language_are_known_by_our_address():
    quoted = "Minn: Campaign <letter@campaign.example>\nBibi: 5 Oct\nLil: Kim\n\nDear Ms Kim"
    assert own_lines(f"No.\n\n{quoted}", ("campaign.example",)) == "No."
    table = "Place: the hall\nTime: ten\nBring: the plan"
    assert own_lines(table, ("campaign.example",)) == table


@pytest.mark.parametrize(
    ("html", "words"),
    [
        (
            "<div class=moz-cite-prefix>Am 5.10. schrieb C:</div><blockquote>Dear</blockquote>No.",
            "No.",
        ),
        (
            "<p>Hello,</p><blockquote>one</blockquote><p>No.</p><blockquote>two</blockquote>Never.",
            "Hello,\n\nNo.\n\nNever.",
        ),
        (
            '<p>Hello,</p><blockquote style="margin:0 0 0 40px;border:none">No.</blockquote>Kim',
            "Hello,\n\nNo.\nKim",
        ),
        (
            '<div>No.</div><div name="quote"><div><b>Gesendet:</b> Montag</div>Dear Kim</div>',
            "No.",
        ),
        (
            '<div>No.</div><hr id="stopSpelling">Date: Monday<br>From: us<br><br>Dear Kim',
            "No.",
        ),
    ],
)
def test_the_own_words_of_html_stand_around_its_quotations(html: str, words: str):
    assert own_lines(text_of_html(html)) == words


def test_all_texts_count_and_one_of_those_that_are_alternatives():
    mail = (
        b"From: k@kaz.example\nContent-Type: multipart/mixed; boundary=a\n\n"
        b"--a\n\nThe plan:\n\n--a\nContent-Type: image/png\n\nx\n"
        b"--a\nContent-Type: multipart/alternative; boundary=b\n\n"
        b"--b\n\nWe refuse.\n\n--b\nContent-Type: text/html\n\n<p>We refuse.</p>\n--b--\n"
        b"--a\nContent-Disposition: attachment\n\nnot this\n--a--\n"
    )
    assert own_words(read_mail(mail)) == "The plan:\n\nWe refuse."
    banner = mail.replace(b"The plan:", b"CAUTION: from outside of the organisation.")
    assert own_words(read_mail(banner)).endswith("organisation.\n\nWe refuse.")


REPLIES = Path(__file__).parents[2] / "samples" / "replies.txt"
ADDRESS = "answers@campaign.example"
LETTER = "Dear Ms Osei,\n\nThe library at Quay Street closes in May.\nKeep it open.\n\nAnn Lee"
FILLED = {
    "{C}": f"Letter Committee <{ADDRESS}>",
    "{A}": ADDRESS,
    "{L}": LETTER,
    "{Q}": re.sub("^", "> ", LETTER, flags=re.MULTILINE),
    "{H}": re.sub("(.+)", r"<p>\1</p>", LETTER),
    "{ }": " ",
}


def replies() -> list[pytest.ParameterSet]:
    text = REPLIES.read_text(encoding="utf-8")
    for mark, filling in FILLED.items():
        text = text.replace(mark, filling)
    found = []
    for reply in re.split("^%% ", text, flags=re.MULTILINE)[2:]:
        head, _, words = reply.partition("\n%=\n")
        name, body = head.split("\n", 1)
        known = re.match("%! (.+)\n", body)
        marks = [pytest.mark.xfail(strict=True, reason=known[1])] if known else []
        body = body[known.end() :] if known else body
        found.append(pytest.param("HTML" in name, body, words, id=name, marks=marks))
    return found


@pytest.mark.parametrize(("is_html", "text", "words"), replies())
def test_the_own_words_of_a_reply_are_found(is_html: bool, text: str, words: str):
    kind = "html" if is_html else "plain"
    head = f"From: k@kaz.example\nTo: {ADDRESS}\nContent-Type: text/{kind}; charset=utf-8\n\n"
    assert own_words(read_mail((head + text).encode())).split() == words.split()
