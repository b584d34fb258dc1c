"""How what production would get relates to what staging has proven."""

from __future__ import annotations

from typing import Any

import pytest

from pantheon_runbook.promotion.artefacts import Artefact, artefact_findings, backend_artefact, frontend_artefact

API, WEB = "railway/deployment/api", "vercel/deployment/preview"
COMMIT, OTHER = "ab" * 20, "cd" * 20
IMAGE, ANOTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
BUILT = {"commit": COMMIT, "image_digest": IMAGE}

BACKEND: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "same image": (BUILT, BUILT, "same image digest", "met"),
    "to be built": (BUILT, {"commit": COMMIT}, "same commit, rebuilt", "weak"),
    "built again": (BUILT, {"commit": COMMIT, "image_digest": ANOTHER}, "same commit, rebuilt", "weak"),
    "digest of one is not known": ({"commit": COMMIT}, BUILT, "same commit, rebuilt", "weak"),
    "another commit": (BUILT, {"commit": OTHER}, "different", "blocks"),
    "another commit and image": (BUILT, {"commit": OTHER, "image_digest": ANOTHER}, "different", "blocks"),
    "no commit of staging's": ({"image_digest": IMAGE}, {"commit": COMMIT}, "not known", "blocks"),
    "nothing on staging": ({}, {"commit": COMMIT}, "not known", "blocks"),
    "nothing to promote": (BUILT, {}, "not known", "blocks"),
    "nothing at all": ({}, {}, "not known", "blocks"),
    "empty digests": ({"image_digest": ""}, {"image_digest": ""}, "not known", "blocks"),
    "image by digest": ({"image_digest": IMAGE}, {"image": f"ghcr.io/o/api@{IMAGE}"}, "same image digest", "met"),
    "image by another digest": ({"image_digest": IMAGE}, {"image": f"ghcr.io/o/api@{ANOTHER}"}, "different", "blocks"),
    "image by name": ({"image_digest": IMAGE}, {"image": "ghcr.io/o/api:latest"}, "not known", "blocks"),
    "image by name, of the commit": (BUILT, {"image": "ghcr.io/o/api:v2", "commit": COMMIT}, "not known", "blocks"),
}


@pytest.mark.parametrize("name", BACKEND)
def test_backend_is_the_same_image_or_says_what_it_is(name: str) -> None:
    staging, production, relation, standing = BACKEND[name]
    found = backend_artefact(API, staging=staging, production=production)

    assert (API, relation, standing) == (found.address, found.relation, found.standing)
    assert standing != "blocks" or found.next_step


PREVIEW = {"commit": COMMIT, "state": "READY", "id": "dpl_preview"}
STAGED = {"commit": COMMIT, "state": "READY", "substate": "STAGED", "target": "production", "id": "dpl_staged"}
FRONTEND: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "staged build": (PREVIEW, STAGED, "same commit, rebuilt", "weak"),
    "live already": (PREVIEW, {**STAGED, "substate": "PROMOTED"}, "same commit, rebuilt", "weak"),
    "to be built": (PREVIEW, {"commit": COMMIT}, "same commit, rebuilt", "weak"),
    "staged build that was proven itself": (STAGED, STAGED, "same build", "met"),
    "another commit": (PREVIEW, {**STAGED, "commit": OTHER}, "different", "blocks"),
    "another commit, to be built": (PREVIEW, {"commit": OTHER}, "different", "blocks"),
    "still building": (PREVIEW, {**STAGED, "state": "BUILDING", "substate": None}, "not known", "blocks"),
    "failed": (PREVIEW, {**STAGED, "state": "ERROR"}, "not known", "blocks"),
    "neither staged nor live": (PREVIEW, {**STAGED, "substate": None}, "not known", "blocks"),
    "the preview itself": (PREVIEW, PREVIEW, "not known", "blocks"),
    "no commit": (PREVIEW, {**STAGED, "commit": None}, "not known", "blocks"),
    "nothing on staging": ({}, STAGED, "not known", "blocks"),
    "nothing at all": ({}, {}, "not known", "blocks"),
}


@pytest.mark.parametrize("name", FRONTEND)
def test_frontend_is_a_production_build_of_the_commit(name: str) -> None:
    staging, production, relation, standing = FRONTEND[name]
    found = frontend_artefact(WEB, staging=staging, production=production)

    assert (WEB, relation, standing) == (found.address, found.relation, found.standing)
    assert standing != "blocks" or found.next_step


def judged(name: str) -> Artefact:
    staging, production, _, _ = BACKEND[name]
    return backend_artefact(API, staging=staging, production=production)


def test_weak_is_told_and_different_blocks() -> None:
    findings = artefact_findings([judged(name) for name in ("same image", "to be built", "another commit")])
    assert [("artefact-rebuilt", False), ("artefact-not-proven", True)] == [(one.code, one.blocks) for one in findings]
    assert "staging has proven abababababab, and cdcdcdcdcdcd would run" in findings[1].what


def test_check_says_that_it_is_weak() -> None:
    check = judged("built again").check
    assert (True, "same image digest") == (check.passed, check.expected)
    assert check.found.startswith("same commit, rebuilt (weak): commit abababababab; 2222-2222 is another build")
    assert not judged("another commit").check.passed
