"""Scan → divert of `bench.opcua` while orders come in: alone and beside 1,000 creations a second, in turns.

Both run in the gateway's process and on its event loop, on the same peer (node-opcua, 10,000 tags, 1,000 of which
change every 100 ms). Two loops are measured: that of `bench.opcua` as it stands, whose stand-in answers each scan at
once; and the gateway's own, where a scan becomes durable, the kernel decides and the outbox sends. The second one's
item is diverted before the next one is scanned; its code is unknown to the site, so it goes to the reject lane.

`apart` is the control: the loop of `bench.opcua` alone in this process, the orders for a gateway in another one. What
rises there comes of the machine's cores, which peer, host and gateway share, and of nothing in the gateway's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

from bench import opcua
from bench.host_apart import apart
from bench.host_gateway import Hosted, operating
from bench.host_load import Offered, offered
from bench.machine import Machine
from bench.quantile import quantile
from bench.running import running
from drivers.opcua.driver import OpcuaDriver
from gateway.site import SorterSpec

LEGS = 3
SETTLE_S = 1.0
DIVERTED = 2
Numbers = dict[str, float]


class Plant(opcua.Plant):
    """Diverts each item before the next one is scanned."""

    def scan(self) -> None:
        if self._track:
            event = {"type": DIVERTED, "track_id": self._track, "lane": opcua.LANES, "result": 0}
            self._say(f"event {json.dumps(event)}")
        super().scan()


@contextlib.contextmanager
def plant(node: str) -> Iterator[Plant]:
    """The server process of `bench.opcua`, with items that are diverted."""
    with opcua._plant(node) as found:
        found.__class__ = Plant
        assert isinstance(found, Plant)
        yield found


def sorter(port: int) -> SorterSpec:
    """S1 of the demo site, at the peer, with the settings of `bench.opcua`."""
    return SorterSpec.model_validate(
        {
            "id": "S1", "type": "sorter", "driver": "opcua", "profile": "stellwerk-sorter", "infeed": "S1-IN",
            "connection": {
                "url": f"opc.tcp://127.0.0.1:{port}/", "security": "none", "queue_size": opcua.QUEUE,
                "sampling_interval_ms": 0,
            },
            "speed_mm_s": 1000, "scan_to_first_divert_mm": 2000, "lane_pitch_mm": 1000, "reject_lane": opcua.LANES,
            "lanes": [
                *({"lane": n, "location": f"LANE-{n}"} for n in range(1, 8)),
                {"lane": 8, "location": "C2-IN"}, {"lane": opcua.LANES, "location": "LANE-R"},
            ],
        }
    )  # fmt: skip


class Host(Protocol):
    """A gateway that orders are sent to."""

    key: str

    @property
    def port(self) -> int:
        """Of loopback."""

    async def all_told(self) -> object:
        """Wait until nothing of it is left to be done."""


async def interplay(node: str, folder: Path, seconds: float, per_s: float) -> Numbers:
    """Times of both loops and of the control, alone and beside orders, in milliseconds, and how they compare."""
    with opcua._plant(node) as bare:
        async with apart(folder / "apart") as other, _stand_in(bare):
            control = _named("apart", await _in_turns(other, bare, seconds, per_s))
    with opcua._plant(node) as bare:
        async with operating(folder / "stand-in") as hosted, _stand_in(bare):
            found = _named("stand_in", await _in_turns(hosted, bare, seconds, per_s))
    with plant(node) as diverting:
        async with operating(folder / "whole", sorter(diverting.port), opcua.profile()) as hosted:
            await _up(hosted)
            found |= _named("gateway", await _in_turns(hosted, diverting, seconds, per_s))
    return found | control


@contextlib.asynccontextmanager
async def _stand_in(found: opcua.Plant) -> AsyncIterator[None]:
    """The driver with the stand-in of `bench.opcua`, on this event loop."""
    kernel = opcua._Kernel()
    driver = OpcuaDriver(sorter(found.port), opcua.profile(), kernel, time.time_ns, rng=random.Random(1))
    kernel.driver = driver
    async with running(driver):
        async with asyncio.timeout(opcua.READY_S_MAX):
            await kernel.up.wait()
        await asyncio.sleep(SETTLE_S)
        yield


async def _up(hosted: Hosted) -> None:
    async with asyncio.timeout(opcua.READY_S_MAX):
        while hosted.app.runtime.kernel.state.sorters["S1"].health.link != "up":  # noqa: ASYNC110 - no event of ours
            await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_S)


async def _in_turns(hosted: Host, found: opcua.Plant, seconds: float, per_s: float) -> Numbers:
    alone: list[float] = []
    beside: list[float] = []
    shares: dict[str, list[float]] = {"alone": [], "beside": []}
    accepted = asked = 0
    machine = Machine()
    for leg in range(LEGS):
        shares["alone"].append(await _leg(found, seconds, alone))
        orders = asyncio.create_task(offered(hosted, f"leg{leg}-", per_s, seconds + 2 * SETTLE_S))
        await asyncio.sleep(SETTLE_S)
        shares["beside"].append(await _leg(found, seconds, beside))
        result: Offered = await orders
        asked, accepted = asked + result.asked, accepted + len(result.acknowledged)
        await hosted.all_told()
    numbers: Numbers = {"rounds": len(alone) + len(beside), "orders_asked": asked, "orders_accepted": accepted}
    numbers["others_cores"] = machine.figures()["machine.others_cores"]
    for name, times_ms in (("alone", alone), ("beside", beside)):
        numbers[f"{name}_p50_ms"], numbers[f"{name}_p99_ms"] = quantile(times_ms, 0.5), quantile(times_ms, 0.99)
        numbers[f"{name}_core_share"] = sum(shares[name]) / LEGS
    numbers["p50_ratio"] = numbers["beside_p50_ms"] / numbers["alone_p50_ms"]
    numbers["p99_ratio"] = numbers["beside_p99_ms"] / numbers["alone_p99_ms"]
    return numbers


async def _leg(found: opcua.Plant, seconds: float, times_ms: list[float]) -> float:
    """Add the times of one stretch; returns the share of a core that this process took."""
    begun = len(found.rounds_us)
    numbers = await opcua._rounds(found, seconds)
    times_ms.extend(us / 1000 for us in found.rounds_us[begun:])
    return numbers["core_share"]


def _named(name: str, numbers: dict[str, Any]) -> Numbers:
    return {f"interplay.{name}.{key}": value for key, value in numbers.items()}
