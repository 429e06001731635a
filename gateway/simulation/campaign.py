"""Many runs, each from its own seed, over several processes; and the search for the fewest faults that break a rule."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from gateway.shell.config import as_text, load
from gateway.simulation.faults import KINDS
from gateway.simulation.run import Options, Outcome, Run
from gateway.site import Site
from plc_simulators import layout
from plc_simulators.layout import Layout

SHRINK_RUNS_MAX = 80
WAITING_MAX = 4
"""Runs handed to each process ahead: enough to keep it busy, few enough to stop soon."""


class SiteUnusable(ValueError):
    """The site can't be simulated; the text says why."""


@dataclass(frozen=True)
class Plan:
    """Which runs: `seeds` of them from seed `first` on, on the site in `site` with the variables `env`."""

    site: Path
    env: tuple[tuple[str, str], ...]
    first: int
    seeds: int
    options: Options
    workers: int = 1


def run_all(plan: Plan) -> Iterator[Outcome]:
    """The outcomes in the order of the seeds. Raises SiteUnusable before the first one."""
    _world(plan.site, plan.env)
    seeds = range(plan.first, plan.first + plan.seeds)
    if plan.workers == 1:
        yield from (run_one(plan, seed) for seed in seeds)
        return
    # Spawned, not forked: a run must not depend on what this process has done before.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(plan.workers, mp_context=context) as pool:
        try:
            under_way: list[Future[Outcome]] = []
            for seed in seeds:
                under_way.append(pool.submit(run_one, plan, seed))
                if len(under_way) >= plan.workers * WAITING_MAX:
                    yield under_way.pop(0).result()
            for future in under_way:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def run_one(plan: Plan, seed: int) -> Outcome:
    """One run."""
    site, plant = _world(plan.site, plan.env)
    return Run(site, plant, seed, plan.options).go()


@cache
def _world(path: Path, env: tuple[tuple[str, str], ...]) -> tuple[Site, Layout]:
    loaded = load(path, dict(env))
    if loaded.site is None:
        raise SiteUnusable(as_text(loaded.problems, loaded.sources))
    if loaded.site.sort_plan is None:
        raise SiteUnusable(f"{path} has no sort plan: the simulated hosts order sorts; see config/demo")
    try:
        return loaded.site, layout.read(path, dict(env))
    except layout.LayoutError as error:
        raise SiteUnusable(str(error)) from error


def shrink(plan: Plan, failed: Outcome, tell: Callable[[int], None]) -> Outcome:
    """The same seed with as few faults as still break the same rule; `tell` hears how many are left.

    Takes out halves, then quarters, and so on, while the run goes on to fail; at most SHRINK_RUNS_MAX runs.
    """
    assert failed.violation is not None, "only a failed run can be shrunk"
    runs, best = 0, failed
    chunk = max(1, len(best.timetable) // 2)
    while runs < SHRINK_RUNS_MAX:
        left = [fault.index for fault in best.timetable]
        smaller = False
        for begin in range(0, len(left), chunk):
            if runs >= SHRINK_RUNS_MAX:
                break
            keep = tuple(left[:begin] + left[begin + chunk :])
            runs += 1
            outcome = run_one(replace(plan, options=replace(plan.options, keep=keep)), failed.seed)
            if outcome.violation is not None and outcome.violation.checker == failed.violation.checker:
                best, smaller = outcome, True
                tell(len(best.timetable))
                break
        if not smaller:
            if chunk == 1:
                break
            chunk = max(1, chunk // 2)
        else:
            chunk = max(1, min(chunk, len(best.timetable) // 2))
    return best


class Figures:
    """What all runs add up to."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seeds = 0
        self.simulated_s = 0.0
        self.core_s = 0.0
        self.inputs = 0
        self.retries = 0
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.orders: Counter[str] = Counter()
        self.quiet_after_s = 0.0
        self.violations: list[Outcome] = []
        self._digest = blake2b(digest_size=16)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.simulated_s += outcome.simulated_s
        self.core_s += outcome.real_s
        self.inputs += outcome.inputs
        for name in ("crashes", "power_cuts", "sorted", "retries", "compared", "resolved", "moved"):
            self.counts[name] += getattr(outcome, name)
        self.faults.update(outcome.faults)
        self.orders.update(outcome.orders)
        self.quiet_after_s = max(self.quiet_after_s, outcome.quiet_after_s)
        self._digest.update(outcome.digest.encode())
        if outcome.violation is not None:
            self.violations.append(outcome)

    def never_fired(self) -> list[str]:
        """Kinds of faults that were asked for and never struck."""
        return [kind for kind in KINDS if kind in self.plan.options.kinds and not self.faults[kind]]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`. Times are seconds of simulated time, but for `core_s`: what the runs have taken."""
        return {
            "seeds": self.seeds,
            "first": self.plan.first,
            "sim_hours": round(self.simulated_s / 3600, 3),
            "core_s": round(self.core_s, 1),
            "times_real_time": round(self.simulated_s / self.core_s, 1) if self.core_s else 0.0,
            "inputs": self.inputs,
            "inputs_per_s": round(self.inputs / self.core_s, 1) if self.core_s else 0.0,
            "faults": dict(sorted(self.faults.items())),
            "faults_total": self.faults.total(),
            "never_fired": self.never_fired(),
            **self.counts,
            "orders": dict(sorted(self.orders.items())),
            "quiet_after_s_max": round(self.quiet_after_s, 1),
            "violations": len(self.violations),
            "violated": [_violated(outcome) for outcome in self.violations],
            "digest": self._digest.hexdigest(),
        }


def _violated(outcome: Outcome) -> dict[str, Any]:
    violation = outcome.violation
    assert violation is not None, "only runs with a violation are listed"
    return {
        "seed": outcome.seed,
        "checker": violation.checker,
        "at_s": round(violation.at_ns / 1e9, 3),
        "text": violation.text,
        "faults": [str(fault) for fault in outcome.timetable],
    }
