"""The plant of `bench.modbus`: Modbus TCP from memory, in a process of its own, as fast as a Python protocol can.

    python -m bench.modbus_server --changing N --every-ms MS      (prints its port; ends when stdin closes)

Each connection is a device of its own: 65,536 holding registers, of which `changing` single ones, spread over the
first 12,500, take another value every `every-ms`. The heartbeat in register 0 counts; a write is echoed at once in
the mailbox's echo registers, as a PLC does that accepts and carries out every command.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import struct
import sys
from typing import cast

import uvloop

HOSTS = 8
"""127.0.0.1 and on: an address for each of so many devices."""
REGISTERS = 65_536
SPREAD_FROM, SPREAD_TO = 600, 12_500
_MAILBOX_EPOCH, _MAILBOX_SEQ = 20_001, 20_007
_EPOCH, _ACK, _DONE, _RESULT = 2, 4, 6, 8


class Device(asyncio.Protocol):
    """One connection with the registers behind it."""

    def __init__(self, everybody: set[Device]) -> None:
        self.memory = bytearray(2 * REGISTERS)
        self._everybody = everybody
        self._waiting = b""
        self._transport: asyncio.WriteTransport | None = None
        self.put(1, 77)
        self.put(9, 6)
        self.put(10, 1)
        self.put(_RESULT, 1)

    def put(self, address: int, value: int) -> None:
        struct.pack_into(">H", self.memory, 2 * address, value & 0xFFFF)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports can be written to and don't inherit from asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._everybody.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._everybody.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in it; a request is at most 260 bytes."""
        assert self._transport is not None
        data = self._waiting + data
        while len(data) >= 8 and len(data) >= 6 + (size := data[4] << 8 | data[5]):
            self._transport.write(self._answer(data[: 6 + size]))
            data = data[6 + size :]
        self._waiting = data

    def _answer(self, frame: bytes) -> bytes:
        function, address, count = struct.unpack_from(">BHH", frame, 7)
        if function == 3:
            values = self.memory[2 * address : 2 * (address + count)]
            return frame[:4] + struct.pack(">HBBB", 3 + 2 * count, frame[6], 3, 2 * count) + values
        if function == 6:
            self.put(address, count)
            return frame
        if function == 16:
            self.memory[2 * address : 2 * (address + count)] = frame[13:]
            if address == _MAILBOX_EPOCH:
                self._carry_out()
            return frame[:4] + struct.pack(">HBBHH", 6, frame[6], 16, address, count)
        return frame[:4] + struct.pack(">HBBB", 3, frame[6], function | 0x80, 1)

    def _carry_out(self) -> None:
        seq = self.memory[2 * _MAILBOX_SEQ : 2 * _MAILBOX_SEQ + 4]
        self.memory[2 * _EPOCH : 2 * _EPOCH + 4] = self.memory[2 * _MAILBOX_EPOCH : 2 * _MAILBOX_EPOCH + 4]
        self.memory[2 * _ACK : 2 * _ACK + 4] = seq
        self.memory[2 * _DONE : 2 * _DONE + 4] = seq


async def serve(changing: int, every_ms: int) -> None:
    """Until stdin closes."""
    devices: set[Device] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Device(devices), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    others = [await loop.create_server(lambda: Device(devices), f"127.0.0.{n}", port) for n in range(2, HOSTS + 1)]
    print(port, flush=True)
    closing = loop.run_in_executor(None, sys.stdin.read)
    rng, beat = random.Random(1), 0
    while not closing.done():
        beat += 1
        for device in devices:
            device.put(0, beat)
            for address in rng.sample(range(SPREAD_FROM, SPREAD_TO), changing):
                device.put(address, beat)
        await asyncio.wait({closing}, timeout=every_ms / 1000)
    for each in (server, *others):
        each.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changing", type=int, default=125)
    parser.add_argument("--every-ms", type=int, default=100)
    options = parser.parse_args()
    uvloop.run(serve(options.changing, options.every_ms))


if __name__ == "__main__":
    main()
