"""A CSV file is read in blocks: where one ends makes no difference to its rows and problems."""

from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.campaign import csv_file
from petition.campaign.tables import open_table
from tests.unit.campaign.samples import Said

PIECES = st.sampled_from(
    [b"a", b"kim", "ж".encode(), b'"', b'""', b",", b",", b"\n", b"\n", b"\r", b"\r\n", b" ", b"\0",
     b"\xff", "\u2028".encode(), b"\x0b", b"\x1c", b"x" * 9, b'"a,b"', b'"a\nb"', b"\n\n"]
)  # fmt: skip
HEADERS = (b"a,b\n", b"sep=,\r\na,b\r\n", b"sep=\x81\na,b\n", b"\xef\xbb\xbfa,b\r")


def found_in(root, block):
    csv_file._CHARACTERS = block
    problems = []
    table = open_table(root, "list.csv", problems)
    rows = list(chain.from_iterable(table.blocks())) if table else []
    problems += [row.fault for row in rows if row.fault]
    return [tuple(row) for row in rows if row.number], problems


@pytest.fixture
def _own_block(monkeypatch):
    monkeypatch.setattr(csv_file, "_CHARACTERS", csv_file._CHARACTERS)  # put back at the end


@pytest.mark.usefixtures("_own_block")
@pytest.mark.parametrize("limit", [12, 1_000_000])
def test_where_a_block_ends_makes_no_difference(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(csv_file, "_LINE_LIMIT", limit)

    @given(st.sampled_from(HEADERS), st.lists(PIECES, max_size=30).map(b"".join))
    @example(b"a,b\n", b"1,2\n3,\xff\n5,6\n")
    @example(b"a,b\n", b'1,2\n"3,4\n5,6\n')
    @example(b"a,b\n", b"1,2\n3,\0\n5,6\n")
    @example(b"a,b\n", b'\nxxxxxxxxxa" a')
    def check(header, rows):
        (tmp_path / "list.csv").write_bytes(header + rows)
        whole = found_in(tmp_path, 1 << 16)
        for block in (1, 2, 3, 7):
            assert found_in(tmp_path, block) == whole

    check()


def test_a_wrong_byte_is_found_in_its_line_and_the_rows_before_it_are_read(tmp_path):
    rows = [f"{number},Żółć\n".encode() for number in range(30_000)]
    rows[25_000] = b"25000,\xff\n"
    (tmp_path / "list.csv").write_bytes(b"a,b\n" + b"".join(rows))
    found, problems = found_in(tmp_path, csv_file._CHARACTERS)
    assert len(found) == 25_000
    assert [(problem.line, Said(problem.what)) for problem in problems] == [
        (25_002, "UTF-8 ... 0xFF")
    ]
