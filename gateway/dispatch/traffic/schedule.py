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
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.contract import DeviceId, NodeId
from gateway.dispatch.traffic.roadmap import Roadmap

LOOK_AHEAD_NODES = 12
COMES_BACK_NODES = 6
"""How far the way of the vehicle ahead is looked along for its coming back; on a ring everybody comes back some day."""
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
    at: int = 0


@dataclass(slots=True)
class Schedule:
    """`passes`: resource → (vehicle, index of the node it enters with it), in passing order; `locked`: who would not
    get home."""

    passes: dict[str, list[tuple[DeviceId, int]]]
    locked: list[DeviceId]


def simulate(roadmap: Roadmap, movers: list[Mover]) -> Schedule:
    """Drive all movers ahead until each is at the end of its way, or nobody can move.

    If first come, first served leaves somebody locked up, each vehicle in turn is given a head start.
    """
    movers = sorted(movers, key=lambda m: m.vehicle)
    best = _Simulation(roadmap, movers, "").run()
    for mover in movers[:HEAD_STARTS_MAX]:
        if not best.locked:
            break
        other = _Simulation(roadmap, movers, mover.vehicle).run()
        if len(other.locked) < len(best.locked):
            best = other
    return best


class _Simulation:
    def __init__(self, roadmap: Roadmap, movers: list[Mover], head_start: DeviceId) -> None:
        self.roadmap = roadmap
        self.movers = {m.vehicle: replace(m, at=0) for m in movers}
        if head_start:
            self.movers[head_start].ready_s = -NEVER_S
        self.holder: dict[str, DeviceId] = {}
        self.passes: dict[str, list[tuple[DeviceId, int]]] = {}
        for mover in movers:
            for resource in roadmap.node_claims[mover.way[0]]:
                self.holder.setdefault(resource, mover.vehicle)

    def run(self) -> Schedule:
        ready = [(m.ready_s, m.vehicle) for m in self.movers.values() if len(m.way) > 1]
        heapq.heapify(ready)
        blocked: list[tuple[float, DeviceId]] = []
        while ready or blocked:
            if not ready:
                freed = self._bring_one_home(blocked)
                if freed is None:
                    break
                ready, blocked = blocked, []
                ready = [entry for entry in ready if entry[1] != freed]
                heapq.heapify(ready)
                continue
            at_s, vehicle = heapq.heappop(ready)
            mover = self.movers[vehicle]
            if not self._may_step(mover):
                blocked.append((at_s, vehicle))
                continue
            done_s = self._step(mover, at_s)
            if mover.at < len(mover.way) - 1:
                heapq.heappush(ready, (done_s, vehicle))
            # Something has moved: whoever waited may try again, not earlier than this.
            for waited_s, waiting in blocked:
                heapq.heappush(ready, (max(waited_s, done_s if waited_s < NEVER_S else waited_s), waiting))
            blocked.clear()
        locked = sorted(m.vehicle for m in self.movers.values() if m.at < len(m.way) - 1)
        return Schedule(self.passes, locked)

    def _claims(self, mover: Mover, at: int) -> frozenset[str]:
        """What the step from `at` to the next node needs."""
        return self.roadmap.step_claims(mover.way[at], mover.way[at + 1])

    def _is_free(self, mover: Mover, claims: frozenset[str]) -> bool:
        return all(self.holder.get(r, mover.vehicle) == mover.vehicle for r in claims)

    def _may_step(self, mover: Mover) -> bool:
        return self._is_free(mover, self._claims(mover, mover.at)) and not self._meets_head_on(mover)

    def _meets_head_on(self, mover: Mover) -> bool:
        """The next vehicle on the way will come back through what this one would enter (a spur, a two-way aisle)."""
        between: set[str] = set()
        last = min(len(mover.way), mover.at + 1 + LOOK_AHEAD_NODES)
        for i in range(mover.at + 1, last):
            claims = self.roadmap.node_claims[mover.way[i]]
            others = {self.holder[r] for r in claims if self.holder.get(r, mover.vehicle) != mover.vehicle}
            for other in others:
                ahead = self.movers.get(other)
                if ahead is None or ahead.at >= len(ahead.way) - 1:
                    continue
                last_step = min(ahead.at + COMES_BACK_NODES, len(ahead.way) - 1)
                if any(not between.isdisjoint(self._claims(ahead, k)) for k in range(ahead.at, last_step)):
                    return True
            if others:
                return False
            between |= claims
        return False

    def _step(self, mover: Mover, at_s: float) -> float:
        a, b = mover.way[mover.at], mover.way[mover.at + 1]
        for resource in sorted(self._claims(mover, mover.at)):
            self.passes.setdefault(resource, []).append((mover.vehicle, mover.first + mover.at + 1))
            self.holder[resource] = mover.vehicle
        mover.at += 1
        keep = self.roadmap.node_claims[b]
        for resource in [r for r, holder in self.holder.items() if holder == mover.vehicle and r not in keep]:
            del self.holder[resource]
        stay_s = mover.stops_s.get(mover.first + mover.at, 0.0)
        return at_s + self.roadmap.length_mm(a, b) / self.roadmap.speed_mm_s[a, b] + stay_s

    def _bring_one_home(self, blocked: list[tuple[float, DeviceId]]) -> DeviceId | None:
        """Nobody may take one step: is there one whose whole way is free? Then it goes first, all the way."""
        for at_s, vehicle in sorted(blocked):
            mover = self.movers[vehicle]
            if all(self._is_free(mover, self._claims(mover, i)) for i in range(mover.at, len(mover.way) - 1)):
                while mover.at < len(mover.way) - 1:
                    at_s = self._step(mover, at_s)
                return vehicle
        return None
