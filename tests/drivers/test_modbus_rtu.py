"""Modbus RTU over pseudo-terminals: several units on one line, noise, broken frames, and a line that is unplugged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import struct
import tty
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from drivers.capture import Capture
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.probe import examine
from drivers.modbus.serial_line import LineGuard, line_problem, silence_s
from drivers.modbus.wire import Wires
from gateway.contract import Command, NotWritten
from gateway.devices.conveyor import Discharge
from gateway.site import ConveyorSpec, ModbusConnection, Site
from gateway.site.checks import check
from gateway.site.model import ModbusSerial

TIMEOUT_MS = 200


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS bit by bit, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


def framed(unit: int, pdu: bytes) -> bytes:
    body = bytes((unit,)) + pdu
    return body + crc(body)


# --- which bytes are a reply ---

ASKED = framed(3, bytes.fromhex("03 0000 0002"))
GOOD = framed(3, bytes.fromhex("03 04 0001 0002"))
ASKED_WRITE = framed(3, bytes.fromhex("10 03e9 0001 02 0005"))


@pytest.mark.parametrize(
    ("asked", "reply", "problem"),
    [
        (ASKED, GOOD, ""),
        (ASKED, framed(3, bytes.fromhex("83 02")), ""),
        (ASKED_WRITE, framed(3, bytes.fromhex("10 03e9 0001")), ""),
        (framed(3, bytes.fromhex("16 0004 fffc 0002")), framed(3, bytes.fromhex("16 0004 fffc 0002")), ""),
        (framed(3, bytes.fromhex("0f 0004 0009 02 ff01")), framed(3, bytes.fromhex("0f 0004 0009")), ""),
        (framed(3, bytes.fromhex("17 0000 0001 03e9 0001 02 0005")), framed(3, bytes.fromhex("17 02 0007")), ""),
        (ASKED, GOOD[:-1], None),
        (ASKED, b"\3", None),
        (ASKED, framed(4, GOOD[1:-2]), "the reply of unit 4, not of 3, or noise"),
        (ASKED, framed(3, b"\4" + GOOD[2:-2]), "the reply to function 4, not to 3, or noise"),
        (ASKED, GOOD + b"\0", "1 bytes more than a reply to it has"),
        (ASKED, GOOD[:-2] + b"\0\0", "a frame with a wrong CRC: are cable, termination, baud rate and parity right?"),
        (ASKED, framed(3, bytes.fromhex("03 05 0001 0002")), "a byte count that does not fit its 6 bytes"),
        (ASKED_WRITE, framed(3, bytes.fromhex("10 03e9 0002")),
         "the echo 10 03 e9 00 02 of a write that was 10 03 e9 00 01"),
    ],
)  # fmt: skip
def test_a_frame_is_judged_by_its_request(asked, reply, problem):
    assert line_problem(asked, reply) == problem


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_no_single_bit_turns_a_reply_into_another(bit):
    broken = bytearray(GOOD)
    broken[bit // 8] ^= 1 << bit % 8
    assert line_problem(ASKED, bytes(broken)) != ""


@given(st.binary(max_size=300))
def test_noise_is_never_a_reply(noise):
    assert line_problem(ASKED, noise) != "" or crc(noise[:-2]) == noise[-2:]


@given(st.binary(min_size=2, max_size=2))
def test_the_library_checks_the_crc_as_well(check_bytes):
    framer = FramerRTU(DecodePDU(False))
    _, pdu = framer.handleFrame(GOOD[:-2] + check_bytes, 3, 0)
    assert (pdu is not None) is (check_bytes == GOOD[-2:])


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ("01 0000 0009", "01 02 ff01"),
        ("02 0000 0001", "02 01 01"),
        ("03 0000 0001", "03 02 0007"),
        ("04 0000 0001", "04 02 0007"),
        ("05 0004 ff00", "05 0004 ff00"),
        ("06 0004 0007", "06 0004 0007"),
        ("0f 0004 0009 02 ff01", "0f 0004 0009"),
        ("10 03e9 0001 02 0005", "10 03e9 0001"),
        ("16 0004 fffc 0002", "16 0004 fffc 0002"),
        ("17 0000 0001 03e9 0001 02 0005", "17 02 0007"),
        ("2b 0e 01 00", "2b 0e 01 01 00 00 01 00 04 41636d65"),
    ],
)
def test_a_good_reply_passes_guard_and_library_whatever_its_function_and_however_it_is_cut(asked, reply):
    for cut in range(1, len(framed(3, bytes.fromhex(reply)))):
        guard, framer = LineGuard(), FramerRTU(DecodePDU(False))
        guard.packet(True, framed(3, bytes.fromhex(asked)))
        whole = framed(3, bytes.fromhex(reply))
        assert framer.handleFrame(guard.packet(False, whole[:cut]), 3, 0) == (0, None)
        _, pdu = framer.handleFrame(guard.packet(False, whole), 3, 0)
        assert pdu is not None
        assert not pdu.isError()
        assert (guard.reply, guard.problem) == (bytes.fromhex(reply), "")


def test_what_comes_unasked_is_dropped_and_a_bad_frame_ends_the_wait():
    guard = LineGuard()
    assert guard.packet(False, b"\xff\xfe") == b""
    guard.packet(True, ASKED)
    assert guard.packet(False, GOOD[:4]) == b""
    assert guard.packet(False, GOOD) == GOOD
    assert (guard.problem, guard.reply) == ("", GOOD[1:-2])
    guard.packet(True, ASKED)
    assert guard.packet(False, GOOD[:-1] + b"\0") == framed(3, b"\x83\x0b")
    assert "CRC" in guard.problem


def test_the_silence_between_frames_is_three_and_a_half_characters():
    assert silence_s(ModbusSerial(device="x", baudrate=9600)) == pytest.approx(0.00401, abs=1e-5)
    assert silence_s(ModbusSerial(device="x", baudrate=115_200)) == 0.00175


# --- the line ---


class Line:
    """Units on a pseudo-terminal. `mangle` gets unit and answer and says what is sent; `dead` units say nothing."""

    def __init__(self, folder: Path) -> None:
        self.device = folder / "ttyUSB0"
        self.units = {unit: [0] * 1100 for unit in (1, 2)}
        self.dead: set[int] = set()
        self.mangle: Callable[[int, bytes], bytes] = lambda unit, answer: answer
        self.asked: list[tuple[int, int, int]] = []
        """Unit, function, address."""
        self.asked_at_s: list[float] = []
        self.commands: list[tuple[int, tuple[int, ...]]] = []
        self._buffer = b""
        self._ends: tuple[int, int] | None = None

    def plug_in(self) -> None:
        own, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(own, False)
        self.device.unlink(missing_ok=True)
        self.device.symlink_to(os.ttyname(theirs))
        self._ends, self._buffer = (own, theirs), b""
        asyncio.get_running_loop().add_reader(own, self._readable)

    def unplug(self) -> None:
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
            for end in self._ends:
                os.close(end)
            self._ends = None
            self.device.unlink()

    def say(self, data: bytes) -> None:
        assert self._ends is not None
        os.write(self._ends[0], data)

    def _readable(self) -> None:
        assert self._ends is not None
        with contextlib.suppress(BlockingIOError, OSError):  # OSError: nobody has the other end open
            self._buffer += os.read(self._ends[0], 1024)
        while len(self._buffer) >= 7:
            length = 9 + self._buffer[6] if self._buffer[1] in (15, 16) else 7 if self._buffer[1] == 43 else 8
            if len(self._buffer) < length:
                return
            frame, self._buffer = self._buffer[:length], self._buffer[length:]
            assert crc(frame[:-2]) == frame[-2:], frame.hex()
            self._serve(frame[0], frame[1:-2])

    def _serve(self, unit: int, asked: bytes) -> None:
        function, address, count = struct.unpack(">BHH", asked[:5].ljust(5, b"\0"))
        self.asked.append((unit, function, address))
        self.asked_at_s.append(asyncio.get_running_loop().time())
        if unit in self.dead:
            return
        if function == 43:
            self.say(framed(unit, bytes((function | 0x80, 1))))
            return
        registers, answer = self.units[unit], asked[:5]
        if function == 3:
            registers[0] = (registers[0] + 1) % 65536
            answer = struct.pack(f">BB{count}H", 3, 2 * count, *registers[address : address + count])
        elif function == 6:
            registers[address] = count
        elif function == 16:
            values = struct.unpack(f">{count}H", asked[6:])
            registers[address : address + count] = values
            self.commands.append((unit, values))
        self.say(self.mangle(unit, framed(unit, answer)))


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    made = Line(tmp_path)
    made.plug_in()
    yield made
    made.unplug()


def spec(line: Line, unit: int, **serial: Any) -> ConveyorSpec:
    connection = {"serial": {"device": str(line.device), "baudrate": 115_200, "parity": "none", **serial}, "unit": unit,
                  "timeout_ms": TIMEOUT_MS}  # fmt: skip
    return ConveyorSpec.model_validate(
        {"id": f"C{unit}", "type": "conveyor", "driver": "modbus", "profile": "p", "zones": 2,
         "connection": connection,
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 8}]}
    )  # fmt: skip


@pytest.fixture
def start(line: Line, sink: Any, profile: Any, running: Any) -> Callable[..., dict[int, ModbusDriver]]:
    def begin(
        *units: int, wires: Wires | None = None, heartbeat_ms: int = 100, **serial: Any
    ) -> dict[int, ModbusDriver]:
        shared, shown = wires or Wires(), profile("stellwerk-conveyor", heartbeat_ms=heartbeat_ms, stale_ms=2000)
        drivers = {
            unit: ModbusDriver(
                spec(line, unit, **serial), shown, sink, lambda: 0, rng=random.Random(unit), wires=shared
            )
            for unit in units
        }
        for driver in drivers.values():
            running(driver)
        return drivers

    return begin


def command(unit: int, seq: int = 7) -> Command[Any]:
    return Command(f"c{seq}", f"C{unit}", seq, 3, 10**18, Discharge(zone=1, track_id=5))


async def test_two_units_on_one_line_come_up_and_each_gets_its_own_command(line, sink, start, until):
    drivers = start(1, 2)
    line.units[2][9] = 6
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up"])
    assert (sink.reports("C1")[-1].state, sink.reports("C2")[-1].state) == (0, 6)
    await drivers[2].send(command(2))
    assert line.commands == [(2, (0, 3, 2, 1, 0, 5, 0, 7))]
    figures = [drivers[unit].figures()[0] for unit in (1, 2)]
    assert [f.connects for f in figures] == [1, 1]
    assert [f.errors for f in figures] == [0, 0]
    assert all(sum(f.latency_buckets) > 3 for f in figures)


async def test_the_line_is_silent_between_an_answer_and_the_next_request(line, sink, start, until):
    start(1, 2)
    await until(lambda: len(line.asked_at_s) > 20)
    assert min(b - a for a, b in pairwise(line.asked_at_s)) >= 0.00175


async def test_a_dead_unit_is_down_and_costs_the_others_one_time_out_a_try(line, sink, start, until):
    line.dead.add(2)
    start(1, 2)
    await until(lambda: sink.links("C2") == ["down"] and sum(unit == 2 for unit, _, _ in line.asked) >= 3)
    assert f"C2 {line.device} unit 2: no answer to writing our heartbeat within {TIMEOUT_MS} ms" in sink.reason("C2")
    assert sink.links("C1") == ["up"]
    mine = [at for at, (unit, _, _) in zip(line.asked_at_s, line.asked, strict=True) if unit == 1]
    assert max(b - a for a, b in pairwise(mine)) < 2 * TIMEOUT_MS / 1000, "more than one time-out in a row"
    line.dead.clear()
    await until(lambda: sink.links("C2") == ["down", "up"])


async def test_noise_while_reading_hurts_nobody(line, sink, start, until):
    """It may come between requests or in the midst of one; a write, which is never repeated, comes only at first."""
    start(1, heartbeat_ms=60_000)
    await until(lambda: sink.links("C1") == ["up"])
    for _ in range(5):
        seen = len(line.asked)
        line.say(b"\xff\x00\xa5")
        await until(lambda seen=seen: len(line.asked) > seen + 2)
    assert sink.links("C1") == ["up"]


async def test_a_broken_frame_is_read_again_and_counted(line, sink, start, until):
    drivers = start(1)
    await until(lambda: sink.links("C1") == ["up"])
    broken: list[bytes] = []

    def once(unit: int, answer: bytes) -> bytes:
        if answer[1] == 3 and not broken:
            broken.append(answer)
            return answer[:-1] + bytes((answer[-1] ^ 0x10,))
        return answer

    line.mangle = once
    await until(lambda: broken)
    line.units[1][101] = 9
    await until(lambda: sink.reports("C1")[-1].zones[0].arrivals == 9)
    assert sink.links("C1") == ["up"]
    assert drivers[1].figures()[0].errors == 1


async def test_the_rest_of_a_broken_frame_is_waited_for_before_the_next_request(line, sink, start, until):
    start(1)
    await until(lambda: sink.links("C1") == ["up"])
    ended_at_s: list[float] = []
    loop = asyncio.get_running_loop()

    def late(rest: bytes) -> None:
        ended_at_s.append(loop.time())
        line.say(rest)

    def in_two_parts(unit: int, answer: bytes) -> bytes:
        if answer[1] != 3 or ended_at_s:
            return answer
        for n in range(1, 5):
            loop.call_later(0.01 * n, late, answer[n : n + 4])
        line.mangle = lambda unit, answer: answer
        return b"\xff" + answer[:4]

    seen = len(line.asked)
    line.mangle = in_two_parts
    await until(lambda: len(ended_at_s) == 4 and len(line.asked) > seen + 3)
    first_after = next(at for at in line.asked_at_s if at > ended_at_s[0])
    assert first_after - ended_at_s[-1] >= 0.015
    assert sink.links("C1") == ["up"]


def _wrong_crc(answer: bytes) -> bytes:
    return answer[:-2] + bytes(byte ^ 0xFF for byte in answer[-2:])


def _flipped(answer: bytes) -> bytes:
    return answer[:5] + bytes((answer[5] ^ 0x40,)) + answer[6:]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "wrong CRC": _wrong_crc,
    "frame with a wrong CRC": _flipped,
    "the reply of unit 9, not of 1": lambda answer: framed(9, answer[1:-2]),
    "the reply to function 4, not to 3": lambda answer: framed(answer[0], b"\4" + answer[2:-2]),
    "bytes more than a reply": lambda answer: answer + b"\xbe\xef",
    "or noise": lambda answer: b"\xbe\xef" + answer,
}


@pytest.mark.parametrize("says", BROKEN)
async def test_a_broken_frame_never_becomes_a_value(line, sink, start, until, says):
    start(1, 2)
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up"])
    reports = len(sink.reports("C1"))
    line.units[1][9] = 6
    line.mangle = lambda unit, answer: BROKEN[says](answer) if (unit, answer[1]) == (1, 3) else answer
    await until(lambda: sink.links("C1") == ["up", "down"])
    assert says in sink.reason("C1")
    assert len(sink.reports("C1")) == reports
    assert sink.links("C2") == ["up"]
    line.mangle = lambda unit, answer: answer
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    assert sink.reports("C1")[-1].state == 6


async def test_a_broken_echo_of_a_command_leaves_doubt_and_nothing_is_written_twice(line, sink, start, until):
    drivers = start(1)
    await until(lambda: sink.links("C1") == ["up"])
    line.mangle = lambda unit, answer: _wrong_crc(answer) if answer[1] == 16 else answer
    with pytest.raises(NotWritten, match="writing holding 1001…1008 brought a frame with a wrong CRC") as failed:
        await drivers[1].send(command(1))
    assert not failed.value.certain
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    assert len(line.commands) == 1


async def test_an_unplugged_line_is_told_to_every_unit_and_comes_back(line, sink, start, until):
    drivers = start(1, 2)
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up"])
    line.unplug()
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up", "down"])
    with pytest.raises(NotWritten) as refused:
        await drivers[1].send(command(1))
    assert refused.value.certain
    line.plug_in()
    await until(lambda: sink.links("C1") == sink.links("C2") == ["up", "down", "up"])
    assert [drivers[unit].figures()[0].connects for unit in (1, 2)] == [2, 2]


async def test_a_device_that_is_not_there_says_what_to_look_at(line, sink, start, until):
    line.unplug()
    start(1)
    await until(lambda: sink.links("C1") == ["down"])
    assert "the serial device can't be opened: is the adapter plugged in" in sink.reason("C1")
    line.plug_in()
    await until(lambda: sink.links("C1") == ["down", "up"])


async def test_settings_that_the_device_refuses_are_said(line, sink, start, until):
    start(1, parity="even")  # a pseudo-terminal has no parity bit
    await until(lambda: sink.links("C1") == ["down"])
    assert "the serial device does not take these settings" in sink.reason("C1")
    assert "check baudrate, parity and stop_bits" in sink.reason("C1")


async def test_every_frame_on_the_line_is_captured_noise_and_broken_ones_too(line, sink, start, until, tmp_path):
    capture = Capture(tmp_path / "capture.jsonl", lambda: 1)
    start(1, wires=Wires(capture))
    await until(lambda: sink.links("C1") == ["up"])

    def noise_is_noted() -> bool:
        line.say(b"\xff\x00\xa5")  # again, until it comes between two frames
        return '"ff00a5' in (tmp_path / "capture.jsonl").read_text()

    await until(noise_is_noted)
    lines = [json.loads(text) for text in (tmp_path / "capture.jsonl").read_text().splitlines()]
    assert {(each["link"], each["protocol"]) for each in lines} == {(str(line.device), "modbus")}
    out = [bytes.fromhex(each["frame"]) for each in lines if each["way"] == "out"]
    assert all(crc(frame[:-2]) == frame[-2:] for frame in out)
    assert lines[0]["frame"] == lines[1]["frame"] == framed(1, bytes.fromhex("06 03e8 0001")).hex()
    capture.close()


# --- the probe ---


async def test_a_probe_of_a_unit_on_a_line(line, profile):
    found = await examine(spec(line, 2), profile("stellwerk-conveyor"))
    steps = {each.step: each.verdict for each in found.checks}
    assert steps["name"] == "skipped"
    assert (steps["tcp"], steps["handshake"], steps["signals"], steps["latency"]) == ("good",) * 4
    assert steps["security"] == "doubtful"
    assert found.address == f"{line.device} unit 2"
    assert not [asked for asked in line.asked if asked[1] not in (3, 43)]


async def test_a_probe_of_a_dead_unit_and_of_no_line_says_where_to_look(line, profile):
    line.dead.add(2)
    found = await examine(spec(line, 2), profile("stellwerk-conveyor"))
    assert [(each.step, each.verdict) for each in found.checks][1:3] == [("tcp", "good"), ("handshake", "bad")]
    assert "that A and B are not swapped" in found.checks[2].next_step
    line.unplug()
    found = await examine(spec(line, 1), profile("stellwerk-conveyor"))
    assert [(each.step, each.verdict) for each in found.checks][1] == ("tcp", "bad")
    assert "can't be opened" in found.checks[1].found
    line.plug_in()


# --- as it is written in YAML ---


def test_a_device_is_on_a_line_or_behind_an_address_never_both():
    serial = {"device": "/dev/ttyUSB0"}
    for both in ({"host": "10.0.0.1"}, {"port": 1502}, {"tls": {"ca_file": "x"}}):
        with pytest.raises(ValidationError, match="on a serial line or behind an address: remove"):
            ModbusConnection.model_validate({"serial": serial, **both})
    with pytest.raises(ValidationError, match="unit 0 is everybody"):
        ModbusConnection.model_validate({"serial": serial, "unit": 0})
    made = ModbusConnection.model_validate({"serial": serial})
    assert ModbusConnection.model_validate_json(made.model_dump_json()) == made
    assert made.address == "/dev/ttyUSB0"


def found(*connections: dict[str, Any]) -> list[str]:
    devices = [
        {"id": f"C{n}", "type": "conveyor", "driver": "modbus", "profile": "p", "zones": 2, "connection": connection,
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 1}]}
        for n, connection in enumerate(connections)
    ]  # fmt: skip
    site = Site.model_validate({"site": {"id": "s", "name": "s"}, "devices": devices})
    return [f.message for f in check(site) if "baud" in f.message or "address" in f.message]


def test_units_on_a_line_are_told_apart_and_speak_alike():
    one = {"serial": {"device": "/dev/ttyUSB0"}, "unit": 1}
    assert found(one, {**one, "unit": 2}, {"unit": 1}) == []
    assert found(one, one) == ["conveyor C1 and C0 have the same address /dev/ttyUSB0 unit 1"]
    (message,) = found(one, {"serial": {"device": "/dev/ttyUSB0", "parity": "none"}, "unit": 2})
    assert message.startswith("conveyor C1 speaks 19200 baud, parity none, 1 stop on /dev/ttyUSB0, C0 19200 baud")
