"""Real drivers record the simulated plant, and come up on what was recorded."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drivers.capture import Capture
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.wire import Wires
from drivers.opcua.driver import OpcuaDriver
from drivers.vda5050.driver import VdaDriver
from gateway.contract import Command, LinkChanged, Notice, Report
from gateway.devices.conveyor import Induct
from gateway.site import AgvSpec, ConveyorSpec, Profile, SorterSpec
from plc_simulators.playback.modbus import ModbusPlayback
from plc_simulators.playback.opcua import OpcuaPlayback
from plc_simulators.playback.record import read
from plc_simulators.playback.vda5050 import VdaPlayback
from plc_simulators.rig import Rig
from plc_simulators.servers.broker import EmbeddedBroker

ROOT = Path(__file__).resolve().parents[2]
LANES = 3
PLACES = """
map: {id: floor, nodes: [{id: H1, x_mm: 1000, y_mm: 2000}]}
locations:
  - {id: C1-IN, kind: transfer}
  - {id: S1-IN, kind: transfer}
  - {id: OUT, kind: rack, capacity: 9}
"""
LINE = "{id: C1, type: conveyor, zones: 3, runs: [{from: C1-IN, to: OUT, zone_first: 1, zone_last: 3}]}"
SORTER = (
    "{id: S1, type: sorter, infeed: S1-IN, reject_lane: 3, "
    "lanes: [{lane: 1, location: OUT}, {lane: 2, location: OUT}, {lane: 3, location: OUT}]}"
)
VEHICLE = "{id: AGV1, type: agv, home: H1, connection: {manufacturer: stellwerk, serial: agv-1}}"
LATER_NS = 10**18


class Kept:
    """A `contract.Sink` that keeps what it is given."""

    def __init__(self) -> None:
        self.posts: list[Any] = []
        self.bad: list[tuple[str, object, str]] = []

    def post(self, body: Any) -> None:
        self.posts.append(body)

    def telemetry(self, device: str, values: Any) -> None:
        pass

    def bad_value(self, device: str, signal: str, value: object, problem: str) -> None:
        self.bad.append((signal, value, problem))

    @property
    def links(self) -> list[str]:
        return [post.state for post in self.posts if isinstance(post, LinkChanged)]

    @property
    def reports(self) -> list[Any]:
        return [post.data for post in self.posts if isinstance(post, Report)]

    @property
    def notices(self) -> list[Any]:
        return [(post.ring_index, post.data) for post in self.posts if isinstance(post, Notice)]


def site(folder: Path, devices: str) -> Path:
    """A plant with this one device, which is made faster than the whole demo."""
    (folder / "site.yaml").write_text(f"{PLACES}devices:\n  - {devices}\n")
    return folder


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "capture.jsonl"


@contextlib.asynccontextmanager
async def running(driver: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(driver.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def recording(path: Path) -> Any:
    capture = Capture(path, time.time_ns)
    yield capture
    capture.close()
    assert capture.problem == ""


def profile(name: str) -> Profile:
    return Profile.model_validate(yaml.safe_load((ROOT / "config" / "profiles" / f"{name}.yaml").read_text("utf-8")))


def conveyor(port: int, sink: Kept, capture: Capture | None = None) -> ModbusDriver:
    spec = ConveyorSpec.model_validate(
        {
            "id": "C1", "type": "conveyor", "driver": "modbus", "profile": "stellwerk-conveyor", "zones": 3,
            "connection": {"port": port, "timeout_ms": 500},
            "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 3, "loads_max": 3}],
        }
    )  # fmt: skip
    rng = random.Random(1)
    return ModbusDriver(spec, profile("stellwerk-conveyor"), sink, lambda: 0, rng=rng, wires=Wires(capture))


def sorter(url: str, sink: Kept, capture: Capture | None = None) -> OpcuaDriver:
    spec = SorterSpec.model_validate(
        {
            "id": "S1", "type": "sorter", "driver": "opcua", "profile": "stellwerk-sorter", "infeed": "IN",
            "connection": {"url": url, "security": "none"}, "reject_lane": LANES,
            "lanes": [{"lane": n, "location": f"L{n}"} for n in range(1, LANES + 1)],
        }
    )  # fmt: skip
    return OpcuaDriver(spec, profile("stellwerk-sorter"), sink, lambda: 0, rng=random.Random(2), capture=capture)


def vehicle(port: int, sink: Kept, capture: Capture | None = None) -> VdaDriver:
    spec = AgvSpec.model_validate(
        {
            "id": "AGV1", "type": "agv", "driver": "vda5050", "profile": "vda5050-2.1", "home": "H1",
            "connection": {"port": port, "manufacturer": "stellwerk", "serial": "agv-1"},
        }
    )  # fmt: skip
    profiles = {"vda5050-2.1": profile("vda5050-2.1")}
    now = "2026-01-02T03:04:05.678Z"
    return VdaDriver([spec], profiles, sink, lambda: 0, lambda: now, rng=random.Random(3), capture=capture)


async def test_a_recorded_conveyor_brings_the_driver_up_and_shows_the_same(
    tmp_path: Path, capture: Path, wait_for: Callable[..., Any]
) -> None:
    then, now = Kept(), Kept()
    async with Rig(site(tmp_path, LINE), speed=5.0) as rig:
        with recording(capture) as file:
            driver = conveyor(int(rig.environment["STELLWERK_C1_PORT"]), then, file)
            async with running(driver):
                await wait_for(lambda: then.links == ["up"])
                rig.plant.put("L1", ["4711"], "C1-IN")
                await wait_for(lambda: then.reports[-1].zones[0].occupied)
                await driver.send(Command("c1", "C1", 1, 1, LATER_NS, Induct(1, 900)))
                await wait_for(lambda: then.reports[-1].zones[2].track_id == 900)
    async with ModbusPlayback(read(capture)) as device, running(conveyor(device.port, now)):
        await wait_for(lambda: now.links == ["up"])
        await wait_for(lambda: now.reports[-1] == then.reports[-1])
    assert now.reports == then.reports, "the same reports in the same order"
    assert now.bad == []


async def test_a_recorded_sorter_brings_the_driver_up_and_shows_the_same_events(
    tmp_path: Path, capture: Path, wait_for: Callable[..., Any]
) -> None:
    then, now = Kept(), Kept()
    async with Rig(site(tmp_path, SORTER), speed=5.0) as rig:
        rig.plant.sorters["S1"].no_read_share = 0.0
        with recording(capture) as file:
            driver = sorter(rig.environment["STELLWERK_S1_URL"], then, file)
            async with running(driver):
                await wait_for(lambda: then.links == ["up"])
                rig.plant.put("L1", ["4711"], "S1-IN")
                await wait_for(lambda: len(then.notices) == 3)  # scan, failed for want of an assignment, diverted
                await wait_for(lambda: then.reports[-1].lanes[2].count == 1)
    async with OpcuaPlayback(read(capture)) as device, running(sorter(device.address, now)):
        await wait_for(lambda: now.links == ["up"])
        await wait_for(lambda: now.notices == then.notices)
        await wait_for(lambda: now.reports[-1] == then.reports[-1])
    assert now.bad == []


async def test_a_recorded_vehicle_brings_the_driver_up(
    tmp_path: Path, capture: Path, wait_for: Callable[..., Any]
) -> None:
    then, now = Kept(), Kept()
    async with Rig(site(tmp_path, VEHICLE), speed=5.0) as rig:
        with recording(capture) as file:
            async with running(vehicle(int(rig.environment["STELLWERK_MQTT_PORT"]), then, file)):
                await wait_for(lambda: then.links == ["up"] and then.notices)
    broker = EmbeddedBroker()
    await broker.open()
    async with running(vehicle(broker.port, now)), VdaPlayback(read(capture), port=broker.port):
        await wait_for(lambda: now.links == ["up"] and now.notices)
    await broker.close()
    assert now.notices == then.notices
    assert now.reports[0] == then.reports[0]
    assert now.bad == []
