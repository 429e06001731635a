"""People: workers at their stations, and the operator who does at the plant what an alarm says is to be done."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from gateway.contract import (
    AcknowledgeAlarm,
    AnnounceLoad,
    ConfirmWork,
    RemoveLoad,
    Reply,
    Request,
    ResetDevice,
    ResolveCommand,
    SignOff,
    SignOn,
)
from gateway.demo.people import SHIFTS
from gateway.devices.agv import Drive, Instant
from gateway.dispatch.state import Alarm, Entry, State
from gateway.simulation.callers import Callers, Done, heard
from gateway.simulation.server import Server
from gateway.simulation.timeline import MS, SECOND, Timeline
from plc_simulators.models.mailbox import OK
from plc_simulators.plant import Plant, PutError

WORK_MS = (4_000, 9_000)
LOOK_NS = 500 * MS
ROUND_NS = 3 * SECOND
REACTION_MS = (5_000, 30_000)
AGAIN_NS = 20 * SECOND
STAGING = ("RACK-1", "RACK-2", "RACK-3", "RACK-4")


class Workers:
    """Sign on, do what the gateway gives them, confirm it. `absent` ones do nothing of that."""

    def __init__(self, server: Server, callers: Callers, timeline: Timeline, rng: random.Random) -> None:
        self.absent: set[str] = set()
        self._server = server
        self._callers = callers
        self._timeline = timeline
        self._rng = rng
        self._in_hand: set[str] = set()
        self._signing: set[str] = set()
        timeline.every(LOOK_NS, self._look)

    def leave(self, person: str) -> None:
        """Go without a word; half of them sign off."""
        self.absent.add(person)
        if self._rng.random() < 0.5:
            self._callers.ask(person, SignOff(person))

    def come_back(self, person: str) -> None:
        self.absent.discard(person)

    def _look(self) -> None:
        engine = self._server.engine
        if engine is None:
            return
        for station in engine.kernel.state.stations.values():
            person = SHIFTS.get(station.device, "")
            if not person or person in self.absent:
                continue
            if station.person != person:
                self._sign_on(person, station.device)
            elif station.task and station.task not in self._in_hand:
                self._in_hand.add(station.task)
                confirm = ConfirmWork(station.task, person)
                self._timeline.after(self._rng.randint(*WORK_MS) * MS, partial(self._confirm, confirm))

    def _sign_on(self, person: str, station: str) -> None:
        if person not in self._signing:
            self._signing.add(person)
            self._callers.ask(person, SignOn(person, station), lambda _: self._signing.discard(person))

    def _confirm(self, confirm: ConfirmWork) -> None:
        if confirm.person in self.absent:
            self._in_hand.discard(confirm.task)
            return
        self._callers.ask(confirm.person, confirm, lambda _: self._in_hand.discard(confirm.task))


class Operator:
    """Reads the alarms, goes there, looks, puts right and says so. Knows nothing but alarms, plant and books."""

    def __init__(
        self,
        server: Server,
        callers: Callers,
        timeline: Timeline,
        rng: random.Random,
        clear: Callable[[str, int], bool],
    ) -> None:
        self.resolved = 0
        self.moved = 0
        self._server = server
        self._plant: Plant = server.plant
        self._callers = callers
        self._timeline = timeline
        self._rng = rng
        self._clear = clear
        """Frees a jammed zone; returns whether there was anything to free."""
        self._due_ns: dict[str, int] = {}
        self._to_book: dict[str, str] = {}
        """Loads that a person has moved and not yet got into the books: load → where, "" for taken away."""
        self._asking: set[str] = set()
        timeline.every(ROUND_NS, self._round)

    @property
    def busy(self) -> bool:
        """There is something that the operator has moved and the books do not know yet."""
        return bool(self._to_book)

    def put_right(self, load: str, place: str) -> None:
        """A load is now at `place` ("" for gone): tell the gateway until it has accepted it."""
        self._to_book[load] = place

    def _round(self) -> None:
        engine = self._server.engine
        if engine is None:
            return
        state, now_ns = engine.kernel.state, self._timeline.now_ns
        for load, place in list(self._to_book.items()):
            if load not in self._asking:
                self._book(state, load, place)
        for key, alarm in list(state.alarms.items()):
            if not alarm.active:
                if not alarm.acknowledged:
                    self._callers.ask("operator", AcknowledgeAlarm(key))
                self._due_ns.pop(key, None)
                continue
            due_ns = self._due_ns.setdefault(key, now_ns + self._rng.randint(*REACTION_MS) * MS)
            if now_ns >= due_ns:
                self._due_ns[key] = now_ns + AGAIN_NS
                self._act(state, alarm)

    def _ask(self, request: Request, done: Done = heard) -> None:
        self._server.watch.say(f"operator: {request}")
        self._callers.ask("operator", request, done)

    # --- what is to be done ---

    def _act(self, state: State, alarm: Alarm) -> None:
        source, code = alarm.source, alarm.code
        if code == "no-answer":
            for entry in state.ledger.values():
                if entry.device == source and entry.state == "unknown":
                    self.resolved += 1
                    self._ask(ResolveCommand(entry.command_id, self._was_done(entry)))
        elif code.endswith((" jammed", " faulted")) and code.startswith("zone "):
            zone = int(code.split()[1])
            self._clear(source, zone)
            self._ask(ResetDevice(source, zone))
        elif code == "machine aborted":
            self._ask(ResetDevice(source))
        elif code.startswith(("lost ", "gave up ", "mis-sort ", "two places ")):
            self._find(code.rpartition(" ")[2], state)
        elif code == "reject lane":
            self._empty(source)
        elif code.startswith("stranger in zone "):
            self._take_off(source, int(code.rpartition(" ")[2]))
        elif code in (
            "not scanned",
            "load without order",
            "load not there",
            "load on deck",
            "unknown load",
        ) or code.startswith(("unknown track", "nameless load", "unknown load in")):
            self._tidy(state, source, code)

    def _was_done(self, entry: Entry) -> bool:
        """Look at the machine."""
        action = entry.action
        if isinstance(action, Drive):
            agv = self._plant.vehicles[entry.device]
            return agv.order_id == action.drive_id and agv.update_id >= action.update_id
        if isinstance(action, Instant):
            return True
        return self._plant.controllers()[entry.device].mailbox.outcome(entry.seq) == OK

    def _find(self, load: str, state: State) -> None:
        """Look for one load everywhere; set it aside where it can be booked, or say that it is gone."""
        place = self._plant.loads().get(load)
        if place is None:
            if load in state.loads:
                self.put_right(load, "")
        elif place in self._plant.places:
            self.put_right(load, place)
        else:
            self._set_aside(load)

    def _tidy(self, state: State, device: str, code: str) -> None:
        """Everything at that device that the books have elsewhere or do not know is set aside; what the books have
        there and is not there is looked for."""
        really = self._plant.loads()
        places = self._places_of(device)
        runs = {r.run: r.device for r in self._kernel_runs()}
        there = [load for load, place in really.items() if place.partition("/")[0] in places]
        for load in there:
            known = state.loads.get(load)
            booked = known.location if known else ""
            at = really[load].partition("/")[0]
            if runs.get(booked, booked) != at or code in ("load without order", "load on deck") or "nameless" in code:
                self._set_aside(load)
        for load, known in state.loads.items():
            if runs.get(known.location, known.location) in places and load not in really:
                self.put_right(load, "")
            elif runs.get(known.location, known.location) in places and load not in there:
                self._find(load, state)

    def _empty(self, sorter: str) -> None:
        """Carry everything out of the reject lane."""
        line = self._plant.sorters[sorter]
        for load in line.lanes[line.layout.reject_lane].place.loads():
            self._set_aside(load)

    def _take_off(self, conveyor: str, zone: int) -> None:
        """Carry away what stands in that zone."""
        for load, place in self._plant.loads().items():
            if place == f"{conveyor}/zone {zone}":
                self._set_aside(load)

    def _kernel_runs(self) -> list[Any]:
        engine = self._server.engine
        return list(engine.kernel.floor.runs) if engine is not None else []

    def _places_of(self, device: str) -> set[str]:
        """The device itself and the locations that belong to it."""
        found = {device}
        if device in self._plant.sorters:
            layout = self._plant.sorters[device].layout
            found |= {layout.infeed, *layout.lanes.values()}
        if device in self._plant.conveyors:
            for run in self._plant.conveyors[device].layout.runs:
                found |= {run.from_location, run.to_location}
        if device in self._plant.cells:
            found |= {self._plant.cells[device].layout.infeed, self._plant.cells[device].layout.outfeed}
        return found

    def _set_aside(self, load: str) -> None:
        """Take the load off and put it into a rack, as the alarms say; what moves is left for the next round."""
        rack = next((r for r in STAGING if self._plant.places[r].room() > 0), None)
        if rack is None:
            return
        try:
            self._plant.take_away(load)
        except PutError:
            return
        self._plant.put_down(load, rack)
        self.moved += 1
        self._server.watch.say(f"operator: carries {load} to {rack}")
        self.put_right(load, rack)

    def _book(self, state: State, load: str, place: str) -> None:
        known = state.loads.get(load)
        if not place:
            if known is None:
                self._to_book.pop(load, None)
            else:
                self._asking.add(load)
                self._ask(RemoveLoad(load, "not found anywhere"), lambda reply: self._booked(load, place, reply))
            return
        if self._plant.loads().get(load) != place:
            self._to_book.pop(load, None)  # it has been moved on meanwhile
            return
        self._asking.add(load)
        codes = self._plant.barcodes.get(load, ())
        self._ask(AnnounceLoad(load, place, codes), lambda reply: self._booked(load, place, reply))

    def _booked(self, load: str, place: str, reply: Reply) -> None:
        self._asking.discard(load)
        if reply.accepted and self._to_book.get(load) == place:
            del self._to_book[load]
