"""Rows that proofs write through an app, read back and remove again; and how long an answer is waited for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.checks import Scalar
from pantheon_runbook.errors import VendorUnavailableError
from pantheon_runbook.judging import all_equal, expected_fields, found_fields, object_in
from pantheon_runbook.model import Check
from pantheon_runbook.proofs import Proof
from pantheon_runbook.providers.http import Visit
from pantheon_runbook.providers.staging_app import StagingApp

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_SUCCESS = 2  # the first digit of a status
_PART_OF_A_PATH = re.compile(r"[A-Za-z0-9_-]{1,100}")
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def asked_until(
    ask: Callable[[], Visit], wanted: Mapping[str, Scalar], *, status: int, seconds: float
) -> tuple[str, bool]:
    """(what was found last, whether it was what was wanted); asked again until it is so or the time is over."""
    began, pause = clock.monotonic(), _FIRST_PAUSE_SECONDS
    while True:
        found, passed = _judged(ask, wanted, status)
        waited = clock.monotonic() - began
        if passed or waited + pause > seconds:
            return f"{found}, after {waited:.0f} s" if waited >= 1 else found, passed
        clock.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)


def _judged(ask: Callable[[], Visit], wanted: Mapping[str, Scalar], status: int) -> tuple[str, bool]:
    try:
        seen = ask()
    except VendorUnavailableError as error:
        return f"no answer: {error.why}", False
    answered = object_in(seen.body)
    if wanted and answered is None:
        return f"{seen.status}, no JSON object", False
    fields = found_fields(wanted, answered or {})
    return ", ".join([str(seen.status), *fields]), seen.status == status and all_equal(wanted, answered or {})


class WrittenRow:
    """One declared proof on its way: what it wrote, whether it was read back, and what is left of it."""

    def __init__(self, proof: Proof, app: StagingApp, host: str, answers: dict[str, Mapping[str, Any]]) -> None:
        self.proof = proof
        self._app = app
        self._host = host
        self._answers = answers
        self._found: list[str] = []
        self._passed = False
        self._is_written = False

    def make(self) -> None:
        proof = self.proof
        used = {} if proof.uses is None else self._answers.get(proof.uses)
        if used is None:
            self._found.append(f'not made: "{proof.uses}" wrote nothing')
            return
        if not self._write(used):
            return
        self._passed = True
        if proof.read is not None:
            path = self._path_of(proof.read)
            self._passed = path is not None and self._read_back(path)

    def clean_up(self) -> None:
        """After every proof, since another may use the row; one without a DELETE of its own may go with another's."""
        path = self._path_of(self.proof.delete)
        if not self._is_written or path is None:
            return
        try:
            status = self._app.write("DELETE", self._host, path).status
        except VendorUnavailableError as error:
            self._found.append(f"DELETE {path} has no answer: {error.why}")
            self._passed = False
            return
        is_gone = status // 100 == _SUCCESS
        self._passed = self._passed and is_gone
        self._found.append("removed again" if is_gone else f"left behind: DELETE {path} answers {status}")

    def tell_what_is_left(self) -> None:
        """Of a row that has no DELETE: whether it is there after everything was cleaned up."""
        if not self._is_written or self._path_of(self.proof.delete) is not None:
            return
        path = self._path_of(self.proof.read)
        if path is not None and self._is_gone(path):
            self._found.append("gone with what it used")
            return
        self._found.append(f"left behind: {path or f'what POST {self.proof.path} wrote'}")

    def _path_of(self, path: str | None) -> str | None:
        return _filled_path(path, self._answers.get(self.proof.name, {})) if path else None

    def _is_gone(self, path: str) -> bool:
        try:
            return self._app.get(self._host, path).status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
        except VendorUnavailableError:
            return False

    @property
    def check(self) -> Check:
        proof = self.proof
        expected = [f"{proof.status} to POST {proof.path}"]
        expected += [f"{', '.join(expected_fields(proof.json_fields)) or '200'} read back"] if proof.read else []
        expected += [f"within {proof.seconds:g} s"] if proof.read else []
        return Check(proof.name, ", ".join(expected), ", ".join(self._found), self._passed)

    def _write(self, used: Mapping[str, Any]) -> bool:
        proof = self.proof
        path = _filled_path(proof.path, used)
        body = {name: _filled(value, used) for name, value in proof.body.items()}
        if path is None or None in body.values():
            self._found.append(f'not made: the answer of "{proof.uses}" lacks a field')
            return False
        try:
            seen = self._app.write("POST", self._host, path, body)
        except VendorUnavailableError as error:
            self._found.append(f"no answer to POST {path}: {error.why}; a row may be left behind")
            return False
        self._found.append(str(seen.status))
        self._is_written = seen.status // 100 == _SUCCESS
        if seen.status != proof.status:
            return False
        self._answers[proof.name] = object_in(seen.body) or {}
        return True

    def _read_back(self, path: str) -> bool:
        found, passed = asked_until(
            lambda: self._app.get(self._host, path),
            self.proof.json_fields,
            status=HTTPStatus.OK,
            seconds=self.proof.seconds,
        )
        self._found.append(f"read back {found}")
        return passed


def _filled(value: Scalar, fields: Mapping[str, Any]) -> Scalar | None:
    """A body's value with fields of an answer in it; None when one of them is not there."""
    if not isinstance(value, str):
        return value
    names = _FIELD.findall(value)
    if any(not isinstance(fields.get(name), str | int) for name in names):
        return None
    return _FIELD.sub(lambda found: str(fields[found[1]]), value)


def _filled_path(path: str, fields: Mapping[str, Any]) -> str | None:
    """The same for a path: what an app answers may be part of one, and nothing else of a URL."""
    names = _FIELD.findall(path)
    if any(not _PART_OF_A_PATH.fullmatch(str(fields.get(name, ""))) for name in names):
        return None
    return _FIELD.sub(lambda found: str(fields[found[1]]), path)
