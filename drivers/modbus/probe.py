"""A look at one Modbus device from outside: one connection, one request after the other, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest

from drivers.link import LinkLostError
from drivers.modbus.binding import bind_registers
from drivers.modbus.picture import words_of
from drivers.modbus.registers import BIT_TABLES, Block, Layout, decode, plan
from drivers.modbus.requests import device_objects, exception_code, read
from drivers.modbus.wire import Seat, Wire
from drivers.probe import SAMPLES, Check, Examination, Found, Reading, Verdict, quantiles_ms, reach
from drivers.signals import BadValueError, Bound
from gateway.site import ConveyorSpec, Profile
from gateway.site.model import ModbusConnection

_BASIC = 1
_OBJECTS = ("vendor", "product", "revision")
_VALUES = 2
_ILLEGAL = {
    1: "does not know this function: is the signal in the right table?",
    2: "has no such registers: compare the addresses with its manual (0-based here), and its unit number",
    3: "does not give so many at once: is the end of its register map within the block?",
    4: "failed inside: look at its own display or log",
    6: "is busy: try again",
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """The reply from its function code on, or in words why there is none."""

    reply: bytes = b""
    problem: str = ""

    @property
    def refusal(self) -> str:
        """Why the values are not there; empty where they are."""
        code = exception_code(self.reply) if self.reply else 0
        return f"exception {code}: the device {_ILLEGAL.get(code, 'refuses it')}" if code else self.problem


class _Visit:
    """One connection to the device, made anew after each request that ended it."""

    def __init__(self, spec: ConveyorSpec, profile: Profile) -> None:
        self.unit = spec.connection.unit
        binding = bind_registers(profile, zones=spec.zones)
        self.flags = binding.flags
        self.blocks = plan(binding.signals.values(), profile.forbidden)
        self.layout = Layout(profile.byte_order, profile.word_order, profile.string_byte_order or "")
        self._where = f"{spec.id} {spec.connection.address} unit {self.unit}"
        self._wire = Wire(spec.connection)
        self._seat: Seat | None = None

    async def ask(self, what: str, request: ModbusPDU) -> _Answer:
        try:
            if self._seat is None:
                self._seat = await self._wire.join(self._where)
            return _Answer(await self._wire.ask(self._seat, what, request, writing=False))
        except LinkLostError as lost:
            self.end()
            return _Answer(problem=str(lost))

    async def block(self, block: Block) -> _Answer:
        return await self.ask(f"reading {block}", read(block.table, block.address, block.count, self.unit))

    def end(self) -> None:
        if self._seat is not None:
            self._wire.leave(self._seat)
            self._seat = None


async def examine(spec: ConveyorSpec, profile: Profile) -> Examination:
    """Everything from the name to the latency, ending with the first step that makes the next ones pointless.

    Takes up to a time-out for each block that the device does not answer.
    """
    connection = spec.connection
    checks: list[Check] = []
    if connection.serial is None:
        checks += await reach(connection.host, connection.port, connection.timeout_ms / 1000)
        if checks[-1].verdict == "bad":
            return _examination(spec, checks)
    else:
        checks.append(Check("name", "skipped", f"{connection.address} is a serial device"))
    visit = _Visit(spec, profile)
    try:
        if not visit.blocks:
            text = f"the profile {profile.profile} has no signal that is read"
            return _examination(spec, [*checks, Check("handshake", "doubtful", text, "name another profile")])
        first = await visit.block(visit.blocks[0])
        checks += _handshake(connection, visit.blocks[0], first)
        checks.append(_security(connection))
        if checks[-2].verdict == "bad":
            return _examination(spec, checks)
        checks.append(await _identity(visit))
        readings = [reading for block in visit.blocks for reading in await _readings(visit, block)]
        checks.append(_signals(readings))
        latency, p50_ms, p99_ms = await _latency(visit, profile)
        clock = Check("clock", "skipped", "Modbus has no clock to compare")
        return _examination(spec, [*checks, latency, clock], readings, p50_ms, p99_ms)
    finally:
        visit.end()


async def browse(spec: ConveyorSpec, profile: Profile) -> list[Found]:
    """Every register and bit of the profile's blocks with its raw value and the signals in it; the mailbox is not read.

    A block that the device refuses comes with the reason in place of values. Raises LinkLostError where the first one
    gets no answer at all.
    """
    visit = _Visit(spec, profile)
    found: list[Found] = []
    try:
        for block in visit.blocks:
            answer = await visit.block(block)
            if answer.problem and not found:
                raise LinkLostError(answer.problem)
            in_bits = block.table in BIT_TABLES
            size = f"{block.count} {'bits' if in_bits else 'registers'}, {block.poll} poll"
            found.append(Found(0, str(block), size, answer.refusal))
            if not answer.refusal:
                words = words_of(block.table, block.count, answer.reply[_VALUES:])
                found += [_register(block, n, word, in_bits) for n, word in enumerate(words)]
        return found
    finally:
        visit.end()


def _register(block: Block, number: int, word: int, in_bits: bool) -> Found:
    address = block.address + number
    names = [
        signal.name if signal.bit is None else f"{signal.name} (bit {signal.bit})"
        for signal in block.signals
        if signal.address <= address < signal.end
    ]
    value = str(word) if in_bits else f"{word} (0x{word:04x})"
    return Found(1, f"{block.table} {address}", ", ".join(names) or "no signal", value)


def _examination(
    spec: ConveyorSpec,
    checks: Sequence[Check],
    readings: Sequence[Reading] = (),
    p50_ms: float | None = None,
    p99_ms: float | None = None,
) -> Examination:
    address = f"{spec.connection.address} unit {spec.connection.unit}"
    return Examination(
        spec.id, "modbus", address, tuple(checks), tuple(readings), latency_p50_ms=p50_ms, latency_p99_ms=p99_ms
    )


def _handshake(connection: ModbusConnection, block: Block, answer: _Answer) -> list[Check]:
    """The first read; on a serial line also whether the device could be opened, as step `tcp`."""
    line = connection.serial
    checks = []
    if line is not None:
        opened = "can't be opened" not in answer.problem and "does not take these settings" not in answer.problem
        if not opened:
            return [
                Check("tcp", "bad", answer.problem, "plug the adapter in, correct `serial`, or stop the other program")
            ]
        checks.append(Check("tcp", "good", f"{line.device} is open ({line.baudrate} baud, parity {line.parity})"))
    if not answer.problem:
        said = f"with exception {exception_code(answer.reply)}" if answer.reply[0] & 0x80 else "with values"
        return [*checks, Check("handshake", "good", f"unit {connection.unit} answered to reading {block} {said}")]
    if line is not None:
        step = "check the unit number, baud rate, parity and stop bits, and that A and B are not swapped"
    elif connection.tls is not None:
        step = "check that the port is the TLS one, and ca_file, server_name and the gateway's own certificate"
    else:
        step = "check the unit number; many devices also refuse a client more than they have connections for"
    return [*checks, Check("handshake", "bad", answer.problem, step)]


def _security(connection: ModbusConnection) -> Check:
    if connection.serial is not None:
        text = "a serial line has neither login nor encryption"
        return Check("security", "doubtful", text, "keep cable and cabinet where only your own people are")
    if connection.tls is None:
        text = "in clear, and whoever reaches the port may write"
        return Check("security", "doubtful", text, "keep it in its own network, or use `tls` where the device has it")
    return Check("security", "good", f"TLS, with a certificate that {connection.tls.ca_file} has signed")


async def _identity(visit: _Visit) -> Check:
    request = ReadDeviceInformationRequest(read_code=_BASIC, object_id=0, dev_id=visit.unit)
    answer = await visit.ask("asking what it is", request)
    if answer.refusal:
        return Check("identity", "skipped", "the device does not tell what it is (function 43/14)")
    try:
        objects = device_objects(answer.reply)
    except ValueError as problem:
        return Check("identity", "doubtful", f"what the device tells of itself can't be understood: {problem}")
    told = [f"{name} {objects[n]}" for n, name in enumerate(_OBJECTS) if objects.get(n)]
    return Check("identity", "good", ", ".join(told) or "the device tells no name")


async def _readings(visit: _Visit, block: Block) -> list[Reading]:
    answer = await visit.block(block)
    if answer.refusal:
        return [Reading(signal.name, _place(signal), None, answer.refusal) for signal in block.signals]
    words = words_of(block.table, block.count, answer.reply[_VALUES:])
    readings = []
    for signal in block.signals:
        at = signal.address - block.address
        try:
            value = decode(signal, words[at : at + signal.registers], visit.layout, visit.flags.get(signal.name))
        except BadValueError as bad:
            readings.append(Reading(signal.name, _place(signal), None, str(bad)))
        else:
            readings.append(Reading(signal.name, _place(signal), value))
    return readings


def _place(signal: Bound) -> str:
    return f"{signal.table} {signal.address}" + ("" if signal.bit is None else f" bit {signal.bit}")


def _signals(readings: Sequence[Reading]) -> Check:
    bad = [reading for reading in readings if reading.problem]
    if not bad:
        return Check("signals", "good", f"all {len(readings)} signals were read")
    text = f"{len(bad)} of {len(readings)} signals are bad, the first is {bad[0].signal} at {bad[0].where}"
    return Check("signals", "bad", f"{text}: {bad[0].problem}", "correct the profile, or the device's register map")


async def _latency(visit: _Visit, profile: Profile) -> tuple[Check, float | None, float | None]:
    samples_ns: list[int] = []
    for _ in range(SAMPLES):
        begun_ns = time.monotonic_ns()
        answer = await visit.block(visit.blocks[0])
        if answer.problem:
            return Check("latency", "bad", answer.problem, "is the network or the line overloaded?"), None, None
        samples_ns.append(time.monotonic_ns() - begun_ns)
    p50_ms, p99_ms = quantiles_ms(samples_ns)
    fast = sum(block.poll == "fast" for block in visit.blocks)
    text = f"{SAMPLES} reads of {visit.blocks[0]}: {p50_ms:.1f} ms at the median, {p99_ms:.1f} ms at p99"
    verdict: Verdict = "good"
    step = ""
    if fast * p50_ms > profile.fast_poll_ms:
        verdict = "doubtful"
        text += f"; {fast} fast blocks take {fast * p50_ms:.0f} ms, more than fast_poll_ms {profile.fast_poll_ms}"
        step = "raise fast_poll_ms, set `poll: slow` where that does, or let the signals lie closer together"
    return Check("latency", verdict, text, step), p50_ms, p99_ms
