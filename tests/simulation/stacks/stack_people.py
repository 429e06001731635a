"""People in the hall: workers at their stations, a runner who carries what has no way by machine, and whoever acts on
alarms. They know what a terminal shows (books and alarms) and what they see in the plant."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from stack_callers import Callers

from gateway.contract import (
    AcknowledgeAlarm,
    AnnounceLoad,
    ConfirmWork,
    RemoveLoad,
    ResetDevice,
    ResolveCommand,
    SignOn,
)
from gateway.dispatch.state import Alarm, Load, State
from gateway.simulation.watch import Watch
from plc_simulators.models.mailbox import OK
from plc_simulators.plant import PutError

SHIFTS = {"WS1": "anna", "CLR": "cleo"}
WORK_S = (3.0, 7.0)
LOOK_S = 1.0
REACTION_S = (3.0, 15.0)
AGAIN_S = 20.0
NO_ORDER_S = 15.0
"""A load that stands about for so long and nobody has ordered anything for is taken out of the hall."""
BY_HAND = ("TROLLEY", "BENCH", "LANE-R", "RC1-OUT")
"""Where a load has no way on but in somebody's hands."""
ASTRAY_S = 40.0
"""Longer than an alarm and whoever acts on it would take."""
TO_TIDY = (
    "not scanned", "load without order", "unknown load", "unknown track", "nameless load", "event_ring_lost",
    "keeps-refusing", "load not there",
)  # fmt: skip
"""Alarms after which somebody compares what stands at a device with the books."""
SAME_PLACE = {"IN": "C1", "C2-IN": "C2", "S1-IN": "S1"}
"""What stands at the entry of a device is on the device."""


class Workers:
    """Sign on, do what the gateway gives them, confirm it."""

    def __init__(self, callers: Callers, rng: random.Random) -> None:
        self._callers = callers
        self._rng = rng

    async def run(self, station: str) -> None:
        """Work until cancelled."""
        person = SHIFTS[station]
        while True:
            await asyncio.sleep(LOOK_S)
            runtime = self._callers.gateway.runtime
            if runtime is None:
                continue
            shown = runtime.kernel.state.stations[station]
            task = shown.task
            if shown.person != person:
                await self._callers.ask(person, SignOn(person, station))
            elif task:
                await asyncio.sleep(self._rng.uniform(*WORK_S))
                await self._callers.ask(person, ConfirmWork(task, person))


class Runner:
    """Carries loads by hand: out of the way onto the trolley, and from anywhere back to the entry."""

    def __init__(self, callers: Callers, watch: Watch) -> None:
        self.to_book: dict[str, str] = {}
        """Put down and not booked there yet: load → place, "" for taken out of the hall."""
        self.carried = 0
        self.found: Counter[str] = Counter()
        """What taking stock has found, by place."""
        self._astray_s: dict[tuple[str, str], float] = {}
        self._callers = callers
        self._watch = watch
        self._plant = callers.gateway.hall.plant

    async def run(self) -> None:
        """Carry until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for load, place in list(self.to_book.items()):
                await self._book(load, place)
            runtime = self._callers.gateway.runtime
            if runtime is not None:
                self._fetch(runtime.kernel.state)

    def carry(self, load: str, place: str) -> bool:
        """Take a load up and put it down at `place`, "" for out of the hall; False where nobody gets at it just now."""
        try:
            came_from = self._plant.take_away(load)
        except PutError:
            return False
        self._watch.say(f"runner: carries {load} from {came_from} to {place or 'the outside'}")
        self.carried += 1
        self.to_book[load] = place
        if place:
            self._plant.put_down(load, place)
        else:
            del self._plant.barcodes[load]
        return True

    @property
    def doubts(self) -> bool:
        """Books and plant differ somewhere, or are being brought together."""
        return bool(self.to_book or self._astray_s)

    def gone(self, load: str) -> None:
        """A load that is nowhere: it is to be booked out."""
        self.to_book.setdefault(load, "")

    def _fetch(self, state: State) -> None:
        """The first load that has no way on by machine, where there is room for it or it has nowhere to go."""
        room = self._plant.places["IN"].room() > 0
        for place in BY_HAND:
            for load in list(self._plant.places[place].loads()):
                known = state.loads.get(load)
                if known is None or known.location != place or load in self.to_book:
                    continue
                if not known.task and state.now_ns - known.since_ns > NO_ORDER_S * 1e9:
                    self.carry(load, "")
                elif room and _is_wanted_elsewhere(state, known) and self.carry(load, "IN"):
                    return
        self._take_stock(state)

    def _take_stock(self, state: State) -> None:
        """What stands in such a place and is booked elsewhere is announced there, and what has been shipped and is
        still booked is booked out, though no alarm has called anybody.

        Events of a sorter that come late, after a link was down, say where a load was before a person took it away and
        announced it elsewhere.
        """
        now_s, seen = asyncio.get_running_loop().time(), {}
        by_hand = [(place, load) for place in BY_HAND for load in self._plant.places[place].loads()]
        for place, load in by_hand:
            known = state.loads.get(load)
            if known is not None and known.location != place and load not in self.to_book:
                seen[load, place] = self._astray_s.get((load, place), now_s)
        for load in state.loads:
            if load in self._plant.shipped and load not in self.to_book:
                seen[load, ""] = self._astray_s.get((load, ""), now_s)
        self._astray_s = seen
        for (load, place), since_s in seen.items():
            if now_s - since_s > ASTRAY_S:
                self._watch.say(f"runner: {load}, booked at {state.loads[load].location}, is at {place or 'no place'}")
                self.found[place or "shipped"] += 1
                self.to_book[load] = place

    async def _book(self, load: str, place: str) -> None:
        if place:
            codes = self._plant.barcodes.get(load, ())
            reply = await self._callers.ask("runner", AnnounceLoad(load, place, codes))
            done = reply.accepted or load not in self._plant.loads()
        else:
            # A refusal says that the books do not know it.
            await self._callers.ask("runner", RemoveLoad(load, "taken out of the hall"))
            done = True
        if done and self.to_book.get(load) == place:
            del self.to_book[load]


def _is_wanted_elsewhere(state: State, load: Load) -> bool:
    """It has a step to be done that nobody does where it stands."""
    task = state.tasks.get(load.task)
    if task is None or task.state not in ("ready", "active") or task.person:
        return False
    return task.kind != "work" or task.to != load.location


class Operator:
    """Reads the alarms, goes there, looks, puts right and says so."""

    def __init__(self, callers: Callers, runner: Runner, watch: Watch, rng: random.Random) -> None:
        self.resolved = 0
        self.acted: dict[str, int] = {}
        self._callers = callers
        self._runner = runner
        self._watch = watch
        self._rng = rng
        self._plant = callers.gateway.hall.plant
        self._due_s: dict[str, float] = {}

    async def run(self) -> None:
        """Act until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            runtime = self._callers.gateway.runtime
            if runtime is None:
                continue
            for key, alarm in list(runtime.kernel.state.alarms.items()):
                if not alarm.active:
                    self._due_s.pop(key, None)
                    await self._callers.ask("operator", AcknowledgeAlarm(key))
                    continue
                due_s = self._due_s.setdefault(key, loop.time() + self._rng.uniform(*REACTION_S))
                if loop.time() >= due_s:
                    self._due_s[key] = loop.time() + AGAIN_S
                    await self._act(alarm)

    async def _act(self, alarm: Alarm) -> None:
        runtime = self._callers.gateway.runtime
        if runtime is None:
            return
        state, source, code = runtime.kernel.state, alarm.source, alarm.code
        self.acted[code.partition(" ")[0]] = self.acted.get(code.partition(" ")[0], 0) + 1
        self._watch.say(f"operator: acts on {alarm.alarm}: {alarm.text}")
        if code == "no-answer":
            await self._resolve(state, source)
        elif code.startswith("zone "):
            await self._callers.ask("operator", ResetDevice(source, int(code.split()[1])))
        elif code.startswith("stranger in zone "):
            await self._name(state, source, int(code.split()[-1]))
        elif code == "machine aborted":
            await self._callers.ask("operator", ResetDevice(source))
        elif code.startswith(("lost ", "mis-sort ", "two places ")):
            self._find(code.rpartition(" ")[2], state)
        elif code.startswith(TO_TIDY):
            self._tidy(state, source, code)

    async def _resolve(self, state: State, device: str) -> None:
        """Look at the machine: has it done that?"""
        for entry in list(state.ledger.values()):
            if entry.device == device and entry.state == "unknown":
                self.resolved += 1
                done = self._plant.controllers()[device].mailbox.outcome(entry.seq) == OK
                await self._callers.ask("operator", ResolveCommand(entry.command_id, done))

    async def _name(self, state: State, device: str, zone: int) -> None:
        """Announce what stands in an entry zone where it stands; a load that nobody knows is set aside."""
        line = self._plant.conveyors[device]
        load = line.zones[zone - 1].load
        if load in state.loads:
            run = next(run for run in line.layout.runs if run.zone_first == zone)
            await self._callers.ask("operator", AnnounceLoad(load, run.from_location))
        elif load:
            self._find(load, state)

    def _find(self, load: str, state: State) -> None:
        """Look for one load everywhere; set it aside, or say that it is gone."""
        if load in self._runner.to_book:
            return
        place = self._plant.loads().get(load)
        if place == "TROLLEY":
            self._runner.to_book[load] = place
        elif place is not None:
            self._runner.carry(load, "TROLLEY")
        elif load in state.loads:
            self._runner.gone(load)

    def _tidy(self, state: State, device: str, code: str) -> None:
        """What stands at that device and is booked elsewhere is set aside; what is booked there only is sought."""
        all_up = code.startswith("nameless load")
        idle_up = code == "load without order"
        places = self._places_of(device)
        really = {load: _at(place) for load, place in self._plant.loads().items()}
        for load, place in really.items():
            known = state.loads.get(load)
            booked = _at(known.location) if known else ""
            idle = known is not None and not known.task
            if place in places and (booked != place or (all_up and place == device) or (idle_up and idle)):
                self._find(load, state)
        for load, known in list(state.loads.items()):
            if _at(known.location) in places and really.get(load) != _at(known.location):
                self._find(load, state)

    def _places_of(self, device: str) -> set[str]:
        """The device itself and the places that nobody else looks after."""
        plant, found = self._plant, {device}
        if device in plant.sorters:
            found |= {_at(location) for location in plant.sorters[device].layout.lanes.values()} - {"C2"}
        if device in plant.cells:
            found |= {plant.cells[device].layout.infeed, plant.cells[device].layout.outfeed}
        return found


def _at(place: str) -> str:
    """`C1/zone 2`, `C1.1` and `IN` are all on C1."""
    device = place.partition("/")[0].partition(".")[0]
    return SAME_PLACE.get(device, device)
