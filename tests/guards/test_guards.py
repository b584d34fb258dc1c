"""Each guard of guards.toml is there, and a test fails when it is taken out (DESIGN 10)."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reliability"))

from removing import REPOSITORY, Guard, copied, environment_of, listed, python_of, run_tests
from tables import chosen

GUARDS = listed()
TRIED = chosen(GUARDS, "guards", size=3)
by_id = pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.id)


def test_no_id_is_used_twice():
    assert [] == [name for name, count in Counter(guard.id for guard in GUARDS).items() if count > 1]


def test_readme_says_how_many_there_are():
    assert f"Each of the {len(GUARDS)} guards" in (REPOSITORY / "README.md").read_text()


@by_id
def test_guard_is_where_the_list_says(guard: Guard):
    """Once, so that nothing else is taken out; and what is left is still Python."""
    text = (REPOSITORY / guard.file).read_text()

    assert 1 == text.count(guard.remove)
    assert text != guard.removed_from(text)
    compile(guard.removed_from(text), guard.file, "exec", dont_inherit=True)


@by_id
def test_guard_says_what_it_protects(guard: Guard):
    """A sentence for an auditor."""
    assert len(guard.protects.split()) >= 5
    assert guard.protects.endswith(".")
    assert guard.protects[0].isupper()


def test_every_test_of_the_list_exists(tmp_path):
    names = sorted({guard.test for guard in GUARDS})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *names]
    (tmp_path / "t").mkdir()

    found = subprocess.run(
        command, cwd=REPOSITORY, env=environment_of(tmp_path), capture_output=True, text=True, check=False
    )

    assert (0, "") == (found.returncode, found.stderr)
    there = [line for line in found.stdout.splitlines() if "::" in line]
    assert [] == [name for name in names if not any(one == name or one.startswith(f"{name}[") for one in there)]


@pytest.mark.sweep
def test_untouched_copy_passes():
    """In the copy it is the copy that is tested, and its tests are green before anything is taken out."""
    with copied() as folder:
        where = "import pantheon_runbook; print(pantheon_runbook.__file__)"
        found = subprocess.run(
            [python_of(folder), "-c", where], cwd="/", env={}, capture_output=True, text=True, check=True
        )
        outcome = run_tests(folder, *sorted({guard.test for guard in TRIED}))

        assert str(folder / "pantheon_runbook" / "__init__.py") == found.stdout.strip()
        assert 0 == outcome.exit_code, outcome.output


@pytest.mark.sweep
@pytest.mark.parametrize("guard", TRIED, ids=lambda guard: guard.id)
def test_guard_is_missed_when_it_is_gone(guard: Guard, record_property):
    began = time.monotonic()
    with copied(guard) as folder:
        outcome = run_tests(folder, guard.test)

    word = "noticed" if outcome.is_noticed else "NOT NOTICED"
    record_property("guard", f"{guard.id:44} {time.monotonic() - began:5.1f} s  {word:11}  {outcome.failed[:80]}")
    assert outcome.is_noticed, f"pytest ended with {outcome.exit_code}\n{outcome.output}"
