"""One chain of evidence for laptops and CI: `evidence push` and `evidence pull`, on one branch of a repository.

Only what is sealed leaves: whole bundles by their manifests, the ledger, the keys that the folder pins for rehearsals.
Nothing is ever written over, on either side: a chain goes on, or nothing moves and it is said where two of them part.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence import ledger
from pantheon_runbook.evidence.files import settle, write_file
from pantheon_runbook.evidence.repository import FOUND, Repository, bundles_in
from pantheon_runbook.evidence.seal import is_file_name
from pantheon_runbook.evidence.verify import LEDGER, SEALED_BESIDE, TRUST, head_of, keyid_of, lines_in, shown, verify

BRANCH = "evidence"
REMOTE = "origin"
_INCOMING = ".incoming-"
_SHORT = 12
_NOTHING = "nothing was pushed, and nothing taken in"


@dataclass(frozen=True)
class Shared:
    """What moved: names of bundles that were `taken` in, `pushed`, and are here alone (`waiting`), oldest first."""

    where: str
    taken: tuple[str, ...]
    pushed: tuple[str, ...]
    waiting: tuple[str, ...]
    ledger_lines: int
    ledger_head: str

    def lines(self) -> Iterator[str]:
        yield from (shown(f"taken in  {name}") for name in self.taken)
        yield from (shown(f"pushed    {name}") for name in self.pushed)
        yield from (shown(f"here only {name}  (pantheon-runbook evidence push)") for name in self.waiting)
        yield f"ledger    {self.ledger_lines} lines, head {self.ledger_head}"
        yield shown(f"{self.where}: {len(self.taken)} taken in, {len(self.pushed)} pushed")


@dataclass(frozen=True)
class _Chain:
    """One side: the ledger's lines, and the object ids of every file by its path."""

    lines: tuple[bytes, ...]
    files: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        return [_bundle_of(line) for line in self.lines]

    @property
    def bundles(self) -> dict[str, dict[str, str]]:
        return {name: {path: self.files[path] for path in paths} for name, paths in bundles_in(self.files).items()}

    def is_continued_by(self, other: Sequence[bytes]) -> bool:
        return tuple(other[: len(self.lines)]) == self.lines


def push(evidence: Path, trust: Path | None, *, remote: str = REMOTE, branch: str = BRANCH) -> Shared:
    """Take in what the branch has beyond ours, then put ours at its end. `trust` pins live keys, as for `verify`.

    Errors: UsageError without git or remote; EvidenceError for a fork, for what does not verify, and when git says no.
    """
    return _shared(evidence, trust, remote=remote, branch=branch, pushes=True)


def pull(evidence: Path, trust: Path | None, *, remote: str = REMOTE, branch: str = BRANCH) -> Shared:
    """Take in what the branch has beyond ours; the folder is made when there is none. Errors: as of `push`."""
    try:
        evidence.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvidenceError(
            f"the evidence folder {evidence} cannot be made",
            why=str(error.strerror),
            next_step="give write permission, or name another folder in pantheon.toml (evidence.path)",
        ) from error
    return _shared(evidence, trust, remote=remote, branch=branch, pushes=False)


def _shared(evidence: Path, trust: Path | None, *, remote: str, branch: str, pushes: bool) -> Shared:
    if not evidence.is_dir():
        raise EvidenceError(
            f"there is no evidence to push: {evidence} is no folder",
            why="no run has left any, or another folder is meant",
            next_step="pantheon-runbook evidence pull, or name the folder in pantheon.toml (evidence.path)",
        )
    repository = Repository.of(evidence, remote=remote, branch=branch)
    commit = repository.fetched()
    theirs, before = _chain_at(repository, commit), _chain_at(repository, repository.seen())
    exchange = _Exchange(evidence, trust, repository, theirs, before)
    with ledger.held(evidence) as end:  # no run is sealed meanwhile; each waits with its line until we are done
        exchange.require_whole()
        ours = exchange.ours(end.lines)
        exchange.require_one_chain(ours)
        taken = exchange.take_in(ours, end)
        kept = exchange.ours((*ours.lines, *theirs.lines[len(ours.lines) :]))
        following = kept.names[len(theirs.lines) :]
        files = exchange.leaving(kept, following) if pushes else {}
    if files:
        parent, commit = commit, repository.commit(files, parent=commit, message=_message(kept, following))
        repository.push(commit, parent=parent)
    if commit:
        repository.settle(commit)
    pushed = tuple(following) if pushes else ()
    waiting = () if pushes else tuple(following)
    return Shared(f"{repository.shown} ({branch})", taken, pushed, waiting, len(kept.lines), head_of(kept.lines))


def _chain_at(repository: Repository, commit: str) -> _Chain:
    files = repository.files(commit) if commit else {}
    lines = lines_in(repository.content([files[LEDGER]])[0]) if LEDGER in files else []
    return _Chain(tuple(lines), files)


@dataclass(frozen=True)
class _Exchange:
    """One push or pull: `theirs` is what the branch holds, `before` what it held when we last looked."""

    evidence: Path
    trust: Path | None
    repository: Repository
    theirs: _Chain
    before: _Chain

    def ours(self, lines: Sequence[bytes]) -> _Chain:
        """What is here and sealed: files that are in no manifest are none of it."""
        names = [name for name in map(_bundle_of, lines) if (self.evidence / name / "manifest.json").is_file()]
        paths = [f"{name}/{file}" for name in names for file in _sealed_files(self.evidence / name)]
        paths += [TRUST] if (self.evidence / TRUST).is_file() else []
        return _Chain(tuple(lines), self.repository.kept(paths, write=False))

    def require_whole(self) -> None:
        """What is here verifies; bundles that an interrupted pull has put here wait for their lines. EvidenceError."""
        listed = {_bundle_of(line) for line in lines_in((self.evidence / LEDGER).read_bytes())}
        early = frozenset(self.theirs.names) - listed
        if not listed and not _bundles(self.evidence) - early:
            return
        problem = _problem(self.evidence, self.trust, but=early)
        if problem:
            raise EvidenceError(
                "the evidence here does not verify",
                why=problem,
                state=_NOTHING,
                next_step="pantheon-runbook evidence verify",
            )

    def require_one_chain(self, ours: _Chain) -> None:
        """Errors: EvidenceError; then nothing has moved."""
        self._refuse_lost_lines()
        self._refuse_fork(ours)
        self._refuse_other_bundles(ours)

    def take_in(self, ours: _Chain, end: ledger.LedgerEnd) -> tuple[str, ...]:
        """What the branch has beyond ours. Keys first, the ledger last: killed anywhere, the next one goes on."""
        new = self.theirs.lines[len(ours.lines) :]
        pins = self._merged_pins(ours)
        with self._laid_out() if new else nullcontext() as folder:
            if pins:
                write_file(self.evidence / TRUST, pins)
            for name in map(_bundle_of, new):
                if folder and not (self.evidence / name).exists():
                    (folder / name).rename(self.evidence / name)
        settle(self.evidence)
        end.append(*new)
        return tuple(map(_bundle_of, new))

    def leaving(self, kept: _Chain, following: Sequence[str]) -> dict[str, str]:
        """The files that the branch does not have yet, put among git's objects."""
        paths = [path for name in following for path in kept.bundles[name]]
        paths += [TRUST] if kept.files.get(TRUST) != self.theirs.files.get(TRUST) else []
        paths += [LEDGER] if following else []
        return self.repository.kept(paths, write=True)

    def _refuse_lost_lines(self) -> None:
        """What the branch once had is there for good."""
        if self.before.is_continued_by(self.theirs.lines):
            return
        number = _parting(self.before.lines, self.theirs.lines)
        had = _line_told(self.before, number)
        has = _line_told(self.theirs, number)
        raise EvidenceError(
            f"{self.repository.named} has lost or changed what it had",
            why=f"line {number + 1} of the ledger was {had} when we last looked, and is {has} now",
            state=f"nothing was pushed; what it had is kept in {self.evidence}",
            next_step=f"ask who wrote over it; to put back what it had: git -C {self.evidence} push --force "
            f"{self.repository.shown} {self.repository.seen()[:_SHORT]}:refs/heads/{self.repository.branch}",
        )

    def _refuse_fork(self, ours: _Chain) -> None:
        if ours.is_continued_by(self.theirs.lines) or self.theirs.is_continued_by(ours.lines):
            return
        number = _parting(ours.lines, self.theirs.lines)
        mine, other = _line_told(ours, number), _line_told(self.theirs, number)
        raise EvidenceError(
            f"the chain has forked at line {number + 1} of the ledger",
            why=f"here it is {mine}, on {self.repository.named} it is {other}",
            state="nothing was pushed, and nothing taken in; both chains are whole",
            next_step="keep ours on a branch of its own with pantheon-runbook evidence push --branch "
            f"{self.repository.branch}-fork, tell the team, and go on in an empty folder with pantheon-runbook "
            "evidence pull",
        )

    def _refuse_other_bundles(self, ours: _Chain) -> None:
        """A bundle that both have is the same on both sides, and the branch has every one that its ledger lists."""
        here, there = ours.bundles, self.theirs.bundles
        names = self.theirs.names
        wrong = sorted(set(names) ^ set(there))
        wrong += [name for name in names if name in here and name in there and here[name] != there[name]]
        if wrong:
            raise EvidenceError(
                f"{self.repository.named} holds {shown(wrong[0])} otherwise than it was sealed",
                why="its files are not those of the sealed bundle, or its ledger does not list it",
                state=_NOTHING,
                next_step=self._see,
            )

    @property
    def _see(self) -> str:
        return f"see who wrote it: git -C {self.evidence} log -p {FOUND}"

    @contextmanager
    def _laid_out(self) -> Iterator[Path]:
        """All that the branch holds of evidence, in a folder beside ours, verified; gone afterwards."""
        for left in self.evidence.glob(f"{_INCOMING}*"):
            shutil.rmtree(left)  # by one that was killed: whoever holds the ledger is alone
        folder = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.evidence))
        try:
            self._lay_out(folder, [name for name in (LEDGER, TRUST) if name in self.theirs.files])
            for name, files in self.theirs.bundles.items():
                self._require_plain(name, files)
                (folder / name).mkdir(mode=0o700)
                self._lay_out(folder, list(files))
            problem = _problem(folder, self.trust)
            if problem:
                what = f"what {self.repository.named} holds does not verify"
                raise EvidenceError(what, why=problem, state=_NOTHING, next_step=self._see)
            yield folder
        finally:
            shutil.rmtree(folder)

    def _lay_out(self, folder: Path, paths: Sequence[str]) -> None:
        contents = self.repository.content([self.theirs.files[path] for path in paths])
        for path, content in zip(paths, contents, strict=True):
            write_file(folder / path, content)

    def _require_plain(self, name: str, files: Mapping[str, str]) -> None:
        """Nothing of another's repository leads out of the folder, or is more than bytes."""
        odd = [path for path, named in files.items() if " " in named or not all(map(is_file_name, path.split("/")[:2]))]
        odd += [path for path in files if path.count("/") > 1]
        if odd:
            raise EvidenceError(
                f"{self.repository.named} holds what no run leaves",
                why=f"{shown(odd[0])} in {shown(name)} is no plain file of a bundle",
                state=_NOTHING,
                next_step=self._see,
            )

    def _merged_pins(self, ours: _Chain) -> bytes:
        """The trust file with what the branch pins beside ours, b"" when that is nothing.

        Every machine pins its own key for rehearsals; none may pin another kind, nor say otherwise of a key than we do.
        """
        named = self.theirs.files.get(TRUST)
        if named is None or named == ours.files.get(TRUST):
            return b""
        raw = (self.evidence / TRUST).read_bytes() if TRUST in ours.files else b""
        here, there = _pins(raw), _pins(self.repository.content([named])[0])
        new = {key: pin for key, pin in there.items() if key not in here}
        if (
            not there
            or {pin.get("cloud") for pin in new.values()} - {"sandbox"}
            or not there.items() <= {**new, **here}.items()
        ):
            raise EvidenceError(
                f"the keys that {self.repository.named} pins are not to be taken in",
                why=f"its {TRUST} cannot be read, pins a live key, or says another thing of a key than ours",
                state=_NOTHING,
                next_step=f"compare it with {self.evidence / TRUST}: git -C {self.evidence} show {FOUND}:{TRUST}",
            )
        return raw + b"".join(map(_pin_lines, new.values())) if new else b""


def _bundle_of(line: bytes) -> str:
    """The bundle that a line of the ledger is about; a name that leads nowhere when it names none."""
    try:
        name = str(json.loads(line)["bundle"])
    except (ValueError, KeyError, TypeError):
        return "no-bundle"
    return name if is_file_name(name) else "no-bundle"


def _bundles(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}


def _problem(folder: Path, trust: Path | None, *, but: frozenset[str] = frozenset()) -> str:
    """The first thing that is wrong, "" for nothing; `but` are bundles that need not be in the ledger."""
    report = verify(folder, trust, with_rehearsals=True)
    wrong = [one for one in report.findings if not (one.file == LEDGER and one.bundle in but)]
    where = (f"{'/'.join(filter(None, (one.bundle, one.file)))}: {one.problem}" for one in wrong)
    return shown(next(where) + (f", and {len(wrong) - 1} more" if wrong[1:] else "")) if wrong else ""


def _sealed_files(bundle: Path) -> list[str]:
    try:
        listed = json.loads((bundle / "manifest.json").read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return sorted({*(name for name in listed if (bundle / name).is_file()), *SEALED_BESIDE})


def _parting(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """The number, from zero, of the first line that is not the same on both sides."""
    same = (number for number, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(same, min(len(one), len(other)))


def _line_told(chain: _Chain, number: int) -> str:
    if number >= len(chain.lines):
        return "missing"
    return f"{shown(chain.names[number])} (sha256 {head_of(chain.lines[: number + 1])[:_SHORT]})"


def _pins(raw: bytes) -> dict[str, dict[str, str]]:
    """The entries of a trust file by their key; none of what is none."""
    try:
        entries = tomllib.loads(raw.decode()).get("keys", [])
        return {keyid_of(one): {name: str(text) for name, text in one.items()} for one in entries}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _pin_lines(entry: Mapping[str, str]) -> bytes:
    return ("[[keys]]\n" + "".join(f"{name} = {json.dumps(text)}\n" for name, text in entry.items()) + "\n").encode()


def _message(kept: _Chain, following: Sequence[str]) -> str:
    """For whoever reads the branch's log: how far the chain goes, and each bundle with its verdict."""
    told = [json.loads(line) for line in kept.lines[len(kept.lines) - len(following) :]]
    rows = [f"{one['bundle']}  {one['verdict']}  ({one['cloud']})" for one in told]
    return "\n".join([f"Ledger line {len(kept.lines)}: {len(rows)} added", "", *rows]) + "\n"
