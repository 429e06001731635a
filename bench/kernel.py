"""What one input costs in the kernel, by kind, beside the bare decoding of the same bytes.

    python -m bench.kernel [--journal FOLDER] [--orders N] [--rounds N] [--json FILE]

The inputs are those of a demo run, replayed in the order of its journal into a kernel that begins with nothing:
`--journal` names the `journal` folder of a demo's data, without it a demo is recorded first. The floor is msgspec
decoding each input and doing nothing with it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway import codec
from gateway.contract import HostRequest, Input, Notice, Report
from gateway.kernel import Kernel
from gateway.shell.config import as_text, load
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.site import Site

DEMO_SITE = Path(__file__).resolve().parent.parent / "config" / "demo"
ORDERS = 12
SPEED = 20
RECORD_S_MAX = 300
Record = tuple[int, int, bytes]


class Cost(msgspec.Struct):
    """One kind of input: how many there were, and the time of all of them."""

    inputs: int = 0
    bytes: int = 0
    decode_ns: int = 0
    apply_ns: int = 0


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where no inputs could be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, help="a demo's journal folder; the demo must have ended")
    parser.add_argument("--orders", type=int, default=ORDERS, help="how many orders to record without --journal")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many is shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    loaded = load(DEMO_SITE, {})
    if loaded.site is None:
        sys.stderr.write(as_text(loaded.problems, loaded.sources) + "\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="bench-kernel-") as scratch:
        folder = options.journal or _recorded(Path(scratch), options.orders)
        records = asyncio.run(_read(folder, loaded.site.site.id))
    if not records:
        sys.stderr.write(f"{folder}: no inputs in this journal: name the journal folder of a demo that has run\n")
        return 1
    best = min((_round(loaded.site, records) for _ in range(max(1, options.rounds))), key=_apply_ns)
    numbers = _numbers(best)
    _print(numbers)
    if options.json is not None:
        options.json.write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    return 0


def _recorded(data: Path, orders: int) -> Path:
    """Run a demo as a user would; its journal."""
    command = [
        sys.executable, "-c", "from gateway.cli import main; main()", "demo", "--orders", str(orders),
        "--speed", str(SPEED), "--exit", "--data", str(data),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=RECORD_S_MAX, cwd=DEMO_SITE.parents[1])
    return data / "journal"


async def _read(folder: Path, site_id: str) -> list[Record]:
    journal = SqliteJournal.open(folder, site_id)
    try:
        return list(journal.read(0))
    finally:
        await journal.close()


def kind(body: object) -> str:
    """What the table calls an input."""
    match body:
        case Report() | Notice():
            return f"{type(body).__name__} {type(body.data).__name__}"
        case HostRequest():
            return f"HostRequest {type(body.request).__name__}"
    return type(body).__name__


def _round(site: Site, records: Sequence[Record]) -> dict[str, Cost]:
    """Everything once, without the cycle collector: its pauses are no input's fault."""
    kernel = Kernel(site)
    costs: dict[str, Cost] = {}
    gc.collect()
    gc.disable()
    for seq, at_ns, body in records:
        begun_ns = time.perf_counter_ns()
        decoded = codec.decode_body(body)
        decoded_ns = time.perf_counter_ns()
        kernel.apply(Input(seq, at_ns, decoded))
        applied_ns = time.perf_counter_ns()
        cost = costs.setdefault(kind(decoded), Cost())
        cost.inputs += 1
        cost.bytes += len(body)
        cost.decode_ns += decoded_ns - begun_ns
        cost.apply_ns += applied_ns - decoded_ns
    gc.enable()
    return costs


def _apply_ns(costs: dict[str, Cost]) -> int:
    return sum(cost.apply_ns for cost in costs.values())


def _numbers(costs: dict[str, Cost]) -> dict[str, dict[str, float]]:
    total = Cost()
    for cost in costs.values():
        for name in Cost.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(cost, name))
    ordered = sorted(costs.items(), key=lambda item: -item[1].apply_ns)
    return {name: _row(cost) for name, cost in [*ordered, ("all", total)]}


def _row(cost: Cost) -> dict[str, float]:
    return {
        "inputs": cost.inputs,
        "bytes": round(cost.bytes / cost.inputs),
        "apply_us": round(cost.apply_ns / cost.inputs / 1000, 1),
        "decode_us": round(cost.decode_ns / cost.inputs / 1000, 2),
        "ratio": round(cost.apply_ns / cost.decode_ns, 1),
        "inputs_per_s": round(cost.inputs / cost.apply_ns * 1e9),
    }


def _print(numbers: dict[str, dict[str, float]]) -> None:
    print(f"{'input':<30}{'count':>7}{'bytes':>7}{'apply µs':>10}{'decode µs':>11}{'ratio':>8}{'inputs/s':>10}")
    for name, row in numbers.items():
        print(
            f"{name:<30}{row['inputs']:>7}{row['bytes']:>7}{row['apply_us']:>10}{row['decode_us']:>11}"
            f"{row['ratio']:>8}{row['inputs_per_s']:>10}"
        )


if __name__ == "__main__":
    sys.exit(main())
