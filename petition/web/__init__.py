"""The pages that people open: leaving the list."""
