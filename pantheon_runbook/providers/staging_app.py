"""The deployed apps of one environment that is not production, for RB-020's proofs: pages, and declared writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pantheon_runbook.errors import RefusedError, VendorUnavailableError, WrongEnvironmentError
from pantheon_runbook.providers.deployed import require_own_host
from pantheon_runbook.providers.http import Reach, Visit, visit
from pantheon_runbook.secrets import Secret

BYPASS_HEADER = "x-vercel-protection-bypass"
_OF_VERCEL = ".vercel.app"
Note = Callable[[str, Mapping[str, Any]], None]


class StagingApp:
    """Its hosts are looked at before anything is sent, and no other is asked.

    `note` writes the journal's lines, before and after each write: when it raises before, nothing is sent. `bypass`
    opens protected previews, and goes nowhere else. Errors: WrongEnvironmentError.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        environment: str,
        production: Collection[str],
        reach: Reach,
        timeout_seconds: float,
        note: Note,
        bypass: Secret | None = None,
    ) -> None:
        if environment == "production":
            raise WrongEnvironmentError(
                "proofs were about to be made in production",
                why="they write rows of their own",
                next_step="report this as a bug; no setting opens it",
            )
        for host in sorted(hosts):
            require_own_host(host, environment, production=production)
        self._hosts = frozenset(hosts)
        self._environment = environment
        self._reach = reach
        self._timeout_seconds = timeout_seconds
        self._note = note
        self._bypass = bypass

    @property
    def has_bypass(self) -> bool:
        return self._bypass is not None

    def get(self, host: str, path: str) -> Visit:
        """One page. Errors: RefusedError, VendorUnavailableError."""
        return self._send("GET", host, path, None)

    def write(self, method: str, host: str, path: str, body: Mapping[str, Any] | None = None) -> Visit:
        """One change of a row of the proof's own. Errors: RefusedError, VendorUnavailableError (it may be there)."""
        about = {"method": method, "host": host, "path": path}
        self._note("proof-begins", about)
        try:
            answer = self._send(method, host, path, body)
        except VendorUnavailableError as error:
            self._note("proof-ends", {**about, "result": error.why})
            raise
        self._note("proof-ends", {**about, "status": answer.status})
        return answer

    def _send(self, method: str, host: str, path: str, body: Mapping[str, Any] | None) -> Visit:
        if host not in self._hosts:
            raise RefusedError(
                f"{host} was about to be asked",
                why=f"it is none of {self._environment}'s hosts that were looked at",
                next_step="report this as a bug; no setting opens it",
            )
        opens = self._bypass is not None and host.endswith(_OF_VERCEL)
        headers = {BYPASS_HEADER: self._bypass} if opens and self._bypass is not None else None
        url = f"https://{host}{path}"
        timeout = self._timeout_seconds
        return visit(url, reach=self._reach, timeout_seconds=timeout, method=method, sends=body, headers=headers)
