"""Tokens, from the variables each vendor's own tools use or from a 0600 file; never from a notebook."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pantheon_runbook.config import read_regular
from pantheon_runbook.errors import CredentialError
from pantheon_runbook.secrets import SHORTEST_SECRET, Secret

FILE_VARIABLE = "PANTHEON_CREDENTIALS"
PRODUCTION_VARIABLE = "PANTHEON_PRODUCTION_PASSWORD"
TOKENS: Mapping[str, str] = {
    "SUPABASE_ACCESS_TOKEN": "supabase.com/dashboard/account/tokens",
    "RAILWAY_API_TOKEN": "railway.com/account/tokens",
    "VERCEL_TOKEN": "vercel.com/account/settings/tokens",
}
OPTIONAL_TOKENS: Mapping[str, str] = {"OPENROUTER_MANAGEMENT_KEY": "openrouter.ai/settings/management-keys"}


@dataclass(frozen=True)
class Credentials:
    """`tokens` by variable name; `values` are staging's own secrets that no vendor makes; `source` is shown.

    `production` is the password that migrates production, for whoever promotes: it is no value, so that no variable of
    staging's can be made from it.
    """

    tokens: Mapping[str, Secret]
    values: Mapping[str, Secret]
    source: str
    production: Secret | None = None

    def token(self, name: str) -> Secret:
        """The token. Errors: CredentialError that says where to get one."""
        if name in self.tokens:
            return self.tokens[name]
        raise CredentialError(
            f"{name} is missing",
            why=f"it is neither in the environment nor in {self.source}",
            next_step=f"make one at {(dict(TOKENS) | dict(OPTIONAL_TOKENS))[name]}, then set {name} or {FILE_VARIABLE}",
        )


def tokens_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the vendor tokens that are set, sorted."""
    return tuple(sorted(name for name in (*TOKENS, *OPTIONAL_TOKENS) if environment.get(name)))


def from_environment() -> Credentials:
    """The file named by PANTHEON_CREDENTIALS, else the vendors' own variables."""
    path = os.environ.get(FILE_VARIABLE)
    if path:
        return from_file(Path(path))
    tokens = {name: _token(name, os.environ[name], "the environment") for name in tokens_in(os.environ)}
    source = "the environment" if tokens else "a credentials file (none is named)"
    return Credentials(tokens, {}, source, _of_production(os.environ.get(PRODUCTION_VARIABLE, ""), "the environment"))


def from_file(path: Path) -> Credentials:
    """[tokens], [values] and [production] of a TOML file that only its owner can read."""
    text = private_text(path, what="the credentials file", next_step=f"correct it, or name another in {FILE_VARIABLE}")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CredentialError(
            f"the credentials file {path} cannot be read",
            why=f"{type(error).__name__}",
            next_step=f"correct it, or name another in {FILE_VARIABLE}",
        ) from error
    tokens = {key: _token(key, value, str(path)) for key, value in _texts(table, "tokens", path).items()}
    values = {key: _value(key, value, path) for key, value in _texts(table, "values", path).items()}
    held = _texts(table, "production", path).get("password") or os.environ.get(PRODUCTION_VARIABLE, "")
    return Credentials(tokens, values, str(path), _of_production(held, str(path)))


def private_text(path: Path, *, what: str, next_step: str) -> str:
    """What a file says that only its owner can read. Errors: CredentialError; nothing of the text is in it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = read_regular(path).decode()
    except (OSError, ValueError) as error:
        raise CredentialError(
            f"{what} {path} cannot be read", why=f"{type(error).__name__}", next_step=next_step
        ) from error
    if mode & 0o077:
        raise CredentialError(
            f"{what} {path} can be read by others", why=f"its mode is {mode:04o}", next_step=f"chmod 600 {path}"
        )
    return text


def _token(name: str, value: str, source: str) -> Secret:
    """A token goes into a header: what a copy took along around it is cut off, anything else odd is refused."""
    if re.fullmatch(r"[!-~]+", value.strip()):
        return Secret(value.strip())
    raise CredentialError(
        f"{name} in {source} is no token",
        why="it holds blanks, line breaks or other characters that no token has",
        next_step=f"copy it again from {({**TOKENS, **OPTIONAL_TOKENS}).get(name, 'its vendor')}",
    )


def _of_production(value: str, source: str) -> Secret | None:
    return _value("production.password", value, source) if value else None


def _value(name: str, value: str, path: Path | str) -> Secret:
    """A value that is too short cannot be kept out of the evidence: masking it would blank out half of every text."""
    if len(value.strip()) >= SHORTEST_SECRET:
        return Secret(value)
    raise CredentialError(
        f"the value of {name} in {path} is too short for a secret",
        why=f"what has fewer than {SHORTEST_SECRET} characters cannot be masked in the evidence",
        next_step=f'give {name} a longer value, or put it into pantheon.toml as "literal:..." if it is no secret',
    )


def _texts(table: Mapping[str, object], name: str, path: Path) -> dict[str, str]:
    section = table.get(name, {})
    if not isinstance(section, dict) or not all(isinstance(value, str) for value in section.values()):
        raise CredentialError(
            f"[{name}] in {path} is wrong", why="it holds something that is not text", next_step=f"correct {path}"
        )
    return {key: value for key, value in section.items() if value}
