"""The control channel: one JSON object a line over TCP, each answered by one line, on loopback only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from plc_simulators.servers.ports import HOST, listening_port

LINE_BYTES_MAX = 64 * 1024
CLIENTS_MAX = 16

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class ControlServer:
    """Hands every request to `handler`, whose ValueError becomes the answer's error text."""

    def __init__(self, handler: Handler) -> None:
        self.port = 0
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Listen on a free port. Raises OSError."""
        self._server = await asyncio.start_server(self._client, HOST, 0, limit=LINE_BYTES_MAX)
        self.port = listening_port(self._server)

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is None:
            return
        self._server.close()
        for client in list(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._clients.add(task)
        try:
            if len(self._clients) > CLIENTS_MAX:
                writer.write(_line({"ok": False, "error": f"{CLIENTS_MAX} clients are connected, the most"}))
                return
            while line := await reader.readline():
                writer.write(_line(await self._answer(line)))
                await writer.drain()
        except ValueError:
            writer.write(_line({"ok": False, "error": f"a line is longer than {LINE_BYTES_MAX} bytes"}))
        except (ConnectionError, asyncio.CancelledError):
            # The peer has gone, or the server closes: either way only the connection ends.
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                return {"ok": False, "error": "a request is one JSON object in one line"}
            return {"ok": True, **await self._handler(request)}
        except ValueError as problem:
            return {"ok": False, "error": str(problem)}


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
