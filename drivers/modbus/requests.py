"""One block to read or one write as a request of the client library, and what its answer says.

A request is made once and may be sent again and again: pymodbus numbers it anew each time.
"""

from __future__ import annotations

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadWriteMultipleRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.modbus.registers import Block, Write

_READS: dict[str, type[ModbusPDU]] = {
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
}
_READ_WRITE_REGISTERS_MAX = 121
_DEVICE_IDENTIFICATION = 0x0E
_OBJECTS_AT = 7
"""Bytes of a device identification before its first object; the last of them counts the objects."""


def read(table: str, address: int, count: int, unit: int) -> ModbusPDU:
    """Functions 1 to 4, by the table's name."""
    return _READS[table](address=address, count=count, dev_id=unit)


def write(what: Write, unit: int) -> ModbusPDU:
    """Function 5 for a coil, 15 for several, 22 for bits of a register, 6 for one register, 16 for several."""
    if what.table == "coil":
        bits = [bool(word) for word in what.words]
        if len(bits) == 1:
            return WriteSingleCoilRequest(address=what.address, bits=bits, dev_id=unit)
        return WriteMultipleCoilsRequest(address=what.address, bits=bits, dev_id=unit)
    if what.mask:
        (bit,) = what.words
        return MaskWriteRegisterRequest(what.address, and_mask=0xFFFF & ~what.mask, or_mask=bit, dev_id=unit)
    if len(what.words) == 1:
        return WriteSingleRegisterRequest(address=what.address, registers=what.words, dev_id=unit)
    return WriteMultipleRegistersRequest(address=what.address, registers=what.words, dev_id=unit)


def write_and_read(what: Write, block: Block, unit: int) -> ModbusPDU | None:
    """Function 23: registers written and others read after it, in one request; None where it can't carry this."""
    if what.table != "holding" or what.mask or block.table != "holding" or len(what.words) > _READ_WRITE_REGISTERS_MAX:
        return None
    return ReadWriteMultipleRegistersRequest(
        read_address=block.address,
        read_count=block.count,
        write_address=what.address,
        write_registers=what.words,
        dev_id=unit,
    )


def exception_code(reply: bytes) -> int:
    """Which exception the device answered with; 0 when it did what was asked."""
    return reply[1] if reply[0] & 0x80 else 0


def device_objects(reply: bytes) -> dict[int, str]:
    """What a device tells of itself (function 43/14), by object number: 0 vendor, 1 product code, 2 revision.

    Raises ValueError where the reply is not laid out so. Source: Modbus Application Protocol 1.1b3, 6.21.
    """
    if len(reply) < _OBJECTS_AT or reply[1] != _DEVICE_IDENTIFICATION:
        raise ValueError(f"{reply.hex(' ')} is no device identification")
    found: dict[int, str] = {}
    at = _OBJECTS_AT
    for _ in range(reply[_OBJECTS_AT - 1]):
        if at + 2 > len(reply) or at + 2 + reply[at + 1] > len(reply):
            raise ValueError(f"{reply.hex(' ')} ends within an object")
        end = at + 2 + reply[at + 1]
        found[reply[at]] = reply[at + 2 : end].decode("utf-8", "replace").strip("\0 ")
        at = end
    return found
