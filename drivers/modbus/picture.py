"""What a device's registers show: replies taken block by block, decoded only where something has changed. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from drivers.modbus.registers import BIT_TABLES, Block, Flag, Layout, decode
from drivers.signals import LIFE_SIGNS, BadValueError
from gateway.contract import Scalar


def words_of(table: str, count: int, values: bytes) -> tuple[int, ...]:
    """The registers, or the bits as 0 and 1, of the values in a reply: what follows its byte count."""
    if table in BIT_TABLES:
        return tuple(values[n >> 3] >> (n & 7) & 1 for n in range(count))
    return struct.unpack(f">{len(values) // 2}H", values)


_STRETCH = 16
"""Registers that are compared in one go."""
News = tuple[bool, Sequence[BadValueError]]
"""Whether a value other than a life sign has changed, and what was bad."""
_NOTHING_NEW: News = (False, ())


class RegisterPicture:
    """The device's values as last read: what has not changed is neither unpacked nor decoded again."""

    def __init__(
        self,
        blocks: Sequence[Block],
        layout: Layout,
        flags: Mapping[str, Flag] | None = None,
        constants: Mapping[str, Scalar] | None = None,
    ) -> None:
        self.blocks = tuple(blocks)
        self.values: dict[str, Scalar] = {}
        self.problem = ""
        """What keeps the values from being trusted; empty when every block has been read and is good."""
        self._layout = layout
        self._flags = flags or {}
        self._constants = dict(constants or {})
        self._at = [_by_register(block) for block in self.blocks]
        self.forget()

    def forget(self) -> None:
        """Begin anew after a reconnect: nothing counts as read."""
        self.values.clear()
        self.values.update(self._constants)
        count = len(self.blocks)
        self._data: list[bytes] = [b""] * count
        self._words: list[Sequence[int]] = [()] * count
        self._refused: list[tuple[object, str] | None] = [None] * count
        self._bad: list[set[str]] = [set() for _ in range(count)]
        self._judge()

    def take_reply(self, index: int, data: bytes) -> News:
        """Note one reply's values as they stand on the wire; the same bytes as last time cost one comparison."""
        if data == self._data[index]:
            return _NOTHING_NEW
        block = self.blocks[index]
        news = self.take(index, words_of(block.table, block.count, data))
        self._data[index] = data if self._words[index] else b""
        return news

    def take(self, index: int, words: Sequence[int]) -> News:
        """The same for registers or bits. The same bad content is told once, not at every poll."""
        block, before = self.blocks[index], self._words[index]
        if len(words) != block.count:
            size = "short" if len(words) < block.count else "too long a"
            count = f"{len(words)} of {block.count} registers"
            return False, self.refuse(index, count, f"{size} reply: check the device's register map")
        if words == before:
            return False, []
        if before:
            numbers: Sequence[int] = self._changed(index, before, words)
        else:
            numbers = range(len(block.signals))
        self._words[index] = words
        bad_names = self._bad[index]
        changed, bad = bool(bad_names) or self._refused[index] is not None, []
        for number in numbers:
            signal = block.signals[number]
            at = signal.address - block.address
            try:
                value = decode(signal, words[at : at + signal.registers], self._layout, self._flags.get(signal.name))
            except BadValueError as problem:
                bad.append(problem)
                bad_names.add(signal.name)
                continue
            bad_names.discard(signal.name)
            if signal.name not in self.values or self.values[signal.name] != value:
                self.values[signal.name] = value
                changed = changed or signal.name not in LIFE_SIGNS
        if self.problem or bad or self._refused[index] is not None:
            self._refused[index] = None
            self._judge()
        return changed, bad

    def refuse(self, index: int, value: object, problem: str) -> list[BadValueError]:
        """Note that a block could not be read at all; empty when the same was told last time."""
        told = self._refused[index] == (value, problem)
        self._refused[index] = (value, problem)
        self._data[index], self._words[index] = b"", ()
        self._judge()
        return [] if told else [BadValueError(str(self.blocks[index]), value, problem)]

    def _changed(self, index: int, before: Sequence[int], words: Sequence[int]) -> list[int]:
        at = self._at[index]
        found: dict[int, None] = {}
        for start in range(0, len(words), _STRETCH):
            # Slices are compared at the speed of C; most stretches of a block have not changed.
            old, new = before[start : start + _STRETCH], words[start : start + _STRETCH]
            if old != new:
                for n, (one, other) in enumerate(zip(old, new, strict=True), start):
                    if one != other:
                        found.update(at[n])
        return list(found)

    def _judge(self) -> None:
        for index, block in enumerate(self.blocks):
            if not self._words[index] or self._bad[index]:
                self.problem = f"{block} can't be read or holds a bad value: check the profile"
                return
        self.problem = ""


def _by_register(block: Block) -> list[dict[int, None]]:
    """Which signals of a block each of its registers or bits belongs to, by their numbers in it."""
    at: list[dict[int, None]] = [{} for _ in range(block.count)]
    for number, signal in enumerate(block.signals):
        for address in range(signal.address, signal.end):
            at[address - block.address][number] = None
    return at
