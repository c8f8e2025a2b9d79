import random
import shutil
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest

from petition.errors import CampaignError, LogUnusable
from petition.outbox.sent_file import FILE, Sent, add_sent, read_sent

DAY = date(2026, 11, 30)


def sent(letter: str = "open-letter", revision: int = 1, log: str = "a" * 32) -> Sent:
    return Sent("water", letter, revision, log, DAY)


def keys(folder: Path) -> set[str]:
    return {one.key for one in read_sent(folder)}


def problems_in(folder: Path) -> list[tuple[str, int | None]]:
    with pytest.raises(CampaignError) as caught:
        read_sent(folder)
    return [(one.file, one.line) for one in caught.value.problems]


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_a_file_that_was_emptied_is_begun_again(tmp_path: Path, text: bytes):
    (tmp_path / FILE).write_bytes(text)
    assert add_sent(tmp_path, sent())
    assert keys(tmp_path) == {sent().key}


def test_what_was_added_is_read_once(tmp_path: Path):
    assert read_sent(tmp_path) == []
    all_of_them = [sent(), sent(revision=2), sent('Brief "an" \\ alle, ж'), sent(log="b" * 32)]
    for one in all_of_them:
        assert add_sent(tmp_path, one)
        before = (tmp_path / FILE).read_bytes()
        assert not add_sent(tmp_path, one._replace(day=date(2027, 1, 1)))
        assert (tmp_path / FILE).read_bytes() == before
    found = read_sent(tmp_path)
    assert [one._replace(line=0) for one in found] == all_of_them
    lines = (tmp_path / FILE).read_text().splitlines()
    assert all(one.letter.partition('"')[0] in lines[one.line - 1] for one in found)
    # Any TOML parser reads the same.
    assert [one["log"] for one in tomllib.loads((tmp_path / FILE).read_text())["sent"]] == [
        one.log for one in all_of_them
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitattributes", FILE]


def test_a_file_keeps_its_line_ends_its_mode_and_its_attributes(tmp_path: Path):
    (tmp_path / ".gitattributes").write_text("*.csv diff\n")
    add_sent(tmp_path, sent())
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    path.chmod(0o660)
    add_sent(tmp_path, sent(revision=2))
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") == len(content.splitlines())
    assert path.stat().st_mode & 0o777 == 0o660
    assert (tmp_path / ".gitattributes").read_text() == "*.csv diff\n"
    assert len(read_sent(tmp_path)) == 2


GOOD = str(sent())


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["sent = [", "<<<<<<< HEAD", GOOD, "=======", GOOD, ">>>>>>> b", "]"], [2]),
        (["sent = [", "<<<<<<< a", GOOD, "||||||| o", "=======", GOOD, ">>>>>>> b", "]"], [2]),
        (["sent = [", "=======", GOOD, "]"], [2]),
        (["sent = [", GOOD, GOOD.replace("a" * 32, "not an id"), "]"], [3]),
        (["sent = [", GOOD.replace("revision = 1", 'revision = "1"'), GOOD[:40], "]"], [2, 3]),
        (["sent = [", GOOD.replace("2026-11-30", "2026-11-30T08:00:00"), "]"], [2]),
        (["sent = [", "[" * 9000, "]"], [2]),
        (["sent = [", GOOD], [None]),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_line(
    tmp_path: Path, lines: list[str], where: list[int | None]
):
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    assert problems_in(tmp_path) == [(FILE, line) for line in where]
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(CampaignError):
        add_sent(tmp_path, sent(revision=9))
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("content", [b"\xff\xfe", b" " * 10_000_001])
def test_what_is_no_text_of_ours_is_an_error(tmp_path: Path, content: bytes):
    (tmp_path / FILE).write_bytes(content)
    assert problems_in(tmp_path) == [(FILE, None)]


def test_of_another_file_in_its_place_not_every_line_is_told(tmp_path: Path):
    (tmp_path / FILE).write_text("a,b\n" * 100_000 + "]\n")
    with pytest.raises(CampaignError) as refused:
        read_sent(tmp_path)
    assert 0 < len(refused.value.problems) < 100


def test_a_folder_in_its_place_is_an_error(tmp_path: Path):
    (tmp_path / FILE).mkdir()
    assert problems_in(tmp_path) == [(FILE, None)]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path):
    with pytest.raises(LogUnusable, match=FILE):
        add_sent(tmp_path / "gone", sent())


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path):
    folder, other = tmp_path / "campaign", tmp_path / "other"
    folder.mkdir()
    other.write_text(f"sent = [\n{GOOD}\n]\n")
    (folder / FILE).symlink_to(other)
    assert add_sent(folder, sent(revision=2))
    assert len(read_sent(folder)) == 2
    assert other.read_text() == f"sent = [\n{GOOD}\n]\n"


# ---- two people, and git between them


def git(folder: Path, *words: str) -> None:
    known = [
        "-c",
        "user.name=Ann",
        "-c",
        "user.email=ann@x.example",
        "-c",
        "init.defaultBranch=main",
    ]
    subprocess.run(["git", *known, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Sent", "--allow-empty")


@pytest.mark.parametrize("seed", range(12))
def test_git_merges_the_lines_of_two_people(tmp_path: Path, seed: int):
    """Each has a log of their own, or both share one and send the same on different days."""
    dice = random.Random(seed)
    ann, ben = tmp_path / "ann", tmp_path / "ben"
    ann.mkdir()
    git(ann, "init", "-q")
    for number in range(dice.randint(0, 3)):
        add_sent(ann, sent(f"before-{number}"))
    commit(ann)
    git(tmp_path, "clone", "-q", str(ann), str(ben))
    for day, (folder, own) in enumerate(((ann, "a"), (ben, "b")), 1):
        for _ in range(dice.randint(0, 4)):
            one = sent(
                f"letter-{dice.randint(1, 3)}", dice.randint(1, 2), dice.choice(["c", own]) * 32
            )
            add_sent(folder, one._replace(day=date(2026, 12, day)))
        commit(folder)
    both = keys(ann) | keys(ben)
    git(ben, "pull", "-q", "--no-rebase", "--no-edit")
    assert keys(ben) == both
    assert tomllib.loads((ben / FILE).read_text() if both else "sent = []")["sent"] or not both
    assert add_sent(ben, sent("after"))
    assert keys(ben) == both | {sent("after").key}


def test_a_merge_without_the_attribute_is_an_error_with_the_line(tmp_path: Path):
    ann, ben = tmp_path / "ann", tmp_path / "ben"
    ann.mkdir()
    git(ann, "init", "-q")
    add_sent(ann, sent("before"))
    (ann / ".gitattributes").unlink()
    commit(ann)
    shutil.copytree(ann, ben)
    for folder, log in ((ann, "a" * 32), (ben, "b" * 32)):
        add_sent(folder, sent(log=log))
        commit(folder)
    with pytest.raises(subprocess.CalledProcessError):
        git(ben, "pull", "-q", "--no-rebase", str(ann), "main")
    [(file, line)] = problems_in(ben)
    assert (ben / file).read_text().splitlines()[line - 1].startswith("<<<<<<<")
    # What the hint says.
    kept = [one for one in (ben / file).read_text().splitlines(True) if one[0] not in "<=>"]
    (ben / file).write_text("".join(kept))
    assert len(read_sent(ben)) == 3
