"""Who the environment is that was observed: against production's list, its own list, and what vouches for it. Pure.

What each word for an id is worth:

- production's list (deny): committed by people. It never lets anything in, it only keeps out.
- the environment's list (allow): committed by people after they looked. Nothing is stronger; an id that differs from
  it is refused, whoever else vouches.
- `confirm`: one operator, one run, recorded in plan and journal. As good as his look at the vendor's dashboard.
- the marker row: it names environment and ref, and stands in the database that the run is connected to. A copy of
  another project's database names another ref and is refused before this is asked. It vouches for the Railway
  environment too, when that one's DATABASE_URL is what led there: whoever can set it there runs staging.
- our own runs (`evidence.vouchers`): that a run created the thing, by the id in the vendor's answer; where the answer
  was lost, by the name that was asked for: it was free then, or the run would have adopted and not created. Worth what
  the evidence folder is worth: whoever can write there could as well give `confirm`. It does not say what is in a
  database today: where our marker is gone the content was replaced, and only a confirmation lets a run go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pantheon_runbook.errors import WrongEnvironmentError
from pantheon_runbook.model import Finding, Resource, Snapshot

UNCONFIRMED = "unconfirmed"
# What must be known of a vendor as soon as anything of ours stands there.
_TOLD_BY = {
    "supabase/": "supabase_ref",
    "database/": "supabase_ref",
    "railway/": "railway_environment",
    "vercel/": "vercel_project",
}


_LISTED = ("supabase_ref", "railway_project", "railway_environment", "vercel_project")


@dataclass(frozen=True)
class Made:
    """What earlier runs for this environment left at the vendors.

    `ids` are in the vendors' answers; `names` are (kind, name) of what was asked for when the answer was lost; `marked`
    are the refs whose database got our marker.
    """

    ids: frozenset[str] = frozenset()
    names: frozenset[tuple[str, str]] = frozenset()
    marked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Known:
    """The two lists by identity, as the committed files have them, and the ids that the operator confirmed."""

    environment: str
    production: Mapping[str, str] = field(default_factory=dict)
    allowed: Mapping[str, str] = field(default_factory=dict)
    confirmed: tuple[str, ...] = ()


def allow_list(identities: Mapping[str, str], known: Known) -> dict[str, str]:
    """What identities.toml should say of what was observed; a Railway project shared with production tells nothing."""
    shared = set() if "railway_project" in known.production else {"railway_project"}
    return {name: identities[name] for name in _LISTED if name in identities and name not in shared}


def steps_to_list(snapshot: Snapshot, known: Known) -> tuple[str, ...]:
    """The step by hand that is left once everything of an environment is known to be ours."""
    wanted = allow_list(snapshot.identities, known)
    is_whole = {"supabase_ref", "railway_environment"} <= set(wanted)
    if not is_whole or wanted.items() <= known.allowed.items():
        return ()
    if any(finding.code == UNCONFIRMED for finding in snapshot.findings):
        return ()
    command = f"pantheon-runbook init --pin-staging -e {known.environment}"
    return (f"identities.toml: put the ids of {known.environment} on its allow list and commit them: {command}",)


def confirmed_in(text: str) -> tuple[str, ...]:
    """The ids in the parameter `confirm`, comma-separated."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def refuse_others(identities: Mapping[str, str], known: Known) -> None:
    """One match with production is enough, and so is one that differs from the environment's own list."""
    for name, value in identities.items():
        if known.production.get(name, "").casefold() == value.casefold():
            raise WrongEnvironmentError(
                f'"{known.environment}" is production by its {name}',
                why=f"{value} is on production's deny list in identities.toml",
                next_step=f"correct environments.{known.environment} in pantheon.toml",
            )
        if known.allowed.get(name, value).casefold() != value.casefold():
            raise WrongEnvironmentError(
                f'"{known.environment}" is another one than identities.toml allows, by its {name}',
                why=f"{value} was observed, and its allow list says {known.allowed[name]}",
                next_step=f"correct environments.{known.environment} in pantheon.toml or in identities.toml",
            )


def refuse_unobserved(resources: Iterable[Resource], identities: Mapping[str, str], known: Known) -> None:
    """Where something stands and nobody can say what it belongs to, nothing is written."""
    for resource in resources:
        name = next((told for prefix, told in _TOLD_BY.items() if resource.address.startswith(prefix)), None)
        if name is not None and name not in identities and resource.state != "absent":
            raise WrongEnvironmentError(
                f'whose {resource.address} it is cannot be observed, so it is not known to be "{known.environment}"',
                why=f"it is there, and its vendor did not tell the {name}",
                next_step="check what the token may read: pantheon-runbook doctor",
            )


def unconfirmed(snapshot: Snapshot, known: Known, made: Callable[[], Made], *, command: str) -> tuple[Finding, ...]:
    """A blocking finding for each thing that exists and that neither list, operator, marker nor our runs vouch for.

    `made` is asked only when nothing else vouches; `command` is the one to run again, and gets `-p confirm=`.
    Errors: WrongEnvironmentError for a confirmed id that is not there.
    """
    _refuse_unseen(snapshot, known)
    open_ones = dict((*_supabase(snapshot, known, made), *_railway(snapshot, known, made)))
    again = f"{command} -p confirm={','.join(dict.fromkeys((*known.confirmed, *open_ones)))}"
    return tuple(
        Finding(UNCONFIRMED, address, f"{what}; look at it, and confirm it if it is ours", again)
        for address, what in open_ones.values()
    )


def _refuse_unseen(snapshot: Snapshot, known: Known) -> None:
    for identifier in known.confirmed:
        if identifier not in set(snapshot.identities.values()):
            raise WrongEnvironmentError(
                f"{identifier} was confirmed, and it is not what was observed",
                why=f"observed: {', '.join(_observed(snapshot)) or 'nothing that exists yet'}",
                next_step=f"confirm what stands there: pantheon-runbook run RB-010 -e {known.environment} says it",
            )


def _observed(snapshot: Snapshot) -> Iterable[str]:
    names = ("supabase_ref", "railway_project", "railway_environment")
    return (snapshot.identities[name] for name in names if name in snapshot.identities)


def _supabase(snapshot: Snapshot, known: Known, made: Callable[[], Made]) -> Iterable[tuple[str, tuple[str, str]]]:
    ref, project = snapshot.identities.get("supabase_ref"), snapshot.get("supabase/project")
    if ref is None or ref in known.confirmed or _is_marked(snapshot):
        return
    runs = made()
    if ref in runs.marked and snapshot.get("database/password").attributes.get("held"):
        what = f"the marker that a run of ours wrote is gone from the database of {ref}: it was restored or replaced"
        yield ref, ("database/marker", what)
    elif not (
        ref == known.allowed.get("supabase_ref")
        or ref in runs.ids
        or ("supabase/project", str(project.attributes.get("name"))) in runs.names
    ):
        name = project.attributes.get("name")
        yield ref, (project.address, f'unconfirmed: nothing says that the Supabase project {ref} ("{name}") is ours')


def _railway(snapshot: Snapshot, known: Known, made: Callable[[], Made]) -> Iterable[tuple[str, tuple[str, str]]]:
    """By the environment where there is one: it lies in one project only."""
    project, environment = (snapshot.identities.get(name) for name in ("railway_project", "railway_environment"))
    if project is None:
        return
    seen = snapshot.get("railway/environment")
    if environment is None:
        is_shared = "railway_project" not in known.production  # a project that is production's by decision is no news
        is_listed = project == known.allowed.get("railway_project") or project in known.confirmed
        if not is_shared and not is_listed and project not in made().ids:
            yield project, (seen.address, f"unconfirmed: nothing says that the Railway project {project} is ours")
        return
    is_listed = environment == known.allowed.get("railway_environment") or environment in known.confirmed
    leads_to_marker = _is_marked(snapshot) and snapshot.get("database/password").attributes.get("held")
    if is_listed or leads_to_marker:
        return
    runs, name, environment_name = made(), str(seen.attributes["project"]), str(seen.attributes["name"])
    asked_for = {("railway/project", name), (f"railway/{project}", environment_name)}
    if {project, environment} & runs.ids or asked_for & runs.names:
        return
    what = f"the Railway environment {environment} ({name}/{environment_name})"
    yield environment, (seen.address, f"unconfirmed: nothing says that {what} is ours")


def _is_marked(snapshot: Snapshot) -> bool:
    """The marker's own look has refused every other environment's by now."""
    return "database_marker" in snapshot.identities
