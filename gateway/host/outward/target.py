"""What one target is up to: whether it takes events, since when not, and what it is told in the log."""

from __future__ import annotations

from typing import Literal

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Ns
from gateway.host.patience import Backoff

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
