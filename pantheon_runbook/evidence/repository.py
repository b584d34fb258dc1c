"""The evidence folder as a git working tree of its own, by the git command; bytes go in and out unfiltered."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pantheon_runbook.errors import EvidenceError, UsageError

_SECONDS = 60
_NETWORK_SECONDS = 600
_OURS = "refs/pantheon-runbook"
FOUND = f"{_OURS}/found"  # what the remote held when it was looked at last
_KEPT = "nothing was pushed; every bundle is still here"
_PLAIN = {"100644", "100755"}
# What a hook or another git leaves in the environment would lead to another repository than this folder's.
_LEADS_ELSEWHERE = frozenset({
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX",
})  # fmt: skip


@dataclass(frozen=True)
class Repository:
    """One branch of one remote, as seen from the evidence folder. `remote` is a name of git's, or an address."""

    folder: Path
    remote: str
    branch: str

    @classmethod
    def of(cls, folder: Path, *, remote: str, branch: str) -> Repository:
        """The folder's own tree, made when there is none. Errors: UsageError, EvidenceError."""
        is_path = "/" in remote and ":" not in remote
        one = cls(folder.resolve(), str(Path(remote).absolute()) if is_path else remote, branch)
        one._refuse_odd_names()
        if not (one.folder / ".git").exists():
            one._begin()
        one._says("rev-parse", "--git-dir")  # git has reasons to refuse one, such as another owner
        if not one._is_known and not _is_address(remote):
            raise one._unknown_remote()
        return one

    @property
    def _is_known(self) -> bool:
        return self._asks("remote", "get-url", self.remote).returncode == 0

    @property
    def _seen(self) -> str:
        """The ref of the commit that the remote had when we last pushed or pulled."""
        named = self._asks("remote", "get-url", self.remote)
        address = _text(named.stdout).strip() if named.returncode == 0 else self.remote
        return f"{_OURS}/seen/{hashlib.sha256(address.encode()).hexdigest()[:16]}/{self.branch}"

    def seen(self) -> str:
        """That commit, "" when we never had one."""
        done = self._asks("rev-parse", "--verify", "--quiet", self._seen)
        return done.stdout.decode().strip() if done.returncode == 0 else ""

    def fetched(self) -> str:
        """The remote's commit, its objects brought here; "" when it has no such branch. Errors: EvidenceError."""
        ref = f"refs/heads/{self.branch}"
        if not self._stands_at(ref):
            return ""
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        fetched = self._asks("fetch", *options, "--", self.remote, f"+{ref}:{FOUND}", seconds=_NETWORK_SECONDS)
        if fetched.returncode:
            raise self._out_of_reach(fetched)
        return self._says("rev-parse", "--verify", FOUND)

    def _stands_at(self, ref: str) -> str:
        """The remote's commit, "" for none; nothing is brought here. Errors: EvidenceError."""
        asked = self._asks("ls-remote", "--exit-code", "--", self.remote, ref, seconds=_NETWORK_SECONDS)
        if asked.returncode == _NO_SUCH_BRANCH:
            return ""
        if asked.returncode:
            raise self._out_of_reach(asked)
        return asked.stdout.decode().partition("\t")[0]

    def files(self, commit: str) -> dict[str, str]:
        """Object id by path; of what is no plain file its kind is in the id, so that it is equal to none."""
        listed = self._says_bytes("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")
        found = {}
        for entry in filter(None, listed):
            facts, _, path = entry.partition(b"\t")
            mode, kind, named = facts.decode().split(" ")
            found[path.decode(errors="surrogateescape")] = named if mode in _PLAIN else f"{mode} {kind} {named}"
        return found

    def content(self, named: Sequence[str]) -> list[bytes]:
        """The objects with these ids, byte for byte."""
        out = self._says_bytes("cat-file", "--batch", given="".join(f"{one}\n" for one in named).encode())
        found = []
        for _ in named:
            head, _, out = out.partition(b"\n")
            size = int(head.split(b" ")[2])
            found.append(out[:size])
            out = out[size + 1 :]
        return found

    def kept(self, paths: Sequence[str], *, write: bool) -> dict[str, str]:
        """Object id by path of files in the folder, put among the objects when `write` says so."""
        options = ("-w",) if write else ()
        given = "".join(f"{path}\n" for path in paths).encode()
        named = self._says("hash-object", *options, "--no-filters", "--stdin-paths", given=given).split()
        return dict(zip(paths, named, strict=True))

    def commit(self, files: Mapping[str, str], *, parent: str, message: str) -> str:
        """A commit of what `parent` has, with these files beside or instead; no branch is moved."""
        index = {"GIT_INDEX_FILE": str(self._place_of("pantheon-runbook.index"))}
        Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
        self._says("read-tree", *([parent] if parent else ["--empty"]), more=index)
        entries = "".join(f"100644 {named}\t{path}\0" for path, named in sorted(files.items()))
        self._says("update-index", "--add", "-z", "--index-info", given=entries.encode(), more=index)
        tree = self._says("write-tree", more=index)
        parents = ("-p", parent) if parent else ()
        return self._says("commit-tree", tree, *parents, given=message.encode(), more=self._author())

    def push(self, commit: str, *, parent: str) -> None:
        """Put the commit, which follows `parent`, at the branch's end; never over anything. Errors: EvidenceError."""
        ref = f"refs/heads/{self.branch}"
        done = self._asks("push", "--porcelain", "--", self.remote, f"{commit}:{ref}", seconds=_NETWORK_SECONDS)
        if done.returncode == 0:
            return
        rejected = next((line for line in _text(done.stdout).splitlines() if line.startswith("!")), "")
        if rejected and self._stands_at(ref) != parent:
            raise EvidenceError(
                f"somebody else pushed to {self.named} in this moment",
                why=f"git refused ours: {_harmless(rejected)}",
                state=_KEPT,
                next_step="pantheon-runbook evidence push",
            )
        if rejected:
            raise EvidenceError(
                f"{self.named} does not take the evidence",
                why=_harmless(rejected.rpartition("\t")[2] or rejected),
                state=_KEPT,
                next_step=f"ask who holds {self.shown} to let this user or deploy key push to {self.branch}, then run "
                "it again",
            )
        raise self._out_of_reach(done, state="unknown whether it was pushed, a push looks first; every bundle is here")

    def settle(self, commit: str) -> None:
        """Remember what the remote has; the folder's own branch of that name goes there too, if it only grows by it."""
        self._says("update-ref", self._seen, commit)
        own = f"refs/heads/{self.branch}"
        stands = self._asks("rev-parse", "--verify", "--quiet", own)
        if stands.returncode == 0 and self._asks("merge-base", "--is-ancestor", own, commit).returncode:
            return  # somebody has commits of his own on it
        self._says("update-ref", own, commit)
        if self._asks("symbolic-ref", "--quiet", "HEAD").stdout.decode().strip() == own:
            self._says("read-tree", commit)

    def _begin(self) -> None:
        if not _is_address(self.remote):
            raise UsageError(
                f'the evidence folder {self.folder.name} has no remote "{self.remote}"',
                why="it is no git working tree of its own yet",
                next_step="name the address of a repository for the evidence alone: --remote git@HOST:OWNER/NAME.git",
            )
        self._says("init", "--quiet")
        self._says("symbolic-ref", "HEAD", f"refs/heads/{self.branch}")
        self._says("remote", "add", "origin", self.remote)
        with self._place_of("info/exclude").open("a") as file:
            file.write("/.running/\n/.incoming-*\n")

    def _place_of(self, name: str) -> Path:
        path = self.folder / self._says("rev-parse", "--git-path", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _author(self) -> dict[str, str]:
        """Whoever git says, else who runs this: a machine in CI has no name."""
        told = os.environ.get("PANTHEON_OPERATOR") or os.environ.get("GITHUB_ACTOR") or "pantheon-runbook"
        has_name = self._asks("config", "user.email").returncode == 0
        own = {} if has_name else {"NAME": told, "EMAIL": "pantheon-runbook@localhost"}
        return {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in own.items()}

    @property
    def shown(self) -> str:
        return _harmless(self.remote)

    @property
    def named(self) -> str:
        return f'the branch "{self.branch}" of {self.shown}'

    def _refuse_odd_names(self) -> None:
        for option, name in (("--remote", self.remote), ("--branch", self.branch)):
            if not name.strip() or name.startswith("-") or not name.isprintable():
                raise UsageError(
                    f'{option} "{_harmless(name)}" is no name',
                    why="it is empty, begins with a dash, or holds what cannot be printed",
                    next_step="pantheon-runbook evidence push --help",
                )
        if self._asks("check-ref-format", f"refs/heads/{self.branch}", inside=False).returncode:
            raise UsageError(
                f'"{self.branch}" cannot be the name of a branch',
                why="git takes none that is spelled so",
                next_step="name another with --branch, or leave it out for evidence",
            )

    def _unknown_remote(self) -> UsageError:
        known = _text(self._asks("remote").stdout).split()
        return UsageError(
            f'the evidence folder {self.folder.name} has no remote "{self.shown}"',
            why=f"git knows {', '.join(known) or 'none'} there",
            next_step=f"name one with --remote, or add it: git -C {self.folder} remote add {self.shown} ADDRESS",
        )

    def _out_of_reach(self, done: subprocess.CompletedProcess[bytes], *, state: str = _KEPT) -> EvidenceError:
        return EvidenceError(
            f"{self.named} cannot be reached",
            why=_told(done),
            state=state,
            next_step=f"see that `git ls-remote {self.shown}` answers from here: its address, the network, and a key "
            "or credential helper that may read and write it",
        )

    def _says(self, *arguments: str, given: bytes = b"", more: Mapping[str, str] | None = None) -> str:
        return self._says_bytes(*arguments, given=given, more=more).decode().strip()

    def _says_bytes(self, *arguments: str, given: bytes = b"", more: Mapping[str, str] | None = None) -> bytes:
        done = self._asks(*arguments, given=given, more=more)
        if done.returncode == 0:
            return done.stdout
        raise EvidenceError(
            f"git cannot be used in {self.folder}",
            why=f"git {arguments[0]}: {_told(done)}",
            state=_KEPT,
            next_step=f"see what `git -C {self.folder} fsck` says, and whether you may write there",
        )

    def _asks(
        self,
        *arguments: str,
        given: bytes = b"",
        more: Mapping[str, str] | None = None,
        seconds: int = _SECONDS,
        inside: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """What git answers, whatever it is. Errors: UsageError without git, EvidenceError when it does not end."""
        kept = {name: text for name, text in os.environ.items() if name not in _LEADS_ELSEWHERE}
        ours = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_CEILING_DIRECTORIES": str(self.folder.parent)}
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.folder if inside else None,
                env={**kept, **ours, **(more or {})},
                input=given,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError as error:
            raise UsageError(
                "the evidence cannot be shared from here",
                why="there is no git on PATH",
                next_step="install git, then run it again",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise EvidenceError(
                f"{self.named} does not answer",
                why=f"git {arguments[0]} was still waiting after {seconds} s",
                state="unknown whether it was pushed; every bundle is still here",
                next_step="pantheon-runbook evidence push: it looks first",
            ) from error


_NO_SUCH_BRANCH = 2  # of ls-remote --exit-code


def _is_address(remote: str) -> bool:
    """Whether it is where a repository is, and not what git calls it."""
    return "/" in remote or ":" in remote


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _told(done: subprocess.CompletedProcess[bytes]) -> str:
    """What git said went wrong, on one line; it says several things, the first of which is the cause."""
    lines = [line.strip() for line in _text(done.stderr).splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))] or lines[-1:]
    first = [line for line in lines if "denied" in line.lower()] or wrong
    return _harmless(first[0]) if first else f"git ended with {done.returncode}"


def _harmless(text: str) -> str:
    """Without the name and password that an address may hold, and without what moves a cursor."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return re.sub(r"(?<=://)[^/@\s]+@", "", shown)


def bundles_in(paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths by the bundle that they are in; what lies beside the bundles, or is hidden, is in none."""
    found: dict[str, list[str]] = {}
    for path in paths:
        bundle, slash, _ = path.partition("/")
        if slash and not bundle.startswith("."):
            found.setdefault(bundle, []).append(path)
    return found
