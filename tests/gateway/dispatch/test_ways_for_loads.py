"""How loads can flow: the quicker of two ways, by several devices one after the other, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_maps import roadmap
from small_plant import Hall

from gateway.contract import AnnounceLoad, StepRequest
from gateway.dispatch import explain
from gateway.dispatch.floor import Floor
from gateway.site import (
    AgvSpec,
    ConveyorSpec,
    EdgeSpec,
    LocationSpec,
    MapSpec,
    NodeSpec,
    RunSpec,
    Site,
    SiteInfo,
    VdaConnection,
)

BRIDGE = """
site: {id: bridge, name: Two halls with a conveyor between them}
policies: {orders_released_max: 9}
map:
  clearance_mm: 900
  nodes:
    - {id: P1, x_mm: 0, y_mm: -3000}
    - {id: A, x_mm: 0, y_mm: 0}
    - {id: NL, x_mm: -3000, y_mm: 0}
    - {id: NIN, x_mm: 3000, y_mm: 0}
    - {id: NOUT, x_mm: 37000, y_mm: 0}
    - {id: F, x_mm: 40000, y_mm: 0}
    - {id: NR, x_mm: 43000, y_mm: 0}
    - {id: P2, x_mm: 40000, y_mm: -3000}
    - {id: ROAD, x_mm: 20000, y_mm: 9000}
  edges:
    - {from: A, to: P1, both_ways: true}
    - {from: A, to: NL, both_ways: true}
    - {from: A, to: NIN, both_ways: true}
    - {from: F, to: NOUT, both_ways: true}
    - {from: F, to: NR, both_ways: true}
    - {from: F, to: P2, both_ways: true}
    - {from: A, to: ROAD, both_ways: true, speed_max_mm_s: 100}
    - {from: ROAD, to: F, both_ways: true, speed_max_mm_s: 100}
locations:
  - {id: LEFT, kind: rack, capacity: 9, node: NL}
  - {id: C1-IN, kind: transfer, node: NIN}
  - {id: BUFFER, kind: rack, capacity: 1, node: NOUT}
  - {id: RIGHT, kind: rack, capacity: 3, node: NR}
devices:
  - id: C1
    type: conveyor
    driver: modbus
    profile: stellwerk-conveyor
    zones: 6
    runs: [{from: C1-IN, to: BUFFER, zone_first: 1, zone_last: 6, loads_max: 4}]
  - {id: V1, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v1}, home: P1}
  - {id: V2, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v2}, home: P2}
"""


def test_a_load_goes_by_vehicle_by_conveyor_and_by_another_vehicle(own_hall: Callable[[str], Hall]) -> None:
    """Room at the end of the way is kept for it from the beginning, and is its own when the last part is begun."""
    hall = own_hall(BRIDGE)
    loads = [hall.put("LEFT") for _ in range(4)]
    orders = [hall.order(f"M-{load}", StepRequest("go", "move", load, "RIGHT")) for load in loads]
    hall.until_ended(*orders[:3], limit_s=4000)
    assert [hall.where(load) for load in loads] == ["RIGHT", "RIGHT", "RIGHT", "LEFT"]
    assert "RIGHT has no room: 3 of 3" in explain.order(hall.kernel.state, orders[3])[0]
    fetched = [c.device for c in hall.effects if hasattr(c, "action") and c.device in ("V1", "V2")]
    assert {"V1", "V2"} == set(fetched)
    assert all(not hall.plant.vehicles[v].repeated for v in ("V1", "V2"))


def test_what_stands_at_the_exit_holds_the_next_one_back(own_hall: Callable[[str], Hall]) -> None:
    hall = own_hall(BRIDGE)
    hall.cut("V2")
    loads = [hall.put("LEFT") for _ in range(2)]
    orders = [hall.order(f"M-{load}", StepRequest("go", "move", load, "BUFFER")) for load in loads]
    hall.until_ended(orders[0])
    hall.until(lambda: hall.really(loads[1]) == "C1/zone 6")
    hall.run(5)
    assert "at the exit of C1: BUFFER is taken" in explain.order(hall.kernel.state, orders[1])[0]
    hall.plant.take_away(loads[0])
    hall.plant.put_down(loads[0], "RIGHT")
    hall.must(AnnounceLoad(loads[0], "RIGHT"))
    hall.until_ended(orders[1])
    assert [hall.where(load) for load in loads] == ["RIGHT", "BUFFER"]


# --- the floor by itself ---


def floor(speed_mm_s: int, *, vehicles: bool = True, twice: bool = False) -> Floor:
    """Two racks 30 m apart, between them a conveyor and a road."""
    nodes = tuple(NodeSpec(id=f"N{i}", x_mm=30_000 * i, y_mm=0) for i in range(2))
    home = NodeSpec(id="H", x_mm=0, y_mm=5000)
    edges = (
        EdgeSpec(from_node="N0", to_node="N1", both_ways=True, speed_max_mm_s=1000),
        EdgeSpec(from_node="N0", to_node="H", both_ways=True),
    )
    racks = tuple(LocationSpec(id=f"R{i}", kind="rack", capacity=9, node=f"N{i}") for i in range(2))
    lines = [_line("C1", speed_mm_s), *([_line("C2", 2 * speed_mm_s)] if twice else [])]
    wire = VdaConnection(manufacturer="m", serial="s")
    agv = AgvSpec(type="agv", id="V1", driver="loopback", profile="p", connection=wire, home="H")
    return Floor(
        Site(
            site=SiteInfo(id="x", name="x"),
            map=MapSpec(nodes=(*nodes, home), edges=edges),
            locations=racks,
            devices=(*lines, *([agv] if vehicles else [])),
        )
    )


def _line(name: str, speed_mm_s: int) -> ConveyorSpec:
    run = RunSpec(from_location="R0", to_location="R1", zone_first=1, zone_last=30, loads_max=9)
    return ConveyorSpec(
        type="conveyor", id=name, driver="loopback", profile="p", zones=30, zone_length_mm=1000, speed_mm_s=speed_mm_s,
        runs=(run,),
    )  # fmt: skip


@pytest.mark.parametrize(("speed_mm_s", "kind"), [(2000, "conveyor"), (100, "agv")])
def test_of_two_ways_between_the_same_places_the_quicker_one_is_taken(speed_mm_s: int, kind: str) -> None:
    route = floor(speed_mm_s).route("R0", "R1")
    assert route is not None
    assert [hop.kind for hop in route] == [kind]


def test_of_two_conveyors_between_the_same_places_the_quicker_one_is_taken() -> None:
    route = floor(2000, twice=True).route("R0", "R1")
    assert route is not None
    assert [(hop.device, hop.seconds) for hop in route] == [("C2", 7.5)]


def test_without_vehicles_there_is_no_way_but_by_conveyor() -> None:
    alone = floor(100, vehicles=False)
    assert [hop.kind for hop in alone.route("R0", "R1") or ()] == ["conveyor"]
    assert alone.route("R1", "R0") is None
    assert alone.route("R0", "V1") is None
    assert alone.route("R0", "R0") == ()


def test_an_edge_of_no_length_keeps_its_distance_like_a_point() -> None:
    """A lift has its two floors in one spot of the plan."""
    lift = roadmap({"UP": (0, 0), "DOWN": (0, 0), "NEAR": (0, 800), "FAR": (0, 5000)}, ["UP=DOWN", "DOWN=FAR"])
    step = lift.step("UP", "DOWN")
    assert step.seconds == 0
    assert lift.node_claims["NEAR"] & set(step.claims)
    assert not lift.node_claims["FAR"] & set(step.claims)


# --- told ---


def test_a_step_to_where_no_way_leads_says_so_when_its_turn_comes(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order(
        "W",
        StepRequest("pick", "work", load, "WS1", skill="pick"),
        StepRequest("away", "move", load, "LANE-R", after=("pick",)),
    )
    staffed.until(lambda: staffed.kernel.state.tasks["W/pick"].state == "finished")
    staffed.run(1)
    assert "there is no way from WS1-BENCH to LANE-R" in explain.order(staffed.kernel.state, order)[0]
    assert staffed.cancel(order).accepted
    staffed.until_quiet()
