"""The demo's plant, gateway, hosts and people in a thread of their own, for browsers to look at."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog

from gateway.app import App
from gateway.demo.people import People
from gateway.demo.simulators import Simulators
from gateway.demo.stream import Stream
from gateway.shell.config import as_text, load

SITE = Path(__file__).parents[2] / "config" / "demo"
SPEED = 2.0
SEED = 3
START_S_MAX = 60.0
CALL_S_MAX = 30.0
PASSWORD = "a-long-word-for-tests"
T = TypeVar("T")


def _log() -> Any:
    """Says errors only, on standard output, which pytest shows where a test fails."""
    return structlog.wrap_logger(
        structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )


class Gap:
    """A line between browser and gateway that can be cut: nobody gets through then, and who was through is dropped."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._through: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def join(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._through):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        ends = {writer, back}
        self._through |= ends
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._through -= ends
            for each in ends:
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(64 * 1024):
                writer.write(data)
                await writer.drain()
        writer.close()


class Bench:
    """One running demo. All is for the test's thread; the demo has its own."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="demo", daemon=True)
        self.plant: Simulators
        self.app: App
        self.gap: Gap

    def start(self) -> None:
        """Returns when the page can be opened."""
        self._thread.start()
        assert self._ready.wait(START_S_MAX), "the demo is not ready in time"
        if self._problem is not None:
            raise RuntimeError("the demo did not start") from self._problem

    def close(self) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S_MAX)
        self._loop.close()

    @property
    def url(self) -> str:
        front = self.app.front
        assert front is not None
        assert front.server is not None
        return f"http://127.0.0.1:{front.server.port}"

    @property
    def cuttable_url(self) -> str:
        return f"http://127.0.0.1:{self.gap.port}"

    def call(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(CALL_S_MAX)

    def fault(self, kind: str, device: str, *, on: bool, **where: int) -> None:
        self.call(self.plant.ask("fault", kind=kind, device=device, on=on, **where))

    def audit(self) -> list[Any]:
        """The newest entries."""
        front = self.app.front
        assert front is not None
        assert front.access is not None
        return list(self.call(front.access.audit.read(limit=50)))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._operate())
        except BaseException as error:  # noqa: BLE001 - fate: raised again by start() in the test's thread
            self._problem = error
        finally:
            self._ready.set()

    async def _operate(self) -> None:
        self._stop = asyncio.Event()
        async with Simulators(SITE, SEED, SPEED, self._data / "simulators.log") as self.plant:
            loaded = load(SITE, {"STELLWERK_HTTP_PORT": "0", **self.plant.environment})
            assert loaded.site is not None, as_text(loaded.problems, loaded.sources)
            self.app = App(loaded.site, self._data, _log())
            runtime = self.app.runtime
            people = People(runtime.ask, lambda: runtime.kernel.state, SEED, SPEED)
            stream = Stream(0, SEED, SPEED, self._data / "inbox", self.plant, lambda: runtime.kernel.state)
            parts = [asyncio.create_task(self.app.run())]
            try:
                await self.app.ready.wait()
                await self._open()
                parts += [asyncio.create_task(people.run()), asyncio.create_task(stream.run())]
                self._ready.set()
                await self._stop.wait()
            finally:
                for part in reversed(parts):
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
                if hasattr(self, "gap"):
                    await self.gap.cut()

    async def _open(self) -> None:
        front = self.app.front
        assert front is not None
        assert front.server is not None
        assert front.access is not None
        while not front.server.port:  # noqa: ASYNC110 - the server sets no event
            await asyncio.sleep(0.01)
        for role in ("admin", "operator", "viewer"):
            await front.access.accounts.add(f"the-{role}", PASSWORD, role)  # type: ignore[arg-type]
        self.gap = Gap(front.server.port)
        await self.gap.join()
