"""What people write about signatures, in each language: in doubt nothing is understood."""

import re

import pytest

from petition.inbox.signing_phrases import _WORDS, Stance, asked_in, stance_of
from petition.report.site_pages import WORDS as SITE
from petition.signing import WORDS

YES = {one: WORDS[one]["mail"]["yes"] for one in WORDS}
NO = {one: WORDS[one]["mail"]["no"] for one in WORDS}


def test_they_are_understood_in_the_languages_of_the_mails():
    assert _WORDS.keys() == WORDS.keys() == SITE.keys()
    for words in _WORDS.values():
        assert words.keys() == _WORDS["en"].keys()
        assert words["fields"].keys() == _WORDS["en"]["fields"].keys()
        for patterns in (*list(words.values())[:-1], *words["fields"].values()):
            assert all(re.compile(one) for one in patterns)


@pytest.mark.parametrize(
    "words",
    [
        *(
            "I confirm my signature to the letter.",
            "Yes, I signed the open letter.",
            "I confirm it",
        ),
        *("Yes, I confirm that I signed. Kind regards, Ann", "Ja, ich unterschreibe den Brief."),
        *("Ich bestätige meine Unterschrift.", "Je confirme ma signature", "Confirmo mi firma."),
        *("Я подтверждаю свою подпись под письмом", "Да, подтверждаю, что подписала"),
        *("Підтверджую свій підпис.", "Мен қолымды растаймын", "Hello,\n\nyes I confirm.\n\nAnn"),
    ],
)
def test_who_says_what_they_confirm_confirms(words: str):
    assert stance_of(words) is Stance.CONFIRMS


@pytest.mark.parametrize(
    "words",
    [
        *("I confirm receipt of your mail", "I confirm this is fraud", "I confirm my refusal"),
        *("I confirm that someone misused my address", "I confirm my signature was forged"),
        *("Yes, it is spam", "Yes, someone used my address", "Yes, erase it", "I sign nothing"),
        *("Correct, it was someone else", "Yes. Report this as abuse.", "I sign out of the list"),
        *("Ich bestätige den Erhalt", "Ja, löscht mich", "Ja, das war ein Versehen"),
        *("Ja, bitte austragen", "Je confirme la réception", "Oui, désinscription"),
        *("Confirmo la baja", "Sí, borradme", "Подтверждаю получение", "Да, это спам"),
        *("Подтверждаю, что это мошенничество", "Підтверджую отримання", "Так, це шахрайство"),
        *("Иә, бұл спам", "Иә, бұл басқа адам"),
    ],
)
def test_who_confirms_something_else_does_not_confirm(words: str):
    assert stance_of(words) is not Stance.CONFIRMS


@pytest.mark.parametrize("language", WORDS)
def test_the_mail_that_the_site_begins_signs(language):
    site = SITE[language]
    said = ["Ann Lee", "Teacher", "School", "Leeds", "UK", YES[language], NO[language]]
    lines = site["mail_body"].strip().split("\n")
    filled = "\n".join(f"{line} {value}" for line, value in zip(lines, said, strict=True))
    asked = asked_in(site["mail_subject"].format("Why not?"), filled, "A. Nother")
    assert asked
    assert asked.language == language
    assert asked.cells == {
        "name": "Ann Lee",
        "role": "Teacher",
        "organisation": "School",
        "place": "Leeds",
        "country": "UK",
        "publish": "yes",
        "updates": "no",
    }
    empty = asked_in(site["mail_subject"].format("Why not?"), site["mail_body"], "A. Nother")
    assert empty
    assert empty.cells == {"name": "A. Nother", "publish": "no", "updates": "no"}


@pytest.mark.parametrize("language", WORDS)
def test_the_words_that_the_mails_ask_for_are_understood(language):
    for yes in (YES[language], f"{YES[language].upper()}!", f"  {YES[language].lower()}.\n\nAnn"):
        assert stance_of(yes) is Stance.CONFIRMS
    assert stance_of(f"{YES[language]}?") is Stance.UNCLEAR
    for no in (NO[language], WORDS[language]["mail"]["withdraw"]):
        assert stance_of(f"{no}.") is Stance.DECLINES
        assert stance_of(f"{YES[language]}. {no}.") is Stance.UNCLEAR


@pytest.mark.parametrize("language", WORDS)
def test_our_own_mail_is_no_answer(language):
    told = {"name": "Ann", "title": "T", "sender": "S", "token": "0" * 32, "days": 7}
    mail = WORDS[language]["mail"]
    told |= {"yes": mail["yes"], "withdraw": mail["withdraw"]}
    paragraphs = [text for name, text in mail.items() if name not in {"yes", "no", "withdraw"}]
    text = "\n\n".join(one.format(**told) for one in paragraphs)
    assert stance_of(text) is Stance.UNCLEAR
    assert stance_of(f"{mail['yes']}\n\n{text}") is Stance.CONFIRMS
    assert stance_of(f"{mail['no']}\n\n{text}") is Stance.DECLINES


@pytest.mark.parametrize(
    "words",
    [
        "Yes, I confirm my signature. Thank you for this letter!",
        "Hello,\nyes I confirm\n\nBest wishes\nAnn Lee",
        "I hereby confirm",
        "Ja, das war ich. Viele Grüße",
        "Oui, c’était moi",
        "Sí, confirmo mi firma. Gracias",
        "Подтверждаю. С уважением, А. Ли",
        "Так, підтверджую",
        "Растаймын",
    ],
)
def test_a_clear_yes_confirms(words):
    assert stance_of(words) is Stance.CONFIRMS


def test_a_reply_with_no_words_confirms_and_what_is_no_reply_does_not():
    assert stance_of("", "Re: Please confirm") is Stance.CONFIRMS
    assert stance_of(" \n", "AW: Bitte bestätigen Sie") is Stance.CONFIRMS
    assert stance_of("", "Read: Please confirm") is Stance.UNCLEAR
    assert stance_of("", "") is Stance.UNCLEAR


@pytest.mark.parametrize(
    "words",
    [
        "Thank you",
        "Yes, but only my initials",
        "Yes if you remove my address",
        "I confirm nothing. Never write to me",
        "Could you remove my name?",
        "I will withdraw my signature if you publish it",
        "What is this",
        "Well, ok so explain it to me",
        "Ja, aber ohne meinen Namen",
        "Oui, mais sans mon nom",
        "Sí, pero sin mi nombre",
        "Да, но без имени",
        "Так, але без імені",
        "Иә, бірақ атымсыз",
        "Yes " + "and so on " * 60,
    ],
)
def test_what_is_not_clear_is_not_understood(words):
    assert stance_of(words) is Stance.UNCLEAR


@pytest.mark.parametrize(
    "words",
    [
        "I did not sign this letter, and I do not know you.",
        "It wasn’t me!",
        "Please delete my name and address.",
        "I’d like to withdraw my signature",
        "Ich habe das nicht unterschrieben.",
        "Bitte löschen Sie meine Daten",
        "Das war ich nicht",
        "Je n’ai pas signé cette lettre",
        "Veuillez supprimer mon nom",
        "No he firmado nada",
        "Retiren mi nombre, por favor",
        "Я ничего не подписывал",
        "Прошу удалить мою подпись",
        "Я цього не підписувала",
        "Мен қол қойған жоқпын",
    ],
)
def test_who_has_not_signed_or_withdraws_is_understood(words):
    assert stance_of(words) is Stance.DECLINES


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("Your letter", "Where can I sign?"),
        ("Should I sign?", ""),
        ("I sign off", ""),
        ("Re: I sign: water", "Thank you"),
        ("Your letter", "I will not sign it"),
        ("I sign", "No, sorry: I did not sign after all."),
        ("Ich unterschreibe nicht", ""),
        ("", ""),
    ],
)
def test_what_does_not_sign(subject, words):
    assert asked_in(subject, words, "Ann") is None


@pytest.mark.parametrize(
    ("subject", "words", "language"),
    [
        ("[EXT] I sign", "", "en"),
        ("Letter", "Dear friends,\n\nwe would like to sign.\n", "en"),
        ("Brief", "Guten Tag,\nich möchte den offenen Brief unterschreiben.", "de"),
        ("Lettre", "Bonjour, je souhaite signer votre lettre", "fr"),
        ("Carta", "Buenos días. Quiero firmar la carta.", "es"),
        ("Письмо", "Здравствуйте! Хочу подписать письмо.", "ru"),
        ("Лист", "Вітаю! Хочу підписати листа.", "uk"),
        ("Хат", "Сәлеметсіз бе! Қол қойғым келеді.", "kk"),
    ],
)
def test_own_words_sign(subject, words, language):
    asked = asked_in(subject, words, "Ann")
    assert asked
    assert asked.language == language


def test_a_long_value_is_not_cut_but_left_for_a_refusal():
    asked = asked_in("I sign", "Name: " + "x" * 10**6, "Ann")
    assert asked
    assert len(asked.cells["name"]) > 2_000
