"""Recorded vehicles, played back through a broker to a plain MQTT client."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiomqtt
import pytest

from plc_simulators.playback.record import CaptureError, Record
from plc_simulators.playback.vda5050 import VdaPlayback
from plc_simulators.servers.broker import EmbeddedBroker

ROOT = f"uagv/v2/maker/{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker()
    await broker.open()
    yield broker
    await broker.close()


@pytest.fixture(params=["embedded", "outside"])
async def port(
    request: pytest.FixtureRequest, broker: EmbeddedBroker, outside_broker: Callable[[], int]
) -> AsyncIterator[int]:
    if request.param == "embedded":
        yield broker.port
        return
    outside = outside_broker()
    yield outside
    async with aiomqtt.Client("127.0.0.1", outside) as client:
        await client.publish(f"{ROOT}/connection", b"", qos=1, retain=True)


def message(ms: int, kind: str, payload: str | None, *, way: str = "in", **flags: Any) -> Record:
    return Record(ms * 1_000_000, "b:1883", "vda5050", way, topic=f"{ROOT}/{kind}", payload=payload, **flags)


async def test_what_came_in_is_published_in_order_with_its_spacing(port: int, broker: EmbeddedBroker) -> None:
    records = [
        message(0, "connection", '{"connectionState": "ONLINE"}', qos=1, retain=True),
        message(10, "order", "{}", way="out"),
        message(200, "state", '{"headerId": 1}'),
        message(600, "state", None, payload_hex="ff00"),
    ]
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"{ROOT}/#", qos=1)
        async with VdaPlayback(records, port=port, speed=2.0) as vehicles:
            came: list[tuple[str, bytes, int]] = []
            at_s: list[float] = []
            async for heard in client.messages:
                came.append((heard.topic.value.rpartition("/")[2], bytes(heard.payload), heard.qos))
                at_s.append(time.monotonic())
                if len(came) == 3:
                    break
            await vehicles.finished()
        assert [(kind, payload) for kind, payload, _ in came] == [
            ("connection", b'{"connectionState": "ONLINE"}'),
            ("state", b'{"headerId": 1}'),
            ("state", b"\xff\x00"),
        ]
        if port != broker.port:  # amqtt hands everything on with the subscription's QoS
            assert [qos for _, _, qos in came] == [1, 0, 0]
        assert at_s[2] - at_s[0] >= 0.15, "0.6 s, twice as fast"
    assert vehicles.published == 3
    async with aiomqtt.Client("127.0.0.1", port) as late:
        await late.subscribe(f"{ROOT}/#", qos=1)
        async for heard in late.messages:
            assert (heard.topic.value, heard.retain) == (f"{ROOT}/connection", True)
            break


async def test_a_playback_can_be_broken_off_and_a_broker_that_goes_is_told(broker: EmbeddedBroker) -> None:
    records = [message(0, "state", "{}"), message(3_600_000, "state", "{}")]
    vehicles = VdaPlayback(records, port=broker.port)
    await vehicles.start()
    await vehicles.stop()
    assert vehicles.published <= 1
    with pytest.raises(CaptureError, match="no message came in"):
        VdaPlayback([message(0, "order", "{}", way="out")], port=broker.port)
    records[1] = message(300, "state", "{}")
    lost = VdaPlayback(records, port=broker.port)
    await lost.start()
    await broker.close()
    with pytest.raises(aiomqtt.MqttError):
        await lost.finished()
    await lost.stop()
