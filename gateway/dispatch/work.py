"""Work on loads: by people at stations, by skill, and by robot cells, by recipe.

A work step names the place where it is to be done or leaves it to the dispatcher, which takes the place with the
skill and the least work before it.
"""

from __future__ import annotations

from gateway.contract import ConfirmWork, DeviceId, LocationId, Ns, PersonId
from gateway.devices import workstation
from gateway.devices.facts import CellFinished
from gateway.devices.robot_cell import Control, RobotCell
from gateway.devices.workstation import Workstation
from gateway.dispatch import ledger, loads, orders
from gateway.dispatch.state import Entry, Load, Task
from gateway.dispatch.turn import NEVER_NS, Turn

NO_ORDER_NS = 10_000_000_000
"""So long a load at a cell may have no order before a person is called: its host may just be sending one."""


def choose_target(turn: Turn, task: Task, load: Load) -> str | None:
    """Fix where a work task is done; the reason where no place can do it now. Whoever keeps the target touches."""
    if task.target:
        return None
    best: tuple[float, LocationId, DeviceId] | None = None
    reasons: list[str] = []
    for device, location in _places(turn):
        if task.to and task.to not in (device, location):
            continue
        refusal = _refusal(turn, device, task)
        route = turn.floor.route(load.location, location)
        on_deck = load.location in turn.floor.agvs
        if refusal is None and route is None and not (on_deck and _can_be_brought(turn, location)):
            refusal = f"no route from {load.location}"
        if refusal is not None:
            reasons.append(f"{device}: {refusal}")
            continue
        seconds = sum(hop.seconds for hop in route or ())
        waiting = loads.taken(turn, turn.floor.place_of(location))
        offer = (seconds + 30.0 * waiting, location, device)
        best = min(best, offer) if best else offer
    if best is None:
        return "; ".join(reasons) or f"no station or cell is called {task.to or 'so'}"
    task.target, task.device = best[1], best[2]
    return None


def _can_be_brought(turn: Turn, location: LocationId) -> bool:
    """A vehicle that has a load on its deck can put it down there, or where a conveyor or the like takes it there."""
    for place in filter(turn.floor.can_drop, turn.floor.locations):
        route = turn.floor.route(place, location)
        if route is not None and (not route or route[0].kind != "agv"):
            return True
    return False


def _places(turn: Turn) -> list[tuple[DeviceId, LocationId]]:
    stations = [(s.id, s.location) for s in turn.floor.stations.values()]
    return stations + [(c.id, c.infeed) for c in turn.floor.cells.values()]


def _refusal(turn: Turn, device: DeviceId, task: Task) -> str | None:
    """Why a station or cell can't do this task now."""
    state, floor = turn.state, turn.floor
    if device in floor.cells:
        spec, cell = floor.cells[device], state.cells[device]
        if task.skill not in spec.skills:
            return f"has no skill {task.skill}"
        if task.recipe and spec.recipes and task.recipe not in spec.recipes:
            return f"has no recipe {task.recipe} (has {', '.join(spec.recipes)})"
        return cell.refusal()
    station = state.stations[device]
    refusal = station.refusal()
    if refusal is None and task.skill not in floor.people[station.person].skills:
        refusal = f"{station.person} has no skill {task.skill}"
    return refusal


def seen(cell: RobotCell) -> object:
    """All that this phase looks at in the picture of a cell."""
    return cell.refusal(), cell.state, cell.infeed_occupied, cell.outfeed_occupied


def due_ns(turn: Turn) -> Ns:
    """When this phase has something to do at the latest, hold-offs apart."""
    places = [place for cell in turn.floor.cells.values() for place in (cell.infeed, cell.outfeed)]
    standing = (ld.since_ns for place in places for ld in loads.at(turn.state, place))
    idle_ns = (since_ns + NO_ORDER_NS + 1 for since_ns in standing)
    return min((ns for ns in idle_ns if ns > turn.now_ns), default=NEVER_NS)


def drive(turn: Turn) -> None:
    """Give every free person and every cell its next piece of work."""
    for cell in turn.state.cells.values():
        turn.memory.saw(cell.device, seen(cell))
    tasks = [t for t in orders.ready_tasks(turn) if t.kind == "work"]
    for task in tasks:
        load = turn.state.loads.get(task.load)
        if load is not None and not task.person and load.location in turn.floor.stations_by_location:
            task.reason = f"waits at {load.location} for a free person with skill {task.skill}"
    for station in turn.state.stations.values():
        if station.state == "staffed":
            _offer(turn, station, tasks)
    for cell in turn.state.cells.values():
        _run_cell(turn, cell, tasks)


def _offer(turn: Turn, station: Workstation, tasks: list[Task]) -> None:
    location = turn.floor.stations[station.device].location
    skills = turn.floor.people[station.person].skills
    for task in tasks:
        load = turn.state.loads.get(task.load)
        if load is None or load.location != location or task.person or task.skill not in skills:
            continue
        if task.to and task.to not in (location, station.device):
            continue
        workstation.begin(station, task.task)
        orders.begin(turn, task)
        task.device, task.person, task.target = station.device, station.person, location
        task.reason = f"{station.person} is working on it at {station.device}"
        return


def confirm(turn: Turn, request: ConfirmWork) -> None:
    """A person says that a piece of work is done, or can't be done."""
    task = turn.state.tasks[request.task]
    station = turn.state.stations[task.device]
    workstation.end(station)
    task.person = ""
    if not request.ok:
        orders.fail(turn, task, f"{request.person}: {request.note or 'could not be done'}")
        return
    turn.state.loads[task.load].unsure = ""
    orders.finish(turn, task)


def sign_off(turn: Turn, person: PersonId) -> None:
    """The person goes; what they had in hand waits for the next one."""
    station = turn.state.stations[turn.state.people.pop(person)]
    task = turn.state.tasks.get(station.task)
    workstation.sign_off(station)
    if task is not None and task.state == "active":
        task.person = task.device = ""
        orders.set_back(turn, task, f"{person} signed off before it was done")


# --- robot cells ---


def _run_cell(turn: Turn, cell: RobotCell, tasks: list[Task]) -> None:
    spec = turn.floor.cells[cell.device]
    standing = loads.at(turn.state, spec.infeed)
    _watch_places(turn, cell, [*standing, *loads.at(turn.state, spec.outfeed)])
    for place, occupied in ((spec.infeed, cell.infeed_occupied), (spec.outfeed, cell.outfeed_occupied)):
        _watch_stranger(turn, cell, place, occupied=occupied)
    refusal = cell.refusal()
    if refusal is not None:
        for load in standing:
            _say(turn, load, f"{cell.device}: {refusal}")
        return
    if ledger.outstanding(turn, cell.device):
        return
    if cell.state in ("Stopped", "Complete"):
        _command(turn, cell, Control("Reset"), "")
        return
    by_name = {ld.load: ld for ld in standing}
    for late in tasks:
        # Ordered when its load was already on its way or here: nobody has asked yet where it is to be done.
        if late.load in by_name and not late.target:
            why = choose_target(turn, late, by_name[late.load])
            if why is None:
                turn.touch()
            else:
                late.reason = why
    if cell.state == "Held":
        for load in standing:
            _say(turn, load, f"{cell.device} is held: look at the cell, then reset it")
        return
    task = next((t for t in tasks if t.target == spec.infeed and any(ld.load == t.load for ld in standing)), None)
    if task is None or cell.state != "Idle":
        return
    load = turn.state.loads[task.load]
    if loads.at(turn.state, spec.outfeed) or cell.outfeed_occupied:
        task.reason = f"{spec.outfeed} is taken: a vehicle has to fetch what stands there"
        return
    if _command(turn, cell, Control("Start", load.track_id, task.recipe), load.load):
        orders.begin(turn, task)
        task.reason = f"{cell.device} is working on it"


def _watch_places(turn: Turn, cell: RobotCell, standing: list[Load]) -> None:
    """Nothing but an order takes a load out of a cell again: one without blocks cell and conveyor."""
    infeed = turn.floor.cells[cell.device].infeed
    gone = [ld for ld in standing if ld.location == infeed and turn.now_ns - ld.since_ns > NO_ORDER_NS]
    if gone and cell.state == "Idle" and cell.health.reported and not cell.infeed_occupied:
        text = (
            f"{cell.device}: {gone[0].load} is booked at {infeed}, where the cell sees no load. Look for it (at the "
            "outfeed, if the cell restarted before its work was seen), then announce it where it is"
        )
        turn.raise_alarm(cell.device, "load not there", text)
    else:
        turn.clear_alarm(cell.device, "load not there")
    idle = [ld for ld in standing if not ld.task and turn.now_ns - ld.since_ns > NO_ORDER_NS]
    if idle:
        text = (
            f"{cell.device}: {idle[0].load} stands at {idle[0].location} without an order. Take it away and announce "
            "it where you put it, or order something for it"
        )
        turn.raise_alarm(cell.device, "load without order", text)
    else:
        turn.clear_alarm(cell.device, "load without order")


def _watch_stranger(turn: Turn, cell: RobotCell, place: LocationId, *, occupied: bool) -> None:
    """What the cell's sensor shows and the books do not have blocks it, and nobody would come for it."""
    key, code = f"{cell.device} {place} stranger", f"unknown load in {place}"
    if not occupied or loads.at(turn.state, place):
        turn.state.hold_offs.pop(key, None)
        turn.clear_alarm(cell.device, code)
        return
    known = turn.state.hold_offs.get(key)
    if known is None:
        # The sensor may be seen before the echo of whoever handed the load over.
        turn.hold_off(key, cell.device, "a load that nobody announced")
        turn.state.hold_offs[key].until_ns = turn.now_ns + NO_ORDER_NS
    elif known.until_ns <= turn.now_ns:
        text = f"{cell.device}: a load stands at {place} that nobody has announced. Take it away, or announce it there"
        turn.raise_alarm(cell.device, code, text)


def _command(turn: Turn, cell: RobotCell, action: Control, load: str) -> bool:
    key = f"{cell.device} {action.command}"
    if turn.held_off(key):
        return False
    return ledger.issue(turn, cell.device, action, load) is not None


def _say(turn: Turn, load: Load, reason: str) -> None:
    task = turn.state.tasks.get(load.task)
    if task is not None:
        task.reason = reason


def settled(turn: Turn, entry: Entry, ok: bool, text: str) -> None:
    """The cell has taken or refused a command."""
    if not isinstance(entry.action, Control):
        return
    key = f"{entry.device} {entry.action.command}"
    if ok:
        turn.went_well(key, entry.device)
        return
    turn.hold_off(key, entry.device, text)
    load = turn.state.loads.get(entry.load)
    if load is not None:
        _say(turn, load, f"{entry.device} {text}")


def cell_finished(turn: Turn, fact: CellFinished) -> None:
    """The load has gone from infeed to outfeed, its work is done."""
    spec = turn.floor.cells[fact.device]
    load = loads.by_track(turn.state, fact.track_id)
    if load is None:
        text = f"{fact.device} finished track {fact.track_id}, which is no known load: look at {spec.outfeed}"
        turn.raise_alarm(fact.device, "unknown track", text)
        return
    loads.book(turn, load, spec.outfeed)
    task = turn.state.tasks.get(load.task)
    if task is None or task.kind != "work":
        return
    if fact.good:
        orders.finish(turn, task)
    else:
        orders.fail(turn, task, f"{fact.device} counted it as defective")
