"""What mail alone cannot do: leaving the list by one click (RFC 8058), over HTTP."""
