"""A screen as docs/live.md has it, a gateway that stands still between two inputs, and the feed on a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from gateway.contract import Effect, HostRequest, Input, Ns, Reply, Request, Scalar
from gateway.host.live import Live
from gateway.kernel import Kernel
from gateway.site import Site

HEAD = {"type", "seq", "at_ms", "epoch", "begins", "more", "topics"}
BEGAN_NS = 1_790_000_000_000_000_000


class Screen:
    """What a client knows when it does with every message as the protocol says."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, Any]] = {}
        self.seq = 0
        self.snapshots = 0
        self.is_whole = False

    def take(self, text: str | bytes) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(text)
        if frame["type"] not in ("snapshot", "diff"):
            return frame
        if frame["type"] == "snapshot":
            if frame["begins"]:
                self.maps.clear()
                self.snapshots += 1
            self.is_whole = not frame["more"]
        self.seq = frame["seq"]
        for name in frame.keys() - HEAD:
            self._merge(name, frame[name])
        return frame

    def _merge(self, name: str, entries: dict[str, Any]) -> None:
        if name == "site":
            self.maps[name] = entries
            return
        known = self.maps.setdefault(name, {})
        for key, entry in entries.items():
            if entry is None:
                known.pop(key, None)
            elif isinstance(entry, dict) and isinstance(known.get(key), dict):
                known[key] = {**known[key], **entry}
            else:
                known[key] = entry


class Still:
    """A gateway whose inputs the test puts in one by one. Nothing is durable here, so that all are told at once."""

    def __init__(self, site: Site) -> None:
        self.kernel = Kernel(site)
        self.status = "healthy"
        self.telemetry: dict[str, Mapping[str, Scalar]] = {}
        self.at_ns = BEGAN_NS
        self.listeners: list[Callable[[int, int, Ns, Effect], None]] = []

    def now_ns(self) -> Ns:
        return self.at_ns

    def put(self, body: object) -> list[Effect]:
        self.at_ns += 10_000_000
        entered = Input(self.kernel.state.seq + 1, self.at_ns, body)
        effects = self.kernel.apply(entered)
        for number, effect in enumerate(effects):
            for listener in self.listeners:
                listener(entered.seq, number, self.at_ns, effect)
        return effects

    async def ask(self, client: str, request_id: str, request: Request) -> Reply:
        effects = self.put(HostRequest(client, request_id, request))
        return next(effect for effect in effects if isinstance(effect, Reply))

    def listen(self, listener: Callable[[int, int, Ns, Effect], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served:
    """A feed on a real socket."""

    def __init__(self, port: int, server: uvicorn.Server) -> None:
        self.port = port
        self._server = server

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/live{query}"

    def stop(self) -> None:
        """As the process does when it ends."""
        self._server.should_exit = True

    @property
    def waiting_bytes(self) -> int:
        """What the server has taken and no socket has taken from it."""
        return sum(c.transport.get_write_buffer_size() for c in self._server.server_state.connections)  # type: ignore[union-attr]


@asynccontextmanager
async def serve(live: Live) -> AsyncIterator[Served]:
    """Offer `live` as the API does."""

    async def endpoint(websocket: WebSocket) -> None:
        after = websocket.query_params.get("after")
        await websocket.accept()
        await live.serve(websocket, int(after) if after else None)

    app = Starlette(routes=[WebSocketRoute("/api/v1/live", endpoint)])
    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_per_message_deflate=False, lifespan="off", log_config=None,
        access_log=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve([listening]))
        try:
            async with asyncio.timeout(5):
                while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
                    await asyncio.sleep(0.01)
            yield Served(listening.getsockname()[1], server)
        finally:
            server.should_exit = True
            for connection in list(server.server_state.connections):
                connection.transport.abort()  # type: ignore[union-attr]
            await task


@pytest.fixture
def screen() -> Callable[[], Screen]:
    return Screen


@pytest.fixture
def still(demo_site: Site) -> Callable[[], Still]:
    return lambda: Still(demo_site)


@pytest.fixture
def served() -> Callable[[Live], Any]:
    return serve
