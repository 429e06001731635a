"""Many orders at once through the whole site: everything ends, nothing is lost, nobody comes too near to anybody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_plant import Hall, MakeHall, demo_layout, replayed

from gateway import codec
from gateway.contract import CreateOrder, OrderEvent, StepRequest
from gateway.kernel import Kernel
from gateway.site import Site


def carried_out(hall: Hall, count: int) -> None:
    hall.staff()
    hall.stream(count)
    hall.until(lambda: len(hall.orders) == count, limit_s=count * 20)
    hall.until_ended(limit_s=count * 40)
    hall.until_quiet()
    assert {order: hall.state_of(order) for order in hall.orders} == dict.fromkeys(hall.orders, "finished")
    assert set(hall.watch.orders) == set(hall.orders)
    lost = [load for load in hall.kernel.state.loads if not hall.really(load)]
    assert lost == []
    assert hall.kernel.state.tally.loads_lost == 0
    assert hall.alarms() == {}


def test_two_hundred_orders_of_the_demo_end_finished(make_hall: MakeHall) -> None:
    hall = make_hall(seed=1)
    carried_out(hall, 200)
    shipped = set(hall.plant.shipped)
    assert hall.kernel.state.tally.loads_shipped == len(shipped)
    assert shipped.isdisjoint(hall.kernel.state.loads)
    assert hall.kernel.state.tally.commands_repeated == 0


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_other_days_with_unreadable_codes_end_as_well(make_hall: MakeHall, seed: int) -> None:
    hall = make_hall(seed=seed, no_read_share=0.05)
    carried_out(hall, 28)


def test_the_urgent_one_is_served_before_the_one_that_waited_longer(make_hall: MakeHall, site: Site) -> None:
    one = site.model_copy(update={"policies": site.policies.model_copy(update={"orders_released_max": 1})})
    hall = make_hall(site=one)
    loads = [hall.put("RACK-1") for _ in range(4)]
    for load, priority in zip(loads, (3, 3, 1, 2), strict=True):
        hall.ship(load, priority=priority)
    hall.until_ended()
    began = [e.order for e in hall.effects if isinstance(e, OrderEvent) and e.state == "started"]
    assert began == [f"O-{loads[i]}" for i in (0, 2, 3, 1)]


def test_of_released_transports_the_urgent_one_gets_the_only_vehicle(hall: Hall) -> None:
    for vehicle in ("AGV2", "AGV3", "AGV4", "AGV5", "AGV6"):
        hall.cut(vehicle)
    loads = [hall.put("RACK-1") for _ in range(3)]
    for load, priority in zip(loads, (3, 3, 1), strict=True):
        hall.ship(load, priority=priority)
    hall.until_ended()
    began = [e.order for e in hall.effects if isinstance(e, OrderEvent) and e.state == "started"]
    # The first had the vehicle before the others came.
    assert began == [f"O-{loads[i]}" for i in (0, 2, 1)]


def test_an_earlier_deadline_goes_first_at_equal_priority(make_hall: MakeHall, site: Site) -> None:
    one = site.model_copy(update={"policies": site.policies.model_copy(update={"orders_released_max": 1})})
    hall = make_hall(site=one)
    loads = [hall.put("RACK-2") for _ in range(3)]
    for load, deadline_ns in zip(loads, (None, None, 10**18), strict=True):
        step = StepRequest("ship", "sort", load, "MUNICH")
        hall.must(CreateOrder(f"O-{load}", (step,), 3, deadline_ns))
    assert [name for *_, name in hall.kernel.state.queue] == [f"O-{loads[2]}", f"O-{loads[1]}"]


# --- the same inputs, the same everything ---


@pytest.fixture(scope="module")
def day(site: Site) -> Hall:
    """A small day with trouble in it, kept with all its inputs."""
    hall = Hall(site, demo_layout(), seed=7, no_read_share=0.1)
    hall.staff()
    hall.stream(12)
    hall.run(90)
    hall.cut("AGV3")
    hall.run(20)
    hall.connect("AGV3")
    hall.cancel(hall.orders[-1])
    hall.until_ended(limit_s=3000)
    return hall


def test_the_same_inputs_give_the_same_effects_and_the_same_snapshot(day: Hall, site: Site) -> None:
    digest, snapshot = replayed(site, day.journal)
    assert digest == day.digests[-1]
    assert snapshot == day.kernel.snapshot()


def test_a_restore_from_a_snapshot_in_between_makes_no_difference(day: Hall, site: Site) -> None:
    for place in (1, len(day.journal) // 3, len(day.journal) // 2, len(day.journal) - 1):
        digest, snapshot = replayed(site, day.journal, restore_after=place)
        assert (digest, snapshot) == (day.digests[-1], day.kernel.snapshot())


def test_another_process_with_another_hash_seed_comes_to_the_same(day: Hall, tmp_path: Path) -> None:
    journal = tmp_path / "journal.json"
    journal.write_text(json.dumps([(seq, at_ns, data.hex()) for seq, at_ns, data in day.journal]))
    child = Path(__file__).with_name("replay_child.py")
    ran = subprocess.run(
        [sys.executable, str(child), str(journal), str(len(day.journal) // 2)],
        env=os.environ | {"PYTHONHASHSEED": "4711"}, cwd=Path(__file__).parents[3],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    digest, snapshot = ran.stdout.split()
    assert digest == day.digests[-1].hex()
    assert snapshot == day.kernel.snapshot().hex()


def test_a_snapshot_of_a_restored_kernel_is_the_same_snapshot(day: Hall, site: Site) -> None:
    snapshot = day.kernel.snapshot()
    assert Kernel.restore(site, snapshot).snapshot() == snapshot
    assert codec.decode_state(snapshot).orders.keys() == day.kernel.state.orders.keys()


def test_the_process_may_die_and_start_again_at_any_time(make_hall: MakeHall) -> None:
    hall = make_hall(seed=9)
    hall.staff()
    hall.stream(10)
    for _ in range(8):
        hall.run(hall.rng.uniform(1, 25))
        hall.restart()
    hall.until(lambda: len(hall.orders) == 10)
    hall.until_ended(limit_s=3000)
    hall.until_quiet()
    assert {hall.state_of(o) for o in hall.orders} == {"finished"}
    assert {c.mailbox.repeated for c in hall.plant.controllers().values()} == {0}
