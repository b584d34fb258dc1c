"""What proves a deployed staging: its own health, rows written and read back, what the page in front of it names.

The one place that writes rows through an app, and it does so in staging alone: see `providers.staging_app`.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pantheon_runbook.checks import Scalar
from pantheon_runbook.config import Config
from pantheon_runbook.deploying import PREVIEW
from pantheon_runbook.isolation.marks import Trace
from pantheon_runbook.judging import expected_fields
from pantheon_runbook.model import Check, Desired, Snapshot
from pantheon_runbook.page_proofs import page_check
from pantheon_runbook.planning import difference, shown
from pantheon_runbook.providers.http import Reach
from pantheon_runbook.providers.staging_app import Note, StagingApp
from pantheon_runbook.provisioning import public_service, site_url
from pantheon_runbook.secrets import Secret
from pantheon_runbook.written_rows import WrittenRow, asked_until

_STANDING = ("supabase/auth", "supabase/bucket/")


@dataclass(frozen=True)
class Proving:
    """What proofs are made with: `note` is the journal, `find` knows what is production's in a text.

    `production_hosts` are those of identities.toml; what the vendors show of production is added. `bypass` opens
    protected previews.
    """

    config: Config
    environment: str
    reach: Reach
    note: Note
    production_hosts: Collection[str]
    find: Callable[[str], tuple[Trace, ...]]
    bypass: Secret | None = None
    progress: Callable[[str], None] = field(default=lambda _words: None)

    def app(self, hosts: Collection[str], production: Collection[str]) -> StagingApp:
        return StagingApp(
            hosts,
            environment=self.environment,
            production=production,
            reach=self.reach,
            timeout_seconds=self.config.policy.request_seconds,
            note=self.note,
            bypass=self.bypass,
        )


def proofs(proving: Proving, snapshot: Snapshot, *, head: str, wanted: Iterable[Desired]) -> tuple[Check, ...]:
    """One check per question, none raised for what staging answers.

    `head` is the schema's revision, "" to leave it out; `wanted` is RB-010's, for sign-in and buckets.
    Errors: WrongEnvironmentError before anything is sent.
    """
    config = proving.config
    api = str(snapshot.get(f"railway/domain/{public_service(config)}").attributes.get("host", ""))
    preview = str(snapshot.get(PREVIEW).attributes.get("host", ""))
    site = urllib.parse.urlsplit(site_url(config, config.environments[proving.environment])).netloc.lower()
    production = {*proving.production_hosts, *hosts_of_production(snapshot)}
    app = proving.app([host for host in (api, preview, site) if host], production)
    ref = str(snapshot.identities.get("supabase_ref", ""))
    checks = (
        list(_backend(proving, app, api, ref=ref, head=head)) if api else [_without_host("the API", "railway/domain")]
    )
    checks += _standing(wanted, snapshot)
    checks += [] if preview else [_without_host("the preview", PREVIEW)]
    for host in dict.fromkeys(host for host in (preview, site) if host):
        proving.progress(f"what {host} names")
        checks.append(page_check(app, host, api=api, production=production, find=proving.find))
    return tuple(checks)


def hosts_of_production(snapshot: Snapshot) -> set[str]:
    """What the vendors show of it: the domains of its services, and what its live frontend answers to."""
    sources = (seen for seen in snapshot.resources if seen.address.startswith("production/source/"))
    hosts = {host for seen in sources for host in seen.attributes.get("hosts", ())}
    return hosts | set(snapshot.get(PREVIEW).attributes.get("production_hosts", ()))


def _without_host(what: str, address: str) -> Check:
    return Check(f"{what} answers", "a host", f"none is known: see {address}", passed=False)


def _backend(proving: Proving, app: StagingApp, host: str, *, ref: str, head: str) -> Iterator[Check]:
    yield _health(proving, app, host, ref=ref, head=head)
    answers: dict[str, Mapping[str, Any]] = {}
    made = [WrittenRow(proof, app, host, answers) for proof in proving.config.proofs]
    try:
        for one in made:
            proving.progress(one.proof.name)
            one.make()
    finally:
        for one in reversed(made):  # what uses a row goes before the row
            one.clean_up()
        for one in made:
            one.tell_what_is_left()
    yield from (one.check for one in made)


def _health(proving: Proving, app: StagingApp, host: str, *, ref: str, head: str) -> Check:
    """By the backend's own word: its fields, which schema it sees, and which Supabase project it talks to."""
    asked = proving.config.staging_proof
    wanted: dict[str, Scalar] = dict(asked.json_fields)
    wanted |= {asked.revision_field: head} if asked.revision_field and head else {}
    wanted |= {asked.supabase_field: f"{ref}.supabase.co"} if asked.supabase_field else {}
    proving.progress("the API is healthy")
    found, passed = asked_until(
        lambda: app.get(host, asked.health), wanted, status=HTTPStatus.OK, seconds=asked.seconds
    )
    expected = ", ".join(["200", *expected_fields(wanted), f"within {asked.seconds:g} s"])
    return Check("the API is healthy", expected, found, passed)


def _standing(wanted: Iterable[Desired], snapshot: Snapshot) -> Iterator[Check]:
    """Sign-in settings and buckets, as RB-010 wants them."""
    for desired in sorted(wanted, key=lambda one: one.address):
        if desired.address.startswith(_STANDING):
            seen = snapshot.get(desired.address)
            expected, found = shown(desired.attributes), shown(seen.attributes, like=desired.attributes)
            yield Check(desired.address, expected, found or seen.state, not difference(desired, seen))
