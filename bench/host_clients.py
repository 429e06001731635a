"""A host of `bench.host`, in a process of its own: it creates orders over some connections that are kept alive.

    python -m bench.host_clients --port N --prefix TEXT [--path PATH] [--per-s N] [--seconds S] [--connections N]

The API key is `BENCH_KEY` of the environment. Prints READY when all connections stand, begins with a line on standard
input, and prints what came as JSON. With `--per-s` request n is planned for n / per-s seconds after the beginning, and
its time counts from then, also where no connection was free: a slow answer makes those behind it late, and that is
seen. With 0 each connection asks as soon as it is answered, and the time counts from the asking.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter, deque
from typing import cast

import httptools
import uvloop

from bench.quantile import quantile

LOADS, RACKS = 40, 4
TICK_S = 0.001
ANSWERS_S_MAX = 60.0
"""So long, after the last request was planned, answers are waited for."""


class Connection(asyncio.Protocol):
    """HTTP/1.1, one request at a time."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._number = 0
        self._from_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._orders.is_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._orders.lost(exc)

    def ask(self, number: int, from_s: float, data: bytes) -> None:
        self._number, self._from_s = number, from_s
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._orders.answered(self._number, self._from_s, self._parser.get_status_code())
        self._orders.is_free(self)

    def close(self) -> None:
        self._transport.close()


class Orders:
    """What is asked and what came. Order n is called `prefix` and n."""

    def __init__(self, path: str, prefix: str, key: str) -> None:
        self.prefix = prefix
        self.statuses: Counter[int] = Counter()
        self.refused: list[int] = []
        self.times_ms: list[float] = []
        """From the plan to the answer, of those that were accepted."""
        self.late_ms: list[float] = []
        """From the plan to the writing: what waited for a connection, and what this process itself was late."""
        self.asked = 0
        self.begun_s = self.ended_s = 0.0
        self.problem = ""
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nIdempotency-Key: "
        )
        self._free: deque[Connection] = deque()
        self._due: deque[tuple[int, float]] = deque()
        self._at_will_until_s = 0.0
        self._changed = asyncio.Event()

    @property
    def answers(self) -> int:
        return self.statuses.total()

    def is_free(self, connection: Connection) -> None:
        self._free.append(connection)
        self._go_on()

    def lost(self, error: Exception | None) -> None:
        self.problem = self.problem or f"a connection was closed: {error}"
        self._changed.set()

    def answered(self, number: int, from_s: float, status: int) -> None:
        self.ended_s = time.perf_counter()
        self.statuses[status] += 1
        if status == 201:
            self.times_ms.append((self.ended_s - from_s) * 1e3)
        else:
            self.refused.append(number)
        self._changed.set()

    async def offer(self, per_s: float, seconds: float) -> None:
        """Ask at a fixed pace, whatever the answers do."""
        self.begun_s = time.perf_counter()
        planned, count = 0, round(per_s * seconds)
        while planned < count:
            while planned < count and (at_s := self.begun_s + planned / per_s) <= time.perf_counter():
                self._due.append((planned, at_s))
                planned += 1
            self._go_on()
            await asyncio.sleep(TICK_S)
        await self._all_answered(count)

    async def at_will(self, seconds: float) -> None:
        """Ask as fast as answers come."""
        self.begun_s = time.perf_counter()
        self._at_will_until_s = self.begun_s + seconds
        self._go_on()
        await asyncio.sleep(seconds)
        await self._all_answered(self.asked)

    async def _all_answered(self, count: int) -> None:
        try:
            async with asyncio.timeout(ANSWERS_S_MAX):
                while self.answers < count and not self.problem:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self.problem = f"{count - self.answers} answers did not come"

    def _go_on(self) -> None:
        while self._free and self._due:
            number, planned_s = self._due.popleft()
            self.late_ms.append((time.perf_counter() - planned_s) * 1e3)
            self._ask(number, planned_s)
        while self._free and (now_s := time.perf_counter()) < self._at_will_until_s:
            self._ask(self.asked, now_s)

    def _ask(self, number: int, from_s: float) -> None:
        self.asked += 1
        self._free.popleft().ask(number, from_s, self._request(number))

    def _request(self, number: int) -> bytes:
        order, load, rack = f"{self.prefix}{number}", number % LOADS + 1, number % RACKS + 1
        body = f'{{"order":"{order}","steps":[{{"step":"go","kind":"move","load":"T{load}","to":"RACK-{rack}"}}]}}'
        return f"{self._head}{order}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode("ascii")

    def as_json(self) -> str:
        found = {
            "asked": self.asked, "statuses": self.statuses, "refused": self.refused, "problem": self.problem,
            "took_s": self.ended_s - self.begun_s, "times_ms": [round(ms, 3) for ms in self.times_ms],
            "late_p99_ms": quantile(self.late_ms, 0.99) if self.late_ms else 0.0,
        }  # fmt: skip
        return json.dumps(found)


async def _run(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    orders = Orders(options.path, options.prefix, os.environ.get("BENCH_KEY", ""))
    connections = [
        (await loop.create_connection(lambda: Connection(orders), "127.0.0.1", options.port))[1]
        for _ in range(options.connections)
    ]
    print("READY", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    if options.per_s:
        await orders.offer(options.per_s, options.seconds)
    else:
        await orders.at_will(options.seconds)
    print(orders.as_json(), flush=True)
    for connection in connections:
        connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--path", default="/api/v1/orders")
    parser.add_argument("--per-s", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=32)
    uvloop.run(_run(parser.parse_args()))
