"""What stopped a migration, in the four lines of a card: values in, errors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pantheon_runbook.errors import (
    ConfigError,
    OutcomeUnknownError,
    RefusedError,
    RunbookError,
    VendorRefusedError,
    VendorUnavailableError,
    WrongEnvironmentError,
)

_LOCK_STATES = ("55P03", "40P01")  # lock_not_available, deadlock_detected
_CANCELLED = "57014"
_NEEDED = ("No module named 'alembic'", "No module named 'sqlalchemy'")
_LINES_SHOWN = 3


def no_interpreter(python: str, error: OSError) -> RunbookError:
    return ConfigError(
        f"the backend's interpreter {python} cannot be started",
        why=f"{error.strerror}: {python}",
        next_step="set backend.python in pantheon.toml to the python in which the backend's alembic is installed",
    )


def no_ini(ini: Path) -> RunbookError:
    return ConfigError(
        f"there is no {ini.name} to migrate by",
        why=f"{ini} is not there",
        next_step="set backend.alembic in pantheon.toml to the backend's alembic.ini, starting beside pantheon.toml",
    )


def failed(event: Mapping[str, Any], *, output: Sequence[str]) -> RunbookError:
    """The error for a "failed" event of the worker; `output` is kept on it, for the journal."""
    if event["cause"] in {"seed", "seed-proof"}:
        return _with(_of_seed(event, output), output)
    if event["revision"]:
        return _with(_of_revision(event), output)
    return _with(_outside_a_revision(event), output)


def ended(code: int | None, revision: str, *, seconds: float, output: Sequence[str]) -> RunbookError:
    """It went without a word, or was told to when it gave none in time (`code` is None)."""
    how = f"no answer in {seconds:.0f} s" if code is None else f"it ended by itself ({_exit(code)})"
    if revision:
        return _with(_unknown(revision, f"{how}; {_last(output)}"), output)
    if missing := [line for line in output if line.endswith(_NEEDED)]:
        return _with(_no_alembic(missing[0]), output)
    error = RefusedError(
        "the backend's Alembic did not start",
        why=f"{how}; {_last(output)}",
        next_step="run `alembic history` with backend.python, and repair what it says",
    )
    return _with(error, output)


def not_forked(how: str, *, output: Sequence[str]) -> RunbookError:
    """Its interpreter was started, and no worker came of it."""
    error = RefusedError(
        "the backend's Alembic did not start",
        why=f"no worker came of its interpreter: {how}; {_last(output)}",
        next_step="look whether the machine has processes and memory left, then run again",
    )
    return _with(error, output)


def seed_ended(code: int | None, _revision: str, *, seconds: float, output: Sequence[str]) -> RunbookError:
    """It went without a word, or was told to when it took too long (`code` is None)."""
    how = f"it took longer than {seconds:.0f} s" if code is None else f"it ended by itself ({_exit(code)})"
    return _with(_seed_stopped(f"{how}; {_last(output)}"), output)


def _of_seed(event: Mapping[str, Any], output: Sequence[str]) -> RunbookError:
    why = f"{event['where']}: {event['message']}"
    if event["cause"] == "seed-proof":
        return WrongEnvironmentError(
            "the seed connects to another database",
            why=f"{why}; a URL in the code or in an .env file wins over DATABASE_URL",
            state="nothing was sent there; what the seed had committed before stands",
            next_step=f"let it take its URL from DATABASE_URL, {_AGAIN}",
        )
    return _seed_stopped(f"{why}; {_last(output)}" if output else why, str(event["sqlstate"]))


_AGAIN = "then make the schema anew: RB-020 with -p refresh=true"


def _seed_stopped(why: str, code: str = "") -> RunbookError:
    """Never one that is tried again: nobody but its author knows what of it can be done twice."""
    return VendorRefusedError(
        "the seed did not come to its end",
        status=400,
        code=code,
        vendor="database",
        operation="seed the database",
        why=why,
        state="changed in part: what the seed had committed by then stands",
        next_step=f"correct the seed, {_AGAIN}",
    )


def garbled(revision: str, *, output: Sequence[str]) -> RunbookError:
    """Something else than the worker has written to the runner; the worker has been ended."""
    why = "somebody else than the worker wrote into its pipe, as code does that writes to every descriptor it finds"
    if revision:
        return _with(_unknown(revision, why), output)
    next_step = "run `alembic history` with backend.python, and look what env.py and the revisions write to"
    return _with(RefusedError("the backend's Alembic cannot be understood", why=why, next_step=next_step), output)


def _with(error: RunbookError, output: Sequence[str]) -> RunbookError:
    for line in output:
        error.add_note(line)
    return error


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last(output: Sequence[str]) -> str:
    said = [line for line in output if line.strip()][-_LINES_SHOWN:]
    return f"its last words: {' / '.join(said)}" if said else "it had said nothing"


def _no_alembic(line: str) -> RunbookError:
    return ConfigError(
        "there is no alembic in the backend's interpreter",
        why=line,
        next_step="set backend.python in pantheon.toml to the python in which the backend's alembic is installed",
    )


def _outside_a_revision(event: Mapping[str, Any]) -> RunbookError:
    """env.py, the tree, or the connection; `done` are the revisions that were applied before it."""
    why = f"{event['where']}: {event['message']}" if event["where"] else event["message"]
    state = f"{', '.join(event['done'])} applied, nothing else changed" if event["done"] else "nothing was changed"
    if event["cause"] == "proof":
        return WrongEnvironmentError(
            "the backend's env.py connects to another database",
            why=f"{why}; a URL in the code or in an .env file wins over DATABASE_URL",
            state=state,
            next_step="let env.py take its URL from DATABASE_URL or from the ini's sqlalchemy.url, then plan again",
        )
    if event["cause"] == "pooler":
        return RefusedError(
            "the backend's env.py connects through a transaction pooler",
            why=f"{why}; what it sets and locks there is the next one's",
            state=state,
            next_step="let env.py take its URL as it is given to it, with its host and port, then plan again",
        )
    if event["cause"] == "unreachable" or event["sqlstate"] in _LOCK_STATES:
        is_lock = event["sqlstate"] in _LOCK_STATES
        return VendorUnavailableError(
            f"the backend's env.py {'did not get a lock' if is_lock else 'cannot reach the database'}",
            vendor="database",
            operation="connect",
            why=why,
            state=state,
            next_step="check that env.py takes its URL from DATABASE_URL and that the database answers, then run again",
        )
    what = "the backend's Alembic tree cannot be read" if event["cause"] == "tree" else "the backend's env.py stopped"
    next_step = "run `alembic upgrade head` on a database of your own, and repair what it says"
    return RefusedError(what, why=why, state=state, next_step=next_step)


def _of_revision(event: Mapping[str, Any]) -> RunbookError:
    revision, sqlstate, outcome = event["revision"], event["sqlstate"], event["outcome"]
    why = f"{event['where']}: {event['message']}"
    if outcome == "unknown":
        return _unknown(revision, why)
    if sqlstate in _LOCK_STATES and outcome == "rolled back":
        return VendorUnavailableError(
            f"revision {revision} did not get the locks that it needs",
            vendor="database",
            operation=f"carry out {revision}",
            why=f"{why} (SQLSTATE {sqlstate})",
            state=f"nothing was changed by {revision}: it was rolled back",
            next_step="end what holds the lock, or wait until it has ended, then run again",
        )
    return VendorRefusedError(
        _what(event),
        status=400,
        code=sqlstate,
        vendor="database",
        operation=f"carry out {revision}",
        why=f"{why} (SQLSTATE {sqlstate})" if sqlstate else why,
        state=_state(revision, outcome),
        next_step=_next(event),
    )


def _unknown(revision: str, why: str) -> RunbookError:
    return OutcomeUnknownError(
        f"what became of revision {revision} is not known",
        vendor="database",
        operation=f"carry out {revision}",
        why=why,
        state=f"unknown: {revision} is done as a whole, not at all, or in part if it leaves its transaction",
        next_step="run the plan again: it reads the ledger and alembic_version first",
    )


def _what(event: Mapping[str, Any]) -> str:
    revision = event["revision"]
    if event["sqlstate"] == _CANCELLED:
        return f"revision {revision} took longer than it may"
    words = {
        "own-commit": f"revision {revision} ends its own transaction",
        "role": f"revision {revision} changes the role",
        "order": f"revision {revision} cannot come next",
    }
    return words.get(event["cause"], f"revision {revision} failed")


def _state(revision: str, outcome: str) -> str:
    if outcome == "committed in part":
        return (
            f"changed in part: {revision} left its transaction, so what it did before is committed, and it is not done"
        )
    return f"nothing was changed by {revision}: it was rolled back"


def _next(event: Mapping[str, Any]) -> str:
    if event["outcome"] == "committed in part":
        return f"read {event['where']}, put the database right by hand or by a new revision, then plan again"
    if event["cause"] == "own-commit":
        return "use `with op.get_context().autocommit_block():` around what cannot run in a transaction"
    if event["cause"] == "order":
        return "run the plan again: it looks at what stands by now"
    if event["cause"] == "role":
        return "end it with RESET ROLE, or set the role in env.py for all revisions"
    if event["sqlstate"] == _CANCELLED:
        return "split it into smaller statements, or raise statement_seconds under [backend], then plan again"
    return f"correct {event['where'].partition(':')[0]}, then plan again"
