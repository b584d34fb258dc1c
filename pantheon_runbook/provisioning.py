"""RB-010: what an isolated staging consists of. Pure: config and snapshot in, desired resources and findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pantheon_runbook.config import Config, Environment, Variable
from pantheon_runbook.model import Change, Desired, Finding, Snapshot, canonical

REDIS = "Redis"
_BUCKET_SETTINGS = ("public", "file_size_limit", "allowed_mime_types")
# A value's name begins with what brings it; what brings it has to exist first.
_BROUGHT_BY = {
    "supabase.url": "supabase/project",
    "supabase.anon_key": "supabase/api-key/publishable",
    "supabase.service_role_key": "supabase/api-key/secret",
    "database.session_url": "database/password",
    "database.pool_url": "database/password",
    "database.direct_url": "database/password",
    "openrouter.key": "openrouter/key",
    "redis.url": f"railway/service/{REDIS}",
}
# Measured on the sandbox: an apply looks at everything twice more, each write is followed by about two reads, and a
# wait of three minutes asks about 45 times (`providers.http.wait_until`).
_READS = {"supabase": 16, "railway": 16, "vercel": 2, "openrouter": 2}
_READS_PER_WRITE = 2
_ADDRESSES = {"railway": ("railway/", "production/deployment/")}  # what one of its calls changes
_READS_WHILE_A_PROJECT_COMES_UP = 45
_LIMITS = {
    "supabase": "120 a minute (as commonly quoted)",
    "railway": "100 an hour on Free, 1,000 on Hobby, 10,000 on Pro",
    "vercel": "per endpoint, read from its answers",
    "openrouter": "not published",
}


def services_of(config: Config) -> tuple[str, ...]:
    """Names of the Railway services that staging needs: workers only when background jobs are enabled."""
    return tuple(
        service.name for service in config.backend.services if config.backend.background_jobs or not service.is_worker
    )


def public_service(config: Config) -> str:
    """The service that gets a domain: the first public one."""
    return next(service.name for service in config.backend.services if service.public)


def variables_for(config: Config, place: str) -> tuple[Variable, ...]:
    """The variables that go to one place, for example "railway:api", sorted by name."""
    found = (variable for variable in config.variables if place in variable.targets)
    return tuple(sorted(found, key=lambda variable: variable.name))


def held_as(variable: Variable) -> str:
    """The vault's name for a variable's value: literals are kept under the variable's own name."""
    return f"literal.{variable.name}" if variable.source.startswith("literal:") else variable.source


def redirect_urls(config: Config, environment: Environment) -> tuple[str, ...]:
    """Where a sign-in may lead back to."""
    return (f"{site_url(config, environment)}/**", *environment.vercel.redirect_urls)


def site_url(config: Config, environment: Environment) -> str:
    """Where staging's frontend answers: the release branch's own preview host unless the config names another."""
    return environment.vercel.site_url or f"https://{config.product}-web-git-staging.vercel.app"


def desired_staging(
    config: Config, name: str, snapshot: Snapshot, fingerprints: Mapping[str, str], *, restore_paused: bool
) -> tuple[Desired, ...]:
    """Everything that should stand, in no particular order; `fingerprints` are those of the values known now."""
    environment = config.environments[name]
    return (
        *_project(environment, snapshot, restore_paused=restore_paused),
        *_keys(),
        _auth(config, environment, snapshot),
        *_buckets(snapshot),
        *_edge_secrets(config, snapshot, fingerprints),
        *_password(snapshot),
        _marker(name, snapshot),
        _railway_environment(environment),
        *_services(config),
        *_openrouter(environment, snapshot),
        *_variables(config, fingerprints),
    )


def _project(environment: Environment, snapshot: Snapshot, *, restore_paused: bool) -> Iterable[Desired]:
    seen = snapshot.get("supabase/project")
    attributes: dict[str, Any] = {"status": "ACTIVE_HEALTHY"}
    status = seen.attributes.get("status")
    action = None
    if seen.state == "absent":
        attributes |= {"name": environment.supabase.name, "region": environment.supabase.region}
    elif status == "INACTIVE" and not restore_paused:
        return
    elif status != "ACTIVE_HEALTHY":
        action = "restore" if status == "INACTIVE" else "wait"
    yield Desired(
        "supabase/project",
        attributes,
        risk="costs money: about 10 US dollars a month on a paid plan; a Free plan holds two active projects",
        undo="pause it; its data stays",
        undo_of_create="delete the project in Supabase; its data is lost",
        action=action,
    )


def _keys() -> Iterable[Desired]:
    for kind in ("publishable", "secret"):
        yield Desired(
            f"supabase/api-key/{kind}",
            {"type": kind},
            depends_on=("supabase/project",),
            undo_of_create="delete the key",
        )


def _auth(config: Config, environment: Environment, snapshot: Snapshot) -> Desired:
    there = list(snapshot.get("supabase/auth").attributes.get("redirect_urls", []))
    url = site_url(config, environment)
    wanted = redirect_urls(config, environment)
    return Desired(
        "supabase/auth",
        {"site_url": url, "redirect_urls": [*there, *(one for one in wanted if one not in there)]},
        depends_on=("supabase/project",),
        risk="low: what is in the redirect list stays there",
        undo="put the former site_url and list back",
        undo_of_create="none needed: it goes with the project",
    )


def _buckets(snapshot: Snapshot) -> Iterable[Desired]:
    for seen in snapshot.resources:
        prefix, _, name = seen.address.rpartition("/")
        if prefix == "production/bucket":
            settings = {key: seen.attributes[key] for key in _BUCKET_SETTINGS}
            yield Desired(
                f"supabase/bucket/{name}",
                settings,
                depends_on=("supabase/api-key/secret",),
                undo_of_create="delete the bucket",
            )


def _edge_secrets(config: Config, snapshot: Snapshot, fingerprints: Mapping[str, str]) -> Iterable[Desired]:
    """Production's names with staging's values; a name without a value of ours is a manual step."""
    names = snapshot.get("production/secrets").attributes.get("names", [])
    wanted = [variable for variable in variables_for(config, "supabase:secrets") if variable.name in names]
    if wanted:
        yield Desired(
            "supabase/secrets",
            _values(wanted, fingerprints),
            depends_on=("supabase/project", *_dependencies(config, wanted)),
            risk="low: read by edge functions at their next start",
            undo="set the former values; they cannot be read back",
            undo_of_create="delete them",
        )


def _password(snapshot: Snapshot) -> Iterable[Desired]:
    """A new project is created with a password of ours; an existing one is reset when no copy of it connects."""
    creates = snapshot.get("supabase/project").state == "absent"
    yield Desired(
        "database/password",
        {"held": True},
        depends_on=("supabase/project",),
        risk="none: chosen when the project is created" if creates else "sessions with the former password end",
        undo="reset it again",
        undo_of_create="none needed: it goes with the project",
        action="hold" if creates else "reset",
    )


def _marker(name: str, snapshot: Snapshot) -> Desired:
    return Desired(
        "database/marker",
        {"environment": name, "cloud": snapshot.cloud},
        depends_on=("database/password",),
        undo_of_create="drop schema pantheon_runbook",
    )


def _railway_environment(environment: Environment) -> Desired:
    railway = environment.railway
    attributes = {"name": railway.environment_name}
    if railway.layout == "own-project" and railway.project_name is not None:
        attributes["project"] = railway.project_name
    return Desired("railway/environment", attributes, undo_of_create="delete it in Railway")


def _services(config: Config) -> Iterable[Desired]:
    for name in (*services_of(config), REDIS):
        yield Desired(
            f"railway/service/{name}",
            {"name": name},
            depends_on=("railway/environment",),
            risk="none: no source, no deployment" if name != REDIS else "low: runs at once, and costs by use",
        )
    public = public_service(config)
    yield Desired(f"railway/domain/{public}", {"public": True}, depends_on=(f"railway/service/{public}",))


def _openrouter(environment: Environment, snapshot: Snapshot) -> Iterable[Desired]:
    settings = environment.openrouter
    if settings is None:
        return
    seen = snapshot.get("openrouter/key")
    is_lost = seen.state == "present" and not seen.attributes["value_held"]
    spending = f"can spend {settings.limit_usd:g} US dollars, {settings.limit_reset}"
    yield Desired(
        "openrouter/key",
        {
            "name": settings.key_name,
            "limit_usd": settings.limit_usd,
            "limit_reset": settings.limit_reset,
            "value_held": True,
            "copies": 1,
        },
        risk=f"{spending}; the key of this name, never used, is deleted" if is_lost else spending,
        undo="none: the value of the former key is lost" if is_lost else "put the former limit back",
        action="replace" if is_lost else None,
    )


def _variables(config: Config, fingerprints: Mapping[str, str]) -> Iterable[Desired]:
    for service in services_of(config):
        wanted = variables_for(config, f"railway:{service}")
        if wanted:
            yield Desired(
                f"railway/variables/{service}",
                _values(wanted, fingerprints),
                depends_on=(f"railway/service/{service}", *_dependencies(config, wanted)),
                risk="low: set without a deploy, read at the next one",
                undo_of_create="delete them",
            )
    previewed = variables_for(config, "vercel:preview")
    if previewed:
        yield Desired(
            "vercel/variables/preview",
            _values(previewed, fingerprints),
            depends_on=_dependencies(config, previewed),
            risk="low: previews built from now on use them",
            undo="put the former values back; sensitive ones cannot be read back",
            undo_of_create="delete them",
        )


def _values(wanted: Iterable[Variable], fingerprints: Mapping[str, str]) -> dict[str, Any]:
    return {
        variable.name: {"from": held_as(variable), "fingerprint": fingerprints.get(held_as(variable))}
        for variable in wanted
    }


def _dependencies(config: Config, wanted: Iterable[Variable]) -> tuple[str, ...]:
    brought_by = {**_BROUGHT_BY, "railway.api_url": f"railway/domain/{public_service(config)}"}
    return tuple(sorted({brought_by[variable.source] for variable in wanted if variable.source in brought_by}))


def findings(config: Config, name: str, snapshot: Snapshot, fingerprints: Mapping[str, str]) -> tuple[Finding, ...]:
    """What only the whole picture shows: values that nobody provides, services that nobody may create."""
    return (*_missing_values(config, fingerprints), *_missing_beside_others(config, name, snapshot))


def names_production(wanted: Iterable[Desired], forbidden: Mapping[str, str]) -> Iterable[Finding]:
    """What the gate would refuse in the middle of an apply is said before it; `forbidden` is the gate's."""
    for desired in wanted:
        text = canonical(desired.attributes).decode().casefold()
        for name in (what for value, what in forbidden.items() if value.casefold() in text):
            yield Finding(
                "names-production",
                desired.address,
                f"{desired.address} would name {name}",
                "take it out of pantheon.toml, and out of what stands there at the vendor, then plan again",
            )


def _missing_values(config: Config, fingerprints: Mapping[str, str]) -> Iterable[Finding]:
    for variable in config.variables:
        if variable.source.startswith("credentials.") and variable.source not in fingerprints:
            yield Finding(
                "missing-value",
                f"{variable.targets[0]}/{variable.name}",
                f"nobody provides a value for {variable.name}",
                f"add {variable.source.removeprefix('credentials.')} under [values] in the credentials file",
            )


def _missing_beside_others(config: Config, name: str, snapshot: Snapshot) -> Iterable[Finding]:
    """`serviceCreate` makes a service in every environment of the project, production included (FACTS 2)."""
    railway = config.environments[name].railway
    wanted = (*services_of(config), REDIS)
    missing = ", ".join(one for one in wanted if snapshot.get(f"railway/service/{one}").state == "absent")
    others = ", ".join(snapshot.get("railway/environment").attributes.get("other_environments", []))
    if missing and railway.layout == "shared-project":
        yield Finding(
            "shared-project",
            "railway/service",
            f"{missing} cannot be created in the Railway project that holds production",
            f'add them to its environment "{railway.environment_name}" in Railway, or choose layout = "own-project"',
        )
    elif missing and others:
        yield Finding(
            "other-environments",
            "railway/service",
            f"{missing} cannot be created: the Railway project also has {others}, and they would appear there too",
            f'leave it no environment but "{railway.environment_name}" (rename or delete the others in Railway), add '
            "the services there by hand, or choose another railway.project_name",
        )


def endpoints(config: Config, name: str, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """Where the environment answers: (what, URL), from what was observed."""
    api = snapshot.get(f"railway/domain/{public_service(config)}").attributes.get("host", "")
    ref = snapshot.identities.get("supabase_ref", "")
    return (
        ("API", f"https://{api}"),
        ("frontend", site_url(config, config.environments[name])),
        ("Supabase", f"https://{ref}.supabase.co"),
    )


def manual_steps(config: Config, name: str, snapshot: Snapshot) -> tuple[str, ...]:
    """What no API does; each line says where."""
    ref = snapshot.identities.get("supabase_ref", "<ref>")
    configured = {variable.name for variable in variables_for(config, "supabase:secrets")}
    names = snapshot.get("production/secrets").attributes.get("names", [])
    without = [one for one in names if one not in configured]
    return (
        f"sign-in: add https://{ref}.supabase.co/auth/v1/callback at each provider, with staging's own client",
        "SMTP: give staging its own sender in Supabase, Authentication, Emails (production's must not be reused)",
        *(f"edge-function secret {one}: production has it, pantheon.toml names no value for {name}" for one in without),
        *_unnamed_variables(config, name, snapshot),
    )


def _unnamed_variables(config: Config, name: str, snapshot: Snapshot) -> Iterable[str]:
    """Variables that production's services and frontend have and staging will lack; by name, and not all are needed."""
    railway = snapshot.get("production/variables/railway").attributes
    vercel = snapshot.get("production/variables/vercel").attributes.get("names", ())
    held = {f"railway:{one}": railway.get(one, ()) for one in services_of(config)}
    for place, names in {**held, "vercel:preview": vercel}.items():
        configured = {variable.name for variable in variables_for(config, place)}
        unnamed = ", ".join(one for one in names if one not in configured)
        if unnamed:
            yield f"variables of {place}: production has {unnamed}, pantheon.toml names no value for {name}"


def calls(changes: Iterable[Change], *, reads: Mapping[str, int] = _READS) -> dict[str, dict[str, Any]]:
    """Per vendor: about how many reads and writes an apply sends, and the limit they count against.

    `reads` are those of its looks, as they were measured.
    """
    listed = tuple(changes)
    counted: dict[str, dict[str, Any]] = {}
    for vendor, looks in reads.items():
        writes = sum(change.address.startswith(_ADDRESSES.get(vendor, f"{vendor}/")) for change in listed)
        waits = _READS_WHILE_A_PROJECT_COMES_UP * any(
            change.address == "supabase/project" and vendor == "supabase" for change in listed
        )
        counted[vendor] = {
            "reads": looks + _READS_PER_WRITE * writes + waits,
            "writes": writes,
            "limit": _LIMITS[vendor],
        }
    return counted
