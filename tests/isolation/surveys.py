"""Made-up surveys: a production, a staging somebody made by hand, and twins where a test wants them."""

from __future__ import annotations

from dataclasses import replace

from pantheon_runbook.isolation.choosing import Wanted
from pantheon_runbook.isolation.survey import (
    Names,
    RailwayEnvironment,
    RailwayService,
    SupabaseProject,
    Survey,
    VercelProject,
)

PRODUCTION = SupabaseProject("p" * 20, "main-database", "eu-west-1", "ACTIVE_HEALTHY", "o" * 20, "Pantheon", "pro")
STAGING = replace(PRODUCTION, ref="s" * 20, name="staging-by-hand")
API = RailwayService("service-api", "api", "backend", ("api.example.app",), is_store=False)
WORKER = RailwayService("service-worker", "worker", ".", (), is_store=False)
REDIS = RailwayService("service-redis", "Redis", ".", (), is_store=True)
LIVE = RailwayEnvironment("e-1", "production", "p-1", "pantheon", "w-1", "Team", (REDIS, API, WORKER))
BESIDE = replace(LIVE, id="e-2", name="staging")
APART = replace(LIVE, id="e-3", name="staging", project_id="p-2", project="pantheon-by-hand")
WEB = VercelProject("prj_1", "web", "team_1", "pantheon", "nextjs", "main", ("web.example.app",))
SURVEY = Survey((PRODUCTION, STAGING), (LIVE, BESIDE, APART), (WEB,), has_management_key=True)
SAID = Wanted("live", "main-database", "staging-by-hand", "pantheon/production", "pantheon-by-hand/staging")
NAMES = Names(
    {
        "api": ("DATABASE_URL", "DIRECT_URL", "LOG_LEVEL", "STRIPE_API_URL", "mixedCase"),
        "worker": ("DATABASE_URL", "REDIS_URL"),
        "Redis": ("REDIS_PASSWORD",),
    },
    ("NEXT_PUBLIC_API_URL", "VITE_SUPABASE_ANON_KEY", "STRIPE_API_URL"),
    ("OPENROUTER_API_KEY", "SENTRY_DSN"),
)
