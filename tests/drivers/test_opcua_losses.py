"""What OpcuaDriver does when a server says less than the PLC shows: dead subscriptions, gaps, cut wires, limits."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from opcua_plc import FAST, OpcuaPlc, Wire, assign, serving, sorter_spec, states

from drivers.opcua.driver import OpcuaDriver

LIMIT = 5


@pytest.fixture
async def plc(profile: Any, free_port: Any) -> AsyncIterator[OpcuaPlc]:
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        yield plc


@pytest.fixture
def driver(plc: OpcuaPlc, sink: Any, profile: Any) -> OpcuaDriver:
    return OpcuaDriver(sorter_spec(plc.url), profile("stellwerk-sorter", **FAST), sink, lambda: 0, rng=random.Random(1))


def told(sink: Any) -> list[str]:
    return [problem for _, signal, _, problem in sink.bad if signal == "subscription"]


async def test_a_subscription_that_died_alone_is_rebuilt_within_the_session(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: states(sink) == ["up"])
    (dead,) = plc.subscriptions
    (session,) = plc.sessions
    await plc.server.iserver.subscription_service.delete_subscriptions([dead])
    await plc.put("Lane.4.Count", 17)
    await until(lambda: any(lane.count == 17 for lane in sink.reports("S1")[-1].lanes), "the new one tells the level")
    assert [s for s in plc.subscriptions if s != dead]
    assert plc.sessions == [session]
    assert "down" not in sink.links("S1")
    await until(lambda: sink.links("S1")[-1] == "up")
    assert any("the subscription was dead while the PLC's heartbeat went on" in problem for problem in told(sink))


async def test_a_subscription_whose_publishing_stopped_is_rebuilt(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: states(sink) == ["up"])
    (number,) = plc.subscriptions
    plc.subscriptions[number]._task.cancel()
    await plc.event(1)
    await until(lambda: sink.notices("S1"), "the event is found through the new subscription")
    assert number not in plc.subscriptions
    assert "down" not in sink.links("S1")


async def test_a_halted_plc_is_no_dead_subscription(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: states(sink) == ["up"])
    before = list(plc.subscriptions)
    plc.alive = False
    await until(lambda: sink.links("S1")[-1] == "uncertain")
    asked = driver.figures()[0].requests
    await until(lambda: driver.figures()[0].requests > asked + 12, "the heartbeat was read meanwhile, and our own sent")
    assert list(plc.subscriptions) == before
    assert told(sink) == []


async def test_subscriptions_that_always_die_end_the_session(plc, sink, driver, running, until, monkeypatch):
    running(driver)
    await until(lambda: states(sink) == ["up"])
    (session,) = plc.sessions
    service = plc.server.iserver.subscription_service
    create = service.create_monitored_items

    async def create_and_die(params: ua.CreateMonitoredItemsParameters) -> Any:
        results = await create(params)
        held = service.subscriptions[params.SubscriptionId]
        await held.publish_results()  # the present values still go out
        held._task.cancel()
        return results

    monkeypatch.setattr(service, "create_monitored_items", create_and_die)
    await service.delete_subscriptions(list(plc.subscriptions))
    await until(lambda: "down" in sink.links("S1"), "a new session")
    assert "3 subscriptions died one after the other" in sink.reason("S1")
    monkeypatch.undo()
    await until(lambda: sink.links("S1")[-1] == "up")
    assert session not in plc.sessions


async def test_a_message_that_went_missing_is_read_over(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: states(sink) == ["up"])
    (held,) = plc.subscriptions.values()
    plain = held._pop_publish_result

    def lossy() -> ua.PublishResult:
        result: ua.PublishResult = plain()
        data = result.NotificationMessage.NotificationData
        if any(item.Value.Value.Value == 23 for part in data for item in part.MonitoredItems):
            result.NotificationMessage = plain().NotificationMessage  # of this message nothing ever arrives
        return result

    held._pop_publish_result = lossy
    await plc.put("Lane.4.Count", 23)
    await until(lambda: sink.reports("S1")[-1].lanes[3].count == 23, "found by reading")
    assert any("a message of the subscription is missing" in problem for problem in told(sink))
    assert states(sink) == ["up"]


async def test_a_cut_wire_loses_no_event_and_no_level(plc, sink, profile, running, until):
    async with serving(Wire(int(plc.url.rstrip("/").rpartition(":")[2]))) as wire:
        spec = sorter_spec(f"opc.tcp://127.0.0.1:{wire.port}/")
        driver = OpcuaDriver(spec, profile("stellwerk-sorter", **FAST), sink, lambda: 0, rng=random.Random(1))
        running(driver)
        await until(lambda: states(sink) == ["up"])
        await plc.event(1, track=1)
        await until(lambda: len(sink.notices("S1")) == 1)
        wire.cut()
        for number in range(2, 12):
            await plc.event(number, track=number)
        await plc.put("Lane.2.Full", True)
        await plc.put("Lane.3.Count", 40)
        await plc.put("Status.Mode", 3)
        await until(lambda: states(sink) == ["up", "down"])
        wire.mend()
        await until(lambda: states(sink) == ["up", "down", "up"])
        await until(lambda: len(sink.notices("S1")) == 11)
        assert [(n.ring_index, n.data.track_id) for n in sink.notices("S1")] == [(n, n) for n in range(1, 12)]
        report = sink.reports("S1")[-1]
        assert (report.lanes[1].full, report.lanes[2].count, report.mode) == (True, 40, 3)
        assert not sink.alarms()
        assert driver.figures()[0].connects == 2


async def test_calls_are_cut_to_what_the_server_takes(profile, free_port, sink, running, until):
    by_path = profile("stellwerk-sorter", **FAST)
    moved = tuple(
        s.model_copy(update={"node": "/Objects/PLC/" + s.node.removeprefix("s=").replace(".", "/")})
        for s in by_path.signals
    )
    url = f"opc.tcp://127.0.0.1:{free_port()}/"
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), url, limit=LIMIT)) as plc:
        driver = OpcuaDriver(
            sorter_spec(url), by_path.model_copy(update={"signals": moved}), sink, lambda: 0, rng=random.Random(1)
        )
        running(driver)
        await until(lambda: states(sink) == ["up"])
        for number in (1, 2, 3):
            await plc.event(number)
        await until(lambda: len(sink.notices("S1")) == 3, "24 ring fields are read")
        await driver.send(assign(seq=9))
        assert [name for name, _ in plc.wrote("Command.")][-1] == "Command.Seq"
        assert len(plc.wrote("Command.")) == 9
        (dead,) = plc.subscriptions
        await plc.server.iserver.subscription_service.delete_subscriptions([dead])
        await until(lambda: plc.subscriptions and dead not in plc.subscriptions, "recreated")
        await plc.put("Lane.9.Count", 12)
        await until(lambda: sink.reports("S1")[-1].lanes[8].count == 12, "the last item of the last call")
        assert plc.most == {"read": LIMIT, "write": LIMIT, "translate": LIMIT, "items": LIMIT}
        assert "down" not in sink.links("S1")


async def test_a_burst_of_changes_ends_in_the_last_value_and_piles_up_nowhere(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: states(sink) == ["up"])
    (held,) = plc.subscriptions.values()
    before = driver.figures()[0].messages_in
    node = plc.nodes["Lane.1.Count"].nodeid
    for number in range(1, 3001):
        value = ua.DataValue(ua.Variant(number, ua.VariantType.UInt16))
        await plc.server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, value)
    assert sum(len(waiting) for waiting in held._triggered_datachanges.values()) < 10, "the server keeps one a signal"
    await until(lambda: sink.reports("S1")[-1].lanes[0].count == 3000)
    assert driver.figures()[0].messages_in - before < 100
    assert states(sink) == ["up"]


async def test_cancellation_leaves_no_session_wherever_it_comes(plc, sink, profile, until):
    for steps in (1, 3, 10, 30, 100, 300):
        driver = OpcuaDriver(sorter_spec(plc.url), profile("stellwerk-sorter", **FAST), sink, lambda: 0)
        task = asyncio.create_task(driver.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not plc.sessions and not plc.subscriptions, f"cancelled after {steps} turns")
