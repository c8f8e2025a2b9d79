"""One signatory counts once, however often the name was written."""

import pytest

from petition.campaign.names import folded_name
from petition.campaign.signatories import count_once, read_signatories
from tests.unit.campaign.samples import Said


def counted(folder, rows, problems):
    folder.write("s.csv", f"name,kind,email,publish\n{rows}")
    return count_once("s.csv", read_signatories(folder.root, "s.csv", problems), problems)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna Jones", "  ANNA   jones "),
        ("Siobhán O’Dowd", "Siobhan O'Dowd"),
        ("Małgorzata Wiśniowska", "Malgorzata Wisniowska"),
        ("Søren Østermark", "Soren Ostermark"),
        ("Jürgen Großkopf", "Jurgen Grosskopf"),
        ("Пётр Громов", "Петр  ГРОМОВ"),
        ("Анна Света", "\N{LATIN CAPITAL LETTER A}нн\N{LATIN SMALL LETTER A} СВЕТА"),
        ("Әлия Һасен", "\N{LATIN CAPITAL LETTER SCHWA}лия Һасен"),
        ("Rhiannon Llewelyn-Pugh", "Rhiannon Llewelyn Pugh"),
        ("Trades Council, Leeds", "Trades Council Leeds."),
    ],
)
def test_two_spellings_of_one_name(folder, problems, one, other):
    assert folded_name(one) == folded_name(other)
    (kept,) = counted(folder, f'"{one}",,,yes\n"{other}",,,yes\n', problems)
    assert kept.line == 2
    (problem,) = problems
    assert (problem.line, problem.level) == (3, "warning")
    assert "line 2" in problem.what


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna Jones", "Anne Jones"),
        ("Branch 12", "Branch 13"),
        ("Қуат", "Куат"),
        ("Андрей", "Анна"),
        ("毛", "金"),
    ],
)
def test_two_names(folder, problems, one, other):
    assert len(counted(folder, f"{one},,,yes\n{other},,,yes\n", problems)) == 2
    assert problems == []


def test_one_address_is_one_signatory_of_a_kind(folder, problems):
    rows = "Ann,,a@x.example,yes\nAnn Reed,,A@X.example,yes\nAnn's,organisation,a@x.example,yes\n"
    assert [one.line for one in counted(folder, rows, problems)] == [2, 4]
    assert [(problem.line, Said(problem.what)) for problem in problems] == [
        (3, '"A@x.example" ... line 2')
    ]


@pytest.mark.parametrize(("first", "second"), [("yes", "no"), ("no", "yes"), ("yes", "")])
def test_who_disagrees_once_is_not_named(folder, problems, first, second):
    (kept,) = counted(folder, f"Ann Reed,,,{first}\nann reed,,,{second}\n", problems)
    assert not kept.publish
    assert "eed" not in problems[0].what
    assert "agrees" in problems[0].what


def test_many_are_counted_and_not_written_out(folder, problems):
    assert len(counted(folder, "Ann,,,yes\n" * 50, problems)) == 1
    assert len(problems) == 21
    assert problems[-1].what.startswith("29 more rows")


def test_names_in_two_columns(folder, problems):
    folder.write("s.csv", "first_name,last_name\nAnn,Reed\nPlato,\n,\n")
    ann, plato = read_signatories(folder.root, "s.csv", problems)
    assert (ann.name, ann.last_name) == ("Ann Reed", "Reed")
    assert (plato.name, plato.last_name) == ("Plato", "")


def test_a_no_counts_for_whomever_the_row_may_be(folder, problems):
    """One has its address, and another its name."""
    rows = "Ann X,,a@x.example,yes\nBea Y,,b@x.example,yes\nBea Y,,a@x.example,no\n"
    assert [one.publish for one in counted(folder, rows, problems)] == [False, False]
