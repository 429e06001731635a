"""How long a start takes until the kernel is back: from the newest snapshot, and from inputs alone.

    python -m bench.restart [--inputs N] [--orders N] [--json FILE]

The inputs are those of a simulated run of the demo site without faults, written into a real journal. Three starts are
measured: with every input since the last snapshot (`tail`), with as many as a gateway lets come together before it
takes the next one (`cadence`), and with `--orders` open orders in the snapshot (`orders`). The floor is msgspec
decoding the same inputs and doing nothing with them. The best of three is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from gateway import codec
from gateway.contract import AnnounceLoad, CreateOrder, HostRequest, Input, StepRequest
from gateway.kernel import Kernel
from gateway.shell.config import load
from gateway.shell.engine import SNAPSHOT_EVERY
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.shell.recovery import restore
from gateway.simulation.run import Options, Run
from gateway.site import Site
from plc_simulators import layout

DEMO_SITE = Path(__file__).resolve().parent.parent / "config" / "demo"
ROUNDS = 3
HOURS_MAX = 12.0
Record = tuple[int, int, bytes]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where the run gave too few inputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="since the last snapshot")
    parser.add_argument("--orders", type=int, default=10_000, help="open ones in the snapshot")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    site = load(DEMO_SITE, {}).site
    assert site is not None, "the demo site has errors: run stellwerk check config/demo"
    records = _recorded(site, options.inputs)
    if len(records) < options.inputs:
        sys.stderr.write(f"{HOURS_MAX} simulated hours gave {len(records)} inputs, {options.inputs} were asked for\n")
        return 1
    cadence = min(SNAPSHOT_EVERY, options.inputs)
    with tempfile.TemporaryDirectory(prefix="bench-restart-") as scratch:
        folder = Path(scratch)
        numbers = {
            "tail": _start(site, folder / "tail", records, 0),
            "cadence": _start(site, folder / "cadence", records, len(records) - cadence),
            "orders": _start_with_orders(site, folder / "orders", options.orders),
        }
    _print(numbers)
    if options.json is not None:
        options.json.write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    return 0


def _recorded(site: Site, inputs: int) -> list[Record]:
    """The first inputs of one run, as long as it takes to have so many."""
    hours = min(HOURS_MAX, inputs / 14_000)
    run = Run(site, layout.read(DEMO_SITE, {}), 1, Options(hours=hours))
    run.go()
    return run.server.disk.records[:inputs]


def _start(site: Site, folder: Path, records: list[Record], snapshot_after: int) -> dict[str, float]:
    """Write the journal, with a snapshot after so many inputs where that is not 0, and start from it."""
    kernel = Kernel(site)

    async def write() -> None:
        journal = SqliteJournal.open(folder, site.site.id)
        await journal.commit(records[:snapshot_after])
        for record in records[:snapshot_after]:
            kernel.apply(codec.stamp(*record))
        if snapshot_after:
            await journal.save_snapshot(snapshot_after, records[snapshot_after - 1][1], kernel.snapshot())
        for begin in range(snapshot_after, len(records), 4_096):
            await journal.commit(records[begin : min(begin + 4_096, len(records))])
        await journal.close()

    asyncio.run(write())
    tail = records[snapshot_after:]
    begun_s = time.perf_counter()
    for _, _, body in tail:
        codec.decode_body(body)
    decode_s = time.perf_counter() - begun_s
    return {"inputs": len(tail), **_best(site, folder), "decode_s": decode_s}


def _start_with_orders(site: Site, folder: Path, orders: int) -> dict[str, float]:
    """All orders are for one load, so that one is under way and the others wait."""
    kernel, at_ns = Kernel(site), 1_750_000_000_000_000_000
    requests: list[AnnounceLoad | CreateOrder] = [AnnounceLoad("T1", "RACK-1")]
    requests += [CreateOrder(f"O{n}", (StepRequest("go", "move", "T1", "RACK-2"),)) for n in range(orders)]
    records = []
    for seq, request in enumerate(requests, 1):
        body = HostRequest("bench", f"r{seq}", request)
        kernel.apply(Input(seq, at_ns, body))
        records.append((seq, at_ns, codec.encode_body(body)))
    assert kernel.state.open_orders() == orders, "an order was refused: see orders_open_max"

    async def write() -> None:
        journal = SqliteJournal.open(folder, site.site.id)
        for begin in range(0, len(records), 4_096):
            await journal.commit(records[begin : begin + 4_096])
        await journal.save_snapshot(len(records), at_ns, kernel.snapshot())
        await journal.close()

    asyncio.run(write())
    return {"inputs": 0, "orders": orders, **_best(site, folder), "snapshot_bytes": len(kernel.snapshot())}


def _best(site: Site, folder: Path) -> dict[str, float]:
    """Seconds to open the journal, and to have the kernel back."""

    async def once() -> tuple[float, float]:
        begun_s = time.perf_counter()
        journal = SqliteJournal.open(folder, site.site.id)
        opened_s = time.perf_counter()
        restore(site, journal)
        restored_s = time.perf_counter()
        await journal.close()
        return opened_s - begun_s, restored_s - opened_s

    found = [asyncio.run(once()) for _ in range(ROUNDS)]
    return {"open_s": min(o for o, _ in found), "restore_s": min(r for _, r in found)}


def _print(numbers: dict[str, dict[str, float]]) -> None:
    print(f"{'start':<10} {'inputs':>8} {'open s':>8} {'restore s':>10} {'decode s':>9} {'inputs/s':>9}")
    for name, row in numbers.items():
        rate = row["inputs"] / row["restore_s"]
        decode = f"{row['decode_s']:9.3f}" if "decode_s" in row else f"{'–':>9}"
        print(f"{name:<10} {row['inputs']:8.0f} {row['open_s']:8.3f} {row['restore_s']:10.3f} {decode} {rate:9.0f}")


if __name__ == "__main__":
    sys.exit(main())
