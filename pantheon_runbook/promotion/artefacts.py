"""Whether production would get what staging has proven: the same image, the same commit built again, or another. Pure.

"The same commit" is not "the same artefact" (DESIGN 8): a build again can take other packages and other variables.
Attributes are those of the looks: "commit" and "image_digest" (`providers.railway_deploys`), "image" of a source that
is one (`providers.railway_sources`), "commit" and "state" of a frontend (`providers.vercel_deploys`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pantheon_runbook.model import Check, Finding, short_code

Standing = Literal["met", "weak", "blocks"]
SAME_IMAGE, SAME_BUILD = "same image digest", "same build"
REBUILT, DIFFERENT, NOT_KNOWN = "same commit, rebuilt", "different", "not known"
_STANDING: Mapping[str, Standing] = {
    SAME_IMAGE: "met", SAME_BUILD: "met", REBUILT: "weak", DIFFERENT: "blocks", NOT_KNOWN: "blocks",
}  # fmt: skip
_PINNED = re.compile(r"\S+@(sha256:[0-9a-f]{64})")
_STAGED = frozenset({"STAGED", "ROLLING", "PROMOTED"})


@dataclass(frozen=True, slots=True)
class Artefact:
    """One thing that is promoted: how what production would get relates to what staging has proven, and why so."""

    address: str
    relation: str
    why: str
    next_step: str = ""

    @property
    def standing(self) -> Standing:
        return _STANDING[self.relation]

    @property
    def in_words(self) -> str:
        return f"{self.relation} ({self.standing}): {self.why}"

    @property
    def check(self) -> Check:
        """For the table of a report; a weak one has passed, and says that it is weak."""
        return Check(self.address, SAME_IMAGE, self.in_words, self.standing != "blocks")


def backend_artefact(address: str, *, staging: Mapping[str, Any], production: Mapping[str, Any]) -> Artefact:
    """A service of the backend. `production` is what would run there: without an image yet it would be built."""
    ours, theirs = _digest_of(staging), _digest_of(production)
    if ours and ours == theirs:
        return Artefact(address, SAME_IMAGE, f"{_short(ours)} on both")
    if "image" in production and not theirs:
        step = f"pin it by its digest: {production['image']}@sha256:..., on staging first"
        return Artefact(address, NOT_KNOWN, f"{production['image']} is a name that may mean another image", step)
    if ours and theirs and not (staging.get("commit") or production.get("commit")):
        why = f"staging has proven {_short(ours)}, and {_short(theirs)} would run"
        return Artefact(address, DIFFERENT, why, "run RB-020 with the image that is to be promoted")
    built = (
        f"{_short(theirs)} is another build than {_short(ours)}" if ours and theirs else "it is built for production"
    )
    return _by_commit(address, staging, production, rebuilt=built)


def frontend_artefact(address: str, *, staging: Mapping[str, Any], production: Mapping[str, Any]) -> Artefact:
    """The page. `production` is {"commit"} when it is to be built yet, else its build: also "id", "target", "state",
    "substate".

    Only a build for production can be promoted as it is; a preview would be built again while it is promoted (FACTS 3).
    """
    build = production.get("id")
    if build and production.get("target") != "production":
        step = "make a production build without domains first, look at it, then promote that"
        return Artefact(address, NOT_KNOWN, f"{build} is a preview: promoting it would build another one", step)
    if build and production.get("state") != "READY":
        state = str(production.get("state") or "in no state that is known")
        return Artefact(address, NOT_KNOWN, f"{build} is {state}", "wait until it is READY, or build it again")
    if build and build == staging.get("id"):
        return Artefact(address, SAME_BUILD, f"{build} itself was proven")
    if build and production.get("substate") not in _STAGED:
        state = str(production.get("substate") or "neither staged nor promoted")
        return Artefact(address, NOT_KNOWN, f"{build} is {state}", "make a production build without domains again")
    built = f"{build} was built for production, with production's variables" if build else "it is built for production"
    return _by_commit(address, staging, production, rebuilt=built)


def artefact_findings(artefacts: Iterable[Artefact]) -> tuple[Finding, ...]:
    """What blocks, and as advice what is weak; sorted by address."""
    found = [
        Finding(
            {"blocks": "artefact-not-proven", "weak": "artefact-rebuilt"}[one.standing],
            one.address,
            f"what production would get is {one.relation}: {one.why}",
            one.next_step or "promote an image by its digest where the vendor can, or look at it once it is built",
            blocks=one.standing == "blocks",
        )
        for one in artefacts
        if one.standing != "met"
    ]
    return tuple(sorted(found, key=lambda one: one.address))


def _by_commit(address: str, staging: Mapping[str, Any], production: Mapping[str, Any], *, rebuilt: str) -> Artefact:
    ours, theirs = str(staging.get("commit") or ""), str(production.get("commit") or "")
    if not ours or not theirs:
        whose = "staging" if not ours else "production"
        step = "deploy it from its repository, by a commit, with RB-020" if not ours else "name the commit to promote"
        return Artefact(address, NOT_KNOWN, f"of {whose} neither an image digest nor a commit can be compared", step)
    if ours != theirs:
        why = f"staging has proven {ours[:12]}, and {theirs[:12]} would run"
        return Artefact(
            address,
            DIFFERENT,
            why,
            f"put {ours[:12]} back on staging, or let RB-020 prove the other: -p commit={theirs}",
        )
    return Artefact(address, REBUILT, f"commit {ours[:12]}; {rebuilt}")


def _digest_of(attributes: Mapping[str, Any]) -> str:
    """Of what runs, else of an image that is named by its digest."""
    pinned = _PINNED.fullmatch(str(attributes.get("image") or ""))
    return str(attributes.get("image_digest") or (pinned.group(1) if pinned else ""))


def _short(digest: str) -> str:
    return short_code(digest.removeprefix("sha256:"))
