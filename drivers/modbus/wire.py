"""One connection for all units behind one host and port, or on one serial line.

Writes go before reads of any unit (`turns`). A unit that does not answer costs the others one time-out: its
request ends the connection, since its answer could still come, and the next request of another unit opens a new one
without a word. Whatever else ends the connection is told to every unit.

A serial line stays open through all of that, since only the device itself can be lost: a late or broken
frame does not fit what was asked and is dropped. A read that brought one is asked once more; a write never is.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pymodbus.client import AsyncModbusTcpClient, AsyncModbusTlsClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from drivers.capture import Capture
from drivers.link import LinkLostError
from drivers.meter import Meter
from drivers.modbus.replies import Note, ReplyGuard
from drivers.modbus.requests import exception_code
from drivers.modbus.serial_line import SETTLED_S, LineGuard, SettingsError, serial_client, silence_s
from drivers.modbus.tls import tls_context
from drivers.modbus.turns import CrowdedError, RightOfWay, Turns
from gateway.site.model import ModbusConnection, ModbusTls

_NOT_BEHIND_THE_GATEWAY = (0x0A, 0x0B)
"""Exceptions of a gateway about the unit: no path to it, no answer from it."""


class NotSentError(LinkLostError):
    """The request has not gone out: nothing can have happened because of it."""


class Seat:
    """One device's place on a wire, from `join` to `leave`. `lost` says why it has to begin anew."""

    def __init__(self, era: int, where: str, meter: Meter) -> None:
        self.era = era
        self.where = where
        self.meter = meter
        self.lost = ""


class Wire:
    """The connection to one address; open while somebody sits at it."""

    def __init__(
        self, connection: ModbusConnection, capture: Capture | None = None, right_of_way: RightOfWay | None = None
    ) -> None:
        self._right_of_way = right_of_way or RightOfWay()
        self._connection = connection
        self._address = connection.address
        self._silence_s = silence_s(connection.serial) if connection.serial is not None else 0.0
        self._used_s = 0.0
        self._capture = capture
        self._turns = Turns()
        self._seats: set[Seat] = set()
        self._client: ModbusBaseClient | None = None
        self._guard: ReplyGuard = self._new_guard()
        self._era = 0
        self._ended = ""

    def expect(self, timeout_ms: int) -> None:
        """A device on this wire allows so much for an answer; the longest time holds for all."""
        if timeout_ms > self._connection.timeout_ms:
            self._connection = self._connection.model_copy(update={"timeout_ms": timeout_ms})

    @property
    def timeout_ms(self) -> int:
        return self._connection.timeout_ms

    async def join(self, where: str, meter: Meter | None = None) -> Seat:
        """Sit down, with the connection open. Raises LinkLostError; `where` names device and address in it."""
        async with self._turns.turn(writing=False):
            seat = Seat(self._era, where, meter or Meter("", "modbus", time.monotonic_ns))
            if not await self._open(seat):
                seat.meter.connects += 1  # a connection that others have made is this device's, too
            seat.era = self._era
            self._seats.add(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """Get up; the last one closes the connection."""
        self._seats.discard(seat)
        if not self._seats:
            self._drop()

    def usable(self, seat: Seat) -> bool:
        """A request of this seat could go out now."""
        return not self._loss(seat)

    async def ask(self, seat: Seat, what: object, request: ModbusPDU, *, writing: bool) -> bytes:
        """Send one request in its turn and give its reply from the function code on, an exception included.

        `what` says in errors what was asked. Raises NotSentError where nothing went out, LinkLostError where an answer
        is missing or wrong; either way the seat has to be left.
        """
        if writing:
            self._right_of_way.write_begins()
            try:
                return await self._ask_in_turn(seat, what, request, writing)
            finally:
                self._right_of_way.write_ends()
        if self._right_of_way.writes:
            await self._right_of_way.let_writes_pass()
        return await self._ask_in_turn(seat, what, request, writing)

    async def _ask_in_turn(self, seat: Seat, what: object, request: ModbusPDU, writing: bool) -> bytes:
        if not self._turns.take_free(writing):
            try:
                await self._turns.wait(writing)
            except CrowdedError as crowded:
                raise NotSentError(f"{seat.where}: {what} was not sent: {crowded}") from None
        try:
            if loss := self._loss(seat):
                raise NotSentError(loss)
            if self._client is None or not self._client.connected or self._guard.problem:
                await self._open(seat)
            if self._silence_s:
                return await self._ask_on_line(seat, what, request, writing)
            return await self._exchange(seat, what, request)
        finally:
            self._turns.give()

    async def _ask_on_line(self, seat: Seat, what: object, request: ModbusPDU, writing: bool) -> bytes:
        """One request on a serial line, and once more where it was a read and noise came in place of a reply."""
        for again in (False, True):
            await asyncio.sleep(self._used_s + self._silence_s - asyncio.get_running_loop().time())
            try:
                reply = await self._exchange(seat, what, request)
            finally:
                self._used_s = asyncio.get_running_loop().time()
            problem, self._guard.problem = self._guard.problem, ""
            if not problem:
                return reply
            await self._let_it_finish()
            if writing or again:
                break
        seat.lost = f"{seat.where}: {what} brought {problem}"
        raise LinkLostError(seat.lost)

    async def _let_it_finish(self) -> None:
        """After a broken frame its rest may still be coming: talk over nobody. At most for one time-out."""
        loop = asyncio.get_running_loop()
        end_s, heard = loop.time() + self.timeout_ms / 1000, -1
        while heard != self._guard.heard and loop.time() < end_s:
            heard = self._guard.heard
            await asyncio.sleep(max(self._silence_s, SETTLED_S))

    async def _exchange(self, seat: Seat, what: object, request: ModbusPDU) -> bytes:
        client, guard, meter = self._client, self._guard, seat.meter
        assert client is not None, "asked before the connection was opened"
        meter.requests += 1
        begun_ns = time.monotonic_ns()
        try:
            await client.execute(False, request)
        except (ModbusException, OSError) as exc:
            meter.errors += 1
            if not client.connected:
                raise self._end(seat, f"the connection was lost while waiting for an answer to {what}") from exc
            self._give_up_waiting()
            hint = "is it on, and is its unit number right?" if self._silence_s else "is the PLC still on the network?"
            seat.lost = f"{seat.where}: no answer to {what} within {self.timeout_ms} ms: {hint}"
            raise LinkLostError(seat.lost) from exc
        except BaseException:
            self._give_up_waiting()  # cancelled: the answer may still come, and would meet the next request
            raise
        if guard.problem:
            meter.errors += 1
            if self._silence_s:
                return b""
            raise self._end(seat, f"{what} brought {guard.problem}; the connection was ended")
        meter.answered(time.monotonic_ns() - begun_ns)
        reply = guard.reply
        if reply[0] & 0x80:
            meter.errors += 1
            code = exception_code(reply)
            if code in _NOT_BEHIND_THE_GATEWAY:
                seat.lost = (
                    f"{seat.where}: exception {code} to {what}: the gateway gets no answer from this unit: is it on?"
                )
                raise LinkLostError(seat.lost)
        return reply

    def _loss(self, seat: Seat) -> str:
        """Why this seat can't ask any more; "" when it can."""
        if not seat.lost and seat.era == self._era and self._client is not None:
            if self._guard.problem:
                self._end(seat, f"there came {self._guard.problem}; the connection was ended")
            elif not self._client.connected:
                self._end(
                    seat, "the serial device is gone" if self._silence_s else "the other side closed the connection"
                )
        if not seat.lost and seat.era != self._era:
            hint = "is the adapter plugged in?" if self._silence_s else "is the PLC still on the network?"
            seat.lost = f"{seat.where}: {self._ended}: {hint}"
        return seat.lost

    def _end(self, seat: Seat, why: str) -> LinkLostError:
        """The connection is lost for everybody."""
        self._era += 1
        self._ended = why
        self._drop()
        return LinkLostError(self._loss(seat))

    def _give_up_waiting(self) -> None:
        if self._silence_s:
            self._guard.end()
        else:
            self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._guard.end()
            self._client.close()
            self._client = None

    async def _open(self, seat: Seat) -> bool:
        """Have a connection; True when it is a new one, made for this seat. Raises NotSentError."""
        if self._client is not None and self._client.connected and not self._guard.problem:
            return False
        self._drop()
        guard = self._new_guard()
        try:
            client = self._new_client(guard)
        except (OSError, ValueError) as exc:
            seat.lost = f"{seat.where}: its TLS files can't be used: {exc}: check 'tls' of its connection"
            raise NotSentError(seat.lost) from exc
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            opened = await client.connect()
        except SettingsError as exc:
            client.close()
            seat.lost = (
                f"{seat.where}: the serial device does not take these settings: {exc}: "
                "check baudrate, parity and stop_bits, and that it is a serial device"
            )
            raise NotSentError(seat.lost) from None
        except BaseException:
            client.close()  # cancelled, most likely: whoever waits for us is told by the raise
            raise
        if opened:
            self._client, self._guard = client, guard
            seat.meter.connects += 1
            return True
        client.close()
        seat.lost = self._refused(seat, (loop.time() - begun_s) * 1000)
        raise NotSentError(seat.lost)

    def _refused(self, seat: Seat, after_ms: float) -> str:
        if self._connection.serial is not None:
            return (
                f"{seat.where}: the serial device can't be opened: is the adapter plugged in, is its name right, may "
                "this user use it (group dialout), and has no other program taken it?"
            )
        if after_ms >= 0.9 * self.timeout_ms:
            return f"{seat.where} did not answer within {self.timeout_ms} ms: is the PLC on and plugged in?"
        if self._connection.tls is not None:
            return (
                f"{seat.where} refused the connection or its TLS handshake failed: is the port right, and is its "
                "certificate signed by ca_file, valid today and made for server_name?"
            )
        return f"{seat.where} refused the connection: is the PLC on and the port right?"

    def _new_guard(self) -> ReplyGuard:
        note: Note | None = self._noted if self._capture is not None else None
        return LineGuard(note) if self._connection.serial is not None else ReplyGuard(note)

    def _noted(self, way: str, frame: bytes) -> None:
        if self._capture is not None:
            self._capture.note(self._address, "modbus", way, frame=frame.hex())

    def _new_client(self, guard: ReplyGuard) -> ModbusBaseClient:
        connection, tls = self._connection, self._connection.tls
        if connection.serial is not None:
            return serial_client(connection.serial, self.timeout_ms / 1000, guard)
        settings: dict[str, Any] = {
            "port": connection.port,
            "name": self._address,
            "timeout": self.timeout_ms / 1000,
            "retries": 0,
            "reconnect_delay": 0,
            "trace_packet": guard.packet,
        }
        if tls is None:
            return AsyncModbusTcpClient(connection.host, **settings)
        return AsyncModbusTlsClient(connection.host, sslctx=tls_context(tls, connection.host), **settings)


class Wires:
    """The wires of one gateway: devices with the same host, port and TLS settings, or serial device, share one.

    `capture`: where every frame on any of them is noted.
    """

    def __init__(self, capture: Capture | None = None) -> None:
        self._capture = capture
        self._right_of_way = RightOfWay()
        self._by_address: dict[tuple[str, ModbusTls | None], Wire] = {}

    def to(self, connection: ModbusConnection) -> Wire:
        """The wire to this address; the same one each time."""
        key = (connection.address, connection.tls)
        wire = self._by_address.get(key)
        if wire is None:
            wire = self._by_address[key] = Wire(connection, self._capture, self._right_of_way)
        wire.expect(connection.timeout_ms)
        return wire
