"""A disk that can lose its power: what was written, what was synced, and what a cut leaves of it. Pure.

A sync makes a file's content durable, a folder's sync the names in it. Of all that came later a cut leaves what
chance wants, sector by sector: the old or any newer content, in any order, with any of the lengths that the file
had meanwhile, and of its names the old or any newer state. A sector is never a mixture; where a file has grown by
sectors that did not arrive, it reads as zeros, as noise, or as what another file left behind there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

SECTOR_BYTES = 512
LEFT_BEHIND_BYTES_MAX = 2**20
"""What is remembered of the last file that was removed or cut short."""

Way = Literal["nothing", "everything", "in order", "scattered", "holes", "late ones"]
WAYS: tuple[Way, ...] = ("nothing", "everything", "in order", "scattered", "holes", "late ones")
"""What arrives of the unsynced writes: none, all, all up to one that is torn, any, nearly all, only late ones."""
Fill = Callable[[int], bytes]
"""Sector number → what an unwritten sector reads as."""


@dataclass(slots=True)
class Change:
    """One unsynced write, or a truncation where `data` is None. `number` counts all of the disk's changes."""

    number: int
    offset: int
    data: bytes | None


@dataclass(slots=True, eq=False)
class Content:
    """A file's content, whatever it is called."""

    durable: bytes = b""
    pending: list[Change] = field(default_factory=list)

    def now(self) -> bytes:
        """What a process reads."""
        content = bytearray(self.durable)
        for change in self.pending:
            apply(content, change)
        return bytes(content)

    def sync(self) -> None:
        """All changes have arrived."""
        self.durable = self.now()
        self.pending = []


def apply(content: bytearray, change: Change) -> None:
    """Do to `content` what the file system does."""
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


class Disk:
    """One folder on a disk. `files`: what lies there durably to begin with; the folder's own name: see `named`."""

    def __init__(self, files: dict[str, bytes], *, named: bool) -> None:
        self.named = named
        """The folder's own name is durable: the folder above it was synced."""
        self.changes = 0
        self._names: dict[str, Content] = {name: Content(content) for name, content in files.items()}
        self._durable_names = dict(self._names)
        self._name_changes: dict[str, list[Content | None]] = {}
        self._left_behind = b""

    def content(self, name: str) -> Content:
        """What is called so now, created where nothing is."""
        if name not in self._names:
            self._names[name] = Content()
            self._name_changes.setdefault(name, []).append(self._names[name])
        return self._names[name]

    def change(self, content: Content, offset: int, data: bytes | None) -> None:
        """Write `data` at `offset`, or cut the file to that length where it is None."""
        self.changes += 1
        if data is None:
            self._left_behind = content.durable[:LEFT_BEHIND_BYTES_MAX]
        content.pending.append(Change(self.changes, offset, data))

    def remove(self, name: str) -> None:
        """Take the name away; the content is gone when no name has it any more."""
        gone = self._names.pop(name, None)
        if gone is not None:
            self._left_behind = gone.durable[:LEFT_BEHIND_BYTES_MAX]
            self._name_changes.setdefault(name, []).append(None)

    def rename(self, name: str, to: str) -> None:
        """Give a content another name, which whatever had it before loses."""
        self._names[to] = self._names.pop(name)
        self._name_changes.setdefault(to, []).append(self._names[to])
        self._name_changes.setdefault(name, []).append(None)

    def become(self, name: str, data: bytes) -> Content:
        """The file was written anew as a whole by somebody who does not tell each write."""
        content = self.content(name)
        if content.now() != data:
            self.change(content, 0, None)
            self.change(content, 0, data)
        return content

    def sync_names(self) -> None:
        """The folder was synced."""
        self._durable_names = dict(self._names)
        self._name_changes = {}

    def after_cut(self, rng: random.Random, way: Way) -> dict[str, bytes] | None:
        """What lies there when the power is back: name → content, None where the folder itself is gone."""
        if not self.named and (way == "nothing" or (way != "everything" and rng.random() < 0.5)):
            return None
        chooser = _Chooser(rng, way, self.changes, self._fill(rng))
        left = {}
        for name in sorted({*self._durable_names, *self._name_changes}):
            content = self._named_after_cut(rng, way, name)
            if content is not None:
                left[name] = chooser.left_of(content)
        return left

    def _named_after_cut(self, rng: random.Random, way: Way, name: str) -> Content | None:
        states = [self._durable_names.get(name), *self._name_changes.get(name, [])]
        if way == "nothing":
            return states[0]
        return states[-1] if way == "everything" else rng.choice(states)

    def _fill(self, rng: random.Random) -> Fill:
        kind, noise, left_behind = rng.randrange(3), rng.randbytes(SECTOR_BYTES), self._left_behind
        if kind == 0:
            return lambda _: bytes(SECTOR_BYTES)
        if kind == 1:
            return lambda _: noise
        return lambda n: left_behind[n * SECTOR_BYTES : (n + 1) * SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0")


class _Chooser:
    """Which of a sector's contents since the last sync is there after the cut. One per cut: "in order" and
    "late ones" draw one line through all files."""

    def __init__(self, rng: random.Random, way: Way, changes: int, fill: Fill) -> None:
        self._rng = rng
        self._way = way
        self._fill = fill
        self._line = rng.randint(max(0, changes - rng.choice((4, 40, 4_000))), changes)
        self._hole_share = rng.choice((0.02, 0.2))

    def left_of(self, content: Content) -> bytes:
        if not content.pending or self._way == "nothing":
            return content.durable
        sizes, sectors = _history(content)
        size = sizes[self._pick_size([number for number, _ in sizes])][1]
        left = bytearray(content.durable[:size])
        left.extend(bytes(-len(left) % SECTOR_BYTES))
        for sector in range(len(left) // SECTOR_BYTES, -(-size // SECTOR_BYTES)):
            left += self._fill(sector)
        for sector, versions in sorted(sectors.items()):
            start = sector * SECTOR_BYTES
            if start >= size:
                break
            picked = self._pick([0, *(number for number, _ in versions)])
            if picked:
                left[start : start + SECTOR_BYTES] = versions[picked - 1][1]
        del left[size:]
        return bytes(left)

    def _pick_size(self, numbers: list[int]) -> int:
        return self._rng.randrange(len(numbers)) if self._way == "late ones" else self._pick(numbers)

    def _pick(self, numbers: list[int]) -> int:
        """Index of what is there. `numbers`: of the changes that made each state, ascending, 0 for the durable one."""
        last = len(numbers) - 1
        if self._way == "scattered":
            return self._rng.randint(0, last)
        if self._way == "holes":
            return self._rng.randint(0, last) if self._rng.random() < self._hole_share else last
        if self._way == "late ones":
            return last if numbers[last] > self._line else 0
        if self._way == "in order":
            arrived = [i for i, number in enumerate(numbers) if number <= self._line]
            torn = numbers[arrived[-1]] == self._line and self._rng.random() < 0.5
            return arrived[-2 if torn and len(arrived) > 1 else -1]
        return last


Versions = dict[int, list[tuple[int, bytes]]]


def _history(content: Content) -> tuple[list[tuple[int, int]], Versions]:
    """The lengths since the last sync, the durable one first, and each touched sector's contents, each with the
    number of the change that made it."""
    now = bytearray(content.durable)
    sizes = [(0, len(now))]
    sectors: Versions = {}
    for change in content.pending:
        before = len(now)
        apply(now, change)
        if change.data is None:
            touched = range(change.offset // SECTOR_BYTES, -(-max(before, change.offset) // SECTOR_BYTES))
        else:
            start = min(change.offset, before)
            touched = range(start // SECTOR_BYTES, -(-(change.offset + len(change.data)) // SECTOR_BYTES))
        for sector in touched:
            piece = bytes(now[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]).ljust(SECTOR_BYTES, b"\0")
            sectors.setdefault(sector, []).append((change.number, piece))
        if len(now) != before:
            sizes.append((change.number, len(now)))
    return sizes, sectors
