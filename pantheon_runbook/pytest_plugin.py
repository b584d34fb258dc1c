"""Tests marked `staging`: run only when asked for, and only against what is proven to be staging.

Loaded in every pytest run of whoever has this package installed: nothing is imported before somebody asks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pantheon_runbook.proving import Staging

_MARK = "staging"
_NOT_ASKED = "staging was not asked for: pytest --staging (after pantheon-runbook env write .env -e staging)"
_ANSWER = pytest.StashKey["tuple[dict[str, str], Staging | str]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pantheon-runbook", "tests against a shared staging")
    group.addoption("--staging", action="store_true", help="Run tests marked staging, if it is proven to be staging.")
    group.addoption("--require-staging", action="store_true", help="The same; fail at once if it is not proven.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{_MARK}: runs against staging, with --staging only, when proven to be it")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Production is refused before anything is collected; with xdist here, before a worker starts."""
    config = session.config
    if not _is_asked(config) or hasattr(config, "workerinput"):
        return
    answer = _answer(config)
    if isinstance(answer, str) and config.getoption("--require-staging"):
        raise pytest.UsageError(f"staging is required: {answer}")


def pytest_report_header(config: pytest.Config) -> str | None:
    """What the marked tests would run against."""
    if not _is_asked(config) or _ANSWER not in config.stash:
        return None
    answer = _answer(config)
    return f"staging: not proven: {answer}" if isinstance(answer, str) else f"staging: proven, project {answer.ref}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test. Looked at again when a conftest has changed the variables since."""
    if item.get_closest_marker(_MARK) is None:
        return
    if not _is_asked(item.config):
        pytest.skip(_NOT_ASKED)
    try:
        answer = _answer(item.config)
    except pytest.UsageError as error:
        item.session.shouldstop = "tests marked staging would use production"  # an exit would crash xdist's controller
        pytest.fail(str(error), pytrace=False)
    if isinstance(answer, str):
        pytest.skip(f"staging is not proven: {answer}")


@pytest.fixture
def staging(request: pytest.FixtureRequest) -> Staging:
    """What was proven: `ref`, `environment`, `variables`; for tests that are marked staging."""
    if request.node.get_closest_marker(_MARK) is None:
        pytest.fail("the fixture staging is for tests marked staging: @pytest.mark.staging", pytrace=False)
    answer = _answer(request.config)
    assert not isinstance(answer, str)
    return answer


def _is_asked(config: pytest.Config) -> bool:
    return bool(config.getoption("--staging") or config.getoption("--require-staging"))


def _answer(config: pytest.Config) -> Staging | str:
    """What is proven for the variables as they are now, or why it is not. Errors: UsageError for production's."""
    from pantheon_runbook.errors import RunbookError  # noqa: PLC0415
    from pantheon_runbook.proving import NotProvenError, prove  # noqa: PLC0415

    # pytest itself writes PYTEST_*, with the name of each test in it.
    now = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    if _ANSWER not in config.stash or config.stash[_ANSWER][0] != now:
        found: Staging | str
        try:
            found = prove(now, sorted({Path(".env").resolve(), config.rootpath / ".env"}))
        except NotProvenError as error:
            found = str(error)
        except RunbookError as error:
            raise pytest.UsageError(str(error)) from error
        config.stash[_ANSWER] = (now, found)
    return config.stash[_ANSWER][1]
