"""A host that takes webhooks over real HTTP, and outward parts on a store of the test's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import structlog

from gateway.contract import AlarmEvent, Effect, OrderEvent, StepEvent
from gateway.host.outward import Outward, TargetFigures
from gateway.host.store import Store
from gateway.shell.runtime import Runtime
from gateway.site import OutwardSpec

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()
Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (204, {}, b"")


@dataclass
class Arrived:
    """One request as it came over the wire."""

    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        found = json.loads(self.body)
        return found if isinstance(found, list) else [found]

    def is_signed_by(self, secret: str) -> bool:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        content = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        digest = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return f"v1,{digest}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Host:
    """An HTTP/1.1 server on h11. `answer` decides; what it lets in by 2xx is in `told`, everything in `requests`."""

    port: int
    answer: Callable[[Arrived], Answer | Awaitable[Answer]] = lambda _: OK
    requests: list[Arrived] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    busy: int = 0
    busy_max: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)

    async def close(self) -> None:
        """Nobody listens any more, and every connection is cut."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    def versions(self, order: str) -> list[int]:
        return [e["data"]["version"] for e in self.told if e["data"].get("order") == order and "version" in e["data"]]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        connection = h11.Connection(h11.SERVER)
        try:
            with suppress(ConnectionError, h11.RemoteProtocolError):
                while await self._one(connection, reader, writer):
                    connection.start_next_cycle()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        headers: dict[str, str] = {}
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        arrived = Arrived(headers, body)
        self.requests.append(arrived)
        self.busy += 1
        self.busy_max = max(self.busy_max, self.busy)
        try:
            answer = self.answer(arrived)
            status, more, text = answer if isinstance(answer, tuple) else await answer
        finally:
            self.busy -= 1
        if 200 <= status < 300:
            self.told += arrived.events
        sent = [*more.items(), *([] if status == 204 else [("content-length", str(len(text)))])]
        writer.write(connection.send(h11.Response(status_code=status, headers=sent)) or b"")
        if status != 204:
            writer.write(connection.send(h11.Data(data=text)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return connection.our_state is h11.DONE


@dataclass
class House:
    """Opens outward parts on one file, as one process after another would."""

    gate: Runtime
    folder: Path
    log: Any = field(default_factory=structlog.testing.CapturingLogger)
    _stores: list[Store] = field(default_factory=list)

    @property
    def secret_file(self) -> Path:
        return self.folder / "secret"

    def hook(self, host: Host, **more: Any) -> dict[str, Any]:
        return {"id": "wms", "url": host.url, "secret_file": str(self.secret_file), "backoff_max_s": 1, **more}

    async def open(self, **spec: Any) -> Outward:
        if not self.secret_file.exists():
            self.secret_file.write_text(f"{SECRET}\n", encoding="ascii")
        store = await Store.open(self.folder / "host.sqlite", Outward.SCHEMA)
        self._stores.append(store)
        return await Outward.open(store, OutwardSpec.model_validate(spec), self.gate.kernel.site, self.gate, self.log)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()

    def said(self, event: str) -> list[dict[str, Any]]:
        """What the log was told under this name."""
        return [call.kwargs for call in self.log.calls if call.args == (event,)]


class Kernelspeak:
    """Effects as the kernel would say them, numbered after the last input of the gate."""

    def __init__(self, gate: Runtime) -> None:
        gate.kernel.state.seq += 1_000
        self.seq = gate.kernel.state.seq
        self._gate = gate

    def say(self, outward: Outward, *effects: Effect) -> list[tuple[int, int, int, Effect]]:
        """One input that draws `effects`; returns what was said, to be said once more."""
        self.seq += 1
        self._gate.kernel.state.seq = self.seq  # it has applied the input whose effects these are
        said = [(self.seq, number, self._gate.now_ns(), effect) for number, effect in enumerate(effects)]
        for effect in said:
            outward.heard(*effect)
        return said


def order(name: str, version: int, state: str = "started", client: str = "wms") -> OrderEvent:
    return OrderEvent(name, state, client=client, version=version)


def step(name: str, client: str = "wms") -> StepEvent:
    return StepEvent(name, "s1", "finished", "L1", "LANE-1", client=client)


def alarm(active: bool = True) -> AlarmEvent:
    return AlarmEvent("C1/jam", "C1", "jam", "Zone 3 is jammed", active)


@asynccontextmanager
async def at_work(*outwards: Outward) -> AsyncIterator[None]:
    """Run them while the block runs; they must end by cancellation and by nothing else."""
    tasks = [asyncio.create_task(outward.run()) for outward in outwards]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def figures_of(outward: Outward, target: str) -> TargetFigures:
    return next(f for f in await outward.figures() if f.target == target)
