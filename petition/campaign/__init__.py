"""READ: the files of a campaign folder, and every mistake in them with its file and line."""
