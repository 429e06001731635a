"""VdaDriver against a real broker, with a plain MQTT client that plays the vehicles."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import jsonschema
import pytest
from amqtt.broker import Broker

from drivers.vda5050.driver import VdaDriver
from gateway.contract import Command, LinkChanged, NotWritten, Report
from gateway.devices.agv import AgvFactsheet, Drive, DriveAction, DriveEdge, DriveNode, Instant
from gateway.site import AgvSpec

NOW = "2026-01-02T03:04:05.678Z"
HEADER = {"headerId": 1, "timestamp": NOW, "version": "2.1.0", "manufacturer": "stellwerk"}
PLUGINS = {
    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
}


class TestBroker:
    """An amqtt broker on one loopback port that can be stopped and started."""

    __test__ = False

    def __init__(self, port: int) -> None:
        self.port = port
        self._broker: Broker | None = None

    async def start(self) -> None:
        listener = {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}}
        self._broker = Broker({"listeners": listener, "plugins": PLUGINS})
        await self._broker.start()

    async def stop(self) -> None:
        if self._broker is not None:
            await self._broker.shutdown()
            self._broker = None


class Fleet:
    """What vehicles say and hear on the wire."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[tuple[str, dict[str, Any]]] = []

    async def listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.heard.append((str(message.topic), json.loads(message.payload)))

    def actions(self, serial: str) -> list[str]:
        """The kinds of the instant actions that a vehicle has got, in order."""
        return [
            action["actionType"]
            for topic, body in self.heard
            if topic == f"uagv/v2/stellwerk/{serial}/instantActions"
            for action in body["actions"]
        ]

    def orders(self, serial: str) -> list[dict[str, Any]]:
        return [body for topic, body in self.heard if topic == f"uagv/v2/stellwerk/{serial}/order"]

    async def say(self, serial: str, kind: str, body: dict[str, Any] | bytes, *, retain: bool = False) -> None:
        payload = body if isinstance(body, bytes) else json.dumps({**HEADER, "serialNumber": serial, **body}).encode()
        await self.client.publish(f"uagv/v2/stellwerk/{serial}/{kind}", payload, qos=1, retain=retain)

    async def online(self, serial: str, word: str = "ONLINE") -> None:
        await self.say(serial, "connection", {"connectionState": word}, retain=True)

    async def state(self, serial: str, **changes: Any) -> None:
        await self.say(serial, "state", {**STATE, **changes})


STATE: dict[str, Any] = {
    "orderId": "", "orderUpdateId": 0, "lastNodeId": "N1", "lastNodeSequenceId": 0, "nodeStates": [], "edgeStates": [],
    "driving": False, "operatingMode": "AUTOMATIC", "actionStates": [], "errors": [],
    "batteryState": {"batteryCharge": 80.5, "charging": False},
    "safetyState": {"eStop": "NONE", "fieldViolation": False},
    "agvPosition": {"x": 1.5, "y": -2.0, "theta": 0.5, "mapId": "floor", "positionInitialized": True},
}  # fmt: skip


def specs(port: int, count: int = 2) -> list[AgvSpec]:
    return [
        AgvSpec.model_validate(
            {
                "id": f"AGV{n}", "type": "agv", "driver": "vda5050", "profile": "vda5050-2.1", "home": f"H{n}",
                "connection": {"host": "127.0.0.1", "port": port, "manufacturer": "stellwerk", "serial": f"agv-{n}"},
            }
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def drive(update_id: int = 0) -> Drive:
    pick = DriveAction("a1", "pick", {"stationName": "RACK-1", "loadId": "L1", "height": None})
    return Drive(
        drive_id="D1",
        update_id=update_id,
        map_id="floor",
        nodes=(
            DriveNode("N1", 0, True, 1500, -2000),
            DriveNode("N2", 2, True, 3250, -2000, (pick,)),
            DriveNode("N3", 4, False, 5000, 0),
        ),
        edges=(DriveEdge("N1-N2", 1, True, "N1", "N2", 1200), DriveEdge("N2-N3", 3, False, "N2", "N3", 1200)),
    )


def command(action: Any, device: str = "AGV1", deadline_ns: int = 10**18) -> Command[Any]:
    return Command("c1", device, 1, 1, deadline_ns, action)


@pytest.fixture
async def broker(free_port: Any) -> AsyncIterator[TestBroker]:
    broker = TestBroker(free_port())
    await broker.start()
    yield broker
    await broker.stop()


@contextlib.asynccontextmanager
async def visiting(broker: TestBroker, name: str) -> AsyncIterator[Fleet]:
    async with aiomqtt.Client("127.0.0.1", broker.port, identifier=name) as client:
        await client.subscribe([("uagv/v2/stellwerk/+/order", 0), ("uagv/v2/stellwerk/+/instantActions", 0)])
        fleet = Fleet(client)
        task = asyncio.create_task(fleet.listen())
        try:
            yield fleet
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await task


@pytest.fixture
async def fleet(broker: TestBroker) -> AsyncIterator[Fleet]:
    async with visiting(broker, "fleet") as fleet:
        yield fleet


@pytest.fixture
def make(broker: TestBroker, sink: Any, profile: Any) -> Callable[[int], VdaDriver]:
    def driver(stale_ms: int) -> VdaDriver:
        profiles = {"vda5050-2.1": profile("vda5050-2.1", stale_ms=stale_ms)}
        return VdaDriver(specs(broker.port), profiles, sink, lambda: 1000, lambda: NOW, rng=random.Random(1))

    return driver


@pytest.fixture
def driver(make: Callable[[int], VdaDriver]) -> VdaDriver:
    return make(60_000)


async def test_up_needs_online_and_a_state_and_the_vehicle_is_asked(fleet, sink, driver, running, until):
    await fleet.online("agv-1")
    running(driver)
    await until(lambda: fleet.actions("agv-1") == ["stateRequest", "factsheetRequest"], "both requests")
    assert not sink.links("AGV1")
    await fleet.state("agv-1")
    await until(lambda: sink.reports("AGV1"))
    assert [type(post) for post in sink.posts] == [LinkChanged, Report]
    report = sink.posts[1].data
    assert (report.last_node, report.battery_permille, report.localised, report.loads) == ("N1", 805, True, None)
    assert ("AGV1", {"x_mm": 1500, "y_mm": -2000, "theta_mrad": 500, "map": "floor"}) in sink.live
    await fleet.state("agv-1", headerId=2)
    await fleet.state("agv-1", lastNodeId="N2", loads=[{"loadId": "L1"}])
    await until(lambda: len(sink.reports("AGV1")) == 2)
    assert sink.reports("AGV1")[-1].loads == ("L1",)
    assert sink.links("AGV1") == ["up"]
    assert not sink.links("AGV2")


async def test_a_state_without_online_or_a_retained_one_is_no_life(fleet, sink, driver, running, until):
    await fleet.say("agv-1", "state", STATE, retain=True)
    await fleet.online("agv-1")
    running(driver)
    await until(lambda: fleet.actions("agv-1"))
    await fleet.state("agv-2")
    await until(lambda: [device for device, _ in sink.live] == ["AGV2"])
    assert not sink.posts


@pytest.mark.parametrize("word", ["OFFLINE", "CONNECTIONBROKEN"])
async def test_offline_and_a_broken_link_are_down(word, fleet, sink, driver, running, until):
    running(driver)
    for asked in (2, 4):
        await fleet.online("agv-1")
        await until(lambda asked=asked: len(fleet.actions("agv-1")) == asked, "asked for state and factsheet")
        await fleet.state("agv-1")
        await until(lambda: sink.links("AGV1")[-1:] == ["up"])
        await fleet.online("agv-1", word)
        await until(lambda: sink.links("AGV1")[-1] == "down")
    assert sink.links("AGV1") == ["up", "down", "up", "down"]
    assert len(sink.reports("AGV1")) == 2


async def test_a_vehicle_whose_states_stop_is_uncertain_until_the_next_one(fleet, sink, make, running, until):
    driver = make(300)
    running(driver)
    await fleet.online("agv-1")
    await until(lambda: fleet.actions("agv-1"))
    await fleet.state("agv-1")
    await until(lambda: sink.links("AGV1")[-2:] == ["up", "uncertain"], "no state for longer than stale_ms")
    with pytest.raises(NotWritten) as refused:
        await driver.send(command(drive()))
    assert refused.value.certain
    reports = len(sink.reports("AGV1"))
    await fleet.state("agv-1")
    await until(lambda: len(sink.reports("AGV1")) == reports + 1, "a full report with the link's return")
    assert sink.links("AGV1").count("up") == reports + 1


async def test_orders_and_instant_actions_are_valid_by_the_official_schemas(
    fleet, sink, driver, running, until, vda_schemas
):
    await fleet.online("agv-1")
    running(driver)
    await until(lambda: fleet.actions("agv-1"))
    await fleet.state("agv-1")
    await until(lambda: sink.links("AGV1") == ["up"])
    await driver.send(command(drive()))
    await driver.send(command(drive(update_id=1)))
    await driver.send(command(Instant("i1", "startCharging", {"minutes": 5})))
    await until(lambda: len(fleet.orders("agv-1")) == 2 and "startCharging" in fleet.actions("agv-1"))
    validators = {kind: validator(vda_schemas, kind) for kind in ("order", "instantActions")}
    for topic, body in fleet.heard:
        validators[topic.rpartition("/")[2]].validate(body)
    first, second = fleet.orders("agv-1")
    assert (first["headerId"], second["headerId"]) == (1, 2)
    assert [body["headerId"] for topic, body in fleet.heard if topic.endswith("instantActions")] == [1, 2, 3]
    assert first["nodes"][0]["nodePosition"] == {"x": 1.5, "y": -2.0, "mapId": "floor"}
    assert first["nodes"][1]["actions"] == [
        {
            "actionType": "pick",
            "actionId": "a1",
            "blockingType": "HARD",
            "actionParameters": [{"key": "stationName", "value": "RACK-1"}, {"key": "loadId", "value": "L1"}],
        }
    ]
    assert [node["released"] for node in first["nodes"]] == [True, True, False]
    assert (first["edges"][0]["startNodeId"], first["edges"][0]["maxSpeed"]) == ("N1", 1.2)
    with pytest.raises(NotWritten, match="after its deadline") as late:
        await driver.send(command(drive(), deadline_ns=1))
    assert late.value.certain


async def test_a_busy_state_becomes_a_report_in_our_words(fleet, sink, driver, running, until):
    await fleet.online("agv-1")
    running(driver)
    await until(lambda: fleet.actions("agv-1"))
    await fleet.state(
        "agv-1",
        orderId="D1",
        orderUpdateId=3,
        driving=True,
        nodeStates=[
            {"nodeId": "N3", "sequenceId": 4, "released": False},
            {"nodeId": "N2", "sequenceId": 2, "released": True},
        ],
        edgeStates=[{"edgeId": "E", "sequenceId": 1, "released": True}],
        actionStates=[{"actionId": "a1", "actionStatus": "FAILED", "resultDescription": "no load there"}],
        errors=[
            {
                "errorType": "orderUpdateError",
                "errorLevel": "WARNING",
                "errorReferences": [{"referenceKey": "orderId", "referenceValue": "D1"}],
            }
        ],
    )
    await until(lambda: sink.reports("AGV1"))
    (report,) = sink.reports("AGV1")
    assert [(p.node, p.sequence_id, p.released) for p in report.path] == [("N2", 2, True), ("N3", 4, False)]
    assert (report.drive_id, report.update_id, report.edges_left, report.driving) == ("D1", 3, 1, True)
    assert (report.actions[0].status, report.actions[0].result) == ("FAILED", "no load there")
    assert (report.errors[0].error_type, report.errors[0].drive_id) == ("orderUpdateError", "D1")


async def test_a_factsheet_is_a_notice_once(fleet, sink, driver, running, until):
    sheet = {
        "typeSpecification": {"seriesName": "T1"},
        "physicalParameters": {"speedMax": 1.5, "width": 0.6, "length": 0.85},
        "protocolFeatures": {"agvActions": [{"actionType": "pick"}, {"actionType": "drop"}]},
    }
    running(driver)
    await fleet.say("agv-2", "factsheet", sheet, retain=True)
    await until(lambda: sink.notices("AGV2"))
    await fleet.say("agv-2", "factsheet", {**sheet, "headerId": 2}, retain=True)
    await fleet.say("agv-2", "visualization", {"velocity": {"vx": 0.3, "vy": 0.4}})
    await until(lambda: sink.live == [("AGV2", {"speed_mm_s": 500})])
    assert [notice.data for notice in sink.notices("AGV2")] == [AgvFactsheet("T1", ("pick", "drop"), 1500, 850, 600)]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe{",
        b"[]",
        b"[" * 5000,
        b'{"serialNumber": "agv-1"}',
        b'{"x": ' + b"1" * 5000 + b"}",
        json.dumps({**HEADER, **STATE, "serialNumber": "agv-9"}).encode(),
        json.dumps({**HEADER, **STATE, "serialNumber": "agv-1", "operatingMode": "DANCING"}).encode(),
        json.dumps({**HEADER, **STATE, "serialNumber": "agv-1", "driving": "yes"}).encode(),
        json.dumps({**HEADER, **STATE, "serialNumber": "agv-1"}).replace("80.5", "1e999").encode(),
        json.dumps({**HEADER, **STATE, "serialNumber": "agv-1"}).replace("1.5", "1e300").encode(),
        json.dumps({**HEADER, **STATE, "serialNumber": "agv-1", "lastNodeId": "x" * 300_000}).encode(),
    ],
    ids=lambda payload: f"{len(payload)} bytes",
)
async def test_hostile_json_is_told_and_harms_nothing_else(payload, fleet, sink, driver, running, until):
    await fleet.online("agv-1")
    await fleet.online("agv-2")
    running(driver)
    await until(lambda: fleet.actions("agv-1") and fleet.actions("agv-2"))
    await fleet.state("agv-1")
    await until(lambda: sink.links("AGV1") == ["up"])
    await fleet.say("agv-1", "state", payload)
    await until(lambda: sink.bad, "the bad message is told")
    assert sink.bad[0][:2] == ("AGV1", "state")
    assert sink.bad[0][3]
    await fleet.state("agv-2")
    await until(lambda: sink.links("AGV2") == ["up"])
    assert len(sink.reports("AGV1")) == 1
    assert "down" not in sink.links("AGV1")


async def test_a_broker_that_goes_takes_all_down_and_its_return_brings_them_up(broker, sink, driver, running, until):
    running(driver)
    async with visiting(broker, "one") as first:
        for serial in ("agv-1", "agv-2"):
            await first.online(serial)
        await until(lambda: first.actions("agv-1") and first.actions("agv-2"), "both are asked")
        for serial in ("agv-1", "agv-2"):
            await first.state(serial)
        await until(lambda: sink.links("AGV1") == sink.links("AGV2") == ["up"])
    await broker.stop()
    await until(lambda: sink.links("AGV1") == sink.links("AGV2") == ["up", "down"])
    assert f"MQTT broker 127.0.0.1:{broker.port}" in sink.reason("AGV1")
    with pytest.raises(NotWritten) as refused:
        await driver.send(command(drive()))
    assert refused.value.certain
    await broker.start()
    async with visiting(broker, "two") as second:
        await second.online("agv-1")
        await until(lambda: "stateRequest" in second.actions("agv-1"))
        await second.state("agv-1")
        await until(lambda: sink.links("AGV1") == ["up", "down", "up"])
    assert len(sink.reports("AGV1")) == 2
    assert sink.links("AGV2") == ["up", "down"]


async def test_specs_of_two_brokers_are_refused(sink, profile):
    with pytest.raises(ValueError, match="one broker"):
        VdaDriver([*specs(1), *specs(2)], {"vda5050-2.1": profile("vda5050-2.1")}, sink, lambda: 0, lambda: NOW)


async def test_a_broker_that_is_not_there_is_told_for_each_vehicle(sink, profile, free_port, running, until):
    port = free_port()
    running(VdaDriver(specs(port), {"vda5050-2.1": profile("vda5050-2.1")}, sink, lambda: 0, lambda: NOW))
    await until(lambda: sink.links("AGV1") == sink.links("AGV2") == ["down"])
    assert sink.reason("AGV2").startswith(f"AGV2: MQTT broker 127.0.0.1:{port}: ")


def validator(folder: Path, kind: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads((folder / f"{kind}.schema").read_text("utf-8")))
