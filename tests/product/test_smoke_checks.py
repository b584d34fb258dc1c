"""`check`: the declared smoke checks. They only read, of production too, and they send no more than they may."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from holder import PASSWORD, READ, Holder

from pantheon_runbook import checking, cli, clock, smoke
from pantheon_runbook.budget import Budget
from pantheon_runbook.checks import HttpCheck, SqlCheck
from pantheon_runbook.database.reading import wrapped
from pantheon_runbook.errors import RefusedError, WrongEnvironmentError
from pantheon_runbook.model import Check
from pantheon_runbook.providers.deployed import Deployed
from pantheon_runbook.providers.http import Reach
from pantheon_runbook.runner.surroundings import world as world_of

pytestmark = [pytest.mark.xdist_group("smoke-checks"), pytest.mark.alike]
ROLE = '\n[production_read]\nrelations = ["public.alembic_version", "public.jobs"]\n'
HEALTH = HttpCheck(kind="http", name="health", on="backend", path="/health", environments=("production",))


@pytest.fixture(scope="module")
def standing(new_world) -> Iterator[Any]:
    """A production whose holder has made the read role, and whose processes are awake."""
    with new_world() as world:
        holder = Holder(world.running)
        assert [] == holder.make_role()
        world.running.wake()
        world.holder = holder
        yield world
        holder.close()


@pytest.fixture
def production(standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its own files beside it, to be changed by a test."""
    standing.enter(monkeypatch)
    for name in ("pantheon.toml", "identities.toml", "credentials.toml"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text((standing.customer / name).read_text())
    with (tmp_path / "credentials.toml").open("a") as file:
        file.write(f'PRODUCTION_READ_PASSWORD = "{PASSWORD}"\n')
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(tmp_path / "credentials.toml"))
    monkeypatch.chdir(tmp_path)
    return standing


def add(text: str) -> None:
    path = Path("pantheon.toml")
    path.write_text(path.read_text() + text)


def only(*checks: str) -> None:
    """No check but these."""
    path = Path("pantheon.toml")
    path.write_text(path.read_text().partition("[[checks]]")[0] + "".join(checks))


def sql_check(query: str, expected: str = "rows = 1", environments: str = '"production"') -> str:
    return (
        f"\n[[checks]]\nname = \"sql\"\nkind = \"sql\"\nquery = '''{query}'''\n{expected}\n"
        f"environments = [{environments}]\n"
    )


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, arguments)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def visits(world: Any) -> list[str]:
    """What production's backend says that it was asked, by its own log."""
    logs = (world.running.folder / "deployments").glob("*/output.log")
    return [line for path in logs for line in re.findall(r'"([A-Z]+ \S+) HTTP', path.read_text())]


def witnesses(world: Any) -> tuple[list[str], list[str]]:
    """Everything that changed something, by the vendors' log and by production's database."""
    return world.mutating(), world.holder.done()


@pytest.mark.parametrize(("role", "checks", "sent"), [("", 3, 3), (ROLE, 4, 12)], ids=["endpoint", "role"])
def test_production_passes_and_nothing_is_written(production, role: str, checks: int, sent: int):
    """By the vendors' log, the database's and the backend's; what is said to be sent is what they saw."""
    add(role)
    before, seen, requests = witnesses(production), visits(production), len(production.running.log())

    code, out, error = call("check", "-e", "production", "--json")
    checked = json.loads(out)

    assert (0, checks, sent) == (code, len(checked["checks"]), checked["sent"]), error
    assert all(check["passed"] for check in checked["checks"])
    assert before == witnesses(production)
    assert ["GET /health"] == visits(production)[len(seen) :]
    assert 1 == len(production.running.log()) - requests  # the read-only query, or the pooler's address
    assert {"allowed", "checks", "cloud", "environment", "passed", "reader", "sent"} == set(checked)
    assert {"name", "expected", "found", "passed"} == set(checked["checks"][0])


def test_lines_say_expected_found_and_by_whom(production):
    add(ROLE)

    code, out, _ = call("check", "-e", "production")

    assert 0 == code
    assert "ok      the API is healthy\n        expected  200, status = " in out
    assert re.search(r'found     200, database = "ok", redis = "ok", status = "ok", \d+ ms', out)
    assert "ok      the read role cannot write" in out
    assert out.endswith("production (sandbox): 12 of 20 requests; SQL checks by role pantheon_read\n")


def test_failed_check_exits_six_in_four_lines(production):
    only(sql_check("select count(*) as n from public.jobs", "value = 41"))

    code, out, error = call("check", "-e", "production")

    assert 6 == code
    assert "found     1 row, value 40," in out
    for begins in ("Stopped: 1 of 1 checks", "Why:     sql: expected", "State:   nothing was changed", "Next:    put"):
        assert f"\n{begins}" in f"\n{error}"


def test_role_that_can_write_fails_the_checks(production):
    add(ROLE)
    production.holder.run("grant insert on public.jobs to pantheon_read")
    try:
        code, out, _ = call("check", "-e", "production")
        doctor = call("doctor")
    finally:
        production.holder.run("revoke insert on public.jobs from pantheon_read")

    assert 6 == code
    assert "found     this role can write production: it may write to public.jobs" in out
    assert "MISSING  production's read role       this role can write production" in doctor[1]


def test_doctor_probes_the_read_role(production):
    assert "ok       production's read role       none is named" in call("doctor")[1]
    add(ROLE)
    before = witnesses(production)

    assert "ok       production's read role       5 of 5 refused with 42501" in call("doctor")[1]
    assert before == witnesses(production)


def test_wrong_password_fails_what_needs_the_role(production):
    """And nothing else: the pages are looked at all the same."""
    add(ROLE)
    credentials = Path("credentials.toml")
    credentials.write_text(credentials.read_text().replace(PASSWORD, "not this one"))

    code, out, _ = call("check", "-e", "production")

    assert 6 == code
    assert 2 == out.count("ok    ")
    assert "found     not proven: The database refused to log in" in out.replace("the database", "The database")
    assert "not this one" not in out


def test_missing_password_stops_before_anything_is_sent(production):
    add(ROLE)
    credentials = Path("credentials.toml")
    credentials.write_text(credentials.read_text().replace("PRODUCTION_READ_PASSWORD", "ANOTHER"))
    seen, requests = visits(production), len(production.running.log())

    code, _, error = call("check", "-e", "production")

    assert (2, True) == (code, "PRODUCTION_READ_PASSWORD is missing" in error)
    assert (seen, requests) == (visits(production), len(production.running.log()))


@pytest.mark.parametrize(("password", "made"), [("PRODUCTION_READ_PASSWORD", 3), ("ANOTHER", 2)])
def test_page_needs_no_password_of_the_database(production, password: str, made: int):
    """The role is put to the probe where it can be, and it is said where it cannot."""
    add(ROLE)
    text = Path("pantheon.toml").read_text()
    head, *checks = text.split("[[checks]]")
    tail = checks[-1].partition("[production_read]")
    kept = [one for one in (*checks[:-1], tail[0]) if 'kind = "http"' in one]
    Path("pantheon.toml").write_text("[[checks]]".join((head, *kept)) + "".join(tail[1:]))
    credentials = Path("credentials.toml")
    credentials.write_text(credentials.read_text().replace("PRODUCTION_READ_PASSWORD", password))

    code, out, error = call("check", "-e", "production", "--json")

    checked = json.loads(out or "{}")
    assert 0 == code, error
    assert made == len(checked["checks"])
    assert ("not put to the probe: PRODUCTION_READ_PASSWORD is missing" in checked["reader"]) == (made == 2)


NOT_ONE_SELECT = {
    "second statement": "select 1; delete from public.jobs",
    "bracket closed early": "select 1) as a limit $1; delete from public.jobs; select * from (select 1",
    "data-modifying with": "with gone as (delete from public.jobs returning 1) select * from gone",
    "insert": "insert into public.jobs (session_id) values (gen_random_uuid()) returning id",
    "select for update": "select id from public.jobs for update",
    "select into": "select 1 as one into public.mine",
    "nextval": "select nextval('public.messages_id_seq')",
    "create": "create table public.mine ()",
    "commit": "commit",
    "soft guard off": "select set_config('transaction_read_only', 'off', true)",
    "comment": "-- nothing",
    "explain analyze": "explain analyze delete from public.jobs",
    "call": "call public.nothing()",
    "do": "do $$ begin delete from public.jobs; end $$",
    "lo_create": "select lo_create(0)",
}


@pytest.mark.parametrize("role", ["", ROLE], ids=["endpoint", "role"])
@pytest.mark.parametrize("what", sorted(NOT_ONE_SELECT))
def test_what_is_not_one_select_is_refused_by_the_database(production, what: str, role: str):
    """In PostgreSQL's words, with its SQLSTATE; by its log nothing was done."""
    only(sql_check(NOT_ONE_SELECT[what]), role)
    before = witnesses(production)

    check = checking.check("production").checks[0]

    assert not check.passed
    assert re.search(r"\b(42601|42501|0A000|25006|25001|42P01)\b", check.found), check.found
    print(f"{what:24} {'role' if role else 'endpoint':9} {check.found}")
    assert before == witnesses(production)


REVISION = "select version_num from public.alembic_version"


@pytest.mark.parametrize("role", ["", ROLE], ids=["endpoint", "role"])
@pytest.mark.parametrize(
    ("query", "expected", "verdict"),
    [
        (f"{REVISION};  ", 'value = "0008"', "passes"),
        (f"{REVISION} where false -- none", "rows = 0", "passes"),
        (f"{REVISION} where version_num like '%8'", 'columns = ["version_num"]\nrows = 1', "passes"),
        ("select n > 1 as more, n from generate_series(1, 2) as n", 'columns = ["more", "n"]\nrows = 2', "passes"),
        ("values (1.0)", "value = 1", "passes"),
        ("select 1 as one", "value = true", "fails"),
        ("select null as nothing", 'value = "null"', "fails"),
        ("values (1), (2)", "rows = 1", "fails"),
        ("select version_num, 1 from public.alembic_version", 'value = "0008"', "fails"),
        (REVISION, 'columns = ["version"]', "fails"),
        ("select * from generate_series(1, 1000000) as n", "rows = 100", "fails"),
    ],
)
def test_rows_are_judged_alike_both_ways(production, query: str, expected: str, verdict: str, role: str):
    only(sql_check(query, expected), role)

    check = checking.check("production").checks[0]

    assert (verdict == "passes") == check.passed, check.found


AUTH = """
[[checks]]
name = "sign-in"
kind = "auth"
settings = { disable_signup = %s }
environments = ["production"]
"""


@pytest.mark.parametrize(("wanted", "found"), [("false", True), ("true", False)])
def test_settings_of_the_sign_in_are_held_against_what_was_declared(production, wanted: str, *, found: bool):
    """The vendor's answer holds secrets: only what is declared is shown."""
    only(AUTH % wanted)
    before = witnesses(production)

    check = next(one for one in checking.check("production").checks if one.name == "sign-in")

    assert found == check.passed
    assert check.found.startswith("disable_signup = false, ")
    assert before == witnesses(production)


def test_secret_that_a_database_shows_is_masked(production):
    """A check may be declared without thought, and its result may be kept for long."""
    only(sql_check(f"select '{PASSWORD}' as shown", 'value = "something else"'))

    code, out, error = call("check", "-e", "production")

    assert 6 == code
    assert 'found     1 row, value "[secret]"' in out
    assert PASSWORD not in out + error


def test_slow_select_is_stopped_by_the_database(production):
    """The role's own time limit, and a check that says so."""
    only(sql_check("select count(*) from generate_series(1, 100000000000)"), ROLE)

    check = checking.check("production").checks[0]

    assert (False, True) == (check.passed, "57014" in check.found)


def test_repeated_requests_count_against_the_budget(production, monkeypatch):
    """A read is tried four times; the third is all that this budget has."""
    only(sql_check("select 1"))
    path = Path("pantheon.toml")
    path.write_text(path.read_text().replace("[[checks]]", "[policy]\nsmoke_requests = 3\n\n[[checks]]"))
    monkeypatch.setattr(clock, "sleep", lambda _: None)
    production.running.faults([{"kind": "500-before", "service": "supabase", "times": 9}])
    requests = len(production.running.log())
    try:
        code, _, error = call("check", "-e", "production")
    finally:
        production.running.faults([])

    assert 4 == code
    assert "Stopped: the budget of 3 requests for smoke checks is spent." in error
    assert 3 == len(production.running.log()) - requests


@pytest.mark.parametrize("allowed", range(1, 12))
def test_budget_is_never_exceeded(production, allowed: int):
    """Wherever it ends: at a page, the pooler's address, the login, a SELECT or a try to write."""
    add(ROLE)
    loaded = world_of()
    budget = Budget(allowed)
    outside = replace(loaded, reach=replace(loaded.reach, count=budget.spend))
    place = smoke.production_place(outside)
    pages = [one for one in outside.config.checks if isinstance(one, HttpCheck)]
    queries = [one for one in outside.config.checks if isinstance(one, SqlCheck)]
    seen = _seen(production)

    with pytest.raises(RefusedError, match=f"the budget of {allowed} requests"):
        [*smoke._pages(outside, place, pages, _nobody), *smoke._queries(outside, place, queries, budget, _nobody)]

    assert budget.spent == allowed
    assert _seen(production) - seen <= allowed


def _seen(world: Any) -> int:
    """Requests and statements, by the logs of everybody who received one; a SELECT is in none of them."""
    return len(visits(world)) + len(world.running.log()) + len(world.running.statements(world.holder.ref))


def _nobody(_words: str) -> None:
    """Nobody is told of the progress."""


class App(threading.Thread):
    """A deployed app of one raw answer, on a Unix socket; None: it never gives one. `asked` are the requests."""

    def __init__(self, path: Path, answer: bytes | None) -> None:
        super().__init__(daemon=True)
        self.asked: list[str] = []
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self.start()

    def run(self) -> None:
        held = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                break
            self.asked.append(connection.recv(65536).decode())
            if self._answer is None:
                held.append(connection)
            else:
                with suppress(OSError):  # whoever has seen enough hangs up
                    connection.sendall(self._answer)
                connection.close()
        for connection in held:
            connection.close()

    def end(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self.join()
        self._socket.close()


def http(status: str, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


def page_of(tmp_path: Path, answer: bytes | None, check: HttpCheck) -> tuple[Check, list[str]]:
    app = App(tmp_path / "app", answer)
    try:
        seconds = 0.3 if answer is None else 10
        deployed = Deployed(["https://api.example/health"], reach=Reach(str(tmp_path / "app")), timeout_seconds=seconds)
        return smoke._page(check, deployed, "https://api.example/health"), app.asked
    finally:
        app.end()


OK = HEALTH.model_copy(update={"json_fields": {"status": "ok", "queue": 0}, "latency_ms": 10_000})


ANSWERS = {
    "unavailable": (http("503 No", '{"status": "ok", "queue": 0}'), r"503, queue = 0, status = \"ok\", \d+ ms"),
    "redirect": (http("302 Found", "", "Location: https://elsewhere.example/x"), "302 to https://elsewhere.example/x"),
    "another value": (http("200 OK", '{"status": "degraded", "queue": 0}'), 'status = "degraded"'),
    "no value": (http("200 OK", '{"queue": 0}'), "no status"),
    "false for zero": (http("200 OK", '{"status": "ok", "queue": false}'), "queue = false"),
    "a list": (http("200 OK", '["ok"]'), "no JSON object"),
    "a page": (http("200 OK", "<html>"), "no JSON object"),
    "deep": (http("200 OK", "[" * 100_000), "no JSON object"),
    "endless": (http("200 OK", "x" * 1_000_001), "the answer has no end"),
    "cut off": (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", "RemoteProtocolError"),
    "nothing": (b"", "RemoteProtocolError"),
    "silence": (None, "ReadTimeout"),
}


@pytest.mark.parametrize("what", sorted(ANSWERS))
def test_page_that_is_not_as_expected_fails(tmp_path, what: str):
    answer, found = ANSWERS[what]
    check, asked = page_of(tmp_path, answer, OK)

    assert not check.passed
    assert re.search(found, check.found), check.found
    assert 1 == len(asked)


def test_page_that_is_slower_than_it_may_be_fails(tmp_path, monkeypatch):
    ticks = iter([0.0, 0.0, 0.0, 2.5])
    monkeypatch.setattr(clock, "monotonic", lambda: next(ticks))

    check, _ = page_of(tmp_path, http("200 OK", "{}"), HEALTH)

    assert (False, "200, 2500 ms") == (check.passed, check.found)


def test_visit_is_a_get_without_a_credential(tmp_path):
    check, (asked,) = page_of(tmp_path, http("200 OK", '{"status": "ok", "queue": 0.0}', "Set-Cookie: a=b"), OK)

    assert check.passed
    assert asked.startswith("GET /health HTTP/1.1\r\nHost: api.example\r\n")
    names = {line.partition(":")[0].lower() for line in asked.splitlines()[1:] if line}
    assert {"host", "accept", "accept-encoding", "connection", "user-agent"} == names
    assert asked.endswith("\r\n\r\n")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example/health/",
        "https://api.example/health?x=1",
        "https://api.example/",
        "https://api.example./health",
        "https://API.example/health",
        "http://api.example/health",
        "https://api.example:443/health",
        "https://user@api.example/health",
        "https://other.example/health",
        "https://api.example/%68ealth",
        "https://api.example/x/../health",
        "https://api.example/health#",
    ],
)
def test_only_the_declared_url_is_visited(tmp_path, url: str):
    app = App(tmp_path / "app", http("200 OK"))
    deployed = Deployed(["https://api.example/health"], reach=Reach(str(tmp_path / "app")), timeout_seconds=1)
    try:
        with pytest.raises(RefusedError, match="about to be visited"):
            deployed.get(url)
        assert [] == app.asked
    finally:
        app.end()


def test_host_that_is_not_productions_is_not_visited(production):
    """Nor the ones that are: the hosts are looked at before the first page."""
    path = Path("pantheon.toml")
    path.write_text(path.read_text().replace('"production" }', '"production", api_url = "https://evil.example" }', 1))
    before = visits(production)

    code, _, error = call("check", "-e", "production")

    assert (4, True) == (code, "evil.example is not a host of production" in error)
    assert before == visits(production)


def test_production_is_not_checked_as_staging(production):
    outside = world_of()
    host = outside.identities.production.hosts[0]
    place = smoke.Place("staging", "a" * 20, {"backend": host})

    with pytest.raises(WrongEnvironmentError, match="it is production's"):
        [*smoke._pages(outside, place, [HEALTH], _nobody)]


def test_host_that_nobody_names_is_a_failed_check(production):
    identities = Path("identities.toml")
    identities.write_text(re.sub("hosts = .*", "hosts = []", identities.read_text()))

    code, out, _ = call("check", "-e", "production")

    assert 6 == code
    assert "no host is known: environments.production.railway.api_url names it" in out


def test_environment_without_checks_says_so(production):
    only(sql_check("select 1", environments='"staging"'))

    code, _, error = call("check", "-e", "production")

    assert (2, True) == (code, "no check is declared for production" in error)


def test_staging_that_is_not_there_is_refused(production):
    code, _, error = call("check")

    assert (4, True) == (code, "staging is not there to be checked" in error)


def test_staging_is_checked_where_it_is(world):
    """Before anything is deployed to it, its pages fail; its database answers for itself."""
    assert "done" == world.provision().word
    before = world.mutating()
    (world.folder / "identities.toml").write_text((world.customer / "identities.toml").read_text())
    Path("pantheon.toml").write_text((world.customer / "pantheon.toml").read_text().partition("[[checks]]")[0])
    add(HTTP_OF_STAGING + sql_check("select name from pantheon_runbook.environment", 'value = "staging"', '"staging"'))

    code, out, error = call("check", "-e", "staging", "--json")
    checked = json.loads(out)

    assert 6 == code, error
    assert [("health", False), ("sql", True)] == [(one["name"], one["passed"]) for one in checked["checks"]]
    assert checked["checks"][0]["found"].startswith("404, ")
    assert checked["checks"][0]["found"].endswith("nothing is deployed there yet, RB-020 does that")
    assert "Supabase's read-only query" == checked["reader"]
    assert before == world.mutating()


HTTP_OF_STAGING = """
[[checks]]
name = "health"
kind = "http"
on = "backend"
path = "/health"
environments = ["staging"]
"""


def test_read_role_prints_sql_and_sends_nothing(production):
    code, _, error = call("read-role")
    assert (2, True) == (code, "there is no [production_read] in pantheon.toml" in error)
    add(ROLE)
    before, requests = witnesses(production), len(production.running.log())
    Path("credentials.toml").unlink()

    code, out, _ = call("read-role")

    assert 0 == code
    assert [f"{READ.role}" in out, 'grant select on "public"."jobs" to "pantheon_read";' in out] == [True, True]
    assert (before, requests) == (witnesses(production), len(production.running.log()))


def test_read_only_query_takes_what_was_declared_and_nothing_else(production):
    """The list of reads holds for smoke checks too: each as it is sent, with its limit."""
    only(sql_check("select 1"))
    outside = world_of()
    queries = [one for one in outside.config.checks if isinstance(one, SqlCheck)]
    requests = len(production.running.log())

    with ExitStack() as ends:
        client = smoke._supabase(outside, queries, ends)
        for body in (
            {"query": wrapped("select 2"), "parameters": [101]},
            {"query": "select 1", "parameters": [101]},
            {"query": wrapped("select 1"), "parameters": ["101"]},
            {"query": wrapped("select 1"), "parameters": []},
            {"query": wrapped("select 1")},
        ):
            path = f"/v1/projects/{production.holder.ref}/database/query/read-only"
            with pytest.raises(RefusedError, match="about to be sent as a read"):
                client.read("POST", path, operation="a check of somebody else's", body=body)

    assert requests == len(production.running.log())
    assert checking.check("production").passed
