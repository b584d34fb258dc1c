"""What the vendors remember: one JSON document, seeded ids, and a clock that tests can pin."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]
AUTHOR = "developer"  # of every commit that the vendors know


@dataclass(frozen=True)
class Pace:
    """How long the vendors' own work takes, in seconds; real life is minutes, a test wants milliseconds."""

    project_coming_up_seconds: float = 1.5
    services_coming_up_seconds: float = 0.5
    environment_create_seconds: float = 0.8
    template_deploy_seconds: float = 0.6
    build_seconds: float = 0.5
    call_latency_seconds: float = 0.0

    def scaled(self, factor: float) -> Pace:
        """The same pace, `factor` times as long; the latency of a call is not scaled."""
        return Pace(
            project_coming_up_seconds=self.project_coming_up_seconds * factor,
            services_coming_up_seconds=self.services_coming_up_seconds * factor,
            environment_create_seconds=self.environment_create_seconds * factor,
            template_deploy_seconds=self.template_deploy_seconds * factor,
            build_seconds=self.build_seconds * factor,
            call_latency_seconds=self.call_latency_seconds,
        )


@dataclass
class World:
    """The vendors' memory.

    `document` is plain JSON: {"seed": str, "ordinals": {...}, "supabase": {...}, "railway": {...},
    "vercel": {...}, "openrouter": {...}}; each control plane owns its own top-level key and nothing else.
    Ids depend on the seed, the kind and the name only (never on the order of concurrent calls),
    so that a world built twice from one seed shows the same ids.
    """

    document: Record
    pace: Pace = field(default_factory=Pace)
    pinned_at: float | None = None

    def now(self) -> datetime:
        """UTC; stands still when the world's clock is pinned."""
        return datetime.fromtimestamp(time.time() if self.pinned_at is None else self.pinned_at, UTC)

    def digest(self, kind: str, name: str) -> bytes:
        """32 bytes for the n-th thing of this kind and name, where n counts from one."""
        ordinals: Record = self.document["ordinals"]
        key = f"{kind}|{name}"
        ordinals[key] = ordinals.get(key, 0) + 1
        return hashlib.sha256(f"{self.document['seed']}|{key}|{ordinals[key]}".encode()).digest()

    def uuid(self, kind: str, name: str) -> str:
        """A seeded UUID for the n-th thing of this kind and name."""
        return str(uuid.UUID(bytes=self.digest(kind, name)[:16], version=4))

    def letters(self, kind: str, name: str, *, length: int = 20) -> str:
        """Seeded lower-case letters, the form of a Supabase project ref."""
        return "".join(chr(ord("a") + byte % 26) for byte in self.digest(kind, name)[:length])

    def token(self, kind: str, name: str, *, length: int = 40) -> str:
        """Seeded hexadecimal characters, at most 64."""
        return self.digest(kind, name).hex()[:length]

    def dumps(self) -> str:
        """The whole memory as text; `World(json.loads(text))` is the same world."""
        return json.dumps(self.document, indent=1, sort_keys=True)


def empty_world(seed: str = "pantheon", pace: Pace | None = None) -> World:
    """A world in which no vendor remembers anything yet."""
    planes: Record = {"supabase": {}, "railway": {}, "vercel": {}, "openrouter": {}}
    return World({"seed": seed, "ordinals": {}, **planes}, pace or Pace())
