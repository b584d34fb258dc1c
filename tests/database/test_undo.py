"""Revisions of a target that are undone, one by one: with their rows in the ledger, as a whole or not at all."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic_trees import ALONE, Server, Tree, asked, tell
from runs import Pause, holds
from stand_in import LEDGER, VERSION, apply_pending

from pantheon_runbook.applying import Applying
from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.alembic_process import Migration
from pantheon_runbook.database.migrations.revision_kinds import LEDGER as LEDGER_KIND
from pantheon_runbook.database.migrations.revision_kinds import Ledger, Limits, Revisions, Site
from pantheon_runbook.database.migrations.undo_kind import UNDO, Undo
from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.database.writes import DatabaseGate
from pantheon_runbook.errors import (
    OutcomeUnknownError,
    RefusedError,
    RunbookError,
    StalePlanError,
    VendorRefusedError,
    VendorUnavailableError,
    WrongEnvironmentError,
)
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.model import Change, Desired, Resource, Snapshot, StepResult
from pantheon_runbook.planning import plan_changes
from pantheon_runbook.providers.http import WriteGate
from pantheon_runbook.secrets import Registry, Vault

REF = "a" * 20
LOGIN = f"postgres.{REF}"
MARKER = f"create table {SCHEMA}.environment (name text, cloud text, ref text)"
STATES = f"select revision, state from {LEDGER} order by id"
APPLIED = [("a1", "applied"), ("b2", "applied"), ("c3", "applied")]
ADD = "op.execute('alter table notes add size int')"
DROP = "op.execute('alter table notes drop size')"


class Undoing:
    """One run before a target at c3, in the order in which its session does it. `looks_by`: another login for looks."""

    def __init__(self, folder: Path, url: str, *, looks_by: str = "") -> None:
        self.url, self.events, self.tree = url, [], Tree(folder)
        self.tree.add("a1", "op.execute('create table notes (id int)')", "op.execute('drop table notes')")
        self.tree.add(
            "b2", "op.execute('alter table notes add text text')", "op.execute('alter table notes drop text')"
        )
        self.tree.add("c3", ADD, DROP)
        apply_pending(self.tree.backend, url)
        tell(url, MARKER, f"insert into {SCHEMA}.environment values ('production', 'sandbox', '{REF}')")
        self.vault = Vault(Registry(), salt="00" * 32)
        names = {"ref": REF, "status": "ACTIVE_HEALTHY", "pooler_user": LOGIN, "pooler_host": "pooler.supabase.com"}
        for name, text in names.items():
            self.vault.hold(f"supabase.{name}", text, secret=False)
        self.vault.hold("database.session_url", looks_by or url)
        self.vault.hold("production.write_url", url)
        self.gate = WriteGate(before=self.events.append, is_open=True, accepted=frozenset({REF, LOGIN}))
        self.begin("run-1")

    def begin(self, run_id: str, *revisions: str, lock_timeout_ms: int = 5000) -> None:
        """A run of its own; it may undo these, or b2 and c3."""
        self.site = Site(
            Surroundings(self.vault, 1.0, self.events.append),
            database=Database(
                self.vault, resolve=lambda _host, _port: None, options="", writes_by="production.write_url"
            ),
            gate=DatabaseGate(self.gate, self.vault),
            backend=self.tree.backend,
            version_table=VERSION,
            writer=Writer(run_id, "manager", "here"),
            limits=Limits(lock_timeout_ms, 20_000),
            environment="production",
        )
        self.revisions, self.undo = Revisions(self.site), Undo(self.site, revisions or ("b2", "c3"))
        self.revisions.look()

    def look(self) -> dict[str, Resource]:
        return {one.address.rpartition("/")[2]: one for one in self.undo.look().resources}

    def change(self, revision: str) -> Change:
        """As it comes out of a plan for what is seen now."""
        found = self.site.ground.history.get(revision)
        wanted = Desired(
            f"{UNDO}/{revision}", {"stands": False, "digest": found.digest}, undo="apply it again", action="downgrade"
        )
        seen = Snapshot("sandbox", "production", {}, {}, tuple(self.look().values()), (), "")
        (change,), _ = plan_changes([wanted], seen)
        return change

    def write(self, revision: str) -> None:
        self.undo.write(self.change(revision))

    def carry_out(self, *revisions: str) -> tuple[list[StepResult], list[RunbookError]]:
        """As the act apply does it, each after the one before it; the outcomes, and what they raised."""
        changes = [self.change(one) for one in revisions]
        chained = [replace(one, depends_on=(before.address,)) for before, one in pairwise(changes)]
        plan = type("Plan", (), {"changes": (*changes[:1], *chained)})
        journal = type("Journal", (), {"write": lambda _self, event, **fields: self.events.append((event, fields))})
        applying = Applying(
            {one.address: self.undo for one in changes},
            look=lambda address: self.look()[address.rpartition("/")[2]],
            journal=journal(),
            progress=self.events.append,
            stop=threading.Event(),
        )
        return list(applying.run(plan)), list(applying.errors.values())

    def schema(self) -> str:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return look_at_schema(connection, version_table=VERSION).fingerprint

    def stands_at(self) -> tuple[list[str], list[tuple[str, str]], str]:
        """Alembic's word, the ledger's, and the schema: all that an undo changes."""
        heads = [one for (one,) in asked(self.url, f"select version_num from {VERSION}")]
        return heads, asked(self.url, STATES), self.schema()


@pytest.fixture
def undoing(tmp_path: Path, url: str) -> Iterator[Undoing]:
    undoing = Undoing(tmp_path, url)
    yield undoing
    undoing.site.close()


@pytest.fixture
def pause(undoing: Undoing, request: pytest.FixtureRequest) -> Iterator[Pause]:
    """Somebody holds what the test is parametrized with."""
    pause = Pause(undoing.url, holds(request.param))
    yield pause
    pause.close()


def test_change_names_the_file_that_is_run(undoing):
    change = undoing.change("c3")

    assert ("downgrade", {"stands": True}) == (change.action, change.before)
    assert {"stands": False, "digest": undoing.site.ground.history.get("c3").digest} == change.after
    assert ["b2", "c3"] == sorted(undoing.look())


def test_undone_and_applied_again_is_the_former_schema(undoing):
    """Down to a1 and up again; each time the ledger says it, and who it was."""
    before = undoing.schema()

    results, _ = undoing.carry_out("c3", "b2")

    assert ["done", "done"] == [one.outcome for one in results]
    heads, states, schema = undoing.stands_at()
    assert (["a1"], [*APPLIED, ("c3", "undone"), ("b2", "undone")]) == (heads, states)
    assert before != schema
    with undoing.site.session() as connection:
        assert ["a1"] == [row.revision for row in ledger.rows(connection)]
    assert {False} == {one.attributes["stands"] for one in undoing.look().values()}
    digest = undoing.site.ground.history.get("c3").digest
    query = f"select file, digest, run_id, operator, began_at <= ended_at from {LEDGER} where (revision, state) = "
    assert [("migrations/versions/c3_it.py", digest, "run-1", "manager", True)] == asked(
        undoing.url, f"{query}('c3', 'undone')"
    )
    sent = next(one for one in undoing.events if isinstance(one, dict))
    assert ("undo a revision", VERSION, {"revision": "c3", "digest": digest}) == (
        sent["operation"], sent["path"], sent["sent"],
    )  # fmt: skip

    undoing.site.close()
    apply_pending(undoing.tree.backend, undoing.url)

    assert (["c3"], before) == (undoing.stands_at()[0], undoing.schema())
    assert [("b2", "applied"), ("c3", "applied")] == undoing.stands_at()[1][-2:]


@pytest.mark.alike
@pytest.mark.parametrize("pause", ["public.notes", LEDGER, VERSION], indirect=True)
def test_killed_undo_is_not_half_done(undoing, pause):
    """In the downgrade, before Alembic's own row, and with nothing left but the row and the commit."""
    before, change, raised = undoing.stands_at(), undoing.change("c3"), []
    worker = undoing.site._worker("c3")

    def write() -> None:
        with pytest.raises(OutcomeUnknownError) as stopped:
            undoing.undo.write(change)
        raised.append(stopped.value)

    thread = threading.Thread(target=write)
    thread.start()
    pause.wait_until_reached(worker.backend_pid)
    os.kill(worker._worker.pid, signal.SIGKILL)
    thread.join(timeout=30)
    pause.until_gone(worker.backend_pid)
    pause.let_go()

    assert ["unknown: c3 is done as a whole, not at all, or in part if it leaves its transaction."] == [
        one.state for one in raised
    ]
    assert before == undoing.stands_at()
    assert not undoing.undo.has_landed(change, undoing.look()["c3"])
    assert ["done"] == [one.outcome for one in undoing.carry_out("c3")[0]]
    assert (["b2"], [*APPLIED, ("c3", "undone")]) == undoing.stands_at()[:2]


def test_lost_answer_is_found_by_looking(undoing, monkeypatch):
    """It was committed, row and all, when the answer went away: it is not undone twice."""
    undo = Migration.undo

    def undo_and_be_lost(worker: Migration, revision: str) -> None:
        undo(worker, revision)
        raise OutcomeUnknownError("lost", vendor="database", operation="undo", why="lost", state="?", next_step="look")

    monkeypatch.setattr(Migration, "undo", undo_and_be_lost)

    (result,), _ = undoing.carry_out("c3")

    assert ("done", "its answer was lost; found by looking") == (result.outcome, result.reason)
    assert (["b2"], [*APPLIED, ("c3", "undone")]) == undoing.stands_at()[:2]


@pytest.mark.alike
def test_only_the_last_revision_is_undone(undoing):
    before = undoing.stands_at()

    with pytest.raises(VendorRefusedError, match="b2 cannot come next") as stopped:
        undoing.write("b2")

    assert "b2 is not the last revision that was applied" in stopped.value.why
    assert "nothing was changed by b2: it was rolled back." == stopped.value.state
    assert before == undoing.stands_at()


@pytest.mark.alike
def test_revision_under_a_head_that_came_meanwhile_stays(undoing):
    """The worker has looked; then somebody applies d4 with another tool."""
    undoing.site._worker("c3")
    undoing.tree.sql("d4", "create table more (id int)")
    assert 0 == undoing.tree.bare(undoing.url).returncode
    before = undoing.stands_at()

    with pytest.raises(VendorRefusedError) as stopped:
        undoing.write("c3")

    assert "nothing was changed by c3: it was rolled back." == stopped.value.state
    assert (["d4"], before) == (before[0], undoing.stands_at())


@pytest.mark.alike
def test_heads_of_another_tree_cannot_be_read(undoing):
    """That nothing of ours stands below them is not known: so it is not said, and no lost answer is taken for done."""
    change = undoing.change("c3")
    tell(undoing.url, f"update {VERSION} set version_num = 'zz'")

    seen = undoing.look()["c3"]

    assert ("unreadable", {}, "the database is at zz, not in this tree") == (seen.state, seen.attributes, seen.note)
    assert not undoing.undo.has_landed(change, seen)


@pytest.mark.alike
def test_edited_file_is_not_run(undoing):
    change = undoing.change("c3")
    file = undoing.tree.versions / "c3_it.py"
    file.write_text(file.read_text().replace("drop size", "drop id"))
    before = undoing.stands_at()

    with pytest.raises(StalePlanError, match="revision c3 is not the one that was approved"):
        undoing.undo.write(change)

    assert before == undoing.stands_at()


@pytest.mark.alike
def test_lost_marker_stops_it(undoing):
    """Also between two of them, when the worker is there already."""
    undoing.write("c3")
    tell(undoing.url, f"update {SCHEMA}.environment set name = 'staging'")
    before = undoing.stands_at()

    with pytest.raises(WrongEnvironmentError, match="no longer says that it is production"):
        undoing.write("b2")

    assert before == undoing.stands_at()


@pytest.mark.alike
def test_revision_that_was_not_named_stays(undoing):
    undoing.begin("run-2", "b2")
    before = undoing.stands_at()
    change = Change(f"{UNDO}/c3", "downgrade", {}, {"stands": False, "digest": "ab" * 32}, (), "", "")

    with pytest.raises(RefusedError, match="c3 was about to be undone") as stopped:
        undoing.undo.write(change)

    assert "this run may undo b2." == stopped.value.why
    assert ([], before) == (undoing.events, undoing.stands_at())


@pytest.mark.alike
def test_undo_outside_apply_is_refused(undoing):
    undoing.gate.is_open = False
    before = undoing.stands_at()

    with pytest.raises(RefusedError, match="outside the apply act"):
        undoing.write("c3")

    assert before == undoing.stands_at()


def index_revision(undoing: Undoing, downgrade: str) -> None:
    """d4 on top: an index that is made and dropped outside a transaction."""
    undoing.tree.add("d4", f"{ALONE}\n    op.execute('create index concurrently notes_id on notes (id)')", downgrade)
    apply_pending(undoing.tree.backend, undoing.url)
    undoing.begin("run-2", "c3", "d4")


DROP_ALONE = f"{ALONE}\n    op.execute('drop index concurrently notes_id')"


@pytest.mark.alike
def test_undo_outside_a_transaction_says_when_it_began(undoing):
    index_revision(undoing, DROP_ALONE)

    assert ["done"] == [one.outcome for one in undoing.carry_out("d4")[0]]

    assert ([("d4", "begun"), ("d4", "undone")], ["c3"]) == (undoing.stands_at()[1][-2:], undoing.stands_at()[0])
    times = f"select count(distinct began_at) from {LEDGER} where run_id = 'run-2'"
    assert [(1,)] == asked(undoing.url, times)


@pytest.mark.alike
def test_undo_that_fails_outside_a_transaction_is_half_done(undoing):
    """What it had done by then is committed, and said; the run that did it does not begin it anew."""
    index_revision(undoing, f"op.execute('create table half ()')\n{DROP_ALONE}\n    op.execute('select 1 / 0')")

    results, (error,) = undoing.carry_out("d4", "c3")

    assert ["not-done", "not-done"] == [one.outcome for one in results]
    assert error.state.startswith("changed in part: d4 left its transaction")
    assert (["d4"], ("d4", "begun")) == (undoing.stands_at()[0], undoing.stands_at()[1][-1])
    assert [("half",)] == asked(undoing.url, "select relname from pg_class where relname in ('half', 'notes_id')")
    with pytest.raises(VendorRefusedError, match="revision d4 was left half-way") as stopped:
        undoing.write("d4")
    assert "changed in part: d4 left its transaction, and it is not done." == stopped.value.state


# ---- looks by one login, writes by another


@pytest.fixture
def reader(tree_server: Server, url: str) -> Iterator[str]:
    """The URL of a role that can only read."""
    tell(url, "create role undo_reader login password 'reads'")
    tell(
        url,
        f"create schema {SCHEMA}",
        f"grant usage on schema public, {SCHEMA} to undo_reader",
        *(
            f"alter default privileges in schema {name} grant select on tables to undo_reader"
            for name in ("public", SCHEMA)
        ),
    )
    parts = urlsplit(url)
    yield parts._replace(netloc=f"undo_reader:reads@{parts.netloc.rpartition('@')[2]}").geturl()
    tell(url, "grant undo_reader to postgres", "drop owned by undo_reader", "drop role undo_reader")


@pytest.fixture
def apart(tmp_path: Path, url: str, reader: str) -> Iterator[Undoing]:
    undoing = Undoing(tmp_path, url, looks_by=reader)
    yield undoing
    undoing.site.close()


def test_reader_looks_and_postgres_writes(apart):
    with apart.site.session() as looks, apart.site.writing() as writes:
        who = [one.execute("select current_user").fetchone()[0] for one in (looks, writes)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            looks.execute(f"delete from {LEDGER}")

    assert ["undo_reader", "postgres"] == who
    assert ["done", "done"] == [one.outcome for one in apart.carry_out("c3", "b2")[0]]
    assert [*APPLIED, ("c3", "undone"), ("b2", "undone")] == apart.stands_at()[1]


@pytest.mark.alike
def test_ledger_is_made_by_the_login_that_writes(apart):
    tell(apart.url, *(f"drop table {SCHEMA}.{name}" for name in ("nonces", "units", "layout", "migrations", "writer")))
    kind = Ledger(apart.site, None)
    assert () == kind.look().resources

    kind.write(Change(LEDGER_KIND, "create", {}, {}, (), "", ""))

    assert [LEDGER_KIND] == [one.address for one in kind.look().resources]


@pytest.mark.alike
def test_who_is_in_the_way_is_seen_by_the_login_that_writes(apart):
    """PostgreSQL shows a role nothing of the sessions of others."""
    apart.begin("run-1", lock_timeout_ms=1000)
    with psycopg.connect(apart.url, application_name="report") as other:
        other.execute("select * from notes")
        with pytest.raises(VendorUnavailableError) as stopped:
            apart.write("c3")

    assert '"report" of postgres (idle in transaction' in stopped.value.why
