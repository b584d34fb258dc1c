"""What a smoke check expected and what it found, in words; pure. Values are shown short, and only declared ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pantheon_runbook.checks import MOST_ROWS, AnyCheck, AuthCheck, HttpCheck, Scalar, SqlCheck
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.model import Check

_SHOWN = 60
_ABSENT = object()


def judged_page(check: HttpCheck, status: int, body: bytes, location: str, milliseconds: int) -> Check:
    """`location` is where a redirect points: it was not followed, and its host alone says enough."""
    found = [str(status) + (f" to {location[:_SHOWN]}" if location else "")]
    passed = status == check.status and milliseconds <= check.latency_ms
    if check.json_fields:
        answered = object_in(body)
        found += ["no JSON object"] if answered is None else found_fields(check.json_fields, answered)
        passed = passed and answered is not None and all_equal(check.json_fields, answered)
    return Check(check.name, expected_of(check), ", ".join([*found, f"{milliseconds} ms"]), passed=passed)


def judged_rows(check: SqlCheck, rows: Sequence[dict[str, Any]], milliseconds: int) -> Check:
    """`rows` are objects with their columns in order; without a row the columns are not known."""
    columns = tuple(rows[0]) if rows else None
    value = next(iter(rows[0].values())) if len(rows) == 1 and len(rows[0]) == 1 else _ABSENT
    passed = (
        milliseconds <= check.latency_ms
        and check.rows in {None, len(rows)}
        and check.columns in {None, columns}
        and (check.value is None or _is_equal(check.value, value))
    )
    found = [_counted(len(rows)) if len(rows) <= MOST_ROWS else f"more than {MOST_ROWS} rows"]
    found += [f"columns {', '.join(columns)}"] if check.columns is not None and columns else []
    found += [f"value {_shown(value)}"] if check.value is not None and value is not _ABSENT else []
    return Check(check.name, expected_of(check), ", ".join([*found, f"{milliseconds} ms"]), passed=passed)


def judged_settings(check: AuthCheck, settings: Mapping[str, Any], milliseconds: int) -> Check:
    """Those that are declared, and no others: the vendor's answer holds secrets."""
    passed = milliseconds <= check.latency_ms and all_equal(check.settings, settings)
    found = found_fields(check.settings, settings)
    return Check(check.name, expected_of(check), ", ".join([*found, f"{milliseconds} ms"]), passed=passed)


def failed(check: AnyCheck, error: RunbookError) -> Check:
    """One that could not be made."""
    return Check(check.name, expected_of(check), f"{error.what} {error.why}", passed=False)


def expected_of(check: AnyCheck) -> str:
    return ", ".join([*_expected(check), f"within {check.latency_ms} ms"])


def _expected(check: AnyCheck) -> Iterator[str]:
    if isinstance(check, HttpCheck):
        yield str(check.status)
        yield from expected_fields(check.json_fields)
        return
    if isinstance(check, AuthCheck):
        yield from expected_fields(check.settings)
        return
    if check.rows is not None:
        yield _counted(check.rows)
    if check.columns is not None:
        yield f"columns {', '.join(check.columns)}"
    if check.value is not None:
        yield f"value {_shown(check.value)}"


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


def object_in(body: bytes) -> dict[str, Any] | None:
    """The JSON object in an answer; None for anything else."""
    try:
        answered = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answered if isinstance(answered, dict) else None


def expected_fields(wanted: Mapping[str, Scalar]) -> list[str]:
    return [f"{name} = {_shown(value)}" for name, value in wanted.items()]


def found_fields(wanted: Mapping[str, Scalar], answered: Mapping[str, Any]) -> list[str]:
    """The same fields as they were answered, and no others: what is not declared is not shown."""
    return [f"{name} = {_shown(answered[name])}" if name in answered else f"no {name}" for name in sorted(wanted)]


def all_equal(wanted: Mapping[str, Scalar], answered: Mapping[str, Any]) -> bool:
    return all(_is_equal(value, answered.get(name, _ABSENT)) for name, value in wanted.items())


def _is_equal(expected: Scalar, found: Any) -> bool:
    """As JSON means it: true is not 1, 1 is 1.0, and nothing is not a value."""
    return isinstance(expected, bool) == isinstance(found, bool) and bool(expected == found)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
