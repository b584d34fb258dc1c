"""RB-050: staging looked at once more, and held with everything that lies here against the exit criteria of F25."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pantheon_runbook import certificate, closing, closure, provisioning
from pantheon_runbook.attesting import Desk
from pantheon_runbook.certificate import Certificate
from pantheon_runbook.closure import Facts, Found, Table
from pantheon_runbook.evidence.files import encoded, write_file
from pantheon_runbook.model import Check, Finding, Snapshot, Verification, banner
from pantheon_runbook.providers.endpoint import health_of
from pantheon_runbook.runner.clients import Parts

_PAGE_BEGINS = "<!-- Written by pantheon-runbook run RB-050: what is changed here is lost when it is written again. -->"


@dataclass(frozen=True)
class Criteria:
    """What `compare` brought; `document` and `page` are kept beside it, byte for byte."""

    table: Table
    facts: Facts
    document: bytes | None
    page: str

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(Check(f"{row.criterion}: {row.evidence}", "met", row.state, row.is_met) for row in self.table.rows)

    @property
    def files(self) -> Mapping[str, bytes]:
        kept = {"criteria.json": encoded(asdict(self.table)), "endpoints.md": self.page.encode()}
        return kept if self.document is None else {**kept, "strategy.md": self.document}


@dataclass(frozen=True)
class Closed(Verification):
    """A verification that ended in a certificate."""

    certificate: Certificate = field(kw_only=True)

    @property
    def files(self) -> Mapping[str, bytes]:
        text = certificate.certificate_text(self.certificate)
        return {"certificate.json": encoded(self.certificate.content), "certificate.md": text.encode()}


class Closing:
    """The comparing part of RB-050; the looks are RB-010's, and `probe` asks the database as RB-010's verify does."""

    def __init__(self, parts: Parts, *, run_id: str, probe: Callable[[Snapshot], tuple[Check, ...]]) -> None:
        self._parts = parts
        self._run_id = run_id
        self._probe = probe
        outside = parts.outside
        self._desk = Desk(outside.config, outside.folder, outside.decided_by)

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        """What staging lacks is a row of the table here, or an alarm of the isolation proof."""
        del snapshot
        return ()

    def compare(self, snapshot: Snapshot) -> Criteria:
        """Reads, and writes the endpoints page where the config names one."""
        page = self._page(snapshot)
        host = _api_host(snapshot)
        endpoints = (*self._services(snapshot, host), *self._documented(snapshot, page))
        staging = {"supabase_ref": snapshot.identities.get("supabase_ref", ""), "api_host": host}
        document = self._as_it_is_kept(closing.strategy(self._desk))
        found = {closure.ENDPOINTS: endpoints}
        facts = closing.facts_of(self._desk, snapshot.environment, document=document, staging=staging, found=found)
        return Criteria(closure.table_of(facts), facts, document, page)

    def conclude(self, snapshot: Snapshot, compared: Criteria) -> Closed:
        """Errors: HeldError that names the first open row and what to type."""
        issued = certificate.certified(compared.table, compared.facts, run_id=self._run_id)
        endpoints = provisioning.endpoints(self._parts.outside.config, snapshot.environment, snapshot)
        return Closed(compared.checks, snapshot, endpoints, (), certificate=issued)

    def summary(self, compared: Criteria) -> str:
        """Never to be taken for a live one."""
        title = certificate.title_of(compared.table.cloud).lower()
        return f"{title}; all {len(compared.table.rows)} rows of the exit criteria are met"

    def _as_it_is_kept(self, document: bytes | None) -> bytes | None:
        """None for one with a secret in it: the bundle would mask that, and its bytes were others than were signed."""
        is_masked = document is not None and self._parts.surroundings.vault.registry.names_in(document.decode())
        return None if is_masked else document

    def _services(self, snapshot: Snapshot, host: str) -> Iterator[Found]:
        """Checked now: the API, the Supabase project, and the database by its own word."""
        provision = f"pantheon-runbook run RB-010 -e {snapshot.environment} --apply"
        project = snapshot.get("supabase/project")
        status = str(project.attributes.get("status", project.state))
        url = f"https://{snapshot.identities.get('supabase_ref', '')}.supabase.co"
        yield self._api(host, provision)
        if status != "ACTIVE_HEALTHY":
            restore = f"pantheon-runbook run RB-010 -e {snapshot.environment} -p restore_paused=true --apply"
            next_step = restore if status == "INACTIVE" else provision
            yield Found("Supabase", f"its project is {status}", next_step)
            return
        yield Found(f"Supabase {url} is {status}")
        if self._parts.surroundings.vault.get("database.session_url") is None:
            yield Found("database", "no copy of its password connects", provision)
            return
        for check in self._probe(snapshot):
            yield Found(
                check.name, "" if check.passed else f"expected {check.expected}, found {check.found}", provision
            )

    def _api(self, host: str, provision: str) -> Found:
        if not host:
            return Found("API", "Railway lists no domain of it", provision)
        outside = self._parts.outside
        health, why = health_of(host, reach=outside.reach, timeout_seconds=outside.config.policy.request_seconds)
        if health == "no answer":
            return Found(f"API https://{host}/health", why, "look at the service's latest deployment in Railway")
        return Found(f"API https://{host}: {'answers /health' if health == 'answers' else 'domain, nothing deployed'}")

    def _documented(self, snapshot: Snapshot, page: str) -> Iterator[Found]:
        named = self._desk.config.closure and self._desk.config.closure.endpoints_page
        if not _api_host(snapshot) or not snapshot.identities.get("supabase_ref"):
            return  # there is nothing yet to document, and each thing that is missing has a row of its own
        yield Found("endpoints.md in this bundle")
        if named:
            problem = _written(self._desk.folder / named, page)
            yield Found(f"endpoints page {named}", problem, f"move {named} away, or name another endpoints_page")

    def _page(self, snapshot: Snapshot) -> str:
        """For developers; the same text as long as the endpoints are the same."""
        rows = (*provisioning.endpoints(self._desk.config, snapshot.environment, snapshot),)
        ids = (f"| {name} | `{value}` |" for name, value in snapshot.identities.items())
        return "\n".join(
            (
                _PAGE_BEGINS,
                f"# Endpoints of {snapshot.environment} ({banner(snapshot.cloud)})",
                "",
                "| what | where |",
                "|---|---|",
                *(f"| {what} | <{url}> |" for what, url in rows),
                *ids,
                "",
                f"Local variables: `pantheon-runbook env write .env -e {snapshot.environment}`",
                "",
            )
        )


def _api_host(snapshot: Snapshot) -> str:
    seen = (one for one in snapshot.resources if one.address.startswith("railway/domain/") and one.state == "present")
    return next((one.note for one in seen), "")


def _written(path: Path, page: str) -> str:
    """Why the page could not be written, "" when it stands there; what somebody else wrote is left alone."""
    try:
        there = path.read_bytes() if path.is_file() else None
        if there == page.encode():
            return ""
        if there is not None and not there.startswith(_PAGE_BEGINS.encode()):
            return "it is there, and somebody else wrote it"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, page.encode())
    except OSError as error:
        return f"it cannot be written: {error.strerror}"
    return ""
