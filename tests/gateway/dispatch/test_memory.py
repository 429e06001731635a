"""What a kernel remembers from turn to turn saves work and changes nothing: without it, the same inputs give the same
effects and the same state."""

from __future__ import annotations

import msgspec
import pytest
from small_plant import Hall, MakeHall

from gateway import codec
from gateway.contract import Effect, Input, SignOff, SignOn, StepRequest
from gateway.dispatch import phases
from gateway.dispatch.memory import Memory
from gateway.dispatch.turn import Turn
from gateway.kernel import Kernel
from gateway.site import Site


class Forgetful(Kernel):
    """Remembers nothing, and goes through all phases in every turn."""

    def apply(self, entered: Input) -> list[Effect]:
        self.state.now_ns = max(self.state.now_ns, entered.at_ns)
        self.state.seq = entered.seq
        turn = Turn(self.site, self.floor, self.state, Memory(self.floor, self.state))
        self._enter(turn, entered.body)
        turn.memory = Memory(self.floor, self.state)
        phases.run_all(turn)
        return turn.effects


def bad_day(hall: Hall, orders: int) -> None:
    """Orders while lines jam, links drop, PLCs and the gateway restart, people go home, and loads are carried off."""
    plant, rng = hall.plant, hall.rng
    hall.staff()
    hall.stream(orders)
    hall.run(40)
    plant.fault("jam", "C1", True, zone=6)
    hall.run(rng.uniform(5, 25))
    hall.cut("AGV2")
    hall.must(SignOff("ben"))
    hall.run(rng.uniform(5, 25))
    plant.fault("jam", "C1", False, zone=6)
    plant.fault("agv_failure", "AGV3", True)
    plant.fault("plc_restart", "S1")
    hall.connect("AGV2")
    hall.restart()
    hall.run(rng.uniform(5, 25))
    for number in range(1, 13):
        plant.conveyors["C1"].take_away(number)
    plant.fault("slow_plc", "RC1", True, delay_ms=3_000)
    hall.run(rng.uniform(5, 25))
    plant.fault("agv_failure", "AGV3", False)
    plant.fault("lane_full", "S1", True, lane=9)
    hall.cut("C1")
    hall.must(SignOn("ben", "WS2"))
    hall.run(rng.uniform(5, 25))
    hall.connect("C1")
    hall.restart()
    plant.fault("plc_restart", "C1")
    plant.fault("lane_full", "S1", False, lane=9)
    hall.run(80)


def quiet_day(hall: Hall) -> None:
    """Little happens, and what is waited for is nothing but a moment: a time limit, or the end of a pause."""
    plant = hall.plant
    for vehicle in plant.vehicles:
        hall.cut(vehicle)
    hall.put("RC1-IN")
    hall.run(15)
    hall.put("C2-IN", announce=False)
    hall.put("C1-IN")
    hall.run(45)
    first = hall.put("C1-IN")
    hall.ship(first)
    hall.until(lambda: hall.really(first) == "C1/zone 4")
    plant.take_away(first)
    hall.run(40)
    second = hall.put("C1-IN")
    hall.until(lambda: hall.really(second) == "S1/belt")
    plant.sorters["S1"].belt.clear()
    hall.run(40)
    plant.controllers()["C1"].mailbox.epoch = 99
    hall.put("C1-IN")
    hall.run(60)
    for vehicle in ("AGV1", "AGV2"):
        plant.fault("agv_failure", vehicle, True)
        hall.connect(vehicle)
    for number, rack in enumerate(("RACK-3", "RACK-4")):
        hall.order(f"last-{number}", StepRequest("go", "move", hall.put("RACK-1"), rack))
    hall.run(20)
    for vehicle in ("AGV1", "AGV2"):
        plant.fault("agv_failure", vehicle, False)
        hall.until(lambda vehicle=vehicle: vehicle in hall.kernel.state.trips, limit_s=5)
        hall.run(3)
        plant.fault("agv_failure", vehicle, True)
        hall.run(5)
    for vehicle in ("AGV1", "AGV2"):
        plant.fault("agv_failure", vehicle, False)
    hall.until(lambda: any(trip.picked for trip in hall.kernel.state.trips.values()))
    hall.cancel("last-0")
    hall.run(150)


def first_difference(site: Site, journal: list[tuple[int, int, bytes]]) -> str:
    """The first input after which the two do not say or know the same; "" where there is none."""
    kernel, forgetful = Kernel(site), Forgetful(site)
    for seq, at_ns, data in journal:
        entered = codec.stamp(seq, at_ns, data)
        one, two = kernel.apply(entered), forgetful.apply(entered)
        if msgspec.msgpack.encode(one) != msgspec.msgpack.encode(two):
            return f"input {seq}, {entered.body}: {one} with a memory, {two} without"
        if kernel.next_deadline_ns() != forgetful.next_deadline_ns():
            return f"input {seq}, {entered.body}: another deadline"
        if kernel.snapshot() != forgetful.snapshot():
            return f"input {seq}, {entered.body}: another state"
    return ""


@pytest.mark.parametrize("seed", [21, 23])
def test_a_bad_day_goes_the_same_with_a_memory_and_without(make_hall: MakeHall, site: Site, seed: int) -> None:
    hall = make_hall(seed=seed, no_read_share=0.1)
    bad_day(hall, 24)
    assert hall.notes("device restarted")
    assert hall.kernel.state.tally.loads_lost or hall.kernel.state.tally.rejects
    assert first_difference(site, hall.journal) == ""


def test_what_is_done_at_a_moment_is_done_at_that_moment_with_a_memory_too(make_hall: MakeHall, site: Site) -> None:
    """Nothing else happens then that would make the phases run."""
    hall = make_hall()
    quiet_day(hall)
    told = {key.partition("/")[2].partition(" ")[0] for key in hall.kernel.state.alarms}
    assert told >= {"lost", "not", "stranger", "load", "keeps-refusing"}
    assert first_difference(site, hall.journal) == ""


def test_phases_are_skipped_at_all(make_hall: MakeHall, site: Site) -> None:
    """Else the test before compares a kernel with itself."""
    hall = make_hall()
    hall.run(3)
    memory = hall.kernel._memory
    assert not memory.touched
    assert memory.due_ns > hall.kernel.state.now_ns
