"""The same letter with mailmerge, as its command line sends it: mailmerge_run.py FOLDER PORT N."""

import subprocess
import sys
import tempfile
from pathlib import Path

folder, port, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
text = (folder / "letters" / "open-letter.md").read_text(encoding="utf-8").split("---\n", 2)[2]
text = text.replace("recipient.", "").replace("{{ sender.name }}", "Friends of the Library")
with tempfile.TemporaryDirectory() as place:
    work = Path(place)
    head = "TO: {{email}}\nSUBJECT: {{name}}, your library in {{town}}\n"
    head += (
        "FROM: Friends of the Library <letters@friends.example>\nContent-Type: text/markdown\n\n"
    )
    (work / "mailmerge_template.txt").write_text(head + text, encoding="utf-8")
    (work / "mailmerge_server.conf").write_text(
        f"[smtp_server]\nhost = 127.0.0.1\nport = {port}\n", encoding="utf-8"
    )
    rows = (folder / "recipients.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (work / "mailmerge_database.csv").write_text("".join(rows[: number + 1]), encoding="utf-8")
    program = "from mailmerge.__main__ import main; main()"
    command = [sys.executable, "-c", program, "--no-dry-run", "--no-limit"]
    sys.exit(subprocess.run(command, cwd=work, check=False).returncode)
