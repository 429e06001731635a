"""The Modbus driver under full load: 100,000 registers over 8 connections every 100 ms, and writes in between.

    python -m bench.modbus [--seconds S] [--changing N] [--json FILE]

The plant is `bench.modbus_server` in a process of its own. Three rows read the same blocks of 125 registers, each for
so many seconds: the driver as the gateway uses it (replies checked, changes decoded, reports made), bare pymodbus on
the same loop (nothing decoded beyond its own), and libmodbus in C where gcc and libmodbus-dev are there. CPU is that of
the reading process alone. A write is a whole command through `send`, from the call to the device's answer; its floor is
bare pymodbus writing the same registers on an idle connection. Registers that change: `changing` of each device, every
100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop
from pymodbus.client import AsyncModbusTcpClient

from bench.memory import watched
from bench.quantile import quantile
from bench.running import running
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.wire import Wires
from gateway.contract import Command
from gateway.devices.conveyor import Induct
from gateway.site import ConveyorSpec, Profile

CONNECTIONS = 8
TAGS = 100_000
PERIOD_MS = 100
BLOCK = 125
SECONDS = 10.0
WRITE_EVERY_S = 0.02
READY_S_MAX = 20.0
_HERE = Path(__file__).resolve().parent
Numbers = dict[str, float | str | None]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where the driver did not read as often as asked or a write failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--changing", type=int, default=125, help="registers a device that change every 100 ms")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    with subprocess.Popen(
        [sys.executable, "-m", "bench.modbus_server", "--changing", str(options.changing)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_HERE.parent,
    ) as plant:  # fmt: skip
        assert plant.stdout is not None
        port = int(plant.stdout.readline())
        numbers = uvloop.run(_measure(port, options.seconds))
        numbers.update(_c_floor(port))
        assert plant.stdin is not None
        plant.stdin.close()
    _print(numbers)
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    kept_up = isinstance(numbers["modbus.polls_share"], float) and numbers["modbus.polls_share"] > 0.9
    return 0 if kept_up and not numbers["modbus.writes_failed"] else 1


# --- the driver ---


class _Sink:
    """Counts what the kernel would get."""

    def __init__(self) -> None:
        self.reports = self.bad = 0
        self.up: set[str] = set()

    def post(self, body: Any) -> None:
        name = type(body).__name__
        self.reports += name == "Report"
        if name == "LinkChanged" and body.state == "up":
            self.up.add(body.device)

    def telemetry(self, *_: object) -> None:
        """None comes from a conveyor."""

    def bad_value(self, *_: object) -> None:
        self.bad += 1


def _profile() -> Profile:
    """100 blocks of 125 registers a device: the conveyor's own, and plain words for the rest."""
    word = {"type": "uint16", "table": "holding"}
    head = [
        {"name": name, "address": at, **word, "type": kind}
        for name, at, kind in (
            ("hb_plc", 0, "uint16"), ("boot_id", 1, "uint16"), ("epoch", 2, "uint32"), ("ack_seq", 4, "uint32"),
            ("done_seq", 6, "uint32"), ("result", 8, "uint16"), ("state", 9, "uint16"), ("mode", 10, "uint16"),
        )
    ]  # fmt: skip
    mailbox = [
        {"name": name, "address": at, **word, "type": kind, "access": "write"}
        for name, at, kind in (
            ("hb_gw", 20_000, "uint16"), ("cmd_epoch", 20_001, "uint32"), ("cmd_code", 20_003, "uint16"),
            ("cmd_zone", 20_004, "uint16"), ("cmd_track_id", 20_005, "uint32"), ("cmd_seq", 20_007, "uint32"),
        )
    ]  # fmt: skip
    flags = ("occupied", "running", "held", "jam_at_arrival", "jam_at_sensor", "fault")
    zone: list[dict[str, Any]] = [
        {"name": flag, "type": "bool", "table": "holding", "address": 11, "bit": bit} for bit, flag in enumerate(flags)
    ]
    zone += [{"name": name, "address": at, **word} for name, at in (("arrivals", 12), ("departures", 13))]
    zone.append({"name": "track_id", "address": 14, **word, "type": "uint32"})
    words = [{"name": f"w{n}", "address": 16 + n, **word} for n in range(12)]
    rest = TAGS // CONNECTIONS - 16 - 12 * 1000
    return Profile.model_validate(
        {
            "profile": "bench", "device_type": "conveyor", "protocol": "modbus", "fast_poll_ms": PERIOD_MS,
            "signals": head + mailbox,
            "groups": [
                {"group": "zone", "count": "zones", "stride": 8, "signals": zone},
                {"group": "tag", "count": 1000, "stride": 12, "signals": words},
                {"group": "more", "count": rest, "stride": 1, "signals": [{"name": "w", "address": 12_016, **word}]},
            ],
            "handshake": {"stale_ms": 3000},
        }
    )  # fmt: skip


def _spec(number: int, port: int) -> ConveyorSpec:
    return ConveyorSpec.model_validate(
        {
            "id": f"C{number}", "type": "conveyor", "driver": "modbus", "profile": "bench", "zones": 1,
            "connection": {"host": f"127.0.0.{number + 1}", "port": port},
            "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 1, "loads_max": 1}],
        }
    )  # fmt: skip


async def _measure(port: int, seconds: float) -> Numbers:
    numbers: Numbers = {}
    numbers["modbus.write_floor_p50_ms"], numbers["modbus.write_floor_p99_ms"] = await _write_floor(port, seconds)
    numbers.update(await _bare(port, seconds))
    numbers.update(await _driver(port, seconds))
    return numbers


async def _driver(port: int, seconds: float) -> Numbers:
    sink, profile = _Sink(), _profile()
    # As the gateway does: the drivers know of one another's writes. An address each, so a connection each.
    wires = Wires()
    drivers = [
        ModbusDriver(_spec(n, port), profile, sink, time.time_ns, rng=random.Random(n), wires=wires)
        for n in range(CONNECTIONS)
    ]
    async with running(*drivers):
        async with asyncio.timeout(READY_S_MAX):
            while len(sink.up) < CONNECTIONS:  # noqa: ASYNC110 - a sink has no event
                await asyncio.sleep(0.05)
        async with watched() as memory:
            quiet_s, wall_s, requests = await _window(drivers, seconds)
        waits_ms, failed = await _write_under_load(drivers, seconds)
    share = requests / (wall_s * 1000 / PERIOD_MS * TAGS / BLOCK)
    return {
        "modbus.tags_per_s_per_core": requests * BLOCK / quiet_s,
        "modbus.core_share": quiet_s / wall_s,
        "modbus.us_per_request": quiet_s / requests * 1e6,
        "modbus.polls_share": share,
        "modbus.reports": sink.reports,
        "modbus.bad_values": sink.bad,
        "modbus.write_p50_ms": statistics.median(waits_ms),
        "modbus.write_p99_ms": quantile(waits_ms, 0.99),
        "modbus.writes": len(waits_ms),
        "modbus.writes_failed": failed,
        **memory.figures("modbus"),
    }


async def _window(drivers: Sequence[ModbusDriver], seconds: float) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and requests of some time of polling alone."""
    before = sum(driver.figures()[0].requests for driver in drivers)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return cpu_s, wall_s, sum(driver.figures()[0].requests for driver in drivers) - before


async def _write_under_load(drivers: Sequence[ModbusDriver], seconds: float) -> tuple[list[float], int]:
    """Commands to one device after another while all are polled: ms from `send` to its return, and how many failed."""
    waits_ms, failed, end_s = [], 0, time.perf_counter() + min(seconds, SECONDS)
    number = 0
    while time.perf_counter() < end_s:
        number += 1
        driver = drivers[number % len(drivers)]
        command = Command(f"b{number}", driver.device, number, 1, time.time_ns() + 10**10, Induct(1, number))
        begun_s = time.perf_counter()
        try:
            await driver.send(command)
        except Exception as problem:  # noqa: BLE001
            # Its fate: counted, told, and the bench ends with exit code 1.
            sys.stderr.write(f"a write failed: {problem!r}\n")
            failed += 1
        waits_ms.append((time.perf_counter() - begun_s) * 1000)
        await asyncio.sleep(WRITE_EVERY_S * random.uniform(0.5, 1.5))
    return waits_ms, failed


# --- floors ---


async def _write_floor(port: int, seconds: float) -> tuple[float, float]:
    """p50 and p99 in ms of bare pymodbus writing eight registers on one idle connection."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    waits_ms, end_s = [], time.perf_counter() + min(seconds, SECONDS)
    while time.perf_counter() < end_s:
        begun_s = time.perf_counter()
        await client.write_registers(20_001, [0, 1, 1, 1, 0, 7, 0, 7], device_id=1)
        waits_ms.append((time.perf_counter() - begun_s) * 1000)
        await asyncio.sleep(WRITE_EVERY_S * random.uniform(0.5, 1.5))
    client.close()
    return statistics.median(waits_ms), quantile(waits_ms, 0.99)


async def _bare(port: int, seconds: float) -> Numbers:
    """Bare pymodbus reading the same blocks as often, one client a connection."""
    count = 0

    async def poll() -> None:
        nonlocal count
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            for address in range(0, TAGS // CONNECTIONS, BLOCK):
                await client.read_holding_registers(address, count=BLOCK, device_id=1)
                count += 1
            due_s = max(due_s + PERIOD_MS / 1000, loop.time())
            await asyncio.sleep(due_s - loop.time())

    tasks = [asyncio.create_task(poll()) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.5)
    before, cpu_s, wall_s = count, time.process_time(), time.perf_counter()
    await asyncio.sleep(min(seconds, SECONDS))
    cpu_s, wall_s, done = time.process_time() - cpu_s, time.perf_counter() - wall_s, count - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "modbus.floor_tags_per_s_per_core": done * BLOCK / cpu_s,
        "modbus.floor_core_share": cpu_s / wall_s,
        "modbus.floor_us_per_request": cpu_s / done * 1e6,
    }


def _c_floor(port: int) -> Numbers:
    """libmodbus reading the same number of blocks one after another; None where it can't be built, with the reason."""
    key = "modbus.c_us_per_request"
    gcc = shutil.which("gcc")
    if gcc is None:
        return {key: None, "modbus.c_reason": "no gcc"}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "floor"
        built = subprocess.run(
            [gcc, "-O2", "-I/usr/include/modbus", str(_HERE / "modbus_floor.c"), "-o", str(program), "-lmodbus"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if built.returncode:
            return {key: None, "modbus.c_reason": "no libmodbus: apt-get install libmodbus-dev"}
        reads = 20_000
        ran = subprocess.run(
            [program, str(port), str(CONNECTIONS), str(reads)], capture_output=True, text=True, check=True
        )
    return {key: float(ran.stdout.split()[0]) / reads * 1e6}


def _print(numbers: Numbers) -> None:
    for name, value in numbers.items():
        print(f"{name:<36}{value if not isinstance(value, float) else round(value, 3)!s:>16}")
    write, floor = numbers["modbus.write_p99_ms"], numbers["modbus.write_floor_p99_ms"]
    assert isinstance(write, float)
    assert isinstance(floor, float)
    share = numbers["modbus.core_share"]
    print(f"{TAGS:,} tags every {PERIOD_MS} ms take {share:.0%} of a core (wanted: half a core or less)")
    print(f"a write under load at p99 is {write / floor:.2f} × the bare round trip (wanted: 3 or less)")


if __name__ == "__main__":
    sys.exit(main())
