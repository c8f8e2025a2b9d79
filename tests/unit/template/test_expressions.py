"""What a letter can write between {{ and }}, and what becomes of it when a cell is empty."""

import pytest

from petition.errors import MergeRefused
from tests.unit.merge.letters import merged, person_of, plain_of


def value(expression, person=None, **around):
    return plain_of(f"x{{{{ {expression} }}}}x", person, **around)[1:-2]


def refusal(body, person=None, **around):
    with pytest.raises(MergeRefused) as refused:
        merged(body, person=person, **around)
    return refused.value.problem


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("recipient.name", "Vladimir Kim"),
        ("recipient['name']", "Vladimir Kim"),
        ("recipient.name.upper()", "VLADIMIR KIM"),
        ("recipient.name.split(' ')[0]", "Vladimir"),
        ("recipient.name|upper|replace('KIM', 'K.')", "VLADIMIR K."),
        ("recipient.email", "kim@kaz.example"),
        ("recipient.title or 'Sir'", "Sir"),
        ("recipient.title|default('Sir', true)", "Sir"),
        ("'a' if recipient.title else 'b'", "b"),
        ("recipient.title|upper or 'Sir'", "Sir"),
        ("recipient.title.strip() or 'Sir'", "Sir"),
        ("recipient.title == ''", None),
        ("recipient.title|length", "0"),
        ("recipient.id|int + 1", None),
        ("'7'|int + 1", "8"),
        ("'2.345'|float|round(1)", "2.3"),
        ("'a' ~ 1 ~ recipient.name", "a1Vladimir Kim"),
        ("campaign.title", "Four demands"),
        ("campaign.id", "four-demands"),
        ("sender.name", "Campaign"),
        ("sender.address", "letter@campaign.example"),
        ("demands|length", "2"),
        ("demands[1].title", "Pay <fairly> & in full"),
        ("demands[0].text", "Stop it now. At once."),
        ("demands|map(attribute='id')|join(', ')", "stop-it, pay"),
        ("demands|join('/', 'number')", "1/2"),
        ("signatories|length", "3"),
        ("signatories|map(attribute='name')|join('; ')", "Law & Centre; Hazel Thorn"),
        ("signatories|selectattr('kind', 'eq', 'organisation')|list|length", "1"),
        ("today", "12 October 2015"),
        ("today.iso", "2015-10-12"),
        ("today.year", "2015"),
        ("today.weekday", "Monday"),
        ("2 + 3 * 4 - 2 ** 3 % 5", "11"),
        ("range(3)|join", "012"),
        ("''", ""),
        ("'a' if false", ""),
        ("'x'|int(5)", "5"),
        ("'\\n'", "\n"),
    ],
)
def test_expression(expression, expected):
    if expected is None:
        assert refusal(f"x{{{{ {expression} }}}}")
    else:
        assert value(expression) == expected


def test_column_may_be_called_like_a_method():
    columns = ("email", "items", "keys", "get", "label", "field")
    person = person_of(items="a", keys="b", get="c", label="d", field="e")
    expression = "recipient.items ~ recipient.keys ~ recipient.get ~ recipient.label"
    assert value(f"{expression} ~ recipient.field", person, columns=columns) == "abcde"


def test_reply_by_counts_from_today():
    text = plain_of("{{ reply_by }} ({{ reply_by.weekday }})", reply_by="14 days")
    assert text == "26 October 2015 (Monday)\n"


@pytest.mark.parametrize(
    "expression",
    [
        "recipient.title",
        "recipient.title|upper",
        "recipient.title|title",
        "recipient.title|default('x')",
        "recipient.title|int",
        "recipient.title|round",
        "recipient.title|replace('a', 'b')",
        "recipient.title|trim",
        "recipient.title|string",
        "recipient.title.upper()",
        "recipient.title.strip()",
        "recipient.title ~ 'x'",
        "'x' + recipient.title",
        "recipient.title + 'x'",
        "[recipient.title, 'x']|join",
        "recipient.title|truncate(5)",
        "recipient.title if true else 'x'",
        "sender.reply_to",
    ],
)
@pytest.mark.parametrize("cell", ["", "  ", "\u00a0\t"])
def test_empty_cell_is_refused(expression, cell):
    problem = refusal(f"a\n\nb {{{{ {expression} }}}}", person_of(title=cell))
    name = "sender.reply_to" if "sender" in expression else "recipient.title"
    assert problem.what == f"{name} is empty"
    assert (problem.file, problem.line) == ("letters/open-letter.md", 7)
    assert f"{{{{ {name} or 'something else' }}}}" in problem.hint


def test_refusal_is_the_same_for_every_row():
    body = "{{ recipient.title }}"
    assert refusal(body) == refusal(body, person_of("other@kaz.example", id="3"))


@pytest.mark.parametrize(
    "expression",
    [
        "none",
        "true",
        "demands[:1]",
        "demands[0]",
        "[1]",
        "{'a': 1}",
        "recipient.name.upper",
        "signatories|first",
        "range",
        "1 == 1",
        "recipient|first",
    ],
)
def test_only_text_and_numbers_are_printed(expression):
    problem = refusal(f"a {{{{ {expression} }}}}")
    assert problem.file == "letters/open-letter.md"


@pytest.mark.parametrize(
    "expression",
    [
        "1 / 0",
        "demands[9].title",
        "demands|map(attribute='titel')|join",
        "recipient.name()",
        "'a'.format(1)",
        "''.__class__",
        "''['__class__']",
        "'{:1000000000}'.format(1)",
        "'{0.__class__}'.format_map({})",
        "demands[0]['_label']",
        "demands[0]._values",
        "demands[0]['field']",
        "''.join(['a'])",
        "{}.__init__",
        "[].append(1)",
        "range(3).start",
        "[1].count(1)",
        "1.5.real",
    ],
)
def test_fault_is_a_problem_with_its_line(expression):
    problem = refusal(f"one\n\ntwo {{{{ recipient.name }}}}\nthree {{{{ {expression} }}}}\n\nfour")
    assert (problem.file, problem.line) == ("letters/open-letter.md", 8)


def test_line_of_a_fault_in_a_condition_in_a_list_in_the_subject():
    body = "x\n\n- a\n- b\n  {% if recipient.name %}\n  {{\n 1 / 0 }}\n  {% endif %}\n"
    assert refusal(body).line == 10
    assert refusal("x", subject="a {{ 1 / 0 }}").line == 3


@pytest.mark.parametrize(
    "body",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 10**9 * 'a' }}",
        "{{ [1] * 10**9 }}",
        "{{ ('a' * 90000) ~ ('b' * 90000) }}",
        "{{ 9**9999 }}",
        "{{ (2**3999) * (2**3999) }}",
        "{% for a in range(10**9) %}x{% endfor %}",
        "{% for a in range(10**30) %}x{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{{ 'b' * 9999 }}{% endfor %}",
        "{% set s = 'a' * 90000 %}\n\n{% for a in range(99) %}{{ s }}{% endfor %}",
        "{{ '%1000000000d' % 1 }}",
        "{{ ('a' * 9999)|replace('a', 'b' * 9999) }}",
        "{{ range(9999)|join('a' * 9999) }}",
        "{{ 2.0 ** 9999 }}",
        "{{ 'a'|int(default='b' * 10**9) }}",
    ],
)
def test_limits(body):
    assert refusal(body).file == "letters/open-letter.md"


@pytest.mark.parametrize("code", ["\x00", "\x07", "\x1b]52;c;eA==\x07", "\x0b", "\x1f", "\ud800"])
def test_control_character_is_refused_with_the_row(code):
    problem = refusal("x {{ recipient.title }}", person_of(title=f"a{code}b"))
    assert (problem.file, problem.line) == ("recipients.csv", 7)
    assert f"U+{ord(code[0]):04X}" in problem.what
    assert "letters/open-letter.md:5" in problem.what


def test_line_ends_of_a_value_are_plain():
    assert value("recipient.title", person_of(title="a\r\nb\rc\nd\te")) == "a\nb\nc\nd\te"


@pytest.mark.parametrize("text", ["\u202eabc", "a\u2066b", "\u200f", "\x85", "\ufeff", "e\u0301"])
def test_marks_of_writing_stay_as_they_are(text):
    assert value("recipient.title", person_of(title=f"a{text}b")) == f"a{text}b"
