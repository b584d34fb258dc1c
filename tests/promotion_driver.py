"""A runner of its own: `promotion_driver.py {"points": [[when, event, address], ...], "parameters"}` applies RB-030,
or the "runbook" that is named.

It is killed right "before" or "after" the first of these lines that comes in its journal, and prints which it was; else
it prints the verdict's word, or the error, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from pantheon_runbook.errors import RunbookError
from pantheon_runbook.runner import wiring
from pantheon_runbook.session import ACTS
from pantheon_runbook.verdict import NotebookStatus


def main(points: list[list[str]], parameters: dict[str, Any], runbook: str = "RB-030") -> int:
    run = wiring.open_run(runbook, {"mode": "apply", **parameters})
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
        print(json.dumps(error.as_json()))
        return error.exit_code
    finally:
        word = run.bundle.seal(run.key, NotebookStatus("not-observed"))[1].word
        run.close()
    print(json.dumps({"word": word}))
    return 0


if __name__ == "__main__":
    sys.exit(main(**json.loads(sys.argv[1])))
