"""Modbus registers and scalars: decoding, encoding, and which blocks to read. Pure.

A register is an int of 0 … 65535 as the wire gives it (big-endian within a register); `Layout` says whether
the device swaps bytes or words.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from drivers.signals import BadValueError, Bound, WriteRefusedError
from gateway.contract import Scalar

REGISTERS_MAX = 125
BITS_MAX = 2000
WRITE_BITS_MAX = 1968
WRITE_REGISTERS_MAX = 123
GAP_MAX = 32
"""Unused registers worth reading along: cheaper than a second request."""
_RANGE = {
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint64": (0, 2**64 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "bcd16": (0, 9_999),
    "bcd32": (0, 99_999_999),
}
_FLOATS = {"float32": ">f", "float64": ">d"}
BIT_TABLES = ("coil", "discrete")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the device lays values out; big-big is Modbus as written.

    Byte order and word order together are what manuals call ABCD (big, big), CDAB (big, little), BADC (little,
    big) and DCBA (little, little). `string_byte_order`: of texts, "" where it is that of the numbers.
    """

    byte_order: str = "big"
    word_order: str = "big"
    string_byte_order: str = ""

    def arrange(self, words: Sequence[int], *, text: bool = False) -> list[int]:
        """Bring the bytes in words from the device's order to big or back (its own inverse)."""
        order = self.string_byte_order if text and self.string_byte_order else self.byte_order
        if order == "little":
            return [(word >> 8) | ((word & 0xFF) << 8) for word in words]
        return list(words)

    def number(self, words: Sequence[int]) -> list[int]:
        """Bring the words of one number to big-big or back (its own inverse)."""
        arranged = self.arrange(words)
        if self.word_order == "little":
            arranged.reverse()
        return arranged


@dataclass(frozen=True, slots=True)
class Flag:
    """A bool that a register's number stands for: see `mask`, `equals` and `known` of a profile's signal."""

    mask: int
    equals: frozenset[int]
    known: frozenset[int]


def decode(bound: Bound, words: Sequence[int], layout: Layout, flag: Flag | None = None) -> Scalar:
    """The value of one signal from its `bound.registers` words. Raises BadValueError."""
    if flag is not None:
        (word,) = layout.arrange(words[:1])
        word &= flag.mask
        if flag.known and word not in flag.known:
            raise BadValueError(
                bound.name, word, f"none of {', '.join(map(str, sorted(flag.known)))}: is it the register?"
            )
        return word in flag.equals if flag.equals else bool(word)
    if bound.table in BIT_TABLES:
        return bool(words[0])
    if bound.type == "bool":
        (word,) = layout.arrange(words[:1])
        return bool(word >> bound.bit & 1) if bound.bit is not None else bool(word)
    if bound.type == "string":
        return _text(bound, layout.arrange(words, text=True))
    data = b"".join(word.to_bytes(2, "big") for word in layout.number(words))
    raw: int | float
    if bound.type in _FLOATS:
        raw = struct.unpack(_FLOATS[bound.type], data)[0]
        if not math.isfinite(raw):
            raise BadValueError(bound.name, raw, "not a finite number")
    elif bound.type.startswith("bcd"):
        if not data.hex().isdecimal():
            raise BadValueError(bound.name, f"0x{data.hex()}", "not a BCD number: a digit is beyond 9")
        raw = int(data.hex())
    else:
        raw = int.from_bytes(data, "big", signed=bound.type.startswith("int"))
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
            # As whole registers it would mean writing back fifteen bits of others: `plan_writes` masks it instead.
            raise WriteRefusedError(
                f"signal {bound.name} is a bit of a register: it can't be written as a whole register"
            )
        # A register like any other is swapped; a coil is one bit and has no bytes.
        return [int(bool(value))] if bound.table in BIT_TABLES else layout.arrange([int(bool(value))])
    if bound.type == "string":
        data = str(value).encode("utf-8")
        if len(data) > 2 * bound.registers:
            raise WriteRefusedError(f"signal {bound.name}: {value!r} has {len(data)} bytes, {2 * bound.registers} fit")
        return layout.arrange(_words(data.ljust(2 * bound.registers, b"\0")), text=True)
    if isinstance(value, str) or value is None or not math.isfinite(value):
        raise WriteRefusedError(f"signal {bound.name}: {value!r} is not a number")
    return layout.number(_words(_number(bound, value)))


def _words(data: bytes) -> list[int]:
    return [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]


def _number(bound: Bound, value: float) -> bytes:
    """A finite number as the big-endian bytes of its type. Raises WriteRefusedError."""
    if bound.type in _FLOATS:
        try:
            return struct.pack(_FLOATS[bound.type], value / bound.scale)
        except OverflowError:
            raise WriteRefusedError(f"signal {bound.name}: {value!r} does not fit {bound.type}") from None
    raw = int(value) if bound.scale == 1.0 else round(value / bound.scale)
    if bound.scale == 1.0 and raw != value:
        raise WriteRefusedError(f"signal {bound.name}: {value!r} is no whole number, as {bound.type} needs")
    low, high = _RANGE[bound.type]
    if not low <= raw <= high:
        raise WriteRefusedError(f"signal {bound.name}: {raw} does not fit {bound.type} ({low} to {high})")
    size = 2 * bound.registers
    return (
        bytes.fromhex(f"{raw:0{2 * size}d}")
        if bound.type.startswith("bcd")
        else (raw.to_bytes(size, "big", signed=low < 0))
    )


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
    end = 0
    for signal in readable:
        if _touches(signal.address, signal.end, forbidden):
            raise ValueError(f"signal {signal.name} at {signal.table} {signal.address} lies in a forbidden range")
        if runs and _joins(runs[-1][0], end, signal, forbidden):
            runs[-1].append(signal)
            end = max(end, signal.end)
        else:
            runs.append([signal])
            end = signal.end
    return [
        Block(run[0].table, run[0].address, max(s.end for s in run) - run[0].address, run[0].poll, tuple(run))
        for run in runs
    ]


def _joins(first: Bound, end: int, signal: Bound, forbidden: Sequence[tuple[int, int]]) -> bool:
    """The signal fits into the block that begins with `first` and reaches to `end`."""
    size_max = BITS_MAX if signal.table in BIT_TABLES else REGISTERS_MAX
    return (
        (first.poll, first.table) == (signal.poll, signal.table)
        and signal.address - end <= GAP_MAX
        and max(end, signal.end) - first.address <= size_max
        and not _touches(end, signal.address, forbidden)
    )


def _touches(first: int, end: int, forbidden: Sequence[tuple[int, int]]) -> bool:
    return any(low < end and first <= high for low, high in forbidden)


# --- writing ---


@dataclass(frozen=True, slots=True)
class Write:
    """One write of contiguous registers or coils; `decisive` when it carries the sequence number.

    `mask`: the bits of the one register that are written (function 22); 0 where all of them are.
    """

    table: str
    address: int
    words: tuple[int, ...]
    decisive: bool = False
    mask: int = 0

    def __str__(self) -> str:
        bits = f" bits 0x{self.mask:04x}" if self.mask else ""
        return f"{self.table} {self.address}…{self.address + len(self.words) - 1}{bits}"


def plan_writes(values: Sequence[tuple[Bound, Scalar]], layout: Layout) -> list[Write]:
    """The write requests for a command whose last value decides: one where the registers, or the coils, are contiguous.

    Gaps are never filled, since what lies in them is not ours; bits of one register are one masked write, which
    leaves its other bits alone. The last value is written last, in the same request as what lies right before it.
    Raises WriteRefusedError.
    """
    *payload, (decisive, _) = values
    in_order = sorted(payload, key=lambda item: (item[0].table, item[0].address))
    writes: list[Write] = []
    for signal, value in [*in_order, values[-1]]:
        if signal.table not in ("holding", "coil"):
            raise WriteRefusedError(f"signal {signal.name} lies in table {signal.table!r}, which can't be written")
        new = _write(signal, value, layout)
        if writes and _follows(writes[-1], new):
            writes[-1] = replace(writes[-1], words=writes[-1].words + new.words)
        elif writes and new.mask and writes[-1].mask and writes[-1].address == new.address:
            both = writes[-1].words[0] | new.words[0]
            writes[-1] = replace(writes[-1], words=(both,), mask=writes[-1].mask | new.mask)
        else:
            writes.append(new)
    assert writes, f"a command without {decisive.name}"
    return [*writes[:-1], replace(writes[-1], decisive=True)]


def _write(signal: Bound, value: Scalar, layout: Layout) -> Write:
    if signal.bit is None or signal.table != "holding":
        return Write(signal.table, signal.address, tuple(encode(signal, value, layout)))
    (mask,) = layout.arrange([1 << signal.bit])
    return Write(signal.table, signal.address, (mask if value else 0,), mask=mask)


def _follows(run: Write, new: Write) -> bool:
    return (
        new.table == run.table
        and not run.mask
        and not new.mask
        and run.address + len(run.words) == new.address
        and len(run.words) + len(new.words) <= (WRITE_BITS_MAX if run.table == "coil" else WRITE_REGISTERS_MAX)
    )
