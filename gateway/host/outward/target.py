"""What one target is up to: whether it takes events, since when not, and what it is told in the log."""

from __future__ import annotations

import asyncio
import random
from typing import Literal

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Ns

BACKOFF_MIN_S = 0.2
RETRY_AFTER_MAX_S = 3_600.0

Kind = Literal["webhook", "mqtt", "sparkplug", "outbox"]


class TargetFigures(msgspec.Struct, frozen=True):
    """How it stands with one target. `delivered` and `dropped` are since the target is known, `failed` attempts since
    the start. `state` is `starting`, `up`, `away`, `removed` (not in the YAML any more), or of the outbox itself `kept`
    or `full`; `reason` says why. `oldest_ns`: when the oldest waiting event happened, 0 where none waits."""

    target: str
    kind: Kind
    state: str
    reason: str
    waiting: int
    oldest_ns: Ns
    delivered: int
    failed: int
    dropped: int
    dead_letters: int


class Presence:
    """Whether a target is there; the log is told once when it goes and once when it is back."""

    def __init__(self, target: str, kind: Kind, backoff_max_s: float, log: Log) -> None:
        self.target = target
        self.kind: Kind = kind
        self.state = "starting"
        self.reason = ""
        self.failed = 0
        self._backoff = Backoff(backoff_max_s)
        self._log = log

    def is_away(self) -> bool:
        return self.state == "away"

    def up(self) -> None:
        self._backoff.reset()
        if self.state == "away":
            self._log.info("target is back", target=self.target, kind=self.kind)
        self.state, self.reason = "up", ""

    def away(self, reason: str) -> None:
        if self.state != "away":
            self._log.warning("target is away", target=self.target, kind=self.kind, reason=reason)
        self.state, self.reason = "away", reason

    def wait_s(self, at_least_s: float = 0.0) -> float:
        """How long to wait before it is tried again."""
        return max(self._backoff.next_s(), min(at_least_s, RETRY_AFTER_MAX_S))


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
