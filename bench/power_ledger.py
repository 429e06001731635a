"""What was handed to the journal and what it acknowledged, held against what is there after a power cut. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Record = tuple[int, int, bytes]
"""seq, at_ns, body"""
Drawn = tuple[int, int, bytes]
"""first and last seq of an earlier batch, digest of its effects"""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one commit hands over: inputs, and what earlier ones drew. All of it is stored, or nothing."""

    records: tuple[Record, ...]
    drawn: tuple[Drawn, ...] = ()

    @property
    def first(self) -> int:
        return self.records[0][0]

    @property
    def last(self) -> int:
        return self.records[-1][0]


@dataclass
class Found:
    """What an opened journal shows: the inputs from `first_seq` on, what they drew, and its newest snapshot."""

    first_seq: int = 1
    records: Sequence[Record] = ()
    drawn: Sequence[Drawn] = ()
    snapshot: tuple[int, bytes] | None = None

    @property
    def last_seq(self) -> int:
        return self.records[-1][0] if self.records else self.first_seq - 1

    @property
    def snapshot_seq(self) -> int:
        return self.snapshot[0] if self.snapshot else 0


@dataclass
class Verdict:
    """What a cut did to the journal; all zero and empty is good."""

    lost: int = 0
    """Acknowledged batches that are not there."""
    torn: int = 0
    """Batches of which only a part is there."""
    snapshots_lost: int = 0
    """1 where the newest acknowledged snapshot is not there, nor a newer one."""
    problem: str = ""
    """What is there and was never written so, or why nothing can be read."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.torn or self.snapshots_lost or self.problem)


@dataclass
class Ledger:
    """One journal's life over many cuts. Batches are in the order in which they were handed over."""

    batches: list[Batch] = field(default_factory=list)
    acknowledged: int = 0
    """So many batches from the first: they are answered in order."""
    snapshots: dict[int, bytes] = field(default_factory=dict)
    """All that were handed over: seq → state."""
    snapshot_acknowledged: int = 0
    frozen: bool = False
    """The power has gone: what is acknowledged from now on, nobody hears."""

    @property
    def last_seq(self) -> int:
        return self.batches[-1].last if self.batches else 0

    def acknowledge(self, batch: Batch) -> None:
        """The commit of `batch` has returned, and so, the journal being in order, has that of all before it."""
        for place in range(len(self.batches), self.acknowledged, -1):
            if self.batches[place - 1] is batch and not self.frozen:
                self.acknowledged = place
                return

    def acknowledge_snapshot(self, seq: int) -> None:
        if not self.frozen:
            self.snapshot_acknowledged = max(self.snapshot_acknowledged, seq)

    def verdict(self, found: Found) -> Verdict:
        """Hold what was read back against what was promised."""
        last = found.last_seq
        verdict = Verdict()
        for number, batch in enumerate(self.batches):
            if batch.last > last:
                verdict.lost += number < self.acknowledged
                verdict.torn += batch.first <= last
        verdict.snapshots_lost = int(found.snapshot_seq < self.snapshot_acknowledged)
        verdict.problem = next((text for text in self._problems(found) if text), "")
        return verdict

    def _problems(self, found: Found) -> list[str]:
        first, last = found.first_seq, found.last_seq
        records = [r for batch in self.batches for r in batch.records if first <= r[0] <= last]
        drawn = [d for batch in self.batches if batch.last <= last for d in batch.drawn if d[0] >= first]
        seq = found.snapshot_seq
        return [
            _difference("input", found.records, records),
            _difference("what was drawn from input", found.drawn, drawn),
            f"snapshot {seq} is newer than the last input {last}" if seq > last else "",
            f"inputs after snapshot {seq} up to {first - 1} made room" if seq < first - 1 else "",
            f"snapshot {seq} is not what was written"
            if found.snapshot is not None and self.snapshots.get(seq) != found.snapshot[1]
            else "",
        ]

    def go_on_from(self, found: Found) -> None:
        """What was found counts as acknowledged from now on, what was not is forgotten: it will be numbered anew."""
        self.batches = [batch for batch in self.batches if batch.last <= found.last_seq]
        self.acknowledged = len(self.batches)
        self.snapshots = {seq: state for seq, state in self.snapshots.items() if seq <= found.snapshot_seq}
        self.snapshot_acknowledged = found.snapshot_seq
        self.frozen = False


def _difference(what: str, found: Sequence[Record], written: Sequence[Record]) -> str:
    """ "" where they are the same."""
    if list(found) == list(written):
        return ""
    wrong = next((a[0] for a, b in zip(found, written, strict=False) if a != b), len(written))
    return f"{what} {wrong} is not what was written ({len(found)} found, {len(written)} expected)"
