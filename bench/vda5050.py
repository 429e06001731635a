"""The VDA 5050 driver under full load: 1,000 vehicles that say their state five times a second, over Mosquitto.

    python -m bench.vda5050 [--seconds S] [--vehicles N] [--json FILE]

Broker and fleet (`bench.vda5050_fleet`) are processes of their own. Two rows take the same stream of states of 2 kB
for so many seconds: the driver as the gateway uses it, and bare aiomqtt that only counts the messages. CPU is that of
the receiving process alone. One state in ten is a change that the kernel has to hear of; it carries the time at which
it was handed to the fleet's socket, and is timed to the moment at which the report is posted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import uvloop

from bench.memory import watched
from bench.running import running
from bench.vda5050_fleet import MANUFACTURER
from drivers.vda5050.driver import VdaDriver
from gateway.contract import LinkChanged, Report
from gateway.site import AgvSpec, Profile

VEHICLES = 1_000
STATES_A_VEHICLE_PER_S = 5
CHANGED_SHARE = 0.1
SECONDS = 10.0
READY_S_MAX = 60.0
SETTLE_S = 1.0
TENTHS_MAX = 50_000
"""5 s; what took longer counts as that."""
_ROOT = Path(__file__).resolve().parent.parent
_BROKER = """listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
"""
Numbers = dict[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where states were lost, 2 where there is no Mosquitto."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--vehicles", type=int, default=VEHICLES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if mosquitto is None:
        sys.stderr.write("there is no mosquitto on this machine: apt-get install mosquitto\n")
        return 2
    with _broker(mosquitto) as port:
        numbers = uvloop.run(_measure(port, options.vehicles, options.seconds))
    for name, value in numbers.items():
        print(f"{name:<36}{round(value, 3)!s:>16}")
    share = numbers["vda5050.core_share"]
    print(f"{options.vehicles:,} vehicles take {share:.0%} of a core (wanted: half a core or less)")
    print(f"a changed state is with the kernel in {numbers['vda5050.change_p99_ms']:.1f} ms at p99 (wanted: 20 ms)")
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0 if numbers["vda5050.lost"] == 0 else 1


@contextlib.contextmanager
def _broker(mosquitto: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="bench-broker-") as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(_BROKER.format(port=port), encoding="utf-8")
        with subprocess.Popen([mosquitto, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
            end_s = time.monotonic() + 10
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if time.monotonic() > end_s:
                    raise SystemExit("mosquitto did not start")
                time.sleep(0.05)
            try:
                yield port
            finally:
                process.terminate()


class _Fleet:
    """The sending process: `counts` are those of its last line, states and changes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, port: int, interface: str, vehicles: int) -> _Fleet:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.vda5050_fleet", "--port", str(port), "--interface", interface,
            "--vehicles", str(vehicles), "--per-s", str(vehicles * STATES_A_VEHICLE_PER_S),
            "--share", str(CHANGED_SHARE), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=_ROOT,
        )  # fmt: skip
        assert process.stdout is not None
        if await process.stdout.readline() != b"READY\n":
            raise SystemExit("the fleet did not start")
        return cls(process)

    def begin(self) -> None:
        """From now on some states are changes."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def end(self) -> tuple[int, int]:
        assert self.process.stdin is not None
        self.process.stdin.close()
        out, _ = await self.process.communicate()
        sent, changes = out.split()
        return int(sent), int(changes)


class _Times:
    """Times by tenths of a millisecond: a list of them would grow, where it is to be seen whether the driver does."""

    def __init__(self) -> None:
        self._counts = [0] * (TENTHS_MAX + 1)
        self.count = 0

    def add(self, time_ns: int) -> None:
        self._counts[min(time_ns // 100_000, TENTHS_MAX)] += 1
        self.count += 1

    def begin(self) -> None:
        self._counts = [0] * (TENTHS_MAX + 1)
        self.count = 0

    def quantile_ms(self, share: float) -> float:
        """By nearest rank, rounded up to a tenth."""
        left = max(1, math.ceil(share * self.count))
        for tenth, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return (tenth + 1) / 10
        raise ValueError("no times")


class _Sink:
    """What the kernel would get, with the time that each change took."""

    def __init__(self) -> None:
        self.up: set[str] = set()
        self.times = _Times()
        self.changes = 0
        self.bad = 0

    def post(self, body: Any) -> None:
        if isinstance(body, Report):
            said_ns = int(body.data.last_node[1:])
            if said_ns:
                self.changes += 1
                self.times.add(time.monotonic_ns() - said_ns)
        elif isinstance(body, LinkChanged) and body.state == "up":
            self.up.add(body.device)

    def telemetry(self, *_: object) -> None:
        """Positions are for the live view."""

    def bad_value(self, *_: object) -> None:
        self.bad += 1


async def _measure(port: int, vehicles: int, seconds: float) -> Numbers:
    bare = await _bare(port, vehicles, seconds)
    return {**await _driver(port, vehicles, seconds), **bare}


async def _driver(port: int, vehicles: int, seconds: float) -> Numbers:
    sink = _Sink()
    profile = Profile.model_validate(
        {"profile": "bench", "device_type": "agv", "protocol": "vda5050", "handshake": {"stale_ms": 30_000}}
    )
    specs = [_spec(n, port, "benchdriver") for n in range(vehicles)]
    driver = VdaDriver(specs, {"bench": profile}, sink, time.time_ns, lambda: "2026-01-01T00:00:00.000Z",
                       rng=random.Random(1))  # fmt: skip
    async with running(driver):
        fleet = await _Fleet.start(port, "benchdriver", vehicles)
        async with asyncio.timeout(READY_S_MAX):
            while len(sink.up) < vehicles:  # noqa: ASYNC110 - a sink has no event
                await asyncio.sleep(0.05)
        fleet.begin()
        await asyncio.sleep(SETTLE_S)
        sink.times.begin()
        before = _heard(driver)
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        async with watched() as memory:
            await asyncio.sleep(seconds)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        states, changes, bad = _heard(driver) - before, sink.times.count, sink.bad
        p50_ms, p99_ms = sink.times.quantile_ms(0.5), sink.times.quantile_ms(0.99)
        _, said = await fleet.end()
        await asyncio.sleep(SETTLE_S)
        lost = said - sink.changes
    return {
        "vda5050.states_per_s_per_core": states / cpu_s,
        "vda5050.core_share": cpu_s / wall_s,
        "vda5050.us_per_state": cpu_s / states * 1e6,
        "vda5050.states_per_s": states / wall_s,
        "vda5050.change_p50_ms": p50_ms,
        "vda5050.change_p99_ms": p99_ms,
        "vda5050.changes": changes,
        "vda5050.lost": lost,
        "vda5050.bad_values": bad,
        **memory.figures("vda5050"),
    }


def _heard(driver: VdaDriver) -> int:
    return sum(figures.messages_in for figures in driver.figures())


def _spec(number: int, port: int, interface: str) -> AgvSpec:
    return AgvSpec.model_validate(
        {
            "id": f"A{number}", "type": "agv", "driver": "vda5050", "profile": "bench", "home": "H",
            "connection": {"port": port, "interface": interface, "manufacturer": MANUFACTURER, "serial": f"v{number}"},
        }
    )  # fmt: skip


async def _bare(port: int, vehicles: int, seconds: float) -> Numbers:
    """aiomqtt alone: one subscription for all states, nothing decoded."""
    count = 0

    async def take(client: aiomqtt.Client) -> None:
        nonlocal count
        async for _ in client.messages:
            count += 1

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("benchbare/#")
        taking = asyncio.create_task(take(client))
        fleet = await _Fleet.start(port, "benchbare", vehicles)
        await asyncio.sleep(SETTLE_S)
        before, cpu_s, wall_s = count, time.process_time(), time.perf_counter()
        await asyncio.sleep(min(seconds, SECONDS))
        cpu_s, wall_s, taken = time.process_time() - cpu_s, time.perf_counter() - wall_s, count - before
        await fleet.end()
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
    return {
        "vda5050.floor_states_per_s_per_core": taken / cpu_s,
        "vda5050.floor_core_share": cpu_s / wall_s,
        "vda5050.floor_us_per_state": cpu_s / taken * 1e6,
    }


if __name__ == "__main__":
    sys.exit(main())
