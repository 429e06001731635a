"""The rules about orders, answers, the journal and time: what a host and a restart rely on."""

from __future__ import annotations

from typing import Any

from gateway import codec
from gateway.contract import Command, Effect, HostRequest, LinkChanged, Ns, OrderEvent, Reply
from gateway.devices.agv import Instant
from gateway.dispatch import explain
from gateway.kernel import Kernel
from gateway.shell.engine import Engine
from gateway.simulation.disk import Disk
from gateway.simulation.links import STALE_NS, VEHICLE_STALE_NS, Trouble
from gateway.simulation.timeline import SECOND
from gateway.simulation.watch import Checker, Watch
from gateway.site import Site

ENDS = ("finished", "failed", "cancelled")
_NEXT = {"": ("created",), "created": ("released", *ENDS), "released": ("started", *ENDS), "started": ENDS}
_PLACE = {"": 0, "created": 1, "released": 2, "started": 3} | dict.fromkeys(ENDS, 4)
STALE_SLACK_NS = 4 * SECOND
LOOK_EVERY_NS = 10 * SECOND


class OrdersEnd(Checker):
    """Every acknowledged order ends in exactly one terminal state, and no crash loses or changes one."""

    name = "orders"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self.state: dict[str, str] = {}
        """As the order's events have told it."""
        self._version: dict[str, int] = {}
        self.acknowledged: set[str] = set()

    def released(self, effect: Effect) -> None:
        if not isinstance(effect, OrderEvent):
            return
        was, version = self.state.get(effect.order, ""), self._version.get(effect.order, 0)
        # Held, resumed or changed: it is where it was.
        same = was not in ("", *ENDS) and effect.state in (was, "interrupted")
        if not same and effect.state not in _NEXT.get(was, ()):
            self.fail(f"order {effect.order} went from {was or 'nothing'} to {effect.state}")
        if effect.version != version + 1:
            self.fail(f"order {effect.order} was told as version {version} and then {effect.version}")
        self._version[effect.order] = effect.version
        if effect.state != "interrupted":
            self.state[effect.order] = effect.state

    def restored(self, kernel: Kernel) -> None:
        known = kernel.state.orders
        for order in self.acknowledged - known.keys():
            self.fail(f"order {order} was acknowledged and is gone after a restart")
        for name, order_ in known.items():
            was = self.state.get(name, "")
            if _PLACE[order_.state] < _PLACE[was] or (was in ENDS and order_.state != was):
                self.fail(f"order {name} was {was} before a restart and is {order_.state} after it")
            self.state[name], self._version[name] = order_.state, order_.version
        for name in self.state.keys() - known.keys():
            # Events are released after the commit of what caused them, so even an order never answered must be there.
            self.fail(f"order {name} was {self.state[name]} and is gone after a restart")

    def open(self) -> list[str]:
        """Orders that hosts wait for."""
        return [order for order in self.acknowledged if self.state.get(order) not in ENDS]

    def at_rest(self, kernel: Kernel) -> None:
        for order in self.open()[:1]:
            lines = " | ".join(explain.order(kernel.state, order))
            self.fail(f"{len(self.open())} orders have not ended though nothing is wrong any more: {lines}")


class AnswersStand(Checker):
    """The same request id gets the same answer, with other content a refusal; an answer is for one who asked."""

    name = "answers"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._asked: dict[tuple[str, str], list[object]] = {}
        self._answer: dict[tuple[str, str], tuple[bool, str]] = {}
        self._pending: dict[tuple[str, str], list[object]] = {}

    def entered(self, body: object, at_ns: Ns) -> None:  # noqa: ARG002 - the rule does not depend on time
        if isinstance(body, HostRequest):
            key = (body.client, body.request_id)
            self._asked.setdefault(key, []).append(body.request)
            self._pending.setdefault(key, []).append(body.request)

    def released(self, effect: Effect) -> None:
        if not isinstance(effect, Reply):
            return
        key = (effect.client, effect.request_id)
        if not self._pending.get(key):
            self.fail(f"{key} was answered and had not asked")
            return
        request = self._pending[key].pop(0)
        if request != self._asked[key][0]:
            if effect.accepted or "other content" not in effect.reason:
                self.fail(f"{key} was used again with other content and got {effect.accepted}, {effect.reason!r}")
            return
        if effect.code == "limit":
            return  # it may be asked again later
        known = self._answer.setdefault(key, (effect.accepted, effect.reason))
        if known != (effect.accepted, effect.reason):
            self.fail(f"{key} was answered {known} and then {(effect.accepted, effect.reason)}")

    def died(self, engine: Engine) -> None:  # noqa: ARG002 - who waited gets no answer
        self._pending.clear()


class JournalEqualsState(Checker):
    """What the disk gives back is what the process had in its memory, after every crash and at the end."""

    name = "journal"

    def __init__(self, watch: Watch, disk: Disk, site: Site) -> None:
        super().__init__(watch)
        self._disk = disk
        self._site = site
        self.compared = 0

    def died(self, engine: Engine) -> None:
        self._compare(engine.kernel)

    def at_rest(self, kernel: Kernel) -> None:
        self._compare(kernel)

    def _compare(self, kernel: Kernel) -> None:
        last = kernel.state.seq
        snapshots = [s for s in self._disk.snapshots if s[0] <= last]
        seq, again = (snapshots[-1][0], Kernel.restore(self._site, snapshots[-1][1])) if snapshots else (0, None)
        again = again or Kernel(self._site)
        for record in self._disk.records[seq:last]:
            again.apply(codec.stamp(*record))
        self.compared += 1
        if again.snapshot() != kernel.snapshot():
            self.fail(f"replayed from input {seq}, the state after input {last} differs from the one in memory")


class NothingStale(Checker):
    """No new command on what has not been seen for too long, and none to a device whose link is not up."""

    name = "stale"

    def __init__(self, watch: Watch, trouble: dict[str, Trouble], vehicles: set[str]) -> None:
        super().__init__(watch)
        self._trouble = trouble
        self._vehicles = vehicles
        self._blind_since: dict[str, Ns] = {}
        self._link: dict[str, str] = {}
        self._newest_seq: dict[str, int] = {}
        self._written_seq: dict[str, int] = {}
        self._changed: set[str] = set()

    def entered(self, body: object, at_ns: Ns) -> None:  # noqa: ARG002 - simulated time is what counts here
        if isinstance(body, LinkChanged):
            self._link[body.device] = body.state
            self._changed.add(body.device)

    def concluded(self, kernel: Kernel) -> None:  # noqa: ARG002 - only the end of a batch matters
        self._changed.clear()

    def looked(self) -> None:
        for device in self._trouble:
            self._look_at(device)

    def _look_at(self, device: str) -> None:
        trouble = self._trouble[device]
        blind = trouble.cut or trouble.mute_up or trouble.frozen
        if device not in self._vehicles:
            blind = blind or trouble.bad
        if not blind:
            self._blind_since.pop(device, None)
        else:
            self._blind_since.setdefault(device, self.watch.timeline.now_ns)

    def released(self, effect: Effect) -> None:
        if not isinstance(effect, Command):
            return
        device = effect.device
        if effect.seq <= self._newest_seq.get(device, 0):
            return
        self._newest_seq[device] = effect.seq
        if device not in self._changed and self._link.get(device) != "up":
            self.fail(f"{effect.command_id} was sent while the link was {self._link.get(device, 'never up')}")

    def written(self, command: Command[Any]) -> None:
        device = command.device
        if command.seq <= self._written_seq.get(device, 0) or isinstance(command.action, Instant):
            return
        self._written_seq[device] = command.seq
        self._look_at(device)
        since_ns = self._blind_since.get(device)
        limit_ns = (VEHICLE_STALE_NS if device in self._vehicles else STALE_NS) + STALE_SLACK_NS
        if since_ns is not None and self.watch.timeline.now_ns - since_ns > limit_ns:
            blind_s = (self.watch.timeline.now_ns - since_ns) / SECOND
            self.fail(f"{command.command_id} was written though {device} has not been seen for {blind_s:.1f} s")

    def died(self, engine: Engine) -> None:  # noqa: ARG002 - links begin anew
        self._link.clear()


class EverythingHasAReason(Checker):
    """At any time every open order says why it is not further on."""

    name = "reasons"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._next_ns = 0

    def concluded(self, kernel: Kernel) -> None:
        if self.watch.timeline.now_ns < self._next_ns:
            return
        self._next_ns = self.watch.timeline.now_ns + LOOK_EVERY_NS
        state = kernel.state
        for name in [*(entry[-1] for entry in state.queue), *state.released]:
            lines = explain.order(state, str(name))
            if not lines or any(line.rstrip(": ") != line.rstrip() for line in lines):
                self.fail(f"order {name} is open and does not say why: {lines}")
