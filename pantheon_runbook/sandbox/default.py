"""The sandbox of a working folder: ./.pantheon/sandbox, going on from the demo's world when it has none of its own."""

from __future__ import annotations

from pathlib import Path

from pantheon_runbook.sandbox import control, customer

FOLDER = Path(".pantheon") / "sandbox"
LEFT_BY_THE_DEMO = Path(".pantheon") / "demo"


def start_default(folder: Path = FOLDER, *, pace: float = 1.0) -> control.Running:
    """Start it: on its own world, else the one the demo left beside it, else a fresh one. Raises SandboxError.

    Its customer's files are made with it; whoever holds production there has prepared it, as in the demo.
    """
    left = (folder.parent / LEFT_BY_THE_DEMO.name).absolute()
    goes_on = left.exists() and not (folder / "world.json").exists()
    running = control.start(folder, pace=pace, load=str(left) if goes_on else None)
    if not (running.folder / "customer").exists():
        customer.prepare(running)
    return running


def reset(running: control.Running) -> None:
    """Back to the world that it began with, which its holder prepares anew. Raises SandboxError."""
    running.reset()
    customer.prepare(running)
