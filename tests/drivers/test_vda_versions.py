"""Vehicles of VDA 5050 2.0, 2.1 and 3.0 in one fleet on one broker, and every message against its official schema."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import jsonschema
import pytest

from drivers.vda5050.driver import VdaDriver
from gateway.contract import Command, NotWritten
from gateway.devices.agv import Drive, DriveAction, DriveEdge, DriveNode, Instant
from gateway.site import AgvSpec
from plc_simulators import layout
from plc_simulators.plant import Plant
from plc_simulators.servers.broker import EmbeddedBroker
from plc_simulators.servers.tasks import end
from plc_simulators.servers.vda5050 import VehicleClient

VERSIONS = {"AGV20": "2.0.0", "AGV21": "2.1.0", "AGV30": "3.0.0"}
INTERFACES = {"AGV20": "uagv", "AGV21": "uagv", "AGV30": "vda5050"}
NOW = "2026-01-02T03:04:05.678Z"
LATER_NS = 10**18
MAKER = f"maker-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
"""Two workers may talk to the same outside broker at the same time."""
SPEED = 10
SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "vda5050"
NO_SCHEMA = {("2.0.0", "factsheet"): "2.0 describes the factsheet in its text only and ships no schema of it"}
BEYOND_SCHEMA = {
    # 2.0's text, and every vehicle built by it, calls the field actionType; its schema demands actionName.
    ("2.0.0", "instantActions"): {"actionType": {"type": "string"}},
}


def site(folder: Path) -> Path:
    nodes = [{"id": f"{end}{n}", "x_mm": x, "y_mm": 5000 * n} for n in range(3) for end, x in (("A", 0), ("B", 3000))]
    devices = [
        {
            "id": name, "type": "agv", "home": f"A{n}",
            "connection": {"manufacturer": MAKER, "serial": name.lower(), "interface": INTERFACES[name]},
        }
        for n, name in enumerate(VERSIONS)
    ]  # fmt: skip
    racks = [{"id": f"RACK{n}", "kind": "rack", "node": f"B{n}"} for n in range(3)]
    text = json.dumps({"map": {"id": "hall", "nodes": nodes}, "locations": racks, "devices": devices})
    (folder / "site.yaml").write_text(text)
    return folder


class Fleet:
    """One simulated vehicle of each version, ten times as fast as life, and all that goes over the broker."""

    def __init__(self, plant: Plant, port: int) -> None:
        self.plant = plant
        self.port = port
        self.vehicles = {n: VehicleClient(agv, "hall", port, VERSIONS[n]) for n, agv in plant.vehicles.items()}
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def sent(self, name: str, kind: str) -> list[dict[str, Any]]:
        return [body for topic, body in self.seen if topic.endswith(f"/{name.lower()}/{kind}")]

    async def listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            # A broker that others use too still holds retained messages of their vehicles.
            if str(message.topic).split("/")[3].upper() in VERSIONS:
                self.seen.append((str(message.topic), json.loads(message.payload)))

    async def drive_on(self) -> None:
        began_ns = time.monotonic_ns()
        while True:
            now_ns = time.monotonic_ns()
            self.plant.advance((now_ns - began_ns) * SPEED)
            for vehicle in self.vehicles.values():
                vehicle.flush(now_ns)
            await asyncio.sleep(0.005)


@pytest.fixture(params=["embedded", "outside"])
async def port(request: pytest.FixtureRequest, outside_broker: Callable[[], int]) -> AsyncIterator[int]:
    if request.param == "embedded":
        broker = EmbeddedBroker()
        await broker.open()
        yield broker.port
        await broker.close()
        return
    yield outside_broker()


@pytest.fixture
async def fleet(port: int, tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(Plant(layout.read(site(tmp_path)), random.Random(1).random), port)
    async with aiomqtt.Client("127.0.0.1", port, identifier=f"listener-{MAKER}") as client:
        await client.subscribe([(f"uagv/+/{MAKER}/#", 1), (f"vda5050/+/{MAKER}/#", 1)])
        tasks = [asyncio.create_task(fleet.listen(client)), asyncio.create_task(fleet.drive_on())]
        try:
            for vehicle in fleet.vehicles.values():
                await vehicle.start()
            yield fleet
        finally:
            for vehicle in fleet.vehicles.values():
                await vehicle.stop()
            await end(*tasks)


@pytest.fixture
def driver(fleet: Fleet, sink: Any, profile: Any) -> VdaDriver:
    profiles = {f"vda5050-{v[:3]}": profile(f"vda5050-{v[:3]}") for v in VERSIONS.values()}
    specs = [
        AgvSpec.model_validate(
            {
                "id": name, "type": "agv", "driver": "vda5050", "profile": f"vda5050-{version[:3]}", "home": "A0",
                "connection": {
                    "port": fleet.port, "manufacturer": MAKER, "serial": name.lower(),
                    "interface": INTERFACES[name],
                },
            }
        )
        for name, version in VERSIONS.items()
    ]  # fmt: skip
    return VdaDriver(specs, profiles, sink, lambda: 0, lambda: NOW, rng=random.Random(1))


def fetch(n: int) -> Drive:
    y_mm = 5000 * n
    pick = DriveAction(f"pick{n}", "pick", {"stationName": f"RACK{n}", "loadId": f"L{n}"})
    nodes = (DriveNode(f"A{n}", 0, True, 0, y_mm), DriveNode(f"B{n}", 2, True, 3000, y_mm, (pick,)))
    return Drive(f"D{n}", 0, "hall", nodes, (DriveEdge("A-B", 1, True, f"A{n}", f"B{n}", 1000),))


def command(name: str, action: Any) -> Command[Any]:
    return Command("c", name, 1, 1, LATER_NS, action)


async def work(fleet: Fleet, driver: VdaDriver, sink: Any, until: Any) -> None:
    """Each vehicle fetches a load, is told to cancel what has ended, pauses, charges, and loses its link."""
    await until(lambda: all(sink.links(name) == ["up"] for name in VERSIONS), "all three up")
    await until(lambda: all(sink.notices(name) for name in VERSIONS), "all factsheets")
    for n, name in enumerate(VERSIONS):
        fleet.plant.put(f"L{n}", [], f"RACK{n}")
        await driver.send(command(name, fetch(n)))
    done = ("pick", "FINISHED")
    await until(lambda: all(done in _ended(sink, name) for name in VERSIONS), "all loads fetched", 20.0)
    for name in VERSIONS:
        for kind in ("cancelOrder", "startPause", "startCharging"):
            await driver.send(command(name, Instant(f"{kind}-{name}", kind)))
    await until(lambda: all(sink.reports(n)[-1].charging and sink.reports(n)[-1].errors for n in VERSIONS), "paused")
    await until(lambda: all(fleet.sent(n, "visualization") for n in VERSIONS), "positions")
    for vehicle in fleet.vehicles.values():
        await vehicle.close()
    await until(lambda: all(sink.links(name) == ["up", "down"] for name in VERSIONS), "last wills")


def _ended(sink: Any, name: str) -> set[tuple[str, str]]:
    return {(a.action_id.rstrip("012"), a.status) for a in sink.reports(name)[-1].actions}


async def test_one_vehicle_of_each_version_works_in_one_fleet(fleet, driver, sink, running, until):
    running(driver)
    await work(fleet, driver, sink, until)
    for n, name in enumerate(VERSIONS):
        report = sink.reports(name)[-1]
        assert (report.last_node, report.loads, report.drive_id) == (f"B{n}", (f"L{n}",), f"D{n}")
        assert (report.paused, report.operating_mode, report.e_stop) == (True, "AUTOMATIC", "NONE")
        assert 900 < report.battery_permille <= 1000
        assert report.localised
        assert [error.error_type for error in report.errors] == ["noOrderToCancel"]
        assert {("startPause-AGV", "FINISHED"), ("cancelOrder-AGV", "FAILED")} <= {
            (a.action_id.rstrip("0123"), a.status) for a in report.actions
        }
        assert "radio link" in sink.reason(name)
        sheet = sink.notices(name)[0].data
        assert {"pick", "drop", "startCharging"} <= set(sheet.actions)
        assert (sheet.speed_max_mm_s, sheet.length_mm, sheet.width_mm) == (1500, 900, 600)
        assert any(device == name and values.get("x_mm") == 3000 for device, values in sink.live)
    roots = {topic.rpartition("/")[0] for topic, _ in fleet.seen}
    assert roots == {f"uagv/v2/{MAKER}/agv20", f"uagv/v2/{MAKER}/agv21", f"vda5050/v3/{MAKER}/agv30"}
    assert fleet.plant.loads() == {f"L{n}": name for n, name in enumerate(VERSIONS)}
    assert not sink.bad


def closed(node: Any, extra: dict[str, Any]) -> Any:
    """The schema with unknown fields forbidden: the published ones allow them, so that a typo would pass."""
    if isinstance(node, list):
        return [closed(part, extra) for part in node]
    if not isinstance(node, dict):
        return node
    result = {key: closed(part, extra) for key, part in node.items()}
    if isinstance(node.get("properties"), dict):
        result["additionalProperties"] = False
        if "actionName" in node["properties"]:
            result["properties"] |= extra
    return result


def schema(version: str, kind: str) -> Any:
    body = json.loads((SCHEMAS / version / f"{kind}.schema").read_text("utf-8"))
    return closed(body, BEYOND_SCHEMA.get((version, kind), {}))


async def test_every_message_of_ours_and_of_the_vehicles_is_valid_in_its_version(fleet, driver, sink, running, until):
    if not SCHEMAS.is_dir():
        # Not a failure even where everything is required: the schemas are not part of this repository.
        pytest.skip(f"no official VDA 5050 schemas at {SCHEMAS}")
    running(driver)
    await work(fleet, driver, sink, until)
    checked: dict[str, set[str]] = {version: set() for version in VERSIONS.values()}
    for topic, body in fleet.seen:
        kind, version = topic.rpartition("/")[2], body["version"]
        assert version == VERSIONS[topic.split("/")[3].upper()]
        checked[version].add(kind)
        if (version, kind) not in NO_SCHEMA:
            jsonschema.Draft202012Validator(schema(version, kind)).validate(body)
    kinds = {"order", "instantActions", "state", "connection", "factsheet", "visualization"}
    assert checked == dict.fromkeys(VERSIONS.values(), kinds)


def test_a_misspelt_field_does_not_pass_the_schemas():
    if not SCHEMAS.is_dir():
        pytest.skip(f"no official VDA 5050 schemas at {SCHEMAS}")
    head = {"headerId": 1, "timestamp": NOW, "version": "3.0.0", "manufacturer": "m", "serialNumber": "s"}
    edge = {"edgeId": "E", "sequenceId": 1, "released": True, "actions": [], "maximumSpeed": 1.0}
    node = {"nodeId": "N", "sequenceId": 0, "released": True, "actions": []}
    order = {**head, "orderId": "O", "orderUpdateId": 0, "nodes": [node, {**node, "sequenceId": 2}], "edges": [edge]}
    validator = jsonschema.Draft202012Validator(schema("3.0.0", "order"))
    validator.validate(order)
    typo = copy.deepcopy(order)
    typo["edges"][0]["maxSpeed"] = typo["edges"][0].pop("maximumSpeed")
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(typo)


async def test_what_the_factsheet_rules_out_is_not_written(fleet, driver, sink, running, until):
    running(driver)
    await until(lambda: all(sink.links(name) == ["up"] for name in VERSIONS), "all three up")
    await until(lambda: all(sink.notices(name) for name in VERSIONS), "all factsheets")
    wire = {"AGV20": "initPosition", "AGV21": "initPosition", "AGV30": "initializePosition"}
    for name, kind in wire.items():
        with pytest.raises(NotWritten, match=f"^{name}: action {kind} is not among those that its factsheet") as no:
            await driver.send(command(name, Instant("i", "initPosition")))
        assert no.value.certain
        long = Drive("D", 0, "hall", tuple(DriveNode("A0", 2 * n, True, 0, 0) for n in range(201)), ())
        with pytest.raises(NotWritten, match=r"order\.nodes has 201 entries, its factsheet allows 200") as no:
            await driver.send(command(name, long))
        assert no.value.certain
        kinds = [action["actionType"] for body in fleet.sent(name, "instantActions") for action in body["actions"]]
        assert set(kinds) <= {"stateRequest", "factsheetRequest"}
        assert not fleet.sent(name, "order")


async def test_a_vehicle_of_another_version_is_not_up_and_says_why(fleet, driver, sink, running, until):
    running(driver)
    await until(lambda: all(sink.links(name) == ["up"] for name in VERSIONS), "all three up")
    await until(lambda: fleet.sent("AGV21", "state"))
    state = {**fleet.sent("AGV21", "state")[-1], "version": "3.0.0"}
    async with aiomqtt.Client("127.0.0.1", fleet.port, identifier="stranger") as stranger:
        await stranger.publish(f"uagv/v2/{MAKER}/agv21/state", json.dumps(state), qos=1)
    await until(lambda: "down" in sink.links("AGV21"), "the strange state is refused")
    down = next(post for post in sink.posts if getattr(post, "state", "") == "down")
    assert down.reason.startswith("AGV21: vehicle speaks VDA 5050 3.0.0, its profile says 2.1.0: give it the profile")
    assert sink.links("AGV20") == sink.links("AGV30") == ["up"]
