"""Rows that are added to whatever file of signatories there is, and read back as they were."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from petition.address import UNSEEN
from petition.campaign.csv_file import AS_IT_IS, Reading
from petition.campaign.signatories import read_signatories
from petition.campaign.signatories_file import Added, NewRow, add_rows
from petition.errors import CampaignError, Problem

ANN = NewRow(
    *("Ann Lee", "nurse", "Unison", "Leeds", "UK", "individual"),
    *("ann@x.example", "2026-11-30", True, False),
)


def row(name: str = "Ann Lee", email: str = "ann@x.example", **more: object) -> NewRow:
    cells = {"role": "", "organisation": "", "place": "", "country": "", "kind": "individual"}
    cells |= {"signed_on": "2026-11-30", "publish": True, "updates": False}
    return NewRow(name=name, email=email, **(cells | more))  # type: ignore[arg-type]


def add(root: Path, *rows: NewRow, file: str = "signatories.csv", **more: object) -> Added:
    return add_rows(root, file, Reading(**more), (), rows)  # type: ignore[arg-type]


def read(root: Path, file: str = "signatories.csv", reading: Reading = AS_IT_IS):
    problems: list[Problem] = []
    found = read_signatories(root, file, problems, reading)
    assert not [one for one in problems if one.is_error]
    return found


def test_a_new_file_has_all_that_was_said(tmp_path: Path):
    add(tmp_path, ANN, row("Zoë, 2nd", "zoe@x.example", kind="organisation", publish=False))
    one, other = read(tmp_path)
    assert (one.name, one.role, one.place, one.publish) == ("Ann Lee", "nurse", "Leeds", True)
    assert one.signed_on is not None
    assert one.signed_on.isoformat() == "2026-11-30"
    assert (other.name, other.kind, other.publish) == ("Zoë, 2nd", "organisation", False)


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("cp1252", b""),
    ],
)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("is_ended", [True, False])
def test_the_file_stays_as_it_is_saved(tmp_path: Path, encoding, mark, end, is_ended):
    lines = ["E-Mail;Name;publish;kind;note", 'jürgen@x.example;"Müller; Jürgen";ja;;"a ""b"""']
    lines[1] = lines[1].replace("jürgen@", "j@").replace("ja", "yes")
    text = end.join(lines) + (end if is_ended else "")
    before = mark + text.encode(encoding)
    (tmp_path / "signatories.csv").write_bytes(before)
    add(tmp_path, row("Zoë; Grün", "zoe@x.example"))
    after = (tmp_path / "signatories.csv").read_bytes()
    assert after.startswith(before)
    added = after[len(mark) :].decode(encoding)[len(text) :]
    assert added.strip(end) == 'zoe@x.example;"Zoë; Grün";yes;individual;'
    assert added.endswith(end)
    assert {"\r\n", "\n", "\r"} & set(added.replace(end, "")) == set()
    assert [one.name for one in read(tmp_path)] == ["Müller; Jürgen", "Zoë; Grün"]


def test_the_headings_of_a_form_are_kept(tmp_path: Path):
    text = (
        '"Zeitstempel","Ihr Name","E-Mail-Adresse","Name veröffentlichen","Wohnort"\n'
        '"2026/10/03 9:00:00 AM OEZ","Max Groß","max@x.example","Ja","Ulm"\n'
    )
    (tmp_path / "signatories.csv").write_text(text, encoding="utf-8")
    done = add_rows(tmp_path, "signatories.csv", AS_IT_IS, ["Ja"], [ANN])
    assert done.left_out == {"role": 1, "organisation": 1, "country": 1}
    after = (tmp_path / "signatories.csv").read_text(encoding="utf-8")
    assert after == text + "2026-11-30,Ann Lee,ann@x.example,yes,Leeds\n"


def test_two_columns_of_one_name_hold_the_same(tmp_path: Path):
    text = "email,name,publish,name\na@x.example,Al,yes,Al\n"
    (tmp_path / "signatories.csv").write_text(text)
    add(tmp_path, row())
    assert [one.name for one in read(tmp_path)] == ["Al", "Ann Lee"]


def test_who_is_there_is_left_alone_however_spelt(tmp_path: Path):
    text = "email,name,publish\nANN@X.example,Annie,no\n"
    (tmp_path / "signatories.csv").write_text(text)
    done = add(tmp_path, row())
    assert (tmp_path / "signatories.csv").read_text() == text
    [one] = done.differing
    assert (one.line, one.columns) == (2, ("name", "publish"))


@pytest.mark.parametrize("name", ["=1+1", "+49", "-x", "@x", "\t=1"])
def test_no_cell_is_a_formula(tmp_path: Path, name: str):
    (tmp_path / "signatories.csv").write_text("email,name,publish\n")
    assert [one.name for one in add(tmp_path, row(name)).refused] == [name]
    assert (tmp_path / "signatories.csv").read_text() == "email,name,publish\n"


def test_what_the_encoding_lacks_is_refused(tmp_path: Path):
    before = "email,name,publish\nj@x.example,Müller,yes\n".encode("cp1252")
    (tmp_path / "signatories.csv").write_bytes(before)
    with pytest.raises(CampaignError) as refused:
        add(tmp_path, row("Гүлнар"))
    assert "UTF-8" in refused.value.problems[0].hint
    assert (tmp_path / "signatories.csv").read_bytes() == before


def test_a_file_with_errors_is_not_added_to(tmp_path: Path):
    text = "email,name,publish\nnobody,Ann,maybe\n"
    (tmp_path / "signatories.csv").write_text(text)
    with pytest.raises(CampaignError) as refused:
        add(tmp_path, row())
    assert {one.line for one in refused.value.problems if one.is_error} == {2}
    assert (tmp_path / "signatories.csv").read_text() == text


FULL = """
import resource, sys
from pathlib import Path
from petition.campaign.csv_file import AS_IT_IS
from petition.campaign.signatories_file import NewRow, add_rows
from petition.errors import CampaignError
ann = NewRow("Ann", "", "", "", "", "individual", "ann@x.example", "2026-11-30", True, False)
resource.setrlimit(resource.RLIMIT_FSIZE, (30, 30))
try:
    add_rows(Path.cwd(), "signatories.csv", AS_IT_IS, (), [ann])
except CampaignError as fault:
    sys.exit(fault.problems[0].what)
"""


@pytest.mark.skipif(os.name == "nt", reason="it has no such limit")
def test_the_file_is_whole_when_the_disk_is_full(tmp_path: Path):
    text = "email,name,publish\n"
    (tmp_path / "signatories.csv").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["signatories.csv"]
    assert (tmp_path / "signatories.csv").read_text() == text


@pytest.mark.skipif(os.name == "nt", reason="modes mean nothing there")
def test_the_file_keeps_its_mode_and_a_new_one_is_private(tmp_path: Path):
    add(tmp_path, row())
    path = tmp_path / "signatories.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    add(tmp_path, row("Bea", "bea@x.example"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


NAMES = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=20)


@given(NAMES, NAMES, st.sampled_from([",", ";", "\t", "|"]))
@example('He said "hi" , x', '"', ",")
@example('a"b" ', '"" ,', ";")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_name_it_is_read_back(tmp_path: Path, name, organisation, separator):
    name, organisation = (" ".join(UNSEEN.sub(" ", text).split()) for text in (name, organisation))
    columns = ("email", "organisation", "name", "publish")
    path = tmp_path / "signatories.csv"
    path.write_text(f"{separator.join(columns)}\n", encoding="utf-8")
    done = add(tmp_path, row(name, organisation=organisation))
    if name and done.added:
        [one] = read(tmp_path)
        assert (one.name, one.organisation) == (name, organisation)
