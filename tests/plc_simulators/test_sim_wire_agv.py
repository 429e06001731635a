"""Vehicles on a real broker: topics, retained messages, last will, and the official VDA 5050 2.1.0 schemas."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import jsonschema
import pytest

from plc_simulators.rig import Rig

SITE = """
map:
  id: hall
  nodes: [{id: A, x_mm: 0, y_mm: 0}, {id: B, x_mm: 3000, y_mm: 4000}]
locations:
  - {id: RACK, kind: rack, capacity: 4, node: B}
devices:
  - {id: AGV1, type: agv, home: A, connection: {manufacturer: stellwerk, serial: agv-1}}
"""
TOPIC = "uagv/v2/stellwerk/agv-1"
HEADER = {
    "headerId": 0,
    "timestamp": "2026-11-02T08:00:00.000Z",
    "version": "2.1.0",
    "manufacturer": "stellwerk",
    "serialNumber": "agv-1",
}
ORDER = {
    **HEADER,
    "orderId": "O1",
    "orderUpdateId": 0,
    "nodes": [
        {"nodeId": "A", "sequenceId": 0, "released": True, "actions": []},
        {
            "nodeId": "B",
            "sequenceId": 2,
            "released": True,
            "nodePosition": {"x": 3.0, "y": 4.0, "mapId": "hall"},
            "actions": [
                {
                    "actionId": "p1",
                    "actionType": "pick",
                    "blockingType": "HARD",
                    "actionParameters": [{"key": "stationName", "value": "RACK"}, {"key": "loadId", "value": "L1"}],
                }
            ],
        },
    ],
    "edges": [
        {"edgeId": "A-B", "sequenceId": 1, "released": True, "startNodeId": "A", "endNodeId": "B", "actions": []}
    ],
}


class Listener:
    """A plain MQTT client that reads all of one vehicle's topics."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.seen: list[tuple[str, bool, dict[str, Any]]] = []

    async def until(self, topic: str, true: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Read on until a message of `topic` for which `true` holds, and return it."""
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            name, body = message.topic.value.rsplit("/", 1)[1], json.loads(message.payload)
            self.seen.append((name, message.retain, body))
            if name == topic and true(body):
                return dict(body)
        raise AssertionError(f"the broker closed before {topic} came")

    async def send(self, topic: str, body: object) -> None:
        await self.client.publish(f"{TOPIC}/{topic}", json.dumps(body))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    (tmp_path / "site.yaml").write_text(SITE)
    async with Rig(tmp_path, speed=10) as running:
        yield running


@pytest.fixture
async def listener(rig: Rig) -> AsyncIterator[Listener]:
    async with aiomqtt.Client("127.0.0.1", int(rig.environment["STELLWERK_MQTT_PORT"])) as client:
        await client.subscribe(f"{TOPIC}/#")
        yield Listener(client)


async def test_a_vehicle_carries_out_an_order_and_says_so_in_valid_messages(
    rig: Rig, listener: Listener, schemas: Path
) -> None:
    rig.plant.put("L1", [], "RACK")
    first = await listener.until("state")
    assert (first["orderId"], first["lastNodeId"], first["nodeStates"]) == ("", "A", [])
    await listener.send("order", ORDER)
    await listener.until("state", lambda s: s["driving"] and s["orderId"] == "O1")
    last = await listener.until("state", lambda s: any(a["actionStatus"] == "FINISHED" for a in s["actionStates"]))
    assert (last["lastNodeId"], last["lastNodeSequenceId"], last["nodeStates"], last["edgeStates"]) == ("B", 2, [], [])
    assert last["loads"] == [{"loadId": "L1", "loadType": "tote", "loadPosition": "deck"}]
    assert (last["agvPosition"]["x"], last["agvPosition"]["y"]) == (3.0, 4.0)
    assert rig.plant.loads() == {"L1": "AGV1"}
    await listener.until("visualization")
    await listener.send("order", {**ORDER, "nodes": []})
    broken = await listener.until("state", lambda s: bool(s["errors"]))
    assert [error["errorType"] for error in broken["errors"]] == ["validationError"]
    await listener.send("instantActions", {**HEADER, "actions": [{
        "actionId": "c1", "actionType": "cancelOrder", "blockingType": "HARD", "actionParameters": [],
    }]})  # fmt: skip
    await listener.until("state", lambda s: any(e["errorType"] == "noOrderToCancel" for e in s["errors"]))
    own = [(topic, body) for topic, _, body in listener.seen if topic not in ("order", "instantActions")]
    assert {topic for topic, _ in own} == {"state", "visualization", "connection", "factsheet"}
    for topic, body in own:
        schema = json.loads((schemas / f"{topic}.schema").read_text())
        jsonschema.validate(body, schema, format_checker=jsonschema.FormatChecker())
    heads = [body["headerId"] for topic, body in own if topic == "state"]
    assert heads == list(range(heads[0], heads[0] + len(heads)))


async def test_the_same_order_twice_is_driven_once(rig: Rig, listener: Listener) -> None:
    await listener.send("order", ORDER)
    await listener.send("order", ORDER)
    last = await listener.until("state", lambda s: any(a["actionStatus"] == "FAILED" for a in s["actionStates"]))
    assert [(a["actionId"], a["resultDescription"]) for a in last["actionStates"]] == [("p1", "load L1 is not at RACK")]
    assert (last["errors"], rig.plant.vehicles["AGV1"].orders_accepted) == ([], 1)


async def test_connection_and_factsheet_are_retained(rig: Rig, listener: Listener) -> None:
    connection = await listener.until("connection")
    assert connection["connectionState"] == "ONLINE"
    if not any(topic == "factsheet" for topic, _, _ in listener.seen):
        await listener.until("factsheet")
    retained = {topic: retain for topic, retain, _ in listener.seen if topic in ("connection", "factsheet")}
    assert retained == {"connection": True, "factsheet": True}
    sheet = next(body for topic, _, body in listener.seen if topic == "factsheet")
    names = {entry["actionType"] for entry in sheet["protocolFeatures"]["agvActions"]}
    assert names >= {"pick", "drop", "cancelOrder", "stateRequest", "factsheetRequest"}


async def test_requests_for_state_and_factsheet_are_answered(rig: Rig, listener: Listener) -> None:
    await listener.until("state")
    await listener.until("connection") if not any(t == "connection" for t, _, _ in listener.seen) else None
    before = sum(topic == "factsheet" for topic, _, _ in listener.seen)
    asked = [{"actionId": k, "actionType": k, "blockingType": "NONE"} for k in ("stateRequest", "factsheetRequest")]
    await listener.send("instantActions", {**HEADER, "actions": asked})
    done = await listener.until("state", lambda s: len(s["actionStates"]) == 2)
    assert [state["actionStatus"] for state in done["actionStates"]] == ["FINISHED", "FINISHED"]
    while sum(topic == "factsheet" for topic, _, _ in listener.seen) <= before:
        await listener.until("factsheet")


async def test_a_dropped_link_dies_without_goodbye_and_the_vehicle_drives_on(rig: Rig, listener: Listener) -> None:
    await listener.until("connection", lambda c: c["connectionState"] == "ONLINE")
    await listener.send("order", ORDER)
    await listener.until("state", lambda s: bool(s["driving"]))
    await rig.fault("link_drop", "AGV1")
    await listener.until("connection", lambda c: c["connectionState"] == "CONNECTIONBROKEN")
    await rig.fault("link_drop", "AGV1", on=False)
    await listener.until("connection", lambda c: c["connectionState"] == "ONLINE")
    await listener.until("state", lambda s: s["lastNodeId"] == "B" and s["orderId"] == "O1")


async def test_an_orderly_end_says_offline(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    async with Rig(tmp_path) as broker:  # its broker stays while the other rig's vehicle leaves
        port = int(broker.environment["STELLWERK_MQTT_PORT"])
        await broker.fault("link_drop", "AGV1")
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe(f"{TOPIC}/connection")
            listener = Listener(client)
            async with Rig(tmp_path, mqtt_port=port) as guest:
                assert guest.environment["STELLWERK_MQTT_PORT"] == str(port)
                await listener.until("connection", lambda c: c["connectionState"] == "ONLINE")
            await listener.until("connection", lambda c: c["connectionState"] == "OFFLINE")
