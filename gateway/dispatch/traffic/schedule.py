"""Who passes each contested place before whom: worked out ahead, so that nobody can be locked up.

All vehicles are driven ahead in thought, from the last node released to each, along its way and on to its own
parking place, the one that is ready first moving first. If everybody gets home, the order in which they passed every
node is a schedule without a cycle: whoever keeps to it, however late, can always go on some day. If somebody
does not, the change that was tried is not made.

Parking places are private and off everyone else's way (the site check holds that). The drive in thought depends on
nothing but the vehicles' positions and ways; a vehicle that can't move just now goes last wherever that is possible.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from gateway.contract import DeviceId, NodeId
from gateway.dispatch.traffic.roadmap import Roadmap, Step


@dataclass(frozen=True, slots=True)
class Lookout:
    """How far ahead a mover looks for the next vehicle, and how far that one's way is looked along for its coming back
    through what the mover would enter."""

    ahead_nodes: int
    comes_back_nodes: int


FAR = Lookout(12, 6)
NEAR = Lookout(2, 2)
"""Enough for a spur of one node, and blind for a whole ring, on which everybody comes back some day."""
NONE = Lookout(0, 0)
HEAD_STARTS_MAX = 16
NEVER_S = 1e12


@dataclass(slots=True)
class Mover:
    """One vehicle in thought: `way` from where it stands to its parking place; `first` is the index of `way[0]` in its
    trip. `stops_s`: index → seconds that it stays there (picking, dropping)."""

    vehicle: DeviceId
    way: Sequence[NodeId]
    first: int
    ready_s: float
    stops_s: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Schedule:
    """`passes`: resource → (vehicle, index of the node it enters with it), in passing order; `locked`: who would not
    get home."""

    passes: dict[str, list[tuple[DeviceId, int]]]
    locked: list[DeviceId]


def simulate(roadmap: Roadmap, movers: list[Mover]) -> Schedule:
    """Drive all movers ahead until each is at the end of its way, or nobody can move.

    If first come, first served leaves somebody locked up, each vehicle in turn is given a head start; then they look
    out for head-on meetings less far, and in the end not at all: on a ring it may go well.
    """
    driven = [_driven(roadmap, mover) for mover in sorted(movers, key=lambda m: m.vehicle)]
    best = _Simulation(driven, "", FAR).run()
    for head_start, lookout in _other_ways(driven):
        if not best.locked:
            break
        other = _Simulation(driven, head_start, lookout).run()
        if len(other.locked) < len(best.locked):
            best = other
    return best


def _other_ways(driven: list[_Driven]) -> Iterator[tuple[DeviceId, Lookout]]:
    some = driven[:HEAD_STARTS_MAX]
    yield from ((mover.vehicle, FAR) for mover in some)
    yield "", NONE
    yield "", NEAR
    yield from ((mover.vehicle, NEAR) for mover in some)


@dataclass(slots=True)
class _Driven:
    """A mover with what its way needs, looked up once: `nodes` and `steps` go with `way`; `held` is what it holds.
    Claims are bits of integers here."""

    vehicle: DeviceId
    ready_s: float
    first: int
    stops_s: dict[int, float]
    nodes: list[int]
    steps: list[Step]
    held: int = 0
    at: int = 0

    def needs_soon(self, steps: int) -> int:
        """All claims of its next `steps`."""
        needed = 0
        for step in self.steps[self.at : self.at + steps]:
            needed |= step.bits
        return needed


class _Simulation:
    def __init__(self, driven: list[_Driven], head_start: DeviceId, lookout: Lookout) -> None:
        self.lookout = lookout
        self.driven = {m.vehicle: replace(m) for m in driven}
        if head_start:
            self.driven[head_start].ready_s = -NEVER_S
        self.held = 0
        self.passes: dict[str, list[tuple[DeviceId, int]]] = {}
        for mover in self.driven.values():
            # Where two stand too near already, the first one has what both would need.
            mover.held = mover.nodes[0] & ~self.held
            self.held |= mover.held

    def run(self) -> Schedule:
        ready = [(m.ready_s, m.vehicle) for m in self.driven.values() if m.steps]
        heapq.heapify(ready)
        blocked: list[tuple[float, DeviceId]] = []
        while ready:
            at_s, vehicle = heapq.heappop(ready)
            mover = self.driven[vehicle]
            if not self._may_step(mover):
                blocked.append((at_s, vehicle))
                continue
            done_s = self._step(mover, at_s)
            if mover.at < len(mover.steps):
                heapq.heappush(ready, (done_s, vehicle))
            # Something has moved: whoever waited may try again, not earlier than this.
            for waited_s, waiting in blocked:
                heapq.heappush(ready, (max(waited_s, done_s if waited_s < NEVER_S else waited_s), waiting))
            blocked.clear()
        locked = sorted(m.vehicle for m in self.driven.values() if m.at < len(m.steps))
        return Schedule(self.passes, locked)

    def _may_step(self, mover: _Driven) -> bool:
        of_others = self.held ^ mover.held
        if mover.steps[mover.at].bits & of_others:
            return False
        return not self._meets_head_on(mover, of_others)

    def _meets_head_on(self, mover: _Driven, of_others: int) -> bool:
        """The next vehicle on the way will come back through what this one would enter (a spur, a two-way aisle)."""
        between = 0
        for claims in mover.nodes[mover.at + 1 : mover.at + 1 + self.lookout.ahead_nodes]:
            if claims & of_others:
                for ahead in self.driven.values():
                    if (
                        ahead.held & claims
                        and ahead is not mover
                        and ahead.needs_soon(self.lookout.comes_back_nodes) & between
                    ):
                        return True
                return False
            between |= claims
        return False

    def _step(self, mover: _Driven, at_s: float) -> float:
        step = mover.steps[mover.at]
        mover.at += 1
        entry = (mover.vehicle, mover.first + mover.at)
        for resource in step.claims:
            self.passes.setdefault(resource, []).append(entry)
        # It has left what it came from; of what the step needed it keeps the node that it stands on.
        self.held ^= mover.held
        mover.held = mover.nodes[mover.at]
        self.held |= mover.held
        return at_s + step.seconds + mover.stops_s.get(entry[1], 0.0)


def _driven(roadmap: Roadmap, mover: Mover) -> _Driven:
    nodes = [roadmap.node_bits[node] for node in mover.way]
    steps = [roadmap.step(a, b) for a, b in pairwise(mover.way)]
    return _Driven(mover.vehicle, mover.ready_s, mover.first, mover.stops_s, nodes, steps)
