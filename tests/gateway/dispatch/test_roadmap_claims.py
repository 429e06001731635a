"""Which nodes and edges exclude one another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from small_maps import roadmap
from watchers import distance_mm

from gateway.dispatch.traffic.roadmap import Roadmap
from gateway.site import EdgeSpec, MapSpec, NodeSpec


def conflict(road: Roadmap, one: list[str], two: list[str]) -> bool:
    return not road.claims(one).isdisjoint(road.claims(two))


CROSS = {"w": (-5000, 0), "e": (5000, 0), "s": (0, -5000), "n": (0, 5000)}


def test_edges_that_cross_exclude_each_other_and_their_ends_do_not() -> None:
    road = roadmap(CROSS, ["w-e", "s-n"])
    assert conflict(road, ["w", "e"], ["s", "n"])
    assert not conflict(road, ["w"], ["s", "n"])
    assert not conflict(road, ["w"], ["n"])


def test_a_crossing_holds_in_both_directions_of_a_two_way_edge() -> None:
    road = roadmap(CROSS, ["w=e", "s=n"])
    assert conflict(road, ["e", "w"], ["n", "s"])


def test_edges_that_end_at_the_same_node_exclude_each_other_only_through_it() -> None:
    road = roadmap(CROSS | {"m": (0, 0)}, ["w-m", "m-e", "s-m", "m-n"])
    assert conflict(road, ["w", "m"], ["s", "m"])
    assert not conflict(road, ["w"], ["s"])


def test_nodes_nearer_than_the_clearance_exclude_each_other_at_the_clearance_they_do_not() -> None:
    road = roadmap({"a": (0, 0), "b": (999, 0), "c": (-1000, 0)}, [])
    assert conflict(road, ["a"], ["b"])
    assert not conflict(road, ["a"], ["c"])
    # b and c are apart, though both are near a.
    assert not conflict(road, ["b"], ["c"])


def test_an_edge_that_passes_a_node_too_near_needs_it() -> None:
    road = roadmap({"a": (0, 0), "b": (8000, 0), "c": (4000, 900), "d": (1000, 1000)}, ["a-b"])
    assert conflict(road, ["a", "b"], ["c"])
    assert not conflict(road, ["a", "b"], ["d"])
    assert not conflict(road, ["a"], ["c"])


def test_collinear_edges_apart_do_not_exclude_each_other_overlapping_ones_do() -> None:
    road = roadmap({"a": (0, 0), "b": (3000, 0), "c": (6000, 0), "d": (9000, 0)}, ["a-b", "c-d", "a-c", "b-d"])
    assert not conflict(road, ["a", "b"], ["c", "d"])
    assert conflict(road, ["a", "c"], ["b", "d"])


def test_parallel_edges_nearer_than_the_clearance_exclude_each_other() -> None:
    points = {"a": (0, 0), "b": (9000, 0), "c": (-3000, 600), "d": (12000, 600)}
    road = roadmap(points, ["a-b", "c-d"])
    assert conflict(road, ["a", "b"], ["c", "d"])


def test_the_quickest_way_is_by_time_not_by_length() -> None:
    nodes = tuple(
        NodeSpec(id=n, x_mm=x, y_mm=y) for n, (x, y) in {"a": (0, 0), "b": (8000, 0), "c": (4000, 3000)}.items()
    )
    edges = (
        EdgeSpec(from_node="a", to_node="b", speed_max_mm_s=500),
        EdgeSpec(from_node="a", to_node="c"),
        EdgeSpec(from_node="c", to_node="b"),
    )
    road = Roadmap(MapSpec(nodes=nodes, edges=edges))
    assert road.way("a", "b") == ("a", "c", "b")
    assert road.way("a", "b", avoid=frozenset({"c"})) == ("a", "b")
    assert road.way("b", "a") is None
    assert road.way("a", "a") == ("a",)
    assert road.way("a", "nowhere") is None
    assert road.seconds(("a", "c", "b")) == 10_000 / 1_500


POINTS = st.lists(
    st.tuples(st.integers(-6, 6), st.integers(-6, 6)).map(lambda p: (p[0] * 500, p[1] * 500)),
    min_size=4, max_size=4, unique=True,
)  # fmt: skip


@given(POINTS)
def test_two_edges_exclude_each_other_exactly_when_they_come_too_near(points: list[tuple[int, int]]) -> None:
    a, b, c, d = points
    road = roadmap(dict(zip("abcd", points, strict=True)), ["a-b", "c-d"])
    assert conflict(road, ["a", "b"], ["c", "d"]) == (distance_mm(a, b, c, d) < 1000)
