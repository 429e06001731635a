"""The host of `bench.outbox`, in a process of its own: takes webhooks and checks them as a host should.

Prints `PORT n`. Refuses each connection until it reads `open` on stdin. Each event is checked for its order's version;
signatures are checked with the secret in the environment. At the end of stdin it prints its findings as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from typing import Any, cast

import httptools
import msgspec
import uvloop


class Findings:
    """What has come so far."""

    def __init__(self) -> None:
        self.secret = base64.b64decode(os.environ["BENCH_SECRET"].removeprefix("whsec_"))
        self.versions: dict[str, int] = {}
        self.seen: set[str] = set()
        self.requests = self.doubled = self.violations = self.unsigned = 0
        self.first_s = self.last_s = 0.0

    def take(self, headers: dict[str, str], body: bytes) -> None:
        self.requests += 1
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s
        content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
        digest = base64.b64encode(hmac.new(self.secret, content, hashlib.sha256).digest()).decode()
        self.unsigned += f"v1,{digest}" not in headers["webhook-signature"].split()
        found = msgspec.json.decode(body)
        for event in found if isinstance(found, list) else [found]:
            self._event(event)

    def _event(self, event: dict[str, Any]) -> None:
        if event["id"] in self.seen:
            self.doubled += 1
            return
        self.seen.add(event["id"])
        order, version = event["data"]["order"], event["data"]["version"]
        self.violations += version != self.versions.get(order, 0) + 1
        self.versions[order] = version

    def as_json(self) -> str:
        return json.dumps(
            {
                "events": len(self.seen), "requests": self.requests, "doubled": self.doubled, "unsigned": self.unsigned,
                "violations": self.violations, "took_s": self.last_s - self.first_s,
            }
        )  # fmt: skip


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive over httptools, as uvicorn does it, and no framework on top."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._findings.take(self._headers, b"".join(self._body))
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def main() -> None:
    findings = Findings()
    loop = asyncio.get_running_loop()
    port = int(sys.argv[1])
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("READY", flush=True)
    server = None
    while line := await commands.readline():
        if line == b"open\n":
            server = await loop.create_server(lambda: Connection(findings), "127.0.0.1", port)
        elif line == b"count\n":
            print(len(findings.seen), flush=True)
    print(findings.as_json(), flush=True)
    if server is not None:
        server.close()


if __name__ == "__main__":
    uvloop.run(main())
