"""A planted bug and who finds it: a seeded run with the bug in it, and the same run without it.

Planting means changing our own code for the time of one run, so here, and only here, it is patched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gateway.shell.config import load
from gateway.simulation.disk import Disk
from gateway.simulation.run import Options, Outcome, Run
from gateway.simulation.watch import Violation
from gateway.site import Site
from plc_simulators import layout
from plc_simulators.layout import Layout

DEMO = Path(__file__).resolve().parents[3] / "config" / "demo"
SEEDS = (2, 1, 3, 4, 5)
CALM = Options(hours=0.05)
"""Three minutes without a fault, and then until all is done."""
POWER = Options(hours=0.05, kinds=("power_cut",), fault_mean_s=20)

Plant = Callable[[pytest.MonkeyPatch], None]
Scene = Callable[[Run], None]


@cache
def world() -> tuple[Site, Layout]:
    site = load(DEMO, {}).site
    assert site is not None, "the demo site has errors"
    return site, layout.read(DEMO, {})


def built(seed: int, options: Options) -> Run:
    return Run(*world(), seed, options)


def simulated(seed: int, options: Options, scene: Scene | None = None) -> Outcome:
    """One run; `scene` may change the plant before it begins."""
    run = built(seed, options)
    if scene is not None:
        scene(run)
    return run.go()


without = cache(simulated)


def forget_synced(patch: pytest.MonkeyPatch) -> None:
    """A disk with a write cache that no battery buffers: a power cut, and only that, takes synced records along."""
    lose = Disk.lose

    def forgetful(self: Disk, *, power: bool) -> bool:
        if power:
            del self.records[-300:]
            self.snapshots = [s for s in self.snapshots if s[0] <= len(self.records)]
        return lose(self, power=power)

    patch.setattr(Disk, "lose", forgetful)


def caught(
    checker: str, plant: Plant, options: Options = CALM, scene: Scene | None = None, seeds: tuple[int, ...] = SEEDS
) -> Violation:
    """The violation that `checker` reports in the first of the seeds in which it does; it reports none, and nobody
    else does, in the same run without the bug. Fails where the bug stays unseen or only others see it."""
    told = []
    for seed in seeds:
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            violation = simulated(seed, options, scene).violation
        if violation is not None and violation.checker == checker:
            sound = without(seed, options, scene).violation
            assert sound is None, f"seed {seed} without the bug: {sound.checker}: {sound.text}"
            return violation
        told.append(f"seed {seed}: " + (f"{violation.checker}: {violation.text}" if violation else "nothing found"))
    pytest.fail(f"'{checker}' has not found the bug: {told}")
