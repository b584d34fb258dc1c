"""What a deployed page names, as a browser would load it: staging's API, and nothing of production's."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Collection
from http import HTTPStatus

from pantheon_runbook.errors import VendorUnavailableError
from pantheon_runbook.isolation.marks import Trace
from pantheon_runbook.model import Check
from pantheon_runbook.providers.http import Visit
from pantheon_runbook.providers.staging_app import StagingApp

_SCRIPT = re.compile(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+\.m?js(?:\?[^"'\s>]*)?)""")
_MOST_SCRIPTS = 30
_CLOSED = frozenset({301, 302, 303, 307, 308, 401, 403})


def page_check(
    app: StagingApp, host: str, *, api: str, production: Collection[str], find: Callable[[str], tuple[Trace, ...]]
) -> Check:
    """HTML and scripts of one host; `api` is staging's, "" when nobody knows it. Reads only."""
    name, expected = f"{host} talks to staging", f"200, names {api}, nothing of production's"
    try:
        page = app.get(host, "/")
    except VendorUnavailableError as error:
        return Check(name, expected, f"no answer: {error.why}", passed=False)
    if page.status != HTTPStatus.OK:
        return Check(name, expected, f"{page.status}{_why_closed(page, app)}", passed=False)
    text, unread = _with_scripts(app, host, page.body.decode(errors="replace"))
    traces = {trace.what for trace in find(text)}
    traces |= {f"production's host {one}" for one in production if _names(text, one)}
    found = ["200", f"names {api}" if api and _names(text, api) else f"does not name {api or 'an API'}"]
    found += [f"names {one}" for one in sorted(traces)] + [f"could not be read: {one}" for one in unread]
    return Check(name, expected, ", ".join(found), bool(api) and _names(text, api) and not traces and not unread)


def _why_closed(page: Visit, app: StagingApp) -> str:
    """Protection answers with a status of its own, or leads to a sign-in page (FACTS 3)."""
    if page.status not in _CLOSED:
        return ""
    if app.has_bypass:
        return ": the bypass secret does not open it"
    return (
        ": deployment protection is on and no bypass secret is known; make one in Vercel's project settings "
        "(Deployment Protection, Protection Bypass for Automation)"
    )


def _names(text: str, host: str) -> bool:
    """The host as a whole: one may be the end of another."""
    return re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w-]|\.\w)", text, re.IGNORECASE) is not None


def _with_scripts(app: StagingApp, host: str, html: str) -> tuple[str, list[str]]:
    """The page and its own scripts in one text, and the paths of those that did not come."""
    paths = dict.fromkeys(path for found in _SCRIPT.findall(html) if (path := _own_path(host, found)))
    texts, unread = [html], list(paths)[_MOST_SCRIPTS:]
    for path in list(paths)[:_MOST_SCRIPTS]:
        try:
            script = app.get(host, path)
        except VendorUnavailableError:
            unread.append(path)
            continue
        if script.status == HTTPStatus.OK:
            texts.append(script.body.decode(errors="replace"))
        else:
            unread.append(path)
    return "\n".join(texts), unread


def _own_path(host: str, found: str) -> str | None:
    """Path and query of a script of this host; others are not asked for."""
    url = urllib.parse.urlsplit(urllib.parse.urljoin(f"https://{host}/", found))
    return url._replace(scheme="", netloc="", fragment="").geturl() if url.netloc.lower() == host else None
