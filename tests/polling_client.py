"""A customer of production: polls two routes at a steady rate and adds a message now and then, until its input ends.

    polling_client.py {"socket", "host", "session", "rate_per_second", "beats_per_message", "timeout_seconds"}

It does not wait for one answer before it asks again, as many customers do not; each request has its own connection.
Prints one JSON line per request: {"at", "what", "status", "seconds", "error"}; `at` is by the machine's own clock, UTC.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass


@dataclass
class Customer:
    """Asks at the sandbox's door in plain HTTP/1.1: a client library would cost as much as what it measures."""

    socket: str
    host: str
    session: str
    rate_per_second: float
    beats_per_message: int
    timeout_seconds: float

    async def poll(self) -> None:
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        began, beat, asked = time.monotonic(), 0, set()
        while not ended.done():
            asked.add(asyncio.create_task(self.ask(beat)))
            beat += 1
            await asyncio.sleep(max(0.0, began + beat / self.rate_per_second - time.monotonic()))
        await asyncio.gather(*asked)

    async def ask(self, beat: int) -> None:
        """What is asked for at one beat: health, the session, and at some beats a message more."""
        session = f"/sessions/{self.session}"
        asked = [self._timed("health", "GET /health"), self._timed("session", f"GET {session}")]
        if beat % self.beats_per_message == 0:
            asked.append(self._timed("message", f"POST {session}/messages", {"content": f"message {beat}"}))
        await asyncio.gather(*asked)

    async def _timed(self, what: str, line: str, body: object = None) -> None:
        at, began, status, error = time.time(), time.monotonic(), None, ""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                status = await self._answered(line, b"" if body is None else json.dumps(body).encode())
        except (OSError, ValueError, EOFError) as failure:  # TimeoutError is an OSError
            error = f"{type(failure).__name__} {failure}".strip()
        told = {"at": at, "what": what, "status": status, "seconds": time.monotonic() - began, "error": error}
        print(json.dumps(told), flush=True)

    async def _answered(self, line: str, body: bytes) -> int:
        """The status of an answer that came whole."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            head = f"{line} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.read()
        finally:
            writer.close()
        headers, end, content = answer.partition(b"\r\n\r\n")
        lengths = [one for one in headers.lower().split(b"\r\n") if one.startswith(b"content-length:")]
        if not end or lengths != [b"content-length: %d" % len(content)]:
            raise EOFError(f"the answer ends after {len(answer)} bytes")
        return int(headers.split(b" ")[1])


if __name__ == "__main__":
    asyncio.run(Customer(**json.loads(sys.argv[1])).poll())
