"""Where every load is, and room: what stands in a place plus what is on its way to it never exceeds its room."""

from __future__ import annotations

from gateway.contract import LoadId, LocationId
from gateway.dispatch.floor import Hop
from gateway.dispatch.state import Load, State
from gateway.dispatch.turn import Turn

LOADS_MAX = 200_000
TRACK_ID_MAX = 2**32 - 1


def add(turn: Turn, load: LoadId, location: LocationId, barcodes: tuple[str, ...]) -> Load:
    """A load that was not known stands at `location`; its own id counts as a barcode."""
    state = turn.state
    state.track_number = state.track_number % TRACK_ID_MAX + 1
    while state.track_number in state.by_track:
        state.track_number = state.track_number % TRACK_ID_MAX + 1
    new = Load(load, state.track_number, "")
    state.loads[load] = new
    state.by_track[new.track_id] = load
    add_barcodes(state, new, (*barcodes, load))
    book(turn, new, location)
    return new


def add_barcodes(state: State, load: Load, barcodes: tuple[str, ...]) -> None:
    """The load carries these, too; what it carried already stays."""
    for code in dict.fromkeys(barcodes):
        if code not in load.barcodes:
            load.barcodes = (*load.barcodes, code)
            state.by_barcode.setdefault(code, []).append(load.load)


def forget(turn: Turn, load: Load) -> None:
    """The load has left the site."""
    state = turn.state
    release_room(state, load.load)
    book(turn, load, "")
    del state.loads[load.load]
    del state.by_track[load.track_id]
    for code in load.barcodes:
        known = state.by_barcode[code]
        known.remove(load.load)
        if not known:
            del state.by_barcode[code]


def book(turn: Turn, load: Load, location: LocationId) -> None:
    """The load is now at `location` (empty: nowhere known); room that it had reserved there is used up."""
    if load.location == location:
        return
    standing = turn.state.standing
    if load.location:
        standing[load.location].pop(load.load, None)
        if not standing[load.location]:
            del standing[load.location]
    if location:
        standing.setdefault(location, {})[load.load] = 1
    load.location, load.since_ns = location, turn.now_ns
    turn.state.coming.get(turn.floor.place_of(location), {}).pop(load.load, None)


def at(state: State, location: LocationId) -> list[Load]:
    """The loads booked at one location, oldest first."""
    return [state.loads[load] for load in state.standing.get(location, {})]


def by_barcodes(state: State, barcodes: tuple[str, ...]) -> list[Load]:
    """All loads that carry one of the barcodes."""
    found = dict.fromkeys(load for code in barcodes for load in state.by_barcode.get(code, ()))
    return [state.loads[load] for load in found]


def by_track(state: State, track_id: int) -> Load | None:
    load = state.by_track.get(track_id)
    return state.loads[load] if load else None


def taken(turn: Turn, place: LocationId) -> int:
    """Loads in a place and on their way to it. A run's entry and its zones are one place."""
    run = turn.floor.run_by_id.get(place)
    coming = turn.state.coming.get(place, {})
    count = len(coming)
    for location in (place, run.source) if run else (place,):
        count += sum(1 for load in turn.state.standing.get(location, {}) if load not in coming)
    return count


def places_of(turn: Turn, route: tuple[Hop, ...]) -> list[LocationId]:
    """The places of a route where room must be reserved before it is begun.

    A run's exit is not among them: whoever discharges looks whether it is free, and what is on the run always has
    its place there. Nor is a lane: its PLC says how full it is, and the reject lane is the way out.
    """
    exits = {run.dest for run in turn.floor.runs}
    places: list[LocationId] = []
    for hop in route:
        place = turn.floor.place_of(hop.dest)
        is_lane = place in turn.floor.lane_locations
        if hop.dest in exits or is_lane or place in places:
            continue
        places.append(place)
    return places


def no_room(turn: Turn, load: Load, route: tuple[Hop, ...]) -> str | None:
    """Why the route can't be begun for want of room, None when it can."""
    here = turn.floor.place_of(load.location)
    for place in places_of(turn, route):
        if place == here or load.load in turn.state.coming.get(place, {}):
            continue
        count, room = taken(turn, place), turn.floor.room(place)
        if count >= room:
            return f"{place} has no room: {count} of {room} loads there or on their way"
    return None


def reserve(turn: Turn, load: Load, route: tuple[Hop, ...]) -> None:
    here = turn.floor.place_of(load.location)
    for place in places_of(turn, route):
        if place != here:
            turn.state.coming.setdefault(place, {})[load.load] = 1


def release_room(state: State, load: LoadId) -> None:
    """Give back all room that was reserved for a load that will not come."""
    for coming in state.coming.values():
        coming.pop(load, None)
