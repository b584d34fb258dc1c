"""A staging that is migrated and proven, a production that may be promoted to, and people who sign."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from migrating_world import Staging, staging_in

from pantheon_runbook import approving
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.evidence import seal
from pantheon_runbook.model import Finding, Plan
from pantheon_runbook.runner import rehearsals
from pantheon_runbook.sandbox import customer
from pantheon_runbook.session import ACTS
from pantheon_runbook.verdict import Verdict

APPROVER = "second-person"


class Production(Staging):
    """The same world seen from production's side; runs are RB-030's."""

    def close_the_domains(self) -> None:
        """Production's holder turns off what would let a build go live by itself."""
        self._assign_domains(by_itself=False)

    def open_the_domains(self) -> None:
        self._assign_domains(by_itself=True)

    def _assign_domains(self, *, by_itself: bool) -> None:
        vercel = self.world.facts["vercel"]
        path = f"/v9/projects/{vercel['project_id']}?teamId={vercel['team_id']}"
        self.hands.call("vercel", "PATCH", path, {"autoAssignCustomDomains": by_itself})

    def keep_all(self, name: str) -> None:
        """As `keep`, with the evidence and the approvals of now; `all_back_to` brings them back too."""
        self.keep(name)
        for kept, folder in self._beside(name):
            folder.mkdir(exist_ok=True)
            shutil.copytree(folder, kept)

    def all_back_to(self, name: str) -> None:
        self.back_to(name)
        for kept, folder in self._beside(name):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(kept, folder)

    def _beside(self, name: str) -> list[tuple[Path, Path]]:
        where = self.world.folder
        return [(where / f"{name}-{one}", where / one) for one in ("evidence", "approvals")]

    def open(self, mode: str = "apply", **parameters: Any) -> Any:
        given = {"environment": "production", "baseline": "0008", **parameters}
        return self.world.open(mode, runbook="RB-030", **given)

    def touched(self) -> tuple[int, int]:
        """Mutating calls, and mutating statements on production, so far."""
        return len(self.world.mutating()), len(self.world.running.statements(self.production))

    def planned(self, **parameters: Any) -> Path:
        """The plan.json of a sealed plan run that has written nothing."""
        mark, run = self.touched(), self.open("plan", **parameters)
        try:
            plan: Plan = self.world.plan(run)
            run.session.perform("approve")
            run.session.perform("apply")
            run.session.perform("verify")
        finally:
            self.world.seal(run)
        assert mark == self.touched()
        blocking = [one for one in plan.findings if one.blocks]
        assert not blocking, blocking
        return Path(run.bundle.place.sealed) / "plan.json"

    def approved(self, path: Path | None = None, *, key: str = APPROVER, **parameters: Any) -> Path:
        """A plan that another person has signed."""
        path = path or self.planned(**parameters)
        if key not in seal.own_keys():
            seal.new_key(key)
        sheet = approving.opened(path)
        approving.approve(sheet, key=key, reason="read and compared", expires="", code=sheet.about.short_code)
        return path

    def promote(
        self,
        path: Path | None = None,
        *,
        until: str = "verify",
        when: tuple[str, str] = ("", ""),
        then: Callable[[], None] = lambda: None,
        **parameters: Any,
    ) -> tuple[Verdict, RunbookError | None, Any]:
        """An apply run of an approved plan; as `Staging.run`."""
        named = {"plan_file": str(path)} if path else {}
        return self.run(until=until, when=when, then=then, **named, **parameters)

    def roll_back(
        self, *, until: str = "verify", mode: str = "apply", **parameters: Any
    ) -> tuple[Verdict, RunbookError | None, Any]:
        """A run of RB-040: its sealed verdict, what an act raised, and the session."""
        run, stopped = self.world.open(mode, runbook="RB-040", environment="production", **parameters), None
        try:
            for act in ACTS[: ACTS.index(until) + 1]:
                run.session.perform(act)
        except RunbookError as error:
            stopped = error
        return self.world.seal(run), stopped, run.session

    def journal(self) -> list[dict[str, Any]]:
        folder = max(self.world.evidence.glob("2*-RB-0[34]0-*"), key=lambda one: one.stat().st_mtime)
        return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]

    def findings(self, **parameters: Any) -> dict[str, Finding]:
        mark, run = self.touched(), self.open("plan", **parameters)
        try:
            plan: Plan = self.world.plan(run)
        finally:
            self.world.seal(run)
        assert mark == self.touched()
        return {one.code: one for one in plan.findings}

    # ---- what production is, by its vendors and its database

    def state(self) -> dict[str, Any]:
        """Which schema, which deployments serve, which build the domains show."""
        lines = """select md5(string_agg(table_name || column_name || data_type || is_nullable, ',' order by 1))
            as columns from information_schema.columns where table_schema = 'public'"""
        heads = self.hands.sql(self.production, "select version_num from public.alembic_version order by 1")
        return {
            "schema": self.hands.sql(self.production, lines),
            "heads": [row["version_num"] for row in heads],
            "serving": {name: self.serving(name) for name in ("api", "worker")},
            "page": self.page(),
        }

    def serving(self, service: str) -> tuple[str, str]:
        """(id, commit) of the deployment that serves."""
        railway = self.world.facts["railway"]
        given = {
            "projectId": railway["project_id"],
            "environmentId": railway["environment_id"],
            "serviceId": railway["services"][service],
            "status": {"in": ["SUCCESS", "SLEEPING"]},
        }
        query = """query D($i: DeploymentListInput!) {
          deployments(input: $i, first: 1) { edges { node { id meta } } } }"""
        (edge,) = self.hands.railway(query, i=given)["deployments"]["edges"]
        return edge["node"]["id"], edge["node"]["meta"]["commitHash"]

    def page(self) -> str:
        vercel = self.world.facts["vercel"]
        path = f"/v9/projects/{vercel['project_id']}?teamId={vercel['team_id']}"
        return str(self.hands.call("vercel", "GET", path)["targets"]["production"]["id"])

    def ledger(self) -> list[tuple[str, str]]:
        """(what, state) of every line: revisions and units of work."""
        rows = self.hands.sql(self.production, "select revision, state from pantheon_runbook.migrations order by id")
        units = self.hands.sql(self.production, "select state from pantheon_runbook.units order by id")
        return [(row["revision"], row["state"]) for row in rows] + [("unit", row["state"]) for row in units]


@contextmanager
def remembered_rehearsals() -> Iterator[None]:
    """A rehearsal is done once for each ground, in all runs: by what a run itself knows it by. It costs seconds."""
    done: dict[tuple[str, ...], Any] = {}
    rehearse = rehearsals.Rehearsals._rehearsed

    def remembered(self: Any, ground: Any, production: Any) -> Any:
        key = rehearsals._key(ground, production), *self._heads(ground), *(one.id for one in self._pending(ground))
        if key not in done:
            done[key] = rehearse(self, ground, production)
        return done[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehearsals.Rehearsals, "_rehearsed", remembered)
        yield


def _make_roomy(whole: Any) -> None:
    """Limits of the vendors that many runs in one minute do not reach."""
    whole["supabase"]["limits"]["requests_per_minute"] = 10_000
    whole["railway"]["limits"]["requests_per_hour"] = 1_000_000


@contextmanager
def production_in(new_world: Callable[[], Any]) -> Iterator[Production]:
    """Kept as "proven"."""
    with staging_in(new_world) as staging:
        customer.make_promotable(staging.world.running)
        production = Production(staging.world)
        production.hands.edit(_make_roomy)
        assert "done" == staging.world.migrate().word
        production.keep_all("proven")
        yield production
        production.hands.close()


__all__ = ["ACTS", "Production", "production_in"]
