"""The blocks of demands and signatories in their languages."""

from dataclasses import replace

import pytest

from petition.campaign.letter import Demand
from petition.identity import Signer
from petition.merge.message import Merger
from tests.unit.merge.letters import (
    BODY_LINE,
    NOW,
    SIGNATORIES,
    freeze_texts,
    html_of,
    person_of,
    plain_of,
    problems_of,
    signatory,
    text_of,
)


def block(signatories, language="en"):
    frozen = freeze_texts(text_of("{{ signatories }}", language=language), signatories=signatories)
    shown = Merger(frozen, Signer(b"k" * 32)).show(person_of(), 1, NOW)
    return shown.text


def unnamed(count, *, named=0):
    hidden = [signatory(f"h{number}", publish=False) for number in range(count)]
    return [*(signatory(f"n{number}") for number in range(named)), *hidden]


def test_organisations_stand_before_persons():
    assert block(SIGNATORIES) == (
        "Law & Centre, Poland\n\nHazel Thorn, teacher, London\n\nand 1 other\n\n"
        "Affiliations are given for identification only.\n"
    )


def test_all_that_is_known_of_a_signatory():
    whole = signatory("A", role="b", organisation="C", place="D", country="E")
    assert block([whole]).startswith("A, b, C, D, E\n\n")


def test_persons_stand_by_their_family_names_and_without_titles():
    people = [signatory("Dr Zoe Adams"), signatory("Yann Brown"), signatory("Prof. Sir Will Cox")]
    assert block(people) == "Prof. Sir Will Cox\nYann Brown\nDr Zoe Adams\n"
    named = [replace(one, last_name=one.name.split()[-1]) for one in people]
    assert block(named) == "Dr Zoe Adams\nYann Brown\nProf. Sir Will Cox\n"
    assert block([signatory("Dr"), signatory("Ada")]) == "Ada\nDr\n"


@pytest.mark.parametrize(
    ("fields", "has_one"),
    [
        ({"role": "nurse"}, True),
        ({"organisation": "Unison"}, True),
        ({"place": "Leeds", "country": "UK"}, False),
        ({"role": "trade union", "kind": "organisation"}, False),
    ],
)
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Affiliations are given for identification only."),
        ("ru", "указаны только для идентификации подписавшихся."),
        ("kk", "олардың кім екенін білдіру үшін ғана көрсетілген."),
        ("uk", "лише для ідентифікації підписантів."),
    ],
)
def test_what_affiliations_are_there_for(fields, has_one, language, words):
    assert (words in block([signatory("A", **fields)], language)) is has_one


def test_an_affiliation_that_is_not_shown_needs_no_word():
    body = "{{ signatories | limit(1) }}"
    assert "Affiliations" not in plain_of(
        body, signatories=[signatory("B", role="nurse"), signatory("A")]
    )


def test_a_country_is_named_in_the_language_of_the_letter():
    signed = [signatory("A", country="Kazakhstan"), signatory("B", country="GB")]
    signed += [signatory("C", country="Ruritania"), signatory("D", country="Қазақстан")]
    assert block(signed, "ru") == ("A, Казахстан\nB, Великобритания\nC, Ruritania\nD, Казахстан\n")
    assert block(signed, "kk").startswith("A, Қазақстан\nB, Ұлыбритания\n")
    assert block(signed, "en") == "A, Kazakhstan\nB, United Kingdom\nC, Ruritania\nD, Kazakhstan\n"
    signed = [signatory("A", country="Кыргызстан"), signatory("B", country="Біріккен Корольдік")]
    assert block(signed, "ru") == "A, Кыргызстан\nB, Великобритания\n"
    assert block(signed, "en") == "A, Kyrgyzstan\nB, United Kingdom\n"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("signatories | limit(2)", "Board\n\nAnn\n\nand 3 others\n"),
        ("signatories|limit( 9 )", "Board\n\nAnn\nBen\n\nand 2 others\n"),
        ("signatories | limit(0)", "5 signatories\n"),
        ("signatories | where(kind='individual')", "Ann\nBen\n\nand 2 others\n"),
        ("signatories | where(country='KZ') | limit(1)", "Ann, Kazakhstan\n\nand 1 other\n"),
        (
            "signatories | limit(1) | where(country='kz')",
            "Ann, Kazakhstan\n\nand 1 other\n",
        ),
    ],
)
def test_a_choice_is_a_block_too(expression, text):
    country = "Kazakhstan" if "country" in expression else ""
    signed = [
        signatory("Ben"),
        signatory("Hid", publish=False),
        signatory("Den", publish=False, country=country),
        signatory("Board", kind="organisation"),
        signatory("Ann", country=country),
    ]
    assert plain_of(f"{{{{ {expression} }}}}", signatories=signed) == text
    assert (
        "Hid" not in freeze_texts(text_of(f"{{{{ {expression} }}}}"), signatories=signed).to_json()
    )


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("{{ signatories | limit('x') }}", "limit(40)"),
        ("{{ signatories | limit }}", "limit(40)"),
        ("{{ signatories | where(country=recipient.name) }}", "quotes or a number"),
        ("a {{ signatories | limit(2) }}", "paragraph of its own"),
        ("{{ signatories | where(kind='fish') }}", "Compare its values"),
    ],
)
def test_a_block_that_cannot_be(body, hint):
    (problem,) = problems_of(text_of(body))
    assert problem.line == BODY_LINE
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("language", "count", "named", "line"),
    [
        ("en", 1, 1, "and 1 other"),
        ("en", 1214, 1, "and 1,214 others"),
        ("en", 6, 0, "6 signatories"),
        ("en", 1, 0, "1 signatory"),
        ("ru", 1, 1, "и ещё 1 подпись"),
        ("ru", 2, 1, "и ещё 2 подписи"),
        ("ru", 11, 1, "и ещё 11 подписей"),
        ("ru", 21, 1, "и ещё 21 подпись"),
        ("ru", 214, 1, "и ещё 214 подписей"),
        ("ru", 1222, 1, "и ещё 1\xa0222 подписи"),
        ("ru", 5, 0, "5 подписей"),
        ("ru-kz", 3, 0, "3 подписи"),
        ("kk", 6, 1, "және тағы 6 қол қоюшы"),
        ("kk", 1, 0, "1 қол қоюшы"),
        ("de", 1, 1, "und 1 weitere Unterschrift"),
        ("fr", 2, 1, "et 2 autres signataires"),
        ("es", 1, 1, "y 1 firmante más"),
        ("uk", 22, 1, "і ще 22 підписи"),
        ("pl", 5, 1, "i 5 innych podpisów"),
        ("tr", 3, 0, "3 imzacı"),
        ("it", 2, 1, "and 2 others"),
    ],
)
def test_those_who_are_not_named(language, count, named, line):
    text = block(unnamed(count, named=named), language)
    assert text.rstrip("\n").split("\n")[-1] == line
    assert "h0" not in text


def test_markup_in_a_name_is_text():
    html = html_of("{{ signatories }}", signatories=[signatory("<b>&{{ 7*7 }}", role="*x*")])
    assert "&lt;b&gt;&amp;{{ 7*7 }}</strong>, *x*</li>" in html


def test_demands_in_a_quote():
    assert plain_of("> {{ demands }}").startswith(
        "> 1. Stop it\n>    Stop it now. At once.\n>\n> 2."
    )


def test_demand_with_paragraphs_and_a_list():
    demand = Demand(1, "a", "Title", "One\n\n- two\n- three\n\nfour", 1)
    assert plain_of("{{ demands }}", demands={"en": (demand,)}) == (
        "1. Title\n   One\n\n   - two\n   - three\n\n   four\n"
    )


def test_demand_without_text():
    demand = Demand(1, "a", "Title", "", 1)
    assert plain_of("{{ demands }}", demands={"en": (demand,)}) == ("1. Title\n")


def test_blocks_have_no_marks():
    frozen = freeze_texts(text_of("{{ demands }}\n\n{{ signatories }}"))
    merger = Merger(frozen, Signer(b"k" * 32))
    assert "\x02" not in merger.show(person_of(), 1, NOW).text


@pytest.mark.parametrize(
    ("language", "mark"), [("ru", "&nbsp;— "), ("kk", "&nbsp;— "), ("en", " — ")]
)
def test_no_line_of_russian_begins_with_a_dash(language, mark):
    frozen = freeze_texts(text_of("a — {{ recipient.name }} — b", language=language))
    html = Merger(frozen, Signer(b"k" * 32)).html(person_of(language=language), 1)
    assert f"a{mark}Vladimir Kim{mark}b" in html
