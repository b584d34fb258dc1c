"""The rehearsal as the session sees it: on staging's schema, on production's, and what the tree makes of nothing."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import psycopg

from pantheon_runbook.database.connection import SESSION_PORT
from pantheon_runbook.database.migrations.revision_kinds import Ground, Site
from pantheon_runbook.database.migrations.revisions import Revision
from pantheon_runbook.database.refreshing.emptying import empty
from pantheon_runbook.database.rehearsals.dump import Dump, dump_schema, restore
from pantheon_runbook.database.rehearsals.rehearsal import Rehearsal
from pantheon_runbook.database.rehearsals.rehearsing import rehearse, worker_on
from pantheon_runbook.database.rehearsals.scratch import NOT_REHEARSED, Scratch, not_rehearsed, scratch
from pantheon_runbook.database.rehearsals.weights import magnitude
from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.errors import ConfigError, RunbookError, WrongEnvironmentError
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Resource, canonical, counted, digest_of
from pantheon_runbook.providers import supabase
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.secrets import Secret

REHEARSAL = "database/rehearsal"
STAGING, PRODUCTION = f"{REHEARSAL}/staging", f"{REHEARSAL}/production"
_OF_PRODUCTION = "production"
_NO_ROLE = Rehearsal(
    not_rehearsed="no role may dump production's schema",
    next_step="pantheon-runbook read-role --dump prints what makes one",
)
_NO_POOLER = Rehearsal(
    not_rehearsed="production's pooler is not there: is the project paused?",
    next_step="look at production's project in Supabase's dashboard; when it runs, plan again",
)
PRODUCTION_REVISION = "production/revision"
# Would stop the apply too: no reason to go on without a rehearsal.
_DECIDED = (ConfigError, WrongEnvironmentError)


@dataclass(frozen=True)
class Found:
    """What one look came to.

    `expected` are the schema's lines that the tree makes of nothing up to where staging is; `why_not` is the reason
    when that is not known, and `next_step` what lets it be known.
    """

    staging: Rehearsal = field(default_factory=Rehearsal)
    production: Rehearsal = field(default_factory=Rehearsal)
    expected: tuple[str, ...] = ()
    why_not: str = ""
    next_step: str = ""


class Rehearsals(Kind):
    """Read only: what it writes to is a server of its own, which is gone afterwards."""

    prefix = REHEARSAL
    looks_after = ("database/revision", "database/refresh")

    def __init__(
        self,
        parts: Parts,
        site: Site,
        *,
        ground: Callable[[], Ground | None],
        pending: Callable[[Ground], Sequence[Revision]],
        heads: Callable[[Ground], Sequence[str]],
    ) -> None:
        """`heads` are what the database counts as being at: Alembic's, or a baseline that is about to be accepted."""
        self._parts = parts
        self._site = site
        self._ground = ground
        self._pending = pending
        self._heads = heads
        self._policy = parts.outside.config.migration_policy
        self._known: dict[str, Found] = {}
        self._is_of_production = parts.name == _OF_PRODUCTION  # there is one schema to rehearse on, and no other
        self.found = Found()

    def look(self) -> Look:
        ground = self._ground()
        if ground is None or not self._site.is_there:
            return Look()
        production = self._production()
        key = _key(ground, production)
        if key not in self._known:
            self._known[key] = self._rehearsed(ground, production)
        self.found = self._known[key]
        return Look(tuple(self._resources(production)), files={"rehearsal.json": self._timed()})

    def _rehearsed(self, ground: Ground, production: _Source | Rehearsal) -> Found:
        try:
            with scratch() as server:
                return self._all(ground, production, server)
        except _DECIDED:
            raise
        except RunbookError as error:
            missed = _missed(error)
            return Found(missed, missed, (), missed.not_rehearsed, missed.next_step)

    def _all(self, ground: Ground, production: _Source | Rehearsal, server: Scratch) -> Found:
        pending = tuple(self._pending(ground))
        rows = production.rows if isinstance(production, _Source) else {}
        if self._is_of_production:
            made_of_nothing = self._made_of_nothing(ground, server)
            if not pending:
                return Found(Rehearsal(), Rehearsal(), *made_of_nothing)
            own = production if isinstance(production, Rehearsal) else self._on(production, pending, server, rows)
            return Found(own, Rehearsal(), *made_of_nothing)
        staging = self._on_its_own(ground, pending, server, rows) if pending else Rehearsal()
        made_of_nothing = self._made_of_nothing(ground, server)
        if isinstance(production, Rehearsal):
            return Found(staging, production, *made_of_nothing)
        if not pending:
            return Found(staging, Rehearsal(), *made_of_nothing)
        its_own = ground.history.pending(production.dump.heads)
        is_same = its_own == pending and production.dump.standing.lines == ground.schema.lines
        of_production = staging if is_same else self._on(production, its_own, server, rows) if its_own else Rehearsal()
        return Found(staging, of_production, *made_of_nothing)

    def _on_its_own(
        self, ground: Ground, pending: Sequence[Revision], server: Scratch, rows: dict[str, int]
    ) -> Rehearsal:
        source = self._own(ground)
        try:
            source = self._made_anew(source, server) if ground.is_foretold else source
        except RunbookError as error:
            return _missed(error)
        return self._on(source, pending, server, rows)

    def _made_anew(self, source: _Source, server: Scratch) -> _Source:
        """What a refresh leaves of it, found by doing that to a copy; as if everything could be dropped."""
        copy = server.make("made_anew")
        try:
            restore(source.dump, copy)
            with copy.connection() as superuser, superuser.transaction():
                empty(superuser, version_table=self._site.version_table)
            dump = dump_schema(copy.url, resolve=lambda _host, _port: None, version_table=self._site.version_table)
        except psycopg.Error as error:
            raise not_rehearsed(f"a copy cannot be made anew: {error.diag.message_primary or error}") from error
        finally:
            server.drop(copy)
        return _Source(source.name, replace(dump, server=source.dump.server), {})

    def _on(self, source: _Source, pending: Sequence[Revision], server: Scratch, rows: dict[str, int]) -> Rehearsal:
        """Weighed with production's rows, where they are known: it is production that must not be held up.

        What only the source has weighs what it has there; a table that nobody counted would be taken for a big one.
        """
        self._parts.surroundings.progress(
            f"rehearsing {counted(len(pending), 'revision')} on the schema of {source.name}"
        )
        try:
            return rehearse(
                pending,
                source.dump,
                rows={**source.rows, **rows},
                server=server,
                backend=self._site.backend,
                policy=self._policy,
            )
        except _DECIDED:
            raise
        except RunbookError as error:
            return _missed(error)

    def _made_of_nothing(self, ground: Ground, server: Scratch) -> tuple[tuple[str, ...], str, str]:
        """Its lines; or none, why not, and what lets them be known."""
        heads = tuple(head for head in self._heads(ground) if ground.history.get(head))
        try:
            return self.lines_at(ground, heads, server), "", ""
        except _DECIDED:
            raise
        except RunbookError as error:
            missed = _missed(error)
            return (), missed.not_rehearsed, missed.next_step

    def lines_at(self, ground: Ground, heads: Iterable[str], server: Scratch) -> tuple[str, ...]:
        """The schema's lines of an empty database that was upgraded to these. Errors: RunbookError."""
        database = server.make("of_nothing")
        wanted = ground.history.below(heads)
        with database.connection() as superuser:
            with worker_on(
                database, superuser, backend=self._site.backend, policy=self._policy, observe=False
            ) as worker:
                self._site.require_version_table(worker, ())
                for one in ground.history.revisions:
                    if one.id in wanted:
                        worker.step(one.id)
            return look_at_schema(superuser, version_table=self._site.version_table).lines

    def _own(self, ground: Ground) -> _Source:
        url = self._site.vault.get("database.session_url")
        assert url is not None
        own = self._dumped(self._parts.name, url)
        if ground.is_foretold:
            return own
        return replace(own, dump=replace(own.dump, heads=tuple(self._heads(ground))))

    def _production(self) -> _Source | Rehearsal:
        """Its schema and how many rows its tables have, by its dump role; or why not."""
        read = self._parts.outside.config.production_read
        password = self._parts.outside.credentials.values.get(read.dump_password) if read else None
        if read is None or password is None:
            return _NO_ROLE
        ref = self._parts.outside.identities.production.supabase_ref
        try:
            pooler = supabase.pooler_of(self._parts.clients.supabase, ref)
            if pooler is None:
                return _NO_POOLER
            login = f"{read.dump_role}.{ref}:{urllib.parse.quote(password.reveal(), safe='')}"
            options = self._parts.outside.database_options
            url = Secret(f"postgresql://{login}@{pooler.host}:{SESSION_PORT}/postgres{options}")
            return self._dumped("production", url, without_roles=(read.role, read.dump_role))
        except RunbookError as error:
            return _missed(error)

    def _dumped(self, name: str, url: Secret, *, without_roles: Sequence[str] = ()) -> _Source:
        resolve = self._parts.outside.resolve
        dump = dump_schema(url, resolve=resolve, version_table=self._site.version_table, without_roles=without_roles)
        big = self._policy.big_table_rows
        return _Source(name, dump, {table: magnitude(rows, big=big) for table, rows in dump.rows.items()})

    def _resources(self, production: _Source | Rehearsal) -> Iterator[Resource]:
        rows = production.rows if isinstance(production, _Source) else {}
        own, beside = self.found.staging, self.found.production
        for address, one in ((PRODUCTION, own),) if self._is_of_production else ((STAGING, own), (PRODUCTION, beside)):
            if one.not_rehearsed:
                yield Resource(address, "unreadable", note=f"not rehearsed: {one.not_rehearsed}")
            elif one.ran or one.failed:
                yield Resource(address, "present", {**one.settled, "rows": rows}, note=_told(one))
        if isinstance(production, _Source):
            heads = production.dump.heads
            note = f"at {', '.join(heads) or 'nothing'}"
            yield Resource(PRODUCTION_REVISION, "present", {"heads": list(heads)}, note)

    def _timed(self) -> bytes:
        """Everything, with the seconds that were measured; the snapshot has what is the same each time."""
        return canonical({name: asdict(getattr(self.found, name)) for name in ("staging", "production")})


@dataclass(frozen=True)
class _Source:
    name: str
    dump: Dump
    rows: dict[str, int]


def _missed(error: RunbookError) -> Rehearsal:
    """What kept it from being rehearsed; who reads it knows already that it was not."""
    why = error.why if error.what == NOT_REHEARSED else f"{error.what} ({error.why})"
    return Rehearsal(not_rehearsed=why, next_step=error.next_step)


def _key(ground: Ground, production: _Source | Rehearsal) -> str:
    files = [[one.id, one.digest] for one in ground.history.revisions]
    if isinstance(production, Rehearsal):
        held: object = production.not_rehearsed
    else:
        held = [production.dump.standing.fingerprint, production.rows]
    return digest_of([files, ground.heads, ground.schema.fingerprint, ground.is_foretold, held])


def _told(one: Rehearsal) -> str:
    """In one line what a reader asks first."""
    if one.failed:
        return f"{one.failed.revision} fails on the copy"
    clean = sum(each.way == "clean" for each in one.undone)
    return f"{len(one.ran)} revisions ran; {clean} of them were undone cleanly and applied again"
