"""What people at workstations tell: they come and go, take work up, have ended it, need somebody."""

from __future__ import annotations

from gateway.contract import AcceptWork, CallHelp, ConfirmWork, PersonId, SignOff, SignOn, TaskId
from gateway.devices import workstation
from gateway.dispatch import work
from gateway.dispatch.requests.refusal import Refusal, absent, conflict, invalid, unknown
from gateway.dispatch.turn import Turn

HELP_LENGTH_MAX = 500


def sign_on(turn: Turn, request: SignOn) -> Refusal | None:
    if request.person not in turn.floor.people:
        return unknown("person", request.person, list(turn.floor.people))
    station = turn.state.stations.get(request.station)
    if station is None:
        return unknown("workstation", request.station, list(turn.floor.stations))
    if request.person in turn.state.people:
        return conflict(f"{request.person} is signed on at {turn.state.people[request.person]} already")
    if not workstation.sign_on(station, request.person):
        return conflict(f"{station.person} is signed on at {request.station}: one person a station")
    turn.state.people[request.person] = request.station
    return None


def sign_off(turn: Turn, request: SignOff) -> Refusal | None:
    if request.person not in turn.state.people:
        return conflict(f"{request.person} is not signed on")
    work.sign_off(turn, request.person)
    return None


def accept(turn: Turn, request: AcceptWork) -> Refusal | None:
    refusal = _not_theirs(turn, request.task, request.person)
    if refusal is not None:
        return refusal
    task = turn.state.tasks[request.task]
    if task.accepted_ns:
        return conflict(f"{request.person} has taken up {request.task} already")
    task.accepted_ns = turn.now_ns
    return None


def confirm(turn: Turn, request: ConfirmWork) -> Refusal | None:
    refusal = _not_theirs(turn, request.task, request.person)
    if refusal is None:
        work.confirm(turn, request)
    return refusal


def _not_theirs(turn: Turn, name: TaskId, person: PersonId) -> Refusal | None:
    task = turn.state.tasks.get(name)
    if task is None:
        return absent(f"no task {name}")
    if not task.person or task.person != person:
        return conflict(f"task {name} is {'done by ' + task.person if task.person else 'nobody' + chr(39) + 's'}")
    return None


def call_help(turn: Turn, request: CallHelp) -> Refusal | None:
    station = turn.state.people.get(request.person)
    if station is None:
        return conflict(f"{request.person} is not signed on")
    if len(request.text) > HELP_LENGTH_MAX:
        return invalid(f"{len(request.text)} characters, at most {HELP_LENGTH_MAX}")
    text = f"{request.person} at {station} asks for help" + (f": {request.text}" if request.text else "")
    turn.raise_alarm(station, f"help {request.person}", text)
    return None
