"""Configs, identities and parameters that nobody meant: an error that names the field, or a run that stays a plan."""

from __future__ import annotations

import copy
import json
import os
import random
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.config import parse_config, parse_identities
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.runbooks import all_runbooks, checked_parameters
from pantheon_runbook.runner import wiring
from pantheon_runbook.runner.surroundings import load_deny_list

IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
NUMBER = 10_000 if IS_FULL else 600
OPENED = 300 if IS_FULL else 12
ODD: tuple[Any, ...] = (
    "", " ", "production", "staging", "../../etc", "a,b", "https://a.example,https://b.example", "x" * 10_000,
    "\u202ex", "line\nbreak", "nul\x00", "<placeholder>", "sbp_" + "0123456789" * 4, "literal:", "credentials.",
    "${{x}}", "😀", "aaaaaaaaaaaaaaaaaaaa", 0, -1, 1, 10**30, 1.5, float("inf"), float("nan"), True, False, [], [[]],
    [{}], {}, {"a": {}}, ["railway:api"], ["vercel:production"], "live",
)  # fmt: skip


def toml_of(value: Any) -> str:
    """A value as TOML writes it inline; JSON's strings are TOML's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(name))} = {toml_of(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def text_of(document: dict[str, Any]) -> str:
    return "\n".join(f"{json.dumps(name)} = {toml_of(value)}" for name, value in document.items())


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, item in inside for found in ((*path, name), *places(item, (*path, name)))]


def spoiled(document: dict[str, Any], dice: random.Random) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """One thing removed, replaced or added at a place by chance; which one, by its path and what was there."""
    document = copy.deepcopy(document)
    path = dice.choice(places(document))
    inner: Any = document
    for name in path[:-1]:
        inner = inner[name]
    former = inner[path[-1]]
    how = dice.choice(("remove", "replace", "replace", "replace", "add"))
    if how == "remove":
        del inner[path[-1]]
    elif how == "replace":
        inner[path[-1]] = copy.deepcopy(dice.choice(ODD))
    elif isinstance(inner, dict):
        inner["unheard_of"] = copy.deepcopy(dice.choice(ODD))
        path = (*path[:-1], "unheard_of")
    else:
        inner.append(copy.deepcopy(dice.choice(ODD)))
        path = (*path[:-1], len(inner) - 1)
    return document, (*path, former) if isinstance(former, str) else path


def refusal(call: Callable[[], object]) -> RunbookError | None:
    """The error of four lines that it ends with, None when it ends well; anything else goes through as a failure."""
    try:
        call()
    except RunbookError as error:
        return error
    return None


def names_the_field(error: RunbookError, path: tuple[Any, ...]) -> bool:
    """By its own name, by that of the thing it is in, or by what it was and others still name."""
    told = f"{error.what} {error.why} {error.next_step}"
    return any(str(name) in told for name in path if not isinstance(name, int))


@pytest.fixture(scope="module")
def dice() -> random.Random:
    return random.Random(f"configs {os.environ.get('PANTHEON_SEED', '1')}")


@pytest.fixture
def files(quiet_world) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    path = quiet_world.customer / "pantheon.toml"
    return path, tomllib.loads(path.read_text()), tomllib.loads(path.with_name("identities.toml").read_text())


@pytest.mark.xdist_group("quiet")
def test_generated_config_is_refused_by_field_or_only_planned(quiet_world, files, dice, monkeypatch):
    path, config, _ = files
    sequence = len(quiet_world.running.log())
    came_to: Counter[str] = Counter()
    usable = []
    for _ in range(NUMBER):
        document, place = spoiled(config, dice)
        error = refusal(lambda document=document: parse_config(text_of(document), path))
        assert error is None or names_the_field(error, place), (place, error)
        came_to["refused" if error else "usable"] += 1
        usable += [] if error else [document]
    for document in dice.sample(usable, min(OPENED, len(usable))):
        came_to[planned_with(quiet_world, document, monkeypatch)] += 1

    print(f"\n{NUMBER} configs: {dict(came_to)}")
    assert came_to["refused"] > NUMBER / 4
    assert [] == [record for record in quiet_world.running.log(after=sequence) if record["mutating"]]


def planned_with(world: Any, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a plan run with this config comes to; anything but an error of four lines goes through as a failure."""
    own = world.folder / "generated"
    own.mkdir(exist_ok=True)
    (own / "pantheon.toml").write_text(text_of(document))
    (own / "identities.toml").write_text((world.customer / "identities.toml").read_text())
    monkeypatch.setenv("PANTHEON_CONFIG", str(own / "pantheon.toml"))
    name = next((name for name in document["environments"] if name != "production"), "staging")
    opened: list[Any] = []
    if refusal(lambda: opened.append(world.open("plan", environment=name))):
        return "run refused"
    stopped = refusal(lambda: world.plan(opened[0]))
    world.seal(opened[0])
    return "act refused" if stopped else "planned"


@pytest.mark.xdist_group("quiet")
def test_generated_identities_are_refused_by_field(files, dice):
    path, config, identities = files
    config = parse_config(text_of(config), path)
    refused = 0
    for _ in range(NUMBER // 2):
        document, place = spoiled(identities, dice)
        beside = path.with_name("generated.toml")
        beside.write_text(text_of(document))
        parsed = refusal(lambda document=document, beside=beside: parse_identities(text_of(document), beside))
        error = parsed or refusal(lambda beside=beside: load_deny_list(config, path, beside))
        assert (
            error is None
            or names_the_field(error, place)
            or str(place[1:2]).strip("(',)").partition("_")[0] in error.what
        ), place
        refused += error is not None

    assert refused > NUMBER / 8


@pytest.mark.xdist_group("quiet")
def test_generated_parameters_are_refused_by_name(quiet_world, dice):
    sequence = len(quiet_world.running.log())
    books = all_runbooks()
    refused = 0
    for _ in range(NUMBER):
        book = dice.choice(books)
        name = dice.choice([*book.parameters, "unheard_of", "Mode", "mode ", "__class__", ""])
        value = dice.choice(ODD)
        error = refusal(lambda book=book, given={name: value}: checked_parameters(book, given))
        assert error is None or name in f"{error.what} {error.why}", (name, error)
        refused += error is not None
        assert error is None or refusal(lambda book=book, given={name: value}: wiring.open_run(book.id, given))

    assert refused > NUMBER / 4
    assert [] == [record for record in quiet_world.running.log(after=sequence) if record["mutating"]]
