"""What RB-020 asks of the deployed staging, beyond whether it is healthy: parts of pantheon.toml, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pantheon_runbook.checks import Path, Scalar, Title

FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
# A path with fields of an answer in it, for example "/sessions/{id}".
Filled = Annotated[
    str, StringConstraints(pattern=r"^(/([A-Za-z0-9._~-]*[A-Za-z0-9_~-]|\{[A-Za-z_][A-Za-z0-9_]{0,62}\})){1,12}$")
]
Seconds = Annotated[float, Field(gt=0, le=600)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class StagingProof(_Table):
    """The backend's own word on itself: a GET that needs no sign-in.

    `json_fields` have to be so; `revision_field` and `supabase_field` name those that tell the schema's revision and
    the Supabase host, where there are such. `seconds` is how long it may take after a deployment.
    """

    health: Path = "/health"
    json_fields: dict[FieldName, Scalar] = {}
    revision_field: FieldName | None = None
    supabase_field: FieldName | None = None
    seconds: Seconds = 60.0


class Proof(_Table):
    """One POST, which writes a row to staging, and what is then read back within `seconds`.

    `uses` names an earlier proof: its answer fills the {field}s of `path` and `body`; those of `read` and `delete` are
    filled from this one's own. Without `delete` the row stays, and the check says so.
    """

    name: Title
    path: Filled
    body: dict[FieldName, Scalar] = {}
    uses: Title | None = None
    status: int = Field(default=201, ge=200, le=299)
    read: Filled | None = None
    json_fields: dict[FieldName, Scalar] = {}
    seconds: Seconds = 10.0
    delete: Filled | None = None


def wrong_in(proofs: Sequence[Proof]) -> str | None:
    """What no proof can see by itself: names, and what they use of each other."""
    names = [proof.name for proof in proofs]
    for number, proof in enumerate(proofs):
        if proof.name in names[:number]:
            return f'proofs.{number}.name: there are two proofs called "{proof.name}"'
        if proof.uses is not None and proof.uses not in names[:number]:
            return f'proofs.{number}.uses: no proof before it is called "{proof.uses}"'
        if proof.json_fields and proof.read is None:
            return f"proofs.{number}.read is missing: json_fields are those of what is read back"
    return None
