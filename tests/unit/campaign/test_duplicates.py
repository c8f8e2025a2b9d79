from petition.campaign.signatories import read_signatories
from petition.checks.rows import Duplicates
from petition.errors import Level
from tests.unit.campaign.samples import Said, people_of


def told(folder, people, signatories="name\n"):
    folder.write("a.csv", people)
    folder.write("signatories.csv", signatories)
    duplicates = Duplicates(read_signatories(folder.root, "signatories.csv", []), "signatories.csv")
    people, _ = people_of("a.csv", folder.root)
    for begin in range(0, len(people), 2):
        duplicates.look_at(people[begin : begin + 2])
    problems = list(duplicates.problems())
    assert all(one.level is Level.WARNING and one.file == "a.csv" for one in problems)
    return [(one.line, Said(one.what)) for one in problems]


def test_one_name_with_two_addresses_is_reported(folder):
    rows = "Ann Reed,a@x.example\nBo Li,b@x.example\nann  REED,c@x.example\n"
    [(line, what)] = told(folder, "name,email\n" + rows)
    assert line == 4
    assert '"ann  REED"' in what
    assert "line 2" in what


def test_a_first_name_alone_says_nothing(folder):
    assert told(folder, "name,email\nAnn,a@x.example\nAnn,b@x.example\n,c@x.example\n") == []


def test_a_recipient_who_signed_is_reported_by_address_or_name(folder):
    rows = "Ann Reed,a@x.example\nBo Li,b@x.example\nUNISON,office@u.example\nCy Day,c@x.example\n"
    signatories = "name,email\nBo  li,\nUnison,\nSomebody Else,a@X.example\n"
    found = dict(told(folder, "name,email\n" + rows, signatories))
    assert found.keys() == {2, 3, 4}
    assert '"a@x.example"' in found[2]
    assert "signatories.csv:4" in found[2]
    assert '"Bo Li"' in found[3]
    assert "signatories.csv:2" in found[3]
    assert '"UNISON"' in found[4]
    assert "signatories.csv:3" in found[4]


def test_of_very_many_some_are_listed_and_the_others_counted(folder):
    rows = "".join(f"Ann Reed,a{number}@x.example\n" for number in range(1000))
    found = told(folder, "name,email\n" + rows)
    assert len(found) == 21
    line, what = found[-1]
    assert line is None
    assert what.startswith("979 more")
