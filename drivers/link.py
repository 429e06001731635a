"""The state of one device's link as the kernel has been told, and how long to wait before trying again."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.contract import DeviceId, LinkChanged, LinkState, NotWritten, Ns, Sink

_HOUSE = Path(__file__).parent
BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 10.0


class LinkLostError(Exception):
    """The connection can't go on; the text is fit for an operator."""


class Link:
    """Posts each change of state exactly once."""

    def __init__(self, device: DeviceId, sink: Sink) -> None:
        self.device = device
        self.state: LinkState | None = None
        self.reason = "not connected yet"
        self._sink = sink

    def change(self, state: LinkState, reason: str) -> bool:
        """Post the change; False, and nothing posted, where it is none."""
        if state == self.state:
            return False
        self.state, self.reason = state, reason
        self._sink.post(LinkChanged(self.device, state, reason))
        return True

    def explain(self, reason: str) -> None:
        """Post a better reason for the state that already holds."""
        if self.state is not None and reason != self.reason:
            self.reason = reason
            self._sink.post(LinkChanged(self.device, self.state, reason))

    def require_sendable(self, deadline_ns: Ns, clock_ns: Callable[[], Ns]) -> None:
        """Raises NotWritten(certain=True) where a command must not go out now."""
        if self.state != "up":
            state = self.state or "down"
            raise NotWritten(f"{self.device}: link is {state} ({self.reason}); nothing was written", certain=True)
        late_ns = clock_ns() - deadline_ns
        if late_ns > 0:
            raise NotWritten(
                f"{self.device}: the command came {late_ns // 1_000_000} ms after its deadline; nothing was written",
                certain=True,
            )


class Backoff:
    """Waiting times that double from 0.2 s to 10 s, each drawn from its upper half: links spread out."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ceiling_s = BACKOFF_MIN_S

    def reset(self) -> None:
        self._ceiling_s = BACKOFF_MIN_S

    def next_s(self) -> float:
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(ceiling_s * 2, BACKOFF_MAX_S)
        return ceiling_s * self._rng.uniform(0.5, 1.0)


def require_not_ours(error: Exception) -> None:
    """Raise an assertion of our own again; one of a client library is what the wire has brought, like any error of it.

    Told apart by the file in which it was raised: ours are bugs and must not pass for a broken line.
    """
    if not isinstance(error, AssertionError) or error.__traceback__ is None:
        return
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if Path(frame.f_code.co_filename).is_relative_to(_HOUSE):
        raise error


def honour_cancellation() -> None:
    """Raise CancelledError where this task was asked to end and a library has swallowed it.

    `asyncio.wait_for` of Python 3.11 returns a result that comes in the same turn as the cancellation; pymodbus,
    asyncua and aiomqtt wait with it, so every loop that goes round for ever has to look.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all parts until one raises; raise that when the others have been cancelled and are gone.

    Not a TaskGroup: one of Python 3.11 leaves its task marked as being cancelled, which `honour_cancellation`
    could not tell from a cancellation that was meant.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        for part in parts:
            part.close()  # never begun: a library has swallowed the cancellation before we came here
        raise asyncio.CancelledError
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()
