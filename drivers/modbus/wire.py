"""One connection for all units behind one host and port.

Writes go before reads of any unit (`turns`). A unit that does not answer costs the others one time-out: its
request ends the connection, since its answer could still come, and the next request of another unit opens a new one
without a word. Whatever else ends the connection is told to every unit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pymodbus.client import AsyncModbusTcpClient, AsyncModbusTlsClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from drivers.link import LinkLostError
from drivers.modbus.replies import ReplyGuard
from drivers.modbus.tls import tls_context
from drivers.modbus.turns import CrowdedError, Turns
from gateway.site.model import ModbusConnection, ModbusTls

Request = Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]]
_NOT_BEHIND_THE_GATEWAY = (0x0A, 0x0B)
"""Exceptions of a gateway about the unit: no path to it, no answer from it."""


class NotSentError(LinkLostError):
    """The request has not gone out: nothing can have happened because of it."""


class Seat:
    """One device's place on a wire, from `join` to `leave`. `lost` says why it has to begin anew."""

    def __init__(self, era: int, where: str) -> None:
        self.era = era
        self.where = where
        self.lost = ""


class Wire:
    """The connection to one host and port; open while somebody sits at it."""

    def __init__(self, connection: ModbusConnection) -> None:
        self._connection = connection
        self._address = f"{connection.host}:{connection.port}"
        self._turns = Turns()
        self._seats: set[Seat] = set()
        self._client: AsyncModbusTcpClient | None = None
        self._guard = ReplyGuard()
        self._era = 0
        self._ended = ""

    def expect(self, timeout_ms: int) -> None:
        """A device on this wire allows so much for an answer; the longest time holds for all."""
        if timeout_ms > self._connection.timeout_ms:
            self._connection = self._connection.model_copy(update={"timeout_ms": timeout_ms})

    @property
    def timeout_ms(self) -> int:
        return self._connection.timeout_ms

    async def join(self, where: str) -> Seat:
        """Sit down, with the connection open. Raises LinkLostError; `where` names device and address in it."""
        async with self._turns.turn(writing=False):
            seat = Seat(self._era, where)
            await self._open(seat)
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

    async def ask(self, seat: Seat, what: str, request: Request, *, writing: bool) -> ModbusPDU:
        """Send one request in its turn and give its reply, an exception of the device included.

        `what` says in errors what was asked. Raises NotSentError where nothing went out, LinkLostError where an answer
        is missing or wrong; either way the seat has to be left.
        """
        try:
            async with self._turns.turn(writing=writing):
                loss = self._loss(seat)
                if loss:
                    raise NotSentError(loss)
                client = await self._open(seat)
                return await self._exchange(client, seat, what, request)
        except CrowdedError as crowded:
            raise NotSentError(f"{seat.where}: {what} was not sent: {crowded}") from None

    async def _exchange(self, client: AsyncModbusTcpClient, seat: Seat, what: str, request: Request) -> ModbusPDU:
        try:
            reply = await request(client)
        except (ModbusException, OSError) as exc:
            if not client.connected:
                raise self._end(seat, f"the connection was lost while waiting for an answer to {what}") from exc
            self._drop()
            seat.lost = (
                f"{seat.where}: no answer to {what} within {self.timeout_ms} ms: is the PLC still on the network?"
            )
            raise LinkLostError(seat.lost) from exc
        except BaseException:
            self._drop()  # cancelled: the answer may still come, and would meet the next request
            raise
        if self._guard.problem:
            raise self._end(seat, f"{what} brought {self._guard.problem}; the connection was ended")
        code = getattr(reply, "exception_code", 0)
        if reply.isError() and code in _NOT_BEHIND_THE_GATEWAY:
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
                self._end(seat, "the other side closed the connection")
        if not seat.lost and seat.era != self._era:
            seat.lost = f"{seat.where}: {self._ended}: is the PLC still on the network?"
        return seat.lost

    def _end(self, seat: Seat, why: str) -> LinkLostError:
        """The connection is lost for everybody."""
        self._era += 1
        self._ended = why
        self._drop()
        return LinkLostError(self._loss(seat))

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _open(self, seat: Seat) -> AsyncModbusTcpClient:
        if self._client is not None and self._client.connected and not self._guard.problem:
            return self._client
        self._drop()
        guard = ReplyGuard()
        try:
            client = self._new_client(guard)
        except (OSError, ValueError) as exc:
            seat.lost = f"{seat.where}: its TLS files can't be used: {exc}: check 'tls' of its connection"
            raise NotSentError(seat.lost) from exc
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            opened = await client.connect()
        except BaseException:
            client.close()  # cancelled, most likely: whoever waits for us is told by the raise
            raise
        if opened:
            self._client, self._guard = client, guard
            return client
        client.close()
        if (loop.time() - begun_s) * 1000 >= 0.9 * self.timeout_ms:
            why = f"{seat.where} did not answer within {self.timeout_ms} ms: is the PLC on and plugged in?"
        elif self._connection.tls is not None:
            why = (
                f"{seat.where} refused the connection or its TLS handshake failed: is the port right, and is its "
                "certificate signed by ca_file, valid today and made for server_name?"
            )
        else:
            why = f"{seat.where} refused the connection: is the PLC on and the port right?"
        seat.lost = why
        raise NotSentError(why)

    def _new_client(self, guard: ReplyGuard) -> AsyncModbusTcpClient:
        connection, tls = self._connection, self._connection.tls
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
    """The wires of one gateway: devices with the same host, port and TLS settings share one."""

    def __init__(self) -> None:
        self._by_address: dict[tuple[str, int, ModbusTls | None], Wire] = {}

    def to(self, connection: ModbusConnection) -> Wire:
        """The wire to this address; the same one each time."""
        key = (connection.host, connection.port, connection.tls)
        wire = self._by_address.setdefault(key, Wire(connection))
        wire.expect(connection.timeout_ms)
        return wire
