"""Backends as people have them: somewhere else, with an interpreter of their own, or not quite as the config says."""

from __future__ import annotations

import re
import sysconfig
import venv
from pathlib import Path

import pytest
from checkout import Checkout
from migrating_world import Staging

from pantheon_runbook.errors import ConfigError, RunbookError, WrongEnvironmentError

pytestmark = pytest.mark.xdist_group("migrating")
ALEMBIC = 'alembic = "backend/alembic.ini"'


def python_line(staging: Staging) -> str:
    (line,) = [line for line in staging.config.splitlines() if line.startswith("python = ")]
    return line


def interpreter(folder: Path, *, packages: str) -> Path:
    """A virtual environment; `packages` are the folders that it imports from beside its own."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(f"{packages}\n")
    return folder / "bin" / "python"


def observed(staging: Staging) -> RunbookError:
    """The error of looking; nothing was sent anywhere."""
    mark, run = staging.touched(), staging.open("plan")
    try:
        with pytest.raises(RunbookError) as stopped:
            run.session.perform("observe")
    finally:
        staging.world.seal(run)
    assert mark == staging.touched()
    assert all((stopped.value.what, stopped.value.why, stopped.value.state, stopped.value.next_step))
    return stopped.value


@pytest.mark.rare
def test_backend_of_another_repository_and_interpreter(staging, tmp_path):
    """env.py takes DATABASE_URL; a name that is not on the path, a folder that is not beside the config."""
    python = interpreter(tmp_path / "of the backend", packages=sysconfig.get_path("purelib"))
    other = Checkout(tmp_path / "another repository" / "backend")
    note = f"import sys; assert sys.prefix == {str(tmp_path / 'of the backend')!r}, sys.prefix"
    other.add("0012", note, "op.add_column('jobs', sa.Column('note', sa.Text))", down="0011", forward_fix_only=True)
    staging.configure((ALEMBIC, f'alembic = "{other.ini}"'), (python_line(staging), f'python = "{python}"'))

    staging.applied()

    assert (["0012"], "applied") == (staging.heads(), staging.rows()["0012"])


def test_missing_ini_is_named(staging):
    staging.configure((ALEMBIC, 'alembic = "nowhere/alembic.ini"'))

    told = observed(staging)

    assert isinstance(told, ConfigError)
    assert "nowhere/alembic.ini" in told.why


@pytest.mark.rare
@pytest.mark.parametrize("python", ["no-such-python", "nowhere/bin/python"])
def test_missing_interpreter_is_named(staging, python):
    staging.configure((python_line(staging), f'python = "{python}"'))

    told = observed(staging)

    assert isinstance(told, ConfigError)
    assert python in told.what
    assert "set backend.python in pantheon.toml" in told.next_step


@pytest.mark.rare
def test_interpreter_without_alembic_is_told(staging, tmp_path):
    staging.configure((python_line(staging), f'python = "{interpreter(tmp_path / "bare", packages="")}"'))

    told = observed(staging)

    assert isinstance(told, ConfigError)
    assert "there is no alembic in the backend's interpreter" in told.what


@pytest.mark.rare
def test_wrong_version_table_is_told_before_anything_is_written(staging):
    """env.py knows better than the config where the revision is kept."""
    staging.configure(("release_branch", 'version_table = "public.applied"\nrelease_branch'))

    told = observed(staging)

    assert isinstance(told, ConfigError)
    assert "env.py keeps its revision in alembic_version" in told.what
    assert "write version_table under [backend]" in told.next_step


@pytest.mark.rare
def test_env_file_that_goes_elsewhere_is_refused(staging):
    """It takes no URL from anybody, and the database behind it is not touched."""
    env = staging.checkout.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace('os.environ["DATABASE_URL"]', repr(staging.url_of_production)))
    staging.checkout.add("0012", "op.add_column('jobs', sa.Column('note', sa.Text))", down="0011")
    before = staging.world.running.statements(staging.production)

    told = observed(staging)

    assert isinstance(told, WrongEnvironmentError)
    assert "the backend's env.py connects to another database" in told.what
    assert before == staging.world.running.statements(staging.production)
    assert ["0011"] == staging.heads()


def test_card_on_the_terminal_has_its_four_lines(staging):
    staging.configure((python_line(staging), 'python = "no-such-python"'))

    done = staging.world.cli("run", "RB-020")

    assert 4 == done.returncode, done.stdout + done.stderr
    told = done.stdout + done.stderr
    assert all(re.search(rf"^{word}: ", told, re.MULTILINE) for word in ("Why", "State", "Next"))
    assert "the backend's interpreter no-such-python cannot be started" in told
