"""What `doctor` and `browse` say of Modbus devices that are well, wrong or not there; nothing is ever written."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.link import LinkLostError
from drivers.modbus.probe import browse, examine
from drivers.modbus.requests import device_objects
from drivers.probe import SAMPLES, Check, Examination, as_json
from gateway.site import ConveyorSpec, Profile

IDENTITY = bytes.fromhex("2b 0e 01 01 00 00 03 00 04") + b"Acme" + b"\1\3C-9\2\4v1.2"


class Plc:
    """Registers on a raw socket; an answer may be refused by the address asked for, or mangled."""

    def __init__(self) -> None:
        self.registers = [n % 7 for n in range(2000)]
        self.functions: list[int] = []
        self.refused: dict[int, int] = {}
        """Exception code by address."""
        self.identity = IDENTITY
        self.mangle: Callable[[bytes], bytes] = lambda answer: answer
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                tid, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                answer = self.answer(await reader.readexactly(length - 1))
                writer.write(self.mangle(struct.pack(">HHHB", tid, 0, len(answer) + 1, unit) + answer))
        self.connections -= 1
        writer.close()

    def answer(self, asked: bytes) -> bytes:
        self.functions.append(asked[0])
        if asked[0] == 43:
            return self.identity
        function, address, count = struct.unpack(">BHH", asked)
        if address in self.refused:
            return bytes((function | 0x80, self.refused[address]))
        if function == 1:
            return bytes((1, (count + 7) // 8)) + bytes((0b101,)).ljust((count + 7) // 8, b"\0")
        return struct.pack(f">BB{count}H", function, 2 * count, *self.registers[address : address + count])


@pytest.fixture
async def plc() -> AsyncIterator[Plc]:
    made = Plc()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


def spec(port: int, **connection: Any) -> ConveyorSpec:
    return ConveyorSpec.model_validate(
        {"id": "C1", "type": "conveyor", "driver": "modbus", "profile": "p", "zones": 2,
         "connection": {"port": port, "timeout_ms": 300, **connection},
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 8}]}
    )  # fmt: skip


def verdicts(found: Examination) -> dict[str, str]:
    return {check.step: check.verdict for check in found.checks}


def check_of(found: Examination, step: str) -> Check:
    (check,) = [check for check in found.checks if check.step == step]
    return check


async def test_a_device_that_is_well(plc, profile, until):
    found = await examine(spec(plc.port), profile("stellwerk-conveyor"))
    assert verdicts(found) == {
        "name": "good", "tcp": "good", "handshake": "good", "security": "doubtful", "identity": "good",
        "signals": "good", "latency": "good", "clock": "skipped",
    }  # fmt: skip
    assert found.is_good
    assert (found.device, found.protocol, found.address) == ("C1", "modbus", f"127.0.0.1:{plc.port} unit 1")
    assert check_of(found, "identity").found == "vendor Acme, product C-9, revision v1.2"
    values = {reading.signal: (reading.where, reading.value) for reading in found.readings}
    assert values["state"] == ("holding 9", 2)
    assert values["zone.2.fault"] == ("holding 108 bit 5", False)
    assert "cmd_seq" not in values
    assert found.latency_p50_ms is not None
    assert found.latency_p99_ms is not None
    assert 0 < found.latency_p50_ms <= found.latency_p99_ms
    assert plc.functions.count(3) == 1 + 2 + SAMPLES
    assert set(plc.functions) == {3, 43}, "a probe only reads"
    await until(lambda: plc.connections == 0, "the connection is closed")
    assert as_json([found]).startswith(b"[")


async def test_a_port_where_nothing_listens_ends_the_examination(profile, free_port):
    found = await examine(spec(free_port()), profile("stellwerk-conveyor"))
    assert verdicts(found) == {"name": "good", "tcp": "bad"}
    assert "check the port" in check_of(found, "tcp").next_step
    assert not found.is_good


async def test_a_device_that_does_not_answer_is_told_with_what_to_check(plc, profile):
    plc.mangle = lambda answer: b""
    found = await examine(spec(plc.port, unit=9), profile("stellwerk-conveyor"))
    assert verdicts(found) == {"name": "good", "tcp": "good", "handshake": "bad", "security": "doubtful"}
    assert "no answer to reading holding 0…10 within 300 ms" in check_of(found, "handshake").found
    assert check_of(found, "handshake").next_step.startswith("check the unit number")


async def test_what_is_no_modbus_at_all_is_said(plc, profile):
    plc.mangle = lambda answer: b"HTTP/1.0 400 Bad Request\r\n\r\n"
    found = await examine(spec(plc.port), profile("stellwerk-conveyor"))
    assert "is it a Modbus device?" in check_of(found, "handshake").found


async def test_a_refused_block_is_the_problem_of_each_of_its_signals(plc, profile):
    plc.refused[100] = 2
    found = await examine(spec(plc.port), profile("stellwerk-conveyor"))
    assert verdicts(found)["handshake"] == "good"
    assert verdicts(found)["signals"] == "bad"
    assert "18 of 26 signals are bad, the first is zone.1.occupied" in check_of(found, "signals").found
    assert "exception 2: the device has no such registers" in check_of(found, "signals").found
    assert {reading.signal.startswith("zone.") for reading in found.readings if reading.problem} == {True}
    assert not found.is_good


async def test_a_device_that_does_not_know_itself_is_no_problem(plc, profile):
    plc.identity = bytes.fromhex("ab 01")
    found = await examine(spec(plc.port), profile("stellwerk-conveyor"))
    assert check_of(found, "identity").verdict == "skipped"
    assert found.is_good


async def test_more_fast_blocks_than_the_period_holds_are_doubtful(plc, profile):
    data = profile("stellwerk-conveyor").model_dump()
    data["fast_poll_ms"] = 10
    data["signals"] = [
        *data["signals"],
        *({"name": f"far_{n}", "type": "uint16", "table": "holding", "address": 300 + 50 * n} for n in range(300)),
    ]
    plc.registers = [0] * 20_000
    found = await examine(spec(plc.port), Profile.model_validate(data))
    assert check_of(found, "latency").verdict == "doubtful"
    assert "302 fast blocks take" in check_of(found, "latency").found
    assert found.is_good, "doubtful is not bad"


async def test_tls_that_fails_is_told_as_such(plc, profile, tmp_path: Path):
    tls = {"ca_file": str(tmp_path / "missing.pem")}
    found = await examine(spec(plc.port, tls=tls), profile("stellwerk-conveyor"))
    assert verdicts(found)["handshake"] == "bad"
    assert "its TLS files can't be used" in check_of(found, "handshake").found
    assert "ca_file" in check_of(found, "handshake").next_step


async def test_browse_shows_every_register_with_its_signals_and_raw_value(plc, profile):
    data = profile("stellwerk-conveyor").model_dump()
    coil = {"type": "bool", "table": "coil"}
    data["signals"] = [*data["signals"], {"name": "door", **coil, "address": 5}, {"name": "gate", **coil, "address": 7}]
    plc.refused[100] = 2
    found = await browse(spec(plc.port), Profile.model_validate(data))
    shown = [(each.depth, each.what, each.kind, each.value) for each in found]
    assert shown[0] == (0, "coil 5…7", "3 bits, fast poll", "")
    assert shown[1:4] == [(1, "coil 5", "door", "1"), (1, "coil 6", "no signal", "0"), (1, "coil 7", "gate", "1")]
    assert shown[4] == (0, "holding 0…10", "11 registers, fast poll", "")
    assert (1, "holding 5", "ack_seq", "5 (0x0005)") in shown
    assert shown[-1][:3] == (0, "holding 100…112", "13 registers, fast poll")
    assert shown[-1][3].startswith("exception 2")
    assert set(plc.functions) == {1, 3}


async def test_browse_of_an_absent_device_says_so(profile, free_port):
    with pytest.raises(LinkLostError, match="refused the connection"):
        await browse(spec(free_port()), profile("stellwerk-conveyor"))


@pytest.mark.parametrize("cut", range(len(IDENTITY)))
def test_an_identity_that_is_cut_off_is_not_taken(cut):
    assert device_objects(IDENTITY) == {0: "Acme", 1: "C-9", 2: "v1.2"}
    with pytest.raises(ValueError, match=r"is no device identification|ends within an object"):
        device_objects(IDENTITY[:cut])
