"""Modbus RTU on a serial line: its client, its silences, and which bytes are a reply.

A line has noise, and its frames carry no transaction number. So what comes while nobody has asked is dropped, a frame
is a reply only with the unit, function, length and CRC that were asked for, and before each request the line
has to be silent. Source: Modbus over Serial Line 1.02.
"""

from __future__ import annotations

import termios

from pymodbus.client import AsyncModbusSerialClient
from pymodbus.framer import FramerRTU

from drivers.modbus.replies import Note, ReplyGuard, pdu_problem, reply_bytes
from gateway.site.model import ModbusSerial

_BITS_A_CHARACTER = 11
_SILENT_CHARACTERS = 3.5
_FAST_BAUD = 19_200
_FAST_SILENCE_S = 0.00175
SETTLED_S = 0.02
"""Nothing for so long is silence, whatever the adapter gathers before it hands bytes on (16 ms are usual)."""
_CRC = 2
_REFUSAL = 5
"""Bytes of an exception."""
_GATEWAY_FAILED = 0x0B
SettingsError = termios.error
"""What pyserial lets through where the device refuses its settings: no OSError, as its other errors are."""
_PARITY = {"none": "N", "even": "E", "odd": "O"}


def silence_s(line: ModbusSerial) -> float:
    """How long the line is silent between two frames: 3.5 characters, or 1.75 ms above 19,200 baud."""
    if line.baudrate > _FAST_BAUD:
        return _FAST_SILENCE_S
    return _SILENT_CHARACTERS * _BITS_A_CHARACTER / line.baudrate


def serial_client(line: ModbusSerial, timeout_s: float, guard: ReplyGuard) -> AsyncModbusSerialClient:
    """A client that has not opened the device yet; it takes the device for itself alone."""
    return AsyncModbusSerialClient(
        line.device,
        baudrate=line.baudrate,
        bytesize=8,
        parity=_PARITY[line.parity],
        stopbits=line.stop_bits,
        name=line.device,
        timeout=timeout_s,
        retries=0,
        reconnect_delay=0,
        trace_packet=guard.packet,
    )


def line_problem(asked: bytes, reply: bytes) -> str | None:
    """What is wrong with `reply` to the request `asked`, "" when nothing is; None while it is not complete.

    Both are whole RTU frames: unit, function code and data, CRC.
    """
    if len(reply) < 2:
        return None
    unit, function = reply[0], reply[1]
    if unit != asked[0]:
        return f"the reply of unit {unit}, not of {asked[0]}, or noise"
    wanted = reply_bytes(asked[1:-_CRC])
    if function == asked[1] | 0x80:
        wanted = 2
    elif function != asked[1]:
        return f"the reply to function {function}, not to {asked[1]}, or noise"
    if wanted is None:
        return "" if _crc_is_right(reply) else None  # only pymodbus can tell how long it is to be
    length = 1 + wanted + _CRC
    if len(reply) < length:
        return None
    if len(reply) > length:
        return f"{len(reply) - length} bytes more than a reply to it has"
    if not _crc_is_right(reply):
        return "a frame with a wrong CRC: are cable, termination, baud rate and parity right?"
    return pdu_problem(asked[1:-_CRC], reply[1:-_CRC])


def _crc_is_right(frame: bytes) -> bool:
    return len(frame) > _CRC and FramerRTU.check_CRC(frame[:-_CRC], int.from_bytes(frame[-_CRC:], "big"))


class LineGuard(ReplyGuard):
    """`ReplyGuard` for RTU. A good reply goes on whole, so that pymodbus checks its CRC a second time."""

    def __init__(self, note: Note | None = None) -> None:
        super().__init__(note)
        self._expecting = b""

    def packet(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self.end()
            self._expecting, self._left, self.reply, self.problem = data, 0, b"", ""
            self._tell("out", data)
            return data
        self.heard += 1
        if not self._expecting:
            self._tell("in", data[self._left :])
            self._left = len(data)
            return b""  # noise, or the rest of a bad frame: dropped at the next request
        problem = line_problem(self._expecting, data)
        if problem is None:
            self._part = data
            return b""
        asked, self._expecting, self._part = self._expecting, b"", b""
        self._tell("in", data)
        if problem:
            self.problem = problem
            self._left = max(0, len(data) - _REFUSAL)
            refusal = bytes((asked[0], asked[1] | 0x80, _GATEWAY_FAILED))
            return refusal + FramerRTU.compute_CRC(refusal).to_bytes(_CRC, "big")
        self.reply = data[1:-_CRC]
        return data

    def end(self) -> None:
        self._left = len(self._part)
        super().end()
        self._expecting = b""

    def _tell(self, way: str, frame: bytes) -> None:
        if self._note is not None:
            self._note(way, frame)
