"""Another site in force: what may change when, and what has to be put straight with it.

Policies, the sort plan, people and names may change at any time. Devices, locations, profiles and the roadmap are
what drivers, trips and bookings hang on: they change at a start only, and only where nothing hangs on what goes.
"""

from __future__ import annotations

from gateway.dispatch import work
from gateway.dispatch.floor import Floor
from gateway.dispatch.state import State
from gateway.dispatch.turn import Turn
from gateway.site import Site

NAMED_MAX = 8
_FIXED = ("map", "locations", "devices", "profiles")


def refusal(old: Site, new: Site, state: State, *, at_start: bool) -> str | None:
    """Why `new` can't be put in force now; nothing has changed then."""
    if new.site.id != old.site.id:
        return f"it is the configuration of site {new.site.id!r}, this gateway runs {old.site.id!r}"
    changed = [part for part in _FIXED if getattr(new, part) != getattr(old, part)]
    if not changed:
        return None
    if not at_start:
        return f"its {', '.join(changed)} differ from what is in force: that takes effect with a restart"
    in_use = _in_use(old, new, state)
    if not in_use:
        return None
    more = f" and {len(in_use) - NAMED_MAX} more" if len(in_use) > NAMED_MAX else ""
    return (
        f"something still hangs on what it takes away: {'; '.join(in_use[:NAMED_MAX])}{more}. Start with the earlier "
        "configuration, let these come to an end (or cancel the orders and take the loads away), then change it"
    )


def _in_use(old: Site, new: Site, state: State) -> list[str]:
    """What hangs on the parts of `old` that `new` does not have any more or has otherwise."""
    before, after = {d.id: d for d in old.devices}, {d.id: d for d in new.devices}
    other = {name for name, spec in before.items() if after.get(name) != spec and _rebuilt(spec, after.get(name))}
    found = [
        f"{trip.vehicle} is under way" for trip in state.trips.values() if old.map != new.map or trip.vehicle in other
    ]
    found += [f"command {e.command_id} is open" for e in state.ledger.values() if e.device in other]
    gone = _places(old) - _places(new)
    found += [
        f"{vehicle} waits for a decision about {question.action_id}"
        for vehicle, question in state.questions.items()
        if {vehicle, question.at} & (gone | other)
    ]
    found += [f"load {load} is booked at {place}" for place in sorted(gone) for load in state.standing.get(place, ())]
    found += [f"load {load} is on its way to {place}" for place in sorted(gone) for load in state.coming.get(place, ())]
    for order in (*(entry[-1] for entry in state.queue), *state.released):
        for name in state.orders[order].tasks:
            task = state.tasks[name]
            if {task.to, task.target, task.device} & (gone | other):
                found.append(f"step {name} needs {task.target or task.to}")
    return found


def _rebuilt(spec: object, new: object) -> bool:
    """Whether the device is another one now, and not only at another address."""
    if new is None or type(new) is not type(spec):
        return True
    shape = ("zones", "runs", "lanes", "reject_lane", "infeed", "outfeed", "home", "location")
    return any(getattr(spec, name, None) != getattr(new, name, None) for name in shape)


def _places(site: Site) -> set[str]:
    """Everything where a load may be booked."""
    floor = {loc.id for loc in site.locations} | {d.id for d in site.devices}
    return floor | {f"{d.id}.{i}" for d in site.devices for i, _ in enumerate(getattr(d, "runs", ()), 1)}


def put_straight(turn: Turn, new: Site) -> None:
    """Let go of what `new` does not know any more: people at work, devices. `turn` is still on the old site."""
    state = turn.state
    people, stations = {p.id for p in new.people}, {d.id for d in new.devices}
    for person, station in list(state.people.items()):
        if person not in people or station not in stations:
            work.sign_off(turn, person)
            turn.note("site", "signed off", f"{person} is no longer in the configuration")
    before, after = {d.id: d for d in turn.site.devices}, {d.id: d for d in new.devices}
    for device, spec in before.items():
        if _rebuilt(spec, after.get(device)):
            for group in (state.conveyors, state.sorters, state.cells, state.agvs, state.stations):
                group.pop(device, None)
            if device in state.charge_skipped:
                state.charge_skipped.remove(device)
            for key in [k for k, a in state.alarms.items() if a.source == device]:
                turn.clear_alarm(device, key.partition("/")[2])
    state.traffic_seen, state.passes_void = "", bool(state.trips)


def in_force(turn: Turn, site: Site, floor: Floor) -> None:
    """The rest of the turn works with the new site."""
    turn.site, turn.floor = site, floor
    turn.clear_alarm("site", "not-changed")
    turn.clear_alarm("site", "not-reloaded")
    turn.note("site", "in force", f"{len(site.devices)} devices, {len(site.people)} people")
