"""What VdaDriver keeps about each vehicle: figures, captures, messages sent again, times, maps, other roots, leases."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from amqtt.broker import Broker

from drivers.capture import Capture
from drivers.vda5050 import vehicle as vehicle_module
from drivers.vda5050.driver import VdaDriver
from drivers.vda5050.leases import LEASE_S
from gateway.contract import Command, NotWritten
from gateway.devices.agv import Drive, DriveEdge, DriveNode, Instant
from gateway.shell.clock import utc_now
from gateway.site import AgvSpec
from plc_simulators.servers.broker import EmbeddedBroker

LATER_NS = 10**18
BODY: dict[str, Any] = {
    "orderId": "", "orderUpdateId": 0, "lastNodeId": "A", "lastNodeSequenceId": 0, "nodeStates": [], "edgeStates": [],
    "driving": False, "operatingMode": "AUTOMATIC", "actionStates": [], "errors": [],
}  # fmt: skip
STATE_2 = {
    **BODY,
    "batteryState": {"batteryCharge": 80.0, "charging": False},
    "safetyState": {"eStop": "NONE", "fieldViolation": False},
}
STATE_3 = {
    **BODY,
    "instantActionStates": [],
    "powerSupply": {"stateOfCharge": 80.0, "charging": False},
    "safetyState": {"activeEmergencyStop": "NONE", "fieldViolation": False},
}
SHEET_2: dict[str, Any] = {
    "typeSpecification": {"seriesName": "T1"},
    "physicalParameters": {"speedMax": 1.5, "width": 0.6, "length": 0.85},
    "protocolFeatures": {"agvActions": []},
}
ROOTS = {"AGV1": ("uagv/v2/stellwerk/agv1", "2.1.0", STATE_2), "AGV3": ("uagv/v3/stellwerk/agv3", "3.0.0", STATE_3)}


class Wire:
    """Plays both vehicles, and keeps what they are sent: topic's last part and raw payload."""

    def __init__(self, client: aiomqtt.Client, port: int) -> None:
        self.client = client
        self.port = port
        self.heard: list[tuple[str, str, bytes]] = []

    async def listen(self) -> None:
        async for message in self.client.messages:
            root, _, kind = message.topic.value.rpartition("/")
            self.heard.append((root, kind, bytes(message.payload)))

    def sent(self, name: str, kind: str) -> list[bytes]:
        return [payload for root, found, payload in self.heard if (root, found) == (ROOTS[name][0], kind)]

    def actions(self, name: str) -> list[str]:
        bodies = [json.loads(payload) for payload in self.sent(name, "instantActions")]
        return [action["actionType"] for body in bodies for action in body["actions"]]

    async def say(self, name: str, kind: str, body: dict[str, Any], root: str = "", version: str = "") -> None:
        own, spoken, _ = ROOTS[name]
        head = {"headerId": 1, "timestamp": utc_now(), "version": version or spoken, "serialNumber": name.lower()}
        retain = kind in ("connection", "factsheet")
        payload = json.dumps({**head, "manufacturer": "stellwerk", **body})
        await self.client.publish(f"{root or own}/{kind}", payload, qos=1, retain=retain)

    async def state(self, name: str, **changes: Any) -> None:
        await self.say(name, "state", {**ROOTS[name][2], **changes})

    async def online(self, name: str, word: str = "ONLINE") -> None:
        await self.say(name, "connection", {"connectionState": word})


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    broker = EmbeddedBroker()
    await broker.open()
    async with aiomqtt.Client("127.0.0.1", broker.port, identifier="vehicles") as client:
        sent = [(f"{root}/{kind}", 0) for root, _, _ in ROOTS.values() for kind in ("order", "instantActions")]
        await client.subscribe([*sent, ("uagv/v3/stellwerk/agv3/responses", 0)])
        wire = Wire(client, broker.port)
        task = asyncio.create_task(wire.listen())
        yield wire
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await broker.close()


def specs(port: int) -> list[AgvSpec]:
    return [
        AgvSpec.model_validate(
            {
                "id": name, "type": "agv", "driver": "vda5050", "profile": f"vda5050-{version[:3]}", "home": "H",
                "connection": {"port": port, "manufacturer": "stellwerk", "serial": name.lower()},
            }
        )
        for name, (_, version, _) in ROOTS.items()
    ]  # fmt: skip


@pytest.fixture
def make(wire: Any, sink: Any, profile: Any) -> Callable[..., VdaDriver]:
    def driver(**named: Any) -> VdaDriver:
        profiles = {name: profile(name) for name in ("vda5050-2.1", "vda5050-3.0")}
        return VdaDriver(specs(wire.port), profiles, sink, lambda: 0, utc_now, rng=random.Random(1), **named)

    return driver


@pytest.fixture
def bring_up(wire: Any, sink: Any, running: Any, until: Any) -> Callable[..., Any]:
    async def start(driver: VdaDriver, *names: str, **changes: Any) -> VdaDriver:
        """Run the driver until the named vehicles are up, each with one state."""
        running(driver)
        for name in names:
            await wire.online(name)
            await until(lambda name=name: len(wire.actions(name)) == 2, "asked for state and factsheet")
            await wire.state(name, **changes)
            await until(lambda name=name: sink.links(name) == ["up"], f"{name} up")
        return driver

    return start


def command(name: str, action: Any, deadline_ns: int = LATER_NS) -> Command[Any]:
    return Command("c", name, 1, 1, deadline_ns, action)


def drive(update_id: int = 0, released: int = 1, drive_id: str = "D1") -> Drive:
    """A → B → C, of which the first `released` edges belong to the base."""
    nodes = tuple(DriveNode(name, 2 * n, n <= released, 1000 * n, 0) for n, name in enumerate("ABC"))
    edges = tuple(DriveEdge(f"{a}-{b}", 2 * n + 1, n < released, a, b, 1000) for n, (a, b) in enumerate(("AB", "BC")))
    return Drive(drive_id, update_id, "hall", nodes, edges)


# --- figures and captures ---


async def test_figures_count_messages_publications_and_the_time_until_a_state_shows_a_command(
    wire, make, bring_up, sink, until
):
    driver = await bring_up(make(), "AGV1")
    first = driver.figures()[0]
    assert (first.device, first.protocol, first.connects, first.requests, first.errors) == ("AGV1", "vda5050", 1, 2, 0)
    assert first.messages_in >= 2
    assert first.latency_buckets == (0,) * 13
    await driver.send(command("AGV1", drive()))
    await driver.send(command("AGV1", drive()))
    await driver.send(command("AGV1", Instant("i1", "startCharging")))
    await wire.state("AGV1", orderId="D1")
    await until(lambda: sum(driver.figures()[0].latency_buckets) == 1, "the drive is shown")
    await wire.state("AGV1", orderId="D1", actionStates=[{"actionId": "i1", "actionStatus": "RUNNING"}])
    await until(lambda: sum(driver.figures()[0].latency_buckets) == 2, "the instant action is shown")
    await wire.state("AGV1", driving="perhaps")
    await until(lambda: driver.figures()[0].bad_values == 1)
    figures = driver.figures()[0]
    assert (figures.requests, figures.errors, figures.bad_values) == (5, 0, 1)
    assert figures.messages_in == first.messages_in + 2
    assert 0 < figures.latency_sum_ms < 10_000
    assert figures.data_age_ms is not None
    assert driver.figures()[1].data_age_ms is None


async def test_a_command_that_no_state_ever_shows_counts_as_unanswered(profile, sink):
    spec = specs(1883)[0]
    agv = vehicle_module.Vehicle(spec, profile("vda5050-2.1"), sink)
    agv.sending(drive(), 0)
    agv.age(vehicle_module.UNANSWERED_NS)
    assert agv.meter.errors == 0
    agv.age(vehicle_module.UNANSWERED_NS + 1)
    assert agv.meter.errors == 1
    for n in range(vehicle_module.WAITING_MAX + 3):
        agv.sending(Instant(f"i{n}", "startPause"), 0)
    assert agv.meter.errors == 4


async def test_a_capture_holds_both_ways_and_what_is_no_text_as_hex(wire, make, bring_up, until, tmp_path: Path):
    capture = Capture(tmp_path / "day.jsonl", itertools.count().__next__)
    driver = await bring_up(make(capture=capture), "AGV1")
    await driver.send(command("AGV1", drive()))
    await wire.client.publish(f"{ROOTS['AGV1'][0]}/state", b"\xff\x00", qos=1)
    await until(lambda: driver.figures()[0].bad_values == 1)
    lines = [json.loads(line) for line in (tmp_path / "day.jsonl").read_text().splitlines()]
    assert {line["protocol"] for line in lines} == {"vda5050"}
    assert {line["link"] for line in lines} == {f"127.0.0.1:{wire.port}"}
    out = [line for line in lines if line["way"] == "out"]
    assert [line["topic"].rpartition("/")[2] for line in out] == ["instantActions", "instantActions", "order"]
    assert out[-1]["payload"].encode() == wire.sent("AGV1", "order")[0]
    assert (out[-1]["qos"], out[-1]["retain"]) == (0, False)
    came = {line["topic"].rpartition("/")[2]: line for line in lines if line["way"] == "in"}
    assert json.loads(came["connection"]["payload"])["connectionState"] == "ONLINE"
    assert came["connection"]["qos"] == 1
    assert came["state"]["payload_hex"] == "ff00"
    assert "payload" not in came["state"]
    capture.close()


# --- an older state ---


async def test_an_older_state_never_follows_a_newer_one(wire, make, bring_up, sink, until):
    await bring_up(make(), "AGV1", headerId=100, timestamp="2026-01-01T10:00:00.000Z")
    await wire.state("AGV1", headerId=101, timestamp="2026-01-01T10:00:01.000Z", lastNodeId="B")
    await wire.state("AGV1", headerId=99, timestamp="2026-01-01T09:59:59.000Z", lastNodeId="OLD")
    await until(lambda: sink.bad)
    assert sink.bad[0][3].startswith("an older state (headerId 99, 2026-01-01T09:59:59.000Z) after a newer one (101, ")
    assert [report.last_node for report in sink.reports("AGV1")] == ["A", "B"]


@pytest.mark.parametrize(
    ("header_id", "timestamp"),
    [
        (0, "2026-01-01T10:00:02.000Z"),
        (102, "2026-01-01T08:00:00.000Z"),
        (101, "2026-01-01T10:00:01.000Z"),
        (0, "2026-01-01T10:00Z"),
    ],
    ids=["counted anew", "clock set back", "the same twice", "another format"],
)
async def test_a_count_or_a_clock_that_begins_anew_is_no_older_state(
    header_id, timestamp, wire, make, bring_up, sink, until
):
    await bring_up(make(), "AGV1", headerId=101, timestamp="2026-01-01T10:00:01.000Z")
    await wire.state("AGV1", headerId=header_id, timestamp=timestamp, lastNodeId="B")
    await until(lambda: [report.last_node for report in sink.reports("AGV1")] == ["A", "B"])


async def test_a_vehicle_that_comes_online_again_may_count_from_anywhere(wire, make, bring_up, sink, until):
    await bring_up(make(), "AGV1", headerId=101, timestamp="2026-01-01T10:00:01.000Z")
    await wire.online("AGV1")
    await wire.state("AGV1", headerId=0, timestamp="1970-01-01T00:00:00.000Z", lastNodeId="B")
    await until(lambda: [report.last_node for report in sink.reports("AGV1")] == ["A", "B"])


# --- sent again, and not too often ---


async def test_a_drive_that_is_sent_again_is_the_same_message_byte_by_byte(wire, make, bring_up, until):
    driver = await bring_up(make(), "AGV1")
    for action in (drive(), drive(), drive(1, 2), drive(1, 2), Instant("i", "startPause"), Instant("i", "startPause")):
        await driver.send(command("AGV1", action))
    await until(lambda: len(wire.sent("AGV1", "order")) == 4 and len(wire.sent("AGV1", "instantActions")) == 4)
    first, again, update, update_again = wire.sent("AGV1", "order")
    assert first == again != update == update_again
    assert [json.loads(payload)["headerId"] for payload in (first, update)] == [1, 2]
    assert len(set(wire.sent("AGV1", "instantActions")[2:])) == 1


async def test_the_same_numbers_with_another_content_are_a_new_message(wire, make, bring_up, until):
    driver = await bring_up(make(), "AGV1")
    await driver.send(command("AGV1", drive()))
    await driver.send(command("AGV1", drive(released=2)))
    await until(lambda: len(wire.sent("AGV1", "order")) == 2)
    one, two = (json.loads(payload) for payload in wire.sent("AGV1", "order"))
    assert (one["headerId"], two["headerId"]) == (1, 2)
    assert [edge["released"] for edge in two["edges"]] == [True, True]


async def test_a_vehicle_that_flaps_is_asked_once_in_a_while(wire, make, running, until, sink):
    running(make())
    began_s = time.monotonic()
    for _ in range(20):
        await wire.online("AGV1")
        await wire.online("AGV1", "OFFLINE")
    await wire.online("AGV1")
    await wire.state("AGV1")
    await until(lambda: sink.links("AGV1")[-1:] == ["up"], "the last word is ONLINE")
    await until(lambda: len(wire.actions("AGV1")) == 4, "asked at first, and once more when the time was over")
    assert time.monotonic() - began_s > vehicle_module.ASK_EVERY_NS / 1e9
    assert wire.actions("AGV1") == ["stateRequest", "factsheetRequest"] * 2


# --- what the factsheet and the maps rule out ---


async def with_interval(wire: Any, driver: VdaDriver, sink: Any, until: Any, interval_s: float) -> None:
    await wire.say("AGV1", "factsheet", {**SHEET_2, "protocolLimits": {"timing": {"minOrderInterval": interval_s}}})
    await until(lambda: sink.notices("AGV1"))
    await driver.send(command("AGV1", drive()))


async def test_the_least_time_between_orders_is_waited_for(wire, make, bring_up, sink, until):
    driver = await bring_up(make(), "AGV1")
    began_s = time.monotonic()
    await with_interval(wire, driver, sink, until, 0.8)
    waiting = asyncio.create_task(driver.send(command("AGV1", drive(1))))
    await driver.send(command("AGV1", Instant("i", "startPause")))
    await until(lambda: "startPause" in wire.actions("AGV1"), "an instant action is no order")
    assert not waiting.done()
    assert len(wire.sent("AGV1", "order")) == 1
    await waiting
    assert time.monotonic() - began_s >= 0.8
    await until(lambda: len(wire.sent("AGV1", "order")) == 2)


async def test_a_wait_that_is_too_long_or_beyond_the_deadline_is_refused(wire, make, bring_up, sink, until):
    driver = await bring_up(make(), "AGV1")
    await with_interval(wire, driver, sink, until, 30.0)
    with pytest.raises(
        NotWritten, match=r"^AGV1: its factsheet wants 30 s between orders, [23][09].[0-9]+ s of them"
    ) as no:
        await driver.send(command("AGV1", drive(1)))
    assert no.value.certain
    shorter = {**SHEET_2, "protocolLimits": {"timing": {"minOrderInterval": 0.99}}}
    shorter["typeSpecification"] = {"seriesName": "T2"}
    await wire.say("AGV1", "factsheet", shorter)
    await until(lambda: len(sink.notices("AGV1")) == 2)
    with pytest.raises(NotWritten, match=r"its factsheet wants 0\.99 s"):
        await driver.send(command("AGV1", drive(1), deadline_ns=10**6))
    assert len(wire.sent("AGV1", "order")) == 1


@pytest.mark.parametrize("name", ROOTS)
async def test_no_order_goes_to_a_vehicle_without_the_map(name, wire, make, bring_up, sink, until):
    listed = [
        {"mapId": "hall", "mapVersion": "1", "mapStatus": "DISABLED"},
        {"mapId": "yard", "mapVersion": "1", "mapStatus": "ENABLED"},
    ]
    driver = await bring_up(make(), name, maps=listed)
    with pytest.raises(NotWritten) as no:
        await driver.send(command(name, drive()))
    assert no.value.certain
    lists = "its state lists the maps hall (disabled), yard (enabled), none is hall enabled: enable it there"
    assert no.value.reason.startswith(f"{name}: {lists}")
    await driver.send(command(name, Instant("i", "enableMap", {"mapId": "hall", "mapVersion": "1"})))
    await wire.state(name, lastNodeId="B", maps=[{**listed[0], "mapStatus": "ENABLED"}])
    await until(lambda: sink.reports(name)[-1].last_node == "B")
    await driver.send(command(name, drive()))
    await until(lambda: wire.sent(name, "order"))


# --- another root ---


@pytest.mark.parametrize(
    ("root", "version", "says"),
    [
        ("vda5050/v3/stellwerk/agv1", "3.0.0", "it speaks v3 under vda5050, its profile says v2"),
        ("uagv/v3/stellwerk/agv1", "3.0.0", "it speaks v3 under uagv, its profile says v2"),
        ("acme/v2/stellwerk/agv1", "2.1.0", "it speaks v2 under acme, its profile says v2 and its connection uagv"),
    ],
)
async def test_a_vehicle_under_another_root_is_not_called_silent(
    root, version, says, wire, make, running, sink, until, monkeypatch
):
    monkeypatch.setattr(vehicle_module, "SILENT_MS", 300)
    await wire.say("AGV1", "connection", {"connectionState": "ONLINE"}, root, version)
    running(make())
    await until(lambda: sink.links("AGV1") == sink.links("AGV3") == ["down"])
    assert says in sink.reason("AGV1")
    assert "is the vehicle on" in sink.reason("AGV3")
    await wire.online("AGV1")
    await wire.state("AGV1")
    await until(lambda: sink.links("AGV1") == ["down", "up"], "its own root outranks any other")


@pytest.mark.filterwarnings("ignore:The 'acl' option is deprecated")
async def test_a_broker_that_lets_nobody_read_other_roots_still_shows_the_vehicle(
    free_port, sink, profile, running, until
):
    port = free_port()
    allowed = {"anonymous": ["uagv/v2/stellwerk/#", "uagv/v3/stellwerk/#"]}
    plugins = {
        "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
        "amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {"acl": allowed},
    }
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": plugins})
    await broker.start()
    try:
        async with aiomqtt.Client("127.0.0.1", port, identifier="vehicles") as client:
            (code,) = await client.subscribe("+/+/stellwerk/agv1/connection")
            assert int(getattr(code, "value", code)) == 0x80
            wire = Wire(client, port)
            await wire.online("AGV1")
            profiles = {name: profile(name) for name in ("vda5050-2.1", "vda5050-3.0")}
            running(VdaDriver(specs(port), profiles, sink, lambda: 0, utc_now))
            await wire.online("AGV1", "OFFLINE")
            await until(lambda: "signed off" in "".join(p.reason for p in sink.posts), "its own connection is heard")
    finally:
        await broker.shutdown()


async def test_a_vehicle_that_never_says_that_it_is_online_is_told_though_its_states_flow(
    wire, make, running, sink, until, monkeypatch
):
    monkeypatch.setattr(vehicle_module, "SILENT_MS", 300)
    driver = make()
    running(driver)

    async def state_after_state() -> None:
        while True:
            await wire.state("AGV1")

    task = asyncio.create_task(state_after_state())
    await until(lambda: sink.links("AGV1") == ["down"])
    task.cancel()
    assert driver.figures()[0].messages_in > 0
    assert "no connection message on uagv/v2/stellwerk/agv1/connection" in sink.reason("AGV1")


# --- leases of 3.0 ---


def request(edge: str, sequence_id: int, status: str = "REQUESTED") -> dict[str, Any]:
    return {
        "requestId": f"r-{edge}", "requestType": "CORRIDOR", "edgeId": edge, "sequenceId": sequence_id,
        "requestStatus": status,
    }  # fmt: skip


async def test_a_vehicle_of_3_is_answered_from_its_own_base(wire, make, bring_up, until):
    driver = await bring_up(make(), "AGV3")
    await driver.send(command("AGV3", drive()))
    edges = [{"edgeId": e, "sequenceId": n, "released": n == 1} for e, n in (("A-B", 1), ("B-C", 3))]
    zone = {"requestId": "z", "requestType": "ACCESS", "zoneId": "Z", "zoneSetId": "S", "requestStatus": "REQUESTED"}
    asks = [request("A-B", 1), request("B-C", 3), request("X-Y", 9)]
    await wire.state("AGV3", orderId="D1", edgeStates=edges, edgeRequests=asks, zoneRequests=[zone])
    await until(lambda: wire.sent("AGV3", "responses"))
    body = json.loads(wire.sent("AGV3", "responses")[0])
    assert {r["requestId"]: r["grantType"] for r in body["responses"]} == {
        "r-A-B": "GRANTED", "r-B-C": "QUEUED", "r-X-Y": "REJECTED", "z": "REJECTED",
    }  # fmt: skip
    lease = next(r["leaseExpiry"] for r in body["responses"] if "leaseExpiry" in r)
    left = datetime.fromisoformat(lease) - datetime.fromisoformat(body["timestamp"])
    assert left.total_seconds() == LEASE_S
    assert (body["headerId"], body["version"], body["serialNumber"]) == (1, "3.0.0", "agv3")
    await driver.send(command("AGV3", drive(1, 2)))
    edges[1]["released"] = True
    asks = [request("A-B", 1, "GRANTED"), request("B-C", 3)]
    await wire.state("AGV3", orderId="D1", orderUpdateId=1, edgeStates=edges, edgeRequests=asks)
    await until(lambda: len(wire.sent("AGV3", "responses")) == 2)
    body = json.loads(wire.sent("AGV3", "responses")[1])
    assert [(r["requestId"], r["grantType"]) for r in body["responses"]] == [("r-B-C", "GRANTED")]
