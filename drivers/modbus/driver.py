"""Conveyors over Modbus: polled in blocks, writes before reads, one connection for all units of an address."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from drivers.handshake import Beat
from drivers.levels import Levels
from drivers.link import Backoff, Link, LinkLostError, honour_cancellation, require_not_ours
from drivers.meter import Meter
from drivers.modbus.binding import bind_registers
from drivers.modbus.picture import RegisterPicture, words_of
from drivers.modbus.registers import Layout, Write, plan, plan_writes
from drivers.modbus.requests import exception_code, read, write, write_and_read
from drivers.modbus.verify import Verification
from drivers.modbus.wire import NotSentError, Seat, Wires
from drivers.signals import BadValueError, WriteRefusedError, mailbox
from gateway.contract import Command, DeviceId, LinkFigures, NotWritten, Sink
from gateway.devices import conveyor
from gateway.site import ConveyorSpec, Profile

_VALUES = 2
"""Bytes of a reply before its values: function code and byte count."""


class _CountingSink:
    """The sink, with the bad values counted on the way."""

    def __init__(self, sink: Sink, meter: Meter) -> None:
        self.post = sink.post
        self.telemetry = sink.telemetry
        self._sink = sink
        self._meter = meter

    def bad_value(self, device: DeviceId, signal: str, value: object, problem: str) -> None:
        self._meter.bad_values += 1
        self._sink.bad_value(device, signal, value, problem)


class ModbusDriver:
    """`contract.Driver` of one conveyor; its profile has no event ring, so there is nothing to consume.

    `clock_ns` is kernel time, for command deadlines; staleness is measured on the loop's monotonic clock, so
    that a step of the wall clock brings no link down. Devices that are given the same `wires` share one connection
    where they have the same host and port, or the same serial device; without it a device has a connection of its own.
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
        self._where = f"{spec.id} {spec.connection.address}"
        if wires is not None or spec.connection.serial is not None:
            self._where += f" unit {spec.connection.unit}"
        self._wire = (wires if wires is not None else Wires()).to(spec.connection)
        self._seat: Seat | None = None
        self._sink = sink = _CountingSink(sink, self._meter)
        self._clock_ns = clock_ns
        binding = bind_registers(profile, zones=spec.zones)
        self._signals = binding.signals
        # A command is put together from few signals, however many the profile has.
        self._mailbox = {name: s for name, s in self._signals.items() if s.writable or name.startswith("cmd_")}
        self._layout = Layout(profile.byte_order, profile.word_order, profile.string_byte_order or "")
        self._verification = Verification(profile, self._signals)
        self._picture = RegisterPicture(
            plan(self._signals.values(), profile.forbidden), self._layout, binding.flags, binding.constants
        )
        blocks = self._picture.blocks
        self._requests = [read(block.table, block.address, block.count, self._unit) for block in blocks]
        self._reading = [f"reading {block}" for block in blocks]
        self._of_poll = {
            poll: tuple(index for index, block in enumerate(blocks) if block.poll == poll) for poll in ("fast", "slow")
        }
        self._echo_block = self._find_echo(profile) if profile.handshake.read_write else None
        self._read_along = False
        self._takes_commands = profile.handshake.mailbox
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
        self._rng = rng or random.Random()
        self._backoff = Backoff(self._rng)
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
            except Exception as failed:  # noqa: BLE001
                # Its fate: whatever pymodbus throws at what the wire brought ends this connection, not the driver.
                require_not_ours(failed)
                self._link.change("down", f"{self._where}: {type(failed).__name__} {failed}: is it a Modbus device?")
            honour_cancellation()
            await asyncio.sleep(self._backoff.next_s())

    async def send(self, command: Command[Any]) -> None:
        """Write the mailbox, sequence number last. Raises NotWritten; a write is never repeated here."""
        if not self._takes_commands:
            text = (
                f"{self.device}: its profile has no mailbox (mailbox: false): it is only observed; nothing was written"
            )
            raise NotWritten(text, certain=True)
        try:
            payload = conveyor.encode(command.action)
            values = mailbox(self._mailbox, payload, epoch=command.epoch, seq=command.seq)
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
        seat = await self._wire.join(self._where, self._meter)
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
        # All devices of a hall come up in one moment: their polls must not stay in step, or they would all be in the
        # way of one another at once.
        spread_s = self._rng.uniform(0.0, 1.0)
        while True:
            honour_cancellation()
            now_s = loop.time()
            if now_s >= due_s["beat"] and not self._stopping:
                due_s["beat"] = now_s + self._heartbeat_s
                await self._write_beat(seat, self._beat.advance())
            changed, self._read_along = self._read_along, False
            for poll, period_s in self._period_s.items():
                if now_s >= due_s[poll]:
                    due_s[poll] = now_s + period_s * (1.0 + spread_s)
                    changed = await self._read(seat, poll) or changed
            spread_s = 0.0
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
        for index in self._of_poll[poll]:
            reply = await self._wire.ask(seat, self._reading[index], self._requests[index], writing=False)
            if reply[0] & 0x80:
                problem = "the device refuses to read it: check the profile"
                self._tell(self._picture.refuse(index, f"exception {exception_code(reply)}", problem))
            else:
                news, bad = self._picture.take_reply(index, reply[_VALUES:])
                changed = changed or news
                if bad:
                    self._tell(bad)
        return changed

    def _find_echo(self, profile: Profile) -> int:
        """The block that holds the mailbox's echo. Raises ValueError where there is none to read with function 23."""
        for index, block in enumerate(self._picture.blocks):
            if block.table == "holding" and any(signal.name == "ack_seq" for signal in block.signals):
                return index
        raise ValueError(
            f"profile {profile.profile}: read_write needs the signal ack_seq in a holding register that is read"
        )

    def _tell(self, bad: Sequence[BadValueError]) -> None:
        for problem in bad:
            self._sink.bad_value(self.device, problem.signal, problem.value, problem.problem)

    async def _write_beat(self, seat: Seat, beat: int) -> None:
        signal = self._signals.get("hb_gw")
        if signal is None or not signal.writable:
            return
        (beating,) = plan_writes([(signal, beat)], self._layout)
        reply = await self._wire.ask(seat, "writing our heartbeat", write(beating, self._unit), writing=True)
        if code := exception_code(reply):
            problem = "the device refuses our heartbeat: check the profile"
            self._tell([BadValueError("hb_gw", f"exception {code}", problem)])

    async def _write_command(self, seat: Seat, each: Write) -> None:
        # Without its sequence number a payload is no command: only the decisive write leaves doubt behind.
        certain = not each.decisive
        echo, both = self._echo_block, None
        if echo is not None and each.decisive:
            both = write_and_read(each, self._picture.blocks[echo], self._unit)
        try:
            request = write(each, self._unit) if both is None else both
            reply = await self._wire.ask(seat, f"writing {each}", request, writing=True)
            if code := exception_code(reply):
                hint = "has the device no mask write (function 22)?" if each.mask else "check the profile"
                if both is not None:
                    hint = "has the device no function 23? then switch 'read_write' off in the profile"
                raise NotWritten(f"{self._where}: exception {code} to writing {each}: {hint}", certain=certain)
            if both is not None and echo is not None:
                news, bad = self._picture.take_reply(echo, reply[_VALUES:])
                self._read_along = self._read_along or news
                self._tell(bad)
            await self._verify(seat, each, certain=certain)
        except LinkLostError as lost:
            raise NotWritten(str(lost), certain=certain or isinstance(lost, NotSentError)) from lost

    async def _verify(self, seat: Seat, each: Write, *, certain: bool) -> None:
        """Read back what was written, where the profile asks for it. Raises NotWritten, LinkLostError."""
        if not self._verification.wanted(each):
            return
        count = len(each.words)
        request = read(each.table, each.address, count, self._unit)
        try:
            reply = await self._wire.ask(seat, f"reading back {each}", request, writing=True)
        except NotSentError as lost:
            # The reading back was not sent, but the write before it was.
            raise NotWritten(str(lost), certain=certain) from lost
        if code := exception_code(reply):
            text = f"{self._where}: exception {code} to reading back {each}: switch 'verify' off in the profile"
            raise NotWritten(text, certain=certain)
        bad = self._verification.compare(each, words_of(each.table, count, reply[_VALUES:]))
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
