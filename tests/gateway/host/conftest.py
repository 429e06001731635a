"""The one way in which tests here wait, and a gateway in operation without a plant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog

from gateway.kernel import Kernel
from gateway.shell.config import load
from gateway.shell.inbox import Inbox
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.runtime import Runtime
from gateway.site import Site

WAIT_S = 10.0
DEMO = Path(__file__).parents[3] / "config" / "demo"


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds; fails after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def operate(site: Site) -> AsyncIterator[Runtime]:
    """The real runtime of a site on a journal in memory. No device is connected: whatever they would say is put into
    `inbox` by the test."""
    log = structlog.testing.CapturingLogger()
    runtime = Runtime(Kernel(site), MemoryJournal(), Inbox(log), {}, log)  # type: ignore[arg-type]
    task = asyncio.create_task(runtime.run("test"))
    try:
        await wait_until(lambda: runtime.kernel.state.epoch > 0 or task.done())
        yield runtime
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def wait() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    return wait_until


@pytest.fixture(scope="session")
def demo_site() -> Site:
    loaded = load(DEMO, env={})
    assert loaded.site is not None, loaded.problems
    return loaded.site


@pytest.fixture
async def running(demo_site: Site) -> AsyncIterator[Runtime]:
    """The demo site in operation: a `Gate`."""
    async with operate(demo_site) as runtime:
        yield runtime
