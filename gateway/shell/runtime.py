"""The running gateway: takes inputs, makes them durable, lets the kernel conclude, lets the effects go.

The order is the whole point: journal first, then the kernel, then the wire. A host hears "accepted" only for
what a power cut can't take away. When the disk is full nothing is lost and nothing new is accepted; when the kernel
itself fails, the gateway stops sending, keeps its links and its status up, and calls the operator.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Mapping

from gateway import codec
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
    Started,
    Tick,
)
from gateway.kernel import Kernel
from gateway.shell import clock
from gateway.shell.inbox import Inbox
from gateway.shell.journal import Journal, JournalError, JournalFull
from gateway.shell.logs import Log
from gateway.shell.outbox import Outbox
from gateway.shell.supervisor import keep_running

BATCH_MAX = 256
SNAPSHOT_EVERY = 5_000
FULL_RETRY_S = 1.0
EVENTS_KEPT_MAX = 1_000
HEALTHY, JOURNAL_FULL, HALTED = "healthy", "journal full", "halted"


class Runtime:
    """One site in operation."""

    def __init__(
        self,
        kernel: Kernel,
        journal: Journal,
        inbox: Inbox,
        drivers: Mapping[DeviceId, Driver],
        log: Log,
        now_ns: Callable[[], int] = clock.now_ns,
    ) -> None:
        self.kernel = kernel
        self.inbox = inbox
        self.status = HEALTHY
        self.events: deque[tuple[int, Effect]] = deque(maxlen=EVENTS_KEPT_MAX)
        """The newest order and alarm events with their time, for whoever looks."""
        self._journal = journal
        self._log = log
        self._now_ns = now_ns
        self._seq = journal.last_seq
        self._since_snapshot = 0
        self._asked: dict[tuple[str, str], list[asyncio.Future[Reply]]] = {}
        self._drivers = list({id(d): d for d in drivers.values()}.values())
        boxes = {id(d): Outbox(d, inbox, log) for d in self._drivers}
        self._outboxes = {device: boxes[id(d)] for device, d in drivers.items()}
        self._boxes = list(boxes.values())

    async def run(self, version: str) -> None:
        """Operate until cancelled; then bring outputs to their known state and close the journal."""
        epoch = max(self.kernel.state.epoch + 1, clock.unix_s())
        try:
            async with asyncio.TaskGroup() as group:
                await self._take([Started(epoch, version)])
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

    async def ask(self, client: str, request_id: str, request: Request) -> Reply:
        """Put a request to the kernel; the answer comes when it is durable. A full journal refuses at once."""
        if self.status != HEALTHY:
            return Reply(
                client, request_id, False, f"not accepted, nothing stored: the gateway's state is {self.status}"
            )
        if self.inbox.is_full:
            return Reply(
                client, request_id, False, "not accepted, nothing stored: too much is waiting; ask again later"
            )
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked.setdefault((client, request_id), []).append(future)
        self.inbox.post(HostRequest(client, request_id, request))
        return await future

    async def _operate(self) -> None:
        while True:
            wait_s = (self.kernel.next_deadline_ns() - self._now_ns()) / 1e9
            await self.inbox.wait(max(wait_s, 0.0))
            batch: list[object] = list(self.inbox.take(BATCH_MAX))
            await self._take(batch or [Tick()])

    async def _take(self, bodies: list[object]) -> None:
        now_ns = self._now_ns()
        inputs: list[Input] = []
        records: list[tuple[int, int, bytes]] = []
        for body in bodies:
            try:
                record = codec.encode_body(body)
            except (OverflowError, TypeError, ValueError) as error:
                self._set_aside(body, error)
                continue
            inputs.append(Input(self._seq + len(inputs) + 1, now_ns, body))
            records.append((inputs[-1].seq, now_ns, record))
        await self._make_durable(records)
        self._seq += len(inputs)
        for entered in inputs:
            self._apply(entered)
        self._since_snapshot += len(inputs)
        if self._since_snapshot >= SNAPSHOT_EVERY and self.status == HEALTHY:
            self._since_snapshot = 0
            await self._snapshot()

    def _set_aside(self, body: object, error: Exception) -> None:
        """What can't be written down is not acted on: no journal could explain it later."""
        self._log.error("input can't be journaled and is set aside", input=repr(body)[:500], cause=str(error))
        if isinstance(body, HostRequest):
            self._resolve(Reply(body.client, body.request_id, False, f"not accepted, can't be stored: {error}"))

    async def _make_durable(self, records: list[tuple[int, int, bytes]]) -> None:
        """Into the journal, whatever it takes: until there is room the world waits, and a person is told once."""
        while True:
            try:
                await self._journal.commit(records)
            except JournalFull as error:
                if self.status == HEALTHY:
                    self.status = JOURNAL_FULL
                    text = f"{error}. Nothing is accepted until then"
                    self._log.critical("journal is full", text=text)
                    self.events.append((self._now_ns(), AlarmEvent("journal/full", "journal", "full", text, True)))
                await asyncio.sleep(FULL_RETRY_S)
                continue
            if self.status == JOURNAL_FULL:
                self.status = HEALTHY
                self._log.info("journal has room again")
                self.events.append((self._now_ns(), AlarmEvent("journal/full", "journal", "full", "", False)))
            return

    def _apply(self, entered: Input) -> None:
        if self.status == HALTED:
            return
        try:
            effects = self.kernel.apply(entered)
        except Exception as error:  # noqa: BLE001 - a bug of ours: stop sending, stay visible, call the operator
            self.status = HALTED
            self._log.critical("kernel failed: nothing is sent any more", seq=entered.seq, exc_info=error)
            text = (
                f"The gateway has stopped sending after input {entered.seq}: {error!r}. Call support, keep the journal"
            )
            self.events.append((entered.at_ns, AlarmEvent("kernel/halted", "kernel", "halted", text, True)))
            self._answer_all("the gateway has halted before this was decided")
            return
        for effect in effects:
            self._release(entered.at_ns, effect)

    def _release(self, at_ns: int, effect: Effect) -> None:
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
                    future.set_result(Reply(client, request_id, False, reason))
        self._asked.clear()

    async def _snapshot(self) -> None:
        try:
            await self._journal.save_snapshot(self._seq, self._now_ns(), self.kernel.snapshot())
        except JournalFull as error:
            # A snapshot only shortens the next start; the inputs are all there.
            self._log.warning("no room for a snapshot", cause=str(error))

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
        if self.status == HEALTHY and self._seq:
            await self._snapshot()
        await self._journal.close()
        self._log.info("stopped", last_input=self._seq)


class ReplayFailed(JournalError):
    """An input of the journal can't be applied by this version. Nothing has been changed by trying."""

    def __init__(self, seq: int, cause: Exception) -> None:
        super().__init__(
            f"input {seq} of the journal can't be replayed by this version ({cause!r}). Keep the data folder and call "
            "support; start the version that wrote it, or a new data folder after a walk through the plant"
        )
        self.seq = seq


def replay(kernel: Kernel, journal: Journal, after_seq: int) -> int:
    """Bring the kernel up to the journal's end, effects discarded; returns the number of inputs.

    Raises ReplayFailed, and JournalDamaged from the journal.
    """
    count = 0
    for seq, at_ns, body in journal.read(after_seq):
        try:
            kernel.apply(codec.stamp(seq, at_ns, body))
        except Exception as error:  # fate: the start is refused with the input's number, the journal stays as it is
            raise ReplayFailed(seq, error) from error
        count += 1
    return count
