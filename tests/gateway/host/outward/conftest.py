"""Fixtures of the outward tests; what they are made of is in outward_rig.py."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

sys.path.insert(0, str(Path(__file__).parent))

from outward_rig import Host, House, Kernelspeak

from gateway.kernel import Kernel
from gateway.shell.inbox import Inbox
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.runtime import Runtime
from gateway.site import Site


@pytest.fixture
async def host(free_port: Callable[[], int]) -> AsyncIterator[Host]:
    host = Host(free_port())
    await host.open()
    yield host
    await host.close()


@pytest.fixture
def resting(demo_site: Site) -> Runtime:
    """The demo site's gateway, not started: its kernel is where a test says that it is."""
    log: Any = structlog.testing.CapturingLogger()
    return Runtime(Kernel(demo_site), MemoryJournal(), Inbox(log), {}, log)


@pytest.fixture
async def house(resting: Runtime, tmp_path: Path) -> AsyncIterator[House]:
    house = House(resting, tmp_path)
    yield house
    await house.close()


@pytest.fixture
def kernel(resting: Runtime) -> Kernelspeak:
    return Kernelspeak(resting)
