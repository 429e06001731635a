"""Orders from `bench.host_clients`, another process, to a server of this one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.machine import Machine
from bench.quantile import quantile

CONNECTIONS = 32
OUT_BYTES_MAX = 2**26
_ROOT = Path(__file__).resolve().parent.parent
Numbers = dict[str, float]


class Offers(Protocol):
    """Where orders are taken."""

    key: str

    @property
    def port(self) -> int:
        """Of loopback."""


@dataclass(frozen=True)
class Offered:
    """What became of one stretch. `times_ms`: of the accepted ones, from the planned moment to the answer."""

    asked: int
    acknowledged: list[str]
    statuses: dict[str, int]
    took_s: float
    times_ms: list[float]
    late_p99_ms: float
    cpu_s: float
    """Of this process, all its threads, from the beginning of the stretch to its end."""
    others_cores: float
    """See `bench.machine`: meanwhile."""

    def figures(self) -> Numbers:
        accepted = len(self.acknowledged)
        return {
            "per_s": accepted / self.took_s,
            "accepted": accepted,
            "not_accepted": self.asked - accepted,
            "p50_ms": quantile(self.times_ms, 0.5),
            "p95_ms": quantile(self.times_ms, 0.95),
            "p99_ms": quantile(self.times_ms, 0.99),
            "max_ms": max(self.times_ms),
            "written_late_p99_ms": self.late_p99_ms,
            "core_share": self.cpu_s / self.took_s,
            "us_cpu_per_order": self.cpu_s / accepted * 1e6,
            "others_cores": self.others_cores,
        }


async def offered(to: Offers, prefix: str, per_s: float, seconds: float, path: str = "/api/v1/orders") -> Offered:
    """Offer `per_s` orders a second over CONNECTIONS connections; 0: as many as are answered.

    Raises SystemExit where not all were answered: then there is nothing to measure.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.host_clients", "--port", str(to.port), "--prefix", prefix, "--path", path,
        "--per-s", str(per_s), "--seconds", str(seconds), "--connections", str(CONNECTIONS),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=_ROOT, limit=OUT_BYTES_MAX,
        env={**os.environ, "BENCH_KEY": to.key},
    )  # fmt: skip
    assert process.stdout is not None
    if await process.stdout.readline() != b"READY\n":
        raise SystemExit("the host that creates orders did not start")
    machine, cpu_s = Machine(), time.process_time()
    out, _ = await process.communicate(b"go\n")
    cpu_s, others_cores = time.process_time() - cpu_s, machine.figures()["machine.others_cores"]
    said = json.loads(out)
    if said["problem"]:
        raise SystemExit(f"orders were not answered: {said['problem']}; so far {said['statuses']}")
    refused = set(said["refused"])
    return Offered(
        asked=said["asked"],
        acknowledged=[f"{prefix}{n}" for n in range(said["asked"]) if n not in refused],
        statuses=said["statuses"],
        took_s=said["took_s"],
        times_ms=said["times_ms"],
        late_p99_ms=said["late_p99_ms"],
        cpu_s=cpu_s,
        others_cores=others_cores,
    )
