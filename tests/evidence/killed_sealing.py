"""A program: seal a run, killed at its n-th step that touches the evidence folder, for n = 1, 1 + EVERY, ...; repair.

python killed_sealing.py FOLDER EVERY [STEP-OF-A-REPAIR ...]
    prints one JSON row per n; the repair is killed too, once at each of the given steps, before it may end.

A step is anything Python reports to an audit hook about a path in the folder: open, mkdir, rename, remove, truncate.
Forked from a process with one thread, so that the kill is a real SIGKILL and a step costs no start-up.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from made_runs import NOTEBOOK, Maker

from pantheon_runbook.evidence.bundle import seal_abandoned
from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus


def killed_at(step: int, folder: Path, work: Callable[[], object]) -> bool:
    """Whether the work was killed at this step; False when it came to its end before."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = step

    def count(_event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if any(isinstance(one, str | Path) and str(one).startswith(str(folder)) for one in arguments):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    work()
    os._exit(0)


def one_run(maker: Maker) -> None:
    """From the making of its folder to its place among the sealed."""
    bundle, _journal = maker.begun(1)
    bundle.seal(maker.key, NotebookStatus("all-run"), notebook_json=json.dumps(NOTEBOOK))


def row(folder: Path, step: int, repair_steps: list[int]) -> dict[str, object]:
    """What became of it: after the kill, after the repair was killed too, and after one more run."""
    evidence = folder / f"evidence-{step}"
    evidence.mkdir()
    maker = Maker(evidence)
    maker.sealed(0, notebook=False)
    was_killed = killed_at(step, evidence, lambda: one_run(maker))
    for number in repair_steps:
        killed_at(number, evidence, lambda: seal_abandoned(evidence, maker.key, Registry(), cloud="sandbox"))
    repaired = seal_abandoned(evidence, maker.key, Registry(), cloud="sandbox")
    maker.sealed(2, notebook=False)
    report = verify(evidence)
    left = [path.name for path in (evidence / ".running").iterdir() if not path.name.startswith(".")]
    shutil.rmtree(evidence)
    return {
        "killed": was_killed,
        "repaired": len(repaired),
        "findings": [str(finding) for finding in report.findings],
        "verdicts": list(report.verdicts.values()),
        "left": left,
    }


def main() -> None:
    folder, every, repair_steps = Path(sys.argv[1]), int(sys.argv[2]), [int(number) for number in sys.argv[3:]]
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    was_killed, step = True, 1
    while was_killed:
        found = row(folder, step, repair_steps)
        was_killed = bool(found["killed"])
        sys.stdout.write(json.dumps({"step": step, **found}) + "\n")
        step += every


if __name__ == "__main__":
    main()
