"""A line sorter: infeed, one scan point, diverts in a row, the reject lane behind the last of them.

Positions are millimetres along the belt, from the infeed on. The PLC tracks an item from the scan on by a number of
its own; without an assignment at the decision point, or with none of its lanes free, an item runs to the reject lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from plc_simulators.layout import SorterLayout
from plc_simulators.models import ring
from plc_simulators.models.controller import SCAN_S, Controller
from plc_simulators.models.mailbox import INVALID, NOT_NOW, NOT_THERE, OK, Offer
from plc_simulators.models.pace import QUIET_SCANS_MAX, Pace
from plc_simulators.models.packml import ABORT, EXECUTE, SUSPEND, SUSPENDED, UNSUSPEND
from plc_simulators.models.place import Place
from plc_simulators.models.ring import Entry, Ring

ASSIGN = 10
LANES_IN_COMMAND = 4

LANE_FULL = 1
LANE_DISABLED = 2
LATE = 4
NOT_CONFIRMED = 7

SCAN_POINT_MM = 500
SECOND_SCAN_MM = 150
"""How far behind the first reading a scanner that reads twice reads again."""
SPACING_MM = 700
"""Infeed to infeed: a 400 mm tote and a gap of 300 mm."""
DECISION_SHARE = 0.95
"""Where between scan point and first divert the PLC stops waiting for an assignment."""
CONFIRM_MS = (300, 900)
"""Divert to lane sensor, at least and at most."""
NO_READ_SHARE = 0.01
SEEN_MAX = 256


@dataclass(slots=True)
class Item:
    """One load on the belt or on its way into a lane. `track_id` 0: the PLC does not know it (any more)."""

    load: str
    position_mm: float = 0.0
    scanned: bool = False
    scan_again_mm: float = 0.0
    """Where it is read a second time; 0 for never."""
    track_id: int = 0
    lanes: deque[int] = field(default_factory=deque)
    failed: int = 0
    lane: int = 0
    confirm_at_ns: int = 0


class Lane:
    """One lane: its divert and what is behind it."""

    def __init__(self, number: int, place: Place, divert_mm: float) -> None:
        self.number = number
        self.place = place
        self.divert_mm = divert_mm
        self.enabled = True
        self.forced_full = False
        self.diverting: list[Item] = []
        self.sorted = 0
        self.delivered: deque[str] = deque(maxlen=SEEN_MAX)
        """Loads that came into the lane from the belt, newest last, for whoever checks."""

    @property
    def count(self) -> int:
        return len(self.place.loads())

    @property
    def full(self) -> bool:
        return self.forced_full or len(self.diverting) >= self.place.room()

    @property
    def half_full(self) -> bool:
        return self.full or 2 * (self.count + len(self.diverting)) >= self.place.capacity

    def refusal(self) -> int:
        """Why an item can't go in now, as a failure code; 0 when it can."""
        if not self.enabled:
            return LANE_DISABLED
        return LANE_FULL if self.full else 0


class Infeed:
    """The start of the belt as a place: an item put there is on the belt at once."""

    capacity = 1

    def __init__(self, sorter: Sorter) -> None:
        self._sorter = sorter

    def room(self) -> int:
        return 1 if self._sorter.infeed_free() else 0

    def take(self, load: str) -> None:
        self._sorter.pace.rouse()
        self._sorter.belt.append(Item(load))

    def give(self, load: str) -> str | None:  # noqa: ARG002 - nobody takes a load off a running belt
        return None

    def loads(self) -> tuple[str, ...]:
        return ()


class Sorter:
    """The PLC program and the belt it moves. `chance` gives numbers in [0, 1); `barcodes` reads a load's codes."""

    def __init__(
        self,
        layout: SorterLayout,
        boot_id: int,
        places: dict[int, Place],
        chance: Callable[[], float],
        barcodes: Callable[[str], Sequence[str]],
    ) -> None:
        self.layout = layout
        self.controller = Controller(boot_id)
        self.pace = Pace(self)
        self.ring = Ring()
        self.belt: list[Item] = []
        """In the order of the belt, the foremost first."""
        self.no_read_always = False
        self.no_read_share = NO_READ_SHARE
        self.double_scan = False
        """The scanner reads every item twice."""
        self.divert_missed = False
        """Diverts fire and miss: the lane's sensor confirms nothing, the item runs on."""
        self.assigned: deque[int] = deque(maxlen=SEEN_MAX)
        """Tracks whose assignment was accepted, newest last, for whoever measures."""
        self._chance = chance
        self._barcodes = barcodes
        self._tracks = 0
        first_mm = SCAN_POINT_MM + layout.scan_to_first_divert_mm
        self._decision_mm = SCAN_POINT_MM + layout.scan_to_first_divert_mm * DECISION_SHARE
        # The reject lane lies behind all others whatever its number is.
        order = sorted(layout.lanes, key=lambda number: (number == layout.reject_lane, number))
        self.lanes = {
            number: Lane(number, places[number], first_mm + index * layout.lane_pitch_mm)
            for index, number in enumerate(order)
        }
        self._reject = self.lanes[layout.reject_lane]
        self.infeed = Infeed(self)

    def infeed_free(self) -> bool:
        self.pace.catch_up()
        if self.controller.unit.state != EXECUTE or self.controller.life.safe:
            return False
        return not self.belt or self.belt[-1].position_mm >= SPACING_MM

    def loads(self) -> Iterator[tuple[str, str]]:
        """Every load on the belt or in a chute with its place; what a lane holds is the lane's."""
        for item in self.belt:
            yield item.load, f"{self.layout.id}/belt"
        for lane in self.lanes.values():
            for item in lane.diverting:
                yield item.load, f"{self.layout.id}/lane {lane.number}"

    def lane_emptied(self, number: int, now_ns: int) -> None:
        """Somebody has emptied a lane."""
        self.pace.rouse()
        self.ring.append(Entry(type=ring.LANE_EMPTIED, lane=number, plc_ms=_plc_ms(now_ns)))

    def emergency_stop(self, now_ns: int) -> None:
        """The belt stands, with what lies on it."""
        self.pace.rouse()
        self.controller.unit.command(ABORT, now_ns)

    def restart(self) -> None:
        """The PLC restarts: what lies on the belt has no track any more and runs to the reject lane."""
        self.pace.rouse()
        self.controller.restart()
        self.ring.restart()
        self._tracks = 0
        for item in [*self.belt, *(item for lane in self.lanes.values() for item in lane.diverting)]:
            item.track_id = 0
            item.lanes.clear()

    def quiet_scans(self) -> int:
        """See `Steady.quiet_scans`: until the next item reaches a point where something happens to it."""
        if self.controller.unit.state != EXECUTE or any(lane.diverting for lane in self.lanes.values()):
            return 0
        step_mm = self.layout.speed_mm_s * SCAN_S
        left_mm = min((self._next_mm(item) - item.position_mm for item in self.belt), default=step_mm * QUIET_SCANS_MAX)
        return max(0, int(left_mm / step_mm - 1e-6))

    def _next_mm(self, item: Item) -> float:
        """Where on the belt something happens to the item next."""
        points = [self._reject.divert_mm]
        if not item.scanned:
            points.append(SCAN_POINT_MM)
        if item.scan_again_mm:
            points.append(item.scan_again_mm)
        if item.track_id and not item.failed and not item.lanes:
            points.append(self._decision_mm)
        points.extend(self.lanes[number].divert_mm for number in item.lanes)
        return min((mm for mm in points if mm > item.position_mm), default=item.position_mm)

    def skip(self, scans: int) -> None:
        """See `Steady.skip`."""
        way_mm = self.layout.speed_mm_s * SCAN_S * scans
        for item in self.belt:
            item.position_mm += way_mm

    def step(self, now_ns: int) -> None:
        """One PLC scan."""
        self.pace.catch_up()
        unit = self.controller.unit
        if unit.state == EXECUTE:
            if self.belt:
                self._move(now_ns)
        else:
            unit.step(now_ns)
            unit.keep_executing(now_ns)
            if unit.state == SUSPENDED and not self._reject.full:
                unit.command(UNSUSPEND, now_ns)
        for lane in self.lanes.values():
            if lane.diverting:
                self._confirm(lane, now_ns)
        offer = self.controller.mailbox.take(now_ns)
        if offer is not None:
            self.controller.mailbox.finish(self._assign(offer, now_ns))
        self.pace.step_done()
        if offer is not None:
            self.pace.rouse()

    # --- the belt ---

    def _move(self, now_ns: int) -> None:
        step_mm = self.layout.speed_mm_s * SCAN_S
        diverted: list[Item] = []
        for item in self.belt:
            before_mm = item.position_mm
            item.position_mm = after_mm = before_mm + step_mm
            if not item.scanned and after_mm >= SCAN_POINT_MM:
                self._scan(item, now_ns)
            elif item.scan_again_mm and after_mm >= item.scan_again_mm:
                self._scan_again(item, now_ns)
            if item.track_id and not item.failed and not item.lanes and after_mm >= self._decision_mm:
                self._fail(item, LATE, now_ns)
            lane = self._lane_at(item, before_mm, now_ns)
            if lane is None and after_mm >= self._reject.divert_mm:
                if self._reject.refusal():
                    # Nothing falls off the end: the belt stands until somebody makes room in the reject lane.
                    item.position_mm = before_mm
                    self.controller.unit.command(SUSPEND, now_ns)
                    continue
                lane = self._reject
            if lane is not None:
                self._divert(item, lane, now_ns)
                diverted.append(item)
        if diverted:
            self.belt = [item for item in self.belt if item not in diverted]

    def _lane_at(self, item: Item, before_mm: float, now_ns: int) -> Lane | None:
        """The lane that the item turns into within this step, after the check that the PLC makes there."""
        if not item.lanes or item.failed:
            return None
        reason = 0
        while item.lanes:
            lane = self.lanes[item.lanes[0]]
            if item.position_mm < lane.divert_mm:
                return None
            # An alternate that lies behind the item already can't be had any more: it only uses up the list.
            if before_mm < lane.divert_mm:
                reason = lane.refusal() or (NOT_CONFIRMED if self.divert_missed else 0)
                if not reason:
                    return lane
                if reason == NOT_CONFIRMED:
                    # It has been told to turn and has not: where it would turn next is not to be trusted.
                    item.lanes.clear()
                    break
            item.lanes.popleft()
        self._fail(item, reason or LANE_FULL, now_ns)
        return None

    def _scan(self, item: Item, now_ns: int) -> None:
        item.scanned = True
        self._tracks += 1
        # The boot number in the upper half keeps numbers of an earlier boot from coming back.
        item.track_id = (self.controller.boot_id << 16) | (self._tracks % 2**16)
        unread = self._chance() < self.no_read_share or self.no_read_always
        codes = "" if unread else ";".join(self._barcodes(item.load))
        self.ring.append(Entry(type=ring.SCAN, track_id=item.track_id, point=1, plc_ms=_plc_ms(now_ns), barcodes=codes))
        item.scan_again_mm = item.position_mm + SECOND_SCAN_MM if self.double_scan else 0.0

    def _scan_again(self, item: Item, now_ns: int) -> None:
        item.scan_again_mm = 0.0
        if item.track_id:
            codes = ";".join(self._barcodes(item.load))
            second = Entry(type=ring.SCAN, track_id=item.track_id, point=1, plc_ms=_plc_ms(now_ns), barcodes=codes)
            self.ring.append(second)

    def _fail(self, item: Item, reason: int, now_ns: int) -> None:
        item.failed = reason
        item.lanes.clear()
        self.ring.append(Entry(type=ring.FAILED, track_id=item.track_id, result=reason, plc_ms=_plc_ms(now_ns)))

    def _divert(self, item: Item, lane: Lane, now_ns: int) -> None:
        least_ms, most_ms = CONFIRM_MS
        item.lane = lane.number
        item.confirm_at_ns = now_ns + int((least_ms + self._chance() * (most_ms - least_ms)) * 1e6)
        lane.diverting.append(item)

    def _confirm(self, lane: Lane, now_ns: int) -> None:
        """Let the foremost item pass the lane's sensor when its time has come and there is room behind it."""
        item = lane.diverting[0]
        if now_ns < item.confirm_at_ns or lane.place.room() < 1:
            return
        del lane.diverting[0]
        lane.place.take(item.load)
        lane.sorted += 1
        lane.delivered.append(item.load)
        self.ring.append(Entry(type=ring.DIVERTED, track_id=item.track_id, lane=lane.number, plc_ms=_plc_ms(now_ns)))

    # --- commands ---

    def _assign(self, offer: Offer, now_ns: int) -> int:
        numbers = [int(offer.values[f"lane_{index}"]) for index in range(1, LANES_IN_COMMAND + 1)]
        wanted = [number for number in numbers if number]
        if offer.code != ASSIGN or not numbers[0] or any(number not in self.lanes for number in wanted):
            return INVALID
        track_id = int(offer.values["track_id"])
        item = next((item for item in self.belt if track_id and item.track_id == track_id), None)
        if item is None:
            gone = any(item.track_id == track_id for lane in self.lanes.values() for item in lane.diverting)
            return NOT_NOW if gone and track_id else NOT_THERE
        if item.failed or item.position_mm >= self.lanes[wanted[0]].divert_mm:
            return NOT_NOW
        if _past(now_ns, int(offer.values["deadline_ms"])):
            if not item.lanes:
                self._fail(item, LATE, now_ns)
            return NOT_NOW
        item.lanes = deque(wanted)
        self.assigned.append(track_id)
        return OK


def _plc_ms(now_ns: int) -> int:
    return now_ns // 1_000_000 % 2**32


def _past(now_ns: int, deadline_ms: int) -> bool:
    """Whether the PLC's clock is past the deadline; both roll over, so half the range counts as the past."""
    return 0 < (_plc_ms(now_ns) - deadline_ms) % 2**32 < 2**31
