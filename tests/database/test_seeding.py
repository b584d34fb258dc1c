"""The seed as a process: the backend's interpreter, DATABASE_URL and nothing else; bounded, proven, never repeated."""

from __future__ import annotations

import os
import sys
import time
from importlib import resources
from pathlib import Path

import pytest

from pantheon_runbook.database.migrations.alembic_process import Backend, held_proof
from pantheon_runbook.database.refreshing.seeding import SeedFile, seed
from pantheon_runbook.database.rehearsals.scratch import scratch
from pantheon_runbook.errors import ConfigError, VendorRefusedError, WrongEnvironmentError

pytestmark = pytest.mark.alike

INI = Path(str(resources.files("pantheon_runbook.sandbox.pantheon.backend") / "alembic.ini"))
ALCHEMY = """
import os, sqlalchemy

engine = sqlalchemy.create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
with engine.begin() as connection:
    connection.execute(sqlalchemy.text("create table seeded (id int)"))
"""


@pytest.fixture(scope="module")
def server():
    with scratch() as server:
        yield server


@pytest.fixture
def database(server, request):
    made = server.make(f"s{abs(hash(request.node.name))}")
    yield made
    server.drop(made)


@pytest.fixture
def run(database, tmp_path):
    """A seed of this text, run to its end; gives what stands in the database then."""

    def run(text: str, *, seconds: float = 20, python: str = sys.executable, digest: str = "") -> list[str]:
        (tmp_path / "seed.py").write_text(text)
        file = SeedFile.of("seed.py", tmp_path)
        file = SeedFile(file.written, file.path, digest or file.digest)
        began: list[str] = []
        with database.connection() as connection:
            try:
                with held_proof(connection) as proof:
                    url = database.url
                    seed(
                        Backend(INI, python),
                        file,
                        url,
                        proof=proof,
                        seconds=seconds,
                        begin=lambda: began.append("begun"),
                    )
            finally:
                run.began = began
            found = connection.execute(
                "select relname from pg_class where relnamespace = 'public'::regnamespace order by 1"
            )
            return [row[0] for row in found]

    return run


def test_seed_runs_as_a_script_of_the_backend(run):
    """Beside its own folder it imports from where alembic is run; __main__ is itself, and exit code 0 is no failure."""
    text = "import sys\nimport store\nif __name__ == '__main__':\n    exec('''" + ALCHEMY + "''')\n    sys.exit(0)"

    assert ["seeded"] == run(text)
    assert ["begun"] == run.began


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("print('one')\n\nraise ValueError('two')", "seed.py:3: ValueError: two; its last words: one"),
        ("raise SystemExit(3)", "seed.py:1: it ended with: 3"),
        ("import sys; sys.exit('no users')", "seed.py:1: it ended with: no users"),
        ("import os; os._exit(9)", "it ended by itself"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it ended by itself"),
        ("def broken(:", "seed.py: SyntaxError: "),
        (
            ALCHEMY + "    connection.execute(sqlalchemy.text('select nothing'))",
            'column "nothing" does not',
        ),
    ],
)
def test_seed_that_fails_says_why(run, text, why):
    with pytest.raises(VendorRefusedError) as stopped:
        run(text)

    assert why in stopped.value.why
    assert "changed in part" in stopped.value.state
    assert stopped.value.next_step.endswith("-p refresh=true.")


def test_seed_is_bounded_in_time(run):
    began = time.monotonic()

    with pytest.raises(VendorRefusedError) as stopped:
        run("import time\nprint('still here', flush=True)\ntime.sleep(60)", seconds=4.0)

    assert "it took longer than 4 s; its last words: still here" in stopped.value.why
    assert 30 > time.monotonic() - began


def test_seed_that_goes_elsewhere_sends_nothing(run, server):
    """A URL in the code wins over DATABASE_URL: SQLAlchemy's connection is proven before it is used."""
    other = server.make("elsewhere")
    text = f"import os\nos.environ['DATABASE_URL'] = {other.url.reveal()!r}\n" + ALCHEMY

    with pytest.raises(WrongEnvironmentError, match="another database"):
        run(text)

    with other.connection() as connection:
        assert (None,) == connection.execute("select to_regclass('public.seeded')").fetchone()


def test_other_file_than_approved_is_not_run(run):
    with pytest.raises(VendorRefusedError, match="did not come to its end") as stopped:
        run(ALCHEMY, digest="0" * 64)

    assert "it is not the file that was approved" in stopped.value.why


def test_missing_interpreter_begins_nothing(run):
    with pytest.raises(ConfigError):
        run("", python="/nowhere/python")

    assert [] == run.began


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_url_is_in_no_argument_and_no_environment(run, database, tmp_path, monkeypatch):
    """Of the process as others see it; and nothing that was not listed comes along."""
    monkeypatch.setenv("SUPABASE_ACCESS_TOKEN", "sbp_" + "a" * 40)
    told = tmp_path / "told"
    run(
        f"import os, sys\nopen({str(told)!r}, 'w').write(repr([sys.orig_argv, sorted(os.environ)]))\n"
        f"os.environ['PATH'] = {os.environ['PATH']!r}\nimport subprocess\n"
        f"open({str(tmp_path / 'seen')!r}, 'wb').write(subprocess.run(['sh', '-c', 'cat /proc/'"
        f" + str(os.getpid()) + '/environ || true'], capture_output=True).stdout)"
    )
    password = database.url.reveal().split(":")[2].split("@")[0]

    assert password not in told.read_text()
    assert "DATABASE_URL" in told.read_text()
    assert "SUPABASE_ACCESS_TOKEN" not in told.read_text()
    assert password.encode() not in (tmp_path / "seen").read_bytes()
