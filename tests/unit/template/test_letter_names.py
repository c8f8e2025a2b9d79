"""What a letter names and what is not there is found before anybody's copy is made."""

import pytest

from petition.campaign.letter import Demand
from petition.errors import Problem
from tests.unit.merge.letters import DEMANDS, problems_of, signatory, text_of


def problem_of(expression, **around):
    (problem,) = problems_of(text_of(f"a\n\nb {{{{ {expression} }}}}"), **around)
    assert (problem.file, problem.line) == ("letters/open-letter.md", 7)
    return f"{problem.what}. {problem.hint}"


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (
            "recipient.saluation",
            "there is no recipient.saluation. Did you mean recipient.salutation",
        ),
        ("recipient['titel']", "there is no recipient.titel. Did you mean recipient.title"),
        ("recipient.zzz or 'x'", "there is no recipient.zzz. Known here: email, id, language"),
        ("recipient.zzz|default('x')", "there is no recipient.zzz"),
        ("recipient.__class__", "there is no recipient.__class__"),
        ("recipent.name", "there is no recipent. Did you mean recipient"),
        ("name", "Write recipient.name"),
        ("salutation or 'x'", "Write recipient.salutation"),
        ("recipient", "Name a field of it, as recipient.id"),
        ("sender.adress", "there is no sender.adress. Did you mean sender.address"),
        ("campaign.name", "there is no campaign.name"),
        ("today.month", "there is no today.month"),
        ("demands.title", "there is no demands.title"),
        ("signatories.first", "there is no signatories.first"),
        ("reply_by", "the letter has no reply-by date. Write reply_by"),
        ("event.title", "the letter has no event. Write event: NAME"),
        ("previous.date", "the letter follows no other. Write follows: LETTER"),
        ("recipient.name|uper", 'there is no filter "uper". Did you mean upper'),
        ("recipient.name|safe", 'there is no filter "safe": fields are always escaped'),
        ("recipient.name|e", 'there is no filter "e": fields are always escaped'),
        ("recipient.name|random", 'there is no filter "random"'),
        ("recipient.name|link_part", 'there is no filter "link_part"'),
        ("recipient.name is evn", 'there is no test "evn". Did you mean'),
        ("lipsum()", "there is no lipsum"),
        ("namespace(x=1)", "there is no namespace"),
        ("dict(x=1)", "there is no dict"),
    ],
)
def test_missing_name(expression, told):
    assert told in problem_of(expression)


def test_fields_of_what_a_loop_gives():
    body = "{% for d in demands|sort(attribute='title') %}\n{{ d.titel }}\n{% endfor %}"
    (problem,) = problems_of(text_of(body))
    assert (problem.line, problem.hint) == (6, "Did you mean d.title")
    body = "{% for s in signatories if s.kind %}{{ s.email }}{% endfor %}"
    (problem,) = problems_of(text_of(body))
    assert problem.what == "there is no s.email"


def test_own_names_are_known():
    body = (
        "{% set a = 1 %}{% for b, c in [(1, 2)] %}{{ b + c + a + loop.index }}{% endfor %}"
        "{% with e = 2 %}{{ e }}{% endwith %}"
    )
    assert problems_of(text_of(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        "{% set today = 1 %}",
        "{% for recipient in [1] %}{% endfor %}",
        "{% for sender, x in [(1, 2)] %}{% endfor %}",
    ],
)
def test_names_of_the_letter_are_not_given_again(body):
    (problem,) = problems_of(text_of(body))
    assert "is already something else in a letter" in problem.what


@pytest.mark.parametrize(
    "tag",
    ["include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'"],
)
def test_letter_is_one_file(tag):
    (problem,) = problems_of(text_of(f"a\n{{% {tag} %}}"))
    assert problem.line == 6
    assert "one file" in problem.what


def test_autoescape_cannot_be_turned_off():
    (problem,) = problems_of(text_of("{% autoescape false %}x{% endautoescape %}"))
    assert "autoescape" in problem.what


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("a\n{{ b", 6),
        ("a\n\n{% if x %}\n", 7),
        ("{% endif %}", 5),
        ("a {{ 1 + }}", 5),
        ("{% do x %}", 5),
        ("a\n{# b", 6),
        ("{% raw %}\n", 5),
        ("{{ 'a }}", 5),
        ("{{ a! }}", 5),
    ],
)
def test_syntax_error_has_its_line(body, line):
    (problem,) = problems_of(text_of(body))
    assert (problem.file, problem.line) == ("letters/open-letter.md", line)


def test_all_problems_of_all_languages_at_once():
    english = text_of("{{ a }}\n{{ recipient.b }}", subject="{{ c }}")
    russian = text_of("{{ d", subject="{{ recipient.e }}", language="ru")
    kazakh = text_of("![x](https://a.example)\n\n[y](ftp://x)", language="kk")
    found = [(one.file, one.line) for one in problems_of(english, russian, kazakh)]
    assert found == [
        ("letters/open-letter.kk.md", 5),
        ("letters/open-letter.kk.md", 7),
        ("letters/open-letter.md", 3),
        ("letters/open-letter.md", 5),
        ("letters/open-letter.md", 6),
        ("letters/open-letter.ru.md", 3),
        ("letters/open-letter.ru.md", 5),
    ]


def test_names_and_markup_of_one_text_at_once():
    problems = problems_of(text_of("{{ a }}\n\n![x](https://a.example)", subject="{{ b }}"))
    assert [problem.line for problem in problems] == [3, 5, 7]


def test_demands_and_signatories_need_a_paragraph_and_must_be_there():
    (problem,) = problems_of(text_of("We want {{ demands }}."))
    assert problem.mark == "demands"
    (problem,) = problems_of(text_of("a\n\n{{ demands }}"), demands={})
    assert (problem.line, problem.what) == (7, "there are no demands")
    (problem,) = problems_of(text_of("{{ signatories }}"), signatories=())
    assert problem.what == "there are no signatories"


@pytest.mark.parametrize("character", ["\U00100000", "\x1b", "\x00", "\x0c", "&#x100001;"])
def test_characters_that_a_letter_cannot_hold(character):
    assert [problem.line for problem in problems_of(text_of(f"a\nb{character}"))] == [6]


def test_characters_that_a_demand_or_signatory_cannot_hold():
    demand = Demand(1, "a", "Title", "x\U00100000", 12)
    text = text_of("{{ demands }}\n\n{{ signatories }}")
    signatories = [signatory("Na\x1bme", 4)]
    problems = problems_of(text, demands={"en": [demand]}, signatories=signatories)
    places = [(problem.file, problem.line) for problem in problems]
    assert places == [("letters/demands.md", 12), ("signatories.csv", 4)]


@pytest.mark.parametrize("words", ["![x](https://a.example/y.png)", "[x](page.html)"])
def test_demand_that_cannot_be_shown(words):
    text = text_of("{{ demands }}", language="ru")
    demands = {"en": DEMANDS, "ru": [Demand(1, "a", "Title", f"x {words}", 12)]}
    (problem,) = problems_of(text, demands=demands)
    assert (problem.file, problem.line) == ("letters/demands.ru.md", 12)


def test_problem_is_a_sentence():
    (problem,) = problems_of(text_of("{{ recipient.saluation }}"))
    assert problem == Problem(
        "letters/open-letter.md",
        5,
        "there is no recipient.saluation",
        "Did you mean recipient.salutation",
    )


@pytest.mark.parametrize(
    "body",
    [
        "{% if recipient.title == 3 %}a{% endif %}",
        "{{ 'a' if recipient['title'] != true else 'b' }}",
        "{% if recipient.name and 3 < recipient.title %}a{% endif %}",
    ],
)
def test_a_cell_compared_with_a_number_has_its_line(body):
    (problem,) = problems_of(text_of(f"a\n\n{body}"))
    assert problem.line == 7
    assert "recipient.title" in problem.hint


def test_a_number_made_of_a_cell_can_be_compared():
    assert (
        problems_of(text_of("{{ 'a' if recipient.title|int == 3 or recipient.name == '3' }}")) == []
    )
