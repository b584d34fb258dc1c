"""What a project can be restored from: daily backups of a paid plan, or any point in time with the add-on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.supabase.state import project_of, stamp, vendor_of
from pantheon_runbook.sandbox.world import Record

DAYS_KEPT: Final = 7  # of the Pro plan; Team has 14, Enterprise 30
_BEHIND: Final = timedelta(seconds=90)  # the vendor puts the log away every two minutes


async def list_backups(request: Request) -> Response:
    """With point in time switched on no daily backups are taken; the free plan has none to restore from.

    Of a project's memory: "backups" is a list that stands there instead of the daily ones, and "point_in_time" is
    {"from": unix seconds, "until": unix seconds, or null for one that goes on}.
    """
    project, vendor = project_of(request), vendor_of(request)
    plan, window = vendor.organizations[project["organization_slug"]]["plan"], project.get("point_in_time")
    now, taken = vendor.world.now(), project.get("backups")
    if taken is None:
        taken = [] if plan == "free" or window else list(_daily(project, now))
    return JSONResponse(
        {
            "region": project["region"],
            "walg_enabled": plan != "free",
            "pitr_enabled": bool(window),
            "backups": taken,
            "physical_backup_data": _bounds(window, now) if window else {},
        }
    )


def _bounds(window: Record, now: datetime) -> Record:
    until = (now - _BEHIND).timestamp() if window["until"] is None else window["until"]
    return {
        "earliest_physical_backup_date_unix": int(window["from"]),
        "latest_physical_backup_date_unix": int(until),
    }


def _daily(project: Record, now: datetime) -> Iterator[Record]:
    """One each day at the same time, the newest first, since the project was made."""
    made = datetime.fromisoformat(project["created_at"])
    at = time.fromisoformat(project.get("backup_schedule", made.strftime("%H:%M:%S")))
    newest = datetime.combine(now.date(), at, now.tzinfo)
    newest -= timedelta(days=newest > now)
    for days in range(DAYS_KEPT):
        one = newest - timedelta(days=days)
        if one > made:
            yield backup(one, number=project["number"])


def backup(at: datetime, *, number: int, status: str = "COMPLETED", is_physical: bool = True) -> Record:
    """One of the list; ids go up from day to day."""
    identifier = number + int(at.timestamp() // 60)
    return {"id": identifier, "is_physical_backup": is_physical, "status": status, "inserted_at": stamp(at)}
