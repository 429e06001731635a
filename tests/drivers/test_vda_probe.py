"""What a look at a vehicle through its broker finds, and that it says nothing to the vehicle."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt
import pytest

from drivers.link import LinkLostError
from drivers.probe import SAMPLES
from drivers.vda5050 import probe
from gateway.site import AgvSpec
from plc_simulators.servers.broker import EmbeddedBroker

ROOT = "uagv/v2/stellwerk/agv1"
STATE: dict[str, Any] = {
    "orderId": "D7", "orderUpdateId": 0, "lastNodeId": "N1", "lastNodeSequenceId": 0, "nodeStates": [],
    "edgeStates": [], "driving": False, "operatingMode": "AUTOMATIC", "actionStates": [],
    "errors": [{"errorType": "lowBattery", "errorLevel": "WARNING"}],
    "batteryState": {"batteryCharge": 80.5, "charging": False},
    "safetyState": {"eStop": "NONE", "fieldViolation": False},
    "agvPosition": {"x": 1.5, "y": -2.0, "theta": 0.5, "mapId": "floor", "positionInitialized": True},
    "maps": [{"mapId": "floor", "mapVersion": "1", "mapStatus": "ENABLED"}],
}  # fmt: skip
SHEET: dict[str, Any] = {
    "typeSpecification": {"seriesName": "T1"},
    "physicalParameters": {"speedMax": 1.5, "width": 0.6, "length": 0.85},
    "protocolFeatures": {"agvActions": []},
}


class Yard:
    """A broker, and a vehicle that says what the test wants, a state every 50 ms."""

    def __init__(self, client: aiomqtt.Client, port: int) -> None:
        self.client, self.port = client, port
        self.heard: list[str] = []

    def spec(self, **changes: Any) -> AgvSpec:
        connection = {"port": self.port, "manufacturer": "stellwerk", "serial": "agv1", **changes}
        return AgvSpec.model_validate(
            {
                "id": "AGV1", "type": "agv", "driver": "vda5050", "profile": "vda5050-2.1", "home": "H",
                "connection": connection,
            }
        )  # fmt: skip

    async def say(
        self, kind: str, body: dict[str, Any], *, root: str = ROOT, late_s: float = 0.0, retain: bool | None = None
    ) -> None:
        at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=late_s)
        head = {"headerId": 1, "timestamp": at.isoformat(), "version": "2.1.0", "serialNumber": "agv1"}
        retain = kind != "state" if retain is None else retain
        await self.client.publish(f"{root}/{kind}", json.dumps({**head, **body}), qos=1, retain=retain)

    async def online(self, *, word: str = "ONLINE", sheet: bool = True) -> None:
        await self.say("connection", {"connectionState": word})
        if sheet:
            await self.say("factsheet", SHEET)

    async def listen(self) -> None:
        async for message in self.client.messages:
            self.heard.append(message.topic.value)

    @contextlib.asynccontextmanager
    async def stating(self, late_s: float = 0.0, **changes: Any) -> AsyncIterator[None]:
        async def state_after_state() -> None:
            while True:
                await self.say("state", {**STATE, **changes}, late_s=late_s)
                await asyncio.sleep(0.05)

        task = asyncio.create_task(state_after_state())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def yard() -> AsyncIterator[Yard]:
    broker = EmbeddedBroker()
    await broker.open()
    async with aiomqtt.Client("127.0.0.1", broker.port, identifier="vehicle") as client:
        await client.subscribe([(f"{ROOT}/order", 0), (f"{ROOT}/instantActions", 0), ("stellwerk/#", 0)])
        yard = Yard(client, broker.port)
        task = asyncio.create_task(yard.listen())
        yield yard
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await broker.close()


def verdicts(found: Any) -> dict[str, str]:
    return {check.step: check.verdict for check in found.checks}


def text(found: Any, step: str) -> str:
    return next(f"{check.found} | {check.next_step}" for check in found.checks if check.step == step)


async def test_a_sound_vehicle_is_good_in_every_step(yard, profile):
    await yard.online()
    async with yard.stating():
        found = await probe.examine(yard.spec(), profile("vda5050-2.1"))
    steps = ["name", "tcp", "handshake", "security", "identity", "signals", "latency", "clock"]
    assert [check.step for check in found.checks] == steps
    assert set(verdicts(found).values()) == {"good"}
    assert found.is_good
    assert text(found, "identity").startswith(f"{ROOT} is ONLINE, series T1, VDA 5050 2.1.0")
    values = {reading.signal: reading.value for reading in found.readings}
    assert (values["battery_percent"], values["x_mm"], values["map"]) == (80.5, 1500, "floor")
    assert (values["errors"], values["maps"], values["drive"]) == ("lowBattery (WARNING)", "floor (enabled)", "D7")
    assert {reading.where for reading in found.readings} == {f"{ROOT}/state"}
    assert found.latency_p50_ms is not None
    assert found.latency_p99_ms is not None
    assert 0 < found.latency_p50_ms <= found.latency_p99_ms < 1000
    assert found.clock_offset_ms is not None
    assert abs(found.clock_offset_ms) < 1000
    own = [topic for topic in yard.heard if topic.startswith("stellwerk/probe/")]
    assert len(own) == len(yard.heard) == SAMPLES


async def test_a_silent_vehicle_without_a_factsheet_is_doubtful(yard, profile):
    await yard.online(sheet=False)
    # A retained state is of unknown age: it counts for nothing.
    await yard.say("state", STATE, retain=True)
    found = await probe.examine(yard.spec(), profile("vda5050-2.1"), wait_s=0.3)
    assert (verdicts(found)["identity"], verdicts(found)["signals"]) == ("doubtful", "doubtful")
    assert (verdicts(found)["clock"], verdicts(found)["latency"]) == ("skipped", "good")
    assert "no state within 0.3 s" in text(found, "signals")
    assert found.is_good


async def test_a_clock_that_is_wrong_and_a_lost_vehicle_are_found(yard, profile):
    await yard.online()
    lost = {**STATE["agvPosition"], "positionInitialized": False}
    async with yard.stating(late_s=90.0, agvPosition=lost):
        found = await probe.examine(yard.spec(), profile("vda5050-2.1"))
    assert verdicts(found)["clock"] == "doubtful"
    assert found.clock_offset_ms == pytest.approx(-90_000, abs=5_000)
    assert "behind" in text(found, "clock")
    assert [r.problem for r in found.readings if r.problem] == ["the vehicle does not know where it is"]
    assert not found.is_good


@pytest.mark.parametrize(
    ("changes", "step", "says"),
    [
        ({"driving": "yes"}, "signals", "Expected `bool`"),
        ({"version": "3.0.0"}, "signals", "vehicle speaks VDA 5050 3.0.0"),
        ({"timestamp": "yesterday"}, "clock", "the state's timestamp can't be read"),
        ({"timestamp": "2026-01-01T00:00:00"}, "clock", "correct it there"),
    ],
)
async def test_a_state_that_can_not_be_read_is_told(changes, step, says, yard, profile):
    await yard.online()
    async with yard.stating(**changes):
        found = await probe.examine(yard.spec(), profile("vda5050-2.1"))
    assert verdicts(found)[step] in ("bad", "doubtful")
    assert says in text(found, step)


async def test_a_vehicle_that_is_not_there_offline_or_elsewhere_is_bad(yard, profile):
    nobody = await probe.examine(yard.spec(), profile("vda5050-2.1"), wait_s=0.2)
    assert text(nobody, "identity") == f"no retained message on {ROOT}/connection | is the vehicle set to this broker?"
    await yard.say("connection", {"connectionState": "ONLINE"}, root="vda5050/v3/stellwerk/agv1")
    other = await probe.examine(yard.spec(), profile("vda5050-2.1"), wait_s=0.2)
    assert "but one on vda5050/v3/stellwerk/agv1 | set `interface`" in text(other, "identity")
    await yard.online(word="OFFLINE")
    gone = await probe.examine(yard.spec(), profile("vda5050-2.1"), wait_s=0.2)
    assert text(gone, "identity").startswith(f"{ROOT} is OFFLINE | switch it on")
    assert [found.is_good for found in (nobody, other, gone)] == [False] * 3


async def test_a_broker_that_is_not_there_ends_the_look(yard, profile, free_port):
    found = await probe.examine(yard.spec(port=free_port()), profile("vda5050-2.1"))
    assert verdicts(found) == {"name": "good", "tcp": "bad"}
    with pytest.raises(LinkLostError, match=r"^AGV1: .*is it running\?$"):
        await probe.browse(yard.spec(port=free_port()), profile("vda5050-2.1"), wait_s=0.2)


async def test_login_files_and_waivers_are_judged(yard, profile, tmp_path):
    missing = {"user": "u", "password_file": str(tmp_path / "none")}
    found = await probe.examine(yard.spec(**missing), profile("vda5050-2.1"))
    assert verdicts(found)["handshake"] == "bad"
    assert "the password of u can't be read" in text(found, "handshake")
    waived = await probe.examine(yard.spec(tls="waived"), profile("vda5050-2.1"), wait_s=0.2)
    assert verdicts(waived)["security"] == "doubtful"


async def test_browse_lists_topics_with_sizes(yard, profile):
    await yard.online()
    await yard.say("connection", {"connectionState": "ONLINE"}, root="uagv/v2/acme/9")
    async with yard.stating():
        found = await probe.browse(yard.spec(), profile("vda5050-2.1"), wait_s=0.5)
    assert [(f.depth, f.what, f.kind) for f in found] == [
        (0, "uagv/v2/acme/9", "vehicle"),
        (1, "connection", "topic"),
        (0, ROOT, "AGV1"),
        (1, "connection", "topic"),
        (1, "factsheet", "topic"),
        (1, "state", "topic"),
    ]
    assert found[1].value.endswith(" bytes, 1 message")
    assert found[5].value.endswith(" messages")
    assert not [topic for topic in yard.heard if topic.startswith("uagv")]
