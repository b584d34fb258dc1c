"""The command line: one command is one library call and its rendering. What is heavy is imported when it is needed."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from pantheon_runbook.approving import Sheet
    from pantheon_runbook.errors import RunbookError
    from pantheon_runbook.isolation.choosing import Question

_SHOWN_AGAIN_SECONDS = 10.0
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")


class _Group(click.Group):
    """Every RunbookError, wherever it comes from, becomes its four lines and its exit code; so does a mistyped line."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            stop(_mistyped(error))

    def invoke(self, context: click.Context) -> Any:
        from pantheon_runbook.errors import RunbookError, StopRequestedError  # noqa: PLC0415

        try:
            return super().invoke(context)
        except RunbookError as error:
            stop(error)
        except KeyboardInterrupt:
            stop(StopRequestedError("this command was stopped", why="it was told to", next_step="run it again"))
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            stop(_mistyped(error))


def _mistyped(error: click.UsageError) -> RunbookError:
    from pantheon_runbook.errors import UsageError  # noqa: PLC0415

    command = error.ctx.command_path if error.ctx else "pantheon-runbook"
    return UsageError(error.format_message(), why="the command line is wrong", next_step=f"{command} --help")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pantheon-runbook")
@click.option("--config", type=click.Path(path_type=Path), help="pantheon.toml to use; default ./pantheon.toml.")
def main(config: Path | None) -> None:
    """Isolated staging by default, production write-protected: runbooks that prove it."""
    if config is not None:
        os.environ["PANTHEON_CONFIG"] = str(config)


def stop(error: RunbookError) -> NoReturn:
    """The four-line card on stderr, and the error's own exit code."""
    click.echo(str(error), err=True)
    sys.exit(error.exit_code)


@main.command("list")
@_JSON
def list_command(*, as_json: bool) -> None:
    """Runbooks: id, what each changes, last run and its verdict."""
    from pantheon_runbook import config, listing  # noqa: PLC0415

    rows = listing.rows(config.evidence_folder())
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['id']}  {row['title']}")
        click.echo(f"        changes   {row['changes']}")
        click.echo(f"        last run  {row['last_run'] or 'never sealed one'}")
        for unsealed in row["unsealed"]:
            click.echo(f"        unsealed  {unsealed}")
        for step in row["next"]:
            click.echo(f"        next      {step}")


@main.command()
@click.argument("runbook")
@click.option(
    "-e", "--environment", default="", help="Environment of pantheon.toml; without it the one the notebook declares."
)
@click.option("--apply", "is_apply", is_flag=True, help="Carry the plan out; without it the run ends after the plan.")
@click.option("--plan", "plan_file", default="", help="The plan.json that you have read.")
@click.option("--resume", default="", metavar="RUN", help="Go on with the unit of work that this run began (RB-030).")
@click.option("-p", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter that the notebook declares.")
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit 3 when a plan run finds something to change, 4 when its plan is blocked.",
)
def run(
    runbook: str,
    *,
    environment: str,
    is_apply: bool,
    plan_file: str,
    resume: str,
    pairs: tuple[str, ...],
    detailed_exitcode: bool,
) -> None:
    """Run one runbook through papermill, for example: run RB-010 --apply."""
    from pantheon_runbook import running  # noqa: PLC0415

    progress = _Progress()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # both end a run that has not begun in the same way
    try:
        outcome = running.run(
            runbook,
            {"environment": environment, "mode": "apply" if is_apply else "plan", "plan_file": plan_file},
            (*pairs, *((f"resume={resume}",) if resume else ())),
            progress=progress,
        )
    finally:
        progress.end()
    progress.say(running.summary(outcome))
    sys.exit(running.exit_code(outcome, detailed=detailed_exitcode))


@main.command()
@click.option("--cloud", type=click.Choice(["live", "sandbox"]), help="Which cloud the files are for.")
@click.option("--production-supabase", metavar="REF|NAME", help="Production's Supabase project.")
@click.option("--staging-supabase", metavar="REF|NAME|new", help="Staging's, or new: RB-010 makes it.")
@click.option("--production-railway", metavar="PROJECT/ENVIRONMENT", help="Where production runs, by names or ids.")
@click.option("--staging-railway", metavar="PROJECT/ENVIRONMENT|new", help="Where staging runs, or new.")
@click.option("--vercel", metavar="PROJECT", help="The frontend's project; taken when there is only one.")
@click.option("--api-service", metavar="NAME", help="The public Railway service; taken when there is only one.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for both files; default beside --config, or here.")
@click.option("--force", is_flag=True, help="Write over files that are there; the salt is kept.")
@click.option("--pin-production", is_flag=True, help="Read production's values once and keep their fingerprints.")
@click.option("--secrets", type=click.Path(path_type=Path), help="Pin a 0600 dotenv file instead of Railway's values.")
@click.option("--pin-staging", is_flag=True, help="Only put the ids of what RB-010 observes on the allow list.")
@click.option("-e", "--environment", default="staging", show_default=True, help="Whose ids --pin-staging takes.")
def init(
    *,
    out: Path | None,
    force: bool,
    pin_production: bool,
    secrets: Path | None,
    pin_staging: bool,
    environment: str,
    **chosen: str | None,
) -> None:
    """Make pantheon.toml and identities.toml from what the tokens see; writes nothing to any vendor."""
    from pantheon_runbook import config, initializing  # noqa: PLC0415
    from pantheon_runbook.isolation.choosing import Wanted  # noqa: PLC0415

    wanted = Wanted(**{name: text for name, text in chosen.items() if text is not None})
    if pin_staging:
        if wanted.said() or out or force or pin_production or secrets:
            raise click.UsageError("--pin-staging goes with -e only: both files are there, and say the rest.")
        _pin_staging(environment)
        return
    path = out / config.DEFAULT_CONFIG if out else config.config_path() or Path(config.DEFAULT_CONFIG)
    order = initializing.Order(wanted, path, overwrites=force, pins=pin_production, secrets=secrets)
    progress = _Progress()
    try:
        initializing.initialize(order, say=progress.say, progress=progress, ask=_ask if sys.stdin.isatty() else None)
    finally:
        progress.end()


def _pin_staging(environment: str) -> None:
    from pantheon_runbook import allowing  # noqa: PLC0415

    progress = _Progress()
    told: list[str] = []
    try:
        allowing.pin(environment, say=told.append, progress=progress)
    finally:
        progress.end()
    progress.say("\n".join(told))


def _ask(question: Question) -> str:
    answer: str = click.prompt(f"{question.text} [{', '.join(question.answers)}]")
    return answer


@main.command()
@_JSON
def doctor(*, as_json: bool) -> None:
    """Config, credentials, reachability: what is missing, and how to get it."""
    from pantheon_runbook import doctoring  # noqa: PLC0415

    progress = _Progress()
    try:
        checks = doctoring.examine(progress=progress)
    finally:
        progress.end()
    if as_json:
        click.echo(json.dumps([check.as_json() for check in checks], indent=1))
    else:
        for check in checks:
            click.echo(check.line())
    sys.exit(0 if all(check.passed for check in checks) else 2)


@main.command()
@click.option("-e", "--environment", default="staging", show_default=True, help="Environment of pantheon.toml.")
@_JSON
def check(*, environment: str, as_json: bool) -> None:
    """Make the declared smoke checks of one environment; reads only, and few of them."""
    from pantheon_runbook import checking  # noqa: PLC0415

    progress = _Progress()
    try:
        checked = checking.check(environment, progress=progress)
    finally:
        progress.end()
    progress.say(json.dumps(checked.as_json(), indent=1) if as_json else "\n".join(checked.lines()))
    checked.require_passed()


@main.command("read-role")
@click.option("--dump", "for_dumps", is_flag=True, help="The role that rehearsals dump production's schema with.")
def read_role(*, for_dumps: bool) -> None:
    """Print the SQL that makes production's read role, for its holder to run; this tool never runs it."""
    from pantheon_runbook import checking  # noqa: PLC0415

    click.echo(checking.role_for_dumps_sql() if for_dumps else checking.read_role_sql(), nl=False)


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@_JSON
def guard(paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Check local files for what is production's: its secrets, ids and hosts; without PATHS, this folder's settings."""
    from pantheon_runbook import guarding  # noqa: PLC0415

    guarded = guarding.guard(paths)
    click.echo(json.dumps(guarded.as_json(), indent=1) if as_json else "\n".join(guarded.lines()))
    sys.exit(0 if guarded.report.is_clean else 4)


@main.group()
def env() -> None:
    """Local files of variables that point at staging."""


@env.command("write")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-e", "--environment", default="staging", show_default=True, help="Environment of pantheon.toml.")
@click.option("--for", "reader", type=click.Choice(["backend", "frontend"]), default="backend", show_default=True)
@click.option("--force", is_flag=True, help="Also over a file that somebody else wrote.")
def env_write(path: Path, *, environment: str, reader: Any, force: bool) -> None:
    """Write a .env file with the values that staging's vendors hold; prints names, never a value."""
    from pantheon_runbook import equipping  # noqa: PLC0415

    progress = _Progress()
    try:
        equipped = equipping.write(path, environment, reader, force=force, progress=progress)
    finally:
        progress.end()
    progress.say("\n".join(equipped.lines()))


@main.command()
@click.argument("name", type=click.Choice(["isolation", "promotion", "tests"]))
def workflow(name: str) -> None:
    """Print a workflow file for the product's own repository: its tests, staging's runbooks, or the promotion."""
    from importlib.resources import files  # noqa: PLC0415

    click.echo(files("pantheon_runbook").joinpath("workflows", f"{name}.yml").read_text(encoding="utf-8"), nl=False)


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("evidence"), show_default=True)
def demo(out: Path) -> None:
    """The whole story on a private, fresh sandbox; leaves the evidence and a sandbox to go on with."""
    from pantheon_runbook import demonstration  # noqa: PLC0415

    progress = _Progress()
    sys.exit(demonstration.tell(out, say=progress.say, progress=progress))


@main.group()
def evidence() -> None:
    """Sealed bundles of past runs."""


@evidence.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    help="trust.toml with the pinned keys; else the one beside the config. The evidence folder's own: sandbox only.",
)
@_JSON
def verify(folder: Path | None, *, trust: Path | None, as_json: bool) -> None:
    """Check every bundle and the ledger, or one bundle alone, offline; names each file that is wrong."""
    from dataclasses import asdict  # noqa: PLC0415

    from pantheon_runbook import config  # noqa: PLC0415
    from pantheon_runbook.evidence import verify as verifier  # noqa: PLC0415

    beside = None if trust else _committed_trust()
    report = verifier.verify(folder or config.evidence_folder(), trust or beside, with_rehearsals=beside is not None)
    verifier.write_out(json.dumps(asdict(report), indent=1) if as_json else "\n".join(verifier.lines_of(report)))
    sys.exit(0 if report.is_intact else 4)


def _committed_trust() -> Path | None:
    """The trust file beside the config; None without a config, and for the sandbox when there is none."""
    from pantheon_runbook import config  # noqa: PLC0415
    from pantheon_runbook.evidence import seal  # noqa: PLC0415

    path = config.config_path()
    return seal.trust_of(path.parent, config.load_config(path).cloud) if path else None


_REMOTE = click.option("--remote", default="origin", show_default=True, metavar="NAME|ADDRESS", help="Git's remote.")
_BRANCH = click.option("--branch", default="evidence", show_default=True, help="The one branch that all of you share.")


@evidence.command()
@_REMOTE
@_BRANCH
def push(*, remote: str, branch: str) -> None:
    """Put the sealed bundles at the end of a branch that laptops and CI share; never over anything."""
    from pantheon_runbook import config  # noqa: PLC0415
    from pantheon_runbook.evidence import sharing  # noqa: PLC0415

    shared = sharing.push(config.evidence_folder(), _committed_trust(), remote=remote, branch=branch)
    click.echo("\n".join(shared.lines()))


@evidence.command()
@_REMOTE
@_BRANCH
def pull(*, remote: str, branch: str) -> None:
    """Take in what others have put on that branch, so that the next run goes on from it."""
    from pantheon_runbook import config  # noqa: PLC0415
    from pantheon_runbook.evidence import sharing  # noqa: PLC0415

    shared = sharing.pull(config.evidence_folder(), _committed_trust(), remote=remote, branch=branch)
    click.echo("\n".join(shared.lines()))


@main.group()
def keys() -> None:
    """Keys that seal evidence, and keys by which people sign."""


@keys.command("new")
@click.argument("name")
@click.option("--role", type=click.Choice(["seal", "attest", "approve"]), default="seal", show_default=True)
def keys_new(name: str, *, role: str) -> None:
    """Make a key, and print the lines that pin it as NAME's, to commit into trust.toml beside pantheon.toml."""
    from pantheon_runbook.evidence import seal  # noqa: PLC0415

    cloud = _cloud_to_be()
    key = seal.new_key(name)
    click.echo(f"the private key is {seal.keys_folder() / name}.pem (0600); it stays on this machine", err=True)
    click.echo(seal.trust_entry(key, owner=name, cloud=cloud, role=role), nl=False)


def _cloud_to_be() -> str:
    """Of the config that a key is made for, else the sandbox's in its folder; what nobody says is told of as that."""
    from pantheon_runbook.config import config_path  # noqa: PLC0415
    from pantheon_runbook.errors import ConfigError  # noqa: PLC0415
    from pantheon_runbook.runner import surroundings  # noqa: PLC0415

    try:
        _, found = surroundings.chosen()
        if found is not None or surroundings.is_of_a_sandbox():
            return found.cloud if found else "sandbox"
        why = "there is no pantheon.toml that says for what"
    except ConfigError as error:
        path = config_path()
        why = f"{path} does not say yet for what ({error.what})" if path else error.what
    click.echo(f'the key is pinned for live: {why}; for a rehearsal write cloud = "sandbox" into its lines', err=True)
    return "live"


@keys.command("list")
@_JSON
def keys_list(*, as_json: bool) -> None:
    """The keys on this machine: their ids, and what each is pinned for."""
    from pantheon_runbook import attesting  # noqa: PLC0415

    rows = attesting.keys()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo("{name:<20} {keyid:.12}  {state}".format(**row))


@main.command()
@click.argument("criterion")
@click.option("--key", "key", required=True, metavar="NAME|PATH", help="Your key: by its name in keys list, or a file.")
@click.option("--as", "signer", metavar="NAME", help="Who signs; default: whose key it is by trust.toml.")
@click.option("--statement", default="", metavar="TEXT", help="What you have to say to it, in one line.")
@click.option("-e", "--environment", default="staging", show_default=True, help="Environment of pantheon.toml.")
def attest(criterion: str, *, key: str, signer: str | None, statement: str, environment: str) -> None:
    """Sign one exit criterion of F25 (strategy, team or provisioning), for RB-050 to rest on."""
    from pantheon_runbook import attesting  # noqa: PLC0415

    attested = attesting.attest(criterion, environment, key=key, signer=signer, statement=statement)
    click.echo("\n".join(attested.lines()))


@main.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--key", "key", required=True, metavar="NAME|PATH", help="Your key: by its name in keys list, or a file.")
@click.option("--reason", default="", metavar="TEXT", help="Why, in one line; a withdrawal needs none.")
@click.option("--expires", default="", metavar="24h", help="Until when it may start; default: what [approval] allows.")
@click.option("--code", default="", help="The plan's short code, as its report shows it; without it a terminal asks.")
@click.option("--withdraw", "is_withdrawal", is_flag=True, help="Take back what you have signed for this plan.")
def approve(plan: Path, *, key: str, reason: str, expires: str, code: str, is_withdrawal: bool) -> None:
    """Read the plan of a sealed bundle and sign its digest, for a promotion to rest on."""
    from pantheon_runbook import approving  # noqa: PLC0415

    if is_withdrawal:
        if code or expires:
            raise click.UsageError("--withdraw goes with --key and --reason only.")
        click.echo("\n".join(approving.withdraw(plan, key=key, reason=reason or "no reason was given").lines()))
        return
    if not reason:
        raise click.UsageError("Missing option '--reason'.")
    sheet = approving.opened(plan)
    if code:
        approving.refuse_code(sheet, code)  # before a long plan is shown for nothing
    click.echo("\n".join(sheet.lines()))
    if not code and sys.stdin.isatty():
        question = f"Read {sheet.report}, and type the short code that it shows, to approve this plan"
        code = click.prompt(question, value_proc=lambda typed: _code_of(sheet, typed))
    decided = approving.approve(sheet, key=key, reason=reason, expires=expires, code=code)
    click.echo("\n".join(decided.lines()))


def _code_of(sheet: Sheet, typed: str) -> str:
    """What was typed, when it is this plan's; click tells of any other, and asks again."""
    from pantheon_runbook import approving  # noqa: PLC0415
    from pantheon_runbook.errors import NotApprovedError  # noqa: PLC0415

    try:
        approving.refuse_code(sheet, typed)
    except NotApprovedError as error:
        raise click.UsageError(f"{error.what} {error.why}") from error
    return typed


@main.group()
def sandbox() -> None:
    """The embedded cloud: real PostgreSQL, a real Redis-protocol server, the vendors' control planes."""


_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(".pantheon/sandbox"), show_default=True
)


@sandbox.command("start")
@_FOLDER
@click.option(
    "--pace",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="How long the vendors' own work takes, as a factor.",
)
def sandbox_start(folder: Path, *, pace: float) -> None:
    """Start it, or say that it runs; it stops by itself after two hours without a request."""
    from pantheon_runbook.sandbox import control  # noqa: PLC0415
    from pantheon_runbook.sandbox.default import start_default  # noqa: PLC0415

    running = control.Running.of(folder) or _of_sandbox(lambda: start_default(folder, pace=pace))
    click.echo(f"sandbox runs in {folder} (process {running.pid}); loopback port {running.tcp_port}")


@sandbox.command("status")
@_FOLDER
@_JSON
def sandbox_status(folder: Path, *, as_json: bool) -> None:
    """What runs in it."""
    status = _of_sandbox(lambda: _running(folder).status())
    if as_json:
        click.echo(json.dumps(status, indent=1))
        return
    for name, value in sorted(status.items()):
        click.echo(f"{name:<14} {value if isinstance(value, (str, int)) else json.dumps(value)}")


@sandbox.command("log")
@_FOLDER
@_JSON
@click.option("--mutating", is_flag=True, help="Only requests that could change something.")
def sandbox_log(folder: Path, *, as_json: bool, mutating: bool) -> None:
    """Every request it received."""
    records = _of_sandbox(lambda: _running(folder).mutating() if mutating else _running(folder).log())
    for record in records:
        line = "{seq:>4}  {service:<16} {status}  {environment!s:<10}  {operation}".format(**record)
        click.echo(json.dumps(record, sort_keys=True) if as_json else line)


@sandbox.command("stop")
@_FOLDER
def sandbox_stop(folder: Path) -> None:
    """Stop it; its world is kept, and the next start goes on with it."""
    from pantheon_runbook.sandbox import control  # noqa: PLC0415

    running = control.Running.of(folder)
    if running is not None:
        _of_sandbox(running.stop)
    click.echo(f"sandbox in {folder}: stopped" if running else f"no sandbox runs in {folder}")


@sandbox.command("reset")
@_FOLDER
def sandbox_reset(folder: Path) -> None:
    """Put it back to the world that it began with: the first one, or the one that the demo left."""
    from pantheon_runbook.sandbox import default  # noqa: PLC0415

    _of_sandbox(lambda: default.reset(_running(folder)))
    click.echo(f"sandbox in {folder}: back to the world it began with")


_WORLD = click.argument("world", metavar="NAME|PATH")


@sandbox.command("save")
@_WORLD
@_FOLDER
def sandbox_save(world: str, folder: Path) -> None:
    """Save its world under a name of its own, or in a folder (anything with a slash); replaces a saved one only."""
    saved = _of_sandbox(lambda: _running(folder).save(_world(world)))
    click.echo(f"sandbox in {folder}: saved in {saved}")


@sandbox.command("load")
@_WORLD
@_FOLDER
def sandbox_load(world: str, folder: Path) -> None:
    """Replace its world by a saved one."""
    _of_sandbox(lambda: _running(folder).load(_world(world)))
    click.echo(f"sandbox in {folder}: loaded {world}")


def _world(named: str) -> str:
    """A path means the same to the daemon, which works somewhere else."""
    return str(Path(named).absolute()) if "/" in named else named


def _running(folder: Path) -> Any:
    from pantheon_runbook.errors import UsageError  # noqa: PLC0415
    from pantheon_runbook.sandbox import control  # noqa: PLC0415

    running = control.Running.of(folder)
    if running is None:
        raise UsageError(
            f"no sandbox runs in {folder}", why="there is no living process", next_step="pantheon-runbook sandbox start"
        )
    return running


def _of_sandbox(call: Callable[[], Any]) -> Any:
    from pantheon_runbook.errors import UsageError  # noqa: PLC0415
    from pantheon_runbook.sandbox import SandboxError  # noqa: PLC0415

    try:
        return call()
    except SandboxError as error:
        raise UsageError(
            "the sandbox did not do that", why=str(error), next_step="look at daemon.log in its folder"
        ) from error


class _Progress:
    """On a terminal one line that is written over; elsewhere a line for each thing that begins, and for long waits.

    Nobody who stops listening stops a run.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown_at: dict[str, float] = {}

    def __call__(self, words: str) -> None:
        what, now = words.partition(" (")[0], time.monotonic()
        if self._is_terminal:
            self._write(f"\r\033[K  {words[:100]}")
        elif now - self._shown_at.get(what, -math.inf) >= _SHOWN_AGAIN_SECONDS:
            self._shown_at[what] = now
            self._write(f"  {words}\n")

    def say(self, words: str) -> None:
        """A line of the result, on stdout, where no progress is left."""
        self.end()
        click.echo(words)

    def end(self) -> None:
        """Leave the line to what comes after it."""
        if self._is_terminal:
            self._write("\r\033[K")

    @staticmethod
    def _write(text: str) -> None:
        try:
            click.echo(text, err=True, nl=False)
        except OSError:  # a pipe whose reader has gone; what is still buffered would spoil the exit code
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
