"""RB-020 on the sandbox: what it did is asked of the cloud's request log and of the databases' own log."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

from typing import Any

import pytest
from migrating_world import Staging

from pantheon_runbook.errors import BlockedPlanError, NotVerifiedError, StalePlanError, StoppedError
from pantheon_runbook.runner import wiring

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
    assert "300 rows of public.messages are updated" in changes["database/revision/0007"].risk
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


def test_other_runbooks_find_nothing_to_say(staging):
    run = staging.world.open("plan")
    assert () == staging.world.plan(run).changes
    staging.world.seal(run)

    check = wiring.open_run("RB-060", {"environment": "staging"})
    for act in ("observe", "compare", "verify"):
        check.session.perform(act)
    assert "done" == staging.world.seal(check).word


def test_production_is_read_without_its_rows(staging):
    """By what its server says was sent to it, everything logged; and by its counters of rows that were read."""
    counters = "select relname, seq_tup_read, idx_tup_fetch, n_tup_ins + n_tup_upd + n_tup_del as written"
    query = f"{counters} from pg_stat_user_tables where schemaname = 'public' and relname <> 'alembic_version' order by 1"
    staging.checkout.add("0012", "op.add_column('jobs', sa.Column('note', sa.Text))", down="0011")
    changed = staging.world.running.statements(staging.production)
    with staging.superuser(staging.production) as superuser:
        superuser.execute("alter system set log_statement = 'all'")
        superuser.execute("select pg_reload_conf()")
        before = superuser.execute(query).fetchall()
        staging.plan()
        after = superuser.execute(query).fetchall()
        superuser.execute("alter system reset log_statement")
        superuser.execute("select pg_reload_conf()")

    sent = [one for one in staging.world.running.statements(staging.production)[len(changed) :]]
    asked = [one["statement"] for one in sent]
    print(f"\n  {len(asked)} statements reached production, from {sorted({one['application_name'] for one in sent})}")
    assert {"pantheon_runbook_dump"} == {one["role"] for one in sent}
    assert any(statement.startswith("LOCK TABLE public.messages IN ACCESS SHARE MODE") for statement in asked)
    assert [] == [one for one in asked if re.search(r"\b(from|copy|into|update)\s+(public\.)?(messages|sessions|jobs)\b", one, re.I)]
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


def test_file_edited_after_the_plan_is_named(staging):
    """A plan was read and approved for other bytes."""
    path = staging.checkout.add("0012", "op.add_column('jobs', sa.Column('note', sa.Text))", down="0011")
    run = staging.open()
    for act in ("observe", "plan", "approve"):
        run.session.perform(act)
    mark = staging.touched()
    path.write_text(path.read_text().replace("'note'", "'remark'"))
    staging.checkout.commit()

    with pytest.raises(StalePlanError) as stopped:
        run.session.perform("apply")
    print(stopped.value)

    assert "refused" == staging.world.seal(run).word
    assert "database/revision/0012" in stopped.value.why
    assert ([], []) == (staging.calls_since(mark), left_of_the_lock(staging.statements_since(mark)))


def left_of_the_lock(statements: list[str]) -> list[str]:
    return [one for one in statements if "pantheon_runbook.writer" not in one]


def test_file_edited_at_the_last_moment_is_not_applied(staging):
    """After apply has looked again, and before the backend's interpreter has read it."""
    path = staging.checkout.add("0012", "op.add_column('jobs', sa.Column('note', sa.Text))", down="0011")
    run = staging.open()
    for act in ("observe", "plan", "approve"):
        run.session.perform(act)
    write = run.session.journal.write

    def edited_meanwhile(event: str, **fields: Any) -> None:
        write(event, **fields)
        if event == "change-begins":
            path.write_text(path.read_text().replace("'note'", "'remark'"))

    run.session.journal.write = edited_meanwhile
    with pytest.raises(StoppedError) as stopped:
        run.session.perform("apply")
    staging.world.seal(run)

    assert "the file of revision 0012 is not the one that was approved" in stopped.value.what
    assert (["0011"], None) == (staging.heads(), staging.rows().get("0012"))


def test_database_beyond_the_tree_is_named(staging):
    """A feature branch was there, or these scripts are older."""
    staging.checkout.file("0011").unlink()
    staging.checkout.commit()

    told = staging.blocking()["beyond-release"]

    assert "0011 (applied " in told.what
    assert "by supervisor, run " in told.what
    assert "re-create staging's schema" in told.next_step


def test_several_heads_come_with_the_command_that_joins_them(staging):
    for name in ("0012a", "0012b"):
        staging.checkout.add(name, f"op.add_column('jobs', sa.Column('of_{name}', sa.Text))", down="0011")

    told = staging.blocking()["several-heads"]

    assert "0012a (migrations/versions/0012a_added.py), 0012b" in told.what
    command = told.next_step.partition(": ")[2]
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True, capture_output=True, cwd="/")
    staging.checkout.commit()
    assert {} == staging.blocking()


def test_alembics_table_set_back_by_hand_is_told(staging):
    staging.sql("update public.alembic_version set version_num = '0010'")

    told = staging.blocking()["ledger-ahead"]

    assert "0011 (applied " in told.what
    assert "Alembic's table is at 0010" in told.what
    assert told.next_step.endswith("run RB-020 -e staging -p baseline=0010")


def test_drift_by_hand_is_told_and_fails_verify(staging):
    staging.sql("alter table public.sessions add column by_hand text; drop index public.sessions_owner_id")

    found = staging.findings()
    _, stopped, _ = staging.run()

    assert not found["schema-drift"].blocks
    assert "by_hand" in found["schema-drift"].what
    assert "sessions_owner_id" in found["schema-drift"].what
    assert isinstance(stopped, NotVerifiedError)
    assert "the schema is what its revisions make" in stopped.what
    code = found["schema-drift"].next_step.rpartition(" -p ")[2].partition("=")[2]
    assert ("nothing-to-do", None) == (lambda run: (run[0].word, run[1]))(staging.run(baseline=code))


def test_revision_that_fails_in_the_rehearsal_blocks(staging):
    staging.checkout.add("0012", "op.add_column('no_such_table', sa.Column('note', sa.Text))", down="0011")

    told = staging.blocking()["migration-not-rehearsed"]
    print(told)
    _, stopped, _ = staging.run(until="approve")

    assert "database/revision/0012" == told.address
    assert 'relation "no_such_table" does not exist' in told.what
    assert isinstance(stopped, BlockedPlanError)


def test_hazards_are_weighed_with_productions_rows(staging):
    """The same revision, on a table that production's statistics call big."""
    staging.checkout.add("0012", "op.create_index('jobs_state', 'jobs', ['state'])", down="0011", downgrade="op.drop_index('jobs_state')")
    few = staging.findings()
    with staging.superuser(staging.production) as superuser:
        superuser.execute("update pg_class set reltuples = 2e6, relpages = 2e4 where oid = 'public.jobs'::regclass")
        try:
            many = staging.findings()
        finally:
            superuser.execute("update pg_class set reltuples = -1, relpages = 0 where oid = 'public.jobs'::regclass")
    print({k:(v.blocks,v.what) for k,v in few.items()})
    print({k:(v.blocks,v.what) for k,v in many.items()})

    assert [] == [code for code, one in few.items() if one.blocks]
    (told,) = [one for one in many.values() if one.blocks]
    assert "2000000 rows" in told.what
