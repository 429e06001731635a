"""What a driver is, and where it puts what it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.contract.effects import Command
from gateway.contract.inputs import LinkChanged, Notice, Report, ShellAlarm
from gateway.contract.words import DeviceId, Scalar, Struct


class NotWritten(Exception):
    """`Driver.send` could not write the command. `certain`: it surely did not reach the device."""

    def __init__(self, reason: str, *, certain: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.certain = certain


class Sink(Protocol):
    """Where drivers put what they learn. All methods return at once and may be called from the loop only."""

    def post(self, body: Report[Any] | Notice[Any] | LinkChanged | ShellAlarm) -> None:
        """Hand over something for the kernel."""

    def telemetry(self, device: DeviceId, values: Mapping[str, Scalar]) -> None:
        """Show live values (position, current …) that never enter the kernel."""

    def bad_value(self, device: DeviceId, signal: str, value: object, problem: str) -> None:
        """Count and log something malformed that a device sent."""


class LinkFigures(Struct, frozen=True):
    """What one device's link has done since the start; counters only ever grow.

    `latency_buckets`: answers by time, one more than `LATENCY_BOUNDS_MS` (the last is "slower"). `data_age_ms`: since
    the device last said something, None while it never has.
    """

    device: DeviceId
    protocol: str
    requests: int
    errors: int
    bad_values: int
    messages_in: int
    connects: int
    latency_buckets: tuple[int, ...]
    latency_sum_ms: float
    data_age_ms: float | None


LATENCY_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
"""Upper bounds of the buckets in which answers are counted by time."""


class Driver(Protocol):
    """One connection to equipment, for one device or several behind one gateway or broker."""

    async def run(self) -> None:
        """Connect, watch and reconnect for ever; ends only by cancellation, leaving nothing open."""

    async def send(self, command: Command[Any]) -> None:
        """Return when the command is *written*; its completion comes back as a report or a notice.

        Raises `NotWritten`. Never repeats a write by itself.
        """

    async def consume(self, device: DeviceId, ring_index: int) -> None:
        """Tell the device that its events up to `ring_index` are durable; errors wait for the next call."""

    async def safe_stop(self) -> None:
        """Bring outputs to their known state before the process ends: stop the heartbeat, close sessions."""

    def figures(self) -> Sequence[LinkFigures]:
        """One record a device, for metrics; may be called at any time, from the loop only."""
