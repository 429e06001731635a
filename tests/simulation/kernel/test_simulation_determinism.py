"""The same seed gives the same run: twice, in another process, with other hashes, over several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from planted import DEMO, simulated, without, world

from gateway.simulation.campaign import Figures, Plan, run_all
from gateway.simulation.faults import KINDS, chosen, timetable
from gateway.simulation.run import Options

STELLWERK = Path(sys.executable).with_name("stellwerk")
FAULTS = "crash,power_cut,delay,reordering,link_drop,no_read,late_cancel,load_taken,host_retries"
DENSE = Options(hours=0.05, kinds=tuple(KINDS), fault_mean_s=6)
REAL_TIME = {"core_s", "times_real_time", "inputs_per_s"}


@cache
def figures(workers: int) -> dict[str, Any]:
    plan = Plan(DEMO, (), 4, 2, Options(hours=0.06, kinds=chosen(FAULTS)), workers)
    found = Figures(plan)
    for outcome in run_all(plan):
        found.add(outcome)
    return alike(found.as_dict())


def alike(found: dict[str, Any]) -> dict[str, Any]:
    """What may not depend on the machine."""
    return {name: value for name, value in found.items() if name not in REAL_TIME}


def test_the_same_seed_gives_the_same_run() -> None:
    one, two = without(1, DENSE), simulated(1, DENSE)
    assert one.digest == two.digest
    assert replace(one, real_s=0.0) == replace(two, real_s=0.0)
    assert one.crashes > 0


def test_another_seed_gives_another_run() -> None:
    assert without(1, DENSE).digest != without(2, DENSE).digest


def test_the_faults_make_a_difference() -> None:
    assert simulated(1, replace(DENSE, keep=())).digest != without(1, DENSE).digest


def test_another_process_with_other_hashes_gives_the_same_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = [STELLWERK, "simulate", "--seeds", "2", "--first", "4", "--hours", "0.06", "--faults", FAULTS]
    done = subprocess.run(
        [*command, "--json", out],
        env={**os.environ, "PYTHONHASHSEED": "4711"}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert alike(json.loads(out.read_bytes())) == figures(1)


def test_two_processes_give_the_figures_of_one() -> None:
    assert figures(2) == figures(1)


def test_the_runs_that_are_compared_have_crashes_in_them() -> None:
    assert figures(1)["crashes"] > 0
    assert figures(1)["faults_total"] > 0


def test_a_timetable_comes_from_its_seed_alone() -> None:
    site, _ = world()
    assert timetable(site, 5, tuple(KINDS), 900, 10) == timetable(site, 5, tuple(KINDS), 900, 10)
    assert timetable(site, 5, tuple(KINDS), 900, 10) != timetable(site, 6, tuple(KINDS), 900, 10)
    assert timetable(site, 5, (), 900, 10) == ()
