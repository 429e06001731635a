"""Trying again later, and ending when asked to."""

from __future__ import annotations

import asyncio
import random

BACKOFF_MIN_S = 0.2


class Backoff:
    """Waiting times that double up to a ceiling, each drawn from its upper half: many that wait do not come at once."""

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._ceiling_s = BACKOFF_MIN_S

    def reset(self) -> None:
        self._ceiling_s = BACKOFF_MIN_S

    def next_s(self) -> float:
        ceiling_s = min(self._ceiling_s, self._max_s)
        self._ceiling_s = min(ceiling_s * 2, self._max_s)
        return ceiling_s * random.uniform(0.5, 1.0)


def honour_cancellation() -> None:
    """Raise CancelledError where this task was asked to end and a library has swallowed it: `asyncio.wait_for` of
    Python 3.11 returns what comes in the same turn as the cancellation, and client libraries wait with it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
