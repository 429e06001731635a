"""Where every load is, and room: what stands in a place plus what is on its way to it never exceeds its room."""

from __future__ import annotations

from gateway.contract import DeviceId, LoadId, LocationId
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


def looked_for(turn: Turn, load: LoadId) -> None:
    """A person has told where the load is, or that it is gone: nobody need look for it any more."""
    codes = ("not scanned", f"lost {load}", f"gave up {load}", f"mis-sort {load}", f"two places {load}")
    for alarm in list(turn.state.alarms.values()):
        if alarm.code in codes:
            turn.clear_alarm(alarm.source, alarm.code)


def forget(turn: Turn, load: Load) -> None:
    """The load has left the site."""
    state = turn.state
    looked_for(turn, load.load)
    release_room(turn, load.load)
    book(turn, load, "")
    del state.loads[load.load]
    del state.by_track[load.track_id]
    for code in load.barcodes:
        del state.by_barcode[code]  # nobody else has it: one that belongs to a load is refused for any other


def book(turn: Turn, load: Load, location: LocationId) -> None:
    """The load is now at `location` (empty: nowhere known); room that it had reserved there is used up."""
    if load.location == location:
        return
    turn.touch()
    standing = turn.state.standing
    if load.location:
        standing[load.location].pop(load.load, None)
        if not standing[load.location]:
            del standing[load.location]
    if location:
        standing.setdefault(location, {})[load.load] = 1
    load.location, load.since_ns, load.put_ns = location, turn.now_ns, 0
    turn.state.coming.get(turn.floor.place_of(location), {}).pop(load.load, None)


def exchange(turn: Turn, known: Load, other: Load) -> None:
    """Two loads have been taken for one another: each gets the track and the place of the other."""
    state = turn.state
    known.track_id, other.track_id = other.track_id, known.track_id
    state.by_track[known.track_id], state.by_track[other.track_id] = known.load, other.load
    place = known.location
    book(turn, known, other.location)
    book(turn, other, place)


def lost(turn: Turn, load: Load, device: DeviceId, text: str) -> None:
    """Nobody knows where the load is; a person has to find it, and its order goes on from there."""
    release_room(turn, load.load)
    book(turn, load, "")
    turn.state.tally.loads_lost += 1
    text = f"{text}. Look for it and announce it where it is, or remove it"
    turn.raise_alarm(device, f"lost {load.load}", text)
    task = turn.state.tasks.get(load.task)
    if task is not None:
        task.reason = text


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
    coming = turn.state.coming.get(place, ())
    count = len(coming)
    for location in (place, run.source) if run else (place,):
        standing = turn.state.standing.get(location, {})
        count += len(standing) - sum(load in standing for load in coming)
    return count


def no_room(turn: Turn, load: Load, route: tuple[Hop, ...]) -> str | None:
    """Why the route can't be begun for want of room, None when it can."""
    for place in turn.floor.places(route):
        if load.load in turn.state.coming.get(place, {}):
            continue
        count, room = taken(turn, place), turn.floor.room(place)
        if count >= room:
            return f"{place} has no room: {count} of {room} loads there or on their way"
    return None


def reserve(turn: Turn, load: Load, route: tuple[Hop, ...]) -> None:
    turn.touch()
    for place in turn.floor.places(route):
        turn.state.coming.setdefault(place, {})[load.load] = 1


def release_room(turn: Turn, load: LoadId) -> None:
    """Give back all room that was reserved for a load that will not come."""
    turn.touch()
    for coming in turn.state.coming.values():
        coming.pop(load, None)
