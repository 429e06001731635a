"""A robot cell: one place at its infeed, one at its outfeed, and a PackML unit that the gateway commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from plc_simulators.layout import CellLayout
from plc_simulators.models import packml
from plc_simulators.models.controller import SCAN_NS, Controller
from plc_simulators.models.mailbox import INVALID, NOT_NOW, NOT_THERE, OK, Offer
from plc_simulators.models.pace import QUIET_SCANS_MAX, Pace
from plc_simulators.models.place import Shelf

CYCLE_NS = 6_000_000_000
"""Work on one load."""


class RobotCell:
    """The PLC program and the robot. A share `defect_share` of the work is bad; `chance` gives numbers in [0, 1)."""

    def __init__(self, layout: CellLayout, boot_id: int, chance: Callable[[], float]) -> None:
        self.layout = layout
        self.controller = Controller(boot_id)
        self.pace = Pace(self)
        self.infeed = Shelf(1)
        self.outfeed = Shelf(1)
        self.track_id = 0
        self.recipe = ""
        self.processed = 0
        self.defective = 0
        self.defect_share = 0.0
        self._chance = chance
        self._worked_ns = 0
        self._powering_up = True

    @property
    def blocked(self) -> bool:
        unit = self.controller.unit
        return unit.state in (packml.SUSPENDING, packml.SUSPENDED)

    @property
    def starved(self) -> bool:
        return self.controller.unit.state == packml.IDLE and not self.infeed.loads()

    def loads(self) -> Iterator[tuple[str, str]]:
        """Every load in the cell with its place."""
        for place, location in ((self.infeed, self.layout.infeed), (self.outfeed, self.layout.outfeed)):
            for load in place.loads():
                yield load, location

    def emergency_stop(self, now_ns: int) -> None:
        """The robot stands; work in hand has come to nothing, the load is where it is."""
        self.pace.rouse()
        self.controller.unit.command(packml.ABORT, now_ns)
        self._worked_ns = 0

    def restart(self) -> None:
        """The PLC restarts: work in hand begins anew from Idle, and the counters from 0."""
        self.pace.rouse()
        self.controller.restart()
        self.track_id = self.processed = self.defective = 0
        self.recipe = ""
        self._worked_ns = 0
        self._powering_up = True

    def quiet_scans(self) -> int:
        """See `Steady.quiet_scans`: while it works on a load that is there, or waits for a command."""
        state = self.controller.unit.state
        if state == packml.EXECUTE and self.infeed.loads():
            return max(0, (CYCLE_NS - self._worked_ns) // SCAN_NS - 1)
        resting = state in (packml.IDLE, packml.HELD, packml.COMPLETE, packml.ABORTED, packml.STOPPED)
        return QUIET_SCANS_MAX if resting and not self._powering_up else 0

    def skip(self, scans: int) -> None:
        """See `Steady.skip`."""
        if self.controller.unit.state == packml.EXECUTE and self.infeed.loads():
            self._worked_ns += scans * SCAN_NS

    def step(self, now_ns: int) -> None:
        """One PLC scan."""
        self.pace.catch_up()
        unit = self.controller.unit
        reached = unit.step(now_ns)
        if reached == packml.COMPLETE:
            self._complete()
        elif unit.state == packml.EXECUTE:
            self._work(now_ns)
        elif unit.state == packml.SUSPENDED and self.outfeed.room() > 0:
            unit.command(packml.UNSUSPEND, now_ns)
        elif self._powering_up:
            # Only power-on brings the cell to Idle by itself; a Stop that was commanded stays until a Reset.
            if unit.state == packml.STOPPED:
                unit.command(packml.RESET, now_ns)
            elif unit.state == packml.IDLE:
                self._powering_up = False
        offer = self.controller.mailbox.take(now_ns)
        if offer is not None:
            self.controller.mailbox.finish(self._command(offer, now_ns))
        self.pace.step_done()

    def _work(self, now_ns: int) -> None:
        unit = self.controller.unit
        if not self.infeed.loads():
            # Somebody has taken the load out of the cell: what a light curtain would say.
            self.emergency_stop(now_ns)
            return
        self._worked_ns += SCAN_NS
        if self._worked_ns < CYCLE_NS:
            return
        if self.outfeed.room() < 1:
            unit.command(packml.SUSPEND, now_ns)
        else:
            unit.command(packml.FINISH, now_ns)

    def _complete(self) -> None:
        # A Complete command ends the work early; the load stays at the infeed then, and nothing is counted.
        if self._worked_ns < CYCLE_NS or self.outfeed.room() < 1:
            return
        load = self.infeed.give("")
        assert load is not None, f"cell {self.layout.id} completed without a load"
        self.outfeed.take(load)
        self.processed = (self.processed + 1) % 2**32
        if self._chance() < self.defect_share:
            self.defective = (self.defective + 1) % 2**32

    def _command(self, offer: Offer, now_ns: int) -> int:
        if not packml.RESET <= offer.code <= packml.FINISH:
            return INVALID
        unit = self.controller.unit
        if offer.code == packml.START:
            if packml.after(unit.state, packml.START) is None or self.controller.life.safe:
                return NOT_NOW
            if not self.infeed.loads():
                return NOT_THERE
            self.track_id, self.recipe = int(offer.values["track_id"]), str(offer.values["recipe"])
            self._worked_ns = 0
        return OK if unit.command(offer.code, now_ns) else NOT_NOW
