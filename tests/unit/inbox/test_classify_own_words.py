import pytest

from petition.inbox.classify import own_lines
from petition.mail_parser import text_of_html

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
    ],
)
@pytest.mark.parametrize("quoted", [QUOTED, QUOTED.replace("> ", "")])
def test_text_after_an_attribution_is_quoted(line: str, quoted: str):
    assert own_lines(f"We can meet.\n\n{line}\n\n{quoted}") == "We can meet."


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


def test_a_letter_about_what_somebody_wrote_is_kept_whole():
    text = "On Friday I was told what you wrote.\nFrom: here we go on.\nWe refuse."
    assert own_lines(text) == text


def test_html_is_read_as_lines_with_its_quotation_marked():
    html = "<p>Yes &amp; no</p><script>alert(1)</script><blockquote>Dear Mr Kim</blockquote>"
    assert own_lines(text_of_html(html)) == "Yes & no"
