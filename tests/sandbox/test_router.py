"""One door, many hosts."""

import pytest
from starlette.requests import Request
from talk import supabase, talk


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.supabase.com", 401),
        ("sandbox.internal", 404),
        ("nobody-0000.up.railway.app", 404),
        ("nothing-here.vercel.app", 404),
        ("example.com", 421),
        ("127.0.0.1", 421),
    ],
)
def test_host_decides_who_answers(shared_sandbox, host, status):
    assert status == talk(shared_sandbox, host, "/v1/projects").status


def test_localhost_suffix_reaches_a_vendor(shared_sandbox):
    assert (
        401
        == talk(
            shared_sandbox, f"api.supabase.com.localhost:{shared_sandbox.tcp_port}", "/v1/projects", tcp=True
        ).status
    )


def test_proxy_form_reaches_a_vendor(shared_sandbox):
    """As curl -x sends it."""
    reply = talk(shared_sandbox, "api.supabase.com", "http://api.supabase.com/v1/projects", tcp=True)
    assert 401 == reply.status


def test_log_has_one_line_per_request(sandbox):
    supabase(sandbox, "/v1/organizations")
    supabase(sandbox, "/v1/projects/aaaaaaaaaaaaaaaaaaaa?x=1")
    talk(sandbox, sandbox.facts()["railway"]["api_domain"], "/health")
    assert [
        (1, "supabase", "GET", "/v1/organizations", 200),
        (2, "supabase", "GET", "/v1/projects/aaaaaaaaaaaaaaaaaaaa?x=1", 404),
    ] == [tuple(record[key] for key in ("seq", "service", "method", "path", "status")) for record in sandbox.log()]


def test_log_tells_production_from_the_rest(sandbox):
    ref = sandbox.facts()["supabase"]["ref"]
    supabase(sandbox, f"/v1/projects/{ref}", method="PATCH", body={"name": "renamed"})
    supabase(sandbox, f"/v1/projects/{ref}")
    (record,) = sandbox.mutating()
    assert ("PATCH /v1/projects/{ref}", "production") == (record["operation"], record["environment"])


def test_built_page_shows_its_variables(shared_sandbox):
    facts = shared_sandbox.facts()
    reply = talk(shared_sandbox, facts["vercel"]["domain"], "/")
    assert 200 == reply.status
    assert facts["railway"]["api_domain"] in reply.body.decode()
    assert 404 == talk(shared_sandbox, facts["vercel"]["domain"], "/../../facts.json").status


def test_protected_page_wants_its_secret(with_machines):
    variables = dict.fromkeys(("API_URL", "SUPABASE_URL", "SUPABASE_ANON_KEY"), "https://x.example")

    def ask(machines, query=b""):
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": query, "headers": []}
        return machines.pages.serve("preview.vercel.app", Request(scope)).status_code

    async def scenario(machines):
        await machines.build_page("dpl_1", {f"NEXT_PUBLIC_{name}": value for name, value in variables.items()})
        await machines.page_route("preview.vercel.app", "dpl_1", bypass_secrets=["opensesame"])
        assert [401, 401, 200] == [
            ask(machines),
            ask(machines, b"x-vercel-protection-bypass=wrong"),
            ask(machines, b"x-vercel-protection-bypass=opensesame"),
        ]

    with_machines(scenario)
