"""Send an open letter, personally addressed, to many people, and know what became of each copy."""

__version__ = "0.1.0"
