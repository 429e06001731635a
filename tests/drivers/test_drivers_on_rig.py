"""Each driver against the simulated plant on the real wire: the demo site, five times as fast as life."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.driver import ModbusDriver
from drivers.opcua.driver import OpcuaDriver
from drivers.vda5050.driver import VdaDriver
from gateway.contract import Command, NotWritten
from gateway.devices.agv import Drive, DriveNode
from gateway.devices.conveyor import Discharge, Induct
from gateway.devices.sorter import Assign
from gateway.site import AgvSpec, ConveyorSpec, SorterSpec
from plc_simulators.rig import Rig

SITE = Path(__file__).resolve().parents[2] / "config" / "demo"
LATER_NS = 10**18
LANES = 9


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(SITE, seed=5, speed=5.0) as rig:
        # A no-read is the scanner's affair; these tests want every scan to name its load.
        rig.plant.sorters["S1"].no_read_share = 0.0
        yield rig


@pytest.fixture(params=["embedded", "outside"])
async def fleet_rig(request: pytest.FixtureRequest, outside_broker: Callable[[], int]) -> AsyncIterator[Rig]:
    port = outside_broker() if request.param == "outside" else None
    async with Rig(SITE, seed=5, speed=5.0, mqtt_port=port) as rig:
        yield rig


def conveyor(rig: Rig, sink: Any, profile: Any, device: str = "C1") -> ModbusDriver:
    spec = ConveyorSpec.model_validate(
        {
            "id": device, "type": "conveyor", "driver": "modbus", "profile": "stellwerk-conveyor", "zones": 12,
            "connection": {"port": int(rig.environment[f"STELLWERK_{device}_PORT"]), "timeout_ms": 500},
            "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 12, "loads_max": 8}],
        }
    )  # fmt: skip
    return ModbusDriver(spec, profile("stellwerk-conveyor"), sink, lambda: 0, rng=random.Random(1))


def sorter(rig: Rig, sink: Any, profile: Any) -> OpcuaDriver:
    spec = SorterSpec.model_validate(
        {
            "id": "S1", "type": "sorter", "driver": "opcua", "profile": "stellwerk-sorter", "infeed": "IN",
            "connection": {"url": rig.environment["STELLWERK_S1_URL"], "security": "none"}, "reject_lane": LANES,
            "lanes": [{"lane": n, "location": f"L{n}"} for n in range(1, LANES + 1)],
        }
    )  # fmt: skip
    return OpcuaDriver(spec, profile("stellwerk-sorter"), sink, lambda: 0, rng=random.Random(2))


def vehicles(rig: Rig, sink: Any, profile: Any) -> VdaDriver:
    specs = [
        AgvSpec.model_validate(
            {
                "id": f"AGV{n}", "type": "agv", "driver": "vda5050", "profile": "vda5050-2.1", "home": f"H{n}",
                "connection": {
                    "port": int(rig.environment["STELLWERK_MQTT_PORT"]), "manufacturer": "stellwerk",
                    "serial": f"agv-{n}",
                },
            }
        )
        for n in range(1, 7)
    ]  # fmt: skip
    profiles = {"vda5050-2.1": profile("vda5050-2.1")}
    return VdaDriver(specs, profiles, sink, lambda: 0, lambda: "2026-01-02T03:04:05.678Z", rng=random.Random(3))


async def test_a_load_goes_through_the_conveyor_and_over_the_sorter_into_its_lane(rig, sink, profile, running, until):
    line, sort = conveyor(rig, sink, profile), sorter(rig, sink, profile)
    running(line)
    running(sort)
    await until(lambda: sink.links("C1") == ["up"] and sink.links("S1") == ["up"], "both up")
    assert len(sink.reports("C1")[0].zones) == 12
    assert len(sink.reports("S1")[0].lanes) == LANES
    rig.plant.put("L1", ["4711"], "C1-IN")
    await until(lambda: sink.reports("C1")[-1].zones[0].occupied, "the load stands in zone 1")
    await line.send(Command("c1", "C1", 1, 1, LATER_NS, Induct(1, 900)))
    await until(lambda: sink.reports("C1")[-1].echo.done_seq == 1, "echo of induct")
    assert sink.reports("C1")[-1].echo.result == 1
    await until(lambda: sink.reports("C1")[-1].zones[11].track_id == 900, "the load is at the exit", 20.0)
    await line.send(Command("c2", "C1", 2, 1, LATER_NS, Discharge(12, 900)))
    await until(lambda: sink.notices("S1"), "the scan")
    scan = sink.notices("S1")[0]
    assert (scan.ring_index, scan.data.kind, scan.data.barcodes) == (1, "scan", ("4711",))
    deadline_plc_ms = scan.data.plc_ms + 10_000
    await sort.send(Command("s1", "S1", 1, 1, LATER_NS, Assign(scan.data.track_id, (2,), deadline_plc_ms)))
    await until(lambda: sink.reports("S1")[-1].echo.done_seq == 1, "echo of assign")
    assert sink.reports("S1")[-1].echo.result == 1
    await until(lambda: sink.notices("S1")[-1].data.kind == "diverted", "the divert")
    divert = sink.notices("S1")[-1]
    assert (divert.data.lane, divert.data.result, divert.data.track_id) == (2, 0, scan.data.track_id)
    await sort.consume("S1", divert.ring_index)
    assert [n.ring_index for n in sink.notices("S1")] == list(range(1, len(sink.notices("S1")) + 1))
    assert not sink.bad
    assert not sink.alarms()


@pytest.mark.parametrize("device", ["C1", "S1"])
async def test_a_link_drop_is_told_once_and_the_device_comes_back(device, rig, sink, profile, running, until):
    driver = conveyor(rig, sink, profile) if device == "C1" else sorter(rig, sink, profile)
    await rig.fault("link_drop", device)
    running(driver)
    await until(lambda: sink.links(device) == ["down"], "not there at first")
    await rig.fault("link_drop", device, False)
    await until(lambda: sink.links(device) == ["down", "up"], "late first connect", 20.0)
    await rig.fault("link_drop", device)
    await until(lambda: sink.links(device) == ["down", "up", "down"], "dropped")
    action = Induct(1, 1) if device == "C1" else Assign(1, (2,), 0)
    with pytest.raises(NotWritten) as refused:
        await driver.send(Command("x", device, 1, 1, LATER_NS, action))
    assert refused.value.certain
    await rig.fault("link_drop", device, False)
    await until(lambda: sink.links(device) == ["down", "up", "down", "up"], "back", 20.0)
    assert len(sink.reports(device)) >= 2


@pytest.mark.parametrize("device", ["C1", "S1"])
async def test_a_restart_of_the_plc_shows_in_the_boot_id(device, rig, sink, profile, running, until):
    driver = conveyor(rig, sink, profile) if device == "C1" else sorter(rig, sink, profile)
    running(driver)
    await until(lambda: sink.reports(device))
    before = sink.reports(device)[-1].boot_id
    await rig.fault("plc_restart", device)
    await until(lambda: sink.reports(device)[-1].boot_id != before, "another boot id", 20.0)
    await until(lambda: sink.links(device)[-1] == "up")


async def test_vehicles_come_up_drive_and_lose_their_link(fleet_rig, sink, profile, running, until):
    rig = fleet_rig
    fleet = vehicles(rig, sink, profile)
    running(fleet)
    names = [f"AGV{n}" for n in range(1, 7)]
    await until(lambda: all(sink.links(name) == ["up"] for name in names), "all six up", 20.0)
    await until(lambda: all(sink.notices(name) for name in names), "all factsheets")
    assert {"pick", "drop"} <= set(sink.notices("AGV1")[0].data.actions)
    await until(lambda: {name for name, _ in sink.live} >= set(names), "positions of all")
    start = sink.reports("AGV1")[-1].last_node
    position = next(values for name, values in reversed(sink.live) if name == "AGV1" and "x_mm" in values)
    node = DriveNode(start, 0, True, int(position["x_mm"]), int(position["y_mm"]))
    await fleet.send(Command("d1", "AGV1", 1, 1, LATER_NS, Drive("D1", 0, str(position["map"]), (node,), ())))
    await until(lambda: sink.reports("AGV1")[-1].drive_id == "D1", "the vehicle has the drive")
    assert not sink.reports("AGV1")[-1].errors
    await rig.fault("link_drop", "AGV2")
    await until(lambda: sink.links("AGV2") == ["up", "down"], "last will")
    await rig.fault("link_drop", "AGV2", False)
    await until(lambda: sink.links("AGV2") == ["up", "down", "up"], "back", 20.0)
    await rig.fault("agv_failure", "AGV3")
    await until(lambda: any(e.level == "FATAL" for e in sink.reports("AGV3")[-1].errors), "a fatal error")
    assert all(sink.links(name) == ["up"] for name in names if name != "AGV2")
    assert not sink.bad
