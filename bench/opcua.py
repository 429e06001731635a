"""The OPC UA driver under full load: 10,000 monitored tags, of which 1,000 change every 100 ms, and a sorter's scans.

    npm ci --prefix tests/peers/opcua
    python -m bench.opcua [--seconds S] [--json FILE]

The server is node-opcua (tests/peers/opcua) in a process of its own. It writes a scan into its event ring and times
itself how long it takes until the assignment for it has been written: once by the driver, with a stand-in for the
kernel that answers each scan at once, once by a bare asyncua client that does the same calls on the same load
(notification of the ring's counter, one Read of the entry, one Write of the mailbox, one Write of what was consumed).
The publishing interval of 20 ms is in both. CPU is that of the client process alone, feeding of scans included. Loss:
every tag counts up by one, so a gap is a change that was not seen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench import opcua_bare
from bench.memory import watched
from bench.quantile import quantile
from bench.running import running
from drivers.opcua.driver import OpcuaDriver
from drivers.signals import Bound, bind
from gateway.contract import Command, LinkChanged, Notice
from gateway.devices.sorter import Assign
from gateway.shell.config.profiles import SHIPPED
from gateway.site import Profile, SorterSpec

TAGS, CHANGING, EVERY_MS = 10_000, 1_000, 100
GROUP = 1_000
LANES = 9
SECONDS = 15.0
SCAN_EVERY_S = 0.05
READY_S_MAX = 60.0
SETTLE_S = 1.0
ANSWER_S_MAX = 10.0
LOOK_S = 0.005
QUEUE = 10
_PEER = Path(__file__).resolve().parent.parent / "tests" / "peers" / "opcua"
Numbers = dict[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where changes were lost, 2 where node-opcua is not installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    node = shutil.which("node")
    if node is None or not (_PEER / "node_modules").is_dir():
        sys.stderr.write(f"node-opcua is not installed: npm ci --prefix {_PEER}\n")
        return 2
    with _plant(node) as plant:
        numbers = uvloop.run(_measure(plant, options.seconds))
    for name, value in numbers.items():
        print(f"{name:<36}{round(value, 3)!s:>16}")
    ratio = numbers["opcua.scan_to_divert_p99_ms"] / numbers["opcua.floor_p99_ms"]
    print(f"scan → divert at p99 is {ratio:.2f} × that of the bare library (wanted: 1.3 or less)")
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0 if numbers["opcua.lost"] == 0 else 1


def profile() -> Profile:
    """The shipped sorter with 10,000 more tags."""
    import yaml

    data = yaml.safe_load((SHIPPED / "profiles" / "stellwerk-sorter.yaml").read_text(encoding="utf-8"))
    for group in range(TAGS // GROUP):
        tag = {"name": "value", "type": "int32", "node": f"s=Tag{group}.{{n}}"}
        data["groups"].append({"group": f"tag_{group}", "count": GROUP, "signals": [tag]})
    return Profile.model_validate(data)


class Plant:
    """The server process; `rounds_us` grows by one for each scan that was answered."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        first = process.stdout.readline().split()
        if first[:1] != ["PORT"]:
            raise SystemExit("the server did not start; its reason stands above")
        self.port = int(first[1])
        self.rounds_us: list[int] = []
        self._track = 0
        self._held: dict[str, int] = {}
        self._answered = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ROUND "):
                self.rounds_us.append(int(line.split()[1]))
            elif line.startswith("{"):
                self._held = json.loads(line)
                self._answered.set()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def scan(self) -> None:
        """Another load is at the scanner."""
        self._track += 1
        event = {"type": 1, "track_id": self._track, "point": 1, "barcodes": "00340123450000000018"}
        self._say(f"event {json.dumps(event)}")


@contextlib.contextmanager
def _plant(node: str) -> Iterator[Plant]:
    nodes = [
        {"node": signal.node.removeprefix("s="), "type": signal.type, "writable": signal.writable}
        for signal in bind(profile(), lanes=LANES).values()
        if not signal.name.startswith("tag_")
    ]
    with tempfile.TemporaryDirectory(prefix="bench-opcua-") as folder:
        file = Path(folder) / "nodes.json"
        file.write_text(json.dumps(nodes), encoding="utf-8")
        with subprocess.Popen(
            [node, "server.js", "--nodes", str(file), "--tags", str(TAGS), "--changing", str(CHANGING),
             "--every-ms", str(EVERY_MS), "--beat-ms", "1000", "--rounds"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_PEER,
        ) as process:  # fmt: skip
            try:
                yield Plant(process)
            finally:
                process.kill()


async def _measure(plant: Plant, seconds: float) -> Numbers:
    numbers = {f"opcua.{key}": value for key, value in (await _driver(plant, seconds)).items()}
    async with opcua_bare.answering(plant.port, profile(), LANES):
        bare = await _rounds(plant, min(seconds, SECONDS))
    return {**numbers, **{f"opcua.floor_{key.removeprefix('scan_to_divert_')}": v for key, v in bare.items()}}


async def _driver(plant: Plant, seconds: float) -> Numbers:
    spec = SorterSpec.model_validate(
        {
            "id": "S1", "type": "sorter", "driver": "opcua", "profile": "stellwerk-sorter", "infeed": "IN",
            "connection": {
                "url": f"opc.tcp://127.0.0.1:{plant.port}/", "security": "none", "queue_size": QUEUE,
                "sampling_interval_ms": 0,
            },
            "reject_lane": LANES, "lanes": [{"lane": n, "location": f"L{n}"} for n in range(1, LANES + 1)],
        }
    )  # fmt: skip
    kernel = _Kernel()
    driver = OpcuaDriver(spec, profile(), kernel, time.time_ns, rng=random.Random(1))
    kernel.driver, gaps = driver, _Gaps(driver)
    async with running(driver):
        async with asyncio.timeout(READY_S_MAX):
            await kernel.up.wait()
        await asyncio.sleep(SETTLE_S)
        gaps.begin()
        async with watched() as memory:
            found = await _rounds(plant, seconds)
        taken = {"changes_per_s": gaps.seen / seconds, "changes": gaps.seen, "lost": gaps.lost}
    found.update(taken, rss_first_mib=memory.first_mib, rss_last_mib=memory.last_mib)
    return {**found, "bad_values": kernel.bad, "sends_failed": kernel.failed}


async def _rounds(plant: Plant, seconds: float) -> Numbers:
    """Scans at random moments for so long: the server's own times, and what the client's process needs meanwhile."""
    begun, end_s = len(plant.rounds_us), time.perf_counter() + seconds
    cpu_s, wall_s, scans = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() < end_s:
        plant.scan()
        scans += 1
        # One at a time, as the mailbox carries one command: two in one moment would time the waiting for the other.
        async with asyncio.timeout(ANSWER_S_MAX):
            while len(plant.rounds_us) < begun + scans:  # noqa: ASYNC110 - the thread that reads has no event of ours
                await asyncio.sleep(LOOK_S)
        await asyncio.sleep(SCAN_EVERY_S * random.uniform(0.2, 1.0))
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    times_ms = [us / 1000 for us in plant.rounds_us[begun:]]
    return {
        "scan_to_divert_p50_ms": statistics.median(times_ms),
        "scan_to_divert_p99_ms": quantile(times_ms, 0.99),
        "rounds": len(times_ms),
        "core_share": cpu_s / wall_s,
        "us_per_change": cpu_s / (wall_s * CHANGING * 1000 / EVERY_MS) * 1e6,
    }


class _Gaps:
    """Stands before the driver's picture: how many changes of tags came, and how many steps of one did not."""

    def __init__(self, driver: OpcuaDriver) -> None:
        self.seen = self.lost = 0
        self._last: dict[str, int] = {}
        self._take = driver._picture.take
        driver._picture.take = self._count  # type: ignore[method-assign]

    def begin(self) -> None:
        """Count from here: until all items were made, values went by that nobody watched yet."""
        self.seen = self.lost = 0
        self._last.clear()

    def _count(self, signal: Bound, raw: Any, status: int) -> None:
        if signal.name.startswith("tag_"):
            self.lost += max(0, raw - self._last.get(signal.name, raw) - 1)
            self._last[signal.name] = raw
            self.seen += 1
        self._take(signal, raw, status)


class _Kernel:
    """Answers each scan at once, as the first phase of a turn does, and takes it as durable."""

    def __init__(self) -> None:
        self.driver: OpcuaDriver | None = None
        self.up = asyncio.Event()
        self.bad = self.failed = 0
        self._seq = 0
        self._under_way: set[asyncio.Task[None]] = set()

    def post(self, body: Any) -> None:
        if isinstance(body, Notice):
            task = asyncio.create_task(self._answer(body))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        elif isinstance(body, LinkChanged) and body.state == "up":
            self.up.set()

    async def _answer(self, scan: Notice[Any]) -> None:
        assert self.driver is not None
        assert scan.ring_index is not None
        self._seq += 1
        assign = Assign(scan.data.track_id, (2, 8), 1_000)
        try:
            await self.driver.send(Command(f"S1/{self._seq}", "S1", self._seq, 1, time.time_ns() + 10**10, assign))
        except Exception as problem:  # noqa: BLE001
            # Its fate: counted and told; the scan is not answered then, and the bench ends with that.
            sys.stderr.write(f"an assignment failed: {problem!r}\n")
            self.failed += 1
        await self.driver.consume("S1", scan.ring_index)

    def telemetry(self, *_: object) -> None:
        """None comes from a sorter."""

    def bad_value(self, *_: object) -> None:
        self.bad += 1


if __name__ == "__main__":
    sys.exit(main())
