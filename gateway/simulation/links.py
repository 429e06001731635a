"""Links between the gateway's process and the plant, each with its protocol's own way of losing things.

Modbus shows levels, sampled at a poll. OPC UA hands on every change in order until it disconnects; what the sorter's
ring holds is read again from where it was last consumed. MQTT at QoS 0 may drop, double and delay a message, and a
message that comes late is dropped by its header number as a vehicle's and the driver's side do.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from drivers.handshake import RingCursor
from gateway.contract import Command, LinkChanged, LinkState, Report
from gateway.devices.sorter import SorterEvent
from gateway.simulation.timeline import MS, SECOND, Timeline
from gateway.simulation.wire import Wire
from plc_simulators.models.ring import ENTRIES
from plc_simulators.plant import Plant

STALE_NS = 3 * SECOND
RETRY_NS = (200 * MS, 3 * SECOND)
NOTICED_NS = (50 * MS, 2 * SECOND)
STATE_PERIOD_NS = 10 * SECOND
VEHICLE_STALE_NS = 30 * SECOND
WRITE_TIMEOUT_NS = SECOND


class Trouble:
    """What is wrong with a link just now; each is a count, because faults overlap."""

    def __init__(self) -> None:
        self.cut = 0
        self.mute_up = 0
        """What the device says does not come through."""
        self.mute_down = 0
        """What is sent to the device does not come through."""
        self.frozen = 0
        """The device answers, and its values stand still, its life counter, too."""
        self.bad = 0
        """The device says that its own values can't be trusted."""
        self.loss_percent = 0
        self.double_percent = 0
        self.delay_ms = 0
        self.reorder_percent = 0


class Client(Protocol):
    """One link as the gateway's process has it. A new process begins with new ones."""

    device: str

    def look(self) -> None:
        """See what is new and hand it over; called every poll."""

    def send(self, command: Command[Any]) -> str:
        """Write a command: "" when written, else the reason. `?` begins a reason that leaves the outcome open."""

    def consume(self, ring_index: int) -> None:
        """Events up to this number are durable."""

    def beat(self) -> None:
        """Give the gateway's life sign, once a second."""


class Room:
    """What all links of one process share."""

    def __init__(
        self, timeline: Timeline, plant: Plant, wire: Wire, rng: random.Random, post: Callable[[Any], None]
    ) -> None:
        self.timeline = timeline
        self.plant = plant
        self.wire = wire
        self.rng = rng
        self.post = post
        self.alive = True
        """Ends with the process: what was under way to it then arrives nowhere."""


class PlcClient:
    """A conveyor over Modbus, or a sorter or cell over OPC UA."""

    def __init__(self, room: Room, device: str, trouble: Trouble, polled: bool) -> None:
        self.device = device
        self._room = room
        self._trouble = trouble
        self._polled = polled
        self._state: LinkState = "down"
        self._shown: object = None
        self._beat = 0
        self._connect_ns = room.timeline.now_ns + room.rng.randint(*RETRY_NS)
        self._cut_seen_ns: int | None = None
        self._silent_ns: int | None = None
        self._bad_ns: int | None = None
        self._ring = RingCursor(ENTRIES) if device in room.plant.sorters else None
        self._boot_id: int | None = None
        self._steps = -1

    def look(self) -> None:
        """See `Client.look`."""
        now_ns, trouble = self._room.timeline.now_ns, self._trouble
        if trouble.cut:
            self._cut_off(now_ns)
            return
        self._cut_seen_ns = None
        if self._state == "down" and now_ns < self._connect_ns:
            return
        if trouble.mute_up or trouble.frozen:
            self._silent(now_ns)
            return
        self._silent_ns = None
        if trouble.bad:
            self._bad_ns = self._bad_ns or now_ns
            if self._state != "up" or now_ns - self._bad_ns >= STALE_NS:
                self._change("uncertain", "its values are marked as bad: check the sensor's bus")
            return
        self._bad_ns = None
        self._show()

    def beat(self) -> None:
        """See `Client.beat`."""
        if self._state != "down" and not self._trouble.cut and not self._trouble.mute_down:
            self._beat = self._beat % 65_535 + 1
            life = self._room.plant.controllers()[self.device].life
            life.hear(self._beat, self._room.timeline.now_ns)

    def send(self, command: Command[Any]) -> str:
        """See `Client.send`."""
        trouble = self._trouble
        if trouble.cut or self._state != "up":
            return f"link is {self._state}"
        if trouble.mute_down or trouble.frozen:
            # Half of what had no answer was written all the same.
            if self._room.rng.random() < 0.5 and not trouble.frozen:
                self._room.wire.deliver(command)
            return "?no answer within 1 s"
        self._room.wire.deliver(command)
        return ""

    def consume(self, ring_index: int) -> None:
        """See `Client.consume`."""
        ring = self._ring
        if ring is None or self._state == "down" or self._trouble.cut or self._trouble.mute_down:
            return
        if ring.covers(ring_index):
            self._room.plant.sorters[self.device].ring.rd = ring_index

    def _cut_off(self, now_ns: int) -> None:
        if self._cut_seen_ns is None:
            self._cut_seen_ns = now_ns + self._room.rng.randint(*NOTICED_NS)
        if self._state != "down" and now_ns >= self._cut_seen_ns:
            self._change("down", "connection lost")
            self._connect_ns = now_ns + self._room.rng.randint(*RETRY_NS)

    def _silent(self, now_ns: int) -> None:
        if self._silent_ns is None:
            self._silent_ns = now_ns
        if now_ns - self._silent_ns >= STALE_NS:
            # A poll without an answer ends a Modbus connection; a subscription just falls silent.
            lost = self._polled and bool(self._trouble.mute_up)
            self._change("down" if lost else "uncertain", "heartbeat stands still")
            if lost:
                self._connect_ns = now_ns + self._room.rng.randint(*RETRY_NS)

    def _show(self) -> None:
        room = self._room
        came_up = self._state != "up"
        if came_up:
            self._change("up", "connected, heartbeat moves")
            self._shown = None
        if self._ring is not None:
            self._drain(came_up)
        steps = room.wire.steps(self.device)
        if steps == self._steps and not came_up:
            return
        self._steps = steps
        mark = room.wire.mark(self.device)
        if mark != self._shown:
            self._shown = mark
            room.post(Report(self.device, room.wire.report(self.device)))

    def _drain(self, came_up: bool) -> None:
        """Events in the ring's order; a new boot is shown before the events that came after it."""
        room, ring = self._room, self._ring
        sorter = room.plant.sorters[self.device]
        assert ring is not None, "only a sorter has a ring"
        if self._boot_id != sorter.controller.boot_id:
            if self._boot_id is not None:
                ring.restart()
            self._boot_id = sorter.controller.boot_id
            ring.start(sorter.ring.rd, sorter.ring.wr)
            self._shown = room.wire.mark(self.device)
            room.post(Report(self.device, room.wire.report(self.device)))
        elif came_up:
            self._shown = room.wire.mark(self.device)
            room.post(Report(self.device, room.wire.report(self.device)))
        pending = ring.pending(sorter.ring.wr)
        if not pending.count:
            return
        assert ring.last is not None, "the cursor was started with the boot number"
        for notice in room.wire.notices(self.device, pending.first - 1):
            assert isinstance(notice.data, SorterEvent)
            room.post(notice)
            ring.advance(notice.ring_index or 0)

    def _change(self, state: LinkState, reason: str) -> None:
        if state != self._state:
            self._state = state
            self._room.post(LinkChanged(self.device, state, f"{self.device}: {reason}"))


class VehicleClient:
    """A vehicle behind the broker. Both ways are QoS 0."""

    def __init__(self, room: Room, device: str, trouble: Trouble) -> None:
        self.device = device
        self._room = room
        self._trouble = trouble
        self._state: LinkState = "down"
        self._connect_ns = room.timeline.now_ns + room.rng.randint(*RETRY_NS)
        self._shown: object = None
        self._said_ns = 0
        self._heard_ns = room.timeline.now_ns
        self._header_id = 0
        self._last_header_id = 0
        self._last: Any = None
        self._cut_seen_ns: int | None = None

    def look(self) -> None:
        """See `Client.look`."""
        now_ns, trouble = self._room.timeline.now_ns, self._trouble
        if trouble.cut:
            if self._cut_seen_ns is None:
                self._cut_seen_ns = now_ns + self._room.rng.randint(*NOTICED_NS)
            if now_ns >= self._cut_seen_ns:
                self._change("down", "vehicle has lost its radio link to the broker")
                self._connect_ns = now_ns + self._room.rng.randint(*RETRY_NS)
            return
        self._cut_seen_ns = None
        if now_ns < self._connect_ns:
            return
        if self._state == "up" and now_ns - self._heard_ns >= VEHICLE_STALE_NS:
            self._change("uncertain", "online, but no state for 30 s")
        mark = self._room.wire.mark(self.device)
        if mark == self._shown and now_ns - self._said_ns < STATE_PERIOD_NS and self._state != "down":
            return
        self._shown, self._said_ns = mark, now_ns
        self._header_id += 1
        header_id, report = self._header_id, self._room.wire.report(self.device)
        if not trouble.mute_up and not trouble.frozen:
            self._over_the_air(lambda: self._arrives(header_id, report))

    def send(self, command: Command[Any]) -> str:
        """See `Client.send`."""
        if self._state != "up" or self._trouble.cut:
            return "broker or vehicle is away"
        if not self._trouble.mute_down:
            self._over_the_air(lambda: self._room.wire.deliver(command))
        return ""

    def consume(self, ring_index: int) -> None:
        """Vehicles have no event ring."""

    def beat(self) -> None:
        """Vehicles do not watch the gateway."""

    def _over_the_air(self, arrive: Callable[[], None]) -> None:
        """A message at QoS 0: it comes once at once, unless something is wrong with the air."""
        trouble, rng = self._trouble, self._room.rng
        if rng.random() * 100 < trouble.loss_percent:
            return
        for _ in range(2 if rng.random() * 100 < trouble.double_percent else 1):
            delay_ns = rng.randint(0, trouble.delay_ms) * MS
            if rng.random() * 100 < trouble.reorder_percent:
                delay_ns += rng.randint(100, 2_000) * MS
            if delay_ns:
                self._room.timeline.after(delay_ns, arrive)
            else:
                arrive()

    def _arrives(self, header_id: int, report: Any) -> None:
        if not self._room.alive or self._trouble.cut or header_id <= self._last_header_id:
            return
        self._last_header_id, self._heard_ns = header_id, self._room.timeline.now_ns
        came_up = self._state != "up"
        self._change("up", "online, states flow")
        if came_up or report != self._last:
            self._last = report
            self._room.post(Report(self.device, report))

    def _change(self, state: LinkState, reason: str) -> None:
        if state != self._state:
            self._state = state
            self._room.post(LinkChanged(self.device, state, f"{self.device}: {reason}"))
