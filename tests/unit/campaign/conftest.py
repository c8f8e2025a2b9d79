from pathlib import Path

import pytest

TOML = '[campaign]\ntitle = "Four demands"\n[sender]\nfrom = "Kim <kim@campaign.example>"\n'
LETTER = '---\nsubject: "Four demands"\n---\nDear {{ recipient.name }},\n'
PEOPLE = "email,name\nkim@kaz.example,Kim\n"


class Folder:
    """A campaign folder that is right until a test writes something else into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("petition.toml", TOML)
        self.write("letters/open-letter.md", LETTER)
        self.write("recipients.csv", PEOPLE)

    def write(self, file: str, content: str | bytes) -> Path:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def problems():
    return []
