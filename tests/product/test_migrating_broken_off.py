"""RB-020 killed on its way, and two of them at once: what the next run finds, says and does."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from migrating_world import Staging, until

from pantheon_runbook.evidence.verify import verify

pytestmark = pytest.mark.xdist_group("migrating")
DRIVER = Path(__file__).parents[1] / "driver.py"
# The copies that it is rehearsed on have names of their own.
SLOW = "op.execute(\"select pg_sleep(4) where current_database() = 'postgres'\")"
INDEX = "jobs_state"
CONCURRENTLY = (
    "with op.get_context().autocommit_block():",
    f"    op.create_index('{INDEX}', 'jobs', ['state'], postgresql_concurrently=True, if_not_exists=True)",
)


def column(name: str) -> tuple[str, str]:
    return f"op.add_column('jobs', sa.Column('{name}', sa.Text))", f"op.drop_column('jobs', '{name}')"


@contextmanager
def runner(staging: Staging, *points: tuple[str, str, str]) -> Iterator[subprocess.Popen[str]]:
    """On its way, as a process of its own; killed at the latest when the test has ended."""
    with subprocess.Popen(
        [sys.executable, str(DRIVER), json.dumps({"runbook": "RB-020", "points": points})],
        cwd=staging.world.folder,
        env=staging.world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def is_killed(process: subprocess.Popen[str]) -> None:
    """It had nothing to complain of."""
    assert "" == process.communicate(timeout=60)[1]
    assert -signal.SIGKILL == process.returncode


def words(staging: Staging) -> list[str]:
    """Every verdict in the ledger of evidence, which is intact."""
    report = verify(staging.world.evidence)
    assert () == report.findings
    return list(report.verdicts.values())


def gone(staging: Staging) -> bool:
    """The killed runner's sessions; the server looks once a second whether its client is there."""
    ours = "select count(*)::int as n from pg_stat_activity where application_name like 'pantheon-runbook %'"
    return bool(staging.sql(ours)[0]["n"] == 0)


@pytest.mark.rare
def test_killed_between_two_revisions(staging):
    for number, name in ((12, "first"), (13, "second")):
        staging.checkout.add(f"{number:04}", column(name)[0], down=f"{number - 1:04}", downgrade=column(name)[1])

    with runner(staging, ("after", "change-ends", "database/revision/0012")) as process:
        is_killed(process)
    left = staging.heads(), staging.rows().get("0013")
    session = staging.applied()

    assert (["0012"], None) == left
    assert "database/revision/0012" not in [one.address for one in session.results]
    assert (["0013"], "applied") == (staging.heads(), staging.rows()["0013"])
    assert "abandoned" == words(staging)[-2]


@pytest.mark.rare
def test_killed_in_the_middle_of_a_revision(staging):
    """What it had written is rolled back with its row in the ledger; the next run begins it anew."""
    staging.checkout.add("0012", column("half")[0], SLOW, down="0011", downgrade=column("half")[1])

    with runner(staging) as process:
        until(lambda: sleeping(staging))
        process.kill()
        is_killed(process)
    until(lambda: gone(staging))
    left = staging.heads(), staging.rows().get("0012"), has_column(staging, "half")
    staging.applied()

    assert (["0011"], None, False) == left
    assert (["0012"], "applied", True) == (staging.heads(), staging.rows()["0012"], has_column(staging, "half"))
    assert "abandoned" == words(staging)[-2]


def sleeping(staging: Staging) -> bool:
    asked = "select count(*)::int as n from pg_stat_activity where wait_event = 'PgSleep'"
    return bool(staging.sql(asked)[0]["n"])


def has_column(staging: Staging, name: str) -> bool:
    asked = f"select count(*)::int as n from information_schema.columns where column_name = '{name}'"
    return bool(staging.sql(asked)[0]["n"])


def waiting(staging: Staging) -> bool:
    asked = "select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock'"
    return bool(staging.sql(asked)[0]["n"])


def killed_while_it_waits(staging: Staging, statement: str) -> None:
    """The runner is killed in its CREATE INDEX CONCURRENTLY, which waits for somebody's open transaction."""
    staging.checkout.add("0012", *CONCURRENTLY, down="0011", downgrade=f"op.drop_index('{INDEX}')")
    with staging.session() as somebody, somebody.transaction():
        somebody.execute(statement)
        with runner(staging) as process:
            until(lambda: waiting(staging))
            process.kill()
            is_killed(process)
        until(lambda: gone(staging))
    assert ("begun", ["0011"]) == (staging.rows()["0012"], staging.heads())


@pytest.mark.rare
def test_left_half_way_is_finished_when_it_can_begin_anew(staging):
    """Killed before its index was begun; IF NOT EXISTS says that once more does no harm."""
    killed_while_it_waits(staging, "lock table public.jobs in share update exclusive mode")

    session = staging.applied()

    told = [one for one in session.plan.findings if one.code == "left-half-way"]
    assert [(False, "it will be run again, from its beginning")] == [(one.blocks, one.next_step) for one in told]
    assert ("applied", ["0012"]) == (staging.rows()["0012"], staging.heads())


@pytest.mark.rare
def test_invalid_index_of_a_killed_run_blocks_until_it_is_gone(staging):
    """IF NOT EXISTS would find it and take it for the index."""
    killed_while_it_waits(staging, "update public.jobs set state = state")

    told = staging.blocking()
    with staging.session() as session:
        session.execute(f"drop index concurrently public.{INDEX}")
    staging.applied()

    assert {"invalid-index"} == set(told)
    assert "revision 0012 has probably left it" in told["invalid-index"].what
    assert ("applied", ["0012"]) == (staging.rows()["0012"], staging.heads())
    valid = f"select indisvalid from pg_index where indexrelid = 'public.{INDEX}'::regclass"
    assert [{"indisvalid": True}] == staging.sql(valid)


@pytest.mark.rare
def test_what_may_not_begin_anew_is_not_begun_anew(staging):
    """Its connection is lost after it has counted up outside a transaction: neither this run nor the next retries."""
    counts = "op.execute('update jobs set attempts = attempts + 1')"
    block = ("with op.get_context().autocommit_block():", f"    {counts}", f"    {SLOW}")
    staging.checkout.add("0012", *block, down="0011", forward_fix_only=True)
    staging.sql("insert into sessions default values; insert into jobs (session_id) select id from sessions limit 1")

    with runner(staging) as process:
        until(lambda: sleeping(staging))
        with staging.superuser(staging.ref) as superuser:
            superuser.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
        printed, trouble = process.communicate(timeout=90)
    told, allowed = staging.blocking()["left-half-way"], staging.findings(again="0012")["left-half-way"]

    assert "" == trouble
    assert "revision 0012 was left half-way." == json.loads(printed)["what"]
    assert "changed in part: 0012 left its transaction" in json.loads(printed)["state"]
    assert [{"attempts": 1}] == staging.sql("select max(attempts) as attempts from public.jobs")
    assert "look which of its statements have been done" in told.next_step
    assert "-p again=0012" in told.next_step
    assert not allowed.blocks


@pytest.mark.rare
@pytest.mark.parametrize("number", [1, 2])
def test_two_runs_at_the_same_instant(staging, number):
    """From two working folders with homes of their own: one migrates, the other is told who does."""
    staging.checkout.add("0012", column("note")[0], SLOW, down="0011", downgrade=column("note")[1])
    runs = [beginning(staging, name) for name in (f"first-{number}", f"second-{number}")]

    ended = [(*run.communicate(timeout=120), run.returncode) for run in runs]

    (migrated,) = [one for one in ended if one[2] != 4]
    (refused,) = [one for one in ended if one[2] == 4]
    assert 0 == migrated[2], migrated
    assert re.search(r"another run is writing to this environment \(run [0-9a-f]{8} of supervisor on ", refused[0])
    assert "State:   nothing was changed." in refused[0]
    assert (["0012"], "applied") == (staging.heads(), staging.rows()["0012"])
    applied = [one for one in staging.world.running.statements(staging.ref) if "ADD COLUMN note" in one["statement"]]
    assert 1 == len(applied)


def beginning(staging: Staging, name: str) -> Any:
    folder = staging.world.folder / name
    folder.mkdir(exist_ok=True)
    config = (staging.world.folder / "pantheon.toml").read_text()
    (folder / "pantheon.toml").write_text(config.replace('"backend/alembic.ini"', f'"{staging.checkout.ini}"'))
    (folder / "identities.toml").write_text((staging.world.folder / "identities.toml").read_text())
    homes = {variable: str(folder / variable) for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    return subprocess.Popen(
        [sys.executable, "-m", "pantheon_runbook", "run", "RB-020", "--apply"],
        cwd=folder,
        env=staging.world.environment(**homes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
