"""petition, petition init: how one begins."""

from pathlib import Path

import pytest

from petition.cli.commands import COMMANDS
from tests.acceptance.small import SmallCampaign

STARTER = [
    ".gitignore",
    "letters/demands.md",
    "letters/open-letter.md",
    "petition.toml",
    "recipients.csv",
    "signatories.csv",
]


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_init_makes_a_campaign_that_works_at_once(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    said = place.petition("init", "library", status=0).out
    assert files_in(tmp_path / "library") == STARTER
    assert "petition send open-letter" in said
    library = SmallCampaign(tmp_path / "library")
    assert "1 letter, 3 people: ready." in library.petition("check", status=0).out
    assert "Councillor Lane" in library.petition("preview", "open-letter", status=0).out
    assert "3 sent" in library.petition("send", "open-letter", status=0).out


def test_init_overwrites_nothing_and_then_does_nothing(tmp_path: Path):
    (tmp_path / "recipients.csv").write_text("mine", encoding="utf-8")
    answer = SmallCampaign(tmp_path).petition("init", status=2)
    assert "recipients.csv would be overwritten" in answer.err
    assert files_in(tmp_path) == ["recipients.csv"]
    assert (tmp_path / "recipients.csv").read_text(encoding="utf-8") == "mine"


def test_a_gitignore_keeps_people_out_of_a_repository(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.petition("init", "library", status=0)
    kept = (tmp_path / "library/.gitignore").read_text(encoding="utf-8").splitlines()
    assert {"*.csv", "*.db", "outbox/"} <= set(kept)
    place.write("own/.gitignore", "mine\n")
    place.petition("init", "own", status=0)
    assert (tmp_path / "own/.gitignore").read_text(encoding="utf-8") == "mine\n"


def test_the_letter_of_init_cannot_go_out(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.petition("init", status=0)
    said = place.petition("check", status=0).out
    assert said.startswith("letters/open-letter.md: note: ")
    assert "signatories.csv" in said
    elsewhere = SmallCampaign(tmp_path, {"PETITION_SMTP_HOST": "mail.somewhere.net"})
    mine = "letters/open-letter.md: is as petition init wrote it"
    assert mine in elsewhere.petition("check", status=1).out
    assert mine in elsewhere.petition("send", "open-letter", "--yes", status=1).err
    letter = tmp_path / "letters/open-letter.md"  # as Notepad saves it
    letter.write_bytes(b"\xef\xbb\xbf" + letter.read_bytes().replace(b"\n", b"\r\n"))
    assert mine in elsewhere.petition("check", status=1).out
    place.change("letters/open-letter.md", "Harbour Library", "Mill Library")
    assert mine not in elsewhere.petition("check", status=1).out


def test_c_works_as_if_started_there(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.petition("init", "library", status=0)
    assert "3 people" in place.petition("-C", "library", "check", status=0).out
    assert not (tmp_path / "rehearsal.db").exists()
    place.petition("-C", "library", "preview", "--save", "copies", status=0)
    assert (tmp_path / "library" / "copies" / "001-lane.eml").exists()
    assert "nowhere" in place.petition("-C", "nowhere", "check", status=2).err


RELIED_ON = [
    "init",
    "check",
    "preview",
    "send",
    "status",
    "log",
    "resolve",
    "retry",
    "withdraw",
    "inbox",
    "answer",
    "report",
    "evidence",
    "suppress",
    "forget",
    "sandbox",
]


def test_the_version_and_the_help_are_there(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    assert place.petition("--version", status=0).out.startswith("petition 0.")
    assert set(RELIED_ON) <= set(COMMANDS)
    for command in COMMANDS:
        shown = place.petition(command, "--help", status=0).out
        assert "<list" not in shown


@pytest.mark.parametrize(
    ("command", "libraries"),
    [
        ("--help", "rich jinja2 pydantic sqlite3 aiosmtplib babel yaml email_validator"),
        ("check", "aiosmtplib asyncio dns email_validator icalendar watchfiles"),
        ("preview", "aiosmtplib asyncio dns email_validator icalendar watchfiles"),
        ("status", "aiosmtplib asyncio babel dns email_validator jinja2 markdown_it watchfiles"),
        ("send open-letter --yes", "dns email_validator icalendar imap_tools starlette watchfiles"),
    ],
)
def test_a_command_loads_no_library_that_only_others_need(
    tmp_path: Path, command: str, libraries: str
):
    import subprocess
    import sys

    settings = SmallCampaign.at(tmp_path).root / "petition.toml"
    with settings.open("a", encoding="utf-8") as file:
        file.write('[unsubscribe]\nmailto = "leave+{token}@campaign.example"\n')
    code = (
        "import sys\nfrom petition.cli.main import run\n"
        f"sys.argv = ['petition', *{command.split()}]\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in '{libraries}'.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_wrong_call_is_a_usage_error(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    for arguments in (["nonsense"], ["check", "--nonsense"], ["answer"], ["preview", "--as", "x"]):
        assert place.petition(*arguments, status=2).out == ""


def test_without_a_campaign_every_command_says_how_to_begin(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    for arguments in (
        ["preview"],
        ["status"],
        ["log"],
        ["send", "x"],
        ["suppress"],
        ["retry", "x"],
    ):
        answer = place.petition(*arguments, status=1)
        assert "petition.toml: not found" in answer.err
        assert "petition init" in answer.err
    assert "petition.toml: not found" in place.petition("check", status=1).out
    assert list(tmp_path.iterdir()) == []


MAILMERGE = {
    "mailmerge_template.txt": (
        "TO: {{name}} <{{email}}>\nSUBJECT: Hello {{name}}\nFROM: Me <me@x.example>\n"
        "CC: dean@x.example\n\nHi {{name}},\n\nyour *number* is {{number}}.\n"
    ),
    "mailmerge_database.csv": "email,name,number\nann@x.example,Ann,017\nbob@x.example,Bob,42\n",
    "mailmerge_server.conf": "[smtp_server]\nhost = localhost\nport = 25\n",
}


def mailmerge_in(root: Path) -> SmallCampaign:
    place = SmallCampaign(root)
    for name, text in MAILMERGE.items():
        place.write(f"old/{name}", text)
    return place


def test_a_mailmerge_campaign_is_taken_over(tmp_path: Path):
    place = mailmerge_in(tmp_path)
    said = place.petition("init", "--from-mailmerge", "old", "new", status=0).out
    made = [".gitignore", "letters/letter.md", "petition.toml", "recipients.csv"]
    assert files_in(tmp_path / "new") == made
    assert "2 letters" in said
    assert "petition send letter --dry-run" in said
    new = SmallCampaign(tmp_path / "new")
    new.petition("check", status=0)
    text = new.petition("preview", "letter", "--to", "1", status=0).out
    assert "To: Ann <ann@x.example>" in text
    assert "your *number* is 017." in text
    assert files_in(tmp_path / "old") == sorted(MAILMERGE)


def test_a_mailmerge_campaign_is_taken_over_beside_itself_and_overwrites_nothing(tmp_path: Path):
    place = mailmerge_in(tmp_path)
    place.write("old/recipients.csv", "mine")
    answer = place.petition("init", "--from-mailmerge", "old", "old", status=2)
    assert "recipients.csv would be overwritten" in answer.err
    assert files_in(tmp_path / "old") == sorted([*MAILMERGE, "recipients.csv"])


def test_what_cannot_be_taken_over_is_told_and_nothing_is_written(tmp_path: Path):
    place = mailmerge_in(tmp_path)
    template = MAILMERGE["mailmerge_template.txt"].replace("dean@", "{{name}}@")
    place.write("old/mailmerge_template.txt", template)
    answer = place.petition("init", "--from-mailmerge", "old", "new", status=1)
    assert "old/mailmerge_template.txt:4: CC differs from row to row" in answer.out + answer.err
    assert not (tmp_path / "new").exists()


def test_there_is_no_mailmerge_campaign(tmp_path: Path):
    answer = SmallCampaign(tmp_path).petition("init", "--from-mailmerge", ".", "new", status=1)
    assert "mailmerge_template.txt: does not exist" in answer.out + answer.err
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_through_a_link_to_another_folder(tmp_path):
    (tmp_path / "stranger").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "stranger/letters").symlink_to(tmp_path / "elsewhere")
    answer = SmallCampaign(tmp_path).petition("init", "stranger", status=2)
    assert "outside" in answer.err
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [one.name for one in (tmp_path / "stranger").iterdir()] == ["letters"]
