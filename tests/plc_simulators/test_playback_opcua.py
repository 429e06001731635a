"""A recorded OPC UA server, played back to a plain asyncua client."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import msgspec
import pytest
from asyncua import Client, Node, ua
from asyncua.ua.uaerrors import UaError

from plc_simulators.playback.opcua import OpcuaPlayback
from plc_simulators.playback.record import CaptureError, Record

URIS = ["http://opcfoundation.org/UA/", "urn:maker:plc-7", "urn:other", "urn:stellwerk:plc"]
BAD_SENSOR = 0x808C0000


def line(ms: int, event: str, *, way: str = "in", **body: Any) -> Record:
    return Record(ms * 1_000_000, "S1 opc.tcp://plc", "opcua", way, event=event, **body)


def value(ms: int, event: str, node: str, of: Any, kind: str, status: int = 0, *, way: str = "in") -> Record:
    return line(ms, event, way=way, node=node, value=of, type=kind, status=status)


RECORDS = [
    line(0, "namespaces", value=URIS),
    value(1, "read", "i=11705", 1000, "UInt32"),
    value(2, "read", "ns=3;s=Level", 10, "UInt16"),
    value(2, "read", "ns=1;i=7", "2026-01-02T03:04:05+00:00", "DateTime"),
    value(2, "read", "ns=2;s=List", [1.5, None], "Double"),
    value(2, "read", "ns=2;s=Raw", "00ff", "ByteString"),
    value(2, "read", "ns=2;s=Text;ns=4", "ab", "LocalizedText"),
    value(2, "read", "ns=3;s=Slot", "first", "String"),
    value(3, "read", "ns=3;s=Command", 5, "UInt32"),
    value(4, "write", "ns=3;s=Command", 6, "UInt32", way="out"),
    line(5, "write", node="ns=3;s=Command", status=0),
    value(100, "change", "ns=3;s=Level", 10, "UInt16"),
    value(300, "change", "ns=3;s=Level", 11, "UInt16"),
    value(302, "read", "ns=3;s=Slot", "second", "String"),
    value(500, "change", "ns=3;s=Level", None, "", BAD_SENSOR),
    value(700, "change", "ns=3;s=Level", 12, "UInt16"),
]


class Heard:
    """Keeps every change with its time."""

    def __init__(self) -> None:
        self.changes: list[tuple[Any, int]] = []
        self.at_s: list[float] = []

    def datachange_notification(self, node: Node, shown: Any, data: Any) -> None:
        found = data.monitored_item.Value
        status = found.StatusCode.value if found.StatusCode is not None else 0
        self.changes.append((shown, status))
        self.at_s.append(time.monotonic())


async def test_values_change_in_order_with_their_spacing_and_status(wait_for: Any) -> None:
    async with OpcuaPlayback(RECORDS, speed=2.0) as device, Client(device.address) as client:
        level = client.get_node("ns=3;s=Level")
        assert await level.read_value() == 10
        heard = Heard()
        subscription = await client.create_subscription(10, heard)
        await subscription.subscribe_data_change(level, queuesize=10)
        await wait_for(lambda: len(heard.changes) == 4)
        assert heard.changes == [(10, 0), (11, 0), (None, BAD_SENSOR), (12, 0)]
        assert heard.at_s[3] - heard.at_s[0] >= 0.15, "0.6 s, twice as fast"
        await device.finished()
        assert await client.get_node("ns=3;s=Slot").read_value() == "second"
        assert device.changed == 4


async def test_nodes_have_their_namespaces_types_and_first_values() -> None:
    async with OpcuaPlayback(RECORDS) as device, Client(device.address) as client:
        assert (await client.get_namespace_array())[:4] == URIS
        assert (await client.get_node("ns=1;i=7").read_value()).isoformat().startswith("2026-01-02T03:04:05")
        first, second = await client.get_node("ns=2;s=List").read_value()
        assert (first, math.isnan(second)) == (1.5, True)
        assert await client.get_node("ns=2;s=Raw").read_value() == b"\x00\xff"
        assert await client.get_node("ns=2;s=Text;ns=4").read_value() == "ab"
        assert await client.get_node("ns=3;s=Slot").read_value() == "first"
        level = await client.get_node("ns=3;s=Level").read_data_value()
        assert level.Value is not None
        assert level.Value.VariantType is ua.VariantType.UInt16


async def test_only_what_was_written_can_be_written_and_keeps_it() -> None:
    async with OpcuaPlayback(RECORDS) as device, Client(device.address) as client:
        command = client.get_node("ns=3;s=Command")
        assert await command.read_value() == 5
        await command.write_value(99, ua.VariantType.UInt32)
        assert await command.read_value() == 99
        with pytest.raises(UaError):
            await client.get_node("ns=3;s=Level").write_value(1, ua.VariantType.UInt16)


async def test_nothing_changes_before_somebody_subscribes_and_minutes_pass_in_no_time(wait_for: Any) -> None:
    slow = [msgspec.structs.replace(record, at_ns=1000 * record.at_ns) for record in RECORDS]
    async with OpcuaPlayback(slow, speed=1000.0) as device, Client(device.address) as client:
        level = client.get_node("ns=3;s=Level")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await device.finished()
        assert (device.changed, await level.read_value()) == (0, 10)
        subscription = await client.create_subscription(10, Heard())
        await subscription.subscribe_data_change(level)
        await wait_for(lambda: device.changed == 4)


def test_a_recording_without_nodes_is_refused() -> None:
    with pytest.raises(CaptureError, match="no node's value came in"):
        OpcuaPlayback(RECORDS[:2])
    with pytest.raises(CaptureError, match="'x=1' is no node"):
        OpcuaPlayback([*RECORDS[:1], value(1, "read", "x=1", 1, "Int32")])
