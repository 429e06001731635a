"""Clients of `bench.live`, in a process of their own: they follow, say what they got and how late it was.

    python -m bench.live_clients --url URL --clients N [--deflate]

READY on standard output when all are in; ends with standard input. The last line has, as JSON, messages, bytes and
times in milliseconds from a change to its arrival, of every tenth client. The change is stamped in the position of one
vehicle: `x_mm` is microseconds of the machine's steady clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time

import uvloop
from websockets.asyncio.client import connect

TIMES_MAX = 200_000
STAMP = re.compile(r'"CLOCK":\{"x_mm":(\d+)')


class Clients:
    """What they got, together."""

    def __init__(self, url: str, *, deflate: bool) -> None:
        self._url = url
        self._compression = "deflate" if deflate else None
        self.inside = 0
        self.messages = 0
        self.size_bytes = 0
        self.times_ms: list[float] = []
        self.counts = False

    async def follow(self, *, timed: bool) -> None:
        async with connect(self._url, compression=self._compression, ping_interval=None, max_size=None) as connection:
            self.inside += 1
            async for text in connection:
                if not self.counts:
                    continue
                self.messages += 1
                self.size_bytes += len(text)
                if timed and isinstance(text, str) and len(self.times_ms) < TIMES_MAX:
                    stamp = STAMP.search(text)
                    if stamp is not None:
                        self.times_ms.append(time.monotonic_ns() / 1e6 - int(stamp[1]) / 1e3)


async def _run(url: str, count: int, *, deflate: bool) -> None:
    clients = Clients(url, deflate=deflate)
    tasks = [asyncio.create_task(clients.follow(timed=number % 10 == 0)) for number in range(count)]
    async with asyncio.timeout(60):
        while clients.inside < count:  # noqa: ASYNC110 - they set no event
            await asyncio.sleep(0.05)
    print("READY", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    clients.counts = True
    await asyncio.to_thread(sys.stdin.readline)
    said = {"messages": clients.messages, "bytes": clients.size_bytes, "times_ms": clients.times_ms}
    print(json.dumps(said), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--deflate", action="store_true")
    options = parser.parse_args()
    uvloop.run(_run(options.url, options.clients, deflate=options.deflate))
