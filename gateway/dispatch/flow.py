"""Conveyors: name what arrives at an entry, ask for what stands at an exit once the next device can take it.

Works on levels alone (what stands in a zone, what is booked where), so it goes on by itself after any restart.
"""

from __future__ import annotations

from gateway.contract import DeviceId, LocationId, Ns
from gateway.devices.conveyor import Conveyor, Discharge, Induct
from gateway.dispatch import ledger, loads, orders
from gateway.dispatch.floor import Run
from gateway.dispatch.state import Entry, Load
from gateway.dispatch.turn import NEVER_NS, Turn

UNKNOWN_LOAD_GRACE_NS = 10_000_000_000
"""A load may reach an entry's photo-eye before the report of whoever put it there; after this it is a stranger."""
ENTRY_TOLERANCE_NS = 5_000_000_000
"""By so much the reports of a vehicle and of the conveyor that it puts a load on may disagree in time."""
MISSING_NS = 20_000_000_000
"""A load on a conveyor that no zone shows for so long is not there."""
REJECT_FULL_NS = 60_000_000_000
"""Vehicles and people have so long to make room in a reject lane before it is called a matter for a person."""
SCAN_OVERDUE_NS = 20_000_000_000
"""A load handed to a sorter that no scanner has seen for so long has been taken away or is stuck."""


def seen(turn: Turn, device: DeviceId) -> object:
    """All that this phase and `sort.drive` look at in the picture of a conveyor or a sorter."""
    conveyor = turn.state.conveyors.get(device)
    if conveyor is None:
        sorter = turn.state.sorters[device]
        empty = [not lane.count for lane in sorter.lanes]
        return sorter.refusal(), sorter.lane_refusal(sorter.reject_lane), empty
    view: list[object] = [conveyor.refusal()]
    for run in turn.floor.runs_of[device]:
        zones = conveyor.zones[run.zone_first - 1 : run.zone_last]
        first, last = zones[0], zones[-1]
        occupied = [zone.track_id for zone in zones if zone.occupied]
        view.append(sorted(occupied))
        view += (first.state, first.track_id, last.state, last.track_id)
        if last.state == "occupied" and not last.track_id:
            view += [(zone.occupied, zone.track_id) for zone in zones]
    return view


def due_ns(turn: Turn) -> Ns:
    """When this phase has something to do at the latest, hold-offs apart."""
    state = turn.state
    handed_over = (ld.since_ns for infeed in turn.floor.sorter_by_infeed for ld in loads.at(state, infeed))
    late_ns = [since_ns + SCAN_OVERDUE_NS + 1 for since_ns in handed_over]
    put_down = (ld.put_ns for run in turn.floor.runs for ld in loads.at(state, run.source))
    late_ns += [put_ns + ENTRY_TOLERANCE_NS + 1 for put_ns in put_down if put_ns]
    return min((ns for ns in late_ns if ns > turn.now_ns), default=NEVER_NS)


def drive(turn: Turn) -> None:
    """Go over every run once."""
    for device in (*turn.state.conveyors, *turn.state.sorters):
        turn.memory.saw(device, seen(turn, device))
    for infeed, sorter in turn.floor.sorter_by_infeed.items():
        _watch_infeed(turn, infeed, sorter.id)
        _watch_reject(turn, sorter.id)
    for run in turn.floor.runs:
        conveyor = turn.state.conveyors[run.device]
        refusal = conveyor.refusal()
        if refusal is not None:
            for load in (*loads.at(turn.state, run.source), *loads.at(turn.state, run.run)):
                _say(turn, load, f"{run.device}: {refusal}")
            continue
        for load in loads.at(turn.state, run.run):
            _say(turn, load, f"on its way over {run.device}")
        _induct(turn, run, conveyor)
        _name_again(turn, run, conveyor)
        _discharge(turn, run, conveyor)
        _miss(turn, run, conveyor)


def _watch_infeed(turn: Turn, infeed: LocationId, sorter: DeviceId) -> None:
    late = [ld for ld in loads.at(turn.state, infeed) if turn.now_ns - ld.since_ns > SCAN_OVERDUE_NS]
    if late:
        text = (
            f"{sorter}: {late[0].load} was handed over at {infeed} and has not been scanned since. "
            "Look for it, then announce it where it is"
        )
        turn.raise_alarm(sorter, "not scanned", text)
    else:
        turn.clear_alarm(sorter, "not scanned")


def _watch_reject(turn: Turn, sorter: DeviceId) -> None:
    """A full reject lane stops the sorter, and the loads in it may themselves wait for room before the sorter."""
    lane = turn.state.sorters[sorter].reject_lane
    why, key = turn.state.sorters[sorter].lane_refusal(lane), f"{sorter} reject lane"
    known = turn.state.hold_offs.get(key)
    if why is None:
        turn.state.hold_offs.pop(key, None)
        turn.clear_alarm(sorter, "reject lane")
    elif known is None:
        turn.hold_off(key, sorter, why)
        turn.state.hold_offs[key].until_ns = turn.now_ns + REJECT_FULL_NS
    elif known.until_ns <= turn.now_ns:
        location = turn.floor.lane_location.get((sorter, lane), f"lane {lane}")
        text = (
            f"{sorter}: the reject {why}, so nothing is sorted. Take loads out of {location} and announce each of them"
        )
        turn.raise_alarm(sorter, "reject lane", f"{text} where you put it")


def _say(turn: Turn, load: Load, reason: str) -> None:
    task = turn.state.tasks.get(load.task)
    if task is not None:
        task.reason = reason


def _induct(turn: Turn, run: Run, conveyor: Conveyor) -> None:
    zone = conveyor.zones[run.zone_first - 1]
    stranger = f"{run.source}-stranger"
    if zone.state != "occupied" or zone.track_id:
        turn.state.hold_offs.pop(stranger, None)
        turn.clear_alarm(run.device, f"stranger in zone {run.zone_first}")
        return
    # The zone may be seen before the report of whoever put a load there; one that is booked from before is not it.
    empty_ns = turn.state.entry_empty_ns.get(run.source, 0)
    waiting = [ld for ld in loads.at(turn.state, run.source) if not _has_moved_on(ld, empty_ns)]
    load = waiting[0] if waiting else _forgotten_at_entry(turn, run, conveyor)
    if load is None:
        _stranger(turn, run, stranger)
        return
    key = f"{run.device} induct {load.load}"
    if turn.held_off(key) or ledger.open_for(turn, run.device, Induct, load.load):
        return
    ledger.issue(turn, run.device, Induct(run.zone_first, load.track_id), load.load)


def _forgotten_at_entry(turn: Turn, run: Run, conveyor: Conveyor) -> Load | None:
    """A PLC that restarted has forgotten a load that had its name and had not left the entry zone yet: on a run, which
    is single file, that is the youngest one, where as many loads without a name stand there as are booked."""
    zones = conveyor.zones[run.zone_first - 1 : run.zone_last]
    named = {zone.track_id for zone in zones}
    booked = [ld for ld in loads.at(turn.state, run.run) if ld.track_id not in named]
    nameless = sum(1 for zone in zones if zone.occupied and not zone.track_id)
    return booked[-1] if booked and nameless == len(booked) else None


def _has_moved_on(load: Load, empty_ns: Ns) -> bool:
    return 0 < load.put_ns < empty_ns - ENTRY_TOLERANCE_NS


def look_at_entries(turn: Turn, device: DeviceId) -> None:
    """Called with every report, before and after it is taken in: remember which entries are empty now."""
    conveyor = turn.state.conveyors[device]
    if conveyor.health.link != "up" or not conveyor.health.reported:
        return
    for run in turn.floor.runs_of[device]:
        if conveyor.zones[run.zone_first - 1].state == "empty":
            turn.state.entry_empty_ns[run.source] = turn.now_ns


def _miss(turn: Turn, run: Run, conveyor: Conveyor) -> None:
    """Loads that are booked on the run or at its entry, and no zone shows them: after a while they are lost."""
    zones = conveyor.zones[run.zone_first - 1 : run.zone_last]
    named = {zone.track_id for zone in zones if zone.occupied}
    nameless = any(zone.occupied and not zone.track_id for zone in zones)
    # A PLC reports what changes: an entry that was seen empty last is empty now.
    empty_ns = turn.now_ns if zones[0].state == "empty" else turn.state.entry_empty_ns.get(run.source, 0)
    booked = [ld for ld in loads.at(turn.state, run.source) if _has_moved_on(ld, empty_ns)]
    booked += loads.at(turn.state, run.run)
    for load in booked:
        key = f"{run.device} misses {load.load}"
        if load.track_id in named or nameless or ledger.open_for_load(turn, run.device, load.load):
            turn.state.hold_offs.pop(key, None)
            continue
        known = turn.state.hold_offs.get(key)
        if known is None:
            # Between two photo-eyes it is not seen, either.
            turn.hold_off(key, run.device, f"{load.load} is not seen")
            turn.state.hold_offs[key].until_ns = turn.now_ns + MISSING_NS
        elif known.until_ns <= turn.now_ns:
            del turn.state.hold_offs[key]
            loads.lost(turn, load, run.device, f"{load.load} is booked on {run.device} and no zone shows it")


def _stranger(turn: Turn, run: Run, key: str) -> None:
    known = turn.state.hold_offs.get(key)
    if known is None:
        turn.hold_off(key, run.device, "a load that nobody announced")
        turn.state.hold_offs[key].until_ns = turn.now_ns + UNKNOWN_LOAD_GRACE_NS
    elif known.until_ns <= turn.now_ns:
        text = (
            f"{run.device} zone {run.zone_first} ({run.source}): a load stands there that nobody has announced. "
            "Take it away, or announce it with its id at this location"
        )
        turn.raise_alarm(run.device, f"stranger in zone {run.zone_first}", text)


def _name_again(turn: Turn, run: Run, conveyor: Conveyor) -> None:
    """After its restart a PLC knows no load any more. A run is single file, so what reaches the exit is the oldest load
    booked on it; but only while as many nameless loads stand there as are booked, or someone has taken one away."""
    exit_zone = conveyor.zones[run.zone_last - 1]
    code = f"nameless load in zone {run.zone_last}"
    key = f"{run.device} nameless"
    if exit_zone.state != "occupied" or exit_zone.track_id or run.zone_first == run.zone_last:
        turn.state.hold_offs.pop(key, None)
        turn.clear_alarm(run.device, code)
        return
    zones = conveyor.zones[run.zone_first - 1 : run.zone_last]
    named = {zone.track_id for zone in zones}
    booked = [ld for ld in loads.at(turn.state, run.run) if ld.track_id not in named]
    at_entry = loads.at(turn.state, run.source) and zones[0].occupied
    nameless = sum(1 for zone in zones if zone.occupied and not zone.track_id) - bool(at_entry)
    if booked and nameless == len(booked):
        again = f"{run.device} induct {booked[0].load}"
        if not turn.held_off(again) and not ledger.open_for(turn, run.device, Induct, booked[0].load):
            ledger.issue(turn, run.device, Induct(run.zone_last, booked[0].track_id), booked[0].load)
        return
    known = turn.state.hold_offs.get(key)
    if known is None:
        # Loads between two photo-eyes are not seen just now: give them time to arrive.
        turn.hold_off(key, run.device, "loads without a name")
        turn.state.hold_offs[key].until_ns = turn.now_ns + UNKNOWN_LOAD_GRACE_NS
    elif known.until_ns <= turn.now_ns:
        text = (
            f"{run.device} zone {run.zone_last}: {nameless} loads on it have no name and {len(booked)} are booked "
            f"({', '.join(ld.load for ld in booked[:5]) or 'none'}). Take them off and announce each where you put it"
        )
        turn.raise_alarm(run.device, code, text)


def _discharge(turn: Turn, run: Run, conveyor: Conveyor) -> None:
    zone = conveyor.zones[run.zone_last - 1]
    if zone.state != "occupied" or not zone.track_id:
        turn.clear_alarm(run.device, f"unknown track in zone {run.zone_last}")
        return
    load = loads.by_track(turn.state, zone.track_id)
    if load is None:
        text = f"{run.device} zone {run.zone_last}: track {zone.track_id} is at the exit and belongs to no known load"
        turn.raise_alarm(run.device, f"unknown track in zone {run.zone_last}", text)
        return
    turn.clear_alarm(run.device, f"unknown track in zone {run.zone_last}")
    if ledger.open_for(turn, run.device, Discharge, load.load):
        return  # it is being handed over: what follows may have reported it already
    if load.location != run.run:
        # The plant outranks the books: the load stands where its PLC says.
        turn.note(run.device, "load found", f"{load.load} was booked at {load.location or 'nowhere'}")
        loads.book(turn, load, run.run)
    refusal = _next_refusal(turn, run)
    key = f"{run.device} discharge {load.load}"
    if refusal is not None:
        _say(turn, load, f"at the exit of {run.device}: {refusal}")
    elif not turn.held_off(key):
        ledger.issue(turn, run.device, Discharge(run.zone_last, load.track_id), load.load)


def _next_refusal(turn: Turn, run: Run) -> str | None:
    """Why what follows the run can't take a load now."""
    state, floor = turn.state, turn.floor
    count, room = loads.taken(turn, run.dest), floor.room(run.dest)
    if count >= room:
        return f"{run.dest} is taken"
    sorter_spec = floor.sorter_by_infeed.get(run.dest)
    if sorter_spec is not None:
        sorter = state.sorters[sorter_spec.id]
        return sorter.refusal() or sorter.lane_refusal(sorter.reject_lane)
    cell_spec = floor.cell_by_infeed.get(run.dest)
    if cell_spec is not None:
        cell = state.cells[cell_spec.id]
        return cell.refusal() or (f"{run.dest} is occupied" if cell.infeed_occupied else None)
    return None


def settled(turn: Turn, entry: Entry, ok: bool, text: str) -> None:
    """The PLC is through with an induct or a discharge."""
    load = turn.state.loads.get(entry.load)
    if load is None or not isinstance(entry.action, Induct | Discharge):
        return
    inducted = isinstance(entry.action, Induct)
    key = f"{entry.device} {'induct' if inducted else 'discharge'} {load.load}"
    if not ok:
        turn.hold_off(key, entry.device, text)
        _say(turn, load, f"{entry.device} {text}")
        return
    turn.went_well(key, entry.device)
    zone = entry.action.zone
    run = next(r for r in turn.floor.runs if r.device == entry.device and zone in (r.zone_first, r.zone_last))
    if inducted:
        loads.book(turn, load, run.run)
    elif load.location == run.run:
        # Only from the run: the next device may have reported the load before this echo came.
        loads.book(turn, load, run.dest)
        arrived(turn, load)


def put_down(turn: Turn, load: Load, location: LocationId) -> None:
    """A vehicle or a divert has put the load down. At the entry of a run there is room for one only, so whatever was
    booked there before has moved on, if it has been named, and is gone otherwise."""
    run = turn.floor.run_by_source.get(location)
    for before in loads.at(turn.state, location) if run is not None else ():
        assert run is not None
        if before is load:
            continue
        if ledger.open_for(turn, run.device, Induct, before.load):
            turn.note(run.device, "load moved on", f"{before.load} is not at {location} any more: {load.load} is")
            loads.book(turn, before, run.run)
        else:
            loads.lost(turn, before, run.device, f"{before.load} was at {location}, where {load.load} stands now")
    loads.book(turn, load, location)
    load.put_ns = turn.now_ns
    arrived(turn, load)


def arrived(turn: Turn, load: Load) -> None:
    """A move ends where it was meant to end."""
    task = turn.state.tasks.get(load.task)
    if task is not None and task.kind == "move" and load.location == task.to:
        orders.finish(turn, task)
