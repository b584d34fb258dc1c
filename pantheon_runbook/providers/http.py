"""The one door to the vendors: allow-listed hosts, patient reads, single writes that are journalled first.

A write is sent once. What its failure means is decided here and nowhere else: connect and pool errors, 429 and
other 4xx mean "not applied"; a 5xx, a read time-out, a reset or a cut answer mean "outcome unknown".
"""

from __future__ import annotations

import json
import math
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpx

from pantheon_runbook import clock
from pantheon_runbook.errors import (
    OutcomeUnknownError,
    RefusedError,
    VendorError,
    VendorRefusedError,
    VendorUnavailableError,
    from_when,
)
from pantheon_runbook.providers import footprint
from pantheon_runbook.providers.naming import named_in
from pantheon_runbook.providers.reading import OnlyReads
from pantheon_runbook.secrets import Secret

GRAPHQL_PATH = "/graphql/v2"  # Railway's one path, for queries and mutations alike
ALLOWED_HOSTS = re.compile(
    r"api\.supabase\.com|[a-z]{20}\.supabase\.co|backboard\.railway\.com|api\.vercel\.com|openrouter\.ai"
    r"|[a-z0-9-]+\.up\.railway\.app|[a-z0-9-]+\.vercel\.app"
)
_READ_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 60.0
_DAY_SECONDS = 86_400.0
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]+)?")
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_LARGEST_PAGE_BYTES = 1_000_000
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass
class WriteGate:
    """Shut except inside the apply act; then open for what this run has accepted, and never for production.

    `forbidden` maps what must not occur in a write (a ref, an id; in capitals or not) to what it is called.
    `accepted` are the ids that were observed and passed: a write that names another place does not leave.
    `before` and `after` are the journal: when `before` raises, nothing is sent. `require_lock` raises when this run has
    lost the lock that keeps other writers out.
    """

    forbidden: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[dict[str, Any]], None] | None = None
    after: Callable[[dict[str, Any]], None] | None = None
    is_open: bool = False
    accepted: frozenset[str] = frozenset()
    require_lock: Callable[[], None] = lambda: None

    def check(self, vendor: str, operation: str, *texts: str) -> None:
        """Raise RefusedError unless this write may be sent."""
        if not self.is_open or self.before is None:
            raise RefusedError(
                f"{vendor}: {operation} was about to be sent outside the apply act",
                why="only an approved apply may write",
                next_step="report this as a bug, with the journal of this run",
            )
        self.require_lock()
        for value, name in self.forbidden.items():
            if any(value.casefold() in text.casefold() for text in texts):
                raise RefusedError(
                    f"{vendor}: {operation} names {name}",
                    why="this run may write to its own environment only",
                    next_step="compare the ids in pantheon.toml and identities.toml",
                )

    def require_accepted(self, vendor: str, operation: str, named: Iterable[str]) -> None:
        """Raise RefusedError for an id that is not one of this run's own places, whoever's it is."""
        others = [one for one in named if one not in self.accepted]
        if others:
            raise RefusedError(
                f"{vendor}: {operation} names {', '.join(others)}",
                why="that is not what this run has observed and accepted as its own environment",
                next_step="run the plan again: it looks where it is first",
            )


@dataclass(frozen=True)
class Reach:
    """How hosts are reached: over the network, or (sandbox) all of them through one Unix socket."""

    socket: str | None = None
    count: Callable[[str], None] | None = None  # told of each request before it leaves; what it raises stops it
    tell: Callable[[str], None] = lambda _words: None  # told of each wait that a vendor has asked for

    def transport(self) -> httpx.BaseTransport:
        if self.socket is None:
            transport: httpx.BaseTransport = httpx.HTTPTransport(verify=True, trust_env=False, retries=0)
        else:
            transport = _SandboxTransport(self.socket)
        return transport if self.count is None else _CountedTransport(transport, self.count)


class _SandboxTransport(httpx.BaseTransport):
    """Sends every request to the sandbox's socket under its real host name; TLS has no meaning there.

    It trusts no authority: to read those of the machine takes longer than a call.
    """

    def __init__(self, socket: str) -> None:
        self._inner = httpx.HTTPTransport(uds=socket, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), retries=0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http")
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


class _CountedTransport(httpx.BaseTransport):
    """Every request passes here, each try of one that is repeated too."""

    def __init__(self, inner: httpx.BaseTransport, count: Callable[[str], None]) -> None:
        self._inner = inner
        self._count = count

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._count(f"{request.method} {request.url.host}{request.url.path}")
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


class Client:
    """One vendor's API. `headers` holds the credential; nothing of a body or header is ever put into an error.

    Without a `gate` it can only read: it holds no way out that would pass a write. `declared` are statements that
    the read-only query may be sent besides the enumerated ones.
    """

    def __init__(
        self,
        vendor: str,
        base_url: str,
        *,
        reach: Reach,
        gate: WriteGate | None,
        headers: Mapping[str, Secret] | None = None,
        timeout_seconds: float = 30.0,
        declared: frozenset[str] = frozenset(),
    ) -> None:
        self.vendor = vendor
        self._tell = reach.tell
        self._gate = gate or WriteGate()
        shown = {name: value.reveal() for name, value in (headers or {}).items()}

        def by(transport: httpx.BaseTransport) -> httpx.Client:
            return httpx.Client(
                base_url=base_url,
                transport=transport,
                headers=shown,
                timeout=timeout_seconds,
                trust_env=False,
                follow_redirects=False,
            )

        out = reach.transport()
        self._http = by(OnlyReads(out, vendor, declared))
        self._writing = by(out) if gate is not None else self._http

    def close(self) -> None:
        self._http.close()
        self._writing.close()

    def read(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Any = None,
        body: Any = None,
        headers: Mapping[str, Secret] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """The answer to one of the enumerated reads, after up to four tries with growing jittered pauses.

        `accept` lists statuses besides 2xx that the caller understands. Errors: RefusedError (not enumerated),
        VendorRefusedError, VendorUnavailableError.
        """
        request = self._request(method, path, params, body, headers)
        for attempt in range(_READ_ATTEMPTS):
            last = attempt == _READ_ATTEMPTS - 1
            try:
                response = self._http.send(request)
            except httpx.RequestError as error:
                if last:
                    self._unavailable(operation, error)
                clock.sleep(_pause(attempt))
                continue
            if response.status_code in accept or (response.is_success and _is_whole(response)):
                return response
            if last or not (response.is_success or response.status_code in _TRANSIENT):
                self._refused(operation, response)
            self._wait(response, attempt)
        raise AssertionError("the last attempt returns or raises")

    def write(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Any = None,
        body: Any = None,
        headers: Mapping[str, Secret] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """Send one change, once; the journal has its intent before and its result after.

        Errors: VendorRefusedError and VendorUnavailableError (not applied), OutcomeUnknownError (look first).
        """
        request = self._request(method, path, params, body, headers)
        self._gate.check(self.vendor, operation, str(request.url), request.content.decode())
        named = named_in(request.url.host, request.url.path, dict(request.url.params), body)
        self._gate.require_accepted(self.vendor, operation, named)
        assert self._gate.before is not None
        event = {
            "vendor": self.vendor,
            "operation": operation,
            "method": method,
            "host": request.url.host,
            "path": request.url.path,
            "params": dict(request.url.params),
            "sent": footprint.sent(body),
            "bytes": len(request.content),
        }
        self._gate.before(event)
        try:
            response = self._sent(operation, request, accept)
        except VendorError as error:
            self._noted(event, type(error).__name__)
            raise
        self._noted(event, response.status_code, footprint.made(json_of(response)))
        return response

    def _noted(self, event: dict[str, Any], result: Any, made: Any = None) -> None:
        if self._gate.after is not None:
            told = {name: event[name] for name in ("vendor", "operation")}
            self._gate.after({**told, "result": result, **({"made": made} if made else {})})

    def _sent(self, operation: str, request: httpx.Request, accept: frozenset[int]) -> httpx.Response:
        try:
            response = self._writing.send(request)
        except _NOT_SENT as error:
            self._unavailable(operation, error)
        except httpx.RequestError as error:
            raise self._unknown(operation, type(error).__name__) from error
        if response.is_success and not _is_whole(response):
            raise self._unknown(operation, "the answer is not JSON")
        if response.is_success or response.status_code in accept:
            return response
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or response.status_code == 408:  # noqa: PLR2004
            raise self._unknown(operation, f"status {response.status_code}")
        try:
            return self._refused(operation, response)
        finally:  # what it raises says from when on, as of the answer and not of the end of this wait
            if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self._wait(response, 1)

    def _wait(self, response: httpx.Response, attempt: int) -> None:
        """As long as the vendor asks for, up to a minute; a wait for its rate limit is told of."""
        seconds = min(_asked_seconds(response) or _pause(attempt), _LONGEST_WAIT_SECONDS)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self._tell(f"{self.vendor} asks to wait: its rate limit is reached ({math.ceil(seconds)} s)")
        clock.sleep(seconds)

    def _request(
        self, method: str, path: str, params: Any, body: Any, headers: Mapping[str, Secret] | None
    ) -> httpx.Request:
        shown = {name: value.reveal() for name, value in (headers or {}).items()}
        request = self._http.build_request(method, path, params=params, json=body, headers=shown)
        if request.url.scheme != "https" or not ALLOWED_HOSTS.fullmatch(request.url.host):
            raise RefusedError(
                f"{self.vendor}: the host {request.url.host!r} is not on the allow-list",
                why="a credential would go to somebody else",
                next_step="report this as a bug; no setting changes the list",
            )
        return request

    def _unknown(self, operation: str, reason: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"{self.vendor} did not answer {operation}",
            vendor=self.vendor,
            operation=operation,
            why=f"the request was sent, the answer was lost ({reason})",
            state="unknown until looked up",
            next_step="run the plan again: it looks first",
        )

    def _unavailable(self, operation: str, error: Exception) -> NoReturn:
        raise VendorUnavailableError(
            f"{self.vendor} cannot be reached for {operation}",
            vendor=self.vendor,
            operation=operation,
            why=f"{type(error).__name__} from this machine",
            state="nothing was changed by this call",
            next_step="check the network and the vendor's status page, then run again",
        ) from error

    def _limited(self, operation: str, response: httpx.Response, message: str) -> VendorUnavailableError:
        seconds = _asked_seconds(response)
        again_at = clock.stamp(after_seconds=math.ceil(seconds)) if seconds else ""
        return VendorUnavailableError(
            f"the rate limit of {self.vendor} is reached: {operation} was turned away",
            vendor=self.vendor,
            operation=operation,
            again_at=again_at,
            why=message or "status 429, no reason given",
            state="nothing was changed by this call",
            next_step=f"{from_when(self.vendor, again_at)}, run again",
        )

    def _refused(self, operation: str, response: httpx.Response) -> NoReturn:
        status, code, message = _true_status(response)
        next_step = "read the vendor's message, then run the plan again"
        if status in {401, 403}:
            next_step = f"check the {self.vendor} token and what it may reach: pantheon-runbook doctor"
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise self._limited(operation, response, message)
        if status in _TRANSIENT or response.is_success:
            raise VendorUnavailableError(
                f"{self.vendor} keeps answering {status} to {operation}",
                vendor=self.vendor,
                operation=operation,
                why=message or "no reason given",
                state="nothing was changed by this call",
                next_step="wait, look at the vendor's status page, then run again",
            )
        raise VendorRefusedError(
            f"{self.vendor} refused {operation} ({status})",
            vendor=self.vendor,
            operation=operation,
            status=status,
            code=code,
            why=message or "no reason given",
            state="nothing was changed by this call",
            next_step=next_step,
        )


@dataclass(frozen=True)
class Visit:
    """What a page of a deployed app answered."""

    status: int
    body: bytes
    location: str = ""


def visit(
    url: str,
    *,
    reach: Reach,
    timeout_seconds: float,
    method: str = "GET",
    sends: Any = None,
    headers: Mapping[str, Secret] | None = None,
) -> Visit:
    """One request to a deployed app, tried once, no redirect followed.

    `providers.deployed` and `providers.staging_app` say which URLs, and who may send more than a GET.
    Errors: VendorUnavailableError for no answer in time, or one over a megabyte.
    """
    deadline = clock.monotonic() + timeout_seconds
    shown = {name: value.reveal() for name, value in (headers or {}).items()}
    with httpx.Client(
        transport=reach.transport(),
        timeout=timeout_seconds,
        trust_env=False,  # and no redirect: that is the default
    ) as client:
        try:
            with client.stream(method, url, json=sends, headers=shown) as response:
                body = b""
                for chunk in response.iter_bytes():  # a time-out of httpx is for each chunk
                    body += chunk
                    if len(body) > _LARGEST_PAGE_BYTES or clock.monotonic() > deadline:
                        raise _unseen(url, "the answer has no end")
        except httpx.HTTPError as error:
            raise _unseen(url, type(error).__name__) from error
    return Visit(response.status_code, body, response.headers.get("location", ""))


def _unseen(url: str, why: str) -> VendorUnavailableError:
    return VendorUnavailableError(
        f"{url} does not answer",
        vendor="app",
        operation="visit",
        why=why,
        state="nothing was changed by this call",
        next_step="look at the deployment at its vendor",
    )


def json_of(response: httpx.Response) -> Any:
    """The body as JSON; an empty one is None. `Client` has seen to it that it is whole."""
    return response.json() if response.content else None


def _is_whole(response: httpx.Response) -> bool:
    """Every vendor speaks JSON: anything else comes from something in between, or was cut."""
    try:
        json_of(response)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return False
    return True


def _pause(attempt: int) -> float:
    return clock.jittered(_FIRST_PAUSE_SECONDS * 2**attempt)


def _asked_seconds(response: httpx.Response) -> float | None:
    """How long the vendor asks to wait, by Retry-After, else by the moment of its reset; None when neither tells.

    X-RateLimit-Reset comes with other answers, too. It is read as seconds since 1970 (FACTS does not say what it
    counts), and believed up to a day ahead.
    """
    given = response.headers.get("Retry-After", "")
    if _NUMBER.fullmatch(given):
        return float(given)
    is_limited = response.status_code == httpx.codes.TOO_MANY_REQUESTS
    reset = response.headers.get("X-RateLimit-Reset", "") if is_limited else ""
    ahead = float(reset) - clock.now().timestamp() if _NUMBER.fullmatch(reset) else 0.0
    return ahead if 0 < ahead <= _DAY_SECONDS else None


def _true_status(response: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message; Storage puts the true status as a string inside a 400 (FACTS 1.2)."""
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError, httpx.StreamError):
        return response.status_code, "", ""
    if not isinstance(body, dict):
        return response.status_code, "", ""
    inner = body.get("error")
    if isinstance(inner, dict):
        return response.status_code, str(inner.get("code", "")), str(inner.get("message", ""))
    status = int(body["statusCode"]) if str(body.get("statusCode", "")).isdigit() else response.status_code
    return status, str(body.get("code", "")), str(body.get("message", ""))
