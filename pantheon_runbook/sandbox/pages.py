"""Built frontends and the public hosts that serve them, behind deployment protection where it is on."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from pantheon_runbook.sandbox.children import python_module
from pantheon_runbook.sandbox.platform import BuildFailedError

BUILD = "pantheon_runbook.sandbox.pantheon.frontend.build"
BYPASS = "x-vercel-protection-bypass"  # a header or a query parameter


@dataclass(frozen=True)
class PageRoute:
    """One host: which build it shows, and which secrets open it (None: open to all)."""

    deployment_id: str
    bypass_secrets: tuple[str, ...] | None


class Pages:
    """All built pages of one sandbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._routes: dict[str, PageRoute] = {}

    async def build(self, deployment_id: str, variables: Mapping[str, str]) -> None:
        """Run the frontend's build with exactly these variables. Raises BuildFailedError with its output."""
        process = await asyncio.create_subprocess_exec(
            *python_module(BUILD, str(self._folder / deployment_id)),
            env=dict(variables),
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _nothing = await process.communicate()
        if process.returncode != 0:
            raise BuildFailedError(output.decode(errors="replace").strip())

    def route(self, host: str, deployment_id: str, bypass_secrets: Sequence[str] | None) -> None:
        """From now on this host shows that build."""
        secrets = None if bypass_secrets is None else tuple(bypass_secrets)
        self._routes[host] = PageRoute(deployment_id, secrets)

    def has_route(self, host: str) -> bool:
        return host in self._routes

    def is_built(self, deployment_id: str) -> bool:
        return (self._folder / deployment_id / "index.html").exists()

    def forget(self) -> None:
        """No host shows anything any more."""
        self._routes.clear()

    def serve(self, host: str, request: Request) -> Response:
        """401 where the deployment is protected, 404 for files that were not built."""
        route = self._routes[host]
        given = request.headers.get(BYPASS) or request.query_params.get(BYPASS)
        if route.bypass_secrets is not None and given not in route.bypass_secrets:
            return HTMLResponse("<title>Authentication Required</title>", 401, {"server": "Vercel"})
        folder = (self._folder / route.deployment_id).resolve()
        file = (folder / (request.url.path.strip("/") or "index.html")).resolve()
        if not file.is_relative_to(folder) or not file.is_file():
            return PlainTextResponse("The page could not be found\n\nNOT_FOUND\n", 404, {"server": "Vercel"})
        return FileResponse(file, media_type=mimetypes.guess_type(file.name)[0], headers={"server": "Vercel"})
