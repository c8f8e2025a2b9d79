import os
import subprocess
import sys

import pytest

from petition.campaign.text_file import LINE_LIMIT, TEXT_LIMIT, find_file, read_text
from tests.privileges import bound_by_permissions
from tests.unit.campaign.samples import Said


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark_do_not_count(folder, problems, end):
    folder.write("a.txt", f"\ufeffone{end}two{end}")
    assert read_text(folder.root, "a.txt", problems) == "one\ntwo\n"
    assert problems == []


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("one\ntwö".encode("latin-1"), 2, "UTF-8 ... 0xF6"),
        ("one\r\rtwö".encode("cp1252"), 3, "UTF-8 ... 0xF6"),
        ("one".encode("utf-16"), 1, "is saved as UTF-16"),
        ("one".encode("utf-16-be"), 1, "NUL"),
        (b"one\ntwo\0", 2, "NUL"),
        (b"x" * (TEXT_LIMIT + 1), None, "is larger than 128 kB"),
        (b"\r\n" * (LINE_LIMIT + 1), None, "has more than 20,000 lines"),
    ],
)
def test_a_file_that_is_no_text_is_one_problem(folder, problems, content, line, what):
    folder.write("a.txt", content)
    assert read_text(folder.root, "a.txt", problems) is None
    assert [(p.file, p.line, Said(p.what)) for p in problems] == [("a.txt", line, what)]


def test_a_file_that_is_not_there(folder, problems):
    assert read_text(folder.root, "lists/b.csv", problems) is None
    assert [(p.file, Said(p.what)) for p in problems] == [("lists/b.csv", "does not exist")]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "recipients.csv/a"])
def test_a_name_that_is_no_path(folder, problems, name):
    assert find_file(folder.root, name, problems) is None
    assert len(problems) == 1


@pytest.mark.component("unix")
def test_a_folder_a_fifo_and_a_loop_are_no_files(folder, problems):
    (folder.root / "folder.csv").mkdir()
    os.mkfifo(folder.root / "fifo.csv")
    (folder.root / "loop.csv").symlink_to("loop.csv")
    for name in ("folder.csv", "fifo.csv", "loop.csv"):
        assert read_text(folder.root, name, problems) is None
    assert [problem.file for problem in problems] == ["folder.csv", "fifo.csv", "loop.csv"]


@pytest.mark.component("unix")
def test_a_link_may_not_lead_out_of_the_campaign(folder, problems, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_text("secret")
    (folder.root / "link.txt").symlink_to(outside)
    assert read_text(folder.root, "link.txt", problems) is None
    assert read_text(folder.root, "../x.txt", problems) is None
    assert [(one.file, Said(one.what)) for one in problems] == [
        ("link.txt", "outside"),
        ("../x.txt", "outside"),
    ]


@pytest.mark.component("unix")
def test_a_link_within_the_campaign_is_followed(folder, problems):
    (folder.root / "link.csv").symlink_to("recipients.csv")
    assert read_text(folder.root, "link.csv", problems)


@pytest.mark.component("unix")
def test_a_file_that_nobody_may_read(folder):
    folder.write("a.csv", "email\n").chmod(0)
    folder.write("a.txt", "x").chmod(0)
    code = """
import sys
from pathlib import Path
from petition.campaign.text_file import read_text
from petition.campaign.tables import open_table
problems = []
read_text(Path(sys.argv[1]), "a.txt", problems)
open_table(Path(sys.argv[1]), "a.csv", problems)
print(*problems, sep="\\n")
"""
    command = [*bound_by_permissions(), sys.executable, "-c", code, str(folder.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in told] == ["a.txt", "a.csv"]
    assert all("Permission denied" in line for line in told)


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        ("U\u0308bersicht.pdf", "\u00dcbersicht.pdf"),
        ("\u00dcbersicht.pdf", "U\u0308bersicht.pdf"),
        ("e\u0301/u\u0308.pdf", "\u00e9/\u00fc.pdf"),
    ],
)
def test_a_name_is_found_in_either_form_of_its_accents(folder, problems, there, asked):
    path = folder.write(there, "x")
    assert find_file(folder.root, asked, problems) == path.resolve()
    assert problems == []


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        ("people.xlsx", "people.csv"),
        ("People.csv", "people.csv"),
        ("people.csv.csv", "people.csv"),
        ("people.csv.txt", "people.csv"),
        ("people.csv", "people.xlsx"),
        ("lists/people.ods", "lists/people.csv"),
    ],
)
def test_a_file_that_may_be_meant_is_named_with_the_line(folder, problems, there, asked):
    folder.write(there, "x")
    if (folder.root / asked).exists():
        pytest.skip("this disk knows no capitals")
    assert find_file(folder.root, asked, problems, "council") is None
    assert find_file(folder.root, asked, problems) is None
    of_list, other = problems
    assert f'council = "{there}"' in of_list.hint
    assert f'"{there}"' in other.hint


@pytest.mark.component("unix")
def test_a_link_out_of_the_folder_is_not_followed_in_either_form(
    folder, problems, tmp_path_factory
):
    outside = tmp_path_factory.mktemp("outside") / "a.pdf"
    outside.write_text("x")
    (folder.root / "U\u0308.pdf").symlink_to(outside)
    assert find_file(folder.root, "\u00dc.pdf", problems) is None
    assert "outside" in problems[0].what
