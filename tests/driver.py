"""A runner of its own: `driver.py {"runbook", "points": [[when, event, address or act], ...], "parameters"}`.

It applies the runbook, and is killed right "before" or "after" the first of these lines that comes in its journal: then
it says which that was, else the verdict's word or the error. All as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pantheon_runbook.errors import RunbookError
from pantheon_runbook.runner import wiring
from pantheon_runbook.session import ACTS
from pantheon_runbook.verdict import NotebookStatus


def main(
    runbook: str, points: Sequence[Sequence[str]] = (), parameters: Mapping[str, Any] | None = None
) -> tuple[int, Any]:
    """The exit code, and what is said."""
    try:
        run = wiring.open_run(runbook, {"mode": "apply", **(parameters or {})})
    except RunbookError as error:
        return error.exit_code, error.as_json()
    write = run.session.journal.write

    def die_at(moment: str, name: str, fields: dict[str, Any]) -> None:
        point = [moment, name, fields.get("address") or fields.get("act")]
        if point in points:
            os.write(1, json.dumps(point).encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def written(name: str, **fields: Any) -> None:
        die_at("before", name, fields)
        write(name, **fields)
        die_at("after", name, fields)

    run.session.journal.write = written  # type: ignore[method-assign]
    try:
        for act in ACTS:
            run.session.perform(act)
    except RunbookError as error:
        return error.exit_code, error.as_json()
    finally:
        word = run.bundle.seal(run.key, NotebookStatus("not-observed"))[1].word
        run.close()
    return 0, {"word": word}


if __name__ == "__main__":
    code, said = main(**json.loads(sys.argv[1]))
    print(json.dumps(said))
    sys.exit(code)
