"""The rules about the plant: where loads and vehicles really are, and what really was carried out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

from gateway.contract import Ns, StepRequest
from gateway.kernel import Kernel
from gateway.simulation.timeline import MINUTE, SECOND
from gateway.simulation.watch import Checker, Watch
from gateway.site import Site
from plc_simulators.plant import Plant

Point = tuple[int, int]
PLAN_KEPT_NS = 2 * MINUTE
"""So long a load may still come out where the sort plan had it before a reload."""
BOOKS_EVERY_NS = 5 * SECOND


class OnceOnly(Checker):
    """A command runs at most once: counted where it runs."""

    name = "once"

    def __init__(self, watch: Watch, plant: Plant) -> None:
        super().__init__(watch)
        self._plant = plant

    def looked(self) -> None:
        for name, controller in self._plant.controllers().items():
            if controller.mailbox.repeated:
                self.fail(f"{name} has carried out {controller.mailbox.repeated} commands a second time")
        for name, vehicle in self._plant.vehicles.items():
            if vehicle.repeated:
                self.fail(f"{name} has carried out {vehicle.repeated} actions a second time")


class OnePlaceEach(Checker):
    """One load per place and one place per load; vehicles keep their distance over all that they may drive."""

    name = "places"

    def __init__(self, watch: Watch, plant: Plant, site: Site) -> None:
        super().__init__(watch)
        self._plant = plant
        self._points = {n.id: (n.x_mm, n.y_mm) for n in site.map.nodes}
        self._clearance_mm = site.map.clearance_mm
        self._capacity = {loc.id: loc.capacity for loc in site.locations if loc.kind != "lane"}
        self._ways: dict[str, tuple[str, ...]] = {}
        self._seen: dict[str, int] = {}
        self._next_ns = 0

    def looked(self) -> None:
        changed = []
        for name, vehicle in self._plant.vehicles.items():
            if self._seen.get(name) == vehicle.version:
                continue
            self._seen[name] = vehicle.version
            # What the vehicle has accepted and will drive whatever anybody decides now.
            way = (vehicle.last_node, *(n.id for n in vehicle.nodes if n.released))
            if way != self._ways.get(name):
                self._ways[name] = way
                changed.append(name)
        for name in changed:
            for other in self._ways:
                if other != name:
                    self._apart(name, other)
        if self.watch.timeline.now_ns >= self._next_ns:
            self._next_ns = self.watch.timeline.now_ns + BOOKS_EVERY_NS
            standing = [load for load, _ in self._plant.standing()]
            if len(standing) != len(set(standing)):
                twice = sorted({load for load in standing if standing.count(load) > 1})
                self.fail(f"{', '.join(twice)} in two places of the plant: {self._plant.standing()}")

    def concluded(self, kernel: Kernel) -> None:
        for place, there in kernel.state.standing.items():
            if len(there) > self._capacity.get(place, len(there)):
                self.fail(f"{len(there)} loads are booked at {place}, which holds {self._capacity[place]}")

    def _apart(self, one: str, two: str) -> None:
        ways = self._ways[one], self._ways[two]
        gap_mm = min(
            distance_mm(self._points[a], self._points[b], self._points[c], self._points[d])
            for a, b in _legs(ways[0])
            for c, d in _legs(ways[1])
        )
        if gap_mm < self._clearance_mm:
            self.fail(
                f"{one} may drive {'-'.join(ways[0])} and {two} may drive {'-'.join(ways[1])}: they come within "
                f"{gap_mm:.0f} mm, {self._clearance_mm} mm must be kept"
            )


class RightLane(Checker):
    """Nothing comes out in a customer lane but what a host has ordered there: no unknown, ambiguous or late item."""

    name = "lanes"

    def __init__(self, watch: Watch, plant: Plant, site: Callable[[], Site]) -> None:
        super().__init__(watch)
        self._plant = plant
        self._site = site
        self._wanted: dict[str, set[str]] = {}
        """Load → sort destinations that a host has asked for."""
        self._plans: list[tuple[Ns, dict[str, tuple[str, frozenset[int]]]]] = []
        self._seen: dict[tuple[str, int], int] = {}
        self.sorted = 0

    def ordered(self, steps: tuple[StepRequest, ...]) -> None:
        """A host has asked for this; it counts from the asking, for it may be taken in without an answer."""
        for step in steps:
            if step.kind == "sort":
                self._wanted.setdefault(step.load, set()).add(step.to)
            else:
                self._wanted.setdefault(step.load, set()).add("/" + step.kind)

    def looked(self) -> None:
        self._note_plan()
        for name, sorter in self._plant.sorters.items():
            for number, lane in sorter.lanes.items():
                new = lane.sorted - self._seen.get((name, number), 0)
                self._seen[name, number] = lane.sorted
                if new and number != sorter.layout.reject_lane:
                    for load in list(lane.delivered)[-new:]:
                        self._arrived(name, number, load)

    def _note_plan(self) -> None:
        plan = self._site().sort_plan
        lanes = {
            city: (dest.sorter, frozenset(dest.lanes)) for city, dest in (plan.destinations if plan else {}).items()
        }
        if not self._plans or self._plans[-1][1] != lanes:
            self._plans.append((self.watch.timeline.now_ns, lanes))

    def _arrived(self, sorter: str, lane: int, load: str) -> None:
        self.sorted += 1
        now_ns = self.watch.timeline.now_ns
        ends = [*(at for at, _ in self._plans[1:]), now_ns]
        in_force = [plan for (_, plan), end in zip(self._plans, ends, strict=True) if now_ns - end <= PLAN_KEPT_NS]
        wanted = self._wanted.get(load, set())
        for plan in in_force:
            if any(sorter == plan[city][0] and lane in plan[city][1] for city in wanted if city in plan):
                return
        if "/move" in wanted or "/work" in wanted:
            location = self._plant.sorters[sorter].layout.lanes[lane]
            if location in self._plant.places and not location.startswith("LANE"):
                return  # the way to a robot cell goes over the sorter
        self.fail(f"{load} came out of {sorter} in lane {lane}; ordered was {sorted(wanted) or 'nothing'}")


class BooksMatch(Checker):
    """When all is quiet, the books and the plant say the same, and no room is kept for nobody."""

    name = "books"

    def __init__(self, watch: Watch, plant: Plant) -> None:
        super().__init__(watch)
        self._plant = plant

    def at_rest(self, kernel: Kernel) -> None:
        state = kernel.state
        plant = {load: place.partition("/")[0] for load, place in self._plant.standing()}
        runs = {run.run: run.device for run in kernel.floor.runs}
        books = {name: runs.get(load.location, load.location) for name, load in state.loads.items()}
        wrong = {
            load: (books.get(load, "not known"), plant.get(load, "not there"))
            for load in sorted(books.keys() | plant.keys())
            if books.get(load) != plant.get(load)
        }
        if wrong:
            self.fail(f"books and plant differ (load: books, plant): {dict(list(wrong.items())[:6])}")
        kept = {place: list(there) for place, there in state.coming.items() if there}
        if kept:
            self.fail(f"room is still kept though nothing moves: {kept}")
        for name, vehicle in self._plant.vehicles.items():
            home = kernel.floor.agvs[name].home
            if vehicle.last_node != home:
                self.fail(f"{name} stands at {vehicle.last_node} though nothing is to be done; its place is {home}")


def _legs(way: tuple[str, ...]) -> list[tuple[str, str]]:
    """The straight pieces of a way; a single node is a piece of no length."""
    return list(pairwise(way)) or [(way[0], way[0])]


@cache
def distance_mm(a: Point, b: Point, c: Point, d: Point) -> float:
    """The smallest distance between the segments a–b and c–d, by plane geometry and not by the kernel's tables."""
    if _cross(a, b, c, d):
        return 0.0
    return min(_to_segment(a, c, d), _to_segment(b, c, d), _to_segment(c, a, b), _to_segment(d, a, b))


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> int:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _to_segment(p: Point, a: Point, b: Point) -> float:
    span = complex(b[0] - a[0], b[1] - a[1])
    to = complex(p[0] - a[0], p[1] - a[1])
    if span == 0:
        return abs(to)
    share = min(1.0, max(0.0, (to * span.conjugate()).real / abs(span) ** 2))
    return abs(to - share * span)
