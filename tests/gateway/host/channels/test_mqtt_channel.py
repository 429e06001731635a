"""Messages of a real broker: none is lost, each is done once and answered, and the broker may go and come."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt
import pytest

from gateway.contract import AnnounceLoad
from gateway.shell.runtime import Runtime

from .conftest import Cable, Make, Way

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
RULE = {"request": "announce_load", "load": "{load}", "location": "RACK-1"}


class Plant:
    """A channel at the broker, and a host at the same broker that publishes and hears the answers."""

    def __init__(self, make: Make, port: int, channel_port: int) -> None:
        self.port = port
        name = f"t{uuid.uuid4().hex[:12]}"
        self.topic, self.replies = f"{name}/in", f"{name}/out"
        self.way: Way = make({
            "id": name, "kind": "mqtt", "format": "json",
            "mqtt": {"broker": {"port": channel_port}, "topic": f"{self.topic}/#", "reply_topic": self.replies,
                     "in_flight_max": 5, "bytes_max": 1_000},
            "mapping": {"rules": [RULE], "request_id": "{id?}{load}"},
        })  # fmt: skip
        self.heard: list[dict[str, Any]] = []
        self.host: aiomqtt.Client

    @asynccontextmanager
    async def hosting(self) -> AsyncIterator[None]:
        async with aiomqtt.Client("127.0.0.1", self.port) as self.host:
            await self.host.subscribe(self.replies, qos=1)
            task = asyncio.create_task(self._hear())
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await self._forget()

    async def _hear(self) -> None:
        async for message in self.host.messages:
            assert isinstance(message.payload, bytes)
            self.heard.append(json.loads(message.payload))

    async def _forget(self) -> None:
        """Take the channel's session from the broker."""
        identifier = f"stellwerk-test-{self.way.spec.id}"
        async with aiomqtt.Client("127.0.0.1", self.port, identifier=identifier, clean_session=True):
            pass

    async def send(self, content: object, *, retain: bool = False, topic: str = "") -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        await self.host.publish(topic or f"{self.topic}/a", payload, qos=1, retain=retain)

    @property
    def loads(self) -> list[str]:
        return [request.load for _, request in self.way.desk.asked if isinstance(request, AnnounceLoad)]

    @asynccontextmanager
    async def connected(self, wait: Wait) -> AsyncIterator[None]:
        """The channel runs and its subscription stands: what is published now comes to it."""
        async with self.way.running():
            await self.is_there(wait)
            yield

    async def is_there(self, wait: Wait) -> None:
        # A first message may come before the subscription; the channel is there when one is answered.
        async with asyncio.timeout(10):
            while not self.heard:
                await self.send({"load": "hello"})
                await asyncio.sleep(0.02)
        await wait(lambda: self.way.desk.in_flight == 0)


Outside = Callable[[], int]


@pytest.fixture
async def plant(make: Make, outside_broker: Outside) -> AsyncIterator[Plant]:
    port = outside_broker()
    plant = Plant(make, port, port)
    async with plant.hosting():
        yield plant


async def test_a_message_is_carried_out_and_answered_with_its_request_id(plant: Plant, wait: Wait) -> None:
    async with plant.connected(wait):
        await plant.send({"load": "L1", "id": "my-"})
        await wait(lambda: any(answer["request_id"] == "my-L1" for answer in plant.heard))
    answer = next(answer for answer in plant.heard if answer["request_id"] == "my-L1")
    assert answer == {
        "topic": f"{plant.topic}/a", "place": "record 1", "request_id": "my-L1", "request": "announce_load L1",
        "accepted": True, "reason": "", "code": "",
    }  # fmt: skip


async def test_a_message_whose_requests_are_not_durable_comes_again(plant: Plant, wait: Wait) -> None:
    async with plant.connected(wait):
        plant.way.desk.open.clear()
        await plant.send({"load": "L1"})
        await wait(lambda: "L1" in plant.loads)
    # The process died here, before the answer.
    plant.way.desk.open.set()
    await plant.send({"load": "L2"})  # and this came while it was away
    async with plant.way.running():
        await wait(lambda: "L2" in plant.loads and any(a["request_id"] == "L2" for a in plant.heard))
    assert plant.loads.count("L1") == 2
    assert plant.loads[-2:] == ["L1", "L2"]
    assert list(plant.way.desk.done) == ["hello", "L1", "L2"]
    asked = len(plant.loads)
    async with plant.way.running():
        await plant.send({"load": "L3"})
        await wait(lambda: any(a["request_id"] == "L3" for a in plant.heard))
    assert plant.loads[asked:] == ["L3"]  # what was acknowledged does not come again


async def test_messages_are_put_in_order_and_not_too_many_at_a_time(plant: Plant, wait: Wait) -> None:
    names = [f"L{n}" for n in range(60)]
    async with plant.connected(wait):
        plant.way.desk.open.clear()
        for name in names:
            await plant.send({"load": name})
        await wait(lambda: "L5" in plant.loads)
        plant.way.desk.open.set()
        await wait(lambda: {a["request_id"] for a in plant.heard} >= set(names))
    assert [load for load in plant.loads if load != "hello"] == names
    # Five are under way, one is taken to be the next and one is waited for.
    assert plant.way.desk.in_flight_max <= 7


async def test_a_bad_message_is_answered_and_does_not_come_again(plant: Plant, wait: Wait) -> None:
    bad: list[tuple[object, str]] = [
        (b"", "message: empty"), (b"{", "line 1, column 2: no JSON"), (b"\xff", "byte 0: 0xff is not utf-8"),
        ({"lod": "L"}, "rule 1 (announce_load), load: load is not there; there is lod"),
        ({"load": "x" * 1_000}, "bytes, at most 1000"), ([1], "document[0]: a number, not an object"),
    ]  # fmt: skip
    async with plant.connected(wait):
        for content, _ in bad:
            await plant.send(content)
        await wait(lambda: len([a for a in plant.heard if not a["accepted"]]) == len(bad))
    for answer, (_, part) in zip([a for a in plant.heard if not a["accepted"]], bad, strict=True):
        assert part in answer["reason"] or answer["reason"].startswith("request_id: load is not there")
        assert answer["code"] == "invalid"
    heard = len(plant.heard)
    async with plant.way.running():
        await plant.send({"load": "after"})
        await wait(lambda: len(plant.heard) > heard)
    assert plant.heard[-1]["request_id"] == "after"
    assert len(plant.heard) == heard + 1


async def test_a_retained_message_is_ignored(plant: Plant, wait: Wait) -> None:
    topic = f"{plant.topic}/kept"
    await plant.send({"load": "OLD"}, retain=True, topic=topic)
    try:
        async with plant.connected(wait):
            await plant.send({"load": "L1"})
            await wait(lambda: "L1" in plant.loads)
        assert "OLD" not in plant.loads
        assert len(plant.way.said("a retained message is ignored: publish without retain")) == 1
    finally:
        await plant.host.publish(topic, b"", qos=1, retain=True)


async def test_the_broker_may_go_and_come(make: Make, outside_broker: Outside, free_port: Outside, wait: Wait) -> None:
    port, way_port = outside_broker(), free_port()
    plant, cable = Plant(make, port, way_port), Cable(port)
    async with plant.hosting(), plant.way.running():
        await wait(lambda: len(plant.way.said("channel is away")) == 1)
        assert f"127.0.0.1:{way_port}" in plant.way.said("channel is away")[0]["reason"]
        await cable.plug(way_port)
        await wait(lambda: len(plant.way.said("channel is back")) == 1)
        plant.way.desk.open.clear()
        await plant.send({"load": "L1"})
        await wait(lambda: plant.loads == ["L1"])
        await cable.cut()
        await wait(lambda: len(plant.way.said("channel is away")) == 2)
        plant.way.desk.open.set()
        await plant.send({"load": "L2"})
        await cable.plug(way_port)
        await wait(lambda: {a["request_id"] for a in plant.heard} >= {"L1", "L2"})
        assert list(plant.way.desk.done) == ["L1", "L2"]
        assert len(plant.way.said("channel is back")) == 2
    await cable.cut()


async def test_a_message_reaches_the_real_gateway(plant: Plant, wait: Wait, running: Runtime) -> None:
    plant.way.ask = running.ask
    plant.way.restart()
    async with plant.way.running():
        await plant.is_there(wait)
        await plant.send({"load": "L1"})
        await wait(lambda: "L1" in running.kernel.state.loads)
    assert running.kernel.state.loads["L1"].location == "RACK-1"
