"""The slice of the simulation that every test run does: some seeds with all faults, and every fault shown to strike."""

from __future__ import annotations

import pytest
from planted import CALM, built, simulated

from gateway.simulation.faults import KINDS
from gateway.simulation.run import Options
from gateway.simulation.server import CRASH_POINTS
from gateway.simulation.timeline import SECOND

ALL = Options(hours=0.25, kinds=tuple(KINDS))
SEEDS = range(7001, 7009)
TOGETHER = 4
GROUPS = [tuple(KINDS)[i : i + TOGETHER] for i in range(0, len(KINDS), TOGETHER)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_quarter_of_an_hour_with_all_faults_breaks_no_rule(seed: int) -> None:
    outcome = simulated(seed, ALL)
    assert outcome.violation is None, f"stellwerk simulate --seeds 1 --first {seed} --hours 0.25 --faults all"
    assert outcome.orders.keys() <= {"finished", "failed", "cancelled"}
    assert outcome.orders["finished"] > 0
    assert outcome.faults.total() > 0


@pytest.mark.parametrize("kinds", GROUPS, ids="-".join)
def test_every_kind_of_fault_strikes_and_breaks_no_rule(kinds: tuple[str, ...]) -> None:
    outcome = simulated(1, Options(hours=0.07, kinds=kinds, fault_mean_s=5))
    assert outcome.violation is None
    assert {kind for kind in kinds if not outcome.faults[kind]} == set()


def test_the_process_dies_at_every_point_of_its_way_and_breaks_no_rule() -> None:
    run = built(1, Options(hours=0.12))
    points = list(CRASH_POINTS)

    def let_die() -> None:
        if points and run.server.engine is not None and run.server.crashes == len(CRASH_POINTS) - len(points):
            run.server.crash_at(points.pop(0))

    run.timeline.every(10 * SECOND, let_die)
    outcome = run.go()
    assert outcome.violation is None
    assert outcome.crashes == len(CRASH_POINTS), f"it did not die at {CRASH_POINTS[outcome.crashes]}"
    assert outcome.compared == len(CRASH_POINTS) + 1


def test_a_run_without_faults_sorts_and_finishes_all_that_was_ordered() -> None:
    outcome = simulated(1, CALM)
    assert outcome.violation is None
    assert outcome.faults.total() == outcome.crashes == outcome.retries == outcome.moved == outcome.resolved == 0
    assert outcome.sorted > 0
    assert set(outcome.orders) == {"finished"}
    assert outcome.compared == 1
