"""The campaign: runtime, drivers, pymodbus and asyncua as they are, on both sides of the wire, on virtual time.

More of it: STELLWERK_STACK_SEEDS=30 STELLWERK_STACK_MINUTES=10 pytest tests/simulation/stacks/test_real_stacks.py -rP
(and STELLWERK_STACK_FIRST for the first seed).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stack_faults import KINDS, timetable
from stack_run import Options, Run

FIRST = int(os.environ.get("STELLWERK_STACK_FIRST", "1"))
SEEDS = int(os.environ.get("STELLWERK_STACK_SEEDS", "5"))
MINUTES = float(os.environ.get("STELLWERK_STACK_MINUTES", "3"))
SHORT = Options(trouble_s=45.0, total_s=45.0, fault_mean_s=4.0, kinds=("crash", "cable_pulled", "server_closed"))
PRINT_DIGEST = """
import sys
sys.path.insert(0, sys.argv[1])
from stack_run import Options, Run
options = Options(trouble_s=45.0, total_s=45.0, fault_mean_s=4.0, kinds=("crash", "cable_pulled", "server_closed"))
outcome = Run(int(sys.argv[2]), options).go()
print(outcome.digest, outcome.steps)
"""


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_orders_end_and_nothing_is_lost_or_done_twice_whatever_breaks(seed: int) -> None:
    outcome = Run(seed, Options.minutes(MINUTES)).go()
    print(outcome.figures())  # noqa: T201 - what `-rP` is for
    assert outcome.violation is None, outcome.story()
    assert not outcome.last_words
    assert outcome.orders["finished"] > 0
    assert outcome.executed > 0
    assert outcome.died_in.total() > 0


def test_the_same_seed_gives_the_same_journal_in_another_process_with_another_hash_seed() -> None:
    here = Run(77, SHORT).go()
    assert here.violation is None, here.story()
    assert here.died_in.total() > 0
    command = [sys.executable, "-c", PRINT_DIGEST, str(Path(__file__).parent), "77"]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    there = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    assert there.stdout.split() == [here.digest, str(here.steps)]
    other = Run(78, SHORT).go()
    assert other.digest != here.digest


def test_every_kind_of_fault_is_drawn() -> None:
    drawn = {fault.kind for seed in range(1, 6) for fault in timetable(seed, 420.0, 9.0)}
    assert drawn == set(KINDS)
