"""The part of a migration that runs inside the backend's own interpreter: one file, alembic and SQLAlchemy only.

Started by fork_server.py as `<backend.python> alembic_worker.py <socket>`, and forked for each worker, which has two
pipes: one JSON object per line. It says nothing of its own on stdout or stderr, and ends when the runner's end is
closed.

    history     -> {"event": "history", "revisions", "heads"}                no database, env.py is not run
    migrate     -> {"event": "ready", "heads", "version_table", "pid", ...}  env.py is run once, and waits inside
      step, undo  -> {"event": "done", "revision", "seconds", "heads", "statements"}
      end         -> {"event": "ended"}
    seed        -> {"event": "seeded"}                                       a file of the backend's, run to its end
    anything    -> {"event": "failed", "cause", "message", "where", "sqlstate", "revision", "outcome"}

The URL comes through the pipe. While env.py connects it stands in this process's DATABASE_URL (and in the variable
that the backend names), and in the ini's sqlalchemy.url; in none of them when the first revision runs. A seed has it to
its end. Python >= 3.9, alembic >= 1.7, SQLAlchemy >= 1.4.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path.pop(0)  # this file's own folder, whose modules are not the backend's

import atexit
import ctypes
import functools
import hashlib
import importlib
import json
import os
import re
import select
import signal
import socket
import threading
import time
import traceback
import types
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import sqlalchemy
from alembic import util
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import event, pool
from sqlalchemy.engine import Engine

NO_DATABASE = "postgresql://nobody:nothing@only-while-env-py-connects.invalid:5432/nothing"
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h
_LONGEST_MESSAGE = 500
_SHORTEST_SECRET = 6  # a shorter one would blank out half the text around it
_HANG_GRACE_SECONDS = 15.0
_PORT = 5432
_OTHERS = 3
_DESCRIPTORS = 4
_STREAMS = (1, 2)  # stdout and stderr, whatever a sitecustomize has put in the place of sys.stdout
_PAST_SQLALCHEMY = "-- sent to the driver itself, past SQLAlchemy"

_PROOF = """
exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 2 and pid <> pg_backend_pid()
and database = (select oid from pg_database where datname = current_database())
and classid::bigint = {0} and objid::bigint = {1})"""
# The setting lets the server give up a statement whose client is gone; PostgreSQL has it from version 14.
_CONNECTED = """
select set_config('lock_timeout', '{lock}', false), set_config('statement_timeout', '{statement}', false),
set_config('application_name', '{name}', false),
(select set_config(name, '1000', false) from pg_settings where name = 'client_connection_check_interval'),"""
_WHO = "(extract(epoch from transaction_timestamp()) * 1000000)::bigint, current_user::text, session_user::text"
_TIMES = "set_config('lock_timeout', '{lock}', {local}), set_config('statement_timeout', '{statement}', {local})"
_MARK = "set_config('pantheon_runbook.revision', '{mark}', false)"  # stays if the transaction commits, else goes back
_LOCKS = """
select locks.relation::bigint, namespace.nspname || '.' || class.relname, locks.mode
from pg_locks as locks
left join pg_class as class on class.oid = locks.relation
left join pg_namespace as namespace on namespace.oid = class.relnamespace
where locks.locktype = 'relation' and locks.granted and locks.pid = pg_backend_pid()
and locks.database = (select oid from pg_database where datname = current_database())
and (namespace.nspname is null or namespace.nspname not in ('pg_catalog', 'information_schema', 'pg_toast'))
"""
_RELATIONS = """
select class.oid::bigint, namespace.nspname || '.' || class.relname
from pg_class as class join pg_namespace as namespace on namespace.oid = class.relnamespace
where namespace.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
"""
# "end" only in front: SQL functions may have a body that ends so.
_QUOTED = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_ENDS_TRANSACTION = re.compile(
    r"^\s*end\b|(?:^|;)\s*(?:commit|abort|prepare\s+transaction|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b",
    re.IGNORECASE,
)


def after_connecting(prove: Any) -> None:
    """What somebody connects to past SQLAlchemy, with the drivers that most have, is asked the same before its use."""
    for driver in drivers():
        driver.connect = _proving(driver.connect, prove)
        if driver.__name__ == "psycopg":
            driver.Connection.connect = staticmethod(_proving(driver.Connection.connect, prove))


def drivers() -> list[Any]:
    """Those of them that are installed here."""
    found = []
    for name in ("psycopg", "psycopg2"):
        with suppress(ImportError):  # also when it is there, and libpq is not
            found.append(importlib.import_module(name))
    return found


def _proving(connect: Any, prove: Any) -> Any:
    @functools.wraps(connect)
    def proved(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        prove(connection)
        return connection

    return proved


def refuse_connection(connection: Any) -> None:
    """Errors: Stop, always: the tree is read without a database."""
    connection.close()
    raise Stop("tree", "a revision connects to a database while it is imported")


class Stop(BaseException):
    """Why this process does not go on; no `except Exception` of somebody's env.py or revision holds it up."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class RefusedStatementError(Exception):
    """It was not sent. An Exception, since SQLAlchemy closes a connection on which it sees anything worse."""


class Pipe:
    """Both directions to the runner. When its end is closed this process ends at once, whatever it is doing."""

    def __init__(self, requests: int, events: int) -> None:
        for descriptor in (requests, events):
            os.set_inheritable(descriptor, False)  # noqa: FBT003  a process that a revision starts must not keep them open
        self._events = events
        self._sending = threading.Lock()
        self._requests = os.fdopen(requests, "rb")
        threading.Thread(target=self._end_with_it, args=(requests,), daemon=True).start()

    def receive(self) -> dict[str, Any]:
        line = self._requests.readline()
        if not line:
            os._exit(os.EX_TEMPFAIL)
        request: dict[str, Any] = json.loads(line)
        return request

    def send(self, **message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._sending:
            while line:
                line = line[os.write(self._events, line) :]

    def _end_with_it(self, requests: int) -> None:
        ended = select.poll()
        ended.register(requests, 0)  # nothing but the other side's end, which is always told
        ended.poll()
        os._exit(os.EX_TEMPFAIL)


def end_with_runner() -> None:
    """Linux: no other process of this user reads our memory, and we do not outlive the thread that started us."""
    if sys.platform != "linux":
        return
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


# ---- the tree


def configuration(ini: str) -> Config:
    """As the command line would make it, from the folder in which `script_location` is found."""
    folder = Path(ini).parent
    os.chdir(folder)
    options = Namespace(name="alembic", x=None, sql=False, tag=None, revision="heads")
    try:
        config = Config(ini, toml_file=str(folder / "pyproject.toml"), cmd_opts=options)
    except TypeError:  # alembic before 1.16 reads no pyproject.toml
        config = Config(ini, cmd_opts=options)
    os.chdir(_folder_of(config, folder))
    sys.path.append(str(Path.cwd()))  # as `python -m alembic` would find it, behind everything that is installed
    return config


def _folder_of(config: Config, folder: Path) -> Path:
    """The ini's own, or the nearest above it: `alembic -c backend/alembic.ini` is often run from there."""
    option = getattr(config, "get_alembic_option", config.get_main_option)
    package, colon, path = str(option("script_location") or "").rpartition(":")
    wanted = package.replace(".", "/") if colon else path
    return next((above for above in (folder, *folder.parents) if (above / wanted).is_dir()), folder)


def look_at_tree(script: ScriptDirectory, ini: str) -> list[dict[str, Any]]:
    """Every revision in the order of application. Errors: Stop("tree") when there are two of one name."""
    with warnings.catch_warnings(record=True) as said, _no_bytecode():
        warnings.simplefilter("always")
        scripts = list(script.walk_revisions())[::-1]
    twice = [str(one.message) for one in said if "more than once" in str(one.message)]
    if twice:
        raise Stop("tree", twice[0])
    return [_described(script, one, Path(ini).parent.resolve()) for one in scripts]


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """What runs is the file whose digest is written down: Python takes a .pyc for it by its time and size alone."""
    before = sys.pycache_prefix, sys.dont_write_bytecode
    sys.pycache_prefix, sys.dont_write_bytecode = os.devnull, True
    try:
        yield
    finally:
        sys.pycache_prefix, sys.dont_write_bytecode = before


def _described(script: ScriptDirectory, one: Any, folder: Path) -> dict[str, Any]:
    needs = [script.get_revision(name).revision for name in util.to_tuple(one.dependencies, default=())]
    for told in (one.revision, one.path):
        if not told or not told.isprintable():
            raise Stop("tree", f"{Path(one.path).name!a}: {told!a} is no name that could be shown")
    return {
        "id": one.revision,
        "down": list(util.to_tuple(one.down_revision, default=())),
        "depends_on": needs,
        "branch_labels": sorted(util.to_tuple(getattr(one.module, "branch_labels", None), default=())),
        "file": os.path.relpath(Path(one.path).resolve(), folder),
        "digest": hashlib.sha256(Path(one.path).read_bytes()).hexdigest(),
        "title": "".join(char for char in (one.longdoc.splitlines() or [""])[0] if char.isprintable()),
        **_declared(one),
    }


def _declared(one: Any) -> dict[str, Any]:
    """What its author says about it. Errors: Stop("tree") for what cannot be meant."""
    phase = getattr(one.module, "phase", "")
    forward = getattr(one.module, "forward_fix_only", False)
    check = getattr(one.module, "check", None)
    name = Path(one.path).name
    if phase not in ("", "expand", "contract"):
        raise Stop("tree", f'{name}: phase is {phase!r}, and can be "expand" or "contract"')
    if not isinstance(forward, bool):
        raise Stop("tree", f"{name}: forward_fix_only is {forward!r}, and can be True or False")
    if check is not None and (not isinstance(check, Mapping) or set(check) != {"query", "expect"}):
        raise Stop("tree", f'{name}: check is not {{"query": ..., "expect": ...}}')
    if check is not None and (
        not isinstance(check["expect"], (str, int, float, bool, type(None))) or check["expect"] != check["expect"]
    ):
        raise Stop(
            "tree", f"{name}: check expects {check['expect']!r}, and can expect a text, a number, a truth or None"
        )
    return {"phase": phase, "forward_fix_only": forward, "check": check}


def heads_of(tree: Sequence[Mapping[str, Any]]) -> list[str]:
    """What nobody builds on; these are in alembic_version when everything is applied."""
    needed = {name for one in tree for name in (*one["down"], *one["depends_on"])}
    return sorted(one["id"] for one in tree if one["id"] not in needed)


# ---- the database's address


def set_variables(variable: str, url: str) -> None:
    """DATABASE_URL always: what else a backend imports may ask for it."""
    os.environ.update({"DATABASE_URL": url, variable: url})


def point_at(config: Config, variable: str, url: str) -> None:
    """For env.py of every kind: the variable, and the ini's URL with the driver that the ini names."""
    set_variables(variable, url)
    written = config.file_config.get(config.config_ini_section, "sqlalchemy.url", raw=True, fallback=None)
    if written is not None:
        config.set_main_option("sqlalchemy.url", _with_driver(url, written.partition("://")[0]).replace("%", "%%"))


def _with_driver(url: str, driver: str) -> str:
    ours = _url_of(url)
    if driver.startswith("postgresql"):
        ours = ours.set(drivername=driver)
    if ours.drivername.endswith("+asyncpg") and "sslmode" in ours.query:
        query = {("ssl" if name == "sslmode" else name): value for name, value in ours.query.items()}
        ours = ours.set(query=query)
    return ours.render_as_string(hide_password=False)


def _url_of(url: str) -> sqlalchemy.engine.URL:
    return sqlalchemy.engine.make_url(re.sub(r"^postgres(?=[+:])", "postgresql", url))


def forget_address(config: Config, variable: str) -> None:
    """A revision has its connection; it needs no password. What is read from now on connects to nothing."""
    set_variables(variable, NO_DATABASE)
    if config.get_main_option("sqlalchemy.url") is not None:
        config.set_main_option("sqlalchemy.url", NO_DATABASE)


# ---- the migration


class Migration:
    """env.py is run once; inside it `steps` waits for the runner's word before each revision."""

    def __init__(self, pipe: Pipe, request: Mapping[str, Any], config: Config, script: ScriptDirectory) -> None:
        self._pipe = pipe
        self._request = request
        self._config = config
        self._script = script
        self._ledger = request["ledger"]
        self._rows = {
            state: sqlalchemy.text(request["ledger"][state]) for state in ("begun", "applied", "undone") if self._ledger
        }
        self._times = {"lock": int(request["lock_timeout_ms"]), "statement": int(request["statement_timeout_ms"])}
        self._proof = _PROOF.format(*map(int, request["proof"]))
        self._context: Any = None
        self._connection: Any = None  # the driver's own, so that nobody's listeners see our statements
        self._tree: dict[str, dict[str, Any]] = {}
        self._standing: set[str] = set()
        self._heads: list[str] = []
        self._is_running = False  # env.py has called run_migrations
        self._is_ready = False  # ... and we have read the tree
        self._current = ""  # the revision that was begun and has not ended
        self._is_inside = False  # its own code runs, not ours or Alembic's
        self._is_alone = False  # ... outside a transaction
        self._has_begun_row = False
        self._is_split = False  # it has told its connection to commit by itself: not all of it is rolled back
        self._refused = ""  # a statement that was not sent, even if the revision makes nothing of it
        self._mark = 0
        self._began: Any = None  # when the transaction that we expect to be in was begun
        self._who: tuple[str, str] = ("", "")
        self._done: list[str] = []
        self._since: float | None = None  # a statement is on its way
        self._watched = Watched(self._ask)
        self.has_failed = False

    def run(self) -> None:
        """All of it. Errors: none; what stops it is sent."""
        event.listen(pool.Pool, "connect", self._prove)
        after_connecting(lambda connection: self._prove(connection, None))
        event.listen(Engine, "before_cursor_execute", self._before_statement)
        event.listen(Engine, "after_cursor_execute", self._after_statement)
        event.listen(Engine, "handle_error", self._not_executing)
        event.listen(Engine, "commit", self._before_commit)
        event.listen(Engine, "rollback", self._before_rollback)
        threading.Thread(target=self._end_when_hung, daemon=True).start()
        point_at(self._config, self._request["variable"], self._request["url"])
        try:
            with self._environment():
                self._script.run_env()
        except BaseException as error:  # noqa: BLE001  whatever env.py does has to be said
            self.fail(error)
        if not self._is_running:
            self.fail(Stop("env", "env.py ended without running its migrations"))
        if not self.has_failed:
            self._pipe.send(event="ended")

    def _environment(self) -> EnvironmentContext:
        """What env.py sees as `alembic.context`: a transaction for each revision, whatever env.py asks for.

        Its class stays Alembic's own: that is where Alembic looks for the modules it has to fill.
        """
        options: dict[str, Any] = {"as_sql": False, "starting_rev": None, "tag": None, "dont_mutate": True}
        environment = EnvironmentContext(self._config, self._script, fn=self.steps, destination_rev="heads", **options)
        configure = environment.configure

        def guarded(*arguments: Any, **options: Any) -> None:
            theirs = util.to_tuple(options.pop("on_version_apply", None), default=())
            options = {**options, "transaction_per_migration": True, "on_version_apply": (*theirs, self._applied)}
            configure(*arguments, **options)
            self._watch(environment.get_context())

        environment.configure = guarded  # type: ignore[method-assign]
        return environment

    def _watch(self, context: Any) -> None:
        """Every context that env.py configures runs its revisions through us."""
        if context.connection is None or context.as_sql:
            raise Stop("env", "env.py has no connection: it wants to write SQL instead of migrating")
        self._context = context
        run_migrations, autocommit_block = context.run_migrations, context.autocommit_block

        def run(**arguments: Any) -> None:
            if self._is_running:
                self.fail(Stop("env", "env.py runs its migrations more than once, for several schemas or databases"))
                raise Stop("env", "already failed")
            self._is_running = True
            try:
                run_migrations(**arguments)
            except BaseException as error:
                self.fail(error)
                raise

        context.run_migrations = run
        context.autocommit_block = lambda: self._outside_transaction(autocommit_block)

    def steps(self, heads: Sequence[str], context: Any) -> Iterator[MigrationStep]:
        """Alembic's `fn`: a step for each word from the runner. Each is committed when it asks for the next."""
        self._make_ready(heads, context)
        while True:
            request = self._pipe.receive()
            if request["act"] == "end":
                return
            started = time.perf_counter()
            yield self._step(request["revision"], is_up=request["act"] == "step")
            if getattr(context, "_in_external_transaction", False):
                self._connection.commit()  # env.py's own "begin" would commit all of them at once
            self._say_done(time.perf_counter() - started, is_up=request["act"] == "step")

    def _make_ready(self, heads: Sequence[str], context: Any) -> None:
        self._connection = context.connection.connection
        pid, began, *who = self._ask(f"select pg_backend_pid(), {_WHO}")[0]
        begins_again = self._ask(f"select {_WHO}")[0][0] != began
        self._connection.commit()  # what env.py prepared; nothing stays open while we wait
        if begins_again:
            raise Stop("env", "env.py's connection commits every statement by itself (AUTOCOMMIT)")
        self._require_session(pid)
        forget_address(self._config, self._request["variable"])
        self._who = (who[0], who[1])
        tree = look_at_tree(self._script, self._request["ini"])
        self._tree = {one["id"]: one for one in tree}
        self._heads = sorted(heads)
        self._standing = self._below(heads)
        self._is_ready = True
        schema, table = context.version_table_schema, context.version_table
        self._pipe.send(
            event="ready",
            heads=self._heads,
            version_table=f"{schema}.{table}" if schema else table,
            pid=pid,
            revisions=tree,
            tree_heads=heads_of(tree),
        )

    def _require_session(self, pid: int) -> None:
        """The way that was handed to us was looked at; env.py may go another one, where no server process is its own.

        A transaction pooler answers us by another process each time, or gives ours to whoever comes while we wait.
        """
        engine, ours = self._context.connection.engine, _url_of(self._request["url"])
        if (engine.url.host, engine.url.port or _PORT) == (ours.host, ours.port or _PORT):
            return
        others: list[Any] = []
        try:
            for _ in range(_OTHERS):
                others.append(engine.pool.recreate().connect())
                beside, *own = (_server_of(one) for one in (others[-1], self._connection, self._connection))
                if beside == pid or set(own) != {pid}:
                    raise Stop("pooler", "its server process is not its own: it changes, or answers others as well")
        finally:
            for other in others:
                other.invalidate()

    def _below(self, heads: Sequence[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(heads)
        while waiting:
            name = waiting.pop()
            if name in self._tree and name not in found:
                found.add(name)
                waiting += [*self._tree[name]["down"], *self._tree[name]["depends_on"]]
        return found

    def _step(self, revision: str, *, is_up: bool) -> MigrationStep:
        self._current, self._has_begun_row, self._refused, self._is_split = revision, False, "", False
        self._mark += 1
        self._require_next(revision, is_up=is_up)
        if is_up and not self._heads:
            self._context._ensure_version_table()  # noqa: SLF001  as Alembic does, but after the runner's word
            self._connection.commit()
        make = MigrationStep.upgrade_from_script if is_up else MigrationStep.downgrade_from_script
        step = make(self._script.revision_map, self._script.get_revision(revision))
        step.migration_fn = self._guarded(step.migration_fn)
        return step

    def _require_next(self, revision: str, *, is_up: bool) -> None:
        one = self._tree.get(revision)
        if one is None:
            raise Stop("order", f"the tree has no revision {revision}")
        if is_up and (revision in self._standing or not {*one["down"], *one["depends_on"]} <= self._standing):
            raise Stop("order", f"{revision} is not the next revision to be applied")
        above = [
            name for name in self._standing if revision in self._tree[name]["down"] + self._tree[name]["depends_on"]
        ]
        if not is_up and (revision not in self._standing or above):
            raise Stop("order", f"{revision} is not the last revision that was applied")

    def _guarded(self, function: Any) -> Any:
        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            self._begin()
            if self._request["observe"]:
                self._watched.begin()
            self._is_inside = True
            try:
                function(**arguments)
            finally:
                self._is_inside = False
                self._is_split = commits_by_itself(self._connection)
            self._require_same_place()
            if self._request["observe"]:
                self._watched.end()

        return run

    def _begin(self) -> None:
        """The first statement of every transaction: its limits, our mark, and who and where we are."""
        times = _TIMES.format(**self._times, local="true")
        self._began = self._ask(f"select {times}, {_MARK.format(mark=self._mark)}, {_WHO}")[0][3]

    def _require_same_place(self) -> None:
        """The transaction and the role in which it began, before anything of ours or Alembic's is written."""
        if self._refused:
            raise Stop("own-commit", self._refused)
        began, *who = self._ask(f"select {_WHO}")[0]
        if began != self._began:
            self._connection.rollback()
            raise Stop("own-commit", "it has ended its own transaction")
        if tuple(who) != self._who:
            raise Stop("role", f"it leaves the session with the role {who[0]} instead of {self._who[0]}")

    def _applied(self, *, step: Any, heads: Sequence[str], **_more: Any) -> None:
        """Alembic's `on_version_apply`, after env.py's own: the last that happens in the revision's transaction."""
        self._heads = sorted(heads)
        self._write_row("applied" if step.is_upgrade else "undone")

    def _write_row(self, state: str) -> None:
        if self._ledger is not None:
            one = self._tree[self._current]
            values = {"revision": one["id"], "file": one["file"], "digest": one["digest"], **self._ledger["parameters"]}
            self._context.connection.execute(self._rows[state], values)

    def _say_done(self, seconds: float, *, is_up: bool) -> None:
        done, self._current = self._current, ""
        self._done.append(done)
        (self._standing.add if is_up else self._standing.discard)(done)
        statements = self._watched.take()
        self._pipe.send(event="done", revision=done, seconds=seconds, heads=self._heads, statements=statements)

    @contextmanager
    def _outside_transaction(self, autocommit_block: Any) -> Iterator[None]:
        """Alembic's block commits what came before it: so does the row that says that this revision was begun."""
        if getattr(self._context, "_in_external_transaction", False):
            raise Stop("env", "autocommit_block cannot leave the transaction that env.py has begun itself")
        was_inside, self._is_inside = self._is_inside, False
        if not self._has_begun_row:
            self._require_same_place()
            self._write_row("begun")
            self._has_begun_row = True
        with autocommit_block():
            self._ask(f"select {_TIMES.format(**self._times, local='false')}")
            self._is_inside, self._is_alone = was_inside, True
            try:
                yield
            finally:
                self._is_inside = self._is_alone = False
        self._begin()
        self._watched.forget_locks()
        self._is_inside = was_inside

    # ---- what SQLAlchemy tells of every connection and statement of this process

    def _prove(self, connection: Any, _record: Any) -> None:
        """A new connection, before anything else uses it. Elsewhere nothing is sent but this question."""
        name = re.sub(r"[^\w .:-]", "", self._request["application_name"])
        proved = None
        try:
            proved = _asked(connection, _CONNECTED.format(name=name, **self._times) + self._proof)[0][-1]
            connection.commit()
        except Exception as error:  # noqa: BLE001  another kind of server says anything
            self._pipe.send(**self._failure(Stop("proof", f"env.py's database cannot be asked: {_said(error)}")))
        else:
            if proved:
                return
            message = "env.py connects to another database than the one that was checked"
            self._pipe.send(**self._failure(Stop("proof", message)))
        sys.stdout.flush()
        os._exit(os.EX_NOPERM)

    def _before_statement(self, connection: Any, _cursor: Any, sql: str, *_more: Any) -> None:
        if self._is_inside and not self._is_alone and ends_transaction(sql):
            self._refuse("it wants to end its own transaction")
        if self._is_inside and not self._is_alone and commits_by_itself(connection.connection):
            self._refuse("it has a connection that commits every statement by itself (AUTOCOMMIT)")
        self._since = time.monotonic()
        self._watched.started()

    def _after_statement(self, _connection: Any, _cursor: Any, sql: str, *_more: Any) -> None:
        self._since = None
        if self._is_inside and self._request["observe"]:
            self._watched.executed(sql, is_alone=self._is_alone)

    def _not_executing(self, _context: Any) -> None:
        self._since = None

    def _before_commit(self, _connection: Any) -> None:
        """Of any connection: what a revision commits on another one would stay when its own is rolled back."""
        if self._is_inside and not self._is_alone:
            self._refuse("it wants to commit its own transaction")

    def _before_rollback(self, connection: Any) -> None:
        if self._is_inside and not self._is_alone and connection is self._context.connection:
            self._refuse("it wants to roll back its own transaction")

    def _refuse(self, message: str) -> None:
        self._refused = message
        raise RefusedStatementError(message)

    def _ask(self, sql: str) -> list[Any]:
        return _asked(self._connection, sql)

    def _end_when_hung(self) -> None:
        """PostgreSQL ends a statement that takes too long; when it cannot be reached, nobody else does."""
        longest = self._times["statement"] / 1000 + _HANG_GRACE_SECONDS
        while self._times["statement"]:
            time.sleep(0.5)
            since = self._since
            if since is not None and time.monotonic() - since > longest:
                message = f"no answer from the database for {longest:.0f} s"
                self._pipe.send(**{**self._failure(Stop("lost", message)), "outcome": "unknown"})
                os._exit(os.EX_TEMPFAIL)

    # ---- what stopped it

    def fail(self, error: BaseException) -> None:
        """Send it, once; by now Alembic has rolled back what it could."""
        if not self.has_failed:
            self.has_failed = True
            failure = self._failure(error)
            if self._current:
                failure["outcome"] = self._outcome()
            self._pipe.send(**failure)

    def _failure(self, error: BaseException) -> dict[str, Any]:
        sqlstate, message = postgres_says(error)
        file = self._script.get_revision(self._current).path if self._current in self._tree else self._env_file()
        return {
            "event": "failed",
            "cause": self._cause(error, sqlstate),
            "message": self._masked(message or _said(error))[:_LONGEST_MESSAGE],
            "where": self._where(error, file),
            "sqlstate": sqlstate,
            "revision": self._current,
            "outcome": "",
            "done": self._done,
        }

    def _masked(self, text: str) -> str:
        """Before it is cut: half a password is one that the runner does not recognise."""
        return masked(text, self._request["url"])

    def _cause(self, error: BaseException, sqlstate: str) -> str:
        if isinstance(error, Stop):
            return error.cause
        if isinstance(error, RefusedStatementError):
            return "own-commit"
        if self._current:
            return "database" if sqlstate else "revision"
        lost = isinstance(error, (OSError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))
        if not self._is_running and (sqlstate.startswith(("08", "28", "53", "57P")) or (lost and not sqlstate)):
            return "unreachable"
        return "tree" if self._is_running and not self._is_ready else "env"

    def _where(self, error: BaseException, file: str) -> str:
        """The last line of that file that was running."""
        real = Path(file).resolve()
        frames = traceback.walk_tb(error.__traceback__)
        lines = [number for frame, number in frames if Path(frame.f_code.co_filename).resolve() == real]
        name = os.path.relpath(real, Path(self._request["ini"]).parent.resolve())
        return f"{name}:{lines[-1]}" if lines else name

    def _env_file(self) -> str:
        return str(Path(self._script.dir) / "env.py")

    def _outcome(self) -> str:
        """Read from the database: our mark stands there only if the transaction that set it was committed."""
        try:
            self._connection.rollback()
            if self._is_split:
                return "committed in part"
            mark = self._ask("select current_setting('pantheon_runbook.revision', true)")[0][0]
            self._connection.rollback()
        except Exception:  # noqa: BLE001  a connection that does not answer is lost, whatever it says
            return "unknown"
        return "committed in part" if mark == str(self._mark) else "rolled back"


class Seed:
    """Somebody's file, run as `python file` runs it, in the folder in which alembic is run.

    What connects by SQLAlchemy is proven to be in the database that was checked, before anything else is sent to it.
    """

    def __init__(self, pipe: Pipe, request: Mapping[str, Any]) -> None:
        self._pipe = pipe
        self._request = request
        self._file = Path(request["file"])
        self._proof = _PROOF.format(*map(int, request["proof"]))

    def run(self) -> None:
        """All of it. Errors: none; what stops it is sent."""
        try:
            self._execute(self._file.read_bytes())
        except SystemExit as ended:
            if ended.code not in (None, 0):
                self._fail("seed", f"it ended with: {ended.code}", ended)
                return
        except BaseException as error:  # noqa: BLE001  whatever it does has to be said
            self._fail("seed", postgres_says(error)[1] or _said(error), error)
            return
        self._pipe.send(event="seeded")

    def _execute(self, content: bytes) -> None:
        """These very bytes: they are what was approved."""
        if hashlib.sha256(content).hexdigest() != self._request["digest"]:
            raise Stop("seed", "it is not the file that was approved")
        module = types.ModuleType("__main__")
        module.__file__ = str(self._file)
        sys.modules["__main__"] = module
        sys.argv[:] = [str(self._file)]
        sys.path.insert(0, str(self._file.parent))
        set_variables(self._request["variable"], self._request["url"])
        event.listen(pool.Pool, "connect", self._prove)
        exec(compile(content, str(self._file), "exec"), module.__dict__)  # noqa: S102  it is what this act is for

    def _prove(self, connection: Any, _record: Any) -> None:
        try:
            proved = _asked(connection, f"select {self._proof}")[0][0]
            connection.rollback()
        except Exception:  # noqa: BLE001  another kind of server says anything
            proved = False
        if not proved:
            self._fail("seed-proof", "it connects to another database than the one that was checked", None)
            sys.stdout.flush()
            os._exit(os.EX_NOPERM)

    def _fail(self, cause: str, message: str, error: BaseException | None) -> None:
        frames = traceback.walk_tb(error.__traceback__ if error else None)
        lines = [number for frame, number in frames if frame.f_code.co_filename == str(self._file)]
        where = f"{self._file.name}:{lines[-1]}" if lines else self._file.name
        nothing = {"sqlstate": postgres_says(error)[0], "revision": "", "outcome": "", "done": []}
        self._pipe.send(event="failed", cause=cause, message=message[:_LONGEST_MESSAGE], where=where, **nothing)


class Watched:
    """The statements of one revision: how long each took, and which locks it brought."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask
        self._names: dict[int, str] = {}
        self._held: set[tuple[int, str]] = set()
        self._statements: list[dict[str, Any]] = []
        self._started = 0.0

    def begin(self) -> None:
        """Names are read now: a table that is dropped has none left when its lock is seen."""
        self._names.update(self._ask(_RELATIONS))
        self._held = {(relation, mode) for relation, _name, mode in self._ask(_LOCKS)}

    def forget_locks(self) -> None:
        self._held = set()

    def started(self) -> None:
        self._started = time.perf_counter()

    def executed(self, sql: str, *, is_alone: bool) -> None:
        seconds = time.perf_counter() - self._started
        locks = [] if is_alone else self._new_locks()
        self._statements.append({"sql": sql, "seconds": seconds, "locks": locks, "is_alone": is_alone})

    def end(self) -> None:
        """What is locked by now and was not by any statement that we saw."""
        locks = self._new_locks()
        if locks:
            self._statements.append({"sql": _PAST_SQLALCHEMY, "seconds": 0.0, "locks": locks, "is_alone": False})

    def take(self) -> list[dict[str, Any]]:
        taken, self._statements = self._statements, []
        return taken

    def _new_locks(self) -> list[tuple[str, str]]:
        new = []
        for relation, name, mode in self._ask(_LOCKS):
            if name is not None:
                self._names[relation] = name
            if (relation, mode) not in self._held and relation in self._names:
                new.append((self._names[relation], mode))
            self._held.add((relation, mode))
        return sorted(new)


def _asked(connection: Any, sql: str) -> list[Any]:
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def commits_by_itself(connection: Any) -> bool:
    """As psycopg, psycopg2 and SQLAlchemy's asyncpg call it."""
    return getattr(getattr(connection, "dbapi_connection", connection), "autocommit", False) is True


def _server_of(connection: Any) -> int:
    """The process that answers it, in a transaction of its own."""
    pid: int = _asked(connection, "select pg_backend_pid()")[0][0]
    connection.rollback()
    return pid


def ends_transaction(sql: str) -> bool:
    """Whether it would commit or roll back; what it does inside a function's body is not its own."""
    return _ENDS_TRANSACTION.search(_QUOTED.sub(" ", sql)) is not None


def postgres_says(error: BaseException | None) -> tuple[str, str]:
    """SQLSTATE and the server's own first line, from whichever driver; ("", "") when it said nothing."""
    sqlstate, message = "", ""
    while error is not None:
        found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if found:
            said = getattr(getattr(error, "diag", None), "message_primary", None) or getattr(error, "message", None)
            sqlstate, message = found, str(said or message or _said(error))
        error = getattr(error, "orig", None) or error.__cause__
    return sqlstate, message


def _said(error: BaseException) -> str:
    """Its first line; SQLAlchemy's own text would show the statement with the values in it."""
    inner = getattr(error, "orig", None) or error
    lines = str(inner).strip().splitlines()
    text = lines[0] if lines else ""
    return text if isinstance(inner, (Stop, RefusedStatementError)) else f"{type(inner).__name__}: {text}"


def masked(text: str, url: str) -> str:
    """Without the URL's password, as it stands there or decoded, and without that of any other URL."""
    spelled = url.rpartition("@")[0].rpartition(":")[2]
    for form in (spelled, unquote(spelled)):
        if len(form) >= _SHORTEST_SECRET:
            text = text.replace(form, "[secret]")
    return re.sub(r"(\w://[^\s:/@]*:)[^\s'\"@]+", r"\1[secret]", text)


def main(requests: int, events: int) -> None:
    end_with_runner()
    pipe = Pipe(requests, events)
    request = pipe.receive()
    try:
        config = configuration(request["ini"])
        if request["act"] == "seed":
            Seed(pipe, request).run()
            return
        if request["act"] == "history":
            after_connecting(refuse_connection)
            set_variables(request["variable"], NO_DATABASE)  # settings that a revision imports want one, whichever
            tree = look_at_tree(ScriptDirectory.from_config(config), request["ini"])
            pipe.send(event="history", revisions=tree, heads=heads_of(tree))
            return
        migration = Migration(pipe, request, config, ScriptDirectory.from_config(config))
    except BaseException as error:  # noqa: BLE001  a revision may do anything when it is imported
        message = _said(error)[:_LONGEST_MESSAGE]
        nothing = {"where": "", "sqlstate": "", "revision": "", "outcome": "", "done": []}
        pipe.send(event="failed", cause="tree", message=message, **nothing)
        return
    migration.run()


def end() -> None:
    """As Python ends, without taking every module apart first: that is a fifth of a short migration's time."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        atexit._run_exitfuncs()  # noqa: SLF001  nothing else runs them
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(os.EX_OK)


def serve(channel: int) -> tuple[int, int]:
    """Say that all is imported, then fork a worker whenever four descriptors come; this returns in the workers alone.

    The four: requests, events, what it prints, and what tells the runner its pid and its exit code.
    """
    end_with_runner()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks after those who wait for the workers
    drivers()  # what is imported here is there in every worker
    with socket.socket(fileno=channel) as runner:
        runner.sendall(json.dumps(sys.path).encode() + b"\n")
        while passed := socket.recv_fds(runner, 1, _DESCRIPTORS)[1]:
            if _is_forked():
                runner.close()
                return forked(*passed)
            for descriptor in passed:
                os.close(descriptor)
    with suppress(ChildProcessError):
        os.wait()  # for all of them, since none is asked after
    os._exit(os.EX_OK)


def _is_forked() -> bool:
    """Whether this is the new process. The runner sees that there is none; those that there are go on."""
    try:
        return os.fork() == 0
    except OSError:
        traceback.print_exc()
        return False


def forked(requests: int, events: int, printed: int, told: int) -> tuple[int, int]:
    """Fork the worker, in which this returns, and wait for its end."""
    end_with_runner()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        for stream in _STREAMS:
            os.dup2(printed, stream)
        os.close(printed)
        os.close(told)
        return requests, events
    with suppress(OSError):  # whoever of us comes first
        os.setpgid(pid, pid)
    for descriptor in (requests, events, printed):
        os.close(descriptor)
    with suppress(BrokenPipeError):  # the runner has been interrupted, and wants no worker any more
        os.write(told, b"%d\n" % pid)
        os.write(told, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(os.EX_OK)


if __name__ == "__main__":
    main(*serve(int(sys.argv[1])))
    end()
