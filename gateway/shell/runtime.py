"""The running gateway: takes inputs, makes them durable, lets the kernel conclude, lets the effects go.

The order is the whole point: journal first, then the kernel, then the wire. A host hears "accepted" only for
what a power cut can't take away. When the disk is full nothing is lost and nothing new is accepted; when the kernel
itself fails, the gateway stops sending, keeps its links and its status up, and calls the operator.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from gateway.contract import (
    AlarmEvent,
    Command,
    Consume,
    DeviceId,
    Driver,
    Effect,
    HostRequest,
    Input,
    Note,
    OrderEvent,
    Reply,
    Request,
    Scalar,
    ShellAlarm,
    SiteChanged,
    Started,
    Tick,
)
from gateway.kernel import Kernel
from gateway.shell.clock import SteadyClock
from gateway.shell.engine import HEALTHY, Engine
from gateway.shell.inbox import Inbox
from gateway.shell.journal import Journal, JournalError
from gateway.shell.logs import Log
from gateway.shell.outbox import Outbox
from gateway.shell.supervisor import keep_running

Heard = Callable[[int, int, int, Effect], None]

BATCH_MAX = 256
EVENTS_KEPT_MAX = 1_000


class Runtime:
    """One site in operation."""

    def __init__(
        self,
        kernel: Kernel,
        journal: Journal,
        inbox: Inbox,
        drivers: Mapping[DeviceId, Driver],
        log: Log,
        steady: SteadyClock | None = None,
        site: str = "",
        replayed: int = 0,
    ) -> None:
        """`steady` is kernel time, for the drivers' deadlines, too; None begins one at the system clock. `site` as JSON
        is put in force at the start; "" leaves the kernel's own. `replayed`: see `Engine`."""
        self.kernel = kernel
        self.inbox = inbox
        self.events: deque[tuple[int, Effect]] = deque(maxlen=EVENTS_KEPT_MAX)
        """The newest order and alarm events with their time, for whoever looks."""
        self._journal = journal
        self._log = log
        self._clock = steady or SteadyClock(kernel.state.now_ns)
        self._clock_told = False
        self._keepers: list[Callable[[], Awaitable[None]]] = []
        self._engine = Engine(
            kernel, journal, self, self._clock.now_ns, asyncio.sleep, replayed=replayed, settle=self._settle
        )
        self._asked: dict[tuple[str, str], list[asyncio.Future[Reply]]] = {}
        self._drivers = list({id(d): d for d in drivers.values()}.values())
        self._site_said = site
        self._listeners: list[Heard] = []
        boxes = {id(d): Outbox(d, inbox, log) for d in self._drivers}
        self._outboxes = {device: boxes[id(d)] for device, d in drivers.items()}
        self._boxes = list(boxes.values())

    @property
    def status(self) -> str:
        """HEALTHY, JOURNAL_FULL or HALTED."""
        return self._engine.status

    @property
    def telemetry(self) -> Mapping[DeviceId, Mapping[str, Scalar]]:
        """Live values of devices that the kernel does not need."""
        return self.inbox.telemetry_by_device

    def now_ns(self) -> int:
        """Kernel time."""
        return self._clock.now_ns()

    async def run(self, version: str) -> None:
        """Operate until cancelled; then bring outputs to their known state and close the journal."""
        epoch = max(self.kernel.state.epoch + 1, self._clock.now_ns() // 1_000_000_000)
        began: list[object] = [Started(epoch, version)]
        if self._site_said and self._site_said != self.kernel.state.site:
            began.append(SiteChanged(self._site_said, at_start=True))
        try:
            async with asyncio.TaskGroup() as group:
                await self._engine.take(began)
                for driver in self._drivers:
                    group.create_task(keep_running(driver.run, repr(driver), self._log))
                for box in self._boxes:
                    group.create_task(keep_running(box.run, "outbox", self._log))
                # What start-up built lives as long as the process: no full collection may stop the loop for it.
                gc.collect()
                gc.freeze()
                try:
                    await self._operate()
                finally:
                    # While the links are still up: afterwards nobody could say goodbye any more.
                    await self._stop_drivers()
        finally:
            await self._close()

    def reload(self, site: str) -> None:
        """The YAML has been read again and says `site`, as JSON."""
        self.inbox.post(SiteChanged(site, at_start=False))

    def not_reloaded(self, problem: str) -> None:
        """The YAML has been read again and can't be put in force; what was goes on."""
        self.inbox.post(ShellAlarm("site", "not-reloaded", problem, active=True))

    async def ask(self, client: str, request_id: str, request: Request) -> Reply:
        """Put a request to the kernel; the answer comes when it is durable. A full journal refuses at once."""
        if self.status != HEALTHY:
            return Reply(
                client,
                request_id,
                False,
                f"not accepted, nothing stored: the gateway's state is {self.status}",
                "unavailable",
            )
        if self.inbox.is_full:
            return Reply(
                client, request_id, False, "not accepted, nothing stored: too much is waiting; ask again later", "limit"
            )
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked.setdefault((client, request_id), []).append(future)
        self.inbox.post(HostRequest(client, request_id, request))
        return await future

    async def _operate(self) -> None:
        while True:
            wait_s = (self.kernel.next_deadline_ns() - self._clock.now_ns()) / 1e9
            await self.inbox.wait(max(wait_s, 0.0))
            self._watch_clock()
            batch: list[object] = list(self.inbox.take(BATCH_MAX))
            await self._engine.take(batch or [Tick()])

    def _watch_clock(self) -> None:
        problem = self._clock.problem()
        if bool(problem) != self._clock_told:
            self._clock_told = bool(problem)
            self.inbox.post(ShellAlarm("clock", "differs", problem, self._clock_told))

    # --- what the engine tells ---

    def set_aside(self, body: object, error: Exception) -> None:
        """See `Outlet.set_aside`."""
        self._log.error("input can't be journaled and is set aside", input=repr(body)[:500], cause=str(error))
        if isinstance(body, HostRequest):
            self._resolve(
                Reply(body.client, body.request_id, False, f"not accepted, can't be stored: {error}", "invalid")
            )

    def journal_full(self, problem: str) -> None:
        """See `Outlet.journal_full`."""
        now_ns = self._clock.now_ns()
        if not problem:
            self._log.info("journal has room again")
            self.events.append((now_ns, AlarmEvent("journal/full", "journal", "full", "", False)))
            return
        text = f"{problem}. Nothing is accepted until then"
        self._log.critical("journal is full", text=text)
        self.events.append((now_ns, AlarmEvent("journal/full", "journal", "full", text, True)))

    def halted(self, entered: Input, error: Exception) -> None:
        """See `Outlet.halted`."""
        self._log.critical("kernel failed: nothing is sent any more", seq=entered.seq, exc_info=error)
        text = f"The gateway has stopped sending after input {entered.seq}: {error!r}. Call support, keep the journal"
        self.events.append((entered.at_ns, AlarmEvent("kernel/halted", "kernel", "halted", text, True)))
        self._answer_all("the gateway has halted before this was decided")

    def no_snapshot(self, error: JournalError) -> None:
        """See `Outlet.no_snapshot`."""
        self._log.warning("no room for a snapshot", cause=str(error))

    def listen(self, listener: Heard) -> Callable[[], None]:
        """Tell `listener` (input's number, effect's number in it, time, effect) of every effect from now on; call what
        is returned to end that. It returns at once and never raises."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def before_snapshot(self, keep: Callable[[], Awaitable[None]]) -> None:
        """`keep` makes durable what its listener has heard; awaited before every snapshot, because a start replays only
        what came after one. No snapshot is taken where it raises."""
        self._keepers.append(keep)

    async def _settle(self) -> bool:
        for keep in self._keepers:
            try:
                await keep()
            except Exception as error:  # noqa: BLE001 - fate: logged, no snapshot; the next start replays more
                self._log.warning("no snapshot: what was heard is not durable", cause=str(error))
                return False
        return True

    def release(self, entered: Input, number: int, effect: Effect) -> None:
        """See `Outlet.release`."""
        at_ns = entered.at_ns
        for listener in self._listeners:
            listener(entered.seq, number, at_ns, effect)
        match effect:
            case Command() | Consume():
                box = self._outboxes.get(effect.device)
                if box is not None:
                    box.put(effect)
            case Reply():
                self._resolve(effect)
            case OrderEvent():
                self.events.append((at_ns, effect))
                self._log.info("order", order=effect.order, state=effect.state, reason=effect.reason)
            case AlarmEvent():
                self.events.append((at_ns, effect))
                say = self._log.warning if effect.active else self._log.info
                say("alarm" if effect.active else "alarm gone", alarm=effect.alarm, text=effect.text)
            case Note():
                self._log.info(effect.event, source=effect.source, detail=effect.detail)

    def _resolve(self, reply: Reply) -> None:
        """Answer the one who has waited longest under this id: replies come in the order of the requests."""
        key = (reply.client, reply.request_id)
        waiting = self._asked.get(key)
        if not waiting:
            return
        future = waiting.pop(0)
        if not waiting:
            del self._asked[key]
        if not future.done():
            future.set_result(reply)

    def _answer_all(self, reason: str) -> None:
        """Nobody who has asked is left waiting for ever."""
        for (client, request_id), futures in self._asked.items():
            for future in futures:
                if not future.done():
                    future.set_result(Reply(client, request_id, False, reason, "unavailable"))
        self._asked.clear()

    async def _stop_drivers(self) -> None:
        """Outputs to their known state: PLCs are told goodbye, vehicles drive to the end of their base."""
        for driver in self._drivers:
            try:
                async with asyncio.timeout(3.0):
                    await driver.safe_stop()
            except Exception as error:  # noqa: BLE001 - fate: logged; the other drivers must still say goodbye
                self._log.warning("driver did not stop cleanly", driver=repr(driver), cause=repr(error))

    async def _close(self) -> None:
        self._answer_all("the gateway has stopped before this was decided: ask again with the same request id")
        if self.status == HEALTHY and self._engine.last_seq:
            await self._engine.keep_snapshot()
        await self._journal.close()
        self._log.info("stopped", last_input=self._engine.last_seq)
