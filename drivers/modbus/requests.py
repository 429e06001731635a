"""One block to read or one write as a call of the client library; a retry is never part of it."""

from __future__ import annotations

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU

from drivers.modbus.registers import Write


async def read(client: AsyncModbusTcpClient, *, table: str, address: int, count: int, unit: int) -> ModbusPDU:
    """Functions 1 to 4, by the table's name."""
    reads = {
        "holding": client.read_holding_registers,
        "input": client.read_input_registers,
        "coil": client.read_coils,
        "discrete": client.read_discrete_inputs,
    }
    return await reads[table](address, count=count, device_id=unit)


async def write(client: AsyncModbusTcpClient, *, what: Write, unit: int) -> ModbusPDU:
    """Function 5 for a coil, 22 for bits of a register, 6 for one register, 16 for several."""
    if what.table == "coil":
        return await client.write_coil(what.address, bool(what.words[0]), device_id=unit)
    if what.mask:
        (bits,) = what.words
        return await client.mask_write_register(
            address=what.address, and_mask=0xFFFF & ~what.mask, or_mask=bits, device_id=unit
        )
    if len(what.words) == 1:
        return await client.write_register(what.address, what.words[0], device_id=unit)
    return await client.write_registers(what.address, list(what.words), device_id=unit)


def exception_text(reply: ModbusPDU) -> str:
    """Which exception the device answered with."""
    return f"exception {getattr(reply, 'exception_code', 0)}"
