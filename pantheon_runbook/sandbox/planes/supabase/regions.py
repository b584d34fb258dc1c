"""Where a project can live; the vendor says that this list is not a stable API."""

from __future__ import annotations

from typing import Final, Literal, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.supabase.state import message, organization_of

Region = Literal[
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ap-east-1", "ap-southeast-1", "ap-northeast-1",
    "ap-northeast-2", "ap-southeast-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-central-1",
    "eu-central-2", "ca-central-1", "ap-south-1", "sa-east-1",
]  # fmt: skip
SmartGroup = Literal["americas", "emea", "apac"]

# Which region a group stands for when a project is made; the vendor chooses by capacity, here always the same.
FIRST_OF_GROUP: Final[dict[str, str]] = {"americas": "us-east-1", "emea": "eu-west-1", "apac": "ap-southeast-1"}
_CONTINENTS: Final = ("NA", "SA", "EU", "AF", "AS", "OC", "AN")


async def available_regions(request: Request) -> Response:
    """Recommended and all regions of one organization; `organization_slug` is required."""
    slug = request.query_params.get("organization_slug")
    if not slug:
        raise message(400, "organization_slug: Required")
    organization_of(request, slug)
    if request.query_params.get("continent", "EU") not in _CONTINENTS:
        raise message(400, f"continent: Expected one of {', '.join(_CONTINENTS)}")
    groups = [{"name": name.capitalize(), "code": name, "type": "smartGroup"} for name in FIRST_OF_GROUP]
    regions = [{"name": code, "code": code, "type": "specific", "provider": "AWS"} for code in get_args(Region)]
    emea = next(group for group in groups if group["code"] == "emea")
    nearby = [region for region in regions if region["code"] == FIRST_OF_GROUP["emea"]]
    recommended = {"smartGroup": emea, "specific": nearby}
    return JSONResponse({"recommendations": recommended, "all": {"smartGroup": groups, "specific": regions}})
