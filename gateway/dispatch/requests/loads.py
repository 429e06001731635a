"""Loads as hosts and people tell of them: announced, found elsewhere, gone."""

from __future__ import annotations

from itertools import islice

from gateway.contract import AnnounceLoad, LoadId, RemoveLoad
from gateway.dispatch import loads, orders, questions, sort
from gateway.dispatch.requests.orders import ID_LENGTH_MAX, SUGGESTIONS_MAX
from gateway.dispatch.requests.refusal import Refusal, conflict, invalid, limit, unknown
from gateway.dispatch.turn import Turn

CODES_MAX = 16


def announce(turn: Turn, request: AnnounceLoad) -> Refusal | None:
    state = turn.state
    if not 0 < len(request.load) <= ID_LENGTH_MAX:
        return invalid(f"load id {request.load!r} must have 1 to {ID_LENGTH_MAX} characters")
    if request.location not in turn.floor.locations:
        wrong = unknown("location", request.location, list(turn.floor.locations))
        return invalid(wrong.text)
    if len(request.barcodes) > CODES_MAX:
        return invalid(f"{len(request.barcodes)} barcodes, at most {CODES_MAX}")
    if len(state.loads) >= loads.LOADS_MAX:
        return limit(f"{loads.LOADS_MAX} loads are on the site, which is the limit")
    for code in (*request.barcodes, request.load):
        others = [x for x in state.by_barcode.get(code, ()) if x != request.load]
        if others:
            return conflict(f"barcode {code} belongs to load {others[0]}")
    known = state.loads.get(request.load)
    place = turn.floor.place_of(request.location)
    here = known is not None and turn.floor.place_of(known.location) == place
    count, room = loads.taken(turn, place), turn.floor.room(place)
    if not here and count >= room:
        return conflict(f"{request.location} has no room: {count} of {room}")
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


def remove(turn: Turn, request: RemoveLoad) -> Refusal | None:
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


def _carried(turn: Turn, load: LoadId) -> Refusal | None:
    """Why a load can't be booked elsewhere just now: a vehicle has it, or is about to pick it."""
    carrier = next((t for t in turn.state.trips.values() if t.load == load and t.takes_load), None)
    if carrier is None:
        return None
    return conflict(f"{load} is being carried by {carrier.vehicle}: wait until it has put it down")
