"""What `init` does: looks at what the tokens see, takes the choice, and writes two files here; at the vendors, nothing.

Every request is sent through a gate that is shut: a write would be refused before it left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from pantheon_runbook import clock
from pantheon_runbook.config import (
    DEFAULT_CONFIG,
    Identities,
    load_config,
    load_identities,
    parse_config,
    parse_identities,
)
from pantheon_runbook.credentials import OPTIONAL_TOKENS, TOKENS, private_text
from pantheon_runbook.errors import (
    ConfigError,
    CredentialError,
    ParameterError,
    UsageError,
    VendorRefusedError,
    WrongEnvironmentError,
)
from pantheon_runbook.evidence.files import write_file
from pantheon_runbook.isolation import drafting, pinning
from pantheon_runbook.isolation.choosing import Choice, Question, Wanted, choose, open_questions
from pantheon_runbook.isolation.survey import RailwayEnvironment, Survey, printable
from pantheon_runbook.providers import listing, openrouter, railway, supabase, vercel
from pantheon_runbook.providers.http import Client
from pantheon_runbook.providers.production_values import production_values
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.runner.surroundings import IDENTITIES, Door, door, load_deny_list

Say = Callable[[str], None]
Ask = Callable[[Question], str]
_MANAGEMENT_KEY = next(iter(OPTIONAL_TOKENS))
_ONCE = "reads production's values once, stores fingerprints only"


@dataclass(frozen=True)
class Order:
    """What was asked for. `secrets` is a dotenv file that is pinned instead of Railway's variables."""

    wanted: Wanted
    config: Path
    overwrites: bool = False
    pins: bool = False
    secrets: Path | None = None

    @property
    def identities(self) -> Path:
        return self.config.with_name(IDENTITIES)


def initialize(order: Order, *, say: Say, progress: Say = lambda _words: None, ask: Ask | None = None) -> None:
    """Write pantheon.toml and identities.toml, or only the pins when both are there and pins are asked for.

    `ask` answers what was not said; without it that is refused. `progress` hears of each wait that a vendor asks for.
    Errors: RunbookError, with no file written.
    """

    def tell(words: str) -> None:
        say(printable(words))  # names in it are whatever somebody called a thing at a vendor

    _initialize(order, tell, ask, progress)


def _initialize(order: Order, say: Say, ask: Ask | None, progress: Say) -> None:
    if order.secrets is not None and not order.pins:
        raise ParameterError(
            "--secrets was said without --pin-production",
            why="the file is only read to make the pins",
            next_step="add --pin-production, or leave --secrets out",
        )
    folder = order.config.parent
    if not folder.is_dir():
        raise ParameterError(f"{folder} is no folder", why="init writes into it", next_step=f"mkdir -p {folder}")
    if order.pins and order.identities.exists() and not order.overwrites:
        _pin(order, say, progress)
        return
    _refuse_overwriting(order)
    order = replace(order, wanted=_with_cloud(order.wanted, ask))
    former = _former_identities(order)
    with ExitStack() as ends:
        cloud = cast("Literal['sandbox', 'live']", order.wanted.cloud)
        vendors = _Vendors(door(cloud, tell=progress), ends)
        survey = vendors.survey()
        say("What the tokens see; nothing was changed:")
        for line in survey.lines():
            say(f"  {line}")
        choice = choose(survey, _answered(survey, order.wanted, ask))
        for remark in choice.remarks:
            say(remark)
        _write_both(order, choice, vendors, former, has_management_key=survey.has_management_key, say=say)
    for line in _next(order):
        say(line)


class _Vendors:
    """A client for each token at hand; all three vendors are needed to say what production is."""

    def __init__(self, way_in: Door, ends: ExitStack) -> None:
        self._tokens = way_in.credentials.tokens
        held = {name: way_in.credentials.token(name) for name in TOKENS}

        def client(vendor: str, base_url: str, token: str) -> Client:
            made = reading_client(vendor, base_url, held[token], reach=way_in.reach)
            ends.callback(made.close)
            return made

        self.supabase = client(supabase.VENDOR, supabase.BASE_URL, "SUPABASE_ACCESS_TOKEN")
        self.railway = railway.RailwayApi(client(railway.VENDOR, railway.BASE_URL, "RAILWAY_API_TOKEN"))
        self.vercel = client(vercel.VENDOR, vercel.BASE_URL, "VERCEL_TOKEN")
        self.openrouter: Client | None = None
        if _MANAGEMENT_KEY in self._tokens:
            held[_MANAGEMENT_KEY] = way_in.credentials.token(_MANAGEMENT_KEY)
            self.openrouter = client(openrouter.VENDOR, openrouter.BASE_URL, _MANAGEMENT_KEY)

    def survey(self) -> Survey:
        """Errors: CredentialError for a token that its vendor refuses."""
        with _explained("SUPABASE_ACCESS_TOKEN"):
            projects = listing.supabase_projects(self.supabase)
        with _explained("RAILWAY_API_TOKEN"):
            environments = listing.railway_environments(self.railway)
        with _explained("VERCEL_TOKEN"):
            frontends = listing.vercel_projects(self.vercel)
        with _explained(_MANAGEMENT_KEY):
            if self.openrouter is not None:
                openrouter.check_token(self.openrouter)
        return Survey(projects, environments, frontends, self.openrouter is not None)


@contextmanager
def _explained(token: str) -> Iterator[None]:
    """A vendor's "no" to a listing is about the token."""
    try:
        yield
    except VendorRefusedError as error:
        page = (dict(TOKENS) | dict(OPTIONAL_TOKENS))[token]
        raise CredentialError(
            error.what,
            why=error.why,
            state="nothing was changed, and no file was written",
            next_step=f"check {token}, or make another that reaches production and staging at {page}",
        ) from error


def _with_cloud(wanted: Wanted, ask: Ask | None) -> Wanted:
    """With tokens at hand the sandbox is no harmless default, and live is none at all."""
    question = Question("cloud", "--cloud", "which cloud the files are for", ("live", "sandbox"), guess=None)
    cloud = wanted.cloud or (ask(question) if ask else "")
    if cloud in question.answers:
        return replace(wanted, cloud=cloud)
    raise ParameterError(
        "it was not said which cloud the files are for",
        why="live is the vendors' own, sandbox is the embedded one",
        state="nothing was changed, and no file was written",
        next_step="add --cloud live or --cloud sandbox",
    )


def _answered(survey: Survey, wanted: Wanted, ask: Ask | None) -> Wanted:
    """What is still open is asked for, where there is somebody to ask; one answer can raise another question."""
    while ask is not None and (questions := open_questions(survey, wanted)):
        wanted = replace(wanted, **{questions[0].field: ask(questions[0])})
    return wanted


def _refuse_overwriting(order: Order) -> None:
    there = [path.name for path in (order.config, order.identities) if path.exists()]
    if there and not order.overwrites:
        raise UsageError(
            f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} in {order.config.parent} already",
            why="what the team decided and committed is not overwritten",
            state="nothing was changed, and no file was written",
            next_step="add --force (both anew, the salt is kept), --out DIR, or --pin-production for the pins only",
        )


def _former_identities(order: Order) -> Identities | None:
    """Their salt stays: with another one every pin and fingerprint made so far would mean nothing."""
    if not order.identities.exists():
        return None
    try:
        return load_identities(order.identities)
    except ConfigError as error:
        raise ConfigError(
            error.what,
            why=f"{error.why} Its salt cannot be kept",
            next_step=f"correct {order.identities}, or move it away for a new salt and pins made anew",
        ) from error


def _write_both(
    order: Order, choice: Choice, vendors: _Vendors, former: Identities | None, *, has_management_key: bool, say: Say
) -> None:
    """Everything is read and checked first; the files come last."""
    names = listing.variable_names(
        supabase_client=vendors.supabase,
        api=vendors.railway,
        vercel_client=vendors.vercel,
        production=choice.production_railway,
        project=choice.vercel,
        ref=choice.production_supabase.ref,
    )
    now = clock.stamp()
    text = drafting.config_text(
        order.wanted.cloud, choice, names, has_management_key=has_management_key, written_at=now
    )
    salt = former.salt if former else clock.token("salt of the identities", length=64)
    pins = _pins_that_stay(former, choice)
    if order.pins:
        pins = {**pins, **_pins(order, vendors.railway, choice.production_railway, salt, say)}
    identities = drafting.identities_text(choice, salt=salt, pinned_at=now, pins=pins)
    parse_config(text, order.config)
    parse_identities(identities, order.identities)
    _write(order.identities, identities)
    _write(order.config, text)
    say(f"wrote {order.config} and {order.identities} ({len(pins)} pins{_kept(former, choice)})")


def _kept(former: Identities | None, choice: Choice) -> str:
    if former is None:
        return ""
    if former.production.pins and not _pins_that_stay(former, choice):
        return (
            f"; its salt is the former one, and the {len(former.production.pins)} pins of another production are gone"
        )
    return "; its salt and its pins are the former ones" if former.production.pins else "; its salt is the former one"


def _pins_that_stay(former: Identities | None, choice: Choice) -> Mapping[str, str]:
    """Those of the same production: written anew, the file must not protect less than before."""
    if former is None or former.production.supabase_ref != choice.production_supabase.ref:
        return {}
    return former.production.pins


def _pins(
    order: Order, api: railway.RailwayApi, production: RailwayEnvironment, salt: str, say: Say
) -> Mapping[str, str]:
    if order.secrets is not None:
        return _said(_pins_of_file(order.secrets, salt), say)
    say(f"Railway, {production.project}/{production.name}: {_ONCE}")
    with _explained("RAILWAY_API_TOKEN"):
        sealed = [one["name"] for one in listing.railway_variables(api, production) if one["isSealed"]]
        values = production_values(api, production)
    if sealed:
        say(f"sealed      {', '.join(sorted(set(sealed)))}: no token reads these; give them with --secrets FILE")
    return _said(pinning.pins_of(values, salt=salt), say)


def _pins_of_file(path: Path, salt: str) -> pinning.Pinning:
    text = private_text(path, what="the file of production's secrets", next_step="name a dotenv file with --secrets")
    return pinning.pins_of([(path.name, pinning.values_of_dotenv(text, source=str(path)))], salt=salt)


def _said(found: pinning.Pinning, say: Say) -> Mapping[str, str]:
    for line in pinning.summary(found):
        say(line)
    return found.pins


def _pin(order: Order, say: Say, progress: Say) -> None:
    """Only the pins of an identities.toml that is there; pins of other names stay."""
    said = sorted(order.wanted.said())
    if said:
        raise ParameterError(
            f"--{said[0].replace('_', '-')} was said, and {order.identities} says what production is already",
            why="with both files there --pin-production changes the pins only",
            next_step="leave the choice out, or add --force to write both files anew",
        )
    config = load_config(order.config)
    identities = load_deny_list(config, order.config, order.identities)
    if order.wanted.cloud not in {"", config.cloud}:
        raise ParameterError(
            f'--cloud {order.wanted.cloud} was said, and {order.config.name} says "{config.cloud}"',
            why="the pins would be of another cloud's production",
            next_step=f"leave --cloud out, or run in the folder of the {order.wanted.cloud} config",
        )
    if order.secrets is not None:
        made = _said(_pins_of_file(order.secrets, identities.salt), say)
    else:
        with ExitStack() as ends:
            api = _Vendors(door(config.cloud, tell=progress), ends).railway
            made = _pins(order, api, _production(api, identities), identities.salt, say)
    pins = {**identities.production.pins, **made}
    _write(order.identities, _pinned_text(order, identities, pins))
    say(f"wrote {order.identities}: {len(pins)} pins. Delete the line of one that is no secret, then commit it.")


def _production(api: railway.RailwayApi, identities: Identities) -> RailwayEnvironment:
    """The environment that identities.toml calls production, and no other."""
    wanted = identities.production
    with _explained("RAILWAY_API_TOKEN"):
        found = listing.railway_environments(api)
    for one in found:
        if (one.project_id, one.id) == (wanted.railway_project, wanted.railway_environment):
            return one
    raise WrongEnvironmentError(
        f"the railway token does not see production's environment {wanted.railway_environment}",
        why=f"it sees {', '.join(one.id for one in found) or 'none'}",
        next_step="use a token that reaches production, or give the values with --secrets FILE",
    )


def _pinned_text(order: Order, identities: Identities, pins: Mapping[str, str]) -> str:
    """The file with these pins; one that is written in another way is refused, not guessed at."""
    now = clock.stamp()
    wanted = identities.model_copy(
        update={"production": identities.production.model_copy(update={"pins": dict(pins), "pinned_at": now})}
    )
    text = pinning.with_pins(order.identities.read_text(encoding="utf-8"), pins, pinned_at=now)
    try:
        is_wanted = parse_identities(text, order.identities) == wanted
    except ConfigError:
        is_wanted = False
    if not is_wanted:
        raise ConfigError(
            f"{order.identities.name} is written in a way in which its pins cannot be replaced",
            why="the table [production.pins] and the line pinned_at have to stand on their own, as init writes them",
            next_step=f"write them so in {order.identities}, then run this again",
        )
    return text


def _write(path: Path, text: str) -> None:
    try:
        write_file(path, text.encode())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written", why=str(error.strerror), next_step="give write permission, or say --out"
        ) from error


def _next(order: Order) -> Iterable[str]:
    """What to type now, in order."""
    config = f"--config {order.config} " if order.config != Path(DEFAULT_CONFIG) else ""
    yield "Next: read both files, decide what is marked with check, and commit them. Then:"
    if order.wanted.cloud == "live" and not order.config.with_name("trust.toml").exists():
        yield f"  pantheon-runbook keys new live-seal >> {order.config.with_name('trust.toml')}"
    yield f"  pantheon-runbook {config}init --pin-production   # by whoever holds production's secrets"
    yield f"  pantheon-runbook {config}doctor"
    yield f"  pantheon-runbook {config}run RB-060              # what is shared, and what can change production"
    yield f"  pantheon-runbook {config}run RB-010"
