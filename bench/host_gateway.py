"""The gateway of `bench.host`, whole and in this process: journal and host file on disk, API on loopback, a webhook.

It is the demo site whose devices are on no wire; `orders_open_max` alone is raised, for a bench piles up more orders
than a site has open. Log, event loop and all limits are those of `stellwerk run`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from bench.host_clients import LOADS, RACKS
from gateway.app import App
from gateway.contract import AnnounceLoad
from gateway.dispatch.state import State
from gateway.shell import logs
from gateway.shell.config import load
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.shell.recovery import restore
from gateway.site import DeviceSpec, HttpSpec, OutwardSpec, Profile, Site

DEMO_SITE = Path(__file__).resolve().parent.parent / "config" / "demo"
ORDERS_OPEN_MAX = 200_000
BATCH = 100
READY_S_MAX = 60.0
CAUGHT_UP_S_MAX = 300.0
HOST = "wms"
_ROOT = Path(__file__).resolve().parent.parent
Numbers = dict[str, float]


class Stalls:
    """What stops the event loop: full garbage collections and the encoding of snapshots, the longest of each."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self.collections = self.snapshots = 0
        self.collection_max_ms = self.snapshot_max_ms = 0.0

    def collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_s = time.perf_counter()
        elif info["generation"] == 2:
            self.collections += 1
            self.collection_max_ms = max(self.collection_max_ms, (time.perf_counter() - self._began_s) * 1e3)

    def watch_snapshots(self, app: App) -> None:
        """Stands before the kernel's own."""
        taken = app.runtime.kernel.snapshot

        def snapshot() -> bytes:
            began_s = time.perf_counter()
            found = taken()
            self.snapshots += 1
            self.snapshot_max_ms = max(self.snapshot_max_ms, (time.perf_counter() - began_s) * 1e3)
            return found

        app.runtime.kernel.snapshot = snapshot  # type: ignore[method-assign]

    def figures(self) -> Numbers:
        return {
            "full_collections": self.collections,
            "full_collection_max_ms": self.collection_max_ms,
            "snapshots": self.snapshots,
            "snapshot_encode_max_ms": self.snapshot_max_ms,
        }


class Hook:
    """The process that takes webhooks: `bench.outbox_host`, which checks signatures, order and doubles."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, port: int, secret: str) -> Hook:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.outbox_host", str(port), stdin=pipe, stdout=pipe, cwd=_ROOT,
            env={**os.environ, "BENCH_SECRET": secret},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        if await process.stdout.readline() != b"READY\n":
            raise SystemExit("the host for webhooks did not start")
        process.stdin.write(b"open\n")
        return cls(process)

    async def end(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        out, _ = await self._process.communicate()
        found: dict[str, Any] = json.loads(out)
        return found


class Hosted:
    """A gateway in operation. `key` is an operator's for the API at `port`; `told` is there once it has stopped."""

    def __init__(self, app: App, port: int, key: str, stalls: Stalls) -> None:
        self.app = app
        self._port = port
        self.key = key
        self.stalls = stalls
        self.told: dict[str, Any] = {}

    @property
    def port(self) -> int:
        return self._port

    async def all_told(self) -> float:
        """Seconds until the webhook's host has been told of everything."""
        outward, begun_s = self._outward(), time.perf_counter()
        async with asyncio.timeout(CAUGHT_UP_S_MAX):
            while (await outward.figures())[0].waiting:  # noqa: ASYNC110 - figures have no event
                await asyncio.sleep(0.05)
        return time.perf_counter() - begun_s

    def _outward(self) -> Any:
        assert self.app.front is not None
        (heard,) = self.app.front.listeners
        return heard.__self__  # type: ignore[attr-defined]


def demo_site(folder: Path, hook_port: int, changed: DeviceSpec | None, profile: Profile | None) -> Site:
    """The demo site as the bench wants it. `changed` takes the place of the device of its id, on its real driver."""
    loaded = load(DEMO_SITE, {})
    assert loaded.site is not None, "the demo site has errors: run stellwerk check config/demo"
    site = loaded.site
    hook = {
        "id": "host", "url": f"http://127.0.0.1:{hook_port}/events", "secret_file": str(folder / "secret"),
        "events": ["order"], "batch_max": BATCH,
    }  # fmt: skip
    devices: list[DeviceSpec] = []
    for spec in site.devices:
        if changed is not None and spec.id == changed.id:
            devices.append(changed)
        else:
            devices.append(spec if spec.type == "workstation" else spec.model_copy(update={"driver": "loopback"}))
    profiles = [p for p in site.profiles if profile is None or p.profile != profile.profile]
    return site.model_copy(
        update={
            "devices": tuple(devices),
            "profiles": (*profiles, *([profile] if profile is not None else [])),
            "policies": site.policies.model_copy(update={"orders_open_max": ORDERS_OPEN_MAX}),
            "http": HttpSpec(port=0),
            "outward": OutwardSpec.model_validate({"webhooks": [hook]}),
        }
    )


@contextlib.asynccontextmanager
async def operating(
    folder: Path, changed: DeviceSpec | None = None, profile: Profile | None = None
) -> AsyncIterator[Hosted]:
    """A new gateway with its data in `folder`; it has stopped, and its host has been told all, when the block ends."""
    secret = _secret_in(folder)
    hook_port = _free_port()
    site, stalls = demo_site(folder, hook_port, changed, profile), Stalls()
    hook = await Hook.start(hook_port, secret)
    app = App(site, folder / "data", logs.get())
    stalls.watch_snapshots(app)
    task = asyncio.create_task(app.run())
    hosted: Hosted | None = None
    gc.callbacks.append(stalls.collected)
    try:
        hosted = await _ready(app, task, stalls)
        yield hosted
        if not task.done():
            await hosted.all_told()
    finally:
        gc.callbacks.remove(stalls.collected)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        told = await hook.end()
        if hosted is not None:
            hosted.told = told
        # What this one has left behind would else be kept by the start of the next one.
        gc.unfreeze()
        gc.collect()


async def _ready(app: App, task: asyncio.Task[None], stalls: Stalls) -> Hosted:
    async with asyncio.timeout(READY_S_MAX):
        while not (app.front and app.front.server and app.front.server.port and app.runtime.kernel.state.epoch):
            if task.done():
                task.result()
                raise SystemExit("the gateway has ended")
            await asyncio.sleep(0.01)
    assert app.front.access is not None
    for number in range(1, LOADS + 1):
        reply = await app.runtime.ask(HOST, f"load-{number}", AnnounceLoad(f"T{number}", f"RACK-{number % RACKS + 1}"))
        assert reply.accepted, reply.reason
    key = await app.front.access.keys.add(HOST, "operator")
    return Hosted(app, app.front.server.port, key, stalls)


async def state_on_disk(folder: Path) -> State:
    """What the journal of a gateway that has stopped gives back."""
    site = demo_site(folder, 1, None, None)
    journal = SqliteJournal.open(folder / "data" / "journal", site.site.id)
    try:
        return restore(site, journal).kernel.state
    finally:
        await journal.close()


def missing(state: State, acknowledged: Sequence[str]) -> list[str]:
    """Those of the acknowledged orders that `state` does not have."""
    return [order for order in acknowledged if order not in state.orders]


def _secret_in(folder: Path) -> str:
    folder.mkdir()
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    (folder / "secret").write_text(f"{secret}\n", encoding="ascii")
    return secret


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
