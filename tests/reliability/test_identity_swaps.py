"""Staging taken for production and the other way round: one identity, or two, in each file, in both, on the ground."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections import Counter
from typing import Any

import httpx
import pytest
from attempts import attempt
from tables import chosen

from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.providers.http import Reach

# Where each identity stands: in pantheon.toml for staging and production, in identities.toml likewise. What both share
# (Vercel's project, organization, workspace, team) is swapped with somebody else's: a swap with itself is none.
_DECIDED = {
    "supabase_ref": ("supabase", "ref"),
    "railway_project": ("railway", "project"),
    "railway_environment": ("railway", "environment"),
    "vercel_target": ("vercel", "target"),
}
_LISTED = ("supabase_ref", "railway_project", "railway_environment")
_SHARED = {
    "vercel_project": ("frontend", "vercel_project"),
    "vercel_team": ("frontend", "vercel_team"),
    "organization": ("environments", "staging", "supabase", "organization"),
    "workspace": ("environments", "staging", "railway", "workspace"),
}
_FIELDS = (*_DECIDED, *_SHARED)
_DIRECTIONS = ("staging:=production", "production:=staging", "swapped")
_FILES = ("pantheon.toml", "identities.toml", "both")
_GROUND = ("marker", "database_url", "pooler_user")


class Files:
    """The customer's two files with staging's ids in them, and what a case makes of them."""

    def __init__(self, world: Any, ids: dict[str, str]) -> None:
        self.folder = world.folder / "swapped"
        self.folder.mkdir(exist_ok=True)
        self.config = tomllib.loads((world.customer / "pantheon.toml").read_text())
        self.identities = tomllib.loads((world.customer / "identities.toml").read_text())
        self.config["evidence"] = {"path": str(world.evidence)}
        self.identities["environments"] = {"staging": ids}
        for name, (table, key) in _DECIDED.items():
            self.config["environments"]["staging"][table].setdefault(key, ids.get(name))
        self.foreign = {
            "organization": world.facts["supabase"]["foreign_slug"],
            "workspace": "00000000-0000-4000-8000-000000000000",
            "vercel_team": "team_ofSomebodyElse",
            "vercel_project": "prj_ofSomebodyElse",
        }

    def write(self, fields: tuple[str, ...] = (), direction: str = "", file: str = "") -> bool:
        """Both files with the fields swapped; whether that changes anything."""
        config, identities = json.loads(json.dumps([self.config, self.identities]))
        for field in fields:
            if file != "identities.toml":
                self._swap_decided(config, field, direction)
            if file != "pantheon.toml":
                self._swap_listed(identities, field, direction)
        (self.folder / "pantheon.toml").write_text(toml_of(config))
        (self.folder / "identities.toml").write_text(toml_of(identities))
        return (config, identities) != (self.config, self.identities)

    def _swap_decided(self, config: dict[str, Any], field: str, direction: str) -> None:
        if field in _SHARED:
            *tables, key = _SHARED[field]
            place = config
            for name in tables:
                place = place[name]
            place[key] = self.foreign[field]
            return
        table, key = _DECIDED[field]
        staging, production = config["environments"]["staging"][table], config["environments"]["production"][table]
        _swap((staging, key), (production, key), direction)

    def _swap_listed(self, identities: dict[str, Any], field: str, direction: str) -> None:
        staging, production = identities["environments"]["staging"], identities["production"]
        if field in _LISTED:
            _swap((staging, field), (production, field), direction)
        elif field == "vercel_project":
            for table, end in ((staging, "staging"), (production, "production")):
                if direction in {"swapped", f"{end}:={'production' if end == 'staging' else 'staging'}"}:
                    table[field] = self.foreign[field]


def _swap(staging: tuple[dict[str, Any], str], production: tuple[dict[str, Any], str], direction: str) -> None:
    (ours, our_key), (theirs, their_key) = staging, production
    our_value, their_value = ours[our_key], theirs[their_key]
    if direction != "production:=staging":
        ours[our_key] = their_value
    if direction != "staging:=production":
        theirs[their_key] = our_value


def toml_of(document: dict[str, Any]) -> str:
    """One line per top-level value or table within tables, as TOML's inline values."""
    lines = [f"{name} = {_inline(value)}" for name, value in document.items() if not isinstance(value, dict)]
    for name, table in document.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{json.dumps(key)} = {_inline(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_inline(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(one) for one in value) + "]"
    return json.dumps(value)


@pytest.fixture
def files(world, hands, monkeypatch) -> Files:
    """Staging stands, made and marked by a run of ours, and is on its allow list."""
    world_limits = {"requests_per_minute": 1_000_000}
    hands.edit(lambda whole: whole["supabase"]["limits"].update(world_limits))
    assert "done" == attempt(world).word
    project = hands.railway_projects()[0]
    files = Files(
        world,
        {
            "supabase_ref": world.staging_ref(),
            "railway_project": project["id"],
            "railway_environment": project["environments"]["staging"]["id"],
            "vercel_project": world.facts["vercel"]["project_id"],
        },
    )
    monkeypatch.setenv("PANTHEON_CONFIG", str(files.folder / "pantheon.toml"))
    return files


def cases() -> list[tuple[tuple[str, ...], str, str]]:
    """(fields, direction, file) for every field and every pair of fields."""
    subsets = [*itertools.combinations(_FIELDS, 1), *itertools.combinations(_FIELDS, 2)]
    return [(fields, way, file) for fields in subsets for way in _DIRECTIONS for file in _FILES]


def written(world: Any, mark: int) -> tuple[list[Any], list[Any]]:
    """What the vendors' request log and both databases' statement logs say was changed."""
    refs = world.running.status()["clusters"]
    return world.running.mutating(mark), [one for ref in refs for one in world.running.statements(ref)]


@pytest.mark.sweep
def test_swapped_identity_is_refused_before_the_first_write(world, hands, files):
    """Whatever file it is in, and whatever is swapped besides."""
    rows: list[tuple[str, str, str, str]] = []
    files.write()
    assert "nothing-to-do" == attempt(world).word
    hands.set_variable("api", "LOG_LEVEL", "by hand")  # from here on a run that is not refused has something to write
    mark, before = hands.mark(), written(world, 0)[1]
    for fields, way, file in chosen(cases(), "identity swaps", size=12):
        if files.write(fields, way, file):
            ended = attempt(world)
            rows.append((", ".join(fields), way, file, told(ended)))
            assert ([], before) == written(world, mark), rows[-1]
    show(rows)
    assert [] == [row for row in rows if not row[-1].startswith(("refused", "no-run"))]

    files.write()
    assert "done" == attempt(world).word  # and none of it left a trace that would refuse the right one


@pytest.mark.sweep
@pytest.mark.parametrize("ground", [*itertools.combinations(_GROUND, 1), *itertools.combinations(_GROUND, 2)], ids=str)
def test_swap_on_the_ground_is_refused(world, hands, files, monkeypatch, ground):
    """The database's own row, Railway's DATABASE_URL, the pooler's login: production's in staging's place, and beside
    each of them every field of the files.
    """
    files.write()
    if "marker" in ground:
        marked_as_production(world)
    if "database_url" in ground:
        hands.set_variable("api", "DATABASE_URL", world.facts["supabase"]["session_url"])
        hands.set_variable("worker", "DATABASE_URL", world.facts["supabase"]["session_url"])
    if "pooler_user" in ground:
        log_in_at_production(world, monkeypatch)
    mark, before = hands.mark(), written(world, 0)[1]
    singles = [((), "", ""), *(case for case in cases() if len(case[0]) == 1)]
    rows = []
    for fields, way, file in chosen(singles[1:], f"ground {ground}", size=2) + singles[:1]:
        if files.write(fields, way, file) or not fields:
            rows.append((", ".join((*ground, *fields)), way, file, told(attempt(world))))
            assert ([], before) == written(world, mark), rows[-1]
    show(rows)
    assert [] == [row for row in rows if not row[-1].startswith(("refused", "no-run"))]


def marked_as_production(world: Any) -> None:
    run = world.open("plan")
    run.session.perform("observe")
    database: Database = run.session.kinds["database/marker"]._database
    with database.session() as connection:
        changed = f"update {SCHEMA}.environment set name = 'production', ref = %s"
        connection.execute(changed, (world.facts["supabase"]["ref"],))
    world.seal(run)


def log_in_at_production(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Supabase answers with production's login where staging's is asked for."""
    transport, ours, theirs = Reach.transport, world.staging_ref(), world.facts["supabase"]["ref"]

    class Misled(httpx.BaseTransport):
        def __init__(self, inner: httpx.BaseTransport) -> None:
            self._inner = inner

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = self._inner.handle_request(request)
            if not request.url.path.endswith("/config/database/pooler"):
                return answer
            text = answer.read().replace(f"postgres.{ours}".encode(), f"postgres.{theirs}".encode())
            answer.close()
            return httpx.Response(answer.status_code, content=text, headers={"content-type": "application/json"})

        def close(self) -> None:
            self._inner.close()

    monkeypatch.setattr(Reach, "transport", lambda reach: Misled(transport(reach)))


def told(ended: Any) -> str:
    return f"{ended.word}: {ended.error.what if ended.error else ''}"


def show(rows: list[tuple[str, str, str, str]]) -> None:
    for fields, way, file, what in rows:
        print(f"{fields:42} {way:20} {file:16} {what}")
    counts: Counter[str] = Counter(what.partition(":")[0] for *_, what in rows)
    print(f"{len(rows)} swaps: {dict(counts)}; 0 requests and 0 statements that write")
