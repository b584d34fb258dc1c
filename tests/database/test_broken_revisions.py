"""Revisions that break the rules or end in the middle: what stands there is what the card says, and nothing hangs."""

from __future__ import annotations

import os
import time

import pytest
from alembic_trees import ALONE, HALF, LEDGER, LEDGER_TABLE, Tree, apply, asked, tell

from pantheon_runbook.errors import OutcomeUnknownError, VendorRefusedError

BROKEN = {  # the second revision: its body; which error, a word of its card, and what it leaves
    "half-way": (
        f"{HALF}\nraise ValueError('no more')",
        VendorRefusedError,
        "b2_it.py:14: ValueError: no more",
        "rolled back",
        [],
    ),
    "bad SQL": ("op.execute('select nothing from nowhere')", VendorRefusedError, "SQLSTATE 42P01", "rolled back", []),
    "deferred to the commit": (
        "op.execute('create table half (i int unique initially deferred); insert into half values (1), (1)')",
        VendorRefusedError,
        "SQLSTATE 23505",
        "rolled back",
        [],
    ),
    "COMMIT": (
        f"{HALF}\nop.execute(' -- so\\n  Commit')",
        VendorRefusedError,
        "b2_it.py:14: it wants to end its own transaction",
        "rolled back",
        [],
    ),
    "COMMIT among others": (
        "op.execute('create table half (id int); commit; create table other (id int)')",
        VendorRefusedError,
        "b2_it.py:13: it wants to end its own transaction",
        "rolled back",
        [],
    ),
    "connection.commit": (
        f"{HALF}\nop.get_bind().commit()",
        VendorRefusedError,
        "b2_it.py:14: it wants to commit",
        "rolled back",
        [],
    ),
    "connection.rollback": (
        f"{HALF}\nop.get_bind().rollback()",
        VendorRefusedError,
        "b2_it.py:14: it wants to roll back",
        "rolled back",
        [],
    ),
    "another connection's commit": (
        "with op.get_bind().engine.begin() as other:\n    other.execute(sa.text('create table half (id int)'))",
        VendorRefusedError,
        "it wants to commit",
        "rolled back",
        [],
    ),
    "the driver's commit": (
        f"{HALF}\nop.get_bind().connection.commit()\nop.execute('create table other (id int)')",
        VendorRefusedError,
        "ends its own transaction",
        "committed, and it is not done",
        [("half",)],
    ),
    "the driver's commit, then an error": (
        f"{HALF}\nop.get_bind().connection.commit()\nraise ValueError('no more')",
        VendorRefusedError,
        "ValueError: no more",
        "committed, and it is not done",
        [("half",)],
    ),
    "SET ROLE": (
        f"{HALF}\nop.execute('set role pg_monitor')",
        VendorRefusedError,
        "with the role pg_monitor instead of postgres",
        "rolled back",
        [],
    ),
    "SET ROLE before it leaves": (
        f"op.execute('set role pg_monitor')\n{ALONE}\n    op.execute('select 1')",
        VendorRefusedError,
        "with the role pg_monitor instead of postgres",
        "rolled back",
        [],
    ),
    "outside, then an error": (
        f"{HALF}\n{ALONE}\n    op.execute('create table other (id int)')\nraise ValueError",
        VendorRefusedError,
        "ValueError",
        "committed, and it is not done",
        [("half",), ("other",)],
    ),
    "endless statement": ("op.execute('select pg_sleep(60)')", VendorRefusedError, "longer than it may", "rolled", []),
    "endless loop": ("while True:\n    pass", OutcomeUnknownError, "no answer in 4 s", "unknown", []),
    "sys.exit": ("import sys\nsys.exit(3)", VendorRefusedError, "SystemExit: 3", "rolled back", []),
    "os._exit": (
        "import os\nprint('good bye')\nos._exit(3)",
        OutcomeUnknownError,
        "exit code 3); its last words: good",
        "",
        [],
    ),
    "closes everything": ("import os\nos.closerange(3, 200)\nraise ValueError", OutcomeUnknownError, "", "unknown", []),
    "leaves a child with the pipe": (
        "import os, time\nif os.fork() == 0:\n    time.sleep(20)\nos._exit(4)",
        OutcomeUnknownError,
        "exit code 4",
        "unknown",
        [],
    ),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)", OutcomeUnknownError, "signal 9", "unknown", []),
    "ends its session": (
        "op.execute('select pg_terminate_backend(pg_backend_pid())')",
        OutcomeUnknownError,
        "b2_it.py:13: terminating connection",
        "unknown",
        [],
    ),
}


IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
ALWAYS = (
    "half-way",
    "COMMIT",
    "connection.commit",
    "the driver's commit",
    "SET ROLE",
    "outside, then an error",
    "os._exit",
)


@pytest.mark.sweep
@pytest.mark.parametrize("name", BROKEN if IS_FULL else ALWAYS)
def test_broken_revision_is_told_truthfully(url, tmp_path, name):
    """What stands there is what the card says, the ledger has no row of it, and Alembic is where it was."""
    body, error, card, state, left = BROKEN[name]
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int primary key)")
    tree.add("b2", body)
    tell(url, LEDGER_TABLE)
    began = time.monotonic()
    options = {"ledger": LEDGER, "seconds": 4.0, "statement_timeout_ms": 1000}
    with pytest.raises(error) as stopped:
        apply(tree, url, "a1", "b2", **options)

    assert time.monotonic() - began < 15
    assert card in str(stopped.value)
    assert state in stopped.value.state
    assert left == asked(url, "select tablename from pg_tables where tablename in ('half', 'other') order by 1")
    assert [("a1",)] == asked(url, "select version_num from alembic_version")
    assert [("a1", "applied")] == asked(url, "select revision, state from kept where state = 'applied'")
