"""Run one runbook through papermill with our engine, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pantheon_runbook.errors import ParameterError, RunbookError
from pantheon_runbook.evidence import journal
from pantheon_runbook.runbooks import checked_parameters, find, typed
from pantheon_runbook.runner.surroundings import world
from pantheon_runbook.verdict import CHANGES_PENDING_EXIT_CODE

if TYPE_CHECKING:
    from pantheon_runbook.runner.engine import Outcome


def run(
    runbook_id: str, parameters: Mapping[str, Any], pairs: Sequence[str], *, progress: Callable[[str], None]
) -> Outcome:
    """The sealed outcome, whatever its verdict. Errors: UsageError and RefusedError when nothing was opened."""
    runbook = find(runbook_id)
    given = checked_parameters(runbook, {**parameters, **typed(runbook, _pairs(pairs))})
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


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(f'"{pair}" is not NAME=VALUE', why="there is no =", next_step=f"write -p {pair}=VALUE")
        found[name] = value
    return found


def summary(outcome: Outcome) -> str:
    """The verdict, the four lines of what stopped it when something did, and where to look."""
    verdict, folder = outcome.verdict, outcome.folder
    stopped = last_failure(journal.read(folder / "journal.jsonl")) if verdict.exit_code else None
    told = (
        (f"Why:     {stopped['why']}", f"State:   {stopped['state']}", f"Next:    {stopped['next']}") if stopped else ()
    )
    return "\n".join(
        (
            f"{verdict.word.upper()}: {verdict.why}",
            *told,
            f"notebook  {folder / 'runbook.ipynb'}",
            f"report    {folder / 'report.html'}",
            f"check it  pantheon-runbook evidence verify {folder.parent}",
        )
    )


def last_failure(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The act that stopped a run, with its four fields; an act that was only called too early did not."""
    failures = [event for event in events if event["event"] == "act-failed" and not event.get("out_of_order")]
    return failures[-1] if failures else None


def exit_code(outcome: Outcome, *, detailed: bool) -> int:
    """The verdict's; with `detailed`, 3 for a plan run that found something to change."""
    if detailed and outcome.verdict.word == "planned":
        return CHANGES_PENDING_EXIT_CODE
    return outcome.verdict.exit_code
