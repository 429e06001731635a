"""Rules that only the real stacks can break, beside those of `gateway.simulation`."""

from __future__ import annotations

from stack_faults import Hands
from stack_gateway import Disk
from stack_hall import Hall, site

from gateway import codec
from gateway.contract import Command, Effect, Ns
from gateway.kernel import Kernel
from gateway.simulation.watch import Checker, Watch

STALE_S = 9.0
"""A PLC that shows nothing is left alone after its profile's 3 s; the rest is for a session that has to time out."""


class JournalEqualsState(Checker):
    """What the disk gives back is what the process had in its memory, after every crash and at the end."""

    name = "journal"

    def __init__(self, watch: Watch, disk: Disk) -> None:
        super().__init__(watch)
        self.compared = 0
        self._disk = disk

    def died(self, engine: object) -> None:
        self.at_rest(engine.kernel)  # type: ignore[attr-defined]

    def at_rest(self, kernel: Kernel) -> None:
        last_seq = kernel.state.seq
        snapshot = self._disk.journal.latest_snapshot()
        again, after = Kernel(site()), 0
        if snapshot is not None and snapshot[0] <= last_seq:
            again, after = Kernel.restore(site(), snapshot[1]), snapshot[0]
        for record in self._disk.records(last_seq):
            if record[0] > after:
                again.apply(codec.stamp(*record))
        self.compared += 1
        if again.snapshot() != kernel.snapshot():
            self.fail(f"replayed from input {after}, the state after input {last_seq} differs from the one in memory")


class NothingBlind(Checker):
    """No new command for a device of which nothing has been heard for too long."""

    name = "stale"

    def __init__(self, watch: Watch, hands: Hands) -> None:
        super().__init__(watch)
        self._hands = hands
        self._newest_seq: dict[str, int] = {}

    def released(self, effect: Effect) -> None:
        if not isinstance(effect, Command) or effect.seq <= self._newest_seq.get(effect.device, 0):
            return
        self._newest_seq[effect.device] = effect.seq
        since_s = self._hands.blind_since.get(effect.device)
        if since_s is None:
            return
        blind_s = self.watch.timeline.now_ns / 1e9 - since_s
        if blind_s > STALE_S:
            self.fail(f"{effect.command_id} was decided though {effect.device} has not been heard for {blind_s:.1f} s")


class NothingLost(Checker):
    """Every load that was put into the hall is there or has left it by a known way; none is there twice."""

    name = "loads"

    def __init__(self, watch: Watch, hall: Hall) -> None:
        super().__init__(watch)
        self._plant = hall.plant

    def looked(self) -> None:
        standing = [load for load, _ in self._plant.standing()]
        if len(standing) != len(set(standing)):
            self.fail(
                f"{sorted({x for x in standing if standing.count(x) > 1})} in two places: {self._plant.standing()}"
            )
        missing = self._plant.barcodes.keys() - set(standing)
        if missing:
            self.fail(f"{sorted(missing)} are nowhere in the plant")


class LivesOn(Checker):
    """Time of the kernel never goes back, whoever carries it on."""

    name = "time"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._newest_ns: Ns = 0

    def entered(self, body: object, at_ns: Ns) -> None:
        if at_ns < self._newest_ns:
            self.fail(
                f"{type(body).__name__} came {(self._newest_ns - at_ns) / 1e9:.3f} s before the input ahead of it"
            )
        self._newest_ns = max(self._newest_ns, at_ns)
