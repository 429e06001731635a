"""What drivers and hosts have handed over and the kernel has not taken yet.

Reports coalesce: a newer level of a device takes the place of one that waits. Everything else waits its turn in
order. The inbox is bounded; a notice that finds it full is not taken and the device keeps it in its event ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Any

from gateway.contract import (
    DeviceId,
    HostRequest,
    LinkChanged,
    Notice,
    Report,
    Scalar,
    SendFailed,
    ShellAlarm,
    SiteChanged,
)
from gateway.shell.logs import Log

WAITING_MAX = 50_000
BAD_VALUES_LOGGED_MAX = 1_000
"""Different bad signals that are logged one by one; beyond that they are only counted."""

Body = Report[Any] | Notice[Any] | LinkChanged | HostRequest | SendFailed | ShellAlarm | SiteChanged


class Inbox:
    """The drivers' sink. All methods belong to the event loop's thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: dict[object, Body] = {}
        """In order of arrival; a report under its device's name, everything else under a running number."""
        self._number = 0
        self._filled = asyncio.Event()
        self.telemetry_by_device: dict[DeviceId, dict[str, Scalar]] = {}
        self.bad_values: dict[tuple[DeviceId, str], int] = {}
        self.overflowed = 0

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= WAITING_MAX

    def __len__(self) -> int:
        return len(self._waiting)

    def post(self, body: Body) -> None:
        """Hand something over. A report replaces one of its device that still waits, and goes to the end: behind the
        notices that came before it."""
        if isinstance(body, Report):
            self._waiting.pop(body.device, None)
            self._waiting[body.device] = body
        elif self.is_full and isinstance(body, LinkChanged):
            # A link's state is told once, so it must come in; the newest of a device stands for those before it.
            self._waiting.pop(("link", body.device), None)
            self._waiting["link", body.device] = body
        elif self.is_full:
            self.overflowed += 1
            if self.overflowed == 1:
                self._log.error("inbox is full", limit=WAITING_MAX, lost=type(body).__name__)
            return
        else:
            self._number += 1
            self._waiting[self._number] = body
        self._filled.set()

    def take(self, most: int) -> list[Body]:
        """The oldest `most` that wait, at most."""
        keys = list(islice(self._waiting, most))
        batch = [self._waiting.pop(key) for key in keys]
        if not self._waiting:
            self._filled.clear()
        return batch

    async def wait(self, timeout_s: float) -> None:
        """Until something waits, at most `timeout_s`."""
        if self._waiting:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()
        except TimeoutError:
            return

    def telemetry(self, device: DeviceId, values: Mapping[str, Scalar]) -> None:
        self.telemetry_by_device.setdefault(device, {}).update(values)

    def bad_value(self, device: DeviceId, signal: str, value: object, problem: str) -> None:
        key = (device, signal)
        count = self.bad_values.get(key)
        if count is None and len(self.bad_values) >= BAD_VALUES_LOGGED_MAX:
            key, count = (device, "…"), self.bad_values.get((device, "…"), 0)
        self.bad_values[key] = (count or 0) + 1
        if not count:
            self._log.warning("bad value", device=device, signal=signal, value=repr(value)[:200], problem=problem)
