"""The whole API over the real runtime of the demo site, with a key for each role."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from gateway.contract import AnnounceLoad
from gateway.host.access import ROLES, Access
from gateway.host.api import SCHEMA, Parts, Server, build
from gateway.host.plans import Plans
from gateway.host.store import Store
from gateway.shell.runtime import Runtime
from gateway.site import HttpSpec

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"
PASSWORD = "four words in a row"
FAST: dict[str, Any] = {
    "rate": {kind: {"per_s": 100_000, "burst": 1_000_000} for kind in ("reads", "writes", "logins")}
}
Wait = Callable[[Callable[[], bool]], Awaitable[None]]


@dataclass
class House:
    """A gateway with its API."""

    runtime: Runtime
    parts: Parts
    app: FastAPI
    keys: Mapping[str, str]
    log: structlog.testing.CapturingLogger
    _clients: list[httpx.AsyncClient] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def access(self) -> Access:
        return self.parts.access

    def client(self, role: str = "", peer: str = HERE, **headers: str) -> httpx.AsyncClient:
        """Whoever has a key of `role`, or nothing."""
        if role:
            headers["Authorization"] = f"Bearer {self.keys[role]}"
        transport = httpx.ASGITransport(self.app, client=(peer, 40_000), raise_app_exceptions=True)
        made = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)
        self._clients.append(made)
        return made

    async def load(self, name: str, location: str = "RACK-1") -> None:
        reply = await self.runtime.ask("test", f"load {next(self._numbers)}", AnnounceLoad(name, location))
        assert reply.accepted, reply.reason

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


def an_order(name: str, load: str = "L1", **more: Any) -> dict[str, Any]:
    return {"order": name, "steps": [{"step": "a", "kind": "move", "load": load, "to": "RACK-2"}], **more}


@pytest.fixture
def order_of() -> Callable[..., dict[str, Any]]:
    return an_order


Build = Callable[..., Awaitable[House]]


@pytest.fixture
async def house_of(running: Runtime, tmp_path: Path) -> AsyncIterator[Build]:
    """Makes a house with other parts or another `http:`."""
    made: list[tuple[House, Store]] = []

    async def build_one(spec: Mapping[str, Any] | None = None, **parts: Any) -> House:
        store = await Store.open(tmp_path / f"host{len(made)}.db", Access.SCHEMA, Plans.SCHEMA, SCHEMA)
        http = HttpSpec(**(FAST if spec is None else spec))
        access = await Access.open(store, http, running.now_ns)
        keys = {role: await access.keys.add(f"the-{role}", role) for role in ROLES}
        log = structlog.testing.CapturingLogger()
        plans = Plans(store, running)
        whole = Parts(running, access, store, plans, http, log, "Demo", "0.1", **parts)  # type: ignore[arg-type]
        house = House(running, whole, build(whole), keys, log)
        made.append((house, store))
        return house

    yield build_one
    for house, store in made:
        await house.close()
        await store.close()


@pytest.fixture
async def house(house_of: Build) -> House:
    return await house_of()


@pytest.fixture
async def served(house_of: Build, wait: Wait) -> AsyncIterator[tuple[House, int]]:
    """The same on a real port; nobody may look on without a key."""
    house = await house_of({**FAST, "anonymous_read": False})
    server = Server(house.app, HttpSpec(port=0), house.parts.log)
    task = asyncio.create_task(server.run())
    await wait(lambda: server.port > 0 or task.done())
    yield house, server.port
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
