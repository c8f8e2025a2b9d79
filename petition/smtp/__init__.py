"""SMTP: the connection, the conversation of one letter, and what the replies mean."""
