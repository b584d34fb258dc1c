"""Production's own Railway variables with their values: the one place that reads them, for `init --pin-production`.

No run, no plan and no check imports this module (tests/core/test_structure.py): they compare with the pins.
"""

from __future__ import annotations

from pantheon_runbook.isolation.survey import RailwayEnvironment
from pantheon_runbook.providers.railway import RailwayApi

SHARED = "shared"
_VALUES = """
query ProductionValues($projectId: String!, $environmentId: String!, $serviceId: String) {
  variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId)
}"""


def production_values(api: RailwayApi, production: RailwayEnvironment) -> dict[str, dict[str, str]]:
    """Values by name, by service, with their references resolved; sealed ones are not in Railway's answer."""
    places: dict[str, str | None] = {SHARED: None, **{service.name: service.id for service in production.services}}
    where = {"projectId": production.project_id, "environmentId": production.id}
    return {
        name: {
            key: value
            for key, value in api.query(_VALUES, {**where, "serviceId": service_id})["variables"].items()
            if not key.startswith("RAILWAY_")
        }
        for name, service_id in places.items()
    }
