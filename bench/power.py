"""Does the journal keep what it has acknowledged when the power goes? Cuts of the real journal on a simulated disk.

    python -m bench.power [--cuts N] [--seed S] [--control] [--json FILE] [--keep FOLDER]

The real `SqliteJournal` and the real SQLite work on a VFS that knows what was synced. At a chosen moment (in a write,
before or after a sync, in a checkpoint, at creation …) the power goes: of what was not synced there is left what
chance wants, torn at sectors and in any order. Then the journal is opened again: every batch whose commit had
returned must be there, in order and unchanged, beyond them at most whole batches, and the newest snapshot; and then it
goes on writing, up to the next cut. Exit code 1 where anything is missing.

`--control` does the same with `synchronous=NORMAL`, which must lose batches, and on a disk that ignores syncs, which
must damage journals: a disk on which nothing can go wrong proves nothing. The journal's writer is a thread, so a seed
gives the same plans, but not each time the same interleaving: `--keep` saves what the disk held after each bad cut.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from bench.power_disk import WAYS
from bench.power_ledger import Ledger, Verdict
from bench.power_session import CREATION, MIGRATION, PHASES, Cut, Files, Plan, first_files, lay, live, look
from bench.power_vfs import Fault, PowerVfs, plugged

CUTS = 1_000
CUTS_ON_ONE_MAX = 8
"""A journal is cut so often at the most, then the next one begins."""
CONTROL_CUTS_MAX = 200
SHOWN_MAX = 10
CONTROLS: dict[Fault, str] = {"normal": "synchronous=NORMAL", "deaf": "a disk that ignores syncs"}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where something was lost, or where the control lost nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=CUTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help=f"then up to {CONTROL_CUTS_MAX} cuts of each control")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep there what bad cuts have left")
    options = parser.parse_args(arguments)
    found = campaign(options.cuts, options.seed, keep=options.keep)
    print(found.as_text("synchronous=FULL, as the journal sets it"))
    numbers = found.as_json()
    good = found.good
    numbers["control"] = {}
    for fault, title in CONTROLS.items() if options.control else ():
        control = campaign(min(options.cuts, CONTROL_CUTS_MAX), options.seed, fault)
        print(control.as_text(f"control: {title}"))
        numbers["control"][title] = control.as_json()
        if not proves(fault, control):
            print(f"{title} has done no harm, so this bench proves NOTHING")
            good = False
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0 if good else 1


@dataclass
class Campaign:
    """What came of many cuts."""

    seed: int
    fault: Fault = ""
    cuts: int = 0
    handed_over: int = 0
    acknowledged: int = 0
    kept_unacknowledged: int = 0
    changes: int = 0
    lost: int = 0
    torn: int = 0
    snapshots_lost: int = 0
    damaged: int = 0
    cuts_with_losses: int = 0
    wall_s: float = 0.0
    by_phase: Counter[str] = field(default_factory=Counter)
    losses_by_phase: Counter[str] = field(default_factory=Counter)
    by_way: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What the journal has logged as one."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.torn or self.snapshots_lost or self.damaged or self.errors)

    def count(self, cut: Cut, verdict: Verdict) -> None:
        self.cuts += 1
        self.changes += cut.changes
        self.by_phase[cut.phase] += 1
        self.by_way[cut.way] += 1
        self.lost += verdict.lost
        self.torn += verdict.torn
        self.snapshots_lost += verdict.snapshots_lost
        self.damaged += bool(verdict.problem)
        if not verdict.good:
            self.cuts_with_losses += 1
            self.losses_by_phase[cut.phase] += 1
            self.bad.append(f"cut {self.cuts} {cut.phase}, {cut.way} arrived: {verdict}")

    def as_json(self) -> dict[str, Any]:
        names = ("seed", "cuts", "handed_over", "acknowledged", "kept_unacknowledged", "changes", "lost", "torn")
        numbers = {name: getattr(self, name) for name in (*names, "snapshots_lost", "damaged", "cuts_with_losses")}
        by = {"cuts_by_phase": dict(self.by_phase), "cuts_by_what_arrived": dict(self.by_way)}
        return {
            **numbers,
            **by,
            "errors_logged": len(self.errors),
            "bad": self.bad[: 1 if self.fault else SHOWN_MAX],
            "wall_s": round(self.wall_s, 1),
        }

    def as_text(self, title: str) -> str:
        lines = [title, f"{'power cut':<16}{'cuts':>7}{'with losses':>13}"]
        lines += [f"{p:<16}{self.by_phase[p]:>7}{self.losses_by_phase[p]:>13}" for p in PHASES]
        lines += [
            f"{'all':<16}{self.cuts:>7}{self.cuts_with_losses:>13}",
            "arrived of the unsynced: " + ", ".join(f"{way} {self.by_way[way]}" for way in WAYS),
            f"batches: {self.acknowledged} acknowledged, {self.lost} of them lost, {self.torn} torn, "
            f"{self.kept_unacknowledged} kept beyond what was acknowledged; {self.snapshots_lost} snapshots lost; "
            f"{self.damaged} times damaged",
            f"{self.changes} writes to the disk, {self.wall_s:.1f} s",
            *self.bad[: 1 if self.fault else SHOWN_MAX],
            *(f"logged: {text}" for text in self.errors[: 1 if self.fault else SHOWN_MAX]),
        ]
        return "\n".join(lines) + "\n"


def proves(fault: Fault, control: Campaign) -> bool:
    """Whether a control shows that losses, and with a deaf disk damage, would be seen."""
    return control.lost > 0 and (control.damaged > 0 or fault != "deaf")


def campaign(cuts: int, seed: int, fault: Fault = "", *, keep: Path | None = None) -> Campaign:
    """`cuts` power cuts; with a `fault`, a control."""
    found = Campaign(seed, fault)
    begun_s = time.monotonic()
    with plugged(fault) as vfs, tempfile.TemporaryDirectory(prefix="bench-power-") as scratch, capture_logs() as logged:
        asyncio.run(_cut_by_cut(cuts, found, vfs, Path(scratch), keep))
    found.errors = [str(line) for line in logged if line["log_level"] in ("error", "critical")]
    found.wall_s = time.monotonic() - begun_s
    return found


async def _cut_by_cut(cuts: int, found: Campaign, vfs: PowerVfs, scratch: Path, keep: Path | None) -> None:
    ledger, cuts_on_this, phase = Ledger(), CUTS_ON_ONE_MAX, ""
    files: Files | None = None
    for number in range(1, cuts + 1):
        rng = random.Random(f"{found.seed}/{number}")
        plan = Plan.drawn(rng, phase)
        root = scratch / str(number)
        if plan.phase in (CREATION, MIGRATION) or cuts_on_this >= CUTS_ON_ONE_MAX:
            ledger, cuts_on_this = Ledger(), 0
            files = first_files(root / "first", plan, ledger, rng)
        before = len(ledger.batches)
        cut = await live(root / "lived", files, ledger, plan, rng, vfs)
        found.handed_over += len(ledger.batches) - before
        acknowledged = ledger.acknowledged
        found.acknowledged += acknowledged - before
        verdict = await look(root / "looked", cut.left, ledger)
        found.kept_unacknowledged += max(0, ledger.acknowledged - acknowledged)
        found.count(cut, verdict)
        if not verdict.good and keep is not None and found.cuts_with_losses <= SHOWN_MAX:
            lay(keep / f"seed-{found.seed}-cut-{number}", cut.left)
        files, phase = cut.left, cut.phase
        cuts_on_this = cuts_on_this + 1 if verdict.good else CUTS_ON_ONE_MAX
        await asyncio.to_thread(shutil.rmtree, root)


if __name__ == "__main__":
    sys.exit(main())
