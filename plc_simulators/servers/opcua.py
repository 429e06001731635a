"""A sorter or robot cell model on OPC UA, as docs/plc-interface.md names its nodes.

Values are pushed into the address space when they have changed, event entries before `Event.Wr`. A command is taken
when `Command.Seq` is written: the nodes before it in the same Write call hold its payload by then.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uatypes import DateTime, Int16, String

from plc_simulators.models.controller import Controller
from plc_simulators.models.mailbox import Offer
from plc_simulators.models.ring import ENTRIES, SCAN, Entry
from plc_simulators.models.robot_cell import RobotCell
from plc_simulators.models.sorter import LANES_IN_COMMAND, Sorter
from plc_simulators.servers.ports import HOST

NAMESPACE = "urn:stellwerk:plc"
SAMPLES_MAX = 4096
PENDING_MAX = 1024

BOOL, U16, U32 = ua.VariantType.Boolean, ua.VariantType.UInt16, ua.VariantType.UInt32
TEXT = ua.VariantType.String
Value = bool | int | str
_ZERO: Mapping[ua.VariantType, Value] = {BOOL: False, TEXT: ""}

_STATUS = {
    "HbPlc": U16,
    "BootId": U16,
    "Epoch": U32,
    "AckSeq": U32,
    "DoneSeq": U32,
    "Result": U16,
    "State": U16,
    "Mode": U16,
}
_EVENT = {
    "Seq": U32,
    "Type": U16,
    "TrackId": U32,
    "Point": U16,
    "Lane": U16,
    "Result": U16,
    "PlcMs": U32,
    "Barcodes": TEXT,
}
_LANE = {"Enabled": BOOL, "HalfFull": BOOL, "Full": BOOL, "Count": U16}
_CELL = {
    "TrackId": U32,
    "Blocked": BOOL,
    "Starved": BOOL,
    "Processed": U32,
    "Defective": U32,
    "InfeedOccupied": BOOL,
    "OutfeedOccupied": BOOL,
}
_COMMAND = {"Epoch": U32, "Code": U16, "TrackId": U32, "Seq": U32, "HbGw": U16}


@contextmanager
def uncollected() -> Iterator[None]:
    """Without garbage collection: the standard address space, of objects that all stay, is made in half the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@dataclass(frozen=True, slots=True)
class Image:
    """The nodes of one device: what is read with its type, what is written, and the model behind them."""

    read: Mapping[str, ua.VariantType]
    written: Mapping[str, ua.VariantType]
    levels: Callable[[], dict[str, Value]]
    payload: Mapping[str, str] = field(default_factory=dict)
    """Payload signal of the mailbox → node."""


def sorter_image(sorter: Sorter) -> Image:
    """The nodes of a sorter, without its event ring's entries."""
    read = {f"Status.{name}": type_ for name, type_ in _STATUS.items()} | {"Event.Wr": U32}
    for number in sorted(sorter.lanes):
        read |= {f"Lane.{number}.{name}": type_ for name, type_ in _LANE.items()}
    for index in range(1, ENTRIES + 1):
        read |= {f"Event.{index}.{name}": type_ for name, type_ in _EVENT.items()}
    written = {f"Command.{name}": type_ for name, type_ in _COMMAND.items()} | {"Event.Rd": U32}
    lanes = {f"lane_{index}": f"Command.Lane{index}" for index in range(1, LANES_IN_COMMAND + 1)}
    written |= dict.fromkeys(lanes.values(), U16) | {"Command.DeadlineMs": U32}

    def levels() -> dict[str, Value]:
        values = _status(sorter.controller)
        for number, lane in sorter.lanes.items():
            values[f"Lane.{number}.Enabled"] = lane.enabled
            values[f"Lane.{number}.HalfFull"] = lane.half_full
            values[f"Lane.{number}.Full"] = lane.full
            values[f"Lane.{number}.Count"] = lane.count
        return values

    payload = {"track_id": "Command.TrackId", "deadline_ms": "Command.DeadlineMs", **lanes}
    return Image(read, written, levels, payload)


def cell_image(cell: RobotCell) -> Image:
    """The nodes of a robot cell."""
    read = {f"Status.{name}": type_ for name, type_ in _STATUS.items()}
    read |= {f"Cell.{name}": type_ for name, type_ in _CELL.items()}
    written = {f"Command.{name}": type_ for name, type_ in _COMMAND.items()} | {"Command.Recipe": TEXT}

    def levels() -> dict[str, Value]:
        values = _status(cell.controller)
        values["Cell.TrackId"] = cell.track_id
        values["Cell.Blocked"] = cell.blocked
        values["Cell.Starved"] = cell.starved
        values["Cell.Processed"] = cell.processed
        values["Cell.Defective"] = cell.defective
        values["Cell.InfeedOccupied"] = bool(cell.infeed.loads())
        values["Cell.OutfeedOccupied"] = bool(cell.outfeed.loads())
        return values

    return Image(read, written, levels, {"track_id": "Command.TrackId", "recipe": "Command.Recipe"})


def _status(controller: Controller) -> dict[str, Value]:
    box = controller.mailbox
    # Result before the numbers: whoever sees DoneSeq change finds the result that belongs to it.
    return {
        "Status.HbPlc": controller.life.hb_plc,
        "Status.BootId": controller.boot_id,
        "Status.State": controller.unit.state,
        "Status.Mode": controller.mode,
        "Status.Epoch": box.epoch,
        "Status.AckSeq": box.ack_seq,
        "Status.Result": box.result,
        "Status.DoneSeq": box.done_seq,
    }


class OpcuaServer:
    """Serves one sorter or cell on a free loopback port; `close` and `open` again drop and restore its link.

    `clock` gives the plant time in ns, `real` the real one.
    """

    def __init__(
        self,
        device: Sorter | RobotCell,
        clock: Callable[[], int],
        real: Callable[[], int],
    ) -> None:
        self.port = 0
        self.latency_ms: deque[float] = deque(maxlen=SAMPLES_MAX)
        """Scan event written → accepted assignment written by the gateway, real milliseconds."""
        self._device = device
        self._ring = device.ring if isinstance(device, Sorter) else None
        self._image = sorter_image(device) if isinstance(device, Sorter) else cell_image(device)
        self._clock = clock
        self._real = real
        self._server: Server | None = None
        self._listening = False
        self._aspace: AddressSpace
        self._index = 0
        self._ids: dict[str, ua.NodeId] = {}
        self._pushed: dict[str, Value] = {}
        self._ring_boot = device.controller.boot_id
        self._ring_wr = 0
        self._scanned_ns: dict[int, int] = {}
        self._assigned_ns: dict[int, int] = {}

    @property
    def address(self) -> str:
        """What the site's environment variable holds."""
        return f"opc.tcp://{HOST}:{self.port}/"

    async def open(self) -> None:
        """Listen, on the same port as before where there was one. Raises OSError."""
        if self._server is None:
            await self._start()
        elif not self._listening:
            assert self._server.bserver is not None, "an OPC UA server without its socket server"
            await self._server.bserver.start()
        self._listening = True

    async def close(self) -> None:
        """Stop listening and cut every connection; the address space and the sessions stay."""
        if self._server is not None and self._listening:
            assert self._server.bserver is not None, "an OPC UA server without its socket server"
            self._listening = False
            await self._server.bserver.stop()

    async def stop(self) -> None:
        """End for good."""
        if self._server is not None:
            server, self._server = self._server, None
            self._listening = False
            await server.stop()

    async def _start(self) -> None:
        server = Server()
        # Everybody is an ordinary user: only nodes that are declared writable can be written.
        server.allow_remote_admin(False)
        # The node CurrentTime is of no use here, and its clock task would make every stop wait for a second.
        server.disable_clock(True)
        with uncollected():
            await server.init()
        server.set_server_name(f"Stellwerk simulated PLC {self._device.layout.id}")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self._index = await server.register_namespace(NAMESPACE)
        await self._add_nodes(server)
        server.set_endpoint(f"opc.tcp://{HOST}:0/")
        await server.start()
        assert server.bserver is not None, "an OPC UA server without its socket server"
        self.port = server.bserver.port
        for endpoint in server.iserver.endpoints:
            endpoint.EndpointUrl = self.address
        self._server = server

    async def _add_nodes(self, server: Server) -> None:
        folder = await server.nodes.objects.add_object(self._id("PLC"), f"{self._index}:PLC")
        self._aspace = server.iserver.aspace
        for name, type_ in {**self._image.read, **self._image.written}.items():
            initial = ua.Variant(_ZERO.get(type_, 0), type_)
            node = await folder.add_variable(self._id(name), f"{self._index}:{name}", initial)
            self._ids[name] = node.nodeid
            if name in self._image.written:
                await node.set_writable()
        for name, heard in (
            ("Command.Seq", self._on_seq),
            ("Command.HbGw", self._on_heartbeat),
            ("Event.Rd", self._on_read),
        ):
            if name in self._ids:
                self._aspace.add_datachange_callback(self._ids[name], AttributeIds.Value, heard)

    def _id(self, name: str) -> ua.NodeId:
        return ua.NodeId(String(name), Int16(self._index))

    # --- up: from the model into the address space ---

    async def flush(self) -> None:
        """Push what has changed since the last call."""
        if self._server is None:
            return
        if self._ring is not None:
            await self._push_events()
        for name, value in self._image.levels().items():
            await self._push(name, value)
        if isinstance(self._device, Sorter):
            self._measure(self._device)

    async def _push(self, name: str, value: Value) -> None:
        if self._pushed.get(name) == value:
            return
        self._pushed[name] = value
        variant = ua.Variant(value, self._image.read[name])
        await self._aspace.write_attribute_value(
            self._ids[name],
            AttributeIds.Value,
            ua.DataValue(variant, SourceTimestamp=DateTime.now(UTC)),
        )

    async def _push_events(self) -> None:
        ring = self._ring
        assert ring is not None, "a device without events has none to push"
        if self._ring_boot != self._device.controller.boot_id:
            # A restarted PLC shows an empty ring, not its old entries.
            self._ring_boot, self._ring_wr = self._device.controller.boot_id, 0
            await self._push("Event.Wr", 0)
            for index in range(1, ENTRIES + 1):
                await self._push_entry(index, Entry())
        entries = ring.since(self._ring_wr)
        for entry in entries:
            await self._push_entry((entry.seq - 1) % ENTRIES + 1, entry)
        if entries:
            self._ring_wr = ring.wr
            await self._push("Event.Wr", ring.wr)

    async def _push_entry(self, index: int, entry: Entry) -> None:
        prefix = f"Event.{index}"
        await self._push(f"{prefix}.Type", entry.type)
        await self._push(f"{prefix}.TrackId", entry.track_id)
        await self._push(f"{prefix}.Point", entry.point)
        await self._push(f"{prefix}.Lane", entry.lane)
        await self._push(f"{prefix}.Result", entry.result)
        await self._push(f"{prefix}.PlcMs", entry.plc_ms)
        await self._push(f"{prefix}.Barcodes", entry.barcodes)
        await self._push(f"{prefix}.Seq", entry.seq)
        if entry.type == SCAN:
            _keep(self._scanned_ns, entry.track_id, self._real())

    def _measure(self, sorter: Sorter) -> None:
        """Match accepted assignments with the scans that they answer."""
        while sorter.assigned:
            track_id = sorter.assigned.popleft()
            written_ns = self._assigned_ns.pop(track_id, None)
            scanned_ns = self._scanned_ns.pop(track_id, None)
            if written_ns is not None and scanned_ns is not None:
                self.latency_ms.append((written_ns - scanned_ns) / 1e6)

    # --- down: what the gateway writes ---

    def _read(self, name: str) -> Any:
        value = self._aspace.read_attribute_value(self._ids[name], AttributeIds.Value).Value
        return None if value is None else value.Value

    async def _on_seq(self, _handle: int, value: ua.DataValue) -> None:
        assert value.Value is not None, "the address space lets no empty value into a typed node"
        payload = {signal: self._read(node) or 0 for signal, node in self._image.payload.items()}
        if "recipe" in payload:
            payload["recipe"] = payload["recipe"] or ""
        offer = Offer(value.Value.Value, self._read("Command.Epoch"), self._read("Command.Code"), payload)
        self._device.controller.mailbox.offer(offer, self._clock())
        if self._ring is not None:
            _keep(self._assigned_ns, int(payload["track_id"]), self._real())

    async def _on_heartbeat(self, _handle: int, value: ua.DataValue) -> None:
        assert value.Value is not None, "the address space lets no empty value into a typed node"
        self._device.controller.life.hear(value.Value.Value, self._real())

    async def _on_read(self, _handle: int, value: ua.DataValue) -> None:
        assert value.Value is not None, "the address space lets no empty value into a typed node"
        assert self._ring is not None, "Event.Rd belongs to an event ring"
        self._ring.rd = value.Value.Value


def _keep(times: dict[int, int], key: int, value: int) -> None:
    """Remember a time; what nobody asks for any more gives way."""
    times[key] = value
    while len(times) > PENDING_MAX:
        del times[next(iter(times))]
