"""Projects on their way: COMING_UP, RESTORING and PAUSING end when the server is real and the pace has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pantheon_runbook.sandbox.planes.supabase.state import Supabase, is_up
from pantheon_runbook.sandbox.world import Record


def advance(vendor: Supabase) -> None:
    """Set every project in motion that is on its way; also picks up what an ended process left half-way."""
    for ref, project in vendor.projects.items():
        step = _STEPS.get(project["status"])
        if step is None and is_up(project) and not project["services_ready"]:
            step = _services_come_up
        if step is not None:
            vendor.work.start(ref, _bound(step, vendor, project), failed=_fail(project))


def _bound(
    step: Callable[[Supabase, Record], Awaitable[None]], vendor: Supabase, project: Record
) -> Callable[[], Awaitable[None]]:
    return lambda: step(vendor, project)


def _fail(project: Record) -> Callable[[Exception], None]:
    def failed(_error: Exception) -> None:
        project["status"] = _AFTER_FAILURE.get(project["status"], "ACTIVE_UNHEALTHY")

    return failed


async def _come_up(vendor: Supabase, project: Record) -> None:
    await asyncio.gather(
        vendor.platform.create_cluster(project["ref"], project["pending_password"]),
        asyncio.sleep(vendor.world.pace.project_coming_up_seconds),
    )
    del project["pending_password"]
    await _services_come_up(vendor, project)


async def _restore(vendor: Supabase, project: Record) -> None:
    await asyncio.gather(
        vendor.platform.resume_cluster(project["ref"]),
        asyncio.sleep(vendor.world.pace.project_coming_up_seconds),
    )
    await _services_come_up(vendor, project)


async def _services_come_up(vendor: Supabase, project: Record) -> None:
    """The project says ACTIVE_HEALTHY some time before its services and keys answer."""
    project["status"] = "ACTIVE_HEALTHY"
    await asyncio.sleep(vendor.world.pace.services_coming_up_seconds)
    project["services_ready"] = True


async def _pause(vendor: Supabase, project: Record) -> None:
    await vendor.platform.pause_cluster(project["ref"])
    project["services_ready"] = False
    project["status"] = "INACTIVE"


_STEPS: Final[dict[str, Callable[[Supabase, Record], Awaitable[None]]]] = {
    "COMING_UP": _come_up,
    "RESTORING": _restore,
    "PAUSING": _pause,
}
_AFTER_FAILURE: Final = {"COMING_UP": "INIT_FAILED", "RESTORING": "RESTORE_FAILED", "PAUSING": "PAUSE_FAILED"}
