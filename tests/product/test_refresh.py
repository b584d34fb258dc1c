"""RB-020 with refresh: staging's schema is made anew from the release and seeded; one world, one story in parts."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from vendors import Hands

from pantheon_runbook.model import Check, Plan
from pantheon_runbook.runner import wiring
from pantheon_runbook.session import ACTS

BACKEND = Path(str(resources.files("pantheon_runbook.sandbox.pantheon") / "backend"))
CONTACTS = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0012", "0011", None, None
def upgrade():
    op.create_table("contacts", sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True), sa.Column("email", sa.Text))
def downgrade():
    op.drop_table("contacts")
"""
SEED = """
import json, os, sys
import psycopg
found = [dict(os.environ, DATABASE_URL="-"), sys.argv, open("/proc/self/environ").read() if {linux} and {peek} else ""]
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

    def seed_with(self, emails: tuple[str, ...], more: str = "", *, peek: bool = False) -> None:
        text = SEED.format(emails=emails, more=more, peek=peek, linux=sys.platform == "linux")
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
        story.run()
        yield story
        story.hands.close()


@pytest.fixture
def story(_story):
    """Staging at the head; whatever a test before has left is made anew when it is asked for."""
    _story.seed_with(GOOD)
    return _story


def test_plan_names_what_is_lost(story):
    """And everything follows: all revisions from empty, the deployments, the seed at the end. Twice the same plan."""
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
    assert plan.digest == story.planned(refresh=True).digest


def test_without_refresh_nothing_is_lost(story):
    plan = story.planned()

    assert [] == [one.address for one in plan.changes if one.address in {"database/refresh", "database/seed"}]


def test_schema_is_made_anew_and_seeded(story):
    story.hands.sql(story.ref, "create table made_by_hand (id int)")

    assert "done" == story.run(refresh=True)

    assert (2, 1, 0) == (story.rows("contacts"), story.rows("sessions"), story.rows("made_by_hand"))
    assert story.checks[DOMAINS].passed
    assert story.checks["the schema is what its revisions make"].passed
    assert {("applied", story.run_id)} == {(one["state"], one["run_id"]) for one in story.ask(LAST_ROWS)}
    assert "nothing-to-do" == story.run(), "and nothing is left of it"
    assert story.checks[DOMAINS].passed
