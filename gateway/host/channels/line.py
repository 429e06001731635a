"""A carrier's line to its broker or database: told in the log once when it goes and once when it is back."""

from __future__ import annotations

import asyncio
import random

from structlog.typing import FilteringBoundLogger as Log

BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 30.0


class Line:
    """Also says how long to wait before the next attempt: 0.2 s doubling to 30 s, drawn from the upper half."""

    def __init__(self, channel: str, log: Log) -> None:
        self._channel = channel
        self._log = log
        self._told = False
        self._ceiling_s = BACKOFF_MIN_S

    def up(self) -> None:
        self._ceiling_s = BACKOFF_MIN_S
        if self._told:
            self._log.info("channel is back", channel=self._channel)
        self._told = False

    def away(self, reason: str) -> None:
        if not self._told:
            self._log.warning("channel is away", channel=self._channel, reason=reason)
        self._told = True

    def wait_s(self) -> float:
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(ceiling_s * 2, BACKOFF_MAX_S)
        return ceiling_s * random.uniform(0.5, 1.0)


def honour_cancellation() -> None:
    """Raise CancelledError where this task was asked to end and a library has swallowed it: `asyncio.wait_for` of
    Python 3.11 returns what comes in the same turn as the cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
