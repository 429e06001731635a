"""The one thread that writes the journal: whatever waits when it is free goes into one transaction.

The event loop hands over requests and never waits for the disk; answers come back to it by
`call_soon_threadsafe`, one call a group.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.shell.journal.chain import Drawn, Record
from gateway.shell.journal.errors import JournalError, JournalFull, JournalGap, JournalUnusable
from gateway.shell.journal.store import Store

WAITING_MAX = 1_024
"""Requests handed over and not answered; the journal lets further callers wait for their turn."""
GROUP_RECORDS_MAX = 4_096
GROUP_BYTES_MAX = 8 * 2**20
"""A group is closed when it reaches either: its first caller must not wait for long."""
_log = structlog.get_logger("journal")


@dataclass(slots=True, eq=False)
class Append:
    """A batch of inputs, what earlier ones drew, and who waits for it. The batch has no gap in itself; not both are
    empty."""

    batch: tuple[Record, ...]
    drawn: tuple[Drawn, ...]
    answer: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Keep:
    """A snapshot and who waits for it."""

    seq: int
    at_ns: int
    state: bytes
    answer: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Stop:
    """The last request."""

    loop: asyncio.AbstractEventLoop
    ended: Callable[[], None]


Answers = list[tuple[asyncio.Future[None], BaseException | None]]


class Writer:
    """Owns `store` and its thread. `deliver` is called in the event loop with the answers of a group."""

    def __init__(self, store: Store, deliver: Callable[[Answers], None], on_end: Callable[[], None]) -> None:
        self._store = store
        self._deliver = deliver
        self._on_end = on_end
        self._queue: queue.Queue[Append | Keep | Stop] = queue.Queue(WAITING_MAX + 1)
        self._failed: JournalError | None = None
        self.transactions = 0
        """Transactions that held inputs, for the metrics: batches per transaction tell how well it groups."""
        self._makes_room = True
        # A daemon: a process that ends without close() must not hang on it; what was acknowledged is stored.
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def hand_over(self, request: Append | Keep | Stop) -> None:
        """Queue a request. The caller sees to it that at most WAITING_MAX and one Stop are on their way."""
        self._queue.put_nowait(request)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        request = self._queue.get()
        while not isinstance(request, Stop):
            following = None
            if isinstance(request, Keep):
                self._answer([(request.answer, self._attempt_keep(request))])
            else:
                group, following = self._gather(request)
                self._answer(self._append(group))
            self._make_room()
            request = self._queue.get() if following is None else following
        self._store.close()
        self._on_end()
        self._call(request.loop, request.ended)

    def _gather(self, first: Append) -> tuple[list[Append], Append | Keep | Stop | None]:
        """All batches that wait already, up to the limits, and the request that ended the group, if any."""
        group, records, size = [first], len(first.batch), _bytes(first)
        while records < GROUP_RECORDS_MAX and size < GROUP_BYTES_MAX:
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                break
            if not isinstance(request, Append):
                return group, request
            group.append(request)
            records, size = records + len(request.batch), size + _bytes(request)
        return group, None

    def _append(self, group: list[Append]) -> Answers:
        """Store the group in one transaction; if that fails, batch by batch: one must not sink others."""
        answers: Answers = []
        accepted: list[Append] = []
        expected = self._store.last_seq + 1
        for request in group:
            wrong = self._out_of_turn(request, expected)
            if wrong is None:
                accepted.append(request)
                expected += len(request.batch)
            else:
                answers.append((request.answer, wrong))
        if not accepted:
            return answers
        error = self._attempt(accepted)
        if error is not None and len(accepted) > 1:
            for request in accepted:
                answers.extend(self._append([request]))
            return answers
        answers.extend((request.answer, error) for request in accepted)
        return answers

    def _out_of_turn(self, request: Append, expected: int) -> JournalError | None:
        """A batch behind one that could not be stored fails for that reason, not by its caller's fault."""
        got = request.batch[0][0] if request.batch else expected
        drawn = request.drawn[-1][1] if request.drawn else 0
        if got == expected and drawn < expected:
            return None
        if self._failed is None or got < expected:
            return JournalGap("input", got, expected) if got != expected else JournalGap.beyond(drawn, expected - 1)
        problem = f"input {expected} before this batch was not stored: {self._failed}"
        if isinstance(self._failed, JournalFull):
            return JournalFull(self._store.path, problem)
        return JournalUnusable(self._store.path, problem, "store that one first")

    def _attempt(self, accepted: list[Append]) -> BaseException | None:
        records = [record for request in accepted for record in request.batch]
        drawn = [row for request in accepted for row in request.drawn]
        try:
            self._store.append(records, drawn)
        except JournalError as error:
            self._failed = error
            return error
        except Exception as error:  # noqa: BLE001 - fate: every caller of the group gets it; the thread lives on
            self._failed = self._defect(error)
            return self._failed
        self._failed = None
        self.transactions += bool(records)
        return None

    def _make_room(self) -> None:
        """One step towards the bound, and more while nobody waits for the thread."""
        if not self._makes_room:
            return
        try:
            while self._store.make_room() and self._queue.empty():
                pass
        except Exception as error:  # noqa: BLE001 - fate: logged; room is what is wanted here, nothing is lost without it
            self._makes_room = False
            _log.warning("journal: no room could be made, tried again after the next snapshot", cause=str(error))

    def _attempt_keep(self, request: Keep) -> BaseException | None:
        try:
            self._store.put_snapshot(request.seq, request.at_ns, request.state)
        except JournalError as error:
            return error
        except Exception as error:  # noqa: BLE001 - fate: the caller gets it; the thread lives on
            return self._defect(error)
        self._makes_room = True
        return None

    def _defect(self, error: Exception) -> JournalUnusable:
        defect = JournalUnusable(self._store.path, repr(error), "report this as a defect of the gateway")
        defect.__cause__ = error
        return defect

    def _answer(self, answers: Answers) -> None:
        self._call(answers[0][0].get_loop(), lambda: self._deliver(answers))

    def _call(self, loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(what)
        except RuntimeError:
            # The loop is closed: nobody waits any more, and what was stored stays stored.
            return


def _bytes(request: Append) -> int:
    return sum(len(body) for _, _, body in request.batch)
