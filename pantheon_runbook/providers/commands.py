"""Commands and addresses that people wrote into a vendor's settings: what may be shown of them. Pure.

People write secrets into both, in forms that look like nothing (`curl -u a:S`, `mysql -pS`, "?key=S"). So a command
is never shown: it is compared by its fingerprint, and told by the program that it runs and whether it migrates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pantheon_runbook.kind import Fingerprint
from pantheon_runbook.secrets import has_token_shape

# A migration tool, its verb or a script named for it: a command with one in it runs it at every deploy.
_MIGRATES = re.compile(
    r"migrat|alembic|flyway|liquibase|sqitch|dbmate|\bgoose\b|\batlas\b|prisma\s+db\b|\bdb[:\s]push|drizzle-kit"
    r"|supabase\s+db\b|\bpsql\b|\bknex\b|sequelize",
    re.IGNORECASE,
)
# Only a name on this list is shown: the first word of a command may be anything, a secret too.
_PROGRAMS = frozenset({
    "alembic", "arq", "bash", "bun", "bunx", "celery", "corepack", "curl", "deno", "echo", "flyway", "gunicorn",
    "hypercorn", "make", "mysql", "next", "node", "npm", "npx", "pip", "pipenv", "pnpm", "poetry", "psql", "pytest",
    "python", "python3", "redis-server", "rq", "sh", "supabase", "turbo", "uv", "uvicorn", "vercel", "yarn",
})  # fmt: skip
_FIRST_WORD = re.compile(r"\s*(?:env\s+)?(?:\w+=(?:'[^']*'|\"[^\"]*\"|[^\s'\"]*)\s+)*([\w./-]+)")
_WORDS = r"(?:pass|pwd|secret|token|key|auth)"
_MAY_HOLD_SECRET = re.compile(
    r"://[^/\s,]*@"  # a URL with a name or a password
    r"|(?:://\S*|^/\S*)[?#;][^\s,]"  # an address with more than its path
    r"|(?<![:/])/(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{20,}"  # a part of a path that nobody would think of
    rf"|{_WORDS}\w*=['\"]?[^\s$'\"]"  # NAME=value or --name=value, but not a reference to a variable
    rf"|-[\w-]*{_WORDS}[\w-]*\s+['\"]?[^\s$'\"-]"  # --name value
    r"|(?:authorization|api-key):\s*\S",
    re.IGNORECASE,
)


def command_of(value: str | Sequence[str] | None) -> str:
    """One text of a command; Railway's pre-deploy command is a list."""
    return value or "" if isinstance(value, str) or value is None else " && ".join(value)


def migrates(command: str) -> str:
    """The word in it that says so, "" when none does."""
    found = _MIGRATES.search(command)
    return found.group().lower() if found else ""


def program_of(command: str) -> str:
    """What it runs first, when that is one of the usual programs."""
    found = _FIRST_WORD.match(command)
    name = found.group(1).rpartition("/")[2] if found else ""
    return name if name in _PROGRAMS else "a program of its own"


def in_words(command: str) -> str:
    """For a reader: "runs python", "runs alembic, which migrates"."""
    return f"runs {program_of(command)}{', and migrates' if migrates(command) else ''}"


def compared(value: str | Sequence[str] | None, fingerprint: Fingerprint) -> dict[str, Any] | None:
    """As an attribute: to be held against another one's, and safe to show; None where there is no command."""
    command = command_of(value)
    if not command:
        return None
    summary = {"program": program_of(command), "migrates": bool(migrates(command))}
    return {"fingerprint": fingerprint(command), **summary}


def may_hold_secret(text: str) -> bool:
    """Whether a setting has a token, a credential or an assignment to something secret written into it."""
    return has_token_shape(text) or _MAY_HOLD_SECRET.search(text) is not None


def shown(text: str, fingerprint: Fingerprint) -> Any:
    """A setting as it is; what may hold a secret as its fingerprint."""
    return {"fingerprint": fingerprint(text)} if may_hold_secret(text) else text


def address_shown(url: str, fingerprint: Fingerprint) -> str:
    """One of a list of URLs, which stays a URL: its host is looked at, what may hold a secret is a fingerprint."""
    if not may_hold_secret(url):
        return url
    scheme, has_host, rest = url.partition("://")
    host = re.split(r"[/?#;]", rest)[0].rpartition("@")[2]
    told = f"{scheme}://{host}/" if has_host and not has_token_shape(f"{scheme} {host}") else ""
    return f"{told}?fingerprint={fingerprint(url)}"
