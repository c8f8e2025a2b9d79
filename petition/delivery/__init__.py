"""Hands letters to an SMTP server and says what became of each one."""
