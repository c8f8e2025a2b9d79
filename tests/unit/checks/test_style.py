"""One warning for each kind and place, with the line of the letter and the rows that have it."""

import pytest

from petition.campaign.letter import Letter
from petition.checks.style import StyleCheck, run_on, untranslated
from petition.errors import Level
from petition.identity import Signer
from petition.merge.message import Merger
from tests.unit.merge.enclosed import GIF
from tests.unit.merge.letters import NOW, freeze_texts, person_of, text_of

BODY = """Dear {{ recipient.salutation or "" }},

we write to *you*
about {{ recipient.title or "this" }}.

{% if recipient.page %}
See {{ recipient.page }},or not.
{% endif %}
"""


def told(people, *texts):
    problems = found(people, *texts)
    assert all(problem.level is Level.WARNING for problem in problems)
    return [(problem.file, problem.line, problem.what) for problem in problems]


def found(people, *texts, **around):
    frozen = freeze_texts(*texts, **around)
    letter = Letter("open-letter", {}, {text.language: text for text in texts})
    merger = Merger(frozen, Signer(b"k" * 32))
    style = StyleCheck(letter)
    for person in people:
        style.look_at(person, merger.check(person, 1, NOW))
    return list(style.problems())


def test_a_slip_of_many_rows_is_one_warning():
    people = [person_of(salutation="Mr Kim"), *(person_of(f"p{n}@x.example") for n in range(37))]
    [(file, line, what)] = told(people, text_of(BODY))
    assert (file, line) == ("letters/open-letter.md", 5)
    assert what.startswith("an empty field")
    assert "recipients.csv:7, 7, 7, 7, 7" in what
    assert "32 more" in what


def test_a_slip_of_one_row_names_it():
    person = person_of(salutation="Mr Kim", page="the page")
    [(file, line, what)] = told([person], text_of(BODY))
    assert (file, line) == ("letters/open-letter.md", 11)
    assert '"page,or"' in what
    assert "recipients.csv:7" in what


@pytest.mark.parametrize("mark", ["{recipient.name}", "[Name]", "%NAME%", "<name>", "{demands}"])
def test_a_placeholder_that_holds_a_known_name_is_an_error(mark):
    [problem] = found([person_of()], text_of(f"Dear {mark},"))
    assert (problem.level, problem.line) == (Level.ERROR, 5)


@pytest.mark.parametrize("words", ["Name", "Map", "The name"])
def test_what_a_picture_shows_is_no_placeholder(words, tmp_path):
    (tmp_path / "a b.gif").write_bytes(GIF)
    body = f"![{words}](a b.gif){{width=40}}"
    assert found([person_of()], text_of(body), root=tmp_path) == []


def test_a_date_as_a_spreadsheet_has_it_is_one_warning():
    body = "Hello.\n\nSince {{ recipient.title }}.\n\n{{ today.iso }} {{ recipient.page | date }}"
    cells = [("2026-01-05", "2025-02-03"), ("2024-12-31 10:00:00", "2020-02-03")]
    people = [person_of(f"{at}@x.example", title=a, page=b) for at, (a, b) in enumerate(cells)]
    [(_, line, what)] = told(people, text_of(body))
    assert line == 7
    assert "2 rows" in what or "7, 7" in what


def test_a_cell_that_says_no_can_be_printed_and_compared():
    body = "{{ recipient.title or 'x' }} {% if recipient.title == 'yes' %}y{% endif %}"
    assert found([person_of(title="no")], text_of(body)) == []


def test_any_other_placeholder_is_a_warning():
    [problem] = found([person_of()], text_of("To [Recipient Body]."))
    assert problem.level is Level.WARNING
    [problem] = found([person_of(title="{name}")], text_of("Dear {{ recipient.title }},"))
    assert problem.level is Level.WARNING  # it is in a cell, and any row may hold one


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("Dear Ann,\n\nBest regards,\nDion Example\nFriends\n12 High Street, Leeds", [7]),
        ("{{ sender.name }}\n{{ sender.address }}", [5]),
        ("Leeds,\n12 October 2026\n\n- Ann Reed\n  Chair\n\n> To\n> Ann", [5, 8, 11]),
        ("Friends of the Harbour\ninfo@friends.example", [5]),
        ("{% if recipient.name %}\nС уважением,\nАнна Рид\n{% endif %}", [6]),
    ],
)
def test_short_lines_that_become_one_are_warned_of(body, lines):
    assert [one.line for one in run_on(letter_of(body))] == lines


@pytest.mark.parametrize(
    "body",
    [
        "Best regards,\\\nDion Example  \nFriends of the Harbour",
        "- Ann Reed\n- Dion Example\n\n| A |\n| - |\n| B |",
        f"{'One case may stand for others ' * 3}and\nThe Network asked long ago. We\n{'Y' * 60}",
        "we write to *you*\nabout {{ recipient.title or 'this' }}.",
        "```\nA\nB\n```",
    ],
)
def test_wrapped_lines_and_lines_that_stay_apart_are_not(body):
    assert list(run_on(letter_of(body))) == []


def letter_of(body):
    return Letter("open-letter", {}, {"en": text_of(body)})


def test_a_long_subject():
    people = [person_of(), person_of("b@x.example", name="B" * 62), person_of(name="C" * 63)]
    text = text_of("Hello.", "To {{ recipient.name }}: four demands")
    [(file, line, what)] = told(people, text)
    assert (file, line) == ("letters/open-letter.md", 3)
    assert "78 characters" in what
    assert "recipients.csv:7, 7)" in what
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


def test_rows_that_share_a_problem_are_one_warning():
    people = [person_of(f"p{n}@x.example", name="ANNA JONES") for n in range(3)]
    [(file, line, what)] = told(people, text_of("Hello."))
    assert (file, line) == ("recipients.csv", 7)
    assert '"ANNA JONES"' in what
    assert "3 rows" in what


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("Dear {{ recipient.salutation }},", 1),
        ("Dear {{ recipient.salutation or 'x' }} !", 1),
        ("{{ recipient.salutation }}\n\nHello.", 0),
    ],
)
def test_punctuation_in_a_cell_is_wrong_if_the_letter_has_it_too(body, count):
    found = told([person_of(salutation="Mr Kim,")], text_of(body))
    assert len([what for *_, what in found if 'salutation is "Mr Kim,"' in what]) == count
    assert len(found) == count


def test_rows_are_checked_even_if_the_letter_cannot_be_merged():
    text = text_of("Hello.")
    style = StyleCheck(Letter("a", {}, {"en": text}))
    style.look_at(person_of(salutation="Mr Smith"), None)
    (problem,) = style.problems()
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
    assert [name for problem in found for name in missing if name in problem.what] == missing
    assert len(found) == len(missing)
