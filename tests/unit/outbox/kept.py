"""Logs of schema 8, as real runs of that version left them."""

import sqlite3
from pathlib import Path

import psycopg

from petition.outbox.database import path_of

SAMPLES = Path(__file__).parents[2] / "samples" / "logs"


def keep(url: str) -> str:
    """Put the log of schema 8 where an address says that there is none; its address."""
    if url.startswith("sqlite:"):
        with sqlite3.connect(path_of(url)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript((SAMPLES / "schema-8.sqlite.sql").read_text())
        connection.close()
        return url
    with psycopg.connect(url, autocommit=True) as server:
        server.execute((SAMPLES / "schema-8.postgresql.sql").read_bytes())
    return url


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    """Ask a log something, by no code of ours."""
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(path_of(url))
        try:
            rows = connection.execute(query).fetchall()
            connection.commit()
        finally:
            connection.close()
        return rows
    with psycopg.connect(url, autocommit=True) as server:
        cursor = server.execute(query.encode())
        return cursor.fetchall() if cursor.description else []
