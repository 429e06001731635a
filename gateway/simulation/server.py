"""The edge server with the gateway's process on it: runs the production engine by hand, and lets it die anywhere."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import structlog

from gateway.contract import (
    AlarmEvent,
    Command,
    Consume,
    Effect,
    HostRequest,
    Input,
    Note,
    OrderEvent,
    Reply,
    SendFailed,
    ShellAlarm,
    SiteChanged,
    Started,
    StepEvent,
    Tick,
)
from gateway.shell.clock import SteadyClock
from gateway.shell.engine import HEALTHY, Engine
from gateway.shell.inbox import Inbox
from gateway.shell.journal import JournalError
from gateway.shell.recovery import restore
from gateway.simulation.disk import Disk, Pause, SimJournal
from gateway.simulation.links import Client, PlcClient, Room, Trouble, VehicleClient
from gateway.simulation.timeline import MS, SECOND, Timeline
from gateway.simulation.watch import Watch
from gateway.simulation.wire import Wire
from gateway.site import Site, WorkstationSpec, encode_site
from plc_simulators.plant import Plant

BEGIN_NS = 1_750_000_000 * SECOND
BATCH_MAX = 256
SNAPSHOT_EVERY = 400
"""More often than a real gateway does it: a run has many crashes, and each reads the journal from there."""
SEND_MS = (2, 40)
LOST_TO_NOBODY = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
CRASH_POINTS = (
    "before write", "before sync", "after sync", "in release", "in outbox", "before snapshot", "after snapshot", "idle",
)  # fmt: skip


class Crash(BaseException):
    """The process ends here; nothing in it may catch this."""


class Server:
    """One gateway process after the other on one disk."""

    def __init__(self, site: Site, timeline: Timeline, plant: Plant, watch: Watch, rng: random.Random) -> None:
        self.site = site
        """What the YAML says; the process reads it at its start and when it is told to."""
        self.timeline = timeline
        self.plant = plant
        self.watch = watch
        self.disk = Disk(rng)
        self.crashes = 0
        self.power_cuts = 0
        self.inputs = 0
        self.wall_offset_ns = 0
        self.engine: Engine | None = None
        self.answered: Callable[[Reply], None] = _to_nobody
        self.trouble = {d.id: Trouble() for d in site.devices if not isinstance(d, WorkstationSpec)}
        self._wire = Wire(plant)
        self._rng = rng
        self._life = 0
        self._version = 0
        self._boot_ns = 0
        timeline.every(100 * MS, self._look)
        timeline.every(SECOND, self._beat)

    # --- life and death of the process ---

    def start(self) -> None:
        """A new process: the journal is read, the links begin anew."""
        timeline = self.timeline
        self._life += 1
        self._journal = SimJournal(self.disk)
        restored = restore(self.site, self._journal)
        self.watch.restored(restored.kernel)
        boot_ns = self._boot_ns
        self._clock = SteadyClock(
            restored.kernel.state.now_ns,
            lambda: BEGIN_NS + timeline.now_ns + self.wall_offset_ns,
            lambda: timeline.now_ns - boot_ns,
        )
        self._clock_told = False
        self._inbox = Inbox(LOST_TO_NOBODY)
        self._room = Room(timeline, self.plant, self._wire, self._rng, self._inbox.post)
        self._clients: dict[str, Client] = {d: self._client(d) for d in self.trouble}
        self._outboxes: dict[str, deque[Command[Any] | Consume]] = {d: deque() for d in self.trouble}
        self._sending: dict[str, Command[Any]] = {}
        self._coroutine: Coroutine[Any, Any, None] | Generator[Pause, None, None] | None = None
        self._deadline_ns = 0
        now_ns, replayed = self._clock.now_ns, restored.replayed
        self.engine = Engine(restored.kernel, self._journal, self, now_ns, _pause_s, SNAPSHOT_EVERY, replayed)
        epoch = max(restored.kernel.state.epoch + 1, (BEGIN_NS + timeline.now_ns + self.wall_offset_ns) // SECOND)
        self._begin([Started(epoch, "simulated"), *self._site_input(at_start=True)])

    def _client(self, device: str) -> Client:
        if device in self.plant.vehicles:
            return VehicleClient(self._room, device, self.trouble[device])
        return PlcClient(self._room, device, self.trouble[device], device in self.plant.conveyors)

    def _site_input(self, *, at_start: bool) -> list[object]:
        engine = self.engine
        said = encode_site(self.site)
        return [] if engine is None or engine.kernel.state.site == said else [SiteChanged(said, at_start)]

    def crash_at(self, point: str) -> None:
        """Let the process die at the next time that it comes by `point`, one of CRASH_POINTS."""
        if self.engine is None:
            return
        if point == "idle" and self._coroutine is None:
            self._die()
        else:
            self._journal.crash_at = point

    def cut_power(self) -> None:
        """The whole server goes off: what was not synced may be gone."""
        if self.engine is not None:
            self.power_cuts += 1
            self._die(power=True)

    def _die(self, *, power: bool = False) -> None:
        if self.engine is None:
            return
        self.crashes += 1
        self._room.alive = False
        for device, command in self._sending.items():
            # On its way when the process died: the operating system may still have sent it.
            if self._rng.random() < 0.5:
                self._clients[device].send(command)
        self.watch.died(self.engine)
        self.disk.lose(power=power)
        if self._coroutine is not None:
            coroutine, self._coroutine = self._coroutine, None
            coroutine.close()
        self.engine = None
        if power:
            self._boot_ns = self.timeline.now_ns
        down_s = self._rng.uniform(20, 60) if power else self._rng.uniform(1, 8)
        self.timeline.after(int(down_s * SECOND), self._start_again)

    def _start_again(self) -> None:
        if self.engine is None:
            self.start()

    # --- inputs ---

    def post(self, body: Any) -> None:
        """Hand something to the process, if there is one."""
        if self.engine is not None:
            self._inbox.post(body)
            self._kick()

    def ask(self, asked: HostRequest) -> str:
        """A request arrives: "" when it was taken in, else why it was turned away with nothing stored."""
        if self.engine is None:
            return "connection refused"
        if self.engine.status != HEALTHY:
            return f"the gateway's state is {self.engine.status}"
        self.post(asked)
        return ""

    def reload(self, site: Site | None) -> None:
        """The operator has changed the YAML and tells the process to read it again; None: it has errors in it."""
        if site is None:
            self.post(ShellAlarm("site", "not-reloaded", "the YAML has errors: run stellwerk check", active=True))
            return
        self.site = site
        if self.engine is not None:
            self.post(SiteChanged(encode_site(site), at_start=False))

    def _look(self) -> None:
        if self.engine is None:
            return
        for client in self._clients.values():
            client.look()
        problem = self._clock.problem()
        if bool(problem) != self._clock_told:
            self._clock_told = bool(problem)
            self._inbox.post(ShellAlarm("clock", "differs", problem, self._clock_told))
        self._kick()

    def _beat(self) -> None:
        if self.engine is not None:
            for client in self._clients.values():
                client.beat()
        self.plant.life(self.timeline.now_ns)

    # --- the engine by hand ---

    def _kick(self) -> None:
        while self.engine is not None and self._coroutine is None:
            batch: list[object] = list(self._inbox.take(BATCH_MAX))
            if not batch:
                if self._clock.now_ns() < self._deadline_ns:
                    return
                batch = [Tick()]
            self._begin(batch)

    def _begin(self, batch: list[object]) -> None:
        assert self.engine is not None
        self.inputs += len(batch)
        for body in batch:
            self.watch.entered(body, self._clock.now_ns())
        self._coroutine = self.engine.take(batch)
        self._resume(self._life)

    def _resume(self, life: int) -> None:
        if life != self._life or self.engine is None or self._coroutine is None:
            return
        try:
            pause: Pause = self._coroutine.send(None)
        except StopIteration:
            self._coroutine = None
            self._deadline_ns = self.engine.kernel.next_deadline_ns()
            self.watch.concluded(self.engine.kernel)
            return
        except Crash:
            self._coroutine = None
            self._die()
            return
        if self._journal.crash_at == pause.where:
            self._die()
        elif pause.ns:
            self.timeline.after(pause.ns, lambda: self._resume_and_go_on(life))
        else:
            self._resume(life)

    def _resume_and_go_on(self, life: int) -> None:
        self._resume(life)
        if life == self._life:
            self._kick()

    # --- what the engine tells ---

    def release(self, entered: Input, number: int, effect: Effect) -> None:  # noqa: ARG002 - the protocol's
        """See `Outlet.release`."""
        if self._journal.crash_at == "in release":
            raise Crash
        self.watch.released(effect)
        match effect:
            case Command() | Consume():
                box = self._outboxes.get(effect.device)
                if box is None:
                    return
                box.append(effect)
                if self._journal.crash_at == "in outbox":
                    raise Crash
                if len(box) == 1:
                    self._send_soon(effect.device)
            case Reply():
                self.answered(effect)
            case OrderEvent() | StepEvent() | AlarmEvent() | Note():
                pass
            case _:
                raise AssertionError(f"an effect that nobody knows: {effect!r} at {entered.at_ns}")

    def set_aside(self, body: object, error: Exception) -> None:
        """See `Outlet.set_aside`."""
        self.watch.fail("total", f"an input could not be written down: {body!r}: {error}")

    def journal_full(self, problem: str) -> None:
        """See `Outlet.journal_full`."""
        self.watch.say(f"journal: {problem or 'has room again'}")

    def halted(self, entered: Input, error: Exception) -> None:
        """See `Outlet.halted`."""
        self.watch.fail("total", f"the kernel failed at input {entered.seq} {entered.body!r}: {error!r}")

    def no_snapshot(self, error: JournalError) -> None:
        """See `Outlet.no_snapshot`."""
        self.watch.say(f"no snapshot: {error}")

    # --- the way out ---

    def _send_soon(self, device: str) -> None:
        life, box = self._life, self._outboxes[device]
        if isinstance(box[0], Command):
            self._sending[device] = box[0]
        self.timeline.after(self._rng.randint(*SEND_MS) * MS, lambda: self._send(life, device))

    def _send(self, life: int, device: str) -> None:
        if life != self._life or self.engine is None:
            return
        box = self._outboxes[device]
        effect = box.popleft()
        self._sending.pop(device, None)
        if isinstance(effect, Consume):
            self._clients[device].consume(effect.ring_index)
        else:
            late = self._clock.now_ns() > effect.deadline_ns
            reason = "it came after its deadline" if late else self._clients[device].send(effect)
            if not reason:
                self.watch.written(effect)
            else:
                certain = not reason.startswith("?")
                self._inbox.post(SendFailed(effect.command_id, device, certain, reason.removeprefix("?")))
        if box:
            self._send_soon(device)
        self._kick()


def _to_nobody(_: Reply) -> None:
    """Nobody listens yet."""


async def _pause_s(seconds: float) -> None:
    await Pause(int(seconds * SECOND), "pause")
