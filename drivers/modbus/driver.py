"""Conveyors over Modbus TCP: polled in blocks, writes before reads, one connection for all units of an address."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pymodbus.pdu import ModbusPDU

from drivers.handshake import Beat
from drivers.levels import Levels
from drivers.link import Backoff, Link, LinkLostError, honour_cancellation
from drivers.meter import Meter
from drivers.modbus.registers import Block, Layout, RegisterPicture, Write, plan, plan_writes
from drivers.modbus.requests import exception_text, read, write
from drivers.modbus.verify import Verification
from drivers.modbus.wire import NotSentError, Seat, Wires
from drivers.signals import BadValueError, WriteRefusedError, bind, mailbox
from gateway.contract import Command, DeviceId, LinkFigures, NotWritten, Sink
from gateway.devices import conveyor
from gateway.site import ConveyorSpec, Profile


class ModbusDriver:
    """`contract.Driver` of one conveyor; its profile has no event ring, so there is nothing to consume.

    `clock_ns` is kernel time, for command deadlines; staleness is measured on the loop's monotonic clock, so
    that a step of the wall clock brings no link down. Devices that are given the same `wires` share one connection
    where they have the same host and port; without it a device has a connection of its own.
    """

    def __init__(
        self,
        spec: ConveyorSpec,
        profile: Profile,
        sink: Sink,
        clock_ns: Callable[[], int],
        *,
        rng: random.Random | None = None,
        wires: Wires | None = None,
    ) -> None:
        self.device: DeviceId = spec.id
        self._meter = Meter(spec.id, "modbus", time.monotonic_ns)
        self._unit = spec.connection.unit
        self._where = f"{spec.id} {spec.connection.host}:{spec.connection.port}"
        if wires is not None:
            self._where += f" unit {spec.connection.unit}"
        self._wire = (wires if wires is not None else Wires()).to(spec.connection)
        self._seat: Seat | None = None
        self._sink = sink
        self._clock_ns = clock_ns
        self._signals = bind(profile, zones=spec.zones)
        self._layout = Layout(profile.byte_order, profile.word_order, profile.string_byte_order or "")
        self._verification = Verification(profile, self._signals)
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
        self._stopping = False
        # Two commands must not mix their writes: one payload would go out under the other's number.
        self._commanding = asyncio.Lock()

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
        async with self._commanding:
            seat = self._require_sendable(command)
            for each in writes:
                # Taking turns can take a while: what is late by now is not begun and not finished.
                self._require_sendable(command)
                await self._write_command(seat, each)

    async def consume(self, device: DeviceId, ring_index: int) -> None:
        """Nothing to do: a conveyor has no event ring."""

    async def safe_stop(self) -> None:
        """Send nothing more and say goodbye, so that the PLC goes to its safe action at once, not after 5 s."""
        self._stopping = True
        if self._seat is not None:
            with contextlib.suppress(LinkLostError):  # without a link the PLC misses the heartbeat by itself
                await self._write_beat(self._seat, Beat.GOODBYE)

    def figures(self) -> list[LinkFigures]:
        return [self._meter.figures()]

    # --- one connection ---

    async def _session(self) -> None:
        """One connection from connect to loss. Raises LinkLostError, always."""
        seat = await self._wire.join(self._where)
        try:
            self._seat = seat
            await self._watch(seat)
        finally:
            self._seat = None
            self._wire.leave(seat)

    async def _watch(self, seat: Seat) -> None:
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
                await self._write_beat(seat, self._beat.advance())
            changed = False
            for poll, period_s in self._period_s.items():
                if now_s >= due_s[poll]:
                    due_s[poll] = now_s + period_s
                    changed = await self._read(seat, poll) or changed
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

    async def _read(self, seat: Seat, poll: str) -> bool:
        """Read all blocks of one poll class; True when a value has changed."""
        changed = False
        for index, block in enumerate(self._picture.blocks):
            if block.poll != poll:
                continue
            reply = await self._ask(seat, block)
            if reply.isError():
                bad = self._picture.refuse(
                    index, exception_text(reply), "the device refuses to read it: check the profile"
                )
            else:
                in_bits = block.table in ("coil", "discrete")
                words = [int(bit) for bit in reply.bits[: block.count]] if in_bits else reply.registers
                news, bad = self._picture.take(index, words)
                changed = changed or news
            self._tell(bad)
        return changed

    async def _ask(self, seat: Seat, block: Block) -> ModbusPDU:
        request = partial(read, table=block.table, address=block.address, count=block.count, unit=self._unit)
        return await self._wire.ask(seat, f"reading {block}", request, writing=False)

    def _tell(self, bad: list[BadValueError]) -> None:
        for problem in bad:
            self._sink.bad_value(self.device, problem.signal, problem.value, problem.problem)

    async def _write_beat(self, seat: Seat, beat: int) -> None:
        signal = self._signals.get("hb_gw")
        if signal is None or not signal.writable:
            return
        (beating,) = plan_writes([(signal, beat)], self._layout)
        request = partial(write, what=beating, unit=self._unit)
        reply = await self._wire.ask(seat, "writing our heartbeat", request, writing=True)
        if reply.isError():
            problem = "the device refuses our heartbeat: check the profile"
            self._tell([BadValueError("hb_gw", exception_text(reply), problem)])

    async def _write_command(self, seat: Seat, each: Write) -> None:
        # Without its sequence number a payload is no command: only the decisive write leaves doubt behind.
        certain = not each.decisive
        try:
            request = partial(write, what=each, unit=self._unit)
            reply = await self._wire.ask(seat, f"writing {each}", request, writing=True)
            if reply.isError():
                hint = "has the device no mask write (function 22)?" if each.mask else "check the profile"
                text = f"{self._where}: {exception_text(reply)} to writing {each}: {hint}"
                raise NotWritten(text, certain=certain)
            await self._verify(seat, each, certain=certain)
        except LinkLostError as lost:
            raise NotWritten(str(lost), certain=certain or isinstance(lost, NotSentError)) from lost

    async def _verify(self, seat: Seat, each: Write, *, certain: bool) -> None:
        """Read back what was written, where the profile asks for it. Raises NotWritten, LinkLostError."""
        if not self._verification.wanted(each):
            return
        count = len(each.words)
        request = partial(read, table=each.table, address=each.address, count=count, unit=self._unit)
        try:
            reply = await self._wire.ask(seat, f"reading back {each}", request, writing=True)
        except NotSentError as lost:
            # The reading back was not sent, but the write before it was.
            raise NotWritten(str(lost), certain=certain) from lost
        if reply.isError():
            text = f"{self._where}: {exception_text(reply)} to reading back {each}: switch 'verify' off in the profile"
            raise NotWritten(text, certain=certain)
        words = [int(bit) for bit in reply.bits[:count]] if each.table == "coil" else reply.registers
        bad = self._verification.compare(each, words)
        self._tell(bad)
        if bad:
            raise NotWritten(f"{self._where}: {bad[0]}", certain=certain)

    def _require_sendable(self, command: Command[Any]) -> Seat:
        if self._stopping:
            raise NotWritten(f"{self.device}: the gateway is stopping; nothing was written", certain=True)
        self._link.require_sendable(command.deadline_ns, self._clock_ns)
        if self._seat is None or not self._wire.usable(self._seat):
            raise NotWritten(f"{self._where}: not connected; nothing was written", certain=True)
        return self._seat
