"""The machinery a control plane may ask for: databases, Redis servers, deployed processes, built pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Deployment:
    """What a control plane asks the platform to run as one real process."""

    deployment_id: str
    network: str  # one private network per Railway environment: processes resolve only their own hosts
    command: tuple[str, ...]  # module and arguments, run with the sandbox's own interpreter
    variables: Mapping[str, str]  # exactly the process environment, PORT apart
    listens: bool  # a worker does not listen
    health_path: str = "/health"
    draining_seconds: float = 0.0  # from SIGTERM to SIGKILL, once another has taken its place


class Platform(Protocol):
    """Real servers behind the control planes; every method returns when its effect is real."""

    async def create_cluster(self, ref: str, password: str) -> None:
        """A PostgreSQL cluster of its own for one Supabase project: role postgres, database postgres."""

    async def delete_cluster(self, ref: str) -> None:
        """Stop the cluster and remove its files."""

    async def pause_cluster(self, ref: str) -> None:
        """Stop the server, keep the files."""

    async def resume_cluster(self, ref: str) -> None:
        """Start the server on the files that were kept."""

    async def set_password(self, ref: str, password: str) -> None:
        """ALTER ROLE postgres; sessions that are open stay open."""

    async def login_role(self, ref: str, *, read_only: bool, ttl_seconds: int) -> tuple[str, str]:
        """A temporary role: (role, password)."""

    async def query(
        self,
        ref: str,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        read_only: bool = False,
        role: str = "supabase_admin",
    ) -> list[dict[str, Any]]:
        """Rows of one query as JSON objects (several statements: rows of the last one).

        Parameters are written `$1`, `$2`, as the vendor's endpoint takes them. Each query has a session of its own:
        as "supabase_admin" for what the vendor does by itself (not in the statement log), as "postgres" for what a
        customer asked for; read-only runs as supabase_read_only_user. Raises QueryFailedError.
        """

    async def create_redis(self, service_id: str, network: str, host: str, password: str) -> None:
        """A Redis-protocol server that answers to `host`:6379 inside that private network."""

    async def delete_redis(self, service_id: str) -> None:
        """Stop it; what it held is gone."""

    async def deploy(self, deployment: Deployment) -> str:
        """Start the process and wait for its health check: "SUCCESS", "FAILED" or "CRASHED"."""

    async def output(self, deployment_id: str) -> list[str]:
        """Lines that its process has written, also after it has ended."""

    async def remove(self, deployment_id: str) -> None:
        """End the process, if it still runs."""

    async def route(self, host: str, deployment_id: str | None) -> None:
        """From now on this public host is served by that process (None: by nobody)."""

    async def build_page(self, deployment_id: str, variables: Mapping[str, str]) -> None:
        """Build the stand-in frontend with these variables; served from `page_route` on. Raises BuildFailedError."""

    async def page_route(self, host: str, deployment_id: str, *, bypass_secrets: Sequence[str] | None) -> None:
        """Serve a built page on a public host; with a list of secrets the page is protected and these open it."""


class QueryFailedError(Exception):
    """PostgreSQL refused the query: `sqlstate` of five characters, and the message."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class BuildFailedError(Exception):
    """The frontend's build ended with an error; the message is the end of its log."""
