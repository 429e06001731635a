"""A runtime on loopback drivers and a journal in memory, and the one way in which tests here wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog

from drivers.loopback import LoopbackDriver
from gateway.devices.conveyor import ConveyorReport, Zone
from gateway.devices.echo import Echo
from gateway.kernel import Kernel
from gateway.shell.config import load
from gateway.shell.inbox import Inbox
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.recovery import replay
from gateway.shell.runtime import Runtime
from gateway.site import Site

WAIT_S = 10.0

YAML = """
site: {id: small, name: One conveyor}
locations:
  - {id: IN, kind: transfer}
  - {id: OUT, kind: transfer}
devices:
  - {id: C1, type: conveyor, driver: loopback, profile: stellwerk-conveyor, zones: 3,
     runs: [{from: IN, to: OUT, zone_first: 1, zone_last: 3, loads_max: 3}]}
"""


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds; fails after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


def shown(*zones: Zone, echo: Echo | None = None) -> ConveyorReport:
    """A conveyor in Execute with these zones, the rest of the three empty."""
    return ConveyorReport(1, echo or Echo(), 6, 1, (*zones, *[Zone()] * (3 - len(zones))))


class Bench:
    """One gateway process after the other on the same journal."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.journal = MemoryJournal()
        self.log = structlog.testing.CapturingLogger()
        self.inbox: Inbox
        self.driver: LoopbackDriver
        self.runtime: Runtime

    def build(self) -> None:
        """What app.App does, with a loopback driver and the journal in memory."""
        self.journal.reopen()
        newest = self.journal.latest_snapshot()
        kernel = Kernel(self.site) if newest is None else Kernel.restore(self.site, newest[1])
        replay(kernel, self.journal, newest[0] if newest else 0)
        self.inbox = Inbox(self.log)  # type: ignore[arg-type]
        self.driver = LoopbackDriver("C1", self.inbox)
        self.runtime = Runtime(kernel, self.journal, self.inbox, {"C1": self.driver}, self.log)  # type: ignore[arg-type]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.build()
        epoch = self.runtime.kernel.state.epoch
        task = asyncio.create_task(self.runtime.run("test"))
        try:
            await wait_until(lambda: self.runtime.kernel.state.epoch > epoch or task.done())
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def said(self, event: str) -> list[dict[str, object]]:
        return [call.kwargs for call in self.log.calls if call.args == (event,)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "site.yaml").write_text(YAML, encoding="utf-8")
    loaded = load(tmp_path, env={})
    assert loaded.site is not None, loaded.problems
    return Bench(loaded.site)


@pytest.fixture
def wait() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    return wait_until


@pytest.fixture
def conveyor() -> Callable[..., ConveyorReport]:
    return shown
