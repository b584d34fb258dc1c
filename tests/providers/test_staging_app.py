"""Proofs write rows through an app: of staging, of its own hosts, after a journal line, and with no way elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from pantheon_runbook.errors import RefusedError, WrongEnvironmentError
from pantheon_runbook.isolation.marks import Trace
from pantheon_runbook.page_proofs import page_check
from pantheon_runbook.proofs import Proof
from pantheon_runbook.providers.http import Reach
from pantheon_runbook.providers.staging_app import BYPASS_HEADER, StagingApp
from pantheon_runbook.secrets import Secret
from pantheon_runbook.written_rows import WrittenRow

API, PAGE, PRODUCTION = "api-staging-1.up.railway.app", "web-git-staging.vercel.app", "api-production-1.up.railway.app"


class Answers(httpx.BaseTransport):
    """Scripted answers by method and path; what came is kept."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers, self.requests = answers, []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status, body = self.answers.get(f"{request.method} {request.url.path}", (404, None))
        return httpx.Response(status, text=body) if isinstance(body, str) else httpx.Response(status, json=body)


class Scene:
    def __init__(self, patch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.journal: list[tuple[str, Mapping[str, Any]]] = []
        self.out = Answers(answers)
        patch.setattr(Reach, "transport", lambda _reach: self.out)

    def app(self, *hosts: str, environment: str = "staging", note: Any = None) -> StagingApp:
        return StagingApp(
            hosts or (API, PAGE),
            environment=environment,
            production={PRODUCTION},
            reach=Reach(),
            timeout_seconds=5,
            note=note or (lambda event, about: self.journal.append((event, about))),
            bypass=Secret("opens-previews"),
        )

    def made(self, **given: Any) -> tuple[WrittenRow, dict[str, Mapping[str, Any]]]:
        answers: dict[str, Mapping[str, Any]] = {"before": {"id": "../../admin", "number": 7}}
        row = WrittenRow(Proof(name="a row", path="/rows", seconds=0.1, **given), self.app(), API, answers)
        row.make()
        row.clean_up()
        row.tell_what_is_left()
        return row, answers


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **answers: Scene(monkeypatch, **answers)


@pytest.mark.parametrize("hosts", [(API, PRODUCTION), ("pantheon.example",)])
def test_host_that_is_not_stagings_is_refused(scene: Any, hosts: tuple[str, ...]) -> None:
    with pytest.raises(WrongEnvironmentError):
        scene().app(*hosts)


def test_production_has_no_proofs(scene: Any) -> None:
    with pytest.raises(WrongEnvironmentError, match="in production"):
        scene().app(API, environment="production")


def test_host_nobody_looked_at_is_not_asked(scene: Any) -> None:
    made = scene()
    with pytest.raises(RefusedError):
        made.app(API).write("POST", PAGE, "/rows", {})
    assert [] == made.out.requests


def test_write_is_not_sent_without_its_line(scene: Any) -> None:
    def full(_event: str, _about: Any) -> None:
        raise OSError(28, "No space left on device")

    made = scene()
    with pytest.raises(OSError, match="No space"):
        made.app(note=full).write("POST", API, "/rows", {})
    assert [] == made.out.requests


def test_bypass_secret_goes_to_previews_only(scene: Any) -> None:
    made = scene()
    app = made.app()
    app.get(API, "/")
    app.get(PAGE, "/")
    assert [None, "opens-previews"] == [one.headers.get(BYPASS_HEADER) for one in made.out.requests]


@pytest.mark.parametrize(
    ("given", "answers", "passed", "words"),
    [
        ({}, {"POST /rows": (201, {"id": "1"})}, True, "left behind: what POST /rows wrote"),
        ({}, {"POST /rows": (500, {})}, False, "500"),
        ({"read": "/rows/{id}"}, {"POST /rows": (201, {"id": "1"}), "GET /rows/1": (200, {})}, True, "left behind"),
        ({"read": "/rows/{id}"}, {"POST /rows": (201, {"id": "1"})}, False, "read back 404"),
        ({"read": "/rows/{id}"}, {"POST /rows": (201, {"id": "../admin"})}, False, "left behind: what POST"),
        ({"read": "/rows/{id}"}, {"POST /rows": (201, {})}, False, "201"),
        (
            {"delete": "/rows/{id}"},
            {"POST /rows": (201, {"id": "1"}), "DELETE /rows/1": (403, {})},
            False,
            "left behind: DELETE /rows/1 answers 403",
        ),
        ({"uses": "nothing"}, {"POST /rows": (201, {})}, False, 'not made: "nothing" wrote nothing'),
        ({"uses": "before", "body": {"of": "{missing}"}}, {}, False, "lacks a field"),
        ({"uses": "before", "body": {"of": "{number}"}}, {"POST /rows": (201, {})}, True, "201"),
    ],
)
def test_row_is_written_read_back_and_accounted_for(
    scene: Any,
    given: dict[str, Any],
    answers: dict[str, Any],
    passed: bool,  # noqa: FBT001  a case
    words: str,
) -> None:
    row, _ = scene(**answers).made(**given)
    assert (passed, True) == (row.check.passed, words in row.check.found), row.check


def test_answer_cannot_lead_to_another_path(scene: Any) -> None:
    made = scene(**{"POST /rows": (201, {"id": "1/../../admin?x=1"})})
    made.made(read="/rows/{id}", delete="/rows/{id}")
    assert ["POST /rows"] == [f"{one.method} {one.url.path}" for one in made.out.requests]


HTML = '<script src="/app.js?v=1"></script><script src="https://elsewhere.example/t.js"></script>'


@pytest.mark.parametrize(
    ("script", "passed", "words"),
    [
        ((200, f'fetch("https://{API}/x")'), True, f"names {API}"),
        ((200, f'fetch("https://other-{API}/x")'), False, "does not name"),
        ((200, f'["https://{API}","https://{PRODUCTION}"]'), False, f"production's host {PRODUCTION}"),
        ((200, f'["https://{API}","secret of production"]'), False, "names production's secret"),
        ((404, ""), False, "could not be read: /app.js?v=1"),
    ],
)
def test_page_is_read_with_its_scripts(scene: Any, script: Any, passed: bool, words: str) -> None:  # noqa: FBT001  a case
    made = scene(**{"GET /": (200, HTML), "GET /app.js": script})

    def find(text: str) -> tuple[Trace, ...]:
        return (Trace(1, "production's secret", is_secret=True),) if "secret of production" in text else ()

    check = page_check(made.app(), PAGE, api=API, production={PRODUCTION}, find=find)

    assert (passed, True) == (check.passed, words in check.found), check
    assert {PAGE} == {one.url.host for one in made.out.requests}
