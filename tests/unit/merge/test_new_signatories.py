"""Who a follow-up says has signed since the letter before."""

from dataclasses import replace
from datetime import date

import pytest

from petition.errors import CampaignError, MergeRefused
from petition.identity import Signer
from petition.merge.document import Frozen, differences
from petition.merge.freeze import freeze, with_fewer_signatories, without
from petition.merge.message import Merger
from petition.merge.open_letter import OpenLetter
from petition.merge.pdf import words_of
from tests.unit.merge.letters import (
    BODY_LINE,
    COLUMNS,
    NOW,
    campaign_of,
    freeze_texts,
    person_of,
    problems_of,
    signatory,
    text_of,
)

DAY = date(2015, 10, 3)  # on which the letter before was frozen
TODAY = date(2015, 10, 20)
BEFORE, AFTER = date(2015, 9, 1), date(2015, 10, 9)

NAMES = "{{ signatories.new | limit(50) | listed }}"
COUNT = "{{ signatories.new | length }}"


def signed(name, day=None, **more):
    return replace(signatory(name, **more), signed_on=day)


def letter_before(*signatories, body="{{ signatories | length }}") -> Frozen:
    return freeze_texts(text_of(body), today=DAY, signatories=signatories)


def follow_up(body, before, signatories, language="en", today=TODAY) -> Frozen:
    text = text_of(body, language=language, follows="open-letter")
    campaign = campaign_of(text, signatories=signatories)
    return freeze(
        campaign, campaign.letters["open-letter"], campaign_id="four-demands",
        today=today, columns=COLUMNS, before=before,
    )  # fmt: skip


def shown(frozen) -> str:
    text = Merger(frozen, Signer(b"k" * 32)).show(person_of(), 1, NOW).text
    return text.replace("\x02", "").replace("\x03", "")


def new_in(before, *signatories) -> str:
    body = "{% if signatories.new %}" + NAMES + "{% else %}nobody{% endif %}"
    return shown(follow_up(body, before, signatories)).strip()


@pytest.mark.parametrize(
    ("then", "now", "new"),
    [
        # the day decides
        ([], [signed("Ann", BEFORE), signed("Bo", AFTER)], "Bo"),
        # whom the letter names needs no day, however the name is spelt by now
        ([signed("Ann")], [signed("ANN"), signed("Bo", AFTER)], "Bo"),
        # nor is somebody new who signed once more
        ([signed("Ann", BEFORE)], [signed("Ann", AFTER)], "nobody"),
        # an organisation of the same name is somebody else
        ([signed("Ann")], [signed("Ann"), signed("Ann", AFTER, kind="organisation")], "Ann"),
        # counted unnamed then, and named now
        ([signed("Ann", BEFORE, publish=False)], [signed("Ann", BEFORE)], "nobody"),
        # renamed
        ([signed("Ann", BEFORE)], [signed("Ann Reed", BEFORE)], "nobody"),
        # on the day itself: who can be named and is not in the letter is new
        ([signed("Ann", DAY)], [signed("Ann", DAY), signed("Bo", DAY)], "Bo"),
        # who is not to be named may have been counted on that day
        ([], [signed("Hid", DAY, publish=False)], "nobody"),
    ],
)  # fmt: skip
def test_who_is_new(then, now, new):
    assert new_in(letter_before(*then), *now) == new


def test_a_letter_before_that_named_nobody_leaves_it_to_the_day():
    before = letter_before(signed("Ann", DAY), body="Hello.")
    assert new_in(before, signed("Ann", BEFORE), signed("Bo", AFTER)) == "Bo"


def test_those_unnamed_are_counted_and_chosen_from():
    now = [
        signed("Ann", AFTER, country="KZ"),
        signed("Hidden Hana", AFTER, publish=False, country="KZ"),
        signed("Hidden Hugo", AFTER, publish=False),
        signed("Hidden Otto", BEFORE, publish=False, country="KZ"),
    ]
    body = f"{COUNT} of {{{{ signatories | length }}}}, {{{{ signatories.new"
    body += " | where(country='KZ') | length }} in KZ"
    frozen = follow_up(body, letter_before(), now)
    assert shown(frozen).strip() == "3 of 4, 2 in KZ"
    assert "Hidden" not in frozen.to_json()


@pytest.mark.parametrize(
    ("language", "limit", "line"),
    [
        ("en", 1, "and 2 more since 3 October 2015"),
        ("en", 0, "3 more since 3 October 2015"),
        ("ru", 1, "и ещё 2 подписи после письма от 3 октября 2015 г."),
        ("kk", 1, "және 2015 ж. 3 қазан күнінен бері тағы 2 қол қоюшы"),
        ("de", 2, "und 1 weitere Unterschrift seit dem 3. Oktober 2015"),
        ("ar", 2, "and 1 more since 3 October 2015"),
    ],
)
def test_the_line_about_the_others_has_the_day(language, limit, line):
    now = [signed(name, AFTER) for name in ("Ann", "Bo", "Cy")]
    body = f"{{{{ signatories.new | limit({limit}) }}}}"
    frozen = follow_up(body, letter_before(), now, language)
    assert " ".join(shown(frozen).split("\n")[-2].split()) == line
    assert " ".join(words_of(OpenLetter(frozen, language).blocks[-1]).split()) == line


def test_a_loop_a_sentence_and_the_day_itself():
    body = """\
{% for one in signatories.new %}
- {{ one.name }}
{% endfor %}

{{ signatories.new | limit(1) | listed }}, {{ signatories.since.iso }}."""
    now = [signed("Ann", AFTER), signed("Bo", AFTER), signed("Old", BEFORE)]
    found = shown(follow_up(body, letter_before(), now))
    assert "- Ann\n- Bo\n" in found
    assert "Old" not in found
    assert found.endswith("Ann and 1 more since 3 October 2015, 2015-10-03.\n")


def test_nobody_new_is_refused_where_it_is_printed():
    before, nobody = letter_before(signed("Ann")), [signed("Ann")]
    guarded = "One.\n\n{% if signatories.new %}\n{{ signatories.new }}\n{% endif %}\n"
    assert shown(follow_up(guarded, before, nobody)).rstrip() == "One."
    assert "Bo" in shown(follow_up(guarded, before, [signed("Bo", AFTER)]))
    with pytest.raises(MergeRefused) as refused:
        shown(follow_up("One.\n\n{{ signatories.new }}", before, nobody))
    problem = refused.value.problem
    assert (problem.file, problem.line) == ("letters/open-letter.md", BODY_LINE + 2)
    assert "{% if signatories.new %}" in problem.hint


@pytest.mark.parametrize(
    "body",
    [
        "{{ signatories.new }}",
        COUNT,
        "{% for s in signatories.new %}{{ s.name }}{% endfor %}",
        "{{ signatories.since }}",
        "{{ signatories['new'] | length }}",
    ],
)
def test_a_letter_that_follows_none_has_nobody_new(body):
    (problem,) = problems_of(text_of(f"a\n\n{body}"))
    assert (problem.file, problem.line) == ("letters/open-letter.md", BODY_LINE + 2)
    assert problem.hint.startswith("Write follows:")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ([signed("Ann"), signed("Bo", line=3)], [(None, "Add a column signed_on")]),
        (
            [signed("Ann", AFTER), signed("Bo", line=3), signed("Cy", line=4, publish=False)],
            [(3, "Write the day"), (4, "Write the day")],
        ),
        ([signed("Ann", date(2051, 10, 9))], [(2, "Write the day")]),
        ([signed("Known"), signed("Ann", date(2015, 10, 21))], []),
    ],
)
def test_what_is_not_known_is_a_problem(now, told):
    try:
        follow_up(COUNT, letter_before(signed("Known")), now)
        found = []
    except CampaignError as fault:
        found = fault.problems
    assert [(one.file, one.line) for one in found] == [
        ("signatories.csv", line) for line, _ in told
    ]
    assert all(one.hint.startswith(hint) for one, (_, hint) in zip(found, told, strict=True))
    assert not any("Cy" in one.what for one in found)


def test_a_follow_up_that_does_not_say_who_is_new_needs_no_day():
    frozen = follow_up("{{ signatories }}", letter_before(signed("Known")), [signed("Ann")])
    assert "new" not in frozen.document["signatories"]


def test_whoever_is_new_by_another_name_is_refused():
    body = "{% set all = signatories %}{{ all.new | length }}"
    frozen = follow_up(body, letter_before(), [signed("Ann", AFTER)])
    with pytest.raises(MergeRefused) as refused:
        shown(frozen)
    assert "signatories.new" in refused.value.problem.hint


def test_it_is_a_part_of_the_letter():
    now = [signed("Ann", BEFORE), signed("Bo", AFTER)]
    one = follow_up(COUNT, letter_before(), now)
    assert one.hash == follow_up(COUNT, letter_before(), now, today=AFTER).hash
    other = follow_up(COUNT, letter_before(), [signed("Ann", AFTER), signed("Bo", AFTER)])
    assert not one.is_same_as(other)
    assert differences(one, other) == ["who is new among the signatories"]
    assert shown(Frozen.from_json(one.to_json())) == shown(one)


def test_who_is_forgotten_is_new_no_more():
    now = [signed("Ann", AFTER), signed("Bo", AFTER), signed("Hid", AFTER, publish=False)]
    frozen = follow_up(f"{{{{ signatories.new }}}}\n\n{COUNT}", letter_before(), now)
    left = without(frozen, "bo@x.example", lambda one: one["name"] == "Bo")
    assert left is not None
    assert "Bo" not in left.to_json()
    assert shown(left) == "Ann\n\nand 1 more since 3 October 2015\n\n2\n"


def test_who_is_not_to_be_named_any_more_counts_as_frozen_so():
    where = "{{ signatories.new | where(country='KZ') | length }}"
    body = f"{COUNT} {where} {{{{ signatories | where(role='nurse') | length }}}}"

    def letter(*, publish):
        ann = signed("Ann", AFTER, country="KZ", role="spy", publish=publish)
        hid = signed("Hid", AFTER, country="KZ", role="nurse", publish=False)
        return follow_up(body, letter_before(), [ann, signed("Bo", AFTER), hid])

    left = without(letter(publish=True), "", lambda one: one["name"] == "Ann", still_counts=True)
    assert left is not None
    assert shown(left) == "3 2 1\n"
    assert left.hash == letter(publish=False).hash
    assert "spy" not in left.to_json()


def test_a_letter_goes_on_with_fewer_who_are_new_and_never_with_more():
    body, before = f"{NAMES}, {COUNT}", letter_before()
    ann, bo, cy = signed("Ann", AFTER), signed("Bo", AFTER), signed("Cy", BEFORE)
    old = follow_up(body, before, [ann, bo, cy])
    fewer = with_fewer_signatories(old, follow_up(body, before, [ann, cy]))
    assert fewer is not None
    assert shown(fewer) == "Ann, 1\n"
    # One withdrew; another was not new, and is by what the file says now.
    more = follow_up(body, before, [ann, signed("Cy", AFTER)])
    assert with_fewer_signatories(old, more) is None


def test_before_anybody_has_the_letter_everybody_is_an_example():
    body = "{{ signatories.new | limit(1) }}"
    found = shown(follow_up(body, None, [signed("Ann"), signed("Bo")]))
    assert found == "Ann\n\nand 1 more since 20 October 2015\n"
