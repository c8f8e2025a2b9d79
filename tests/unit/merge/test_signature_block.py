"""The blocks of demands and signatories in their languages."""

import pytest

from petition.campaign.demands import Demand
from petition.identity import Signer
from petition.merge.message import Merger
from tests.unit.merge.letters import (
    NOW,
    SIGNATORIES,
    freeze_texts,
    html_of,
    person_of,
    plain_of,
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
        "Law & Centre, Poland\n\nHazel Thorn, teacher, London\n\n"
        "and 1 more who does not wish to be named\n"
    )


def test_all_that_is_known_of_a_signatory():
    whole = signatory("A", role="b", organisation="C", place="D", country="E")
    assert block([whole]) == "A, b, C, D, E\n"


@pytest.mark.parametrize(
    ("language", "count", "named", "line"),
    [
        ("en", 1, 1, "and 1 more who does not wish to be named"),
        ("en", 6, 1, "and 6 more who do not wish to be named"),
        ("en", 6, 0, "6 people who do not wish to be named"),
        ("en", 1, 0, "1 person who does not wish to be named"),
        ("ru", 1, 1, "и ещё 1 подписавшийся, который не желает быть названным"),
        ("ru", 2, 1, "и ещё 2 подписавшихся, которые не желают быть названными"),
        ("ru", 11, 1, "и ещё 11 подписавшихся, которые не желают быть названными"),
        ("ru", 21, 1, "и ещё 21 подписавшийся, который не желает быть названным"),
        ("ru", 5, 0, "5 подписавшихся, которые не желают быть названными"),
        ("kk", 6, 1, "және есімінің аталуын қаламаған тағы 6 қол қоюшы"),
        ("kk", 6, 0, "Есімінің аталуын қаламаған 6 қол қоюшы"),
        ("de", 2, 1, "and 2 more who do not wish to be named"),
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


def test_blocks_cost_no_splice_and_no_marks():
    frozen = freeze_texts(text_of("{{ demands }}\n\n{{ signatories }}"))
    merger = Merger(frozen, Signer(b"k" * 32))
    assert merger.merge(person_of(), 1, NOW, full=True).is_spliced
    assert "\x02" not in merger.show(person_of(), 1, NOW).text
