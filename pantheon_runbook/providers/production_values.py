"""Production's own Railway variables with their values: the one place that reads them, for `init --pin-production`.

No run, no plan and no check imports this module (tests/core/test_structure.py): they compare with the pins.
"""

from __future__ import annotations

from pantheon_runbook.isolation.survey import RailwayEnvironment
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.railway import RailwayApi

SHARED = "shared"
_VALUES = reads("""
query ProductionValues($projectId: String!, $environmentId: String!, $serviceId: String) {
  variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId)
}""")


def production_values(api: RailwayApi, production: RailwayEnvironment) -> list[tuple[str, dict[str, str]]]:
    """(service, values by name) with references resolved; sealed ones are not in Railway's answer.

    Pairs, since a service may be called like another one, and none of them may be lost.
    """
    places = [(SHARED, None), *((service.name, service.id) for service in production.services)]
    return [(name, _values(api, production, service_id)) for name, service_id in places]


def _values(api: RailwayApi, production: RailwayEnvironment, service_id: str | None) -> dict[str, str]:
    where = {"projectId": production.project_id, "environmentId": production.id, "serviceId": service_id}
    values = api.query(_VALUES, where)["variables"]
    return {name: value for name, value in values.items() if not name.startswith("RAILWAY_")}
