"""Day one: two files from what the tokens see, and nothing written to any vendor: the sandbox's log is the witness."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from test_bad_input import A_TOKEN, _assert_is_card

from pantheon_runbook.config import load_config, load_identities
from pantheon_runbook.secrets import fingerprint, is_pinnable

pytestmark = pytest.mark.xdist_group("runner-quiet")
CHOICE = (
    *("--production-supabase", "pantheon-production", "--staging-supabase", "new"),
    *("--production-railway", "pantheon/production", "--staging-railway", "new"),
)
INIT = ("init", "--cloud", "sandbox", *CHOICE)
FILES = ("pantheon.toml", "identities.toml")


@pytest.fixture
def day_one(desk):
    """Tokens, and neither of the two files."""
    for name in FILES:
        (desk.folder / name).unlink()
    return desk


def identities(desk) -> Path:
    return desk.folder / "identities.toml"


def values_read(running, after: int = 0) -> list[str]:
    """Requests that brought values of production's Railway variables."""
    return [
        record["operation"]
        for record in running.log(after)
        if record["environment"] == "production" and "variables" in record["operation"].split(",")
    ]


def seen(running) -> int:
    return max((record["seq"] for record in running.log()), default=0)


def planted(facts) -> set[str]:
    """Every token, key and password of the seeded world."""
    names = ("anon_key", "service_role_key", "publishable_key", "secret_key", "password", "session_url")
    of_supabase = {facts["supabase"][name] for name in (*names, "transaction_url", "direct_url")}
    return {*of_supabase, *facts["tokens"].values(), facts["openrouter"]["key"]}


def test_files_are_all_that_doctor_asks_for(day_one):
    before = day_one.world.mutating()

    code, out, _ = day_one.call(*INIT)

    assert 0 == code
    assert "taken: the Vercel project pantheon-web, the only one that the token sees" in out
    typed = [line.partition("#")[0].strip() for line in out.partition("Then:\n")[2].splitlines()]
    assert [
        f"pantheon-runbook {one}" for one in ("init --pin-production", "doctor", "run RB-060", "run RB-010")
    ] == typed
    assert before == day_one.world.mutating()
    code, found, _ = day_one.call("doctor")
    assert (0, False) == (code, "MISSING" in found)


def test_survey_shows_what_the_tokens_see(day_one):
    facts = day_one.world.facts

    _, out, _ = day_one.call("init", "--cloud", "sandbox")

    assert f"organization Pantheon ({facts['supabase']['organization_slug']}), plan pro" in out
    assert f"pantheon-production  {facts['supabase']['ref']}  eu-west-1  ACTIVE_HEALTHY" in out
    assert f"pantheon/production  {facts['railway']['environment_id']}: Redis, api (public), worker" in out
    assert f"pantheon-web  {facts['vercel']['project_id']}  nextjs" in out
    assert "a management key is there" in out


def test_files_name_productions_ids_and_hosts(day_one):
    day_one.call(*INIT)
    facts, production = day_one.world.facts, load_identities(identities(day_one)).production

    assert facts["supabase"]["ref"] == production.supabase_ref
    assert {facts["railway"]["api_domain"], facts["vercel"]["domain"]} == set(production.hosts)
    assert {} == production.pins
    assert "sandbox" == load_config(day_one.config).cloud


def test_salts_are_of_their_own(day_one):
    day_one.call(*INIT)
    first = load_identities(identities(day_one)).salt
    for name in FILES:
        (day_one.folder / name).unlink()
    day_one.call(*INIT)

    assert first != load_identities(identities(day_one)).salt


def test_nothing_said_offers_the_flags_to_type(day_one):
    code, _, error = day_one.call("init", "--cloud", "sandbox")

    assert 2 == code
    _assert_is_card(error, "4 of 6 things were not said")
    offered = re.search(r"`pantheon-runbook (init .*)`", error)[1].split()
    assert [] == [name for name in FILES if (day_one.folder / name).exists()]
    assert 0 == day_one.call(*offered)[0]


def test_files_that_are_there_are_kept(desk):
    before = {name: (desk.folder / name).read_bytes() for name in FILES}

    code, _, error = desk.call(*INIT)

    assert 2 == code
    _assert_is_card(error, "pantheon.toml and identities.toml are in")
    assert before == {name: (desk.folder / name).read_bytes() for name in FILES}


def test_force_keeps_the_salt_and_the_pins(desk):
    before = load_identities(identities(desk))

    code, out, _ = desk.call(*INIT, "--force")

    after = load_identities(identities(desk))
    assert (0, True) == (code, "its salt and its pins are the former ones" in out)
    assert (before.salt, before.production.pins) == (after.salt, after.production.pins)
    assert load_config(desk.world.customer / "pantheon.toml").frontend == load_config(desk.config).frontend


def test_pins_of_another_production_go_and_that_is_said(desk):
    desk.replace(identities(desk), '(supabase_ref = ")[a-z]*', r"\1aaaaaaaaaaaaaaaaaaaa")

    code, out, _ = desk.call(*INIT, "--force")

    assert (0, {}) == (code, load_identities(identities(desk)).production.pins)
    assert re.search(r"0 pins; its salt is the former one, and the \d+ pins of another production are gone", out)


def test_force_does_not_lose_a_salt_that_cannot_be_read(desk):
    identities(desk).write_text("salt =")

    code, _, error = desk.call(*INIT, "--force")

    assert 2 == code
    _assert_is_card(error, "Its salt cannot be kept")
    assert "salt =" == identities(desk).read_text()


def test_other_folder_is_named_in_what_to_type(desk):
    (desk.folder / "there").mkdir()

    code, out, _ = desk.call(*INIT, "--out", "there")

    assert (0, True) == (code, "pantheon-runbook --config there/pantheon.toml doctor" in out)
    assert 0 == desk.call("--config", "there/pantheon.toml", "doctor")[0]


def _without(name: str):
    return lambda desk: desk.replace(desk.credentials, f"{name} = [^\n]*", "")


def _wrong(name: str):
    def change(desk):
        old = desk.world.facts["tokens"][name]
        desk.replace(desk.credentials, old, old[:-8] + "0badc0de")

    return change


def _live(desk):
    desk.environment["PANTHEON_CREDENTIALS"] = None


def _live_and_pinned(desk):
    _live(desk)
    desk.environment["PANTHEON_PIN"] = "2026-11-23T10:00:00+00:00"


def nothing(_desk):
    pass


def _said(**flags: str) -> tuple[str, ...]:
    """INIT with other answers."""
    given = dict(zip(INIT[1::2], INIT[2::2], strict=True))
    given |= {f"--{name.replace('_', '-')}": text for name, text in flags.items()}
    return ("init", *(word for pair in given.items() for word in pair))


# name: (what is wrong, command line, exit code, words of the card)
CASES = {
    "no cloud": (nothing, ("init", *CHOICE), 2, "it was not said which cloud"),
    "cloud of no kind": (nothing, _said(cloud="moon"), 2, "'moon' is not one of"),
    "no such option": (nothing, (*INIT, "--prodction"), 2, "No such option"),
    "no such project": (nothing, _said(production_supabase="pantheon"), 2, "names no Supabase project"),
    "nothing typed": (nothing, _said(production_supabase=""), 2, '--production-supabase "" names no'),
    "control characters": (nothing, _said(vercel="a\x1b[2J\nb"), 2, '--vercel "a?[2J?b" names no'),
    "a token as a name": (nothing, _said(vercel=A_TOKEN), 2, "--vercel looks like a token"),
    "a token too early": (nothing, ("init", "--cloud", "sandbox", "--api-service", A_TOKEN), 2, "looks like a token"),
    "project without environment": (nothing, _said(production_railway="pantheon"), 2, "it sees pantheon/production"),
    "production that is new": (nothing, _said(production_supabase="new"), 2, '"new" names no Supabase project'),
    "staging is production": (
        nothing,
        _said(staging_supabase="pantheon-production"),
        4,
        "--production-supabase and --staging-supabase name the same",
    ),
    "Railway staging is production": (
        nothing,
        _said(staging_railway="pantheon/production"),
        4,
        "--production-railway and --staging-railway name the same",
    ),
    "out is no folder": (nothing, (*INIT, "--out", "nowhere"), 2, "nowhere is no folder"),
    "out cannot be written": (nothing, (*INIT, "--out", "/proc"), 2, "/proc/identities.toml cannot be written"),
    "secrets without pins": (nothing, (*INIT, "--secrets", "x"), 2, "--secrets was said without --pin-production"),
    "secrets not there": (
        nothing,
        (*INIT, "--pin-production", "--secrets", "x"),
        2,
        "production's secrets x cannot be",
    ),
    "no Supabase token": (_without("SUPABASE_ACCESS_TOKEN"), INIT, 2, "SUPABASE_ACCESS_TOKEN is missing"),
    "no Vercel token": (_without("VERCEL_TOKEN"), INIT, 2, "VERCEL_TOKEN is missing"),
    "wrong Supabase token": (_wrong("SUPABASE_ACCESS_TOKEN"), INIT, 2, "check SUPABASE_ACCESS_TOKEN"),
    "wrong Railway token": (_wrong("RAILWAY_API_TOKEN"), INIT, 2, "check RAILWAY_API_TOKEN"),
    "wrong Vercel token": (_wrong("VERCEL_TOKEN"), INIT, 2, "check VERCEL_TOKEN"),
    "wrong management key": (_wrong("OPENROUTER_MANAGEMENT_KEY"), INIT, 2, "check OPENROUTER_MANAGEMENT_KEY"),
    "live without tokens": (_live, _said(cloud="live"), 2, "SUPABASE_ACCESS_TOKEN is missing"),
    "live with a pinned clock": (_live_and_pinned, _said(cloud="live"), 2, "PANTHEON_PIN is set"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_answer_is_a_card_and_no_file(day_one, name: str):
    prepare, arguments, expected, words = CASES[name]
    prepare(day_one)
    before = day_one.world.mutating()

    code, out, error = day_one.call(*arguments)

    assert expected == code, error
    assert "Traceback" not in out + error
    _assert_is_card(error, words)
    assert before == day_one.world.mutating()
    assert [] == [path.name for path in day_one.folder.rglob("*.toml") if path.name in FILES]
    assert not [secret for secret in {A_TOKEN, *planted(day_one.world.facts)} if secret in out + error]


def test_questions_are_asked_on_a_terminal_only(day_one):
    """The answers go through the same choosing; one that is wrong is the same refusal."""
    answers = "sandbox\npantheon-production\nnew\npantheon/production\nnew\n"

    code, screen = at_a_terminal(answers, day_one)

    assert 0 == code, screen
    assert "which Supabase project is production [pantheon-production]: " in screen
    assert "which Railway environment is staging [pantheon/production, new]: " in screen
    assert 0 == day_one.call("doctor")[0]


def test_wrong_answer_at_a_terminal_is_refused(day_one):
    code, screen = at_a_terminal(
        "sandbox\npantheon-production\npantheon-production\npantheon/production\nnew\n", day_one
    )

    assert 4 == code
    assert "name the same" in screen
    assert not day_one.config.exists()


def at_a_terminal(answers: str, desk) -> tuple[int, str]:
    """`init` with a terminal for its stdin, as a person has it."""
    ours, theirs = pty.openpty()
    os.write(ours, answers.encode())
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pantheon_runbook", "init"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=desk.folder,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(theirs)
        os.close(ours)
    return done.returncode, done.stdout


@pytest.mark.rare
def test_new_world_is_provisioned_from_the_files(world):
    """From tokens to `done`, through processes of their own; init itself wrote to nobody."""
    made = world.cli(*INIT, "--pin-production")

    assert (0, []) == (made.returncode, world.mutating()), made.stderr
    assert 0 == world.cli("doctor").returncode
    applied = world.cli("run", "RB-010", "--apply")
    assert (0, True) == (applied.returncode, "DONE: " in applied.stdout), applied.stdout
    assert "NOTHING-TO-DO" in world.cli("run", "RB-010", "--apply").stdout


@pytest.mark.rare
def test_staging_made_by_hand_is_chosen_by_name(world, hands):
    ref, project = hands.new_project("by-hand"), hands.new_railway_project("by-hand", "test")
    mark = hands.mark()
    answers = _said(staging_supabase="by-hand", staging_railway="by-hand/test")

    made = world.cli(*answers)

    assert (0, []) == (made.returncode, hands.sent_since(mark)), made.stderr
    staging = load_config(world.folder / "pantheon.toml").environments["staging"]
    assert (ref, project, "test") == (staging.supabase.ref, staging.railway.project, staging.railway.environment_name)
    applied = world.cli("run", "RB-010", "--apply")
    assert 0 == applied.returncode, applied.stdout
    assert not {"supabase POST /v1/projects", "railway projectCreate"} & set(hands.sent_since(mark))


@pytest.mark.rare
def test_two_of_one_name_are_refused_and_listed(world, hands):
    refs = sorted(hands.new_project("by-hand") for _ in range(2))
    mark = hands.mark()

    refused = world.cli(*_said(staging_supabase="by-hand"))

    assert (4, []) == (refused.returncode, hands.sent_since(mark))
    assert all(f"--staging-supabase {ref}" in refused.stderr for ref in refs)
    assert not (world.folder / "pantheon.toml").exists()
    assert 0 == world.cli(*_said(staging_supabase=refs[0])).returncode


def test_new_beside_one_of_that_name_is_refused(world, hands):
    hands.new_railway_project()

    refused = world.cli(*INIT)

    assert 4 == refused.returncode
    assert "--staging-railway new was said, and pantheon-staging is there" in refused.stderr


def test_pins_are_those_that_the_holder_of_production_makes(desk):
    """Same salt, same names, other hands: the sandbox's own customer has pinned them already."""
    theirs = load_identities(identities(desk)).production.pins
    text = identities(desk).read_text()
    identities(desk).write_text(text.partition("[production.pins]")[0] + "[production.pins]\n")

    code, out, _ = desk.call("init", "--pin-production")

    ours = load_identities(identities(desk)).production.pins
    both = set(theirs) & set(ours)
    assert 0 == code
    assert {"DATABASE_URL", "DATABASE_POOL_URL", "database password", "OPENROUTER_API_KEY"} <= both
    assert {"SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"} <= both
    assert {name: theirs[name] for name in both} == {name: ours[name] for name in both}
    assert {"SUPABASE_URL", "publishable key", "secret key"} == set(theirs) - both  # an address; not in Railway
    assert "reads production's values once, stores fingerprints only" in out
    assert re.search(r"not pinned  LOG_LEVEL, .*\(under about 100 bits: ", out)


def test_pinning_changes_only_the_pins(desk):
    before = identities(desk).read_text()

    desk.call("init", "--pin-production")

    after = identities(desk).read_text()
    kept = [text.partition("pinned_at")[0] for text in (before, after)]
    assert kept[0] == kept[1]
    assert set(tomllib.loads(before)["production"]["pins"]) < set(tomllib.loads(after)["production"]["pins"])
    assert 'pinned_at = "2026-11-01T08:00:00Z"' not in after


def test_secrets_appear_nowhere(desk):
    secrets = planted(desk.world.facts)

    printed = "".join(desk.call(*INIT, "--force", "--pin-production")[1:])

    written = "".join((desk.folder / name).read_text() for name in FILES)
    assert [] == [secret for secret in secrets if secret in printed + written]


@pytest.mark.rare
def test_only_pinning_reads_values_of_production(world):
    """Whatever else is run, Railway is not asked for one."""
    world.cli(*INIT)
    for command in ("doctor", "run RB-010 --apply"):
        assert 0 == world.cli(*command.split()).returncode, command
    assert [] == values_read(world.running)

    world.cli("init", "--pin-production")

    assert ["variables"] * 4 == values_read(world.running)  # shared, api, worker, Redis


def test_file_of_secrets_is_pinned_without_a_vendor(desk):
    """For a holder of production whose secrets no token reads; what was pinned before stays."""
    secret, before = "kR7x" * 3 + "Zp93qLmN5vWs", load_identities(identities(desk))
    file = desk.folder / "production.env"
    file.touch(mode=0o600)
    file.write_text(f'export STRIPE_KEY="{secret}"\nLOG_LEVEL=info\n')
    mark = seen(desk.world.running)

    code, out, _ = desk.call("init", "--pin-production", "--secrets", "production.env")

    pins = load_identities(identities(desk)).production.pins
    assert (0, True) == (code, is_pinnable(secret))
    assert {**before.production.pins, "STRIPE_KEY": fingerprint(before.salt, secret)} == pins
    assert mark == seen(desk.world.running)
    assert secret not in out + identities(desk).read_text()
    assert "not pinned  LOG_LEVEL (under about 100 bits" in out


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_file_of_secrets_that_others_can_read_is_refused(desk, mode: int):
    file = desk.folder / "production.env"
    file.write_text("KEY=tajna-lozinka\n")
    file.chmod(mode)

    code, out, error = desk.call("init", "--pin-production", "--secrets", "production.env")

    assert 2 == code
    _assert_is_card(error, f"its mode is {mode:04o}")
    assert "lozinka" not in out + error


def _other_config(desk):
    desk.replace(desk.config, '(railway = { project = ")[^"]*', r"\1another")


def _other_token(desk):
    """Of an account that does not reach production: the ids in both files are nobody's."""
    for path in (desk.config, identities(desk)):
        desk.replace(path, desk.world.facts["railway"]["environment_id"], "another")


def _inline(desk):
    text = identities(desk).read_text().partition("[production.pins]")[0]
    identities(desk).write_text(text + "pins = {}\n")


PINNING = {
    "choice beside pins": (nothing, CHOICE, 2, "--production-railway was said"),
    "another cloud": (nothing, ("--cloud", "live"), 2, '--cloud live was said, and pantheon.toml says "sandbox"'),
    "no config": (lambda desk: desk.config.unlink(), (), 2, "pantheon.toml cannot be read"),
    "files that disagree": (_other_config, (), 2, 'production is "another" in pantheon.toml'),
    "token that does not see production": (_other_token, (), 4, "does not see production's environment another"),
    "written in another way": (_inline, (), 2, "in a way in which its pins cannot be replaced"),
}


@pytest.mark.parametrize("name", PINNING)
def test_pinning_that_is_refused_changes_nothing(desk, name: str):
    prepare, more, expected, words = PINNING[name]
    prepare(desk)
    before, mark = identities(desk).read_text(), seen(desk.world.running)

    code, _, error = desk.call("init", "--pin-production", *more)

    assert expected == code, error
    _assert_is_card(error, words)
    assert before == identities(desk).read_text()
    assert name == "written in another way" or [] == values_read(desk.world.running, mark)
