"""A driver without a wire: tests say what the device shows and see what was sent."""

from __future__ import annotations

import asyncio
from typing import Any

from drivers.link import Link
from gateway.contract import Command, DeviceId, LinkFigures, Notice, NotWritten, Report, Sink


class LoopbackDriver:
    """`contract.Driver` for one device; `connect`, `feed` and the others stand in for the equipment."""

    def __init__(self, device: DeviceId, sink: Sink) -> None:
        self.device = device
        self.sent: list[Command[Any]] = []
        self.consumed: list[int] = []
        self.stopped = False
        self._sink = sink
        self._link = Link(device, sink)
        self._failure: NotWritten | None = None

    # --- the equipment's side ---

    def connect(self) -> None:
        """The link comes up; feed a full report right after it."""
        self._link.change("up", f"{self.device}: loopback connected")

    def disconnect(self, reason: str) -> None:
        self._link.change("down", reason)

    def feed(self, report: Any) -> None:
        """The device shows this record."""
        self._sink.post(Report(self.device, report))

    def notify(self, event: Any, ring_index: int | None = None) -> None:
        """This happened at the device."""
        self._sink.post(Notice(self.device, event, ring_index))

    def fail_next_send(self, *, certain: bool, reason: str = "told to fail") -> None:
        """The next `send` raises NotWritten; an uncertain one reaches the device all the same."""
        self._failure = NotWritten(f"{self.device}: {reason}", certain=certain)

    # --- contract.Driver ---

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()

    async def send(self, command: Command[Any]) -> None:
        if self.stopped or self._link.state != "up":
            raise NotWritten(f"{self.device}: link is {self._link.state or 'down'}; nothing was written", certain=True)
        failure, self._failure = self._failure, None
        if failure is None or not failure.certain:
            self.sent.append(command)
        if failure is not None:
            raise failure

    async def consume(self, device: DeviceId, ring_index: int) -> None:
        if device == self.device:
            self.consumed.append(ring_index)

    async def safe_stop(self) -> None:
        self.stopped = True

    def figures(self) -> list[LinkFigures]:
        """Nothing goes over a wire here."""
        return []
