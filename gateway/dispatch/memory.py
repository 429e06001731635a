"""What a kernel remembers from turn to turn only to save work. Nothing in here is needed to know what to do: a kernel
that has lost it (after a restore) does the same as one that has it, and takes a little longer for its first turn.

The planning phases of the books (`phases.BOOKS`) and the assignment do nothing new while nothing has changed that
they look at. So they are skipped, by one rule:

* whoever changes orders, tasks, loads, room, PLC commands or hold-offs calls `Turn.touch`, inside a phase, too: then
  the next turn runs all phases;
* so does every input but a report and a tick;
* a report does where the device now shows the dispatcher something else than it saw last (`news`);
* a phase that waits for a moment is run at that moment (`due_ns`);
* the traffic phase, and the ledger's deadlines, are looked at in every turn.

A phase must not depend on anything else. `phases.run_all` goes without the rule; tests hold the two against each other.
"""

from __future__ import annotations

from gateway.contract import DeviceId, NodeId, Ns
from gateway.dispatch.floor import Floor
from gateway.dispatch.state import Order, State, Trip
from gateway.dispatch.traffic.schedule import Mover, Schedule

_NOTHING = object()


class Memory:
    """Belongs to one state and one floor."""

    def __init__(self, floor: Floor, state: State) -> None:
        self.floor = floor
        self.state = state
        self.touched = True
        """Something has changed since the books' phases began to run the last time."""
        self.vehicles_touched = True
        """The assignment must be run, if nothing else."""
        self.due_ns: Ns = 0
        """When the books' phases must run though nothing has changed."""
        self.ranked: list[Order] | None = None
        """The released orders by rank; None where it has to be worked out anew."""
        self.refusals: dict[DeviceId, str | None] = {}
        """Vehicle → why it can't drive, for those whose picture has not changed since."""
        self.order_checked = False
        """The passing order in force is that of the trips and of the vehicles that can drive."""
        self.schedule: tuple[list[Mover], Schedule] | None = None
        """The last passing order worked out, with what it was worked out from."""
        self.held: dict[DeviceId, tuple[list[NodeId], dict[str, DeviceId]]] = {}
        """Vehicle → the way that it holds, and all claims of that way, each with the vehicle."""
        self.trips: list[Trip] | None = None
        """The trips by the rank of their orders; None where it has to be worked out anew."""
        self._seen: dict[DeviceId, object] = {}

    def fits(self, floor: Floor, state: State) -> bool:
        return self.floor is floor and self.state is state

    def saw(self, device: DeviceId, view: object) -> None:
        """A phase that is skipped while nothing changes has looked at the device and has seen `view`."""
        self._seen[device] = view

    def news(self, device: DeviceId, view: object) -> bool:
        """Whether `view` is not what was seen."""
        return self._seen.get(device, _NOTHING) != view
