"""RB-020, after the migration: which source and which commit should run. Pure: config and snapshot in, desired out.

A deployment is made anew when what it was started with is not what is there now. That is seen by times: the vendors'
own for variables and deployments, the ledger's for the schema. Railway and Vercel keep no time of a removed variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pantheon_runbook.config import Config, Service
from pantheon_runbook.model import Desired, Finding, Resource, Snapshot
from pantheon_runbook.planning import difference
from pantheon_runbook.providers.commands import migrates
from pantheon_runbook.providers.railway_sources import PLACES, SETTINGS
from pantheon_runbook.provisioning import public_service, services_of, site_url

PREVIEW = "vercel/deployment/preview"
# The ledger's clock is the database's: a deployment is older than a migration only when it is so by more than this.
_CLOCKS_APART = timedelta(seconds=30)
COMMIT = re.compile(r"[0-9a-f]{40}")
MODELLED = frozenset({*PLACES, *SETTINGS})  # of production's sources; its hosts are its own


def desired_deployments(
    config: Config,
    name: str,
    snapshot: Snapshot,
    *,
    commit: str = "",
    migrated_at: str = "",
    migrations: Sequence[str] = (),
) -> tuple[Desired, ...]:
    """Sources, deployments and the preview of one environment.

    `commit` is what is released; without it, what the vendors show of the release branch. `migrations` are addresses
    of this plan that come first; `migrated_at` is the time of the last one that the ledger knows.
    """
    services = [one for one in config.backend.services if one.name in services_of(config)]
    sources = [_source(service, snapshot) for service in services]
    wanted = {service.name: commit_of(snapshot, service.name, commit) for service in services}
    return (
        *sources,
        *(
            _deployment(source, snapshot, commit=wanted[service.name], migrated_at=migrated_at, migrations=migrations)
            for service, source in zip(services, sources, strict=True)
        ),
        _preview(config, name, snapshot, commit=commit),
    )


def commit_of(snapshot: Snapshot, service: str, commit: str = "") -> str:
    """What a service should run: as asked, else the release branch's newest at Vercel, else what runs; "" if unknown.

    Railway shows no branch's head; Vercel's tells of the backend only when both are of one repository.
    """
    preview = snapshot.get(PREVIEW).attributes
    is_one_repository = preview.get("repo") is not None and preview.get("repo") == repository_of(snapshot, service)
    head = str(preview.get("head") or "") if is_one_repository else ""
    return commit or head or str(snapshot.get(f"railway/deployment/{service}").attributes.get("commit") or "")


def repository_of(snapshot: Snapshot, service: str) -> str | None:
    """Production's, which staging's is to be; staging's own where production cannot be seen."""
    for address in (f"production/source/{service}", f"railway/source/{service}"):
        found = snapshot.get(address).attributes.get("repo")
        if found is not None:
            return str(found)
    return None


def _source(service: Service, snapshot: Snapshot) -> Desired:
    attributes = {**_modelled(service, snapshot), "deploys_by_itself": False}
    return Desired(
        f"railway/source/{service.name}",
        attributes,
        depends_on=(f"railway/service/{service.name}",),
        risk="low: read at the next deployment; a push no longer deploys by itself",
        undo="put the former settings back in Railway, and let pushes deploy again (service settings, Source)",
        undo_of_create="disconnect the source in Railway; what runs goes on running",
    )


def _modelled(service: Service, snapshot: Snapshot) -> dict[str, Any]:
    """As production has it, unless the config says otherwise; without production only where the code is."""
    production, own = (snapshot.get(f"{side}/source/{service.name}").attributes for side in ("production", "railway"))
    model = production or {place: own[place] for place in PLACES if place in own}
    copied = {key: value for key, value in model.items() if key in MODELLED and not _is_left_out(key, value)}
    if "root" in service.model_fields_set and service.root.strip("./") != str(copied.get("root", "")).strip("./"):
        copied["root"] = service.root
    return copied


def _is_left_out(key: str, value: Any) -> bool:
    """What may hold production's secret, and a pre-deploy command that migrates: in staging that is this runbook's."""
    return isinstance(value, Mapping) or (key == "pre_deploy_command" and bool(migrates(str(value))))


def _deployment(
    source: Desired, snapshot: Snapshot, *, commit: str, migrated_at: str, migrations: Sequence[str]
) -> Desired:
    service = source.address.removeprefix("railway/source/")
    seen = snapshot.get(f"railway/deployment/{service}")
    changes = [f"its {name} changes in this run" for name in difference(source, snapshot.get(source.address))]
    changes += ["the schema changes in this run"] if migrations else []
    reason = next(iter(changes), "") or outdated(seen, "created_at", migrated_at)
    attributes = {"status": "SUCCESS", **({"commit": commit} if commit and "image" not in source.attributes else {})}
    waits = not changes and _is_coming(seen, commit, migrated_at)
    former = seen.attributes.get("commit")
    return Desired(
        seen.address,
        {**attributes, **_anew(reason, seen)},
        depends_on=(f"railway/variables/{service}", source.address, *migrations),
        risk="low: the former one serves until this one is healthy",
        undo=f"run it again with commit={former}; its variables are those of then" if former else "",
        undo_of_create="remove the deployment in Railway",
        action="wait" if waits else None,
    )


def _anew(reason: str, seen: Resource) -> dict[str, str]:
    """An attribute that nothing has: the plan says with it why what looks right is made again."""
    return {"anew": reason} if reason and seen.state == "present" else {}


def _is_coming(seen: Resource, commit: str, migrated_at: str) -> bool:
    """Whether what is on its way is what is wanted: then there is nothing to begin."""
    coming = seen.attributes.get("coming_commit")
    return bool(coming) and coming == commit and not outdated(seen, "coming_since", migrated_at)


def outdated(seen: Resource, since: str, migrated_at: str = "") -> str:
    """Why it has to be made anew; "" when it has not, or when there is nothing yet."""
    made, changed = seen.attributes.get(since), seen.attributes.get("variables_changed_at")
    if made is None:
        return ""
    if changed is not None and _time(made) < _time(changed):
        return f"variables were changed at {changed}, it is of {made}"
    if migrated_at and _time(made) + _CLOCKS_APART < _time(migrated_at):
        return f"the schema was migrated at {migrated_at}, it is of {made}"
    return ""


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def _preview(config: Config, name: str, snapshot: Snapshot, *, commit: str) -> Desired:
    """Of the released commit when it is of the backend's repository, else of the branch's newest."""
    seen = snapshot.get(PREVIEW)
    is_ours = seen.attributes.get("repo") == repository_of(snapshot, public_service(config))
    wanted = (commit if is_ours else "") or str(seen.attributes.get("head") or "")
    attributes = {"state": "READY", **({"commit": wanted} if wanted else {})}
    waits, reason = _is_coming(seen, wanted, ""), outdated(seen, "created_at")
    return Desired(
        PREVIEW,
        {**attributes, **_anew(reason, seen)},
        depends_on=("vercel/variables/preview", f"railway/deployment/{public_service(config)}"),
        risk=f"low: {site_url(config, config.environments[name])} shows it when it is ready",
        undo="redeploy the former preview in Vercel, which takes the branch's host back",
        undo_of_create="delete the deployment in Vercel",
        action="wait" if waits else None,
    )


def findings(config: Config, name: str, snapshot: Snapshot, *, commit: str = "") -> Iterable[Finding]:
    """What keeps a service from being deployed, and what was not taken over from production."""
    if commit and not COMMIT.fullmatch(commit):
        what = f"{commit[:50]!r} is no commit"
        yield Finding("no-commit", "railway/deployment", what, "give all 40 hexadecimal characters of it")
    if snapshot.get(PREVIEW).attributes.get("can_be_opened") is False:
        what = "previews are behind deployment protection, and no bypass secret is known: none of them can be proven"
        step = "make one in Vercel (project settings, Deployment Protection, Protection Bypass for Automation)"
        yield Finding("no-bypass", PREVIEW, what, step)
    for service in config.backend.services:
        if service.name in services_of(config):
            yield from _of_service(config, service, snapshot, environment=name, commit=commit)


def _of_service(
    config: Config, service: Service, snapshot: Snapshot, *, environment: str, commit: str
) -> Iterable[Finding]:
    source = _source(service, snapshot)
    seen, production = snapshot.get(source.address), snapshot.get(f"production/source/{service.name}")
    others = ", ".join(snapshot.get("railway/environment").attributes.get("other_environments", []))
    if not any(place in source.attributes for place in PLACES):
        what = f"nobody says where the code of {service.name} is"
        step = f"connect {service.name} to its repository in Railway's environment of {environment}, then plan again"
        yield Finding("no-source", source.address, what, step)
    elif "image" not in source.attributes and not commit_of(snapshot, service.name, commit):
        what = f"no commit of {config.backend.release_branch} is known that {service.name} could run"
        step = "name one: -p commit=<40 hexadecimal characters>"
        yield Finding("no-commit", f"railway/deployment/{service.name}", what, step)
    if others and difference(source, seen):
        what = f"the source of {service.name} cannot be set: the Railway project also has {others}"
        step = f"set source and commands of {service.name} in staging's environment in Railway's dashboard"
        yield Finding("other-environments", source.address, what, step)
    yield from _left_out(source.address, production)


def _left_out(address: str, production: Resource) -> Iterable[Finding]:
    for key, value in sorted(production.attributes.items()):
        command = key.replace("_", " ")
        if isinstance(value, Mapping):
            what = f"production's {command} may hold a secret, so staging does not get it"
            yield Finding("secret-in-a-command", f"{address}/{key}", what, "move it into a variable", blocks=False)
        elif key.endswith("_command") and migrates(str(value)):
            what = f"production's {command} migrates: {value}"
            step = "take it out: migrations are this runbook's, on staging first"
            yield Finding("migrating-command", f"{address}/{key}", what, step, blocks=False)
