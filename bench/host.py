"""The host interface under load: durable orders, scans beside them, live clients, and a host that was away.

    python -m bench.host [--only PART …] [--seconds S] [--per-s N] [--folder FOLDER] [--json FILE]

Parts are `orders`, `scans` (needs node-opcua, see `bench.opcua`), `live` (`bench.live`) and `outbox` (`bench.outbox`).

`orders`: the gateway as it runs at a site (`bench.host_gateway`), in this process; another process creates orders over
32 connections, first so many a second, planned beforehand, then as fast as answers come. An order's time counts from
the planned moment to its answer. Afterwards the journal is read again: every acknowledged order must be there. Floors:
the same server with one route that only parses and answers, and the journal alone with the same orders.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop
from fastapi import FastAPI

from bench import host_scans, live, opcua, outbox
from bench.host_gateway import Numbers, missing, operating, state_on_disk
from bench.host_load import CONNECTIONS, offered
from bench.machine import Machine
from bench.quantile import quantile
from gateway import codec
from gateway.contract import CreateOrder, HostRequest, StepRequest
from gateway.host.api.bodies import NewOrder
from gateway.host.api.server import Server
from gateway.shell import logs
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.site import HttpSpec

PARTS = ("orders", "scans", "live", "outbox")
PER_S = 1_000.0
SECONDS = 20.0
FLAT_OUT_S = 10.0
LEG_S = 8.0
FLOOR_S = 5.0
WANTED_P99_MS = 50.0
WANTED_RATIO = 1.10
WANTED_SHARE = 0.30
WANTED_CATCHUP_S = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where something that was acknowledged is lost, 2 where node-opcua is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some parts; without it, all")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="so long orders are offered")
    parser.add_argument("--per-s", type=float, default=PER_S, help="so many orders a second")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    numbers: Numbers = {}
    worst, machine = 0, Machine()
    with tempfile.TemporaryDirectory(prefix="bench-host-", dir=options.folder) as scratch:
        folder = Path(scratch)
        with logs.set_up(folder / "gateway.log", json=True):
            if "orders" in options.only:
                numbers |= uvloop.run(_orders(folder, options.per_s, options.seconds))
            if "scans" in options.only:
                node = shutil.which("node")
                if node is None or not (opcua._PEER / "node_modules").is_dir():
                    sys.stderr.write(f"node-opcua is not installed: npm ci --prefix {opcua._PEER}\n")
                    worst = 2
                else:
                    numbers |= uvloop.run(host_scans.interplay(node, folder, LEG_S, options.per_s))
        for name, bench in (("live", live.main), ("outbox", outbox.main)):
            if name in options.only:
                worst = max(worst, _other(bench, folder / f"{name}.json", numbers))
    numbers |= machine.figures()
    for name, value in numbers.items():
        print(f"{name:<44}{round(value, 3)!s:>16}")
    _judge(numbers, options.per_s)
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return max(worst, int(anything_lost(numbers)))


def anything_lost(numbers: Numbers) -> bool:
    """Whether one of all parts has lost something that was acknowledged or owed."""
    return any(value > 0 for name, value in numbers.items() if name.endswith(".lost"))


def _other(bench: Callable[[list[str]], int], file: Path, numbers: Numbers) -> int:
    """Another bench's numbers into `numbers`; returns its exit code."""
    code = bench(["--json", str(file)])
    numbers |= json.loads(file.read_text("utf-8"))
    return code


async def _orders(folder: Path, per_s: float, seconds: float) -> Numbers:
    paced = await _one_run(folder / "paced", per_s, seconds)
    flat_out = await _one_run(folder / "flat-out", 0.0, FLAT_OUT_S)
    server = await _server_alone(0.0)
    slow_server = await _server_alone(per_s)
    journal = await _journal_alone(folder / "journal")
    return {
        "orders_per_s": flat_out["per_s"],
        "order_p99_ms": paced["p99_ms"],
        **{f"orders.paced.{name}": value for name, value in paced.items()},
        **{f"orders.flat_out.{name}": value for name, value in flat_out.items()},
        **{f"orders.floor_server_paced.{name}": value for name, value in slow_server.items()},
        **{f"orders.floor_server.{name}": value for name, value in server.items()},
        **{f"orders.floor_journal.{name}": value for name, value in journal.items()},
    }


async def _one_run(folder: Path, per_s: float, seconds: float) -> Numbers:
    """A new gateway, one stretch of orders, and what its journal holds of them afterwards."""
    async with operating(folder) as hosted:
        # The first requests build what later ones find: not the site's daily life.
        await offered(hosted, "warm-", 100.0, 1.0)
        hosted.stalls.begin()
        result = await offered(hosted, "o-", per_s, seconds)
        stalls = hosted.stalls.figures()
        told_s = await hosted.all_told()
    state, told = await state_on_disk(folder), hosted.told
    return {
        **result.figures(),
        "lost": len(missing(state, result.acknowledged)),
        **stalls,
        "webhook_behind_s": told_s,
        "webhook_events": told["events"],
        "webhook_order_violations": told["violations"],
        "webhook_doubled": told["doubled"],
    }


class _Served:
    """A server with one route that parses an order and answers; nothing is asked, kept or checked."""

    def __init__(self) -> None:
        app = FastAPI(openapi_url=None)

        @app.post("/floor", status_code=201)
        async def floor(body: NewOrder) -> dict[str, object]:
            return {"request_id": body.order, "what": "create_order", "id": body.order, "accepted": True}

        self.server = Server(app, HttpSpec(port=0), logs.get())
        self.key = "none"

    @property
    def port(self) -> int:
        return self.server.port


async def _server_alone(per_s: float) -> Numbers:
    served = _Served()
    task = asyncio.create_task(served.server.run())
    async with asyncio.timeout(10):
        while not served.port:  # noqa: ASYNC110 - the server sets no event
            await asyncio.sleep(0.01)
    try:
        await offered(served, "warm-", 100.0, 1.0, "/floor")
        return (await offered(served, "o-", per_s, FLOOR_S, "/floor")).figures()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _journal_alone(folder: Path) -> Numbers:
    """As many callers as there are connections, each making one order durable after another."""
    journal = SqliteJournal.open(folder, "bench")
    took_s: list[float] = []
    seq = 0

    async def caller() -> None:
        nonlocal seq
        while time.perf_counter() < end_s:
            seq += 1
            name, step = f"o-{seq}", StepRequest("go", "move", "T1", "RACK-2")
            record = (seq, time.time_ns(), codec.encode_body(HostRequest("wms", name, CreateOrder(name, (step,)))))
            begun_s = time.perf_counter()
            await journal.commit([record])
            took_s.append(time.perf_counter() - begun_s)

    begun_s = time.perf_counter()
    end_s = begun_s + FLOOR_S
    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    wall_s = time.perf_counter() - begun_s
    await journal.close()
    return {
        "per_s": len(took_s) / wall_s,
        "p50_ms": quantile(took_s, 0.5) * 1e3,
        "p99_ms": quantile(took_s, 0.99) * 1e3,
    }


def _judge(numbers: Numbers, per_s: float) -> None:
    """What was wanted, and what came."""
    if "orders_per_s" in numbers:
        paced = "orders.paced"
        print(
            f"{per_s:,.0f} orders a second offered: {numbers[f'{paced}.per_s']:,.0f} accepted a second, "
            f"{numbers['order_p99_ms']:.1f} ms at p99 (wanted: {WANTED_P99_MS:.0f} or less), "
            f"{numbers[f'{paced}.lost']:.0f} lost; flat out {numbers['orders_per_s']:,.0f} a second (wanted: 1,000)"
        )
    for loop in ("stand_in", "gateway", "apart"):
        ratio = numbers.get(f"interplay.{loop}.p50_ratio")
        if ratio is not None:
            print(
                f"scan → divert ({loop}) beside orders is {ratio:.2f} × that alone at p50, "
                f"{numbers[f'interplay.{loop}.p99_ratio']:.2f} × at p99 (wanted: {WANTED_RATIO:.2f} or less)"
            )
    if "live_clients_cpu" in numbers:
        print(f"live clients: {numbers['live_clients_cpu']:.0%} of a core (wanted: {WANTED_SHARE:.0%} or less)")
    if "outbox_catchup_s" in numbers:
        print(f"outbox: caught up in {numbers['outbox_catchup_s']:.1f} s (wanted: {WANTED_CATCHUP_S:.0f} or less)")


if __name__ == "__main__":
    sys.exit(main())
