"""The worker service: takes jobs from Redis and writes their results."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from uuid import UUID

import psycopg
import valkey
from valkey.exceptions import ValkeyError

from pantheon_runbook.sandbox.pantheon.backend.settings import JOBS_IN_HAND, JOBS_QUEUED, Settings, from_environment
from pantheon_runbook.sandbox.pantheon.backend.store import finish_job

WAIT_SECONDS = 1
RETRY_SECONDS = 0.5


class Worker:
    """One worker; a job stays in the in-hand list until its result is written, so none is lost."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_draining = False
        self._queue = valkey.Valkey.from_url(settings.redis_url, decode_responses=True)

    def drain(self, _signal: int, _frame: FrameType | None) -> None:
        """Finish the job in hand, take no other."""
        self._is_draining = True

    def run(self) -> None:
        """Work until SIGTERM."""
        self._take_back_unfinished()
        print("worker ready", flush=True)  # noqa: T201  a service speaks through its output
        while not self._is_draining:
            self._take_one()
        print("worker drained", flush=True)  # noqa: T201

    def _take_back_unfinished(self) -> None:
        while self._queue.lmove(JOBS_IN_HAND, JOBS_QUEUED, "LEFT", "RIGHT") is not None:
            pass

    def _take_one(self) -> None:
        try:
            job = self._queue.blmove(JOBS_QUEUED, JOBS_IN_HAND, WAIT_SECONDS, "RIGHT", "LEFT")
            if job is None:
                return
            with psycopg.connect(self._settings.database_pool_url, prepare_threshold=None) as connection:
                done = finish_job(connection, UUID(str(job)))
            self._queue.lrem(JOBS_IN_HAND, 1, str(job))
        except (psycopg.OperationalError, ValkeyError, OSError) as error:
            print(f"waiting: {type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201
            time.sleep(RETRY_SECONDS)
            return
        print(f"job {job}: {'done' if done else 'not found'}", flush=True)  # noqa: T201


def main() -> None:
    worker = Worker(from_environment())
    signal.signal(signal.SIGTERM, worker.drain)
    signal.signal(signal.SIGINT, worker.drain)
    worker.run()


if __name__ == "__main__":
    main()
