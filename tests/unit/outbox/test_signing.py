"""How people sign: what may be typed, who is written to, and what the mails say."""

import email
import re
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from petition.campaign.folder import load_campaign
from petition.errors import UsageError
from petition.outbox import service, signatures
from petition.outbox.log import Log, utc_now
from petition.outbox.manual import stop_writing
from petition.outbox.service import ServiceKind
from petition.outbox.signatures import Review, SignatureEntry, SignatureStatus
from petition.outbox.states import Reason
from petition.report.site_pages import WORDS as OTHERS
from petition.signing import WORDS, SigningDesk, SignRefused, entry_of, language_of, told_name

SETTINGS = """
[campaign]
title = "The library"
languages = ["en", "ru"]
[sender]
from = "Friends of the Library <friends@lib.example>"
[people]
recipients = "recipients.csv"
[inbox]
url = "maildir:mail"
[sign]
mailto = "sign@lib.example"
page = "https://lib.example/sign"
"""
LETTER = "---\nsubject: {}\n---\nDear {{{{ recipient.name }}}},\n\nopen the library.\n"
BOTH = "Keep {{ recipient.name }} open"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "letters").mkdir()
    (tmp_path / "petition.toml").write_text(SETTINGS)
    (tmp_path / "recipients.csv").write_text("name,email\nKim,kim@kaz.example\n")
    (tmp_path / "letters" / "open.md").write_text(LETTER.format("Keep it open"))
    (tmp_path / "letters" / "open.ru.md").write_text(LETTER.format("Не закрывайте"))
    return tmp_path


@pytest.fixture
def desk(log: Log, folder: Path) -> SigningDesk:
    return SigningDesk.of(log, load_campaign(folder))


def changed(desk: SigningDesk, **sign: object) -> SigningDesk:
    settings = desk.settings.model_copy(update={"sign": desk.settings.sign.model_copy(update=sign)})
    return replace(desk, settings=settings)


def sign(desk: SigningDesk, address: str = "ann@x.example", language: str = "en", **cells: str):
    entry = entry_of({"name": "Ann Lee"} | cells)
    desk.sign(address, entry, desk.wording(language), "form", "<asked@x.example>")


def waiting(desk: SigningDesk) -> list[tuple[ServiceKind, EmailMessage]]:
    mails = service.due(desk.log, 100)
    return [(one.kind, email.message_from_bytes(one.data, policy=default)) for one in mails]


def test_who_signs_is_asked_to_confirm(desk):
    sign(desk, publish="yes", role="Teacher")
    [(kind, mail)] = waiting(desk)
    [signature] = signatures.signatures(desk.log)
    token = signatures.token_of(desk.log, signature)
    assert (kind, mail["To"], mail["Reply-To"]) == (
        ServiceKind.CONFIRM,
        "ann@x.example",
        "sign@lib.example",
    )
    assert (mail["In-Reply-To"], mail["Auto-Submitted"]) == ("<asked@x.example>", "auto-replied")
    text = mail.get_content()
    assert f"https://lib.example/sign/{token}" in text
    assert "Keep it open" in text
    assert "Teacher" not in text
    assert (signature.status, signature.entry.publish) == (SignatureStatus.UNCONFIRMED, True)
    about = service.about_of(desk.log, mail["Message-ID"])
    assert about == (ServiceKind.CONFIRM, signature.id)


def test_what_was_agreed_to_is_kept_as_it_was_shown(desk):
    sign(desk, language="ru", updates="yes")
    [signature] = signatures.signatures(desk.log)
    [step] = signatures.events(desk.log, signature.id)
    assert step.wording == desk.wording("ru")
    assert "Не закрывайте" in step.wording.text
    [(_, mail)] = waiting(desk)
    shown = " ".join(mail.get_content().split())
    for text in desk.agreed("ru").values():
        assert text in shown


def test_a_mail_offers_only_what_there_is(desk):
    sign(changed(desk, page=None))
    sign(changed(desk, mailto=None), "bea@x.example")
    [(_, by_reply), (_, by_link)] = waiting(desk)
    tokens = [signatures.token_of(desk.log, one) for one in signatures.signatures(desk.log)]
    assert "https:" not in by_reply.get_content()
    assert tokens[0] in by_reply.get_content()
    assert (
        re.findall(r"\S*[0-9a-f]{32}", by_link.get_content())
        == [f"https://lib.example/sign/{tokens[1]}"] * 2
    )
    assert by_link["Reply-To"] is None


def test_who_has_signed_is_sent_the_way_to_change_it(desk):
    sign(desk)
    [signature] = signatures.signatures(desk.log)
    assert desk.confirm(signature, "link")
    desk.log.clock = lambda: utc_now() + timedelta(hours=25)
    sign(desk, name="Somebody Else")
    [_, (kind, mail)] = waiting(desk)
    assert kind is ServiceKind.SIGNED
    assert desk.link(signature) in mail.get_content()
    assert "Somebody Else" not in mail.get_content()


def test_without_moderation_who_confirms_counts(desk):
    sign(desk)
    [signature] = signatures.signatures(desk.log)
    assert changed(desk, moderate=False).confirm(signature, "link")
    assert not desk.confirm(signature, "link")
    assert signatures.one(desk.log, signature.id).review is Review.APPROVED


def test_nobody_is_written_to_who_must_not_be(desk):
    with desk.log.writing():
        stop_writing(desk.log, ["no@x.example"], Reason.OPTED_OUT)
        signatures_of_nobody = list(signatures.signatures(desk.log))
    sign(desk, "NO@x.example")
    sign(desk, "sign@lib.example")
    sign(desk, "Friends@lib.example")
    assert list(signatures.signatures(desk.log)) == signatures_of_nobody == []
    assert waiting(desk) == []


@pytest.mark.parametrize(
    "address", ["owner-list@x.example", "list-request@x.example", "bounces+ann=x@y.example"]
)
def test_a_program_gets_no_mail(desk, address):
    sign(desk, address)
    assert service.due(desk.log, 9) == []


def test_a_name_that_shows_nothing_is_none():
    with pytest.raises(SignRefused):
        entry_of({"name": "\u3164\u115f\u2800"})


@pytest.mark.parametrize("address", ["", "x", "a@b", "a@x.example, b@x.example", "a" * 10**6])
def test_what_is_no_address_is_refused(desk, address):
    with pytest.raises(SignRefused) as refused:
        sign(desk, address)
    assert refused.value.field == "email"
    assert refused.value.why in WORDS["en"]["refused"]
    assert list(signatures.signatures(desk.log)) == []


@pytest.mark.parametrize(
    ("cells", "field", "why"),
    [
        ({"name": ""}, "name", "missing"),
        ({"name": " \u202e\n"}, "name", "missing"),
        ({"name": "12 34"}, "name", "no_letters"),
        ({"name": "a" * 81}, "name", "too_long"),
        ({"name": "a" * 10**6}, "name", "too_long"),
        ({"role": "a" * 121}, "role", "too_long"),
        ({"name": "Buy at http://evil.example"}, "name", "link"),
        ({"name": "evil.example"}, "name", "link"),
        ({"name": "EVIL.COM"}, "name", "link"),
        ({"name": "a@b.example"}, "name", "link"),
        ({"name": "evil．example"}, "name", "link"),
        ({"name": "evil。example"}, "name", "link"),
        ({"name": "a＠b"}, "name", "link"),
        ({"role": "see evil.example/now"}, "role", "link"),
        ({"place": "www.evil"}, "place", "link"),
        ({"kind": "organisation"}, "organisation", "missing"),
    ],
)
def test_what_cannot_be_taken_is_refused(cells, field, why):
    with pytest.raises(SignRefused) as refused:
        entry_of({"name": "Ann"} | cells)
    assert (refused.value.field, refused.value.why) == (field, why)
    assert why in WORDS["en"]["refused"]


@pytest.mark.parametrize(
    "name",
    [
        *("x.com", "X.com", "X.COM", "t.me", "T.me", "see q.org", "Example.Com", "1.cc", "g.co"),
        *("x.dev", "я.рф", "мой.сайт", "сайт.қаз", "САЙТ.ҚАЗ", "ｘ.ｃｏｍ", "A t.co", "x.de"),
    ],
)
def test_a_name_is_no_domain(name: str):
    with pytest.raises(SignRefused) as refused:
        entry_of({"name": name})
    assert (refused.value.field, refused.value.why) == ("name", "link")


@pytest.mark.parametrize(
    "name",
    [
        *("J.R. Smith", "J.R.R.Tolkien", "St.Clair", "Ng.", "J.Ng", "e.e.cummings", "J.de Vries"),
        *("A.von Arnim", "M.van Dyk", "A.al-Sayed", "P.J.O'Hara", "Dr.Ann Lee", "Ann Lee, Ph.D."),
        *(
            "А.С. Пушкин",
            "А.С.Пушкин",
            "А.де Голль",
            "Ә.Қ.Сәкен",
            "王小明",
            "محمد.علي",
            "K.Å.Åström",
        ),
    ],
)
def test_a_real_name_is_taken(name: str):
    assert entry_of({"name": name}).name == name


def test_what_is_typed_is_cleaned():
    entry = entry_of(
        {
            "name": " Zoe\u0308\u202e \t Lee\r\nBcc: \u2066x\ufeff",
            "organisation": "Avaaz.org",
            "place": "St.Gallen",
            "publish": "yes",
            "updates": "on",
            "kind": "organisation",
        }
    )
    assert entry == SignatureEntry(
        "Zo\u00eb Lee Bcc: x",
        organisation="Avaaz.org",
        place="St.Gallen",
        kind="organisation",
        publish=True,
    )
    assert len(entry_of({"name": "Z\u0301" + "\u0301" * 60}).name) < 10
    assert entry_of({"name": "J.R.R.Tolkien"}).name == "J.R.R.Tolkien"


def test_a_mail_makes_no_link_of_a_name(desk):
    assert told_name("Evil.Com/x <a@b> http://y") == "Evil. Com x a b http y"
    assert told_name("Ann, call 0800 123 456 now") == "Ann, call now"
    assert len(told_name("a" * 80)) == 60


def test_a_letter_is_found_or_named(log, folder):
    (folder / "letters" / "other.md").write_text(LETTER.format(BOTH))
    with pytest.raises(UsageError, match="not clear"):
        SigningDesk.of(log, load_campaign(folder))
    with (folder / "petition.toml").open("a") as file:
        file.write('letter = "other"\n')
    desk = SigningDesk.of(log, load_campaign(folder))
    assert (desk.letter, desk.titles) == ("other", {"en": "Keep … open"})
    assert desk.title("ru") == "Keep … open"


def test_a_language_is_that_of_the_reader_or_english():
    assert language_of("pt-BR", "fr-CA") == "fr"
    assert language_of("xx") == "en"


def test_signatories_are_spoken_to_in_the_languages_of_the_other_pages():
    assert WORDS.keys() == OTHERS.keys()


@pytest.mark.parametrize("language", WORDS)
def test_a_language_has_all_words_with_the_same_places(language):
    for part, words in WORDS["en"].items():
        assert WORDS[language][part].keys() == words.keys()
        for name, text in words.items():
            there = re.findall(r"\{\w+\}", WORDS[language][part][name])
            assert sorted(there) == sorted(re.findall(r"\{\w+\}", text)), name


@pytest.mark.parametrize("language", WORDS)
def test_each_language_writes_both_mails(desk, language):
    sign(desk, language=language)
    [signature] = signatures.signatures(desk.log)
    desk.confirm(signature, "link")
    desk.log.clock = lambda: utc_now() + timedelta(hours=25)
    sign(desk, language="en")
    for _, mail in waiting(desk):
        assert mail["Content-Language"] == language
        assert desk.title(language) in mail["Subject"]
        assert signatures.token_of(desk.log, signature) in mail.get_content()
