"""Room: what stands in a place and what is on its way to it never exceeds what fits; the rest waits where it is."""

from __future__ import annotations

from small_plant import Hall

from gateway.contract import AnnounceLoad, RemoveLoad, StepRequest
from gateway.dispatch import explain


def test_no_more_loads_are_sent_to_a_bench_than_fit(staffed: Hall) -> None:
    staffed.work_forever = True
    loads = [staffed.put() for _ in range(5)]
    for load in loads:
        staffed.order(f"W-{load}", StepRequest("pick", "work", load, "WS1", skill="pick"))
    staffed.run(240)
    assert len(staffed.plant.places["WS1-BENCH"].loads()) == 2
    assert staffed.notes("trip failed") == []
    assert staffed.kernel.state.trips == {}
    waiting = [load for load in loads if staffed.where(load) == "RACK-1"]
    assert len(waiting) == 3
    for load in waiting:
        assert "WS1-BENCH has no room: 2 of 2" in explain.order(staffed.kernel.state, f"W-{load}")[0]
    # One is done and taken away: exactly one more is fetched.
    done = staffed.plant.places["WS1-BENCH"].loads()[0]
    staffed.cancel(f"W-{done}")
    staffed.must(RemoveLoad(done))
    staffed.plant.places["WS1-BENCH"].give(done)
    staffed.run(240)
    assert len(staffed.plant.places["WS1-BENCH"].loads()) == 2
    assert sum(staffed.where(load) == "RACK-1" for load in waiting) == 2


def test_loads_for_a_full_conveyor_are_held_where_they_are(staffed: Hall) -> None:
    staffed.plant.fault("lane_full", "S1", True, lane=9)
    loads = [staffed.put("RACK-4") for _ in range(11)]
    for load in loads:
        staffed.ship(load)
    zones = staffed.plant.conveyors["C1"].zones
    staffed.until(lambda: sum(bool(z.load) for z in zones) == 8, limit_s=1500)
    staffed.run(120)
    assert sum(bool(z.load) for z in zones) == 8
    held = [load for load in loads if staffed.where(load) == "RACK-4"]
    assert len(held) == 3
    assert "C1.1 has no room: 8 of 8" in explain.order(staffed.kernel.state, f"O-{held[0]}")[0]
    staffed.plant.fault("lane_full", "S1", False, lane=9)
    staffed.until_ended(limit_s=1500)
    staffed.until_quiet()
    assert {staffed.state_of(o) for o in staffed.orders} == {"finished"}


def test_room_that_was_kept_for_a_load_is_given_back_when_it_turns_up_elsewhere(staffed: Hall) -> None:
    for vehicle in staffed.plant.vehicles:
        staffed.plant.fault("agv_failure", vehicle, vehicle != "AGV1")
    staffed.run(1)
    load = staffed.put("RACK-4")
    order = staffed.order("W", StepRequest("pick", "work", load, "WS1", skill="pick"))
    assert load in staffed.kernel.state.coming["WS1-BENCH"]
    staffed.plant.places["RACK-4"].give(load)
    staffed.plant.places["WS1-BENCH"].take(load)
    staffed.must(AnnounceLoad(load, "WS1-BENCH"))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    for vehicle in staffed.plant.vehicles:
        staffed.plant.fault("agv_failure", vehicle, False)
    staffed.until_quiet()
