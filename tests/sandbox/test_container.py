"""The platform's side of a deployed process: whom it can reach, what it is told."""

import json
import socket
import subprocess
import sys

import pytest
from known import PASSWORD, REF

from pantheon_runbook.sandbox.network import Names, resolve
from pantheon_runbook.sandbox.platform import Deployment

CONTAINER = "pantheon_runbook.sandbox.container"
LOOKUP = """
import json, os, socket, sys
answers = {}
for host, port in (name.split(":") for name in sys.argv[1:]):
    try:
        answers[f"{host}:{port}"] = list(socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][4])
    except socket.gaierror as error:
        answers[f"{host}:{port}"] = error.errno
print(json.dumps({"answers": answers, "environment": sorted(os.environ)}))
"""


@pytest.fixture
def names(tmp_path):
    names = Names(tmp_path / "network.json")
    names.publish("*.pooler.supabase.com", 6543, 20001)
    names.publish("db.abc.supabase.co", 5432, 20002)
    names.publish_private("production", "redis.railway.internal", 6379, 20003)
    names.publish_private("staging", "redis.railway.internal", 6379, 20004)
    return names


def test_names_are_looked_up_in_their_own_network(names):
    def redis_from(network):
        return resolve("redis.railway.internal", 6379, names.file, network)

    assert [("127.0.0.1", 20003), ("127.0.0.1", 20004), None] == [
        redis_from("production"),
        redis_from("staging"),
        redis_from(None),
    ]
    assert ("127.0.0.1", 20001) == resolve("AWS-1-eu-west-1.pooler.supabase.com", 6543, names.file, "staging")
    assert resolve("db.abc.supabase.co", 6543, names.file) is None, "another port is another server"


def test_deployed_process_sees_its_network_and_nothing_else(names, tmp_path):
    (tmp_path / "lookup.py").write_text(LOOKUP)
    asked = ["redis.railway.internal:6379", "db.abc.supabase.co:5432", "api.supabase.com:443", "127.0.0.1:80"]
    options = ["--networks", str(names.file), "--network", "staging", "lookup", *asked]
    command = [sys.executable, "-m", CONTAINER, *options]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}
    )
    seen = json.loads(done.stdout)
    assert {
        "redis.railway.internal:6379": ["127.0.0.1", 20004],
        "db.abc.supabase.co:5432": ["127.0.0.1", 20002],
        "api.supabase.com:443": socket.EAI_NONAME,
        "127.0.0.1:80": ["127.0.0.1", 80],
    } == seen["answers"]


def deployment(tmp_path, program, *, listens=False, **variables):
    """A module of the test's own as a deployed process; PYTHONPATH is how it is found."""
    (tmp_path / "service.py").write_text(program)
    return Deployment("d-1", "staging", ("service",), {"PYTHONPATH": str(tmp_path), **variables}, listens)


def output(machines):
    return machines.deployments._processes["d-1"].log.read_text()


def test_process_environment_is_the_services_variables(with_machines, tmp_path):
    program = "import os, time\nprint(sorted(os.environ), flush=True)\ntime.sleep(60)"

    async def scenario(machines):
        assert "SUCCESS" == await machines.deploy(deployment(tmp_path, program, GREETING="hello"))
        visible = sorted({"GREETING", "PYTHONPATH"})
        # A C library may add its own locale setting; nothing else comes in.
        assert str(visible) == output(machines).strip().replace("'LC_CTYPE', ", "")

    with_machines(scenario)


def test_process_that_ends_is_crashed(with_machines, tmp_path):
    async def scenario(machines):
        assert "CRASHED" == await machines.deploy(deployment(tmp_path, "import sys; sys.exit('no such thing')"))
        assert "no such thing\n" == output(machines)

    with_machines(scenario)


def test_unhealthy_process_is_failed_and_ended(with_machines, tmp_path, monkeypatch):
    monkeypatch.setattr("pantheon_runbook.sandbox.deployments.HEALTH_SECONDS", 1.0)
    program = (
        "import http.server, os\n"
        "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.BaseHTTPRequestHandler)"
        ".serve_forever()"
    )

    async def scenario(machines):
        assert "FAILED" == await machines.deploy(deployment(tmp_path, program, listens=True))
        assert "ended" == machines.deployments.states()["d-1"]

    with_machines(scenario)


def test_backend_names_its_missing_variables(with_machines):
    command = ("pantheon_runbook.sandbox.pantheon.backend.app",)

    async def scenario(machines):
        made = Deployment("d-1", "staging", command, {"REDIS_URL": "redis://redis.railway.internal"}, listens=True)
        assert "CRASHED" == await machines.deploy(made)
        assert output(machines).startswith("cannot start: these variables are not set: DATABASE_POOL_URL, SUPABASE_URL")

    with_machines(scenario)


def test_libpq_keeps_the_host_it_was_given(with_machines, tmp_path):
    program = (
        "import os, psycopg, time\n"
        "with psycopg.connect(os.environ['DATABASE_URL']) as connection:\n"
        "    print(connection.info.host, connection.info.hostaddr, connection.info.user, flush=True)\n"
        "time.sleep(60)"
    )
    url = f"postgresql://postgres.{REF}:p%40ss%2Fword%2B100%25@aws-0-eu-west-1.pooler.supabase.com:5432/postgres"

    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        assert "SUCCESS" == await machines.deploy(deployment(tmp_path, program, DATABASE_URL=url))
        assert "aws-0-eu-west-1.pooler.supabase.com 127.0.0.1" in output(machines)

    with_machines(scenario)
