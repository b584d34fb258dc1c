"""The stand-in product on the seeded production: its routes, its jobs, its migrations."""

import time

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict
from talk import talk

from pantheon_runbook.sandbox.network import resolve
from pantheon_runbook.sandbox.seed import BACKEND, PRODUCTION_REVISION

HEAD = "0011"


def api(running, path, **options):
    return talk(running, running.facts()["railway"]["api_domain"], path, **options)


def finished_job(running, session_id):
    job = api(running, "/jobs", method="POST", body={"session_id": session_id}).json()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = api(running, f"/jobs/{job['id']}").json()
        if found["state"] == "done":
            return found
        time.sleep(0.02)
    pytest.fail(f"job {job['id']} is not done: {found}")


@pytest.fixture
def migrate(sandbox, monkeypatch):
    """Run Alembic in this process against the seeded production, over its session pooler."""
    parameters = conninfo_to_dict(sandbox.facts()["supabase"]["session_url"])
    address, port = resolve(parameters["host"], int(parameters["port"]), sandbox.networks_file)
    url = psycopg.conninfo.make_conninfo(**{**parameters, "host": address, "port": port})
    local = conninfo_to_dict(url)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{local['user']}@{address}:{port}/{local['dbname']}")
    monkeypatch.setenv("PGPASSWORD", local["password"])
    configuration = Config(str(BACKEND / "alembic.ini"))

    def run(revision):
        (command.downgrade if revision in {"base", PRODUCTION_REVISION} else command.upgrade)(configuration, revision)
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchall()

    run.url = url
    return run


def column_names(url, table):
    with psycopg.connect(url) as connection:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = 'public'"
        return {row[0] for row in connection.execute(query, [table]).fetchall()}


def test_health_shows_revision_and_no_secret(shared_sandbox):
    reply = api(shared_sandbox, "/health")
    supabase = shared_sandbox.facts()["supabase"]
    assert (200, PRODUCTION_REVISION) == (reply.status, reply.json()["revision"])
    assert f"{supabase['ref']}.supabase.co" == reply.json()["supabase"]
    assert not any(secret in reply.body.decode() for secret in (supabase["password"], supabase["service_role_key"]))


def test_production_has_rows_and_buckets(shared_sandbox):
    assert 40 == len(api(shared_sandbox, "/sessions?limit=100").json())
    assert ["avatars", "session-exports", "uploads"] == [b["id"] for b in shared_sandbox.facts()["supabase"]["buckets"]]


@pytest.mark.rare
@pytest.mark.parametrize("revision", [PRODUCTION_REVISION, "0009", "0010"])
def test_job_round_trip_at_each_open_revision(sandbox, migrate, revision):
    """Migrations run while the former release serves: each step that comes before the new one must do."""
    if revision != PRODUCTION_REVISION:
        migrate(revision)
    session = api(sandbox, "/sessions", method="POST", body={"title": "round trip"}).json()
    said = api(sandbox, f"/sessions/{session['id']}/messages", method="POST", body={"content": "twelve chars"})
    assert 201 == said.status
    assert ["user"] == [m["author"] for m in api(sandbox, f"/sessions/{session['id']}").json()["messages"]]
    assert {"messages": 1, "tokens": 3} == finished_job(sandbox, session["id"])["result"]


@pytest.mark.rare
def test_former_release_fails_once_its_column_is_gone(sandbox, migrate):
    """A contract revision that comes too early is seen by whoever asks for a session."""
    session = api(sandbox, "/sessions", method="POST", body={"title": "too early"}).json()
    migrate(HEAD)
    assert 500 == api(sandbox, f"/sessions/{session['id']}").status


@pytest.mark.rare
@pytest.mark.usefixtures("sandbox")
def test_tree_goes_up_down_and_up_again(migrate):
    assert [(HEAD,)] == migrate("head")
    assert "role" not in column_names(migrate.url, "messages")
    assert [(PRODUCTION_REVISION,)] == migrate(PRODUCTION_REVISION)
    assert {"role"} == column_names(migrate.url, "messages") & {"role", "author"}
    assert [] == migrate("base")
    assert set() == column_names(migrate.url, "sessions")
    assert [(HEAD,)] == migrate("head")


def test_tree_has_one_head_three_past_production():
    script = ScriptDirectory.from_config(Config(str(BACKEND / "alembic.ini")))
    assert [HEAD] == script.get_heads()
    pending = [revision.revision for revision in script.iterate_revisions(HEAD, PRODUCTION_REVISION)]
    assert [HEAD, "0010", "0009"] == pending


@pytest.mark.usefixtures("sandbox")
def test_browser_user_sees_own_sessions_only(migrate):
    with psycopg.connect(migrate.url) as connection:
        mine = "11111111-1111-4111-8111-111111111111"
        connection.execute("UPDATE sessions SET owner_id = %s WHERE title = 'Session 1'", [mine])
        connection.execute("SET LOCAL ROLE authenticated")
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{mine}"}}'])
        assert [("Session 1",)] == connection.execute("SELECT title FROM sessions").fetchall()
        connection.rollback()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/sessions/11111111-1111-4111-8111-111111111111/messages", {"content": "x"}, 404),
        ("/sessions/11111111-1111-4111-8111-111111111111/messages", {"content": ""}, 422),
        ("/jobs", {"session_id": "not one"}, 422),
        ("/jobs", {"session_id": "11111111-1111-4111-8111-111111111111"}, 404),
        ("/nothing", {}, 404),
    ],
)
def test_backend_refuses_what_makes_no_sense(shared_sandbox, path, body, status):
    assert status == api(shared_sandbox, path, method="POST", body=body).status


def graphql(running, query, **variables):
    token = running.facts()["tokens"]["RAILWAY_API_TOKEN"]
    body = {"query": query, "variables": variables}
    headers = {"Authorization": f"Bearer {token}"}
    reply = talk(running, "backboard.railway.com", "/graphql/v2", method="POST", body=body, headers=headers).json()
    assert "errors" not in reply, reply
    return reply["data"]


def test_new_deployment_takes_over_without_a_gap(sandbox):
    """The old process serves until the new one is healthy; then the new variables are what the service runs with."""
    railway = sandbox.facts()["railway"]
    assert "openai/gpt-5-mini" == api(sandbox, "/health").json()["model"]
    graphql(
        sandbox,
        "mutation($input: VariableUpsertInput!) { variableUpsert(input: $input) }",
        input={
            "projectId": railway["project_id"],
            "environmentId": railway["environment_id"],
            "serviceId": railway["services"]["api"],
            "name": "OPENROUTER_MODEL",
            "value": "another/model",
        },
    )
    deadline, seen = time.monotonic() + 15, []
    while time.monotonic() < deadline:
        reply = api(sandbox, "/health")
        seen.append(reply.status)
        if reply.json().get("model") == "another/model":
            break
    assert {200} == set(seen)
    assert "another/model" == reply.json()["model"]
