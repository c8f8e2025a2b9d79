"""The tests of petition."""

# Seconds that a test waits for something that comes sooner or later: a busy machine fails nothing.
PATIENCE = 600

# Names the folder, in the environment, that all processes of a run share.
SHARED = "TESTS_SHARED"
