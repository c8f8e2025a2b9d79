"""Makes the pictures of the README from a real run of the example campaign: `make pictures`.

The terminal is drawn by rich, from what the program writes on a terminal of 80 columns; the report
is photographed by Chromium.
"""

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parent))

from come_back import come_back  # (found by the line before)

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 80
SHOWN_AS = "/home/ann/zhezkazgan"
# rich's own picture has the web fetch a font.
DRAWING = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img"
  aria-label="A terminal">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono",
  monospace; line-height: {line_height}px; }}
.{unique_id}-title {{ font: bold 18px system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def on_terminal(folder: Path, *arguments: str) -> str:
    """What petition writes on a terminal, with its colours, behind a prompt."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    environment = {name: text for name, text in os.environ.items() if "PETITION" not in name}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "TZ": "UTC"}
    run = subprocess.Popen(
        [Path(sys.executable).parent / "petition", *arguments],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 65_536):
            written += piece
    except OSError:  # Linux's end of a terminal
        pass
    os.close(ours)
    if run.wait():
        sys.exit(f"petition {' '.join(arguments)} failed:\n{written.decode()}")
    text = written.decode().replace("\r\n", "\n").replace(str(folder), SHOWN_AS)
    # What was written over again is shown as it was last.
    text = re.sub(r"\x1b\[\?25[lh]", "", text)
    lines = [line.rpartition("\r")[2].rpartition("\x1b[2K")[2] for line in text.split("\n")]
    return f"\x1b[1m$ petition {' '.join(arguments)}\x1b[0m\n" + "\n".join(lines)


def draw_terminal(text: str) -> None:
    """Write what a terminal shows as an SVG picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text))
    drawn = console.export_svg(title="petition", code_format=DRAWING, unique_id="terminal")
    (PICTURES / "terminal.svg").write_text(drawn, encoding="utf-8")


def photograph(page: Path) -> None:
    """The top of a page as a reader sees it, in few colours and so in few bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        taken = Path(scratch, "taken.png")
        subprocess.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={scratch}/profile", "--force-device-scale-factor=1.5",
                "--window-size=1000,900", f"--screenshot={taken}", page.as_uri(),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with Image.open(taken) as picture:
            few = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
            few.save(PICTURES / "report.png", optimize=True)


def main() -> None:
    """Run the example campaign, and make both pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "zhezkazgan")
        folder.mkdir()
        for name in ("letters", "annex"):
            shutil.copytree(ROOT / name, folder / name)
        for path in (ROOT / "petition.toml", *ROOT.glob("*.csv")):
            shutil.copy(path, folder)
        with (folder / "petition.toml").open("a", encoding="utf-8") as file:
            file.write('\n[inbox]\nurl = "maildir:answers"\n')
        sent = on_terminal(folder, "send", "open-letter")
        come_back(folder)
        on_terminal(folder, "inbox", "--once")
        offer = ("--mail", "<offer@kaz-minerals.example>")
        on_terminal(folder, "answer", "weissenfels", "meeting", *offer)
        words = "Nobody is here at the moment, but they know about your letter."
        by_phone = ("--letter", "open-letter", "--channel", "phone", "--quote", words)
        on_terminal(folder, "answer", "kim", "stalled", *by_phone)
        answers = on_terminal(folder, "status", "open-letter", "--answers")
        draw_terminal(f"{sent}\n{answers}")
        on_terminal(folder, "report", "--html", "report.html")
        photograph(folder / "report.html")


if __name__ == "__main__":
    main()
