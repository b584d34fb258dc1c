from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sandbox"))

import validate
from plane_cloud import Cloud

MISSING = f"the official descriptions are not in {validate.specs_folder()}: set PANTHEON_SPECS to their folder"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not validate.specs_folder().is_dir():
        for item in items:
            if item.get_closest_marker("contract"):
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


@pytest.fixture
def problems(cloud: Cloud) -> list[str]:
    """What the official descriptions find wrong with everything that goes through `cloud` from now on."""
    found: list[str] = []

    def observe(request: Any, response: Any) -> None:
        sent = validate.json.loads(request.content) if request.content else None
        answered = response.json() if response.content else None
        found.extend(validate.check_exchange(request.method, str(request.url), sent, response.status_code, answered))

    cloud.observers.append(observe)
    return found
