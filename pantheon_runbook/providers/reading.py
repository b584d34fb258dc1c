"""The way out of whatever only reads: below the HTTP client, so that no use of the client goes around the list."""

from __future__ import annotations

import httpx

from pantheon_runbook.providers.enumerated import Sent, require_read


class OnlyReads(httpx.BaseTransport):
    """Passes on the enumerated reads and nothing else: what is sent is made anew from what was judged."""

    def __init__(self, inner: httpx.BaseTransport, vendor: str, declared: frozenset[str] = frozenset()) -> None:
        self._inner = inner
        self._vendor = vendor
        self._declared = declared

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        sent = Sent(
            vendor=self._vendor,
            method=request.method,
            scheme=url.scheme,
            beside_host=(url.userinfo.decode("latin-1"), url.port),
            host=url.raw_host.decode("latin-1"),
            target=url.raw_path.decode("latin-1"),
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw),
            body=request.read(),
            extras=frozenset(request.extensions) - {"timeout"},
            declared=self._declared,
        )
        require_read(sent)
        response = self._inner.handle_request(
            httpx.Request(
                sent.method,
                f"https://{sent.host}{sent.target}",
                headers=sent.headers,
                stream=httpx.ByteStream(sent.body),
                extensions=request.extensions,
            )
        )
        response.headers.pop("Location", None)  # so that nobody can follow it
        return response

    def close(self) -> None:
        self._inner.close()
