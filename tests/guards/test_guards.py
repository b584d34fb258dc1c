"""Each guard of guards.toml is there, and a test fails when it is taken out (DESIGN 10)."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reliability"))

from removing import REPOSITORY, Guard, copied, listed, python_of, run_tests
from tables import chosen

GUARDS = listed()
TRIED = chosen(GUARDS, "guards", size=2)


def test_no_id_is_used_twice():
    assert [] == [name for name, count in Counter(guard.id for guard in GUARDS).items() if count > 1]


def test_readme_says_how_many_there_are():
    assert f"Each of the {len(GUARDS)} guards" in (REPOSITORY / "README.md").read_text()


def test_guards_are_where_the_list_says():
    """Each once, so that nothing else is taken out; and what is left is still Python."""
    assert [] == [guard.id for guard in GUARDS if not _can_be_taken_out(guard, _text_of(guard.file))]


def _can_be_taken_out(guard: Guard, text: str) -> bool:
    left = guard.removed_from(text)
    compile(left, guard.file, "exec", dont_inherit=True)
    return text.count(guard.remove) == 1 and left != text


def test_guards_say_what_they_protect():
    """A sentence for an auditor."""
    sentence = re.compile(r"[A-Z]\S*( \S+){4,}\.")
    assert [] == [guard.id for guard in GUARDS if not sentence.fullmatch(guard.protects)]


def test_tests_of_the_list_exist():
    """By the name of the function; with its parameters a test is found when the guard is taken out."""
    functions = {(guard.test.partition("::")[0], guard.test.partition("::")[2].partition("[")[0]) for guard in GUARDS}
    assert [] == [f"{file}::{name}" for file, name in sorted(functions) if f"\ndef {name}(" not in _text_of(file)]


@functools.cache
def _text_of(file: str) -> str:
    return (REPOSITORY / file).read_text()


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
