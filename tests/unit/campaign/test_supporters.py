"""What the rows of a bulk letter's list become, compared with rules that know all rows at once."""

import csv
import io
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.address import folded
from petition.campaign import csv_file, tables
from petition.campaign.people import RowRefused, open_people
from petition.campaign.supporters import BulkJudge, Consent, PassedOver
from tests.unit.campaign.conftest import Folder

COLUMNS = ("id", "email", "name", "updates", "unsubscribed", "on_hold")
CELLS = {
    "id": st.sampled_from(["", "1", "2", "3"]),
    "email": st.sampled_from(
        ["ann@x.example", " ANN@x.example ", "ann@X.EXAMPLE", "bob@x.example", "bob@КАЗ.example",
         "Bob@xn--80aa6a.example", "cy@x.example", "not an address", ""]
    ),
    "name": st.sampled_from(["Ann", "Bob", "zero\u200bwidth", "\x1b[1m"]),
    "updates": st.sampled_from(["yes", " YES", "", "no", "maybe"]),
    "unsubscribed": st.sampled_from(["", "", "no", "yes", "perhaps"]),
    "on_hold": st.sampled_from(["", "", "no", "yes"]),
}  # fmt: skip
ROWS = st.lists(st.fixed_dictionaries(CELLS), max_size=9)


def write(folder: Folder, rows: list[dict[str, str]]) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    folder.write("recipients.csv", stream.getvalue())


def judged(folder: Folder) -> list[tuple[str, str, str]]:
    """Of each row the id, the address, and why it gets no letter."""
    people = open_people(folder.root, "recipients.csv", [])
    judge = BulkJudge(people, Consent(people.columns, of_all=False), PassedOver(people.file))
    found = [one for rows in people.table.blocks() for one in judge(rows)[0]]
    return [(one.fields["id"], one.fields["email"], one.excluded) for one in found]


def expected(folder: Folder) -> list[tuple[str, str, str]]:
    """The same by the rules: the first row of an address or id counts, for all of them."""
    people = open_people(folder.root, "recipients.csv", [])
    consent = Consent(people.columns, of_all=False)
    rows = list(people.table.rows())
    keys = [folded(people.address_in(row)) for row in rows]

    def said(row):
        try:
            return people.exclusion_of(row), consent.of(row.cells)
        except RowRefused:
            return "", False

    found, addresses, ids = [], set(), set()
    for row, key in zip(rows, keys, strict=True):
        says = [said(other) for other, its in zip(rows, keys, strict=True) if its == key]
        reasons, answers = ({one[at] for one in says} for at in (0, 1))
        reason = next((one for one in tables.REASONS if one in reasons), "")
        agreed = True in answers and False not in answers
        try:
            person = people.person_of(row)
        except RowRefused:
            why = "invalid"
        else:
            if key in addresses or person.id in ids:
                why = "duplicate"
            else:
                why = reason or ("" if agreed else "no consent")
                ids |= {person.id} - {""}
            addresses.add(key)
        found.append((row.cells["id"], row.cells["email"], why))
    return found


@pytest.mark.hypothesis
def test_each_row_is_judged_by_all_rows_of_its_address(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    monkeypatch.setattr(csv_file, "BLOCK", 2)
    seen = Counter()

    @given(ROWS)
    @example([dict.fromkeys(COLUMNS, "") | {"email": "ann@x.example", "updates": one}
              for one in ("yes", "", "no")])  # fmt: skip
    def check(rows):
        write(folder, rows)
        assert judged(folder) == expected(folder)
        seen.update(why for *_, why in judged(folder))

    check()
    assert {"", "no consent", "duplicate", "invalid", "unsubscribed", "on hold"} <= seen.keys()
