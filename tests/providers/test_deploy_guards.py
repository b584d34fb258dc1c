"""What keeps a deployment from reaching production, or production's secrets from reaching staging."""

from __future__ import annotations

from typing import Any

import pytest
from railway_place import Place

from pantheon_runbook.config import Frontend, Railway
from pantheon_runbook.errors import RefusedError, VendorRefusedError
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.model import Change
from pantheon_runbook.providers.http import Client, WriteGate
from pantheon_runbook.providers.railway_sources import ProductionSources, SourceKind
from pantheon_runbook.providers.vercel_deploys import PreviewDeployment
from pantheon_runbook.secrets import Registry, Vault

pytestmark = pytest.mark.xdist_group("railway-place")


def around(**held: str) -> Surroundings:
    vault = Vault(Registry(), salt="ab" * 32)
    for name, value in held.items():
        vault.hold(name.replace("__", "."), value, secret=False)
    return Surroundings(vault, 1.0, lambda _words: None)


@pytest.mark.rare
def test_source_is_not_set_beside_other_environments(place: Place) -> None:
    """Production's own project, in which staging would be one of two environments."""
    given = {"projectId": place.production["project_id"], "name": "beside-production", "skipInitialDeploys": True}
    own = place.do("environmentCreate", "EnvironmentCreateInput", "{ id }", **given)["id"]
    service = place.service("api", place.production)["serviceId"]
    held = {"railway__project_id": given["projectId"], "railway__environment_id": own, "railway__service.api": service}
    kind = SourceKind(place.api, Railway(layout="shared-project"), around(**held), services=("api",))
    change = Change("railway/source/api", "update", {}, {"start_command": "other"}, (), "", "")

    with pytest.raises(RefusedError) as stopped:
        kind.write(change)

    place.hands.railway("mutation M($id: String!) { environmentDelete(id: $id) }", id=own)
    assert "serviceInstanceUpdate would also set it in production" in stopped.value.why


def test_command_with_a_secret_is_not_shown(place: Place) -> None:
    """Set in production by hand, read for staging's sources."""
    place.instance("worker", of=place.production, startCommand="python -m worker --token=Zx9secretZx9")
    seen = {one.address: one.attributes for one in ProductionSources(place.api, **place.production).look().resources}
    place.instance("worker", of=place.production, startCommand="python -m worker")

    assert {"unreadable": True} == seen["production/source/worker"]["start_command"]
    assert "python -m app" == seen["production/source/api"]["start_command"]


def test_deployment_for_production_is_told_at_once(client: Client, gate: WriteGate, stub: Any) -> None:
    gate.accepted = frozenset({"prj_1"})
    kind = PreviewDeployment(client, Frontend(vercel_project="prj_1", vercel_team="t"), around(), branch="staging")
    kind._project = {"name": "web", "link": {"type": "github", "repoId": 7}}
    stub.will_answer(200, {"id": "dpl_1", "target": "production"})

    with pytest.raises(VendorRefusedError) as stopped:
        kind.write(Change("vercel/deployment/preview", "create", {}, {"commit": "a" * 40}, (), "", ""))

    assert "made a deployment for production" in stopped.value.what
    assert "cancel dpl_1" in stopped.value.next_step
