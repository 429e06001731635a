"""Modbus registers and scalars: decoding, encoding, and which blocks to read. Pure.

A register is an int of 0 … 65535 as the wire gives it (big-endian within a register); `Layout` says whether
the device swaps bytes or words.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drivers.signals import LIFE_SIGNS, BadValueError, Bound, WriteRefusedError
from gateway.contract import Scalar

REGISTERS_MAX = 125
BITS_MAX = 2000
WRITE_REGISTERS_MAX = 123
GAP_MAX = 32
"""Unused registers worth reading along: cheaper than a second request."""
_RANGE = {
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
_BIT_TABLES = ("coil", "discrete")


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte order within a register and word order of 32-bit values; big-big is Modbus as written."""

    byte_order: str = "big"
    word_order: str = "big"

    def arrange(self, words: Sequence[int]) -> list[int]:
        """Bring words from the device's order to big-big or back (its own inverse)."""
        arranged = list(words)
        if self.byte_order == "little":
            arranged = [(word >> 8) | ((word & 0xFF) << 8) for word in arranged]
        return arranged


def decode(bound: Bound, words: Sequence[int], layout: Layout) -> Scalar:
    """The value of one signal from its `bound.registers` words. Raises BadValueError."""
    if bound.table in _BIT_TABLES:
        return bool(words[0])
    arranged = layout.arrange(words)
    if bound.type == "bool":
        return bool(arranged[0] >> bound.bit & 1) if bound.bit is not None else bool(arranged[0])
    if bound.type == "string":
        return _text(bound, arranged)
    if len(arranged) == 2 and layout.word_order == "little":
        arranged.reverse()
    raw: int | float
    if len(arranged) == 1:
        raw = arranged[0] - 0x1_0000 if bound.type == "int16" and arranged[0] >= 0x8000 else arranged[0]
    else:
        number = arranged[0] << 16 | arranged[1]
        if bound.type == "float32":
            raw = struct.unpack(">f", number.to_bytes(4, "big"))[0]
            if not math.isfinite(raw):
                raise BadValueError(bound.name, raw, "not a finite number")
        else:
            raw = number - 0x1_0000_0000 if bound.type == "int32" and number >= 0x8000_0000 else number
    return raw if bound.scale == 1.0 else raw * bound.scale


def _text(bound: Bound, arranged: list[int]) -> str:
    data = b"".join(word.to_bytes(2, "big") for word in arranged).split(b"\0", 1)[0]
    try:
        return data.decode("utf-8").rstrip(" ")
    except UnicodeDecodeError:
        raise BadValueError(bound.name, data, "not a UTF-8 text") from None


def encode(bound: Bound, value: Scalar, layout: Layout) -> list[int]:
    """The words of one value. Raises WriteRefusedError where the value does not fit the signal."""
    if bound.type == "bool":
        if bound.bit is not None:
            # Setting one bit means writing back fifteen that belong to others: a race with the PLC.
            raise WriteRefusedError(
                f"signal {bound.name} is a bit of a register: only whole registers and coils can be written"
            )
        return [int(bool(value))]
    if bound.type == "string":
        data = str(value).encode("utf-8")
        if len(data) > 2 * bound.registers:
            raise WriteRefusedError(f"signal {bound.name}: {value!r} has {len(data)} bytes, {2 * bound.registers} fit")
        data = data.ljust(2 * bound.registers, b"\0")
        return layout.arrange([data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)])
    if isinstance(value, str) or value is None:
        raise WriteRefusedError(f"signal {bound.name}: {value!r} is not a number")
    if bound.type == "float32":
        words = list(struct.unpack(">HH", struct.pack(">f", value / bound.scale)))
    else:
        raw = int(value) if bound.scale == 1.0 else round(value / bound.scale)
        low, high = _RANGE[bound.type]
        if not low <= raw <= high:
            raise WriteRefusedError(f"signal {bound.name}: {raw} does not fit {bound.type} ({low} to {high})")
        words = [raw & 0xFFFF] if bound.registers == 1 else [raw >> 16 & 0xFFFF, raw & 0xFFFF]
    if len(words) == 2 and layout.word_order == "little":
        words.reverse()
    return layout.arrange(words)


# --- reading in blocks ---


@dataclass(frozen=True, slots=True)
class Block:
    """One read request: `count` registers (or bits) of `table` from `address`, and the signals in it."""

    table: str
    address: int
    count: int
    poll: str
    signals: tuple[Bound, ...]

    def __str__(self) -> str:
        return f"{self.table} {self.address}…{self.address + self.count - 1}"


def plan(signals: Iterable[Bound], forbidden: Sequence[tuple[int, int]] = ()) -> list[Block]:
    """Read requests for all signals that are read, never touching a `forbidden` (first, last) range.

    Signals of one poll class and table share a block when at most GAP_MAX registers lie between them. Raises
    ValueError where a signal itself lies in a forbidden range.
    """
    readable = sorted((s for s in signals if not s.writable), key=lambda s: (s.poll, s.table, s.address))
    runs: list[list[Bound]] = []
    for signal in readable:
        if _touches(signal.address, signal.end, forbidden):
            raise ValueError(f"signal {signal.name} at {signal.table} {signal.address} lies in a forbidden range")
        if runs and _joins(runs[-1], signal, forbidden):
            runs[-1].append(signal)
        else:
            runs.append([signal])
    return [
        Block(run[0].table, run[0].address, max(s.end for s in run) - run[0].address, run[0].poll, tuple(run))
        for run in runs
    ]


def _joins(run: list[Bound], signal: Bound, forbidden: Sequence[tuple[int, int]]) -> bool:
    first, end = run[0], max(s.end for s in run)
    size_max = BITS_MAX if signal.table in _BIT_TABLES else REGISTERS_MAX
    return (
        (first.poll, first.table) == (signal.poll, signal.table)
        and signal.address - end <= GAP_MAX
        and max(end, signal.end) - first.address <= size_max
        and not _touches(end, signal.address, forbidden)
    )


def _touches(first: int, end: int, forbidden: Sequence[tuple[int, int]]) -> bool:
    return any(low < end and first <= high for low, high in forbidden)


class RegisterPicture:
    """The device's values as last read; only blocks whose raw words have changed are decoded."""

    def __init__(self, blocks: Sequence[Block], layout: Layout) -> None:
        self.blocks = tuple(blocks)
        self.values: dict[str, Scalar] = {}
        self._layout = layout
        self._raw: list[object] = [None] * len(self.blocks)
        self._bad: set[int] = set()

    @property
    def problem(self) -> str:
        """What keeps the values from being trusted; empty when every block has been read and is good."""
        bad = sorted(self._bad | {index for index, raw in enumerate(self._raw) if raw is None})
        return f"{self.blocks[bad[0]]} can't be read or holds a bad value: check the profile" if bad else ""

    def forget(self) -> None:
        """Begin anew after a reconnect: nothing counts as read."""
        self.values.clear()
        self._bad.clear()
        self._raw = [None] * len(self.blocks)

    def take(self, index: int, words: Sequence[int]) -> tuple[bool, list[BadValueError]]:
        """Note one reply: whether a value other than a life sign has changed, and what in it was bad.

        The same bad content is told once, not at every poll.
        """
        block = self.blocks[index]
        if self._raw[index] == words:
            return False, []
        if len(words) < block.count:
            short = f"{len(words)} of {block.count} registers"
            return False, self.refuse(index, short, "short reply: check the device's register map")
        self._raw[index] = list(words)
        changed, bad = False, []
        for signal in block.signals:
            at = signal.address - block.address
            try:
                value = decode(signal, words[at : at + signal.registers], self._layout)
            except BadValueError as problem:
                bad.append(problem)
                continue
            if signal.name not in self.values or self.values[signal.name] != value:
                self.values[signal.name] = value
                changed = changed or signal.name not in LIFE_SIGNS
        was_bad = index in self._bad
        (self._bad.add if bad else self._bad.discard)(index)
        return changed or was_bad, bad

    def refuse(self, index: int, value: object, problem: str) -> list[BadValueError]:
        """Note that a block could not be read at all; empty when the same was told last time."""
        self._bad.add(index)
        if self._raw[index] == (value, problem):
            return []
        self._raw[index] = (value, problem)
        return [BadValueError(str(self.blocks[index]), value, problem)]


# --- writing ---


@dataclass(frozen=True, slots=True)
class Write:
    """One write of contiguous registers or one coil; `decisive` when it carries the sequence number."""

    table: str
    address: int
    words: tuple[int, ...]
    decisive: bool = False


def plan_writes(values: Sequence[tuple[Bound, Scalar]], layout: Layout) -> list[Write]:
    """The write requests for a command whose last value decides: one where the registers are contiguous.

    Gaps are never filled, since what lies in them is not ours. The last value is written last, in the same
    request as what lies right before it. Raises WriteRefusedError.
    """
    *payload, (decisive, _) = values
    in_order = sorted(payload, key=lambda item: (item[0].table, item[0].address))
    runs: list[tuple[Bound, list[int]]] = []
    for signal, value in [*in_order, values[-1]]:
        if signal.table not in ("holding", "coil"):
            raise WriteRefusedError(f"signal {signal.name} lies in table {signal.table!r}, which can't be written")
        words = encode(signal, value, layout)
        if runs and _follows(runs[-1], signal, len(words)):
            runs[-1][1].extend(words)
        else:
            runs.append((signal, words))
    last = len(runs) - 1
    assert runs, f"a command without {decisive.name}"
    return [Write(s.table, s.address, tuple(words), n == last) for n, (s, words) in enumerate(runs)]


def _follows(run: tuple[Bound, list[int]], signal: Bound, count: int) -> bool:
    first, words = run
    return (
        signal.table == first.table == "holding"
        and first.address + len(words) == signal.address
        and len(words) + count <= WRITE_REGISTERS_MAX
    )
