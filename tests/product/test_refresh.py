"""RB-020 with refresh: staging's schema is made anew from the release and seeded; one world, one story in parts."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest
from vendors import Hands

from pantheon_runbook.database.refreshing import refresh_kinds
from pantheon_runbook.errors import (
    BlockedPlanError,
    NotVerifiedError,
    ParameterError,
    RefusedError,
    RunbookError,
    StalePlanError,
    StoppedError,
)
from pantheon_runbook.model import Check, Plan
from pantheon_runbook.runbooks import find, spelled, typed
from pantheon_runbook.runner import wiring
from pantheon_runbook.session import ACTS

pytestmark = pytest.mark.xdist_group("refresh")
BACKEND = Path(str(resources.files("pantheon_runbook.sandbox.pantheon") / "backend"))
CONTACTS = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0012", "0011", None, None
def upgrade():
    number = sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True)
    op.create_table("contacts", number, sa.Column("email", sa.Text))
def downgrade():
    op.drop_table("contacts")
"""
SEED = """
import json, os, sys
import psycopg
found = [dict(os.environ, DATABASE_URL="-"), sys.argv]
print("seeding as", __name__)
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("insert into sessions (title) values (%s)", [json.dumps(found)])
    connection.cursor().executemany("insert into contacts (email) values (%s)", [[one] for one in {emails!r}])
{more}
"""
DOMAINS = "seeded users have test domains"
LAST_ROWS = """
select distinct on (revision) revision, state, run_id from pantheon_runbook.migrations order by revision, id desc
"""
BEYOND = "update alembic_version set version_num = 'f00d'"
GOOD = ("one@example.com", "two@example.com")


class Story:
    """A team's folder: its config, its backend with one table more, and runs of RB-020 in this process."""

    def __init__(self, world: Any) -> None:
        self.world, self.hands = world, Hands(world.running)
        self.folder = world.folder
        for name in ("pantheon.toml", "identities.toml", "credentials.toml"):
            shutil.copy2(world.customer / name, self.folder / name)
        self.backend = self.folder / "backend"
        shutil.copytree(BACKEND, self.backend, ignore=shutil.ignore_patterns("__pycache__"))
        (self.backend / "migrations" / "versions" / "0012_contacts.py").write_text(CONTACTS)
        config = (self.folder / "pantheon.toml").read_text()
        assert str(BACKEND) in config
        (self.folder / "pantheon.toml").write_text(config.replace(f"{BACKEND}/", "backend/"))
        self.seed_with(GOOD)
        self.checks: dict[str, Check] = {}
        self.plan: Plan | None = None
        self.outcomes: dict[str, str] = {}
        self.run_id = ""

    def seed_with(self, emails: tuple[str, ...], more: str = "") -> None:
        text = SEED.format(emails=emails, more=more)
        (self.backend / "seed.py").write_text(text)

    @property
    def ref(self) -> str:
        return str(self.world.staging_ref())

    def run(self, *, until: str = "verify", between: Any = None, **parameters: Any) -> str:
        """The verdict; raises what an act raises, sealed. `between` is done between approve and apply."""
        run = wiring.open_run("RB-020", {"mode": "apply", **parameters})
        session, self.run_id = run.session, run.bundle.place.run_id
        try:
            for act in ACTS[: ACTS.index(until) + 1]:
                if act == "apply" and between is not None:
                    between(session)
                session.perform(act)
        finally:
            self.plan, self.checks = session.plan, {check.name: check for check in session.checks}
            self.outcomes = {one.address: one.outcome for one in session.results}
            verdict = self.world.seal(run)
        return str(verdict.word)

    def planned(self, **parameters: Any) -> Plan:
        """A plan run."""
        self.run(until="plan", mode="plan", **parameters)
        assert self.plan is not None
        return self.plan

    def rows(self, table: str) -> int:
        return self.hands.rows(self.ref, table)

    def ask(self, query: str) -> list[dict[str, Any]]:
        return list(
            self.hands.call("supabase", "POST", f"/v1/projects/{self.ref}/database/query/read-only", {"query": query})
        )


@pytest.fixture(scope="module")
def _story(new_world):
    with pytest.MonkeyPatch.context() as patch, new_world() as world:
        world.enter(patch)
        patch.setenv("PANTHEON_CONFIG", str(world.folder / "pantheon.toml"))
        patch.setenv("PANTHEON_CREDENTIALS", str(world.folder / "credentials.toml"))
        story = Story(world)
        assert "done" == world.provision().word
        assert "done" == story.run(refresh=True), "a staging that has nothing yet is seeded like any other"
        yield story
        story.hands.close()


@pytest.fixture
def story(_story):
    """Staging at the head; whatever a test before has left is made anew when it is asked for."""
    _story.seed_with(GOOD)
    return _story


@pytest.mark.rare
def test_plan_names_what_is_lost(story):
    """And everything follows: all revisions from empty, the deployments, the seed at the end."""
    story.hands.sql(
        story.ref, "insert into contacts (email) select 'c' || n || '@example.com' from generate_series(1, 42) n"
    )
    plan = story.planned(refresh=True)
    changes = {change.address: change for change in plan.changes}
    order = list(changes)

    lost = changes["database/refresh"]
    assert ("refresh", "none: the rows are lost") == (lost.action, lost.undo)
    assert "lost for good: public.contacts (about 40 rows), " in lost.risk
    revisions = [address for address in order if address.startswith("database/revision/")]
    assert [f"database/revision/{number:04}" for number in range(1, 13)] == revisions
    assert order.index("database/refresh") < order.index(revisions[0])
    assert "database/seed" == order[-1]
    assert {"railway/deployment/api", revisions[-1]} <= set(changes["database/seed"].depends_on)
    assert set() == set(changes["database/revision/0011"].depends_on) - {"database/revision/0010"}
    assert changes[revisions[0]].risk.startswith("low: the rehearsal showed nothing")


@pytest.mark.rare
def test_schema_is_made_anew_and_seeded(story, monkeypatch):
    """The connection goes when the refresh is committed: that is looked up, and not done again."""
    story.hands.sql(story.ref, "create table made_by_hand (id int)")
    done, refresh = [], refresh_kinds.refresh

    def loses(connection, marked, **about):
        done.append(refresh(connection, marked, **about))
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(refresh_kinds, "refresh", loses)

    assert "done" == story.run(refresh=True)

    assert [()] == done
    assert (2, 1, 0) == (story.rows("contacts"), story.rows("sessions"), story.rows("made_by_hand"))
    assert story.checks[DOMAINS].passed
    assert story.checks["the schema is what its revisions make"].passed
    assert {("applied", story.run_id)} == {(one["state"], one["run_id"]) for one in story.ask(LAST_ROWS)}
    assert "nothing-to-do" == story.run(), "and nothing is left of it"
    assert story.checks[DOMAINS].passed


@pytest.mark.rare
def test_seed_finds_no_credential(story):
    """Its environment is the allow-listed one, its arguments are its own name."""
    told = story.ask("select title from sessions order by created_at limit 1")[0]
    environment, arguments = json.loads(told["title"])

    assert [str(story.backend / "seed.py")] == arguments
    assert set() == {name for name in environment if "TOKEN" in name or "PANTHEON" in name or "KEY" in name}


@pytest.mark.rare
def test_lost_run_is_gone_on_with(story, monkeypatch):
    """Stopped right after the refresh: what is left is in the database, whoever runs next and without asking again."""

    def stops(session):
        refresh = session.kinds["database/refresh"]
        monkeypatch.setattr(refresh, "settle", lambda _change: session.stop.set())

    with pytest.raises(StoppedError):
        story.run(refresh=True, between=stops)
    assert ("done", "not-done") == (story.outcomes["database/refresh"], story.outcomes["database/revision/0001"])
    assert 0 == story.rows("alembic_version")

    assert "done" == story.run()
    assert ("done", False) == (story.outcomes["database/seed"], "database/refresh" in story.outcomes)
    assert 2 == story.rows("contacts")


@pytest.mark.rare
def test_seed_that_fails_asks_for_another_refresh(story):
    """What it had committed stands, so it is not simply run again. The next one brings real addresses: told by number.

    None of them is in the evidence; users who were there before are not the seed's.
    """
    story.seed_with(GOOD, more="raise SystemExit('no more disk')")

    with pytest.raises(StoppedError) as stopped:
        story.run(refresh=True)
    assert "it ended with: no more disk; its last words: seeding as __main__" in stopped.value.why
    assert "changed in part: what the seed had committed by then stands" in stopped.value.state

    story.seed_with((*GOOD, "jane@company.com", "joe@company.org"))
    with pytest.raises(BlockedPlanError, match="did not end") as blocked:
        story.run()
    assert "-p refresh=true" in blocked.value.next_step
    with pytest.raises(NotVerifiedError, match=f"first: {DOMAINS}"):
        story.run(refresh=True)

    assert "4 addresses, elsewhere 2 in public.contacts" == story.checks[DOMAINS].found
    sealed = [path for path in story.world.evidence.glob(f"*-RB-020-*-{story.run_id[:8]}/*") if path.is_file()]
    assert sealed
    assert [] == [path.name for path in sealed if b"company.com" in path.read_bytes()]


@pytest.mark.rare
def test_what_a_feature_branch_left_names_the_refresh(story):
    story.hands.sql(story.ref, BEYOND)
    (found,) = [one for one in story.planned().findings if one.code == "beyond-release"]

    assert "f00d" in found.what
    assert found.next_step.endswith("drops every row: pantheon-runbook run RB-020 -e staging -p refresh=true")


@pytest.mark.rare
def test_database_of_another_is_never_dropped(story):
    """Asked at the very last moment: its marker went, or is another's; and nobody has opened the gate.

    What a feature branch has left is no reason against a refresh.
    """
    story.hands.sql(story.ref, BEYOND)
    marker = story.ask("select name, cloud, ref from pantheon_runbook.environment")[0]
    before = story.world.running.statements(story.ref)

    def tries(session):
        refresh = session.kinds["database/refresh"]
        change = next(one for one in session.plan.changes if one.address == "database/refresh")
        with pytest.raises(RefusedError, match="outside the apply act"):
            refresh.write(change)
        session.gate.is_open = True
        for moved in ("delete from {}", "insert into {} values (true, 'production', 'sandbox', '{ref}', now())"):
            story.hands.sql(story.ref, moved.format("pantheon_runbook.environment", ref=marker["ref"]))
            with pytest.raises(RefusedError, match=r'does not say which|says it is "production"'):
                refresh.write(change)
        refresh._site.vault.hold(
            "supabase.pooler_user", f"postgres.{story.world.facts['supabase']['ref']}", secret=False
        )
        with pytest.raises(RefusedError, match="names production's Supabase project"):
            refresh.write(change)
        session.gate.is_open = False
        session.stop.set()

    with pytest.raises(RunbookError):
        story.run(refresh=True, between=tries)

    new = story.world.running.statements(story.ref)[len(before) :]
    assert [] == [one["statement"] for one in new if one["statement"].lower().startswith("drop")]
    named = f"name = '{marker['name']}', cloud = '{marker['cloud']}'"
    story.hands.sql(story.ref, f"update pantheon_runbook.environment set {named}")
    story.hands.sql(story.ref, "update alembic_version set version_num = '0012'")


@pytest.mark.rare
def test_file_edited_after_the_approval_is_not_applied(story):
    """What the worker has loaded is held against what was approved; the first of them already."""

    def edits(session):
        site = session.kinds["database/revision"]._site
        with pytest.raises(StalePlanError, match="is not the one that was approved"):
            site.step("0001", digest="0" * 64)

    story.run(mode="plan", until="apply", between=edits)


@pytest.mark.rare
def test_refresh_and_baseline_contradict(story):
    with pytest.raises(ParameterError, match="refresh and baseline"):
        story.run(refresh=True, baseline="0011")


def test_command_line_says_true():
    """And what is to be typed next says it again."""
    given = typed(find("RB-020"), {"refresh": "true", "commit": ""})

    assert True is given["refresh"]
    assert " -p refresh=true" == spelled({**given, "environment": "staging", "mode": "plan"}, "RB-020")
