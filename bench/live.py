"""The live feed under load: 200 WebSocket clients follow a moving fleet of 100, with 2,000 loads and 10,000 orders.

    python -m bench.live [--seconds S] [--clients N] [--deflate] [--json FILE]

The clients are a process of their own. Three rows, CPU each time that of the serving process alone: the feed as the
gateway offers it (uvicorn, Starlette, `gateway.host.live`); the same plant with nobody who follows; and bare
websockets, whose broadcast sends the same messages ten times a second to as many clients, with nothing computed.

A vehicle's position carries the time at which it was changed; at the clients it is held against the time of arrival.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as serve_bare

from bench.memory import watched
from bench.quantile import quantile
from gateway.contract import Effect, Ns, Reply, Request, Scalar
from gateway.devices import agv
from gateway.dispatch.state import Load, Order, Task, Trip
from gateway.host.live import Live
from gateway.host.live.topics import UNASKED
from gateway.kernel import Kernel
from gateway.site import Site

CLIENTS = 200
VEHICLES = 100
LOADS = 2_000
ORDERS = 10_000
SECONDS = 15.0
SETTLE_S = 2.0
MOVE_S = 0.1
NODES = [f"N{n}" for n in range(400)]
_ROOT = Path(__file__).resolve().parent.parent
Numbers = dict[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--deflate", action="store_true", help="compress, as browsers ask for: permessage-deflate")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    numbers = uvloop.run(_measure(options.clients, options.seconds, deflate=options.deflate))
    for name, value in numbers.items():
        print(f"{name:<36}{round(value, 3)!s:>16}")
    print(f"{options.clients} clients take {numbers['live_clients_cpu']:.0%} of a core (wanted: 30 % or less)")
    print(f"a change is with the client in {numbers['live.update_p95_ms']:.0f} ms at p95")
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0


class Plant:
    """A gateway whose fleet moves without a wire: a `Gate` for reading."""

    def __init__(self) -> None:
        self.kernel = Kernel(Site.model_validate({"site": {"id": "bench", "name": "Bench"}}))
        self.status = "healthy"
        self.telemetry: dict[str, dict[str, Scalar]] = {}
        self._random = random.Random(1)
        self._step = 0
        state = self.kernel.state
        for number in range(VEHICLES):
            name = f"V{number}"
            vehicle = state.agvs[name] = agv.new(name)
            vehicle.health.link, vehicle.health.reported, vehicle.state = "up", True, "driving"
            state.trips[name] = Trip(name, f"d{number}", NODES[:30], released=4)
            self.telemetry[name] = {"map": "floor"}
        for number in range(LOADS):
            name = f"T{number}"
            state.loads[name] = Load(name, number, f"R-{number}", (f"{number:018}", name), since_ns=self.now_ns())
        for number in range(ORDERS):
            name, steps = f"O{number}", [f"O{number}/a", f"O{number}/b"]
            order = state.orders[name] = Order(name, "wms", number, 3, None, steps, version=1)
            for step in steps:
                state.tasks[step] = Task(step, name, "move", f"T{number % LOADS}", "R-1", reason="not released yet")
            state.queue.append((*order.rank(), name))

    def now_ns(self) -> Ns:
        return time.time_ns()

    async def ask(self, client: str, request_id: str, request: Request) -> Reply:
        return Reply(client, request_id, False, f"{type(request).__name__}: nothing is asked of a bench", "unavailable")

    def listen(self, _listener: Callable[[int, int, Ns, Effect], None]) -> Callable[[], None]:
        return lambda: None

    def move(self) -> None:
        """All vehicles drive on; one in ten reaches a node, and 50 loads have been moved."""
        self._step += 1
        state = self.kernel.state
        for number in range(VEHICLES):
            name = f"V{number}"
            values = self.telemetry[name]
            values["x_mm"], values["y_mm"] = (self._step * 150 + number) % 90_000, number * 700
            values["theta_mrad"], values["speed_mm_s"] = self._step % 6_283, 1_400 + self._step % 200
            if self._random.random() < 0.1:
                trip = state.trips[name]
                trip.passed = (trip.passed + 1) % 25
                trip.released = trip.passed + 4
                state.agvs[name].last_node = trip.nodes[trip.passed]
        for number in self._random.sample(range(LOADS), 50):
            load = state.loads[f"T{number}"]
            load.location, load.since_ns = f"R-{self._random.randrange(LOADS)}", self.now_ns()
        state.now_ns, state.seq = self.now_ns(), state.seq + 1
        # As the driver would have it: a position with the time at which it came.
        self.telemetry["CLOCK"] = {"x_mm": time.monotonic_ns() // 1_000}

    async def run(self) -> None:
        while True:
            self.move()
            # Never in step with the feed, or each change would wait equally long.
            await asyncio.sleep(MOVE_S * self._random.uniform(0.5, 1.5))


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _together(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _serving(live: Live, *, deflate: bool) -> AsyncIterator[str]:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await live.serve(websocket, None)

    app = Starlette(routes=[WebSocketRoute("/api/v1/live", endpoint)])
    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_per_message_deflate=deflate, lifespan="off", log_config=None, access_log=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = _Uvicorn(config)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}/api/v1/live"
        finally:
            server.should_exit = True
            await task


class _Watchers:
    """The process with the clients."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, count: int, *, deflate: bool = False) -> _Watchers:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.live_clients", "--url", url, "--clients", str(count),
            *(["--deflate"] if deflate else []),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=_ROOT, limit=2**26,
        )  # fmt: skip
        assert process.stdout is not None
        if await process.stdout.readline() != b"READY\n":
            raise SystemExit("the clients did not come in")
        return cls(process)

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"count\n")

    async def end(self) -> tuple[int, int, list[float]]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"end\n")
        out, _ = await self._process.communicate()
        said = json.loads(out)
        return said["messages"], said["bytes"], said["times_ms"]


async def _share(seconds: float) -> float:
    """Of a core, that this process takes from now on."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)


async def _measure(clients: int, seconds: float, *, deflate: bool) -> Numbers:
    plant = Plant()
    live = Live(plant, plant.now_ns)
    moving = asyncio.create_task(plant.run())
    async with _together(moving, asyncio.create_task(live.run())), _serving(live, deflate=deflate) as url:
        idle = await _share(min(seconds, 5.0))
        watchers = await _Watchers.start(url, clients, deflate=deflate)
        await asyncio.sleep(SETTLE_S)
        watchers.begin()
        begun = live.feed.ring.seq
        async with watched() as memory:
            share = await _share(seconds)
        diffs = live.feed.ring.seq - begun
        messages, size_bytes, times_ms = await watchers.end()
    frames = [live.feed.ring.frame(seq, UNASKED) for seq in range(begun + 2, begun + diffs + 1)]
    bare = await _bare(clients, frames, seconds)
    turn_ms = _turns_ms(plant, live)
    return {
        "live_clients_cpu": share,
        "live.floor_nobody_cpu": idle,
        "live.floor_bare_broadcast_cpu": bare,
        "live.update_p50_ms": quantile(times_ms, 0.5),
        "live.update_p95_ms": quantile(times_ms, 0.95),
        "live.diffs_per_s": diffs / seconds,
        "live.messages_per_client_per_s": messages / clients / seconds,
        "live.bytes_per_message": size_bytes / max(messages, 1),
        "live.turn_p50_ms": quantile(turn_ms, 0.5),
        "live.turn_p95_ms": quantile(turn_ms, 0.95),
        **memory.figures("live"),
    }


def _turns_ms(plant: Plant, live: Live) -> list[float]:
    """How long one look and one diff take, with nobody on the wire."""
    live.feed.follow(UNASKED)
    times = []
    for _ in range(100):
        plant.move()
        began_s = time.perf_counter()
        live.feed.turn()
        times.append((time.perf_counter() - began_s) * 1e3)
    live.feed.leave(UNASKED)
    return times[5:]


async def _bare(clients: int, frames: list[str], seconds: float) -> float:
    inside: set[ServerConnection] = set()

    async def take(connection: ServerConnection) -> None:
        inside.add(connection)
        try:
            await connection.wait_closed()
        finally:
            inside.discard(connection)

    async def send() -> None:
        place = 0
        while True:
            broadcast(inside, frames[place % len(frames)])
            place += 1
            await asyncio.sleep(MOVE_S)

    async with serve_bare(take, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        watchers = await _Watchers.start(f"ws://127.0.0.1:{port}/", clients)
        async with _together(asyncio.create_task(send())):
            await asyncio.sleep(1.0)
            watchers.begin()
            share = await _share(seconds)
        await watchers.end()
    return share


if __name__ == "__main__":
    sys.exit(main())
