"""What goes out to one driver, in order, without the kernel ever waiting for it."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.contract import Command, Consume, Driver, NotWritten, SendFailed
from gateway.shell.inbox import Inbox
from gateway.shell.logs import Log

WAITING_MAX = 2_000


class Outbox:
    """A bounded queue and the task that empties it into `driver`."""

    def __init__(self, driver: Driver, inbox: Inbox, log: Log) -> None:
        self._driver = driver
        self._inbox = inbox
        self._log = log
        self._queue: asyncio.Queue[Command[Any] | Consume] = asyncio.Queue(WAITING_MAX)
        self._consume: dict[str, int] = {}

    def put(self, effect: Command[Any] | Consume) -> None:
        """At the limit a command counts as not written, which the kernel is told."""
        if isinstance(effect, Consume):
            # Only the newest index matters; one entry a device waits at most.
            waiting = effect.device in self._consume
            self._consume[effect.device] = effect.ring_index
            if waiting:
                return
        try:
            self._queue.put_nowait(effect)
        except asyncio.QueueFull:
            if isinstance(effect, Command):
                self._failed(effect, f"{WAITING_MAX} commands wait for the driver", certain=True)
            else:
                self._consume.pop(effect.device, None)

    async def run(self) -> None:
        """Write what waits, for ever."""
        while True:
            effect = await self._queue.get()
            if isinstance(effect, Consume):
                await self._driver.consume(effect.device, self._consume.pop(effect.device, effect.ring_index))
                continue
            try:
                await self._driver.send(effect)
            except NotWritten as error:
                self._failed(effect, error.reason, certain=error.certain)
            else:
                self._log.debug("command written", command=effect.command_id, action=repr(effect.action))

    def _failed(self, command: Command[Any], reason: str, *, certain: bool) -> None:
        self._inbox.post(SendFailed(command.command_id, command.device, certain, reason))
