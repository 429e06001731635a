"""The unified namespace at real brokers: Mosquitto, and amqtt where it has to end and come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiomqtt
import pytest
import structlog
from amqtt.broker import Broker
from outward_rig import House, Kernelspeak, alarm, at_work, figures_of, order, step
from tcp_proxy import TcpProxy

from gateway.contract import AcknowledgeAlarm, SetMode, ShellAlarm
from gateway.host.outward import Outward
from gateway.host.outward.unified import level
from gateway.host.store import Store
from gateway.shell.runtime import Runtime
from gateway.site import OutwardSpec

PLUGINS = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}


class Watcher:
    """A client that is not ours: everything below one root, and what is retained there."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.heard: list[tuple[str, bytes]] = []
        self.levels: dict[str, Any] = {}

    def events(self, kind: str) -> list[dict[str, Any]]:
        begin = f"{self.root}/event/{kind}"
        return [json.loads(payload) for topic, payload in self.heard if topic.startswith(begin)]

    def level(self, name: str) -> Any:
        return self.levels.get(f"{self.root}/{name}", {}).get("value")

    async def listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic, payload = str(message.topic), message.payload
            assert isinstance(payload, bytes)
            self.heard.append((topic, payload))
            if "/event/" in topic:
                continue
            if payload:
                self.levels[topic] = json.loads(payload)
            else:
                self.levels.pop(topic, None)


@asynccontextmanager
async def watching(port: int, root: str) -> AsyncIterator[Watcher]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"{root}/#", qos=1)
        watcher = Watcher(root)
        task = asyncio.create_task(watcher.listen(client))
        try:
            yield watcher
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def cleared(port: int, root: str) -> AsyncIterator[None]:
    """Leave nothing retained behind at a broker that is not ours."""
    try:
        yield
    finally:
        async with watching(port, root) as watcher, aiomqtt.Client("127.0.0.1", port) as client:
            await client.publish(f"{root}/event/end", b"{}", qos=1)
            async with asyncio.timeout(5):
                while not watcher.events("end"):  # noqa: ASYNC110 - a watcher has no event
                    await asyncio.sleep(0.01)
            for topic in list(watcher.levels):
                await client.publish(topic, b"", qos=1, retain=True)


def spec_of(port: int, root: str, **more: Any) -> dict[str, Any]:
    return {"broker": {"port": port}, "root": root, "sample_ms": 50, **more}


async def test_events_in_order_levels_retained_birth_and_goodbye(
    running: Runtime, tmp_path: Path, wait: Any, outside_broker: Callable[[], int]
) -> None:
    port, root = outside_broker(), f"acme/test-{uuid4().hex}/hall"
    log: Any = structlog.testing.CapturingLogger()
    store = await Store.open(tmp_path / "host.sqlite", Outward.SCHEMA)
    spec = OutwardSpec.model_validate({"mqtt": spec_of(port, root)})
    outward = await Outward.open(store, spec, running.kernel.site, running, log)
    running.listen(outward.heard)
    async with cleared(port, root), watching(port, root) as watcher:
        async with at_work(outward):
            await wait(lambda: watcher.level("device/C1/mode") == "automatic")
            assert watcher.levels[f"{root}/status"]["state"] == "online"
            await wait(lambda: [watcher.level(f"device/C1/{what}") for what in ("link", "held")] == ["down", ""])
            reply = await running.ask("op", "r1", SetMode("C1", "maintenance"))
            assert reply.accepted, reply
            await wait(lambda: watcher.level("device/C1/mode") == "maintenance")
            running.inbox.post(ShellAlarm("disk", "full/no+room", "The disk is full", True))
            topic = f"{root}/alarm/disk%2Ffull%2Fno%2Broom"
            await wait(lambda: topic in watcher.levels)
            assert watcher.levels[topic]["active"] is True
            await wait(lambda: [e["type"] for e in watcher.events("alarm")] == ["alarm.raised"])
            await running.ask("op", "r2", AcknowledgeAlarm("disk/full/no+room"))
            running.inbox.post(ShellAlarm("disk", "full/no+room", "", False))
            await wait(lambda: topic not in watcher.levels)
            await wait(lambda: [e["type"] for e in watcher.events("alarm")] == ["alarm.raised", "alarm.cleared"])
        await wait(lambda: watcher.levels[f"{root}/status"]["state"] == "offline")
        # Somebody who comes now sees the levels without waiting for a change.
        async with watching(port, root) as late:
            await wait(lambda: late.level("device/C1/mode") == "maintenance")
            assert topic not in late.levels
    assert (await figures_of(outward, "mqtt")).waiting == 0
    await store.close()


async def test_a_gateway_that_is_killed_is_offline_by_its_will(
    house: House, kernel: Kernelspeak, wait: Any, outside_broker: Callable[[], int]
) -> None:
    port, root = outside_broker(), f"acme/test-{uuid4().hex}/hall"
    outward = await house.open(mqtt=spec_of(port, root))
    async with cleared(port, root), watching(port, root) as watcher, at_work(outward):
        await wait(lambda: watcher.levels.get(f"{root}/status", {}).get("state") == "online")
        # The same client id again: the broker throws the first session out and tells its will.
        will_of = f"stellwerk-{house.gate.kernel.site.site.id}-outward"
        async with aiomqtt.Client("127.0.0.1", port, identifier=will_of):
            await wait(lambda: watcher.levels[f"{root}/status"]["state"] == "offline")
        await wait(lambda: watcher.levels[f"{root}/status"]["state"] == "online")
    assert len(house.said("target is away")) >= 1


async def test_a_broker_that_goes_away_and_comes_back_gets_everything_in_order(
    house: House, kernel: Kernelspeak, wait: Any, outside_broker: Callable[[], int]
) -> None:
    port, root = outside_broker(), f"acme/test-{uuid4().hex}/hall"
    proxy = TcpProxy(lambda: port)
    outward = await house.open(mqtt=spec_of(proxy.port, root, events=["order", "step"], client="wms"))
    kernel.say(outward, order("Ö 1/+#", 1), step("Ö 1/+#"), alarm(), order("SHOP", 1, client="shop"))
    async with cleared(port, root), watching(port, root) as watcher, at_work(outward):
        assert outward._unified is not None
        await wait(outward._unified.presence.is_away)  # nobody is there at first
        await proxy.listen()
        await wait(lambda: len(watcher.events("")) == 2)
        (topic,) = {topic for topic, _ in watcher.heard if "/event/order/" in topic}
        assert topic == f"{root}/event/order/%C3%96%201%2F%2B%23"
        proxy.refuse()
        proxy.cut()
        for version in range(1, 50):
            kernel.say(outward, order("O2", version))
        await wait(outward._unified.presence.is_away)
        await wait(lambda: watcher.levels[f"{root}/status"]["state"] == "offline")  # by our will
        await proxy.listen()
        await wait(lambda: len(watcher.events("order/O2")) >= 49)
        await wait(lambda: watcher.levels[f"{root}/status"]["state"] == "online")
        versions = [event["data"]["version"] for event in watcher.events("order/O2")]
    await proxy.stop()
    assert list(dict.fromkeys(versions)) == list(range(1, 50))
    assert [call["target"] for call in house.said("target is back")] == ["mqtt", "mqtt"]


async def test_the_broker_of_the_demo_is_one_as_well(
    house: House, kernel: Kernelspeak, wait: Any, free_port: Callable[[], int]
) -> None:
    port, root = free_port(), "acme/berlin/hall-1"
    listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
    broker = Broker({"listeners": listeners, "plugins": PLUGINS})
    await broker.start()
    outward = await house.open(mqtt=spec_of(port, root))
    async with watching(port, root) as watcher, at_work(outward):
        kernel.say(outward, *(order("O1", version) for version in range(1, 30)))
        await wait(lambda: len(watcher.events("order")) == 29)
        await wait(lambda: watcher.level("device/C1/link") == "down")
    await broker.shutdown()
    assert [event["data"]["version"] for event in watcher.events("order")] == list(range(1, 30))


async def test_a_device_that_has_left_the_site_is_emptied_after_the_restart(
    house: House, kernel: Kernelspeak, wait: Any, outside_broker: Callable[[], int]
) -> None:
    port, root = outside_broker(), f"acme/test-{uuid4().hex}/hall"
    async with cleared(port, root), watching(port, root) as watcher:
        first = await house.open(mqtt=spec_of(port, root))
        async with at_work(first):
            await wait(lambda: watcher.level("device/C2/link") == "down")
        del house.gate.kernel.state.conveyors["C2"]
        second = await house.open(mqtt=spec_of(port, root))
        async with at_work(second):
            await wait(lambda: not any("/device/C2/" in topic for topic in watcher.levels))
            assert watcher.level("device/C1/link") == "down"


@pytest.mark.parametrize(
    ("name", "topic"),
    [("O1", "O1"), ("a/b", "a%2Fb"), ("a b+#", "a%20b%2B%23"), ("", "%"), ("$SYS", "%24SYS"), ("\ud800", "%3F")],
)
def test_names_become_one_level(name: str, topic: str) -> None:
    assert level(name) == topic


def test_very_long_names_stay_apart() -> None:
    first, second = level("x" * 100_000), level("x" * 100_001)
    assert first != second
    assert len(first) < 600
