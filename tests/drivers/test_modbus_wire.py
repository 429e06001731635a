"""One connection for several units: writes before reads within a bound, and a dead unit that costs little."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.registers import Write
from drivers.modbus.requests import exception_code, write
from drivers.modbus.turns import HELD_S_MAX, WAITING_MAX, WRITES_IN_A_ROW_MAX, CrowdedError, RightOfWay, Turns
from drivers.modbus.wire import Wires
from gateway.contract import Command
from gateway.devices.conveyor import Discharge
from gateway.site import ConveyorSpec, ModbusConnection

FAST = {"heartbeat_ms": 50, "stale_ms": 2000}
TIMEOUT_MS = 200

# --- turns ---


async def queue_up(turns: Turns, order: list[str], name: str, writing: bool) -> asyncio.Task[None]:
    async def use() -> None:
        async with turns.turn(writing=writing):
            order.append(name)

    task = asyncio.create_task(use())
    await asyncio.sleep(0)
    return task


async def test_a_waiting_write_goes_before_all_waiting_reads():
    turns, order = Turns(), []
    async with turns.turn(writing=False):
        tasks = [await queue_up(turns, order, f"r{n}", False) for n in range(3)]
        tasks += [await queue_up(turns, order, f"w{n}", True) for n in range(2)]
    await asyncio.gather(*tasks)
    assert order == ["w0", "w1", "r0", "r1", "r2"]


async def test_writes_hold_up_a_read_only_so_long():
    turns, order = Turns(), []
    async with turns.turn(writing=False):
        tasks = [await queue_up(turns, order, "r", False) for _ in range(2)]
        tasks += [await queue_up(turns, order, "w", True) for _ in range(2 * WRITES_IN_A_ROW_MAX + 1)]
    await asyncio.gather(*tasks)
    some = ["w"] * WRITES_IN_A_ROW_MAX
    assert order == [*some, "r", *some, "r", "w"]


async def test_who_is_cancelled_while_waiting_takes_no_turn_and_holds_up_nobody():
    turns, order = Turns(), []
    async with turns.turn(writing=False):
        tasks = [await queue_up(turns, order, name, False) for name in ("a", "b", "c")]
        tasks[0].cancel()
        await asyncio.sleep(0)
    tasks[1].cancel()  # its turn has come, but it has not run yet
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["c"]
    async with asyncio.timeout(1), turns.turn(writing=True):
        pass


async def test_one_too_many_is_refused():
    turns, order = Turns(), []
    async with turns.turn(writing=False):
        tasks = [await queue_up(turns, order, "r", False) for _ in range(WAITING_MAX)]
        with pytest.raises(CrowdedError):
            async with turns.turn(writing=False):
                pass
    await asyncio.gather(*tasks)


# --- several units on a real server ---


class Gateway:
    """A pymodbus server with units 1 to 3. A silent unit keeps its connection waiting, a refused one answers 11."""

    def __init__(self) -> None:
        self.silent: set[int] = set()
        self.refused: set[int] = set()
        self.asked = dict.fromkeys((1, 2, 3), 0)
        self.writes: list[tuple[int, int]] = []
        self.reads_at: dict[int, list[float]] = {1: [], 2: [], 3: []}
        self.released = asyncio.Event()
        self.connections = 0
        self.port = 0
        self._beat = 0

    async def start(self) -> ModbusTcpServer:
        devices = [
            SimDevice(id=unit, simdata=[SimData(0, count=1100, values=0, datatype=DataType.REGISTERS)],
                      action=self._action(unit))
            for unit in (1, 2, 3)
        ]  # fmt: skip
        server = ModbusTcpServer(devices, address=("127.0.0.1", 0), trace_connect=self._connected)
        await server.serve_forever(background=True)
        self.port = server.transport.sockets[0].getsockname()[1]
        return server

    def _connected(self, up: bool) -> None:
        self.connections += up

    def _action(self, unit: int) -> Any:
        async def act(
            function: int, start: int, address: int, count: int, registers: list[int], values: Any
        ) -> ExcCodes | None:
            self.asked[unit] += 1
            if unit in self.silent:
                await self.released.wait()
            if unit in self.refused:
                return ExcCodes.GATEWAY_NO_RESPONSE
            if values is not None:
                self.writes.append((unit, address))
            else:
                self.reads_at[unit].append(time.monotonic())
                self._beat += 1
                registers[0 - start] = self._beat % 65536 if address == 0 else registers[0 - start]
            return None

        return act


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    server = await made.start()
    yield made
    made.released.set()
    await server.shutdown()


def driver(gateway: Gateway, sink: Any, profile: Any, unit: int, wires: Wires | None) -> ModbusDriver:
    spec = ConveyorSpec.model_validate(
        {"id": f"C{unit}", "type": "conveyor", "driver": "modbus", "profile": "p", "zones": 2,
         "connection": {"port": gateway.port, "timeout_ms": TIMEOUT_MS, "unit": unit},
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 8}]}
    )  # fmt: skip
    shown = profile("stellwerk-conveyor", **FAST)
    return ModbusDriver(spec, shown, sink, lambda: 0, rng=random.Random(unit), wires=wires)


async def test_all_units_of_an_address_share_one_connection(gateway, sink, profile, running, until):
    wires = Wires()
    for unit in (1, 2, 3):
        running(driver(gateway, sink, profile, unit, wires))
    await until(lambda: all(sink.links(f"C{unit}") == ["up"] for unit in (1, 2, 3)))
    assert gateway.connections == 1


async def test_without_wires_a_device_has_a_connection_of_its_own(gateway, sink, profile, running, until):
    for unit in (1, 2):
        running(driver(gateway, sink, profile, unit, None))
    await until(lambda: all(sink.links(f"C{unit}") == ["up"] for unit in (1, 2)))
    assert gateway.connections == 2


async def test_a_dead_unit_goes_down_alone_and_is_asked_less_and_less(gateway, sink, profile, running, until):
    wires = Wires()
    drivers = {unit: driver(gateway, sink, profile, unit, wires) for unit in (1, 2, 3)}
    gateway.silent.add(3)
    for each in drivers.values():
        running(each)
    await until(lambda: sink.links("C3") == ["down"] and gateway.asked[3] >= 4, "the dead unit was tried again")
    assert "C3 127.0.0.1" in sink.reason("C3")
    assert "unit 3: no answer to writing our heartbeat within 200 ms" in sink.reason("C3")
    for unit in (1, 2):
        assert sink.links(f"C{unit}") == ["up"]
        times = gateway.reads_at[unit]
        gaps = [b - a for a, b in pairwise(times)]
        assert max(gaps) < 2 * TIMEOUT_MS / 1000, "more than one time-out in a row"
    assert gateway.asked[3] < gateway.asked[1] / 4
    await drivers[1].send(Command("c", "C1", 7, 3, 10**18, Discharge(zone=1, track_id=5)))
    assert (1, 1001) in gateway.writes


async def test_a_dead_unit_that_is_back_comes_up(gateway, sink, profile, running, until):
    wires = Wires()
    gateway.silent.add(2)
    for unit in (1, 2):
        running(driver(gateway, sink, profile, unit, wires))
    await until(lambda: sink.links("C2") == ["down"])
    gateway.silent.clear()
    await until(lambda: sink.links("C2") == ["down", "up"])
    assert sink.links("C1") == ["up"]


async def test_a_unit_that_the_gateway_does_not_reach_is_down_and_not_polled(gateway, sink, profile, running, until):
    wires = Wires()
    gateway.refused.add(2)
    for unit in (1, 2):
        running(driver(gateway, sink, profile, unit, wires))
    await until(lambda: gateway.asked[2] >= 3)
    assert sink.links("C2") == ["down"]
    assert "exception 11 to writing our heartbeat: the gateway gets no answer from this unit" in sink.reason("C2")
    assert sink.links("C1") == ["up"]
    assert gateway.connections == 1
    gateway.refused.clear()
    await until(lambda: sink.links("C2") == ["down", "up"])


async def test_a_lost_connection_is_told_to_every_unit_and_comes_back(sink, profile, running, until):
    first = Gateway()
    server = await first.start()
    wires = Wires()
    for unit in (1, 2):
        running(driver(first, sink, profile, unit, wires))
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up"])
    await server.shutdown()
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up", "down"])


async def test_a_driver_that_ends_leaves_the_connection_to_the_others(gateway, sink, profile, running, until):
    wires = Wires()
    running(driver(gateway, sink, profile, 1, wires))
    leaving = asyncio.create_task(driver(gateway, sink, profile, 2, wires).run())
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up"])
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    reads = len(gateway.reads_at[1])
    await until(lambda: len(gateway.reads_at[1]) > reads + 10)
    assert sink.links("C1") == ["up"]


async def test_a_bit_is_written_on_the_wire_without_touching_the_others():
    seen: list[Any] = []

    async def act(function: int, start: int, address: int, count: int, registers: list[int], values: Any) -> None:
        if values is not None:
            seen.append((function, address, values))

    device = SimDevice(id=1, simdata=[SimData(0, count=10, values=0xA5A5, datatype=DataType.REGISTERS)], action=act)
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    wire = Wires().to(ModbusConnection(port=port, timeout_ms=500))
    seat = await wire.join("X")
    for what, left in ((Write("holding", 4, (2,), mask=3), 0xA5A6), (Write("holding", 4, (0,), mask=0x8000), 0x25A6)):
        assert exception_code(await wire.ask(seat, "a bit", write(what, 1), writing=True)) == 0
        assert seen[-1][1:] == (4, [left])
    wire.leave(seat)
    await server.shutdown()


async def test_while_something_is_written_no_read_begins_on_another_connection():
    way = RightOfWay()
    way.write_begins()
    waiting = asyncio.create_task(way.let_writes_pass())
    await asyncio.sleep(0)
    assert not waiting.done()
    way.write_ends()
    await asyncio.wait_for(waiting, HELD_S_MAX * 100)
    await way.let_writes_pass()


async def test_a_write_that_is_never_answered_holds_reads_up_for_a_moment_only():
    way = RightOfWay()
    way.write_begins()
    begun_s = asyncio.get_running_loop().time()
    await asyncio.gather(way.let_writes_pass(), way.let_writes_pass())
    assert asyncio.get_running_loop().time() - begun_s >= HELD_S_MAX
    assert way.writes == 1
    way.write_ends()
    assert way.writes == 0
