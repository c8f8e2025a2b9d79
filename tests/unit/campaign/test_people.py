import pytest

from petition.address import Mailbox
from petition.campaign.people import open_people
from petition.errors import Level, UsageError
from tests.unit.campaign.samples import Said, judged

FILE = "recipients.csv"


def read(folder, content, problems):
    folder.write(FILE, content)
    people = open_people(folder.root, FILE, problems)
    return people and judged(people, problems)


def told(problems):
    assert all(problem.file == FILE for problem in problems)
    return [(problem.line, Said(problem.what)) for problem in problems]


def test_a_person_is_a_row_with_its_place(folder, problems):
    content = "id,E-mail,Email,Name,Language,Job Title\n"
    content += "kim, other , kim@КАЗ.example ,Kim Ö.,ru_KZ,Chair\n"
    (person,) = read(folder, content, problems)
    assert problems == []
    assert (person.file, person.line, person.number, person.id) == (FILE, 2, 1, "kim")
    assert person.mailbox == Mailbox("Kim Ö.", "kim@xn--80aoh.example")
    assert person.language == "ru-kz"
    assert person.fields == {
        "id": "kim",
        "e_mail": "other",
        "email": "kim@КАЗ.example",
        "name": "Kim Ö.",
        "language": "ru_KZ",
        "job_title": "Chair",
    }


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("email,first_name,last_name\na@b.example,Kim,Lee\nc@b.example,,Lee\n", ["Kim Lee", "Lee"]),
        (
            "email,name,First Name\na@b.example,Dr Lee,Kim\nc@b.example,,Kim\n",
            ["Dr Lee", "Kim"],
        ),
    ],
)
def test_a_name_follows_from_its_parts_where_there_is_none(folder, problems, content, names):
    people = read(folder, content, problems)
    assert [person.fields["name"] for person in people] == names
    assert [person.mailbox.display_name for person in people] == names
    columns = open_people(folder.root, FILE, problems).columns
    assert columns.count("name") == 1


@pytest.mark.parametrize(
    ("honorific", "salutation"),
    [
        ("мырза", "Табынов мырза"),
        ("Ханым", "Табынов Ханым"),
        ("Ms", "Ms Табынов"),
        ("cənab", "cənab Табынов"),
        ("", ""),
    ],
)
def test_an_honorific_stands_where_its_language_puts_it(folder, problems, honorific, salutation):
    row = f"a@b.example,{honorific},Табынов,kk"
    (person,) = read(folder, f"email,honorific,last_name,language\n{row}\n", problems)
    assert person.fields["salutation"] == salutation


def test_a_group_mailbox_needs_no_name(folder, problems):
    (person,) = read(folder, "email\nboard@kaz.example\n", problems)
    assert person.mailbox == Mailbox("", "board@kaz.example")
    assert "name" not in person.fields
    assert person.language == ""


def test_without_addresses_there_is_no_list(folder, problems):
    assert read(folder, "\nname,mail_address\nKim,a@b.example\n", problems) is None
    assert told(problems) == [(2, 'has no column "email"')]
    assert '"mail_address"' in problems[0].hint


@pytest.mark.parametrize("word", ["[email protected]", "[email\u00a0protected]"])
def test_an_obscured_address_gets_its_own_sentence(folder, problems, word):
    assert read(folder, f"name,email\nKim,{word}\n", problems) == []
    what = f'email: "{word}" is what a web page shows'
    assert told(problems) == [(2, what)]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("kim,Kim,", 'email: "kim" is not a mail address: An email address must have an @-sign'),
        (",Kim,", "email: the address is empty"),
        ("x" * 400 + "@a.example,Kim,", "email: the address has 410 characters"),
        (
            'a@b.example,"Kim\nBcc: x@y.example",',
            "the name contains the invisible character U+000A",
        ),
        ("a@b.example,Kim\u202e,", "the name contains the invisible character U+202E"),
        ("a@b.example,Kim,Russian", 'language: "Russian" is not a language tag'),
    ],
)
def test_a_bad_row_is_told_and_the_others_are_read(folder, problems, row, what):
    people = read(folder, f"email,name,language\n{row}\nkim@kaz.example,Kim,en\n", problems)
    assert [person.mailbox.addr_spec for person in people] == ["kim@kaz.example"]
    assert told(problems) == [(2, what)]


def test_one_mailbox_twice_is_told_on_both_lines(folder, problems):
    content = "email\na@каз.example\nb@kaz.example\na@XN--80AOH.example\na@Каз.EXAMPLE\n"
    people = read(folder, content, problems)
    assert [person.line for person in people] == [2, 3]
    assert told(problems) == [
        (2, '"a@XN--80AOH.example" (a@каз.example) ... line 4'),
        (4, '"a@XN--80AOH.example" (a@каз.example) ... line 2'),
        (5, '"a@Каз.EXAMPLE" ... line 2'),
    ]


def test_one_id_twice_is_told_on_both_lines(folder, problems):
    people = read(folder, "id,email\nx,a@b.example\nx,c@b.example\n,d@b.example\n,e@b.example\n",
                  problems)  # fmt: skip
    assert [person.line for person in people] == [2, 4, 5]
    what = 'the id "x" ... line {}'.format
    assert told(problems) == [(2, what(3)), (3, what(2))]


@pytest.mark.parametrize(
    "addresses",
    [
        ("Kim@a.example", "kim@a.example"),
        ("kim@a.example", "KIM@a.example"),
        ("KIM@a.example", "Kim@a.example"),
        ("kim@пример.example", "Kim@xn--e1afmkfd.example"),
    ],
)
def test_one_address_in_two_spellings_is_told_on_both_lines(folder, problems, addresses):
    people = read(folder, "email\n{}\nx@a.example\n{}\n".format(*addresses), problems)
    assert [person.line for person in people] == [2, 3]
    assert [problem.line for problem in problems] == [2, 4]
    assert all(problem.is_error for problem in problems)


def test_the_list_streams(folder, problems):
    rows = "".join(f"p{number}@a.example\n" for number in range(3000))
    folder.write(FILE, f"email\n{rows}broken\n")
    people = open_people(folder.root, FILE, problems)
    assert len(next(people.table.blocks())) < 1000
    assert len(judged(people, problems)) == 3000


LIST = """id,email
kim,kim@kaz.example
3,berik@kaz.example
,saule@kaz.example
a@b,info@kaz.example
"""


def chosen(folder, problems, *texts):
    folder.write(FILE, LIST)
    people = open_people(folder.root, FILE, problems)
    choice = people.choice(texts)
    return [person.line for person in judged(people, problems) if choice.matches(person)], choice


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        ((), [2, 3, 4, 5]),
        (("kim",), [2]),
        (("KIM",), []),
        (("kim@KAZ.example", "kim@kaz.EXAMPLE"), [2]),
        (("Kim@kaz.example",), [2]),  # capitals make no difference to whom a person means
        (("3",), [3]),  # an id wins over a number
        (("4",), [5]),
        ((" 1 ", "2"), [2, 3]),
        (("03", "0", "-1"), []),
        (("a@b",), [5]),
        (("",), []),
        ((f"{FILE}:4", f"{FILE}:99"), [4]),
        (("other.csv:4",), []),
    ],
)
def test_who_is_an_address_an_id_a_line_or_a_number(folder, problems, texts, lines):
    found, _ = chosen(folder, problems, *texts)
    assert found == lines
    assert problems == []


def test_who_matched_nobody_is_told_with_the_nearest(folder, problems):
    _, choice = chosen(folder, problems, "kim", "kin@kaz.example", "99", "bérik@kaz.example")
    assert choice.missed() == ["kin@kaz.example", "99", "bérik@kaz.example"]
    assert "berik@kaz.example" in choice.nearest("bérik@kaz.example")
    assert choice.nearest("99") is None


NAMED = """\
email,id,name
ann.lee@x.example,,Ann Lee
bo@x.example,ann lee,Bo Öberg
ann@x.example,9,Ann Lee
c@x.example,,José Ruiz
"""


@pytest.mark.parametrize(
    ("text", "lines"),
    [("bo oberg", [3]), ("JOSE  RUIZ", [5]), ("ann lee", [3]), ("9", [4]), ("3", [4])],
)
def test_who_is_a_name_however_it_is_typed_unless_it_is_an_id(folder, problems, text, lines):
    folder.write(FILE, NAMED)
    people = open_people(folder.root, FILE, problems)
    choice = people.choice([text])
    assert [one.line for one in judged(people, problems) if choice.matches(one)] == lines


def test_a_name_of_several_people_is_refused_and_names_them(folder, problems):
    folder.write(FILE, NAMED)
    people = open_people(folder.root, FILE, problems)
    with pytest.raises(UsageError, match=rf"ann\.lee@x\.example.*{FILE}:4"):
        people.choice(["Ann Lee"])
    choice = people.choice(["Ruis"])
    list(filter(choice.matches, judged(people, problems)))
    assert "c@x.example" in choice.nearest("Ruiz")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("Members of the council\n\nE-Mail;Name\nann@mail.example;Ann\n", 3),
        ("As of today,,\nname,email,\n", 2),
    ],
)
def test_a_title_above_the_header_is_recognised(folder, problems, content, line):
    folder.write(FILE, content)
    assert open_people(folder.root, FILE, problems) is None
    (problem,) = problems
    assert problem.is_error
    assert f"line {line}:" in problem.hint


def test_a_row_that_begins_with_a_number_sign_is_used_with_a_warning(folder, problems):
    people = read(folder, "name,email\n# Bob,bob@mail.example\nAnn,ann@mail.example\n", problems)
    assert len(people) == 2
    assert [(problem.line, problem.level) for problem in problems] == [(2, Level.WARNING)]


@pytest.mark.parametrize(
    ("address", "letter"),
    [
        ("аnn@mail.example", "U+0430"),  # a Cyrillic а
        ("bob@xn--mil-6cd.example", "U+0430"),
        ("ann@mаil.example", "U+0430"),
        ("annα@mail.example", "U+03B1"),
        ("аннa@mail.example", "U+0061"),  # a Latin a
    ],
)
def test_letters_of_two_scripts_in_an_address_are_an_error(folder, problems, address, letter):
    assert read(folder, f"email,name\n{address},Ann\n", problems) == []
    (problem,) = problems
    assert (problem.line, problem.is_error, problem.mark) == (2, True, 0)
    assert letter in problem.what


@pytest.mark.parametrize(
    "address",
    ["анна@почта.example", "анна.smith@mail.example", "ann@почта.example", "josé@mail.example"],
)
def test_labels_of_one_script_are_right(folder, problems, address):
    assert len(read(folder, f"email\n{address}\n", problems)) == 1
    assert problems == []


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("Ann Reed <ann@mail.example>", "only ann@mail.example"),
        ("mailto:ann@mail.example", "only ann@mail.example"),
        ("ann@mail.example; bob@mail.example", "ann@mail.example, bob@mail.example"),
        ("ann@mail.example / bob@mail.example", "ann@mail.example, bob@mail.example"),
    ],
)
def test_what_holds_an_address_gets_a_hint_to_copy(folder, problems, cell, hint):
    assert read(folder, f"email|name\n{cell}|Ann\n", problems) == []
    assert hint in problems[-1].hint
