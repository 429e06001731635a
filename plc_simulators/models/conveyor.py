"""A conveyor line: zero-pressure accumulation by the PLC, zone by zone.

A load's position in its zone runs from 0 (it has just come in) to the zone's length (it stands at the photo-eye).
Zones and their numbers are 1-based as on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plc_simulators.layout import ConveyorLayout, Run
from plc_simulators.models.controller import SCAN_S, Controller
from plc_simulators.models.mailbox import FAILED, INVALID, NOT_NOW, NOT_THERE, OK, Offer
from plc_simulators.models.pace import QUIET_SCANS_MAX, Pace
from plc_simulators.models.packml import ABORT, EXECUTE
from plc_simulators.models.place import Place

INDUCT = 1
DISCHARGE = 2
RESET_ZONE = 3

OCCUPIED = 1
RUNNING = 2
HELD = 4
JAM_ARRIVAL = 8
JAM_SENSOR = 16

JAM_TIMER_NS = 5_000_000_000
"""So long a photo-eye may be covered in a zone that holds no load until the PLC calls it a jam."""
HANDOVER_MM = 300
"""How far beyond the last photo-eye a load has to run until what follows has it."""
HANDOVER_WAIT_NS = 10_000_000_000
"""A load that has run out to a follower which then would not take it fails its discharge after this time."""


@dataclass(slots=True)
class Zone:
    """One zone: the load in it ("" for none), and what the PLC knows of it. `jam` is 0 or one of the jam bits."""

    load: str = ""
    track_id: int = 0
    position_mm: float = 0.0
    arrivals: int = 0
    departures: int = 0
    running: bool = False
    held: bool = False
    jam: int = 0
    stuck: bool = False
    """The photo-eye shows a load whether there is one or not."""
    covered_since_ns: int | None = None
    """Since when a photo-eye that is stuck shows a load that is not there."""

    def status(self) -> int:
        return (
            (OCCUPIED if self.load or self.stuck else 0)
            | (RUNNING if self.running else 0)
            | (HELD if self.held else 0)
            | self.jam
        )

    def enter(self, load: str, track_id: int, position_mm: float) -> None:
        self.load, self.track_id, self.position_mm = load, track_id, position_mm
        self.arrivals = (self.arrivals + 1) % 2**16

    def leave(self) -> str:
        load, self.load, self.track_id, self.position_mm = self.load, "", 0, 0.0
        self.departures = (self.departures + 1) % 2**16
        self.running = self.held = False
        return load


class Entry:
    """The entry zone as a place: what stands on it has just been put there."""

    capacity = 1

    def __init__(self, zone: Zone, length_mm: int, pace: Pace) -> None:
        self._zone = zone
        self._length_mm = length_mm
        self._pace = pace

    def room(self) -> int:
        return 0 if self._zone.load or self._zone.jam or self._zone.stuck else 1

    def take(self, load: str) -> None:
        assert not self._zone.load, f"load {load} put onto {self._zone.load}"
        self._pace.rouse()
        self._zone.enter(load, 0, float(self._length_mm))

    def give(self, load: str) -> str | None:
        """Lift a load off again: only one that the PLC has not been told about yet."""
        if not self._zone.load or self._zone.track_id or load not in ("", self._zone.load):
            return None
        self._pace.rouse()
        return self._zone.leave()

    def loads(self) -> tuple[str, ...]:
        return (self._zone.load,) if self._zone.load else ()


class Conveyor:
    """The PLC program and the line it moves."""

    def __init__(self, layout: ConveyorLayout, boot_id: int) -> None:
        self.layout = layout
        self.controller = Controller(boot_id)
        self.pace = Pace(self)
        self.zones = [Zone() for _ in range(layout.zones)]
        self.jam_causes: set[int] = set()
        """Zones in which something really sticks (a fault put there from outside)."""
        self.stuck_eyes: set[int] = set()
        """Zones whose photo-eye is stuck."""
        self._followers: dict[int, Place] = {}
        self._entries = {run.zone_first for run in layout.runs}
        self._out_mm = 0.0
        self._waiting_since_ns: int | None = None

    def entry(self, run: Run) -> Entry:
        """The place at the start of a run."""
        return Entry(self.zones[run.zone_first - 1], self.layout.zone_length_mm, self.pace)

    def follow(self, run: Run, place: Place) -> None:
        """Say what the exit zone of a run hands its loads over to."""
        self._followers[run.zone_last] = place

    def loads(self) -> Iterator[tuple[str, str]]:
        """Every load on the line with its place."""
        for number, zone in enumerate(self.zones, 1):
            if zone.load:
                yield zone.load, f"{self.layout.id}/zone {number}"

    def stick_eye(self, number: int, on: bool) -> None:
        """Let the photo-eye of a zone be stuck or free again."""
        self.pace.rouse()
        zone = self.zones[number - 1]
        (self.stuck_eyes.add if on else self.stuck_eyes.discard)(number)
        zone.stuck, zone.covered_since_ns = on, None

    def emergency_stop(self, now_ns: int) -> None:
        """Drives off: what was being discharged has failed and stands where it stands."""
        self.pace.rouse()
        self.controller.unit.command(ABORT, now_ns)
        if self.controller.mailbox.busy is not None:
            self.controller.mailbox.finish(FAILED)
        self._out_mm, self._waiting_since_ns = 0.0, None
        for zone in self.zones:
            zone.running = False

    def take_away(self, number: int) -> str:
        """A person lifts the load off a zone; "" where there is none."""
        self.pace.rouse()
        zone = self.zones[number - 1]
        return zone.leave() if zone.load else ""

    def put_down(self, load: str, number: int) -> bool:
        """A person sets a load down in a zone, at its photo-eye; False where there is no room."""
        self.pace.rouse()
        zone = self.zones[number - 1]
        if zone.load or zone.jam or zone.stuck:
            return False
        zone.enter(load, 0, float(self.layout.zone_length_mm))
        return True

    def restart(self) -> None:
        """The PLC restarts: the loads still lie where they lie, but it knows neither tracks nor counts."""
        self.pace.rouse()
        self.controller.restart()
        self._out_mm, self._waiting_since_ns = 0.0, None
        for zone in self.zones:
            zone.track_id = zone.arrivals = zone.departures = zone.jam = 0
            zone.running = zone.held = False

    def quiet_scans(self) -> int:
        """See `Steady.quiet_scans`: until the next load reaches its photo-eye or leaves the line."""
        if self.controller.unit.state != EXECUTE or self.jam_causes or self.stuck_eyes:
            return 0
        length_mm, step_mm = self.layout.zone_length_mm, self.layout.speed_mm_s * SCAN_S
        left_mm = step_mm * QUIET_SCANS_MAX
        for zone in self.zones:
            if zone.load and not zone.jam and zone.position_mm < length_mm:
                left_mm = min(left_mm, length_mm - zone.position_mm)
        if self.controller.mailbox.busy is not None:
            left_mm = min(left_mm, HANDOVER_MM - self._out_mm)
        return max(0, int(left_mm / step_mm - 1e-6))

    def skip(self, scans: int) -> None:
        """See `Steady.skip`."""
        length_mm, way_mm = self.layout.zone_length_mm, scans * self.layout.speed_mm_s * SCAN_S
        for zone in self.zones:
            if zone.load and not zone.jam and zone.position_mm < length_mm:
                zone.position_mm += way_mm
        busy = self.controller.mailbox.busy
        if busy is not None and self.zones[int(busy.values["zone"]) - 1].position_mm >= length_mm:
            self._out_mm += way_mm

    def step(self, now_ns: int) -> None:
        """One PLC scan."""
        self.pace.catch_up()
        unit, had = self.controller.unit, self.controller.mailbox.busy
        moved = unit.state == EXECUTE
        if not moved:
            unit.step(now_ns)
            unit.keep_executing(now_ns)
        else:
            for run in self.layout.runs:
                self._move(run)
            for number in self.stuck_eyes:
                self._covered(self.zones[number - 1], now_ns)
        offer = self.controller.mailbox.take(now_ns)
        if offer is not None:
            result = self._begin(offer)
            if result is not None:
                self.controller.mailbox.finish(result)
        busy = self.controller.mailbox.busy
        if busy is not None and unit.state == EXECUTE:
            self._discharge(int(busy.values["zone"]), now_ns)
        self.pace.step_done()
        if offer is not None or not moved or self.controller.mailbox.busy is not had:
            # What stands still may go on in the next scan: the line runs again, the place before it is free.
            self.pace.rouse()

    # --- the line ---

    def _move(self, run: Run) -> None:
        length_mm, step_mm = self.layout.zone_length_mm, self.layout.speed_mm_s * SCAN_S
        for number in range(run.zone_last, run.zone_first - 1, -1):
            zone = self.zones[number - 1]
            if not zone.load:
                zone.running = False
                continue
            if number in self.jam_causes and not zone.jam:
                zone.jam = JAM_SENSOR if zone.position_mm >= length_mm else JAM_ARRIVAL
            if zone.jam:
                zone.running = zone.held = False
                continue
            if zone.position_mm < length_mm:
                zone.position_mm += step_mm
                zone.running = True
            if zone.position_mm >= length_mm:
                self._at_eye(run, number, zone, length_mm)

    def _at_eye(self, run: Run, number: int, zone: Zone, length_mm: int) -> None:
        discharging = self._discharging(number)
        # A load that the PLC was never told about waits in the entry zone, and so does one that has a name while
        # the gateway is silent: nothing new is started then.
        unnamed = number == run.zone_first and (not zone.track_id or self.controller.life.safe)
        zone.held = not discharging and (number == run.zone_last or unnamed)
        if number == run.zone_last or unnamed:
            zone.running = discharging
            return
        following = self.zones[number]
        if following.load or following.jam or following.stuck:
            zone.running = False
            return
        track_id, over_mm = zone.track_id, zone.position_mm - length_mm
        following.enter(zone.leave(), track_id, max(0.0, over_mm))
        following.running = True

    def _covered(self, zone: Zone, now_ns: int) -> None:
        """A zone whose photo-eye shows a load that does not come on is jammed after a while."""
        if zone.load:
            zone.covered_since_ns = None
        elif zone.covered_since_ns is None:
            zone.covered_since_ns = now_ns
        elif now_ns - zone.covered_since_ns >= JAM_TIMER_NS and not zone.jam:
            zone.jam = JAM_SENSOR

    def _discharging(self, number: int) -> bool:
        busy = self.controller.mailbox.busy
        return busy is not None and busy.values["zone"] == number

    # --- commands ---

    def _begin(self, offer: Offer) -> int | None:
        """Check a command and do it; None while it is still under way."""
        number, track_id = int(offer.values["zone"]), int(offer.values["track_id"])
        if offer.code not in (INDUCT, DISCHARGE, RESET_ZONE) or not 1 <= number <= len(self.zones):
            return INVALID
        if offer.code == RESET_ZONE:
            return self._reset(number)
        if self.controller.unit.state != EXECUTE or self.controller.life.safe:
            return NOT_NOW
        if offer.code == INDUCT:
            return self._induct(number, track_id)
        return self._check_discharge(number, track_id)

    def _induct(self, number: int, track_id: int) -> int:
        zone = self.zones[number - 1]
        if track_id == 0:
            return INVALID
        if not zone.load or zone.track_id not in (0, track_id):
            return NOT_NOW
        # Any zone may be named, not only an entry zone: after a restart the PLC has loads everywhere that it
        # does not know.
        zone.track_id = track_id
        return OK

    def _reset(self, number: int) -> int:
        if number in self.jam_causes or number in self.stuck_eyes:
            return NOT_NOW
        self.zones[number - 1].jam = 0
        return OK

    def _check_discharge(self, number: int, track_id: int) -> int | None:
        zone, follower = self.zones[number - 1], self._followers.get(number)
        if follower is None:
            return INVALID
        if not zone.load or zone.track_id != track_id:
            return NOT_THERE
        if zone.jam or number in self.jam_causes or follower.room() < 1:
            return NOT_NOW
        self._out_mm, self._waiting_since_ns = 0.0, None
        return None

    def _discharge(self, number: int, now_ns: int) -> None:
        """Run the load out of the exit zone and hand it over; the command is done when it has left."""
        zone, follower = self.zones[number - 1], self._followers[number]
        if not zone.load:
            # Somebody has lifted it off.
            self.controller.mailbox.finish(FAILED)
            return
        if zone.jam or zone.position_mm < self.layout.zone_length_mm:
            if zone.jam:
                self.controller.mailbox.finish(FAILED)
            return
        zone.running, zone.held = True, False
        self._out_mm += self.layout.speed_mm_s * SCAN_S
        if self._out_mm < HANDOVER_MM:
            return
        if follower.room() > 0:
            follower.take(zone.leave())
            self.controller.mailbox.finish(OK)
            return
        if self._waiting_since_ns is None:
            self._waiting_since_ns = now_ns
        elif now_ns - self._waiting_since_ns >= HANDOVER_WAIT_NS:
            self.controller.mailbox.finish(FAILED)
