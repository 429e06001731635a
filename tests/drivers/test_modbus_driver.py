"""ModbusDriver against a real TCP server that speaks Modbus and can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from drivers.modbus.driver import ModbusDriver
from gateway.contract import Command, LinkChanged, NotWritten, Report
from gateway.devices.conveyor import Discharge, Induct
from gateway.site import ConveyorSpec

ZONES = 12
FAST = {"heartbeat_ms": 50, "stale_ms": 400}


def spec(port: int, timeout_ms: int = 300) -> ConveyorSpec:
    return ConveyorSpec.model_validate(
        {
            "id": "C1", "type": "conveyor", "driver": "modbus", "profile": "stellwerk-conveyor", "zones": ZONES,
            "connection": {"host": "127.0.0.1", "port": port, "timeout_ms": timeout_ms},
            "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": ZONES, "loads_max": 8}],
        }
    )  # fmt: skip


def command(seq: int = 7, action: Any = None, deadline_ns: int = 10**18) -> Command[Any]:
    return Command(f"c{seq}", "C1", seq, 3, deadline_ns, action or Discharge(zone=12, track_id=70_000))


@pytest.fixture
def driver(modbus_plc: Any, sink: Any, profile: Any) -> ModbusDriver:
    return ModbusDriver(
        spec(modbus_plc.port), profile("stellwerk-conveyor", **FAST), sink, lambda: 1000, rng=random.Random(1)
    )


@pytest.fixture
async def beating(modbus_plc: Any) -> AsyncIterator[Callable[[bool], None]]:
    """The PLC's life sign; the fixture's value switches it."""
    alive = [True]

    async def beat() -> None:
        while True:
            if alive[0]:
                modbus_plc.registers[0] = (modbus_plc.registers[0] + 1) % 65536
            await asyncio.sleep(0.05)

    task = asyncio.create_task(beat())

    def switch(on: bool) -> None:
        alive[0] = on

    yield switch
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_up_comes_first_and_a_full_report_right_after(modbus_plc, sink, driver, running, until, beating):
    modbus_plc.registers[1:11] = [4, 0, 9, 0, 5, 1, 5, 1, 6, 1]
    modbus_plc.registers[100 + 8 * 2] = 0b000101
    modbus_plc.put_u32(100 + 8 * 2 + 3, 0x0001_0002)
    running(driver)
    await until(lambda: sink.reports("C1"), "first report")
    assert isinstance(sink.posts[0], LinkChanged)
    assert sink.posts[0].state == "up"
    assert isinstance(sink.posts[1], Report)
    report = sink.posts[1].data
    assert (report.boot_id, report.state, report.mode) == (4, 6, 1)
    assert (report.echo.epoch, report.echo.ack_seq, report.echo.done_seq) == (9, 5, 0x1_0005)
    assert len(report.zones) == ZONES
    assert report.zones[2].occupied
    assert report.zones[2].held
    assert not report.zones[2].running
    assert report.zones[2].track_id == 0x0001_0002


async def test_life_signs_alone_are_no_report(modbus_plc, sink, driver, running, until, beating):
    running(driver)
    await until(lambda: sink.reports("C1"))
    begun = modbus_plc.registers[0]
    await until(lambda: modbus_plc.registers[0] >= begun + 5, "five heartbeats")
    assert len(sink.reports("C1")) == 1
    modbus_plc.registers[101] = 1
    await until(lambda: len(sink.reports("C1")) == 2)
    assert sink.reports("C1")[-1].zones[0].arrivals == 1


async def test_a_command_is_one_write_with_its_number_last(modbus_plc, sink, driver, running, until, beating):
    running(driver)
    await until(lambda: sink.reports("C1"))
    await driver.send(command(seq=0x2_0001, action=Induct(zone=1, track_id=70_000)))
    assert modbus_plc.writes(1001) == [[0, 3, 1, 1, 1, 70_000 - 65_536, 2, 1]]


async def test_our_heartbeat_counts_up_and_stops_with_safe_stop(modbus_plc, sink, driver, running, until, beating):
    running(driver)
    await until(lambda: len(modbus_plc.writes(1000)) >= 3)
    assert modbus_plc.writes(1000)[:3] == [[1], [2], [3]]
    await driver.safe_stop()
    count, reads = len(modbus_plc.writes(1000)), len(modbus_plc.requests)
    await until(lambda: len(modbus_plc.requests) > reads + 8, "polls go on")
    assert len(modbus_plc.writes(1000)) <= count + 1
    with pytest.raises(NotWritten) as refused:
        await driver.send(command())
    assert refused.value.certain


async def test_a_heartbeat_that_never_moved_is_no_life(modbus_plc, sink, driver, running, until):
    modbus_plc.registers[0] = 77
    running(driver)
    await until(lambda: sink.links("C1"))
    assert sink.links("C1") == ["uncertain"]
    assert "hb_plc stands at 77" in sink.reason("C1")
    assert not sink.reports("C1")


async def test_a_heartbeat_that_stops_makes_the_link_uncertain_once_and_up_again(
    modbus_plc, sink, driver, running, until, beating
):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    beating(False)
    await until(lambda: sink.links("C1") == ["up", "uncertain"])
    with pytest.raises(NotWritten) as refused:
        await driver.send(command())
    assert refused.value.certain
    assert not modbus_plc.writes(1001)
    polls = len(modbus_plc.requests)
    await until(lambda: len(modbus_plc.requests) > polls + 10)
    assert sink.links("C1") == ["up", "uncertain"]
    beating(True)
    await until(lambda: sink.links("C1") == ["up", "uncertain", "up"])
    assert len(sink.reports("C1")) == 2


async def test_nothing_is_sent_before_the_link_is_up_or_after_the_deadline(
    modbus_plc, sink, driver, running, until, beating
):
    with pytest.raises(NotWritten) as refused:
        await driver.send(command())
    assert refused.value.certain
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    with pytest.raises(NotWritten, match="after its deadline") as late:
        await driver.send(command(deadline_ns=999))
    assert late.value.certain
    assert not modbus_plc.writes(1001)


async def test_a_lost_answer_to_a_command_is_uncertain_and_never_repeated(
    modbus_plc, sink, driver, running, until, beating
):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    modbus_plc.hold.clear()
    with pytest.raises(NotWritten) as failed:
        await driver.send(command(seq=8))
    modbus_plc.hold.set()
    await until(lambda: sink.links("C1")[-2:] == ["down", "up"])
    sent = len(modbus_plc.writes(1001))
    assert sent <= 1
    assert failed.value.certain is (sent == 0)


async def test_a_refused_write_says_where_and_is_uncertain(modbus_plc, sink, driver, running, until, beating):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    modbus_plc.exception[16] = 2
    with pytest.raises(NotWritten, match="exception 2 to writing holding 1001…1008") as failed:
        await driver.send(command())
    assert not failed.value.certain
    assert sink.links("C1") == ["up"]


async def test_a_write_waits_for_one_read_at_most(modbus_plc, sink, driver, running, until, beating):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    modbus_plc.hold.clear()
    seen = len(modbus_plc.requests)
    await until(lambda: len(modbus_plc.requests) > seen, "a request is held")
    send = asyncio.create_task(driver.send(command()))
    await asyncio.sleep(0)
    held = len(modbus_plc.requests)
    modbus_plc.hold.set()
    await send
    between = [function for function, _, _ in modbus_plc.requests[held:]]
    assert between[0] == 16


async def test_a_link_drop_is_told_once_and_the_link_comes_back(modbus_plc, sink, driver, running, until, beating):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    await modbus_plc.stop()
    await until(lambda: sink.links("C1") == ["up", "down"])
    with pytest.raises(NotWritten) as refused:
        await driver.send(command())
    assert refused.value.certain
    modbus_plc.registers[9] = 6
    await modbus_plc.start()
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    assert sink.reports("C1")[-1].state == 6


async def test_a_refused_connection_says_what_to_look_at(sink, profile, running, until, free_port):
    port = free_port()
    driver = ModbusDriver(spec(port), profile("stellwerk-conveyor"), sink, lambda: 0, rng=random.Random(1))
    running(driver)
    await until(lambda: sink.links("C1"))
    assert sink.reason("C1") == (f"C1 127.0.0.1:{port} refused the connection: is the PLC on and the port right?")


async def test_a_first_connect_that_fails_is_tried_again(sink, profile, running, until, free_port, modbus_plc, beating):
    port = free_port()
    driver = ModbusDriver(spec(port), profile("stellwerk-conveyor", **FAST), sink, lambda: 0, rng=random.Random(1))
    running(driver)
    await until(lambda: sink.links("C1") == ["down"])
    await modbus_plc.stop()
    modbus_plc.port = port
    await modbus_plc.start()
    await until(lambda: sink.links("C1") == ["down", "up"])
    assert driver.figures()[0].connects == 1


async def test_a_device_that_refuses_a_block_is_told_once_and_the_old_report_stands(
    modbus_plc, sink, driver, running, until, beating
):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    modbus_plc.exception[3] = 2
    await until(lambda: len(sink.bad) >= 2)
    assert [(d, s, v) for d, s, v, _ in sink.bad] == [
        ("C1", "holding 0…10", "exception 2"),
        ("C1", "holding 100…192", "exception 2"),
    ]
    modbus_plc.registers[101] = 5
    modbus_plc.exception.clear()
    await until(lambda: sink.reports("C1")[-1].zones[0].arrivals == 5)
    assert sink.links("C1") == ["up"]
    assert len(sink.bad) == 2


async def test_a_short_reply_ends_the_connection_and_says_why(modbus_plc, sink, driver, running, until, beating):
    modbus_plc.short = True
    running(driver)
    await until(lambda: sink.links("C1"))
    assert sink.links("C1") == ["down"]
    assert "reading holding 0…10 brought 20 bytes of values for 11 asked: 22 are right" in sink.reason("C1")
    assert not sink.reports("C1")
    modbus_plc.short = False
    await until(lambda: sink.links("C1")[-1:] == ["up"])


async def test_cancellation_closes_the_connection(modbus_plc, sink, driver, until, beating):
    task = asyncio.create_task(driver.run())
    await until(lambda: sink.links("C1") == ["up"])
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await until(lambda: not modbus_plc._writers, "the server sees the connection closed")
