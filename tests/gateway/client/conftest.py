"""The client against the real API over the real runtime, on real sockets; and a line between both that can be cut."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.client import AsyncClient, Client, Retries
from gateway.host.api import Server
from gateway.host.live import Live
from gateway.site import HttpSpec

HOST = Path(__file__).parents[1] / "host"
QUICK = Retries(tries_max=1_000, first_s=0.01, wait_s_max=0.05, total_s_max=20.0)


def borrowed(path: Path) -> ModuleType:
    """The fixtures of the API's own tests: what is served here is what is tested there."""
    name = f"borrowed_{path.parent.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_runtime, _api = borrowed(HOST / "conftest.py"), borrowed(HOST / "api" / "conftest.py")
demo_site, running, wait = _runtime.demo_site, _runtime.running, _runtime.wait
house_of = _api.house_of
FAST = _api.FAST


class Line:
    """A TCP relay. While `is_up` is False nobody gets through; `swallow` cuts the line at the first byte of an answer,
    so that what was asked for is done and nobody is told."""

    def __init__(self, port: Callable[[], int]) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_up = True
        self.swallow = 0
        self.swallowed = 0
        self.connections = 0
        self.on_cut: Callable[[], None] = lambda: None
        self.port = 0

    async def run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            await server.serve_forever()

    def cut(self) -> None:
        """End all connections, as a cable does that is pulled and put back."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            if self.is_up:
                with suppress(OSError):
                    inner_reader, inner = await asyncio.open_connection("127.0.0.1", self._port())
                    await self._relay(reader, writer, inner_reader, inner)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        inner_reader: asyncio.StreamReader,
        inner: asyncio.StreamWriter,
    ) -> None:
        self._writers.add(inner)
        tasks = [
            asyncio.create_task(self._pass(reader, inner, answers=False)),
            asyncio.create_task(self._pass(inner_reader, writer, answers=True)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writers.discard(inner)
            inner.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if answers and self.swallow:
                    self.swallow -= 1
                    self.swallowed += 1
                    self.on_cut()
                    return
                writer.write(data)
                await writer.drain()


class Gateway:
    """A served house, which can be stopped and started at its port, behind a line."""

    def __init__(self, house: Any, wait: Callable[[Callable[[], bool]], Awaitable[None]]) -> None:
        self.house = house
        self._wait = wait
        self._spec = HttpSpec(port=0)
        self._task: asyncio.Task[None] | None = None
        self.server = Server(house.app, self._spec, house.parts.log)
        self.line = Line(lambda: self.server.port)

    @property
    def state(self) -> Any:
        return self.house.runtime.kernel.state

    @property
    def url(self) -> str:
        """Through the line."""
        return f"http://127.0.0.1:{self.line.port}"

    @property
    def direct(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def client(self, role: str = "operator", **options: Any) -> Client:
        return Client(self.url, self.house.keys.get(role, ""), **{"retries": QUICK, **options})

    def loop_client(self, role: str = "operator", **options: Any) -> AsyncClient:
        return AsyncClient(self.url, self.house.keys.get(role, ""), **{"retries": QUICK, **options})

    def use(self, spec: HttpSpec) -> None:
        """How it is served from the next start on."""
        self._spec = spec

    async def start(self) -> None:
        self.server = Server(self.house.app, self._spec, self.house.parts.log)
        task = self._task = asyncio.create_task(self.server.run())
        await self._wait(lambda: self.server.port > 0 or task.done())
        self.line.is_up = True
        # The same address after a restart, as a gateway has it.
        self._spec = self._spec.model_copy(update={"port": self.server.port})

    def kill(self) -> None:
        """No farewell: connections are cut and nobody gets through from this moment on."""
        self.line.is_up = False
        self.line.cut()
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    async def stopped(self) -> None:
        self.kill()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task


@pytest.fixture
def quick() -> Retries:
    return QUICK


@pytest.fixture
def fast() -> dict[str, Any]:
    return dict(FAST)


@pytest.fixture
async def gateway_of(house_of: Any, running: Any, wait: Any) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Makes a gateway of an `http:`; without one nobody may look on without a key, and rates are out of the way."""
    made: list[Gateway] = []
    tasks: list[asyncio.Task[None]] = []

    async def build(spec: dict[str, Any] | None = None) -> Gateway:
        live = Live(running, running.now_ns, version="9.9")
        house = await house_of({**FAST, "anonymous_read": False} if spec is None else spec, live=live)
        gateway = Gateway(house, wait)
        made.append(gateway)
        tasks.extend((asyncio.create_task(live.run()), asyncio.create_task(gateway.line.run())))
        await gateway.start()
        await wait(lambda: gateway.line.port > 0)
        return gateway

    yield build
    for gateway in made:
        gateway.line.cut()
        await gateway.stopped()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def gateway(gateway_of: Any) -> Gateway:
    made: Gateway = await gateway_of()
    return made
