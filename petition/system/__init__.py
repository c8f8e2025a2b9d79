"""What differs between operating systems: files, locks, signals, other programs.

`posix` (Linux, macOS) and `windows` have the same functions; `posix` says what each is for. No
other module asks which system this is, or imports what only one of them has.
"""

import sys

try:
    if sys.platform == "win32":
        from petition.system.windows import *  # noqa: F403
    else:
        from petition.system.posix import *  # noqa: F403
except ImportError as missing:  # such as a browser
    sys.exit(f"petition runs on Linux, macOS and Windows, not on {sys.platform} ({missing})")
