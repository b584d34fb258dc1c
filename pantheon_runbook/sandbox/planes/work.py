"""What a vendor goes on doing after it has answered: one task per thing, by the thing's id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Work:
    """Background work of one vendor; a thing is worked on once at a time."""

    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self, key: str, work: Callable[[], Awaitable[None]], *, failed: Callable[[Exception], None]) -> None:
        """Begin unless it is under way; `failed` notes in the vendor's memory that it broke off."""
        if key in self.tasks:
            return

        async def working() -> None:
            try:
                await work()
            except Exception as error:
                failed(error)
                raise  # a defect of the sandbox: asyncio reports it in the daemon's log
            finally:
                if self.tasks.get(key) is asyncio.current_task():
                    del self.tasks[key]

        self.tasks[key] = asyncio.get_running_loop().create_task(working())

    async def finished(self, key: str) -> None:
        """Wait for it; also when the one who waits is cancelled the work goes on."""
        if task := self.tasks.get(key):
            await asyncio.shield(task)

    def cancel(self, key: str) -> None:
        """Break it off, if it is under way."""
        if task := self.tasks.pop(key, None):
            task.cancel()

    def halt(self) -> None:
        """Break everything off: this world is not the current one any more."""
        for key in tuple(self.tasks):
            self.cancel(key)
