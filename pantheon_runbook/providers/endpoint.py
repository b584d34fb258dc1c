"""Whether a deployed API answers: one GET without any credential."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from pantheon_runbook.errors import VendorError
from pantheon_runbook.providers.http import Reach, visit

Health = Literal["answers", "nothing deployed", "no answer"]
# What the edges of Railway and Vercel say for a domain without a deployment, as for one that nobody has.
_EDGES_SAY = (b"Application not found", b"DEPLOYMENT_NOT_FOUND")


def health_of(host: str, *, reach: Reach, timeout_seconds: float) -> tuple[Health, str]:
    """How the API at this host does by its own word, and why not; reads only, and never raises for the host's state.

    "nothing deployed" is the edge's answer: whether the domain exists must be known from Railway itself.
    """
    try:
        answer = visit(f"https://{host}/health", reach=reach, timeout_seconds=timeout_seconds)
    except VendorError as error:
        return "no answer", error.what
    if is_of_no_deployment(answer.status, answer.body):
        return "nothing deployed", ""
    if answer.status == HTTPStatus.NOT_FOUND:
        return "no answer", "it has no /health"
    return ("answers", "") if answer.status == HTTPStatus.OK else ("no answer", f"it answers {answer.status}")


def is_of_no_deployment(status: int, body: bytes) -> bool:
    """Whether it is the edge that answers, for want of an app behind it."""
    return status == HTTPStatus.NOT_FOUND and any(words in body for words in _EDGES_SAY)
