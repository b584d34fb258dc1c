"""A runner of its own: `migration_driver.py {"event", "address"}` applies RB-020, killed after that journal line.

Prints the verdict's word, or the error as JSON, when it is not killed.
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


def main(point: dict[str, str]) -> int:
    run = wiring.open_run("RB-020", {"mode": "apply"})
    write = run.session.journal.write

    def write_then_die(event: str, **fields: Any) -> None:
        write(event, **fields)
        if point and {"event": event, "address": fields.get("address")} == point:
            os.kill(os.getpid(), signal.SIGKILL)

    run.session.journal.write = write_then_die  # type: ignore[method-assign]
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
    sys.exit(main(json.loads(sys.argv[1])))
