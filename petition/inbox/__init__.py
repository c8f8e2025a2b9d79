"""LISTEN: what comes back, from the bytes of a mail to what it means for a copy."""
