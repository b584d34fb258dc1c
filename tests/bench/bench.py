"""`make bench`: figures as ratios, both sides measured in one run; medians, since machines are shared and noisy."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import migrations
import promotions

from pantheon_runbook.config import load_identities
from pantheon_runbook.runner import wiring
from pantheon_runbook.sandbox import control, customer
from pantheon_runbook.sandbox.world import Pace
from pantheon_runbook.verdict import NotebookStatus

CALL_SECONDS = 0.05
ROUNDS = 5
# The calls that nothing can shorten: create the project, see it healthy, see its services healthy, read the pooler,
# read the keys, set the variables. Between them the vendor works for as long as its pace says.
CHAIN_OF_CALLS = 6
TREE_FILES, TREE_BYTES = 10_000, 20_000_000
REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    print(f"medians of {ROUNDS} rounds; the two sides of a ratio alternate")
    apply_beside_the_chain()
    help_beside_papermill()
    guard_beside_grep()
    migrations.main()
    promotions.main(ROUNDS)


def apply_beside_the_chain() -> None:
    pace = Pace()
    chain = pace.project_coming_up_seconds + pace.services_coming_up_seconds + CHAIN_OF_CALLS * CALL_SECONDS
    acts, applies = [], []
    for _ in range(ROUNDS):
        act, changes = timed_apply()
        acts.append(act)
        applies.append(changes)
    print(f"apply, {CALL_SECONDS * 1000:.0f} ms per API call")
    print(f"  longest chain of dependent server-side durations  {chain:.2f} s")
    print(f"  the changes                                       {row(applies, chain)}")
    print(f"  the whole act, which observes everything again    {row(acts, chain)}")


def row(seconds: list[float], beside: float) -> str:
    median = statistics.median(seconds)
    return f"{median:.2f} s  {median / beside:.2f} x  (min {min(seconds):.2f}, max {max(seconds):.2f})"


def timed_apply() -> tuple[float, float]:
    """Seconds of the apply act in a fresh world, and of the changes alone, by the journal's progress."""
    folder = Path(tempfile.mkdtemp(prefix="pr-b-"))
    running = control.start(folder / "sandbox", pace=1.0, in_memory=True)
    began: list[float] = []
    try:
        os.environ.update(PANTHEON_SANDBOX=str(running.folder), XDG_CONFIG_HOME=str(folder), XDG_STATE_HOME=str(folder))
        with contextlib.chdir(folder):
            run = wiring.open_run(
                "RB-010", {"mode": "apply"}, progress=lambda _words: began.append(time.perf_counter())
            )
            for act in ("observe", "plan", "approve"):
                run.session.perform(act)
            running.pace(1.0, call_latency_seconds=CALL_SECONDS)
            started = time.perf_counter()
            run.session.perform("apply")
            ended = time.perf_counter()
            run.bundle.seal(run.key, NotebookStatus("not-observed", "driven by the bench"))
            run.close()
    finally:
        running.discard()
        shutil.rmtree(folder, ignore_errors=True)
    return ended - started, ended - began[0]


def help_beside_papermill() -> None:
    ours, theirs = [], []
    for _ in range(ROUNDS + 1):
        ours.append(timed("pantheon-runbook", "--help"))
        theirs.append(timed("papermill", "--help"))
    mine, other = statistics.median(ours[1:]), statistics.median(theirs[1:])
    print("--help")
    print(f"  pantheon-runbook {mine:.2f} s, papermill {other:.2f} s: {mine / other:.2f} x")


def guard_beside_grep() -> None:
    """The whole command, with what it takes to start, on a tree of many files; and on one file, as a hook calls it."""
    folder = Path(tempfile.mkdtemp(prefix="pr-b-"))
    running = control.start(folder / "sandbox", in_memory=True)
    try:
        files = customer.files(running)
        grow_tree(folder / "tree")
        guard = ("pantheon-runbook", "--config", str(files / "pantheon.toml"), "guard")
        ref = load_identities(files / "identities.toml").production.supabase_ref
        tree, one, grep = [], [], []
        for _ in range(ROUNDS):
            tree.append(timed(*guard, str(folder / "tree")))
            one.append(timed(*guard, str(folder / "tree" / "0" / "0.txt")))
            grep.append(timed_grep(ref, folder / "tree"))
    finally:
        running.discard()
        shutil.rmtree(folder, ignore_errors=True)
    plain = statistics.median(grep)
    print(f"guard, {TREE_FILES} files, {TREE_BYTES / 1e6:.0f} MB")
    print(f"  plain recursive grep for one word   {plain:.2f} s")
    print(f"  guard on the tree                   {row(tree, plain)}")
    print(f"  guard on one file of it             {row(one, plain)}")


def grow_tree(top: Path) -> None:
    """Pieces of this repository's own text, so that the words are those of people."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(REPOSITORY.glob("pantheon_runbook/**/*.py"))]
    whole = "".join(texts)
    size = TREE_BYTES // TREE_FILES
    for number in range(TREE_FILES):
        path = top / str(number % 100) / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = number * 7919 % (len(whole) - size)
        path.write_text(f"{number}\n{whole[start : start + size]}", encoding="utf-8")


def timed_grep(word: str, folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(["grep", "-rF", word, str(folder)], check=False, capture_output=True)
    return time.perf_counter() - started


def timed(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
