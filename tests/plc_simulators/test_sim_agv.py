"""A vehicle, stepped: the acceptance rules of VDA 5050 2.1, driving, picking, dropping, cancelling, failing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from plc_simulators.models.agv import Agv
from plc_simulators.models.vda_order import MalformedError, Order, read_instant_actions, read_order
from plc_simulators.models.vda_state import Error
from plc_simulators.plant import Plant

HandT = Any
HEADER = {
    "headerId": 1,
    "timestamp": "2026-11-02T08:00:00.000Z",
    "version": "2.1.0",
    "manufacturer": "stellwerk",
    "serialNumber": "agv-4",
}


def action(kind: str, action_id: str, **parameters: object) -> dict[str, Any]:
    return {
        "actionId": action_id,
        "actionType": kind,
        "blockingType": "HARD",
        "actionParameters": [{"key": key, "value": value} for key, value in parameters.items()],
    }


def message(
    plant: Plant,
    order_id: str,
    way: list[str],
    *,
    update: int = 0,
    released: int | None = None,
    first_seq: int = 0,
    actions: dict[str, list[dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """An order message along `way`, of which the first `released` nodes are base (all by default)."""
    base = len(way) if released is None else released
    nodes = [
        {
            "nodeId": node,
            "sequenceId": first_seq + 2 * index,
            "released": index < base,
            "nodePosition": {
                "x": plant.layout.nodes[node][0] / 1000,
                "y": plant.layout.nodes[node][1] / 1000,
                "mapId": "hall",
            },
            "actions": (actions or {}).get(node, []),
        }
        for index, node in enumerate(way)
    ]
    edges = [
        {
            "edgeId": f"{a}-{b}",
            "sequenceId": first_seq + 2 * index + 1,
            "released": index + 1 < base,
            "startNodeId": a,
            "endNodeId": b,
            "maxSpeed": 1.5,
            "actions": [],
        }
        for index, (a, b) in enumerate(pairwise(way))
    ]
    return {**HEADER, "orderId": order_id, "orderUpdateId": update, "nodes": nodes, "edges": edges}


@pytest.fixture
def agv(plant: Plant) -> Agv:
    return plant.vehicles["AGV4"]  # stands at H4


@pytest.fixture
def order(plant: Plant, agv: Agv) -> Callable[..., None]:
    def send(order_id: str, way: list[str], **options: Any) -> None:
        agv.order(read_order(message(plant, order_id, way, **options)))

    return send


def instant(agv: Agv, kind: str, action_id: str) -> None:
    for wanted in read_instant_actions({**HEADER, "actions": [action(kind, action_id)]}):
        agv.instant(wanted)


def statuses(agv: Agv) -> dict[str, str]:
    return {state.id: state.status for state in agv.actions}


def last_error(agv: Agv) -> Error:
    return agv.errors[-1]


# --- driving ---


def test_an_order_is_driven_node_by_node_at_the_edges_speed(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    order("O1", ["H4", "B4", "B3"])
    assert (agv.order_id, agv.last_node, agv.last_seq, agv.idle) == ("O1", "H4", 0, False)
    start_ns = hand.plant.now_ns
    hand.run(0.1)
    assert agv.driving
    hand.until(lambda: agv.last_node == "B4")
    (x1, y1), (x2, y2) = (hand.plant.layout.nodes[node] for node in ("H4", "B4"))
    expected_s = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 / 1500
    assert (hand.plant.now_ns - start_ns) / 1e9 == pytest.approx(expected_s, abs=0.1)
    hand.until(lambda: agv.idle)
    hand.run(0.1)
    assert (agv.last_node, agv.last_seq, agv.driving, agv.since_node_mm) == ("B3", 4, False, 0.0)
    assert (agv.x_mm, agv.y_mm) == hand.plant.layout.nodes["B3"]


def test_the_base_is_driven_and_the_horizon_waited_for(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    order("O1", ["H4", "B4", "B3", "B2"], released=2)
    hand.run(30)
    assert (agv.last_node, agv.driving, agv.idle, agv.new_base_request) == ("B4", False, False, True)
    order("O1", ["B4", "B3", "H3"], update=1, first_seq=2)
    assert [node.id for node in agv.nodes] == ["B3", "H3"]
    hand.until(lambda: agv.idle)
    assert (agv.last_node, agv.last_seq, agv.update_id) == ("H3", 6, 1)


def test_an_update_while_driving_replaces_the_horizon_and_its_actions(
    hand: HandT, agv: Agv, order: Callable[..., None]
) -> None:
    order("O1", ["H4", "B4", "B3", "B2"], released=2, actions={"B2": [action("drop", "a", stationName="X")]})
    assert statuses(agv) == {"a": "WAITING"}
    hand.run(0.5)
    order("O1", ["B4", "B3"], update=3, first_seq=2)
    assert statuses(agv) == {}
    assert [(node.id, node.seq, node.released) for node in agv.nodes] == [("B4", 2, True), ("B3", 4, True)]
    hand.until(lambda: agv.idle)
    assert agv.last_node == "B3"


def test_an_order_may_be_extended_after_it_has_ended(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    order("O1", ["H4", "B4"])
    hand.until(lambda: agv.idle)
    order("O1", ["B4", "B3"], update=1, first_seq=2)
    assert agv.errors == []
    hand.until(lambda: agv.idle)
    assert agv.last_node == "B3"


# --- acceptance ---


def test_duplicates_are_ignored(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    order("O1", ["H4", "B4"])
    hand.until(lambda: agv.idle)
    version = agv.version
    order("O1", ["H4", "B4"])
    assert (agv.version, agv.idle, agv.errors) == (version, True, [])


@pytest.mark.parametrize(
    ("order_id", "way", "options", "error"),
    [
        ("O2", ["H4", "B4"], {}, "orderError"),  # O1 is not finished
        ("O1", ["B4", "B3"], {"update": 1, "first_seq": 2}, "orderUpdateError"),  # older than 2
        ("O1", ["B3", "B2"], {"update": 3, "first_seq": 4}, "orderUpdateError"),  # the base ends at B4
        ("O1", ["B4", "B3"], {"update": 3, "first_seq": 4}, "orderUpdateError"),  # B4 had sequenceId 2
        (
            "O1",
            ["B4", "B3"],
            {"update": 3, "first_seq": 2, "actions": {"B4": [action("pick", "x")]}},
            "orderUpdateError",  # B4 had no actions
        ),
        (
            "O1",
            ["B4", "B3"],
            {"update": 3, "first_seq": 2, "actions": {"B3": [action("dance", "x")]}},
            "orderError",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    agv: Agv, order: Callable[..., None], order_id: str, way: list[str], options: dict[str, Any], error: str
) -> None:
    order("O1", ["H4", "B4"])
    order("O1", ["B4", "B3"], update=2, first_seq=2, released=1)
    before = (agv.order_id, agv.update_id, list(agv.nodes), list(agv.edges))
    order(order_id, way, **options)
    assert (last_error(agv).type, last_error(agv).level) == (error, "WARNING")
    assert ("orderId", order_id) in last_error(agv).references
    assert (agv.order_id, agv.update_id, agv.nodes, agv.edges) == before


def test_a_new_order_must_begin_where_the_vehicle_stands_and_at_update_0(
    hand: HandT, agv: Agv, order: Callable[..., None]
) -> None:
    order("O1", ["B1", "T1"])
    assert last_error(agv).type == "noRouteError"
    order("O2", ["H4", "B4"], update=4)
    assert last_error(agv).type == "orderUpdateError"
    assert agv.order_id == ""
    order("O3", ["H4", "B4"])
    assert agv.errors == []  # the next right message ends refusals


def test_after_a_cancel_only_a_new_order_helps(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    order("O1", ["H4", "B4", "B3"], actions={"B3": [action("drop", "d", stationName="RACK-1")]})
    hand.run(0.5)
    instant(agv, "cancelOrder", "c1")
    assert statuses(agv) == {"d": "FAILED", "c1": "RUNNING"}
    instant(agv, "cancelOrder", "c2")
    assert statuses(agv)["c2"] == "FAILED"
    hand.until(lambda: agv.idle)
    assert (agv.last_node, agv.driving, agv.order_id, statuses(agv)["c1"]) == ("B4", False, "O1", "FINISHED")
    order("O1", ["B4", "B3"], update=1, first_seq=2)
    assert last_error(agv).type == "orderUpdateError"
    instant(agv, "cancelOrder", "c3")
    assert (statuses(agv)["c3"], last_error(agv).type) == ("FAILED", "noOrderToCancel")
    order("O2", ["B4", "B3"])
    hand.until(lambda: agv.idle)
    assert agv.last_node == "B3"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m.pop("nodes"),
        lambda m: m["edges"].pop(),
        lambda m: m["nodes"][1].update(sequenceId=7),
        lambda m: m["nodes"][0].update(released=False),
        lambda m: m["edges"][0].update(released=False),
        lambda m: m["edges"][0].update(maxSpeed=0),
        lambda m: m["nodes"][0].update(nodeId=3),
        lambda m: m.update(orderId=""),
        lambda m: m.update(version="3.0.0"),
        lambda m: m.update(headerId="1"),
        lambda m: m["nodes"][0]["actions"].append({"actionId": "a", "actionType": "pick", "blockingType": "MAYBE"}),
        lambda m: m["nodes"][0].update(actions=[action("pick", "a"), action("drop", "a")]),
    ],
)
def test_malformed_orders_are_not_read(plant: Plant, spoil: Callable[[dict[str, Any]], Any]) -> None:
    whole = message(plant, "O1", ["H4", "B4"])
    assert isinstance(read_order(whole), Order)
    spoil(whole)
    with pytest.raises(MalformedError):
        read_order(whole)


def test_a_malformed_message_becomes_a_validation_error(agv: Agv) -> None:
    agv.malformed("order", "nodes is missing")
    assert (last_error(agv).type, last_error(agv).description) == ("validationError", "nodes is missing")


# --- work ---


def carry(way: list[str]) -> dict[str, list[dict[str, Any]]]:
    return {
        "R2": [action("pick", "p", stationName="RACK-2", loadId="L1")],
        "NC1": [action("drop", "d", stationName="C1-IN", loadId="L1")],
    }


TO_RACK = ["H4", "B4", "B3", "B2", "B1", "T1", "T2", "T3", "R2"]
TO_CONVEYOR = ["R2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "NC1"]


def test_a_load_is_picked_and_put_onto_the_conveyor(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    hand.plant.put("L1", [], "RACK-2")
    order("O1", TO_RACK + TO_CONVEYOR[1:], actions=carry(TO_RACK))
    assert statuses(agv) == {"p": "WAITING", "d": "WAITING"}
    hand.until(lambda: statuses(agv)["p"] == "RUNNING")
    assert not agv.driving
    start_ns = hand.plant.now_ns
    hand.until(lambda: statuses(agv)["p"] == "FINISHED")
    assert abs((hand.plant.now_ns - start_ns) / 1e9 - 4) < 0.1
    assert hand.plant.loads() == {"L1": "AGV4"}
    hand.until(lambda: agv.idle)
    assert statuses(agv) == {"p": "FINISHED", "d": "FINISHED"}
    assert hand.plant.loads() == {"L1": "C1/zone 1"}
    assert hand.plant.conveyors["C1"].zones[0].arrivals == 1


@pytest.mark.parametrize(
    ("station", "load", "words"),
    [
        ("RACK-2", "L9", "load L9 is not at RACK-2"),
        ("RACK-1", "L1", "location RACK-1 can't be reached from node R2"),
        ("MOON", "L1", "stationName 'MOON' is no location"),
    ],
)
def test_a_pick_that_can_not_be_says_why(
    hand: HandT, agv: Agv, order: Callable[..., None], station: str, load: str, words: str
) -> None:
    hand.plant.put("L1", [], "RACK-2")
    order("O1", TO_RACK, actions={"R2": [action("pick", "p", stationName=station, loadId=load)]})
    hand.until(lambda: agv.idle)
    assert [(state.status, state.result) for state in agv.actions] == [("FAILED", words)]
    assert hand.plant.loads() == {"L1": "RACK-2"}


def test_a_drop_waits_30_s_for_room_and_then_fails(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    agv.deck.load = "L1"
    hand.plant.put("L2", [], "C1-IN")
    drop = {"NC1": [action("drop", "d", stationName="C1-IN")]}
    order("O1", TO_RACK + TO_CONVEYOR[1:], actions=drop)
    hand.until(lambda: statuses(agv)["d"] == "RUNNING")
    hand.run(33)
    assert statuses(agv)["d"] == "RUNNING"
    hand.run(2)
    assert (statuses(agv)["d"], agv.deck.load) == ("FAILED", "L1")
    order("O2", ["NC1", "T9"], actions={"NC1": [action("drop", "d2", stationName="C1-IN")]})
    hand.run(10)
    assert hand.plant.places["C1-IN"].give("") == "L2"
    hand.until(lambda: agv.idle)
    assert (statuses(agv)["d2"], agv.deck.load) == ("FINISHED", "")


def test_a_running_pick_is_finished_before_a_cancel_ends(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    hand.plant.put("L1", [], "RACK-2")
    order("O1", TO_RACK + TO_CONVEYOR[1:], actions=carry(TO_RACK))
    hand.until(lambda: statuses(agv)["p"] == "RUNNING")
    instant(agv, "cancelOrder", "c")
    assert statuses(agv) == {"p": "RUNNING", "d": "FAILED", "c": "RUNNING"}
    hand.until(lambda: agv.idle)
    assert statuses(agv) == {"p": "FINISHED", "d": "FAILED", "c": "FINISHED"}
    assert (agv.last_node, agv.deck.load) == ("R2", "L1")


# --- instant actions and faults ---


def test_a_pause_stops_and_resumes(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    order("O1", ["H4", "B4"])
    hand.run(1)
    instant(agv, "startPause", "i1")
    hand.run(0.1)
    place = (agv.x_mm, agv.y_mm)
    hand.run(10)
    assert (agv.paused, agv.driving, (agv.x_mm, agv.y_mm)) == (True, False, place)
    instant(agv, "stopPause", "i2")
    instant(agv, "startPause", "i1")  # a repeated id is no new action
    hand.until(lambda: agv.idle)
    assert (agv.last_node, statuses(agv)) == ("B4", {"i1": "FINISHED", "i2": "FINISHED"})


def test_charging_lasts_until_the_next_order(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    agv.battery_percent = 50.0
    instant(agv, "startCharging", "i1")
    hand.run(60)
    assert agv.charging
    assert agv.battery_percent == pytest.approx(51.0, abs=0.05)
    order("O1", ["H4", "B4"])
    assert not agv.charging


def test_an_unknown_instant_action_fails(agv: Agv) -> None:
    instant(agv, "dance", "i1")
    assert (statuses(agv), last_error(agv).type) == ({"i1": "FAILED"}, "unsupportedAction")


def test_a_failed_vehicle_stands_and_goes_on_afterwards(hand: HandT, agv: Agv, order: Callable[..., None]) -> None:
    order("O1", ["H4", "B4"])
    hand.run(1)
    hand.plant.fault("agv_failure", "AGV4")
    place = (agv.x_mm, agv.y_mm)
    hand.run(10)
    assert ((agv.x_mm, agv.y_mm), agv.driving) == (place, False)
    assert [(error.type, error.level) for error in agv.errors] == [("driveFault", "FATAL")]
    hand.plant.fault("agv_failure", "AGV4", on=False)
    assert agv.errors == []
    hand.until(lambda: agv.idle)
    assert agv.last_node == "B4"
