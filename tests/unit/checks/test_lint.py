"""One warning a kind and place, with the line of the letter's file and the rows that have it."""

import pytest

from petition.campaign.letter import Letter
from petition.checks.style import Lint, untranslated
from petition.errors import Level
from petition.identity import Signer
from petition.merge.message import Merger
from tests.unit.merge.letters import NOW, freeze_texts, person_of, text_of

BODY = """Dear {{ recipient.salutation or "" }},

we write to *you*
about {{ recipient.title or "this" }}.

{% if recipient.page %}
See {{ recipient.page }},or not.
{% endif %}
"""


def told(people, *texts):
    frozen = freeze_texts(*texts)
    letter = Letter("open-letter", {}, {text.language: text for text in texts})
    merger = Merger(frozen, Signer(b"k" * 32))
    lint = Lint(letter)
    for person in people:
        lint.look_at(person, merger.check(person, 1, NOW))
    problems = list(lint.problems())
    assert all(problem.level is Level.WARNING for problem in problems)
    return [(problem.file, problem.line, problem.what) for problem in problems]


def test_a_slip_of_many_rows_is_one_warning():
    people = [person_of(salutation="Mr Kim"), *(person_of(f"p{n}@x.example") for n in range(37))]
    assert told(people, text_of(BODY)) == [
        (
            "letters/open-letter.md",
            5,
            'an empty field leaves a gap behind "Dear" (in 37 rows, first recipients.csv:7)',
        )
    ]


def test_a_slip_of_one_row_names_it():
    person = person_of(salutation="Mr Kim", page="the page")
    assert told([person], text_of(BODY)) == [
        (
            "letters/open-letter.md",
            11,
            'no blank stands behind the comma in "page,or" (for recipients.csv:7)',
        )
    ]


def test_a_long_subject():
    people = [person_of(), person_of("b@x.example", name="B" * 62), person_of(name="C" * 63)]
    text = text_of("Hello.", "To {{ recipient.name }}: four demands")
    assert told(people, text) == [
        (
            "letters/open-letter.md",
            3,
            "the subject is longer than 78 characters (in 2 rows, first recipients.csv:7)",
        )
    ]
    assert told(people[:1], text) == []


def test_a_slip_in_the_subject():
    assert told([person_of()], text_of("Hello.", "[First Name], four demands"))[0][:2] == (
        "letters/open-letter.md",
        3,
    )


def test_every_language_is_read():
    texts = (text_of("Hello."), text_of("Здравствуйте,и прощайте.", language="ru"))
    people = [person_of(), person_of("a@x.example", language="ru")]
    assert [place for *place, _ in told(people, *texts)] == [["letters/open-letter.ru.md", 5]]


def test_a_row_that_looks_wrong_is_told_of_once():
    people = [person_of(f"p{n}@x.example", name="ANNA JONES") for n in range(3)]
    assert told(people, text_of("Hello.")) == [
        (
            "recipients.csv",
            7,
            'the name "ANNA JONES" is in capitals alone (in 3 rows, this is the first)',
        )
    ]


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("Dear {{ recipient.salutation }},", 1),
        ("Dear {{ recipient.salutation or 'x' }} !", 1),
        ("{{ recipient.salutation }}\n\nHello.", 0),
    ],
)
def test_a_sign_in_a_cell_is_wrong_where_the_letter_has_one(body, count):
    found = told([person_of(salutation="Mr Kim,")], text_of(body))
    assert [what for *_, what in found] == [
        'salutation is "Mr Kim,", with a sign at its end'
    ] * count


def test_a_letter_that_cannot_be_merged_still_has_its_rows_judged():
    text = text_of("Hello.")
    lint = Lint(Letter("a", {}, {"en": text}))
    lint.look_at(person_of(salutation="Mr Smith"), None)
    (problem,) = lint.problems()
    assert problem.what.startswith('the salutation "Mr Smith" does not fit')


@pytest.mark.parametrize(
    ("default", "other", "missing"),
    [
        ("{{ demands }}", "Нет", ["{{ demands }}"]),
        ("{{ signatories | limit(3) }} {{ reply_by }}", "{{ reply_by }}", ["{{ signatories }}"]),
        ("{% for d in demands %}{{ d.title }}{% endfor %}", "{{ demands }}", []),
        ("nothing", "{{ demands }}", []),
    ],
)
def test_what_a_translation_leaves_out(default, other, missing):
    texts = {"en": text_of(default), "ru": text_of(other, language="ru")}
    found = list(untranslated(Letter("a", {}, texts)))
    assert [problem.what for problem in found] == [
        f"letters/open-letter.md has {name}, and this translation has not" for name in missing
    ]
