"""Conveyors over Modbus TCP: one connection, polled in blocks, writes before reads."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from drivers.handshake import Beat
from drivers.levels import Levels
from drivers.link import Backoff, Link, LinkLostError, honour_cancellation
from drivers.registers import Block, Layout, RegisterPicture, Write, plan, plan_writes
from drivers.signals import BadValueError, WriteRefusedError, bind, mailbox
from gateway.contract import Command, DeviceId, NotWritten, Sink
from gateway.devices import conveyor
from gateway.site import ConveyorSpec, Profile


class ModbusDriver:
    """`contract.Driver` of one conveyor; its profile has no event ring, so there is nothing to consume.

    `clock_ns` is kernel time, for command deadlines; staleness is measured on the loop's monotonic clock, so
    that a step of the wall clock brings no link down.
    """

    def __init__(
        self,
        spec: ConveyorSpec,
        profile: Profile,
        sink: Sink,
        clock_ns: Callable[[], int],
        *,
        rng: random.Random | None = None,
    ) -> None:
        self.device: DeviceId = spec.id
        self._connection = spec.connection
        self._where = f"{spec.id} {spec.connection.host}:{spec.connection.port}"
        self._sink = sink
        self._clock_ns = clock_ns
        self._signals = bind(profile, zones=spec.zones)
        self._layout = Layout(profile.byte_order, profile.word_order)
        self._picture = RegisterPicture(plan(self._signals.values(), profile.forbidden), self._layout)
        self._period_s = {"fast": profile.fast_poll_ms / 1000, "slow": profile.slow_poll_ms / 1000}
        self._heartbeat_s = profile.handshake.heartbeat_ms / 1000
        self._link = Link(spec.id, sink)
        self._levels = Levels(
            self._link,
            self._where,
            partial(conveyor.decode, zones=spec.zones),
            sink,
            profile.handshake.stale_ms,
        )
        self._backoff = Backoff(rng or random.Random())
        self._beat = Beat()
        self._client: AsyncModbusTcpClient | None = None
        self._stopping = False
        # First come, first served: with one poll in flight at a time, a write waits for one read at most.
        self._wire = asyncio.Lock()

    async def run(self) -> None:
        """Connect, poll and reconnect for ever; ends only by cancellation, with the socket closed."""
        while True:
            try:
                await self._session()
            except LinkLostError as lost:
                self._link.change("down", str(lost))
            except AssertionError:
                raise
            except Exception as failed:  # noqa: BLE001
                # Its fate: whatever pymodbus throws at what the wire brought ends this connection, not the driver.
                self._link.change("down", f"{self._where}: {type(failed).__name__} {failed}: is it a Modbus device?")
            honour_cancellation()
            await asyncio.sleep(self._backoff.next_s())

    async def send(self, command: Command[Any]) -> None:
        """Write the mailbox, sequence number last. Raises NotWritten; a write is never repeated here."""
        try:
            payload = conveyor.encode(command.action)
            values = mailbox(self._signals, payload, epoch=command.epoch, seq=command.seq)
            writes = plan_writes(values, self._layout)
        except WriteRefusedError as refused:
            raise NotWritten(f"{self.device}: {refused}", certain=True) from None
        self._require_sendable(command)
        async with self._wire:
            client = self._require_sendable(command)
            for write in writes:
                await self._write_command(client, write)

    async def consume(self, device: DeviceId, ring_index: int) -> None:
        """Nothing to do: a conveyor has no event ring."""

    async def safe_stop(self) -> None:
        """Send nothing more and say goodbye, so that the PLC goes to its safe action at once, not after 5 s."""
        self._stopping = True
        if self._client is not None:
            with contextlib.suppress(LinkLostError):  # without a link the PLC misses the heartbeat by itself
                await self._write_beat(self._client, Beat.GOODBYE)

    # --- one connection ---

    async def _session(self) -> None:
        """One connection from connect to loss. Raises LinkLostError, always."""
        client = AsyncModbusTcpClient(
            self._connection.host,
            port=self._connection.port,
            name=self.device,
            timeout=self._connection.timeout_ms / 1000,
            retries=0,
            reconnect_delay=0,
        )
        try:
            await self._connect(client)
            self._client = client
            await self._watch(client)
        finally:
            self._client = None
            client.close()

    async def _connect(self, client: AsyncModbusTcpClient) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        if await client.connect():
            return
        timeout_ms = self._connection.timeout_ms
        if (loop.time() - begun_s) * 1000 >= 0.9 * timeout_ms:
            raise LinkLostError(f"{self._where} did not answer within {timeout_ms} ms: is the PLC on and plugged in?")
        raise LinkLostError(f"{self._where} refused the connection: is the PLC on and the port right?")

    async def _watch(self, client: AsyncModbusTcpClient) -> None:
        """Poll for ever: fast blocks, slow blocks when due, and our own heartbeat."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        self._picture.forget()
        self._levels.connected(int(start_s * 1e9))
        due_s = dict.fromkeys(("fast", "slow", "beat"), start_s)
        while True:
            honour_cancellation()
            now_s = loop.time()
            if now_s >= due_s["beat"] and not self._stopping:
                due_s["beat"] = now_s + self._heartbeat_s
                await self._write_beat(client, self._beat.advance())
            changed = False
            for poll, period_s in self._period_s.items():
                if now_s >= due_s[poll]:
                    due_s[poll] = now_s + period_s
                    changed = await self._read(client, poll) or changed
            came_up = self._levels.step(
                self._picture.values,
                problem=self._picture.problem,
                changed=changed,
                now_ns=int(loop.time() * 1e9),
            )
            if came_up:
                self._backoff.reset()
            next_s = min(due_s["fast"], due_s["slow"]) if self._stopping else min(due_s.values())
            await asyncio.sleep(max(0.0, next_s - loop.time()))

    async def _read(self, client: AsyncModbusTcpClient, poll: str) -> bool:
        """Read all blocks of one poll class; True when a value has changed."""
        changed = False
        for index, block in enumerate(self._picture.blocks):
            if block.poll != poll:
                continue
            async with self._wire:
                reply = await self._ask(client, block)
            if reply.isError():
                code = getattr(reply, "exception_code", 0)
                bad = self._picture.refuse(
                    index, f"exception {code}", "the device refuses to read it: check the profile"
                )
            else:
                in_bits = block.table in ("coil", "discrete")
                words = [int(bit) for bit in reply.bits[: block.count]] if in_bits else reply.registers
                news, bad = self._picture.take(index, words)
                changed = changed or news
            self._tell(bad)
        return changed

    async def _ask(self, client: AsyncModbusTcpClient, block: Block) -> ModbusPDU:
        reads = {
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
        }
        try:
            return await reads[block.table](block.address, count=block.count, device_id=self._connection.unit)
        except (ModbusException, OSError) as exc:
            raise self._lost(f"no answer to reading {block}", exc) from exc

    def _tell(self, bad: list[BadValueError]) -> None:
        for problem in bad:
            self._sink.bad_value(self.device, problem.signal, problem.value, problem.problem)

    async def _write_beat(self, client: AsyncModbusTcpClient, beat: int) -> None:
        signal = self._signals.get("hb_gw")
        if signal is None or not signal.writable:
            return
        (write,) = plan_writes([(signal, beat)], self._layout)
        try:
            async with self._wire:
                reply = await self._put(client, write)
        except (ModbusException, OSError) as exc:
            raise self._lost("no answer to writing our heartbeat", exc) from exc
        if reply.isError():
            code = getattr(reply, "exception_code", 0)
            self._tell(
                [BadValueError("hb_gw", f"exception {code}", "the device refuses our heartbeat: check the profile")]
            )

    async def _put(self, client: AsyncModbusTcpClient, write: Write) -> ModbusPDU:
        unit = self._connection.unit
        if write.table == "coil":
            return await client.write_coil(write.address, bool(write.words[0]), device_id=unit)
        if len(write.words) == 1:
            return await client.write_register(write.address, write.words[0], device_id=unit)
        return await client.write_registers(write.address, list(write.words), device_id=unit)

    async def _write_command(self, client: AsyncModbusTcpClient, write: Write) -> None:
        # Without its sequence number a payload is no command: only the decisive write leaves doubt behind.
        certain = not write.decisive
        place = f"{write.table} {write.address}…{write.address + len(write.words) - 1}"
        try:
            reply = await self._put(client, write)
        except (ModbusException, OSError) as exc:
            # A late answer would meet the next request: end the connection, the next poll finds it closed.
            client.close()
            raise NotWritten(f"{self._where}: no answer to writing {place}: {exc}", certain=certain) from exc
        if reply.isError():
            code = getattr(reply, "exception_code", 0)
            raise NotWritten(f"{self._where}: exception {code} to writing {place}: check the profile", certain=certain)

    def _require_sendable(self, command: Command[Any]) -> AsyncModbusTcpClient:
        if self._stopping:
            raise NotWritten(f"{self.device}: the gateway is stopping; nothing was written", certain=True)
        self._link.require_sendable(command.deadline_ns, self._clock_ns)
        if self._client is None or not self._client.connected:
            raise NotWritten(f"{self._where}: not connected; nothing was written", certain=True)
        return self._client

    def _lost(self, what: str, exc: Exception) -> LinkLostError:
        return LinkLostError(
            f"{self._where}: {what} within {self._connection.timeout_ms} ms ({exc}): is the PLC still on the network?"
        )
