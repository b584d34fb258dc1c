"""What RB-010 leaves to people: names that production has and pantheon.toml gives staging no value for."""

from __future__ import annotations

from typing import Any

from test_deploying import config

from pantheon_runbook.config import Variable
from pantheon_runbook.model import Resource, Snapshot
from pantheon_runbook.provisioning import manual_steps


def steps(*variables: Variable, **seen: Any) -> list[str]:
    resources = tuple(Resource(f"production/variables/{vendor}", "present", held) for vendor, held in seen.items())
    of = config().model_copy(update={"variables": variables})
    whole = manual_steps(of, "staging", Snapshot("sandbox", "staging", {}, {}, resources, (), ""))
    return [step for step in whole if step.startswith("variables of")]


def test_backend_variable_nobody_names_is_a_step() -> None:
    """Of our services only: another one's variables are nobody's business here."""
    named = Variable(name="DATABASE_URL", targets=("railway:api",), source="database.session_url")
    seen = {"api": ["CORS_ORIGINS", "DATABASE_URL", "SESSION_SECRET"], "billing": ["STRIPE_KEY"]}

    (step,) = steps(named, railway=seen)
    assert step.startswith("variables of railway:api: production has CORS_ORIGINS, SESSION_SECRET, pantheon.toml")


def test_frontend_variable_nobody_names_is_a_step() -> None:
    (step,) = steps(vercel={"names": ["SESSION_COOKIE_SECRET"]})
    assert "vercel:preview: production has SESSION_COOKIE_SECRET" in step


def test_nothing_is_said_to_be_missing_where_nothing_is_shown() -> None:
    assert [] == steps()
