"""A reply that is not the answer ends the connection, says why, and never becomes a value; nothing is repeated."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.replies import ReplyGuard, reply_problem
from gateway.contract import Command, LinkChanged, NotWritten
from gateway.devices.conveyor import Discharge
from gateway.site import ConveyorSpec, Profile

FAST = {"heartbeat_ms": 50, "stale_ms": 1500}


def frame(tid: int, unit: int, pdu: bytes, protocol: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">HHHB", tid, protocol, len(pdu) + 1 if length is None else length, unit) + pdu


ASKED = frame(7, 3, bytes.fromhex("03 0000 0002"))
GOOD = bytes.fromhex("03 04 0001 0002")
ASKED_COILS = frame(9, 3, bytes.fromhex("0f 0004 0009 02 ff01"))
ASKED_MASK = frame(9, 3, bytes.fromhex("16 0004 fffc 0002"))
ASKED_BOTH = frame(9, 3, bytes.fromhex("17 0000 0002 03e9 0001 02 0005"))
ASKED_WRITE = frame(8, 3, bytes.fromhex("10 03e9 0001 02 0005"))


@pytest.mark.parametrize(
    ("asked", "reply", "problem"),
    [
        (ASKED, frame(7, 3, GOOD), ""),
        (ASKED, frame(7, 3, bytes.fromhex("83 02")), ""),
        (ASKED_WRITE, frame(8, 3, bytes.fromhex("10 03e9 0001")), ""),
        (ASKED_COILS, frame(9, 3, bytes.fromhex("0f 0004 0009")), ""),
        (ASKED_COILS, frame(9, 3, bytes.fromhex("0f 0004 0008")),
         "the echo 0f 00 04 00 08 of a write that was 0f 00 04 00 09"),
        (ASKED_MASK, frame(9, 3, bytes.fromhex("16 0004 fffc 0002")), ""),
        (ASKED_MASK, frame(9, 3, bytes.fromhex("16 0004 fffc 0003")),
         "the echo 16 00 04 ff fc 00 03 of a write that was 16 00 04 ff fc 00 02"),
        (ASKED_BOTH, frame(9, 3, bytes.fromhex("17 04 0007 0008")), ""),
        (ASKED_BOTH, frame(9, 3, bytes.fromhex("17 02 0007")), "2 bytes of values for 2 asked: 4 are right"),
        (ASKED_BOTH, frame(9, 3, bytes.fromhex("10 03e9 0001")), "the reply to function 16, not to 23"),
        (ASKED, frame(7, 3, GOOD)[:-1], None),
        (ASKED, frame(6, 3, GOOD), "the reply to transaction 6, not to 7"),
        (ASKED, frame(0, 3, GOOD), "the reply to transaction 0, not to 7"),
        (ASKED, frame(7, 4, GOOD), "the reply of unit 4, not of 3"),
        (ASKED, frame(7, 3, GOOD, protocol=1), "protocol 1 in place of 0: is it a Modbus device?"),
        (ASKED, frame(7, 3, GOOD, length=900), "a length of 900 bytes, which no reply has"),
        (ASKED, frame(7, 3, GOOD) + b"\0", "1 bytes more than the reply's length says"),
        (ASKED, frame(7, 3, b"\x04" + GOOD[1:]), "the reply to function 4, not to 3"),
        (ASKED, frame(7, 3, bytes.fromhex("03 02 0001")), "2 bytes of values for 2 asked: 4 are right"),
        (ASKED, frame(7, 3, bytes.fromhex("03 06 000100020003")), "6 bytes of values for 2 asked: 4 are right"),
        (ASKED, frame(7, 3, bytes.fromhex("03 04 0001")), "a byte count that does not fit its 4 bytes"),
        (ASKED, frame(7, 3, bytes.fromhex("83")), "an exception of 1 bytes, not 2"),
        (ASKED_WRITE, frame(8, 3, bytes.fromhex("10 03e9 0002")),
         "the echo 10 03 e9 00 02 of a write that was 10 03 e9 00 01"),
        (b"", frame(7, 3, GOOD), "a reply that nobody had asked for"),
    ],
)  # fmt: skip
def test_a_reply_is_judged_by_its_request(asked, reply, problem):
    assert reply_problem(asked, reply) == problem


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_the_judge_fail_and_few_pass(data):
    problem = reply_problem(ASKED, data)
    assert problem is None or problem or (data[:2], data[6]) == (b"\0\7", 3)


@given(st.integers(0, 13))
def test_the_guard_holds_back_what_is_not_complete_and_replaces_what_is_wrong(cut):
    guard, good = ReplyGuard(), frame(7, 3, GOOD)
    assert guard.packet(True, ASKED) == ASKED
    if cut < len(good):
        assert guard.packet(False, good[:cut]) == b""
    # The library gets the reply without its values, which stay here as they came.
    assert (guard.packet(False, good), guard.problem) == (frame(7, 3, b"\x03\0"), "")
    assert guard.reply == GOOD
    guard.packet(True, ASKED)
    assert guard.packet(False, frame(9, 3, GOOD)) == frame(7, 3, b"\x83\x0b")
    assert guard.problem


class Plc:
    """One conveyor PLC on a raw socket. `mangle` gets request and answer and says what is sent in its place."""

    def __init__(self) -> None:
        self.registers = [0] * 2000
        self.mangle: Callable[[bytes, bytes], bytes] = lambda asked, answer: answer
        self.functions: list[int] = []
        self.commands: list[tuple[int, ...]] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                tid, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                asked = await reader.readexactly(length - 1)
                writer.write(self.mangle(asked, frame(tid, unit, self.answer(asked))))
        writer.close()

    def answer(self, asked: bytes) -> bytes:
        function, address, count = struct.unpack(">BHH", asked[:5])
        self.functions.append(function)
        if function == 3:
            self.registers[0] = (self.registers[0] + 1) % 65536
            shown = self.registers[address : address + count]
            return struct.pack(f">BB{count}H", 3, 2 * count, *shown)
        if function == 6:
            self.registers[address] = count
        elif function == 16:
            values = struct.unpack(f">{count}H", asked[6:])
            self.registers[address : address + count] = values
            self.commands.append(values)
        return asked[:5]


@pytest.fixture
async def plc() -> AsyncIterator[Plc]:
    made = Plc()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
def driver(plc: Plc, sink: Any, profile: Any) -> ModbusDriver:
    return ModbusDriver(spec(plc.port), profile("stellwerk-conveyor", **FAST), sink, lambda: 0, rng=random.Random(1))


def spec(port: int) -> ConveyorSpec:
    return ConveyorSpec.model_validate(
        {"id": "C1", "type": "conveyor", "driver": "modbus", "profile": "p", "zones": 2,
         "connection": {"port": port, "timeout_ms": 300},
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 8}]}
    )  # fmt: skip


def command(seq: int = 7) -> Command[Any]:
    return Command(f"c{seq}", "C1", seq, 3, 10**18, Discharge(zone=1, track_id=5))


HOSTILE = {
    "the reply of unit 9": lambda answer: answer[:6] + b"\x09" + answer[7:],
    "the reply to transaction 0": lambda answer: b"\0\0" + answer[2:],
    "the reply to transaction 65535": lambda answer: b"\xff\xff" + answer[2:],
    "the reply to function 4": lambda answer: answer[:7] + b"\x04" + answer[8:],
    "protocol 1": lambda answer: answer[:3] + b"\1" + answer[4:],
    "bytes of values": lambda answer: answer[:4] + struct.pack(">HB", 7, answer[6]) + b"\x03\x04\xbe\xef\xbe\xef",
    "a byte count that does not fit": lambda answer: answer[:8] + b"\x05" + answer[9:],
    "bytes more than": lambda answer: answer + b"\xbe\xef",
}


@pytest.mark.parametrize("says", HOSTILE)
async def test_a_hostile_reply_to_a_read_never_becomes_a_value(plc, sink, driver, running, until, says):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    reports = len(sink.reports("C1"))
    plc.registers[9] = 6
    plc.mangle = lambda asked, answer: HOSTILE[says](answer) if asked[0] == 3 else answer
    await until(lambda: sink.links("C1") == ["up", "down"])
    assert says in sink.reason("C1")
    assert sink.reason("C1").startswith(f"C1 127.0.0.1:{plc.port}: ")
    assert len(sink.reports("C1")) == reports
    plc.mangle = lambda asked, answer: answer
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    assert sink.reports("C1")[-1].state == 6


async def test_a_second_reply_to_one_request_ends_the_connection(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    plc.mangle = lambda asked, answer: answer + answer
    await until(lambda: sink.links("C1") == ["up", "down"])
    assert "bytes more than the reply's length says" in sink.reason("C1")


async def test_a_wrong_echo_of_a_command_leaves_doubt_and_is_not_repeated(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    plc.mangle = lambda asked, answer: answer[:-1] + b"\1" if asked[0] == 16 else answer
    with pytest.raises(NotWritten, match=r"writing holding 1001…1008 brought the echo") as failed:
        await driver.send(command())
    assert not failed.value.certain
    plc.mangle = lambda asked, answer: answer
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    assert len(plc.commands) == 1


async def test_after_a_time_out_a_write_is_not_repeated(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    plc.mangle = lambda asked, answer: b"" if asked[0] == 16 else answer
    with pytest.raises(NotWritten, match="no answer to writing holding 1001…1008 within 300 ms") as failed:
        await driver.send(command())
    assert not failed.value.certain
    plc.mangle = lambda asked, answer: answer
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    polls = len(plc.functions)
    await until(lambda: len(plc.functions) > polls + 20, "many more requests")
    assert plc.commands == [(0, 3, 2, 1, 0, 5, 0, 7)]


async def test_after_a_time_out_the_first_report_shows_what_became_of_the_command(plc, sink, driver, running, until):
    """The echo decides: the driver reads it before anything else is sent, and writes nothing a second time."""
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])

    def done_but_not_said(asked: bytes, answer: bytes) -> bytes:
        if asked[0] != 16:
            return answer
        plc.registers[2:9] = [0, 3, 0, 7, 0, 7, 1]  # epoch, ack_seq, done_seq, result
        return b""

    plc.mangle = done_but_not_said
    with pytest.raises(NotWritten) as failed:
        await driver.send(command())
    assert not failed.value.certain
    await until(lambda: sink.links("C1") == ["up", "down", "up"])
    (up,) = [n for n, post in enumerate(sink.posts) if isinstance(post, LinkChanged)][2:]
    echo = sink.posts[up + 1].data.echo
    assert (echo.epoch, echo.ack_seq, echo.done_seq, echo.result) == (3, 7, 7, 1)
    polls = len(plc.functions)
    await until(lambda: len(plc.functions) > polls + 20, "many more requests")
    assert plc.functions.count(16) == 1


# --- reading back ---


def verifying(profile: Profile, **changes: Any) -> Profile:
    data = profile.model_dump()
    for signal in data["signals"]:
        signal["verify"] = signal["name"] in changes.get("signals", ())
        if changes.get("split") and signal["name"] == "cmd_seq":
            signal["address"] = 1010  # a gap: payload and number are two writes
    data["handshake"]["verify"] = changes.get("handshake", False)
    return Profile.model_validate(data)


def reader(plc: Plc, sink: Any, profile: Any, **changes: Any) -> ModbusDriver:
    shown = verifying(profile("stellwerk-conveyor", **FAST), **changes)
    return ModbusDriver(spec(plc.port), shown, sink, lambda: 0, rng=random.Random(1))


async def test_without_verify_nothing_is_read_back(plc, sink, driver, running, until):
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    reads: list[int] = []
    plc.mangle = lambda asked, answer: reads.append(struct.unpack(">BH", asked[:3])[1]) or answer
    await driver.send(command())
    await until(lambda: len(reads) > 10)
    assert [address for address in reads if address > 1000] == [1001]


async def test_what_was_written_is_read_back_and_a_difference_is_told(plc, sink, profile, running, until):
    driver = reader(plc, sink, profile, handshake=True)
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])
    await driver.send(command())

    def forget(asked: bytes, answer: bytes) -> bytes:
        if asked[0] == 16:
            plc.registers[1006] = 99
        return answer

    plc.mangle = forget
    with pytest.raises(NotWritten, match="cmd_track_id = 99: reading back holding 1006 after 5") as failed:
        await driver.send(command(8))
    assert not failed.value.certain
    assert [(s, v) for _, s, v, _ in sink.bad] == [("cmd_track_id", 99)]
    assert sink.links("C1") == ["up"]
    assert len(plc.commands) == 2


async def test_a_payload_that_did_not_stay_gets_no_number(plc, sink, profile, running, until):
    driver = reader(plc, sink, profile, signals=("cmd_zone",), split=True)
    running(driver)
    await until(lambda: sink.links("C1") == ["up"])

    def forget(asked: bytes, answer: bytes) -> bytes:
        if asked[0] == 16:
            plc.registers[1004] = 0
        return answer

    plc.mangle = forget
    with pytest.raises(NotWritten, match="cmd_zone = 0") as failed:
        await driver.send(command())
    assert failed.value.certain
    assert plc.registers[1010:1012] == [0, 0]
    plc.mangle = lambda asked, answer: answer
    await driver.send(command())
    assert plc.registers[1010:1012] == [0, 7]
