"""PostgreSQL servers of our own: for the sandbox's projects, and for the product's rehearsals."""

from __future__ import annotations

__all__ = ["ServerError"]


class ServerError(Exception):
    """A server could not be made or started; the message says what, why and what to do."""
