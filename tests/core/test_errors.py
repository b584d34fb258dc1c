"""Every error keeps the contract of the card: four lines, an exit code, a word; the tree as drawn is the tree."""

from __future__ import annotations

import inspect
import json
import re

import pytest

from pantheon_runbook import errors
from pantheon_runbook.errors import RunbookError, VendorError, VendorRefusedError
from pantheon_runbook.verdict import EXIT_CODES

NO_RUN = "no-run"


def classes() -> list[type[RunbookError]]:
    """The whole tree, root first."""
    found, left = [], [RunbookError]
    while left:
        one = left.pop(0)
        found.append(one)
        left += one.__subclasses__()
    return found


def made(one: type[RunbookError]) -> RunbookError:
    """One of each, told in words that need tidying."""
    more = {"vendor": "railway", "operation": "create a service"} if issubclass(one, VendorError) else {}
    status = {"status": 404} if issubclass(one, VendorRefusedError) else {}
    return one("what\n happened", why="why  it did", state="nothing was changed", next_step="do this", **more, **status)


@pytest.mark.parametrize("one", classes(), ids=lambda one: one.__name__)
def test_error_is_a_card(one: type[RunbookError]):
    error = made(one)

    assert "Stopped: what happened.\nWhy:     why it did.\nState:   nothing was changed.\nNext:    do this." == str(
        error
    )
    assert list(error.lines()) == error._render_traceback_() == str(error).splitlines()
    assert ("what happened.", "why it did.", "nothing was changed.", "do this.") == (
        error.what, error.why, error.state, error.next_step,
    )  # fmt: skip


@pytest.mark.parametrize("one", classes(), ids=lambda one: one.__name__)
def test_exit_code_is_that_of_the_word(one: type[RunbookError]):
    expected = {**EXIT_CODES, NO_RUN: 2}

    assert expected[one.word] == one.exit_code


@pytest.mark.parametrize("one", classes(), ids=lambda one: one.__name__)
def test_json_keys_are_pinned(one: type[RunbookError]):
    document = made(one).as_json()

    assert ["error", "exit_code", "next", "state", "what", "why", "word"] == sorted(document)
    assert one.__name__ == document["error"]
    assert document == json.loads(json.dumps(document))


def test_every_error_is_named_error():
    assert [] == [one.__name__ for one in classes() if not one.__name__.endswith("Error")]


def test_tree_on_the_page_is_the_tree():
    """Name, depth and order as drawn at the top of errors.py."""
    drawn = [
        (len(bars) // 4, name)
        for bars, name in re.findall(r"^([│├└─ ]*)(\w+Error)\b", inspect.getdoc(errors) or "", re.MULTILINE)
    ]

    def real(one: type[RunbookError], depth: int = 0) -> list[tuple[int, str]]:
        return [(depth, one.__name__), *(line for child in one.__subclasses__() for line in real(child, depth + 1))]

    assert real(RunbookError) == drawn


def test_every_class_of_the_module_is_in_the_tree():
    here = {name for name, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__}

    assert here == {one.__name__ for one in classes() if one.__module__ == errors.__name__}
