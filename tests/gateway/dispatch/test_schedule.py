"""Who passes first: situations that lock up when the wrong one goes, and those that nobody can solve."""

from __future__ import annotations

from small_maps import roadmap
from small_plant import demo_site

from gateway.dispatch.floor import Floor
from gateway.dispatch.traffic.roadmap import Roadmap
from gateway.dispatch.traffic.schedule import NEVER_S, Mover, Schedule, simulate


def line(*names: str, y_mm: int = 0, step_mm: int = 2000, x_mm: int = 0) -> dict[str, tuple[int, int]]:
    return {name: (x_mm + i * step_mm, y_mm) for i, name in enumerate(names)}


def mover(name: str, way: str, ready_s: float = 0.0) -> Mover:
    return Mover(name, way.split(), 0, ready_s)


def first_at(schedule: Schedule, node: str) -> list[str]:
    return [vehicle for vehicle, _ in schedule.passes.get(node, [])]


# A spur off a line, with a parking place of its own for each.
SPUR = roadmap(
    line("h1", "a", "b", "c", "h2") | {"x": (4000, 2000), "y": (4000, 4000)},
    ["h1=a", "a=b", "b=c", "c=h2", "b=x", "x=y"],
)


def test_head_on_in_a_spur_the_one_inside_comes_out_first() -> None:
    schedule = simulate(SPUR, [mover("in", "a b x y x b a h1"), mover("out", "y x b c h2")])
    assert schedule.locked == []
    assert first_at(schedule, "x")[0] == "out"
    assert first_at(schedule, "b")[0] == "out"


def test_a_two_way_aisle_takes_one_direction_at_a_time() -> None:
    road = roadmap(
        line("a", "b", "c", "d") | {"h1": (-2000, 1500), "g1": (8000, 1500), "h2": (8000, -1500), "g2": (-2000, -1500)},
        ["h1=a", "a=b", "b=c", "c=d", "d=g1", "d=h2", "a=g2"],
    )
    schedule = simulate(road, [mover("right", "h1 a b c d g1"), mover("left", "h2 d c b a g2")])
    assert schedule.locked == []
    assert {tuple(first_at(schedule, node)) for node in "abcd"} in (
        {("right", "left")},
        {("left", "right")},
    )


def ring() -> Roadmap:
    points = line("a", "b", "c") | line("f", "e", "d", y_mm=2000)
    spurs = {"ha": (0, -2000), "hc": (4000, -2000), "hd": (4000, 4000), "hf": (0, 4000)}
    return roadmap(points | spurs, ["a-b", "b-c", "c-d", "d-e", "e-f", "f-a", "a=ha", "c=hc", "d=hd", "f=hf"])


def test_two_vehicles_follow_each_other_round_a_ring() -> None:
    schedule = simulate(ring(), [mover("one", "ha a b c d e f a ha"), mover("two", "hd d e f a b c d hd")])
    assert schedule.locked == []


def test_a_ring_that_is_full_still_turns_when_one_has_a_place_to_go() -> None:
    movers = [
        mover("one", "a b c hc"), mover("two", "b c d hd"), mover("three", "c d e f hf"), mover("four", "d e f a ha"),
    ]  # fmt: skip
    assert simulate(ring(), movers).locked == []


def test_two_rings_with_a_shared_piece() -> None:
    points = line("a", "b", "c") | line("f", "e", "d", y_mm=2000) | line("i", "h", "g", y_mm=-2000)
    points |= {"p": (-2000, 2000), "q": (6000, -2000)}
    edges = ["a-b", "b-c", "c-d", "d-e", "e-f", "f-a", "c-g", "g-h", "h-i", "i-a", "f=p", "g=q"]
    road = roadmap(points, edges)
    movers = [mover("up", "p f a b c d e f p"), mover("low", "q g h i a b c g q")]
    schedule = simulate(road, movers)
    assert schedule.locked == []
    assert first_at(schedule, "b") in (["up", "low"], ["low", "up"])


def test_a_parked_vehicle_holds_its_place_and_nothing_else() -> None:
    schedule = simulate(SPUR, [mover("parked", "h2"), mover("drives", "h1 a b c b a h1")])
    assert schedule.locked == []
    assert "parked" not in {v for order in schedule.passes.values() for v, _ in order}


def test_a_way_into_a_place_where_somebody_parks_is_locked() -> None:
    schedule = simulate(SPUR, [mover("parked", "h2"), mover("drives", "h1 a b c h2")])
    assert schedule.locked == ["drives"]


def test_a_broken_vehicle_goes_last_where_that_is_possible() -> None:
    road = roadmap(line("h1", "a", "b", "c", "h2") | {"u": (4000, 2000)}, ["h1=a", "a=b", "b=c", "c=h2", "b=u"])
    movers = [mover("broken", "h1 a b u b a h1", ready_s=NEVER_S), mover("well", "h2 c b a b c h2", ready_s=100.0)]
    schedule = simulate(road, movers)
    assert schedule.locked == []
    assert first_at(schedule, "b")[0] == "well"


def test_a_broken_vehicle_in_the_way_is_waited_for() -> None:
    schedule = simulate(SPUR, [mover("broken", "b c h2", ready_s=NEVER_S), mover("well", "h1 a b x b a h1")])
    assert schedule.locked == []
    assert first_at(schedule, "b") == ["well", "well"]
    assert first_at(schedule, "c") == ["broken"]


def test_two_that_stand_face_to_face_are_reported_as_locked() -> None:
    schedule = simulate(SPUR, [mover("one", "a b c h2"), mover("two", "b a h1")])
    assert schedule.locked == ["one", "two"]


def test_the_order_is_the_same_whatever_the_list_begins_with() -> None:
    ways = {"one": "ha a b c d e f a ha", "two": "hd d e f a b c d hd", "three": "hc c d e f a b c hc"}
    seen = set()
    for names in (("one", "two", "three"), ("three", "two", "one"), ("two", "one", "three")):
        passes = simulate(ring(), [mover(n, ways[n]) for n in names]).passes
        seen.add(str(sorted(passes.items())))
    assert len(seen) == 1


def test_a_full_ring_with_a_spur_in_it_turns_when_the_one_before_the_spur_drives_on() -> None:
    """Looking far ahead everybody comes back to everybody; not looking at all two meet in the spur: so not far."""
    hall = Floor(demo_site()).roadmap

    def on_its_way(name: str, way: str, home: str) -> Mover:
        nodes = way.split()
        return mover(name, " ".join([*nodes, *(hall.way(nodes[-1], home) or ())[1:]]))

    movers = [
        on_its_way("AGV1", "T9 T10 B10 B9 B8 B7 T7 T8 T9 NC1", "H1"),
        on_its_way("AGV2", "T7 T8 T9 NC1", "H2"),
        on_its_way("AGV3", "B7 T7 T8 T9 NC1", "H3"),
        on_its_way("AGV4", "NC1 T9 T10 B10 B9 B8 NWS2 B8 B7 T7 T8 T9 NC1", "H4"),
        on_its_way("AGV5", "T6 T7 T8 T9 NC1", "H5"),
        on_its_way("AGV6", "T8 T9 NC1", "H6"),
    ]
    schedule = simulate(hall, movers)
    assert schedule.locked == []
    assert first_at(schedule, "T9")[0] == "AGV4"
