"""The plant as a whole: no load is lost or doubled, whatever is commanded; faults and layouts are checked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plc_simulators import layout
from plc_simulators.faults import FaultError
from plc_simulators.layout import LayoutError
from plc_simulators.models.mailbox import Offer
from plc_simulators.models.vda_order import Action, Edge, Node, Order
from plc_simulators.plant import Plant, PutError

DEMO = Path(__file__).resolve().parents[2] / "config" / "demo"
LAYOUT = layout.read(DEMO, {})
PLACES = ("C1-IN", "C2-IN", "S1-IN", "RC1-IN", "RC1-OUT", "LANE-8", "LANE-R", "RACK-1", "WS1-BENCH")

puts = st.tuples(st.just("put"), st.sampled_from(PLACES))
conveyor = st.tuples(
    st.just("conveyor"), st.sampled_from(["C1", "C2"]), st.integers(0, 4), st.integers(0, 13), st.integers(0, 3)
)
assign = st.tuples(st.just("assign"), st.integers(0, 9), st.integers(0, 10), st.integers(-500, 3000))
cell = st.tuples(st.just("cell"), st.integers(0, 11))
vehicle = st.tuples(st.just("vehicle"), st.sampled_from(["pick", "drop"]), st.sampled_from(PLACES))
fault = st.tuples(
    st.just("fault"), st.sampled_from(["plc_restart", "jam", "lane_full", "lane_disabled"]), st.booleans()
)
wait = st.tuples(st.just("wait"), st.integers(1, 20))
steps = st.lists(st.one_of(puts, conveyor, assign, cell, vehicle, fault, wait), max_size=40)


def check(plant: Plant, brought: set[str]) -> None:
    standing = [load for load, _ in plant.standing()]
    assert len(standing) == len(set(standing)), f"a load stands in two places: {sorted(plant.standing())}"
    assert set(standing) | set(plant.shipped) == brought
    assert not set(standing) & set(plant.shipped)
    assert all(c.mailbox.repeated == 0 for c in plant.controllers().values())


def play(plant: Plant, index: int, step: tuple[object, ...], brought: set[str]) -> None:
    """Do one step of a history; whatever the plant refuses is part of it."""
    kind, *rest = step
    boxes = {name: controller.mailbox for name, controller in plant.controllers().items()}
    if kind == "put":
        try:
            plant.put(f"L{index}", ["X"], str(rest[0]))
            brought.add(f"L{index}")
        except PutError:
            pass
    elif kind == "conveyor":
        device, code, zone, track = rest
        payload = {"zone": int(str(zone)), "track_id": int(str(track))}
        boxes[str(device)].offer(Offer(index + 1, 1, int(str(code)), payload), plant.now_ns)
    elif kind == "assign":
        back, lane, within_ms = (int(str(value)) for value in rest)
        scans = [e.track_id for e in plant.sorters["S1"].ring.since(0) if e.type == 1] or [0]
        payload = {"track_id": scans[-1 - back % len(scans)], "lane_1": lane, "lane_2": 8, "lane_3": 0, "lane_4": 0}
        payload["deadline_ms"] = (plant.now_ns // 1_000_000 + within_ms) % 2**32
        boxes["S1"].offer(Offer(index + 1, 1, 10, payload), plant.now_ns)
    elif kind == "cell":
        payload_cell: dict[str, int | str] = {"track_id": 1, "recipe": "small"}
        boxes["RC1"].offer(Offer(index + 1, 1, int(str(rest[0])), payload_cell), plant.now_ns)
    elif kind == "vehicle":
        agv, location = plant.vehicles["AGV1"], str(rest[1])
        there = plant.layout.locations[location].node if location in plant.layout.locations else ""
        act = Action(f"a{index}", str(rest[0]), parameters={"stationName": location})
        nodes = (Node(agv.last_node, 0, True), Node(there or "B1", 2, True, actions=(act,)))
        agv.order(Order(f"O{index}", 0, nodes, (Edge("e", 1, True, 30_000.0),)))
    elif kind == "fault":
        name, on = str(rest[0]), bool(rest[1])
        where = {"jam": ("C1", {"zone": 6}), "plc_restart": (["C1", "C2", "S1", "RC1"][index % 4], {})}
        device, numbers = where.get(name, ("S1", {"lane": 8}))
        plant.fault(name, device, on, **numbers)
    elif kind == "wait":
        plant.advance(plant.now_ns + int(str(rest[0])) * 10**9)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_any_row_of_commands_leaves_every_load_in_exactly_one_place(history: list[tuple[object, ...]]) -> None:
    plant = Plant(LAYOUT, random.Random(3).random)
    plant.emptying_ns = 10**9
    plant.advance(2 * 10**9)
    brought: set[str] = set()
    for index, step in enumerate(history):
        play(plant, index, step, brought)
        plant.advance(plant.now_ns + 10**9)
        check(plant, brought)
    plant.advance(plant.now_ns + 60 * 10**9)
    check(plant, brought)


def test_the_same_seed_gives_the_same_plant() -> None:
    def history(seed: int) -> list[object]:
        plant = Plant(LAYOUT, random.Random(seed).random)
        plant.sorters["S1"].no_read_share = 0.5
        plant.advance(2 * 10**9)
        for index in range(9):
            plant.put(f"L{index}", [f"X{index}"], "S1-IN")
            plant.advance(plant.now_ns + 2 * 10**9)
        return [*plant.sorters["S1"].ring.entries, plant.loads()]

    assert history(1) == history(1)
    assert history(1) != history(2)


def test_loads_are_put_once_and_only_where_there_is_room(plant: Plant) -> None:
    plant.put("L1", ["A"], "RACK-1")
    with pytest.raises(PutError, match="L1"):
        plant.put("L1", ["A"], "RACK-2")
    with pytest.raises(PutError, match="MOON"):
        plant.put("L2", [], "MOON")
    with pytest.raises(PutError, match="needs an id"):
        plant.put("", [], "RACK-1")
    plant.put("L2", [], "C1-IN")
    with pytest.raises(PutError, match="capacity 1"):
        plant.put("L3", [], "C1-IN")


@pytest.mark.parametrize(
    ("kind", "device", "where", "words"),
    [
        ("earthquake", "C1", {}, "known are jam"),
        ("jam", "C9", {"zone": 1}, "device C9 is unknown"),
        ("jam", "S1", {"zone": 1}, "S1 is a sorter"),
        ("jam", "C1", {"zone": 13}, "no zone 13"),
        ("jam", "C1", {}, "no zone 0"),
        ("jam", "C1", {"zone": "5"}, "not a whole number"),
        ("jam", "C1", {"zone": 1, "lane": 2}, "takes no lane"),
        ("lane_full", "S1", {"lane": 10}, "no lane 10"),
        ("slow_plc", "C1", {"delay_ms": -1}, "delay_ms -1"),
        ("plc_restart", "AGV1", {}, "AGV1 is a agv"),
    ],
)
def test_faults_that_make_no_sense_are_refused(
    plant: Plant, kind: str, device: str, where: dict[str, object], words: str
) -> None:
    with pytest.raises(FaultError, match=words):
        plant.fault(kind, device, **where)
    assert plant.faults.active() == ()


def test_faults_are_listed_while_they_are_on(plant: Plant) -> None:
    plant.fault("jam", "C1", zone=5)
    plant.fault("slow_plc", "C1", delay_ms=100)
    plant.fault("slow_plc", "C1", delay_ms=300)
    plant.fault("plc_restart", "C1")
    assert [(f.kind, f.number) for f in plant.faults.active()] == [("jam", 5), ("slow_plc", 300)]
    plant.fault("jam", "C1", on=False, zone=5)
    plant.fault("slow_plc", "C1", on=False)
    assert plant.faults.active() == ()
    assert plant.controllers()["C1"].mailbox.delay_ns == 0


def test_a_slow_plc_answers_late(plant: Plant) -> None:
    plant.fault("slow_plc", "C1", delay_ms=500)
    plant.advance(2 * 10**9)
    box = plant.controllers()["C1"].mailbox
    box.offer(Offer(1, 1, 3, {"zone": 1, "track_id": 0}), plant.now_ns)
    plant.advance(plant.now_ns + 400_000_000)
    assert box.ack_seq == 0
    plant.advance(plant.now_ns + 200_000_000)
    assert (box.ack_seq, box.done_seq, box.result) == (1, 1, 1)


# --- layout ---


def test_the_demo_site_is_read_whole() -> None:
    assert [c.id for c in LAYOUT.conveyors] == ["C1", "C2"]
    assert (LAYOUT.conveyors[0].zones, LAYOUT.conveyors[0].runs[0].to_location) == (12, "S1-IN")
    assert LAYOUT.sorters[0].lanes[8] == "C2-IN"
    assert (LAYOUT.vehicles[3].serial, LAYOUT.vehicles[3].home) == ("agv-4", "H4")
    assert LAYOUT.map_id == "hall"
    assert LAYOUT.locations["RACK-1"].node in LAYOUT.nodes


def test_variables_are_replaced_and_a_missing_one_is_named(tmp_path: Path) -> None:
    text = "locations:\n  - {id: A, kind: rack, capacity: ${ROOM:-3}}\n  - {id: B, kind: rack, capacity: ${OTHER}}\n"
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(LayoutError, match="OTHER"):
        layout.read(tmp_path, {})
    found = layout.read(tmp_path, {"OTHER": "5"}).locations
    assert (found["A"].capacity, found["B"].capacity) == (3, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("devices: [{type: agv, id: A, home: H, connection: {manufacturer: m, serial: s}}]", "home H is no node"),
        ("devices: [{type: conveyor, id: C, zones: 2}]", "runs"),
        ("devices: [", "not YAML"),
        ("[1, 2]", "not a mapping"),
        (
            "devices: [{type: conveyor, id: C, zones: 2, runs: [{from: A, to: B, zone_first: 1, zone_last: 2}]}]",
            "hands over to B, which is no location",
        ),
        (
            "devices: [{type: sorter, id: S, infeed: I, lanes: [{lane: 1, location: X}], reject_lane: 2}]",
            "reject lane 2",
        ),
        (
            "devices: [{type: conveyor, id: C, zones: 2, runs: [{from: A, to: A, zone_first: 1, zone_last: 3}]}]",
            "1 to 3",
        ),
    ],
)
def test_a_site_that_can_not_be_built_says_why(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(LayoutError, match=words):
        layout.read(tmp_path, {})


def test_an_empty_folder_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"no \*\.yaml"):
        layout.read(tmp_path, {})


@pytest.mark.parametrize(
    ("profile", "version"), [("vda5050-2.0", "2.0.0"), ("vda5050-3.0", "3.0.0"), ("lifter", "2.1.0")]
)
def test_a_vehicle_speaks_the_version_that_its_profiles_name_ends_with(
    tmp_path: Path, profile: str, version: str
) -> None:
    for source in DEMO.glob("*.yaml"):
        (tmp_path / source.name).write_text(source.read_text().replace("vda5050-2.1", profile))
    assert {vehicle.vda_version for vehicle in layout.read(tmp_path, {}).vehicles} == {version}
