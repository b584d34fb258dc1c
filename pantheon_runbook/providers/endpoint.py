"""Whether a deployed API answers: one GET without any credential."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from pantheon_runbook.errors import VendorError
from pantheon_runbook.providers.http import Client, Reach

Health = Literal["answers", "nothing deployed", "no answer"]
_EDGE_SAYS = "Application not found"  # Railway's edge for a domain without a deployment, as for one that nobody has


def health_of(host: str, *, reach: Reach, timeout_seconds: float) -> tuple[Health, str]:
    """How the API at this host does by its own word, and why not; reads only, and never raises for the host's state.

    "nothing deployed" is the edge's answer: whether the domain exists must be known from Railway itself.
    """
    client = Client("railway", f"https://{host}", reach=reach, gate=None, timeout_seconds=timeout_seconds)
    try:
        answer = client.read(
            "GET", "/health", operation="ask the API for its health", accept=frozenset({HTTPStatus.NOT_FOUND})
        )
    except VendorError as error:
        return "no answer", error.what
    finally:
        client.close()
    if answer.status_code != HTTPStatus.NOT_FOUND:
        return "answers", ""
    return ("nothing deployed", "") if _EDGE_SAYS in answer.text else ("no answer", "it has no /health")
