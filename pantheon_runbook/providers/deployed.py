"""The deployed apps of one environment, for smoke checks: GET of the pages that were declared, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

from pantheon_runbook.errors import RefusedError, WrongEnvironmentError
from pantheon_runbook.providers.http import Reach, Visit, visit

_OF_VENDORS = (".up.railway.app", ".vercel.app")


class Deployed:
    """`urls` are compared as they stand: there is no method, header, query or body to choose."""

    def __init__(self, urls: Collection[str], *, reach: Reach, timeout_seconds: float) -> None:
        self._urls = frozenset(urls)
        self._reach = reach
        self._timeout_seconds = timeout_seconds

    def get(self, url: str) -> Visit:
        """Errors: RefusedError before anything is sent, VendorUnavailableError."""
        if url not in self._urls:
            raise RefusedError(
                f"{url} was about to be visited",
                why="no check of this environment declares it",
                next_step="report this as a bug; no setting opens it",
            )
        return visit(url, reach=self._reach, timeout_seconds=self._timeout_seconds)


def require_own_host(host: str, environment: str, *, production: Collection[str]) -> None:
    """Production's hosts are those of identities.toml; another environment's are at the vendors, and none of these.

    Errors: WrongEnvironmentError.
    """
    if environment == "production":
        is_own, why = host in production, "it is not among production's hosts in identities.toml"
        next_step = "add it to hosts under [production] in identities.toml, or correct it in pantheon.toml"
    else:
        is_own = host not in production and host.endswith(_OF_VENDORS)
        why = "it is production's" if host in production else f"it ends in none of {', '.join(_OF_VENDORS)}"
        next_step = f"correct the hosts of environments.{environment} in pantheon.toml"
    if not is_own:
        raise WrongEnvironmentError(
            f"{host} is not a host of {environment}", why=why, state="nothing was sent to it", next_step=next_step
        )
