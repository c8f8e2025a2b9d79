"""Writes docs/rooms.md: every file of the house, in the words of its own first sentence.

Run it when a file comes, goes, or changes what it is for; a test compares.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "petition"
PAGE = ROOT / "docs" / "rooms.md"

_HEAD = """# The rooms, file by file

Every file in the words of its own first sentence. [The house](architecture.md) says how the rooms
hang together. `python scripts/rooms.py` writes this page.
"""


def page() -> str:
    """The page as it is to be."""
    return "\n".join([_HEAD, *_rooms()])


def _rooms() -> Iterator[str]:
    folders = sorted(path for path in HOUSE.iterdir() if (path / "__init__.py").is_file())
    for folder in (HOUSE, *folders):
        name = "The floors in one file each" if folder == HOUSE else f"`{folder.name}/`"
        yield f"## {name}\n\n| file | what it is |\n|---|---|"
        files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("__"))
        yield from (f"| `{file.name}` | {_sentence(file)} |" for file in files)
        yield ""


def _sentence(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
