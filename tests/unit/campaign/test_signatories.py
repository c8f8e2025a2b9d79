from datetime import date

import pytest

from petition.campaign.signatories import Signatory, read_signatories
from tests.unit.campaign.samples import Said


def read(folder, content, problems):
    folder.write("s.csv", content)
    return read_signatories(folder.root, "s.csv", problems)


def test_every_column_of_the_contract_is_read(folder, problems):
    content = """name,role,organisation,place,country,kind,email,signed_on,publish,updates,note
Хамит Ö.,steward,RMT,London,United Kingdom,individual,k@КАЗ.example,2015-09-01,yes,no,x
Trades Council,,,Leeds,,Organization,,,Y,1,
"""
    assert read(folder, content, problems) == (
        Signatory(
            line=2,
            name="Хамит Ö.",
            role="steward",
            organisation="RMT",
            place="London",
            country="United Kingdom",
            kind="individual",
            email="k@xn--80aoh.example",
            signed_on=date(2015, 9, 1),
            publish=True,
            updates=False,
        ),
        Signatory(3, "Trades Council", "", "", "Leeds", "", "organisation", "", None, True, True),
    )
    assert problems == []


@pytest.mark.parametrize("content", ["name\nKim\n", "name,publish,updates\nKim,,\n"])
def test_consent_is_never_assumed(folder, problems, content):
    (kim,) = read(folder, content, problems)
    assert not kim.publish
    assert not kim.updates
    assert kim.kind == "individual"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("Kim,,,maybe,", 'publish is "maybe"'),
        ("Kim,,,,soon", 'updates is "soon"'),
        ("Kim,party,,,", 'kind is "party"'),
        (",,,,", None),
        (",individual,,,", "this signatory has no name"),
        ("Kim,,kim,,", 'email: "kim" is not a mail address: An email address must have an @-sign'),
        (
            "Kim,,[email protected],,",
            'email: "[email protected]" is what a web page shows',
        ),
        ('"Kim\nLee",,,,', "the name contains the invisible character U+000A"),
    ],
)
def test_an_unclear_row_is_told_and_the_others_are_read(folder, problems, row, what):
    content = f"name,kind,email,publish,updates\n{row}\nBerik,,,yes,no\n"
    (berik,) = read(folder, content, problems)
    assert berik.name == "Berik"
    assert [(problem.line, Said(problem.what)) for problem in problems] == (
        [(2, what)] if what else []
    )


def test_an_unclear_day_and_a_missing_column(folder, problems):
    read(folder, "name,signed_on\nKim,9/1/2015\n", problems)
    read(folder, "signatory\nKim\n", problems)
    assert [(problem.line, Said(problem.what)) for problem in problems] == [
        (2, 'signed_on is "9/1/2015"'),
        (1, 'has no column "name"'),
    ]
