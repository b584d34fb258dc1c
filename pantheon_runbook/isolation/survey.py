"""What the tokens at hand can see, as values: projects and environments by name and id, never a value of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class SupabaseProject:
    """`organization` is the slug; `plan` is the organization's."""

    ref: str
    name: str
    region: str
    status: str
    organization: str
    organization_name: str
    plan: str


@dataclass(frozen=True)
class RailwayService:
    """`hosts` are its public domains; a store is a database or Redis, by its image or name."""

    id: str
    name: str
    root: str
    hosts: tuple[str, ...]
    is_store: bool


@dataclass(frozen=True)
class RailwayEnvironment:
    """One lasting environment of one project; those of pull requests are left out."""

    id: str
    name: str
    project_id: str
    project: str
    workspace_id: str
    workspace: str
    services: tuple[RailwayService, ...]


@dataclass(frozen=True)
class VercelProject:
    """`team` is the slug; `hosts` are the ones that serve production, `branch` the one that it is built from."""

    id: str
    name: str
    team_id: str
    team: str
    framework: str
    branch: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """Everything that a choice can be made from."""

    supabase: tuple[SupabaseProject, ...]
    railway: tuple[RailwayEnvironment, ...]
    vercel: tuple[VercelProject, ...]
    has_management_key: bool

    def lines(self) -> tuple[str, ...]:
        """The survey for a person: a line for each organization, workspace and team, and below it what is there."""
        return (*self._supabase(), *self._railway(), *self._vercel(), self._openrouter())

    def _supabase(self) -> Iterator[str]:
        by_organization = sorted(self.supabase, key=lambda one: (one.organization_name, one.organization, one.name))
        groups = groupby(by_organization, key=lambda one: (one.organization_name, one.organization, one.plan))
        for (name, slug, plan), projects in groups:
            yield f"Supabase    organization {printable(name)} ({slug}), plan {plan}"
            yield from (
                f"              {printable(one.name)}  {one.ref}  {one.region}  {one.status}" for one in projects
            )

    def _railway(self) -> Iterator[str]:
        by_workspace = sorted(self.railway, key=lambda one: (one.workspace, one.workspace_id, one.project, one.name))
        for (name, identifier), found in groupby(by_workspace, key=lambda one: (one.workspace, one.workspace_id)):
            yield f"Railway     workspace {printable(name)} ({identifier})"
            for one in found:
                services = ", ".join(f"{s.name} (public)" if s.hosts else s.name for s in one.services) or "no service"
                yield f"              {printable(one.project)}/{printable(one.name)}  {one.id}: {printable(services)}"

    def _vercel(self) -> Iterator[str]:
        for (slug, identifier), found in groupby(self.vercel, key=lambda one: (one.team, one.team_id)):
            yield f"Vercel      team {printable(slug)} ({identifier})"
            yield from (
                f"              {printable(one.name)}  {one.id}  {one.framework or 'no framework'}" for one in found
            )

    def _openrouter(self) -> str:
        found = "a management key is there" if self.has_management_key else "no management key"
        return f"OpenRouter  {found}"


@dataclass(frozen=True)
class Names:
    """What production's variables are called, without a value of any: by Railway service, in Vercel, in Supabase."""

    railway: Mapping[str, tuple[str, ...]]
    vercel: tuple[str, ...]
    edge_secrets: tuple[str, ...]


def printable(text: str) -> str:
    """A vendor's text on one line: nothing in it moves the cursor, begins a line or ends a comment."""
    return "".join(character if character.isprintable() else "?" for character in text)
