"""The conformance rigs of the PLC drivers: the simulators' models and servers, each device alone."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData, NodeManagementService
from asyncua.server.standard_address_space import standard_address_space
from rig_device import EPOCH, HURRY, Hasty, Rig
from rig_frames import forged, mutate
from rig_tricks import MODBUS_TRICKS, OPCUA_TRICKS

from drivers.modbus.driver import ModbusDriver
from drivers.opcua.driver import OpcuaDriver
from gateway.devices.conveyor import Induct
from gateway.devices.sorter import Assign
from gateway.site import ConveyorSpec, Profile, SorterSpec
from plc_simulators.layout import ConveyorLayout, Run, SorterLayout
from plc_simulators.models.conveyor import Conveyor
from plc_simulators.models.mailbox import Mailbox, Offer
from plc_simulators.models.place import Shelf
from plc_simulators.models.ring import SCAN, Entry
from plc_simulators.models.sorter import Sorter
from plc_simulators.servers.modbus import ModbusServer
from plc_simulators.servers.opcua import OpcuaServer

PROFILES = Path(__file__).resolve().parents[2] / "config" / "profiles"
ZONES, LANES = 12, 3
U16, U32 = 2**16, 2**32
HASTY_MS = 200
NOT_BCD = 0xABC
COUNT_NODE = "Lane.1.Count"
_fill_anew = standard_address_space.fill_address_space


class HeardMailbox(Mailbox):
    """The mailbox as it is, with an ear for what is offered."""

    def __init__(self, heard: Callable[[Offer], None]) -> None:
        super().__init__()
        self._heard = heard

    def offer(self, offer: Offer, now_ns: int) -> None:
        self._heard(offer)
        super().offer(offer, now_ns)


def profile(name: str, *, read_only: bool = False, types: dict[str, str] | None = None, **shake: Any) -> Profile:
    """A shipped profile with other handshake times; `types` gives a signal another type."""
    data = yaml.safe_load((PROFILES / f"{name}.yaml").read_text("utf-8"))
    data["handshake"] = {**data.get("handshake", {}), **shake}
    for signal in data.get("signals", []):
        if read_only and signal["name"] == "cmd_seq":
            signal["access"] = "read"
        signal["type"] = (types or {}).get(signal["name"], signal["type"])
    return Profile.model_validate(data)


_standard_nodes: dict[Any, NodeData] = {}


def _fill(service: NodeManagementService) -> None:
    """The standard's six thousand nodes, made once: that takes a second, and a copy takes a tenth."""
    nodes = service._aspace._nodes
    if not _standard_nodes:
        _fill_anew(service)
        _standard_nodes.update({key: _copy(node) for key, node in nodes.items()})
    else:
        nodes.update({key: _copy(node) for key, node in _standard_nodes.items()})


def _copy(node: NodeData) -> NodeData:
    made = NodeData(node.nodeid)
    made.references, made.call = list(node.references), node.call
    for number, attribute in node.attributes.items():
        made.attributes[number] = AttributeValue(attribute.value)  # type: ignore[arg-type]
    return made


class PlcRig(Rig):
    """A PLC: a controller with a mailbox and a life sign, stepped as a PLC scans."""

    def __init__(self, model: Conveyor | Sorter) -> None:
        super().__init__()
        self.model = model
        model.controller.mailbox = HeardMailbox(self._heard)

    def _heard(self, offer: Offer) -> None:
        if offer.seq:
            whole = offer.epoch == EPOCH and self.is_payload(offer.seq, offer.code, dict(offer.values))
            self.took(offer.seq, is_whole=whole)

    def is_payload(self, seq: int, code: int, values: dict[str, Any]) -> bool:
        raise NotImplementedError

    def patience_ms(self, hasty: bool) -> int:
        return HASTY_MS if hasty else self.timeout_ms

    def clock(self) -> int:
        return time.monotonic_ns()

    def hurried(self) -> int:
        return time.monotonic_ns() * HURRY

    async def step(self, hurried_ns: int) -> None:
        if self.beating:
            self.model.controller.life.tick(hurried_ns)
        self.model.step(self.clock())

    async def restart(self) -> Callable[[Any], bool]:
        self.model.restart()
        boot_id = self.model.controller.boot_id
        return lambda report: bool(report.boot_id == boot_id)

    def is_valid(self, report: Any) -> bool:
        echo = report.echo
        words = (report.boot_id, report.state, report.mode, echo.result)
        numbers = (echo.ack_seq, echo.done_seq, echo.epoch)
        in_range = all(0 <= word < U16 for word in words) and all(0 <= number < U32 for number in numbers)
        return in_range and super().is_valid(report)


class ModbusRig(PlcRig):
    """A conveyor behind the simulators' Modbus TCP server. Serial lines: the driver has tests of its own."""

    name = "modbus"
    device = "C1"
    silent_s = 2.0
    heads = (b"\0\1\0\0\0\6\1\3", b"\0\2\0\0\0\3\1\x83", b"\0\1\0\0")
    tricks = MODBUS_TRICKS

    def __init__(self) -> None:
        run = Run("IN", "OUT", 1, ZONES)
        self.line = Conveyor(ConveyorLayout(self.device, ZONES, (run,)), boot_id=41)
        super().__init__(self.line)
        self.line.follow(run, Shelf(10))
        self.server = ModbusServer(self.line, self.clock, self.hurried)

    def peer_port(self) -> int:
        return self.server.port

    async def start_peer(self) -> None:
        await self.server.open()

    async def stop_peer(self) -> None:
        await self.server.close()

    def driver(
        self, sink: Any, *, port: int | None = None, stale_ms: int | None = None, hasty: bool = False,
        read_only: bool = False,
    ) -> ModbusDriver:  # fmt: skip
        spec = ConveyorSpec.model_validate(
            {
                "id": self.device, "type": "conveyor", "driver": "modbus", "profile": "stellwerk-conveyor",
                "zones": ZONES, "connection": {"port": port or self.proxy.port, "timeout_ms": self.patience_ms(hasty)},
                "runs": [{"from": "IN", "to": "OUT", "zone_first": 1, "zone_last": ZONES, "loads_max": 8}],
            }
        )  # fmt: skip
        # Modes are 1 to 3, so they read the same as BCD; and a word that is no BCD is a value that can't be.
        own = profile(
            "stellwerk-conveyor", read_only=read_only, types={"mode": "bcd16"}, heartbeat_ms=100,
            stale_ms=stale_ms or self.stale_ms,
        )  # fmt: skip
        rng = Hasty(1) if hasty else random.Random(1)
        return ModbusDriver(spec, own, sink, time.time_ns, rng=rng)

    def action(self, seq: int) -> Induct:
        return Induct(2, 1000 + seq)

    def is_payload(self, seq: int, code: int, values: dict[str, Any]) -> bool:
        return code == 1 and values == {"zone": 2, "track_id": 1000 + seq}

    def show(self, level: int) -> None:
        self.line.zones[4].arrivals = level

    def level(self, report: Any) -> int:
        return int(report.zones[4].arrivals)

    async def bad(self, *, on: bool) -> None:
        self.line.controller.mode = NOT_BCD if on else 1

    def is_valid(self, report: Any) -> bool:
        counters = all(
            0 <= z.arrivals < U16 and 0 <= z.departures < U16 and 0 <= z.track_id < U32 for z in report.zones
        )
        return counters and len(report.zones) == ZONES and super().is_valid(report)

    def frame(self, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
        return forged(rng, seeds, self.heads)


class OpcuaRig(PlcRig):
    """A sorter behind the simulators' OPC UA server."""

    name = "opcua"
    device = "S1"
    silent_s = 1.6
    connect_s = 1.0
    tricks = OPCUA_TRICKS
    heads = (b"MSGF\x40\0\0\0", b"ACKF\x1c\0\0\0", b"ERRF\x10\0\0\0", b"OPNF\x80\0\0\0", b"MSGC\x40\0\0\0", b"MSGF")

    def __init__(self) -> None:
        self.shelves = {n: Shelf(1000) for n in range(1, LANES + 1)}
        layout = SorterLayout(self.device, "IN", {n: f"L{n}" for n in self.shelves}, LANES)
        self.sorter = Sorter(layout, 41, dict(self.shelves), lambda: 0.5, lambda load: (load,))
        super().__init__(self.sorter)
        self.server = OpcuaServer(self.sorter, self.clock, self.hurried)

    def peer_port(self) -> int:
        return self.server.port

    async def start_peer(self) -> None:
        with mock.patch.object(standard_address_space, "fill_address_space", _fill):
            await self.server.open()

    async def stop_peer(self) -> None:
        await self.server.stop()

    async def step(self, hurried_ns: int) -> None:
        await super().step(hurried_ns)
        await self.server.flush()

    def driver(
        self, sink: Any, *, port: int | None = None, stale_ms: int | None = None, hasty: bool = False,
        read_only: bool = False,
    ) -> OpcuaDriver:  # fmt: skip
        spec = SorterSpec.model_validate(
            {
                "id": self.device, "type": "sorter", "driver": "opcua", "profile": "stellwerk-sorter", "infeed": "IN",
                "connection": {
                    "url": f"opc.tcp://127.0.0.1:{port or self.proxy.port}/", "security": "none",
                    "timeout_ms": self.patience_ms(hasty),
                },
                "reject_lane": LANES, "lanes": [{"lane": n, "location": f"L{n}"} for n in self.shelves],
            }
        )  # fmt: skip
        own = profile(
            "stellwerk-sorter", read_only=read_only, heartbeat_ms=100, stale_ms=stale_ms or self.stale_ms
        )  # fmt: skip
        rng = Hasty(1) if hasty else random.Random(1)
        return OpcuaDriver(spec, own, sink, time.time_ns, rng=rng)

    def action(self, seq: int) -> Assign:
        return Assign(1000 + seq, (1, 2), 5000 + seq)

    def is_payload(self, seq: int, code: int, values: dict[str, Any]) -> bool:
        lanes = {"lane_1": 1, "lane_2": 2, "lane_3": 0, "lane_4": 0}
        return code == 10 and values == {"track_id": 1000 + seq, "deadline_ms": 5000 + seq, **lanes}

    def show(self, level: int) -> None:
        shelf = self.shelves[1]
        shelf.clear()
        for number in range(level):
            shelf.take(f"load {number}")

    def level(self, report: Any) -> int:
        return int(report.lanes[0].count)

    def notify(self, number: int) -> None:
        self.sorter.ring.append(Entry(type=SCAN, track_id=number, point=1, barcodes=f"B{number}"))

    async def bad(self, *, on: bool) -> None:
        server = self.server
        if on:
            bad = ua.DataValue(None, ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure)))
            await server._aspace.write_attribute_value(server._ids[COUNT_NODE], ua.AttributeIds.Value, bad)
        else:
            with contextlib.suppress(KeyError):
                del server._pushed[COUNT_NODE]  # so that it is pushed again

    def is_valid(self, report: Any) -> bool:
        counts = all(0 <= lane.count < U16 for lane in report.lanes)
        return counts and len(report.lanes) == LANES and super().is_valid(report)

    def frame(self, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
        if seeds and rng.random() < 0.3:
            frame = bytearray(mutate(rng, rng.choice(seeds)))
            # With a length that fits, the reader gets beyond the header.
            frame[4:8] = len(frame).to_bytes(4, "little")
            return bytes(frame)
        return forged(rng, seeds, self.heads)
