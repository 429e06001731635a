"""Which function a command takes (5, 6, 15, 16, 22, 23), what the meter counts, and what a capture holds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.capture import Capture
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.registers import Layout, Write, plan_writes
from drivers.modbus.wire import Wires
from drivers.signals import Bound
from gateway.contract import LATENCY_BOUNDS_MS, Command, LinkFigures, NotWritten
from gateway.devices.conveyor import Discharge
from gateway.site import ConveyorSpec, Profile

FAST = {"heartbeat_ms": 50, "stale_ms": 1500}
SLOW = LATENCY_BOUNDS_MS.index(500) + 1
"""The first bucket of answers that took longer than 500 ms."""


class Plc:
    """Registers and coils on a raw socket; `wrote` keeps (function, address, values) of each write."""

    def __init__(self) -> None:
        self.registers = [0] * 2000
        self.coils = [0] * 64
        self.wrote: list[tuple[int, int, tuple[int, ...]]] = []
        self.functions: list[int] = []
        self.refused: dict[int, int] = {}
        """Exception code by function."""
        self.mangle: Callable[[bytes, bytes], bytes] = lambda asked, answer: answer
        self.done_at_once = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                tid, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                asked = await reader.readexactly(length - 1)
                answer = self.answer(asked)
                writer.write(self.mangle(asked, struct.pack(">HHHB", tid, 0, len(answer) + 1, unit) + answer))
        writer.close()

    def answer(self, asked: bytes) -> bytes:
        function, address, count = struct.unpack(">BHH", asked[:5])
        self.functions.append(function)
        if function in self.refused:
            return bytes((function | 0x80, self.refused[function]))
        if function == 3:
            return self._shown(3, address, count)
        if function == 5:
            self._write(function, self.coils, address, (int(count == 0xFF00),))
        elif function == 6:
            self._write(function, self.registers, address, (count,))
        elif function == 15:
            bits = tuple(asked[6 + n // 8] >> n % 8 & 1 for n in range(count))
            self._write(function, self.coils, address, bits)
        elif function == 16:
            self._write(function, self.registers, address, struct.unpack(f">{count}H", asked[6:]))
        elif function == 22:
            and_mask, or_mask = struct.unpack(">HH", asked[3:])
            before = self.registers[address]
            self._write(function, self.registers, address, (before & and_mask | or_mask & ~and_mask,))
            return asked
        elif function == 23:
            to, words = struct.unpack(">HH", asked[5:9])
            self._write(function, self.registers, to, struct.unpack(f">{words}H", asked[10:]))
            return self._shown(23, address, count)
        return asked[:5]

    def _shown(self, function: int, address: int, count: int) -> bytes:
        if address == 0:
            self.registers[0] = (self.registers[0] + 1) % 65536
        return struct.pack(f">BB{count}H", function, 2 * count, *self.registers[address : address + count])

    def _write(self, function: int, table: list[int], address: int, values: tuple[int, ...]) -> None:
        table[address : address + len(values)] = values
        self.wrote.append((function, address, values))
        if self.done_at_once and function in (16, 23):
            self.registers[4:9] = [*values[-2:], *values[-2:], 1]

    def commands(self) -> list[tuple[int, int, tuple[int, ...]]]:
        return [each for each in self.wrote if each[1] != 1000]


@pytest.fixture
async def plc() -> AsyncIterator[Plc]:
    made = Plc()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


def spec(port: int, unit: int = 1, timeout_ms: int = 300) -> ConveyorSpec:
    return ConveyorSpec.model_validate(
        {"id": f"C{unit}", "type": "conveyor", "driver": "modbus", "profile": "p", "zones": 2,
         "connection": {"port": port, "timeout_ms": timeout_ms, "unit": unit},
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 8}]}
    )  # fmt: skip


def with_signals(profile: Profile, **changes: dict[str, Any]) -> Profile:
    data = profile.model_dump()
    for signal in data["signals"]:
        signal.update(changes.get(signal["name"], {}))
    return Profile.model_validate(data)


def driver(plc: Plc, sink: Any, shown: Profile, unit: int = 1, wires: Wires | None = None) -> ModbusDriver:
    return ModbusDriver(spec(plc.port, unit), shown, sink, lambda: 0, rng=random.Random(unit), wires=wires)


def command(seq: int = 7) -> Command[Any]:
    return Command(f"c{seq}", "C1", seq, 3, 10**18, Discharge(zone=1, track_id=5))


# --- functions ---


async def test_coils_without_a_gap_are_one_request(plc, sink, profile, running, until):
    coil = {"type": "bool", "table": "coil"}
    shown = with_signals(
        profile("stellwerk-conveyor", **FAST),
        cmd_code={**coil, "address": 10}, cmd_zone={**coil, "address": 11}, cmd_track_id={**coil, "address": 13},
    )  # fmt: skip
    made = driver(plc, sink, shown)
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    plc.coils[12] = 1
    await made.send(command())
    assert plc.commands() == [(15, 10, (1, 1)), (5, 13, (1,)), (16, 1001, (0, 3)), (16, 1007, (0, 7))]
    assert plc.coils[10:14] == [1, 1, 1, 1]


def test_no_request_writes_more_coils_than_function_15_can():
    def coil(address: int) -> Bound:
        return Bound(f"c{address}", "bool", True, "coil", address, None, 1, "", 1.0, "fast")

    seq = Bound("seq", "uint16", True, "holding", 0, None, 1, "", 1.0, "fast")
    writes = plan_writes([*((coil(n), True) for n in range(2000)), (seq, 1)], Layout())
    assert [len(write.words) for write in writes] == [1968, 32, 1]
    assert writes[-1] == Write("holding", 0, (1,), decisive=True)


async def test_a_payload_signal_may_be_a_bit_of_a_register_that_others_share(plc, sink, profile, running, until):
    shown = with_signals(profile("stellwerk-conveyor", **FAST), cmd_code={"type": "bool", "bit": 3})
    made = driver(plc, sink, shown)
    plc.registers[1003] = 0xA5A5
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    await made.send(command())
    assert plc.commands() == [(16, 1001, (0, 3)), (22, 1003, (0xA5AD,)), (16, 1004, (1, 0, 5, 0, 7))]
    plc.refused[22] = 1
    with pytest.raises(NotWritten, match=r"exception 1 .*has the device no mask write \(function 22\)\?") as failed:
        await made.send(command(8))
    assert failed.value.certain, "without its number it is no command"
    assert plc.registers[1007:1009] == [0, 7], "the number of the command before"


async def test_function_23_writes_the_mailbox_and_brings_the_echo_along(plc, sink, profile, running, until):
    made = driver(plc, sink, profile("stellwerk-conveyor", **FAST, read_write=True))
    plc.done_at_once = True
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    plc.mangle = lambda asked, answer: answer if asked[0] == 23 else b""  # no read after it is answered
    await made.send(command())
    assert plc.commands() == [(23, 1001, (0, 3, 2, 1, 0, 5, 0, 7))]
    plc.mangle = lambda asked, answer: answer
    await until(lambda: sink.reports("C1")[-1].echo.done_seq == 7)


async def test_a_device_without_function_23_is_told_how_to_be_asked(plc, sink, profile, running, until):
    made = driver(plc, sink, profile("stellwerk-conveyor", **FAST, read_write=True))
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    plc.refused[23] = 1
    with pytest.raises(NotWritten, match=r"no function 23.*'read_write' off") as failed:
        await made.send(command())
    assert not failed.value.certain
    assert plc.commands() == []


async def test_function_23_is_off_where_the_profile_does_not_ask_for_it(plc, sink, profile, running, until):
    made = driver(plc, sink, profile("stellwerk-conveyor", **FAST))
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    await made.send(command())
    assert [function for function, _, _ in plc.commands()] == [16]


def test_function_23_needs_an_echo_to_read(plc, sink, profile):
    shown = with_signals(profile("stellwerk-conveyor", read_write=True), ack_seq={"table": "input"})
    with pytest.raises(ValueError, match="read_write needs the signal ack_seq in a holding register"):
        driver(plc, sink, shown)


# --- default-deny ---


async def test_what_the_profile_does_not_declare_writable_is_never_written(plc, sink, profile, running, until):
    shown = with_signals(profile("stellwerk-conveyor", **FAST), cmd_zone={"access": "read"}, hb_gw={"access": "read"})
    made = driver(plc, sink, shown)
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    with pytest.raises(NotWritten, match="cmd_zone is not declared `access: write`") as refused:
        await made.send(command())
    assert refused.value.certain
    await made.safe_stop()
    assert plc.wrote == []


# --- the meter ---


def figures(of: ModbusDriver) -> LinkFigures:
    (shown,) = of.figures()
    return shown


async def test_requests_answers_and_connects_are_counted(plc, sink, profile, running, until):
    made = driver(plc, sink, profile("stellwerk-conveyor", **FAST))
    assert figures(made).data_age_ms is None
    running(made)
    await until(lambda: sink.links("C1") == ["up"] and len(plc.functions) > 10)
    shown = figures(made)
    assert (shown.device, shown.protocol, shown.connects, shown.errors) == ("C1", "modbus", 1, 0)
    assert 0 <= shown.requests - sum(shown.latency_buckets) <= 1
    assert abs(shown.requests - len(plc.functions)) <= 1
    assert shown.data_age_ms is not None
    assert shown.data_age_ms < 500


async def test_a_refusal_is_an_answer_and_an_error(plc, sink, profile, running, until):
    made = driver(plc, sink, profile("stellwerk-conveyor", **FAST))
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    plc.refused[3] = 2
    await until(lambda: figures(made).errors >= 4)
    shown = figures(made)
    assert shown.bad_values == len(sink.bad) == 2
    assert shown.connects == 1
    assert shown.requests - sum(shown.latency_buckets) <= 1


@pytest.mark.parametrize("wrong", [b"", b"\0\0\0\1\0\3\1\x83\2"])
async def test_a_missing_or_wrong_reply_is_an_error_and_no_answer(plc, sink, profile, running, until, wrong):
    made = driver(plc, sink, profile("stellwerk-conveyor", **FAST))
    running(made)
    await until(lambda: sink.links("C1") == ["up"])
    plc.mangle = lambda asked, answer: wrong
    await until(lambda: sink.links("C1") == ["up", "down"])
    plc.mangle = lambda asked, answer: answer
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    shown = figures(made)
    assert shown.errors >= 1
    assert shown.connects == 1 + shown.errors
    assert 0 <= shown.requests - sum(shown.latency_buckets) - shown.errors <= 1


async def test_a_report_that_can_not_be_understood_is_counted(plc, sink, profile, running, until):
    made = driver(plc, sink, with_signals(profile("stellwerk-conveyor", **FAST), state={"type": "string"}))
    running(made)
    await until(lambda: sink.links("C1") == ["uncertain"])
    assert [signal for _, signal, _, _ in sink.bad] == ["report"]
    assert figures(made).bad_values == 1


async def test_waiting_for_the_turn_is_no_latency(modbus_plc, sink, profile, running, until):
    wires, shown = Wires(), profile("stellwerk-conveyor", heartbeat_ms=5000, stale_ms=10_000)
    drivers = [
        ModbusDriver(spec(modbus_plc.port, unit, 5000), shown, sink, lambda: 0, rng=random.Random(1), wires=wires)
        for unit in (1, 2)
    ]
    for each in drivers:
        running(each)
    await until(lambda: all(figures(each).requests > 4 for each in drivers))
    modbus_plc.hold.clear()
    before = [figures(each) for each in drivers]
    asked = len(modbus_plc.requests)
    await until(lambda: len(modbus_plc.requests) > asked, "a request is held")
    begun_s = time.monotonic()
    await until(lambda: time.monotonic() > begun_s + 0.6)
    modbus_plc.hold.set()
    await until(
        lambda: all(
            sum(figures(each).latency_buckets) > sum(old.latency_buckets) + 2
            for each, old in zip(drivers, before, strict=True)
        )
    )
    slow = [
        sum(figures(each).latency_buckets[SLOW:]) - sum(old.latency_buckets[SLOW:])
        for each, old in zip(drivers, before, strict=True)
    ]
    assert sorted(slow) == [0, 1], "only the request that was held took longer than 500 ms"


# --- the capture ---


def noted(file: Path) -> set[tuple[str, str]]:
    """Way and frame without its header."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {(line["way"], line["frame"][14:]) for line in lines}


async def test_every_frame_is_captured_wrong_and_unfinished_ones_too(plc, sink, profile, running, until, tmp_path):
    file = tmp_path / "capture.jsonl"
    capture = Capture(file, lambda: 5)
    running(driver(plc, sink, profile("stellwerk-conveyor", **FAST), wires=Wires(capture)))
    await until(lambda: sink.links("C1") == ["up"])
    plc.mangle = lambda asked, answer: answer[:-1] + b"\1" if asked[0] == 6 else answer
    await until(lambda: sink.links("C1") == ["up", "down"])
    plc.mangle = lambda asked, answer: answer[:9]
    await until(
        lambda: any(way == "in" and len(frame) == 4 for way, frame in noted(file)), "the reply that was cut off"
    )
    plc.mangle = lambda asked, answer: answer
    await until(lambda: sink.links("C1")[-1] == "up")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {(line["link"], line["protocol"], line["at_ns"]) for line in lines} == {
        (f"127.0.0.1:{plc.port}", "modbus", 5)
    }
    frames = noted(file)
    assert ("out", "03000000" + "0b") in frames
    assert ("out", "0603e80001") in frames
    assert any(way == "in" and frame.startswith("0316") for way, frame in frames)
    assert any(way == "in" and frame.startswith("0603e8") and frame.endswith("01") for way, frame in frames)
    capture.close()
