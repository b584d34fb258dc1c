"""Rows for a staging that was made anew: a few sessions, as if somebody had talked to it.

Users are not made here: at Supabase they belong to its auth service, and `postgres` is not the one who writes them.
"""

from __future__ import annotations

import os

import psycopg

_SESSIONS = {
    "How do I export a report?": ("user", "assistant"),
    "What changed since last week?": ("user", "assistant", "user", "assistant"),
    "Draft": (),
}


def seed(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """All of it in one transaction, or none."""
    with connection.transaction():
        for title, authors in _SESSIONS.items():
            made = connection.execute("INSERT INTO sessions (title) VALUES (%s) RETURNING id", [title]).fetchone()
            assert made is not None
            for number, author in enumerate(authors, 1):
                connection.execute(
                    "INSERT INTO messages (session_id, author, content, tokens) VALUES (%s, %s, %s, %s)",
                    [made[0], author, f"line {number} of {title}", number],
                )


if __name__ == "__main__":
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connected:
        seed(connected)
