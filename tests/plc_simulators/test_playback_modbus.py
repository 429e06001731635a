"""A recorded Modbus device, played back to plain clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerRTU

from plc_simulators.playback.modbus import ModbusPlayback
from plc_simulators.playback.record import CaptureError, read

SECOND_NS = 10**9
Writer = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    """Writes a capture by hand; each line is (ms, way, fields)."""

    def write(*lines: tuple[int, str, dict[str, Any]], link: str = "10.0.0.2:502", more: str = "") -> Path:
        path = tmp_path / "capture.jsonl"
        whole = [
            json.dumps({"at_ns": ms * 1_000_000, "link": link, "protocol": "modbus", "way": way, **fields})
            for ms, way, fields in lines
        ]
        path.write_text("\n".join(whole) + "\n" + more)
        return path

    return write


def tcp(tid: int, unit: int, pdu: str) -> dict[str, str]:
    body = bytes([unit]) + bytes.fromhex(pdu)
    return {"frame": (tid.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body).hex()}


def rtu(unit: int, pdu: str) -> dict[str, str]:
    body = bytes([unit]) + bytes.fromhex(pdu)
    return {"frame": (body + FramerRTU.compute_CRC(body).to_bytes(2, "big")).hex()}


async def reading(port: int, address: int, count: int, times: int, unit: int = 1) -> list[Any]:
    """The registers of several readings, or the code of an exception."""
    async with AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=1) as client:
        replies = [await client.read_holding_registers(address, count=count, device_id=unit) for _ in range(times)]
    return [reply.exception_code if reply.isError() else reply.registers for reply in replies]


async def test_replies_come_in_the_recorded_order_and_the_last_one_stays(written: Writer) -> None:
    records = read(
        written(
            (0, "out", tcp(1, 1, "03 0000 0002")), (5, "in", tcp(1, 1, "03 04 0001 0002")),
            (50, "out", tcp(2, 1, "03 0064 0001")), (55, "in", tcp(2, 1, "83 02")),
            (100, "out", tcp(3, 1, "03 0000 0002")), (105, "in", tcp(3, 1, "03 04 0003 0004")),
            (150, "out", tcp(4, 2, "03 0000 0002")), (155, "in", tcp(4, 2, "03 04 0009 0009")),
            (200, "out", tcp(5, 1, "03 0000 0002")),
        )
    )  # fmt: skip
    async with ModbusPlayback(records) as device:
        assert await reading(device.port, 0, 2, 4) == [[1, 2], [3, 4], [3, 4], [3, 4]]
        assert await reading(device.port, 100, 1, 2) == [2, 2], "the recorded exception"
        assert await reading(device.port, 0, 2, 1, unit=2) == [[9, 9]]
        assert device.unknown == 0
        assert await reading(device.port, 0, 3, 1) == [2], "never asked for"
        assert await reading(device.port, 0, 2, 1, unit=3) == [11], "no such unit"
        async with AsyncModbusTcpClient("127.0.0.1", port=device.port, retries=0) as client:
            assert (await client.read_coils(0, count=1)).exception_code == 1, "no such function"
        assert device.unknown == 3


async def test_a_write_with_another_value_is_accepted_where_one_was(written: Writer) -> None:
    records = read(
        written(
            (0, "out", tcp(1, 1, "06 03e8 0001")), (5, "in", tcp(1, 1, "06 03e8 0001")),
            (50, "out", tcp(2, 1, "10 03e9 0002 04 0000 0001")), (55, "in", tcp(2, 1, "10 03e9 0002")),
            (100, "out", tcp(3, 1, "06 0007 0001")), (105, "in", tcp(3, 1, "86 02")),
        )
    )  # fmt: skip
    async with (
        ModbusPlayback(records) as device,
        AsyncModbusTcpClient("127.0.0.1", port=device.port, retries=0) as client,
    ):
        assert (await client.write_register(1000, 77)).registers == [77]
        assert not (await client.write_registers(1001, [5, 6])).isError()
        assert (await client.write_registers(1001, [5, 6, 7])).exception_code == 2, "of another length"
        assert (await client.write_register(7, 9)).exception_code == 2, "the device has refused it then"
        assert (await client.write_register(8, 9)).exception_code == 2


async def test_a_device_that_said_nothing_says_nothing_and_delays_are_played(written: Writer) -> None:
    records = read(
        written(
            (0, "out", tcp(1, 1, "03 0000 0001")),
            (400, "out", tcp(2, 1, "03 0000 0001")), (700, "in", tcp(2, 1, "03 02 0005")),
        )
    )  # fmt: skip
    async with ModbusPlayback(records, delays=True, speed=2.0) as device:
        reader, writer = await asyncio.open_connection("127.0.0.1", device.port)
        begun_s = time.monotonic()
        for tid in (7, 8):
            writer.write(bytes.fromhex(tcp(tid, 1, "03 0000 0001")["frame"]))
        assert (await reader.readexactly(11)).hex() == tcp(8, 1, "03 02 0005")["frame"], "the first is not answered"
        assert time.monotonic() - begun_s >= 0.15
        writer.close()
        await writer.wait_closed()


async def test_a_wrong_transaction_number_is_wrong_by_as_much_again(written: Writer) -> None:
    records = read(written((0, "out", tcp(10, 1, "03 0000 0001")), (1, "in", tcp(13, 1, "03 02 0005"))))
    async with ModbusPlayback(records) as device:
        reader, writer = await asyncio.open_connection("127.0.0.1", device.port)
        writer.write(bytes.fromhex(tcp(65534, 1, "03 0000 0001")["frame"]))
        assert (await reader.readexactly(11))[:2] == b"\0\1"
        writer.close()
        await writer.wait_closed()


async def test_a_serial_line_is_played_back_over_tcp_without_its_noise(written: Writer) -> None:
    # This request and its CRC would pass for an MBAP frame, too.
    records = read(
        written(
            (0, "out", rtu(1, "03 0000 0002")), (1, "in", {"frame": "ff00"}), (5, "in", rtu(1, "03 04 0001 0002")),
            (50, "out", rtu(1, "03 0000 0002")), (55, "in", rtu(1, "03 04 0003 0004")),
            link="/dev/ttyUSB0",
        )
    )  # fmt: skip
    async with ModbusPlayback(records) as device:
        assert await reading(device.port, 0, 2, 3) == [[1, 2], [3, 4], [3, 4]]


async def test_nonsense_on_the_wire_ends_its_connection_alone(written: Writer) -> None:
    records = read(written((0, "out", tcp(1, 1, "03 0000 0001")), (5, "in", tcp(1, 1, "03 02 0005"))))
    async with ModbusPlayback(records) as device:
        reader, writer = await asyncio.open_connection("127.0.0.1", device.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert await reading(device.port, 0, 1, 1) == [[5]]


def test_what_can_not_be_played_back_says_why(written: Writer, tmp_path: Path) -> None:
    good = (0, "out", tcp(1, 1, "03 0000 0001")), (5, "in", tcp(1, 1, "03 02 0005"))
    assert len(read(written(*good, more='{"at_ns": 7, "end": "full"}\n{"at_ns": 9, "lin'))) == 2, "cut off at its end"
    with pytest.raises(CaptureError, match=r"capture\.jsonl:3: not a line of a capture"):
        read(written(*good, more="nonsense\n{}\n"))
    path = written(*good)
    both = path.read_text()
    with pytest.raises(CaptureError, match=r"no link 'x' in it; there are '10\.0\.0\.2:502' \(modbus, 2 lines\)"):
        read(path, "x")
    written(*good, link="10.0.0.3:502", more=both)
    with pytest.raises(CaptureError, match="has 2 links, name one of them with --link"):
        read(path)
    assert {record.link for record in read(path, "10.0.0.3:502")} == {"10.0.0.3:502"}
    path.write_text("")
    with pytest.raises(CaptureError, match="nothing is recorded in it"):
        read(path)
    with pytest.raises(CaptureError, match="no request of this link was answered"):
        ModbusPlayback(read(written(good[0])))
    with pytest.raises(CaptureError, match="is not in hex"):
        ModbusPlayback(read(written((0, "out", {"frame": "zz"}), good[1])))
