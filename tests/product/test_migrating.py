"""RB-020 on the sandbox: what it did is asked of the cloud's request log and of the databases' own log."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta

import psycopg
import pytest

from pantheon_runbook import deploying
from pantheon_runbook.errors import BlockedPlanError, NotVerifiedError, StalePlanError, StoppedError
from pantheon_runbook.runner import wiring
from pantheon_runbook.servers import binaries

pytestmark = pytest.mark.xdist_group("migrating")
REVISIONS = [f"{number:04}" for number in range(1, 12)]


# ---- the whole path


def test_plan_names_every_revision_and_what_undoes_it(first):
    """That the plan run wrote nothing is asserted by both logs where it was made."""
    changes = {change.address: change for change in first.plan.changes}
    revisions = [changes[f"database/revision/{one}"] for one in REVISIONS]

    print()
    for change in revisions:
        print(f"  {change.address}  {change.after['digest'][:8]}  {change.risk[:70]:70}  {change.undo}")
    assert all(64 == len(change.after["digest"]) and change.risk and change.undo for change in revisions)
    assert "up to 1,000 rows of public.messages are updated" in changes["database/revision/0007"].risk
    assert [] == [finding for finding in first.plan.findings if finding.blocks]
    order = [change.address for change in first.plan.changes]
    late = [order.index(one) for one in ("railway/deployment/api", "railway/deployment/worker")]
    assert order.index("database/revision/0010") < min(late) < max(late) < order.index("database/revision/0011")


def test_ledger_and_alembic_agree(staging, first):
    assert "done" == first.verdict.word
    assert dict.fromkeys(REVISIONS, "applied") == staging.rows()
    assert ["0011"] == staging.heads()


def test_calls_are_those_of_the_plan(first):
    """Counted by the cloud: nothing but the deployments goes to a vendor's API."""
    print(f"\n  API calls of the first migration: {first.calls}")
    announced = {vendor: cost["writes"] for vendor, cost in first.plan.calls.items()}
    assert {"railway": 4, "vercel": 1} == {vendor: count for vendor, count in announced.items() if count}
    assert sum(announced.values()) == len(first.calls)


def test_second_migration_touches_nothing(first):
    assert "nothing-to-do" == first.again.word
    assert ([], []) == (first.again_calls, first.again_statements)


@pytest.mark.rare
def test_other_runbooks_find_nothing_to_say(staging):
    run = staging.world.open("plan")
    assert () == staging.world.plan(run).changes
    staging.world.seal(run)

    check = wiring.open_run("RB-060", {"environment": "staging"})
    for act in ("observe", "compare", "verify"):
        check.session.perform(act)
    assert "done" == staging.world.seal(check).word


@pytest.mark.rare
def test_production_is_read_without_its_rows(staging):
    """By what its server says was sent to it, everything logged; and by its counters of rows that were read."""
    counters = "select relname, seq_tup_read, idx_tup_fetch, n_tup_ins + n_tup_upd + n_tup_del as written"
    query = (
        f"{counters} from pg_stat_user_tables where schemaname = 'public' and relname <> 'alembic_version' order by 1"
    )
    staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)
    changed = staging.world.running.statements(staging.production)
    with staging.superuser(staging.production) as superuser:
        superuser.execute("alter system set log_statement = 'all'")
        superuser.execute("select pg_reload_conf()")
        before = superuser.execute(query).fetchall()
        staging.plan()
        after = superuser.execute(query).fetchall()
        superuser.execute("alter system reset log_statement")
        superuser.execute("select pg_reload_conf()")

    sent = staging.world.running.statements(staging.production)[len(changed) :]
    asked = [one["statement"] for one in sent]
    print(f"\n  {len(asked)} statements reached production, from {sorted({one['application_name'] for one in sent})}")
    assert {"pantheon_dump", "supabase_read_only_user"} >= {one["role"] for one in sent}
    assert any(re.match("LOCK TABLE .*public.messages.* IN ACCESS SHARE MODE", one) for one in asked)
    assert [] == [
        one
        for one in asked
        if re.search(r"\b(from|copy|into|update)\s+(public\.)?(messages|sessions|jobs)\b", one, re.IGNORECASE)
    ]
    assert before == after


# ---- cards, each before any write


def test_file_edited_after_it_was_applied_is_told(staging):
    staging.checkout.edit("0008", "nullable=False", "nullable=True")

    blocking = staging.blocking()

    assert {"edited-after-apply", "not-released"} >= set(blocking)
    told = blocking["edited-after-apply"]
    assert "database/revision/0008" == told.address
    assert "0008_job_attempts.py was edited after it was applied" in told.what
    assert "git log -- " in told.next_step


def test_secret_of_productions_in_the_backend_blocks(staging):
    """Its hosts may stand there; the value is told nowhere."""
    facts = staging.world.facts
    secret, host = facts["supabase"]["service_role_key"], facts["railway"]["api_domain"]
    (staging.checkout.folder / ".env").write_text(f"ORIGIN=https://{host}\nSUPABASE_SERVICE_ROLE_KEY={secret}\n")

    told = staging.blocking()["production-in-backend"]

    assert "line 2 of backend/.env holds production's secret SUPABASE_SERVICE_ROLE_KEY" == told.what
    assert told.next_step.startswith("rotate it in production, and put staging's there: pantheon-runbook env write")


NOTE = "op.add_column('jobs', sa.Column('note', sa.Text))"
NO_NOTE = "op.drop_column('jobs', 'note')"


@pytest.mark.rare
def test_file_edited_after_the_plan_is_named(staging):
    """A plan was read and approved for other bytes."""
    path, mark = staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE), staging.touched()
    edit = staging.editing(path, "'note'", "'remark'")

    verdict, stopped, _ = staging.run(when=("act-begins", "apply"), then=edit)

    assert isinstance(stopped, StalePlanError)
    assert "refused" == verdict.word
    assert "to change in another way: database/revision/0012" in stopped.why
    assert ([], []) == (staging.calls_since(mark), left_of_the_lock(staging.statements_since(mark)))


def left_of_the_lock(statements: list[str]) -> list[str]:
    return [one for one in statements if "pantheon_runbook.writer" not in one]


@pytest.mark.rare
def test_file_edited_at_the_last_moment_is_not_applied(staging):
    """After apply has looked again, and before the backend's interpreter has read it."""
    path = staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)
    edit = staging.editing(path, "'note'", "'remark'")

    _, stopped, _ = staging.run(when=("change-begins", "database/revision/0012"), then=edit)

    assert isinstance(stopped, StoppedError)
    assert "the file of revision 0012 is not the one that was approved" in stopped.what
    assert (["0011"], None) == (staging.heads(), staging.rows().get("0012"))


@pytest.mark.rare
def test_marker_taken_away_meanwhile_stops_the_next_revision(staging):
    """Whose database it is, is asked by the session that the worker is proven with, not once for all."""
    staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)
    unmark = "delete from pantheon_runbook.environment"

    _, stopped, _ = staging.run(when=("change-begins", "database/revision/0012"), then=lambda: staging.sql(unmark))

    assert isinstance(stopped, StoppedError)
    assert "no longer says that it is staging" in stopped.what
    assert (["0011"], None) == (staging.heads(), staging.rows().get("0012"))


@pytest.mark.rare
def test_nothing_to_begin_again_is_said(staging):
    told = [one.what for one in staging.plan(again="0011").findings]

    assert "revision 0011 was not left half-way: -p again=0011 says nothing" in told


def test_database_beyond_the_tree_is_named(staging):
    """A feature branch was there, or these scripts are older."""
    staging.checkout.file("0011").unlink()
    staging.checkout.commit()

    told = staging.blocking()["beyond-release"]

    assert "0011 (applied " in told.what
    assert "by supervisor, run " in told.what
    assert "-p refresh=true" in told.next_step


@pytest.mark.rare
def test_several_heads_come_with_the_command_that_joins_them(staging):
    for name in ("0012a", "0012b"):
        columns = f"op.add_column('jobs', sa.Column('of_{name}', sa.Text))", f"op.drop_column('jobs', 'of_{name}')"
        staging.checkout.add(name, columns[0], down="0011", downgrade=columns[1])

    told = staging.blocking()["several-heads"]

    assert "0012a (migrations/versions/0012a_added.py), 0012b" in told.what
    command = told.next_step.partition(": ")[2]
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True, capture_output=True, cwd="/")
    staging.checkout.commit()
    assert {} == staging.blocking()


@pytest.mark.rare
def test_alembics_table_set_back_by_hand_is_told(staging):
    staging.sql("update public.alembic_version set version_num = '0010'")

    told = staging.blocking()["ledger-ahead"]

    assert "0011 (applied " in told.what
    assert "Alembic's table is at 0010" in told.what
    assert told.next_step.endswith("run RB-020 -e staging -p baseline=0010")


@pytest.mark.rare
def test_drift_by_hand_is_told_and_fails_verify(staging):
    staging.sql("alter table public.sessions add column by_hand text; drop index public.sessions_owner_id")

    _, stopped, session = staging.run()
    found = {one.code: one for one in session.plan.findings}

    assert not found["schema-drift"].blocks
    assert "by_hand" in found["schema-drift"].what
    assert "sessions_owner_id" in found["schema-drift"].what
    assert isinstance(stopped, NotVerifiedError)
    assert "the schema is what its revisions make" in stopped.what
    code = found["schema-drift"].next_step.rpartition(" -p baseline=")[2]
    accepted, stopped, session = staging.run(baseline=code)
    told = {one.code: one.what for one in session.plan.findings}
    assert "failed a check: the schema is what its revisions make" in told["not-verified"]
    assert ("nothing-to-do", None) == (accepted.word, stopped)
    assert "not-verified" not in staging.findings()


def test_revision_that_fails_in_the_rehearsal_blocks(staging):
    staging.checkout.add("0012", "op.add_column('no_such_table', sa.Column('note', sa.Text))", down="0011")

    _, stopped, session = staging.run(until="approve")
    (told,) = [one for one in session.plan.findings if one.blocks]

    assert "database/revision/0012" == told.address
    assert 'relation "no_such_table" does not exist' in told.what
    assert isinstance(stopped, BlockedPlanError)


@pytest.mark.rare
def test_hazards_are_weighed_with_productions_rows(staging):
    """The same revision, on a table that production's statistics call big."""
    index = ("op.create_index('jobs_state', 'jobs', ['state'])", "op.drop_index('jobs_state')")
    staging.checkout.add("0012", index[0], down="0011", downgrade=index[1])
    few = staging.findings()
    with staging.superuser(staging.production) as superuser:
        superuser.execute("update pg_class set reltuples = 2e6, relpages = 2e4 where oid = 'public.jobs'::regclass")
        try:
            many = staging.findings()
        finally:
            superuser.execute("update pg_class set reltuples = -1, relpages = 0 where oid = 'public.jobs'::regclass")

    assert [] == [code for code, one in few.items() if one.blocks]
    (told,) = [one for one in many.values() if one.blocks]
    assert "1,000,000+ rows are indexed" in told.what


@pytest.mark.rare
def test_rehearsal_that_cannot_be_says_why(staging, monkeypatch, tmp_path):
    """No PostgreSQL on this machine: as where the extra was not installed."""
    staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)
    monkeypatch.setattr(binaries, "PACKAGE", "no_such_package")
    monkeypatch.setattr(binaries, "SYSTEM", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    binaries.postgres_binaries.cache_clear()
    try:
        plan = staging.plan()
    finally:
        binaries.postgres_binaries.cache_clear()

    told = {one.code: one for one in plan.findings}["migration-not-rehearsed"]
    assert binaries.EXTRA == told.next_step
    (change,) = [one for one in plan.changes if one.address == "database/revision/0012"]
    assert "not rehearsed: " in told.what
    assert "no PostgreSQL to run: install the rehearsal extra" in told.what
    assert change.risk.startswith("not known: ")
    assert "not known: it was not rehearsed" == change.undo


# ---- what others have done to the database


@pytest.mark.rare
def test_revision_of_bare_alembic_is_taken_as_a_baseline(staging):
    """Offered, compared, accepted: lines of the ledger, and nothing of the application's is touched."""
    staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)
    staging.checkout.bare(staging.url, "upgrade", "head")
    offered = staging.blocking()["unrecorded"]
    lower = staging.blocking(baseline="0011")
    mark = staging.touched()

    session = staging.applied(baseline="0012")

    assert "0012" in offered.what
    assert offered.next_step.endswith("run RB-020 -e staging -p baseline=0012")
    assert {"unrecorded"} == set(lower), "stated too low, it is offered as before"
    assert "database/ledger/baseline" in [one.address for one in session.results]
    assert [] == [one for one in staging.statements_since(mark) if "pantheon_runbook." not in one]
    assert ("baseline", ["0012"]) == (staging.rows()["0012"], staging.heads())
    assert {} == staging.blocking(baseline="0012"), "said once more, it has been accepted"


@pytest.mark.rare
def test_schema_without_alembics_table_is_taken_at_what_it_is(staging):
    """A dump came back without it: the wrong revision is refused with what differs, the right one is written down."""
    staging.sql("drop table public.alembic_version; truncate pantheon_runbook.migrations")
    staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)

    offered = staging.blocking()["schema-without-alembic"]
    wrong = staging.blocking(baseline="0010")["baseline-differs"]
    session = staging.applied(baseline="0011")

    assert offered.next_step.endswith("-p baseline=<revision>")
    assert "missing: " in wrong.what
    assert "role" in wrong.what
    assert re.search(r"to accept this difference: .* -p baseline=0010\+[0-9a-f-]{9}$", wrong.next_step)
    assert [("0012", "clean")] == [
        (one.revision, one.way) for one in session.definition.revising.rehearsals.found.staging.undone
    ]
    assert {**dict.fromkeys(REVISIONS, "baseline"), "0012": "applied"} == staging.rows()
    assert ["0012"] == staging.heads()


@pytest.mark.rare
def test_baseline_that_is_not_what_stands_needs_its_code(staging):
    staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)
    staging.checkout.bare(staging.url, "upgrade", "head")
    staging.sql("alter table public.jobs add column by_hand text")

    refused = staging.blocking(baseline="0012")["baseline-differs"]
    code = refused.next_step.rpartition(" -p baseline=")[2]
    found = {one.code: one for one in staging.applied(baseline=code).plan.findings}

    assert "by_hand" in refused.what
    assert re.fullmatch(r"0012\+[0-9a-f]{4}-[0-9a-f]{4}", code)
    assert not found["baseline-accepted"].blocks
    assert "baseline" == staging.rows()["0012"]


@pytest.mark.rare
def test_invalid_index_blocks_until_it_is_dropped(staging):
    """As a CREATE INDEX CONCURRENTLY leaves it that met two equal rows."""
    staging.sql("insert into public.sessions (title) values ('twice'), ('twice')")
    with staging.session() as session, pytest.raises(psycopg.errors.UniqueViolation):
        session.execute("create unique index concurrently one_title on public.sessions (title)")

    told = staging.blocking()["invalid-index"]
    with staging.session() as session:
        session.execute(told.next_step.partition("transaction: ")[2].partition(";")[0])

    assert "database/index/public.one_title" == told.address
    assert {} == staging.blocking()


# ---- around the deployment


@pytest.mark.rare
def test_contract_revision_waits_for_the_new_backend(staging):
    """First the deployment fails, and what the former backend needs is still there; then it works."""
    log_level = re.search(r'\[\[variables\]\]\nname = "LOG_LEVEL".*?secret = false\n', staging.config, re.DOTALL)
    staging.checkout.add("0012", NOTE, down="0011", downgrade=NO_NOTE)
    staging.checkout.add(
        "0013", "op.drop_column('jobs', 'attempts')", down="0012", phase="contract", forward_fix_only=True
    )
    staging.configure((log_level[0], ""))
    staging.hands.set_variable("api", "LOG_LEVEL", "no such level")

    _, stopped, session = staging.run()
    outcomes = {one.address: one.outcome for one in session.results}

    assert isinstance(stopped, StoppedError)
    assert "the deployment of api crashed" in stopped.what
    assert "database/revision/0013" in stopped.state
    assert ("done", "not-done") == (outcomes["database/revision/0012"], outcomes["database/revision/0013"])
    assert (
        "waits for railway/deployment/api"
        in {one.address: one.reason for one in session.results}["database/revision/0013"]
    )
    assert ["0012"] == staging.heads()

    staging.hands.set_variable("api", "LOG_LEVEL", "debug")
    staging.applied()
    ended = [one["address"] for one in staging.journal() if one["event"] == "change-ends"]
    assert ended.index("railway/deployment/api") < ended.index("database/revision/0013")
    assert ["0013"] == staging.heads()


@pytest.mark.rare
def test_what_waited_for_a_deployment_does_not_age_it(staging, monkeypatch):
    """Nothing is deployed for a contract revision alone, and neither verify nor the next plan asks for it."""
    monkeypatch.setattr(deploying, "_CLOCKS_APART", timedelta(0))
    comment = "op.execute('comment on table jobs is null')"
    staging.checkout.add("0012", comment, down="0011", phase="contract", forward_fix_only=True)

    staging.applied()

    begun = [one["address"] for one in staging.journal() if one["event"] == "change-begins"]
    assert ["database/revision/0012"] == begun
    assert "nothing-to-do" == staging.world.migrate().word


@pytest.mark.rare
def test_staging_made_by_hand_is_taken_over(unmigrated):
    """Day one: migrated by bare Alembic, without a marker; RB-010 adopts it, RB-020 takes the baseline."""
    staging = unmigrated
    staging.sql("drop schema pantheon_runbook cascade")
    staging.checkout.bare(staging.url, "upgrade", "head")
    staging.configure(more='\n[evidence]\npath = "day-one"\n')
    before = staging.shape()
    run = staging.world.open("plan")
    (told,) = [one.next_step for one in staging.world.plan(run).findings if "confirm=" in one.next_step][:1]
    staging.world.seal(run)
    confirmed = told.rpartition("confirm=")[2].split()[0]
    assert "done" == staging.world.provision(confirm=confirmed).word

    mark = staging.touched()
    staging.applied(baseline="0011")

    assert before == staging.shape()
    assert [] == [one for one in staging.statements_since(mark) if "pantheon_runbook" not in one]
    assert dict.fromkeys(REVISIONS, "baseline") == staging.rows()
