"""Slips that real organisers make: each a warning, none stops a letter."""
