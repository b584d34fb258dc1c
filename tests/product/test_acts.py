"""The acts of one run: what each refuses, and that a refusal sends nothing."""

from __future__ import annotations

import hashlib
import json

import pytest

from pantheon_runbook.errors import (
    ActOrderError,
    BlockedPlanError,
    ConfigError,
    EvidenceError,
    ParameterError,
    RefusedError,
    StalePlanError,
    UnknownOutcomeError,
    WrongEnvironmentError,
)
from pantheon_runbook.model import Held

pytestmark = pytest.mark.alike


def config_of(world, *replacements):
    """A copy of the sandbox customer's config with texts replaced, beside a copy of the identities."""
    text = (world.customer / "pantheon.toml").read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path = world.folder / "pantheon.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("act", ["plan", "approve", "apply", "verify"])
def test_act_called_too_early_is_refused(world, act):
    run = world.open()

    with pytest.raises(ActOrderError) as stopped:
        run.session.perform(act)

    assert "next in this run is observe." == stopped.value.why
    assert [] == world.mutating()
    assert "incomplete" == world.seal(run).word


def test_early_call_does_not_spoil_the_run(world):
    run = world.open("plan")
    with pytest.raises(ActOrderError):
        run.session.perform("apply")
    world.plan(run)

    assert "planned" == world.seal(run).word


def test_plan_run_holds_what_would_write(world):
    run = world.open("plan")
    world.plan(run)

    held = [run.session.perform(act) for act in ("approve", "apply", "verify")]

    assert ["approve", "apply", "verify"] == [one.act for one in held if isinstance(one, Held)]
    assert [] == world.mutating()
    world.seal(run)


def test_equal_worlds_give_equal_plans(world):
    """The digest can only be approved if it can be made again."""
    first, second = world.open("plan"), world.open("plan")
    plans = [world.plan(first), world.plan(second)]

    assert plans[0].to_bytes() == plans[1].to_bytes()
    assert hashlib.sha256(plans[0].to_bytes()).hexdigest() == plans[1].digest
    for run in (first, second):
        world.seal(run)


def test_moved_ground_stops_apply(world, hands):
    """An approval does not outlive the state it was given for."""
    run = world.open()
    world.plan(run)
    run.session.perform("approve")
    hands.new_vercel_variable(key="NEXT_PUBLIC_API_URL", value="https://by-hand.example", target=["preview"])
    sent = hands.mark()

    with pytest.raises(StalePlanError) as stopped:
        run.session.perform("apply")

    assert [] == hands.sent_since(sent)
    assert "vercel/variables/preview is present, and was absent: NEXT_PUBLIC_API_URL" in stopped.value.why
    assert "nothing was changed." == stopped.value.state
    assert "refused" == world.seal(run).word


def plan_that_was_read(world, **parameters):
    """A plan.json of a plan run."""
    reading = world.open("plan", **parameters)
    read = world.folder / "plan.json"
    read.write_bytes(world.plan(reading).to_bytes())
    world.seal(reading)
    return read


@pytest.mark.parametrize("content", ["", "{}", "[]", "# a report", '{"changes": 5}', "[" * 100_000])
def test_file_that_is_no_plan_opens_nothing(world, content):
    read = world.folder / "plan.json"
    read.write_text(content)

    with pytest.raises(ParameterError, match="is no plan"):
        world.open(plan_file=str(read))

    assert [] == world.mutating()


@pytest.mark.rare
def test_plan_of_another_production_is_not_taken_for_carried_out(world):
    """Nothing is left to do, and still the plan that was named was for something else."""
    assert "done" == world.provision().word
    read = plan_that_was_read(world)
    plan = json.loads(read.read_bytes())
    read.write_text(json.dumps({**plan, "production": {**plan["production"], "supabase_ref": "a" * 20}}))
    run = world.open(plan_file=str(read))
    world.plan(run)

    with pytest.raises(StalePlanError):
        run.session.perform("approve")
    world.seal(run)


def test_plan_that_was_read_is_recorded_as_read(world):
    read = plan_that_was_read(world)
    run = world.open(plan_file=str(read))
    world.plan(run)

    assert "self-approved, pre-read" == run.session.perform("approve").kind
    world.seal(run)


def test_plan_with_other_parameters_opens_nothing(world):
    """The card has the command with the parameters that the plan was made with."""
    read = plan_that_was_read(world, restore_paused=True)

    with pytest.raises(ParameterError, match="other parameters") as stopped:
        world.open(plan_file=str(read))

    assert "the plan has -p restore_paused=true, and this run none." == stopped.value.why
    command = f"pantheon-runbook run RB-010 -e staging -p restore_paused=true --apply --plan {read}"
    assert command == stopped.value.next_step
    assert [] == world.mutating()
    world.seal(world.open(plan_file=str(read), restore_paused=True))


def test_plan_of_another_day_is_refused(world, hands):
    read = plan_that_was_read(world)
    hands.new_vercel_variable(key="NEXT_PUBLIC_API_URL", value="https://by-hand.example", target=["preview"])
    sent = hands.mark()
    run = world.open(plan_file=str(read))
    world.plan(run)

    with pytest.raises(StalePlanError, match="the plan that was read") as stopped:
        run.session.perform("approve")

    assert "to change in another way: vercel/variables/preview." == stopped.value.why
    assert [] == hands.sent_since(sent)
    assert "refused" == world.seal(run).word


def test_finding_cannot_be_approved(world, hands):
    """One Vercel variable for preview and production: staging's value would change production's."""
    hands.new_vercel_variable(key="NEXT_PUBLIC_API_URL2", value="https://x.example", target=["preview", "production"])
    run = world.open()
    plan = world.plan(run)
    sent = hands.mark()

    with pytest.raises(BlockedPlanError) as stopped:
        run.session.perform("approve")

    assert ["shared-variable"] == [finding.code for finding in plan.findings]
    assert "take Preview off NEXT_PUBLIC_API_URL2" in stopped.value.next_step
    assert [] == hands.sent_since(sent)
    world.seal(run)


def test_staging_that_is_production_is_refused(world):
    """The config names production's project as staging's: the vendor's own answer gives it away."""
    production = world.facts["supabase"]
    config_of(
        world,
        ('name = "pantheon-staging", organization', f'name = "{production["project_name"]}", organization'),
    )
    run = world.open()

    with pytest.raises(WrongEnvironmentError) as stopped:
        run.session.perform("observe")

    assert "supabase_ref" in stopped.value.what
    assert [] == world.mutating()
    world.seal(run)


def test_railway_project_of_production_is_refused(world):
    """Also while it has no environment of the name that we would make."""
    config_of(
        world, ('project_name = "pantheon-staging"', f'project_name = "{world.facts["railway"]["project_name"]}"')
    )
    run = world.open()

    with pytest.raises(WrongEnvironmentError) as stopped:
        run.session.perform("observe")

    assert "railway_project" in stopped.value.what
    assert [] == world.mutating()
    world.seal(run)


@pytest.mark.parametrize("spelling", [str.upper, str.title])
def test_ids_of_production_in_capitals_are_its_ids(world, spelling):
    """Railway's ids are UUIDs, which people and tools spell in both ways."""
    railway, folder = world.facts["railway"], world.folder
    swaps = [(railway[name], spelling(railway[name])) for name in ("project_id", "environment_id")]
    config_of(world, *swaps, ('project_name = "pantheon-staging"', f'project = "{railway["project_id"]}"'))
    identities = (world.customer / "identities.toml").read_text()
    for old, new in swaps:
        identities = identities.replace(old, new)
    (folder / "identities.toml").write_text(identities)
    run = world.open()

    with pytest.raises(WrongEnvironmentError):
        run.session.perform("observe")

    assert [] == world.mutating()
    world.seal(run)


def test_production_is_not_an_environment_to_provision(world):
    with pytest.raises(ParameterError):
        world.open(environment="production")

    assert not world.evidence.exists()


def test_write_outside_apply_is_refused(world):
    """The gate is shut in every other act, whoever asks."""
    run = world.open()
    plan = world.plan(run)
    kind = run.session.kinds["supabase/project"]

    with pytest.raises(RefusedError):
        kind.write(next(change for change in plan.changes if change.address == "supabase/project"))

    assert [] == world.mutating()
    world.seal(run)


def test_journal_has_intent_before_each_write(world):
    """By the sandbox's log: as many write-intents as mutating requests, and a result for each."""
    world.provision()
    (bundle,) = [path for path in world.evidence.iterdir() if path.is_dir() and not path.name.startswith(".")]
    events = [json.loads(line) for line in (bundle / "journal.jsonl").read_text().splitlines()]
    intents = [event for event in events if event["event"] == "write-intent"]
    results = [event for event in events if event["event"] == "write-result"]
    in_database = [event for event in intents if event["vendor"] == "database"]

    assert len(world.mutating()) == len(intents) - len(in_database)
    assert 1 == len(in_database)
    assert sorted((e["address"], e["operation"]) for e in intents) == sorted(
        (e["address"], e["operation"]) for e in results
    )


def test_write_whose_result_cannot_be_written_down_is_unknown(world):
    """The disk fills up between a write and its line: what was sent is never called "not done"."""
    run = world.open()
    world.plan(run)
    run.session.perform("approve")
    write = run.session.journal.write
    full = iter([True])

    def on_a_full_disk(event, **fields):
        if event == "write-result" and next(full, False):
            raise EvidenceError("the journal cannot be written", why="No space left on device", next_step="make room")
        write(event, **fields)

    run.session.journal.write = on_a_full_disk
    with pytest.raises(UnknownOutcomeError) as stopped:
        run.session.perform("apply")

    assert "No space left on device." == stopped.value.why
    assert ("unknown", 5) == (stopped.value.word, stopped.value.exit_code)
    assert "unknown" == world.seal(run).word


def test_pin_is_refused_on_live(world, monkeypatch):
    config_of(world, ('cloud = "sandbox"', 'cloud = "live"'))
    monkeypatch.setenv("PANTHEON_PIN", "2026-11-23T10:00:00+00:00")

    with pytest.raises(ConfigError) as stopped:
        world.open()

    assert "predictable" in stopped.value.why


@pytest.mark.rare
def test_variables_are_those_the_strategy_names(world, hands):
    """STRATEGY-F25, 4: what staging's API and worker must have, and what Preview must point at."""
    world.provision()
    named = {"DATABASE_URL", "DATABASE_POOL_URL", "REDIS_URL"}
    families = ("SUPABASE_", "OPENROUTER_")

    for service in ("api", "worker"):
        variables = hands.variables(service)
        assert named <= set(variables)
        assert all(any(name.startswith(family) for name in variables) for family in families)
        assert all(world.facts["supabase"]["ref"] not in value for value in variables.values())
    preview = {one["key"]: one for one in hands.preview()}
    assert f"https://{world.staging_ref()}.supabase.co" == preview["NEXT_PUBLIC_SUPABASE_URL"]["value"]
    assert preview["NEXT_PUBLIC_API_URL"]["value"].endswith(".up.railway.app")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/projects/abc", None),
        ("POST", "/v1/projects", {"name": "x"}),
        ("POST", "/graphql/v2", {"query": "mutation M { projectDelete(id: 1) }"}),
        ("POST", "/graphql/v2", {"query": "query Q { me { id } } mutation M { projectDelete(id: 1) }"}),
        ("POST", "/v1/projects/abc/database/query", {"query": "select 1"}),
    ],
)
def test_read_is_not_a_way_to_write(world, method, path, body):
    """What can change something is not sent as a read, whoever asks and whatever it is called."""
    run = world.open("plan")
    client = run.session.kinds["supabase/auth"]._client
    before = len(world.running.log())

    with pytest.raises(RefusedError):
        client.read(method, path, operation="look", body=body)

    assert before == len(world.running.log())
    world.seal(run)
