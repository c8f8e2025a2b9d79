from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.address import Mailbox
from petition.campaign.people import Person
from petition.errors import ConditionRefused, UsageError, sentence
from petition.template.condition import Condition
from petition.template.syntax_tree import bare_conditions, tree_of

FIELDS = {"country": "GB", "language": "en", "age": "30", "tag_list": "vip, press", "town": ""}
ANN = Person("people.csv", 7, 6, "", Mailbox("Ann", "ann@x.example"), "en", FIELDS)


def holds(text):
    return Condition(text, tuple(FIELDS)).holds(ANN)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("country == 'GB' and language != 'en'", False),
        ("country == 'GB'", True),
        ('country in ["GB", "IE"] and not town', True),
        ("'vip' in tag_list", True),
        ("age|int > 30", False),
        ("age | int >= 30 or country == 'KZ'", True),
        ("country.lower().startswith('g')", True),
        ("country\n==\n'GB'", True),
        ("recipient.country == 'GB'", True),
        ("town", False),
        ("'{{ country }}' == country", False),
    ],
)
def test_it_is_asked_of_a_row(text, meant):
    assert holds(text) is meant


@pytest.mark.parametrize(
    ("text", "at", "what", "hint"),
    [
        ("contry == 'GB'", 0, 'there is no column "contry"', "Did you mean country"),
        ("town and contry", 9, 'there is no column "contry"', "Did you mean country"),
        ("recipient.contry", 10, 'there is no column "contry"', "Did you mean country"),
        ("country = 'GB'", 8, "= is unexpected here", "Write == to compare"),
        ("country == 'GB", 11, "' is unexpected here", "Close the quote"),
        ("town && town", 5, "& is unexpected here", 'Write "and"'),
        ("country country", 8, "country is unexpected here", "Write it like"),
        ("country ==", 10, "something is missing at its end", "Write it like"),
        ("country|upcase", 8, 'there is no filter "upcase"', "Known here: abs"),
        ("country is foo", 8, 'there is no test "foo"', "Known here: !="),
        ("open('x')", 0, 'there is no column "open"', "Known here: age"),
    ],
)
def test_what_is_wrong_is_shown_with_a_caret(text, at, what, hint):
    with pytest.raises(ConditionRefused) as refusal:
        holds(text)
    assert refusal.value.what == f"--where: {what}"
    assert refusal.value.hint.startswith(hint)
    first, shown, caret, last = str(refusal.value).split("\n")
    assert first == refusal.value.what
    assert (shown, caret) == (f"    {text}", "    " + " " * at + "^")
    assert last == sentence(refusal.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "(" * 3000 + "1" + ")" * 3000,
        "age + 3",
        "recipient['contry']",
        "country.__class__",
        "country.format",
        "('a' * 100000) * 100000",
        "2 ** 100000000",
        "x" * 20_000,
    ],
)
def test_what_cannot_be_worked_out_is_wrong_usage(text):
    with pytest.raises(UsageError):
        holds(text)


def test_the_row_is_named_that_it_fails_for():
    with pytest.raises(UsageError, match=r"--where age \+ 3 cannot .* for people\.csv:7: ") as why:
        holds("age + 3")
    assert why.value.hint == "Cells are texts: write age|int > 17"


PIECES = st.sampled_from(
    ["country", "recipient", ".", "[", "]", "(", ")", "'GB'", "==", "!=", " and ", " not ", " in ",
     "|", "int", "1", "~", "*", "**", "{{", "}}", "%}", " if ", " else ", ":", ",", "__class__",
     "'", '"', "\\", "\n", "ж", "\ud800", "#", "range", "loop", "self", "is ", "defined"]
)  # fmt: skip


@given(st.text(max_size=20) | st.lists(PIECES, max_size=12).map("".join))
@example("self")
@example("country if")
@example("{# x #}")
def test_any_text_is_a_condition_or_wrong_usage(text):
    with suppress(UsageError):
        assert holds(text) in {True, False}


@pytest.mark.parametrize(
    "text",
    [
        *("age == 30", "age != 30", "30 == age", "age > 3", "age in [30, 31]", "age == -1"),
        *(
            "age == true",
            "recipient.age == 30.5",
            "age|trim == 30",
            "age is eq 30",
            "not age != 30",
            "age is true",
            "age is not none",
            "age == none",
        ),
    ],
)
def test_a_cell_is_not_compared_with_a_number(text):
    with pytest.raises(ConditionRefused, match="is a text") as refusal:
        holds(text)
    assert "age" in refusal.value.hint


def rows_of(*cells):
    return [
        ANN._replace(line=line, fields={**FIELDS, "age": cell})
        for line, cell in enumerate(cells, start=2)
    ]


def chosen(text, *cells, block=1):
    condition = Condition(text, tuple(FIELDS))
    people = rows_of(*cells)
    found = []
    for start in range(0, len(people), block):
        condition.judge(people[start : start + block])
        found += [one.line - 2 for one in people[start : start + block] if condition.holds(one)]
    return found


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("", "no", "yes", "", "TRUE"), [2, 4]),
        (("FALSE", "0", "", " нет", "Жоқ", "иә"), [5]),
        (("", "30", "nobody", ""), [1, 2]),
        (("", ""), []),
        (("no",), []),
    ],
)
def test_a_cell_by_itself_counts_as_all_cells_of_its_column_do(cells, expected, block):
    also = ("recipient.age|trim", "age|default('')", "country == 'GB' and (age or not country)")
    for text in ("age", *also):
        assert chosen(text, *cells, block=block) == expected
    others = [at for at in range(len(cells)) if at not in expected]
    assert chosen("not age", *cells, block=block) == others
    assert chosen("'x' if recipient['age'] else ''", *cells, block=block) == expected
    filled = [at for at, cell in enumerate(cells) if cell.strip()]
    assert chosen("age|trim != ''", *cells, block=block) == filled


@pytest.mark.parametrize("cells", [("", "no", "30"), ("30", "", "yes"), ("0", "no", "2")])
def test_cells_of_both_kinds_are_refused_with_a_row_of_each(cells):
    with pytest.raises(UsageError, match=r"people\.csv:[234], .*people\.csv:[24]") as refusal:
        chosen("country and age", *cells)
    assert 'age == "yes"' in refusal.value.hint
    assert chosen('age == "yes"', *cells) == [at for at, one in enumerate(cells) if one == "yes"]


@pytest.mark.parametrize(
    "text",
    [
        "{% if recipient.vip|d(false) %}x{% endif %}",
        "{% with v = recipient.vip|trim %}{{ v }}{% if v %}x{% endif %}{% endwith %}",
        "{% set v = recipient.vip %}Dear{% if v and today %}x{% endif %}",
        "{{ 'x' if recipient['vip'] else 'y' }}",
    ],
)
def test_a_cell_is_a_condition_by_another_name_and_with_a_default_too(text):
    assert [column for _, _, column in bare_conditions(tree_of(text))] == ["vip"]


def test_a_name_from_another_part_of_the_letter_is_no_cell():
    text = "{% with v = recipient.vip %}{{ v }}{% endwith %}"
    text += "{% for v in demands %}{{ v and 1 }}{% endfor %}"
    assert list(bare_conditions(tree_of(text))) == []


def test_what_stands_in_for_an_empty_cell_counts_as_any_value_does():
    assert chosen("age|default(1, true)", "yes", "no", "") == [0, 2]
    assert chosen("age|default('any', true)", "yes", "no", "") == [0, 2]
    assert chosen("age|default(false, true)", "yes", "no", "") == [0]
