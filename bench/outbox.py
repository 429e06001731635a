"""A host that was away for an hour: how long until it has caught up, in order.

    python -m bench.outbox [--events N] [--json FILE]

1,000 events a minute for an hour are 60,000: 10,000 orders of six events each, many open at a time, kept on the disk
while nobody listens at the host's address. Then the host (`bench.outbox_host`, another process) opens it. Two rows:
a request for each event, and lists of up to 100 events a request. `bare_httpx` is the floor: the same requests by httpx
alone, signed, with nothing kept and nothing in order.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import structlog
import uvloop

from gateway.contract import OrderEvent
from gateway.host.outward import Outward
from gateway.host.outward.event import event_of
from gateway.host.outward.signature import sign
from gateway.host.store import Store
from gateway.kernel import Kernel
from gateway.shell.config import load
from gateway.shell.inbox import Inbox
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.runtime import Runtime
from gateway.site import OutwardSpec, Site

EVENTS = 60_000
EVENTS_AN_ORDER = 6
OPEN_ORDERS = 500
PER_MINUTE = 1_000
BATCH = 100
IN_FLIGHT = 8
WANTED_S = 60.0
CAUGHT_UP_S_MAX = 600.0
STATES = ("created", "released", "started", "interrupted", "started", "finished")
_ROOT = Path(__file__).resolve().parent.parent
Numbers = dict[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where an event was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    numbers = uvloop.run(_measure(options.events))
    for name, value in numbers.items():
        print(f"{name:<36}{round(value, 3)!s:>16}")
    took_s = numbers["outbox_catchup_s"]
    print(
        f"{options.events:,} events are caught up in {took_s:.1f} s, one a request (wanted: {WANTED_S:.0f} s or less)"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    wrong = ("lost", "doubled", "order_violations", "unsigned")
    return int(any(value for name, value in numbers.items() if name.endswith(wrong)))


async def _measure(events: int) -> Numbers:
    loaded = load(_ROOT / "config" / "demo", {})
    assert loaded.site is not None
    with tempfile.TemporaryDirectory(prefix="bench-outbox-") as scratch:
        single = await _catch_up(loaded.site, Path(scratch) / "single", events, 1)
        lists = await _catch_up(loaded.site, Path(scratch) / "lists", events, BATCH)
        floor = await _bare(events // 10)
    return {
        "outbox_catchup_s": single["catchup_s"],
        **{f"outbox.{name}": value for name, value in single.items()},
        **{f"outbox.lists_of_{BATCH}.{name}": value for name, value in lists.items()},
        "outbox.bare_httpx_events_per_s": floor,
    }


class _Host:
    """The receiving process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, port: int, secret: str) -> _Host:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.outbox_host", str(port), stdin=pipe, stdout=pipe, cwd=_ROOT,
            env={**os.environ, "BENCH_SECRET": secret},
        )  # fmt: skip
        assert process.stdout is not None
        if await process.stdout.readline() != b"READY\n":
            raise SystemExit("the host did not start")
        return cls(process)

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)

    async def count(self) -> int:
        assert self.process.stdout is not None
        self.say(b"count\n")
        return int(await self.process.stdout.readline())

    async def end(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.close()
        out, _ = await self.process.communicate()
        found: dict[str, Any] = json.loads(out)
        return found


async def _catch_up(site: Site, folder: Path, events: int, batch: int) -> Numbers:
    port, secret = _free_port(), _secret_in(folder)
    hook = {
        "id": "host", "url": f"http://127.0.0.1:{port}/events", "secret_file": str(folder / "secret"),
        "batch_max": batch, "in_flight_max": IN_FLIGHT, "backoff_max_s": 1,
    }  # fmt: skip
    spec = OutwardSpec.model_validate({"webhooks": [hook], "memory_max": events + 1})
    log: Any = structlog.testing.CapturingLogger()
    gate = Runtime(Kernel(site), MemoryJournal(), Inbox(log), {}, log)
    store = await Store.open(folder / "host.sqlite", Outward.SCHEMA)
    outward = await Outward.open(store, spec, site, gate, log)
    host = await _Host.start(port, secret)
    task = asyncio.create_task(outward.run())
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    # An hour's events, a minute's at a time: they are durable before the next ones come.
    stream = _events(events)
    while minute := list(itertools.islice(stream, PER_MINUTE)):
        for seq, at_ns, event in minute:
            outward.heard(seq, 0, at_ns, event)
        await outward.flush()
    kept_s, kept_cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    host.say(b"open\n")
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.timeout(CAUGHT_UP_S_MAX):
        while (await outward.figures())[1].waiting:  # noqa: ASYNC110 - figures have no event
            await asyncio.sleep(0.2)
    took_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()
    found = await host.end()
    return {
        "catchup_s": took_s,
        "events_per_s": events / took_s,
        "order_violations": found["violations"],
        "lost": events - found["events"],
        "doubled": found["doubled"],
        "unsigned": found["unsigned"],
        "requests": found["requests"],
        "catchup_us_cpu_per_event": cpu_s / events * 1e6,
        "kept_events_per_s": events / kept_s,
        "kept_us_cpu_per_event": kept_cpu_s / events * 1e6,
    }


def _events(count: int) -> Any:
    """(seq, time, event): six versions an order, OPEN_ORDERS orders under way at a time."""
    seq, first = 0, 0
    while seq < count:
        for version, state in enumerate(STATES, 1):
            for order in range(first, first + OPEN_ORDERS):
                if seq == count:
                    return
                seq += 1
                yield seq, time.time_ns(), OrderEvent(f"O{order}", state, client="wms", version=version)
        first += OPEN_ORDERS


def _secret_in(folder: Path) -> str:
    folder.mkdir()
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    (folder / "secret").write_text(f"{secret}\n", encoding="ascii")
    return secret


async def _bare(events: int) -> float:
    """Events a second by httpx alone, with as many in flight."""
    port, key = _free_port(), secrets.token_bytes(32)
    host = await _Host.start(port, f"whsec_{base64.b64encode(key).decode()}")
    host.say(b"open\n")
    await host.count()
    stream = iter([(s, event_of("bench", 0, s, 0, a, e)) for s, a, e in _events(events)])
    url = f"http://127.0.0.1:{port}/events"
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def send() -> None:
            for seq, event in stream:
                assert event is not None
                message_id, now_s = f"bench_{seq}", int(time.time())
                headers = {
                    "Webhook-Id": message_id,
                    "Webhook-Timestamp": str(now_s),
                    "Webhook-Signature": sign([key], message_id, now_s, event.body),
                }
                (await client.post(url, content=event.body, headers=headers)).raise_for_status()

        begun_s = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))
        took_s = time.perf_counter() - begun_s
    await host.end()
    return events / took_s


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
