"""The customer's side of the sandbox: config, production's pins, a supervisor's credentials, as a team keeps them.

Written by whoever holds production (here: the sandbox itself); the product reads the three files and nothing else.
"""

from __future__ import annotations

import hashlib
import sys
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from pantheon_runbook.checks import ProductionRead
from pantheon_runbook.database.kinds import MAKE_TABLE, let_read, mark
from pantheon_runbook.database.migrations import alembic_process, baseline, ledger
from pantheon_runbook.database.migrations.alembic_process import Backend
from pantheon_runbook.database.migrations.baseline import Stated
from pantheon_runbook.database.read_role import creation_sql
from pantheon_runbook.database.rehearsals.dump_role import dump_role_sql
from pantheon_runbook.sandbox import network
from pantheon_runbook.sandbox.control import Running
from pantheon_runbook.sandbox.pantheon import backend
from pantheon_runbook.secrets import fingerprint, is_pinnable

_CONFIG = """\
cloud = "sandbox"
product = "pantheon"

[environments.production]
supabase = {{ ref = "{ref}", name = "{project_name}", organization = "{organization}" }}
railway = {{ project = "{railway_project}", environment = "{railway_environment}", environment_name = "production" }}
vercel = {{ target = "production" }}

[environments.staging]
supabase = {{ name = "pantheon-staging", organization = "{organization}", region = "eu-west-1" }}
railway = {{ layout = "own-project", workspace = "{workspace}", project_name = "pantheon-staging" }}
vercel = {{ target = "preview", site_url = "https://{site_host}", redirect_urls = ["{preview_pattern}"] }}
openrouter = {{ key_name = "pantheon-staging", limit_usd = 20.0, limit_reset = "monthly" }}

[backend]
alembic = "{alembic}"
python = "{python}"
seed = "{seed}"
background_jobs = true
release_branch = "staging"
services = [
  {{ name = "api", root = "backend", public = true }},
  {{ name = "worker", root = "backend", is_worker = true }},
]

[frontend]
vercel_project = "{vercel_project}"
vercel_team = "{vercel_team}"
"""
_VARIABLES = (
    ("DATABASE_URL", ("railway:api", "railway:worker"), "database.session_url", True),
    ("DATABASE_POOL_URL", ("railway:api", "railway:worker"), "database.pool_url", True),
    ("SUPABASE_URL", ("railway:api", "railway:worker"), "supabase.url", False),
    ("SUPABASE_ANON_KEY", ("railway:api", "railway:worker"), "supabase.anon_key", True),
    ("SUPABASE_SERVICE_ROLE_KEY", ("railway:api", "railway:worker"), "supabase.service_role_key", True),
    ("REDIS_URL", ("railway:api", "railway:worker"), "redis.url", False),
    ("OPENROUTER_API_KEY", ("railway:api", "railway:worker", "supabase:secrets"), "openrouter.key", True),
    ("OPENROUTER_MODEL", ("railway:api", "railway:worker"), "literal:openrouter/auto", False),
    ("LOG_LEVEL", ("railway:api", "railway:worker"), "literal:debug", False),
    ("NEXT_PUBLIC_API_URL", ("vercel:preview",), "railway.api_url", False),
    ("NEXT_PUBLIC_SUPABASE_URL", ("vercel:preview",), "supabase.url", False),
    ("NEXT_PUBLIC_SUPABASE_ANON_KEY", ("vercel:preview",), "supabase.anon_key", True),
    ("SENTRY_DSN", ("supabase:secrets",), "credentials.SENTRY_DSN", True),
    ("SESSION_SIGNING_KEY", ("supabase:secrets",), "credentials.SESSION_SIGNING_KEY", True),
)
_PROOFS = """
[staging_proof]
health = "/health"
json_fields = { status = "ok", database = "ok", redis = "ok" }
revision_field = "revision"
supabase_field = "supabase"

[[proofs]]
name = "a session is written and read back"
path = "/sessions"
body = { title = "proof of staging" }
read = "/sessions/{id}"
json_fields = { title = "proof of staging" }
delete = "/sessions/{id}"

[[proofs]]
name = "a job reaches the worker"
uses = "a session is written and read back"
path = "/jobs"
body = { session_id = "{id}" }
status = 202
read = "/jobs/{id}"
json_fields = { state = "done" }
seconds = 30.0
"""
# As few as tell whether production answers; it sleeps after a world was loaded, and its first answer takes seconds.
_CHECKS = """
[[checks]]
name = "the API is healthy"
kind = "http"
on = "backend"
path = "/health"
json_fields = { status = "ok", database = "ok", redis = "ok" }
latency_ms = 10_000
environments = ["staging", "production"]

[[checks]]
name = "the site answers"
kind = "http"
on = "frontend"
path = "/"
environments = ["staging", "production"]

[[checks]]
name = "the schema has one revision"
kind = "sql"
query = "select version_num from public.alembic_version"
columns = ["version_num"]
rows = 1
environments = ["staging", "production"]
"""

_ALEMBIC = Path(backend.__file__).with_name("alembic.ini")
_OPEN_WAYS = (
    "railway/members", "railway/trigger/api", "railway/trigger/worker", "supabase/legacy-keys", "supabase/network",
    "supabase/ssl",
)  # fmt: skip
_ACCEPTED = """
[[accepted_exposures]]
address = "{address}"
owner = "ops"
reason = "open in the sandbox"
expires = "2999-12-31"
"""

_READ = ProductionRead(relations=("public.alembic_version",))
_READ_PASSWORDS = (_READ.password, _READ.dump_password)
_PINNED = {
    "DATABASE_URL": ("supabase", "session_url"),
    "DATABASE_POOL_URL": ("supabase", "transaction_url"),
    "database password": ("supabase", "password"),
    "SUPABASE_URL": ("supabase", "url"),
    "SUPABASE_ANON_KEY": ("supabase", "anon_key"),
    "SUPABASE_SERVICE_ROLE_KEY": ("supabase", "service_role_key"),
    "publishable key": ("supabase", "publishable_key"),
    "secret key": ("supabase", "secret_key"),
    "OPENROUTER_API_KEY": ("openrouter", "key"),
}


def give_read_roles(running: Running) -> None:
    """Production's holder runs what `read-role` prints, with and without --dump, and hands the two passwords over."""
    folder, values = files(running), _make_read_roles(running)
    with (folder / "pantheon.toml").open("a") as config, (folder / "credentials.toml").open("a") as credentials:
        config.write(f'\n[production_read]\nrelations = ["{_READ.relations[0]}"]\n')
        credentials.writelines(f'{name} = "{value}"\n' for name, value in values.items())


def _make_read_roles(running: Running) -> dict[str, str]:
    """Their passwords by the names that they have in the credentials file; of one production always the same."""
    held = running.facts()["supabase"]["password"]
    values = {name: hashlib.sha256(f"{held} {name}".encode()).hexdigest() for name in _READ_PASSWORDS}
    with _production(running) as connection:
        for script in (creation_sql(_READ), dump_role_sql(_READ)):
            connection.execute(script.encode())
        for role, name in ((_READ.role, _READ.password), (_READ.dump_role, _READ.dump_password)):
            connection.pgconn.change_password(role.encode(), values[name].encode())
    return values


def make_promotable(running: Running) -> None:
    """Production's holder closes what would let a build go live by itself, and declares the ways in that stay open."""
    _keep_the_domains(running)
    with (files(running) / "pantheon.toml").open("a") as config:
        config.writelines(_ACCEPTED.format(address=address) for address in _OPEN_WAYS)


def _keep_the_domains(running: Running) -> None:
    """A finished build takes no domain by itself."""
    facts = running.facts()["vercel"]
    path = f"/v9/projects/{facts['project_id']}?teamId={facts['team_id']}"
    running.call("api.vercel.com", "PATCH", path, {"autoAssignCustomDomains": False}, token=facts["token"])


def prepare(running: Running) -> None:
    """What a customer has done by the time that F25 is kept: its production can be read, and promoted to.

    Files that say so already are left as they are: a world that was put back is prepared anew below them.
    """
    if (running.folder / "customer").exists():
        _make_read_roles(running)
        _keep_the_domains(running)
        return
    give_read_roles(running)
    make_promotable(running)


def hold_ledger(running: Running, *, at: str) -> None:
    """What a first promotion leaves in production's database: its mark, and a ledger that begins at this revision.

    The read roles have been given before.
    """
    tree = alembic_process.history(Backend(_ALEMBIC, sys.executable))
    by = {"run_id": hashlib.sha256(b"the first promotion").hexdigest()[:32], "operator": "release-manager"}
    with _production(running) as connection:
        connection.execute(MAKE_TABLE.encode())
        mark(connection, environment="production", cloud="sandbox", ref=running.facts()["supabase"]["ref"])
        ledger.make(connection)
        baseline.accept(connection, tree, Stated.of(at), version_table="public.alembic_version", **by)
        for role in (_READ.role, _READ.dump_role):
            let_read(connection, role)


def _production(running: Running) -> psycopg.Connection[Any]:
    """Production's database as its owner."""
    url = running.facts()["supabase"]["session_url"]
    parts = urllib.parse.urlsplit(url)
    place = network.resolve(str(parts.hostname), parts.port or 5432, running.networks_file)
    assert place is not None
    return psycopg.connect(make_conninfo(url, hostaddr=place[0], port=place[1]), autocommit=True)


def files(running: Running) -> Path:
    """The folder with pantheon.toml, identities.toml and credentials.toml (0600) of this sandbox; made once."""
    folder = running.folder / "customer"
    if not (folder / "pantheon.toml").exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = running.facts()
        salt = hashlib.sha256(f"salt of {facts['supabase']['ref']}".encode()).hexdigest()
        _write(folder / "credentials.toml", _credentials(facts, salt))
        _write(folder / "identities.toml", _identities(facts, salt))
        _write(folder / "pantheon.toml", _config(facts))
    return folder


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _config(facts: Mapping[str, Any]) -> str:
    project, team = facts["vercel"]["project_name"], facts["vercel"]["team_slug"]
    text = _CONFIG.format(
        ref=facts["supabase"]["ref"],
        project_name=facts["supabase"]["project_name"],
        organization=facts["supabase"]["organization_slug"],
        railway_project=facts["railway"]["project_id"],
        railway_environment=facts["railway"]["environment_id"],
        workspace=facts["railway"]["workspace_id"],
        vercel_project=facts["vercel"]["project_id"],
        vercel_team=facts["vercel"]["team_id"],
        alembic=_ALEMBIC,
        python=sys.executable,
        seed=Path(backend.__file__).with_name("seed.py"),
        site_host=f"{project}-git-staging-{team}.vercel.app",
        preview_pattern=f"https://{project}-*-{team}.vercel.app/**",
    )
    for name, targets, source, secret in _VARIABLES:
        listed = ", ".join(f'"{target}"' for target in targets)
        text += f'\n[[variables]]\nname = "{name}"\ntargets = [{listed}]\nsource = "{source}"\n'
        text += "" if secret else "secret = false\n"
    return text + _PROOFS + _CHECKS


def _identities(facts: Mapping[str, Any], salt: str) -> str:
    """Pins of every production value that a fingerprint does not give away."""
    pinned = {name: facts[vendor][held] for name, (vendor, held) in _PINNED.items()}
    lines = [f'"{name}" = "{fingerprint(salt, value)}"' for name, value in pinned.items() if is_pinnable(value)]
    return (
        f'salt = "{salt}"\n\n[production]\nsupabase_ref = "{facts["supabase"]["ref"]}"\n'
        f'railway_project = "{facts["railway"]["project_id"]}"\n'
        f'railway_environment = "{facts["railway"]["environment_id"]}"\n'
        f'vercel_project = "{facts["vercel"]["project_id"]}"\npinned_at = "2026-11-01T08:00:00Z"\n'
        f'hosts = ["{facts["railway"]["api_domain"]}", "{facts["vercel"]["domain"]}"]\n\n'
        "[production.pins]\n" + "\n".join(lines) + "\n"
    )


def _credentials(facts: Mapping[str, Any], salt: str) -> str:
    """Tokens of the vendors, and values for staging that the team has made for it."""
    tokens = "\n".join(f'{name} = "{value}"' for name, value in sorted(facts["tokens"].items()))
    values = "\n".join(
        f'{name} = "{hashlib.sha256(f"{salt} staging {name}".encode()).hexdigest()}"'
        for name in ("SENTRY_DSN", "SESSION_SIGNING_KEY")
    )
    production = f'[production]\npassword = "{facts["supabase"]["password"]}"\n'
    return f"[tokens]\n{tokens}\n\n{production}\n[values]\n{values}\n"
