"""READ: the files of a campaign folder, and every mistake in them with its file and line."""

import os

# Else pydantic reads the metadata of every installed package, to look for plugins.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
