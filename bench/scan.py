"""From a scan at the sorter to its lane assignment, over real OPC UA on loopback: p50 and p99.

    python -m bench.scan [--scans N] [--json FILE]

The simulated PLC measures both times itself, from the scan's entry in its event ring to the Write call that holds
the assignment. First the gateway answers, with its journal (a flush to the disk before every answer), its kernel and
five other devices; then, on a plant of its own, a bare asyncua client: one subscription, one Read, one Write, and the
same lane for everything. The publishing interval (20 ms in both) rules the whole; compare the rows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds

from gateway.demo.simulators import Simulators

DEMO_SITE = Path(__file__).resolve().parent.parent / "config" / "demo"
SCANS = 40
SPEED = 2.0
LOOK_S = 0.02
ALL_S_MAX = 240.0
READY_S_MAX = 60.0
PUBLISHING_MS = 20
HEARTBEAT_S = 1.0
NAMESPACE = "urn:stellwerk:plc"
CITIES = ("BERLIN", "HAMBURG", "MUNICH", "COLOGNE", "LEIPZIG", "EXPRESS")
Numbers = dict[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where the scans did not all come within the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=SCANS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-scan-") as scratch:
        try:
            rows = asyncio.run(_both(Path(scratch), options.scans))
        except (TimeoutError, RuntimeError) as problem:
            sys.stderr.write(f"the bench did not come to its end: {problem!r}\n")
            return 1
    print(f"{'':<12}{'scans':>7}{'p50 ms':>10}{'p99 ms':>10}")
    for name, row in rows.items():
        print(f"{name:<12}{row['samples']:>7}{row['p50']:>10}{row['p99']:>10}")
    ratio = rows["gateway"]["p50"] / rows["bare_asyncua"]["p50"]
    print(f"p50 of the gateway is {ratio:.2f} × that of the bare client")
    if options.json is not None:
        options.json.write_text(json.dumps({**rows, "ratio_p50": round(ratio, 3)}) + "\n", encoding="utf-8")
    return 0


async def _both(folder: Path, scans: int) -> dict[str, Numbers]:
    return {
        "gateway": await _measured(folder / "gateway", scans, bare=False),
        "bare_asyncua": await _measured(folder / "bare", scans, bare=True),
    }


async def _measured(folder: Path, scans: int, *, bare: bool) -> Numbers:
    """One plant, one that answers its scans, and loads put onto the sorter until there were enough."""
    await asyncio.to_thread(folder.mkdir)
    async with asyncio.timeout(ALL_S_MAX), Simulators(DEMO_SITE, 1, SPEED, folder / "plant.log") as plant:
        answering = _bare_client(plant.environment["STELLWERK_S1_URL"]) if bare else _gateway(folder, plant)
        async with answering:
            return await _feed(plant, None if bare else folder / "inbox" / "wms", scans)


async def _feed(plant: Simulators, inbox: Path | None, scans: int) -> Numbers:
    """Put load after load onto the sorter's infeed, announced and ordered where a gateway wants to know of it."""
    number = 0
    while True:
        found: Numbers = (await plant.ask("stats"))["stats"]["S1"]["scan_to_assign_ms"]
        if found["samples"] >= scans:
            return found
        load, code = f"T{number:05d}", f"0034012345{number:08d}"
        try:
            await plant.ask("put", load=load, barcodes=[code], location="S1-IN")
        except RuntimeError:
            # The belt there is not free yet, or the line is not at work: the plant says when.
            await asyncio.sleep(LOOK_S)
            continue
        if inbox is not None:
            await asyncio.to_thread(_order, inbox, number, load, code)
        number += 1


def _order(inbox: Path, number: int, load: str, code: str) -> None:
    announce = {"type": "announce_load", "load": load, "location": "S1-IN", "barcodes": [code]}
    step = {"step": "ship", "kind": "sort", "load": load, "to": CITIES[number % len(CITIES)]}
    order = {"type": "create_order", "order": f"O{number:05d}", "steps": [step]}
    envelopes = [
        {"request_id": f"load-{number}", "request": announce},
        {"request_id": f"order-{number}", "request": order},
    ]
    part = inbox / f".{number:05d}.part"
    part.write_text(json.dumps(envelopes), encoding="utf-8")
    part.replace(inbox / f"{number:05d}.json")


@contextlib.asynccontextmanager
async def _gateway(folder: Path, plant: Simulators) -> AsyncIterator[None]:
    """`stellwerk run` on the demo site, ready when its channel's folder is there and S1 is at work."""
    log = folder / "gateway.log"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from gateway.cli import main; main()", "run", str(DEMO_SITE), "--data", str(folder),
        "--log-file", str(log), env={**os.environ, **plant.environment}, cwd=DEMO_SITE.parents[1],
    )  # fmt: skip
    try:
        async with asyncio.timeout(READY_S_MAX):
            while not await asyncio.to_thread(_is_at_work, log):
                if process.returncode is not None:
                    raise RuntimeError(f"the gateway ended with exit code {process.returncode}")
                await asyncio.sleep(LOOK_S)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _is_at_work(log: Path) -> bool:
    if not log.exists():
        return False
    return any(
        line.get("source") == "S1" and str(line.get("detail", "")).endswith("Execute")
        for line in map(json.loads, log.read_text("utf-8").splitlines())
    )


@contextlib.asynccontextmanager
async def _bare_client(url: str) -> AsyncIterator[None]:
    """The floor: what asyncua needs for the same answer, with nothing decided and nothing stored."""
    client = Client(url, timeout=4)
    client.session_timeout = 30_000
    async with client:
        index = await client.get_namespace_index(NAMESPACE)
        floor = _Floor(client, index)
        parts = [asyncio.create_task(floor.beat()), asyncio.create_task(floor.answer())]
        try:
            yield
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)


class _Floor:
    """A subscription to the ring's write index, a Read of each new entry, a Write of an assignment."""

    def __init__(self, client: Client, index: int) -> None:
        self._client = client
        self._index = index
        self._seq = 0

    def _id(self, name: str) -> ua.NodeId:
        return ua.NodeId.from_string(f"ns={self._index};s={name}")

    async def _write(self, values: dict[str, tuple[int, ua.VariantType]]) -> None:
        data = [ua.DataValue(ua.Variant(value, kind)) for value, kind in values.values()]
        await self._client.uaclient.write_attributes([self._id(name) for name in values], data)

    async def beat(self) -> None:
        """Without a heartbeat the PLC takes nothing onto the belt."""
        count = 0
        while True:
            count = count % 65_535 + 1
            await self._write({"Command.HbGw": (count, ua.VariantType.UInt16)})
            await asyncio.sleep(HEARTBEAT_S)

    async def answer(self) -> None:
        params = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=PUBLISHING_MS, RequestedLifetimeCount=300, RequestedMaxKeepAliveCount=10
        )
        subscription = await self._client.create_subscription(params, queue_maxsize=1_000)
        await subscription.subscribe_data_change(
            self._client.get_node(self._id("Event.Wr")), sampling_interval=ua.Double(PUBLISHING_MS)
        )
        known: int | None = None
        async for event in subscription:
            item: Any = getattr(event, "data", None)
            if item is None:
                continue
            written = int(item.monitored_item.Value.Value.Value)
            known = written if known is None else known
            while known < written:
                await self._answer_entry(known % 32 + 1)
                known += 1

    async def _answer_entry(self, slot: int) -> None:
        fields = ("Type", "TrackId", "PlcMs", "Barcodes")
        answers = await self._client.uaclient.read_attributes(
            [self._id(f"Event.{slot}.{field}") for field in fields], AttributeIds.Value
        )
        kind, track_id, plc_ms, _ = (answer.Value.Value if answer.Value else 0 for answer in answers)
        if kind != 1:
            return
        self._seq += 1
        wide, narrow = ua.VariantType.UInt32, ua.VariantType.UInt16
        await self._write(
            {
                "Command.Epoch": (1, wide),
                "Command.Code": (10, narrow),
                "Command.TrackId": (track_id, wide),
                **{f"Command.Lane{n}": (lane, narrow) for n, lane in enumerate((self._seq % 6 + 1, 0, 0, 0), 1)},
                "Command.DeadlineMs": ((plc_ms + 1_800) % 2**32, wide),
                "Command.Seq": (self._seq, wide),
            }
        )


if __name__ == "__main__":
    sys.exit(main())
