"""What each sample mail is: tests/samples/mail/expected.csv has the answers."""

import csv
from pathlib import Path

import pytest

from petition.inbox.classify import explain

SAMPLES = Path(__file__).parents[2] / "samples" / "mail"
PERMANENT = {"yes": True, "no": False, "": None}


def expected() -> list[dict[str, str]]:
    with (SAMPLES / "expected.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", expected(), ids=lambda row: row["file"].removesuffix(".eml"))
def test_a_sample_is_what_it_is(row: dict[str, str]):
    found = explain((SAMPLES / row["file"]).read_bytes())
    assert found.kind == row["kind"], found.reason
    assert found.recipient == (row["recipient"] or None), found.reason
    assert found.status == (row["status"] or None), found.reason
    assert found.permanent is PERMANENT[row["permanent"]], found.reason


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_make_no_difference(ending: str):
    for row in expected():
        data = (SAMPLES / row["file"]).read_bytes().replace(b"\n", ending.encode())
        found = explain(data)
        assert (found.kind, found.recipient) == (row["kind"], row["recipient"] or None)


def test_every_sample_is_expected_and_there():
    there = {path.name for path in SAMPLES.glob("*.eml")}
    assert there == {row["file"] for row in expected()}
    assert len(there) >= 60
