"""OpcuaDriver against a real asyncua server that plays a sorter PLC."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from opcua_plc import FAST, LANES, OpcuaPlc, assign, cell_spec, states
from opcua_plc import sorter_spec as spec

from drivers.opcua.driver import OpcuaDriver
from gateway.contract import Command, LinkChanged, NotWritten, Report
from gateway.devices.robot_cell import Control
from gateway.devices.sorter import SorterEvent


@pytest.fixture
async def plc(profile: Any, free_port: Any) -> AsyncIterator[OpcuaPlc]:
    plc = OpcuaPlc(profile("stellwerk-sorter"), f"opc.tcp://127.0.0.1:{free_port()}/")
    await plc.start()
    yield plc
    await plc.stop()


@pytest.fixture
def driver(plc: OpcuaPlc, sink: Any, profile: Any) -> OpcuaDriver:
    return OpcuaDriver(spec(plc.url), profile("stellwerk-sorter", **FAST), sink, lambda: 1000, rng=random.Random(1))


async def test_up_then_a_full_report_then_only_changes(plc, sink, driver, running, until):
    await plc.put("Status.State", 6)
    await plc.put("Lane.3.Full", True)
    running(driver)
    await until(lambda: sink.reports("S1"), "first report")
    assert isinstance(sink.posts[0], LinkChanged)
    assert sink.posts[0].state == "up"
    assert isinstance(sink.posts[1], Report)
    assert sink.posts[1].data.state == 6
    assert [lane.full for lane in sink.posts[1].data.lanes] == [n == 3 for n in range(1, LANES + 1)]
    await plc.put("Lane.1.Count", 4)
    await until(lambda: len(sink.reports("S1")) == 2)
    assert sink.reports("S1")[-1].lanes[0].count == 4
    assert sink.links("S1") == ["up"]


async def test_a_command_is_written_in_order_with_the_number_last(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.reports("S1"))
    await driver.send(assign(seq=70_001))
    await until(lambda: plc.wrote("Command.Seq"))
    assert plc.wrote("Command.") == [
        ("Command.Epoch", 3), ("Command.Code", 10), ("Command.TrackId", 5), ("Command.Lane1", 2),
        ("Command.Lane2", 8), ("Command.Lane3", 0), ("Command.Lane4", 0), ("Command.DeadlineMs", 12_345),
        ("Command.Seq", 70_001),
    ]  # fmt: skip
    with pytest.raises(NotWritten) as late:
        await driver.send(assign(seq=70_002, deadline_ns=999))
    assert late.value.certain


async def test_events_come_once_in_order_and_are_consumed_when_told(plc, sink, driver, running, until):
    await plc.put("Event.Rd", 2)
    plc.written.clear()
    for number in (1, 2, 3, 4):
        await plc.event(number, track=number)
    running(driver)
    await until(lambda: len(sink.notices("S1")) == 2)
    assert [n.ring_index for n in sink.notices("S1")] == [3, 4]
    assert sink.notices("S1")[0].data == SorterEvent("scan", 3, 1, 0, 0, 1003, ("A", "B"))
    for number in (5, 6, 7):
        await plc.event(number, kind=2, track=number, barcodes="")
    await until(lambda: len(sink.notices("S1")) == 5)
    assert [n.ring_index for n in sink.notices("S1")] == [3, 4, 5, 6, 7]
    assert not plc.wrote("Event.Rd")
    await driver.consume("S1", 6)
    await until(lambda: plc.wrote("Event.Rd") == [("Event.Rd", 6)])
    await driver.consume("S1", 99)
    assert plc.wrote("Event.Rd") == [("Event.Rd", 6)]
    assert not sink.alarms()


async def test_an_overrun_ring_raises_an_alarm_and_a_full_report(plc, sink, driver, running, until):
    for number in range(1, 41):
        await plc.event(number, track=number)
    running(driver)
    await until(sink.alarms)
    assert [n.ring_index for n in sink.notices("S1")] == list(range(9, 41))
    assert sink.alarms()[0].active
    assert "8 events" in sink.alarms()[0].text
    await until(lambda: len(sink.reports("S1")) == 2, "a full report after the loss")
    await plc.event(41)
    await until(lambda: len(sink.alarms()) == 2)
    assert not sink.alarms()[1].active


async def test_after_a_restart_of_the_plc_the_ring_begins_anew(plc, sink, driver, running, until):
    await plc.put("Status.BootId", 1)
    await plc.event(1)
    await plc.event(2)
    running(driver)
    await until(lambda: len(sink.notices("S1")) == 2)
    await plc.put("Status.BootId", 2)
    await plc.put("Event.Wr", 0)
    await until(lambda: sink.reports("S1")[-1].boot_id == 2)
    await plc.event(1, track=77)
    await until(lambda: len(sink.notices("S1")) == 3)
    assert (sink.notices("S1")[-1].ring_index, sink.notices("S1")[-1].data.track_id) == (1, 77)


async def test_a_boot_number_seen_before_its_counter_repeats_no_event(plc, sink, driver, running, until):
    await plc.put("Status.BootId", 1)
    for number in (1, 2, 3):
        await plc.event(number)
    running(driver)
    await until(lambda: len(sink.notices("S1")) == 3)
    await plc.put("Status.BootId", 2)
    await until(lambda: sink.reports("S1")[-1].boot_id == 2)
    await plc.put("Event.Wr", 0)
    await plc.event(1, track=9)
    await until(lambda: len(sink.notices("S1")) >= 4)
    assert [n.ring_index for n in sink.notices("S1")] == [1, 2, 3, 1]
    assert not sink.alarms()


async def test_a_signal_that_is_not_on_the_server_keeps_the_link_from_coming_up(plc, sink, profile, running, until):
    signals = profile("stellwerk-sorter").signals
    moved = tuple(s.model_copy(update={"node": "s=Status.Elsewhere"}) if s.name == "mode" else s for s in signals)
    strange = profile("stellwerk-sorter", **FAST).model_copy(update={"signals": moved})
    running(OpcuaDriver(spec(plc.url), strange, sink, lambda: 0, rng=random.Random(1)))
    await until(lambda: sink.links("S1"))
    assert sink.links("S1") == ["uncertain"]
    assert "1 signals can't be read, mode for one" in sink.reason("S1")
    assert not sink.reports("S1")


async def test_bad_values_are_told_and_the_old_report_stands(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.reports("S1"))
    await plc.put_bad("Lane.2.Full")
    await until(lambda: sink.bad)
    assert sink.bad[0][:3] == ("S1", "lane.2.full", "BadSensorFailure")
    await plc.put("Lane.1.Count", 3)
    await plc.put("Lane.2.Full", True)
    await until(lambda: len(sink.reports("S1")) == 2)
    report = sink.reports("S1")[-1]
    assert report.lanes[0].count == 3
    assert report.lanes[1].full
    assert sink.links("S1") == ["up"]


async def test_an_unknown_event_type_is_a_bad_value_and_does_not_stop_the_ring(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.reports("S1"))
    await plc.event(1, kind=42)
    await plc.event(2)
    await until(lambda: sink.notices("S1"))
    assert [n.ring_index for n in sink.notices("S1")] == [2]
    assert "event type 42" in sink.bad[0][3]
    assert sink.alarms()[0].active


async def test_a_silent_plc_is_uncertain_and_comes_back(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.links("S1") == ["up"])
    plc.alive = False
    await until(lambda: sink.links("S1") == ["up", "uncertain"])
    with pytest.raises(NotWritten) as refused:
        await driver.send(assign())
    assert refused.value.certain
    plc.alive = True
    await until(lambda: sink.links("S1") == ["up", "uncertain", "up"])
    assert len(sink.reports("S1")) == 2
    assert not plc.wrote("Command.")


async def test_a_server_that_goes_and_comes_with_other_indices_and_the_cursor_goes_on(
    profile, free_port, sink, running, until
):
    url = f"opc.tcp://127.0.0.1:{free_port()}/"
    first = OpcuaPlc(profile("stellwerk-sorter"), url)
    await first.start()
    driver = OpcuaDriver(spec(url), profile("stellwerk-sorter", **FAST), sink, lambda: 1000, rng=random.Random(1))
    task = running(driver)
    await until(lambda: states(sink) == ["up"])
    await first.event(1)
    await until(lambda: sink.notices("S1"))
    await first.stop()
    await until(lambda: states(sink) == ["up", "down"])
    second = OpcuaPlc(profile("stellwerk-sorter"), url, namespaces_before=3)
    second.kept = {"s=Event.Wr": 1}
    await second.start()
    try:
        await until(lambda: states(sink) == ["up", "down", "up"])
        await second.event(2)
        await until(lambda: len(sink.notices("S1")) == 2)
        assert [n.ring_index for n in sink.notices("S1")] == [1, 2]
        await driver.send(assign(seq=9))
        await until(lambda: ("Command.Seq", 9) in second.written)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await second.stop()


async def test_a_refused_connection_says_what_to_look_at(sink, profile, running, until, free_port):
    url = f"opc.tcp://127.0.0.1:{free_port()}/"
    running(OpcuaDriver(spec(url), profile("stellwerk-sorter"), sink, lambda: 0, rng=random.Random(1)))
    await until(lambda: sink.links("S1"))
    assert sink.reason("S1") == f"S1 {url} refused the connection: is the PLC on and the address right?"


async def test_a_server_without_the_namespace_is_told(plc, sink, profile, running, until):
    strange = profile("stellwerk-sorter").model_copy(update={"namespace": "urn:elsewhere"})
    running(OpcuaDriver(spec(plc.url), strange, sink, lambda: 0, rng=random.Random(1)))
    await until(lambda: sink.links("S1"))
    assert "no namespace 'urn:elsewhere'" in sink.reason("S1")


async def test_a_robot_cell_takes_a_packml_command_with_its_recipe(profile, free_port, sink, running, until):
    url = f"opc.tcp://127.0.0.1:{free_port()}/"
    cell = OpcuaPlc(profile("stellwerk-robot-cell"), url)
    await cell.start()
    driver = OpcuaDriver(cell_spec(url), profile("stellwerk-robot-cell", **FAST), sink, lambda: 0, rng=random.Random(1))
    task = running(driver)
    try:
        await until(lambda: sink.reports("RC1"))
        await driver.send(Command("r1", "RC1", 4, 2, 10**18, Control("Start", 55, "small")))
        await until(lambda: cell.wrote("Command.Seq"))
        assert cell.wrote("Command.") == [
            ("Command.Epoch", 2), ("Command.Code", 2), ("Command.TrackId", 55), ("Command.Recipe", "small"),
            ("Command.Seq", 4),
        ]  # fmt: skip
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await cell.stop()
