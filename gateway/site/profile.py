"""A profile: which signal of a device type lives in which register or node, and how to shake hands.

One profile fits every device of one make; per-zone and per-lane signals are written once in a group and
repeated by count and stride. Names are those that the device type asks for (docs/plc-interface.md).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SignalName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
SignalType = Literal[
    "bool", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bcd16", "bcd32", "string"
]
REGISTERS = {"uint32": 2, "int32": 2, "float32": 2, "bcd32": 2, "uint64": 4, "int64": 4, "float64": 4}
"""Modbus registers that a type takes where it is not one; a string takes its `length`."""
Address = Annotated[int, Field(ge=0, le=65535)]


class ProfileSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignalSpec(ProfileSpec):
    """One signal. Modbus: `table` and `address` (0-based; `bit` for a bit of a register, `length` in registers
    for a string). OPC UA: `node`, an identifier like `s=Status.HbPlc` or a browse path like `/PLC/Status/HbPlc`
    (see gateway/site/node_path.py; `{n}` is the group's number).

    A read value is raw × `scale`. `access: write` is what makes an address writable at all (default-deny).
    `evidence: pulse` says that the signal is only true for a moment; it is refused on a polled link.
    """

    name: SignalName
    type: SignalType
    access: Literal["read", "write"] = "read"
    table: Literal["holding", "input", "coil", "discrete"] | None = None
    address: Address | None = None
    bit: Annotated[int, Field(ge=0, le=15)] | None = None
    length: Annotated[int, Field(ge=1, le=125)] = 1
    node: str | None = None
    mask: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Modbus, of a bool: only these bits of the register count. It is true when any of them is set, or by `equals`."""
    equals: tuple[Annotated[int, Field(ge=0, le=65535)], ...] = ()
    """Modbus, of a bool: true when the masked register is one of these numbers, such as states of an enumeration."""
    known: tuple[Annotated[int, Field(ge=0, le=65535)], ...] = ()
    """Modbus: every number that the masked register may hold; another one is a bad value. Empty: all may be."""
    stride: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Modbus: registers between two members, where it is not that of the group."""
    constant: bool | Annotated[int, Field(ge=0)] | None = None
    """Modbus: always this value, since the device does not show it; such a signal has no table and no address."""
    scale: float = 1.0
    evidence: Literal["level", "counter", "latch", "pulse"] = "level"
    verify: bool = False
    """Read back and compare after each write (OPC UA: top-level signals only)."""
    deadband: Annotated[float, Field(gt=0)] | None = None
    """OPC UA: changes up to this much, in the signal's own unit, need not be told. For numbers that only inform."""
    poll: Literal["fast", "slow"] = "fast"


class GroupSpec(ProfileSpec):
    """Signals repeated: signal `occupied` of group `zone` becomes `zone.1.occupied`, `zone.2.occupied` …

    `count` is a number, or the device's own (`zones`, `lanes`); `stride` registers lie between two members.
    """

    group: SignalName
    count: Annotated[int, Field(ge=1, le=1000)] | Literal["zones", "lanes"]
    stride: Annotated[int, Field(ge=1, le=1000)] = 1
    signals: Annotated[tuple[SignalSpec, ...], Field(min_length=1)]


class MethodSpec(ProfileSpec):
    """An OPC UA method and the object that it is called on: identifiers or browse paths, as in `SignalSpec.node`."""

    object: Annotated[str, Field(min_length=1)]
    method: Annotated[str, Field(min_length=1)]


class HandshakeSpec(ProfileSpec):
    """How life signs, commands and events go over the wire, in signal names.

    `mailbox`: payload signals first, then `cmd_seq` in the same write; the PLC echoes `ack_seq`, `done_seq`,
    `result`. `ring`: group of event entries with `evt_wr` and `evt_rd`. Heartbeats: `hb_plc` is stale after
    `stale_ms`; `hb_gw` is advanced every `heartbeat_ms`.
    """

    mailbox: bool = True
    method: MethodSpec | None = None
    """OPC UA: a command is one Call of this method, with the `cmd_` signals in the profile's order as arguments and
    `cmd_seq` last; these signals have no node. The PLC echoes it all the same."""
    ring: SignalName | None = None
    verify: bool = False
    """Read the whole mailbox back after each write. Off, because the PLC's echo is the better proof."""
    read_write: bool = False
    """Modbus: function 23 writes the mailbox and reads the block of `ack_seq` in one request. Few devices have it."""
    heartbeat_ms: Annotated[int, Field(ge=50)] = 1000
    stale_ms: Annotated[int, Field(ge=100)] = 3000


class Profile(ProfileSpec):
    profile: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,47}$")]
    device_type: Literal["conveyor", "sorter", "robot_cell", "agv"]
    protocol: Literal["modbus", "opcua", "vda5050"]
    description: str = ""
    byte_order: Literal["big", "little"] = "big"
    word_order: Literal["big", "little"] = "big"
    """For 32-bit and 64-bit values: big = high word at the lower address."""
    string_byte_order: Literal["big", "little"] | None = None
    """Modbus: of texts, where it is not that of the numbers (`byte_order`)."""
    namespace: str = ""
    """OPC UA namespace URI of all nodes; its index is looked up at every connect."""
    fast_poll_ms: Annotated[int, Field(ge=10)] = 50
    slow_poll_ms: Annotated[int, Field(ge=10)] = 1000
    forbidden: tuple[tuple[Address, Address], ...] = ()
    """Register ranges (first, last) that must never be read, not even to fill a gap."""
    signals: tuple[SignalSpec, ...] = ()
    groups: tuple[GroupSpec, ...] = ()
    handshake: HandshakeSpec = HandshakeSpec()
    vda_version: Annotated[str, Field(pattern=r"^(2\.0|2\.1|3\.0)\.[0-9]{1,3}$")] = "2.1.0"
    """What the vehicle speaks, as it stands in its messages' headers: 2.0, 2.1 or 3.0, with the patch number."""
