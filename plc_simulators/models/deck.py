"""A vehicle's load deck: one load, picked from and put down at the locations of the node where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plc_simulators.models.place import Place
from plc_simulators.models.vda_order import Action

HANDLING_NS = 4_000_000_000
"""One pick or drop."""
ROOM_WAIT_NS = 30_000_000_000
"""How long a drop waits for room."""


@dataclass(slots=True)
class World:
    """What a vehicle stands in: node positions, locations by id, and the node at which each is reached."""

    nodes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    node_of: Mapping[str, str] = field(default_factory=dict)


class Deck:
    """`load` is "" while the deck is empty. Problems are texts for `resultDescription`, "" means done."""

    def __init__(self, world: World) -> None:
        self.load = ""
        self._world = world

    def take_away(self) -> str:
        """A person lifts the load off the deck; "" where there is none."""
        load, self.load = self.load, ""
        return load

    def pick(self, action: Action, node: str) -> str:
        """Take the load that the action names (any, if it names none) from its station at `node`."""
        name = str(action.parameters.get("stationName") or "")
        place, wanted = self._place(name, node), str(action.parameters.get("loadId") or "")
        if place is None:
            return self._unreachable(name, node)
        if self.load:
            return f"deck holds {self.load} already"
        load = place.give(wanted)
        if load is None:
            return f"load {wanted or '(any)'} is not at {name}"
        self.load = load
        return ""

    def drop(self, action: Action, node: str, waited_ns: int) -> str | None:
        """Put the load down at the action's station; None while it still waits for room."""
        name = str(action.parameters.get("stationName") or "")
        place, wanted = self._place(name, node), str(action.parameters.get("loadId") or "")
        if place is None:
            return self._unreachable(name, node)
        if not self.load or wanted not in ("", self.load):
            return f"deck holds {self.load or 'nothing'}, not {wanted or 'a load'}"
        if place.room() < 1:
            return f"no room at {name} within {ROOM_WAIT_NS // 10**9} s" if waited_ns >= ROOM_WAIT_NS else None
        place.take(self.load)
        self.load = ""
        return ""

    def _place(self, name: str, node: str) -> Place | None:
        return self._world.places.get(name) if self._world.node_of.get(name) == node else None

    def _unreachable(self, name: str, node: str) -> str:
        if name not in self._world.places:
            return f"stationName {name!r} is no location"
        return f"location {name} can't be reached from node {node}"
