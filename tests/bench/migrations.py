"""Guarded apply of a 100-revision tree beside the bare command, each on a database of its own, taking turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "database"))

import psycopg
from alembic_trees import ENVIRONMENTS, INI, Server, Tree, held, running_server

from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.alembic_process import migration
from pantheon_runbook.secrets import Secret

REVISIONS = 100
ROUNDS = int(os.environ.get("ROUNDS", "7"))
SHAPES = {"one transaction in all": "variable", "one per revision, as ours": "transaction per migration"}


def hundred_revisions(folder: Path, env: str) -> Tree:
    """What a backend of some years has: every fifth makes a table, the others alter, index and fill the last one."""
    tree = Tree(folder, ini=INI, env=env)
    for number in range(0, REVISIONS, 5):
        table = f"table_{number}"
        columns = ", ".join(
            f"sa.Column('{name}', {kind})"
            for name, kind in (("title", "sa.String(80)"), ("at", "sa.DateTime()"), ("size", "sa.Integer()"))
        )
        bodies = (
            f"op.create_table('{table}', sa.Column('id', sa.Integer(), primary_key=True), {columns})",
            f"op.add_column('{table}', sa.Column('note', sa.Text(), nullable=True))",
            f"op.create_index('ix_{table}', '{table}', ['title'])",
            f"op.execute(\"insert into {table} (title) select 'a title' from generate_series(1, 20)\")",
            f"op.alter_column('{table}', 'title', nullable=False)",
        )
        for offset, body in enumerate(bodies):
            tree.add(f"r{number + offset:03}", body)
    return tree


def bare_seconds(tree: Tree, url: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        [str(Path(sys.executable).with_name("alembic")), "upgrade", "head"],
        cwd=tree.folder,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def guarded_seconds(tree: Tree, url: str) -> float:
    """From its interpreter's start to its end, with the ledger, whose tables stand as they do after the first run."""
    with psycopg.connect(url, autocommit=True) as connection:
        ledger.make(connection)
    with held(url) as proof:
        started = time.perf_counter()
        with migration(
            tree.backend,
            Secret(url),
            proof=proof,
            ledger=ledger.entry(run_id="bench", operator="supervisor"),
            lock_timeout_ms=3000,
            statement_timeout_ms=60_000,
            observe=False,
            application_name="bench",
        ) as one:
            for revision in one.history.pending(one.heads):
                one.step(revision.id)
        return time.perf_counter() - started


def measure(server: Server, folder: Path) -> None:
    for words, shape in SHAPES.items():
        tree = hundred_revisions(folder / shape.replace(" ", "-"), ENVIRONMENTS[shape][1])
        bare_seconds(tree, server.new_database())  # bytecode is written once, for both
        guarded, bare = [], []
        for number in range(ROUNDS):
            os.environ["LC_ROUND"] = str(number)  # another environment: it is started anew, as the bare one is
            guarded.append(guarded_seconds(tree, server.new_database()))
            bare.append(bare_seconds(tree, server.new_database()))
        median, beside = statistics.median(guarded), statistics.median(bare)
        print(f"  {words:28} bare {beside:.2f} s, guarded {median:.2f} s: {median / beside:.2f} x", end="")
        print(f"  (fastest of each: {min(guarded) / min(bare):.2f} x)")


def main() -> None:
    """Print both figures."""
    folder = Path(tempfile.mkdtemp(prefix="pr-b-"))
    print(f"guarded apply of {REVISIONS} revisions beside `alembic upgrade head`, medians of {ROUNDS} rounds")
    with running_server(folder) as server:
        measure(server, folder / "trees")


if __name__ == "__main__":
    main()
