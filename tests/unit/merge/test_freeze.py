"""A frozen letter: what it holds, what its hash depends on, and what is told of a change."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest

from petition.address import Mailbox
from petition.campaign.letter import Demand, Letter
from petition.identity import Signer
from petition.merge.document import Frozen, differences
from petition.merge.freeze import freeze
from petition.merge.message import Merger
from tests.unit.merge.enclosed import Enclosing, png
from tests.unit.merge.letters import (
    COLUMNS,
    DEMANDS,
    NOW,
    SIGNATORIES,
    TODAY,
    campaign_of,
    freeze_texts,
    person_of,
    signatory,
    text_of,
)

BODY = "Dear {{ recipient.name }},\n\n{{ demands }}\n\n{{ signatories }}\n"


def frozen(body=BODY, **around):
    return freeze_texts(text_of(body), text_of(body, language="ru"), **around)


def test_thawed_letter_is_the_frozen_one():
    before = frozen()
    after = Frozen.from_json(before.to_json())
    assert after == before
    assert after.hash == before.hash
    json.loads(before.to_json())
    one, other = (Merger(letter, Signer(b"k" * 32)) for letter in (before, after))
    assert one.merge(person_of(), 1, NOW, full=True) == other.merge(person_of(), 1, NOW, full=True)


def test_thawing_compiles_no_markdown(monkeypatch):
    text = frozen().to_json()
    monkeypatch.setattr("petition.template.markdown.MarkdownIt", None)
    monkeypatch.setattr("petition.template.bodies.css_inline", None)
    Merger(Frozen.from_json(text), Signer(b"k" * 32)).merge(person_of(), 1, NOW, full=False)


def test_what_it_holds():
    letter = frozen(reply_to="A <a@b.example>", return_path="bounces+{token}@c.example")
    assert letter.letter == "open-letter"
    assert letter.languages == ("en", "ru")
    assert letter.sender == Mailbox("Campaign", "letter@campaign.example")
    assert letter.sender_reply_to == Mailbox("A", "a@b.example")
    assert letter.document["sender"]["return_path"] == "bounces+{token}@c.example"
    assert letter.document["signatories"]["total"] == 3
    assert [one["name"] for one in letter.document["signatories"]["published"]] == [
        "Law & Centre",
        "Hazel Thorn",
    ]
    assert BODY in letter.source


def test_nothing_private_is_in_it():
    text = frozen().to_json()
    assert "secret@example.org" not in text
    assert "Hidden One" not in text


def test_what_a_letter_does_not_name_is_no_part_of_it():
    before = frozen("plain")
    assert before.document["signatories"]["total"] == 0
    assert before.hash == frozen("plain", signatories=(), demands={}).hash


@pytest.mark.parametrize(
    ("rule", "day"),
    [(None, None), ("14 days", TODAY + timedelta(days=14)), ("2015-11-01", date(2015, 11, 1))],
)
def test_reply_by(rule, day):
    front = {"reply_by": rule} if rule else {}
    assert freeze_texts(text_of("x", **front)).reply_by == day


def test_hash_depends_on_nothing_but_the_letter():
    before = frozen()
    assert before.hash == frozen(today=TODAY + timedelta(days=1)).hash
    moved = [
        replace(text, file=f"elsewhere/{text.file}", body_line=40, subject_line=9)
        for text in (text_of(BODY), text_of(BODY, language="ru"))
    ]
    assert before.hash == freeze_texts(*moved).hash
    assert before.hash == frozen(columns=(*COLUMNS, "more")).hash
    shuffled = dict(reversed(before.document.items()))
    assert before.hash == Frozen(before.letter, before.campaign_id, TODAY, shuffled).hash
    assert len(before.hash) == 64


def test_hash_is_that_of_what_is_sent():
    assert frozen("a b").hash != frozen("a c").hash
    assert frozen("a *b*").hash == frozen("a _b_").hash


def test_content_hash_leaves_out_the_name():
    campaign = campaign_of(text_of(BODY))
    letter = campaign.letters["open-letter"]
    around = {"campaign_id": "x", "today": TODAY, "columns": COLUMNS}
    one = freeze(campaign, letter, **around)
    other = freeze(campaign, Letter("renamed", letter.files, letter.texts), **around)
    assert one.hash != other.hash
    assert one.content_hash == other.content_hash
    assert differences(one, other) == ["the letter's name (open-letter, now renamed)"]


def test_the_same_letter_has_no_differences():
    assert differences(frozen(), frozen(today=date(2020, 1, 1))) == []


def english_and_russian(english, russian, **around):
    return freeze_texts(text_of(**english), text_of(language="ru", **russian), **around)


def test_changed_subject_and_text():
    before = english_and_russian({"body": "a"}, {"body": "б"})
    after = english_and_russian({"body": "a", "subject": "New"}, {"body": "в"})
    assert differences(before, after) == ["the subject (en)", "the text (ru)"]


def test_changed_languages():
    one, both = freeze_texts(text_of("a")), english_and_russian({"body": "a"}, {"body": "б"})
    assert differences(one, both) == ["the letter in ru (new)"]
    assert differences(both, one) == ["the letter in ru (taken out)"]


def test_changed_demands():
    first, second = DEMANDS
    changed = Demand(2, "pay", "Pay", "More.", 5)
    new = Demand(3, "meet", "Meet", "us", 9)
    before, after = frozen(), frozen(demands={"en": (first, changed, new)})
    assert differences(before, after) == [
        "demand pay (en)",
        "demand meet (en, new)",
        "demand pay (ru)",
        "demand meet (ru, new)",
    ]
    fewer = differences(before, frozen(demands={"en": (second,)}))
    assert "demand stop-it (en, taken out)" in fewer


def test_changed_signatories():
    more = (*SIGNATORIES, signatory("New One"), signatory("Unseen", publish=False))
    assert differences(frozen(), frozen(signatories=more)) == [
        "the signatories (1 added, 1 more unnamed)"
    ]
    fewer = SIGNATORIES[1:]
    assert differences(frozen(), frozen(signatories=fewer)) == ["the signatories (1 taken out)"]


def test_changed_settings():
    after = frozen(reply_to="a@b.example", **{"from": "New Name <letter@campaign.example>"})
    assert differences(frozen(), after) == ["from", "reply_to"]


def test_changed_front_matter():
    before = freeze_texts(text_of("x"))
    after = freeze_texts(text_of("x", cc=["a@b.example"], reply_by="7 days"))
    assert differences(before, after) == ["cc in the front matter", "reply_by in the front matter"]
    more = {"cc": ["{{ recipient.page }}"], "from": "a@campaign.example"}
    assert differences(before, freeze_texts(text_of("x", **more))) == [
        "cc in the front matter",
        "from",
    ]


def test_changed_campaign_table_and_events():
    def made(**tables):
        campaign = campaign_of(text_of(BODY))
        settings = campaign.settings.model_copy(update=tables)
        campaign = replace(campaign, settings=settings)
        letter = campaign.letters["open-letter"]
        return freeze(campaign, letter, campaign_id="x", today=TODAY, columns=COLUMNS)

    about = campaign_of(text_of(BODY)).settings.campaign.model_copy(update={"title": "Five"})
    assert differences(made(), made(campaign=about)) == ["[campaign] title"]


def test_changed_look_of_the_letter():
    before = frozen()
    document = json.loads(json.dumps(before.document))
    document["texts"]["en"]["html"]["template"] += "<!-- new -->"
    after = replace(before, document=document)
    assert differences(before, after) == ["the look of the letter (en)"]
    assert after.hash != before.hash
    assert after.is_same_as(before)


@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY + "\n\nMore."},
        {"subject": "New"},
        {"demands": {"en": (DEMANDS[0], replace(DEMANDS[1], text="More."))}},
        {"signatories": SIGNATORIES[1:]},
        {"from": "New Name <letter@campaign.example>"},
    ],
)
def test_a_letter_is_the_same_only_if_its_author_changed_nothing(change):
    text = {key: change.pop(key) for key in ("body", "subject") if key in change}
    after = freeze_texts(text_of(**{"body": BODY, "subject": "Hello", **text}), **change)
    assert not after.is_same_as(freeze_texts(text_of(BODY)))


def test_a_letter_with_another_picture_is_not_the_same(tmp_path):
    before, after = (
        Enclosing(tmp_path).freeze(body="![A](a.png)")
        for data in (png(9, 9), png(9, 8))
        if Enclosing(tmp_path).write("a.png", data)
    )
    assert not after.is_same_as(before)


def test_demands_of_another_language_stand_in():
    russian = (Demand(1, "stop-it", "Хватит", "Сейчас же.", 1), DEMANDS[1])
    letter = frozen(demands={"en": DEMANDS, "ru": russian})
    assert letter.demands("ru")[0]["title"] == "Хватит"
    assert frozen().demands("ru")[0]["title"] == "Stop it"
