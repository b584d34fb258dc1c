"""A team that closes F25, without a cloud: its folder, its keys, what it signs, and runs that were really sealed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from pantheon_runbook import attesting, clock, closing, closure
from pantheon_runbook.attesting import Desk
from pantheon_runbook.closure import Found, Table
from pantheon_runbook.evidence import seal
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import TRUST, sealing_key, trust_entry
from pantheon_runbook.model import canonical, digest_of
from pantheon_runbook.secrets import Registry, fingerprint
from pantheon_runbook.verdict import NotebookStatus

NOW = "2026-11-24T10:00:00+00:00"
PEOPLE = ("approver", "supervisor", "member-a", "member-b")
STAGING = {"supabase_ref": "b" * 20, "api_host": "api-staging.up.railway.app"}
SALT = "5a" * 32
PRODUCTIONS_SECRET = "postgres-of-production-Z8kq2LxT4vWn7Bd1"
CONFIG = """\
cloud = "{cloud}"
variables = []
[environments.production]
supabase = {{ ref = "aaaaaaaaaaaaaaaaaaaa", organization = "org" }}
railway = {{ project = "production-project", environment = "production-environment" }}
vercel = {{ target = "production" }}
[environments.staging]
supabase = {{ name = "pantheon-staging", organization = "org" }}
railway = {{ project_name = "pantheon-staging" }}
vercel = {{ target = "preview" }}
[backend]
[frontend]
vercel_project = "prj_1"
vercel_team = "team_1"
[closure]
strategy = "docs/F25.md"
approver = "approver"
supervisor = "supervisor"
members = ["member-a", "member-b"]
env_files = [".env"]
guard_paths = ["settings"]
"""
IDENTITIES = f"""\
salt = "{SALT}"
[production]
supabase_ref = "aaaaaaaaaaaaaaaaaaaa"
railway_project = "production-project"
railway_environment = "production-environment"
vercel_project = "prj_1"
pinned_at = "2026-11-01T08:00:00Z"
[production.pins]
DATABASE_URL = "{fingerprint(SALT, PRODUCTIONS_SECRET)}"
"""
ENV_FILE = f"SUPABASE_URL=https://{'b' * 20}.supabase.co\nAPI_URL=https://api-staging.up.railway.app\n"
SEEN = {closure.ENDPOINTS: (Found("API answers"), Found("Supabase answers"))}
MATRIX: dict[str, object] = {"rows": []}
CHANGE = {"address": "railway/environment", "action": "create", "depends_on": []}


class Team:
    """`cloud` is its config's; everything is in `folder`, which is also the working folder."""

    def __init__(self, folder: Path, cloud: str) -> None:
        self.folder, self.cloud = folder, cloud
        self.evidence, self.trust = folder / "evidence", folder / TRUST
        for name, text in {
            "pantheon.toml": CONFIG.format(cloud=cloud),
            "identities.toml": IDENTITIES,
            "docs/F25.md": "# F25\n\nIsolated staging by default.\n",
            ".env": ENV_FILE,
            "settings/compose.yaml": "services: {}\n",
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        self.evidence.mkdir()

    def closes(self) -> Team:
        """Everything that is needed, by everybody who is needed."""
        self.pin(*PEOPLE)
        self.run("RB-010", "apply")
        self.run("RB-060", "check")
        self.sign()
        return self

    def pin(self, *names: str, role: str = "attest") -> None:
        """Keys of these people, and on live their pins; the sandbox pins at first use."""
        lines = [trust_entry(seal.new_key(name), owner=name, cloud="live", role=role) for name in names]
        if self.cloud == "live":
            if not self.trust.exists():
                self.trust.write_text(trust_entry(seal.new_key("live-seal"), owner="the team", cloud="live"))
            self.trust.write_text(self.trust.read_text() + "".join(lines))

    def sign(self) -> None:
        self.attest("strategy", "approver")
        self.attest("team", "member-a")
        self.attest("team", "member-b")
        self.attest("provisioning", "supervisor")

    def attest(self, criterion: str, name: str, *, key: str = "") -> Path:
        """Through the command's own library call."""
        return attesting.attest(criterion, "staging", key=key or name, signer=None, statement="").path

    def file(self, criterion: str, name: str) -> Path:
        return self.folder / attesting.FOLDER / f"{criterion}-{name}.json"

    def facts(self, found: Mapping[str, tuple[Found, ...]] = SEEN) -> closure.Facts:
        desk = Desk.here()
        document = closing.strategy(desk)
        return closing.facts_of(desk, "staging", document=document, staging=STAGING, found=found)

    def table(self) -> Table:
        return closure.table_of(self.facts())

    def run(
        self,
        runbook: str,
        mode: str,
        *,
        cloud: str = "",
        fails: bool = False,
        days_ago: float = 0,
        staging: str = STAGING["supabase_ref"],
    ) -> Path:
        """A run that was really sealed, with what its acts would have written."""
        clock.pin((clock.now() - timedelta(days=days_ago)).isoformat())
        run_id = f"{len(list(self.evidence.iterdir())):08x}{clock.token(runbook)}"
        place = Place(self.evidence, cloud or self.cloud, "staging", runbook, run_id, clock.stamp())
        bundle = Bundle(place, Registry())
        journal = Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=Registry())
        told = {"runbook": runbook, "cloud": place.cloud, "environment": "staging", "mode": mode}
        who = {"operator": "supervisor", "operator_source": "login name on this machine"}
        journal.write("run-opened", **told, **who, decided_by=Desk.here().decided_by)
        acts = (
            ("observe", "plan", "approve", "apply", "verify") if mode == "apply" else ("observe", "compare", "verify")
        )
        for act in ("open", *acts):
            journal.write("act-begins", act=act)
            if not (fails and act == "verify"):
                journal.write("act-ends", act=act, **_acted(act, bundle, journal, {**told, "staging": staging}))
        if fails:
            error = {"word": "not-verified", "what": "a check failed.", "why": "it did.", "state": "s", "next": "n"}
            journal.write("act-failed", act="verify", **error)
        folder, verdict = bundle.seal(sealing_key(place.cloud), NotebookStatus("not-observed"))
        clock.pin(NOW)
        assert ("not-verified" if fails else "done") == verdict.word, verdict
        return folder


def _acted(act: str, bundle: Bundle, journal: Journal, told: Mapping[str, str]) -> dict[str, object]:
    observed = {"cloud": told["cloud"], "environment": "staging", "identities": {}, "resources": []}
    about = {name: told[name] for name in ("cloud", "environment", "runbook")}
    plan = {**about, "snapshot_digest": digest_of(observed), "changes": [CHANGE]}
    if act == "observe":
        bundle.write("snapshot.json", canonical({"observed": {**observed, "observed_at": "2026-11-23T10:00:00Z"}}))
        return {"resources": 0, "snapshot": digest_of(observed)}
    if act == "plan":
        bundle.write("plan.json", canonical(plan))
        return {"digest": digest_of(plan), "changes": 1}
    if act == "approve":
        approval = {"plan_digest": digest_of(plan), "kind": "self-approved, not pre-read", "approver": "supervisor"}
        bundle.write("approval.json", canonical(approval))
        return {"digest": digest_of(plan), "kind": approval["kind"]}
    if act == "apply":
        write = {"address": CHANGE["address"], "vendor": "railway", "operation": "create"}
        journal.write("write-intent", **write)
        journal.write("write-result", **write, result=200)
        journal.write("change-ends", address=CHANGE["address"], outcome="done", reason="", seconds=0.1)
    if act == "compare":
        comparison = json.dumps(MATRIX).encode()
        bundle.write("comparison.json", comparison)
        return {"files": {"comparison.json": hashlib.sha256(comparison).hexdigest()}}
    if act == "verify":
        journal.write("checks", checks=[["nothing is shared", "none", "none", True]])
        return {"summary": "nothing shared", "identities": {"supabase_ref": told["staging"]}}
    return {}


def alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, key or sandbox of anybody's; the clock stands still."""
    for name in ("PANTHEON_CONFIG", "PANTHEON_CREDENTIALS", "PANTHEON_SANDBOX", "PANTHEON_PIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.chdir(folder)
    clock.pin(NOW)
