"""Deploying a provisioned, migrated staging: sources, commits, a preview, and what it says when one fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from release import Stage, staged

pytestmark = pytest.mark.xdist_group("deploys")


@pytest.fixture(scope="module")
def stage(new_world: Any) -> Iterator[Stage]:
    with staged(new_world) as stage:
        yield stage


def test_first_release_deploys_and_is_proven(stage: Stage) -> None:
    ended = stage.release()
    print(ended.error)
    for check in ended.checks.values():
        print(check)
    print(ended.changed)
    print(ended.definition.notes)
    assert ended.error is None
