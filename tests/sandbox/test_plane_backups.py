"""What the vendor says a project can be restored from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from plane_cloud import AT, Cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


def listed(cloud: Cloud, ref: str = "") -> Any:
    return cloud.supabase("GET", f"/v1/projects/{ref or cloud.facts['supabase']['ref']}/database/backups").json()


def remembered(cloud: Cloud) -> dict[str, Any]:
    return cloud.world.document["supabase"]["projects"][cloud.facts["supabase"]["ref"]]


def test_pro_plan_has_seven_daily_backups(cloud: Cloud) -> None:
    """As in the fresh world: the last a few hours old, no point in time."""
    cloud.world.pinned_at = AT
    remembered(cloud)["backup_schedule"] = "04:00:00"

    found = listed(cloud)

    taken = [one["inserted_at"] for one in found["backups"]]
    assert (False, {}) == (found["pitr_enabled"], found["physical_backup_data"])
    assert [f"2026-11-{day}T04:00:00.000000Z" for day in range(23, 16, -1)] == taken
    assert {"COMPLETED"} == {one["status"] for one in found["backups"]}
    ids = [one["id"] for one in found["backups"]]
    assert ids == sorted(set(ids), reverse=True)


def test_backup_of_today_comes_at_its_time(cloud: Cloud) -> None:
    remembered(cloud)["backup_schedule"] = "08:30:00"
    newest = []
    for minutes in (0, 31):
        cloud.world.pinned_at = AT + 60 * minutes
        newest.append(listed(cloud)["backups"][0]["inserted_at"][:16])
    assert ["2026-11-22T08:30", "2026-11-23T08:30"] == newest


def test_new_project_and_free_plan_have_none(cloud: Cloud) -> None:
    assert [] == listed(cloud, cloud.project())["backups"]
    cloud.world.document["supabase"]["organizations"][cloud.facts["supabase"]["organization_slug"]]["plan"] = "free"
    assert [] == listed(cloud)["backups"]


def test_point_in_time_takes_the_place_of_daily_backups(cloud: Cloud) -> None:
    cloud.world.pinned_at = AT
    remembered(cloud)["point_in_time"] = {"from": AT - 604800, "until": None}

    found = listed(cloud)

    assert (True, []) == (found["pitr_enabled"], found["backups"])
    assert [AT - 604800, AT - 90] == list(found["physical_backup_data"].values())
