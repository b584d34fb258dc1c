"""A provisioned staging and a clone of its backend, for all that RB-020 does; asked and disturbed from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from checkout import Checkout
from psycopg.conninfo import make_conninfo
from vendors import Hands

from pantheon_runbook.errors import RunbookError
from pantheon_runbook.model import Finding, Plan
from pantheon_runbook.sandbox import customer, network
from pantheon_runbook.servers.cluster import BOOTSTRAP_USER
from pantheon_runbook.session import ACTS
from pantheon_runbook.verdict import Verdict

Touched = tuple[int, int]


class Staging:
    """One world; what is changed in it is undone by `back_to`, which costs a second or two when there is something."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.hands = Hands(world.running)
        self.ref = str(world.staging_ref())
        self.production = str(world.facts["supabase"]["ref"])
        self.checkout = Checkout(world.folder / "backend")
        self.configure()
        self._clean: tuple[str, Touched] = ("", (0, 0))

    def configure(self, *changes: tuple[str, str], more: str = "") -> None:
        """The customer's config, with the clone for its backend and pieces replaced."""
        text = self.config
        (line,) = [line for line in text.splitlines() if line.startswith("alembic = ")]
        for old, new in ((line, 'alembic = "backend/alembic.ini"'), *changes):
            assert old in text, old
            text = text.replace(old, new)
        (self.world.folder / "pantheon.toml").write_text(text + more)
        identities = (self.world.customer / "identities.toml").read_text()
        (self.world.folder / "identities.toml").write_text(identities)

    @property
    def config(self) -> str:
        return str((self.world.customer / "pantheon.toml").read_text())

    def editing(self, path: Path, old: str, new: str) -> Callable[[], None]:
        """What edits and commits a file of the clone when it is called."""

        def edit() -> None:
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
            self.checkout.commit()

        return edit

    # ---- the world as it was

    def keep(self, name: str) -> None:
        self.world.running.save(str(self.world.folder / name))
        self._clean = (name, self.touched())

    def back_to(self, name: str) -> None:
        """The world that was kept, and a new clone; a world that nobody has touched since is left as it is."""
        self.world.running.faults([])
        if self._clean != (name, self.touched()):
            self.world.running.load(str(self.world.folder / name))
            self._clean = (name, self.touched())
        self.checkout = Checkout(self.world.folder / "backend")
        self.configure()

    def spoil(self) -> None:
        """It was changed behind the logs, as `Hands.edit` does: `back_to` loads it again."""
        self._clean = ("", (0, 0))

    # ---- what the logs say

    def touched(self) -> Touched:
        """Mutating calls, and mutating statements on staging, so far."""
        return len(self.world.mutating()), len(self.world.running.statements(self.ref))

    def calls_since(self, mark: Touched) -> list[str]:
        return list(self.world.mutating()[mark[0] :])

    def statements_since(self, mark: Touched, *, of: str = "pantheon-runbook") -> list[str]:
        """By sessions of that name: ours; the deployed backend's have none, and the proofs make it write."""
        log = self.world.running.statements(self.ref)[mark[1] :]
        return [" ".join(one["statement"].split()) for one in log if one["application_name"].startswith(of)]

    # ---- runs

    def open(self, mode: str = "apply", **parameters: Any) -> Any:
        return self.world.open(mode, runbook="RB-020", **parameters)

    def plan(self, **parameters: Any) -> Plan:
        """A sealed plan run; that it has written nothing is asserted."""
        mark, run = self.touched(), self.open("plan", **parameters)
        try:
            plan: Plan = self.world.plan(run)
        finally:
            self.world.seal(run)
        assert mark == self.touched()
        return plan

    def findings(self, **parameters: Any) -> dict[str, Finding]:
        return {one.code: one for one in self.plan(**parameters).findings}

    def blocking(self, **parameters: Any) -> dict[str, Finding]:
        return {code: one for code, one in self.findings(**parameters).items() if one.blocks}

    def run(
        self,
        *,
        until: str = "verify",
        when: tuple[str, str] = ("", ""),
        then: Callable[[], None] = lambda: None,
        **parameters: Any,
    ) -> tuple[Verdict, RunbookError | None, Any]:
        """An apply run up to one act: its sealed verdict, what an act raised, and the session.

        `then` happens once, right after the journal has the line `when`, an event and its act or address.
        """
        run, stopped = self.open("apply", **parameters), None
        write, left = run.session.journal.write, [then]

        def written(event: str, **fields: Any) -> None:
            write(event, **fields)
            if left and when == (event, fields.get("address") or fields.get("act")):
                left.pop()()

        run.session.journal.write = written
        try:
            for act in ACTS[: ACTS.index(until) + 1]:
                run.session.perform(act)
        except RunbookError as error:
            stopped = error
        return self.world.seal(run), stopped, run.session

    def applied(self, **parameters: Any) -> Any:
        """A run that has applied everything; its session."""
        _, stopped, session = self.run(until="apply", **parameters)
        assert stopped is None, stopped
        return session

    def journal(self) -> list[dict[str, Any]]:
        """Of the last run that was sealed."""
        folder = max(self.world.evidence.glob("2*-RB-020-*"), key=lambda one: one.stat().st_mtime)
        return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]

    # ---- the databases

    def sql(self, statement: str) -> Any:
        return self.hands.sql(self.ref, statement)

    def rows(self) -> dict[str, str]:
        """The ledger's last word on each revision."""
        last = "select distinct on (revision) revision, state from pantheon_runbook.migrations order by 1, id desc"
        return {row["revision"]: row["state"] for row in self.sql(last)}

    def shape(self) -> Any:
        """The application's tables and columns, with how often their rows were written."""
        columns = "select string_agg(table_name || column_name || data_type, ',' order by 1) as columns"
        of_public = "from information_schema.columns where table_schema = 'public'"
        written = "select relname, n_tup_ins, n_tup_upd, n_tup_del from pg_stat_user_tables where schemaname = 'public'"
        return self.sql(f"{columns} {of_public}"), self.sql(f"{written} order by 1")

    def heads(self) -> list[str]:
        return [row["version_num"] for row in self.sql("select version_num from public.alembic_version order by 1")]

    @property
    def url(self) -> str:
        """As the backend's developers use it, with the sandbox's host resolved."""
        return self._resolved(self.hands.variables("api")["DATABASE_URL"])

    @property
    def url_of_production(self) -> str:
        return self._resolved(self.world.facts["supabase"]["session_url"])

    def _resolved(self, url: str) -> str:
        host = url.rpartition("@")[2].partition("/")[0]
        name, _, port = host.partition(":")
        place = network.resolve(name, int(port), self.world.running.networks_file)
        assert place is not None
        return url.replace(host, f"{place[0]}:{place[1]}")

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Somebody's own session on staging, who may hold locks."""
        with psycopg.connect(self.url, autocommit=True, application_name="somebody") as connection:
            yield connection

    @contextmanager
    def superuser(self, ref: str) -> Iterator[psycopg.Connection[Any]]:
        """The vendor's own way into a database, to set what no customer can."""
        base = Path(self.world.running.socket).parent
        (data,) = [one.parent for one in base.glob(f"**/{ref}*/PG_VERSION")]
        port = self.world.running.status()["clusters"][ref]["port"]
        place = make_conninfo(host=str(data), port=port, user=BOOTSTRAP_USER, dbname="postgres")
        with psycopg.connect(place, autocommit=True) as connection:
            yield connection


def until(is_so: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


@contextmanager
def staging_in(new_world: Callable[[], Any]) -> Iterator[Staging]:
    """Production with its two read roles, and a staging as RB-010 leaves it, kept as "provisioned"."""
    with new_world() as world, pytest.MonkeyPatch.context() as monkeypatch:
        world.enter(monkeypatch)
        customer.give_read_roles(world.running)
        assert "done" == world.provision().word
        staging = Staging(world)
        staging.keep("provisioned")
        yield staging
        staging.hands.close()
