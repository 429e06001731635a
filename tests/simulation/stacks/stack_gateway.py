"""The gateway of a run: one process after the other on one journal, each made of the production pieces."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stack_hall import DEVICES, FIRST_PORT, Hall, site
from stack_loop import PlantLoop
from stack_process import Process

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.wire import Wires
from drivers.opcua.driver import OpcuaDriver
from gateway import codec
from gateway.contract import Command, DeviceId, Driver, Effect, Input, Started
from gateway.shell.clock import SteadyClock
from gateway.shell.inbox import Inbox
from gateway.shell.journal import JournalClosed
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.recovery import restore
from gateway.shell.runtime import Runtime
from gateway.simulation.watch import Watch
from gateway.site import ConveyorSpec, RobotCellSpec, SorterSpec, encode_site

BEGIN_NS = 1_750_000_000 * 1_000_000_000
FAST_POLL_MS = 200
"""Four times slower than the shipped profile polls: enough for a belt that takes a second a zone, and half the work."""
DISK_S = (0.0005, 0.02)
EARLIER_EPOCH = 1

Record = tuple[int, int, bytes]
"""An input (number, time, body), or what a batch of them drew (first number, last number, digest)."""


class Disk:
    """What is durable, whatever happens to the processes; `history` is all of it."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()

    async def prepare(self) -> None:
        """Before the first process: an earlier controller has been here."""
        await self.journal.commit([(1, BEGIN_NS, codec.encode_body(Started(EARLIER_EPOCH, "before")))])

    def records(self, last_seq: int) -> Iterator[Record]:
        """All inputs up to `last_seq`."""
        return (record for record in self.journal.read(0) if record[0] <= last_seq)


class OpenJournal:
    """The disk as one process has it open: writing takes time, and ends with the process.

    A process may die while it waits for the disk, before or after its inputs have become durable.
    """

    def __init__(
        self, disk: Disk, process: Process, rng: random.Random, entered: Callable[[object, int], None]
    ) -> None:
        self._disk = disk
        self._process = process
        self._rng = rng
        self._entered = entered
        self.phase = "idle"
        """Where a process that dies now dies: idle, before or after its inputs became durable."""
        self.dies_in = ""
        """The phase in which it is to die."""

    @property
    def last_seq(self) -> int:
        return self._disk.journal.last_seq

    async def commit(self, records: Sequence[Record], drawn: Sequence[Record] = ()) -> None:
        """See `Journal.commit`."""
        self.phase = "before commit"
        await self._takes()
        await self._store(records, drawn)
        for _, at_ns, body in records:
            self._entered(codec.decode_body(body), at_ns)
        self.phase = "after commit"
        await self._takes()
        self.phase = "idle"

    async def _store(self, records: Sequence[Record], drawn: Sequence[Record]) -> None:
        await self._disk.journal.commit(records, drawn)

    def read(self, after_seq: int) -> Iterator[Record]:
        """See `Journal.read`."""
        return self._disk.journal.read(after_seq)

    def read_drawn(self, after_seq: int) -> Iterator[Record]:
        """See `Journal.read_drawn`."""
        return self._disk.journal.read_drawn(after_seq)

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """See `Journal.latest_snapshot`."""
        return self._disk.journal.latest_snapshot()

    async def save_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:
        """See `Journal.save_snapshot`."""
        await self._takes()
        await self._disk.journal.save_snapshot(seq, at_ns, state)
        await self._takes()

    async def close(self) -> None:
        """Nothing to let go of: the next process has the disk open in its own right."""

    async def _takes(self) -> None:
        await asyncio.sleep(self._rng.uniform(*DISK_S))
        if self.phase == self.dies_in:
            self._process.kill()
        if self._process.dead:
            raise JournalClosed("the process has ended")


class Told:
    """A log that goes into the story of the run. A driver or outbox that has to be started again breaks a rule."""

    def __init__(self, watch: Watch, process: Process) -> None:
        self._watch = watch
        self._process = process

    def debug(self, event: str, **details: Any) -> None:
        pass

    def info(self, event: str, **details: Any) -> None:
        """Notes and orders are told by the effects; this leaves the end of a process."""
        if event == "stopped":
            self._say(event, details)

    def warning(self, event: str, **details: Any) -> None:
        self._say(event, details)

    def error(self, event: str, **details: Any) -> None:
        self._broken(event, details)

    def critical(self, event: str, **details: Any) -> None:
        self._broken(event, details)

    def _say(self, event: str, details: dict[str, Any]) -> None:
        if not self._process.dead and event != "alarm":
            self._watch.say(f"log: {event} {details}")

    def _broken(self, event: str, details: dict[str, Any]) -> None:
        if not self._process.dead:
            self._watch.fail("parts", f"{event}: {details}")


class WatchedRuntime(Runtime):
    """The runtime with somebody looking at all that it lets out."""

    released: Callable[[Effect], None]
    dies_after: int | None = None
    """Kill the process so many steps after the next command has been released; None: don't."""
    process: Process

    def release(self, entered: Input, number: int, effect: Effect) -> None:
        self.released(effect)
        super().release(entered, number, effect)
        if isinstance(effect, Command) and self.dies_after is not None:
            steps, self.dies_after = self.dies_after, None
            # Not in the middle of a step: what it still does would be done by a dead process.
            asyncio.get_running_loop().call_soon(self.process.kill, steps)


class Gateway:
    """Starts, kills and stops the process. `runtime` is None while there is none."""

    def __init__(self, loop: PlantLoop, hall: Hall, watch: Watch, seed: object) -> None:
        self.hall = hall
        self.disk = Disk()
        self.watch = watch
        self.runtime: WatchedRuntime | None = None
        self.process: Process | None = None
        self.past: list[Process] = []
        """All processes that have ended."""
        self.died_in: Counter[str] = Counter()
        self.tasks_max = 0
        self.heard: Callable[[Effect], None] = watch.released
        self.journal_type: type[OpenJournal] = OpenJournal
        self._loop = loop
        self._seed = seed
        self._lives = 0
        self._journal: OpenJournal
        self._main: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """A new process: the journal is read, the links begin anew."""
        assert self.process is None, "one process at a time"
        self._lives += 1
        process = Process(self._died)
        journal = self.journal_type(
            self.disk, process, random.Random(f"{self._seed} disk {self._lives}"), self.watch.entered
        )
        kernel = restore(site(), journal).kernel
        self.watch.restored(kernel)
        clock = SteadyClock(kernel.state.now_ns, self._wall_ns, self._loop.now_ns)
        log = Told(self.watch, process)
        inbox = Inbox(log)  # type: ignore[arg-type]
        drivers = self._drivers(inbox, clock)
        runtime = WatchedRuntime(kernel, journal, inbox, drivers, log, clock, encode_site(site()))  # type: ignore[arg-type]
        runtime.released, runtime.process = self.heard, process
        self.process, self.runtime, self._journal, self._stopping = process, runtime, journal, False
        self._main = process.start(runtime.run("simulated"), "gateway")
        self._main.add_done_callback(self._ended)

    def crash(self, steps: int = 0, when: str = "") -> None:
        """kill -9, now or at the await that one of its tasks reaches `steps` steps from now; or, with `when`, the next
        time that it is "before commit" or "after commit", or so many steps "after release" of a command."""
        if self.process is None or self.runtime is None or self._stopping:
            return
        if when == "after release":
            self.runtime.dies_after = steps
        elif when:
            self._journal.dies_in = when
        else:
            self.process.kill(steps)

    async def stop(self) -> None:
        """Stop in order, as on SIGTERM."""
        process, main = self.process, self._main
        if process is None or main is None or self._stopping:
            return
        self._stopping = True
        self.watch.say("the gateway is told to stop")
        main.cancel()
        await asyncio.wait([main])
        if process.dead:
            return
        if not main.cancelled():
            self.watch.fail("parts", f"the gateway was told to stop and ended with {main.exception()!r}")
        self.past.append(process)
        if left := process.left():
            self.watch.fail("tasks", f"the gateway has stopped and leaves {[task.get_name() for task in left]}: {left}")
        open_ = [t for t in process.transports if not t.is_closing()]
        if open_:
            self.watch.fail("tasks", f"the gateway has stopped and leaves {len(open_)} connections open")
        self.watch.died(self.runtime)  # type: ignore[arg-type]
        self.process = self.runtime = self._main = None
        process.kill()  # whatever it has left must not go on

    def look(self) -> None:
        """Note how many tasks there are, and that no device has a second connection: what is left behind with each
        reconnect shows here."""
        if self.process is None:
            return
        self.tasks_max = max(self.tasks_max, len(self.process.left()))
        open_ = Counter(t.get_extra_info("peername")[1] for t in self.process.transports if not t.is_closing())
        for port, count in open_.items():
            if count > 1:
                self.watch.fail("tasks", f"{count} connections are open to {DEVICES[port - FIRST_PORT]}")

    def _wall_ns(self) -> int:
        return BEGIN_NS + self._loop.now_ns()

    def _drivers(self, inbox: Inbox, clock: SteadyClock) -> dict[DeviceId, Driver]:
        """What `app.drivers_for` builds, with chance that comes from the seed."""
        profiles = {profile.profile: profile for profile in site().profiles}
        found: dict[DeviceId, Driver] = {}
        wires = Wires()
        for spec in site().devices:
            rng = random.Random(f"{self._seed} backoff {spec.id} {self._lives}")
            if isinstance(spec, ConveyorSpec):
                profile = profiles[spec.profile].model_copy(update={"fast_poll_ms": FAST_POLL_MS})
                found[spec.id] = ModbusDriver(spec, profile, inbox, clock.now_ns, rng=rng, wires=wires)
            elif isinstance(spec, SorterSpec | RobotCellSpec):
                found[spec.id] = OpcuaDriver(spec, profiles[spec.profile], inbox, clock.now_ns, rng=rng)
        return found

    def _died(self) -> None:
        if self.process is None:
            return  # it has been stopped before
        self.died_in[self._journal.phase] += 1
        self.past.append(self.process)
        self.watch.died(self.runtime)  # type: ignore[arg-type]
        self.process = self.runtime = self._main = None

    def _ended(self, main: asyncio.Task[None]) -> None:
        if main is self._main and not self._stopping:
            cause = "cancelled" if main.cancelled() else repr(main.exception())
            self.watch.fail("parts", f"the gateway has ended by itself: {cause}")
