"""A carrier's line to its broker or database: told in the log once when it goes and once when it is back."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger as Log

from gateway.host.patience import Backoff

BACKOFF_MAX_S = 30.0


class Line:
    """Also says how long to wait before the next attempt: 0.2 s doubling to 30 s, drawn from the upper half."""

    def __init__(self, channel: str, log: Log) -> None:
        self._channel = channel
        self._log = log
        self._told = False
        self._backoff = Backoff(BACKOFF_MAX_S)

    def up(self) -> None:
        self._backoff.reset()
        if self._told:
            self._log.info("channel is back", channel=self._channel)
        self._told = False

    def away(self, reason: str) -> None:
        if not self._told:
            self._log.warning("channel is away", channel=self._channel, reason=reason)
        self._told = True

    def wait_s(self) -> float:
        return self._backoff.next_s()
