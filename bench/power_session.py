"""One life of the real journal up to a power cut, and the look at what the cut has left."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

from bench import power_layout
from bench.power_disk import WAYS, Disk, Way
from bench.power_ledger import Batch, Found, Ledger, Verdict
from bench.power_vfs import BESIDE, Power, PowerVfs
from gateway.shell.journal import JournalError
from gateway.shell.journal.sqlite import FILE, SqliteJournal

SITE_ID = "power-bench"
SESSION_S_MAX = 60.0
GROUPS_MAX = 40
"""Enough of the heavy ones to fill the WAL up to its checkpoint."""
GROUPS_TO_REST_MAX = 8
BATCHES_MAX = 5
RECORDS_MAX = 4
BODY_BYTES = (0, 20, 300, 300, 3_000)
BODY_HEAVY_BYTES = (20_000, 60_000, 120_000)
STATE_BYTES = (10, 5_000, 30_000)
JOURNAL_BYTES_MAX = 150_000
"""A journal that has to make room makes it beyond this."""
BASE_EVERY = 100

CREATION, MIGRATION, REOPENING = "at creation", "in migration", "at reopening"
WRITE, BEFORE_SYNC, AFTER_SYNC = "in write", "before sync", "after sync"
CHECKPOINT, SNAPSHOT, WITNESS, COMPACTION = "in checkpoint", "in snapshot", "in witness", "in compaction"
CLOSING, REST = "at closing", "at rest"
PHASES: dict[str, int] = {
    CREATION: 29, MIGRATION: 19, REOPENING: 19, WRITE: 200, BEFORE_SYNC: 20, AFTER_SYNC: 20, SNAPSHOT: 100,
    WITNESS: 20, COMPACTION: 60, CHECKPOINT: 1_100, CLOSING: 20, REST: 1,
}  # fmt: skip
"""When the power goes → up to which of these moments. A session that has fewer of them is cut at rest."""
MANY_SNAPSHOTS = (SNAPSHOT, WITNESS, COMPACTION)

Files = dict[str, bytes]


@dataclass(frozen=True)
class Plan:
    """In which phase the power goes, at which moment of it, and what arrives of what was not synced."""

    phase: str
    moment: int
    way: Way
    closes: bool
    """The journal is closed at the end, so that the cut is in there or after it."""

    @classmethod
    def drawn(cls, rng: random.Random, after: str) -> Plan:
        """Any phase; what a cut at creation or in a migration has left is often cut again while it is completed."""
        again = after in (CREATION, MIGRATION) and rng.random() < 0.5
        phase = REOPENING if again else rng.choice(list(PHASES))
        closes = phase == CLOSING or (phase == REST and rng.random() < 0.5)
        return cls(phase, rng.randint(1, PHASES[phase]), rng.choice(WAYS), closes)


@dataclass(frozen=True)
class Cut:
    """What came of a session. `left`: what lies in the folder afterwards, None where the folder itself is gone."""

    phase: str
    way: Way
    left: Files | None
    changes: int


@dataclass
class _Fuse:
    """Burns through at the planned moment; what is acknowledged later is acknowledged to nobody."""

    plan: Plan
    rng: random.Random
    ledger: Ledger
    activity: str
    power: Power = field(init=False)
    cut: Cut | None = None
    seen: int = 0

    def moment(self, kind: str, what: str) -> None:
        """Called by whichever thread writes, before the next thing happens on the disk."""
        phase = self._phase(kind, what)
        self.seen += phase == self.plan.phase
        if phase == self.plan.phase and self.seen >= self.plan.moment:
            self.burn(phase)

    def burn(self, phase: str) -> None:
        with self.power.lock:
            if self.cut is None:
                disk = self.power.disk
                self.power.on = False
                self.cut = Cut(phase, self.plan.way, disk.after_cut(self.rng, self.plan.way), disk.changes)
                self.ledger.frozen = True

    def _phase(self, kind: str, what: str) -> str:
        if self.activity not in ("", SNAPSHOT):
            return self.activity
        if kind == BESIDE:
            return WITNESS
        if kind == "file":
            return CHECKPOINT
        return COMPACTION if self.power.removing else self.activity or what


def first_files(root: Path, plan: Plan, ledger: Ledger, rng: random.Random) -> Files | None:
    """What a journal's life begins with: nothing, or for a migration the file of an older gateway."""
    if plan.phase != MIGRATION:
        return None
    root.mkdir(parents=True)
    power_layout.write(root / FILE, SITE_ID, ledger, rng)
    return {FILE: (root / FILE).read_bytes()}


def _open(folder: Path) -> SqliteJournal:
    return SqliteJournal.open(folder, SITE_ID, bytes_max=JOURNAL_BYTES_MAX, base_every=BASE_EVERY)


async def live(root: Path, files: Files | None, ledger: Ledger, plan: Plan, rng: random.Random, vfs: PowerVfs) -> Cut:
    """Open the journal on `files` in a folder of `root`, write to it as `ledger` goes on, and lose the power."""
    folder = root / "journal"
    lay(folder, files)
    opening = MIGRATION if plan.phase == MIGRATION else REOPENING if files else CREATION
    fuse = _Fuse(plan, rng, ledger, opening)
    fuse.power = vfs.switch_on(folder, Disk(files or {}, named=files is not None), fuse.moment)
    async with asyncio.timeout(SESSION_S_MAX):
        journal = _open(folder)
        fuse.activity = ""
        await _write(journal, ledger, fuse)
        if plan.closes:
            fuse.activity = CLOSING
            await journal.close()
        fuse.burn(REST)
        vfs.power = None
        await journal.close()
    assert fuse.cut is not None, "the fuse has burnt through, here at the latest"
    return fuse.cut


async def _write(journal: SqliteJournal, ledger: Ledger, fuse: _Fuse) -> None:
    """Groups of batches, several batches on their way at once, and a snapshot now and then."""
    rng, phase = fuse.rng, fuse.plan.phase
    heavy = phase == CHECKPOINT or (phase == CLOSING and rng.random() < 0.2)
    to_rest = phase in (REST, CLOSING) and not heavy
    for _ in range(rng.randint(1, GROUPS_TO_REST_MAX) if to_rest else GROUPS_MAX):
        if not fuse.power.on:
            return
        group = [_batch(ledger, rng, heavy) for _ in range(rng.randint(1, BATCHES_MAX))]
        beside = [_keep(journal, ledger, rng)] if ledger.acknowledged and rng.random() < 0.1 else []
        await asyncio.gather(*(_commit(journal, ledger, batch) for batch in group), *beside)
        if fuse.power.on and rng.random() < (0.8 if phase in MANY_SNAPSHOTS else 0.2):
            fuse.activity = SNAPSHOT
            await _keep(journal, ledger, rng)
            fuse.activity = ""


def _batch(ledger: Ledger, rng: random.Random, heavy: bool) -> Batch:
    first = ledger.last_seq + 1
    sizes = BODY_HEAVY_BYTES if heavy else BODY_BYTES
    records = tuple(
        (first + place, rng.getrandbits(60), rng.randbytes(rng.choice(sizes)))
        for place in range(rng.randint(1, RECORDS_MAX))
    )
    before = ledger.batches[-1] if ledger.batches else None
    batch = Batch(records, ((before.first, before.last, rng.randbytes(16)),) if before else ())
    ledger.batches.append(batch)
    return batch


async def _commit(journal: SqliteJournal, ledger: Ledger, batch: Batch) -> None:
    await journal.commit(batch.records, batch.drawn)
    ledger.acknowledge(batch)


async def _keep(journal: SqliteJournal, ledger: Ledger, rng: random.Random) -> None:
    seq = ledger.batches[ledger.acknowledged - 1].last
    state = ledger.snapshots.setdefault(seq, rng.randbytes(rng.choice(STATE_BYTES)))
    await journal.save_snapshot(seq, seq, state)
    ledger.acknowledge_snapshot(seq)


async def look(root: Path, left: Files | None, ledger: Ledger) -> Verdict:
    """Open what a cut has left, as the next start does, and hold it against `ledger`, which goes on from there."""
    folder = root / "journal"
    lay(folder, left)
    try:
        journal = _open(folder)
    except JournalError as error:
        return Verdict(lost=ledger.acknowledged, problem=str(error))
    try:
        after = journal.first_seq - 1
        found = Found(after + 1, [*journal.read(after)], [*journal.read_drawn(after)], journal.latest_snapshot())
        verdict = ledger.verdict(found)
        ledger.go_on_from(found)
    except JournalError as error:
        verdict = Verdict(problem=str(error))
    finally:
        await journal.close()
    return verdict


def lay(folder: Path, files: Files | None) -> None:
    """Make `folder` hold just these files; None: there is no such folder."""
    if files is None:
        return
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
