from petition.campaign.signatories import read_signatories
from petition.checks.campaign import Duplicates
from petition.errors import Level
from tests.unit.campaign.samples import people_of


def told(folder, people, signatories="name\n"):
    folder.write("a.csv", people)
    folder.write("signatories.csv", signatories)
    alikes = Duplicates(read_signatories(folder.root, "signatories.csv", []), "signatories.csv")
    people, _ = people_of("a.csv", folder.root)
    for begin in range(0, len(people), 2):
        alikes.look_at(people[begin : begin + 2])
    problems = alikes.problems()
    assert all(one.level is Level.WARNING and one.file == "a.csv" for one in problems)
    return [(one.line, one.what) for one in problems]


def test_one_name_with_two_addresses_is_pointed_out(folder):
    rows = "Ann Reed,a@x.example\nBo Li,b@x.example\nann  REED,c@x.example\n"
    assert told(folder, "name,email\n" + rows) == [
        (4, '"ann  REED" stands in line 2 as well, with another address')
    ]


def test_a_first_name_alone_says_nothing(folder):
    assert told(folder, "name,email\nAnn,a@x.example\nAnn,b@x.example\n,c@x.example\n") == []


def test_a_recipient_who_signed_is_pointed_out_by_address_or_name(folder):
    rows = "Ann Reed,a@x.example\nBo Li,b@x.example\nUNISON,office@u.example\nCy Day,c@x.example\n"
    signatories = "name,email\nBo  li,\nUnison,\nSomebody Else,a@X.example\n"
    assert told(folder, "name,email\n" + rows, signatories) == [
        (2, '"a@x.example" signs the letter as well (signatories.csv:4)'),
        (3, '"Bo Li" signs the letter as well (signatories.csv:2)'),
        (4, '"UNISON" signs the letter as well (signatories.csv:3)'),
    ]


def test_of_very_many_some_are_named_and_the_others_counted(folder):
    rows = "".join(f"Ann Reed,a{number}@x.example\n" for number in range(1000))
    found = told(folder, "name,email\n" + rows)
    assert len(found) == 21
    assert found[-1] == (None, "979 more people have a name that stands in the list before")
