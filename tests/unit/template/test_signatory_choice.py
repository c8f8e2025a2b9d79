"""What a letter chooses and counts of its signatories, and what is kept of those unnamed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.identity import Signer
from petition.merge.message import Merger
from petition.template.signatories import CHOICE_FIELDS
from tests.unit.merge.letters import (
    NOW,
    freeze_texts,
    person_of,
    plain_of,
    problems_of,
    signatory,
    text_of,
)

COUNTRIES = ("Kazakhstan", "KZ", "United Kingdom", "")
KINDS = ("individual", "organisation")

SIGNED = (
    signatory("Ann Reed", country="Kazakhstan", role="nurse"),
    signatory("River Friends", kind="organisation", country="GB"),
    signatory("Hidden Hana", publish=False, country="KZ", role="spy", place="Balkhash"),
    signatory("Hidden Hugo", publish=False, country="Kazakhstan", role="nurse"),
    signatory("Bo Li", country="China"),
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("signatories | length", "5"),
        ("signatories | where(country='KZ') | length", "3"),
        ("signatories | where(country='Казахстан') | length", "3"),
        ("signatories | where(country='kz', role='Nurse') | length", "2"),
        ("signatories | where(kind='organization') | length", "1"),
        ("signatories | where(country='China') | length", "1"),
        ("signatories | where(country='Fiji') | length", "0"),
        ("signatories | where(country='KZ') | limit(1) | length", "3"),
        ("signatories | where(country=recipient.title) | length", "3"),
        ("signatories | listed", "River Friends, Ann Reed, Bo Li and 2 others"),
        ("signatories | limit(1) | listed", "River Friends and 4 others"),
        ("signatories | where(kind='organisation') | listed", "River Friends"),
        ("demands | map(attribute='title') | listed", "Stop it and Pay <fairly> & in full"),
        ("demands | where(id='pay') | map(attribute='number') | first", "2"),
        ("demands | limit(1) | map(attribute='id') | listed", "stop-it"),
        ("['a', 'b', 'c'] | listed", "a, b and c"),
    ],
)
def test_a_choice_in_a_sentence(expression, value):
    person = person_of(title="Kazakhstan")
    shown = plain_of(f"We are {{{{ {expression} }}}}.", person, signatories=SIGNED)
    assert shown == f"We are {value}.\n"


@pytest.mark.parametrize(
    ("language", "value"),
    [
        ("ru", "River Friends, Ann Reed, Bo Li и ещё 2 подписи"),
        ("kk", "River Friends, Ann Reed, Bo Li, тағы 2 қол қоюшы"),
    ],
)
def test_a_list_is_that_of_the_language(language, value):
    frozen = freeze_texts(
        text_of("{{ signatories | listed }}.", language=language), signatories=SIGNED
    )
    shown = Merger(frozen, Signer(b"k" * 32)).show(person_of(), 1, NOW).text
    assert shown.replace("\x02", "").replace("\x03", "") == f"{value}.\n"


def test_a_loop_over_a_choice():
    body = "{% for s in signatories | where(country='KZ') %}{{ s.name }}{% endfor %}"
    assert plain_of(body, signatories=SIGNED) == "Ann Reed\n\n"


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("signatories | where(contry='KZ') | length", "Did you mean country"),
        ("signatories | where(name='Hidden Hana') | length", ", ".join(CHOICE_FIELDS)),
        ("signatories | where('KZ') | length", 'where(country="KZ")'),
        ("signatories | where(place=7) | length", 'place="7"'),
        ("demands | where(name='x') | length", "Did you mean number"),
    ],
)
def test_a_choice_that_cannot_be(expression, hint):
    (problem,) = problems_of(text_of(f"a {{{{ {expression} }}}}"), signatories=SIGNED)
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("body", "unnamed"),
    [
        ("{{ signatories }}", None),
        ("{{ signatories | where(country='China') | length }}", [[{"country": None}, 2]]),
        (
            "{{ signatories | where(role='nurse') | length }}",
            [[{"role": "nurse"}, 1], [{"role": None}, 1]],
        ),
        (
            "{{ signatories | where(country=recipient.title) | length }}",
            [[{"country": "KZ"}, 1], [{"country": "Kazakhstan"}, 1]],
        ),
    ],
)
def test_of_those_unnamed_no_more_is_kept_than_the_letter_asks(body, unnamed):
    frozen = freeze_texts(text_of(body), signatories=SIGNED)
    assert frozen.document["signatories"].get("unnamed") == unnamed
    kept = frozen.to_json()
    assert not any(word in kept for word in ("Hidden", "Hana", "spy", "Balkhash", "secret@"))
    assert json.loads(kept)["document"]["signatories"]["total"] == 5


def test_the_order_of_the_rows_is_no_part_of_the_letter():
    body = "{{ signatories }}\n\n{{ signatories | where(country='KZ') | length }}"
    there, back = (
        freeze_texts(text_of(body), signatories=signed) for signed in (SIGNED, SIGNED[::-1])
    )
    assert there.hash == back.hash


SIGNATORIES = st.lists(
    st.builds(
        lambda number, publish, country, kind: signatory(
            f"Name {number}", publish=publish, country=country, kind=kind
        ),
        st.integers(0, 50),
        st.booleans(),
        st.sampled_from(COUNTRIES),
        st.sampled_from(KINDS),
    ),
    max_size=8,
)


@given(SIGNATORIES, st.integers(-1, 9))
def test_whom_a_choice_names_and_whom_it_counts(signed, limit):
    counts = {
        "all": "signatories",
        "limited": f"signatories | limit({limit})",
        "kz": "signatories | where(country='KZ')",
        "uk": "signatories | where(country='UK')",
        "none": "signatories | where(country='')",
        "both": "signatories | where(country='KZ', kind='organisation')",
        "nested": "signatories | where(country='KZ') | where(kind='organisation')",
    }
    body = ";".join(f"{{{{ {choice} | length }}}}" for choice in counts.values())
    body += f";{{{{ signatories | limit({limit}) | list | length }}}}"
    *numbers, named = map(int, plain_of(body, signatories=signed).split(";"))
    found = dict(zip(counts, numbers, strict=True))
    assert found["all"] == found["limited"] == len(signed)
    assert found["kz"] + found["uk"] + found["none"] == len(signed)
    assert found["kz"] == sum(one.country in {"KZ", "Kazakhstan"} for one in signed)
    assert found["both"] == found["nested"] <= found["kz"]
    assert named == min(max(limit, 0), sum(one.publish for one in signed))
