from datetime import date, timedelta

import pytest

from petition.address import Mailbox
from petition.campaign.letter import ANSWERS, read_letter
from petition.campaign.letter import UNANSWERED as FOLLOWED_UP
from petition.outbox.answers import UNANSWERED, Status
from tests.unit.campaign.samples import Said

FILE = "letters/open-letter.md"


def read(folder, text, problems, **translations):
    texts = {"en": text, **translations}
    files = {language: f"letters/open-letter.{language}.md" for language in texts}
    files["en"] = FILE
    for language, content in texts.items():
        folder.write(files[language], content)
    return read_letter(folder.root, "open-letter", files, problems)


def front(*lines):
    return "\n".join(["---", *lines, "---", "Dear Kim,", ""])


def told(problems, file=FILE):
    assert all(problem.is_error for problem in problems)
    return [(problem.line, Said(problem.what)) for problem in problems if problem.file == file]


def test_a_letter_knows_the_lines_of_its_parts(folder, problems):
    text = "---\n# ours\nto: recipients\nsubject: >-\n  Four\n  demands\n--- \n\nDear Kim,\r\nyours"
    letter = read(folder, text, problems)
    assert problems == []
    assert letter.name == "open-letter"
    english = letter.texts["en"]
    assert english is letter.default_text
    assert english.subject == "Four demands"
    assert english.subject_line == 4
    assert english.body == "\nDear Kim,\nyours"
    assert english.body_line == 8
    assert english.line_of("to") == 3
    assert english.line_of("reply_by") == 1


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("subject: Save our library #SaveOurLibrary", '"Save our library #SaveOurLibrary"'),
        ("subject: #SaveOurLibrary", 'subject: "#SaveOurLibrary"'),
        ('subject: No #7 of "ours"', r'"No #7 of \"ours\""'),
    ],
)
def test_a_comment_that_cuts_a_value_off_is_a_problem(line, form, folder, problems):
    read(folder, front("to: recipients", line), problems)
    assert [(one.line, form in one.hint) for one in problems] == [(3, True)]


def test_other_comments_and_hashes_are_allowed(folder, problems):
    lines = ("# a note", 'subject: "No #7" # quoted', "cc: [a@b.example] # a list", "to: a#b")
    letter = read(folder, front(*lines), problems)
    assert problems == []
    assert (letter.front.subject, letter.front.to) == ("No #7", "a#b")


def test_every_key_is_read(folder, problems):
    letter = read(
        folder,
        front("to: supporters", "subject: 5", "kind: personal", 'cc: ["a@КАЗ.example"]',
              "bcc:", "  - b@kaz.example", "reply_by: 14 days"),
        problems,
    )  # fmt: skip
    assert problems == []
    assert letter.front.to == "supporters"
    assert letter.front.subject == "5"
    assert letter.front.cc == (Mailbox("", "a@xn--80aoh.example"),)
    assert letter.front.bcc == (Mailbox("", "b@kaz.example"),)
    assert letter.front.reply_by == timedelta(days=14)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 day", timedelta(days=1)),
        ("2 weeks", timedelta(days=14)),
        ("2015-10-01", date(2015, 10, 1)),
    ],
)
def test_a_reply_by_is_a_span_or_a_day(folder, problems, text, expected):
    assert (
        read(folder, front("subject: x", f"reply_by: {text}"), problems).front.reply_by == expected
    )


@pytest.mark.parametrize(
    ("lines", "line", "what"),
    [
        (["subjet: x"], 2, 'unknown key "subjet" in the front matter'),
        (["to: recipients"], 1, '"subject" is missing in the front matter'),
        ([], 1, '"subject" is missing in the front matter'),
        (["subject:"], 2, "subject in the front matter: this is empty"),
        (["subject: [x]"], 2, "subject in the front matter: this is not a text"),
        (
            ["subject: |", "  two", "  lines"],
            2,
            "subject in the front matter: ... U+000A",
        ),
        (
            [r'subject: "\ud800"'],
            2,
            "subject in the front matter: ... U+D800",
        ),
        (["subject: x", "to: [1]"], 3, "to in the front matter: this is not a text"),
        (["subject: x", "kind: personnal"], 3,
         'kind in the front matter: "personnal" is not "personal" or "bulk"'),
        (["subject: x", "kind: [a]"], 3,
         'kind in the front matter: this is not "personal" or "bulk"'),
        (["subject: x", "event: [a]"], 3, "event in the front matter: this is not a text"),
        (["subject: x", "follows: [a]"], 3, "follows in the front matter: this is not a text"),
        (["subject: x", "where: answer in (none)"], 3,
         "where in the front matter is for a letter that follows another"),
        (["follows: a", "where: country == 'GB'"], 3,
         "where in the front matter: \"country == 'GB'\" does not say which answers are meant"),
        (["follows: a", "where: answer in (silent)"], 3,
         'where in the front matter: "silent"'),
        (["follows: a", "where: answer in ()"], 3,
         'where in the front matter: "answer in ()" '),
        (["follows: a", "where: answer in (none, unclassified)"], 3,
         "where in the front matter: an unclassified answer always holds the letter back"),
        (["subject: x", "attachments: a.pdf"], 3,
         "attachments in the front matter: this is not a list"),
        (["subject: x", "attachments: [a.pdf, a.pdf]"], 3,
         'attachments in the front matter: "a.pdf" ... twice'),
        (["subject: x", "attachments: ['']"], 3,
         "attachments in the front matter: this is empty"),
        (["subject: x", f"attachments: [{', '.join(f'{n}.pdf' for n in range(21))}]"], 3,
         "attachments in the front matter: 21 attachments ... 20"),
        (["subject: x", "cc: a@b.example"], 3, "cc in the front matter: this is not a list"),
        (["subject: x", "cc: ['']"], 3, "cc in the front matter: this is empty"),
        (["subject: x", 'bcc: ["{{ x }}"]'], 3,
         'bcc in the front matter: "{{ x }}" is a template'),
        (["subject: x", "cc: [a@b.example]", "bcc: [a@B.example]"], 4,
         'bcc in the front matter: "a@b.example" ... twice'),
        (["subject: x", f"cc: [{', '.join(f'a{n}@b.example' for n in range(11))}]"], 3,
         "cc in the front matter: 11 copies ... 10"),
        (["subject: x", "reply_by: soon"], 3,
         'reply_by in the front matter: "soon" is neither a number of days nor a date'),
        (["subject: x", "reply_by: 0 days"], 3,
         'reply_by in the front matter: "0 days" is neither a number of days nor a date'),
        (["subject: x", "reply_by: 2015-02-30"], 3,
         'reply_by in the front matter: "2015-02-30" is neither a number of days nor a date'),
        (["subject: x", "subject: y"], 3, '"subject" ... line 2'),
        (["subject: {{ recipient.name }}"], 2, "this is not a text"),
        (["subject: “x”"], 2, "the quotation marks of “x” are curly"),
        (["subject: x", "cc: [“a@b.example”]"], 3, "the quotation marks of"),
        (["subject: a: b"], 2, "this is not YAML: mapping values are not allowed here"),
        (["a: &x b", "c: *x"], 2, "& and *"),
        (["x: &a [*a]"], 2, "& and *"),
        (["- a", "- b"], 2, "the front matter has no keys"),
        (["just text"], 2, "the front matter has no keys"),
        (["? [a]", ": b"], 2, "this is not a key"),
        (["subject: x", "\ta: b"], 3,
         "this is not YAML: found character '\\t' that cannot start any token"),
        (["subject: x\x1b"], 2, "U+001B"),
        (['subject: "\\U00110000"'], 1, "this is not YAML"),
        (["[" * 5_000], 1, "the front matter has too many brackets"),
        (["- " * 5_000], 1, "this is not YAML"),
        (["subject: " + "x" * 30_000], 1, "the front matter is longer than 20,000 characters"),
    ],
)  # fmt: skip
def test_each_mistake_of_the_front_matter_has_its_line(folder, problems, lines, line, what):
    read(folder, front(*lines), problems)
    if what == "this is not a text":
        (problem,) = problems
        assert (problem.line, what in problem.what or "YAML" in problem.what) == (line, True)
    else:
        assert told(problems) == [(line, what)]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("Dear Kim,\n", 1, "has no front matter"),
        ("", 1, "has no front matter"),
        ("---\nsubject: x\nDear Kim,\n", 1, "the front matter does not end"),
        ("---\nsubject: x\n---\n \n", 4, "the letter has no text"),
        ("---\nsubject: x\n---", 4, "the letter has no text"),
        (b"---\nsubject: x\n---\n\xff", 4, "UTF-8 ... 0xFF"),
    ],
)
def test_each_mistake_of_the_letter_has_its_line(folder, problems, text, line, what):
    read(folder, text, problems)
    assert told(problems) == [(line, what)]


def test_a_copy_goes_to_a_mailbox(folder, problems):
    cc = "cc: ['Анна Иванова <anna@kaz.example>', '\"Reed, Ann\" <ann@kaz.example>']"
    letter = read(folder, front("subject: x", cc), problems)
    assert problems == []
    names = [one.display_name for one in letter.front.cc]
    assert names == ["Анна Иванова", "Reed, Ann"]


def test_every_bad_copy_is_told_and_marked(folder, problems):
    read(
        folder, front("subject: x", 'bcc: ["a@b.example", "one", "{{ two }}", "three@"]'), problems
    )
    assert [(problem.line, problem.mark) for problem in problems] == [
        (3, "one"),
        (3, "{{ two }}"),
        (3, "three@"),
    ]


def test_the_nearest_key_is_named(folder, problems):
    read(folder, front("subjet: x"), problems)
    assert problems[0].hint == 'Did you mean "subject"'


def test_all_mistakes_are_told_at_once_and_the_text_is_still_there(folder, problems):
    letter = read(folder, front("to: [1]", "colour: red", "reply_by: soon", "event: [a]"), problems)
    assert [problem.line for problem in sorted(problems)] == [2, 3, 4, 5]
    assert letter.texts["en"].body == "Dear Kim,\n"
    assert letter.front.to == "recipients"


def test_a_translation_may_leave_out_all_but_its_subject(folder, problems):
    default = front("to: supporters", "subject: x", "reply_by: 7 days")
    ru = front("subject: y", "reply_by: 1 week")
    letter = read(folder, default, problems, ru=ru)
    assert problems == []
    assert list(letter.texts) == ["en", "ru"]
    assert letter.texts["ru"].subject == "y"
    assert letter.front.to == "supporters"


def test_a_translation_may_not_say_otherwise(folder, problems):
    read(folder, front("subject: x"), problems, ru=front("subject: y", "", "to: supporters"))
    what = f"to in the front matter ... {FILE}"
    assert told(problems, "letters/open-letter.ru.md") == [(4, what)]


def test_a_broken_translation_leaves_the_letter(folder, problems):
    letter = read(folder, front("subject: x"), problems, ru="nothing")
    assert list(letter.texts) == ["en"]
    assert list(letter.files) == ["en", "ru"]
    assert len(problems) == 1


def test_a_broken_default_text_is_one_problem(folder, problems):
    letter = read(folder, "nothing", problems, ru=front("subject: y", "to: supporters"))
    assert letter.default_text.language == "ru"
    assert told(problems) == [(1, "has no front matter")]


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("answer in (none, stalled)", ("none", "stalled")),
        ("answer in ('stalled', 'none')", ("none", "stalled")),
        ("Answer IN ['none']", ("none",)),
        ("answer == meeting", ("meeting",)),
        ("answer not in (none, acknowledged, stalled, clarification, meeting)",
         ("refused", "partial", "met", "withdrawn")),
        ("answer != 'met'", tuple(one for one in ANSWERS if one != "met")),
    ],
)  # fmt: skip
def test_a_follow_up_says_which_answers_it_is_for(folder, problems, where, chosen):
    letter = read(folder, front("follows: a", f'where: "{where}"'), problems)
    assert problems == []
    assert letter.front.where == chosen
    assert letter.front.subject == "Re: {{ previous.subject }}"


def test_the_answers_of_a_letter_are_those_of_the_log():
    known = {status for status in Status if status is not Status.UNCLASSIFIED}
    assert set(ANSWERS) == known
    assert set(FOLLOWED_UP) == UNANSWERED
