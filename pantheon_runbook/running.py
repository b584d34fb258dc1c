"""Run one runbook through papermill with our engine, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pantheon_runbook import unit_summary
from pantheon_runbook.errors import ParameterError, RunbookError
from pantheon_runbook.evidence import journal
from pantheon_runbook.model import banner
from pantheon_runbook.runbooks import Runbook, checked_parameters, find, spelled, typed
from pantheon_runbook.runner.surroundings import world
from pantheon_runbook.verdict import CHANGES_PENDING_EXIT_CODE, EXIT_CODES, Verdict

if TYPE_CHECKING:
    from pantheon_runbook.runner.engine import Outcome

_OPTIONS = {"mode": "--apply, or leave it out for a plan run", "environment": "-e", "plan_file": "--plan"}
_FOLLOWS = {
    "RB-010": "RB-020", "RB-020": "RB-060", "RB-030": "RB-060", "RB-040": "RB-060", "RB-060": "RB-050",
    "RB-050": "RB-050",
}  # fmt: skip
_STOPPED = frozenset(word for word, code in EXIT_CODES.items() if code)


def run(
    runbook_id: str, parameters: Mapping[str, Any], pairs: Sequence[str], *, progress: Callable[[str], None]
) -> Outcome:
    """The sealed outcome, whatever its verdict. Errors: UsageError and RefusedError when nothing was opened."""
    runbook = find(runbook_id)
    own = _pairs(pairs)
    parameters = {**parameters, "environment": parameters["environment"] or runbook.parameters["environment"]}
    for name in own.keys() & _OPTIONS.keys():
        raise ParameterError(
            f'"{name}" cannot be given with -p',
            why="two ways to say it could contradict each other",
            next_step=f"use {_OPTIONS[name]}",
        )
    asked = parameters if "mode" in runbook.parameters else _without_mode(runbook, parameters)
    given = checked_parameters(runbook, {**asked, **typed(runbook, own)})
    policy = world().config.policy  # a config that cannot be used is said before a kernel starts
    import papermill  # noqa: PLC0415  half a second

    from pantheon_runbook.runner.engine import RunbookEngine, RunEnded  # noqa: PLC0415

    RunbookEngine.progress = staticmethod(progress)
    with suppress(RunEnded, RunbookError):  # what the run came to is in `last`, success or not
        papermill.execute_notebook(
            str(runbook.path),
            None,  # the executed notebook goes into the bundle, and nowhere else
            parameters=given,
            engine_name="pantheon-runbook",
            kernel_name="python3",
            progress_bar=False,
            cell_seconds=policy.cell_seconds,
            run_seconds=policy.run_seconds,
        )
    if isinstance(RunbookEngine.last, RunbookError):
        raise RunbookEngine.last
    assert RunbookEngine.last is not None
    return RunbookEngine.last


def _without_mode(runbook: Runbook, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """For a runbook that only reads: there is nothing to apply, and no plan to have read."""
    if parameters.get("mode") == "apply" or parameters.get("plan_file"):
        raise ParameterError(
            f"{runbook.id} has nothing to apply",
            why="it only reads",
            next_step=f"pantheon-runbook run {runbook.id} -e {parameters['environment']}",
        )
    return {name: value for name, value in parameters.items() if name not in {"mode", "plan_file"}}


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(f'"{pair}" is not NAME=VALUE', why="there is no =", next_step=f"write -p {pair}=VALUE")
        found[name] = value
    return found


def summary(outcome: Outcome) -> str:
    """What a terminal shows: which cloud, the verdict, what is behind it, where to look, and what to type next."""
    verdict, folder = outcome.verdict, outcome.folder
    events = journal.read(folder / "journal.jsonl")
    opened = events[0]
    again = f"pantheon-runbook run {opened['runbook']} -e {opened['environment']}"
    is_blocked = verdict.word == "planned" and _is_blocked(events)
    is_ready = verdict.word == "planned" and not is_blocked
    again += spelled(opened["parameters"], opened["runbook"])
    if unit_summary.is_unit(events):
        return _of_unit(outcome, events)
    then = f"{again} --apply --plan {_near(folder / 'plan.json')}" if is_ready else again
    if verdict.word in {"done", "nothing-to-do"} and opened["mode"] != "plan":
        then = f"pantheon-runbook run {_FOLLOWS[opened['runbook']]} -e {opened['environment']}"
    told = journal.told(events, why=verdict.why)["next"] if verdict.word in _STOPPED else ""
    says_it = is_blocked or "pantheon-runbook" in told or opened["runbook"] == "RB-050"
    return "\n".join(
        (
            *_head(events, verdict),
            *_behind(events, verdict),
            *_places(folder),
            *(() if says_it else (f"type      {then}",)),
            *(_in_the_way(folder) if is_blocked else ()),
        )
    )


def _head(events: Sequence[Mapping[str, Any]], verdict: Verdict) -> Iterable[str]:
    opened = events[0]
    yield f"{banner(opened['cloud'])}  {opened['runbook']}  {opened['environment']}  {opened['mode']} run"
    yield f"{verdict.word.upper()}: {verdict.why}"


def _places(folder: Path) -> Iterable[str]:
    yield f"notebook  {_near(folder / 'runbook.ipynb')}"
    yield f"report    {_near(folder / 'report.html')}"
    yield f"check it  pantheon-runbook evidence verify {_near(folder.parent)}"


def _of_unit(outcome: Outcome, events: Sequence[Mapping[str, Any]]) -> str:
    """Of a run on production: what it came to, and every command that comes next."""
    verdict, folder, opened = outcome.verdict, outcome.folder, events[0]
    again = f"pantheon-runbook run {opened['runbook']}{spelled(opened['parameters'], opened['runbook'])}"
    lines = [*_head(events, verdict), *unit_summary.before(events)]
    if verdict.word in _STOPPED:
        told = journal.told(events, why=verdict.why)
        to_type = [*unit_summary.to_type_after_stop(events, folder, again, word=verdict.word, told=told["next"])]
        told["next"] = unit_summary.without_commands(told["next"]) if to_type else told["next"]
        lines += [f"{name.capitalize() + ':':<8} {text}" for name, text in told.items() if text]
        lines += [*unit_summary.stopped(events, folder), *_failed(events), *_places(folder), *to_type]
    elif verdict.word == "planned":
        blocked = _is_blocked(events)
        lines += [*unit_summary.planned(folder), *_places(folder)]
        lines += _in_the_way(folder) if blocked else unit_summary.to_type_after_plan(folder, again, _near)
    else:
        lines += [*unit_summary.brought(events, folder), *_answers(events), *_places(folder)]
        lines += unit_summary.to_type_after_done(events, folder, _FOLLOWS[opened["runbook"]])
    return "\n".join(lines)


def _answers(events: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Where it answers, and what is left to people."""
    verified = next((event for event in events if (event["event"], event.get("act")) == ("act-ends", "verify")), {})
    yield from (f"{what:<9} {url}" for what, url in verified.get("endpoints", {}).items())
    yield from (f"by hand:  {step}" for step in verified.get("by_hand", ()))


def _is_blocked(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the plan has a finding that nobody can approve away."""
    return any(event["event"] == "act-ends" and event.get("blocking") for event in events)


def _in_the_way(folder: Path) -> Iterable[str]:
    """What has to be done before this plan can be one that is applied."""
    findings = json.loads((folder / "plan.json").read_bytes())["findings"]
    yield from (f"first     {one['next_step']}" for one in findings if one["blocks"])


def _near(path: Path) -> Path:
    """As the reader would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _behind(events: Sequence[Mapping[str, Any]], verdict: Verdict) -> Iterable[str]:
    """The plan that was made, what stopped the run, or where the environment answers and what is left to people."""
    if verdict.word in _STOPPED:
        told = journal.told(events, why=verdict.why)
        yield from (f"{name.capitalize() + ':':<8} {text}" for name, text in told.items())
        yield from _failed(events)
        return
    ended = {event["act"]: event for event in events if event["event"] == "act-ends"}
    if events[0]["mode"] == "plan" and "plan" in ended:
        card = next(event["text"] for event in events if event["event"] == "card" and event["act"] == "plan")
        shown = "" if verdict.word == "planned" else ("!", "BLOCKS")
        yield from (line for line in card.splitlines() if not line.startswith("Next: ") and line.startswith(shown))
    yield from _answers(events)


def _failed(events: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Every check that failed, as the run ordered them, up to ten."""
    checks = next((event["checks"] for event in reversed(events) if event["event"] == "checks"), ())
    failed = [f"! {name}: {found}" for name, _, found, passed in checks if not passed]
    yield from failed[:_FEW]
    yield from (f"  and {len(failed) - _FEW} more in the report" for _ in failed[_FEW : _FEW + 1])


_FEW = 10


def exit_code(outcome: Outcome, *, detailed: bool) -> int:
    """The verdict's; with `detailed`, 3 for a plan run that found something to change, 4 for one that is blocked."""
    if detailed and outcome.verdict.word == "planned":
        is_blocked = _is_blocked(journal.read(outcome.folder / "journal.jsonl"))
        return EXIT_CODES["refused"] if is_blocked else CHANGES_PENDING_EXIT_CODE
    return outcome.verdict.exit_code
