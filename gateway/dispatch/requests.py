"""What hosts and people may ask for: checked whole before anything is changed, answered with a reason.

Each rule either returns the reason for a refusal (nothing has changed then) or None and has done what was asked.
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice

from gateway.contract import (
    AcknowledgeAlarm,
    AnnounceLoad,
    CancelOrder,
    ConfirmWork,
    CreateOrder,
    LoadId,
    RemoveLoad,
    Request,
    ResetDevice,
    ResolveCommand,
    SetMode,
    SignOff,
    SignOn,
    StepRequest,
)
from gateway.devices import workstation
from gateway.devices.conveyor import Conveyor, ResetZone
from gateway.devices.robot_cell import Control
from gateway.dispatch import flow, ledger, loads, orders, questions, sort, work
from gateway.dispatch.state import ORDER_ENDED, Entry
from gateway.dispatch.traffic import trips
from gateway.dispatch.turn import Turn

STEPS_MAX = 64
CODES_MAX = 16
ID_LENGTH_MAX = 64
SUGGESTIONS_MAX = 500
"""Names looked through for what may have been meant: 10 ms at the most, which a scan behind it can wait."""


def serve(turn: Turn, client: str, request: Request) -> str | None:
    """Do what is asked; the reason where it is refused."""
    match request:
        case CreateOrder():
            return _create_order(turn, client, request)
        case CancelOrder():
            return _cancel_order(turn, request)
        case AnnounceLoad():
            return _announce(turn, request)
        case RemoveLoad():
            return _remove(turn, request)
        case SignOn():
            return _sign_on(turn, request)
        case SignOff():
            if request.person not in turn.state.people:
                return f"{request.person} is not signed on"
            work.sign_off(turn, request.person)
            return None
        case ConfirmWork():
            refusal = work.confirm_refusal(turn, request)
            if refusal is None:
                work.confirm(turn, request)
            return refusal
        case SetMode():
            return _set_mode(turn, request)
        case ResetDevice():
            return _reset(turn, request)
        case ResolveCommand():
            return _resolve(turn, request)
        case AcknowledgeAlarm():
            return _acknowledge(turn, request)
        case _:  # a request of a later version, out of its journal
            return f"unknown request {type(request).__name__}"


def unknown(kind: str, name: str, known: list[str]) -> str:
    """A refusal that names the value and what may have been meant."""
    close = get_close_matches(name, known, n=1)
    return f"unknown {kind} {name!r}" + (f", did you mean {close[0]!r}?" if close else "")


# --- orders ---


def _create_order(turn: Turn, client: str, request: CreateOrder) -> str | None:
    state, limit = turn.state, turn.site.policies.orders_open_max
    if not 0 < len(request.order) <= ID_LENGTH_MAX or "/" in request.order:
        return f"order id {request.order!r} must have 1 to {ID_LENGTH_MAX} characters and no '/'"
    if request.order in state.orders:
        return f"order {request.order} exists already and is {state.orders[request.order].state}"
    if state.open_orders() >= limit:
        return f"{limit} orders are open, which is this site's limit (orders_open_max): send it again later"
    if not 1 <= request.priority <= 5:
        return f"priority {request.priority} must be 1 (most urgent) to 5"
    if not 1 <= len(request.steps) <= STEPS_MAX:
        return f"an order has 1 to {STEPS_MAX} steps, this one has {len(request.steps)}"
    names = [s.step for s in request.steps]
    for i, step in enumerate(request.steps):
        refusal = _step_refusal(turn, step, names, i)
        if refusal is not None:
            return f"step {step.step or i + 1}: {refusal}"
    orders.accept(turn, client, request)
    return None


def _step_refusal(turn: Turn, step: StepRequest, names: list[str], place: int) -> str | None:
    if not 0 < len(step.step) <= ID_LENGTH_MAX or "/" in step.step:
        return f"the step's name must have 1 to {ID_LENGTH_MAX} characters and no '/'"
    if names.count(step.step) > 1:
        return f"two steps are called {step.step}"
    load = turn.state.loads.get(step.load)
    if load is None:
        return unknown("load", step.load, list(islice(turn.state.loads, SUGGESTIONS_MAX))) + ": announce it first"
    later = [a for a in step.after if a not in names[:place]]
    if later:
        return f"comes after {later[0]!r}, which is not an earlier step of this order"
    if step.kind == "sort":
        plan = turn.site.sort_plan
        known = list(plan.destinations) if plan else []
        return None if step.to in known else unknown("sort destination", step.to, known)
    if step.kind == "work":
        return _work_refusal(turn, step)
    if step.to not in turn.floor.locations:
        return unknown("location", step.to, list(turn.floor.locations))
    if place == 0 and load.location in turn.floor.locations and turn.floor.route(load.location, step.to) is None:
        return f"there is no way from {load.location} to {step.to}"
    return None


def _work_refusal(turn: Turn, step: StepRequest) -> str | None:
    floor = turn.floor
    if step.to and step.to not in {
        *floor.stations,
        *floor.cells,
        *floor.stations_by_location,
        *floor.cell_by_infeed,
    }:
        return unknown("station or cell", step.to, [*floor.stations, *floor.cells])
    skills = {s for p in floor.people.values() for s in p.skills} | {s for c in floor.cells.values() for s in c.skills}
    return None if step.skill in skills else unknown("skill", step.skill, sorted(skills))


def _cancel_order(turn: Turn, request: CancelOrder) -> str | None:
    order = turn.state.orders.get(request.order)
    if order is None:
        return unknown("order", request.order, list(islice(turn.state.orders, SUGGESTIONS_MAX)))
    if order.state in ORDER_ENDED:
        return f"order {order.order} is {order.state} already"
    orders.cancel(turn, order, request.reason or "cancelled by its host")
    return None


# --- loads ---


def _announce(turn: Turn, request: AnnounceLoad) -> str | None:
    state = turn.state
    if not 0 < len(request.load) <= ID_LENGTH_MAX:
        return f"load id {request.load!r} must have 1 to {ID_LENGTH_MAX} characters"
    if request.location not in turn.floor.locations:
        return unknown("location", request.location, list(turn.floor.locations))
    if len(request.barcodes) > CODES_MAX:
        return f"{len(request.barcodes)} barcodes, at most {CODES_MAX}"
    if len(state.loads) >= loads.LOADS_MAX:
        return f"{loads.LOADS_MAX} loads are on the site, which is the limit"
    for code in (*request.barcodes, request.load):
        others = [x for x in state.by_barcode.get(code, ()) if x != request.load]
        if others:
            return f"barcode {code} belongs to load {others[0]}"
    known = state.loads.get(request.load)
    place = turn.floor.place_of(request.location)
    here = known is not None and turn.floor.place_of(known.location) == place
    count, room = loads.taken(turn, place), turn.floor.room(place)
    if not here and count >= room:
        return f"{request.location} has no room: {count} of {room}"
    if known is None:
        loads.add(turn, request.load, request.location, request.barcodes)
        return None
    carried = _carried(turn, request.load)
    if carried is not None:
        return carried
    questions.withdraw(turn, known.task)
    loads.book(turn, known, request.location)
    loads.add_barcodes(turn.state, known, request.barcodes)
    known.unsure = ""
    loads.looked_for(turn, known.load)
    sort.withdraw(turn, known.load)
    return None


def _carried(turn: Turn, load: LoadId) -> str | None:
    """Why a load can't be booked elsewhere just now: a vehicle has it, or is about to pick it."""
    carrier = next((t for t in turn.state.trips.values() if t.load == load and t.takes_load), None)
    return None if carrier is None else f"{load} is being carried by {carrier.vehicle}: wait until it has put it down"


def _remove(turn: Turn, request: RemoveLoad) -> str | None:
    load = turn.state.loads.get(request.load)
    if load is None:
        return unknown("load", request.load, list(islice(turn.state.loads, SUGGESTIONS_MAX)))
    carried = _carried(turn, request.load)
    if carried is not None:
        return carried
    task = turn.state.tasks.get(load.task)
    if task is not None:
        orders.fail(turn, task, f"load {load.load} was removed: {request.reason or 'no reason given'}")
    loads.forget(turn, load)
    return None


# --- people and devices ---


def _sign_on(turn: Turn, request: SignOn) -> str | None:
    if request.person not in turn.floor.people:
        return unknown("person", request.person, list(turn.floor.people))
    station = turn.state.stations.get(request.station)
    if station is None:
        return unknown("workstation", request.station, list(turn.floor.stations))
    if request.person in turn.state.people:
        return f"{request.person} is signed on at {turn.state.people[request.person]} already"
    if not workstation.sign_on(station, request.person):
        return f"{station.person} is signed on at {request.station}: one person a station"
    turn.state.people[request.person] = request.station
    return None


def _set_mode(turn: Turn, request: SetMode) -> str | None:
    device = turn.state.device(request.device)
    if device is None:
        return unknown("device", request.device, [d.id for d in turn.site.devices])
    device.health.mode = request.mode
    if request.device in turn.state.agvs:
        trips.reported(turn, request.device)  # what it has said meanwhile counts from now on
    return None


def _reset(turn: Turn, request: ResetDevice) -> str | None:
    device, state = request.device, turn.state
    if device in state.conveyors:
        return _reset_conveyor(turn, state.conveyors[device], request.zone)
    if device in state.cells:
        cell = state.cells[device]
        if cell.health.link == "down":
            return f"{device} can't be reached: {cell.health.link_reason}"
        command = {"Aborted": "Clear", "Held": "Unhold", "Suspended": "Unsuspend"}.get(cell.state)
        if command is None:
            return f"{device} is {cell.state}: nothing to reset"
        ledger.issue(turn, device, Control(command))
        return None
    if state.device(device) is None:
        return unknown("device", device, [d.id for d in turn.site.devices])
    return f"{device} is reset at the machine itself"


def _reset_conveyor(turn: Turn, conveyor: Conveyor, zone: int) -> str | None:
    zones = len(conveyor.zones)
    if not 0 <= zone <= zones:
        return f"zone {zone} of {conveyor.device} does not exist (1 to {zones})"
    if conveyor.health.link == "down":
        return f"{conveyor.device} can't be reached: {conveyor.health.link_reason}"
    troubled = [n for n, z in enumerate(conveyor.zones, 1) if z.state in ("jammed", "faulted")]
    for number in [zone] if zone else troubled:
        ledger.issue(turn, conveyor.device, ResetZone(number))
    return None


def _resolve(turn: Turn, request: ResolveCommand) -> str | None:
    asking = questions.of_action(turn, request.command_id)
    if asking is not None:
        trips.decided(turn, asking, request.done)
        return None
    entry = turn.state.ledger.get(request.command_id)
    if entry is None:
        return f"no open command {request.command_id}"
    if entry.state != "unknown":
        return f"command {entry.command_id} is {entry.state}: only one with an unknown outcome can be resolved"
    ledger.settle(turn, entry, request.done, "resolved by a person", settled)
    return None


def _acknowledge(turn: Turn, request: AcknowledgeAlarm) -> str | None:
    alarm = turn.state.alarms.get(request.alarm)
    if alarm is None:
        return unknown("alarm", request.alarm, list(turn.state.alarms))
    alarm.acknowledged = True
    if not alarm.active:
        del turn.state.alarms[request.alarm]
    return None


def settled(turn: Turn, entry: Entry, ok: bool, text: str) -> None:
    """A command has its outcome: tell the module that issued it."""
    flow.settled(turn, entry, ok, text)
    trips.settled(turn, entry, ok, text)
    work.settled(turn, entry, ok, text)
    if isinstance(entry.action, ResetZone) and not ok:
        turn.note(entry.device, "reset refused", f"zone {entry.action.zone}: {text}")
