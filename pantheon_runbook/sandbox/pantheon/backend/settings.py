"""What the backend takes from its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

JOBS_QUEUED = "pantheon:jobs"  # the Redis lists between API and worker
JOBS_IN_HAND = "pantheon:jobs:in-hand"
NEEDED = (
    "DATABASE_POOL_URL",
    "REDIS_URL",
    "SUPABASE_URL",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "OPENROUTER_API_KEY",
)


class MissingVariableError(Exception):
    """One or more variables are not set; the message names them and shows no value."""


@dataclass(frozen=True, repr=False)
class Settings:
    """The environment as values; never shown, since most of them are secrets."""

    database_pool_url: str
    redis_url: str
    supabase_url: str
    supabase_anon_key: str
    supabase_service_role_key: str
    openrouter_api_key: str
    openrouter_model: str
    log_level: str
    environment: str
    port: int
    release: str  # by the commit that it was built of; "" outside Railway

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Raises MissingVariableError that names every variable that is not set or empty."""
        if missing := [name for name in NEEDED if not environment.get(name)]:
            raise MissingVariableError(f"these variables are not set: {', '.join(missing)}")
        return cls(
            **{name.lower(): environment[name] for name in NEEDED},
            openrouter_model=environment.get("OPENROUTER_MODEL", ""),
            log_level=environment.get("LOG_LEVEL", "info").lower(),
            environment=environment.get("RAILWAY_ENVIRONMENT_NAME", ""),
            port=int(environment.get("PORT", "8000")),
            release=environment.get("RAILWAY_GIT_COMMIT_MESSAGE", ""),
        )


def from_environment() -> Settings:
    """The settings of this process; ends it with one clear line when something is missing."""
    try:
        return Settings.of(os.environ)
    except MissingVariableError as error:
        sys.exit(f"cannot start: {error}")
